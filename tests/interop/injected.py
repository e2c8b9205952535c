# SPDX-License-Identifier: ISC
"""Postfix's smtp-sink, told to fail at each command in each of its ways."""
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Suite, wait_for  # noqa
from run import Peers  # noqa

# Which step the outcome names; for DATA and the end of the message too.
STEPS = {"connect": "greeting", "ehlo": "ehlo", "lhlo": "ehlo",
         "mail": "mail", "rcpt": "rcpt", "data": "data", ".": "final",
         "quit": None}
# smtp-sink's option, and what it does at the command.
WAYS = {"-f": "refuses", "-r": "refuses for now", "-q": "closes",
        "-Q": "says 421", "-W": "is silent"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Tests:
    def __init__(self, peers, daemon):
        self.p = peers
        self.d = daemon

    def sink(self, *options):
        port = free_port()
        argv = [self.p.smtp_sink, *options, "127.0.0.1:%d" % port, "20"]
        if os.geteuid() == 0:
            argv[1:1] = ["-u", "nobody"]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ, LD_LIBRARY_PATH=self.p.libraries))
        wait_for(lambda: self.listens(port), what="smtp-sink")
        return process, port

    def listens(self, port):
        with open("/proc/net/tcp", encoding="ascii") as f:
            return "0100007F:%04X 00000000:0000 0A" % port in f.read()

    def deliver(self, lmtp, options):
        process, port = self.sink(*options)
        started = time.monotonic()
        try:
            r = self.d.postern(
                "deliver", "--json", "--from", "a@b.test", "--server",
                "127.0.0.1:%d" % port, "--tls", "none", "--step-timeout", "1",
                *(("--lmtp",) if lmtp else ()), "c@d.test", "e@d.test",
                message=b"Subject: x\n\nx\n")
        finally:
            process.kill()
            process.wait()
        assert time.monotonic() - started < 10, "it took too long"
        return [json.loads(x) for x in r.stdout.splitlines()]

    def inject(self, lmtp, command, way):
        options = ["-L"] if lmtp else []
        # While it keeps one command waiting, it takes the next all the same.
        options += ["-p", way, command + ":3"] if way == "-W" else [
            way, command]
        rows = self.deliver(lmtp, options)
        assert len(rows) == 2, rows
        for row in rows:
            self.judge(row, command, way)

    def judge(self, row, command, way):
        helo = command == "ehlo" and way == "-f"  # RFC 5321, 3.2
        if command == "quit" or helo:
            assert row["status"] == "delivered", row
            return
        want = {"-f": ("failed", 500), "-r": ("deferred", 450),
                "-q": ("deferred", 0), "-Q": ("deferred", 421),
                "-W": ("deferred", 0)}[way]
        assert (row["status"], row["code"]) == want, row
        assert row["step"] == STEPS[command], row
        # Whether it has arrived, nobody knows then: Dovecot says 421 in the
        # place of the reply to a message that it has saved.
        doubt = command == "." and way in ("-q", "-W", "-Q")
        assert row["in_doubt"] == doubt, row


def run(suite):
    with Peers() as peers, Daemon("") as daemon:
        tests = Tests(peers, daemon)
        for lmtp in (False, True):
            hello = "lhlo" if lmtp else "ehlo"
            for command in ("connect", hello, "mail", "rcpt", "data", ".",
                            "quit"):
                for way, words in WAYS.items():
                    if command == "connect" and way == "-W":
                        continue  # it has no such delay
                    suite.check(
                        "smtp-sink %s at %s%s" % (
                            words, command, ", LMTP" if lmtp else ""),
                        lambda c=command, w=way, p=lmtp:
                        tests.inject(p, c, w))


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
