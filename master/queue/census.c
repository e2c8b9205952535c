/* SPDX-License-Identifier: ISC */
/* See census.h. */
#include "master/queue/census.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/util.h"

enum {
	CENSUS_BUCKETS = 65536,
	CENSUS_CHUNK = 1 << 20,
	CENSUS_ID_LEN = 8, /* a word with digits that is as long differs */
};

/* Rows and replies come out of these: so many are not freed one by one. */
struct census_chunk {
	struct census_chunk *next;
	size_t used;
	_Alignas(16) uint8_t octets[CENSUS_CHUNK];
};

struct census {
	int64_t now_ms;
	struct census_chunk *chunks;
	uint32_t nrows;
	struct census_row *others; /* without a name */
	struct census_row *buckets[CENSUS_BUCKETS];
	struct census_row **rows; /* all, in the order they came */
};

const uint32_t census_age_minutes[CENSUS_AGES] = { 5, 10, 20, 40, 80, 160, 320,
	640, 1280, 0 };

/* Zeroed; NULL: no memory. */
static void *
census_take(struct census *census, size_t size)
{
	struct census_chunk *chunk = census->chunks;
	void *out;

	size = (size + 15) & ~(size_t)15;
	if (chunk == NULL || size > CENSUS_CHUNK - chunk->used) {
		chunk = calloc(1, sizeof(*chunk));
		if (chunk == NULL)
			return NULL;
		chunk->next = census->chunks;
		census->chunks = chunk;
	}
	out = chunk->octets + chunk->used;
	chunk->used += size;
	return out;
}

struct census *
census_new(int64_t now_ms)
{
	struct census *census = calloc(1, sizeof(*census));

	if (census == NULL)
		return NULL;
	census->rows = calloc(CENSUS_ROWS_MAX, sizeof(census->rows[0]));
	census->others = census_take(census, sizeof(*census->others) + 1);
	if (census->rows == NULL || census->others == NULL) {
		census_free(census);
		return NULL;
	}
	census->now_ms = now_ms;
	return census;
}

void
census_free(struct census *census)
{
	struct census_chunk *chunk;

	if (census == NULL)
		return;
	while ((chunk = census->chunks) != NULL) {
		census->chunks = chunk->next;
		free(chunk);
	}
	free(census->rows);
	free(census);
}

static uint32_t
census_bucket(uint32_t transport, uint32_t variant, const char *name)
{
	return (uint32_t)(hash_octets(name, strnlen(name, CENSUS_NAME_SIZE - 1),
			      (uint64_t)transport << 32 | variant) %
	    CENSUS_BUCKETS);
}

static struct census_row *
census_seek(const struct census *census, uint32_t bucket, uint32_t transport,
    uint32_t variant, const char *name)
{
	struct census_row *row;

	for (row = census->buckets[bucket]; row != NULL; row = row->next)
		if (row->transport == transport && row->variant == variant &&
		    strncmp(row->name, name, CENSUS_NAME_SIZE - 1) == 0)
			return row;
	return NULL;
}

static struct census_row *
census_row_of(struct census *census, uint32_t transport, uint32_t variant,
    const char *name)
{
	uint32_t bucket = census_bucket(transport, variant, name);
	size_t len = strnlen(name, CENSUS_NAME_SIZE - 1);
	struct census_row *row;

	row = census_seek(census, bucket, transport, variant, name);
	if (row != NULL)
		return row;
	row = census->nrows < CENSUS_ROWS_MAX
	    ? census_take(census, sizeof(*row) + len + 1)
	    : NULL;
	if (row == NULL)
		return census->others;
	row->transport = transport;
	row->variant = variant;
	memcpy(row->name, name, len);
	row->next = census->buckets[bucket];
	census->buckets[bucket] = row;
	census->rows[census->nrows++] = row;
	return row;
}

static void
census_keep_reply(struct census *census, struct census_row *row,
    const struct store_recipient *recipient, const char *reply)
{
	if (reply[0] == '\0' ||
	    (row->reply != NULL &&
		row->reply->time_ms > recipient->finished_ms))
		return;
	if (row->reply == NULL)
		row->reply = census_take(census, sizeof(*row->reply));
	if (row->reply == NULL)
		return;
	row->reply->time_ms = recipient->finished_ms;
	(void)strlcpy(row->reply->text, reply, sizeof(row->reply->text));
}

uint32_t
census_age(const struct census *census, int64_t created_ms)
{
	int64_t minutes = (census->now_ms - created_ms) / 60000;
	uint32_t i;

	for (i = 0; i < CENSUS_AGES - 1; i++)
		if (minutes < census_age_minutes[i])
			break;
	return i;
}

void
census_add(struct census *census, uint32_t transport, uint32_t variant,
    const char *name, int64_t created_ms,
    const struct store_recipient *recipient, const char *reply)
{
	struct census_row *row =
	    census_row_of(census, transport, variant, name);

	row->total++;
	row->states[recipient->state]++;
	row->ages[census_age(census, created_ms)]++;
	if (row->oldest_ms == 0 || created_ms < row->oldest_ms)
		row->oldest_ms = created_ms;
	if (reply != NULL)
		census_keep_reply(census, row, recipient, reply);
}

const struct census_row *
census_find(const struct census *census, uint32_t transport, uint32_t variant,
    const char *name)
{
	return census_seek(census, census_bucket(transport, variant, name),
	    transport, variant, name);
}

const struct census_row *
census_others(const struct census *census)
{
	return census->others;
}

const struct census_row *
census_next(const struct census *census, uint32_t *placep)
{
	return *placep < census->nrows ? census->rows[(*placep)++] : NULL;
}

uint32_t
census_count(const struct census *census)
{
	return census->nrows;
}

uint32_t
census_waiting(const struct census_row *row)
{
	return row != NULL
	    ? row->states[STORE_QUEUED] + row->states[STORE_DEFERRED]
	    : 0;
}

static bool
census_is_before(const struct census_row *a, const struct census_row *b)
{
	if (a->total != b->total)
		return a->total > b->total;
	return strcmp(a->name, b->name) < 0;
}

/* Into a heap whose top is the last of those that are chosen. */
static void
census_sink(const struct census_row **heap, uint32_t n, uint32_t i)
{
	const struct census_row *row = heap[i];
	uint32_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n &&
		    census_is_before(heap[child], heap[child + 1]))
			child++;
		if (!census_is_before(row, heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = row;
}

uint32_t
census_largest(const struct census *census, const struct census_row **out,
    uint32_t limit)
{
	uint32_t n = census->nrows < limit ? census->nrows : limit, i;
	const struct census_row *last;

	if (n == 0)
		return 0;
	for (i = 0; i < n; i++)
		out[i] = census->rows[i];
	for (i = n / 2; i > 0; i--)
		census_sink(out, n, i - 1);
	for (i = n; i < census->nrows; i++)
		if (census_is_before(census->rows[i], out[0])) {
			out[0] = census->rows[i];
			census_sink(out, n, 0);
		}
	for (i = n; i > 1; i--) {
		last = out[0];
		out[0] = out[i - 1];
		out[i - 1] = last;
		census_sink(out, i - 1, 0);
	}
	return n;
}

/* What a word of a reply has in the name. */
static const char *
census_word(const char *word, size_t len)
{
	size_t i, digits = 0, letters = 0;

	if (memchr(word, '@', len) != NULL)
		return "<address>";
	for (i = 0; i < len; i++) {
		if (isdigit((unsigned char)word[i]))
			digits++;
		else if (isalpha((unsigned char)word[i]))
			letters++;
		else if (strchr("[]:./", word[i]) != NULL)
			return NULL; /* a host, a port, a path */
	}
	/* Letters and digits in one long word are an id; so is a long number. */
	return len >= CENSUS_ID_LEN && digits > 0 &&
		(letters > 0 || digits == len)
	    ? "<id>"
	    : NULL;
}

void
census_reason(const char *dsn, const char *reply,
    char out[static CENSUS_NAME_SIZE])
{
	size_t at, n, len = 0;
	const char *instead;

	if (dsn[0] == '\0' && reply[0] == '\0') {
		(void)strlcpy(out, "not tried yet", CENSUS_NAME_SIZE);
		return;
	}
	/* A reply mostly has its status itself. */
	if (dsn[0] != '\0' && strstr(reply, dsn) == NULL)
		len = strlcpy(out, dsn, CENSUS_NAME_SIZE);
	for (at = strspn(reply, " "); reply[at] != '\0';
	     at += n + strspn(reply + at + n, " ")) {
		n = strcspn(reply + at, " ");
		instead = census_word(reply + at, n);
		len += (size_t)snprintf(out + len, CENSUS_NAME_SIZE - len,
		    "%s%.*s", len > 0 ? " " : "",
		    instead != NULL ? CENSUS_NAME_SIZE : (int)n,
		    instead != NULL ? instead : reply + at);
		if (len >= CENSUS_NAME_SIZE)
			return;
	}
	out[len] = '\0';
}
