/* SPDX-License-Identifier: ISC */
/*
 * Reads a configuration whole, with every error it has.  config_text.c cuts it
 * into statements, libconfuse reads their values, config_word.c and
 * config_value.c check each; what must fit together is checked here.
 */
#include "master/config.h"

#include <confuse.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/config_text.h"
#include "master/config_value.h"
#include "master/config_word.h"

#define NELEM(a)        (sizeof(a) / sizeof((a)[0]))
#define RUN_VARIABLE    "$run_directory"
#define PORT_SMTP       25
#define PORT_SUBMISSION 465 /* implicit TLS, RFC 8314 */
#define PORT_LMTP       24  /* never 25, RFC 2033, 5 */

/* The one parameter of a route. */
static const struct config_row route_rows[] = {
	{ CONFIG_SCOPE_TRANSPORT, CONFIG_TYPE_STRING, "transport", "", 1, 32,
	    "transport", "The transport that mail for the domain goes by.",
	    offsetof(struct route, transport_name) },
};

/* What a statement may stand in. */
enum block {
	BLOCK_GLOBAL,
	BLOCK_TRANSPORT,
	BLOCK_ROUTE,
	BLOCK_COUNT,
};

static const char *const block_names[BLOCK_COUNT] = {
	[BLOCK_GLOBAL] = "",
	[BLOCK_TRANSPORT] = "transport",
	[BLOCK_ROUTE] = "route",
};

/* Room for the rows of any block: as many as there are in all. */
enum {
	ROWS_MAX =
#define GLOBAL(...)    1 +
#define TRANSPORT(...) 1 +
#include "master/config.def"
	    0,
};

struct rows {
	const struct config_row *row;
	size_t count;
};

struct error {
	int line;
	char what[CONFIG_ERROR_SIZE];
};

struct reader {
	struct config *config;
	struct error errors[CONFIG_ERRORS_MAX]; /* by line, one each */
	size_t nerrors;
	size_t count; /* also those that found no room */
	struct rows rows[BLOCK_COUNT];
	cfg_t *cfg[BLOCK_COUNT];
	enum block block;
	int block_line;
	int depth;     /* of blocks within a block, skipped */
	bool skipping; /* an unknown block */
	void *base;    /* what the block's rows are members of */
	int seen[BLOCK_COUNT][ROWS_MAX]; /* the line of each parameter */
};

/* Errors */

/*
 * Keeps the errors sorted, and the first of each line: what follows it there
 * is most often its echo.
 */
static void complain(struct reader *r, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
complain(struct reader *r, int line, const char *format, ...)
{
	struct error *last = r->errors + r->nerrors;
	struct error *e = last;
	va_list ap;

	while (e > r->errors && e[-1].line >= line)
		e--;
	if (e < last && e->line == line && line > 0)
		return;
	r->count++;
	if (e == r->errors + NELEM(r->errors))
		return;
	if (r->nerrors < NELEM(r->errors))
		r->nerrors++;
	last = r->errors + r->nerrors - 1;
	memmove(e + 1, e, (size_t)(last - e) * sizeof(*e));
	e->line = line;
	va_start(ap, format);
	(void)vsnprintf(e->what, sizeof(e->what), format, ap); /* or cut */
	va_end(ap);
}

static void
complain_memory(struct reader *r)
{
	complain(r, 0, "out of memory");
}

static void
report(const struct reader *r, const char *name, struct config_errors *errors)
{
	errors->count = r->count;
	errors->nlines = r->nerrors;
	for (size_t i = 0; i < r->nerrors; i++)
		(void)snprintf(errors->lines[i], /* cut at worst */
		    sizeof(errors->lines[i]), "%.100s:%d: %s", name,
		    r->errors[i].line, r->errors[i].what);
}

/* libconfuse */

/* Its words are for programmers; ours say what to do. */
static void
cfg_silence(cfg_t *cfg, const char *format, va_list ap)
{
	(void)cfg;
	(void)format;
	(void)ap;
}

/* One that reads the parameters of a block, and the title of any. */
static cfg_t *
cfg_of_rows(const struct rows *rows)
{
	cfg_opt_t opts[ROWS_MAX + 2];
	const struct config_row *row;
	cfg_t *cfg;
	size_t n = 0;

	for (size_t i = 0; i < rows->count; i++) {
		row = &rows->row[i];
		opts[n++] = row->type == CONFIG_TYPE_LIST
		    ? (cfg_opt_t)CFG_STR_LIST(row->name, NULL, CFGF_NODEFAULT)
		    : (cfg_opt_t)CFG_STR(row->name, NULL, CFGF_NODEFAULT);
	}
	opts[n++] = (cfg_opt_t)CFG_STR("title", NULL, CFGF_NODEFAULT);
	opts[n] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(opts, CFGF_NONE); /* copies opts */
	if (cfg != NULL)
		(void)cfg_set_error_function(cfg, cfg_silence); /* the old */
	return cfg;
}

/* NAME = VALUE through libconfuse; NULL where it does not read it so. */
static cfg_opt_t *
cfg_read(cfg_t *cfg, const char *name, const char *value, size_t len)
{
	size_t name_len = strlen(name);
	cfg_opt_t *opt = NULL;
	char *text;

	text = malloc(name_len + len + 2);
	if (text == NULL)
		return NULL;
	memcpy(text, name, name_len);
	text[name_len] = '=';
	config_text_copy(text + name_len + 1, value, len);
	if (cfg_parse_buf(cfg, text) == CFG_SUCCESS)
		opt = cfg_getopt(cfg, name);
	free(text);
	return opt;
}

/* The words of opt, borrowed until cfg reads on; count may be 0. */
static char **
cfg_words(cfg_opt_t *opt, size_t *count)
{
	char **words;

	*count = cfg_opt_size(opt);
	words = calloc(*count + 1, sizeof(*words));
	if (words == NULL)
		return NULL;
	for (size_t i = 0; i < *count; i++)
		words[i] = cfg_opt_getnstr(opt, (unsigned int)i);
	return words;
}

/* Statements */

static const struct config_row *
row_of(const struct rows *rows, const char *name, size_t len)
{
	const struct config_row *row = rows->row;

	for (size_t i = 0; i < rows->count; i++, row++) {
		if (strlen(row->name) == len &&
		    memcmp(row->name, name, len) == 0)
			return row;
	}
	return NULL;
}

static int *
seen_line(struct reader *r, const struct config_row *row)
{
	return &r->seen[r->block][row - r->rows[r->block].row];
}

/* The line where the parameter is set in this block, else the block's. */
static int
line_of(struct reader *r, const char *name)
{
	const struct config_row *row;
	int line;

	row = row_of(&r->rows[r->block], name, strlen(name));
	assert(row != NULL);
	line = *seen_line(r, row);
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
		complain(r, line, "%s: %.80s: %s", row->name, words[i], wrong);
		return;
	}
	if (config_value_set(row, r->base, words, count, why, sizeof(why)) ==
	    -1)
		complain(r, line, "%s: %s", row->name, why);
}

static bool
knows(const struct rows *rows, const struct config_statement *s)
{
	return row_of(rows, s->name, s->name_len) != NULL;
}

/* Where an unknown parameter of this block would be known. */
static void
complain_unknown(struct reader *r, const struct config_statement *s)
{
	int len = s->name_len > 40 ? 40 : (int)s->name_len;

	if (r->block != BLOCK_TRANSPORT && knows(&r->rows[BLOCK_TRANSPORT], s))
		complain(r, s->line,
		    "%.*s belongs into a block transport NAME { ... }", len,
		    s->name);
	else if (r->block != BLOCK_GLOBAL && knows(&r->rows[BLOCK_GLOBAL], s))
		complain(r, s->line, "%.*s belongs outside of every block", len,
		    s->name);
	else
		complain(r, s->line,
		    "%.*s is no parameter; postern.conf(5) lists them", len,
		    s->name);
}

static void
statement_set(struct reader *r, const struct config_statement *s)
{
	const struct config_row *row;
	char **words = NULL;
	cfg_opt_t *opt;
	size_t count;
	int *seen;

	row = row_of(&r->rows[r->block], s->name, s->name_len);
	if (row == NULL) {
		complain_unknown(r, s);
		return;
	}
	seen = seen_line(r, row);
	if (*seen != 0) {
		complain(r, s->line, "%s is set already, on line %d", row->name,
		    *seen);
		return;
	}
	*seen = s->line;
	opt = cfg_read(r->cfg[r->block], row->name, s->value, s->value_len);
	if (opt == NULL) {
		complain(r, s->line, "%s: this is no %s", row->name,
		    row->type == CONFIG_TYPE_LIST ? "list { VALUE, VALUE }"
						  : "single value");
		return;
	}
	words = cfg_words(opt, &count);
	if (words != NULL)
		set_words(r, row, s->line, words, count);
	else
		complain_memory(r);
	free(words);
}

static struct transport *
transport_add(struct config *config, const char *name, int line)
{
	const struct config_row *rows;
	struct transport *list, *t;
	size_t count;

	rows = config_rows(CONFIG_SCOPE_TRANSPORT, &count);
	list = recallocarray(config->transports, config->ntransports,
	    config->ntransports + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->transports = list;
	t = &list[config->ntransports++];
	t->line = line;
	t->name = strdup(name);
	if (t->name == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (config_value_set_default(&rows[i], t) == -1)
			return NULL;
	}
	return t;
}

static struct route *
route_add(struct config *config, const char *domain, int line)
{
	struct route *list, *route;

	list = recallocarray(config->routes, config->nroutes,
	    config->nroutes + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	config->routes = list;
	route = &list[config->nroutes++];
	route->line = line;
	route->domain = strdup(domain);
	route->transport_name = strdup("");
	if (route->domain == NULL || route->transport_name == NULL)
		return NULL;
	return route;
}

static void
open_transport(struct reader *r, const char *title)
{
	struct config *c = r->config;
	const char *wrong = config_word_check_name(title);

	if (title[0] == '\0' || wrong != NULL)
		complain(r, r->block_line, "transport %.80s: %s", title,
		    wrong != NULL ? wrong : "a transport needs a name");
	for (size_t i = 0; i < c->ntransports; i++) {
		if (strcmp(c->transports[i].name, title) == 0)
			complain(r, r->block_line,
			    "transport %s stands already on line %d", title,
			    c->transports[i].line);
	}
	if (c->ntransports == CONFIG_TRANSPORTS_MAX)
		complain(r, r->block_line, "more than %d transports",
		    CONFIG_TRANSPORTS_MAX);
	else
		r->base = transport_add(c, title, r->block_line);
}

static void
lower(char *word)
{
	for (; *word != '\0'; word++) {
		if (*word >= 'A' && *word <= 'Z')
			*word = (char)(*word - 'A' + 'a');
	}
}

static void
open_route(struct reader *r, char *title)
{
	struct config *c = r->config;

	lower(title);
	if (strcmp(title, "*") != 0 &&
	    !next_hop_host_is_legal(title + (title[0] == '.' ? 1 : 0)))
		complain(r, r->block_line,
		    "route %.80s: no legal domain; write example.org, "
		    ".example.org for all below it, or \"*\" for the rest",
		    title);
	if (c->nroutes == CONFIG_ROUTES_MAX)
		complain(r, r->block_line, "more than %d routes",
		    CONFIG_ROUTES_MAX);
	else
		r->base = route_add(c, title, r->block_line);
}

static void
open_titled(struct reader *r, const struct config_statement *s)
{
	cfg_opt_t *opt = NULL;

	if (s->value_len > 0)
		opt =
		    cfg_read(r->cfg[r->block], "title", s->value, s->value_len);
	if (opt == NULL) {
		complain(r, s->line, "%s: write %s before the brace",
		    block_names[r->block],
		    r->block == BLOCK_ROUTE ? "its domain" : "its name");
		r->skipping = true;
		return;
	}
	r->base = NULL;
	if (r->block == BLOCK_ROUTE)
		open_route(r, cfg_opt_getnstr(opt, 0));
	else
		open_transport(r, cfg_opt_getnstr(opt, 0));
	r->skipping = r->base == NULL;
	if (r->skipping && r->count == 0)
		complain_memory(r);
}

static void
statement_open(struct reader *r, const struct config_statement *s)
{
	if (r->block != BLOCK_GLOBAL || r->skipping) {
		if (!r->skipping)
			complain(r, s->line,
			    "a block cannot stand in another; is the one "
			    "from line %d closed?",
			    r->block_line);
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
	complain(r, s->line, "%.*s is no block; there are transport and route",
	    s->name_len > 40 ? 40 : (int)s->name_len, s->name);
}

/* What fits together */

static uint16_t
default_port(const struct transport *t)
{
	if (t->protocol == CONFIG_PROTOCOL_LMTP)
		return PORT_LMTP;
	return t->tls_wrappermode ? PORT_SUBMISSION : PORT_SMTP;
}

static void
check_next_hop(struct reader *r, struct transport *t)
{
	bool lmtp = t->protocol == CONFIG_PROTOCOL_LMTP;

	/* A word that is wrong has been complained about, and not kept. */
	(void)next_hop_parse(t->server, default_port(t), &t->next_hop);
	if (lmtp && t->next_hop.kind == NEXT_HOP_MX)
		complain(r,
		    line_of(r, "server") != r->block_line
			? line_of(r, "server")
			: line_of(r, "protocol"),
		    "protocol: lmtp needs a server, for an MX speaks smtp");
	if (lmtp && t->next_hop.kind != NEXT_HOP_UNIX &&
	    t->next_hop.port == PORT_SMTP)
		complain(r, line_of(r, "server"),
		    "server: lmtp must not be spoken on port 25 "
		    "(RFC 2033, 5); name another port");
}

static void
check_tls(struct reader *r, const struct transport *t)
{
	if (t->tls_wrappermode && t->tls_security_level == CONFIG_TLS_NONE)
		complain(r, line_of(r, "tls_wrappermode"),
		    "tls_wrappermode: yes and tls_security_level none "
		    "contradict each other");
	if (t->tls_security_level != CONFIG_TLS_VERIFY)
		return;
	if (t->tls_CAfile[0] == '\0')
		complain(r, line_of(r, "tls_CAfile"),
		    "tls_CAfile: level verify needs the file of the "
		    "authorities we trust");
	if (t->next_hop.kind == NEXT_HOP_UNIX && t->tls_name[0] == '\0')
		complain(r, line_of(r, "tls_security_level"),
		    "tls_security_level: verify over unix: needs tls_name, "
		    "for a path names no host");
}

static void
check_transport(struct reader *r, struct transport *t)
{
	check_next_hop(r, t);
	check_tls(r, t);
	if (t->initial_destination_concurrency <=
	    t->destination_concurrency_limit)
		return;
	/* Who lowers the limit alone wants to begin there as well. */
	if (line_of(r, "initial_destination_concurrency") == r->block_line)
		t->initial_destination_concurrency =
		    t->destination_concurrency_limit;
	else
		complain(r, line_of(r, "initial_destination_concurrency"),
		    "initial_destination_concurrency: more than "
		    "destination_concurrency_limit, %d",
		    t->destination_concurrency_limit);
}

static void
check_route(struct reader *r, struct route *route)
{
	route->line = line_of(r, "transport");
	if (route->line == r->block_line && route->transport_name[0] == '\0')
		complain(r, r->block_line,
		    "route %s: write transport = NAME in it", route->domain);
}

static void
block_close(struct reader *r)
{
	if (!r->skipping && r->block == BLOCK_TRANSPORT)
		check_transport(r, r->base);
	if (!r->skipping && r->block == BLOCK_ROUTE)
		check_route(r, r->base);
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
		complain(r, s->line, "this } closes no block");
	else
		block_close(r);
}

static void
read_statements(struct reader *r, const char *in, size_t len)
{
	struct config_statement s;
	struct config_text text;

	config_text_init(&text, in, len);
	for (;;) {
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
			complain(r, s.line, "%s", s.wrong);
			break;
		}
	}
}

/* The whole */

static int
route_compare(const void *a, const void *b)
{
	const struct route *left = a, *right = b;

	return strcmp(left->domain, right->domain);
}

/* Mail needs no configuration: every domain goes to its MX. */
static int
add_builtin(struct config *c)
{
	char any[] = "*";
	struct route *route;

	if (c->ntransports > 0)
		return 0;
	if (transport_add(c, "smtp", 0) == NULL)
		return -1;
	(void)next_hop_parse("", PORT_SMTP, &c->transports[0].next_hop);
	for (size_t i = 0; i < c->nroutes; i++) {
		if (strcmp(c->routes[i].domain, any) == 0)
			return 0;
	}
	route = route_add(c, any, 0);
	if (route == NULL)
		return -1;
	free(route->transport_name);
	route->transport_name = strdup("smtp");
	return route->transport_name != NULL ? 0 : -1;
}

static void
resolve_routes(struct reader *r)
{
	struct config *c = r->config;
	struct route *route = c->routes;

	if (c->nroutes > 0)
		qsort(c->routes, c->nroutes, sizeof(*route), route_compare);
	for (size_t i = 0; i < c->nroutes; i++, route++) {
		if (i > 0 && route_compare(route - 1, route) == 0)
			complain(r,
			    route[0].line > route[-1].line ? route[0].line
							   : route[-1].line,
			    "route %s stands already on line %d", route->domain,
			    route[0].line < route[-1].line ? route[0].line
							   : route[-1].line);
		route->transport = config_transport(c, route->transport_name);
		if (route->transport == NULL &&
		    route->transport_name[0] != '\0')
			complain(r, route->line,
			    "transport: there is no transport %s in this file",
			    route->transport_name);
	}
}

/* Puts the run directory in the place of its variable. */
static void
expand_path(struct reader *r, const struct config_row *row, char **path)
{
	size_t prefix = strlen(RUN_VARIABLE);
	char *expanded;

	if (strncmp(*path, RUN_VARIABLE, prefix) != 0)
		return;
	if (path == &r->config->run_directory) {
		complain(r, line_of(r, row->name),
		    "run_directory: must be an absolute path, beginning "
		    "with /");
		return;
	}
	if (asprintf(&expanded, "%s%s", r->config->run_directory,
		*path + prefix) == -1) {
		complain_memory(r);
		return;
	}
	free(*path);
	*path = expanded;
	if (strlen(expanded) > row->most)
		complain(r, line_of(r, row->name),
		    "%s: is too long with run_directory in it", row->name);
}

static void
expand_paths(struct reader *r)
{
	const struct rows *rows = &r->rows[BLOCK_GLOBAL];
	const struct config_row *row = rows->row;
	void *member;

	for (size_t i = 0; i < rows->count; i++, row++) {
		member = (char *)r->config + row->offset;
		if (row->type == CONFIG_TYPE_PATH)
			expand_path(r, row, member);
	}
}

static void
check_global(struct reader *r)
{
	const struct config *c = r->config;

	if (c->minimal_backoff_time > c->maximal_backoff_time)
		complain(r,
		    line_of(r, "minimal_backoff_time") != 0
			? line_of(r, "minimal_backoff_time")
			: line_of(r, "maximal_backoff_time"),
		    "minimal_backoff_time: more than maximal_backoff_time");
	if (strcmp(c->job_socket, c->control_socket) == 0)
		complain(r,
		    line_of(r, "control_socket") != 0
			? line_of(r, "control_socket")
			: line_of(r, "job_socket"),
		    "control_socket: must not be the job socket");
}

/* A name without a dot says nothing to a remote. */
static int
find_hostname(struct config *c)
{
	char name[256];

	if (c->hostname[0] != '\0' || gethostname(name, sizeof(name)) == -1)
		return 0;
	name[sizeof(name) - 1] = '\0';
	if (strchr(name, '.') == NULL || !next_hop_host_is_legal(name))
		return 0;
	free(c->hostname);
	c->hostname = strdup(name);
	return c->hostname != NULL ? 0 : -1;
}

static void
reader_set_rows(struct reader *r)
{
	struct rows *rows = r->rows;

	rows[BLOCK_GLOBAL].row =
	    config_rows(CONFIG_SCOPE_GLOBAL, &rows[BLOCK_GLOBAL].count);
	rows[BLOCK_TRANSPORT].row =
	    config_rows(CONFIG_SCOPE_TRANSPORT, &rows[BLOCK_TRANSPORT].count);
	rows[BLOCK_ROUTE].row = route_rows;
	rows[BLOCK_ROUTE].count = NELEM(route_rows);
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
	for (size_t i = 0; i < global->count; i++) {
		if (config_value_set_default(&global->row[i], r->config) == -1)
			return -1;
	}
	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++) {
		r->cfg[b] = cfg_of_rows(&r->rows[b]);
		if (r->cfg[b] == NULL)
			return -1;
	}
	return 0;
}

static void
reader_free(struct reader *r)
{
	if (r == NULL)
		return;
	for (enum block b = BLOCK_GLOBAL; b < BLOCK_COUNT; b++) {
		if (r->cfg[b] != NULL)
			(void)cfg_free(r->cfg[b]); /* fails for NULL alone */
	}
	config_free(r->config);
	free(r);
}

static bool
text_is_sound(struct reader *r, const char *text, size_t len)
{
	const char *nul = memchr(text, '\0', len);
	int line = 1;

	if (len > CONFIG_TEXT_MAX) {
		complain(r, 1, "the configuration has more than %d octets",
		    CONFIG_TEXT_MAX);
		return false;
	}
	if (nul == NULL)
		return true;
	for (const char *at = text; at < nul; at++)
		line += *at == '\n';
	complain(r, line, "an octet NUL stands here; this is no text");
	return false;
}

static void
read_all(struct reader *r, const char *text, size_t len)
{
	if (reader_start(r) == -1) {
		complain_memory(r);
		return;
	}
	read_statements(r, text, len);
	if (r->block != BLOCK_GLOBAL || r->skipping)
		complain(r, r->block_line, "this block is not closed by }");
	block_close(r);
	if (add_builtin(r->config) == -1)
		complain_memory(r);
	resolve_routes(r);
	expand_paths(r);
	check_global(r);
	if (find_hostname(r->config) == -1)
		complain_memory(r);
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
	if (text_is_sound(r, text, len))
		read_all(r, text, len);
	report(r, name, errors);
	if (r->count == 0) {
		config = r->config;
		r->config = NULL;
	}
	reader_free(r);
	return config;
}
