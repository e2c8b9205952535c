/* SPDX-License-Identifier: ISC */
/* See auth.h. */
#include "common/auth.h"

#include <string.h>
#include <strings.h>

enum speaker {
	SPEAKER_CLIENT,
	SPEAKER_SERVER,
};

static const struct {
	const char *keyword;
	enum auth_secret needs;
	enum speaker first;
} mechanisms[] = {
#define AUTH_MECHANISM(name, keyword, needs, first)                            \
	{ keyword, AUTH_SECRET_##needs, SPEAKER_##first },
#include "common/auth_mechanisms.def"
#undef AUTH_MECHANISM
};

enum auth_mechanism
auth_mechanism_find(const char *word, size_t n)
{
	unsigned int i;

	for (i = 0; i < AUTH_MECHANISM_COUNT; i++)
		if (strlen(mechanisms[i].keyword) == n &&
		    strncasecmp(mechanisms[i].keyword, word, n) == 0)
			break;
	return (enum auth_mechanism)i;
}

const char *
auth_mechanism_name(enum auth_mechanism mechanism)
{
	return mechanisms[mechanism].keyword;
}

enum auth_secret
auth_mechanism_needs(enum auth_mechanism mechanism)
{
	return mechanisms[mechanism].needs;
}

bool
auth_mechanism_is_client_first(enum auth_mechanism mechanism)
{
	return mechanisms[mechanism].first == SPEAKER_CLIENT;
}

bool
auth_mechanism_is_bound(enum auth_mechanism mechanism)
{
	return mechanism == AUTH_MECHANISM_SCRAM_SHA_256_PLUS ||
	    mechanism == AUTH_MECHANISM_SCRAM_SHA_1_PLUS;
}

bool
auth_name_ok(const char *name)
{
	const char *c;

	for (c = name; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return c - name <= AUTH_USER_MAX;
}
