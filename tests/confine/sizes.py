# SPDX-License-Identifier: ISC
"""No size ends a role: each is driven, under its real filter, with 1 to 100,000
of whatever a configuration, a command, a client, a name server or a remote can
enlarge.  What a library does only for a large input (asking the kernel for
memory, a temporary file, a lock) shows here as the death of the role.
"""
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../interop"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
from daemon import Daemon, Job, Suite, memfd, wait_for  # noqa
from harness import Dns  # noqa
from sink import Sink  # noqa
from tls_server import Server  # noqa

MESSAGE = b"Subject: x\r\n\r\nx\r\n"


class BigDns(Dns):
    """A name server whose answers come by TCP where they fit no datagram.  A name
    says what it has: a-N.test has N addresses, mx-N.test N servers."""

    def __init__(self):
        super().__init__({})
        self.listener = socket.create_server(
            ("127.0.0.1", self.sock.getsockname()[1]))
        threading.Thread(target=self.accept, daemon=True).start()

    def rows_of(self, name):
        kind, _, count = name.partition(".")[0].partition("-")
        if kind == "mx":
            return [("MX", (i, "a-1.x%d.test" % i)) for i in range(int(count))]
        if kind == "a":
            return [("A", "127.0.%d.%d" % (1 + i // 250, 1 + i % 250))
                    for i in range(int(count))]
        return 3

    def _answer(self, query):
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(parts).lower()
        if name not in self.rows:
            self.rows[name] = self.rows_of(name)
        return super()._answer(query)

    def _serve(self):
        while True:
            query, peer = self.sock.recvfrom(4096)
            answer = self._answer(query)
            if len(answer) > 1200:  # TC: by TCP, please
                head = bytearray(answer[:12])
                head[2] |= 2
                head[6:12] = bytes(6)
                end = query.index(b"\0", 12) + 5
                answer = bytes(head) + query[12:end]
            self.sock.sendto(answer, peer)

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve_tcp, args=(conn,),
                             daemon=True).start()

    def serve_tcp(self, conn):
        f = conn.makefile("rb")
        while len(head := f.read(2)) == 2:
            answer = self._answer(f.read(struct.unpack(">H", head)[0]))
            try:
                conn.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                return


def certificates(folder, count):
    """So many, of names of their own; the first one with its key."""
    out = []
    key = os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-out", key], check=True,
                   capture_output=True)
    for i in range(count):
        out.append(subprocess.run(
            ["openssl", "req", "-x509", "-key", key, "-days", "2", "-subj",
             "/CN=x%d.test" % i], check=True, capture_output=True).stdout)
    return key, out


class Sizes:
    def __init__(self, suite, plain, folder, key, certs):
        self.suite = suite
        self.plain = plain
        self.folder = folder
        self.key = key
        self.certs = certs
        self.dns = BigDns()
        self.sink = Sink(["127.0.0.1", "127.0.1.1"])
        self.hosts = self.file("hosts", b"127.0.0.1 a.test\n")
        self.trust = self.file("trust.pem", certs[0])
        self.chain = self.file("chain.pem", certs[0])
        self.routes = 1
        self.d = Daemon(plain=plain)
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.smtp_port = s.getsockname()[1]
        self.configure()
        self.d.start()

    def file(self, name, octets):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as f:
            f.write(octets)
        os.chmod(path, 0o644)
        return path

    def configure(self):
        routes = "".join('route "r%d.test" { transport = sink }\n' % i
                         for i in range(self.routes))
        key = os.path.join(self.d.dir, "key.pem")
        with open(self.key, "rb") as f, open(key, "wb") as to:
            to.write(f.read())
        os.chmod(key, 0o600)
        if self.plain and os.geteuid() == 0:
            os.chown(key, 61300, 61300)
        self.d.write_config("""
name_servers = { "%s" }
hosts_file = "%s"
job_recipient_limit = 100000
resolver_timeout = 10s
log_format = maillog
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = may
	tls_CAfile = "%s"
	destination_recipient_limit = 1000
}
transport mx {
	port = %d
	allow_loopback = yes
	tls_security_level = none
	connect_timeout = 2s
}
listener mail {
	protocol = smtp
	listen = "127.0.0.1:%d"
	tls_security_level = may
	tls_cert_file = "%s"
	tls_key_file = "%s"
	smtpd_recipient_limit = 100000
}
route "mx.test" { transport = mx }
route "*" { transport = mx }
%s""" % (self.dns.name, self.hosts, self.sink.port, self.trust,
         self.sink.port, self.smtp_port, self.chain, key, routes))

    def reload(self):
        before = self.d.log_text().count("reloaded ")
        self.d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.d.log_text().count("reloaded ") > before,
                 what="the reload")
        wait_for(lambda: len(self.d.status()) == self.d.roles + 1 or
                 "died" in self.d.log_text(), what="all roles")

    def alive(self, role):
        """The role is the process that it was: none of them has died."""
        text = self.d.log_text()[self.mark:]
        died = re.findall(r".* (?:died of signal|is ended).*", text)
        assert not died, died
        assert role in {p["role"] for p in self.d.status()}, role

    def each(self, role, what, sizes, drive):
        def run():
            self.mark = len(self.d.log_text())
            for n in sizes:
                drive(n)
                self.alive(role)
        self.suite.check("%s: %s: %s (%s)" % (
            role, what, ", ".join(str(n) for n in sizes),
            "plain user" if self.plain else "root"), run)

    def sent(self, rcpts, message=MESSAGE, via="sink", wait="final"):
        """A job whose recipients come in packets of their own; its answers."""
        job = Job(self.d.dir + "/run/job")
        job.sock.settimeout(120)
        answers = []
        try:
            for i in range(0, len(rcpts), 1000):
                packet = {"rcpts": rcpts[i:i + 1000],
                          "more": i + 1000 < len(rcpts)}
                fd = None
                if i == 0:
                    packet.update({"from": "a@b.test", "wait": wait,
                                   "via": via})
                    fd = memfd(message)
                job.send(packet, fd)
                if fd is not None:
                    os.close(fd)
            while not answers or "done" not in answers[-1]:
                answers.append(job.receive())
                assert answers[-1] is not None, answers[-3:]
                assert answers[-1].get("status") != "refused", answers[-1]
                if wait == "queued":
                    break
        finally:
            job.close()
        return answers

    # Each takes a size, and leaves the daemon as it found it.

    def queue_routes(self, n):
        self.routes = n
        self.configure()
        self.reload()
        self.sent(["a@r%d.test" % (n - 1)])
        self.routes = 1

    def queue_ids(self, n):
        r = self.d.postern("queue", "list", *["%X" % (i + 1) for i in range(n)])
        assert b"is not in the queue" in r.stderr, r.stderr

    def queue_recipients(self, n):
        """All are on disk, and in the queue's memory as far as they may be."""
        self.sent(["u%d@x%d.test" % (i, i % 7) for i in range(n)],
                  wait="queued")
        self.d.queue()
        self.d.postern("queue", "delete", "--yes", "--from", "a@b.test",
                       timeout=180)

    @contextlib.contextmanager
    def paused(self):
        """What is handed in meanwhile stays."""
        def say(verb):
            r = self.d.postern(verb, "--transport", "sink")
            assert r.returncode == 0, r.stderr
        say("pause")
        try:
            yield
        finally:
            say("resume")

    def queue_rows(self, n):
        """Held, listed, moved and deleted at once, with a pattern."""
        with self.paused():
            self.sent(["u%d@x.test" % i for i in range(n)], wait="queued")
            for verb in ("hold", "release", "retry", "delete"):
                r = self.d.postern("queue", verb, "--yes", "--domain",
                                   "x.test", timeout=180)
                assert r.returncode == 0, (verb, r.stderr)

    def resolver_hosts(self, n):
        self.file("hosts", b"127.0.0.1 a.test\n" + b"".join(
            b"127.0.1.1 h%d.test\n" % (n - i) for i in range(n)))
        self.reload()
        answers = self.sent(["a@[127.0.0.1]"], via="mx")
        assert answers[1]["status"] == "delivered", answers

    def resolver_answer(self, n):
        """n MX records; n addresses of a name; n names at once."""
        answers = self.sent(["a@mx-%d.test" % n, "a@a-%d.test" % n], via="mx",
                            wait="attempt")
        assert len(answers) >= 3, answers

    def resolver_names(self, n):
        self.sent(["a@a-1.n%d.test" % i for i in range(n)], via="mx")

    def intake_clients(self, n):
        clients = []
        for i in range(n):
            s = socket.create_connection(("127.0.0.1", self.smtp_port))
            s.settimeout(60)
            clients.append(s)
        for s in clients:
            assert s.recv(512)[:1] in (b"2", b"4", b""), "greeting"
            s.close()

    def intake_tls(self, n):
        """A handshake, and n octets and recipients inside of it."""
        context = ssl._create_unverified_context()
        s = socket.create_connection(("127.0.0.1", self.smtp_port))
        s.settimeout(120)
        f = s.makefile("rb")
        f.readline()
        s.sendall(b"EHLO x.test\r\n")
        while f.readline()[3:4] == b"-":
            pass
        s.sendall(b"STARTTLS\r\n")
        f.readline()
        s = context.wrap_socket(s)
        f = s.makefile("rb")

        def say(line, lines=1):
            s.sendall(line + b"\r\n")
            return [f.readline() for _ in range(lines)][-1]
        s.sendall(b"EHLO x.test\r\n")
        while f.readline()[3:4] == b"-":
            pass
        assert say(b"MAIL FROM:<a@b.test>").startswith(b"250")
        for i in range(0, n, 500):
            lines = [b"RCPT TO:<u%d@x.test>" % j
                     for j in range(i, min(n, i + 500))]
            assert say(b"\r\n".join(lines), len(lines))[:1] in b"245"
        assert say(b"DATA").startswith(b"354")
        assert say(b"x" * 70 + b"\r\n" + b"y\r\n" * n + b".")[:1] in b"245"
        assert say(b"NOOP " + b"x" * n)[:1] in (b"2", b"5")
        s.close()

    def intake_job(self, n):
        job = Job(self.d.dir + "/run/job")
        try:
            for text in (b"[" * n, b'{"a":' * n,
                         b'{"ref":"' + b"x" * n + b'"}',
                         json.dumps({"x%d" % i: 1.5 for i in range(n)}
                                    ).encode()):
                if len(text) <= 60000:
                    job.send(text)
                    assert job.receive()["status"] == "refused"
        finally:
            job.close()

    def asked(self, command, job=None):
        """A command's answers up to its last one."""
        own = job is None
        job = job or Job(self.d.dir + "/run/control")
        job.sock.settimeout(120)
        answers = []
        try:
            job.send(command)
            while not answers or not (
                    {"done", "counts", "error"} & set(answers[-1])):
                answers.append(job.receive())
                assert answers[-1] is not None, answers[-3:]
        finally:
            if own:
                job.close()
        return answers

    def control_ids(self, n):
        ids = ["%X" % (i + 1) for i in range(n)]
        for command in ("list", "retry", "delete"):
            answer = self.asked({"command": command, "ids": ids})[-1]
            assert ("error" in answer) == (n > 500), answer

    def rows_listed(self, domain):
        seen, at = 0, {}
        while at is not None:
            rows = self.asked({"command": "list", "domain": domain,
                               "limit": 1000, **at})
            seen += sum("recipient" in row for row in rows)
            at = {"after": rows[-2]["id"], "after_index": rows[-2]["index"]} \
                if rows[-1]["more"] else None
        return seen

    def control_rows(self, n):
        """Read at once, and by some who do not read."""
        with self.paused():
            self.sent(["u%d@rows.test" % i for i in range(n)], wait="queued")
            seen = self.rows_listed("rows.test")
            assert seen == n, seen
            slow = [Job(self.d.dir + "/run/control") for _ in range(4)]
            for job in slow:
                for _ in range(20):
                    job.send({"command": "list", "limit": 1000})
                job.send({"command": "tail"})
            assert self.asked({"command": "top"}), "beside slow readers"
            for job in slow:
                job.close()
            self.d.postern("queue", "delete", "--yes", "--domain",
                           "rows.test", timeout=180)

    def control_clients(self, n):
        clients = []
        for _ in range(n):
            try:
                clients.append(Job(self.d.dir + "/run/control"))
                clients[-1].send({"command": "status"})
            except OSError:
                pass  # over its bound, and turned away
        for job in clients:
            job.close()
        self.asked({"command": "top"})

    def control_json(self, n):
        job = Job(self.d.dir + "/run/control")
        try:
            for text in (b"[" * n, b'{"a":' * n,
                         b'{"command":"' + b"x" * n + b'"}',
                         b'{"command":"list","from":"' + b"x" * n + b'"}',
                         json.dumps({"x%d" % i: 1.5 for i in range(n)}
                                    ).encode()):
                if len(text) <= 60000:
                    job.send(text)
                    answer = job.receive()
                    assert "error" in answer or "counts" in answer, answer
        finally:
            job.close()

    def agent_trust(self, n):
        self.file("trust.pem", b"".join(
            self.certs[i % len(self.certs)] for i in range(n)))
        self.reload()
        self.worker_chain(1)

    def signer_chain(self, n):
        self.file("chain.pem", b"".join(
            self.certs[i % len(self.certs)] for i in range(n)))
        self.reload()
        self.intake_tls(1)

    def worker_chain(self, n):
        folder = tempfile.mkdtemp(dir=self.folder)
        server = Server(folder)
        chain = self.file("served.pem", b"".join(
            self.certs[i % len(self.certs)] for i in range(n)))
        server.tls.load_cert_chain(chain, self.key)
        port, self.sink.port = self.sink.port, server.port
        try:
            self.configure()
            self.reload()
            answers = self.sent(["a@x.test"])
            assert answers[1]["status"] == "delivered", answers
        finally:
            self.sink.port = port
            self.configure()
            self.reload()

    def worker_reply(self, n):
        self.sink.keywords = ["X%d %s" % (i, "y" * (i % 400))
                              for i in range(n)]
        self.sink.final = "\r\n".join(["250-2.0.0 x"] * (n % 500) +
                                       ["250 2.0.0 taken"])
        self.sent(["a@x.test"])
        self.sink.keywords = ["PIPELINING"]
        self.sink.final = "250 2.0.0 taken"

    def worker_message(self, n):
        """n lines, n octets of one, n parts that are to be converted."""
        self.sent(["a@x.test"], MESSAGE + b"x\r\n" * n)
        self.sent(["a@x.test"], MESSAGE + b"x" * n)
        part = b"--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n"
        self.sent(["a@x.test"], b"MIME-Version: 1.0\r\nContent-Type: "
                  b"multipart/mixed; boundary=b\r\n\r\n" + part * n +
                  b"--b--\r\n")

    def metrics_request(self, n):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.d.dir + "/run/metrics")
        s.settimeout(60)
        try:
            s.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * n +
                      b"\r\n\r\n")
            s.recv(1)
        except OSError:
            pass
        s.close()

    def metrics_clients(self, n):
        clients = [socket.socket(socket.AF_UNIX) for _ in range(n)]
        for s in clients:
            s.connect(self.d.dir + "/run/metrics")
        for s in clients:
            try:
                s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            except OSError:
                pass
        for s in clients:
            s.close()

    def clear(self):
        self.d.clear()
        self.sink.close()


# role, what grows, how far.  Where a bound of ours is lower than 100,000 the
# last size is over it.
ROWS = [
    ("queue", "routes of a reload", "queue_routes", (1, 59, 60, 1000, 4000)),
    ("queue", "ids in one command", "queue_ids", (1, 127, 128, 500)),
    ("queue", "recipients of a job", "queue_recipients",
     (1, 127, 1000, 100000)),
    ("queue", "rows of one command", "queue_rows", (1, 1000, 20000)),
    ("resolver", "names of the hosts file", "resolver_hosts",
     (1, 41, 42, 1000, 100000)),
    ("resolver", "records of an answer", "resolver_answer",
     (1, 40, 128, 1000, 1800)),
    ("resolver", "names at once", "resolver_names", (1, 100, 2000)),
    ("dialer", "sockets, one after the other and at once", "resolver_names",
     (1, 500)),
    ("intake", "clients at once", "intake_clients", (1, 100, 1100)),
    ("intake", "recipients, octets, lines", "intake_tls",
     (1, 127, 1000, 20000)),
    ("intake", "depth and members of a job", "intake_job",
     (1, 100, 1000, 50000)),
    ("control", "ids in a command", "control_ids", (1, 127, 128, 2000)),
    ("control", "rows of a list", "control_rows", (1, 1000, 20000)),
    ("control", "clients at once", "control_clients", (1, 100, 1100)),
    ("control", "depth and members of a command", "control_json",
     (1, 100, 1000, 50000)),
    ("agent", "certificates that are trusted", "agent_trust",
     (1, 127, 128, 300)),
    ("signer", "certificates of a listener", "signer_chain", (1, 20, 100)),
    ("agent", "certificates of a server", "worker_chain", (1, 20, 100)),
    ("agent", "lines of a reply", "worker_reply", (1, 128, 511, 5000)),
    ("agent", "lines, octets, parts of a message", "worker_message",
     (1, 128, 4095, 100000)),
    ("metrics", "octets of a request", "metrics_request",
     (1, 4000, 100000)),
    ("metrics", "clients at once", "metrics_clients", (1, 100, 500)),
]


def main():
    suite = Suite()
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        key, certs = certificates(folder, 140)
        for plain in [os.geteuid() != 0]:  # the filters are the same
            sizes = Sizes(suite, plain, folder, key, certs)
            try:
                for role, what, name, counts in ROWS:
                    if not words or name in words:
                        sizes.each(role, what, counts, getattr(sizes, name))
            finally:
                sizes.clear()
    suite.end()


if __name__ == "__main__":
    main()
