/* SPDX-License-Identifier: ISC */
/* The parser of EHLO keywords: a line is a keyword and words behind it. */
#include "agent/smtp/ehlo.h"

#include <string.h>
#include <strings.h>

#include "common/date.h"
#include "common/parameters.h"

struct words {
	const char *at;
	const char *end;
};

static const char *const keywords[] = {
#define CAPABILITY(name, keyword) keyword,
#include "common/capabilities.def"
#undef CAPABILITY
};

void
ehlo_clear(struct capabilities *caps)
{
	memset(caps, 0, sizeof(*caps));
}

/* The index of a word in names, or count. */
static size_t
find(const char *const *names, size_t count, const char *word, size_t n)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strlen(names[i]) == n &&
		    strncasecmp(names[i], word, n) == 0)
			break;
	return i;
}

/* The length of the next word, which starts at *word; 0 behind the last. */
static size_t
next_word(struct words *words, const char **word)
{
	while (words->at < words->end && *words->at == ' ')
		words->at++;
	*word = words->at;
	while (words->at < words->end && *words->at != ' ')
		words->at++;
	return (size_t)(words->at - *word);
}

/* An ehlo-param is of printing ASCII; so is all the rest of a good line. */
static bool
line_is_printable(const uint8_t *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (line[i] < 0x20 || line[i] > 0x7e)
			return false;
	return true;
}

/* 0 where it is no number, or none of 64 bits. */
static uint64_t
number(const char *word, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		if (word[i] < '0' || word[i] > '9' ||
		    __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, word[i] - '0', &value))
			return 0;
	return value;
}

static void
add_size(struct capabilities *caps, struct words *words)
{
	const char *word;
	size_t n = next_word(words, &word);

	caps->size_limit = number(word, n);
}

/* One "name=value"; what is no number of its name leaves *limit alone. */
static void
take_limit(const char *word, size_t n, const char *name, uint32_t *limit)
{
	size_t len = strlen(name);
	uint64_t value;

	if (n <= len || strncasecmp(word, name, len) != 0)
		return;
	value = number(word + len, n - len);
	*limit = value < UINT32_MAX ? (uint32_t)value : 0;
}

/* RFC 9422, 3; other limits are not kept. */
static void
add_limits(struct capabilities *caps, struct words *words)
{
	const char *word;
	size_t n;

	while ((n = next_word(words, &word)) > 0) {
		take_limit(word, n, "MAILMAX=", &caps->mail_limit);
		take_limit(word, n, "RCPTMAX=", &caps->rcpt_limit);
		take_limit(word, n, "RCPTDOMAINMAX=", &caps->rcpt_domain_limit);
	}
}

/* RFC 2852, 2: the least by-time, perhaps none, and options behind a comma. */
static void
add_deliver_by(struct capabilities *caps, struct words *words)
{
	const char *word;
	size_t n = next_word(words, &word);
	const char *comma = memchr(word, ',', n);
	uint64_t least;

	least = number(word, comma != NULL ? (size_t)(comma - word) : n);
	caps->deliver_by_min = least < UINT32_MAX ? (uint32_t)least : 0;
}

/* RFC 4865, 3: the longest interval, and the last date-time. */
static void
add_future_release(struct capabilities *caps, struct words *words)
{
	const char *word;
	size_t n = next_word(words, &word);
	uint64_t most = number(word, n);

	caps->hold_for_max = most < UINT32_MAX ? (uint32_t)most : 0;
	n = next_word(words, &word);
	if (!date_read(word, n, &caps->hold_until_max))
		caps->hold_until_max = 0;
}

static void
add_mechanisms(struct capabilities *caps, struct words *words)
{
	enum auth_mechanism mechanism;
	const char *word;
	size_t n;

	while ((n = next_word(words, &word)) > 0) {
		mechanism = auth_mechanism_find(word, n);
		if (mechanism != AUTH_MECHANISM_COUNT)
			caps->mechanisms |= UINT32_C(1) << mechanism;
	}
}

static void
add_client(uint32_t *bits, struct words *words)
{
	enum parameter parameter;
	const char *word;
	size_t n;

	while ((n = next_word(words, &word)) > 0) {
		parameter = parameters_find_client(word, n);
		if (parameter != PARAMETER_COUNT)
			*bits |= UINT32_C(1) << parameter;
	}
}

void
ehlo_add_line(struct capabilities *caps, const uint8_t *line, size_t n)
{
	struct words words = { (const char *)line, (const char *)line + n };
	const char *word;
	size_t cap, len;

	if (!caps->has_name) {
		caps->has_name = true;
		return;
	}
	if (n == 0 || line[0] == ' ' || !line_is_printable(line, n))
		return;
	len = next_word(&words, &word);
	if (len > 5 && strncasecmp(word, "AUTH=", 5) == 0) {
		words.at = word + 5;
		len = 4;
	}
	cap = find(keywords, CAPABILITY_COUNT, word, len);
	if (cap == CAPABILITY_COUNT)
		return;
	caps->offered |= UINT32_C(1) << cap;
	if (cap == CAPABILITY_SIZE)
		add_size(caps, &words);
	else if (cap == CAPABILITY_LIMITS)
		add_limits(caps, &words);
	else if (cap == CAPABILITY_AUTH)
		add_mechanisms(caps, &words);
	else if (cap == CAPABILITY_DELIVERBY)
		add_deliver_by(caps, &words);
	else if (cap == CAPABILITY_FUTURERELEASE)
		add_future_release(caps, &words);
	else if (cap == CAPABILITY_XFORWARD)
		add_client(&caps->xforward, &words);
	else if (cap == CAPABILITY_XCLIENT)
		add_client(&caps->xclient, &words);
}

void
ehlo_discard(struct capabilities *caps, const char *list)
{
	struct words words = { list, list + strlen(list) };
	const char *word;
	size_t n, cap;

	while ((n = next_word(&words, &word)) > 0) {
		cap = find(keywords, CAPABILITY_COUNT, word, n);
		if (cap == CAPABILITY_COUNT)
			continue;
		caps->offered &= ~(UINT32_C(1) << cap);
		if (cap == CAPABILITY_SIZE)
			caps->size_limit = 0;
		else if (cap == CAPABILITY_LIMITS)
			caps->mail_limit = caps->rcpt_limit =
			    caps->rcpt_domain_limit = 0;
		else if (cap == CAPABILITY_AUTH)
			caps->mechanisms = 0;
	}
}

void
ehlo_finish(struct capabilities *caps, bool in_tls)
{
	/* RFC 3030, 3: BINARYMIME is sent by BDAT alone. */
	if (!ehlo_offers(caps, CAPABILITY_CHUNKING))
		caps->offered &= ~(UINT32_C(1) << CAPABILITY_BINARYMIME);
	/* RFC 8689, 2: offered within TLS, or it is not offered. */
	if (!in_tls)
		caps->offered &= ~(UINT32_C(1) << CAPABILITY_REQUIRETLS);
}

bool
ehlo_offers(const struct capabilities *caps, enum capability cap)
{
	return (caps->offered >> cap & 1) != 0;
}

bool
ehlo_offers_auth(const struct capabilities *caps, enum auth_mechanism mechanism)
{
	return (caps->mechanisms >> mechanism & 1) != 0;
}
