/* SPDX-License-Identifier: ISC */
/* postern doctor: reads its arguments, walks the checks, and counts what they found. */
#include "master/control/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/util.h"
#include "master/control/client/daemon_client.h"
#include "master/control/client/options.h"
#include "master/control/client/usage.h"
#include "master/control/control.h"

static const struct check {
	const char *name;
	void (*run)(struct doctor *d);
	unsigned needs;
} checks[] = {
#define DOCTOR(name, function, needs) { #name, function, needs },
#include "master/control/doctor/doctor.def"
};

/* Why a check cannot be made; NULL: it can. */
static const char *
missing(const struct doctor *d, unsigned needs)
{
	if ((needs & DOCTOR_NEEDS_NETWORK) != 0 && d->offline)
		return "--offline: no server is asked";
	if ((needs & DOCTOR_NEEDS_RUNNING) != 0 && !d->runs)
		return "posternd does not run";
	if ((needs & DOCTOR_NEEDS_STOPPED) != 0 && d->runs)
		return "posternd runs: `postern queue check` looks through "
		       "the spool of one that is stopped";
	if ((needs & DOCTOR_NEEDS_CONTROL) != 0 && d->control_fd == -1)
		return "the control socket is not yours to use: run this as "
		       "root, or as who started posternd";
	return NULL;
}

static void
run_check(struct doctor *d, const struct check *check)
{
	const char *why = missing(d, check->needs);

	if ((check->needs & DOCTOR_NEEDS_CONFIG) != 0 && d->config == NULL)
		return; /* the first check has said why */
	d->check = check->name;
	d->findings = 0;
	if (why != NULL)
		doctor_say(d, DOCTOR_SKIPPED, NULL, "%s", why);
	else
		check->run(d);
}

static void
print_sum(const struct doctor *d)
{
	if (d->json)
		printf("{\"faults\":%u,\"warnings\":%u,\"skipped\":%u,"
		       "\"done\":true}\n",
		    d->counts[DOCTOR_FAULT], d->counts[DOCTOR_WARNING],
		    d->counts[DOCTOR_SKIPPED]);
	else if (d->counts[DOCTOR_FAULT] + d->counts[DOCTOR_WARNING] == 0)
		printf("all well\n");
	else
		printf("%u fault%s, %u warning%s\n", d->counts[DOCTOR_FAULT],
		    d->counts[DOCTOR_FAULT] == 1 ? "" : "s",
		    d->counts[DOCTOR_WARNING],
		    d->counts[DOCTOR_WARNING] == 1 ? "" : "s");
}

/* As the domain of an address, which is what is asked about it. */
static bool
is_domain(const char *domain)
{
	struct address addr;
	enum address_error e;
	char *text = NULL;

	if (asprintf(&text, "postmaster@%s", domain) == -1)
		return false;
	e = address_parse_forward_path(&addr, text, strlen(text));
	free(text);
	if (e != ADDRESS_OK)
		fprintf(stderr, "postern: --domain \"%s\": %s\n", domain,
		    address_error_text(e));
	return e == ADDRESS_OK;
}

int
cmd_doctor(int argc, char **argv)
{
	struct doctor d = { .config_name = POSTERN_SYSCONFDIR "/postern.conf",
		.control_fd = -1 };
	const struct control_option rows[] = {
		{ "config", 'c', &d.config_name, NULL },
		{ "domain", 0, &d.domain, NULL },
		{ "json", 0, NULL, &d.json },
		{ "offline", 0, NULL, &d.offline },
		{ "quiet", 'q', NULL, &d.quiet },
	};
	size_t i;

	if (!options_words(argc, argv,
		options_read(argc, argv, rows, NELEM(rows)), 0, 0, ""))
		return usage_print("doctor");
	if (d.domain != NULL && !is_domain(d.domain))
		return EXIT_USAGE;
	for (i = 0; i < NELEM(checks); i++)
		run_check(&d, &checks[i]);
	print_sum(&d);
	if (d.load == NULL)
		config_free(d.config);
	load_free(d.load);
	json_decref(d.processes);
	fd_close(d.control_fd);
	return d.counts[DOCTOR_FAULT] > 0 ? EXIT_FINDINGS : EXIT_ALL_WELL;
}
