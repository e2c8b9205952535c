# SPDX-License-Identifier: ISC
"""What a session test has at hand: the real programs, and words to judge them.

A test is a function of one Case.  It starts servers, runs `postern deliver`
(or posternd with a configuration of its own), and says what has to hold; what
does not is an AssertionError, which run.py prints with the transcripts.
"""
import array
import glob
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from server import Server

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
HANG_S = 60      # no run may take longer, whatever the server does
MESSAGE = b"Subject: hello\r\n\r\nA line.\r\n"

DELIVERED, FAILED, DEFERRED, USAGE = 0, 69, 75, 64
SAME, ANOTHER, CANNOT = 0, 1, 69  # of a replay


class Skip(Exception):
    """This machine cannot show it."""


def table(rows):
    """Each row, (label, arguments...), makes a case of its own of the test."""
    def mark(function):
        function.rows = list(rows)
        return function
    return mark


def patient(function):
    """Mark a test that mostly waits: it takes no other test's turn."""
    function.patient = True
    return function


class Run:
    """One finished `postern` and what it said."""

    def __init__(self, argv, status, stdout, stderr, seconds):
        self.argv = argv
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds
        self.outcomes = []
        for text in stdout.splitlines():
            if text.startswith("{"):
                row = json.loads(text)
                if "recipient" in row:
                    self.outcomes.append(row)

    def __str__(self):
        said = [x[:400] for x in (self.stdout + self.stderr).splitlines()]
        if len(said) > 60:
            said[40:-10] = ["... %d lines more" % (len(said) - 50)]
        return "   $ %s\n      exit %s after %.2f s\n%s" % (
            " ".join(x[:200] for x in self.argv), self.status, self.seconds,
            "\n".join("      " + x for x in said))


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError("%s: want %r, got %r" % (what, want, got))


def holds(pattern, text, what="text"):
    if re.search(pattern, text or "") is None:
        raise AssertionError("%s: want /%s/, got %r" % (what, pattern, text))


def lacks(pattern, text, what="text"):
    if re.search(pattern, text or "") is not None:
        raise AssertionError("%s: must not hold /%s/: %r" %
                             (what, pattern, text))


class Case:
    """One test's folder, servers and runs."""

    replaying = False  # each delivery that fails is replayed
    all_replays = []   # "same" or "cannot", of all cases
    slower = 1         # so many times as slow as usual may the programs be

    def __init__(self, name, folder, certs):
        self.name = name
        self.folder = folder
        self.certs = certs
        self.servers = []
        self.daemons = []
        self.runs = []
        self.known = None  # the finding that a failure here is due to
        self.replays = {"same": 0, "cannot": 0}

    # servers

    def serve(self, *scripts, **how):
        """A server with a script for each connection it is to see."""
        server = Server(scripts, self.certs, **how)
        self.servers.append(server)
        return server

    def serve_unix(self, *scripts):
        return self.serve(*scripts, path=os.path.join(
            self.folder, "s%d" % len(self.servers)))

    # runs

    def run(self, argv, message, prefix=()):
        argv = list(prefix) + argv
        started = time.monotonic()
        p = subprocess.Popen(argv, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True, cwd=self.folder)
        try:
            out, err = p.communicate(message, HANG_S)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            self.runs.append(Run(argv, "hung", out.decode("utf-8", "replace"),
                                 err.decode("utf-8", "replace"), HANG_S))
            raise AssertionError("the run hung for %d s" % HANG_S) from None
        run = Run(argv, p.returncode, out.decode("utf-8", "replace"),
                  err.decode("utf-8", "replace"),
                  time.monotonic() - started)
        self.runs.append(run)
        return run

    def deliver(self, server, *options, to=("b@example.org",),
                sender="a@example.net", message=MESSAGE, prefix=(),
                step=5, ehlo="client.test"):
        """postern deliver; tls is none unless options say otherwise."""
        argv = [os.path.join(BUILD, "postern"), "deliver", "--json",
                "--verbose", "--from", sender]
        if server is not None:
            argv += ["--server",
                     server if isinstance(server, str) else server.name]
        if not any(x in options for x in ("--tls", "--implicit-tls")):
            argv += ["--tls", "none"]
        if step is not None:
            argv += ["--step-timeout", str(step)]
        if ehlo is not None:
            argv += ["--ehlo", ehlo]
        kept = os.path.join(self.folder, "transcript%d" % len(self.runs))
        if self.replaying:
            argv += ["--transcript", kept]
        run = self.run(argv + list(options) + list(to), message, prefix)
        for s in self.servers:
            s.stop()
        if self.replaying and os.path.exists(kept):
            self.replay(kept)
        return run

    def replay(self, kept, *options):
        """The transcript's server fails us again, or cannot for a reason."""
        run = self.deliver_raw("replay", "--fast", *options, kept)
        self.unharmed(run)
        if run.status == CANNOT:
            holds("certificate|bound to keys|to a network|in AUTH", run.stderr, "why not")
            self.replays["cannot"] += 1
            self.all_replays.append("cannot")
            return run
        if run.status != SAME:
            with open(kept, encoding="ascii") as f:
                text = f.read()
            raise AssertionError("replay: exit %s\n%s" % (run.status, text))
        self.replays["same"] += 1
        self.all_replays.append("same")
        return run

    def deliver_raw(self, *argv, message=MESSAGE, prefix=()):
        return self.run([os.path.join(BUILD, "postern")] + list(argv),
                         message, prefix)

    def daemon(self, text, hostname="client.test", store="memory"):
        d = Daemon(self, text, hostname, store)
        self.daemons.append(d)
        return d

    # judgement

    def scripts_held(self):
        """Every connection went as its script says, and no other came."""
        for s in self.servers:
            s.stop()
        faults = [f for s in self.servers for f in s.failures()]
        if faults:
            raise AssertionError("; ".join(faults))

    def outcome(self, run, status, code=None, dsn=None, step=None, reply=None,
                in_doubt=False, exit_status=None, recipient=None):
        """The one outcome (or recipient's) is this, and so is the exit."""
        rows = [x for x in run.outcomes
                if recipient is None or x["recipient"] == recipient]
        if len(rows) != 1:
            raise AssertionError("want 1 outcome%s, got %r" % (
                " of " + recipient if recipient else "", run.outcomes))
        row = rows[0]
        equal(row["status"], status, "status")
        if code is not None:
            equal(row["code"], code, "code")
        if dsn is not None:
            holds("^(%s)$" % dsn, row["dsn"], "dsn")
        holds(r"^%s\.\d{1,3}\.\d{1,3}$" % {
            "delivered": "2", "deliverable": "2", "deferred": "4",
            "failed": "5", "undeliverable": "5"}[status], row["dsn"], "dsn")
        if step is not None:
            equal(row["step"], step, "step")
        if reply is not None:
            holds(reply, row["reply"], "reply")
        equal(bool(row["in_doubt"]), in_doubt, "in_doubt")
        if exit_status is None and recipient is None:
            exit_status = {"delivered": DELIVERED, "deliverable": DELIVERED,
                           "deferred": DEFERRED, "failed": FAILED,
                           "undeliverable": FAILED}[status]
        if exit_status is not None:
            equal(run.status, exit_status, "exit status")
        return row

    @staticmethod
    def unharmed(run):
        """No process of ours was ended by a signal, nor by our own doubts."""
        lacks("(?i)signal|worker process died|worker ended|died of|misled",
              run.stderr, "standard error")
        lacks("worker process died", run.stdout, "standard output")
        if isinstance(run.status, int) and run.status < 0:
            raise AssertionError("postern died of signal %d" % -run.status)

    def within(self, run, seconds):
        seconds *= self.slower
        if run.seconds > seconds:
            raise AssertionError("%.1f s, want at most %.1f s" %
                                 (run.seconds, seconds))

    def delivered(self, run, **more):
        self.scripts_held()
        return self.outcome(run, "delivered", code=250, step="final", **more)

    # the end

    def clear(self):
        for d in self.daemons:
            d.stop()
        for s in self.servers:
            s.stop()

    def findings(self):
        """What the sanitizers of a build that has them found."""
        texts = []
        for path in sorted(glob.glob(os.path.join(self.folder, "**",
                                                  "sanitizer.*"),
                                     recursive=True)):
            with open(path, encoding="utf-8", errors="replace") as f:
                texts.append(f.read())
        return texts

    def unsound(self):
        found = self.findings()
        if found:
            raise AssertionError("%d findings of a sanitizer\n%s" % (
                len(found), "\n".join(x[:6000] for x in found[:3])))

    def report(self):
        return "\n".join([str(r) for r in self.runs[-3:]] +
                         [s.transcript() for s in self.servers[-3:]] +
                         [d.transcript() for d in self.daemons[-1:]])


class Daemon:
    """posternd on a configuration of the test's own, in the test's folder."""

    def __init__(self, case, text, hostname, store):
        self.case = case
        self.was_killed = False  # it did not stop
        self.folder = os.path.join(case.folder, "d%d" % len(case.daemons))
        os.mkdir(self.folder)
        os.mkdir(os.path.join(self.folder, "run"))
        self.config = os.path.join(self.folder, "postern.conf")
        self.job = os.path.join(self.folder, "run", "job")
        self.log = os.path.join(self.folder, "log")
        with open(self.config, "w", encoding="ascii") as f:
            f.write('queue_store = "%s"\nrun_directory = "%s/run"\n'
                    'spool_directory = "%s/spool"\nstop_timeout = 1s\n'
                    'hostname = "%s"\n%s' %
                    (store, self.folder, self.folder, hostname, text))
            if store != "memory" and os.geteuid() == 0:
                for role in ("intake", "control", "queue", "resolver", "dialer", "agent",
                             "signer", "metrics"):
                    f.write("%s_user = nobody\n" % role)
        self.start()

    def start(self):
        with open(self.log, "ab") as f:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "posternd"), "-c", self.config],
                stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                start_new_session=True, cwd=self.case.folder)
        self._await_socket()

    def _await_socket(self):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                s.connect(self.job)
                return
            except OSError:
                time.sleep(0.05)
            finally:
                s.close()
            if self.process.poll() is not None:
                break
        raise AssertionError("posternd takes no jobs: " + self.said())

    def send(self, *options, to=("b@example.org",), sender="a@example.net",
             message=MESSAGE):
        argv = [os.path.join(BUILD, "postern"), "send", "--socket", self.job,
                "--json", "--wait", "attempt", "--from", sender]
        return self.case.run(argv + list(options) + list(to), message)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.was_killed = True
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def transcript(self):
        return "   log of posternd\n" + "\n".join(
            "      " + x for x in self.said().splitlines())


class Jobs:
    """The job socket, for many messages in little time."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(60)
        self.sock.connect(path)

    def send(self, text, recipient, wait="attempt"):
        fd = os.memfd_create("message")
        os.write(fd, text)
        job = {"from": "a@example.net", "rcpts": [recipient], "wait": wait}
        self.sock.sendmsg([json.dumps(job).encode()], [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)

    def outcome(self):
        """Of the job that was sent last."""
        found = None
        while True:
            row = json.loads(self.sock.recv(65536))
            if row.get("status") == "refused":
                return row
            if "recipient" in row:
                found = row
            if row.get("done"):
                return found


class Dns:
    """A name server over UDP: name -> [(type, data)], or a response code."""

    TYPES = {"A": 1, "CNAME": 5, "MX": 15, "AAAA": 28}
    REFUSED = 5  # as the rows of a name: this code and no answer

    def __init__(self, rows):
        self.rows = {k.lower(): v for k, v in rows.items()}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.name = "127.0.0.1@%d" % self.sock.getsockname()[1]
        self.asked = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                self.sock.sendto(self._answer(query), peer)
            except OSError:
                return

    @staticmethod
    def _labels(name):
        return b"".join(bytes([len(x)]) + x.encode("ascii")
                        for x in name.rstrip(".").split(".") if x) + b"\0"

    def _rdata(self, kind, value):
        if kind == "A":
            return socket.inet_aton(value)
        if kind == "CNAME":
            return self._labels(value)
        if kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, value)
        return struct.pack(">H", value[0]) + self._labels(value[1])

    def _answer(self, query):
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        name = ".".join(parts).lower()
        self.asked.append((name, kind))
        rows = self.rows.get(name)
        rcode = rows if isinstance(rows, int) else 3 if rows is None else 0
        found = [] if rcode else [(t, v) for t, v in rows
                                  if self.TYPES[t] in (kind, 5)]
        out = query[:2] + struct.pack(">HHHHH", 0x8580 | rcode, 1,
                                      len(found), 0, 0) + question
        for t, v in found:
            rdata = self._rdata(t, v)
            out += b"\xc0\x0c" + struct.pack(">HHIH", self.TYPES[t], 1, 60,
                                             len(rdata)) + rdata
        return out



def host_name_namespace(name):
    """Words before a command that give it this host name, or Skip.

    "plain" stands for any name without a dot.
    """
    if name == "plain" and "." not in socket.gethostname():
        return []
    prefix = ["unshare", "--uts"] if os.geteuid() == 0 else [
        "unshare", "-U", "-r", "--uts"]
    prefix += ["sh", "-c", 'printf %s "$0" >/proc/sys/kernel/hostname && '
               'exec "$@"', name]
    try:
        p = subprocess.run(prefix + ["true"], capture_output=True, check=False,
                           timeout=20)
    except OSError as e:
        raise Skip("unshare: %s" % e) from e
    if p.returncode != 0:
        raise Skip("no namespace for a host name of one's own here")
    return prefix
