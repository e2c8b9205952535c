#!/bin/sh
# SPDX-License-Identifier: ISC
# All tests, one kind after the other; a kind that fails does not stop the
# rest.  Ends with the sum of all kinds on a line of its own.
set -u
cd "$(dirname "$0")/.." || exit 1
make=${MAKE:-make}
log=$(mktemp) || exit 1
wrong=$(mktemp) || exit 1
trap 'rm -f "$log" "$wrong"' EXIT
passed=0
failed=0
broken=

# The kinds print either Criterion's closing line or "N passed, N failed".
count() {
	p=$(sed -n 's/.*Passing: \([0-9]*\).*/\1/p; s/^\([0-9]*\) passed, .*/\1/p' "$log" | tail -n 1)
	f=$(sed -n 's/.*Failing: \([0-9]*\).*/\1/p; s/^[0-9]* passed, \([0-9]*\) failed.*/\1/p' "$log" | tail -n 1)
	c=$(sed -n 's/.*Crashing: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-0} + ${c:-0}))
}

run() {
	echo "== $1"
	shift
	started=$(date +%s)
	"$@" >"$log" 2>&1
	status=$?
	# What went wrong may be far above.
	grep -aE '^(FAILED|UNSTEADY|\[FAIL\]|failed )' "$log" | head -n 20 | tee -a "$wrong"
	tail -n "${CHECK_LINES:-40}" "$log" | sed 's/\x1b\[[0-9;]*m//g'
	count
	if [ "$status" -ne 0 ]; then
		broken="$broken $*"
		[ "${f:-0}" -gt 0 ] || failed=$((failed + 1))
	fi
	echo "== $(($(date +%s) - started)) s, status $status"
}

run "build with gcc" $make -s -j2 CC=gcc all
# As the Makefile has it for the fuzz targets.
clang=clang-14
command -v $clang >/dev/null || clang=clang
run "build with clang" $make -s -j2 CC=$clang BUILD=build/clang all
run "other architectures, where their packages are" $make -s arch-build
run "manuals, words" $make -s man-lint words
run "layers, and the tests of what counts them" $make -s layers layers-test
run "unit tests" $make -s -j2 unit
# The seeds are fixed here, so that a failure is one of the change at hand; alone,
# these kinds choose one by chance.
run "session tests, scripted servers" $make -s session SESSION_OPTIONS="--seed 1"
run "interop tests, real Dovecot, Postfix, Haraka, chasquid and NSD" $make -s interop
run "confine tests, attacks from inside" $make -s -j2 confine
run "chaos tests, killed processes" $make -s chaos CHAOS_SEED=1
run "package, built and looked through" $make -s -j2 deb-lint
run "fault injection, each call fails" $make -s -j2 faults FAULTS_SEED=1
run "unit tests, both sanitizers" $make -s -j2 unit-sanitized
run "session tests, both sanitizers" $make -s -j2 session-sanitized SESSION_OPTIONS="--seed 1"
run "session tests, one call fails" $make -s -j2 session-faults SESSION_OPTIONS="--seed 1"
run "fuzz targets, a short run" $make -s -j2 fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-3}"

# Once more at the end: of a long log, that alone may be kept.
if [ -n "$broken" ]; then
	cut -c 1-2000 "$wrong"
	echo "failed:$broken"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
