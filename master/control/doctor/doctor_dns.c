/* SPDX-License-Identifier: ISC */
/* The doctor on names: the name servers, and this host's own name. */
#include "master/control/doctor/doctor.h"

#include <sys/random.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/listen.h"

#define DNS_PORT     53
#define DNS_TYPE_MX  15 /* RFC 1035, 3.2.2 */
#define DNS_CLASS_IN 1
#define DNS_SERVFAIL 2 /* RFC 1035, 4.1.1 */
#define SERVERS_MAX  8

/* A question (RFC 1035, 4.1); its octets, or 0: the name is none. */
static size_t
write_question(uint8_t *out, size_t size, uint16_t id, const char *name)
{
	static const uint8_t tail[] = { 0, 0, DNS_TYPE_MX, 0, DNS_CLASS_IN };
	size_t at = 12, len;

	if (strlen(name) + 12 + 2 + sizeof(tail) > size)
		return 0;
	memset(out, 0, at);
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[2] = 1; /* RD */
	out[5] = 1; /* one question */
	for (; *name != '\0'; name += len + (name[len] == '.')) {
		len = strcspn(name, ".");
		if (len == 0 || len > 63)
			return 0;
		out[at++] = (uint8_t)len;
		memcpy(out + at, name, len);
		at += len;
	}
	memcpy(out + at, tail, sizeof(tail));
	return at + sizeof(tail);
}

/* The RCODE of the answer, or -1 with errno. */
static int
ask_server(const struct sockaddr_storage *to, socklen_t len, const char *name)
{
	uint8_t question[300], answer[512];
	struct pollfd pfd = { .events = POLLIN };
	uint16_t id;
	ssize_t n = -1;
	size_t asked;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -1;
	asked = write_question(question, sizeof(question), id, name);
	pfd.fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (pfd.fd != -1 &&
	    connect(pfd.fd, (const struct sockaddr *)to, len) == 0 &&
	    send(pfd.fd, question, asked, 0) == (ssize_t)asked) {
		errno = ETIMEDOUT;
		if (poll(&pfd, 1, DOCTOR_TRY_MS) == 1)
			n = recv(pfd.fd, answer, sizeof(answer), 0);
	}
	fd_close(pfd.fd);
	if (n == -1)
		return -1;
	errno = EPROTO;
	if (n < 12 || memcmp(answer, question, 2) != 0 || answer[2] < 0x80)
		return -1;
	return answer[3] & 0x0F;
}

/* "ADDRESS" or "ADDRESS@PORT"; false: it is none. */
static bool
read_server(const char *word, struct sockaddr_storage *to, socklen_t *len)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *at = strchr(word, '@'), *error = NULL;
	size_t n = at != NULL ? (size_t)(at - word) : strlen(word);
	uint16_t port = DNS_PORT;

	if (n >= sizeof(host))
		return false;
	memcpy(host, word, n);
	host[n] = '\0';
	if (at != NULL)
		port = (uint16_t)strtonum(at + 1, 1, UINT16_MAX, &error);
	*len = error == NULL ? listen_address(host, port, to) : 0;
	return *len > 0;
}

/* The addresses of resolv.conf(5). */
static size_t
read_resolv_conf(char servers[SERVERS_MAX][64])
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char line[256];
	size_t n = 0;

	while (f != NULL && n < SERVERS_MAX &&
	    fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "nameserver %63s", servers[n]) == 1)
			n++;
	if (f != NULL)
		fclose(f);
	return n;
}

static size_t
find_servers(const struct config *c, char servers[SERVERS_MAX][64])
{
	size_t i;

	if (c->name_servers.count == 0)
		return read_resolv_conf(servers);
	for (i = 0; i < c->name_servers.count && i < SERVERS_MAX; i++)
		(void)strlcpy(servers[i], c->name_servers.words[i], 64);
	return i;
}

/* Whether it can be used; what it says of the name is another thing. */
static bool
look_at_server(struct doctor *d, const char *server, const char *name)
{
	struct sockaddr_storage to;
	socklen_t len;
	int rcode;

	if (!read_server(server, &to, &len))
		return true; /* a scope, say: the resolver knows better */
	rcode = ask_server(&to, len, name);
	if (rcode == -1)
		doctor_say(d, DOCTOR_WARNING,
		    "name one that answers, in name_servers or "
		    "/etc/resolv.conf",
		    "name server %s does not answer: %s", server,
		    strerror(errno));
	else if (rcode == DNS_SERVFAIL)
		doctor_say(d, DOCTOR_WARNING,
		    "look at that server, or name another",
		    "name server %s cannot look up %s (SERVFAIL)", server,
		    name);
	return rcode != -1 && rcode != DNS_SERVFAIL;
}

static void
look_at_files(struct doctor *d)
{
	const struct config *c = d->config;
	const char *anchor = c->dnssec_trust_anchor_file;

	if (anchor[0] != '\0' && access(anchor, R_OK) == -1)
		doctor_say(d,
		    errno == EACCES && geteuid() != 0 ? DOCTOR_SKIPPED
						      : DOCTOR_FAULT,
		    "install dns-root-data, whose "
		    "/usr/share/dns/root.key it may be, or leave it empty",
		    "dnssec_trust_anchor_file %s: %s: posternd does not start",
		    anchor, strerror(errno));
	if (c->hosts_file[0] != '\0' && access(c->hosts_file, R_OK) == -1)
		doctor_say(d, DOCTOR_WARNING,
		    "name one that is there, or leave it empty",
		    "hosts_file %s: %s", c->hosts_file, strerror(errno));
}

static const char *
own_name(const struct config *c, char out[256])
{
	(void)strlcpy(out, c->hostname, 256);
	if (out[0] == '\0' && gethostname(out, 255) == -1)
		out[0] = '\0';
	out[255] = '\0';
	return out;
}

void
doctor_dns_resolver(struct doctor *d)
{
	char servers[SERVERS_MAX][64], name[256];
	const char *ask = d->domain;
	size_t i, n, good = 0;

	if (ask == NULL)
		ask = own_name(d->config, name);
	look_at_files(d);
	n = find_servers(d->config, servers);
	for (i = 0; i < n; i++)
		good += look_at_server(d, servers[i], ask);
	if (n == 0)
		doctor_say(d, DOCTOR_FAULT,
		    "set name_servers, or nameserver lines in "
		    "/etc/resolv.conf",
		    "there is no name server to ask");
	else if (good == 0)
		doctor_say(d, DOCTOR_FAULT,
		    "set name_servers to one that answers; a firewall may be "
		    "in the way",
		    "no name server answers: mail that wants an MX waits");
	else if (d->findings == 0)
		doctor_say(d, DOCTOR_WELL, NULL,
		    "%zu name server%s answer%s the question for the MX of %s",
		    n, n == 1 ? "" : "s", n == 1 ? "s" : "", ask);
}

/* In a child: the C library may take its time.  Words to out; an EAI number. */
static int
look_up(const void *arg, int out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const char *name = arg;
	struct addrinfo *list = NULL, *a;
	char host[1025];
	bool back = false;
	int error = getaddrinfo(name, NULL, &hints, &list);

	if (error != 0) {
		dprintf(out, "%s has no address: %s", name,
		    gai_strerror(error));
		return 1;
	}
	for (a = list; a != NULL && !back; a = a->ai_next)
		back = getnameinfo(a->ai_addr, a->ai_addrlen, host,
			   sizeof(host), NULL, 0, NI_NAMEREQD) == 0 &&
		    strcasecmp(host, name) == 0;
	freeaddrinfo(list);
	if (!back)
		dprintf(out,
		    "none of the addresses of %s has that name in turn", name);
	return back ? 0 : 1;
}

void
doctor_dns_hostname(struct doctor *d)
{
	char name[256], text[512];
	int error;

	(void)own_name(d->config, name);
	if (strchr(name, '.') == NULL) {
		doctor_say(d, DOCTOR_WARNING,
		    "set hostname to the full name that mail is sent from",
		    "\"%s\" is not fully qualified: servers are greeted with "
		    "an address literal, which some refuse",
		    name);
		return;
	}
	error =
	    doctor_try(NULL, DOCTOR_TRY_MS, look_up, name, text, sizeof(text));
	if (error == ETIMEDOUT)
		doctor_say(d, DOCTOR_WARNING, "see resolver below",
		    "%s could not be looked up in time", name);
	else if (error != 0)
		doctor_say(d, DOCTOR_WARNING,
		    "publish an A or AAAA record and a PTR record that agree: "
		    "many servers refuse mail without; behind a relay it is "
		    "of no matter",
		    "%s", text);
	else
		doctor_say(d, DOCTOR_WELL, NULL, "%s, forward and backward",
		    name);
}
