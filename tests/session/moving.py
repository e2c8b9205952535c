# SPDX-License-Identifier: ISC
"""A session that goes from one host of its plan to the next: what waits with
it, what crosses it, and what ends it meanwhile.

Those that have to listen on port 25 skip themselves where they may not.
"""
import os
import re
import signal
import threading
import time

from harness import Dns, equal, lacks, table
from resolve import MX, host
from server import (GREETING, Closed, drain, hello, honest, line, message, say,
                    whole)


def pair(t, first, second, extra="", tls_level="none"):
    """A daemon whose domain has an MX that does this, and one that does that.

    Each is one script for however many connections come.
    """
    a, one = host(t, *[first] * 60, optional=60)
    b, other = host(t, *[second] * 60, optional=60)
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (20, "b.test"))],
               "a.test": [("A", a)], "b.test": [("A", b)]})
    text = (MX % (dns.name, "yes")).replace("tls_security_level = none",
                                            "tls_security_level = " + tls_level)
    daemon = t.daemon(text.replace(
        "connect_timeout", extra + "connect_timeout"))
    return daemon, one, other


def until_it_says(daemon, pattern, times):
    until = time.monotonic() + 30
    while len(re.findall(pattern, daemon.said())) < times and \
            time.monotonic() < until:
        time.sleep(0.05)


class Gate:
    """A step: no server greets before so many messages are in the queue."""

    def __init__(self, n):
        self.n = n
        self.open = threading.Event()

    def __call__(self, c):
        self.open.wait(30)

    def watch(self, daemon):
        until_it_says(daemon, r"\(queue active\)", self.n)
        self.open.set()


def at_once(daemon, calls, gate=None):
    """Send them all, and wait for their outcomes."""
    runs = []
    threads = [threading.Thread(
        target=lambda how=how: runs.append(daemon.send(**how)))
        for how in calls]
    for x in threads:
        x.start()
    if gate is not None:
        gate.watch(daemon)
    for x in threads:
        x.join()
    return [row for run in runs for row in run.outcomes]


def unharmed(daemon):
    lacks("worker ended|worker process died|error: ", daemon.said(), "log")


@table((
    ("421", [say(GREETING), line("EHLO .*"),
             say("250 a.test", "421 4.3.2 too busy"), drain()]),
    ("its end", [say(GREETING), line("EHLO .*"),
                 lambda c: (c.write(b"250 a.test\r\n"),
                            c.sock.shutdown(1)), drain()]),
))
def s_155_a_host_that_ends_before_any_message(t, steps):
    """Behind its reply to EHLO, so that nothing was in hand yet."""
    daemon, _, other = pair(t, steps, [whole()],
                            "connection_idle_time = 0\n\t")
    t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    equal(sum(len(c.messages) for c in other.connections), 1, "messages")
    unharmed(daemon)


UTF8 = "\N{LATIN SMALL LETTER A WITH DIAERESIS}@example.org"


def s_155_what_a_host_lacks_for_one_of_a_flight(t):
    """The others have the message of the first host, that one of the next."""
    daemon, one, other = pair(
        t, [honest("PIPELINING", "CHUNKING", "8BITMIME")],
        [honest("SMTPUTF8", "8BITMIME")])
    for to in (("b@example.org",), ("b@example.org",), ("c@example.org", UTF8)):
        run = daemon.send(to=to)
        equal([x["status"] for x in run.outcomes], ["delivered"] * len(to),
              "statuses")
    daemon.stop()
    equal(sum(len(c.messages) for c in one.connections), 3, "of the first")
    equal(sum(len(c.messages) for c in other.connections), 1, "of the second")
    unharmed(daemon)


def tires(limit, *keywords):
    """Takes so many messages, and none for now from then on."""
    def final(_command, n):
        return "250 2.0.0 kept" if n <= limit else "451 4.3.0 not now"
    return honest(*keywords, BDAT=final, dot=final)


def s_155_one_that_waits_behind_a_flight(t):
    """It fits into no flight, and its descriptor is there: it moves as well."""
    gate = Gate(16)
    daemon, _, _ = pair(t, [gate, tires(14, "PIPELINING", "CHUNKING")],
                            [honest("PIPELINING", "CHUNKING")],
                            "destination_concurrency_limit = 1\n\t")
    big = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 2400
    rows = at_once(daemon, [{"message": big, "to": ("u%d@example.org" % i,)}
                            for i in range(16)], gate)
    daemon.stop()
    equal({x["status"] for x in rows}, {"delivered"}, "statuses")
    unharmed(daemon)


def s_155_many_that_cross(t):
    """More than the socket holds are on their way when the worker leaves."""
    gate = Gate(90)
    daemon, _, _ = pair(t, [gate, tires(50, "PIPELINING", "CHUNKING")],
                            [honest("PIPELINING", "CHUNKING")],
                            "destination_concurrency_limit = 1\n\t"
                            "destination_recipient_limit = 200\n\t")
    calls = [{"to": ["%s%d-%d@example.org" % ("r" * 230, i, j)
                     for j in range(50)]} for i in range(90)]
    rows = at_once(daemon, calls, gate)
    daemon.stop()
    equal({x["status"] for x in rows}, {"delivered"}, "statuses")
    unharmed(daemon)


def s_155_a_reload_meanwhile(t):
    """What the first host lacks is no verdict while the next was not asked."""
    held = threading.Event()
    asked = threading.Event()

    def wait(_command, _n):
        asked.set()
        held.wait(30)
        return "250 2.0.0 kept"

    daemon, _, _ = pair(t, [honest("SIZE 1000", dot=wait)],
                        [honest("SIZE 100000")],
                        "destination_concurrency_limit = 1\n\t")
    rows = []
    threads = [threading.Thread(
        target=lambda m=m: rows.extend(daemon.send(message=m).outcomes))
        for m in (b"Subject: x\r\n\r\nx\r\n",
                  b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 400)]
    threads[0].start()
    asked.wait(30)
    threads[1].start()
    until_it_says(daemon, r"\(queue active\)", 2)
    time.sleep(0.3)  # for the session to have it, too
    daemon.process.send_signal(signal.SIGHUP)
    until_it_says(daemon, "reloaded|generation 2", 1)
    time.sleep(0.3)
    held.set()
    for x in threads:
        x.join()
    daemon.stop()
    equal([x["status"] for x in rows], ["delivered"] * 2, "statuses")
    unharmed(daemon)


def s_155_every_way_of_one_host(t):
    """TLS that breaks, and BDAT that is refused: each host thrice."""
    def serve(c):
        say(GREETING)(c)
        hello("STARTTLS", "PIPELINING", "CHUNKING")[0](c)
        say("250-a.test", "250-STARTTLS", "250-PIPELINING", "250 CHUNKING")(c)
        command = c.read_line()
        if command == "STARTTLS":
            say("220 go")(c)
            c.sock.close()
            return
        while command is not None:
            verb = command.split(" ")[0]
            if verb == "BDAT":
                say("502 5.5.2 what")(c)
                drain()(c)
                return
            if verb == "DATA":
                say("354 go")(c)
                message()(c)
                say("451 4.3.0 no")(c)
            elif verb == "QUIT":
                say("221 bye")(c)
                return
            else:
                say("250 ok")(c)
            command = c.read_line()

    daemon, one, other = pair(t, [serve], [serve], tls_level="may")
    t.outcome(daemon.send(), "deferred", code=451)
    daemon.stop()
    equal([len(one.connections), len(other.connections)], [3, 3],
          "connections")
    unharmed(daemon)


def h_a_dialer_that_dies_while_a_session_comes_up(t):
    """The next one dials again, and the session goes on with what it has."""
    held = threading.Event()
    came = threading.Event()

    def serve(c):
        came.set()
        held.wait(30)
        try:
            for steps in whole():
                steps(c)
        except Closed:
            c.note("the socket of the other dialer")

    daemon, one, _ = pair(t, [serve], [whole()])
    rows = []
    thread = threading.Thread(
        target=lambda: rows.extend(daemon.send().outcomes))
    thread.start()
    came.wait(30)
    time.sleep(0.3)  # for the worker to have it
    dialer = int(re.findall(r"dialer \[(\d+)\] ready", daemon.said())[-1])
    os.kill(dialer, signal.SIGKILL)
    until_it_says(daemon, r"dialer \[\d+\] ready", 2)
    until = time.monotonic() + 10
    while len(one.connections) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    held.set()
    thread.join()
    daemon.stop()
    equal([x["status"] for x in rows], ["delivered"], "statuses")
    lacks("worker ended|worker process died|is gone", daemon.said(), "log")
