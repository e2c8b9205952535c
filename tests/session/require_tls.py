# SPDX-License-Identifier: ISC
"""S-094, and both halves of RFC 8689: REQUIRETLS, and TLS-Required: No."""
import base64
import os
import struct
import subprocess
import time

from harness import Dns, equal, holds, lacks, table
from server import (bye, close, data, drain, hello, line, mail_from, opened,
                    rcpt_to, say, tls, transaction, upgrade, whole)

KEEPS = r"MAIL FROM:<a@example\.net> REQUIRETLS"
NAMED = ("--tls-name", "mail.test")


def kept(*keywords, **how):
    """TLS, then a server that keeps to it."""
    return [opened("STARTTLS"), upgrade(**how),
            hello("REQUIRETLS", *keywords), line(KEEPS), say("250 ok"),
            rcpt_to(), data(), bye()]


def strict(t, server, *options, **more):
    return t.deliver(server, *NAMED, "--ca", t.certs.ca, "--require-tls",
                     *(options or ("--tls", "may")), **more)


def s_094_on_request(t):
    for level in ("may", "encrypt", "verify"):
        server = t.serve(kept())
        row = t.delivered(strict(t, server, "--tls", level))
        equal(row["tls"]["verified"], True, "verified")
        lacks("MAIL", server.connections[0].clear.decode("latin-1"))


def s_094_implicit_tls(t):
    server = t.serve([tls(), opened("REQUIRETLS"), line(KEEPS),
                      say("250 ok"), rcpt_to(), data(), bye()])
    t.delivered(strict(t, server, "--implicit-tls"))


def s_094_by_bdat(t):
    server = t.serve([opened("STARTTLS"), upgrade(),
                      hello("REQUIRETLS", "PIPELINING", "CHUNKING"),
                      line(KEEPS), line("RCPT .*"), say("250 ok", "250 ok"),
                      line("BDAT 27 LAST"),
                      lambda c: c.receive() if len(c.pending) < 27 else None,
                      lambda c: setattr(c, "pending", c.pending[27:]),
                      say("250 in"), bye()])
    t.delivered(strict(t, server))


def s_094_not_on_request(t):
    server = t.serve([opened("STARTTLS"), upgrade(), hello("REQUIRETLS"),
                      mail_from(), rcpt_to(), data(), bye()])
    t.delivered(t.deliver(server, "--tls", "encrypt"))


def s_094_not_offered(t):
    server = t.serve([opened("STARTTLS", "REQUIRETLS"), upgrade(), hello(),
                      bye()])
    t.outcome(strict(t, server), "failed", code=0, dsn=r"5\.7\.30",
              step="ehlo", reply="REQUIRETLS support required")
    t.scripts_held()


def s_094_no_tls(t):
    server = t.serve([opened("REQUIRETLS"), bye()])
    t.outcome(strict(t, server), "failed", code=0, dsn=r"5\.7\.10",
              step="starttls", reply="STARTTLS unavailable")
    t.scripts_held()


def s_094_never_tls(t):
    server = t.serve()
    t.outcome(strict(t, server, "--tls", "none"), "failed", dsn=r"5\.7\.10",
              step="queue", reply="never uses TLS")
    t.scripts_held()


@table([(x, x) for x in ("expired", "wrong", "stranger", "self")])
def s_094_not_verified(t, cert):
    """Whatever the level of the transport is, and never again in clear: the
    sender hears of it (RFC 8689, 4.2.1)."""
    server = t.serve([opened("STARTTLS"), upgrade(cert, fails=True)])
    t.outcome(strict(t, server), "failed", dsn=r"5\.7\.10", step="tls")
    t.scripts_held()


def s_094_a_bounce_is_not_lost(t):
    """RFC 8689, 4.2.1: not for the null reverse-path."""
    server = t.serve(whole())
    t.delivered(strict(t, server, sender=""))


def s_094_a_bounce_says_it_where_it_can(t):
    """RFC 8689, 5"""
    server = t.serve([opened("STARTTLS"), upgrade(), hello("REQUIRETLS"),
                      line(r"MAIL FROM:<> REQUIRETLS"), say("250 ok"),
                      rcpt_to(), data(), bye()])
    t.delivered(strict(t, server, sender=""))


def s_094_another_host_may_keep_to_it(t):
    """The next address is tried where the first does not offer it."""
    dns = Dns({"two.test": [("A", "127.0.0.2"), ("A", "127.0.0.3")]})
    port = 0
    servers = []
    for address, script in (("127.0.0.2", [opened("STARTTLS"), upgrade(),
                                           hello(), bye()]),
                            ("127.0.0.3", kept())):
        servers.append(t.serve(script, address=address, port=port,
                               optional=0 if port else 1))
        port = servers[0].port
    daemon = t.daemon(
        'name_servers = { "%s" }\nhosts_file = ""\ntransport t {\n'
        '\tserver = "two.test:%d"\n\ttls_CAfile = "%s"\n'
        '\ttls_name = "mail.test"\n\tquit_timeout = 2s\n'
        '\tconnection_idle_time = 0\n}\nroute "*" {\n\ttransport = t\n}\n' %
        (dns.name, port, t.certs.ca))
    t.outcome(daemon.send("--require-tls"), "delivered", code=250)
    daemon.stop()


# By MX

MX = """
name_servers = { "%s" }
hosts_file = ""
resolver_timeout = 5s
transport mx {
	tls_security_level = %s
	tls_CAfile = "%s"
	port = %d
	inet_protocols = ipv4
	allow_loopback = yes
	connection_idle_time = %s
	quit_timeout = 2s
	%s
}
route "*" {
	transport = mx
}
"""


class Signed(Dns):
    """Answers of the zone "test", each with its RRSIG (RFC 4034)."""

    TYPES = dict(Dns.TYPES, DNSKEY=48)

    def __init__(self, rows, folder, lying=False):
        self.key = os.path.join(folder, "zone.key")
        self.anchor = os.path.join(folder, "anchor")
        self.lying = lying
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
                     "-out", self.key)
        public = self.openssl("ec", "-in", self.key, "-pubout", "-outform",
                              "DER")[-64:]
        self.dnskey = struct.pack(">HBB", 257, 3, 13) + public
        with open(self.anchor, "w", encoding="ascii") as f:
            f.write("test. 60 IN DNSKEY 257 3 13 %s\n" %
                    base64.b64encode(public).decode("ascii"))
        os.chmod(self.anchor, 0o644)
        super().__init__(dict(rows, test=[("DNSKEY", None)]))

    @staticmethod
    def openssl(*argv, data_=None):
        return subprocess.run(("openssl",) + argv, input=data_, check=True,
                              capture_output=True, timeout=60).stdout

    def _rdata(self, kind, value):
        return self.dnskey if kind == "DNSKEY" else super()._rdata(kind, value)

    def key_tag(self):
        total = sum(x << (0 if i % 2 else 8)
                    for i, x in enumerate(self.dnskey))
        return (total + (total >> 16)) & 0xffff

    def sign(self, octets):
        der = self.openssl("dgst", "-sha256", "-sign", self.key, data_=octets)
        at, numbers = 2, b""
        for _ in range(2):
            n = der[at + 1]
            numbers += der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0")
            at += 2 + n
        return numbers

    def rrsig(self, name, kind, rows):
        now = int(time.time())
        head = struct.pack(">HBBIIIH", kind, 13, name.count(".") + 1, 60,
                           now + 3600, now - 3600, self.key_tag()) + \
            self._labels("test")
        owner = self._labels(name)
        whole_ = head + b"".join(
            owner + struct.pack(">HHIH", kind, 1, 60, len(x)) + x
            for x in sorted(rows))
        if self.lying:
            whole_ += b"."
        return head + self.sign(whole_)

    def _answer(self, query):
        answer = super()._answer(query)
        name, kind = self.asked[-1]
        rows = self.rows.get(name)
        rdata = [self._rdata(t, v) for t, v in rows or ()
                 if self.TYPES[t] == kind]
        if not rdata:
            return answer
        rdata_sig = self.rrsig(name, kind, rdata)
        return answer[:6] + struct.pack(">H", len(rdata) + 1) + answer[8:] + \
            b"\xc0\x0c" + struct.pack(">HHIH", 46, 1, 60,
                                      len(rdata_sig)) + rdata_sig


ROWS = {"sec.test": [("MX", (10, "mail.test"))],
        "mail.test": [("A", "127.0.0.1")]}


def by_mx(t, dns, script, level="may", idle="0", more="", **how):
    server = t.serve(*script, **how)
    if isinstance(dns, Signed):
        more += '\n}\ndnssec_trust_anchor_file = "%s"\ntransport x {' % \
            dns.anchor
    return server, t.daemon(MX % (dns.name, level, t.certs.ca, server.port,
                                  idle, more))


def s_094_by_mx_that_dnssec_proves(t):
    server, daemon = by_mx(t, Signed(ROWS, t.folder), [kept()])
    run = daemon.send("--require-tls", to=("b@sec.test",))
    t.outcome(run, "delivered", code=250)
    daemon.stop()
    t.scripts_held()
    equal(server.connections[0].sni, "mail.test", "SNI")


def s_094_by_mx_that_nothing_proves(t):
    """Anybody on the way could have named this host."""
    _, daemon = by_mx(t, Dns(ROWS), [])
    run = daemon.send("--require-tls", to=("b@sec.test",))
    t.outcome(run, "failed", code=0, dsn=r"5\.7\.30", step="resolve",
              reply="no DNSSEC proves")
    daemon.stop()
    t.scripts_held()


def s_094_by_mx_that_is_forged(t):
    _, daemon = by_mx(t, Signed(ROWS, t.folder, lying=True), [])
    run = daemon.send("--require-tls", to=("b@sec.test",))
    t.outcome(run, "deferred", code=0, step="resolve")
    daemon.stop()
    t.scripts_held()


def s_094_without_mx_the_name_is_the_domain(t):
    _, daemon = by_mx(t, Dns({"mail.test": [("A", "127.0.0.1")]}), [kept()])
    run = daemon.send("--require-tls", to=("b@mail.test",))
    t.outcome(run, "delivered", code=250)
    daemon.stop()
    t.scripts_held()


def h_a_demand_delays_nobody_else(t):
    """What cannot go by TLS stands aside; the domain's other mail goes on."""
    server, daemon = by_mx(
        t, Signed(ROWS, t.folder),
        [[opened("STARTTLS"), upgrade("expired", fails=True)],
         [opened(), transaction(), drain()],
         [opened("STARTTLS"), upgrade("expired", fails=True)]])
    t.outcome(daemon.send("--require-tls", to=("b@sec.test",)), "failed",
              dsn=r"5\.7\.10", step="tls")
    t.outcome(daemon.send(to=("c@sec.test",)), "delivered", code=250)
    # The next one that demands it may find a certificate that is good.
    t.outcome(daemon.send("--require-tls", to=("d@sec.test",)), "failed",
              dsn=r"5\.7\.10", step="tls")
    daemon.stop()
    t.scripts_held()
    equal(len(server.connections), 3, "connections")


def h_a_demand_has_a_session_of_its_own(t):
    """A session that stays open for others is not used for it."""
    _, daemon = by_mx(
        t, Signed(ROWS, t.folder),
        [[opened(), transaction(), drain()], kept()], idle="20s")
    t.outcome(daemon.send(to=("b@sec.test",)), "delivered", code=250)
    t.outcome(daemon.send("--require-tls", to=("b@sec.test",)), "delivered",
              code=250)
    daemon.stop()
    t.scripts_held()


# TLS-Required: No

OPTIONAL = b"TLS-Required: No\r\nSubject: it is broken\r\n\r\nYour TLS.\r\n"
TWICE = b"TLS-Required: No\r\n" + OPTIONAL


def h_tls_required_no_goes_unverified(t):
    _, daemon = by_mx(t, Dns(ROWS), [
        [opened("STARTTLS"), upgrade("expired"), hello(), transaction(),
         bye()]], level="verify")
    row = t.outcome(daemon.send(to=("b@sec.test",), message=OPTIONAL),
                    "delivered", code=250)
    equal(row["tls"]["verified"], False, "verified")
    daemon.stop()
    t.scripts_held()


@table([("not-offered", [[opened(), transaction(), bye()]]),
        ("refused", [[opened("STARTTLS"), line("STARTTLS"),
                      say("454 4.7.0 not now"), bye()],
                     [opened("STARTTLS"), transaction(), bye()]])])
def h_tls_required_no_goes_in_clear(t, scripts):
    _, daemon = by_mx(t, Dns(ROWS), scripts, level="encrypt",
                      more="tls_fallback = no")
    t.outcome(daemon.send(to=("b@sec.test",), message=OPTIONAL), "delivered",
              code=250)
    daemon.stop()
    t.scripts_held()


@table([("no-field", b"Subject: x\r\n\r\n" + OPTIONAL, ""),
        ("twice", TWICE, ""),
        ("by-policy", OPTIONAL, "tls_required_enable = no")])
def h_tls_required_does_not_count(t, text, more):
    _, daemon = by_mx(t, Dns(ROWS), [[opened(), bye()]], level="encrypt",
                      more=more)
    t.outcome(daemon.send(to=("b@sec.test",), message=text), "deferred",
              dsn=r"4\.7\.4", step="starttls")
    daemon.stop()
    t.scripts_held()


def h_tls_required_is_not_for_the_operators_own_server(t):
    server = t.serve([opened(), bye()])
    t.outcome(t.deliver(server, "--tls", "encrypt", message=OPTIONAL),
              "deferred", dsn=r"4\.7\.4", step="starttls")
    t.scripts_held()


def h_requiretls_wins_over_the_header(t):
    server = t.serve([opened(), bye()])
    t.outcome(strict(t, server, message=OPTIONAL), "failed", dsn=r"5\.7\.10")
    t.scripts_held()
    server = t.serve(kept())
    t.delivered(strict(t, server, message=OPTIONAL))
    holds("TLS-Required: No", server.connections[0].messages[0].decode())


def h_requiretls_is_in_the_transcript(t):
    for script, status in (([opened(), bye()], 0),
                           ([opened("STARTTLS"), upgrade(), hello(), bye()],
                            69)):
        server = t.serve(script)
        kept = os.path.join(t.folder, "kept%d" % status)
        strict(t, server, "--tls", "may", "--transcript", kept)
        t.scripts_held()
        equal(t.replay(kept).status, status, "replay")


def h_requiretls_over_lmtp(t):
    """RFC 8689, 2 (7): it is for LMTP too."""
    server = t.serve([opened("STARTTLS", verb="LHLO"), upgrade(),
                      hello("REQUIRETLS", verb="LHLO"), line(KEEPS),
                      say("250 ok"), rcpt_to(), data(), bye()])
    t.delivered(strict(t, server, "--tls", "may", "--lmtp"))


def h_requiretls_falls_back_to_nothing(t):
    """A STARTTLS that is refused is no reason for clear text."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      say("454 4.7.0 not now"), line("QUIT"),
                      say("221 bye"), close()])
    t.outcome(strict(t, server), "deferred", code=454, step="starttls")
    t.scripts_held()
