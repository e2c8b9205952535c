# SPDX-License-Identifier: ISC
"""S-061 to S-074: what counts as a reply, and what does not."""
from harness import equal, holds, lacks
from server import (GREETING, bye, close, data, drain, eof, flood, line,
                    mail_from, message, opened, pause, quiet, raw, rcpt_to,
                    say, transaction, trickle)

ONE = """
transport one {
	server = "%s"
	tls_security_level = none
	connection_reuse_time_limit = 0
	quit_timeout = 2s
}
route "*" { transport = one }
"""


def at_mail(t, *steps, end=None):
    """A server whose answer to MAIL is these steps."""
    server = t.serve([opened(), line("MAIL FROM:.*"), steps,
                      end if end is not None else drain()])
    run = t.deliver(server)
    t.scripts_held()
    return run, server


def s_061_code_alone(t):
    for reply in (b"250\r\n", b"250 \r\n"):
        server = t.serve([opened(), line("MAIL .*"), raw(reply), rcpt_to(),
                          data(), bye()])
        t.delivered(t.deliver(server))


def broken(t, octets, words="protocol error"):
    run, server = at_mail(t, raw(octets))
    t.outcome(run, "deferred", step="mail", reply=words, dsn=r"4\.5\.\d")
    equal(server.connections[0].taken, b"", "after %r" % octets)


def s_062_code_changes(t):
    broken(t, b"250-a\r\n251 b\r\n")


def s_063_no_reply_at_all(t):
    for octets in (b"abc\r\n", b"25 x\r\n", b"2500 x\r\n", b"250*x\r\n",
                   b"\r\n"):
        broken(t, octets)


def s_064_code_out_of_range(t):
    for octets in (b"199 x\r\n", b"600 x\r\n", b"099 x\r\n", b"999 x\r\n"):
        broken(t, octets)


def s_065_unknown_codes(t):
    server = t.serve([opened(), line("MAIL .*"), say("299 why not"),
                      rcpt_to("298 all right"), data("297 kept"), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "delivered", code=297, reply="kept")
    for code, status in ((499, "deferred"), (599, "failed")):
        run, _ = at_mail(t, say("%d hm" % code), end=bye())
        t.outcome(run, status, code=code, step="mail", reply="hm")


def s_066_one_octet_at_a_time(t):
    server = t.serve([
        trickle(b"220-mail.test\r\n220 go\r\n"), line("EHLO .*"),
        trickle(b"250-mail.test\r\n250-PIPELINING\r\n250 SIZE 100000\r\n"),
        line("MAIL FROM:<[^>]*> SIZE=27"), line("RCPT .*"), line("DATA"),
        trickle(b"250 ok\r\n250-yes\r\n250 ok\r\n354 go\r\n"), message(),
        trickle(b"250-2.0.0 kept\r\n250 2.0.0 as 1\r\n"), line("QUIT"),
        trickle(b"221 bye\r\n"), eof()])
    t.delivered(t.deliver(server), reply="kept.*as 1")


def s_067_two_replies_in_one_segment(t):
    server = t.serve([opened("PIPELINING"), line("MAIL .*"), line("RCPT .*"),
                      line("RCPT .*"), line("DATA"),
                      raw(b"250 ok\r\n550 5.1.1 first no\r\n250 yes\r\n"
                          b"354 go\r\n"), message(), say("250 kept"), bye()])
    run = t.deliver(server, to=("b@example.org", "c@example.org"))
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="rcpt", reply="first no",
              recipient="b@example.org")
    t.outcome(run, "delivered", code=250, recipient="c@example.org",
              exit_status=69)


def s_068_line_of_512_octets(t):
    server = t.serve([opened(), line("MAIL .*"),
                      raw(b"250 " + b"x" * 506 + b"\r\n"), rcpt_to(), data(),
                      bye()])
    t.delivered(t.deliver(server))


def s_068_line_without_end(t):
    run, server = at_mail(t, raw(b"250 "), flood(b"x" * 65536, 400))
    t.outcome(run, "deferred", step="mail", reply="protocol error")
    equal(server.connections[0].taken, b"", "after it")


def s_069_bare_lf_ends_no_line_before_a_handshake(t):
    """What follows such a line could be taken for part of the handshake."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      raw(b"220 go\n"), eof()])
    run = t.deliver(server, "--tls", "encrypt")
    t.scripts_held()
    t.outcome(run, "deferred", step="starttls", reply="LF without CR")


def s_159_replies_as_they_come(t):
    """LF alone ends a line, and no space is needed after the code."""
    server = t.serve([
        raw(b"220 mail.test\n"), line("EHLO .*"),
        raw(b"250-mail.test\n250-PIPELINING\n250 8BITMIME\n"),
        line("MAIL .*"), line("RCPT .*"), line("DATA"),
        raw(b"250ok\r\n250 2.1.5 ok\n354go\n"), message(),
        raw(b"250 2.0.0 kept\n"), bye()])
    run = t.deliver(server)
    t.delivered(run)
    t.outcome(run, "delivered", code=250, dsn=r"2\.0\.0", reply="kept")


def s_159_logged_once_for_a_server(t):
    server = t.serve(*[[say(GREETING), line("EHLO .*"),
                        raw(b"250 mail.test\n"), transaction(), bye()]] * 2)
    daemon = t.daemon(ONE % server.name)
    for _ in range(2):
        t.outcome(daemon.send(), "delivered")
    daemon.stop()
    t.scripts_held()
    equal(daemon.said().count("its replies break RFC 5321"), 1, "log lines")


def s_070_nul_and_8bit_in_text(t):
    run, _ = at_mail(t, raw(b"550 5.1.0 a\x00b\xff\xfe\x1b[31m\x07 no\r\n"),
                     end=bye())
    row = t.outcome(run, "failed", code=550, step="mail", reply="no")
    for text in (row["reply"], run.stderr):
        lacks("[\x00-\x08\x0b-\x1f\x7f\ufffd]", text, "report")


def s_071_enhanced_codes(t):
    for reply, dsn in (("550 5.1.1 no", "5.1.1"), ("550 4.1.1 no", "5.0.0"),
                       ("550 5.1 no", "5.0.0"), ("550 5.1.1000 no", "5.0.0"),
                       ("550 5.7.123 no", "5.7.123"),
                       ("450 4.2.1 no", "4.2.1"), ("550 no", "5.0.0")):
        run, _ = at_mail(t, say(reply), end=bye())
        row = t.outcome(run, "failed" if reply[0] == "5" else "deferred",
                        reply="no")
        equal(row["dsn"], dsn, "dsn of %r" % reply)


def s_072_close_in_the_middle(t):
    for octets in (b"2", b"250-ok\r\n", b"250 o", b"250 ok\r"):
        run, _ = at_mail(t, raw(octets), close(), end=[])
        t.outcome(run, "deferred", code=0, step="mail", dsn=r"4\.4\.2",
                  reply="(?i)closed")


def s_073_nothing_after_421(t):
    server = t.serve([opened(), mail_from(), line("RCPT .*"),
                      say("421 4.3.2 going down"), drain()])
    run = t.deliver(server, to=("b@example.org", "c@example.org"))
    t.scripts_held()
    for to in ("b@example.org", "c@example.org"):
        t.outcome(run, "deferred", reply="going down", recipient=to,
                  exit_status=75)
    equal(server.connections[0].taken, b"QUIT\r\n", "after 421")


def s_074_unsolicited_reply(t):
    """It came before MAIL was sent: it is no answer to it."""
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say("250 mail.test", "250 2.1.0 sender ok"), drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", reply="protocol error")
    lacks("DATA", server.connections[0].taken.decode("latin-1"), "after")


REUSE = """
transport one {
	server = "%s"
	tls_security_level = none
	destination_concurrency_limit = 1
	connection_idle_time = 20s
	quit_timeout = 2s
}
route "*" {
	transport = one
}
"""


def s_074_no_reuse_after_unsolicited_reply(t):
    server = t.serve([opened(), transaction(), pause(0.3),
                      say("250 by the way"), drain()],
                     [opened(), transaction(), drain()])
    daemon = t.daemon(REUSE % server.name)
    t.outcome(daemon.send(), "delivered")
    while not server.connections[0].at_eof and \
            not server.connections[0].error:
        pause(0.05)(None)
    t.outcome(daemon.send(), "delivered")
    daemon.stop()
    t.scripts_held()
    lacks("MAIL", server.connections[0].taken.decode("latin-1"), "after")


def h_hello_reply_in_pieces(t):
    server = t.serve([say(GREETING), line("EHLO .*"), raw(b"250-ma"),
                      pause(0.2), raw(b"il.test\r"), pause(0.2),
                      raw(b"\n250 SIZE 100000\r\n"),
                      line("MAIL FROM:<[^>]*> SIZE=27"), say("250 ok"),
                      rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server))
    holds("SIZE", " ".join(server.connections[0].lines))


def h_reply_of_too_many_octets(t):
    run, _ = at_mail(t, flood(b"250-" + b"y" * 1000 + b"\r\n", 300))
    t.outcome(run, "deferred", step="mail", reply="protocol error")
