#!/bin/sh
# SPDX-License-Identifier: ISC
# `make demo`: the main job on real input.  A private Dovecot and a private
# Postfix on loopback, a posternd in front of them, and messages handed in three
# ways.  Ends 0 only where all of it came true, and leaves nothing running.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
peers=tests/interop/peers.sh
dir=$(mktemp -d /tmp/postern-demo.XXXXXX) || exit 1
chmod 755 "$dir"
daemon=
wrong=0
untrue=

step() {
	printf '\n== %s\n' "$*"
}

# Says and remembers what did not come true.
expect() {
	what=$1
	shift
	if "$@"; then
		echo "   true: $what"
	else
		echo "   NOT TRUE: $what"
		wrong=$((wrong + 1))
		untrue="$untrue
   NOT TRUE: $what"
	fi
}

clear_up() {
	trap '' INT TERM
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	sh "$peers" stop "$dir/peers" >/dev/null 2>&1
	rm -rf "$dir"
}
trap clear_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "Dovecot and Postfix, unpacked below build/peers, on loopback"
sh "$peers" fetch || exit 1
mkdir "$dir/peers"
sh "$peers" start "$dir/peers" || exit 1
. "$dir/peers/env"

step "the configuration, $dir/postern.conf"
cat >"$dir/postern.conf" <<EOF
hostname = "client.postern.test"
run_directory = "$dir/run"
spool_directory = "$dir/spool"
# Nothing is installed: numbers stand for the users of the roles.
intake_user = "61201"
queue_user = "61202"
resolver_user = "61203"
dialer_user = "61204"
agent_user = "61205"
metrics_user = "61206"
signer_user = "61207"
control_user = "61208"
transport dovecot {
	protocol = lmtp
	server = "unix:$LMTP_SOCKET"
	tls_security_level = none
	connection_idle_time = 60s
}
route "$LMTP_DOMAIN" { transport = dovecot }
# Where an MTA hands its mail over, and hears what Dovecot says.
listener mta {
	protocol = lmtp
	listen = "unix:$dir/mta"
	mode = 0666
	answer = final
}
EOF
if [ "$POSTFIX" = yes ]; then
	cat >>"$dir/postern.conf" <<EOF
transport postfix {
	server = "127.0.0.1:$POSTFIX_PORT"
	tls_security_level = verify
	tls_CAfile = "$CA_FILE"
	tls_name = "$SERVER_NAME"
	connection_idle_time = 60s
}
route "$POSTFIX_DOMAIN" { transport = postfix }
EOF
fi
sed 's/^/   /' "$dir/postern.conf"
# The programs may lie where the users of the roles cannot reach them.
cp "$build/posternd" "$build/postern" "$dir/"
PATH=$dir:$PATH
expect "posternd -n finds it good" posternd -n -c "$dir/postern.conf"

step "posternd starts; each role tells which layers hold"
: >"$dir/log" # there before anybody looks into it
posternd -c "$dir/postern.conf" 2>>"$dir/log" &
daemon=$!
tries=0
while [ "$(grep -c ' ready: ' "$dir/log")" -lt 7 ] && [ $tries -lt 100 ] &&
	kill -0 $daemon 2>/dev/null; do
	sleep 0.1
	tries=$((tries + 1))
done
sed 's/^/   /' "$dir/log"
expect "seven roles are ready" [ "$(grep -c ' ready: ' "$dir/log")" -eq 7 ]

log_from=$(($(wc -l <"$dir/log") + 1))

cat >"$dir/message" <<EOF
From: Demo <demo@client.postern.test>
To: Ana <ana@$LMTP_DOMAIN>
Subject: through the postern

A line.
.A line that begins with a dot.
EOF

step "1: postern send, one recipient, to a mailbox of Dovecot over LMTP"
postern send -c "$dir/postern.conf" --wait final \
	--from demo@client.postern.test "ana@$LMTP_DOMAIN" \
	<"$dir/message" >"$dir/out1" 2>&1
status=$?
sed 's/^/   /' "$dir/out1"
expect "exit status 0" [ $status -eq 0 ]
expect "delivered" grep -q "^ana@$LMTP_DOMAIN: delivered" "$dir/out1"

step "the message as found in the Maildir"
found=$(find "$MAILDIR/ana" -path '*/new/*' -type f 2>/dev/null | head -n 1)
[ -z "$found" ] || sed 's/^/   /' "$found"
expect "it is there, dot and all" \
	grep -q '^\.A line that begins with a dot\.' "${found:-/dev/null}"

if [ "$POSTFIX" = yes ]; then
	step "2: a small program that passes a descriptor, to Postfix over verified STARTTLS"
	${CC:-cc} -D_GNU_SOURCE -o "$dir/job-client" conf/examples/job-client.c
	"$dir/job-client" "$dir/run/job" \
		"{\"from\":\"demo@client.postern.test\",\"rcpts\":[\"bob@$POSTFIX_DOMAIN\"],\"wait\":\"final\",\"ref\":\"demo-2\"}" \
		<"$dir/message" >"$dir/out2" 2>&1
	sed 's/^/   /' "$dir/out2"
	expect "delivered" grep -q '"status":"delivered"' "$dir/out2"
	expect "the certificate was verified" grep -q '"verified":true' "$dir/out2"
	tries=0
	while [ -z "$(find "$POSTFIX_MAILDIR/bob" -path '*/new/*' -type f 2>/dev/null)" ] &&
		[ $tries -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	expect "it is in Postfix's mailbox" \
		[ -n "$(find "$POSTFIX_MAILDIR/bob" -path '*/new/*' -type f 2>/dev/null)" ]
else
	step "2: skipped: Postfix needs root, and this is an ordinary user"
fi

step "3: postern deliver, no daemon, to good and unknown users"
postern deliver --lmtp --server "unix:$LMTP_SOCKET" --tls none --json \
	--from demo@client.postern.test "carla@$LMTP_DOMAIN" \
	"nobody@$LMTP_DOMAIN" "dora@$LMTP_DOMAIN" \
	<"$dir/message" >"$dir/out3" 2>"$dir/err3"
status=$?
sed 's/^/   /' "$dir/out3" "$dir/err3"
expect "exit status 69: some failed, none is deferred" [ $status -eq 69 ]
expect "two were delivered" [ "$(grep -c '"status":"delivered"' "$dir/out3")" -eq 2 ]
expect "the unknown user failed with the server's 550" \
	grep -q "\"recipient\":\"nobody@$LMTP_DOMAIN\",\"status\":\"failed\",\"code\":550" "$dir/out3"

if [ "$POSTFIX" = yes ]; then
	step "4: a login by SCRAM, over verified STARTTLS"
	(umask 077 && printf '%s\n' "$LOGIN_PASSWORD" >"$dir/password")
	postern deliver --server "127.0.0.1:$POSTFIX_LOGIN_PORT" --tls verify \
		--ca "$CA_FILE" --tls-name "$SERVER_NAME" --user "$LOGIN_USER" \
		--password-file "$dir/password" --auth SCRAM-SHA-256 --verbose \
		--from demo@client.postern.test "carla@$POSTFIX_DOMAIN" \
		<"$dir/message" >"$dir/out4" 2>&1
	status=$?
	grep -v '^[<>] 250' "$dir/out4" | sed 's/^/   /'
	expect "delivered" [ $status -eq 0 ]
	expect "the password is nowhere to be seen" \
		[ -z "$(grep -F -e "$LOGIN_PASSWORD" "$dir/out4" "$dir/log")" ]
fi

step "5: an MTA hands mail over by LMTP, and each recipient hears Dovecot's own words"
postern deliver --lmtp --server "unix:$dir/mta" --tls none --without CHUNKING \
	--verbose --from mta@client.postern.test "carla@$LMTP_DOMAIN" \
	"nobody@$LMTP_DOMAIN" <"$dir/message" >"$dir/out6" 2>&1
sed 's/^/   /' "$dir/out6"
expect "one is taken by Dovecot" \
	grep -q "^carla@$LMTP_DOMAIN: delivered (250 2.0.0 .*Saved" "$dir/out6"
expect "the other hears 550 5.1.1" \
	grep -q "^nobody@$LMTP_DOMAIN: failed (550 5.1.1 " "$dir/out6"
expect "nothing was kept" [ "$(postern queue -c "$dir/postern.conf" list |
	grep -c "nobody@$LMTP_DOMAIN")" -eq 0 ]

step "6: cron's own way, the sendmail command"
ln -s postern "$dir/sendmail"
printf 'To: dora@%s\nSubject: cron\n\nit ran\n' "$LMTP_DOMAIN" |
	"$dir/sendmail" -C "$dir/postern.conf" -i -t
status=$?
expect "it is queued" [ $status -eq 0 ]
tries=0
until grep -q "to=<dora@$LMTP_DOMAIN>.* status=sent.*" "$dir/log" ||
	[ $tries -ge 100 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
expect "Dovecot has it" grep -q "to=<dora@$LMTP_DOMAIN>.* status=sent" "$dir/log"

step "7: a session that fails leaves a transcript, which plays the server again"
postern deliver --lmtp --server "unix:$LMTP_SOCKET" --tls none \
	--transcript "$dir/transcript" --from demo@client.postern.test \
	"nobody@$LMTP_DOMAIN" <"$dir/message" >"$dir/out5" 2>&1
sed 's/^/   /' "$dir/out5" "$dir/transcript"
postern replay --fast "$dir/transcript" >"$dir/replay" 2>&1
sed 's/^/   /' "$dir/replay"
expect "the same outcome" grep -q 'same outcome' "$dir/replay"

step "the daemon's log, a line for each recipient"
tail -n "+$log_from" "$dir/log" | sed 's/^/   /'
expect "Dovecot's recipient is sent" \
	grep -q "to=<ana@$LMTP_DOMAIN>.* status=sent" "$dir/log"

step "the worker's cage, as the kernel reports it (postern status)"
postern status -c "$dir/postern.conf" >"$dir/status" 2>&1
grep '^worker' "$dir/status" | sed 's/^/   /'
expect "a worker is alive, without capabilities, under two filters" \
	grep -q '^worker .* caps=none .* no_new_privs=yes seccomp=filter filters=2 ' "$dir/status"

step "the queue is empty, and posternd stops"
postern queue -c "$dir/postern.conf" list | sed 's/^/   /'
kill "$daemon"
wait "$daemon"
status=$?
daemon=
expect "it ended with status 0" [ $status -eq 0 ]

if [ $wrong -eq 0 ]; then
	printf '\ndemo: all of it came true\n'
else
	printf '\ndemo: %d things did not come true:%s\nthe log:\n' $wrong "$untrue"
	sed 's/^/   /' "$dir/log"
	exit 1
fi
