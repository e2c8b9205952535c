/* SPDX-License-Identifier: ISC */
/* What clients are told is JSON, whatever the message behind it holds. */
#include "master/intake/job/job_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "common/util.h"
#include "master/clients/answer.h"
#include "master/operator/reply_json.h"

/* The text of an answer as an object; the text is freed. */
static json_t *
read_back(char *text)
{
	json_error_t e;
	json_t *object;

	cr_assert_not_null(text);
	cr_expect_null(strpbrk(text, "\r\n"), "%s", text);
	object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	cr_assert_not_null(object, "%s: %s", e.text, text);
	free(text);
	return object;
}

static const char *
string(json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s != NULL ? s : "(none)";
}

static long long
number(json_t *object, const char *name)
{
	json_t *n = json_object_get(object, name);

	return json_is_integer(n) ? json_integer_value(n) : -1;
}

/* 1, 0, or -1 where there is none. */
static int
flag(json_t *object, const char *name)
{
	json_t *b = json_object_get(object, name);

	return json_is_boolean(b) ? json_is_true(b) : -1;
}

static struct message
message_of(enum msg_type type, const void *payload, const char *tail,
    size_t len)
{
	return (struct message){ .type = type,
		.payload = payload,
		.tail = (const uint8_t *)tail,
		.tail_len = len,
		.fd = -1 };
}

Test(answer, a_job_is_queued_under_its_number)
{
	json_t *o = read_back(job_answer_queued("r \"1\"", 0x4f1a09));

	cr_expect_str_eq(string(o, "status"), "queued");
	cr_expect_str_eq(string(o, "id"), "4F1A09");
	cr_expect_str_eq(string(o, "ref"), "r \"1\"");
	json_decref(o);
	o = read_back(job_answer_queued("", UINT64_MAX));
	cr_expect_str_eq(string(o, "id"), "FFFFFFFFFFFFFFFF");
	cr_expect_null(json_object_get(o, "ref"));
	json_decref(o);
}

Test(answer, a_refusal_says_why)
{
	json_t *o = read_back(
	    answer_refused("", 552, "5.3.4", "octet \x01 \"\\\" too many"));

	cr_expect_str_eq(string(o, "status"), "refused");
	cr_expect_eq(number(o, "code"), 552);
	cr_expect_str_eq(string(o, "dsn"), "5.3.4");
	cr_expect_str_eq(string(o, "error"), "octet \x01 \"\\\" too many");
	json_decref(o);
}

static const char result_tail[] = "ana@example.org\0"
				  "mx.example.org[192.0.2.1]:25\0"
				  "250 2.0.0 ok";

static const struct msg_result result = {
	.id = 255,
	.outcome = { .status = OUTCOME_DEFERRED,
	    .step = STEP_FINAL,
	    .in_doubt = 1,
	    .code = 451,
	    .dsn = "4.3.0" },
	.tls = { .on = 1,
	    .verified = 1,
	    .version = "TLSv1.3",
	    .cipher = "TLS_AES_256_GCM_SHA384" },
	.final = 1,
};

Test(answer, a_result_has_every_member_that_the_manual_names)
{
	struct message m =
	    message_of(MSG_RESULT, &result, result_tail, sizeof(result_tail));
	json_t *o = read_back(job_answer_result("r", &m)), *tls;

	cr_expect_str_eq(string(o, "ref"), "r");
	cr_expect_str_eq(string(o, "id"), "FF");
	cr_expect_str_eq(string(o, "recipient"), "ana@example.org");
	cr_expect_str_eq(string(o, "status"), "deferred");
	cr_expect_eq(number(o, "code"), 451);
	cr_expect_str_eq(string(o, "dsn"), "4.3.0");
	cr_expect_str_eq(string(o, "reply"), "250 2.0.0 ok");
	cr_expect_str_eq(string(o, "relay"), "mx.example.org[192.0.2.1]:25");
	cr_expect_str_eq(string(o, "step"), "final");
	cr_expect_eq(flag(o, "in_doubt"), 1);
	cr_expect_eq(flag(o, "final"), 1);
	tls = json_object_get(o, "tls");
	cr_expect_str_eq(string(tls, "version"), "TLSv1.3");
	cr_expect_str_eq(string(tls, "cipher"), "TLS_AES_256_GCM_SHA384");
	cr_expect_eq(flag(tls, "verified"), 1);
	cr_expect_eq(flag(tls, "resumed"), 0);
	json_decref(o);
}

Test(answer, a_result_whose_tail_is_cut_is_still_an_object)
{
	struct message m;
	json_t *o;

	for (size_t len = 0; len <= sizeof(result_tail); len++) {
		/* a copy, so that what reads beyond it is seen */
		char *tail = malloc(len + 1);

		memcpy(tail, result_tail, len);
		m = message_of(MSG_RESULT, &result, tail, len);
		o = read_back(job_answer_result("", &m));
		cr_expect_str_eq(string(o, "recipient"),
		    len >= sizeof("ana@example.org") ? "ana@example.org" : "");
		cr_expect_str_eq(string(o, "reply"),
		    len == sizeof(result_tail) ? "250 2.0.0 ok" : "");
		json_decref(o);
		free(tail);
	}
}

Test(answer, a_result_full_of_nonsense_is_still_an_object)
{
	struct msg_result r;
	struct message m;
	json_t *o;

	memset(&r, 0xff, sizeof(r)); /* no string in it has an end */
	m = message_of(MSG_RESULT, &r, "\xff\0\xc3\0\x80", 6);
	o = read_back(job_answer_result("", &m));
	cr_expect_str_eq(string(o, "status"), "status?");
	cr_expect_str_eq(string(o, "step"), "step?");
	cr_expect_str_eq(string(o, "dsn"), "");
	cr_expect(json_is_null(json_object_get(o, "tls")));
	cr_expect_null(json_object_get(o, "reply"), "what is no UTF-8 is out");
	json_decref(o);
}

Test(answer, without_tls_it_is_null)
{
	struct msg_result r = result;
	struct message m =
	    message_of(MSG_RESULT, &r, result_tail, sizeof(result_tail));
	json_t *o;

	r.tls.on = 0;
	o = read_back(job_answer_result("", &m));
	cr_expect(json_is_null(json_object_get(o, "tls")));
	json_decref(o);
}

Test(answer, the_last_answer_says_done)
{
	json_t *o = read_back(job_answer_results_end("r", NULL));

	cr_expect_eq(flag(o, "done"), 1);
	cr_expect_null(json_object_get(o, "error"));
	json_decref(o);
	o = read_back(job_answer_results_end("", "the queue ended"));
	cr_expect_eq(flag(o, "done"), 1);
	cr_expect_str_eq(string(o, "error"), "the queue ended");
	json_decref(o);
}

Test(answer, a_line_of_the_dialogue_tells_whose_it_is)
{
	static const char line[] = "250 2.0.0 \"ok\"";
	struct msg_trace t = { .from_remote = 1 };
	struct message m = message_of(MSG_TRACE, &t, line, strlen(line));
	json_t *o = read_back(job_answer_trace(&m));

	cr_expect_str_eq(string(o, "from"), "remote");
	cr_expect_str_eq(string(o, "line"), line);
	json_decref(o);
	t.from_remote = 0;
	m = message_of(MSG_TRACE, &t, "\xff\0", 2);
	o = read_back(job_answer_trace(&m));
	cr_expect_str_eq(string(o, "from"), "us");
	json_decref(o);
}

Test(answer, a_process_is_told_with_its_layers)
{
	static const char layers[] = "uid=1 groups=none";
	struct msg_status s = { .role = ROLE_RESOLVER,
		.pid = 412,
		.restarts = 2,
		.last = 1,
		.since_s = 1700000000 };
	struct message m = message_of(MSG_STATUS, &s, layers, strlen(layers));
	json_t *o = read_back(reply_json_status(&m));

	cr_expect_str_eq(string(o, "role"), "resolver");
	cr_expect_eq(number(o, "pid"), 412);
	cr_expect_eq(number(o, "restarts"), 2);
	cr_expect_eq(number(o, "since"), 1700000000);
	cr_expect_str_eq(string(o, "layers"), layers);
	cr_expect_eq(flag(o, "done"), 1);
	json_decref(o);
	s = (struct msg_status){ 0 };
	m = message_of(MSG_STATUS, &s, NULL, 0);
	o = read_back(reply_json_status(&m));
	cr_expect_str_eq(string(o, "role"), "role?");
	cr_expect_null(json_object_get(o, "since"));
	cr_expect_eq(flag(o, "done"), 0);
	json_decref(o);
}

static const char listed_tail[] = "me@example.com\0ana@example.org\0"
				  "mx[192.0.2.1]:25\0"
				  "451 later\0r1";

Test(answer, a_recipient_of_the_queue_is_listed)
{
	struct msg_listed l = { .id = 16,
		.size = 4096,
		.arrived_ms = 1000,
		.next_ms = 2000,
		.index = 3,
		.attempts = 1,
		.state = RECIPIENT_DEFERRED,
		.outcome = { .status = OUTCOME_DEFERRED,
		    .step = STEP_RCPT,
		    .code = 451,
		    .dsn = "4.2.0" },
		.uid = 1000 };
	struct message m =
	    message_of(MSG_LISTED, &l, listed_tail, sizeof(listed_tail));
	json_t *o = read_back(reply_json_listed(&m)), *last;

	cr_expect_str_eq(string(o, "id"), "10");
	cr_expect_eq(number(o, "index"), 3);
	cr_expect_str_eq(string(o, "from"), "me@example.com");
	cr_expect_str_eq(string(o, "recipient"), "ana@example.org");
	cr_expect_eq(number(o, "size"), 4096);
	cr_expect_eq(number(o, "uid"), 1000);
	cr_expect_eq(number(o, "arrived_ms"), 1000);
	cr_expect_eq(number(o, "next_ms"), 2000);
	cr_expect_str_eq(string(o, "state"), "deferred");
	cr_expect_eq(flag(o, "in_doubt"), 0);
	cr_expect_eq(number(o, "attempts"), 1);
	cr_expect_str_eq(string(o, "ref"), "r1");
	last = json_object_get(o, "last");
	cr_expect_str_eq(string(last, "step"), "rcpt");
	cr_expect_str_eq(string(last, "reply"), "451 later");
	json_decref(o);
	l.attempts = 0; /* it was decided before any session */
	o = read_back(reply_json_listed(&m));
	last = json_object_get(o, "last");
	cr_expect_str_eq(string(last, "dsn"), "4.2.0");
	json_decref(o);
	l.outcome.dsn[0] = '\0'; /* nothing was decided yet */
	l.state = RECIPIENT_STATES;
	m = message_of(MSG_LISTED, &l, "a", 1);
	o = read_back(reply_json_listed(&m));
	cr_expect_str_eq(string(o, "state"), "state?");
	cr_expect_str_eq(string(o, "from"), "");
	cr_expect_null(json_object_get(o, "last"));
	cr_expect_null(json_object_get(o, "ref"));
	json_decref(o);
}

Test(answer, a_list_ends_with_the_counts_of_every_state)
{
	struct msg_list_end e = { .counts = { 1, 2, 3, 4, 5, 6 },
		.sessions = 7,
		.more = 1 };
	struct message m = message_of(MSG_LIST_END, &e, NULL, 0);
	json_t *o = read_back(reply_json_list_end(&m)), *counts;

	counts = json_object_get(o, "counts");
	cr_expect_eq(json_object_size(counts), RECIPIENT_STATES);
	cr_expect_eq(number(counts, "queued"), 1);
	cr_expect_eq(number(counts, "active"), 2);
	cr_expect_eq(number(counts, "delivered"), 3);
	cr_expect_eq(number(counts, "deferred"), 4);
	cr_expect_eq(number(counts, "failed"), 5);
	cr_expect_eq(number(counts, "held"), 6);
	cr_expect_eq(number(o, "sessions"), 7);
	cr_expect_eq(flag(o, "more"), 1);
	cr_expect_eq(flag(o, "done"), 1);
	json_decref(o);
}
