# SPDX-License-Identifier: ISC
"""The real Dovecot and the real Postfix, and clients of the job socket."""
import email
import glob
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import (ROOT, Daemon, Job, Suite, memfd, wait_for)  # noqa

PEERS = os.path.join(ROOT, "tests/interop/peers.sh")
MESSAGE = b"Subject: test\n\nfirst\n.dot\n..dots\n.\nlast"


class Peers:
    """The servers of peers.sh, in a folder of their own."""

    def __enter__(self):
        subprocess.run(["sh", PEERS, "fetch"], check=True)
        self.folder = tempfile.TemporaryDirectory(prefix="postern-peers-")
        os.chmod(self.folder.name, 0o755)
        self.dir = self.folder.name + "/p"
        os.mkdir(self.dir)
        subprocess.run(["sh", PEERS, "start", self.dir], check=True)
        with open(self.dir + "/env") as f:
            for name, value in re.findall(r"^(\w+)='(.*)'$", f.read(), re.M):
                setattr(self, name.lower(), value)
        return self

    def __exit__(self, *exc):
        subprocess.run(["sh", PEERS, "stop", self.dir])
        self.folder.cleanup()


class Proxy:
    """Between us and a server, once it may begin; counts our turns to speak.

    A turn is what we send between two words of the server: as many as they
    are, so many round trips does a session wait for.
    """

    def __init__(self, port):
        self.server = int(port)
        self.turns = 0
        self.connections = 0
        self.begin = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._forward, args=(client,),
                             daemon=True).start()

    def _forward(self, client):
        self.begin.wait(30)
        server = socket.create_connection(("127.0.0.1", self.server))
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = True
        while True:
            ready = select.select([client, server], [], [])[0]
            # The server's word first: we may have spoken before it came.
            source = server if server in ready else client
            octets = source.recv(262144)
            if not octets:
                break
            if source is client and heard:
                self.turns += 1
            heard = source is server
            (server if source is client else client).sendall(octets)
        client.close()
        server.close()

    def close(self):
        self.listener.close()


def body_of(path):
    with open(path, "rb") as f:
        return f.read().split(b"Subject: ", 1)[1]


class Tests:
    def __init__(self, peers, daemon):
        self.p = peers
        self.d = daemon

    def mailbox(self, base, user):
        return set(glob.glob("%s/%s/**/new/*" % (base, user), recursive=True))

    def received(self, base, user, send):
        """What send() put into a mailbox: exactly one message."""
        before = self.mailbox(base, user)
        send()
        new = wait_for(lambda: self.mailbox(base, user) - before,
                       what="the message in %s's mailbox" % user)
        assert len(new) == 1, new
        return body_of(new.pop())

    def deliver(self, *args, message=MESSAGE):
        r = self.d.postern("deliver", "--json", "--from", "a@b.test", *args,
                           message=message)
        results = {}
        for line in r.stdout.splitlines():
            result = json.loads(line)
            results[result["recipient"].split("@")[0]] = result
        return r.returncode, results, r.stderr.decode()

    def to(self, users, domain):
        return ["%s@%s" % (u, domain) for u in users.split()]

    def nobody_died(self):
        died = [line for line in self.d.log_text().splitlines()
                if "died of" in line or "ended with status" in line or
                "ended by signal" in line]
        assert not died, died

    # Dovecot

    def dovecot_by_unix_socket(self):
        def send():
            status, r, _ = self.deliver(
                "--lmtp", "--server", "unix:" + self.p.lmtp_socket, "--tls",
                "none", *self.to("ana", self.p.lmtp_domain))
            assert status == 0 and r["ana"]["status"] == "delivered", r
        body = self.received(self.p.maildir, "ana", send)
        want = MESSAGE.split(b": ", 1)[1] + b"\n"
        assert body.replace(b"\r\n", b"\n") == want, body

    def dovecot_by_tcp_and_verified_starttls(self):
        status, r, _ = self.deliver(
            "--lmtp", "--server", "127.0.0.1:" + self.p.lmtp_port, "--tls",
            "verify", "--ca", self.p.ca_file, "--tls-name",
            self.p.server_name, *self.to("bob", self.p.lmtp_domain))
        assert status == 0, r
        assert r["bob"]["tls"]["verified"], r

    def dovecot_answers_for_each_recipient(self):
        status, r, _ = self.deliver(
            "--lmtp", "--server", "unix:" + self.p.lmtp_socket, "--tls",
            "none", *self.to("ana full nobody bob", self.p.lmtp_domain))
        assert r["ana"]["status"] == "delivered", r
        assert r["bob"]["status"] == "delivered", r
        assert r["nobody"]["status"] == "failed", r
        assert r["nobody"]["code"] == 550, r
        assert r["nobody"]["step"] == "rcpt", r
        assert r["full"]["code"] // 100 in (4, 5), r
        assert r["full"]["step"] == "final", r
        assert status in (69, 75), status

    def dovecot_takes_many_messages_on_one_connection(self):
        def connections():
            with open(self.p.dovecot_log) as f:
                return f.read().count(": Connect from ")
        before = connections()
        sock = Job(self.d.dir + "/run/job")
        for i in range(20):
            fd = memfd(b"Subject: %d\n\nx\n" % i)
            sock.send({"from": "", "rcpts": self.to("carla",
                       self.p.lmtp_domain), "wait": "final",
                       "ref": str(i)}, fd)
            os.close(fd)
        done = set()
        while len(done) < 20:
            answer = sock.receive()
            assert answer.get("status") in ("queued", "delivered", None), \
                answer
            if "done" in answer:
                done.add(answer["ref"])
        sock.close()
        # five to start with, a few more as they succeed
        assert 1 <= connections() - before <= 10, connections() - before

    def a_large_message_arrives_octet_for_octet(self):
        line = b"." + b"0123456789abcdef" * 4 + b"\n"
        message = b"Subject: large\n\n" + line * 160000

        def send():
            status, r, _ = self.deliver(
                "--lmtp", "--server", "unix:" + self.p.lmtp_socket, "--tls",
                "none", *self.to("dora", self.p.lmtp_domain),
                message=message)
            assert status == 0, r
        body = self.received(self.p.maildir, "dora", send)
        assert body.replace(b"\r\n", b"\n") == message.split(b": ", 1)[1]

    # Postfix

    def postfix(self, port, *args, users="ana"):
        return self.deliver("--server", "127.0.0.1:" + port, *args,
                            *self.to(users, self.p.postfix_domain))

    def verify(self):
        return ("--tls", "verify", "--ca", self.p.ca_file, "--tls-name",
                self.p.server_name)

    def postfix_over_verified_starttls(self):
        def send():
            status, r, _ = self.postfix(self.p.postfix_port, *self.verify())
            assert status == 0, r
            assert r["ana"]["tls"]["verified"], r
            assert r["ana"]["tls"]["version"] == "TLSv1.3", r
        body = self.received(self.p.postfix_maildir, "ana", send)
        assert b"\n.dot\n..dots\n.\nlast\n" in body, body

    def postfix_over_implicit_tls(self):
        status, r, _ = self.postfix(self.p.postfix_smtps_port,
                                    "--implicit-tls", *self.verify())
        assert status == 0 and r["ana"]["tls"]["verified"], r

    def postfix_takes_an_address_outside_ascii(self):
        def send():
            status, r, _ = self.postfix(self.p.postfix_port,
                                        users=self.p.postfix_utf8_user)
            assert status == 0, r
        before = self.mailbox(self.p.postfix_maildir, "utf8")
        send()
        new = wait_for(lambda: self.mailbox(self.p.postfix_maildir, "utf8")
                       - before, what="the message in the mailbox")
        with open(new.pop(), encoding="utf-8") as f:
            text = f.read()
        assert ("Delivered-To: %s@%s" % (self.p.postfix_utf8_user,
                                         self.p.postfix_domain)) in text, text

    def postfix_without_smtputf8_cannot_be_told_of_it(self):
        status, r, _ = self.postfix(self.p.postfix_plain_port,
                                    users="ana " + self.p.postfix_utf8_user)
        assert status == 69 and r["ana"]["status"] == "delivered", r
        bad = r[self.p.postfix_utf8_user]
        assert (bad["status"], bad["dsn"]) == ("failed", "5.6.7"), r

    def postfix_without_8bitmime_gets_seven_bits(self):
        message = ("Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; "
                   "charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
                   "Grüße aus der Schleuse\n").encode()

        def send():
            r = self.d.postern("deliver", "--from", "a@b.test", "--server",
                               "127.0.0.1:" + self.p.postfix_plain_port,
                               *self.to("ana", self.p.postfix_domain),
                               message=message)
            assert r.returncode == 0, r.stdout
        got = b"Subject: " + self.received(self.p.postfix_maildir, "ana", send)
        assert max(got) < 128, got
        text = email.message_from_bytes(got).get_payload(decode=True)
        assert text.decode() == "Grüße aus der Schleuse\n", got

    def postfix_with_chunking_and_without(self):
        for port, words in ((self.p.postfix_port, "BDAT 4[0-9] LAST"),
                            (self.p.postfix_plain_port, "DATA")):
            def send(port=port, words=words):
                status, _, shown = self.postfix(port, "--verbose")
                assert status == 0 and re.search("> " + words, shown), shown
            body = self.received(self.p.postfix_maildir, "ana", send)
            assert b"\n.dot\n..dots\n.\nlast\n" in body, body

    def postfix_says_what_size_it_takes(self):
        for octets, want in ((2900, "delivered"), (3100, "failed")):
            message = b"Subject: x\n\n" + b"x" * 70 + b"\n"
            message += (b"y" * 70 + b"\n") * ((octets - len(message)) // 72)
            _, r, shown = self.deliver(
                "--verbose", "--server",
                "127.0.0.1:" + self.p.postfix_small_port,
                *self.to("ana", self.p.postfix_domain), message=message)
            assert r["ana"]["status"] == want, r
            if want == "failed":
                assert r["ana"]["dsn"] == "5.3.4", r
                assert "> MAIL" not in shown, shown

    def postfix_is_told_of_the_client(self):
        for command, want in (
                ("xforward", "orig_client=spike.postern.test[192.0.2.7]"),
                ("xclient", "connect from spike.postern.test[192.0.2.7]")):
            with Daemon(CLIENT % (self.p.postfix_port, command)) as daemon:
                job = Job(daemon.dir + "/run/job")
                job.send({"from": "a@b.test", "wait": "attempt",
                          "rcpts": self.to("ana", self.p.postfix_domain),
                          "client": {"name": "spike.postern.test",
                                     "address": "192.0.2.7"}},
                         memfd(MESSAGE))
                answers = [job.receive(), job.receive()]
                job.close()
                assert answers[1].get("status") == "delivered", answers
            with open(self.p.postfix_log, encoding="utf-8") as f:
                text = f.read()
            assert want in text, text[-2000:]

    def postfix_verifies_an_address(self):
        r = self.d.postern("verify", "--json", "--server",
                           "127.0.0.1:" + self.p.postfix_port,
                           *self.to("ana zed", self.p.postfix_domain))
        got = [json.loads(x) for x in r.stdout.splitlines()]
        assert [(x["status"], x["code"]) for x in got] == [
            ("deliverable", 252), ("undeliverable", 550)], got

    def postfix_refuses_an_unknown_user(self):
        status, r, _ = self.postfix(self.p.postfix_port, *self.verify(),
                                    users="ana zed bob")
        assert status == 69, status
        assert r["ana"]["status"] == r["bob"]["status"] == "delivered", r
        assert r["zed"]["status"] == "failed", r
        assert (r["zed"]["code"], r["zed"]["dsn"]) == (550, "5.1.1"), r

    def bad_certificate(self, port, word):
        status, r, _ = self.postfix(port, *self.verify())
        assert status == 75, status
        assert r["ana"]["status"] == "deferred", r
        assert r["ana"]["step"] == "tls", r
        assert word in r["ana"]["reply"], r

    def an_expired_certificate_is_refused(self):
        self.bad_certificate(self.p.postfix_expired_port, "expired")

    def a_certificate_of_another_name_is_refused(self):
        self.bad_certificate(self.p.postfix_wrongname_port, "name")

    def an_untrusted_certificate_is_refused(self):
        self.bad_certificate(self.p.postfix_untrusted_port, "certificate")

    def at_level_may_the_same_certificate_only_encrypts(self):
        status, r, _ = self.postfix(self.p.postfix_expired_port, "--tls",
                                    "may", "--ca", self.p.ca_file)
        assert status == 0, r
        assert r["ana"]["tls"] and not r["ana"]["tls"]["verified"], r

    def encrypt_is_not_content_with_clear(self):
        status, r, _ = self.postfix(self.p.postfix_clear_port, "--tls",
                                    "encrypt")
        assert status in (69, 75), status
        assert "STARTTLS" in r["ana"]["reply"], r
        status, r, _ = self.postfix(self.p.postfix_clear_port, "--tls", "may")
        assert status == 0 and r["ana"]["tls"] is None, r

    def postfix_tells_of_a_success_that_was_asked_for(self):
        """RFC 3461: its notification repeats what we said in MAIL and RCPT."""
        domain = self.p.postfix_domain
        before = self.mailbox(self.p.postfix_maildir, "bob")
        r = self.d.postern(
            "deliver", "--json", "--server", "127.0.0.1:" +
            self.p.postfix_port, *self.verify(), "--from", "bob@" + domain,
            "--notify", "success,failure", "--ret", "headers", "--envid",
            "list+1=a b", "--orcpt", "rfc822;team+x@" + domain,
            "ana@" + domain, message=MESSAGE)
        assert r.returncode == 0, r
        new = wait_for(lambda: self.mailbox(self.p.postfix_maildir, "bob") -
                       before, what="the notification to the sender")
        with open(new.pop(), "rb") as f:
            told = f.read()
        for words in (b"Action: delivered",
                      b"Original-Envelope-Id: list+1=a b",
                      b"Original-Recipient: rfc822;team+x@" +
                      domain.encode("ascii"), b"text/rfc822-headers"):
            assert words in told, (words, told)

    def postfix_says_nothing_where_it_is_asked_not_to(self):
        domain = self.p.postfix_domain
        before = self.mailbox(self.p.postfix_maildir, "bob")
        for notify in ("never", "success"):
            r = self.d.postern(
                "deliver", "--server", "127.0.0.1:" + self.p.postfix_port,
                *self.verify(), "--from", "bob@" + domain, "--notify", notify,
                "ana@" + domain, message=MESSAGE)
            assert r.returncode == 0, r
        wait_for(lambda: self.mailbox(self.p.postfix_maildir, "bob") - before,
                 what="the second one's notification")
        new = self.mailbox(self.p.postfix_maildir, "bob") - before
        assert len(new) == 1, new

    # Flights

    def turns(self, protocol, port, domain, base, messages, discard,
              unknown=None):
        """Our turns on one connection; each message arrives once."""
        proxy = Proxy(port)
        before = {u: len(self.mailbox(base, u)) for u in ("ana", "bob")}
        with Daemon(PROXIED % (protocol, proxy.port, discard)) as daemon:
            sock = Job(daemon.dir + "/run/job")
            for i in range(messages):
                fd = memfd(b"Subject: %d\n\n.\n" % i)
                users = "nobody-here" if i == unknown else "ana bob"
                sock.send({"from": "a@b.test", "rcpts": self.to(
                    users, domain), "wait": "final", "ref": str(i)}, fd)
                os.close(fd)
            wait_for(lambda: daemon.log_text().count("queue active") ==
                     messages, what="all messages")
            proxy.begin.set()
            done, said = 0, []
            while done < messages:
                answer = sock.receive()
                done += "done" in answer
                if "recipient" in answer:
                    said.append((answer["ref"], answer["status"]))
            sock.close()
        proxy.close()
        bad = [x for x in said if x[1] != "delivered"]
        assert bad == ([] if unknown is None else
                       [(str(unknown), "failed")]), bad
        good = messages - (unknown is not None)
        for user, count in before.items():
            new = wait_for(lambda u=user, c=count: len(self.mailbox(
                base, u)) - c >= good and len(self.mailbox(base, u)) - c,
                what="%s's mail" % user)
            assert new == good, (user, new, good)
        assert proxy.connections == 1, proxy.connections
        return proxy.turns

    def flights(self, *server):
        """Two turns a message by DATA, for nothing is sent after the dot before
        its reply, and far fewer in flights."""
        alone = self.turns(*server, 40, "chunking")
        together = self.turns(*server, 40, "")
        print("# 40 messages to %s: %.2f round trips a message by DATA, %.2f "
              "in flights" % (server[0], alone / 40, together / 40))
        assert 80 <= alone < 90, alone
        assert together < 40, together
        # one that fails in the middle does no harm to the others
        self.turns(*server, 20, "", unknown=9)

    def flights_to_dovecot(self):
        self.flights("lmtp", self.p.lmtp_port, self.p.lmtp_domain,
                     self.p.maildir)

    def flights_to_postfix(self):
        self.flights("smtp", self.p.postfix_clear_port,
                     self.p.postfix_domain, self.p.postfix_maildir)

    def dovecot_takes_a_large_message_without_chunking_too(self):
        line = b"." + b"0123456789abcdef" * 4 + b"\n"
        message = b"Subject: large\n\n" + line * 20000

        def send():
            with Daemon(PROXIED % ("lmtp", int(self.p.lmtp_port),
                                   "chunking")) as daemon:
                answers = daemon.send(self.to("dora", self.p.lmtp_domain),
                                      message)
            assert answers[-1]["status"] == "delivered", answers
        body = self.received(self.p.maildir, "dora", send)
        assert body.replace(b"\r\n", b"\n") == message.split(b": ", 1)[1]

    # The job socket

    def job(self, obj, fd=None):
        sock = Job(self.d.dir + "/run/job")
        try:
            sock.send(obj, fd)
            return sock.receive()
        finally:
            sock.close()

    def refusal(self, obj, fd, word):
        answer = self.job(obj, fd)
        assert answer["status"] == "refused", answer
        assert word in answer["error"], answer

    def good(self, **changes):
        job = {"from": "a@b.test",
               "rcpts": self.to("ana", self.p.lmtp_domain)}
        job.update(changes)
        return job

    def bad_json_is_refused(self):
        fd = memfd(MESSAGE)
        self.refusal(b"{", fd, "JSON")
        self.refusal(b"[]", fd, "object")
        self.refusal(b"\xff\xfe{}", fd, "JSON")
        self.refusal(self.good(wait="forever"), fd, "wait")
        self.refusal(self.good(colour="red"), fd, "colour")
        self.refusal(self.good(rcpts=[]), fd, "rcpts")
        self.refusal(self.good(rcpts=[7]), fd, "rcpts")
        self.refusal(self.good(via="nowhere"), fd, "transport nowhere")
        self.refusal({"rcpts": ["a@b.test"]}, fd, "from")
        os.close(fd)

    def bad_addresses_are_refused(self):
        fd = memfd(MESSAGE)
        for address in ("a@b.test\r\nRCPT TO:<x@y.test>", "a\0@b.test",
                        "a@" + "x" * 64 + ".test", "@", "a@b..test",
                        "x" * 1000 + "@b.test", "a@-b.test", "a>b@c.test"):
            answer = self.job(self.good(rcpts=[address]), fd)
            assert answer["status"] == "refused", (address, answer)
        os.close(fd)

    def bad_descriptors_are_refused(self):
        self.refusal(self.good(), None, "descriptor")
        r, w = os.pipe()
        self.refusal(self.good(), r, "regular file")
        os.close(r)
        os.close(w)
        endless = os.open("/dev/zero", os.O_RDONLY)
        self.refusal(self.good(), endless, "regular file")
        os.close(endless)
        a, b = socket.socketpair()
        self.refusal(self.good(), a.fileno(), "regular file")
        a.close()
        b.close()
        sparse = os.memfd_create("sparse")
        os.ftruncate(sparse, 1 << 20)
        self.refusal(self.good(), sparse, "holes")
        os.ftruncate(sparse, 1 << 40)
        self.refusal(self.good(), sparse, "limit")
        os.close(sparse)
        nul = memfd(b"Subject: x\n\na\0b\n")
        self.refusal(self.good(), nul, "NUL")
        os.close(nul)

    def line_ends_become_crlf(self):
        def send():
            fd = memfd(b"Subject: ends\n\nlf\ncrlf\r\ncr\rend")
            sock = Job(self.d.dir + "/run/job")
            sock.send(self.good(wait="final"), fd)
            os.close(fd)
            answers = [sock.receive() for _ in range(3)]
            assert answers[1]["status"] == "delivered", answers
            sock.close()
        body = self.received(self.p.maildir, "ana", send)
        assert body.replace(b"\r\n", b"\n") == \
            b"ends\n\nlf\ncrlf\ncr\nend\n", body

    def a_long_list_continues_over_packets(self):
        names = ["u%d@%s" % (i, self.p.lmtp_domain) for i in range(900)]
        fd = memfd(MESSAGE)
        sock = Job(self.d.dir + "/run/job")
        sock.send({"from": "", "rcpts": names[:300], "more": True,
                   "wait": "attempt"}, fd)
        sock.send({"rcpts": names[300:600], "more": True})
        sock.send({"rcpts": names[600:]})
        os.close(fd)
        seen = set()
        answer = sock.receive()
        assert answer["status"] == "queued", answer
        while "done" not in answer:
            answer = sock.receive()
            if "recipient" in answer:
                assert answer["status"] == "failed", answer
                seen.add(answer["recipient"])
        assert seen == set(names), len(seen)
        sock.close()

    def clients_are_told_from_each_other(self):
        """The examples of postern-job(5), as they stand."""
        message = self.d.dir + "/message"
        with open(message, "wb") as f:
            f.write(MESSAGE)
        with open(message, "rb") as f:
            r = subprocess.run(
                ["python3", ROOT + "/conf/examples/job-client.py",
                 self.d.dir + "/run/job", "a@b.test",
                 *self.to("bob", self.p.lmtp_domain)],
                stdin=f, capture_output=True, text=True, timeout=30)
        assert '"status":"delivered"' in r.stdout, (r.stdout, r.stderr)
        client = self.d.dir + "/job-client"
        subprocess.run(["cc", "-D_GNU_SOURCE", "-o", client,
                        ROOT + "/conf/examples/job-client.c"], check=True)
        with open(message, "rb") as f:
            r = subprocess.run(
                [client, self.d.dir + "/run/job",
                 json.dumps(self.good(wait="final"))],
                stdin=f, capture_output=True, text=True, timeout=30)
        assert '"status":"delivered"' in r.stdout, (r.stdout, r.stderr)

    def a_bad_reload_leaves_the_old_configuration(self):
        good = open(self.d.config).read()
        with open(self.d.config, "a") as f:
            f.write("\nnonsense = 1\ntransport x { protocol = uucp }\n")
        os.kill(self.d.process.pid, 1)
        wait_for(lambda: "reload refused" in self.d.log_text(),
                 what="the refusal")
        text = self.d.log_text()
        assert re.search(r"postern.conf:\d+: .*nonsense", text), text[-500:]
        assert re.search(r"postern.conf:\d+: .*uucp", text), text[-500:]
        answers = self.d.send(
            self.to("ana", self.p.lmtp_domain), MESSAGE,
            extra=("--socket", self.d.dir + "/run/job"))
        assert answers[-1]["status"] == "delivered", answers
        with open(self.d.config, "w") as f:
            f.write(good.replace("client.postern.test", "new.postern.test"))
        os.kill(self.d.process.pid, 1)
        wait_for(lambda: "generation 2" in self.d.log_text(),
                 what="the reload")
        answers = self.d.send(self.to("ana", self.p.lmtp_domain), MESSAGE)
        assert answers[-1]["status"] == "delivered", answers


DOVECOT = """
transport dovecot {
	protocol = lmtp
	server = "unix:%s"
	tls_security_level = none
}
route "%s" { transport = dovecot }
"""

CLIENT = """
transport told {
	server = "127.0.0.1:%s"
	tls_security_level = encrypt
	client_command = %s
}
route "*" { transport = told }
"""

PROXIED = """
transport proxied {
	protocol = %s
	server = "127.0.0.1:%d"
	tls_security_level = none
	destination_concurrency_limit = 1
	discard_ehlo_keywords = {%s}
}
route "*" { transport = proxied }
"""


def doveconf(peers):
    """The command that peers.sh starts Dovecot with, and its libraries."""
    root = os.path.join(os.environ.get(
        "PEERS_HOME", os.path.join(ROOT, "build/peers")), "root")
    conf = peers.dir + "/dovecot/dovecot.conf"
    with open(conf) as f:
        libraries = re.search(r"LD_LIBRARY_PATH=(\S+)", f.read()).group(1)
    return [root + "/usr/bin/doveconf", "-f", "service=master", "-c", conf,
            "-m", "master", "-e", root + "/usr/sbin/dovecot", "-F", "-c",
            conf], dict(os.environ, LD_LIBRARY_PATH=libraries)


class Restarted:
    """A Dovecot of Peers that is stopped and started while mail comes in."""

    def __init__(self, peers):
        self.pid = int(peers.dovecot_pid)
        self.argv, self.environment = doveconf(peers)
        self.process = None

    def end(self):
        os.kill(self.pid, signal.SIGTERM)
        if self.process is not None:
            self.process.wait(20)
        wait_for(lambda: not os.path.exists("/proc/%d/exe" % self.pid) or
                 not os.path.realpath("/proc/%d/exe" % self.pid).endswith(
                     "dovecot"), what="Dovecot's end")

    def again(self):
        self.end()
        self.process = subprocess.Popen(
            self.argv, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.pid = self.process.pid


def numbers(folder):
    """How often each message lies in a mailbox, by its X-Number."""
    found = {}
    for name in glob.glob(folder + "/new/*"):
        with open(name, "rb") as f:
            n = int(re.search(rb"^X-Number: (\d+)", f.read(), re.M).group(1))
        found[n] = found.get(n, 0) + 1
    return found


def dovecot_restarts_under_load():
    """What comes twice was said to be perhaps delivered, and all of it comes
    soon, at default timers."""
    total = 3000
    with Peers() as peers:
        body = DOVECOT % (peers.lmtp_socket, peers.lmtp_domain)
        dovecot = Restarted(peers)
        try:
            with Daemon(body + "minimal_backoff_time = 8s\n") as d:
                job = Job(d.dir + "/run/job")
                for i in range(total):
                    fd = memfd(b"X-Number: %d\n\ntext\n" % i)
                    job.send({"from": "s%d@x.test" % i, "wait": "queued",
                              "rcpts": ["ana@" + peers.lmtp_domain]}, fd)
                    os.close(fd)
                    assert job.receive()["status"] == "queued"
                    if i % 1000 == 600:
                        dovecot.again()
                job.close()
                wait_for(lambda: not d.queued(), 60, "an empty queue")
                log = d.log_text()
        finally:
            dovecot.end()
        found = numbers(peers.maildir + "/ana")
    assert len(found) == total, total - len(found)
    ids = dict(re.findall(r": (\w+): (?:uid=\d+ )?from=<s(\d+)@x.test>", log))
    doubted = {int(ids[i]) for i in re.findall(
        r": (\w+): to=.*perhaps delivered", log)}
    twice = {n for n in found if found[n] > 1}
    assert twice <= doubted, (twice, doubted)


def run(suite):
    suite.check("dovecot restarts under load", dovecot_restarts_under_load,
                once=True)
    with Peers() as peers:
        # Dovecot as an ordinary user cannot give its socket away, nor need it.
        body = DOVECOT % (peers.lmtp_socket, peers.lmtp_domain)
        with Daemon(body) as daemon:
            tests = Tests(peers, daemon)
            skip = ("postfix", "certificate", "encrypt")
            for name, test in list(Tests.__dict__.items()):
                if not callable(test) or name in HELPERS:
                    continue
                title = name.replace("_", " ")
                if peers.postfix != "yes" and any(w in name for w in skip):
                    suite.skip(title, "Postfix needs root")
                    continue
                suite.check(title, lambda t=test: t(tests))
            suite.check("no process of ours ended meanwhile",
                        tests.nobody_died)


HELPERS = ("__init__", "turns", "flights", "mailbox", "received", "deliver", "to", "postfix",
           "verify", "bad_certificate", "job", "refusal", "good", "nobody_died")

if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
