/* SPDX-License-Identifier: ISC */
/* See sendmail_options.h. */
#include "master/control/sendmail/sendmail_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* As sendmail has them; most have no meaning here. */
#define LETTERS ":A:B:b:C:D:cd:e:F:f:Ggh:I:iL:mN:nO:o:p:q::R:r:stUV:vX:x"

static int
complain(char *why, const char *what, const char *value, const char *cure)
{
	(void)snprintf(why, SENDMAIL_WHY_SIZE, "%s%s%.80s: %s", what,
	    value[0] != '\0' ? " " : "", value, cure);
	return -1;
}

static int
take_mode(struct sendmail_options *o, const char *mode, char *why)
{
	switch (mode[0]) {
	case 'm':
		o->mode = SENDMAIL_SEND;
		return 0;
	case 'p':
		o->mode = SENDMAIL_MAILQ;
		return 0;
	case 'i':
		o->mode = SENDMAIL_NEWALIASES;
		return 0;
	case 's':
		return complain(why, "-bs", "",
		    "SMTP on standard input is not spoken: use a listener, or "
		    "the job socket");
	case 'd':
	case 'D':
		return complain(why, "-bd", "",
		    "posternd is the daemon: start that");
	default:
		return complain(why, "-b", mode, "there is no such mode");
	}
}

static int
take_return(struct sendmail_options *o, const char *value, char *why)
{
	if (strcasecmp(value, "full") == 0)
		o->envelope.ret = "full";
	else if (strcasecmp(value, "hdrs") == 0)
		o->envelope.ret = "headers";
	else
		return complain(why, "-R", value, "must be full or hdrs");
	return 0;
}

static int
take_body(const char *value, char *why)
{
	/* What the octets are is seen in the message itself. */
	if (strcasecmp(value, "7BIT") == 0 ||
	    strcasecmp(value, "8BITMIME") == 0)
		return 0;
	return complain(why, "-B", value, "must be 7BIT or 8BITMIME");
}

static int
take_unknown(int letter, char *why)
{
	const char option[] = { (char)optopt, '\0' };

	return complain(why,
	    letter == ':' ? "option requires an argument --"
			  : "invalid option --",
	    option, "see postern-sendmail(1)");
}

static int
take(struct sendmail_options *o, int letter, const char *value, char *why)
{
	switch (letter) {
	case 'B':
		return take_body(value, why);
	case 'b':
		return take_mode(o, value, why);
	case 'C':
		o->config_name = value;
		return 0;
	case 'F':
		o->full_name = value;
		return 0;
	case 'f':
	case 'r':
		o->sender = value;
		return 0;
	case 'I':
		o->mode = SENDMAIL_NEWALIASES;
		return 0;
	case 'i':
		o->dots = true;
		return 0;
	case 'N':
		o->envelope.notify = value;
		return 0;
	case 'R':
		return take_return(o, value, why);
	case 'V':
		o->envelope.envid = value;
		return 0;
	case 'o':
		o->dots = o->dots || strcmp(value, "i") == 0;
		return 0;
	case 'q':
		o->mode = SENDMAIL_FLUSH;
		o->queue_run = value != NULL ? value : "";
		return 0;
	case 't':
		o->of_message = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case '?':
	case ':':
		return take_unknown(letter, why);
	default:
		return 0; /* of no meaning here: see the manual */
	}
}

int
sendmail_options_read(struct sendmail_options *o, int argc, char **argv,
    char why[static SENDMAIL_WHY_SIZE])
{
	const char *name = strrchr(argv[0], '/');
	int letter;

	memset(o, 0, sizeof(*o));
	o->config_name = POSTERN_SYSCONFDIR "/postern.conf";
	name = name != NULL ? name + 1 : argv[0];
	if (strcmp(name, "mailq") == 0)
		o->mode = SENDMAIL_MAILQ;
	else if (strcmp(name, "newaliases") == 0)
		o->mode = SENDMAIL_NEWALIASES;
	optind = 0; /* from the start, whatever was read before */
	while ((letter = getopt(argc, argv, LETTERS)) != -1)
		if (take(o, letter, optarg, why) == -1)
			return -1;
	return optind;
}
