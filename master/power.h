/* SPDX-License-Identifier: ISC */
/* The capabilities that the master keeps. */
#ifndef POSTERN_MASTER_POWER_H
#define POSTERN_MASTER_POWER_H

/*
 * power_limit - give up all capabilities but those that the master uses.
 *
 * From the permitted, effective, inheritable and bounding sets, so that no exec()
 * gives them back.  A process without capabilities loses none.  0, or -1 with
 * errno.
 */
int power_limit(void);

#endif
