# SPDX-License-Identifier: ISC
"""Variants of a good session, made from a seed.

A variant changes some replies of an honest server: octets are inserted,
deleted, flipped, doubled, split, delayed or cut off.  Whatever it does, the
outcomes have to fit what the server got and said.
"""
import random
import re
import time

from harness import Jobs, equal
from server import Closed, reset

STEP_S = 1
CAP_S = 8     # --timeout
SLACK_S = 8
TEXT = b"Subject: variant\r\n\r\n.a line\r\nanother\r\n"
WIRE = TEXT.replace(b"\r\n.a", b"\r\n..a")
TO = ("b@example.org", "c@example.org")
EXIT = {(False, False): 0, (False, True): 69, (True, False): 75,
        (True, True): 75}
ODD = (b"\0", b"\r", b"\n", b"\r\n", b"-", b" ", b"\xff", b"2", b"3", b"4",
       b"5", b"250 ok\r\n", b"354 go\r\n", b"421 bye\r\n", b"550 no\r\n",
       b"250-", b"250\r\n", b".\r\n", b"x" * 5000)

SESSIONS = {
    # name: (options, keywords, greeted by)
    "smtp": (("--tls", "none"), (), b"EHLO"),
    "pipelining": (("--tls", "none"), (b"PIPELINING", b"SIZE 1000000"),
                   b"EHLO"),
    "lmtp": (("--tls", "none", "--lmtp"), (b"PIPELINING",), b"LHLO"),
    "tls": (("--tls", "encrypt"), (b"STARTTLS", b"ENHANCEDSTATUSCODES"),
            b"EHLO"),
}


class Stop(Exception):
    """The server's mutation ends the connection here."""


def mutate(rng, octets):
    """What to do in place of sending these: [(octets, pause), ...], and how
    it ends: None, "close" or "reset"."""
    how = rng.choice(("insert", "delete", "flip", "double", "split", "delay",
                      "cut", "close", "reset", "mute"))
    at = rng.randrange(len(octets) + 1)
    to = min(len(octets), at + rng.choice((1, 1, 2, 5, 50)))
    if how == "insert":
        odd = rng.choice(ODD)
        return [(octets[:at] + odd + octets[at:], 0)], None, how
    if how == "delete":
        return [(octets[:at] + octets[to:], 0)], None, how
    if how == "flip":
        at = min(at, len(octets) - 1)
        turned = bytes([octets[at] ^ (1 << rng.randrange(8))])
        return [(octets[:at] + turned + octets[at + 1:], 0)], None, how
    if how == "double":
        part = rng.choice((octets, octets[at:to]))
        return [(octets[:at] + part + octets[at:], 0)
                if part is not octets else (octets * 2, 0)], None, how
    if how == "split":
        return [(octets[i:i + 1], 0.002) for i in range(len(octets))], None, \
            how
    if how == "delay":
        return [(octets[:at], rng.uniform(0.05, 1.3)), (octets[at:], 0)], \
            None, how
    if how == "mute":
        return [], None, how
    return [(octets[:at], 0)], None if how == "cut" else how, how


class Variant:
    """The server's side of one variant, and what it saw."""

    def __init__(self, rng, session):
        _, self.keywords, self.verb = SESSIONS[session]
        self.lmtp = session == "lmtp"
        self.rng = rng
        self.wanted = sorted(rng.sample(range(9 if session != "tls" else 11),
                                        rng.choice((1, 1, 2, 3))))
        self.at = -1           # which reply it is
        self.what = []         # the mutations, for the report
        self.said = b""        # since DATA was asked for, the reply to it first
        self.has_whole = False  # the message, to its dot
        self.body = None

    def reply(self, c, octets, late=False):
        self.at += 1
        pieces, end = [(octets, 0)], None
        if self.at in self.wanted:
            pieces, end, how = mutate(self.rng, octets)
            self.what.append("%d: %s" % (self.at, how))
            c.note("mutated: %s" % how)
        for piece, wait in pieces:
            if late:
                self.note_said(piece)
            if piece:
                c.write(piece)
            time.sleep(wait)
        if end == "reset":
            reset()(c)
        if end:
            raise Stop()

    def note_said(self, octets):
        """Before they are sent: who checks may look while we pause."""
        self.said += octets

    def hello(self, verb):
        lines = (b"mail.test",) + (self.keywords if verb != b"HELO" else ())
        return b"".join(b"250-" + x + b"\r\n" for x in lines[:-1]) + \
            b"250 " + lines[-1] + b"\r\n"

    def take_message(self, c):
        """After DATA: the message, or a command where the client gave up."""
        lines = []
        while True:
            text = c.read_line().encode("latin-1")
            if not lines and text in (b"QUIT", b"RSET"):
                return text
            if text == b".":
                self.body = b"".join(x + b"\r\n" for x in lines)
                self.has_whole = self.body == WIRE
                return None
            lines.append(text)

    def play(self, c):
        try:
            self.converse(c)
        except (Stop, Closed, OSError):
            return

    def converse(self, c):
        self.reply(c, b"220 mail.test ESMTP\r\n")
        verb = None
        while True:
            if verb is None:
                verb = c.read_line().encode("latin-1").split(b" ")[0]
            now, verb = verb, None
            if now in (b"EHLO", b"LHLO", b"HELO"):
                self.reply(c, self.hello(now))
            elif now == b"STARTTLS":
                self.reply(c, b"220 go ahead\r\n")
                if c.pending.startswith(b"QUIT"):  # it was no 220 any more
                    return
                if not c.shake_hands(c.certs.context("good")):
                    return
                self.keywords = self.keywords[1:]
            elif now == b"DATA":
                self.said = b""
                self.reply(c, b"354 go ahead\r\n", True)
                verb = self.take_message(c)
                for _ in range(2 if self.lmtp and verb is None else 1):
                    if verb is None:
                        self.reply(c, b"250 2.0.0 kept\r\n", True)
            elif now == b"QUIT":
                self.reply(c, b"221 bye\r\n")
                return
            else:
                self.reply(c, b"250-2.1.0 fine\r\n250 2.1.0 ok\r\n")


def finals(said):
    """The codes behind the reply to DATA, as a strict reader has them."""
    codes = []
    before = None
    while b"\r\n" in said:
        text, said = said.split(b"\r\n", 1)
        m = re.fullmatch(rb"([2-5]\d\d)(?:([ -]).*)?", text, re.S)
        if m is None or (before and before != m.group(1)):
            break
        before = m.group(1) if m.group(2) == b"-" else None
        if before is None:
            codes.append(int(m.group(1)))
    return codes[1:]


def check(t, variant, run):
    """What has to hold, whatever the server did."""
    t.unharmed(run)
    t.within(run, CAP_S + SLACK_S)
    equal(sorted(x["recipient"] for x in run.outcomes), sorted(TO),
          "recipients with an outcome")
    words = [x["status"] for x in run.outcomes]
    equal(run.status, EXIT["deferred" in words, "failed" in words],
          "exit status")
    said = finals(variant.said)
    yes = [x for x in said if x // 100 == 2]
    for row in run.outcomes:
        if row["status"] == "delivered":
            equal(variant.has_whole, True, "delivered: the server has it")
            equal(len(yes) >= 1, True, "delivered: the server said so")
            equal(row["in_doubt"], False, "in doubt")
        unanswered = row["code"] == 0 or "protocol error" in row["reply"]
        if variant.has_whole and row["status"] == "deferred" and \
                unanswered and row["step"] == "final":
            equal(row["in_doubt"], True, "in doubt")
        if variant.has_whole and not said and row["step"] not in (
                "rcpt", "final"):
            equal(row["in_doubt"], True, "in doubt, at " + row["step"])
        # one that left us, and met a close, is rightly doubted
        if variant.body is None and row["in_doubt"] and \
                row["step"] != "final":
            raise AssertionError("in doubt before the dot was sent")
    if variant.lmtp:
        equal(words.count("delivered") <= len(yes), True,
              "as many delivered as the server said")
    elif variant.has_whole and said[:1] and said[0] // 100 == 2:
        accepted = [x for x in run.outcomes if x["step"] != "rcpt"]
        for row in accepted:
            if row["status"] == "failed":
                raise AssertionError("failed, and the server took it")


def h_variant(t, seed, number):
    rng = random.Random("%d/%d" % (seed, number))
    session = rng.choice(sorted(SESSIONS))
    variant = Variant(rng, session)
    # where the session broke before MAIL there may be another connection
    server = t.serve(*[[variant.play]] * 3, optional=3)
    run = t.deliver(server, *SESSIONS[session][0], "--timeout", str(CAP_S),
                    to=TO, message=TEXT, step=STEP_S)
    try:
        check(t, variant, run)
    except AssertionError as e:
        raise AssertionError("variant %d of --seed %d (%s; %s): %s" % (
            number, seed, session, ", ".join(variant.what), e)) from None


# Several messages on one connection, whose replies are changed here and there.

MANY = 6

CONFIG = """
transport one {
	server = "%s"
	tls_security_level = none
	protocol = %s
	destination_concurrency_limit = 1
	connection_idle_time = 5s
	greeting_timeout = 1s
	helo_timeout = 1s
	mail_timeout = 1s
	rcpt_timeout = 1s
	data_init_timeout = 1s
	data_xfer_timeout = 1s
	data_done_timeout = 1s
	quit_timeout = 1s
}
route "*" {
	transport = one
}
"""


class Conversation(Variant):
    """One connection of many messages; with no rng, an honest one."""

    def __init__(self, rng, session):
        super().__init__(rng or random.Random(0), session)
        if rng is None:
            self.wanted = []
        else:
            self.wanted = sorted(rng.sample(range(2, 4 * MANY),
                                            rng.choice((1, 1, 2, 4))))
        self.rcpt = None
        self.kept = []  # (recipient, what was said from its dot on)

    def reply(self, c, octets, late=False):
        super().reply(c, octets, True)

    def note_said(self, octets):
        super().note_said(octets)
        for row in self.kept:
            row[1] += octets

    def read(self, c):
        text = c.read_line().encode("latin-1")
        if text.startswith(b"RCPT TO:<"):
            self.rcpt = text[9:-1].decode("ascii")
        return text

    def converse(self, c):
        self.reply(c, b"220 mail.test ESMTP\r\n")
        text = None
        while True:
            text = text or self.read(c)
            verb, text = text.split(b" ")[0], None
            if verb in (b"EHLO", b"LHLO", b"HELO"):
                self.reply(c, self.hello(verb))
            elif verb == b"DATA":
                self.reply(c, b"354 go ahead\r\n")
                text = self.take_message(c)
                if text is None:
                    if self.has_whole:
                        self.kept.append([self.rcpt, b""])
                    self.reply(c, b"250 2.0.0 kept\r\n")
            elif verb == b"QUIT":
                self.reply(c, b"221 bye\r\n")
                return
            else:
                self.reply(c, b"250 2.1.0 ok\r\n")


def send_all(daemon):
    """Hand in all jobs at once: recipient -> the outcome of its attempt."""
    jobs = {"r%d@example.org" % i: Jobs(daemon.job) for i in range(MANY)}
    for recipient, job in jobs.items():
        job.send(TEXT, recipient)
    return {x: job.outcome() for x, job in jobs.items()}


def check_many(variants, rows):
    kept = [x for v in variants for x in v.kept]
    for recipient, row in rows.items():
        equal(row.get("recipient"), recipient, "recipient")
        mine = [said for name, said in kept if name == recipient]
        if len(mine) > 1:
            raise AssertionError("%s: sent %d times in one attempt" % (
                recipient, len(mine)))
        if row["status"] == "delivered":
            equal(len(mine), 1, "delivered: the server has it")
            equal(re.search(rb"(^|\n)2\d\d", b"\n" + mine[0]) is not None,
                  True, "delivered: the server said so")
        elif mine and (row["code"] == 0 or "protocol error" in row["reply"]):
            equal(row["in_doubt"], True, "in doubt")
        elif not mine and row["step"] != "final":
            equal(row["in_doubt"], False, "in doubt before the dot")


def h_variant_of_many(t, seed, number):
    rng = random.Random("many/%d/%d" % (seed, number))
    session = rng.choice(("smtp", "pipelining", "lmtp"))
    variants = [Conversation(rng, session)] + [
        Conversation(None, session) for _ in range(MANY)]
    server = t.serve(*[[v.play] for v in variants], optional=MANY)
    daemon = t.daemon(CONFIG % (server.name,
                                "lmtp" if session == "lmtp" else "smtp"))
    rows = send_all(daemon)
    daemon.stop()
    try:
        equal(re.findall("(?i)died|ended by signal", daemon.said()), [],
              "log")
        check_many(variants, rows)
    except AssertionError as e:
        raise AssertionError("variant %d of --seed %d (%s; %s): %s" % (
            number, seed, session, ", ".join(variants[0].what), e)) from None


def prepare(seed, count):
    """Make the rows: a fifth of them beside, with many messages each."""
    h_variant.rows = [(str(i), seed, i) for i in range(count)]
    h_variant_of_many.rows = [(str(i), seed, i)
                              for i in range((count + 4) // 5)]
