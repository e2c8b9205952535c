/* SPDX-License-Identifier: ISC */
/* See verdict.h. */
#include "master/verdict.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

#define VERDICT_WORDS "%" SCNd64 " %7s generation %" SCNu32 "%n"

static int
name_file(const char *pid_file, const char *suffix, char *out)
{
	int n = snprintf(out, PATH_MAX, "%s.reload%s", pid_file, suffix);

	if (n > 0 && n < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int
verdict_write(const char *pid_file, const struct verdict *v)
{
	char text[VERDICT_SIZE], name[PATH_MAX], new[PATH_MAX];
	int fd, ret, n;

	if (name_file(pid_file, "", name) == -1 ||
	    name_file(pid_file, ".new", new) == -1)
		return -1;
	n = snprintf(text, sizeof(text),
	    "%" PRId64 " %s generation %" PRIu32 "\n%s", v->begun_ns,
	    v->taken ? "taken" : "refused", v->generation, v->reasons);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		errno = EOVERFLOW;
		return -1;
	}
	(void)unlink(new); /* of one that died */
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd == -1)
		return -1;
	ret = fd_write(fd, text, (size_t)n);
	fd_close(fd);
	return ret == 0 ? rename(new, name) : -1;
}

void
verdict_remove(const char *pid_file)
{
	char name[PATH_MAX];

	if (name_file(pid_file, "", name) == 0)
		(void)unlink(name); /* gone is fine */
}

/* What another user than the pid file's put there says nothing, and nobody waits for
 * it: others may write in that folder, if it is one as /tmp is. */
static int
open_ours(const char *pid_file, const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st, pid;

	if (fd != -1 &&
	    (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
		(st.st_mode & 077) != 0 || lstat(pid_file, &pid) == -1 ||
		pid.st_uid != st.st_uid)) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

int
verdict_read(const char *pid_file, char *text, struct verdict *v)
{
	char name[PATH_MAX], word[8];
	int fd, used = 0;
	ssize_t n;

	if (name_file(pid_file, "", name) == -1)
		return -1;
	fd = open_ours(pid_file, name);
	if (fd == -1)
		return -1;
	n = read(fd, text, VERDICT_SIZE - 1);
	fd_close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	if (sscanf(text, VERDICT_WORDS, &v->begun_ns, word, &v->generation,
		&used) != 3 ||
	    text[used] != '\n')
		return -1;
	v->taken = strcmp(word, "taken") == 0;
	v->reasons = text + used + 1;
	return 0;
}
