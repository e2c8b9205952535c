/* SPDX-License-Identifier: ISC */
/*
 * postern replay: a transcript's server, played again; and, where nobody else is
 * to connect to it, the delivery made again, and its outcomes held against those
 * of then.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/control/queue/cmd_transcript.h"
#include "master/control/replay/replay_client.h"
#include "master/control/replay/replay_plan.h"
#include "master/next_hop.h"

#define TEXT_MAX (4 * 1024 * 1024)
#define TRIES    8 /* where a race decides */

struct replay_options {
	const char *config_name;
	const char *socket;
	const char *listen;
	const char *subject; /* a file, or what the daemon knows it by */
	bool fast;
	bool last;
	bool verbose;
	bool json;
	bool reached; /* the daemon, where it was asked */
};

static int
parse(int argc, char **argv, struct replay_options *o)
{
	const struct control_option rows[] = {
		{ "config", 'c', &o->config_name, NULL },
		{ "fast", 0, NULL, &o->fast },
		{ "json", 0, NULL, &o->json },
		{ "last", 0, NULL, &o->last },
		{ "listen", 0, &o->listen, NULL },
		{ "socket", 0, &o->socket, NULL },
		{ "verbose", 'v', NULL, &o->verbose },
	};
	int first;

	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	first = options_read(argc, argv, rows, NELEM(rows));
	if (!options_words(argc, argv, first, !o->last, !o->last,
		"--last, a file or an id"))
		return -1;
	o->subject = o->last ? NULL : argv[first];
	return 0;
}

/* The text. */

static int
copy_file(const char *name, FILE *out)
{
	char octets[4096];
	size_t n, all = 0;
	FILE *f;

	f = fopen(name, "re");
	if (f == NULL)
		return -1;
	errno = 0;
	while (
	    all < TEXT_MAX && (n = fread(octets, 1, sizeof(octets), f)) > 0) {
		(void)fwrite(octets, 1, n, out); /* seen by fclose() */
		all += n;
	}
	n = ferror(f) ? 1 : 0; /* a folder, most likely: errno says it */
	(void)fclose(f);       /* only read */
	return n == 0 ? 0 : -1;
}

/* From the file of that name, else from the daemon. */
static int
read_subject(struct replay_options *o, FILE *out)
{
	int fd, found;

	if (o->subject != NULL && copy_file(o->subject, out) == 0)
		return 0;
	/* A name without a slash may be the daemon's. */
	if (o->subject != NULL &&
	    (errno != ENOENT || strchr(o->subject, '/') != NULL)) {
		fprintf(stderr, "postern: %s: %s\n", o->subject,
		    strerror(errno));
		return -1;
	}
	fd = daemon_client_open(
	    daemon_client_socket(o->socket, o->config_name, true));
	if (fd == -1 && o->subject != NULL)
		fprintf(stderr, "postern: %s: there is no such file here\n",
		    o->subject);
	if (fd == -1)
		return -1;
	o->reached = true;
	found = cmd_transcript_fetch(fd, o->subject, out);
	fd_close(fd);
	if (found == 0)
		fprintf(stderr,
		    "postern: %s%sno such file, and no transcript\n",
		    o->subject != NULL ? o->subject : "",
		    o->subject != NULL ? ": " : "");
	return found == 1 ? 0 : -1;
}

static int
read_script(struct replay_options *o, struct replay_script *s)
{
	char error[SCRIPT_ERROR_SIZE], *text = NULL;
	size_t len = 0;
	int ret = -1;
	FILE *out;

	out = open_memstream(&text, &len);
	if (out == NULL)
		return -1;
	if (read_subject(o, out) == -1) {
		(void)fclose(out);
		goto out;
	}
	if (fclose(out) == EOF)
		goto out;
	ret = replay_script_parse(s, text, len, error);
	if (ret == -1)
		fprintf(stderr, "postern: %s: %s\n",
		    o->subject != NULL ? o->subject : "transcript", error);
out:
	free(text);
	return ret;
}

/* The server. */

struct stage {
	struct replay_plan play;
	int listen_fd;
	uint16_t port;
	pid_t server;
};

static int
start_server(struct stage *st)
{
	pid_t parent = getpid();

	st->listen_fd =
	    replay_server_listen(&st->play, "127.0.0.1", 0, &st->port);
	if (st->listen_fd == -1) {
		fprintf(stderr, "postern: listen: %s\n", strerror(errno));
		return -1;
	}
	fflush(NULL);
	st->server = fork();
	if (st->server == 0) {
		/* However we end, it plays to nobody. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 ||
		    getppid() != parent)
			_exit(1);
		replay_server_run(&st->play, st->listen_fd, false);
		_exit(0);
	}
	return st->server == -1 ? -1 : 0;
}

static void
stop_server(struct stage *st)
{
	fd_close(st->listen_fd);
	st->listen_fd = -1;
	if (st->server <= 0)
		return;
	(void)kill(st->server, SIGKILL); /* it has nothing to lose */
	while (waitpid(st->server, NULL, 0) == -1 && errno == EINTR)
		;
	st->server = 0;
}

static bool
read_listen(const char *where, struct next_hop *hop)
{
	const char *why = next_hop_parse(where, 0, hop);

	if (why == NULL && hop->kind != NEXT_HOP_ADDRESS)
		why = "must be ADDRESS:PORT";
	if (why != NULL)
		fprintf(stderr, "postern: --listen: %s\n", why);
	return why == NULL;
}

/* For others to connect to. */
static int
listen_alone(const struct replay_plan *p, const char *where, bool json)
{
	struct next_hop hop;
	uint16_t port;
	int fd;

	if (!read_listen(where, &hop))
		return EXIT_USAGE;
	fd = replay_server_listen(p, hop.host, hop.port, &port);
	if (fd == -1) {
		fprintf(stderr, "postern: %s: %s\n", where, strerror(errno));
		return EXIT_DEFERRED;
	}
	printf(json ? "{\"listening\":\"%s\",\"port\":%u}\n"
		    : "listening on %s port %u\n",
	    hop.host, port);
	fflush(stdout);
	replay_server_run(p, fd, true);
	fd_close(fd);
	return EXIT_ALL_WELL;
}

/* The delivery made again; a race that was lost then may be won now. */
static int
run(const struct replay_options *o, struct replay_script *s, struct stage *st)
{
	struct replay_plan_timer hurry = { TIMER_COUNT, 0 };
	const struct rerun_show show = { o->verbose, o->json };
	int tries = st->play.races ? TRIES : 1;
	enum replay_client_end end;

	if (o->fast)
		replay_plan_hurry(&st->play, &hurry);
	if (replay_client_prepare(s, &st->play) == -1 || start_server(st) == -1)
		return EXIT_DEFERRED;
	if (o->json)
		printf("{\"in_clear\":%s,\"without_auth\":%s}\n",
		    st->play.in_clear ? "true" : "false",
		    st->play.without_auth ? "true" : "false");
	if (st->play.in_clear && !o->json)
		printf("what was said inside TLS is said in clear\n");
	if (st->play.without_auth && !o->json)
		printf("the login is left out\n");
	do
		end = replay_client_run(s, &st->play, st->port, &hurry, &show);
	while (end == REPLAY_CLIENT_DIFFERS && --tries > 0);
	stop_server(st);
	if (end != REPLAY_CLIENT_FAILED && o->json)
		printf("{\"same\":%s,\"done\":true}\n",
		    end == REPLAY_CLIENT_SAME ? "true" : "false");
	else if (end != REPLAY_CLIENT_FAILED)
		printf("%s outcome\n",
		    end == REPLAY_CLIENT_SAME ? "same" : "another");
	return end == REPLAY_CLIENT_SAME   ? EXIT_ALL_WELL
	    : end == REPLAY_CLIENT_DIFFERS ? EXIT_ANOTHER
					   : EXIT_DEFERRED;
}

int
cmd_replay(int argc, char **argv)
{
	struct stage st = { .listen_fd = -1 };
	struct replay_options o = { 0 };
	struct replay_script s = { 0 };
	struct next_hop where;
	int ret = EXIT_DEFERRED;

	if (parse(argc, argv, &o) == -1)
		return usage_print("replay");
	if (o.listen != NULL && !read_listen(o.listen, &where))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (read_script(&o, &s) == -1) {
		/* --last is for the daemon alone, which has said nothing. */
		ret = o.last && !o.reached ? EXIT_DEFERRED : EXIT_NO_TRANSCRIPT;
		goto out;
	}
	if (replay_plan_choose(&st.play, &s, o.listen != NULL) == -1) {
		fprintf(stderr, "postern: no memory\n");
		goto out;
	}
	if (st.play.why != NULL) {
		fprintf(stderr, "postern: this cannot be replayed: %s\n",
		    st.play.why);
		ret = EXIT_FAILED;
		goto out;
	}
	ret = o.listen != NULL ? listen_alone(&st.play, o.listen, o.json)
			       : run(&o, &s, &st);
out:
	replay_plan_clear(&st.play);
	replay_script_clear(&s);
	return ret;
}
