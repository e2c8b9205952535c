# SPDX-License-Identifier: ISC
"""What a queue does whose disk is full, read-only or damaged."""
import os
import re
import signal
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROLE_UIDS, Daemon, wait_for  # noqa
from sink import Sink, slow  # noqa
from transient import Client  # noqa

MESSAGE = b"Subject: test\n\ntext\n"
LARGE = b"Subject: large\n\n" + b"0123456789abcde\n" * 30000
IS_ROOT = os.geteuid() == 0

CONFIG = """
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_minfree = %s
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
"""


class Disk(Daemon):
    """posternd whose spool is a small file system of its own."""

    MOUNT = "mount -t tmpfs -o size=%(size)s none %(at)s"

    def __init__(self, sink, size, minfree="0"):
        super().__init__(CONFIG % (minfree, sink.port))
        os.mkdir(self.dir + "/spool")
        # In a namespace that goes with its last process, whatever happens.
        mount = self.MOUNT % {"size": size, "at": self.dir + "/spool",
                              "image": self.dir + "/image"}
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mount + " && chown %d:%d %s/spool "
             "&& chmod 700 %s/spool && echo ready && exec sleep 600" % (
                 ROLE_UIDS["queue"], ROLE_UIDS["queue"], self.dir, self.dir)],
            stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n", "no mount"
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-m"]

    def clear(self):
        super().clear()
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def run(self, *argv):
        return subprocess.run(self.prefix + list(argv), check=True,
                              capture_output=True, text=True).stdout

    def spool(self, name):
        return "/proc/%d/root%s/spool/%s" % (self.holder.pid, self.dir, name)

    def fill(self):
        """To the last block, as another program would."""
        with open(self.spool("other"), "wb", buffering=0) as f:
            for size in (65536, 4096, 512):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def empty(self):
        os.unlink(self.spool("other"))

    def mount(self, how):
        self.run("mount", "-o", "remount," + how, self.dir + "/spool")

    def take(self, rcpts, message=MESSAGE):
        """Hands one message in for each, until one is refused: who was taken,
        and the last answer."""
        kept = []
        answer = None
        for rcpt in rcpts:
            answer = self.send([rcpt], message, wait="queued")[0]
            if answer["status"] != "queued":
                break
            kept.append(rcpt)
        return kept, answer

    def empties(self, sink, kept):
        """All that was acknowledged arrives, once, and the queue is empty."""
        wait_for(lambda: all(sink.got(r) for r in kept), 60,
                 "what was acknowledged")
        wait_for(lambda: self.queued() == [], 40, "an empty queue")
        assert [len(sink.got(r)) for r in kept] == [1] * len(kept)

    def takes_again(self):
        answers = wait_for(lambda: (lambda a: len(a) > 1 and a)(
            self.send(["z@x.test"], MESSAGE)), 20, "a job to be taken")
        assert answers[1]["status"] == "delivered", answers
        start = self.log_text().rindex("queue open:")
        assert not re.search("died|ended with", self.log_text()[start:])


def a_full_disk_refuses_and_recovers():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Disk(sink, "4m") as d:
            kept, answer = d.take(["f%d@x.test" % i for i in range(20)],
                                  LARGE)
            assert (answer["code"], answer["dsn"]) == (452, "4.3.1"), answer
            assert kept, "nothing was taken"
            kept += d.take(["s@x.test"])[0]
            sink.rcpt = "250 2.1.5 ok"
            d.empties(sink, kept)
            d.takes_again()


def mail_alone_does_not_fill_the_disk_to_where_none_gets_out():
    """What the log of the database holds goes into the database later, which grows
    by that: on a small disk the log is small."""
    with Sink() as sink:
        with Disk(sink, "16m", "1m") as d:
            assert d.postern("pause", "--all").returncode == 0
            kept, answer = d.take(["m%d@x.test" % i for i in range(4000)],
                                  MESSAGE * 300)
            assert (answer["code"], answer["dsn"]) == (452, "4.3.1"), answer
            os.kill(d.pids("queue")[0], signal.SIGKILL)
            wait_for(lambda: d.log_text().count("queue open:") == 2, 30,
                     "the queue")
            assert d.postern("resume", "--all").returncode == 0
            d.empties(sink, kept)


def a_disk_that_others_fill_lets_out_what_is_queued():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Disk(sink, "32m") as d:
            kept, _ = d.take(["f%d@x.test" % i for i in range(60)])
            assert len(kept) == 60, len(kept)
            d.fill()
            refused = d.send(["n@x.test"], LARGE, wait="queued")[0]
            assert (refused["code"], refused["dsn"]) == (452, "4.3.1"), refused
            # What is kept of each reply makes the database grow.
            sink.rcpt = "450 4.2.0 " + 450 * "x"
            wait_for(lambda: "kept in reserve is used" in d.log_text(), 60,
                     "the reserve to be used")
            sink.rcpt = "250 2.1.5 ok"
            # Still full, and everything goes out.
            d.empties(sink, kept)
            assert sink.got("n@x.test") == []
            d.empty()
            d.takes_again()
            wait_for(lambda: "has room again" in d.log_text(), 20,
                     "the reserve to be kept again")


def a_queue_starts_on_a_full_disk_and_delivers():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Disk(sink, "32m") as d:
            kept, _ = d.take(["f%d@x.test" % i for i in range(20)])
            d.stop()
            d.fill()
            sink.rcpt = "250 2.1.5 ok"
            d.start()
            d.empties(sink, kept)


def room_is_left_for_what_is_queued():
    with Sink() as sink:
        with Disk(sink, "32m", "8m") as d:
            sink.rcpt = "450 4.2.0 later"
            kept, answer = d.take(["f%d@x.test" % i for i in range(100)],
                                  LARGE)
            assert (answer["code"], answer["dsn"]) == (452, "4.3.1"), answer
            left = os.statvfs(d.spool(""))
            assert left.f_bavail * left.f_bsize > 6 << 20, left
            assert "jobs are refused" in d.log_text()
            sink.rcpt = "250 2.1.5 ok"
            d.empties(sink, kept)
            d.takes_again()
            assert "jobs are taken again" in d.log_text()


class Ext4(Disk):
    """On ext4, which turns read-only by itself where it finds an error."""

    MOUNT = ("truncate -s %(size)s %(image)s && mkfs.ext4 -q %(image)s && "
             "mount -o loop,errors=remount-ro %(image)s %(at)s")

    def break_it(self):
        device = self.run("findmnt", "-n", "-o", "SOURCE", self.dir + "/spool")
        self.run("sh", "-c", "echo 1 > /sys/fs/ext4/%s/trigger_fs_error" %
                 os.path.basename(device.strip()))

    def mend(self):
        self.run("umount", self.dir + "/spool")
        subprocess.run(["e2fsck", "-fy", self.dir + "/image"],
                       capture_output=True)
        self.run("mount", "-o", "loop", self.dir + "/image",
                 self.dir + "/spool")


def a_disk_that_turns_read_only_loses_nothing():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Ext4(sink, "32m") as d:
            kept, _ = d.take(["f%d@x.test" % i for i in range(10)])
            assert len(kept) == 10, kept
            d.break_it()
            answer = d.send(["n@x.test"], MESSAGE, wait="queued")[0]
            assert answer["code"] == 451, answer
            assert "the queue's store: " in d.log_text()
            sink.rcpt = "250 2.1.5 ok"
            assert d.stop() == 0
            assert [m.rcpts for m in sink.mails if m.rcpts] == []
            d.mend()
            d.start()
            d.empties(sink, kept)
            assert sink.got("n@x.test") == []
            d.takes_again()


def what_is_not_stored_needs_no_disk():
    """Its results are told though those of stored mail cannot be written."""
    with Sink() as sink:
        with Ext4(sink, "32m") as d:
            sink.final = slow(3, "250 2.0.0 taken")
            assert d.take(["stored@x.test"])[0]
            assert sink.at_dot.wait(60)
            d.break_it()
            wait_for(lambda: "the queue's store: " in d.log_text(), 60,
                     "an outcome that cannot be written")
            found, end = Client(d).send("a@x.test", "b@y.test")
            assert "error" not in end, end
            assert [f["status"] for f in found.values()] == ["delivered"] * 2
            d.stop(kill=True)


def a_start_on_a_read_only_disk_says_so():
    with Sink() as sink:
        with Disk(sink, "32m") as d:
            d.stop()
            d.mount("ro")
            try:
                d.start()
            except AssertionError as e:
                assert "Read-only file system; mount it" in str(e), e
                assert d.dir + "/spool/queue.db" in str(e), e
            else:
                raise AssertionError("it started")
            d.mount("rw")
            d.start()
            d.takes_again()


def a_removed_spool_takes_no_more_mail():
    """No job is acknowledged that a restart would not find."""
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Daemon(CONFIG % ("0", sink.port)) as d:
            first = d.send(["first@x.test"], MESSAGE, wait="attempt")
            assert first[0]["status"] == "queued", first
            shutil.rmtree(d.dir + "/spool")
            for _ in range(2):
                answer = d.send(["n@x.test"], MESSAGE, wait="queued")[0]
                assert answer["status"] == "refused" and \
                    answer["code"] == 451, answer
            assert d.log_text().count("queue.db was removed") == 1
            sink.rcpt = "250 2.1.5 ok"
            d.postern("flush")
            wait_for(lambda: sink.got("first@x.test"), what="what was queued")
            assert sink.got("n@x.test") == []
            d.stop()
            d.start()
            d.send(["again@x.test"], MESSAGE)
            assert sink.got("again@x.test")


TESTS = (
    a_full_disk_refuses_and_recovers,
    mail_alone_does_not_fill_the_disk_to_where_none_gets_out,
    a_disk_that_others_fill_lets_out_what_is_queued,
    a_queue_starts_on_a_full_disk_and_delivers,
    room_is_left_for_what_is_queued,
    a_disk_that_turns_read_only_loses_nothing,
    what_is_not_stored_needs_no_disk,
    a_start_on_a_read_only_disk_says_so,
    a_removed_spool_takes_no_more_mail,
)


def can_mount(kind):
    """Whether this machine lets us mount such a file system."""
    with tempfile.TemporaryDirectory() as folder:
        mount = kind.MOUNT % {"size": "8m", "at": folder,
                              "image": folder + "/image"}
        return IS_ROOT and subprocess.run(
            ["unshare", "-m", "sh", "-c", mount],
            capture_output=True).returncode == 0


def run(suite):
    tests = []
    mounts = can_mount(Disk)
    for test in TESTS:
        name = test.__name__.replace("_", " ")
        if not mounts and test is not a_removed_spool_takes_no_more_mail:
            suite.skip(name, "needs to mount a tmpfs")
        elif (test in (a_disk_that_turns_read_only_loses_nothing,
                       what_is_not_stored_needs_no_disk) and
              not can_mount(Ext4)):
            suite.skip(name, "needs a loop device and ext4")
        else:
            tests.append((name, test))
    suite.check_all(tests)
