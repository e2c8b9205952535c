# SPDX-License-Identifier: ISC
"""The README's first hour in a fresh Debian 12 under a live systemd: by the package,
and by make install.

usage: run.py PACKAGE

It wants root, debootstrap, systemd-nspawn, and the mirror that apt is set to.  The
system that debootstrap makes is kept as build/system/base.  It is booted in
namespaces and with a network of its own: of the machine itself nothing is touched.
All that was typed and what it printed is in build/system.transcript.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../interop"))
from daemon import ROOT, Suite, wait_for  # noqa
from package import mirror  # noqa

PLACE = os.path.join(ROOT, "build/system")
BASE = os.path.join(PLACE, "base")
TRANSCRIPT = os.path.join(ROOT, "build/system.transcript")
INCLUDE = ("systemd,systemd-sysv,dbus,libpam-systemd,ca-certificates,"
           "python3-minimal,python3,iproute2,curl,procps,passwd")
CONFIG = "/etc/postern/postern.conf"
LINES = 12  # of an output, in the transcript
BURST = 25000
SINK = r'''
import os, socket, sys, threading
open("/root/sink.pid", "w").write(str(os.getpid()))
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 2500)); s.listen(64)
def serve(c):
    f = c.makefile("rb"); data = False
    say = lambda text: c.sendall(text + b"\r\n")
    say(b"220 sink.test ESMTP")
    for line in f:
        word = line[:4].upper()
        if data:
            if line == b".\r\n":
                data = False; say(b"250 2.0.0 taken")
        elif word == b"DATA":
            data = True; say(b"354 go on")
        elif word == b"QUIT":
            say(b"221 bye"); return
        elif word == b"RCPT" and b"refused@" in line:
            say(b"550 5.1.1 no such user")
        elif word == b"RCPT" and b"later@" in line:
            say(b"450 4.2.0 later")
        else:
            say(b"250 2.0.0 ok")
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
'''
RECIPE = '''
transport smtp {
	server = "127.0.0.1:2500"
	tls_security_level = none
}
route "*" { transport = smtp }
'''
# A client of the job socket that waits to be answered, as programs do.
CLIENT = ('import socket; s = socket.socket(socket.AF_UNIX, '
          'socket.SOCK_SEQPACKET); s.settimeout(60); '
          's.connect("/run/postern/job"); s.send(b"{}"); '
          'print(s.recv(65536).decode())')
GREET = ('import socket, sys; s = socket.create_connection(("127.0.0.1", '
         'int(sys.argv[1])), 10); print(s.recv(999).decode().strip())')


def make_base():
    """None, or why there is no system to boot."""
    if os.geteuid() != 0:
        return "it wants root"
    for name in ("debootstrap", "systemd-nspawn"):
        if shutil.which(name) is None:
            return "there is no %s: sh conf/deps.sh system" % name
    if os.path.isdir(BASE):
        return None
    source = mirror()
    if source is None:
        return "apt knows no mirror of bookworm: see /etc/apt/sources.list"
    os.makedirs(PLACE, exist_ok=True)
    shutil.rmtree(BASE + ".new", ignore_errors=True)
    print("making %s: minutes" % BASE, flush=True)
    r = subprocess.run(["debootstrap", "--variant=minbase", "--include=" +
                        INCLUDE, "bookworm", BASE + ".new", source],
                       capture_output=True, text=True)
    if r.returncode != 0:
        return "debootstrap failed: " + r.stdout[-300:] + r.stderr[-300:]
    os.rename(BASE + ".new", BASE)
    return None


def fetch_dependencies(root):
    """What the package needs, where apt finds it without a network.  None, or
    why not."""
    shutil.copy("/etc/resolv.conf", root + "/etc/resolv.conf")
    with open(root + "/etc/apt/apt.conf.d/90keep", "w") as f:
        f.write('APT::Keep-Downloaded-Packages "true";\n')
    for argv in (["apt-get", "update"],
                 ["apt-get", "install", "-y", "--download-only",
                  "--no-install-recommends", "/root/postern.deb"]):
        r = subprocess.run(["chroot", root, *argv], capture_output=True,
                           text=True, timeout=600, env=environment())
        if r.returncode != 0:
            return " ".join(argv) + ": " + r.stdout[-300:] + r.stderr[-300:]
    return None


def environment():
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
            "/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
            "HOME": "/root", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


class Machine:
    """A Debian of its own that is booted."""

    def __init__(self, name, package, transcript):
        self.root = os.path.join(PLACE, name)
        self.transcript = transcript
        self.children = []
        subprocess.run(["rm", "-rf", self.root], check=True)
        subprocess.run(["cp", "-a", "--reflink=auto", BASE, self.root],
                       check=True)
        shutil.copy(package, self.root + "/root/postern.deb")
        with open(self.root + "/root/sink.py", "w") as f:
            f.write(SINK)
        for unwanted in ("/etc/machine-id", "/etc/hostname"):
            if os.path.exists(self.root + unwanted):
                os.unlink(self.root + unwanted)
        with open(self.root + "/etc/hostname", "w") as f:
            f.write("mail\n")
        with open(self.root + "/etc/hosts", "w") as f:
            f.write("127.0.0.1 localhost\n127.0.1.1 mail.postern.test mail\n")
        # there is no network to wait for
        os.symlink("/dev/null", self.root + "/etc/systemd/system/"
                   "systemd-networkd-wait-online.service")
        self.process = self.leader = None

    def boot(self):
        self.console = open(os.path.join(PLACE, "console"), "wb")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
             "--directory", self.root, "--boot", "--private-network",
             "--machine=mail", "--hostname=mail", "--system-call-filter="
             "seccomp landlock_create_ruleset landlock_add_rule "
             "landlock_restrict_self"],
            stdin=subprocess.DEVNULL, stdout=self.console,
            stderr=self.console)
        wait_for(self.find_leader, 60, "the machine's first process")
        wait_for(lambda: self.run("systemctl is-system-running").stdout.strip()
                 in ("running", "degraded"), 120, "the end of the boot")

    def find_leader(self):
        if self.process.poll() is not None:
            with open(os.path.join(PLACE, "console"), errors="replace") as f:
                raise RuntimeError("systemd-nspawn ended: " + f.read()[-500:])
        path = "/proc/%d/task/%d/children" % ((self.process.pid,) * 2)
        for pid in open(path).read().split():
            try:
                with open("/proc/%s/comm" % pid) as f:
                    if f.read().strip() == "systemd":
                        self.leader = int(pid)
            except OSError:
                pass
        return self.leader

    def inside(self, command):
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p",
                "-r", "-w", "sh", "-c", command]

    def run(self, command, timeout=600, message=""):
        return subprocess.run(self.inside(command), input=message, text=True,
                              errors="replace", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout,
                              env=environment())

    def type(self, command, status=0, message="", timeout=600):
        """Typed, and written down; what it printed."""
        r = self.run(command, timeout, message)
        lines = r.stdout.rstrip("\n").split("\n")
        if len(lines) > LINES:
            lines[LINES // 2:-LINES // 2] = ["[%d lines]" % (
                len(lines) - LINES)]
        self.transcript.write("# %s\n" % command + "".join(
            line[:300] + "\n" for line in lines if line))
        if r.returncode != 0:
            self.transcript.write("[exit status %d]\n" % r.returncode)
        self.transcript.flush()
        if status is not None:
            assert r.returncode == status, (command, r.returncode,
                                            r.stdout[-600:])
        return r.stdout

    def start_sink(self):
        self.children.append(subprocess.Popen(
            self.inside("exec python3 /root/sink.py"), env=environment(),
            stdin=subprocess.DEVNULL))
        wait_for(lambda: "220" in self.run(
            "python3 -c '%s' 2500" % GREET).stdout, 30, "the sink")

    def greeting(self, port):
        return self.type("python3 -c '%s' %d" % (GREET, port), None)

    def wait(self, command, word, seconds=60):
        return wait_for(lambda: (lambda out: out if word in out else None)(
            self.run(command).stdout), seconds, "%s of %s" % (word, command))

    def config(self, text):
        with open(self.root + CONFIG, "w") as f:
            f.write(self.base + text)
        self.transcript.write("# cat >>%s\n%s" % (CONFIG, text.lstrip()))

    def halt(self):
        if self.process is not None and self.process.poll() is None:
            if self.leader is not None:
                # it was not begun by that systemd, which would wait for it
                self.run("kill $(cat /root/sink.pid); systemctl poweroff")
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for child in self.children:
            child.kill()
            child.wait()
        self.children = []


LISTENER = 'listener mta {\n\tprotocol = smtp\n\tlisten = "127.0.0.1:%d"\n}\n'


class Steps:
    """Each goes on from where the one before has left the machine."""

    def __init__(self, machine, package):
        self.m = machine
        self.by_package = package is not None

    def it_is_installed_and_runs_on_a_safe_default(self):
        m = self.m
        if self.by_package:
            m.type("cd /root && apt install -y --no-install-recommends "
                   "./postern.deb")
        else:
            m.type("apt-get install -y --no-install-recommends "
                   "$(dpkg-deb -f /root/postern.deb Depends | "
                   "sed 's/([^)]*)//g; s/,//g')")
            m.transcript.write("# make install DESTDIR=%s  (from outside)\n" %
                               "/")
            r = subprocess.run(["make", "-s", "install", "DESTDIR=" + m.root],
                               cwd=ROOT, capture_output=True, text=True)
            m.transcript.write(r.stdout)
            assert r.returncode == 0, r
            m.type("/usr/local/lib/postern/users")
            m.type("systemctl daemon-reload")
            m.type("systemctl enable --now postern")
        assert m.type("systemctl is-active postern.service postern.socket"
                      ).split() == ["active", "active"]
        assert m.type("systemctl is-enabled postern.service postern.socket"
                      ).split() == ["enabled", "enabled"]
        assert "posternd" not in m.type("ss -ltnp")
        with open(m.root + CONFIG) as f:
            m.base = f.read()
        m.type("posternd -n")
        out = m.type("postern status")
        assert out.count("generation") >= 0 and "queue" in out, out
        m.type("ls -l /run/postern")

    def its_examples_are_there(self):
        where = "/usr/share/doc/postern" if self.by_package \
            else "/usr/local/share/doc/postern"
        out = self.m.type("ls %s/examples" % where)
        for folder in ("examples", "grafana", "prometheus"):
            for name in os.listdir(os.path.join(ROOT, "conf", folder)):
                assert name in out, name

    def a_recipe_and_a_reload_deliver(self):
        m = self.m
        m.start_sink()
        m.config(RECIPE)
        m.type("posternd -n")
        m.type("systemctl reload postern")
        out = m.type("postern send --from app@example.org --wait final "
                     "ana@example.org", message="Subject: hello\n\nhello\n")
        assert "delivered" in out, out
        m.type("postern doctor", None)
        m.type("postern queue list")

    def a_reload_adds_moves_and_removes(self):
        m = self.m
        pid = m.run("systemctl show -p MainPID postern").stdout
        m.config(RECIPE + LISTENER % 2525 +
                 'metrics_listen = "127.0.0.1:9100"\n')
        m.type("postern reload")
        assert m.greeting(2525).startswith("220")
        m.wait("curl -s http://127.0.0.1:9100/metrics", "postern_")
        m.type("curl -s http://127.0.0.1:9100/metrics | grep reloads_total")
        m.config(RECIPE + LISTENER % 2626 +
                 'metrics_socket = "/run/postern/numbers"\n'
                 'control_socket = "/run/postern/operators"\n')
        m.type("systemctl reload postern")
        assert m.greeting(2626).startswith("220")
        assert "refused" in m.greeting(2525)
        out = m.type("ls /run/postern")
        assert "numbers" in out and "operators" in out, out
        m.config(RECIPE)
        m.type("postern reload")
        assert "posternd" not in m.type("ss -ltnp")
        assert "numbers" not in m.type("ls /run/postern")
        assert m.run("systemctl show -p MainPID postern").stdout == pid

    def a_reload_that_is_refused_fails_with_the_reason(self):
        m = self.m
        m.config(RECIPE + LISTENER % 2500)  # the sink has it
        out = m.type("postern reload", 78)
        assert "the port is in use" in out, out
        out = m.type("systemctl reload postern", None)
        assert "ailed" in out, out
        out = m.type("journalctl -u postern -p warning -n 6 --no-pager "
                     "-o cat")
        assert "the port is in use" in out, out
        m.config(RECIPE + "nonsense = 1\n")
        assert "nonsense" in m.type("postern reload", 78)
        m.type("systemctl reload postern", 1)
        assert "active" == m.type("systemctl is-active postern").strip()
        out = m.type("postern send --from app@example.org --wait final "
                     "ana@example.org", message="Subject: hello\n\nhello\n")
        assert "delivered" in out, out

    def a_broken_configuration_is_not_started_again_and_again(self):
        m = self.m
        m.type("systemctl restart postern.service", None)
        m.wait("systemctl is-active postern", "failed")
        before = m.run("systemctl show -p NRestarts postern").stdout
        m.type("systemctl show -p Result,ExecMainStatus,NRestarts postern")
        time.sleep(5)  # longer than RestartSec: nothing comes
        assert m.run("systemctl show -p NRestarts postern").stdout == before
        assert "NRestarts=0" in before, before
        m.config(RECIPE)
        m.type("systemctl restart postern.socket postern.service")
        assert "active" == m.type("systemctl is-active postern").strip()

    def the_job_socket_stays_and_starts_the_service(self):
        m = self.m
        m.type("systemctl stop postern.service")
        assert m.type("systemctl is-active postern.service postern.socket",
                      None).split() == ["inactive", "active"]
        m.type("ls -l /run/postern")
        out = m.type("python3 -c '%s'" % CLIENT)
        assert "refused" in out, out
        # who waited is answered before every role is ready
        m.wait("systemctl show -p ActiveState postern", "=active")
        assert "active" == m.type("systemctl is-active postern").strip()
        m.type("systemctl stop postern.service")
        out = m.type("postern send --from app@example.org --wait final "
                     "ana@example.org", message="Subject: hello\n\nhello\n")
        assert "delivered" in out, out
        m.config(RECIPE + 'job_socket_group = "mail"\n')
        m.type("systemctl reload postern")
        # so many starts in ten seconds are too many for systemd (DefaultStart-
        # LimitBurst=), which has nothing to do with us
        m.type("systemctl reset-failed postern")
        assert " mail " in m.type("ls -l /run/postern/job")
        m.type("systemctl restart postern")
        assert " mail " in m.type("ls -l /run/postern/job")

    def the_journal_has_levels_facility_and_one_time(self):
        m = self.m
        out = m.type("journalctl -u postern -t postern -n 4 --no-pager")
        for line in out.splitlines():
            assert not re.search(r"\d{4}-\d\d-\d\dT", line), line
            assert "<6>" not in line, line
        out = m.type("journalctl -u postern -n 1 -o json --no-pager "
                     "-t postern")
        assert '"SYSLOG_FACILITY":"2"' in out, out
        m.type("postern send --from app@example.org --wait attempt "
               "later@example.org", None, message="Subject: x\n\nx\n")
        out = m.type("journalctl -u postern -p warning --no-pager -o cat | "
                     "tail -n 5")
        assert out and "status=sent" not in out, out

    def a_burst_of_lines_is_whole(self):
        m = self.m
        before = int(m.run("journalctl -u postern -o cat | "
                           "grep -c 'status=sent'").stdout)
        count = BURST // 100  # a line for each recipient, and more
        m.type("for i in $(seq %d); do echo 'Subject: x' | postern send "
               "--from app@example.org --wait queued $(seq -f "
               "r%%g@example.org 100) >/dev/null & "
               "[ $((i %% 20)) -ne 0 ] || wait; done; wait" % count,
               timeout=900)
        want = before + 100 * count
        wait_for(lambda: int(m.run("journalctl -u postern -o cat | grep -c "
                                   "'status=sent'").stdout) >= want, 600,
                 "every outcome in the journal")
        m.type("journalctl -u postern -o cat | grep -c 'status=sent'")
        out = m.type("journalctl -u postern -o cat | wc -l")
        assert int(out) > want > 20000, out
        assert "uppressed" not in m.run(
            "journalctl --no-pager -o cat -t systemd-journald").stdout
        m.type("journalctl -t systemd-journald --no-pager | "
               "grep -ci suppressed", None)

    def it_is_removed_and_purged(self):
        m = self.m
        if not self.by_package:
            m.type("systemctl disable --now postern.socket postern.service")
            assert m.type("systemctl is-active postern.service "
                          "postern.socket", None).split() == ["inactive"] * 2
            assert "job" not in m.type("ls /run/postern")
            return
        m.run("postern queue delete --yes --all 2>&1")
        m.type("apt remove -y postern")
        assert "active" not in m.type(
            "systemctl is-active postern.service postern.socket",
            None).split()
        assert "posternd" not in m.run("ps -A -o comm").stdout
        assert "job" not in m.type("ls /run/postern", None)
        m.type("apt purge -y postern")
        assert not os.path.exists(m.root + "/etc/postern")
        assert not os.path.lexists(
            m.root + "/etc/systemd/system/sockets.target.wants/postern.socket")
        m.type("ls -d /etc/postern /run/postern /var/spool/postern", None)


STEPS = [name for name in vars(Steps) if not name.startswith("_")]


def hour(suite, name, package, by_package, transcript):
    transcript.write("\n== %s ==\n" % name)
    machine = Machine(name, package, transcript)
    try:
        why = fetch_dependencies(machine.root)
        assert why is None, why
        machine.boot()
        machine.type("cat /etc/debian_version; systemctl --version | head -1; "
                     "systemctl is-system-running", None)
        steps = Steps(machine, package if by_package else None)
        for step in STEPS:
            words = step.replace("_", " ")
            transcript.write("\n-- %s --\n" % words)
            failed = suite.failed
            suite.check("system: %s: %s" % (name, words),
                        getattr(steps, step), once=True)
            if suite.failed > failed and step == STEPS[0]:
                break
    finally:
        machine.halt()
        transcript.flush()
        subprocess.run(["rm", "-rf", machine.root], check=False)


def main(package):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and halt
    suite = Suite()
    why = make_base()
    if why is not None:
        suite.skip("system", why)
        suite.end()
    with open(TRANSCRIPT, "w") as transcript:
        for name, by_package in (("package", True), ("make-install", False)):
            try:
                hour(suite, name, package, by_package, transcript)
            except Exception as e:  # it could not be booted
                reason = e

                def fail():
                    raise reason
                suite.check("system: %s" % name, fail, once=True)
        transcript.write("\n%d passed, %d failed\n" % (suite.passed,
                                                       suite.failed))
    print("transcript: build/system.transcript")
    suite.end()


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
