/* SPDX-License-Identifier: ISC */
/*
 * Why a certificate was not trusted: its dates and its names, for whoever reads the
 * log.  It is called in a confined worker, and leads to no system call.
 */
#include "agent/tls_doubt.h"

#include <arpa/inet.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

/* What fits of a text whose octets are the remote's.  Not by strftime(), nor by
 * inet_ntoa(): the first may read the time zone's file. */
static void
add(char out[static TLS_DOUBT_SIZE], const char *text, size_t n)
{
	size_t len = strlen(out);

	for (; n > 0 && len + 1 < TLS_DOUBT_SIZE; text++, n--)
		out[len++] = *text > ' ' && *text <= '~' ? *text : '?';
	out[len] = '\0';
}

static void
describe_date(const char *what, const ASN1_TIME *date,
    char out[static TLS_DOUBT_SIZE])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(date, &tm) == 1)
		(void)snprintf(out, TLS_DOUBT_SIZE, "%s %04d-%02d-%02d", what,
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* One of subjectAltName, where it is of a kind that names a server. */
static bool
print_name(const GENERAL_NAME *name, char *text, size_t size, size_t *len)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	const unsigned char *octets;
	int n;

	if (type != GEN_DNS && type != GEN_IPADD)
		return false;
	octets = ASN1_STRING_get0_data(value);
	n = ASN1_STRING_length(value);
	if (type == GEN_IPADD) {
		if ((n != 4 && n != 16) ||
		    inet_ntop(n == 4 ? AF_INET : AF_INET6, octets, text,
			(socklen_t)size) == NULL)
			return false;
		*len = strlen(text);
		return true;
	}
	*len = (size_t)n < size ? (size_t)n : size;
	memcpy(text, octets, *len);
	return true;
}

static void
describe_names(const X509 *cert, char out[static TLS_DOUBT_SIZE])
{
	/* Above the room that "..." needs. */
	static const size_t most = TLS_DOUBT_SIZE - sizeof(", ...");
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char text[TLS_DOUBT_SIZE];
	size_t len = 0, count = 0;
	int i;

	for (i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		if (!print_name(sk_GENERAL_NAME_value(names, i), text,
			sizeof(text), &len))
			continue;
		if (strlen(out) + strlen("it is for ") + len > most) {
			strlcat(out,
			    count++ > 0 ? ", ..." : "it is for a longer name",
			    TLS_DOUBT_SIZE);
			break;
		}
		strlcat(out, count++ == 0 ? "it is for " : ", ",
		    TLS_DOUBT_SIZE);
		add(out, text, len);
	}
	if (count == 0)
		strlcpy(out, "it has no host in subjectAltName",
		    TLS_DOUBT_SIZE);
	GENERAL_NAMES_free(names);
}

void
tls_doubt_describe(int error, const X509 *cert, char out[TLS_DOUBT_SIZE])
{
	out[0] = '\0';
	if (cert == NULL)
		return;
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		describe_date("on", X509_get0_notAfter(cert), out);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		describe_date("before", X509_get0_notBefore(cert), out);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		describe_names(cert, out);
		break;
	default:
		break;
	}
}
