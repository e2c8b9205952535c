/* SPDX-License-Identifier: ISC */
/* See config_include.h. */
#include "master/config_include.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"
#include "master/config_places.h"
#include "master/config_text.h"

/* The text as it grows; at most SIZE octets of it are kept. */
enum {
	SIZE = CONFIG_TEXT_MAX + 1,
};

struct assembly {
	char *text;
	size_t len;
	unsigned files;
	unsigned depth;
	struct {
		dev_t dev;
		ino_t ino;
	} open[CONFIG_INCLUDE_DEPTH + 1]; /* the files that we are in */
};

static void add_text(struct assembly *a, const char *path, const char *in,
    size_t len);

static void
emit(struct assembly *a, const char *octets, size_t len)
{
	if (len > SIZE - a->len)
		len = SIZE - a->len;
	memcpy(a->text + a->len, octets, len);
	a->len += len;
}

static void emit_line(struct assembly *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line of its own. */
static void
emit_line(struct assembly *a, const char *format, ...)
{
	char line[PATH_MAX + 400];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0)
		return;
	emit(a, "\n", a->len > 0 && a->text[a->len - 1] != '\n');
	emit(a, line, strnlen(line, sizeof(line)));
	emit(a, "\n", 1);
}

static void
emit_place(struct assembly *a, int line, const char *path)
{
	/* The file that was named has its name from who reads the text. */
	if (a->depth == 0)
		emit_line(a, CONFIG_PLACE_MARK "%d", line);
	else
		emit_line(a, CONFIG_PLACE_MARK "%d %s", line, path);
}

/* Of the statement whose line the place was set to before. */
static void
emit_wrong(struct assembly *a, const char *path, const char *why)
{
	emit_line(a, CONFIG_WRONG_MARK "include: %s: %s", path, why);
}

/* One word, in quotation marks or without; false: it is something else. */
static bool
read_path(const struct config_statement *s, char out[static PATH_MAX])
{
	char *value = malloc(s->value_len + 1), *at, *end;
	size_t n = 0;
	char quote = '\0';
	bool good = value != NULL && s->value_len < PATH_MAX;

	if (good) {
		config_text_copy(value, s->value, s->value_len);
		value[s->value_len] = '\0';
		at = value + strspn(value, " \t\r\n");
		for (end = at + strlen(at);
		     end > at && strchr(" \t\r\n", end[-1]) != NULL; end--)
			end[-1] = '\0';
		if (*at == '"' || *at == '\'')
			quote = *at++;
		for (; *at != '\0' && *at != quote; at++) {
			if (*at == '\\' && at[1] != '\0' && quote != '\0')
				at++;
			good = good &&
			    (quote != '\0' || strchr("{},\"'", *at) == NULL);
			out[n++] = *at;
		}
		good = good && n > 0 && (quote == '\0' || at[1] == '\0');
	}
	out[good ? n : 0] = '\0';
	free(value);
	return good;
}

/* Relative to the folder of the file that names it. */
static bool
resolve_path(const char *from, const char *path, char out[static PATH_MAX])
{
	const char *slash = strrchr(from, '/');
	int n;

	if (path[0] == '/' || slash == NULL)
		n = snprintf(out, PATH_MAX, "%s", path);
	else
		n = snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - from),
		    from, path);
	return n > 0 && n < PATH_MAX;
}

static const char *
why_not(struct assembly *a, const struct stat *st)
{
	unsigned i;

	for (i = 0; i <= a->depth; i++)
		if (a->open[i].dev == st->st_dev &&
		    a->open[i].ino == st->st_ino)
			return "it includes itself, directly or through "
			       "another file";
	if (a->depth == CONFIG_INCLUDE_DEPTH)
		return "files include files too deeply: at most 8 in one "
		       "another";
	if (a->files == CONFIG_INCLUDE_FILES)
		return "too many files: at most 500 in all";
	return S_ISREG(st->st_mode) ? NULL : "it is no regular file";
}

/* A file; its own text in its place. */
static void
include_file(struct assembly *a, const char *path)
{
	/* One that is no regular file may never come to an end, or begin. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *why = NULL;
	char *text = NULL;
	struct stat st;
	size_t n = 0;

	if (fd == -1 || fstat(fd, &st) == -1)
		why = strerror(errno);
	else
		why = why_not(a, &st);
	if (why == NULL) {
		text = fd_read_all(fd, CONFIG_TEXT_MAX, &n);
		if (text == NULL)
			why =
			    errno == EFBIG ? "it is too long" : strerror(errno);
		else if (memchr(text, '\0', n) != NULL)
			why = "an octet NUL stands in it; this is no text";
	}
	if (why != NULL) {
		emit_wrong(a, path, why);
	} else {
		a->files++;
		a->depth++;
		a->open[a->depth].dev = st.st_dev;
		a->open[a->depth].ino = st.st_ino;
		emit_place(a, 1, path);
		add_text(a, path, text, n);
		a->depth--;
	}
	free(text);
	fd_close(fd);
}

static int
is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 &&
	    strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Its *.conf, by name: in octets, whatever the locale is.  line: of the statement, for
 * what is wrong with one of them. */
static void
include_folder(struct assembly *a, const char *path, const char *from, int line)
{
	struct dirent **entries = NULL;
	char file[PATH_MAX];
	int n, i;

	n = scandir(path, &entries, is_conf, by_name);
	if (n == -1)
		emit_wrong(a, path, strerror(errno));
	for (i = 0; i < n; i++) {
		emit_place(a, line, from);
		if ((size_t)snprintf(file, sizeof(file), "%s/%s", path,
			entries[i]->d_name) < sizeof(file))
			include_file(a, file);
		free(entries[i]);
	}
	free(entries);
}

/* What stands in the place of the statement. */
static void
include(struct assembly *a, const char *from, const struct config_statement *s)
{
	char word[PATH_MAX], path[PATH_MAX];
	struct stat st;
	size_t len;

	emit_place(a, s->line, from);
	if (!read_path(s, word) || !resolve_path(from, word, path)) {
		emit_wrong(a, "", "name one file, or a folder for its *.conf");
		return;
	}
	/* As others write it who mean the folder. */
	len = strlen(path);
	if (len > 7 && strcmp(path + len - 7, "/*.conf") == 0)
		path[len - 7] = '\0';
	len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	if (stat(path, &st) == -1)
		emit_wrong(a, path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		include_folder(a, path, from, s->line);
	else
		include_file(a, path);
}

static bool
is_include(const struct config_statement *s)
{
	return s->name_len == strlen("include") &&
	    memcmp(s->name, "include", s->name_len) == 0;
}

static int
lines_of(const char *from, const char *to)
{
	int n = 0;

	for (; from < to; from++)
		n += *from == '\n';
	return n;
}

static void
add_text(struct assembly *a, const char *path, const char *in, size_t len)
{
	struct config_statement s;
	struct config_text text;
	enum config_text_event event;
	const char *from = in, *end;
	int depth = 0, line = 1;

	config_text_init(&text, in, len);
	while ((event = config_text_next(&text, &s)) != CONFIG_TEXT_END) {
		if (event == CONFIG_TEXT_OPEN) {
			if (depth++ == 0)
				line = s.line;
		} else if (event == CONFIG_TEXT_CLOSE && depth > 0) {
			depth--;
		} else if (event == CONFIG_TEXT_SET && depth == 0 &&
		    is_include(&s)) {
			emit(a, from, (size_t)(s.name - from));
			include(a, path, &s);
			end = s.value + s.value_len;
			emit_place(a, s.line + lines_of(s.name, end), path);
			from = end;
		}
	}
	emit(a, from, (size_t)(in + len - from));
	/* What follows in the other file is no part of its block. */
	if (depth > 0 && a->depth > 0) {
		emit_place(a, line, path);
		emit_line(a, CONFIG_WRONG_MARK "this block is not closed by }");
		while (depth-- > 0)
			emit(a, "}", 1);
	}
}

char *
config_include_read(const char *name, size_t *len)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct assembly a = { 0 };
	char *text = NULL;
	struct stat st;
	ssize_t got;
	size_t n = 0;

	a.text = malloc(SIZE);
	text = malloc(SIZE);
	if (fd == -1 || a.text == NULL || text == NULL || fstat(fd, &st) == -1)
		goto fail;
	while (n < SIZE && (got = read(fd, text + n, SIZE - n)) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			goto fail;
		n += (size_t)got;
	}
	a.open[0].dev = st.st_dev;
	a.open[0].ino = st.st_ino;
	/* What is no text, or too long, is refused as it is. */
	if (n == SIZE || memchr(text, '\0', n) != NULL)
		emit(&a, text, n);
	else
		add_text(&a, name, text, n);
	free(text);
	fd_close(fd);
	*len = a.len;
	return a.text;
fail:
	free(a.text);
	free(text);
	fd_close(fd);
	return NULL;
}
