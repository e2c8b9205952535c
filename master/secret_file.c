/* SPDX-License-Identifier: ISC */
/* See secret_file.h. */
#include "master/secret_file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/secret_text.h"

static int
fail(struct secret_file *out, const char *why)
{
	(void)snprintf(out->why, sizeof(out->why), "%s", why); /* may be cut */
	return -1;
}

/* At most size octets; -1 with errno. */
static ssize_t
read_all(int fd, char *octets, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = read(fd, octets + len, size - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* A FIFO would have us wait, and a device has no end. */
static int
open_file(const char *path, struct secret_file *out)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1)
		return fail(out, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		out->is_open_to_all = (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
		return fd;
	}
	fd_close(fd);
	return fail(out, "it is no regular file");
}

int
secret_file_read(const char *path, struct secret_file *out)
{
	char octets[SECRET_TEXT_MAX + 1];
	struct secret_text text;
	const char *why;
	ssize_t n;
	int fd, ret = -1;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	fd = open_file(path, out);
	if (fd == -1)
		return -1;
	n = read_all(fd, octets, sizeof(octets));
	if (n == -1) {
		(void)fail(out, strerror(errno));
		goto out;
	}
	why = secret_text_read(octets, (size_t)n, false, &text);
	if (why != NULL) {
		(void)fail(out, why);
		goto out;
	}
	out->fd = fd_sealed("secret", octets, (size_t)n);
	ret = out->fd == -1 ? fail(out, strerror(errno)) : 0;
out:
	explicit_bzero(octets, sizeof(octets));
	fd_close(fd);
	return ret;
}
