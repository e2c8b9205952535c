# SPDX-License-Identifier: ISC
"""What is easily written wrong in a configuration, and what it is answered.

Each row is a mistake as people make it, and the words that the answer of posternd
-n or postern doctor must have: it names the file, the line, what is wrong and what to
write.  All answers go to build/mistakes.txt.
"""
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import ROOT, Daemon, wait_for  # noqa
from sink import Sink  # noqa

RELAY = 'transport relay { server = "192.0.2.1"%s }\n'
LISTENER = 'listener in { listen = "127.0.0.1:10025"%s }\n'

# A mistake; the lines of the configuration, after eleven of Daemon; words of the
# answer; who answers.
N, DOCTOR = "posternd -n", "postern doctor"
MISTAKES = [
    ("a parameter misspelt", "minimal_backof_time = 5m",
     ("did you mean minimal_backoff_time?",), N),
    ("a parameter of Postfix that has another name here",
     "relayhost = mail.example.org", ("relayhost is no parameter",), N),
    ("a parameter of no program", "colour = blue",
     ("colour is no parameter", "postern.conf(5)"), N),
    ("a transport's parameter outside of a block", "tls_security_level = may",
     ("belongs into a block transport",), N),
    ("a global parameter in a block",
     "transport t { hostname = a.example.org }",
     ("belongs outside of every block",), N),
    ("a listener's parameter outside", "clients = 192.0.2.0/24",
     ("belongs into a block listener",), N),
    ("a block that there is not", "domain example.org { }",
     ("domain is no block; there are transport",), N),
    ("a block without its name", "transport { }",
     ("write its name before the brace",), N),
    ("a block that is not closed", "transport t {\n\tport = 26",
     ("this block is not closed",), N),
    ("a brace too many", "}", ("closes no block",), N),
    ("a block in a block", "transport t {\nroute \"*\" { transport = t }\n}",
     ("a block cannot stand in another",), N),
    ("a name and no value", "log_format", ("the name stands alone",), N),
    ("a value that is missing", "log_format =",
     ("there is no value after =",), N),
    ("a string that does not end", 'hostname = "a.example.org',
     ("close its quotation mark",), N),
    ("a comment with //", "// here", ("a comment begins with #",), N),
    ("a variable of the environment", 'hostname = "${HOST}"',
     ("${ is not replaced here",), N),
    ("a parameter set twice", "log = stderr\nlog = syslog",
     ("already set on line 12",), N),
    ("a transport defined twice", RELAY % "" * 2,
     ("transport relay is already defined on line 12",), N),
    ("a time in two words", "maximal_backoff_time = 1 week",
     ("the name stands alone; write NAME = VALUE",), N),
    ("a time in words", "maximal_backoff_time = soon",
     ("maximal_backoff_time: soon", "s, m, h or d"), N),
    ("a size with the wrong unit", "message_size_limit = 10GB",
     ("message_size_limit: ", "10GB"), N),
    ("a number out of its range", "process_limit = 0",
     ("process_limit: 0 is out of range; give 1 to 10000",), N),
    ("yes and no in other words", RELAY % "\ntls_wrappermode = on",
     ("tls_wrappermode: on", "yes"), N),
    ("a word that is none of its set", RELAY % "\ntls_security_level = dane",
     ("tls_security_level: dane", "none|may|encrypt|verify"), N),
    ("a mode that is no mode", "job_socket_mode = rw",
     ("job_socket_mode: rw", "mode"), N),
    ("a path that is not absolute", "pid_file = posternd.pid",
     ("pid_file: must be an absolute path",), N),
    ("a port that cannot be", 'transport t { server = "mail.example.org:99999" }',
     ("mail.example.org:99999",), N),
    ("a socket's path without unix:",
     'transport t { server = "/run/dovecot/lmtp" }',
     ("server: /run/dovecot/lmtp: a path is written unix:/PATH",), N),
    ("a route to a transport that there is not",
     'route "*" { transport = rleay }', ("rleay",), N),
    ("a domain that is none", 'route "exa mple.org" { transport = smtp }',
     ("exa mple.org",), N),
    ("a name server that is a name", "name_servers = dns.example.org",
     ("no IP address", "ADDRESS@PORT"), N),
    ("an included file that is missing", "include = extra.conf",
     ("include: ", "extra.conf: No such file or directory"), N),
    ("a user that there is not", "outcome_command = /bin/true\noutcome_command_user = nobdoy",
     ('outcome_command_user: there is no user "nobdoy"',), N),
    ("hostname is localhost", "hostname = localhost",
     ("hostname is localhost",), N),
    ("mail is returned before anybody is told that it is late",
     "delay_warning_time = 30d", ("delay_warning_time is not below",), N),
    ("port 465 without TLS from the first octet",
     'transport t { server = "mail.example.org:465" }',
     ("port 465 begins with TLS", "tls_wrappermode = yes"), N),
    ("port 587 with TLS from the first octet",
     'transport t { server = "mail.example.org:587"\ntls_wrappermode = yes }',
     ("port 587 begins in clear", "tls_wrappermode = no"), N),
    ("a transport that leads to our own listener",
     LISTENER % "" + 'transport t { server = "localhost:10025" }',
     ("our own listener in", "name the server"), N),
    ("all mail waits", 'route "*" { transport = none }',
     ("route * has transport = none", "name a transport"), N),
    ("a socket's group that its mode keeps out",
     "job_socket_group = root\njob_socket_mode = 0600",
     ("the group may not connect", "job_socket_mode = 0660"), N),
    ("everybody may read and remove mail", "control_socket_mode = 0666",
     ("control_socket_mode is 0666", "control_socket_mode = 0600"), DOCTOR),
    ("everybody may send", "job_socket_mode = 0666",
     ("every local user may send", "job_users"), DOCTOR),
    ("an open relay", LISTENER % "\nclients = everybody",
     ("an open relay", "name addresses and networks"), DOCTOR),
    ("a network as wide as the world", LISTENER % "\nclients = 0.0.0.0/0",
     ("clients: 0.0.0.0/0: so wide a network makes an open relay",), N),
    ("a server that cannot be reached", "%(closed)s",
     ("cannot connect to 127.0.0.1", "mend its name"), DOCTOR),
    ("a configuration that others may change", "",
     ("others may change the configuration", "chmod go-w"), DOCTOR),
]


def answer_n(d):
    r = subprocess.run([d.dir + "/posternd", "-n", "-c", d.config],
                       capture_output=True)
    return r.stderr.decode().splitlines()


def answer_doctor(d):
    rows = [json.loads(line) for line in
            d.postern("doctor", "--json").stdout.splitlines()]
    return ["%s: %s%s" % (row["check"], row["what"],
                          "; " + row["cure"] if row.get("cure") else "")
            for row in rows if row.get("level") in ("fault", "warning")]


def one(row, closed):
    """The answer's line that has all the words."""
    _, body, words, who = row
    d = Daemon()
    try:
        text = open(d.config).read()
        if body == "hostname = localhost":
            text = "\n" + "".join(text.splitlines(True)[1:])
        body %= {"closed": 'transport t { server = "127.0.0.1:%d"\n'
                 'tls_security_level = none }' % closed}
        with open(d.config, "w") as f:
            f.write(text + body + "\n")
        if row[0].startswith("a configuration that others"):
            os.chmod(d.config, 0o666)
        lines = (answer_n if who == N else answer_doctor)(d)
        for line in lines:
            if (who == DOCTOR or line.startswith(d.config + ":1")) and \
                    all(word in line for word in words):
                return line.replace(d.dir, "/etc/postern")
        raise AssertionError("%s: no line with %r in:\n%s" % (
            row[0], words, "\n".join(lines)))
    finally:
        d.clear()


def every_mistake_is_answered():
    bad = []
    with socket.socket() as closed, \
            open(os.path.join(ROOT, "build/mistakes.txt"), "w") as out:
        closed.bind(("127.0.0.1", 0))
        for number, row in enumerate(MISTAKES, 1):
            try:
                answer = one(row, closed.getsockname()[1])
            except AssertionError as e:
                bad.append(str(e))
                continue
            shown = " ".join(row[1].split()) % {
                "closed": "transport t { server = a closed port }"} or "-"
            out.write("%d. %s\n   %s\n   %s: %s\n" % (
                number, row[0], shown, row[3], answer))
    assert not bad, "\n".join(bad)
    assert len(MISTAKES) >= 40


def included_files_are_part_of_it():
    """At the start, at a reload, for the roles, the commands and the doctor."""
    with Sink() as sink:
        d = Daemon('include = "conf.d"\n')
        folder = os.path.join(d.dir, "conf.d")
        part = os.path.join(folder, "10-relay.conf")
        os.mkdir(folder)
        with open(part, "w") as f:
            f.write('\ncontrol_socket = "$run_directory/ctl"\n'
                    'transport relay { server = "127.0.0.1:%d"\n'
                    'tls_security_level = none }\n'
                    'route "*" { transport = relay }\n' % sink.port)
        with d:
            assert len(d.status()) == d.roles + 1, d.status()
            answers = d.send(["a@b.test"], b"Subject: s\n\n", wait="final")
            assert answers[-1]["status"] == "delivered", answers
            # A reload reads it again, and names it where it is wrong
            with open(part, "a") as f:
                f.write("route c.test { transport = nosuch }\n")
            d.process.send_signal(signal.SIGHUP)
            wait_for(lambda: part + ":6: transport: " in d.log_text(),
                     what="the file and its line in the log")
            os.unlink(part)
            with open(os.path.join(folder, "20.conf"), "w") as f:
                f.write('control_socket = "$run_directory/ctl"\n'
                        'route "*" { transport = none }\n')
            os.chmod(f.name, 0o664)
            r = d.postern("reload")
            assert r.returncode == 0, r
            wait_for(lambda: ", generation 2" in d.log_text(),
                     what="the reload")
            lines = answer_doctor(d)
            assert any(f.name + " has mode 0664" in x for x in lines), lines
            assert any(f.name + ":2: route *" in x for x in lines), lines
            r = subprocess.run([d.dir + "/posternd", "-d", "--changed", "-c",
                                d.config], capture_output=True)
            assert b"/ctl" in r.stdout and b"include" not in r.stdout, r


def run(suite):
    suite.check("included files are part of the configuration",
                included_files_are_part_of_it)
    suite.check("every mistake is answered, and in its line",
                every_mistake_is_answered)
