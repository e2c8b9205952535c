# SPDX-License-Identifier: ISC
"""S-155, S-156, S-158, S-160: over the hosts of a plan, and over sessions.

Those that have to listen on port 25 skip themselves where they may not.
"""
import os
import subprocess
import threading

from chunks import chunk
from harness import BUILD, Dns, equal, holds, lacks, patient, table
from resolve import MX, host
from server import (GREETING, bye, close, data, drain, eof, hello, line,
                    mail_from, message, opened, rcpt_to, reset, say,
                    transaction, upgrade, whole)

TEXT_8BIT = b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n" \
    b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4\r\n"


def two(t, first, second, extra="", to=("b@example.org",), options=(), **more):
    """The outcomes of one attempt at an MX that does this, and one that does
    that."""
    a, one = host(t, *first)
    b, other = host(t, *second, optional=len(second))
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (20, "b.test"))],
               "a.test": [("A", a)], "b.test": [("A", b)]})
    daemon = t.daemon((MX % (dns.name, "yes")).replace(
        "connect_timeout", "mail_timeout = 1s\n\trcpt_timeout = 1s\n\t"
        "data_done_timeout = 1s\n\tconnection_idle_time = 0\n\t" + extra +
        "connect_timeout"))
    run = daemon.send(*options, to=to, **more)
    daemon.stop()
    t.scripts_held()
    return run, one, other, daemon


PASSING = (
    ("452 to MAIL", [line("MAIL .*"), say("452 4.3.1 full"), bye()]),
    ("421 to MAIL", [line("MAIL .*"), say("421 4.3.2 busy"), drain()]),
    ("503 to MAIL", [line("MAIL .*"), say("503 5.5.1 no"), bye()]),
    ("450 to RCPT", [mail_from(), rcpt_to("450 4.2.0 grey"), bye()]),
    ("451 to DATA", [mail_from(), rcpt_to(), line("DATA"),
                     say("451 4.3.0 no"), bye()]),
    ("451 to the message", [transaction(finals=("451 4.3.0 no",)), bye()]),
    ("closed at MAIL", [line("MAIL .*"), close()]),
    ("reset at RCPT", [mail_from(), line("RCPT .*"), reset()]),
    ("silent at MAIL", [line("MAIL .*"), drain()]),
    ("closed in the message", [mail_from(), rcpt_to(), line("DATA"),
                               close()]),
    ("nonsense to MAIL", [line("MAIL .*"), say("354 what"), eof()]),
    ("closed before MAIL", [close()]),
)


@table(PASSING)
def s_155_the_next_mx_after(t, steps):
    run, _, other, daemon = two(t, [[opened(), steps]], [whole()])
    t.outcome(run, "delivered", code=250)
    holds(r"b\.test", run.outcomes[0]["relay"], "relay")
    equal(len(other.connections), 1, "connections to the second")
    holds(r"a\.test\[.*", daemon.said(), "log: the first host")


def s_155_three_hosts_in_their_order(t):
    """None is passed over, and none is tried after one that took it."""
    full = [opened(), line("MAIL .*"), say("452 4.3.1 full"), bye()]
    a, _ = host(t, full)
    b, _ = host(t, whole())
    c, third = host(t)
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (20, "b.test")),
                               ("MX", (30, "c.test"))],
               "a.test": [("A", a)], "b.test": [("A", b)],
               "c.test": [("A", c)]})
    daemon = t.daemon(MX % (dns.name, "yes"))
    run = daemon.send()
    daemon.stop()
    t.outcome(run, "delivered", code=250)
    holds(r"b\.test", run.outcomes[0]["relay"], "relay")
    equal(len(third.connections), 0, "connections to the third")


def s_155_no_permanent_refusal_goes_further(t):
    for steps in ([line("MAIL .*"), say("550 5.7.1 no"), bye()],
                  [mail_from(), rcpt_to("550 5.1.1 nobody"), bye()],
                  [transaction(finals=("554 5.6.0 spam",)), bye()]):
        run, _, other, _ = two(t, [[opened(), steps]], [whole()])
        t.outcome(run, "failed")
        equal(len(other.connections), 0, "connections to the second")


def s_155_not_where_the_message_may_have_been_taken(t):
    run, _, other, _ = two(t, [[opened(), mail_from(), rcpt_to(), line("DATA"),
                                say("354 go"), message(), close()]], [whole()])
    t.outcome(run, "deferred", in_doubt=True, step="final")
    equal(len(other.connections), 0, "connections to the second")


def s_155_both_say_no(t):
    """The one that came further says more, and the log names both."""
    run, _, _, daemon = two(
        t, [[opened(), transaction(finals=("451 4.3.0 first",)), bye()]],
        [[opened(), line("MAIL .*"), say("452 4.3.1 second"), bye()]])
    t.outcome(run, "deferred", code=451, reply="first", step="final")
    holds(r"a\.test", run.outcomes[0]["relay"], "relay")
    holds(r"a\.test\[.*451 4\.3\.0 first", daemon.said(), "log")
    holds(r"b\.test\[.*", daemon.said(), "log")


def s_155_the_next_one_refuses_for_good(t):
    run, _, _, _ = two(
        t, [[opened(), mail_from(), rcpt_to("450 4.2.0 grey"), bye()]],
        [[opened(), mail_from(), rcpt_to("550 5.1.1 nobody"), bye()]])
    t.outcome(run, "failed", code=550, reply="nobody")


def s_155_the_next_one_is_not_there(t):
    """It cannot be reached: what the first one said is the reason."""
    a, _ = host(t, [opened(), line("MAIL .*"), say("452 4.3.1 full"), bye()])
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (20, "b.test"))],
               "a.test": [("A", a)], "b.test": [("A", "127.25.255.1")]})
    daemon = t.daemon(MX % (dns.name, "yes"))
    t.outcome(daemon.send(), "deferred", code=452, reply="full", step="mail")
    daemon.stop()
    holds(r"b\.test\[127\.25\.255\.1\]:25: cannot connect", daemon.said())


def s_155_some_recipients_put_off_stay(t):
    """4yz to one among accepted ones: that one is tried again later."""
    run, _, other, _ = two(
        t, [[opened(), mail_from(), rcpt_to(), rcpt_to("450 4.2.0 later"),
             data(), bye()]], [whole()],
        to=("b@example.org", "c@example.org"))
    t.outcome(run, "delivered", recipient="b@example.org")
    t.outcome(run, "deferred", code=450, recipient="c@example.org")
    equal(len(other.connections), 0, "connections to the second")


def s_155_all_recipients_one_way_or_the_other(t):
    """550 and 450: who was put off goes on, who was refused does not."""
    run, _, _, _ = two(
        t, [[opened(), mail_from(), rcpt_to("550 5.1.1 no"),
             rcpt_to("450 4.2.0 later"), bye()]], [whole()],
        to=("b@example.org", "c@example.org"))
    t.outcome(run, "failed", code=550, recipient="b@example.org")
    t.outcome(run, "delivered", code=250, recipient="c@example.org")


@table((
    ("SIZE", ("SIZE 10",), (), {}),
    ("8BITMIME", (), (), {"message": TEXT_8BIT}),
))
def s_155_what_the_first_does_not_offer(t, keywords, options, more):
    run, _, _, _ = two(
        t, [[opened(*keywords), bye()]],
        [[opened("8BITMIME"), mail_from(".*"), rcpt_to(), data(), bye()]],
        extra="mime_output_conversion = bounce\n\t", options=options, **more)
    t.outcome(run, "delivered", code=250)


def s_155_no_host_offers_it(t):
    run, _, _, _ = two(
        t, [[opened("SIZE 10"), bye()]], [[opened("SIZE 10"), bye()]])
    t.outcome(run, "failed", dsn=r"5\.3\.4")


def s_155_an_attempt_has_limits(t):
    full = [opened(), line("MAIL .*"), say("452 4.3.1 full"), bye()]
    for limit in ("mx_session_limit = 1\n\t", "mx_address_limit = 1\n\t"):
        run, _, other, _ = two(t, [full], [whole()], extra=limit)
        t.outcome(run, "deferred", code=452)
        equal(len(other.connections), 0, "connections to the second")


def s_155_with_a_login(t):
    """The secret is sent again: each host asks for it."""
    came = []

    def serve(c):
        came.append(c)
        steps = opened("AUTH PLAIN") + [line("AUTH PLAIN .*"), say("235 ok")]
        steps += transaction() if len(came) == 2 else \
            [line("MAIL .*"), say("452 4.3.1 full")]
        for step in steps + bye():
            step(c)

    a, _ = host(t, [serve])
    b, _ = host(t, [serve])
    dns = Dns({"relay.test": [("A", a), ("A", b)]})
    secret = t.folder + "/secret"
    with open(secret, "w", encoding="ascii") as f:
        f.write("pencil\n")
    daemon = t.daemon("""
name_servers = { "%s" }
hosts_file = ""
transport one {
	server = "relay.test:25"
	tls_security_level = none
	auth_user = user
	auth_password_file = "%s"
	auth_in_clear = yes
	connection_idle_time = 0
}
route "*" { transport = one }
""" % (dns.name, secret))
    t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()


# A connection that was good, and ends.

ONE = """
transport one {
	server = "%s"
	tls_security_level = none
	destination_concurrency_limit = 1
	connection_idle_time = 20s
	quit_timeout = 2s
	mail_timeout = 5s
}
route "*" { transport = one }
"""


def many(t, server, n):
    """n messages that all wait until the server greets; their outcomes."""
    daemon = t.daemon(ONE % server.name)
    runs = []
    threads = [threading.Thread(
        target=lambda i=i: runs.append(daemon.send(
            to=("u%d@example.org" % i,)))) for i in range(n)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    daemon.stop()
    return [row for run in runs for row in run.outcomes], daemon


def limited(limit, end, *keywords):
    """Takes so many messages, and then does that at MAIL."""
    def step(c):
        say(GREETING)(c)
        for x in hello(*keywords):
            x(c)
        taken = 0
        while True:
            words = c.read_line().split(" ")
            if words[0] == "QUIT":
                say("221 bye")(c)
                return
            if words[0] == "MAIL" and taken == limit:
                end(c)
                return
            if words[0] == "BDAT":
                chunk_of(c, int(words[1]))
                taken += 1
            elif words[0] == "DATA":
                say("354 go")(c)
                message()(c)
                taken += 1
            say("250 ok")(c)
    return step


def chunk_of(c, n):
    while len(c.pending) < n:
        if not c.receive():
            raise EOFError
    c.pending = c.pending[n:]


def refuses(c):
    """4yz to MAIL, and the session is left open."""
    say("452 4.5.3 too many messages sent")(c)
    while True:
        words = c.read_line().split(" ")
        if words[0] == "QUIT":
            say("221 bye")(c)
            return
        if words[0] == "BDAT":
            chunk_of(c, int(words[1]))
        say("250 2.0.0 ok" if words[0] == "RSET" else "503 5.5.1 no")(c)


@patient
@table((a + ", " + " ".join(k).lower(), e, k) for a, e in (
    ("421", lambda c: (say("421 4.7.0 enough")(c), c.sock.shutdown(1))),
    ("FIN", lambda c: c.sock.shutdown(1)),
    ("452", refuses),
) for k in ((), ("PIPELINING",), ("PIPELINING", "CHUNKING")))
def s_156_so_many_messages_a_connection(t, end, keywords):
    """5 a connection: 20 of 20 without a wait."""
    server = t.serve(*[[limited(5, end, *keywords)]] * 20, optional=19)
    rows, daemon = many(t, server, 20)
    equal({x["status"] for x in rows}, {"delivered"}, "statuses")
    mails = sum(x.startswith("MAIL") for c in server.connections
                for x in c.lines)
    if mails > 20 + 2 * len(server.connections):
        raise AssertionError("%d MAILs for 20 messages over %d connections" % (
            mails, len(server.connections)))
    lacks("status=deferred", daemon.said(), "log")
    holds("it takes 5 messages a connection", daemon.said(), "log")


def s_156_a_message_meets_two_spent_connections(t):
    """Both wait for mail, and neither takes any more: a third one does."""
    both = threading.Barrier(2)

    def ends(c):
        if c.read_line().startswith("MAIL"):
            say("421 4.7.0 enough")(c)
        drain()(c)
    one = [opened(), mail_from(), rcpt_to(), line("DATA"), say("354 go"),
           message(), lambda c: both.wait(20), say("250 ok"), ends]
    server = t.serve(one, one, whole())
    daemon = t.daemon((ONE % server.name).replace(
        "limit = 1", "limit = 2\n\tinitial_destination_concurrency = 2"))
    threads = [threading.Thread(target=lambda i=i: daemon.send(
        to=("u%d@example.org" % i,))) for i in range(2)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    run = daemon.send(to=("u2@example.org",))
    daemon.stop()
    t.outcome(run, "delivered", code=250)
    equal(len(server.connections), 3, "connections")
    lacks("status=deferred", daemon.said(), "log")


def s_158_503_is_no_verdict_on_a_message(t):
    for step, steps in (
            ("mail", [line("MAIL .*"), say("503 5.5.1 no"), bye()]),
            ("rcpt", [mail_from(), rcpt_to("503 5.5.1 no"), bye()]),
            ("data", [mail_from(), rcpt_to(), line("DATA"),
                      say("503 5.5.1 no"), bye()]),
            ("final", [transaction(finals=("503 5.5.1 no",)), bye()])):
        server = t.serve([opened(), steps])
        run = t.deliver(server)
        t.scripts_held()
        t.outcome(run, "deferred", code=503, step=step, dsn=r"4\.5\.1")


def s_158_a_server_that_does_not_know_bdat(t):
    """The body may be read as commands: the connection is cut, and the next one
    goes by DATA in the same attempt."""
    server = t.serve(
        [opened("PIPELINING", "CHUNKING"), line("MAIL .*"), line("RCPT .*"),
         say("250 ok", "250 ok"), chunk(True), say("502 5.5.2 what"), eof()],
        [opened("PIPELINING", "CHUNKING"), line("MAIL .*"), line("RCPT .*"),
         line("DATA"), say("250 ok", "250 ok", "354 go"), data()[2:], bye()])
    daemon = t.daemon(ONE % server.name)
    t.delivered(daemon.send())
    daemon.stop()
    t.scripts_held()
    holds("502 5.5.2 what: the server offers CHUNKING and refuses BDAT: the "
          "next connection to it sends the message by DATA", daemon.said(),
          "log")


def h_starttls_refused_for_good_where_it_is_demanded(t):
    """What we demand of an MX is our matter: the mail waits, with a warning."""
    a, _ = host(t, [opened("STARTTLS"), line("STARTTLS"),
                    say("554 5.7.0 no"), bye()])
    dns = Dns({"example.org": [("MX", (10, "a.test"))], "a.test": [("A", a)]})
    daemon = t.daemon((MX % (dns.name, "yes")).replace(
        "tls_security_level = none", "tls_security_level = encrypt"))
    t.outcome(daemon.send(), "deferred", code=554, dsn=r"4\.7\.0",
              step="starttls")
    daemon.stop()
    t.scripts_held()
    holds("warning: example.org by transport mx: .* refuses TLS",
          daemon.said(), "log")


def h_explain_names_each_host_that_was_tried(t):
    full = [opened(), line("MAIL .*"), say("452 4.3.1 full"), bye()]
    a, _ = host(t, full)
    b, _ = host(t, [say("421 4.3.2 busy"), bye()])
    dns = Dns({"example.org": [("MX", (10, "a.test")), ("MX", (20, "b.test"))],
               "a.test": [("A", a)], "b.test": [("A", b)]})
    daemon = t.daemon(MX % (dns.name, "yes"))
    t.outcome(daemon.send(), "deferred", code=452)
    said = subprocess.run(
        [os.path.join(BUILD, "postern"), "explain", "-c", daemon.config,
         "b@example.org"], capture_output=True, text=True,
        check=False, timeout=30).stdout
    daemon.stop()
    holds(r"tried: +in the last attempt that failed", said)
    holds(r"a\.test\[%s\]:25: 452 4\.3\.1 full" % a, said)
    holds(r"b\.test\[%s\]:25: 421 4\.3\.2 busy" % b, said)


def s_160_tls_that_breaks_before_anything_is_taken(t):
    breaks = [opened("STARTTLS"), upgrade(), line("EHLO .*"), close()]
    server = t.serve(breaks, [opened("STARTTLS"), transaction(), bye()])
    run = t.deliver(server, "--tls", "may")
    t.delivered(run)
    t.scripts_held()
    server = t.serve(breaks)
    run = t.deliver(server, "--tls", "encrypt")
    t.outcome(run, "deferred", step="ehlo")
    equal(len(server.connections), 1, "connections")


def h_421_to_one_recipient_of_a_batch(t):
    """The server goes on all the same: those it accepted have the message."""
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), [line("RCPT .*")] * 3,
        line("DATA"), say("250 ok", "250 ok", "421 4.7.0 enough", "250 ok",
                          "354 go"), message(), say("250 2.0.0 kept"), drain()])
    to = ["%s@example.org" % x for x in "bcd"]
    run = t.deliver(server, to=to)
    t.scripts_held()
    for i, status in enumerate(("delivered", "deferred", "delivered")):
        t.outcome(run, status, recipient=to[i])


def h_a_refusal_in_the_packet_of_354(t):
    """The 550 is the reason, and no protocol error."""
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go", "550 5.7.1 not this"), drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=550, reply="not this")


@table((
    ("quota", "552 5.2.2 mailbox full", "failed", 552, r"5\.2\.2"),
    ("user", "552 5.1.1 nobody", "failed", 552, r"5\.1\.1"),
    ("policy", "552 5.7.0 no", "failed", 552, r"5\.7\.0"),
    ("too many", "552 5.5.3 too many", "deferred", 552, r"4\.5\.3"),
    ("bare, and the first", "552 what", "failed", 552, r"5\.0\.0"),
))
def s_112_552_is_permanent_unless_it_means_too_many(t, reply, status, code,
                                                     dsn):
    for option, verb in (((), "EHLO"), (("--lmtp",), "LHLO")):
        server = t.serve([opened(verb=verb), mail_from(), rcpt_to(reply),
                          bye()])
        run = t.deliver(server, *option)
        t.scripts_held()
        t.outcome(run, status, code=code, dsn=dsn)


@table((str(c), c) for c in (500, 501, 502, 503, 504, 550, 554))
def s_020_helo_after_any_such_refusal(t, code):
    server = t.serve([say(GREETING), line("EHLO .*"), say("%d no" % code),
                      hello(verb="HELO"), transaction(), bye()])
    t.delivered(t.deliver(server))
    t.scripts_held()
