/* SPDX-License-Identifier: ISC */
/* One finding of postern doctor, as a line of words or of JSON. */
#include "master/control/doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_words[] = {
	[DOCTOR_WELL] = "ok",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_FAULT] = "fault",
	[DOCTOR_SKIPPED] = "skipped",
};

static void
print_json(const struct doctor *d, enum doctor_level level, const char *what,
    const char *cure)
{
	json_t *o = json_pack("{s:s,s:s,s:s*,s:s*}", "check", d->check, "level",
	    level_words[level], "what", what, "cure", cure);
	char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text != NULL)
		puts(text);
	free(text);
	json_decref(o);
}

/* What comes from files and other programs may hold anything: a line stays a line,
 * and a terminal is told nothing. */
static void
make_plain(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

void
doctor_say(struct doctor *d, enum doctor_level level, const char *cure,
    const char *fmt, ...)
{
	char what[DOCTOR_TEXT_SIZE], plain[DOCTOR_TEXT_SIZE] = "";
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (cure != NULL)
		(void)strlcpy(plain, cure, sizeof(plain));
	make_plain(what);
	make_plain(plain);
	d->findings++;
	d->counts[level]++;
	if (d->quiet && (level == DOCTOR_WELL || level == DOCTOR_SKIPPED))
		return;
	if (d->json)
		print_json(d, level, what, cure != NULL ? plain : NULL);
	else
		printf("%-8s %s: %s%s%s\n", level_words[level], d->check, what,
		    plain[0] != '\0' ? ". Cure: " : "", plain);
	fflush(stdout); /* a check may take a while */
}
