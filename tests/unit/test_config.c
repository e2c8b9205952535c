/* SPDX-License-Identifier: ISC */
/*
 * The configuration: what it reads, every error it finds, and that its file
 * and its manual say what its rows say.
 */
#include "common/address.h"
#include "master/config.h"
#include "master/config_doubts.h"
#include "master/config_near.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

static struct config_errors errors;

static struct config *
read_text(const char *text)
{
	return config_read("f", text, strlen(text), &errors);
}

/* One that must be right. */
static struct config *
read_good(const char *text)
{
	struct config *config = read_text(text);

	cr_assert_not_null(config, "%s: %s", text,
	    errors.nlines ? errors.lines[0] : "");
	cr_assert_eq(errors.count, 0);
	return config;
}

static char *
dump_what(const struct config *config, bool changed)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	config_dump(config, changed, out);
	cr_assert_eq(fclose(out), 0);
	return text;
}

static char *
dump(const struct config *config)
{
	return dump_what(config, false);
}

static char *
slurp(const char *path)
{
	static char text[256 * 1024];
	FILE *in = fopen(path, "r");
	size_t len;

	cr_assert_not_null(in, "%s", path);
	len = fread(text, 1, sizeof(text) - 1, in);
	cr_assert_eq(fclose(in), 0);
	cr_assert_lt(len, sizeof(text) - 1);
	text[len] = '\0';
	return text;
}

Test(config, nothing_means_the_mx_of_every_domain)
{
	struct config *c = read_good("");
	const struct transport *t = config_route(c, "example.org");

	cr_assert_not_null(t);
	cr_expect_str_eq(t->name, "smtp");
	cr_expect_eq(t->next_hop.kind, NEXT_HOP_MX);
	cr_expect_eq(t->next_hop.port, 25);
	cr_expect_eq(t->tls_security_level, CONFIG_TLS_MAY);
	cr_expect_eq(t->data_done_timeout, 600);
	cr_expect(t->tls_fallback);
	cr_expect_eq(c->message_size_limit, 50 * 1024 * 1024);
	cr_expect_eq(c->job_socket_mode, 0660);
	cr_expect_eq(c->job_users.count, 0);
	cr_expect_str_eq(c->job_socket, "/run/postern/job");
	cr_expect_str_eq(c->pid_file, "/run/postern/posternd.pid");
	config_free(c);
}

Test(config, every_type_is_read)
{
	struct config *c = read_good("hostname = 'mx.example.org'\r\n"
				     "log = syslog # not stderr\n"
				     "syslog_facility = local7\n"
				     "message_size_limit = 2k\n"
				     "minimal_backoff_time = 1m\n"
				     "maximal_backoff_time = 2h\n"
				     "maximal_queue_lifetime = 3d\n"
				     "failed_keep_time = 4s\n"
				     "process_limit = 7\n"
				     "job_socket_mode = 600\n"
				     "run_directory = /tmp/r\n"
				     "job_socket = /tmp/j\n"
				     "job_users = { ana, # first\n\t1005,\n}\n"
				     "name_servers = ::1@5353\n"
				     "transport a { tls_wrappermode = yes }\n"
				     "transport b { port = 10025 }\n"
				     "transport c { server = h port = 26 }\n");
	const struct transport *t = config_transport(c, "a");

	cr_expect_str_eq(c->hostname, "mx.example.org");
	cr_expect_eq(c->log, CONFIG_LOG_SYSLOG);
	cr_expect_eq(c->syslog_facility, CONFIG_FACILITY_LOCAL7);
	cr_expect_eq(c->message_size_limit, 2048);
	cr_expect_eq(c->minimal_backoff_time, 60);
	cr_expect_eq(c->maximal_backoff_time, 7200);
	cr_expect_eq(c->maximal_queue_lifetime, 3 * 86400);
	cr_expect_eq(c->failed_keep_time, 4);
	cr_expect_eq(c->process_limit, 7);
	cr_expect_eq(c->job_socket_mode, 0600);
	cr_expect_str_eq(c->job_socket, "/tmp/j");
	cr_expect_str_eq(c->control_socket, "/tmp/r/control");
	cr_assert_eq(c->job_users.count, 2);
	cr_expect_str_eq(c->job_users.words[1], "1005");
	cr_assert_eq(c->name_servers.count, 1);
	cr_expect_str_eq(c->name_servers.words[0], "::1@5353");
	cr_assert_not_null(t);
	cr_expect(t->tls_wrappermode);
	cr_expect_eq(t->next_hop.port, 465);
	cr_expect_eq(config_transport(c, "b")->next_hop.kind, NEXT_HOP_MX);
	cr_expect_eq(config_transport(c, "b")->next_hop.port, 10025);
	cr_expect_eq(config_transport(c, "c")->next_hop.port, 26);
	config_free(c);
}

static const struct {
	const char *domain, *want;
} route_cases[] = {
	{ "example.org", "exact" },
	{ "EXAMPLE.Org", "exact" },
	{ "a.example.org", "below" },
	{ "b.a.example.org", "below" },
	{ "x.deep.example.org", "deep" },
	{ "deep.example.org", "below" },
	{ "org", "rest" },
	{ "notexample.org", "rest" },
	{ "", "rest" },
	{ "*", "rest" },
	{ ".", "rest" },
	{ "[127.0.0.1]", "rest" },
};

Test(config, the_longest_route_wins)
{
	struct config *c =
	    read_good("transport exact {} transport below {}\n"
		      "transport deep {} transport rest {}\n"
		      "route Example.ORG { transport = exact }\n"
		      "route .example.org { transport = below }\n"
		      "route .deep.example.org { transport = deep }\n"
		      "route \"*\" { transport = rest }\n");

	for (size_t i = 0; i < NELEM(route_cases); i++)
		cr_expect_str_eq(config_route(c, route_cases[i].domain)->name,
		    route_cases[i].want, "%s", route_cases[i].domain);
	config_free(c);
}

Test(config, own_transports_leave_the_default_route_as_it_is)
{
	struct config *c = read_good("transport a {}\n"
				     "route a.org { transport = a }");
	const char *domain;
	int line;

	cr_expect_str_eq(config_route(c, "a.org")->name, "a");
	cr_assert_not_null(config_route(c, "b.org"));
	cr_expect_str_eq(config_route(c, "b.org")->name, "smtp");
	cr_expect_eq(config_transport(c, "smtp")->next_hop.kind, NEXT_HOP_MX);
	cr_expect_eq(config_route_gap(c, &line, &domain), 0);
	config_free(c);
}

Test(config, a_transport_named_smtp_takes_the_default_route)
{
	struct config *c = read_good("transport smtp { server = b.org }");

	cr_assert_eq(c->ntransports, 1);
	cr_expect_str_eq(config_route(c, "a.org")->server, "b.org");
	config_free(c);
}

Test(config, a_route_to_none_leads_nowhere_and_is_shown)
{
	struct config *c = read_good("route a.org { transport = none }\n"
				     "route b.org { transport = smtp }\n"
				     "route \"*\" {\ntransport = none\n}");
	const char *domain = "";
	int line = 0;

	cr_expect_null(config_route(c, "a.org"));
	cr_expect_null(config_route(c, "c.org"));
	cr_expect_not_null(config_route(c, "b.org"));
	cr_expect_eq(config_route_gap(c, &line, &domain), 2);
	cr_expect_str_eq(domain, "*");
	cr_expect_eq(line, 4);
	config_free(c);
}

Test(config, routes_may_name_the_builtin_transport)
{
	struct config *c = read_good("route a.org { transport = smtp }");

	cr_expect_str_eq(config_route(c, "a.org")->name, "smtp");
	cr_expect_str_eq(config_route(c, "b.org")->name, "smtp");
	config_free(c);
}

static const struct {
	const char *host, *address;
	const char *want; /* the title; NULL: none */
} section_cases[] = {
	{ "MX.example.net", "192.0.2.1", "mx.example.net" },
	{ "b.example.net", "192.0.2.1", ".example.net" },
	{ "a.deep.example.net", "192.0.2.1", ".deep.example.net" },
	{ "example.net", "192.0.2.1", "192.0.2.1" },
	{ "example.net", "192.0.2.2", "192.0.2.0/24" },
	{ "example.net", "192.0.3.2", NULL },
};

Test(config, one_section_holds_for_a_server)
{
	struct config *c = read_good(
	    "server 192.0.2.0/24 { discard_ehlo_keywords = { DSN, size } }\n"
	    "server .example.net { }\n"
	    "server MX.example.net { discard_ehlo_keywords = chunking }\n"
	    "server '.deep.example.net' { }\n"
	    "server [192.0.2.1] { }\n");
	const struct server *server;
	uint8_t addr[16] = { 0 };

	cr_assert_eq(c->nservers, 5);
	cr_assert_eq(c->servers[0].discard_ehlo_keywords.count, 2);
	cr_expect_str_eq(c->servers[0].discard_ehlo_keywords.words[1], "size");
	for (size_t i = 0; i < NELEM(section_cases); i++) {
		cr_assert_eq(inet_pton(AF_INET, section_cases[i].address, addr),
		    1);
		server = config_server(c, section_cases[i].host, AF_INET, addr);
		cr_assert_eq(server == NULL, section_cases[i].want == NULL);
		if (server != NULL)
			cr_expect_str_eq(server->match.name,
			    section_cases[i].want);
	}
	cr_expect_null(config_server(c, "mx.example.net", AF_UNIX, addr));
	config_free(c);
}

Test(config, there_are_only_so_many_servers)
{
	size_t size = (CONFIG_SERVERS_MAX + 1) * 32;
	char *text = calloc(1, size);
	struct config *c;

	cr_assert_not_null(text);
	for (int i = 0; i < CONFIG_SERVERS_MAX; i++)
		(void)snprintf(text + strlen(text), size - strlen(text),
		    "server h%d { }\n", i);
	c = read_good(text);
	config_free(c);
	(void)strlcat(text, "server one-more { }\n", size);
	cr_expect_null(read_text(text));
	cr_expect_eq(errors.count, 1);
	cr_expect_str_eq(errors.lines[0], "f:1025: more than 1024 servers");
	free(text);
}

static const struct {
	const char *word;
	enum next_hop_kind kind;
	const char *host;
	uint16_t port;
} server_cases[] = {
	{ "mail.example.org", NEXT_HOP_HOST, "mail.example.org", 25 },
	{ "mail.example.org:587", NEXT_HOP_HOST, "mail.example.org", 587 },
	{ "[mail.example.org]:587", NEXT_HOP_HOST, "mail.example.org", 587 },
	{ "localhost", NEXT_HOP_HOST, "localhost", 25 },
	{ "127.0.0.1", NEXT_HOP_ADDRESS, "127.0.0.1", 25 },
	{ "127.0.0.1:65535", NEXT_HOP_ADDRESS, "127.0.0.1", 65535 },
	{ "[127.0.0.1]", NEXT_HOP_ADDRESS, "127.0.0.1", 25 },
	{ "[::1]", NEXT_HOP_ADDRESS, "::1", 25 },
	{ "[2001:db8::1]:1", NEXT_HOP_ADDRESS, "2001:db8::1", 1 },
	{ "", NEXT_HOP_MX, "", 25 },
	{ "mail_relay:25", NEXT_HOP_HOST, "mail_relay", 25 },
	{ "unix:/run/x", NEXT_HOP_UNIX, "", 25 },
};

Test(config, a_server_is_taken_apart)
{
	struct next_hop hop;

	for (size_t i = 0; i < NELEM(server_cases); i++) {
		cr_expect_null(next_hop_parse(server_cases[i].word, 25, &hop),
		    "%s", server_cases[i].word);
		cr_expect_eq(hop.kind, server_cases[i].kind);
		cr_expect_str_eq(hop.host, server_cases[i].host);
		cr_expect_eq(hop.port, server_cases[i].port);
	}
	cr_expect_null(next_hop_parse("unix:/run/x", 24, &hop));
	cr_expect_str_eq(hop.path, "/run/x");
}

/* 64 octets */
#define LONG_LABEL                                                             \
	"a123456789b123456789c123456789d123456789e123456789f123456789g123"

static const char *const bad_servers[] = { "host:", "host:0", "host:65536",
	"host:25x", "host:+25", "host:-1", "[::1", "[::1]x", "::1", "[]", ":25",
	"unix:", "unix:x", "a..b", ".a", "a.", "-a.org", "a-.org", "a b.org",
	"256.1.1.1", "1.2.3", "a b", "m\xc3\xbcller.org", "host/x",
	LONG_LABEL ".org", "unix:/" LONG_LABEL LONG_LABEL };

/* S-056: a host that is no legal TLS name never comes near a connect. */
Test(config, s_056_a_server_that_is_no_legal_name_is_refused)
{
	char text[300];
	struct next_hop hop;

	for (size_t i = 0; i < NELEM(bad_servers); i++) {
		cr_expect_not_null(next_hop_parse(bad_servers[i], 25, &hop),
		    "%s", bad_servers[i]);
		(void)snprintf(text, sizeof(text),
		    "transport a {\n server = \"%s\"\n}", bad_servers[i]);
		cr_expect_null(read_text(text), "%s", bad_servers[i]);
		cr_expect_eq(strncmp(errors.lines[0], "f:2: server: ", 13), 0,
		    "%s", errors.lines[0]);
	}
}

Test(config, labels_of_63_and_names_of_253_octets_are_legal)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	for (size_t i = 63; i < sizeof(name); i += 64)
		name[i] = '.';
	name[253] = '\0';
	cr_expect(address_domain_is_host_name(name));
	name[253] = 'a';
	name[254] = '\0';
	cr_expect_not(address_domain_is_host_name(name));
}

/* One error, with its line. */
static const struct {
	const char *text;
	const char *want; /* what the error begins with */
} error_cases[] = {
	{ "\nnonsense = 3", "f:2: nonsense is no parameter" },
	{ "\n\ninclude(\"x\")", "f:3: a character" },
	{ "include = \"x\"", "f:1: include is for files" },
	{ "protocol = lmtp", "f:1: protocol belongs into a block transport" },
	{ "transport a {\nlog = text\n}", "f:2: log belongs outside" },
	{ "route a.org {\ntransport = smtp\nlog = text\n}", "f:3: log belong" },
	{ "log = stderr\nlog = stderr", "f:2: log is already set on line 1" },
	{ "log = tomato", "f:1: log: tomato is none of stderr|syslog" },
	{ "log = stder", "f:1: log: stder is none of" },
	{ "log = {stderr}", "f:1: log: this is no single value" },
	{ "transport a {\nauth_user = u\nauth_password_file = \"/p\"\n"
	  "auth_token_file = \"/t\"\nserver = h\n}",
	    "f:3: auth_password_file: one of auth_password_file, auth_token" },
	{ "transport a {\nauth_password_file = \"/p\"\nserver = h\n}",
	    "f:2: auth_password_file: needs auth_user" },
	{ "transport a {\nauth_user = u\nserver = h\n}",
	    "f:2: auth_user: a login needs auth_password_file" },
	{ "transport a {\nauth_mechanisms = { PLAIN }\nserver = h\n}",
	    "f:2: auth_mechanisms: a login needs auth_password_file" },
	{ "transport a {\nauth_mechanisms = { PLIAN }\nserver = h\n}",
	    "f:2: auth_mechanisms: PLIAN: no SASL mechanism that we know" },
	{ "transport a {\nauth_user = u\nauth_token_command = { \"x\" }\nserver = h\n}",
	    "f:3: auth_token_command: its first word must be an absolute" },
	{ "transport a {\nauth_user = u\nauth_password_file = \"/p\"\n"
	  "tls_security_level = none\nserver = h\n}",
	    "f:2: auth_user: without TLS a login needs auth_in_clear" },
	{ "transport a {\nauth_password_file = \"p\"\nserver = h\n}",
	    "f:2: auth_password_file: must be an absolute path" },
	{ "transport a {\nauth_user = u\nauth_password_file = \"/p\"\n}",
	    "f:2: auth_user: a login needs server" },
	{ "transport a {\nauth_mechanisms = { EXTERNAL }\n}",
	    "f:2: auth_mechanisms: a login needs server" },
	{ "log =\nlog_format = text", "f:1: there is no value after =" },
	{ "log stderr", "f:1: write NAME = VALUE" },
	{ "log", "f:1: the name stands alone" },
	{ "= x", "f:1: a statement begins with a name" },
	{ "\"log\" = stderr", "f:1: a statement begins with a name" },
	{ "log += stderr", "f:1: a character" },
	{ "/* x */", "f:1: a character" },
	{ "// x", "f:1: a comment begins with #" },
	{ "process_limit = 0",
	    "f:1: process_limit: 0 is out of range; give 1" },
	{ "process_limit = 10001", "f:1: process_limit: 10001 is out of" },
	{ "process_limit = -1", "f:1: process_limit: -1 is no number" },
	{ "process_limit = 1k", "f:1: process_limit: 1k is no number" },
	{ "process_limit = ''", "f:1: process_limit:  is no number" },
	{ "process_limit = 99999999999999999999999", "f:1: process_limit: 99" },
	{ "stop_timeout = 1w", "f:1: stop_timeout: 1w is no number" },
	{ "stop_timeout = 1ms", "f:1: stop_timeout: 1ms is no number" },
	{ "stop_timeout = 2h", "f:1: stop_timeout: 2h is out of range" },
	{ "message_size_limit = 3000m",
	    "f:1: message_size_limit: 3000m is ou" },
	{ "job_socket_mode = 0888", "f:1: job_socket_mode: 0888 is no mode" },
	{ "job_socket_mode = 7777", "f:1: job_socket_mode: 7777 is out of" },
	{ "job_socket_mode = rw", "f:1: job_socket_mode: rw is no mode" },
	{ "spool_directory = spool", "f:1: spool_directory: must be an absol" },
	{ "spool_directory = ''", "f:1: spool_directory: must not be empty" },
	{ "run_directory = $run_directory/x", "f:1: run_directory: must be" },
	{ "job_socket = $spool_directory/x", "f:1: job_socket: must be" },
	{ "job_users = { a b }", "f:1: a list is written" },
	{ "job_users = { a,\n'b'\n'c' }", "f:3: a list is written" },
	{ "job_users = { a", "f:1: the list does not end" },
	{ "job_users = { '' }", "f:1: job_users: a word is empty" },
	{ "job_users = { -a }", "f:1: job_users: -a: a name does not begin" },
	{ "job_users = { 4294967295 }", "f:1: job_users: 4294967295: no uid" },
	{ "name_servers = { a.org }", "f:1: name_servers: a.org: no IP" },
	{ "name_servers = ::1@0", "f:1: name_servers: ::1@0: the port" },
	{ "name_servers = {::1,::1,::1,::1,::1,::1,::1,::1,::1}",
	    "f:1: name_servers: the number of words is out of range" },
	{ "transport a { discard_ehlo_keywords = { dsn, 'a b' } }",
	    "f:1: discard_ehlo_keywords: a b: no EHLO keyword that we" },
	{ "transport a { discard_ehlo_keywords = chunknig }",
	    "f:1: discard_ehlo_keywords: chunknig: no EHLO keyword that we" },
	{ "hostname = a_b", "f:1: hostname: a_b: no legal host name" },
	{ "hostname = \"a", "f:1: the string does not end on its line" },
	{ "hostname = 'a\\", "f:1: the string does not end on its line" },
	{ "hostname = \"a\nlog = stderr",
	    "f:1: the string does not end on its line" },
	{ "hostname = \"\\x41\"", "f:1: a backslash may stand only" },
	{ "hostname = \"\001\"", "f:1: a control character" },
	{ "hostname = \"${HOME}\"", "f:1: ${ is not replaced" },
	{ "hostname = x${HOME}", "f:1: ${ is not replaced" },
	{ "minimal_backoff_time = 2h", "f:1: minimal_backoff_time: more than" },
	{ "log = stderr\nrun_directory = /" LONG_LABEL LONG_LABEL,
	    "f:2: job_socket: is too long with run_directory" },
	{ "hostname = a /", "f:1: the name stands alone" },
	{ "control_socket = /run/postern/job", "f:1: control_socket: must no" },
	{ "outcome_events = { deferred }",
	    "f:1: outcome_events: deferred is neither" },
	{ "outcome_command = { cat }", "f:1: outcome_command: begin with" },
	{ "outcome_socket = /a\noutcome_command = { /bin/cat }",
	    "f:2: outcome_command: stands beside outcome_socket" },
	{ "metrics_listen = \"localhost:1\"", "f:1: metrics_listen: must be" },
	{ "\nmetrics_listen = \"0.0.0.0:1\"",
	    "f:2: metrics_listen: other hosts reach 0.0.0.0:1" },
	{ "transport none {}", "f:1: transport none: in a route this word" },
	{ "listener l { listen = unix:/l transport = none }",
	    "f:1: listener l: transport: there is no transport none" },
	{ "route a.org {\ntransport = nix\n}", "f:2: transport: the config" },
	{ "\nroute a.org {\n}", "f:2: route a.org: write transport = NAME" },
	{ "route a..b { transport = smtp }", "f:1: route a..b: no legal" },
	{ "route * { transport = smtp }", "f:1: a character" },
	{ "route a { transport = smtp }\nroute A { transport = smtp }",
	    "f:2: route a is already defined on line 1" },
	{ "route a.org {\ntransport = \"\"\n}", "f:2: route a.org: write" },
	{ "route a.org {\ntransport = smtp\nretry_schedule = { 5m, x }\n}",
	    "f:3: retry_schedule: x: write digits" },
	{ "route a.org {\ntransport = smtp\nrate = \"5 messages/day\"\n}",
	    "f:3: rate: 5 messages/day: the period is" },
	{ "transport a {\nrate = \"many messages/hour\"\n}",
	    "f:2: rate: many messages/hour: begin with a number" },
	{ "transport a {\n"
	  "destination_concurrency_positive_feedback = 1/x\n}",
	    "f:2: destination_concurrency_positive_feedback: 1/x: write 0" },
	{ "destination a..b { }", "f:1: destination a..b: no legal domain" },
	{ "destination a.b { }\ndestination A.B { }",
	    "f:2: destination a.b is already defined on line 1" },
	{ "\nmx_group g { }", "f:2: mx_group g: write hosts = {" },
	{ "mx_group g {\nhosts = { \"192.0.2.0/24\" }\n}",
	    "f:2: hosts: 192.0.2.0/24: a group has hosts, no addresses" },
	{ "mx_group g { hosts = a.b }\nmx_group g { hosts = a.c }",
	    "f:2: mx_group g is already defined on line 1" },
	{ "transport a { }\ntransport a { }", "f:2: transport a is already" },
	{ "transport a b { }", "f:1: write NAME = VALUE" },
	{ "transport { }", "f:1: transport: write its name" },
	{ "transport '' { }", "f:1: transport : a transport needs a name" },
	{ "transport 'a b' { }", "f:1: transport a b: a name has letters" },
	{ "\nserver mx.a.org {\nport = 25\n}",
	    "f:3: port belongs into a block transport NAME { ... }" },
	{ "server mx.a.org {\nlog = text\n}", "f:2: log belongs outside" },
	{ "route a.org { transport = smtp discard_ehlo_keywords = a }",
	    "f:1: discard_ehlo_keywords belongs into a block transport NAME "
	    "{ ... } or server HOST { ... }" },
	{ "discard_ehlo_keywords = a",
	    "f:1: discard_ehlo_keywords belongs into a block transport NAME "
	    "{ ... } or server HOST { ... }" },
	{ "server a {\ndiscard_ehlo_keywords = { dsn, 'a b' }\n}",
	    "f:2: discard_ehlo_keywords: a b: no EHLO keyword that we" },
	{ "server a {\ndiscard_ehlo_keywords = {dsn,dsn,dsn,dsn,dsn,dsn,dsn,"
	  "dsn,dsn,dsn,dsn,dsn,dsn,dsn,dsn,dsn,dsn}\n}",
	    "f:2: discard_ehlo_keywords: the number of words is out of" },
	{ "server { }", "f:1: server: write its host or network before" },
	{ "server '' { }", "f:1: server : no legal host name, address or" },
	{ "server a-.b { }", "f:1: server a-.b: no legal host name" },
	{ "\nserver 192.0.2.1/24 { }",
	    "f:2: server 192.0.2.1/24: the address has bits behind" },
	{ "server 192.0.2.0/33 { }",
	    "f:1: server 192.0.2.0/33: the number after / must be 0 to 32" },
	{ "server ::/x { }",
	    "f:1: server ::/x: the number after / must be 0 to 128" },
	{ "server A.org { }\nserver a.ORG { }",
	    "f:2: server a.org is already defined on line 1" },
	{ "server ::1 { }\nserver [0::1/128] { }",
	    "f:2: server ::1 is already defined on line 1" },
	{ "lissener a {\nlog = 1\n x { } }", "f:1: lissener is no block" },
	{ "}", "f:1: this } closes no block" },
	{ "\ntransport a {\n", "f:2: this block is not closed" },
	{ "transport a {\n\nroute b { }\n}", "f:3: a block cannot stand in" },
	{ "transport a {\nserver = h\nprotocol = lmtp\n"
	  "server = h\n}",
	    "f:4: server is already set on line 2" },
	{ "transport a {\nprotocol = lmtp\n}", "f:2: protocol: lmtp needs" },
	{ "transport a {\ndelivered_to = yes\n}",
	    "f:2: delivered_to: is for protocol = lmtp alone" },
	{ "double_bounce_recipient = \"a b@c\"",
	    "f:1: double_bounce_recipient: a b@c: " },
	{ "bounce_notice_recipient = nobody",
	    "f:1: bounce_notice_recipient: nobody: " },
	{ "transport a {\nprotocol = lmtp\nserver = ''\n}", "f:3: protocol: " },
	{ "transport a {\ntls_security_level = verify\ntls_CAfile = ''\n}",
	    "f:3: tls_CAfile: level verify needs" },
	{ "transport a {\ntls_security_level = verify\nserver = unix:/x\n}",
	    "f:2: tls_security_level: verify over unix: needs tls_name" },
	{ "transport a {\ntls_wrappermode = yes\ntls_security_level = none\n}",
	    "f:2: tls_wrappermode: yes and tls_security_level none" },
	{ "transport a {\ntls_wrappermode = maybe\n}",
	    "f:2: tls_wrappermode:" },
	{ "transport a {\nserver = h:26\nport = 26\n}",
	    "f:3: port: server names one already, 26" },
	{ "transport a {\nserver = unix:/x\nport = 26\n}", "f:3: port: a U" },
	{ "transport a {\nserver = h\nprotocol = lmtp\nport = 25\n}",
	    "f:4: port: lmtp must not be spoken on port 25" },
	{ "transport a {\nport = 65536\n}", "f:2: port:" },
	{ "transport a {\nbind_address = ::1\n}", "f:2: bind_address: ::1: n" },
	{ "transport a {\nbind_address6 = 1.2.3.4\n}", "f:2: bind_address6: " },
	{ "transport a {\ntls_CAfile = $run_directory/ca\n}",
	    "f:2: tls_CAfile: must be an absolute path" },
	{ "transport a {\ndestination_concurrency_limit = 3\n"
	  "initial_destination_concurrency = 4\n}",
	    "f:3: initial_destination_concurrency: more than" },
};

Test(config, each_error_has_its_line_and_says_what_to_do)
{
	const char *want;

	for (size_t i = 0; i < NELEM(error_cases); i++) {
		want = error_cases[i].want;
		cr_expect_null(read_text(error_cases[i].text), "%s",
		    error_cases[i].text);
		cr_expect_eq(errors.count, 1, "%s: %zu errors, %s; %s",
		    error_cases[i].text, errors.count, errors.lines[0],
		    errors.lines[1]);
		cr_expect_eq(strncmp(errors.lines[0], want, strlen(want)), 0,
		    "%s: %s", error_cases[i].text, errors.lines[0]);
	}
}

/* S-143: by the default of no protocol, and by no word, is it port 25. */
Test(config, s_143_lmtp_on_port_25_is_refused)
{
	struct config *c;

	cr_expect_null(read_text("transport a {\nprotocol = lmtp\n"
				 "server = mail.example.org:25\n}"));
	cr_expect_eq(strncmp(errors.lines[0], "f:3: server: lmtp must", 22), 0);
	c = read_good("transport a { protocol = lmtp server = localhost }");
	cr_expect_eq(c->transports[0].next_hop.port, 24);
	config_free(c);
	c = read_good("transport a { protocol = lmtp server = unix:/l }");
	cr_expect_str_eq(c->transports[0].next_hop.path, "/l");
	config_free(c);
}

Test(config, all_errors_come_in_the_order_of_their_lines)
{
	static const char text[] = "hostname = \"x\n"
				   "route a.org { transport = nix }\n"
				   "transport a {\n"
				   "  bogus = 1\n"
				   "  inner { x = 1\n"
				   "    y { } z = \"\n"
				   "  }\n"
				   "  tls_name = a..b\n"
				   "  protocol = lmtp\n"
				   "}\n"
				   "foo { bar = {\n"
				   "} }\n"
				   "process_limit = none\n"
				   "job_users = { a, { b } }\n"
				   "log = tomato\n"
				   "minimal_backoff_time = 99h\n"
				   "}\n";
	static const int lines[] = { 1, 2, 4, 5, 6, 8, 9, 11, 13, 14, 15, 16,
		17 };
	char want[16];

	cr_assert_null(read_text(text));
	cr_expect_eq(errors.count, NELEM(lines), "%zu", errors.count);
	for (size_t i = 0; i < NELEM(lines) && i < errors.nlines; i++) {
		(void)snprintf(want, sizeof(want), "f:%d: ", lines[i]);
		cr_expect_eq(strncmp(errors.lines[i], want, strlen(want)), 0,
		    "%s%s", want, errors.lines[i]);
	}
}

Test(config, errors_are_bounded_and_the_first_ones_kept)
{
	char text[CONFIG_ERRORS_MAX * 3 * 6 + 1] = "";

	for (size_t i = 0; i < CONFIG_ERRORS_MAX * 3; i++)
		strlcat(text, "x = 1\n", sizeof(text));
	cr_assert_null(read_text(text));
	cr_expect_eq(errors.count, CONFIG_ERRORS_MAX * 3);
	cr_expect_eq(errors.nlines, CONFIG_ERRORS_MAX);
	cr_expect_eq(strncmp(errors.lines[0], "f:1: ", 5), 0);
	cr_expect_eq(strncmp(errors.lines[CONFIG_ERRORS_MAX - 1], "f:64: ", 6),
	    0);
}

Test(config, a_text_with_nul_or_without_end_is_refused)
{
	size_t size = 10 * 1024 * 1024;
	char *big = malloc(size);

	cr_assert_not_null(big);
	cr_expect_null(config_read("f", "\nlog\0=", 6, &errors));
	cr_expect_eq(strncmp(errors.lines[0], "f:2: an octet NUL", 17), 0);
	memset(big, '#', size);
	cr_expect_null(config_read("f", big, size, &errors));
	cr_expect_eq(strncmp(errors.lines[0], "f:1: the configuration", 22), 0);
	/* As large as allowed, in the shapes that nest or repeat. */
	for (const char *c = "#{}\"'=,a\n\\/$("; *c != '\0'; c++) {
		memset(big, *c, CONFIG_TEXT_MAX);
		config_free(config_read("f", big, CONFIG_TEXT_MAX, &errors));
		memcpy(big, "hostname = ", 11);
		config_free(config_read("f", big, CONFIG_TEXT_MAX, &errors));
	}
	free(big);
}

/* xorshift; the same texts on every run. */
static uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

Test(config, no_text_made_of_its_own_pieces_crashes_it)
{
	static const char *const pieces[] = { "transport", "route", "hostname",
		"job_users", "server", "discard_ehlo_keywords", "::/0", " ",
		"\n", "=", "{", "}", ",", "\"", "'", "#", "\\", "*", "a",
		"unix:/x", "/", "$", "${", "(", "\t", "\r", "smtp", "\xff",
		"protocol", "lmtp", "[::1]:25", "+=" };
	char text[512];
	uint32_t state = 2463534242;
	struct config *c;

	for (int turn = 0; turn < 20000; turn++) {
		text[0] = '\0';
		for (uint32_t n = next_random(&state) % 24; n > 0; n--)
			strlcat(text,
			    pieces[next_random(&state) % NELEM(pieces)],
			    sizeof(text));
		c = read_text(text);
		cr_assert_eq(c == NULL, errors.count > 0, "%s", text);
		config_free(c);
	}
}

Test(config, what_it_dumps_it_reads_again)
{
	struct config *c =
	    read_good("hostname = mx.example.org\njob_users = { a, 7 }\n"
		      "run_directory = \"/tmp/a \\\"b\\\" \\\\\"\n"
		      "transport dovecot { protocol = lmtp server = unix:/l\n"
		      "connect_timeout = 7 tls_security_level = none }\n"
		      "transport t { server = [::1]:26 allow_loopback = yes }\n"
		      "route a.org { transport = dovecot }\n"
		      "route \"*\" { transport = t }\n"
		      "server [2001:DB8::]/32 {\n"
		      "discard_ehlo_keywords = { Size, dsn }\n}\n"
		      "server .A.org { }\n");
	char *first = dump(c), *second;

	config_free(c);
	c = read_good(first);
	second = dump(c);
	cr_expect_str_eq(first, second);
	cr_expect_not_null(strstr(first, "\tconnect_timeout = 7s\n"));
	cr_expect_not_null(strstr(first, "\nserver \"2001:db8::/32\" {\n"));
	cr_expect_not_null(strstr(first, "\nserver \".a.org\" {\n"));
	cr_expect_not_null(strstr(first,
	    "\nrun_directory = "
	    "\"/tmp/a \\\"b\\\" \\\\\"\n"));
	free(first);
	free(second);
	config_free(c);
}

/* Each word of an enum stands where its enumerator does. */
Test(config, a_login_is_what_its_parameters_say)
{
	struct config *c = read_good(
	    "transport p {\nauth_user = u\nauth_password_file = \"/p\"\n"
	    "server = h\n}\n"
	    "transport t {\nauth_user = u\nauth_token_command = { \"/t\" }\n"
	    "auth_mechanisms = { xoauth2, PLAIN }\nserver = h\n}\n"
	    "transport x {\nauth_mechanisms = { EXTERNAL }\nserver = h\n}\n"
	    "transport bare {\n}\n"
	    "transport unix {\nserver = \"unix:/s\"\n"
	    "tls_security_level = none\nauth_user = u\n"
	    "auth_token_file = \"/t\"\n}\n");
	const struct transport *t = config_transport(c, "t");

	cr_expect(config_wants_login(t));
	cr_expect_eq(config_secret(t), AUTH_SECRET_TOKEN);
	cr_expect_eq(config_mechanisms(t),
	    1u << AUTH_MECHANISM_XOAUTH2 | 1u << AUTH_MECHANISM_PLAIN);
	cr_expect_eq(config_secret(config_transport(c, "p")),
	    AUTH_SECRET_PASSWORD);
	cr_expect_eq(config_secret(config_transport(c, "unix")),
	    AUTH_SECRET_TOKEN);
	cr_expect_eq(config_secret(config_transport(c, "x")),
	    AUTH_SECRET_NOTHING);
	cr_expect(config_wants_login(config_transport(c, "x")));
	cr_expect(!config_wants_login(config_transport(c, "bare")));
	config_free(c);
}

Test(config, words_and_enumerators_agree)
{
	struct config *c = read_good(
	    "log_format = json queue_store = memory syslog_facility = user\n"
	    "transport a { tls_security_level = verify inet_protocols = ipv6\n"
	    "address_preference = ipv4 }\n"
	    "transport b { tls_security_level = encrypt inet_protocols = ipv4\n"
	    "address_preference = ipv6 }\n"
	    "transport c { tls_security_level = none }\n");

	cr_expect_eq(c->log_format, CONFIG_LOG_FORMAT_JSON);
	cr_expect_eq(c->queue_store, CONFIG_QUEUE_STORE_MEMORY);
	cr_expect_eq(c->syslog_facility, CONFIG_FACILITY_USER);
	cr_assert_eq(c->ntransports, 4); /* with smtp */
	cr_expect_eq(c->transports[0].tls_security_level, CONFIG_TLS_VERIFY);
	cr_expect_eq(c->transports[0].inet_protocols, CONFIG_INET_IPV6);
	cr_expect_eq(c->transports[0].address_preference, CONFIG_PREFER_IPV4);
	cr_expect_eq(c->transports[1].tls_security_level, CONFIG_TLS_ENCRYPT);
	cr_expect_eq(c->transports[1].inet_protocols, CONFIG_INET_IPV4);
	cr_expect_eq(c->transports[1].address_preference, CONFIG_PREFER_IPV6);
	cr_expect_eq(c->transports[2].tls_security_level, CONFIG_TLS_NONE);
	config_free(c);
}

static bool
is_string(const struct config_row *row)
{
	return row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_PATH;
}

static const char *
default_word(const struct config_row *row)
{
	if (row->type == CONFIG_TYPE_LIST && row->value[0] == '\0')
		return "{}";
	return row->value;
}

static void
conf_line(const struct config_row *row, char *out, size_t size)
{
	const char *quote = is_string(row) ? "\"" : "";

	(void)snprintf(out, size, "#%s = %s%s%s\n", row->name, quote,
	    default_word(row), quote);
}

/* mdoc's Qq puts its words, even none, into quotation marks. */
static void
man_line(const struct config_row *row, char *out, size_t size)
{
	const char *word = default_word(row);

	(void)snprintf(out, size, ".It Ic %s No = %s%s%s\n", row->name,
	    is_string(row) ? "Qq" : "Ar", word[0] != '\0' ? " " : "", word);
}

static void
expect_rows(const char *text,
    void (*format)(const struct config_row *row, char *out, size_t size))
{
	static const struct {
		enum config_scope scope;
		size_t least;
	} scopes[] = {
		{ CONFIG_SCOPE_GLOBAL, 20 },
		{ CONFIG_SCOPE_TRANSPORT, 20 },
	};
	const struct config_row *row;
	char line[300];
	size_t count;

	for (size_t i = 0; i < NELEM(scopes); i++) {
		row = config_rows(scopes[i].scope, &count);
		cr_assert_geq(count, scopes[i].least);
		for (; count > 0; count--, row++) {
			format(row, line, sizeof(line));
			cr_expect_not_null(strstr(text, line), "%s", line);
		}
	}
}

Test(config, the_file_has_every_parameter_at_its_default)
{
	expect_rows(slurp("conf/postern.conf"), conf_line);
}

Test(config, the_manual_has_every_parameter_with_its_default)
{
	expect_rows(slurp("master/postern.conf.5"), man_line);
}

/* Some bear the names of a transport's: they have a section of their own. */
static void
expect_section(enum config_scope scope, const char *of_file,
    const char *of_manual)
{
	const char *file, *manual;
	const struct config_row *row;
	char line[300];
	size_t count;

	row = config_rows(scope, &count);
	cr_assert_geq(count, 1);
	for (; count > 0; count--, row++) {
		file = strstr(slurp("conf/postern.conf"), of_file);
		cr_assert_not_null(file);
		(void)snprintf(line, sizeof(line), "#    %s = %s\n", row->name,
		    is_string(row) && row->value[0] == '\0'
			? "\"\""
			: default_word(row));
		if (scope != CONFIG_SCOPE_ROUTE ||
		    strcmp(row->name, "transport") != 0)
			cr_expect_not_null(strstr(file, line), "%s", line);
		manual = strstr(slurp("master/postern.conf.5"), of_manual);
		cr_assert_not_null(manual);
		man_line(row, line, sizeof(line));
		cr_expect_not_null(strstr(manual, line), "%s", line);
		cr_expect_not_null(strstr(manual, row->text), "%s", row->text);
	}
}

Test(config, file_and_manual_have_every_parameter_of_a_block)
{
	expect_section(CONFIG_SCOPE_ROUTE, "\n# Routes: ", ".Sh ROUTES\n");
	expect_section(CONFIG_SCOPE_DESTINATION,
	    "\n# Destinations: ", ".Sh DESTINATIONS\n");
	expect_section(CONFIG_SCOPE_MX_GROUP, "\n# Groups of mail servers ",
	    ".Sh GROUPS OF MAIL SERVERS\n");
	expect_section(CONFIG_SCOPE_SERVER, "\n# Servers: ", ".Sh SERVERS\n");
	expect_section(CONFIG_SCOPE_LISTENER,
	    "\n# Listeners: ", ".Sh LISTENERS\n");
}

/* What the manual has to say of the values of a row, or a part of it. */
static void
man_limits(const struct config_row *row, char *out, size_t size)
{
	unsigned long long least = row->least, most = row->most;

	switch (row->type) {
	case CONFIG_TYPE_STRING:
	case CONFIG_TYPE_PATH:
		(void)snprintf(out, size, "at most %llu octets", most);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_SIZE:
		(void)snprintf(out, size, ".Pq %llu to %llu", least, most);
		break;
	case CONFIG_TYPE_DURATION:
		(void)snprintf(out, size, ".Pq %llus to %llus", least, most);
		break;
	case CONFIG_TYPE_BOOL:
		(void)snprintf(out, size, ".Pq yes, no");
		break;
	case CONFIG_TYPE_ENUM: /* its first word; bars are commas there */
		(void)snprintf(out, size, ".Pq %.*s",
		    (int)strcspn(row->unit, "|"), row->unit);
		break;
	case CONFIG_TYPE_LIST:
		(void)snprintf(out, size, "at most %llu", most);
		break;
	case CONFIG_TYPE_MODE:
		(void)snprintf(out, size, "%04llo to %04llo", least, most);
		break;
	}
}

Test(config, the_manual_has_the_limits_of_every_parameter)
{
	static const struct {
		enum config_scope scope;
		const char *section;
	} scopes[] = {
		{ CONFIG_SCOPE_GLOBAL, ".Nm" },
		{ CONFIG_SCOPE_TRANSPORT, ".Sh TRANSPORTS\n" },
		{ CONFIG_SCOPE_ROUTE, ".Sh ROUTES\n" },
		{ CONFIG_SCOPE_DESTINATION, ".Sh DESTINATIONS\n" },
		{ CONFIG_SCOPE_MX_GROUP, ".Sh GROUPS OF MAIL SERVERS\n" },
		{ CONFIG_SCOPE_SERVER, ".Sh SERVERS\n" },
		{ CONFIG_SCOPE_LISTENER, ".Sh LISTENERS\n" },
	};
	const struct config_row *row;
	char line[300], item[2048];
	const char *at;
	size_t count;

	for (size_t i = 0; i < NELEM(scopes); i++) {
		row = config_rows(scopes[i].scope, &count);
		for (; count > 0; count--, row++) {
			man_line(row, line, sizeof(line));
			at = strstr(slurp("master/postern.conf.5"),
			    scopes[i].section);
			at = at != NULL ? strstr(at, line) : NULL;
			cr_assert_not_null(at, "%s%s", scopes[i].section, line);
			at += strlen(line);
			(void)snprintf(item, sizeof(item), "%.*s",
			    (int)(strstr(at, "\n.It") - at), at);
			man_limits(row, line, sizeof(line));
			cr_expect_not_null(strstr(item, line), "%s: %s",
			    row->name, line);
		}
	}
}

Test(config, routes_destinations_and_groups_have_limits_of_their_own)
{
	struct config *c = read_good(
	    "maximal_queue_lifetime = 3d\n"
	    "route a.org { transport = smtp\n"
	    "retry_schedule = { 5m, 15m, 1h }\nretry_jitter = 0\n"
	    "maximal_queue_lifetime = 1d\nrate = { \"5 messages/hour\" } }\n"
	    "route b.org { transport = smtp }\n"
	    "destination A.org { rate = { \"1 message/second burst 2\" } }\n"
	    "destination b.org { destination_concurrency_limit = 3 }\n"
	    "mx_group g { hosts = { .example.com, mx.example.net }\n"
	    "concurrency_limit = 7 }\n"
	    "mx_group h { hosts = { .deep.example.com } }\n");
	const struct route *route = config_route_of(c, "a.org");

	cr_expect_eq(route->retry_schedule.count, 3);
	cr_expect_eq(route->retry_jitter, 0);
	cr_expect_eq(route->maximal_queue_lifetime, 86400);
	cr_expect_eq(config_route_of(c, "b.org")->maximal_queue_lifetime,
	    3 * 86400, "as long as all others");
	cr_expect_eq(config_destination(c, "a.ORG")->rate.count, 1);
	cr_expect_eq(config_destination(c, "b.org")->rate.count, 0);
	cr_expect_eq(
	    config_destination(c, "b.org")->destination_concurrency_limit, 3);
	cr_expect_null(config_destination(c, "c.org"));
	cr_expect_str_eq(config_mx_group(c, "mx.example.net")->name, "g");
	cr_expect_str_eq(config_mx_group(c, "x.example.com")->name, "g");
	cr_expect_str_eq(config_mx_group(c, "x.deep.example.com")->name, "h");
	cr_expect_null(config_mx_group(c, "example.com"));
	cr_expect_null(config_mx_group(c, "mx2.example.net"));
	config_free(c);
}

/* Takes the # from each line that sets or closes something. */
static void
uncomment(char *text)
{
	char *line = text, *word;

	for (; line != NULL; line = strchr(line, '\n')) {
		line += line > text || *line == '\n';
		word = line + strspn(line, "\t");
		if (word[0] == '#' && word[1] != ' ' && word[1] != '\n' &&
		    word[1] != '\0')
			word[0] = ' ';
	}
}

Test(config, the_file_without_its_comments_is_the_default)
{
	char *text = slurp("conf/postern.conf");
	struct config *c = read_good("");
	char *want = dump(c), *have;
	char *example = strstr(text, "# An example");

	config_free(c);
	cr_assert_not_null(example);
	c = read_good(text);
	have = dump(c);
	cr_expect_str_eq(have, want);
	free(have);
	config_free(c);
	*example = '\0';
	uncomment(text);
	c = read_good(text);
	have = dump(c);
	cr_expect_str_eq(have, want);
	config_free(c);
	free(have);
	free(want);
}

Test(config, the_example_of_the_file_is_right)
{
	char *example = strstr(slurp("conf/postern.conf"), "# An example");
	const uint8_t addr[16] = { 0 };
	struct config *c;

	cr_assert_not_null(example);
	uncomment(example);
	c = read_good(example);
	cr_expect_str_eq(config_route(c, "example.org")->name, "dovecot");
	cr_expect_str_eq(config_route(c, "a.example.com")->name, "smarthost");
	cr_expect_str_eq(config_route(c, "example.net")->name, "smtp");
	cr_expect_not_null(config_server(c, "mx.example.net", AF_INET, addr));
	cr_expect_not_null(config_destination(c, "example.net"));
	cr_expect_not_null(config_mx_group(c, "a.mx.example.com"));
	cr_expect_eq(c->nlisteners, 2);
	config_free(c);
}

Test(config, what_is_changed_is_printed_alone_and_means_the_same)
{
	static const char text[] =
	    "run_directory = \"/run/other\"\n"
	    "process_limit = 7\n"
	    "job_socket_mode = \"0660\"\n"
	    "maximal_queue_lifetime = 5d\n" /* the default */
	    "transport relay { server = \"mail.example.org:587\"\n"
	    "tls_security_level = encrypt }\n"
	    "route \"*\" { transport = relay }\n";
	struct config *config = read_good(text);
	char *changed = dump_what(config, true), *all = dump(config), *again;
	struct config *other = read_good(changed);

	again = dump(other);
	cr_expect_str_eq(all, again);
	cr_expect_not_null(strstr(changed, "run_directory = \"/run/other\"\n"));
	cr_expect_not_null(strstr(changed, "process_limit = 7\n"));
	cr_expect_not_null(strstr(changed, "\ttls_security_level = encrypt\n"),
	    "%s", changed);
	cr_expect_null(strstr(changed, "maximal_queue_lifetime"));
	cr_expect_null(strstr(changed, "job_socket = "));
	cr_expect_lt(strlen(changed), 400, "%s", changed);
	free(changed);
	free(all);
	free(again);
	config_free(config);
	config_free(other);
}

static const struct {
	const char *text;
	const char *want; /* of what is said; "": nothing is */
} doubted[] = {
	{ "", "" },
	{ "hostname = \"localhost.localdomain\"\n", "hostname is localhost" },
	{ "delay_warning_time = 5d\n", "delay_warning_time is not below" },
	{ "delay_warning_time = 4h\n", "" },
	{ "job_socket_group = mail\njob_socket_mode = \"0600\"\n",
	    "the group may not connect" },
	{ "job_socket_group = mail\njob_socket_mode = \"0660\"\n", "" },
	{ "control_socket_group = mail\n", "the group may not connect" },
	{ "transport t { server = \"mail.example.org:465\" }\n",
	    "port 465 begins with TLS" },
	{ "transport t { server = \"mail.example.org:465\"\n"
	  "tls_wrappermode = yes }\n",
	    "" },
	{ "transport t { server = \"mail.example.org:587\"\n"
	  "tls_wrappermode = yes }\n",
	    "port 587 begins in clear" },
	{ "transport t { server = \"127.0.0.1:2525\" }\n"
	  "listener l { listen = \"127.0.0.1:2525\" }\n",
	    "our own listener l" },
	{ "transport t { server = \"localhost:2525\" }\n"
	  "listener l { listen = \"0.0.0.0:2525\"\n"
	  "clients = { \"10.0.0.0/8\" } }\n",
	    "our own listener l" },
	{ "transport t { server = \"unix:/run/x\"\nprotocol = lmtp }\n"
	  "listener l { listen = \"unix:/run/x\" }\n",
	    "our own listener l" },
	{ "transport t { server = \"127.0.0.1:2526\" }\n"
	  "listener l { listen = \"127.0.0.1:2525\" }\n",
	    "" },
	{ "transport t { server = \"mail.example.org\" }\n"
	  "route example.org { transport = t }\n",
	    "" /* the rest goes by MX */ },
	{ "route \"*\" { transport = none }\n",
	    "route * has transport = none" },
};

static char doubts_said[2048];

static void
note_doubt(void *arg, int line, const char *what, const char *cure)
{
	(void)arg;
	(void)line;
	cr_expect_neq(cure[0], '\0');
	(void)strlcat(doubts_said, what, sizeof(doubts_said));
	(void)strlcat(doubts_said, "\n", sizeof(doubts_said));
}

Test(config, what_is_mostly_not_meant_is_said)
{
	struct config *config;

	for (size_t i = 0; i < NELEM(doubted); i++) {
		config = read_good(doubted[i].text);
		doubts_said[0] = '\0';
		config_doubts(config, note_doubt, NULL);
		if (doubted[i].want[0] == '\0')
			cr_expect_str_empty(doubts_said, "row %zu: %s", i,
			    doubts_said);
		else
			cr_expect_not_null(strstr(doubts_said, doubted[i].want),
			    "row %zu: %s", i, doubts_said);
		config_free(config);
	}
}

static const struct {
	const char *name;
	const char *want;
} misspelt[] = {
	{ "maximal_queue_lifetme", "did you mean maximal_queue_lifetime?" },
	{ "maximal_queue_liftime", "did you mean maximal_queue_lifetime?" },
	{ "hostnmae", "did you mean hostname?" },
	{ "relayhost", "server = \"HOST\"" },
	{ "something_else", "postern.conf(5) lists them" },
	{ "x", "postern.conf(5) lists them" },
};

Test(config, a_name_that_is_nearly_one_is_answered_with_that)
{
	char text[100];

	for (size_t i = 0; i < NELEM(misspelt); i++) {
		(void)snprintf(text, sizeof(text), "%s = 5\n",
		    misspelt[i].name);
		cr_assert_null(read_text(text));
		cr_expect_not_null(strstr(errors.lines[0], misspelt[i].want),
		    "%s", errors.lines[0]);
	}
}

Test(config, a_distance_counts_what_a_hand_does_wrong)
{
	static const struct {
		const char *a, *b;
		unsigned want;
	} rows[] = { { "abc", "abc", 0 }, { "abc", "acb", 1 },
		{ "abc", "ab", 1 }, { "abc", "abcd", 1 }, { "abc", "axc", 1 },
		{ "abc", "xyz", 3 }, { "", "ab", 2 }, { "abcdef", "ab", 3 } };

	for (size_t i = 0; i < NELEM(rows); i++)
		cr_expect_eq(config_near_distance(rows[i].a, strlen(rows[i].a),
				 rows[i].b, strlen(rows[i].b), 2),
		    rows[i].want, "row %zu", i);
}
