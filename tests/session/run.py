#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs the session tests: run.py [-v] [-j WORKERS] [-k PATTERN]

Each function s_NNN_... of tests/session/*.py shows a statement of the session's
list, each h_... something beside it.  Exit status 1 where one does not hold.
"""
import argparse
import glob
import importlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from concurrent import futures

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import BUILD, Case, Skip  # noqa: E402
from server import Certificates  # noqa: E402

LIFECYCLE = 60  # statements S-001 to S-060
OWN = ("run", "harness", "server")


def collect(pattern):
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "*.py"))):
        module = os.path.splitext(os.path.basename(path))[0]
        if module in OWN:
            continue
        for name, value in vars(importlib.import_module(module)).items():
            if re.match(r"(s_\d{3}|h)_", name) and callable(value) and \
                    re.search(pattern, name):
                tests.append((name, value))
    names = [n for n, _ in tests]
    for n in set(names):
        if names.count(n) > 1:
            sys.exit("run.py: two tests bear the name %s" % n)
    return tests


def play(name, function, folder, certs):
    """('passed' | 'failed' | 'skipped', what to print, seconds)."""
    case = Case(name, os.path.join(folder, name[:40]), certs)
    os.makedirs(case.folder)
    started = time.monotonic()
    verdict, text = "passed", ""
    try:
        function(case)
        case.scripts_held()
    except Skip as e:
        verdict, text = "skipped", str(e)
    except AssertionError as e:
        where = [f for f in traceback.extract_tb(e.__traceback__)
                 if os.path.basename(f.filename)[:-3] not in OWN]
        verdict, text = "failed", "   line %s: %s" % (
            where[-1].lineno if where else "?", e)
    except Exception:  # pylint: disable=broad-except
        verdict, text = "failed", traceback.format_exc()
    try:
        case.clear()
        if verdict == "failed":
            text += "\n" + case.report()
    except Exception:  # pylint: disable=broad-except
        verdict, text = "failed", text + "\n" + traceback.format_exc()
    return verdict, text, time.monotonic() - started


def count_statements(results):
    """How many numbered statements hold: (of the first 60, others, of).

    One holds where some test of it passed and none failed.
    """
    verdicts = {}
    for name, verdict in results.items():
        if name.startswith("s_"):
            verdicts.setdefault(int(name[2:5]), set()).add(verdict)
    held = {n for n, v in verdicts.items()
            if "passed" in v and "failed" not in v}
    rest = {n for n in verdicts if n > LIFECYCLE}
    return len(held - rest), len(held & rest), len(rest)


def main():
    parser = argparse.ArgumentParser(description="session tests")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches")
    parser.add_argument("-v", action="store_true",
                        help="print every test as it ends")
    parser.add_argument("-j", metavar="WORKERS", type=int, default=4)
    options = parser.parse_args()
    for program in ("postern", "posternd"):
        if not os.access(os.path.join(BUILD, program), os.X_OK):
            sys.exit("run.py: %s is not built: run make" %
                     os.path.join(BUILD, program))
    tests = collect(options.k)
    folder = tempfile.mkdtemp(prefix="postern-session-")
    results = {}
    try:
        certs = Certificates(os.path.join(folder, "certs"))
        os.chmod(folder, 0o755)
        with futures.ThreadPoolExecutor(options.j) as pool:
            jobs = {pool.submit(play, n, f, folder, certs): n
                    for n, f in tests}
            for job in futures.as_completed(jobs):
                name = jobs[job]
                verdict, text, seconds = job.result()
                results[name] = verdict
                if options.v or verdict != "passed":
                    print("%-7s %s (%.1f s)%s%s" % (
                        verdict, name, seconds, "\n" if
                        verdict == "failed" else ": " if text else "", text),
                        flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    words = list(results.values())
    first, rest, of = count_statements(results)
    skipped = words.count("skipped")
    if skipped:
        print("%d skipped" % skipped)
    print("statements: %d of %d hold" % (first, LIFECYCLE) +
          ("; of S-061 and up, %d of the %d that are tested" % (rest, of)
           if of else ""))
    print("%d passed, %d failed" % (words.count("passed"),
                                    words.count("failed")))
    return 1 if "failed" in words or not words else 0


if __name__ == "__main__":
    sys.exit(main())
