/* SPDX-License-Identifier: ISC */
/* See landlock.h; the kernel's Documentation/userspace-api/landlock.rst. */
#include "common/landlock.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "common/util.h"

#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE       445
#define CALL_RESTRICT_SELF  446
#define CREATE_VERSION      1u
#define RULE_PATH_BENEATH   1
#define RULE_NET_PORT       2

#define ACCESS_FS_EXECUTE   (1ull << 0)
#define ACCESS_FS_LATER     (1ull << 15) /* ioctl on devices, ABI 5 */
#define ACCESS_NET_BIND     (1ull << 0)
#define ACCESS_NET_CONNECT  (1ull << 1)
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL        (1ull << 1)

struct ruleset {
	uint64_t access_fs;
	uint64_t access_net; /* from ABI 4 */
	uint64_t scoped;     /* from ABI 6 */
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port {
	uint64_t allowed;
	uint64_t port; /* host order; 0 of bind: any that the kernel chooses */
};

/* What each ABI can take away, and how much of the struct it reads. */
static const struct abi {
	uint64_t access_fs;
	uint64_t access_net;
	uint64_t scoped;
	size_t size;
} abis[] = {
	{ 0, 0, 0, 0 },
	{ (1ull << 13) - 1, 0, 0, 8 },
	{ (1ull << 14) - 1, 0, 0, 8 },
	{ (1ull << 15) - 1, 0, 0, 8 },
	{ (1ull << 15) - 1, ACCESS_NET_BIND | ACCESS_NET_CONNECT, 0, 16 },
	{ (1ull << 16) - 1, ACCESS_NET_BIND | ACCESS_NET_CONNECT, 0, 16 },
	{ (1ull << 16) - 1, ACCESS_NET_BIND | ACCESS_NET_CONNECT,
	    SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL, 24 },
};

static int
allow_below(int ruleset_fd, const char *below, uint64_t access)
{
	struct path_beneath rule = { 0 };
	int dir, ret;

	dir = open(below, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return -1;
	rule.allowed = access & ~(ACCESS_FS_EXECUTE | ACCESS_FS_LATER);
	rule.parent_fd = dir;
	ret = (int)syscall(CALL_ADD_RULE, ruleset_fd, RULE_PATH_BENEATH, &rule,
	    0);
	fd_close(dir);
	return ret;
}

static int
allow_port(int ruleset_fd, uint64_t allowed, uint16_t port)
{
	struct net_port rule = { allowed, port };

	return (int)syscall(CALL_ADD_RULE, ruleset_fd, RULE_NET_PORT, &rule, 0);
}

static int
allow_ports(int ruleset_fd, const struct landlock_ports *ports)
{
	size_t i;

	if (ports->binds && allow_port(ruleset_fd, ACCESS_NET_BIND, 0) == -1)
		return -1;
	for (i = 0; i < ports->n; i++)
		if (allow_port(ruleset_fd, ACCESS_NET_CONNECT,
			ports->ports[i]) == -1)
			return -1;
	return 0;
}

int
landlock_enter(const char *below, const struct landlock_ports *ports)
{
	struct ruleset rs;
	const struct abi *abi;
	long version;
	int error, fd, ret = -1;

	version = syscall(CALL_CREATE_RULESET, NULL, 0, CREATE_VERSION);
	if (version == -1)
		return 0;
	abi = &abis[(size_t)version < NELEM(abis) ? (size_t)version
						  : NELEM(abis) - 1];
	rs.access_fs = abi->access_fs;
	rs.access_net = abi->access_net;
	rs.scoped = abi->scoped;
	fd = (int)syscall(CALL_CREATE_RULESET, &rs, abi->size, 0);
	if (fd == -1)
		return 0;
	if (below != NULL && allow_below(fd, below, abi->access_fs) == -1)
		goto out;
	if (ports != NULL && abi->access_net != 0 &&
	    allow_ports(fd, ports) == -1)
		goto out;
	ret = syscall(CALL_RESTRICT_SELF, fd, 0) == -1 ? 0 : (int)version;
out:
	error = errno;
	fd_close(fd);
	errno = error;
	return ret;
}

const char *
landlock_word(int error)
{
	switch (error) {
	case ENOSYS:
		return "kernel";
	case EOPNOTSUPP:
		return "boot";
	case EPERM:
	case EACCES:
		return "refused";
	default:
		return "error";
	}
}
