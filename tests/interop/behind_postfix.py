# SPDX-License-Identifier: ISC
"""Debian's Postfix sends all its mail through us, as conf/examples has it.

What is looked at is what Postfix says: its log, its queue, its processes.
"""
import os
import re
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Suite, wait_for  # noqa
from listener import PORT, free_address  # noqa
from mta import Behind, example, unpacked  # noqa
from postfix import PORT as POSTFIX_PORT, USER, Postfix  # noqa
from resolver import Nsd  # noqa
from run import Peers  # noqa
from sink import Sink  # noqa
from starttls import make_pair  # noqa

TCP = """
listener %(name)s {
	protocol = %(protocol)s
	listen = "%(address)s:%(port)d"
	answer = %(answer)s
	smtpd_client_connection_count_limit = 256
	smtpd_authorized_xforward_hosts = { 127.0.0.0/8 }
	%(more)s
}
"""

# How a sender's mail comes to us; unix is default_transport of the examples.
WAYS = ("unix", "lmtp", "smtp", "tls")

MAIN = """
smtp_send_xforward_command = yes
smtp_data_done_timeout = 3700s
sender_dependent_default_transport_maps = inline:{
	{lmtp@sender.test = lmtp:inet:[%(lmtp)s]:%(port)d},
	{small@sender.test = lmtp:inet:[%(small)s]:%(port)d},
	{smtp@sender.test = smtp:[%(smtp)s]:%(port)d},
	{tls@sender.test = secure:[%(tls)s]:%(port)d} }
minimal_backoff_time = 1h
maximal_backoff_time = 1h
"""

SERVICES = """secure unix - - n - - smtp
	-o smtp_tls_security_level=secure -o smtp_tls_CAfile=%s
	-o smtp_tls_secure_cert_match=mail.test -o smtp_tls_loglevel=1
"""

class Site(Behind):
    """Postfix in front of it."""

    def __init__(self, peers, answer="final", backoff="1s", main=""):
        super().__init__(peers, backoff)
        self.answer = answer
        self.addresses = {
            way: free_address() for way in WAYS[1:] + ("small",)}
        self.certificate, self.key = make_pair(self.daemon.dir, "mail.test")
        mta = free_address()
        self.configure(USER, self.listeners(),
                       "%s:%d" % (mta, POSTFIX_PORT))
        self.postfix = Postfix(peers, self.main_cf() + main,
                               SERVICES % self.certificate + self.services(),
                               mta)

    def listeners(self):
        body = ""
        for name, address in self.addresses.items():
            body += TCP % {
                "name": name, "address": address, "port": PORT,
                "protocol": "smtp" if name in ("smtp", "tls") else "lmtp",
                "answer": self.answer, "more": {
                    "small": "message_size_limit = 4000",
                    "tls": 'tls_security_level = encrypt\ntls_cert_file = '
                    '"%s"\ntls_key_file = "%s"' % (self.certificate,
                                                   self.key),
                }.get(name, "")}
        return body

    def main_cf(self):
        main = example("postfix-%s.cf" % self.answer,
                       __run__postern__=self.daemon.dir + "/run/")
        if self.answer == "final":  # one reply for all, so one recipient
            main += "smtp_destination_recipient_limit = 1\n" \
                "secure_destination_recipient_limit = 1\n"
        return main + MAIN % dict(self.addresses, port=PORT)

    def services(self):
        return ""

    def __enter__(self):
        super().__enter__()
        try:
            self.postfix.__enter__()
        except Exception:
            super().__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *exc):
        self.postfix.__exit__(*exc)
        super().__exit__(*exc)


class ByDomain(Site):
    """As postfix-domains.cf has it."""

    def places(self):
        return {"[127.0.0.1]:2526": "[%s]:2526" % self.by_domain}

    def main_cf(self):
        return example("postfix-domains.cf", **self.places())

    def services(self):
        return example("postfix-domains.master.cf", **self.places())


def relay(way):
    return r"\S+\[\S*/lmtp-\w+\]" if way == "unix" else \
        r"127\.\d+\.\d+\.\d+\[127\.\d+\.\d+\.\d+\]:2525"


def is_line(line, way, status, dsn, text, port=None):
    assert (line.status, line.dsn) == (status, dsn), line.line
    assert line.program == ("lmtp" if way in ("unix", "lmtp") else "smtp")
    assert re.fullmatch(relay(way) if port is None else r"\S+" + port,
                        line.relay), line.line
    assert re.fullmatch(text, line.text), line.line


def said(dsn, reply):
    """What Postfix says of our reply, which names the far end."""
    return r"host \S+ said: %s host \S+\[\S+\](:\d+)? said: %s " \
        r"\(in reply to end of DATA command\)" % (dsn, reply)


def taken(reply):
    return r"250 2\.0\.0 (host \S+\[\S*\](:\d+)? said: )" + reply


# What each of them hears, by its address: the far end's own words.
HEARD = {
    "good@sink.test": ("sent", "2.0.0", taken("Ok: taken as S1")),
    "later@sink.test": ("deferred", "4.2.1", said(
        r"451 4\.2\.1", r"<later>: come back, please")),
    "never@sink.test": ("bounced", "5.1.1", said(
        r"550 5\.1\.1", r"<never>: nobody of this name")),
    "ana@dovecot.test": ("sent", "2.0.0",
                         taken(r"<ana@dovecot\.test> \S+ Saved")),
    "full@dovecot.test": ("bounced", "5.2.2", said(
        r"552 5\.2\.2", r"<full@dovecot\.test> Quota exceeded .*")),
    "nobody@dovecot.test": ("bounced", "5.1.1", said(
        r"550 5\.1\.1", r"<nobody@dovecot\.test> User doesn't exist: .*")),
}


class Final:
    """answer = final: one Postfix for all of these tests."""

    def __init__(self, site):
        self.s, self.p = site, site.postfix

    def each_recipient_has_its_own_outcome(self, way):
        before = len(self.s.mailbox("ana"))
        sender = way + "@sender.test"
        id = self.p.send(HEARD, sender)
        lines = self.p.outcomes(id, len(HEARD))
        for rcpt, (status, dsn, text) in HEARD.items():
            is_line(lines[rcpt], way, status, dsn, text)
        # What was sent is gone, what was deferred waits with that reason.
        wait_for(lambda: list(self.p.queue().get(id, {})) == [
            "later@sink.test"], 60, "one recipient to be left")
        why = self.p.queue()[id]["later@sink.test"]
        assert "451 4.2.1 host 127.0.0.1[127.0.0.1]:" in why, why
        assert "said: <later>: come back" in why, why
        assert len(self.s.mailbox("ana")) == before + 1
        # Postfix's own bounce, with the remote's words, and none of ours.
        notice = self.bounce(id, sender)
        for rcpt in ("never@sink.test", "full@dovecot.test",
                     "nobody@dovecot.test"):
            assert "Final-Recipient: rfc822; " + rcpt in notice, notice
        assert "nobody of this name" in notice, notice
        assert "Reporting-MTA: dns; mta.postern.test" in notice, notice
        assert self.s.daemon.queued() == []

    def bounce(self, id, sender):
        word = b"X-Postfix-Queue-ID: %s\r\n" % id.encode()
        mails = wait_for(lambda: [m for m in self.s.sink.got(sender) if
                                  word in m.text], 120, "the bounce of " + id)
        assert len(mails) == 1, len(mails)
        assert mails[0].commands[0].startswith(b"MAIL FROM:<>"), mails[0]
        return mails[0].text.decode().replace("\r\n", "\n")

    def xforward_is_in_our_field(self):
        for way in WAYS:
            rcpt = "x-%s@sink.test" % way
            id = self.p.send([rcpt], way + "@sender.test")
            self.p.outcomes(id, 1)
            text = self.s.sink.got(rcpt)[0].text.decode()
            first = text.split("Received: ")[1]
            assert re.match(r"from mta\.postern\.test \(.*\)\r\n", first), first
            assert "\t(for unknown [%s])" % self.p.client in first, first
            protocol = {"unix": "LMTP", "lmtp": "LMTP", "smtp": "ESMTP",
                        "tls": "ESMTPS"}[way]
            assert " with %s id " % protocol in first, first
            # Readers of logs count a message for each such line.
            lines = self.s.log("orig_queue_id=%s," % id)
            assert len(lines) == 1 and "orig_client=" in lines[0], lines

    def starttls_is_verified(self):
        id = self.p.send(["secret@sink.test"], "tls@sender.test")
        line = self.p.outcomes(id, 1)["secret@sink.test"]
        assert line.status == "sent", line.line
        self.p.wait_log("Verified TLS connection established to ")

    def utf8_and_eight_bits_go_through(self):
        for way in ("unix", "smtp"):
            rcpt = "дора-%s@other.test" % way
            id = self.p.send([rcpt], way + "@sender.test", "дальше\n",
                             ["SMTPUTF8", "BODY=8BITMIME"], utf8=True)
            line = self.p.outcomes(id, 1)[rcpt]
            assert line.status == "sent", line.line
            mail = self.s.other.got(rcpt)[0]
            for word in (b"SMTPUTF8", b"BODY=8BITMIME", b"SIZE="):
                assert word in mail.commands[0], mail.commands
            assert b" with UTF8%s id " % (
                b"LMTP" if way == "unix" else b"SMTP") in mail.text

    def a_success_that_is_asked_for_is_reported_once(self):
        sender = "asks@sender.test"
        id = self.p.send(["wanted@sink.test"], sender,
                         options=["RET=HDRS", "ENVID=e-1"],
                         rcpt_options=["NOTIFY=SUCCESS"])
        assert self.p.outcomes(id, 1)["wanted@sink.test"].status == "sent"
        notice = self.bounce(id, sender)
        assert "Action: relayed" in notice, notice
        assert "Original-Envelope-Id: e-1" in notice, notice

    def too_large_is_said_at_once(self):
        """SIZE: before any octet of it is sent."""
        id = self.p.send(["big@sink.test"], "small@sender.test",
                         ("x" * 60 + "\n") * 100)
        line = self.p.outcomes(id, 1)["big@sink.test"]
        assert (line.status, line.dsn) == ("bounced", "5.3.4"), line.line
        assert "exceeds size limit 4000 of server" in line.text, line.text

    def a_crowd_waits_for_nobody_turned_away(self):
        """As many sessions of ours as Postfix has, and a server that is slow."""
        go = threading.Event()
        self.s.other.final = lambda _: (go.wait(120), "250 2.0.0 slow")[1]
        try:
            ids = [self.p.send(["s%d@other.test" % i]) for i in range(60)]
            # All the while, the others are served.
            id = self.p.send(["quick@sink.test"])
            assert self.p.outcomes(id, 1)["quick@sink.test"].status == "sent"
            assert not any(self.p.lines(i) for i in ids)
        finally:
            go.set()
            self.s.other.final = "250 2.0.0 taken"
        for id in ids:
            line = next(iter(self.p.outcomes(id, 1).values()))
            assert line.status == "sent", line.line
        assert "too many connections" not in self.s.daemon.log_text()

    def a_dead_worker_leaves_postfix_alone(self):
        """As a remote that has it die: the kernel ends it for a system call."""
        p, s = self.p, self.s
        p.outcomes(p.send(["warm@sink.test"]), 1)
        processes = p.pids()
        assert {"master", "qmgr", "lmtp"} <= set(processes.values()), processes
        hold = threading.Event()
        s.other.at_dot.clear()
        s.other.final = lambda _: hold.wait(120) and "250 2.0.0 taken" or ""
        id = p.send(["crash@other.test"])
        assert s.other.at_dot.wait(60)
        for pid in s.daemon.pids("worker"):
            os.kill(pid, signal.SIGSYS)
        line = p.outcomes(id, 1)["crash@other.test"]
        assert line.status == "deferred", line.line
        assert re.fullmatch(r"host \S+ said: 45\d 4\.\d\.\d perhaps delivered: "
                            r".*worker.* \(in reply to .*", line.text), line.line
        good = p.send(["meanwhile@sink.test"])
        line = p.outcomes(good, 1)["meanwhile@sink.test"]
        assert line.status == "sent", line.line
        assert p.queue()[id]["crash@other.test"], p.queue()
        alive = p.pids()
        assert all(alive.get(pid) == name for pid, name in processes.items()), \
            (processes, alive)
        assert "fatal:" not in p.log_text() and "panic:" not in p.log_text()
        hold.set()
        s.other.final = "250 2.0.0 taken"

        def sent():
            if [x for x in p.lines(id) if x.status == "sent"]:
                return True
            p.flush()
            return False
        wait_for(sent, 120, "the message to go at last")
        assert s.other.got("crash@other.test")


class Queued:
    """answer = queued: one Postfix for all of these tests."""

    def __init__(self, site):
        self.s, self.p = site, site.postfix

    def our_queue_id_is_in_its_log(self, way):
        sender = way + "@sender.test"
        rcpts = [rcpt for rcpt in HEARD if "later" not in rcpt]
        id = self.p.send(rcpts, sender)
        lines = self.p.outcomes(id, len(rcpts))
        ours = set()
        for rcpt in rcpts:
            is_line(lines[rcpt], way, "sent", "2.0.0",
                    r"250 2\.0\.0 Ok: queued as [0-9A-F]+")
            ours.add(lines[rcpt].text.split()[-1])
        assert len(ours) == 1, ours
        self.p.wait_log(id + ": removed")
        # From there on our log goes on, by that name.
        qid = ours.pop()
        for rcpt in rcpts:
            status, dsn, _ = HEARD[rcpt]
            line = self.s.log("%s: to=<%s>," % (qid, rcpt))[0]
            assert "dsn=%s, status=%s " % (dsn, status) in line, line
        assert self.s.log("%s: client=" % qid)
        line = self.s.log("orig_queue_id=%s," % id)[0]
        assert qid + ": client=" in line, line
        # The bounces are ours, and one each message.
        notice = wait_for(lambda: self.s.sink.got(sender), 120,
                          "our bounce")[0].text.decode()
        assert "Reporting-MTA: dns; client.postern.test" in notice, notice
        assert "nobody of this name" in notice, notice

    def what_dsn_asks_is_ours_to_do(self):
        sender = "asks@sender.test"
        id = self.p.send(["ana@dovecot.test"], sender,
                         options=["RET=HDRS", "ENVID=e-2"],
                         rcpt_options=["NOTIFY=SUCCESS"])
        assert self.p.outcomes(id, 1)["ana@dovecot.test"].status == "sent"
        mails = wait_for(lambda: self.s.sink.got(sender), 120, "the report")
        notice = mails[0].text.decode()
        assert "Action: delivered" in notice, notice
        assert "Original-Envelope-Id: e-2" in notice, notice
        assert len(mails) == 1, mails

    def what_is_deferred_is_ours(self):
        id = self.p.send(["later@sink.test"])
        line = self.p.outcomes(id, 1)["later@sink.test"]
        assert line.status == "sent", line.line
        qid = line.text.split()[-1]
        self.s.log("%s: to=<later@sink.test>," % qid)
        assert id not in self.p.queue()
        wait_for(lambda: any(r["recipient"] == "later@sink.test" for r in
                             self.s.daemon.queued()), 60, "it in our queue")


HOME = "loopname.postern.test"  # its MX is client.postern.test, our own name


class Home(Site):
    """Postfix is the mail server of its users' domain, on the same host: it has
    the address that the domain's MX leads to."""

    def __init__(self, peers, routes, own_way):
        self.routes, self.own_way = routes, own_way
        self.folder = tempfile.TemporaryDirectory(prefix="postern-home-")
        os.chmod(self.folder.name, 0o755)
        self.nsd = Nsd(self.folder.name)
        self.home = Sink()
        super().__init__(peers, "queued", main="transport_maps = inline:{"
                         "%s=smtp:[127.0.0.1]:%d}\n" % (HOME, self.home.port))

    def configure(self, user, more="", mta=None):
        super().configure(user, more, mta)
        with open(self.folder.name + "/hosts", "w") as f:
            f.write(mta.split(":")[0] + " client.postern.test\n")
        with open(self.daemon.config) as f:
            text = f.read()
        if not self.own_way:
            assert "bounce_transport = mta\n" in text
            text = text.replace("bounce_transport = mta\n", "")
        with open(self.daemon.config, "w") as f:
            f.write(text + 'name_servers = "127.0.0.1@%d"\n'
                    'hosts_file = "%s/hosts"\ntransport mx {\n\tport = %d\n'
                    '\tallow_loopback = yes\n\ttls_security_level = none\n}\n'
                    '%s\n' % (self.nsd.port, self.folder.name, POSTFIX_PORT,
                              self.routes))

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.nsd.stop()
        self.home.close()
        self.folder.cleanup()


def bounces_come_home(peers, routes, own_way):
    """To whom our routes lead to no mailbox, or nowhere: Postfix gets them."""
    with Home(peers, routes, own_way) as s:
        ana = "ana@" + HOME
        s.postfix.send(["never@sink.test"], ana)
        mails = wait_for(lambda: s.home.got(ana), 60, "the bounce")
        assert b"nobody of this name" in mails[0].text, mails[0].text
        assert len(mails) == 1 and not s.sink.got(ana), mails
        wait_for(lambda: [x.status for x in s.postfix.lines()
                          if x.rcpt == ana] == ["sent"],
                 what="Postfix to say that it was sent once")
        wait_for(lambda: all(r.get("state", "failed") == "failed"
                             for r in s.daemon.queue()),
                 what="nothing to be kept")
        assert "kept in the queue" not in s.daemon.log_text()
        assert "no route" not in s.daemon.log_text()


# Why a bounce might be lost, and whether the configuration gives it a way.
LOSSES = (
    ("our MX is the sender's, by default",
     'route "%s" { transport = mx }' % HOME, False),
    ("our MX is the sender's, by bounce_transport",
     'route "%s" { transport = mx }' % HOME, True),
    ("no route covers the sender", 'route "%s" { transport = none }' % HOME,
     True),
)

class Domains:
    """Each domain is a destination of its own: one Postfix for all of these."""

    def __init__(self, site):
        self.s, self.p = site, site.postfix

    def each_recipient_has_its_own_outcome(self):
        id = self.p.send(HEARD)
        lines = self.p.outcomes(id, len(HEARD))
        for rcpt, (status, dsn, text) in HEARD.items():
            is_line(lines[rcpt], "lmtp", status, dsn, text, ":2526")
        wait_for(lambda: list(self.p.queue().get(id, {})) == [
            "later@sink.test"], 60, "one recipient to be left")

    def a_slow_server_holds_up_nobody(self):
        """400 messages wait for it: more than there are processes and sessions."""
        go = threading.Event()
        self.s.other.final = lambda _: (go.wait(240), "250 2.0.0 slow")[1]
        try:
            slow = [self.p.send(["s%d@other.test" % i]) for i in range(400)]
            for i in range(3):
                rcpt = "quick@%d.sink.test" % i
                line = self.p.outcomes(self.p.send([rcpt]), 1)[rcpt]
                assert line.status == "sent", line.line
            assert not [x for x in self.p.lines() if x.rcpt.startswith("s") and
                        x.rcpt.endswith("@other.test")], "it was answered"
            busy = [n for n in self.p.pids().values() if n == "lmtp"]
            assert len(busy) < 60, len(busy)
        finally:
            go.set()
            self.s.other.final = "250 2.0.0 taken"
        for id in slow:
            line = next(iter(self.p.outcomes(id, 1).values()))
            assert line.status == "sent", line.line

    def whatever_the_domain_is(self):
        for rcpt in ("a@[127.0.0.1]", "a@web_1.test", "a@b.invalid"):
            line = self.p.outcomes(self.p.send([rcpt]), 1)[rcpt]
            assert line.status == "sent" and ":2526" in line.relay, line.line

    def nothing_is_returned_while_we_are_away(self):
        assert self.s.daemon.stop() == 0
        try:
            id = self.p.send(["away@sink.test"])
            line = self.p.outcomes(id, 1)["away@sink.test"]
            assert line.status == "deferred", line.line
        finally:
            self.s.daemon.start(60)
        self.p.flush()
        self.p.wait_log("to=<away@sink.test>, relay=%s[%s]:2526"
                        % (self.s.by_domain, self.s.by_domain))


MAILS = 150


def while_it_sends(peers, answer, disturb, exactly=False):
    """Mail goes on while something happens to posternd: all of it arrives,
    and nobody hears a bounce."""
    with Site(peers, answer, main="smtp_connection_reuse_time_limit = 5s\n") \
            as s:
        sent = []

        def load():
            for i in range(MAILS):
                rcpt = "n%d@other.test" % i
                s.postfix.send([rcpt])
                sent.append(rcpt)
        loader = threading.Thread(target=load)
        loader.start()
        try:
            disturb(s)
        finally:
            loader.join()
        assert len(sent) == MAILS, "Postfix refused mail"
        s.postfix.wait_empty(flush=True)
        wait_for(lambda: all(s.other.got(r) for r in sent), 180,
                 "all messages at the sink")
        bounced = [x.line for x in s.postfix.lines() if x.status == "bounced"]
        assert not bounced, bounced[:3]
        assert not s.sink.got("me@sender.test"), "somebody was sent a notice"
        if exactly:
            twice = [r for r in sent if len(s.other.got(r)) > 1]
            assert not twice, twice[:5]


def some_arrive(s):
    """Ten more, or all; what Postfix put off meanwhile is tried again."""
    count = min(len(s.other.mails) + 10, MAILS)
    tried = time.monotonic()

    def arrived():
        nonlocal tried
        if len(s.other.mails) >= count:
            return True
        if time.monotonic() - tried > 1:
            s.postfix.flush()
            tried = time.monotonic()
        return False
    wait_for(arrived, 120, "some mail")


def stopped_and_started(s):
    for _ in range(3):
        some_arrive(s)
        assert s.daemon.stop() == 0
        s.daemon.start(60)


def killed_and_started(s):
    for _ in range(3):
        some_arrive(s)
        pids = [row["pid"] for row in s.daemon.status()]
        s.daemon.stop(kill=True)
        wait_for(lambda: not any(os.path.exists("/proc/%d" % p)
                                 for p in pids), 60, "the end of all")
        s.daemon.start(60)


def upgraded(s):
    for _ in range(3):
        some_arrive(s)
        r = s.daemon.postern("upgrade")
        assert r.returncode == 0, r
        s.daemon.wait_settled()
    deferred = [x.line for x in s.postfix.lines() if x.status != "sent"]
    assert not deferred, deferred[:3]


def run(suite):
    if os.geteuid() != 0:
        suite.skip("Postfix in front of us", "Postfix needs root")
        return
    with Peers() as peers:
        peers.root = unpacked(peers)
        for answer, kind in (("final", Final), ("queued", Queued)):
            with Site(peers, answer,
                      "1s" if answer == "final" else "1h") as site:
                tests = kind(site)
                for name, test in kind.__dict__.items():
                    if name.startswith("_") or name == "bounce":
                        continue
                    title = "behind Postfix, %s: %s" % (
                        answer, name.replace("_", " "))
                    if "way" not in test.__code__.co_varnames[
                            :test.__code__.co_argcount]:
                        suite.check(title, lambda t=test: t(tests))
                        continue
                    for way in WAYS:
                        suite.check("%s (%s)" % (title, way),
                                    lambda t=test, w=way: t(tests, w))
        for why, routes, own_way in LOSSES:
            suite.check("behind Postfix, queued: bounces come home where " +
                        why, lambda r=routes, o=own_way:
                        bounces_come_home(peers, r, o))
        with ByDomain(peers, main="minimal_backoff_time = 1h\n"
                      "maximal_backoff_time = 1h\n") as site:
            tests = Domains(site)
            for name, test in Domains.__dict__.items():
                if not name.startswith("_"):
                    suite.check("behind Postfix, by domain: " +
                                name.replace("_", " "), lambda t=test: t(tests))
        for answer in ("final", "queued"):
            for what, disturb, exactly in (
                    ("stopped", stopped_and_started, False),
                    ("killed", killed_and_started, False),
                    ("upgraded", upgraded, True)):
                suite.check(
                    "behind Postfix, %s: nothing is lost while posternd is %s"
                    % (answer, what), lambda a=answer, d=disturb, e=exactly:
                    while_it_sends(peers, a, d, e), once=True)


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
