# SPDX-License-Identifier: ISC
"""The wall clock is set while mail waits.

Each process of posternd gets a library of ours (clock_shim.c) through an
/etc/ld.so.preload that it alone sees.
"""
import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, wait_for  # noqa
from sink import Sink  # noqa

MESSAGE = b"Subject: test\n\ntext\n"
DAY = 86400

CONFIG = """
minimal_backoff_time = 1s
maximal_backoff_time = 3s
maximal_queue_lifetime = 1h
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
"""


class Clock(Daemon):
    """posternd with a wall clock that we set."""

    def __init__(self, sink):
        super().__init__(CONFIG % sink.port)
        self.offset = self.dir + "/offset"
        self.set(0)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-w", "-D_GNU_SOURCE",
             '-DOFFSET="%s"' % self.offset, "-o", self.dir + "/shim.so",
             os.path.join(ROOT, "tests/interop/clock_shim.c")], check=True)
        self.prefix = ["unshare", "-m", "sh", "-c",
                       "cp -a /etc %(dir)s/etc && "
                       "echo %(dir)s/shim.so > %(dir)s/etc/ld.so.preload && "
                       "mount --bind %(dir)s/etc /etc && exec \"$@\"" % {
                           "dir": self.dir}, "sh"]

    def set(self, seconds):
        if not os.path.exists(self.offset):
            with open(self.offset, "wb") as f:
                f.write(bytes(8))
        with open(self.offset, "r+b") as f:
            f.write(struct.pack("q", seconds))

    def waits(self, rcpt, sink):
        """One message that is deferred, and its second attempt planned."""
        self.send([rcpt], MESSAGE, wait="attempt")
        wait_for(lambda: [r for r in self.queued()
                          if r["recipient"] == rcpt and
                          r["state"] == "deferred"], what="the deferral")


def mail_is_not_late_where_the_clock_is_set_back():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Clock(sink) as d:
            d.waits("a@x.test", sink)
            d.set(-3 * DAY)
            wait_for(lambda: "the clock was set back by 2592" in d.log_text() or
                     "the clock was set back by 2591" in d.log_text(), 20,
                     "the clock to be seen")
            sink.rcpt = "250 2.1.5 ok"
            wait_for(lambda: sink.got("a@x.test"), 30, "the delivery")
            wait_for(lambda: d.queued() == [], 20, "an empty queue")
            assert not re.search(r"delays?=[^,]*-\d", d.log_text())


def mail_of_a_clock_that_was_ahead_is_sent_after_a_start():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        d = Clock(sink)
        d.set(30 * DAY)
        with d:
            d.waits("a@x.test", sink)
            assert d.stop() == 0
            d.set(0)
            sink.rcpt = "250 2.1.5 ok"
            d.start()
            wait_for(lambda: sink.got("a@x.test"), 30, "the delivery")


def mail_does_not_fail_where_the_clock_is_set_forward():
    with Sink() as sink:
        sink.rcpt = "450 4.2.0 later"
        with Clock(sink) as d:
            d.waits("a@x.test", sink)
            tried = d.log_text().count("status=deferred")
            d.set(40 * DAY)
            wait_for(lambda: "the clock was set forward by 345" in
                     d.log_text(), 20, "the clock to be seen")
            wait_for(lambda: d.log_text().count("status=deferred") >=
                     tried + 2, 30, "two more attempts")
            assert "status=bounced" not in d.log_text()
            sink.rcpt = "250 2.1.5 ok"
            wait_for(lambda: sink.got("a@x.test"), 30, "the delivery")


TESTS = (
    mail_is_not_late_where_the_clock_is_set_back,
    mail_of_a_clock_that_was_ahead_is_sent_after_a_start,
    mail_does_not_fail_where_the_clock_is_set_forward,
)


def run(suite):
    tests = [(t.__name__.replace("_", " "), t) for t in TESTS]
    if os.geteuid() != 0:
        for name, _ in tests:
            suite.skip(name, "needs root")
        return
    suite.check_all(tests)
