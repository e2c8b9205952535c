#!/bin/sh
# SPDX-License-Identifier: ISC
# A folder with the libraries, the kernel and the tools of another architecture, out
# of Debian's packages: `root.sh arm64 build/arch/arm64`.  Nothing is installed on
# this machine; the packages come from where its own come from.  Debian 12 has no
# riscv64: that folder is of Debian 13.
set -eu
arch=$1
dir=$2

case $arch in
arm64) release=bookworm kernel=linux-image-arm64 ;;
riscv64) release=trixie kernel=linux-image-riscv64 ;;
*)
	echo "usage: root.sh arm64|riscv64 FOLDER" >&2
	exit 64
	;;
esac
wanted="libc6-dev libssl-dev libbsd-dev libseccomp-dev libsqlite3-dev libunbound-dev
	libjansson-dev libconfuse-dev libevent-dev libcap-dev libidn2-dev libgsasl-dev
	libmicrohttpd-dev busybox-static $kernel"

[ -e "$dir/complete" ] && exit 0
command -v apt-get >/dev/null || {
	echo "root.sh: it wants apt-get" >&2
	exit 1
}
uri=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' \
	'Created-By: Packages' | awk '$2 == "main" && !/security/ { print $1; exit }')
[ -n "$uri" ] || {
	echo "root.sh: this machine's apt has no source of packages" >&2
	exit 1
}
rm -rf "$dir"
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/root"
cd "$dir"
: >apt/status
echo "deb $uri $release main" >apt/sources.list
apt() {
	apt-get -q -y -o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
		-o Dir::State="$PWD/apt" -o Dir::State::status="$PWD/apt/status" \
		-o Dir::Cache="$PWD/apt/cache" -o APT::Sandbox::User=root \
		-o Dir::Etc::SourceList="$PWD/apt/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null -o Debug::NoLocking=1 \
		--no-install-recommends "$@" >>apt/log 2>&1 || {
		tail -5 apt/log >&2
		exit 1
	}
}
echo "root.sh: $arch: fetching packages of $release into $dir"
apt update
# shellcheck disable=SC2086 # a list
apt --download-only install $wanted
# /lib is /usr/lib there, as on an installed Debian.  Of the kernel the image alone.
mkdir -p root/usr/lib root/usr/bin root/usr/sbin
ln -s usr/lib usr/bin usr/sbin root
for package in apt/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$package" | tar -C root -xf - \
		--keep-directory-symlink --exclude='*/lib/modules'
done
# Links that lead to the top would lead to this machine's files.
find root -type l -lname '/*' | while read -r link; do
	to=$(readlink "$link")
	ln -sfn "$PWD/root$to" "$link"
done
rm -rf apt
: >complete
