/* SPDX-License-Identifier: ISC */
/* Rows of a stream that a queue would choke on. */
#include "master/queue/archive_row.h"

#include <criterion/criterion.h>

#include "common/util.h"

static const char good_message[] =
    "{'id':1048576,'created':1,'size':1,'flags':0,'uid':0,'nrcpts':2,"
    "'reverse_path':'a@b.example','parameters':'','ref':'','via':'',"
    "'in_file':0,'deadline':null}";
static const char good_recipient[] =
    "{'message':1048576,'idx':1,'address':'c@D.example','domain':'d.example',"
    "'state':0,'next_attempt':1,'attempts':0,'lane':4294967295,"
    "'parameters':'NOTIFY=NEVER','dsn':null}";

static json_t *
parse(const char *text)
{
	char copy[1024];
	json_t *object;
	size_t i;

	for (i = 0; text[i] != '\0' && i < sizeof(copy) - 1; i++)
		copy[i] = text[i] == '\'' ? '"' : text[i];
	copy[i] = '\0';
	object = json_loads(copy, 0, NULL);
	cr_assert_neq(object, NULL, "%s", copy);
	return object;
}

/* The good ones, with what is changed in each. */
static const char *
refused(const char *of_message, const char *of_recipient)
{
	static char why[ARCHIVE_WHY_SIZE];
	json_t *message = parse(good_message);
	json_t *recipient = parse(good_recipient);
	json_t *recipients = json_array();
	json_t *changes;
	const char *answer;

	changes = parse(of_message);
	cr_assert_eq(json_object_update(message, changes), 0);
	json_decref(changes);
	changes = parse(of_recipient);
	cr_assert_eq(json_object_update(recipient, changes), 0);
	json_decref(changes);
	cr_assert_eq(json_array_append_new(recipients, recipient), 0);
	answer = archive_row_refuse(message, recipients, why);
	json_decref(message);
	json_decref(recipients);
	return answer;
}

Test(archive_row, one_of_our_own_is_taken)
{
	cr_expect_eq(refused("{}", "{}"), NULL, "%s", refused("{}", "{}"));
	cr_expect_eq(refused("{}", "{'state':5,'next_attempt':null}"), NULL);
	cr_expect_eq(refused("{}", "{'state':1,'next_attempt':null}"), NULL);
	cr_expect_eq(refused("{'remind':7}", "{'state':3}"), NULL);
}

Test(archive_row, what_would_stop_the_queue_is_not)
{
	static const struct {
		const char *message;
		const char *recipient;
	} cases[] = {
		{ "{'id':9223372036854775807}", "{}" }, /* no id is left */
		{ "{'nrcpts':4294967295}", "{}" },
		{ "{'nrcpts':1}", "{}" }, /* its recipient is the second */
		{ "{'in_file':'1'}", "{}" },
		{ "{'created':-1}", "{}" },
		{ "{'reverse_path':'a\\nb@c.example'}", "{}" },
		{ "{'parameters':'RET=SOME'}", "{}" },
		{ "{}", "{'lane':4294967296}" }, /* a scan would not end */
		{ "{}", "{'state':6}" },
		{ "{}", "{'state':'0'}" },
		{ "{}", "{'next_attempt':null}" }, /* never tried */
		{ "{}", "{'state':5}" },
		{ "{}", "{'domain':'e.example'}" },
		{ "{}", "{'address':'','domain':''}" },
		{ "{}", "{'parameters':'NOTIFY=x'}" },
		{ "{}", "{'idx':2}" },
	};
	size_t i;

	for (i = 0; i < NELEM(cases); i++)
		cr_expect_neq(refused(cases[i].message, cases[i].recipient),
		    NULL, "%s %s", cases[i].message, cases[i].recipient);
}
