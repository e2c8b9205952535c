/* SPDX-License-Identifier: ISC */
/*
 * A message's octets as they come, into a memfd that is sealed at the end, and
 * what its header says of how it is to be handled.
 */
#ifndef POSTERN_MASTER_INTAKE_MESSAGE_MESSAGE_SPOOL_H
#define POSTERN_MASTER_INTAKE_MESSAGE_MESSAGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"
#include "master/intake/message/header_scan.h"
#include "master/intake/message/message_copy.h"
#include "master/intake/message/tls_required_field.h"

struct message_spool {
	int fd;         /* -1: none is open */
	uint64_t limit; /* octets */
	uint64_t size;  /* of the client's, so far */
	size_t ours;    /* octets before them that are ours */
	bool has_8bit;
	struct header_scan header;
	struct tls_required_field tls_field;
	struct loop loop;
};

enum message_spool_result {
	MESSAGE_SPOOL_OK,
	MESSAGE_SPOOL_TOO_LARGE,
	MESSAGE_SPOOL_FAILED, /* errno */
};

/* Nothing is open yet. */
void message_spool_init(struct message_spool *g, uint64_t limit);

/* 0, or -1 with errno. */
int message_spool_open(struct message_spool *g);

/* The next octets of the message. */
enum message_spool_result message_spool_put(struct message_spool *g,
    const uint8_t *octets, size_t n);

/*
 * message_spool_put_behind - the same, behind octets of our own that are no part of
 * what the client sent: they count neither as its size nor as its header.
 */
enum message_spool_result message_spool_put_behind(struct message_spool *g,
    const char *ours, const uint8_t *octets, size_t n);

/* Seals it, and hands it over: copy->fd is the caller's.  0, or -1 with
 * errno. */
int message_spool_end(struct message_spool *g, struct message_copy *copy);

/* What was not handed over is dropped. */
void message_spool_clear(struct message_spool *g);

#endif
