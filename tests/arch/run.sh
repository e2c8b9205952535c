#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs posternd of another architecture in an emulated machine, under the kernel of
# Debian for it: `run.sh arm64`.  guest.sh is what happens there.
set -eu
arch=$1
cd "$(dirname "$0")/../.."

case $arch in
arm64)
	triplet=aarch64-linux-gnu package=qemu-system-arm
	qemu="qemu-system-aarch64 -M virt -cpu cortex-a72" console=ttyAMA0
	;;
riscv64)
	triplet=riscv64-linux-gnu package=qemu-system-misc
	qemu="qemu-system-riscv64 -M virt" console=ttyS0
	;;
*)
	echo "usage: run.sh arm64|riscv64" >&2
	exit 64
	;;
esac
missing=
command -v "$triplet-gcc" >/dev/null || missing="gcc-$triplet"
command -v "${qemu%% *}" >/dev/null || missing="$missing $package"
for tool in cpio openssl; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
	echo "run.sh: installing $missing"
	# shellcheck disable=SC2086 # a list
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing
fi

sh tests/arch/build.sh "$arch"
base=build/arch/$arch
root=$base/root
guest=$base/guest
rm -rf "$guest"
mkdir -p "$guest/bin" "$guest/usr/bin" "$guest/usr/lib/$triplet" "$guest/etc" \
	"$guest/proc" "$guest/sys" "$guest/dev" "$guest/tmp" "$guest/run" \
	"$guest/var/spool" "$guest/usr/lib/postern"
ln -s usr/lib "$guest/lib"
cp "$root/usr/bin/busybox" "$guest/bin/"
for name in sh mount ifconfig sleep grep sed cat kill poweroff pidof sort head cut tr mkdir cp switch_root; do
	ln -s busybox "$guest/bin/$name"
done
cp "$base/obj/posternd" "$base/obj/postern" "$guest/usr/bin/"
"$triplet-strip" "$guest/usr/bin/posternd" "$guest/usr/bin/postern"
cp -P "$root"/usr/lib/ld-linux-* "$guest/usr/lib/"
cp -L "$root/usr/lib/$triplet"/*.so.[0-9]* "$guest/usr/lib/$triplet/"
cp tests/arch/guest.sh "$guest/init"
chmod 755 "$guest/init"

echo "root:x:0:0::/:/bin/sh" >"$guest/etc/passwd"
echo "root:x:0:" >"$guest/etc/group"
n=100
for role in intake control queue resolver dialer agent signer metrics; do
	n=$((n + 1))
	echo "postern-$role:x:$n:$n::/:/bin/false" >>"$guest/etc/passwd"
	echo "postern-$role:x:$n:" >>"$guest/etc/group"
done
printf '127.0.0.1 localhost mx.name.test\n' >"$guest/etc/hosts"
echo "nameserver 127.0.0.1" >"$guest/etc/resolv.conf"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
	-subj /CN=mx.name.test -addext subjectAltName=DNS:mx.name.test \
	-keyout "$guest/etc/key.pem" -out "$guest/etc/cert.pem" 2>/dev/null
chmod 600 "$guest/etc/key.pem"
for name in a b; do
	cat >"$guest/etc/$name.conf" <<-EOF
		hostname = "$name.test"
		run_directory = "/run/$name"
		spool_directory = "/var/spool/$name"
	EOF
done
cat >>"$guest/etc/a.conf" <<'EOF'
transport tls {
	server = "mx.name.test:2525"
	tls_security_level = verify
	tls_CAfile = "/etc/cert.pem"
}
transport plain {
	server = "127.0.0.1:2525"
	tls_security_level = none
}
route "plain.test" { transport = plain }
route "*" { transport = tls }
EOF
cat >>"$guest/etc/b.conf" <<'EOF'
transport away {
	server = "127.0.0.1:9"
}
route "*" { transport = away }
listener in {
	listen = "127.0.0.1:2525"
	clients = { 127.0.0.1 }
	tls_cert_file = "/etc/cert.pem"
	tls_key_file = "/etc/key.pem"
}
EOF
(cd "$guest" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$base/initrd"

kernel=$(ls "$root"/boot/vmlinu[xz]-*)
echo "run.sh: $arch: an emulated machine starts; it takes minutes"
# shellcheck disable=SC2086 # words
timeout 1500 $qemu -m 1024 -smp 2 -nographic -no-reboot -kernel "$kernel" \
	-initrd "$base/initrd" -append "console=$console quiet panic=-1" \
	</dev/null >"$base/console" 2>&1 || :
tr -d '\r' <"$base/console" | sed -n '/^ok \|^FAILED/,$p'
tr -d '\r' <"$base/console" | grep -q '^[0-9][0-9]* passed, 0 failed$'
