# SPDX-License-Identifier: ISC
"""The resolver and the dialer, against the real NSD."""
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, wait_for  # noqa
from sink import Sink  # noqa

PEERS = os.path.join(ROOT, "tests/interop/peers.sh")
MESSAGE = b"Subject: test\n\ntext\n"

# The sink is on .1, .2, .3, .5 and ::1, and busy on .5; nobody is on .4.
ZONE = """
$ORIGIN postern.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A 127.0.0.1
one A 127.0.0.1
two A 127.0.0.2
three A 127.0.0.3
nobody A 127.0.0.4
busy A 127.0.0.5
six AAAA ::1
text TXT "neither MX nor address"
alias CNAME two
client A 127.0.0.1
own A %(own)s

preferred MX 30 one
preferred MX 20 two
preferred MX 10 nobody
preferred MX 15 busy
equal MX 10 two
equal MX 10 three
%(equals)s
null MX 0 .
implicit A 127.0.0.2
onlysix MX 10 six
noaddress MX 10 text
missing MX 10 nosuch
halfmissing MX 10 nosuch
halfmissing MX 20 two
nowhere MX 10 nobody.broken.test.
halfbroken MX 10 host.broken.test.
halfbroken MX 20 two
viaalias MX 10 alias
whole CNAME preferred
loopname MX 10 client
loopname MX 20 two
looplater MX 5 two
looplater MX 10 client
loopcut MX 5 nobody
loopcut MX 10 client
loopcut MX 20 two
loopaddress MX 10 own
loopaddress MX 20 two
many MX 1 %(long)s
%(many)s
override A 127.0.0.4
web_1 A 127.0.0.2
list_1 MX 10 _mx.three_
_mx.three_ A 127.0.0.3
retry MX 10 two
*.wild MX 10 two
"""

NSD = """
server:
	ip-address: 127.0.0.1
	port: %(port)d
	do-ip6: no
	username: ""
	chroot: ""
	zonesdir: "%(dir)s"
	zonelistfile: "%(dir)s/zone.list"
	xfrdfile: "%(dir)s/xfrd.state"
	xfrdir: "%(dir)s"
	database: ""
	pidfile: "%(dir)s/nsd.pid"
	logfile: "%(dir)s/log"
	server-count: 1
	ipv4-edns-size: 512
remote-control:
	control-enable: no
zone:
	name: postern.test
	zonefile: zone
zone:
	name: broken.test
	zonefile: there-is-none
"""

CONFIG = """
name_servers = { %(servers)s }
hosts_file = "%(hosts)s"
resolver_timeout = %(timeout)s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport mx {
	port = %(port)d
	allow_loopback = yes
	tls_security_level = none
	mx_address_limit = 0
	connection_idle_time = 0
	connection_reuse_time_limit = 0
}
transport four {
	port = %(port)d
	allow_loopback = yes
	tls_security_level = none
	inet_protocols = ipv4
}
transport six {
	port = %(port)d
	allow_loopback = yes
	tls_security_level = none
	inet_protocols = ipv6
}
transport outside {
	port = %(port)d
	tls_security_level = none
}
transport bound {
	port = %(port)d
	allow_loopback = yes
	tls_security_level = none
	bind_address = 127.0.0.9
	inet_protocols = ipv4
}
transport foreign {
	port = %(port)d
	allow_loopback = yes
	tls_security_level = none
	bind_address = 192.0.2.9
	inet_protocols = ipv4
}
transport nohost {
	server = "nosuch.postern.test:%(port)d"
	tls_security_level = none
}
transport noaddress {
	server = "text.postern.test:%(port)d"
	tls_security_level = none
}
transport sixserver {
	server = "six.postern.test:%(port)d"
	tls_security_level = none
	inet_protocols = ipv4
}
transport hosted {
	server = "hosted.postern.test:%(port)d"
	tls_security_level = none
}
transport overridden {
	server = "override.postern.test:%(port)d"
	tls_security_level = none
}
transport underscore {
	server = "web_1.postern.test:%(port)d"
}
transport unix {
	server = "unix:%(unix)s"
	tls_security_level = none
}
transport address {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
}
route "*" { transport = mx }
"""


def own_address():
    """An address of this machine that is no loopback one; None: it has none."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect(("192.0.2.1", 9))  # sends nothing
        address = s.getsockname()[0]
    except OSError:
        return None
    finally:
        s.close()
    return None if ipaddress.ip_address(address).is_loopback else address


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def free_udp_and_tcp_port():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, \
                socket.socket() as t:
            u.bind(("127.0.0.1", 0))
            try:
                t.bind(("127.0.0.1", u.getsockname()[1]))
            except OSError:
                continue
            return u.getsockname()[1]


class Nsd:
    def __init__(self, folder):
        self.port = free_udp_and_tcp_port()
        long = "host-%s" % ("x" * 50)
        zone = ZONE % {
            "own": own_address() or "127.0.0.1",
            "equals": "\n".join("equal%d MX 10 two\nequal%d MX 10 three" %
                                (i, i) for i in range(16)),
            "long": long + "-0",
            # 40 names that make an answer which fits no datagram
            "many": "\n".join(
                ["many MX %d %s-%d" % (i + 2, long, i + 1)
                 for i in range(39)] +
                ["%s-%d A 127.0.0.%d" % (long, i, 2 if i == 15 else 4)
                 for i in range(40)])}
        with open(folder + "/zone", "w") as f:
            f.write(zone)
        with open(folder + "/nsd.conf", "w") as f:
            f.write(NSD % {"port": self.port, "dir": folder})
        self.log = folder + "/log"
        self.process = subprocess.Popen(
            ["sh", PEERS, "nsd", folder + "/nsd.conf"],
            stdin=subprocess.DEVNULL)
        wait_for(self.answers, what="NSD to answer")

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log) as f:
                raise AssertionError("NSD ended: " + f.read())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect(("127.0.0.1", self.port))
            try:
                s.send(bytes.fromhex("000101000001000000000000") +
                       b"\x02ns\x07postern\x04test\0\0\1\0\1")
                return s.recv(512)[3] & 15 == 0
            except OSError:
                return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Gate(threading.Thread):
    """A datagram relay before NSD, which can hold questions back."""

    def __init__(self, nsd_port):
        super().__init__(daemon=True)
        self.nsd = ("127.0.0.1", nsd_port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.open = threading.Event()
        self.asked = threading.Event()
        self.start()

    def run(self):
        while True:
            question, peer = self.sock.recvfrom(4096)
            self.asked.set()
            if not self.open.is_set():
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(2)
                s.sendto(question, self.nsd)
                try:
                    self.sock.sendto(s.recv(4096), peer)
                except OSError:
                    pass


class Tests:
    def __init__(self, folder):
        self.folder = folder
        addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.5"]
        self.ipv6 = has_ipv6()
        self.sink = Sink(addresses + (["::1"] if self.ipv6 else []))
        self.sink.greeting = lambda local: (
            "421 4.3.2 busy" if local == "127.0.0.5"
            else "220 sink.postern.test")
        self.unix = Sink(unix=folder + "/sink")
        with open(folder + "/hosts", "w") as f:
            f.write("127.0.0.2 hosted.postern.test hosted\n"
                    "127.0.0.3 override.postern.test\n"
                    "127.0.0.4 preferred.postern.test\n")
        self.nsd = Nsd(folder)
        self.d = self.daemon('"127.0.0.1@%d"' % self.nsd.port)
        self.d.start()

    def daemon(self, servers, timeout="30s"):
        return Daemon(CONFIG % {
            "servers": servers, "hosts": self.folder + "/hosts",
            "timeout": timeout, "port": self.sink.port,
            "unix": self.folder + "/sink"})

    def clear(self):
        self.d.clear()
        self.nsd.stop()
        self.sink.close()
        self.unix.close()

    def to(self, domain, via=None, daemon=None, user=None, wait="attempt"):
        """One message to a domain: its recipient, and what became of it."""
        if not domain.startswith("[") and "." not in domain:
            domain += ".postern.test"
        rcpt = "%s@%s" % (user or threading.current_thread().name.lower(),
                          domain)
        answers = (daemon or self.d).send(
            [rcpt], MESSAGE, wait=wait,
            extra=("--via", via) if via else ())
        for answer in answers:
            if "recipient" in answer:
                return rcpt, answer
        raise AssertionError("no outcome: %r" % answers)

    def arrives(self, domain, at, **options):
        rcpt, answer = self.to(domain, **options)
        assert answer["status"] == "delivered", answer
        mails = self.sink.got(rcpt)
        assert len(mails) == 1, (rcpt, len(mails))
        assert mails[0].local == at, (mails[0].local, answer)
        assert at in answer["relay"], answer
        self.sink.mails.remove(mails[0])
        return mails[0]

    def falls(self, domain, status, dsn, word, **options):
        rcpt, answer = self.to(domain, **options)
        assert answer["status"] == status, answer
        assert answer["dsn"] == dsn, answer
        assert word in answer["reply"], answer
        assert not self.sink.got(rcpt), rcpt
        return answer

    # The order of MX hosts

    def the_next_preference_is_tried_when_the_first_refuse(self):
        self.arrives("preferred", "127.0.0.2")

    def equal_preferences_are_shuffled_for_each_domain(self):
        rcpts = ["x@equal%d.postern.test" % i for i in range(16)]
        answers = self.d.send(rcpts, MESSAGE)
        status = [a["status"] for a in answers if "recipient" in a]
        assert status == ["delivered"] * 16, answers
        seen = {m.local for m in self.sink.mails if m.rcpts[0] in rcpts}
        assert seen == {"127.0.0.2", "127.0.0.3"}, seen

    def equal_preferences_share_the_mail_of_one_domain(self):
        """RFC 5321, 5.1: load is spread by sessions, not by days."""
        for i in range(16):
            _, answer = self.to("equal", user="u%d" % i)
            assert answer["status"] == "delivered", answer
        seen = {m.local for m in self.sink.mails
                if m.rcpts[0].endswith("@equal.postern.test")}
        assert seen == {"127.0.0.2", "127.0.0.3"}, seen

    def forty_mx_records_come_by_tcp(self):
        self.arrives("many", "127.0.0.2")

    def an_mx_may_be_an_alias(self):
        self.arrives("viaalias", "127.0.0.2")

    def a_domain_may_be_an_alias(self):
        self.arrives("whole", "127.0.0.2")

    def a_wildcard_mx_counts(self):
        self.arrives("any.wild.postern.test", "127.0.0.2")

    # What there is not

    def a_null_mx_fails_at_once(self):
        answer = self.falls("null", "failed", "5.1.10", "accepts no mail")
        assert answer["code"] == 556, answer

    def a_domain_without_mx_is_its_own_host(self):
        self.arrives("implicit", "127.0.0.2")

    def a_name_may_have_an_underscore(self):
        self.arrives("web_1", "127.0.0.2")
        self.arrives("list_1", "127.0.0.3")
        self.arrives("x.test", "127.0.0.2", via="underscore")

    def an_mx_with_ipv6_alone_is_reached(self):
        if self.ipv6:
            self.arrives("onlysix", "::1")
            self.arrives("onlysix", "::1", via="six")

    def addresses_that_we_may_not_use_fail_no_mail(self):
        """inet_protocols is a limit of ours, not a fault of the domain's."""
        self.falls("onlysix", "deferred", "4.4.4", "has no IPv4 address",
                   via="four")
        self.falls("implicit", "deferred", "4.4.4", "has no IPv6 address",
                   via="six")
        self.falls("[127.0.0.1]", "deferred", "4.4.4", "inet_protocols",
                   via="six")
        self.is_troubled("families", "onlysix.postern.test by four",
                         "inet_protocols")

    def a_domain_without_any_address_fails_whatever_we_may_use(self):
        self.falls("noaddress", "failed", "5.4.4", "no host with", via="four")
        self.falls("missing", "failed", "5.4.4", "no host with", via="six")

    def a_server_of_ours_that_has_no_address_fails_no_mail(self):
        """A container that restarts has no name for some seconds."""
        self.falls("x.test", "deferred", "4.4.4", "no such host",
                   via="nohost")
        self.falls("x.test", "deferred", "4.4.4", "has no address",
                   via="noaddress")
        self.falls("x.test", "deferred", "4.4.4", "has no IPv4 address",
                   via="sixserver")
        self.is_troubled("server", "nohost", "nosuch.postern.test")
        self.is_troubled("server", "noaddress", "text.postern.test")
        log = self.d.log_text()
        assert "warning: transport nohost: server nosuch.postern.test of " \
            "the configuration: no such host: its mail waits; " in log, log

    def is_troubled(self, kind, name, word):
        """A row of top, which the doctor shows as a fault with its cure."""
        r = self.d.postern("top", "--json")
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        row = [t for t in rows if t.get("top") == "trouble" and
               t["kind"] == kind and t["name"] == name]
        assert len(row) == 1 and word in row[0]["what"], rows
        r = self.d.postern("doctor", "--json")
        found = [t for t in map(json.loads, r.stdout.splitlines())
                 if t.get("what") == row[0]["what"]]
        assert found and found[0]["level"] == "fault" and \
            found[0]["cure"], r.stdout

    def a_domain_that_does_not_exist_fails(self):
        self.falls("nosuch", "failed", "5.1.2", "no such domain")

    def a_domain_without_any_address_fails(self):
        self.falls("text", "failed", "5.4.4", "no host with")
        self.falls("noaddress", "failed", "5.4.4", "no host with")
        self.falls("missing", "failed", "5.4.4", "no host with")

    def an_mx_that_does_not_exist_is_passed_over(self):
        self.arrives("halfmissing", "127.0.0.2")

    def an_mx_that_cannot_be_looked_up_is_passed_over(self):
        self.arrives("halfbroken", "127.0.0.2")

    def a_name_server_that_fails_defers(self):
        self.falls("broken.test", "deferred", "4.4.3", "name servers")
        self.falls("nowhere", "deferred", "4.4.3", "name servers")

    # Literals and loops

    def an_address_literal_needs_no_dns(self):
        self.arrives("[127.0.0.1]", "127.0.0.1")
        if self.ipv6:
            self.arrives("[IPv6:::1]", "::1")

    def loopback_is_a_loop_unless_allowed(self):
        self.falls("[127.0.0.1]", "failed", "5.4.6", "loops back",
                   via="outside")
        self.falls("implicit", "failed", "5.4.6", "loops back",
                   via="outside")

    def an_mx_of_our_name_is_a_loop(self):
        self.falls("loopname", "failed", "5.4.6", "loops back")

    def hosts_before_ourselves_are_used(self):
        self.arrives("looplater", "127.0.0.2")

    def hosts_behind_ourselves_are_not_used(self):
        answer = self.falls("loopcut", "deferred", "4.4.1", "refused")
        assert "127.0.0.4" in answer["relay"], answer

    def an_mx_with_our_address_is_a_loop(self):
        if own_address() is not None:
            self.falls("loopaddress", "failed", "5.4.6", "loops back")

    def an_address_is_ours_only_while_we_have_it(self):
        """It comes and goes while the resolver lives."""
        address = "198.51.100.%d" % (os.getpid() % 250 + 1)
        change = ["ip", "addr", "add", address + "/32", "dev", "lo"]
        if shutil.which("ip") is None or \
                subprocess.run(change, capture_output=True).returncode != 0:
            return  # not ours to change
        domain = "[%s]" % address
        try:
            with self.daemon('"127.0.0.1@%d"' % self.nsd.port) as d:
                self.falls(domain, "failed", "5.4.6", "loops back", daemon=d)
                change[2] = "del"
                subprocess.run(change, check=True)
                _, answer = self.to(domain, user="gone", daemon=d)
                assert answer["status"] == "deferred", answer
                assert "loops back" not in answer["reply"], answer
                change[2] = "add"
                subprocess.run(change, check=True)
                # The plan of before is kept; another transport has its own.
                self.falls(domain, "failed", "5.4.6", "loops back",
                           via="four", daemon=d)
        finally:
            change[2] = "del"
            subprocess.run(change, capture_output=True)

    # Hosts, sources, sockets

    def the_hosts_file_comes_before_dns(self):
        self.arrives("x.test", "127.0.0.2", via="hosted")
        self.arrives("x.test", "127.0.0.3", via="overridden")

    def a_host_of_the_hosts_file_alone_is_an_implicit_mx(self):
        self.arrives("hosted", "127.0.0.2")

    def the_source_address_is_bound(self):
        mail = self.arrives("implicit", "127.0.0.2", via="bound")
        assert mail.peer == "127.0.0.9", mail.peer

    def a_source_address_that_is_not_ours_defers(self):
        answer = self.falls("implicit", "deferred", "4.4.1", "assign",
                            via="foreign")
        assert answer["step"] == "connect", answer

    def a_unix_socket_is_a_server(self):
        rcpt, answer = self.to("x.test", via="unix")
        assert answer["status"] == "delivered", answer
        assert len(self.unix.got(rcpt)) == 1
        assert self.folder + "/sink" in answer["relay"], answer

    # Name servers that die, and a resolver that does

    def with_silent_name_servers_nobody_else_is_late(self):
        silent = Gate(self.nsd.port)
        with self.daemon('"127.0.0.1@%d"' % silent.port, "3s") as d:
            started = time.monotonic()
            late = {}

            def ask():
                late["answer"] = self.falls(
                    "implicit", "deferred", "4.4.3", "in time", daemon=d)
                late["s"] = time.monotonic() - started
            thread = threading.Thread(target=ask, name="late")
            thread.start()
            assert silent.asked.wait(20)
            self.arrives("x.test", "127.0.0.1", via="address", daemon=d)
            assert "s" not in late, "the others waited for the resolver"
            thread.join(40)
            assert 2.5 < late.get("s", 99) < 20, late

    def with_no_name_server_mail_is_deferred(self):
        port = free_udp_and_tcp_port()
        with self.daemon('"127.0.0.1@%d"' % port, "3s") as d:
            self.falls("implicit", "deferred", "4.4.3", "", daemon=d)

    def a_second_name_server_stands_in_for_a_dead_one(self):
        silent = Gate(self.nsd.port)
        with self.daemon('"127.0.0.1@%d", "127.0.0.1@%d"' %
                         (silent.port, self.nsd.port)) as d:
            self.arrives("preferred", "127.0.0.2", daemon=d)

    def a_resolver_that_dies_while_it_is_asked_loses_nothing(self):
        gate = Gate(self.nsd.port)
        with self.daemon('"127.0.0.1@%d"' % gate.port) as d:
            rcpts = ["r%d@equal%d.postern.test" % (i, i) for i in range(8)]
            answers = d.send(rcpts, MESSAGE, wait="queued")
            assert answers[0]["status"] == "queued", answers
            assert gate.asked.wait(20)
            old = d.pids("resolver")
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: d.pids("resolver") not in ([], old),
                     what="another resolver")
            gate.open.set()
            wait_for(lambda: all(self.sink.got(r) for r in rcpts), 40,
                     "the mail")
            assert [len(self.sink.got(r)) for r in rcpts] == [1] * 8
            wait_for(lambda: d.queued() == [], what="an empty queue")

    def a_reload_brings_new_name_servers(self):
        with self.daemon('"127.0.0.1@%d"' % free_udp_and_tcp_port(),
                         "2s") as d:
            rcpt, answer = self.to("retry", daemon=d)
            assert answer["status"] == "deferred", answer
            good = self.daemon('"127.0.0.1@%d"' % self.nsd.port)
            with open(good.config) as f:
                text = f.read().replace(good.dir, d.dir)
            good.clear()
            with open(d.config, "w") as f:
                f.write(text)
            os.kill(d.process.pid, signal.SIGHUP)
            wait_for(lambda: self.sink.got(rcpt), 40, "the deferred mail")


HELPERS = ("__init__", "daemon", "clear", "to", "arrives", "falls",
           "is_troubled")


def run(suite):
    with tempfile.TemporaryDirectory(prefix="postern-resolver-") as folder:
        os.chmod(folder, 0o755)
        tests = Tests(folder)
        try:
            suite.check_all(
                [(name.replace("_", " "), lambda t=test: t(tests))
                 for name, test in Tests.__dict__.items()
                 if callable(test) and name not in HELPERS])
        finally:
            tests.clear()
