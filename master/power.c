/* SPDX-License-Identifier: ISC */
/*
 * What of root's power the master keeps: capabilities that it uses, for itself
 * and for whatever it executes.  A unit file may say the same; here it holds
 * wherever posternd is started.
 */
#include "master/power.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/util.h"

/* Newer than the headers of some distributions. */
#ifndef CAP_AUDIT_READ
#define CAP_AUDIT_READ 37
#endif

static const cap_value_t kept[] = {
	CAP_SETUID,           /* the users of the roles and of commands */
	CAP_SETGID,           /* their groups */
	CAP_SETPCAP,          /* this, and that a role gives up the rest */
	CAP_SYS_ADMIN,        /* namespaces and empty roots */
	CAP_CHOWN,            /* sockets' and the spool's owners */
	CAP_FOWNER,           /* their modes */
	CAP_DAC_OVERRIDE,     /* the run folder, once it is somebody else's */
	CAP_DAC_READ_SEARCH,  /* keys and passwords of other owners */
	CAP_KILL,             /* a role that hangs */
	CAP_SYS_PTRACE,       /* `postern status` reads /proc of the roles */
	CAP_NET_BIND_SERVICE, /* ports below 1024 */
	CAP_SYS_RESOURCE,     /* descriptors */
	CAP_AUDIT_READ,       /* which call a filter forbade */
};

static bool
is_kept(cap_value_t cap)
{
	for (size_t i = 0; i < NELEM(kept); i++)
		if (kept[i] == cap)
			return true;
	return false;
}

/* Those of kept that we have; of the others none can come back by exec(). */
int
power_limit(void)
{
	cap_flag_value_t has = CAP_CLEAR;
	cap_t now = NULL, then = NULL;
	int ret = -1;

	now = cap_get_proc();
	then = cap_init();
	if (now == NULL || then == NULL)
		goto out;
	for (cap_value_t cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0;
	     cap++) {
		/* EPERM: without the right to, we have nothing to lose */
		if (!is_kept(cap) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1 &&
		    errno != EPERM)
			goto out;
	}
	for (size_t i = 0; i < NELEM(kept); i++) {
		if (cap_get_flag(now, kept[i], CAP_PERMITTED, &has) == -1)
			continue; /* unknown to this kernel */
		if (has == CAP_SET &&
		    (cap_set_flag(then, CAP_PERMITTED, 1, &kept[i], CAP_SET) ==
			    -1 ||
			cap_set_flag(then, CAP_EFFECTIVE, 1, &kept[i],
			    CAP_SET) == -1))
			goto out;
	}
	ret = cap_set_proc(then);
out:
	if (now != NULL)
		(void)cap_free(now);
	if (then != NULL)
		(void)cap_free(then);
	return ret;
}
