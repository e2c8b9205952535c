# SPDX-License-Identifier: ISC
"""The sendmail command, over the real posternd."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, as_plain_user, wait_for  # noqa
from sink import Sink  # noqa

CONFIG = """
myorigin = "home.test"
job_socket_mode = 0666
minimal_backoff_time = 60s
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = sink }
route "dead.test" { transport = dead }
"""


class System:
    """A posternd, a sink, and the command under its three names."""

    def __init__(self):
        self.sink = Sink()
        self.sink.keywords = ["DSN", "8BITMIME", "SMTPUTF8", "PIPELINING"]
        self.d = Daemon(CONFIG % self.sink.port)

    def __enter__(self):
        self.d.__enter__()
        for name in ("sendmail", "mailq", "newaliases"):
            os.symlink("postern", os.path.join(self.d.dir, name))
        return self

    def __exit__(self, *exc):
        self.d.__exit__(*exc)
        self.sink.close()

    def run(self, name, *args, message=b"", status=0, plain=False, env=None):
        argv = [os.path.join(self.d.dir, name), "-C", self.d.config, *args]
        r = subprocess.run(as_plain_user(argv) if plain else argv,
                           input=message, capture_output=True, timeout=60,
                           env={**os.environ, **(env or {})}, check=False)
        assert r.returncode == status, (args, r.returncode, r.stdout,
                                        r.stderr)
        return r

    def mail(self, rcpt):
        """What came for an address; its header as a dictionary, and body."""
        wait_for(lambda: self.sink.got(rcpt), 30, rcpt)
        mail = self.sink.got(rcpt)[0]
        header, body = mail.text.decode("utf-8").split("\r\n\r\n", 1)
        fields = {}
        for line in re.sub(r"\r\n[ \t]+", " ", header).split("\r\n"):
            name, value = line.split(": ", 1)
            fields.setdefault(name, []).append(value)
        return mail, fields, body


def cron_calls_it():
    with System() as s:
        s.run("sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root",
              message=b"From: root (Cron Daemon)\nTo: root\n"
              b"Subject: Cron <root@home> run\nX-Cron-Env: <SHELL=/bin/sh>\n"
              b"\nhello\n.\nafter the dot\n",
              env={"NAME": "nobody"})
        mail, fields, body = s.mail("root@home.test")
        assert mail.commands[0].startswith(b"MAIL FROM:<root@home.test>"), \
            mail.commands
        assert fields["From"] == ["root (Cron Daemon)"], fields
        assert body == "hello\r\n..\r\nafter the dot\r\n", body
        assert len(fields["Date"]) == len(fields["Message-ID"]) == 1
        assert "from userid 0" in fields["Received"][0], fields


def recipients_of_the_header():
    with System() as s:
        s.run("sendmail", "-t", "-f", "list-owner@home.test", "extra@x.test",
              message=b"To: Ana <a@x.test>, \"B, C\" <b@x.test>,\n\tc@x.test\n"
              b"Cc: team: d@x.test;\nBcc: hidden@x.test\n"
              b"Return-Path: <old@x.test>\nSubject: s\n\nbody\n")
        for rcpt in ("a", "b", "c", "d", "hidden", "extra"):
            _, fields, _ = s.mail(rcpt + "@x.test")
            assert "Bcc" not in fields and "Return-Path" not in fields, fields
        _, fields, body = s.mail("a@x.test")
        assert fields["From"] == ["<list-owner@home.test>"], fields
        assert body == "body\r\n", body
        # What is sent again goes to whom it is sent again.
        s.run("sendmail", "-t", "-i", message=b"Resent-To: r@y.test\n"
              b"To: never@y.test\nFrom: x@y.test\n\nbody\n")
        _, fields, _ = s.mail("r@y.test")
        assert len(fields["Resent-From"]) == 1 and len(fields["From"]) == 1
        assert not s.sink.got("never@y.test")


def names_and_senders():
    with System() as s:
        s.run("sendmail", "-F", "Ana \"A\" Example", "-fana", "a@x.test",
              message=b"Subject: 1\n\n")
        mail, fields, _ = s.mail("a@x.test")
        assert mail.commands[0].startswith(b"MAIL FROM:<ana@home.test>")
        assert fields["From"] == [
            '"Ana \\"A\\" Example" <ana@home.test>'], fields
        s.run("sendmail", "-F", "J\u00f6rg", "-f", "<>", "b@x.test",
              message=b"no header\n")
        mail, fields, body = s.mail("b@x.test")
        assert mail.commands[0].startswith(b"MAIL FROM:<>")
        assert fields["From"] == ["MAILER-DAEMON@home.test"], fields
        assert body == "no header\r\n", body
        s.run("sendmail", "-f", "j@x.test", "c@x.test", message=b"",
              env={"NAME": "J\u00f6rg"})
        _, fields, body = s.mail("c@x.test")
        assert fields["From"] == ["=?UTF-8?Q?J=C3=B6rg?= <j@x.test>"], fields
        assert body == "", body


def odd_addresses_are_quoted():
    with System() as s:
        s.run("sendmail", "-f", "user.@x.test", "a..b@x.test", "-t",
              message=b"To: <.c@y_1.test>, \"d>e\"@x.test\n\nbody\n")
        for rcpt in ('"a..b"@x.test', '".c"@y_1.test', '"d>e"@x.test'):
            mail, fields, _ = s.mail(rcpt)
            assert mail.commands[0].startswith(
                b'MAIL FROM:<"user."@x.test>'), mail.commands
            assert fields["From"] == ['<"user."@x.test>'], fields
        long = "v" * 300 + "@x.test"
        s.run("sendmail", "-f", long, long, message=b"Subject: 1\n\n")
        mail, fields, _ = s.mail(long)
        assert mail.commands[0].startswith(
            b"MAIL FROM:<" + long.encode()), mail.commands


def notifications_are_asked_for():
    with System() as s:
        s.run("sendmail", "-N", "success,delay", "-R", "hdrs", "-V", "id7",
              "-f", "me@x.test", "a@x.test", message=b"Subject: x\n\n")
        mail, _, _ = s.mail("a@x.test")
        assert b"RET=HDRS" in mail.commands[0] and \
            b"ENVID=id7" in mail.commands[0], mail.commands
        assert b"NOTIFY=SUCCESS,DELAY" in mail.commands[1], mail.commands
        s.run("sendmail", "-Nnever", "b@x.test", message=b"Subject: x\n\n")
        mail, _, _ = s.mail("b@x.test")
        assert b"NOTIFY=NEVER" in mail.commands[1], mail.commands


def anybody_may_send():
    with System() as s:
        s.run("sendmail", "-oi", "a@x.test", message=b"Subject: x\n\n.\nb\n",
              plain=True)
        mail, fields, _ = s.mail("a@x.test")
        assert b"MAIL FROM:<root@" not in mail.commands[0], mail.commands
        assert "from userid 0)" not in fields["Received"][0], fields


def mailq_and_flush():
    with System() as s:
        assert s.run("mailq").stdout == b"Mail queue is empty\n"
        s.run("sendmail", "-f", "me@x.test", "a@dead.test", "b@dead.test",
              message=b"Subject: x\n\nwait\n")
        wait_for(lambda: [r["state"] for r in s.d.queued()] ==
                 ["deferred"] * 2, 30, "two to be deferred")
        lines = s.run("sendmail", "-bp").stdout.decode().split("\n")
        assert lines[0].startswith("-Queue ID-  --Size-- ----Arrival"), lines
        assert re.match(r"[0-9A-F]+ +\d+ \w\w\w \w\w\w [ \d]\d \d\d:\d\d:\d\d"
                        r"  me@x.test$", lines[1]), lines
        assert "refused)" in lines[2], lines
        assert lines[3] == " " * 41 + "a@dead.test", lines
        assert lines[-2].startswith("-- 1 Kbytes in 1 Request."), lines
        s.run("sendmail", "-q")
        wait_for(lambda: s.d.log_text().count("status=deferred") == 4, 30,
                 "another attempt")
        s.run("sendmail", "-qRdead.test")
        s.run("sendmail", "-qI" + s.d.queued()[0]["id"])
        s.run("newaliases")


def wrong_calls():
    with System() as s:
        for args, status, word in (
                ((), 64, b"no recipients"),
                (("-bs",), 64, b"SMTP on standard input"),
                (("-bd",), 64, b"posternd is the daemon"),
                (("-bz", "a@x.test"), 64, b"no such mode"),
                (("-q30m",), 64, b"by itself"),
                (("-R", "half", "a@x.test"), 64, b"full or hdrs"),
                (("-B", "9BIT", "a@x.test"), 64, b"7BIT or 8BITMIME"),
                (("-N", "maybe", "a@x.test"), 69, b"notify"),
                (("-f", "two words", "a@x.test"), 64, b"no address"),
                (("a@@x",), 65, b"no address"),
                (("-t",), 65, b"no recipients"),
                (("-Y", "a@x.test"), 64, b"invalid option")):
            r = s.run("sendmail", *args, message=b"Subject: x\n\n",
                      status=status)
            assert word in r.stderr, (args, r.stderr)
        assert s.sink.mails == [] and s.d.queued() == []
        s.d.stop()
        r = s.run("sendmail", "a@x.test", message=b"x\n", status=75)
        assert b"is posternd running" in r.stderr, r.stderr


def run(suite):
    suite.check_all([
        ("sendmail: cron calls it", cron_calls_it),
        ("sendmail: recipients of the header", recipients_of_the_header),
        ("sendmail: names and senders", names_and_senders),
        ("sendmail: odd addresses are quoted", odd_addresses_are_quoted),
        ("sendmail: notifications are asked for",
         notifications_are_asked_for),
        ("sendmail: anybody may send", anybody_may_send),
        ("sendmail: mailq and flush", mailq_and_flush),
        ("sendmail: wrong calls", wrong_calls),
    ])
