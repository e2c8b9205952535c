# SPDX-License-Identifier: ISC
"""What a process does that is stopped, crashes or does not want to end: nobody
else waits for it, and none of it is left."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, wait_for  # noqa
from lifecycle import reload  # noqa
from sink import Sink  # noqa

MESSAGE = b"Subject: test\n\ntext\n"

HEAD = """
minimal_backoff_time = 1s
maximal_backoff_time = 2s
%s
route "*" {
	transport = d0
}
"""

DESTINATION = """
transport d%(n)d {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
	session_timeout = 2s
	quit_timeout = 1s
	connection_idle_time = 0
	messages_per_connection_limit = 1
	initial_destination_concurrency = 1
	destination_concurrency_limit = 1
}
route d%(n)d.test {
	transport = d%(n)d
}
"""


def config(sinks, extra=""):
    return HEAD % extra + "".join(
        DESTINATION % {"n": n, "port": s.port} for n, s in enumerate(sinks))


def silent(peer=None):
    """Says nothing for as long as the test looks on."""
    return None


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def workers(p):
    return [w for a in p.pids("agent") for w in children(a)]


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def stop_workers(p, n):
    pids = wait_for(lambda: len(workers(p)) == n and workers(p),
                    what="%d workers" % n)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def stopped_workers_hold_no_place():
    """Three of three are stopped; a fourth destination's mail goes out."""
    sinks = [Sink() for _ in range(4)]
    for s in sinks[:3]:
        s.greeting = silent
    with Daemon(config(sinks, "process_limit = 3")) as p:
        for n in range(3):
            p.send(["a@d%d.test" % n], MESSAGE, wait="queued")
        pids = stop_workers(p, 3)
        for s in sinks:
            s.greeting = "220 sink.postern.test"
        end = p.send(["a@d3.test"], MESSAGE)[-1]
        assert end["status"] == "delivered", end
        wait_for(lambda: not any(map(is_alive, pids)), what="their end")
        wait_for(lambda: p.queued() == [], 30, "the mail of the three")
        assert all(len(s.mails) == 1 for s in sinks)


def a_stopped_agent_is_ended():
    """With its workers: what they had in hand goes out by another."""
    s = Sink()
    s.greeting = silent
    with Daemon(config([s])) as p:
        p.send(["a@d0.test"], MESSAGE, wait="queued")
        pids = stop_workers(p, 1) + p.pids("agent")
        os.kill(pids[-1], signal.SIGSTOP)
        s.greeting = "220 sink.postern.test"
        wait_for(lambda: p.queued() == [], 40, "the mail")
        assert not any(map(is_alive, pids))
        assert "it does not end a worker that it is to end" in p.log_text()


def a_worker_of_the_agent_before_a_reload_is_killed():
    s = Sink()
    s.greeting = silent
    with Daemon(config([s])) as p:
        p.send(["a@d0.test"], MESSAGE, wait="queued")
        pids = stop_workers(p, 1) + p.pids("agent")
        reload(p)
        s.greeting = "220 sink.postern.test"
        wait_for(lambda: p.queued() == [], 30, "the mail")
        wait_for(lambda: not any(map(is_alive, pids)),
                 what="the end of both")


def crash(p, s):
    """The agent whose worker crashed while it waited for the greeting."""
    s.greeting = silent
    p.send(["a@d0.test"], MESSAGE, wait="queued")
    wait_for(lambda: workers(p), what="a worker")
    agent = [a for a in p.pids("agent") if children(a)][0]
    os.kill(children(agent)[0], signal.SIGSEGV)
    return agent


def after_a_crash_another_agent_forks():
    s, other = Sink(), Sink()
    with Daemon(config([s, other])) as p:
        agent = crash(p, s)
        # Whose own worker is well goes on at once.
        end = p.send(["a@d1.test"], MESSAGE)[-1]
        assert end["status"] == "delivered", end
        now = wait_for(lambda: workers(p), what="another worker")
        assert now[0] not in children(agent)
        wait_for(lambda: not is_alive(agent), what="the end of the agent")
        s.greeting = "220 sink.postern.test"
        wait_for(lambda: p.queued() == [], 30, "the mail")


def agents_are_replaced_by_use():
    s = Sink()
    agents = set()
    s.final = lambda *a: agents.update(p.pids("agent")) or "250 2.0.0 taken"
    with Daemon(config([s], "max_use = 2")) as p:
        for n in range(8):
            end = p.send(["a@d0.test"], MESSAGE)[-1]
            assert end["status"] == "delivered", end
        assert len(agents) >= 3, agents
        wait_for(lambda: len(p.pids("agent")) == 1, what="one agent")
        log = p.log_text()
        assert "error:" not in log and "warning: session" not in log, log


def an_agent_of_before_does_not_outlive_its_queue():
    """The next queue knows nothing of it, and the watchdog has an hour."""
    s = Sink()
    s.greeting = silent
    with Daemon(config([s], "daemon_timeout = 3600s")) as p:
        p.send(["a@d0.test"], MESSAGE, wait="queued")
        agent, = p.pids("agent")
        stop_workers(p, 1)
        reload(p)
        wait_for(lambda: p.pids("agent") != [agent], what="another agent")
        os.kill(agent, signal.SIGSTOP)
        os.kill(p.pids("queue")[0], signal.SIGKILL)
        wait_for(lambda: not is_alive(agent), 30, "the end of the agent")
        s.greeting = "220 sink.postern.test"
        wait_for(lambda: p.queued() == [], 30, "the mail")


TESTS = (
    ("an agent of before does not outlive its queue",
     an_agent_of_before_does_not_outlive_its_queue),
    ("three stopped workers of three hold no place", stopped_workers_hold_no_place),
    ("a stopped agent is ended with its workers", a_stopped_agent_is_ended),
    ("a worker of the agent before a reload is killed",
     a_worker_of_the_agent_before_a_reload_is_killed),
    ("after a crash another agent forks", after_a_crash_another_agent_forks),
    ("agents are replaced after max_use sessions", agents_are_replaced_by_use),
)


def run(suite):
    suite.check_all([("walls: " + name, test) for name, test in TESTS])
