# SPDX-License-Identifier: ISC
"""XFORWARD and XCLIENT: who handed a message in, told to a server that asks."""
import json
import os
import sys
import time

from harness import equal, holds, lacks, table
from server import (bye, close, data, drain, hello, honest, line, mail_from,
                    message, opened, pause, rcpt_to, say)

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Job, memfd  # noqa: E402

CONFIG = """
transport one {
	server = "%s"
	tls_security_level = none
	client_command = %s
	destination_concurrency_limit = 1
	connection_idle_time = 10s
	mail_timeout = 2s
}
route "*" { transport = one }
"""
CLIENT = {"name": "spike.example", "address": "192.0.2.1", "port": 4711,
          "helo": "spike helo", "protocol": "esmtp", "login": "ana=x",
          "source": "remote"}
NAMES = "NAME ADDR PORT PROTO HELO SOURCE LOGIN"
ALL = ("PORT=4711 NAME=spike.example HELO=spike\\+20helo "
       "LOGIN=ana\\+3Dx PROTO=ESMTP SOURCE=REMOTE ADDR=192.0.2.1")


EIGHT_BIT = (b"MIME-Version: 1.0\r\nContent-Type: text/plain; "
             b"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
             b"\xc3\xa4\r\n")


def send(daemon, client=CLIENT, text=b"Subject: x\n\nx\n", **more):
    job = Job(daemon.job)
    try:
        job.send(dict({"from": "a@example.net", "rcpts": ["b@example.org"],
                       "wait": "attempt"}, **more,
                      **({"client": client} if client is not None else {})),
                 memfd(text))
        while True:
            answer = job.receive()
            if "recipient" in answer or answer.get("status") == "refused":
                return answer
    finally:
        job.close()


def ran(t, command, server, *clients, **more):
    daemon = t.daemon(CONFIG % (server.name, command))
    answers = [send(daemon, client, **more) for client in clients]
    daemon.stop()
    for s in t.servers:
        s.stop()
    return answers


def delivered(answers):
    equal([x["status"] for x in answers], ["delivered"] * len(answers),
          json.dumps(answers))


def x_xforward_before_each_message(t):
    server = t.serve([opened("XFORWARD " + NAMES), line("XFORWARD " + ALL),
                      say("250 ok"), mail_from(), rcpt_to(), data(),
                      line("XFORWARD ADDR=IPV6:2001:db8::1"), say("250 ok"),
                      mail_from(), rcpt_to(), data(),
                      mail_from(), rcpt_to(), data(), drain()])
    delivered(ran(t, "xforward", server, CLIENT, {"address": "2001:db8::1"},
                  None))
    t.scripts_held()


def x_xforward_in_one_batch(t):
    server = t.serve([opened("PIPELINING", "XFORWARD " + NAMES),
                      line("XFORWARD " + ALL), line("MAIL .*"),
                      line("RCPT .*"), line("DATA"),
                      say("250 ok", "250 ok", "250 ok", "354 go"),
                      message(), say("250 kept"), drain()])
    delivered(ran(t, "xforward", server, CLIENT))
    t.scripts_held()


def x_xforward_with_chunking(t):
    server = t.serve([honest("PIPELINING", "CHUNKING", "XFORWARD NAME ADDR")])
    delivered(ran(t, "xforward", server, CLIENT, None, CLIENT))
    equal([x for x in server.connections[0].lines if x.startswith("XF")],
          ["XFORWARD NAME=spike.example ADDR=192.0.2.1"] * 2)


def x_xforward_of_what_is_taken(t):
    server = t.serve([honest("XFORWARD NAME")])
    delivered(ran(t, "xforward", server, CLIENT))
    holds("XFORWARD NAME=spike.example,MAIL",
          ",".join(server.connections[0].lines))


def x_xforward_of_many_octets(t):
    """A line has 512 octets; what does not fit goes on the next."""
    server = t.serve([honest("XFORWARD " + NAMES)])
    delivered(ran(t, "xforward", server, dict(
        CLIENT, name="n" * 250, helo="h" * 250, login="l" * 250)))
    lines = [x for x in server.connections[0].lines if x.startswith("XF")]
    equal(len(lines), 3)
    for x in lines:
        equal(len(x) <= 510, True, x)


@table([("alone",), ("in a batch", "PIPELINING")])
def h_xforward_of_a_word_too_long_for_any_line(t, *more):
    """255 characters may be 765 in xtext: no line holds them."""
    server = t.serve([honest(*more, "XFORWARD " + NAMES)])
    answers = ran(t, "xforward", server, {"name": "=" * 166},
                  {"name": "=" * 165})
    equal([(x["status"], x.get("code")) for x in answers],
          [("refused", 501), ("delivered", 250)], json.dumps(answers))


def x_xforward_refused_is_none_of_the_message(t):
    server = t.serve([opened("XFORWARD " + NAMES), line("XFORWARD .*"),
                      say("501 no"), mail_from(), rcpt_to(), data(), drain()])
    delivered(ran(t, "xforward", server, CLIENT))
    t.scripts_held()


def x_neither_offered(t):
    for command in ("xforward", "xclient"):
        server = t.serve([honest()])
        delivered(ran(t, command, server, CLIENT))
        lacks("XFORWARD|XCLIENT", " ".join(server.connections[0].lines))


def x_not_where_nobody_asked(t):
    server = t.serve([honest("XFORWARD " + NAMES, "XCLIENT " + NAMES)])
    delivered(ran(t, "none", server, CLIENT))
    lacks("XFORWARD|XCLIENT", " ".join(server.connections[0].lines))


def x_xclient_and_the_session_is_that_clients(t):
    first = [opened("XCLIENT NAME ADDR", "SIZE"),
             line("XCLIENT NAME=spike.example ADDR=192.0.2.1"),
             say("220 mail.test again"), hello("SIZE 1000"),
             mail_from(r"<a@example.net> SIZE=\d+"), rcpt_to(), data(), bye()]
    second = [opened("XCLIENT NAME ADDR"), line("XCLIENT ADDR=192.0.2.9"),
              say("220 again"), hello(), mail_from("<a@example.net>"),
              rcpt_to(), data(), bye()]
    server = t.serve(first, second)
    delivered(ran(t, "xclient", server, CLIENT, {"address": "192.0.2.9"}))
    t.scripts_held()


def x_xclient_what_that_client_is_not_offered(t):
    server = t.serve([opened("XCLIENT NAME", "SIZE 1000"), line("XCLIENT .*"),
                      say("220 again"), hello("SIZE 3"), bye()])
    answer, = ran(t, "xclient", server, CLIENT)
    equal((answer["status"], answer["dsn"]), ("failed", "5.3.4"))
    t.scripts_held()


def x_xclient_and_extensions_are_gone(t):
    """What that client is not offered is not used: no chunk, no BODY."""
    server = t.serve([opened("XCLIENT NAME", "CHUNKING", "8BITMIME"),
                      line("XCLIENT .*"), say("220 again"), hello(),
                      mail_from("<a@example.net>"), rcpt_to(), data(), bye()])
    answer, = ran(t, "xclient", server, CLIENT, text=EIGHT_BIT)
    equal(answer["status"], "delivered", json.dumps(answer))
    t.scripts_held()


def x_xclient_and_extensions_are_there(t):
    """The message goes as it is, where it would have been converted before."""
    server = t.serve([opened("XCLIENT NAME"), line("XCLIENT .*"),
                      say("220 again"), hello("8BITMIME"),
                      mail_from("<a@example.net> BODY=8BITMIME"), rcpt_to(),
                      data(), bye()])
    answer, = ran(t, "xclient", server, CLIENT, text=EIGHT_BIT)
    equal(answer["status"], "delivered", json.dumps(answer))
    t.scripts_held()
    equal(server.connections[0].messages, [EIGHT_BIT])


def h_xclient_that_fits_no_line(t):
    """Two lines were two clients: nothing is told, and QUIT is answered."""
    server = t.serve([opened("XCLIENT NAME HELO"), line("QUIT"),
                      say("221 bye"), pause(2), drain()])
    daemon = t.daemon(CONFIG % (server.name, "xclient"))
    answer = send(daemon, {"name": "=" * 160, "helo": "=" * 160})
    equal((answer["status"], answer["dsn"]), ("deferred", "4.3.0"))
    started = time.monotonic()
    daemon.stop()
    equal(time.monotonic() - started < 1, True, "the session ended")
    t.scripts_held()


def h_xclient_refused(t):
    for reply in ("550 5.7.0 not you", "250 fine", "421 bye"):
        server = t.serve([opened("XCLIENT NAME"), line("XCLIENT .*"),
                          say(reply), drain()])
        answer, = ran(t, "xclient", server, CLIENT)
        equal((answer["status"], answer["code"]),
              ("deferred", int(reply[:3])), json.dumps(answer))
        lacks("MAIL", " ".join(server.connections[0].lines))


def h_xclient_closed(t):
    for script in ([line("XCLIENT .*"), close()],
                   [line("XCLIENT .*"), say("220 again"), line("EHLO .*"),
                    close()],
                   [line("XCLIENT .*"), say("220 again"), line("EHLO .*"),
                    say("550 not you"), drain()]):
        server = t.serve([opened("XCLIENT NAME")] + script)
        answer, = ran(t, "xclient", server, CLIENT)
        equal(answer["status"], "deferred", json.dumps(answer))
        lacks("MAIL", " ".join(server.connections[0].lines))


def h_xforward_silence(t):
    server = t.serve([opened("XFORWARD NAME"), line("XFORWARD .*"), drain()])
    answer, = ran(t, "xforward", server, CLIENT)
    equal(answer["status"], "deferred", json.dumps(answer))
    holds("timed out.*XFORWARD", answer["reply"])


def x_a_client_that_makes_no_sense_is_refused(t):
    server = t.serve()
    daemon = t.daemon(CONFIG % (server.name, "xforward"))
    for bad, word in (({"address": "192.0.2.256"}, "address"),
                      ({"address": "2001:db8::x"}, "address"),
                      ({"port": 0}, "port"), ({"port": 65536}, "port"),
                      ({"protocol": "HTTP"}, "protocol"),
                      ({"source": "here"}, "source"),
                      ({"name": "a\nb"}, "name"), ({"name": 1}, "name"),
                      ({"helo": "x" * 256}, "HELO|too long"),
                      ({"nonsense": "x"}, "nonsense"), ("x", "object")):
        answer = send(daemon, bad)
        equal(answer["status"], "refused", json.dumps([bad, answer]))
        holds(word, answer["error"])
    daemon.stop()
    t.scripts_held()
