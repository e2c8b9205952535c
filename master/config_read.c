/* SPDX-License-Identifier: ISC */
/*
 * Reads a configuration whole, with every error it has.  config_text.c cuts it
 * into statements, libconfuse reads their values, config_word.c and
 * config_value.c check each, config_check.c what must fit together.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "master/config_near.h"
#include "master/config_reader.h"
#include "master/config_text.h"
#include "master/config_value.h"
#include "master/config_word.h"

static const char *const block_names[BLOCK_COUNT] = {
	[BLOCK_GLOBAL] = "",
	[BLOCK_TRANSPORT] = "transport",
	[BLOCK_ROUTE] = "route",
	[BLOCK_DESTINATION] = "destination",
	[BLOCK_MX_GROUP] = "mx_group",
	[BLOCK_SERVER] = "server",
	[BLOCK_LISTENER] = "listener",
};

static const char *const titles[BLOCK_COUNT] = {
	[BLOCK_GLOBAL] = "",
	[BLOCK_TRANSPORT] = "its name",
	[BLOCK_ROUTE] = "its domain",
	[BLOCK_DESTINATION] = "its domain",
	[BLOCK_MX_GROUP] = "its name",
	[BLOCK_SERVER] = "its host or network",
	[BLOCK_LISTENER] = "its name",
};

const struct config_row *
config_row_find(const struct rows *rows, const char *name, size_t len)
{
	const struct config_row *row = rows->row;

	for (size_t i = 0; i < rows->count; i++, row++) {
		if (strlen(row->name) == len &&
		    memcmp(row->name, name, len) == 0)
			return row;
	}
	return NULL;
}

int *
config_seen_line(struct reader *r, const struct config_row *row)
{
	return &r->seen[r->block][row - r->rows[r->block].row];
}

int
config_line_of(struct reader *r, const char *name)
{
	const struct config_row *row;
	int line;

	row = config_row_find(&r->rows[r->block], name, strlen(name));
	assert(row != NULL);
	line = *config_seen_line(r, row);
	return line != 0 ? line : r->block_line;
}

static void
set_words(struct reader *r, const struct config_row *row, int line,
    char *const *words, size_t count)
{
	const char *wrong;
	char why[200];

	for (size_t i = 0; i < count; i++) {
		wrong = config_word_check(row->name, words[i]);
		if (wrong == NULL)
			continue;
		complain(&r->complaints, line, "%s: %.80s: %s", row->name,
		    words[i], wrong);
		return;
	}
	if (config_value_set(row, r->base, words, count, why, sizeof(why)) ==
	    -1)
		complain(&r->complaints, line, "%s: %s", row->name, why);
}

static bool
knows(const struct rows *rows, const struct config_statement *s)
{
	return config_row_find(rows, s->name, s->name_len) != NULL;
}

/* The parameter that is spelt like it, of any block; NULL: none is. */
static const struct config_row *
nearest(struct reader *r, const struct config_statement *s)
{
	const struct config_row *row, *found = NULL;
	/* In a short name two wrong letters may be another word. */
	unsigned most = s->name_len < 8 ? 1 : 2, n;

	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++) {
		row = r->rows[b].row;
		for (size_t i = 0; i < r->rows[b].count; i++, row++) {
			n = config_near_distance(s->name, s->name_len,
			    row->name, strlen(row->name), most);
			if (n > most)
				continue;
			found = row;
			most = n > 0 ? n - 1 : 0; /* only what is nearer */
		}
	}
	return found;
}

static void
complain_no_parameter(struct reader *r, const struct config_statement *s)
{
	int len = s->name_len > 40 ? 40 : (int)s->name_len;
	const char *here = config_near_postfix(s->name, s->name_len);
	const struct config_row *near = nearest(r, s);

	if (here != NULL)
		complain(&r->complaints, s->line, "%.*s is no parameter; %s",
		    len, s->name, here);
	else if (near != NULL)
		complain(&r->complaints, s->line,
		    "%.*s is no parameter; did you mean %s?", len, s->name,
		    near->name);
	else
		complain(&r->complaints, s->line,
		    "%.*s is no parameter; postern.conf(5) lists them", len,
		    s->name);
}

/* Where an unknown parameter of this block would be known. */
static void
complain_unknown(struct reader *r, const struct config_statement *s)
{
	int len = s->name_len > 40 ? 40 : (int)s->name_len;

	if (s->name_len == strlen("include") &&
	    memcmp(s->name, "include", s->name_len) == 0)
		complain(&r->complaints, s->line,
		    r->block != BLOCK_GLOBAL
			? "include belongs outside of every block"
			: "include is for files");
	else if (r->block != BLOCK_TRANSPORT && knows(&r->rows[BLOCK_TRANSPORT], s))
		complain(&r->complaints, s->line,
		    "%.*s belongs into a block transport NAME { ... }%s", len,
		    s->name,
		    knows(&r->rows[BLOCK_SERVER], s) ? " or server HOST { ... }"
						     : "");
	else if (r->block != BLOCK_GLOBAL && knows(&r->rows[BLOCK_GLOBAL], s))
		complain(&r->complaints, s->line,
		    "%.*s belongs outside of every block", len, s->name);
	else if (knows(&r->rows[BLOCK_LISTENER], s))
		complain(&r->complaints, s->line,
		    "%.*s belongs into a block listener NAME { ... }", len,
		    s->name);
	else
		complain_no_parameter(r, s);
}

static void
statement_set(struct reader *r, const struct config_statement *s)
{
	const struct config_row *row;
	char *const *words, where[CONFIG_PLACE_SIZE];
	size_t count;
	int *seen;

	row = config_row_find(&r->rows[r->block], s->name, s->name_len);
	if (row == NULL) {
		complain_unknown(r, s);
		return;
	}
	seen = config_seen_line(r, row);
	if (*seen != 0) {
		complain(&r->complaints, s->line, "%s is already set on %s",
		    row->name, config_places_line(&r->places, *seen, where));
		return;
	}
	*seen = s->line;
	words = config_syntax_words(r->syntax[r->block], row->name, s->value,
	    s->value_len, &count);
	if (words != NULL)
		set_words(r, row, s->line, words, count);
	else
		complain(&r->complaints, s->line, "%s: this is no %s",
		    row->name,
		    row->type == CONFIG_TYPE_LIST ? "list { VALUE, VALUE }"
						  : "single value");
}

static void
open_titled(struct reader *r, const struct config_statement *s)
{
	char *const *title = NULL;
	size_t count;

	if (s->value_len > 0)
		title = config_syntax_words(r->syntax[r->block],
		    CONFIG_SYNTAX_TITLE, s->value, s->value_len, &count);
	if (title == NULL) {
		complain(&r->complaints, s->line,
		    "%s: write %s before the brace", block_names[r->block],
		    titles[r->block]);
		r->skipping = true;
		return;
	}
	errno = 0;
	r->base = config_block_open(r, title[0]);
	r->skipping = r->base == NULL;
	if (r->skipping && errno == ENOMEM)
		complain_memory(&r->complaints);
}

static void
statement_open(struct reader *r, const struct config_statement *s)
{
	char where[CONFIG_PLACE_SIZE];

	if (r->block != BLOCK_GLOBAL || r->skipping) {
		if (!r->skipping)
			complain(&r->complaints, s->line,
			    "a block cannot stand in another; is the one "
			    "from %s closed?",
			    config_places_line(&r->places, r->block_line,
				where));
		r->depth++;
		return;
	}
	r->block_line = s->line;
	for (enum block b = BLOCK_TRANSPORT; b < BLOCK_COUNT; b++) {
		if (strlen(block_names[b]) != s->name_len ||
		    memcmp(block_names[b], s->name, s->name_len) != 0)
			continue;
		r->block = b;
		memset(r->seen[b], 0, sizeof(r->seen[b]));
		open_titled(r, s);
		return;
	}
	r->skipping = true;
	complain(&r->complaints, s->line,
	    "%.*s is no block; there are transport, route, destination, "
	    "mx_group, server and listener",
	    s->name_len > 40 ? 40 : (int)s->name_len, s->name);
}

static void
block_close(struct reader *r)
{
	if (!r->skipping && r->block == BLOCK_TRANSPORT)
		config_check_transport(r, r->base);
	if (!r->skipping && r->block == BLOCK_ROUTE)
		config_check_route(r, r->base);
	if (!r->skipping && r->block == BLOCK_MX_GROUP)
		config_check_mx_group(r, r->base);
	if (!r->skipping && r->block == BLOCK_LISTENER)
		config_check_listener(r, r->base);
	r->block = BLOCK_GLOBAL;
	r->block_line = 0;
	r->skipping = false;
	r->base = r->config;
}

static void
statement_close(struct reader *r, const struct config_statement *s)
{
	if (r->depth > 0)
		r->depth--;
	else if (r->block == BLOCK_GLOBAL && !r->skipping)
		complain(&r->complaints, s->line, "this } closes no block");
	else
		block_close(r);
}

static void
read_statements(struct reader *r, const char *in, size_t len)
{
	struct config_statement s;
	struct config_text text;

	config_text_init(&text, in, len);
	while (!r->complaints.no_memory) {
		switch (config_text_next(&text, &s)) {
		case CONFIG_TEXT_END:
			return;
		case CONFIG_TEXT_SET:
			if (r->depth == 0 && !r->skipping)
				statement_set(r, &s);
			break;
		case CONFIG_TEXT_OPEN:
			statement_open(r, &s);
			break;
		case CONFIG_TEXT_CLOSE:
			statement_close(r, &s);
			break;
		case CONFIG_TEXT_BAD:
			complain(&r->complaints, s.line, "%s", s.wrong);
			break;
		}
	}
}

/* A name without a dot says nothing to a remote. */
static int
find_hostname(struct config *c)
{
	char name[256];

	if (c->hostname[0] != '\0' || gethostname(name, sizeof(name)) == -1)
		return 0;
	name[sizeof(name) - 1] = '\0';
	if (strchr(name, '.') == NULL || !address_domain_is_host_name(name))
		return 0;
	free(c->hostname);
	c->hostname = strdup(name);
	return c->hostname != NULL ? 0 : -1;
}

static void
reader_set_rows(struct reader *r)
{
	static const enum config_scope scopes[BLOCK_COUNT] = {
		[BLOCK_GLOBAL] = CONFIG_SCOPE_GLOBAL,
		[BLOCK_TRANSPORT] = CONFIG_SCOPE_TRANSPORT,
		[BLOCK_ROUTE] = CONFIG_SCOPE_ROUTE,
		[BLOCK_DESTINATION] = CONFIG_SCOPE_DESTINATION,
		[BLOCK_MX_GROUP] = CONFIG_SCOPE_MX_GROUP,
		[BLOCK_SERVER] = CONFIG_SCOPE_SERVER,
		[BLOCK_LISTENER] = CONFIG_SCOPE_LISTENER,
	};

	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++)
		r->rows[b].row = config_rows(scopes[b], &r->rows[b].count);
}

static int
reader_start(struct reader *r)
{
	const struct rows *global = &r->rows[BLOCK_GLOBAL];

	reader_set_rows(r);
	r->config = calloc(1, sizeof(*r->config));
	if (r->config == NULL)
		return -1;
	r->base = r->config;
	r->config->lines = calloc(global->count, sizeof(int));
	if (r->config->lines == NULL)
		return -1;
	for (size_t i = 0; i < global->count; i++) {
		if (config_value_set_default(&global->row[i], r->config) == -1)
			return -1;
	}
	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++) {
		r->syntax[b] =
		    config_syntax_new(r->rows[b].row, r->rows[b].count);
		if (r->syntax[b] == NULL)
			return -1;
	}
	return 0;
}

static void
reader_free(struct reader *r)
{
	if (r == NULL)
		return;
	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++)
		config_syntax_free(r->syntax[b]);
	config_free(r->config);
	config_places_clear(&r->places);
	free(r);
}

static bool
text_is_sound(struct reader *r, const char *text, size_t len)
{
	const char *nul = memchr(text, '\0', len);
	int line = 1;

	if (len > CONFIG_TEXT_MAX) {
		complain(&r->complaints, 1,
		    "the configuration has more than %d octets",
		    CONFIG_TEXT_MAX);
		return false;
	}
	if (nul == NULL)
		return true;
	for (const char *at = text; at < nul; at++)
		line += *at == '\n';
	complain(&r->complaints, line,
	    "an octet NUL stands here; this is no text");
	return false;
}

/* What config_include.c could not include. */
static void
complain_marked(struct reader *r, const char *text, size_t len)
{
	const size_t mark_len = sizeof(CONFIG_WRONG_MARK) - 1;
	const char *end = text + len, *at = text, *eol;
	int line = 1;

	for (; at < end; at = eol + 1, line++) {
		eol = memchr(at, '\n', (size_t)(end - at));
		if (eol == NULL)
			eol = end;
		/* Its place was set to the statement's just before. */
		if ((size_t)(eol - at) > mark_len &&
		    memcmp(at, CONFIG_WRONG_MARK, mark_len) == 0)
			complain(&r->complaints, line, "%.*s",
			    (int)((size_t)(eol - at) - mark_len),
			    at + mark_len);
	}
}

static void
read_all(struct reader *r, const char *text, size_t len)
{
	if (reader_start(r) == -1) {
		complain_memory(&r->complaints);
		return;
	}
	if (config_places_read(&r->places, text, len) == -1) {
		complain_memory(&r->complaints);
		return;
	}
	complain_marked(r, text, len);
	read_statements(r, text, len);
	if (r->complaints.no_memory)
		return; /* a block may lack its name */
	if (r->block != BLOCK_GLOBAL || r->skipping)
		complain(&r->complaints, r->block_line,
		    "this block is not closed by }");
	block_close(r);
	if (config_block_add_builtin(r->config) == -1) {
		complain_memory(&r->complaints);
		return;
	}
	config_check_whole(r);
	if (find_hostname(r->config) == -1)
		complain_memory(&r->complaints);
}

struct config *
config_read(const char *name, const char *text, size_t len,
    struct config_errors *errors)
{
	struct config *config = NULL;
	struct reader *r;

	memset(errors, 0, sizeof(*errors));
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		errors->count = errors->nlines = 1;
		(void)snprintf(errors->lines[0], /* cut at worst */
		    sizeof(errors->lines[0]), "%.100s:0: out of memory", name);
		return NULL;
	}
	r->places.name = name;
	if (text_is_sound(r, text, len))
		read_all(r, text, len);
	r->places.name = NULL;
	complaints_report(&r->complaints, name, &r->places, errors);
	if (r->complaints.count == 0) {
		config = r->config;
		r->config = NULL;
		memcpy(config->lines, r->seen[BLOCK_GLOBAL],
		    r->rows[BLOCK_GLOBAL].count * sizeof(config->lines[0]));
		config->places = r->places;
		memset(&r->places, 0, sizeof(r->places));
	}
	reader_free(r);
	return config;
}
