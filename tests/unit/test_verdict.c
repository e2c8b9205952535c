/* SPDX-License-Identifier: ISC */
#include "master/verdict.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

static char folder[64], pid_file[96], file[112];

static void
set_up(void)
{
	int fd;

	(void)strlcpy(folder, "/tmp/postern-verdict-XXXXXX", sizeof(folder));
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(pid_file, sizeof(pid_file), "%s/pid", folder);
	(void)snprintf(file, sizeof(file), "%s.reload", pid_file);
	fd = open(pid_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_neq(fd, -1);
	close(fd);
}

static void
tear_down(void)
{
	verdict_remove(pid_file);
	(void)unlink(pid_file);
	cr_expect_eq(rmdir(folder), 0, "something is left");
}

static void
put(const char *text, mode_t mode)
{
	FILE *f = fopen(file, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	cr_assert_eq(chmod(file, mode), 0);
}

Test(verdict, it_is_read_as_it_was_written, .init = set_up, .fini = tear_down)
{
	static const struct verdict rows[] = {
		{ 1, 1, true, "" },
		{ INT64_MAX, UINT32_MAX, false, "a: b\nc %d %n\n" },
	};
	char text[VERDICT_SIZE];
	struct verdict v;
	struct stat st;

	cr_expect_eq(verdict_read(pid_file, text, &v), -1);
	for (size_t i = 0; i < NELEM(rows); i++) {
		cr_assert_eq(verdict_write(pid_file, &rows[i]), 0);
		cr_assert_eq(verdict_read(pid_file, text, &v), 0);
		cr_expect_eq(v.begun_ns, rows[i].begun_ns);
		cr_expect_eq(v.generation, rows[i].generation);
		cr_expect_eq(v.taken, rows[i].taken);
		cr_expect_str_eq(v.reasons, rows[i].reasons);
	}
	cr_assert_eq(stat(file, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
}

Test(verdict, what_is_none_is_not_read, .init = set_up, .fini = tear_down)
{
	static const struct {
		const char *text;
		mode_t mode;
	} rows[] = {
		{ "", 0600 },
		{ "1 taken generation 1", 0600 },
		{ "1 taken\n", 0600 },
		{ "x taken generation 1\n", 0600 },
		{ "1 averylongword generation 1\n", 0600 },
		{ "1 taken generation 1\n", 0644 },
	};
	char text[VERDICT_SIZE];
	struct verdict v;

	for (size_t i = 0; i < NELEM(rows); i++) {
		put(rows[i].text, rows[i].mode);
		cr_expect_eq(verdict_read(pid_file, text, &v), -1, "%s",
		    rows[i].text);
	}
}

/* A pipe would have who asks wait for its other end. */
Test(verdict, what_another_put_there_is_not_read, .init = set_up,
    .fini = tear_down, .timeout = 20)
{
	char text[VERDICT_SIZE];
	struct verdict v;

	cr_assert_eq(mkfifo(file, 0600), 0);
	cr_expect_eq(verdict_read(pid_file, text, &v), -1);
	cr_assert_eq(unlink(file), 0);
	put("1 taken generation 1\n", 0600);
	cr_expect_eq(verdict_read(pid_file, text, &v), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chown(file, 12345, (gid_t)-1), 0);
		cr_expect_eq(verdict_read(pid_file, text, &v), -1);
	}
}

Test(verdict, one_that_does_not_fit_is_not_written, .init = set_up,
    .fini = tear_down)
{
	static char long_reasons[VERDICT_SIZE + 1];
	struct verdict v = { 1, 1, false, long_reasons };

	memset(long_reasons, 'x', sizeof(long_reasons) - 1);
	cr_expect_eq(verdict_write(pid_file, &v), -1);
}
