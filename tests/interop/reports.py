# SPDX-License-Identifier: ISC
"""Outcome reports: each final outcome at least once, whatever the receiver and
the queue go through meanwhile."""
import atexit
import json
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from lifecycle import lingering  # noqa
from observe import (MESSAGE, SECONDS, Tail, config, reply_of,  # noqa
                     scrape, scraped)
from openmetrics import value  # noqa
from sink import Sink  # noqa
from transient import Client  # noqa


class Receiver:
    """Takes records by connections; what it does with one is up to `serve`."""

    def __init__(self, path, serve):
        self.path = path
        self.records = []
        self.connections = 0
        self.serve = serve
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        os.chmod(path, 0o777)
        self.sock.listen(8)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with conn, conn.makefile("rb") as lines:
                    self.serve(self, conn, lines)
            except OSError:
                pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        os.unlink(self.path)

    def recipients(self):
        return {r["to"] for r in list(self.records)}


def good(receiver, conn, lines, most=None):
    """Acknowledges each; closes after so many."""
    for n, line in enumerate(lines):
        if most is not None and n == most:
            return
        record = json.loads(line)
        receiver.records.append(record)
        conn.sendall(b"%d\n" % record["report"])


def folder():
    path = tempfile.mkdtemp(prefix="postern-reports-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.chmod(path, 0o777)
    return path


def socket_config(sink, path, extra=""):
    return config(sink.port, 'outcome_socket = "%s/out"\n%s' % (path, extra))


def a_socket_gets_the_records_of_the_log():
    path = folder()
    with Sink() as sink:
        sink.rcpt = reply_of
        receiver = Receiver(path + "/out", good)
        with Daemon(socket_config(sink, path)) as d:
            tail = Tail(d)
            d.send(["ana@good.test", "never@good.test"], MESSAGE)
            d.send(["later@good.test"], MESSAGE, wait="attempt")
            d.send(["old@old.test"], MESSAGE, wait="queued")
            want = {"ana@good.test", "never@good.test", "old@old.test"}
            wait_for(lambda: receiver.recipients() >= want, SECONDS,
                     "three reports")
            scraped(d, "postern_outcome_reports_waiting", 0)
            for record in list(receiver.records):
                number = record.pop("report")
                assert number > 0 and record["final"] is True
                wait_for(lambda: record in list(tail.records), SECONDS,
                         "the same record by tail: %r" % record)
            assert "later@good.test" not in receiver.recipients()
        receiver.close()


def what_is_not_stored_is_reported():
    """Of such a job each outcome is the last one."""
    path = folder()
    with Sink() as sink:
        sink.rcpt = reply_of
        receiver = Receiver(path + "/out", good)
        with Daemon(socket_config(sink, path)) as d:
            rcpts = ["ana@good.test", "never@good.test", "later@good.test"]
            client = Client(d)
            found, _ = client.send(*rcpts)
            assert set(found) == set(rcpts), found
            wait_for(lambda: receiver.recipients() >= set(rcpts), SECONDS,
                     "three reports")
            scraped(d, "postern_outcome_reports_waiting", 0)
            assert all(r["final"] for r in receiver.records)
        receiver.close()


def a_receiver_that_passes_descriptors_holds_nobody_up():
    """A socket that lingers, whose last copy is the queue's to close."""
    sock, others = lingering()
    queue = []

    def serve(receiver, conn, lines):
        record = json.loads(lines.readline())
        os.kill(queue[0], signal.SIGSTOP)
        for word in (b"%d\n" % record["report"], b"x", b"x"):
            socket.send_fds(conn, [word], [sock.fileno()])
        sock.close()
        os.kill(queue[0], signal.SIGCONT)
        receiver.records.append(record)

    path = folder()
    with Sink() as sink:
        receiver = Receiver(path + "/out", serve)
        with Daemon(socket_config(sink, path)) as d:
            queue.append(d.pids("queue")[0])
            d.send(["ana@good.test"], MESSAGE)
            wait_for(lambda: receiver.records, SECONDS, "a report")
            job = Job(d.dir + "/run/job")
            job.sock.settimeout(5)
            for i in range(3):
                job.send({"from": "a@b.test", "rcpts": ["bob@good.test"],
                          "wait": "queued"}, memfd(MESSAGE))
                assert job.receive()["status"] == "queued"
        receiver.close()
    for other in others:
        other.close()


def events_may_be_chosen():
    path = folder()
    with Sink() as sink:
        sink.rcpt = reply_of
        receiver = Receiver(path + "/out", good)
        with Daemon(socket_config(sink, path,
                                  "outcome_events = { failed }")) as d:
            d.send(["ana@good.test", "never@good.test"], MESSAGE)
            d.send(["never2@good.test"], MESSAGE)
            wait_for(lambda: len(receiver.recipients()) >= 2, SECONDS,
                     "two reports")
            assert receiver.recipients() == {"never@good.test",
                                             "never2@good.test"}
        receiver.close()


def nothing_is_lost_of_10_000():
    """The receiver closes, lies, talks nonsense; the queue is killed."""
    path = folder()
    turns = [0]

    def moody(receiver, conn, lines):
        turns[0] += 1
        turn = turns[0] % 4
        if turn == 1:
            good(receiver, conn, lines, most=700)
        elif turn == 2:
            line = next(lines)
            conn.sendall(b"%d\n" % (json.loads(line)["report"] + 1000000))
            lines.read()
        elif turn == 3:
            next(lines)
            conn.sendall(b"OK\n")
            lines.read()
        else:
            good(receiver, conn, lines, most=2500)

    with Sink() as sink:
        receiver = Receiver(path + "/out", moody)
        with Daemon(socket_config(sink, path, "job_recipient_limit = 100000"
                                  )) as d:
            want = set()
            for i in range(10):
                rcpts = ["r%d.%d@good.test" % (i, n) for n in range(1000)]
                want.update(rcpts)
                d.send(rcpts, MESSAGE, wait="queued")
            for share in (3, 6, 9):
                wait_for(lambda: len(receiver.recipients()) >= share * 1000,
                         4 * SECONDS, "%d reports" % (share * 1000))
                os.kill(wait_for(lambda: d.pids("queue"), SECONDS,
                                 "a queue")[0], signal.SIGKILL)
            wait_for(lambda: receiver.recipients() == want, 4 * SECONDS,
                     "all reports")
            scraped(d, "postern_outcome_reports_waiting", 0)
            numbers = {}
            for record in receiver.records:
                first = numbers.setdefault(record["report"], record)
                assert first == record, (first, record)
            print("   10,000 outcomes: %d records in %d connections" % (
                len(receiver.records), receiver.connections))
        receiver.close()


def a_receiver_that_stands_still_holds_nobody_up():
    path = folder()
    stands = threading.Event()

    def still(receiver, conn, lines):
        if stands.is_set():
            good(receiver, conn, lines)
        else:
            lines.read()  # takes all, and says nothing

    with Sink() as sink:
        receiver = Receiver(path + "/out", still)
        with Daemon(socket_config(sink, path, "outcome_timeout = 1s")) as d:
            for i in range(20):
                answers = d.send(["a%d@good.test" % i], MESSAGE)
                assert answers[-1]["status"] == "delivered", answers
            wait_for(lambda: receiver.connections >= 2, SECONDS,
                     "another connection")
            assert "acknowledges nothing" in d.log_text()
            scraped(d, "postern_outcome_reports_waiting", 20)
            stands.set()
            wait_for(lambda: len(receiver.recipients()) == 20, 2 * SECONDS,
                     "all of them")
            scraped(d, "postern_outcome_reports_waiting", 0)
            assert value(scrape(d), "postern_outcome_reports_total",
                         result="repeated") >= 20
        receiver.close()


def who_is_away_gets_it_after_a_restart():
    path = folder()
    with Sink() as sink, Daemon(socket_config(sink, path)) as d:
        d.send(["ana@good.test"], MESSAGE)
        wait_for(lambda: "outcome reports: " in d.log_text(), SECONDS,
                 "the line")
        d.stop()
        receiver = Receiver(path + "/out", good)
        d.start()
        wait_for(lambda: receiver.recipients() == {"ana@good.test"}, SECONDS,
                 "the report")
        receiver.close()


def no_more_than_the_limit_wait():
    path = folder()
    with Sink() as sink, Daemon(socket_config(
            sink, path, "outcome_limit = 5")) as d:
        for i in range(20):
            d.send(["a%d@good.test" % i], MESSAGE)
        wait_for(lambda: value(scrape(d), "postern_outcome_reports_total",
                               result="dropped") == 15, SECONDS, "15 dropped")
        scraped(d, "postern_outcome_reports_waiting", 5)
        receiver = Receiver(path + "/out", good)
        wait_for(lambda: len(receiver.recipients()) == 5, 2 * SECONDS,
                 "the rest")
        assert receiver.recipients() == {"a%d@good.test" % i
                                         for i in range(15, 20)}
        receiver.close()


SCRIPT = """#!/bin/sh
# fails once, then keeps what it reads
[ -e %(dir)s/failed ] || { : >%(dir)s/failed; cat >/dev/null; exit 3; }
cat >>%(dir)s/records
id -u >%(dir)s/uid
"""


def a_command_reads_batches_as_its_user():
    path = folder()
    script = path + "/take"
    with open(script, "w") as f:
        f.write(SCRIPT % {"dir": path})
    os.chmod(script, stat.S_IRWXU | 0o055)
    with Sink() as sink, Daemon(config(
            sink.port, 'outcome_command = { "%s" }\n'
            'outcome_command_user = "nobody"' % script)) as d:
        for i in range(10):
            d.send(["a%d@good.test" % i], MESSAGE)

        def taken():
            try:
                with open(path + "/records") as f:
                    return {json.loads(line)["to"] for line in f}
            except (OSError, ValueError):
                return set()
        wait_for(lambda: len(taken()) == 10, SECONDS, "ten records")
        scraped(d, "postern_outcome_reports_waiting", 0)
        assert "outcome_command ended with status 3" in d.log_text()
        if os.geteuid() == 0:
            with open(path + "/uid") as f:
                assert f.read().strip() not in ("", "0")


TESTS = (
    a_socket_gets_the_records_of_the_log,
    what_is_not_stored_is_reported,
    a_receiver_that_passes_descriptors_holds_nobody_up,
    events_may_be_chosen,
    nothing_is_lost_of_10_000,
    a_receiver_that_stands_still_holds_nobody_up,
    who_is_away_gets_it_after_a_restart,
    no_more_than_the_limit_wait,
    a_command_reads_batches_as_its_user,
)


def run(suite):
    for test in TESTS:
        suite.check(test.__name__.replace("_", " "), test)
