#!/bin/sh
# SPDX-License-Identifier: ISC
# Builds the programs for another architecture, with all warnings: `build.sh arm64`.
# Its compiler is Debian's (gcc-aarch64-linux-gnu, gcc-riscv64-linux-gnu), its
# libraries those that root.sh fetches.
set -eu
arch=$1
cd "$(dirname "$0")/../.."

case $arch in
arm64) triplet=aarch64-linux-gnu ;;
riscv64) triplet=riscv64-linux-gnu ;;
*)
	echo "usage: build.sh arm64|riscv64" >&2
	exit 64
	;;
esac
command -v "$triplet-gcc" >/dev/null || {
	echo "build.sh: apt-get install gcc-$triplet" >&2
	exit 1
}
sh tests/arch/root.sh "$arch" "build/arch/$arch"
root=$PWD/build/arch/$arch/root
PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
exec make --no-print-directory -s -j"$(nproc)" CC="$triplet-gcc --sysroot=$root" \
	AR="$triplet-ar" BUILD="build/arch/$arch/obj" all
