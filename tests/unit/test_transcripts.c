/* SPDX-License-Identifier: ISC */
#include "master/queue/transcripts.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char spool[] = "/tmp/postern-unit-XXXXXX";

static void
make_spool(void)
{
	cr_assert_not_null(mkdtemp(spool));
}

static void
remove_spool(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", spool);
	cr_expect_eq(system(command), 0);
}

TestSuite(transcripts, .init = make_spool, .fini = remove_spool);

static struct transcripts *
open_with(const char *where, uint64_t octets, uint32_t of_destination)
{
	struct transcripts_limits limits = { 100000, octets, of_destination };
	struct transcripts *ts = transcripts_open(where);

	cr_assert_not_null(ts);
	transcripts_set_limits(ts, &limits);
	return ts;
}

static void
add(struct transcripts *ts, int64_t now_ms, const char *to, const char *text)
{
	char name[TRANSCRIPTS_NAME_SIZE];

	cr_assert_eq(transcripts_add(ts, now_ms, to, text, strlen(text), name),
	    0);
	cr_expect_not_null(transcripts_find(ts, name));
}

/* The texts, newest first, a space between them. */
static const char *
all(const struct transcripts *ts)
{
	static char out[4096];
	char name[TRANSCRIPTS_NAME_SIZE] = "";
	const struct transcripts_entry *e;
	size_t len = 0;

	while ((e = transcripts_before(ts, name)) != NULL) {
		ssize_t n = transcripts_read(ts, e, 0, out + len, 256);

		cr_assert_eq(n, (ssize_t)transcripts_size(e));
		len += (size_t)n;
		out[len++] = ' ';
		transcripts_name(e, name);
	}
	out[len] = '\0';
	return out;
}

static int
count_files(void)
{
	char path[128];
	struct dirent *d;
	int n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/transcripts", spool);
	dir = opendir(path);
	cr_assert_not_null(dir);
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

Test(transcripts, the_newest_of_a_destination_stay)
{
	struct transcripts *ts = open_with(spool, 1000, 2);

	add(ts, 1000, "a", "one");
	add(ts, 2000, "b", "two");
	add(ts, 3000, "a", "three");
	add(ts, 4000, "A", "four");
	cr_expect_str_eq(all(ts), "four three two ");
	cr_expect_eq(count_files(), 3);
	transcripts_free(ts);
}

Test(transcripts, they_take_no_more_octets_than_they_may)
{
	struct transcripts *ts = open_with(spool, 10, 100);

	add(ts, 1000, "a", "12345");
	add(ts, 2000, "b", "12345");
	add(ts, 3000, "c", "1");
	cr_expect_str_eq(all(ts), "1 12345 ");
	add(ts, 4000, "d", "larger than all may be");
	cr_expect_str_eq(all(ts), "larger than all may be ");
	cr_expect_eq(count_files(), 1);
	transcripts_free(ts);
}

Test(transcripts, old_ones_go)
{
	struct transcripts *ts = open_with(spool, 1000, 100);

	add(ts, 1000, "a", "old");
	add(ts, 60000, "a", "new");
	transcripts_expire(ts, 101001);
	cr_expect_str_eq(all(ts), "new ");
	cr_expect_eq(count_files(), 1);
	transcripts_free(ts);
}

Test(transcripts, files_outlive_us_and_strange_ones_are_left_alone)
{
	struct transcripts *ts = open_with(spool, 1000, 100);
	char path[128];
	int fd;

	add(ts, 2000, "b", "two");
	add(ts, 1000, "a", "one"); /* the clock was set: later all the same */
	transcripts_free(ts);
	(void)snprintf(path, sizeof(path), "%s/transcripts/README", spool);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	cr_assert_neq(fd, -1);
	(void)close(fd);
	ts = open_with(spool, 1000, 100);
	cr_expect_str_eq(all(ts), "one two ");
	transcripts_expire(ts, 1000000000);
	cr_expect_eq(count_files(), 1);
	transcripts_free(ts);
}

Test(transcripts, without_a_spool_they_are_in_memory)
{
	struct transcripts *ts = open_with(NULL, 1000, 1);

	add(ts, 1000, "a", "one");
	add(ts, 1000, "a", "two");
	cr_expect_str_eq(all(ts), "two ");
	transcripts_free(ts);
}

Test(transcripts, no_other_name_finds_anything)
{
	struct transcripts *ts = open_with(spool, 1000, 1);

	add(ts, 1000, "a", "one");
	cr_expect_null(transcripts_find(ts, "../queue.db"));
	cr_expect_null(transcripts_find(ts, ""));
	cr_expect_null(transcripts_find(ts, "000000003E8"));
	cr_expect_null(transcripts_before(ts, "../../etc/passwd"));
	transcripts_free(ts);
}
