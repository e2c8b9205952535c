/* SPDX-License-Identifier: ISC */
/*
 * What a server gets of an envelope's parameters, by what it offers.  Pure.
 */
#ifndef POSTERN_AGENT_SMTP_EXTENSION_H
#define POSTERN_AGENT_SMTP_EXTENSION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/smtp/ehlo.h"
#include "common/parameters.h"

/* Why a message cannot go to this server. */
struct extension_refusal {
	const char *dsn;
	const char *why;
};

/* A bit for each enum parameter that may stand in a command to this server. */
uint32_t extension_parameters(const struct capabilities *caps);

/*
 * extension_refuse - whether the parameters of MAIL forbid this server.
 *
 * NULL: it may have the message, without the parameters that it does not offer
 * and that its sender can do without: those of DSN (RFC 3461), MT-PRIORITY
 * (RFC 6710), AUTH, and BY where the sender is only to be notified (RFC 2852).
 * Static storage.
 */
const struct extension_refusal *extension_refuse(
    const struct capabilities *caps, const char *parameters);

/*
 * Whether a server without DELIVERBY is to tell of delays by DSN, so that a
 * sender who set a time, and not yet in vain, hears of it (RFC 2852, 4.1.4.2).
 */
bool extension_wants_delay(const struct capabilities *caps,
    const char *parameters);

/* The parameters of RCPT with that in them, but where nothing may be told. */
void extension_add_delay(char out[PARAMETERS_RCPT_SIZE],
    const char *parameters);

#endif
