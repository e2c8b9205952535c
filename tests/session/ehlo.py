# SPDX-License-Identifier: ISC
"""S-018 to S-036: EHLO, HELO, LHLO, and what the server says it can do."""
from harness import equal, holds, lacks
from server import (GREETING, bye, close, data, drain, eof, flood, hello, line,
                    message, octets, opened, quiet, raw, rcpt_to,
                    say, transaction, upgrade, whole)

BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 4000


def commands(server):
    return server.connections[0].lines


def mail_line(server):
    return [x for x in commands(server) if x.startswith("MAIL")][0]


def refused_hello(t, reply, status, code, more=(), step="ehlo", words=None):
    server = t.serve([say(GREETING), line("EHLO .*"), say(reply), more, bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, status, code=code, step=step, reply=words or reply[4:])
    return server


def s_018_ehlo_refused_for_good(t):
    server = refused_hello(t, "521 5.7.1 not you", "failed", 521)
    equal(commands(server), ["EHLO client.test", "QUIT"], "commands")


def s_018_ehlo_answered_by_nonsense(t):
    refused_hello(t, "354 go ahead", "deferred", 354,
                  words="protocol error.*354")


def s_019_lhlo_500(t):
    server = t.serve([say(GREETING), line("LHLO .*"),
                      say("500 5.5.1 what"), bye()])
    run = t.deliver(server, "--lmtp")
    t.scripts_held()
    t.outcome(run, "failed", code=500, step="ehlo", reply="what")
    equal(commands(server), ["LHLO client.test", "QUIT"], "commands")


def helo_after(t, reply):
    server = t.serve([say(GREETING), line("EHLO client.test"), say(reply),
                      line("HELO client.test"), say("250 mail.test"),
                      transaction(), bye()])
    t.delivered(t.deliver(server))


def s_020_ehlo_500_then_helo(t):
    helo_after(t, "500 what")


def s_020_ehlo_502_then_helo(t):
    helo_after(t, "502 5.5.1 not here")


def s_020_ehlo_504_then_helo(t):
    helo_after(t, "504 not that")


def s_021_ehlo_450_no_helo(t):
    server = refused_hello(t, "450 4.3.2 not now", "deferred", 450)
    equal(commands(server), ["EHLO client.test", "QUIT"], "commands")


def s_021_ehlo_421_no_helo(t):
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say("421 4.3.2 shutting down"), drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=421, step="ehlo", reply="shutting down")
    equal(server.connections[0].taken, b"QUIT\r\n", "after 421")


def s_022_helo_refused(t):
    server = refused_hello(t, "502 no", "failed", 550,
                           [line("HELO client.test"),
                            say("550 5.7.1 nor that")], words="nor that")
    equal(commands(server)[-1], "QUIT")


def s_023_helo_mode_is_plain(t):
    """What the reply to HELO seems to offer is not used either."""
    server = t.serve([
        say(GREETING), line("EHLO .*"), say("500 what"), line("HELO .*"),
        say("250-mail.test", "250-PIPELINING", "250 SIZE 100000"),
        line("MAIL FROM:<a@example.net>"), quiet(), say("250 ok"),
        line("RCPT TO:<b@example.org>"), quiet(), say("250 ok"),
        line("DATA"), quiet(), say("354 go"), message(), quiet(),
        say("250 kept"), bye()])
    t.delivered(t.deliver(server))


def s_024_keywords_in_any_case(t):
    server = t.serve([opened("piPelining", "sIZe 100000"),
                      line("MAIL FROM:<a@example.net> SIZE=27"),
                      line("RCPT TO:.*"), line("DATA"), say("250 ok"),
                      say("250 ok"), say("354 go"), message(), say("250 ok"),
                      bye()])
    t.delivered(t.deliver(server))


def s_025_first_line_is_the_name(t):
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say("250-SIZE.example", "250 HELP"),
                      transaction(), bye()])
    t.delivered(t.deliver(server))
    equal(mail_line(server), "MAIL FROM:<a@example.net>")


def s_025_name_that_looks_like_a_keyword(t):
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say("250-SIZE 10", "250 HELP"), transaction(), bye()])
    t.delivered(t.deliver(server))
    equal(mail_line(server), "MAIL FROM:<a@example.net>")


def s_026_malformed_keywords_are_skipped(t):
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say("250-mail.test", "250-", "250-  PIPELINING",
                          "250-=@#! x", "250-_SIZE 1", "250--PIPELINING",
                          "250-PIPELINING_", b"250-\xff\xfe\x00 9",
                          "250-SIZE 100000", "250 "),
                      line("MAIL FROM:<a@example.net> SIZE=27"), quiet(),
                      say("250 ok"), rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server))


def size_of(t, keyword):
    server = t.serve(whole(keyword))
    t.delivered(t.deliver(server, message=BIG))
    equal(mail_line(server), "MAIL FROM:<a@example.net> SIZE=%d" % len(BIG))


def s_027_size_without_number(t):
    size_of(t, "SIZE")


def s_028_size_0(t):
    size_of(t, "SIZE 0")


def no_limit_by(t, keyword):
    server = t.serve(whole(keyword))
    t.delivered(t.deliver(server, message=BIG))


def s_029_size_abc(t):
    no_limit_by(t, "SIZE abc")


def s_029_size_beyond_64_bits(t):
    no_limit_by(t, "SIZE 18446744073709551617")


def s_029_size_of_20_digits_and_more(t):
    no_limit_by(t, "SIZE " + "9" * 400)


def s_029_size_of_a_negative_number(t):
    no_limit_by(t, "SIZE -1")


def unused(t, *keywords):
    """Delivered, and with these offers not one octet is other than without."""
    server = t.serve(whole(*keywords))
    t.delivered(t.deliver(server))
    equal(commands(server), ["EHLO client.test", "MAIL FROM:<a@example.net>",
                             "RCPT TO:<b@example.org>", "DATA", "QUIT"],
          "commands")


def s_030_auth_plain_in_any_case(t):
    unused(t, "AUTH plain", "auth PLAIN")


def s_031_auth_in_its_legacy_form(t):
    unused(t, "AUTH=LOGIN", "AUTH PLAIN", "AUTH=LOGIN PLAIN", "AUTH")


def s_032_sasl_ir_changes_nothing(t):
    unused(t, "SASL-IR", "AUTH PLAIN")


def s_033_binarymime_without_chunking(t):
    unused(t, "BINARYMIME")


def s_034_requiretls_outside_tls(t):
    unused(t, "REQUIRETLS")


def s_035_second_ehlo_replaces_the_first(t):
    server = t.serve([opened("STARTTLS", "SIZE 100000", "8BITMIME"),
                      upgrade(), hello("PIPELINING"),
                      line("MAIL FROM:<a@example.net>"), line("RCPT TO:.*"),
                      line("DATA"), say("250 ok", "250 ok", "354 go"),
                      message(), say("250 ok"), bye()])
    t.delivered(t.deliver(server, "--tls", "encrypt"))


def cut_off(t, *steps):
    server = t.serve([say(GREETING), line("EHLO .*"), steps, drain()])
    run = t.deliver(server)
    t.scripts_held()
    row = t.outcome(run, "deferred", step="ehlo", reply="protocol error")
    lacks("QUIT", server.connections[0].taken.decode("latin-1"), "after")
    return row


def s_036_ehlo_reply_of_10000_lines(t):
    cut_off(t, flood(b"250-KEYWORD\r\n", 10000))


def s_036_ehlo_reply_without_end(t):
    cut_off(t, flood(b"250-" + b"X" * 60 + b"\r\n", 200000))


def s_036_ehlo_line_without_end(t):
    cut_off(t, raw(b"250-"), flood(b"X" * 65536, 400))


def s_036_512_lines_are_fine(t):
    """The limit bites beyond 512 lines (and 64 KiB), not before."""
    server = t.serve([say(GREETING), line("EHLO .*"),
                      say(*["250-X%d" % i for i in range(511)] +
                          ["250 SIZE 100000"]),
                      transaction(), bye()])
    t.delivered(t.deliver(server))
    holds("SIZE=", mail_line(server))


def h_close_instead_of_ehlo_reply(t):
    server = t.serve([say(GREETING), line("EHLO .*"), close()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="ehlo", dsn=r"4\.4\.2",
              reply="closed")


def h_own_name_too_long_is_refused_at_once(t):
    server = t.serve()
    run = t.deliver(server, ehlo="x" * 260)
    equal(run.status, 64, "exit status")
    equal(run.outcomes, [], "outcomes")
    holds(".", run.stderr, "complaint")


def h_mail_with_all_offers_at_once(t):
    """What Postfix and Dovecot offer, together."""
    server = t.serve([
        opened("PIPELINING", "SIZE 10240000", "VRFY", "ETRN",
               "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8",
               "CHUNKING", "AUTH PLAIN LOGIN", "HELP"),
        line("MAIL .*"), line("RCPT .*"), say("250 ok", "250 ok"),
        line("BDAT 27 LAST"), octets(27), say("250 2.0.0 ok"), bye()])
    t.delivered(t.deliver(server))


def h_server_that_sends_garbage(t):
    server = t.serve([raw(bytes(range(256)) * 8 + b"\r\n"), drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="greeting", dsn=r"4\.5\.\d",
              reply="protocol error")
    equal(server.connections[0].clear, b"", "octets")


def h_server_that_speaks_http(t):
    server = t.serve([raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), eof()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="greeting",
              reply="protocol error")


def h_octets_in_the_middle_of_a_command(t):
    """A server that hangs up while it reads."""
    server = t.serve([say(GREETING), octets(4), close()])
    run = t.deliver(server)
    t.outcome(run, "deferred", code=0, step="ehlo", dsn=r"4\.4\.2")
