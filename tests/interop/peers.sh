#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Real servers for the demo and the tests, unpacked and never installed: a
# private Dovecot (LMTP) and, as root, a private Postfix (SMTP with STARTTLS).
# `fetch` unpacks NSD, a name server, too, which the resolver's tests run.
#
#	peers.sh fetch		unpack them under build/peers (or $PEERS_HOME)
#	peers.sh start DIR	run them in the fresh folder DIR; see DIR/env
#	peers.sh stop DIR	end what was started in DIR
#	peers.sh nsd FILE	become NSD in the foreground, configured by FILE
#	peers.sh readers	unpack pflogsumm and logwatch; prints where
#	peers.sh mtas		unpack Exim and OpenSMTPD; prints where
#	peers.sh chasquid	unpack chasquid; prints where
#	peers.sh haraka		have npm fetch Haraka and a node for it; prints where
#
# DIR is best below /tmp: the servers' users have to get there, and a socket's
# path is short.  Everything listens on 127.0.0.1 and on sockets in DIR.
# DIR/env holds shell assignments: what runs, where it listens, its
# certificates and mailboxes.

set -eu
umask 022

top=$(cd "$(dirname "$0")/../.." && pwd)
home=${PEERS_HOME:-$top/build/peers}
root=$home/root
name=mx.postern.test
users="ana bob carla dora"
utf8_user=дора # whom only SMTPUTF8 can name
# Whose mailboxes they are, as root: nobody's on this machine.
mail_id=64903
# Postfix wants a user and a group that nothing else runs as, by name.  These
# are on every Debian, and unlike those of an installed Postfix they own nothing.
postfix_user=games
postfix_group=operator

say()
{
	echo "peers: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

# --- fetch ---------------------------------------------------------------

have_lists()
{
	apt-cache show dovecot-core postfix >/dev/null 2>&1
}

need_lists()
{
	have_lists && return
	is_root || die "apt knows no packages; run: sudo apt-get update"
	say "apt knows no packages: apt-get update"
	apt-get -qq update || die "apt-get update failed"
	have_lists || die "apt knows no dovecot-core and postfix; this needs Debian's archive"
}

is_installed()
{
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# unpack PACKAGE: downloads it where that has not been done, and unpacks it.
unpack()
{
	[ -e "$home/done/$1" ] && return
	say "fetching $1"
	rm -rf "$home/deb"
	mkdir -p "$home/deb" "$home/done" "$root"
	(cd "$home/deb" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1") ||
		die "apt-get download $1 failed"
	dpkg-deb -f "$home/deb"/*.deb Depends >"$home/done/$1.part"
	dpkg-deb -x "$home/deb"/*.deb "$root"
	rm -rf "$home/deb"
	mv "$home/done/$1.part" "$home/done/$1"
}

# The libraries that an unpacked package names, the first of each choice.
libraries_of()
{
	tr ',' '\n' <"$home/done/$1" | sed 's/[|(].*//; s/:any//; s/ //g' |
		grep '^lib' || :
}

# fetch_with_libraries PACKAGE: the package, and what the machine lacks for it.
fetch_with_libraries()
{
	unpack "$1"
	for library in $(libraries_of "$1"); do
		is_installed "$library" && continue
		[ -e "$home/done/$library" ] && continue
		# A subshell, for sh has one $library for all depths.
		(fetch_with_libraries "$library")
	done
}

library_path()
{
	find "$root/usr/lib" "$root/lib" -name 'lib*.so*' 2>/dev/null |
		sed 's,/[^/]*$,,' | sort -u |
		sed '/\/modules/{/\/old-stats$/!d;}' | paste -s -d : -
}

# Says which libraries are still missing, if any.
check_libraries()
{
	missing=$(LD_LIBRARY_PATH=$(library_path) ldd "$root/usr/sbin/dovecot" \
		"$root/usr/sbin/nsd" \
		"$root"/usr/lib/dovecot/lmtp "$root"/usr/lib/dovecot/auth \
		"$root"/usr/lib/postfix/sbin/* 2>/dev/null |
		sed -n 's/ => not found//p' | sort -u | tr -d '\t' | paste -s -d ' ' -)
	[ -z "$missing" ] || die "libraries are missing: $missing (rm -r $home and fetch again?)"
}

# Dovecot loads its modules from where Debian installs them, whatever its
# configuration says.  Its working directory is its base_dir: so that name is
# made into one of the same length there, to which start links the modules.
relocate_modules()
{
	find "$root/usr/lib/dovecot" -type f -exec \
		sed -i 's,/usr/lib/dovecot/modules,.//./././././././modules,' {} +
}

# Readers of mail logs: Perl, run from where they are.
readers()
{
	for package in pflogsumm logwatch libdate-calc-perl libcarp-clan-perl; do
		[ -e "$home/done/$package" ] && continue
		need_lists
		unpack "$package"
	done
	echo "$root"
}

# MTAs that hand mail over to us, beside Postfix.
mtas()
{
	for package in exim4-daemon-light opensmtpd; do
		[ -e "$home/done/$package" ] && continue
		need_lists
		fetch_with_libraries "$package"
	done
	echo "$root"
}

# Receivers that keep to a protocol of their own, beside Dovecot and Postfix.
chasquid()
{
	[ -e "$home/done/chasquid" ] || need_lists
	fetch_with_libraries chasquid
	echo "$root"
}

# Haraka is no package of Debian's, and wants a newer node than Debian 12 has:
# that comes the same way.
haraka()
{
	if [ ! -e "$home/done/haraka" ]; then
		command -v npm >/dev/null || die "the command npm is missing (package npm)"
		say "fetching Haraka"
		rm -rf "$home/haraka"
		mkdir -p "$home/haraka" "$home/done"
		# A package of its own: npm puts nothing into a folder above.
		echo '{ "private": true }' >"$home/haraka/package.json"
		npm install --prefix "$home/haraka" --no-audit --no-fund \
			--omit=dev --omit=optional Haraka@~3.3.4 node@22 \
			>"$home/haraka/npm.log" 2>&1 || {
			cat "$home/haraka/npm.log" >&2
			die "npm install failed"
		}
		"$home/haraka/node_modules/node/bin/node" --version \
			>"$home/done/haraka.part"
		mv "$home/done/haraka.part" "$home/done/haraka"
	fi
	echo "$home/haraka"
}

fetch()
{
	if [ -e "$home/complete" ] && [ -e "$home/done/nsd" ]; then
		return
	fi
	need_lists
	say "unpacking Dovecot, Postfix and NSD under $home; nothing is installed"
	for package in dovecot-core dovecot-lmtpd postfix nsd; do
		fetch_with_libraries "$package"
	done
	check_libraries
	relocate_modules
	: >"$home/complete"
	say "ready"
}

# --- certificates --------------------------------------------------------

# authority FILE NAME
authority()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$1.key" -out "$1.pem" -days 30 -subj "/CN=$2" \
		-addext basicConstraints=critical,CA:TRUE \
		-addext keyUsage=critical,keyCertSign 2>/dev/null
}

# certificate FILE AUTHORITY NAMES [FROM UNTIL]: the dates as openssl ca wants.
certificate()
{
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$1.key" -out "$1.csr" -subj "/CN=${1##*/}" 2>/dev/null
	cat >"$1.cnf" <<-END
	[ca]
	default_ca = own
	[own]
	database = $1.db
	rand_serial = yes
	default_md = sha256
	policy = any
	unique_subject = no
	[any]
	commonName = supplied
	[ext]
	basicConstraints = CA:FALSE
	subjectAltName = $3
	END
	: >"$1.db"
	openssl ca -batch -notext -config "$1.cnf" -extensions ext \
		-cert "$2.pem" -keyfile "$2.key" -outdir "${1%/*}" \
		-in "$1.csr" -out "$1.pem" \
		-startdate "${4:-20200101000000Z}" -enddate "${5:-20491231235959Z}" \
		2>/dev/null
	rm -f "$1.csr" "$1.cnf" "$1.db"*
}

make_certificates()
{
	tls=$dir/tls
	names="DNS:$name,DNS:localhost,IP:127.0.0.1"
	mkdir "$tls"
	authority "$tls/ca" "postern test authority"
	authority "$tls/stranger" "an authority nobody trusts"
	certificate "$tls/server" "$tls/ca" "$names"
	certificate "$tls/expired" "$tls/ca" "$names" 20200101000000Z 20200201000000Z
	certificate "$tls/wrongname" "$tls/ca" "DNS:other.postern.test"
	certificate "$tls/untrusted" "$tls/stranger" "$names"
	rm -f "$tls"/[0-9A-F]*.pem
	[ -s "$tls/untrusted.pem" ] || die "openssl made no certificates"
}

# --- helpers of both servers ---------------------------------------------

# free_port: one that nobody listens on, and that was not given out before.
free_port()
{
	port=$(cat "$dir/port" 2>/dev/null || echo $((20000 + $$ % 10000)))
	while :; do
		port=$((port + 1))
		grep -qi ":$(printf %04X $port) " /proc/net/tcp && continue
		break
	done
	echo "$port" >"$dir/port"
	echo "$port"
}

# listens PORT
listens()
{
	grep -qi "0100007F:$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for()
{
	tries=$(($1 * 20))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.05
	done
}

# put NAME VALUE: an assignment in DIR/env.
put()
{
	printf "%s='%s'\n" "$1" "$2" >>"$dir/env"
}

# launch OUTPUT COMMAND...: in the background, as the leader of a process group;
# its pid is in $!.
launch()
{
	output=$1
	shift
	LD_LIBRARY_PATH=$libraries setsid "$@" </dev/null >>"$output" 2>&1 &
}

# is_ours PID: whether it still is a process that was started for DIR.
is_ours()
{
	{ tr '\0' '\n' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF "$dir/"
}

# --- Dovecot -------------------------------------------------------------

# The accounts: NAME:PASSWORD:UID:GID::HOME::EXTRA
write_accounts()
{
	for user in $users full; do
		extra=
		# Room for nothing: refused after the data, with 552.
		[ "$user" != full ] || extra='userdb_quota_rule=*:bytes=1'
		echo "$user:{PLAIN}none:$uid:$gid::$dir/mail/$user::$extra"
		mkdir -p "$dir/mail/$user"
		! is_root || chown "$uid:$gid" "$dir/mail/$user"
	done >"$dir/dovecot/users"
	echo "$sender:{PLAIN}$sender_password:$uid:$gid::$dir/mail/$sender::" \
		>>"$dir/dovecot/users"
}

# Who may log in with Postfix, which asks Dovecot: with a password, or with a
# token that one who has the key signed.
sender=sender
sender_password=correct-horse
write_oauth2()
{
	keys=$dir/dovecot/keys
	mkdir -p "$keys/default/HS256"
	openssl rand 32 >"$dir/dovecot/token-key"
	openssl base64 -A <"$dir/dovecot/token-key" >"$keys/default/HS256/default"
	chmod -R a+rX "$dir/dovecot/keys"
	cat >"$dir/dovecot/oauth2" <<-END
	introspection_mode = local
	local_validation_key_dict = fs:posix:prefix=$keys/
	username_attribute = sub
	END
}

write_dovecot()
{
	cat <<-END
	base_dir = $dir/dovecot/run
	state_dir = $dir/dovecot/state
	log_path = $dir/dovecot/log
	libexec_dir = $root/usr/lib/dovecot
	mail_plugin_dir = $root/usr/lib/dovecot/modules
	import_environment = LD_LIBRARY_PATH=$libraries
	instance_name = postern-test
	protocols =
	listen = 127.0.0.1
	hostname = $name
	postmaster_address = postmaster@$name
	login_greeting = Dovecot at your service.
	default_internal_user = $internal_user
	default_internal_group = $internal_group
	default_login_user = $internal_user
	first_valid_uid = 1
	ssl = yes
	ssl_cert = <$dir/tls/server.pem
	ssl_key = <$dir/tls/server.key
	auth_username_format = %Ln
	auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer
	auth_failure_delay = 0
	passdb {
	  driver = oauth2
	  mechanisms = xoauth2 oauthbearer
	  args = $dir/dovecot/oauth2
	}
	passdb {
	  driver = passwd-file
	  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
	  args = $dir/dovecot/users
	}
	userdb {
	  driver = passwd-file
	  args = $dir/dovecot/users
	}
	mail_location = maildir:~
	!include $dir/dovecot/example.conf
	service lmtp {
	  chroot =
	  inet_listener lmtp {
	    address = 127.0.0.1
	    port = $lmtp_port
	  }
	}
	service auth {
	  unix_listener $dir/auth {
	    mode = 0666
	  }
	}
	service anvil {
	  chroot =
	  # Else who fails often waits so long that Postfix gives up.
	  unix_listener anvil-auth-penalty {
	    mode = 0
	  }
	}
	service stats {
	  chroot =
	}
	END
}

start_dovecot()
{
	uid=$(id -u)
	gid=$(id -g)
	internal_user=$(id -un 2>/dev/null) || {
		echo "peers: user $(id -u) has no name, which Dovecot needs" >&2
		return 1
	}
	internal_group=$(id -gn)
	if is_root; then
		uid=$mail_id
		gid=$mail_id
		internal_user=nobody
		internal_group=nogroup
	fi
	lmtp_port=$(free_port)
	mkdir "$dir/dovecot" "$dir/dovecot/run" "$dir/dovecot/state" "$dir/mail"
	ln -s "$root/usr/lib/dovecot/modules" "$dir/dovecot/run/modules"
	write_accounts
	write_oauth2
	# The socket where we can have it, and open to all users of tests.
	sed "s,/run/dovecot/lmtp,$dir/lmtp,; s,mode = 0660,mode = 0666,; /group =/d" \
		"$top/conf/examples/dovecot.conf" >"$dir/dovecot/example.conf"
	write_dovecot >"$dir/dovecot/dovecot.conf"
	# dovecot by itself looks for doveconf where Debian installs it; so
	# doveconf comes first, and executes it with the settings.
	launch "$dir/dovecot/out" "$root/usr/bin/doveconf" \
		-f service=master -c "$dir/dovecot/dovecot.conf" -m master \
		-e "$root/usr/sbin/dovecot" -F -c "$dir/dovecot/dovecot.conf"
	put DOVECOT_PID $!
	wait_for 10 listens "$lmtp_port" || {
		cat "$dir/dovecot/out" "$dir/dovecot/log" >&2 || :
		die "Dovecot does not listen"
	}
	put LMTP_SOCKET "$dir/lmtp"
	put LMTP_PORT "$lmtp_port"
	put LMTP_DOMAIN dovecot.test
	put LMTP_USERS "$users"
	put LMTP_FULL_USER full
	put MAILDIR "$dir/mail"
	put DOVECOT_LOG "$dir/dovecot/log"
	say "Dovecot: LMTP on $dir/lmtp and 127.0.0.1:$lmtp_port"
}

# --- Postfix -------------------------------------------------------------

write_main()
{
	mailboxes="$utf8_user@postfix.test=utf8/,"
	for user in $users; do
		mailboxes="$mailboxes $user@postfix.test=$user/,"
	done
	cat <<-END
	compatibility_level = 3.6
	queue_directory = $dir/postfix/queue
	data_directory = $dir/postfix/data
	command_directory = $root/usr/sbin
	daemon_directory = $root/usr/lib/postfix/sbin
	shlib_directory = $root/usr/lib/postfix
	meta_directory = $dir/postfix/etc
	sendmail_path = $root/usr/sbin/sendmail
	import_environment = MAIL_CONFIG, LD_LIBRARY_PATH=$libraries
	mail_owner = $postfix_user
	setgid_group = $postfix_group
	maillog_file = $dir/postfix/log
	maillog_file_prefixes = $dir
	inet_interfaces = 127.0.0.1
	inet_protocols = ipv4
	myhostname = $name
	mynetworks =
	mydestination =
	alias_maps =
	alias_database =
	local_recipient_maps =
	virtual_mailbox_domains = postfix.test
	virtual_mailbox_base = $dir/mail-postfix
	virtual_mailbox_maps = inline:{$mailboxes }
	virtual_uid_maps = static:$mail_id
	virtual_gid_maps = static:$mail_id
	virtual_minimum_uid = 1
	# Nothing ever leaves this machine.
	default_transport = error:5.4.4 this is a test
	relay_transport = error:5.4.4 this is a test
	smtpd_relay_restrictions = reject_unauth_destination
	smtpd_tls_security_level = may
	smtpd_tls_cert_file = $dir/tls/server.pem
	smtpd_tls_key_file = $dir/tls/server.key
	smtpd_tls_loglevel = 1
	smtpd_tls_received_header = yes
	smtpd_authorized_xforward_hosts = 127.0.0.1
	smtpd_authorized_xclient_hosts = 127.0.0.1
	# Many sessions of one client are what tests are made of.
	smtpd_client_connection_count_limit = 0
	smtpd_client_connection_rate_limit = 0
	END
}

# smtpd_line PORT OPTION...
smtpd_line()
{
	printf '127.0.0.1:%s inet n - n - - smtpd' "$1"
	shift
	for option in "$@"; do
		printf ' -o %s' "$option"
	done
	echo
}

# bad_line PORT CERTIFICATE
bad_line()
{
	smtpd_line "$1" "smtpd_tls_cert_file=$dir/tls/$2.pem" \
		"smtpd_tls_key_file=$dir/tls/$2.key"
}

write_master()
{
	smtpd_line "$smtp_port"
	smtpd_line "$smtps_port" smtpd_tls_wrappermode=yes
	bad_line "$expired_port" expired
	bad_line "$wrongname_port" wrongname
	bad_line "$untrusted_port" untrusted
	smtpd_line "$clear_port" smtpd_tls_security_level=none
	smtpd_line "$small_port" message_size_limit=3000
	smtpd_line "$plain_port" smtpd_discard_ehlo_keywords=chunking,pipelining,8bitmime,smtputf8,dsn
	smtpd_line "$login_port" smtpd_sasl_auth_enable=yes \
		smtpd_sasl_type=dovecot "smtpd_sasl_path=$dir/auth" \
		smtpd_tls_auth_only=yes smtpd_delay_reject=no \
		smtpd_sender_restrictions=permit_sasl_authenticated,reject
	cat <<-END
	cleanup unix n - n - 0 cleanup
	qmgr unix n - n 300 1 qmgr
	tlsmgr unix - - n 1000? 1 tlsmgr
	rewrite unix - - n - - trivial-rewrite
	bounce unix - - n - 0 bounce
	defer unix - - n - 0 bounce
	trace unix - - n - 0 bounce
	proxymap unix - - n - - proxymap
	error unix - - n - - error
	retry unix - - n - - error
	virtual unix - n n - - virtual
	anvil unix - - n - 1 anvil
	scache unix - - n - 1 scache
	postlog unix-dgram n - n - 1 postlogd
	END
}

make_postfix_folders()
{
	queue=$dir/postfix/queue
	mkdir "$dir/postfix" "$dir/postfix/etc" "$dir/postfix/data" "$queue" \
		"$dir/mail-postfix"
	for folder in active bounce corrupt defer deferred flush hold incoming \
		maildrop pid private public saved trace; do
		mkdir "$queue/$folder"
		chown $postfix_user "$queue/$folder"
	done
	chown root "$queue/pid"
	chown $postfix_user "$dir/postfix/data"
	chmod 700 "$queue/private" "$dir/postfix/data"
	chgrp $postfix_group "$queue/maildrop" "$queue/public"
	chmod 710 "$queue/public"
	chmod 730 "$queue/maildrop"
	for user in $users utf8; do
		mkdir "$dir/mail-postfix/$user"
		chown $mail_id:$mail_id "$dir/mail-postfix/$user"
	done
}

listens_all()
{
	listens "$smtp_port" && listens "$smtps_port" &&
		listens "$expired_port" && listens "$wrongname_port" &&
		listens "$untrusted_port" && listens "$clear_port" &&
		listens "$small_port" && listens "$plain_port" &&
		listens "$login_port"
}

start_postfix()
{
	smtp_port=$(free_port)
	smtps_port=$(free_port)
	expired_port=$(free_port)
	wrongname_port=$(free_port)
	untrusted_port=$(free_port)
	clear_port=$(free_port)
	small_port=$(free_port)
	plain_port=$(free_port)
	login_port=$(free_port)
	make_postfix_folders
	write_main >"$dir/postfix/etc/main.cf"
	write_master >"$dir/postfix/etc/master.cf"
	launch "$dir/postfix/out" "$root/usr/lib/postfix/sbin/master" \
		-c "$dir/postfix/etc" -d
	put POSTFIX_PID $!
	wait_for 10 listens_all || {
		cat "$dir/postfix/out" "$dir/postfix/log" >&2 || :
		die "Postfix does not listen"
	}
	put POSTFIX yes
	put POSTFIX_PORT "$smtp_port"
	put POSTFIX_SMTPS_PORT "$smtps_port"
	put POSTFIX_EXPIRED_PORT "$expired_port"
	put POSTFIX_WRONGNAME_PORT "$wrongname_port"
	put POSTFIX_UNTRUSTED_PORT "$untrusted_port"
	put POSTFIX_CLEAR_PORT "$clear_port"
	put POSTFIX_SMALL_PORT "$small_port"
	put POSTFIX_PLAIN_PORT "$plain_port"
	put POSTFIX_LOGIN_PORT "$login_port"
	put LOGIN_USER "$sender"
	put LOGIN_PASSWORD "$sender_password"
	put LOGIN_TOKEN_KEY "$dir/dovecot/token-key"
	put POSTFIX_DOMAIN postfix.test
	put POSTFIX_USERS "$users"
	put POSTFIX_UTF8_USER "$utf8_user"
	put POSTFIX_MAILDIR "$dir/mail-postfix"
	put POSTFIX_LOG "$dir/postfix/log"
	say "Postfix: SMTP with STARTTLS on 127.0.0.1:$smtp_port"
}

# The servers' users may not get through to a clone below /root.
make_root_reachable()
{
	is_root || return 0
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		test -x "$root/usr/sbin/dovecot" && return
	cp -a "$root" "$dir/root"
	root=$dir/root
}

# --- start, stop ---------------------------------------------------------

start()
{
	[ -e "$home/complete" ] || fetch
	command -v openssl >/dev/null || die "the command openssl is missing (package openssl)"
	[ ! -e "$1/env" ] || die "$1 is in use; stop it, or take another"
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	# The servers' users have to pass through.
	! is_root || chmod a+x "$dir"
	make_root_reachable
	libraries=$(library_path)
	trap 'failed' EXIT
	trap 'exit 1' INT TERM
	: >"$dir/env"
	make_certificates
	put SERVER_NAME "$name"
	put CA_FILE "$dir/tls/ca.pem"
	put SMTP_SINK "$root/usr/sbin/smtp-sink"
	put LIBRARIES "$libraries"
	start_dovecot
	if is_root; then
		start_postfix
	else
		put POSTFIX no
		say "Postfix is skipped: it needs root"
	fi
	trap - EXIT INT TERM
}

failed()
{
	trap - EXIT
	say "start failed; see $dir"
	stop "$dir"
	exit 1
}

# end_process PID: it and its children, TERM first.
end_process()
{
	is_ours "$1" || return 0
	kill -TERM "-$1" 2>/dev/null || :
	wait_for 10 group_has_ended "$1" && return
	say "process $1 does not end: killing it"
	kill -KILL "-$1" 2>/dev/null || :
	wait_for 5 group_has_ended "$1" || say "process group $1 remains"
}

# Whether all of a process group is gone, or dead and not waited for: init may
# take its time.  /proc/PID/stat goes on with state, parent, group.
group_has_ended()
{
	! cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^[0-9]* (.*) //' |
		awk -v group="$1" '$3 == group && $1 != "Z" { found = 1 }
			END { exit !found }'
}

stop()
{
	[ -e "$1/env" ] || return 0
	dir=$(cd "$1" && pwd)
	DOVECOT_PID=
	POSTFIX_PID=
	# shellcheck source=/dev/null
	. "$dir/env"
	[ -z "$POSTFIX_PID" ] || end_process "$POSTFIX_PID"
	[ -z "$DOVECOT_PID" ] || end_process "$DOVECOT_PID"
	rm -f "$dir/env"
}

# Whoever ran us ends it.
nsd()
{
	[ -e "$home/done/nsd" ] || fetch
	LD_LIBRARY_PATH=$(library_path) exec "$root/usr/sbin/nsd" -d -c "$1"
}

usage()
{
	echo "usage: peers.sh fetch | readers | mtas | chasquid | haraka | start DIR | stop DIR | nsd FILE" >&2
	exit 64
}

case ${1:-} in
fetch | readers | mtas | chasquid | haraka)
	[ $# = 1 ] || usage
	"$1"
	;;
start | stop | nsd)
	[ $# = 2 ] || usage
	"$1" "$2"
	;;
*)
	usage
	;;
esac
