# SPDX-License-Identifier: ISC
"""postern doctor on the servers of transports that demand TLS: scripted servers, one
for each way not to come up to it, and the finding that names it and its cure."""
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "session"))
from daemon import PLAIN_UID, Suite  # noqa
from doctor import Broken, doctor, finds, free_port  # noqa
from server import (Certificates, Server, bye, drain, hello, line, opened,  # noqa
                    pause, say, tls, upgrade, GREETING)

# The check of transports connects, and hangs up; its connection plays nothing.
KNOCK = [[]]
# From the handshake on: EHLO once more, and the end.  Any other command fails it.
LEAVES = [hello(), bye()]
REFUSED = [say("454 4.7.0 TLS not available"), bye()]


class Place:
    """Servers, and an installation whose transports lead to them."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="postern-handshakes-")
        os.chmod(self.folder, 0o755)
        self.certs = Certificates(self.folder + "/certs")
        os.chmod(self.folder + "/certs", 0o755)
        self.servers = []
        self.transports = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def serve(self, script, **how):
        self.servers.append(Server(KNOCK + [script], self.certs, **how))
        return self.servers[-1]

    def transport(self, name, server, level="verify", more=""):
        self.transports.append(
            'transport %s {\n\tserver = "%s"\n\ttls_security_level = %s\n'
            '\ttls_CAfile = "%s"\n\ttls_name = "mail.test"\n%s}\n' % (
                name, server, level, self.certs.ca, more))

    def ask(self, *options, as_user=None):
        with Broken("".join(self.transports)) as d:
            rows = doctor(d, *options, as_user=as_user)
        return rows

    def scripts_held(self):
        for server in self.servers:
            server.stop()
            wrong = list(server.failures())
            assert not wrong, "%s\n%s" % (wrong, server.transcript())


def handshakes(rows, *levels):
    return [r for r in rows if r["check"] == "handshakes" and
            (not levels or r["level"] in levels)]


def answer(cert, *words, begin=None, level="verify", more="", kind="fault"):
    """One server with this certificate, and the finding; without words all is well."""
    with Place() as p:
        script = [opened("STARTTLS"), upgrade(cert, fails=bool(words))] \
            if begin is None else begin
        if not words:
            script = [script, LEAVES]
        server = p.serve(script)
        p.transport("relay", server.name, level, more)
        rows = p.ask()
        p.scripts_held()
        if words:
            finds(rows, "handshakes", kind, "transport relay",
                  "127.0.0.1, port %d" % server.port, *words)
        else:
            assert [r["level"] for r in handshakes(rows)] == ["ok"], rows


def a_good_certificate():
    answer("good")


def an_expired_certificate():
    answer("expired", "tls_security_level = verify", "certificate has expired",
           "on 2020-02-01", "renewed")


def a_wrong_name():
    answer("wrong", "hostname mismatch", "it is for other.test", "tls_name")


def a_self_signed_certificate():
    answer("self", "self-signed certificate", "tls_CAfile")


def an_unknown_authority():
    answer("stranger", "issuer certificate", "tls_CAfile")


def encryption_is_enough():
    answer("self", level="encrypt", begin=[opened("STARTTLS"), upgrade("self")])


def no_starttls():
    for level in ("verify", "encrypt"):
        answer("good", "tls_security_level = " + level, "does not offer it",
               "turn STARTTLS on", begin=[opened("PIPELINING"), bye()],
               level=level)


def starttls_is_refused():
    answer("good", "454 4.7.0 TLS not available",
           begin=[opened("STARTTLS"), line("STARTTLS"), REFUSED])


def tls_from_the_first_octet():
    answer("good", begin=[tls("good"), say(GREETING)],
           more="\ttls_wrappermode = yes\n")
    answer("expired", "certificate has expired", begin=[tls("expired", fails=True)],
           more="\ttls_wrappermode = yes\n")


def a_port_that_begins_in_clear():
    # Its greeting may come before our first octet, or after.
    answer("good", "begins in clear, tls_wrappermode = no",
           begin=[say(GREETING), drain()], more="\ttls_wrappermode = yes\n")


def lmtp_over_a_socket():
    with Place() as p:
        server = p.serve([opened("STARTTLS", verb="LHLO"), upgrade("wrong",
                                                                   fails=True)],
                         path=p.folder + "/lmtp")
        p.transport("store", server.name, more="\tprotocol = lmtp\n")
        rows = p.ask()
        p.scripts_held()
        finds(rows, "handshakes", "fault", "transport store", server.path,
              "it is for other.test")


def nobody_is_there():
    with Place() as p:
        p.transport("relay", "127.0.0.1:%d" % free_port())
        p.transport("lost", "relay.invalid")
        rows = p.ask()
        finds(rows, "handshakes", "warning", "transport relay",
              "cannot be seen", "Connection refused")
        finds(rows, "handshakes", "warning", "transport lost", "no such host")


def silent_servers_do_not_keep_the_others():
    """All wait at the same time, and not for the limits of the configuration."""
    with Place() as p:
        for i in range(12):
            server = p.serve([pause(40)], listening=True)
            p.transport("silent%d" % i, server.name)
        good = p.serve([opened("STARTTLS"), upgrade("expired", fails=True)])
        p.transport("last", good.name)
        rows = p.ask()
        for i in range(12):
            finds(rows, "handshakes", "warning", "transport silent%d:" % i,
                  "cannot be seen", "timed out")
        finds(rows, "handshakes", "fault", "transport last:", "has expired")
        for server in p.servers[:-1]:
            server.thread = None


def many_servers_are_tried():
    """As many as a configuration may have, nearly, each with a finding."""
    with Place() as p:
        port = free_port()
        for i in range(200):
            p.transport("t%d" % i, "127.0.0.1:%d" % port)
        found = handshakes(p.ask(), "warning")
        assert len(found) == 200, len(found)
        assert len({re.match("transport (t[0-9]+):", r["what"]).group(1)
                    for r in found}) == 200, found


def levels_that_demand_nothing():
    with Place() as p:
        for level in ("none", "may"):
            server = p.serve([])
            server.scripts = KNOCK
            p.transport("at_" + level, server.name, level)
        rows = p.ask()
        p.scripts_held()
        assert [r["what"] for r in handshakes(rows)] == \
            ["no transport demands TLS of a server by name"], rows


def no_login_is_made():
    """The password is for mail; the doctor does not show it around."""
    with Place() as p:
        with open(p.folder + "/password", "w") as f:
            f.write("secret\n")
        os.chmod(p.folder + "/password", 0o600)
        server = p.serve([opened("STARTTLS"), upgrade("good"),
                          hello("AUTH PLAIN"), bye()])
        p.transport("relay", server.name, more="\tauth_user = ana\n"
                    '\tauth_password_file = "%s/password"\n' % p.folder)
        rows = p.ask()
        p.scripts_held()
        assert [r["level"] for r in handshakes(rows)] == ["ok"], rows


def trust_that_cannot_be_read():
    """It is said once, and keeps no other server from being tried."""
    with Place() as p:
        port = free_port()
        p.transport("blind", "127.0.0.1:%d" % port)
        p.transports[0] = p.transports[0].replace(p.certs.ca, "/nonexistent/ca")
        server = p.serve([opened("STARTTLS"), upgrade("wrong", fails=True)])
        p.transport("relay", server.name)
        rows = p.ask()
        p.scripts_held()
        finds(rows, "trust", "fault", "/nonexistent/ca")
        assert [r for r in handshakes(rows, "skipped")
                if "/nonexistent/ca" in r["what"]], rows
        finds(rows, "handshakes", "fault", "it is for other.test")


def anybody_may_ask():
    """Without root the same is found."""
    if os.geteuid() != 0:
        return
    with Place() as p:
        server = p.serve([opened("STARTTLS"), upgrade("expired", fails=True)])
        p.transport("relay", server.name)
        rows = p.ask(as_user=PLAIN_UID)
        p.scripts_held()
        finds(rows, "handshakes", "fault", "has expired")


def without_a_posternd_it_says_so():
    with Place() as p:
        p.transport("relay", "127.0.0.1:%d" % free_port())
        with Broken("".join(p.transports)) as d:
            os.unlink(d.dir + "/posternd")
            with open(d.dir + "/posternd", "w") as f:
                f.write("#!/bin/sh\nexit 1\n")
            os.chmod(d.dir + "/posternd", 0o755)
            finds(doctor(d), "handshakes", "warning", "transport relay",
                  "ended early")


def offline_asks_nobody():
    with Place() as p:
        server = Server([], p.certs)
        p.servers.append(server)
        p.transport("relay", server.name)
        rows = p.ask("--offline")
        p.scripts_held()
        for check in ("handshakes", "transports", "resolver", "outbound"):
            found = [r for r in rows if r["check"] == check]
            assert [r["level"] for r in found] == ["skipped"], found
            assert "--offline" in found[0]["what"], found


TESTS = (a_good_certificate, an_expired_certificate, a_wrong_name,
         a_self_signed_certificate, an_unknown_authority, encryption_is_enough,
         no_starttls, starttls_is_refused, tls_from_the_first_octet,
         a_port_that_begins_in_clear, lmtp_over_a_socket, nobody_is_there,
         silent_servers_do_not_keep_the_others, many_servers_are_tried,
         levels_that_demand_nothing, no_login_is_made,
         trust_that_cannot_be_read, anybody_may_ask,
         without_a_posternd_it_says_so, offline_asks_nobody)


def run(suite):
    for test in TESTS:
        suite.check("handshakes: " + test.__name__.replace("_", " "), test)


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
