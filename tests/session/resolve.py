# SPDX-License-Identifier: ISC
"""Where mail goes: MX, A, AAAA, literals, and domains that take none.

Those that have to listen on port 25 skip themselves where they may not.
"""
import os

from harness import Dns, Skip, equal, holds, lacks
from server import close, opened, transaction, whole, bye, say

MX = """
name_servers = { "%s" }
hosts_file = ""
resolver_timeout = 5s
transport mx {
	tls_security_level = none
	allow_loopback = %s
	connect_timeout = 3s
	quit_timeout = 2s
}
route "*" {
	transport = mx
}
"""

# Each test its own addresses: port 25 of them is shared by nobody, nor by
# another run beside this one.
_next = [0]


def host(t, *scripts, **how):
    """A server on port 25 of a loopback address of its own."""
    _next[0] += 1
    address = "127.%d.%d.%d" % (100 + os.getpid() % 100,
                                os.getpid() // 100 % 250, _next[0])
    try:
        return address, t.serve(*scripts, address=address, port=25, **how)
    except PermissionError as e:
        raise Skip("port 25 of loopback: %s" % e) from e


def send(t, rows, to="b@example.org", loopback="yes"):
    dns = Dns(rows)
    daemon = t.daemon(MX % (dns.name, loopback))
    run = daemon.send(to=(to,))
    equal(len(run.outcomes), 1, "outcomes")
    return run, dns


def h_mx_in_order_of_preference(t):
    a, first = host(t, [say("450 4.3.2 not now"), bye()])
    b, second = host(t, whole())
    c, third = host(t)
    run, _ = send(t, {
        "example.org": [("MX", (30, "c.test")), ("MX", (10, "a.test")),
                        ("MX", (20, "b.test"))],
        "a.test": [("A", a)], "b.test": [("A", b)], "c.test": [("A", c)]})
    t.delivered(run)
    holds(r"b\.test\[%s\]:25" % b, run.outcomes[0]["relay"], "relay")
    equal([len(x.connections) for x in (first, second, third)], [1, 1, 0])


def h_mx_of_equal_preference_are_shuffled(t):
    """24 runs that all begin with the same of two hosts: once in 8 million."""
    a, first = host(t, *[[close()]] * 24, optional=24)
    b, second = host(t, *[[close()]] * 24, optional=24)
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (10, "b.test"))],
               "a.test": [("A", a)], "b.test": [("A", b)],
               **{"d%d.test" % i: [("MX", (10, "a.test")),
                                   ("MX", (10, "b.test"))]
                  for i in range(24)}})
    daemon = t.daemon(MX % (dns.name, "yes"))
    relays = set()
    for i in range(24):
        run = daemon.send(to=("x@d%d.test" % i,))
        relays.add(run.outcomes[0]["relay"].split("[")[0])
        if len(relays) == 2:
            break
    equal(relays, {"a.test", "b.test"}, "last hosts")
    equal(len(first.connections) > 0 and len(second.connections) > 0, True)


def h_implicit_mx(t):
    a, _server = host(t, whole())
    run, _ = send(t, {"example.org": [("A", a)]})
    t.delivered(run)
    holds(r"example\.org\[%s\]" % a, run.outcomes[0]["relay"], "relay")


def h_cname_is_followed(t):
    a, _server = host(t, whole())
    run, _ = send(t, {"example.org": [("MX", (10, "alias.test"))],
                      "alias.test": [("CNAME", "real.test")],
                      "real.test": [("A", a)]})
    t.delivered(run)


def h_literal_asks_nobody(t):
    a, _server = host(t, whole())
    run, dns = send(t, {}, to="b@[%s]" % a)
    t.delivered(run)
    equal([n for n, _ in dns.asked if a in n], [], "questions")


def h_null_mx(t):
    """It takes no mail, and says so (RFC 7505, 4; RFC 7504, 4 for 556)."""
    run, _ = send(t, {"example.org": [("MX", (0, "."))]})
    t.outcome(run, "failed", code=556, dsn=r"5\.1\.10", step="resolve",
              reply="example.org")


def h_no_such_domain(t):
    run, _ = send(t, {})
    t.outcome(run, "failed", code=0, dsn=r"5\.1\.2", step="resolve",
              reply="no such domain")


def h_domain_without_address(t):
    run, _ = send(t, {"example.org": []})
    t.outcome(run, "failed", code=0, dsn=r"5\.\d\.\d", step="resolve")


def h_server_failure_is_for_now(t):
    run, _ = send(t, {"example.org": 2})
    t.outcome(run, "deferred", code=0, dsn=r"4\.4\.\d", step="resolve")


def h_refused_answer_is_for_now(t):
    run, _ = send(t, {"example.org": Dns.REFUSED})
    t.outcome(run, "deferred", code=0, dsn=r"4\.4\.\d", step="resolve")


def h_failure_of_one_mx_is_no_bounce(t):
    """Its address cannot be found now: perhaps it can tomorrow."""
    run, _ = send(t, {"example.org": [("MX", (10, "a.test"))], "a.test": 2})
    t.outcome(run, "deferred", code=0, step="resolve")


def h_name_server_that_is_silent(t):
    dns = Dns({})
    dns.sock.close()
    daemon = t.daemon(MX % (dns.name, "yes"))
    run = daemon.send()
    t.outcome(run, "deferred", code=0, dsn=r"4\.4\.\d", step="resolve")
    if run.seconds > 30:
        raise AssertionError("%.1f s for resolver_timeout 5s" % run.seconds)


def h_mx_that_is_ourselves(t):
    """RFC 5321, 5.1: we are the best MX and do not know the domain."""
    run, _ = send(t, {"example.org": [("MX", (10, "client.test")),
                                      ("MX", (20, "b.test"))],
                      "client.test": [("A", "127.25.0.1")],
                      "b.test": [("A", "127.25.0.2")]})
    t.outcome(run, "failed", code=0, dsn=r"5\.4\.6", step="resolve",
              reply="loop|back to")


def h_mx_behind_ourselves_is_left_out(t):
    a, _first = host(t, whole())
    run, _ = send(t, {"example.org": [("MX", (10, "a.test")),
                                      ("MX", (20, "client.test")),
                                      ("MX", (30, "c.test"))],
                      "a.test": [("A", a)],
                      "client.test": [("A", "127.25.0.1")],
                      "c.test": [("A", "127.25.0.3")]})
    t.delivered(run)


def h_mx_on_loopback_is_refused(t):
    a, server = host(t)
    run, _ = send(t, {"example.org": [("MX", (10, "a.test"))],
                      "a.test": [("A", a)]}, loopback="no")
    t.outcome(run, "failed", code=0, step="resolve")
    equal(len(server.connections) + server.unexpected, 0, "connections")


def h_underscore_in_an_mx(t):
    """No certificate can bear it; clear mail can go there."""
    a, _server = host(t, [opened(), transaction(), bye()])
    run, _ = send(t, {"example.org": [("MX", (10, "mail_1.test"))],
                      "mail_1.test": [("A", a)]})
    t.delivered(run)


def h_mx_with_control_octets(t):
    """A zone of somebody's making: no octet of it reaches log or terminal."""
    run, _ = send(t, {"example.org": [("MX", (10, "a\x1b[2J\n.test"))],
                      "a\x1b[2j\n.test": [("A", "127.25.0.4")]})
    lacks("[\x00-\x08\x0b-\x1f\x7f]", run.stdout + run.stderr, "output")
    lacks("[\x00-\x08\x0b-\x1f\x7f]", t.daemons[0].said(), "log")
    equal(run.outcomes[0]["status"] != "delivered", True)


def x_a_hosts_file_that_is_not_there(t):
    """As in a container: said, and no reason not to deliver."""
    server = t.serve(whole())
    daemon = t.daemon("""
hosts_file = "%s/none"
transport one { server = "%s" tls_security_level = none }
route "*" { transport = one }
""" % (t.folder, server.name))
    t.outcome(daemon.send(), "delivered")
    holds("hosts_file .*/none is not there", daemon.said())
