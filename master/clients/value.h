/* SPDX-License-Identifier: ISC */
/*
 * Members of a client's JSON object, read one by one; what is wrong with one is
 * a sentence in error, and -1.  A member that is not there leaves *out alone.
 * errno is EINVAL, or ENOMEM where the packet may be right and is to come again.
 */
#ifndef POSTERN_MASTER_CLIENTS_VALUE_H
#define POSTERN_MASTER_CLIENTS_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALUE_ERROR_SIZE 512
#define VALUE_NAME_SIZE  128 /* of a transport's name, and NUL */
#define QUOTE_SIZE       128 /* of a client's word, escaped, inside an error */

/* Once, before the role is confined: jansson opens /dev/urandom, and takes its
 * memory from here. */
void value_init(void);

/* Fills error, and returns -1. */
int value_complain(char error[VALUE_ERROR_SIZE], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, where it is not the client's fault. */
int value_complain_memory(char error[VALUE_ERROR_SIZE]);

/* The JSON object that a packet must be; the caller's to json_decref(), or NULL.
 */
json_t *value_object(const char *text, size_t len,
    char error[VALUE_ERROR_SIZE]);

/* A string of at most size - 1 octets. */
int value_string(const json_t *object, const char *name, char *out, size_t size,
    char error[VALUE_ERROR_SIZE]);

int value_flag(const json_t *object, const char *name, bool *out,
    char error[VALUE_ERROR_SIZE]);

/* A count of at most `most`. */
int value_number(const json_t *object, const char *name, uint64_t most,
    uint64_t *out, char error[VALUE_ERROR_SIZE]);

/* Every member must be one of `words`, a list that NULL ends. */
int value_members(json_t *object, const char *const *words,
    char error[VALUE_ERROR_SIZE]);

#endif
