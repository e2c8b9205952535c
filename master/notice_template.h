/* SPDX-License-Identifier: ISC */
/*
 * The texts of notices: a file in the form of Postfix's bounce(5), read whole and
 * checked, and its variables.  Pure but for malloc.
 */
#ifndef MASTER_NOTICE_TEMPLATE_H
#define MASTER_NOTICE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTICE_TEMPLATE_MAX   65536 /* octets of a file */
#define NOTICE_TEMPLATE_COUNT 3     /* failure, delay, success */
#define NOTICE_TEMPLATE_LINE  900   /* octets of a line */

struct notice_template {
	bool utf8; /* else us-ascii */
	const char *from;
	const char *subject;
	const char *postmaster_subject; /* the subject, where none is given */
	const char *body;               /* lines end in LF */
};

/* In the order of enum notice_class. */
struct notice_templates {
	struct notice_template of[NOTICE_TEMPLATE_COUNT];
	char *storage;
};

/* What variables stand for.  Strings are borrowed. */
struct notice_values {
	const char *myhostname;
	const char *queue_id;
	const char *sender;
	int64_t delay_s; /* since the message came */
	int64_t delay_warning_time_s;
	int64_t maximal_queue_lifetime_s; /* of this message */
	int64_t bounce_queue_lifetime_s;
};

/*
 * notice_templates_read - of a file's text, over the built-in ones.
 *
 * NULL where it is wrong; then *line is which, and why holds a sentence without
 * a full stop.  Free with notice_templates_free.
 */
struct notice_templates *notice_templates_read(const char *text, size_t len,
    int *line, char *why, size_t size);

/* The built-in ones; NULL: no memory. */
struct notice_templates *notice_templates_default(void);
void notice_templates_free(struct notice_templates *templates);

/*
 * notice_template_expand - write text with its variables into out.
 *
 * Their values are made printable: what is no ASCII, or a control, becomes "?".
 * Returns the octets it has, or would have if that is size or more.
 */
size_t notice_template_expand(const char *text,
    const struct notice_values *values, char *out, size_t size);

#endif
