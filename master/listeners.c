/* SPDX-License-Identifier: ISC */
/*
 * The sockets that mail comes in by, on their way to the intake, and who may come
 * to them.
 */
#include "master/master_internal.h"

#include <string.h>

void
listeners_send(struct servant *s)
{
	struct msg_listener msg = { .kind = LISTENER_MAIL };
	struct master *m = s->master;

	for (size_t i = 0; i < m->load->config->nlisteners; i++) {
		msg.index = (uint8_t)i;
		servant_send_message(s, MSG_LISTENER, &msg, NULL, 0,
		    sockets_fd(m, SOCKET_LISTENER, i));
	}
}

void
listeners_send_users(struct servant *s)
{
	const struct load *ld = s->master->load;
	const struct load_listener *users = ld->listeners;
	uint32_t uids[LISTENER_UIDS_MAX];
	struct msg_listener_users msg;

	for (size_t i = 0; i < ld->config->nlisteners; i++, users++) {
		memset(&msg, 0, sizeof(msg));
		msg.index = (uint32_t)i;
		msg.any = users->any;
		msg.count = (uint32_t)users->count;
		msg.trusted = (uint32_t)users->trusted;
		memcpy(uids, users->uids, sizeof(uids));
		servant_send_message(s, MSG_LISTENER_USERS, &msg, uids,
		    (users->count + users->trusted) * sizeof(uids[0]), -1);
	}
}
