# SPDX-License-Identifier: ISC
"""S-001 to S-017: the connection, the greeting, our own name, the timers."""
import socket
import threading

from harness import (DEFERRED, Dns, Skip, equal, holds,
                     host_name_namespace, lacks)
from server import (GREETING, bye, close, data, drain, eof, flood, hello,
                    line, mail_from, opened, pause, quiet, raw, rcpt_to,
                    say, transaction, upgrade, whole)


def s_001_nothing_before_greeting(t):
    server = t.serve([
        quiet(0.3), raw(b"220-mail.te"), quiet(0.3), raw(b"st hello\r\n"),
        quiet(0.3), raw(b"220 ready"), quiet(0.3), raw(b"\r\n"),
        hello(), transaction(), bye()])
    t.delivered(t.deliver(server))


def s_002_greeting_then_ehlo(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server))
    c = server.connections[0]
    if not c.clear.startswith(b"EHLO client.test\r\n"):
        raise AssertionError("first octets: %r" % c.clear[:40])


def s_002_greeting_then_lhlo(t):
    server = t.serve(whole(verb="LHLO"))
    t.delivered(t.deliver(server, "--lmtp"))
    c = server.connections[0]
    if not c.clear.startswith(b"LHLO client.test\r\n"):
        raise AssertionError("first octets: %r" % c.clear[:40])


def s_003_greeting_of_several_lines(t):
    server = t.serve([say("220-mail.test ESMTP", "220-be kind", "220 go"),
                      hello(), transaction(), bye()])
    t.delivered(t.deliver(server))


def refused_greeting(t, greeting, status, code, reply):
    server = t.serve([say(greeting), bye()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, status, code=code, step="greeting", reply=reply)
    equal(server.connections[0].lines, ["QUIT"], "commands")


def s_004_greeting_554(t):
    refused_greeting(t, "554 5.3.2 closed today", "failed", 554,
                     "closed today")


def s_005_greeting_450(t):
    refused_greeting(t, "450 4.3.2 later please", "deferred", 450,
                     "later please")


def s_006_greeting_421(t):
    server = t.serve([say("421 4.3.2 too busy"), drain()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "deferred", code=421, step="greeting", reply="too busy")
    equal(server.connections[0].clear, b"QUIT\r\n", "octets")


def s_007_greeting_250(t):
    refused_greeting(t, "250 hello", "deferred", 250,
                     "protocol error.*250")


def s_007_greeting_of_another_2yz(t):
    refused_greeting(t, "211 hello", "deferred", 211,
                     "protocol error.*211")


def s_008_greeting_554_then_close(t):
    server = t.serve([say("554 5.3.2 go away"), close()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=554, step="greeting", reply="go away")


def s_008_greeting_554_then_quit_unanswered(t):
    server = t.serve([say("554 5.3.2 go away"), line("QUIT"), close()])
    run = t.deliver(server)
    t.scripts_held()
    t.outcome(run, "failed", code=554, step="greeting", reply="go away")


def s_009_greeting_554_then_silence(t):
    server = t.serve([say("554 5.3.2 go away"), line("QUIT"), eof()])
    run = t.deliver(server, step=1)
    t.scripts_held()
    t.outcome(run, "failed", code=554, step="greeting", reply="go away")
    lacks("timed out", run.outcomes[0]["reply"], "reply")
    if run.seconds > 20:
        raise AssertionError("%.1f s for a QUIT timer of 1 s" % run.seconds)


def s_010_greeting_354(t):
    refused_greeting(t, "354 go ahead", "deferred", 354,
                     "protocol error.*354")


def s_011_silent_server(t):
    server = t.serve([eof()])
    run = t.deliver(server, step=1)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="greeting", dsn=r"4\.4\.\d",
              reply="timed out")
    equal(server.connections[0].clear, b"", "octets")


def s_012_nobody_listens(t):
    server = t.serve(listening=False)
    run = t.deliver(server)
    t.outcome(run, "deferred", code=0, step="connect", dsn=r"4\.4\.1",
              reply="[Cc]onnection refused")


def s_012_no_such_socket(t):
    run = t.deliver("unix:%s/nobody" % t.folder, "--lmtp")
    t.outcome(run, "deferred", code=0, step="connect", dsn=r"4\.4\.1",
              reply="No such file")


MX_CONFIG = """
name_servers = { "%s" }
hosts_file = ""
transport mx {
	tls_security_level = none
	allow_loopback = yes
	%s
}
route "*" {
	transport = mx
}
"""


def s_013_second_address(t):
    """Nobody listens at the address that is to be tried first."""
    server = t.serve(whole(), address="127.0.0.3")
    port = server.port
    dns = Dns({"two.test": [("A", "127.0.0.3"), ("AAAA", "::1")]})
    daemon = t.daemon(MX_CONFIG % (
        dns.name, 'server = "two.test:%d"\n\taddress_preference = ipv6' % port))
    run = daemon.send()
    t.delivered(run)
    holds("127.0.0.3", run.outcomes[0]["relay"], "relay")


def s_013_second_address_after_a_refusal(t):
    """A refusal for now, or the session's end, leads on to the next one."""
    for first in ([say("421 4.3.2 busy"), drain()],
                  [say("450 4.3.2 later"), bye()], [close()],
                  [say("nonsense"), drain()]):
        server = t.serve(first, whole(), address="0.0.0.0")
        dns = Dns({"two.test": [("A", "127.0.0.2"), ("A", "127.0.0.3")]})
        daemon = t.daemon(MX_CONFIG % (
            dns.name, 'server = "two.test:%d"' % server.port))
        run = daemon.send()
        t.delivered(run)
        equal(sorted(c.local[0] for c in server.connections),
              ["127.0.0.2", "127.0.0.3"], "addresses")
        daemon.stop()


def s_014_own_name_as_given(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, ehlo="me.example"))
    equal(server.connections[0].lines[0], "EHLO me.example")


def s_014_own_name_of_the_machine(t):
    server = t.serve(whole())
    run = t.deliver("localhost:%d" % server.port, ehlo=None,
                    prefix=host_name_namespace("client.example.net"))
    t.delivered(run)
    equal(server.connections[0].lines[0], "EHLO client.example.net")


def s_014_never_the_name_of_the_server(t):
    server = t.serve(whole())
    t.delivered(t.deliver("localhost:%d" % server.port, ehlo=None))
    lacks("(?i)localhost|mail.test", server.connections[0].lines[0])


def s_015_no_host_name(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, ehlo=None,
                          prefix=host_name_namespace("plain")))
    equal(server.connections[0].lines[0], "EHLO [127.0.0.1]")


def s_015_host_name_is_no_domain(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, ehlo=None,
                          prefix=host_name_namespace("my_box.example.net")))
    equal(server.connections[0].lines[0], "EHLO [127.0.0.1]")


def s_016_literal_of_the_socket(t):
    if "." in socket.gethostname():
        raise Skip("this machine has a full host name")
    server = t.serve(whole())
    daemon = t.daemon("""
transport one {
	server = "%s"
	tls_security_level = none
	bind_address = 127.0.0.9
}
route "*" {
	transport = one
}
""" % server.name, hostname="")
    t.delivered(daemon.send())
    equal(server.connections[0].peer[0], "127.0.0.9", "source address")
    equal(server.connections[0].lines[0], "EHLO [127.0.0.9]")


def s_016_literal_of_ipv6(t):
    try:
        server = t.serve(whole(), address="::1")
    except OSError as e:
        raise Skip("no IPv6 here: %s" % e) from e
    t.delivered(t.deliver(server, ehlo=None,
                          prefix=host_name_namespace("plain")))
    equal(server.connections[0].lines[0], "EHLO [IPv6:::1]")


# S-017: in each transport one timer is short, the others are long; the server
# is slow at every step before the one whose timer is to fire.

TIMERS = ("greeting_timeout", "helo_timeout", "starttls_timeout",
          "mail_timeout", "rcpt_timeout", "data_init_timeout",
          "data_xfer_timeout", "data_done_timeout")
STEPS = ("greeting", "ehlo", "starttls", "mail", "rcpt", "data", "body",
         "final")
SHORT_S = 1
SLOW_S = 1.4


def slow_until(step):
    """A script that is slow at every step, and silent at this one."""
    tls = step == "starttls"
    parts = [
        ("greeting", [], [say(GREETING)]),
        ("ehlo", [line("EHLO .*")], [say("250-mail.test", "250 STARTTLS")
                                     if tls else say("250 mail.test")]),
        ("starttls", [line("STARTTLS")], []),
        ("mail", [line("MAIL .*")], [say("250 ok")]),
        ("rcpt", [line("RCPT .*")], [say("250 ok")]),
        ("data", [line("DATA")], [say("354 go")]),
    ]
    script = []
    for name, asked, answered in parts:
        if name == "starttls" and not tls:
            continue
        script += asked
        if name == step:
            return script + [eof()]
        script += [pause(SLOW_S)] + answered
    if step == "body":
        return script + [pause(12), drain()]
    return script + [drain()]


def s_017_each_timer_fires_alone(t):
    # What times out is a server of the configuration, which is tried again.
    servers = {s: t.serve(*[slow_until(s)] * 6, optional=5) for s in STEPS}
    blocks = []
    for timer, step in zip(TIMERS, STEPS):
        blocks.append("transport %s {\n\tserver = \"%s\"\n"
                      "\ttls_security_level = %s\n%s}\n" % (
                          step, servers[step].name,
                          "encrypt" if step == "starttls" else "none",
                          "".join("\t%s = %ds\n" % (
                              x, SHORT_S if x == timer else 30)
                              for x in TIMERS)))
    daemon = t.daemon("".join(blocks) + 'route "*" {\n\ttransport = ehlo\n}\n')
    runs = {}

    def send(step):
        body = (b"x" * 70 + b"\r\n") * (300000 if step == "body" else 1)
        runs[step] = daemon.send("--via", step, message=body)

    threads = [threading.Thread(target=send, args=(s,)) for s in STEPS]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    faults = []
    for step in STEPS:
        try:
            t.outcome(runs[step], "deferred", code=0, step=step,
                      reply="timed out", in_doubt=step == "final",
                      exit_status=DEFERRED)
        except (AssertionError, KeyError) as e:
            faults.append("%s: %s" % (step, e))
    if faults:
        raise AssertionError("; ".join(faults))


def h_timeout_caps_the_whole_run(t):
    """Every step is quick, and there is no end of them."""
    server = t.serve([opened(), [line("MAIL .*")],
                      flood(b"250-more\r\n", 1), [pause(1)] * 30])
    run = t.deliver(server, "--timeout", "2", step=30)
    t.outcome(run, "deferred", code=0, reply="time is up|timed out|is over")
    if run.seconds > 20:
        raise AssertionError("%.1f s for --timeout 2" % run.seconds)


def h_one_message_is_what_was_handed_in(t):
    server = t.serve(opened() + mail_from() + rcpt_to() + data() + bye())
    t.delivered(t.deliver(server), dsn=r"2\.0\.0", reply="kept as 4711")
    equal(server.connections[0].messages,
          [b"Subject: hello\r\n\r\nA line.\r\n"])


def h_starttls_delivers(t):
    server = t.serve(opened("STARTTLS", "SIZE 100000") + upgrade() +
                     hello("SIZE 100000") + transaction() + bye())
    run = t.deliver("localhost:%d" % server.port, "--tls", "verify", "--ca",
                    t.certs.ca)
    row = t.delivered(run)
    equal(row["tls"]["version"], "TLSv1.3", "tls version")
    equal(row["tls"]["verified"], True, "verified")
