# SPDX-License-Identifier: ISC
"""Servers that answer as a script says, and a name server, for two clients at once.

Each server has an address of its own, at port 25, so they want a network namespace.
Which client it is shows its source address, and each has a script's state for itself:
the third connection of one is not the fourth of the other.
"""
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "session"))
import harness  # noqa

SIDES = {"127.0.0.2": "postern", "127.0.0.3": "Postfix"}
KEYWORDS = ("PIPELINING", "8BITMIME", "SIZE 10000000", "ENHANCEDSTATUSCODES")

# What a step may do in place of a reply.
CLOSE, RESET, SILENCE = "close", "reset", "silence"

DEFAULTS = {
    "greeting": "220 mail.test ESMTP", "helo": "250 mail.test",
    "starttls": "220 2.0.0 go ahead", "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok", "data": "354 go ahead", "final": "250 2.0.0 taken",
    "rset": "250 2.0.0 ok", "noop": "250 2.0.0 ok", "quit": "221 2.0.0 bye",
}


class Ended(Exception):
    pass


class Script:
    """What a server does at each step, where that is not to take the mail.

    A step is a reply (lines are parted by LF, an octet string is sent as it is),
    one of CLOSE, RESET and SILENCE, a tuple of such, or a function that
    makes one of the visit.
    """

    def __init__(self, keywords=KEYWORDS, tls=None, lmtp=False, **steps):
        self.keywords = keywords
        self.tls = tls  # after the handshake: None, or a step
        self.lmtp = lmtp
        self.steps = dict(DEFAULTS, **steps)


class Visit:
    """One connection of one side."""

    def __init__(self, sock, side, number, script):
        self.sock, self.side, self.number = sock, side, number
        self.script = script
        self.server = None
        self.began = time.monotonic()
        self.pending = b""
        self.secure = False
        self.mails = 0  # transactions asked for
        self.open = False  # whether there is one
        self.rcpts = []  # of this transaction, that were accepted
        self.asked = []  # and those that were asked for
        self.argument = ""
        self.transmitted = []  # texts whose end came
        self.accepted = []  # texts with their recipients
        sock.settimeout(120)

    def fill(self):
        octets = self.sock.recv(65536)
        if not octets:
            raise Ended
        self.pending += octets

    def line(self):
        while b"\n" not in self.pending:
            self.fill()
        line, self.pending = self.pending.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def take(self, count):
        while len(self.pending) < count:
            self.fill()
        octets, self.pending = self.pending[:count], self.pending[count:]
        return octets

    def text(self):
        while b"\r\n.\r\n" not in b"\r\n" + self.pending:
            self.fill()
        text, self.pending = (b"\r\n" + self.pending).split(b"\r\n.\r\n", 1)
        return text

    def do(self, step):
        """Carry it out; the reply, if it is one."""
        if callable(step):
            return self.do(step(self))
        if isinstance(step, tuple):
            return [self.do(part) for part in step][0]
        if step == RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        if step in (CLOSE, RESET):
            raise Ended
        if step == SILENCE:
            while True:
                self.fill()
        if step is None:
            return ""
        if isinstance(step, bytes):
            self.sock.sendall(step)
            return step.decode("latin-1")
        self.sock.sendall(step.replace("\n", "\r\n").encode() + b"\r\n")
        return step

    def step(self, name):
        return self.do(self.script.steps[name])

    def serve(self, context):
        try:
            self.step("greeting")
            while self.command(context):
                pass
        except (OSError, Ended, ValueError):
            pass
        finally:
            self.sock.close()

    def hello(self):
        said = self.script.steps.get("ehlo")
        if said is not None:
            return self.do(said)
        words = ["mail.test"] + [
            word for word in self.script.keywords
            if not (word == "STARTTLS" and self.secure)]
        return self.do("\n".join(
            "250%s%s" % ("-" if i < len(words) - 1 else " ", word)
            for i, word in enumerate(words)))

    def command(self, context):
        line = self.line()
        verb = line.split(" ")[0].upper()
        self.argument = line[len(verb):].strip()
        if verb in ("EHLO", "LHLO"):
            self.hello()
        elif verb == "MAIL":
            self.mails += 1
            self.rcpts, self.asked = [], []
            self.open = self.step("mail")[:1] == "2"
        elif verb == "RCPT":
            rcpt = re.search("<(.*)>", self.argument).group(1)
            self.asked.append(rcpt)
            if not self.open:
                self.do("503 5.5.1 MAIL first")
            elif self.step("rcpt")[:1] == "2":
                self.rcpts.append(rcpt)
        elif verb == "DATA":
            if not self.rcpts:
                self.do("554 5.5.1 no valid recipients")
            elif self.step("data")[:3] == "354":
                self.message(self.text())
        elif verb == "BDAT":
            text = self.take(int(self.argument.split(" ")[0]))
            self.message(b"\r\n" + text.removesuffix(b"\r\n"))
        elif verb == "STARTTLS":
            if self.step("starttls")[:3] == "220":
                self.handshake(context)
        elif verb.lower() in ("helo", "rset", "noop", "quit"):
            self.step(verb.lower())
        else:
            self.do("500 5.5.2 what")
        return verb != "QUIT"

    def handshake(self, context):
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.secure, self.pending = True, b""
        if self.script.tls is not None:
            self.do(self.script.tls)

    def message(self, text):
        self.transmitted.append(text)
        for rcpt in self.rcpts if self.script.lmtp else [None]:
            self.argument = rcpt
            if self.step("final")[:1] == "2":
                self.accepted.append(([rcpt] if rcpt else self.rcpts, text))


class Server:
    """A script on an address, and who came to it."""

    def __init__(self, script, address, context, port=25):
        self.visits = []
        self.script, self.context = script, context
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, port))
        self.sock.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, peer = self.sock.accept()
            side = SIDES[peer[0]]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = 1 + sum(v.side == side for v in self.visits)
            visit = Visit(sock, side, number, self.script)
            self.visits.append(visit)
            threading.Thread(target=visit.serve, args=(self.context,),
                             daemon=True).start()

    def of(self, side):
        return [v for v in list(self.visits) if v.side == side]


class Names(harness.Dns):
    """The name server of the namespace, at port 53."""

    def __init__(self, rows):
        self.rows = {k.lower(): v for k, v in rows.items()}
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
