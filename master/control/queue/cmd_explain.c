/* SPDX-License-Identifier: ISC */
/* postern explain: what would happen to a recipient's mail now, and why. */
#include "master/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/duration.h"
#include "common/util.h"
#include "master/config_include.h"
#include "master/control/client/control_client.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

struct explain_options {
	const char *config_name;
	const char *socket;
	const char *sender;
	const char *via;
	bool json;
};

/* An address in its plain form; false after a word on stderr. */
static bool
read_address(const char *what, const char *text, bool is_sender,
    struct address *addr)
{
	enum address_error e = is_sender
	    ? address_parse_reverse_path(addr, text, strlen(text))
	    : address_parse_forward_path(addr, text, strlen(text));

	if (e == ADDRESS_OK)
		return true;
	fprintf(stderr, "postern: %s <%s>: %s\n", what, text,
	    address_error_text(e));
	return false;
}

static void
print_list(const json_t *list)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++)
		printf("%s%s", i > 0 ? " " : "",
		    json_string_value(json_array_get(list, i)));
}

static void
print_route(const json_t *route, const json_t *transport)
{
	if (daemon_client_string(route, "via")[0] != '\0')
		printf("route:       by --via %s\n",
		    daemon_client_string(route, "via"));
	else if (daemon_client_string(route, "pattern")[0] != '\0')
		printf("route:       \"%s\"%s\n",
		    daemon_client_string(route, "pattern"),
		    strcmp(daemon_client_string(route, "pattern"), "*") == 0
			? ", as no other fits"
			: "");
	if (daemon_client_string(route, "error")[0] != '\0')
		printf("route:       none: %s (%s)\n",
		    daemon_client_string(route, "error"),
		    daemon_client_string(route, "dsn"));
	if (transport == NULL)
		return;
	printf("transport:   %s, %s to ",
	    daemon_client_string(transport, "name"),
	    daemon_client_string(transport, "protocol"));
	if (daemon_client_string(transport, "mx_of")[0] != '\0')
		printf("the MX of %s, port %lld\n",
		    daemon_client_string(transport, "mx_of"),
		    control_client_number(transport, "port"));
	else /* with its port, or a socket */
		printf("%s\n", daemon_client_string(transport, "server"));
	printf("tls:         %s%s%s\n",
	    daemon_client_string(transport, "tls_security_level"),
	    json_is_true(json_object_get(transport, "implicit_tls"))
		? ", from the first octet"
		: "",
	    json_is_true(json_object_get(transport, "login")) ? "; we log in"
							      : "");
}

/* What stands behind a number in postern.conf: "s" for a time. */
static const char *
unit_of(const char *parameter)
{
	size_t n;
	const struct config_row *rows =
	    config_rows(CONFIG_SCOPE_TRANSPORT, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, parameter) == 0)
			return rows[i].type == CONFIG_TYPE_DURATION ? "s" : "";
	return "";
}

/* Parameters as postern.conf names them, and has their values. */
static void
print_limits(const json_t *transport)
{
	json_t *limits = json_object_get(transport, "limits"), *value;
	const char *name;

	json_object_foreach(limits, name, value)
	{
		if (json_is_array(value) && json_array_size(value) == 0)
			continue;
		printf("limit:       %s = ", name);
		if (json_is_array(value))
			print_list(value);
		else if (json_is_string(value))
			fputs(json_string_value(value), stdout);
		else
			printf("%lld%s", (long long)json_integer_value(value),
			    unit_of(name));
		putchar('\n');
	}
}

static void
print_plan(const json_t *plan)
{
	const json_t *list = json_object_get(plan, "addresses"), *a;
	size_t i;

	if (plan == NULL)
		return;
	if (daemon_client_string(plan, "error")[0] != '\0')
		printf("plan:        none: %s (%s)\n",
		    daemon_client_string(plan, "error"),
		    daemon_client_string(plan, "dsn"));
	else
		printf("plan:        from the %s, in this order\n",
		    strcmp(daemon_client_string(plan, "from"), "kept") == 0
			? "resolver, kept"
			: daemon_client_string(plan, "from"));
	for (i = 0; i < json_array_size(list); i++) {
		a = json_array_get(list, i);
		if (daemon_client_string(a, "path")[0] != '\0') {
			printf("  %zu.         %s\n", i + 1,
			    daemon_client_string(a, "path"));
			continue;
		}
		printf("  %zu.         %s[%s]:%lld", i + 1,
		    daemon_client_string(a, "host"),
		    daemon_client_string(a, "address"),
		    control_client_number(a, "port"));
		if (json_object_get(a, "preference") != NULL)
			printf(" preference %lld",
			    control_client_number(a, "preference"));
		printf(" tls %s", daemon_client_string(a, "tls"));
		if (json_object_get(a, "discard_ehlo_keywords") != NULL) {
			printf(" without ");
			print_list(json_object_get(a, "discard_ehlo_keywords"));
		}
		putchar('\n');
	}
}

static void
print_tried(const json_t *tried)
{
	const json_t *host;
	char ago[DURATION_SIZE];
	size_t i;

	if (tried == NULL)
		return;
	printf("tried:       in the last attempt that failed, %s ago\n",
	    duration_format(control_client_number(tried, "seconds_ago"), ago));
	json_array_foreach(json_object_get(tried, "hosts"), i, host)
	{
		printf("  %s: %s\n", daemon_client_string(host, "host"),
		    daemon_client_string(host, "reply"));
	}
}

static const char *
plural(long long n)
{
	return n == 1 ? "" : "s";
}

/* A transport's, a route's, the destination's and a group's, as they stand. */
static void
print_held(const json_t *list)
{
	const json_t *limit, *rate;
	char left[DURATION_SIZE];
	size_t i, k;

	json_array_foreach(list, i, limit)
	{
		if (json_object_get(limit, "sessions_limit") != NULL)
			printf("sessions:    %lld of %lld of %s %s\n",
			    control_client_number(limit, "sessions"),
			    control_client_number(limit, "sessions_limit"),
			    daemon_client_string(limit, "of"),
			    daemon_client_string(limit, "name"));
		json_array_foreach(json_object_get(limit, "rates"), k, rate)
		{
			printf("rate:        %s of %s %s: ",
			    daemon_client_string(rate, "rate"),
			    daemon_client_string(limit, "of"),
			    daemon_client_string(limit, "name"));
			if (control_client_number(rate, "wait_ms") > 0)
				printf("used up, the next in %s\n",
				    duration_format((control_client_number(rate,
							 "wait_ms") +
							999) /
					    1000,
					left));
			else
				printf("%lld left\n",
				    control_client_number(rate, "left"));
		}
	}
}

static void
print_destination(const json_t *d)
{
	long long waiting = control_client_number(d, "waiting");
	long long failures = control_client_number(d, "failures");
	long long domain = control_client_number(d, "domain_waiting");
	bool more = json_is_true(json_object_get(d, "domain_waiting_more"));

	if (d == NULL)
		return;
	if (json_is_true(json_object_get(d, "known")))
		printf("destination: %s: %lld of %lld session%s it may have "
		       "now, %lld recipient%s waiting, %lld failure%s in a "
		       "row, %lld deferred in the last minute\n",
		    daemon_client_string(d, "next_hop"),
		    control_client_number(d, "sessions"),
		    control_client_number(d, "concurrency"),
		    plural(control_client_number(d, "concurrency")), waiting,
		    plural(waiting), failures, plural(failures),
		    control_client_number(d, "deferred_60s"));
	else
		printf("destination: %s: %lld recipient%s waiting, none in "
		       "hand, nothing is known against it\n",
		    daemon_client_string(d, "next_hop"), waiting,
		    plural(waiting));
	if (daemon_client_string(d, "last_reply")[0] != '\0')
		printf("last reply:  %s\n",
		    daemon_client_string(d, "last_reply"));
	print_held(json_object_get(d, "limits"));
	printf("waiting:     %lld%s recipient%s of the domain, %lld of them in "
	       "memory\n",
	    domain, more ? " or more" : "", plural(domain),
	    control_client_number(d, "domain_in_memory"));
}

static void
print_verdict(const json_t *row)
{
	const json_t *whys = json_object_get(row, "why");
	const char *verdict = daemon_client_string(row, "verdict");
	size_t i;

	printf("verdict:     %s\n",
	    strcmp(verdict, "now") == 0        ? "it is tried at once"
		: strcmp(verdict, "wait") == 0 ? "it waits"
		: strcmp(verdict, "fail") == 0 ? "it fails"
					       : verdict);
	for (i = 0; i < json_array_size(whys); i++)
		printf("  because    %s\n",
		    json_string_value(json_array_get(whys, i)));
}

static void
print_words(const json_t *row)
{
	const json_t *transport = json_object_get(row, "transport");

	printf("recipient:   <%s>\n", daemon_client_string(row, "recipient"));
	print_route(json_object_get(row, "route"), transport);
	print_limits(transport);
	print_plan(json_object_get(row, "plan"));
	print_destination(json_object_get(row, "destination"));
	print_tried(json_object_get(row, "tried"));
	print_verdict(row);
}

/* NULL after the errors on stderr. */
static struct config *
read_config(const char *name)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config *config = NULL;
	size_t n = 0, i;
	char *text = config_include_read(name, &n);

	if (text == NULL || errors == NULL) {
		perror(name);
		goto out;
	}
	config = config_read(name, text, n, errors);
	for (i = 0; i < errors->nlines; i++)
		fprintf(stderr, "postern: %s\n", errors->lines[i]);
out:
	free(text);
	free(errors);
	return config;
}

/* What can be said without a daemon; NULL after a word on stderr. */
static json_t *
explain_alone(const struct explain_options *o, const struct address *to)
{
	struct config *config = read_config(o->config_name);
	const struct transport *t;
	struct json_out out;
	static char text[16384];

	if (config == NULL)
		return NULL;
	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "recipient", to->path);
	json_out_string(&out, "domain", to->domain);
	t = explain_route(&out, config, o->via != NULL ? o->via : "",
	    to->domain);
	json_out_bool(&out, "daemon", false);
	json_out_string(&out, "verdict",
	    t != NULL            ? "not known: posternd is away"
		: o->via != NULL ? "fail"
				 : "wait");
	json_out_list(&out, "why");
	json_out_string(&out, NULL,
	    t != NULL            ? "this is what the configuration alone says"
		: o->via != NULL ? EXPLAIN_NO_TRANSPORT
				 : EXPLAIN_NO_ROUTE);
	json_out_close(&out);
	(void)json_out_end(&out);
	config_free(config);
	return json_loads(text, 0, NULL);
}

static json_t *
explain_asked(int fd, const struct explain_options *o, const char *recipient,
    int *status)
{
	json_t *ask = json_pack("{s:s,s:s}", "command", "explain", "recipient",
	    recipient);

	if (o->sender != NULL)
		(void)json_object_set_new(ask, "sender",
		    json_string(o->sender));
	if (o->via != NULL)
		(void)json_object_set_new(ask, "via", json_string(o->via));
	return control_client_ask(fd, ask, status);
}

static int
explain(const struct explain_options *o, const char *recipient)
{
	struct address to, from;
	json_t *row;
	int fd, ret, status = EXIT_DEFERRED;

	if (!read_address("recipient", recipient, false, &to) ||
	    !read_address("sender", o->sender != NULL ? o->sender : "", true,
		&from) ||
	    !options_is_name("--via", o->via))
		return EXIT_USAGE;
	fd = daemon_client_open(
	    daemon_client_socket(o->socket, o->config_name, true));
	row = fd != -1 ? explain_asked(fd, o, to.path, &status)
		       : explain_alone(o, &to);
	if (row != NULL && o->json)
		control_client_print_json(row);
	else if (row != NULL)
		print_words(row);
	ret = row == NULL || fd == -1 ? status
	    : strcmp(daemon_client_string(row, "verdict"), "fail") == 0
	    ? EXIT_FAILED
	    : EXIT_ALL_WELL;
	json_decref(row);
	fd_close(fd);
	return ret;
}

int
cmd_explain(int argc, char **argv)
{
	struct explain_options o = { 0 };
	const struct control_option rows[] = {
		{ "config", 'c', &o.config_name, NULL },
		{ "json", 0, NULL, &o.json },
		{ "sender", 0, &o.sender, NULL },
		{ "socket", 0, &o.socket, NULL },
		{ "via", 0, &o.via, NULL },
	};
	int first;

	o.config_name = POSTERN_SYSCONFDIR "/postern.conf";
	first = options_read(argc, argv, rows, NELEM(rows));
	if (!options_words(argc, argv, first, 1, 1, "a recipient"))
		return usage_print("explain");
	return explain(&o, argv[first]);
}
