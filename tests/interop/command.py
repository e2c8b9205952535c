# SPDX-License-Identifier: ISC
"""The postern command by itself: help, complaints, completion."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

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


def page(name):
    with open(os.path.join(ROOT, name)) as f:
        return f.read()


def section(text, title):
    return re.search(r"^\.Sh %s\n(.*?)^\.Sh " % title, text,
                     re.M | re.S).group(1)


def synopsis():
    """The options of each command, as postern(1) has them."""
    text = page("master/control/postern.1")
    found = {}
    for form in section(text, "SYNOPSIS").split(".Nm postern\n")[1:]:
        names = re.match(r"\.Cm (.*)", form).group(1).split(" | ")
        options = set(re.findall(r"Fl Fl ([a-z-]+)", form))
        if ".Op Fl c Ar file" in form:
            options.add("config")
        for title, head in (("envelope options", "The envelope options of"),
                            ("selection", r"\.Ar selection\nis the same"),
                            ("options of deliver", None)):
            if ".Op Ar " + title not in form:
                continue
            if head is None:
                options |= found["deliver"]
                continue
            part = re.search(head + r"(.*?)^\.El", text,
                             re.M | re.S).group(1)
            options |= {o for line in re.findall(r"^\.It (.*)", part, re.M)
                        for o in re.findall(r"Fl Fl ([a-z-]+)", line)}
        for name in names:
            found[name.split()[0]] = found.get(name.split()[0], set()) | options
    return found


def the_manual_has_what_is_read():
    said = synopsis()
    for command in commands():
        if command == "sendmail":
            continue
        read = {option[2:] for option in options_of(command)}
        assert said.pop(command) == read, (command, read)
    # Those that have no tables.
    assert set(said) == {"help", "complete"}, said
    text = page("master/control/postern.1").split(".Sh DESCRIPTION")[1]
    for command in commands():
        for option in options_of(command):
            assert re.search("Fl Fl " + option[2:] + r"\b", text), \
                (command, option)
    out = call(POSTERND, "-h")[0]
    assert set(re.findall(r"^  -(\w)", out, re.M)) == set(
        re.findall(r"^\.It Fl (\w)\b", page("master/posternd.8"), re.M)), out


def the_manual_has_every_exit_status():
    link = page("master/control/client/daemon_client.h")
    statuses = set(re.findall(r"EXIT_\w+ =\s+(\d+)", link))
    said = section(page("master/control/postern.1"), "EXIT STATUS")
    assert set(re.findall(r"^\.It (\d+)", said, re.M)) == statuses, said
    said = section(page("master/control/postern-sendmail.1"), "EXIT STATUS")
    assert set(re.findall(r"\b\d\d?\b", said)) == {"0", "64", "65", "69",
                                                   "75"}, said


def examples_of_the_manual():
    """The programs of postern-job(5), out of the page: the same as those that are
    installed, and what they end with."""
    blocks = [b.replace("\\e", "\\") for b in re.findall(
        r"^\.Bd -literal\n(.*?)^\.Ed", page("master/intake/postern-job.5"),
        re.M | re.S)]
    c, python = blocks[0], blocks[1]
    source = page("conf/examples/job-client.c")
    assert source.endswith(c) and page("conf/examples/job-client.py").endswith(
        python)
    with tempfile.TemporaryDirectory() as folder:
        program = folder + "/job-client"
        with open(folder + "/client.c", "w") as f:
            f.write(source[:-len(c)] + c)
        with open(folder + "/client.py", "w") as f:
            f.write(python)
        with open(folder + "/message", "w") as f:
            f.write("Subject: x\n\nbody\n")
        call(os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror",
             "-D_GNU_SOURCE", "-o", program, folder + "/client.c")
        job = json.dumps({"from": "a@b", "rcpts": ["c@d"], "wait": "final"})
        for i, (answers, status) in enumerate((
                ([QUEUED, SENT, DONE], 0), ([QUEUED, FAILED, SENT, DONE], 69),
                ([refused(550)], 69), ([refused(451)], 75), ([], 75),
                ([QUEUED], 75))):
            for argv in ((program, job), ("python3", folder + "/client.py",
                                          "a@b", "c@d")):
                path = folder + "/s%d%s" % (i, len(argv))
                answer_one(path, answers)
                at = 1 if len(argv) == 2 else 2
                with open(folder + "/message") as f:
                    r = subprocess.run([*argv[:at], path, *argv[at:]], stdin=f,
                                       capture_output=True, timeout=60,
                                       check=False)
                assert r.returncode == status, (argv, answers, r)
                assert len(r.stdout.splitlines()) == len(answers), r
        for argv, status in (((program, folder + "/none", job), 75),
                             ((program,), 64),
                             (("python3", folder + "/client.py"), 64),
                             (("python3", folder + "/client.py",
                               folder + "/none", "a@b", "c@d"), 75)):
            with open(folder + "/message") as f:
                r = subprocess.run(argv, stdin=f, capture_output=True,
                                   timeout=60, check=False)
            assert r.returncode == status and \
                b"Traceback" not in r.stderr, (argv, r)
        path = folder + "/queued"
        answer_one(path, [QUEUED])
        with open(folder + "/message") as f:
            subprocess.run([program, path, '{"from":"a@b","rcpts":["c@d"]}'],
                           stdin=f, stdout=subprocess.DEVNULL, timeout=60,
                           check=True)


QUEUED = {"status": "queued", "id": "4F1A09"}
SENT = {"id": "4F1A09", "recipient": "c@d", "status": "delivered", "code": 250}
FAILED = {"id": "4F1A09", "recipient": "c@e", "status": "failed", "code": 550}
DONE = {"id": "4F1A09", "done": True}


def refused(code):
    return {"status": "refused", "code": code, "dsn": "5.0.0", "error": "no"}


def answer_one(path, answers):
    """A job socket that gives the one job it gets these answers."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()

    def serve():
        client, _ = listener.accept()
        client.recv(65536)
        for answer in answers:
            client.send(json.dumps(answer, separators=(",", ":")).encode())
        client.close()
        listener.close()
    threading.Thread(target=serve, daemon=True).start()


def one_bad_recipient_refuses_the_job():
    """As postern-job(5) says: nobody of it gets the message."""
    with Sink() as sink, Daemon(CONFIG.replace(
            "127.0.0.1:1", "127.0.0.1:%d" % sink.port)) as d:
        r = d.postern("send", "--json", "--from", "a@b", "good@x.test",
                      "bad@@x", "fine@x.test", message=b"x\n")
        answer = json.loads(r.stdout.splitlines()[0])
        assert r.returncode == 64 and answer["code"] == 501 and \
            answer["dsn"] == "5.5.4", r
        # Also in a later packet than the first.
        r = d.postern("send", "--from", "a@b",
                      *["u%d@x.test" % i for i in range(150)], "bad@@x",
                      message=b"x\n")
        assert r.returncode == 64 and b"refused" in r.stderr, r
        assert d.queued() == [] and sink.mails == []


# Words that are wrong, whoever finds it out, and a part of what is said.
WRONG = (
    ("send --from a@@b c@d.test", "from <a@@b>"),
    ("send --from a@b c@@d", "recipient <c@@d>"),
    ("send --from a@b --ref %s c@d.test" % ("x" * 128), "--ref is longer"),
    ("send --from a@b --notify x c@d.test", "--notify must"),
    ("send --from a@b --hold-until x c@d.test", "--hold-until must"),
    ("send --from a@b --ret x c@d.test", "--ret must"),
    ("send --from a@b --orcpt x c@d.test", "--orcpt must"),
    ("send --from a@b --envid %s c@d.test" % ("x" * 128), "ENVID"),
    ("send --from a@b --wait x c@d.test", "--wait"),
    ("send --from a@b c@\udcff.test", "a recipient is no UTF-8"),
    ("send --socket= --from a@b c@d.test", "--socket is empty"),
    ("deliver --from a@@b c@d.test", "--from a@@b"),
    ("deliver --server 127.0.0.1:1 --notify x --from a@b c@d.test",
     "--notify must"),
    ("deliver --server 127.0.0.1:1 --ca /etc/passwd --from a@b c@d.test",
     "--ca /etc/passwd: it has no certificate"),
    ("verify a@@b", "recipient a@@b"),
    ("explain a@@b", "recipient <a@@b>"),
    ("explain --sender a@@b c@d.test", "sender <a@@b>"),
    ("tail --status x", "no event has such a status"),
    ("tail --id x", "--id must"),
    ("tail --sender=", "--sender is empty"),
    ("tail --sender %s" % ("x" * 600), "--sender is longer"),
    ("tail --destination \udcff", "--destination is no UTF-8"),
    ("pause --transport=", "--transport is empty"),
    ("pause --destination %s" % ("x" * 600), "--destination must"),
    ("queue list --state x", "--state x"),
    ("queue list --sender %s" % ("x" * 600), "--sender is longer"),
    ("queue summary --sender %s" % ("x" * 600), "--sender is longer"),
    ("queue delete --yes --sender %s" % ("x" * 600), "--sender is longer"),
    ("queue show xyz", "xyz"),
    ("top --once --limit x", "--limit"),
    ("doctor --domain a..b", '--domain "a..b"'),
    ("replay --listen x nosuch", "--listen"),
    ("status --socket %(dir)s/run/metrics x", "one word too many"),
    ("queue list --socket %(dir)s/run/job", "this is the job socket: commands "
     "are for the control socket"),
    ("tail --socket %(dir)s/run/job", "this is the job socket"),
    ("send --socket %(dir)s/run/control --from a@b c@d.test",
     "jobs are for the job socket"),
    ("sendmail -N x c@d.test", "-N must"),
    ("sendmail -V %s c@d.test" % ("x" * 128), "ENVID"),
)
# Names that are well-formed, but of nothing.
UNKNOWN = ("send --from a@b --via nosuch c@d.test", "pause --transport nosuch",
           "resume --transport nosuch", "explain --via nosuch a@b.test",
           "queue list --destination nosuch",
           "queue move --to nosuch --recipient *")


def wrong_words_end_with_64():
    with Daemon(CONFIG) as d:
        for line, words in WRONG:
            argv = (line % {"dir": d.dir}).split()
            if argv[0] == "sendmail":
                r = subprocess.run([d.dir + "/postern", "sendmail", "-C",
                                    d.config] + argv[1:], input=b"x\n",
                                   capture_output=True, timeout=60)
            else:
                r = d.postern(*argv, message=b"x\n", timeout=20)
            assert r.returncode == 64, (line, r)
            assert words.encode(errors="surrogateescape") in r.stderr, (line, r)
        for line in UNKNOWN:
            r = d.postern(*line.split(), message=b"x\n", timeout=20)
            assert r.returncode == 69, (line, r)
        assert d.queued() == []


def a_NUL_is_taken_with_binary():
    """Each command names the option that it has."""
    with Daemon(CONFIG) as d:
        for argv in (("send", "--from", "a@b"),
                     ("deliver", "--server", "127.0.0.1:1", "--from", "a@b")):
            r = d.postern(*argv, "c@d.test", message=b"\0\n")
            assert r.returncode == 69, r
            assert b"NUL" in r.stderr and b"; --binary takes it" in r.stderr, r
        r = subprocess.run([d.dir + "/postern", "sendmail", "-C", d.config,
                            "c@d.test"], input=b"\0\n", capture_output=True)
        assert b"; postern send --binary takes it" in r.stderr, r


def a_server_without_an_address_is_the_options():
    """In words of the command alone; nothing of a daemon's log is heard."""
    r = deliver("--server", "nosuch.invalid", "--from", "a@b", "c@d.test")
    assert r.returncode == 75 and r.stderr == b"", r
    assert b"\"--server nosuch.invalid: no such host\"" in r.stdout, r


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


def a_reload_without_the_right_to_it_says_so():
    """The daemon runs: the pid file is not for every user."""
    if os.geteuid() != 0:
        return
    with Daemon(CONFIG) as d:
        r = subprocess.run(["setpriv", "--reuid=61300", "--regid=61300",
                            "--clear-groups", d.dir + "/postern", "reload",
                            "-c", d.config], capture_output=True, timeout=60,
                           check=False)
        assert r.returncode == 75 and b"only root and the user" in r.stderr \
            and b"is posternd running" not in r.stderr, r


def a_named_configuration_is_not_replaced_by_the_default():
    """-c with a wrong name must not lead to the daemon of the default file."""
    with tempfile.TemporaryDirectory() as folder:
        broken = os.path.join(folder, "broken.conf")
        with open(broken, "w") as f:
            f.write("hostname = x\nhostname =\n")
        for name, part in ((os.path.join(folder, "none.conf"),
                            "No such file"), (broken, "broken.conf:2: ")):
            for argv in (("queue", "list"), ("status",), ("top", "--once"),
                         ("flush",), ("pause", "--all"), ("tail",),
                         ("transcript",), ("explain", "a@b.test"),
                         ("send", "--from", "a@b.test", "c@d.test")):
                r = subprocess.run([POSTERN, argv[0], "-c", name, *argv[1:]],
                                   stdin=subprocess.DEVNULL,
                                   capture_output=True, timeout=60,
                                   check=False)
                said = r.stderr.decode()
                assert r.returncode == 75 and part in said and \
                    "/run/postern" not in said and \
                    "the socket is not known" in said, \
                    (argv, r)


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
        ("command: the manual has what is read", the_manual_has_what_is_read),
        ("command: the manual has every exit status",
         the_manual_has_every_exit_status),
        ("command: examples of the manual", examples_of_the_manual),
        ("command: one bad recipient refuses the job",
         one_bad_recipient_refuses_the_job),
        ("command: wrong words end with 64", wrong_words_end_with_64),
        ("command: a NUL is taken with --binary", a_NUL_is_taken_with_binary),
        ("command: a server without an address is the option's",
         a_server_without_an_address_is_the_options),
        ("command: shells complete", shells_complete),
        ("command: what is printed is JSON", what_is_printed_is_json),
        ("command: a reload without the right to it says so",
         a_reload_without_the_right_to_it_says_so),
        ("command: a named configuration is not replaced by the default",
         a_named_configuration_is_not_replaced_by_the_default),
        ("command: any number of recipients", any_number_of_recipients),
        ("command: a Unix socket by our own rights",
         a_unix_socket_by_our_own_rights),
        ("command: options hold any character", options_hold_any_character),
    ])
