#!/bin/sh
# SPDX-License-Identifier: ISC
# The unit tests of a build with both sanitizers, one process each.  Left out by
# name, with the reason: what the sanitizers do not let a process do.
# usage: unit.sh PROGRAM
set -u
left_out="
"
filter=
for test in $left_out; do
	filter="$filter|$test"
done
ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 exec "$1" -j2 ${filter:+--filter="!@(${filter#|})"}
