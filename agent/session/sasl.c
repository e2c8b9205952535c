/* SPDX-License-Identifier: ISC */
/*
 * The SASL client over libgsasl.  In a worker nothing here may lead to a system
 * call but getrandom(): the library draws its nonces by it, at each login anew.
 */
#include "agent/session/sasl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gsasl.h>

#include "common/util.h"

/* Made by the agent, shared by all its workers. */
static Gsasl *library;

/* Of a worker: one login at a time. */
static Gsasl_session *client;
static enum auth_mechanism client_mechanism;
static unsigned int client_steps;
static bool client_done;
static char client_error[160];
/* Our own mechanisms; not touched, and so no memory, where it is another. */
static char client_bearer[AUTH_SECRET_MAX + 4 * AUTH_USER_MAX + 64];
static size_t client_bearer_len;

static bool
is_bearer(enum auth_mechanism mechanism)
{
	return mechanism == AUTH_MECHANISM_OAUTHBEARER ||
	    mechanism == AUTH_MECHANISM_XOAUTH2;
}

static bool
is_scram(enum auth_mechanism mechanism)
{
	return mechanism == AUTH_MECHANISM_SCRAM_SHA_1 ||
	    mechanism == AUTH_MECHANISM_SCRAM_SHA_256 ||
	    auth_mechanism_is_bound(mechanism);
}

static int
fail(const char *why)
{
	strlcpy(client_error, why, sizeof(client_error));
	return -1;
}

static int
fail_by_library(int error)
{
	const char *why = gsasl_strerror(error);

	if (error == GSASL_AUTHENTICATION_ERROR && is_scram(client_mechanism))
		why = "the server did not prove that it knows the password";
	return fail(why != NULL ? why : "libgsasl fails");
}

bool
sasl_has(enum auth_mechanism mechanism)
{
	return is_bearer(mechanism) ||
	    gsasl_client_support_p(library, auth_mechanism_name(mechanism)) ==
	    1;
}

bool
sasl_keeps_secret(enum auth_mechanism mechanism)
{
	return is_scram(mechanism) || mechanism == AUTH_MECHANISM_CRAM_MD5;
}

/* What the library allocated, and may hold a secret. */
static void
wipe(char *octets, size_t n)
{
	if (octets == NULL)
		return;
	explicit_bzero(octets, n);
	gsasl_free(octets);
}

static void
wipe_property(Gsasl_property property)
{
	const char *value = gsasl_property_fast(client, property);

	/* It is the session's own copy, which it frees as it is. */
	if (value != NULL)
		explicit_bzero((char *)(uintptr_t)value, strlen(value));
}

void
sasl_client_stop(void)
{
	if (client != NULL) {
		wipe_property(GSASL_PASSWORD);
		wipe_property(GSASL_SCRAM_SALTED_PASSWORD);
		gsasl_finish(client);
		client = NULL;
	}
	if (client_bearer_len > 0)
		explicit_bzero(client_bearer, sizeof(client_bearer));
	client_bearer_len = 0;
	client_done = false;
	client_steps = 0;
}

static int
bind_channel(const struct sasl_binding *binding)
{
	char *text = NULL;
	size_t n;

	if (binding == NULL || binding->len == 0)
		return fail("there is no TLS to bind to");
	if (gsasl_base64_to((const char *)binding->octets, binding->len, &text,
		&n) != GSASL_OK)
		return fail("out of memory");
	gsasl_property_set(client,
	    binding->exporter ? GSASL_CB_TLS_EXPORTER : GSASL_CB_TLS_UNIQUE,
	    text);
	gsasl_free(text);
	return 0;
}

static int
start_bearer(const struct sasl_login *login)
{
	client_bearer_len = sasl_text_write_bearer(client_mechanism, login,
	    client_bearer, sizeof(client_bearer));
	return client_bearer_len > 0
	    ? 0
	    : fail("the token, or the user, holds what it may not");
}

int
sasl_client_start(enum auth_mechanism mechanism, const struct sasl_login *login)
{
	int error;

	sasl_client_stop();
	client_error[0] = '\0';
	client_mechanism = mechanism;
	if (is_bearer(mechanism))
		return start_bearer(login);
	error = gsasl_client_start(library, auth_mechanism_name(mechanism),
	    &client);
	if (error != GSASL_OK) {
		client = NULL;
		return fail_by_library(error);
	}
	gsasl_property_set(client, GSASL_AUTHID, login->user);
	if (login->authzid[0] != '\0')
		gsasl_property_set(client, GSASL_AUTHZID, login->authzid);
	if (auth_mechanism_needs(mechanism) == AUTH_SECRET_PASSWORD)
		gsasl_property_set(client, GSASL_PASSWORD, login->secret);
	/* Where no PLUS is offered, RFC 5802, 6, has us say that we could be
	 * bound; libgsasl 2.2.0 fails where it is to say so. */
	return auth_mechanism_is_bound(mechanism) ? bind_channel(login->binding)
						  : 0;
}

/* Octets in base64, with what they are encoded from wiped. */
static int
write_response(char *octets, size_t n, char *response)
{
	char *text = NULL;
	size_t len = 0;
	int ret = -1;

	response[0] = '\0';
	if (n == 0)
		return 0;
	if (gsasl_base64_to(octets, n, &text, &len) != GSASL_OK)
		return fail("out of memory");
	if (len < SASL_RESPONSE_SIZE) {
		memcpy(response, text, len);
		response[len] = '\0';
		ret = 0;
	} else {
		(void)fail("what is to be said is too long for a line");
	}
	wipe(text, len);
	return ret;
}

/* All of it at once; a challenge behind that is the server's complaint in JSON,
 * which OAUTHBEARER answers with one octet, XOAUTH2 with none. */
static int
step_bearer(char *response)
{
	char kvsep[] = "\1";

	client_steps++;
	client_done = client_steps == 1;
	if (client_steps == 1)
		return write_response(client_bearer, client_bearer_len,
		    response);
	if (client_steps > 2)
		return fail("the server asks again and again");
	return write_response(kvsep,
	    client_mechanism == AUTH_MECHANISM_OAUTHBEARER, response);
}

/* A count that we would not survive, or our password, ends it here. */
static int
check_iterations(const char *message, size_t n)
{
	int32_t count = sasl_text_iterations(message, n);

	if (count == -1)
		return fail("the server sends no number of iterations");
	if (count > SASL_ITERATIONS_MOST)
		return fail("the server asks for too many iterations");
	if (count < SASL_ITERATIONS_LEAST)
		return fail("the server asks for so few iterations that the "
			    "password could be guessed");
	return 0;
}

static int
decode(const uint8_t *challenge, size_t n, char **octets, size_t *len)
{
	*octets = NULL;
	*len = 0;
	if (n == 0)
		return 0;
	if (gsasl_base64_from((const char *)challenge, n, octets, len) ==
	    GSASL_OK)
		return 0;
	*octets = NULL;
	return fail("the challenge is not base64");
}

/* PLAIN and LOGIN do not look at what they are asked: too many servers ask in
 * words, against RFC 4954, 4. */
static bool
reads_challenges(void)
{
	return client_mechanism != AUTH_MECHANISM_PLAIN &&
	    client_mechanism != AUTH_MECHANISM_LOGIN;
}

int
sasl_client_step(const uint8_t *challenge, size_t n, char *response)
{
	char *in = NULL, *out = NULL;
	size_t in_len = 0, out_len = 0;
	int error, ret = -1;

	if (reads_challenges() && decode(challenge, n, &in, &in_len) == -1)
		return -1;
	if (is_bearer(client_mechanism)) {
		gsasl_free(in);
		return step_bearer(response);
	}
	client_steps++;
	if (is_scram(client_mechanism) && client_steps == 2 &&
	    check_iterations(in, in_len) == -1)
		goto out;
	if (client_done) {
		(void)fail("the server asks for more than there is to say");
		goto out;
	}
	error = gsasl_step(client, in, in_len, &out, &out_len);
	if (error != GSASL_OK && error != GSASL_NEEDS_MORE) {
		(void)fail_by_library(error);
		goto out;
	}
	client_done = error == GSASL_OK;
	ret = write_response(out, out_len, response);
out:
	gsasl_free(in);
	wipe(out, out_len);
	return ret;
}

bool
sasl_client_is_done(void)
{
	return client_done;
}

const char *
sasl_client_error(void)
{
	return client_error;
}

/* One login with a server that asks SCRAM for what none would accept: all of it
 * was allocated, computed and freed once. */
static int
warm_up(enum auth_mechanism mechanism)
{
	static const struct sasl_binding binding = { true, 32, { 0 } };
	const struct sasl_login login = { "user", "", "password", "host",
		&binding };
	static char response[SASL_RESPONSE_SIZE];
	static const uint8_t challenge[] = "PDFAaG9zdD4=";
	size_t n =
	    auth_mechanism_is_client_first(mechanism) ? 0 : sizeof(challenge);

	if (n > 0)
		n--; /* its NUL */
	if (sasl_client_start(mechanism, &login) == -1 ||
	    sasl_client_step(challenge, n, response) == -1)
		return -1;
	/* The way of failure, too; what comes of it is no matter. */
	(void)sasl_client_step(challenge, sizeof(challenge) - 1, response);
	sasl_client_stop();
	return 0;
}

int
sasl_warm_up(void)
{
	unsigned int i;

	if (library == NULL && gsasl_init(&library) != GSASL_OK)
		return -1;
	for (i = 0; i < AUTH_MECHANISM_COUNT; i++)
		if (warm_up((enum auth_mechanism)i) == -1)
			return -1;
	return 0;
}
