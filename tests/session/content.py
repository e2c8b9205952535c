# SPDX-License-Identifier: ISC
"""S-087 to S-090: octets and addresses that a server may not be able to take."""
import email
import email.policy
import glob
import re

from chunks import ONE, chunk
from envelope import refused
from harness import MESSAGE, equal, holds, lacks, table
from server import (Closed, bye, drain, honest, line, mail_from, opened,
                    rcpt_to, say)

TEXT = ("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n"
        "Grüße, und noch viel mehr auf dieser Zeile.\r\n.\r\n.ende \r\n"
        ).encode()
PARTS = b"\r\n".join((
    b"MIME-Version: 1.0", b"Subject: parts",
    b"Content-Type: multipart/mixed; boundary=\"=_x\"",
    b"Content-Transfer-Encoding: 8bit", b"", b"preamble",
    b"--=_x", b"Content-Type: text/plain; charset=us-ascii", b"", b"plain",
    b"--=_x", b"Content-Type: text/html; charset=utf-8",
    b"Content-Transfer-Encoding: 8bit", b"",
    "<p>Grüße an alle, die es lesen</p>".encode(),
    b"--=_x", b"Content-Type: message/rfc822", b"",
    b"Subject: inside", b"", "eine ganze Nachricht für sich".encode(),
    b"--=_x", b"Content-Type: application/octet-stream",
    b"Content-Transfer-Encoding: 8bit", b"", bytes(range(128, 256)),
    b"--=_x--", b""))
RAW = b"Subject: raw\r\n\r\nein Br\xc3\xbcckenkopf\r\n"
SIGNED = b"\r\n".join((
    b"MIME-Version: 1.0",
    b"Content-Type: multipart/signed; boundary=s; protocol=\"x/y\"", b"",
    b"--s", b"", "Grüße".encode(), b"--s", b"Content-Type: x/y", b"", b"sig",
    b"--s--", b""))
BINARY = (b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
          b"Content-Transfer-Encoding: binary\r\n\r\n"
          b"a\0b\nc\rd\r\n.\r\n" + bytes(range(256)))


def parts_of(octets):
    """What a reader sees: the type and content of each leaf."""
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    return [(p.get_content_type(), p.get_payload(decode=True))
            for p in message.walk() if not p.is_multipart()]


def wire(t, *options, message_=MESSAGE, keywords=(), **more):
    """The MAIL line, the RCPT lines and the message that a server got."""
    server = t.serve([honest(*keywords)])
    run = t.deliver(server, *options, message=message_, **more)
    for outcome in run.outcomes:
        equal(outcome["status"], "delivered", str(outcome))
    lines = [x.encode("latin-1").decode()
             for x in server.connections[0].lines]
    return ([x for x in lines if x.startswith("MAIL")][0],
            [x for x in lines if x.startswith("RCPT")],
            server.connections[0].messages[0].replace(b"\r\n..", b"\r\n."))


def is_seven_bits(octets):
    equal([x for x in octets if x > 127 or x == 0], [], "8-bit octets")
    equal(octets.replace(b"\r\n", b"").count(b"\n"), 0, "bare LF")
    equal(octets.replace(b"\r\n", b"").count(b"\r"), 0, "bare CR")


def s_087_8bit_text_is_converted(t):
    for message in (TEXT, TEXT.replace(b"\r\n", b"\n")):
        mail, _, got = wire(t, message_=message)
        equal(mail, "MAIL FROM:<a@example.net>")
        is_seven_bits(got)
        holds("quoted-printable", got.decode())
        equal(parts_of(got), parts_of(TEXT))


def s_087_the_structure_stays(t):
    mail, _, got = wire(t, message_=PARTS, keywords=("SIZE",))
    equal(mail, "MAIL FROM:<a@example.net> SIZE=%d" % len(got))
    is_seven_bits(got)
    equal(parts_of(got), parts_of(PARTS))
    holds("preamble", got.decode())
    holds("boundary=\"=_x\"\r\nContent-Transfer-Encoding: 7bit\r\n",
          got.decode())


def s_087_converted_in_chunks(t):
    large = PARTS.replace(b"plain\r\n", "viel größer\r\n".encode() * 20000)
    server = t.serve([honest("CHUNKING")])
    t.delivered(t.deliver(server, message=large))
    chunks = [x for x in server.connections[0].lines if x.startswith("BDAT")]
    equal(len(chunks) > 4, True, "chunks")
    got = server.connections[0].messages[0]
    is_seven_bits(got)
    equal(parts_of(got), parts_of(large))


def s_087_what_cannot_be_converted_fails(t):
    for message, why in ((SIGNED, "signed"),
                         (b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n", "header")):
        server = t.serve([opened(), bye()])
        run = t.deliver(server, message=message)
        t.scripts_held()
        t.outcome(run, "failed", code=0, dsn=r"5\.6\.3", step="mail",
                  reply="8BITMIME.*" + why)
        lacks("MAIL", " ".join(server.connections[0].lines))
    mail, _, got = wire(t, message_=SIGNED, keywords=("8BITMIME",))
    equal(mail, "MAIL FROM:<a@example.net> BODY=8BITMIME")
    equal(got, SIGNED)


def with_policy(t, policy, server, message):
    daemon = t.daemon((ONE % ("smtp", server.name)).replace(
        "quit_timeout", "mime_output_conversion = %s\n\tquit_timeout"
        % policy))
    run = daemon.send(message=message)
    daemon.stop()
    for s in t.servers:
        s.stop()
    return run


def s_087_by_policy_it_fails(t):
    server = t.serve([opened(), bye()])
    run = with_policy(t, "bounce", server, RAW)
    t.outcome(run, "failed", code=0, dsn=r"5\.6\.3", reply="8BITMIME")
    lacks("MAIL", " ".join(server.connections[0].lines))


DKIM = b"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x;\r\n" \
    b"\th=subject; bh=abc=; b=abc=\r\n"


def s_087_a_signature_that_is_broken_is_named(t):
    server = t.serve([honest()])
    daemon = t.daemon(ONE % ("smtp", server.name))
    run = daemon.send(message=DKIM + RAW)
    t.delivered(run)
    daemon.stop()
    is_seven_bits(server.connections[0].messages[0])
    holds("%s: converted for .*: its DKIM signature does not hold there"
          % run.outcomes[0]["id"], daemon.said(), "log")


def s_087_by_policy_what_is_signed_fails(t):
    server = t.serve([opened(), bye()])
    run = with_policy(t, "convert_unsigned", server, DKIM + RAW)
    t.outcome(run, "failed", code=0, dsn=r"5\.6\.3",
              reply="8BITMIME.*DKIM signature would not hold")
    lacks("MAIL", " ".join(server.connections[0].lines))


def s_087_by_policy_what_is_not_signed_is_converted(t):
    server = t.serve([honest()])
    daemon = t.daemon((ONE % ("smtp", server.name)).replace(
        "quit_timeout", "mime_output_conversion = convert_unsigned\n\t"
        "quit_timeout"))
    t.delivered(daemon.send(message=RAW))
    daemon.stop()
    is_seven_bits(server.connections[0].messages[0])
    lacks("converted", daemon.said(), "log")


def s_087_by_policy_it_goes_as_it_is(t):
    server = t.serve([honest()])
    run = with_policy(t, "send", server, RAW)
    t.outcome(run, "delivered")
    equal(server.connections[0].messages, [RAW])


def s_088_binarymime_by_bdat(t):
    server = t.serve([opened("CHUNKING", "BINARYMIME", "8BITMIME", "SIZE"),
                      line("MAIL FROM:<a@example.net> SIZE=%d BODY=BINARYMIME"
                           % len(BINARY)), say("250 ok"), rcpt_to(),
                      chunk(True), say("250 kept"), bye()])
    t.delivered(t.deliver(server, "--binary", message=BINARY))
    equal(server.connections[0].messages, [BINARY])


def s_088_binarymime_with_pipelining(t):
    server = t.serve([opened("CHUNKING", "BINARYMIME", "PIPELINING"),
                      line("MAIL FROM:<a@example.net> BODY=BINARYMIME"),
                      line("RCPT .*"), say("250 ok", "250 ok"),
                      chunk(True), say("250 kept"), bye()])
    t.delivered(t.deliver(server, "--binary", message=BINARY[:-1]))
    equal(server.connections[0].messages, [BINARY[:-1]])


def s_088_not_without_both(t):
    """BINARYMIME alone is none (S-033); then what is binary is converted."""
    for keywords in (("BINARYMIME",), ("CHUNKING",), ()):
        server = t.serve([honest(*keywords)])
        run = t.deliver(server, "--binary", message=BINARY)
        t.delivered(run)
        got = server.connections[0].messages[0]
        lacks("BODY=BINARYMIME", " ".join(server.connections[0].lines))
        is_seven_bits(got)
        equal(parts_of(got), parts_of(BINARY))
    mail, _, got = wire(t, "--binary", message_=BINARY, keywords=("8BITMIME",))
    equal(mail, "MAIL FROM:<a@example.net> BODY=8BITMIME")
    equal(parts_of(got), parts_of(BINARY))


def s_088_binary_is_asked_for(t):
    server = t.serve()
    run = t.deliver(server, message=BINARY)
    t.outcome(run, "failed", code=0, dsn=r"5\.6\.0", reply="NUL")


def s_089_smtputf8_not_offered(t):
    cases = (
        ({"sender": "ä@example.net"}, r"5\.6\.7", "sender needs SMTPUTF8"),
        ({"to": ("д@example.org",)}, r"5\.6\.7", "recipient needs SMTPUTF8"),
        ({"message": "Subject: Grüße\n\nx\n".encode()}, r"5\.6\.9",
         "header field needs SMTPUTF8"),
    )
    for more, dsn, reply in cases:
        server = t.serve([opened("8BITMIME"), bye()])
        run = t.deliver(server, **more)
        t.scripts_held()
        t.outcome(run, "failed", code=0, dsn=dsn, step="mail", reply=reply)
        lacks("MAIL", " ".join(server.connections[0].lines))


def s_089_the_other_recipients_get_it(t):
    for keywords in ((), ("PIPELINING",), ("PIPELINING", "CHUNKING")):
        server = t.serve([honest(*keywords)])
        run = t.deliver(server, to=("b@example.org", "д@example.org",
                                    "c@example.org"))
        t.outcome(run, "delivered", recipient="b@example.org")
        t.outcome(run, "failed", dsn=r"5\.6\.7", recipient="д@example.org")
        t.outcome(run, "delivered", recipient="c@example.org")
        equal([x for x in server.connections[0].lines
               if x.startswith("RCPT")],
              ["RCPT TO:<b@example.org>", "RCPT TO:<c@example.org>"])


def s_090_smtputf8_on_mail(t):
    keywords = ("8BITMIME", "SMTPUTF8")
    mail, rcpts, _ = wire(t, keywords=keywords, to=("д@example.org",))
    equal(mail, "MAIL FROM:<a@example.net> SMTPUTF8")
    equal(rcpts, ["RCPT TO:<д@example.org>"])
    mail, _, _ = wire(t, keywords=keywords, sender="ä@bücher.example")
    equal(mail, "MAIL FROM:<ä@xn--bcher-kva.example> SMTPUTF8")
    mail, _, _ = wire(t, keywords=keywords,
                      message_="Subject: Grüße\r\n\r\nx\r\n".encode())
    equal(mail, "MAIL FROM:<a@example.net> BODY=8BITMIME SMTPUTF8")
    mail, _, _ = wire(t, keywords=keywords)
    equal(mail, "MAIL FROM:<a@example.net>")


def s_090_domains_need_it_not(t):
    """A domain of A-labels is the same domain."""
    mail, rcpts, _ = wire(t, sender="a@bücher.example",
                          to=("b@STRASSE.example", "b@пример.test"))
    equal(mail, "MAIL FROM:<a@xn--bcher-kva.example>")
    equal(rcpts, ["RCPT TO:<b@STRASSE.example>",
                  "RCPT TO:<b@xn--e1afmkfd.test>"])


def s_090_what_is_no_utf8_is_refused(t):
    for bad in ("b\udcff@example.org", "\udcc3@example.org",
                "b\x85@example.org", "b@a\u200e.example"):
        refused(t, to=(bad,))


FIFTY = 50000000


def workers_of(daemon):
    """The grandchildren of the master: what the agent forked."""
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8") as f:
                row = f.read().rpartition(") ")[2].split()
        except OSError:
            continue
        parents[int(path.split("/")[2])] = int(row[1])
    master = daemon.process.pid
    return [p for p, parent in parents.items()
            if parents.get(parent) == master]


def own_kib(daemon):
    """The private memory of its one worker."""
    pid, = workers_of(daemon)
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


class Raw:
    """What comes over a connection, without keeping it."""

    def __init__(self, c):
        self.c = c
        self.buffer, c.pending = c.pending, b""

    def more(self):
        octets = self.c.sock.recv(262144)
        if not octets:
            raise Closed("closed by the client in the message")
        self.buffer += octets

    def skip(self, n):
        while len(self.buffer) < n:
            n -= len(self.buffer)
            self.buffer = b""
            self.more()
        self.buffer = self.buffer[n:]

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("ascii")


def swallow(daemons, sizes, chunked):
    """Take a message of any size, and look at the worker meanwhile."""
    def looked(taken, marks):
        if marks and taken > marks[0]:
            sizes.append(own_kib(daemons[0]))
            marks.pop(0)

    def step(c):
        raw, taken, marks = Raw(c), 0, [FIFTY // 10, FIFTY * 9 // 10]
        last = not chunked
        while chunked and not last:
            words = raw.line().split(" ")
            raw.skip(int(words[1]))
            taken += int(words[1])
            looked(taken, marks)
            last = words[-1] == "LAST"
            c.sock.sendall(b"250 on\r\n")
        while not chunked and not raw.buffer.endswith(b"\r\n.\r\n"):
            taken += max(0, len(raw.buffer) - 5)
            raw.buffer = raw.buffer[-5:]
            raw.more()
            looked(taken, marks)
        if not chunked:
            say("250 kept")(c)
        c.pending = raw.buffer if chunked else b""
    return step


@table((("by DATA", (), b"x"), ("by BDAT", ("CHUNKING",), b"x"),
        ("by DATA, converted", (), b"\xe4"),
        ("by BDAT, converted", ("CHUNKING",), b"\xe4")))
def h_fifty_megabytes(t, keywords, octet):
    """The worker holds no more of a message near its end than at its start."""
    daemons, sizes = [], []
    chunked = "CHUNKING" in keywords
    server = t.serve([opened(*keywords), mail_from(), rcpt_to()] +
                     ([] if chunked else [line("DATA"), say("354 go")]) +
                     [swallow(daemons, sizes, chunked), drain()])
    daemons.append(t.daemon(ONE % ("smtp", server.name)))
    body = b"Subject: x\r\n\r\n" + (octet + b"y" * 69 + b"\r\n") * (FIFTY // 72)
    t.outcome(daemons[0].send(message=body), "delivered")
    daemons[0].stop()
    t.scripts_held()
    equal(len(sizes), 2, "samples")
    if sizes[1] > sizes[0] + 64:
        raise AssertionError("%d KiB at first, then %d KiB" % tuple(sizes))
