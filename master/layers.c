/* SPDX-License-Identifier: ISC */
/* See layers.h; proc(5). */
#include "master/layers.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"

enum {
	LAYERS_COUNTED_KIB = 64 * 1024, /* some milliseconds */
};

struct words {
	char *out;
	size_t size;
	size_t len;
};

static void add(struct words *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
add(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(w->out + w->len, w->size - w->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < w->size - w->len)
		w->len += (size_t)n;
	else
		w->out[w->len] = '\0';
}

/* What stands behind "key:" in a text like /proc/PID/status. */
static bool
find(const char *text, const char *key, char *out, size_t size)
{
	const char *p = text;
	size_t len = strlen(key);

	while (p != NULL && strncmp(p, key, len) != 0) {
		p = strchr(p, '\n');
		if (p != NULL)
			p++;
	}
	if (p == NULL)
		return false;
	p += len;
	p += strspn(p, ": \t");
	len = strcspn(p, "\n");
	if (len >= size)
		len = size - 1;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

static bool
read_file(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n > 0;
}

bool
layers_is_dead(pid_t pid)
{
	char stat[512];
	const char *state;

	if (!read_file(pid, "stat", stat, sizeof(stat)))
		return false;
	state = strrchr(stat, ')'); /* the name ends here */
	return state != NULL && strncmp(state, ") Z", 3) == 0;
}

static void
add_ids(struct words *w, const char *status)
{
	char uid[64] = "?", groups[128] = "";

	if (find(status, "Uid", uid, sizeof(uid)))
		uid[strcspn(uid, "\t ")] = '\0';
	find(status, "Groups", groups, sizeof(groups));
	groups[strcspn(groups, "\n")] = '\0';
	add(w, "uid=%s groups=%s", uid,
	    groups[strspn(groups, " ")] == '\0' ? "none" : "some");
}

static void
add_set(struct words *w, const char *status, const char *key, const char *word)
{
	char hex[32];

	if (!find(status, key, hex, sizeof(hex)))
		add(w, " %s=?", word);
	else if (strspn(hex, "0") == strlen(hex))
		add(w, " %s=none", word);
	else
		add(w, " %s=%s", word, hex);
}

/* Those that differ from our own. */
static void
add_namespaces(struct words *w, pid_t pid)
{
	static const char *const names[] = { "user", "mnt", "net", "ipc", "uts",
		"pid" };
	char path[64], ours[64], theirs[64];
	const char *comma = "";
	size_t i;
	ssize_t n;

	add(w, " namespaces=");
	for (i = 0; i < NELEM(names); i++) {
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s",
		    names[i]);
		n = readlink(path, ours, sizeof(ours) - 1);
		ours[n > 0 ? n : 0] = '\0';
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid,
		    names[i]);
		n = readlink(path, theirs, sizeof(theirs) - 1);
		theirs[n > 0 ? n : 0] = '\0';
		if (n <= 0) {
			add(w, "?");
			return;
		}
		if (strcmp(ours, theirs) != 0) {
			add(w, "%s%s", comma, names[i]);
			comma = ",";
		}
	}
	if (comma[0] == '\0')
		add(w, "none");
}

static void
add_root(struct words *w, pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *d;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/root/", (int)pid);
	d = opendir(path);
	if (d == NULL) {
		add(w, " root=?");
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n++;
	}
	closedir(d);
	if (n == 0)
		add(w, " root=empty");
	else
		add(w, " root=%zu-entries", n);
}

static void
add_limits(struct words *w, pid_t pid)
{
	static const struct {
		const char *key;
		const char *word;
	} rows[] = {
		{ "Max processes", "nproc" },
		{ "Max file size", "fsize" },
		{ "Max open files", "nofile" },
		{ "Max core file size", "core" },
		{ "Max data size", "data" },
	};
	char text[4096], value[128];
	size_t i;

	if (!read_file(pid, "limits", text, sizeof(text)))
		return;
	for (i = 0; i < NELEM(rows); i++) {
		if (!find(text, rows[i].key, value, sizeof(value)))
			continue;
		value[strcspn(value, " ")] = '\0';
		if (strcmp(value, "unlimited") != 0)
			add(w, " %s=%s", rows[i].word, value);
	}
}

/* The kernel counts what is shared page by page, and holds the process and us up
 * meanwhile: of a large one all that it has is told. */
static void
add_memory(struct words *w, pid_t pid, const char *status)
{
	char text[4096], value[64];

	if (find(status, "VmRSS", value, sizeof(value)) &&
	    atoi(value) > LAYERS_COUNTED_KIB)
		add(w, " rss_kib=%d", atoi(value));
	else if (read_file(pid, "smaps_rollup", text, sizeof(text)) &&
	    find(text, "Pss", value, sizeof(value)))
		add(w, " pss_kib=%d", atoi(value));
}

int
layers_read(pid_t pid, char *out, size_t size)
{
	struct words w = { out, size, 0 };
	char status[8192], value[64];

	out[0] = '\0';
	if (!read_file(pid, "status", status, sizeof(status)))
		return -1;
	add_ids(&w, status);
	add_set(&w, status, "CapEff", "caps");
	add_set(&w, status, "CapBnd", "bounding");
	if (find(status, "NoNewPrivs", value, sizeof(value)))
		add(&w, " no_new_privs=%s", value[0] == '1' ? "yes" : "no");
	if (find(status, "Seccomp", value, sizeof(value)))
		add(&w, " seccomp=%s", value[0] == '2' ? "filter" : "no");
	if (find(status, "Seccomp_filters", value, sizeof(value)))
		add(&w, " filters=%s", value);
	add_namespaces(&w, pid);
	add_root(&w, pid);
	add_limits(&w, pid);
	add_memory(&w, pid, status);
	return 0;
}

size_t
layers_children(pid_t pid, pid_t *children, size_t n)
{
	char path[64], word[32];
	size_t count = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
	    (int)pid, (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (count < n && fscanf(f, "%31s", word) == 1)
		children[count++] = (pid_t)atoi(word);
	fclose(f);
	return count;
}
