/* SPDX-License-Identifier: ISC */
/* The users and groups that listeners name, and their certificates. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "master/load_internal.h"

#define PEM_FILE_MAX (512 << 10) /* octets */

/* Adds the users of a list behind those that are there; how many. */
static size_t
look_up_users(struct loading *l, const struct config_listener *listener,
    const char *param, const struct config_list *users, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < users->count; i++) {
		if (strcmp(users->words[i], "everybody") == 0)
			continue;
		if (load_uid(users->words[i], &out[n]))
			n++;
		else
			load_wrong(l, listener->line,
			    "listener %s: %s: there is no user %s",
			    listener->name, param, users->words[i]);
	}
	return n;
}

/* A file of the operator's, behind what text holds; false: said. */
static bool
read_pem(struct loading *l, const struct config_listener *listener,
    const char *param, const char *path, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *more = NULL, *all = NULL;
	struct stat st;
	size_t n = 0;

	errno = fd == -1 ? errno : EINVAL;
	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		more = fd_read_all(fd, PEM_FILE_MAX, &n);
	if (more == NULL)
		load_wrong(l, listener->line, "listener %s: %s: %s: %s",
		    listener->name, param, path, strerror(errno));
	else if ((all = recallocarray(*text, *len, *len + n + 1, 1)) == NULL)
		load_wrong(l, listener->line, "listener %s: no memory",
		    listener->name);
	if (all != NULL) {
		memcpy(all + *len, more, n);
		all[*len + n] = '\n';
		*text = all;
		*len += n + 1;
	}
	freezero(more, n);
	fd_close(fd);
	return all != NULL;
}

/* The intake gets no key, even where it stands in the same file. */
static int
seal_certificates(const char *text, size_t len)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	static const char end[] = "-----END CERTIFICATE-----";
	const char *at = text, *limit = text + len, *from, *to;
	char *out = malloc(len + 1);
	size_t n = 0;
	int fd;

	if (out == NULL)
		return -1;
	while ((from = memmem(at, (size_t)(limit - at), begin,
		    strlen(begin))) != NULL) {
		to = memmem(from, (size_t)(limit - from), end, strlen(end));
		if (to == NULL)
			break;
		to += strlen(end);
		memcpy(out + n, from, (size_t)(to - from));
		n += (size_t)(to - from);
		out[n++] = '\n';
		at = to;
	}
	fd = fd_sealed("certificates", out, n);
	free(out);
	return fd;
}

/* The certificates alone, and with the key; what stands in them is for the
 * signer to read. */
static void
load_pair(struct loading *l, const struct config_listener *listener,
    struct load_listener *out)
{
	char *text = NULL;
	size_t len = 0;

	if (listener->tls_cert_file[0] == '\0' ||
	    listener->tls_security_level == CONFIG_TLS_NONE ||
	    !read_pem(l, listener, "tls_cert_file", listener->tls_cert_file,
		&text, &len))
		return;
	out->chain_fd = seal_certificates(text, len);
	if (listener->tls_key_file[0] == '\0' ||
	    read_pem(l, listener, "tls_key_file", listener->tls_key_file, &text,
		&len))
		out->pair_fd = fd_sealed("key", text, len);
	if (out->chain_fd == -1 || out->pair_fd == -1)
		load_wrong(l, listener->line, "listener %s: no memory",
		    listener->name);
	freezero(text, len);
}

static void
load_listener(struct loading *l, const struct config_listener *listener,
    struct load_listener *out)
{
	char param[80];

	out->group = (gid_t)-1;
	load_pair(l, listener, out);
	if (listener->at.kind != NEXT_HOP_UNIX)
		return;
	(void)snprintf(param, sizeof(param), "listener %s: group",
	    listener->name); /* its name has at most 32 octets */
	out->group = load_group(l, param, listener->group);
	out->any = listener->everybody || listener->clients.count == 0;
	out->uids[0] = geteuid(); /* who started us may */
	out->count = 1 +
	    look_up_users(l, listener, "clients", &listener->clients,
		out->uids + 1);
	out->trusted = look_up_users(l, listener,
	    "smtpd_authorized_xforward_hosts",
	    &listener->smtpd_authorized_xforward_hosts, out->uids + out->count);
}

void
load_listeners(struct loading *l)
{
	const struct config *c = l->load->config;

	if (c->nlisteners == 0)
		return;
	l->load->listeners = calloc(c->nlisteners, sizeof(*l->load->listeners));
	if (l->load->listeners == NULL) {
		load_wrong(l, 0, "no memory");
		return;
	}
	for (size_t i = 0; i < c->nlisteners; i++)
		l->load->listeners[i].chain_fd = l->load->listeners[i].pair_fd =
		    -1;
	for (size_t i = 0; i < c->nlisteners; i++)
		load_listener(l, &c->listeners[i], &l->load->listeners[i]);
}
