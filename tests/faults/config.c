/* SPDX-License-Identifier: ISC */
/* A configuration is read whole or not at all, and what fails is said. */
#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/config.h"

static const char text[] =
    "spool_directory = \"/var/spool/postern\"\n"
    "hostname = \"client.example\"\n"
    "listener mta {\n protocol = lmtp\n listen = \"unix:/run/lmtp\"\n"
    " smtpd_authorized_xforward_hosts = { root, postfix }\n}\n"
    "listener net {\n protocol = smtp\n listen = \"127.0.0.1:2525\"\n"
    " smtpd_authorized_xforward_hosts = { 127.0.0.1 }\n}\n"
    "transport smtp {\n discard_ehlo_keywords = { DSN, CHUNKING }\n}\n"
    "transport lmtp {\n protocol = lmtp\n server = \"unix:/run/lmtp\"\n}\n"
    "server \"192.0.2.0/24\" {\n discard_ehlo_keywords = { PIPELINING }\n}\n"
    "route local.example {\n transport = lmtp\n}\n"
    "route \".example.org\" {\n transport = lmtp\n}\n"
    "route \"*\" {\n transport = smtp\n}\n";

static void
run(void)
{
	static struct config_errors errors;
	struct config *config;

	faults_arm();
	config = config_read("test.conf", text, strlen(text), &errors);
	faults_disarm();
	if ((config == NULL) != (errors.count > 0))
		faults_fail("a configuration with %zu errors, or none without",
		    (size_t)errors.count);
	if (config == NULL && !faults_fired())
		faults_fail("%s", errors.lines[0]);
	config_free(config);
}

const struct scenario config_scenario = { "config", run };
