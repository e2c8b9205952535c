#!/bin/sh
# SPDX-License-Identifier: ISC
# A binary package of what `make PREFIX=/usr` has built.
# usage: build.sh BUILD VERSION OUT [ROOT]
set -eu
umask 022
LC_ALL=C.UTF-8
export LC_ALL
unset GZIP DPKG_DEB_COMPRESSOR_LEVEL

build=$1
version=$2
out=$3
root=${4-$build/root}
here=conf/debian
doc=$root/usr/share/doc/postern
maintainer=${MAINTAINER-"The postern authors <postern@packages.debian.org>"}
# The same source makes the same octets, in any folder and at any time: so the date
# is that of the changelog, for a copy of the tree has other times, and no history.
: "${SOURCE_DATE_EPOCH:=$(date -u +%s -d "$(sed -n '/^ -- /s/.*  //p' \
	"$here/changelog.in")")}"
export SOURCE_DATE_EPOCH

fill() {
	sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$(dpkg --print-architecture)|" \
		-e "s|@MAINTAINER@|$maintainer|" -e "s|@SIZE@|${size-}|" \
		-e "s|@DEPENDS@|${depends-}|" "$1"
}

install_files() {
	${MAKE:-make} --no-print-directory -s PREFIX=/usr BUILD="$build" \
		ZSHDIR=/usr/share/zsh/vendor-completions UNITDIR=/lib/systemd/system \
		VERSION="$version" DESTDIR="$root" install >/dev/null
	for name in sendmail mailq newaliases; do
		ln -sfn ../../bin/postern "$root/usr/lib/postern/$name"
	done
	strip --strip-unneeded -R .comment -R .note "$root/usr/sbin/posternd" \
		"$root/usr/bin/postern"
	find "$root/usr/share/man" -type f -exec gzip -9nf {} +
}

install_documents() {
	install -d "$doc/examples"
	install -m 644 "$here/copyright" "$doc/copyright"
	install -m 644 README.md conf/NEWS conf/SECURITY.md "$doc/"
	fill "$here/changelog.in" | gzip -9n >"$doc/changelog.gz"
	mv "$root/etc/postern/bounce.template.default" \
		"$doc/examples/bounce.template"
}

# dpkg-shlibdeps wants to stand in a source package; and it does not see what the
# metrics role loads by its name, so that no other role has it.  That package has
# another name on Debian 13.
find_depends() {
	install -d "$build/shlibs/debian"
	printf 'Source: postern\n\nPackage: postern\nArchitecture: any\n' \
		>"$build/shlibs/debian/control"
	absolute=$(cd "$root" && pwd)
	(cd "$build/shlibs" && dpkg-shlibdeps -O "$absolute/usr/sbin/posternd" \
		"$absolute/usr/bin/postern") | sed -n 's/^shlibs:Depends=//p'
	printf ', %s (>= 0.9.75)' \
		"$(dpkg-query -S '*/libmicrohttpd.so.12' | sed '/-cross:/d' |
			sed -n '1s/:.*//p')"
}

# As dpkg-gencontrol(1) counts: what du(1) says of a folder is its file system's.
count_size() {
	find "$root" -path "$root/DEBIAN" -prune -o -printf '%y %s\n' | awk '
		{ n += $1 == "f" ? int(($2 + 1023) / 1024) : 1 } END { print n }'
}

# Neither the folder's rights (a set-group-ID bit, an access list) nor the time are
# to be seen in the package.
make_even() {
	chmod -R u=rwX,go=rX,a-s "$root"
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

rm -rf "$root"
install -d "$root/DEBIAN" "$(dirname "$out")"
install_files
install_documents
depends=$(find_depends | tr -d '\n')
size=$(count_size)
fill "$here/control.in" >"$root/DEBIAN/control"
echo /etc/postern/postern.conf >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' |
	sed 's|^\./||' | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
make_even
dpkg-deb --root-owner-group -Zxz -z6 --build "$root" "$out" >/dev/null
echo "deb $out"
