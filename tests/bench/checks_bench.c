/* SPDX-License-Identifier: ISC */
/*
 * Decodes one packet of a kind so often, as its receiver does: checks.py counts the
 * instructions.  Arguments: the message's name, and how often.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"

static _Alignas(64) uint8_t packet[MSG_PACKET_SIZE];

/* What a worker sends of a recipient that was delivered. */
static size_t
encode_outcome(void)
{
	static const char reply[] =
	    "250 2.0.0 Ok: queued as 4F1A09C2D7; thank you for the mail";
	struct msg_outcome msg = { 0 };

	msg.outcome.status = OUTCOME_DELIVERED;
	msg.outcome.code = 250;
	memcpy(msg.outcome.dsn, "2.0.0", 6);
	return message_encode(packet, MSG_OUTCOME, &msg, reply,
	    sizeof(reply) - 1);
}

/* What the intake sends of a job with one recipient: strings. */
static size_t
encode_submit(void)
{
	static const char tail[] = "sender@example.org\0\0\0\0\0"
				   "recipient@example.net\0";
	struct msg_submit msg = { 0 };

	return message_encode(packet, MSG_SUBMIT, &msg, tail, sizeof(tail) - 1);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum msg_type type;
		size_t (*encode)(void);
	} rows[] = {
		{ "outcome", MSG_OUTCOME, encode_outcome },
		{ "submit", MSG_SUBMIT, encode_submit },
	};
	struct message m = { .fd = -1 };
	size_t size;

	for (size_t i = 0; argc == 3 && i < sizeof(rows) / sizeof(rows[0]);
	     i++) {
		if (strcmp(argv[1], rows[i].name) != 0)
			continue;
		size = rows[i].encode();
		for (long n = atol(argv[2]); n > 0; n--) {
			const char *why = message_decode(&m, packet, size,
			    msg_descs[rows[i].type].nfds, ~0u, ~0u);

			if (why != NULL) {
				fprintf(stderr, "%s: %s\n", argv[1], why);
				return 1;
			}
		}
		return 0;
	}
	fprintf(stderr, "usage: checks_bench outcome|submit COUNT\n");
	return 64;
}
