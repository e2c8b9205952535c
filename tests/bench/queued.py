# SPDX-License-Identifier: ISC
"""The whole posternd with 1,000,000 recipients queued, beside 10,000.

4 KiB messages of one recipient each, for a domain of every ten, all by one relay
on loopback.  The spool is filled by the store itself, as a posternd left it that
was stopped before its first delivery; posternd is started on it and drains 10,000
of them, then is stopped; the larger queue goes on in the next round where it was.
BENCH_QUEUED (1000000), BENCH_ROUNDS (3).
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROLE_UIDS, Daemon  # noqa
from tools import (Disk, Group, Sink, build, build_linked, machine,  # noqa
                   median, stopwatch)

QUEUED = int(os.environ.get("BENCH_QUEUED", "1000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
FEW = 10000
DRAINED = 10000
QUEUE_UID = ROLE_UIDS["queue"] if os.geteuid() == 0 else os.geteuid()


class Watch(threading.Thread):
    """What happens from the start of a posternd on: times, CPU, memory."""

    def __init__(self, daemon, sink, group):
        super().__init__()
        self.daemon_, self.sink, self.group = daemon, sink, group
        self.pid = None
        self.pss_first = self.pss_most = 0
        self.failed = None

    def queue_pid(self):
        """The role that has the queue's user."""
        for pid in self.group.pids():
            try:
                if os.stat("/proc/%d" % pid).st_uid == QUEUE_UID:
                    return pid
            except OSError:
                pass
        return None

    def pss_mib(self):
        self.pid = self.pid or self.queue_pid()
        if self.pid is None:
            return 0
        try:
            with open("/proc/%d/smaps_rollup" % self.pid) as f:
                for line in f:
                    if line.startswith("Pss:"):
                        return int(line.split()[1]) / 1024
        except OSError:
            pass
        return 0

    def run(self):
        elapsed = stopwatch()
        while self.sink.taken() == 0:
            time.sleep(0.001)
            if elapsed() > 120:
                self.failed = "nothing was delivered in 2 minutes"
                return
        self.first_s, cpu = elapsed(), self.group.seconds()
        self.pss_first = self.pss_mib()
        taken, sampled = 0, elapsed()
        while taken < DRAINED:
            taken = self.sink.taken()
            if elapsed() - sampled > 0.05:
                sampled = elapsed()
                self.pss_most = max(self.pss_most, self.pss_mib())
            time.sleep(0.002)
            if elapsed() > 240:
                self.failed = "%d were delivered in 4 minutes" % taken
                return
        seconds = elapsed() - self.first_s
        self.rate = taken / seconds
        self.cpu = (self.group.seconds() - cpu) * 1000 / taken
        self.pss_most = max(self.pss_most, self.pss_mib(), self.pss_first)


class Queue:
    """A posternd whose spool is full; start it as often as you like."""

    def __init__(self, program, queued):
        self.queued = queued
        self.group = Group()
        self.daemon = Daemon()
        self.daemon.prefix = self.group.prefix()
        spool = self.daemon.dir + "/spool"
        os.mkdir(spool, 0o700)
        elapsed = stopwatch()
        subprocess.run([program, "-q", str(queued), "-n", "0", "-d",
                        str(queued // 10), spool], check=True)
        self.filled_s = elapsed()
        for path in [spool] + [os.path.join(d, f) for d, folders, files in
                               os.walk(spool) for f in folders + files]:
            os.chown(path, QUEUE_UID, -1)

    def run(self, sink):
        self.daemon.write_config("""
transport relay {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = relay }
""" % sink.port)
        watch = Watch(self.daemon, sink, self.group)
        watch.start()
        try:
            self.daemon.start()
        finally:
            watch.join()
        self.daemon.stop()
        if watch.failed:
            raise AssertionError(watch.failed + ":\n" +
                                 self.daemon.log_text()[-3000:])
        return watch

    def clear(self):
        self.daemon.clear()
        self.group.close()


def show(queue, watch):
    print("%8d queued: %.2f s to the first delivery, queue role %.1f MiB PSS "
          "then, %.1f at most; %6.0f messages/s, %.3f CPU s a 1,000; load %.1f"
          % (queue.queued, watch.first_s, watch.pss_first, watch.pss_most,
             watch.rate, watch.cpu, os.getloadavg()[0]))
    sys.stdout.flush()


def table(rows):
    print("median of %d rounds                            %9d  %9d   ratio" % (
        ROUNDS, FEW, QUEUED))
    for what, key, form in (
            ("start to first delivery, s", "first_s", "%.2f"),
            ("PSS of the queue role then, MiB", "pss_first", "%.1f"),
            ("PSS at most while %d are drained, MiB" % DRAINED, "pss_most",
             "%.1f"),
            ("drained messages/s", "rate", "%.0f"),
            ("CPU seconds a 1,000", "cpu", "%.3f")):
        few, many = (median([getattr(w, key) for w in rows[i]])
                     for i in (0, 1))
        print("%-45s %9s  %9s  %6.2f" % (what, form % few, form % many,
                                         many / few))


def main():
    rows = ([], [])
    with tempfile.TemporaryDirectory() as folder, Disk(16):
        os.chmod(folder, 0o755)
        program = build_linked(folder, "queue_bench")
        sink_program = build(folder, "sink")
        machine()
        full = Queue(program, QUEUED)
        try:
            print("%d queued: filled in %.0f s" % (QUEUED, full.filled_s))
            for _ in range(ROUNDS):
                few = Queue(program, FEW)
                try:
                    for i, queue in enumerate((few, full)):
                        sink = Sink(sink_program)
                        try:
                            rows[i].append(queue.run(sink))
                        finally:
                            sink.close()
                        show(queue, rows[i][-1])
                finally:
                    few.clear()
        finally:
            full.clear()
    table(rows)


main()
