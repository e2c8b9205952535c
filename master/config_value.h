/* SPDX-License-Identifier: ISC */
/*
 * The values of parameters: from words to the members of struct config and
 * struct transport, and back.
 */
#ifndef MASTER_CONFIG_VALUE_H
#define MASTER_CONFIG_VALUE_H

#include <stddef.h>
#include <stdio.h>

#include "master/config.h"

/*
 * config_value_set - read the words of row's parameter into its member of
 * base (a struct config or transport), in place of what stands there.
 *
 * 0; or -1, with what is wrong in why (EINVAL), or for want of memory (errno
 * is ENOMEM, why says so too); then the member keeps its value.
 */
int config_value_set(const struct config_row *row, void *base,
    char *const *words, size_t count, char *why, size_t why_size);

/* Sets the member to row's default, which a test holds to be good. */
int config_value_set_default(const struct config_row *row, void *base);

/* Frees what the member holds, and zeroes it. */
void config_value_clear(const struct config_row *row, void *base);

/* Writes the value as config_read takes it, without a line end. */
void config_value_print(const struct config_row *row, const void *base,
    FILE *out);

#endif
