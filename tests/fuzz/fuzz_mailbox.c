/* SPDX-License-Identifier: ISC */
/* Header fields, and the address lists in them. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "master/control/sendmail/header_field.h"
#include "master/control/sendmail/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_list(const char *in, size_t n)
{
	struct mailbox_list list = { .in = in, .n = n };
	char out[MAILBOX_SIZE];
	size_t before;

	for (;;) {
		before = list.at;
		if (mailbox_next(&list, out) == MAILBOX_END)
			break;
		assert(list.end >= before && list.end <= list.at);
		assert(list.at > before && list.at <= n);
		assert(memchr(out, '\0', sizeof(out)) != NULL);
		assert(strpbrk(out, "\r\n") == NULL);
	}
	assert(list.at == n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *in = (const char *)data;
	struct header_field field;
	size_t at = 0, before = 0;

	while (header_field_next(in, size, &at, &field)) {
		assert(at > before && at <= size);
		assert(field.start == in + before);
		assert(field.value + field.value_len == in + at);
		assert(field.name_len > 0 && field.name_len < field.size);
		read_list(field.value, field.value_len);
		before = at;
	}
	read_list(in, size);
	return 0;
}
