/* SPDX-License-Identifier: ISC */
/*
 * Which system call a filter ended a role for.  Its wait status says SIGSYS and no
 * more, so the master asks for the kernel's audit records of filters (netlink,
 * AUDIT_NLGRP_READLOG: they come there whether or not auditd runs).  Where we may
 * not have them, the log says where they are.
 */
#include "master/autopsy.h"

#include <sys/queue.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "master/master_internal.h"

enum {
	RECORDS_KEPT = 32, /* those of workers come, too */
	DEATHS_KEPT = 8,
	DEATH_PATIENCE_S = 2, /* a record is written by a thread of the kernel */
	RECORD_SIZE = 8970, /* MAX_AUDIT_MESSAGE_LENGTH of libaudit */
};

struct death {
	int64_t pid; /* 0: none */
	unsigned role;
};

struct autopsy {
	int fd;
	struct event *readable;
	struct event *timer; /* while a death has no record */
	struct autopsy_record records[RECORDS_KEPT];
	size_t next;
	struct death deaths[DEATHS_KEPT];
};

/* The number after " word="; -1: there is none. */
static int64_t
number_of(const char *text, const char *word, int base)
{
	const char *at = strstr(text, word);
	unsigned long n;
	char *end;

	if (at == NULL)
		return -1;
	at += strlen(word);
	errno = 0;
	n = strtoul(at, &end, base);
	if (end == at || errno != 0 || n > UINT32_MAX)
		return -1;
	return (int64_t)n;
}

bool
autopsy_parse(const char *text, struct autopsy_record *record)
{
	int64_t pid = number_of(text, " pid=", 10);
	int64_t arch = number_of(text, " arch=", 16);
	int64_t call = number_of(text, " syscall=", 10);

	if (pid <= 0 || arch == -1 || call == -1 || call > INT32_MAX ||
	    number_of(text, " sig=", 10) != SIGSYS)
		return false;
	record->pid = pid;
	record->arch = (uint32_t)arch;
	record->call = (int)call;
	return true;
}

void
autopsy_name(const struct autopsy_record *record, char *out, size_t size)
{
	char *name = NULL;

	if (record->arch == seccomp_arch_native())
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE,
		    record->call);
	if (name != NULL)
		(void)snprintf(out, size, "%s", name);
	else
		(void)snprintf(out, size, "call %d of architecture %#x",
		    record->call, record->arch);
	free(name);
}

static void
say(const struct death *death, const struct autopsy_record *record)
{
	char name[64];

	autopsy_name(record, name, sizeof(name));
	log_line(LOG_ERROR, "the %s [%lld]: its filter forbids %s",
	    role_name(death->role), (long long)death->pid, name);
}

static void
say_where(const struct death *death)
{
	log_line(LOG_ERROR,
	    "the %s [%lld]: the kernel's log names the system call: journalctl "
	    "-k, or dmesg, | grep 'pid=%lld '",
	    role_name(death->role), (long long)death->pid,
	    (long long)death->pid);
}

/* A record that belongs to a death is said, and both are done with. */
static void
match(struct autopsy *a)
{
	size_t i, j;

	for (i = 0; i < DEATHS_KEPT; i++) {
		for (j = 0; a->deaths[i].pid != 0 && j < RECORDS_KEPT; j++) {
			if (a->records[j].pid != a->deaths[i].pid)
				continue;
			say(&a->deaths[i], &a->records[j]);
			a->deaths[i].pid = 0;
			a->records[j].pid = 0;
		}
	}
}

static void
take(struct autopsy *a, const struct nlmsghdr *head, size_t n)
{
	char text[RECORD_SIZE + 1];
	size_t len = n - NLMSG_HDRLEN;

	if (head->nlmsg_type != AUDIT_SECCOMP || len >= sizeof(text))
		return;
	memcpy(text, (const char *)head + NLMSG_HDRLEN, len);
	text[len] = '\0';
	if (autopsy_parse(text, &a->records[a->next]))
		a->next = (a->next + 1) % RECORDS_KEPT;
}

static void
drain(struct autopsy *a)
{
	union {
		struct nlmsghdr head;
		uint8_t octets[NLMSG_HDRLEN + RECORD_SIZE];
	} in;
	ssize_t n;

	do {
		n = recv(a->fd, &in, sizeof(in), MSG_DONTWAIT);
		if (n >= NLMSG_HDRLEN)
			take(a, &in.head, (size_t)n);
	} while (n > 0 || (n == -1 && (errno == ENOBUFS || errno == EINTR)));
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	drain(arg);
	match(arg);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct autopsy *a = arg;
	size_t i;

	(void)fd;
	(void)what;
	for (i = 0; i < DEATHS_KEPT; i++) {
		if (a->deaths[i].pid != 0)
			say_where(&a->deaths[i]);
		a->deaths[i].pid = 0;
	}
}

/* The records of filters and no others; -1 where we may not have them. */
static int
listen_to_kernel(void)
{
	/* The type is in our byte order, a load in the network's. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS,
		    offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(AUDIT_SECCOMP), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { NELEM(code), code };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK,
		.nl_groups = 1u << (AUDIT_NLGRP_READLOG - 1) };
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter,
		sizeof(filter)) == 0 &&
	    bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	fd_close(fd);
	return -1;
}

void
autopsy_open(struct master *m)
{
	struct autopsy *a;

	a = calloc(1, sizeof(*a));
	if (a == NULL)
		fatal("no memory");
	m->autopsy = a;
	a->fd = listen_to_kernel();
	a->timer = evtimer_new(m->role.base, on_timer, a);
	if (a->timer == NULL)
		fatal("no memory");
	if (a->fd == -1)
		return;
	a->readable = event_new(m->role.base, a->fd, EV_READ | EV_PERSIST,
	    on_readable, a);
	if (a->readable == NULL || event_add(a->readable, NULL) == -1)
		fatal("the loop: %s", strerror(errno));
}

void
autopsy_begin(struct master *m, unsigned role, pid_t pid)
{
	const struct timeval patience = { DEATH_PATIENCE_S, 0 };
	struct autopsy *a = m->autopsy;
	struct death death = { pid, role };
	size_t i;

	if (a->fd == -1) {
		say_where(&death);
		return;
	}
	for (i = 0; i < DEATHS_KEPT - 1; i++)
		if (a->deaths[i].pid == 0)
			break;
	a->deaths[i] = death;
	drain(a);
	match(a);
	if (a->deaths[i].pid != 0)
		event_add(a->timer, &patience);
}

void
autopsy_close(struct master *m)
{
	struct autopsy *a = m->autopsy;

	if (a == NULL)
		return;
	if (a->readable != NULL)
		event_free(a->readable);
	event_free(a->timer);
	fd_close(a->fd);
	free(a);
	m->autopsy = NULL;
}
