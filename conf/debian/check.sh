#!/bin/sh
# SPDX-License-Identifier: ISC
# Looks through a package: lintian, what is in it, and that it can be made again.
# usage: check.sh PACKAGE
set -u
package=$1
passed=0
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() {
	what=$1
	shift
	if "$@" >"$work/log" 2>&1; then
		passed=$((passed + 1))
		echo "ok package: $what"
	else
		failed=$((failed + 1))
		echo "FAILED package: $what:"
		cat "$work/log"
	fi
}

lints() {
	lintian --allow-root --no-cfg --fail-on error,warning \
		--tag-display-limit 0 "$package"
}

holds() {
	for path in usr/sbin/posternd usr/bin/postern etc/postern/postern.conf \
		lib/systemd/system/postern.service \
		lib/systemd/system/postern.socket usr/lib/postern/users \
		usr/share/man/man8/posternd.8.gz usr/share/man/man1/postern.1.gz \
		usr/share/man/man5/postern.conf.5.gz \
		usr/share/man/man7/posternd-internals.7.gz; do
		[ -f "$work/root/$path" ] || { echo "$path is not in it"; return 1; }
	done
	for path in conf/examples/* conf/grafana/* conf/prometheus/*; do
		cmp "$path" "$work/root/usr/share/doc/postern/examples/${path##*/}" ||
			return 1
	done
	for path in README.md conf/NEWS conf/SECURITY.md; do
		cmp "$path" "$work/root/usr/share/doc/postern/${path##*/}" || return 1
	done
	for name in sendmail mailq newaliases; do
		[ "$(readlink "$work/root/usr/lib/postern/$name")" = \
			../../bin/postern ] || { echo "$name: no link"; return 1; }
	done
}

# Unix sockets for root and its group alone, and no port: what the defaults are.
is_safe() {
	! grep -v '^[[:space:]]*#' "$work/root/etc/postern/postern.conf" | grep .
}

same_version() {
	version=$(dpkg-deb -f "$package" Version)
	[ "$("$work/root/usr/sbin/posternd" -V)" = "posternd $version" ] &&
		[ "$("$work/root/usr/bin/postern" --version)" = "postern $version" ]
}

unit_fits() {
	unit=$work/root/lib/systemd/system/postern.service
	! grep -q /usr/local "$unit" &&
		grep -q '^ExecStart=/usr/sbin/posternd$' "$unit" &&
		grep -q '^ExecReload=/usr/bin/postern reload$' "$unit" || return 1
	command -v systemd-analyze >/dev/null || return 0
	install -d "$work/units" && sed "s|/usr/s*bin/postern|$work/root&|" "$unit" \
		>"$work/units/postern.service" &&
		cp "${unit%.service}.socket" "$work/units/" &&
		out=$(systemd-analyze verify --man=no "$work/units/postern.service" \
			2>&1 | grep postern.service || :)
	[ -z "$out" ] || { echo "$out"; return 1; }
}

again() {
	version=$(dpkg-deb -f "$package" Version)
	sh conf/debian/build.sh "$(dirname "$package")" "$version" \
		"$work/again.deb" "$work/again" && cmp "$package" "$work/again.deb"
}

# What a role loads by its name, the package depends on.
loads() {
	for library in $(strings -a "$work/root/usr/sbin/posternd" |
		grep -x 'lib[a-z0-9-]*\.so\.[0-9]*'); do
		# Compilers for other architectures have some of these too.
		owner=$(dpkg-query -S "*/$library" | sed '/-cross:/d' |
			sed -n '1s/:.*//p')
		dpkg-deb -f "$package" Depends | grep -q "$owner" ||
			{ echo "$library of $owner is no dependency"; return 1; }
	done
}

scripts_are_plain() {
	for script in postinst prerm postrm; do
		sh -n "conf/debian/$script" || return 1
	done
}

dpkg-deb -x "$package" "$work/root" || exit 1
check "lintian finds no error and no warning" lints
check "it has the programs, links, manuals, units, examples and configuration" holds
check "its configuration is all at the defaults" is_safe
check "programs and package are of one version" same_version
check "the unit names what is in it" unit_fits
check "it can be made again, octet for octet" again
check "it depends on what is loaded by name" loads
check "its scripts are good" scripts_are_plain
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
