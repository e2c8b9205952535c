# SPDX-License-Identifier: ISC
"""A server that takes mail, refuses some, and breaks connections anywhere.

What it did not refuse for good it takes in the end.  Every connection has its
own fate, made from the seed: it may end behind any octet, by a close or a
reset, and it may be slow to answer.
"""
import collections
import random
import re
import socket
import struct
import threading
import time

REFUSED = 13  # each number that it divides is refused for good


class Cut(Exception):
    pass


class Connection:
    def __init__(self, sock, rng, calm):
        self.sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(60)
        self.pending = b""
        self.rng = rng
        # It ends behind so many octets, of both directions.
        self.left = None
        if not calm and rng.random() < 0.3:
            self.left = int(rng.choice((300, 3000, 30000)) * rng.random())

    def spend(self, octets):
        if self.left is None:
            return octets
        part = octets[:self.left]
        self.left -= len(part)
        return part

    def write(self, octets):
        part = self.spend(octets)
        if part:
            self.sock.sendall(part)
        if part != octets:
            raise Cut

    def fill(self):
        if self.left == 0:
            raise Cut
        got = self.sock.recv(65536)
        if not got:
            raise Cut
        part = self.spend(got)
        self.pending += part
        if part != got and b"\n" not in self.pending:
            raise Cut

    def line(self):
        while b"\n" not in self.pending:
            self.fill()
        text, self.pending = self.pending.split(b"\n", 1)
        return text.rstrip(b"\r")

    def octets(self, n):
        while len(self.pending) < n:
            self.fill()
        text, self.pending = self.pending[:n], self.pending[n:]
        return text


class Sink(threading.Thread):
    def __init__(self, seed):
        super().__init__(daemon=True)
        self.seed = seed
        self.calm = False
        self.connections = 0
        self.cuts = 0
        # (recipient, when its final reply was decided) of each arrival
        self.arrived = collections.defaultdict(list)
        self.notices = set()  # recipients that a notice told of
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            sock, _ = self.listener.accept()
            self.connections += 1
            rng = random.Random("%d/%d" % (self.seed, self.connections))
            threading.Thread(target=self.serve, args=(sock, rng),
                             daemon=True).start()

    def serve(self, sock, rng):
        try:
            c = Connection(sock, rng, self.calm)
            self.converse(c, chunking=rng.random() < 0.5,
                          slow=not self.calm and rng.random() < 0.1)
        except Cut:
            self.cuts += 1
            if rng.random() < 0.5:  # a reset, not an end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
        except OSError:
            pass  # its peer was killed
        finally:
            sock.close()

    def reply_to_rcpt(self, rng, rcpt):
        number = re.match(r"m(\d+)-", rcpt)
        if number and int(number[1]) % REFUSED == 0:
            return b"550 5.1.1 no such user\r\n"
        if not self.calm and rng.random() < 0.05:
            return b"451 4.3.0 later\r\n"
        return b"250 2.1.5 ok\r\n"

    def keep(self, rcpts, text):
        with self.lock:
            for rcpt in rcpts:
                self.arrived[rcpt].append(time.time())
            if b"multipart/report" in text:
                self.notices.update(
                    x.decode() for x in re.findall(
                        rb"^Final-Recipient: rfc822; *(\S+)", text, re.M))

    def converse(self, c, chunking, slow):
        rcpts, chunks = [], b""
        c.write(b"220 sink.postern.test\r\n")
        while True:
            line = c.line()
            verb = line[:4].upper()
            if slow:
                time.sleep(c.rng.random() * 0.2)
            if verb == b"EHLO":
                c.write(b"250-sink.postern.test\r\n" +
                        b"250-CHUNKING\r\n" * chunking +
                        b"250 PIPELINING\r\n")
            elif verb == b"MAIL":
                rcpts, chunks = [], b""
                c.write(b"250 2.1.0 ok\r\n")
            elif verb == b"RCPT":
                rcpt = re.search(rb"<(.*?)>", line)[1].decode()
                reply = self.reply_to_rcpt(c.rng, rcpt)
                if reply.startswith(b"2"):
                    rcpts.append(rcpt)
                c.write(reply)
            elif verb == b"DATA" and not rcpts:
                c.write(b"554 5.5.1 no valid recipients\r\n")
            elif verb == b"DATA":
                c.write(b"354 go\r\n")
                lines = []
                while (text := c.line()) != b".":
                    lines.append(text)
                self.keep(rcpts, b"\n".join(lines))
                c.write(b"250 2.0.0 taken\r\n")
            elif verb == b"BDAT":
                words = line.split()
                chunks += c.octets(int(words[1]))
                last = words[-1].upper() == b"LAST"
                if last and rcpts:
                    self.keep(rcpts, chunks.replace(b"\r\n", b"\n"))
                c.write(b"250 2.0.0 taken\r\n" if rcpts
                        else b"554 5.5.1 no valid recipients\r\n")
            elif verb == b"QUIT":
                c.write(b"221 2.0.0 bye\r\n")
                return
            else:
                c.write(b"250 2.0.0 ok\r\n")
