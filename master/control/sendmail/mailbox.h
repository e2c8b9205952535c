/* SPDX-License-Identifier: ISC */
/* Address lists of header fields and command lines (RFC 5322, 3.4, and the obsolete
 * forms of 4.4).  Pure. */
#ifndef POSTERN_MASTER_CONTROL_SENDMAIL_MAILBOX_H
#define POSTERN_MASTER_CONTROL_SENDMAIL_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

#define MAILBOX_SIZE 1024 /* of one address, with its NUL */

enum mailbox_event {
	MAILBOX_ADDRESS,
	MAILBOX_END,
	MAILBOX_BAD, /* what is there is none; the list goes on after it */
};

/* A list that is being read; the octets stay the caller's. */
struct mailbox_list {
	const char *in;
	size_t n;
	size_t at;
	size_t end; /* of the last address: after its last octet in "in" */
	/* One that nothing closes was seen: it and all after it are characters. */
	bool open_comment, open_quote, open_bracket;
};

/*
 * mailbox_next - the next address of a list.
 *
 * ADDRESS: out is its addr-spec as it stands, without comments, white space, name
 * and source route; whether it is one of SMTP is for common/address.h to say, and
 * it may lack a domain.  BAD: out is what was read of it, for a complaint.  A
 * group without members is nothing.
 *
 * Names, of people and of groups, are of any length, and hold what mail programs put
 * there without quotes: brackets that nothing opened or closed, characters of
 * ISO-2022-JP (RFC 1468) and its kin, whose octets look like "<", "," or "(".  Of an
 * address a bracket "<" or ">" may be missing or double.
 */
enum mailbox_event mailbox_next(struct mailbox_list *list,
    char out[static MAILBOX_SIZE]);

#endif
