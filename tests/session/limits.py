# SPDX-License-Identifier: ISC
"""LIMITS (RFC 9422): recipients of one transaction, domains of one session."""
from chunks import BOTH, chunk
from harness import DELIVERED, equal, holds
from server import (bye, data, drain, line, mail_from, opened, rcpt_to, say,
                    transaction)

TO = tuple("r%d@example.org" % i for i in range(5))
ONE = ("transport t {\n\tserver = \"%s\"\n\ttls_security_level = none\n"
       "\tdestination_concurrency_limit = 1\n\tquit_timeout = 2s\n"
       "\tconnection_idle_time = 20s\n}\nroute \"*\" {\n\ttransport = t\n}\n")


def all_delivered(run, to):
    equal(run.status, DELIVERED, "exit status")
    equal(sorted(x["recipient"] for x in run.outcomes), sorted(to),
          "recipients")


def asked(server):
    """The RCPTs of each transaction, over all connections."""
    found = []
    for c in server.connections:
        for x in c.lines:
            if x.startswith("MAIL"):
                found.append([])
            elif x.startswith("RCPT"):
                found[-1].append(x[9:-1])
    return found


def h_limits_rcptmax(t):
    """None over it is asked about; the others follow in this session."""
    server = t.serve([opened("LIMITS RCPTMAX=2"), transaction(2),
                      transaction(2), transaction(1), drain()])
    daemon = t.daemon(ONE % server.name)
    run = daemon.send(to=TO)
    daemon.stop()
    t.scripts_held()
    all_delivered(run, TO)
    equal([len(x) for x in asked(server)], [2, 2, 1], "recipients")


def h_limits_rcptmax_in_flights(t):
    def flown(n):
        return [line("MAIL .*"), [line("RCPT .*")] * n,
                say(*["250 ok"] * (n + 1)), chunk(True), say("250 ok")]

    server = t.serve([opened("LIMITS RCPTMAX=3", *BOTH), flown(3), flown(2),
                      drain()])
    daemon = t.daemon(ONE % server.name)
    run = daemon.send(to=TO)
    daemon.stop()
    t.scripts_held()
    all_delivered(run, TO)


def h_limits_rcptmax_of_one_with_data_pipelined(t):
    server = t.serve([opened("LIMITS RCPTMAX=1", "PIPELINING"),
                      [[line("MAIL .*"), line("RCPT .*"), line("DATA"),
                        say("250 ok", "250 ok", "354 go"), data()[2:]]] * 3,
                      drain()])
    daemon = t.daemon(ONE % server.name)
    run = daemon.send(to=TO[:3])
    daemon.stop()
    t.scripts_held()
    all_delivered(run, TO[:3])


def h_limits_rcptmax_by_deliver(t):
    server = t.serve(*[[opened("LIMITS RCPTMAX=2"), transaction(2), bye()]] * 2)
    run = t.deliver(server, to=TO[:4])
    t.scripts_held()
    all_delivered(run, TO[:4])


def h_limits_rcptdomainmax(t):
    """Those of another domain go in another session."""
    to = ("a@one.test", "b@ONE.test", "c@two.test", "d@two.test")
    server = t.serve(*[[opened("LIMITS RCPTDOMAINMAX=1"), transaction(2),
                        bye()]] * 2)
    daemon = t.daemon(ONE % server.name)
    run = daemon.send(to=to)
    daemon.stop()
    t.scripts_held()
    all_delivered(run, to)
    for rcpts in asked(server):
        equal(len({x.split("@")[1].lower() for x in rcpts}), 1, "domains")


def h_limits_rcptdomainmax_over_transactions(t):
    """It holds for the whole session, which goes on with its own domain."""
    server = t.serve([opened("LIMITS RCPTDOMAINMAX=1"), mail_from(),
                      rcpt_to(pattern="<a@one.test>"), data(), mail_from(),
                      rcpt_to(pattern="<b@one.test>"), data(), bye()],
                     [opened("LIMITS RCPTDOMAINMAX=1"), mail_from(),
                      rcpt_to(pattern="<c@two.test>"), data(), drain()])
    daemon = t.daemon(ONE % server.name)
    for to in ("a@one.test", "b@one.test", "c@two.test"):
        t.outcome(daemon.send(to=(to,)), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def h_limits_that_are_none(t):
    server = t.serve([opened("LIMITS RCPTMAX=0 RCPTDOMAINMAX=x RCPTMAX"),
                      transaction(5), bye()])
    run = t.deliver(server, to=TO)
    t.scripts_held()
    all_delivered(run, TO)


def h_limits_discarded(t):
    server = t.serve([opened("LIMITS RCPTMAX=1"), transaction(5), drain()])
    daemon = t.daemon(ONE.replace("quit_timeout", "discard_ehlo_keywords = "
                                  "{limits}\n\tquit_timeout") % server.name)
    run = daemon.send(to=TO)
    daemon.stop()
    t.scripts_held()
    all_delivered(run, TO)
    holds("RCPT", " ".join(server.connections[0].lines))
