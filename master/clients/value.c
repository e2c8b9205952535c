/* SPDX-License-Identifier: ISC */
/* See value.h; jansson's doorway for what comes in. */
#include "master/clients/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/*
 * Whether jansson was refused memory.  It looks at some of its own calls alone:
 * a string that could not grow is read without one of its octets.
 */
static bool lacks_memory;

static void *
value_malloc(size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		lacks_memory = true;
	return p;
}

void
value_init(void)
{
	json_set_alloc_funcs(value_malloc, free);
	json_object_seed(0);
}

int
value_complain(char error[VALUE_ERROR_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	/* Cut short is fine. */
	(void)vsnprintf(error, VALUE_ERROR_SIZE, fmt, ap);
	va_end(ap);
	errno = EINVAL;
	return -1;
}

int
value_complain_memory(char error[VALUE_ERROR_SIZE])
{
	(void)value_complain(error, "no memory: try again");
	errno = ENOMEM;
	return -1;
}

json_t *
value_object(const char *text, size_t len, char error[VALUE_ERROR_SIZE])
{
	char quote[sizeof(((json_error_t *)NULL)->text) * 2];
	json_error_t e;
	json_t *object;

	lacks_memory = false;
	object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (lacks_memory) {
		json_decref(object); /* NULL is fine */
		(void)value_complain_memory(error);
		return NULL;
	}
	if (object == NULL) {
		log_escape(quote, sizeof(quote), e.text, strlen(e.text));
		(void)value_complain(error, "octet %d: no JSON: %s", e.position,
		    quote);
		return NULL;
	}
	if (!json_is_object(object)) {
		(void)value_complain(error, "a packet must be a JSON object");
		json_decref(object);
		return NULL;
	}
	return object;
}

int
value_string(const json_t *object, const char *name, char *out, size_t size,
    char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL)
		return 0;
	if (!json_is_string(value))
		return value_complain(error, "\"%s\" must be a string", name);
	if (strlcpy(out, json_string_value(value), size) >= size)
		return value_complain(error, "\"%s\" is longer than %zu octets",
		    name, size - 1);
	return 0;
}

int
value_flag(const json_t *object, const char *name, bool *out,
    char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, name);

	if (value == NULL)
		return 0;
	if (!json_is_boolean(value))
		return value_complain(error, "\"%s\" must be true or false",
		    name);
	*out = json_is_true(value);
	return 0;
}

int
value_number(const json_t *object, const char *name, uint64_t most,
    uint64_t *out, char error[VALUE_ERROR_SIZE])
{
	const json_t *value = json_object_get(object, name);
	json_int_t n;

	if (value == NULL)
		return 0;
	n = json_integer_value(value);
	if (!json_is_integer(value) || n < 0 || (uint64_t)n > most)
		return value_complain(error,
		    "\"%s\" must be a whole number from 0 to %llu", name,
		    (unsigned long long)most);
	*out = (uint64_t)n;
	return 0;
}

int
value_members(json_t *object, const char *const *words,
    char error[VALUE_ERROR_SIZE])
{
	const char *name, *const *w;
	char quote[QUOTE_SIZE];
	json_t *value;

	json_object_foreach(object, name, value)
	{
		for (w = words; *w != NULL && strcmp(*w, name) != 0; w++)
			;
		if (*w == NULL) {
			log_escape(quote, sizeof(quote), name, strlen(name));
			return value_complain(error, "\"%s\" is not known here",
			    quote);
		}
	}
	return 0;
}
