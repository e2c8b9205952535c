/* SPDX-License-Identifier: ISC */
#include "master/config_include.h"

#include <sys/stat.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/config.h"

static char folder[64];
static struct config_errors errors;

static void
put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	cr_assert_not_null(f, "%s", path);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void
set_up(void)
{
	char path[128];

	(void)strlcpy(folder, "/tmp/postern-include-XXXXXX", sizeof(folder));
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/conf.d", folder);
	cr_assert_eq(mkdir(path, 0700), 0);
}

static void
tear_down(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_expect_eq(system(command), 0);
}

TestSuite(config_include, .init = set_up, .fini = tear_down);

static struct config *
read_main(void)
{
	char path[128];
	struct config *config;
	size_t len;
	char *text;

	(void)snprintf(path, sizeof(path), "%s/postern.conf", folder);
	text = config_include_read(path, &len);
	cr_assert_not_null(text);
	config = config_read(path, text, len, &errors);
	free(text);
	return config;
}

/* What is wrong, with the folder's name left out. */
static void
expect_wrong(const char *const *want, size_t n)
{
	const char *line;
	size_t i, len = strlen(folder) + 1;

	cr_expect_null(read_main());
	cr_expect_eq(errors.nlines, n, "%zu", errors.nlines);
	for (i = 0; i < errors.nlines && i < n; i++) {
		line = errors.lines[i];
		cr_expect_eq(strncmp(line, folder, len - 1), 0, "%s", line);
		cr_expect_eq(strncmp(line + len, want[i], strlen(want[i])), 0,
		    "%s, not %s", line + len, want[i]);
	}
}

#define TRANSPORT                                                              \
	" { server = \"127.0.0.1:26\"\n\ttls_security_level = none\n}\n"

Test(config_include, a_file_and_a_folder_stand_in_the_place_of_their_line)
{
	struct config *config;
	const char *file;

	put("postern.conf",
	    "hostname = a.example\n"
	    "include = conf.d # all\n"
	    "include = 'one more' transport z" TRANSPORT
	    "minimal_backoff_time = 9s\n");
	put("conf.d/20.conf", "transport b" TRANSPORT);
	put("conf.d/10.conf", "\n\ntransport a" TRANSPORT "include = ../x");
	put("conf.d/30.conf.old", "nonsense");
	put("conf.d/.hidden.conf", "nonsense");
	put("x", "maximal_backoff_time = 90m");
	put("one more", "route \"*\" { transport = b }");
	config = read_main();
	cr_assert_not_null(config, "%s", errors.lines[0]);
	cr_expect_eq(config->minimal_backoff_time, 9);
	cr_expect_eq(config->maximal_backoff_time, 5400);
	cr_assert_eq(config->ntransports, 4); /* and the one that is built in */
	cr_expect_str_eq(config->transports[0].name, "a");
	cr_expect_str_eq(config->transports[1].name, "b");
	cr_expect_eq(config_places_find(&config->places, "main",
			 config->transports[0].line, &file),
	    3);
	cr_expect_not_null(strstr(file, "conf.d/10.conf"));
	cr_expect_eq(config_places_find(&config->places, "main",
			 config->transports[2].line, &file),
	    3);
	cr_expect_str_eq(file, "main");
	config_free(config);
}

Test(config_include, what_is_wrong_names_its_own_file_and_line)
{
	static const char *const want[] = {
		"conf.d/a.conf:2: bogus is no parameter",
		"conf.d/a.conf:3: transport t is already defined on line 1 of /",
		"conf.d/b.conf:2: this block is not closed by }",
		"conf.d/c.conf:1: this } closes no block",
		"postern.conf:4: include: ",
		"postern.conf:5: include: : name one file",
		"postern.conf:7: include belongs outside of every block",
		"postern.conf:9: nonsense is no parameter",
	};

	put("conf.d/a.conf", "# a comment\nbogus = 1\ntransport t" TRANSPORT);
	put("conf.d/b.conf", "\ntransport v { server = \"127.0.0.1:26\"\n");
	put("conf.d/c.conf", "}\n");
	put("postern.conf",
	    "transport t { server = \"127.0.0.1:26\" }\n"
	    "include = \"conf.d/*.conf\"\n\n"
	    "include = missing.conf\n"
	    "include = { a, b }\n"
	    "transport u {\n\tinclude = x\n}\nnonsense = 1\n");
	expect_wrong(want, NELEM(want));
}

Test(config_include, no_file_is_in_itself)
{
	put("postern.conf", "include = ./postern.conf\ninclude = a\n");
	put("a", "include = b\n");
	put("b", "include = a\n");
	cr_expect_null(read_main());
	cr_expect_eq(errors.nlines, 2);
	cr_expect_not_null(
	    strstr(errors.lines[0], "postern.conf:1: include: "));
	cr_expect_not_null(strstr(errors.lines[1], "b:1: include: "));
	cr_expect_not_null(strstr(errors.lines[1], "it includes itself"));
}

Test(config_include, depth_devices_and_what_is_no_text_are_refused)
{
	char name[16], text[128];
	int i;

	for (i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		(void)snprintf(text, sizeof(text), "include = f%d\n", i + 1);
		put(i == 0 ? "postern.conf" : name, text);
	}
	cr_expect_null(read_main());
	cr_expect_not_null(strstr(errors.lines[0], "f8:1: include: "));
	cr_expect_not_null(strstr(errors.lines[0], "too deeply"));
	put("postern.conf", "include = /dev/zero\n");
	cr_expect_null(read_main());
	cr_expect_not_null(strstr(errors.lines[0], "no regular file"));
	(void)snprintf(text, sizeof(text), "%s/nul", folder);
	{
		FILE *f = fopen(text, "we");

		(void)fwrite("a\0b", 1, 3, f);
		(void)fclose(f);
	}
	put("postern.conf", "include = nul\n");
	cr_expect_null(read_main());
	cr_expect_not_null(strstr(errors.lines[0], "NUL"));
}

Test(config_include, a_long_one_is_refused_as_a_whole)
{
	char *text = calloc(1, CONFIG_TEXT_MAX);

	memset(text, '\n', CONFIG_TEXT_MAX - 10);
	put("big", text);
	put("postern.conf", "include = big\nhostname = a.example\n");
	cr_expect_null(read_main());
	cr_expect_not_null(strstr(errors.lines[0], "more than"));
	free(text);
}

Test(config_include, a_text_of_no_file_includes_nothing)
{
	static const char text[] = "include = x\n";

	cr_expect_null(config_read("options", text, strlen(text), &errors));
	cr_expect_str_eq(errors.lines[0], "options:1: include is for files");
}
