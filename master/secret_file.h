/* SPDX-License-Identifier: ISC */
/* The file of a password or token, read and kept in memory. */
#ifndef POSTERN_MASTER_SECRET_FILE_H
#define POSTERN_MASTER_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct secret_file {
	int fd; /* its octets, a sealed memfd; the caller's.  -1: why says it */
	bool is_open_to_all; /* more may read it than ought to */
	char why[160];
};

/* secret_file_read - read a whole file, and check that it is a secret.  0 or
 * -1. */
int secret_file_read(const char *path, struct secret_file *out);

#endif
