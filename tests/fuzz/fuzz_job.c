/* SPDX-License-Identifier: ISC */
/*
 * Any packet of a client is a job, a continuation or a question, or is refused
 * with a sentence that may stand in a log; what was read keeps its bounds.
 */
#include "master/intake/job/job_parse.h"
#include "master/operator/command.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An ended string without controls. */
static void
check_word(const char *s, size_t size)
{
	assert(memchr(s, '\0', size) != NULL);
	for (; *s != '\0'; s++)
		assert((uint8_t)*s >= ' ' && *s != 0x7f);
}

static void
check_job(const struct job_packet *job, bool begun)
{
	const char *p = job->rcpts, *end = job->rcpts + job->rcpts_len;
	size_t i;

	assert(job->first == !begun && job->wait <= WAIT_FINAL);
	assert((job->flags &
		   ~(SUBMIT_VERBOSE | SUBMIT_ONCE | SUBMIT_REQUIRETLS)) == 0);
	check_word(job->from, sizeof(job->from));
	check_word(job->ref, sizeof(job->ref));
	check_word(job->parameters, sizeof(job->parameters));
	assert(parameters_check(job->parameters, PARAMETER_OF_MAIL) == NULL);
	assert(memchr(job->via, '\0', sizeof(job->via)) != NULL);
	assert(job->nrcpts > 0);
	for (i = 0; i < job->nrcpts; i++) {
		assert(p < end && *p != '\0');
		check_word(p, (size_t)(end - p));
		assert(strlen(p) < MSG_ADDRESS_SIZE);
		p += strlen(p) + 1;
		assert(p < end);
		assert(parameters_check(p, PARAMETER_OF_RCPT) == NULL);
		p += strlen(p) + 1;
	}
	assert(p == end);
}

/* The tail is strings to its end, as many as the queue expects at least. */
static void
check_command(const struct command *command)
{
	size_t at = 0, n = 0;

	assert(command->question <= QUESTION_STOP);
	assert(memchr(command->name, '\0', sizeof(command->name)) != NULL);
	assert(command->tail_len <= sizeof(command->tail));
	for (; at < command->tail_len; n++) {
		assert(memchr(command->tail + at, '\0',
			   command->tail_len - at) != NULL);
		at += strlen(command->tail + at) + 1;
	}
	if (command->question == QUESTION_ACT)
		assert(n >= 6 && n <= 6 + ACT_IDS_MAX &&
		    command->act.limit <= LIST_LIMIT_MAX &&
		    command->act.verb < ACT_VERBS);
	if (command->question == QUESTION_ASK)
		assert(n <= 4 && command->ask.what < ASK_COUNT &&
		    command->ask.kind <= PAUSE_ANY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	char error[VALUE_ERROR_SIZE];
	static struct command command;
	struct job_packet job;
	int begun;

	for (begun = 0; begun <= 1; begun++) {
		memset(error, 0xff, sizeof(error));
		if (job_parse(&job, text, n, begun == 1, error) == 0)
			check_job(&job, begun == 1);
		else
			check_word(error, sizeof(error));
		job_parse_clear(&job);
	}
	memset(error, 0xff, sizeof(error));
	if (command_parse(&command, text, n, 1000000, error) == 0)
		check_command(&command);
	else
		check_word(error, sizeof(error));
	return 0;
}
