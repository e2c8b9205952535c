/* SPDX-License-Identifier: ISC */
/* Why a certificate was not trusted, in words of the certificate itself. */
#ifndef POSTERN_AGENT_TLS_DOUBT_H
#define POSTERN_AGENT_TLS_DOUBT_H

#include <stddef.h>

#include <openssl/x509.h>

#define TLS_DOUBT_SIZE 160

/*
 * tls_doubt_describe - what its reader would look up in a certificate that failed
 * with an error of X509_V_ERR_*: when it expired, or which names it has.
 *
 * Empty for errors that need no more words.  Printable ASCII, whatever is in the
 * certificate.
 */
void tls_doubt_describe(int error, const X509 *cert, char out[TLS_DOUBT_SIZE]);

#endif
