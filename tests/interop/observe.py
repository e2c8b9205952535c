# SPDX-License-Identifier: ISC
"""What can be seen of a posternd: metrics, records, and its log as Debian's
pflogsumm and logwatch read it, all of which must agree."""
import atexit
import collections
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import openmetrics  # noqa
from daemon import Daemon, Job, ROLE_UIDS, wait_for  # noqa
from openmetrics import value  # noqa
from sink import Sink  # noqa

HERE = os.path.dirname(os.path.abspath(__file__))
OPENMETRICS = "application/openmetrics-text"
MESSAGE = b"Subject: test\n\ntext\n"
SECONDS = 60  # more than anything here takes

CONFIG = """
%(globals)s
minimal_backoff_time = 1h
maximal_backoff_time = 1h
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
}
transport dead {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = sink }
route "dead.test" { transport = dead }
route "old.test" { transport = dead maximal_queue_lifetime = 0 }
"""


def config(port=2, extra=""):
    return CONFIG % {"port": port, "globals": extra}


def reply_of(rcpt):
    """What the sink says to a recipient, by its local part."""
    if rcpt.startswith("later"):
        return "450 4.2.2 mailbox full (try again)"
    if rcpt.startswith("never"):
        return "550 5.1.1 no such user"
    return "250 2.1.5 ok"


def request(d, text, tcp=None):
    """What is answered to some octets, up to the end."""
    s = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
    s.settimeout(SECONDS)
    s.connect(tcp or d.dir + "/run/metrics")
    with s:
        s.sendall(text)
        answer = b""
        while True:
            octets = s.recv(65536)
            if not octets:
                return answer.decode()
            answer += octets


def http(d, accept=OPENMETRICS, path="/metrics", method="GET", tcp=None):
    """Status, fields in lower case, body."""
    text = "%s %s HTTP/1.1\r\nHost: x\r\n" % (method, path)
    if accept:
        text += "Accept: %s\r\n" % accept
    head, _, body = request(d, (text + "\r\n").encode(),
                            tcp).partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields, body


def scrape(d):
    return openmetrics.parse(http(d)[2])


def scraped(d, name, want, **labels):
    """Gauges follow within a sweep."""
    wait_for(lambda: value(scrape(d), name, **labels) == want, SECONDS,
             "%s %r to be %s" % (name, labels, want))


def the_text_is_openmetrics():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        d.send(["ana@good.test"], MESSAGE)
        status, fields, body = http(d)
        assert status == 200, status
        assert fields["content-type"] == \
            OPENMETRICS + "; version=1.0.0; charset=utf-8", fields
        families = openmetrics.parse(body)
        assert all(f.help for f in families.values()
                   if f.name != "postern_build"), families
        assert families["postern_commit_duration_seconds"].unit == "seconds"
        assert value(families, "postern_outcomes_total", transport="sink",
                     group="", status="delivered") == 1
        assert value(families, "postern_roles_ready") == len(ROLE_UIDS)
        assert value(families, "postern_commit_changes_count") > 0
        status, fields, old = http(d, accept=None)
        assert fields["content-type"] == \
            "text/plain; version=0.0.4; charset=utf-8", fields
        assert "# TYPE postern_outcomes_total counter\n" in old, old[:2000]
        assert "# EOF" not in old and "# UNIT" not in old
        status, fields, body = http(d, method="HEAD")
        assert status == 200 and body == "" and \
            int(fields["content-length"]) > 1000, (fields, body)


def what_is_asked_wrongly_is_refused():
    with Daemon(config()) as d:
        assert http(d, path="/")[0] == 404
        assert http(d, path="/../etc/passwd")[0] == 404
        status, fields, _ = http(d, method="DELETE")
        assert status == 405 and fields["allow"] == "get, head", fields
        for junk in (b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n", b"GET\r\n",
                     b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20000):
            try:
                request(d, junk)
            except (ConnectionResetError, BrokenPipeError):
                pass  # it says no before it has heard all
        scrape(d)
        assert "metrics" not in " ".join(
            line for line in d.log_text().splitlines() if "died" in line)


def loopback_tcp_tells_the_same():
    # a port that is free now; a posternd that finds it taken is tried again
    for _ in range(20):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        d = Daemon(config(extra='metrics_listen = "127.0.0.1:%d"' % port))
        try:
            d.start()
        except AssertionError:
            assert "metrics_listen" in d.log_text(), d.log_text()
            d.clear()
            continue
        with_tcp = http(d, tcp=("127.0.0.1", port))
        assert with_tcp[0] == 200
        assert set(openmetrics.parse(with_tcp[2])) == set(scrape(d))
        d.clear()
        return
    raise AssertionError("no port was free")


def other_hosts_are_let_in_by_a_word_alone():
    d = Daemon(config(extra='metrics_listen = "0.0.0.0:9"'))
    argv = [d.dir + "/posternd", "-n", "-c", d.config]
    r = subprocess.run(argv, capture_output=True, text=True)
    assert r.returncode == 1 and "metrics_access = any" in r.stderr, r
    d.write_config(config(
        extra='metrics_listen = "0.0.0.0:9"\nmetrics_access = any'))
    assert subprocess.run(argv).returncode == 0
    d.clear()


def without_a_socket_there_is_no_role():
    d = Daemon(config(extra='metrics_socket = ""'))
    d.roles -= 1
    with d:
        assert not d.pids("metrics")
        assert not os.path.exists(d.dir + "/run/metrics")
        answers = d.send(["ana@dead.test"], MESSAGE, wait="attempt")
        assert answers[1]["status"] == "deferred", answers


def clients_that_hang_harm_nothing():
    with Daemon(config()) as d:
        idle = []
        for i in range(40):  # more than there is room for
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(SECONDS)
            s.connect(d.dir + "/run/metrics")
            # some say nothing, some begin, some never read the answer
            if i % 3 == 1:
                s.sendall(b"GET /metrics HT")
            elif i % 3 == 2:
                s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            idle.append(s)
        scrape(d)  # once their time is over
        for s in idle:  # each is cut off, whatever it read
            try:
                while s.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            s.close()
        assert d.pids("metrics")


def counts_outlive_the_queue():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        d.send(["ana@good.test"], MESSAGE)
        os.kill(d.pids("queue")[0], signal.SIGKILL)
        wait_for(lambda: d.log_text().count("queue [") >= 3, SECONDS,
                 "another queue")
        wait_for(lambda: d.send(["bob@good.test"], MESSAGE)[-1]["status"] ==
                 "delivered", SECONDS, "a delivery")
        families = scrape(d)
        assert value(families, "postern_outcomes_total", transport="sink",
                     status="delivered") >= 2
        assert value(families, "postern_role_deaths_total", role="queue") == 1
        scraped(d, "postern_roles_ready", 1, role="queue")


def a_metrics_role_that_dies_is_no_loss():
    with Sink() as sink, Daemon(config(sink.port)) as d:
        d.send(["ana@good.test"], MESSAGE)
        pid = d.pids("metrics")[0]
        os.kill(pid, signal.SIGKILL)
        assert d.send(["bob@good.test"], MESSAGE)[-1]["status"] == "delivered"
        wait_for(lambda: d.pids("metrics") not in ([], [pid]), SECONDS,
                 "another metrics role")
        families = scrape(d)
        assert value(families, "postern_outcomes_total",
                     status="delivered") == 2
        assert value(families, "postern_role_deaths_total",
                     role="metrics") == 1


def the_queue_is_seen_by_state_and_age():
    with Daemon(config()) as d:
        for i in range(3):
            d.send(["a%d@dead.test" % i], MESSAGE, wait="attempt")
        # A server of the configuration is tried again within seconds.
        wait_for(lambda: all(r["state"] == "deferred" for r in d.queued()),
                 what="all to be deferred")
        d.postern("pause", "--all")
        d.postern("queue", "hold", "--recipient", "a0@*")
        scraped(d, "postern_queue_recipients", 1, state="held")
        scraped(d, "postern_queue_recipients", 2, state="deferred")
        scraped(d, "postern_queue_messages", 3)
        scraped(d, "postern_queue_age_seconds_gcount", 3)
        families = scrape(d)
        assert value(families, "postern_spool_free_bytes") > 0
        assert value(families, "postern_outcome_failures_total",
                     step="connect") >= 3
        assert value(families, "postern_session_failures_total",
                     step="connect") >= 1
        assert value(families, "postern_outcome_codes_total", code="none") >= 3
        assert value(families, "postern_outcome_dsn_total", **{
            "class": "4", "subject": "4"}) >= 3


def dashboard_and_alerts_name_what_is_there():
    conf = os.path.join(HERE, "..", "..", "conf")
    with open(conf + "/grafana/postern.json") as f:
        board = json.load(f)
    ids = [p["id"] for p in board["panels"]]
    assert len(set(ids)) == len(ids) > 10
    texts = [t["expr"] for p in board["panels"] for t in p["targets"]]
    with open(conf + "/prometheus/postern.rules.yml") as f:
        rules = f.read()
    alerts = re.findall(r"- alert: (\w+)\n", rules)
    assert len(alerts) == len(set(alerts)) >= 10, alerts
    assert rules.count("expr:") == len(alerts) == rules.count("summary:")
    with Sink() as sink, Daemon(config(sink.port)) as d:
        families = scrape(d)
    # what has the name, and the values of its labels
    named = openmetrics.sample_names(families)
    labels = {p for f in families.values() for _, have in f.samples
              for p in have}
    seen = set()
    for text in texts + [rules]:
        for name in re.findall(r"\bpostern_\w+", text):
            assert name in named, name
            seen.add(name)
        for key, values in re.findall(
                r'\b(status|state|step|result)=~?"([^"]*)"', text):
            assert all((key, v) in labels for v in values.split("|")), values
    assert len(seen) >= 20, seen


# The log and its readers.

class Tail:
    """Events as postern tail gets them, all of them from here on."""

    def __init__(self, d):
        self.job = Job(d.dir + "/run/control")
        self.job.send({"command": "tail"})
        assert self.job.receive() == {"event": "listening"}
        self.job.sock.settimeout(None)
        self.records = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                record = self.job.receive()
            except (OSError, ValueError):
                return
            if record is None or "event" not in record:
                return
            self.records.append(record)

    def of(self, event, **members):
        return [r for r in list(self.records) if r["event"] == event and
                all(r[k] == v for k, v in members.items())]


def readers():
    r = subprocess.run(["sh", os.path.join(HERE, "peers.sh"), "readers"],
                       stdout=subprocess.PIPE, text=True)
    assert r.returncode == 0, "pflogsumm and logwatch cannot be had"
    return r.stdout.strip()


def pflogsumm(root, log, name):
    """Grand totals by their words."""
    r = subprocess.run(
        ["perl", root + "/usr/sbin/pflogsumm", "--syslog-name=" + name, log],
        capture_output=True, text=True,
        env=dict(os.environ, PERL5LIB=root + "/usr/share/perl5"))
    assert r.returncode == 0 and r.stderr == "", r.stderr
    grand = r.stdout.split("Per-", 1)[0]
    totals = {words.strip(): int(n) for n, words in re.findall(
        r"^ *(\d+)   ([a-z ]+)", grand, re.M)}
    found = re.search(r"\((\d+) +deferrals\)", grand)
    totals["deferrals"] = int(found.group(1)) if found else 0
    return totals, r.stdout


def logwatch(root, log, name):
    with tempfile.NamedTemporaryFile() as nothing:
        r = subprocess.run(
            ["perl", root + "/usr/share/logwatch/scripts/services/postfix",
             "--syslog_name", name, "--detail", "10", "-f", nothing.name, log],
            capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    summary = r.stdout.split("****** Detail", 1)[0]
    totals = collections.Counter()  # what did not happen has no line
    # "3.718K  Bytes sent via SMTP       3,807": the last column is exact
    for n, words, exact in re.findall(
            r"^ *(\S+) +(\S.*?)  +([\d,.]+)%?$", summary, re.M):
        totals[words] = int((n if "." in exact else exact).replace(",", ""))
    return totals, r.stdout


class Unix(smtplib.SMTP):
    """A client of a listener on a Unix socket, by SMTP or LMTP."""

    def _get_socket(self, host, port, timeout):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(SECONDS)
        s.connect(host)
        return s


def hand_in(path, lmtp, rcpts, sender="sender@client.postern.test"):
    """By a listener; some recipients are refused, and one session is cut."""
    with Unix(path) as client:
        client.docmd("LHLO" if lmtp else "EHLO", "app.test")
        client.docmd("MAIL", "FROM:<%s>" % sender)
        for rcpt in rcpts:
            assert client.docmd("RCPT", "TO:<%s>" % rcpt)[0] == 250, rcpt
        assert client.docmd("RCPT", "TO:<no@@address>")[0] >= 500
        assert client.docmd("DATA")[0] == 354
        client.send(MESSAGE.replace(b"\n", b"\r\n") + b".\r\n")
        for _ in rcpts if lmtp else [None]:
            code, text = client.getreply()
            assert code == 250, (code, text)
    client = Unix(path)
    client.docmd("LHLO" if lmtp else "EHLO", "app.test")
    client.docmd("MAIL", "FROM:<%s>" % sender)
    client.close()


def run_all_kinds(d):
    """Deliveries, deferrals, bounces, expiry, notices, what an operator does,
    and what goes wrong with roles and workers."""
    for lmtp in (False, True):
        path = d.dir + ("/lmtp" if lmtp else "/smtp")
        hand_in(path, lmtp, ["eva@good.test", "fritz@local.test"])
        hand_in(path, lmtp, ["never9@good.test", "later9@good.test"])
    for i in range(5):
        d.send(["ana%d@good.test" % i, "bob@good.test"], MESSAGE)
    d.send(["carla@local.test", "dora@local.test"], MESSAGE)
    d.send(["never1@local.test"], MESSAGE)
    d.send(["never1@good.test", "ana@good.test"], MESSAGE)
    d.send(["never2@good.test"], MESSAGE, sender="never3@good.test",
           wait="queued")  # its notice fails as well
    d.send(["later1@good.test", "later2@good.test"], MESSAGE, wait="attempt")
    d.send(["x@dead.test"], MESSAGE, wait="attempt")
    d.send(["y@dead.test"], MESSAGE, wait="attempt", extra=("--ref", "my ref"))
    d.send(["z@old.test"], MESSAGE, wait="queued")
    d.send(["d\u00f6ra@good.test"], MESSAGE, wait="attempt")
    d.postern("queue", "hold", "--recipient", "x@dead.test")
    d.postern("queue", "release", "--recipient", "x@dead.test")
    d.postern("queue", "delete", "--recipient", "y@dead.test")
    d.postern("queue", "expire", "--recipient", "later2@good.test")
    os.kill(d.pids("resolver")[0], signal.SIGKILL)
    wait_for(lambda: d.log_text().count("resolver [") >= 3, SECONDS,
             "another resolver")
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in d.log_text(), SECONDS, "a reload")
    # It is tried again and again, and would be so while we count.
    d.postern("pause", "--transport", "dead")


def quiet(d, tail):
    """Nothing is on its way any more, and all of it has been told."""
    def still():
        rows = d.queued()
        # what is released waits for its destination, which rests
        return not [r for r in rows if r["state"] in ("queued", "active") and
                    "@dead" not in r["recipient"]] \
            and d.log_text().count("status=") == \
            len(tail.of("outcome")) + len(tail.of("expired"))
    wait_for(still, SECONDS, "quiet")


def compare(rows):
    print("   %-28s %9s %9s %9s %9s" % (
        "", "records", "metrics", "pflogsumm", "logwatch"))
    for name, *numbers in rows:
        print("   %-28s %9s %9s %9s %9s" % (
            name, *["-" if n is None else int(n) for n in numbers]))
    for name, *numbers in rows:
        known = [n for n in numbers if n is not None]
        assert len(set(known)) == 1 and known[0] > 0, (name, numbers)


def totals(tail, families, summ, watch):
    sizes = {r["id"]: r["size"] for r in tail.of("active")}
    sent = tail.of("outcome", status="sent")
    accepted = tail.of("accepted")

    def outcomes(status):
        return value(families, "postern_outcomes_total", status=status)

    return [
        ("messages received", len(accepted),
         value(families, "postern_messages_accepted_total", source="client"),
         summ["received"], watch["Accepted"]),
        ("recipients delivered", len(sent), outcomes("delivered"),
         summ["delivered"],
         watch["Sent via SMTP"] + watch["Sent via LMTP"]),
        ("of them by LMTP", len([r for r in sent if r["protocol"] == "lmtp"]),
         None, None, watch["Sent via LMTP"]),
        ("deferrals", len(tail.of("outcome", status="deferred")),
         outcomes("deferred"), summ["deferrals"], watch["Deferrals"]),
        ("recipients bounced", len(tail.of("outcome", status="bounced")),
         outcomes("failed"), summ["bounced"],
         watch["Bounced (local)"] + watch["Bounced (remote)"]),
        ("octets received", sum(r["size"] for r in accepted), None,
         summ["bytes received"], watch["Bytes accepted"]),
        ("octets delivered", sum(sizes[r["id"]] for r in sent), None,
         summ["bytes delivered"],
         watch["Bytes sent via SMTP"] + watch["Bytes sent via LMTP"]),
        ("expired", len(tail.of("expired")), None, None,
         watch["Expired and returned to sender"]),
        ("notices", len(tail.of("notice")),
         value(families, "postern_messages_accepted_total", source="notice"),
         None, watch["Notifications sent"]),
        ("notices kept", len(tail.of("kept")),
         value(families, "postern_notices_total", kind="kept"), None, None),
        ("messages removed", len(tail.of("removed")), None, None,
         watch["Removed from queue"]),
    ]


def readers_agree(name):
    root = readers()
    folder = tempfile.mkdtemp(prefix="postern-observe-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unix = folder + "/lmtp"
    os.chmod(folder, 0o755)
    with Sink() as sink, Sink(unix=unix) as store:
        sink.rcpt = store.rcpt = reply_of
        # Where a notice fails that this one should have had, it is kept.
        body = config(sink.port, 'log_format = maillog\nsyslog_name = "%s"\n'
                      'double_bounce_recipient = "never5@good.test"' % name)
        body += 'transport store { protocol = lmtp server = "unix:%s" }\n' \
                'route "local.test" { transport = store }\n' % unix
        d = Daemon()
        for protocol in ("smtp", "lmtp"):
            body += 'listener %s { listen = "unix:%s/%s" protocol = %s }\n' % (
                protocol, d.dir, protocol, protocol)
        d.write_config(body)
        with d:
            tail = Tail(d)
            run_all_kinds(d)
            quiet(d, tail)
            families = scrape(d)
            d.stop()
            summ, _ = pflogsumm(root, d.log, name)
            watch, report = logwatch(root, d.log, name)
            compare(totals(tail, families, summ, watch) + [
                ("recipients rejected", rejects(d.log, name), None,
                 summ["rejected"], None)])
            assert "Unmatched" not in report, report[report.index(
                "**Unmatched"):][:3000]
            assert not any(r["event"] == "lost" for r in tail.records)
    os.unlink(unix)
    os.rmdir(folder)


def rejects(log, name):
    with open(log) as f:
        return len(re.findall(r" %s/smtpd\[\d+\]: \w+: reject: " % name,
                              f.read()))


def pflogsumm_and_logwatch_agree_with_the_records():
    readers_agree("postern")


def under_postfix_s_name_they_need_no_option():
    readers_agree("postfix")


def the_log_has_the_records_of_tail():
    with Sink() as sink:
        sink.rcpt = reply_of
        with Daemon(config(sink.port, "log_format = json")) as d:
            tail = Tail(d)
            d.send(["never@good.test"], MESSAGE)
            d.send(["ana@good.test"], MESSAGE)
            wait_for(lambda: len(tail.of("removed")) > 0, SECONDS, "the end")
            want = list(tail.records)
            logged = [json.loads(line) for line in
                      d.log_text().splitlines()]
    logged = [r for r in logged if "event" in r]
    for r in logged:
        for name in ("time", "process", "pid", "level"):
            del r[name]
    for r in want:
        assert r in logged, (r, logged)
    assert {r["event"] for r in want} >= {"accepted", "active", "outcome",
                                          "removed"}, want


TESTS = (
    the_text_is_openmetrics,
    what_is_asked_wrongly_is_refused,
    loopback_tcp_tells_the_same,
    other_hosts_are_let_in_by_a_word_alone,
    without_a_socket_there_is_no_role,
    clients_that_hang_harm_nothing,
    counts_outlive_the_queue,
    a_metrics_role_that_dies_is_no_loss,
    the_queue_is_seen_by_state_and_age,
    dashboard_and_alerts_name_what_is_there,
    the_log_has_the_records_of_tail,
    pflogsumm_and_logwatch_agree_with_the_records,
    under_postfix_s_name_they_need_no_option,
)


def run(suite):
    for test in TESTS:
        suite.check(test.__name__.replace("_", " "), test)
