/* SPDX-License-Identifier: ISC */
/* A client's message, from whatever it passed to a sealed memfd. */
#include "master/intake/message/message_copy.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define STR(s)  s, sizeof(s) - 1
#define CHUNK   65536 /* what is read at once */
#define NOLIMIT ((uint64_t)1 << 30)

static char error[MESSAGE_COPY_ERROR_SIZE];
static uint16_t code;
static struct message_copy copied;
static uint8_t got[4 * CHUNK];

static int
file_of(const void *octets, size_t n)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	cr_assert_neq(fd, -1);
	cr_assert_eq(fd_write(fd, octets, n), 0);
	return fd;
}

/* Copies n octets; how many came out, now in got. */
static size_t
copy_of(const void *octets, size_t n)
{
	int fd = file_of(octets, n);
	ssize_t len;

	cr_assert_eq(message_copy(fd, NOLIMIT, false, &copied, &code, error), 0,
	    "%s", error);
	close(fd);
	len = pread(copied.fd, got, sizeof(got), 0);
	cr_assert_geq(len, 0);
	cr_expect_eq((uint64_t)len, copied.size);
	cr_expect_eq(fcntl(copied.fd, F_GET_SEALS), FD_SEALS);
	close(copied.fd);
	return (size_t)len;
}

/* Which must fail. */
static void
expect_refused(int fd, uint64_t limit, uint16_t want, const char *part)
{
	copied.fd = 99;
	cr_expect_eq(message_copy(fd, limit, false, &copied, &code, error), -1,
	    "%s", part);
	cr_expect_eq(code, want, "%s: %u %s", part, code, error);
	cr_expect_not_null(strstr(error, part), "%s: %s", part, error);
	cr_expect_eq(copied.fd, -1);
}

static const struct {
	const char *in;
	size_t n;
	const char *want;
	size_t want_len;
	bool has_8bit;
} ends[] = {
	{ STR(""), STR(""), false },
	{ STR("a"), STR("a\r\n"), false },
	{ STR("a\n"), STR("a\r\n"), false },
	{ STR("a\r\n"), STR("a\r\n"), false },
	{ STR("a\r"), STR("a\r\n"), false },
	{ STR("\n"), STR("\r\n"), false },
	{ STR("a\rb\nc\r\nd"), STR("a\r\nb\r\nc\r\nd\r\n"), false },
	{ STR("a\n\rb"), STR("a\r\n\r\nb\r\n"), false },
	{ STR("a\r\r\nb"), STR("a\r\n\r\nb\r\n"), false },
	{ STR("a\r\n\nb"), STR("a\r\n\r\nb\r\n"), false },
	{ STR("a\r\n.\rb\n.\n"), STR("a\r\n.\r\nb\r\n.\r\n"), false },
	{ STR("\x7f\n"), STR("\x7f\r\n"), false },
	{ STR("\x80\n"), STR("\x80\r\n"), true },
	{ STR("M\xc3\xbc\n"), STR("M\xc3\xbc\r\n"), true },
};

Test(copy, every_line_ends_in_crlf)
{
	for (size_t i = 0; i < NELEM(ends); i++) {
		cr_assert_eq(copy_of(ends[i].in, ends[i].n), ends[i].want_len,
		    "row %zu", i);
		cr_expect_arr_eq(got, ends[i].want, ends[i].want_len, "row %zu",
		    i);
		cr_expect_eq(copied.has_8bit, ends[i].has_8bit, "row %zu", i);
	}
}

Test(copy, a_line_end_may_lie_over_the_border_of_chunks)
{
	static uint8_t in[CHUNK + 64], want[CHUNK + 128];
	size_t before, n, len;

	for (size_t i = 0; i < NELEM(ends); i++) {
		for (size_t cut = 0; cut <= ends[i].n; cut++) {
			before = CHUNK - cut;
			memset(in, 'x', before);
			memcpy(in + before, ends[i].in, ends[i].n);
			n = before + ends[i].n;
			memset(want, 'x', before);
			memcpy(want + before, ends[i].want, ends[i].want_len);
			len = before + ends[i].want_len;
			if (ends[i].n == 0) { /* the x end no line */
				memcpy(want + len, "\r\n", 2);
				len += 2;
			}
			cr_assert_eq(copy_of(in, n), len, "row %zu, cut %zu", i,
			    cut);
			cr_assert_eq(memcmp(got, want, len), 0,
			    "row %zu, cut %zu", i, cut);
			cr_assert_eq(copied.has_8bit, ends[i].has_8bit);
		}
	}
}

Test(copy, nothing_but_line_ends_doubles_and_fits)
{
	static uint8_t in[CHUNK + 1];

	memset(in, '\n', sizeof(in));
	cr_expect_eq(copy_of(in, sizeof(in)), 2 * sizeof(in));
	memset(in, '\r', sizeof(in));
	cr_expect_eq(copy_of(in, sizeof(in)), 2 * sizeof(in));
}

Test(copy, the_clients_descriptor_stays_where_it_was)
{
	int fd = file_of(STR("0123456789\n"));

	cr_assert_eq(lseek(fd, 5, SEEK_SET), 5);
	cr_assert_eq(message_copy(fd, NOLIMIT, false, &copied, &code, error),
	    0);
	cr_expect_eq(copied.size, 12, "from its first octet");
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 5);
	cr_expect_neq(copied.fd, fd);
	close(copied.fd);
	close(fd);
}

Test(copy, a_nul_is_refused_with_its_place)
{
	static uint8_t in[CHUNK + 8];
	int fd = file_of(STR("ab\0c"));

	expect_refused(fd, NOLIMIT, 554, "octet 2 of the message is NUL");
	close(fd);
	memset(in, 'x', sizeof(in));
	in[CHUNK + 3] = '\0';
	fd = file_of(in, sizeof(in));
	expect_refused(fd, NOLIMIT, 554, "octet 65539 of the message is NUL");
	close(fd);
}

Test(copy, the_limit_is_for_the_octets_that_came_and_those_that_leave)
{
	int fd = file_of(STR("12345678\n"));

	expect_refused(fd, 8, 552, "has 9 octets, the limit is 8");
	expect_refused(fd, 9, 552, "over the limit of 9");
	cr_expect_eq(message_copy(fd, 10, false, &copied, &code, error), 0);
	cr_expect_eq(copied.size, 10);
	close(copied.fd);
	close(fd);
	fd = file_of(STR("12345678")); /* whose line end we add */
	expect_refused(fd, 8, 552, "over the limit of 8");
	cr_expect_eq(message_copy(fd, 10, false, &copied, &code, error), 0);
	close(copied.fd);
	close(fd);
}

Test(copy, holes_are_refused)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	expect_refused(fd, NOLIMIT, 554, "has holes");
	cr_assert_eq(pwrite(fd, "text\n", 5, 0), 5);
	expect_refused(fd, NOLIMIT, 554, "has holes");
	expect_refused(fd, 1000, 552, "has 1048576 octets");
	close(fd);
}

/* What is no file to read from. */

Test(copy, a_pipe_a_socket_and_a_device_are_refused)
{
	int fds[2], fd;

	cr_assert_eq(pipe(fds), 0);
	expect_refused(fds[0], NOLIMIT, 554, "no regular file or memfd");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	expect_refused(fds[0], NOLIMIT, 554, "no regular file or memfd");
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	expect_refused(fd, NOLIMIT, 554, "no regular file or memfd");
	fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect_refused(fd, NOLIMIT, 554, "no regular file or memfd");
	expect_refused(-1, NOLIMIT, 451, "descriptor");
}

Test(copy, what_is_not_open_for_reading_is_refused)
{
	char path[] = "/tmp/postern-copy-XXXXXX";
	int fd = mkstemp(path), other;

	cr_assert_neq(fd, -1);
	cr_assert_eq(fd_write(fd, "a\n", 2), 0);
	other = open(path, O_WRONLY | O_CLOEXEC);
	expect_refused(other, NOLIMIT, 554, "not open for reading");
	close(other);
	other = open(path, O_PATH | O_CLOEXEC);
	expect_refused(other, NOLIMIT, 554, "not open for reading");
	close(other);
	other = open(path, O_RDONLY | O_CLOEXEC);
	cr_expect_eq(message_copy(other, NOLIMIT, false, &copied, &code, error),
	    0, "%s", error);
	(void)unlink(path);
}

/* A file that changes under us: another thread writes while we copy. */

static atomic_bool stop;

static void *
grow(void *arg)
{
	uint8_t octets[4096];
	const int *fd = arg;

	memset(octets, 'x', sizeof(octets));
	while (!atomic_load(&stop)) {
		/* not beyond what a test may cost */
		if (lseek(*fd, 0, SEEK_CUR) > 1 << 22) {
			(void)!ftruncate(*fd, 0);
			(void)lseek(*fd, 0, SEEK_SET);
		}
		(void)!write(*fd, octets, sizeof(octets));
	}
	return NULL;
}

static void *
change_size(void *arg)
{
	const int *fd = arg;

	while (!atomic_load(&stop)) {
		(void)!ftruncate(*fd, 10);
		(void)!pwrite(*fd, "xxxxx", 5, 10);
	}
	return NULL;
}

/* Every copy made meanwhile is whole and sealed, or refused for that reason. */
static void
copy_while(void *(*change)(void *))
{
	int fd = file_of(STR("xxxxxxxxxxxxxxx")), ret;
	pthread_t thread;
	int64_t end_ms = time_monotonic_ms() + 20000;
	bool refused = false;

	atomic_store(&stop, false);
	cr_assert_eq(pthread_create(&thread, NULL, change, &fd), 0);
	while (!refused && time_monotonic_ms() < end_ms) {
		ret = message_copy(fd, NOLIMIT, false, &copied, &code, error);
		if (ret == 0) {
			cr_expect_eq(fcntl(copied.fd, F_GET_SEALS), FD_SEALS);
			close(copied.fd);
			continue;
		}
		refused = code == 451;
		/* For an instant the kernel reads what is cut off as NUL. */
		cr_expect(strstr(error, "changes while it is read") != NULL ||
			strstr(error, "has holes") != NULL ||
			strstr(error, "is NUL") != NULL,
		    "%s", error);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	cr_expect(refused);
	close(fd);
}

Test(copy, a_file_that_grows_is_refused, .timeout = 60)
{
	copy_while(grow);
}

Test(copy, a_file_that_shrinks_and_grows_is_refused, .timeout = 60)
{
	copy_while(change_size);
}

Test(copy, what_is_binary_stays_as_it_is)
{
	static const char in[] = "A: b\r\n\r\n\0\n\r\xff";
	int fd = file_of(in, sizeof(in) - 1);

	cr_assert_eq(message_copy(fd, NOLIMIT, true, &copied, &code, error), 0,
	    "%s", error);
	cr_assert_eq(pread(copied.fd, got, sizeof(got), 0),
	    (ssize_t)sizeof(in) - 1);
	cr_expect_arr_eq(got, in, sizeof(in) - 1);
	cr_expect_eq(copied.size, sizeof(in) - 1);
	cr_expect(copied.has_8bit);
	close(copied.fd);
	close(fd);
}

Test(copy, the_header_is_looked_at)
{
	(void)copy_of(STR("A: \xc3\xa4\n\nabc\n"));
	cr_expect(header_scan_is_utf8(&copied.header));
	(void)copy_of(STR("A: b\n\n\xc3\xa4\n"));
	cr_expect_not(header_scan_is_utf8(&copied.header));
}
