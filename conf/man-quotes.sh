#!/bin/sh
# SPDX-License-Identifier: ISC
# Finds quotation marks of manual pages that come out wrong: `.Ql a , Ql b` opens one
# inside the other, `.Ql a , b` has one pair round a whole list.  Looks at what a
# reader sees, by mandoc and, where it is there, by groff.
# usage: man-quotes.sh PAGE...
status=0
for page; do
	for render in "mandoc -Tutf8 -O width=900" "nroff -mandoc -Tutf8 -rLL=900n"; do
		command -v "${render%% *}" >/dev/null || continue
		found=$($render "$page" 2>/dev/null | sed 's/.\x08//g' |
			grep -oP '.{0,30}(‘[^’]*‘|’’|“[^”]*“|””|‘[a-z_-]+(, [a-z_ -]+)+’).{0,20}')
		[ -n "$found" ] || continue
		printf '%s: broken quotation marks (%s):\n%s\n' "$page" \
			"${render%% *}" "$found" >&2
		status=1
	done
done
exit $status
