/* SPDX-License-Identifier: ISC */
/*
 * Which lane mail is of, and which class of lanes has its turn.
 */
#include "master/queue/lane.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "common/parameters.h"

/* High first, and low never starves: of 21 turns. */
static const uint32_t weights[LANE_CLASS_COUNT] = {
	[LANE_HIGH] = 16,
	[LANE_NORMAL] = 4,
	[LANE_LOW] = 1,
};

static const enum lane_class order[LANE_CLASS_COUNT] = { LANE_HIGH, LANE_NORMAL,
	LANE_LOW };

/* FNV-1a, an octet at a time. */
static uint32_t
hash_octet(uint32_t hash, uint8_t octet)
{
	return (hash ^ octet) * 16777619U;
}

/*
 * "bounces-4711-ann=example.com@lists.example" and all others of that run are
 * one sender: the local part counts up to the first of "+-=", without digits.
 */
static uint32_t
hash_sender(uint32_t hash, const char *path)
{
	const char *at = strrchr(path, '@');
	size_t n = at != NULL ? (size_t)(at - path) : strlen(path);
	size_t i;

	for (i = 0; i < n && strchr("+-=", path[i]) == NULL; i++)
		if (path[i] < '0' || path[i] > '9')
			hash = hash_octet(hash, (uint8_t)path[i]);
	for (; at != NULL && *at != '\0'; at++)
		hash = hash_octet(hash,
		    (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a'
						       : *at));
	return hash;
}

/* "-9" to "9"; 0 is what mail without a word of it has (RFC 6710, 3). */
static enum lane_class
class_of(const char *parameters)
{
	struct parameter_word word;

	while (parameters_next(&parameters, &word)) {
		if (word.parameter != PARAMETER_MT_PRIORITY ||
		    word.value_len == 0)
			continue;
		if (word.value[0] == '-')
			return LANE_LOW;
		return word.value[0] == '0' ? LANE_NORMAL : LANE_HIGH;
	}
	return LANE_NORMAL;
}

uint32_t
lane_of(uint32_t uid, const char *reverse_path, const char *parameters)
{
	uint32_t hash = 2166136261U;
	int i;

	for (i = 0; i < 4; i++)
		hash = hash_octet(hash, (uint8_t)(uid >> (8 * i)));
	hash = hash_sender(hash, reverse_path);
	hash ^= hash >> LANE_HASH_BITS ^ hash >> (2 * LANE_HASH_BITS);
	return (uint32_t)class_of(parameters) << LANE_HASH_BITS |
	    (hash & ((1U << LANE_HASH_BITS) - 1));
}

enum lane_class
lane_class(uint32_t lane)
{
	uint32_t class = lane >> LANE_HASH_BITS;

	return class < LANE_CLASS_COUNT ? (enum lane_class) class : LANE_NORMAL;
}

enum lane_class
lane_turn(uint32_t left[static LANE_CLASS_COUNT], uint32_t waiting)
{
	size_t i;

	assert((waiting & ((1U << LANE_CLASS_COUNT) - 1)) != 0);
	for (;;) {
		for (i = 0; i < LANE_CLASS_COUNT; i++) {
			if ((waiting >> order[i] & 1) == 0 ||
			    left[order[i]] == 0)
				continue;
			left[order[i]]--;
			return order[i];
		}
		memcpy(left, weights, sizeof(weights));
	}
}
