/* SPDX-License-Identifier: ISC */
/* The kernel's records of filters, as it writes them. */
#include "master/autopsy.h"

#include <string.h>

#include <criterion/criterion.h>

#include "common/util.h"

#define HEAD                                                                   \
	"audit(1796057369.178:1830): auid=4294967295 uid=0 gid=0 "            \
	"ses=4294967295 "

static const struct {
	const char *text;
	bool want;
	int64_t pid;
	const char *name;
} cases[] = {
	{ HEAD "pid=28217 comm=\"posternd\" exe=\"/usr/sbin/posternd\" sig=31 "
	       "arch=c000003e syscall=99 compat=0 ip=0x7f92 code=0x80000000",
	    true, 28217, "sysinfo" },
	{ HEAD "pid=28217 comm=706F206E exe=\"/x\" sig=31 arch=c000003e "
	       "syscall=59 compat=0 ip=0x7f92 code=0x80000000",
	    true, 28217, "execve" },
	{ HEAD "pid=1 comm=\"x\" exe=\"/x\" sig=31 arch=40000003 syscall=20 "
	       "compat=1 ip=0x7f92 code=0x80000000",
	    true, 1, "call 20 of architecture 0x40000003" },
	{ HEAD "pid=1 comm=\"x\" exe=\"/x\" sig=31 arch=c000003e syscall=99999 "
	       "compat=0",
	    true, 1, "call 99999 of architecture 0xc000003e" },
	/* logged, and no end */
	{ HEAD "pid=1 comm=\"x\" exe=\"/x\" sig=0 arch=c000003e syscall=99",
	    false, 0, NULL },
	{ HEAD "comm=\"x\" exe=\"/x\" sig=31 arch=c000003e syscall=99", false,
	    0, NULL },
	{ HEAD "pid=1 sig=31 arch=c000003e syscall=", false, 0, NULL },
	{ HEAD "pid=99999999999999999999 sig=31 arch=c000003e syscall=1", false,
	    0, NULL },
	{ "", false, 0, NULL },
};

Test(autopsy, a_record_names_process_and_call)
{
	struct autopsy_record record;
	char name[64];

	for (size_t i = 0; i < NELEM(cases); i++) {
		cr_expect_eq(autopsy_parse(cases[i].text, &record),
		    cases[i].want, "%s", cases[i].text);
		if (!cases[i].want)
			continue;
		cr_expect_eq(record.pid, cases[i].pid, "%s", cases[i].text);
		autopsy_name(&record, name, sizeof(name));
		cr_expect_str_eq(name, cases[i].name);
	}
}
