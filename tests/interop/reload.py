# SPDX-License-Identifier: ISC
"""postern reload: its verdict, and sockets that come, move and go without a
restart, while sessions go on."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from confine.inject import inject  # noqa
from daemon import Daemon, Job, wait_for  # noqa
from lifecycle import MESSAGE, config, lingering, queue_up  # noqa
from sink import Sink, slow  # noqa


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Place:
    """A daemon whose configuration has a part that a test changes."""

    def __init__(self):
        self.sink = Sink()
        self.d = Daemon("")
        self.base = open(self.d.config).read() + config(self.sink)
        self.write("")

    def __enter__(self):
        self.sink.__enter__()
        self.d.start()
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.d.log_text()[-4000:])
        self.d.clear()
        self.sink.__exit__(*exc)

    def write(self, text):
        with open(self.d.config, "w") as f:
            f.write(self.base + text)

    def reload(self, text):
        """Taken: at once in force, and no role but these is another."""
        self.write(text)
        r = self.d.postern("reload")
        assert r.returncode == 0 and b"taken" in r.stdout, r
        return r

    def refused(self, text, *reasons):
        self.write(text)
        r = self.d.postern("reload")
        assert r.returncode == 78, r
        for reason in reasons:
            assert reason in r.stderr.decode(), (reason, r)
        return r

    def path(self, name):
        return "%s/run/%s" % (self.d.dir, name)


class Session:
    """A client of a listener."""

    def __init__(self, where):
        kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        self.s = socket.socket(kind)
        self.s.settimeout(30)
        self.s.connect(where)
        self.f = self.s.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        lines = b""
        while True:
            line = self.f.readline()
            lines += line
            if line[3:4] != b"-":
                return lines.decode()

    def say(self, line, code):
        self.s.sendall(line.encode() + b"\r\n")
        got = self.reply()
        assert got.startswith(code), (line, got)
        return got

    def mail(self, rcpt):
        self.say("MAIL FROM:<a@sender.test>", "250")
        self.say("RCPT TO:<%s>" % rcpt, "250")
        self.say("DATA", "354")
        self.s.sendall(b"Subject: x\r\n\r\nx\r\n")
        self.say(".", "250")

    def ended(self):
        got = self.f.read()
        return b"421" in got or got == b""


def listens(where):
    kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(kind) as s:
        try:
            s.connect(where)
        except OSError:
            return False
        return True


def tcp(name, port, more="", host="127.0.0.1"):
    return ('listener %s {\nprotocol = smtp\nlisten = "%s:%d"\n%s}\n' %
            (name, host, port, more))


def unix(name, path, more=""):
    return ('listener %s {\nprotocol = lmtp\nlisten = "unix:%s"\n%s}\n' %
            (name, path, more))


def listeners_come_move_and_go():
    with Place() as p:
        a, b = free_port(), free_port()
        pids = {r: p.d.pids(r) for r in ("intake", "control", "queue")}
        p.reload(tcp("a", a) + unix("u", p.path("u")))
        one = Session(("127.0.0.1", a))
        one.say("EHLO c.test", "250")
        one.mail("one@x.test")
        Session(p.path("u")).say("LHLO c.test", "250")
        # a's place is another's name now, and another is before it
        p.reload(unix("first", p.path("first")) + tcp("b", a))
        assert not os.path.exists(p.path("u")) and not listens(p.path("u"))
        Session(p.path("first")).say("LHLO c.test", "250")
        one.mail("two@x.test")
        # moved: a session of it goes on, and nobody new comes by the old way
        p.reload(tcp("b", b))
        assert not listens(("127.0.0.1", a)) and listens(("127.0.0.1", b))
        assert not os.path.exists(p.path("first"))
        one.mail("three@x.test")
        two = Session(("127.0.0.1", b))
        two.say("EHLO c.test", "250")
        two.say("MAIL FROM:<a@sender.test>", "250")
        # gone: what is idle ends, a message is finished
        p.reload("")
        assert not listens(("127.0.0.1", b))
        assert one.ended()
        two.say("RCPT TO:<four@x.test>", "250")
        two.say("DATA", "354")
        two.s.sendall(b"Subject: x\r\n\r\nx\r\n")
        two.say(".", "250")
        assert two.ended()
        for rcpt in ("one", "two", "three", "four"):
            wait_for(lambda: p.sink.got(rcpt + "@x.test"), 30, rcpt)
        assert pids == {r: p.d.pids(r) for r in pids}, "a role is another one"


def each_client_is_measured_by_its_own_listener():
    """The one that lets nobody in is first, then second, then alone."""
    with Place() as p:
        a, b = free_port(), free_port()
        shut = tcp("shut", a, 'clients = { "192.0.2.1" }\n')
        p.reload(shut + tcp("open", b))
        for text in (tcp("open", b) + shut, unix("u", p.path("u")) + shut +
                     tcp("open", b), shut):
            assert Session(("127.0.0.1", a)).greeting.startswith("554")
            if "open" in text:
                assert Session(("127.0.0.1", b)).greeting.startswith("220")
            p.reload(text)
        assert Session(("127.0.0.1", a)).greeting.startswith("554")


def a_port_changes_its_address():
    with Place() as p:
        port = free_port()
        p.reload(tcp("a", port))
        everywhere = tcp("a", port, 'clients = { "127.0.0.0/8" }\n', "0.0.0.0")
        p.reload(everywhere)
        assert Session(("127.0.0.2", port)).greeting.startswith("220")
        p.reload(tcp("a", port))
        assert not listens(("127.0.0.2", port))
        assert Session(("127.0.0.1", port)).greeting.startswith("220")
        # and where the rest cannot be had, the old one goes on
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        p.refused(everywhere + tcp("b", taken.getsockname()[1]),
                  "listener b: ", "the port is in use")
        assert not listens(("127.0.0.2", port))
        assert Session(("127.0.0.1", port)).greeting.startswith("220")
        assert p.d.send(["a@x.test"], MESSAGE)[-1], "the job socket"


def scrape(where):
    kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(kind) as s:
        s.settimeout(30)
        s.connect(where)
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        got = b""
        while True:
            part = s.recv(65536)
            if not part:
                return got.decode()
            got += part


def metrics_come_move_and_go():
    with Place() as p:
        a, b = free_port(), free_port()
        p.reload('metrics_socket = ""\n')
        assert p.d.pids("metrics") == []
        assert not os.path.exists(p.path("metrics"))
        queue_up(p.d)
        wait_for(lambda: p.sink.got("a@x.test"), 30, "the mail")
        p.reload('metrics_socket = ""\nmetrics_listen = "127.0.0.1:%d"\n' % a)
        page = scrape(("127.0.0.1", a))
        # it was counted while nobody asked
        assert re.search(r'outcome.*delivered.* 1\n', page), page
        p.reload('metrics_listen = "127.0.0.1:%d"\nmetrics_socket = "%s"\n' % (
            b, p.path("other")))
        assert not listens(("127.0.0.1", a))
        wait_for(lambda: "postern_config_reloads" in scrape(("127.0.0.1", b)))
        wait_for(lambda: "postern_config_reloads" in scrape(p.path("other")))
        p.reload("")
        # who begins anew for a configuration did not die
        assert all(s["restarts"] == 0 for s in p.d.status()), p.d.status()
        assert not listens(("127.0.0.1", b))
        assert not os.path.exists(p.path("other"))
        wait_for(lambda: "postern_config_reloads" in scrape(p.path("metrics")))


def job_and_control_sockets_move():
    with Place() as p:
        pids = {r: p.d.pids(r) for r in ("intake", "control", "queue")}
        client = Job(p.path("job"))
        p.reload('job_socket = "%s"\ncontrol_socket = "%s"\n'
                 'job_socket_mode = 0606\n' % (p.path("j"), p.path("c")))
        assert not os.path.exists(p.path("job"))
        assert not os.path.exists(p.path("control"))
        assert os.stat(p.path("j")).st_mode & 0o777 == 0o606
        assert pids == {r: p.d.pids(r) for r in pids}, "a role is another one"
        queue_up(p.d)
        wait_for(lambda: p.sink.got("a@x.test"), 30, "the mail")
        client.send(b"{}")  # who was connected still is
        assert client.receive()["status"] == "refused"
        p.reload("")
        assert sorted(os.listdir(p.d.dir + "/run")) == [
            "control", "job", "metrics", "posternd.pid",
            "posternd.pid.reload"], os.listdir(p.d.dir + "/run")
        assert p.d.stop() == 0
        assert os.listdir(p.d.dir + "/run") == []


def the_folder_of_the_sockets_moves():
    """It is made, as at the start.  Its pid file moves with it: hence no verdict."""
    with Place() as p:
        new = p.d.dir + "/run2"
        p.base = p.base.replace(p.d.dir + "/run", new)
        p.write("")
        os.kill(p.d.process.pid, signal.SIGHUP)
        wait_for(lambda: "generation 2" in p.d.log_text(), 20, "the reload")
        assert {"job", "control", "metrics", "posternd.pid"} <= set(
            os.listdir(new)), os.listdir(new)
        assert os.listdir(p.d.dir + "/run") == []
        assert p.d.postern("reload").returncode == 0


def a_place_is_of_one_socket():
    """Who waits at one is never another one's client, and none has two."""
    with Place() as p:
        p.refused('job_socket = "%s"\ncontrol_socket = "%s"\n' % (
            p.path("control"), p.path("job")), "of another kind")
        p.refused('job_socket = "%s"\ncontrol_socket = "%s"\n' % (
            p.path("control"), p.path("c")), "of another kind")
        assert not os.path.exists(p.path("c"))
        p.refused(unix("u", p.path("metrics")), "of another kind")
        a = free_port()
        p.reload('metrics_listen = "127.0.0.1:%d"\n' % a)
        p.refused('metrics_listen = "127.0.0.1:%d"\n' % a + tcp("u", a),
                  "of another kind")
        p.reload("")
        p.reload(tcp("u", a))
        assert Session(("127.0.0.1", a)).greeting.startswith("220")


def let_rights_in(pid, path):
    """As a kernel before SO_PASSRIGHTS does."""
    with open("/proc/net/unix") as f:
        inodes = {"socket:[%s]" % line.split()[6] for line in f
                  if line.split()[-1] == path}
    for fd in os.listdir("/proc/%d/fd" % pid):
        if os.readlink("/proc/%d/fd/%s" % (pid, fd)) in inodes:
            inject(pid, "setsockopt %s 1 83 @01000000 4" % fd)


def a_client_of_a_unix_listener_freezes_nobody():
    """With a socket that lingers, in octets that are read, and that are not."""
    with Place() as p:
        p.reload(unix("u", p.path("u")))
        try:
            let_rights_in(p.d.process.pid, p.path("u"))
        except OSError as e:
            print("(not told: %s)" % e)
            return
        intake, keep = p.d.pids("intake")[0], []
        for word in (b"NOOP\r\n", b"QUIT\r\nNOOP\r\n"):
            client = Session(p.path("u"))
            sock, others = lingering()
            keep.append(others)
            os.kill(intake, signal.SIGSTOP)
            for _ in range(2):
                socket.send_fds(client.s, [word], [sock.fileno()])
            sock.close()
            os.kill(intake, signal.SIGCONT)
            good = Session(p.path("u"))
            good.s.settimeout(5)
            good.say("LHLO c.test", "250")


def a_role_that_ends_unasked_has_died():
    """Whatever it says of its end: it could do so without end, and in silence."""
    with Place() as p:
        for role in ("intake", "resolver"):
            try:
                inject(p.d.pids(role)[0], "exit_group 0")
            except OSError as e:
                print("(not told: %s)" % e)
                return
            wait_for(lambda: re.search(
                r"the %s \[\d+\] ended, and nobody had asked it to" % role,
                p.d.log_text()), 10, "a line of its end")
            wait_for(lambda: [s["restarts"] for s in p.d.status()
                              if s["role"] == role] == [1], 20, "its restart")


def an_upgrade_has_the_sockets_of_a_reload():
    with Place() as p:
        a = free_port()
        p.reload(tcp("late", a) + 'job_socket = "%s"\n' % p.path("j"))
        old = p.d.process.pid
        r = p.d.postern("upgrade")
        assert r.returncode == 0, r
        wait_for(lambda: "the generation before this one has ended" in
                 p.d.log_text(), 60, "the end of the old one")
        assert Session(("127.0.0.1", a)).greeting.startswith("220")
        assert p.d.send(["a@x.test"], MESSAGE), "an answer"
        new = int(open(p.path("posternd.pid")).read())
        assert new != old
        p.reload(tcp("later", a))
        os.kill(new, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(p.path("posternd.pid")), 60,
                 "the end")
        assert not os.path.exists(p.path("j"))


def a_verdict_names_every_reason():
    with Place() as p:
        before = p.d.status()
        r = p.refused("no_such_thing = 1\nprocess_limit = 0\n",
                      "no_such_thing", "process_limit",
                      "what runs goes on as it is")
        assert "reload" not in p.d.log_text()  # it was not even asked
        p.refused('job_socket_group = "no-such-group"\n', "no-such-group",
                  "generation 1 goes on")
        p.refused('control_socket = "%s/none/c"\n' % p.d.dir, "none/c",
                  "its folder does not exist")
        p.write("queue_store = memory\n")
        r = p.d.postern("reload", "--json")
        answer = json.loads(r.stdout)
        assert r.returncode == 78 and answer["taken"] is False
        assert answer["reasons"] == [
            "queue_store cannot change in a reload: restart"], answer
        p.write("")
        r = p.d.postern("reload", "--json")
        answer = json.loads(r.stdout)
        assert (answer["taken"], answer["generation"]) == (True, 2), answer
        new = ("agent", "resolver")  # of each configuration
        assert {s["pid"] for s in before if s["role"] not in new} <= {
            s["pid"] for s in p.d.status()}
        p.d.stop()
        r = p.d.postern("reload")
        assert r.returncode == 75 and b"is posternd running" in r.stderr, r


def each_who_asks_gets_a_verdict_of_a_later_reload():
    with Place() as p:
        got = []

        def ask():
            got.append(json.loads(p.d.postern("reload", "--json").stdout))
        for _ in range(3):
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        assert len(got) == 12 and all(g["taken"] for g in got), got
        p.refused("queue_store = memory\n", "queue_store cannot change")


def a_verdict_comes_once_the_roles_have_it():
    """A role that does not turn has not taken it over."""
    with Place() as p:
        intake = p.d.pids("intake")[0]
        port = free_port()
        p.write(tcp("a", port))
        os.kill(intake, signal.SIGSTOP)
        try:
            asked = subprocess.Popen(
                [p.d.dir + "/postern", "reload", "-c", p.d.config],
                stdout=subprocess.PIPE)
            wait_for(lambda: "generation 2" in p.d.log_text(), 30, "the reload")
            assert asked.poll() is None
            assert not os.path.exists(p.path("posternd.pid.reload"))
        finally:
            os.kill(intake, signal.SIGCONT)
        assert asked.wait(30) == 0
        assert Session(("127.0.0.1", port)).greeting.startswith("220")


def keys_that_are_not_used_are_a_verdict():
    with Place() as p:
        cert, key = p.d.dir + "/cert.pem", p.d.dir + "/key.pem"
        for name in (key, p.d.dir + "/other.pem"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048",
                            "-nodes", "-keyout", name, "-out", cert, "-subj",
                            "/CN=x", "-days", "2"], check=True,
                           capture_output=True)
        port = free_port()
        tls = 'tls_cert_file = "%s"\ntls_key_file = "%s"\n'
        p.refused(tcp("a", port, tls % (cert, key)),
                  "listener a: tls_cert_file and tls_key_file")
        p.reload(tcp("a", port, tls % (cert, p.d.dir + "/other.pem")))
        s = Session(("127.0.0.1", port))
        assert "STARTTLS" in s.say("EHLO c.test", "250")


TESTS = (
    listeners_come_move_and_go,
    each_client_is_measured_by_its_own_listener,
    a_port_changes_its_address,
    metrics_come_move_and_go,
    job_and_control_sockets_move,
    the_folder_of_the_sockets_moves,
    a_place_is_of_one_socket,
    a_client_of_a_unix_listener_freezes_nobody,
    a_role_that_ends_unasked_has_died,
    an_upgrade_has_the_sockets_of_a_reload,
    a_verdict_names_every_reason,
    each_who_asks_gets_a_verdict_of_a_later_reload,
    a_verdict_comes_once_the_roles_have_it,
    keys_that_are_not_used_are_a_verdict,
)


def run(suite):
    suite.check_all([("reload: " + t.__name__.replace("_", " "), t)
                     for t in TESTS])
