# SPDX-License-Identifier: ISC
"""Upgrades under load: is a session, a message or an answer lost?

upgrade.py [UPGRADES] [SEED]: so many (50) one after the other, while clients
hand in numbered messages (some wait for each result, some keep their connection
for all their jobs) and sinks take their time.  Prints what was lost or came
twice, and fails where anything did.
"""
import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "interop"))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from sink import Sink  # noqa

MESSAGE = b"Subject: test\n\ntext\n"

CONFIG = """
stop_timeout = 30s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
%(globals)s
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
	connection_idle_time = 1s
	destination_concurrency_limit = 8
}
route "*" { transport = sink }
"""


def config(sink, extra=""):
    return CONFIG % {"port": sink.port, "globals": extra}


class Generations(Daemon):
    """posternd, whose master is another process after each upgrade."""

    def pid(self):
        with open(self.dir + "/run/posternd.pid") as f:
            return int(f.read() or 0)

    def replace_program(self, path=None):
        """As a package does: another file under the same name."""
        new = self.dir + "/posternd.new"
        shutil.copy2(path or self.dir + "/posternd", new)
        os.rename(new, self.dir + "/posternd")

    def upgrade(self, seconds=90):
        """The new master's process id, once it has taken over."""
        old = self.pid()
        os.kill(old, signal.SIGUSR2)
        wait_for(lambda: self.pid() not in (0, old), seconds, "the upgrade")
        return self.pid()

    def is_settled(self):
        """Whether one generation is left, by its own words."""
        rows = self.status()
        return bool(rows) and len({r["layers"].split("generation=")[-1]
                                   for r in rows}) == 1

    def wait_settled(self, seconds=120):
        wait_for(self.is_settled, seconds, "the old generation to end")
        count = self.log_text().count("has taken over")
        wait_for(lambda: self.log_text().count("this generation's alone") >=
                 count, seconds, "the queue to be one generation's")

    def stop(self, kill=False):
        try:
            pid = self.pid()
            os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        except (OSError, ValueError):
            return super().stop(kill)
        if self.process is not None and pid == self.process.pid:
            return super().stop(kill)
        wait_for(lambda: not alive(pid), 90, "the end of posternd")
        if self.process is not None:
            return self.process.wait(90)
        return 0


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Client(threading.Thread):
    """Hands jobs in until told to stop; counts what it was not told."""

    def __init__(self, d, name, wait, keeps):
        super().__init__(daemon=True)
        self.d = d
        self.prefix = name
        self.wait = wait
        self.keeps = keeps  # its connection
        self.stopping = threading.Event()
        self.accepted = {}  # recipient -> id
        self.results = {}
        self.lost = []  # what no answer came to
        self.error = None

    def run(self):
        try:
            self.work()
        except Exception as e:  # told to who joins
            self.error = "%s: %r" % (self.prefix, e)

    def work(self):
        job = None
        n = 0
        while not self.stopping.is_set():
            rcpt = "%s-%d@d%d.test" % (self.prefix, n, n % 7)
            n += 1
            if job is None:
                job = Job(self.d.dir + "/run/job")
                job.sock.settimeout(120)
            why = self.submit(job, rcpt)
            if why is not None:
                self.lost.append("%s: %s" % (rcpt, why))
            if why is not None:
                self.stopping.wait(0.05)
            if self.wait == "queued":
                self.stopping.wait(0.05)
            if why is not None or not self.keeps:
                job.close()
                job = None

    def submit(self, job, rcpt):
        """None, or what went wrong."""
        fd = memfd(MESSAGE)
        try:
            job.send({"from": "a@client.test", "rcpts": [rcpt], "ref": rcpt,
                      "wait": self.wait}, fd)
            answer = job.receive()
            if answer is None or answer.get("status") != "queued":
                return "no acceptance: %r" % answer
            self.accepted[rcpt] = answer["id"]
            while self.wait == "final" and rcpt not in self.results:
                answer = job.receive()
                if answer is None or "recipient" not in answer:
                    return "no result: %r" % answer
                if answer["final"]:
                    self.results[rcpt] = answer["status"]
            if self.wait == "final":
                end = job.receive()
                if end is None or not end.get("done"):
                    return "no end: %r" % end
        except OSError as e:
            return "connection: %r" % e
        finally:
            os.close(fd)
        return None


def final(chance):
    """Takes its time, and now and then refuses for a while."""
    refused = set()

    def reply(mail):
        time.sleep(chance.random() * 0.3)
        rcpt = mail.rcpts[0]
        if rcpt not in refused and chance.random() < 0.1:
            refused.add(rcpt)
            mail.rcpts = []  # not taken
            return "450 4.2.0 later"
        return "250 2.0.0 taken"
    return reply


class Load:
    """Clients of each kind, for as long as a with block."""

    KINDS = (("queued", False), ("queued", True), ("final", False),
             ("final", True))

    def __init__(self, d, sink, clients=8, seed=1):
        self.d = d
        self.sink = sink
        self.clients = [Client(d, "c%d" % i, *self.KINDS[i % 4])
                        for i in range(clients)]
        sink.final = final(random.Random(seed))

    def __enter__(self):
        for c in self.clients:
            c.start()
        return self

    def __exit__(self, *exc):
        for c in self.clients:
            c.stopping.set()
        for c in self.clients:
            c.join(240)

    def report(self, doubts_allowed=False):
        """Once all is delivered: what was lost, and what came twice."""
        accepted = {r: i for c in self.clients for r, i in c.accepted.items()}

        def arrived():
            return collections.Counter(r for m in list(self.sink.mails)
                                       for r in m.rcpts)
        wait_for(lambda: not set(accepted) - set(arrived()) or None, 180,
                 "all mail")
        counts = arrived()
        doubted = set(re.findall(r"to=<([^>]*)>.*perhaps delivered",
                                 self.d.log_text()))
        return {
            "accepted": len(accepted),
            "sessions lost": [x for c in self.clients for x in c.lost] +
                             [c.error for c in self.clients if c.error] +
                             re.findall(r"session \d+ .*the worker is gone.*",
                                        self.d.log_text()),
            "mail lost": sorted(set(accepted) - set(counts)),
            "duplicates": sorted(r for r, n in counts.items() if n > 1 and
                                 not (doubts_allowed and r in doubted)),
            "not accepted, but sent": sorted(
                set(counts) - set(accepted)) if not doubts_allowed else [],
        }


def upgrades(count, seed=1, clients=8, pause=0.2):
    """The report of so many upgrades, each as soon as the former is over."""
    chance = random.Random(seed)
    with Sink() as sink, Generations(config(sink)) as d:
        with Load(d, sink, clients, seed) as load:
            for _ in range(count):
                time.sleep(chance.random() * pause)
                d.replace_program()
                d.upgrade()
                d.wait_settled()
        report = load.report()
        wait_for(lambda: d.queued() == [], 60, "an empty queue")
        report["upgrades"] = d.log_text().count("has taken over")
        assert d.stop() == 0
        return report


def is_good(report):
    return not any(isinstance(v, list) and v for v in report.values())


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print("%d upgrades under load, seed %d" % (count, seed))
    report = upgrades(count, seed)
    for name, value in report.items():
        print("%s: %s" % (name, len(value) if isinstance(value, list)
                          else value))
        if isinstance(value, list):
            for line in value[:20]:
                print("  " + line)
    print("%d passed, %d failed" % (is_good(report), not is_good(report)))
    sys.exit(0 if is_good(report) else 1)


if __name__ == "__main__":
    main()
