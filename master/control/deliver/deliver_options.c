/* SPDX-License-Identifier: ISC */
/* See deliver_options.h. */
#include "master/control/deliver/deliver_options.h"

#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/log.h"
#include "common/util.h"
#include "master/control/client/options.h"
#include "master/secret_file.h"

const struct private_name deliver_options_names[] = {
	{ "auth_mechanisms", "--auth" },
	{ "auth_password_file", "--password-file" },
	{ "auth_token_file", "--token-file" },
	{ "auth_user", "--user" },
	{ "discard_ehlo_keywords", "--without" },
	{ "ehlo_name", "--ehlo" },
	{ "server", "--server" },
	{ "tls_CAfile", "--ca" },
	{ "tls_name", "--tls-name" },
	{ "tls_security_level", "--tls" },
	{ "tls_wrappermode", "--implicit-tls" },
	{ NULL, NULL },
};

int
deliver_options_read(int argc, char **argv, struct deliver_options *o)
{
	const struct control_option rows[] = {
		{ "auth", 0, &o->mechanism, NULL },
		{ "binary", 0, NULL, &o->job.binary },
		{ "ca", 0, &o->ca, NULL },
		{ "ehlo", 0, &o->ehlo, NULL },
		{ "from", 'f', &o->job.from, NULL },
		{ "implicit-tls", 0, NULL, &o->implicit_tls },
		{ "json", 0, NULL, &o->json },
		{ "lmtp", 0, NULL, &o->lmtp },
		{ "password-file", 0, &o->password_file, NULL },
		{ "server", 0, &o->server, NULL },
		{ "step-timeout", 0, &o->step_timeout, NULL },
		{ "timeout", 0, &o->timeout, NULL },
		{ "tls", 0, &o->tls, NULL },
		{ "tls-name", 0, &o->tls_name, NULL },
		{ "require-tls", 0, NULL, &o->job.require_tls },
#define ENVELOPE_OPTION(name, member)                                          \
	{ name, 0, &o->job.envelope.member, NULL },
#include "master/control/client/envelope_options.def"
#undef ENVELOPE_OPTION
		{ "token-file", 0, &o->token_file, NULL },
		{ "transcript", 0, &o->transcript, NULL },
		{ "user", 0, &o->user, NULL },
		{ "verbose", 'v', NULL, &o->job.verbose },
		{ "without", 0, &o->without, NULL },
	};
	int first = options_read(argc, argv, rows, NELEM(rows));

	if (o->job.verify && o->job.from == NULL)
		o->job.from = "";
	if (!options_words(argc, argv, first, 1, argc, "a recipient") ||
	    !options_has(argv[0], o->job.from, "--from ADDRESS"))
		return -1;
	o->job.rcpts = argv + first;
	o->job.nrcpts = (size_t)(argc - first);
	return 0;
}

int
deliver_options_complain(const char *what, const char *value, const char *why)
{
	char quote[1024];

	log_escape(quote, sizeof(quote), value, strlen(value));
	fprintf(stderr, "postern: %s %s: %s\n", what, quote, why);
	return -1;
}

static int
check_seconds(const char *option, const char *text, long most)
{
	const char *error = NULL;

	if (text == NULL)
		return 0;
	(void)strtonum(text, 1, most, &error);
	if (error == NULL)
		return 0;
	fprintf(stderr, "postern: %s %s: must be 1 to %ld seconds\n", option,
	    text, most);
	return -1;
}

/* A word that may be between quotes in the configuration: those of a user or of a
 * path may hold anything but what would end the line. */
static int
check_word(const char *option, const char *text)
{
	const char *p;

	for (p = text; p != NULL && *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return deliver_options_complain(option, text,
			    "holds a control character");
	}
	if (text != NULL && strstr(text, "${") != NULL)
		return deliver_options_complain(option, text,
		    "holds ${, which no configuration may");
	return 0;
}

/* The daemon reads it as who we are, and would only say that it ended. */
static int
check_secret(const char *option, const char *path)
{
	struct secret_file file;
	int ret;

	if (path == NULL)
		return 0;
	ret = secret_file_read(path, &file);
	if (ret == -1)
		(void)deliver_options_complain(option, path, file.why);
	fd_close(file.fd);
	return ret;
}

/* The same of the authorities that are trusted. */
static int
check_trust(const char *option, const char *path)
{
	const char *why = NULL;
	X509 *cert = NULL;
	FILE *f;

	if (path == NULL)
		return 0;
	f = fopen(path, "re");
	if (f == NULL)
		why = strerror(errno);
	else if ((cert = PEM_read_X509(f, NULL, NULL, NULL)) == NULL)
		why = "it has no certificate in PEM form";
	X509_free(cert);
	ERR_clear_error();
	if (f != NULL)
		(void)fclose(f); /* only read */
	return why == NULL ? 0 : deliver_options_complain(option, path, why);
}

/* Known before anything is sent: a transcript comes once. */
static int
check_can_write(const char *option, const char *path)
{
	char folder[PATH_MAX];
	struct stat st;
	char *slash;

	if (path == NULL)
		return 0;
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			errno = EISDIR;
		else if (access(path, W_OK) == 0)
			return 0;
	} else if (errno == ENOENT &&
	    strlcpy(folder, path, sizeof(folder)) < sizeof(folder)) {
		slash = strrchr(folder, '/');
		if (slash != NULL)
			slash[1] = '\0';
		if (access(slash != NULL ? folder : ".", W_OK | X_OK) == 0)
			return 0;
	}
	return deliver_options_complain(option, path, strerror(errno));
}

/* Unset in somebody's script, rather than a wish for none. */
static int
check_empty(const struct deliver_options *o)
{
	const struct {
		const char *option, *value;
	} rows[] = {
		{ "--server", o->server },
		{ "--user", o->user },
		{ "--password-file", o->password_file },
		{ "--token-file", o->token_file },
		{ "--auth", o->mechanism },
		{ "--without", o->without },
		{ "--ca", o->ca },
		{ "--transcript", o->transcript },
	};

	for (size_t i = 0; i < NELEM(rows); i++) {
		if (rows[i].value != NULL && rows[i].value[0] == '\0')
			return deliver_options_complain(rows[i].option, "\"\"",
			    "is empty; leave it out where nothing is meant");
	}
	return 0;
}

/* What the configuration would say of parameters, in words of options. */
static int
check_login(const struct deliver_options *o)
{
	bool has_secret = o->password_file != NULL || o->token_file != NULL;
	const char *why = NULL;

	if (o->password_file != NULL && o->token_file != NULL)
		why = "--password-file and --token-file: one of them is enough";
	else if (has_secret && o->user == NULL)
		why = "--password-file and --token-file need --user";
	else if (o->user != NULL && !has_secret && o->mechanism == NULL)
		why = "--user needs --password-file or --token-file";
	else if (o->user != NULL && o->server == NULL)
		why = "--user needs --server: a password is not for whom a "
		      "domain names";
	else if (has_secret && o->tls != NULL && strcmp(o->tls, "none") == 0 &&
	    (o->server == NULL || strncmp(o->server, "unix:", 5) != 0))
		why = "--tls none: nobody logs in in clear here, but over a "
		      "Unix socket; posternd does, with auth_in_clear = yes";
	if (why == NULL)
		return 0;
	fprintf(stderr, "postern: %s\n", why);
	return -1;
}

static int
check_addresses(const struct link_job *job)
{
	enum address_error e;
	struct address addr;
	size_t i;

	e = address_parse_reverse_path(&addr, job->from, strlen(job->from));
	if (e != ADDRESS_OK)
		return deliver_options_complain("--from", job->from,
		    address_error_text(e));
	for (i = 0; i < job->nrcpts; i++) {
		e = address_parse_forward_path(&addr, job->rcpts[i],
		    strlen(job->rcpts[i]));
		if (e != ADDRESS_OK)
			return deliver_options_complain("recipient",
			    job->rcpts[i], address_error_text(e));
	}
	return 0;
}

int
deliver_options_check(const struct deliver_options *o)
{
	if (check_addresses(&o->job) == -1 || check_empty(o) == -1 ||
	    envelope_options_check(&o->job.envelope, o->job.nrcpts) == -1 ||
	    check_seconds("--timeout", o->timeout, 86400) == -1 ||
	    check_seconds("--step-timeout", o->step_timeout, 3600) == -1 ||
	    check_word("--server", o->server) == -1 ||
	    check_word("--tls", o->tls) == -1 ||
	    check_word("--ca", o->ca) == -1 ||
	    check_word("--tls-name", o->tls_name) == -1 ||
	    check_word("--ehlo", o->ehlo) == -1 ||
	    check_word("--user", o->user) == -1 ||
	    check_word("--password-file", o->password_file) == -1 ||
	    check_word("--token-file", o->token_file) == -1 ||
	    check_secret("--password-file", o->password_file) == -1 ||
	    check_secret("--token-file", o->token_file) == -1 ||
	    check_trust("--ca", o->ca) == -1 ||
	    check_can_write("--transcript", o->transcript) == -1 ||
	    check_login(o) == -1 || check_word("--auth", o->mechanism) == -1 ||
	    check_word("--without", o->without) == -1)
		return -1;
	if (!o->lmtp || o->server != NULL)
		return 0;
	fprintf(stderr, "postern: --lmtp needs --server: LMTP has no MX\n");
	return -1;
}

/* Between quotes: single ones, in which only themselves and a backslash mean
 * anything. */
static void
write_quoted(FILE *f, const char *value, size_t n)
{
	fputc('\'', f);
	for (; n > 0; value++, n--) {
		if (*value == '\'' || *value == '\\')
			fputc('\\', f);
		fputc(*value, f);
	}
	fputc('\'', f);
}

static void
add_string(FILE *f, const char *name, const char *value)
{
	if (value == NULL)
		return;
	fprintf(f, "\t%s = ", name);
	write_quoted(f, value, strlen(value));
	fputc('\n', f);
}

/* What is found from here is found by the daemon, too. */
static void
add_path(FILE *f, const char *name, const char *value)
{
	char path[PATH_MAX];

	if (value != NULL && realpath(value, path) != NULL)
		add_string(f, name, path);
	else
		add_string(f, name, value);
}

/* "A,B" as a list of words. */
static void
add_list(FILE *f, const char *name, const char *words)
{
	bool first = true;
	size_t n;

	if (words == NULL)
		return;
	fprintf(f, "\t%s = {", name);
	for (; *words != '\0'; words += n + (words[n] == ',')) {
		n = strcspn(words, ",");
		fputs(first ? " " : ", ", f);
		write_quoted(f, words, n);
		first = false;
	}
	fprintf(f, " }\n");
}

static void
add_timers(FILE *f, const char *seconds)
{
	static const char *const names[] = { "connect_timeout",
		"greeting_timeout", "helo_timeout", "starttls_timeout",
		"mail_timeout", "rcpt_timeout", "data_init_timeout",
		"data_xfer_timeout", "data_done_timeout", "auth_timeout",
		"quit_timeout" };
	size_t i;

	for (i = 0; seconds != NULL && i < NELEM(names); i++) {
		/* QUIT is never worth more than its default */
		if (strcmp(names[i], "quit_timeout") != 0 || atoi(seconds) < 5)
			fprintf(f, "\t%s = %ss\n", names[i], seconds);
	}
}

size_t
deliver_options_write(const struct deliver_options *o, char *text, size_t size)
{
	FILE *f;
	long len;

	f = fmemopen(text, size, "w");
	if (f == NULL)
		return 0;
	fprintf(f, "queue_store = \"memory\"\nstop_timeout = 2s\n");
	fprintf(f, "job_recipient_limit = %d\n", DELIVER_RECIPIENTS);
	fprintf(f, "broken_server_time = 0\ntranscript_keep_time = %s\n",
	    o->transcript != NULL ? "1d" : "0");
	if (o->timeout != NULL)
		fprintf(f, "resolver_timeout = %ds\n",
		    atoi(o->timeout) < 600 ? atoi(o->timeout) : 600);
	fprintf(f, "transport deliver {\n");
	fprintf(f, "\tprotocol = %s\n", o->lmtp ? "lmtp" : "smtp");
	add_string(f, "server", o->server);
	add_string(f, "tls_security_level", o->tls);
	add_path(f, "tls_CAfile", o->ca);
	add_string(f, "tls_name", o->tls_name);
	add_string(f, "ehlo_name", o->ehlo);
	add_string(f, "auth_user", o->user);
	add_path(f, "auth_password_file", o->password_file);
	add_path(f, "auth_token_file", o->token_file);
	add_list(f, "auth_mechanisms", o->mechanism);
	add_list(f, "discard_ehlo_keywords", o->without);
	if (o->implicit_tls)
		fprintf(f, "\ttls_wrappermode = yes\n");
	if (o->timeout != NULL)
		fprintf(f, "\tsession_timeout = %ss\n", o->timeout);
	add_timers(f, o->step_timeout);
	fprintf(f,
	    "\tconnection_reuse_time_limit = 0\n}\n"
	    /* In the place of the built-in one, whose trust would be loaded. */
	    "transport smtp { tls_security_level = none }\n"
	    "route \"*\" {\n\ttransport = deliver\n}\n");
	len = ftell(f);
	fclose(f);
	return len > 0 ? (size_t)len : 0;
}
