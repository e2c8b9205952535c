# SPDX-License-Identifier: ISC
"""What it costs to check each packet between processes: instructions, which callgrind
counts alike on a busy machine.  Beside it the instructions of the whole decoding."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tools import build_linked  # noqa

TIMES = 1000


def count(program, folder, kind, function):
    """Instructions inside one function and all that it calls, in all."""
    r = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=" + function,
         "--callgrind-out-file=" + os.path.join(folder, "out"), program, kind,
         str(TIMES)], capture_output=True, text=True)
    if r.returncode != 0:
        sys.exit(r.stderr)
    return int(re.search(r"Collected : (\d+)", r.stderr).group(1))


def main():
    if shutil.which("valgrind") is None:
        sys.exit("checks.py: apt-get install valgrind")
    folder = tempfile.mkdtemp(prefix="postern-bench-")
    try:
        program = build_linked(folder, "checks_bench")
        print("instructions a packet   decoding   of them the checks")
        for kind in ("outcome", "submit"):
            whole, checks = (count(program, folder, kind, f) / TIMES
                             for f in ("message_decode", "message_check"))
            print("%-23s %8.0f   %8.0f" % (kind, whole, checks))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
