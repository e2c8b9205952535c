#!/bin/sh
# SPDX-License-Identifier: ISC
# Two packages of one source are the same, octet for octet: `make deb` in two copies
# of the tree, which have nothing in common but what is in their files.  The second
# has a longer name with a space, is entered by a link, and is of another age; it is
# built later, by another user (as root), with other rights for what is new, another
# language and time zone, and one job at a time.
set -eu
make=${MAKE:-make}
case $make in
/*) ;;
*) make=$(command -v "$make") ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
passed=0
failed=0

ok() {
	passed=$((passed + 1))
	echo "ok reproducible: $1"
}

bad() {
	failed=$((failed + 1))
	echo "FAILED reproducible: $1"
}

finish() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

copy() {
	mkdir -p "$1"
	tar --exclude=./build --exclude=./.git -cf - . | tar -C "$1" -xf -
}

# In a folder, with an environment of its own: VARIABLE=... COMMAND...
build() {
	dir=$1
	shift
	(cd "$dir" && env -i PATH="$PATH" HOME=/nonexistent PWD="$dir" "$@") \
		>"$work/log" 2>&1 || {
		bad "make deb in $dir:"
		tail -n 20 "$work/log"
		finish
	}
}

first() {
	(umask 022 && build "$work/a" TZ=UTC LC_ALL=C "$make" -s -j2 deb)
}

second() {
	chmod -R u=rwX,go= "$real"
	chmod g+s "$real"
	find "$real" -exec touch -h -d "2001-02-03 04:05:06" {} +
	ln -s "$real" "$work/link"
	as=
	if [ "$(id -u)" -eq 0 ]; then
		chown -R 65534:65534 "$real"
		as="setpriv --reuid=65534 --regid=65534 --clear-groups"
	fi
	# shellcheck disable=SC2086 # words
	(umask 077 && build "$work/link" TZ=Pacific/Kiritimati LANG=C.UTF-8 \
		GZIP=-1 TMPDIR="$real" $as "$make" -s -j1 deb)
}

# All that a package has, and the rights, owners and times of its files.
unpack() {
	mkdir "$2" && dpkg-deb -R "$1" "$2/files" &&
		dpkg-deb --ctrl-tarfile "$1" | TZ=UTC tar -tvf - >"$2/control" &&
		dpkg-deb --fsys-tarfile "$1" | TZ=UTC tar -tvf - >"$2/list"
}

# Which files are not the same, by name; then what differs beside their octets.
differences() {
	unpack "$a" "$work/1"
	unpack "$b" "$work/2"
	(cd "$work" && diff -rq 1/files 2/files
		diff 1/list 2/list
		diff 1/control 2/control) || :
}

real="$work/a folder with a much longer name/b"
copy "$work/a"
copy "$real"
first
a=$(ls "$work"/a/build/deb/*.deb)
ok "make deb in $work/a"
second
b=$(ls "$work"/link/build/deb/*.deb)
ok "make deb in $real"
sha256sum "$a" "$b"
if [ "$(basename "$a")" = "$(basename "$b")" ] && cmp -s "$a" "$b"; then
	ok "the two are the same, octet for octet"
else
	bad "the two differ:"
	differences
fi
if strings -a "$work/a/build/deb/posternd" "$work/link/build/deb/posternd" | grep -F "$work"; then
	bad "the folder's name is in posternd"
else
	ok "the folder's name is not in posternd, nor in its debug information"
fi
finish
