# SPDX-License-Identifier: ISC
"""S-126: VRFY, which delivers nothing; and S-134, a protocol that changes."""
import os
import signal
import time

from chunks import ONE
from harness import FAILED, equal, holds, lacks
from server import bye, close, drain, honest, line, opened, say

DEFERRED = 75


def verify(t, server, *options, to=("b@example.org",)):
    run = t.deliver_raw("verify", "--json", "--server", server.name, "--tls",
                        "none", "--ehlo", "client.test", "--step-timeout", "2",
                        *options, *to, message=b"")
    for s in t.servers:
        s.stop()
    return run


def asked(t, reply, status, code, dsn, exit_status, end=None):
    server = t.serve([opened(), line("VRFY b@example.org"), say(reply)]
                     + (end or [bye()]))
    run = verify(t, server)
    t.scripts_held()
    t.outcome(run, status, code=code, dsn=dsn, step="vrfy", reply=reply,
              exit_status=exit_status)


def s_126_yes(t):
    asked(t, "250 2.1.5 Bob <b@example.org>", "deliverable", 250, "2.1.5", 0)
    asked(t, "251 2.1.5 will go to b@example.com", "deliverable", 251,
          "2.1.5", 0)
    asked(t, "252 2.5.0 perhaps", "deliverable", 252, "2.5.0", 0)


def s_126_no(t):
    asked(t, "550 5.1.1 nobody", "undeliverable", 550, "5.1.1", FAILED)
    asked(t, "553 5.1.3 which one", "undeliverable", 553, "5.1.3", FAILED)


def s_126_nobody_can_say(t):
    asked(t, "450 4.2.0 later", "deferred", 450, "4.2.0", DEFERRED)
    asked(t, "502 5.5.1 not here", "deferred", 502, "4.5.1", DEFERRED)


def s_126_several(t):
    server = t.serve([opened("PIPELINING", "CHUNKING"), line("VRFY b@x.org"),
                      say("250 ok"), line("VRFY c@x.org"), say("550 no"),
                      line("VRFY d@x.org"), say("252 perhaps"), bye()])
    run = verify(t, server, to=("b@x.org", "c@x.org", "d@x.org"))
    t.scripts_held()
    equal([(x["recipient"], x["status"]) for x in run.outcomes],
          [("b@x.org", "deliverable"), ("c@x.org", "undeliverable"),
           ("d@x.org", "deliverable")])
    equal(run.status, FAILED, "exit status")


def s_126_over_lmtp(t):
    server = t.serve([opened(verb="LHLO"), line("VRFY b@example.org"),
                      say("250 2.0.0 yes"), bye()])
    run = verify(t, server, "--lmtp")
    t.scripts_held()
    t.outcome(run, "deliverable", code=250, step="vrfy")


def s_126_utf8(t):
    for keywords, want in ((("8BITMIME", "SMTPUTF8"), "VRFY .* SMTPUTF8"),
                           ((), None)):
        server = t.serve([opened(*keywords)] + (
            [line(want), say("250 ok")] if want else []) + [bye()])
        run = verify(t, server, to=("д@example.org",))
        t.scripts_held()
        if want is None:
            t.outcome(run, "failed", code=0, dsn=r"5\.6\.7", reply="SMTPUTF8")
        else:
            t.outcome(run, "deliverable", code=250)


def h_vrfy_closed(t):
    server = t.serve([opened(), line("VRFY .*"), close()])
    run = verify(t, server)
    t.outcome(run, "deferred", code=0, step="vrfy", reply="closed.*VRFY")


def h_vrfy_silence(t):
    server = t.serve([opened(), line("VRFY .*"), drain()])
    run = verify(t, server)
    t.outcome(run, "deferred", code=0, step="vrfy", reply="timed out.*VRFY")
    t.within(run, 6)


def h_vrfy_354(t):
    server = t.serve([opened(), line("VRFY .*"), say("354 what"), bye()])
    run = verify(t, server)
    t.scripts_held()
    t.outcome(run, "deferred", code=354, step="vrfy", reply="protocol error")


def h_vrfy_421(t):
    server = t.serve([opened(), line("VRFY .*"), say("421 bye"), close()])
    run = verify(t, server)
    t.outcome(run, "deferred", code=421, step="vrfy", reply="421 bye")


def s_134_the_protocol_of_a_session_stays(t):
    """A transport that becomes LMTP is not spoken over a session of SMTP."""
    server = t.serve([honest()], [honest()])
    daemon = t.daemon(ONE % ("smtp", server.name))
    t.outcome(daemon.send(), "delivered")
    with open(daemon.config, encoding="ascii") as f:
        text = f.read()
    with open(daemon.config, "w", encoding="ascii") as f:
        f.write(text.replace("protocol = smtp", "protocol = lmtp"))
    os.kill(daemon.process.pid, signal.SIGHUP)
    until = time.monotonic() + 20
    while "reloaded" not in daemon.said() and time.monotonic() < until:
        time.sleep(0.05)
    t.outcome(daemon.send(), "delivered")
    daemon.stop()
    first, second = server.connections
    holds("^EHLO", first.lines[0])
    equal(first.lines[-1], "QUIT")
    equal(len([x for x in first.lines if x.startswith("MAIL")]), 1)
    holds("^LHLO", second.lines[0])
    lacks("EHLO", " ".join(second.lines))
