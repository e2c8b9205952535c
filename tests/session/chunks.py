# SPDX-License-Identifier: ISC
"""S-129 to S-133, S-142: BDAT, alone and in flights of several messages."""
import re
import threading
import time

from harness import DELIVERED, FAILED, MESSAGE, equal, holds, lacks
from server import (GREETING, Closed, ScriptError, bye, close, data, drain,
                    line, lines_of, mail_from, octets_of, opened,
                    quiet, rcpt_to, say)

THREE = ("b@example.org", "c@example.org", "d@example.org")
BOTH = ("PIPELINING", "CHUNKING")
LARGE = b"Subject: large\r\n\r\n" + (b"." * 78 + b"\r\n") * 4000

ONE = """
transport one {
	protocol = %s
	server = "%s"
	tls_security_level = none
	destination_concurrency_limit = 1
	connection_idle_time = 20s
	quit_timeout = 2s
}
route "*" {
	transport = one
}
"""


def chunk(last=None):
    """BDAT and its octets; the last ends a message."""
    def step(c):
        got = re.fullmatch(r"BDAT (\d+)( LAST)?", c.read_line())
        if got is None or (last is not None and bool(got[2]) != last):
            raise ScriptError("expected BDAT%s, got %r" % (
                " LAST" if last else "", c.lines[-1]))
        c.taken += octets_of(c, int(got[1]))
        if got[2]:
            c.messages.append(c.taken)
            c.taken = b""
    return step


def flown(*finals):
    """One message, alone or in a flight: the text of the first comes once the
    recipient is accepted."""
    return [line("MAIL .*"), line("RCPT .*"), say("250 ok", "250 ok"),
            chunk(True), say(*(finals or ("250 2.0.0 in",)))]


def proven(t, *steps):
    """A daemon whose server has taken one message by BDAT, so that what comes
    next leaves in a flight, and then goes by these steps."""
    server = t.serve([opened(*BOTH), flown()] + list(steps))
    daemon = t.daemon(ONE % ("smtp", server.name))
    t.outcome(daemon.send(), "delivered")
    return server, daemon


def s_129_not_offered_not_used(t):
    server = t.serve([opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
                      line("DATA"), say("250 ok", "250 ok", "354 go"),
                      data()[2:], bye()])
    t.delivered(t.deliver(server))
    lacks("BDAT", " ".join(server.connections[0].lines), "commands")


def s_130_as_many_octets_as_they_are(t):
    text = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n.\r\n"
    server = t.serve([opened(*BOTH), flown(), bye()])
    t.delivered(t.deliver(server, message=text))
    equal(server.connections[0].messages, [text], "message")


def s_130_without_pipelining(t):
    server = t.serve([opened("CHUNKING"), line("MAIL .*"), quiet(),
                      say("250 ok"), line("RCPT .*"), quiet(), say("250 ok"),
                      chunk(True), quiet(), say("250 in"), bye()])
    t.delivered(t.deliver(server))
    equal(server.connections[0].messages, [MESSAGE], "message")


def s_130_the_size_is_that_of_the_chunk(t):
    server = t.serve([opened("SIZE", *BOTH), flown(), bye()])
    t.delivered(t.deliver(server, message=b"no end of a line"))
    holds("SIZE=18$", server.connections[0].lines[1], "MAIL")
    equal(server.connections[0].messages, [b"no end of a line\r\n"])


def h_discard_ehlo_keywords(t):
    """The keywords of a broken server, in whatever case."""
    server = t.serve([opened("SIZE", *BOTH), mail_from("<a@example.net>"),
                      rcpt_to(), data(), drain()])
    daemon = t.daemon(ONE.replace(
        "quit_timeout", 'discard_ehlo_keywords = {"chunking", size, '
        "PIPELINING}\n\tquit_timeout") % ("smtp", server.name))
    t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def s_131_rset_after_a_failed_bdat(t):
    server = t.serve([opened(*BOTH), flown("554 5.6.0 no"), line("RSET"),
                      say("250 2.0.0 ok"), flown(), drain()])
    daemon = t.daemon(ONE % ("smtp", server.name))
    t.outcome(daemon.send(), "failed", code=554, step="final")
    t.outcome(daemon.send(to=("c@example.org",)), "delivered", code=250)
    daemon.stop()
    t.scripts_held()
    lacks("DATA", " ".join(server.connections[0].lines), "commands")


def s_132_no_payload_for_nobody(t):
    server = t.serve([opened("CHUNKING"), mail_from(),
                      rcpt_to("550 5.1.1 no b"), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="no b")


def s_132_batched_all_replies_are_read(t):
    _, daemon = proven(t, line("MAIL .*"), line("RCPT .*"),
                       line("RCPT .*"), chunk(True), say("250 ok"), quiet(),
                       say("550 5.1.1 no b", "550 5.1.1 no c"), quiet(),
                       say("554 5.5.1 no valid recipients"), drain())
    run = daemon.send(to=THREE[:2])
    daemon.stop()
    t.scripts_held()
    for to in THREE[:2]:
        t.outcome(run, "failed", code=550, step="rcpt", recipient=to,
                  exit_status=FAILED)


def s_132_mail_refused_in_the_batch(t):
    _, daemon = proven(t, line("MAIL .*"), line("RCPT .*"), chunk(True),
                       say("550 5.7.1 not you"), quiet(),
                       say("503 5.5.1 MAIL first", "503 5.5.1 RCPT first"),
                       drain())
    run = daemon.send()
    daemon.stop()
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="mail", reply="not you")


def s_133_a_large_message_in_chunks(t):
    seen = []

    def all_of_it(c):
        while not c.messages:
            chunk()(c)
            seen.append(len(c.taken))
            say("250 2.0.0 on")(c)

    server = t.serve([opened("SIZE", *BOTH), line("MAIL .*"),
                      line("RCPT .*"), say("250 ok", "250 ok"), all_of_it,
                      bye()])
    t.delivered(t.deliver(server, message=LARGE))
    equal(server.connections[0].messages == [LARGE], True, "the message")
    equal(len(seen) > 1, True, "several chunks")


def s_133_the_first_that_fails_stops_the_rest(t):
    for keywords in (BOTH, ("CHUNKING",)):
        server = t.serve([
            opened(*keywords), line("MAIL .*"), say("250 ok"),
            line("RCPT .*"), say("250 ok"), chunk(False),
            say("552 5.3.4 enough"), stopped])
        run = t.deliver(server, message=LARGE * 20)
        t.scripts_held()
        t.outcome(run, "failed", code=552, reply="enough")
        equal(server.connections[0].messages, [], "messages")


def stopped(c):
    """Chunks that were under way are refused; then comes QUIT."""
    while True:
        words = c.read_line().split(" ")
        if words[0] == "QUIT":
            say("221 bye")(c)
            return
        octets_of(c, int(words[1]))
        if words[-1] == "LAST":
            raise ScriptError("the end of a message that had failed")
        say("503 5.5.1 it failed")(c)


def s_133_421_in_the_middle(t):
    server = t.serve([
        opened(*BOTH), line("MAIL .*"), line("RCPT .*"),
        say("250 ok", "250 ok"), chunk(False), say("421 4.3.2 down"),
        close()])
    run = t.deliver(server, message=LARGE * 20)
    t.scripts_held()
    t.outcome(run, "deferred", code=421, reply="down")


def s_142_one_reply_for_each_recipient(t):
    server = t.serve([
        opened(*BOTH, verb="LHLO"), line("MAIL .*"), [line("RCPT .*")] * 3,
        say("250 ok", "250 ok", "550 5.1.1 no c", "250 ok"), chunk(True),
        say("250 2.0.0 for b"), quiet(), say("452 4.2.2 full d"), bye()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", reply="for b", recipient=THREE[0])
    t.outcome(run, "failed", step="rcpt", reply="no c", recipient=THREE[1])
    t.outcome(run, "deferred", code=452, reply="full d", recipient=THREE[2])


# Flights.

class Host:
    """An honest server with CHUNKING that notes who came how far.

    Lost after so many octets of messages received, or of replies sent.
    """

    def __init__(self, lmtp, received=None, sent=None):
        self.lmtp = lmtp
        self.verb = "LHLO" if lmtp else "EHLO"
        self.received = received
        self.sent = sent
        self.begun = set()    # RCPT came
        self.whole = set()    # the last octet came
        self.told = set()     # its reply has left
        self.reads = 0        # pauses between what came and what we say
        self.ready = threading.Event()

    def _say(self, c, *replies):
        octets = b"".join(x.encode("ascii") + b"\r\n" for x in replies)
        if self.sent is None:
            c.write(octets)
            return
        c.write(octets[:self.sent])
        if len(octets) > self.sent:
            raise EOFError
        self.sent -= len(octets)

    def _fill(self, c):
        if not c.receive():
            raise Closed("closed by the client")
        if self.received is not None:
            extra = len(c.pending) - self.received
            if extra >= 0:
                c.pending = c.pending[:self.received]
                self.received = None
                self.ended = True

    def _need(self, c, n):
        while len(c.pending) < n:
            if self.ended:
                raise EOFError
            self._fill(c)
        taken, c.pending = c.pending[:n], c.pending[n:]
        if self.received is not None:
            self.received -= n
        return taken

    def _line(self, c):
        while b"\r\n" not in c.pending:
            if self.ended:
                raise EOFError
            self._fill(c)
        return self._need(c, c.pending.index(b"\r\n") + 2)[:-2].decode()

    def __call__(self, c):
        self.ready.wait(30)
        c.write(GREETING.encode() + b"\r\n")
        line(self.verb + " .*")(c)
        say(*lines_of(250, "mail.test", *BOTH))(c)
        self.ended = False
        try:
            self._serve(c)
        except EOFError:
            c.note("the connection is lost here")
            c.sock.shutdown(1)
            while c.receive():
                pass

    def _serve(self, c):
        rcpts = []
        while True:
            if not c.pending:
                self.reads += 1
            words = self._line(c).split(" ")
            if words[0] == "QUIT":
                self._say(c, "221 bye")
                return
            if words[0] == "MAIL":
                rcpts = []
            elif words[0] == "RCPT":
                rcpts.append(words[1][4:-1])
                self.begun.add(rcpts[-1])
            if words[0] != "BDAT":
                self._say(c, "250 ok")
                continue
            self._need(c, int(words[1]))
            self.whole.update(rcpts)
            for to in rcpts if self.lmtp else ["all"]:
                self._say(c, "250 2.0.0 in")
                self.told.update(rcpts if to == "all" else [to])


def fly(t, hosts, lmtp, messages):
    """Messages to two recipients each, that wait till the server greets."""
    server = t.serve(*[[x] for x in hosts], optional=len(hosts) - 1)
    daemon = t.daemon("broken_server_time = 0\n" + ONE % (
        "lmtp" if lmtp else "smtp", server.name))
    runs = []
    threads = [threading.Thread(target=lambda n=n: runs.append(daemon.send(
        to=("u%d@example.org" % n, "v%d@example.org" % n))))
        for n in range(messages)]
    for x in threads:
        x.start()
    until = time.monotonic() + 20
    while time.monotonic() < until and \
            daemon.said().count("queue active") < messages:
        time.sleep(0.05)
    for x in hosts:
        x.ready.set()
    for x in threads:
        x.join()
    daemon.stop()
    t.scripts_held()
    rows = {x["recipient"]: x for r in runs for x in r.outcomes}
    equal(len(rows), 2 * messages, "recipients with an outcome")
    return rows


def h_flights_grow(t):
    for lmtp in (False, True):
        host = Host(lmtp)
        rows = fly(t, [host], lmtp, 30)
        equal({x["status"] for x in rows.values()}, {"delivered"}, "statuses")
        # 1, 2, 4, 8 and 15, were none of them late; 60 without flights
        if host.reads > 40:
            raise AssertionError("%d round trips for 30 messages"
                                 % host.reads)


def lost(t, lmtp, **where):
    first, second = Host(lmtp, **where), Host(lmtp)
    for to, row in fly(t, [first, second], lmtp, 12).items():
        status, doubt = row["status"], bool(row["in_doubt"])
        what = "%s, lost at %r" % (to, where)
        if to in first.told:
            equal((status, doubt), ("delivered", False), what)
            equal(to in second.whole, False, what + ": twice")
        elif to in first.whole:
            equal((status, doubt), ("deferred", True), what)
            equal(to in second.whole, False, what + ": twice")
        elif to in second.told:
            equal((status, doubt), ("delivered", False), what)
            equal(to in first.begun, False, what + ": of whom some had come")
        else:
            equal(status, "deferred", what)


def h_lost_after_octets_of_a_flight(t):
    for n in (1, 20, 95, 240, 371, 512, 690, 933, 1200, 1400):
        lost(t, False, received=n)


def h_lost_after_octets_of_a_flight_lmtp(t):
    for n in (40, 130, 300, 444, 600, 811, 1015, 1311):
        lost(t, True, received=n)


def h_lost_after_octets_of_the_replies(t):
    for n in (1, 8, 30, 38, 39, 77, 115, 190, 260, 300):
        lost(t, False, sent=n)


def h_lost_after_octets_of_the_replies_lmtp(t):
    for n in (24, 38, 40, 53, 100, 152, 200, 390):
        lost(t, True, sent=n)


def h_a_refused_message_does_not_spoil_the_others(t):
    """The server stays in the failed transaction until RSET."""
    state = {"mail": False}

    def serve(c):
        host.ready.wait(30)
        c.write(GREETING.encode() + b"\r\n")
        line("EHLO .*")(c)
        say(*lines_of(250, "mail.test", *BOTH))(c)
        while True:
            words = c.read_line().split(" ")
            answer = "250 ok"
            if words[0] == "BDAT":
                octets_of(c, int(words[1]))
            if words[0] == "QUIT":
                say("221 bye")(c)
                return
            if words[0] == "MAIL":
                answer = "503 5.5.1 nested" if state["mail"] else answer
                state["open"] = not state["mail"]
                state["mail"] = True
            elif words[0] == "RSET":
                state["mail"] = False
            elif not state["open"]:
                answer = "503 5.5.1 no"
            elif words[0] == "RCPT":
                state["to"] = words[1][4:-1]
            elif state["to"].startswith("v5"):
                answer, state["open"] = "554 5.6.0 spam", False
            else:
                host.whole.add(state["to"])
                state["mail"] = False
            say(answer)(c)

    host = Host(False)
    host.__class__ = type("Stubborn", (Host,),
                          {"__call__": lambda self, c: serve(c)})
    rows = fly(t, [host], False, 12)
    for to, row in rows.items():
        equal(row["status"], "failed" if to[1:3] == "5@" else "delivered", to)


def h_mailmax(t):
    """RFC 9422: the third message gets a connection of its own."""
    server = t.serve(*[[opened("LIMITS MAILMAX=2 RCPTMAX=100", *BOTH),
                        flown(), flown(), bye()]] * 2, optional=1)
    daemon = t.daemon(ONE % ("smtp", server.name))
    for _ in range(4):
        equal(daemon.send().status, DELIVERED, "exit status")
    daemon.stop()
    t.scripts_held()
