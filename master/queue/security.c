/* SPDX-License-Identifier: ISC */
/* See security.h. */
#include "master/queue/security.h"

#include <stddef.h>

/*
 * REQUIRETLS holds for all but bounces, which are not to be lost for it
 * (RFC 8689, 4.2.1 and 5).  The header sets aside what a recipient's domain
 * wishes, so it counts where mail goes by MX; a server of the configuration is
 * the operator's own matter.
 */
enum security
security_of(const struct transport *config, uint32_t flags,
    const char *reverse_path)
{
	if ((flags & (SUBMIT_REQUIRETLS | SUBMIT_TLS_OPTIONAL)) == 0)
		return SECURITY_POLICY;
	if ((flags & SUBMIT_REQUIRETLS) != 0)
		return reverse_path[0] != '\0' ? SECURITY_REQUIRED
					       : SECURITY_POLICY;
	if (!config->tls_required_enable ||
	    config->next_hop.kind != NEXT_HOP_MX ||
	    config->tls_security_level == CONFIG_TLS_NONE ||
	    (config->tls_security_level == CONFIG_TLS_MAY &&
		config->tls_fallback))
		return SECURITY_POLICY; /* which is no stricter */
	return SECURITY_OPTIONAL;
}

enum tls_level
security_level(const struct transport *config, enum security security)
{
	switch (security) {
	case SECURITY_REQUIRED:
		return TLS_VERIFY;
	case SECURITY_OPTIONAL:
		return TLS_MAY;
	case SECURITY_POLICY:
		break;
	}
	return (enum tls_level)config->tls_security_level;
}

void
security_describe(const struct transport *config, enum security security,
    struct msg_session *msg)
{
	msg->tls_level = (uint8_t)security_level(config, security);
	msg->tls_fallback =
	    config->tls_fallback || security == SECURITY_OPTIONAL;
	msg->require_tls = security == SECURITY_REQUIRED;
}

const char *
security_refuse(const struct transport *config, enum security security,
    bool proven, const char **dsn)
{
	if (security != SECURITY_REQUIRED)
		return NULL;
	if (config->tls_security_level == CONFIG_TLS_NONE &&
	    !config->tls_wrappermode) {
		*dsn = "5.7.10"; /* RFC 8689, 4.2.1; RFC 5248 */
		return "REQUIRETLS: this transport never uses TLS";
	}
	if (config->next_hop.kind == NEXT_HOP_MX && !proven) {
		*dsn = "5.7.30";
		return "REQUIRETLS: no DNSSEC proves the domain's MX";
	}
	return NULL;
}
