# SPDX-License-Identifier: ISC
"""S-037 to S-060: STARTTLS and TLS."""
import ssl

from harness import MESSAGE, Dns, equal, holds, lacks
from server import (GREETING, bye, close, cut, data, drain, hello, line,
                    mail_from, octets, opened, pause, quiet, raw, rcpt_to, say,
                    tls, transaction, trickle, upgrade, whole)

STRICT = ("--tls", "encrypt")


# The name to verify: "localhost" would have a second address, which refuses.
NAMED = ("--tls-name", "mail.test")


def commands(server, connection=0):
    return server.connections[connection].lines


def no_mail_in_clear(server):
    for c in server.connections:
        lacks("MAIL|RCPT|DATA|AUTH", c.clear.decode("latin-1"), "in clear")


def s_037_starttls_not_offered(t):
    for level in ("encrypt", "verify"):
        server = t.serve([opened("SIZE 1000000", "AUTH PLAIN"), bye()])
        run = t.deliver(server, *NAMED, "--tls", level, "--ca", t.certs.ca)
        t.scripts_held()
        t.outcome(run, "deferred", step="starttls",
                  reply="STARTTLS unavailable", dsn=r"4\.7\.\d+")
        equal(commands(server), ["EHLO client.test", "QUIT"], level)


def s_037_starttls_not_offered_by_helo(t):
    server = t.serve([say(GREETING), line("EHLO .*"), say("500 what"),
                      line("HELO .*"), say("250 mail.test"), bye()])
    run = t.deliver(server, *STRICT)
    t.scripts_held()
    t.outcome(run, "deferred", step="starttls", reply="STARTTLS unavailable")


def s_038_none_and_offered(t):
    server = t.serve(whole("STARTTLS"))
    run = t.deliver(server, "--tls", "none")
    row = t.delivered(run)
    lacks("STARTTLS", " ".join(commands(server)), "commands")
    if row["tls"] and row["tls"].get("version"):
        raise AssertionError("tls in clear: %r" % row["tls"])


def s_039_implicit_and_offered(t):
    server = t.serve([tls(), whole("STARTTLS")])
    run = t.deliver(server, "--implicit-tls")
    row = t.delivered(run)
    lacks("STARTTLS", " ".join(commands(server)), "commands")
    equal(row["tls"]["version"], "TLSv1.3", "tls version")


def s_040_exactly_starttls(t):
    server = t.serve([opened("STARTTLS", "PIPELINING"), line("STARTTLS"),
                      quiet(0.5), say("220 go"), tls(), hello(),
                      transaction(), bye()])
    t.delivered(t.deliver(server, *STRICT))
    equal(server.connections[0].clear, b"EHLO client.test\r\nSTARTTLS\r\n",
          "octets in clear")


def refused_starttls(t, reply, status, code, words, level="encrypt"):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say(reply), bye()])
    run = t.deliver(server, "--tls", level)
    t.scripts_held()
    t.outcome(run, status, code=code, step="starttls", reply=words)
    equal(server.connections[0].clear,
          b"EHLO client.test\r\nSTARTTLS\r\nQUIT\r\n", "octets in clear")


def s_041_starttls_454(t):
    refused_starttls(t, "454 4.7.0 no TLS now", "deferred", 454, "no TLS now")


def s_042_starttls_501(t):
    refused_starttls(t, "501 5.5.4 no TLS ever", "failed", 501, "no TLS ever")


def s_043_starttls_250(t):
    refused_starttls(t, "250 fine", "deferred", 250,
                     "protocol error.*250.*RFC 3207")


def s_044_starttls_421(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      say("421 4.3.2 going down"), drain()])
    run = t.deliver(server, *STRICT)
    t.scripts_held()
    t.outcome(run, "deferred", code=421, step="starttls", reply="going down")
    equal(server.connections[0].taken, b"QUIT\r\n", "after 421")


def s_045_close_instead_of_a_reply(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), close()])
    run = t.deliver(server, *STRICT)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="starttls", dsn=r"4\.4\.2",
              reply="closed")
    no_mail_in_clear(server)


def s_046_hello_again_in_tls(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      bye()])
    t.delivered(t.deliver(server, *STRICT))
    equal(commands(server)[:3], ["EHLO client.test", "STARTTLS",
                                 "EHLO client.test"])


def s_046_lhlo_again_in_tls(t):
    server = t.serve([opened("STARTTLS", verb="LHLO"), upgrade(),
                      hello(verb="LHLO"), transaction(), bye()])
    t.delivered(t.deliver(server, "--lmtp", *STRICT))
    equal(commands(server)[:3], ["LHLO client.test", "STARTTLS",
                                 "LHLO client.test"])


def s_047_offers_in_clear_are_void(t):
    server = t.serve([
        opened("STARTTLS", "SIZE 10", "PIPELINING", "AUTH PLAIN", "8BITMIME",
               "CHUNKING"), upgrade(), hello(),
        line("MAIL FROM:<a@example.net>"), quiet(), say("250 ok"),
        rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server, *STRICT))


def injected(t, steps, level="encrypt"):
    """What a man in the middle glues behind 220 (CVE-2011-0411)."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), steps, drain()])
    run = t.deliver(server, "--tls", level)
    t.scripts_held()
    no_mail_in_clear(server)
    equal(server.connections[0].taken, b"", "after the injection")
    return run


FAKE = b"220 go\r\n250-fake.test\r\n250 SIZE 77\r\n"


def s_048_octets_behind_220(t):
    run = injected(t, [raw(FAKE)])
    lacks("fake", run.outcomes[0]["reply"], "reply")


def s_048_octets_behind_220_without_line_end(t):
    injected(t, [raw(b"220 go\r\n2")])


def s_048_octets_behind_220_in_two_segments(t):
    """Sent at once after 220; whichever comes first, no mail goes out."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      raw(b"220 go\r\n"), raw(b"250 fake.test\r\n"), drain()])
    run = t.deliver(server, *STRICT)
    t.outcome(run, "deferred", step=run.outcomes[0]["step"])
    no_mail_in_clear(server)


def s_048_octets_behind_220_not_read_with_it(t):
    """The reply fills the reader's buffer of 16 KiB to the last octet; what
    stands behind it is in the socket still."""
    reply = b"".join(b"220-%s\r\n" % (b"x" * 122) for _ in range(127))
    reply += b"220 " + b"y" * (16384 - len(reply) - 6) + b"\r\n"
    run = injected(t, [raw(reply + b"\x16\x03\x03")])
    t.outcome(run, "deferred", step="starttls", reply="injection")


def s_049_injection_is_named(t):
    run = injected(t, [raw(FAKE)])
    t.outcome(run, "deferred", step="starttls", reply="injection",
              dsn=r"4\.7\.\d+")


def s_049_injection_is_named_at_level_may(t):
    """And is no reason to go on in clear."""
    run = injected(t, [raw(FAKE)], "may")
    t.outcome(run, "deferred", step="starttls", reply="injection")


def s_049_injection_is_logged(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), raw(FAKE),
                      drain()])
    daemon = t.daemon(CONFIG % ("", server.name, "encrypt", ""))
    run = daemon.send()
    t.scripts_held()
    t.outcome(run, "deferred", reply="injection")
    holds("injection", daemon.said(), "log")


CONFIG = """
%s
transport one {
	server = "%s"
	tls_security_level = %s
	starttls_timeout = 5s
	quit_timeout = 2s
	%s
}
route "*" {
	transport = one
}
"""


def is_tls_or_nothing(octets_, what):
    """Records of TLS (RFC 8446, 5.1), or nothing."""
    if octets_ and octets_[0] not in (0x15, 0x16, 0x14):
        raise AssertionError("%s: %r" % (what, octets_[:80]))
    lacks("QUIT|MAIL|EHLO", octets_.decode("latin-1"), what)


def s_050_handshake_failure(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      octets(5), raw(b"250 what is this hello?\r\n" * 20),
                      drain()])
    run = t.deliver(server, *STRICT)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", dsn=r"4\.\d\.\d",
              reply="TLS")
    is_tls_or_nothing(server.connections[0].taken, "after the failure")


def s_050_close_in_the_handshake(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      octets(5), close()])
    run = t.deliver(server, *STRICT)
    t.outcome(run, "deferred", code=0, step="tls")
    is_tls_or_nothing(server.connections[0].taken, "ClientHello")


def s_050_silence_in_the_handshake(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      octets(5), drain()])
    run = t.deliver(server, *STRICT, step=1)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", reply="timed out")
    is_tls_or_nothing(server.connections[0].taken, "in the handshake")


def s_051_ehlo_in_tls_refused(t):
    server = t.serve([opened("STARTTLS"), upgrade(), line("EHLO .*"),
                      say("550 5.7.1 not here either"), bye()])
    run = t.deliver(server, *STRICT)
    t.scripts_held()
    t.outcome(run, "failed", code=550, step="ehlo", reply="not here either")
    equal(server.connections[0].inside, b"EHLO client.test\r\nQUIT\r\n",
          "inside TLS")


def s_052_offered_again_in_tls(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello("STARTTLS"),
                      transaction(), bye()])
    t.delivered(t.deliver(server, *STRICT))
    equal(commands(server).count("STARTTLS"), 1, "STARTTLS")


def s_053_helo_mode_offers_no_upgrade(t):
    """Nor, then, is there a HELO mode that could outlive one."""
    server = t.serve([say(GREETING), line("EHLO .*"), say("500 what"),
                      line("HELO .*"), say("250-mail.test", "250 STARTTLS"),
                      mail_from(), rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server, "--tls", "may"))
    lacks("STARTTLS", " ".join(commands(server)), "commands")


def s_053_helo_mode_does_not_survive(t):
    """HELO mode at the first address; EHLO, and its offers, at the second."""
    server = t.serve(
        [say(GREETING), line("EHLO .*"), say("500 what"), line("HELO .*"),
         say("250 mail.test"), bye()],
        [opened("STARTTLS"), upgrade(), hello("SIZE 100000"),
         line("MAIL FROM:<a@example.net> SIZE=27"), say("250 ok"), rcpt_to(),
         data(), bye()], address="0.0.0.0")
    dns = Dns({"two.test": [("A", "127.0.0.2"), ("A", "127.0.0.3")]})
    daemon = t.daemon(CONFIG % (
        'name_servers = { "%s" }\nhosts_file = ""' % dns.name,
        "two.test:%d" % server.port, "encrypt", ""))
    t.delivered(daemon.send())


def s_053_ehlo_first_in_implicit_tls(t):
    server = t.serve([tls(), whole("SIZE 100000")])
    t.delivered(t.deliver(server, "--implicit-tls"))
    equal(server.connections[0].clear, b"", "in clear")


def s_054_no_authentication_survives(t):
    """AUTH is offered on both sides of the upgrade: none is attempted."""
    server = t.serve([opened("STARTTLS", "AUTH PLAIN"), upgrade(),
                      hello("AUTH PLAIN"), transaction(), bye()])
    t.delivered(t.deliver(server, *STRICT))
    lacks("AUTH", " ".join(commands(server)), "commands")


def s_055_implicit_tls(t):
    server = t.serve([tls(), whole()])
    run = t.deliver(server, *NAMED, "--implicit-tls", "--tls", "verify", "--ca",
                    t.certs.ca)
    row = t.delivered(run)
    equal(server.connections[0].clear, b"", "in clear")
    equal(row["tls"]["verified"], True, "verified")


def s_055_greeting_in_clear_where_tls_was_due(t):
    server = t.serve([say(GREETING), drain()])
    run = t.deliver(server, "--implicit-tls")
    t.outcome(run, "deferred", code=0, dsn=r"4\.\d\.\d")
    is_tls_or_nothing(server.connections[0].taken, "in clear")


def s_056_illegal_tls_name(t):
    server = t.serve()
    for name in ("-bad.example", "a..b", "under_score.test", "x" * 64 +
                 ".test", "bad-.test"):
        run = t.deliver(server, "--tls", "verify", "--ca", t.certs.ca,
                        "--tls-name", name)
        equal(run.status, 64, "exit status for %s" % name)
        equal(run.outcomes, [], "outcomes")
        holds("tls", run.stderr, "complaint")
    t.scripts_held()


def s_056_illegal_name_by_mx(t):
    port = 25
    dns = Dns({"example.org": [("MX", (10, "under_score.test"))],
               "under_score.test": [("A", "127.0.0.77")]})
    try:
        server = t.serve(address="127.0.0.77", port=port)
    except OSError:
        server = None  # nobody may listen there; nobody is asked either
    daemon = t.daemon("""
name_servers = { "%s" }
hosts_file = ""
transport mx {
	tls_security_level = verify
	tls_CAfile = "%s"
	allow_loopback = yes
}
route "*" {
	transport = mx
}
""" % (dns.name, t.certs.ca))
    run = daemon.send()
    t.scripts_held()
    t.outcome(run, "deferred", code=0, reply="protocol error.*name")
    if server is not None:
        equal(server.unexpected, 0, "connections")


def s_056_illegal_server_name(t):
    """The same name given as the server: nobody connects to it."""
    server = t.serve(address="127.0.0.78")
    dns = Dns({"under_score.test": [("A", "127.0.0.78")]})
    try:
        daemon = t.daemon(CONFIG % (
            'name_servers = { "%s" }\nhosts_file = ""' % dns.name,
            "under_score.test:%d" % server.port, "verify",
            'tls_CAfile = "%s"' % t.certs.ca))
    except AssertionError as e:
        holds("postern.conf:[0-9]+: .*server", str(e), "complaint")
        return
    run = daemon.send()
    t.scripts_held()
    t.outcome(run, "deferred", code=0, reply="protocol error.*name")


def s_057_sni_is_the_host(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      bye()])
    run = t.deliver("localhost:%d" % server.port, "--tls", "verify",
                    "--ca", t.certs.ca)
    row = t.delivered(run)
    equal(server.connections[0].sni, "localhost", "SNI")
    equal(row["tls"]["verified"], True, "verified")


def s_057_sni_is_the_name_given(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      bye()])
    row = t.delivered(t.deliver(server, "--tls", "verify", "--ca", t.certs.ca,
                                "--tls-name", "mail.test"))
    equal(server.connections[0].sni, "mail.test", "SNI")
    equal(row["tls"]["verified"], True, "verified")


def s_057_address_is_no_sni(t):
    """RFC 6066, 3: no literal in SNI; the certificate bears the address."""
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      bye()])
    row = t.delivered(t.deliver(server, "--tls", "verify", "--ca",
                                t.certs.ca))
    equal(server.connections[0].sni, None, "SNI")
    equal(row["tls"]["verified"], True, "verified")


def distrusted(t, cert, *options, words=".", implicit=False):
    begin = [] if implicit else [opened("STARTTLS"), line("STARTTLS"),
                                 say("220 go")]
    server = t.serve([begin, tls(cert, fails=True)])
    run = t.deliver(server, "--tls", "verify", *(
        options if "--tls-name" in options else NAMED + options))
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", dsn=r"4\.7\.5",
              reply="(?i)TLS.*" + words)
    equal(server.connections[0].inside, b"", "inside TLS")


def s_058_untrusted_by_default(t):
    distrusted(t, "good", words="(issuer|self|trust|authority)")


def s_058_untrusted(t):
    distrusted(t, "stranger", "--ca", t.certs.ca,
               words="(issuer|trust|authority)")


def s_058_self_signed(t):
    distrusted(t, "self", "--ca", t.certs.ca, words="self")


def s_058_expired(t):
    distrusted(t, "expired", "--ca", t.certs.ca, words="expired")


def s_058_wrong_name(t):
    distrusted(t, "wrong", "--ca", t.certs.ca, words="(host ?name|name)")


def s_058_wrong_name_for_the_name_given(t):
    distrusted(t, "good", "--ca", t.certs.ca, "--tls-name", "else.test",
               words="(host ?name|name)")


def s_058_implicit(t):
    distrusted(t, "wrong", "--ca", t.certs.ca, "--implicit-tls", words="name",
               implicit=True)


def h_encrypt_takes_any_certificate(t):
    """Level encrypt is against listeners only, and says verified: false."""
    for cert in ("self", "expired", "wrong"):
        server = t.serve([opened("STARTTLS"), upgrade(cert), hello(),
                          transaction(), bye()])
        row = t.delivered(t.deliver(server, *NAMED, *STRICT, "--ca",
                                    t.certs.ca))
        equal(row["tls"]["verified"], False, cert)


def s_059_starttls_454_then_clear(t):
    server = t.serve(
        [opened("STARTTLS"), line("STARTTLS"), say("454 4.7.0 no"), bye()],
        whole("STARTTLS"))
    t.delivered(t.deliver(server, "--tls", "may"))
    lacks("STARTTLS", " ".join(commands(server, 1)), "second connection")


def s_059_handshake_failure_then_clear(t):
    server = t.serve(
        [opened("STARTTLS"), line("STARTTLS"), say("220 go"), octets(5),
         raw(b"nonsense that is no TLS at all\r\n" * 8), drain()],
        whole("STARTTLS"))
    t.delivered(t.deliver(server, "--tls", "may"))
    is_tls_or_nothing(server.connections[0].taken, "first connection")


def s_059_starttls_454_and_no_fallback(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      say("454 4.7.0 no TLS now"), bye()])
    daemon = t.daemon(CONFIG % ("", server.name, "may", "tls_fallback = no"))
    run = daemon.send()
    t.scripts_held()
    t.outcome(run, "deferred", code=454, step="starttls", reply="no TLS now")


def s_059_handshake_failure_and_no_fallback(t):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      octets(5), raw(b"nonsense\r\n" * 20), drain()])
    daemon = t.daemon(CONFIG % ("", server.name, "may", "tls_fallback = no"))
    run = daemon.send()
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls")


def s_059_next_host_where_clear_is_not_allowed(t):
    server = t.serve(
        [opened("STARTTLS"), line("STARTTLS"), say("454 4.7.0 no"), bye()],
        [opened("STARTTLS"), upgrade(), hello(), transaction(), bye()],
        address="0.0.0.0")
    dns = Dns({"two.test": [("A", "127.0.0.2"), ("A", "127.0.0.3")]})
    daemon = t.daemon(CONFIG % (
        'name_servers = { "%s" }\nhosts_file = ""' % dns.name,
        "two.test:%d" % server.port, "may", "tls_fallback = no"))
    t.delivered(daemon.send())
    equal(sorted(c.local[0] for c in server.connections),
          ["127.0.0.2", "127.0.0.3"], "addresses")


def s_059_may_and_works(t):
    """Where TLS works it is used, whatever the certificate."""
    server = t.serve([opened("STARTTLS"), upgrade("self"), hello(),
                      transaction(), bye()])
    row = t.delivered(t.deliver(server, "--tls", "may"))
    equal(row["tls"]["version"], "TLSv1.3", "tls version")
    equal(row["tls"]["verified"], False, "verified")


def s_059_may_and_not_offered(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, "--tls", "may"))


def s_060_tls_1_1_is_refused(t):
    for level in (STRICT, ("--tls", "verify", "--ca", t.certs.ca)):
        server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                          tls("good", fails=True, least=ssl.TLSVersion.TLSv1,
                              most=ssl.TLSVersion.TLSv1_1)])
        run = t.deliver(server, *NAMED, *level)
        t.scripts_held()
        t.outcome(run, "deferred", code=0, step="tls", reply="TLS")


def s_060_tls_1_1_at_level_may_goes_in_clear_and_says_so(t):
    """It is a decision, which an operator must be able to find."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      tls("good", fails=True, least=ssl.TLSVersion.TLSv1,
                          most=ssl.TLSVersion.TLSv1_1)], whole("STARTTLS"))
    daemon = t.daemon(CONFIG % ("", server.name, "may", ""))
    t.delivered(daemon.send())
    t.scripts_held()
    holds("TLS handshake failed: .*: the next connection to it goes WITHOUT "
          "TLS, as tls_security_level = may and tls_fallback = yes allow",
          daemon.said(), "log")


def s_060_tls_1_2_is_fine(t):
    server = t.serve([opened("STARTTLS"),
                      upgrade(most=ssl.TLSVersion.TLSv1_2), hello(),
                      transaction(), bye()])
    row = t.delivered(t.deliver(server, *NAMED, "--tls", "verify", "--ca",
                                t.certs.ca))
    equal(row["tls"]["version"], "TLSv1.2", "tls version")


def truncated(t, most):
    server = t.serve([opened("STARTTLS"), upgrade(most=most),
                      line("EHLO .*"), raw(b"250-mail.test\r\n250 SI"),
                      pause(0.2), cut()])
    run = t.deliver(server, *STRICT)
    t.outcome(run, "deferred", code=0, step="ehlo", dsn=r"4\.4\.2",
              reply="(?i)closed")


def s_060_truncation_in_a_reply(t):
    truncated(t, ssl.TLSVersion.TLSv1_3)


def s_060_truncation_in_a_reply_tls_1_2(t):
    truncated(t, ssl.TLSVersion.TLSv1_2)


def s_060_truncation_after_the_dot(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), mail_from(),
                      rcpt_to(), data()[:-1], raw(b"250 2.0.0 ke"),
                      pause(0.2), cut()])
    run = t.deliver(server, *STRICT)
    t.outcome(run, "deferred", code=0, step="final", in_doubt=True)


def h_large_message_in_tls(t):
    """More than one record and more than one buffer, octet for octet."""
    text = b"Subject: large\r\n\r\n" + b"".join(
        b"line %d\r\n" % i for i in range(100000))
    server = t.serve([opened("STARTTLS"), upgrade(), hello(), transaction(),
                      bye()])
    t.delivered(t.deliver(server, *STRICT, message=text))
    equal(server.connections[0].messages == [text], True, "the message")


def h_reply_in_pieces_in_tls(t):
    server = t.serve([opened("STARTTLS"), upgrade(), line("EHLO .*"),
                      trickle(b"250-mail.test\r\n250 SIZE 1000000\r\n"),
                      transaction(), bye()])
    t.delivered(t.deliver(server, *STRICT, message=MESSAGE))


def h_ca_file_that_is_none(t):
    server = t.serve()
    run = t.deliver(server, "--tls", "verify", "--ca",
                    t.folder + "/nothing.pem")
    holds("nothing.pem", run.stderr + run.stdout, "complaint")
    if run.status not in (64, 75):
        raise AssertionError("exit status %r" % run.status)
    equal([x["status"] for x in run.outcomes if x["status"] == "delivered"],
          [], "outcomes")


def h_silent_server_in_implicit_tls(t):
    server = t.serve([drain()])
    run = t.deliver(server, "--implicit-tls", step=1)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", reply="timed out")


def h_eof_right_after_tls(t):
    server = t.serve([opened("STARTTLS"), upgrade(), line("EHLO .*"),
                      close()])
    run = t.deliver(server, *STRICT)
    t.outcome(run, "deferred", code=0, step="ehlo", dsn=r"4\.4\.2")
