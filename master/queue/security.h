/* SPDX-License-Identifier: ISC */
/*
 * What a message's sender demands of TLS (RFC 8689), beside what its transport
 * says.  A worker has one TLS policy for its life, so messages that differ in
 * this have destinations of their own (schedule_destination.variant).
 */
#ifndef MASTER_QUEUE_SECURITY_H
#define MASTER_QUEUE_SECURITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "master/config.h"

enum security {
	SECURITY_POLICY,   /* as the transport says: nearly all */
	SECURITY_REQUIRED, /* REQUIRETLS: verified, and the server keeps to it */
	SECURITY_OPTIONAL, /* TLS-Required: No: where it works */
};

enum security security_of(const struct transport *config, uint32_t flags,
    const char *reverse_path);

/* The transport's level, or what takes its place. */
enum tls_level security_level(const struct transport *config,
    enum security security);

void security_describe(const struct transport *config, enum security security,
    struct msg_session *msg);

/*
 * security_refuse - whether what is demanded can never be had there.
 *
 * NULL, or why not; then *dsn is set.  proven: the names of the hosts are not
 * just what some name server said.
 */
const char *security_refuse(const struct transport *config,
    enum security security, bool proven, const char **dsn);

#endif
