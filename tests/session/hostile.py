# SPDX-License-Identifier: ISC
"""Servers that mean no good: every event at every step, one case for each.

A session is a list of exchanges.  A case plays it up to one of them and puts
an event in place of its reply; a table says what has to come of that.
"""
from harness import equal, patient, table
from server import (GREETING, close, drain, drip, eof, flood, line, message,
                    push, raw, reset, say, tls, trickle)

STEP_S = 1    # --step-timeout of every case
SLACK_S = 8   # for a busy machine, beside the timers that may run
TWO = ("b@example.org", "c@example.org")


class Exchange:
    """What the client does, and the reply that a good server has for it."""

    def __init__(self, step, what, code, text="ok", inside=False):
        self.step = step      # as outcomes name it
        self.what = what      # steps that take the client's part
        self.code = code
        self.text = text
        self.inside = inside  # TLS has to stand before

    def good(self):
        return say("%s %s" % (self.code, self.text))


def envelope(n=1):
    return [Exchange("mail", [line("MAIL FROM:.*")], "250")] + [
        Exchange("rcpt", [line("RCPT TO:.*")], "250") for _ in range(n)] + [
        Exchange("data", [line("DATA")], "354")]


def ending(n=1):
    return [Exchange("final", [message()] if i == 0 else [], "250", "kept")
            for i in range(n)] + [Exchange("quit", [line("QUIT")], "221")]


GREET = Exchange("greeting", [], "220", GREETING[4:])
EHLO = Exchange("ehlo", [line("EHLO .*")], "250", "mail.test")
SMTP = [GREET, EHLO] + envelope() + ending()
HELO = [GREET, Exchange("ehlo", [line("EHLO .*")], "502"),
        Exchange("ehlo", [line("HELO .*")], "250")] + envelope() + ending()
LMTP = [GREET, Exchange("ehlo", [line("LHLO .*")], "250")] + envelope(2) + \
    ending(2)
SECURE = [GREET, Exchange("ehlo", [line("EHLO .*"), raw(b"250-mail.test\r\n")],
                          "250", "STARTTLS"),
          Exchange("starttls", [line("STARTTLS")], "220", "go"),
          Exchange("ehlo", [tls(), line("EHLO .*")], "250")] + envelope() + \
    ending()

ENCRYPT = ("--tls", "encrypt")

# name: (session, which exchange, options, recipients)
PLACES = {
    "greeting": (SMTP, 0, (), TWO[:1]),
    "ehlo": (SMTP, 1, (), TWO[:1]),
    "helo": (HELO, 2, (), TWO[:1]),
    "lhlo": (LMTP, 1, ("--lmtp",), TWO),
    "starttls": (SECURE, 2, ENCRYPT, TWO[:1]),
    "ehlo in tls": (SECURE, 3, ENCRYPT, TWO[:1]),
    "mail": (SMTP, 2, (), TWO[:1]),
    "rcpt": (SMTP, 3, (), TWO[:1]),
    "data": (SMTP, 4, (), TWO[:1]),
    "final": (SMTP, 5, (), TWO[:1]),
    "final in tls": (SECURE, 7, ENCRYPT, TWO[:1]),
    "first of lmtp": (LMTP, 6, ("--lmtp",), TWO),
    "second of lmtp": (LMTP, 7, ("--lmtp",), TWO),
    "quit": (SMTP, 6, (), TWO[:1]),
}

# What comes of an event: (status, code, words of the reply).
LOST = ("deferred", 0, r"connection (closed|lost)")
LATE = ("deferred", 0, r"timed out")
BROKEN = ("deferred", 0, r"protocol error: .*(line|code|reply)")
GOOD = None  # nothing: the session goes on, and all is well


def octets_of(lines, code, text=b"x"):
    return (code + b"-" + text + b"\r\n") * (lines - 1) + \
        code + b" " + text + b"\r\n"


# name: (the steps, of the code that belongs there; what comes of it)
EVENTS = {
    "close": (lambda c: [close()], LOST),
    "close in a reply": (lambda c: [raw(c + b"-o"), close()], LOST),
    "reset": (lambda c: [reset()], LOST),
    "silence": (lambda c: [], LATE),
    "garbage": (lambda c: [push(b"hello there\r\n")], BROKEN),
    "NUL in the code": (lambda c: [push(c[:1] + b"\0" + c[1:] + b" x\r\n")],
                        BROKEN),
    "NUL after the code": (lambda c: [push(c + b"\0x\r\n")], BROKEN),
    "8-bit digits": (lambda c: [push(b"\xb2\xb5\xb0 x\r\n")], BROKEN),
    "NUL and 8-bit in the text": (
        lambda c: [raw(c + b" \0\xff\xfe\x1b[2J\x07\r\n")], GOOD),
    "bare LF": (lambda c: [raw(c + b" x\n")], GOOD),
    "bare CR": (lambda c: [raw(c + b" x\r")], LATE),
    "reply without end": (lambda c: [flood(c + b"-x\r\n", 20000)], BROKEN),
    "line without end": (lambda c: [flood(b"x" * 65536, 20)], BROKEN),
    "line of 4096 octets": (
        lambda c: [raw(octets_of(1, c, b"x" * 4090))], GOOD),
    "line of 4097 octets": (
        lambda c: [push(octets_of(1, c, b"x" * 4091))], BROKEN),
    "512 lines": (lambda c: [raw(octets_of(512, c))], GOOD),
    "513 lines": (lambda c: [push(octets_of(513, c))], BROKEN),
    "64 KiB": (lambda c: [raw(octets_of(16, c, b"x" * 4090))], GOOD),
    "over 64 KiB": (lambda c: [push(octets_of(17, c, b"x" * 4090))], BROKEN),
    "dripping": (lambda c: [drip(octets_of(9, c))], LATE),
    "split at every octet": (lambda c: [trickle(octets_of(2, c))], GOOD),
    "another code in line 2": (
        lambda c: [push(c + b"-x\r\n" + c[:2] + b"9 x\r\n")], BROKEN),
    "000": (lambda c: [push(b"000 x\r\n")], BROKEN),
    "199": (lambda c: [push(b"199 x\r\n")], BROKEN),
    "399": (lambda c: [say("399 x")], ("deferred", 399, "protocol error")),
    "421": (lambda c: [say("421 4.3.2 going")], ("deferred", 421, "going")),
    "499": (lambda c: [say("499 x")], ("deferred", 499, "499 x")),
    "599": (lambda c: [say("599 x")], ("failed", 599, "599 x")),
    "600": (lambda c: [push(b"600 x\r\n")], BROKEN),
    "999": (lambda c: [push(b"999 x\r\n")], BROKEN),
    "299": (lambda c: [say("299 x")], ("deferred", 299, "protocol error")),
    "2yz for 3yz, or the reverse": (
        lambda c: [say("250 x" if c == b"354" else "354 x")],
        ("deferred", None, "protocol error")),
    "two replies": (lambda c: [push(c + b" x\r\n" + c + b" y\r\n")],
                    ("deferred", None, "protocol error")),
}

# Where that is not what comes of it: (place, event).
OTHERWISE = {
    # RFC 5321, 4.3.2: any 2yz is a success where one belongs
    ("mail", "299"): GOOD, ("rcpt", "299"): GOOD,
    ("final", "299"): ("delivered", 299, "299 x"),
    ("final in tls", "299"): ("delivered", 299, "299 x"),
    ("first of lmtp", "299"): ("delivered", 299, "299 x"),
    ("second of lmtp", "299"): ("delivered", 299, "299 x"),
    # the first is the final reply; the connection is what suffers
    ("final", "two replies"): ("delivered", 250, "250 x"),
    ("final in tls", "two replies"): ("delivered", 250, "250 x"),
    ("first of lmtp", "two replies"): ("delivered", 250, "250 x"),
    ("second of lmtp", "two replies"): ("delivered", 250, "250 x"),
    ("starttls", "two replies"): ("deferred", 0, "injection"),
    # before a handshake nothing is overlooked
    ("starttls", "bare LF"): BROKEN,
    ("greeting", "reset"): ("deferred", 0, "connect"),
}


def expected(place, event):
    if place == "quit":
        return ("delivered", 250, "kept")  # whatever it says to goodbye
    return OTHERWISE.get((place, event), EVENTS[event][1])


def in_doubt(step, what):
    """The server has it all, and said neither yes nor no; 421 is said of the
    server alone (RFC 5321, 3.8)."""
    return step == "final" and what[0] == "deferred" and \
        (what[1] in (0, 421) or "protocol error" in what[2])


def script(place, event):
    session, at, _, _ = PLACES[place]
    steps = []
    for exchange in session[:at]:
        steps += exchange.what + [exchange.good()]
    steps += session[at].what
    steps += EVENTS[event][0](session[at].code.encode("ascii"))
    if expected(place, event) is not GOOD:
        return steps + ([] if event in ("close", "close in a reply", "reset")
                        else [drain()])
    for exchange in session[at + 1:]:
        steps += exchange.what + [exchange.good()]
    return steps + [eof()]


def judge(t, run, place, event):
    session, at, _, to = PLACES[place]
    what = expected(place, event) or ("delivered", 250, "")
    first = {"first of lmtp": 0, "second of lmtp": 1}.get(place, 0)
    step = session[at].step if place != "quit" else "final"
    if expected(place, event) is GOOD:
        step = "final"
    rows = {x["recipient"]: x for x in run.outcomes}
    equal(sorted(rows), sorted(to), "recipients with an outcome")
    equal(len(run.outcomes), len(to), "outcomes")
    # a reset that quick may already meet the end of connect()
    free = event == "two replies" or (place, event) == ("greeting", "reset")
    for i, recipient in enumerate(to):
        if i < first:
            t.outcome(run, "delivered", code=250, recipient=recipient)
            continue
        if place == "first of lmtp" and i == 1 and \
                event in ("499", "599", "299", "two replies"):
            continue  # it has a reply of its own; h_lmtp_replies has them
        doubt = in_doubt(step, what) or (place == "first of lmtp" and i == 1
                                         and event == "421")
        t.outcome(run, what[0], code=what[1], reply=what[2],
                  recipient=recipient, in_doubt=doubt,
                  step=None if free else step)


# What the parser alone decides is shown at four places, for the sake of time.
PARSED = ("NUL in the code", "NUL after the code", "8-bit digits",
          "NUL and 8-bit in the text", "bare CR", "line without end",
          "line of 4096 octets", "line of 4097 octets", "512 lines", "64 KiB",
          "000", "199", "600", "close in a reply")
TOLD_BY_THE_PARSER = ("greeting", "ehlo in tls", "mail", "final")

# What is the same code as at another place, and gets no more than these.
ALIKE = ("helo", "lhlo", "final in tls", "second of lmtp", "quit")
SHORT = ("close", "reset", "silence", "garbage", "dripping", "421", "499",
         "599", "299", "2yz for 3yz, or the reverse", "two replies",
         "reply without end")

ROWS = [("%s: %s" % (p, e), p, e) for p in PLACES for e in EVENTS
        if (p in TOLD_BY_THE_PARSER or e not in PARSED) and
        (p not in ALIKE or e in SHORT)]


@table(x for x in ROWS if EVENTS[x[2]][1] is not LATE)
def h_step(t, place, event):
    play(t, place, event)


@patient
@table(x for x in ROWS if EVENTS[x[2]][1] is LATE)
def h_step_late(t, place, event):
    play(t, place, event)


def play(t, place, event):
    _, _, options, to = PLACES[place]
    server = t.serve(script(place, event))
    run = t.deliver(server, *options, to=to, step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.scripts_held()
    judge(t, run, place, event)
    if expected(place, event) is not GOOD and event != "two replies" and \
            place != "first of lmtp":
        taken = server.connections[0].taken
        if taken not in (b"", b"QUIT\r\n"):
            raise AssertionError("after %s: %r" % (event, taken))
