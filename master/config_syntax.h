/* SPDX-License-Identifier: ISC */
/*
 * The doorway to libconfuse: what words a value consists of.
 */
#ifndef MASTER_CONFIG_SYNTAX_H
#define MASTER_CONFIG_SYNTAX_H

#include <stddef.h>

#include "master/config.h"

/* The word that config_syntax_words takes for the title of a block. */
#define CONFIG_SYNTAX_TITLE "title"

struct config_syntax;

/* One for the parameters of a block; NULL for want of memory. */
struct config_syntax *config_syntax_new(const struct config_row *rows,
    size_t count);

/* NULL is fine. */
void config_syntax_free(struct config_syntax *syntax);

/*
 * config_syntax_words - the words of a value that config_text_next has cut out.
 *
 * NULL where libconfuse does not read it as one of that parameter.  The words
 * are borrowed until the next call; a list may have none.
 */
char *const *config_syntax_words(struct config_syntax *syntax,
    const char *parameter, const char *value, size_t len, size_t *count);

#endif
