/* SPDX-License-Identifier: ISC */
/* posternd: reads its arguments, then is the master or one role. */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/roles.h"
#include "common/util.h"
#include "common/version.h"
#include "master/master.h"

#define EXIT_USAGE 64

enum {
	LONG_CHANGED = 256,
};

static const char usage_line[] = "usage: posternd [-dhjnqV] [--changed] [-c file]\n";

static _Noreturn void
usage(void)
{
	fputs(usage_line, stderr);
	exit(EXIT_USAGE);
}

static int
help(void)
{
	fputs(usage_line, stdout);
	puts("\n"
	     "  -c file  the configuration, " POSTERN_SYSCONFDIR
	     "/postern.conf\n"
	     "  -d       print the configuration with all defaults, and end;\n"
	     "           with --changed what is not at its default alone\n"
	     "  -j       log JSON lines\n"
	     "  -n       check the configuration, and end\n"
	     "  -q       log warnings and errors alone\n"
	     "  -V       print the version, and end\n"
	     "  -h       print this, and end\n"
	     "\nThe master of a mail delivery agent, in the foreground; see "
	     "posternd(8)");
	return 0;
}

/* One role, executed by the master with its channel as descriptor 3. */
static int
run_role(const char *name)
{
	static const struct {
		unsigned role;
		int (*run)(int parent_fd);
	} rows[] = {
		{ ROLE_INTAKE, intake_run },
		{ ROLE_CONTROL, control_run },
		{ ROLE_QUEUE, queue_run },
		{ ROLE_RESOLVER, resolver_run },
		{ ROLE_DIALER, dialer_run },
		{ ROLE_AGENT, agent_run },
		{ ROLE_METRICS, metrics_run },
		{ ROLE_SIGNER, signer_run },
	};
	size_t i;

	for (i = 0; i < NELEM(rows); i++) {
		if (strcmp(name, role_name(rows[i].role)) == 0)
			return rows[i].run(ROLE_PARENT_FD);
	}
	usage();
}

int
main(int argc, char **argv)
{
	struct master_options options = {
		.config_name = POSTERN_SYSCONFDIR "/postern.conf",
		.client_fd = -1,
		.control_fd = -1,
		.kin_fd = -1,
		.dialer_uid = -1,
		.dialer_gid = -1,
	};
	static const struct option longs[] = {
		{ "changed", no_argument, NULL, LONG_CHANGED },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	bool check = false, dump = false, changed = false;
	const char *error;
	int c;

	if (fd_open_standard() == -1)
		return 1; /* and nowhere to say it */
	while ((c = getopt_long(argc, argv, "c:dhjnqr:C:G:K:U:V", longs,
		    NULL)) != -1) {
		switch (c) {
		case 'c':
			options.config_name = optarg;
			break;
		case 'd':
			dump = true;
			break;
		case LONG_CHANGED:
			changed = true;
			break;
		case 'h':
			return help();
		case 'j':
			options.json = true;
			break;
		case 'n':
			check = true;
			break;
		case 'q':
			options.quiet = true;
			break;
		case 'r': /* the master's own; not for people */
			return run_role(optarg);
		case 'C': /* the same, for `postern deliver` */
			options.client_fd =
			    (int)strtonum(optarg, 3, INT_MAX, &error);
			if (error != NULL)
				usage();
			break;
		case 'K': /* the same, for its questions */
			options.control_fd =
			    (int)strtonum(optarg, 3, INT_MAX, &error);
			if (error != NULL)
				usage();
			break;
		case 'U': /* the same, for who may use a socket */
			if (sscanf(optarg, "%" SCNd64 ":%" SCNd64,
				&options.dialer_uid, &options.dialer_gid) != 2)
				usage();
			break;
		case 'G': /* the same, for a new generation */
			options.kin_fd =
			    (int)strtonum(optarg, 3, INT_MAX, &error);
			if (error != NULL)
				usage();
			break;
		case 'V':
			puts("posternd " POSTERN_VERSION);
			return 0;
		default:
			usage();
		}
	}
	if (optind != argc) {
		fprintf(stderr, "posternd: %s: one word too many\n",
		    argv[optind]);
		usage();
	}
	if (changed && !dump) {
		fputs("posternd: --changed is for -d\n", stderr);
		usage();
	}
	if (check)
		return master_check(options.config_name) ? 0 : 1;
	if (dump)
		return master_dump(options.config_name, changed) ? 0 : 1;
	return master_run(&options);
}
