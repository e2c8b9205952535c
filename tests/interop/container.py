# SPDX-License-Identifier: ISC
"""posternd as conf/container/Containerfile starts it: a user id without a name, a
read-only root, no capability, no new privileges, no namespaces, and nothing to
write in but the two volumes.

There need be no container engine: mount and process namespaces make such a place
of the machine's own root, and a filter refuses what engines refuse.
"""
import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import (ROOT, ROLE_UIDS, Daemon, Suite, layers, programs,  # noqa
                    wait_for)  # noqa
from sink import Sink  # noqa

TO_SINK = """
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
"""
UID = 1000770042  # as OpenShift gives them out
FOLDER = os.path.join(ROOT, "conf/container")
# What the default filters of engines refuse to those without capabilities.
REFUSED = ("unshare", "setns", "mount", "umount2", "pivot_root", "chroot",
           "keyctl", "bpf", "perf_event_open", "userfaultfd")
MAKE = """
set -e
mount --make-rprivate /
mount --bind / "$1"
mount -o remount,bind,ro "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/var/spool"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/opt"
mkdir "$1/var/spool/postern" "$1/run/postern"
cp "$2/posternd" "$2/postern" "$3" "$1/opt/"
mount --bind "$4" "$1/var/spool/postern"
mount --bind "$5" "$1/run/postern"
for place in var/spool run opt; do mount -o remount,ro "$1/$place"; done
shift 5
exec "$@"
"""


def instructions():
    """Of the Containerfile: pairs of a word and its rest."""
    with open(FOLDER + "/Containerfile") as f:
        text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", f.read()))
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        found.append((word, rest.strip()))
    return found


def last(word):
    return [rest for w, rest in instructions() if w == word][-1]


def the_file_is_well_formed():
    words = [w for w, _ in instructions()]
    known = {"FROM", "COPY", "WORKDIR", "RUN", "VOLUME", "USER", "STOPSIGNAL",
             "HEALTHCHECK", "ENTRYPOINT"}
    assert set(words) == known, set(words) ^ known
    assert words[0] == "FROM" and words.count("FROM") == 2, words
    for word, rest in instructions():
        if word in ("VOLUME", "ENTRYPOINT"):
            assert all(isinstance(w, str) for w in json.loads(rest)), rest
        if word == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        if word == "COPY" and "--from" not in rest:
            assert os.path.exists(os.path.join(ROOT, shlex.split(rest)[0])), rest
    assert json.loads(last("ENTRYPOINT")) == ["posternd"]
    assert json.loads(last("HEALTHCHECK").split("CMD")[1]) == ["postern",
                                                              "status"]
    assert last("STOPSIGNAL") == "SIGTERM"


def it_has_the_libraries_that_the_programs_want():
    runtime = last("FROM") and [r for w, r in instructions() if w == "RUN"][1]
    for name in ("posternd", "postern"):
        text = subprocess.run(["objdump", "-p", ROOT + "/build/" + name],
                              capture_output=True, text=True, check=True).stdout
        wanted = re.findall(r"NEEDED\s+(\S+)", text) + ["libmicrohttpd.so.12"]
        for library in wanted:
            r = subprocess.run(["dpkg-query", "-S", "*/" + library],
                               capture_output=True, text=True)
            # Compilers for other architectures have some of these too.
            owners = {line.split(":")[0] for line in r.stdout.splitlines()}
            known = {"libc6", "libgcc-s1"} | set(runtime.split())
            assert owners & known, (library, owners)


LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule",
            "landlock_restrict_self")


def confine_as_engines_do():
    """Between fork and exec: what they do last."""
    refuse_calls(REFUSED)


def refuse_calls(names, namespaces=True):
    """Each answers EPERM, and so do the namespaces of clone()."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    ctx = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(0x7fff0000)))
    refuse = ctypes.c_uint32(0x00050000 | 1)  # EPERM

    class Compare(ctypes.Structure):
        _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                    ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

    for name in names:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        assert lib.seccomp_rule_add_array(ctx, refuse, number, 0, None) == 0
    number = lib.seccomp_syscall_resolve_name(b"clone")
    for flag in (0x10000000, 0x20000, 0x40000000, 0x8000000, 0x4000000,
                 0x20000000) if namespaces else ():
        one = (Compare * 1)(Compare(0, 7, flag, flag))  # masked, equal
        assert lib.seccomp_rule_add_array(ctx, refuse, number, 1, one) == 0
    # whose flags no filter can read
    assert lib.seccomp_rule_add_array(
        ctx, ctypes.c_uint32(0x00050000 | 38),
        lib.seccomp_syscall_resolve_name(b"clone3"), 0, None) == 0
    assert lib.seccomp_load(ctx) == 0


def refusing(arguments):
    """A program's beginning that calls refuse_calls() in a Python of its own."""
    with open(__file__) as f:
        text = f.read()
    begin = text.index("def confine_as_engines_do")
    end = text.index("def refusing")
    return ("import ctypes, os, sys\nREFUSED = %r\n" % (REFUSED,) +
            text[begin:end] + "refuse_calls(%s)\n" % arguments)


class Container:
    def __init__(self, more=""):
        self.dir = tempfile.mkdtemp(prefix="postern-container-")
        os.chmod(self.dir, 0o755)
        self.volumes = [self.dir + "/spool", self.dir + "/run"]
        for volume in self.volumes:
            os.mkdir(volume)
            os.chown(volume, 0, 0)
            os.chmod(volume, 0o770)
        self.config = self.dir + "/postern.conf"
        with open(FOLDER + "/postern.conf") as f:
            text = f.read()
        with open(self.config, "w") as f:
            f.write(text + more)
        os.mkdir(self.dir + "/root")
        self.log = self.dir + "/log"
        self.process = None

    def start(self):
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child=TERM",
                "sh", "-c", MAKE, "sh", self.dir + "/root", programs("build"),
                self.config] + self.volumes + [
                    "chroot", self.dir + "/root", "setpriv", "--reuid=%d" % UID,
                    "--regid=0", "--clear-groups", "--inh-caps=-all",
                    "--ambient-caps=-all", "--bounding-set=-all",
                    "--no-new-privs", sys.executable, "-c", self.launcher()]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or
                 self.log_text().count(" ready: ") == len(ROLE_UIDS), 60,
                 "posternd to be ready")
        assert self.process.poll() is None, self.log_text()

    @staticmethod
    def launcher():
        return (refusing("REFUSED") + "os.umask(0o022)\n"
                "os.execv('/opt/posternd', "
                "['posternd', '-c', '/opt/postern.conf'])\n")

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def master(self):
        """posternd is process 1 there; who it is here."""
        with open("/proc/%d/task/%d/children" % (self.process.pid,
                                                  self.process.pid)) as f:
            return int(f.read().split()[0])

    def run(self, *argv, message=b""):
        """As `podman exec` does."""
        return subprocess.run(
            ["nsenter", "--target", str(self.master()), "--mount", "--pid",
             "--root", "setpriv", "--reuid=%d" % UID, "--regid=0",
             "--clear-groups", "--bounding-set=-all", "--no-new-privs",
             "/opt/postern", argv[0], "-c", "/opt/postern.conf", *argv[1:]],
            input=message, capture_output=True, timeout=120)

    def clear(self):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.master(), signal.SIGKILL)
            self.process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)


def it_runs_without_any_power():
    with Sink() as sink:
        c = Container('hostname = "c.postern.test"\ntransport sink {\n'
                      '\tserver = "127.0.0.1:%d"\n'
                      '\ttls_security_level = none\n}\n' % sink.port)
        try:
            c.start()
            r = c.run("status")
            assert r.returncode == 0, (r.stdout, r.stderr)
            rows = [json.loads(line) for line in
                    c.run("status", "--json").stdout.splitlines()]
            roles = [row for row in rows
                     if row.get("role") not in (None, "master")]
            assert {row["role"] for row in roles} == set(ROLE_UIDS), roles
            for row in roles:
                held = layers(row)
                assert held["uid"] == str(UID), row
                assert held["caps"] == "none" and held["bounding"] == "none"
                assert held["no_new_privs"] == "yes", row
                assert held["seccomp"] == "filter" and \
                    int(held["filters"]) > 1, row
                # said as it is, and no more is claimed
                assert held["namespaces"] in ("none", "?"), row
            r = c.run("send", "--via", "sink", "--wait", "final", "--from",
                      "me@c.postern.test", "you@d.test",
                      message=b"Subject: x\n\nx\n")
            assert r.returncode == 0, (r.stdout, r.stderr, c.log_text())
            assert sink.got("you@d.test")
            assert os.stat(c.dir + "/spool/queue/queue.db").st_uid == UID
            r = c.run("doctor")
            assert r.returncode == 0, r.stdout
            assert b"namespaces" in r.stdout, r.stdout
            os.kill(c.master(), signal.SIGTERM)
            assert c.process.wait(60) == 0, c.log_text()
            assert "died" not in c.log_text(), c.log_text()
            assert os.listdir(c.dir + "/run") == [], os.listdir(c.dir + "/run")
        finally:
            c.clear()


def it_says_which_volume_is_not_writable():
    c = Container()
    try:
        os.chmod(c.dir + "/spool", 0o750)
        try:
            c.start()
        except AssertionError:
            pass
        assert "spool_directory /var/spool/postern/queue: Permission denied" in \
            c.log_text(), c.log_text()
    finally:
        c.clear()


# What a host refuses with EPERM, and what posternd then is to say: in its log, of
# each role, and the doctor.
HOSTS = (
    (LANDLOCK, False, b"grants us no Landlock (Operation not permitted)",
     ("landlock", "no,refused"), b"SystemCallFilter="),
    (("unshare",), True, b"grants us no namespaces: clone is refused "
     b"(Operation not permitted)", ("namespaces", "none"),
     b"RestrictNamespaces="),
    (("mount",), False, b"no root of its own for a role: mount is refused "
     b"(Operation not permitted)", ("namespaces_refused", "mount"),
     b"AppArmor"),
    (("pivot_root",), False, b"no root of its own for a role: pivot_root is "
     b"refused (Operation not permitted)", ("namespaces_refused", "pivot_root"),
     b"initial RAM disk"),
    (LANDLOCK + ("mount",), True, b"grants us no namespaces",
     ("landlock", "no,refused"), b"RestrictNamespaces="),
)


def it_runs_with_the_layers_that_the_host_grants():
    for names, namespaces, line, (key, value), cure in HOSTS:
        with Sink() as sink, Daemon(TO_SINK % sink.port) as d:
            d.prefix = [sys.executable, "-c",
                        refusing("%r, %r" % (names, namespaces)) +
                        "os.execv(sys.argv[1], sys.argv[1:])\n"]
            d.stop()
            d.start()
            assert line.decode() in d.log_text(), (names, d.log_text())
            for row in d.status():
                if row["role"] in ROLE_UIDS:
                    held = layers(row)
                    assert held[key] == value, (names, row)
                    assert held["seccomp"] == "filter", row
            end = d.send(["a@b.test"], b"Subject: x\n\nx\n")[-1]
            assert end["status"] == "delivered", (names, end)
            r = subprocess.run([programs("build") + "/postern", "doctor", "-c",
                                d.config], capture_output=True, timeout=120)
            assert cure in r.stdout, (names, r.stdout)
            assert r.stdout.count(cure) == 1, (names, r.stdout)


TESTS = (the_file_is_well_formed, it_has_the_libraries_that_the_programs_want)
AS_ROOT = (it_runs_with_the_layers_that_the_host_grants,
           it_runs_without_any_power, it_says_which_volume_is_not_writable)


def run(suite):
    for test in TESTS + AS_ROOT:
        name = "container: " + test.__name__.replace("_", " ")
        if test in AS_ROOT and os.geteuid() != 0:
            suite.skip(name, "it wants root, to make the place")
        else:
            suite.check(name, test)


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
