# SPDX-License-Identifier: ISC
"""Bad input from the caller: one clear message, the right exit status."""
import os
import signal
import subprocess
import time

from harness import (BUILD, DEFERRED, DELIVERED, FAILED, MESSAGE, USAGE, equal,
                     holds, lacks, table)
from server import close, drain, flood, opened, raw, tls, whole


def complaint(t, run, status, words):
    equal(run.status, status, "exit status")
    equal(len(run.stderr.splitlines()), 1, "lines of complaint")
    holds(words, run.stderr, "complaint")
    t.scripts_held()


def h_message_with_nul(t):
    run = t.deliver(t.serve(), message=b"Subject: x\r\n\r\na\x00b\r\n")
    complaint(t, run, FAILED, "octet 15 .*NUL")
    t.outcome(run, "failed", code=0, reply="NUL")


def h_message_with_bare_lf_and_bare_cr(t):
    server = t.serve(whole())
    t.delivered(t.deliver(server, message=b"Subject: x\n\na\rb\nc"))
    equal(server.connections[0].messages,
          [b"Subject: x\r\n\r\na\r\nb\r\nc\r\n"])


def h_message_over_the_limit(t):
    run = t.deliver(t.serve(), message=b"x" * (53 * 1024 * 1024))
    complaint(t, run, FAILED, "octets.*limit")
    t.outcome(run, "failed", code=0, dsn=r"5\.3\.4")


def h_no_recipient(t):
    run = t.deliver(t.serve(), to=())
    equal(run.status, USAGE, "exit status")
    holds("(?s)a recipient is missing\nusage: postern deliver", run.stderr)


def h_no_sender(t):
    run = t.deliver_raw("deliver", "b@example.org")
    equal(run.status, USAGE, "exit status")
    holds("(?s)--from ADDRESS is missing\nusage: postern deliver", run.stderr)


def h_flag_that_is_none(t):
    run = t.deliver(t.serve(), "--frobnicate")
    equal(run.status, USAGE, "exit status")
    holds("frobnicate", run.stderr)
    equal(run.outcomes, [])


def h_values_that_are_none(t):
    for options, words in (
            (("--tls", "maybe"), "tls.*maybe|maybe.*tls|none.*may.*encrypt"),
            (("--timeout", "0"), "--timeout 0"),
            (("--timeout", "soon"), "--timeout soon"),
            (("--step-timeout", "-1"), "--step-timeout -1"),
            (("--tls-name", "a b"), "--tls-name: a b"),
            (("--tls-name", "a\x1b[31mb"), "--tls-name a.x1b"),
            (("--ca", "/a\"b"), "--ca")):
        run = t.deliver(t.serve(), *options)
        complaint(t, run, USAGE, words)
        lacks("[\x00-\x08\x0b-\x1f\x7f]", run.stderr, "complaint")


def in_file(t, name, octets):
    path = os.path.join(t.folder, name)
    with open(path, "wb") as f:
        f.write(octets)
    os.chmod(path, 0o600)
    return path


def h_logins_that_are_none(t):
    """Said in words of options, before anything is sent."""
    good = in_file(t, "password", b"pencil\n")
    user = ("--user", "me")
    for options, words in (
            (user, "--user needs --password-file or --token-file"),
            (user + ("--password-file", ""), '--password-file "": is empty'),
            (user + ("--password-file", in_file(t, "empty", b"")),
             "--password-file .*/empty: it is empty"),
            (user + ("--password-file", in_file(t, "nul", b"a\0b\n")),
             "--password-file .*/nul: it holds a NUL"),
            (user + ("--token-file", t.folder),
             "--token-file .*: it is no regular file"),
            (user + ("--password-file", good, "--token-file", good),
             "one of them is enough"),
            (("--password-file", good), "need --user"),
            (("--user", "", "--password-file", good), '--user "": is empty'),
            (user + ("--password-file", good, "--tls", "none"), "--tls none"),
            (user + ("--password-file", good, "--tls", "verify", "--auth",
                     "NONSENSE"), "--auth: NONSENSE: no SASL mechanism"),
            (user + ("--password-file", good, "--auth", ""),
             '--auth "": is empty')):
        run = t.deliver(t.serve(), *options)
        complaint(t, run, USAGE, words)


def h_login_anywhere(t):
    run = t.deliver(None, "--user", "me", "--password-file",
                    in_file(t, "password", b"pencil\n"))
    complaint(t, run, USAGE, "--user needs --server")


def h_keywords_and_files_that_are_none(t):
    for options, words in (
            (("--without", "NONSENSE"), "--without: NONSENSE: no EHLO keyword"),
            (("--without", "SIZE,,DSN"), "--without: a word is empty"),
            (("--without", ""), '--without "": is empty'),
            (("--ca", "/no/such", "--tls", "verify"), "--ca /no/such: No such"),
            (("--transcript", "/no/such/folder"),
             "--transcript /no/such/folder: No such file"),
            (("--transcript", t.folder), "--transcript .*: Is a directory")):
        run = t.deliver(t.serve(), *options)
        complaint(t, run, USAGE, words)


def h_files_that_are_no_transcript(t):
    for name, words in (
            (in_file(t, "empty", b""), "line 1 must be"),
            (in_file(t, "noise", b"\0\xff" * 999), "line 1 must be"),
            (t.folder, "Is a directory"),
            (os.path.join(t.folder, "nobody"), "No such file")):
        run = t.deliver_raw("replay", name)
        equal(run.status, 65, "exit status")
        holds(words, run.stderr, "complaint")
        equal(len(run.stderr.splitlines()), 1, "lines of complaint")
    run = t.deliver_raw("replay", "--last", "--socket", t.folder + "/nobody")
    equal(run.status, 75, "exit status without a daemon")


def family(pid):
    """All processes below one."""
    found = []
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid),
                  encoding="ascii") as f:
            children = [int(x) for x in f.read().split()]
    except OSError:
        return found
    for child in children:
        found += [child] + family(child)
    return found


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def ends_with_its_family(argv, folder, number, whole_group):
    message = os.path.join(folder, "message")
    with open(message, "wb") as f:
        f.write(MESSAGE)
    with open(message, "rb") as f:
        p = subprocess.Popen([os.path.join(BUILD, "postern")] + argv, stdin=f,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 15
    while len(family(p.pid)) < 7 and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.3)
    below = family(p.pid)
    if len(below) < 7:
        raise AssertionError("only %d processes below" % len(below))
    (os.killpg if whole_group else os.kill)(p.pid, number)
    p.wait(20)
    until = time.monotonic() + 8
    while any(alive(x) for x in below) and time.monotonic() < until:
        time.sleep(0.1)
    equal([x for x in below if alive(x)], [], "processes left")


ENDS = (("Ctrl-C", signal.SIGINT, True), ("INT", signal.SIGINT, False),
        ("TERM", signal.SIGTERM, False), ("KILL", signal.SIGKILL, False))


@table(ENDS)
def h_interrupted_deliver_leaves_nobody(t, number, whole_group):
    server = t.serve([drain()])
    ends_with_its_family(["deliver", "--server", server.name, "--tls", "none",
                          "--from", "a@example.net", "b@example.org"],
                         t.folder, number, whole_group)


@table(ENDS)
def h_interrupted_replay_leaves_nobody(t, number, whole_group):
    kept = os.path.join(t.folder, "kept")
    t.deliver(t.serve([drain()]), "--transcript", kept, step=3)
    ends_with_its_family(["replay", kept], t.folder, number, whole_group)


def h_command_that_is_none(t):
    run = t.deliver_raw("frobnicate")
    equal(run.status, USAGE, "exit status")
    holds('^postern: there is no command "frobnicate": postern help', run.stderr)


def h_servers_that_are_none(t):
    for server in ("localhost:0", "localhost:65536", "localhost:smtp",
                   "unix:", "unix:relative", ":25", "[::1", "a b", ""):
        run = t.deliver(server)
        equal(run.status, USAGE, "exit status for %r" % server)
        equal(run.outcomes, [], "outcomes")
        holds("server", run.stderr, "complaint")


def h_server_without_address(t):
    run = t.deliver("nobody.invalid:25", "--timeout", "5")
    equal(len(run.outcomes), 1, "outcomes")
    holds("^(deferred|failed)$", run.outcomes[0]["status"])
    equal(run.outcomes[0]["step"], "resolve", "step")
    holds("nobody.invalid", run.outcomes[0]["reply"], "reply")


def h_lmtp_without_server(t):
    run = t.deliver(None, "--lmtp")
    complaint(t, run, USAGE, "--lmtp.*--server")


def h_bad_recipient_among_good_ones(t):
    """All or nothing before anything is sent."""
    run = t.deliver(t.serve(), to=("b@example.org", "c@@example.org"))
    complaint(t, run, USAGE, "c@@example.org")
    equal(run.outcomes, [])


def h_recipient_that_is_no_utf8(t):
    run = t.deliver(t.serve(), to=(b"b\xff@example.org",))
    equal(run.status, USAGE, "exit status")
    lacks("\ufffd", run.stderr, "complaint")


def h_server_that_closes_at_once(t):
    server = t.serve([close()])
    run = t.deliver(server)
    t.outcome(run, "deferred", code=0, step="greeting", reply="closed")
    equal(run.status, DEFERRED, "exit status")


def h_server_that_floods(t):
    """64 MiB of what may be a greeting: a protocol error, and soon."""
    server = t.serve([flood(b"220-" + b"x" * 4000 + b"\r\n", 16000)])
    run = t.deliver(server, step=30)
    t.outcome(run, "deferred", code=0, step="greeting",
              reply="protocol error")
    if run.seconds > 20:
        raise AssertionError("%.1f s" % run.seconds)


def h_server_that_stalls_after_each_octet(t):
    """Octets keep coming, but no greeting: the timer is for the whole."""
    def slowly(c):
        try:
            for _ in range(200):
                c.sock.sendall(b"2")
                c.sock.settimeout(0.2)
                try:
                    if c.sock.recv(10) == b"":
                        return
                except TimeoutError:
                    pass
        except OSError:
            pass

    server = t.serve([slowly])
    run = t.deliver(server, step=2)
    t.outcome(run, "deferred", code=0, step="greeting",
              reply="timed out|protocol error")
    if run.seconds > 20:
        raise AssertionError("%.1f s for a timer of 2 s" % run.seconds)


def h_wrong_certificate_says_so_in_words(t):
    server = t.serve([tls("wrong", fails=True)])
    run = t.deliver_raw("deliver", "--server", server.name, "--implicit-tls",
                        "--tls", "verify", "--ca", t.certs.ca, "--tls-name",
                        "mail.test", "--from", "a@example.net",
                        "b@example.org")
    t.scripts_held()
    equal(run.status, DEFERRED, "exit status")
    holds("b@example.org: deferred.*TLS.*name", run.stdout, "words")
    equal(len(run.stdout.splitlines()), 1, "lines")


def h_words_for_people(t):
    server = t.serve(whole())
    run = t.deliver_raw("deliver", "--server", server.name, "--tls", "none",
                        "--from", "a@example.net", "b@example.org",
                        message=MESSAGE)
    t.scripts_held()
    equal(run.status, DELIVERED, "exit status")
    holds("^b@example.org: delivered .*kept as 4711", run.stdout)
    equal(run.stderr, "", "standard error")


def h_terminal_codes_of_a_server_are_escaped(t):
    server = t.serve([raw(b"554 \x1b]0;owned\x07\x1b[2J no\r\n"), drain()])
    run = t.deliver_raw("deliver", "--server", server.name, "--verbose",
                        "--from", "a@example.net", "b@example.org")
    equal(run.status, FAILED, "exit status")
    lacks("[\x00-\x08\x0b-\x1f\x7f]", run.stdout + run.stderr, "output")


def h_verbose_shows_no_body(t):
    server = t.serve(whole())
    run = t.deliver(server, message=b"Subject: s3cret\r\n\r\ns3cret\r\n")
    t.delivered(run)
    lacks("s3cret", run.stderr, "dialogue")
    holds("> MAIL FROM:<a@example.net>", run.stderr, "dialogue")
    holds("< 250 2.0.0 kept as 4711", run.stderr, "dialogue")


def h_no_process_is_left_but_the_worker_that_met_it(t):
    """Garbage ends one session; the daemon goes on with the next."""
    server = t.serve([raw(b"\x16\x03\x01garbage\r\n"), drain()])
    good = t.serve(whole())
    daemon = t.daemon("".join(
        'transport %s {\n\tserver = "%s"\n\ttls_security_level = none\n}\n' % x
        for x in (("bad", server.name), ("good", good.name))) +
        'route "*" {\n\ttransport = good\n}\n')
    t.outcome(daemon.send("--via", "bad"), "deferred", code=0,
              reply="protocol error")
    t.outcome(daemon.send("--via", "good"), "delivered", code=250)
    lacks("restart|died|is gone|killed", daemon.said(), "log")
    daemon.stop()
    t.scripts_held()


def h_opened_and_left(t):
    """Whether MAIL was on its way by then is a matter of luck."""
    server = t.serve([opened(), close()])
    run = t.deliver(server)
    t.outcome(run, "deferred", code=0, step="mail", reply="closed|lost")
