# SPDX-License-Identifier: ISC
"""What senders are told by mail, when, and that they are told once."""
import base64
import collections
import email
import email.policy
from email.utils import parsedate_to_datetime
import glob
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, Suite, memfd, wait_for  # noqa
from run import DOVECOT, Peers  # noqa
from sink import Sink  # noqa

SENDER = "ana@home.test"
MESSAGE = b"Subject: test\nMessage-ID: <1@home.test>\n\ntext\n"

CONFIG = """
minimal_backoff_time = 1s
maximal_backoff_time = 2s
%(globals)s
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
	connection_idle_time = 0
	%(transport)s
}
%(more)s
route "*" { transport = sink }
"""


def config(sink, extra="", transport="", more=""):
    return CONFIG % {"port": sink.port, "globals": extra,
                     "transport": transport, "more": more}


def by_name(rcpt):
    """What a recipient's name asks for."""
    if rcpt.startswith("bad"):
        return "550 5.1.1 no such user <%s>" % rcpt
    if rcpt.startswith("later"):
        return "451 4.2.2 mailbox is full"
    return "250 2.1.5 ok"


def submit(d, rcpts, message=MESSAGE, sender=SENDER, **job):
    """Hand a job in; its id."""
    sock = Job(d.dir + "/run/job")
    fd = memfd(message)
    sock.send(dict({"from": sender, "rcpts": rcpts}, **job), fd)
    os.close(fd)
    answer = sock.receive()
    sock.close()
    assert answer["status"] == "queued", answer
    return answer["id"]


class Notice:
    """A notice as a program would read it; what RFC 3464 demands is there."""

    def __init__(self, mail):
        self.mail = mail
        self.mime = m = email.message_from_bytes(
            mail.text, policy=email.policy.SMTPUTF8)
        assert mail.commands[0].startswith(b"MAIL FROM:<>"), mail.commands
        assert m.get_content_type() == "multipart/report", m
        assert m.get_param("report-type") == "delivery-status"
        assert m["Auto-Submitted"] == "auto-replied"
        assert m["MIME-Version"] == "1.0"
        for name in ("Date", "From", "To", "Subject", "Message-ID"):
            assert len(m.get_all(name, [])) == 1, name
        assert m["Date"].datetime.utcoffset() is not None
        assert not m.defects, m.defects
        self.parts = list(m.iter_parts())
        for part in self.parts:
            assert not part.defects, part.defects
        assert self.parts[0].get_content_type() == "text/plain"
        self.human = self.parts[0].get_content()
        self.read_status(self.parts[1])

    def read_status(self, part):
        self.status_type = part.get_content_type()
        text = part.as_bytes().split(b"\r\n\r\n", 1)[1].decode()
        assert text.endswith("\r\n")
        blocks = [b for b in text.split("\r\n\r\n") if b.strip()]
        fields = [email.message_from_string(
            b, policy=email.policy.compat32) for b in blocks]
        self.message, self.rcpts = fields[0], fields[1:]
        assert self.message["Reporting-MTA"] == "dns; client.postern.test"
        assert self.message["Arrival-Date"].endswith(" +0000")
        assert self.rcpts, text
        for r in self.rcpts:
            assert len(r.get_all("Final-Recipient")) == 1
            assert r["Action"] in ("failed", "delayed", "delivered",
                                   "relayed"), r
            assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", r["Status"]), r
            # RFC 3461, 6.3 (h), (i)
            if "smtp;" in (r["Diagnostic-Code"] or ""):
                assert r["Remote-MTA"].startswith("dns; "), r

    def actions(self):
        return {r["Final-Recipient"].split("; ")[1].split("@")[0]: r["Action"]
                for r in self.rcpts}

    def id(self):
        return self.message["X-Postern-Queue-ID"]


def notices(sink, to=SENDER):
    return [Notice(m) for m in sink.got(to)]


def one(sink, to=SENDER, count=1, seconds=20):
    wait_for(lambda: len(sink.got(to)) >= count, seconds,
             "%d notices to %s" % (count, to))
    time.sleep(0.3)  # none comes twice
    found = notices(sink, to)
    assert len(found) == count, [n.mail.text for n in found]
    return found[-1]


def none(d, sink, words="removed", to=SENDER, seconds=0.7):
    wait_for(lambda: words in d.log_text(), what=words)
    time.sleep(seconds)
    assert not sink.got(to), sink.got(to)[0].text


class Setting:
    """A sink that answers by name, and a posternd that sends to it."""

    def __init__(self, *args, **more):
        self.keywords = more.pop("keywords", None)
        self.args = args
        self.more = more

    def __enter__(self):
        self.sink = Sink()
        self.sink.rcpt = by_name
        if self.keywords:
            self.sink.keywords = self.keywords
        self.d = Daemon(config(self.sink, *self.args, **self.more))
        self.d.__enter__()
        return self.sink, self.d

    def __exit__(self, *exc):
        self.d.__exit__(*exc)
        self.sink.close()


# Failures

def one_of_three_fails():
    with Setting() as (sink, d):
        qid = submit(d, ["a@x.test", {"address": "bad@x.test",
                                      "orcpt": "rfc822;team + x@x.test"},
                         "c@x.test"], envid="list 4711")
        n = one(sink)
        assert n.actions() == {"bad": "failed"}, n.actions()
        r = n.rcpts[0]
        assert r["Status"] == "5.1.1"
        assert r["Diagnostic-Code"] == \
            "smtp; 550 5.1.1 no such user <bad@x.test>"
        assert r["Original-Recipient"] == "rfc822;team + x@x.test"
        assert r["Last-Attempt-Date"].endswith(" +0000")
        assert r["Final-Log-ID"] == qid
        assert n.message["Original-Envelope-Id"] == "list 4711"
        assert n.parts[2].get_content_type() == "message/rfc822"
        assert n.parts[2].get_payload(0).get_content() == "text\r\n"
        assert "no such user" in n.human and "<bad@x.test>:" in n.human
        assert n.mime["To"].addresses[0].addr_spec == SENDER
        log = d.log_text()
        found = re.search(r"postern/bounce\[\d+\]: %s: sender non-delivery "
                          r"notification: ([0-9A-F]+)\n" % qid, log)
        assert found, log
        assert "postern/qmgr[" in log and \
            ": %s: from=<>, size=%d, nrcpt=1 (queue active)" % \
            (found.group(1), len(n.mail.text)) in log, log
        # One that is told stays visible, and is told once.
        assert [q["state"] for q in d.queued()] == ["failed"], d.queued()


def recipients_of_a_message_are_told_together():
    with Setting() as (sink, d):
        submit(d, ["bad%d@x%d.test" % (i, i % 3) for i in range(30)])
        n = one(sink)
        assert len(n.rcpts) == 30, n.actions()


def many_recipients_take_several_notices():
    with Setting("job_recipient_limit = 3000",
                 "destination_recipient_limit = 1000") as (sink, d):
        sock = Job(d.dir + "/run/job")
        fd = memfd(MESSAGE)
        names = ["bad%d@x.test" % i for i in range(2100)]
        sock.send({"from": SENDER, "rcpts": names[:700], "more": True}, fd)
        sock.send({"rcpts": names[700:1400], "more": True})
        sock.send({"rcpts": names[1400:]})
        os.close(fd)
        assert sock.receive()["status"] == "queued"
        sock.close()
        wait_for(lambda: sum(len(n.rcpts) for n in notices(sink)) >= 2100,
                 what="all to be told")
        time.sleep(0.3)
        told = collections.Counter(
            r["Final-Recipient"] for n in notices(sink) for r in n.rcpts)
        assert len(told) == 2100 and set(told.values()) == {1}
        assert max(len(n.rcpts) for n in notices(sink)) <= 1000


def nobody_is_quoted_who_did_not_say_it():
    """Our words stay ours, and what a server refused is named."""
    with Setting("maximal_queue_lifetime = 1s") as (sink, d):
        relay = re.escape("127.0.0.1[127.0.0.1]:%d" % sink.port)
        submit(d, ["later@x.test"])
        n = one(sink)
        human = " ".join(n.human.split())
        assert re.search(
            r"<later@x\.test>: delivery time expired: host " + relay +
            r" said: 451 4\.2\.2 mailbox is full "
            r"\(in reply to RCPT TO command\)", human), human
        assert n.rcpts[0]["Diagnostic-Code"] == \
            "smtp; 451 4.2.2 mailbox is full", n.rcpts[0]
        assert re.search(
            r"status=bounced \(delivery time expired: host " + relay +
            r" said: 451 4\.2\.2 mailbox is full \(in reply to RCPT TO "
            r"command\)\)\n", d.log_text()), d.log_text()
    with Setting("bounce_queue_lifetime = 0") as (sink, d):
        relay = "127.0.0.1[127.0.0.1]:%d" % sink.port
        submit(d, ["a@x.test", "later@x.test"])
        wait_for(lambda: "status=deferred" in d.log_text(), what="a deferral")
        sink.final = lambda mail: "550 5.6.0 not that" \
            if "b@x.test" in mail.rcpts else "250 2.0.0 ok"
        assert d.postern("queue", "expire", "--recipient",
                         "later@x.test").returncode == 0
        human = " ".join(one(sink).human.split())
        assert "<later@x.test>: delivery time expired by an operator: host " \
            "%s said: 451 4.2.2 mailbox is full (in reply to RCPT TO command)" \
            % relay in human, human
        submit(d, ["b@x.test"])
        one_more = one(sink, count=2)
        assert "said: 550 5.6.0 not that (in reply to end of DATA command)" \
            in " ".join(one_more.human.split()), one_more.human
    with Sink() as gone:
        port = gone.port
    with Setting("maximal_queue_lifetime = 0", more='transport gone {\n'
                 ' server = "127.0.0.1:%d"\n tls_security_level = none\n}\n'
                 'route "gone.test" { transport = gone }' % port) as (sink, d):
        submit(d, ["a@gone.test"])
        human = " ".join(one(sink).human.split())
        assert "<a@gone.test>: delivery time expired: cannot connect: " \
            "Connection refused (host 127.0.0.1[127.0.0.1]:%d)" % port \
            in human, human


def who_wants_to_hear_nothing_hears_nothing():
    with Setting() as (sink, d):
        submit(d, [{"address": "bad@x.test", "notify": ["never"]},
                   {"address": "bad2@x.test", "notify": ["success", "delay"]},
                   {"address": "good@x.test", "notify": ["failure"]}])
        none(d, sink, "status=sent")


def a_domain_without_a_route_is_told_of_when_its_time_is_over():
    for rcpt, job, why in (
            ("postmaster", {"via": "smtp"}, "an address without a domain"),
            ("a@none.test", {}, "the configuration has no route for none")):
        with Setting('maximal_queue_lifetime = 0', more='route none.test '
                     '{ transport = none }') as (sink, d):
            submit(d, [rcpt], **job)
            r = one(sink).rcpts[0]
            assert r["Status"] == "5.4.7" and r["Remote-MTA"] is None, r
            assert r["Diagnostic-Code"].startswith("X-Postern; "), r
            assert why in r["Diagnostic-Code"].replace("\r\n", ""), r


def the_header_or_all_is_returned():
    text = b"Subject: s\nX-Long: y\n\n" + b"a line of text\n" * 1000
    with Setting("bounce_size_limit = 20000") as (sink, d):
        submit(d, ["bad@x.test"], text, ret="headers")
        n = one(sink)
        assert n.parts[2].get_content_type() == "text/rfc822-headers"
        assert n.parts[2].get_payload() == "Subject: s\r\nX-Long: y\r\n"
        submit(d, ["bad@x.test"], text, ret="full")
        n = one(sink, count=2)
        assert n.parts[2].get_content_type() == "message/rfc822"
        assert text.replace(b"\n", b"\r\n") in n.mail.text
        submit(d, ["bad@x.test"], text * 2, ret="full")
        n = one(sink, count=3)
        assert n.parts[2].get_content_type() == "text/rfc822-headers"


def a_header_that_no_server_can_get_is_returned_as_text():
    """It would take the notice with it, and nobody would be told."""
    with Setting() as (sink, d):
        submit(d, ["bad@x.test"],
               "Subject: b\u00e4r\n\nx\n".encode("latin-1"))
        n = one(sink)
        assert n.rcpts[0]["Status"] == "5.6.3", n.rcpts[0]
        assert n.parts[2].get_content_type() == "text/rfc822-headers"
        assert n.parts[2].get_payload(decode=True) == \
            b"Subject: b\xe4r\r\n"


def status_kib(pid, name):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"%s:\s+(\d+) kB" % name, f.read()).group(1))


def a_large_message_is_returned_without_taking_memory():
    line = b"0123456789" * 7 + b"\n"
    text = b"Subject: large\n\n" + line * (40 * 1024 * 1024 // len(line))
    with Setting("bounce_size_limit = 60m\nmessage_size_limit = 60m") as (
            sink, d):
        pid = d.pids("queue")[0]
        submit(d, ["bad@x.test"], text)
        wait_for(lambda: sink.got(SENDER), 60, "the notice")
        assert text.replace(b"\n", b"\r\n") in sink.got(SENDER)[0].text
        peak = status_kib(pid, "VmHWM")
        assert peak < 24 * 1024, peak


def eight_bit_texts_are_declared():
    text = "Subject: x\n\nb\u00e4r\n".encode("latin-1")
    with Setting(keywords=["PIPELINING", "8BITMIME"]) as (sink, d):
        submit(d, ["bad@x.test"], text)
        n = one(sink)
        assert b" BODY=8BITMIME" in n.mail.commands[0], n.mail.commands
        assert n.mime["Content-Transfer-Encoding"] == "8bit"
        assert n.parts[2]["Content-Transfer-Encoding"] == "8bit"
        assert b"b\xe4r\r\n" in n.mail.text


def a_binary_message_returns_its_header():
    with Setting() as (sink, d):
        submit(d, ["bad@x.test"], b"Subject: x\r\n\r\n\0\1\2\n", binary=True)
        n = one(sink)
        assert n.parts[2].get_content_type() == "text/rfc822-headers"
        assert b"\0" not in n.mail.text


# UTF-8 (RFC 6533)

UTF8 = ["PIPELINING", "8BITMIME", "SMTPUTF8"]
UTF8_TEXT = "Subject: caf\u00e9\n\nb\u00e4r\n".encode()


def a_sender_in_utf8_is_told_in_utf8():
    sender = "j\u00f8@home.test"
    with Setting(keywords=UTF8) as (sink, d):
        submit(d, [{"address": "bad\u00f8@x.test",
                    "orcpt": "utf-8;bj\u00f8rn@x.test"}], UTF8_TEXT,
               sender=sender)
        n = one(sink, sender)
        assert b" SMTPUTF8" in n.mail.commands[0], n.mail.commands
        assert n.status_type == "message/global-delivery-status"
        assert n.rcpts[0]["Final-Recipient"] == "utf-8; bad\u00f8@x.test"
        assert n.rcpts[0]["Original-Recipient"] == "utf-8; bj\u00f8rn@x.test"
        assert n.parts[2].get_content_type() == "message/global"
        assert UTF8_TEXT.replace(b"\n", b"\r\n") in n.mail.text


def a_sender_in_ascii_is_told_in_ascii():
    """Its server may not have SMTPUTF8 (RFC 6533, 4.5)."""
    with Setting(keywords=UTF8) as (sink, d):
        submit(d, ["bad\u00f8@x.test"], UTF8_TEXT)
        n = one(sink)
        assert b"SMTPUTF8" not in n.mail.commands[0], n.mail.commands
        n.mail.text.decode("ascii")
        assert n.status_type == "message/delivery-status"
        assert n.rcpts[0]["Final-Recipient"] == "utf-8; bad\\x{F8}@x.test"
        part = n.mime.get_payload(2)
        assert part.get_content_type() == "message/global"
        assert part["Content-Transfer-Encoding"] == "base64"
        assert returned(n) == UTF8_TEXT.replace(b"\n", b"\r\n")
        submit(d, ["bad\u00f8@x.test"], UTF8_TEXT, ret="headers")
        n = one(sink, count=2)
        assert b"Content-Type: message/global-headers\r\n" in n.mail.text
        assert returned(n) == "Subject: caf\u00e9\r\n".encode()


def returned(n):
    """The octets of a third part in base64, which Python would parse."""
    boundary = n.mime.get_boundary().encode()
    part = n.mail.text.split(b"--" + boundary)[3]
    return base64.b64decode(part.split(b"\r\n\r\n", 1)[1])


# Delays

def a_delay_is_told_once():
    with Setting("delay_warning_time = 1s\nmaximal_queue_lifetime = 5d") as (
            sink, d):
        submit(d, ["later@x.test",
                   {"address": "later2@x.test", "notify": ["failure"]}])
        n = one(sink)
        assert n.actions() == {"later": "delayed"}, n.actions()
        r = n.rcpts[0]
        assert r["Status"] == "4.2.2" and r["Will-Retry-Until"], r
        assert r["Diagnostic-Code"] == "smtp; 451 4.2.2 mailbox is full"
        assert n.parts[2].get_content_type() == "text/rfc822-headers"
        assert ": sender delay notification: " in d.log_text()
        tries = d.log_text().count("to=<later@x.test>")
        wait_for(lambda: d.log_text().count("to=<later@x.test>") > tries + 1,
                 what="further attempts")
        d.stop()
        d.start()
        time.sleep(1)
        one(sink)


def a_delay_of_what_is_never_tried_is_told():
    """Its destination is paused."""
    blocked = ('transport blocked {\n server = "127.0.0.1:1"\n'
               ' tls_security_level = none\n}\n'
               'route "blocked.test" { transport = blocked }')
    with Setting("delay_warning_time = 2s", more=blocked) as (sink, d):
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("minimal_backoff_time = 1s",
                                 "minimal_backoff_time = 60s").replace(
                                     "maximal_backoff_time = 2s",
                                     "maximal_backoff_time = 60s"))
        d.stop()
        d.start()
        submit(d, ["a@blocked.test"])
        wait_for(lambda: "status=deferred" in d.log_text(), what="a deferral")
        assert d.postern("pause", "--transport", "blocked").returncode == 0
        tried = d.log_text().count("status=deferred")
        submit(d, ["b@blocked.test"])
        wait_for(lambda: len(sink.got(SENDER)) == 2, what="two notices")
        told = {}
        for n in notices(sink):
            told.update(n.actions())
        assert told == {"a": "delayed", "b": "delayed"}, told
        assert d.log_text().count("status=deferred") <= tried + 1, d.log_text()


def a_delay_of_what_a_session_has_in_hand_is_told():
    """Its server says nothing, and the session waits for it."""
    silent = Sink()
    silent.greeting = lambda *a: None
    more = ('transport silent {\n server = "127.0.0.1:%d"\n'
            ' tls_security_level = none\n}\n'
            'route "silent.test" { transport = silent }' % silent.port)
    with Setting("delay_warning_time = 2s", more=more) as (sink, d):
        submit(d, ["a@silent.test"])
        n = one(sink, seconds=40)
        assert n.actions() == {"a": "delayed"}, n.actions()
        assert "status=deferred" not in d.log_text(), d.log_text()
        assert d.queued()[0]["state"] == "active", d.queued()


def a_time_that_is_over_is_told_where_it_is_asked_for():
    """RFC 2852, 4.1.3: whatever delay_warning_time says."""
    with Setting() as (sink, d):
        submit(d, ["later@x.test"],
               deliver_by={"seconds": 2, "mode": "notify"})
        n = one(sink)
        assert n.rcpts[0]["Action"] == "delayed"
        assert n.rcpts[0]["Status"] == "4.4.7", n.rcpts[0]
        time.sleep(2)
        one(sink)


def a_delay_says_until_when_its_sender_lets_it_be_tried():
    """RFC 3464, 2.3.9; RFC 2852, 4.1.2: BY with R ends it."""
    with Setting("delay_warning_time = 1s",
                 keywords=["PIPELINING", "DELIVERBY"]) as (sink, d):
        submit(d, ["later@x.test"],
               deliver_by={"seconds": 90, "mode": "return"})
        n = one(sink)
        r = n.rcpts[0]
        left = parsedate_to_datetime(r["Will-Retry-Until"]) - \
            parsedate_to_datetime(n.message["Arrival-Date"])
        assert r["Action"] == "delayed" and left.total_seconds() in \
            (89, 90, 91), r
        assert "until it is 90 seconds old" in n.human, n.human


def what_expires_is_told_as_a_failure():
    with Setting("maximal_queue_lifetime = 2s") as (sink, d):
        submit(d, ["later@x.test"])
        r = one(sink).rcpts[0]
        assert r["Action"] == "failed" and r["Status"] == "5.4.7", r
        assert r["Diagnostic-Code"] == "smtp; 451 4.2.2 mailbox is full", r


# Successes

def a_success_is_told_where_nobody_else_does():
    for keywords, action in ((["PIPELINING"], "relayed"),
                             (["PIPELINING", "DSN"], None)):
        with Setting(keywords=keywords) as (sink, d):
            submit(d, [{"address": "a@x.test", "notify": ["success"]},
                       {"address": "b@x.test", "notify": ["failure"]},
                       "c@x.test"])
            if action is None:
                none(d, sink)
                assert b" NOTIFY=SUCCESS" in b"".join(
                    sink.got("a@x.test")[0].commands)
                continue
            n = one(sink)
            assert n.actions() == {"a": action}, n.actions()
            assert n.rcpts[0]["Status"] == "2.0.0"
            assert "Will-Retry-Until" not in n.rcpts[0]
            assert n.parts[2].get_content_type() == "text/rfc822-headers"
            assert ": sender delivery status notification: " in d.log_text()
            # Nothing of it is left in the queue.
            wait_for(lambda: not d.queued(), what="an empty queue")
            assert d.log_text().count(": removed") == 2, d.log_text()


def a_delivery_by_lmtp_is_delivered():
    with Sink() as box, Setting(
            more='transport box {\n protocol = lmtp\n server = '
            '"127.0.0.1:%d"\n tls_security_level = none\n}\n'
            'route "box.test" { transport = box }' % box.port) as (sink, d):
        submit(d, [{"address": "a@box.test", "notify": ["success"]}])
        n = one(sink)
        assert n.actions() == {"a": "delivered"}, n.actions()
        assert "delivered: host" in n.human, n.human


def a_relay_that_leaves_a_time_behind_is_told():
    """RFC 2852, 4.1.4.2"""
    with Setting(keywords=["PIPELINING", "DSN"]) as (sink, d):
        submit(d, ["a@x.test"], deliver_by={"seconds": 60, "mode": "notify"})
        assert one(sink).actions() == {"a": "relayed"}


# Loops

def the_null_sender_is_told_nothing_and_the_postmaster_is():
    with Setting() as (sink, d):
        submit(d, [{"address": "bad@x.test",
                    "notify": ["success", "failure"]},
                   {"address": "a@x.test", "notify": ["success"]}],
               sender="")
        n = one(sink, "postmaster@client.postern.test")
        assert n.actions() == {"bad": "failed"}, n.actions()
        assert "sender non-delivery" not in d.log_text(), d.log_text()


def kept(d):
    """What is kept, where it is shown: all places agree."""
    rows = [r for r in d.queue() if r.get("kept")]
    assert all(r["state"] == "held" for r in rows), rows
    n = len(rows)
    top = json.loads(d.postern("top", "--json").stdout.splitlines()[0])
    assert top["kept"] == n, (top, rows)
    text = d.postern("status").stdout.decode()
    assert ("%d notices failed, and nobody could be told: they are kept" %
            n in text) == (n > 0), text
    text = d.postern("doctor").stdout.decode()
    assert ("%d notices failed, and nobody could be told: they are kept" %
            n in text) == (n > 0), text
    listed = d.postern("queue", "list").stdout.decode()
    assert listed.count(" failed,kept from=<> ") == n, listed
    return rows


def a_notice_that_fails_goes_to_its_recipient_or_is_kept():
    for name, rcpt in (("post@master.test", "post@master.test"),
                       ("boss", "boss@client.postern.test"),
                       ("badpost@master.test", None), ("", None)):
        with Setting('failed_keep_time = 0\ndouble_bounce_recipient = "%s"'
                     % name) as (sink, d):
            submit(d, ["bad@x.test"], sender="badana@home.test")
            if rcpt is None:
                wait_for(lambda: " kept in the queue as failed\n"
                         in d.log_text(), what="a line")
                assert not any(m.rcpts for m in sink.mails)
                assert d.log_text().count("notification: ") == \
                    (2 if name else 1), d.log_text()
                rows = kept(d)
                assert len(rows) == 1, d.queue()
                assert rows[0]["last"]["dsn"] == "5.1.1", rows
                assert rows[0]["recipient"] == (name or "badana@home.test")
                gets_out(sink, d, rows[0])
                continue
            n = one(sink, rcpt)
            assert n.rcpts[0]["Final-Recipient"] == \
                "rfc822; badana@home.test"
            assert ": postmaster non-delivery notification: " in d.log_text()
            inner = n.parts[2].get_payload(0)
            assert inner.get_content_type() == "multipart/report"


def gets_out(sink, d, row):
    """Once what was wrong is put right, an operator lets it go."""
    wait_for(lambda: "postern_queue_kept_recipients 1" in metrics(d),
             what="the gauge")
    assert 'postern_notices_total{kind="kept"} 1' in metrics(d)
    sink.rcpt = "250 2.1.5 ok"
    assert d.postern("queue", "release", "--state", "held").returncode == 0
    wait_for(lambda: sink.got(row["recipient"]), what="the notice")
    assert kept(d) == []


def metrics(d):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(d.dir + "/run/metrics")
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b""
        while True:
            part = s.recv(65536)
            if not part:
                return text.decode()
            text += part


def what_was_owed_to_a_postmaster_who_is_gone_is_kept():
    with Setting('double_bounce_recipient = "post@master.test"') as (sink, d):
        sink.final = lambda mail: (time.sleep(3), "250 ok")[1]
        submit(d, ["bad@x.test", "slow@x.test"], sender="")
        wait_for(lambda: "status=bounced" in d.log_text(), what="the failure")
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("post@master.test", ""))
        os.kill(d.process.pid, signal.SIGHUP)
        wait_for(lambda: "reloaded " in d.log_text(), what="the reload")
        wait_for(lambda: any(r.get("kept") for r in d.queue()),
                 what="it to be kept")
        assert [r["recipient"] for r in kept(d)] == ["bad@x.test"], d.queue()


def notices_have_a_way_of_their_own():
    """bounce_transport: back to the program that the mail came from."""
    with Sink() as mta, Setting(
            "bounce_transport = mta", more='transport mta {\n server = '
            '"127.0.0.1:%d"\n tls_security_level = none\n}\n'
            'route "home.test" { transport = none }' % mta.port) as (sink, d):
        submit(d, ["bad@x.test"])
        one(mta)
        mta.rcpt = by_name
        submit(d, ["bad@x.test"], sender="badbob@home.test")
        one(mta, "postmaster@client.postern.test")
        assert not sink.got(SENDER)


def notices_without_a_route_wait():
    with Setting(more='route "home.test" { transport = none }') as (sink, d):
        submit(d, ["bad@x.test"])
        wait_for(lambda: "dsn=4.3.5, status=deferred" in d.log_text(),
                 what="the notice to wait")
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("transport = none", "transport = sink"))
        os.kill(d.process.pid, signal.SIGHUP)
        one(sink)


def a_postmaster_has_copies():
    with Setting('bounce_notice_recipient = "post@master.test"') as (sink, d):
        submit(d, [{"address": "bad@x.test", "notify": ["never"]},
                   "bad2@x.test"])
        n = one(sink)
        assert n.actions() == {"bad2": "failed"}, n.actions()
        n = one(sink, "post@master.test", 2)
        told = {}
        for n in notices(sink, "post@master.test"):
            told.update(n.actions())
            assert n.mime["Subject"] == "Postmaster copy: undelivered mail"
            assert n.parts[2].get_content_type() == "text/rfc822-headers"
        assert told == {"bad": "failed", "bad2": "failed"}, told


def a_postmaster_who_is_gone_gets_nothing():
    """What was owed before a reload is not owed for ever."""
    with Setting('bounce_notice_recipient = "post@master.test"') as (sink, d):
        sink.final = lambda mail: "250 ok" if SENDER in mail.rcpts else \
            (time.sleep(3), "250 ok")[1]
        submit(d, ["bad@x.test", "slow@x.test"])
        wait_for(lambda: "status=bounced" in d.log_text(), what="the failure")
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("post@master.test", ""))
        os.kill(d.process.pid, signal.SIGHUP)
        wait_for(lambda: "reloaded " in d.log_text(), what="the reload")
        one(sink)
        time.sleep(0.5)
        assert "postmaster" not in d.log_text().replace("bounce_", "")
        assert not any(not r for m in sink.mails for r in m.rcpts)


def too_many_hops_are_refused():
    text = b"Received: from a by b\n\tfor c\n" * 5 + MESSAGE
    with Setting("hopcount_limit = 6") as (sink, d):
        submit(d, ["a@x.test"], text)
        r = d.postern("send", "--json", "--from", "", "a@x.test",
                      message=b"Received: x\n" + text)
        answer = json.loads(r.stdout.splitlines()[0])
        assert answer["code"] == 554 and answer["dsn"] == "5.4.6", answer


def a_message_that_comes_back_is_refused():
    with Sink() as box, Setting(
            more='transport box {\n protocol = lmtp\n server = '
            '"127.0.0.1:%d"\n tls_security_level = none\n'
            ' delivered_to = yes\n}\n'
            'route "box.test" { transport = box }' % box.port) as (sink, d):
        submit(d, ["a@box.test", "b@box.test"])
        wait_for(lambda: len(box.mails) == 2, what="two deliveries")
        for name in ("a", "b"):
            mail = box.got("%s@box.test" % name)
            assert len(mail) == 1
            assert mail[0].text == b"Delivered-To: %s@box.test\r\n" % \
                name.encode() + MESSAGE.replace(b"\n", b"\r\n"), mail[0].text
        submit(d, ["a@box.test", "c@box.test"], box.got("a@box.test")[0].text)
        r = one(sink).rcpts[0]
        assert r["Final-Recipient"] == "rfc822; a@box.test"
        assert r["Status"] == "5.4.6" and r["Remote-MTA"] is None, r
        wait_for(lambda: len(box.got("c@box.test")) == 1, what="the other")
        assert len(box.got("a@box.test")) == 1


def notices_have_a_lifetime_of_their_own():
    with Setting("bounce_queue_lifetime = 1s") as (sink, d):
        submit(d, ["bad@x.test"], sender="later@home.test")
        wait_for(lambda: "delivery time expired" in d.log_text(),
                 what="the end of the notice")
        wait_for(lambda: ": postmaster non-delivery notification: "
                 in d.log_text(), what="the postmaster to be told")


# Who waits

def a_client_that_waits_is_told_and_its_sender_is_not():
    with Setting() as (sink, d):
        answers = d.send(["bad@x.test"], MESSAGE, sender=SENDER)
        assert answers[-1]["status"] == "failed", answers
        none(d, sink, "status=bounced")
        answers = d.send(["bad@x.test"], MESSAGE, sender=SENDER,
                         extra=("--notify", "failure"))
        assert answers[-1]["status"] == "failed", answers
        one(sink)


def a_client_that_leaves_has_its_sender_told():
    with Setting() as (sink, d):
        sink.rcpt = lambda rcpt: (time.sleep(1), by_name(rcpt))[1] \
            if rcpt.startswith("bad") else "250 ok"
        submit(d, ["bad@x.test"], wait="final")
        one(sink)


# Durability

def kill_queue(d):
    pid = d.pids("queue")[0]
    ready = d.log_text().count("queue [")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: d.log_text().count("queue [") > ready + 1,
             what="a new queue")


def a_crash_before_the_notice_loses_none_and_repeats_none():
    """The other recipient keeps the message, and its notice is gathered."""
    with Setting() as (sink, d):
        sink.final = lambda mail: "250 ok" if SENDER in mail.rcpts else \
            (time.sleep(4), "250 ok")[1]
        submit(d, ["bad@x.test", "good@x.test"])
        wait_for(lambda: "status=bounced" in d.log_text(), what="the failure")
        assert not sink.got(SENDER)
        kill_queue(d)
        n = one(sink)
        assert n.actions() == {"bad": "failed"}, n.actions()


def crashes_at_any_time_leave_one_notice_a_message():
    count = 60
    with Setting() as (sink, d):
        ids = [submit(d, ["bad@x.test", {"address": "a@x.test",
                                         "notify": ["success"]}])
               for _ in range(count // 2)]
        for _ in range(4):
            time.sleep(0.15)
            pid = d.pids("queue")
            if pid:
                os.kill(pid[0], signal.SIGKILL)
        wait_for(lambda: len(d.pids("queue")) == 1, what="a queue")
        for _ in range(count - len(ids)):
            ids.append(wait_for(lambda: try_submit(d), what="a submission"))

        def told():
            found = collections.defaultdict(set)
            for n in notices(sink):
                for r in n.rcpts:
                    # A copy that was perhaps delivered bears the same name.
                    found[n.id(), r["Action"]].add(n.mime["Message-ID"])
            return found

        wait_for(lambda: len(told()) >= 2 * count, 60, "all to be told")
        time.sleep(1)
        found = told()
        assert {qid for qid, _ in found} == set(ids)
        twice = {k: v for k, v in found.items() if len(v) > 1}
        assert not twice, twice


def try_submit(d):
    try:
        return submit(d, ["bad@x.test", {"address": "a@x.test",
                                         "notify": ["success"]}])
    except (OSError, AssertionError):
        return None


# Texts

TEMPLATE = """# ours
failure_template = <<END
Charset: utf-8
From: "Nobody" <mailer@$myhostname>
Subject: Nicht zugestellt

Gr\u00fc\u00dfe von $myhostname, nach $maximal_queue_lifetime_days Tagen ($queue_id)
END
"""


def texts_are_the_operators():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = folder + "/bounce.template"
        with open(path, "w") as f:
            f.write(TEMPLATE)
        with Setting('bounce_template_file = "%s"' % path,
                     keywords=UTF8) as (sink, d):
            qid = submit(d, ["bad@x.test"])
            n = one(sink)
            assert n.mime["Subject"] == "Nicht zugestellt"
            assert b'\r\nFrom: "Nobody" <mailer@client.postern.test>\r\n' \
                in n.mail.text
            assert n.human.startswith(
                "Gr\u00fc\u00dfe von client.postern.test, nach 5 Tagen (%s)"
                % qid), n.human
            assert b" BODY=8BITMIME" in n.mail.commands[0]
            with open(path, "w") as f:
                f.write(TEMPLATE.replace("$queue_id", "$quue_id"))
            os.kill(d.process.pid, signal.SIGHUP)
            wait_for(lambda: "reload refused" in d.log_text(), what="refusal")
            assert "%s:7: $quue_id" % path in d.log_text(), d.log_text()
            with open(path, "w") as f:
                f.write(TEMPLATE.replace("Nicht", "Leider nicht"))
            os.kill(d.process.pid, signal.SIGHUP)
            wait_for(lambda: "reloaded " in d.log_text(), what="the reload")
            submit(d, ["bad@x.test"])
            n = one(sink, count=2)
            assert n.mime["Subject"] == "Leider nicht zugestellt"


# RFC 8689, 5

def what_needs_tls_returns_its_header():
    with Setting() as (sink, d):
        submit(d, ["a@x.test"], require_tls=True, ret="full")
        n = one(sink)
        assert n.rcpts[0]["Status"] == "5.7.10", n.rcpts[0]
        assert n.parts[2].get_content_type() == "text/rfc822-headers"


# JSON

def events_are_told_in_json():
    with Setting("log_format = json") as (sink, d):
        qid = submit(d, ["bad@x.test"])
        one(sink)
        rows = [json.loads(line) for line in d.log_text().splitlines()
                if line.startswith("{")]
        row = [r for r in rows if r.get("event") == "notice"]
        assert len(row) == 1 and row[0]["id"] == qid, row
        assert row[0]["reader"] == "sender"
        assert row[0]["notice"] == "non-delivery notification"
        assert any(r.get("event") == "active" and
                   r["id"] == row[0]["notice_id"] for r in rows)


# Dovecot

def a_notice_is_stored_by_dovecot():
    with Peers() as peers, Sink() as sink:
        sink.rcpt = by_name
        body = config(sink, more=DOVECOT % (peers.lmtp_socket,
                                            peers.lmtp_domain))
        with Daemon(body) as d:
            sender = "ana@" + peers.lmtp_domain
            submit(d, ["bad@x.test"], sender=sender)
            box = "%s/ana/**/new/*" % peers.maildir

            def stored():
                return [p for p in glob.glob(box, recursive=True)
                        if b"delivery-status" in open(p, "rb").read()]
            paths = wait_for(stored, what="the notice in the mailbox")
            with open(paths[0], "rb") as f:
                m = email.message_from_binary_file(
                    f, policy=email.policy.default)
            assert m["Return-Path"] == "<>", m["Return-Path"]
            assert m.get_content_type() == "multipart/report"
            assert [p.get_content_type() for p in m.iter_parts()] == [
                "text/plain", "message/delivery-status", "message/rfc822"]


TESTS = (
    a_notice_is_stored_by_dovecot,
    crashes_at_any_time_leave_one_notice_a_message,
    a_delay_of_what_is_never_tried_is_told,
    a_delay_of_what_a_session_has_in_hand_is_told,
    a_delay_is_told_once,
    a_crash_before_the_notice_loses_none_and_repeats_none,
    one_of_three_fails,
    recipients_of_a_message_are_told_together,
    many_recipients_take_several_notices,
    nobody_is_quoted_who_did_not_say_it,
    who_wants_to_hear_nothing_hears_nothing,
    a_domain_without_a_route_is_told_of_when_its_time_is_over,
    the_header_or_all_is_returned,
    a_header_that_no_server_can_get_is_returned_as_text,
    a_delay_says_until_when_its_sender_lets_it_be_tried,
    a_large_message_is_returned_without_taking_memory,
    eight_bit_texts_are_declared,
    a_binary_message_returns_its_header,
    a_sender_in_utf8_is_told_in_utf8,
    a_sender_in_ascii_is_told_in_ascii,
    a_time_that_is_over_is_told_where_it_is_asked_for,
    what_expires_is_told_as_a_failure,
    a_success_is_told_where_nobody_else_does,
    a_delivery_by_lmtp_is_delivered,
    a_relay_that_leaves_a_time_behind_is_told,
    the_null_sender_is_told_nothing_and_the_postmaster_is,
    a_notice_that_fails_goes_to_its_recipient_or_is_kept,
    what_was_owed_to_a_postmaster_who_is_gone_is_kept,
    notices_have_a_way_of_their_own,
    notices_without_a_route_wait,
    a_postmaster_has_copies,
    a_postmaster_who_is_gone_gets_nothing,
    too_many_hops_are_refused,
    a_message_that_comes_back_is_refused,
    notices_have_a_lifetime_of_their_own,
    a_client_that_waits_is_told_and_its_sender_is_not,
    a_client_that_leaves_has_its_sender_told,
    texts_are_the_operators,
    what_needs_tls_returns_its_header,
    events_are_told_in_json,
)


def run(suite):
    suite.check_all([(t.__name__.replace("_", " "), t) for t in TESTS])


if __name__ == "__main__":
    only = sys.argv[1:]
    TESTS = tuple(t for t in TESTS if not only or
                  any(w in t.__name__ for w in only))
    whole = Suite()
    run(whole)
    whole.end()
