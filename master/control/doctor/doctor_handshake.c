/* SPDX-License-Identifier: ISC */
/*
 * The doctor on the servers of transports that demand TLS: whether they offer it, and
 * whether their certificates prove what tls_security_level asks to be proven.
 *
 * A private posternd asks them, with the transports' own parameters: what a server
 * sends is read by a worker in its cage, and judged as it is when mail goes.  No
 * login is made, and no command about mail is sent.
 */
#include "master/control/doctor/doctor.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/deliver/private_daemon.h"

enum {
	HANDSHAKES_MS = 25000,   /* in all */
	HANDSHAKES_AT_ONCE = 64, /* sessions */
	HANDSHAKE_STEP_S = 8,    /* some servers are slow to greet on purpose */
	HANDSHAKE_S = 12,        /* one session */
	HANDSHAKE_RESOLVE_S = 5,
};

/* What became of one; the texts are those of result, or NULL. */
struct handshake {
	const struct transport *transport;
	json_t *result;
};

struct handshakes {
	struct handshake *all;
	size_t count;
	size_t answered;
	bool late; /* else who has no result lacks it for want of a posternd */
};

/* The part of a reply, and what to do about it. */
static const struct {
	const char *part, *cure;
} cures[] = {
	{ "certificate has expired",
	    "have the certificate of that server, or of its authority, renewed; "
	    "until then its mail waits" },
	{ "not yet valid", "set the clock, of this machine or of that server" },
	{ "hostname mismatch",
	    "have a certificate made for that name, or set tls_name to a name "
	    "that this server is to have" },
	{ "IP address mismatch",
	    "write the server's name in server, or set tls_name to a name that "
	    "this server is to have" },
	{ "self-signed certificate",
	    "if it is the right one, have tls_CAfile name a file with it" },
	{ "issuer certificate",
	    "have tls_CAfile name the file of its authority, or have that "
	    "server send the certificates between" },
	{ "first certificate",
	    "have that server send the certificates between, or put them into "
	    "tls_CAfile" },
	{ "does not offer it",
	    "turn STARTTLS on at that server; if that port begins with TLS, "
	    "tls_wrappermode = yes" },
	{ "no legal name", "set tls_name to the name in its certificate" },
	{ "wrong version number",
	    "if that port begins in clear, tls_wrappermode = no" },
	{ "octets in clear",
	    "if that port begins in clear, tls_wrappermode = no; if not, find "
	    "out who on the path adds to what the server says" },
};

static bool
demands_tls(const struct transport *t)
{
	return t->next_hop.kind != NEXT_HOP_MX &&
	    (t->tls_security_level == CONFIG_TLS_ENCRYPT ||
		t->tls_security_level == CONFIG_TLS_VERIFY);
}

/* Whether it can be tried by who we are, with what there is; else why not. */
static bool
can_try(struct doctor *d, const struct transport *t)
{
	if (t->next_hop.kind == NEXT_HOP_UNIX && d->switches &&
	    geteuid() != 0) {
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "transport %s: only root can try %s as the dialer does",
		    t->name, t->next_hop.path);
		return false;
	}
	/* The private posternd would not start, and the check of trust has said
	 * so. */
	if (t->tls_security_level == CONFIG_TLS_VERIFY &&
	    access(t->tls_CAfile, R_OK) == -1) {
		doctor_say(d, DOCTOR_SKIPPED, NULL,
		    "transport %s: no certificate can be verified: tls_CAfile "
		    "%s: %s",
		    t->name, t->tls_CAfile, strerror(errno));
		return false;
	}
	return true;
}

/* The transport as it is, but for its login and for what may take long. */
static void
adapt_transport(struct transport *t)
{
	static char none[] = "";

	t->connect_timeout = DOCTOR_TRY_MS / 1000;
	t->greeting_timeout = t->helo_timeout = t->starttls_timeout =
	    HANDSHAKE_STEP_S;
	t->session_timeout = HANDSHAKE_S;
	t->connection_reuse_time_limit = 0;
	t->rate.count = t->destination_rate.count = 0;
	t->client_command = CONFIG_CLIENT_NONE;
	t->auth_user = t->auth_authzid = t->auth_password_file =
	    t->auth_token_file = t->auth_token_user = none;
	t->auth_token_command.count = t->auth_mechanisms.count = 0;
	t->auth_in_clear = false;
}

/* What of the rest matters to them: names, users, name servers. */
static void
adapt_global(struct config *c)
{
	static char none[] = "";

	c->log = CONFIG_LOG_STDERR;
	c->queue_store = CONFIG_QUEUE_STORE_MEMORY;
	c->process_limit = HANDSHAKES_AT_ONCE;
	c->stop_timeout = 1;
	c->transcript_keep_time = c->broken_server_time = 0;
	if (c->resolver_timeout > HANDSHAKE_RESOLVE_S)
		c->resolver_timeout = HANDSHAKE_RESOLVE_S;
	c->metrics_socket = c->metrics_listen = c->outcome_socket =
	    c->bounce_template_file = c->bounce_transport = none;
	c->job_socket_group = c->control_socket_group =
	    c->metrics_socket_group = none;
	c->outcome_command.count = c->job_users.count =
	    c->job_authorized_xclient_users.count = 0;
	c->nroutes = c->ndestinations = c->nmx_groups = c->nlisteners = 0;
}

/* The built-in one, whose trust would be loaded, where none has its place. */
static void
disarm_smtp(const struct config *from, struct config *to)
{
	static const char name[] = "smtp";
	size_t i;

	for (i = 0; i < to->ntransports; i++)
		if (strcmp(to->transports[i].name, name) == 0)
			return;
	for (i = 0; i < from->ntransports; i++) {
		if (strcmp(from->transports[i].name, name) != 0)
			continue;
		to->transports[to->ntransports] = from->transports[i];
		adapt_transport(&to->transports[to->ntransports]);
		to->transports[to->ntransports].tls_security_level =
		    CONFIG_TLS_NONE;
		to->transports[to->ntransports++].tls_wrappermode = false;
		return;
	}
}

/* The configuration of the private posternd, as a descriptor; -1. */
static int
make_config(const struct doctor *d, const struct handshakes *h)
{
	struct config c = *d->config; /* borrows all that it leads to */
	char *text = NULL;
	size_t len = 0;
	FILE *f = NULL;
	int fd = -1;

	c.ntransports = 0;
	c.transports = calloc(h->count + 1, sizeof(*c.transports));
	if (c.transports != NULL)
		f = open_memstream(&text, &len);
	if (f == NULL)
		goto out;
	for (size_t i = 0; i < h->count; i++) {
		c.transports[c.ntransports] = *h->all[i].transport;
		adapt_transport(&c.transports[c.ntransports++]);
	}
	disarm_smtp(d->config, &c);
	adapt_global(&c);
	config_dump(&c, false, f);
	if (fclose(f) == 0)
		fd = private_daemon_config(text, len, NULL);
out:
	free(text);
	free(c.transports);
	return fd;
}

static int
send_one(int fd, const struct handshake *h)
{
	char recipient[] = "postmaster@doctor.invalid"; /* it is never sent */
	char *const rcpts[] = { recipient };
	const struct link_job job = { .from = "",
		.via = h->transport->name,
		.ref = h->transport->name,
		.wait = "attempt",
		.once = true,
		.verify = true,
		.handshake = true,
		.rcpts = rcpts,
		.nrcpts = 1,
		.message_fd = -1 };

	return daemon_client_send_job(fd, &job);
}

/* An answer with an outcome, or a refusal, is the last that counts. */
static void
take_answer(struct handshakes *h, json_t *answer)
{
	const char *ref = daemon_client_string(answer, "ref");
	size_t i;

	if (json_object_get(answer, "recipient") == NULL &&
	    strcmp(daemon_client_string(answer, "status"), "refused") != 0)
		return;
	for (i = 0; i < h->count; i++) {
		if (strcmp(h->all[i].transport->name, ref) != 0 ||
		    h->all[i].result != NULL)
			continue;
		h->all[i].result = json_incref(answer);
		h->answered++;
		return;
	}
}

/* All at the same time; who has no answer in the end has no result. */
static void
try_all(const struct doctor *d, struct handshakes *h)
{
	struct private_daemon daemon = { .silent = true };
	int64_t end = time_monotonic_ms() + HANDSHAKES_MS, left = 1;
	const struct timeval patience = { .tv_sec = HANDSHAKES_MS / 1000 };
	int config_fd = make_config(d, h);
	json_t *answer;
	size_t i;

	if (config_fd == -1)
		return;
	if (private_daemon_start(&daemon, config_fd, false, NULL) == -1)
		goto out;
	/* Of many, the last wait until the first are read. */
	(void)setsockopt(daemon.link_fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience));
	for (i = 0; i < h->count; i++)
		if (send_one(daemon.link_fd, &h->all[i]) == -1)
			break;
	while (h->answered < i && (left = end - time_monotonic_ms()) > 0 &&
	    (answer = daemon_client_receive(daemon.link_fd, (int)left)) !=
		NULL) {
		take_answer(h, answer);
		json_decref(answer);
	}
	h->late = left <= 0 || i < h->count || errno == ETIMEDOUT;
out:
	private_daemon_stop(&daemon);
	fd_close(config_fd);
}

static const char *
find_cure(const char *reply)
{
	for (size_t i = 0; i < NELEM(cures); i++)
		if (strstr(reply, cures[i].part) != NULL)
			return cures[i].cure;
	return "look at what that server's log says of TLS, and at its port";
}

static void
print_server(const struct transport *t, char *out, size_t size)
{
	if (t->next_hop.kind == NEXT_HOP_UNIX)
		(void)snprintf(out, size, "unix:%s", t->next_hop.path);
	else
		(void)snprintf(out, size, "%s, port %u", t->next_hop.host,
		    t->next_hop.port);
}

/* Its TLS is what is wrong, by our own judgement or the server's reply to STARTTLS. */
static bool
is_of_tls(const json_t *result)
{
	const char *step = daemon_client_string(result, "step");

	return strcmp(step, "starttls") == 0 || strcmp(step, "tls") == 0 ||
	    (json_integer_value(json_object_get(result, "code")) == 0 &&
		strncmp(daemon_client_string(result, "dsn"), "4.7.", 4) == 0);
}

static void
say_one(struct doctor *d, const struct handshake *h, bool late)
{
	const struct transport *t = h->transport;
	const char *reply = daemon_client_string(h->result, "reply");
	const char *level =
	    t->tls_security_level == CONFIG_TLS_VERIFY ? "verify" : "encrypt";
	char server[DOCTOR_TEXT_SIZE / 2];

	print_server(t, server, sizeof(server));
	if (h->result == NULL && !late)
		doctor_say(d, DOCTOR_WARNING,
		    "posternd -n says what is wrong with the configuration, "
		    "postern deliver what with a private posternd",
		    "transport %s: %s: TLS was not tried: the private posternd "
		    "for it ended early",
		    t->name, server);
	else if (h->result == NULL)
		doctor_say(d, DOCTOR_WARNING,
		    "look at that server, or try again when the others answer",
		    "transport %s: %s: TLS was not tried to its end: %d s for "
		    "all servers are over",
		    t->name, server, HANDSHAKES_MS / 1000);
	else if (strcmp(daemon_client_string(h->result, "status"),
		     "deliverable") == 0)
		return;
	else if (is_of_tls(h->result))
		doctor_say(d, DOCTOR_FAULT, find_cure(reply),
		    "transport %s: %s does not come up to "
		    "tls_security_level = %s, and its mail waits: %s",
		    t->name, server, level, reply);
	else
		doctor_say(d, DOCTOR_WARNING,
		    "start that server, or correct its name or port; then run "
		    "this again",
		    "transport %s: %s: whether its TLS comes up to "
		    "tls_security_level = %s cannot be seen: %s",
		    t->name, server, level,
		    reply[0] != '\0'
			? reply
			: daemon_client_string(h->result, "error"));
}

void
doctor_handshake_all(struct doctor *d)
{
	const struct config *c = d->config;
	struct handshakes h = { .all = calloc(c->ntransports, sizeof(*h.all)) };
	size_t i;

	if (h.all == NULL) {
		doctor_say(d, DOCTOR_SKIPPED, NULL, "no memory");
		return;
	}
	for (i = 0; i < c->ntransports; i++)
		if (demands_tls(&c->transports[i]) &&
		    can_try(d, &c->transports[i]))
			h.all[h.count++].transport = &c->transports[i];
	if (h.count > 0)
		try_all(d, &h);
	for (i = 0; i < h.count; i++)
		say_one(d, &h.all[i], h.late);
	if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    h.count > 0
			? "all servers that must have TLS do, and prove their "
			  "names where level verify asks it"
			: "no transport demands TLS of a server by name");
	for (i = 0; i < h.count; i++)
		json_decref(h.all[i].result);
	free(h.all);
}
