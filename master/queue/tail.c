/* SPDX-License-Identifier: ISC */
/* Events as they fall: a log line each, and an object for whoever listens. */
#include "master/queue/queue_internal.h"

#include "common/log.h"

void
event_tell(struct queue *q, const struct event *event, const char *process)
{
	char text[LOG_LINE_MAX];
	char json[LOG_LINE_MAX];

	(void)q;
	text[0] = '\0';
	json[0] = '\0';
	if (log_is_json())
		event_json(event, json, sizeof(json));
	else
		event_text(event, text, sizeof(text));
	log_event(LOG_INFO, process, text, json);
}
