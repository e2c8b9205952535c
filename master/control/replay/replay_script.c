/* SPDX-License-Identifier: ISC */
/* See replay_script.h.  A line is words and quoted pieces; its first word says what. */
#include "master/control/replay/replay_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timers.h"
#include "common/util.h"

#define MAGIC "postern-transcript 1"

enum carries {
	CARRIES_NOTHING,
	CARRIES_TEXT,
	CARRIES_OCTETS,
	CARRIES_NUMBER,
};

static const struct {
	const char *word;
	enum carries carries;
} kinds[] = {
#define EVENT(name, word, carries, what) { word, CARRIES_##carries },
#include "common/transcript.def"
#undef EVENT
};

/* A line that is being read; at goes along it. */
struct line {
	const char *at;
	const char *end;
};

static int complain(char error[static SCRIPT_ERROR_SIZE], const char *format,
    ...) __attribute__((format(printf, 2, 3)));

static int
complain(char error[static SCRIPT_ERROR_SIZE], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(error, SCRIPT_ERROR_SIZE, format, ap);
	va_end(ap);
	return -1;
}

/* Room for one more of a growing list, or NULL. */
static void *
grow(void *list, size_t n, size_t *size, size_t each, size_t most)
{
	size_t more = *size > 0 ? *size * 2 : 16;
	void *grown;

	if (n >= most)
		return NULL;
	if (n < *size)
		return list;
	grown = recallocarray(list, *size, more, each);
	if (grown != NULL)
		*size = more;
	return grown;
}

static int
reserve(struct replay_script *s, size_t n)
{
	size_t size = s->octets_size > 0 ? s->octets_size : 4096;
	uint8_t *grown;

	if (n > SCRIPT_OCTETS_MAX - s->noctets)
		return -1;
	while (size < s->noctets + n)
		size *= 2;
	if (size == s->octets_size)
		return 0;
	grown = realloc(s->octets, size);
	if (grown == NULL)
		return -1;
	s->octets = grown;
	s->octets_size = size;
	return 0;
}

/* Words. */

static void
skip_spaces(struct line *l)
{
	while (l->at < l->end && *l->at == ' ')
		l->at++;
}

/* The next word, cut to size; false where none is left. */
static bool
take_word(struct line *l, char *out, size_t size)
{
	size_t n = 0;

	skip_spaces(l);
	if (l->at == l->end)
		return false;
	for (; l->at < l->end && *l->at != ' '; l->at++)
		if (n + 1 < size)
			out[n++] = *l->at;
	out[n] = '\0';
	return true;
}

static bool
take_digits(struct line *l, uint64_t most, uint64_t *number)
{
	const char *from = l->at;

	*number = 0;
	for (; l->at < l->end && *l->at >= '0' && *l->at <= '9'; l->at++) {
		if (*number > most / 10)
			return false;
		*number = *number * 10 + (uint64_t)(*l->at - '0');
	}
	return l->at > from && *number <= most;
}

static bool
take_number(struct line *l, uint64_t most, uint64_t *number)
{
	skip_spaces(l);
	return take_digits(l, most, number);
}

static int
hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c | 0x20);

	return at == NULL ? -1 : (int)(at - digits);
}

/* One octet of a quoted piece, escaped or not; false where it is malformed. */
static bool
take_octet(struct line *l, uint8_t *octet)
{
	int high, low;

	*octet = (uint8_t)*l->at++;
	if (*octet != '\\')
		return true;
	if (l->at == l->end)
		return false;
	switch (*l->at++) {
	case 'r':
		*octet = '\r';
		return true;
	case 'n':
		*octet = '\n';
		return true;
	case 'x':
		if (l->end - l->at < 2)
			return false;
		high = hex(l->at[0]);
		low = hex(l->at[1]);
		l->at += 2;
		if (high == -1 || low == -1)
			return false;
		*octet = (uint8_t)(high << 4 | low);
		return true;
	default:
		return false;
	}
}

/* "abc" or 500*"abc", behind what script.octets holds; how many octets. */
static bool
take_piece(struct replay_script *s, struct line *l)
{
	uint64_t times = 1;
	size_t from = s->noctets, n;

	skip_spaces(l);
	if (l->at < l->end && *l->at != '"' &&
	    (!take_digits(l, SCRIPT_OCTETS_MAX, &times) || l->at == l->end ||
		*l->at++ != '*'))
		return false;
	if (l->at == l->end || *l->at++ != '"')
		return false;
	while (l->at < l->end && *l->at != '"') {
		if (reserve(s, 1) == -1 ||
		    !take_octet(l, &s->octets[s->noctets]))
			return false;
		s->noctets++;
	}
	if (l->at == l->end || times == 0)
		return false;
	l->at++;
	n = s->noctets - from;
	if (n > 0 && times - 1 > SCRIPT_OCTETS_MAX / n)
		return false;
	if (reserve(s, n * (size_t)(times - 1)) == -1)
		return false;
	for (; times > 1 && n > 0; times--) {
		memcpy(s->octets + s->noctets, s->octets + from, n);
		s->noctets += n;
	}
	return true;
}

/* A quoted piece as a string: no NUL in it, and it fits. */
static bool
take_string(struct replay_script *s, struct line *l, char *out, size_t size)
{
	size_t from = s->noctets, n;
	bool ok = take_piece(s, l);

	n = s->noctets - from;
	s->noctets = from;
	if (!ok || n >= size ||
	    (n > 0 && memchr(s->octets + from, '\0', n) != NULL))
		return false;
	if (n > 0)
		memcpy(out, s->octets + from, n);
	out[n] = '\0';
	return true;
}

/* Lines of the queue. */

static bool
take_outcome(struct replay_script *s, struct line *l,
    struct replay_script_recipient *r)
{
	char status[16], step[16], doubt[16];
	struct outcome *o = &r->outcome;
	uint64_t code;

	if (!take_word(l, status, sizeof(status)) ||
	    !take_number(l, 999, &code) ||
	    !take_word(l, o->dsn, sizeof(o->dsn)) ||
	    !take_word(l, step, sizeof(step)) ||
	    !take_word(l, doubt, sizeof(doubt)) ||
	    !take_string(s, l, r->reply, sizeof(r->reply)))
		return false;
	o->code = (uint16_t)code;
	o->in_doubt = strcmp(doubt, "in-doubt") == 0;
	o->status = OUTCOME_DELIVERED;
	while (strcmp(outcome_status_name(o->status), status) != 0)
		if (++o->status > OUTCOME_FAILED)
			return false;
	o->step = STEP_QUEUE;
	while (strcmp(outcome_step_name(o->step), step) != 0)
		if (++o->step >= STEP_COUNT)
			return false;
	r->has_outcome = true;
	return true;
}

struct replay_script_message *
replay_script_add_message(struct replay_script *s, uint64_t number)
{
	void *list = grow(s->messages, s->nmessages, &s->messages_size,
	    sizeof(*s->messages), SCRIPT_RCPTS_MAX);

	if (list == NULL)
		return NULL;
	s->messages = list;
	s->messages[s->nmessages].number = number;
	return &s->messages[s->nmessages++];
}

struct replay_script_recipient *
replay_script_add_recipient(struct replay_script *s, uint64_t number,
    const char *address)
{
	struct replay_script_recipient *r;
	void *list;

	list = grow(s->recipients, s->nrecipients, &s->recipients_size,
	    sizeof(*s->recipients), SCRIPT_RCPTS_MAX);
	if (list == NULL)
		return NULL;
	s->recipients = list;
	r = &s->recipients[s->nrecipients++];
	r->number = number;
	(void)strlcpy(r->address, address, sizeof(r->address));
	return r;
}

static bool
parse_message(struct replay_script *s, struct line *l)
{
	char id[24], bits[8];
	struct replay_script_message *m;
	uint64_t number;

	if (!take_number(l, UINT64_MAX, &number) ||
	    !take_word(l, id, sizeof(id)))
		return false;
	m = replay_script_add_message(s, number);
	if (m == NULL || !take_number(l, INT32_MAX, &m->size) ||
	    !take_word(l, bits, sizeof(bits)))
		return false;
	m->eight_bit = strcmp(bits, "8bit") == 0;
	return take_string(s, l, m->from, sizeof(m->from));
}

/* Of the message whose line stands before this one. */
static bool
parse_parameters(struct replay_script *s, struct line *l)
{
	struct replay_script_message *m;
	uint64_t number;

	if (s->nmessages == 0 || !take_number(l, UINT64_MAX, &number))
		return false;
	m = &s->messages[s->nmessages - 1];
	return m->number == number &&
	    take_string(s, l, m->parameters, sizeof(m->parameters)) &&
	    parameters_check(m->parameters, PARAMETER_OF_MAIL) == NULL;
}

static bool
parse_recipient(struct replay_script *s, struct line *l)
{
	char address[MSG_ADDRESS_SIZE];
	uint64_t number;

	return take_number(l, UINT64_MAX, &number) &&
	    take_string(s, l, address, sizeof(address)) &&
	    replay_script_add_recipient(s, number, address) != NULL;
}

/* Of the first recipient of that name who has none yet. */
static bool
parse_outcome(struct replay_script *s, struct line *l)
{
	char address[MSG_ADDRESS_SIZE];
	struct replay_script_recipient *r;
	uint64_t number;
	size_t i;

	if (!take_number(l, UINT64_MAX, &number) ||
	    !take_string(s, l, address, sizeof(address)))
		return false;
	for (i = 0; i < s->nrecipients; i++) {
		r = &s->recipients[i];
		if (r->number == number && !r->has_outcome &&
		    strcmp(r->address, address) == 0)
			return take_outcome(s, l, r);
	}
	r = replay_script_add_recipient(s, number, address);
	return r != NULL && take_outcome(s, l, r);
}

static bool
parse_protocol(struct replay_script *s, struct line *l)
{
	char word[8];

	if (!take_word(l, word, sizeof(word)))
		return false;
	s->lmtp = strcmp(word, "lmtp") == 0;
	return s->lmtp || strcmp(word, "smtp") == 0;
}

static bool
parse_tls(struct replay_script *s, struct line *l)
{
	static const char *const levels[] = { "none", "may", "encrypt",
		"verify" };
	char level[16], how[16], more[16];

	if (!take_word(l, level, sizeof(level)) ||
	    !take_word(l, how, sizeof(how)))
		return false;
	s->require_tls =
	    take_word(l, more, sizeof(more)) && strcmp(more, "required") == 0;
	s->implicit_tls = strcmp(how, "implicit") == 0;
	for (size_t i = 0; i < NELEM(levels); i++) {
		s->tls_level = (uint8_t)i;
		if (strcmp(levels[i], level) == 0)
			return true;
	}
	return false;
}

static bool
parse_timer(struct replay_script *s, struct line *l)
{
	uint64_t ms;
	char name[32];

	if (!take_word(l, name, sizeof(name)) ||
	    !take_number(l, 100000000, &ms))
		return false;
	for (unsigned i = 0; i < TIMER_COUNT; i++)
		if (strcmp(timer_name(i), name) == 0)
			s->timer_ms[i] = (uint32_t)ms;
	return true;
}

static bool
parse_relay(struct replay_script *s, struct line *l)
{
	return take_string(s, l, s->relay, sizeof(s->relay));
}

static bool
parse_ehlo(struct replay_script *s, struct line *l)
{
	return take_string(s, l, s->ehlo, sizeof(s->ehlo));
}

static bool
parse_discard(struct replay_script *s, struct line *l)
{
	return take_string(s, l, s->discard, sizeof(s->discard));
}

static bool
parse_discard_server(struct replay_script *s, struct line *l)
{
	return take_string(s, l, s->discard_server, sizeof(s->discard_server));
}

static const struct {
	const char *word;
	bool (*parse)(struct replay_script *s, struct line *l);
} words[] = {
	{ "discard", parse_discard },
	{ "discard_server", parse_discard_server },
	{ "ehlo", parse_ehlo },
	{ "message", parse_message },
	{ "outcome", parse_outcome },
	{ "parameters", parse_parameters },
	{ "protocol", parse_protocol },
	{ "recipient", parse_recipient },
	{ "relay", parse_relay },
	{ "timer", parse_timer },
	{ "tls", parse_tls },
};

/* Events. */

static struct replay_script_event *
add_event(struct replay_script *s)
{
	void *list = grow(s->events, s->nevents, &s->events_size,
	    sizeof(*s->events), SCRIPT_EVENTS_MAX);

	if (list == NULL)
		return NULL;
	s->events = list;
	return &s->events[s->nevents++];
}

/* The kind by its word, which a plus or *N may follow; or -1. */
static int
find_kind(const char *word, bool *goes_on, uint64_t *times)
{
	size_t n;

	*goes_on = false;
	*times = 1;
	for (int i = 0; i < SCRIPT_KINDS; i++) {
		n = strlen(kinds[i].word);
		if (strncmp(word, kinds[i].word, n) != 0)
			continue;
		*goes_on = strcmp(word + n, "+") == 0;
		if (word[n] == '*' && word[n + 1] != '\0' &&
		    strlen(word + n + 1) < 9 &&
		    word[n + 1 + strspn(word + n + 1, "0123456789")] == '\0')
			*times = strtoull(word + n + 1, NULL, 10);
		else if (word[n] != '\0' && !*goes_on)
			continue;
		return i;
	}
	return -1;
}

static bool
take_pieces(struct replay_script *s, struct line *l)
{
	do {
		if (!take_piece(s, l))
			return false;
		skip_spaces(l);
	} while (l->at < l->end);
	return true;
}

static bool
parse_event(struct replay_script *s, struct line *l)
{
	struct replay_script_event *e, *before;
	uint64_t time_ms, times;
	bool goes_on;
	char word[32];
	int kind;

	if (!take_number(l, UINT32_MAX, &time_ms) ||
	    !take_word(l, word, sizeof(word)))
		return false;
	kind = find_kind(word, &goes_on, &times);
	before = s->nevents > 0 ? &s->events[s->nevents - 1] : NULL;
	if (kind == -1 || times == 0 ||
	    (goes_on && (before == NULL || (int)before->kind != kind)))
		return false;
	e = goes_on ? before : add_event(s);
	if (e == NULL)
		return false;
	if (!goes_on) {
		e->kind = (enum replay_script_kind)kind;
		e->time_ms = (uint32_t)time_ms;
		e->at = s->noctets;
	}
	if (kinds[kind].carries == CARRIES_NUMBER)
		return take_number(l, UINT64_MAX, &e->number);
	if (kinds[kind].carries != CARRIES_NOTHING && !take_pieces(s, l))
		return false;
	e->len = s->noctets - e->at;
	for (; times > 1; times--) { /* the same octets, again */
		before = add_event(s);
		if (before == NULL)
			return false;
		*before = before[-1];
	}
	return true;
}

static bool
parse_line(struct replay_script *s, struct line *l)
{
	char word[32];

	if (*l->at >= '0' && *l->at <= '9')
		return parse_event(s, l);
	if (!take_word(l, word, sizeof(word)))
		return true;
	for (size_t i = 0; i < NELEM(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].parse(s, l);
	return true; /* for people, or of a later version */
}

int
replay_script_parse(struct replay_script *s, const char *text, size_t len,
    char error[static SCRIPT_ERROR_SIZE])
{
	const char *end = text + len, *lf;
	struct line l;
	int number;

	memset(s, 0, sizeof(*s));
	for (number = 1; text < end; number++, text = lf + 1) {
		lf = memchr(text, '\n', (size_t)(end - text));
		if (lf == NULL)
			break; /* cut short */
		l = (struct line){ text, lf };
		if (number == 1 &&
		    (lf - text != (ptrdiff_t)strlen(MAGIC) ||
			memcmp(text, MAGIC, strlen(MAGIC)) != 0))
			break;
		if (lf - text == 3 && memcmp(text, "end", 3) == 0)
			return 0;
		if (text < lf && !parse_line(s, &l))
			return complain(error, "line %d: cannot be read",
			    number);
	}
	if (number == 1)
		return complain(error, "no transcript: line 1 must be \"%s\"",
		    MAGIC);
	return complain(error, "cut short: no \"end\"");
}

void
replay_script_clear(struct replay_script *s)
{
	free(s->events);
	free(s->octets);
	free(s->messages);
	free(s->recipients);
	memset(s, 0, sizeof(*s));
}

const char *
replay_script_text(const struct replay_script *s,
    const struct replay_script_event *e, char *out, size_t size)
{
	size_t n = e->len < size ? e->len : size - 1;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = s->octets[e->at + i];

		out[i] = (char)(c >= ' ' && c <= '~' ? c : '?');
	}
	out[n] = '\0';
	return out;
}
