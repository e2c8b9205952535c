# SPDX-License-Identifier: ISC
"""S-075 to S-103, as far as plain MAIL and RCPT go: addresses, sizes."""
from harness import DELIVERED, USAGE, Dns, equal, holds, lacks
from server import (bye, close, data, line, mail_from, message, opened, quiet,
                    rcpt_to, say, transaction, whole)

LABEL = "x" * 63


def wire(t, *options, message_=None, keywords=(), **more):
    """The MAIL line and the RCPT lines of a delivered message."""
    server = t.serve(whole(*keywords))
    if message_ is not None:
        more["message"] = message_
    t.delivered(t.deliver(server, *options, **more))
    lines = server.connections[0].lines
    return ([x for x in lines if x.startswith("MAIL")][0],
            [x for x in lines if x.startswith("RCPT")],
            server.connections[0].messages[0])


def refused(t, what="recipient|--from", **more):
    """Refused with a word about it, and nobody is connected to."""
    server = t.serve()
    run = t.deliver(server, **more)
    t.scripts_held()
    equal(run.status, USAGE, "exit status")
    equal(run.outcomes, [], "outcomes")
    equal(len(run.stderr.splitlines()), 1, "lines of complaint")
    holds(what, run.stderr, "complaint")
    lacks("[\x00-\x08\x0b-\x1f\x7f]", run.stderr, "complaint")


def s_075_empty_sender(t):
    mail, _, _ = wire(t, sender="")
    equal(mail, "MAIL FROM:<>")
    mail, _, _ = wire(t, sender="<>")
    equal(mail, "MAIL FROM:<>")


def s_076_no_space_after_the_colon(t):
    mail, rcpts, _ = wire(t)
    equal(mail, "MAIL FROM:<a@example.net>")
    equal(rcpts, ["RCPT TO:<b@example.org>"])


def s_077_source_route_is_stripped(t):
    mail, rcpts, _ = wire(t, sender="@one.example:a@example.net",
                          to=("<@one.example,@two.example:b@example.org>",))
    equal(mail, "MAIL FROM:<a@example.net>")
    equal(rcpts, ["RCPT TO:<b@example.org>"])


def s_078_octets_that_would_be_syntax(t):
    for bad in ("b\r@example.org", "b@example.org\r\nDATA", "b\n@example.org",
                "b@example.org>", "b>x@example.org", "b\x01@example.org",
                "b\x7f@example.org", "\"b\r\"@example.org"):
        refused(t, to=(bad,))
        refused(t, sender=bad)


def s_079_labels(t):
    for bad in ("b@" + "x" * 64 + ".org", "b@example..org", "b@.org",
                "b@example.org..", "b@-example.org", "b@example-.org", "b@"):
        refused(t, to=(bad,))


def s_079_labels_that_are_fine(t):
    for good in ("b@" + LABEL + ".org", "b@localhost", "b@a-b.org", "b@a_1.org",
                 "b@example.org."):
        _, rcpts, _ = wire(t, to=(good,))
        equal(rcpts, ["RCPT TO:<%s>" % good.rstrip(".")])


def s_078_what_is_wider_is_quoted(t):
    for odd, quoted in (("b.@example.org", '"b."@example.org'),
                        ("b..c@example.org", '"b..c"@example.org')):
        mail, rcpts, _ = wire(t, sender=odd, to=(odd,))
        equal(mail, "MAIL FROM:<%s>" % quoted)
        equal(rcpts, ["RCPT TO:<%s>" % quoted])


def s_080_too_long(t):
    refused(t, to=("x" * 989 + "@example.org",))
    refused(t, sender="x" * 989 + "@example.org")
    refused(t, to=("b@" + ".".join([LABEL] * 4) + ".org",))


def s_080_long_and_fine(t):
    for n in (64, 65, 244, 600, 988):
        path = "x" * n + "@example.org"
        mail, rcpts, _ = wire(t, sender=path, to=(path,))
        equal(mail, "MAIL FROM:<%s>" % path)
        equal(rcpts, ["RCPT TO:<%s>" % path])


def s_081_postmaster(t):
    for good in ("<Postmaster>", "Postmaster", "postmaster"):
        _, rcpts, _ = wire(t, to=(good,))
        equal(rcpts, ["RCPT TO:<%s>" % good.strip("<>")])
    refused(t, to=("somebody",))


def s_082_literals(t):
    for good in ("b@[127.0.0.1]", "b@[IPv6:2001:db8::1]"):
        _, rcpts, _ = wire(t, to=(good,))
        equal(rcpts, ["RCPT TO:<%s>" % good])
    for bad in ("b@[]", "b@[1.2.3]", "b@[1.2.3.256]", "b@[::1]",
                "b@[IPv6:1.2.3.4]", "b@[127.0.0.1"):
        refused(t, to=(bad,))


def s_082_bare_address_is_no_literal(t):
    """Where it is taken at all, it is a name, which DNS does not know."""
    dns = Dns({})
    daemon = t.daemon('name_servers = { "%s" }\nhosts_file = ""\n' % dns.name +
                      "transport mx {\n\tallow_loopback = yes\n"
                      "\tconnect_timeout = 2s\n}\n"
                      'route "*" {\n\ttransport = mx\n}\n')
    run = daemon.send(to=("b@127.0.0.91",))
    for row in run.outcomes:
        equal(row["relay"], "", "relay")
    if run.status == DELIVERED:
        raise AssertionError("delivered")


SHAPES = (b"Subject: x\r\n\r\nhello\r\n", b"Subject: x\r\n\r\nno end",
          b"Subject: x\n\nlines\n.\n..\nof LF\n", b".\r\n.\r\n..x\r\n", b"",
          b"\r\n", b"a\rb\r\n", b"x" * 70000)


def s_083_size_where_offered(t):
    for text in SHAPES:
        mail, _, got = wire(t, message_=text, keywords=("SIZE 100000",))
        plain = b"\r\n".join(x[1:] if x.startswith(b".") else x
                             for x in got.split(b"\r\n"))
        equal(mail, "MAIL FROM:<a@example.net> SIZE=%d" % len(plain),
              "MAIL for %r" % text[:40])


def s_083_no_size_where_not_offered(t):
    mail, _, _ = wire(t)
    lacks("SIZE", mail)


def s_084_size_leaves_out_stuffing(t):
    mail, _, got = wire(t, message_=b".a\r\n..\r\n.\r\nend",
                        keywords=("SIZE",))
    equal(got, b"..a\r\n...\r\n..\r\nend\r\n", "on the wire")
    equal(mail, "MAIL FROM:<a@example.net> SIZE=16")


def s_085_over_the_limit(t):
    server = t.serve([opened("SIZE 26"), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=0, dsn=r"5\.3\.4", step="mail",
              reply="larger")
    lacks("MAIL", " ".join(server.connections[0].lines))


def s_085_at_the_limit(t):
    mail, _, _ = wire(t, keywords=("SIZE 27",))
    equal(mail, "MAIL FROM:<a@example.net> SIZE=27")


EIGHT = b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"


def s_086_8bitmime(t):
    server = t.serve([opened("8BITMIME"),
                      line("MAIL FROM:<a@example.net> BODY=8BITMIME"),
                      say("250 ok"), rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server, message=EIGHT))
    equal(server.connections[0].messages, [EIGHT])


def s_103_parameter_refused(t):
    for code, status in ((555, "failed"), (455, "deferred")):
        server = t.serve([opened("SIZE"), line("MAIL .* SIZE=27"),
                          say("%d 5.5.4 what SIZE" % code), bye()])
        run = t.deliver(server)
        t.scripts_held()
        t.outcome(run, status, code=code, step="mail")
        server = t.serve([opened(), mail_from(),
                          rcpt_to("%d no such parameter" % code), bye()])
        run = t.deliver(server)
        t.scripts_held()
        t.outcome(run, status, code=code, step="rcpt")


def h_200_recipients(t):
    to = ["r%d@example.org" % i for i in range(200)]
    server = t.serve([opened("PIPELINING"), line("MAIL .*"), say("250 ok"),
                      [rcpt_to() for _ in range(50)], line("DATA"),
                      say("354 go"), message(), say("250 ok"), bye()],
                     *[[opened(), transaction(50), bye()]] * 3)
    run = t.deliver(server, to=to)
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")
    equal(sorted(x["recipient"] for x in run.outcomes), sorted(to))


def h_quoted_local_part(t):
    server = t.serve([opened(), mail_from(),
                      line(r'RCPT TO:<"a b\\"c"@example\.org>'), quiet(0.1),
                      say("250 ok"), data(), bye()])
    t.delivered(t.deliver(server, to=(r'"a b\"c"@example.org',)))
