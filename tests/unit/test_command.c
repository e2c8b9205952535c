/* SPDX-License-Identifier: ISC */
/* What may be said on the control socket, and what not. */
#include "master/operator/command.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define NOW_MS 1000000000LL

static char error[VALUE_ERROR_SIZE];
static struct command command;

static int
ask(const char *text)
{
	return command_parse(&command, text, strlen(text), NOW_MS, error);
}

/* The string of the tail at a place. */
static const char *
tail(size_t n)
{
	size_t at = 0;

	for (; n > 0 && at < command.tail_len; n--)
		at += strlen(command.tail + at) + 1;
	return at < command.tail_len ? command.tail + at : "(none)";
}

struct bad {
	const char *text;
	const char *part;
};

static const struct {
	const char *text;
	enum command_question question;
	unsigned what;
} asked[] = {
	{ "{\"command\":\"status\"}", QUESTION_STATUS, 0 },
	{ "{\"command\":\"transcripts\",\"wait\":true}", QUESTION_TRANSCRIPTS,
	    0 },
	{ "{\"command\":\"stop\"}", QUESTION_STOP, 0 },
	{ "{\"command\":\"list\"}", QUESTION_ACT, ACT_LIST },
	{ "{\"command\":\"hold\"}", QUESTION_ACT, ACT_HOLD },
	{ "{\"command\":\"release\"}", QUESTION_ACT, ACT_RELEASE },
	{ "{\"command\":\"retry\"}", QUESTION_ACT, ACT_RETRY },
	{ "{\"command\":\"delete\"}", QUESTION_ACT, ACT_DELETE },
	{ "{\"command\":\"expire\"}", QUESTION_ACT, ACT_EXPIRE },
	{ "{\"command\":\"move\",\"to\":\"b\"}", QUESTION_ACT, ACT_MOVE },
	{ "{\"command\":\"summary\",\"by\":\"age\"}", QUESTION_ACT,
	    ACT_SUMMARY },
	{ "{\"command\":\"pauses\"}", QUESTION_ASK, ASK_PAUSES },
	{ "{\"command\":\"top\"}", QUESTION_ASK, ASK_TOP },
	{ "{\"command\":\"tail\"}", QUESTION_ASK, ASK_TAIL },
};

Test(command, each_word_is_one_question)
{
	for (size_t i = 0; i < NELEM(asked); i++) {
		cr_assert_eq(ask(asked[i].text), 0, "%s: %s", asked[i].text,
		    error);
		cr_expect_eq(command.question, asked[i].question);
		if (asked[i].question == QUESTION_ACT)
			cr_expect_eq(command.act.verb, asked[i].what);
		if (asked[i].question == QUESTION_ASK)
			cr_expect_eq(command.ask.what, asked[i].what);
	}
}

Test(command, a_selection_is_read)
{
	cr_assert_eq(ask("{\"command\":\"move\",\"to\":\"relay\","
			 "\"sender\":\"<>\",\"recipient\":\"*@b\","
			 "\"reason\":\"4.7.*\",\"destination\":\"d\","
			 "\"domain\":\"e\",\"states\":[\"held\",\"queued\"],"
			 "\"older\":3600,\"younger\":7200,\"until\":\"ff\","
			 "\"ids\":[\"4F1A09\",\"a\"],\"dry_run\":true,"
			 "\"limit\":7}"),
	    0, "%s", error);
	cr_expect_eq(command.act.states,
	    1 << RECIPIENT_HELD | 1 << RECIPIENT_QUEUED);
	cr_expect_eq(command.act.before_ms, NOW_MS - 3600000);
	cr_expect_eq(command.act.since_ms, NOW_MS - 7200000);
	cr_expect_eq(command.act.until_id, 255);
	cr_expect_eq(command.act.limit, 7);
	cr_expect_eq(command.act.dry, 1);
	cr_expect_str_eq(tail(0), "<>");
	cr_expect_str_eq(tail(1), "*@b");
	cr_expect_str_eq(tail(2), "4.7.*");
	cr_expect_str_eq(tail(3), "d");
	cr_expect_str_eq(tail(4), "e");
	cr_expect_str_eq(tail(5), "relay");
	cr_expect_str_eq(tail(6), "4F1A09");
	cr_expect_str_eq(tail(7), "a");
	cr_expect_str_eq(tail(8), "(none)");
}

Test(command, a_page_of_a_list_is_read)
{
	cr_assert_eq(ask("{\"command\":\"list\",\"id\":\"\",\"after\":\"ff\","
			 "\"after_index\":4294967295,\"limit\":1000}"),
	    0, "%s", error);
	cr_expect_eq(command.act.after_id, 255);
	cr_expect_eq(command.act.after_index, UINT32_MAX);
	cr_expect_eq(command.act.limit, 1000);
	cr_expect_str_eq(tail(6), "(none)");
}

Test(command, all_ids_that_are_allowed_fit)
{
	static char text[32 + ACT_IDS_MAX * 20];
	size_t n, i;

	n = (size_t)snprintf(text, sizeof(text),
	    "{\"command\":\"list\",\"ids\":[");
	for (i = 0; i < ACT_IDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "%s\"7FFFFFFFFFFFFFF%zX\"", i > 0 ? "," : "", i % 16);
	(void)snprintf(text + n, sizeof(text) - n, "]}");
	cr_expect_eq(ask(text), 0, "%s", error);
}

Test(command, addresses_to_explain_are_made_plain)
{
	cr_assert_eq(ask("{\"command\":\"explain\",\"recipient\":"
			 "\"<ana@EXAMPLE.org>\",\"via\":\"relay\"}"),
	    0, "%s", error);
	cr_expect_str_eq(tail(0), "ana@EXAMPLE.org");
	cr_expect_str_eq(tail(1), "");
	cr_expect_str_eq(tail(2), "relay");
}

#define LIST "{\"command\":\"list\","

static const struct bad bad_questions[] = {
	{ "", "no JSON" },
	{ "[7]", "must be a JSON object" },
	{ "{}", "\"command\" must be one of those" },
	{ "{\"command\":\"halt\"}", "\"command\" must be one of those" },
	{ "{\"command\":\"stop\",\"id\":\"1\"}", "\"id\" is not known here" },
	{ "{\"from\":\"\",\"rcpts\":[\"a@b\"]}",
	    "this is the control socket: jobs are for the job socket, which "
	    "is job_socket in postern.conf(5)" },
	{ "{\"command\":1}", "\"command\" must be a string" },
	{ "{\"command\":\"a much longer word\"}", "\"command\" is longer" },
	{ LIST "\"hint\":1}", "\"hint\" is not known here" },
	{ LIST "\"id\":12}", "\"id\" must be a string" },
	{ LIST "\"id\":\"xyz\"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\"0\"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\"-1\"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\" 1\"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\"1 \"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\"0x1F\"}", "\"id\" must be a queue id" },
	{ LIST "\"id\":\"10000000000000000\"}", "\"id\" must be a queue id" },
	{ LIST "\"after\":\"g\"}", "\"after\" must be a queue id" },
	{ LIST "\"after_index\":-1}", "from 0 to 4294967295" },
	{ LIST "\"after_index\":4294967296}", "from 0 to 4294967295" },
	{ LIST "\"limit\":1001}", "from 0 to 1000" },
	{ LIST "\"limit\":1.5}", "a whole number" },
	{ LIST "\"limit\":\"5\"}", "a whole number" },
	{ LIST "\"limit\":99999999999999999999}", "no JSON" },
	{ LIST "\"domain\":[]}", "\"domain\" must be a string" },
	{ LIST "\"id\":\"FFFFFFFFFFFFFFFF\"}", "\"id\" must be a queue id" },
	{ LIST "\"ids\":[]}", "\"ids\" must be a list" },
	{ LIST "\"ids\":\"1\"}", "\"ids\" must be a list" },
	{ LIST "\"ids\":[1]}", "\"ids\" must hold strings" },
	{ LIST "\"ids\":[\"1\",\"\"]}", "must be a queue id" },
	{ LIST "\"states\":[]}", "\"states\" must be a list" },
	{ LIST "\"states\":[\"gone\"]}", "\"states\" must hold" },
	{ LIST "\"states\":[\"delivered\"]}", "\"states\" must hold" },
	{ LIST "\"states\":[[]]}", "\"states\" must hold" },
	{ LIST "\"older\":-1}", "\"older\" must be a whole number" },
	{ LIST "\"older\":99999999999}", "\"older\" must be a whole number" },
	{ LIST "\"to\":\"x\"}", "\"to\" belongs to \"move\"" },
	{ "{\"command\":\"move\"}", "\"to\" must name" },
	{ "{\"command\":\"cat\"}", "must be a queue id" },
	{ "{\"command\":\"cat\",\"id\":\"0\"}", "must be a queue id" },
	{ "{\"command\":\"pause\"}", "what?" },
	{ "{\"command\":\"pause\",\"all\":false}", "\"all\" must be true" },
	{ "{\"command\":\"pause\",\"transport\":\"\"}", "must be a name" },
	{ "{\"command\":\"pause\",\"all\":true,\"transport\":\"a\"}", "what?" },
	{ "{\"command\":\"explain\"}", "recipient <>" },
	{ "{\"command\":\"explain\",\"recipient\":\"a@\"}", "recipient <a@>" },
	{ "{\"command\":\"explain\",\"recipient\":\"a@b.c\",\"sender\":\"x y\"}",
	    "sender <x y>" },
	{ "{\"command\":\"top\",\"limit\":101}", "from 0 to 100" },
};

Test(command, a_bad_question_is_refused_with_one_clear_sentence)
{
	for (size_t i = 0; i < NELEM(bad_questions); i++) {
		error[0] = '\0';
		cr_expect_eq(ask(bad_questions[i].text), -1, "%s",
		    bad_questions[i].text);
		cr_expect_not_null(strstr(error, bad_questions[i].part),
		    "%s: %s", bad_questions[i].text, error);
	}
}
