/* SPDX-License-Identifier: ISC */
/*
 * Asks libconfuse for the words of single values.  The words of its errors are
 * for programmers; who calls here knows better ones.
 */
#include "master/config_syntax.h"

#include <confuse.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "master/config_text.h"

struct config_syntax {
	cfg_t *cfg;
	char **words; /* of the last value; the strings are libconfuse's */
};

static void
silence(cfg_t *cfg, const char *format, va_list ap)
{
	(void)cfg;
	(void)format;
	(void)ap;
}

/* Everything is a string to libconfuse; the types are config_value.c's. */
static cfg_t *
cfg_of_rows(const struct config_row *rows, size_t count)
{
	cfg_opt_t *opts;
	cfg_t *cfg;

	opts = calloc(count + 2, sizeof(*opts));
	if (opts == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		opts[i] = rows[i].type == CONFIG_TYPE_LIST
		    ? (cfg_opt_t)CFG_STR_LIST(rows[i].name, NULL,
			  CFGF_NODEFAULT)
		    : (cfg_opt_t)CFG_STR(rows[i].name, NULL, CFGF_NODEFAULT);
	opts[count] =
	    (cfg_opt_t)CFG_STR(CONFIG_SYNTAX_TITLE, NULL, CFGF_NODEFAULT);
	opts[count + 1] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(opts, CFGF_NONE); /* copies opts */
	free(opts);
	return cfg;
}

struct config_syntax *
config_syntax_new(const struct config_row *rows, size_t count)
{
	struct config_syntax *syntax = calloc(1, sizeof(*syntax));

	if (syntax == NULL)
		return NULL;
	syntax->cfg = cfg_of_rows(rows, count);
	if (syntax->cfg == NULL) {
		free(syntax);
		return NULL;
	}
	(void)cfg_set_error_function(syntax->cfg, silence); /* the old one */
	return syntax;
}

void
config_syntax_free(struct config_syntax *syntax)
{
	if (syntax == NULL)
		return;
	(void)cfg_free(syntax->cfg); /* fails for NULL alone */
	free(syntax->words);
	free(syntax);
}

static cfg_opt_t *
read_value(cfg_t *cfg, const char *parameter, const char *value, size_t len)
{
	size_t name_len = strlen(parameter);
	cfg_opt_t *opt = NULL;
	char *text;

	text = malloc(name_len + len + 2);
	if (text == NULL)
		return NULL;
	memcpy(text, parameter, name_len);
	text[name_len] = '=';
	config_text_copy(text + name_len + 1, value, len);
	if (cfg_parse_buf(cfg, text) == CFG_SUCCESS)
		opt = cfg_getopt(cfg, parameter);
	free(text);
	return opt;
}

char *const *
config_syntax_words(struct config_syntax *syntax, const char *parameter,
    const char *value, size_t len, size_t *count)
{
	cfg_opt_t *opt = read_value(syntax->cfg, parameter, value, len);

	if (opt == NULL)
		return NULL;
	free(syntax->words);
	*count = cfg_opt_size(opt);
	syntax->words = calloc(*count + 1, sizeof(*syntax->words));
	if (syntax->words == NULL)
		return NULL;
	for (size_t i = 0; i < *count; i++)
		syntax->words[i] = cfg_opt_getnstr(opt, (unsigned int)i);
	return syntax->words;
}
