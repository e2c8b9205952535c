# SPDX-License-Identifier: ISC
"""Mail that comes in by LMTP and SMTP, over the real posternd."""
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import PLAIN_UID, ROOT, Daemon, Job, memfd, wait_for  # noqa
from sink import Sink  # noqa

MESSAGE = b"From: a@sender.test\r\nSubject: test\r\n\r\ntext\r\n"
DOT = b".\r\n"

CONFIG = """
%(globals)s
transport sink {
	protocol = %(protocol)s
	server = "127.0.0.1:%(sink)d"
	tls_security_level = none
	%(transport)s
}
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = sink }
route "dead.test" { transport = dead }
listener test {
	listen = "%(listen)s"
	%(listener)s
}
"""


PORT = 2525
_places = itertools.count(1)


def free_address():
    """One of loopback's that no other test has, nor another run of these."""
    pid = os.getpid()
    return "127.%d.%d.%d" % (64 + (pid & 63), pid >> 6 & 255, next(_places))


class Place:
    """A posternd with one listener, and a sink behind it."""

    def __init__(self, listener="", globals="", transport="", protocol="smtp",
                 keywords=None, unix=False, more=""):
        self.sink = Sink()
        if keywords is not None:
            self.sink.keywords = keywords
        self.unix = unix
        self.daemon = Daemon()
        self.address = free_address()
        self.path = self.daemon.dir + "/mail"
        self.more = more
        self.parts = {
            "globals": globals, "transport": transport, "protocol": protocol,
            "sink": self.sink.port, "listener": listener,
            "listen": ("unix:" + self.path if unix else
                       "%s:%d" % (self.address, PORT))}
        self.write(listener)

    def write(self, listener):
        self.parts["listener"] = listener
        self.daemon.write_config(CONFIG % self.parts + self.more)

    def __enter__(self):
        try:
            self.daemon.start(60)
        except Exception:
            self.__exit__(None)
            raise
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.daemon.log_text()[-4000:])
        self.sink.close()
        self.daemon.clear()

    def client(self, hello=b"EHLO me.test"):
        place = self.path if self.unix else (self.address, PORT)
        return Client(place, hello)

    def mails(self, count=1, rcpt=None):
        def there():
            got = self.sink.got(rcpt) if rcpt else list(self.sink.mails)
            return got if len(got) >= count else None
        return wait_for(there, 60, "%d mails at the sink" % count)

    def log(self, words, seconds=60):
        wait_for(lambda: words in self.daemon.log_text(), seconds,
                 "%r in the log" % words)
        return [line for line in self.daemon.log_text().splitlines()
                if words in line]


class Client:
    def __init__(self, place, hello=b"EHLO me.test"):
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(60)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(place)
        self.input = b""
        self.greeting = self.reply()
        self.offers = self.say(hello) if hello else None

    def line(self):
        while b"\r\n" not in self.input:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(self.input)
            self.input += more
        line, self.input = self.input.split(b"\r\n", 1)
        return line.decode()

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def say(self, octets):
        self.sock.sendall(octets + b"\r\n")
        return self.reply()

    def want(self, octets, start):
        reply = self.say(octets)
        assert reply.startswith(start), (octets, reply)
        return reply

    def send(self, message=MESSAGE, sender=b"<a@sender.test>",
             rcpts=(b"<b@rcpt.test>",), mail=b"", answers=1):
        """A whole message; what is said to its end."""
        self.want(b"MAIL FROM:" + sender + mail, "250 2.1.0")
        for rcpt in rcpts:
            self.want(b"RCPT TO:" + rcpt, "250 2.1.5")
        self.want(b"DATA", "354")
        self.sock.sendall(message + DOT)
        replies = [self.reply() for _ in range(answers)]
        return replies[0] if answers == 1 else replies

    def ended(self):
        """Whether the other side closes."""
        try:
            self.line()
        except (EOFError, ConnectionResetError):
            return True
        return False

    def close(self):
        self.sock.close()


def queue_id(reply):
    m = re.fullmatch(r"250 2\.0\.0 Ok: queued as ([0-9A-F]+)", reply)
    assert m, reply
    return m.group(1)


# What it says.

def a_message_is_queued_and_delivered():
    with Place() as p:
        c = p.client()
        assert c.greeting == "220 client.postern.test ESMTP postern"
        assert c.offers.split("\n") == [
            "250-client.postern.test", "250-PIPELINING", "250-SIZE 52428800",
            "250-8BITMIME", "250-ENHANCEDSTATUSCODES", "250-CHUNKING",
            "250-BINARYMIME", "250-DSN", "250-SMTPUTF8", "250-DELIVERBY",
            "250 MT-PRIORITY"], c.offers
        id_ = queue_id(c.send(b"..dot\r\n" + MESSAGE))
        c.want(b"QUIT", "221 2.0.0")
        assert c.ended()
        mail = p.mails()[0]
        m = re.fullmatch(
            rb"Received: from me\.test \(\[127\.\d+\.\d+\.\d+\]\)\r\n"
            rb"\tby client\.postern\.test \(postern\) with ESMTP id (\S+)\r\n"
            rb"\tfor <b@rcpt\.test>;\r\n"
            rb"\t\w{3}, +\d+ \w{3} \d{4} [\d:]{8} \+0000\r\n"
            rb"\.\.dot\r\n" + re.escape(MESSAGE), mail.text)
        assert m, mail.text
        ref = m.group(1).decode()
        line = p.log("%s: client=localhost[127." % id_)[0]
        assert line.endswith("ref=" + ref) and "postern/smtpd[" in line, line
        line = p.log("disconnect from localhost[127.")[0]
        assert line.endswith("ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")
        p.log("connect from localhost[127.")


def pipelined_in_one_packet_and_octet_by_octet():
    talk = (b"EHLO me.test\r\nMAIL FROM:<no one>\r\nRCPT TO:<b@rcpt.test>\r\n"
            b"MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@>\r\n"
            b"RCPT TO:<%s@rcpt.test>\r\nDATA\r\nA: b\r\n\r\n..\r\n.\r\n"
            b"MAIL FROM:<a@sender.test>\r\nRCPT TO:<%s@rcpt.test>\r\n"
            b"BDAT 6\r\nA: b\r\nBDAT 8 LAST\r\n\r\nQUIT\r\nQUIT\r\nRSET\r\n")
    want = ["501", "503", "250", "501", "250", "354", "250", "250", "250",
            "250", "250", "221"]
    with Place() as p:
        for name, pieces in ((b"whole", 1), (b"octets", None)):
            octets = talk % (name, name)
            c = p.client(None)
            for at in range(0, len(octets), len(octets) if pieces else 1):
                c.sock.sendall(octets[at:at + (len(octets) if pieces else 1)])
            assert c.reply().startswith("250-client"), "EHLO"
            codes = [c.reply()[:3] for _ in want]
            assert codes == want, codes
            assert c.ended()
            texts = [m.text for m in p.mails(2, name.decode() + "@rcpt.test")]
            assert sorted(t.split(b"+0000\r\n")[1] for t in texts) == [
                b"A: b\r\n\r\n..\r\n", b"A: b\r\n\r\nQUIT\r\n"], texts


def smuggled(policy):
    """A dot between each pair of line ends, and commands behind it."""
    ends = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\n\n", b"\r\n\r"]
    behind = (b"MAIL FROM:<smuggled@sender.test>%sRCPT TO:<got@rcpt.test>%s"
              b"DATA%sSubject: smuggled\r\n\r\ntext")
    with Place("smtpd_forbid_bare_newline = %s" % policy) as p:
        good = 0
        for before, after in itertools.product(ends, ends):
            if before.endswith(b"\r\n") and after.startswith(b"\r\n"):
                continue  # the end that is the right one
            for end in (b"\r\n", b"\n"):
                c = p.client()
                text = (b"A: b\r\n\r\ntext" + before + b"." + after +
                        behind % (end, end, end) + b"\r\n")
                reply = c.send(text, rcpts=(b"<victim@rcpt.test>",))
                if policy == "reject":
                    assert reply.startswith("550 5.5.2 "), (before, after,
                                                            reply)
                else:
                    queue_id(reply)
                    good += 1
                # nothing else was said: the next reply is this one's
                c.want(b"NOOP", "250 2.0.0 Ok")
                c.want(b"QUIT", "221")
                assert c.ended()
        if good:
            p.mails(good, "victim@rcpt.test")
        # who got in by then is at the sink before this one is
        c = p.client()
        queue_id(c.send(rcpts=(b"<last@rcpt.test>",)))
        p.mails(1, "last@rcpt.test")
        assert not p.sink.got("got@rcpt.test")
        assert len(p.sink.mails) == good + 1, len(p.sink.mails)
        log = p.daemon.log_text()
        assert "from=<smuggled" not in log.replace("reject: ", ""), "relayed"


def a_bare_line_feed_ends_a_session():
    with Place() as p:
        c = p.client()
        c.sock.sendall(b"NOOP x\nMAIL FROM:<a@sender.test>\r\n"
                       b"RCPT TO:<b@rcpt.test>\r\n")
        assert c.reply().startswith("521 5.5.2 "), "521"
        assert c.ended()


def another_protocol_is_not_spoken():
    """A browser, or a program that was made to connect here, sends no mail."""
    smtp = (b"%s me.test\r\nMAIL FROM:<a@sender.test>\r\n"
            b"RCPT TO:<forged@rcpt.test>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n")
    http = (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n")
    starts = [http, b"GET /\r\n", b"CONNECT a:25 HTTP/1.0\r\n\r\n",
              b"User-Agent: x\r\n", b"*1\r\n$4\r\n",
              b"\x16\x03\x01\x02\x00\x01\r\n",
              b"POST /" + b"a" * 5000 + b" HTTP/1.0\r\n"]
    for lmtp, more in ((False, ""), (False, "answer = final"),
                       (True, "protocol = lmtp\nanswer = final"),
                       (True, "protocol = lmtp"),
                       (False, "smtpd_forbid_bare_newline = normalize")):
        body = smtp % (b"LHLO" if lmtp else b"EHLO")
        with Place(more) as p:
            for start in starts:
                if b"%d" in start:
                    start = start % len(body)
                c = p.client(None)
                c.sock.sendall(start + body)
                reply = c.reply()
                assert reply.startswith("521 5.7.0 "), (start, reply)
                assert c.ended(), start
            name = "LMTP" if lmtp else "SMTP"
            p.log("postern/smtpd[")
            p.log("warning: non-%s command from localhost[127." % name)
            p.log(": POST / HTTP/1.1")
            # what came before this one would be at the sink as well
            c = p.client(b"LHLO me.test" if lmtp else b"EHLO me.test")
            assert c.send().startswith("250 "), "mail"
            p.mails(1)
            assert not p.sink.got("forged@rcpt.test")


def chunks_are_exact():
    octets = bytes(range(256)) * 300 + b"\n.\r\n\r.\n\0"
    with Place() as p:
        c = p.client()
        c.want(b"MAIL FROM:<a@sender.test> BODY=BINARYMIME", "250")
        c.want(b"RCPT TO:<b@dead.test>", "250")
        c.want(b"DATA", "503")
        for at in range(0, len(octets), 7001):
            part = octets[at:at + 7001]
            c.sock.sendall(b"BDAT %d\r\n" % len(part) + part)
            assert c.reply() == "250 2.0.0 Ok: %d octets" % len(part)
        id_ = queue_id(c.say(b"BDAT 0 LAST"))
        body = p.daemon.postern("queue", "cat", id_).stdout
        assert body.split(b"+0000\r\n", 1)[1] == octets, body[:300]
        # as text the same is refused, and what follows belongs to nothing
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<b@dead.test>", "250")
        c.sock.sendall(b"BDAT %d\r\n" % len(octets) + octets +
                       b"BDAT 6 LAST\r\nQUIT\r\n")
        assert c.reply().startswith("550 5.5.2"), "bare"
        assert c.reply().startswith("503 5.5.1"), "lost"
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<b@dead.test>", "250")
        c.sock.sendall(b"BDAT 3 LAST\r\na\0b")
        assert c.reply().startswith("554 5.6.0"), "NUL"


def what_dsn_and_utf8_ask_arrives():
    with Place(keywords=["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"]) as p:
        c = p.client()
        queue_id(c.send(
            rcpts=(b"<b@rcpt.test> NOTIFY=delay,failure "
                   b"ORCPT=rfc822;c+2Bd@rcpt.test",),
            mail=b" RET=hdrs ENVID=ab+2Bc"))
        mail = p.mails(1, "b@rcpt.test")[0]
        assert mail.commands[0].strip() == \
            b"MAIL FROM:<a@sender.test> RET=HDRS ENVID=ab+2Bc", mail.commands
        assert mail.commands[1].strip() == \
            b"RCPT TO:<b@rcpt.test> NOTIFY=DELAY,FAILURE " \
            b"ORCPT=rfc822;c+2Bd@rcpt.test", mail.commands
        who = "д@rcpt.test"
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<%s>" % who.encode(), "553 5.6.7")
        c.want(b"RSET", "250")
        queue_id(c.send("Subject: д\r\n\r\nд\r\n".encode(),
                        rcpts=(b"<%s>" % who.encode(),),
                        mail=b" SMTPUTF8 BODY=8BITMIME"))
        mail = p.mails(1, who)[0]
        assert b" SMTPUTF8" in mail.commands[0], mail.commands
        assert b"with UTF8SMTP id" in mail.text, mail.text


# As they come, and as they go on.
WIDE = [
    (b"root@web_1.internal", None), (b"user.@x.test", b'"user."@x.test'),
    (b"a..b@x.test", b'"a..b"@x.test'), (b'"a>b"@x.test', None),
    (b'"a\\">\\"b"@x.test', None), (b"dot@x.test.", b"dot@x.test"),
    (b"v" * 65 + b"@x.test", None), (b"w" * 400 + b"@x.test", None),
    (b"x" * 993 + b"@x.test", None)]


def wide_addresses_go_all_the_way():
    """As sender and recipient, from each way in: to a server, and in a notice."""
    with Place(globals="control_socket_group = root") as p:
        p.sink.rcpt = lambda a: "550 5.1.1 no" if "fails" in a else "250 ok"
        c = p.client()
        job = Job(p.daemon.dir + "/run/job")
        for n, (came, goes) in enumerate(WIDE):
            goes = goes or came
            queue_id(c.send(sender=b"<%s>" % came, rcpts=(b"<%s>" % came,)))
            job.send({"from": came.decode(), "rcpts": [came.decode()],
                      "wait": "final"}, memfd(MESSAGE))
            assert job.receive()["status"] == "queued"
            answer = job.receive()
            assert "done" in job.receive()
            assert answer["status"] == "delivered", answer
            assert answer["recipient"] == goes.decode(), answer
            mails = p.mails(2, goes.decode())
            for mail in mails:
                words = [w.split(b" BODY")[0].strip() for w in mail.commands]
                assert words == [b"MAIL FROM:<" + goes + b">",
                                 b"RCPT TO:<" + goes + b">"], words
                assert len(max(mail.text.split(b"\r\n"), key=len)) <= 998
            # what fails is told to a sender of this kind
            queue_id(c.send(sender=b"<%s>" % came,
                            rcpts=(b"<fails%d@x.test>" % n,)))
            mails = p.mails(3, goes.decode())
            assert mails[-1].commands[0].startswith(b"MAIL FROM:<>"), mails
            assert b"fails%d" % n in mails[-1].text
        c.want(b"MAIL FROM:<%s@x.test>" % (b"y" * 993), "250")
        c.want(b"RCPT TO:<%s@x.test>" % (b"y" * 994), "501 5.1.3")


def xforward_goes_on():
    with Place("smtpd_authorized_xforward_hosts = { 127.0.0.0/8 }",
               transport="client_command = xforward",
               keywords=["XFORWARD NAME ADDR PROTO HELO PORT SOURCE"]) as p:
        c = p.client()
        assert "250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE" in \
            c.offers, c.offers
        c.want(b"XFORWARD NAME=mx.origin.test ADDR=192.0.2.7 PORT=4711", "250")
        c.want(b"XFORWARD HELO=he.test PROTO=ESMTP IDENT=4ABC SOURCE=REMOTE",
               "250")
        id_ = queue_id(c.send())
        mail = p.mails()[0]
        assert b"\r\n\t(for mx.origin.test [192.0.2.7])\r\n" in mail.text
        words = b" ".join(p.sink.others)
        for word in (b"NAME=mx.origin.test", b"ADDR=192.0.2.7", b"PORT=4711",
                     b"HELO=he.test", b"PROTO=ESMTP", b"SOURCE=REMOTE"):
            assert word in words, words
        p.log("%s: client=localhost[127" % id_)
        p.log("orig_queue_id=4ABC, orig_client=mx.origin.test[192.0.2.7], ref")
        # it holds for one message; then it is the client itself
        del p.sink.others[:]
        queue_id(c.send(rcpts=(b"<c@rcpt.test>",)))
        p.mails(1, "c@rcpt.test")
        words = b" ".join(p.sink.others)
        assert b"ADDR=127." in words and b"HELO=me.test" in words, words
    with Place() as p:
        c = p.client()
        assert "XFORWARD" not in c.offers
        c.want(b"XFORWARD NAME=x", "554 5.7.0")


# What it refuses.

def nobody_else_relays():
    with Place("clients = { 192.0.2.0/24 }") as p:
        c = p.client(None)
        assert c.greeting.startswith("554 "), c.greeting
        c.want(b"EHLO me.test", "503 5.7.1")
        c.want(b"MAIL FROM:<a@sender.test>", "503 5.7.1")
        c.sock.sendall(b"BDAT 6\r\nQUIT\r\n")
        assert c.reply().startswith("503 "), "BDAT"
        c.want(b"QUIT", "221")
        p.log("NOQUEUE: reject: CONNECT from localhost[127.")
    with Place() as p:
        c = p.client()
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        for rcpt in (b"", b"<>", b"<@rcpt.test>", b"<b@rcpt.test",
                     b"<b@rcpt..test>", b"<b@[1.2.3]>", b"b@rcpt..test",
                     b"<b@rcpt.test>x", b"<b@c@rcpt.test>"):
            c.want(b"RCPT TO:" + rcpt, "501 5.1.3")
        c.want(b"DATA", "554 5.5.1")
        line = p.log("NOQUEUE: reject: RCPT from localhost[127.")[0]
        assert re.search(r"501 5\.1\.3 <.*>: .*; from=<a@sender\.test> "
                         r"to=<.*> proto=ESMTP helo=<me\.test>$", line), line


def who_comes_by_a_unix_socket_is_asked_for():
    script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\n"
              "s.connect(sys.argv[1])\nprint(s.recv(99).decode())")
    if os.geteuid() != 0:
        return
    for users, want in (("", "220 "), ("clients = { 4711 }", "554 "),
                        ("clients = { %d }" % PLAIN_UID, "220 ")):
        with Place("protocol = lmtp\nmode = 0666\n" + users, unix=True) as p:
            out = subprocess.run(
                ["setpriv", "--reuid=%d" % PLAIN_UID, "--clear-groups",
                 sys.executable, "-c", script, p.path], timeout=60,
                capture_output=True, text=True)
            assert out.stdout.startswith(want), (users, out)
            p.log("connect from localhost[uid=%d]" % PLAIN_UID)


def every_limit_is_one():
    with Place("smtpd_recipient_limit = 2\nsmtpd_hard_error_limit = 4\n"
               "smtpd_junk_command_limit = 3\nmessage_size_limit = 2000\n"
               "line_length_limit = 1024\nsmtpd_discard_ehlo_keywords = "
               "{ chunking, dsn }\nhostname = mx.other.test") as p:
        c = p.client()
        assert "CHUNKING" not in c.offers and "BINARYMIME" not in c.offers
        assert "DSN" not in c.offers and "250-SIZE 2000" in c.offers
        assert c.greeting.startswith("220 mx.other.test "), c.greeting
        c.want(b"MAIL FROM:<a@sender.test> RET=FULL", "555 5.5.4")
        c.want(b"MAIL FROM:<a@sender.test> SIZE=2001", "552 5.3.4")
        c.want(b"MAIL FROM:<a@sender.test> SIZE=10", "250")
        c.want(b"RCPT TO:<a@rcpt.test>", "250")
        c.want(b"RCPT TO:<b@rcpt.test>", "250")
        for _ in range(20):
            c.want(b"RCPT TO:<c@rcpt.test>", "452 4.5.3")
        c.want(b"DATA", "354")
        c.sock.sendall(b"x" * 2000 + b"\r\n.\r\n")
        assert c.reply().startswith("552 5.3.4"), "too large"
        c.want(b"NOOP " + b"x" * 1100, "500 5.5.2")
        c.want(b"WHAT", "500 5.5.2")
        assert c.reply() == "421 4.7.0 mx.other.test Error: too many errors"
        assert c.ended()
        p.log("too many errors after UNKNOWN from localhost[127.")
        c = p.client()
        for _ in range(6):  # EHLO is the first of them
            c.want(b"NOOP", "250" if _ < 5 else "421 4.7.0")
        assert c.ended()


def sessions_have_their_number():
    with Place("session_limit = 3\nsmtpd_client_connection_count_limit = 2",
               ) as p:
        first, second = p.client(), p.client()
        third = p.client(None)
        assert third.greeting.startswith("421 4.7.0 "), third.greeting
        assert third.ended()
        first.want(b"QUIT", "221")
        assert first.ended()
        p.log("disconnect from")
        third = p.client()
        queue_id(third.send())
        second.want(b"NOOP", "250")
        p.log("too many connections from you: turned away")


def time_runs_out():
    with Place("smtpd_timeout = 2s") as p:
        c = p.client(None)
        assert c.reply().startswith("421 4.4.2 "), "timeout"
        assert c.ended()
        p.log("timeout after CONNECT from localhost[127.")
    with Place("transaction_timeout = 2s") as p:
        c = p.client()
        c.sock.sendall(b"MAIL FROM:<a@sender.test>\r\n"
                       b"RCPT TO:<b@rcpt.test>\r\nDATA\r\n")
        for want in ("250", "250", "354"):
            assert c.reply().startswith(want), want
        late, done = [], threading.Event()
        reader = threading.Thread(
            target=lambda: (late.append(c.reply()), done.set()))
        reader.start()
        try:
            while not done.wait(0.1):  # never silent, and never done
                c.sock.sendall(b"text\r\n")
        except OSError:
            pass  # it was told, and is closed by now
        reader.join()
        assert late[0].startswith("421 4.4.2 "), late


def who_does_not_read_is_closed():
    with Place("smtpd_timeout = 3s\nsmtpd_junk_command_limit = 100000",
               unix=True) as p:
        c = p.client(None)
        c.sock.settimeout(0.5)
        try:
            c.sock.sendall(b"EHLO me.test\r\n")
            while True:
                c.sock.sendall(b"NOOP\r\n" * 1000)
        except (socket.timeout, BrokenPipeError, ConnectionResetError):
            pass
        p.log("timeout after NOOP from")
        p.log("disconnect from")
        intake = p.daemon.pids("intake")[0]
        assert peak_kib(intake) < 30000, peak_kib(intake)


# What the queue answers.

def peak_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def a_large_message_takes_no_memory_of_ours():
    line = b"x" * 998 + b"\r\n"
    count = 52000
    with Place("", "message_size_limit = 60m") as p:
        c = p.client()
        c.want(b"MAIL FROM:<a@sender.test> SIZE=%d" % (count * 1000), "250")
        c.want(b"RCPT TO:<b@dead.test>", "250")
        c.want(b"DATA", "354")
        for _ in range(count // 100):
            c.sock.sendall(line * 100)
        c.sock.sendall(DOT)
        queue_id(c.reply())
        peak = peak_kib(p.daemon.pids("intake")[0])
        assert peak < 30000, "the intake took %d KiB" % peak
        size = [r["size"] for r in p.daemon.queued()][0]
        assert count * 1000 < size < count * 1000 + 2048, size


def each_recipient_hears_the_remote():
    def rcpt(address):
        return {"no": "550 5.1.1 <no@rcpt.test>: unknown here",
                "later": "450 4.2.0 <later@rcpt.test>: greylisted"}.get(
                    address.split("@")[0], "250 2.1.5 ok")
    with Place("protocol = lmtp\nanswer = final", unix=True) as p:
        p.sink.rcpt = rcpt
        p.sink.final = "250 2.0.0 Ok: taken as 12345"
        c = p.client(b"LHLO me.test")
        assert "LIMITS" not in c.offers
        replies = c.send(rcpts=(b"<yes@rcpt.test>", b"<no@rcpt.test>",
                                b"<later@rcpt.test>", b"<b@dead.test>",
                                b"<also@rcpt.test>"), answers=5)
        host = "host 127.0.0.1[127.0.0.1]:%d said: " % p.sink.port
        assert replies[0] == "250 2.0.0 " + host + "Ok: taken as 12345", replies
        assert replies[1] == "550 5.1.1 " + host + \
            "<no@rcpt.test>: unknown here", replies
        assert replies[2] == "450 4.2.0 " + host + \
            "<later@rcpt.test>: greylisted", replies
        assert replies[3].startswith(
            "451 4.4.1 host 127.0.0.1[127.0.0.1]:1: "), replies
        assert "refused" in replies[3], replies
        assert replies[4] == replies[0], replies
        p.sink.final = "421 4.3.2 closing"
        assert c.send() == "451 4.3.2 perhaps delivered: " + host + "closing"
        p.sink.final = "554 5.6.0 not this"
        assert c.send() == "554 5.6.0 " + host + "not this"
        # all of it had left when the remote went away: it may have it
        p.sink.final = ""
        reply = c.send()
        assert reply.startswith("451 4."), reply
        assert " perhaps delivered: host 127.0.0.1[" in reply, reply
        c.want(b"QUIT", "221")
        line = p.log("disconnect from localhost[uid=")[0]
        assert "postern/smtpd[" in line, line
    with Place("answer = final\nanswer_names_remote = no") as p:
        c = p.client()
        assert "250 LIMITS RCPTMAX=1" in c.offers.replace("250-LIMITS",
                                                          "250 LIMITS")
        p.sink.rcpt = rcpt
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<yes@rcpt.test>", "250")
        c.want(b"RCPT TO:<also@rcpt.test>", "452 4.5.3")
        c.want(b"DATA", "354")
        c.sock.sendall(MESSAGE + DOT)
        assert c.reply() == "250 2.0.0 taken"
        assert c.send(rcpts=(b"<no@rcpt.test>",)) == \
            "550 5.1.1 <no@rcpt.test>: unknown here"


def a_thousand_recipients_are_answered():
    with Place("protocol = lmtp\nsmtpd_recipient_limit = 1000", unix=True) \
            as p:
        c = p.client(b"LHLO me.test")
        names = [b"r%d@dead.test" % i for i in range(1000)]
        c.sock.sendall(b"MAIL FROM:<a@sender.test>\r\n" +
                       b"".join(b"RCPT TO:<%s>\r\n" % n for n in names) +
                       b"DATA\r\n")
        for _ in range(1001):
            assert c.reply().startswith("250 "), "RCPT"
        assert c.reply().startswith("354 "), "DATA"
        c.sock.sendall(MESSAGE + DOT + b"NOOP\r\n")
        ids = {queue_id(c.reply()) for _ in names}
        assert len(ids) == 1, ids
        assert c.reply() == "250 2.0.0 Ok"


def lines_may_be_json():
    with Place(globals="log_format = json") as p:
        c = p.client()
        id_ = queue_id(c.send())
        c.want(b"RCPT TO:<\xc3\xa4@\"\\>", "501")
        c.want(b"MAIL FROM:<\xc3\xa4@\"\\>", "501")
        c.want(b"QUIT", "221")
        p.log("disconnect from")
        p.log('"event":"accepted"')
        lines = [json.loads(line) for line in
                 p.daemon.log_text().splitlines() if "/smtpd" in line]
        # The queue writes that one, before the intake's next or behind it.
        accepted = [a for a in lines if a["event"] == "accepted"]
        assert [(a["id"], a["client"]) for a in accepted] == \
            [(id_, "localhost[127.0.0.1]")], accepted
        lines = [line for line in lines if line["event"] != "accepted"]
        events = [line["event"] for line in lines]
        assert events == ["connect", "reject", "reject",
                          "disconnect"], events
        assert r'to=<\xc3\xa4@"\\>' in lines[1]["text"], lines[1]


def the_listeners_transport_takes_it():
    with Place("transport = dead") as p:
        c = p.client()
        queue_id(c.send())
        p.log("status=deferred")
        assert not p.sink.mails


# What goes wrong.

def mail_while_it_is_killed(role):
    """Every yes is at the sink in the end, whoever dies meanwhile."""
    yes, stop = [], threading.Event()
    with Place(globals="minimal_backoff_time = 1s\nmaximal_backoff_time = 1s",
               listener="smtpd_hard_error_limit = 1000") as p:
        def deliver(number):
            count = 0
            while not stop.is_set():
                try:
                    c = p.client()
                    for _ in range(20):
                        name = "m%d-%d@rcpt.test" % (number, count)
                        count += 1
                        if c.say(b"MAIL FROM:<a@sender.test>")[:1] != "2":
                            continue
                        c.want(b"RCPT TO:<%s>" % name.encode(), "250")
                        if c.say(b"DATA")[:3] != "354":
                            c.say(b"RSET")
                            continue
                        c.sock.sendall(MESSAGE + DOT)
                        if c.reply().startswith("250 "):
                            yes.append(name)
                    c.close()
                except (OSError, EOFError):
                    time.sleep(0.01)
        threads = [threading.Thread(target=deliver, args=(i,))
                   for i in range(3)]
        for t in threads:
            t.start()
        try:
            for _ in range(3):
                was = len(yes)
                wait_for(lambda: len(yes) > was + 20, 60, "yeses")
                pid = p.daemon.pids(role)[0]
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: p.daemon.pids(role) not in ([], [pid]), 60,
                         "another %s" % role)
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert yes
        wait_for(lambda: not set(yes) - {r for m in list(p.sink.mails)
                                         for r in m.rcpts}, 120,
                 "all that got a yes")


def a_queue_that_dies_is_a_451():
    with Place("protocol = lmtp\nanswer = final", unix=True) as p:
        p.sink.final = None  # it never answers
        c = p.client(b"LHLO me.test")
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<b@rcpt.test>", "250")
        c.want(b"RCPT TO:<c@rcpt.test>", "250")
        c.want(b"DATA", "354")
        c.sock.sendall(MESSAGE + DOT)
        assert p.sink.at_dot.wait(60)
        os.kill(p.daemon.pids("queue")[0], signal.SIGKILL)
        for name in ("b", "c"):
            assert c.reply().startswith("451 4.3.2 perhaps delivered: "), "451"
            line = p.log(": to=<%s@rcpt.test>: localhost[" % name)[0]
            assert "was answered 451 4.3.2 (perhaps delivered: " in line, line
        c.want(b"NOOP", "250")


def what_is_known_is_told_when_time_runs_out():
    """Its reply waits behind that of who has none yet."""
    with Place("protocol = lmtp\nanswer = final\ntransaction_timeout = 3s",
               unix=True) as p:
        p.sink.final = None  # it never answers
        c = p.client(b"LHLO me.test")
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<b@rcpt.test>", "250")
        c.want(b"RCPT TO:<c@dead.test>", "250")
        c.want(b"DATA", "354")
        c.sock.sendall(MESSAGE + DOT)
        late = c.reply()
        assert late.startswith("451 4.4.2 perhaps delivered: no result "
                               "within"), late
        known = c.reply()
        assert "refused" in known and "perhaps" not in known, known
        line = p.log(": to=<b@rcpt.test>: localhost[")[0]
        assert "perhaps delivered: no result within" in line, line
        assert ": to=<c@dead.test>: localhost[" not in p.daemon.log_text()
        c.want(b"NOOP", "250")


def begin(c, rcpt=b"<b@rcpt.test>"):
    c.want(b"MAIL FROM:<a@sender.test>", "250")
    c.want(b"RCPT TO:" + rcpt, "250")
    c.want(b"DATA", "354")


def reset(c):
    """Closes as a program does that has not read all: by RST."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    c.close()


def who_leaves_takes_back_what_waits(unix):
    """An MTA that is gone hears no result, and sends its message again."""
    with Place("protocol = lmtp\nanswer = final", unix=unix) as p:
        assert p.daemon.postern("pause", "--transport",
                                "sink").returncode == 0
        c = p.client(b"LHLO me.test")
        begin(c)
        c.sock.sendall(MESSAGE + DOT)
        id_ = re.search(r"\b([0-9A-F]+): client=", p.log(": client=")[0])
        (c.close if unix else lambda: reset(c))()
        line = p.log("lost connection after END-OF-MESSAGE from")[0]
        assert line.endswith(": message %s was not answered" % id_.group(1)), line
        p.log(": removed")
        assert p.daemon.postern("resume", "--transport",
                                "sink").returncode == 0
        c = p.client(b"LHLO me.test")
        assert c.send().startswith("250 2."), "another one"
        assert len(p.mails()) == 1


def who_sends_no_more_still_hears():
    """A client that closes its own direction behind the dot waits for the answer."""
    for unix, protocol, answer in itertools.product(
            (False, True), ("lmtp", "smtp"), ("final", "queued")):
        with Place("protocol = %s\nanswer = %s" % (protocol, answer),
                   unix=unix) as p:
            hello = b"LHLO me.test" if protocol == "lmtp" else b"EHLO me.test"
            assert p.daemon.postern("pause", "--transport",
                                    "sink").returncode == 0
            c = p.client(hello)
            begin(c)
            c.sock.sendall(MESSAGE + DOT)
            c.sock.shutdown(socket.SHUT_WR)
            p.log(": client=")
            if answer == "final":
                time.sleep(2.5)  # two turns of the timer that looks who left
                assert "lost connection" not in p.daemon.log_text()
            assert p.daemon.postern("resume", "--transport",
                                    "sink").returncode == 0
            assert c.reply().startswith("250 2."), (unix, protocol, answer)
            assert c.ended()
            assert len(p.mails()) == 1
            # all commands in one piece, and the end
            c = p.client(None)
            c.sock.sendall(hello + b"\r\nMAIL FROM:<a@sender.test>\r\n"
                           b"RCPT TO:<c@rcpt.test>\r\nDATA\r\n" + MESSAGE + DOT)
            c.sock.shutdown(socket.SHUT_WR)
            codes = [c.reply()[:3] for _ in range(5)]
            assert codes == ["250", "250", "250", "354", "250"], codes
            assert c.ended()
            assert len(p.mails(1, "c@rcpt.test")) == 1


def what_was_lost_is_said():
    """Within the text, or behind it: the log says which, and of which message."""
    with Place() as p:
        c = p.client()
        begin(c)
        c.sock.sendall(MESSAGE)
        c.close()
        p.log("lost connection after DATA (%d bytes) from localhost[127."
              % len(MESSAGE))
        c = p.client()
        c.want(b"MAIL FROM:<a@sender.test>", "250")
        c.want(b"RCPT TO:<b@rcpt.test>", "250")
        c.sock.sendall(b"BDAT 7\r\n" + MESSAGE[:7])
        assert c.reply().startswith("250"), "chunk"
        c.close()
        p.log("lost connection after BDAT (7 bytes) from localhost[127.")
        c = p.client()
        queue_id(c.send())
        c.close()
        line = p.log("lost connection after END-OF-MESSAGE from localhost[127.")[0]
        assert line.endswith("]"), line  # it may well have heard
        c = p.client()
        id_ = queue_id(c.send())
        c.sock.sendall(b"NOOP")
        reset(c)
        p.log("lost connection after END-OF-MESSAGE from localhost[127.")
        p.log(": the answer to message %s may not have been received" % id_)


def a_stop_lets_messages_finish():
    with Place(globals="stop_timeout = 60s") as p:
        idle, busy = p.client(), p.client()
        busy.want(b"MAIL FROM:<a@sender.test>", "250")
        busy.want(b"RCPT TO:<b@dead.test>", "250")
        busy.want(b"DATA", "354")
        p.daemon.process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith("421 4.3.2 "), "idle"
        assert idle.ended()
        busy.sock.sendall(MESSAGE + DOT)
        id_ = queue_id(busy.reply())
        assert busy.reply().startswith("421 4.3.2 "), "busy"
        assert busy.ended()
        assert p.daemon.process.wait(60) == 0
        p.daemon.start(60)
        assert id_ in {"%X" % int(r["id"], 16) for r in p.daemon.queued()}


def a_reload_keeps_sessions():
    with Place() as p:
        old = p.client()
        old.want(b"MAIL FROM:<a@sender.test>", "250")
        p.write("smtpd_recipient_limit = 1")
        p.daemon.process.send_signal(signal.SIGHUP)
        p.log("generation 2")
        # the intake has it once a new session has
        new = wait_for(lambda: reloaded(p), 60, "the new limit")
        assert new
        old.want(b"RCPT TO:<b@rcpt.test>", "250")
        old.want(b"RCPT TO:<c@rcpt.test>", "250")
        old.want(b"DATA", "354")
        old.sock.sendall(MESSAGE + DOT)
        queue_id(old.reply())
        p.write("mode = 0600")  # of TCP it is none
        p.daemon.process.send_signal(signal.SIGHUP)
        p.log("reload refused")


def reloaded(p):
    c = p.client()
    c.want(b"MAIL FROM:<a@sender.test>", "250")
    c.want(b"RCPT TO:<b@rcpt.test>", "250")
    reply = c.say(b"RCPT TO:<c@rcpt.test>")
    c.close()
    return reply.startswith("452 4.5.3")


def what_cannot_be_opened_says_why():
    with socket.socket() as other:
        other.bind(("127.3.0.1", 0))
        other.listen()
        place = Place()
        try:
            for listen, want in (
                    ("127.3.0.1:%d" % other.getsockname()[1],
                     "the port is in use: stop who has it"),
                    ("192.0.2.254:2525\"\nclients = { 192.0.2.0/24 }\n#\"",
                     "this machine has no such address"),
                    ("unix:%s/postern.conf" % place.daemon.dir,
                     "what is there is no socket: take it away"),
                    ("unix:/no/such/folder/mail",
                     "its folder does not exist: make it"),
                    ("0.0.0.0:2525", "open to other machines: name in clients"),
            ):
                place.parts["listen"] = listen
                place.write("")
                try:
                    place.daemon.start(60)
                    raise AssertionError("it started: " + listen)
                except AssertionError as e:
                    assert want in str(e), (want, str(e)[-500:])
        finally:
            place.sink.close()
            place.daemon.clear()


def postfix_source_loads_it():
    home = os.environ.get("PEERS_HOME", os.path.join(ROOT, "build/peers"))
    root = os.path.join(home, "root")
    program = os.path.join(root, "usr/sbin/smtp-source")
    if not os.path.exists(program):
        subprocess.run(["sh", os.path.join(ROOT, "tests/interop/peers.sh"),
                        "fetch"], check=True, timeout=600)
    libs = [os.path.join(root, d) for d in
            ("usr/lib/postfix", "usr/lib/x86_64-linux-gnu",
             "usr/lib/aarch64-linux-gnu", "lib/x86_64-linux-gnu")]
    env = dict(os.environ, LD_LIBRARY_PATH=":".join(libs))
    with Place("protocol = lmtp\nsmtpd_client_connection_count_limit = 50",
               protocol="lmtp") as p:
        r = subprocess.run(
            [program, "-L", "-s", "10", "-m", "300", "-l", "4096", "-f",
             "a@sender.test", "-t", "b@rcpt.test",
             "%s:%d" % (p.address, PORT)], env=env, capture_output=True,
            text=True, timeout=300)
        assert r.returncode == 0 and not r.stderr, (r.returncode, r.stderr)
        p.mails(300)


TESTS = [
    ("a message is queued, and delivered with our Received",
     a_message_is_queued_and_delivered),
    ("pipelined in one packet, and octet by octet",
     pipelined_in_one_packet_and_octet_by_octet),
    ("nothing is smuggled: reject", lambda: smuggled("reject")),
    ("nothing is smuggled: normalize", lambda: smuggled("normalize")),
    ("a bare line feed ends a session", a_bare_line_feed_ends_a_session),
    ("another protocol is not spoken", another_protocol_is_not_spoken),
    ("chunks are exact", chunks_are_exact),
    ("what DSN and SMTPUTF8 ask arrives", what_dsn_and_utf8_ask_arrives),
    ("wide addresses go all the way", wide_addresses_go_all_the_way),
    ("XFORWARD goes on", xforward_goes_on),
    ("nobody else relays", nobody_else_relays),
    ("who comes by a Unix socket is asked for",
     who_comes_by_a_unix_socket_is_asked_for),
    ("every limit is one", every_limit_is_one),
    ("sessions have their number", sessions_have_their_number),
    ("time runs out", time_runs_out),
    ("who does not read is closed", who_does_not_read_is_closed),
    ("a large message takes no memory of the intake",
     a_large_message_takes_no_memory_of_ours),
    ("each recipient hears the remote", each_recipient_hears_the_remote),
    ("a thousand recipients are answered",
     a_thousand_recipients_are_answered),
    ("lines may be JSON", lines_may_be_json),
    ("the listener's transport takes it", the_listeners_transport_takes_it),
    ("every yes arrives: the queue is killed",
     lambda: mail_while_it_is_killed("queue")),
    ("every yes arrives: the intake is killed",
     lambda: mail_while_it_is_killed("intake")),
    ("a queue that dies is a 451", a_queue_that_dies_is_a_451),
    ("what is known is told when time runs out",
     what_is_known_is_told_when_time_runs_out),
    ("who leaves takes back what waits: TCP",
     lambda: who_leaves_takes_back_what_waits(False)),
    ("who leaves takes back what waits: Unix",
     lambda: who_leaves_takes_back_what_waits(True)),
    ("who sends no more still hears", who_sends_no_more_still_hears),
    ("what was lost is said", what_was_lost_is_said),
    ("a stop lets messages finish", a_stop_lets_messages_finish),
    ("a reload keeps sessions", a_reload_keeps_sessions),
    ("what cannot be opened says why", what_cannot_be_opened_says_why),
    ("Postfix's smtp-source loads it", postfix_source_loads_it),
]


def run(suite):
    suite.check_all([("listener: " + name, test) for name, test in TESTS])
