# SPDX-License-Identifier: ISC
"""Act by role: what each process can do once its code is an attacker's.

Nothing is read from a table of ours: build/inject has the live process make the
calls, with the rights and behind the walls that it has at that moment, and the
kernel says what comes of it.  As root the same is done to the processes of Postfix,
OpenSMTPD and Exim that do the work of one of ours; their cells are figures, ours
are a test.

    make confine            builds what this runs, and runs it
    acts.py [--peers]       as root; without, it makes itself root of a namespace
"""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, HERE + "/..", HERE + "/../interop"):
    sys.path.insert(0, folder)
from daemon import ROOT, Daemon, Suite, layers, wait_for  # noqa
from inject import inject  # noqa
from sink import Sink  # noqa

ROLES = ("worker", "dialer", "agent", "resolver", "intake", "control", "queue",
         "signer", "metrics")


def address(port, ip="127.0.0.1"):
    return "@" + (struct.pack("=HHI", socket.AF_INET, socket.htons(port),
                              struct.unpack("=I", socket.inet_aton(ip))[0]) +
                  bytes(8)).hex()


def unix(path):
    return "@" + (struct.pack("=H", socket.AF_UNIX) +
                  path.encode().ljust(108, b"\0")).hex()


def messages():
    """The number, sender and receiver of each row of messages.def."""
    with open(os.path.join(ROOT, "common/messages.def")) as f:
        names = re.findall(r"^MSG\((\w+),", f.read(), re.M)
    return {name: number for number, name in enumerate(names)}


def packet(name, payload):
    return struct.pack("=II", messages()[name], len(payload)).hex() + \
        payload.hex()


class World:
    """What the acts are aimed at: a port and a socket that nobody is to reach, a
    process, a file that is a secret, and one that is the log."""

    def __init__(self, folder):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.path = os.path.join(folder, "other.sock")
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(self.path)
        self.unix.listen(64)
        os.chmod(self.path, 0o777)
        self.file = os.path.join(folder, "world-readable")
        with open(self.file, "w") as f:
            f.write("x\n")
        os.chmod(self.file, 0o644)
        self.victim = subprocess.Popen(["sleep", "1000"])

    def acts(self):
        """Rows: what it is, and the calls; the last one decides."""
        open_ro = "openat -100 \"%s 0 0"
        return [
            ("read a file that all may read", [open_ro % self.file]),
            ("read /etc/passwd", [open_ro % "/etc/passwd"]),
            ("list the processes", [open_ro % "/proc"]),
            ("make a file in /tmp",
             ["openat -100 \"/tmp/postern-act 0x242 0600"]),
            ("make a socket", ["socket 2 1 0"]),
            ("connect to a port of the machine",
             ["socket 2 1 0", "connect $ %s 16" % address(self.port)]),
            ("connect to a port elsewhere, non-blocking",
             ["socket 2 0x801 0", "connect $ %s 16" %
              address(26, "192.0.2.1")]),
            ("send a datagram elsewhere",
             ["socket 2 2 0", "sendto $ @00 1 0 %s 16" %
              address(9, "127.0.0.1")]),
            ("connect to a Unix socket of the machine",
             ["socket 1 1 0", "connect $ %s 110" % unix(self.path)]),
            ("connect by an abstract Unix socket",
             ["socket 1 1 0", "connect $ @01000061 4"]),
            ("listen on a port",
             ["socket 2 1 0", "listen $ 5"]),
            ("read a raw packet", ["socket 17 3 0"]),
            ("signal a process outside", ["kill %d 0" % self.victim.pid]),
            ("signal all that it may", ["kill -1 0"]),
            ("trace a process outside",
             ["ptrace 0x4206 %d 0 0" % self.victim.pid]),
            ("make memory that is code", ["mmap 0 4096 7 0x22 -1 0"]),
            ("become root", ["setuid 0"]),
            ("make a namespace", ["unshare 0x10000000"]),
            ("use io_uring", ["io_uring_setup 8 @" + "00" * 120]),
            ("keep a signal handler", ["rt_sigaction 10 0 0 8"]),
            ("truncate its log", ["ftruncate 2 0"]),
            ("overwrite the log's first octets",
             ["lseek 2 0 0"]),
            ("copy the log's descriptor", ["fcntl 2 1030 0"]),
            # these may be the end of a process that no filter ends
            ("fork, not as a worker is forked", ["clone 17 0 0 0 0"]),
            ("return from a signal that never was", ["rt_sigreturn"]),
            ("execute a program", ["execve \"/bin/true 0 0"]),
        ]


WORDS = {"returns": "YES", "dies": "dies", "exits": "YES"}


def outcome(pid, lines):
    """YES: the last call did it (or is on its way to); dies; or an error."""
    result = inject(pid, *lines)
    last = result[-1]
    if last[0] == "fails":
        # it is under way; or the walls let it through to nobody
        if last[2] in ("EINPROGRESS", "ECONNREFUSED", "EAGAIN"):
            return "YES"
        return last[2]
    return WORDS[last[0]]


# What a role may do of these, and why; of all others it must not.
ALLOWED = {
    ("make a socket", "dialer"), ("make a socket", "resolver"),
    # by UDP the kernel has no rule for ports
    ("send a datagram elsewhere", "resolver"),
}
PORTS = ("connect to a port of the machine",
         "connect to a port elsewhere, non-blocking")


class Ours:
    """A daemon with one process of each role, and a worker in a session."""

    def __init__(self):
        self.sink = Sink()
        self.sink.final = None  # a session stays where it is
        self.d = Daemon('''
transport sink {
	server = "127.0.0.1:%d"
	tls_security_level = none
}
route "*" { transport = sink }
''' % self.sink.port)
        if "unshared" in os.environ.get("POSTERN_ACTS", ""):
            # one user is all that there is in this namespace
            self.d.prefix = ["setpriv",
                             "--bounding-set=-setuid,-setgid,-chown"]

    def __enter__(self):
        self.d.start()
        self.d.send(["a@b.test"], b"Subject: x\n\nx\n", wait="queued")
        assert self.sink.at_dot.wait(20)
        rows = {p["role"]: p for p in self.d.status()}
        self.pids = {role: rows[role]["pid"] for role in ROLES}
        abi = re.search(r"\d+", layers(rows["dialer"])["landlock"])
        self.abi = int(abi.group()) if abi else 0
        return self

    def __exit__(self, *exc):
        self.sink.close()
        self.d.stop(kill=True)
        self.d.clear()


# A process that was taken over speaks for itself alone: each of these is a packet
# on the channel to the master, descriptor 3, from a role that may not say it.
LIES = [
    ("accuse another role to the master", "FAULT",
     struct.pack("=II", 1 << 3, 0), ("queue",)),
    ("have the master tell a password", "SECRET_ASK",
     struct.pack("=IIII", 1, 0, 0, 0), ("queue",)),
    ("have the master run the outlet command", "OUTLET_ASK",
     struct.pack("=II", 1, 0), ("queue",)),
    ("say that a key is good", "KEY_READY", struct.pack("=II", 1, 0),
     ("signer",)),
]


def lie(ours, role, name, payload):
    """Whether the master ends it for that: "ended", or YES."""
    pid = ours.pids[role]
    mark = len(ours.d.log_text())
    inject(pid, "send 3 %s" % packet(name, payload))
    wait_for(lambda: "the %s [%d] died of signal 9" % (role, pid) in
             ours.d.log_text()[mark:], what="the end of the %s" % role)
    return "ended"


def rows_of(world, suite):
    """The table of our roles, which is a test at the same time."""
    table = {}

    def check(ours, act, lines):
        wrong = []
        for role in ROLES:
            got = table[act, role] = outcome(ours.pids[role], lines)
            if act in PORTS and role in ("dialer", "resolver") and \
                    ours.abi < 4:
                continue  # a kernel that has no such rule
            if got == "YES" and (act, role) not in ALLOWED:
                wrong.append(role)
        assert not wrong, wrong

    def check_lie(ours, act, name, payload, honest):
        for role in ROLES[1:]:
            table[act, role] = "its own" if role in honest else lie(
                ours, role, name, payload)

    for act, lines in world.acts():
        with Ours() as ours:
            suite.check("each role: " + act,
                        lambda a=act, c=lines, o=ours: check(o, a, c),
                        once=True)
    for act, *rest in LIES:
        with Ours() as ours:
            suite.check("each role: " + act,
                        lambda a=act, r=rest, o=ours: check_lie(o, a, *r),
                        once=True)
    return table


# The peers.

def holder(ports):
    """The process with a TCP connection that has this end: (ours, theirs)."""
    inodes = set()
    with open("/proc/net/tcp") as f:
        for line in list(f)[1:]:
            words = line.split()
            local, remote = (int(w.split(":")[1], 16) for w in words[1:3])
            if words[3] == "01" and ports(local, remote):
                inodes.add("socket:[%s]" % words[9])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir("/proc/%s/fd" % pid):
                if os.readlink("/proc/%s/fd/%s" % (pid, fd)) in inodes and \
                        int(pid) != os.getpid():
                    return int(pid)
        except OSError:
            continue
    return None


def column(world, find):
    """Each act in a process that find() names, which may be another each time."""
    cells = {}
    for act, lines in world.acts():
        try:
            pid = wait_for(find, 20, "a process of the peer")
            cells[act] = outcome(pid, lines)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as e:
            cells[act] = "?"
            print("   %s: %s" % (act, str(e)[:100]), file=sys.stderr)
            break  # its master waits before it starts another
    return cells


def sender(sink):
    return holder(lambda local, remote: remote == sink.port)


def receiver(place, port, keep):
    """Who has the connection of a client of ours, which stays."""
    pid = holder(lambda local, remote: local == port)
    if pid is None:
        s = socket.create_connection((place, port))
        s.settimeout(30)
        s.recv(512)
        keep.append(s)
        pid = holder(lambda local, remote: local == port)
    return pid


def named(words):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(words, line):
            return int(pid)
    return None


def peers_columns(world):
    from behind_others import Exim, OpenSmtpd
    from listener import free_address
    from mta import unpacked
    from postfix import PORT, Postfix
    from run import PEERS, Peers
    subprocess.run(["sh", PEERS, "mtas"], check=True,
                   stdout=subprocess.DEVNULL)
    columns = {}
    with Peers() as peers:
        peers.root = unpacked(peers)
        sink, keep = Sink(), []
        sink.greeting = None  # whoever sends there waits

        def busy(send):
            """A sending process: another message, where there is none."""
            def try_to_send():
                try:
                    send()
                except (OSError, subprocess.SubprocessError):
                    pass  # the process that sent is what an act ended

            def find():
                pid = sender(sink)
                if pid is None:
                    threading.Thread(target=try_to_send, daemon=True).start()
                    pid = wait_for(lambda: sender(sink), 15, "a delivery")
                return pid
            return find

        with Postfix(peers, "default_transport = smtp:[127.0.0.1]:%d\n"
                     "relayhost =\n" % sink.port) as mta:
            columns["Postfix smtp"] = column(
                world, busy(lambda: mta.send(["a@sink.test"])))
            columns["Postfix smtpd"] = column(
                world, lambda: receiver(mta.address, PORT, keep))
            columns["Postfix qmgr"] = column(
                world, lambda: next((p for p, name in mta.pids().items()
                                     if name == "qmgr"), None))
        where = free_address()
        text = ('listen on %s port %d\naction "out" relay host '
                'smtp://127.0.0.1:%d\nmatch from any for any action "out"\n'
                % (where, PORT, sink.port))
        for name, find in (
                ("OpenSMTPD dispatcher", None),
                ("OpenSMTPD queue", lambda: named(r"smtpd.*-x queue|"
                                                  r"smtpd: queue"))):
            with OpenSmtpd(peers, text) as mta:
                # its end is that of all others: what is not reached is "?"
                columns[name] = column(world, find or busy(
                    lambda: mta.send(where, ["a@sink.test"])))
        text = ("begin routers\nall:\n driver = manualroute\n route_list = * "
                "127.0.0.1 byname\n self = send\n transport = t\n"
                "begin transports\nt:\n driver = smtp\n port = %d\n"
                " hosts_override\n" % sink.port)
        with Exim(peers, text) as mta:
            columns["Exim delivery"] = column(
                world, busy(lambda: mta.send(["a@sink.test"])))
        sink.close()
    return columns


def show(table, columns, names, acts):
    width = max(len(a) for a in acts)
    print("\n%s  %s" % ("act".ljust(width), "  ".join(
        n.ljust(max(len(n), 7)) for n in names)))
    for act in acts:
        print("%s  %s" % (act.ljust(width), "  ".join(
            str(table.get((act, n), columns.get(n, {}).get(act, "-"))).ljust(
                max(len(n), 7)) for n in names)))
    print()


def main():
    if os.geteuid() != 0:
        r = subprocess.run(["unshare", "-Ur", "true"], capture_output=True)
        if r.returncode != 0:
            suite = Suite()
            suite.skip("act by role", "this host grants no user namespace")
            suite.end()
        os.environ["POSTERN_ACTS"] = "unshared"
        os.execvp("unshare", ["unshare", "-Ur", sys.executable, *sys.argv])
    suite = Suite()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        world = World(folder)
        acts = [act for act, _ in world.acts()]
        table = rows_of(world, suite)
        show(table, {}, ROLES, acts + [row[0] for row in LIES])
        if "--peers" in sys.argv:
            columns = peers_columns(world)
            show({}, columns, list(columns), acts)
        world.victim.kill()
    suite.end()


if __name__ == "__main__":
    main()
