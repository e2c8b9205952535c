/* SPDX-License-Identifier: ISC */
/*
 * The configuration: postern.conf read whole and checked before anything acts
 * on it.  Whether its files exist and its users resolve is the master's to ask.
 */
#ifndef MASTER_CONFIG_H
#define MASTER_CONFIG_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/auth.h"
#include "master/config_places.h"
#include "master/next_hop.h"
#include "master/server_match.h"

#define CONFIG_TEXT_MAX         (1024 * 1024) /* octets of a configuration */
#define CONFIG_TRANSPORTS_MAX   256
#define CONFIG_ROUTES_MAX       4096
#define CONFIG_SERVERS_MAX      1024
#define CONFIG_DESTINATIONS_MAX 4096
#define CONFIG_MX_GROUPS_MAX    256
#define CONFIG_LISTENERS_MAX    32
#define CONFIG_RETRIES_MAX      16 /* steps of a retry_schedule */
#define CONFIG_ERRORS_MAX       64
#define CONFIG_KEYWORD_MAX      23 /* octets of an EHLO keyword */
#define CONFIG_ERROR_SIZE       320
/* What a route names as its transport where its mail is to wait. */
#define CONFIG_NO_TRANSPORT "none"

/* The values of ENUM parameters, in the order of the words in config.def. */
enum config_log {
	CONFIG_LOG_STDERR,
	CONFIG_LOG_SYSLOG,
};

enum config_log_format {
	CONFIG_LOG_FORMAT_TEXT,
	CONFIG_LOG_FORMAT_JSON,
	CONFIG_LOG_FORMAT_MAILLOG, /* as enum log_format */
};

enum config_metrics_access {
	CONFIG_METRICS_LOOPBACK,
	CONFIG_METRICS_ANY,
};

enum config_syslog_facility {
	CONFIG_FACILITY_MAIL,
	CONFIG_FACILITY_DAEMON,
	CONFIG_FACILITY_USER,
	CONFIG_FACILITY_LOCAL0,
	CONFIG_FACILITY_LOCAL1,
	CONFIG_FACILITY_LOCAL2,
	CONFIG_FACILITY_LOCAL3,
	CONFIG_FACILITY_LOCAL4,
	CONFIG_FACILITY_LOCAL5,
	CONFIG_FACILITY_LOCAL6,
	CONFIG_FACILITY_LOCAL7,
};

enum config_queue_store {
	CONFIG_QUEUE_STORE_SQLITE,
	CONFIG_QUEUE_STORE_MEMORY,
};

enum config_protocol {
	CONFIG_PROTOCOL_SMTP,
	CONFIG_PROTOCOL_LMTP,
};

enum config_tls_security_level {
	CONFIG_TLS_NONE,
	CONFIG_TLS_MAY,
	CONFIG_TLS_ENCRYPT,
	CONFIG_TLS_VERIFY,
};

enum config_mime_output_conversion {
	CONFIG_MIME_CONVERT,
	CONFIG_MIME_BOUNCE,
	CONFIG_MIME_SEND,
	CONFIG_MIME_CONVERT_UNSIGNED,
};

enum config_client_command {
	CONFIG_CLIENT_NONE,
	CONFIG_CLIENT_XFORWARD,
	CONFIG_CLIENT_XCLIENT,
};

enum config_inet_protocols {
	CONFIG_INET_ALL,
	CONFIG_INET_IPV4,
	CONFIG_INET_IPV6,
};

enum config_address_preference {
	CONFIG_PREFER_ANY,
	CONFIG_PREFER_IPV4,
	CONFIG_PREFER_IPV6,
};

enum config_answer {
	CONFIG_ANSWER_QUEUED,
	CONFIG_ANSWER_FINAL,
};

enum config_smtpd_tls_min_protocol {
	CONFIG_TLS_FROM_1_2,
	CONFIG_TLS_FROM_1_3,
};

enum config_smtpd_forbid_bare_newline {
	CONFIG_BARE_REJECT,
	CONFIG_BARE_NORMALIZE,
};

struct config_list {
	char **words;
	size_t count;
};

/* The C type of a parameter.  Strings are never NULL: absent is empty. */
#define CONFIG_MEMBER_STRING(name)   char *name;
#define CONFIG_MEMBER_PATH(name)     char *name; /* absolute, or empty */
#define CONFIG_MEMBER_INT(name)      int name;
#define CONFIG_MEMBER_DURATION(name) int name;      /* seconds */
#define CONFIG_MEMBER_SIZE(name)     uint64_t name; /* octets */
#define CONFIG_MEMBER_BOOL(name)     bool name;
#define CONFIG_MEMBER_ENUM(name)     enum config_##name name;
#define CONFIG_MEMBER_LIST(name)     struct config_list name;
#define CONFIG_MEMBER_MODE(name)     mode_t name;

struct transport {
	char *name;
	int line; /* in the file; 0 for the built-in one */
	struct next_hop next_hop;
#define TRANSPORT(name, type, value, least, most, unit, text)                  \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

/* What holds for one server or several, whichever transport leads to it. */
struct server {
	struct server_match match;
	int line;
#define SERVER(name, type, value, least, most, unit, text)                     \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

struct route {
	char *domain; /* "example.org", ".example.org" or "*"; lower case */
	const struct transport *leads_to;
	int line;          /* where the transport is named */
	bool has_lifetime; /* of its own */
#define ROUTE(name, type, value, least, most, unit, text)                      \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

/* What holds for the mail of one domain that goes by its MX. */
struct config_destination {
	char *domain; /* lower case */
	int line;
#define DESTINATION(name, type, value, least, most, unit, text)                \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

/* Mail servers that share limits, whichever domains' mail goes there. */
struct config_mx_group {
	char *name;
	int line;
	struct server_match *matches; /* as many as hosts */
#define MX_GROUP(name, type, value, least, most, unit, text)                   \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

/* Where MTAs and others hand mail in by SMTP or LMTP. */
struct config_listener {
	char *name;
	int line;
	struct next_hop at; /* a Unix socket, or an address with its port */
	/* By TCP: as many as clients and smtpd_authorized_xforward_hosts. */
	struct server_match *client_matches;
	struct server_match *xforward_matches;
	bool everybody; /* clients says so */
#define LISTENER(name, type, value, least, most, unit, text)                   \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

struct config {
	struct config_places places; /* where its lines are from */
	int *lines; /* of the global parameters that are set; config_line() */
	struct transport *transports; /* in the file's order */
	size_t ntransports;
	struct route *routes; /* sorted by domain */
	size_t nroutes;
	struct server *servers; /* in the file's order */
	size_t nservers;
	struct config_destination *destinations; /* in the file's order */
	size_t ndestinations;
	struct config_mx_group *mx_groups; /* in the file's order */
	size_t nmx_groups;
	struct config_listener *listeners; /* in the file's order */
	size_t nlisteners;
#define GLOBAL(name, type, value, least, most, unit, text)                     \
	CONFIG_MEMBER_##type(name)
#include "master/config.def"
};

/*
 * What is wrong with a configuration, each as "file:line: what to do", in the
 * file's order.  count may exceed what the list holds.
 */
struct config_errors {
	size_t count;
	size_t nlines; /* used of lines, at most CONFIG_ERRORS_MAX */
	char lines[CONFIG_ERRORS_MAX][CONFIG_ERROR_SIZE];
};

/*
 * config_read - read a configuration of len octets; name stands in the errors.
 *
 * NULL where anything is wrong, with every error in errors (whose former
 * content is lost).  Opens no file; looks at nothing but text and the
 * machine's host name.  Free with config_free.
 */
struct config *config_read(const char *name, const char *text, size_t len,
    struct config_errors *errors);

/* NULL is fine. */
void config_free(struct config *config);

/*
 * The transport for a recipient's domain (any letter case): the exact domain,
 * else the longest ".parent", else "*".  NULL where no route fits.
 */
const struct transport *config_route(const struct config *config,
    const char *domain);

/* The route itself; NULL where none fits. */
const struct route *config_route_of(const struct config *config,
    const char *domain);

/*
 * config_route_gap - how many routes lead nowhere (transport = none), and in *line
 * and *domain the first of them: "*" before all others.
 */
size_t config_route_gap(const struct config *config, int *line,
    const char **domain);

/* What the file says of a domain as a destination, and of the group that a mail
 * server is of (by the longest match); NULL: nothing. */
const struct config_destination *config_destination(const struct config *config,
    const char *domain);
const struct config_mx_group *config_mx_group(const struct config *config,
    const char *host);

/* The transport of that name, or NULL. */
const struct transport *config_transport(const struct config *config,
    const char *name);

/*
 * What the file says of a server: of its name (any letter case) the longest
 * match, else of its address (AF_INET or AF_INET6; others match nothing) the
 * longest network.  NULL where nothing fits.
 */
const struct server *config_server(const struct config *config,
    const char *host, int family, const uint8_t *addr);

/* Whether an address (AF_INET or AF_INET6) may use a listener, and whether it may
 * say XFORWARD there.  Nobody but loopback may where the file names nobody. */
bool config_listener_lets_in(const struct config_listener *l, int family,
    const uint8_t *addr);
bool config_listener_trusts(const struct config_listener *l, int family,
    const uint8_t *addr);

/* Whether a listener of the file has a TCP port of that number, at any address. */
bool config_listens_on(const struct config *config, uint16_t port);

/* Whether two listeners would be one socket, as far as their words say it. */
bool config_same_place(const struct next_hop *a, const struct next_hop *b);

/*
 * The number under which the agent keeps what transports[i] trusts: that of the
 * first transport with the same tls_CAfile, so that a file is held once.
 */
size_t config_trust(const struct config *config, size_t i);

/* Whether we log in there, what for a secret with, and by which mechanisms: bits
 * of enum auth_mechanism, 0: any. */
bool config_wants_login(const struct transport *t);
enum auth_secret config_secret(const struct transport *t);
uint32_t config_mechanisms(const struct transport *t);

/* Writes it as config_read would take it: all of it, defaults included; or, with
 * changed, what is not at its default. */
void config_dump(const struct config *config, bool changed, FILE *out);

/* One row of config.def, for the dump and the tests. */
enum config_scope {
	CONFIG_SCOPE_GLOBAL,
	CONFIG_SCOPE_TRANSPORT,
	CONFIG_SCOPE_ROUTE,
	CONFIG_SCOPE_DESTINATION,
	CONFIG_SCOPE_MX_GROUP,
	CONFIG_SCOPE_SERVER,
	CONFIG_SCOPE_LISTENER,
};

enum config_type {
	CONFIG_TYPE_STRING,
	CONFIG_TYPE_PATH,
	CONFIG_TYPE_INT,
	CONFIG_TYPE_DURATION,
	CONFIG_TYPE_SIZE,
	CONFIG_TYPE_BOOL,
	CONFIG_TYPE_ENUM,
	CONFIG_TYPE_LIST,
	CONFIG_TYPE_MODE,
};

struct config_row {
	enum config_scope scope;
	enum config_type type;
	const char *name;
	const char *value; /* the default, as a file would write it */
	uint64_t least;
	uint64_t most;
	const char *unit;
	const char *text;
	size_t offset; /* of the member in the scope's struct */
};

/* The line that sets a global parameter; 0: none does, or it is no such parameter. */
int config_line(const struct config *config, const char *parameter);

/* The rows of a scope, and how many; static storage. */
const struct config_row *config_rows(enum config_scope scope, size_t *count);

#endif
