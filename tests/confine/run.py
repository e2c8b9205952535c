# SPDX-License-Identifier: ISC
"""Attacks from inside a live worker, and the walls as the kernel tells them.

Each attack of attacks.def runs in a worker whose TLS session is up and which
holds all its descriptors; the kernel must end it there and then.  As root, and
again without.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import (ROOT, ROLE_UIDS, Daemon, Suite, layers, wait_for)  # noqa
from inject import inject  # noqa
from tls_server import Server  # noqa

SIGSYS = "signal 31"
SURVIVED = "status 77"


def attacks():
    with open(os.path.join(ROOT, "tests/confine/attacks.def")) as f:
        return re.findall(r'^ATTACK\((\w+),\s*"(.*)"\)', f.read(), re.M)


def attack(server, name, plain):
    """Once the outcome is told the queue may end before it hears from the agent
    how the worker did: then there is no word of it, and we look again."""
    want = SURVIVED if name == "nothing" else SIGSYS
    for _ in range(5):
        log = attack_once(server, name, plain)
        if want in log or SURVIVED in log:
            break
    assert want in log, "no %r in: %s" % (want, log)


def attack_once(server, name, plain):
    d = Daemon(build="build/attacks", plain=plain)
    try:
        r = d.postern(
            "deliver", "--server", "127.0.0.1:%d" % server.port, "--tls",
            "encrypt", "--ehlo",
            "attack-%s.invalid" % name.replace("_", "-"), "--json", "--from",
            "a@b.test", "c@d.test", message=b"Subject: x\n\nx\n")
    finally:
        d.clear()
    result = json.loads(r.stdout)
    assert result["status"] == "deferred", result
    assert not result["in_doubt"], result
    assert r.returncode == 75, r.returncode
    return r.stderr.decode()


def expected_calls(path):
    """The names of a .def list, with those it includes."""
    with open(os.path.join(ROOT, path)) as f:
        text = f.read()
    # What only other architectures have: calls that are missing there.
    if os.uname().machine == "x86_64":
        text = re.sub(r"^#ifndef __NR_.*?^#endif$", "", text, flags=re.M | re.S)
    names = set(re.findall(r"^ALLOW\((\w+),", text, re.M))
    for include in re.findall(r'^#include "(.*)"', text, re.M):
        names |= expected_calls(include)
    return names


FILTERS = {
    "intake": "master/intake/intake_filter.def",
    "control": "master/operator/control_filter.def",
    "queue": "master/queue/queue_filter.def",
    "resolver": "master/resolver/resolver_filter.def",
    "dialer": "master/dialer/dialer_filter.def",
    "agent": "agent/agent_filter.def",
    "signer": "master/signer/signer_filter.def",
    "metrics": "master/metrics/metrics_filter.def",
    "worker": "agent/worker_filter.def",
}


def loaded_filter(pid, role):
    r = subprocess.run([os.path.join(ROOT, "build/filters"), str(pid)],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    rows = dict(line.split() for line in r.stdout.splitlines())
    want = expected_calls(FILTERS[role])
    assert set(rows) == want, "loaded and listed differ: %s" % (
        set(rows) ^ want)
    print("   %s: %d calls, %d of them conditional" % (
        role, len(rows), list(rows.values()).count("conditional")))
    if role == "worker":
        assert len(rows) <= 12, rows
        print("   " + ", ".join(sorted(
            n + ("*" if c == "conditional" else "")
            for n, c in rows.items())))


def walls(process, plain, log):
    w = layers(process)
    role = process["role"]
    assert w["caps"] == "none" and w["bounding"] == "none" or plain, w
    assert w["caps"] == "none", w
    assert w["no_new_privs"] == "yes" and w["seccomp"] == "filter", w
    if not plain:
        uid = ROLE_UIDS["agent" if role == "worker" else role]
        assert w["uid"] == str(uid) and w["groups"] == "none", w
    if not w["landlock"].startswith("no") and role != "queue":
        assert w["landlock"].endswith(",seen"), w
    # "?": without a namespace over them we may not read a role's links
    spaces = w["namespaces"].split(",")
    if spaces == ["?"]:
        assert "grants us no namespaces" in log, w
        spaces = ["none"]
    if spaces != ["none"] and role in ("agent", "worker", "intake", "control",
                                       "queue", "signer", "metrics"):
        for space in ("net", "mnt", "ipc", "uts"):
            assert space in spaces, w
        if role != "queue":
            assert w["root"] == "empty", w
    if spaces != ["none"] and role in ("agent", "worker"):
        assert "pid" in spaces, w
    if role == "worker":
        assert w["filters"] == "2", w
        for limit, value in (("nproc", "0"), ("fsize", "0"), ("core", "0"),
                             ("nofile", "6"), ("data", "0")):
            assert w[limit] == value, w
    if plain and spaces == ["none"]:
        print("   this host grants no user namespace")


def daemon_tests(suite, server, plain):
    who = "plain user" if plain else "root"
    body = """
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = encrypt
	connection_idle_time = 60s
}
route "*" { transport = sink }
""" % server.port
    with Daemon(body, plain=plain) as d:
        answers = d.send(["c@d.test"], b"Subject: x\n\nx\n")
        assert answers[-1]["status"] == "delivered", answers
        processes = wait_for(
            lambda: [p for p in d.status() if p["role"] != "master"],
            what="status")
        roles = {p["role"] for p in processes}
        assert roles == set(FILTERS), roles
        for p in processes:
            suite.check("walls of the %s (%s)" % (p["role"], who),
                        lambda p=p: walls(p, plain, d.log_text()))
            if not plain and os.geteuid() == 0:
                suite.check(
                    "loaded filter of the %s (%s)" % (p["role"], who),
                    lambda p=p: loaded_filter(p["pid"], p["role"]))


def a_forbidden_call_is_named():
    """As root by the kernel's record; else the log says where that is."""
    with Daemon() as d:
        for role in sorted(ROLE_UIDS):
            pid = d.pids(role)[0]
            assert inject(pid, "getpid", "sysinfo 0")[1:] == [["dies", "SYS"]]
            wait_for(lambda p=pid, r=role:
                     "the %s [%d]: its filter forbids sysinfo" % (r, p) in
                     d.log_text() or
                     "the %s [%d]: the kernel's log names the system call" %
                     (r, p) in d.log_text(), what="the call's name")
            wait_for(lambda r=role: d.pids(r), what="another %s" % role)


def main():
    suite = Suite()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        runs = [True] if os.geteuid() != 0 else [False, True]
        for plain in runs:
            who = "plain user" if plain else "root"
            suite.check("a daemon with walls (%s)" % who,
                        lambda p=plain: daemon_tests(suite, server, p))
            for name, text in attacks():
                suite.check("attack: %s (%s)" % (text, who),
                            lambda n=name, p=plain: attack(server, n, p))
        if os.geteuid() == 0:
            suite.check("a call that ended a role is named",
                        a_forbidden_call_is_named)
        if os.geteuid() != 0:
            suite.skip("the same as root", "this is a run without root")
    suite.end()


main()
