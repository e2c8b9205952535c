# SPDX-License-Identifier: ISC
"""The sendmail command, over the real posternd."""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, as_plain_user, wait_for  # noqa
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

    def __init__(self, more=""):
        self.sink = Sink()
        self.sink.keywords = ["DSN", "8BITMIME", "SMTPUTF8", "PIPELINING"]
        self.d = Daemon(more + CONFIG % self.sink.port)

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
        assert fields["From"] == ["root@home.test (Cron Daemon)"], fields
        assert fields["To"] == ["root@home.test"], fields
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


def lines_are_the_same_to_all():
    """What ends a line for whom we hand over to ends a field for us."""
    with System() as s:
        for i, end in enumerate(("\r", "\n", "\r\n", "\r\r\n")):
            rcpts = ["%s%d@x.test" % (name, i) for name in "ab"]
            s.run("sendmail", "-t", message=(
                ">From me Mon" + end + "To: " + rcpts[0] + end +
                "Bcc: " + rcpts[1] + end + "Subject: s" + end + end +
                "body" + end).encode())
            for rcpt in rcpts:
                _, fields, body = s.mail(rcpt)
                assert fields["To"] == [rcpts[0]] and "Bcc" not in fields, \
                    fields
                assert body == "body\r\n", body
        s.run("sendmail", "-t", message=b"To: a@x.test\rBcc: secret@x.test"
              b"\n\nbody\n")
        for rcpt in ("a@x.test", "secret@x.test"):
            _, fields, _ = s.mail(rcpt)
            assert fields["To"] == ["a@x.test"] and "Bcc" not in fields, fields


def names_that_mail_programs_write():
    with System() as s:
        s.run("sendmail", "-t", "-F", "J\u00f6rg " * 100, "dup@x.test",
              message=b"To: " + b"Ana " * 300 + b"<a@x.test>,\n"
              b" \x1b$B$\"<(,\x1b(B <b@x.test>, Ana) <c@x.test>, <d@x.test\n"
              b"Cc: dup@X.TEST, local\nSubject: s\n\nbody\n")
        for rcpt in ("a@x.test", "b@x.test", "c@x.test", "d@x.test",
                     "local@home.test"):
            mail, fields, _ = s.mail(rcpt)
            assert fields["Cc"] == ["dup@X.TEST, local@home.test"], fields
            for line in mail.text.split(b"\r\n"):
                assert len(line) <= (76 if b"=?" in line else 998), line
        s.mail("dup@x.test")
        rcpts = [c for m in s.sink.mails for c in m.commands if b"dup" in c]
        assert len(rcpts) == 1, rcpts


def many_recipients_are_several_jobs():
    rcpts = ["u%d@x.test" % i for i in range(25)]
    message = ("To: " + ",".join(rcpts) + "\n\nbody\n").encode()
    with System("job_recipient_limit = 10\n") as s:
        r = s.run("sendmail", "-t", "-v", message=message)
        lines = r.stdout.decode().splitlines()
        assert [re.sub("as [0-9A-F]+:", "as ID:", line) for line in lines] == \
            ["queued as ID: %d recipients" % n for n in (10, 10, 5)], lines
        assert len({line.split()[2] for line in lines}) == 3, lines
        for rcpt in rcpts:
            s.mail(rcpt)
        # What cannot be read, or is old, is found out.
        other = s.d.config + ".other"
        with open(s.d.config) as f, open(other, "w") as g:
            g.write(f.read().replace("job_recipient_limit = 10",
                                     "job_recipient_limit = 24"))
        r = s.run("sendmail", "-C", other, "-t", "-v", message=message)
        assert [int(line.split()[3]) for line in
                r.stdout.decode().splitlines()] == [6, 6, 6, 6, 1], r.stdout


class Answers:
    """A job socket that gives each job the next answer; a number is a code, and
    None ends the connection."""

    def __init__(self, path, answers):
        self.jobs = []
        self.answers = list(answers)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(path)
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while self.answers:
            client, _ = self.socket.accept()
            if len(self.answers) == 1:
                self.socket.close()  # before the client can come again
            rcpts, more = [], True
            while more:
                packet = json.loads(client.recv(65536))
                rcpts += packet["rcpts"]
                more = packet["more"]
            self.jobs.append(len(rcpts))
            answer = self.answers.pop(0)
            if answer == 250:
                client.send(b'{"status":"queued","id":"4F%d"}' %
                            len(self.jobs))
            elif answer is not None:
                client.send(json.dumps({
                    "status": "refused", "code": answer, "error": "no",
                    "dsn": "4.5.3" if answer == 452 else "5.7.1"}).encode())
            client.close()


def a_part_that_fails_is_named():
    rcpts = ["u%d@x.test" % i for i in range(5)]
    for answers, status, jobs, words in (
            ((250, 550, 250), 69, [2, 2, 1],
             ["recipients 3 to 4 of 5 (u2@x.test to u3@x.test): refused: no",
              "3 of 5 recipients are queued"]),
            ((250, 451, 250), 75, [2, 2, 1],
             ["recipients 3 to 4 of 5 (u2@x.test to u3@x.test): refused: no",
              "3 of 5 recipients are queued"]),
            ((451, 550, 250), 69, [2, 2, 1], ["1 of 5 recipients"]),
            ((250, 250, None), 75, [2, 2, 1],
             ["recipients 5 to 5 of 5 (u4@x.test to u4@x.test): posternd "
              "closed the connection", "4 of 5 recipients"]),
            ((250,), 75, [2],
             ["recipients 3 to 5 of 5 (u2@x.test to u4@x.test): not handed",
              "2 of 5 recipients"]),
            ((452, 250, 452, 250, 250, 250), 75, [2, 1, 1, 1, 1, 1],
             ["recipients 2 to 2 of 5 (u1@x.test to u1@x.test): refused: no",
              "4 of 5 recipients"]),
            ((250, 250, 250), 0, [2, 2, 1], [])):
        with tempfile.TemporaryDirectory() as folder:
            config = os.path.join(folder, "conf")
            with open(config, "w") as f:
                f.write('job_recipient_limit = 2\njob_socket = "%s/s"\n' %
                        folder)
            server = Answers(folder + "/s", answers)
            r = subprocess.run(
                [os.path.join(ROOT, "build/postern"), "sendmail", "-C", config,
                 "-v", *rcpts], input=b"body\n", capture_output=True,
                timeout=60, check=False)
            err = r.stderr.decode()
            assert r.returncode == status, (answers, r)
            assert server.jobs == jobs, (answers, server.jobs)
            assert all(w in err for w in words) and bool(err) == bool(words), \
                (answers, err)


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
                (("-N", "maybe", "a@x.test"), 64, b"-N must hold"),
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
        ("sendmail: lines are the same to all", lines_are_the_same_to_all),
        ("sendmail: names that mail programs write",
         names_that_mail_programs_write),
        ("sendmail: many recipients are several jobs",
         many_recipients_are_several_jobs),
        ("sendmail: a part that fails is named", a_part_that_fails_is_named),
        ("sendmail: mailq and flush", mailq_and_flush),
        ("sendmail: wrong calls", wrong_calls),
    ])
