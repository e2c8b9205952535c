# SPDX-License-Identifier: ISC
"""Haraka and chasquid take mail from a live posternd, in clear and by STARTTLS.

Both offer PIPELINING and no CHUNKING, and neither takes commands that come behind
the final dot before its reply: Haraka answers 503 to each of them, chasquid drops
them and closes a minute later.  Each runs as the user that runs the test, from where
peers.sh put it, on an address of its own.
"""
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, Suite, memfd, wait_for  # noqa
from listener import PORT, free_address  # noqa
from run import PEERS  # noqa
from starttls import make_pair  # noqa

MESSAGES = 240
# What a server may be asked beyond its messages: a MAIL for each session.
SESSIONS_MAX = 20

CONFIG = """
transport %(name)s-clear {
	server = "%(address)s:%(port)d"
	tls_security_level = none
}
transport %(name)s-tls {
	server = "%(address)s:%(port)d"
	tls_security_level = encrypt
}
route "clear.test" { transport = %(name)s-clear }
route "tls.test" { transport = %(name)s-tls }
"""


class Server:
    """One that runs in a folder of its own, and ends with the test."""

    def __init__(self, home):
        self.home = home
        self.folder = tempfile.TemporaryDirectory(prefix="postern-mx-")
        self.dir = self.folder.name
        self.address = free_address()
        self.configure()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)

    def text(self, name="out"):
        try:
            with open(os.path.join(self.dir, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def subjects(self):
        """Of each message that it has, as often as it has it."""
        return collections.Counter(
            re.findall(r"^Subject: (\S+)$", self.text("taken"), re.M))

    def __enter__(self):
        with open(os.path.join(self.dir, "out"), "wb") as out:
            self.process = subprocess.Popen(
                self.argv(), cwd=self.dir, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for(self.is_up, 60, "%s to listen" % self.name)
        except Exception:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("%s ended" % self.name)
        return re.search(self.up, self.text())

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.text()[-4000:])
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.folder.cleanup()


class Haraka(Server):
    name = "haraka"
    up = "Listening on|listening on"

    # It takes all, keeps it in one file, and asks no name server.
    PLUGIN = """
'use strict'
const fs = require('node:fs')
exports.hook_lookup_rdns = function (next) { next(OK, 'client.postern.test') }
exports.hook_rcpt = function (next) { next(OK) }
exports.hook_queue = function (next, connection) {
    const subject = connection.transaction.header.get('Subject').trim()
    fs.appendFile('taken', `Subject: ${subject}\\n`, () => next(OK))
}
"""

    def configure(self):
        # One process, for more than one would each write to that file.
        self.write("config/smtp.ini", "listen=%s:%d\nnodes=0\n" % (
            self.address, PORT))
        # It would make one of its own, which takes many seconds of CPU.
        subprocess.run(
            ["openssl", "genpkey", "-genparam", "-algorithm", "DH",
             "-pkeyopt", "group:ffdhe2048", "-out",
             os.path.join(self.dir, "config/dhparams.pem")],
            check=True, capture_output=True)
        self.write("config/log.ini", "[main]\nlevel=protocol\nformat=default\n")
        # It has defaults in that file, and none without it.
        shutil.copy(self.home + "/node_modules/Haraka/config/connection.ini",
                    os.path.join(self.dir, "config"))
        self.write("config/me", "mx.postern.test\n")
        self.write("config/plugins", "tls\nkeep\n")
        self.write("plugins/keep.js", self.PLUGIN)
        for path, name in zip(make_pair(self.dir, "mx.postern.test"),
                              ("cert", "key")):
            os.rename(path, os.path.join(self.dir, "config",
                                         "tls_%s.pem" % name))

    def argv(self):
        modules = self.home + "/node_modules/"
        return [modules + "node/bin/node", modules + "Haraka/bin/haraka",
                "-c", self.dir]

    def mails(self):
        """How often it was sent MAIL, refused ones too."""
        return len(re.findall(r"\] C: MAIL FROM:", self.text()))


class Chasquid(Server):
    name = "chasquid"
    up = "Monitoring HTTP server listening on"

    def configure(self):
        self.write("etc/chasquid.conf", """
hostname: "mx.postern.test"
smtp_address: "%(address)s:%(port)d"
monitoring_address: "%(address)s:%(http)d"
mail_delivery_agent_bin: "%(dir)s/keep"
data_dir: "%(dir)s/data"
mail_log_path: "<stderr>"
""" % {"address": self.address, "port": PORT, "http": PORT + 1,
            "dir": self.dir})
        self.write("keep", "#!/bin/sh\ngrep ^Subject: >>%s/taken\n" % self.dir,
                   0o755)
        self.write("etc/certs/mx.postern.test/README", "")
        for path, name in zip(make_pair(self.dir, "mx.postern.test"),
                              ("fullchain", "privkey")):
            os.rename(path, os.path.join(
                self.dir, "etc/certs/mx.postern.test", name + ".pem"))
        for domain in ("clear.test", "tls.test"):
            self.write("etc/domains/%s/aliases" % domain, "")
            subprocess.run(
                [self.home + "/usr/bin/chasquid-util", "-C=%s/etc" % self.dir,
                 "user-add", "ana@" + domain, "--password=x"],
                check=True, capture_output=True)

    def argv(self):
        return [self.home + "/usr/bin/chasquid", "-config_dir",
                self.dir + "/etc"]

    def mails(self):
        with urllib.request.urlopen("http://%s:%d/debug/vars" % (
                self.address, PORT + 1), timeout=60) as page:
            return json.load(page)["chasquid/smtpIn/commandCount"]["MAIL"]


def hand_in(daemon, domain):
    """All messages, as fast as they are taken; the job socket, on which their
    outcomes come."""
    job = Job(daemon.dir + "/run/job")
    job.sock.settimeout(120)
    for i in range(MESSAGES):
        fd = memfd(b"Subject: %s-%d\n\ntext\n" % (domain.encode(), i) +
                   b"a line of text\n" * (i % 40 * 10))
        # No sender: there is no domain of it that chasquid asks for its SPF.
        job.send({"from": "", "rcpts": ["ana@" + domain],
                  "wait": "final"}, fd)
        os.close(fd)
    return job


def outcomes(job):
    done, statuses = 0, collections.Counter()
    while done < MESSAGES:
        row = job.receive()
        assert row.get("status") != "refused", row
        if "recipient" in row:
            statuses[row["status"]] += 1
        done += bool(row.get("done"))
    job.close()
    return dict(statuses)


def takes_all(server, results):
    """Each message once, and none has to wait."""
    with server, Daemon(CONFIG % {
            "name": server.name, "address": server.address,
            "port": PORT}) as daemon:
        for domain in ("clear.test", "tls.test"):
            before = server.mails() if server.subjects() else 0
            started = time.monotonic()
            statuses = outcomes(hand_in(daemon, domain))
            seconds = time.monotonic() - started
            lines = [line for line in daemon.log_text().splitlines()
                     if "@%s>" % domain in line and "status=" in line]
            other = [line for line in lines if "status=sent" not in line]
            assert statuses == {"delivered": MESSAGES} and not other, \
                (statuses, other[:3])
            want = collections.Counter(
                {"%s-%d" % (domain, i): 1 for i in range(MESSAGES)})

            def had():
                return collections.Counter({
                    k: v for k, v in server.subjects().items()
                    if k.startswith(domain)})
            wait_for(lambda: had().keys() == want.keys(), 60,
                     "%s to have all of them" % server.name)
            assert had() == want, had() - want
            mails = server.mails() - before
            assert MESSAGES <= mails <= MESSAGES + SESSIONS_MAX, mails
            results.append("%s, %s: %d of %d delivered, %d MAIL, %.1f s" % (
                server.name, "in clear" if domain == "clear.test" else
                "by STARTTLS", statuses["delivered"], MESSAGES, mails,
                seconds))


def fetched(name):
    """Where peers.sh put it, or why it could not."""
    done = subprocess.run(["sh", PEERS, name], capture_output=True, text=True,
                          check=False)
    return (done.stdout.strip() if done.returncode == 0 else None,
            done.stderr.strip().splitlines()[-1:])


def run(suite):
    results = []
    for server in (Haraka, Chasquid):
        home, why = fetched(server.name)
        if home is None:
            suite.skip("mail to " + server.name, " ".join(why))
            continue
        suite.check("%s takes %d messages in clear and by STARTTLS, each once"
                    % (server.name, MESSAGES),
                    lambda s=server, h=home: takes_all(s(h), results))
    for line in results:
        print("   " + line)


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
