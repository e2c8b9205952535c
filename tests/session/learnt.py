# SPDX-License-Identifier: ISC
"""Broken servers: what one was seen not to bear is kept from it for a while."""
import time

from harness import equal, holds, lacks, patient, table
from server import (bye, close, data, drain, hello, line, mail_from, opened,
                    quiet, rcpt_to, reset, say, transaction)

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


@table((("closes", close()), ("resets", reset())))
def h_ehlo_that_hangs_up(t, end):
    """HELO goes to the same server at once, and first of all the next time."""
    server = t.serve([GREETED, line("EHLO .*"), end], HELO, HELO)
    d = t.daemon(ONE % ("", server.name, "may"))
    t.outcome(d.send(), "delivered")
    t.outcome(d.send(), "delivered")
    d.stop()
    holds(r"learnt of a server: \[127\.0\.0\.1\]:\d+: HELO for EHLO",
          d.said(), "log")
    equal(d.said().count("learnt of"), 1, "lines that say so")


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
def h_what_was_learnt_is_forgotten(t):
    server = t.serve([GREETED, line("EHLO .*"), close()], HELO,
                     [opened(), transaction(), bye()])
    d = t.daemon(ONE % ("broken_server_time = 2s", server.name, "may"))
    t.outcome(d.send(), "delivered")
    time.sleep(8)  # the queue sweeps each 5 seconds
    t.outcome(d.send(), "delivered")
    d.stop()
    holds("forgotten of a server: .*HELO for EHLO", d.said(), "log")


# One at a time: nothing comes behind a command before its reply.
STEPWISE = [opened("PIPELINING", "CHUNKING"), line("MAIL .*"), quiet(),
            say("250 ok"), line("RCPT .*"), quiet(), say("250 ok"), data(),
            bye()]


@patient
@table((("closes", close()), ("resets", reset()), ("hangs", drain())))
def h_batch_without_an_answer(t, end):
    """The next attempt says one command at a time, and uses DATA."""
    server = t.serve([opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
                      line("DATA"), end], STEPWISE)
    d = t.daemon(ONE % ("", server.name, "none"))
    t.outcome(d.send(), "deferred", code=0)
    until = time.monotonic() + 15
    while "status=sent" not in d.said() and time.monotonic() < until:
        time.sleep(0.2)
    d.stop()
    holds("learnt of a server: .*no PIPELINING, no CHUNKING", d.said(), "log")
    holds("status=sent", d.said(), "log")


def h_batch_without_an_answer_behind_one_with(t):
    """PIPELINING works here: another connection uses it."""
    server = t.serve([opened("PIPELINING"), transaction(), line("MAIL .*"),
                      line("RCPT .*"), line("DATA"), close()])
    d = t.daemon((ONE % ("maximal_queue_lifetime = 0", server.name,
                         "none")).replace("reuse_time_limit = 0",
                                          "reuse_time_limit = 60s").replace(
        "idle_time = 0", "idle_time = 5s"))
    t.outcome(d.send(), "delivered")
    d.send()
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
