# SPDX-License-Identifier: ISC
"""How long each role of posternd is away from its loop because of one big job.

One message to BENCH_RECIPIENTS (100000) recipients, in each of these ways:

relay     all by one relay that takes them, to the end
dead      at ten domains, by MX, where nobody listens: what is in memory is
          deferred, and an operator deletes all
domains   at half as many domains, by MX, of which BENCH_DELIVERED (500) are
          delivered; an operator deletes the rest
unstored  "store": false, by the relay: each result is told to the client

A turn is the time from one epoll_wait() to the next, by the wall clock, so what
a role waits for the disk is in it; how much of it that was is printed too.
posternd runs at the highest priority, so that what other programs take of the
machine is not in it.
"""
import array
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
from daemon import ROOT, Daemon, memfd, wait_for  # noqa
from harness import Dns  # noqa
from tools import Disk, Sink, build, machine, stopwatch  # noqa

RECIPIENTS = int(os.environ.get("BENCH_RECIPIENTS", "100000"))
DELIVERED = int(os.environ.get("BENCH_DELIVERED", "500"))
DEFERRED = RECIPIENTS // 10
WAYS = os.environ.get("BENCH_WAYS", "relay dead domains unstored").split()
PACKET = 1000  # recipients of one packet of the job socket
SLOT = struct.Struct("=7q")
BODY = b"Subject: to many\n\n" + b"0123456789012345678901234567890\n" * 120

CONFIG = """
name_servers = "%(dns)s"
hosts_file = ""
job_recipient_limit = 100000
process_limit = 50
transcript_keep_time = 0
stop_timeout = 2s
bounce_transport = relay
transport relay {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
}
transport dead {
	port = %(closed)d
	tls_security_level = none
	allow_loopback = yes
}
transport mx {
	port = %(port)d
	tls_security_level = none
	allow_loopback = yes
}
route "*" { transport = %(transport)s }
"""


class AnyName(Dns):
    """Every domain has this host for its mail."""

    def __init__(self):
        super().__init__({})

    def _answer(self, query):
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        self.rows = {".".join(name).lower(): [("A", "127.0.0.1")]}
        return super()._answer(query)


class Turns:
    """The file that turns_shim.c counts in."""

    def __init__(self, folder):
        self.library = os.path.join(folder, "turns_shim.so")
        self.path = os.path.join(folder, "turns")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC",
                        '-DTURNS="%s"' % self.path, "-o", self.library,
                        os.path.join(ROOT, "tests/bench/turns_shim.c")],
                       check=True)
        os.chmod(self.library, 0o755)
        with open(self.path, "wb") as f:
            f.truncate(8 + 4096 * SLOT.size)
        os.chmod(self.path, 0o666)
        # Roles are executed with no environment: an /etc that they alone see.
        self.prefix = ["unshare", "-m", "sh", "-c",
                       "cp -a /etc %(dir)s/etc && "
                       "echo %(library)s > %(dir)s/etc/ld.so.preload && "
                       "mount --bind %(dir)s/etc /etc && exec nice -n -20 \"$@\"" % {
                           "dir": tempfile.mkdtemp(dir=folder),
                           "library": self.library}, "sh"]

    def read(self):
        with open(self.path, "rb") as f:
            octets = f.read()
        used = min(struct.unpack_from("=q", octets)[0], 4096)
        rows = [SLOT.unpack_from(octets, 8 + i * SLOT.size)
                for i in range(used)]
        return {row[0]: row[1:] for row in rows}


def submit(daemon, recipients, store=True):
    """The client's connection, once the job was taken."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(daemon.dir + "/run/job")
    job = {"from": "sender@bench.test", "wait": "queued"}
    if not store:
        job = {"from": "sender@bench.test", "wait": "final", "store": False}
    for at in range(0, len(recipients), PACKET):
        job["rcpts"] = recipients[at:at + PACKET]
        job["more"] = at + PACKET < len(recipients)
        sock.sendmsg([json.dumps(job).encode()], [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS,
            array.array("i", [BODY_FD]))] if at == 0 else [])
        job = {}
    answer = json.loads(sock.recv(65536))
    if answer["status"] not in ("queued", "taken"):
        raise AssertionError(answer)
    return sock


def recipients(domains):
    return ["recipient%d@d%d.test" % (i, i % domains)
            for i in range(RECIPIENTS)]


def logged(daemon, word):
    with open(daemon.log, "rb") as f:
        return sum(line.count(word) for line in f)


def run(daemon, sink, way):
    if way == "relay":
        submit(daemon, recipients(10))
        wait_for(lambda: logged(daemon, b": removed"), 600, "the end")
    elif way == "dead":
        submit(daemon, recipients(10))
        wait_for(lambda: logged(daemon, b"status=deferred") >= DEFERRED, 600,
                 "deferrals")
        daemon.postern("queue", "delete", "--yes", "--older", "0s", timeout=600)
        wait_for(lambda: logged(daemon, b": removed"), 60, "the end")
    elif way == "domains":
        submit(daemon, recipients(RECIPIENTS // 2))
        before = sink.taken()
        wait_for(lambda: sink.taken() - before >= DELIVERED, 600, "deliveries")
        daemon.postern("queue", "delete", "--yes", "--older", "0s", timeout=600)
    else:
        sock = submit(daemon, recipients(10), store=False)
        left = RECIPIENTS
        while left > 0:
            answer = json.loads(sock.recv(65536))
            # What we read too slowly is counted in their place.
            left -= answer.get("lost", 1)
            if answer.get("status", "delivered") != "delivered":
                raise AssertionError("not delivered: %s" % answer)


def one(way, sink, dns, folder):
    turns = Turns(folder)
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    daemon = Daemon(CONFIG % {
        "dns": dns.name, "port": sink.port, "closed": closed.getsockname()[1],
        "transport": {"dead": "dead", "domains": "mx"}.get(way, "relay")})
    daemon.prefix = turns.prefix
    with daemon:
        roles = {row["pid"]: row["role"] for row in daemon.status()}
        elapsed = stopwatch()
        run(daemon, sink, way)
        took = elapsed()
        alive = {row["pid"] for row in daemon.status()}
        print("\n%s: %d recipients, %.1f s" % (way, RECIPIENTS, took))
        for pid, row in turns.read().items():
            if pid in roles:
                print("  %-9s longest turn %7.1f ms (disk %.1f)   over 50 ms: "
                      "%d (%d without the disk)   over 10 ms: %d   of %d%s" % (
                          roles[pid], row[1] / 1e6, row[5] / 1e6, row[3],
                          row[4], row[2], row[0],
                          "" if pid in alive else "   DIED"))
        sys.stdout.flush()


BODY_FD = memfd(BODY)


def main():
    machine()
    dns = AnyName()
    with Disk(), \
            tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        sink = Sink(build(folder, "sink"))
        try:
            for way in WAYS:
                one(way, sink, dns, folder)
        finally:
            sink.close()


if __name__ == "__main__":
    main()
