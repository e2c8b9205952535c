# SPDX-License-Identifier: ISC
"""Debian 13: the programs are built there by its gcc and its clang without a word,
the unit tests and some session tests pass there, under its newer libraries, and so
do the package's own tests with a package made there.  A role or a worker that makes
a call which its filter forbids is a failure: the C library decides what its functions
are to the kernel, so this is where a newer one shows.

It wants root, debootstrap, and the mirror that apt is set to.  The roots are kept as
build/debian-13.tar and, with the compilers, build/debian-13-build.tar.  Everything
runs in mount and process namespaces of its own, which end with it.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../interop"))
from daemon import ROOT, Suite  # noqa
import package  # noqa

RELEASE = "trixie"
COMPILERS = os.path.join(ROOT, "build/debian-13-build.tar")
HOUR = 3600
# A sample of all, with those in which names are looked up and certificates trusted.
SESSIONS = "s_[01][0-9][05]|sasl|login|h_certificate"
DEATHS = re.compile(r"died of signal|forbids|Bad system call|SIGSYS")


def shell(machine, command):
    r = machine.run("sh", "-c", "cd /src && " + command, timeout=HOUR)
    return r.returncode, r.stdout.decode(errors="replace")


def make_compilers():
    """The root with what conf/deps.sh names."""
    if os.path.exists(COMPILERS):
        return
    print("making %s: minutes" % COMPILERS, flush=True)
    machine = package.Machine([], package.base_of(RELEASE))
    try:
        copy_source(machine)
        # apt's lists are as old as the root
        machine.good("apt-get", "update")
        status, text = shell(machine, "sh conf/deps.sh unit && "
                             "sh conf/deps.sh deb")
        if status != 0:
            sys.exit("conf/deps.sh: " + text[-3000:])
        machine.good("apt-get", "clean")
        shutil.rmtree(machine.path("/src"))
        package.save(machine.dir, COMPILERS)
    finally:
        machine.end()


def copy_source(machine):
    os.makedirs(machine.path("/src"))
    source = subprocess.Popen(["tar", "-C", ROOT, "--exclude=./build",
                               "--exclude=./.git", "-cf", "-", "."],
                              stdout=subprocess.PIPE)
    subprocess.run(["tar", "-C", machine.path("/src"), "--no-same-owner", "-xf",
                    "-"], stdin=source.stdout, check=True)
    assert source.wait() == 0


class Steps:
    def __init__(self, machine, packages):
        self.m = machine
        self.packages = packages

    def builds_quietly(self, options):
        status, text = shell(self.m, "make -k -s -j$(nproc) " + options)
        words = [line for line in text.splitlines()
                 if not re.match(r"(cc|link) \S+$", line)]
        assert status == 0 and not words, "\n".join(words)[:6000]

    def gcc_builds_it_without_a_word(self):
        self.builds_quietly("CC=gcc all build/unit")

    def clang_builds_it_without_a_word(self):
        self.builds_quietly("CC=clang BUILD=build/clang all "
                           "build/clang/unit")

    def the_unit_tests_pass(self):
        self.passes("build/unit -j2")

    def session_tests_pass(self):
        self.passes("python3 tests/session/run.py --seed 1 -j 2 -k '%s'" %
                    SESSIONS)

    def passes(self, command):
        status, text = shell(self.m, command)
        print("    " + text.strip().splitlines()[-1])
        assert status == 0, text[-6000:]
        assert not DEATHS.search(text), text[-6000:]

    def two_packages_are_made(self):
        for options in ("", " VERSION=$(cat conf/VERSION).999"):
            status, text = shell(self.m, "make -s -j2 deb" + options)
            assert status == 0, text[-6000:]
        for name in os.listdir(self.m.path("/src/build/deb")):
            if name.endswith(".deb"):
                shutil.copy(self.m.path("/src/build/deb/" + name), self.packages)


STEPS = ("gcc_builds_it_without_a_word", "clang_builds_it_without_a_word",
         "the_unit_tests_pass", "session_tests_pass",
         "two_packages_are_made")


def main():
    suite = Suite()
    why = package.make_base(RELEASE)
    if why is not None:
        suite.skip("Debian 13", why)
        suite.end()
    package.enter()
    make_compilers()
    packages = tempfile.mkdtemp(prefix="postern-packages-")
    machine = package.Machine([], COMPILERS)
    try:
        copy_source(machine)
        for command in ("gcc --version", "clang --version", "ldd --version"):
            print("    " + machine.good(*command.split()).splitlines()[0],
                  flush=True)
        steps = Steps(machine, packages)
        for name in STEPS:
            suite.check("Debian 13: " + name.replace("_", " "),
                        getattr(steps, name), once=True)
        # the higher version has the longer name
        made = sorted((os.path.join(packages, x) for x in os.listdir(packages)),
                      key=len)
        if len(made) == 2:
            package.check(suite, made, RELEASE)
    finally:
        machine.end()
        shutil.rmtree(packages)
    suite.end()


if __name__ == "__main__":
    main()
