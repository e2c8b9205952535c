/* SPDX-License-Identifier: ISC */
/*
 * What the kernel's audit records say of a process that a seccomp filter ended:
 * the words of one record, and nothing else.  Pure.
 */
#ifndef POSTERN_MASTER_AUTOPSY_H
#define POSTERN_MASTER_AUTOPSY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct autopsy_record {
	int64_t pid;
	uint32_t arch; /* AUDIT_ARCH_* of the call */
	int call;
};

/*
 * autopsy_parse - read the text of an AUDIT_SECCOMP record.
 *
 * text ends with a NUL.  The words of a process's own choice (comm, exe) are
 * quoted by the kernel, without a space inside, or in hexadecimal.  False: it is
 * no such record.
 */
bool autopsy_parse(const char *text, struct autopsy_record *record);

/* "sysinfo", or "call 99" of another architecture, into out. */
void autopsy_name(const struct autopsy_record *record, char *out, size_t size);

#endif
