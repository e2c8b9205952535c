/* SPDX-License-Identifier: ISC */
/*
 * The address parser: one cursor that walks over the octets, one function for
 * each rule of the grammar.
 */
#include "common/address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "common/digits.h"
#include "common/idn.h"
#include "common/utf8.h"

struct cursor {
	const char *at;
	const char *end;
};

static const char *const error_texts[] = {
	[ADDRESS_OK] = "address is fine",
#define ADDRESS_ERROR(name, text) [ADDRESS_##name] = text,
#include "common/address.def"
#undef ADDRESS_ERROR
};

const char *
address_error_text(enum address_error error)
{
	if ((unsigned int)error >= ADDRESS_ERROR_COUNT)
		return "address is malformed";
	return error_texts[error];
}

/* The C library's classes depend on the locale; the RFC's do not. */
static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9');
}

static bool
is_ascii(char c)
{
	return ((unsigned char)c & 0x80) == 0;
}

/* RFC 5322, 3.2.3; RFC 6531, 3.3 */
static bool
is_atext(char c)
{
	return is_alnum(c) || !is_ascii(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool
at_char(const struct cursor *cur, char c)
{
	return cur->at < cur->end && *cur->at == c;
}

static enum address_error
check_octets(const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)in[i];

		if (c < 0x20 || c == 0x7f)
			return ADDRESS_CONTROL;
		/* U+0080 to U+009F */
		if (c == 0xc2 && i + 1 < n && (unsigned char)in[i + 1] < 0xa0)
			return ADDRESS_CONTROL;
	}
	return utf8_is_valid(in, n) ? ADDRESS_OK : ADDRESS_NOT_UTF8;
}

size_t
address_find_end(const char *in, size_t n)
{
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (in[i] == '"')
			quoted = !quoted;
		else if (in[i] == '\\' && quoted)
			i++;
		else if (in[i] == '>' && !quoted)
			return i + 1;
	}
	return 0;
}

/* Take one pair of brackets off, and see that no other stands in the way. */
static enum address_error
strip_brackets(struct cursor *cur)
{
	size_t n = (size_t)(cur->end - cur->at);
	size_t end = address_find_end(cur->at, n);

	if (!at_char(cur, '<'))
		return end == 0 ? ADDRESS_OK : ADDRESS_BRACKETS;
	if (end != n)
		return ADDRESS_BRACKETS;
	cur->at++;
	cur->end--;
	return ADDRESS_OK;
}

static enum address_error
take_label(struct cursor *cur)
{
	const char *start = cur->at;

	while (cur->at < cur->end &&
	    (is_alnum(*cur->at) || *cur->at == '-' || *cur->at == '_'))
		cur->at++;
	if (cur->at == start)
		return cur->at == cur->end || *cur->at == '.'
		    ? ADDRESS_LABEL_EMPTY
		    : ADDRESS_DOMAIN;
	if (cur->at - start > ADDRESS_LABEL_MAX)
		return ADDRESS_LABEL_TOO_LONG;
	if (*start == '-' || cur->at[-1] == '-')
		return ADDRESS_LABEL_HYPHEN;
	return ADDRESS_OK;
}

static enum address_error
take_domain_name(struct cursor *cur)
{
	enum address_error error;

	for (;;) {
		error = take_label(cur);
		if (error != ADDRESS_OK || !at_char(cur, '.'))
			return error;
		cur->at++;
	}
}

static enum address_error
take_literal(struct cursor *cur, enum address_domain_kind *kind)
{
	static const char tag[] = "IPv6:";
	char text[INET6_ADDRSTRLEN];
	struct in6_addr octets;
	const char *start = cur->at + 1;
	const char *close;
	size_t len;

	close = memchr(start, ']', (size_t)(cur->end - start));
	if (close == NULL)
		return ADDRESS_LITERAL;
	cur->at = close + 1;
	*kind = ADDRESS_DOMAIN_IPV4;
	if ((size_t)(close - start) > strlen(tag) &&
	    strncasecmp(start, tag, strlen(tag)) == 0) {
		*kind = ADDRESS_DOMAIN_IPV6;
		start += strlen(tag);
	}
	len = (size_t)(close - start);
	if (len >= sizeof(text))
		return ADDRESS_LITERAL;
	memcpy(text, start, len);
	text[len] = '\0';
	if (inet_pton(*kind == ADDRESS_DOMAIN_IPV6 ? AF_INET6 : AF_INET, text,
		&octets) != 1)
		return ADDRESS_LITERAL;
	return ADDRESS_OK;
}

static enum address_error
take_domain(struct cursor *cur, enum address_domain_kind *kind)
{
	if (cur->at == cur->end)
		return ADDRESS_NO_DOMAIN;
	if (*cur->at == '[')
		return take_literal(cur, kind);
	*kind = ADDRESS_DOMAIN_NAME;
	return take_domain_name(cur);
}

/* A-d-l ":" of RFC 5321, 4.1.2: "@one.example,@two.example:". */
static enum address_error
skip_route(struct cursor *cur)
{
	enum address_domain_kind ignored;

	while (at_char(cur, '@')) {
		cur->at++;
		if (take_domain(cur, &ignored) != ADDRESS_OK)
			return ADDRESS_ROUTE;
		if (at_char(cur, ':')) {
			cur->at++;
			return ADDRESS_OK;
		}
		if (!at_char(cur, ','))
			return ADDRESS_ROUTE;
		cur->at++;
	}
	return ADDRESS_ROUTE;
}

/* Atoms and dots in any order; *odd where that is no dot-string (RFC 5321, 4.1.2). */
static enum address_error
take_dot_string(struct cursor *cur, bool *odd)
{
	const char *start = cur->at;
	bool after_dot = true;

	for (; cur->at < cur->end; cur->at++) {
		if (*cur->at == '.') {
			*odd = *odd || after_dot;
			after_dot = true;
		} else if (is_atext(*cur->at)) {
			after_dot = false;
		} else {
			break;
		}
	}
	*odd = *odd || after_dot;
	return cur->at > start ? ADDRESS_OK : ADDRESS_LOCAL;
}

static enum address_error
take_quoted_string(struct cursor *cur)
{
	for (cur->at++; cur->at < cur->end; cur->at++) {
		if (*cur->at == '"') {
			cur->at++;
			return ADDRESS_OK;
		}
		if (*cur->at == '\\' && ++cur->at == cur->end)
			break;
	}
	return ADDRESS_LOCAL;
}

static enum address_error
take_local_part(struct cursor *cur, bool *odd)
{
	*odd = false;
	if (cur->at == cur->end)
		return ADDRESS_EMPTY;
	if (*cur->at == '@')
		return ADDRESS_NO_LOCAL;
	if (*cur->at == '"')
		return take_quoted_string(cur);
	return take_dot_string(cur, odd);
}

/* A local part of local_len octets, which is to be quoted or not, and a domain where
 * there is one. */
static enum address_error
keep(struct address *addr, const char *local, size_t local_len, bool quote,
    const char *domain, size_t domain_len)
{
	size_t more = quote ? 2 : 0;

	if (local_len + more + (domain_len > 0 ? 1 : 0) + domain_len >
	    ADDRESS_PATH_MAX)
		return ADDRESS_TOO_LONG;
	if (domain_len > ADDRESS_DOMAIN_MAX)
		return ADDRESS_DOMAIN_TOO_LONG;
	if (quote)
		addr->path[0] = addr->path[local_len + 1] = '"';
	memcpy(addr->path + more / 2, local, local_len);
	local_len += more;
	addr->local_len = (uint16_t)local_len;
	for (size_t i = 0; i < local_len; i++)
		addr->is_utf8 = addr->is_utf8 || !is_ascii(addr->path[i]);
	if (domain_len == 0)
		return ADDRESS_OK;
	addr->domain_at = (uint16_t)(local_len + 1);
	addr->path[local_len] = '@';
	memcpy(addr->path + local_len + 1, domain, domain_len);
	for (size_t i = 0; i < domain_len; i++) {
		char c = domain[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		addr->domain[i] = c;
	}
	return ADDRESS_OK;
}

/* Over *cur, to its end; where that is of U-labels, *cur is over A-labels in
 * name afterwards. */
static enum address_error
parse_domain(struct cursor *cur, enum address_domain_kind *kind,
    char name[IDN_NAME_SIZE])
{
	struct cursor walk;
	enum address_error error;
	const char *c = cur->at;

	if (cur->end - cur->at > 1 && cur->end[-1] == '.')
		cur->end--; /* the root's, which mail leaves out */
	while (c < cur->end && is_ascii(*c))
		c++;
	if (c < cur->end) {
		if (!idn_to_ascii(cur->at, (size_t)(cur->end - cur->at), name))
			return ADDRESS_IDN;
		cur->at = name;
		cur->end = name + strlen(name);
	}
	walk = *cur;
	error = take_domain(&walk, kind);
	if (error == ADDRESS_OK && walk.at != walk.end)
		return ADDRESS_DOMAIN;
	return error;
}

static enum address_error
parse_mailbox(struct address *addr, struct cursor *cur, bool bare_postmaster)
{
	char name[IDN_NAME_SIZE];
	const char *start = cur->at;
	struct cursor domain;
	size_t local_len;
	bool odd;
	enum address_error error;

	error = take_local_part(cur, &odd);
	if (error != ADDRESS_OK)
		return error;
	local_len = (size_t)(cur->at - start);
	if (at_char(cur, '@')) {
		domain.at = cur->at + 1;
		domain.end = cur->end;
		error = parse_domain(&domain, &addr->kind, name);
		if (error != ADDRESS_OK)
			return error;
		return keep(addr, start, local_len, odd, domain.at,
		    (size_t)(domain.end - domain.at));
	}
	if (cur->at != cur->end)
		return ADDRESS_LOCAL;
	if (!bare_postmaster || local_len != 10 ||
	    strncasecmp(start, "postmaster", 10) != 0)
		return ADDRESS_NO_DOMAIN;
	return keep(addr, start, local_len, false, NULL, 0);
}

static enum address_error
parse_path(struct address *addr, const char *in, size_t n, bool forward)
{
	struct cursor cur = { in, in + n };
	enum address_error error;

	memset(addr, 0, sizeof(*addr));
	error = check_octets(in, n);
	if (error != ADDRESS_OK)
		return error;
	error = strip_brackets(&cur);
	if (error != ADDRESS_OK)
		return error;
	if (!forward && cur.at == cur.end)
		return ADDRESS_OK;
	if (at_char(&cur, '@') &&
	    memchr(cur.at, ':', (size_t)(cur.end - cur.at))) {
		error = skip_route(&cur);
		if (error != ADDRESS_OK)
			return error;
	}
	error = parse_mailbox(addr, &cur, forward);
	if (error != ADDRESS_OK)
		memset(addr, 0, sizeof(*addr)); /* the empty path */
	return error;
}

enum address_error
address_parse_reverse_path(struct address *addr, const char *in, size_t n)
{
	return parse_path(addr, in, n, false);
}

enum address_error
address_parse_forward_path(struct address *addr, const char *in, size_t n)
{
	return parse_path(addr, in, n, true);
}

bool
address_domain_is_dns_name(const char *name)
{
	struct cursor cur = { name, name + strlen(name) };
	const char *last;

	if (cur.end - cur.at > ADDRESS_DOMAIN_MAX ||
	    take_domain_name(&cur) != ADDRESS_OK || cur.at != cur.end)
		return false;
	last = strrchr(name, '.');
	for (last = last == NULL ? name : last + 1; *last != '\0'; last++)
		if (!digits_is(*last))
			return true;
	return false;
}

bool
address_domain_is_host_name(const char *name)
{
	return strchr(name, '_') == NULL && address_domain_is_dns_name(name);
}

bool
address_is_ip(const char *text)
{
	struct in6_addr octets;

	return inet_pton(AF_INET, text, &octets) == 1 ||
	    inet_pton(AF_INET6, text, &octets) == 1;
}

bool
address_is_host(const char *text)
{
	return address_is_ip(text) || address_domain_is_host_name(text);
}
