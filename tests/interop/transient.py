# SPDX-License-Identifier: ISC
"""Jobs that are never stored, over the real posternd."""
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from sink import Sink, slow  # noqa

MESSAGE = b"Subject: test\n\ntext\n"

CONFIG = """
%(globals)s
transport sink {
	server = "127.0.0.1:%(port)d"
	protocol = lmtp
	tls_security_level = none
	%(sink)s
}
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = sink }
route "dead.test" { transport = dead }
"""


def config(port, extra="", sink=""):
    return CONFIG % {"port": port, "globals": extra, "sink": sink}


class Client:
    """Hands jobs in, and reads what becomes of them."""

    def __init__(self, d):
        self.job = Job(d.dir + "/run/job")

    def begin(self, *rcpts, message=MESSAGE):
        fd = memfd(message)
        self.job.send({"from": "me@sender.test", "rcpts": list(rcpts),
                       "wait": "final", "store": False}, fd)
        os.close(fd)
        first = self.job.receive()
        assert first["status"] == "taken", first
        return first["id"]

    def results(self):
        """By recipient, and the last answer."""
        found = {}
        while True:
            answer = self.job.receive()
            assert answer is not None, found
            if "recipient" not in answer:
                return found, answer
            assert answer["recipient"] not in found, answer
            found[answer["recipient"]] = answer

    def send(self, *rcpts, message=MESSAGE):
        self.begin(*rcpts, message=message)
        return self.results()

    def close(self):
        self.job.close()


def by_name(rcpt):
    return {"later": "451 4.2.1 come back", "never": "550 5.1.1 nobody"}.get(
        rcpt.split("@")[0], "250 2.1.5 ok")


def each_hears_its_servers_words():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.rcpt = by_name
        client = Client(d)
        found, end = client.send("a@x.test", "later@x.test", "never@x.test",
                                 "b@y.test")
        assert "error" not in end, end
        told = {r: (f["status"], f["code"], f["dsn"], f["reply"])
                for r, f in found.items()}
        assert told == {
            "a@x.test": ("delivered", 250, "2.0.0", "250 2.0.0 taken"),
            "b@y.test": ("delivered", 250, "2.0.0", "250 2.0.0 taken"),
            "later@x.test": ("deferred", 451, "4.2.1",
                             "451 4.2.1 come back"),
            "never@x.test": ("failed", 550, "5.1.1", "550 5.1.1 nobody"),
        }, told
        # Nothing is kept, tried again, or mailed.
        assert d.queue()[0]["counts"]["failed"] == 0, d.queue()
        assert d.queued() == [], d.queued()
        log = d.log_text()
        assert log.count("(queue active)") == 1 and \
            log.count(": removed") == 1, log
        assert "notification" not in log, log
        assert sorted(r for m in sink.mails for r in m.rcpts) == \
            ["a@x.test", "b@y.test"], sink.mails


def a_dead_destination_rests():
    with Sink() as sink, Daemon(config(
            sink.port, "minimal_backoff_time = 60s")) as d:
        client = Client(d)
        for i in range(20):
            found, _ = client.send("a@dead.test", "c@good.test")
            assert found["a@dead.test"]["status"] == "deferred" and \
                "refused" in found["a@dead.test"]["reply"], found
            if "suspended" in found["a@dead.test"]["reply"]:
                break
        assert i >= 4, "one failure is not its death"
        assert i < 19, "each of them dialled it"
        assert found["c@good.test"]["status"] == "delivered", found


def who_leaves_takes_back_what_waits():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        assert d.postern("pause", "--transport", "sink").returncode == 0
        client = Client(d)
        qid = client.begin("a@x.test")
        client.close()
        wait_for(lambda: "%s: removed" % qid in d.log_text(), 30, "its end")
        assert d.postern("resume", "--transport", "sink").returncode == 0
        found, _ = Client(d).send("b@x.test")
        assert found["b@x.test"]["status"] == "delivered", found
        assert sink.got("a@x.test") == []


def who_waits_outlives_a_reload():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        assert d.postern("pause", "--transport", "sink").returncode == 0
        client = Client(d)
        client.begin("a@x.test", "b@x.test")
        d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload" in d.log_text(), 30, "the reload")
        assert d.postern("resume", "--transport", "sink").returncode == 0
        found, _ = client.results()
        assert [f["status"] for f in found.values()] == ["delivered"] * 2
        assert len(sink.got("a@x.test")) == 1


def who_waits_too_long_is_deferred():
    with Sink() as sink, Daemon(config(
            sink.port, "answer_time_limit = 1s")) as d:
        assert d.postern("pause", "--transport", "sink").returncode == 0
        found, _ = Client(d).send("a@x.test")
        f = found["a@x.test"]
        assert (f["status"], f["dsn"]) == ("deferred", "4.4.5"), f
        assert "answer_time_limit" in f["reply"], f


def a_stop_defers_who_waits():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.final = slow(2, "250 2.0.0 taken")
        busy, waiting = Client(d), Client(d)
        busy.begin("a@x.test")
        assert sink.at_dot.wait(30)
        assert d.postern("pause", "--transport", "sink").returncode == 0
        waiting.begin("b@x.test")
        d.process.terminate()
        found, _ = waiting.results()
        assert "stopped" in found["b@x.test"]["reply"], found
        found, _ = busy.results()
        assert found["a@x.test"]["status"] == "delivered", found
        assert d.process.wait(30) == 0


def a_dead_queue_ends_the_results():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.final = None
        client = Client(d)
        client.begin("a@x.test")
        assert sink.at_dot.wait(30)
        os.kill(d.pids("queue")[0], signal.SIGKILL)
        found, end = client.results()
        assert found == {} and "perhaps delivered" in end["error"], end
        wait_for(lambda: d.pids("queue"), 30, "another queue")
        assert d.queued() == []


def a_dead_worker_leaves_doubt():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.final = None
        client = Client(d)
        client.begin("a@x.test")
        assert sink.at_dot.wait(30)
        os.kill(d.pids("worker")[0], signal.SIGKILL)
        found, _ = client.results()
        f = found["a@x.test"]
        assert f["status"] == "deferred" and f["in_doubt"], f
        # Once: who keeps the message decides upon another attempt.
        assert sink.connections == 1


def a_crowd_shares_two_sessions():
    with Sink() as sink, Daemon(config(sink.port, "process_limit = 2")) as d:
        wrong = []

        def crowd(n):
            client = Client(d)
            for i in range(40):
                rcpt = "r%d-%d@d%d.test" % (n, i, i % 7)
                found, end = client.send(rcpt)
                if found[rcpt]["status"] != "delivered" or "error" in end:
                    wrong.append((found, end))

        threads = [threading.Thread(target=crowd, args=(n,))
                   for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong, wrong[:3]
        arrived = [r for m in sink.mails for r in m.rcpts]
        assert len(arrived) == len(set(arrived)) == 320, len(arrived)
        assert d.log_text().count(": removed") == 320


def large_ones_are_counted_while_they_are_here():
    with Sink() as sink, Daemon(config(
            sink.port, "message_size_limit = 100000")) as d:
        assert d.postern("pause", "--transport", "sink").returncode == 0
        clients = [Client(d) for _ in range(12)]
        refused, taken = 0, 0
        for client in clients:
            fd = memfd(b"Subject: x\n\n" + b"y" * 70 * 1400 + b"\n")
            client.job.send({"from": "", "rcpts": ["a@x.test"],
                             "wait": "final", "store": False}, fd)
            os.close(fd)
            answer = client.job.receive()
            refused += answer["status"] == "refused"
            taken += answer["status"] == "taken"
        # 8 times message_size_limit of one user
        assert (taken, refused) == (9, 3), (taken, refused)
        for client in clients:
            client.close()
        wait_for(lambda: d.log_text().count(": removed") == 9, 30, "the end")
        assert d.postern("resume", "--transport", "sink").returncode == 0
        found, _ = Client(d).send("b@x.test")
        assert found["b@x.test"]["status"] == "delivered", found


def recipients_are_counted_while_they_are_here():
    """So that those who wait can be looked after in one turn of the loop."""
    with Sink() as sink, Daemon(config(
            sink.port, "job_recipient_limit = 60000")) as d:
        assert d.postern("pause", "--transport", "sink").returncode == 0
        answers = []
        for n in range(2):
            client = Client(d)
            for at in range(0, 60000, 2000):
                head = {"from": "", "wait": "final", "store": False} \
                    if at == 0 else {}
                fd = memfd(MESSAGE) if at == 0 else None
                client.job.send(dict(head, rcpts=["r%d@x.test" % i for i in
                                                  range(at, at + 2000)],
                                     more=at + 2000 < 60000), fd)
                if fd is not None:
                    os.close(fd)
            answers.append((client, client.job.receive()))
        assert [a["status"] for _, a in answers] == ["taken", "refused"], \
            answers
        assert answers[1][1]["code"] == 451, answers
        answers[0][0].close()
        wait_for(lambda: ": removed" in d.log_text(), 60, "the end")
        assert Client(d).begin("a@x.test")


def run(suite):
    suite.check_all([
        ("not stored: each hears its server's words",
         each_hears_its_servers_words),
        ("not stored: a dead destination rests", a_dead_destination_rests),
        ("not stored: who leaves takes back what waits",
         who_leaves_takes_back_what_waits),
        ("not stored: who waits outlives a reload",
         who_waits_outlives_a_reload),
        ("not stored: who waits too long is deferred",
         who_waits_too_long_is_deferred),
        ("not stored: a stop defers who waits", a_stop_defers_who_waits),
        ("not stored: a dead queue ends the results",
         a_dead_queue_ends_the_results),
        ("not stored: a dead worker leaves doubt", a_dead_worker_leaves_doubt),
        ("not stored: a crowd shares two sessions",
         a_crowd_shares_two_sessions),
        ("not stored: large ones are counted while they are here",
         large_ones_are_counted_while_they_are_here),
        ("not stored: recipients are counted while they are here",
         recipients_are_counted_while_they_are_here),
    ])
