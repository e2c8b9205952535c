#!/bin/sh
# SPDX-License-Identifier: ISC
# The first process of a machine of another architecture (run.sh): two posternd, of
# which one hands its mail to the other by SMTP with TLS.  Every role and a worker
# do their work under the filters of this architecture; one that makes a call which
# its filter forbids dies of signal 31, and its log says so.
export PATH=/bin:/usr/bin:/sbin
# From the initial RAM disk, where a role cannot have a root of its own, to another.
if [ ! -e /moved ]; then
	mkdir /new
	mount -t tmpfs tmpfs /new
	cp -a /bin /etc /init /lib /usr /var /run /proc /sys /dev /tmp /new/
	: >/new/moved
	exec switch_root /new /init
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
ifconfig lo 127.0.0.1 up
ulimit -n 4096
passed=0 failed=0

ok() {
	passed=$((passed + 1))
	echo "ok $1"
}

bad() {
	failed=$((failed + 1))
	echo "FAILED $1"
}

check() { # name, command...
	name=$1
	shift
	if "$@" >/tmp/out 2>&1; then ok "$name"; else
		bad "$name"
		cat /tmp/out
	fi
}

# Up to two minutes, for this machine is emulated.
wait_for() {
	n=0
	while ! "$@" >/tmp/out 2>&1; do
		n=$((n + 1))
		[ "$n" -lt 120 ] || return 1
		sleep 1
	done
}

ready() { # all eight roles of the one whose log it is
	[ "$(grep -c ' ready: ' "$1")" -ge 8 ]
}

queued() { # who, as often
	postern queue list -c /etc/b.conf --json | grep -c "\"recipient\": *\"$1" |
		grep -qx "$2"
}

send() {
	printf 'Subject: hello\r\n\r\nhello\r\n' |
		postern send -c "$1" --wait final --from me@a.test "$2"
}

no_deaths() {
	! grep -E 'died of signal|forbids' /tmp/a.log /tmp/b.log
}

posternd -c /etc/b.conf 2>/tmp/b.log &
posternd -c /etc/a.conf 2>/tmp/a.log &
b=$(jobs -p | head -1)
check "two posternd come up" wait_for ready /tmp/a.log
check "the other too" wait_for ready /tmp/b.log
grep ' ready: ' /tmp/a.log | sed 's/.*\] ready: \(.*\)/\1/' | sort -u | head -2
check "a message goes out by TLS, through a name of /etc/hosts" \
	send /etc/a.conf you@name.test
grep 'status=sent' /tmp/a.log
check "it is in the other's queue" queued you@name.test 1
check "one without TLS" send /etc/a.conf you@plain.test
check "it is there as well" queued you@plain.test 1
check "sendmail takes one" sh -c 'printf "To: three@name.test\n\nx\n" |
	/usr/bin/postern sendmail -C /etc/a.conf -f me@a.test -t'
check "and it goes" wait_for queued three@name.test 1
check "a reload" sh -c 'kill -HUP $(cat /run/a/posternd.pid); sleep 2'
check "what comes after it goes" send /etc/a.conf four@name.test
check "status" postern status -c /etc/a.conf
check "queue list" postern queue list -c /etc/b.conf
check "queue hold" postern queue hold -c /etc/b.conf --domain plain.test
check "queue delete" postern queue delete -c /etc/b.conf --yes --domain plain.test
check "top" postern top -c /etc/a.conf --once
check "explain" postern explain -c /etc/a.conf you@name.test
check "an agent dies, and another does its work" sh -c '
	kill -9 $(postern status -c /etc/a.conf --json |
		sed -n "s/.*\"role\": *\"agent\".*\"pid\": *\([0-9]*\).*/\1/p
			s/.*\"pid\": *\([0-9]*\).*\"role\": *\"agent\".*/\1/p" | head -1)'
check "mail after that" send /etc/a.conf five@name.test
sed -i '/died of signal 9/d' /tmp/a.log
check "no role died, nor made a call that its filter forbids" no_deaths
postern doctor -c /etc/a.conf
for pid in /run/a/posternd.pid /run/b/posternd.pid; do kill "$(cat $pid)"; done
check "both stop" wait_for sh -c '! pidof posternd'
if [ $failed -gt 0 ]; then cat /tmp/a.log /tmp/b.log; fi
echo "$passed passed, $failed failed"
poweroff -f
