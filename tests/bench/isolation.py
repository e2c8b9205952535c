# SPDX-License-Identifier: ISC
"""How late healthy destinations are beside bad ones.

1,000 domains with a server each get mail at a fixed rate, in an order by chance.
Then the same beside 20 domains whose sessions crash their worker every time (the
kernel kills it for a forbidden system call, once it has a message), 20 whose
server accepts and never says a word, and 20 that answer 451.  These get mail all
the time too, and are tried again after 1 to 4 s, where the default is 5 minutes,
so that they do not fall silent.  And, since that is more work for the machine
too, beside as many more healthy domains that get the same mail instead.  Each run
has a fresh posternd; all go by MX.

The delay is what a client sees: from hand-in to the news that it is delivered.

BENCH_BAD (20 of each kind), BENCH_KINDS ("crash stall defer"), BENCH_HEALTHY
(1000), BENCH_RATE (300 a second), BENCH_MESSAGES_EACH (5), BENCH_ROUNDS (3),
BENCH_SEED and BENCH_PROCESS_LIMIT (200) change it.
"""
import array
import gc
import json
import multiprocessing
import os
import random
import select
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../session"))
from daemon import Daemon, memfd  # noqa
from harness import Dns  # noqa
from tools import Disk, Sink, build, machine, median, percentile  # noqa

HEALTHY = int(os.environ.get("BENCH_HEALTHY", "1000"))
BAD = int(os.environ.get("BENCH_BAD", "20"))
RATE = int(os.environ.get("BENCH_RATE", "300"))
EACH = int(os.environ.get("BENCH_MESSAGES_EACH", "5"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PROCESS_LIMIT = int(os.environ.get("BENCH_PROCESS_LIMIT", "200"))
SEED = int(os.environ.get("BENCH_SEED", "0")) or random.randrange(1, 1 << 31)
LEAD_S = 3      # the bad ones are there first
BAD_PERIOD_S = 1  # a message to each
BAD_KINDS = {"crash": "crash their worker", "stall": "stall",
             "defer": "answer 451"}
KINDS = os.environ.get("BENCH_KINDS", " ".join(BAD_KINDS)).split()
BODY = b"Subject: isolation\n\n" + b"0123456789012345678901234567890\n" * 127


def address(net, i):
    """One of loopback's, none of them 127.net.0.0; sink.c knows the nets."""
    return "127.%d.%d.%d" % (net, (i + 1) >> 8, (i + 1) & 255)


def zone():
    rows = {}
    for kind, net, count in (("d", 2, HEALTHY), ("crash", 2, BAD),
                             ("stall", 3, BAD), ("defer", 4, BAD),
                             ("more", 2, BAD * len(KINDS))):
        for i in range(count):
            name = "%s%d.test" % (kind, i)
            rows[name] = [("MX", (10, "mx." + name))]
            rows["mx." + name] = [("A", address(net, i))]
    return rows


def serve_names(pipe):
    pipe.send(Dns(zone()).name)
    try:
        pipe.recv()
    except EOFError:
        pass


class Child:
    """A function in a process of its own, so that it waits for nobody's lock;
    it speaks by a pipe, and ends with it."""

    def __init__(self, run, *args):
        self.pipe, other = multiprocessing.Pipe()
        self.p = multiprocessing.Process(target=self._run,
                                         args=(run, other, self.pipe) + args)
        self.p.start()
        other.close()

    @staticmethod
    def _run(run, pipe, parents, *args):
        parents.close()
        gc.disable()
        run(pipe, *args)

    def close(self):
        self.pipe.close()
        self.p.join()


def config(name_server, port):
    text = """
log_format = json
name_servers = "%s"
hosts_file = ""
process_limit = %d
minimal_backoff_time = 1s
maximal_backoff_time = 4s
transcript_keep_time = 0
stop_timeout = 1s
transport mx {
	port = %d
	tls_security_level = none
	allow_loopback = yes
}
transport crash {
	port = %d
	tls_security_level = none
	allow_loopback = yes
	ehlo_name = "attack-open.invalid"
}
""" % (name_server, PROCESS_LIMIT, port, port)
    for i in range(BAD):
        text += 'route "crash%d.test" { transport = crash }\n' % i
    return text + 'route "*" { transport = mx }\n'


class Client:
    """A connection to the job socket."""

    def __init__(self, path, wait):
        self.wait = wait
        self.body = memfd(BODY)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(path)
        self.sent = {}  # ref: when
        self.accepted = []
        self.delays = []
        self.late = []  # attempts that failed
        self.last_ref = 0

    def send(self, recipient):
        self.last_ref += 1
        job = {"from": "a@bench.test", "rcpts": [recipient],
               "wait": self.wait, "ref": str(self.last_ref)}
        self.sent[str(self.last_ref)] = time.monotonic()
        self.sock.sendmsg([json.dumps(job).encode()], [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS,
            array.array("i", [self.body]))])

    def take(self):
        now = time.monotonic()
        row = json.loads(self.sock.recv(65536))
        if row.get("status") == "queued":
            self.accepted.append(now - self.sent[row["ref"]])
        elif row.get("status") == "delivered":
            self.delays.append(now - self.sent.pop(row["ref"]))
        elif row.get("status") in ("deferred", "failed"):
            self.late.append(row)
        elif row.get("status") == "refused":
            raise AssertionError(row)


def load(pipe, path, seed, beside):
    """Hands mail in by the clock; the delays go into the pipe."""
    chance = random.Random(seed)
    order = ["a@d%d.test" % (i % HEALTHY) for i in range(HEALTHY * EACH)]
    chance.shuffle(order)
    bad = ["a@%s%d.test" % (k, i) for k in KINDS for i in range(BAD)]
    if beside == "instead":
        bad = ["a@more%d.test" % i for i in range(len(bad))]
    chance.shuffle(bad)
    healthy, others = Client(path, "final"), Client(path, "queued")
    begun = time.monotonic()
    sent = sent_bad = 0
    while len(healthy.delays) < len(order):
        now = time.monotonic() - begun
        if sent < len(order) and now - LEAD_S >= sent / RATE:
            healthy.send(order[sent])
            sent += 1
        if beside != "without" and sent < len(order) and \
                now >= sent_bad * BAD_PERIOD_S / len(bad):
            others.send(bad[sent_bad % len(bad)])
            sent_bad += 1
        if now > LEAD_S + len(order) / RATE + 120:
            break  # what has no outcome by now is told
        for sock in select.select([healthy.sock, others.sock], [], [],
                                  0.0005)[0]:
            (healthy if sock is healthy.sock else others).take()
    pipe.send((healthy.delays, healthy.accepted, len(healthy.late),
               len(order) - len(healthy.delays), sent_bad,
               time.monotonic() - begun - LEAD_S))


def count(daemon, *words):
    with open(daemon.log, errors="replace") as f:
        return sum(all(w in line for w in words) for line in f)


def where(daemon):
    """The 99th percentile of what healthy deliveries waited for: a worker, its
    session, the reply."""
    rows = []
    with open(daemon.log, errors="replace") as f:
        for line in f:
            if '"status":"sent"' in line and '"to":"a@d' in line:
                rows.append(json.loads(line)["delays_ms"])
    return [percentile([r[i] for r in rows], .99) for i in (1, 2, 3)]


def run(name_server, sink, seed, beside):
    with Daemon(config(name_server, sink.port),
                build="build/attacks") as d:
        child = Child(load, d.dir + "/run/job", seed, beside)
        try:
            (delays, accepted, late, lost, sent_bad,
             seconds) = child.pipe.recv()
        finally:
            child.close()
        deaths = count(d, "signal 31")
        deferred = count(d, '"to":"a@defer', '"code":451')
        parts = where(d)
        row = {"p50": percentile(delays, .5) * 1000,
               "p99": percentile(delays, .99) * 1000,
               "most": max(delays) * 1000,
               "accept p99": percentile(accepted, .99) * 1000}
        print("%-8s %7.1f %7.1f %8.1f  %7.1f %5d %5d %5d  %6d  %6d %6d %6d   "
              "%.1f s, load %.1f%s" % (
                  beside, row["p50"], row["p99"],
                  row["most"], row["accept p99"], *parts, len(delays), deaths,
                  deferred, sent_bad, seconds, os.getloadavg()[0],
                  "; %d deferred, %d LOST" % (late, lost)
                  if late or lost else ""))
        sys.stdout.flush()
        return row


def main():
    with tempfile.TemporaryDirectory() as folder, Disk(2):
        os.chmod(folder, 0o755)
        sink = Sink(build(folder, "sink"), "-a")
        names = Child(serve_names)
        name_server = names.pipe.recv()
        machine()
        print("%d healthy domains x %d messages of 4 KiB at %d a second, seed "
              "%d; with: beside %s" % (
                  HEALTHY, EACH, RATE, SEED, ", ".join(
                      "%d that %s" % (BAD, BAD_KINDS[k]) for k in KINDS)))
        print("             p50     p99     most   p99 of: being accepted,   "
              "told  worker   451s    bad\n              ms      ms       ms  "
              "     a worker, set-up, reply          deaths          messages")
        rows = {"without": [], "instead": [], "with": []}
        try:
            for i in range(ROUNDS):
                for beside, seen in rows.items():
                    seen.append(run(name_server, sink, SEED + i, beside))
        finally:
            names.close()
            sink.close()
        for key in ("p50", "p99", "most"):
            without, instead, beside = (median([r[key] for r in seen])
                                        for seen in rows.values())
            print("%-4s of the healthy ones, median of %d: without %.1f ms, "
                  "with more healthy ones instead %.1f ms, with bad ones "
                  "%.1f ms" % (key, ROUNDS, without, instead, beside))


main()
