#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs the session tests: run.py [-v] [-j WORKERS] [-k PATTERN]

Each function s_NNN_... of tests/session/*.py shows a statement of the session's
list, each h_... something beside it, each row of a table a case of its own.
h_variant plays mutated replies: --seed N repeats them, --count N makes so many.
A case that fails for a finding that is written down is known, and no failure.
Exit status 1 where one does not hold.
"""
import argparse
import functools
import glob
import importlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent import futures

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import variants  # noqa: E402
from harness import BUILD, Case, Skip  # noqa: E402
from server import Certificates  # noqa: E402

STATEMENTS = range(1, 161)  # S-001 to S-160
# So many cases are played a second time, alone: a machine that is busy with other
# things can fail one that depends on time.
UNSTEADY_MAX = 2
# How fast or how large the programs are decides these: --slower leaves them out.
TIMED = (r"s_147_token_renewed|h_body\[|h_50_mb|s_09[59]_.*(time|late)|"
         r"h_lost_after_octets|h_replay_with_the_times|s_155_what_a_host_lacks")
OWN = ("run", "faults", "harness", "server", "sasl")


def cases(name, value):
    """The test itself, or one for each row of its table."""
    if not hasattr(value, "rows"):
        return [(name, value)]
    rows = []
    for row in value.rows:
        one = functools.partial(lambda t, f, a: f(t, *a), f=value, a=row[1:])
        one.patient = getattr(value, "patient", False)
        rows.append(("%s[%s]" % (name, row[0]), one))
    return rows


def collect(pattern):
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "*.py"))):
        module = os.path.splitext(os.path.basename(path))[0]
        if module in OWN:
            continue
        for name, value in vars(importlib.import_module(module)).items():
            if re.match(r"(s_\d{3}|h|x)_", name) and callable(value):
                tests += [x for x in cases(name, value)
                          if re.search(pattern, x[0])]
    names = [n for n, _ in tests]
    for n in set(names):
        if names.count(n) > 1:
            sys.exit("run.py: two tests bear the name %s" % n)
    return tests


def play(name, function, folder, certs):
    """('passed' | 'failed' | 'known' | 'skipped', what to print, seconds)."""
    case = Case(name, tempfile.mkdtemp(dir=folder), certs)
    os.chmod(case.folder, 0o755)
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
        case.unsound()
        if verdict == "failed":
            text += "\n" + case.report()
    except Exception:  # pylint: disable=broad-except
        verdict, text = "failed", text + "\n" + traceback.format_exc()
    if verdict == "failed" and case.known:
        verdict, text = "known", "finding %s" % case.known
    return verdict, text, time.monotonic() - started


def count_statements(results):
    """The numbered statements that hold, and those that nobody asked about.

    One holds where some test of it passed and none failed.
    """
    verdicts = {n: set() for n in STATEMENTS}
    for name, verdict in results.items():
        if name.startswith("s_"):
            verdicts[int(name[2:5])].add(verdict)
    return ([n for n, v in verdicts.items()
             if "passed" in v and "failed" not in v],
            [n for n, v in verdicts.items() if not v])


def count_cases(results, pattern):
    """How many cases with such a name hold: (held, of, known not to)."""
    words = [v for n, v in results.items()
             if re.match(pattern, n) and v != "skipped"]
    return words.count("passed"), len(words) - words.count("known"), \
        words.count("known")


def print_cases(what, results, pattern):
    held, of, known = count_cases(results, pattern)
    if of or known:
        print("%s: %d of %d cases hold%s" % (
            what, held, of, "; %d do not, as is known" % known
            if known else ""))


def play_again(tests, results, folder, certs):
    """Those that failed, once more if they are few; how many now hold."""
    failed = [x for x in tests if results[x[0]] == "failed"]
    if len(failed) > UNSTEADY_MAX:
        return 0
    for name, function in failed:
        results[name], text, seconds = play(name, function, folder, certs)
        print("%-7s %s, played again (%.1f s)\n%s" % (
            results[name], name, seconds, text), flush=True)
    return sum(results[name] == "passed" for name, _ in failed)


def main():
    parser = argparse.ArgumentParser(description="session tests")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches")
    parser.add_argument("-v", action="store_true",
                        help="print every test as it ends")
    parser.add_argument("-j", metavar="WORKERS", type=int, default=4)
    parser.add_argument("--seed", metavar="N", type=int, default=None,
                        help="repeat the variants of this seed")
    parser.add_argument("--count", metavar="N", type=int, default=150,
                        help="so many variants")
    parser.add_argument("--sample", metavar="N", type=int, default=0,
                        help="only so many cases, which the seed chooses")
    parser.add_argument("--slower", metavar="TIMES", type=int, default=1,
                        help="how much slower programs with sanitizers may be")
    parser.add_argument("--replay", action="store_true",
                        help="replay the transcript of each delivery that "
                        "fails, and want the same outcome")
    options = parser.parse_args()
    # Who runs us in the background has it ignored, and so would our children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Case.replaying = options.replay
    Case.slower = options.slower
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    for program in ("postern", "posternd"):
        if not os.access(os.path.join(BUILD, program), os.X_OK):
            sys.exit("run.py: %s is not built: run make" %
                     os.path.join(BUILD, program))
    variants.prepare(options.seed, options.count)
    tests = collect(options.k)
    if options.slower > 1:
        tests = [x for x in tests if not re.match(TIMED, x[0])]
    if 0 < options.sample < len(tests):
        tests = random.Random(options.seed).sample(tests, options.sample)
        print("--sample %d --seed %d" % (options.sample, options.seed))
    folder = tempfile.mkdtemp(prefix="postern-session-")
    results = {}
    try:
        certs = Certificates(os.path.join(folder, "certs"))
        os.chmod(folder, 0o755)
        with futures.ThreadPoolExecutor(options.j) as pool, \
                futures.ThreadPoolExecutor(options.j) as waiting:
            jobs = {(waiting if getattr(f, "patient", False) else pool).submit(
                play, n, f, folder, certs): n for n, f in tests}
            for job in futures.as_completed(jobs):
                name = jobs[job]
                verdict, text, seconds = job.result()
                results[name] = verdict
                if options.v or verdict != "passed":
                    print("%-7s %s (%.1f s)%s%s" % (
                        verdict, name, seconds, "\n" if
                        verdict == "failed" else ": " if text else "", text),
                        flush=True)
        unsteady = play_again(tests, results, folder, certs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    words = list(results.values())
    held, untested = count_statements(results)
    skipped = words.count("skipped")
    if skipped:
        print("%d skipped" % skipped)
    print("statements: %d of %d hold" % (len(held), len(STATEMENTS)))
    if untested and not (options.k or options.sample or
                         options.slower > 1):
        words.append("failed")
        print("statements without a test: " + ", ".join(
            "S-%03d" % n for n in untested))
    print_cases("hostile", results, r"h_(?!variant)")
    print_cases("variants (--seed %d)" % options.seed, results,
                r"h_variant")
    if Case.all_replays:
        print("replays: %d had the same outcome; %d cannot be made, and say "
              "why" % (Case.all_replays.count("same"),
                       Case.all_replays.count("cannot")))
    print("%d passed, %d failed%s" % (
        words.count("passed"), words.count("failed"),
        ", %d unsteady" % unsteady if unsteady else ""))
    return 1 if "failed" in words or not words else 0


if __name__ == "__main__":
    sys.exit(main())
