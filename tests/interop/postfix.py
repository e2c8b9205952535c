# SPDX-License-Identifier: ISC
"""A private Postfix that has no server to send to but ours.

Unpacked by peers.sh, never installed, and ended by process group.  Its main.cf is
what follows here, and behind that the file of conf/examples that a test is about.
"""
import collections
import email.message
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import wait_for  # noqa
from listener import free_address  # noqa

# As in peers.sh: on every Debian, and nothing runs as them.
USER, GROUP = "games", "operator"
PORT = 2527

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {dir}/etc
import_environment = MAIL_CONFIG, LD_LIBRARY_PATH={libraries}
mail_owner = {user}
setgid_group = {group}
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mta.postern.test
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_client_connection_rate_limit = 0
# Its processes are looked for: they stay.
max_idle = 1h
max_use = 100000
"""

MASTER_CF = """
{address}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

# A line on one recipient.
Line = collections.namedtuple(
    "Line", "program id rcpt relay delay dsn status text line")
LINE = re.compile(
    r"postfix/(\w+)\[\d+\]: (\w+): to=<([^>]*)>,(?: orig_to=<[^>]*>,)? "
    r"relay=(.*?),(?: conn_use=\d+,)? delay=([\d.]+), delays=[\d./]+, "
    r"dsn=([\d.]+), status=(\w+) \((.*)\)$")


class Postfix:
    def __init__(self, peers, main, services="", address=None):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-mta-")
        self.dir = self.folder.name
        os.chmod(self.dir, 0o755)
        self.address = address or free_address()
        self.client = free_address()  # whom it has its mail from
        self.root = peers.root
        self.env = dict(os.environ, LD_LIBRARY_PATH=peers.libraries)
        self.words = {"dir": self.dir, "root": self.root, "user": USER,
                      "group": GROUP, "libraries": peers.libraries,
                      "address": self.address, "port": PORT}
        self.numbers = itertools.count(1)
        self.make_folders()
        self.write("main.cf", MAIN_CF.format(**self.words) + main)
        self.write("master.cf", MASTER_CF.format(**self.words) + services)

    def write(self, name, text):
        with open(os.path.join(self.dir, "etc", name), "w") as f:
            f.write(text)

    def make_folders(self):
        uid = pwd.getpwnam(USER).pw_uid
        for name in ("etc", "data", "queue"):
            os.mkdir(os.path.join(self.dir, name))
        os.chown(self.dir + "/data", uid, 0)
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "maildrop", "pid",
                     "private", "public", "saved", "trace"):
            path = os.path.join(self.dir, "queue", name)
            os.mkdir(path, 0o700 if name == "private" else 0o755)
            os.chown(path, 0 if name == "pid" else uid, 0)

    def __enter__(self):
        with open(self.dir + "/out", "wb") as out:
            self.process = subprocess.Popen(
                [self.root + "/usr/lib/postfix/sbin/master", "-c",
                 self.dir + "/etc", "-d"], env=self.env, stdout=out,
                stdin=subprocess.DEVNULL, stderr=out, start_new_session=True)
        try:
            wait_for(self.answers, 60, "Postfix to answer")
        except Exception:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("Postfix ended")
        try:
            with smtplib.SMTP(self.address, PORT, timeout=60):
                return True
        except OSError:
            return False

    def __exit__(self, *exc):
        if exc[0] is not None:
            with open(self.dir + "/out") as f:
                sys.stderr.write(f.read()[-2000:])
            sys.stderr.write(self.log_text()[-4000:])
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            # what it started is of the group that it leads
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)
        self.folder.cleanup()

    def pids(self):
        """Its processes, by program."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[2]) == self.process.pid and \
                    rest.split()[0] != "Z":
                found[int(pid)] = name
        return found

    def send(self, rcpts, sender="me@sender.test", text="text\n", options=(),
             rcpt_options=(), utf8=False):
        """Hands a message in; its queue id."""
        m = email.message.EmailMessage()
        m["From"], m["To"], m["Subject"] = "me@sender.test", "you", "test"
        m.set_content(text)
        with smtplib.SMTP(self.address, PORT, timeout=120,
                          source_address=(self.client, 0)) as client:
            client.ehlo("submit.test")
            if utf8:
                client.command_encoding = "utf-8"
            for word, octets in [("MAIL FROM:<%s>" % sender, options)] + [
                    ("RCPT TO:<%s>" % rcpt, rcpt_options) for rcpt in rcpts]:
                code, said = client.docmd(" ".join([word, *octets]))
                assert code == 250, (word, said)
            code, said = client.data(m.as_bytes())
            assert code == 250, said
        return re.search(r"queued as (\w+)", said.decode()).group(1)

    def command(self, name, *args):
        return subprocess.run(
            ["%s/usr/sbin/%s" % (self.root, name), "-c", self.dir + "/etc",
             *args], env=self.env, check=True, capture_output=True,
            text=True, timeout=120).stdout

    def flush(self):
        self.command("postqueue", "-f")

    def queue(self):
        """Of each message that it has, the recipients and why they wait."""
        rows = map(json.loads,
                   self.command("postqueue", "-j").splitlines())
        return {row["queue_id"]: {r["address"]: r.get("delay_reason", "")
                                  for r in row["recipients"]} for row in rows}

    def log_text(self):
        try:
            with open(self.dir + "/log", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def lines(self, id=None):
        """What it says of recipients, of one message or of all."""
        found = []
        for line in self.log_text().splitlines(True):
            m = LINE.search(line.rstrip("\n")) if line[-1] == "\n" else None
            if m and id in (None, m.group(2)):
                found.append(Line(*m.groups(), line.rstrip("\n")))
        return found

    def outcomes(self, id, count):
        """The first line of each recipient, once there are so many of them."""
        def told():
            lines = {}
            for line in self.lines(id):
                lines.setdefault(line.rcpt, line)
            return lines if len(lines) >= count else None
        return wait_for(told, 120, "%d outcomes of %s" % (count, id))

    def wait_log(self, words):
        wait_for(lambda: words in self.log_text(), 120, "%r in its log" % words)
        return [line for line in self.log_text().splitlines()
                if words in line]

    def wait_empty(self, flush=False):
        """Until it has no mail; what waits is tried again all the time."""
        def empty():
            queue = self.queue()
            if queue and flush:
                self.flush()
            return not queue
        wait_for(empty, 180, "Postfix's queue to be empty")
