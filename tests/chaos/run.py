# SPDX-License-Identifier: ISC
"""Everything goes wrong at once, and no acknowledged message is lost.

Clients hand in numbered messages, of which each recipient is named once in the
world, while processes are killed, stopped and continued, connections end behind
any octet, the disk is filled by others and freed again, and the configuration
is read anew.  In the end

  - each recipient of an acknowledged message was delivered, or is known as
    failed, in the log and by a notice;
  - each that arrived twice was said to be perhaps delivered before it came again;
  - no process holds more descriptors, memory or dead children than before.

The seed is printed; run.py SEED repeats it, as far as the machine lets it.
CHAOS_SECONDS says how long it goes on (12).
"""
import collections
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROLE_UIDS, Daemon, Job, Suite, memfd, wait_for  # noqa
from sink import REFUSED, Sink  # noqa

SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
ROLES = ("worker", "intake", "control", "queue", "resolver", "dialer", "agent",
         "signer", "master")
CLIENTS = 3
MEMORY_KIB = 6144  # more than this, after the same work again, is a leak

CONFIG = """
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_minfree = 1m
stop_timeout = 5s
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
	connection_idle_time = 1s
	destination_concurrency_limit = 8
	data_done_timeout = 20s
}
route "*" { transport = sink }
"""


class Disk:
    """A spool on a small file system, where we may mount one."""

    def __init__(self, daemon):
        spool = daemon.dir + "/spool"
        uid = ROLE_UIDS["queue"]
        self.path = None
        if os.geteuid() != 0:
            return
        os.mkdir(spool)
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c",
             "mount -t tmpfs -o size=48m,mode=700,uid=%d,gid=%d none %s && "
             "echo ready && exec sleep 86400" % (uid, uid, spool)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.holder.stdout.readline() != b"ready\n":
            os.chown(spool, uid, uid)
            os.chmod(spool, 0o700)
            self.close()
            return
        daemon.prefix = ["nsenter", "-t", str(self.holder.pid), "-m"]
        self.path = "/proc/%d/root%s/other" % (self.holder.pid, spool)

    def fill(self):
        with open(self.path, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 65536):
                    pass
            except OSError:
                pass

    def empty(self):
        os.unlink(self.path)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


class Client(threading.Thread):
    """Hands in message after message; remembers which had a yes."""

    last = 0
    lock = threading.Lock()

    def __init__(self, path, seed):
        super().__init__(daemon=True)
        self.path = path
        self.rng = random.Random(seed)
        self.acknowledged = {}  # number -> its recipients
        self.refused = 0
        self.broken = 0
        self.done = False

    def run(self):
        while not self.done:
            try:
                job = Job(self.path)
                while not self.done:
                    self.submit(job)
                    time.sleep(0.004)
                job.close()
            except OSError:
                self.broken += 1
                time.sleep(0.05)

    def submit(self, job):
        with Client.lock:
            Client.last += 1
            number = Client.last
        rcpts = ["m%d-%d@sink.test" % (number, i)
                 for i in range(self.rng.choice((1, 1, 1, 3)))]
        size = self.rng.choice((200, 2000, 2000, 20000, 80000))
        fd = memfd(b"Subject: %d\n\n%s\n" % (number, b"x" * 70 + b"\n") +
                   b"line of some seventy octets, as they mostly are in mail."
                   b"\n" * 1 * (size // 57))
        try:
            job.send({"from": "sender@from.test", "rcpts": rcpts}, fd)
        finally:
            os.close(fd)
        answer = job.receive()
        if answer is None:
            raise OSError("closed")
        if answer["status"] == "queued":
            self.acknowledged[number] = rcpts
        else:
            self.refused += 1
            time.sleep(0.02)


# What goes wrong

def some_of(daemon, role):
    """Those of a role that live now; or, for there may be none, soon."""
    for _ in range(30):
        pids = daemon.pids(role)
        if pids:
            break
        time.sleep(0.1)
    return pids


def kill_role(daemon, role, rng):
    if role == "master":
        daemon.stop(kill=True)
        time.sleep(0.3)  # its roles see that it is gone
        daemon.start()
        return True
    pids = some_of(daemon, role)
    try:
        if pids:
            os.kill(rng.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return False  # a worker that has just ended
    return bool(pids)


def stop_role(daemon, role, rng):
    pids = some_of(daemon, role)
    if not pids:
        return False
    pid = rng.choice(pids)
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.1, 1))
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass
    return True


def reload(daemon, disk, rng):
    daemon.process.send_signal(signal.SIGHUP)
    return True


def fill_disk(daemon, disk, rng):
    if disk.path is None:
        return False
    disk.fill()
    time.sleep(rng.uniform(0.3, 1.5))
    disk.empty()
    return True


def acts():
    rows = [("kill " + r, lambda d, _, rng, r=r: kill_role(d, r, rng))
            for r in ROLES]
    rows += [("stop " + r, lambda d, _, rng, r=r: stop_role(d, r, rng))
             for r in ROLES if r != "master"]
    return rows + [("reload", reload), ("fill the disk", fill_disk)]


def cause_trouble(daemon, disk, rng, done):
    """Each act once in an order by chance, then by chance until the time."""
    end = time.monotonic() + SECONDS
    rows = acts()
    rng.shuffle(rows)
    i = 0
    while i < len(rows) or time.monotonic() < end:
        name, act = rows[i] if i < len(rows) else rng.choice(rows)
        i += 1
        time.sleep(rng.uniform(0.05, 0.4))
        done[name] += act(daemon, disk, rng)


# What has to hold

def log_times(log):
    """(seconds, line) of each line; the log has seconds, cut off."""
    for line in log.splitlines():
        m = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z ", line)
        if m:
            yield (time.mktime(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S")) -
                   time.timezone, line)


def doubts(log):
    """recipient -> when it was first said to be perhaps delivered."""
    seen = {}
    for when, line in log_times(log):
        m = re.search(r"to=<(.*?)>", line)
        if m and "perhaps delivered" in line:
            seen.setdefault(m[1], when)
    return seen


def outcomes(log, status):
    return set(re.findall(r"to=<(.*?)>, .*status=%s " % status, log))


def judge(sink, acknowledged, log, failed):
    """Sentences about what went wrong; none: all is well."""
    wrong = []
    # Who dies behind a commit has not logged it, but the queue knows.
    bounced = outcomes(log, "bounced") | failed
    doubted = doubts(log)
    for number, rcpts in acknowledged.items():
        for rcpt in rcpts:
            if number % REFUSED == 0:
                if sink.arrived.get(rcpt):
                    wrong.append("%s was refused, and arrived" % rcpt)
                if rcpt not in bounced or rcpt not in sink.notices:
                    wrong.append("%s: its failure is not known" % rcpt)
            elif not sink.arrived.get(rcpt):
                wrong.append("%s is lost" % rcpt)
    for rcpt, times in sink.arrived.items():
        if len(times) < 2 or not rcpt.startswith("m"):
            continue
        # what is known by the second copy; the log cuts seconds off
        if rcpt not in doubted or doubted[rcpt] > sorted(times)[1]:
            wrong.append("%s came %d times, and nobody doubted" % (
                rcpt, len(times)))
    return wrong


def holdings(daemon):
    """role -> (descriptors, KiB of its own) of the master and each role."""
    found = {}
    for row in daemon.status():
        if row["role"] == "worker":
            continue
        pid = row["pid"]
        with open("/proc/%d/smaps_rollup" % pid) as f:
            own = sum(int(x) for x in re.findall(
                r"^Private_\w+: +(\d+)", f.read(), re.M))
        found[row["role"]] = (len(os.listdir("/proc/%d/fd" % pid)), own)
    return found


def below(pid):
    """All that descend from a process: (pid, state)."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    text = f.read().rsplit(")", 1)[1].split()
                parents[int(name)] = (int(text[1]), text[0])
            except OSError:
                pass
    family = {pid}
    for _ in range(3):
        family |= {p for p, (parent, _) in parents.items()
                   if parent in family}
    return [(p, parents[p][1]) for p in family if p in parents]


def settle(daemon, sink, clients):
    """Until all is delivered or failed, and nobody runs who need not."""
    def waiting():
        counts = daemon.queue()[-1].get("counts", {"queued": 1})
        return sum(counts[x] for x in counts if x in (
            "queued", "active", "deferred"))
    wait_for(lambda: waiting() == 0, 120, "an empty queue")
    wait_for(lambda: not daemon.pids("worker"), 30, "idle workers to go")


def wait_for_notices(sink, acknowledged):
    refused = {r for n, rcpts in acknowledged.items() for r in rcpts
               if n % REFUSED == 0}
    wait_for(lambda: refused <= sink.notices, 60, "every notice")


def hand_in(daemon, n):
    job = Job(daemon.dir + "/run/job")
    client = Client(None, n)
    for _ in range(n):
        client.submit(job)
    job.close()
    return client


def leaks(daemon, sink):
    """The same work twice: after the second nothing more is held."""
    hand_in(daemon, 300)
    settle(daemon, sink, ())
    before = holdings(daemon)
    client = hand_in(daemon, 300)
    settle(daemon, sink, ())
    after = holdings(daemon)
    wrong = []
    for role, (fds, kib) in after.items():
        if fds != before[role][0]:
            wrong.append("%s has %d descriptors, had %d" % (
                role, fds, before[role][0]))
        if kib > before[role][1] + MEMORY_KIB:
            wrong.append("%s has %d KiB, had %d" % (role, kib,
                                                    before[role][1]))
    dead = [p for p, state in below(daemon.process.pid) if state == "Z"]
    if dead:
        wrong.append("zombies: %r" % dead)
    print("   held in the end: " + ", ".join(
        "%s %d descriptors %d KiB" % (r, *x) for r, x in after.items()))
    return wrong, client.acknowledged


def chaos(seed):
    rng = random.Random(seed)
    sink = Sink(seed)
    done = collections.Counter()
    daemon = Daemon(CONFIG % sink.port)
    disk = Disk(daemon)
    try:
        daemon.start()
        clients = [Client(daemon.dir + "/run/job", seed + i)
                   for i in range(CLIENTS)]
        for client in clients:
            client.start()
        cause_trouble(daemon, disk, rng, done)
        time.sleep(0.5)
        calm = time.monotonic()
        for client in clients:
            client.done = True
        for client in clients:
            client.join(30)
        assert daemon.process.poll() is None, "posternd is gone"
        sink.calm = True
        settle(daemon, sink, clients)
        drained = time.monotonic() - calm
        acknowledged = {n: r for c in clients
                        for n, r in c.acknowledged.items()}
        wait_for_notices(sink, acknowledged)
        wrong, more = leaks(daemon, sink)
        wait_for_notices(sink, more)
        acknowledged.update(more)
        failed = {r["recipient"] for r in daemon.queued()
                  if r["state"] == "failed"}
        log = daemon.log_text()
        status = daemon.stop()
    except BaseException:
        sys.stderr.write(daemon.log_text()[-6000:])
        raise
    finally:
        daemon.clear()
        if disk.path:
            disk.close()
    wrong += judge(sink, acknowledged, log, failed)
    arrived = [len(t) for r, t in sink.arrived.items() if r[0] == "m"]
    print("   done: " + ", ".join("%s %d" % x for x in sorted(done.items())))
    print("   connections %d, of which %d were cut" % (sink.connections,
                                                       sink.cuts))
    print("   acknowledged %d messages, %d recipients; refused %d; clients "
          "cut off %d times" % (
              len(acknowledged), sum(map(len, acknowledged.values())),
              sum(c.refused for c in clients),
              sum(c.broken for c in clients)))
    print("   arrived %d recipients, %d of them more than once; perhaps "
          "delivered, by the log: %d; failed, with a notice: %d; lost: %d" % (
              len(arrived), sum(n > 1 for n in arrived), len(doubts(log)),
              len(outcomes(log, "bounced") & sink.notices),
              sum("lost" in x for x in wrong)))
    print("   drained %.1f s after the last trouble" % drained)
    assert not wrong, "%d faults: %s" % (len(wrong), "; ".join(wrong[:8]))
    missing = [n for n, _ in acts() if not done[n] and
               not (n == "fill the disk" and disk.path is None)]
    assert not missing, "nothing to do it to: %r" % missing
    assert status == 0, status


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(1 << 30)
    print("seed %d, %g seconds of trouble" % (seed, SECONDS))
    suite = Suite()
    suite.check("everything goes wrong, and nothing acknowledged is lost",
                lambda: chaos(seed), once=True)
    suite.end()


main()
