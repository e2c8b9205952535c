#!/bin/sh
# SPDX-License-Identifier: ISC
# Plants the faults of tests/mutants one by one in a copy of the tree, and shows by
# which test each is found; one that nothing finds is a gap.  Minutes, so it is no
# part of `make check`; several may run at the same time.
# usage: mutate.sh [-a] [FAULT...]    -a: try all tests of each, not up to the first
#
# A fault is a patch that must fit exactly.  Above it are a sentence on what it is
# and, cheapest first, the tests that may find it:
#   Try: unit FILTER          those of its suites, as Criterion has it
#   Try: fuzz TARGET          its corpus, then MUTATE_SECONDS (10) at random
#   Try: session PATTERN      those of tests/session that match
#   Try: interop SUITE
set -u
cd "$(dirname "$0")/.." || exit 1
all=
[ "${1-}" != -a ] || { all=yes; shift; }
seconds=${MUTATE_SECONDS:-10}
make=${MAKE:-make}
passed=0
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tree=$work/tree

# Times are kept, so that what is built already is not built again.
mkdir "$tree" || exit 1
git ls-files -z | xargs -0 cp -a --parents -t "$tree" || exit 1
mkdir -p "$tree/build/fuzz"
for name in obj paths libpostern.a fuzz/lib; do
	[ ! -e "build/$name" ] || cp -a "build/$name" "$tree/build/$name"
done
# The real peers of the interop tests are only read.
[ ! -e build/peers ] || ln -s "$PWD/build/peers" "$tree/build/peers"

# A fault may leave a variable unused, which is no matter here.
build() {
	$make -s -j2 -C "$tree" CFLAGS=-Wno-error "$@" >"$work/build" 2>&1
}

# What failed, for the table.
names() {
	sed -n 's/^.*\[FAIL\] \([a-z_0-9:]*\).*/\1/p; s/^\[----\].*Unexpected signal.*/a signal/p; s/^failed  *\([^ ]*\).*/\1/p; s/^FAILED  *\([^ ]*\).*/\1/p' \
	    "$work/log" | head -n 1
}

# 0: it is found, and $by says by what; 2: it cannot be built.
try() {
	kind=$1
	what=${2-}
	by=$kind${what:+ $what}
	limit=300 # seconds
	case $kind in
	unit)
		build build/unit || return 2
		set -- build/unit -j2 ${what:+--filter "$what"}
		;;
	fuzz)
		build "build/fuzz/$what" || return 2
		rm -rf "$work/corpus" && mkdir "$work/corpus"
		[ ! -d "tests/fuzz/corpus/$what" ] ||
			cp "tests/fuzz/corpus/$what/"* "$work/corpus/"
		set -- "build/fuzz/$what" -max_total_time="$seconds" -timeout=10 \
		    -artifact_prefix="$work/" "$work/corpus"
		;;
	session)
		build all || return 2
		set -- python3 tests/session/run.py --seed 1 -j 2 -k "$what"
		;;
	interop)
		limit=1800
		build all || return 2
		set -- python3 tests/interop/all.py "$what"
		;;
	*)
		echo "mutate: no kind of test: $kind" >&2
		exit 1
		;;
	esac
	(cd "$tree" && timeout $limit "$@") >"$work/log" 2>&1 && return 1
	found=$(names)
	by="$by${found:+: $found}"
	return 0
}

# Each kind of test that is named for a fault, until one finds it.
hunt() {
	patch=$1
	by=
	all_by=
	sed -n 's/^Try: //p' "$patch" >"$work/tries"
	while read -r kind what <&3; do
		try "$kind" "$what"
		case $? in
		0)
			all_by="$all_by${all_by:+; }$by"
			[ -n "$all" ] || break
			;;
		2)
			all_by=
			tail -n 5 "$work/build"
			break
			;;
		esac
	done 3<"$work/tries"
}

# A test that fails without any fault finds none.
check_tests() {
	for name; do
		sed -n 's/^Try: //p' "tests/mutants/$name.patch"
	done | grep -v '^fuzz' | sort -u >"$work/all"
	while read -r kind what <&4; do
		try "$kind" "$what" || continue
		tail -n 20 "$work/log"
		echo "mutate: $kind $what fails without any fault" >&2
		exit 1
	done 4<"$work/all"
}

[ $# -gt 0 ] || set -- $(cd tests/mutants && ls | sed 's/\.patch$//')
echo "the tree as it is"
check_tests "$@"
for name; do
	patch=$PWD/tests/mutants/$name.patch
	if ! patch -s -p1 -F0 --no-backup-if-mismatch -d "$tree" <"$patch" >"$work/patch" 2>&1; then
		cat "$work/patch"
		echo "mutate: $name: the lines are no longer there: renew the patch" >&2
		printf '%-32s %s\n' "$name" "DOES NOT FIT"
		failed=$((failed + 1))
		# What fitted of it goes again.
		for file in $(sed -n 's,^+++ b/,,p' "$patch"); do
			cp -a "$file" "$tree/$file" && rm -f "$tree/$file.rej"
		done
		continue
	fi
	hunt "$patch"
	if [ -n "$all_by" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	printf '%-32s %s\n' "$name" "${all_by:-FOUND BY NOTHING: $(head -n 1 "$patch")}"
	patch -s -R -p1 -F0 --no-backup-if-mismatch -d "$tree" <"$patch" || exit 1
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
