# SPDX-License-Identifier: ISC
"""An SMTP server on several addresses that keeps what it was given.

What it says is up to the test: greeting and final may be replaced, by a reply
or by a function that makes one (and may take its time).  None is no reply.
"""
import os
import re
import socket
import threading
import time


# A quoted local part may hold ">".
PATH = re.compile(rb'<((?:"(?:[^"\\]|\\.)*")?[^>]*)>')


class Mail:
    """One message: from which address, to which of ours, for whom."""

    def __init__(self, peer, local, rcpts, text, commands):
        self.peer = peer
        self.local = local
        self.rcpts = rcpts
        self.text = text
        self.commands = commands  # MAIL and RCPT, as they came


class Sink:
    def __init__(self, addresses=("127.0.0.1",), unix=None):
        self.greeting = "220 sink.postern.test"
        self.rcpt = "250 2.1.5 ok"
        self.final = "250 2.0.0 taken"
        self.keywords = ["PIPELINING"]
        self.mails = []
        self.ehlos = []
        self.others = []  # commands that are no part of a transaction
        self.connections = 0
        self.at_dot = threading.Event()  # a whole message waits for its reply
        self.closing = threading.Event()
        self.listeners = []
        self.port = 0
        if unix is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(unix)
            os.chmod(unix, 0o777)
            self.listen(listener)
        else:
            self.bind(addresses)

    def bind(self, addresses):
        """All addresses with one port that is free on each."""
        for _ in range(100):
            listeners = []
            try:
                for address in addresses:
                    family = (socket.AF_INET6 if ":" in address
                              else socket.AF_INET)
                    port = listeners[0].getsockname()[1] if listeners else 0
                    listener = socket.socket(family)
                    listeners.append(listener)
                    listener.setsockopt(socket.SOL_SOCKET,
                                        socket.SO_REUSEADDR, 1)
                    listener.bind((address, port))
            except OSError:
                for listener in listeners:
                    listener.close()
                continue
            break
        else:
            raise AssertionError("no port is free on all of %r" % addresses)
        self.port = listeners[0].getsockname()[1]
        for listener in listeners:
            self.listen(listener)

    def listen(self, listener):
        listener.listen(128)
        self.listeners.append(listener)
        threading.Thread(target=self.accept, args=(listener,),
                         daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                conn, peer = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(conn, peer),
                             daemon=True).start()

    def answer(self, conn, reply, *args):
        if callable(reply):
            reply = reply(*args)
        if reply is None:
            self.closing.wait()
            raise OSError("the test is over")
        conn.sendall(reply.encode() + b"\r\n")
        return reply

    def serve(self, conn, peer):
        if conn.family != socket.AF_UNIX:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = conn.getsockname()
        local = name if isinstance(name, str) else name[0]
        rcpts, text, commands, lmtp = [], None, [], False
        try:
            self.answer(conn, self.greeting, local)
            for line in conn.makefile("rb"):
                if text is not None and line == b".\r\n":
                    mail = Mail(peer[0] if peer else "", local, rcpts,
                                bytes(text), commands)
                    self.at_dot.set()
                    for _ in rcpts if lmtp else [None]:
                        self.answer(conn, self.final, mail)
                    self.mails.append(mail)
                    rcpts, text, commands = [], None, []
                elif text is not None:
                    text += line
                elif line[:4] == b"DATA":
                    text = bytearray()
                    conn.sendall(b"354 go\r\n")
                elif line[:4] in (b"EHLO", b"LHLO"):
                    lmtp = line[:1] == b"L"
                    self.ehlos.append(line.split()[1].decode())
                    conn.sendall("".join(
                        "250-%s\r\n" % k for k in ["sink.postern.test"] +
                        self.keywords[:-1]).encode() +
                        ("250 %s\r\n" % self.keywords[-1]).encode())
                elif line[:4] == b"RCPT":
                    commands.append(line)
                    rcpt = PATH.search(line).group(1).decode()
                    if self.answer(conn, self.rcpt, rcpt)[0] == "2":
                        rcpts.append(rcpt)
                elif line[:4] == b"QUIT":
                    conn.sendall(b"221 2.0.0 bye\r\n")
                    break
                elif line[:4] in (b"MAIL", b"RSET"):
                    rcpts, commands = [], [line]
                    conn.sendall(b"250 2.1.0 ok\r\n")
                else:
                    self.others.append(line)
                    conn.sendall(b"250 2.0.0 ok\r\n")
        except OSError:
            pass
        finally:
            conn.close()

    def got(self, rcpt):
        """What came for an address."""
        return [m for m in list(self.mails) if rcpt in m.rcpts]

    def close(self):
        self.closing.set()
        for listener in self.listeners:
            # a blocked accept() keeps a closed socket alive
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def slow(seconds, reply):
    """A reply that takes its time."""
    def wait(*_):
        time.sleep(seconds)
        return reply
    return wait
