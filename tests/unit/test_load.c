/* SPDX-License-Identifier: ISC */
/* A configuration against the system: what it names must be there. */
#include "master/load.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

/* Users that need not be in the password file. */
#define USERS                                                                               \
	"intake_user = 61001\nqueue_user = 61002\nresolver_user = 61003\n"                  \
	"dialer_user = 61004\nagent_user = 61005 metrics_user = 61006 signer_user = 61007 " \
	"control_user = 61008\n"

static char folder[] = "/tmp/postern-load-XXXXXX";
static char path[64];
static struct config_errors errors;

static void
set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/f.conf", folder);
}

static void
tear_down(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(load, .init = set_up, .fini = tear_down);

static void
need_root(void)
{
	if (geteuid() == 0)
		return;
	tear_down(); /* a test that is skipped has no end */
	cr_skip_test("users are switched by root alone");
}

static struct load *
load_text(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_neq(fd, -1);
	cr_assert_eq(fd_write(fd, text, strlen(text)), 0);
	close(fd);
	return load_read(path, &errors);
}

/* The line that is wrong, behind the file's name. */
static void
expect_line(const char *want)
{
	char whole[512];

	(void)snprintf(whole, sizeof(whole), "%s%s", path, want);
	for (size_t i = 0; i < errors.nlines; i++) {
		if (strncmp(errors.lines[i], whole, strlen(whole)) == 0)
			return;
	}
	cr_expect(false, "no line \"%s\" in %zu, first: %s", whole,
	    errors.nlines, errors.nlines > 0 ? errors.lines[0] : "");
}

Test(load, a_good_file_is_loaded_with_all_that_it_names)
{
	char text[sizeof(USERS) + 512], got[1024];
	struct load *l;
	ssize_t n;

	(void)snprintf(text, sizeof(text),
	    "%sjob_users = {\"root\", \"4711\"}\njob_socket_group = \"%s\"\n",
	    USERS, getgrgid(0)->gr_name);
	l = load_text(text);
	cr_assert_not_null(l, "%s", errors.nlines ? errors.lines[0] : "");
	cr_expect_eq(errors.count, 0);
	cr_expect_eq(l->nsubmitters, 2);
	cr_expect_eq(l->submitters[0], 0);
	cr_expect_eq(l->submitters[1], 4711);
	cr_expect_eq(l->job_group, 0);
	cr_expect_eq(l->control_group, (gid_t)-1);
	if (geteuid() == 0) {
		cr_expect_eq(l->intake.uid, 61001);
		cr_expect_eq(l->queue.uid, 61002);
		cr_expect_eq(l->resolver.uid, 61003);
		cr_expect_eq(l->dialer.uid, 61004);
		cr_expect_eq(l->agent.uid, 61005);
		cr_expect_eq(l->agent.gid, 61005);
	}
	n = pread(l->text_fd, got, sizeof(got), 0);
	cr_expect_eq(n, (ssize_t)strlen(text));
	cr_expect_eq(memcmp(got, text, strlen(text)), 0, "as it stands");
	cr_expect_eq(fcntl(l->text_fd, F_GET_SEALS), FD_SEALS);
	load_free(l);
	load_free(NULL);
}

Test(load, a_file_that_is_not_there_or_no_file_is_said)
{
	cr_expect_null(load_read(path, &errors));
	cr_expect_eq(errors.count, 1);
	expect_line(": cannot be opened: No such file");
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_expect_null(load_read(path, &errors));
	expect_line(": cannot be read: Is a directory");
	(void)rmdir(path);
}

Test(load, a_wrong_line_is_said_with_its_number)
{
	cr_expect_null(load_text(USERS "no_such_word = 1\n"));
	expect_line(":6: ");
}

Test(load, a_missing_user_is_said_for_each_role)
{
	need_root();
	cr_expect_null(load_text("intake_user = no-such-a\n"
				 "queue_user = no-such-b\n"
				 "resolver_user = 61003\ndialer_user = 61004\n"
				 "agent_user = no-such-c\n"
				 "metrics_user = 61006 signer_user = 61007\n"
				 "control_user = 61008\n"));
	cr_expect_eq(errors.count, 3);
	expect_line(":1: intake_user: there is no user no-such-a");
	expect_line(":2: queue_user: there is no user no-such-b");
	expect_line(":5: agent_user: there is no user no-such-c");
}

Test(load, missing_users_of_defaults_are_said_once)
{
	need_root();
	if (getpwnam("postern-intake") != NULL)
		cr_skip_test("postern is installed here");
	cr_expect_null(load_text("hostname = a.example\n"));
	cr_expect_eq(errors.count, 1);
	expect_line(": there are no users postern-intake, postern-control, "
		    "postern-queue, postern-resolver, postern-dialer, "
		    "postern-agent, postern-signer, postern-metrics: `make "
		    "install` creates them");
	cr_expect_null(load_text("intake_user = no-such-a queue_user = 61002\n"
				 "resolver_user = 61003 dialer_user = 61004\n"
				 "agent_user = 61005 metrics_user = 61006\n"
				 "signer_user = 61007\n"));
	cr_expect_eq(errors.count, 2);
	expect_line(":1: intake_user: there is no user no-such-a");
	expect_line(": there is no user postern-control: `make install` "
		    "creates it");
}

Test(load, root_is_no_user_for_a_role)
{
	need_root();
	cr_expect_null(load_text("intake_user = root\nqueue_user = 0\n"
				 "resolver_user = 61003\ndialer_user = 61004\n"
				 "agent_user = 61005\n"
				 "metrics_user = 61006 signer_user = 61007\n"
				 "control_user = 61008\n"));
	cr_expect_eq(errors.count, 2);
	expect_line(":1: intake_user: root is root; ");
	expect_line(":2: queue_user: 0 is root; ");
}

Test(load, missing_groups_and_submitters_are_said)
{
	cr_expect_null(load_text(USERS "job_socket_group = no-such-g\n"
				       "control_socket_group = no-such-h\n"
				       "job_users = {no-such-u, root}\n"));
	cr_expect_eq(errors.count, 3);
	expect_line(":6: job_socket_group: there is no group no-such-g");
	expect_line(":7: control_socket_group: there is no group no-such-h");
	expect_line(":8: job_users: there is no user no-such-u");
}

Test(load, a_missing_ca_file_is_said_with_the_line_of_its_transport)
{
	cr_expect_null(load_text(USERS "transport one {\n"
				       "	server = mx.example.org\n"
				       "	tls_security_level = verify\n"
				       "	tls_CAfile = /no/such/file\n"
				       "}\n"
				       "transport two {\n"
				       "	server = mx.example.net\n"
				       "	tls_security_level = verify\n"
				       "	tls_CAfile = /no/such/other\n"
				       "}\n"));
	cr_expect_eq(errors.count, 2);
	expect_line(":6: transport one: tls_CAfile: /no/such/file: No such");
	expect_line(":11: transport two: tls_CAfile: /no/such/other: No such");
}

Test(load, a_ca_file_that_decides_nothing_may_be_missing)
{
	struct load *l = load_text(USERS "transport one {\n"
					 "	server = mx.example.org\n"
					 "	tls_security_level = may\n"
					 "	tls_CAfile = /no/such/file\n"
					 "}\n");

	cr_assert_not_null(l, "%s", errors.nlines ? errors.lines[0] : "");
	for (size_t i = 0; i < l->config->ntransports; i++) {
		if (strcmp(l->config->transports[i].name, "one") == 0)
			cr_expect_eq(l->trust_fds[i], -1);
	}
	load_free(l);
}

Test(load, a_ca_file_is_opened)
{
	struct load *l = load_text(USERS "transport one {\n"
					 "	server = mx.example.org\n"
					 "	tls_security_level = verify\n"
					 "	tls_CAfile = /dev/null\n"
					 "}\n");

	cr_assert_not_null(l, "%s", errors.nlines ? errors.lines[0] : "");
	for (size_t i = 0; i < l->config->ntransports; i++) {
		if (strcmp(l->config->transports[i].name, "one") == 0)
			cr_expect_eq(fcntl(l->trust_fds[i], F_GETFD),
			    FD_CLOEXEC);
	}
	load_free(l);
}

Test(load, the_texts_of_notices_are_read_and_checked)
{
	char texts[80], line[sizeof(USERS) + 128], got[64];
	struct load *l;
	FILE *f;

	(void)snprintf(texts, sizeof(texts), "%s/t", folder);
	(void)snprintf(line, sizeof(line),
	    USERS "bounce_template_file = \"%s\"\n", texts);
	cr_expect_null(load_text(line));
	expect_line(":6: bounce_template_file: ");
	f = fopen(texts, "w");
	cr_assert_not_null(f);
	(void)fputs("# c\ndelay = <<E\n", f);
	(void)fclose(f);
	cr_expect_null(load_text(line));
	cr_expect_not_null(
	    strstr(errors.lines[0], "/t:2: delay = <<E: no template"), "%s",
	    errors.lines[0]);
	f = fopen(texts, "w");
	cr_assert_not_null(f);
	(void)fputs("# nothing\n", f);
	(void)fclose(f);
	l = load_text(line);
	cr_assert_not_null(l);
	cr_expect_eq(pread(l->template_fd, got, sizeof(got), 0), 10);
	cr_expect_eq(fcntl(l->template_fd, F_GET_SEALS), FD_SEALS);
	load_free(l);
	(void)unlink(texts);
}

/* The master waits for nobody: not for a writer of a pipe either. */
Test(load, texts_that_are_no_file_are_refused, .timeout = 10)
{
	char texts[80], line[sizeof(USERS) + 128];

	(void)snprintf(texts, sizeof(texts), "%s/pipe", folder);
	(void)snprintf(line, sizeof(line),
	    USERS "bounce_template_file = \"%s\"\n", texts);
	cr_assert_eq(mkfifo(texts, 0600), 0);
	cr_expect_null(load_text(line));
	expect_line(":6: bounce_template_file: ");
	(void)unlink(texts);
}

Test(load, more_errors_than_the_list_holds_are_counted)
{
	static char text[CONFIG_TEXT_MAX];
	size_t len = 0;

	len += (size_t)sprintf(text + len, USERS "job_users = {");
	for (int i = 0; i < 100; i++)
		len += (size_t)sprintf(text + len, "%sno-such-%d",
		    i > 0 ? ", " : "", i);
	(void)sprintf(text + len, "}\n");
	cr_expect_null(load_text(text));
	cr_expect_eq(errors.nlines, CONFIG_ERRORS_MAX);
	cr_expect_eq(errors.count, 100);
}

Test(load, a_file_without_end_is_refused)
{
	static char text[CONFIG_TEXT_MAX + 16];

	memset(text, '#', sizeof(text) - 1);
	cr_expect_null(load_text(text));
	cr_expect_gt(errors.count, 0);
}

static void
write_secret(const char *name, const char *octets, size_t n, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	cr_assert_neq(fd, -1);
	cr_assert_eq(fd_write(fd, octets, n), 0);
	close(fd);
}

Test(load, a_password_that_is_none_is_said_at_the_start)
{
	static const struct {
		const char *octets;
		size_t n;
		const char *why; /* NULL: good */
	} cases[] = {
		{ "pencil\n", 7, NULL },
		{ "pen\0cil\n", 8, "it holds a NUL" },
		{ "\n", 1, "it is empty" },
	};
	char text[sizeof(USERS) + 512], secret[80], want[256];
	struct load *l;

	(void)snprintf(secret, sizeof(secret), "%s/secret", folder);
	(void)snprintf(text, sizeof(text),
	    USERS "transport a {\nauth_user = u\n"
		  "auth_password_file = \"%s\"\nserver = h\n}\n",
	    secret);
	cr_expect_null(load_text(text));
	(void)snprintf(want, sizeof(want),
	    ":6: transport a: auth_password_file: %s: No such file", secret);
	expect_line(want);
	for (size_t i = 0; i < NELEM(cases); i++) {
		write_secret(secret, cases[i].octets, cases[i].n, 0600);
		l = load_text(text);
		cr_expect_eq(l == NULL, cases[i].why != NULL, "case %zu", i);
		load_free(l);
		if (cases[i].why == NULL)
			continue;
		(void)snprintf(want, sizeof(want),
		    ":6: transport a: auth_password_file: %s: %s", secret,
		    cases[i].why);
		expect_line(want);
	}
	(void)unlink(secret);
	cr_assert_eq(mkdir(secret, 0700), 0);
	cr_expect_null(load_text(text));
	(void)rmdir(secret);
}

/* A token's file may come later, but what is there must be a file. */
Test(load, a_token_that_can_never_come_is_said_at_the_start)
{
	char text[sizeof(USERS) + 512], want[256];

	(void)snprintf(text, sizeof(text),
	    USERS
	    "transport a {\nserver = h auth_user = u\nauth_token_file = \"%s\"\n}\n",
	    folder);
	cr_assert_null(load_text(text));
	(void)snprintf(want, sizeof(want),
	    ":6: transport a: auth_token_file: %s: it is no regular file",
	    folder);
	cr_expect_not_null(strstr(errors.lines[0], want), "%s",
	    errors.lines[0]);
	load_free(load_text(USERS
	    "transport a {\nserver = h auth_user = u\nauth_token_file = /no/such\n}\n"));
	cr_expect_eq(errors.count, 0);
	cr_assert_null(load_text(USERS
	    "transport a {\nserver = h auth_user = u\nauth_token_user = nobody\n"
	    "auth_token_command = { /no/such }\n}\n"));
	cr_expect_not_null(strstr(errors.lines[0],
			       ":6: transport a: auth_token_command: /no/such: "
			       "No such file or directory"),
	    "%s", errors.lines[0]);
}

Test(load, a_command_needs_a_user_without_power)
{
	need_root();
	cr_expect_null(load_text(
	    USERS "transport a {\nauth_user = u\n"
		  "auth_token_command = { \"/bin/true\" }\nserver = h\n}\n"
		  "transport b {\nauth_user = u\nauth_token_user = root\n"
		  "auth_token_command = { \"/bin/true\" }\nserver = h\n}\n"));
	expect_line(":6: transport a: auth_token_user: there is no user");
	expect_line(":11: transport b: auth_token_user: root is root");
}
