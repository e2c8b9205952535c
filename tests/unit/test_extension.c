/* SPDX-License-Identifier: ISC */
/* What a server gets of an envelope's parameters. */
#include "agent/smtp/extension.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

static void
offer(struct capabilities *caps, const char *line)
{
	ehlo_clear(caps);
	ehlo_add_line(caps, (const uint8_t *)"x", 1);
	if (line != NULL)
		ehlo_add_line(caps, (const uint8_t *)line, strlen(line));
	ehlo_finish(caps, false);
}

#define BIT(name) (UINT32_C(1) << PARAMETER_##name)

Test(extension, each_keyword_takes_its_parameters)
{
	static const struct {
		const char *line;
		uint32_t bits;
	} rows[] = {
		{ NULL, 0 },
		{ "SIZE 5", 0 },
		{ "DSN", BIT(RET) | BIT(ENVID) | BIT(NOTIFY) | BIT(ORCPT) },
		{ "DELIVERBY", BIT(BY) },
		{ "FUTURERELEASE 5 2026-11-23T16:17:08Z",
		    BIT(HOLDFOR) | BIT(HOLDUNTIL) },
		{ "MT-PRIORITY MIXER", BIT(MT_PRIORITY) },
		{ "AUTH PLAIN", BIT(AUTH) },
	};
	struct capabilities caps;

	for (size_t i = 0; i < NELEM(rows); i++) {
		offer(&caps, rows[i].line);
		cr_expect_eq(extension_parameters(&caps), rows[i].bits,
		    "row %zu", i);
	}
}

static const struct row {
	const char *line;
	const char *parameters;
	const char *dsn; /* NULL: it may go */
} rows[] = {
	{ NULL, "", NULL },
	{ NULL, "RET=FULL ENVID=a MT-PRIORITY=3 AUTH=<>", NULL },
	{ NULL, "BY=120;R", "5.3.3" },
	{ NULL, "BY=120;N", NULL },
	{ NULL, "RET=FULL HOLDFOR=5", "5.3.3" },
	{ NULL, "HOLDUNTIL=2026-11-23T16:17:08Z", "5.3.3" },
	{ "DELIVERBY", "BY=1;R", NULL },
	{ "DELIVERBY 120", "BY=120;R", NULL },
	{ "DELIVERBY 121", "BY=120;R", "5.4.7" },
	{ "DELIVERBY 121", "BY=120;N", NULL },
	{ "DELIVERBY 121", "BY=-120;N", NULL },
	{ "FUTURERELEASE", "HOLDFOR=999999999", NULL },
	{ "FUTURERELEASE 60 2026-11-23T16:17:08Z", "HOLDFOR=60", NULL },
	{ "FUTURERELEASE 60 2026-11-23T16:17:08Z", "HOLDFOR=61", "5.5.4" },
	{ "FUTURERELEASE 60 2026-11-23T16:17:08Z",
	    "HOLDUNTIL=2026-11-23T16:17:08Z", NULL },
	{ "FUTURERELEASE 60 2026-11-23T16:17:08Z",
	    "HOLDUNTIL=2026-11-23T16:17:09Z", "5.5.4" },
};

Test(extension, what_a_sender_cannot_do_without_forbids_a_server)
{
	const struct extension_refusal *refusal;
	struct capabilities caps;

	for (size_t i = 0; i < NELEM(rows); i++) {
		offer(&caps, rows[i].line);
		refusal = extension_refuse(&caps, rows[i].parameters);
		cr_expect_eq(refusal != NULL, rows[i].dsn != NULL, "row %zu",
		    i);
		if (refusal != NULL && rows[i].dsn != NULL)
			cr_expect_str_eq(refusal->dsn, rows[i].dsn, "row %zu",
			    i);
	}
}

static const struct delay {
	const char *line;
	const char *parameters;
	bool wanted;
} delays[] = {
	{ "DSN", "", false },
	{ "DSN", "RET=FULL BY=1;N", true },
	{ "DSN", "BY=1;NT", true },
	{ "DSN", "BY=0;N", false },
	{ "DSN", "BY=1;R", false },
	{ "DELIVERBY", "BY=1;N", false },
	{ NULL, "BY=1;N", false },
};

static const struct {
	const char *parameters;
	const char *want;
} delayed[] = {
	{ "", "NOTIFY=FAILURE,DELAY" },
	{ "ORCPT=rfc822;b@x", "NOTIFY=FAILURE,DELAY ORCPT=rfc822;b@x" },
	{ "NOTIFY=NEVER", "NOTIFY=NEVER" },
	{ "NOTIFY=DELAY,SUCCESS", "NOTIFY=DELAY,SUCCESS" },
	{ "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;NEVER",
	    "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;NEVER" },
};

Test(extension, a_server_without_deliverby_tells_of_delays)
{
	char out[PARAMETERS_RCPT_SIZE];
	struct capabilities caps;

	for (size_t i = 0; i < NELEM(delays); i++) {
		offer(&caps, delays[i].line);
		cr_expect_eq(extension_wants_delay(&caps, delays[i].parameters),
		    delays[i].wanted, "row %zu", i);
	}
	for (size_t i = 0; i < NELEM(delayed); i++) {
		extension_add_delay(out, delayed[i].parameters);
		cr_expect_str_eq(out, delayed[i].want, "row %zu", i);
	}
}
