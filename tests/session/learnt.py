# SPDX-License-Identifier: ISC
"""Broken servers: what one was seen not to bear is kept from it for a while."""
import re
import time

from harness import equal, holds, lacks, patient, table
from server import (bye, close, data, drain, hello, line, mail_from, opened,
                    quiet, rcpt_to, reset, say, transaction, upgrade)

ONE = """
minimal_backoff_time = 1s
maximal_backoff_time = 1s
%s
transport one {
	server = "%s"
	tls_security_level = %s
	connection_reuse_time_limit = 0
	connection_idle_time = 0
	mail_timeout = 1s
	quit_timeout = 1s
}
route "*" {
	transport = one
}
"""
GREETED = [say("220 mail.test")]
HELO = [GREETED, hello(verb="HELO"), transaction(), bye()]


HANGS_UP = [GREETED, line("EHLO .*")]
WAITS = "minimal_backoff_time = 1s\n"


def settled(d, words="status=sent", seconds=25):
    """Wait until the log says so."""
    until = time.monotonic() + seconds
    while not re.search(words, d.said()) and time.monotonic() < until:
        time.sleep(0.1)
    holds(words, d.said(), "log")


@patient
@table((("closes", close()), ("resets", reset())))
def h_ehlo_that_hangs_up_twice(t, end):
    """One lost connection proves nothing; the second makes it HELO."""
    server = t.serve(HANGS_UP + [end], HANGS_UP + [end], HELO, HELO)
    d = t.daemon(ONE % ("", server.name, "may"))
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    settled(d)
    t.outcome(d.send(), "delivered")
    d.stop()
    holds(r"learnt of a server: \[127\.0\.0\.1\]:\d+: HELO for EHLO",
          d.said(), "log")
    equal(d.said().count("learnt of a server"), 1, "lines that say so")


@patient
def h_ehlo_refused_for_now_twice(t):
    """A server that means HELO by 4yz gets it in a later attempt."""
    refuses = [GREETED, line("EHLO .*"), say("451 4.3.0 what"), bye()]
    server = t.serve(refuses, refuses, HELO)
    d = t.daemon(ONE % ("", server.name, "may"))
    t.outcome(d.send(), "deferred", step="ehlo", code=451)
    settled(d)
    d.stop()
    holds("HELO for EHLO", d.said(), "log")


@patient
def h_where_there_was_tls_helo_is_never_learnt(t):
    """HELO has no STARTTLS: mail that had TLS never goes in clear for it."""
    secure = [opened("STARTTLS"), upgrade(), hello(), transaction(), bye()]
    server = t.serve(secure, HANGS_UP + [close()], HANGS_UP + [close()],
                     HANGS_UP + [close()], secure)
    d = t.daemon(ONE % ("", server.name, "may"))
    t.outcome(d.send(), "delivered")
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    settled(d, "(?s)status=sent.*status=sent")
    d.stop()
    lacks("learnt of a server", d.said(), "log")


@patient
def h_what_one_transport_met_is_not_held_against_another(t):
    """By destination: the other one has not failed twice."""
    server = t.serve(HANGS_UP + [close()], HANGS_UP + [close()], HELO,
                     [opened(), transaction(), bye()])
    d = t.daemon((ONE % ("", server.name, "may")).replace("route", """
transport two {
	server = "%s"
	tls_security_level = may
	connection_reuse_time_limit = 0
}
route "other.test" { transport = two }
route""" % server.name))
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    settled(d)
    t.outcome(d.send(to=("b@other.test",)), "delivered")
    d.stop()


def h_ehlo_that_hangs_up_where_tls_is_needed(t):
    """HELO has no STARTTLS: it is never said."""
    server = t.serve([GREETED, line("EHLO .*"), close()])
    d = t.daemon(ONE % ("", server.name, "encrypt"))
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    d.stop()
    lacks("learnt", d.said(), "log")


def h_ehlo_that_hangs_up_and_nothing_is_learnt(t):
    server = t.serve([GREETED, line("EHLO .*"), close()])
    d = t.daemon(ONE % ("broken_server_time = 0", server.name, "may"))
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    d.stop()


def h_half_a_reply_to_ehlo_teaches_nothing(t):
    server = t.serve([GREETED, line("EHLO .*"),
                      lambda c: c.write(b"250-ma"), close()])
    d = t.daemon(ONE % ("", server.name, "may"))
    t.outcome(d.send(), "deferred", step="ehlo", code=0)
    d.stop()


@patient
def h_what_was_learnt_is_verified(t):
    server = t.serve(HANGS_UP + [close()], HANGS_UP + [close()], HELO,
                     [opened(), transaction(), bye()])
    d = t.daemon(ONE % ("broken_server_time = 4s", server.name, "may"))
    d.send()
    settled(d)
    settled(d, "forgotten of a server: .*HELO for EHLO")
    t.outcome(d.send(), "delivered")
    d.stop()


# One at a time: nothing comes behind a command before its reply.
STEPWISE = [opened("PIPELINING", "CHUNKING"), line("MAIL .*"), quiet(),
            say("250 ok"), line("RCPT .*"), quiet(), say("250 ok"), data(),
            bye()]


@patient
@table((("closes", close()), ("resets", reset()), ("hangs", drain())))
def h_batch_without_an_answer(t, end):
    """After two of them: one command at a time, and DATA."""
    batch = [opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
             line("DATA"), end]
    server = t.serve(batch, batch, STEPWISE)
    d = t.daemon(ONE % ("", server.name, "none"))
    t.outcome(d.send(), "deferred", code=0)
    settled(d)
    d.stop()
    holds("learnt of a server: .*no PIPELINING, no CHUNKING", d.said(), "log")
    holds("status=sent", d.said(), "log")


def h_batch_without_an_answer_behind_one_with(t):
    """PIPELINING works here: another connection uses it."""
    server = t.serve([opened("PIPELINING"), transaction(), line("MAIL .*"),
                      line("RCPT .*"), line("DATA"), close()],
                     [opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
                      line("DATA"), say("250 ok", "250 ok", "354 go"),
                      data()[2:], bye()])
    d = t.daemon((ONE % ("", server.name,
                         "none")).replace("reuse_time_limit = 0",
                                          "reuse_time_limit = 60s").replace(
        "idle_time = 0", "idle_time = 5s"))
    t.outcome(d.send(), "delivered")
    t.outcome(d.send(), "delivered")
    d.stop()
    lacks("learnt", d.said(), "log")


def h_answer_to_part_of_a_batch_teaches_nothing(t):
    server = t.serve([opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
                      line("DATA"), say("250 ok"), close()])
    d = t.daemon(ONE % ("maximal_queue_lifetime = 0", server.name, "none"))
    d.send()
    d.stop()
    lacks("learnt", d.said(), "log")


def h_greeting_of_asterisks(t):
    """The mark of a firewall that reads along: nothing is said ahead."""
    server = t.serve([say("220 " + "*" * 60),
                      hello("PIPELINING", "CHUNKING")] + STEPWISE[1:])
    t.outcome(t.deliver(server), "delivered")
