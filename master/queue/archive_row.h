/* SPDX-License-Identifier: ISC */
/* Which rows of a stream a queue takes. */
#ifndef MASTER_QUEUE_ARCHIVE_ROW_H
#define MASTER_QUEUE_ARCHIVE_ROW_H

#include <jansson.h>

enum {
	ARCHIVE_WHY_SIZE = 128,
};

/*
 * archive_row_refuse - whether the scheduler could make nothing of a message, or
 * come to a halt over it: a stream may be anybody's.
 *
 * What is missing or null is left to the tables.  NULL, or what is wrong, which
 * is in why.
 */
const char *archive_row_refuse(const json_t *message, const json_t *recipients,
    char why[static ARCHIVE_WHY_SIZE]);

#endif
