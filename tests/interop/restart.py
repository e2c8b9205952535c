# SPDX-License-Identifier: ISC
"""The queue dies while clients hand mail in: each answer is still the truth.

Each message has one recipient, named once in the world, and none is delivered
meanwhile: so what is queued in the end is what was taken.
"""
import json
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from listener import DOT, MESSAGE, PORT, Client, free_address  # noqa

DEATHS = 7
ROUNDS = 10  # at most, until a commit was met that nobody had been told of
ANSWERED = "its client is answered now"
WINDOW = 24  # jobs that a client has open at a time

CONFIG = """
minimal_backoff_time = 1h
maximal_backoff_time = 1h
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = dead }
listener smtp {
	listen = "%(address)s:%(port)d"
}
listener lmtp {
	protocol = lmtp
	listen = "unix:%(dir)s/lmtp"
}
"""


class Giver(threading.Thread):
    """Hands mail in until it is done; which was taken, and which was not."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.prefix = name
        self.last = 0
        self.done = False
        self.taken = {}
        self.refused = set()
        self.failure = None

    def new(self):
        self.last += 1
        return "%s-%d@dead.test" % (self.prefix, self.last)

    def run(self):
        try:
            self.give()
        except Exception as e:  # the test asks
            self.failure = e

    def answered(self, rcpt, taken):
        if taken is None:
            self.refused.add(rcpt)
            time.sleep(0.002)  # the queue is away
        else:
            self.taken[rcpt] = taken


class JobGiver(Giver):
    """By the job socket, many at a time; a few of them to many recipients."""

    def __init__(self, name, path):
        super().__init__(name)
        self.job = Job(path)

    def rcpts(self, rcpt):
        if self.last % 40:
            return [rcpt]
        return [rcpt] + ["%d-of-%s" % (i, rcpt) for i in range(700)]

    def give(self):
        unanswered = set()
        fd = memfd(MESSAGE)
        while unanswered or not self.done:
            while not self.done and len(unanswered) < WINDOW:
                rcpt = self.new()
                unanswered.add(rcpt)
                self.job.send({"from": "a@b.test", "ref": rcpt,
                               "rcpts": self.rcpts(rcpt)}, fd)
            answer = self.job.receive()
            unanswered.remove(answer["ref"])
            assert answer["status"] in ("queued", "refused"), answer
            if answer["status"] == "refused":
                assert answer["code"] == 451, answer
            self.answered(answer["ref"], answer.get("id"))
        os.close(fd)
        self.job.close()


class MailGiver(Giver):
    """By a listener, one after the other."""

    def __init__(self, name, place, hello):
        super().__init__(name)
        self.client = Client(place, hello)

    def one(self, rcpt):
        c = self.client
        if not c.say(b"MAIL FROM:<a@b.test>").startswith("250"):
            return None
        c.want(b"RCPT TO:<%s>" % rcpt.encode(), "250")
        if not c.say(b"DATA").startswith("354"):
            c.want(b"RSET", "250")
            return None
        reply = c.say(MESSAGE + DOT[:-2])
        if reply.startswith("250"):
            return reply.split("queued as ")[1]
        assert reply.startswith("451"), reply
        return None

    def give(self):
        while not self.done:
            rcpt = self.new()
            self.answered(rcpt, self.one(rcpt))
        self.client.want(b"QUIT", "221")


def queue_pid(d, former):
    """The process id of the queue that was started after `former` died."""
    def there():
        pids = d.pids("queue")
        return pids[0] if pids and pids[0] not in (0, former) else None
    return wait_for(there, 60, "another queue")


def kill_queue_often(d, givers, rng):
    pid = 0
    for _ in range(DEATHS):
        pid = queue_pid(d, pid)
        before = [len(g.taken) for g in givers]
        wait_for(lambda: all(len(g.taken) > n or not g.is_alive()
                             for g, n in zip(givers, before)), 60,
                 "answers of the new queue")
        time.sleep(rng.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
    queue_pid(d, pid)


def answers_while_the_queue_dies(seed, rng):
    """Whether an answer was one of a queue that had died."""
    with Daemon() as d:
        d.stop()
        address = free_address()
        d.write_config(CONFIG % {"address": address, "port": PORT,
                                 "dir": d.dir})
        d.start()
        givers = [JobGiver("j%d" % i, d.dir + "/run/job") for i in range(6)]
        givers += [MailGiver("s%d" % i, (address, PORT), b"EHLO me.test")
                   for i in range(4)]
        givers += [MailGiver("l%d" % i, d.dir + "/lmtp", b"LHLO me.test")
                   for i in range(4)]
        for g in givers:
            g.start()
        try:
            kill_queue_often(d, givers, rng)
        finally:
            for g in givers:
                g.done = True
        for g in givers:
            g.join(60)
            assert not g.is_alive(), "%s has no answer" % g.prefix
            assert g.failure is None, (g.prefix, g.failure)
        taken = {r: id for g in givers for r, id in g.taken.items()}
        refused = {r for g in givers for r in g.refused}
        queued = {row["recipient"]: row["id"] for row in d.queued()
                  if "-of-" not in row["recipient"]}
        text = "of %d taken and %d refused, seed %d" % (
            len(taken), len(refused), seed)
        assert not refused & set(queued), "%d refused and queued %s: %s" % (
            len(refused & set(queued)), text, sorted(refused & set(queued))[:5])
        assert taken == queued, "%d taken and not queued %s" % (
            len(set(taken) - set(queued)), text)
        assert refused, "nobody was refused %s" % text
        return ANSWERED in d.log_text()


def the_answer_of_a_queue_that_died_is_given_by_the_next():
    seed = int(os.environ.get("RESTART_SEED", "0")) or random.getrandbits(32)
    rng = random.Random(seed)
    assert any(answers_while_the_queue_dies(seed, rng)
               for _ in range(ROUNDS)), \
        "no queue was asked for another's answer, seed %d" % seed


TESTS = (the_answer_of_a_queue_that_died_is_given_by_the_next,)


def run(suite):
    for test in TESTS:
        suite.check(test.__name__.replace("_", " "), test, once=True)
