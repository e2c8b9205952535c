/* SPDX-License-Identifier: ISC */
/* postern transcript: which failed sessions are known, and what they were like. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"
#include "master/control/queue/cmd_transcript.h"

struct transcript_options {
	const char *config_name;
	const char *socket;
	bool json;
	bool last;
};

/* The rest of the line in a head that begins with this word, or "". */
static const char *
head_line(const char *head, const char *word, char *out, size_t size)
{
	size_t n = strlen(word), len;
	const char *at = head;

	out[0] = '\0';
	while (at != NULL && (strncmp(at, word, n) != 0 || at[n] != ' ')) {
		at = strchr(at, '\n');
		at += at != NULL;
	}
	if (at == NULL)
		return out;
	len = strcspn(at + n + 1, "\n");
	if (len >= size)
		len = size - 1;
	memcpy(out, at + n + 1, len);
	out[len] = '\0';
	return out;
}

static void
print_head(const json_t *row, bool json)
{
	char began[64], to[512], relay[512], summary[768], messages[1024];
	const char *name = daemon_client_string(row, "transcript");
	const char *head = daemon_client_string(row, "text");
	json_t *object;

	(void)head_line(head, "began", began, sizeof(began));
	(void)head_line(head, "destination", to, sizeof(to));
	(void)head_line(head, "relay", relay, sizeof(relay));
	(void)head_line(head, "summary", summary, sizeof(summary));
	(void)head_line(head, "messages", messages, sizeof(messages));
	if (!json) {
		printf("%s %s destination=%s relay=%s %s\n", name, began, to,
		    relay, summary);
		return;
	}
	object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "transcript", name,
	    "began", began, "destination", to, "relay", relay, "summary",
	    summary, "messages", messages);
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* Whether a head is of the transcript, or of a session with the message. */
static bool
is_meant(const json_t *row, const char *id)
{
	char messages[1024], *rest = messages, *word;

	if (id == NULL ||
	    strcmp(daemon_client_string(row, "transcript"), id) == 0)
		return true;
	(void)head_line(daemon_client_string(row, "text"), "messages", messages,
	    sizeof(messages));
	while ((word = strsep(&rest, " ")) != NULL)
		if (strcasecmp(word, id) == 0)
			return true;
	return false;
}

/* The next answer, or NULL at the end: *done says that it was a good one. */
static json_t *
receive(int fd, bool *done, bool *more)
{
	json_t *row = daemon_client_receive(fd, -1);

	*done = row != NULL && json_is_true(json_object_get(row, "done"));
	*more = *done && json_is_true(json_object_get(row, "more"));
	if (row == NULL)
		fprintf(stderr, "postern: posternd closed the connection\n");
	else if (strcmp(daemon_client_string(row, "status"), "refused") == 0)
		fprintf(stderr, "postern: %s\n",
		    daemon_client_string(row, "error"));
	else if (!*done)
		return row;
	json_decref(row);
	return NULL;
}

/*
 * Heads, newest first, page by page: printed where out is NULL, else the first
 * one that is meant goes there.  0, or -1 where that has been said.
 */
static int
walk(int fd, const char *id, char out[static TRANSCRIPT_ID_SIZE], bool print,
    bool json)
{
	char last[TRANSCRIPT_ID_SIZE] = "";
	bool done = true, more = true;
	json_t *row;

	out[0] = '\0';
	while (more) {
		if (daemon_client_send(fd,
			json_pack("{s:s,s:s}", "command", "transcripts", "name",
			    last),
			-1) == -1)
			return -1;
		while ((row = receive(fd, &done, &more)) != NULL) {
			(void)strlcpy(last,
			    daemon_client_string(row, "transcript"),
			    sizeof(last));
			if (print)
				print_head(row, json);
			else if (out[0] == '\0' && is_meant(row, id))
				(void)strlcpy(out, last, TRANSCRIPT_ID_SIZE);
			json_decref(row);
		}
		if (!done)
			return -1;
		if (out[0] != '\0')
			break;
	}
	return 0;
}

int
cmd_transcript_fetch(int fd, const char *id, FILE *out)
{
	char name[TRANSCRIPT_ID_SIZE];
	bool done, more;
	json_t *row;

	if (walk(fd, id, name, false, false) == -1)
		return -1;
	if (name[0] == '\0')
		return 0;
	if (daemon_client_send(fd,
		json_pack("{s:s,s:s,s:b}", "command", "transcripts", "name",
		    name, "whole", 1),
		-1) == -1)
		return -1;
	while ((row = receive(fd, &done, &more)) != NULL) {
		fputs(daemon_client_string(row, "text"), out);
		json_decref(row);
	}
	return done ? 1 : -1;
}

static void
print_text(const char *text)
{
	json_t *object = json_pack("{s:s}", "text", text);

	(void)json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static int
show(int fd, const char *id, bool json)
{
	char *text = NULL;
	size_t n = 0;
	FILE *whole = json ? open_memstream(&text, &n) : NULL;
	int found = json && whole == NULL
	    ? -1
	    : cmd_transcript_fetch(fd, id, json ? whole : stdout);

	if (whole != NULL && fclose(whole) == 0 && found == 1)
		print_text(text);
	free(text);
	if (found == 0)
		fprintf(stderr, "postern: no transcript%s%s is kept\n",
		    id != NULL ? " of " : "", id != NULL ? id : "");
	return found == 1 ? EXIT_ALL_WELL
	    : found == 0  ? EXIT_FAILED
			  : EXIT_DEFERRED;
}

int
cmd_transcript(int argc, char **argv)
{
	struct transcript_options o = { 0 };
	const struct control_option rows[] = {
		{ "config", 'c', &o.config_name, NULL },
		{ "json", 0, NULL, &o.json },
		{ "last", 0, NULL, &o.last },
		{ "socket", 0, &o.socket, NULL },
	};
	char name[TRANSCRIPT_ID_SIZE];
	int fd, first, ret;

	o.config_name = POSTERN_SYSCONFDIR "/postern.conf";
	first = options_read(argc, argv, rows, NELEM(rows));
	if (!options_words(argc, argv, first, 0, o.last ? 0 : 1, ""))
		return usage_print("transcript");
	fd = daemon_client_open(
	    daemon_client_socket(o.socket, o.config_name, true));
	if (fd == -1)
		return EXIT_DEFERRED;
	if (o.last || first < argc)
		ret = show(fd, o.last ? NULL : argv[first], o.json);
	else
		ret = walk(fd, "", name, true, o.json) == 0 ? EXIT_ALL_WELL
							    : EXIT_DEFERRED;
	fd_close(fd);
	return ret;
}
