# SPDX-License-Identifier: ISC
"""Who waits for whom: senders, destinations, rates, and the dead."""
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Job, memfd, wait_for  # noqa
from lifecycle import reload, rewrite  # noqa
from sink import Sink, slow  # noqa

MESSAGE = b"Subject: test\n\ntext\n"
BULK = 5000

CONFIG = """
minimal_backoff_time = 2s
maximal_backoff_time = 8s
%(globals)s
transport sink {
	server = "127.0.0.1:%(port)d"
	tls_security_level = none
	%(transport)s
}
route "*" {
	transport = sink
	%(route)s
}
"""


def config(sink, transport="", route="", extra=""):
    return CONFIG % {"port": sink.port, "transport": transport,
                     "route": route, "globals": extra}


class NameServer:
    """The MX of every domain is mx.FIRST-LABEL.postern.test, on 127.0.0.1."""

    def __init__(self):
        self.failures = 0  # questions that it answers by SERVFAIL from now on
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.sock.sendto(self.answer(query), peer)

    def answer(self, query):
        end = query.index(b"\0", 12) + 5
        if self.failures > 0:
            self.failures -= 1
            return query[:2] + b"\x84\x02\0\1\0\0\0\0\0\0" + query[12:end]
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        data = None
        if kind == 1:
            data = bytes([127, 0, 0, 1])
        elif kind == 15 and labels[0] != b"mx":
            host = [b"mx", labels[0].split(b"-")[0], b"postern", b"test"]
            data = struct.pack(">H", 10) + b"".join(
                bytes([len(x)]) + x for x in host) + b"\0"
        head = query[:2] + b"\x84\x00\0\1" + struct.pack(
            ">HHH", data is not None, 0, 0)
        if data is None:
            return head + query[12:end]
        return head + query[12:end] + b"\xc0\x0c" + struct.pack(
            ">HHIH", kind, 1, 300, len(data)) + data

    def close(self):
        self.sock.close()


def bulk(d, n, domain="x.test", sender="bounces-%d-r=y.test@lists.test",
         **more):
    """n messages of one run, each with a reverse-path of its own."""
    job = Job(d.dir + "/run/job")
    fd = memfd(MESSAGE)
    for i in range(n):
        job.send(dict({"from": sender % i if "%" in sender else sender,
                       "rcpts": ["r%d@%s" % (i, domain)],
                       "wait": "queued"}, **more), fd)
        answer = job.receive()
        assert answer["status"] == "queued", answer
    os.close(fd)
    job.close()


def place(sink, rcpt):
    """How many came before it, once it has come."""
    wait_for(lambda: sink.got(rcpt), 30, rcpt)
    mails = list(sink.mails)
    return [i for i, m in enumerate(mails) if rcpt in m.rcpts][0]


def a_bulk_run_delays_nobody_else():
    with Sink() as sink, Sink() as other:
        sink.final = slow(0.4, "250 2.0.0 taken")
        body = config(sink) + """
transport other {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route other.test { transport = other }
""" % other.port
        with Daemon(body) as d:
            bulk(d, BULK)
            for restarted in (False, True):
                if restarted:
                    # From the store alone it must be so too.
                    queue = d.pids("queue")[0]
                    d.stop(kill=True)
                    wait_for(lambda: not os.path.exists("/proc/%d" % queue),
                             what="the queue's end")
                    d.start()
                wait_for(lambda: len(sink.mails) > 20, what="the bulk run")
                before = len(sink.mails)
                begun = time.monotonic()
                d.send(["one%d@x.test" % restarted], MESSAGE, wait="queued")
                d.send(["one%d@other.test" % restarted], MESSAGE,
                       sender="bounces-1-r@lists.test")
                took = time.monotonic() - begun
                assert took < 3, "another domain: %.1f s" % took
                behind = place(sink, "one%d@x.test" % restarted) - before
                # What its sessions had in hand goes first: 20 at most, with
                # 4 messages each.
                assert behind <= 100, "%d of the run were before it" % behind
                assert len(sink.mails) < BULK, "the run was over"


MANY = 20000


def to_many(d):
    """The connection of a client whose job of MANY recipients is whole."""
    job = Job(d.dir + "/run/job")
    fd = memfd(MESSAGE)
    for at in range(0, MANY, 1000):
        packet = {"rcpts": ["r%d@x.test" % i for i in range(at, at + 1000)],
                  "more": at + 1000 < MANY}
        if at == 0:
            packet.update({"from": "a@lists.test", "wait": "queued"})
        job.send(packet, fd if at == 0 else None)
    os.close(fd)
    return job


def counted(d):
    """The recipients of the store that wait, taken or not."""
    return d.queue()[-1]["counts"]["queued"]


def kill_queue(d):
    before = d.pids("queue")
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: d.pids("queue") not in (before, []), what="a new queue")


def a_message_to_many_is_taken_whole_or_not_at_all():
    with Sink() as sink:
        with Daemon(config(sink, extra="job_recipient_limit = 100000")) as d:
            sink.final = "451 4.3.0 not yet"
            job = to_many(d)
            wait_for(lambda: counted(d) > 0, what="its first part")
            kill_queue(d)
            answer = job.receive()
            job.close()
            if answer["status"] == "refused":
                wait_for(lambda: counted(d) == 0, 60, "nothing to be left")
                assert "recipients was being taken" in d.log_text()
            else:
                d.postern("queue", "delete", "--yes", "--older", "0s")
            assert not sink.mails, len(sink.mails)
            d.stop()
            check = d.postern("queue", "check")
            assert check.returncode == 0, check


def a_message_to_many_is_delivered_to_all_over_a_kill():
    with Sink() as sink:
        with Daemon(config(sink, extra="job_recipient_limit = 100000")) as d:
            job = to_many(d)
            answer = job.receive()
            assert answer["status"] == "queued", answer
            kill_queue(d)
            job.close()
            wait_for(lambda: len({r for m in list(sink.mails)
                                  for r in m.rcpts}) == MANY, 120,
                     "all %d" % MANY)
            wait_for(lambda: ": removed" in d.log_text(), 30, "the end")


def what_a_rate_holds_back_expires_like_all_else():
    with Sink() as sink:
        body = config(sink, "destination_rate = \"1 message/h\"",
                      extra="maximal_queue_lifetime = 2s\n"
                      "bounce_queue_lifetime = 2s\n"
                      "double_bounce_recipient = \"\"")
        with Daemon(body) as d:
            bulk(d, 3, sender="")
            wait_for(lambda: d.log_text().count("status=bounced") == 2, 40,
                     "the end of those that had no turn")
            assert "left it no turn" in d.log_text(), d.log_text()
            assert len(sink.mails) == 1, sink.mails


def a_high_priority_goes_before_and_a_low_one_goes_too():
    with Sink() as sink:
        sink.final = slow(0.02, "250 2.0.0 taken")
        with Daemon(config(sink, "destination_concurrency_limit = 1")) as d:
            bulk(d, 300, sender="a@lists.test")
            bulk(d, 50, sender="b@lists.test", domain="high.test",
                 priority="high")
            bulk(d, 50, sender="c@lists.test", domain="low.test", priority=-4)
            wait_for(lambda: not d.queued(), 60, "the queue to be empty")
            domains = [m.rcpts[0].split("@")[1] for m in sink.mails]
            last_high = len(domains) - domains[::-1].index("high.test")
            first_low = domains.index("low.test")
            assert last_high < 300, last_high
            assert first_low < 300, "low mail starved"


def a_rate_holds_and_goes_on_over_a_reload():
    with Sink() as sink:
        body = config(sink, 'rate = { "20 messages/second burst 5" }')
        with Daemon(body) as d:
            begun = time.monotonic()
            bulk(d, 100)
            wait_for(lambda: len(sink.mails) > 10, what="the first")
            rewrite(d, "maximal_backoff_time = 8s", "maximal_backoff_time = 9s")
            reload(d)
            while len(sink.mails) < 60:
                # One more may be on its way from the bucket to the list.
                passed = time.monotonic() - begun
                came = len(sink.mails)
                assert came <= 5 + 20 * passed + 1, (came, passed)
                time.sleep(0.01)
            assert time.monotonic() - begun < 10, "it is slower than its rate"


def a_rate_holds_over_a_kill_and_a_restart():
    with Sink() as sink:
        body = config(sink, 'destination_rate = { "1 message/hour" }\n'
                      'rate = { "2 connections/hour burst 2" }')
        with Daemon(body) as d:
            bulk(d, 5)
            wait_for(lambda: len(sink.mails) == 1, 20, "the first")
            kill_queue(d)
            wait_for(lambda: "queue open" in d.log_text(), 20, "the queue")
            d.postern("queue", "retry", "--yes", "--older", "0s")
            time.sleep(1)
            d.stop()
            d.start()
            d.postern("queue", "retry", "--yes", "--older", "0s")
            time.sleep(1)
            queue = d.pids("queue")[0]
            d.stop(kill=True)
            wait_for(lambda: not os.path.exists("/proc/%d" % queue),
                     what="the queue's end")
            d.start()
            d.postern("queue", "retry", "--yes", "--older", "0s")
            time.sleep(1)
            assert len(sink.mails) == 1, sink.mails


def connections_have_a_rate():
    with Sink() as sink:
        body = config(sink, 'rate = { "2 connections/second" }\n'
                      'messages_per_connection_limit = 1')
        with Daemon(body) as d:
            begun = time.monotonic()
            bulk(d, 10)
            while len(sink.mails) < 10:
                passed = time.monotonic() - begun
                assert sink.connections <= 2 + 2 * passed + 1, sink.connections
                assert passed < 20
                time.sleep(0.01)
            assert sink.connections == 10, sink.connections


def a_route_has_a_rate_of_its_own():
    with Sink() as sink:
        body = config(sink) + """
route slow.test {
	transport = sink
	rate = { "1 message/hour burst 3" }
}
"""
        with Daemon(body) as d:
            bulk(d, 6, "slow.test")
            bulk(d, 20, "fast.test")
            wait_for(lambda: len(sink.mails) == 23, what="all that may go")
            time.sleep(0.5)
            assert len(sink.mails) == 23
            assert len(d.queued()) == 3


def a_group_of_servers_shares_limits_over_domains():
    names = NameServer()
    with Sink() as sink:
        open_now = []
        most = []

        def greet(_):
            open_now.append(1)
            most.append(len(open_now))
            return "220 sink.postern.test"

        def final(_):
            time.sleep(0.1)
            open_now.pop()
            return "250 2.0.0 taken"

        sink.greeting = greet
        sink.final = final
        body = """
name_servers = { "127.0.0.1@%d" }
hosts_file = ""
transport mx {
	port = %d
	allow_loopback = yes
	tls_security_level = none
	connection_reuse_time_limit = 0
}
route "*" { transport = mx }
mx_group provider {
	hosts = { .provider.postern.test }
	rate = { "1 message/hour burst 12" }
	concurrency_limit = 2
}
destination "lone.postern.test" {
	rate = { "1 message/hour burst 2" }
}
""" % (names.port, sink.port)
        with Daemon(body) as d:
            for i in range(8):
                bulk(d, 2, "provider-%d.postern.test" % i)
            wait_for(lambda: len(sink.mails) == 12, what="the burst")
            time.sleep(0.3)
            assert len(sink.mails) == 12, len(sink.mails)
            assert max(most) == 2, most
            bulk(d, 3, "lone.postern.test")
            wait_for(lambda: len(sink.mails) == 14, what="the lone two")
            time.sleep(0.3)
            assert len(sink.mails) == 14, len(sink.mails)
    names.close()


def a_dead_destination_is_probed_by_one_session():
    with Sink() as sink:
        sink.greeting = "421 4.3.2 not now"
        with Daemon(config(sink)) as d:
            bulk(d, 200)
            wait_for(lambda: d.log_text().count("status=deferred") >= 200,
                     what="all to be deferred")
            first = sink.connections
            assert first <= 10, first
            for probe in range(1, 3):
                wait_for(lambda: sink.connections > first, what="a probe")
                time.sleep(1)
                assert sink.connections == first + 1, (probe, sink.connections)
                first = sink.connections
            sink.greeting = "220 sink.postern.test"
            wait_for(lambda: len(sink.mails) == 200, 60, "the mail")
            assert sink.connections > first + 1, "no more than the probe"


# To the MX of a domain, as the defaults have it but for the port.
MX_CONFIG = """
name_servers = { "127.0.0.1@%d" }
hosts_file = ""
%s
transport mx {
	port = %d
	allow_loopback = yes
	tls_security_level = none
}
route "*" { transport = mx }
"""


def first(n, reply, then):
    """A reply for so many times, and another one from then on."""
    left = [n]

    def answer(*_):
        left[0] -= 1
        return reply if left[0] >= 0 else then
    return answer


def deferred(d):
    return d.log_text().count("status=deferred")


def one_failure_does_not_put_a_destination_to_rest():
    names = NameServer()
    with Sink() as sink:
        sink.greeting = first(1, "421 4.3.2 not now", "220 sink.postern.test")
        with Daemon(MX_CONFIG % (names.port, "", sink.port)) as d:
            bulk(d, 1, "one.postern.test")
            wait_for(lambda: deferred(d) == 1, what="the refusal")
            bulk(d, 5, "one.postern.test")
            wait_for(lambda: len(sink.mails) == 5, 20, "what came after")
            names.failures = 1000
            bulk(d, 1, "two.postern.test")
            wait_for(lambda: deferred(d) == 2, 30, "the failure of the DNS")
            names.failures = 0
            bulk(d, 5, "two.postern.test")
            wait_for(lambda: len(sink.mails) == 10, 20, "what came after it")
    names.close()


def a_socket_that_was_missing_once_is_connected_to_soon():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = folder + "/lmtp"
        body = """
transport store {
	protocol = lmtp
	server = "unix:%s"
	tls_security_level = none
}
route "*" { transport = store }
""" % path
        with Daemon(body) as d:
            bulk(d, 20)
            # That many find out that it is dead.
            wait_for(lambda: deferred(d) >= 4, what="the first to fail")
            with Sink(unix=path) as sink:
                wait_for(lambda: len(sink.mails) == 20, 20, "all of them")


def what_is_new_finds_a_destination_that_works_again():
    names = NameServer()
    with Sink() as sink:
        sink.greeting = "421 4.3.2 not now"
        with Daemon(MX_CONFIG % (names.port, "", sink.port)) as d:
            bulk(d, 10, "one.postern.test")
            wait_for(lambda: deferred(d) == 10, what="all to be deferred")
            assert rest_of(d, "one.postern.test") > 200
            # Five at most, and one that some of the ten waited for.
            assert sink.connections <= 6, sink.connections
            bulk(d, 100, "one.postern.test")
            wait_for(lambda: deferred(d) == 110, what="more of them")
            assert sink.connections <= 8, "each of them dialled it"
            sink.greeting = "220 sink.postern.test"
            bulk(d, 5, "one.postern.test")
            wait_for(lambda: len(sink.mails) == 5, 30, "the new ones")
            assert rest_of(d, "one.postern.test") <= 0
    names.close()


def nothing_is_returned_for_its_age_before_an_attempt():
    names = NameServer()
    with Sink() as sink:
        sink.greeting = "421 4.3.2 not now"
        body = MX_CONFIG % (names.port, "maximal_queue_lifetime = 0s\n"
                            "bounce_queue_lifetime = 0s\n"
                            "double_bounce_recipient = \"\"\n"
                            "minimal_backoff_time = 1s", sink.port)
        with Daemon(body.replace("\tport", "\tinitial_destination_concurrency "
                                 "= 1\n\tport")) as d:
            bulk(d, 5, "one.postern.test", sender="")
            wait_for(lambda: d.log_text().count("status=bounced") == 5, 30,
                     "their end")
            assert sink.connections == 5, sink.connections
            for line in d.log_text().splitlines():
                assert "suspended" not in line or "deferred" in line, line
            sink.greeting = first(1, "421 4.3.2 not now",
                                  "220 sink.postern.test")
            bulk(d, 5, "two.postern.test", sender="")
            wait_for(lambda: len(sink.mails) == 4, 30, "all but the first")
    names.close()


def what_may_come_twice_is_sent_slowly():
    names = NameServer()
    for closing in ("one.postern.test", "server"):
        with Sink() as sink:
            kept = []

            def keep(mail):
                kept.append(mail)
                raise OSError("closed")

            sink.final = keep
            body = MX_CONFIG % (names.port, "minimal_backoff_time = 20s",
                                sink.port)
            if closing == "server":
                body = config(sink, extra="").replace("= 2s", "= 20s").replace(
                    "= 8s", "= 20s")
            with Daemon(body) as d:
                bulk(d, 120, "one.postern.test")
                wait_for(lambda: len(kept) > 2, what="the first of them")
                time.sleep(10)
                # Five sessions at first, then one after 1 s, 2 s, 4 s.
                assert len(kept) <= 5 + 4, (closing, len(kept))
                sink.final = "250 2.0.0 taken"
                wait_for(lambda: len(sink.mails) >= 120 - len(kept), 40,
                         "the others")
    names.close()


def sizes(sink):
    """How many recipients each transaction had that had any."""
    return [len(m.rcpts) for m in list(sink.mails) if m.rcpts]


def recipients_of_a_message_stay_together():
    """RFC 5321, 4.5.4.1: those that were deferred together are tried, and
    returned, together."""
    with Sink() as sink:
        tried = set()
        slowly = slow(0.01, "451 4.3.0 later")

        def once(rcpt):
            if rcpt in tried:
                return "250 2.1.5 ok"
            tried.add(rcpt)
            return slowly()

        sink.rcpt = once
        rcpts = ["r%d@x.test" % i for i in range(100)]
        with Daemon(config(sink)) as d:
            d.send(rcpts, MESSAGE, wait="queued")
            wait_for(lambda: sum(sizes(sink)) == 100, 60, "all of them")
            assert len(sizes(sink)) <= 2, sizes(sink)


def recipients_that_expire_together_are_in_one_notice():
    with Sink() as sink:
        sink.rcpt = lambda rcpt: "450 4.2.0 later" if rcpt[0] == "r" \
            else "250 2.1.5 ok"
        body = config(sink, extra="maximal_queue_lifetime = 8s")
        with Daemon(body) as d:
            d.send(["r%d@x.test" % i for i in range(40)], MESSAGE,
                   wait="queued")
            wait_for(lambda: d.log_text().count("status=bounced") == 40, 60,
                     "their end")
            wait_for(lambda: sizes(sink), what="the notice")
            time.sleep(1)
            assert len(sizes(sink)) == 1, sizes(sink)


def recipients_that_are_released_together_stay_so():
    with Sink() as sink:
        with Daemon(config(sink)) as d:
            assert d.postern("pause", "--all").returncode == 0
            d.send(["r%d@x.test" % i for i in range(40)], MESSAGE,
                   wait="queued")
            for verb in ("hold", "release"):
                done = d.postern("queue", verb, "--domain", "x.test", "--yes")
                assert done.returncode == 0, done
            assert d.postern("resume", "--all").returncode == 0
            wait_for(lambda: sum(sizes(sink)) == 40, 30, "all of them")
            assert len(sizes(sink)) == 1, sizes(sink)


def a_dead_transport_holds_back_no_other_of_the_domain():
    with Sink() as dead, Sink() as sink:
        dead.greeting = "421 4.3.2 not now"
        refused = []

        def once(rcpt):
            if rcpt in refused:
                return "250 2.1.5 ok"
            refused.append(rcpt)
            return "450 4.2.0 later"

        sink.rcpt = once
        body = config(sink, route="retry_schedule = { 1s }") + """
transport dead {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
""" % dead.port
        body = body.replace("minimal_backoff_time = 2s",
                            "minimal_backoff_time = 8s").replace(
            "maximal_backoff_time = 8s", "maximal_backoff_time = 30s")
        with Daemon(body) as d:
            # More than a probe takes: the others are due, and wait.
            bulk(d, 200, sender="a@lists.test", via="dead")
            wait_for(lambda: destination(d, "dead").get("rests", 0) > 1 and
                     rest_of(d, "dead") > 5, 60, "a long rest")
            seen = dead.connections
            for i in range(3):
                d.send(["r%d@x.test" % i], MESSAGE, wait="queued",
                       sender="a@lists.test")
            wait_for(lambda: len(sink.mails) == 3, 20, "the mail")
            assert dead.connections == seen, "it waited for the other's probe"


def destination(d, next_hop):
    """What `postern top` says of it."""
    for line in d.postern("top", "--json", "--once").stdout.splitlines():
        row = json.loads(line)
        if row.get("next_hop") == next_hop:
            return row
    return {}


def rest_of(d, next_hop):
    """For how many seconds more it rests."""
    return destination(d, next_hop).get("blocked_until_ms", 0) / 1000 - \
        time.time()


def a_route_has_a_retry_schedule():
    with Sink() as sink:
        times = []

        def refuse(rcpt):
            if rcpt != "r0@x.test":
                return "250 2.1.5 ok"  # the notice
            times.append(time.monotonic())
            return "450 4.2.0 later"

        sink.rcpt = refuse
        body = config(sink, route="retry_schedule = { 1s, 3s }\n"
                      "retry_jitter = 0\nmaximal_queue_lifetime = 9s",
                      extra="maximal_queue_lifetime = 5d\n")
        with Daemon(body) as d:
            bulk(d, 1)
            wait_for(lambda: "status=bounced" in d.log_text(), 30, "its end")
            waits = [round(b - a) for a, b in zip(times, times[1:])]
            assert waits[:2] == [1, 3], waits
            assert len(times) == 5, waits


TESTS = (
    a_bulk_run_delays_nobody_else,
    a_message_to_many_is_taken_whole_or_not_at_all,
    a_message_to_many_is_delivered_to_all_over_a_kill,
    what_a_rate_holds_back_expires_like_all_else,
    a_high_priority_goes_before_and_a_low_one_goes_too,
    a_rate_holds_and_goes_on_over_a_reload,
    a_rate_holds_over_a_kill_and_a_restart,
    connections_have_a_rate,
    a_route_has_a_rate_of_its_own,
    a_group_of_servers_shares_limits_over_domains,
    a_dead_destination_is_probed_by_one_session,
    a_dead_transport_holds_back_no_other_of_the_domain,
    one_failure_does_not_put_a_destination_to_rest,
    a_socket_that_was_missing_once_is_connected_to_soon,
    what_is_new_finds_a_destination_that_works_again,
    nothing_is_returned_for_its_age_before_an_attempt,
    what_may_come_twice_is_sent_slowly,
    recipients_of_a_message_stay_together,
    recipients_that_expire_together_are_in_one_notice,
    recipients_that_are_released_together_stay_so,
    a_route_has_a_retry_schedule,
)


def run(suite):
    suite.check_all([(t.__name__.replace("_", " "), t) for t in TESTS])
