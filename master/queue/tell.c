/* SPDX-License-Identifier: ISC */
/* See tell.h. */
#include "master/queue/tell.h"

#include <string.h>

#include "master/queue/queue_internal.h"

void
tell(struct queue *q, uint64_t request, const char *json, bool last)
{
	struct msg_told told;

	if (q->control == NULL)
		return;
	memset(&told, 0, sizeof(told));
	told.request = request;
	told.last = last;
	(void)channel_send(q->control, MSG_TOLD, &told, json, strlen(json), -1);
}

void
tell_refused(struct queue *q, uint64_t request, uint16_t code, const char *dsn,
    const char *why)
{
	struct msg_refused msg;

	if (q->control == NULL)
		return;
	memset(&msg, 0, sizeof(msg));
	msg.request = request;
	msg.code = code;
	(void)strlcpy(msg.dsn, dsn, sizeof(msg.dsn));
	(void)channel_send(q->control, MSG_REFUSED, &msg, why, strlen(why), -1);
}

void
tell_id(struct json_out *out, const char *name, uint64_t id)
{
	char text[STORE_ID_SIZE];

	store_id_format(id, text);
	json_out_string(out, name, text);
}
