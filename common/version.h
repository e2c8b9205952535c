/* SPDX-License-Identifier: ISC */
/* Which version this is: conf/VERSION says it, by the Makefile. */
#ifndef POSTERN_COMMON_VERSION_H
#define POSTERN_COMMON_VERSION_H

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif

#endif
