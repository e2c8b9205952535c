/* SPDX-License-Identifier: ISC */
/*
 * Asks the kernel by rtnetlink(7): getifaddrs() would open a socket each time,
 * which the resolver's filter does not allow.
 */
#include "master/resolver/own.h"

#include <sys/socket.h>

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum {
	OWN_ADDRESSES_MAX = 256,
	OWN_BUFFER_SIZE = 32768, /* the kernel fills no more of it at once */
	OWN_TRIES = 3,           /* where addresses change meanwhile */
};

struct own {
	int fd; /* -1: there is no netlink */
	uint32_t seq;
	const char *hostname;
	size_t count, taken;
	struct plan_address addresses[OWN_ADDRESSES_MAX];
	struct plan_address coming[OWN_ADDRESSES_MAX];
};

struct own *
own_new(const char *hostname)
{
	struct own *own = calloc(1, sizeof(*own));

	if (own == NULL)
		return NULL;
	own->hostname = hostname;
	own->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (own->fd == -1)
		log_line(LOG_ERROR,
		    "the addresses of this machine cannot be read: %s; only its "
		    "name shows that mail would come back to it",
		    strerror(errno));
	return own;
}

static int
ask(struct own *own)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
	} request;

	memset(&request, 0, sizeof(request));
	request.head.nlmsg_len = sizeof(request);
	request.head.nlmsg_type = RTM_GETADDR;
	request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.head.nlmsg_seq = ++own->seq;
	request.body.ifa_family = AF_UNSPEC;
	return send(own->fd, &request, sizeof(request), 0) == sizeof(request)
	    ? 0
	    : -1;
}

static void
take(struct own *own, uint8_t family, const uint8_t *octets, size_t n)
{
	struct plan_address *a;

	if (n != (family == AF_INET ? 4U : 16U) ||
	    own->taken == OWN_ADDRESSES_MAX)
		return;
	a = &own->coming[own->taken++];
	memset(a, 0, sizeof(*a));
	a->family = family;
	memcpy(a->addr, octets, n);
}

/* Of one address its own end: IFA_LOCAL where there is one, for IFA_ADDRESS may
 * be the other end of a link. */
static void
take_address(struct own *own, const uint8_t *in, size_t n)
{
	const uint8_t *address = NULL;
	struct ifaddrmsg body;
	struct rtattr attribute;
	size_t len = 0, step;
	bool is_local = false;

	if (n < sizeof(body))
		return;
	memcpy(&body, in, sizeof(body));
	if (body.ifa_family != AF_INET && body.ifa_family != AF_INET6)
		return;
	for (step = NLMSG_ALIGN(sizeof(body)); step <= n;
	     step = RTA_ALIGN(attribute.rta_len)) {
		in += step;
		n -= step;
		if (n < sizeof(attribute))
			break;
		memcpy(&attribute, in, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) ||
		    attribute.rta_len > n)
			break;
		if (attribute.rta_type != IFA_LOCAL &&
		    (attribute.rta_type != IFA_ADDRESS || is_local))
			continue;
		is_local = attribute.rta_type == IFA_LOCAL;
		address = in + RTA_LENGTH(0);
		len = attribute.rta_len - RTA_LENGTH(0);
	}
	if (address != NULL)
		take(own, body.ifa_family, address, len);
}

/* One packet of an answer.  1: there are more; 0: it was the last; -1. */
static int
take_packet(struct own *own, const uint8_t *in, size_t n)
{
	struct nlmsghdr head;
	size_t step;

	for (; n >= sizeof(head); in += step, n -= step) {
		memcpy(&head, in, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > n)
			return -1;
		step = NLMSG_ALIGN(head.nlmsg_len);
		if (step > n)
			step = n;
		if (head.nlmsg_seq != own->seq)
			continue; /* of a question that was given up */
		if (head.nlmsg_type == NLMSG_ERROR ||
		    (head.nlmsg_flags & NLM_F_DUMP_INTR) != 0)
			return -1;
		if (head.nlmsg_type == NLMSG_DONE)
			return 0;
		if (head.nlmsg_type == RTM_NEWADDR)
			take_address(own, in + NLMSG_HDRLEN,
			    head.nlmsg_len - NLMSG_HDRLEN);
	}
	return 1;
}

/* The kernel has each packet ready when we ask for it: nothing is waited for. */
static int
read_once(struct own *own)
{
	static uint8_t buffer[OWN_BUFFER_SIZE];
	int more = 1;
	ssize_t n;

	own->taken = 0;
	if (ask(own) == -1)
		return -1;
	while (more == 1) {
		n = recv(own->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (n <= 0)
			return -1;
		more = take_packet(own, buffer, (size_t)n);
	}
	return more;
}

bool
own_read(struct own *own, struct plan_self *self)
{
	bool good = false;
	int i;

	for (i = 0; i < OWN_TRIES && own->fd != -1 && !good; i++)
		good = read_once(own) == 0;
	if (good) {
		memcpy(own->addresses, own->coming,
		    own->taken * sizeof(own->addresses[0]));
		own->count = own->taken;
	}
	self->hostname = own->hostname;
	self->addresses = own->addresses;
	self->naddresses = own->count;
	return good;
}
