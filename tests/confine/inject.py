# SPDX-License-Identifier: ISC
"""Has a live process make system calls, by build/inject (inject.c)."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT  # noqa


def inject(pid, *lines):
    """What came of each line, as words: ["returns", "0"], ["fails", "1",
    "EPERM"], ["dies", "SYS"]; shorter where it died."""
    r = subprocess.run([os.path.join(ROOT, "build/inject"), str(pid)],
                       input="\n".join(lines) + "\n", capture_output=True,
                       text=True, timeout=60)
    if r.returncode != 0:
        raise OSError(r.stderr.strip())
    return [line.split() for line in r.stdout.splitlines()]


def dies(pid, line):
    return inject(pid, line)[-1] == ["dies", "SYS"]
