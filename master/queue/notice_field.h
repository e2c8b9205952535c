/* SPDX-License-Identifier: ISC */
/*
 * Fields of a notice: words of others in them are escaped and folded, so that
 * none ends a line.  For notice_text.c.  Pure.
 */
#ifndef MASTER_QUEUE_NOTICE_FIELD_H
#define MASTER_QUEUE_NOTICE_FIELD_H

#include "master/queue/notice_text.h"

/* Octets and words of our own, as they are. */
void field_octets(struct notice_writer *w, const char *octets, size_t n);
void field_put(struct notice_writer *w, const char *text);

/* A field, or a paragraph: text goes on in further lines that begin with a
 * space. */
void field_begin(struct notice_writer *w, const char *name);
void field_text(struct notice_writer *w, const char *text);
void field_end(struct notice_writer *w);

/* What xtext (RFC 3461, 4) stands for. */
void field_xtext(struct notice_writer *w, const char *value, size_t n);

/* An address: as it is, or in the ASCII of RFC 6533, 3, where utf8 is false; and
 * behind its type (RFC 3464, 2.3.2). */
void field_address(struct notice_writer *w, const char *address, bool utf8);
void field_typed_address(struct notice_writer *w, const char *address,
    bool utf8);

/* The value of ORCPT. */
void field_original_address(struct notice_writer *w, const char *value,
    size_t n, bool utf8);

/* The server of a relay, "mx.example.org[192.0.2.1]:25", behind its type. */
void field_mta(struct notice_writer *w, const char *relay);

#endif
