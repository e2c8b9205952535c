#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs each fuzz target for a while on a copy of its corpus.
# usage: run.sh DIR SECONDS TARGET...
set -u
dir=$1
seconds=$2
shift 2
passed=0
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
for target; do
	mkdir "$work/$target"
	[ ! -d "tests/fuzz/corpus/$target" ] ||
		cp -r "tests/fuzz/corpus/$target/." "$work/$target/"
	if "$dir/$target" -max_total_time="$seconds" -timeout=10 \
		-artifact_prefix="$work/" -print_final_stats=1 \
		"$work/$target" >"$work/log" 2>&1; then
		passed=$((passed + 1))
		echo "$target: $(sed -n 's/stat::number_of_executed_units: *//p' "$work/log") executions"
	else
		failed=$((failed + 1))
		echo "$target: FAILED"
		tail -n 40 "$work/log"
		mkdir -p build/fuzz-failures
		cp "$work"/crash-* "$work"/timeout-* "$work"/oom-* \
			build/fuzz-failures/ 2>/dev/null
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
