# SPDX-License-Identifier: ISC
"""How posternd starts, changes, suffers and stops; and what it logs."""
import ctypes
import glob
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import daemon  # noqa
import fuse  # noqa
from daemon import (PLAIN_UID, ROLE_UIDS, Daemon, Job, as_plain_user, memfd,  # noqa
                    wait_for)
from listener import Client  # noqa
from sink import Sink, slow  # noqa

MESSAGE = b"Subject: test\n\ntext\n"
IS_ROOT = os.geteuid() == 0
ROLES = ("intake", "control", "queue", "resolver", "dialer", "agent")

CONFIG = """
stop_timeout = 20s
minimal_backoff_time = 1s
maximal_backoff_time = 4s
%(globals)s
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
}
route "*" { transport = sink }
"""


def config(sink, extra=""):
    return CONFIG % {"port": sink.port, "globals": extra}


def rewrite(d, old, new):
    with open(d.config) as f:
        text = f.read()
    assert old in text, old
    with open(d.config, "w") as f:
        f.write(text.replace(old, new))


def reload(d):
    before = d.log_text().count("reloaded ")
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: d.log_text().count("reloaded ") > before,
             what="the reload")


def queue_up(d, rcpt="a@x.test", message=MESSAGE):
    answers = d.send([rcpt], message, wait="queued")
    assert answers[0]["status"] == "queued", answers
    return rcpt


def ends(d, seconds):
    """posternd's exit status; an error where it goes on."""
    try:
        return d.process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError("still there after %d s" % seconds)


def processes_of(d):
    """Whoever was started from this folder."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                if d.dir.encode() + b"/" in f.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def descendants(pid):
    found = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        try:
            with open(path) as f:
                children = [int(x) for x in f.read().split()]
        except OSError:
            continue
        for child in children:
            found += [child] + descendants(child)
    return found


def is_gone(pid):
    """Ended; init may take its time to bury it."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


# Stopping

def stop_by(number):
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.final = slow(2, "250 2.0.0 taken in the end")
        rcpt = queue_up(d)
        assert sink.at_dot.wait(20)
        d.process.send_signal(number)
        assert ends(d, 25) == 0
        assert len(sink.got(rcpt)) == 1
        assert "taken in the end" in d.log_text(), "no outcome in the log"
        assert not os.path.exists(d.dir + "/run/job")
        d.start()
        assert d.queued() == [], d.queued()
        time.sleep(1)
        assert len(sink.got(rcpt)) == 1, "delivered again"


def a_stop_waits_for_the_final_reply():
    stop_by(signal.SIGTERM)


def an_interrupt_waits_for_the_final_reply():
    stop_by(signal.SIGINT)


def a_stop_does_not_wait_for_ever():
    with Sink() as sink, Daemon(config(sink)) as d:
        rewrite(d, "stop_timeout = 20s", "stop_timeout = 2s")
        reload(d)
        sink.final = None
        rcpt = queue_up(d)
        assert sink.at_dot.wait(20)
        # A client in the middle has its part of the time too.
        job = Job(d.dir + "/run/job")
        fd = memfd(MESSAGE)
        job.send({"from": "a@b.test", "rcpts": [rcpt], "more": True}, fd)
        os.close(fd)
        d.process.send_signal(signal.SIGTERM)
        assert ends(d, 15) == 0
        assert not processes_of(d), processes_of(d)
        text = d.log_text()
        assert "did not stop in time" not in text, "a role was killed"
        assert "to=<%s>" % rcpt in text and "status=deferred" in text, text
        job.close()
        sink.greeting = "421 4.3.2 later"
        d.start()
        wait_for(lambda: d.queued() and d.queued()[0]["in_doubt"], 20,
                 "the recipient, in doubt")
        assert d.queued()[0]["recipient"] == rcpt, d.queued()
        sink.final = "250 2.0.0 taken"
        sink.greeting = "220 sink.postern.test"
        wait_for(lambda: sink.got(rcpt), 40, "the mail")
        wait_for(lambda: d.queued() == [], 20, "an empty queue")


LISTENER = """
listener mta {
	listen = "unix:%s/smtp"
	mode = 0666
}
"""


def a_stop_tells_whoever_waits():
    with Sink() as sink:
        d = Daemon()
        d.write_config(config(sink) + LISTENER % d.dir)
        with d:
            rewrite(d, "stop_timeout = 20s", "stop_timeout = 4s")
            reload(d)
            sink.final = None
            waits, half = Job(d.dir + "/run/job"), Job(d.dir + "/run/job")
            fd = memfd(MESSAGE)
            waits.send({"from": "a@b.test", "rcpts": ["w@x.test"],
                        "wait": "final", "ref": "w"}, fd)
            assert waits.receive()["status"] == "queued"
            half.send({"from": "a@b.test", "rcpts": ["h@x.test"],
                       "more": True, "ref": "h"}, fd)
            os.close(fd)
            tail = Job(d.dir + "/run/control")
            tail.send({"command": "tail"})
            assert tail.receive() == {"event": "listening"}
            send = subprocess.Popen(
                [d.dir + "/postern", "send", "-c", d.config, "--from", "a@b.c",
                 "--wait", "final", "s@x.test"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            send.stdin.write(MESSAGE)
            send.stdin.close()
            assert send.stdout.readline().startswith(b"queued as ")
            mta = Client(d.dir + "/smtp")
            mta.want(b"MAIL FROM:<a@b.test>", "250")
            mta.want(b"RCPT TO:<m@x.test>", "250")
            mta.want(b"DATA", "354")
            mta.sock.sendall(b"Subject: half a message\r\n")
            assert sink.at_dot.wait(20)
            d.process.send_signal(signal.SIGTERM)
            answer = tail.receive()
            while "event" in answer:
                answer = tail.receive()
            assert answer["error"] == "posternd is being stopped", answer
            answer = half.receive()
            assert (answer["code"], answer["ref"]) == (451, "h"), answer
            assert "posternd is being stopped" in answer["error"], answer
            # No new job meanwhile, and the old one's end is said.
            answer = waits.receive()
            assert answer["done"] and answer["ref"] == "w", answer
            assert "kept and goes on" in answer["error"], answer
            reply = mta.reply()
            assert reply.startswith("421 4.3.2 "), reply
            assert ends(d, 12) == 0
            assert send.wait(20) == 75, "the exit status of a job in the queue"
            assert b"kept and goes on" in send.stderr.read()
            assert waits.receive() is None and half.receive() is None
            assert "did not stop in time" not in d.log_text()
            for c in (waits, half, tail):
                c.close()


def a_stop_tells_whom_the_queue_does_not_answer():
    with Sink() as sink, Daemon(config(sink)) as d:
        rewrite(d, "stop_timeout = 20s", "stop_timeout = 4s")
        reload(d)
        pid = d.pids("queue")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            job, ask = Job(d.dir + "/run/job"), Job(d.dir + "/run/control")
            fd = memfd(MESSAGE)
            job.send({"from": "a@b.test", "rcpts": ["w@x.test"], "ref": "w"},
                     fd)
            os.close(fd)
            ask.send({"command": "list"})
            time.sleep(0.2)
            d.process.send_signal(signal.SIGTERM)
            answer = job.receive()
            assert (answer["code"], answer["ref"]) == (451, "w"), answer
            assert "perhaps the job is taken" in answer["error"], answer
            answer = ask.receive()
            assert "being stopped" in answer["error"], answer
        finally:
            os.kill(pid, signal.SIGCONT)
        assert ends(d, 12) == 0
        assert "did not stop in time" not in d.log_text()
        job.close()
        ask.close()


def a_stop_keeps_what_was_not_begun():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.greeting = "421 4.3.2 later"
        rcpts = [queue_up(d, "k%d@x%d.test" % (i, i)) for i in range(20)]
        d.process.send_signal(signal.SIGTERM)
        assert ends(d, 25) == 0
        sink.greeting = "220 sink.postern.test"
        d.start()
        wait_for(lambda: all(sink.got(r) for r in rcpts), 40, "the mail")
        assert [len(sink.got(r)) for r in rcpts] == [1] * 20


def a_stop_during_the_start_ends_well():
    with Sink() as sink:
        for ms in (10, 20, 40, 80):
            d = Daemon(config(sink))
            try:
                with open(d.log, "ab") as log:
                    d.process = subprocess.Popen(
                        [d.dir + "/posternd", "-c", d.config], stdout=log,
                        stderr=log)
                time.sleep(ms / 1000)
                d.process.send_signal(signal.SIGTERM)
                # before its handlers are set the signal's own meaning holds
                assert ends(d, 20) in (0, -signal.SIGTERM)
                wait_for(lambda: not processes_of(d), 10, "the roles' end")
                assert not re.search("died|killed", d.log_text()), d.log_text()
            finally:
                d.clear()


def a_role_that_dies_during_a_stop_does_not_keep_it():
    for role in ROLES:
        with Sink() as sink, Daemon(config(sink)) as d:
            sink.final = slow(1, "250 2.0.0 taken")
            rcpt = queue_up(d)
            assert sink.at_dot.wait(20)
            pid = d.pids(role)[0]
            d.process.send_signal(signal.SIGTERM)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it had nothing to finish
            assert ends(d, 25) == 0, role
            assert not processes_of(d), role
            sink.final = "250 2.0.0 taken"
            d.start()
            wait_for(lambda: sink.got(rcpt), 40, "the mail, " + role)


def with_the_master_everything_ends():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.final = None
        queue_up(d)
        assert sink.at_dot.wait(20)
        pids = descendants(d.process.pid)
        assert len(pids) >= 6, pids
        d.stop(kill=True)
        wait_for(lambda: all(is_gone(p) for p in pids), 10,
                 "the end of all processes")


# Reloading

def a_reload_spares_the_session_it_meets():
    with Sink() as old, Sink() as new, Daemon(config(old)) as d:
        old.final = slow(3, "250 2.0.0 taken")
        first = queue_up(d, "first@x.test")
        assert old.at_dot.wait(20)
        rewrite(d, ":%d" % old.port, ":%d" % new.port)
        reload(d)
        second = queue_up(d, "second@x.test")
        wait_for(lambda: new.got(second), 20, "the mail by the new way")
        wait_for(lambda: old.got(first), 20, "the mail by the old way")
        wait_for(lambda: d.queued() == [], 20, "an empty queue")
        assert len(old.mails) == len(new.mails) == 1


def a_reload_does_not_move_the_spool_nor_take_what_is_not_ours():
    with Sink() as sink, Daemon(config(sink)) as d:
        other = d.dir + "/not-ours"
        with open(other, "w") as f:
            f.write("1")
        for line, reason in (
                ('queue_user = "61299"',
                 "queue_user cannot change in a reload"),
                ('job_socket = "%s"' % other,
                 "job_socket %s: what is there is no socket" % other),
                ('spool_directory = "%s"' % other,
                 "spool_directory cannot change in a reload")):
            name = line.split()[0]
            with open(d.config) as f:
                text = f.read()
            with open(d.config, "w") as f:
                f.write("\n".join(old for old in text.splitlines()
                                  if not old.startswith(name)))
                f.write("\n" + line + "\n")
            r = d.postern("reload")
            assert r.returncode == 78 and reason in r.stderr.decode(), r
            assert reason in d.log_text()
            with open(d.config, "w") as f:
                f.write(text)
        assert "reloaded" not in d.log_text()
        queue_up(d)
        d.stop()
        assert os.path.exists(other)
        assert not os.path.exists(d.dir + "/run/posternd.pid")


def a_refused_reload_names_all_that_is_wrong():
    with Sink() as sink, Daemon(config(sink)) as d:
        with open(d.config) as f:
            good = f.read()

        def refused(text, *reasons):
            before = d.log_text().count("reload refused")
            with open(d.config, "w") as f:
                f.write(text)
            d.process.send_signal(signal.SIGHUP)
            wait_for(lambda: d.log_text().count("reload refused") > before,
                     30, "the refusal")
            for reason in reasons:
                assert reason in d.log_text(), (reason, d.log_text())
        refused(good + 'nonsense = 1\nprocess_limit = 0\n'
                'route "x.test" { transport = nowhere }\n',
                "nonsense", "process_limit", "nowhere")
        refused(re.sub("queue_user.*", 'queue_user = "61299"', good) +
                'control_socket = "%s/c"\nqueue_store = memory\n' % d.dir,
                "queue_user cannot change", "queue_store cannot change")
        assert not os.path.exists(d.dir + "/c")
        refused(good + 'pid_file = "%s/none/pid"\n' % d.dir, "none/pid: No")
        assert d.send(["a@x.test"], MESSAGE)[-1].get("done") or \
            sink.got("a@x.test")
        assert os.path.exists(d.dir + "/run/posternd.pid")


def a_reload_takes_users_limits_and_files_over():
    """Users, limits, files and name servers, while a session goes on."""
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.final = None
        before = queue_up(d, "before@x.test")
        assert sink.at_dot.wait(30)
        old = {role: d.pids(role) for role in ROLES}
        with open(d.config) as f:
            text = f.read()
        for role in ("dialer", "resolver", "agent"):
            text = re.sub('%s_user = "[0-9]*"' % role, '%s_user = "%d"'
                          % (role, ROLE_UIDS[role] + 100), text)
        with open(d.config, "w") as f:
            f.write(text + 'pid_file = "%s/run/other.pid"\n'
                    'job_socket_mode = 0606\ninline_body_limit = 0\n'
                    'process_limit = 7\nname_servers = { "127.0.0.9" }\n'
                    'message_size_limit = 100k\n' % d.dir)
        reload(d)

        def users():
            """Of the roles that are new; {} until all are there."""
            found = {}
            for role in ("dialer", "resolver", "agent"):
                new = [p for p in d.pids(role) if p not in old[role]]
                if not new:
                    return {}
                try:
                    found[role] = os.stat("/proc/%d" % new[0]).st_uid
                    with open("/proc/%d/status" % new[0]) as f:
                        found[role] = int(re.search(r"Uid:\t(\d+)",
                                                    f.read()).group(1))
                except OSError:
                    return {}
            return found
        if IS_ROOT:
            want = {r: ROLE_UIDS[r] + 100
                    for r in ("dialer", "resolver", "agent")}
            wait_for(lambda: users() == want, 30, "the new users")
        assert d.pids("queue") == old["queue"]
        assert d.pids("intake") == old["intake"]
        with open(d.dir + "/run/other.pid") as f:
            assert int(f.read()) == d.process.pid
        assert not os.path.exists(d.dir + "/run/posternd.pid")
        assert os.stat(d.dir + "/run/job").st_mode & 0o777 == 0o606
        rcpt = queue_up(d, "after@x.test")
        wait_for(lambda: os.listdir(d.dir + "/spool/bodies"), 30,
                 "a body in a file")
        answers = d.send(["big@x.test"], b"Subject: b\n\n" + b"x" * 200000)
        assert answers[0]["status"] == "refused", answers
        sink.final = "250 2.0.0 taken"
        sink.closing.set()  # whoever waits for the reply loses its connection
        wait_for(lambda: sink.got(rcpt), 60, "the mail")
        wait_for(lambda: sink.got(before), 60, "the mail of before")
        d.stop()
        assert not os.path.exists(d.dir + "/run/other.pid")


def a_reload_strands_nobody():
    """Who has lost the way waits, which is said with a number; who has it again
    goes at once, whatever the wait was."""
    with Sink() as sink, Daemon(config(sink)) as d:
        rewrite(d, "maximal_backoff_time = 4s", "maximal_backoff_time = 1h")
        rewrite(d, "minimal_backoff_time = 1s", "minimal_backoff_time = 1h")
        rewrite(d, 'route "*"', """transport other {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route kept.test { transport = sink }
route "*\"""" % sink.port)
        reload(d)
        assert d.postern("pause", "--all").returncode == 0
        for rcpt in ("a@x.test", "b@x.test", "c@kept.test"):
            d.send([rcpt], MESSAGE, wait="queued")
        d.send(["d@kept.test"], MESSAGE, wait="queued",
               extra=("--via", "other"))
        text = open(d.config).read()
        rewrite(d, "transport other {", "transport another {")
        rewrite(d, 'route "*" { transport = sink }',
                'route "*" { transport = none }')
        reload(d)
        wait_for(lambda: "no route or transport for 3 recipients in the "
                 "queue, <a@x.test> is the first: they wait; put "
                 in d.log_text(), what="their number")
        assert d.postern("resume", "--all").returncode == 0
        wait_for(lambda: sink.got("c@kept.test"), what="who has a way")
        log = wait_for(lambda: d.log_text().count("dsn=4.3.5") == 3 and
                       d.log_text(), what="the others to be deferred")
        assert "(the configuration has no route for x.test)" in log, log
        assert "(the configuration has no transport other)" in log, log
        assert "warning: the configuration has no route for x.test: mail " \
            "waits; add a route" in log, log
        rows = [json.loads(r) for r in
                d.postern("doctor", "--json").stdout.splitlines()]
        faults = [r["what"] for r in rows if r.get("level") == "fault"
                  and r["check"] == "queue"]
        assert len(faults) == 3, (faults, rows)
        r = d.postern("explain", "a@x.test")
        assert b"it waits" in r.stdout and b"4.3.5: it has no way" in r.stdout, r.stdout
        with open(d.config, "w") as f:
            f.write(text)
        reload(d)
        for rcpt in ("a@x.test", "b@x.test", "d@kept.test"):
            wait_for(lambda: sink.got(rcpt), what="the mail to " + rcpt)
        wait_for(lambda: d.queued() == [], what="an empty queue")
        assert "3 recipients in the queue have a route again" in d.log_text()
        assert "status=bounced" not in d.log_text()
        rows = [json.loads(r) for r in
                d.postern("top", "--json").stdout.splitlines()]
        assert not [r for r in rows if r.get("top") == "trouble"], rows


def a_server_of_ours_that_refuses_sessions_fails_no_mail():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.greeting = "554 5.7.1 not you"
        a = d.send(["a@x.test"], MESSAGE, wait="attempt")
        a = [r for r in a if "recipient" in r]
        assert a[0]["status"] == "deferred" and a[0]["dsn"] == "4.7.1", a
        wait_for(lambda: "warning: transport sink: server 127.0.0.1["
                 in d.log_text(), what="the warning")
        r = d.postern("doctor")
        assert b"refuses every session: " in r.stdout, r.stdout
        sink.greeting = "220 sink"
        wait_for(lambda: sink.got("a@x.test"), what="the mail")
        assert b"refuses every" not in d.postern("doctor").stdout


def a_reload_changes_the_form_of_log_lines():
    with Sink() as sink, Daemon(config(sink)) as d:
        d.send(["a@x.test"], MESSAGE)
        rewrite(d, "stop_timeout", "log_format = json\nstop_timeout")
        d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: '"text":"reloaded ' in d.log_text(),
                 what="the reload")
        d.send(["b@x.test"], MESSAGE)
        line = [x for x in d.log_text().splitlines() if "b@x.test" in x]
        assert json.loads(line[-1])["to"] == "b@x.test", line


def many_reloads_do_not_keep_the_resolver_away():
    with Sink() as sink, Daemon(config(sink)) as d:
        for _ in range(8):
            old = d.pids("resolver")
            reload(d)
            wait_for(lambda: d.pids("resolver") not in ([], old), 8,
                     "the new resolver")


# Roles that die

def a_role_that_dies_is_started_again():
    with Sink() as sink, Daemon(config(sink)) as d:
        for role in ROLES:
            old = d.pids(role)
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: d.pids(role) not in ([], old), 20, role)
        restarts = {p["role"]: p["restarts"] for p in d.status()
                    if p["role"] in ROLES}
        assert restarts == dict.fromkeys(ROLES, 1), restarts
        answers = d.send(["a@x.test"], MESSAGE)
        assert answers[1]["status"] == "delivered", answers
        assert d.log_text().count("died of signal 9") == len(ROLES)


def a_role_that_dies_again_waits_longer():
    with Sink() as sink, Daemon(config(sink)) as d:
        pauses = []
        for _ in range(4):
            old = d.pids("dialer")
            os.kill(old[0], signal.SIGKILL)
            killed = time.monotonic()
            wait_for(lambda: d.pids("dialer") not in ([], old), 30, "dialer")
            pauses.append(time.monotonic() - killed)
        assert pauses[3] > 0.7, pauses  # 100, 200, 400, 800 ms
        assert [p["restarts"] for p in d.status()
                if p["role"] == "dialer"] == [4]


def status_answers_while_the_queue_dies():
    with Sink() as sink, Daemon(config(sink)) as d:
        over = threading.Event()
        bad = []

        def ask():
            while not over.is_set():
                try:
                    r = d.postern("status", "--json", timeout=30)
                except subprocess.TimeoutExpired:
                    bad.append("a status that never came")
                    return
                if r.returncode != 0:
                    bad.append((r.returncode, r.stderr))
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            for _ in range(5):
                old = d.pids("queue")
                os.kill(old[0], signal.SIGKILL)
                wait_for(lambda: d.pids("queue") not in ([], old), 20,
                         "a queue")
        finally:
            over.set()
            for asker in askers:
                asker.join()
        assert not bad, bad


def status_answers_while_the_queue_stands_still():
    with Sink() as sink, Daemon(config(sink)) as d:
        queue = d.pids("queue")[0]
        os.kill(queue, signal.SIGSTOP)
        try:
            r = d.postern("status", timeout=30)
        finally:
            os.kill(queue, signal.SIGCONT)
        assert r.returncode == 0, r
        assert b"the queue does not answer" in r.stderr, r
        for role in ROLES:
            assert role.encode() in r.stdout, r


def a_client_that_waits_is_told_when_the_queue_dies():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.rcpt = "450 4.2.0 later"
        job = Job(d.dir + "/run/job")
        fd = memfd(MESSAGE)
        job.send({"from": "", "rcpts": ["w@x.test"], "wait": "final",
                  "ref": "w"}, fd)
        os.close(fd)
        assert job.receive()["status"] == "queued"
        answer = job.receive()
        assert (answer["status"], answer["final"]) == ("deferred", False), \
            answer
        os.kill(d.pids("queue")[0], signal.SIGKILL)
        answer = job.receive()
        while answer is not None and answer.get("status") == "deferred":
            answer = job.receive()  # tried again before it died
        assert answer is None or "error" in answer or "done" in answer, answer
        job.close()
        sink.rcpt = "250 2.1.5 ok"
        wait_for(lambda: sink.got("w@x.test"), 40, "the mail")


def a_client_that_waits_hears_the_first_attempt_or_the_last():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.rcpt = "450 4.2.0 later"
        answers = d.send(["w@x.test"], MESSAGE, wait="attempt")
        assert answers[1]["status"] == "deferred", answers
        timer = threading.Timer(
            1, lambda: setattr(sink, "rcpt", "250 2.1.5 ok"))
        timer.start()
        answers = d.send(["v@x.test"], MESSAGE)
        told = [a["status"] for a in answers if "recipient" in a]
        assert told[-1] == "delivered" and set(told[:-1]) == {"deferred"}, told


def only_the_last_result_is_the_exit_status():
    with Sink() as sink, Daemon(config(sink)) as d:
        for last, status in (("250 2.1.5 ok", 0), ("550 5.1.1 no", 69)):
            sink.rcpt = "450 4.2.0 later"
            timer = threading.Timer(
                1, lambda: setattr(sink, "rcpt", last))
            timer.start()
            r = d.postern("send", "--from", "a@b.test", "--wait", "final",
                          "--notify", "never", "v@x.test", message=MESSAGE)
            assert r.returncode == status, (status, r)
            assert b"v@x.test: deferred" in r.stdout, r
        sink.rcpt = "450 4.2.0 later"
        r = d.postern("send", "--from", "a@b.test", "--wait", "attempt",
                      "v@x.test", message=MESSAGE)
        assert r.returncode == 75, r


# Who takes too much

def with_open_files(sink, soft, hard):
    d = Daemon(config(sink))
    d.prefix = ["prlimit", "--nofile=%d:%d" % (soft, hard)]
    return d


def roles_may_open_as_many_files_as_the_hard_limit_says():
    with Sink() as sink, with_open_files(sink, 200, 1000) as d:
        pids = {p["role"]: p["pid"] for p in d.status()}
        for role in ROLES:
            with open("/proc/%d/limits" % pids[role]) as f:
                words = re.search("Max open files *(\\d+) *(\\d+)",
                                  f.read()).groups()
            assert words == ("1000", "1000"), (role, words)


def there_are_as_many_sessions_as_descriptors_allow():
    with Sink() as sink:
        d = Daemon(config(sink, "process_limit = 150").replace(
            "tls_security_level = none", """tls_security_level = none
	initial_destination_concurrency = 150
	destination_concurrency_limit = 150"""))
        d.prefix = ["prlimit", "--nofile=256:256"]
        with d:
            warning = ("process_limit = 150: with 256 open files a process "
                       "there can be 48 sessions; raise LimitNOFILE=")
            assert d.log_text().count(warning) == 1, d.log_text()
            # One that is not known to work gets no more than half.
            rcpt = queue_up(d)
            wait_for(lambda: sink.got(rcpt), 20, "the first mail")
            go = threading.Event()
            sink.final = lambda *_: go.wait(60) and "250 2.0.0 taken"
            rcpts = ["a%d@x.test" % i for i in range(120)]
            job = Job(d.dir + "/run/job")
            for rcpt in rcpts:
                fd = memfd(MESSAGE)
                job.send({"from": "a@b.test", "rcpts": [rcpt]}, fd)
                os.close(fd)
                assert job.receive()["status"] == "queued"
            job.close()

            def top():
                rows = d.postern("top", "--json").stdout.splitlines()
                return next(row for row in map(json.loads, rows)
                            if "sessions_limit" in row)
            wait_for(lambda: top()["sessions"] == 48, 60, "48 sessions")
            assert top()["sessions_limit"] == 48, top()
            assert "48 workers are busy" in d.postern(
                "explain", "b@x.test").stdout.decode()
            go.set()
            wait_for(lambda: all(sink.got(r) for r in rcpts), 60, "the mail")
            reload(d)
            wait_for(lambda: d.log_text().count(warning) == 2, 20,
                     "the warning again")
            text = d.log_text()
            assert "Too many open files" not in text and \
                "error" not in text, text
            r = d.postern("doctor", "--json")
            assert b"enough for 48 sessions, where process_limit is 150" in \
                r.stdout, r.stdout


def a_queue_that_stands_still_loses_no_client():
    """More jobs than the intake may have descriptors for."""
    with Sink() as sink, with_open_files(sink, 700, 700) as d:
        queue = d.pids("queue")[0]
        jobs = [Job(d.dir + "/run/job") for _ in range(10)]
        fd = memfd(MESSAGE)
        sent = [0] * len(jobs)
        os.kill(queue, signal.SIGSTOP)
        try:
            for i, job in enumerate(jobs):
                job.sock.settimeout(1)
                try:
                    for _ in range(200):
                        job.send({"from": "", "rcpts": ["w@x.test"]}, fd)
                        sent[i] += 1
                except socket.timeout:
                    pass
        finally:
            os.kill(queue, signal.SIGCONT)
        os.close(fd)
        for i, job in enumerate(jobs):
            job.sock.settimeout(30)
            for _ in range(sent[i]):
                answer = job.receive()
                assert answer and answer["status"] == "queued", answer
            job.close()
        assert sum(sent) > 900, sent
        assert d.pids("queue") == [queue]
        wait_for(lambda: len(sink.got("w@x.test")) == sum(sent), 60,
                 "what was acknowledged")


def a_client_waits_for_so_many_results_and_no_more():
    with Sink() as sink, Daemon(config(sink)) as d:
        sink.rcpt = "450 4.2.0 later"
        job = Job(d.dir + "/run/job")
        fd = memfd(MESSAGE)
        refused = 0
        for i in range(4100):
            job.send({"from": "", "rcpts": ["w@x.test"], "wait": "final"}, fd)
            while True:
                answer = job.receive()
                if answer["status"] in ("queued", "refused"):
                    break
            if answer["status"] == "refused":
                refused += 1
                assert (answer["code"], i >= 4096) == (451, True), (i, answer)
        assert refused == 4, refused
        job.send({"from": "", "rcpts": ["w@x.test"]}, fd)
        while job.receive()["status"] != "queued":
            pass
        intake = d.pids("intake")
        job.close()
        job = Job(d.dir + "/run/job")
        job.send({"from": "", "rcpts": ["w@x.test"], "wait": "final"}, fd)
        assert job.receive()["status"] == "queued"
        assert d.pids("intake") == intake
        job.close()
        os.close(fd)


def half_given_jobs_fill_no_memory():
    with Sink() as sink, Daemon(config(sink, "message_size_limit = 1m")) as d:
        fd = memfd(b"Subject: x\r\n\r\n" + b"0123456789abcd\r\n" * 65000)
        jobs = [Job(d.dir + "/run/job") for _ in range(20)]
        for job in jobs:
            job.send({"from": "", "rcpts": ["w@x.test"], "more": True}, fd)
        answer = jobs[-1].receive()
        assert answer["code"] == 451, answer
        refused = d.log_text().count("too many octets")
        assert refused in (10, 11, 12), refused
        for job in jobs[1:]:
            job.close()
        jobs[0].send({"rcpts": ["v@x.test"]})
        assert jobs[0].receive()["status"] == "queued"
        wait_for(lambda: sink.got("v@x.test"), 20, "the whole one")
        jobs[0].send({"from": "", "rcpts": ["w@x.test"]}, fd)
        assert jobs[0].receive()["status"] == "queued"
        jobs[0].close()
        os.close(fd)


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def without_descriptors_the_intake_waits_in_peace():
    with Sink() as sink, with_open_files(sink, 64, 64) as d:
        intake = d.pids("intake")[0]
        jobs = [Job(d.dir + "/run/job") for _ in range(100)]
        wait_for(lambda: "no further client" in d.log_text(), 10, "the limit")
        before = cpu_seconds(intake)
        time.sleep(2)
        spent = cpu_seconds(intake) - before
        for job in jobs:
            job.close()
        assert spent < 0.5, spent
        answers = d.send(["a@x.test"], MESSAGE)
        assert answers[1]["status"] == "delivered", answers


def descriptor_of(pid, fd):
    """A copy of another process's descriptor; None where that is forbidden."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    copy = libc.syscall(438, pidfd, fd, 0)  # pidfd_getfd
    os.close(pidfd)
    return copy if copy != -1 else None


def message_number(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                           "../../common/messages.def")) as f:
        return re.findall(r"^MSG\((\w+),", f.read(), re.M).index(name)


def a_role_that_lies_to_the_master_takes_nothing_from_it():
    """The test speaks for the dialer: it asks on, reads nothing, lies."""
    with Sink() as sink, Daemon(config(sink)) as d:
        dialer = d.pids("dialer")[0]
        fd = descriptor_of(dialer, 3)
        if fd is None:
            print("(not told to the master: its descriptor is out of reach)")
            return
        master = socket.socket(fileno=fd)
        master.settimeout(10)
        before = len(os.listdir("/proc/%d/fd" % d.process.pid))
        os.kill(dialer, signal.SIGSTOP)
        ask = struct.pack("=IIQ", message_number("LOG_REOPEN"), 8, 0)
        for _ in range(5000):
            master.send(ask)
        assert d.pids("dialer") == [dialer]
        after = len(os.listdir("/proc/%d/fd" % d.process.pid))
        assert after < before + 50, (before, after)
        master.send(struct.pack("=IIQI", message_number("READY"), 12, 0, 0))
        wait_for(lambda: d.pids("dialer") not in ([], [dialer]), 20,
                 "another dialer")
        assert "READY twice" in d.log_text()
        master.close()
        answers = d.send(["a@x.test"], MESSAGE)
        assert answers[1]["status"] == "delivered", answers


# What keeps it from starting

def refusal(d, word, argv=()):
    """posternd does not start: one line, exit 1 or 78, nothing left."""
    r = subprocess.run([d.dir + "/posternd", "-c", d.config, *argv],
                       capture_output=True, text=True, timeout=30)
    assert r.returncode in (1, 78), (r.returncode, r.stderr)
    lines = r.stderr.splitlines()
    assert len(lines) == 1, r.stderr
    assert word in lines[0], r.stderr
    left = [p for p in processes_of(d)
            if d.process is None or p not in
            [d.process.pid] + descendants(d.process.pid)]
    assert not left, left


def a_second_posternd_is_refused():
    with Sink() as sink, Daemon(config(sink)) as d:
        refusal(d, "another posternd")
        answers = d.send(["a@x.test"], MESSAGE)
        assert answers[1]["status"] == "delivered", answers
        assert d.pids("intake"), "the first one suffered"


def what_is_not_ours_is_refused():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            os.mkdir(d.dir + "/spool")
            if IS_ROOT:
                os.chown(d.dir + "/spool", 61999, 61999)
                refusal(d, "spool_directory")
            os.rmdir(d.dir + "/spool")
            with open(d.dir + "/spool", "w"):
                pass
            refusal(d, "spool_directory")
            os.unlink(d.dir + "/spool")
            os.mkdir(d.dir + "/run")
            with open(d.dir + "/run/job", "w"):
                pass
            refusal(d, "job_socket")
            os.unlink(d.dir + "/run/job")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.bind(d.dir + "/run/job")
                s.listen()
                refusal(d, "job_socket")
            d.start()  # what is left now is stale
            answers = d.send(["a@x.test"], MESSAGE)
            assert answers[1]["status"] == "delivered", answers
        finally:
            d.clear()


def a_configuration_that_cannot_be_read_is_refused():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            text = open(d.config).read()
            if IS_ROOT:
                rewrite(d, '"%d"' % ROLE_UIDS["queue"], '"no-such-user"')
                refusal(d, "no-such-user")
                rewrite(d, '"no-such-user"', '"0"')
                refusal(d, "root")
            with open(d.config, "w") as f:
                f.write(text + 'job_socket_group = "no-such-group"\n')
            refusal(d, "no-such-group")
            with open(d.config, "w") as f:
                f.write(text.replace("run_directory", "rum_directory"))
            refusal(d, "rum_directory")
            os.unlink(d.config)
            refusal(d, "No such file")
            os.mkdir(d.config)
            refusal(d, "directory")
        finally:
            d.clear()


def without_standard_descriptors_it_works_all_the_same():
    with Sink() as sink:
        d = Daemon(config(sink))
        d.process = subprocess.Popen(
            ["sh", "-c", "exec \"$@\" 0<&- 1>&- 2>&-", "sh",
             d.dir + "/posternd", "-c", d.config])
        try:
            wait_for(lambda: os.path.exists(d.dir + "/run/job"), 20, "posternd")
            answers = d.send(["a@x.test"], MESSAGE)
            assert answers[1]["status"] == "delivered", answers
            for n in range(3):
                name = os.readlink("/proc/%d/fd/%d" % (d.process.pid, n))
                assert name == "/dev/null", (n, name)
        finally:
            d.clear()


# Who may submit

def only_those_on_the_list_may_submit():
    who = 'job_users = { "61300" }\njob_socket_mode = 0666\n' \
          'job_socket_group = "nogroup"'
    with Sink() as sink, Daemon(config(sink, who)) as d:
        st = os.stat(d.dir + "/run/job")
        assert st.st_mode & 0o777 == 0o666, oct(st.st_mode)
        assert st.st_gid == 65534, st.st_gid

        def submit(uid):
            r = subprocess.run(
                ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
                 "--clear-groups", d.dir + "/postern", "send", "-c", d.config,
                 "--json", "--from", "a@b.test", "--wait", "final",
                 "u%d@x.test" % uid], input=MESSAGE, capture_output=True,
                timeout=40)
            return r.returncode, (r.stdout + r.stderr).decode()
        status, said = submit(61300)
        assert status == 0 and '"delivered"' in said, (status, said)
        status, said = submit(61301)
        assert status != 0 and "may not submit" in said, (status, said)
        assert not sink.got("u61301@x.test")
        rewrite(d, '"61300"', '"61301"')
        reload(d)
        status, said = submit(61301)
        assert status == 0 and '"delivered"' in said, (status, said)
        status, said = submit(61300)
        assert status != 0 and "may not submit" in said, (status, said)


def lingering():
    """A TCP socket whose close() waits: its peer reads nothing."""
    listening = socket.create_server(("127.0.0.1", 0))
    sock = socket.create_connection(listening.getsockname())
    peer, _ = listening.accept()
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 30))
    return sock, (listening, peer)


def a_descriptor_that_lingers_freezes_nobody():
    """It is passed by itself, among many, inside another, and never read."""
    keep = []

    def one():
        sock, others = lingering()
        keep.append(others)
        return sock
    with Sink() as sink, Daemon(config(sink)) as d:
        path, intake = d.dir + "/run/job", d.pids("intake")[0]
        good = Job(path)
        job = {"from": "a@b.test", "rcpts": ["a@x.test"]}

        def answers_soon(what):
            good.sock.settimeout(5)
            good.send(job, memfd(MESSAGE))
            assert good.receive()["status"] == "queued", what

        def give(client, sock, fds, *own):
            """The last copy of each is the intake's to close."""
            os.kill(intake, signal.SIGSTOP)
            sock.sendmsg([json.dumps(job).encode()], [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS,
                 struct.pack("%di" % len(fds), *fds))])
            for s in own:
                s.close()
            os.kill(intake, signal.SIGCONT)
            if client is not None:
                assert client.receive()["status"] == "refused"
        alone, many, inside, unread = [Job(path) for _ in range(4)]
        s = one()
        give(alone, alone.sock, [s.fileno()], s)
        answers_soon("alone")
        several = [one() for _ in range(3)]
        give(many, many.sock, [s.fileno() for s in several], *several)
        answers_soon("among many")
        a, b = socket.socketpair()
        s = one()
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                            struct.pack("i", s.fileno()))])
        s.close()
        give(inside, inside.sock, [b.fileno()], a, b)
        answers_soon("inside another")
        s = one()
        os.kill(intake, signal.SIGSTOP)
        for _ in range(20):
            unread.send(b"{}")
        give(None, unread.sock, [s.fileno()], s)
        answers_soon("never read")
        assert [p["restarts"] for p in d.status()
                if p["role"] == "intake"] == [0]


def give_fuse(mount, path, uid, count):
    """A child that passes the file of a mount so often, and keeps its own."""
    child = os.fork()
    if child == 0:  # its own close() would wait, too
        try:
            os.close(mount.fd)
            fd = os.open(mount.file, os.O_RDONLY)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            job = Job(path)
            for _ in range(count):
                try:
                    job.send({"from": "a@b.test", "rcpts": ["a@x.test"]}, fd)
                except OSError:
                    pass  # it is cut off
            signal.pause()
        finally:
            os._exit(1)
    return child


def an_intake_that_does_not_go_is_replaced():
    """A file server of a client's keeps its process, whatever ends it."""
    try:
        mount = fuse.Mount()
    except ValueError as e:
        print("(not told: %s)" % e)
        return
    children = []
    try:
        with Sink() as sink, Daemon(config(
                sink, "daemon_timeout = 4s\njob_socket_mode = 0666")) as d:
            path, log = d.dir + "/run/job", d.log_text
            for n in range(2):
                intake = d.pids("intake")[0]
                before = mount.flushes
                children.append(give_fuse(mount, path, PLAIN_UID, 3))
                wait_for(lambda: mount.flushes > before, 10, "a close()")
                os.kill(intake, signal.SIGKILL)
                wait_for(lambda: log().count("does not go: left behind") > n,
                         30, "the master to notice")
                assert "the intake [%d] has ended or was killed" % intake \
                    in log()
                wait_for(lambda: d.pids("intake") not in ([], [intake]), 20,
                         "another intake")
                assert not is_gone(intake) or is_zombie(intake)
                wait_for(lambda: log().count("intake [") >= n + 2, 10,
                         "it to be ready")
                answers = d.send(["a@x.test"], MESSAGE, wait="queued")
                assert answers[0]["status"] == "queued", answers
    finally:
        end_fuse(mount, children)


def is_zombie(pid):
    """Its threads have not ended: nobody can bury it."""
    return len(os.listdir("/proc/%d/task" % pid)) > 1


def end_fuse(mount, children):
    mount.close()  # which lets go whoever waits for it
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def who_passes_what_does_not_close_is_turned_away():
    try:
        mount = fuse.Mount()
    except ValueError as e:
        print("(not told: %s)" % e)
        return
    children = []
    try:
        with Sink() as sink, Daemon(config(
                sink, "job_socket_mode = 0666")) as d:
            path = d.dir + "/run/job"
            intake = d.pids("intake")[0]
            # A refused packet is an error, of which one client has few.
            for _ in range(10):
                children.append(give_fuse(mount, path, PLAIN_UID, 19))
            wait_for(lambda: "uid %d has too many descriptors that do not "
                     "close" % PLAIN_UID in d.log_text(), 20, "the refusal")
            fds = len(os.listdir("/proc/%d/fd" % intake))
            assert fds < 64 + 60, "%d descriptors" % fds
            # Others do not wait for the same thread.
            good = Job(path)
            for i in range(15):
                a, b = os.pipe()
                good.send({"from": "a@b.test", "rcpts": ["a@x.test"]}, a)
                os.close(a)
                assert good.receive()["status"] == "refused"
                wait_for(lambda: reader_is_gone(b), 5, "its close()")
                os.close(b)
            good.send({"from": "a@b.test", "rcpts": ["a@x.test"]},
                      memfd(MESSAGE))
            assert good.receive()["status"] == "queued"
            good.close()
            end_fuse(mount, children)
            mount, children = None, []
            # And once all are closed, that user comes in again.

            def comes_in():
                child = as_plain_user(
                    [d.dir + "/postern", "send", "-c", d.config, "--socket",
                     path, "--from", "a@b.test", "p@x.test"])
                return subprocess.run(child, input=MESSAGE,
                                      capture_output=True).returncode == 0
            wait_for(comes_in, 20, "the user to come in again")
    finally:
        if mount is not None:
            end_fuse(mount, children)


def reader_is_gone(fd):
    try:
        os.write(fd, b"x")
    except BrokenPipeError:
        return True
    return False


def a_file_server_that_does_not_answer_freezes_nobody():
    """FUSE: its server is asked at each close(), and says nothing."""
    try:
        mount = fuse.Mount()
    except ValueError as e:
        print("(not told: %s)" % e)
        return
    child = -1
    try:
        with Sink() as sink, Daemon(config(sink).replace(
                "stop_timeout = 20s", "stop_timeout = 1s")) as d:
            path = d.dir + "/run/job"
            child = os.fork()
            if child == 0:  # its own close() would wait, too
                try:
                    os.close(mount.fd)
                    job = Job(path)
                    fd = os.open(mount.file, os.O_RDONLY)
                    for _ in range(3):
                        job.send({"from": "a@b.test", "rcpts": ["a@x.test"]},
                                 fd)
                    signal.pause()
                finally:
                    os._exit(1)
            wait_for(lambda: mount.flushes > 0, 10, "a close()")
            begun = time.monotonic()
            for _ in range(5):
                answers = d.send(["a@x.test"], MESSAGE, wait="queued")
                assert answers[0]["status"] == "queued", answers
            assert d.status()
            assert time.monotonic() - begun < 5
            assert d.log_text().count("refused: uid=0") == 3
            begun = time.monotonic()
            d.stop()
            assert time.monotonic() - begun < 15, "it does not stop"
    finally:
        mount.close()  # which lets go whoever waits for it
        if child > 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def only_those_who_are_trusted_name_others():
    """Whom a next server takes for the client or the author (XCLIENT, AUTH=)."""
    who = 'job_authorized_xclient_users = { "61300" }\n' \
          'job_socket_mode = 0666\n'
    with Sink() as sink, Daemon(config(sink, who)) as d:
        def submit(uid, **extra):
            code = ("import sys; sys.path.insert(0, %r); import daemon, json\n"
                    "j = daemon.Job(%r)\n"
                    "j.send(json.loads(%r), daemon.memfd(b'x\\n'))\n"
                    "print(json.dumps(j.receive()))" % (
                        os.path.dirname(daemon.__file__), d.dir + "/run/job",
                        json.dumps({"from": "a@b.test", "rcpts": ["c@x.test"],
                                    **extra})))
            r = subprocess.run(
                ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
                 "--clear-groups", sys.executable, "-c", code],
                capture_output=True, timeout=40)
            assert r.returncode == 0, r.stderr
            return json.loads(r.stdout)
        others = ({"client": {"name": "bank.test"}}, {"auth": "ceo@x.test"})
        for extra in others:
            answer = submit(61301, **extra)
            assert answer["status"] == "refused", answer
            assert answer["dsn"] == "5.7.1", answer
            assert submit(61300, **extra)["status"] == "queued"
            assert submit(0, **extra)["status"] == "queued"
        assert submit(61301, auth="<>")["status"] == "queued"
        assert submit(61301)["status"] == "queued"


def a_user_who_errs_is_cut_off_and_others_are_not():
    with Sink() as sink, Daemon(config(sink)) as d:
        bad, good = Job(d.dir + "/run/job"), Job(d.dir + "/run/job")
        for _ in range(19):
            bad.send(b"{}")
            assert bad.receive()["status"] == "refused"
        bad.send({"from": "a@b.test", "rcpts": ["a@x.test"]}, memfd(MESSAGE))
        assert bad.receive()["status"] == "queued"  # one of these forgives
        for _ in range(20):
            bad.send(b"{}")
            assert bad.receive()["status"] == "refused"
        assert "too many errors" in bad.receive()["error"]
        assert bad.receive() is None
        good.send({"from": "a@b.test", "rcpts": ["a@x.test"]}, memfd(MESSAGE))
        assert good.receive()["status"] == "queued"


def one_user_does_not_take_all_places():
    """Of 1,024 connections, and of 32,768 places for results."""
    with Sink() as sink, Daemon(config(sink, "job_socket_mode = 0666")) as d:
        code = ("import socket, sys, time\n"
                "n = 0; keep = []\n"
                "for _ in range(1100):\n"
                "    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                "    s.connect(%r); keep.append(s)\n"
                "for s in keep:\n"
                "    s.settimeout(0.3 if n == 0 else 0.001)\n"
                "    try:\n"
                "        s.recv(1)\n"
                "    except TimeoutError:\n"
                "        n += 1\n"
                "    except OSError: pass\n"
                "print(n, flush=True); sys.stdin.read()\n" % (
                    d.dir + "/run/job"))
        users = []
        try:
            counts = []
            for uid in (61301, 61302, 61303):
                p = subprocess.Popen(
                    ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
                     "--clear-groups", sys.executable, "-c", code],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                users.append(p)
                counts.append(int(p.stdout.readline()))
            assert 400 < counts[0] <= 512, counts
            assert 100 < counts[1] <= 256 and 50 < counts[2], counts
            assert "more are turned away" in d.log_text()
            assert d.log_text().count("turned away") < 30, "the log is full"
            answers = d.send(["a@x.test"], MESSAGE)  # root
            assert answers[1]["status"] == "delivered", answers
            assert d.status(), "operators"
        finally:
            for p in users:
                p.kill()
                p.wait()


def a_socket_closed_by_its_mode_lets_nobody_in():
    with Sink() as sink, Daemon(config(sink, "job_socket_mode = 0600")) as d:
        assert os.stat(d.dir + "/run/job").st_mode & 0o777 == 0o600
        assert os.stat(d.dir + "/run/control").st_mode & 0o777 == 0o600
        r = subprocess.run(
            ["setpriv", "--reuid=61300", "--regid=61300", "--clear-groups",
             d.dir + "/postern", "send", "-c", d.config, "--from", "a@b.test",
             "a@x.test"], input=MESSAGE, capture_output=True, timeout=40)
        assert r.returncode != 0 and b"denied" in r.stderr, r


# Time

def deferred_mail_is_tried_at_growing_intervals_and_expires():
    times = []

    def later(_):
        times.append(time.monotonic())
        return "450 4.2.0 later"
    with Sink() as sink, Daemon(config(
            sink, "maximal_queue_lifetime = 7s")) as d:
        sink.rcpt = later
        answers = d.send(["a@x.test"], MESSAGE)
        told = [a for a in answers if "recipient" in a]
        assert told[-1]["status"] == "failed" and told[-1]["final"], told
        assert {a["status"] for a in told[:-1]} == {"deferred"}, told
        assert "later" in told[-1]["reply"], told
        pauses = [b - a for a, b in zip(times, times[1:])]
        assert len(pauses) >= 2, pauses
        assert pauses[0] > 0.8 and pauses[1] > 1.6, pauses
        rows = d.queued()
        assert [r["state"] for r in rows] == ["failed"], rows


def a_dead_destination_delays_no_other():
    with Sink() as sink, Sink() as silent:
        silent.greeting = None
        body = config(sink) + """
transport silent {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route dead.test { transport = silent }
""" % silent.port
        with Daemon(body) as d:
            for i in range(30):
                queue_up(d, "d%d@dead.test" % i)
            wait_for(lambda: silent.connections > 0, 20, "the dead one")
            for i in range(10):
                answers = d.send(["a%d@x.test" % i], MESSAGE)
                assert answers[1]["status"] == "delivered", answers
            assert len([r for r in d.queued()
                        if r["recipient"].endswith("@dead.test")]) == 30


# The log

TEXT = re.compile(
    r"^\S+ postern/\S+\[\d+\]: (\w+): to=<(.*?)>, relay=(.*?), delay=[\d.]+, "
    r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=([\d.]+), status=(\w+) "
    r"\((.*)\)$")


def some_traffic(extra, options=()):
    """The log of a run in which mail is delivered, deferred and refused."""
    with Sink() as sink, \
            Daemon(config(sink, extra), options=options) as d:
        def rcpt(address):
            return ("550 5.1.1 \"no\" \\ such \xb5" if address[0] == "n"
                    else "450 4.2.0 later" if address[0] == "l"
                    else "250 2.1.5 ok")
        sink.rcpt = rcpt
        for name in ("yes", "no", "later"):
            d.send([name + "@x.test"], MESSAGE, wait="attempt")
        os.kill(d.pids("dialer")[0], signal.SIGKILL)
        wait_for(lambda: d.log_text().count("dialer") >= 3 and
                 d.pids("dialer"), 20, "a dialer")
        d.postern("send", "--from", "a@b", "a@b..c", message=MESSAGE)
        reload_text = d.log_text().count("reloaded")
        d.process.send_signal(signal.SIGHUP)
        wait_for(lambda: d.log_text().count("reloaded") > reload_text,
                 what="the reload")
        d.stop()
        return d.log_text()


def json_facts(log):
    """Each recipient's, in the form that a text line has them."""
    seen = {}
    for line in log.splitlines():
        row = json.loads(line)
        for name in ("time", "process", "pid", "level"):
            assert name in row, line
        if row.get("event") != "outcome":
            assert "text" in row or "event" in row, line
            continue
        assert len(row["delays_ms"]) == 4 and "delay_ms" in row, line
        relay = re.sub(r":\d+$", "", row["relay"])
        reply = "".join(c if c < "\x7f" else "\\x%02x" % ord(c)
                        for c in row["reply"])
        seen.setdefault(row["to"], (row["id"], relay, row["dsn"],
                                    row["status"], reply))
    return seen


def json_lines_say_what_text_lines_say():
    facts = {}
    for line in some_traffic("").splitlines():
        m = TEXT.match(line)
        if m:
            relay = re.sub(r":\d+$", "", m.group(3))
            reply = m.group(6).replace("\\\\", "\\")
            said = re.fullmatch(r"host (\S+) said: (.*) \(in reply to RCPT TO "
                                r"command\)", reply)
            assert bool(said) == (m.group(5) != "sent"), reply
            if said:  # whose words they are, and what they answer
                assert said.group(1) == m.group(3), line
                reply = said.group(2)
            facts.setdefault(m.group(2), (m.group(1), relay, m.group(4),
                                          m.group(5), reply))
    assert set(facts) == {"yes@x.test", "no@x.test", "later@x.test"}, facts
    assert json_facts(some_traffic("log_format = json")) == facts
    assert json_facts(some_traffic("", ("-j",))) == facts


class Receiver:
    """A syslog daemon: what it hears, until it is closed."""

    def __init__(self, path, heard):
        self.path = path
        self.heard = heard
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o777)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            line = self.sock.recv(65536)
            if line == b"":
                break
            self.heard.append(line.decode())

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.path)
        self.thread.join(10)
        self.sock.close()
        os.unlink(self.path)


class SyslogDaemon(Daemon):
    """One whose /dev/log is ours: a /dev of its own that has little else."""

    def __init__(self, body):
        super().__init__(body)
        self.heard = []
        dev = self.dir + "/dev"
        os.mkdir(dev)
        os.mkdir(self.dir + "/syslog")
        os.chmod(self.dir + "/syslog", 0o755)
        self.socket = self.dir + "/syslog/log"
        nodes = "".join("touch %s/%s && mount --bind /dev/%s %s/%s && "
                        % (dev, n, n, dev, n)
                        for n in ("null", "zero", "random", "urandom"))
        self.prefix = ["unshare", "-m", "sh", "-c",
                       "mount -t tmpfs none %s && %s"
                       "ln -s %s %s/log && mount --rbind %s /dev && "
                       "exec \"$@\"" % (dev, nodes, self.socket, dev, dev),
                       "sh"]

    def log_text(self):
        return super().log_text() + "".join(x + "\n" for x in self.heard)


def lines_go_to_syslog_and_find_it_again():
    with Sink() as sink:
        d = SyslogDaemon(config(sink, "log = syslog"))
        receiver = None
        try:
            d.start()
            assert not d.heard  # on standard error, for want of anything else
            receiver = Receiver(d.socket, d.heard)
            wait_for(lambda: d.send(["a0@x.test"], MESSAGE) and
                     any("to=<a0@x.test>" in x for x in list(d.heard)), 20,
                     "the first lines to syslog")
            d.send(["a@x.test"], MESSAGE)
            line = wait_for(lambda: [x for x in list(d.heard)
                                     if "to=<a@x.test>" in x],
                            what="the outcome's line")
            assert len(line) == 1, line
            assert re.match(r"<22>postern/smtp\[\d+\]: \w+: to=<a@x\.test>, ",
                            line[0]), line
            for line in list(d.heard):
                assert re.match(r"<(19|20|22)>posternd?/\w+\[\d+\]: ",
                                line), line
            receiver.close()
            for i in range(3):  # nobody hears; nobody minds
                answers = d.send(["gone%d@x.test" % i], MESSAGE)
                assert answers[1]["status"] == "delivered", answers
                time.sleep(0.5)
            receiver = Receiver(d.socket, d.heard)
            count = [0]

            def heard():
                """By the queue and by the intake."""
                count[0] += 1
                rcpt = "b%d@x.test" % count[0]
                start = len(d.heard)
                answers = d.send([rcpt], MESSAGE)
                assert answers[1]["status"] == "delivered", answers
                junk = Job(d.dir + "/run/job")
                junk.send({"from": "no address"})
                assert junk.receive()["status"] == "refused"
                junk.close()
                time.sleep(0.1)
                text = "\n".join(d.heard[start:])
                return "to=<%s>" % rcpt in text and "posternd/intake[" in text
            wait_for(heard, 20, "lines from queue and intake again")
            old = d.pids("dialer")
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: any("the dialer [%d] died" % old[0] in x
                                 for x in list(d.heard)), 20,
                     "the master's line")
        except AssertionError:
            sys.stderr.write(d.log_text()[-4000:])
            raise
        finally:
            d.clear()


ROOT_ONLY = (a_role_that_lies_to_the_master_takes_nothing_from_it,
                      only_those_on_the_list_may_submit,
    a_descriptor_that_lingers_freezes_nobody,
    a_file_server_that_does_not_answer_freezes_nobody,
    an_intake_that_does_not_go_is_replaced,
    who_passes_what_does_not_close_is_turned_away,
    only_those_who_are_trusted_name_others,
    a_user_who_errs_is_cut_off_and_others_are_not,
    one_user_does_not_take_all_places,
             a_socket_closed_by_its_mode_lets_nobody_in,
             lines_go_to_syslog_and_find_it_again)

def nobody_dies_of_a_stop():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            d.start()
            assert d.stop() == 0
            assert "died" not in d.log_text(), d.log_text()
        finally:
            d.clear()


TESTS = (
    nobody_dies_of_a_stop,
    deferred_mail_is_tried_at_growing_intervals_and_expires,
    a_stop_waits_for_the_final_reply,
    an_interrupt_waits_for_the_final_reply,
    a_stop_does_not_wait_for_ever,
    a_stop_tells_whoever_waits,
    a_stop_tells_whom_the_queue_does_not_answer,
    a_stop_keeps_what_was_not_begun,
    a_stop_during_the_start_ends_well,
    a_role_that_dies_during_a_stop_does_not_keep_it,
    with_the_master_everything_ends,
    a_reload_spares_the_session_it_meets,
    a_reload_does_not_move_the_spool_nor_take_what_is_not_ours,
    a_refused_reload_names_all_that_is_wrong,
    a_reload_takes_users_limits_and_files_over,
    a_reload_strands_nobody,
    a_server_of_ours_that_refuses_sessions_fails_no_mail,
    a_reload_changes_the_form_of_log_lines,
    many_reloads_do_not_keep_the_resolver_away,
    a_role_that_dies_is_started_again,
    a_role_that_dies_again_waits_longer,
    status_answers_while_the_queue_dies,
    status_answers_while_the_queue_stands_still,
    a_client_that_waits_is_told_when_the_queue_dies,
    a_client_that_waits_hears_the_first_attempt_or_the_last,
    only_the_last_result_is_the_exit_status,
    roles_may_open_as_many_files_as_the_hard_limit_says,
    there_are_as_many_sessions_as_descriptors_allow,
    a_queue_that_stands_still_loses_no_client,
    a_client_waits_for_so_many_results_and_no_more,
    half_given_jobs_fill_no_memory,
    without_descriptors_the_intake_waits_in_peace,
    a_role_that_lies_to_the_master_takes_nothing_from_it,
    a_second_posternd_is_refused,
    what_is_not_ours_is_refused,
    a_configuration_that_cannot_be_read_is_refused,
    without_standard_descriptors_it_works_all_the_same,
    only_those_on_the_list_may_submit,
    a_descriptor_that_lingers_freezes_nobody,
    a_file_server_that_does_not_answer_freezes_nobody,
    only_those_who_are_trusted_name_others,
    a_user_who_errs_is_cut_off_and_others_are_not,
    one_user_does_not_take_all_places,
    a_socket_closed_by_its_mode_lets_nobody_in,
    a_dead_destination_delays_no_other,
    json_lines_say_what_text_lines_say,
    lines_go_to_syslog_and_find_it_again,
)


def run(suite):
    tests = []
    for test in TESTS:
        name = test.__name__.replace("_", " ")
        if test in ROOT_ONLY and not IS_ROOT:
            suite.skip(name, "needs root")
        else:
            tests.append((name, test))
    suite.check_all(tests)
