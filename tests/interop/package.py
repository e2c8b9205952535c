# SPDX-License-Identifier: ISC
"""The package in a fresh Debian 12: installed, started as its unit does, upgraded
while it runs, removed, purged, with mail in the queue and without.

usage: package.py PACKAGE PACKAGE-OF-A-HIGHER-VERSION

It wants root, debootstrap, and the mirror that apt is set to.  The root that
debootstrap makes is kept as build/debian-12.tar (tests/system/debian13.py does the
same in a Debian 13).  Everything runs in mount and
process namespaces of its own, which end with it.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, ROLE_UIDS, Suite, wait_for  # noqa
from sink import Sink  # noqa

RELEASES = {"bookworm": 12, "trixie": 13}
INSIDE = "POSTERN_PACKAGE_INSIDE"
SPOOL = "/var/spool/postern"
CONFIG = "/etc/postern/postern.conf"
TRANSPORT = ('\ntransport sink {\n\tserver = "127.0.0.1:%d"\n'
             '\ttls_security_level = none\n}\n')


def mirror():
    """Where this machine's own packages come from."""
    r = subprocess.run(["apt-get", "indextargets", "--format",
                        "$(CODENAME) $(REPO_URI)"], capture_output=True,
                       text=True)
    for line in r.stdout.splitlines():
        codename, _, uri = line.partition(" ")
        if codename in RELEASES and uri.startswith("http"):
            return uri.strip()
    return None


def base_of(release):
    return os.path.join(ROOT, "build/debian-%d.tar" % RELEASES[release])


def make_base(release="bookworm"):
    """None, or why there is none."""
    base = base_of(release)
    if os.geteuid() != 0:
        return "it wants root"
    if os.path.exists(base):
        return None
    if shutil.which("debootstrap") is None:
        return "there is no debootstrap: sh conf/deps.sh root"
    source = mirror()
    if source is None:
        return "apt knows no mirror of Debian: see /etc/apt/sources.list"
    folder = tempfile.mkdtemp(prefix="postern-base-")
    try:
        r = subprocess.run(["debootstrap", "--variant=minbase", release,
                            folder, source], capture_output=True, text=True)
        if r.returncode != 0:
            return "debootstrap failed: " + r.stdout[-300:] + r.stderr[-300:]
        save(folder, base)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


def save(folder, base):
    os.makedirs(os.path.dirname(base), exist_ok=True)
    subprocess.run(["tar", "-C", folder, "--one-file-system", "-cf",
                    base + ".new", "."], check=True)
    os.rename(base + ".new", base)


class Machine:
    """A root of its own, and what runs in it."""

    def __init__(self, packages, base=base_of("bookworm")):
        self.dir = tempfile.mkdtemp(prefix="postern-machine-")
        # a place to mount on, as the root of a machine is: pivot_root(2)
        subprocess.run(["mount", "--bind", self.dir, self.dir], check=True)
        subprocess.run(["tar", "-C", self.dir, "-xf", base], check=True)
        # an archive says of its top what mkdtemp() made it
        os.chmod(self.dir, 0o755)
        subprocess.run(["mount", "-t", "proc", "proc", self.dir + "/proc"],
                       check=True)
        for name in ("resolv.conf", "hosts"):
            shutil.copy("/etc/" + name, self.dir + "/etc/" + name)
        for i, package in enumerate(packages):
            shutil.copy(package, self.dir + "/tmp/%d.deb" % i)
        self.process = None
        self.log = self.dir + "/tmp/log"

    def run(self, *argv, message=b"", user=None, timeout=900):
        if user is not None:
            argv = ("setpriv", "--reuid=%d" % user, "--regid=%d" % user,
                    "--clear-groups") + argv
        return subprocess.run(
            ["chroot", self.dir, *argv], input=message, timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                 "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"})

    def good(self, *argv, **kw):
        r = self.run(*argv, **kw)
        text = r.stdout.decode(errors="replace")
        assert r.returncode == 0, "%r: status %d: %s" % (argv, r.returncode, text)
        return text

    def end(self):
        for pid in processes():
            os.kill(pid, 9)
        wait_for(lambda: processes() == [], 60, "the end of posternd")
        subprocess.run(["umount", "-R", self.dir], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, path):
        return self.dir + path

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def users(self):
        with open(self.path("/etc/passwd")) as f:
            return re.findall(r"^(postern-\w+):", f.read(), re.M)

    def install(self, number):
        return self.good("apt-get", "install", "-y", "--allow-downgrades",
                         "--no-install-recommends", "/tmp/%d.deb" % number)

    def add_transport(self, port):
        with open(self.path(CONFIG), "a") as f:
            f.write(TRANSPORT % port)

    def start(self):
        """As ExecStart= and its RuntimeDirectory= have it."""
        os.makedirs(self.path("/run/postern"), 0o755, exist_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["chroot", self.dir, "/usr/sbin/posternd"], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL)
        self.wait_ready(1)

    def wait_ready(self, generations):
        wait_for(lambda: self.log_text().count(" ready: ") >=
                 generations * len(ROLE_UIDS), 120, "posternd to be ready")

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def master(self):
        with open(self.path("/run/postern/posternd.pid")) as f:
            return int(f.read())

    def queued(self):
        return len(re.findall(r'"recipient":', self.good(
            "postern", "queue", "--json", "list")))

    def send(self, rcpt, wait, **kw):
        return self.run("postern", "send", "--via", "sink", "--wait", wait,
                        "--from", "me@client.test", rcpt,
                        message=b"Subject: x\n\nx\n", **kw)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def processes():
    """Of this process namespace, as far as they are posternd."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                words = f.read().split()
            if words[1] == "(posternd)" and words[2] != "Z":
                found.append(int(pid))
        except OSError:
            pass
    return found


def listening():
    """Inodes of the TCP sockets that listen."""
    found = set()
    for name in ("tcp", "tcp6"):
        with open("/proc/net/" + name) as f:
            for line in list(f)[1:]:
                words = line.split()
                if words[3] == "0A":
                    found.add("socket:[%s]" % words[9])
    return found


class Steps:
    def __init__(self, machine):
        self.m = machine
        self.port = free_port()

    def it_installs_with_what_it_needs_and_makes_its_users(self):
        text = self.m.install(0)
        assert "no service manager runs here" in text, text
        assert sorted(self.m.users()) == sorted(
            "postern-" + role for role in ROLE_UIDS), self.m.users()
        st = os.stat(self.m.path(SPOOL))
        assert st.st_mode & 0o777 == 0o700 and st.st_uid != 0, oct(st.st_mode)
        assert self.m.exists("/etc/systemd/system/multi-user.target.wants/"
                             "postern.service")
        self.m.good("posternd", "-n")

    def it_starts_on_its_safe_default(self):
        self.m.start()
        ports = listening()
        pids = processes()
        assert len(pids) == 1 + len(ROLE_UIDS), pids
        for pid in pids:
            for fd in os.listdir("/proc/%d/fd" % pid):
                to = os.readlink("/proc/%d/fd/%s" % (pid, fd))
                assert to not in ports, "%d listens by TCP" % pid
        r = self.m.send("a@b.test", "queued", user=4242)
        assert r.returncode == 75 and b"may not" in r.stdout, r.stdout

    def the_doctor_finds_no_fault(self):
        r = self.m.run("postern", "doctor", "--quiet")
        faults = [line for line in r.stdout.decode().splitlines()
                  if line.startswith("fault") and "resolver" not in line]
        assert not faults, faults

    def it_delivers(self):
        with Sink() as sink:
            self.m.add_transport(sink.port)
            self.m.good("postern", "reload")
            wait_for(lambda: "reload" in self.m.log_text(), 60, "the reload")
            wait_for(lambda: self.m.send("a@b.test", "final").returncode == 0,
                     60, "the new transport")
            assert sink.got("a@b.test")
            with open(self.m.path(CONFIG)) as f:
                text = f.read()
            with open(self.m.path(CONFIG), "w") as f:
                f.write(text.replace(":%d" % sink.port, ":%d" % self.port))
        self.m.good("postern", "reload")
        wait_for(lambda: b"deferred" in self.m.send(
            "waits@b.test", "attempt").stdout, 60, "mail that waits")

    def an_upgrade_hands_over_and_loses_no_mail(self):
        before, old = self.m.queued(), self.m.master()
        assert before >= 1
        text = self.m.install(1)
        assert "the new version has taken over" in text, text
        assert self.m.master() != old
        self.m.wait_ready(2)
        wait_for(lambda: not os.path.exists("/proc/%d/exe" % old) or
                 old not in processes(), 120, "the old generation to end")
        assert self.m.queued() == before
        version = self.m.good("dpkg-query", "-W", "-f", "${Version}", "postern")
        assert version in self.m.good("postern", "--version"), version
        link = os.readlink("/proc/%d/exe" % self.m.master())
        assert not link.endswith("(deleted)"), link

    def a_removal_stops_it_and_leaves_mail_and_configuration(self):
        text = self.m.good("apt-get", "remove", "-y", "postern")
        assert "mail is left in " + SPOOL in text, text
        wait_for(lambda: processes() == [], 60, "the end of posternd")
        assert not self.m.exists("/run/postern/job")
        assert not self.m.exists("/usr/sbin/posternd")
        assert self.m.exists(CONFIG)
        assert os.listdir(self.m.path(SPOOL))

    def a_purge_keeps_mail_and_says_where(self):
        text = self.m.good("apt-get", "purge", "-y", "postern")
        assert SPOOL + " holds mail, and is kept" in text, text
        assert os.listdir(self.m.path(SPOOL))
        assert "postern-queue" in self.m.users()
        assert not self.m.exists(CONFIG)
        assert not self.m.exists("/run/postern")
        assert not self.m.exists("/var/lib/postern")

    def installed_again_it_delivers_that_mail(self):
        with Sink() as sink:
            self.m.install(0)
            self.m.add_transport(sink.port)
            self.m.start()
            # its next attempt may have been due, so that none is left to retry
            self.m.run("postern", "queue", "--yes", "retry", "--recipient",
                       "waits@b.test")
            wait_for(lambda: self.m.queued() == 0, 120, "an empty queue")
            assert sink.got("waits@b.test")

    def a_purge_without_mail_takes_all(self):
        text = self.m.good("apt-get", "purge", "-y", "postern")
        assert "holds mail" not in text, text
        wait_for(lambda: processes() == [], 60, "the end of posternd")
        for path in (SPOOL, "/etc/postern", "/run/postern", "/var/lib/postern",
                     "/usr/lib/postern", "/etc/systemd/system/multi-user.target"
                     ".wants/postern.service"):
            assert not self.m.exists(path), path
        assert self.m.users() == []


STEPS = ("it_installs_with_what_it_needs_and_makes_its_users",
         "it_starts_on_its_safe_default", "the_doctor_finds_no_fault",
         "it_delivers", "an_upgrade_hands_over_and_loses_no_mail",
         "a_removal_stops_it_and_leaves_mail_and_configuration",
         "a_purge_keeps_mail_and_says_where",
         "installed_again_it_delivers_that_mail",
         "a_purge_without_mail_takes_all")


def enter():
    """In mount and process namespaces of their own, which end with this process."""
    if INSIDE not in os.environ:
        sys.stdout.flush()
        os.execvpe("unshare", ["unshare", "--mount", "--pid", "--fork",
                               "--kill-child", "--mount-proc",
                               sys.executable] + sys.argv,
                   dict(os.environ, **{INSIDE: "1"}))


def check(suite, packages, release="bookworm"):
    machine = Machine(packages, base_of(release))
    steps = Steps(machine)
    try:
        for name in STEPS:
            # each needs the one before
            suite.check("package: " + name.replace("_", " "),
                        getattr(steps, name), once=True)
            if suite.failed:
                sys.stderr.write(machine.log_text()[-6000:]
                                 if os.path.exists(machine.log) else "")
                break
    finally:
        machine.end()


def main(packages):
    suite = Suite()
    why = make_base()
    if why is not None:
        suite.skip("package in a fresh root", why)
        suite.end()
    enter()
    check(suite, packages)
    suite.end()


if __name__ == "__main__":
    main([os.path.abspath(p) for p in sys.argv[1:]])
