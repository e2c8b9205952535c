# SPDX-License-Identifier: ISC
"""Transcripts of failed sessions, and servers that are played again by them."""
import json
import os
import re
import socket
import threading
import time

import auth
import hostile
import hostile_body
import hostile_tls
from harness import ANOTHER, CANNOT, SAME, equal, holds, lacks, patient, table
from sasl import b64, plain
from server import (GREETING, bye, data, drain, drip, hello, line, mail_from,
                    opened, push, rcpt_to, say, trickle, upgrade, whole)

SECRET_TEXT = b"Subject: the subject\r\n\r\nNobody else reads this line.\r\n"


def replayed(function):
    """The same test, each failed delivery of it replayed."""
    def test(t, *args):
        t.replaying = True
        function(t, *args)
        if not t.replays["same"] and not t.replays["cannot"]:
            raise AssertionError("nothing was replayed")
    return test


def fails(row):
    place, event = row[1:]
    return hostile.expected(place, event) not in (
        hostile.GOOD, ("delivered", 299, "299 x"), ("delivered", 250, "250 x"),
        ("delivered", 250, "kept"))


# The whole suite is replayed by run.py --replay; here is a part of it.
PART = ("mail", "starttls", "first of lmtp")
STEPS = [x for x in hostile.ROWS if fails(x) and
         (x[1] in PART or x[2] in ("close", "reset", "dripping", "421",
                                   "line without end", "over 64 KiB"))]


@patient
@table(STEPS)
def h_replay_step(t, place, event):
    replayed(hostile.play)(t, place, event)


@patient
@table(x for x in hostile_body.BODIES if x[0] in (
    "never read", "552 in the middle", "250 too early", "reset",
    "slow but steady", "half a reply, and close"))
def h_replay_body(t, *row):
    replayed(hostile_body.h_body)(t, *row)


@table(x for x in hostile_tls.HANDSHAKES if x[0] in (
    "close", "text", "fatal alert", "ServerHello cut short",
    "record beyond its limit", "ServerHello with the null cipher"))
def h_replay_handshake(t, *row):
    replayed(hostile_tls.h_handshake)(t, *row)


@table(x for x in hostile_tls.CERTIFICATES if x[0] in ("expired",))
def h_replay_is_refused_for_a_certificate(t, *row):
    """The key is the server's: it is said in words, and by the status."""
    replayed(hostile_tls.h_certificate)(t, *row)
    equal(t.replays, {"same": 0, "cannot": 1}, "replays")
    holds("cannot be replayed: .*certificate", t.runs[-1].stderr, "why")


@table((x for x in hostile_body.REPLIES if x[0] in (
    "two, and close", "garbage in the middle", "all sorts")))
def h_replay_lmtp(t, *row):
    replayed(hostile_body.h_lmtp_replies)(t, *row)


# What is in one.

def failed(t, script, *options, to=("b@example.org",), **more):
    """A delivery that fails; its text."""
    server = t.serve(script)
    path = os.path.join(t.folder, "kept")
    run = t.deliver(server, "--transcript", path, *options, to=to, **more)
    t.unharmed(run)
    holds("transcript=", run.stderr, "standard error")
    with open(path, encoding="ascii") as f:
        return f.read(), path


def h_transcript_of_success_is_none(t):
    server = t.serve(whole())
    path = os.path.join(t.folder, "kept")
    t.delivered(t.deliver(server, "--transcript", path))
    equal(os.path.exists(path), False, "a transcript")


def h_transcript_tells_all(t):
    text, _ = failed(t, [opened("PIPELINING"), line("MAIL .*"),
                         line("RCPT .*"), line("RCPT .*"), line("DATA"),
                         trickle(b"250 o\xffk\r\n"),
                         say("550 5.1.1 no", "550 5.1.1 neither"),
                         say("554 nobody"), bye()],
                     to=("b@example.org", "c@example.org"))
    for words in (r"^postern-transcript 1\n", r"\nend\n$",
                  r"\nsummary failed 550 5\.1\.1 rcpt \"550 5\.1\.1 no\"\n",
                  r"\n\d+ < \"220 mail\.test ESMTP\\r\\n\"\n",
                  r"\n\d+ > \"EHLO client\.test\\r\\n\"\n",
                  r"\n\d+ > \"RCPT TO:<c@example\.org>\\r\\n\"\n",
                  r"\n\d+ < \"o\"\n", r"\n\d+ < \"\\xff\"\n",
                  r"\noutcome 1 \"c@example\.org\" failed 550 5\.1\.1 rcpt "
                  r"sure \"550 5\.1\.1 neither\"\n"):
        holds(words, text, "transcript")
    lacks(r"[^\n -~]", text, "transcript")


def h_transcript_repeats_once_what_repeats(t):
    text, _ = failed(t, [opened(), line("MAIL .*"),
                         push(b"250-" + b"x" * 4000 + b"\r\n" +
                              b"250-yes\r\n" * 600),
                         drain()])
    holds(r'4000\*"x"', text, "transcript")
    equal(len(text) < 4000, True, "it is short")


@table((("by DATA", ()), ("by BDAT", ("CHUNKING",)),
        ("in a flight", ("CHUNKING", "PIPELINING")),
        ("in TLS", ("STARTTLS",))))
def h_transcript_has_no_message(t, keywords):
    tls = keywords == ("STARTTLS",)
    steps = [opened(*keywords)] + ([upgrade(), hello()] if tls else [])
    steps += [line("MAIL .*"), say("250 ok")] if "PIPELINING" not in keywords \
        else [line("MAIL .*"), say("250 ok")]
    steps += [line("RCPT .*"), say("250 ok")]
    if "CHUNKING" in keywords:
        def chunk(c):
            n = int(c.read_line().split(" ")[1])
            while len(c.pending) < n:
                c.receive()
            c.pending = c.pending[n:]
            c.write(b"554 5.6.0 not that\r\n")
        steps += [chunk, drain()]
    else:
        steps += data("554 5.6.0 not that") + [drain()]
    text, path = failed(t, steps, *(("--tls", "encrypt") if tls else ()),
                        message=SECRET_TEXT)
    holds(r"\n\d+ body %d\n" % len(SECRET_TEXT), text, "transcript")
    lacks("Nobody else|the subject", text, "transcript")
    equal(t.deliver_raw("replay", path).status, SAME, "replay")


@table((("said by none", "550 5.1.1 no"),
        ("said by the server", "550 5.1.1 %s is your password"),
        ("in base64", "550 5.1.1 %s it was")))
def h_transcript_has_no_secret(t, reply):
    said = {"550 5.1.1 %s it was": b64("\0user\0" + auth.PASSWORD)}.get(
        reply, auth.PASSWORD)
    steps = [auth.inside("AUTH PLAIN"), plain(), mail_from(),
             line("RCPT .*"), say(reply % said if "%" in reply else reply),
             drain()]
    text, path = failed(t, steps, "--tls", "encrypt", "--user", "user",
                        "--password-file", auth.secret(t))
    for form in (auth.PASSWORD, b64(auth.PASSWORD),
                 b64("\0user\0" + auth.PASSWORD)):
        equal(form in text, False, "the secret " + form)
    holds(r'\n\d+ secret "AUTH PLAIN <hidden>"\n', text, "transcript")
    run = t.deliver_raw("replay", path)
    equal(run.status, SAME, "replay")
    holds("login is left out", run.stdout, "what it says")


def h_replay_is_refused_for_a_login(t):
    _, path = failed(t, [auth.inside("AUTH PLAIN"),
                         plain(reply="535 5.7.8 not pencil"), drain()],
                     "--tls", "encrypt", "--user", "user", "--password-file",
                     auth.secret(t))
    run = t.deliver_raw("replay", path)
    equal(run.status, CANNOT, "exit status")
    holds("cannot be replayed: it failed in AUTH", run.stderr, "why")
    with open(path, encoding="ascii") as f:
        lacks("pencil", f.read(), "transcript")


# Replays.

def h_replay_tells_another_outcome(t):
    text, path = failed(t, [opened(), mail_from(), rcpt_to("550 5.1.1 no"),
                            drain()])
    with open(path, "w", encoding="ascii") as f:
        f.write(text.replace('< "550 5.1.1 no', '< "450 4.1.1 later'))
    run = t.deliver_raw("replay", path)
    equal(run.status, ANOTHER, "exit status")
    holds("another outcome", run.stdout, "what it says")


@table((("no transcript", b"Subject: x\n"), ("nothing", b""),
        ("another version", b"postern-transcript 9\nend\n"),
        ("cut short", b"postern-transcript 1\n0 connected\n"),
        ("garbage", b"postern-transcript 1\n0 < \"\\x\"\nend\n"),
        ("too much", b"postern-transcript 1\n0 < 99999999*\"xx\"\nend\n")))
def h_replay_of(t, text):
    path = os.path.join(t.folder, "kept")
    with open(path, "wb") as f:
        f.write(text)
    run = t.deliver_raw("replay", path)
    equal(run.status, 65, "exit status")
    holds("^postern: ", run.stderr, "why")


STRANGER = """postern-transcript 1
protocol smtp
tls none starttls
message 1 AAA %d 7bit "a@example.net"
recipient 1 "b@example.org"
0 address "x"
0 connected
0 < "554 no\\r\\n"
0 closed
outcome 1 "b@example.org" failed 554 \x1b[31m mail sure "\x1b[31mno"
end
"""


def h_replay_shows_no_terminal_what_to_do(t):
    path = os.path.join(t.folder, "kept")
    with open(path, "w") as f:
        f.write(STRANGER % 10)
    run = t.deliver_raw("replay", path)
    equal(run.status, ANOTHER, "exit status")
    holds("then: failed", run.stdout)
    lacks("\x1b", run.stdout + run.stderr)


def h_replay_of_messages_beyond_measure(t):
    path = os.path.join(t.folder, "kept")
    with open(path, "w") as f:
        f.write(STRANGER % 2000000000)
    run = t.deliver_raw("replay", path)
    equal(run.status, 75, "exit status")
    holds("more than a GiB", run.stderr)


def h_replay_for_others_to_connect_to(t):
    """--listen: whoever connects meets the same server."""
    _, path = failed(t, [opened(), line("MAIL .*"),
                         push(b"250-x\r\n251 y\r\n"), drain()])
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    where = "127.0.0.1:%d" % probe.getsockname()[1]
    probe.close()
    runs = []
    server = threading.Thread(target=lambda: runs.append(
        t.deliver_raw("replay", "--listen", where, path)))
    server.start()
    time.sleep(0.5)
    run = t.deliver(where)
    server.join(20)
    t.outcome(run, "deferred", step="mail", reply="protocol error")
    equal(runs[0].status, 0, "exit status of replay")


def h_replay_with_the_times_of_then(t):
    """Not in a hurry, a timer takes as long as it did."""
    _, path = failed(t, [opened(), line("MAIL .*"),
                         drip(b"250-x\r\n" * 4, 0.15)], step=2)
    run = t.deliver_raw("replay", path)
    equal(run.status, SAME, "exit status")
    if run.seconds < 2:
        raise AssertionError("too fast: %.1f s" % run.seconds)
    run = t.deliver_raw("replay", "--fast", path)
    equal(run.status, SAME, "exit status")
    if run.seconds > 2.9:
        raise AssertionError("too slow: %.1f s" % run.seconds)


# The queue's.

ONE = """
transcript_destination_limit = %d
transport one {
	server = "%s"
	tls_security_level = none
	connection_reuse_time_limit = 0
	quit_timeout = 1s
}
route "*" {
	transport = one
}
"""


def ask(t, daemon, *argv):
    return t.deliver_raw(*argv[:1], "-c", daemon.config, *argv[1:])


def names(t, daemon, n=1):
    """Those that are kept, once there are as many, or a session's end later."""
    until = time.monotonic() + 8
    while True:
        rows = ask(t, daemon, "transcript", "--json").stdout.splitlines()
        if len(rows) >= n or time.monotonic() > until:
            return [json.loads(x) for x in rows]
        time.sleep(0.2)


def h_transcripts_of_the_queue(t):
    """Listed, shown by name and by queue id, replayed by either; files that
    survive the daemon."""
    server = t.serve(whole(), [opened(), mail_from(), rcpt_to("550 5.1.1 no"),
                               line("QUIT"), say("221 bye")])
    d = t.daemon(ONE % (10, server.name), store="sqlite")
    t.outcome(d.send(), "delivered")
    run = d.send()
    queue_id = run.outcomes[0]["id"]
    rows = names(t, d)
    equal(len(rows), 1, "transcripts")
    equal(rows[0]["messages"], queue_id, "messages")
    holds("550 5.1.1 no", rows[0]["summary"], "summary")
    holds(rows[0]["transcript"], d.said(), "log")
    folder = os.path.join(d.folder, "spool", "transcripts")
    equal(os.listdir(folder), [rows[0]["transcript"]], "files")
    shown = ask(t, d, "transcript", rows[0]["transcript"]).stdout
    holds(r'(?s)^postern-transcript 1\n.*550 5\.1\.1 no.*\nend\n$', shown,
          "what is shown")
    equal(ask(t, d, "transcript", queue_id).stdout, shown, "by queue id")
    equal(ask(t, d, "transcript", "--last").stdout, shown, "the last")
    equal(ask(t, d, "replay", queue_id).status, SAME, "replay")
    none = ask(t, d, "transcript", "FFFFFF")
    equal(none.status, 69, "exit status of none")
    d.stop()
    equal(os.listdir(folder), [rows[0]["transcript"]], "files at the end")


def h_transcripts_are_bounded(t):
    """A destination that fails all day has its newest few, and no more."""
    fails = [opened(), mail_from(), rcpt_to("550 5.1.1 no"), line("QUIT"),
             say("221 bye")]
    server = t.serve(*[fails] * 9)
    d = t.daemon(ONE % (3, server.name), store="sqlite")
    ids = [d.send().outcomes[0]["id"] for _ in range(9)]
    until = time.monotonic() + 10
    while d.said().count("transcript=") < 9 and time.monotonic() < until:
        time.sleep(0.2)
    rows = names(t, d)
    equal([x["messages"] for x in rows], ids[:-4:-1], "the newest ones")
    folder = os.path.join(d.folder, "spool", "transcripts")
    equal(sorted(os.listdir(folder)),
          sorted(x["transcript"] for x in rows), "files")
    d.stop()


@table([("link",), ("file",)])
def h_transcripts_of_no_folder(t):
    """They are not kept, nor followed elsewhere; mail goes on."""
    fails = [opened(), mail_from(), rcpt_to("550 5.1.1 no"), drain()]
    server = t.serve(fails, whole())
    d = t.daemon(ONE % (10, server.name), store="sqlite")
    d.stop()
    folder = os.path.join(d.folder, "spool", "transcripts")
    elsewhere = os.path.join(t.folder, "elsewhere")
    os.rmdir(folder)
    os.mkdir(elsewhere)
    os.chmod(elsewhere, 0o777)
    if t.name.endswith("[link]"):
        os.symlink(elsewhere, folder)
    else:
        open(folder, "w", encoding="ascii").close()
    d.start()
    t.outcome(d.send(), "failed", code=550)
    t.outcome(d.send(), "delivered")
    d.stop()
    holds("no transcripts are kept", d.said(), "log")
    equal(os.listdir(elsewhere), [], "what stands elsewhere")


def h_transcripts_asked_for_in_vain(t):
    """Names of no transcript, and an end that no daemon has."""
    server = t.serve()
    daemon = t.daemon(ONE % (10, server.name))
    for more, want in (({"wait": True}, 501), ({"name": "x" * 25}, None),
                       ({"name": "x" * 31}, None), ({"name": "x" * 200}, 501),
                       ({"name": "../" * 5, "whole": True}, None)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(os.path.join(daemon.folder, "run", "control"))
            s.send(json.dumps(dict(command="transcripts", **more)).encode())
            answer = json.loads(s.recv(65536))
        equal(answer.get("code"), want, json.dumps(more))
    daemon.stop()


def h_transcript_of_none_wanted(t):
    server = t.serve([opened(), mail_from(), rcpt_to("550 5.1.1 no"),
                      line("QUIT"), say("221 bye")])
    d = t.daemon("transcript_keep_time = 0\n" + ONE % (3, server.name),
                 store="sqlite")
    d.send()
    time.sleep(3)
    equal(names(t, d, 0), [], "transcripts")
    d.stop()


def h_transcript_leaves_out_what_went_well(t):
    """Of a session with many messages: its opening, and those that failed."""
    def step(c):
        c.write(GREETING.encode() + b"\r\n")
        n = 0
        while True:
            text = c.read_line()
            if text == "QUIT":
                c.write(b"221 bye\r\n")
                return
            if text.startswith("RCPT"):
                n += 1
                c.write(b"250 ok\r\n" if n % 5 else b"550 5.1.1 not %d\r\n" % n)
            elif text == "DATA":
                c.write(b"354 go\r\n")
                while c.read_line() != ".":
                    pass
                c.write(b"250 kept\r\n")
            else:
                c.write(b"250 ok\r\n")
    server = t.serve([step, drain()])
    d = t.daemon((ONE % (10, server.name)).replace(
        "connection_reuse_time_limit = 0", "connection_idle_time = 3s\n"
        "\tdestination_concurrency_limit = 1"), store="sqlite")
    for i in range(11):
        d.send(to=("r%d@example.org" % i,))
    equal(len(names(t, d)), 1, "transcripts")
    text = ask(t, d, "transcript", "--last").stdout
    equal(re.findall(r"RCPT TO:<(r\d+)@", text), ["r4", "r9"],
          "recipients in it")
    equal(len(re.findall("EHLO", text)), 1, "EHLO")
    equal(len(re.findall("\noutcome ", text)), 2, "outcomes")
    equal(ask(t, d, "replay", "--last").status, SAME, "replay")
    d.stop()
