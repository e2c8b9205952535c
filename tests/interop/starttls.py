# SPDX-License-Identifier: ISC
"""STARTTLS of the listeners, whose keys are the signer's, over the real posternd."""
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import wait_for  # noqa
from listener import MESSAGE, PORT, Place  # noqa

KINDS = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt",
                                      "ec_paramgen_curve:P-256"),
         "ed25519": ("ed25519",)}


def make_pair(folder, name, kind="ec"):
    """A certificate of its own authority, and its key."""
    cert, key = os.path.join(folder, name + ".pem"), \
        os.path.join(folder, name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", *KINDS[kind],
                    "-nodes", "-days", "2", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=DNS:" + name,
                    "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


class TlsClient:
    def __init__(self, place, trust=None, name="mail.test", version=None):
        self.sock = socket.create_connection((place.address, PORT), 60)
        self.file = self.sock.makefile("rb")
        self.name = name
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if trust is None:
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        else:
            self.context.load_verify_locations(trust)
        if version is not None:
            self.context.maximum_version = version
        self.read()

    def read(self):
        """One reply, all its lines."""
        text = b""
        while True:
            line = self.file.readline()
            text += line
            if len(line) < 4 or line[3:4] == b" ":
                return text

    def ask(self, line):
        self.sock.sendall(line + b"\r\n")
        return self.read()

    def start_tls(self):
        reply = self.ask(b"STARTTLS")
        assert reply.startswith(b"220"), reply
        self.sock = self.context.wrap_socket(
            self.sock, server_hostname=self.name)
        self.file = self.sock.makefile("rb")

    def begin(self):
        offers = self.ask(b"EHLO client.test")
        assert b"STARTTLS" in offers, offers
        self.start_tls()
        offers = self.ask(b"EHLO client.test")
        assert offers.startswith(b"250") and b"STARTTLS" not in offers, offers

    def send(self, rcpt, message=MESSAGE):
        for line, code in ((b"MAIL FROM:<a@sender.test>", b"250"),
                           (b"RCPT TO:<" + rcpt + b">", b"250"),
                           (b"DATA", b"354")):
            reply = self.ask(line)
            assert reply.startswith(code), (line, reply)
        self.sock.sendall(message + b".\r\n")
        return self.read()


def listener(cert, key, more=""):
    return 'tls_cert_file = "%s"\ntls_key_file = "%s"\n%s' % (cert, key, more)


def with_keys(test):
    """A place whose certificate, for mail.test, is in a folder of its own."""
    def run(kind="ec", more=""):
        p = Place()
        folder = p.daemon.dir
        cert, key = make_pair(folder, "mail.test", kind)
        p.write(listener(cert, key, more))
        with p:
            # The certificate follows the intake's start.
            wait_for(lambda: b"STARTTLS" in TlsClient(p).ask(b"EHLO x"),
                     what="STARTTLS to be offered")
            test(p, cert, key)
    return run


@with_keys
def mail_comes_by_tls(p, cert, _):
    client = TlsClient(p, trust=cert)
    client.begin()
    assert client.sock.version() == "TLSv1.3", client.sock.version()
    # Large enough for many records, both ways of a busy connection.
    body = MESSAGE + b"".join(b"line %d\r\n" % i for i in range(200000))
    reply = client.send(b"big@x.test", body)
    assert reply.startswith(b"250 2.0.0"), reply
    for i in range(3):
        assert client.send(b"r%d@x.test" % i).startswith(b"250")
    assert client.ask(b"QUIT").startswith(b"221")
    wait_for(lambda: p.sink.got("big@x.test"), 30, "the mail")
    mail = p.sink.got("big@x.test")[0]
    assert b"with ESMTPS" in mail.text, mail.text[:300]
    assert mail.text.endswith(b"line 199999\r\n")
    assert "TLSv1.3 with cipher" in p.daemon.log_text()


def every_kind_of_key():
    for kind in KINDS:
        mail_comes_by_tls(kind=kind)


def s_client(p, version, *more):
    """What OpenSSL's own client says of its session."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % (p.address, PORT),
         "-starttls", "smtp", version, *more], input=b"QUIT\r\n",
        capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


@with_keys
def both_versions(p, cert, _):
    """RFC 9325, 3.1.1: TLS 1.3 and 1.2, and nothing older."""
    for version, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        text = s_client(p, version, "-CAfile", cert)
        assert "Verify return code: 0 (ok)" in text, text
        assert re.search(r"Protocol *(version)?: *%s|New, %s" % (name, name),
                         text), text
    text = s_client(p, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in text, text
    client = TlsClient(p, trust=cert, version=ssl.TLSVersion.TLSv1_2)
    client.begin()
    assert client.sock.version() == "TLSv1.2"
    assert client.send(b"old@x.test").startswith(b"250")
    wait_for(lambda: p.sink.got("old@x.test"), 30, "the mail")
    assert "TLSv1.2 with cipher ECDHE-" in p.daemon.log_text()
    assert "is no TLS handshake" not in p.daemon.log_text()


@with_keys
def an_old_padding_too(p, cert, _):
    """Many a client of TLS 1.2 knows RSA by PKCS #1 v1.5 alone."""
    for algorithm in ("RSA+SHA256", "rsa_pss_rsae_sha256"):
        text = s_client(p, "-tls1_2", "-CAfile", cert, "-sigalgs", algorithm)
        assert "Verify return code: 0 (ok)" in text, text


@with_keys
def tls_1_3_alone(p, cert, _):
    text = s_client(p, "-tls1_2", "-CAfile", cert)
    assert "Cipher is (NONE)" in text, text
    text = s_client(p, "-tls1_3", "-CAfile", cert)
    assert "Verify return code: 0 (ok)" in text, text


def versions():
    for kind in KINDS:
        both_versions(kind=kind)
    an_old_padding_too(kind="rsa")
    tls_1_3_alone(kind="rsa", more="smtpd_tls_min_protocol = TLSv1.3")


@with_keys
def without_tls_no_mail(p, cert, _):
    client = TlsClient(p, trust=cert)
    client.ask(b"EHLO client.test")
    reply = client.ask(b"MAIL FROM:<a@sender.test>")
    assert reply.startswith(b"530 5.7.0"), reply
    client.start_tls()
    client.ask(b"EHLO client.test")
    assert client.send(b"r@x.test").startswith(b"250")


@with_keys
def what_stood_behind_starttls_is_nothing(p, cert, _):
    client = TlsClient(p, trust=cert)
    client.ask(b"EHLO client.test")
    client.sock.sendall(b"STARTTLS\r\nMAIL FROM:<evil@sender.test>\r\n"
                        b"RCPT TO:<victim@x.test>\r\n")
    assert client.read().startswith(b"220")
    client.sock = client.context.wrap_socket(client.sock,
                                             server_hostname="mail.test")
    client.file = client.sock.makefile("rb")
    assert client.ask(b"DATA").startswith(b"503")
    client.ask(b"EHLO client.test")
    assert client.send(b"good@x.test").startswith(b"250")
    wait_for(lambda: p.sink.got("good@x.test"), 30, "the mail")
    assert not p.sink.got("victim@x.test")


@with_keys
def broken_handshakes_harm_nobody(p, cert, _):
    good = TlsClient(p, trust=cert)
    good.begin()
    for octets in (b"EHLO in clear\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 999,
                   b"", b"\x15\x03\x03\x00\x02\x02\x28"):
        bad = TlsClient(p)
        bad.ask(b"EHLO x")
        assert bad.ask(b"STARTTLS").startswith(b"220")
        bad.sock.sendall(octets)
        bad.sock.shutdown(socket.SHUT_WR)
        while bad.sock.recv(4096):
            pass
        bad.sock.close()
    assert good.send(b"r@x.test").startswith(b"250")


@with_keys
def the_key_is_nowhere_but_with_the_signer(p, _, key):
    with open(key, encoding="ascii") as f:
        lines = f.read().split("\n")
    marks = [line.encode() for line in lines[1:4] if len(line) > 20]
    assert marks
    if os.geteuid() != 0:
        return
    assert in_memory(os.getpid(), marks), "it is not found where it is"
    for role in ("intake", "control", "queue", "resolver", "dialer", "agent"):
        for pid in p.daemon.pids(role):
            assert not in_memory(pid, marks), role


def in_memory(pid, marks):
    """Whether any of these octets stand in what a process may write."""
    with open("/proc/%d/maps" % pid, encoding="ascii") as maps, \
            open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            start, end = (int(x, 16) for x in where.split("-"))
            if "rw" not in rights:
                continue
            memory.seek(start)
            try:
                octets = memory.read(end - start)
            except OSError:
                continue
            if any(mark in octets for mark in marks):
                return True
    return False


@with_keys
def a_dead_signer_comes_back(p, cert, _):
    good = TlsClient(p, trust=cert)
    good.begin()
    before = p.daemon.pids("signer")
    os.kill(before[0], signal.SIGKILL)
    assert good.send(b"r@x.test").startswith(b"250"), "it needs no signer"
    wait_for(lambda: p.daemon.pids("signer") not in ([], before), 30,
             "another signer")

    def begins():
        try:
            TlsClient(p, trust=cert).begin()
        except (OSError, AssertionError):
            return False
        return True
    wait_for(begins, 30, "a handshake")


@with_keys
def a_signer_that_stands_still_holds_nobody_up(p, cert, _):
    """Handshakes fail, and the intake does not wait for each of them."""
    signer = p.daemon.pids("signer")[0]
    failed = []

    def begin():
        try:
            TlsClient(p).begin()
        except OSError as e:
            failed.append(e)
    os.kill(signer, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=begin) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(failed) == 12, failed
        waits = p.daemon.log_text().count("the signer does not answer in")
        assert 0 < waits < 12, waits
        assert p.client().send().startswith("250"), "in clear"
    finally:
        os.kill(signer, signal.SIGCONT)

    def begins():
        try:
            TlsClient(p, trust=cert).begin()
        except OSError:
            return False
        return True
    wait_for(begins, 60, "a handshake")


@with_keys
def a_reload_brings_another_certificate(p, cert, key):
    folder = p.daemon.dir
    old = TlsClient(p, trust=cert)
    old.begin()
    other, other_key = make_pair(folder, "other.test", "rsa")
    # One that is not of its key: the former stays.
    p.write(listener(other, key))
    p.daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the former ones stay" in p.daemon.log_text(), 30,
             "a word about it")
    TlsClient(p, trust=cert).begin()
    p.write(listener(other, other_key))
    p.daemon.process.send_signal(signal.SIGHUP)

    def is_other():
        try:
            TlsClient(p, trust=other, name="other.test").begin()
        except ssl.SSLError:
            return False
        return True
    wait_for(is_other, 30, "the other certificate")
    assert old.send(b"r@x.test").startswith(b"250")


def wrong_pairs_do_not_start():
    p = Place()
    cert, key = make_pair(p.daemon.dir, "a.test")
    _, other = make_pair(p.daemon.dir, "b.test")
    try:
        for pair, word in (
                ((cert, other), "not that of the certificate"),
                ((key, key), "no certificate in PEM"),
                ((p.daemon.dir + "/none", key), "No such file"),
                ((cert, "/dev/null"), "Invalid argument")):
            p.write(listener(*pair))
            try:
                p.daemon.start(30)
            except AssertionError:
                pass
            else:
                raise AssertionError("it started with %r" % (pair,))
            finally:
                p.daemon.stop()
            assert word in p.daemon.log_text(), p.daemon.log_text()
    finally:
        p.__exit__(None)


@with_keys
def many_at_once(p, cert, _):
    wrong = []

    def one(n):
        try:
            for i in range(5):
                client = TlsClient(p, trust=cert)
                client.begin()
                reply = client.send(b"n%d-%d@x.test" % (n, i))
                assert reply.startswith(b"250"), reply
                client.sock.close()
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]
    wait_for(lambda: len(p.sink.mails) == 100, 60, "all of it")


@with_keys
def who_does_not_read_fills_no_memory_of_ours(p, _, __):
    """What a client goes on to say stays with it until it has read."""
    client = TlsClient(p)
    client.begin()
    client.sock.settimeout(3)
    # A record each: what is left of a record is not read on, anyway.
    client.ask(b"MAIL FROM:<>")
    sent, most = 0, 1 << 20
    try:
        while sent < most:
            client.sock.sendall(b"RCPT TO:<a@b>\r\n" if sent % 990 else
                                b"RSET\r\nMAIL FROM:<>\r\n")
            sent += 1
    except socket.timeout:
        pass
    assert sent < most, "all of it was taken"
    client.sock.close()
    other = TlsClient(p)
    other.begin()
    assert other.send(b"a@x.test").startswith(b"250")


def run(suite):
    suite.check_all([
        ("starttls: a key of each kind", every_kind_of_key),
        ("starttls: TLS 1.3 and 1.2, as configured", versions),
        ("starttls: without TLS no mail",
         lambda: without_tls_no_mail(more="tls_security_level = encrypt")),
        ("starttls: what stood behind it is nothing",
         what_stood_behind_starttls_is_nothing),
        ("starttls: broken handshakes harm nobody",
         broken_handshakes_harm_nobody),
        ("starttls: the key is with the signer alone",
         the_key_is_nowhere_but_with_the_signer),
        ("starttls: a dead signer comes back", a_dead_signer_comes_back),
        ("starttls: a signer that stands still holds nobody up",
         a_signer_that_stands_still_holds_nobody_up),
        ("starttls: a reload brings another certificate",
         a_reload_brings_another_certificate),
        ("starttls: wrong pairs do not start", wrong_pairs_do_not_start),
        ("starttls: many at once", many_at_once),
        ("starttls: who does not read fills no memory of ours",
         lambda: who_does_not_read_fills_no_memory_of_ours(
             more="smtpd_junk_command_limit = 100000")),
    ], 2)
