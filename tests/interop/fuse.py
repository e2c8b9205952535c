# SPDX-License-Identifier: ISC
"""A FUSE file system with one file, whose server never answers a close()."""
import ctypes
import os
import struct
import tempfile
import threading

INIT, LOOKUP, GETATTR, OPEN, FLUSH, RELEASE, FORGET, BATCH_FORGET, INTERRUPT = \
    26, 1, 3, 14, 25, 18, 2, 42, 36
ENOSYS = 38
LIBC = ctypes.CDLL(None, use_errno=True)
MNT_FORCE, MNT_DETACH = 1, 2


def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100644, 5)
    return struct.pack("=QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0,
                       mode, 1, 0, 0, 0, 4096, 0)


class Mount:
    """None of it without root and /dev/fuse: then ValueError."""

    def __init__(self):
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR)
        except OSError as e:
            raise ValueError("no /dev/fuse: %s" % e) from None
        self.dir = tempfile.mkdtemp(prefix="postern-fuse-")
        options = "fd=%d,rootmode=40000,user_id=0,group_id=0" % self.fd
        if LIBC.mount(b"fuse", self.dir.encode(), b"fuse", 0,
                      options.encode()) == -1:
            os.close(self.fd)
            os.rmdir(self.dir)
            raise ValueError("FUSE cannot be mounted")
        self.file = os.path.join(self.dir, "message")
        self.flushes = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError:
                return
            _, what, unique, node = struct.unpack_from("=IIQQ", request)
            if what == FLUSH:
                self.flushes += 1
            if what in (FLUSH, FORGET, BATCH_FORGET, INTERRUPT):
                continue
            answer, error = self.answer(what, node)
            try:
                os.write(self.fd, struct.pack("=IiQ", 16 + len(answer), -error,
                                              unique) + answer)
            except OSError:
                pass  # whoever asked has gone

    @staticmethod
    def answer(what, node):
        if what == INIT:
            return struct.pack("=IIIIHHIIHHIIII20x", 7, 31, 0, 0, 0, 0, 4096,
                               0, 0, 0, 0, 0, 0, 0)[:64], 0
        if what == LOOKUP:
            return struct.pack("=QQQQII", 2, 0, 60, 60, 0, 0) + \
                attributes(2), 0
        if what == GETATTR:
            return struct.pack("=QII", 60, 0, 0) + attributes(node), 0
        if what == OPEN:
            return struct.pack("=QII", 1, 0, 0), 0
        return (b"", 0) if what == RELEASE else (b"", ENOSYS)

    def close(self):
        LIBC.umount2(self.dir.encode(), MNT_FORCE | MNT_DETACH)
        os.close(self.fd)
        os.rmdir(self.dir)
