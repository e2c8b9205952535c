# SPDX-License-Identifier: ISC
"""The postern command by itself: help, complaints, completion."""
import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import PLAIN_UID, ROOT, Daemon, programs  # noqa
from sink import Sink  # noqa

POSTERN = os.path.join(ROOT, "build/postern")
POSTERND = os.path.join(ROOT, "build/posternd")
CONFIG = """
transport away {
	server = "127.0.0.1:1"
	tls_security_level = none
}
route "*" { transport = away }
"""


def call(*argv, message=b"", status=0):
    r = subprocess.run(argv, input=message, capture_output=True, timeout=60,
                       check=False)
    assert r.returncode == status, (argv, r)
    return r.stdout.decode(), r.stderr.decode()


def commands():
    return call(POSTERN, "complete", "")[0].split()[:-1]  # help is the last


def options_of(command):
    """By the tables that they are read by."""
    if command == "sendmail":
        return set()
    return set(call(POSTERN, "complete", command, "-")[0].split())


def help_goes_to_stdout():
    for word in ("help", "--help", "-h"):
        out, err = call(POSTERN, word)
        assert err == "" and all("\n  %s " % c in out for c in commands()), out
    for word in ("--help", "-h"):
        out, err = call(POSTERND, word)
        assert err == "" and out.startswith("usage: posternd"), out
    for command in commands():
        wants = [("help", command), (command, "--help"), (command, "-h")]
        if command != "sendmail":
            wants.append((command, "word", "--json", "--help"))
        for want in wants:
            out, err = call(POSTERN, *want)
            assert err == "" and out.startswith("usage: postern " + command), \
                (want, out, err)


def a_complaint_names_the_word():
    for argv, words in (
            ((), ["which command"]),
            (("frobnicate",), ['"frobnicate"', "postern help"]),
            (("help", "frobnicate"), ['"frobnicate"']),
            (("send",), ["a recipient is missing"]),
            (("send", "a@b"), ["--from ADDRESS is missing"]),
            (("deliver", "a@b"), ["--from ADDRESS is missing"]),
            (("deliver", "--from", "a@b"), ["a recipient is missing"]),
            (("verify",), ["a recipient is missing"]),
            (("explain",), ["a recipient is missing"]),
            (("explain", "a@b", "c@d"), ["c@d", "too many"]),
            (("queue",), ["what to do is missing"]),
            (("queue", "frobnicate"), ['"frobnicate"']),
            (("queue", "check", "word"), ["word", "too many"]),
            (("queue", "export"), ["the file is missing"]),
            (("replay",), ["--last, a file or an id is missing"]),
            (("replay", "--last", "word"), ["word", "too many"]),
            (("transcript", "a", "b"), ["b: one word too many"]),
            (("pause",), ["--all", "--transport"]),
            (("flush", "--to", "x"), ["--to"]),
            *(((c, "word"), ["word: one word too many", "usage"]) for c in (
                "flush", "pause", "resume", "tail", "top", "status", "reload",
                "upgrade", "doctor")),
            *(((c, "--frob"), ["--frob", "usage"]) for c in commands()
              if c != "sendmail")):
        out, err = call(POSTERN, *argv, status=64)
        assert out == "" and all(w in err for w in words), (argv, err)
    for argv, word in ((("word",), "word: one word too many"),
                       (("--frob",), "--frob"), (("-z",), "z")):
        assert word in call(POSTERND, *argv, status=64)[1], argv


def usage_has_what_is_read():
    """No option is forgotten in the one place or the other."""
    for command in commands():
        out = call(POSTERN, "help", command)[0]
        said = set(re.findall(r"--[a-z-]+", out))
        # --config is -c there.
        read = options_of(command)
        if "--config" in read:
            assert "[-c FILE" in out, out
        assert said == read - {"--config"}, (command, said ^ read)


def shells_complete():
    def complete(*words):
        return call(POSTERN, "complete", *words)[0].split()
    assert complete("q") == ["queue"] and complete("he") == ["help"]
    assert complete("help", "tr") == ["transcript"]
    assert complete("queue", "re") == ["release", "retry"]
    assert complete("queue", "-c", "x", "m") == ["move"]
    assert complete("deliver", "--tls", "") == ["none", "may", "encrypt",
                                                "verify"]
    assert complete("send", "--wait", "f") == ["final"]
    assert complete("send", "--from", "") == []
    assert complete("send", "-f", "--j") == []
    assert "--spool" in complete("queue", "--")
    script = os.path.join(ROOT, "conf/completion/postern.bash")
    out, err = call("bash", "-c", """
        source "$0"
        COMP_WORDS=("$1" deliver --tls-); COMP_CWORD=2; _postern "$1"
        echo "${COMPREPLY[@]}"
        COMP_WORDS=("$2" -); COMP_CWORD=1; _posternd "$2"
        echo "${COMPREPLY[@]}"
        complete -p postern posternd
        """, script, POSTERN, POSTERND)
    lines = out.splitlines()
    assert lines[0] == "--tls-name" and err == "", (out, err)
    assert lines[1] == "-c -d -j -n -q -V -h", lines
    assert len(lines) == 4, lines


def what_is_printed_is_json():
    with Daemon(CONFIG) as d:
        d.send(["a@b.test"], b"Subject: x\n\nbody\n", wait="attempt")
        for argv in (("status",), ("queue", "list"), ("flush",), ("top",),
                     ("pause", "--all"), ("resume", "--all"), ("doctor",),
                     ("explain", "a@b.test"), ("transcript",),
                     ("transcript", "--last"), ("replay", "--last"),
                     ("reload",)):
            r = d.postern(argv[0], "--json", *argv[1:])
            rows = [json.loads(line) for line in r.stdout.splitlines()]
            assert rows and all(isinstance(row, dict) for row in rows), \
                (argv, r)
        r = d.postern("queue", "--json", "cat", "0")
        assert r.returncode == 64 and b"--json is not for it" in r.stderr, r
        d.stop()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            name = os.path.join(folder, "archive")
            r = d.postern("queue", "--json", "check")
            assert json.loads(r.stdout) == {"faults": 0}, r
            r = d.postern("queue", "--json", "export", name)
            assert json.loads(r.stderr) == {"messages": 1, "recipients": 1,
                                            "lost": 0}, r
            r = d.postern("queue", "--json", "import", name)
            assert json.loads(r.stdout)["there"] == 1, r
        d.start()
        old = d.process.pid
        new = json.loads(d.postern("upgrade", "--json").stdout)
        os.kill(new["pid"], signal.SIGTERM)
        assert new["old_pid"] == old != new["pid"], new


def deliver(*argv, message=b"Subject: x\n\nbody\n", prefix=()):
    """postern deliver, by a copy of the programs that any user may execute."""
    postern = os.path.join(programs("build"), "postern")
    return subprocess.run([*prefix, postern, "deliver", "--tls", "none",
                           "--json", *argv], input=message,
                          capture_output=True, timeout=300, check=False)


def any_number_of_recipients():
    rcpts = ["u%d@x.test" % i for i in range(2500)]
    with Sink() as sink:
        sink.keywords.append("SMTPUTF8")
        r = deliver("--server", "127.0.0.1:%d" % sink.port, "--from", "a@b",
                    *rcpts, rcpts[7], "\u00fc@b\u00fccher.test")
        results = [json.loads(line) for line in r.stdout.splitlines()]
        assert r.returncode == 0 and len(results) == 2502, r.stderr
        got = [rcpt for mail in sink.mails for rcpt in mail.rcpts]
        assert set(rcpts) <= set(got) and max(
            len(mail.rcpts) for mail in sink.mails) <= 50, len(got)


def a_unix_socket_by_our_own_rights():
    """Who may connect to it may deliver to it, by whatever name the roles run."""
    root = os.geteuid() == 0
    group = 61399
    cases = [(None, None, 0o600, None, ())]
    if root:
        plain = ("setpriv", "--reuid=%d" % PLAIN_UID, "--regid=%d" % PLAIN_UID)
        cases += [
            (0, 0, 0o600, 0o711, ()),
            (0, 0, 0o600, 0o700, ()),
            (61398, 61398, 0o600, 0o711, ()),
            (0, group, 0o660, 0o711, ()),
            (PLAIN_UID, PLAIN_UID, 0o600, 0o711, plain + ("--clear-groups",)),
            (0, group, 0o660, 0o711, plain + ("--groups=%d" % group,)),
        ]
    for uid, gid, mode, folder_mode, prefix in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with Sink(unix=path) as sink:
                os.chmod(path, mode)
                if uid is not None:
                    os.chown(path, uid, gid)
                    os.chmod(folder, folder_mode)
                r = deliver("--lmtp", "--server", "unix:" + path, "--from",
                            "a@b", "c@d.test", prefix=prefix)
                assert r.returncode == 0, ((uid, mode, prefix), r)
                assert len(sink.mails) == 1
    if root:  # and who may not does not
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)
            path = os.path.join(folder, "socket")
            with Sink(unix=path) as sink:
                os.chmod(path, 0o600)
                r = deliver("--lmtp", "--server", "unix:" + path, "--from",
                            "a@b", "c@d.test",
                            prefix=plain + ("--clear-groups",))
                assert r.returncode == 75 and b"Permission denied" in \
                    r.stdout, r


def options_hold_any_character():
    with tempfile.TemporaryDirectory() as base:
        folder = os.path.join(base, "a b'c\\d\"$HOME #e")
        os.mkdir(folder)
        os.chmod(base, 0o711)
        os.chmod(folder, 0o711)
        path, password = folder + "/so cket", folder + "/pass word"
        with open(password, "w") as f:
            f.write("secret\n")
        os.chmod(password, 0o600)
        for user in ("CORP\\ana", "a'b", 'a"b', "$HOME", "a b", "#", "j\u00f6rg",
                     "\\"):
            with Sink(unix=path) as sink:
                sink.keywords = ["AUTH PLAIN"]
                r = deliver("--lmtp", "--server", "unix:" + path, "--user",
                            user, "--password-file", password, "--auth",
                            "PLAIN", "--from", "a@b", "c@d.test")
                want = base64.b64encode(("\0%s\0secret" % user).encode())
                assert sink.others == [b"AUTH PLAIN " + want + b"\r\n"], \
                    (user, sink.others, r)
            os.unlink(path)
        r = deliver("--server", "127.0.0.1:1", "--user", "a\nb", "--from",
                    "a@b", "c@d.test")
        assert r.returncode == 64 and b"control character" in r.stderr, r
        r = deliver("--server", "127.0.0.1:1", "--user", "${x}", "--from",
                    "a@b", "c@d.test")
        assert r.returncode == 64 and b"--user ${x}: holds ${" in r.stderr, r


def run(suite):
    suite.check_all([
        ("command: help goes to stdout", help_goes_to_stdout),
        ("command: a complaint names the word", a_complaint_names_the_word),
        ("command: usage has what is read", usage_has_what_is_read),
        ("command: shells complete", shells_complete),
        ("command: what is printed is JSON", what_is_printed_is_json),
        ("command: any number of recipients", any_number_of_recipients),
        ("command: a Unix socket by our own rights",
         a_unix_socket_by_our_own_rights),
        ("command: options hold any character", options_hold_any_character),
    ])
