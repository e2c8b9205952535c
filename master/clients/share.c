/* SPDX-License-Identifier: ISC */
/*
 * What each user of this machine, and each address, has of a role: clients
 * and octets in memory.  Nobody has so much that there is nothing left for
 * others.
 */
#include "master/clients/clients.h"

#include <assert.h>
#include <string.h>

#include "common/util.h"

/* Times message_size_limit: octets of one user's, or of one address's, that are
 * in memory until they are on disk, and of all together. */
#define OCTETS_OF_USER_MAX 8
#define OCTETS_MAX         32

static bool
is_of(const struct share *share, const struct share_key *key)
{
	return share->key.family == key->family && share->key.uid == key->uid &&
	    memcmp(share->key.addr, key->addr, sizeof(key->addr)) == 0;
}

/* Theirs, or a free one; there is one for each client that may be. */
static struct share *
share_find(struct clients *cs, const struct share_key *key)
{
	struct share *unused = NULL;

	for (size_t i = 0; i < NELEM(cs->shares); i++) {
		if (cs->shares[i].nclients == 0)
			unused = unused != NULL ? unused : &cs->shares[i];
		else if (is_of(&cs->shares[i], key))
			return &cs->shares[i];
	}
	assert(unused != NULL);
	return unused;
}

struct share *
share_join(struct clients *cs, const struct share_key *key, unsigned most)
{
	struct share *share = share_find(cs, key);

	if (share->nclients >= most)
		return NULL;
	share->key = *key;
	share->nclients++;
	return share;
}

void
share_leave(struct share *share)
{
	assert(share->nclients > 0);
	share->nclients--;
}

bool
share_is_fair(unsigned own, unsigned used, unsigned most)
{
	return used < most && own < most - used;
}

bool
share_has_room(const struct clients *cs, const struct share *share)
{
	uint64_t limit = cs->config->message_size_limit;

	return share->octets < OCTETS_OF_USER_MAX * limit &&
	    cs->octets < OCTETS_MAX * limit;
}

void
share_hold(struct clients *cs, struct share *share, uint64_t size)
{
	share->octets += size;
	cs->octets += size;
}

void
share_release(struct clients *cs, struct share *share, uint64_t size)
{
	share->octets -= size;
	cs->octets -= size;
}
