# SPDX-License-Identifier: ISC
"""postern beside Debian's Postfix 3.7, tuned as its documentation says.

Same machine, same run, same sink, and for each side a spool on an ext4 image of
its own, made anew for each round; the sides take turns.  4 KiB messages:

  accept  by 20 clients that keep their connection, each message on disk before
          its yes: `submit` to our job socket, `smtp-source -d -s 20` to smtpd
  drain   of what was accepted, to one relay on loopback in clear, from when the
          sink begins to read (it is stopped before) until it has the last

CPU is that of all processes of a side, by control group.  Needs root; the whole
run has a mount and a network namespace of its own, and Postfix is unpacked, not
installed (tests/interop/peers.sh).  BENCH_MESSAGES (10000), BENCH_ROUNDS (3).
"""
import os
import pwd
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, wait_for  # noqa
from tools import Disk, Group, Sink, build, machine, median, stopwatch  # noqa

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "10000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CLIENTS = 20
SESSIONS = 20  # to the relay; both sides' default
SIZE = 4096
PEERS = os.environ.get("PEERS_HOME", os.path.join(ROOT, "build/peers"))
# As in tests/interop/peers.sh: on every Debian, and nothing runs as them.
POSTFIX_USER, POSTFIX_GROUP = "games", "operator"
IN_NAMESPACE = "POSTERN_BENCH_NAMESPACE"

# What TUNING_README, SCHEDULER_README and CONNECTION_CACHE_README name for much
# mail to one relay: no in-flow delay, an active queue that holds all of it, the
# cache of connections always on and not only on demand, as many smtpd and smtp
# processes as there is work for.  And nothing that we do not do either: no DNS,
# no limits of clients, no restrictions, no tables.
MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {dir}/etc
import_environment = MAIL_CONFIG, LD_LIBRARY_PATH={libraries}
mail_owner = {user}
setgid_group = {group}
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.postern.test
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:{relay}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
enable_original_recipient = no
in_flow_delay = 0
default_process_limit = 100
qmgr_message_active_limit = 200000
qmgr_message_recipient_limit = 200000
initial_destination_concurrency = {sessions}
default_destination_concurrency_limit = {sessions}
smtp_connection_cache_destinations = static:all
smtp_connection_reuse_time_limit = 300s
smtp_connection_cache_time_limit = 10s
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - 100 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - {sessions} smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


def libraries():
    folders = {os.path.dirname(os.path.join(d, f))
               for top in ("usr/lib", "lib")
               for d, _, files in os.walk(os.path.join(PEERS, "root", top))
               for f in files if f.startswith("lib") and ".so" in f}
    return ":".join(sorted(f for f in folders if "/modules" not in f))


class Postfix:
    """One whose mail all goes to that port."""

    def __init__(self, disk, relay):
        self.dir = os.path.join(disk.dir, "postfix")
        self.root = os.path.join(PEERS, "root")
        self.port = 2525
        self.group = Group()
        self.env = dict(os.environ, LD_LIBRARY_PATH=libraries())
        words = {"dir": self.dir, "root": self.root, "relay": relay,
                 "libraries": libraries(), "user": POSTFIX_USER,
                 "group": POSTFIX_GROUP, "sessions": SESSIONS,
                 "port": self.port}
        self.make_folders()
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(self.dir, "etc", name), "w") as f:
                f.write(text.format(**words))

    def make_folders(self):
        uid = pwd.getpwnam(POSTFIX_USER).pw_uid
        for name in ("", "etc", "data", "queue"):
            os.mkdir(os.path.join(self.dir, name))
        os.chown(self.dir + "/data", uid, 0)
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "maildrop", "pid",
                     "private", "public", "saved", "trace"):
            path = os.path.join(self.dir, "queue", name)
            os.mkdir(path, 0o700 if name == "private" else 0o755)
            os.chown(path, 0 if name == "pid" else uid, 0)

    def __enter__(self):
        with open(self.dir + "/out", "wb") as out:
            self.process = subprocess.Popen(
                self.group.prefix() + [
                    self.root + "/usr/lib/postfix/sbin/master", "-c",
                    self.dir + "/etc", "-d"], env=self.env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for(self.listens, 20, "Postfix to listen")
        return self

    def listens(self):
        if self.process.poll() is not None:
            for name in ("out", "log"):
                if os.path.exists(os.path.join(self.dir, name)):
                    with open(os.path.join(self.dir, name)) as f:
                        sys.stderr.write(f.read()[-3000:])
            raise AssertionError("Postfix ended")
        with open("/proc/net/tcp") as f:
            return ":%04X 00000000:0000 0A" % self.port in f.read()

    def holds(self, *folders):
        """Whether messages lie in any of those folders."""
        for folder in folders:
            for _, _, files in os.walk(os.path.join(self.dir, "queue",
                                                    folder)):
                if files:
                    return True
        return False

    def accept(self):
        elapsed = stopwatch()
        subprocess.run(
            [self.root + "/usr/sbin/smtp-source", "-d", "-s", str(CLIENTS),
             "-m", str(MESSAGES), "-l", str(SIZE), "-f", "a@bench.test",
             "-t", "b@sink.test", "127.0.0.1:%d" % self.port], env=self.env,
            check=True, stdout=subprocess.DEVNULL)
        seconds = elapsed()
        wait_for(lambda: not self.holds("incoming"), 60, "the queue manager")
        return seconds

    def is_empty(self):
        return not self.holds("incoming", "active", "deferred")

    def __exit__(self, *exc):
        if exc[0] is not None:
            with open(self.dir + "/log") as f:
                sys.stderr.write(f.read()[-3000:])
        self.process.terminate()
        self.process.wait(30)
        self.group.close()


class Postern(Daemon):
    """The same, ours."""

    def __init__(self, disk, relay, submit):
        super().__init__("""
qmgr_recipient_active_limit = 200000
transport relay {
	server = "127.0.0.1:%d"
	tls_security_level = none
	destination_concurrency_limit = %d
	initial_destination_concurrency = %d
}
route "*" { transport = relay }
""" % (relay, SESSIONS, SESSIONS))
        self.submit = submit
        self.group = Group()
        self.prefix = self.group.prefix()

    def accept(self):
        elapsed = stopwatch()
        subprocess.run(
            [self.submit, self.dir + "/run/job", str(CLIENTS), str(MESSAGES),
             str(SIZE), "b@sink.test"], check=True,
            stdout=subprocess.DEVNULL)
        return elapsed()

    def is_empty(self):
        time.sleep(0.2)
        return sum(self.queue()[-1]["counts"].values()) == 0

    def clear(self):
        super().clear()
        self.group.close()


def one_round(side, sink):
    """Accept and drain; a second and CPU for each."""
    with side:
        sink.pause(True)
        cpu = [side.group.seconds()]
        accept_s = side.accept()
        cpu.append(side.group.seconds())
        elapsed = stopwatch()
        sink.pause(False)
        wait_for(lambda: sink.taken() >= MESSAGES, 300, "the sink")
        drain_s = elapsed()
        wait_for(side.is_empty, 60, "the last outcomes")
        cpu.append(side.group.seconds())
        assert sink.taken() == MESSAGES, "a message came twice"
    return {"accept": MESSAGES / accept_s, "drain": MESSAGES / drain_s,
            "accept cpu": (cpu[1] - cpu[0]) * 1000 / MESSAGES,
            "drain cpu": (cpu[2] - cpu[1]) * 1000 / MESSAGES}


def enter_namespace():
    if os.geteuid() != 0:
        print("skipped: Postfix beside us needs root")
        sys.exit(0)
    if IN_NAMESPACE not in os.environ:
        os.environ[IN_NAMESPACE] = "yes"
        os.execvp("unshare", ["unshare", "-m", "-n", "--propagation",
                              "private", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def table(rows):
    print("%d messages of %d octets, median of %d rounds      postern    "
          "Postfix   ratio" % (MESSAGES, SIZE, ROUNDS))
    for what, key, side, form in (
            ("accept, 20 clients, durable: messages/s", "accept", 0, "%.0f"),
            ("  CPU seconds a 1,000", "accept cpu", 0, "%.3f"),
            ("drain to one relay, DATA: messages/s", "drain", 0, "%.0f"),
            ("  CPU seconds a 1,000", "drain cpu", 0, "%.3f"),
            ("the same, and the sink offers CHUNKING: messages/s", "drain",
             2, "%.0f"),
            ("  CPU seconds a 1,000", "drain cpu", 2, "%.3f")):
        ours, theirs = (median([r[key] for r in rows[i]])
                        for i in (side, side + 1))
        ratio = theirs / ours if "cpu" in key else ours / theirs
        print("%-51s %9s  %9s  %6.1f" % (what, form % ours, form % theirs,
                                          ratio))


def main():
    enter_namespace()
    subprocess.run(["sh", os.path.join(ROOT, "tests/interop/peers.sh"),
                    "fetch"], check=True, stdout=subprocess.DEVNULL)
    rows = [[], [], [], []]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program, submit = build(folder, "sink"), build(folder, "submit")
        machine()
        for i in range(ROUNDS):
            for at, options in ((0, ()), (2, ("-c",))):
                for j in (0, 1):
                    with Disk(4) as disk:
                        sink = Sink(program, *options)
                        try:
                            side = (Postern(disk, sink.port, submit)
                                    if j == 0 else Postfix(disk, sink.port))
                            rows[at + j].append(one_round(side, sink))
                        finally:
                            sink.close()
                    r = rows[at + j][-1]
                    print("round %d, %-8s %-8s accept %6.0f/s %.3f CPU, drain "
                          "%6.0f/s %.3f CPU, load %.1f" % (
                              i + 1, "postern" if j == 0 else "Postfix",
                              "CHUNKING" if options else "DATA", r["accept"],
                              r["accept cpu"], r["drain"], r["drain cpu"],
                              os.getloadavg()[0]))
                    sys.stdout.flush()
    table(rows)


main()
