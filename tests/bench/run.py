# SPDX-License-Identifier: ISC
"""Speed and memory, as figures; nothing here passes or fails.

Messages of 4 KiB: accepted from 20 clients, drained from a full queue to a
local SMTP and LMTP sink, and to the real Dovecot; CPU of all our processes a
1,000 messages; PSS of a worker with an idle TLS 1.3 session, 200 at a time.
BENCH_MESSAGES sets how many (20000); BENCH_DIR where the disk image lies.

The queue role alone, with BENCH_QUEUED (1000000) recipients in its spool against
10,000, to one domain and to many: when it delivers first, its memory, and what a
message costs; and the same where every domain is dead.  With the argument full,
that alone.
"""
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, Job, layers, memfd, wait_for  # noqa
from tools import TICK, Disk, Sink, build, build_linked, machine  # noqa

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "20000"))
QUEUED = int(os.environ.get("BENCH_QUEUED", "1000000"))
FEW = 10000
SIZE = 4096


def full_queue(program):
    """The queue role with a full spool, beside one with little in it."""
    for what, options, few, many in (
            ("one domain", [], 1, 1),
            ("a domain for 10 recipients", [], FEW // 10, QUEUED // 10),
            ("the same, and all are dead", ["-f"], FEW // 10, QUEUED // 10)):
        for queued, domains in ((FEW, few), (QUEUED, many)):
            # Of the dead, most of the domains are tried once.
            sent = domains * 9 // 10 if options else min(queued, 100000)
            with tempfile.TemporaryDirectory(prefix="postern-full-") as spool:
                out = subprocess.run(
                    [program, *options, "-q", str(queued), "-n", str(sent),
                     "-d", str(domains), spool], check=True,
                    capture_output=True, text=True).stdout.splitlines()
            print("queue role, %s: %s" % (what, "; ".join(out)))
            sys.stdout.flush()


def cpu_seconds(daemon):
    """User and system time of the master and all below it, the dead too."""
    total = 0
    for pid in [p["pid"] for p in daemon.status()]:
        try:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(fields[i]) for i in (11, 12))
        # what the agent waited for; nobody else has children of ours
        if pid in daemon.pids("agent"):
            total += sum(int(fields[i]) for i in (13, 14))
    return total / TICK


def transport(port, protocol="smtp"):
    return """
qmgr_recipient_active_limit = 20000
transport sink {
	protocol = %s
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
""" % (protocol, port)


def wait_empty(daemon):
    wait_for(lambda: time.sleep(0.3) or
             sum(daemon.queue()[-1]["counts"].values()) == 0, 600,
             "an empty queue")


def drain(submit, sink, protocol, how):
    """A full queue against a sink that begins to read."""
    with Daemon(transport(sink.port, protocol)) as d:
        sink.pause(True)
        rate = subprocess.run(
            [submit, d.dir + "/run/job", "20", str(MESSAGES), str(SIZE),
             "b@sink.test"], check=True, capture_output=True, text=True).stdout
        accept_cpu = cpu_seconds(d)
        before = time.monotonic()
        sink.pause(False)
        wait_for(lambda: sink.taken() >= MESSAGES, 600, "the sink")
        seconds = time.monotonic() - before
        wait_for(lambda: d.queue()[-1]["counts"]["active"] == 0, 60,
                 "the last outcomes")
        cpu = cpu_seconds(d) - accept_cpu
    print("accept, 20 clients, durable: %d messages/s, %.3f CPU s a 1,000"
          % (int(rate), accept_cpu * 1000 / MESSAGES))
    print("drain a full queue to a local %s sink, clear, %s: %d messages/s, "
          "%.3f CPU s a 1,000" % (protocol.upper(), how, MESSAGES / seconds,
                                  cpu * 1000 / MESSAGES))


def dovecot(submit, messages):
    peers = os.path.join(ROOT, "tests/interop/peers.sh")
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        os.chmod(folder, 0o755)
        os.mkdir(folder + "/p")
        subprocess.run(["sh", peers, "fetch"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run(["sh", peers, "start", folder + "/p"], check=True,
                       stdout=subprocess.DEVNULL)
        try:
            with open(folder + "/p/env") as f:
                env = dict(re.findall(r"^(\w+)='(.*)'$", f.read(), re.M))
            body = """
transport dovecot {
	protocol = lmtp
	server = "unix:%s"
	tls_security_level = none
}
route "*" { transport = dovecot }
""" % env["LMTP_SOCKET"]
            with Daemon(body) as d:
                os.kill(int(env["DOVECOT_PID"]), signal.SIGSTOP)
                subprocess.run([submit, d.dir + "/run/job", "20",
                                str(messages), str(SIZE),
                                "ana@" + env["LMTP_DOMAIN"]], check=True,
                               stdout=subprocess.DEVNULL)
                accepted = cpu_seconds(d)
                before = time.monotonic()
                os.kill(int(env["DOVECOT_PID"]), signal.SIGCONT)
                wait_empty(d)
                seconds = time.monotonic() - before
                cpu = cpu_seconds(d) - accepted
        finally:
            subprocess.run(["sh", peers, "stop", folder + "/p"])
    print("drain a full queue to Dovecot, LMTP by a Unix socket: %d "
          "messages/s, %.3f CPU s a 1,000 (ours)"
          % (messages / seconds, cpu * 1000 / messages))


def memory(workers):
    """One domain a worker, each to the same TLS server; all idle."""
    sys.path.insert(0, os.path.join(ROOT, "tests/confine"))
    from tls_server import Server
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        body = ""
        for i in range(workers):
            body += """
transport t%d { server = "127.0.0.1:%d" tls_security_level = encrypt
	connection_idle_time = 300s }
route "d%d.test" { transport = t%d }
""" % (i, server.port, i, i)
        with Daemon("process_limit = %d\n" % (workers + 10) + body) as d:
            job = Job(d.dir + "/run/job")
            for i in range(workers):
                fd = memfd(b"Subject: x\n\nx\n")
                job.send({"from": "", "rcpts": ["a@d%d.test" % i]}, fd)
                os.close(fd)
                job.receive()
            wait_empty(d)
            rows = [layers(p) for p in d.status() if p["role"] == "worker"]
            pss = [int(r["pss_kib"]) for r in rows]
    print("PSS of a worker with an idle TLS 1.3 session, %d at a time: "
          "median %d KiB, most %d KiB" % (len(pss), statistics.median(pss),
                                          max(pss)))


def main():
    with tempfile.TemporaryDirectory() as folder, Disk(16):
        os.chmod(folder, 0o755)
        machine()
        full_queue(build_linked(folder, "queue_bench"))
        if sys.argv[1:] == ["full"]:
            return
        sink_program = build(folder, "sink")
        submit = build(folder, "submit")
        print("%d messages of %d octets" % (MESSAGES, SIZE))
        for protocol, how, args in (
                ("smtp", "DATA", ()), ("smtp", "flights", ("-c",)),
                ("lmtp", "DATA", ("-l",)), ("lmtp", "flights", ("-l", "-c"))):
            sink = Sink(sink_program, *args)
            try:
                drain(submit, sink, protocol, how)
            finally:
                sink.close()
        dovecot(submit, min(MESSAGES, 3000))
        memory(int(os.environ.get("BENCH_WORKERS", "200")))


main()
