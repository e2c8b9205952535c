/* SPDX-License-Identifier: ISC */
/* Listeners: what their blocks may say, and whom they let in. */
#include "master/config.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static struct config_errors errors;

static struct config *
read_text(const char *text)
{
	return config_read("f", text, strlen(text), &errors);
}

static const struct {
	const char *text, *want;
} wrong[] = {
	{ "listener a { }", "f:1: listener a: write listen = \"unix:PATH\"" },
	{ "listener { }", "f:1: listener: write its name before" },
	{ "listener 'a b' { }", "f:1: listener a b: a name has letters" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\n}\n"
	  "listener a {\nlisten = \"127.0.0.1:26\"\n}",
	    "f:4: listener a is already defined on line 1" },
	{ "listener a {\nlisten = \"localhost:25\"\n}",
	    "f:2: listen: localhost:25: write an address, not a name" },
	{ "listener a {\nlisten = \"127.0.0.1\"\n}",
	    "f:2: listen: 127.0.0.1: write the port behind it" },
	{ "listener a {\nlisten = \"127.0.0.1:0\"\n}",
	    "f:2: listen: 127.0.0.1:0: the port must be" },
	{ "listener a {\nlisten = \"unix:run/x\"\n}",
	    "f:2: listen: unix:run/x: the path behind unix: must be" },
	{ "listener a {\nlisten = \"::1:25\"\n}",
	    "f:2: listen: ::1:25: an IPv6 address must stand in brackets" },
	{ "listener a {\nlisten = \"0.0.0.0:25\"\n}",
	    "f:2: listen: 0.0.0.0:25 is open to other machines: name in" },
	{ "listener a {\nlisten = \"[::]:25\"\n}",
	    "f:2: listen: [::]:25 is open to other machines" },
	{ "listener a {\nlisten = \"192.0.2.1:25\"\nclients = {}\n}",
	    "f:2: listen: 192.0.2.1:25 is open to other machines" },
	{ "listener a {\nlisten = \"0.0.0.0:25\"\nclients = { 0.0.0.0/0 }\n}",
	    "f:3: clients: 0.0.0.0/0: so wide a network makes an open relay" },
	{ "listener a {\nlisten = \"0.0.0.0:25\"\n"
	  "clients = { 0.0.0.0/1, 128.0.0.0/1 }\n}",
	    "f:3: clients: 0.0.0.0/1: so wide a network" },
	{ "listener a {\nlisten = \"[::]:25\"\nclients = { \"2000::/3\" }\n}",
	    "f:3: clients: 2000::/3: so wide a network" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\nclients = { a.org }\n}",
	    "f:3: clients: a.org: no address or network" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\nclients = { 10.0.0.1/8 }\n}",
	    "f:3: clients: 10.0.0.1/8: the address has bits behind" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\n"
	  "smtpd_authorized_xforward_hosts = { everybody }\n}",
	    "f:3: smtpd_authorized_xforward_hosts: everybody cannot" },
	{ "listener a {\nlisten = \"unix:/x\"\nclients = { 10.0.0.0/8 }\n}",
	    "f:3: clients: 10.0.0.0/8: who comes by a Unix socket is a user" },
	{ "listener a {\nprotocol = lmtp\nlisten = \"127.0.0.1:25\"\n}",
	    "f:3: listen: lmtp must not be spoken on port 25" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\nmode = 0600\n}",
	    "f:3: mode: is for a Unix socket alone" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\ntransport = nope\n}",
	    "f:1: listener a: transport: there is no transport nope" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\n"
	  "message_size_limit = 51m\n}",
	    "f:1: listener a: message_size_limit: more than that outside" },
	{ "listener a { listen = \"127.0.0.1:25\" }\n"
	  "listener b { listen = \"127.0.0.1:25\" }",
	    "f:2: listener b: listener a has that place" },
	{ "listener a {\nlisten = \"127.0.0.1:25\"\n"
	  "smtpd_discard_ehlo_keywords = { NOPE }\n}",
	    "f:3: smtpd_discard_ehlo_keywords: NOPE: no EHLO keyword" },
	{ "smtpd_timeout = 3s",
	    "f:1: smtpd_timeout belongs into a block listener NAME" },
};

Test(config_listener, each_error_has_its_line_and_its_cure)
{
	for (size_t i = 0; i < NELEM(wrong); i++) {
		cr_expect_null(read_text(wrong[i].text), "%s", wrong[i].text);
		cr_assert_geq(errors.nlines, 1, "%s", wrong[i].text);
		cr_expect_eq(strncmp(errors.lines[0], wrong[i].want,
				 strlen(wrong[i].want)),
		    0, "%s: %s", wrong[i].text, errors.lines[0]);
	}
}

static const struct {
	const char *rest;
	const char *address;
	bool lets_in;
	bool trusts;
} doors[] = {
	{ "", "127.0.0.1", true, false },
	{ "", "127.255.0.9", true, false },
	{ "", "::1", true, false },
	{ "", "128.0.0.1", false, false },
	{ "", "0.0.0.0", false, false },
	{ "", "::", false, false },
	{ "", "::ffff:127.0.0.1", false, false },
	{ "clients = { 192.0.2.0/24 }", "127.0.0.1", false, false },
	{ "clients = { 192.0.2.0/24 }", "192.0.2.255", true, false },
	{ "clients = { 192.0.2.0/24 }", "192.0.3.0", false, false },
	{ "clients = { 192.0.2.0/24 }", "2001:db8::1", false, false },
	{ "clients = { \"2001:db8::/32\", 10.0.0.1 }", "2001:db8:f::1", true,
	    false },
	{ "clients = { \"2001:db8::/32\", 10.0.0.1 }", "10.0.0.1", true,
	    false },
	{ "clients = { everybody }", "203.0.113.9", true, false },
	{ "clients = { everybody, 0.0.0.0/0 }", "203.0.113.9", true, false },
	{ "smtpd_authorized_xforward_hosts = { 127.0.0.1 }", "127.0.0.1", true,
	    true },
	{ "smtpd_authorized_xforward_hosts = { 127.0.0.1 }", "127.0.0.2", true,
	    false },
};

Test(config_listener, nobody_comes_in_whom_the_file_does_not_name)
{
	char text[300];
	uint8_t addr[16];
	int family;

	for (size_t i = 0; i < NELEM(doors); i++) {
		struct config *c;

		(void)snprintf(text, sizeof(text),
		    "listener a {\nlisten = \"127.0.0.1:25\"\n%s\n}",
		    doors[i].rest);
		c = read_text(text);
		cr_assert_not_null(c, "%s: %s", text, errors.lines[0]);
		family = strchr(doors[i].address, ':') ? AF_INET6 : AF_INET;
		memset(addr, 0, sizeof(addr));
		cr_assert_eq(inet_pton(family, doors[i].address, addr), 1);
		cr_expect_eq(
		    config_listener_lets_in(c->listeners, family, addr),
		    doors[i].lets_in, "%s, %s", doors[i].rest,
		    doors[i].address);
		cr_expect_eq(config_listener_trusts(c->listeners, family, addr),
		    doors[i].trusts, "%s, %s", doors[i].rest, doors[i].address);
		cr_expect_not(
		    config_listener_lets_in(c->listeners, AF_UNIX, addr));
		config_free(c);
	}
}

Test(config_listener, a_listener_is_found_again_by_its_place)
{
	static const char base[] =
	    "listener a { listen = \"unix:/x\"\nsmtpd_timeout = 9s }";
	static const struct {
		const char *text;
		bool same;
	} rows[] = {
		{ base, true },
		{ "listener a { listen = \"unix:/x\"\nanswer = final }", true },
		{ "listener b { listen = \"unix:/x\" }", true },
		{ "listener a { listen = \"unix:/y\" }", false },
		{ "listener a { listen = \"unix:/x\"\nmode = 0666 }", true },
		{ "listener a { listen = \"127.0.0.1:25\" }", false },
		{ "listener a { listen = \"[::1]:25\" }", false },
	};
	struct config *old = read_text(base), *new;

	cr_assert_not_null(old);
	for (size_t i = 0; i < NELEM(rows); i++) {
		new = read_text(rows[i].text);
		cr_assert_not_null(new);
		cr_expect_eq(config_same_place(&old->listeners[0].at,
				 &new->listeners[0].at),
		    rows[i].same,
		    "%s", rows[i].text);
		config_free(new);
	}
	config_free(old);
}

Test(config_listener, a_name_of_another_socket_is_refused)
{
	static const char *const names[] = { "job", "control",
		"metrics_socket", "metrics_listen" };
	char text[128];

	for (size_t i = 0; i < NELEM(names); i++) {
		(void)snprintf(text, sizeof(text),
		    "listener %s { listen = \"unix:/x\" }", names[i]);
		cr_expect_null(config_read("f", text, strlen(text), &errors));
		cr_assert_eq(errors.nlines, 1);
		cr_expect_not_null(
		    strstr(errors.lines[0], "name of another socket"));
	}
}
