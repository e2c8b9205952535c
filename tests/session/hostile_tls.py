# SPDX-License-Identifier: ISC
"""Servers whose TLS is wrong: certificates, handshakes, what comes inside."""
import ctypes
import os
import socket
import ssl
import struct
import subprocess
import threading

from harness import Skip, equal, lacks, table
from server import (PAST, bye, close, cut, drain, drip, eof, flood, hello, line,
                    octets, opened, pause, push, raw, reset, say, sign_dated, tls,
                    transaction, upgrade)

STEP_S = 1
SLACK_S = 8
SAN = "subjectAltName=DNS:mail.test"
CA = "basicConstraints=critical,CA:TRUE"


def run_openssl(*argv):
    p = subprocess.run(("openssl",) + argv, capture_output=True, check=False,
                       timeout=60)
    if p.returncode != 0:
        raise Skip("openssl %s: %s" % (
            argv[0], p.stderr.decode("utf-8", "replace")[-200:]))


# Certificates of every wrongness.

class Maker:
    """Makes certificates in a case's folder; all of them with one key."""

    def __init__(self, t, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        self.folder = t.folder
        self.ca = t.certs.ca
        self.serial = 1000
        self.key = self.at("all", "key")
        run_openssl("genpkey", "-algorithm", *key, "-out", self.key)

    def at(self, name, kind):
        return os.path.join(self.folder, name + "." + kind)

    def request(self, name, subject, extensions):
        with open(self.at(name, "ext"), "w", encoding="ascii") as f:
            f.write("\n".join(extensions) + "\n")
        run_openssl("req", "-new", "-key", self.key, "-subj", subject, "-out",
                    self.at(name, "csr"))

    def make(self, name, *extensions, subject=None, signer=None, days=30,
             md="-sha256"):
        """signer: None is the trusted authority, "" oneself, else a name."""
        if days == 0:
            assert signer is None
            return self.make_dated(name, *PAST, *extensions)
        self.request(name, subject or "/CN=" + name, extensions)
        by = ("-signkey", self.key)
        if signer is None:
            by = ("-CA", self.ca, "-CAkey", self.ca[:-3] + "key")
        elif signer:
            by = ("-CA", self.at(signer, "pem"), "-CAkey", self.key)
        self.serial += 1
        run_openssl("x509", "-req", "-in", self.at(name, "csr"), md, "-days",
                    str(days), "-extfile", self.at(name, "ext"),
                    "-set_serial", str(self.serial), "-out",
                    self.at(name, "pem"), *by)
        return name

    def make_dated(self, name, start, end, *extensions):
        self.request(name, "/CN=" + name, extensions)
        sign_dated(run_openssl, os.path.join(self.folder, name), self.ca, start,
                   end)
        return name

    def present(self, *names):
        """A context whose list of certificates is this."""
        path = self.at("list", "pem")
        with open(path, "w", encoding="ascii") as out:
            for name in names:
                with open(self.at(name, "pem"), encoding="ascii") as f:
                    out.write(f.read())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(path, self.key)
        return context


def leaf(*extensions, **how):
    return lambda m: m.present(m.make("leaf", *extensions, **how))


def names(text, **how):
    return leaf("subjectAltName=" + text, **how)


def below(*extensions, shown=True, **how):
    """A good leaf below an intermediate of these extensions."""
    def make(m):
        m.make("between", *extensions, **how)
        m.make("leaf", SAN, signer="between")
        return m.present(*(("leaf", "between") if shown else ("leaf",)))
    return make


def long_chain(n):
    def make(m):
        above = None
        for i in range(n):
            above = m.make("ca%02d" % i, CA, signer=above)
        m.make("leaf", SAN, signer=above)
        return m.present("leaf", *["ca%02d" % i for i in reversed(range(n))])
    return make


def stuffed(n):
    """The leaf, and so many copies of something that nobody needs."""
    def make(m):
        m.make("leaf", SAN)
        m.make("other", CA)
        return m.present("leaf", *["other"] * n)
    return make


def nul_name():
    name = b"mail.test\0.evil.test"
    der = b"\x30" + bytes([len(name) + 2]) + b"\x82" + bytes([len(name)]) + \
        name
    return leaf("subjectAltName=DER:" + ":".join("%02x" % x for x in der))


def not_yet():
    return lambda m: m.present(m.make_dated(
        "leaf", "20900101000000Z", "20910101000000Z", SAN))


def many_names(n):
    return names(",".join("DNS:n%d.other.test" % i for i in range(n)))


MISMATCH = "host ?name mismatch"
UNKNOWN = "unable to get|unable to verify|self.signed"

CERTIFICATES = (
    # label, what makes it, the words of the refusal, the name asked for
    ("expired", leaf(SAN, days=0), "expired"),
    ("not yet valid", not_yet(), "not yet valid"),
    ("self-signed", leaf(SAN, signer=""), "self.signed"),
    ("wrong name", names("DNS:other.test"), MISMATCH),
    ("name of a parent", names("DNS:test"), MISMATCH),
    ("name of a child", names("DNS:x.mail.test"), MISMATCH),
    ("name with a tail", names("DNS:mail.test.evil.test"), MISMATCH),
    ("a thousand other names", many_names(1000), MISMATCH),
    ("wildcard for a top level", names("DNS:*.test"), MISMATCH),
    ("wildcard alone", names("DNS:*"), MISMATCH),
    ("wildcard for all", names("DNS:*.*"), MISMATCH),
    ("part of a label wild", names("DNS:m*.x.test"), MISMATCH, "mail.x.test"),
    ("tail of a label wild", names("DNS:*l.x.test"), MISMATCH, "mail.x.test"),
    ("wildcard in the middle", names("DNS:mail.*.test"), MISMATCH,
     "mail.x.test"),
    ("wildcard over two labels", names("DNS:*.x.test"), MISMATCH,
     "a.b.x.test"),
    ("wildcard for no label", names("DNS:*.x.test"), MISMATCH, "x.test"),
    ("name in CN without SAN", leaf("keyUsage=digitalSignature",
                                    subject="/CN=mail.test"), MISMATCH),
    ("name in CN, another in SAN", names("DNS:other.test",
                                         subject="/CN=mail.test"), MISMATCH),
    ("name as mail address", names("email:postmaster@mail.test"), MISMATCH),
    ("name as URI", names("URI:smtp://mail.test/"), MISMATCH),
    ("address as a DNS name", names("DNS:127.0.0.1"),
     "IP address mismatch", "127.0.0.1"),
    ("address in CN", leaf("keyUsage=digitalSignature",
                           subject="/CN=127.0.0.1"),
     "IP address mismatch", "127.0.0.1"),
    ("another address", names("IP:127.0.0.2"), "IP address mismatch",
     "127.0.0.1"),
    ("NUL in a name", nul_name(), MISMATCH),
    ("nothing in it", lambda m: m.present(m.make("x", subject="/O=x")),
     MISMATCH),
    ("for clients only", leaf(SAN, "extendedKeyUsage=clientAuth"),
     "purpose|unsuitable"),
    ("for code only", leaf(SAN, "extendedKeyUsage=codeSigning"),
     "purpose|unsuitable"),
    ("key for signing lists only", leaf(SAN, "keyUsage=critical,cRLSign"),
     "purpose|unsuitable|key usage"),
    ("unknown critical extension",
     leaf(SAN, "1.2.3.4.5=critical,DER:05:00"), "critical extension"),
    ("intermediate that is no CA", below("basicConstraints=CA:FALSE"),
     "invalid CA|path length|not.*CA"),
    ("intermediate missing", below(CA, shown=False), UNKNOWN),
    ("intermediate expired", below(CA, days=0), "expired"),
    ("intermediate unknown", below(CA, signer=""), UNKNOWN),
    ("intermediate that may not sign",
     below(CA, "keyUsage=critical,digitalSignature"),
     "invalid CA|key usage|not.*sign"),
    ("intermediate for other names",
     below(CA, "nameConstraints=critical,permitted;DNS:other.test"),
     "permitted subtree"),
    ("intermediate beyond its path length",
     lambda m: (m.make("one", CA + ",pathlen:0"),
                m.make("two", CA, signer="one"),
                m.make("leaf", SAN, signer="two"),
                m.present("leaf", "two", "one"))[-1], "path length"),
    ("signed by SHA-1", leaf(SAN, md="-sha1"), "too weak|md.*weak|weak"),
    ("a list of a MiB", stuffed(2400), "handshake failed|excessive|too long"),
)


def strict(t, name):
    named = () if name == "127.0.0.1" else ("--tls-name", name)
    return ("--tls", "verify", "--ca", t.certs.ca) + named


def handshake(context):
    """Be the server; to break it off is the client's right."""
    def step(c):
        up = c.shake_hands(context)
        while up and c.receive():
            pass
    return step


@table(CERTIFICATES)
def h_certificate(t, make, words, name="mail.test"):
    context = make(Maker(t))
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      handshake(context)])
    run = t.deliver(server, *strict(t, name), step=2)
    t.unharmed(run)
    t.within(run, 2 + SLACK_S)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", dsn=r"4\.7\.5",
              reply="(?i)" + words)
    equal(server.connections[0].inside, b"", "octets inside TLS")


def trusted_md5(m):
    """MD5 cannot be had with the authority's key: it is one of RSA."""
    m.make("root", CA, signer="")
    m.make("leaf", SAN, signer="root", md="-md5")
    return m.present("leaf")


def h_certificate_signed_by_md5(t):
    maker = Maker(t, ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
    context = trusted_md5(maker)
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      handshake(context)])
    run = t.deliver(server, "--tls", "verify", "--ca", maker.at("root", "pem"),
                    "--tls-name", "mail.test", step=2)
    t.unharmed(run)
    t.outcome(run, "deferred", code=0, step="tls", dsn=r"4\.7\.5",
              reply="weak")
    equal(server.connections[0].inside, b"", "octets inside TLS")


@table((
    ("one wildcard label", names("DNS:*.x.test"), "mail.x.test"),
    ("in another case", names("DNS:MAIL.Test"), "mail.test"),
    ("an address", names("IP:127.0.0.1"), "127.0.0.1"),
    ("the last of a thousand", names(",".join(
        ["DNS:n%d.other.test" % i for i in range(999)] + ["DNS:mail.test"])),
     "mail.test"),
    ("an intermediate", below(CA), "mail.test"),
    ("a list of 60 KiB", stuffed(130), "mail.test"),
    ("in an order of its own", lambda m: (
        m.make("one", CA), m.make("two", CA, signer="one"),
        m.make("leaf", SAN, signer="two"),
        m.present("leaf", "one", "two"))[-1], "mail.test"),
))
def h_certificate_is_fine(t, make, name):
    maker = Maker(t)
    context = make(maker)
    good_session(t, context, *strict(t, name))


def good_session(t, context, *options):
    def handshake_of(c):
        if not c.shake_hands(context):
            raise ssl.SSLError(c.tls_error)

    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      handshake_of, hello(), transaction(), bye()])
    run = t.deliver(server, *options, step=5)
    t.unharmed(run)
    row = t.delivered(run)
    equal(row["tls"]["verified"], True, "verified")


def h_certificate_chain_of_12_with_4096_bits(t):
    maker = Maker(t, ("RSA", "-pkeyopt", "rsa_keygen_bits:4096"))
    good_session(t, long_chain(12)(maker), *strict(t, "mail.test"))


@table((x[0], x[1]) for x in CERTIFICATES
       if x[0] in ("expired", "self-signed", "wrong name", "NUL in a name"))
def h_certificate_unverified(t, make):
    """At the level encrypt it is taken, and is not called verified."""
    context = make(Maker(t))
    server = t.serve([
        opened("STARTTLS"), line("STARTTLS"), say("220 go"),
        lambda c: c.shake_hands(context), hello(), transaction(), bye()])
    run = t.deliver(server, "--tls", "encrypt", "--tls-name", "mail.test")
    row = t.delivered(run)
    equal(row["tls"]["verified"], False, "verified")


# Handshakes.

def record(kind, payload, version=0x0303):
    return struct.pack(">BHH", kind, version, len(payload)) + payload


def server_hello(version=0x0303, cipher=0xc02f, extensions=b""):
    body = struct.pack(">H", version) + b"R" * 32 + b"\0" + \
        struct.pack(">HB", cipher, 0)
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    return b"\x02" + struct.pack(">I", len(body))[1:] + body


HELLO_13 = server_hello(cipher=0x1301, extensions=bytes.fromhex(
    "002b00020304"))
FAILED = "TLS handshake failed"

HANDSHAKES = (
    # label, what the server does behind the ClientHello, the words of it
    ("close", [close()], FAILED),
    ("reset", [reset()], FAILED),
    ("silence", [], "timed out"),
    ("text", [push(b"454 4.7.0 not now\r\n")], FAILED),
    ("text that is long", [push(b"500 what is that? " * 5000)], FAILED),
    ("zeroes", [flood(b"\0" * 65536, 4)], FAILED),
    ("NUL, NUL, NUL", [push(b"\0\0\0")], "timed out"),
    ("its own ClientHello", [lambda c: c.write(c.taken)], FAILED),
    ("fatal alert", [push(record(21, b"\x02\x28"))], FAILED),
    ("close_notify", [push(record(21, b"\x01\x00"))], FAILED),
    ("unknown alert", [push(record(21, b"\x02\xff"))], FAILED),
    ("alert of one octet", [push(record(21, b"\x02"))], FAILED),
    ("warnings without end", [flood(record(21, b"\x01\x5a"), 2000)],
     FAILED + "|timed out"),
    ("empty alert", [push(record(21, b""))], FAILED),
    ("empty handshake records", [flood(record(22, b""), 2000)],
     FAILED + "|timed out"),
    ("empty records of data", [flood(record(23, b""), 2000)],
     FAILED + "|timed out"),
    ("change of cipher first", [flood(record(20, b"\x01"), 2000)],
     FAILED + "|timed out"),
    ("unknown kind of record", [push(record(99, b"x" * 50))], FAILED),
    ("record beyond its limit",
     [push(struct.pack(">BHH", 22, 0x0303, 65535) + b"x" * 65535)], FAILED),
    ("handshake message of 16 MiB",
     [flood(record(22, b"\x0b\xff\xff\xff" + b"x" * 10000), 100)], FAILED),
    ("ServerHello cut short", [push(record(22, server_hello())[:30]),
                               close()], FAILED),
    ("ServerHello cut short, and silence",
     [push(record(22, server_hello())[:30])], "timed out"),
    ("ServerHello dripping", [drip(record(22, server_hello()))], "timed out"),
    ("ServerHello and no more", [push(record(22, server_hello())), close()],
     FAILED),
    ("ServerHello of SSLv3", [push(record(22, server_hello(0x0300), 0x0300))],
     FAILED),
    ("ServerHello of TLS 1.0", [push(record(22, server_hello(0x0301),
                                            0x0301))], FAILED),
    ("ServerHello of TLS 1.1", [push(record(22, server_hello(0x0302),
                                            0x0302))], FAILED),
    ("ServerHello of no known version",
     [push(record(22, server_hello(0x7f7f)))], FAILED),
    ("ServerHello with a cipher not offered",
     [push(record(22, server_hello(cipher=0x0004)))], FAILED),
    ("ServerHello with the null cipher",
     [push(record(22, server_hello(cipher=0x0000)))], FAILED),
    ("ServerHello of TLS 1.3 without a key",
     [push(record(22, HELLO_13))], FAILED),
    ("ServerHello with an extension twice",
     [push(record(22, server_hello(extensions=bytes.fromhex(
         "ff01000100ff01000100"))))], FAILED),
    ("ServerHello with lengths that lie",
     [push(record(22, server_hello(extensions=bytes.fromhex(
         "ff01ffff00"))))], FAILED),
    ("ServerHello twice", [push(record(22, server_hello()) * 2)], FAILED),
    ("Finished first", [push(record(22, b"\x14\0\0\x0c" + b"x" * 12))],
     FAILED),
    ("HelloRequest without end", [flood(record(22, b"\0\0\0\0"), 2000)],
     FAILED + "|timed out"),
    ("certificate of nothing", [push(record(
        22, server_hello() + b"\x0b\0\0\x03\0\0\0"))], FAILED),
    ("certificate of garbage", [push(record(
        22, server_hello() + b"\x0b\0\0\x26\0\0\x23\0\0\x20" + b"\x30" * 32))],
     FAILED),
)


@table(HANDSHAKES)
def h_handshake(t, steps, words):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      octets(100), steps] +
                     ([] if steps[-1:] and steps[-1].__qualname__.startswith(
                         ("close", "reset")) else [drain()]))
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", reply=words)
    lacks("MAIL|QUIT", server.connections[0].clear.decode("latin-1"),
          "in clear")


@table((v.name, v) for v in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
def h_handshake_of_old(t, version):
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      tls("good", fails=True, least=version, most=version)])
    run = t.deliver(server, "--tls", "encrypt")
    t.unharmed(run)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="tls", reply=FAILED)


# Injection.

@table((
    ("a reply", b"250 ok\r\n", ""), ("one octet", b"2", ""),
    ("a NUL", b"\0", ""), ("an empty line", b"\r\n", ""),
    ("many replies", b"250 ok\r\n" * 500, ""),
    ("a TLS alert", record(21, b"\x02\x28"), ""),
    ("a ServerHello", record(22, server_hello()), ""),
    ("a goodbye", b"421 4.3.2 going\r\n", ""),
))
def h_injection(t, extra, _):
    """Octets right behind the 220, in its segment."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      raw(b"220 go\r\n" + extra), drain()])
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.scripts_held()
    t.outcome(run, "deferred", code=0, step="starttls", dsn=r"4\.7\.0",
              reply="injection")
    equal(server.connections[0].clear, b"EHLO client.test\r\nSTARTTLS\r\n",
          "what the client sent")


def h_injection_in_the_next_segment(t):
    """Too late to be seen as one: then the handshake fails over it."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"), say("220 go"),
                      push(b"250 ok\r\n"), drain()])
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.outcome(run, "deferred", code=0, reply="injection|" + FAILED)
    lacks("MAIL", server.connections[0].clear.decode("latin-1"), "in clear")


def h_injection_at_level_may(t):
    """It is no reason to go on in clear."""
    server = t.serve([opened("STARTTLS"), line("STARTTLS"),
                      raw(b"220 go\r\n250 ok\r\n"), drain()])
    run = t.deliver(server, "--tls", "may", step=STEP_S)
    t.unharmed(run)
    t.scripts_held()
    t.outcome(run, "deferred", step="starttls", reply="injection")


# Inside.

def in_clear(data):
    """Write below the TLS."""
    def step(c):
        s = socket.socket(fileno=os.dup(c.sock.fileno()))
        try:
            s.sendall(data)
        finally:
            s.close()
    return step


INSIDE = (
    # label, in place of the reply to MAIL, the words of it
    ("text in clear", [in_clear(b"250 ok\r\n")], "connection lost"),
    ("record of garbage", [in_clear(record(23, b"x" * 64))],
     "connection lost"),
    ("record of kind 0", [in_clear(record(0, b"x" * 64))], "connection lost"),
    ("alert in clear", [in_clear(record(21, b"\x02\x28"))],
     "connection (lost|closed)"),
    ("half a record, and silence", [in_clear(record(23, b"x" * 64)[:20])],
     "timed out"),
    ("half a record, and close", [in_clear(record(23, b"x" * 64)[:20]),
                                  cut()], "connection (lost|closed)"),
    ("dripping record", [lambda c: [
        f(c) for f in [in_clear(record(23, b"x" * 64)[i:i + 1])
                       for i in range(4)] + [pause(0.3)]]], "timed out"),
    ("close without close_notify", [cut()], "connection closed"),
    ("close with it", [close()], "connection closed"),
    ("reset", [reset()], "connection (lost|closed)"),
    ("half a reply, and no close_notify", [raw(b"250 o"), cut()],
     "connection closed"),
)


@table(INSIDE)
def h_inside(t, steps, words):
    server = t.serve([opened("STARTTLS"), upgrade(), hello(),
                      line("MAIL .*"), steps] +
                     ([] if "clos" in words else [drain()]))
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.outcome(run, "deferred", code=0, step="mail", reply=words)


class Library:
    """What Python's ssl does not offer, by the library below it."""

    lock = threading.Lock()
    handle = None

    @classmethod
    def call(cls, c, name, *args):
        with cls.lock:
            if cls.handle is None:
                try:
                    cls.handle = ctypes.CDLL("libssl.so.3")
                except OSError as e:
                    raise Skip(str(e)) from e
        if "3." not in ssl.OPENSSL_VERSION:
            raise Skip("another libssl")
        # PyObject_HEAD, the socket, then the SSL *
        at = id(c.sock._sslobj) + object.__basicsize__ + 8
        pointer = ctypes.c_void_p.from_address(at)
        return getattr(cls.handle, name)(pointer, *args)


def update_keys(times):
    def step(c):
        for _ in range(times):
            if Library.call(c, "SSL_key_update", 1) != 1:
                raise OSError("SSL_key_update")
            Library.call(c, "SSL_do_handshake")
    return step


def pad_to(n):
    return lambda c: Library.call(c, "SSL_set_block_padding",
                                  ctypes.c_size_t(n))


def give_tickets(n):
    def step(c):
        for _ in range(n):
            Library.call(c, "SSL_new_session_ticket")
            Library.call(c, "SSL_do_handshake")
    return step


@table((
    ("20 updates of the keys", update_keys(20)),
    ("30 session tickets", give_tickets(30)),
    ("records padded to 16 KiB", pad_to(16384)),
))
def h_inside_and_fine(t, step):
    server = t.serve([
        opened("STARTTLS"), upgrade(least=ssl.TLSVersion.TLSv1_3), hello(),
        line("MAIL .*"), step, say("250 ok"), line("RCPT .*"), say("250 ok"),
        line("DATA"), say("354 go"), octets(10), say("250 kept"), drain()])
    run = t.deliver(server, "--tls", "encrypt", step=2)
    t.unharmed(run)
    t.delivered(run)


def h_storm_of_key_updates(t):
    server = t.serve([
        opened("STARTTLS"), upgrade(least=ssl.TLSVersion.TLSv1_3), hello(),
        line("MAIL .*"), update_keys(200), drain()])
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.outcome(run, "deferred", code=0, step="mail",
              reply="connection lost|timed out")


def h_request_for_renegotiation(t):
    """TLS 1.2: it is refused, and the session does not hang over it."""
    def ask(c):
        Library.call(c, "SSL_renegotiate")
        Library.call(c, "SSL_do_handshake")

    server = t.serve([
        opened("STARTTLS"), upgrade(most=ssl.TLSVersion.TLSv1_2), hello(),
        line("MAIL .*"), ask, drain()])
    run = t.deliver(server, "--tls", "encrypt", step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.outcome(run, "deferred", code=0, step="mail",
              reply="connection|timed out")


def h_1000_tickets_at_once(t):
    context = t.certs.context("good", least=ssl.TLSVersion.TLSv1_3)
    context.num_tickets = 1000
    server = t.serve([
        opened("STARTTLS"), line("STARTTLS"), say("220 go"),
        lambda c: c.shake_hands(context), hello(), transaction(), bye()])
    run = t.deliver(server, "--tls", "encrypt", step=5)
    t.unharmed(run)
    t.delivered(run)


@table((
    # before the ClientHello it is taken for an injection
    ("of text", [push(b"220 mail.test ESMTP\r\n"), drain()],
     FAILED + "|injection"),
    ("of text, later", [octets(100), push(b"220 mail.test ESMTP\r\n"),
                        drain()], FAILED),
    ("of silence", [drain()], "timed out"), ("of nothing", [close()],
                                         FAILED + "|connection closed")))
def h_implicit(t, steps, words):
    server = t.serve(steps)
    run = t.deliver(server, "--implicit-tls", step=STEP_S)
    t.unharmed(run)
    t.within(run, 2 * STEP_S + SLACK_S)
    t.outcome(run, "deferred", code=0, reply=words)
    lacks("EHLO", server.connections[0].clear.decode("latin-1"), "in clear")
