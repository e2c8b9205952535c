# SPDX-License-Identifier: ISC
"""A bad night: what an operator sees of a large queue, and what that costs.

BENCH_RECIPIENTS (200000) messages of one recipient each: for a relay that is dead,
five domains whose servers are dead, a server that takes its time for each answer,
and one that refuses for now.  Of them BENCH_MEMORY (20000) are in memory.  Prints
what postern doctor, queue summary and top show, how long each took, how long a
message to a healthy server took meanwhile, and the longest turn of each role.
"""
import os
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../interop"))
from daemon import Daemon  # noqa
from sink import Sink, slow  # noqa
from tools import Disk, build, machine, stopwatch  # noqa
from turns import AnyName, Turns  # noqa

RECIPIENTS = int(os.environ.get("BENCH_RECIPIENTS", "200000"))
MEMORY = int(os.environ.get("BENCH_MEMORY", "20000"))
MESSAGE = b"Subject: one of the night\n\ntext\n"

CONFIG = """
name_servers = "%(dns)s"
hosts_file = ""
process_limit = 50
qmgr_recipient_active_limit = %(memory)d
bounce_transport = good
transport dead { server = "127.0.0.1:%(closed)d"
	tls_security_level = none }
transport mx { port = %(closed)d
	tls_security_level = none
	allow_loopback = yes }
transport slow { server = "127.0.0.1:%(slow)d"
	tls_security_level = none }
transport throttled { server = "127.0.0.1:%(throttled)d"
	tls_security_level = none }
transport good { server = "127.0.0.1:%(good)d"
	tls_security_level = none }
route "relay.example" { transport = dead }
route "slow.example" { transport = slow }
route "throttled.example" { transport = throttled }
route "good.example" { transport = good }
route "*" { transport = mx }
"""

# Whose mail it is, and which part of all.
SHARES = [("relay.example", 0.4), ("throttled.example", 0.2),
          ("slow.example", 0.15)] + [
    ("dead%d.example" % i, 0.05) for i in range(5)]


def show(d, *args, only=""):
    elapsed = stopwatch()
    r = d.postern(*args, timeout=300)
    took = elapsed()
    print("\n$ postern %s" % " ".join(args))
    for line in r.stdout.decode().splitlines():
        if line.startswith(("warning", "fault") if only == "findings" else
                           only):
            print(line)
    if r.stderr:
        print(r.stderr.decode().rstrip())
    print("[status %d, %.2f s]" % (r.returncode, took))
    sys.stdout.flush()


class Courier(threading.Thread):
    """Sends to the healthy server, one after the other."""

    def __init__(self, d):
        super().__init__()
        self.d, self.over, self.times = d, threading.Event(), []

    def run(self):
        while not self.over.is_set():
            elapsed = stopwatch()
            answers = self.d.send(["user@good.example"], MESSAGE, wait="final")
            assert answers[-1]["status"] == "delivered", answers
            self.times.append(elapsed())


def fill(d, program):
    elapsed = stopwatch()
    for domain, share in SHARES:
        subprocess.run([program, d.dir + "/run/job", "100",
                        str(int(RECIPIENTS * share)), "1000",
                        "user@" + domain], check=True,
                       stdout=subprocess.DEVNULL)
    print("%d messages queued in %.0f s" % (RECIPIENTS, elapsed()))


def night(folder, program, ports):
    turns = Turns(folder)
    d = Daemon(CONFIG % dict(ports, memory=MEMORY))
    d.prefix = turns.prefix
    with d:
        roles = {row["pid"]: row["role"] for row in d.status()}
        fill(d, program)
        before = turns.read()
        courier = Courier(d)
        courier.start()
        try:
            for args in (("doctor",), ("queue", "summary", "--by", "reason"),
                         ("queue", "summary", "--by", "destination"),
                         ("queue", "summary", "--by", "age"),
                         ("top", "--once"), ("status",),
                         ("explain", "someone@relay.example"),
                         ("queue", "list", "--limit", "2")):
                show(d, *args, only={"doctor": "findings",
                                     "status": "queue:"}.get(args[0], ""))
        finally:
            courier.over.set()
            courier.join()
        print("\nmessages to a healthy server meanwhile: %d, the longest took "
              "%.2f s" % (len(courier.times), max(courier.times)))
        print("turns of the loops, from the start on:")
        for pid, row in turns.read().items():
            if pid in roles:
                was = before.get(pid, (0,) * 4)
                print("  %-9s longest turn %6.1f ms; over 50 ms %d of %d while "
                      "the queue was filled, %d of %d while operators asked"
                      % (roles[pid], row[1] / 1e6, was[3], was[0],
                         row[3] - was[3], row[0] - was[0]))


def main():
    machine()
    dns = AnyName()
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    with Disk(), tempfile.TemporaryDirectory() as folder, Sink() as slow_one, \
            Sink() as throttled, Sink() as good:
        os.chmod(folder, 0o755)
        slow_one.final = slow(2, "250 2.0.0 taken")
        throttled.rcpt = "450 4.7.1 too many messages from your network: " \
            "slow down"
        night(folder, build(folder, "submit"), {
            "dns": dns.name, "closed": closed.getsockname()[1],
            "slow": slow_one.port, "throttled": throttled.port,
            "good": good.port})


if __name__ == "__main__":
    main()
