/* SPDX-License-Identifier: ISC */
/* See command.h. */
#include "master/operator/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/duration.h"
#include "common/log.h"
#include "common/util.h"
#include "master/clients/value.h"

#define TOP_DEFAULT 20
#define TOP_MAX     100

#define LIST_DEFAULT    100 /* rows */
#define SUMMARY_DEFAULT 20

static const char *const no_members[] = { "command", NULL };
static const char *const transcript_members[] = { "command", "name", "whole",
	"wait", NULL };
static const char *const act_members[] = { "command", "id", "ids", "sender",
	"recipient", "reason", "destination", "domain", "states", "older",
	"younger", "until", "after", "after_index", "limit", "dry_run", "to",
	NULL };
static const char *const summary_members[] = { "command", "by", "id", "ids",
	"sender", "recipient", "reason", "destination", "domain", "states",
	"older", "younger", "until", "limit", NULL };
static const char *const cat_members[] = { "command", "id", NULL };
static const char *const pause_members[] = { "command", "all", "transport",
	"destination", "name", NULL };
static const char *const explain_members[] = { "command", "recipient", "sender",
	"via", NULL };
static const char *const tail_members[] = { "command", "sender", "recipient",
	"destination", "status", "id", NULL };
static const char *const top_members[] = { "command", "limit", NULL };

static const struct word {
	const char *word;
	enum command_question question;
	unsigned what; /* enum act_verb or ask_what */
	const char *const *members;
} words[] = {
	{ "status", QUESTION_STATUS, 0, no_members },
	{ "transcripts", QUESTION_TRANSCRIPTS, 0, transcript_members },
	{ "list", QUESTION_ACT, ACT_LIST, act_members },
	{ "hold", QUESTION_ACT, ACT_HOLD, act_members },
	{ "release", QUESTION_ACT, ACT_RELEASE, act_members },
	{ "retry", QUESTION_ACT, ACT_RETRY, act_members },
	{ "delete", QUESTION_ACT, ACT_DELETE, act_members },
	{ "expire", QUESTION_ACT, ACT_EXPIRE, act_members },
	{ "move", QUESTION_ACT, ACT_MOVE, act_members },
	{ "summary", QUESTION_ACT, ACT_SUMMARY, summary_members },
	{ "stop", QUESTION_STOP, 0, no_members },
	{ "cat", QUESTION_ASK, ASK_CAT, cat_members },
	{ "pause", QUESTION_ASK, ASK_PAUSE, pause_members },
	{ "resume", QUESTION_ASK, ASK_RESUME, pause_members },
	{ "pauses", QUESTION_ASK, ASK_PAUSES, no_members },
	{ "explain", QUESTION_ASK, ASK_EXPLAIN, explain_members },
	{ "tail", QUESTION_ASK, ASK_TAIL, tail_members },
	{ "top", QUESTION_ASK, ASK_TOP, top_members },
};

/* A queue id of hexadecimal digits, as text and as number. */
static int
read_id(const char *name, const char *word, uint64_t *id,
    char error[VALUE_ERROR_SIZE])
{
	size_t n = strspn(word, "0123456789ABCDEFabcdef");

	*id = n > 0 ? strtoull(word, NULL, 16) : 0; /* strtoull takes more */
	if (word[n] != '\0' || n > 16 || *id == 0 || *id > INT64_MAX)
		return value_complain(error,
		    "\"%s\" must be a queue id in hexadecimal", name);
	return 0;
}

static int
get_id(const json_t *object, const char *name, uint64_t *id,
    char error[VALUE_ERROR_SIZE])
{
	char word[20] = "";

	if (value_string(object, name, word, sizeof(word), error) == -1)
		return -1;
	return word[0] == '\0' ? 0 : read_id(name, word, id, error);
}

static int
add(struct command *command, const char *text, char error[VALUE_ERROR_SIZE])
{
	if (message_tail_add(command->tail, sizeof(command->tail),
		&command->tail_len, text))
		return 0;
	return value_complain(error, "all of it is too long");
}

/* Strings of the tail, in the order that its message says. */
static int
add_strings(struct command *command, const json_t *object,
    const char *const *names, size_t n, char error[VALUE_ERROR_SIZE])
{
	char text[ACT_PATTERN_SIZE];
	size_t i;

	for (i = 0; i < n; i++) {
		text[0] = '\0';
		if (value_string(object, names[i], text, sizeof(text), error) ==
			-1 ||
		    add(command, text, error) == -1)
			return -1;
	}
	return 0;
}

static int
add_id(struct command *command, const char *word, char error[VALUE_ERROR_SIZE])
{
	uint64_t id;

	return read_id("id", word, &id, error) == -1 ||
		add(command, word, error) == -1
	    ? -1
	    : 0;
}

/* "id" is one, "ids" a list. */
static int
add_ids(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	const json_t *list = json_object_get(object, "ids");
	const json_t *id = json_object_get(object, "id"), *value;
	size_t i;

	if (id != NULL && !json_is_string(id))
		return value_complain(error, "\"id\" must be a string");
	if (id != NULL && json_string_length(id) > 0 &&
	    add_id(command, json_string_value(id), error) == -1)
		return -1;
	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) + (id != NULL) > ACT_IDS_MAX)
		return value_complain(error,
		    "\"ids\" must be a list of 1 to %d queue ids", ACT_IDS_MAX);
	for (i = 0; i < json_array_size(list); i++) {
		value = json_array_get(list, i);
		if (!json_is_string(value))
			return value_complain(error,
			    "\"ids\" must hold strings");
		if (add_id(command, json_string_value(value), error) == -1)
			return -1;
	}
	return 0;
}

static int
read_state(const json_t *value, uint32_t *bits, char error[VALUE_ERROR_SIZE])
{
	static const char *const names[RECIPIENT_STATES] = { "queued", "active",
		"delivered", "deferred", "failed", "held" };
	uint32_t i;

	for (i = 0; json_is_string(value) && i < RECIPIENT_STATES; i++)
		if (i != RECIPIENT_DELIVERED &&
		    strcmp(json_string_value(value), names[i]) == 0) {
			*bits |= 1u << i;
			return 0;
		}
	return value_complain(error,
	    "\"states\" must hold \"queued\", \"active\", \"deferred\", "
	    "\"failed\" or \"held\"");
}

static int
get_states(const json_t *object, uint32_t *bits, char error[VALUE_ERROR_SIZE])
{
	const json_t *list = json_object_get(object, "states");
	size_t i;

	if (list == NULL)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0)
		return value_complain(error,
		    "\"states\" must be a list of states");
	for (i = 0; i < json_array_size(list); i++)
		if (read_state(json_array_get(list, i), bits, error) == -1)
			return -1;
	return 0;
}

/* Ages in seconds become times of arrival. */
static int
get_ages(struct command *command, const json_t *object, int64_t now_ms,
    char error[VALUE_ERROR_SIZE])
{
	uint64_t older = 0, younger = 0;

	if (value_number(object, "older", DURATION_MAX_S, &older, error) ==
		-1 ||
	    value_number(object, "younger", DURATION_MAX_S, &younger, error) ==
		-1)
		return -1;
	if (json_object_get(object, "older") != NULL)
		command->act.before_ms = now_ms - (int64_t)older * 1000;
	if (json_object_get(object, "younger") != NULL)
		command->act.since_ms = now_ms - (int64_t)younger * 1000;
	return 0;
}

/* What a summary counts by. */
static int
get_by(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const names[SUMMARY_BYS] = { "destination", "domain",
		"reason", "sender", "age" };
	char word[16] = "destination";
	size_t i;

	if (value_string(object, "by", word, sizeof(word), error) == -1)
		return -1;
	for (i = 0; i < SUMMARY_BYS; i++)
		if (strcmp(word, names[i]) == 0) {
			command->act.by = (uint8_t)i;
			return 0;
		}
	return value_complain(error,
	    "\"by\" must be \"destination\", \"domain\", \"reason\", "
	    "\"sender\" or \"age\"");
}

static int
get_act(struct command *command, const json_t *object, int64_t now_ms,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const names[] = { "sender", "recipient", "reason",
		"destination", "domain", "to" };
	struct msg_act *act = &command->act;
	uint64_t after_index = 0;
	uint64_t limit =
	    act->verb == ACT_SUMMARY ? SUMMARY_DEFAULT : LIST_DEFAULT;
	bool dry = false, moves = act->verb == ACT_MOVE;

	if (get_id(object, "after", &act->after_id, error) == -1 ||
	    get_id(object, "until", &act->until_id, error) == -1 ||
	    value_number(object, "after_index", UINT32_MAX, &after_index,
		error) == -1 ||
	    value_number(object, "limit", LIST_LIMIT_MAX, &limit, error) ==
		-1 ||
	    value_flag(object, "dry_run", &dry, error) == -1 ||
	    get_states(object, &act->states, error) == -1 ||
	    get_ages(command, object, now_ms, error) == -1 ||
	    add_strings(command, object, names, NELEM(names), error) == -1 ||
	    add_ids(command, object, error) == -1)
		return -1;
	if ((json_object_get(object, "to") != NULL) != moves)
		return value_complain(error,
		    moves ? "\"to\" must name the transport to move to"
			  : "\"to\" belongs to \"move\"");
	if (act->verb == ACT_SUMMARY && get_by(command, object, error) == -1)
		return -1;
	act->limit = (uint32_t)limit;
	act->after_index = (uint32_t)after_index;
	act->dry = dry;
	return 0;
}

/* Of several members that exclude each other, the one that is there. */
static int
get_pause(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const names[] = { [PAUSE_ALL] = "all",
		[PAUSE_TRANSPORT] = "transport",
		[PAUSE_DESTINATION] = "destination",
		[PAUSE_ANY] = "name" };
	char text[MSG_HOST_SIZE] = "";
	size_t i, n = 0;

	for (i = 0; i < NELEM(names); i++) {
		if (json_object_get(object, names[i]) == NULL)
			continue;
		n++;
		command->ask.kind = (uint8_t)i;
		if (i == PAUSE_ALL
			? !json_is_true(json_object_get(object, names[i]))
			: value_string(object, names[i], text, sizeof(text),
			      error) == -1 ||
			    text[0] == '\0')
			return value_complain(error, "\"%s\" must be %s",
			    names[i], i == PAUSE_ALL ? "true" : "a name");
	}
	if (n != 1)
		return value_complain(error,
		    "what? say \"all\":true, or name a \"transport\" or a "
		    "\"destination\"");
	return add(command, text, error);
}

static int
check_address(const char *what, const char *text, bool is_sender,
    struct address *addr, char error[VALUE_ERROR_SIZE])
{
	enum address_error e = is_sender
	    ? address_parse_reverse_path(addr, text, strlen(text))
	    : address_parse_forward_path(addr, text, strlen(text));
	char quote[QUOTE_SIZE];

	if (e == ADDRESS_OK)
		return 0;
	log_escape(quote, sizeof(quote), text, strlen(text));
	return value_complain(error, "%s <%s>: %s", what, quote,
	    address_error_text(e));
}

static int
get_explain(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	char recipient[ACT_PATTERN_SIZE] = "", sender[ACT_PATTERN_SIZE] = "";
	char via[VALUE_NAME_SIZE] = "";
	struct address to, from;

	if (value_string(object, "recipient", recipient, sizeof(recipient),
		error) == -1 ||
	    value_string(object, "sender", sender, sizeof(sender), error) ==
		-1 ||
	    value_string(object, "via", via, sizeof(via), error) == -1 ||
	    check_address("recipient", recipient, false, &to, error) == -1 ||
	    check_address("sender", sender, true, &from, error) == -1 ||
	    add(command, to.path, error) == -1 ||
	    add(command, from.path, error) == -1 ||
	    add(command, via, error) == -1)
		return -1;
	return 0;
}

static int
get_tail(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	static const char *const names[] = { "recipient", "sender",
		"destination", "status" };

	return get_id(object, "id", &command->ask.id, error) == -1 ||
		add_strings(command, object, names, NELEM(names), error) == -1
	    ? -1
	    : 0;
}

static int
get_ask(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	uint64_t limit = TOP_DEFAULT;

	switch ((enum ask_what)command->ask.what) {
	case ASK_CAT:
		if (get_id(object, "id", &command->ask.id, error) == -1)
			return -1;
		if (command->ask.id == 0)
			return value_complain(error,
			    "\"id\" must be a queue id in hexadecimal");
		return 0;
	case ASK_PAUSE:
	case ASK_RESUME:
		return get_pause(command, object, error);
	case ASK_EXPLAIN:
		return get_explain(command, object, error);
	case ASK_TAIL:
		return get_tail(command, object, error);
	case ASK_TOP:
		if (value_number(object, "limit", TOP_MAX, &limit, error) == -1)
			return -1;
		command->ask.limit = (uint32_t)limit;
		return 0;
	case ASK_PAUSES:
	case ASK_COUNT:
		break;
	}
	return 0;
}

static int
get_transcripts(struct command *command, const json_t *object,
    char error[VALUE_ERROR_SIZE])
{
	return value_string(object, "name", command->name,
		   sizeof(command->name), error) == -1 ||
		value_flag(object, "whole", &command->whole, error) == -1 ||
		value_flag(object, "wait", &command->wait_for_end, error) == -1
	    ? -1
	    : 0;
}

static const struct word *
find_word(json_t *object, char error[VALUE_ERROR_SIZE])
{
	char text[16] = "";
	size_t i;

	if (value_string(object, "command", text, sizeof(text), error) == -1)
		return NULL;
	for (i = 0; i < NELEM(words); i++)
		if (strcmp(text, words[i].word) == 0)
			return &words[i];
	if (text[0] == '\0' && json_object_get(object, "rcpts") != NULL)
		(void)value_complain(error,
		    "this is the control socket: jobs are for the job socket, "
		    "which is job_socket in postern.conf(5)");
	else
		(void)value_complain(error,
		    "\"command\" must be one of those of postern-control(5)");
	return NULL;
}

int
command_parse(struct command *command, const char *text, size_t len,
    int64_t now_ms, char error[VALUE_ERROR_SIZE])
{
	const struct word *word;
	json_t *object;
	int ret = -1;

	memset(command, 0, offsetof(struct command, tail));
	object = value_object(text, len, error);
	if (object == NULL)
		return -1;
	word = find_word(object, error);
	if (word == NULL || value_members(object, word->members, error) == -1)
		goto out;
	command->question = word->question;
	command->act.verb = command->ask.what = (uint8_t)word->what;
	if (word->question == QUESTION_ACT)
		ret = get_act(command, object, now_ms, error);
	else if (word->question == QUESTION_ASK)
		ret = get_ask(command, object, error);
	else if (word->question == QUESTION_TRANSCRIPTS)
		ret = get_transcripts(command, object, error);
	else
		ret = 0;
out:
	json_decref(object);
	return ret;
}
