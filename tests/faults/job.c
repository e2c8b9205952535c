/* SPDX-License-Identifier: ISC */
/*
 * Packets of the job socket are read: as they are, or not for want of memory;
 * never as another packet, and never refused for good.
 */
#include "master/intake/job/job_parse.h"

#include <errno.h>
#include <string.h>

#include "faults.h"

static const char recipient[] =
    "a-recipient-with-a-name-that-does-not-fit-into-the-first-sixteen-octets"
    "@a-domain-that-is-long-as-well.example.org";

static void
look_at(const struct job_packet *job)
{
	if (job->nrcpts != 2 || strcmp(job->rcpts, recipient) != 0 ||
	    strcmp(job->from, recipient) != 0)
		faults_fail("read from <%s>, %zu recipients, the first <%s>",
		    job->from, job->nrcpts, job->rcpts);
}

static void
run(void)
{
	char text[1024], error[VALUE_ERROR_SIZE];
	struct job_packet job;

	value_init();
	(void)snprintf(text, sizeof(text),
	    "{\"from\":\"%s\",\"rcpts\":[\"%s\",{\"address\":\"%s\","
	    "\"notify\":[\"never\"]}],\"wait\":\"final\"}",
	    recipient, recipient, recipient);
	faults_arm();
	if (job_parse(&job, text, strlen(text), false, error) == 0) {
		look_at(&job);
		job_parse_clear(&job);
	} else if (!faults_fired() || errno != ENOMEM) {
		faults_fail("%s: %s", strerror(errno), error);
	}
	faults_disarm();
}

const struct scenario job_scenario = { "job", run };
