/* SPDX-License-Identifier: ISC */
/*
 * The octets of a message as a client sends them, and where they end.  Pure.
 *
 * By DATA the end is <CR><LF>.<CR><LF>, and nothing else is (RFC 5321, 4.1.1.4):
 * of a dot between other line ends another server may think otherwise, and who
 * agreed with it would take a part of the message for commands (CVE-2023-51764).
 * What comes out has CRLF line ends; that there were others is told.
 */
#ifndef POSTERN_MASTER_INTAKE_SMTPD_SMTPD_DATA_H
#define POSTERN_MASTER_INTAKE_SMTPD_SMTPD_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum smtpd_data_state {
	SMTPD_DATA_LINE,   /* behind CRLF, or nothing yet */
	SMTPD_DATA_DOT,    /* the first octet of a line is a dot */
	SMTPD_DATA_DOT_CR, /* and a CR follows it */
	SMTPD_DATA_TEXT,
	SMTPD_DATA_CR, /* the last octet is a CR, and not written yet */
};

struct smtpd_data {
	enum smtpd_data_state state;
	bool chunks;   /* BDAT: dots mean nothing, and the end is not here */
	bool has_bare; /* a CR or a LF stood alone */
	bool has_nul;
};

/* Zeroed but for chunks, it is at the start of a message. */
void smtpd_data_init(struct smtpd_data *d, bool chunks);

/* The most octets that n become. */
#define SMTPD_DATA_ROOM(n) (2 * (n) + 2)

/*
 * smtpd_data_feed - take octets of the message.
 *
 * Writes to out, which has SMTPD_DATA_ROOM(n), what they say.  *used of n were
 * taken: all, but at the end, where it returns true.
 */
bool smtpd_data_feed(struct smtpd_data *d, const uint8_t *in, size_t n,
    size_t *used, uint8_t *out, size_t *out_len);

/* The last chunk is over: how many octets (2 at most) end its last line. */
size_t smtpd_data_finish(struct smtpd_data *d, uint8_t *out);

#endif
