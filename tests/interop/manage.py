# SPDX-License-Identifier: ISC
"""What an operator does to the queue, over the real posternd."""
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from sink import Sink, slow  # noqa

MESSAGE = b"Subject: test\n\ntext\n"

CONFIG = """
minimal_backoff_time = 60s
maximal_backoff_time = 60s
job_recipient_limit = 100000
%(globals)s
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
	initial_destination_concurrency = 1
}
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
	%(sink)s
}
transport other {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
}
route "*" { transport = dead }
route "good.test" { transport = sink }
"""


def config(port=2, extra="", sink=""):
    return CONFIG % {"port": port, "globals": extra, "sink": sink}


def fill(d, count=3, domain="dead.test", sender="me@sender.test"):
    """Messages with two recipients each, all of them deferred."""
    for i in range(count):
        answers = d.send(["a%d@%s" % (i, domain), "b%d@%s" % (i, domain)],
                         MESSAGE, wait="queued", sender=sender)
        assert answers[0]["status"] == "queued", answers
    wait_for(lambda: len(states(d, "deferred")) >= 2 * count,
             what="all to be deferred")


def states(d, state):
    return [r for r in d.queued() if r["state"] == state]


def act(d, *args, status=0):
    """A change; its last words as an object."""
    r = d.postern("queue", "--json", *args)
    assert r.returncode == status, (args, r.returncode, r.stdout, r.stderr)
    lines = r.stdout.splitlines()
    return json.loads(lines[-1]) if lines else r.stderr.decode()


def count(d, *args):
    return act(d, *args)["recipients"]


def crash(d):
    pids = [p["pid"] for p in d.status()]
    d.stop(kill=True)
    wait_for(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids),
             what="the end of all")
    d.start()


# Looking

def show_and_cat():
    with Daemon(config()) as d:
        r = d.postern("send", "--from", "me@sender.test", "--envid", "list 7",
                      "--ret", "headers", "--notify", "success,delay",
                      "--orcpt", "rfc822;x@y.test", "--ref", "mine",
                      "a@dead.test", message=b"Subject: s\n\n.text\n")
        assert r.returncode == 0, r
        wait_for(lambda: states(d, "deferred"), what="a failed attempt")
        row = d.queued()[0]
        shown = d.postern("queue", "show", row["id"]).stdout.decode()
        for part in ("from=<me@sender.test>", "to=<a@dead.test> deferred",
                     "ENVID=list+207", "RET=HDRS", "NOTIFY=SUCCESS,DELAY",
                     "ORCPT=rfc822;x@y.test", "4.4.1", "mine", "refused"):
            assert part in shown, (part, shown)
        r = d.postern("queue", "cat", row["id"])
        assert (r.returncode, r.stdout) == (0, b"Subject: s\r\n\r\n.text\r\n")
        for verb in ("show", "cat"):
            r = d.postern("queue", verb, "ABC")
            assert r.returncode == 69 and b"queue" in r.stderr, r


def all_stay_deferred(d, count):
    """A server of the configuration is tried again after seconds: all is
    paused while none of them is on its way."""
    pause(d, "pause", "--all")
    if len(states(d, "deferred")) == count:
        return True
    pause(d, "resume", "--all")
    time.sleep(0.2)
    return False


def selections():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.rcpt = "450 4.7.1 greylisted, come back"
        fill(d, 2)
        fill(d, 1, "other.test", sender="")
        answers = d.send(["c@good.test"], MESSAGE, wait="attempt")
        assert answers[-1]["dsn"] == "4.7.1", answers
        wait_for(lambda: all_stay_deferred(d, 7), what="all to be deferred")
        ids = sorted({r["id"] for r in d.queued()})
        for args, want in (
                (("--sender", "me@*"), 4), (("--sender", "ME@SENDER.TEST"), 4),
                (("--sender", "<>"), 2), (("--recipient", "a*"), 3),
                (("--recipient", "*@OTHER.test"), 2),
                (("--domain", "dead.test"), 4),
                (("--destination", "dead.test"), 4),
                (("--destination", "dead"), 6),
                (("--destination", "127.0.0.1:1"), 6),
                (("--destination", "sink"), 1),
                (("--reason", "4.7.*"), 1), (("--reason", "GREYlist"), 1),
                (("--reason", "4.4.*"), 6), (("--reason", "refused"), 6),
                (("--state", "deferred"), 7), (("--state", "held,failed"), 0),
                (("--older", "1h"), 0), (("--younger", "1h"), 7),
                (("--older", "0"), 7),
                ((ids[0],), 2), ((ids[0], ids[1], ids[0]), 4),
                ((ids[0], "--recipient", "b*"), 1),
                (("--sender", "me@*", "--recipient", "b*"), 2)):
            r = d.postern("queue", "--json", "list", *args)
            rows = [row for row in map(json.loads, r.stdout.splitlines())
                    if "paused" not in row]
            assert len(rows) - 1 == want, (args, want, rows)
            assert count(d, "delete", "--dry-run", *args) == want, args
        assert len(d.queued()) == 7


def wrong_words():
    with Daemon(config()) as d:
        for args, part in (
                (("delete",), "which?"), (("hold", "--json"), "which?"),
                (("delete", "xyz"), "hexadecimal"),
                (("delete", "--older", "soon"), "an age is"),
                (("delete", "--older", ""), "an age is"),
                (("delete", "--state", "gone"), "the states are"),
                (("delete", "--sender", ""), "is empty"),
                (("move", "--recipient", "*"), "name the transport"),
                (("hold", "--to", "dead", "--recipient", "*"), "for move"),
                (("list", "--yes"), "changes the queue"),
                (("show",), "name a queue id"), (("cat",), "one queue id"),
                (("cat", "1", "2"), "one queue id"),
                (("list", "--sender"), "postern queue: option"),
                (("frob",), 'queue has no "frob"'), ((), "usage")):
            r = d.postern("queue", *args)
            assert r.returncode == 64, (args, r)
            assert part in r.stderr.decode(), (args, r.stderr)
            if "usage" not in r.stderr.decode():
                assert r.stderr.count(b"\n") == 1, r.stderr
        r = d.postern("queue", "move", "--to", "nowhere", "--recipient", "*")
        assert r.returncode == 69 and b"no transport nowhere" in r.stderr, r
        r = d.postern("send", "--from", "a@b.test", "--via", "nowhere",
                      "c@d.test")
        assert r.returncode == 69 and b"no transport nowhere" in r.stderr, r
        r = d.postern("send", "--from", "a@b.test", "--wait", "ever",
                      "c@d.test")
        assert r.returncode == 64 and b"--wait: must be" in r.stderr, r
        # What is a verb of the spool elsewhere is a word like others here.
        for name in ("check", "import", "export"):
            r = d.postern("queue", "list", "--sender", name)
            assert r.returncode == 0 and b"recipients: " in r.stdout, r
        for verb in ("delete", "show"):
            r = d.postern("queue", verb, "FFF", "FFE")
            assert r.returncode == 69 and b"FFF is not in the queue, nor " \
                b"are the others" in r.stderr, r
        qid = d.send(["a@x.test"], MESSAGE, wait="attempt")[0]["id"]
        r = d.postern("queue", "release", qid)
        assert r.returncode == 69 and b"in a state for release" in r.stderr, r
        r = d.postern("queue", "retry", qid)
        assert r.stdout == b"retry: 1 recipient\n", r
        assert d.postern("flush").stdout.startswith(b"flush: "), r
        job = Job(d.dir + "/run/control")
        for packet in (b"x", b"{}", b'{"command":"delete","to":"dead"}',
                       b'{"command":"list","ids":["%s"]}' % (b"F" * 17)):
            job.send(packet)
            assert job.receive()["code"] == 501, packet
        job.close()
        assert len(d.pids("queue")) == 1


# Changing

def hold_and_release():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.rcpt = "450 4.2.0 later"
        d.send(["a@good.test", "b@good.test"], MESSAGE, wait="attempt")
        assert count(d, "hold", "--recipient", "a@*") == 1
        assert count(d, "hold", "--recipient", "a@*") == 0
        sink.rcpt = "250 2.1.5 ok"
        crash(d)
        assert [r["recipient"] for r in states(d, "held")] == ["a@good.test"]
        assert count(d, "retry", "--recipient", "*") == 1
        wait_for(lambda: sink.got("b@good.test"), what="what is not held")
        time.sleep(1.5)
        assert not sink.got("a@good.test")
        assert count(d, "release", "--domain", "good.test") == 1
        wait_for(lambda: sink.got("a@good.test"), what="what is released")
        wait_for(lambda: d.queued() == [], what="an empty queue")
        assert "held by uid" in d.log_text()
        assert "released by uid" in d.log_text()


def retry_lifts_the_rest_of_a_destination():
    with Sink() as sink:
        port = sink.port
    with Daemon(config(port)) as d:
        d.send(["a@good.test"], MESSAGE, wait="attempt")
        d.send(["b@good.test"], MESSAGE, wait="attempt")
        with Sink.__new__(Sink) as sink:
            again(sink, port)
            assert count(d, "retry", "--destination", "sink") == 2
            wait_for(lambda: sink.got("a@good.test") and
                     sink.got("b@good.test"), 10, "both at once")


def flush():
    with Sink() as sink:
        port = sink.port
    with Daemon(config(port)) as d:
        d.send(["a@good.test"], MESSAGE, wait="attempt")
        d.send(["b@dead.test"], MESSAGE, wait="attempt")
        before = d.queued()[1]["next_ms"]
        with Sink.__new__(Sink) as sink:
            again(sink, port)
            r = d.postern("flush")
            assert r.returncode == 0 and b"2 recipients" in r.stdout, r
            wait_for(lambda: sink.got("a@good.test"), 10, "the mail")
            wait_for(lambda: d.queued()[0]["next_ms"] > before,
                     what="another attempt")


def again(sink, port):
    """A sink at a port that is known."""
    bind = Sink.bind

    def at_port(self, addresses):
        import socket
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((addresses[0], port))
        self.port = port
        self.listen(listener)
    Sink.bind = at_port
    try:
        sink.__init__()
    finally:
        Sink.bind = bind


def delete_and_expire():
    with Daemon(config()) as d:
        fill(d, 2)
        ids = sorted({r["id"] for r in d.queued()})
        assert count(d, "delete", "--recipient", "a0@*") == 1
        assert count(d, "expire", ids[1]) == 2
        rows = {r["recipient"]: r for r in d.queued() if r["id"] in ids}
        assert set(rows) == {"b0@dead.test", "a1@dead.test", "b1@dead.test"}
        row = rows["a1@dead.test"]
        assert row["state"] == "failed" and row["last"]["dsn"] == "5.4.7", row
        assert count(d, "hold", "--recipient", "b0@*") == 1
        # the sender has been told, as at the end of a lifetime
        wait_for(lambda: [r for r in d.queued() if r["from"] == ""], 10,
                 "a notice")
        assert count(d, "delete", "--recipient", "*@dead.test") == 3
        assert not [r for r in d.queued() if r["id"] in ids]
        log = d.log_text()
        assert log.count("deleted by uid") == 4, log
        assert log.count(": removed") == 2, log
        assert act(d, "delete", ids[0], status=69)["recipients"] == 0


def who_waits_hears_of_a_deletion():
    with Daemon(config()) as d:
        client = subprocess.Popen(
            [d.dir + "/postern", "send", "-c", d.config, "--json", "--wait",
             "final", "--from", "me@sender.test", "a@dead.test",
             "b@dead.test"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdin.write(MESSAGE)
        client.stdin.close()
        wait_for(lambda: len(states(d, "deferred")) == 2, 10, "attempts")
        assert count(d, "delete", "--recipient", "*") == 2
        try:
            client.wait(5)
        finally:
            client.kill()
        ends = [json.loads(x) for x in client.stdout.read().splitlines()]
        ends = {r["recipient"]: r for r in ends if r.get("final")}
        assert set(ends) == {"a@dead.test", "b@dead.test"}, ends
        assert all(r["status"] == "failed" and "operator" in r["reply"]
                   for r in ends.values()), ends


def move():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        fill(d, 2)
        assert count(d, "move", "--to", "other", "--recipient", "a*") == 2
        for i in range(2):
            wait_for(lambda: sink.got("a%d@dead.test" % i), 10, "moved mail")
        assert len(states(d, "deferred")) == 2
        assert count(d, "hold", "--recipient", "b0@*") == 1
        assert count(d, "move", "--to", "other", "--recipient", "b*") == 2
        wait_for(lambda: sink.got("b1@dead.test"), 10, "moved mail")
        row = d.queued()[0]
        assert (row["state"], row["via"]) == ("held", "other"), row
        d.stop()
        d.start()
        assert count(d, "release", row["id"]) == 1
        wait_for(lambda: sink.got("b0@dead.test"), 10, "released mail")


def what_was_moved_has_the_time_of_its_new_way():
    with Sink() as sink, Daemon(config(sink.port) + (
            'route "short.test" { transport = sink\n'
            'maximal_queue_lifetime = 4s }\n')) as d:
        sink.rcpt = "450 4.7.1 come back"
        d.send(["a@short.test"], MESSAGE, wait="queued")
        wait_for(lambda: states(d, "deferred"), 10, "an attempt")
        assert count(d, "move", "--to", "other", "--recipient", "a@*") == 1
        time.sleep(5)
        attempts = d.queued()[0]["attempts"]
        assert count(d, "retry", "--recipient", "a@*") == 1

        def attempted():
            rows = d.queued()
            return rows if not rows or (
                rows[0]["attempts"] > attempts and
                rows[0]["state"] != "active") else None

        rows = wait_for(attempted, 30, "one more attempt")
        assert [row["state"] for row in rows] == ["deferred"], rows


def what_a_session_has_is_left_alone():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.final = slow(3, "250 2.0.0 taken")
        d.send(["a@good.test"], MESSAGE, wait="queued")
        assert sink.at_dot.wait(10)
        for verb in ("delete", "hold", "expire"):
            end = act(d, verb, "--recipient", "*")
            assert (end["recipients"], end["in_delivery"]) == (0, 1), end
        wait_for(lambda: d.queued() == [], what="the delivery")
        assert len(sink.got("a@good.test")) == 1


def many_are_asked_for():
    with Daemon(config()) as d:
        fill(d, 6)
        r = d.postern("queue", "delete", "--recipient", "*")
        assert r.returncode == 77 and b"12 recipients" in r.stderr, r
        assert len(d.queued()) == 12
        for answer, left in ((b"n\n", 12), (b"y\n", 0)):
            pid, fd = pty.fork()
            if pid == 0:
                os.execv(d.dir + "/postern",
                         ["postern", "queue", "-c", d.config, "delete",
                          "--recipient", "*"])
            said = b""
            while b"[y/N]" not in said:
                said += os.read(fd, 1000)
            os.write(fd, answer)
            os.waitpid(pid, 0)
            os.close(fd)
            assert len(d.queued()) == left, said


# Pausing

def pause(d, what, *args, status=0):
    r = d.postern(what, *args)
    assert r.returncode == status, (what, args, r)
    return r.stdout.decode() + r.stderr.decode()


def pauses_hold_over_restarts():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        assert "paused: transport sink" in pause(d, "pause", "--transport",
                                                 "sink")
        d.send(["a@good.test", "b@good.test"], MESSAGE, wait="queued")
        time.sleep(1.5)
        assert not sink.mails
        for words in (("status",), ("queue", "list")):
            assert b"paused: transport sink since" in \
                d.postern(*words).stdout
        crash(d)
        time.sleep(1.5)
        assert not sink.mails and len(states(d, "queued")) == 2
        # another way is open meanwhile
        d.send(["c@good.test"], MESSAGE, wait="queued",
               extra=("--via", "other"))
        wait_for(lambda: sink.got("c@good.test"), 10, "the other way")
        assert count(d, "move", "--to", "other", "--recipient", "a@*") == 1
        wait_for(lambda: sink.got("a@good.test"), 10, "what was moved")
        assert not sink.got("b@good.test")
        pause(d, "resume", "--transport", "sink")
        wait_for(lambda: sink.got("b@good.test"), 10, "what was resumed")
        wait_for(lambda: d.queued() == [], what="an empty queue")
        assert b"paused" not in d.postern("status").stdout


def all_and_destinations_are_paused():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        server = "127.0.0.1:%d" % sink.port
        pause(d, "pause", "--all")
        pause(d, "pause", "--destination", server)
        assert "nothing to do" in pause(d, "pause", "--all")
        d.send(["a@good.test"], MESSAGE, wait="queued")
        d.send(["b@dead.test"], MESSAGE, wait="queued")
        time.sleep(1)
        assert len(states(d, "queued")) == 2
        pause(d, "resume", "--destination", server)
        time.sleep(1)
        assert len(states(d, "queued")) == 2
        pause(d, "pause", "--destination", server)
        pause(d, "resume", "--all")
        wait_for(lambda: sink.got("a@good.test"), 10, "the mail")
        wait_for(lambda: states(d, "deferred"), 10, "the other's attempt")


def a_pause_is_shown_where_nothing_is_in_memory():
    with Sink() as sink, Daemon(config(sink.port) +
                                "qmgr_recipient_active_limit = 1\n") as d:
        sink.final = slow(8, "250 2.0.0 taken")
        d.send(["a@good.test"], MESSAGE, wait="queued")
        assert sink.at_dot.wait(10)  # memory is full for so long
        pause(d, "pause", "--transport", "dead")
        d.send(["b@dead.test"], MESSAGE, wait="queued")
        for command in (("queue", "summary", "--destination", "dead"),
                        ("top", "--once")):
            r = d.postern(*command)
            assert b"paused" in r.stdout.split(b"dead", 1)[1], r


def a_paused_session_finishes_its_message():
    with Sink() as sink, Daemon(config(
            sink.port, sink="initial_destination_concurrency = 1\n"
            "destination_concurrency_limit = 1")) as d:
        sink.final = slow(1.5, "250 2.0.0 taken")
        d.send(["a@good.test"], MESSAGE, wait="queued")
        assert sink.at_dot.wait(10)
        for i in range(5):
            d.send(["b%d@good.test" % i], MESSAGE, wait="queued")
        pause(d, "pause", "--transport", "sink")
        wait_for(lambda: sink.got("a@good.test"), 10, "the first message")
        time.sleep(2)
        left = len(d.queued())
        assert left >= 2, left
        assert all(r["state"] == "queued" for r in d.queued()), d.queued()
        sink.final = "250 2.0.0 taken"
        pause(d, "resume", "--all")
        wait_for(lambda: len(sink.mails) == 6, 10, "all of them")


def pauses_that_make_no_sense():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        for args, part, status in (
                (("pause",), "what?", 64),
                (("pause", "--all", "--transport", "sink"), "what?", 64),
                (("pause", "--transport", "nowhere"), "no such", 69),
                (("pause", "--destination", "good.test"), "transport sink",
                 69),
                # the name under which listings show its mail
                (("pause", "--destination", "sink"),
                 "pause --transport sink", 69),
                (("resume", "--transport", "sink"), "not paused", 69),
                (("pause", "all"), "usage", 64)):
            assert part in pause(d, *args, status=status), args


def a_pause_costs_others_nothing():
    """20,000 recipients that are paused leave memory, and others alone."""
    with Sink() as sink, Daemon(config(
            sink.port, extra="qmgr_recipient_active_limit = 2000")) as d:
        pause(d, "pause", "--transport", "dead")
        many(d, 20000, "dead.test")
        for i in range(5):
            begun = time.monotonic()
            answers = d.send(["x%d@good.test" % i], MESSAGE, wait="final")
            assert answers[-1]["status"] == "delivered", answers
            assert time.monotonic() - begun < 1
        time.sleep(3)
        pid = d.pids("queue")[0]
        before = cpu(pid)
        time.sleep(3)
        assert cpu(pid) - before < 0.5, "it goes round in circles"
        pause(d, "resume", "--all")
        wait_for(lambda: states(d, "deferred"), 10, "attempts")


def cpu(pid):
    with open("/proc/%d/stat" % pid) as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


# Watching

class Tail:
    """Events as an operator gets them."""

    def __init__(self, d, **filters):
        self.job = Job(d.dir + "/run/control")
        self.job.send(dict({"command": "tail"}, **filters))
        first = self.job.receive()
        assert first == {"event": "listening"}, first

    def until(self, last):
        rows = []
        while not rows or not last(rows[-1]):
            rows.append(self.job.receive())
        return rows


def events_are_told():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        everything, mine = Tail(d), Tail(d, sender="me@*", status="sent")
        other = Tail(d, recipient="b@*")
        d.send(["a@good.test", "b@dead.test"], MESSAGE, wait="queued")
        d.send(["c@good.test"], MESSAGE, wait="attempt", sender="me@a.test")
        d.send(["c@dead.test"], MESSAGE, wait="attempt", sender="me@a.test")
        row = mine.until(lambda r: True)[0]
        assert (row["to"], row["from"], row["status"], row["event"]) == \
            ("c@good.test", "me@a.test", "sent", "outcome"), row
        row = other.until(lambda r: True)[0]
        assert (row["to"], row["status"]) == ("b@dead.test", "deferred"), row
        d.postern("queue", "delete", "--recipient", "b@*")
        rows = everything.until(lambda r: r["event"] == "deleted")
        kinds = [r["event"] for r in rows]
        assert kinds.count("active") >= 2, kinds
        assert kinds.count("outcome") >= 4 and "removed" in kinds, kinds
        assert all(r["time_ms"] > 1e12 for r in rows)


def tail_command():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        p = subprocess.Popen([d.dir + "/postern", "tail", "-c", d.config,
                              "--status", "sent"], stdout=subprocess.PIPE)
        time.sleep(0.5)
        d.send(["a@good.test"], MESSAGE, wait="final")
        row = json.loads(p.stdout.readline())
        assert row["to"] == "a@good.test", row
        p.send_signal(signal.SIGINT)
        assert p.wait(10) == -signal.SIGINT
        r = d.postern("tail", "--id", "xyz")
        assert r.returncode == 64 and b"hexadecimal" in r.stderr, r


def slow_listeners_lose_events_not_the_queue():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        tail = Tail(d)
        d.send(["h@dead.test"], MESSAGE, wait="attempt")
        many(d, 20000, "good.test")
        wait_for(lambda: len(d.queued()) == 1, 60, "all deliveries")
        begun = time.monotonic()
        answers = d.send(["a@good.test"], MESSAGE, wait="final")
        assert answers[-1]["status"] == "delivered", answers
        assert time.monotonic() - begun < 2
        seen = lost = 0
        tail.job.sock.settimeout(1)
        for attempt in range(3):
            try:
                while True:
                    row = tail.job.receive()
                    lost += row.get("count", 0)
                    seen += row["event"] == "outcome"
            except TimeoutError:
                d.send(["b@good.test"], MESSAGE, wait="final")
        assert lost > 10000 and seen > 100, (seen, lost)
        assert 20000 < lost + seen < 21500, (seen, lost)
        tails = [Tail(d) for _ in range(15)]
        try:
            Tail(d)
        except AssertionError as e:
            assert "too many" in str(e), e
        else:
            raise AssertionError("there is no limit on listeners")
        tails.clear()


def results_that_nobody_reads_end_nobody():
    """70,000 results for an intake that stands still, then for clients that
    read late: it and the queue live on, and each client gets an end."""
    total, a_job = 70000, 17500
    with Daemon(config()) as d:
        pause(d, "pause", "--transport", "dead")
        clients = []
        for i in range(total // a_job):
            c = Job(d.dir + "/run/job")
            rcpts = ["r%d-%d@dead.test" % (i, k) for k in range(a_job)]
            body = memfd(MESSAGE)
            for k in range(0, a_job, 500):
                packet = {"rcpts": rcpts[k:k + 500], "more": k + 500 < a_job}
                if k == 0:
                    packet.update({"from": "s@x.test", "wait": "final"})
                c.send(packet, body if k == 0 else None)
            os.close(body)
            assert c.receive()["status"] == "queued"
            clients.append(c)
        before = {r: d.pids(r) for r in ("intake", "control", "queue")}
        os.kill(before["intake"][0], signal.SIGSTOP)
        try:
            act(d, "delete", "--yes", "--domain", "dead.test")
        finally:
            os.kill(before["intake"][0], signal.SIGCONT)
        told, ends = 0, []
        for c in clients:
            row = {}
            while not row.get("done"):
                row = c.receive()
                told += "recipient" in row
            ends.append(row.get("error", ""))
        assert "dropped" in ends[-1], ends
        assert 10000 < told < 30000, told
        assert {r: d.pids(r) for r in before} == before


def shown(d, transport, key):
    """The rows of top, once that of a transport's destination has such a key."""
    rows = [json.loads(x) for x in
            d.postern("top", "--json").stdout.splitlines()]
    for row in rows:
        if row.get("transport") == transport and key in row:
            return rows
    return None


def top_shows_all():
    with Sink() as sink, Daemon(config(
            sink.port, sink="initial_destination_concurrency = 1\n"
            "destination_concurrency_limit = 1")) as d:
        sink.final = slow(4, "250 2.0.0 taken")
        d.send(["x@good.test"], MESSAGE, wait="queued")
        d.send(["y@dead.test"], MESSAGE, wait="attempt")
        assert sink.at_dot.wait(10)
        for i in range(5):
            d.send(["z%d@good.test" % i], MESSAGE, wait="queued")
        time.sleep(1.1)
        rows = wait_for(lambda: shown(d, "dead", "blocked_until_ms"),
                        what="a rest")
        queue = rows[0]
        assert queue["sessions"] == 1
        assert queue["last"]["accepted"]["10s"] == 7, queue
        assert queue["last"]["deferred"]["60s"] >= 1, queue
        by = {r["transport"]: r for r in rows if r.get("top") == "destination"}
        assert by["sink"]["waiting"] >= 3 and by["sink"]["sessions"] == 1, by
        assert "refused" in by["dead"]["reason"], by
        session = [r for r in rows if r.get("top") == "session"][0]
        assert session["state"] == "sending" and session["relay"], session
        words = wait_for(lambda: "rests" in (words := d.postern(
            "top", "--once").stdout.decode()) and words, what="a rest")
        for part in ("recipients: queued", "accepted 0.7/s", "sink",
                     "sending", "sessions: 1/200"):
            assert part in words, (part, words)
        assert b"\033" not in d.postern("top", "--once").stdout
        rows = d.postern("top", "--json", "--limit", "1").stdout.splitlines()
        assert len(rows) == 4, rows
        for args, part in ((("--limit", "101"), "--limit"),
                           (("--interval", "0"), "--interval"),
                           (("now",), "usage")):
            r = d.postern("top", *args)
            assert r.returncode == 64 and part in r.stderr.decode(), r


def summary(d, by, *args, status=0):
    r = d.postern("queue", "--json", "summary", "--by", by, *args)
    assert r.returncode == status, (by, args, r)
    rows = [json.loads(line) for line in r.stdout.splitlines()]
    assert rows[-1]["summary"] == "sum" and rows[-1]["done"], rows
    return rows[:-1], rows[-1]


def all_of_the_queue_is_counted():
    """With memory for a hundred, three thousand wait on disk."""
    with Sink() as sink, Daemon(config(
            sink.port, extra="qmgr_recipient_active_limit = 100")) as d:
        sink.rcpt = "450 4.7.1 <x@y>: greylisted, come back"
        many(d, 3000, "dead.test", 3000)
        for i in range(3):
            d.send(["x%d@good.test" % i], MESSAGE, wait="queued",
                   sender="s%d@x.test" % i)
        pause(d, "pause", "--transport", "sink")
        wait_for(lambda: not states(d, "active"), what="nothing in hand")
        rows = [json.loads(line) for line in
                d.postern("top", "--json").stdout.splitlines()]
        by = {r["next_hop"]: r for r in rows
              if r.get("top") == "destination"}
        assert by["dead"]["waiting"] == 3000, by
        assert by["sink"]["waiting"] == 3, by
        assert by["dead"]["in_memory"] <= 100, by
        e = explained(d, "x@dead.test")["destination"]
        assert (e["waiting"], e["domain_waiting"]) == (3000, 3000), e
        words = d.postern("explain", "x@dead.test").stdout.decode()
        assert "3000 recipients waiting" in words, words
        # Nothing of it is in memory, and no row is wanted
        assert json.loads(d.postern("top", "--json", "--limit", "0").stdout
                          .splitlines()[0])["counts"]["deferred"] >= 1
        r = d.postern("status")
        assert r.returncode == 0 and b"queue: 3003 recipients wait: " in \
            r.stdout, r
        # Summaries
        rows, end = summary(d, "destination")
        assert end["recipients"] == 3003 and end["rows"] == 2, end
        assert sum(end["ages"]) == end["ages"][0] == 3003, end
        assert [(r["transport"], r["recipients"]) for r in rows] == \
            [("dead", 3000), ("sink", 3)], rows
        rows, end = summary(d, "domain", "--domain", "good.test")
        assert [(r["domain"], r["recipients"]) for r in rows] == \
            [("good.test", 3)], rows
        rows, end = summary(d, "sender", "--limit", "2")
        assert len(rows) == 2 and end["rows"] == 4 and end["shown"] == 2, end
        assert rows[0]["recipients"] == 3000, rows
        rows, end = summary(d, "age")
        assert [(r["below_minutes"], r["recipients"]) for r in rows] == \
            [(5, 3003)], rows
        rows, end = summary(d, "reason", "--destination", "dead")
        assert sum(r["recipients"] for r in rows) == 3000, rows
        assert any("refused" in r["reason"] for r in rows), rows
        words = d.postern("queue", "summary").stdout.decode()
        for part in ("TOTAL", "dead (127.0.0.1:1)", "1280+", "3003",
                     "last reply: ", "paused by an operator"):
            assert part in words, (part, words)
        for by in ("reason", "age", "domain", "sender"):
            r = d.postern("queue", "summary", "--by", by)
            assert r.returncode == 0 and b"3003" in r.stdout, r
        # The rate and the last word of one that defers
        pause(d, "resume", "--all")
        wait_for(lambda: summary(d, "destination", "--destination", "sink")
                 [0][0].get("now", {}).get("deferred_60s"), what="deferrals")
        row = summary(d, "destination", "--destination", "sink")[0][0]
        assert "greylisted" in row["last_reply"], row
        assert row["now"]["deferred_60s"] >= 1, row
        # Rows as many as are wanted, sums once
        r = d.postern("queue", "list", "--limit", "7")
        lines = r.stdout.decode().splitlines()
        assert len([x for x in lines if " to=<" in x]) == 7, lines
        assert len([x for x in lines if "recipients: " in x]) == 1, lines
        assert any("there are more" in x for x in lines), lines
        ids = sorted({r["id"] for r in d.queued()})
        lines = d.postern("queue", "list",
                          *(ids * 600)[:1200]).stdout.decode().splitlines()
        assert len([x for x in lines if "recipients: " in x]) == 1, lines


def the_step_is_that_of_the_attempt():
    """Also where no server said anything, and after a restart."""
    with Sink() as sink, Daemon(config(sink.port)) as d:
        sink.rcpt = "450 4.7.1 come back"
        d.send(["a@dead.test", "b@dead.test"], MESSAGE, wait="attempt")
        d.send(["a@good.test"], MESSAGE, wait="attempt")
        pause(d, "pause", "--all")
        want = {"a@dead.test": "connect", "b@dead.test": "connect",
                "a@good.test": "rcpt"}
        for _ in range(2):
            assert {r["recipient"]: r["last"]["step"] for r in d.queued()} == \
                want, d.queued()
            crash(d)
        act(d, "expire", "--recipient", "a@dead.test")
        row = [r for r in d.queued() if r["recipient"] == "a@dead.test"][0]
        assert (row["state"], row["last"]["step"]) == ("failed", "connect"), \
            row


def names_that_do_not_exist():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        fill(d, 1)
        for args in (("queue", "list"), ("queue", "summary"),
                     ("queue", "hold", "--yes"), ("queue", "delete", "-n"),
                     ("flush",)):
            r = d.postern(*args, "--destination", "nosuch")
            assert r.returncode == 69, (args, r)
            assert b"destination nosuch: no mail in the queue goes there" \
                in r.stderr, (args, r)
            r = d.postern(*args, "--domain", "nosuch.test")
            assert r.returncode == 69 and b"domain nosuch.test: no mail" in \
                r.stderr, (args, r)
            # The configuration has them, or some mail does
            for known in (("--destination", "other"),
                          ("--domain", "good.test"),
                          ("--domain", "dead.test", "--state", "held")):
                r = d.postern(*args, *known)
                assert r.returncode == 0 and not r.stderr, (args, known, r)
        for args, part in (
                (("pause", "--transport", "nosuch"), "sink"),
                (("resume", "--transport", "nosuch"), "not paused"),
                (("resume", "--destination", "nosuch"), "not paused"),
                (("queue", "list", "--limit", "many"), "number of rows"),
                (("queue", "delete", "--limit", "1"), "--limit is for"),
                (("queue", "summary", "--by", "size"), "destination, domain"),
                (("queue", "list", "--by", "age"), "--by is for summary"),
                (("queue", "summary", *["A"] * 501), "at most 500"),
                (("tail", "--status", "delivered"), "deferred"),
                (("tail", "--id", "xyz"), "hexadecimal")):
            r = d.postern(*args)
            assert r.returncode in (64, 69) and part in r.stderr.decode(), \
                (args, r)


def a_pause_for_a_name_that_no_mail_has():
    body = """
name_servers = "127.0.0.1@1"
transport mx { tls_security_level = may }
route "*" { transport = mx }
route "known.test" { transport = mx }
"""
    with Daemon(body) as d:
        r = d.postern("pause", "--destination", "nosuch")
        assert r.returncode == 0 and b"no mail in the queue" in r.stderr, r
        r = d.postern("pause", "--destination", "known.test")
        assert r.returncode == 0 and not r.stderr, r


def many_who_ask_at_once_are_answered():
    """While they wait for one walk, a turn for each; and who left is forgotten."""
    with Sink() as sink, Daemon(config(sink.port)) as d:
        many(d, 3000, "dead.test", 3000)
        clients = []
        for i in range(60):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(30)
            s.connect(d.dir + "/run/control")
            s.send(b'{"command":"top"}')
            s.send(b'{"command":"explain","recipient":"x@dead.test"}')
            clients.append(s)
        for s in clients[::3]:
            s.close()
        for s in [s for i, s in enumerate(clients) if i % 3 != 0]:
            left = 2
            while left > 0:
                packet = s.recv(65536)
                assert packet and b'"status":"refused"' not in packet, packet
                left -= b'"done":true' in packet
            s.close()


def failures_are_counted_one_by_one():
    """Three of them make a cohort, and one rest."""
    with Daemon(config() + """
transport three {
	server = "127.0.0.1:1"
	tls_security_level = none
	initial_destination_concurrency = 1
	destination_concurrency_failed_cohort_limit = 3
}
route "three.test" { transport = three }
""") as d:
        for i in range(3):
            d.send(["a%d@three.test" % i], MESSAGE, wait="attempt")
        e = wait_for(lambda: rests(d, "x@three.test"), what="a rest")
        assert e["destination"]["failures"] == 3, e
        assert e["destination"]["rests"] == 1, e
        assert "after 3 failures in a row" in e["why"][0], e


def top_on_a_terminal():
    with Daemon(config()) as d:
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(d.dir + "/postern", ["postern", "top", "-c", d.config,
                                          "--interval", "1s"])
        said, end = b"", time.monotonic() + 10
        while said.count(b"recipients:") < 3 and time.monotonic() < end:
            said += os.read(fd, 4000)
        os.kill(pid, signal.SIGINT)
        try:
            while True:
                more = os.read(fd, 4000)
                if not more:
                    break
                said += more
        except OSError:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert said.startswith(b"\033[?1049h"), said
        assert said.endswith(b"\033[?1049l"), said


# Explaining

def rests(d, address):
    """What explain says of it, where its destination rests now."""
    e = explained(d, address)
    return e if e["verdict"] == "wait" and "rests" in e["why"][0] else None


def explained(d, *args, status=0):
    r = d.postern("explain", "--json", *args)
    assert r.returncode == status, (args, r)
    return json.loads(r.stdout) if r.stdout else r.stderr.decode()


def explanations():
    routes = """
transport mx { tls_security_level = encrypt }
transport local { protocol = lmtp
	server = "unix:/run/nowhere/lmtp" }
transport rated {
	server = "127.0.0.1:%d"
	tls_security_level = none
	connection_idle_time = 0
	rate = { "1 message/hour" }
}
route "rated.test" { transport = rated }
route "more.rated.test" {
	transport = rated
	rate = { "9 messages/second" }
}
route ".mx.test" { transport = mx }
route "unix.test" { transport = local }
"""
    with Sink() as sink, Daemon(config(sink.port, extra="") +
                                routes % sink.port) as d:
        e = explained(d, "Ana@GOOD.test")
        assert e["recipient"] == "Ana@good.test" or \
            e["domain"] == "good.test", e
        assert e["verdict"] == "now" and e["route"]["pattern"] == "good.test"
        assert e["transport"]["name"] == "sink"
        assert e["transport"]["limits"]["destination_recipient_limit"] > 0
        address = e["plan"]["addresses"][0]
        assert (address["address"], address["port"], address["tls"]) == \
            ("127.0.0.1", sink.port, "none"), address
        assert e["destination"]["known"] is False, e
        e = explained(d, "a@unix.test")
        assert e["plan"]["addresses"] == [{"path": "/run/nowhere/lmtp"}], e
        # by MX: there is no such name, or no answer
        e = explained(d, "a@b.mx.test",
                      status=d.postern("explain", "a@b.mx.test").returncode)
        assert e["route"]["pattern"] == ".mx.test", e
        assert e["transport"]["mx_of"] == "b.mx.test", e
        assert e["plan"]["error"] and e["verdict"] in ("wait", "fail"), e
        assert e["why"], e
        # rests
        d.send(["a@dead.test", "b@dead.test"], MESSAGE, wait="attempt")
        e = wait_for(lambda: rests(d, "x@dead.test"), what="a rest")
        assert "rests for" in e["why"][0] and "refused" in e["why"][0], e
        assert e["destination"]["domain_waiting"] == 2, e
        # a rate that is used up, of a destination that is known or not
        d.send(["a@rated.test"], MESSAGE, wait="final")
        d.send(["b@rated.test"], MESSAGE, wait="queued")
        for known, address in ((True, "x@rated.test"),
                               (False, "x@more.rated.test")):
            e = explained(d, address)
            assert e["verdict"] == "wait", e
            assert e["destination"]["known"] is known, e
            assert "the rate of transport rated, 1 message/hour burst 1, " \
                "is used up: the next may go in " in e["why"][0], e
            limits = e["destination"]["limits"]
            assert (limits[0]["of"], limits[0]["name"]) == \
                ("transport", "rated"), limits
            assert limits[0]["rates"][0]["left"] == 0, limits
            assert 3.5e6 < limits[0]["rates"][0]["wait_ms"] <= 3.6e6, limits
            words = d.postern("explain", address).stdout.decode()
            assert "rate:        1 message/hour burst 1 of transport " \
                "rated: used up, the next in " in words, words
        assert limits[1] == {
            "of": "route", "name": "more.rated.test", "sessions": 0,
            "rates": [{"rate": "9 messages/second burst 9", "left": 9,
                       "wait_ms": 0}]}, limits
        top = d.postern("top", "--once").stdout.decode()
        assert re.search(r"\nrated +rated +1 +0 +[01]/5 +rate (59m\d+s|1h0m) +"
                         r"the rate of transport rated\n", top), top
        held = [r["held_by"] for r in map(json.loads, d.postern(
            "top", "--once", "--json").stdout.splitlines()) if "held_by" in r]
        assert held and held[0]["name"] == "rated", held
        # another way is open
        assert explained(d, "--via", "other",
                         "x@dead.test")["verdict"] == "now"
        pause(d, "pause", "--transport", "other")
        e = explained(d, "--via", "other", "x@dead.test")
        assert "paused" in e["why"][0] and e["verdict"] == "wait", e
        words = wait_for(lambda: "rests" in (words := d.postern(
            "explain", "x@dead.test").stdout.decode()) and words,
            what="a rest")
        for part in ("route:       \"*\"", "transport:   dead",
                     "destination_concurrency_limit = ", "127.0.0.1",
                     "connection_reuse_time_limit = 300s", "rests",
                     "verdict:     it waits"):
            assert part in words, (part, words)
        for args, status, part in (
                (("a@@b",), 64, "recipient <a@@b>"),
                (("--sender", "x y", "a@b.test"), 64, "sender <x y>"),
                (("--via", "nowhere", "a@b.test"), 69, "no transport"),
                ((), 64, "usage"), (("a@b.c", "d@e.f"), 64, "usage")):
            r = d.postern("explain", *args)
            assert r.returncode == status, (args, r)
            assert part in (r.stdout + r.stderr).decode(), (args, r)
        assert len(sink.mails) == sink.connections == 1  # of a@rated.test
        d.stop()
        r = d.postern("explain", "a@good.test")
        assert r.returncode == 75 and b"transport:   sink" in r.stdout, r
        assert b"configuration alone" in r.stdout, r
        assert b"is posternd running" in r.stderr, r


# Many

def many(d, total, domain, a_job=10000):
    job = Job(d.dir + "/run/job")
    for start in range(0, total, a_job):
        fd = memfd(MESSAGE)
        for i in range(start, start + a_job, 500):
            packet = {"rcpts": ["u%d@%s" % (n, domain)
                                for n in range(i, i + 500)],
                      "more": i + 500 < start + a_job}
            if i == start:
                packet["from"] = "me@sender.test"
            job.send(packet, fd if i == start else None)
        os.close(fd)
        assert job.receive()["status"] == "queued"
    job.close()


def deliveries_go_on_meanwhile():
    """50,000 recipients are held, moved and deleted; others are delivered
    meanwhile without delay, and the queue's memory stays where it was."""
    total = 50000
    with Sink() as sink, Daemon(config(
            sink.port, extra="qmgr_recipient_active_limit = 5000")) as d:
        pause(d, "pause", "--transport", "dead")
        many(d, total, "dead.test")
        delays, stop = [], threading.Event()

        def deliver():
            while not stop.is_set():
                begun = time.monotonic()
                rcpt = "d%d@good.test" % len(delays)
                answers = d.send([rcpt], MESSAGE, wait="final")
                assert answers[-1]["status"] == "delivered", answers
                delays.append(time.monotonic() - begun)
        thread = threading.Thread(target=deliver)
        thread.start()
        try:
            wait_for(lambda: delays, what="a delivery")
            for verb, extra in (("hold", ()), ("move", ("--to", "other")),
                                ("delete", ())):
                n = len(delays)
                r = d.postern("queue", "--json", verb, "--yes", "--progress",
                              "--domain", "dead.test", *extra, timeout=120)
                end = json.loads(r.stdout.splitlines()[-1])
                assert end["recipients"] + end["in_delivery"] == total, end
                assert r.stderr.count(b"looked at") > 2, r.stderr
                assert len(delays) > n, "nothing was delivered meanwhile"
        finally:
            stop.set()
            thread.join()
        assert max(delays) < 2, max(delays)
        wait_for(lambda: not [r for r in d.queued()
                              if "dead.test" in r["recipient"]], 30,
                 "an empty queue")


def ctrl_c_stops_between_pieces():
    with Daemon(config()) as d:
        pause(d, "pause", "--transport", "dead")
        many(d, 20000, "dead.test")
        p = subprocess.Popen([d.dir + "/postern", "queue", "-c", d.config,
                              "hold", "--yes", "--progress", "--recipient",
                              "*", "--json"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        p.stderr.readline()
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=30)
        end = json.loads(out.splitlines()[-1])
        assert end["stopped"] and 0 < end["recipients"] < 20000, end
        assert p.returncode == 75, p.returncode
        r = d.postern("queue", "hold", "--dry-run", "--state",
                      "queued,deferred", "--json", "--recipient", "*")
        left = json.loads(r.stdout.splitlines()[-1])["recipients"]
        assert left == 20000 - end["recipients"], (left, end)


def run(suite):
    suite.check_all([
        ("show prints all of a message, cat the message", show_and_cat),
        ("one selection for every verb", selections),
        ("wrong words are one clear sentence", wrong_words),
        ("hold survives kill -9, release ends it", hold_and_release),
        ("retry lifts the rest of a destination",
         retry_lifts_the_rest_of_a_destination),
        ("flush makes all due", flush),
        ("delete removes, expire fails", delete_and_expire),
        ("who waits for a result hears of a deletion",
         who_waits_hears_of_a_deletion),
        ("move takes another transport", move),
        ("what was moved has the time of its new way",
         what_was_moved_has_the_time_of_its_new_way),
        ("pauses hold over restarts", pauses_hold_over_restarts),
        ("all and destinations are paused", all_and_destinations_are_paused),
        ("a paused session finishes its message",
         a_paused_session_finishes_its_message),
        ("manage: a pause is shown where nothing is in memory",
         a_pause_is_shown_where_nothing_is_in_memory),
        ("pauses that make no sense", pauses_that_make_no_sense),
        ("events are told as they fall", events_are_told),
        ("postern tail", tail_command),
        ("explain says what would happen, and why", explanations),
        ("top shows destinations, sessions, rates", top_shows_all),
        ("all of the queue is counted", all_of_the_queue_is_counted),
        ("the step is that of the attempt", the_step_is_that_of_the_attempt),
        ("names that do not exist are said", names_that_do_not_exist),
        ("a pause for a name that no mail has is accepted, and said",
         a_pause_for_a_name_that_no_mail_has),
        ("failures are counted one by one", failures_are_counted_one_by_one),
        ("top on a terminal", top_on_a_terminal),
        ("what a session has in hand is left alone",
         what_a_session_has_is_left_alone),
        ("many are asked for, or refused", many_are_asked_for),
    ], 2)
    suite.check("slow listeners lose events, not the queue",
                slow_listeners_lose_events_not_the_queue)
    suite.check("results that nobody reads end nobody",
                results_that_nobody_reads_end_nobody)
    suite.check("a pause costs others nothing", a_pause_costs_others_nothing)
    suite.check("50,000 recipients, and deliveries go on",
                deliveries_go_on_meanwhile)
    suite.check("Ctrl-C stops between pieces", ctrl_c_stops_between_pieces)
