#!/bin/sh
# SPDX-License-Identifier: ISC
# Installs what building and testing need and the machine lacks: Debian 12's or
# 13's packages.  Without root it prints the one command to run.  An argument, a
# group, limits it: build, unit, check, lint, deb, root or system; none means all.
set -eu

# Of Debian 12's clangs it is 14; Debian 13 has no 14, but its own.
llvm=-14
! grep -q '^VERSION_ID="13' /etc/os-release 2>/dev/null || llvm=

build="gcc make pkg-config libc6-dev libssl-dev libbsd-dev libseccomp-dev
	libsqlite3-dev libunbound-dev libjansson-dev libconfuse-dev libevent-dev
	libcap-dev libidn2-dev libgsasl-dev libmicrohttpd-dev"
unit="libcriterion-dev clang$llvm python3 openssl ca-certificates util-linux"
check="$unit libclang-rt$llvm-dev mandoc npm"
deb="dpkg-dev lintian"
root="debootstrap"
system="debootstrap systemd-container"
lint="clang-tidy$llvm clang$llvm cppcheck mandoc python3"

case "${1-all}" in
build) wanted=$build ;;
unit) wanted="$build $unit" ;;
check) wanted="$build $check $deb" ;;
lint) wanted="$build $lint" ;;
deb) wanted="$build $deb" ;;
root) wanted="$build $deb $root" ;;
system) wanted="$build $deb $system" ;;
all) wanted="$build $check $lint $deb $root" ;;
*)
	echo "usage: deps.sh [build | unit | check | lint | deb | root | system]" >&2
	exit 64
	;;
esac

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || :)
	[ "$state" = "install ok installed" ] && continue
	# node may come from elsewhere, with an npm in the same package.
	case $package in
	npm) ! command -v npm >/dev/null || continue ;;
	esac
	missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: these packages are missing; run as root:" >&2
	echo "    apt-get update && $install" >&2
	exit 1
fi
echo "deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive $install; } \
	>"$log" 2>&1; then
	cat "$log" >&2
	echo "deps: apt-get failed: see above" >&2
	exit 1
fi
