/* SPDX-License-Identifier: ISC */
/*
 * The fields of a header: they are all of its octets up to its end, in order, each
 * whole lines; a simple reading line by line finds as many.
 */
#include "master/control/sendmail/header_field.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The octets of a line, with its end. */
static size_t
line_size(const char *in, size_t n)
{
	const char *lf = memchr(in, '\n', n);

	return lf != NULL ? (size_t)(lf - in) + 1 : n;
}

static void
check(const struct header_field *f, const char *in, size_t at, size_t end)
{
	size_t first;

	assert(f->start == in + at && f->size == end - at && f->size > 0);
	assert(f->name_len > 0 && f->name_len < f->size);
	assert(memchr(f->start, ':', f->size) != NULL);
	assert(memchr(f->start, '\n', f->name_len) == NULL);
	assert(memchr(f->start, ':', f->name_len) == NULL);
	assert(f->value >= f->start + f->name_len);
	assert(f->value + f->value_len <= f->start + f->size);
	/* Its first line is no continuation, and all others are. */
	assert(*f->start != ' ' && *f->start != '\t');
	first = line_size(f->start, f->size);
	while (first < f->size) {
		assert(f->start[first] == ' ' || f->start[first] == '\t');
		first += line_size(f->start + first, f->size - first);
	}
	/* It ends with a line, or with the octets. */
	assert(f->start[f->size - 1] == '\n' || f->start[f->size] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char in[65536];
	struct header_field field;
	size_t at = 0, was = 0;

	if (n >= sizeof(in) || memchr(data, '\0', n) != NULL)
		return 0;
	memcpy(in, data, n);
	in[n] = '\0';
	while (header_field_next(in, n, &at, &field)) {
		check(&field, in, was, at);
		assert(at <= n);
		assert(at == n || (in[at] != ' ' && in[at] != '\t'));
		was = at;
	}
	assert(at == was);
	return 0;
}
