# SPDX-License-Identifier: ISC
"""S-104 to S-128: the transaction, pipelining, DATA, QUIT."""
import os
import re
import threading
import time

from harness import DEFERRED, DELIVERED, FAILED, equal, holds, lacks
from server import (GREETING, bye, close, data, drain, eof, honest, line,
                    mail_from, message, octets, opened, pause, quiet, raw,
                    rcpt_to, reset, say, transaction, upgrade, hello, whole)

THREE = ("b@example.org", "c@example.org", "d@example.org")

ONE = """
transport one {
	server = "%s"
	tls_security_level = none
	destination_concurrency_limit = 1
	connection_idle_time = 20s
	quit_timeout = 2s
	%s
}
route "*" {
	transport = one
}
"""


def lines(server, connection=0):
    return server.connections[connection].lines


def s_104_one_command_at_a_time(t):
    server = t.serve([
        say(GREETING), line("EHLO .*"), quiet(), say("250 mail.test"),
        line("MAIL .*"), quiet(), say("250 ok"), line("RCPT .*"), quiet(),
        say("250 ok"), line("RCPT .*"), quiet(), say("250 ok"), line("DATA"),
        quiet(), say("354 go"), message(), quiet(), say("250 ok"), bye()])
    run = t.deliver(server, to=THREE[:2])
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")


def s_105_batches(t):
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
        line("RCPT .*"), line("RCPT .*"), pause(0.2),
        say("250 ok", "250 ok", "250 ok", "250 ok"), line("DATA"),
        say("354 go"), message(), say("250 ok"), bye()])
    run = t.deliver(server, to=THREE)
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")


def s_105_batch_of_50_recipients(t):
    to = ["r%02d@%s.example.org" % (i, "x" * 60) for i in range(50)]
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), [line("RCPT .*")] * 50,
        say(*["250 ok"] * 51), line("DATA"), say("354 go"), message(),
        say("250 ok"), bye()])
    run = t.deliver(server, to=to, step=10)
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")


def s_106_no_message_before_354(t):
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"), line("DATA"),
        quiet(0.5), say("250 ok", "250 ok"), quiet(0.5), say("354 go"),
        message(), say("250 ok"), bye()])
    t.delivered(t.deliver(server))


def s_107_second_of_three_refused(t):
    server = t.serve([
        opened(), mail_from(), rcpt_to(), rcpt_to("550 5.1.1 no such c"),
        rcpt_to(), data(), bye()])
    run = t.deliver(server, to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", code=250, recipient=THREE[0])
    t.outcome(run, "failed", code=550, dsn=r"5\.1\.1", step="rcpt",
              reply="no such c", recipient=THREE[1])
    t.outcome(run, "delivered", code=250, recipient=THREE[2],
              exit_status=FAILED)


def s_108_all_refused(t):
    server = t.serve([
        opened(), mail_from(), rcpt_to("550 5.1.1 no b"),
        rcpt_to("450 4.2.1 not now c"), rcpt_to("551 5.1.6 gone d"), drain()])
    run = t.deliver(server, to=THREE)
    t.scripts_held()
    for to, status, code, reply in (
            (THREE[0], "failed", 550, "no b"),
            (THREE[1], "deferred", 450, "not now c"),
            (THREE[2], "failed", 551, "gone d")):
        t.outcome(run, status, code=code, step="rcpt", reply=reply,
                  recipient=to, exit_status=DEFERRED)
    lacks("DATA", server.connections[0].taken.decode(), "after RCPT")


def s_108_all_refused_pipelined(t):
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"), line("DATA"),
        say("250 ok", "550 5.1.1 no b", "554 5.5.1 no valid recipients"),
        bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="no b")


def s_109_all_refused_and_354(t):
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"), line("DATA"),
        say("250 ok", "550 5.1.1 no b", "354 go on then"), line(r"\."),
        say("554 5.5.1 nothing to do"), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="no b")


def s_110_mail_refused_in_a_batch(t):
    server = t.serve([
        opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
        line("RCPT .*"), line("DATA"), say("550 5.7.1 not from you"),
        quiet(0.3), say("503 5.5.1 MAIL first"), say("503 5.5.1 MAIL first"),
        quiet(0.3), say("503 5.5.1 RCPT first"), bye()])
    run = t.deliver(server, to=THREE[:2])
    t.scripts_held()
    for to in THREE[:2]:
        t.outcome(run, "failed", code=550, dsn=r"5\.7\.1", step="mail",
                  reply="not from you", recipient=to, exit_status=FAILED)


def s_110_mail_refused_for_now(t):
    server = t.serve([opened(), line("MAIL .*"), say("451 4.3.0 later"),
                      bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=451, step="mail", reply="later")


def s_111_rcpt_251_and_252(t):
    server = t.serve([opened(), mail_from(), rcpt_to("251 will forward"),
                      rcpt_to("252 cannot verify"), data(), bye()])
    run = t.deliver(server, to=THREE[:2])
    t.scripts_held()
    equal([x["status"] for x in run.outcomes], ["delivered"] * 2)


def too_many(t, reply):
    """The second and third have to come again, in another transaction."""
    got = []

    def rcpt(command, _n):
        got.append(command)
        if len(got) in (2, 3):
            return reply
        return "250 ok"

    step = honest(RCPT=rcpt)
    server = t.serve([step], [step], [step], optional=2)
    run = t.deliver(server, to=THREE)
    t.scripts_held()
    equal(sorted(x["recipient"] for x in run.outcomes), sorted(THREE))
    equal([x["status"] for x in run.outcomes], ["delivered"] * 3, "statuses")
    equal(run.status, DELIVERED, "exit status")
    equal(sum(len(c.messages) for c in server.connections), 2,
          "transactions")


def s_112_too_many_recipients_452(t):
    too_many(t, "452 4.5.3 too many recipients")


def s_112_too_many_recipients_552(t):
    too_many(t, "552 too many recipients")


def s_112_552_for_size_is_final(t):
    server = t.serve([opened(), mail_from(), rcpt_to(),
                      rcpt_to("552 5.3.4 too big for c"),
                      rcpt_to("552 5.2.3 too big for d"), data(), bye()])
    run = t.deliver(server, to=THREE)
    t.scripts_held()
    t.outcome(run, "delivered", recipient=THREE[0])
    t.outcome(run, "failed", code=552, recipient=THREE[1])
    t.outcome(run, "failed", code=552, recipient=THREE[2],
              exit_status=FAILED)


def s_112_452_for_the_first_is_deferred(t):
    server = t.serve([opened(), mail_from(), rcpt_to("452 4.2.2 full"),
                      bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=452, step="rcpt", reply="full")


def data_answered(t, reply, status, code, words, end):
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say(reply), end])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, status, code=code, step="data", reply=words)
    return server


def s_113_data_answered_250(t):
    server = data_answered(t, "250 fine", "deferred", 250,
                           "protocol error.*250", drain())
    lacks("Subject", server.connections[0].taken.decode(), "after 250")


def s_114_data_answered_451(t):
    data_answered(t, "451 4.3.0 not now", "deferred", 451, "not now", bye())


def s_114_data_answered_554(t):
    data_answered(t, "554 5.7.1 no", "failed", 554, "no", bye())


def on_the_wire(t, text):
    server = t.serve(whole())
    t.delivered(t.deliver(server, message=text))
    return server.connections[0].messages[0]


def s_115_dots_are_doubled(t):
    equal(on_the_wire(t, b".first\r\n.\r\n..\r\n.x\r\na.b\r\n.\r\n"),
          b"..first\r\n..\r\n...\r\n..x\r\na.b\r\n..\r\n")


def s_116_dots_at_every_place_of_a_buffer(t):
    """Lines of one dot, so that some CRLF falls on each border of a write."""
    for shift in range(3):
        text = b"x" * shift + b"\r\n" + b".\r\n" * 40000
        equal(on_the_wire(t, text) ==
              b"x" * shift + b"\r\n" + b"..\r\n" * 40000, True,
              "dots, shifted by %d" % shift)


def s_117_ends_of_the_text(t):
    equal(on_the_wire(t, b"a\r\n"), b"a\r\n")
    equal(on_the_wire(t, b"a"), b"a\r\n")
    equal(on_the_wire(t, b"a\r\n\r\n"), b"a\r\n\r\n")
    equal(on_the_wire(t, b""), b"")


def s_118_lf_leaves_as_crlf(t):
    equal(on_the_wire(t, b"a\nb\n\nc"), b"a\r\nb\r\n\r\nc\r\n")
    equal(on_the_wire(t, b"a\r\nb\nc\r\n"), b"a\r\nb\r\nc\r\n")


def s_118_no_bare_cr_or_lf(t):
    got = on_the_wire(t, b"a\rb\n\rc\r\r\nd\n\n\re\r")
    if re.search(rb"\r(?!\n)|(?<!\r)\n", got):
        raise AssertionError("a bare CR or LF: %r" % got)
    equal(re.sub(rb"[\r\n]", b"", got), b"abcde", "the rest")


def s_119_no_smuggling(t):
    """The known ways to end a message early (CVE-2023-51764 and kin)."""
    evil = b"MAIL FROM:<x@evil.example>\r\n"
    ends = [a + b"." + b for a in (b"\r\n", b"\n", b"\r") for b in
            (b"\r\n", b"\n", b"\r", b"\r\r\n")]
    for end in ends:
        got = on_the_wire(t, b"a" + end + evil)
        if re.search(rb"[\r\n]\.[\r\n]", got) or \
                re.search(rb"\r(?!\n)|(?<!\r)\n", got):
            raise AssertionError("%r left as %r" % (end, got))


def final(t, reply, status, code, words):
    server = t.serve([opened(), mail_from(), rcpt_to(), data(reply), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, status, code=code, step="final", reply=words)


def s_120_final_250(t):
    final(t, "250 2.6.0 kept as X99", "delivered", 250, "kept as X99")


def s_120_final_452(t):
    final(t, "452 4.3.1 disk full", "deferred", 452, "disk full")


def s_120_final_554(t):
    final(t, "554 5.7.1 spam", "failed", 554, "spam")


def s_120_final_354(t):
    """It means nothing there: a protocol error, and perhaps delivered."""
    server = t.serve([opened(), mail_from(), rcpt_to(), data("354 more"),
                      drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=354, step="final",
              reply="protocol error", in_doubt=True)


def s_121_close_after_the_dot(t):
    server = t.serve([opened(), mail_from(), rcpt_to(), data()[:-1], close()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True,
              dsn=r"4\.4\.2", reply="closed")


def s_121_silence_after_the_dot(t):
    server = t.serve([opened(), mail_from(), rcpt_to(), data()[:-1], eof()])
    run = t.deliver(server, step=1)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True,
              reply="timed out")


def s_121_reset_after_the_dot(t):
    server = t.serve([opened(), mail_from(), rcpt_to(), data()[:-1], reset()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True)


def s_121_is_logged_as_perhaps_delivered(t):
    server = t.serve([opened(), mail_from(), rcpt_to(), data()[:-1], close()])
    daemon = t.daemon(ONE % (server.name, ""))
    run = daemon.send()
    t.outcome(run, "deferred", step="final", in_doubt=True)
    t.scripts_held()
    holds("perhaps delivered.*connection closed|"
          "connection closed.*perhaps delivered", daemon.said(), "log")


HUGE = b"Subject: huge\r\n\r\n" + (b"z" * 76 + b"\r\n") * 250000


def early(t, reply, status, code, then):
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go"), octets(50000), say(reply), then])
    run = t.deliver(server, message=HUGE, step=20)
    t.scripts_held()
    t.outcome(run, status, code=code, reply="enough")
    equal(b"\r\n.\r\n" in server.connections[0].taken, False, "the dot")


def s_123_552_in_the_middle_and_close(t):
    early(t, "552 5.3.4 enough", "failed", 552, [pause(0.3), close()])


def s_123_452_in_the_middle_and_reset(t):
    early(t, "452 4.3.1 enough", "deferred", 452, [close()])


def s_123_421_in_the_middle(t):
    early(t, "421 4.3.2 enough", "deferred", 421, [pause(0.3), close()])


def h_reset_in_the_middle(t):
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go"), octets(50000), reset()])
    run = t.deliver(server, message=HUGE, step=20)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="body")


def s_124_no_rset_after_success(t):
    server = t.serve([opened(), transaction(), transaction(), drain()])
    daemon = t.daemon(ONE % (server.name, ""))
    for _ in range(2):
        t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    t.scripts_held()
    lacks("RSET", " ".join(lines(server)), "commands")


def rset_after(t, *refusal):
    server = t.serve([opened(), refusal, line("RSET"), say("250 2.0.0 ok"),
                      transaction(), drain()])
    daemon = t.daemon(ONE % (server.name, ""))
    equal(daemon.send().status != DELIVERED, True, "first refused")
    t.outcome(daemon.send(to=("c@example.org",)), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def s_124_rset_after_refused_recipient(t):
    rset_after(t, mail_from(), rcpt_to("550 5.1.1 no"))


def s_124_rset_after_refused_sender(t):
    rset_after(t, line("MAIL .*"), say("550 5.1.7 no"))


def s_124_rset_after_refused_data(t):
    rset_after(t, mail_from(), rcpt_to(), line("DATA"), say("554 5.6.0 no"))


def s_124_rset_after_refused_message(t):
    rset_after(t, mail_from(), rcpt_to(), data("554 5.6.0 no"))


def s_125_rset_takes_250_only(t):
    server = t.serve([opened(), mail_from(), rcpt_to("550 5.1.1 no"),
                      line("RSET"), say("251 hm"), drain()],
                     [opened(), transaction(), drain()])
    daemon = t.daemon(ONE % (server.name, ""))
    t.outcome(daemon.send(), "failed", code=550)
    t.outcome(daemon.send(to=("c@example.org",)), "delivered", code=250)
    daemon.stop()
    t.scripts_held()
    lacks("MAIL", server.connections[0].taken.decode(), "after 251")


def s_127_quit_waits_for_221(t):
    server = t.serve([opened(), transaction(), line("QUIT"), quiet(1.0),
                      say("221 bye"), eof()])
    t.delivered(t.deliver(server))


def s_127_quit_waits_no_longer_than_its_timer(t):
    server = t.serve([opened(), transaction(), line("QUIT"), eof()])
    run = t.deliver(server, step=1)
    t.delivered(run)
    if run.seconds > 15:
        raise AssertionError("%.1f s for a QUIT timer of 1 s" % run.seconds)


def s_127_close_instead_of_221(t):
    server = t.serve([opened(), transaction(), line("QUIT"), close()])
    t.delivered(t.deliver(server))


def s_128_nothing_after_a_timeout(t):
    """Whatever it would say now may be read as something else."""
    for name, script in (
            ("mail", [opened(), line("MAIL .*")]),
            ("rcpt", [opened(), mail_from(), line("RCPT .*")]),
            ("data", [opened(), mail_from(), rcpt_to(), line("DATA")])):
        server = t.serve([script, eof()])
        run = t.deliver(server, step=1)
        t.scripts_held()
        t.outcome(run, "deferred", code=0, step=name, dsn=r"4\.4\.2",
                  reply="timed out")


def s_157_nothing_after_the_dot_before_its_reply(t):
    """Haraka refuses what comes there with 503, chasquid drops it: with several
    messages in hand, each waits for the reply to the one before it."""
    after = []
    ready = threading.Event()

    def serve(c):
        ready.wait(30)
        say(GREETING)(c)
        hello("PIPELINING")[0](c)
        hello("PIPELINING")[1](c)
        for _ in range(6):
            for _ in range(3):
                c.read_line()
            say("250 ok", "250 ok", "354 go")(c)
            message()(c)
            quiet()(c)
            after.append(c.pending)
            say("250 2.0.0 kept")(c)
        drain()(c)

    server = t.serve([serve])
    daemon = t.daemon(ONE % (server.name, ""))
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(daemon.send()))
               for _ in range(6)]
    for x in threads:
        x.start()
    until = time.monotonic() + 20
    while time.monotonic() < until and \
            daemon.said().count("queue active") < 6:
        time.sleep(0.05)
    ready.set()
    for x in threads:
        x.join()
    daemon.stop()
    t.scripts_held()
    equal([x.status for x in runs], [DELIVERED] * 6, "exit statuses")
    equal(after, [b""] * 6, "octets after the dots")


def h_10_messages_on_one_connection(t):
    """With all of them in hand, one session takes them all."""
    server = t.serve([honest("PIPELINING")])
    daemon = t.daemon(ONE % (server.name, ""))
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(daemon.send()))
               for _ in range(10)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    daemon.stop()
    t.scripts_held()
    equal([x.status for x in runs], [DELIVERED] * 10, "exit statuses")
    equal(len(server.connections[0].messages), 10, "messages")


def h_reuse_in_tls(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      transaction(), drain()])
    daemon = t.daemon((ONE % (server.name, "")).replace("= none",
                                                        "= encrypt"))
    for _ in range(2):
        t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def h_server_that_closes_an_idle_session(t):
    """The next message gets a connection of its own, and no failure."""
    server = t.serve([opened(), transaction(), pause(0.3), close()], whole())
    daemon = t.daemon(ONE % (server.name, ""))
    t.outcome(daemon.send(), "delivered", code=250)
    time.sleep(1)
    t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def h_server_that_says_421_to_an_idle_session(t):
    server = t.serve([opened(), transaction(), pause(0.3),
                      say("421 4.4.2 idle too long"), close()], whole())
    daemon = t.daemon(ONE % (server.name, ""))
    t.outcome(daemon.send(), "delivered", code=250)
    time.sleep(1)
    t.outcome(daemon.send(), "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def h_large_message(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, message=HUGE, step=30))
    equal(server.connections[0].messages == [HUGE], True, "the message")


def h_slow_reader(t):
    """A reader that stalls now and then, but never as long as the timer."""
    server = t.serve([opened(), mail_from(), rcpt_to(), line("DATA"),
                      say("354 go"), [[octets(1000), pause(0.5)]] * 2,
                      drain()])
    text = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 2000
    run = t.deliver(server, message=text, step=2)
    # the dot is among what was drained: the server gives no final reply
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True)


def h_raw_code_only_replies(t):
    server = t.serve([raw(b"220\r\n"), line("EHLO .*"), raw(b"250\r\n"),
                      line("MAIL .*"), raw(b"250\r\n"), line("RCPT .*"),
                      raw(b"250\r\n"), line("DATA"), raw(b"354\r\n"),
                      message(), raw(b"250\r\n"), line("QUIT"),
                      raw(b"221\r\n"), eof()])
    t.delivered(t.deliver(server))


def s_122_message_that_cannot_be_read(t):
    """Its file in the spool is cut short: no dot, and no loss of the job."""
    server = t.serve([opened(), mail_from(), rcpt_to("450 4.2.1 later"),
                      bye()], drain_all(), optional=1)
    daemon = t.daemon("minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n"
                      "inline_body_limit = 0\n" +
                      ONE % (server.name, "connection_reuse_time_limit = 0"),
                      store="sqlite")
    text = b"Subject: x\r\n\r\n" + b"some text of a line\r\n" * 20000
    t.outcome(daemon.send(message=text), "deferred", code=450)
    cut_files(os.path.join(daemon.folder, "spool"), len(text))
    until = time.monotonic() + 20
    while time.monotonic() < until and "cannot be read" not in daemon.said() \
            and "body" not in daemon.said():
        time.sleep(0.2)
    daemon.stop()
    t.scripts_held()
    for c in server.connections[1:]:
        equal(b"\r\n.\r\n" in c.clear, False, "the dot")
    lacks("status=sent|removed", daemon.said(), "log")
    holds(r"dsn=4\.3\.0, status=deferred.*(body|read)", daemon.said(), "log")


def drain_all():
    """Say yes to everything, up to 354, and take what comes."""
    return [opened(), mail_from(), rcpt_to(), line("DATA"), say("354 go"),
            drain()]


def cut_files(folder, size):
    """Halve each file that may be the message."""
    found = 0
    for where, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.getsize(path) == size:
                os.truncate(path, size // 2)
                found += 1
    equal(found, 1, "files of the message's size in the spool")
