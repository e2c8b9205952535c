/* SPDX-License-Identifier: ISC */
/*
 * Parameters whose words have a shape of their own: hosts, addresses, users.
 */
#ifndef MASTER_CONFIG_WORD_H
#define MASTER_CONFIG_WORD_H

/*
 * What is wrong with a word of that parameter, or NULL.  An empty word is
 * never wrong here.
 */
const char *config_word_check(const char *parameter, const char *word);

/* The same for the name of a transport, user or group. */
const char *config_word_check_name(const char *word);

#endif
