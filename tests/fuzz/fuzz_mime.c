/* SPDX-License-Identifier: ISC */
#include "agent/mime.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define IN_MAX 16384

static struct mime m;

static size_t
pass(const uint8_t *in, size_t n, size_t piece, uint8_t *out)
{
	static uint8_t room[MIME_ROOM_MIN];
	size_t len = 0, used, wrote;

	while (n > 0 && m.error == MIME_OK) {
		wrote = mime_convert(&m, in, n < piece ? n : piece, &used, room,
		    sizeof(room));
		assert(used > 0 || m.error != MIME_OK);
		assert(wrote <= sizeof(room));
		memcpy(out + len, room, wrote);
		len += wrote;
		in += used;
		n -= used;
	}
	wrote = mime_end(&m, room);
	assert(wrote <= sizeof(room));
	memcpy(out + len, room, wrote);
	return len + wrote;
}

/* What is written is what was asked for, however the input is cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t out[8 * IN_MAX + 4096], again[8 * IN_MAX + 4096];
	enum mime_target target;
	size_t len, piece;

	if (n < 2 || n > IN_MAX)
		return 0;
	target = data[0] & 1 ? MIME_TO_8BIT : MIME_TO_7BIT;
	piece = 1 + data[0] / 2;
	data++;
	n--;
	mime_plan(&m, target);
	assert(pass(data, n, n, out) == 0);
	if (m.error != MIME_OK)
		return 0;
	mime_write(&m);
	len = pass(data, n, n, out);
	assert(m.error == MIME_OK);
	mime_write(&m);
	assert(pass(data, n, piece, again) == len);
	assert(memcmp(out, again, len) == 0);
	for (size_t i = 0; i < len; i++) {
		assert(out[i] != '\0');
		assert(out[i] < 0x80 || target == MIME_TO_8BIT);
		if (out[i] == '\n')
			assert(i > 0 && out[i - 1] == '\r');
		else if (i > 0)
			assert(out[i - 1] != '\r');
	}
	return 0;
}
