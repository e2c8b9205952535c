/* SPDX-License-Identifier: ISC */
/*
 * The options of sendmail, beside a reading of the same words that knows nothing of
 * getopt().  The input is argv, each word ended by NUL.
 */
#include "master/control/sendmail/sendmail_options.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define WORDS 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char with_value[] = "ABbCDdeFfhILNOoPpRrVX";
static const char alone[] = "cGgimnstUvx";

struct reading {
	bool fails;
	enum sendmail_mode mode;
	const char *sender, *full_name, *config_name, *queue_run;
	const char *notify, *envid, *ret;
	bool dots, of_message, verbose;
	const char *operands[WORDS];
	int noperands;
};

static bool
is_word(const char *value, const char *one, const char *other)
{
	return strcasecmp(value, one) == 0 || strcasecmp(value, other) == 0;
}

static void
read_value(struct reading *r, char letter, const char *value)
{
	if (letter == 'B')
		r->fails = !is_word(value, "7BIT", "8BITMIME");
	if (letter == 'R')
		r->fails = !is_word(value, "full", "hdrs");
	if (letter == 'R' && !r->fails)
		r->ret = strcasecmp(value, "full") == 0 ? "full" : "headers";
	if (letter == 'b') {
		r->fails = value[0] == '\0' || strchr("mpi", value[0]) == NULL;
		if (!r->fails)
			r->mode = value[0] == 'm' ? SENDMAIL_SEND
			    : value[0] == 'p'     ? SENDMAIL_MAILQ
						  : SENDMAIL_NEWALIASES;
	}
	if (letter == 'I')
		r->mode = SENDMAIL_NEWALIASES;
	if (letter == 'f' || letter == 'r')
		r->sender = value;
	if (letter == 'F')
		r->full_name = value;
	if (letter == 'C')
		r->config_name = value;
	if (letter == 'N')
		r->notify = value;
	if (letter == 'V')
		r->envid = value;
	if (letter == 'o' && strcmp(value, "i") == 0)
		r->dots = true;
}

/* One word of options; how many of the words after it are their values. */
static int
read_cluster(struct reading *r, const char *at, const char *next)
{
	for (; *at != '\0' && !r->fails; at++) {
		if (*at == 'q') {
			r->mode = SENDMAIL_FLUSH;
			r->queue_run = at + 1;
			return 0;
		}
		if (*at != 'P' && strchr(with_value, *at) != NULL) {
			if (at[1] == '\0' && next == NULL) {
				r->fails = true;
				return 0;
			}
			read_value(r, *at, at[1] != '\0' ? at + 1 : next);
			return at[1] == '\0';
		}
		if (strchr(alone, *at) == NULL)
			r->fails = true;
		r->dots = r->dots || *at == 'i';
		r->of_message = r->of_message || *at == 't';
		r->verbose = r->verbose || *at == 'v';
	}
	return 0;
}

static void
read_words(struct reading *r, int argc, char **argv)
{
	const char *name = argv[0];
	bool over = false;

	if (strrchr(name, '/') != NULL)
		name = strrchr(name, '/') + 1;
	r->mode = strcmp(name, "mailq") == 0  ? SENDMAIL_MAILQ
	    : strcmp(name, "newaliases") == 0 ? SENDMAIL_NEWALIASES
					      : SENDMAIL_SEND;
	for (int i = 1; i < argc && !r->fails; i++) {
		if (!over && strcmp(argv[i], "--") == 0)
			over = true;
		else if (over || argv[i][0] != '-' || argv[i][1] == '\0')
			r->operands[r->noperands++] = argv[i];
		else
			i += read_cluster(r, argv[i] + 1,
			    i + 1 < argc ? argv[i + 1] : NULL);
	}
}

static void
expect_same(const char *a, const char *b)
{
	assert((a == NULL) == (b == NULL));
	assert(a == NULL || strcmp(a, b) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char text[4096];
	char *argv[WORDS + 1] = { NULL };
	struct reading want = { 0 };
	struct sendmail_options o;
	char why[SENDMAIL_WHY_SIZE] = "";
	int argc = 0, first;

	if (n == 0 || n >= sizeof(text))
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	for (size_t at = 0; at < n && argc < WORDS; argc++) {
		argv[argc] = text + at;
		at += strlen(text + at) + 1;
	}
	read_words(&want, argc, argv);
	first = sendmail_options_read(&o, argc, argv, why);
	assert((first == -1) == want.fails);
	assert((why[0] != '\0') == want.fails);
	assert(strlen(why) < sizeof(why));
	if (first == -1)
		return 0;
	assert(o.mode == want.mode && o.dots == want.dots &&
	    o.of_message == want.of_message && o.verbose == want.verbose);
	expect_same(o.sender, want.sender);
	expect_same(o.full_name, want.full_name);
	expect_same(o.queue_run, want.queue_run);
	expect_same(o.envelope.notify, want.notify);
	expect_same(o.envelope.envid, want.envid);
	expect_same(o.envelope.ret, want.ret);
	if (want.config_name != NULL)
		expect_same(o.config_name, want.config_name);
	assert(argc - first == want.noperands);
	for (int i = 0; i < want.noperands; i++)
		expect_same(argv[first + i], want.operands[i]);
	return 0;
}
