/* SPDX-License-Identifier: ISC */
/* See message_check.h. */
#include "common/message_check.h"

#include <sys/socket.h>

#include <string.h>

#include "common/utf8.h"
#include "common/util.h"

/* What a worker may say that it has learnt. */
#define LEARNT_BITS                                                            \
	(AVOID_EHLO | AVOID_PIPELINING | AVOID_CHUNKING | SEEN_LOOSE_REPLY)

enum field_kind {
	FIELD_MOST,    /* a number up to that */
	FIELD_BITS,    /* no other bits than these */
	FIELD_ENDED,   /* a string that ends inside its place */
	FIELD_STRING,  /* printable ASCII that does */
	FIELD_DSN,     /* an enhanced status code (RFC 3463, 2), or empty */
	FIELD_FAMILY,  /* AF_INET, AF_INET6 or AF_UNIX */
	FIELD_OUTCOME, /* struct outcome */
	FIELD_TLS,     /* struct tls_info */
};

enum tail_kind {
	TAIL_ANY,
	TAIL_TEXT,    /* printable ASCII */
	TAIL_LINES,   /* the same, with line ends */
	TAIL_STRINGS, /* each ends inside it */
	TAIL_OBJECT,  /* UTF-8 without control characters */
	TAIL_PLAN,    /* addresses, or TEXT where there are none */
};

struct field {
	enum msg_type type;
	enum field_kind kind;
	size_t at;
	size_t size;
	uint32_t most;
};

static const struct field fields[] = {
#define FIELD(message, structure, member, kind, most)                          \
	{ MSG_##message, FIELD_##kind, offsetof(struct structure, member),     \
		sizeof(((struct structure *)NULL)->member),                    \
		(uint32_t)(most) },
#define TAIL(message, kind)
#include "common/message_fields.def"
#undef FIELD
#undef TAIL
};

static const enum tail_kind tails[MSG_COUNT] = {
#define FIELD(message, structure, member, kind, most)
#define TAIL(message, kind) [MSG_##message] = TAIL_##kind,
#include "common/message_fields.def"
#undef FIELD
#undef TAIL
};

static bool
is_printable(const uint8_t *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

static bool
string_ok(const char *s, size_t size)
{
	size_t n = strnlen(s, size);

	return n < size && is_printable((const uint8_t *)s, n);
}

/* One to three digits, and *sp behind them. */
static bool
skip_number(const char **sp)
{
	size_t n = strspn(*sp, "0123456789");

	*sp += n;
	return n >= 1 && n <= 3;
}

static bool
dsn_ok(const char *s, size_t size)
{
	if (!message_string_ok(s, size))
		return false;
	if (s[0] == '\0')
		return true; /* of what has not failed */
	if ((s[0] != '2' && s[0] != '4' && s[0] != '5') || s[1] != '.')
		return false;
	s += 2;
	if (!skip_number(&s) || *s++ != '.')
		return false;
	return skip_number(&s) && *s == '\0';
}

static bool
outcome_ok(const struct outcome *o)
{
	return o->status <= OUTCOME_FAILED && o->step < STEP_COUNT &&
	    o->in_doubt <= 1 && o->again < OUTCOME_AGAIN_COUNT &&
	    o->code <= 999 && dsn_ok(o->dsn, sizeof(o->dsn)) &&
	    (o->offers & ~(OUTCOME_OFFERS_DSN | OUTCOME_OFFERS_DELIVERBY)) ==
	    0 &&
	    o->broke_signature <= 1;
}

static bool
tls_ok(const struct tls_info *t)
{
	return t->on <= 1 && t->verified <= 1 && t->resumed <= 1 &&
	    string_ok(t->version, sizeof(t->version)) &&
	    string_ok(t->cipher, sizeof(t->cipher));
}

/* A number of 1, 2 or 4 octets. */
static uint32_t
number_at(const uint8_t *at, size_t size)
{
	uint32_t four;
	uint16_t two;

	if (size == sizeof(four)) {
		memcpy(&four, at, sizeof(four));
		return four;
	}
	if (size == sizeof(two)) {
		memcpy(&two, at, sizeof(two));
		return two;
	}
	return *at;
}

static bool
is_family(uint32_t family)
{
	return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

static const char *
check_field(const struct field *f, const uint8_t *at)
{
	switch (f->kind) {
	case FIELD_MOST:
		return number_at(at, f->size) <= f->most ? NULL
							 : "no such value";
	case FIELD_BITS:
		return (number_at(at, f->size) & ~f->most) == 0
		    ? NULL
		    : "no such bits";
	case FIELD_ENDED:
		return message_string_ok((const char *)at, f->size)
		    ? NULL
		    : "a string that does not end";
	case FIELD_STRING:
		return string_ok((const char *)at, f->size)
		    ? NULL
		    : "a string that does not end, or is not printable";
	case FIELD_DSN:
		return dsn_ok((const char *)at, f->size)
		    ? NULL
		    : "no enhanced status code";
	case FIELD_FAMILY:
		return is_family(number_at(at, f->size)) ? NULL
							 : "no such family";
	case FIELD_OUTCOME:
		return outcome_ok((const struct outcome *)(const void *)at)
		    ? NULL
		    : "an outcome that cannot be";
	case FIELD_TLS:
		return tls_ok((const struct tls_info *)(const void *)at)
		    ? NULL
		    : "TLS that cannot be";
	}
	return NULL;
}

static bool
lines_ok(const struct message *m)
{
	size_t i;

	for (i = 0; i < m->tail_len; i++)
		if (m->tail[i] != '\n' && !is_printable(&m->tail[i], 1))
			return false;
	return true;
}

static bool
object_ok(const struct message *m)
{
	size_t i;

	for (i = 0; i < m->tail_len; i++)
		if (m->tail[i] < ' ' || m->tail[i] == 0x7f)
			return false;
	return utf8_is_valid((const char *)m->tail, m->tail_len);
}

/* Its host goes into log lines, SNI and the dialogue's words. */
static bool
address_ok(const uint8_t *at)
{
	struct plan_address a;

	memcpy(&a, at, sizeof(a));
	return (a.family == AF_INET || a.family == AF_INET6) && a.port != 0 &&
	    a.host[0] != '\0' && string_ok(a.host, sizeof(a.host)) &&
	    strchr(a.host, ' ') == NULL;
}

static const char *
check_plan(const struct message *m)
{
	const struct msg_resolved *answer = m->payload;
	size_t size = sizeof(struct plan_address), i;

	if (answer->outcome.status != OUTCOME_DELIVERED) {
		if (answer->count != 0)
			return "addresses with a failure";
		return is_printable(m->tail, m->tail_len)
		    ? NULL
		    : "a text that is not printable";
	}
	if (answer->count == 0 || m->tail_len != answer->count * size)
		return "another number of addresses than it says";
	for (i = 0; i < answer->count; i++)
		if (!address_ok(m->tail + i * size))
			return "an address that cannot be";
	return NULL;
}

static const char *
check_tail(const struct message *m)
{
	switch (tails[m->type]) {
	case TAIL_ANY:
		return NULL;
	case TAIL_TEXT:
		return is_printable(m->tail, m->tail_len)
		    ? NULL
		    : "a text that is not printable";
	case TAIL_LINES:
		return lines_ok(m) ? NULL : "lines that are not printable";
	case TAIL_STRINGS:
		return m->tail_len == 0 || m->tail[m->tail_len - 1] == '\0'
		    ? NULL
		    : "a string that does not end";
	case TAIL_OBJECT:
		return object_ok(m) ? NULL : "a text that is not UTF-8";
	case TAIL_PLAN:
		return check_plan(m);
	}
	return NULL;
}

const char *
message_check(const struct message *m)
{
	const uint8_t *payload = m->payload;
	const char *why;
	size_t i;

	for (i = 0; i < NELEM(fields); i++) {
		if (fields[i].type != m->type)
			continue;
		why = check_field(&fields[i], payload + fields[i].at);
		if (why != NULL)
			return why;
	}
	return check_tail(m);
}
