/* SPDX-License-Identifier: ISC */
/*
 * Waits between attempts.
 */
#include "master/queue/retry.h"

#include <string.h>

enum {
	RETRY_MAX_S = 8640000
};

static int64_t
factor_of(const char *suffix)
{
	if (strcmp(suffix, "") == 0 || strcmp(suffix, "s") == 0)
		return 1;
	if (strcmp(suffix, "m") == 0)
		return 60;
	if (strcmp(suffix, "h") == 0)
		return 3600;
	return strcmp(suffix, "d") == 0 ? 86400 : 0;
}

bool
retry_parse(const char *word, int64_t *ms)
{
	int64_t seconds = 0;
	const char *at = word;

	for (; *at >= '0' && *at <= '9' && seconds <= RETRY_MAX_S; at++)
		seconds = seconds * 10 + (*at - '0');
	if (at == word)
		return false;
	seconds *= factor_of(at);
	if (seconds < 1 || seconds > RETRY_MAX_S)
		return false;
	*ms = seconds * 1000;
	return true;
}

int64_t
retry_step_ms(char *const *words, size_t count, uint32_t attempts)
{
	size_t at = attempts > 0 ? attempts - 1 : 0;
	int64_t ms;

	if (count == 0)
		return -1;
	if (at >= count)
		at = count - 1;
	return retry_parse(words[at], &ms) ? ms : -1;
}

int64_t
retry_brief_ms(uint32_t attempts, int64_t most_ms)
{
	int64_t ms = 1000;

	for (; attempts > 1 && ms < most_ms; attempts--)
		ms *= 2;
	return ms < most_ms ? ms : most_ms;
}

/* The end of splitmix64: near numbers become far ones. */
uint32_t
retry_chance(uint64_t message, uint32_t attempts)
{
	uint64_t z = message * 0x9e3779b97f4a7c15 + attempts;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)(z ^ z >> 31);
}

int64_t
retry_vary_ms(int64_t ms, unsigned percent, uint32_t chance)
{
	int64_t most = ms / 100 * percent + ms % 100 * percent / 100;

	return ms - (int64_t)((uint64_t)most * (chance & 0xffff) >> 16);
}
