/* SPDX-License-Identifier: ISC */
/*
 * What a configuration may mean, and mostly does not: legal, so it is no error,
 * but told to who checks it (posternd -n) and who looks for what is wrong
 * (postern doctor).
 */
#ifndef MASTER_CONFIG_DOUBTS_H
#define MASTER_CONFIG_DOUBTS_H

struct config;

/* line: of the file, or 0.  The strings hold until it returns. */
typedef void (
    *config_doubt_fn)(void *arg, int line, const char *what, const char *cure);

/* Pure: by the text alone. */
void config_doubts(const struct config *config, config_doubt_fn say, void *arg);

/* What the files that it names show: passwords and tokens that all may read. */
void config_doubts_of_files(const struct config *config, config_doubt_fn say,
    void *arg);

#endif
