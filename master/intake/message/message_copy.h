/* SPDX-License-Identifier: ISC */
/* A client's message: from the descriptor it passed to a sealed memfd. */
#ifndef POSTERN_MASTER_INTAKE_MESSAGE_MESSAGE_COPY_H
#define POSTERN_MASTER_INTAKE_MESSAGE_MESSAGE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "master/intake/message/header_scan.h"

#define MESSAGE_COPY_ERROR_SIZE 256

struct message_copy {
	int fd;        /* sealed memfd; the caller's to close */
	uint64_t size; /* octets in it: all line ends are CRLF, unless binary */
	bool has_8bit;
	bool tls_is_optional; /* its header says so (RFC 8689, 3) */
	uint32_t hops;        /* fields Received in its header */
	struct header_scan header;
};

/*
 * message_copy - copy the whole file behind fd, from its first octet.
 *
 * Line ends become CRLF, whether they were LF, CRLF or a bare CR, and a last
 * line without one gets it; so what a remote counts is what we store.  Only a
 * regular file or a memfd of at most limit octets, without holes and without
 * NUL, that does not change meanwhile, is taken.  fd stays the caller's, and
 * its offset where it was.  0, or -1 with one sentence in error and the SMTP
 * code for it in *code (552 too large, 451 our fault, 554 else).
 *
 * binary: every octet stays as it is, NUL and line ends too (RFC 3030, 3).
 */
int message_copy(int fd, uint64_t limit, bool binary, struct message_copy *copy,
    uint16_t *code, char error[MESSAGE_COPY_ERROR_SIZE]);

#endif
