#!/bin/sh
# SPDX-License-Identifier: ISC
# The unit tests of a build with both sanitizers: leaks and undefined behaviour on
# ordinary ways.  Left out, by name:
#   worker, filter, sandbox, layers   what a filter or walls do; a build with
#       sanitizers has none, and waits for deaths that do not come
#   queue/a_dialogue_without_end...   counts by which of two sides is faster
# usage: unit.sh PROGRAM
set -u
LSAN_OPTIONS=suppressions=tests/faults/leaks.supp:print_suppressions=0 \
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 exec "$1" -j2 \
	--filter='!(@(worker|filter|sandbox|layers)/*|queue/a_dialogue_without_end*)'
