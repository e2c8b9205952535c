# SPDX-License-Identifier: ISC
"""A scripted SMTP or LMTP server.

A script is a list of steps for one connection; a server has one script for
each connection that it is to see, in turn.  Everything received is kept, so
that a test can say what the wire showed.  A step that does not come true ends
its connection and is the server's failure, which the test then is told.
"""
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

PATIENCE_S = 40  # for whatever the client is to do next


class ScriptError(Exception):
    """The client did not do what the script says."""


class Closed(ScriptError):
    """The client closed where the script waits for octets."""


class Connection:
    """One accepted connection, and what came over it."""

    def __init__(self, sock, peer, certs):
        self.sock = sock
        self.peer = peer
        self.local = sock.getsockname()
        self.certs = certs
        self.log = []
        self.pending = b""    # received, not taken by a step yet
        self.clear = b""      # all octets before TLS
        self.inside = b""     # all octets inside TLS
        self.lines = []       # the commands, without CRLF
        self.messages = []    # as they stood on the wire, without the dot
        self.taken = b""      # by take() and drain()
        self.tls_version = None
        self.tls_error = None
        self.sni = None
        self.at_eof = False
        self.error = None
        sock.settimeout(PATIENCE_S)

    def note(self, text):
        self.log.append("-- " + text)

    def _show(self, who, octets):
        text = octets if len(octets) <= 400 else octets[:400] + b"..."
        self.log.append("%s %r" % (who, text)[:1700])

    def receive(self, timeout=PATIENCE_S):
        """More octets into pending; False at the end of the stream."""
        self.sock.settimeout(timeout)
        try:
            octets = self.sock.recv(65536)
        except (ssl.SSLEOFError, ConnectionResetError) as e:
            self.note("the client's end: %s" % e)
            octets = b""
        except ssl.SSLError as e:
            if "timed out" in str(e):
                raise socket.timeout() from e
            self.note("the client's end: %s" % e)
            octets = b""
        if octets == b"":
            self.at_eof = True
            return False
        if self.tls_version is None:
            self.clear += octets
        else:
            self.inside += octets
        self.pending += octets
        self._show("C:", octets)
        return True

    def read_line(self):
        while b"\n" not in self.pending:
            if not self.receive():
                raise Closed("closed by the client in place of a line, "
                             "after %r" % self.pending)
        line, self.pending = self.pending.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise ScriptError("a bare CR or LF in line %r" % line)
        self.lines.append(line[:-1].decode("latin-1"))
        return self.lines[-1]

    def write(self, octets):
        self._show("S:", octets)
        self.sock.settimeout(PATIENCE_S)
        self.sock.sendall(octets)

    def shake_hands(self, context):
        def heard(_sock, name, _context):
            self.sni = name

        if self.pending:
            raise ScriptError("octets in clear before the handshake: %r"
                              % self.pending)
        context.sni_callback = heard
        self.sock.settimeout(PATIENCE_S)
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except (ssl.SSLError, OSError) as e:
            self.tls_error = str(e)
            self.note("handshake: %s" % e)
            return False
        self.tls_version = self.sock.version()
        self.note("TLS is up: %s, for %s" % (self.tls_version, self.sni))
        return True


# Steps: each makes a function of one connection.

def line(pattern):
    """Take one line, which has to match."""
    def step(c):
        got = c.read_line()
        if re.fullmatch(pattern, got) is None:
            raise ScriptError("expected /%s/, got %r" % (pattern, got))
    return step


def say(*lines):
    """Send whole lines, in one segment; the CRLF is added."""
    octets = b"".join((x if isinstance(x, bytes) else x.encode("latin-1")) +
                      b"\r\n" for x in lines)
    return lambda c: c.write(octets)


def raw(octets):
    return lambda c: c.write(octets)


def trickle(octets, pause_s=0.002):
    """Send one octet at a time."""
    def step(c):
        for i in range(len(octets)):
            c.sock.sendall(octets[i:i + 1])
            time.sleep(pause_s)
        c.log.append("S: one by one %r" % octets)
    return step


def flood(octets, times):
    """Send the same again and again, until the client has enough."""
    def step(c):
        c.note("%d times %r" % (times, octets[:60]))
        try:
            for _ in range(times):
                c.sock.sendall(octets)
        except OSError as e:
            c.note("the client had enough: %s" % e)
    return step


def push(octets):
    """Send it, whether the client still listens or not."""
    return flood(octets, 1)


def drip(octets, pause_s=0.2):
    """Send one octet now and then, until the client has enough."""
    def step(c):
        c.note("drip %r" % octets[:60])
        try:
            for i in range(len(octets)):
                c.sock.sendall(octets[i:i + 1])
                time.sleep(pause_s)
        except OSError as e:
            c.note("the client had enough: %s" % e)
    return step


def pause(seconds):
    return lambda c: time.sleep(seconds)


def quiet(seconds=0.3):
    """Nothing may arrive in that time."""
    def step(c):
        if not c.pending:
            try:
                if not c.receive(seconds):
                    raise Closed("closed by the client in a silence")
            except (socket.timeout, TimeoutError):
                return
        raise ScriptError("octets where silence was due: %r" % c.pending)
    return step


def message():
    """Read up to the dot."""
    def step(c):
        whole = b"\r\n"
        while b"\r\n.\r\n" not in whole:
            if not c.pending and not c.receive():
                raise Closed("closed by the client in the message")
            whole += c.pending
            c.pending = b""
        text, c.pending = whole.split(b"\r\n.\r\n", 1)
        c.messages.append((text + b"\r\n")[2:])
    return step


def octets(n):
    """Take at least n octets of whatever it is."""
    def step(c):
        while len(c.pending) < n:
            if not c.receive():
                raise Closed("closed by the client after %d of %d octets"
                             % (len(c.pending), n))
        c.taken += c.pending
        c.pending = b""
    return step


def drain():
    """Take whatever comes, until the client closes."""
    def step(c):
        while c.receive():
            pass
        c.taken += c.pending
        c.pending = b""
    return step


def eof():
    """The client closes, and says nothing more."""
    def step(c):
        while not c.at_eof and c.receive():
            pass
        if c.pending:
            raise ScriptError("octets where only a close was due: %r"
                              % c.pending)
    return step


def close():
    """Close, politely where it is TLS."""
    def step(c):
        c.note("close")
        if isinstance(c.sock, ssl.SSLSocket):
            c.sock.settimeout(2)
            try:
                c.sock = c.sock.unwrap()
            except (OSError, ValueError):
                pass
        c.sock.close()
    return step


def cut():
    """Close without a close_notify."""
    def step(c):
        c.note("close without close_notify")
        socket.socket(fileno=c.sock.detach()).close()
    return step


def reset():
    """Close by RST."""
    def step(c):
        c.note("reset")
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        c.sock.close()
    return step


def tls(cert="good", fails=False, least=None, most=None):
    """Be the server of a handshake; fails: the client has to break it off."""
    def step(c):
        up = c.shake_hands(c.certs.context(cert, least, most))
        if fails and up:
            # TLS 1.3: the client's alert may come behind our last octet
            while c.receive():
                pass
            if c.inside:
                raise ScriptError("octets inside a TLS that the client was "
                                  "to refuse: %r" % c.inside)
        elif not fails and not up:
            raise ScriptError("handshake failed: %s" % c.tls_error)
    return step


# What most scripts begin and end with.

GREETING = "220 mail.test ESMTP"


def lines_of(code, *texts):
    return ["%d-%s" % (code, x) for x in texts[:-1]] + \
        ["%d %s" % (code, texts[-1])]


def hello(*keywords, verb="EHLO"):
    return [line(verb + r" \S+"), say(*lines_of(250, "mail.test", *keywords))]


def opened(*keywords, verb="EHLO"):
    return [say(GREETING)] + hello(*keywords, verb=verb)


def upgrade(cert="good", **how):
    return [line("STARTTLS"), say("220 2.0.0 go ahead"), tls(cert, **how)]


def mail_from(pattern=r"<[^>]*>( SIZE=\d+)?"):
    return [line("MAIL FROM:" + pattern), say("250 2.1.0 sender ok")]


def rcpt_to(reply="250 2.1.5 recipient ok", pattern="<[^>]*>"):
    return [line("RCPT TO:" + pattern), say(reply)]


def data(*finals, go="354 go ahead"):
    return [line("DATA"), say(go), message(),
            say(*(finals or ("250 2.0.0 kept as 4711",)))]


def transaction(rcpts=1, finals=()):
    steps = mail_from()
    for _ in range(rcpts):
        steps += rcpt_to()
    return steps + data(*finals)


def bye():
    return [line("QUIT"), say("221 2.0.0 bye"), eof()]


def whole(*keywords, verb="EHLO"):
    """A session as it should be, with one message to one recipient."""
    return opened(*keywords, verb=verb) + transaction() + bye()


def octets_of(c, n):
    """The next n octets of the client, whatever they are."""
    while len(c.pending) < n:
        if not c.receive():
            raise Closed("closed by the client in a chunk")
    taken, c.pending = c.pending[:n], c.pending[n:]
    return taken


def honest(*keywords, **answers):
    """Serve until QUIT: whatever the order, by these answers.

    answers: verb -> text, or a function of (command, how often by now).
    """
    def ask(verb, command, n, usual):
        answer = answers.get(verb, usual)
        return answer(command, n) if callable(answer) else answer

    def step(c):
        seen = {}
        c.write(GREETING.encode("ascii") + b"\r\n")
        while True:
            command = c.read_line()
            verb = command.split(" ")[0].split(":")[0]
            seen[verb] = seen.get(verb, 0) + 1
            if verb in ("EHLO", "LHLO"):
                say(*lines_of(250, "mail.test", *keywords))(c)
            elif verb == "DATA":
                go = ask(verb, command, seen[verb], "354 go ahead")
                say(go)(c)
                if go.startswith("354"):
                    message()(c)
                    say(ask("dot", "", seen[verb], "250 2.0.0 kept"))(c)
            elif verb == "BDAT":
                c.taken += octets_of(c, int(command.split(" ")[1]))
                if command.endswith(" LAST"):
                    c.messages.append(c.taken)
                    c.taken = b""
                say(ask(verb, command, seen[verb], "250 2.0.0 kept"))(c)
            elif verb == "QUIT":
                say("221 2.0.0 bye")(c)
                eof()(c)
                return
            else:
                say(ask(verb, command, seen[verb], "250 2.0.0 ok"))(c)
    return step


class Server:
    """Listens on loopback or a Unix socket, in a thread of its own."""

    def __init__(self, scripts, certs, address="127.0.0.1", path=None,
                 listening=True, port=0, optional=0):
        self.scripts = scripts
        self.certs = certs
        self.connections = []
        self.unexpected = 0
        self.optional = optional  # so many of the last scripts need not play
        self.path = path
        if path is not None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(path)
            os.chmod(path, 0o666)  # the dialer is nobody in particular
            self.name = "unix:" + path
            self.port = 0
        else:
            v6 = ":" in address
            self.sock = socket.socket(
                socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((address, port))
            self.port = self.sock.getsockname()[1]
            self.name = "%s:%d" % ("[%s]" % address if v6 else address,
                                   self.port)
        if not listening:
            self.thread = None
            return
        self.sock.listen(16)
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        threads = []
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                break
            if self.stopping:
                sock.close()
                break
            if len(self.connections) == len(self.scripts):
                self.unexpected += 1
                sock.close()
                continue
            if self.path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c = Connection(sock, peer, self.certs)
            script = self.scripts[len(self.connections)]
            self.connections.append(c)
            threads.append(threading.Thread(
                target=self._play, args=(c, script), daemon=True))
            threads[-1].start()
        for t in threads:
            t.join(PATIENCE_S)

    @staticmethod
    def _flat(script):
        for step in script:
            if isinstance(step, (list, tuple)):
                yield from Server._flat(step)
            else:
                yield step

    def _play(self, c, script):
        try:
            for step in self._flat(script):
                step(c)
        except (socket.timeout, TimeoutError):
            c.error = "nothing came in %d s" % PATIENCE_S
        except (ScriptError, OSError, ValueError) as e:
            c.error = "%s: %s" % (type(e).__name__, e)
        if c.error:
            c.note(c.error)
        try:
            c.sock.close()
        except OSError:
            pass

    def stop(self):
        """No more connections; those that are open play to their end."""
        if self.thread is None:
            self.sock.close()
            return
        self.stopping = True
        try:
            if self.path is not None:
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                s.connect(self.path)
            else:
                s = socket.create_connection(self.sock.getsockname()[:2], 2)
            s.close()
        except OSError:
            pass
        self.thread.join(PATIENCE_S)
        self.sock.close()

    def failures(self):
        for i, c in enumerate(self.connections):
            if c.error:
                yield "connection %d: %s" % (i + 1, c.error)
        if len(self.connections) < len(self.scripts) - self.optional:
            yield "only %d of %d connections came" % (
                len(self.connections), len(self.scripts))
        if self.unexpected:
            yield "%d connections more than expected" % self.unexpected

    def transcript(self):
        out = []
        for i, c in enumerate(self.connections):
            out.append("   connection %d of %s" % (i + 1, self.name))
            out += ["      " + x for x in c.log]
        return "\n".join(out) or "   %s: nobody came" % self.name


PAST = ("20200101000000Z", "20200201000000Z")


def sign_dated(run, base, ca, start, end):
    """Makes base.pem of base.csr and base.ext, valid from start to end; run is what
    runs openssl.  `openssl x509` takes no dates, nor, in Debian 13, days below 0."""
    with open(base + ".db", "w", encoding="ascii"):
        pass
    with open(base + ".cnf", "w", encoding="ascii") as f:
        f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s.db\nnew_certs_dir=%s\n"
                "rand_serial=yes\ndefault_md=sha256\npolicy=p\n"
                "[p]\ncommonName=supplied\n" % (base, os.path.dirname(base)))
    run("ca", "-batch", "-notext", "-config", base + ".cnf", "-in",
        base + ".csr", "-cert", ca, "-keyfile", ca[:-3] + "key", "-startdate",
        start, "-enddate", end, "-extfile", base + ".ext", "-out",
        base + ".pem")


class Certificates:
    """A private authority and what it signed, made once a run."""

    ROWS = {
        # name: subject alternative names, days (0: in the past), signed by
        "good": ("DNS:mail.test,DNS:localhost,IP:127.0.0.1", 30, "ca"),
        "expired": ("DNS:mail.test,DNS:localhost,IP:127.0.0.1", 0, "ca"),
        "wrong": ("DNS:other.test", 30, "ca"),
        "stranger": ("DNS:mail.test,DNS:localhost", 30, "ca2"),
        "self": ("DNS:mail.test,DNS:localhost", 30, None),
    }

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        for ca in ("ca", "ca2"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                          "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                          "-subj", "/CN=" + ca, "-keyout", self._at(ca, "key"),
                          "-out", self._at(ca, "pem"))
        for name, (names, days, signer) in self.ROWS.items():
            self._make(name, names, days, signer)
        self.ca = self._at("ca", "pem")

    def _at(self, name, kind):
        return os.path.join(self.folder, name + "." + kind)

    @staticmethod
    def _openssl(*argv):
        p = subprocess.run(("openssl",) + argv, capture_output=True,
                           check=False, timeout=60)
        if p.returncode != 0:
            raise RuntimeError("openssl %s: %s" % (
                argv[0], p.stderr.decode("utf-8", "replace")))

    def _make(self, name, names, days, signer):
        extensions = self._at(name, "ext")
        with open(extensions, "w", encoding="ascii") as f:
            f.write("subjectAltName=%s\n" % names)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      "/CN=" + name, "-keyout", self._at(name, "key"),
                      "-out", self._at(name, "csr"))
        if days == 0:
            sign_dated(self._openssl, os.path.join(self.folder, name),
                       self._at(signer, "pem"), *PAST)
            return
        by = ("-signkey", self._at(name, "key")) if signer is None else (
            "-CA", self._at(signer, "pem"), "-CAkey",
            self._at(signer, "key"), "-CAcreateserial")
        self._openssl("x509", "-req", "-in", self._at(name, "csr"), "-days",
                      str(days), "-extfile", extensions, "-out",
                      self._at(name, "pem"), *by)

    def context(self, name, least=None, most=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._at(name, "pem"), self._at(name, "key"))
        if most is not None and most < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")
        if least is not None:
            context.minimum_version = least
        if most is not None:
            context.maximum_version = most
        return context
