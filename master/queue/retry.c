/* SPDX-License-Identifier: ISC */
/*
 * Waits between attempts.
 */
#include "master/queue/retry.h"

#include "common/duration.h"

enum {
	RETRY_MAX_S = 8640000
};

/* 0: it is none; weeks are no such waits. */
static int64_t
factor_of(const char *suffix)
{
	int64_t seconds;

	if (suffix[0] == '\0')
		return 1;
	seconds = duration_unit(suffix[0]);
	return seconds == -1 || suffix[0] == 'w' || suffix[1] != '\0' ? 0
								      : seconds;
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
