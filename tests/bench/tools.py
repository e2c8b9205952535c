# SPDX-License-Identifier: ISC
"""What the benchmarks share: programs, a disk, a sink, CPU of a side, words."""
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, wait_for  # noqa

PACKAGES = ("libssl libcrypto libbsd-overlay libseccomp sqlite3 jansson "
            "libconfuse libevent_core libcap libidn2 libgsasl").split()
TICK = os.sysconf("SC_CLK_TCK")


def build(folder, name):
    path = os.path.join(folder, name)
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", path, os.path.join(
        ROOT, "tests/bench", name + ".c")], check=True)
    return path


def build_linked(folder, name):
    """One that is linked with what posternd is made of."""
    def flags(what):
        return subprocess.run(["pkg-config", what] + PACKAGES, check=True,
                              capture_output=True, text=True).stdout.split()
    path = os.path.join(folder, name)
    subprocess.run(["cc", "-O2", "-std=c11", "-D_GNU_SOURCE", "-I", ROOT]
                   + flags("--cflags") + ["-o", path,
                   os.path.join(ROOT, "tests/bench", name + ".c"),
                   os.path.join(ROOT, "build/libpostern.a")]
                   + flags("--libs") + ["-lunbound"], check=True)
    return path


class Sink:
    def __init__(self, program, *args):
        self.p = subprocess.Popen([program, *args], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.port = int(self.p.stdout.readline())

    def taken(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return int(self.p.stdout.readline())

    def pause(self, on):
        self.p.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def close(self):
        self.pause(False)
        self.p.stdin.close()
        self.p.wait()


class Disk:
    """A fresh ext4 of its own, so that all sides pay for the same journal; or
    a folder, and a word about it, where none can be mounted.

    tempfile makes its folders there as long as it is open.
    """

    said = None

    @staticmethod
    def say(text):
        if Disk.said != text:
            print("disk: " + text)
        Disk.said = text

    def __init__(self, size_gib=8):
        self.size = size_gib << 30
        self.dir = tempfile.mkdtemp(prefix="postern-disk-",
                                    dir=os.environ.get("BENCH_DIR"))
        self.image = self.dir + ".ext4"
        self.mounted = False

    def __enter__(self):
        os.chmod(self.dir, 0o755)
        if os.geteuid() == 0 and shutil.which("mkfs.ext4"):
            with open(self.image, "wb") as f:
                f.truncate(self.size)
            self.mounted = all(subprocess.run(
                argv, capture_output=True).returncode == 0 for argv in (
                    ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0",
                     self.image],
                    ["mount", "-o", "loop", self.image, self.dir]))
        if self.mounted:
            os.chmod(self.dir, 0o755)
            Disk.say("an ext4 image of its own, loop-mounted")
        else:
            Disk.say("as it is below %s; no image can be mounted here" %
                     os.path.dirname(self.dir))
        self.before, tempfile.tempdir = tempfile.tempdir, self.dir
        return self

    def __exit__(self, *exc):
        tempfile.tempdir = self.before
        if self.mounted:
            wait_for(lambda: subprocess.run(
                ["umount", self.dir], capture_output=True).returncode == 0,
                30, "the disk to be free")
        shutil.rmtree(self.dir, ignore_errors=True)
        if os.path.exists(self.image):
            os.unlink(self.image)


class Group:
    """A control group for all processes of one side, and the CPU they used,
    those that are dead too."""

    count = 0

    def __init__(self):
        Group.count += 1
        self.path, self.how = None, "none"
        for root, usage in (("/sys/fs/cgroup", "cpu.stat"),
                            ("/sys/fs/cgroup/unified", "cpu.stat"),
                            ("/sys/fs/cgroup/cpuacct", "cpuacct.usage")):
            path = "%s/postern-bench-%d-%d" % (root, os.getpid(), Group.count)
            if not os.path.exists(root + "/cgroup.procs"):
                continue
            try:
                os.mkdir(path)
                open(path + "/cgroup.procs", "a").close()
            except OSError:
                continue
            self.path, self.how = path, usage
            return
        raise SystemExit("no control group can be made here: run it as root, "
                         "where cgroups are mounted")

    def prefix(self):
        """Words before a command that make it, and all its children, ours."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"',
                self.path + "/cgroup.procs"]

    def seconds(self):
        with open(os.path.join(self.path, self.how)) as f:
            text = f.read()
        if self.how == "cpu.stat":
            return int(re.search(r"usage_usec (\d+)", text).group(1)) / 1e6
        return int(text) / 1e9

    def pids(self):
        with open(self.path + "/cgroup.procs") as f:
            return [int(x) for x in f.read().split()]

    def close(self):
        """Ends what is left in it: all of that was started by us."""
        def gone():
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                os.rmdir(self.path)
            except OSError:
                return False
            return True
        wait_for(gone, 20, "a control group to be empty")


def machine():
    """What a figure has to be read with."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    print("machine: %d cores, %s, Linux %s, load %.1f" % (
        os.cpu_count(), model.group(1) if model else "?",
        os.uname().release, os.getloadavg()[0]))
    sys.stdout.flush()


def percentile(values, part):
    """The least value that so many of them (0 to 1) do not exceed."""
    values = sorted(values)
    at = max(0, -(-len(values) * part // 1) - 1)
    return values[int(at)]


def median(values):
    return statistics.median(values)


def stopwatch():
    begun = time.monotonic()
    return lambda: time.monotonic() - begun
