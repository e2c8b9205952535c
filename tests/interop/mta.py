# SPDX-License-Identifier: ISC
"""posternd between an MTA of Debian's and servers that take, put off and refuse.

Its listeners are those of conf/examples/behind-mta.conf; Dovecot, and the way to it,
are as in-front-of-dovecot.conf and dovecot.conf there have them.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "chaos"))
from daemon import ROOT, wait_for  # noqa
from listener import free_address  # noqa
from sink import Sink  # noqa
from upgrade_load import Generations  # noqa

CONFIG = """
minimal_backoff_time = %(backoff)s
maximal_backoff_time = %(backoff)s
transport sink {
	server = "127.0.0.1:%(sink)d"
	tls_security_level = none
}
transport other {
	server = "127.0.0.1:%(other)d"
	tls_security_level = none
}
%(handoff)s
route "other.test" { transport = other }
route "*" { transport = sink }
%(listeners)s
"""

REPLIES = {"later": "451 4.2.1 <later>: come back, please",
           "never": "550 5.1.1 <never>: nobody of this name"}


def by_name(rcpt):
    return REPLIES.get(rcpt.split("@")[0], "250 2.1.5 ok")


def example(name, **places):
    """A file of conf/examples, with what a test has to put elsewhere."""
    with open(os.path.join(ROOT, "conf/examples", name)) as f:
        text = f.read()
    for old, new in places.items():
        old = old.replace("__", "/")
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text


def unpacked(peers):
    """Where the MTAs are, and their users may go."""
    home = os.environ.get("PEERS_HOME", os.path.join(ROOT, "build/peers"))
    copy = peers.dir + "/root"
    return copy if os.path.isdir(copy) else home + "/root"


class Behind:
    """posternd, and behind it a sink, another one, and Dovecot."""

    def __init__(self, peers, backoff="1s"):
        self.peers = peers
        self.sink, self.other = Sink(), Sink()
        self.sink.rcpt = by_name
        self.sink.final = "250 2.0.0 Ok: taken as S1"
        self.other.keywords = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE"]
        self.backoff = backoff
        self.tcp = free_address()  # port 2424: the listener opensmtpd
        self.by_domain = free_address()  # port 2526: the listener domains
        self.daemon = Generations()

    def configure(self, user, more="", mta=None):
        """user is who comes by the Unix sockets; mta: where the MTA takes mail,
        which else the sink does in its place."""
        d = self.daemon
        d.write_config(CONFIG % {
            "backoff": self.backoff,
            "handoff": example("in-front-of-dovecot.conf", **{
                "/run/dovecot/lmtp": self.peers.lmtp_socket,
                '"example.org"': '"%s"' % self.peers.lmtp_domain}),
            "sink": self.sink.port, "other": self.other.port,
            "listeners": more + example("behind-mta.conf", **{
                "__run__postern__": d.dir + "/run/",
                "127.0.0.1:2424": self.tcp + ":2424",
                "127.0.0.1:2526": self.by_domain + ":2526",
                '"127.0.0.1:25"': '"%s"' % (
                    mta or "127.0.0.1:%d" % self.sink.port),
                "group = postfix": "group = " + user,
                "{ postfix }": "{ %s }" % user})})

    def __enter__(self):
        try:
            self.daemon.start(60)
        except Exception:
            self.daemon.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exc):
        self.daemon.__exit__(*exc)
        self.sink.close()
        self.other.close()

    def log(self, words):
        wait_for(lambda: words in self.daemon.log_text(), 120,
                 "%r in our log" % words)
        return [line for line in self.daemon.log_text().splitlines()
                if words in line]

    def mailbox(self, user):
        folder = os.path.join(self.peers.maildir, user, "new")
        texts = []
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, name), errors="replace") as f:
                texts.append(f.read())
        return texts
