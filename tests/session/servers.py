# SPDX-License-Identifier: ISC
"""EHLO keywords that are switched off for one server: sections server."""
import os
import signal
import time

from chunks import flown
from harness import Dns, SAME, equal, holds, lacks, table
from server import (bye, data, drain, hello, line, mail_from, opened,
                    quiet, rcpt_to, say, upgrade)
from transcript import ask, names

ONE = """
%s
transport one {
	server = "%s"
	tls_security_level = none
	connection_reuse_time_limit = 0
	quit_timeout = 1s
	%s
}
route "*" {
	transport = one
}
"""
SECTION = """
server "%s" {
	discard_ehlo_keywords = { chunking, PIPELINING, Size }
}
"""
ALL = ("SIZE", "PIPELINING", "CHUNKING", "DSN")
# One command at a time, no SIZE, and DATA.
STEPWISE = [line("MAIL FROM:<a@example.net>"), quiet(), say("250 ok"),
            line("RCPT .*"), quiet(), say("250 ok"), data(), bye()]
WITHOUT = [opened(*ALL)] + STEPWISE
WITH = [opened(*ALL), flown(), bye()]


@table((x, x, y) for x, y in (
    ("127.0.0.2", WITHOUT),
    ("[127.0.0.2]", WITHOUT),
    ("127.0.0.2/31", WITHOUT),
    ("[127.0.0.0]/8", WITHOUT),
    ("0.0.0.0/0", WITHOUT),
    ("BROKEN.Test", WITHOUT),
    (".test", WITHOUT),
    ("127.0.0.3", WITH),
    ("127.0.0.4/30", WITH),
    ("::/0", WITH),
    ("test", WITH),
    (".broken.test", WITH),
    ("roken.test", WITH),
    ("example.org", WITH)))
def h_server_section(t, title, script):
    """By the name that is dialled, or by the address."""
    server = t.serve(script, address="127.0.0.2")
    dns = Dns({"broken.test": [("A", "127.0.0.2")]})
    where = 'hosts_file = ""\nname_servers = { "%s" }' % dns.name
    d = t.daemon(ONE % (where, "broken.test:%d" % server.port, "") +
                 SECTION % title)
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()


def h_server_section_of_an_ipv6_network(t):
    server = t.serve(WITHOUT, address="::1")
    d = t.daemon(ONE % ("", server.name, "") + SECTION % "[::]/64")
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()


def h_server_section_is_an_exception_to_a_wider_one(t):
    """One holds: of names before networks, the longest match."""
    server = t.serve(WITH, address="127.0.0.2")
    d = t.daemon(ONE % ("", server.name, "") + SECTION % "127.0.0.0/8" +
                 "server 127.0.0.2 {\n}\n")
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()


def h_server_section_adds_to_the_transport(t):
    server = t.serve([opened(*ALL), mail_from("<a@example.net> SIZE=.*"),
                      rcpt_to(), data(), bye()])
    d = t.daemon(ONE % ("", server.name,
                        "discard_ehlo_keywords = { pipelining, dsn }") +
                 "server 127.0.0.1 { discard_ehlo_keywords = chunking }\n")
    t.outcome(d.send("--envid", "x"), "delivered", code=250)
    d.stop()
    t.scripts_held()
    lacks("ENVID|BDAT", " ".join(server.connections[0].lines), "commands")


def h_server_section_is_for_one_address_of_a_plan(t):
    """The first has no STARTTLS for us, and so no mail; the next one has."""
    first = t.serve([opened("STARTTLS"), bye()], address="::1")
    second = t.serve([opened("STARTTLS"), upgrade(), hello(*ALL), flown(),
                      bye()], address="127.0.0.3", port=first.port)
    dns = Dns({"two.test": [("A", "127.0.0.3"), ("AAAA", "::1")]})
    where = 'hosts_file = ""\nname_servers = { "%s" }' % dns.name
    d = t.daemon((ONE % (where, "two.test:%d" % first.port,
                         "address_preference = ipv6")).replace(
                             "= none", "= encrypt") +
                 'server "::1" { discard_ehlo_keywords = { STARTTLS } }\n')
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()
    equal([len(x.connections) for x in (first, second)], [1, 1])
    holds(r"\[::1\]:\d+: STARTTLS unavailable", d.said(), "log")


def h_server_section_holds_within_tls(t):
    """What is said in the second EHLO, too."""
    server = t.serve([opened("STARTTLS", "SIZE"), upgrade(), hello(*ALL)] +
                     STEPWISE)
    d = t.daemon((ONE % ("", server.name, "")).replace("= none", "= encrypt") +
                 SECTION % "127.0.0.1")
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()


def h_server_section_comes_with_a_reload(t):
    """And holds for the next connection."""
    server = t.serve(WITH, WITHOUT)
    d = t.daemon(ONE % ("", server.name, ""))
    t.outcome(d.send(), "delivered", code=250)
    with open(d.config, "a", encoding="ascii") as f:
        f.write(SECTION % "127.0.0.1")
    os.kill(d.process.pid, signal.SIGHUP)
    until = time.monotonic() + 10
    while "reload" not in d.said() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.3)  # until the queue has it, too
    t.outcome(d.send(), "delivered", code=250)
    d.stop()
    t.scripts_held()


def h_server_section_is_in_the_transcript(t):
    """A replay keeps to it, wherever the server is that it plays."""
    server = t.serve([opened(*ALL), line("MAIL FROM:<a@example.net>"), quiet(),
                      say("250 ok"), rcpt_to("550 5.1.1 no"), drain()],
                     address="127.0.0.2")
    d = t.daemon(ONE % ("", server.name, "") + SECTION % "127.0.0.2",
                 store="sqlite")
    t.outcome(d.send(), "failed", code=550, step="rcpt")
    equal(len(names(t, d)), 1, "transcripts")
    text = ask(t, d, "transcript", "--last").stdout
    holds('\ndiscard ""\ndiscard_server "chunking PIPELINING Size "\n', text,
          "transcript")
    run = ask(t, d, "replay", "--fast", "--last")
    equal(run.status, SAME, "replay: " + run.stdout + run.stderr)
    d.stop()
    # A stranger's may hold words that we do not know.
    kept = os.path.join(t.folder, "kept")
    with open(kept, "w", encoding="ascii") as f:
        f.write(text.replace('\ndiscard ""', '\ndiscard "X-FOO a;b DSN %s "' % (
            "y" * 60)))
    run = t.deliver_raw("replay", "--fast", kept)
    equal(run.status, SAME, "replay: " + run.stdout + run.stderr)
