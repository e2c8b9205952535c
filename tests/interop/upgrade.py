# SPDX-License-Identifier: ISC
"""A generation of posternd takes over from another: what is kept, and what
happens where it goes wrong.  tests/chaos/upgrade.py does it many times."""
import os
import re
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "chaos"))
import listener  # noqa
from daemon import Job, memfd, wait_for  # noqa
from service import Manager, launch, listening, managed  # noqa
from sink import Sink, slow  # noqa
from starttls import make_pair  # noqa
from upgrade_load import (MESSAGE, Generations, Load, alive, config,  # noqa
                          is_good, upgrades)


def rewrite(d, old, new):
    with open(d.config) as f:
        text = f.read()
    assert old in text, old
    with open(d.config, "w") as f:
        f.write(text.replace(old, new))


def queue_up(d, rcpt):
    answers = d.send([rcpt], MESSAGE, wait="queued")
    assert answers[0]["status"] == "queued", answers
    return rcpt


class Held:
    """A sink's reply that waits until it is let go."""

    def __init__(self, reply="250 2.0.0 taken"):
        self.go = threading.Event()
        self.reply = reply

    def __call__(self, _):
        self.go.wait(180)
        return self.reply


def generations(d):
    """The generations that `postern status` shows."""
    return {int(re.search(r"generation=(\d+)", r["layers"]).group(1))
            for r in d.status()}


def submit(d, rcpt, wait="final"):
    """A client that waits; its answers come by result()."""
    job = Job(d.dir + "/run/job")
    job.sock.settimeout(120)
    fd = memfd(MESSAGE)
    job.send({"from": "a@client.test", "rcpts": [rcpt], "wait": wait}, fd)
    os.close(fd)
    answer = job.receive()
    assert answer["status"] == "queued", answer
    return job


def result(job):
    """The last result that comes, once there is no more."""
    last = None
    while True:
        answer = job.receive()
        assert answer is not None, "the connection ended before the result"
        if answer.get("done"):
            assert "error" not in answer, answer
            return last
        last = answer


def sessions_and_clients_live_on():
    """Both generations at once: each finishes what it has."""
    with Sink() as sink, Generations(config(sink)) as d:
        held = sink.final = Held()
        waiting = submit(d, "waits@x.test")
        idle = Job(d.dir + "/run/job")
        queue_up(d, "in-hand@x.test")
        assert sink.at_dot.wait(60)
        old = d.pid()
        new = d.upgrade()
        assert alive(old) and new != old
        wait_for(lambda: generations(d) == {1, 2}, 60, "both to be shown")
        # the new one works while the old one waits
        sink.final = "250 2.0.0 taken"
        assert d.send(["new@x.test"], MESSAGE)[1]["status"] == "delivered"
        # a connection of before is the new one's, and its client sees nothing
        fd = memfd(MESSAGE)
        idle.send({"from": "a@b.test", "rcpts": ["idle@x.test"],
                   "wait": "final"}, fd)
        assert idle.receive()["status"] == "queued"
        assert result(idle)["status"] == "delivered"
        assert alive(old)
        held.go.set()
        assert result(waiting)["status"] == "delivered"
        d.wait_settled()
        wait_for(lambda: not alive(old), 60, "the old one's end")
        assert generations(d) == {2}
        for name in ("waits", "in-hand", "new", "idle"):
            wait_for(lambda: sink.got(name + "@x.test"), 60, name)
            assert len(sink.got(name + "@x.test")) == 1, name
        wait_for(lambda: d.queued() == [], 60, "an empty queue")


def who_waits_hears_of_later_attempts():
    """The old one tries again what its client waits for, and nobody else does."""
    with Sink() as sink, Generations(config(sink)) as d:
        times = []

        def later(_):
            times.append(time.monotonic())
            return "450 4.2.0 later" if len(times) < 4 else "250 2.1.5 ok"
        sink.rcpt = later
        job = submit(d, "a@x.test")
        wait_for(lambda: times, 60, "the first attempt")
        d.upgrade()
        last = result(job)
        assert last["status"] == "delivered", last
        job.close()
        d.wait_settled()
        assert len(sink.got("a@x.test")) == 1
        assert len(times) == 4, times


def what_waits_goes_over():
    """Deferred mail is the new one's, and so is what an operator holds."""
    with Sink() as sink, Generations(config(sink)) as d:
        sink.greeting = "421 4.3.2 later"
        rcpts = [queue_up(d, "k%d@x%d.test" % (i, i)) for i in range(20)]
        d.postern("queue", "hold", "--recipient", "k0@*", "--yes")
        d.upgrade()
        d.wait_settled()
        sink.greeting = "220 sink.postern.test"
        wait_for(lambda: all(sink.got(r) for r in rcpts[1:]), 120, "the mail")
        wait_for(lambda: [r["recipient"] for r in d.queued()] ==
                 ["k0@x0.test"], 60, "only what is held to be left")
        assert [len(sink.got(r)) for r in rcpts[1:]] == [1] * 19


def a_rate_is_one_for_both_generations():
    with Sink() as sink:
        body = config(sink)
        at = body.index("{", body.index("transport ")) + 1
        body = (body[:at] + '\n\tdestination_rate = { "1 message/hour" }'
                + body[at:])
        with Generations(body) as d:
            held = sink.final = Held()
            queue_up(d, "first@x.test")
            assert sink.at_dot.wait(60)
            waiting = [submit(d, "w%d@x.test" % i) for i in range(3)]
            for i in range(3):
                queue_up(d, "k%d@x.test" % i)
            d.upgrade()
            for i in range(3):
                queue_up(d, "n%d@x.test" % i)
            held.go.set()
            for job in waiting:
                job.close()
            d.wait_settled()
            d.postern("queue", "retry", "--yes", "--older", "0s")
            time.sleep(1)
            assert len(sink.mails) == 1, [m.rcpts for m in sink.mails]


def the_file_on_disk_is_what_runs():
    with Sink() as sink, Generations(config(sink)) as d:
        d.replace_program()
        inode = os.stat(d.dir + "/posternd").st_ino
        new = d.upgrade()
        assert os.stat("/proc/%d/exe" % new).st_ino == inode
        d.wait_settled()
        assert d.send(["a@x.test"], MESSAGE)[1]["status"] == "delivered"


def goes_on(d, sink, rcpt):
    """As if nothing had been: it takes, delivers, and is alone."""
    assert d.send([rcpt], MESSAGE)[1]["status"] == "delivered"
    assert d.pid() == d.process.pid
    assert d.process.poll() is None
    assert len(sink.got(rcpt)) == 1


def refused(d, why, number):
    """An upgrade that comes to nothing, by its reason in the log."""
    os.kill(d.pid(), signal.SIGUSR2)
    wait_for(lambda: d.log_text().count("this generation goes on") == number,
             120, "the upgrade to fail: " + why)
    assert why in d.log_text(), (why, d.log_text()[-3000:])
    wait_for(lambda: d.log_text().count("this generation's alone") == number,
             120, "the queue to be alone again")


def a_new_one_that_does_not_come_up_changes_nothing():
    with Sink() as sink, Generations(config(sink)) as d:
        os.rename(d.dir + "/posternd", d.dir + "/good")
        held = sink.final = Held()
        waiting = submit(d, "waits@x.test")
        assert sink.at_dot.wait(60)
        sink.final = "250 2.0.0 taken"
        cases = (
            ("#!/bin/sh\nexit 1\n", "ended before it had all"),
            ("no program at all\n", "posternd: Exec format error"),
            (None, "posternd: No such file"),
        )
        number = 0
        for text, why in cases:
            number += 1
            if text is not None:
                with open(d.dir + "/posternd", "w") as f:
                    f.write(text)
                os.chmod(d.dir + "/posternd", 0o755)
            else:
                os.unlink(d.dir + "/posternd")
            refused(d, why, number)
            goes_on(d, sink, "n%d@x.test" % number)
        os.rename(d.dir + "/good", d.dir + "/posternd")
        with open(d.config) as f:
            good = f.read()
        with open(d.config, "w") as f:
            f.write(good + "nonsense = 1\n")
        os.kill(d.pid(), signal.SIGUSR2)
        wait_for(lambda: "upgrade: the configuration has errors" in
                 d.log_text(), 60, "the reason")
        assert "nonsense" in d.log_text()
        with open(d.config, "w") as f:
            f.write(good)
        wait_for(lambda: d.log_text().count("this generation's alone") == 4,
                 120, "the queue to be alone again")
        goes_on(d, sink, "n4@x.test")
        held.go.set()
        assert result(waiting)["status"] == "delivered"
        d.upgrade()  # and a good one comes up after all
        d.wait_settled()


def a_new_one_whose_role_does_not_start_stops_nobody_else():
    """It ends by itself; only a stop of one that works is one of both."""
    with Sink() as sink, Generations(config(sink)) as d:
        cert, _ = make_pair(d.dir, "one.test")
        _, key = make_pair(d.dir, "two.test")
        with open(d.config, "a") as f:
            f.write('listener mta {\n\tlisten = "unix:%s/run/lmtp"\n'
                    '\ttls_cert_file = "%s"\n\ttls_key_file = "%s"\n}\n' %
                    (d.dir, cert, key))
        refused(d, "the signer [", 1)
        goes_on(d, sink, "a@x.test")


def a_second_upgrade_waits_for_the_end_of_the_first():
    with Sink() as sink, Generations(config(sink)) as d:
        held = sink.final = Held()
        waiting = submit(d, "waits@x.test")
        assert sink.at_dot.wait(60)
        new = d.upgrade()
        os.kill(new, signal.SIGUSR2)
        wait_for(lambda: "upgrade refused: the generation before this one has "
                 "not ended yet" in d.log_text(), 60, "the refusal")
        held.go.set()
        assert result(waiting)["status"] == "delivered"
        d.wait_settled()
        assert d.upgrade() != new
        d.wait_settled()
        assert generations(d) == {3}


def the_old_one_killed_in_the_middle_loses_no_mail():
    """What it had in hand is known as perhaps delivered, and sent again."""
    with Sink() as sink, Generations(config(sink)) as d:
        held = sink.final = Held()
        waiting = submit(d, "waits@x.test")
        rcpts = [queue_up(d, "k%d@x%d.test" % (i, i)) for i in range(6)]
        wait_for(lambda: sink.connections >= 1 and sink.at_dot.is_set(), 60,
                 "a session")
        old = d.pid()
        d.upgrade()
        queues = [r["pid"] for r in d.status() if r["role"] == "queue"]
        assert len(queues) == 2, queues
        sink.final = "250 2.0.0 taken"
        for pid in [old] + queues[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: "this generation's alone" in d.log_text(), 120,
                 "the new one to have it all")
        held.go.set()
        for r in rcpts + ["waits@x.test"]:
            wait_for(lambda: sink.got(r), 120, r)
        wait_for(lambda: d.queued() == [], 60, "an empty queue")
        twice = [r for r in rcpts + ["waits@x.test"] if len(sink.got(r)) > 1]
        for r in twice:
            assert re.search("to=<%s>.*perhaps delivered" % r, d.log_text()), r
        waiting.close()


def the_new_one_killed_in_the_middle_gives_it_back():
    with Sink() as sink, Generations(config(sink)) as d:
        held = sink.final = Held()
        waiting = submit(d, "waits@x.test")
        assert sink.at_dot.wait(60)
        sink.final = "250 2.0.0 taken"
        new = d.upgrade()
        sink.greeting = "421 4.3.2 later"
        queue_up(d, "taken-by-the-new@x.test")
        os.kill(new, signal.SIGKILL)
        wait_for(lambda: d.pid() == d.process.pid, 60, "the old one's return")
        sink.greeting = "220 sink.postern.test"
        wait_for(lambda: sink.got("taken-by-the-new@x.test"), 120, "its mail")
        wait_for(lambda: "this generation's alone" in d.log_text(), 120,
                 "the old one to be alone again")
        held.go.set()
        assert result(waiting)["status"] == "delivered"
        wait_for(lambda: d.send(["after@x.test"], MESSAGE)[1:] and
                 sink.got("after@x.test"), 60, "a job after that")
        assert len(sink.got("waits@x.test")) == 1
        d.upgrade()
        d.wait_settled()


def a_stop_of_the_new_one_stops_both():
    with Sink() as sink, Generations(config(sink)) as d:
        held = sink.final = Held()
        queue_up(d, "a@x.test")
        assert sink.at_dot.wait(60)
        new = d.upgrade()
        os.kill(new, signal.SIGTERM)
        wait_for(lambda: not alive(new), 60, "the new one's end")
        held.go.set()
        assert d.process.wait(60) == 0
        assert len(sink.got("a@x.test")) == 1
        assert not os.path.exists(d.dir + "/run/job")
        assert not os.path.exists(d.dir + "/run/posternd.pid")


def the_command_waits_until_it_is_over():
    with Sink() as sink, Generations(config(sink)) as d:
        old = d.pid()
        r = d.postern("upgrade", timeout=120)
        assert r.returncode == 0, r
        assert ("has taken over from [%d]" % old).encode() in r.stdout, r
        assert d.pid() != old
        d.wait_settled()
        r = d.postern("reload")
        assert r.returncode == 0 and b"has taken" in r.stdout, r
        assert "reloaded " in d.log_text()
        d.stop()
        r = d.postern("upgrade")
        assert r.returncode != 0 and b"is posternd running" in r.stderr, r


def a_listener_and_its_metrics_go_over():
    with Sink() as sink:
        d = Generations(config(sink, """
metrics_socket = "$run_directory/metrics"
"""))
        with open(d.config, "a") as f:
            f.write('listener mta {\n\tlisten = "unix:%s/run/lmtp"\n'
                    '\tprotocol = lmtp\n}\n' % d.dir)
        try:
            d.start()
            inodes = [os.stat(d.dir + "/run/" + n).st_ino
                      for n in ("lmtp", "metrics", "job")]
            before = socket.socket(socket.AF_UNIX)
            before.settimeout(60)
            before.connect(d.dir + "/run/lmtp")
            assert before.recv(1000)[:3] == b"220"
            d.upgrade()
            # a client of before hears that it is over, and comes again
            assert before.recv(1000)[:3] == b"421"
            after = socket.socket(socket.AF_UNIX)
            after.settimeout(60)
            after.connect(d.dir + "/run/lmtp")
            assert after.recv(1000)[:3] == b"220"
            d.wait_settled()
            assert inodes == [os.stat(d.dir + "/run/" + n).st_ino
                              for n in ("lmtp", "metrics", "job")]
            d.stop()
            assert not os.path.exists(d.dir + "/run/lmtp")
            assert not os.path.exists(d.dir + "/run/metrics")
        finally:
            d.clear()


def an_mta_that_waits_hears_its_result():
    """A session with a message in hand ends with its reply, then with 421."""
    with Sink() as sink:
        d = Generations(config(sink))
        with open(d.config, "a") as f:
            f.write('listener mta {\n\tlisten = "unix:%s/run/lmtp"\n'
                    '\tprotocol = lmtp\n\tanswer = final\n}\n' % d.dir)
        held = sink.final = Held()
        try:
            d.start()
            mta = listener.Client(d.dir + "/run/lmtp", b"LHLO me.test")
            mta.want(b"MAIL FROM:<a@b.test>", "250")
            mta.want(b"RCPT TO:<a@x.test>", "250")
            mta.want(b"DATA", "354")
            mta.sock.sendall(MESSAGE.replace(b"\n", b"\r\n") + b".\r\n")
            assert sink.at_dot.wait(60)
            intake = d.pids("intake")[0]
            d.upgrade()
            assert alive(intake)
            held.go.set()
            assert mta.reply().startswith("250 2."), mta.input
            assert mta.reply().startswith("421 4.3.2")
            d.wait_settled()
            assert "the intake [%d] died" % intake not in d.log_text()
            assert len(sink.got("a@x.test")) == 1
        finally:
            held.go.set()
            d.clear()


def a_queue_in_memory_is_not_handed_over():
    with Sink() as sink, Generations(
            config(sink, "queue_store = memory")) as d:
        os.kill(d.pid(), signal.SIGUSR2)
        wait_for(lambda: "upgrade refused: a queue in memory" in d.log_text(),
                 60, "the refusal")
        goes_on(d, sink, "a@x.test")


def the_service_manager_hears_of_the_new_main_process():
    with Sink() as sink:
        d = Generations(config(sink))
        try:
            manager = managed(d, d.dir + "/notify",
                              {"WATCHDOG_USEC": "1000000"})
            d.start()
            d.environment["WATCHDOG_PID"] = str(d.process.pid)
            manager.wait("READY")
            new = d.upgrade()
            manager.wait("MAINPID", str(new))
            manager.wait("READY", more_than=1)
            said = list(manager.heard)
            told = [i for i, (p, m) in enumerate(said) if "MAINPID" in m]
            assert [said[i][0] for i in told] == [d.process.pid], said
            ready = [(p, i) for i, (p, m) in enumerate(said) if "READY" in m]
            assert ready[-1][0] == new, ready
            d.wait_settled()
            count = len(manager.heard)
            wait_for(lambda: len(manager.heard) > count + 2, 60, "more")
            assert {p for p, _ in manager.heard[count:]} == {new}
            assert not [m for p, m in manager.heard
                        if p != new and "STOPPING" in m]
        finally:
            d.clear()


def sockets_that_were_handed_over_go_on():
    with Sink() as sink:
        d = Generations(config(sink))
        try:
            os.mkdir(d.dir + "/run")
            job = listening(d.dir + "/run/job")
            inode = os.stat(d.dir + "/run/job").st_ino
            launch(d, ["job"], [job])
            d.start()
            d.upgrade()
            d.wait_settled()
            assert d.send(["a@x.test"], MESSAGE)[1]["status"] == "delivered"
            d.stop()
            assert os.stat(d.dir + "/run/job").st_ino == inode
            assert not os.path.exists(d.dir + "/run/control")
        finally:
            d.clear()


def some_upgrades_under_load_lose_nothing():
    report = upgrades(3, seed=5)
    assert is_good(report) and report["accepted"] > 0, report


TESTS = (
    sessions_and_clients_live_on,
    who_waits_hears_of_later_attempts,
    what_waits_goes_over,
    a_rate_is_one_for_both_generations,
    the_file_on_disk_is_what_runs,
    a_new_one_that_does_not_come_up_changes_nothing,
    a_new_one_whose_role_does_not_start_stops_nobody_else,
    a_second_upgrade_waits_for_the_end_of_the_first,
    the_old_one_killed_in_the_middle_loses_no_mail,
    the_new_one_killed_in_the_middle_gives_it_back,
    a_stop_of_the_new_one_stops_both,
    the_command_waits_until_it_is_over,
    a_listener_and_its_metrics_go_over,
    an_mta_that_waits_hears_its_result,
    a_queue_in_memory_is_not_handed_over,
    the_service_manager_hears_of_the_new_main_process,
    sockets_that_were_handed_over_go_on,
    some_upgrades_under_load_lose_nothing,
)


def run(suite):
    suite.check_all([(t.__name__.replace("_", " "), t) for t in TESTS])
