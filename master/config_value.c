/* SPDX-License-Identifier: ISC */
/*
 * Reads and writes the values of parameters, by the type of their row.
 */
#include "master/config_value.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 255 /* octets of one word of a list */

/* ENUM members of any enum are stored as one int. */
_Static_assert(sizeof(enum config_log) == sizeof(int), "enum is an int");

struct factor {
	char suffix;
	uint64_t by;
};

static const struct factor duration_factors[] = {
	{ 's', 1 },
	{ 'm', 60 },
	{ 'h', 3600 },
	{ 'd', 86400 },
	{ '\0', 1 },
};

static const struct factor size_factors[] = {
	{ 'k', 1024 },
	{ 'm', 1024 * 1024 },
	{ '\0', 1 },
};

static const struct factor plain_factors[] = {
	{ '\0', 1 },
};

static const struct factor *
factors_of(enum config_type type)
{
	if (type == CONFIG_TYPE_DURATION)
		return duration_factors;
	if (type == CONFIG_TYPE_SIZE)
		return size_factors;
	return plain_factors;
}

/* What the numbers of a row are written like, for its complaints. */
static const char *
number_shape(enum config_type type)
{
	if (type == CONFIG_TYPE_DURATION)
		return "digits, and s, m, h or d after them";
	if (type == CONFIG_TYPE_SIZE)
		return "digits, and k or m after them for larger units";
	return "digits alone";
}

static int
complain_range(const struct config_row *row, const char *word, char *why,
    size_t why_size)
{
	(void)snprintf(why, why_size, /* cut at worst */
	    "%.40s is out of range; give %" PRIu64 " to %" PRIu64 " %s", word,
	    row->least, row->most,
	    row->type == CONFIG_TYPE_DURATION ? "seconds" : row->unit);
	errno = EINVAL;
	return -1;
}

static int
read_number(const struct config_row *row, const char *word, uint64_t *out,
    char *why, size_t why_size)
{
	const struct factor *factor = factors_of(row->type);
	const char *suffix = word + strspn(word, "0123456789");
	const char *digit = word;
	uint64_t value = 0;

	while (factor->suffix != '\0' && factor->suffix != *suffix)
		factor++;
	if (suffix == word || *suffix != factor->suffix ||
	    (*suffix != '\0' && suffix[1] != '\0')) {
		(void)snprintf(why, why_size, /* cut at worst */
		    "%.40s is no number; write %s", word,
		    number_shape(row->type));
		errno = EINVAL;
		return -1;
	}
	/* Beyond most it stops at once, and so never near an overflow. */
	for (; digit < suffix && value <= row->most; digit++)
		value = value * 10 + (uint64_t)(*digit - '0');
	if (value <= row->most)
		value *= factor->by;
	if (value < row->least || value > row->most)
		return complain_range(row, word, why, why_size);
	*out = value;
	return 0;
}

static int
set_number(const struct config_row *row, void *member, const char *word,
    char *why, size_t why_size)
{
	uint64_t value = 0;

	if (read_number(row, word, &value, why, why_size) == -1)
		return -1;
	if (row->type == CONFIG_TYPE_SIZE) {
		*(uint64_t *)member = value;
		return 0;
	}
	assert(value <= INT32_MAX); /* by its row */
	*(int *)member = (int)value;
	return 0;
}

static int
set_mode(const struct config_row *row, void *member, const char *word,
    char *why, size_t why_size)
{
	size_t len = strlen(word);
	unsigned long value;

	if (len < 3 || len > 4 || strspn(word, "01234567") != len) {
		(void)snprintf(why, why_size, /* cut at worst */
		    "%.40s is no mode; write three or four octal digits", word);
		errno = EINVAL;
		return -1;
	}
	value = strtoul(word, NULL, 8);
	if (value < row->least || value > row->most) {
		(void)snprintf(why, why_size, /* cut at worst */
		    "%s is out of range; give 0000 to %04" PRIo64, word,
		    row->most);
		errno = EINVAL;
		return -1;
	}
	*(mode_t *)member = (mode_t)value;
	return 0;
}

static int
set_bool(void *member, const char *word, char *why, size_t why_size)
{
	bool yes = strcmp(word, "yes") == 0;

	if (!yes && strcmp(word, "no") != 0) {
		(void)snprintf(why, why_size, /* cut at worst */
		    "%.40s is neither yes nor no", word);
		errno = EINVAL;
		return -1;
	}
	*(bool *)member = yes;
	return 0;
}

/* Which of the words "a|b|c" word is, or -1. */
static int
enum_index(const char *words, const char *word)
{
	size_t len = strlen(word), n;

	for (int i = 0;; i++) {
		n = strcspn(words, "|");
		if (n == len && memcmp(words, word, n) == 0)
			return i;
		if (words[n] == '\0')
			return -1;
		words += n + 1;
	}
}

static int
set_enum(const struct config_row *row, void *member, const char *word,
    char *why, size_t why_size)
{
	int i = enum_index(row->unit, word);

	if (i == -1) {
		(void)snprintf(why, why_size, /* cut at worst */
		    "%.40s is none of %s", word, row->unit);
		errno = EINVAL;
		return -1;
	}
	memcpy(member, &i, sizeof(i));
	return 0;
}

static const char *
string_complaint(const struct config_row *row, const char *word)
{
	size_t len = strlen(word);

	if (len == 0 && row->least > 0)
		return "must not be empty";
	if (len > row->most)
		return "is too long";
	if (row->type != CONFIG_TYPE_PATH || len == 0)
		return NULL;
	if (word[0] == '/')
		return NULL;
	if (row->scope == CONFIG_SCOPE_GLOBAL &&
	    strncmp(word, "$run_directory/", 15) == 0)
		return NULL;
	return "must be an absolute path, beginning with /";
}

static int
set_string(const struct config_row *row, void *member, const char *word,
    char *why, size_t why_size)
{
	const char *complaint = string_complaint(row, word);
	char *copy;

	if (complaint != NULL) {
		(void)snprintf(why, why_size, "%s", complaint); /* fits */
		errno = EINVAL;
		return -1;
	}
	copy = strdup(word);
	if (copy == NULL) {
		(void)snprintf(why, why_size, "out of memory"); /* fits */
		return -1;
	}
	free(*(char **)member);
	*(char **)member = copy;
	return 0;
}

static void
list_clear(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->words[i]);
	free(list->words);
	*list = (struct config_list){ 0 };
}

static int
list_copy(struct config_list *list, char *const *words, size_t count)
{
	if (count == 0)
		return 0;
	list->words = calloc(count, sizeof(*list->words));
	if (list->words == NULL)
		return -1;
	for (; list->count < count; list->count++) {
		list->words[list->count] = strdup(words[list->count]);
		if (list->words[list->count] == NULL)
			return -1;
	}
	return 0;
}

static int
set_list(const struct config_row *row, struct config_list *member,
    char *const *words, size_t count, char *why, size_t why_size)
{
	struct config_list list = { 0 };

	if (count > row->most)
		return complain_range(row, "the number of words", why,
		    why_size);
	for (size_t i = 0; i < count; i++) {
		if (words[i][0] != '\0' && strlen(words[i]) <= WORD_MAX)
			continue;
		(void)snprintf(why, why_size, "a word is %s", /* fits */
		    words[i][0] == '\0' ? "empty" : "too long");
		errno = EINVAL;
		return -1;
	}
	if (list_copy(&list, words, count) == -1) {
		(void)snprintf(why, why_size, "out of memory"); /* fits */
		list_clear(&list);
		errno = ENOMEM;
		return -1;
	}
	list_clear(member);
	*member = list;
	return 0;
}

int
config_value_set(const struct config_row *row, void *base, char *const *words,
    size_t count, char *why, size_t why_size)
{
	void *member = (char *)base + row->offset;

	if (row->type == CONFIG_TYPE_LIST)
		return set_list(row, member, words, count, why, why_size);
	assert(count == 1);
	switch (row->type) {
	case CONFIG_TYPE_STRING:
	case CONFIG_TYPE_PATH:
		return set_string(row, member, words[0], why, why_size);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_DURATION:
	case CONFIG_TYPE_SIZE:
		return set_number(row, member, words[0], why, why_size);
	case CONFIG_TYPE_BOOL:
		return set_bool(member, words[0], why, why_size);
	case CONFIG_TYPE_ENUM:
		return set_enum(row, member, words[0], why, why_size);
	case CONFIG_TYPE_MODE:
		return set_mode(row, member, words[0], why, why_size);
	case CONFIG_TYPE_LIST:
		break;
	}
	assert(false);
	return -1;
}

int
config_value_set_default(const struct config_row *row, void *base)
{
	char *word = strdup(row->value);
	char why[160];
	int ret;

	if (word == NULL)
		return -1;
	ret = config_value_set(row, base, &word,
	    word[0] != '\0' || row->type != CONFIG_TYPE_LIST, why, sizeof(why));
	free(word);
	return ret;
}

void
config_value_clear(const struct config_row *row, void *base)
{
	void *member = (char *)base + row->offset;

	if (row->type == CONFIG_TYPE_LIST)
		list_clear(member);
	if (row->type != CONFIG_TYPE_STRING && row->type != CONFIG_TYPE_PATH)
		return;
	free(*(char **)member);
	*(char **)member = NULL;
}

/* fprintf's failures show in ferror(), which is for who owns out. */
static void
print_string(const char *word, FILE *out)
{
	(void)fputc('"', out);
	for (; *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			(void)fputc('\\', out);
		(void)fputc(*word, out);
	}
	(void)fputc('"', out);
}

static void
print_list(const struct config_list *list, FILE *out)
{
	(void)fputs("{", out);
	for (size_t i = 0; i < list->count; i++) {
		(void)fputs(i > 0 ? ", " : " ", out);
		print_string(list->words[i], out);
	}
	(void)fputs(list->count > 0 ? " }" : "}", out);
}

static void
print_enum(const struct config_row *row, const void *member, FILE *out)
{
	const char *words = row->unit;
	int i;

	memcpy(&i, member, sizeof(i));
	for (; i > 0; i--)
		words += strcspn(words, "|") + 1;
	(void)fprintf(out, "%.*s", (int)strcspn(words, "|"), words);
}

void
config_value_print(const struct config_row *row, const void *base, FILE *out)
{
	const void *member = (const char *)base + row->offset;

	switch (row->type) {
	case CONFIG_TYPE_STRING:
	case CONFIG_TYPE_PATH:
		print_string(*(char *const *)member, out);
		break;
	case CONFIG_TYPE_INT:
		(void)fprintf(out, "%d", *(const int *)member);
		break;
	case CONFIG_TYPE_DURATION:
		(void)fprintf(out, "%ds", *(const int *)member);
		break;
	case CONFIG_TYPE_SIZE:
		(void)fprintf(out, "%" PRIu64, *(const uint64_t *)member);
		break;
	case CONFIG_TYPE_BOOL:
		(void)fputs(*(const bool *)member ? "yes" : "no", out);
		break;
	case CONFIG_TYPE_ENUM:
		print_enum(row, member, out);
		break;
	case CONFIG_TYPE_LIST:
		print_list(member, out);
		break;
	case CONFIG_TYPE_MODE:
		(void)fprintf(out, "%04o",
		    (unsigned int)*(const mode_t *)member);
		break;
	}
}
