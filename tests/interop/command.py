# SPDX-License-Identifier: ISC
"""The postern command by itself: help, complaints, completion."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon  # noqa

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


def run(suite):
    suite.check_all([
        ("command: help goes to stdout", help_goes_to_stdout),
        ("command: a complaint names the word", a_complaint_names_the_word),
        ("command: usage has what is read", usage_has_what_is_read),
        ("command: shells complete", shells_complete),
        ("command: what is printed is JSON", what_is_printed_is_json),
    ])
