#!/bin/sh
# SPDX-License-Identifier: ISC
# Creates a system user for each role, with a group of its own and no login.
# Those that stand stay as they are.
set -eu

for role in intake control queue resolver dialer agent signer metrics; do
	user=postern-$role
	getent passwd "$user" >/dev/null && continue
	echo "users: creating $user"
	useradd --system --user-group --no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin --comment "postern $role" "$user"
done
