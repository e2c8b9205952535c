/* SPDX-License-Identifier: ISC */
/* The addresses that sendmail is given, by its words or in a message. */
#include "master/control/sendmail/sendmail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/sort.h"
#include "common/util.h"
#include "master/control/client/daemon_client.h"

bool
sendmail_recipients_lack_domain(const char *address)
{
	size_t n = strlen(address);

	/* An "@" inside quotes is no domain. */
	return strrchr(address, '@') == NULL || address[n - 1] == '"';
}

int
sendmail_recipients_qualify(const struct sendmail *s,
    char address[MAILBOX_SIZE])
{
	struct address addr;

	if (sendmail_recipients_lack_domain(address)) {
		if (strlcat(address, "@", MAILBOX_SIZE) >= MAILBOX_SIZE ||
		    strlcat(address, s->origin, MAILBOX_SIZE) >= MAILBOX_SIZE)
			return -1;
	}
	if (address_parse_forward_path(&addr, address, strlen(address)) !=
	    ADDRESS_OK)
		return -1;
	/* As the header of a message may have it, quotes and all. */
	return strlcpy(address, addr.path, MAILBOX_SIZE) < MAILBOX_SIZE ? 0
									: -1;
}

static int
list_add(struct sendmail_list *list, const char *word)
{
	size_t size = list->size > 0 ? 2 * list->size : 16;
	char **grown;

	if (list->n == list->size) {
		grown = recallocarray(list->words, list->size, size,
		    sizeof(*grown));
		if (grown == NULL)
			return -1;
		list->words = grown;
		list->size = size;
	}
	list->words[list->n] = strdup(word);
	if (list->words[list->n] == NULL)
		return -1;
	list->n++;
	return 0;
}

int
sendmail_recipients_add(struct sendmail *s, const char *what, const char *text,
    size_t n)
{
	struct mailbox_list list = { .in = text, .n = n };
	char address[MAILBOX_SIZE];
	enum mailbox_event event;

	while ((event = mailbox_next(&list, address)) != MAILBOX_END) {
		if (event == MAILBOX_BAD ||
		    sendmail_recipients_qualify(s, address) == -1) {
			fprintf(stderr,
			    "sendmail: %s: \"%s\" is no address: nothing was "
			    "sent\n",
			    what, address);
			return EXIT_DATA_ERROR;
		}
		if (list_add(&s->rcpts, address) == -1) {
			fprintf(stderr, "sendmail: no memory\n");
			return EXIT_DEFERRED;
		}
	}
	return 0;
}

/* Their order: local parts as they are, domains in any letter case. */
static int
compare_words(const char *a, const char *b)
{
	size_t na = (size_t)(strrchr(a, '@') - a);
	size_t nb = (size_t)(strrchr(b, '@') - b);
	int order = memcmp(a, b, na < nb ? na : nb);

	if (order == 0 && na != nb)
		order = na < nb ? -1 : 1;
	return order != 0 ? order : strcasecmp(a + na, b + nb);
}

/* Places of the list; of the same address the first one comes first. */
static int
compare_places(const void *a, const void *b)
{
	char *const *x = *(char **const *)a, *const *y = *(char **const *)b;
	int order = compare_words(*x, *y);

	return order != 0 ? order : x < y ? -1 : x > y;
}

int
sendmail_recipients_drop_duplicates(struct sendmail *s)
{
	struct sendmail_list *list = &s->rcpts;
	char ***places = calloc(list->n + 1, sizeof(*places));
	size_t i, kept = 0, first = 0;

	if (places == NULL) {
		fprintf(stderr, "sendmail: no memory\n");
		return EXIT_DEFERRED;
	}
	for (i = 0; i < list->n; i++)
		places[i] = &list->words[i];
	sort_array(places, list->n, sizeof(*places), compare_places);
	for (i = 1; i < list->n; i++) {
		if (compare_words(*places[first], *places[i]) != 0) {
			first = i;
			continue;
		}
		free(*places[i]);
		*places[i] = NULL;
	}
	for (i = 0; i < list->n; i++)
		if (list->words[i] != NULL)
			list->words[kept++] = list->words[i];
	list->n = kept;
	free(places);
	return 0;
}
