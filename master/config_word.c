/* SPDX-License-Identifier: ISC */
/*
 * The shapes of words.  Whether hosts answer and users exist is not asked.
 */
#include "master/config_word.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/auth.h"
#include "master/config.h"
#include "master/next_hop.h"
#include "master/queue/feedback.h"
#include "master/queue/rate.h"
#include "master/queue/retry.h"
#include "master/server_match.h"

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

static const char *
check_host(const char *word)
{
	if (address_domain_is_host_name(word))
		return NULL;
	return "no legal host name: letters, digits and hyphens, in labels "
	       "of 1 to 63 octets, no dot at the end";
}

static const char *
check_ipv4(const char *word)
{
	struct in_addr address;

	if (inet_pton(AF_INET, word, &address) == 1)
		return NULL;
	return "no IPv4 address";
}

static const char *
check_ipv6(const char *word)
{
	struct in6_addr address;

	if (inet_pton(AF_INET6, word, &address) == 1)
		return NULL;
	return "no IPv6 address";
}

/* ADDRESS or ADDRESS@PORT */
static const char *
check_name_server(const char *word)
{
	char address[INET6_ADDRSTRLEN];
	const char *port = strchr(word, '@'), *error = NULL;
	size_t len = strcspn(word, "@");

	if (port != NULL) {
		(void)strtonum(port + 1, 1, 65535, &error);
		if (error != NULL || port[1] < '1' || port[1] > '9')
			return "the port behind @ must be 1 to 65535";
	}
	if (len >= sizeof(address))
		return "no IP address";
	memcpy(address, word, len);
	address[len] = '\0';
	if (check_ipv4(address) != NULL && check_ipv6(address) != NULL)
		return "no IP address; write ADDRESS or ADDRESS@PORT";
	return NULL;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* A user, group or transport, and the program name in the log. */
const char *
config_word_check_name(const char *word)
{
	if (word[strspn(word, LETTERS DIGITS "_.-")] != '\0')
		return "a name has letters, digits, dots, hyphens and "
		       "underscores";
	if (word[0] == '-' || word[0] == '.')
		return "a name does not begin with a hyphen or dot";
	if (strlen(word) > 32)
		return "a name has at most 32 octets";
	return NULL;
}

/* A name, or a number that a uid may be. */
static const char *
check_user(const char *word)
{
	const char *error = NULL;

	if (word[strspn(word, DIGITS)] != '\0')
		return config_word_check_name(word);
	(void)strtonum(word, 0, UINT32_MAX - 1, &error);
	return error == NULL ? NULL : "no uid: it is too large";
}

static const char *
check_server(const char *word)
{
	struct next_hop any;

	return next_hop_parse(word, 0, &any);
}

/* A name would have to be looked up, and may have several addresses. */
static const char *
check_listen(const char *word)
{
	struct next_hop at;
	const char *wrong = next_hop_parse(word, 0, &at);

	if (wrong == NULL && at.kind == NEXT_HOP_HOST)
		return "write an address, not a name: 127.0.0.1:PORT";
	if (wrong == NULL && at.kind == NEXT_HOP_ADDRESS && at.port == 0)
		return "write the port behind it, ADDRESS:PORT";
	return wrong;
}

/* What we would not use anyhow is misspelled, or a hope that is in vain. */
static const char *
check_keyword(const char *word)
{
	static const char *const keywords[] = {
#define CAPABILITY(name, keyword) keyword,
#include "common/capabilities.def"
#undef CAPABILITY
	};

	for (size_t i = 0; i < NELEM(keywords); i++) {
		if (strcasecmp(keywords[i], word) == 0)
			return NULL;
	}
	return "no EHLO keyword that we use";
}

static const char *
check_mechanism(const char *word)
{
	if (auth_mechanism_find(word, strlen(word)) != AUTH_MECHANISM_COUNT)
		return NULL;
	return "no SASL mechanism that we know";
}

static const char *
check_login_name(const char *word)
{
	return auth_name_ok(word) ? NULL : "holds a control character";
}

static const char *
check_address(const char *word)
{
	struct address address;
	enum address_error error;

	error = address_parse_forward_path(&address, word, strlen(word));
	return error == ADDRESS_OK ? NULL : address_error_text(error);
}

/* Its domain may be left out. */
static const char *
check_local_address(const char *word)
{
	char whole[300];

	if (strchr(word, '@') != NULL)
		return check_address(word);
	(void)snprintf(whole, sizeof(whole), "%s@example.org", word);
	return check_address(whole);
}

static const char *
check_rate(const char *word)
{
	struct rate rate;

	return rate_parse(word, &rate);
}

static const char *
check_feedback(const char *word)
{
	struct feedback_amount amount;

	return feedback_parse(word, &amount);
}

static const char *
check_retry(const char *word)
{
	int64_t ms;

	return retry_parse(word, &ms) ? NULL
				      : "write digits, and s, m, h or d after "
					"them: 1s to 100d";
}

static const char *
check_group_host(const char *word)
{
	struct server_match match;
	const char *wrong = server_match_parse(word, &match);

	if (wrong == NULL && match.family != 0)
		return "a group has hosts, no addresses";
	return wrong;
}

static const struct {
	const char *name;
	const char *(*check)(const char *word);
} checks[] = {
	{ "hostname", check_host },
	{ "ehlo_name", check_host },
	{ "tls_name", check_host },
	{ "syslog_name", config_word_check_name },
	{ "job_socket_group", config_word_check_name },
	{ "control_socket_group", config_word_check_name },
	{ "control_user", config_word_check_name },
	{ "intake_user", config_word_check_name },
	{ "queue_user", config_word_check_name },
	{ "resolver_user", config_word_check_name },
	{ "dialer_user", config_word_check_name },
	{ "agent_user", config_word_check_name },
	{ "signer_user", config_word_check_name },
	{ "metrics_user", config_word_check_name },
	{ "double_bounce_recipient", check_local_address },
	{ "bounce_transport", config_word_check_name },
	{ "bounce_notice_recipient", check_address },
	{ "delay_notice_recipient", check_address },
	{ "job_users", check_user },
	{ "job_authorized_xclient_users", check_user },
	{ "name_servers", check_name_server },
	{ "server", check_server },
	{ "listen", check_listen },
	{ "group", config_word_check_name },
	{ "smtpd_discard_ehlo_keywords", check_keyword },
	{ "bind_address", check_ipv4 },
	{ "bind_address6", check_ipv6 },
	{ "discard_ehlo_keywords", check_keyword },
	{ "auth_user", check_login_name },
	{ "auth_authzid", check_login_name },
	{ "auth_token_user", config_word_check_name },
	{ "auth_mechanisms", check_mechanism },
	{ "transport", config_word_check_name },
	{ "destination_concurrency_positive_feedback", check_feedback },
	{ "destination_concurrency_negative_feedback", check_feedback },
	{ "rate", check_rate },
	{ "destination_rate", check_rate },
	{ "retry_schedule", check_retry },
	{ "hosts", check_group_host },
};

const char *
config_word_check(const char *parameter, const char *word)
{
	if (word[0] == '\0') /* its type's to judge */
		return NULL;
	for (size_t i = 0; i < NELEM(checks); i++) {
		if (strcmp(checks[i].name, parameter) == 0)
			return checks[i].check(word);
	}
	return NULL;
}
