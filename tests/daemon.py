# SPDX-License-Identifier: ISC
"""A posternd of a test's own: fresh folder, own sockets, ended by process id.

Used by the interop, confine, chaos and bench tests.
"""
import array
import atexit
import errno
import concurrent.futures
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Numbers that no Debian account has; nothing needs to stand in /etc/passwd.
ROLE_UIDS = {"intake": 61201, "queue": 61202, "resolver": 61203,
             "dialer": 61204, "agent": 61205, "metrics": 61206, "signer": 61207,
             "control": 61208}
# Whom the tests become for a run without root.
PLAIN_UID = 61300


def wait_for(condition, seconds=20, what="a condition"):
    """Poll until condition() is true; its value, or an error at the end."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %d s for %s" % (seconds, what))
        time.sleep(0.02)


_copies = {}
_copies_lock = threading.Lock()


def programs(build):
    """A folder with copies of the programs: a checkout may lie where other
    users cannot reach it.

    Copied once for each place of temporary folders, and given out when nobody
    has the copies open for writing any more: a child that another thread of
    ours forked meanwhile keeps them so until its exec, and a program that is
    open for writing cannot be executed.
    """
    key = (build, tempfile.gettempdir())
    with _copies_lock:
        if key not in _copies:
            folder = tempfile.mkdtemp(prefix="postern-programs-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.chmod(folder, 0o755)
            for name in ("posternd", "postern"):
                shutil.copy2(os.path.join(ROOT, build, name), folder)
                wait_for(lambda: runs(os.path.join(folder, name)),
                         what="a copy of %s to be free" % name)
            _copies[key] = folder
        return _copies[key]


def runs(program):
    try:
        subprocess.run([program, "-?"], capture_output=True, check=False)
    except OSError as e:
        if e.errno != errno.ETXTBSY:
            raise
        return False
    return True


def as_plain_user(argv):
    """The command, run without root."""
    if os.geteuid() != 0:
        return argv
    return ["setpriv", "--reuid=%d" % PLAIN_UID, "--regid=%d" % PLAIN_UID,
            "--clear-groups"] + argv


class Daemon:
    """posternd with a configuration; body holds transports and routes."""

    def __init__(self, body="", build="build", plain=False, options=()):
        self.plain = plain
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.dir, 0o755)
        for name in ("posternd", "postern"):
            os.link(os.path.join(programs(build), name),
                    os.path.join(self.dir, name))
        self.config = os.path.join(self.dir, "postern.conf")
        self.log = os.path.join(self.dir, "log")
        self.process = None
        self.prefix = []  # what is to execute posternd
        self.environment = None
        self.pass_fds = ()
        self.options = list(options)
        self.roles = len(ROLE_UIDS)
        self.write_config(body)
        if plain and os.geteuid() == 0:
            os.chown(self.dir, PLAIN_UID, PLAIN_UID)

    def write_config(self, body):
        lines = ['hostname = "client.postern.test"',
                 'run_directory = "%s/run"' % self.dir,
                 'spool_directory = "%s/spool"' % self.dir]
        for role, uid in ROLE_UIDS.items():
            lines.append('%s_user = "%d"' % (role, uid))
        with open(self.config, "w") as f:
            f.write("\n".join(lines) + "\n" + body)

    def start(self, seconds=20):
        argv = self.prefix + [self.dir + "/posternd", "-c", self.config,
                              *self.options]
        if self.plain:
            argv = as_plain_user(argv)
        with open(self.log, "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(argv, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL,
                                            env=self.environment,
                                            pass_fds=self.pass_fds)
        wait_for(lambda: self.process.poll() is not None or
                 self.log_text()[start:].count(" ready: ") == self.roles,
                 seconds, "posternd to be ready")
        if self.process.poll() is not None:
            raise AssertionError("posternd ended:\n" + self.log_text())
        return self

    def stop(self, kill=False):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(
                signal.SIGKILL if kill else signal.SIGTERM)
            self.process.wait(60)
        return self.process.returncode if self.process else None

    def clear(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.log_text()[-6000:])
        self.clear()

    def log_text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def postern(self, *args, message=b"", timeout=60):
        """Run a subcommand; the finished process."""
        argv = [self.dir + "/postern", args[0]]
        if args[0] not in ("deliver", "verify"):
            argv += ["-c", self.config]
        argv += list(args[1:])
        if self.plain:
            argv = as_plain_user(argv)
        return subprocess.run(argv, input=message, capture_output=True,
                              timeout=timeout)

    def send(self, rcpts, message, sender="sender@client.postern.test",
             wait="final", extra=()):
        """Hand a message in; the answers as objects."""
        r = self.postern("send", "--json", "--from", sender, "--wait", wait,
                         *extra, *rcpts, message=message)
        return [json.loads(line) for line in r.stdout.splitlines()]

    def status(self):
        r = self.postern("status", "--json")
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        return [row for row in rows if "role" in row]

    def queue(self):
        """A row for each recipient, and the sums."""
        r = self.postern("queue", "--json", "list")
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        return [row for row in rows if "paused" not in row]

    def queued(self):
        """The rows of recipients alone."""
        return [row for row in self.queue() if "counts" not in row]

    def pids(self, role):
        return [p["pid"] for p in self.status() if p["role"] == role]


def layers(process):
    """The words of a status line as a dictionary."""
    return dict(w.split("=", 1) for w in process["layers"].split())


class Job:
    """A client of the job socket, for what `postern send` would not do."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Waits where the backlog is full; a socket that has Python's timeout
        # does not.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                             struct.pack("ll", 30, 0))
        self.sock.connect(path)
        self.sock.settimeout(30)

    def send(self, obj, fd=None):
        text = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
        ancillary = []
        if fd is not None:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                          array.array("i", [fd]))]
        self.sock.sendmsg([text], ancillary)

    def receive(self):
        text = self.sock.recv(65536)
        return json.loads(text) if text else None

    def close(self):
        self.sock.close()


def memfd(octets):
    fd = os.memfd_create("message")
    os.write(fd, octets)
    return fd


# A machine that is busy with other things can fail a test that depends on time:
# so many tests of a suite are run a second time, and called unsteady.
UNSTEADY_MAX = 2


class Suite:
    """Counts; prints one line a test, and the closing line."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.unsteady = 0
        self.lock = threading.Lock()

    def check(self, name, test, once=False):
        """once: what it looks for, lost mail say, may never happen."""
        why = self.attempt(test)
        if why is not None and not once and self.may_repeat():
            print("UNSTEADY %s: %s" % (name, why))
            why = self.attempt(test)
        with self.lock:
            if why is None:
                self.passed += 1
                print("ok %s" % name)
            else:
                self.failed += 1
                print("FAILED %s: %s" % (name, why))
            sys.stdout.flush()

    @staticmethod
    def attempt(test):
        try:
            test()
        except Exception as e:  # the next test runs all the same
            return "%s: %s" % (type(e).__name__, e)
        return None

    def may_repeat(self):
        with self.lock:
            self.unsteady += 1
            return self.unsteady <= UNSTEADY_MAX

    def check_all(self, tests, threads=4):
        """Pairs of name and test, a few at a time: most of them wait."""
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for name, test in tests:
                pool.submit(self.check, name, test)

    def skip(self, name, why):
        self.skipped += 1
        print("skipped %s: %s" % (name, why))

    def end(self):
        line = "%d passed, %d failed" % (self.passed, self.failed)
        if self.skipped:
            line += ", %d skipped" % self.skipped
        if self.unsteady:
            line += ", %d unsteady" % min(self.unsteady, UNSTEADY_MAX)
        print(line)
        sys.exit(1 if self.failed else 0)
