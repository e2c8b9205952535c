# SPDX-License-Identifier: ISC
"""The same mail to the same servers, by Debian's Postfix and by posternd.

Each situation is a domain with servers of its own (beside_servers.py).  Both sides
send its mail at the same time, each from an address of its own, and what became of it
is held against the other side's: the outcome of each recipient, when it came, which
servers were tried, over how many connections, how often the message was sent, and
how many bounces there were.  REASONS says where the two may differ and why; a
difference that is not in there fails, and so does a reason that is no longer needed.

All of it runs in a network namespace, in which port 25 is free and nothing else is
reached.  With names of situations as arguments, these alone.
"""
import collections
import concurrent.futures
import json
import os
import re
import smtplib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from beside_servers import (CLOSE, KEYWORDS, RESET, SIDES, SILENCE, Names,  # noqa
                            Script, Server, tls_context)
from daemon import Daemon, Job, Suite, memfd, wait_for  # noqa
from mta import unpacked  # noqa
from postfix import PORT as POSTFIX_PORT, Postfix  # noqa
from run import Peers  # noqa
from starttls import make_pair  # noqa

POSTERN, POSTFIX = SIDES.values()
SERVFAIL = 2
LMTP_PORT = 2424

# --- the two sides -------------------------------------------------------

# Silence is noticed after 2 s; a message waits for 8 s, and lives for 20.
TRANSPORT = """
transport %s {
	%s
	tls_security_level = %s
	allow_loopback = yes
	inet_protocols = ipv4
	bind_address = 127.0.0.2
	connect_timeout = 2s
	greeting_timeout = 2s
	helo_timeout = 2s
	starttls_timeout = 2s
	mail_timeout = 2s
	rcpt_timeout = 2s
	data_init_timeout = 2s
	data_xfer_timeout = 2s
	data_done_timeout = 2s
	quit_timeout = 1s
}
"""
CONFIG = """
name_servers = { "127.0.0.1" }
hosts_file = ""
minimal_backoff_time = 8s
maximal_backoff_time = 8s
maximal_queue_lifetime = 20s
bounce_queue_lifetime = 20s
"""
MAIN_CF = """
smtp_host_lookup = dns
smtp_bind_address = 127.0.0.3
lmtp_bind_address = 127.0.0.3
smtp_tls_security_level = may
smtp_tls_policy_maps = inline:{ %(policy)s }
transport_maps = inline:{ %(transport)s }
default_process_limit = 400
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 8s
maximal_backoff_time = 8s
maximal_queue_lifetime = 20s
bounce_queue_lifetime = 20s
smtp_connect_timeout = 2s
smtp_helo_timeout = 2s
smtp_starttls_timeout = 2s
smtp_mail_timeout = 2s
smtp_rcpt_timeout = 2s
smtp_data_init_timeout = 2s
smtp_data_xfer_timeout = 2s
smtp_data_done_timeout = 2s
smtp_quit_timeout = 1s
"""
SERVICES = "relay unix - - n - - smtp\n"

# Both log a recipient's attempt in one shape.
LINE = re.compile(
    r"post(?:fix|ern)/\w+\[\d+\]: (\w+): to=<(.*?)>, .*?dsn=([\d.]+), "
    r"status=(\w+) \((.*)")
EXPIRED = re.compile(r"postfix/qmgr\[\d+\]: (\w+): from=<.*>, status=expired")

# --- situations ----------------------------------------------------------

SENDER = "me@back.test"
MX = object()  # a MX for each server: 10, 20 ...
TEXT = b"Subject: %s\n\ntext\n"


class Situation:
    """messages: the local parts of each one's recipients.  late: of those that are
    handed in when all the others had an attempt.  dns: rows of the zone, by a
    function of domain and addresses.  way: MX, or what is configured: lmtp or smtp
    to the first server, or a Unix socket that is missing."""

    def __init__(self, name, *servers, messages=(("a",),), late=(), dns=None,
                 level="may", text=TEXT, sender=SENDER, way=MX):
        self.name, self.servers = name, servers
        self.messages, self.late = list(messages), list(late)
        self.is_crowd = len(self.messages) + len(self.late) > 1
        self.dns, self.level, self.text = dns, level, text
        self.sender, self.way = sender, way
        self.domain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[
            :60].strip("-") + ".test"
        self.addresses = []

    def place(self, number):
        self.addresses = ["127.20.%d.%d" % (number, i + 1)
                          for i in range(max(2, len(self.servers)))]

    def rows(self):
        if self.dns is not None:
            return self.dns(self.domain, self.addresses)
        rows = {self.domain: []}
        for i, address in enumerate(self.addresses[:len(self.servers)]):
            host = "mx%d.%s" % (i + 1, self.domain)
            rows[self.domain].append(("MX", (10 * (i + 1), host)))
            rows[host] = [("A", address)]
        return rows


def later(count, first, then=None):
    """One step for the first visits of a side, another for those that follow."""
    def step(visit):
        return first if visit.number <= count else then or "250 2.0.0 ok"
    return step


def for_local(**replies):
    """RCPT is answered by the first word of the local part."""
    def step(visit):
        local = visit.asked[-1].split("@")[0]
        return replies.get(local.rstrip("0123456789"), "250 2.1.5 ok")
    return step


def spent(limit, what):
    """MAIL: so many messages a connection are taken."""
    def step(visit):
        return "250 2.1.0 ok" if visit.mails <= limit else what
    return step


def no_tls(visit):
    """In place of a handshake."""
    visit.fill()
    return b"this is no TLS\r\n", CLOSE


def twenty():
    return [("r%d" % i,) for i in range(20)]


GOOD = Script()
WHAT = {
    "4yz": "451 4.3.0 not now", "5yz": "550 5.7.1 never",
    "421": ("421 4.3.2 busy", CLOSE), "a close": CLOSE, "a reset": RESET,
    "silence": SILENCE,
}
STEPS = ("greeting", "ehlo", "mail", "rcpt", "data", "final")


def at(step, action, **more):
    steps = {step: action}
    if step == "ehlo":
        steps["helo"] = action
    return Script(**steps, **more)


def tls(**more):
    return Script(KEYWORDS + ("STARTTLS",), **more)


def steps():
    for step in STEPS:
        for word, action in WHAT.items():
            yield Situation("%s at %s, a good MX 20" % (word, step),
                            at(step, action), GOOD)
    for code in (554, 421, 450):
        yield Situation("greeting %d, one MX" % code,
                        at("greeting", "%d no" % code))
    yield Situation("421 greeting once, more mail meanwhile",
                    Script(greeting=later(1, ("421 4.3.2 busy", CLOSE),
                                          "220 mail.test")),
                    late=[("l%d" % i,) for i in range(4)])
    for code in (500, 501, 502, 503, 504, 550, 554, 451, 421):
        yield Situation("EHLO %d, HELO taken" % code,
                        Script(ehlo="%d no" % code))


def by_tls():
    broken = {
        "refused 454": tls(starttls="454 4.7.0 no"),
        "refused 554": tls(starttls="554 5.7.0 no"),
        "handshake is no TLS": tls(starttls=("220 go", no_tls)),
        "220 with octets behind it": tls(starttls=b"220 go\r\n250 more\r\n"),
        "closed at the handshake": tls(starttls=("220 go", CLOSE)),
        "closed after the handshake": tls(tls=CLOSE),
        "reset after the handshake": tls(tls=RESET),
    }
    for level in ("may", "encrypt"):
        for name, script in broken.items():
            yield Situation("STARTTLS %s, %s" % (name, level), script,
                            level=level)
        yield Situation("STARTTLS, %s" % level, tls(), level=level)
    yield Situation("no STARTTLS, encrypt", Script(), level="encrypt")
    yield Situation("no STARTTLS, encrypt, MX 20 has it", Script(), tls(),
                    level="encrypt")


def replies():
    def lf(**steps):
        return Script(**{k: v.encode() for k, v in steps.items()})
    yield Situation("LF alone ends replies", lf(
        greeting="220 hi\n", ehlo="250-mail.test\n250 SIZE\n",
        mail="250 ok\n", rcpt="250 ok\n", data="354 go\n",
        final="250 ok\n", quit="221 bye\n"))
    yield Situation("LF alone ends the final reply", lf(final="250 ok\n"))
    yield Situation("250ok", lf(mail="250ok\r\n", rcpt="250ok\r\n",
                                final="250ok\r\n"))
    yield Situation("a code alone", lf(mail="250\r\n", rcpt="250\r\n",
                                       final="250\r\n"))
    yield Situation("a greeting of three lines", lf(
        greeting="220-one\r\n220-\r\n220 three\r\n"))
    yield Situation("the code changes in a reply to RCPT, last 250", lf(
        rcpt="550-no\r\n250 ok\r\n"))
    yield Situation("the code changes in a reply to RCPT, last 550", lf(
        rcpt="250-ok\r\n550 no\r\n"))
    yield Situation("the code changes in the final reply", lf(
        final="250-ok\r\n450 no\r\n"))
    yield Situation("a final reply of 600 octets", Script(
        final="250 2.0.0 " + "x" * 590))
    yield Situation("a final reply of 3000 octets", Script(
        final="250 2.0.0 " + "x" * 2990))
    yield Situation("a final reply of 40 lines", Script(
        final="\n".join(["250-line"] * 39 + ["250 2.0.0 ok"])))
    yield Situation("nonsense in place of a reply to MAIL",
                    Script(mail="what do you want"), GOOD)
    yield Situation("354 and 550 in one packet", Script(
        data=(b"354 go\r\n550 5.7.1 no\r\n", CLOSE)))
    yield Situation("354 and 550 in one packet, session stays", Script(
        data=b"354 go\r\n550 5.7.1 no\r\n", final=None))
    yield Situation("250 to DATA", Script(data="250 2.0.0 ok"))
    yield Situation("the code 299 to MAIL", Script(mail="299 hm"))
    yield Situation("the enhanced code of another class",
                    Script(rcpt="550 4.1.1 no"))


def envelopes():
    for reply in ("552 5.2.2 mailbox full", "552 5.1.1 no such user",
                  "552 5.7.0 virus", "552 full", "552 5.5.3 too many",
                  "452 4.2.2 full", "450 4.2.0 greylisted", "503 5.5.1 order",
                  "251 2.1.5 elsewhere", "553 5.1.3 syntax"):
        yield Situation("RCPT %s" % reply, Script(rcpt=reply))
    many = [tuple("r%d" % i for i in range(6))]

    def full(after, reply):
        return Script(rcpt=lambda v: reply if len(v.asked) > after
                      else "250 2.1.5 ok")
    for reply in ("452 4.5.3 too many", "452 too many", "552 5.5.3 too many",
                  "552 too many", "552 5.2.2 full", "451 4.3.0 later"):
        yield Situation("RCPT %s after three" % reply, full(3, reply),
                        messages=many)
    yield Situation("RCPT one of each", Script(rcpt=for_local(
        no="550 5.1.1 no", wait="451 4.2.0 later")),
        messages=[("yes", "no", "wait", "yes1", "no1")])
    yield Situation("421 to the third of five RCPT, session open", Script(
        rcpt=lambda v: "421 4.3.2 busy" if v.number == 1 and
        len(v.asked) == 3 else "250 2.1.5 ok"),
        messages=[tuple("r%d" % i for i in range(5))])
    yield Situation("30 recipients, 451 once", Script(
        rcpt=later(1, "451 4.2.0 greylisted", "250 2.1.5 ok")),
        messages=[tuple("r%d" % i for i in range(30))])
    yield Situation("8 recipients deferred until they are too old", Script(
        rcpt="451 4.2.0 later"), messages=[tuple("r%d" % i for i in range(8))])
    yield Situation("550 to all, 3 recipients", Script(rcpt="550 5.1.1 no"),
                    messages=[("x", "y", "z")])
    yield Situation("554 to DATA after all RCPT", Script(
        data="554 5.5.1 no valid recipients"), messages=[("x", "y")])
    yield Situation("452 to MAIL once", Script(
        mail=later(1, "452 4.3.1 full", "250 2.1.0 ok")))
    yield Situation("451 to the message once", Script(
        final=later(1, "451 4.3.0 later", "250 2.0.0 taken")))
    yield Situation("closed at the dot, always", Script(final=CLOSE))
    yield Situation("closed at the dot, 8 messages", Script(final=CLOSE),
                    messages=[("r%d" % i,) for i in range(8)])


def spending():
    for name, what in (("421", ("421 4.7.0 enough", CLOSE)), ("FIN", CLOSE),
                       ("RST", RESET), ("452", "452 4.5.3 too many messages"),
                       ("421, session open", "421 4.7.0 enough")):
        yield Situation("5 messages a connection, then %s" % name,
                        Script(mail=spent(5, what)), messages=twenty())
    yield Situation("1 message a connection, then 421", Script(
        mail=spent(1, ("421 4.7.0 enough", CLOSE))), messages=twenty())
    yield Situation("closed after each message", Script(
        final=("250 2.0.0 taken", CLOSE)), messages=twenty())


def names():
    def only(**rows):
        """Rows, where D is the domain, and A1, A2 are addresses."""
        def make(domain, addresses):
            def put(value):
                if isinstance(value, tuple):
                    return tuple(put(x) for x in value)
                if isinstance(value, list):
                    return [put(x) for x in value]
                if not isinstance(value, str):
                    return value
                for i, address in enumerate(addresses):
                    value = value.replace("A%d" % (i + 1), address)
                return value.replace("D", domain)
            return {(name + "." + domain if name != "top" else domain):
                    put(value) for name, value in rows.items()}
        return make
    yield Situation("NXDOMAIN", dns=only())
    yield Situation("SERVFAIL for the domain", dns=only(top=SERVFAIL))
    yield Situation("no MX and no address", dns=only(top=[]))
    yield Situation("null MX", dns=only(top=[("MX", (0, "."))]))
    yield Situation("the only MX is NXDOMAIN",
                    dns=only(top=[("MX", (10, "gone.D"))]))
    yield Situation("MX 10 is NXDOMAIN, a good MX 20", GOOD, dns=only(
        top=[("MX", (10, "gone.D")), ("MX", (20, "good.D"))],
        good=[("A", "A1")]))
    yield Situation("MX 10 is SERVFAIL, a good MX 20", GOOD, dns=only(
        top=[("MX", (10, "bad.D")), ("MX", (20, "good.D"))],
        bad=SERVFAIL, good=[("A", "A1")]))
    yield Situation("the only MX is SERVFAIL", dns=only(
        top=[("MX", (10, "bad.D"))], bad=SERVFAIL))
    yield Situation("the MX is a CNAME", GOOD, dns=only(
        top=[("MX", (10, "alias.D"))], alias=[("CNAME", "good.D")],
        good=[("A", "A1")]))
    yield Situation("no MX but an address", GOOD, dns=only(
        top=[("A", "A1")]))
    yield Situation("the MX is a name with an underscore", GOOD, dns=only(
        top=[("MX", (10, "mx_1.D"))], mx_1=[("A", "A1")]))
    yield Situation("an MX with two addresses, the first is busy",
                    at("greeting", WHAT["421"]), GOOD, dns=only(
                        top=[("MX", (10, "both.D")), ("MX", (20, "b.D"))],
                        both=[("A", "A1")], b=[("A", "A2")]))
    yield Situation("a dead MX 10, a good MX 20", None, GOOD)
    yield Situation("all of two MX dead", None, None)
    yield Situation("a configured server that refuses connections", None,
                    way="smtp")
    yield Situation("a configured server that says 554 to EHLO and HELO",
                    at("ehlo", "554 5.7.1 no"), way="smtp")
    yield Situation("a configured server with a greeting of 554",
                    at("greeting", "554 5.7.1 no"), way="smtp")
    yield Situation("a missing Unix socket", way="unix")


def others():
    yield Situation("LMTP, final replies unequal", Script(
        lmtp=True, final=lambda v: {"n": "550 5.2.2 full", "w":
                                    "451 4.2.0 later"}.get(
            v.argument[:1], "250 2.0.0 taken")), way="lmtp",
        messages=[("y", "n", "w", "y1")])
    yield Situation("LMTP, first RCPT refused", Script(
        lmtp=True, rcpt=for_local(no="550 5.1.1 no")), way="lmtp",
        messages=[("no", "yes", "yes1")])
    yield Situation("SIZE too small at MX 10",
                    Script(("PIPELINING", "SIZE 1000")), GOOD,
                    text=TEXT + b"a line of text\n" * 400)
    yield Situation("SIZE too small", Script(("PIPELINING", "SIZE 1000")),
                    text=TEXT + b"a line of text\n" * 400)
    yield Situation("552 to MAIL for its size", Script(
        mail="552 5.3.4 too large"), GOOD)
    yield Situation("552 to the message for its size", Script(
        final="552 5.3.4 too large"), GOOD)
    yield Situation("no 8BITMIME, and octets of 8 bits", Script(("SIZE",)),
                    text=b"MIME-Version: 1.0\nContent-Type: text/plain; "
                    b"charset=utf-8\nContent-Transfer-Encoding: 8bit\n" +
                    TEXT + b"gr\xc3\xbc\xc3\x9fe\n")
    yield Situation("no extension at all", Script(()))
    yield Situation("a message of 300 kB", GOOD,
                    text=TEXT + b"a line of text\n" * 20000)
    yield Situation("a line of 3000 octets", GOOD,
                    text=TEXT + b"x" * 2990 + b"z" * 10 + b"\n")
    yield Situation("dots", GOOD, text=TEXT + b".\n..\n.x\n\n.\n")
    yield Situation("CHUNKING, and the message is refused for now", Script(
        KEYWORDS + ("CHUNKING",), final=later(1, "451 4.3.0 no",
                                              "250 2.0.0 taken")))
    yield Situation("CHUNKING is offered, BDAT is closed", Script(
        KEYWORDS + ("CHUNKING",), final=CLOSE), GOOD)
    for name, local in (
            ("a quoted local part", '"a b"'), ("two dots", '"a..b"'),
            ("a local part of 80 octets", "v" * 80),
            ("signs in the local part", "a!#$%&'*+-/=?^_`{|}~b"),
            ("a long VERP sender", "v")):
        yield Situation("odd address: " + name, GOOD, messages=[(local,)],
                        sender="list+" + "x" * 50 + "=example.org@back.test"
                        if "VERP" in name else SENDER)
    yield Situation("the null sender is refused an answer", Script(
        rcpt="550 5.1.1 no"), sender="")
    yield Situation("the sender's bounce", GOOD)


def situations():
    found = []
    for part in (steps, by_tls, replies, envelopes, spending, names, others):
        found += part()
    for number, situation in enumerate(found):
        situation.place(number)
    assert len({s.domain for s in found}) == len(found)
    return found


DOUBT = "all of the message had left: it may be delivered, and what may be " \
    "stays with this server, so that no other delivers it a second time"
TWO_CODES = "a reply whose lines have two codes (RFC 5321, 4.2.1: they have one) " \
    "is no verdict, for or against; the message waits"
ANOTHER_HOST = "the fault is this server's; another MX may take the message"
TOO_MANY = "it says that there are too many: the rest goes in a transaction of " \
    "its own, at once (RFC 5321, 4.5.3.1.10)"
SECOND_CONNECTION = "where STARTTLS was tried in vain, mail goes in clear by a " \
    "connection of its own, and at once"
OURS = "what is configured is wrong or down: that fails no message, it waits"
TLS_WANTED = "it refuses the TLS that our configuration asks for: that fails no " \
    "message, it waits"
SEQUENCE = "a command out of sequence says nothing about the message"

# What postern does differently, and why: by situation, all that differs.
REASONS = {
    "5yz at ehlo, a good MX 20": ANOTHER_HOST,
    "nonsense in place of a reply to MAIL": ANOTHER_HOST,
    "SIZE too small at MX 10": ANOTHER_HOST,
    "a close at final, a good MX 20": DOUBT,
    "a reset at final, a good MX 20": DOUBT,
    "silence at final, a good MX 20": DOUBT,
    "CHUNKING is offered, BDAT is closed": DOUBT,
    "greeting 554, one MX": "RFC 5321, 3.1: there is no service here, and no "
    "other MX; the sender is told at once, as after the same reply to EHLO",
    "EHLO 451, HELO taken": "a server that is busy may know EHLO all the same: "
    "HELO is tried after the second such reply",
    "STARTTLS refused 554, encrypt": TLS_WANTED,
    "STARTTLS refused 454, may": SECOND_CONNECTION,
    "STARTTLS refused 554, may": SECOND_CONNECTION,
    "STARTTLS handshake is no TLS, may": SECOND_CONNECTION,
    "STARTTLS closed at the handshake, may": SECOND_CONNECTION,
    "STARTTLS closed after the handshake, may": SECOND_CONNECTION,
    "STARTTLS reset after the handshake, may": SECOND_CONNECTION,
    "STARTTLS 220 with octets behind it, may": "octets in clear that were to be "
    "read inside TLS are somebody's attempt to inject them",
    "STARTTLS 220 with octets behind it, encrypt": "octets in clear that were "
    "to be read inside TLS are somebody's attempt to inject them",
    "250ok": "read as it is meant",
    "the code changes in a reply to RCPT, last 250": TWO_CODES,
    "the code changes in a reply to RCPT, last 550": TWO_CODES,
    "250 to DATA": "the server's reply is not one to DATA, and says nothing "
    "about the message",
    "354 and 550 in one packet, session stays": "refused before the message "
    "was sent: no octet of it is",
    "RCPT 552 5.5.3 too many": TOO_MANY,
    "RCPT 552 5.5.3 too many after three": TOO_MANY,
    "RCPT 552 too many after three": TOO_MANY,
    "RCPT 452 4.5.3 too many after three": TOO_MANY,
    "RCPT 452 too many after three": TOO_MANY,
    "RCPT 503 5.5.1 order": SEQUENCE,
    "a configured server that says 554 to EHLO and HELO": OURS,
    "no 8BITMIME, and octets of 8 bits": "of base64 and quoted-printable the "
    "shorter one is chosen",
    "a line of 3000 octets": "in the form that RFC 5322 has",
}

# --- one run -------------------------------------------------------------


class Side:
    """What one of the two logged, as it comes."""

    def __init__(self, name, log_text):
        self.name, self.log_text = name, log_text
        self.at = 0
        self.attempts = collections.defaultdict(list)  # by recipient
        self.first = {}  # of each domain, when its first attempt was over
        self.expired = set()  # queue ids
        self.ids = collections.defaultdict(set)  # recipients of each

    def look(self):
        text = self.log_text()
        end = text.rfind("\n") + 1
        lines, self.at = text[self.at:end].splitlines(), end
        for line in lines:
            m = EXPIRED.search(line)
            if m:
                self.expired |= self.ids[m.group(1)]
            m = LINE.search(line)
            if m:
                id, rcpt, dsn, status, said = m.groups()
                self.ids[id].add(rcpt)
                self.attempts[rcpt].append((status, dsn, said))
                self.first.setdefault(rcpt.rsplit("@", 1)[-1],
                                      time.monotonic())

    def over(self, rcpt):
        """Whether nothing more comes of it."""
        return rcpt in self.expired or any(
            status in ("sent", "bounced", "expired")
            for status, _, _ in self.attempts[rcpt])

    def outcome(self, rcpt):
        """What became of it, and after how many attempts that put it off."""
        put_off = 0
        for status, dsn, said in self.attempts[rcpt]:
            if status == "sent":
                return "delivered", put_off
            if status == "bounced":
                return ("returned when too old" if put_off and
                        "expired" in said else "bounced"), put_off
            put_off += 1
        return "returned when too old", 0

    WHEN = ("at once", "after the first back-off", "later")

    def facts(self, situation, back):
        facts = {}
        servers = [s for s in situation.live]
        visits = sorted(((v, i) for i, s in enumerate(servers) if s
                         for v in s.of(self.name)), key=lambda x: x[0].began)
        names = [local + "@" + situation.domain for message in
                 situation.messages + situation.late for local in message]
        ends = {rcpt: self.outcome(rcpt) for rcpt in names}
        facts["outcome"] = sorted(
            (rcpt.rsplit("@", 1)[0], end) for rcpt, (end, _) in ends.items())
        facts["when"] = sorted(
            (rcpt.rsplit("@", 1)[0], self.WHEN[min(count, 2)])
            for rcpt, (end, count) in ends.items()
            if end != "returned when too old")
        facts["class"] = sorted({self.attempts[rcpt][0][1][:1]
                                 for rcpt in names if self.attempts[rcpt]})
        crowd = situation.is_crowd
        first = [(v, i) for v, i in visits if crowd or v.began <=
                 self.first.get(situation.domain, 0) + 0.05]
        facts["servers"] = "-".join(str(i + 1) for v, i in first) \
            if not crowd else sorted({i + 1 for v, i in first})
        facts["connections"] = len(first)
        facts["sent"] = sum(len(v.transmitted) for v, i in first)
        if not crowd:
            # a retry: how many transactions it takes
            rest = [v.mails for v, i in visits[len(first):]][:1]
            facts["second attempt"] = rest
        taken = collections.Counter(
            rcpt for v, _ in visits for rcpts, _ in v.accepted
            for rcpt in rcpts)
        facts["doubled"] = sum(count - 1 for count in taken.values())
        facts["bounces"] = sum(
            b"@" + situation.domain.encode() in text for v in
            back.of(self.name) for _, text in v.accepted)
        facts["_text"] = [t.split(b"\r\n\r\n", 1)[-1] for v, _ in visits
                          for _, t in v.accepted][:1]
        facts["_log"] = {rcpt: self.attempts[rcpt][:3] for rcpt in names[:6]}
        return facts


def hand_to_postfix(postfix, messages):
    """Each: sender, recipients and text."""
    with smtplib.SMTP(postfix.address, POSTFIX_PORT, timeout=120,
                      source_address=(postfix.client, 0)) as client:
        client.ehlo("submit.test")
        for sender, rcpts, text in messages:
            for word in ["MAIL FROM:<%s>" % sender] + [
                    "RCPT TO:<%s>" % rcpt for rcpt in rcpts]:
                code, said = client.docmd(word)
                assert code == 250, (word, said)
            code, said = client.data(text.replace(b"\n", b"\r\n"))
            assert code == 250, said


def hand_to_postern(daemon, messages):
    job = Job(daemon.dir + "/run/job")
    for sender, rcpts, text in messages:
        fd = memfd(text)
        job.send({"from": sender, "rcpts": rcpts}, fd)
        os.close(fd)
    for sender, rcpts, _ in messages:
        answer = job.receive()
        assert answer.get("status") == "queued", (rcpts, answer)
    job.close()


def mail_of(situation, late=False):
    for rcpts in situation.late if late else situation.messages:
        text = situation.text
        if b"%s" in text:
            text = text % situation.domain.encode()
        yield (situation.sender, [r + "@" + situation.domain for r in rcpts],
               text)


def configurations(chosen):
    """For postern and for Postfix."""
    body = CONFIG + TRANSPORT % ("smtp", "", "may")
    body += TRANSPORT % ("encrypt", "", "encrypt")
    # A table that is empty is an error.
    policy = ["{ none.invalid = may }"]
    transport = ["{ none.invalid = smtp: }"]
    for number, s in enumerate(chosen):
        if s.level != "may":
            policy.append("{ %s = %s }" % (s.domain, s.level))
            body += 'route "%s" { transport = encrypt }\n' % s.domain
        if s.way is MX:
            continue
        name = "t%d" % number
        lines = {"unix": 'protocol = lmtp\n\tserver = "unix:/nonexistent/lmtp"',
                 "lmtp": 'protocol = lmtp\n\tserver = "%%s:%d"' % LMTP_PORT,
                 "smtp": 'server = "%s:25"'}[s.way].replace(
                     "%s", s.addresses[0])
        body += TRANSPORT % (name, lines, "none" if s.way != "smtp" else "may")
        body += 'route "%s" { transport = %s }\n' % (s.domain, name)
        transport.append("{ %s = %s }" % (s.domain, {
            "unix": "lmtp:unix:/nonexistent/lmtp",
            "lmtp": "lmtp:inet:[%s]:%d" % (
                s.addresses[0], LMTP_PORT),
            "smtp": "relay:[%s]" % s.addresses[0]}[s.way]))
    body += 'route "*" { transport = smtp }\n'
    return body, MAIN_CF % {
        "policy": ", ".join(policy), "transport": ", ".join(transport)}


def compare(chosen):
    """A row for each situation, with what is alike, and what differs."""
    rows = {"back.test": [("MX", (10, "mx.back.test"))],
            "mx.back.test": [("A", "127.20.255.1")]}
    for s in chosen:
        rows.update(s.rows())
    Names(rows)
    with tempfile.TemporaryDirectory() as folder, Peers() as peers:
        context = tls_context(*make_pair(folder, "mail.test"))
        back = Server(GOOD, "127.20.255.1", context)
        for s in chosen:
            s.live = [script and Server(script, address, context, LMTP_PORT if
                                        s.way == "lmtp" else 25) for
                      script, address in zip(s.servers, s.addresses)]
        peers.root = unpacked(peers)
        body, main = configurations(chosen)
        with Daemon(body) as daemon, Postfix(peers, main, SERVICES) as postfix:
            sides = [Side(POSTERN, daemon.log_text),
                     Side(POSTFIX, postfix.log_text)]
            messages = [m for s in chosen for m in mail_of(s)]
            with concurrent.futures.ThreadPoolExecutor() as pool:
                given = [pool.submit(hand_to_postern, daemon, messages),
                         pool.submit(hand_to_postfix, postfix, messages)]
                follow(chosen, sides, daemon, postfix)
                for one in given:
                    one.result()
        return [row(s, [side.facts(s, back) for side in sides])
                for s in chosen]


def follow(chosen, sides, daemon, postfix):
    """Until nothing more comes of any of it."""
    early = {m[1][0]: s for s in chosen if s.late for m in mail_of(s)}
    waiting = {(side.name, rcpt) for side in sides for rcpt in early}
    everybody = {r for s in chosen for late in (False, True)
                 for _, rcpts, _ in mail_of(s, late) for r in rcpts}

    def over():
        for side in sides:
            side.look()
            for name, rcpt in list(waiting):
                if name == side.name and side.attempts[rcpt]:
                    waiting.remove((name, rcpt))
                    mail = list(mail_of(early[rcpt], True))
                    if name == POSTERN:
                        hand_to_postern(daemon, mail)
                    else:
                        hand_to_postfix(postfix, mail)
        return all(side.over(r) for side in sides for r in everybody)

    try:
        wait_for(over, 90, "all outcomes")
    except AssertionError as e:
        raise AssertionError("%s: not %s" % (e, [
            (side.name, r) for side in sides for r in everybody
            if not side.over(r)][:10])) from e
    # The last bounces.
    wait_for(lambda: not postfix.queue(), 60, "Postfix's queue to be empty")
    wait_for(lambda: not [r for r in daemon.queued()
                          if r.get("state") in ("queued", "active",
                                                "deferred")],
             60, "our queue to be empty")


def is_no_worse(aspect, ours, theirs):
    """Of many messages: how many go at a time, and which ones meet the end of a
    connection, is a matter of timing, for Postfix too."""
    if aspect in ("connections", "sent"):
        return ours <= 2 * theirs + 1
    if aspect == "when":
        waits = [sum(when != Side.WHEN[0] for _, when in side)
                 for side in (ours, theirs)]
        return len(ours) >= len(theirs) and waits[0] <= waits[1]
    return aspect == "class" and set(ours) <= set(theirs)


def row(situation, facts):
    ours, theirs = facts
    differ = {}
    for aspect in ours:
        if aspect[0] == "_":
            continue
        a, b = ours[aspect], theirs[aspect]
        if situation.is_crowd and is_no_worse(aspect, a, b):
            continue
        if a != b:
            differ[aspect] = (a, b)
    if ours["_text"] != theirs["_text"]:
        differ["text"] = tuple(repr(f["_text"])[:300] for f in facts)
    return {"name": situation.name, "differ": differ,
            "log": [f["_log"] for f in facts]}


def inside(arguments):
    """In the namespace: rows as JSON on standard output, a line each."""
    chosen = [s for s in situations()
              if not arguments or s.name in arguments]
    for line in compare(chosen):
        print(json.dumps(line))
        sys.stdout.flush()


NAMESPACE = """
set -e
ip link set lo up
mount --bind "$0" /etc/resolv.conf
exec "$@"
"""


def run_inside(names):
    """A row of each situation; all of them, if none is named."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolv:
        resolv.write("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
        resolv.flush()
        os.chmod(resolv.name, 0o644)
        done = subprocess.run(
            ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c",
             NAMESPACE, resolv.name, sys.executable, os.path.abspath(__file__),
             "--inside", *names], capture_output=True, text=True,
            check=False, timeout=600)
    if done.returncode != 0:
        raise AssertionError("the run ended: " + done.stderr[-3000:])
    return [json.loads(line) for line in done.stdout.splitlines()
            if line.startswith("{")]


def wrong(row):
    """What is not as REASONS has it, in words; empty: all is."""
    excused = row["name"] in REASONS
    if bool(row["differ"]) == excused:
        return ""
    if excused:
        return "is as with Postfix: the reason is no longer needed"
    return "; ".join("%s: %s, by Postfix %s" % (aspect, *pair) for aspect, pair
                     in row["differ"].items()) + " " + json.dumps(row["log"])


def run(suite, names=()):
    if os.geteuid() != 0:
        suite.skip("beside Postfix", "it needs root")
        return
    rows = {}

    def made():
        rows.update((row["name"], row) for row in run_inside(names))
    suite.check("beside Postfix: all situations are over", made)
    # A busy machine may have held one side up.
    doubtful = [name for name, row in rows.items() if wrong(row)]
    if 0 < len(doubtful) <= 10:
        for name in doubtful:
            print("UNSTEADY beside Postfix: %s: %s" % (name, wrong(rows[name])))
        rows.update((row["name"], row) for row in run_inside(doubtful))

    def is_right(row):
        assert not wrong(row), wrong(row)
    for name, row in rows.items():
        suite.check("beside Postfix: " + name, lambda r=row: is_right(r),
                    once=True)
    if not names:
        unknown = set(REASONS) - set(rows)
        assert not rows or not unknown, unknown
    differ = [row for row in rows.values() if row["differ"]]
    print("   beside Postfix: %d situations, %d alike, %d differ" % (
        len(rows), len(rows) - len(differ), len(differ)))
    for row in differ:
        print("   %s (%s): %s" % (row["name"], ", ".join(row["differ"]),
                                  REASONS.get(row["name"], "NO REASON")))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    else:
        suite = Suite()
        run(suite, sys.argv[1:])
        suite.end()
