#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Session tests in which one call fails: faults.py [-k PATTERN] [--seed N]

Wants the build with sanitizers (make session-faults).  A sample of the cases is
played once as it is, which counts the calls of each role for memory, descriptors,
sending and the store; then some times with one such call of one role failing.
What a case says need not hold then.  This has to, whatever fails: no finding of
a sanitizer, no death by a signal of our own, no hang; each recipient delivered
once, deferred, or still queued, and none failed that does not fail otherwise.

--fault ROLE:N plays the case of -k with this one fault.
Exit status 1 where one does not hold.
"""
import argparse
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from concurrent import futures

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import run  # noqa: E402
import variants  # noqa: E402
from harness import BUILD, DELIVERED, FAILED, Case  # noqa: E402
from server import Certificates  # noqa: E402

ROLES = ("client", "master", "intake", "control", "queue", "resolver",
         "dialer", "signer", "metrics", "agent", "worker")
# Those of our own doing; SIGKILL and SIGTERM are sent.
CRASHES = "|".join(str(int(s)) for s in (
    signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS,
    signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS))
SANITIZER_STATUS = 77


class Plan:
    """The file that program.c maps: what fails, and how many calls there were."""

    HEAD = "<16sQQQ32s"
    SLOT = "<16sQ"
    SLOTS = 16

    def __init__(self, folder, role="", at=0):
        self.path = os.path.join(folder, "faults")
        names = [x.encode("ascii") for x in ROLES]
        names += [b"-"] * (self.SLOTS - len(names))
        with open(self.path, "wb") as f:
            f.write(struct.pack(self.HEAD, role.encode("ascii"), at, 0, 0, b""))
            for name in names:
                f.write(struct.pack(self.SLOT, name, 0))
        os.chmod(self.path, 0o666)

    def read(self):
        with open(self.path, "rb") as f:
            text = f.read()
        role, at, fired, where, name = struct.unpack_from(self.HEAD, text)
        start, step = struct.calcsize(self.HEAD), struct.calcsize(self.SLOT)
        calls = [struct.unpack_from(self.SLOT, text, start + i * step)[1]
                 for i in range(len(ROLES))]
        return {"role": role.rstrip(b"\0").decode(), "at": at, "fired": fired,
                "where": where, "name": name.rstrip(b"\0").decode(),
                "calls": dict(zip(ROLES, calls))}


class Played:
    """A case with or without a fault, and all that came of it."""

    def __init__(self, name, function, folder, certs, role="", at=0):
        self.case = Case(name, tempfile.mkdtemp(dir=folder), certs)
        os.chmod(self.case.folder, 0o755)
        plan = Plan(self.case.folder, role, at)
        self.error = None
        for step in (lambda: function(self.case), self.case.clear):
            try:
                step()
            except Exception as e:  # pylint: disable=broad-except
                self.error = self.error or e  # nothing that it says must hold
        self.plan = plan.read()
        self.findings = self.case.findings()
        self.logs = [d.said() for d in self.case.daemons
                     if os.path.exists(d.log)]
        self.text = self.case.report()
        shutil.rmtree(self.case.folder, ignore_errors=True)

    def messages(self):
        return sum(len(c.messages) for s in self.case.servers
                   for c in s.connections)

    def fault(self):
        program = "postern" if self.plan["role"] == "client" else "posternd"
        p = subprocess.run(
            ["addr2line", "-f", "-p", "-e", os.path.join(BUILD, program),
             hex(max(self.plan["where"] - 1, 0))],
            capture_output=True, check=False, text=True)
        return "%s:%d, %s in %s" % (self.plan["role"], self.plan["at"],
                                    self.plan["name"], p.stdout.strip())


def is_delivery(one):
    return len(one.argv) > 1 and one.argv[1] in ("deliver", "send")


def statuses(played):
    """Of each recipient of the case, what its outcomes were."""
    found = {}
    for one in played.case.runs:
        for row in one.outcomes:
            found.setdefault(row["recipient"], set()).add(row["status"])
    return found


def judge_run(now, before, exits):
    """What is wrong with one run; the outcomes and exits that are usual."""
    if now.status == "hung":
        yield "it hung"
        return
    if now.status == SANITIZER_STATUS or (
            isinstance(now.status, int) and now.status < 0):
        yield "exit %s" % now.status
    if not is_delivery(now):
        return
    last = [x["recipient"] for x in now.outcomes
            if x["status"] in ("delivered", "failed")]
    for name in set(x for x in last if last.count(x) > 1):
        yield "%s has two last outcomes" % name
    for row in now.outcomes:
        if row["status"] in ("delivered", "failed") and \
                row["status"] not in before.get(row["recipient"], ()):
            yield "%s %s: %s" % (row["recipient"], row["status"], row)
    if now.status == FAILED and FAILED not in exits:
        yield "exit %d, which is for good" % FAILED
    if now.status == DELIVERED and any(
            x["recipient"] not in last for x in now.outcomes):
        yield "exit 0, with outcomes of %s alone" % sorted(last)


def is_undeclared(usual, now):
    """The one message was taken, and the run calls it deferred as if not."""
    servers = now.case.servers
    if len(now.case.runs) != 1 or len(servers) != 1 or \
            len(servers[0].connections) != 1 or \
            servers[0].connections[0].error is not None or \
            now.messages() == 0 or now.messages() < usual.messages():
        return False
    return any(b["status"] == "delivered" and a["status"] == "deferred" and
               not a["in_doubt"]
               for b in usual.case.runs[0].outcomes
               for a in now.case.runs[0].outcomes
               if a["recipient"] == b["recipient"])


def judge(usual, now):
    for text in now.findings:
        yield "a sanitizer's finding\n" + text[:6000]
    said = "".join(r.stdout + r.stderr for r in now.case.runs) + \
        "".join(now.logs)
    for m in re.finditer(r".*signal (%s)\b.*" % CRASHES, said):
        yield m.group(0).strip()
    if any(d.was_killed for d in now.case.daemons):
        yield "posternd did not stop"
    before, exits = statuses(usual), [x.status for x in usual.case.runs]
    for one in now.case.runs:
        yield from judge_run(one, before, exits)
    if now.messages() > max(usual.messages(), 1):
        yield "%d messages came, %d are usual" % (now.messages(),
                                                  usual.messages())
    if is_undeclared(usual, now):
        yield "taken by the server, and deferred with no word of that"


def play(name, function, folder, certs, seed, each, only):
    """(how many played, those not reached, faults: what does not hold)."""
    draw = random.Random("%s %s" % (seed, name))
    usual = Played(name, function, folder, certs)
    if usual.findings:
        return 1, 0, ["without a fault: " + x for x in usual.findings]
    calls = {r: n for r, n in usual.plan["calls"].items() if n > 0}
    if usual.error is not None or not calls:
        return 0, 0, []  # skipped, or for run.py to say
    missed, wrong = 0, []
    for _ in range(1 if only else each):
        role = draw.choice(sorted(calls))
        at = draw.randint(1, calls[role])
        if only:
            role, at = only[0], int(only[1])
        now = Played(name, function, folder, certs, role, at)
        missed += now.plan["fired"] == 0
        found = list(judge(usual, now))
        if found or only:
            wrong.append("%s: -k '^%s$' --fault %s:%d (%s)\n   %s\n%s" % (
                "FAILED" if found else "played", re.escape(name), role, at,
                now.fault(), "\n   ".join(x[:6000] for x in found[:10]), now.text))
    return 1 if only else each, missed, wrong


def module_of(function):
    inner = getattr(function, "keywords", {}).get("f", function)
    return inner.__module__


def choose(tests, n, seed):
    """So many, and of each kind as many as of another."""
    kinds = {}
    tests = [x for x in tests if not getattr(x[1], "patient", False)]
    random.Random(seed).shuffle(tests)
    for x in tests:
        kinds.setdefault(module_of(x[1]), []).append(x)
    chosen = []
    while len(chosen) < min(n, len(tests)):
        for kind in kinds.values():
            chosen += [kind.pop()] if kind and len(chosen) < n else []
    return chosen


def main():
    parser = argparse.ArgumentParser(description="session tests with a fault")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches")
    parser.add_argument("-j", metavar="WORKERS", type=int, default=4)
    parser.add_argument("--seed", metavar="N", type=int, default=None)
    parser.add_argument("--sample", metavar="N", type=int, default=60,
                        help="so many cases")
    parser.add_argument("--each", metavar="N", type=int, default=4,
                        help="so many faults for each")
    parser.add_argument("--fault", metavar="ROLE:N", default=None,
                        help="this one alone, and all that is said")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    print("--seed %d" % options.seed, flush=True)
    variants.prepare(options.seed, 40)
    tests = choose(run.collect(options.k), options.sample, options.seed)
    only = options.fault.split(":") if options.fault else None
    folder = tempfile.mkdtemp(prefix="postern-session-")
    total = missed = failed = 0
    try:
        certs = Certificates(os.path.join(folder, "certs"))
        os.chmod(folder, 0o755)
        with futures.ThreadPoolExecutor(options.j) as pool:
            for job in futures.as_completed([
                    pool.submit(play, n, f, folder, certs, options.seed,
                                options.each, only) for n, f in tests]):
                played, not_reached, wrong = job.result()
                total += played
                missed += not_reached
                failed += sum(not x.startswith("played") for x in wrong)
                for text in wrong:
                    print(text, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("%d cases, %d faults, %d of them not reached" % (
        len(tests), total, missed))
    print("%d passed, %d failed" % (total - failed, failed))
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
