/* SPDX-License-Identifier: ISC */
/*
 * Rows of a stream, which may be anybody's: { "message": {...}, "recipients": [...] }.
 * What is taken has numbers and texts that the queue can work with.
 */
#include "master/queue/archive_row.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/parameters.h"
#include "master/queue/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_text(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);
	const char *text = json_string_value(value);

	assert(value == NULL || json_is_null(value) || text != NULL);
	for (; text != NULL && *text != '\0'; text++)
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void
check_number(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	if (value != NULL && !json_is_null(value))
		assert(
		    json_is_integer(value) && json_integer_value(value) >= 0);
}

static void
check_recipient(const json_t *recipient, json_int_t nrcpts)
{
	static const char *const texts[] = { "address", "domain", "parameters",
		"via", "dsn", "reply", "relay" };
	static const char *const numbers[] = { "message", "idx", "state",
		"next_attempt", "finished", "attempts", "lane" };
	const char *parameters =
	    json_string_value(json_object_get(recipient, "parameters"));
	char domain[STORE_DOMAIN_SIZE];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_text(recipient, texts[i]);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		check_number(recipient, numbers[i]);
	assert(json_integer_value(json_object_get(recipient, "idx")) < nrcpts);
	store_address_domain(
	    json_string_value(json_object_get(recipient, "address")), domain);
	assert(strlen(domain) < sizeof(domain));
	assert(parameters == NULL ||
	    parameters_check(parameters, PARAMETER_OF_RCPT) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char why[ARCHIVE_WHY_SIZE];
	json_t *root = json_loadb((const char *)data, n, 0, NULL);
	const json_t *message = json_object_get(root, "message");
	const json_t *recipients = json_object_get(root, "recipients");
	const char *wrong;

	wrong = archive_row_refuse(message, recipients, why);
	assert(wrong == NULL || *wrong != '\0');
	if (wrong == NULL) {
		check_number(message, "id");
		check_number(message, "size");
		check_text(message, "reverse_path");
		check_text(message, "via");
		for (size_t i = 0; i < json_array_size(recipients); i++)
			check_recipient(json_array_get(recipients, i),
			    json_integer_value(
				json_object_get(message, "nrcpts")));
	}
	json_decref(root);
	return 0;
}
