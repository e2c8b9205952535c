/* SPDX-License-Identifier: ISC */
/* Attack code for a live worker; linked into ATTACKS=1 builds alone. */
#ifndef POSTERN_TESTS_CONFINE_ATTACK_H
#define POSTERN_TESTS_CONFINE_ATTACK_H

/*
 * attack_run - do what a taken-over worker would try, named by the first label
 * of an EHLO name "attack-NAME.invalid"; any other name does nothing.
 *
 * Where the call comes back, the cage did not hold: ends with status
 * ATTACK_SURVIVED.
 */
void attack_run(const char *ehlo_name);

#define ATTACK_SURVIVED 77

#endif
