/* SPDX-License-Identifier: ISC */
/* See notice_template.h. */
#include "master/notice_template.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "common/util.h"

static const char builtin[] =
#include "master/notice_template.def"
    ;

static const char *const names[NOTICE_TEMPLATE_COUNT] = { "failure_template",
	"delay_template", "success_template" };

/* Reading. */

struct reader {
	char *at; /* of a copy whose lines are cut as they are read */
	int line; /* the number of the last one read */
	int *bad_line;
	char *why;
	size_t size;
};

static int complain(struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
complain(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	*r->bad_line = r->line;
	va_start(ap, fmt);
	(void)vsnprintf(r->why, r->size, fmt, ap);
	va_end(ap);
	return -1;
}

/* The next line without its end; NULL: there is none. */
static char *
next_line(struct reader *r)
{
	char *line = r->at;
	char *end;

	if (*line == '\0')
		return NULL;
	r->line++;
	end = strchr(line, '\n');
	if (end == NULL) {
		r->at = line + strlen(line);
		return line;
	}
	r->at = end + 1;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

/* Variables. */

enum variable_type {
	VARIABLE_TEXT,
	VARIABLE_TIME, /* with the unit behind it, or the best of them */
};

static const struct {
	const char *name;
	enum variable_type type;
	size_t offset;
} variables[] = {
	{ "myhostname", VARIABLE_TEXT,
	    offsetof(struct notice_values, myhostname) },
	{ "queue_id", VARIABLE_TEXT, offsetof(struct notice_values, queue_id) },
	{ "sender", VARIABLE_TEXT, offsetof(struct notice_values, sender) },
	{ "delay", VARIABLE_TIME, offsetof(struct notice_values, delay_s) },
	{ "delay_warning_time", VARIABLE_TIME,
	    offsetof(struct notice_values, delay_warning_time_s) },
	{ "maximal_queue_lifetime", VARIABLE_TIME,
	    offsetof(struct notice_values, maximal_queue_lifetime_s) },
	{ "bounce_queue_lifetime", VARIABLE_TIME,
	    offsetof(struct notice_values, bounce_queue_lifetime_s) },
};

static const struct {
	const char *suffix;
	int64_t seconds;
} units[] = {
	{ "_seconds", 1 },
	{ "_minutes", 60 },
	{ "_hours", 3600 },
	{ "_days", 86400 },
	{ "_weeks", 604800 },
};

enum {
	UNIT_NONE = 0,  /* a text */
	UNIT_BEST = -1, /* with its word: "30 minutes" */
};

struct variable {
	size_t which;
	int64_t unit; /* seconds, or UNIT_* */
	size_t span;  /* octets of the reference, its dollar included */
};

static bool
find_variable(const char *name, size_t n, struct variable *v)
{
	size_t len, i, k;

	for (i = 0; i < NELEM(variables); i++) {
		len = strlen(variables[i].name);
		if (n < len || memcmp(name, variables[i].name, len) != 0)
			continue;
		v->which = i;
		v->unit =
		    variables[i].type == VARIABLE_TEXT ? UNIT_NONE : UNIT_BEST;
		if (n == len)
			return true;
		for (k = 0;
		     variables[i].type == VARIABLE_TIME && k < NELEM(units);
		     k++) {
			if (strlen(units[k].suffix) != n - len ||
			    memcmp(name + len, units[k].suffix, n - len) != 0)
				continue;
			v->unit = units[k].seconds;
			return true;
		}
	}
	return false;
}

/* What stands behind a dollar sign that is not doubled. */
static bool
read_variable(const char *at, struct variable *v)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	bool braced = at[1] == '{';
	const char *name = at + (braced ? 2 : 1);
	size_t n = strspn(name, letters);

	if (n == 0 || (braced && name[n] != '}'))
		return false;
	v->span = (size_t)(name + n - at) + (braced ? 1 : 0);
	return find_variable(name, n, v);
}

static int
check_variables(struct reader *r, const char *text)
{
	struct variable v;

	while ((text = strchr(text, '$')) != NULL) {
		if (text[1] == '$') {
			text += 2;
			continue;
		}
		if (!read_variable(text, &v))
			return complain(r,
			    "%.40s: no variable; write $$ for a dollar sign",
			    text);
		text += v.span;
	}
	return 0;
}

/* Whether a line can stand in a notice as it is. */
static int
check_line(struct reader *r, const char *line, bool utf8)
{
	size_t i;

	if (strlen(line) > NOTICE_TEMPLATE_LINE)
		return complain(r, "a line of more than %d octets",
		    NOTICE_TEMPLATE_LINE);
	for (i = 0; line[i] != '\0'; i++) {
		if ((line[i] > 0 && line[i] < ' ' && line[i] != '\t') ||
		    line[i] == 0x7f)
			return complain(r, "a control character");
		if ((line[i] & 0x80) != 0 && !utf8)
			return complain(r,
			    "an octet that is no ASCII: text alone may hold "
			    "UTF-8, below \"Charset: utf-8\"");
	}
	if (!utf8_is_valid(line, i))
		return complain(r, "an octet that is no UTF-8");
	return check_variables(r, line);
}

static int
read_charset(struct reader *r, struct notice_template *t, const char *value)
{
	if (strcasecmp(value, "utf-8") != 0 &&
	    strcasecmp(value, "us-ascii") != 0)
		return complain(r, "Charset: %.40s: it is us-ascii or utf-8",
		    value);
	t->utf8 = strcasecmp(value, "utf-8") == 0;
	return 0;
}

static int
read_field(struct reader *r, struct notice_template *t, char *line)
{
	const struct {
		const char *name;
		const char **value;
	} fields[] = {
		{ "From", &t->from },
		{ "Subject", &t->subject },
		{ "Postmaster-Subject", &t->postmaster_subject },
	};
	char *value = strchr(line, ':');
	size_t i;

	if (value == NULL)
		return complain(r,
		    "%.40s: no field; an empty line ends the fields", line);
	*value++ = '\0';
	value += strspn(value, " \t");
	if (value[0] == '\0')
		return complain(r, "%.40s: is empty", line);
	if (check_line(r, value, false) == -1)
		return -1;
	if (strcasecmp(line, "Charset") == 0)
		return read_charset(r, t, value);
	for (i = 0; i < NELEM(fields); i++) {
		if (strcasecmp(line, fields[i].name) != 0)
			continue;
		*fields[i].value = value;
		return 0;
	}
	return complain(r,
	    "%.40s: no field of a template; there are Charset, From, Subject "
	    "and Postmaster-Subject",
	    line);
}

static int
unfinished(struct reader *r, int begun, const char *word)
{
	r->line = begun;
	return complain(r, "no line %.40s ends this template", word);
}

static int
read_fields(struct reader *r, struct notice_template *t, const char *word,
    int begun)
{
	char *line;

	while ((line = next_line(r)) != NULL && line[0] != '\0') {
		if (strcmp(line, word) == 0)
			return complain(r, "a template without text");
		if (read_field(r, t, line) == -1)
			return -1;
	}
	if (line == NULL)
		return unfinished(r, begun, word);
	if (t->from == NULL || t->subject == NULL)
		return complain(r, "a template needs From and Subject");
	if (t->postmaster_subject == NULL)
		t->postmaster_subject = t->subject;
	return 0;
}

/* Its lines are joined again, where they stand: none grows. */
static int
read_body(struct reader *r, struct notice_template *t, const char *word,
    int begun)
{
	char *body = r->at;
	char *out = body;
	char *line;
	size_t n;

	while ((line = next_line(r)) != NULL && strcmp(line, word) != 0) {
		if (check_line(r, line, t->utf8) == -1)
			return -1;
		n = strlen(line);
		memmove(out, line, n);
		out += n;
		*out++ = '\n';
	}
	if (line == NULL)
		return unfinished(r, begun, word);
	*out = '\0';
	t->body = body;
	return 0;
}

static struct notice_template *
find_template(struct notice_templates *templates, const char *line, size_t n)
{
	size_t i;

	for (i = 0; i < NOTICE_TEMPLATE_COUNT; i++)
		if (strlen(names[i]) == n && memcmp(names[i], line, n) == 0)
			return &templates->of[i];
	return NULL;
}

/* "name = <<WORD" */
static int
read_template(struct reader *r, struct notice_templates *templates, char *line,
    bool seen[static NOTICE_TEMPLATE_COUNT])
{
	size_t n = strcspn(line, " \t=");
	char *word = line + n + strspn(line + n, " \t");
	struct notice_template *t = find_template(templates, line, n);
	int begun = r->line;

	if (t == NULL)
		return complain(r,
		    "%.40s: no template; there are failure_template, "
		    "delay_template and success_template",
		    line);
	if (*word == '=')
		word += 1 + strspn(word + 1, " \t");
	else
		word = line + strlen(line);
	if (strncmp(word, "<<", 2) != 0 || word[2] == '\0' ||
	    strpbrk(word + 2, " \t") != NULL)
		return complain(r, "%.*s: write = <<WORD behind it", (int)n,
		    line);
	if (seen[t - templates->of])
		return complain(r, "%.*s stands here a second time", (int)n,
		    line);
	seen[t - templates->of] = true;
	memset(t, 0, sizeof(*t));
	if (read_fields(r, t, word + 2, begun) == -1)
		return -1;
	return read_body(r, t, word + 2, begun);
}

static int
read_all(struct reader *r, struct notice_templates *templates)
{
	bool seen[NOTICE_TEMPLATE_COUNT] = { false };
	char *line;

	while ((line = next_line(r)) != NULL) {
		if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
			continue;
		if (read_template(r, templates, line, seen) == -1)
			return -1;
	}
	return 0;
}

struct notice_templates *
notice_templates_read(const char *text, size_t len, int *line, char *why,
    size_t size)
{
	struct reader r = { .bad_line = line, .why = why, .size = size };
	struct notice_templates *templates;
	const size_t base = sizeof(builtin);

	*line = 0;
	(void)strlcpy(why, "out of memory", size);
	templates = calloc(1, sizeof(*templates));
	if (templates == NULL)
		return NULL;
	templates->storage = calloc(1, base + len + 2);
	if (templates->storage == NULL)
		goto fail;
	if (len > NOTICE_TEMPLATE_MAX || memchr(text, '\0', len) != NULL) {
		(void)complain(&r, "no text, or more than %d octets",
		    NOTICE_TEMPLATE_MAX);
		goto fail;
	}
	memcpy(templates->storage, builtin, base);
	memcpy(templates->storage + base, text, len);
	/* Every line ends, so that a body is never longer than its lines. */
	if (len > 0 && text[len - 1] != '\n')
		templates->storage[base + len] = '\n';
	r.at = templates->storage;
	if (read_all(&r, templates) == -1)
		goto fail; /* of the built-in ones: a test would have failed */
	r.at = templates->storage + base;
	r.line = 0;
	if (read_all(&r, templates) == -1)
		goto fail;
	return templates;
fail:
	notice_templates_free(templates);
	return NULL;
}

struct notice_templates *
notice_templates_default(void)
{
	char why[80];
	int line;

	return notice_templates_read("", 0, &line, why, sizeof(why));
}

void
notice_templates_free(struct notice_templates *templates)
{
	if (templates == NULL)
		return;
	free(templates->storage);
	free(templates);
}

/* Writing. */

struct writer {
	char *out;
	size_t size;
	size_t len; /* of all, whether it fits or not */
};

static void
put(struct writer *w, char c)
{
	if (w->len + 1 < w->size)
		w->out[w->len] = c;
	w->len++;
}

static void
put_value(struct writer *w, const char *value)
{
	for (; *value != '\0'; value++)
		put(w, *value >= ' ' && *value < 0x7f ? *value : '?');
}

/* In the largest unit that there are two of, or just one: "90 minutes". */
static void
put_time(struct writer *w, int64_t seconds)
{
	static const struct {
		const char *word;
		int64_t seconds;
	} words[] = { { "day", 86400 }, { "hour", 3600 }, { "minute", 60 } };
	char text[40];
	int64_t count = seconds;
	const char *word = "second";
	size_t i;

	for (i = 0; i < NELEM(words); i++) {
		if (seconds < 2 * words[i].seconds &&
		    seconds != words[i].seconds)
			continue;
		count = seconds / words[i].seconds;
		word = words[i].word;
		break;
	}
	(void)snprintf(text, sizeof(text), "%" PRId64 " %s%s", count, word,
	    count == 1 ? "" : "s");
	put_value(w, text);
}

static void
put_variable(struct writer *w, const struct variable *v,
    const struct notice_values *values)
{
	const char *base = (const char *)values;
	const char *at = base + variables[v->which].offset;
	const char *text;
	char number[24];
	int64_t seconds;

	if (v->unit == UNIT_NONE) {
		memcpy(&text, at, sizeof(text));
		put_value(w, text);
		return;
	}
	memcpy(&seconds, at, sizeof(seconds));
	if (v->unit == UNIT_BEST) {
		put_time(w, seconds);
		return;
	}
	(void)snprintf(number, sizeof(number), "%" PRId64, seconds / v->unit);
	put_value(w, number);
}

size_t
notice_template_expand(const char *text, const struct notice_values *values,
    char *out, size_t size)
{
	struct writer w = { .out = out, .size = size };
	struct variable v;

	while (*text != '\0') {
		if (*text == '$' && text[1] != '$' && read_variable(text, &v)) {
			put_variable(&w, &v, values);
			text += v.span;
			continue;
		}
		if (*text == '$' && text[1] == '$')
			text++;
		put(&w, *text++);
	}
	if (size > 0)
		out[w.len < size ? w.len : size - 1] = '\0';
	return w.len;
}
