# SPDX-License-Identifier: ISC
"""Debian's Exim and OpenSMTPD hand their mail to us, as conf/examples has it.

Each runs unpacked, in a mount namespace of its own: with users that this machine
lacks, and private folders over the places that are compiled in.
"""
import glob
import os
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Suite, wait_for  # noqa
from listener import free_address  # noqa
from mta import Behind, example, unpacked  # noqa
from postfix import PORT, USER  # noqa
from run import PEERS, Peers  # noqa

MESSAGE = b"From: me@sender.test\nSubject: test\n\ntext\n"

# For each recipient, how Exim's log calls it, and what the far end says.
HEARD = {
    "good@sink.test": (("=>", "->"), "250 2.0.0 Ok: taken as S1"),
    "ana@dovecot.test": (("=>", "->"), "250 2.0.0 <ana@dovecot.test> "),
    "later@sink.test": (("==",), "451 4.2.1 <later>: come back, please"),
    "never@sink.test": (("**",), "550 5.1.1 <never>: nobody of this name"),
    "full@dovecot.test": (("**",), "552 5.2.2 <full@dovecot.test> Quota"),
    "nobody@dovecot.test": (("**",), "550 5.1.1 <nobody@dovecot.test> User"),
}
# The same in OpenSMTPD's.
RESULTS = {"=>": "Ok", "==": "TempFail", "**": "PermFail"}


def hears(words, text):
    """Whether the far end's words are in it, and in front of them its name."""
    code, dsn, said = words.split(" ", 2)
    return re.search(re.escape("%s %s " % (code, dsn)) +
                     r"host \S+\[\S+\](:\d+)? said: " + re.escape(said), text)


# In there; Exim's is one that a listener's group can be, by name (postfix.py).
EXIM_IDS = pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid
USERS = {"Debian-exim": EXIM_IDS, "opensmtpd": (64912, 64912),
         "opensmtpq": (64913, 64913)}

# What a program sees that runs in it: $0 is the folder, the rest a command.
NAMESPACE = """
set -e
for file in passwd group; do
	mount --bind "$0/$file" /etc/$file
done
for place in /var/spool /var/lib /run /usr/libexec; do
	if [ -d "$0$place" ]; then mount --bind "$0$place" $place; fi
done
exec "$@"
"""


def behind(peers, more=""):
    site = Behind(peers)
    site.configure(USER, more)
    return site


class Mta:
    """One that runs in a namespace, as root, and ends with the test."""

    def __init__(self, peers):
        self.folder = tempfile.TemporaryDirectory(prefix="postern-mta-")
        self.dir = self.folder.name
        os.chmod(self.dir, 0o755)
        self.root = peers.root
        self.env = dict(os.environ, LD_LIBRARY_PATH=peers.libraries)
        self.process = None
        for name, line in (("passwd", "%s:x:%d:%d::/nonexistent:/bin/false"),
                           ("group", "%s:x:%d:")):
            with open("/etc/" + name) as f:
                rows = [row for row in f.read().splitlines()
                        if row.split(":")[0] not in USERS]
            rows += [line % (user, *ids[:line.count("%d")])
                     for user, ids in USERS.items()]
            self.write(name, "\n".join(rows) + "\n")

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def inside(self, *argv):
        return ["unshare", "-m", "--propagation", "private", "sh", "-c",
                NAMESPACE, self.dir, *argv]

    def run(self, *argv, message=b"", check=True):
        return subprocess.run(self.inside(*argv), env=self.env, input=message,
                              check=check, capture_output=True, timeout=120)

    def start(self, *argv):
        with open(self.path("out"), "wb") as out:
            self.process = subprocess.Popen(
                self.inside(*argv), env=self.env, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True)

    def text(self, name):
        try:
            with open(self.path(name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, words):
        wait_for(lambda: words in self.text(self.log), 120,
                 "%r in its log" % words)
        return [line for line in self.text(self.log).splitlines()
                if words in line]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.text("out")[-2000:])
            sys.stderr.write(self.text(self.log)[-4000:])
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGTERM)
                self.process.wait(60)
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)
        self.folder.cleanup()


EXIM = """
primary_hostname = mta.postern.test
spool_directory = {dir}/spool
log_file_path = {dir}/log_%slog
exim_path = {root}/usr/sbin/exim4
keep_environment = LD_LIBRARY_PATH
domainlist local_domains = mta.postern.test
never_users =
tls_advertise_hosts =
queue_only
"""


class Exim(Mta):
    log = "log_mainlog"

    def __init__(self, peers, text):
        super().__init__(peers)
        self.program = self.root + "/usr/sbin/exim4"
        os.mkdir(self.path("spool"))
        os.chown(self.path("spool"), *EXIM_IDS)
        os.chown(self.dir, *EXIM_IDS)
        self.write("exim.conf", EXIM.format(dir=self.dir, root=self.root) +
                   text)

    def exim(self, *args, message=b""):
        return self.run(self.program, "-C", self.path("exim.conf"), *args,
                        message=message).stdout.decode()

    def deliver(self):
        """One attempt of all that it has.

        Each is started by us: what it starts itself as its own user has no
        right to a configuration of another name."""
        for path in glob.glob(self.path("spool/input/*-H")):
            self.exim("-M", os.path.basename(path)[:-2])

    def send(self, rcpts):
        """Its id."""
        self.exim("-odq", "-i", "-f", "me@sender.test", *rcpts,
                  message=MESSAGE)
        self.deliver()
        return re.search(r"(\S+) <= me@sender\.test",
                         self.text(self.log)).group(1)

    def queue(self):
        return self.exim("-bp")


def exim_hears_each_recipients_result(peers):
    with behind(peers) as site, Exim(peers, example(
            "exim.conf", __run__postern__=site.daemon.dir + "/run/")) as mta:
        before = len(site.mailbox("ana"))
        id = mta.send(HEARD)
        lines = {}
        for line in mta.text(mta.log).splitlines():
            m = re.search(id + r" (=>|->|==|\*\*) (?:\w+ <)?([^ >]+)>? R=", line)
            if m:
                lines[m.group(2)] = (m.group(1), line)
        assert sorted(lines) == sorted(HEARD), lines
        for rcpt, (signs, words) in HEARD.items():
            assert lines[rcpt][0] in signs, lines[rcpt]
            assert hears(words, lines[rcpt][1]), lines[rcpt]
        assert len(site.mailbox("ana")) == before + 1
        mta.deliver()  # its bounce
        notice = wait_for(lambda: site.sink.got("me@sender.test"), 120,
                          "Exim's bounce")[0].text.decode()
        assert "nobody of this name" in notice, notice
        queue = mta.queue()
        assert id in queue and "later@sink.test" in queue, queue


def listens(address):
    try:
        smtplib.SMTP(address, PORT, timeout=60).close()
    except OSError:
        return False
    return True


class OpenSmtpd(Mta):
    log = "out"

    def __init__(self, peers, text):
        super().__init__(peers)
        for name in ("var/spool/smtpd", "var/lib/opensmtpd/empty", "run",
                     "usr/libexec"):
            os.makedirs(self.path(name))
        os.chmod(self.path("var/spool/smtpd"), 0o711)
        shutil.copytree(self.root + "/usr/libexec/opensmtpd",
                        self.path("usr/libexec/opensmtpd"))
        self.write("smtpd.conf", text)

    def __enter__(self):
        self.start(self.root + "/usr/sbin/smtpd", "-d", "-v", "-f",
                   self.path("smtpd.conf"))
        try:
            wait_for(self.is_up, 60, "OpenSMTPD to start")
        except Exception:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError("OpenSMTPD ended")
        return "smtpd: setup done" in self.text("out")

    @staticmethod
    def send(address, rcpts):
        wait_for(lambda: listens(address), 60, "OpenSMTPD to listen")
        with smtplib.SMTP(address, PORT, timeout=120) as client:
            refused = client.sendmail("me@sender.test", rcpts, MESSAGE)
            assert not refused, refused


def opensmtpd_hands_over_to_the_queue(peers):
    address = free_address()
    with behind(peers) as site:
        text = example("smtpd.conf", **{
            "127.0.0.1:2424": site.tcp + ":2424", "listen on lo":
            "listen on %s port %d" % (address, PORT)})
        with OpenSmtpd(peers, text) as mta:
            rcpts = [rcpt for rcpt in HEARD if "later" not in rcpt]
            mta.send(address, rcpts)
            ours = set()
            for rcpt in rcpts:
                line = mta.wait_log(" to=<%s> " % rcpt)[0]
                m = re.search(r'result="Ok" stat="250 2\.0\.0 Ok: queued as '
                              r'([0-9A-F]+)"', line)
                assert m, line
                ours.add(m.group(1))
            assert len(ours) == 1, ours
            qid = ours.pop()
            for rcpt in rcpts:
                words = HEARD[rcpt][1]
                line = site.log("%s: to=<%s>," % (qid, rcpt))[0]
                assert words in line, line
            assert wait_for(lambda: site.sink.got("me@sender.test"), 120,
                            "our bounce")


FINAL = """
listener one {
	protocol = lmtp
	listen = "%s:2425"
	answer = final
}
"""


def opensmtpd_hears_what_the_remote_said(peers):
    """Message by message: two replies in one packet it takes for an error."""
    address, place = free_address(), free_address()
    with behind(peers, FINAL % place) as site:
        text = example("smtpd.conf", **{
            "smtp://127.0.0.1:2424": "lmtp://%s:2425" % place, "listen on lo":
            "listen on %s port %d" % (address, PORT)})
        with OpenSmtpd(peers, text) as mta:
            for rcpt, (signs, words) in HEARD.items():
                mta.send(address, [rcpt])
                line = mta.wait_log(" to=<%s> " % rcpt)[0]
                assert 'result="%s"' % RESULTS[signs[0]] in line, line
                assert hears(words, line), line


def run(suite):
    if os.geteuid() != 0:
        for name in ("Exim", "OpenSMTPD"):
            suite.skip(name + " in front of us", "it needs root")
        return
    subprocess.run(["sh", PEERS, "mtas"], check=True,
                   stdout=subprocess.DEVNULL)
    with Peers() as peers:
        peers.root = unpacked(peers)
        for name, test in (
                ("behind Exim: each recipient has its own outcome",
                 exim_hears_each_recipients_result),
                ("behind OpenSMTPD: it hands over to our queue",
                 opensmtpd_hands_over_to_the_queue),
                ("behind OpenSMTPD: it hears what the remote said",
                 opensmtpd_hears_what_the_remote_said)):
            suite.check(name, lambda t=test: t(peers))


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
