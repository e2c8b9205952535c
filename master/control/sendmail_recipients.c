/* SPDX-License-Identifier: ISC */
/* The addresses that sendmail is given, by its words or in a message. */
#include "master/control/sendmail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/util.h"
#include "master/control/link.h"

int
sendmail_qualify(const struct sendmail *s, char address[MAILBOX_SIZE])
{
	struct address addr;

	/* An "@" inside quotes is no domain. */
	if (strrchr(address, '@') == NULL ||
	    address[strlen(address) - 1] == '"') {
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
sendmail_add(struct sendmail *s, const char *what, const char *text, size_t n)
{
	struct mailbox_list list = { .in = text, .n = n };
	char address[MAILBOX_SIZE];
	enum mailbox_event event;

	while ((event = mailbox_next(&list, address)) != MAILBOX_END) {
		if (event == MAILBOX_BAD ||
		    sendmail_qualify(s, address) == -1) {
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
