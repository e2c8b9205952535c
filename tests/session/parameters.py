# SPDX-License-Identifier: ISC
"""S-091 to S-102: what a job asks of MAIL and RCPT, from its JSON to the wire."""
import array
import json
import os
import socket
import sqlite3
import time

from chunks import BOTH, chunk
from harness import MESSAGE, USAGE, equal, holds, lacks, table
from server import (bye, data, drain, line, mail_from, opened, rcpt_to, say)

ONE = ("transport t {\n\tprotocol = smtp\n\tserver = \"%s\"\n"
       "\ttls_security_level = none\n\tquit_timeout = 1s\n"
       "\tconnection_idle_time = 0\n}\n"
       "route \"*\" {\n\ttransport = t\n}\n")
QUICK = "minimal_backoff_time = 2s\nmaximal_backoff_time = 2s\n"
LATER = "2030-01-01T00:00:00Z"
ALL = ("DSN", "DELIVERBY", "FUTURERELEASE 999999999 9999-12-31T23:59:59Z",
       "MT-PRIORITY", "AUTH PLAIN")


def any_of(*keywords):
    """A session with one message, whatever its envelope asks."""
    return [opened(*keywords), mail_from(".*"), rcpt_to(pattern=".*"), data(),
            bye()]


def wire(t, *options, keywords=(), to=("b@example.org",), **more):
    """The MAIL line and the RCPT lines of a delivered message."""
    server = t.serve(any_of(*keywords))
    t.delivered(t.deliver(server, *options, to=to, **more))
    lines = server.connections[0].lines
    return ([x for x in lines if x.startswith("MAIL")][0],
            [x for x in lines if x.startswith("RCPT")])


def refused(t, words, *options, status=USAGE):
    """Refused with a word about it, and nobody is connected to."""
    server = t.serve()
    run = t.deliver(server, *options)
    t.scripts_held()
    equal(run.status, status, "exit status")
    holds(words, run.stderr, "complaint")
    equal(len(run.stderr.splitlines()), 1, "lines of complaint")
    for row in run.outcomes:
        equal((row["status"], row["dsn"], row["step"]),
              ("failed", "5.5.4", "queue"), "outcome")


def not_sent(t, words, dsn, *options, keywords=()):
    """The server does not offer it: no MAIL, and a failure says so."""
    server = t.serve([opened(*keywords), bye()])
    run = t.deliver(server, *options)
    t.scripts_held()
    t.outcome(run, "failed", code=0, dsn=dsn, step="mail", reply=words)


def submit(daemon, job, more=()):
    """A job as it stands, and all answers up to the last."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(60)
    sock.connect(daemon.job)
    fd = os.memfd_create("message")
    os.write(fd, MESSAGE)
    sock.sendmsg([json.dumps(job).encode()], [(
        socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    for packet in more:
        sock.send(json.dumps(packet).encode())
    answers = []
    while True:
        answers.append(json.loads(sock.recv(65536)))
        if answers[-1].get("done") or \
                answers[-1].get("status") == "refused" or \
                job.get("wait", "queued") == "queued":
            sock.close()
            return answers


# DSN

DSN = ("--ret", "headers", "--envid", "QQ314159", "--notify",
       "success,failure,delay", "--orcpt", "rfc822;bob@example.org")


def s_091_dsn_as_given(t):
    mail, rcpts = wire(t, *DSN, keywords=("DSN",))
    equal(mail, "MAIL FROM:<a@example.net> RET=HDRS ENVID=QQ314159")
    equal(rcpts, ["RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE,DELAY "
                  "ORCPT=rfc822;bob@example.org"])
    mail, rcpts = wire(t, "--ret", "full", "--notify", "never",
                       keywords=("DSN", "SIZE"))
    equal(mail, "MAIL FROM:<a@example.net> SIZE=27 RET=FULL")
    equal(rcpts, ["RCPT TO:<b@example.org> NOTIFY=NEVER"])


def s_091_dsn_not_offered(t):
    for keywords in ((), ("SIZE", "PIPELINING", "XDSN")):
        mail, rcpts = wire(t, *DSN, keywords=keywords)
        lacks("RET|ENVID", mail)
        equal(rcpts, ["RCPT TO:<b@example.org>"])


def s_091_dsn_in_helo_mode(t):
    server = t.serve([say("220 old"), line("EHLO .*"), say("502 what"),
                      line("HELO .*"), say("250 old"),
                      line("MAIL FROM:<a@example.net>"), say("250 ok"),
                      line("RCPT TO:<b@example.org>"), say("250 ok"), data(),
                      bye()])
    t.delivered(t.deliver(server, *DSN))


def s_091_recipients_have_their_own(t):
    """Over packets, the store and a second life of posternd."""
    server = t.serve([opened("PIPELINING", "DSN"),
                      line("MAIL FROM:<a@example.net> ENVID=one"),
                      line("RCPT TO:<b@example.org> NOTIFY=NEVER"),
                      line("RCPT TO:<c@example.org>"),
                      line("RCPT TO:<d@example.org> NOTIFY=DELAY "
                           "ORCPT=x400;/S[+]3Dd"),
                      line("DATA"), say(*["250 ok"] * 4, "354 go"),
                      data()[2:], drain()])
    closed = t.serve(listening=False)
    daemon = t.daemon(ONE % closed.name + QUICK, store="sqlite")
    submit(daemon, {
        "from": "a@example.net", "envid": "one", "more": True,
        "rcpts": [{"address": "b@example.org", "notify": ["never"]},
                  "c@example.org"]},
        [{"rcpts": [{"address": "d@example.org", "notify": ["delay"],
                     "orcpt": "x400;/S=d"}]}])
    daemon.stop()
    kept = sqlite3.connect(os.path.join(daemon.folder, "spool", "queue.db"))
    equal([x[0] for x in kept.execute(
        "SELECT parameters FROM recipient ORDER BY idx")],
        ["NOTIFY=NEVER", "", "NOTIFY=DELAY ORCPT=x400;/S+3Dd"], "kept")
    kept.close()
    again(daemon, closed.name, server.name)
    until = time.monotonic() + 20
    while not server.connections or not server.connections[0].messages:
        if time.monotonic() > until:
            raise AssertionError("not delivered: " + daemon.said())
        time.sleep(0.1)
    daemon.stop()
    t.scripts_held()


def again(daemon, old, new):
    """Another posternd on the same spool, with another server."""
    with open(daemon.config, encoding="ascii") as f:
        text = f.read()
    with open(daemon.config, "w", encoding="ascii") as f:
        f.write(text.replace(old, new))
    daemon.start()


# xtext, and what is refused

@table([("plus", "a+b", "a+2Bb"), ("equals", "a=b", "a+3Db"),
        ("space", "a b", "a+20b"), ("all", "+= ", "+2B+3D+20"),
        ("none", "a;b,c<d>\"e\"", "a;b,c<d>\"e\"")])
def s_092_envid_is_xtext(t, text, encoded):
    mail, _ = wire(t, "--envid", text, keywords=("DSN",))
    equal(mail, "MAIL FROM:<a@example.net> ENVID=" + encoded)


def s_092_orcpt_is_xtext(t):
    _, rcpts = wire(t, "--orcpt", "rfc822;\"b c\"+d=e@example.org",
                    keywords=("DSN",))
    equal(rcpts, ["RCPT TO:<b@example.org> "
                  "ORCPT=rfc822;\"b+20c\"+2Bd+3De@example.org"])


@table([("umlaut", "utf-8;j\u00f8rgen@x", "utf-8;j\\x{F8}rgen@x"),
        ("done", "utf-8;j\\x{F8}rgen@x", "utf-8;j\\x{F8}rgen@x"),
        ("specials", "UTF-8;\"a b\"+c=\u4e2d@x",
         "UTF-8;\"a\\x{20}b\"\\x{2B}c\\x{3D}\\x{4E2D}@x")])
def s_092_orcpt_beyond_ascii(t, text, encoded):
    """RFC 6533, 3: never in xtext, and in a form that any server takes."""
    for keywords in (("DSN",), ("DSN", "SMTPUTF8", "8BITMIME")):
        _, rcpts = wire(t, "--orcpt", text, keywords=keywords)
        equal(rcpts, ["RCPT TO:<b@example.org> ORCPT=" + encoded])


@table([("control", "a\rb", "printable"), ("umlaut", "ü", "printable"),
        ("empty", "", "empty"), ("long", "x" * 101, "longer than 100"),
        ("encoded", "+" * 34, "longer than 100")])
def s_092_envid_that_is_none(t, text, words):
    refused(t, words, "--envid", text)


def s_092_longest_envid(t):
    mail, _ = wire(t, "--envid", "x" * 100, keywords=("DSN",))
    holds(" ENVID=x{100}$", mail)


@table([("no-type", "b@example.org", "address type"),
        ("empty", "rfc822;", "address type"),
        ("type", "rfc 822;b", "type"), ("control", "rfc822;b\n", "printable"),
        ("long", "rfc822;" + "x" * 494, "longer than 500")])
def s_092_orcpt_that_is_none(t, text, words):
    refused(t, words, "--orcpt", text)


@table([("never-delay", "never,delay", "alone"),
        ("delay-never", "delay,never", "alone"),
        ("all", "success,failure,delay,never", "alone"),
        ("twice", "delay,delay", "NOTIFY"), ("word", "always", "notify"),
        ("empty", "", "notify")])
def s_093_notify_that_is_none(t, text, words):
    refused(t, words, "--notify", text)


def s_093_never_over_the_socket(t):
    """In any packet of a job, of which nothing is queued then."""
    server = t.serve()
    daemon = t.daemon(ONE % server.name)
    bad = {"address": "c@example.org", "notify": ["never", "success"]}
    for packets in ([["b@example.org", bad]], [["b@example.org"], [bad]]):
        job = {"from": "a@example.net", "rcpts": packets[0],
               "wait": "attempt", "more": len(packets) > 1}
        answer = submit(daemon, job, [{"rcpts": x} for x in packets[1:]])[-1]
        equal((answer["status"], answer["code"], answer["dsn"]),
              ("refused", 501, "5.5.4"))
        holds("NEVER must stand alone", answer["error"])
    daemon.stop()
    t.scripts_held()


# DELIVERBY

@table([("0-R", "0"), ("-5-R", "-5:return"), ("0-RT", "0:return:trace")])
def s_095_no_time_to_return_in(t, text):
    refused(t, "above 0", "--deliver-by", text)


@table([("-5-N", "-5:notify", "-5;N"), ("0-N", "0:notify", "0;N"),
        ("120-R", "120", "120;R"), ("120-RT", "120:return:trace", "120;RT")])
def s_095_deliver_by(t, text, encoded):
    mail, _ = wire(t, "--deliver-by", text, keywords=("DELIVERBY",))
    equal(mail, "MAIL FROM:<a@example.net> BY=" + encoded)


def s_095_not_offered(t):
    not_sent(t, "DELIVERBY", r"5\.3\.3", "--deliver-by", "120")
    mail, _ = wire(t, "--deliver-by", "120:notify")
    equal(mail, "MAIL FROM:<a@example.net>")


def s_095_below_the_least(t):
    not_sent(t, "DELIVERBY", r"5\.4\.7", "--deliver-by", "120",
             keywords=("DELIVERBY 240",))
    mail, _ = wire(t, "--deliver-by", "120:notify",
                   keywords=("DELIVERBY 240",))
    holds("BY=120;N$", mail)
    not_sent(t, "DELIVERBY", r"5\.4\.7", "--deliver-by", "120",
             keywords=("DELIVERBY 240,X-MORE=1",))


@table([("none", (), "FAILURE,DELAY"),
        ("success", ("--notify", "success"), "SUCCESS,DELAY"),
        ("delay", ("--notify", "delay,failure"), "DELAY,FAILURE"),
        ("never", ("--notify", "never"), "NEVER")])
def s_095_told_of_delays_by_dsn(t, options, wanted):
    """RFC 2852, 4.1.4.2: where a server has DSN, and no DELIVERBY."""
    mail, rcpts = wire(t, "--deliver-by", "120:notify", "--orcpt",
                       "rfc822;b+c@x", *options, keywords=("DSN",))
    equal(mail, "MAIL FROM:<a@example.net>")
    equal(rcpts, ["RCPT TO:<b@example.org> NOTIFY=%s ORCPT=rfc822;b+2Bc@x" %
                  wanted])


def s_095_not_told_without_need(t):
    for by, keywords in (("120:notify", ("DSN", "DELIVERBY")),
                         ("-5:notify", ("DSN",)), ("120:notify", ())):
        _, rcpts = wire(t, "--deliver-by", by, keywords=keywords)
        equal(rcpts, ["RCPT TO:<b@example.org>"])


def s_095_told_of_delays_by_bdat(t):
    to = ["r%d@example.org" % i for i in range(50)]
    text = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 3000
    server = t.serve([opened("DSN", *BOTH), line("MAIL FROM:<[^ ]*>"),
                      [line("RCPT .* NOTIFY=FAILURE,DELAY")] * 50,
                      say(*["250 ok"] * 51), chunk(True), say("250 ok"),
                      bye()])
    run = t.deliver(server, "--deliver-by", "120:notify", to=to, message=text)
    t.scripts_held()
    equal({x["status"] for x in run.outcomes}, {"delivered"})
    equal(server.connections[0].messages, [text], "message")


def s_095_what_is_left_of_the_time(t):
    """RFC 2852, 4.1.4: less by what it sat in the queue."""
    server = t.serve([opened("DELIVERBY"), line("MAIL .* BY=100;R"),
                      say("451 4.3.0 later"), drain()],
                     [opened("DELIVERBY"), line("MAIL .* BY=9[0-9];R"),
                      say("250 ok"), rcpt_to(), data(), drain()])
    daemon = t.daemon(ONE % server.name + QUICK)
    run = daemon.send("--wait", "final", "--deliver-by", "100")
    equal([x["status"] for x in run.outcomes], ["deferred", "delivered"])
    daemon.stop()
    t.scripts_held()


def s_095_returned_when_it_is_late(t):
    """At its time, not at the end of a back-off of five minutes."""
    server = t.serve([opened("DELIVERBY"), line("MAIL .* BY=2;R"),
                      say("451 4.3.0 later"), drain()],
                     [opened("DELIVERBY"), drain()], optional=1)
    daemon = t.daemon(ONE % server.name)
    run = daemon.send("--wait", "final", "--deliver-by", "2")
    equal([(x["status"], x["dsn"]) for x in run.outcomes],
          [("deferred", "4.3.0"), ("failed", "5.4.7")])
    t.within(run, 8)
    daemon.stop()
    t.scripts_held()
    for c in server.connections[1:]:
        lacks("MAIL", " ".join(c.lines), "commands")


def s_095_returned_while_its_destination_is_not_tried(t):
    """A back-off of five minutes is no reason to tell the sender late."""
    closed = t.serve(listening=False)
    daemon = t.daemon(ONE % closed.name)
    run = daemon.send("--wait", "final", "--deliver-by", "2")
    results = [(x["status"], x["dsn"]) for x in run.outcomes]
    # A server of the configuration is tried again after a second.
    equal(results[-1], ("failed", "5.4.7"))
    equal(set(results[:-1]), {("deferred", "4.4.1")})
    t.within(run, 15)
    daemon.stop()


@table([("most", "1000000000"), ("least", "-1000000000:notify"),
        ("more", "99999999999")])
def s_096_beyond_nine_digits(t, text):
    refused(t, "999999999", "--deliver-by", text)


def s_096_nine_digits(t):
    mail, _ = wire(t, "--deliver-by", "999999999", keywords=("DELIVERBY",))
    holds("BY=999999999;R$", mail)
    mail, _ = wire(t, "--deliver-by", "-999999999:notify",
                   keywords=("DELIVERBY",))
    holds("BY=-999999999;N$", mail)


# FUTURERELEASE

@table([("0", "0"), ("most", "1000000000"), ("negative", "-1")])
def s_097_no_time_to_hold(t, text):
    refused(t, "from 1 to 999999999", "--hold-for", text)


@table([("least", "1"), ("most", "999999999")])
def s_097_hold_for(t, text):
    mail, _ = wire(t, "--hold-for", text, keywords=("FUTURERELEASE",))
    equal(mail, "MAIL FROM:<a@example.net> HOLDFOR=" + text)


@table([("month", "2030-13-01T00:00:00Z"), ("zone", "2030-01-01T00:00:00"),
        ("day", "2030-02-29T00:00:00Z"), ("word", "tomorrow"),
        ("space", "2030-01-01 00:00:00Z"), ("empty", ""),
        ("hour", "2030-01-01T24:00:00Z")])
def s_098_no_date_time(t, text):
    refused(t, "RFC 3339", "--hold-until", text)


@table([("utc", LATER, LATER),
        ("zone", "2030-01-01T01:30:00+01:30", LATER),
        ("fraction", "2030-01-01T00:00:00.25Z", LATER)])
def s_098_hold_until(t, text, wanted):
    mail, _ = wire(t, "--hold-until", text, keywords=("FUTURERELEASE",))
    equal(mail, "MAIL FROM:<a@example.net> HOLDUNTIL=" + wanted)


def s_098_a_time_that_is_past(t):
    mail, _ = wire(t, "--hold-until", "2020-01-01T00:00:00Z")
    equal(mail, "MAIL FROM:<a@example.net>")


def s_099_beyond_what_is_offered(t):
    offered = "FUTURERELEASE 3600 2029-12-31T23:59:59Z"
    not_sent(t, "FUTURERELEASE", r"5\.5\.4", "--hold-for", "3601",
             keywords=(offered,))
    not_sent(t, "FUTURERELEASE", r"5\.5\.4", "--hold-until", LATER,
             keywords=(offered,))
    mail, _ = wire(t, "--hold-for", "3600", keywords=(offered,))
    holds("HOLDFOR=3600$", mail)


def s_099_not_offered(t):
    not_sent(t, "FUTURERELEASE", r"5\.3\.3", "--hold-for", "5")
    not_sent(t, "FUTURERELEASE", r"5\.3\.3", "--hold-until", LATER)


def s_099_both_at_once(t):
    refused(t, "not both", "--hold-for", "5", "--hold-until", LATER)


@table([("for", ("--hold-for", "60", "--deliver-by", "60")),
        ("until", ("--hold-until", LATER, "--deliver-by", "3600:notify")),
        ("late", ("--hold-for", "1", "--deliver-by", "-5:notify"))])
def s_099_held_until_it_is_late(t, options):
    """RFC 4865, 5.2.1."""
    refused(t, "until it is to be delivered", *options)


def s_099_a_notification_is_not_held(t):
    """RFC 4865, 5.1.1."""
    server = t.serve()
    run = t.deliver(server, "--hold-for", "60", sender="")
    t.scripts_held()
    equal(run.status, USAGE, "exit status")
    holds("notification", run.stderr, "complaint")


def s_099_less_by_the_time_in_the_queue(t):
    server = t.serve([opened("FUTURERELEASE"), line("MAIL .* HOLDFOR=3"),
                      say("451 4.3.0 later"), drain()],
                     [opened(), mail_from("<a@example.net>"), rcpt_to(),
                      data(), drain()])
    daemon = t.daemon(ONE % server.name +
                      QUICK.replace("2s", "4s"))
    run = daemon.send("--wait", "final", "--hold-for", "3")
    equal([x["status"] for x in run.outcomes], ["deferred", "delivered"])
    daemon.stop()
    t.scripts_held()


# MT-PRIORITY and AUTH

@table([("-9", "-9"), ("9", "9"), ("0", "0")])
def s_100_priority(t, text):
    mail, _ = wire(t, "--priority", text, keywords=("MT-PRIORITY MIXER",))
    equal(mail, "MAIL FROM:<a@example.net> MT-PRIORITY=" + text)


def s_100_not_offered(t):
    mail, _ = wire(t, "--priority", "9")
    equal(mail, "MAIL FROM:<a@example.net>")


@table([("10", "10"), ("-10", "-10"), ("99", "99")])
def s_100_no_priority(t, text):
    refused(t, "from -9 to 9", "--priority", text)


@table([("unknown", "<>", "<>"), ("known", "e=mc2@example.com",
                                  "e+3Dmc2@example.com")])
def s_101_submitter(t, text, encoded):
    mail, _ = wire(t, "--submitter", text, keywords=("AUTH PLAIN",))
    equal(mail, "MAIL FROM:<a@example.net> AUTH=" + encoded)
    mail, _ = wire(t, "--submitter", text)
    equal(mail, "MAIL FROM:<a@example.net>")


@table([("word", "nobody"), ("empty", ""), ("brackets", "<a@example.net>")])
def s_101_no_submitter(t, text):
    refused(t, "address or <>", "--submitter", text)


# Lines

LOCAL = "l" * 64
DOMAIN = ".".join(["d" * 62] * 3)
LONG = LOCAL + "@" + DOMAIN  # 253 octets
PLUS = "+" * 64 + "@" + DOMAIN[:61]


def longest(keywords, steps, t, **more):
    """Everything at its longest, all at once."""
    server = t.serve([opened(*keywords), steps, bye()])
    t.delivered(t.deliver(
        server, "--ret", "full", "--envid", "=" * 31 + "x",
        "--deliver-by", "999999999:notify:trace", "--hold-until", LATER,
        "--priority", "-9", "--submitter", PLUS, "--notify",
        "success,failure,delay", "--orcpt", "rfc822;" + "+" * 162 + "x",
        to=(LONG,), sender=LONG, **more))
    return server.connections[0]


EXTRA = {"SIZE": 26, "DSN": 9 + 101, "DELIVERBY": 17, "FUTURERELEASE": 34,
         "MT-PRIORITY": 15, "AUTH": 500}


def within_limits(lines, keywords):
    granted = 512 + sum(EXTRA.get(k.split()[0], 0) for k in keywords)
    mail = [x for x in lines if x.startswith("MAIL")][0]
    rcpt = [x for x in lines if x.startswith("RCPT")][0]
    if len(mail) + 2 > granted:
        raise AssertionError("MAIL has %d octets, granted are %d" % (
            len(mail) + 2, granted))
    granted = 512 + (501 + 29 if "DSN" in keywords else 0)
    if len(rcpt) + 2 > granted:
        raise AssertionError("RCPT has %d octets, granted are %d" % (
            len(rcpt) + 2, granted))
    return mail, rcpt


def s_102_all_at_once(t):
    keywords = ("SIZE",) + ALL
    c = longest(keywords, [mail_from(".*"), rcpt_to(pattern=".*"), data()], t)
    mail, rcpt = within_limits(c.lines, keywords)
    holds("SIZE=.*RET=.*ENVID=.*BY=.*HOLDUNTIL=.*MT-PRIORITY=.*AUTH=", mail)
    holds("NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;", rcpt)


@table([("none", ()), ("dsn", ("DSN",)), ("size", ("SIZE",)),
        ("auth", ("AUTH PLAIN", "SIZE"))])
def s_102_what_is_not_offered_grants_nothing(t, keywords):
    server = t.serve(any_of(*keywords))
    t.delivered(t.deliver(
        server, "--ret", "full", "--envid", "x" * 94, "--priority", "-9",
        "--deliver-by", "999999999:notify", "--submitter", PLUS, "--notify",
        "success", "--orcpt", "rfc822;" + "x" * 487, to=(LONG,), sender=LONG))
    within_limits(server.connections[0].lines, keywords)


def s_102_all_at_once_by_bdat(t):
    keywords = BOTH + ("SIZE",) + ALL
    text = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 3400
    c = longest(keywords, [line("MAIL .*"), line("RCPT .*"),
                           say("250 ok", "250 ok"), chunk(True),
                           say("250 in")], t,
                message=text)
    within_limits(c.lines, keywords)
    equal(c.messages, [text], "message")


def s_102_many_recipients_by_bdat(t):
    to = ["r%d@example.org" % i for i in range(40)]
    server = t.serve([opened("DSN", *BOTH), line("MAIL .* ENVID=x{94}"),
                      [line("RCPT .* NOTIFY=SUCCESS,FAILURE,DELAY")] * 40,
                      say(*["250 ok"] * 41), chunk(True), say("250 ok"),
                      bye()])
    run = t.deliver(server, "--envid", "x" * 94, "--notify",
                    "success,failure,delay", to=to,
                    message=b"x" * 59000 + b"\r\n")
    t.scripts_held()
    equal(len(run.outcomes), 40)
    equal(len(server.connections[0].messages[0]), 59002)


@table([("by", ("--deliver-by", "120"), "DELIVERBY 240"),
        ("hold", ("--hold-for", "60"), "FUTURERELEASE 59"),
        ("until", ("--hold-until", LATER), "DSN")])
def h_a_transcript_knows_what_was_asked(t, options, keyword):
    """Its replay fails for the same reason."""
    server = t.serve([opened(keyword), bye()])
    kept = os.path.join(t.folder, "kept")
    run = t.deliver(server, *options, "--transcript", kept)
    t.scripts_held()
    equal([x["step"] for x in run.outcomes], ["mail"], "steps")
    with open(kept, encoding="ascii") as f:
        holds(r"\nparameters 1 \"(BY|HOLD)", f.read(), "transcript")
    equal(t.replay(kept).status, 0, "replay")


def h_options_that_are_none(t):
    for options in (("--deliver-by", "soon"), ("--deliver-by", "5:maybe"),
                    ("--deliver-by", "5:return:x"), ("--hold-for", "1h"),
                    ("--priority", "urgent"), ("--priority", "")):
        refused(t, "postern: " + options[0], *options, status=USAGE)
    server = t.serve()
    run = t.deliver(server, "--orcpt", "rfc822;x",
                    to=("b@example.org", "c@example.org"))
    equal(run.status, USAGE, "exit status")
    holds("one recipient", run.stderr)
