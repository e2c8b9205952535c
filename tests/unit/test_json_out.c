/* SPDX-License-Identifier: ISC */
#include "common/json_out.h"

#include <string.h>

#include <criterion/criterion.h>

static char text[256];

Test(json_out, members_of_every_kind_stand_in_their_order)
{
	struct json_out out;

	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "s", "a\"b\\c\n\x01");
	json_out_number(&out, "n", -5);
	json_out_bool(&out, "t", true);
	json_out_list(&out, "l");
	json_out_number(&out, NULL, 1);
	json_out_object(&out, NULL);
	json_out_string(&out, "k", "");
	json_out_close(&out);
	json_out_close(&out);
	json_out_bool(&out, "f", false);
	cr_expect(json_out_end(&out));
	cr_expect_str_eq(text,
	    "{\"s\":\"a\\\"b\\\\c\\u000a\\u0001\",\"n\":-5,\"t\":true,"
	    "\"l\":[1,{\"k\":\"\"}],\"f\":false}");
}

Test(json_out, utf8_stays_and_other_octets_do_not)
{
	struct json_out out;

	json_out_begin(&out, text, sizeof(text));
	json_out_string(&out, "u", "\xc3\xa9\xff");
	cr_expect(json_out_end(&out));
	cr_expect_str_eq(text, "{\"u\":\"\xc3\xa9\\u00ff\"}");
}

/* At every size it is an object, and says whether all of it is there. */
Test(json_out, what_does_not_fit_is_left_out_whole)
{
	struct json_out out;
	size_t size, last = 0;
	bool whole;

	for (size = 32; size < 120; size++) {
		memset(text, 'x', sizeof(text));
		json_out_begin(&out, text, size);
		json_out_string(&out, "first", "a string of words");
		json_out_list(&out, "list");
		json_out_number(&out, NULL, 123456);
		json_out_object(&out, NULL);
		json_out_bool(&out, "inside", true);
		json_out_close(&out);
		json_out_close(&out);
		json_out_bool(&out, "last", true);
		whole = json_out_end(&out);
		cr_expect_lt(strlen(text), size);
		cr_expect_eq(text[0], '{');
		cr_expect_eq(text[strlen(text) - 1], '}');
		cr_expect_eq(whole,
		    strcmp(text,
			"{\"first\":\"a string of words\",\"list\":[123456,"
			"{\"inside\":true}],\"last\":true}") == 0,
		    "%zu: %s", size, text);
		cr_expect_null(strstr(text, ",}"));
		cr_expect_null(strstr(text, ",,"));
		last = whole ? last + 1 : last;
	}
	cr_expect_gt(last, 0);
}
