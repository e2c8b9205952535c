/* SPDX-License-Identifier: ISC */
/*
 * The blocks listener: what they become, and who may come in.  None lets in more
 * than its file names, and what it leaves out is shut: this is where an open
 * relay would be made.
 */
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

#include "master/config_reader.h"
#include "master/config_value.h"
#include "master/config_word.h"

#define EVERYBODY "everybody"
/* A network of fewer bits is a good part of the Internet. */
#define BITS_LEAST_IPV4 8
#define BITS_LEAST_IPV6 7

static struct config_listener *
listener_add(struct config *config, const char *name, int line)
{
	struct config_listener *list, *l;
	const struct config_row *rows;
	size_t count;

	list = recallocarray(config->listeners, config->nlisteners,
	    config->nlisteners + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->listeners = list;
	l = &list[config->nlisteners++];
	l->line = line;
	l->name = strdup(name);
	rows = config_rows(CONFIG_SCOPE_LISTENER, &count);
	for (size_t i = 0; i < count && l->name != NULL; i++)
		if (config_value_set_default(&rows[i], l) == -1)
			return NULL;
	return l->name != NULL ? l : NULL;
}

/* NULL, or why a listener cannot be called so.  Sockets are handed over by their
 * names, to another generation too, and these are of others. */
static const char *
check_name(const char *name)
{
	static const char *const taken[] = { "job", "control",
		"metrics_socket", "metrics_listen" };

	if (name[0] == '\0')
		return "a listener needs a name";
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcmp(name, taken[i]) == 0)
			return "that is the name of another socket: choose "
			       "another";
	return config_word_check_name(name);
}

void *
config_listener_open(struct reader *r, const char *title)
{
	struct config *c = r->config;
	const char *wrong = check_name(title);
	char where[CONFIG_PLACE_SIZE];

	if (wrong != NULL)
		complain(&r->complaints, r->block_line, "listener %.80s: %s",
		    title, wrong);
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (strcmp(c->listeners[i].name, title) == 0)
			complain(&r->complaints, r->block_line,
			    "listener %s is already defined on %s", title,
			    config_places_line(&r->places,
			        c->listeners[i].line, where));
	}
	if (c->nlisteners < CONFIG_LISTENERS_MAX)
		return listener_add(c, title, r->block_line);
	complain(&r->complaints, r->block_line, "more than %d listeners",
	    CONFIG_LISTENERS_MAX);
	return NULL;
}

/* NULL, or why the word is no client of a TCP listener. */
static const char *
check_network(const char *word, bool everybody, struct server_match *match)
{
	const char *wrong;

	if (strcmp(word, EVERYBODY) == 0)
		return NULL;
	wrong = server_match_parse(word, match);
	if (wrong != NULL)
		return wrong;
	if (match->family == 0)
		return "no address or network, such as 192.0.2.1 or "
		       "192.0.2.0/24; a name can be forged";
	if (!everybody &&
	    match->bits <
		(match->family == AF_INET ? BITS_LEAST_IPV4 : BITS_LEAST_IPV6))
		return "so wide a network makes an open relay; add "
		       "\"everybody\" if that is intended";
	return NULL;
}

/* The words as networks; NULL without any, or without memory. */
static struct server_match *
read_networks(struct reader *r, const char *param,
    const struct config_list *list, bool everybody)
{
	struct server_match *matches;
	const char *wrong;

	if (list->count == 0)
		return NULL;
	matches = calloc(list->count, sizeof(*matches));
	if (matches == NULL) {
		complain_memory(&r->complaints);
		return NULL;
	}
	for (size_t i = 0; i < list->count; i++) {
		wrong = check_network(list->words[i], everybody, &matches[i]);
		if (wrong == NULL)
			continue;
		complain(&r->complaints, config_line_of(r, param),
		    "%s: %.80s: %s", param, list->words[i], wrong);
		break;
	}
	return matches;
}

/* Whether they are in the password file is asked where that can be read. */
static void
check_users(struct reader *r, const char *param, const struct config_list *list)
{
	const char *wrong;

	for (size_t i = 0; i < list->count; i++) {
		wrong = config_word_check_name(list->words[i]);
		if (wrong == NULL)
			continue;
		complain(&r->complaints, config_line_of(r, param),
		    "%s: %.80s: who comes by a Unix socket is a user or uid: "
		    "%s",
		    param, list->words[i], wrong);
		return;
	}
}

static bool
has_word(const struct config_list *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->words[i], word) == 0)
			return true;
	return false;
}

static void
check_clients(struct reader *r, struct config_listener *l)
{
	static const char xforward[] = "smtpd_authorized_xforward_hosts";

	l->everybody = has_word(&l->clients, EVERYBODY);
	if (l->at.kind == NEXT_HOP_UNIX) {
		check_users(r, "clients", &l->clients);
		check_users(r, xforward, &l->smtpd_authorized_xforward_hosts);
		return;
	}
	l->client_matches =
	    read_networks(r, "clients", &l->clients, l->everybody);
	l->xforward_matches = read_networks(r, xforward,
	    &l->smtpd_authorized_xforward_hosts, l->everybody);
	if (has_word(&l->smtpd_authorized_xforward_hosts, EVERYBODY))
		complain(&r->complaints, config_line_of(r, xforward),
		    "%s: everybody cannot be trusted: name who is", xforward);
}

/* A listener on the way to others that says nothing of who may come would be
 * found shut by the first of them; better here. */
static void
check_place(struct reader *r, const struct config_listener *l)
{
	static const char *const of_unix[] = { "mode", "group" };
	struct server_match at;
	int line = config_line_of(r, "listen");

	if (l->listen[0] == '\0') {
		complain(&r->complaints, line,
		    "listener %s: write listen = \"unix:PATH\" or "
		    "\"ADDRESS:PORT\" in it",
		    l->name);
		return;
	}
	if (l->at.kind == NEXT_HOP_UNIX)
		return;
	for (size_t i = 0; i < sizeof(of_unix) / sizeof(of_unix[0]); i++)
		if (config_line_of(r, of_unix[i]) != r->block_line)
			complain(&r->complaints, config_line_of(r, of_unix[i]),
			    "%s: is for a Unix socket alone", of_unix[i]);
	if (l->clients.count == 0 &&
	    server_match_parse(l->at.host, &at) == NULL &&
	    !config_listener_lets_in(l, at.family, at.addr))
		complain(&r->complaints, line,
		    "listen: %s is open to other machines: name in clients = { "
		    "NETWORK, ... } which of them may hand mail in",
		    l->listen);
}

void
config_check_listener(struct reader *r, struct config_listener *l)
{
	/* A word that is wrong has been complained about, and not kept. */
	(void)next_hop_parse(l->listen, 0, &l->at);
	check_place(r, l);
	check_clients(r, l);
	if (l->tls_security_level == CONFIG_TLS_ENCRYPT &&
	    l->tls_cert_file[0] == '\0')
		complain(&r->complaints,
		    config_line_of(r, "tls_security_level"),
		    "tls_security_level: encrypt needs tls_cert_file");
	if (l->tls_key_file[0] != '\0' && l->tls_cert_file[0] == '\0')
		complain(&r->complaints, config_line_of(r, "tls_key_file"),
		    "tls_key_file: its certificate is missing: name it in "
		    "tls_cert_file");
	if (l->protocol == CONFIG_PROTOCOL_LMTP &&
	    l->at.kind == NEXT_HOP_ADDRESS && l->at.port == CONFIG_PORT_SMTP)
		complain(&r->complaints, config_line_of(r, "listen"),
		    "listen: lmtp must not be spoken on port 25 "
		    "(RFC 2033, 5); name another port");
}

bool
config_same_place(const struct next_hop *a, const struct next_hop *b)
{
	if (a->kind != b->kind || a->port != b->port)
		return false;
	return a->kind == NEXT_HOP_UNIX ? strcmp(a->path, b->path) == 0
					: strcmp(a->host, b->host) == 0;
}

void
config_check_listeners(struct reader *r)
{
	const struct config *c = r->config;
	const struct config_listener *l = c->listeners;

	for (size_t i = 0; i < c->nlisteners; i++, l++) {
		if (l->transport[0] != '\0' &&
		    config_transport(c, l->transport) == NULL)
			complain(&r->complaints, l->line,
			    "listener %s: transport: there is no transport %s "
			    "in this file",
			    l->name, l->transport);
		if (l->message_size_limit > c->message_size_limit)
			complain(&r->complaints, l->line,
			    "listener %s: message_size_limit: more than that "
			    "outside of listeners",
			    l->name);
		for (size_t j = 0; j < i && l->listen[0] != '\0'; j++)
			if (config_same_place(&l->at, &c->listeners[j].at))
				complain(&r->complaints, l->line,
				    "listener %s: listener %s has that place",
				    l->name, c->listeners[j].name);
	}
}

/* IPv4 within IPv6 does not come to a listener: its socket takes IPv6 alone. */
static bool
is_loopback(int family, const uint8_t *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	return family == AF_INET ? addr[0] == 127
				 : memcmp(addr, one, sizeof(one)) == 0;
}

static bool
is_among(const struct server_match *matches, size_t count, int family,
    const uint8_t *addr)
{
	for (size_t i = 0; i < count && matches != NULL; i++)
		if (matches[i].family != 0 &&
		    server_match_weigh(&matches[i], "", family, addr) > 0)
			return true;
	return false;
}

bool
config_listener_lets_in(const struct config_listener *l, int family,
    const uint8_t *addr)
{
	if (family != AF_INET && family != AF_INET6)
		return false;
	if (l->everybody)
		return true;
	if (l->clients.count == 0)
		return is_loopback(family, addr);
	return is_among(l->client_matches, l->clients.count, family, addr);
}

bool
config_listener_trusts(const struct config_listener *l, int family,
    const uint8_t *addr)
{
	return is_among(l->xforward_matches,
	    l->smtpd_authorized_xforward_hosts.count, family, addr);
}

bool
config_listens_on(const struct config *config, uint16_t port)
{
	const struct config_listener *l = config->listeners;

	for (size_t i = 0; i < config->nlisteners; i++, l++)
		if (l->at.kind != NEXT_HOP_UNIX && l->at.port == port)
			return true;
	return false;
}
