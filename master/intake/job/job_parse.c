/* SPDX-License-Identifier: ISC */
/* See job_parse.h. */
#include "master/intake/job/job_parse.h"

#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/parameters.h"
#include "common/util.h"
#include "master/clients/value.h"
#include "master/intake/job/job_parameters.h"

static int
get_wait(const json_t *object, uint32_t *wait, char error[VALUE_ERROR_SIZE])
{
	static const char *const words[] = { [WAIT_QUEUED] = "queued",
		[WAIT_ATTEMPT] = "attempt",
		[WAIT_FINAL] = "final" };
	char word[16] = "queued";
	uint32_t i;

	if (value_string(object, "wait", word, sizeof(word), error) == -1)
		return -1;
	for (i = 0; i < NELEM(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*wait = i;
			return 0;
		}
	}
	return value_complain(error,
	    "\"wait\" must be \"queued\", \"attempt\" or \"final\"");
}

/* A reference or a name that may stand in a log line as it is. */
static int
check_printable(const char *name, const char *text,
    char error[VALUE_ERROR_SIZE])
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			return value_complain(error,
			    "\"%s\" must be printable ASCII", name);
	}
	return 0;
}

static int
refuse_address(const char *what, const char *in, size_t len,
    enum address_error e, char error[VALUE_ERROR_SIZE])
{
	char quote[QUOTE_SIZE];

	log_escape(quote, sizeof(quote), in, len);
	return value_complain(error, "%s <%s>: %s", what, quote,
	    address_error_text(e));
}

static int
get_from(const json_t *object, struct job_packet *job,
    char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, "from");
	struct address addr;
	enum address_error e;

	if (!json_is_string(value))
		return value_complain(error, "\"from\" must be a string");
	e = address_parse_reverse_path(&addr, json_string_value(value),
	    json_string_length(value));
	if (e != ADDRESS_OK)
		return refuse_address("from", json_string_value(value),
		    json_string_length(value), e, error);
	strlcpy(job->from, addr.path, sizeof(job->from));
	return 0;
}

static void
add_string(struct job_packet *job, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(job->rcpts + job->rcpts_len, text, n);
	job->rcpts_len += n;
}

/* A string, or an object with "address" and what is asked for it. */
static int
add_rcpt(struct job_packet *job, json_t *value, char error[VALUE_ERROR_SIZE])
{
	char parameters[PARAMETERS_RCPT_SIZE] = "";
	struct address addr;
	enum address_error e;

	if (json_is_object(value)) {
		if (job_parameters_rcpt(value, parameters, error) == -1)
			return -1;
		value = json_object_get(value, "address");
	}
	if (!json_is_string(value))
		return value_complain(error,
		    "\"rcpts\" must hold strings, or objects with an "
		    "\"address\"");
	e = address_parse_forward_path(&addr, json_string_value(value),
	    json_string_length(value));
	if (e != ADDRESS_OK)
		return refuse_address("recipient", json_string_value(value),
		    json_string_length(value), e, error);
	add_string(job, addr.path);
	add_string(job, parameters);
	job->nrcpts++;
	return 0;
}

static int
get_rcpts(const json_t *object, struct job_packet *job,
    char error[VALUE_ERROR_SIZE])
{
	json_t *list = json_object_get(object, "rcpts");
	size_t objects = 0, i;
	json_t *rcpt;

	if (!json_is_array(list))
		return value_complain(error,
		    "\"rcpts\" must be a list of strings");
	if (json_array_size(list) == 0)
		return value_complain(error,
		    "\"rcpts\" is empty: name a recipient");
	json_array_foreach(list, i, rcpt) objects +=
	    json_is_object(rcpt) ? 1 : 0;
	/* A path never grows by being normalised. */
	job->rcpts = calloc(1,
	    json_array_size(list) * (MSG_ADDRESS_SIZE + 1) +
		objects * PARAMETERS_RCPT_SIZE);
	if (job->rcpts == NULL)
		return value_complain_memory(error);
	for (i = 0; i < json_array_size(list); i++) {
		if (add_rcpt(job, json_array_get(list, i), error) == -1)
			return -1;
	}
	return 0;
}

static int
get_flags(const json_t *object, uint32_t *out, char error[VALUE_ERROR_SIZE])
{
	static const struct {
		const char *name;
		uint32_t bits;
	} flags[] = {
		{ "verbose", SUBMIT_VERBOSE },
		{ "once", SUBMIT_ONCE },
		{ "binary", SUBMIT_BINARY },
		{ "verify", SUBMIT_VERIFY | SUBMIT_ONCE },
		{ "handshake",
		    SUBMIT_HANDSHAKE | SUBMIT_VERIFY | SUBMIT_ONCE },
		{ "require_tls", SUBMIT_REQUIRETLS },
	};
	bool is_set;

	for (size_t i = 0; i < NELEM(flags); i++) {
		is_set = false;
		if (value_flag(object, flags[i].name, &is_set, error) == -1)
			return -1;
		*out |= is_set ? flags[i].bits : 0;
	}
	return 0;
}

/* Without a store nobody but a client that waits hears what became of it. */
static int
get_store(const json_t *object, struct job_packet *job,
    char error[VALUE_ERROR_SIZE])
{
	bool stored = true;

	if (value_flag(object, "store", &stored, error) == -1)
		return -1;
	if (stored)
		return 0;
	if (job->wait != WAIT_FINAL)
		return value_complain(error,
		    "\"store\" false wants \"wait\" to be \"final\"");
	job->flags |= SUBMIT_TRANSIENT;
	return 0;
}

/* RFC 4865, 5: what no server can do, or none should. */
static int
check_hold(const struct job_packet *job, char error[VALUE_ERROR_SIZE])
{
	const char *why = parameters_check_hold(job->parameters,
	    job->from[0] == '\0', time_real_ms());

	return why == NULL ? 0 : value_complain(error, "%s", why);
}

static int
parse_first(struct job_packet *job, json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const words[] = { "from", "rcpts", "via", "wait",
		"ref", "more", "verbose", "once", "binary", "smtputf8",
		"verify", "handshake", "require_tls", "ret", "envid", "deliver_by",
		"hold_for", "hold_until", "priority", "auth", "client", "store",
		NULL };

	job->smtputf8 = true;
	if (value_members(object, words, error) == -1 ||
	    get_from(object, job, error) == -1 ||
	    value_string(object, "ref", job->ref, sizeof(job->ref), error) ==
		-1 ||
	    check_printable("ref", job->ref, error) == -1 ||
	    value_string(object, "via", job->via, sizeof(job->via), error) ==
		-1 ||
	    get_wait(object, &job->wait, error) == -1 ||
	    job_parameters_mail(object, job->parameters, error) == -1 ||
	    check_hold(job, error) == -1 ||
	    get_flags(object, &job->flags, error) == -1 ||
	    get_store(object, job, error) == -1 ||
	    value_flag(object, "smtputf8", &job->smtputf8, error) == -1)
		return -1;
	job->first = true;
	return 0;
}

int
job_parse(struct job_packet *job, const char *text, size_t len, bool begun,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const words[] = { "rcpts", "more", NULL };
	json_t *object;
	int ret = -1;

	memset(job, 0, sizeof(*job));
	object = value_object(text, len, error);
	if (object == NULL)
		return -1;
	if (json_object_get(object, "command") != NULL) {
		(void)value_complain(error,
		    "this is the job socket: commands are for the control "
		    "socket, which is control_socket in postern.conf(5)");
		goto out;
	}
	if (begun ? value_members(object, words, error) == -1
		  : parse_first(job, object, error) == -1)
		goto out;
	if (value_flag(object, "more", &job->more, error) == -1 ||
	    get_rcpts(object, job, error) == -1)
		goto out;
	ret = 0;
out:
	if (ret == -1)
		job_parse_clear(job);
	json_decref(object);
	return ret;
}

void
job_parse_clear(struct job_packet *job)
{
	free(job->rcpts);
	job->rcpts = NULL;
	job->rcpts_len = job->nrcpts = 0;
}
