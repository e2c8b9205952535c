/* SPDX-License-Identifier: ISC */
#include "agent/session/sasl.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#define S "\1"

static char response[SASL_RESPONSE_SIZE];

static const struct sasl_login pencil = { "user", "", "pencil", "host", NULL };

static void
warm_up(void)
{
	cr_assert_eq(sasl_warm_up(), 0);
}

TestSuite(sasl, .init = warm_up);

static int
step(const char *challenge)
{
	return sasl_client_step((const uint8_t *)challenge, strlen(challenge),
	    response);
}

static const struct {
	const char *message;
	int32_t want;
} iteration_cases[] = {
	{ "r=abc,s=def,i=4096", 4096 },
	{ "i=1", 1 },
	{ "i=4096,r=abc", 4096 },
	{ "r=i=5,s=x,i=7,x=y", 7 },
	{ "r=a,s=b,i=2147483647", 2147483647 },
	{ "r=a,s=b,i=2147483648", -1 },
	{ "r=a,s=b,i=18446744073709555712", -1 },
	{ "r=a,s=b,i=", -1 },
	{ "r=a,s=b,i=0", -1 },
	{ "r=a,s=b,i=-4096", -1 },
	{ "r=a,s=b,i=+4096", -1 },
	{ "r=a,s=b,i= 4096", -1 },
	{ "r=a,s=b,i=4096 ", -1 },
	{ "r=a,s=b,i=4096,i=4096", -1 },
	{ "r=a,s=b,I=4096", -1 },
	{ "r=a,s=b", -1 },
	{ "", -1 },
	{ ",,,", -1 },
	{ "i", -1 },
};

Test(sasl, iterations_are_one_number)
{
	for (size_t i = 0;
	     i < sizeof(iteration_cases) / sizeof(iteration_cases[0]); i++)
		cr_expect_eq(sasl_text_iterations(iteration_cases[i].message,
				 strlen(iteration_cases[i].message)),
		    iteration_cases[i].want, "%s", iteration_cases[i].message);
}

static const struct {
	enum auth_mechanism mechanism;
	const char *user, *authzid, *secret, *host;
	const char *want; /* NULL: refused */
} bearer_cases[] = {
	{ AUTH_MECHANISM_OAUTHBEARER, "u@a.org", "", "tok", "mx",
	    "n,a=u@a.org," S "host=mx" S "auth=Bearer tok" S S },
	{ AUTH_MECHANISM_OAUTHBEARER, "u", "boss", "tok", "",
	    "n,a=boss," S "auth=Bearer tok" S S },
	{ AUTH_MECHANISM_OAUTHBEARER, "a,b=c", "", "tok", "",
	    "n,a=a=2Cb=3Dc," S "auth=Bearer tok" S S },
	{ AUTH_MECHANISM_XOAUTH2, "u", "boss", "to.k/+=", "mx",
	    "user=u" S "auth=Bearer to.k/+=" S S },
	{ AUTH_MECHANISM_XOAUTH2, "u", "", "", "mx", NULL },
	{ AUTH_MECHANISM_XOAUTH2, "u", "", "to k", "mx", NULL },
	{ AUTH_MECHANISM_XOAUTH2, "u", "", "tok" S, "mx", NULL },
	{ AUTH_MECHANISM_XOAUTH2, "u", "", "tok\r\nRSET", "mx", NULL },
	{ AUTH_MECHANISM_XOAUTH2, "u" S "x", "", "tok", "mx", NULL },
	{ AUTH_MECHANISM_OAUTHBEARER, "u", "a" S, "tok", "mx", NULL },
	{ AUTH_MECHANISM_OAUTHBEARER, "u", "", "tok", "mx" S, NULL },
	{ AUTH_MECHANISM_OAUTHBEARER, "u", "", "t\xc3\xb6k", "mx", NULL },
};

Test(sasl, a_token_travels_in_its_form_or_not_at_all)
{
	struct sasl_login login = { 0 };
	char out[256];
	size_t n;

	for (size_t i = 0; i < sizeof(bearer_cases) / sizeof(bearer_cases[0]);
	     i++) {
		login.user = bearer_cases[i].user;
		login.authzid = bearer_cases[i].authzid;
		login.secret = bearer_cases[i].secret;
		login.host = bearer_cases[i].host;
		n = sasl_text_write_bearer(bearer_cases[i].mechanism, &login,
		    out, sizeof(out));
		if (bearer_cases[i].want == NULL)
			cr_expect_eq(n, 0, "case %zu", i);
		else
			cr_expect_str_eq(out, bearer_cases[i].want);
		for (size_t size = 0; size < n; size++)
			cr_expect_eq(
			    sasl_text_write_bearer(bearer_cases[i].mechanism,
				&login, out, size),
			    0, "size %zu of case %zu", size, i);
	}
}

Test(sasl, all_mechanisms_of_the_table_are_there)
{
	for (unsigned int i = 0; i < AUTH_MECHANISM_COUNT; i++)
		cr_expect(sasl_has((enum auth_mechanism)i), "%s",
		    auth_mechanism_name((enum auth_mechanism)i));
}

Test(sasl, plain_says_all_at_once_and_nothing_more)
{
	cr_assert_eq(sasl_client_start(AUTH_MECHANISM_PLAIN, &pencil), 0);
	cr_expect(!sasl_client_is_done());
	cr_assert_eq(step(""), 0);
	cr_expect_str_eq(response, "AHVzZXIAcGVuY2ls");
	cr_expect(sasl_client_is_done());
	cr_expect_eq(step("bW9yZQ=="), -1);
	sasl_client_stop();
	cr_expect(!sasl_client_is_done());
}

Test(sasl, login_is_done_behind_the_password)
{
	cr_assert_eq(sasl_client_start(AUTH_MECHANISM_LOGIN, &pencil), 0);
	cr_assert_eq(step("VXNlcm5hbWU6"), 0);
	cr_expect_str_eq(response, "dXNlcg==");
	cr_expect(!sasl_client_is_done());
	cr_assert_eq(step("not base64!"), 0);
	cr_expect_str_eq(response, "cGVuY2ls");
	cr_expect(sasl_client_is_done());
	cr_expect_eq(step(""), -1);
	sasl_client_stop();
}

Test(sasl, scram_draws_a_nonce_for_each_login)
{
	char first[SASL_RESPONSE_SIZE];

	cr_assert_eq(sasl_client_start(AUTH_MECHANISM_SCRAM_SHA_256, &pencil),
	    0);
	cr_assert_eq(step(""), 0);
	memcpy(first, response, sizeof(first));
	cr_expect(!sasl_client_is_done());
	cr_assert_eq(sasl_client_start(AUTH_MECHANISM_SCRAM_SHA_256, &pencil),
	    0);
	cr_assert_eq(step(""), 0);
	cr_expect_str_neq(first, response);
	/* r=x,s=y,i=4096: the nonce is not ours */
	cr_expect_eq(step("cj14LHM9eSxpPTQwOTY="), -1);
	cr_expect(!sasl_client_is_done());
	sasl_client_stop();
}

Test(sasl, plus_needs_a_channel_to_bind_to)
{
	const struct sasl_binding none = { 0 };
	struct sasl_login login = pencil;

	cr_expect_eq(
	    sasl_client_start(AUTH_MECHANISM_SCRAM_SHA_256_PLUS, &login), -1);
	login.binding = &none;
	cr_expect_eq(sasl_client_start(AUTH_MECHANISM_SCRAM_SHA_1_PLUS, &login),
	    -1);
	cr_expect_str_eq(sasl_client_error(), "there is no TLS to bind to");
	sasl_client_stop();
}

Test(sasl, what_is_too_long_for_a_line_is_not_said)
{
	static char secret[AUTH_SECRET_MAX + 2];
	struct sasl_login login = pencil;

	memset(secret, 'x', AUTH_SECRET_MAX);
	login.secret = secret;
	cr_assert_eq(sasl_client_start(AUTH_MECHANISM_OAUTHBEARER, &login), 0);
	cr_expect_eq(step(""), 0);
	cr_expect_lt(strlen(response) + 2, 12288);
	sasl_client_stop();
}
