/* SPDX-License-Identifier: ISC */
/* What this is; a build of a package may say more. */
#ifndef POSTERN_COMMON_VERSION_H
#define POSTERN_COMMON_VERSION_H

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "0.5"
#endif

#endif
