# SPDX-License-Identifier: ISC
"""S-135 to S-143: LMTP, where every recipient has a reply of its own."""
import json
import os
import subprocess
import threading

from harness import (BUILD, DEFERRED, DELIVERED, FAILED, HANG_S, MESSAGE,
                     USAGE, equal, holds, lacks)
from server import (bye, close, data, drain, eof, line, mail_from, message,
                    opened, pause, quiet, rcpt_to, say, upgrade, hello, whole)

THREE = ("b@example.org", "c@example.org", "d@example.org")


def lhlo(*keywords):
    return opened(*keywords, verb="LHLO")


def s_135_three_replies(t):
    server = t.serve([
        lhlo(), mail_from(), [rcpt_to()] * 3, line("DATA"), say("354 go"),
        message(), say("250 2.1.5 for b"), quiet(0.3), say("250 2.1.5 for c"),
        quiet(0.3), say("250 2.1.5 for d"), bye()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    for to in THREE:
        t.outcome(run, "delivered", code=250, step="final",
                  reply="for %s$" % to[0], recipient=to,
                  exit_status=DELIVERED)


def s_136_second_refused(t):
    server = t.serve([
        lhlo(), mail_from(), rcpt_to(), rcpt_to("550 5.1.1 no c"), rcpt_to(),
        data("250 2.1.5 for b", "250 2.1.5 for d"), bye()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", reply="for b", recipient=THREE[0])
    t.outcome(run, "failed", code=550, step="rcpt", reply="no c",
              recipient=THREE[1])
    t.outcome(run, "delivered", reply="for d", recipient=THREE[2],
              exit_status=FAILED)


def s_137_one_each(t):
    server = t.serve([
        lhlo("PIPELINING", "ENHANCEDSTATUSCODES"), line("MAIL .*"),
        [line("RCPT .*")] * 3, line("DATA"),
        say("250 ok", "250 ok", "250 ok", "250 ok", "354 go"), message(),
        say("250 2.1.5 for b", "452 4.2.2 full c", "550 5.2.1 off d"),
        bye()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", code=250, reply="for b", recipient=THREE[0])
    t.outcome(run, "deferred", code=452, dsn=r"4\.2\.2", step="final",
              reply="full c", recipient=THREE[1])
    t.outcome(run, "failed", code=550, dsn=r"5\.2\.1", step="final",
              reply="off d", recipient=THREE[2], exit_status=DEFERRED)


def s_138_replies_of_several_lines(t):
    server = t.serve([
        lhlo(), mail_from(), [rcpt_to()] * 2,
        data("250-2.1.5 first line", "250 2.1.5 for b",
             "550-5.2.1 first line", "550-5.2.1 another", "550 5.2.1 no c"),
        bye()])
    run = t.deliver(server, "--lmtp", to=THREE[:2])
    t.scripts_held()
    t.outcome(run, "delivered", reply="for b", recipient=THREE[0])
    t.outcome(run, "failed", code=550, reply="no c", recipient=THREE[1],
              exit_status=FAILED)


def s_139_same_recipient_twice(t):
    """Two RCPT have two replies; where we send one, one is all there is."""
    server = t.serve([
        lhlo(), mail_from(), [rcpt_to()] * 2,
        data("250 2.1.5 once", "250 2.1.5 twice"), bye()])
    run = t.deliver(server, "--lmtp", to=("b@example.org", "b@example.org"))
    t.scripts_held()
    equal(len(run.outcomes), 2, "outcomes")
    equal(run.status, DELIVERED, "exit status")


def s_140_close_after_one_of_three(t):
    server = t.serve([
        lhlo(), mail_from(), [rcpt_to()] * 3, data("250 2.1.5 for b"),
        pause(0.2), close()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", reply="for b", recipient=THREE[0])
    for to in THREE[1:]:
        t.outcome(run, "deferred", code=0, step="final", in_doubt=True,
                  recipient=to, exit_status=DEFERRED)


def s_140_421_after_one_of_three(t):
    server = t.serve([
        lhlo(), mail_from(), [rcpt_to()] * 3, data("250 2.1.5 for b",
                                                   "421 4.3.2 down"),
        drain()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", reply="for b", recipient=THREE[0])
    for to in THREE[1:]:
        t.outcome(run, "deferred", code=421, step="final", recipient=to,
                  in_doubt=True, exit_status=DEFERRED)


def s_141_first_result_before_the_second_reply(t):
    heard = threading.Event()

    def wait(_connection):
        heard.wait(20)

    server = t.serve([lhlo(), mail_from(), [rcpt_to()] * 2,
                      data("250 2.1.5 for b"), wait, say("250 2.1.5 for c"),
                      bye()])
    with subprocess.Popen(
            [os.path.join(BUILD, "postern"), "deliver", "--lmtp", "--json",
             "--tls", "none", "--server", server.name, "--ehlo",
             "client.test", "--from", "a@example.net"] + list(THREE[:2]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        guard = threading.Timer(HANG_S, p.kill)
        guard.start()
        p.stdin.write(MESSAGE)
        p.stdin.close()
        first = json.loads(p.stdout.readline())
        equal(heard.is_set(), False, "second reply")
        lines = len([x for x in server.connections[0].log
                     if "for c" in x])
        heard.set()
        second = json.loads(p.stdout.readline())
        p.wait()
        guard.cancel()
    equal((first["recipient"], first["status"]), (THREE[0], "delivered"))
    equal(lines, 0, "replies for c when the result of b was out")
    equal((second["recipient"], second["status"]), (THREE[1], "delivered"))
    t.scripts_held()


def s_143_lmtp_to_port_25(t):
    run = t.deliver_raw("deliver", "--lmtp", "--server", "127.0.0.1:25",
                        "--json", "--from", "a@example.net", "b@example.org")
    equal(run.status, USAGE, "exit status")
    equal(run.outcomes, [], "outcomes")
    holds("25", run.stderr, "complaint")


def s_143_unix_socket(t):
    server = t.serve_unix(whole(verb="LHLO"))
    row = t.delivered(t.deliver(server, "--lmtp"))
    holds(server.path, row["relay"], "relay")


def h_all_refused_and_354(t):
    """RFC 2033, 4.2: no recipient, no reply after the dot."""
    server = t.serve([
        lhlo("PIPELINING"), line("MAIL .*"), line("RCPT .*"), line("DATA"),
        say("250 ok", "550 5.1.1 no b", "354 go"), line(r"\."), drain()])
    run = t.deliver(server, "--lmtp")
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="no b")
    equal(server.connections[0].taken in (b"", b"QUIT\r\n"), True, "the end")


def h_all_refused_and_503(t):
    server = t.serve([
        lhlo("PIPELINING"), line("MAIL .*"), line("RCPT .*"), line("DATA"),
        say("250 ok", "550 5.1.1 no b", "503 5.5.1 no recipients"), bye()])
    run = t.deliver(server, "--lmtp")
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="no b")


def h_silence_after_one_of_two(t):
    server = t.serve([lhlo(), mail_from(), [rcpt_to()] * 2,
                      data("250 2.1.5 for b"), eof()])
    run = t.deliver(server, "--lmtp", to=THREE[:2], step=1)
    t.scripts_held()
    t.outcome(run, "delivered", recipient=THREE[0])
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True,
              reply="timed out", recipient=THREE[1], exit_status=DEFERRED)


def h_lmtp_in_tls(t):
    server = t.serve([lhlo("STARTTLS"), upgrade(), hello(verb="LHLO"),
                      mail_from(), [rcpt_to()] * 2,
                      data("250 2.1.5 for b", "451 4.2.0 not c"), bye()])
    run = t.deliver(server, "--lmtp", "--tls", "encrypt", to=THREE[:2])
    t.scripts_held()
    t.outcome(run, "delivered", recipient=THREE[0])
    t.outcome(run, "deferred", code=451, reply="not c", recipient=THREE[1],
              exit_status=DEFERRED)
    lacks("MAIL", server.connections[0].clear.decode(), "in clear")


def h_more_replies_than_recipients(t):
    server = t.serve([lhlo(), mail_from(), rcpt_to(),
                      data("250 2.1.5 for b", "250 2.1.5 for nobody"),
                      drain()])
    run = t.deliver(server, "--lmtp")
    t.scripts_held()
    t.outcome(run, "delivered", code=250, reply="for b")


def h_3_recipients_over_a_unix_socket(t):
    server = t.serve_unix([lhlo(), mail_from(), [rcpt_to()] * 3,
                           data("250 b", "250 c", "250 d"), bye()])
    run = t.deliver(server, "--lmtp", to=THREE)
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")
