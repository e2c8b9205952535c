# SPDX-License-Identifier: ISC
"""Servers that mean no good while the message goes over, and odd messages."""
import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time

from harness import (BUILD, FAILED, MESSAGE, Jobs, equal, holds, lacks,
                     patient, table)
from server import (GREETING, bye, close, data, drain, drip, flood, hello,
                    honest, line, mail_from, message, octets, opened, pause,
                    push, raw, rcpt_to, reset, say, transaction, trickle,
                    upgrade, whole)

STEP_S = 1
SLACK_S = 8
THREE = ("b@example.org", "c@example.org", "d@example.org")
# 8 MB: more than the buffers of a socket that is not read take (tcp_wmem)
HUGE = b"Subject: big\r\n\r\n" + (b"z" * 76 + b"\r\n") * 102000

ONE = """
transport one {
	server = "%s"
	%s
	tls_security_level = none
	destination_concurrency_limit = 1
	connection_idle_time = 20s
	quit_timeout = 2s
}
route "*" {
	transport = one
}
"""


def narrow(c):
    """Let little into the buffers that are not read."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def sip(n, pause_s, most_s=20):
    """Read so many octets now and then, until the client has enough."""
    def step(c):
        until = time.monotonic() + most_s
        try:
            while time.monotonic() < until and c.sock.recv(n):
                time.sleep(pause_s)
        except OSError as e:
            c.note("the client had enough: %s" % e)
    return step


def urgent(octet):
    return lambda c: c.sock.send(octet, socket.MSG_OOB)


def half_close(c):
    c.sock.shutdown(socket.SHUT_WR)


LATE = ("deferred", 0, "body", "timed out")
LOST = ("deferred", 0, "body", "connection (closed|lost)")
WRONG = ("deferred", None, "body", "protocol error")

# label, what the server does behind 354, what comes of it, options
BODIES = (
    ("never read", [pause(2.5)], LATE),
    ("one octet a second", [sip(1, 1, 3)], LATE),
    ("slow but steady", [sip(100000, 0.1)],
     ("deferred", 0, "body", "session's time is up"), ("--timeout", "3")),
    ("552 and never read", [say("552 5.3.4 enough"), pause(1)],
     ("failed", 552, "body", "enough")),
    ("552 in the middle", [octets(50000), say("552 5.3.4 enough"),
                           pause(0.3)], ("failed", 552, "body", "enough")),
    ("552 and close", [octets(50000), say("552 5.3.4 enough"), close()],
     ("failed", 552, "body", "enough")),
    ("552 in pieces", [octets(50000), trickle(b"552-5.3.4 not\r\n552 5.3.4 "
                                              b"enough\r\n"), pause(0.3)],
     ("failed", 552, "body", "enough")),
    ("452 and close", [octets(50000), say("452 4.3.1 full"), close()],
     ("deferred", 452, "body", "full")),
    ("421 and close", [octets(50000), say("421 4.3.2 going"), close()],
     ("deferred", 421, "body", "going")),
    ("250 too early", [octets(50000), say("250 2.0.0 kept"), pause(0.3)],
     WRONG),
    ("250 before anything", [say("250 2.0.0 kept"), pause(0.3)], WRONG),
    ("354 again", [octets(50000), say("354 more"), pause(0.3)], WRONG),
    ("garbage", [octets(50000), push(b"what?\r\n"), pause(0.3)], WRONG),
    ("NUL", [octets(50000), push(b"\0\r\n\0\r\n"), pause(0.3)], WRONG),
    ("000", [octets(50000), push(b"000 x\r\n"), pause(0.3)], WRONG),
    ("999", [octets(50000), push(b"999 x\r\n"), pause(0.3)], WRONG),
    ("replies without end", [flood(b"250-more\r\n", 20000), pause(0.3)],
     WRONG),
    ("a line without end", [flood(b"2" * 65536, 50), pause(0.3)], WRONG),
    ("half a reply, and silence", [octets(50000), raw(b"55"), pause(2.5)],
     LATE),
    ("dripping reply", [octets(50000), drip(b"552-x\r\n" * 9, 0.1)], LATE),
    ("half a reply, and close", [octets(50000), raw(b"552 no"), close()],
     LOST),
    ("close", [octets(50000), close()], LOST),
    ("reset", [octets(50000), reset()], LOST),
    ("close of one direction", [octets(50000), half_close, pause(0.5)], LOST),
)


def body(t, before, steps, what, options, size):
    server = t.serve([before, mail_from(), rcpt_to(), line("DATA"), narrow,
                      say("354 go"), steps])
    run = t.deliver(server, *options, message=size, step=STEP_S)
    t.unharmed(run)
    t.within(run, 4 * STEP_S + SLACK_S)
    t.scripts_held()
    status, code, step, words = what
    t.outcome(run, status, code=code, step=step, reply=words)
    equal(b"\r\n.\r\n" in server.connections[0].taken, False, "the dot")


@patient
@table(BODIES)
def h_body(t, steps, what, options=()):
    body(t, opened(), steps, what, options, HUGE)


@patient
@table(x for x in BODIES if x[0] in (
    "never read", "552 and never read", "552 in the middle", "250 too early",
    "replies without end", "reset", "close of one direction"))
def h_body_in_tls(t, steps, what, options=()):
    if half_close in steps:
        steps = [octets(50000), lambda c: socket.socket.shutdown(
            c.sock, socket.SHUT_WR), pause(0.5)]
    body(t, [opened("STARTTLS"), upgrade(), hello()], steps, what,
         options + ("--tls", "encrypt"), HUGE)


def h_body_is_whole_and_half_closed(t):
    """The server has it all, says nothing, and reads on."""
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go"), message(), half_close, drain()])
    run = t.deliver(server, step=STEP_S)
    t.unharmed(run)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True)


def h_urgent_octets(t):
    """Out of band, at each step: they are no part of any reply."""
    server = t.serve([
        urgent(b"!"), opened(), urgent(b"!"), mail_from(), urgent(b"!"),
        rcpt_to(), urgent(b"!"), data(), urgent(b"!"), bye()])
    run = t.deliver(server)
    t.unharmed(run)
    t.delivered(run)


# Replies that answer nothing.

@table((
    ("behind the greeting", 0), ("behind EHLO", 1), ("behind MAIL", 2),
    ("behind RCPT", 3), ("behind DATA", 4), ("behind the last", 5)))
def h_replies_to_nothing(t, at):
    """Ten replies where one belongs, all of them in one segment."""
    steps = [([], "220 mail.test"), ([line("EHLO .*")], "250 mail.test"),
             ([line("MAIL .*")], "250 ok"), ([line("RCPT .*")], "250 ok"),
             ([line("DATA")], "354 go"), ([message()], "250 kept")]
    script = [(what, say(reply)) for what, reply in steps[:at]]
    script += [steps[at][0], say(*[steps[at][1]] * 10), drain()]
    server = t.serve(script)
    run = t.deliver(server, step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.scripts_held()
    if at == 5:
        t.outcome(run, "delivered", code=250, step="final")
        return
    t.outcome(run, "deferred", reply="protocol error")
    lacks(r"\r\n\.\r\n", server.connections[0].clear.decode(), "the wire")


@table((("a reply", b"250 hm\r\n"), ("garbage", b"\0\xffhm\r\n"),
        ("a goodbye", b"421 4.3.2 going\r\n"), ("half a line", b"25"),
        ("lines without end", b"250-x\r\n" * 20000)))
def h_idle_session_gets(t, extra):
    """The next message goes over another connection, and is not late."""
    server = t.serve([opened(), transaction(), pause(0.2), push(extra),
                      drain()], whole(), optional=1)
    daemon = t.daemon(ONE % (server.name, "mail_timeout = 1s"))
    t.outcome(daemon.send(), "delivered", code=250)
    time.sleep(0.7)
    run = daemon.send(to=("c@example.org",))
    lacks("signal|died", daemon.said(), "log")
    daemon.stop()
    t.outcome(run, "delivered", code=250)


# RSET: a session that was refused a message, and gets the next.

@patient
@table((
    ("close", [close()]), ("reset", [reset()]), ("silence", [drain()]),
    ("garbage", [push(b"what\r\n"), drain()]),
    ("NUL", [push(b"\x00250 ok\r\n"), drain()]),
    ("bare LF in the code", [push(b"25\n0 ok\r\n"), drain()]),
    ("reply without end", [flood(b"250-x\r\n", 20000), drain()]),
    ("line without end", [flood(b"2" * 65536, 10), drain()]),
    ("513 lines", [push(b"250-x\r\n" * 512 + b"250 x\r\n"), drain()]),
    ("dripping", [drip(b"250-x\r\n" * 9), drain()]),
    ("251", [say("251 x"), drain()]), ("299", [say("299 x"), drain()]),
    ("354", [say("354 x"), drain()]), ("421", [say("421 x"), drain()]),
    ("499", [say("499 x"), drain()]), ("599", [say("599 x"), drain()]),
    ("600", [push(b"600 x\r\n"), drain()]),
    ("two codes", [push(b"250-x\r\n251 x\r\n"), drain()]),
    ("two replies", [push(b"250 x\r\n250 x\r\n"), drain()],
     ("deferred", 0, "protocol error")),
))
def h_rset(t, steps, what=("delivered", 250, None)):
    """The message was not begun there: another connection has it."""
    server = t.serve([opened(), mail_from(), rcpt_to("550 5.1.1 no"),
                      line("RSET"), steps], whole(),
                     optional=what[0] == "deferred")
    daemon = t.daemon(ONE % (server.name, "mail_timeout = 1s"))
    t.outcome(daemon.send(), "failed", code=550)
    run = daemon.send(to=("c@example.org",))
    lacks("signal|died", daemon.said(), "log")
    t.within(run, 2 * STEP_S + SLACK_S)
    daemon.stop()
    t.scripts_held()
    t.outcome(run, what[0], code=what[1], reply=what[2])


# LMTP.

YES = ("delivered", 250, False)
DOUBT = ("deferred", 0, True)

REPLIES = (
    # label, the server behind the dot, (status, code, in doubt) of each
    ("none, and silence", [drain()], (DOUBT,) * 3),
    ("none, and close", [close()], (DOUBT,) * 3),
    ("one, and silence", [say("250 b"), drain()], (YES, DOUBT, DOUBT)),
    ("two, and silence", [say("250 b", "250 c"), drain()],
     (YES, YES, DOUBT)),
    ("two, and close", [say("250 b", "250 c"), close()], (YES, YES, DOUBT)),
    ("two and a half, and close", [say("250 b", "250 c"), raw(b"250 d"),
                                   close()], (YES, YES, DOUBT)),
    ("two, and reset", [say("250 b", "250 c"), pause(0.3), reset()],
     (YES, YES, DOUBT)),
    ("four", [say("250 b", "250 c", "250 d", "250 e"), drain()], (YES,) * 3),
    ("a thousand", [push(b"250 x\r\n" * 1000), drain()], (YES,) * 3),
    ("of another order", [say("550 5.1.1 <d@example.org> no",
                              "250 <c@example.org>", "250 <b@example.org>"),
                          bye()],
     (("failed", 550, False), YES, YES)),
    ("all sorts", [say("250 b", "452 c", "550 d"), bye()],
     (YES, ("deferred", 452, False), ("failed", 550, False))),
    ("many lines each", [say("250-b", "250 b", "452-c", "452 c", "550-d",
                             "550 d"), bye()],
     (YES, ("deferred", 452, False), ("failed", 550, False))),
    ("split at every octet", [trickle(b"250-b\r\n250 b\r\n452 c\r\n550 d\r\n"),
                              bye()],
     (YES, ("deferred", 452, False), ("failed", 550, False))),
    ("354 in the middle", [say("250 b", "354 c", "250 d"), drain()],
     (YES, ("deferred", 354, True), ("deferred", 354, True))),
    ("garbage in the middle", [say("250 b", "what", "250 d"), drain()],
     (YES, DOUBT, DOUBT)),
    ("421 in the middle", [say("250 b", "421 4.3.2 c"), drain()],
     (YES, ("deferred", 421, True), ("deferred", 421, True))),
    ("another code in a line", [say("250 b", "250-c", "550 c"), drain()],
     (YES, DOUBT, DOUBT)),
    ("dripping", [say("250 b"), drip(b"250-c\r\n" * 9)],
     (YES, DOUBT, DOUBT)),
    ("without end", [say("250 b"), flood(b"250-c\r\n", 20000), drain()],
     (YES, DOUBT, DOUBT)),
)


@patient
@table(REPLIES)
def h_lmtp_replies(t, steps, wanted):
    server = t.serve([opened(verb="LHLO"), mail_from(), rcpt_to(), rcpt_to(),
                      rcpt_to(), data()[:-1], steps])
    run = t.deliver(server, "--lmtp", to=THREE, step=STEP_S)
    t.unharmed(run)
    t.within(run, 3 * STEP_S + SLACK_S)
    t.scripts_held()
    equal(len(run.outcomes), 3, "outcomes")
    for to, (status, code, doubt) in zip(THREE, wanted):
        t.outcome(run, status, code=code, step="final", in_doubt=doubt,
                  recipient=to)
    words = [x[0] for x in wanted]
    equal(run.status, 75 if "deferred" in words else
          69 if "failed" in words else 0, "exit status")


@table((("all with 354", b"354 go\r\n250 b\r\n250 c\r\n250 d\r\n"),
        ("one with 354", b"354 go\r\n250 b\r\n")))
def h_lmtp_replies_too_early(t, octets_):
    server = t.serve([opened(verb="LHLO"), mail_from(), rcpt_to(), rcpt_to(),
                      rcpt_to(), line("DATA"), raw(octets_), drain()])
    run = t.deliver(server, "--lmtp", to=THREE, step=STEP_S)
    t.unharmed(run)
    equal([x["status"] for x in run.outcomes], ["deferred"] * 3, "statuses")
    lacks(r"\r\n\.\r\n", server.connections[0].clear.decode(), "the wire")


# Many messages.

def processes(daemon):
    out = subprocess.run(
        [os.path.join(BUILD, "postern"), "status", "--json", "-c",
         daemon.config], capture_output=True, check=False, timeout=20).stdout
    return [json.loads(x) for x in out.decode().splitlines()
            if x.startswith("{")]


def worker_pss_kib(daemon):
    """Of the largest worker, or None."""
    found = [int(m.group(1)) for row in processes(daemon)
             if row.get("role") == "worker" for m in
             [re.search(r"pss_kib=(\d+)", row.get("layers", ""))] if m]
    return max(found, default=None)


def h_replies_that_grow(t):
    """Of 25 messages on one connection, each reply is larger by 2 KiB."""
    def step(c):
        c.write(GREETING.encode() + b"\r\n")
        n = 0
        while True:
            verb = c.read_line()[:4]
            if verb == "QUIT":
                return
            if verb == "MAIL":
                n += 1
            code = b"354" if verb == "DATA" else b"250"
            c.write((code + b"-" + b"x" * 1000 + b"\r\n") * (2 * n) + code +
                    b" x\r\n")
            if verb == "DATA":
                message()(c)
                c.write((b"250-" + b"y" * 1000 + b"\r\n") * (2 * n) +
                        b"250 kept\r\n")
    server = t.serve([step, drain()])
    daemon = t.daemon(ONE % (server.name, ""))
    jobs = Jobs(daemon.job)
    sizes = []
    for i in range(25):
        jobs.send(MESSAGE, "r%d@example.org" % i)
        equal(jobs.outcome()["status"], "delivered", "message %d" % i)
        if i in (0, 24):
            sizes.append(worker_pss_kib(daemon))
    daemon.stop()
    t.scripts_held()
    equal(len(server.connections[0].messages), 25, "messages")
    if None not in sizes and sizes[1] > sizes[0] + 256:
        raise AssertionError("the worker grew: %r KiB" % sizes)


def h_50_mb_do_not_grow_the_worker(t):
    """The server takes it slowly, so that the worker can be looked at."""
    sizes = []
    text = b"Subject: large\r\n\r\n" + (b"q" * 98 + b"\r\n") * 500000
    got = []

    def take(c):
        total, tail, lines = 0, b"", 0
        c.sock.settimeout(30)
        while not tail.endswith(b"\r\n.\r\n"):
            piece = c.sock.recv(1 << 20)
            if not piece:
                return
            total += len(piece)
            lines += piece.count(b"\n")
            tail = (tail + piece)[-5:]
            if len(sizes) < 6 and total > 5000000 * (len(sizes) + 1):
                sizes.append(worker_pss_kib(daemon))
        got.append((total, lines))
        c.write(b"250 kept\r\n")

    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go"), take, drain()])
    daemon = t.daemon(ONE % (server.name, ""))
    run = daemon.send(message=text)
    daemon.stop()
    t.scripts_held()
    t.outcome(run, "delivered", code=250)
    equal(got, [(len(text) + 3, 500002 + 1)], "octets and lines")
    if not sizes or None in sizes:
        raise AssertionError("no worker was seen: %r" % sizes)
    if max(sizes) > 2048 or max(sizes) > sizes[0] + 256:
        raise AssertionError("KiB of the worker: %r" % sizes)


# What is in a message.

def as_it_arrives(text):
    """postern-job(5): CRLF, LF and CR end lines, and the last one is ended."""
    lines = re.sub(rb"\r\n|\r|\n", b"\n", text).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join(x + b"\r\n" for x in lines)


def as_it_stands_on_the_wire(text):
    return b"".join((b"." if x.startswith(b".") else b"") + x + b"\r\n"
                    for x in as_it_arrives(text).split(b"\r\n")[:-1])


def strings(least, most, of=(b"\r", b"\n", b".", b"a")):
    for n in range(least, most + 1):
        for x in itertools.product(of, repeat=n):
            yield b"".join(x)


def round_a_dot():
    for x in strings(4, 4):
        yield x[:2] + b"." + x[2:]


EVIL = b"MAIL FROM:<evil@example.net>\r\n"

PLACES = (
    ("alone", strings(0, 4), b"", b""),
    ("at the start", strings(1, 4), b"", b"t\r\n"),
    ("in a line", strings(1, 4), b"h", b"t\r\n"),
    ("between lines", strings(1, 4), b"h\r\n", EVIL),
    ("at the end", strings(1, 4), b"h\r\nt", b""),
    ("of five at the start", round_a_dot(), b"", b"t\r\n"),
    ("of five in the middle", round_a_dot(), b"h\r\nh", EVIL),
    ("of five at the end", round_a_dot(), b"h\r\nt", b""),
)


@table(PLACES)
def h_line_ends(t, middles, before, behind):
    """Each string makes one message, and only that, octet for octet."""
    server = t.serve([honest()])
    daemon = t.daemon(ONE % (server.name, "messages_per_connection_limit = 0"))
    jobs = Jobs(daemon.job)
    texts = [before + x + behind for x in middles]
    for i, text in enumerate(texts):
        jobs.send(text, "r%d@example.org" % i)
        equal(jobs.outcome()["status"], "delivered", repr(text))
    daemon.stop()
    t.scripts_held()
    c = server.connections[0]
    equal(len(c.messages), len(texts), "messages")
    equal([x for x in c.lines if x.startswith("RCPT")],
          ["RCPT TO:<r%d@example.org>" % i for i in range(len(texts))],
          "recipients")
    equal(len([x for x in c.lines if x.startswith("MAIL")]), len(texts),
          "transactions")
    for text, got in zip(texts, c.messages):
        equal(got, as_it_stands_on_the_wire(text), "of %r" % text)


@table((
    ("empty", b""), ("no end of its line", b"Subject: x\r\n\r\nend"),
    ("a dot", b"."), ("dots", b"." * 5000), ("lines of dots", b".\r\n" * 5000),
    ("line of 998 octets", b"x" * 998 + b"\r\n"),
    ("line of 999 octets", b"x" * 999 + b"\r\n"),
    ("line of 1 MB", b"x" * 1000000 + b"\r\n"),
    ("line of 1 MB of dots", b"." * 1000000),
    ("a line end at each border", b"".join(
        b"y" * n + b"\r\n." for n in range(1, 600))),
    ("LF at each border", b"".join(b"y" * n + b"\n." for n in range(600))),
    ("CR at each border", b"".join(b"y" * n + b"\r." for n in range(600))),
    ("half a million CR", b"\r" * 500000),
    ("half a million LF", b"\n" * 500000),
    ("CR CR LF", b"a\r\r\nb\r\r\n.\r\r\n"),
    ("commands", b"\r\n.\nQUIT\r\n.\rRSET\n.\r\nDATA\n\r.\r\n"),
    ("control octets", bytes(range(1, 32)) * 100 + b"\x7f"),
))
def h_content(t, text):
    server = t.serve(whole())
    run = t.deliver(server, message=text, step=20)
    t.unharmed(run)
    t.delivered(run)
    got = server.connections[0].messages
    equal(len(got), 1, "messages")
    equal(got[0] == as_it_stands_on_the_wire(text), True, "its octets")


@table((("at the start", b"\0a\r\n"), ("in the middle", b"a\0b\r\n"),
        ("at the end", b"a\r\n\0"), ("far behind", b"a\r\n" * 50000 + b"\0")))
def h_nul(t, text):
    """Refused before anything is sent, with a reason."""
    server = t.serve()
    run = t.deliver(server, message=text)
    holds("NUL", run.stdout + run.stderr, "the reason")
    equal(run.status, FAILED, "exit status")
    equal(len(server.connections), 0, "connections")


@table((("8-bit text", bytes(range(128, 256)) * 40 + b"\r\n"),
        ("8-bit lines of 1 MB", b"\xff" * 1000000)))
def h_8bit(t, text):
    server = t.serve([honest("8BITMIME")])
    run = t.deliver(server, message=text, step=20)
    t.outcome(run, "delivered")
    equal(server.connections[0].messages, [as_it_stands_on_the_wire(text)])


def h_ten_sessions_at_once(t):
    """Nine servers that stall, and a tenth: its mail is not late."""
    stalled = [t.serve([say(GREETING), drain()]) for _ in range(9)]
    good = t.serve(whole())
    text = "".join(
        'transport t%d {\n\tserver = "%s"\n\ttls_security_level = none\n'
        '\thelo_timeout = 3s\n\tquit_timeout = 1s\n}\n'
        'route "d%d.example" {\n\ttransport = t%d\n}\n' % (i, s.name, i, i)
        for i, s in enumerate(stalled + [good]))
    daemon = t.daemon(text)
    runs = {}

    def go(i):
        runs[i] = daemon.send(to=("x@d%d.example" % i,))

    threads = [threading.Thread(target=go, args=(i,)) for i in range(10)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    daemon.stop()
    t.outcome(runs[9], "delivered")
    if runs[9].seconds > 2.5:
        raise AssertionError("late by %.1f s" % runs[9].seconds)
    for i in range(9):
        t.outcome(runs[i], "deferred", step="ehlo", reply="timed out")
