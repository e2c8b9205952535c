/* SPDX-License-Identifier: ISC */
/* See smtpd_command.h. */
#include "master/intake/smtpd/smtpd_command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/unitext.h"
#include "common/utf8.h"
#include "common/util.h"

#define VALUE_MAX  512 /* of a parameter; longer than any may be */
#define DIGITS_MAX 18  /* of a number that 64 bits hold */

static const char *const verb_names[SMTPD_VERB_COUNT] = {
#define VERB(name, ...) [SMTPD_VERB_##name] = #name,
#include "master/intake/smtpd/smtpd_table.def"
#undef VERB
};

/* Parameters of our own, behind those of common/parameters.def. */
enum own_parameter {
#define PARAM(name, keyword, capability) OWN_##name,
#include "master/intake/smtpd/smtpd_parameters.def"
#undef PARAM
	OWN_COUNT
};

static const struct {
	const char *keyword;
	enum smtpd_capability capability;
} own_parameters[OWN_COUNT] = {
#define PARAM(name, keyword, capability)                                       \
	[OWN_##name] = { keyword, SMTPD_CAN_##capability },
#include "master/intake/smtpd/smtpd_parameters.def"
#undef PARAM
};

/* What must have been offered for each that goes on with the job. */
static const enum smtpd_capability job_capabilities[PARAMETER_COUNT] = {
#define PARAMETER(name, keyword, command, capability, octets)                  \
	[PARAMETER_##name] = SMTPD_CAN_##capability,
#include "common/parameters.def"
#undef PARAMETER
};

/* The rest of a line that is being read. */
struct text {
	const char *at;
	size_t left;
};

const char *
smtpd_command_verb_name(enum smtpd_verb verb)
{
	return verb_names[verb];
}

static bool
complain(struct smtpd_reply *wrong, unsigned code, const char *dsn,
    const char *text)
{
	wrong->code = code;
	wrong->dsn = dsn;
	wrong->text = text;
	return false;
}

/* RFC 5321, 4.1.1.1, has spaces alone; tabs are some clients', and mean the same. */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip_blanks(struct text *t)
{
	while (t->left > 0 && is_blank(*t->at)) {
		t->at++;
		t->left--;
	}
}

static void
trim(struct text *t)
{
	skip_blanks(t);
	while (t->left > 0 && is_blank(t->at[t->left - 1]))
		t->left--;
}

/* Up to the next blank. */
static struct text
take_word(struct text *t)
{
	struct text word = { t->at, 0 };

	while (t->left > 0 && !is_blank(*t->at)) {
		t->at++;
		t->left--;
		word.left++;
	}
	skip_blanks(t);
	return word;
}

static bool
is_word(const struct text *t, const char *word)
{
	return t->left == strlen(word) &&
	    strncasecmp(t->at, word, t->left) == 0;
}

static bool
read_number(const struct text *t, uint64_t *out)
{
	*out = 0;
	if (t->left == 0 || t->left > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < t->left; i++) {
		if (t->at[i] < '0' || t->at[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(t->at[i] - '0');
	}
	return true;
}

/* What stands in a line beside printable ASCII: UTF-8 at most. */
static bool
line_is_clean(const char *line, size_t n, bool *is_utf8)
{
	uint8_t all = 0;

	*is_utf8 = false;
	for (size_t i = 0; i < n; i++) {
		if (((uint8_t)line[i] < ' ' && line[i] != '\t') ||
		    line[i] == 0x7f)
			return false;
		all |= (uint8_t)line[i];
	}
	*is_utf8 = (all & 0x80) != 0;
	return !*is_utf8 || utf8_is_valid(line, n);
}

/* Values. */

static void
upper(char *value)
{
	for (; *value != '\0'; value++)
		if (*value >= 'a' && *value <= 'z')
			*value = (char)(*value - 'a' + 'A');
}

/* Words of the RFC's stand in any letter case; their values elsewhere do not. */
static bool
is_of_words(enum parameter parameter)
{
	return parameter == PARAMETER_RET || parameter == PARAMETER_NOTIFY ||
	    parameter == PARAMETER_BY;
}

/* RFC 6533, 3: an address of the type utf-8 may come as it is. */
static bool
encode_orcpt(char value[VALUE_MAX])
{
	static const char type[] = "utf-8;";
	char encoded[VALUE_MAX];

	if (strncasecmp(value, type, sizeof(type) - 1) != 0)
		return true;
	if (!unitext_encode(value + sizeof(type) - 1, encoded,
		sizeof(encoded)) ||
	    strlen(encoded) + sizeof(type) > VALUE_MAX)
		return false;
	strlcpy(value + sizeof(type) - 1, encoded, VALUE_MAX - sizeof(type));
	return true;
}

/* RFC 3461, 4, has the digits of xtext in upper case; clients write others. */
static void
upper_xtext(char *value)
{
	for (; value[0] != '\0'; value++)
		for (int i = 1; value[0] == '+' && i <= 2 && value[i] != '\0';
		     i++)
			if (value[i] >= 'a' && value[i] <= 'f')
				value[i] = (char)(value[i] - 'a' + 'A');
}

static bool
add_job_parameter(struct smtpd_command *c, enum parameter parameter,
    const struct text *value, struct smtpd_reply *wrong)
{
	size_t size = c->verb == SMTPD_VERB_MAIL ? PARAMETERS_MAIL_SIZE
						 : PARAMETERS_RCPT_SIZE;
	char copy[VALUE_MAX];

	if (value->left >= sizeof(copy))
		return complain(wrong, 501, "5.5.4", "a parameter is too long");
	memcpy(copy, value->at, value->left);
	copy[value->left] = '\0';
	if (is_of_words(parameter))
		upper(copy);
	else if (parameter == PARAMETER_ENVID || parameter == PARAMETER_ORCPT)
		upper_xtext(copy);
	if (parameter == PARAMETER_ORCPT && !encode_orcpt(copy))
		return complain(wrong, 501, "5.5.4",
		    "the original recipient (ORCPT) is too long, or no UTF-8");
	c->uses |= 1u << job_capabilities[parameter];
	if (parameters_add(c->parameters, size, parameter, copy))
		return true;
	return complain(wrong, 501, "5.5.4", "the parameters are too long");
}

static bool
set_body(struct smtpd_command *c, const struct text *value,
    struct smtpd_reply *wrong)
{
	if (is_word(value, "7BIT"))
		return true;
	if (is_word(value, "8BITMIME")) {
		c->body = SMTPD_BODY_8BITMIME;
	} else if (is_word(value, "BINARYMIME")) {
		c->body = SMTPD_BODY_BINARYMIME;
		c->uses |= 1u << SMTPD_CAN_BINARYMIME;
	} else {
		return complain(wrong, 501, "5.5.4",
		    "BODY must be 7BIT, 8BITMIME or BINARYMIME");
	}
	return true;
}

static bool
set_own_parameter(struct smtpd_command *c, enum own_parameter parameter,
    bool has_value, const struct text *value, struct smtpd_reply *wrong)
{
	c->uses |= 1u << own_parameters[parameter].capability;
	switch (parameter) {
	case OWN_SIZE:
		if (read_number(value, &c->size))
			return true;
		return complain(wrong, 501, "5.5.4",
		    "SIZE must be a number of octets");
	case OWN_BODY:
		return set_body(c, value, wrong);
	case OWN_SMTPUTF8:
		c->smtputf8 = true;
		break;
	case OWN_REQUIRETLS:
		c->require_tls = true;
		break;
	case OWN_COUNT:
		break;
	}
	return !has_value ||
	    complain(wrong, 501, "5.5.4", "the parameter takes no value");
}

/* One word behind the path: KEYWORD or KEYWORD=VALUE (RFC 5321, 4.1.2). */
static bool
read_parameter(struct smtpd_command *c, const struct text *word,
    struct smtpd_reply *wrong)
{
	enum parameter_command command =
	    c->verb == SMTPD_VERB_MAIL ? PARAMETER_OF_MAIL : PARAMETER_OF_RCPT;
	const char *equals = memchr(word->at, '=', word->left);
	struct text name = *word, value = { word->at + word->left, 0 };

	if (equals != NULL) {
		name.left = (size_t)(equals - word->at);
		value.at = equals + 1;
		value.left = word->left - name.left - 1;
	}
	for (unsigned i = 0; i < PARAMETER_COUNT; i++)
		if (parameter_descs[i].command == command &&
		    is_word(&name, parameter_descs[i].keyword))
			return add_job_parameter(c, (enum parameter)i, &value,
			    wrong);
	for (unsigned i = 0; i < OWN_COUNT && command == PARAMETER_OF_MAIL; i++)
		if (is_word(&name, own_parameters[i].keyword))
			return set_own_parameter(c, (enum own_parameter)i,
			    equals != NULL, &value, wrong);
	return complain(wrong, 555, "5.5.4", "a parameter is not known");
}

static bool
read_parameters(struct smtpd_command *c, struct text *t,
    struct smtpd_reply *wrong)
{
	enum parameter_command command =
	    c->verb == SMTPD_VERB_MAIL ? PARAMETER_OF_MAIL : PARAMETER_OF_RCPT;
	const char *why;
	struct text word;

	while (t->left > 0) {
		word = take_word(t);
		if (!read_parameter(c, &word, wrong))
			return false;
	}
	why = parameters_check(c->parameters, command);
	return why == NULL || complain(wrong, 501, "5.5.4", why);
}

static enum address_error
parse_path(struct smtpd_command *c, const char *in, size_t n)
{
	return c->verb == SMTPD_VERB_MAIL
	    ? address_parse_reverse_path(&c->path, in, n)
	    : address_parse_forward_path(&c->path, in, n);
}

/* What stands between the brackets.  A local part alone is that of somebody here, as
 * programs on this machine write it. */
static enum address_error
complete_path(struct smtpd_command *c, struct text path, const char *origin)
{
	char whole[ADDRESS_PATH_MAX + 2];
	enum address_error error;
	int n;

	error = parse_path(c, path.at, path.left);
	if (error != ADDRESS_NO_DOMAIN || origin[0] == '\0' ||
	    path.left > ADDRESS_PATH_MAX || path.at[path.left - 1] == '@')
		return error;
	n = snprintf(whole, sizeof(whole), "%.*s@%s", (int)path.left, path.at,
	    origin);
	if (n < 0 || (size_t)n >= sizeof(whole))
		return ADDRESS_TOO_LONG;
	return parse_path(c, whole, (size_t)n);
}

/* Between brackets, one pair or two of them; *path is what they hold. */
static bool
take_bracketed(struct text *t, struct text *path)
{
	size_t n = address_find_end(t->at, t->left), pairs = 1;

	if (n > 2 && t->at[1] == '<' && t->left > n && t->at[n] == '>') {
		n++;
		pairs = 2;
	}
	if (n == 0)
		return false;
	path->at = t->at + pairs;
	path->left = n - 2 * pairs;
	t->at += n;
	t->left -= n;
	trim(path);
	return path->left == 0 || *path->at != '<';
}

/*
 * "FROM:<path>" or "TO:<path>".  What is not the RFC's (3.3), but many a client's, and
 * cannot be mistaken for anything: blanks behind the colon, and inside of the
 * brackets; brackets twice; and none, where the path ends at the next blank.
 */
static bool
read_path(struct smtpd_command *c, struct text *t, const char *word,
    const char *origin, struct smtpd_reply *wrong)
{
	bool of_mail = c->verb == SMTPD_VERB_MAIL, ok = true;
	const char *dsn = of_mail ? "5.1.7" : "5.1.3";
	enum address_error error;
	size_t n = strlen(word);
	struct text path;

	if (t->left < n || strncasecmp(t->at, word, n) != 0)
		return complain(wrong, 501, "5.5.4",
		    of_mail ? "Syntax: MAIL FROM:<address>"
			    : "Syntax: RCPT TO:<address>");
	t->at += n;
	t->left -= n;
	skip_blanks(t);
	c->rest = t->at;
	c->rest_len = t->left;
	if (t->left > 0 && *t->at == '<')
		ok = take_bracketed(t, &path);
	else
		path = take_word(t);
	if (!ok)
		return complain(wrong, 501, dsn,
		    address_error_text(ADDRESS_BRACKETS));
	if (path.left == 0 && t->at == c->rest)
		return complain(wrong, 501, dsn,
		    "there is no address; the empty one is <>");
	c->rest_len = *c->rest == '<' ? (size_t)(t->at - c->rest) : path.left;
	error = complete_path(c, path, origin);
	if (error != ADDRESS_OK)
		return complain(wrong, 501, dsn, address_error_text(error));
	if (t->left > 0 && !is_blank(*t->at) && !is_blank(t->at[-1]))
		return complain(wrong, 501, dsn,
		    "only parameters may follow the address");
	skip_blanks(t);
	return read_parameters(c, t, wrong);
}

/* RFC 3030, 2. */
static bool
read_chunk(struct smtpd_command *c, struct text *t, struct smtpd_reply *wrong)
{
	struct text count = take_word(t), last = take_word(t);

	c->last = last.left > 0;
	if (read_number(&count, &c->chunk) && t->left == 0 &&
	    (!c->last || is_word(&last, "LAST")))
		return true;
	return complain(wrong, 521, "5.5.4", "Syntax: BDAT count [LAST]");
}

/* The name goes into the log and into Received: what has another meaning there
 * is taken from it, for whoever errs here is not refused (RFC 5321, 4.1.4). */
static bool
read_name(struct smtpd_command *c, struct text *t, struct smtpd_reply *wrong)
{
	struct text name = take_word(t);

	if (name.left == 0 || name.left >= sizeof(c->name))
		return complain(wrong, 501, "5.5.4",
		    "Syntax: say your host name behind the command");
	for (size_t i = 0; i < name.left; i++)
		c->name[i] =
		    (name.at[i] & 0x80) != 0 || strchr("()<>\\\",;", name.at[i])
		    ? '?'
		    : name.at[i];
	c->name[name.left] = '\0';
	return true;
}

static enum smtpd_verb
find_verb(const struct text *word)
{
	unsigned i;

	for (i = 0; i < SMTPD_VERB_UNKNOWN; i++)
		if (is_word(word, verb_names[i]))
			break;
	return (enum smtpd_verb)i;
}

/* RFC 9110, 9.1, and RFC 5789. */
static bool
is_http_method(const struct text *word)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT",
		"DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH" };

	for (size_t i = 0; i < NELEM(methods); i++)
		if (is_word(word, methods[i]))
			return true;
	return false;
}

/* Whether the line ends as the request line of any method does (RFC 9112, 3). */
static bool
names_http(const struct text *rest)
{
	static const char version[] = "HTTP/";
	const char *end = rest->at + rest->left;
	const char *last = end;

	while (last > rest->at && !is_blank(last[-1]))
		last--;
	return (size_t)(end - last) >= sizeof(version) &&
	    strncasecmp(last, version, sizeof(version) - 1) == 0;
}

/*
 * Whether no client of SMTP or LMTP sends such a line, for it is of another
 * protocol: a web browser, or a program that was made to connect here, has put
 * commands into what it sends.  A request of HTTP; a header field, "Name: value";
 * what does not begin with a letter (TLS without STARTTLS, Redis).
 */
static bool
is_foreign(const struct text *verb, const struct text *rest)
{
	char first = verb->left > 0 ? *verb->at : 'A';

	if (memchr(verb->at, ':', verb->left) != NULL ||
	    (rest->left > 0 && *rest->at == ':'))
		return true;
	if ((first < 'A' || first > 'Z') && (first < 'a' || first > 'z'))
		return true;
	return is_http_method(verb) || names_http(rest);
}

static bool
read_rest(struct smtpd_command *c, struct text *t, const char *origin,
    struct smtpd_reply *wrong)
{
	switch (c->verb) {
	case SMTPD_VERB_HELO:
	case SMTPD_VERB_EHLO:
	case SMTPD_VERB_LHLO:
		return read_name(c, t, wrong);
	case SMTPD_VERB_MAIL:
		return read_path(c, t, "FROM:", origin, wrong);
	case SMTPD_VERB_RCPT:
		return read_path(c, t, "TO:", origin, wrong);
	case SMTPD_VERB_BDAT:
		return read_chunk(c, t, wrong);
	case SMTPD_VERB_DATA:
	case SMTPD_VERB_RSET:
	case SMTPD_VERB_STARTTLS:
		if (t->left > 0)
			return complain(wrong, 501, "5.5.4",
			    "the command takes no argument");
		break;
	case SMTPD_VERB_VRFY:
		if (t->left == 0)
			return complain(wrong, 501, "5.5.4",
			    "Syntax: VRFY address");
		break;
	case SMTPD_VERB_XFORWARD:
		c->rest = t->at;
		c->rest_len = t->left;
		break;
	case SMTPD_VERB_NOOP:
	case SMTPD_VERB_QUIT: /* whatever follows: it wants to go */
	case SMTPD_VERB_EXPN:
	case SMTPD_VERB_HELP:
	case SMTPD_VERB_AUTH:
	case SMTPD_VERB_UNKNOWN:
	case SMTPD_VERB_COUNT:
		break;
	}
	return true;
}

bool
smtpd_command_parse(struct smtpd_command *c, const char *line, size_t n,
    const char *origin, struct smtpd_reply *wrong)
{
	struct text t = { line, n }, verb;
	bool is_utf8, is_clean;

	memset(c, 0, sizeof(*c));
	trim(&t);
	verb = take_word(&t);
	c->verb = find_verb(&verb);
	if (c->verb == SMTPD_VERB_UNKNOWN && is_foreign(&verb, &t)) {
		c->is_foreign = true;
		c->rest = line;
		c->rest_len = n;
		return complain(wrong, 521, "5.7.0",
		    "Error: this is a mail server, and the line is of another "
		    "protocol");
	}
	is_clean = line_is_clean(line, n, &is_utf8);
	c->is_utf8 = is_utf8;
	/* What comes behind a chunk's length must be known even so. */
	if (!is_clean && c->verb != SMTPD_VERB_BDAT)
		return complain(wrong, 500, "5.5.2",
		    "Error: bad syntax: a control character, or no UTF-8");
	return read_rest(c, &t, origin, wrong);
}
