# SPDX-License-Identifier: ISC
"""posternd under a service manager: what it tells, and what it is handed.

The manager is played here: a socket for sd_notify(3), with the bytes as they
come, and a launcher that hands over listening sockets.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, wait_for  # noqa
from lifecycle import MESSAGE, config, queue_up, rewrite  # noqa
from sink import Sink, slow  # noqa


class Manager:
    """What a service manager hears, each with its sender's process id."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(b"\0" + name[1:].encode() if name[0] == "@" else name)
        if name[0] != "@":
            os.chmod(name, 0o777)
        self.heard = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                text, ancillary, _, _ = self.sock.recvmsg(
                    4096, socket.CMSG_SPACE(12))
            except OSError:
                return
            pid = int.from_bytes(ancillary[0][2][:4], "little")
            self.heard.append((pid, dict(
                line.split("=", 1) for line in text.decode().split("\n"))))

    def all(self, name):
        """Each value of a variable so far."""
        return [m[name] for _, m in list(self.heard) if name in m]

    def wait(self, name, value=None, more_than=0):
        wait_for(lambda: len([v for v in self.all(name)
                              if value in (None, v)]) > more_than,
                 60, "%s=%s" % (name, value))


def managed(d, name, environment=None):
    """The manager of a daemon that is not started yet."""
    manager = Manager(name)
    d.environment = dict(os.environ, NOTIFY_SOCKET=name, **(environment or {}))
    return manager


def it_tells_of_start_reload_and_stop():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            manager = managed(d, d.dir + "/notify")
            d.start()
            manager.wait("READY")
            assert {p for p, _ in manager.heard} == {d.process.pid}
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            d.process.send_signal(signal.SIGHUP)
            manager.wait("READY", more_than=1)
            said = [m for _, m in manager.heard if "RELOADING" in m]
            assert len(said) == 1, manager.heard
            at = int(said[0]["MONOTONIC_USEC"])
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert before <= at <= now, (before, at, now)
            rewrite(d, "stop_timeout = 20s", "stop_timeout = none")
            d.process.send_signal(signal.SIGHUP)
            manager.wait("READY", more_than=2)
            assert "refused" in manager.all("STATUS")[-1], manager.heard
            rewrite(d, "stop_timeout = none", "stop_timeout = 20s")
            sink.final = slow(1, "250 2.0.0 taken")
            rcpt = queue_up(d)
            assert sink.at_dot.wait(30)
            d.process.send_signal(signal.SIGTERM)
            manager.wait("STOPPING")
            said = [m for _, m in manager.heard if "STOPPING" in m][0]
            assert int(said["EXTEND_TIMEOUT_USEC"]) > 20000000, said
            assert d.process.wait(60) == 0
            assert sink.got(rcpt)
        finally:
            d.clear()


def it_tells_what_there_is_to_do_and_that_it_lives():
    with Sink() as sink:
        sink.final = "450 4.2.0 later"
        d = Daemon(config(sink).replace("= 1s", "= 500s")
                   .replace("= 4s", "= 500s"))
        try:
            # in the abstract name space, as some managers have it
            manager = managed(d, "@" + d.dir,
                              {"WATCHDOG_USEC": "400000"})
            d.start()
            manager.wait("WATCHDOG", more_than=3)
            queue_up(d)
            wait_for(lambda: "1 deferred" in ([""] + manager.all("STATUS"))[-1],
                     60, "the deferred recipient in the status")
            assert re.match(r"\d+ sessions, \d+ clients; recipients: 0 queued",
                            manager.all("STATUS")[-1]), manager.all("STATUS")
            # it is the watchdog of the master, and of nobody behind it
            d.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            count = len(manager.all("WATCHDOG"))
            time.sleep(1)
            assert len(manager.all("WATCHDOG")) == count
            d.process.send_signal(signal.SIGCONT)
            manager.wait("WATCHDOG", more_than=count)
            assert "daemon_timeout" not in d.log_text(), "somebody was killed"
        finally:
            d.clear()


def a_watchdog_of_another_process_is_not_fed():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            manager = managed(d, d.dir + "/notify",
                              {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
            d.start()
            manager.wait("READY")
            queue_up(d)
            wait_for(lambda: sink.got("a@x.test"), 30, "the mail")
            assert not manager.all("WATCHDOG"), manager.heard
        finally:
            d.clear()


def a_role_that_stands_still_is_found():
    """Killed, and started again: no mail is lost, and the master says why."""
    with Sink() as sink:
        d = Daemon(config(sink, "daemon_timeout = 2s"))
        try:
            manager = managed(d, d.dir + "/notify",
                              {"WATCHDOG_USEC": "1000000"})
            d.start()
            for role in ("resolver", "dialer", "agent", "intake",
                         "control", "queue"):
                old = d.pids(role)[0]
                os.kill(old, signal.SIGSTOP)
                wait_for(lambda: "the %s [%d] has not answered for 2 s" %
                         (role, old) in d.log_text(), 60,
                         "the %s to be found" % role)
                count = d.log_text().count(role + " [")
                wait_for(lambda: re.search(
                    r"%s \[(?!%d)\d+\] ready" % (role, old),
                    d.log_text().split("has not answered")[-1]), 60,
                    "a new %s" % role)
                assert count
            wait_for(lambda: d.send(["a@x.test"], MESSAGE)[0].get("status") ==
                     "queued", 60, "a job to be taken")
            wait_for(lambda: sink.got("a@x.test"), 60, "the mail")
            count = len(manager.all("WATCHDOG"))
            manager.wait("WATCHDOG", more_than=count + 1)
        finally:
            d.clear()


# Sockets that are handed over

LAUNCH = """
import os, sys
names = [n for n in sys.argv[1].split(":") if n]
fds = [int(x) for x in sys.argv[2].split(",") if x]
copies = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(copies):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
if names:
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
os.execv(sys.argv[3], sys.argv[3:])
"""


def listening(path, kind=socket.SOCK_SEQPACKET):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    s.listen(16)
    return s


def launch(d, names, sockets):
    """Let a daemon that is not started yet be handed these."""
    fds = [s.fileno() for s in sockets]
    for fd in fds:
        os.set_inheritable(fd, True)
    d.pass_fds = fds
    d.prefix = [sys.executable, "-c", LAUNCH, ":".join(names),
                ",".join(str(fd) for fd in fds)]


def sockets_that_are_handed_over_are_used():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            os.mkdir(d.dir + "/run")
            job = listening(d.dir + "/run/job")
            control = listening(d.dir + "/run/control")
            inode = os.stat(d.dir + "/run/job").st_ino
            launch(d, ["control", "job"], [control, job])
            # a job that came before the daemon did
            early = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            early.connect(d.dir + "/run/job")
            d.start()
            assert os.stat(d.dir + "/run/job").st_ino == inode
            answers = d.send(["a@x.test"], MESSAGE)
            assert answers[1]["status"] == "delivered", answers
            early.sendall(b"{}")
            early.settimeout(30)
            assert b"refused" in early.recv(65536)
            assert d.stop() == 0
            assert os.stat(d.dir + "/run/job").st_ino == inode
            assert os.path.exists(d.dir + "/run/control")
        finally:
            d.clear()


def one_socket_may_be_handed_over_alone():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            os.mkdir(d.dir + "/run")
            job = listening(d.dir + "/run/job")
            launch(d, ["job"], [job])
            d.start()
            assert len(d.status()) > 5
            assert d.stop() == 0
            assert os.path.exists(d.dir + "/run/job")
            assert not os.path.exists(d.dir + "/run/control")
        finally:
            d.clear()


def a_socket_that_was_handed_over_gets_the_group_that_is_named():
    with Sink() as sink:
        d = Daemon(config(sink, "job_socket_mode = 0666"))
        try:
            os.mkdir(d.dir + "/run")
            job = listening(d.dir + "/run/job")
            control = listening(d.dir + "/run/control")
            os.chmod(d.dir + "/run/job", 0o600)
            os.chmod(d.dir + "/run/control", 0o660)
            launch(d, ["job", "control"], [job, control])
            d.start()
            mode = os.stat(d.dir + "/run/job").st_mode & 0o777
            assert mode == 0o666, oct(mode)
            # of the other the configuration says nothing
            mode = os.stat(d.dir + "/run/control").st_mode & 0o777
            assert mode == 0o660, oct(mode)
            rewrite(d, "job_socket_mode = 0666", "job_socket_mode = 0606")
            assert d.postern("reload").returncode == 0
            mode = os.stat(d.dir + "/run/job").st_mode & 0o777
            assert mode == 0o606, oct(mode)
        finally:
            d.clear()


def a_reload_does_not_move_what_was_handed_over():
    with Sink() as sink:
        d = Daemon(config(sink, "# here"))
        try:
            os.mkdir(d.dir + "/run")
            job = listening(d.dir + "/run/job")
            launch(d, ["job"], [job])
            d.start()
            rewrite(d, "# here", 'job_socket = "%s/run/j"' % d.dir)
            r = d.postern("reload")
            assert r.returncode == 78, r
            assert b"the service manager holds it" in r.stderr, r
            assert not os.path.exists(d.dir + "/run/j")
            rewrite(d, 'job_socket = "%s/run/j"' % d.dir, "")
            assert d.postern("reload").returncode == 0
            answers = d.send(["a@x.test"], MESSAGE)
            assert answers[1]["status"] == "delivered", answers
        finally:
            d.clear()


def sockets_that_do_not_fit_are_refused():
    with Sink() as sink:
        d = Daemon(config(sink))
        try:
            os.mkdir(d.dir + "/run")
            cases = (
                ("job", "elsewhere", socket.SOCK_SEQPACKET,
                 "its address is not the configuration's"),
                ("job", "run/stream", socket.SOCK_STREAM,
                 "it is no socket for packets"),
                ("postern.socket", "run/other", socket.SOCK_SEQPACKET,
                 'named "postern.socket" was handed to us'),
                ("", "run/unnamed", socket.SOCK_SEQPACKET,
                 'named "unknown" was handed to us'),
            )
            for name, path, kind, reason in cases:
                s = listening(d.dir + "/" + path, kind)
                launch(d, [name] if name else [], [s])
                r = subprocess.run(d.prefix + [d.dir + "/posternd", "-c",
                                               d.config], pass_fds=d.pass_fds,
                                   capture_output=True, timeout=60)
                assert r.returncode == 78, r
                assert reason in r.stderr.decode(), (reason, r.stderr)
                s.close()
        finally:
            d.clear()


def lines_for_the_journal_have_levels_and_no_time():
    d = Daemon("")
    try:
        open(d.log, "ab").close()
        where = os.stat(d.log)
        d.environment = dict(os.environ, JOURNAL_STREAM="%d:%d" % (
            where.st_dev, where.st_ino))
        d.start()
        d.stop()
        for line in d.log_text().splitlines():
            assert re.match(r"<[346]>posternd?/\w+\[\d+\]: ", line), line
        with open(d.config, "a") as f:
            f.write("no_such = 1\n")
        with open(d.log, "ab") as log:
            at = log.tell()
            r = subprocess.run([d.dir + "/posternd", "-c", d.config],
                               stderr=log, env=d.environment, timeout=30)
        assert r.returncode == 78, r
        assert d.log_text()[at:].startswith("<3>"), d.log_text()[at:]
    finally:
        d.clear()


def make_install_fills_a_folder_for_a_package():
    """Units, users, every example; each at the place that its variable names."""
    with tempfile.TemporaryDirectory() as folder:
        def install(*variables):
            r = subprocess.run(["make", "-s", "install", "DESTDIR=" + folder,
                                *variables], cwd=ROOT, capture_output=True,
                               text=True, timeout=300)
            assert r.returncode == 0, r
        install()
        share = folder + "/usr/local/share/doc/postern/examples/"
        for name in ("examples", "grafana", "prometheus"):
            for each in os.listdir(os.path.join(ROOT, "conf", name)):
                assert os.path.exists(share + each), each
        for path in ("sbin/posternd", "bin/postern", "lib/postern/users",
                     "share/man/man8/posternd.8",
                     "lib/systemd/system/postern.socket"):
            assert os.path.exists(folder + "/usr/local/" + path), path
        with open(folder + "/usr/local/lib/systemd/system/"
                  "postern.service") as f:
            text = f.read()
        assert "\nExecStart=/usr/local/sbin/posternd\n" in text
        assert "\nExecReload=/usr/local/bin/postern reload\n" in text
        # what an operator wrote stays
        with open(folder + "/etc/postern/postern.conf", "w") as f:
            f.write("# mine\n")
        install("UNITDIR=/units", "EXAMPLEDIR=/examples")
        with open(folder + "/etc/postern/postern.conf") as f:
            assert f.read() == "# mine\n"
        assert os.path.exists(folder + "/units/postern.service")
        assert os.path.exists(folder + "/examples/postern.json")


TESTS = (
    it_tells_of_start_reload_and_stop,
    it_tells_what_there_is_to_do_and_that_it_lives,
    a_watchdog_of_another_process_is_not_fed,
    a_role_that_stands_still_is_found,
    sockets_that_are_handed_over_are_used,
    one_socket_may_be_handed_over_alone,
    sockets_that_do_not_fit_are_refused,
    lines_for_the_journal_have_levels_and_no_time,
    a_socket_that_was_handed_over_gets_the_group_that_is_named,
    a_reload_does_not_move_what_was_handed_over,
    make_install_fills_a_folder_for_a_package,
)


def run(suite):
    suite.check_all([(t.__name__.replace("_", " "), t) for t in TESTS])
