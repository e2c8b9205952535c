/* SPDX-License-Identifier: ISC */
/* Which recipients an operator means: those that fit all that was said.  Pure. */
#ifndef MASTER_QUEUE_SELECTOR_H
#define MASTER_QUEUE_SELECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "master/queue/store.h"

/* Strings are never NULL; empty is any. */
struct selector {
	uint64_t until_id; /* 0: any */
	int64_t before_ms; /* 0: any */
	int64_t since_ms;
	uint32_t states; /* bits; 0: any */
	const char *sender;
	const char *recipient;
	const char *reason;
	const char *destination;
	const char *domain;
	const char *to; /* no part of the selection: where MOVE leads */
	uint64_t *ids;  /* in rising order, each once */
	uint32_t nids;  /* 0: any */
	char text[];
};

/* Where a recipient's mail goes. */
struct selector_way {
	const char *domain;
	const char *transport; /* "" where it goes nowhere */
	const char *server;    /* of the transport; "" by MX */
};

/* NULL with errno: EINVAL where the message is none of an honest control role. */
struct selector *selector_new(const struct message *m);
/* Of all there is; NULL: no memory. */
struct selector *selector_new_of_all(void);
void selector_free(struct selector *selector);

/* All but the destination, which is asked last: it takes a route. */
bool selector_fits(const struct selector *selector,
    const struct store_envelope *envelope,
    const struct store_recipient *recipient);
bool selector_fits_way(const struct selector *selector,
    const struct selector_way *way);

#endif
