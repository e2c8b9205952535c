# SPDX-License-Identifier: ISC
"""S-030 to S-032, S-054 and S-144 to S-154: the login, and servers that lie
in it."""
import glob
import json
import os
import re
import time

from harness import (MESSAGE, Jobs, equal, holds, lacks, patient, table)
from sasl import Scram, b64, plain, tls_with_keys, unb64
from server import (GREETING, ScriptError, bye, close, cut, data, drain, eof,
                    flood, hello, line, opened, pause, quiet, raw, say, tls,
                    transaction, upgrade)

STRICT = ("--tls", "encrypt")
PASSWORD = "pencil"
SCRAMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
          "SCRAM-SHA-1")


def secret(t, text=PASSWORD, name="secret", mode=0o600):
    path = os.path.join(t.folder, name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    os.chmod(path, mode)
    return path


def inside(*keywords, most=None):
    """Greeting to the EHLO inside TLS that offers these."""
    return [opened("STARTTLS"), line("STARTTLS"), say("220 go"),
            tls_with_keys(most=most), hello(*keywords)]


def login(t, server, *options, text=PASSWORD, user="user", token=False, **more):
    kind = "--token-file" if token else "--password-file"
    tls_options = () if "--tls" in options or "--implicit-tls" in options \
        else STRICT
    run = t.deliver(server, *tls_options, "--user", user, kind,
                    secret(t, text), *options, **more)
    hidden(t, run, text)
    return run


def hidden(t, run, text):
    """Nothing that anybody can read bears the secret (S-154)."""
    t.unharmed(run)
    if isinstance(text, bytes) or len(text) < 4:
        return
    for form in (text.rstrip("\r\n"), b64(text.rstrip("\r\n"))):
        for said in (run.stdout, run.stderr):
            if form in said:
                raise AssertionError("the secret shows in %r" % said)


def refused(t, steps, *options, code=None, reply=None, dsn=None, **more):
    """A login that fails as these steps have it: deferred, at step auth."""
    server = t.serve(steps)
    run = login(t, server, *options, **more)
    t.scripts_held()
    t.outcome(run, "deferred", step="auth", code=code, reply=reply, dsn=dsn)
    lacks("MAIL", " ".join(server.connections[0].lines), "commands")
    return run


def went_in(t, steps, *options, **more):
    server = t.serve([steps, transaction(), bye()])
    run = login(t, server, *options, **more)
    t.delivered(run)
    return run, server.connections[0]


def s_030_auth_keyword_in_any_case(t):
    went_in(t, [inside("auth plain"), plain()])


def s_031_legacy_form_and_several_lines(t):
    went_in(t, [inside("AUTH=LOGIN", "AUTH X-NEW", "AUTH PLAIN"), plain()])
    went_in(t, [inside("AUTH=LOGIN"), login_steps()])


def s_032_sasl_ir_changes_no_login(t):
    for words in (("AUTH PLAIN",), ("AUTH PLAIN", "SASL-IR")):
        _, c = went_in(t, [inside(*words), plain()])
        equal(c.lines[3], "AUTH PLAIN " + b64("\0user\0pencil"), "line")


def s_054_a_login_only_inside_tls(t):
    """AUTH is offered before and behind STARTTLS: one login, inside."""
    _, c = went_in(t, [opened("AUTH PLAIN", "STARTTLS"), upgrade(),
                       hello("AUTH PLAIN"), plain()])
    lacks("AUTH", c.clear.decode("latin-1"), "in clear")
    equal(sum(x.startswith("AUTH") for x in c.lines), 1, "logins")


def s_144_plain_in_one_line(t):
    run, _ = went_in(t, [inside("AUTH PLAIN"), plain()])
    holds("> AUTH PLAIN <hidden>", run.stderr, "dialogue")


def s_144_plain_of_512_octets(t):
    """AUTH PLAIN, 496 octets of base64 and CRLF are 509; four more would not
    fit."""
    text = "x" * (372 - 6)
    _, c = went_in(t, [inside("AUTH PLAIN"), plain(password=text)], text=text)
    equal(len(c.lines[3]) + 2, 509, "octets of the line")


def by_challenge(text, user="user"):
    return [line("AUTH PLAIN"), say("334 "),
            line(b64("\0%s\0%s" % (user, text)).replace("+", "[+]")),
            say("235 2.7.0 in")]


def s_145_plain_that_does_not_fit(t):
    for n in (372 - 6 + 1, 8192):
        text = "x" * n
        run, _ = went_in(t, [inside("AUTH PLAIN"), by_challenge(text)],
                         text=text)
        holds("> AUTH PLAIN\n", run.stderr, "dialogue")
        holds("< 334 <hidden>\n> <hidden>\n", run.stderr, "dialogue")


def s_145_a_password_beyond_any_line(t):
    server = t.serve()
    run = login(t, server, text="x" * 8193)
    holds("too long", run.stderr, "standard error")
    t.scripts_held()


CONFIG = """
transport one {
	server = "%s"
	tls_security_level = encrypt
	connection_idle_time = 0
	auth_user = "user"
	%s
}
route "*" {
	transport = one
}
"""


def daemon(t, server, more, before=""):
    return t.daemon(before + CONFIG % (server.name, more))


def s_146_authzid_before_the_first_nul(t):
    server = t.serve([inside("AUTH PLAIN"), plain(authzid="boss"),
                      transaction(), bye()])
    d = daemon(t, server, 'auth_authzid = "boss"\n'
               'auth_password_file = "%s"' % secret(t))
    t.delivered(d.send())


def s_147_235_is_authenticated(t):
    went_in(t, [inside("AUTH PLAIN"), plain()])


def s_147_535(t):
    run = refused(t, [inside("AUTH PLAIN"), plain(reply="535 5.7.8 not you"),
                      bye()], code=535, reply="535 5.7.8 not you",
                  dsn=r"4\.7\.8")
    holds("login as user at .* failed: 535 5.7.8 not you: its mail is deferred",
          run.stderr, "log")
    holds("auth_password_file", run.stderr, "advice")


def s_147_454(t):
    refused(t, [inside("AUTH PLAIN"), plain(reply="454 4.7.0 not now"),
                bye()], code=454, reply="not now", dsn=r"4\.7\.0")


@table([("432", "432 4.7.12 change it", 432), ("454", "454 later", 454),
        ("530", "530 5.7.0 first this", 530), ("550", "550 5.7.1 no", 550),
        ("535 without more", "535 no", 535), ("421", "421 4.3.2 bye", 421),
        ("599", "599 what", 599), ("499", "499 what", 499)])
def s_147_other_codes(t, reply, code):
    """None of them fails the mail."""
    refused(t, [inside("AUTH PLAIN"), plain(reply=reply),
                drain() if code == 421 else bye()], code=code)


def s_148_plain_and_a_334(t):
    refused(t, [inside("AUTH PLAIN"), plain(reply="334 bW9yZQ=="), line(r"\*"),
                say("501 5.7.0 cancelled"), bye()], code=501,
            reply="more than there is to say.*501 5.7.0 cancelled")


ERROR = b64('{"status":"invalid_token","scope":"mail"}')


def oauth(reply, host="127.0.0.1", token="tok3n-of-ours"):
    return [line("AUTH OAUTHBEARER " + b64(
        "n,a=user,\1host=%s\1auth=Bearer %s\1\1" % (host, token))
        .replace("+", "[+]")), say(reply)]


def xoauth(reply, token="tok3n-of-ours"):
    return [line("AUTH XOAUTH2 " + b64(
        "user=user\1auth=Bearer %s\1\1" % token).replace("+", "[+]")),
        say(reply)]


def s_149_oauthbearer(t):
    went_in(t, [inside("AUTH XOAUTH2 OAUTHBEARER PLAIN"), oauth("235 in")],
            text="tok3n-of-ours\n", token=True)


def s_149_xoauth2(t):
    went_in(t, [inside("AUTH XOAUTH2 PLAIN"), xoauth("235 in")],
            text="tok3n-of-ours", token=True)


def s_149_oauthbearer_and_334(t):
    refused(t, [inside("AUTH OAUTHBEARER"), oauth("334 " + ERROR),
                line("AQ=="), say("535 5.7.8 bad token"), bye()], code=535,
            reply="535 5.7.8 bad token", text="tok3n-of-ours", token=True)


@table([("oauthbearer", "OAUTHBEARER", oauth), ("xoauth2", "XOAUTH2", xoauth)])
def s_152_bad_base64_for_a_token(t, name, said):
    """RFC 4954, 4: none that cannot be decoded is answered."""
    refused(t, [inside("AUTH " + name), said("334 {}"), line(r"\*"),
                say("501 5.5.2 so"), bye()], code=501, reply="not base64",
            text="tok3n-of-ours", token=True)


def s_149_xoauth2_and_334(t):
    refused(t, [inside("AUTH XOAUTH2"), xoauth("334 " + ERROR),
                line(""), say("535 5.7.8 bad token"), bye()], code=535,
            reply="535 5.7.8 bad token", text="tok3n-of-ours", token=True)


def login_steps(reply="235 2.7.0 in", first="VXNlcm5hbWU6",
                second="UGFzc3dvcmQ6"):
    return [line("AUTH LOGIN"), say("334 " + first), line(b64("user")),
            say("334 " + second), line(b64(PASSWORD)), say(reply)]


def s_150_login(t):
    went_in(t, [inside("AUTH LOGIN"), login_steps()])


def s_150_login_whatever_it_is_asked(t):
    went_in(t, [inside("AUTH LOGIN"),
                login_steps(first="tell me!", second="")])


def s_150_login_and_a_third_334(t):
    refused(t, [inside("AUTH LOGIN"), login_steps("334 bW9yZQ=="), line(r"\*"),
                say("501 5.7.0 cancelled"), bye()], code=501,
            reply="more than there is to say")


def s_151_nul_in_the_password(t):
    server = t.serve()
    run = login(t, server, text=b"pen\0cil")
    holds("holds a NUL", run.stderr, "standard error")
    equal(len(server.connections), 0, "connections")
    if run.status == 0:
        raise AssertionError("delivered")


@table([(x, x) for x in ("--password-file", "--token-file")])
def s_151_no_such_file(t, option):
    server = t.serve()
    run = t.deliver(server, *STRICT, "--user", "user", option, "/no/such")
    equal(run.status, 64, "exit status")
    holds("%s /no/such: No such file" % option, run.stderr, "standard error")


@table([("newline", "us\ner"), ("tab", "us\ter"), ("delete", "us\x7fer")])
def s_151_control_in_the_user(t, user):
    server = t.serve()
    run = login(t, server, user=user)
    equal(run.status, 64, "exit status")
    equal(len(server.connections), 0, "connections")


def s_151_nul_in_a_token_of_a_command(t):
    server = t.serve()
    d = daemon(t, server, command(t, r"printf 'tok\0en\n'"))
    run = d.send()
    t.outcome(run, "deferred", step="auth", reply="holds a NUL")
    t.scripts_held()


@table([(x, x) for x in ("!!!", "abc", "====", "QQ==QQ==", "\u00e4\u00f6",
                         "Y Q==")])
def s_152_bad_base64(t, text):
    refused(t, [inside("AUTH CRAM-MD5"), line("AUTH CRAM-MD5"),
                say("334 " + text), line(r"\*"), say("501 5.5.2 so"), bye()],
            code=501, reply="not base64")


@table([(x, x) for x in SCRAMS])
def s_152_bad_base64_in_scram(t, name):
    refused(t, [inside("AUTH " + name), line("AUTH %s \\S+" % name),
                say("334 r=a,s=b,i=4096"), line(r"\*"), say("501 so"), bye()],
            code=501, reply="not base64")


def s_153_mechanism_not_offered(t):
    refused(t, [inside("AUTH CRAM-MD5 LOGIN"), bye()], "--auth", "PLAIN",
            reply="no mechanism", dsn=r"4\.7\.4", code=0)


def s_153_no_auth_at_all(t):
    refused(t, [inside("SIZE 100"), bye()], reply="offers no AUTH",
            dsn=r"4\.7\.4")


def s_153_without_auth(t):
    refused(t, [inside("AUTH PLAIN"), bye()], "--without", "AUTH",
            reply="offers no AUTH")


def s_153_one_login_a_session(t):
    server = t.serve([inside("AUTH PLAIN", "PIPELINING"), plain(),
                      eternal()])
    d = t.daemon((CONFIG % (server.name, 'auth_password_file = "%s"' %
                            secret(t))).replace("connection_idle_time = 0",
                                                "connection_idle_time = 5s"))
    jobs = Jobs(d.job)
    for _ in range(3):
        jobs.send(MESSAGE, "b@example.org")
        equal(jobs.outcome()["status"], "delivered", "status")
    lines = server.connections[0].lines
    equal(sum(x.startswith("AUTH") for x in lines), 1, "logins")
    equal(sum(x.startswith("MAIL") for x in lines), 3, "transactions")


def eternal():
    """Transactions until QUIT."""
    def step(c):
        while True:
            got = c.read_line()
            if got == "QUIT":
                c.write(b"221 bye\r\n")
                return
            if got == "DATA":
                c.write(b"354 go\r\n")
                while c.read_line() != ".":
                    pass
            c.write(b"250 2.0.0 ok\r\n")
    return step


MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")


@table([(x, x) for x in MECHANISMS])
def s_154_none_in_clear(t, name):
    for options in (("--tls", "may"), ("--tls", "may", "--auth", name)):
        server = t.serve([opened("AUTH " + name), bye()])
        run = login(t, server, *options)
        t.scripts_held()
        t.outcome(run, "deferred", step="auth", reply="nothing is said in clear",
                  dsn=r"4\.7\.11")
        lacks("AUTH", server.connections[0].clear.decode("latin-1"))
        t.servers.remove(server)


def s_154_no_token_in_clear(t):
    for name in ("OAUTHBEARER", "XOAUTH2"):
        server = t.serve([opened("AUTH " + name), bye()])
        run = login(t, server, "--tls", "may", text="tok3n", token=True)
        t.scripts_held()
        t.outcome(run, "deferred", step="auth", reply="in clear")
        t.servers.remove(server)


def s_154_not_after_a_failed_handshake(t):
    """Level may: the second connection goes without TLS, and no login."""
    server = t.serve([opened("STARTTLS", "AUTH PLAIN"), line("STARTTLS"),
                      say("454 no"), bye()],
                     [opened("STARTTLS", "AUTH PLAIN"), bye()])
    run = login(t, server, "--tls", "may")
    t.scripts_held()
    t.outcome(run, "deferred", step="auth", reply="in clear")


def s_154_in_clear_where_told_so(t):
    server = t.serve([opened("AUTH PLAIN"), plain(), transaction(), bye()])
    d = t.daemon((CONFIG % (server.name, 'auth_password_file = "%s"\n'
                            'auth_in_clear = yes' % secret(t)))
                 .replace("encrypt", "none"))
    t.delivered(d.send())


def s_154_no_token_in_clear_whatever_told(t):
    """RFC 7628, 3: by TLS, or not at all."""
    for name in ("OAUTHBEARER", "XOAUTH2"):
        server = t.serve([opened("AUTH " + name), bye()])
        d = t.daemon((CONFIG % (server.name, 'auth_token_file = "%s"\n'
                                'auth_in_clear = yes' % secret(t)))
                     .replace("encrypt", "none"))
        t.outcome(d.send(), "deferred", step="auth",
                  reply="no mechanism")
        t.scripts_held()
        lacks("AUTH", server.connections[0].clear.decode("latin-1"))
        t.servers.remove(server)
        d.stop()


def s_154_a_configuration_that_can_only_be_in_clear(t):
    server = t.serve()
    run = login(t, server, "--tls", "none")
    equal(run.status, 64, "exit status")
    holds("auth_in_clear", run.stderr, "standard error")


def s_154_a_configuration_that_shows_it_to_every_mx(t):
    """Without a server of ours the password went to whoever has a domain."""
    run = t.deliver_raw("deliver", "--tls", "encrypt", "--user", "user",
                        "--password-file", secret(t), "--from",
                        "a@example.net", "b@example.org")
    equal(run.status, 64, "exit status")
    holds("--user needs --server", run.stderr, "why")


def s_154_a_unix_socket_is_not_in_clear(t):
    server = t.serve_unix([opened("AUTH PLAIN", verb="LHLO"), plain(),
                           transaction(), bye()])
    run = login(t, server, "--lmtp", "--tls", "none")
    t.delivered(run)


def s_154_the_log_bears_no_secret(t):
    """Nor does anything else that is left of a daemon that logged in, by each
    mechanism, and that was refused."""
    scram = Scram("SCRAM-SHA-256", password="other")
    servers = [t.serve([inside("AUTH PLAIN"), plain(), transaction(), bye()]),
               t.serve([inside("AUTH LOGIN"), login_steps(), transaction(),
                        bye()]),
               t.serve([inside("AUTH PLAIN"), plain(reply="535 5.7.8 no"),
                        bye()]),
               t.serve([inside("AUTH SCRAM-SHA-256"),
                        Scram("SCRAM-SHA-256").steps(), transaction(), bye()]),
               t.serve([inside("AUTH SCRAM-SHA-256"), scram.steps(), bye()]),
               t.serve([inside("AUTH PLAIN"),
                        plain(reply="535 5.7.8 not pencil"), bye()]),
               t.serve([inside("AUTH PLAIN"), plain(),
                        line("MAIL .*"), say("550 5.7.1 pencil"), bye()])]
    kept = ""
    for server in servers:
        d = t.daemon(CONFIG % (server.name, 'auth_password_file = "%s"' %
                               secret(t)), store="sqlite")
        run = d.send()
        hidden(t, run, PASSWORD)
        d.stop()
        for path in glob.glob(d.folder + "/**", recursive=True):
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                text = f.read()
            for form in (PASSWORD, b64(PASSWORD), scram.first,
                         b64(scram.first), b64("\0user\0" + PASSWORD)):
                if form.encode() in text:
                    raise AssertionError("the secret stands in " + path)
            if "/transcripts/" in path:
                kept += text.decode("ascii")
    t.scripts_held()
    for name in ("PLAIN", "SCRAM-SHA-256"):
        holds('secret "AUTH %s <hidden>"' % name, kept, "transcripts")
    holds('summary deferred 535 4.7.8 auth "535 5.7.8 not <hidden>"', kept,
          "transcripts")
    holds('summary failed 550 5.7.1 mail "550 5.7.1 <hidden>"', kept,
          "transcripts")


@table([("535", "535 5.7.8 who is pencil?"),
        ("base64", "535 no: " + b64("\0user\0pencil")),
        ("multi-line", "535-pencil\r\n535 pencil pencil"),
        ("421", "421 pencil"), ("550", "550 pencil"),
        ("garbage", "pencil"), ("250", "250 pencil")])
def s_154_a_server_that_repeats_it(t, reply):
    server = t.serve([inside("AUTH PLAIN"), plain(reply=reply), drain()])
    run = login(t, server)
    t.outcome(run, "deferred", step="auth")


@table([("OAUTHBEARER", oauth, "AQ==",
         "n,a=user,\1host=127.0.0.1\1auth=Bearer tok3n-of-ours\1\1"),
        ("XOAUTH2", xoauth, "", "user=user\1auth=Bearer tok3n-of-ours\1\1")])
def s_154_a_server_that_repeats_what_was_before(t, says, answer, told):
    """A later response does not take the place of the one with the secret."""
    name = t.name[t.name.index("[") + 1:-1]
    server = t.serve([inside("AUTH " + name), says("334 " + ERROR),
                      line(answer), say("535 5.7.8 %s it was" % b64(told)),
                      bye()])
    run = login(t, server, text="tok3n-of-ours", token=True)
    t.outcome(run, "deferred", step="auth")
    holds("535 5.7.8 <hidden> it was", run.outcomes[0]["reply"], "reply")


def s_154_a_server_that_repeats_another_mechanism(t):
    """Of one that was refused, long after another went well."""
    said = b64("\0user\0" + PASSWORD)
    server = t.serve([inside("AUTH PLAIN LOGIN"), plain(reply="504 not that"),
                      login_steps(), line("MAIL .*"),
                      say("550 %s it was" % said), bye()])
    run = login(t, server)
    holds("550 <hidden> it was", run.outcomes[0]["reply"], "reply")


@table([("MAIL", ["550 pencil"]), ("RCPT", ["250 ok", "550 not for pencil"])])
def s_154_a_server_that_repeats_it_later(t, replies):
    server = t.serve([inside("AUTH PLAIN"), plain(),
                      [[line(".*"), say(x)] for x in replies], drain()])
    run = login(t, server)
    holds("<hidden>", run.outcomes[0]["reply"], "reply")


def s_154_a_file_that_all_may_read(t):
    server = t.serve([inside("AUTH PLAIN"), plain(), transaction(), bye()])
    d = daemon(t, server, 'auth_password_file = "%s"' % secret(t, mode=0o644))
    t.delivered(d.send())
    holds("auth_password_file.*is open to everybody", d.said(), "log")


# Each mechanism, and which of them.

@table([(x, x) for x in SCRAMS])
def s_147_scram(t, name):
    scram = Scram(name)
    went_in(t, [inside("AUTH " + name), scram.steps()])
    went_in(t, [inside("AUTH " + name), scram.steps()])
    if scram.nonces[0] == scram.nonces[1]:
        raise AssertionError("one nonce twice: %r" % scram.nonces)


@table([(x, x) for x in SCRAMS[:2]])
def s_147_scram_bound_to_tls_1_2(t, name):
    """By tls-unique, of the first Finished."""
    import ssl
    scram = Scram(name)
    _, c = went_in(t, [inside("AUTH " + name, most=ssl.TLSVersion.TLSv1_2),
                       scram.steps()])
    equal(c.binding[0], "tls-unique", "binding")


def s_147_scram_wrong_password(t):
    refused(t, [inside("AUTH SCRAM-SHA-256"),
                Scram("SCRAM-SHA-256", password="other").steps(), bye()],
            code=535, reply="not so")


def s_147_scram_password_not_ascii(t):
    scram = Scram("SCRAM-SHA-256", password="p\u00e4ncil")
    went_in(t, [inside("AUTH SCRAM-SHA-256"), scram.steps()],
            text="p\u00e4ncil")


def s_147_scram_of_a_million_iterations(t):
    scram = Scram("SCRAM-SHA-1", iterations=1000000)
    run, _ = went_in(t, [inside("AUTH SCRAM-SHA-1"), scram.steps()], step=20)
    t.within(run, 15)


def s_147_workers_draw_their_own_nonces(t):
    """Forked from one agent, one after the other."""
    scram = Scram("SCRAM-SHA-256")
    server = t.serve(*[[inside("AUTH SCRAM-SHA-256"), scram.steps(),
                        transaction(), bye()] for _ in range(4)])
    d = daemon(t, server, 'auth_password_file = "%s"' % secret(t))
    jobs = Jobs(d.job)
    for _ in range(4):
        jobs.send(MESSAGE, "b@example.org")
        equal(jobs.outcome()["status"], "delivered", "status")
    equal(len(set(scram.nonces)), 4, "nonces")


def s_147_cram_md5(t):
    import hashlib
    import hmac
    digest = hmac.new(PASSWORD.encode(), b"<1@host>", hashlib.md5).hexdigest()
    went_in(t, [inside("AUTH CRAM-MD5"), line("AUTH CRAM-MD5"),
                say("334 " + b64("<1@host>")), line(b64("user " + digest)),
                say("235 in")])


def s_147_external(t):
    server = t.serve([inside("AUTH PLAIN EXTERNAL"), line("AUTH EXTERNAL ="),
                      say("235 in"), transaction(), bye()])
    t.delivered(t.deliver(server, *STRICT, "--auth", "EXTERNAL"))


@table([("all", " ".join(reversed(MECHANISMS + SCRAMS[:2] + ("EXTERNAL",))),
         "SCRAM-SHA-256-PLUS"),
        ("no plus", "PLAIN SCRAM-SHA-1 SCRAM-SHA-256", "SCRAM-SHA-256"),
        ("old", "LOGIN PLAIN CRAM-MD5", "CRAM-MD5"),
        ("plain first", "LOGIN PLAIN", "PLAIN"),
        ("tokens are not for us", "OAUTHBEARER XOAUTH2 LOGIN", "LOGIN")])
def s_147_the_strongest_first(t, offered, want):
    server = t.serve([inside("AUTH " + offered),
                      line("AUTH %s( .*)?" % want), say("454 no"), bye()])
    login(t, server)
    t.scripts_held()


@table([("504", "504 5.5.4 not that"), ("534", "534 5.7.9 too weak"),
        ("538", "538 5.7.11 not here"), ("500", "500 what"),
        ("504 bare", "504 no"), ("550", "550 5.7.4 not supported")])
def s_147_the_next_mechanism(t, reply):
    """Where a mechanism is refused, and not we."""
    went_in(t, [inside("AUTH SCRAM-SHA-1 CRAM-MD5 PLAIN"),
                line("AUTH SCRAM-SHA-1 .*"), say(reply),
                line("AUTH CRAM-MD5"), say(reply), plain()])


@table([("CRAM-MD5", "CRAM-MD5 PLAIN LOGIN", "CRAM-MD5"),
        ("SCRAM", "PLAIN SCRAM-SHA-256", "SCRAM-SHA-256 .*")])
def s_147_one_more_mechanism_after_535(t, offered, first):
    """The server may keep the password in a form that only PLAIN is good for."""
    went_in(t, [inside("AUTH " + offered), line("AUTH " + first),
                say("535 5.7.8 no"), plain()])


def s_147_one_mechanism_more_and_no_third(t):
    """Accounts are locked after a few."""
    refused(t, [inside("AUTH CRAM-MD5 PLAIN LOGIN"), line("AUTH CRAM-MD5"),
                say("535 5.7.8 no"), plain(reply="535 5.7.8 nor that"),
                bye()], code=535, reply="nor that")


@table([("504", [say("504 5.5.4 no"), bye()], "504 5.5.4 no"),
        ("454", [say("454 4.7.0 later"), bye()], "454 4.7.0 later"),
        ("421", [say("421 4.3.2 bye"), drain()], "421 4.3.2 bye"),
        ("closed", [close()], "closed by the remote")])
def s_147_535_is_what_counts(t, steps, words):
    """Whatever the second mechanism meets: the queue tries no other address,
    and reads the secret again."""
    refused(t, [inside("AUTH CRAM-MD5 PLAIN LOGIN"), line("AUTH CRAM-MD5"),
                say("535 5.7.8 no"), line("AUTH PLAIN .*"), steps], code=535,
            dsn=r"4\.7\.8",
            reply="535 5.7.8 no [(]and then PLAIN: .*" + words)


def s_147_no_weaker_mechanism_than_allowed_after_535(t):
    """The list of the operator's; and no password by PLAIN where the login that
    failed was bound to the channel, or where anybody can read it."""
    refused(t, [inside("AUTH CRAM-MD5 PLAIN"), line("AUTH CRAM-MD5"),
                say("535 5.7.8 no"), bye()], "--auth", "CRAM-MD5", code=535)
    refused(t, [inside("AUTH SCRAM-SHA-256-PLUS PLAIN"),
                line("AUTH SCRAM-SHA-256-PLUS .*"), say("535 5.7.8 no"),
                bye()], code=535)
    server = t.serve([opened("AUTH CRAM-MD5 PLAIN"), line("AUTH CRAM-MD5"),
                      say("535 5.7.8 no"), bye()])
    d = t.daemon((CONFIG % (server.name, 'auth_password_file = "%s"\n'
                            'auth_in_clear = yes' % secret(t)))
                 .replace("encrypt", "none"))
    t.outcome(d.send(), "deferred", code=535)
    equal(len(server.connections), 1, "connections")


def s_147_every_mechanism_refused(t):
    refused(t, [inside("AUTH PLAIN LOGIN"), line("AUTH PLAIN .*"),
                say("504 5.5.4 no"), line("AUTH LOGIN"),
                say("534 5.7.9 neither"), bye()], code=534, reply="neither")


def s_147_only_what_the_operator_names(t):
    went_in(t, [inside("AUTH SCRAM-SHA-256 PLAIN"), plain()], "--auth",
            "plain")


# Files and commands of the operator's, and what is learnt from 535.

def command(t, *lines, user="nobody"):
    """A command that counts its runs."""
    path = os.path.join(t.folder, "token")
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\ncd '%s'\necho x >>runs\n"
                "n=$(wc -l <runs)\n%s\n" % (t.folder, "\n".join(lines)))
    os.chmod(path, 0o755)
    os.chmod(t.folder, 0o777)
    text = 'auth_token_command = { "%s", "one two" }\n' % path
    return text + ("auth_token_user = %s" % user if os.geteuid() == 0 else "")


def runs(t):
    path = os.path.join(t.folder, "runs")
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as f:
        return len(f.readlines())


def bearer_logins(*tokens):
    return [[inside("AUTH XOAUTH2"), xoauth("235 in", token=x), transaction(),
             bye()] for x in tokens]


def s_147_token_of_a_command(t):
    """It runs as its user, with its own words, and once for many sessions."""
    server = t.serve(*bearer_logins("tok1", "tok1", "tok1"))
    d = daemon(t, server, command(t, 'echo "tok$n"', 'id -un >who',
                                  'echo "$1" >words'))
    for _ in range(3):
        t.outcome(d.send(), "delivered")
    t.scripts_held()
    equal(runs(t), 1, "runs")
    with open(os.path.join(t.folder, "words"), encoding="ascii") as f:
        equal(f.read(), "one two\n", "words")
    if os.geteuid() == 0:
        with open(os.path.join(t.folder, "who"), encoding="ascii") as f:
            equal(f.read(), "nobody\n", "user")
    lacks("tok1", d.said(), "log")


@patient
def s_147_token_renewed_before_its_end(t):
    """It holds 4 seconds: in the last of them another is fetched."""
    server = t.serve(*bearer_logins("tok1", "tok1", "tok2"))
    d = daemon(t, server, command(t, r'printf "tok$n\n4\n"'))
    t.outcome(d.send(), "delivered")
    time.sleep(3.2)
    t.outcome(d.send(), "delivered")  # with the former one, and meanwhile...
    time.sleep(0.5)
    t.outcome(d.send(), "delivered")
    t.scripts_held()
    equal(runs(t), 2, "runs")


@patient
def s_147_token_that_is_over_is_not_used(t):
    server = t.serve(*bearer_logins("tok1", "tok2"))
    d = daemon(t, server, command(t, r'printf "tok$n\n1\n"'))
    t.outcome(d.send(), "delivered")
    time.sleep(1.2)
    t.outcome(d.send(), "delivered")
    t.scripts_held()


def s_147_token_renewed_once_after_535(t):
    server = t.serve([inside("AUTH XOAUTH2"), xoauth("535 5.7.8 old", "tok1"),
                      bye()], *bearer_logins("tok2"))
    d = daemon(t, server, command(t, 'echo "tok$n"'))
    run = d.send()
    t.outcome(run, "delivered")
    t.scripts_held()
    equal(runs(t), 2, "runs")
    hidden(t, run, "tok1")


def s_147_token_renewed_not_twice(t):
    server = t.serve(*[[inside("AUTH XOAUTH2"), xoauth(
        "535 5.7.8 old", "tok%d" % n), bye()] for n in (1, 2)])
    d = daemon(t, server, command(t, 'echo "tok$n"'))
    t.outcome(d.send(), "deferred", code=535, step="auth")
    t.scripts_held()
    equal(runs(t), 2, "runs")


def s_147_token_file_read_again_after_535(t):
    path = secret(t, "tok1\n")

    def swap(_c):
        secret(t, "tok2\n")

    server = t.serve([inside("AUTH XOAUTH2"), swap,
                      xoauth("535 5.7.8 old", "tok1"), bye()],
                     *bearer_logins("tok2"))
    d = daemon(t, server, 'auth_token_file = "%s"' % path)
    t.outcome(d.send(), "delivered")
    t.scripts_held()


def s_147_token_file_that_comes_later(t):
    path = os.path.join(t.folder, "later")
    server = t.serve(*bearer_logins("tok1"))
    d = t.daemon("minimal_backoff_time = 1s\n" + CONFIG % (
        server.name, 'auth_token_file = "%s"' % path))
    run = d.send()
    t.outcome(run, "deferred", step="auth", reply="No such file")
    holds("transport one: auth_token_file: .*No such file", d.said(), "log")
    secret(t, "tok1", name="later")
    until = time.monotonic() + 20
    while "status=sent" not in d.said() and time.monotonic() < until:
        time.sleep(0.2)
    t.scripts_held()
    holds("status=sent", d.said(), "log")


@table([("status", "exit 3", "status 3"), ("nothing", "exit 0", "empty"),
        ("endless", "exec yes", "signal 13|too much"),
        ("not there", "rm token; exec ./not-there", "status 127"),
        ("seconds", r"printf 'tok\nsoon\n'", "no number of seconds"),
        ("third line", r"printf 'tok\n5\n6\n'", "no number of seconds")])
def s_147_command_that_fails(t, script, words):
    server = t.serve()
    d = daemon(t, server, command(t, script))
    t.outcome(d.send(), "deferred", step="auth", reply=words)
    holds("transport one: auth_token_command", d.said(), "log")


def s_147_command_that_hangs(t):
    """The master goes on meanwhile; the command and its child are ended."""
    server = t.serve()
    d = daemon(t, server, command(t, "sleep 31234 & sleep 31234") +
               "\nauth_token_timeout = 1s")
    run = d.send()
    t.outcome(run, "deferred", step="auth", reply="signal 9.*timeout")
    t.within(run, 10)
    time.sleep(0.2)
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                said = f.read()
        except OSError:
            continue
        if said == b"sleep\x0031234\0":
            raise AssertionError("the command's child lives on")


HELD = """
import json, os
held = {x: os.readlink("/proc/self/fd/" + x) for x in os.listdir("/proc/self/fd")
        if os.path.exists("/proc/self/fd/" + x)}
with open("/proc/self/status") as f:
    power = dict(x.split(":", 1) for x in f)
with open("held", "w") as f:
    json.dump([held, sorted(os.environ), power], f)
print("tok1")
"""


def s_147_a_command_holds_nothing_of_ours(t):
    """Three descriptors, the shell's words of environment, and no power."""
    with open(os.path.join(t.folder, "held.py"), "w", encoding="ascii") as f:
        f.write(HELD)
    server = t.serve(*bearer_logins("tok1"))
    d = daemon(t, server, command(t, "exec python3 -I held.py"))
    t.outcome(d.send(), "delivered")
    with open(os.path.join(t.folder, "held"), encoding="ascii") as f:
        held, words, power = json.load(f)
    equal(sorted((x, y.split(":")[0]) for x, y in held.items()),
          [("0", "/dev/null"), ("1", "pipe"), ("2", "/dev/null")],
          "descriptors")
    equal([x for x in words if x not in ("PWD", "OLDPWD", "LC_CTYPE")],
          ["HOME", "LANG", "PATH"], "environment")
    equal(power["NoNewPrivs"].strip(), "1", "no_new_privs")
    if os.geteuid() == 0:
        equal({power["Cap" + x].strip() for x in ("Eff", "Prm", "Amb")},
              {"0" * 16}, "capabilities")


def children_of(pid):
    """The state and the words of each, a line each."""
    lines = []
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(path + "/stat", encoding="utf-8") as f:
                state, parent = f.read().rpartition(") ")[2].split()[:2]
            with open(path + "/cmdline", encoding="utf-8") as f:
                words = f.read().replace("\0", " ")
        except OSError:
            continue
        if int(parent) == pid:
            lines.append("defunct" if state == "Z" else words)
    return "\n".join(lines)


def s_147_reloads_while_a_command_runs(t):
    """Each ends the command of the one before, and leaves nothing open."""
    server = t.serve()
    d = daemon(t, server, command(t, "exec sleep 31236"))
    fds = "/proc/%d/fd" % d.process.pid
    for generation in range(2, 7):
        job = Jobs(d.job)
        job.send(MESSAGE, "b@example.org", wait="queued")
        until = time.monotonic() + 10
        while runs(t) < generation - 1 and time.monotonic() < until:
            time.sleep(0.02)
        equal(runs(t), generation - 1, "runs")
        if generation == 2:
            before = len(os.listdir(fds))
        os.kill(d.process.pid, 1)
        while ("generation %d" % generation not in d.said() and
               time.monotonic() < until):
            time.sleep(0.02)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        children = children_of(d.process.pid)
        if len(os.listdir(fds)) <= before and "defunct" not in children and \
                children.count("sleep 31236") <= 1:
            return
        time.sleep(0.1)
    raise AssertionError("%d descriptors, %d before; %s" % (
        len(os.listdir(fds)), before, children))


def s_147_a_failed_login_defers_all_mail(t):
    """Of that destination, with one login and one line; none bounces."""
    server = t.serve([inside("AUTH PLAIN"), plain(reply="535 5.7.8 no"),
                      bye()])
    d = daemon(t, server, 'auth_password_file = "%s"' % secret(t))
    jobs = [Jobs(d.job) for _ in range(12)]
    for j in jobs:
        j.send(MESSAGE, "b@example.org")
    for j in jobs:
        row = j.outcome()
        equal((row["status"], row["code"], row["step"]),
              ("deferred", 535, "auth"), "outcome")
    equal(len(re.findall("login as user at", d.said())), 1, "lines")
    equal(len(server.connections), 1, "connections")


def s_147_a_reload_reads_the_password_again(t):
    server = t.serve([inside("AUTH PLAIN"), plain(password="old",
                                                  reply="535 5.7.8 no"),
                      bye()],
                     [inside("AUTH PLAIN"), plain(), transaction(), bye()])
    d = daemon(t, server, 'auth_password_file = "%s"' % secret(t, "old"))
    t.outcome(d.send(), "deferred", code=535)
    secret(t)
    os.kill(d.process.pid, 1)
    until = time.monotonic() + 10
    while "generation 2" not in d.said() and time.monotonic() < until:
        time.sleep(0.05)
    t.outcome(d.send(), "delivered")
    t.scripts_held()


def s_154_each_worker_has_its_own_secret(t):
    """Two transports, two passwords; each server hears of one."""
    text = ""
    servers = []
    for name in ("one", "two"):
        server = t.serve([inside("AUTH PLAIN"), plain(name, "of-" + name),
                          transaction(), bye()])
        servers.append(server)
        text += """
transport %s {
	server = "%s"
	tls_security_level = encrypt
	connection_idle_time = 0
	auth_user = "%s"
	auth_password_file = "%s"
}
route "%s.test" { transport = %s }
""" % (name, server.name, name, secret(t, "of-" + name, name), name, name)
    d = t.daemon(text)
    for name in ("one", "two"):
        t.outcome(d.send(to=("b@%s.test" % name,)), "delivered")
    t.scripts_held()


def s_147_many_sessions_once_a_login_went_well(t):
    """Before that one at a time, then as many as are of use."""
    waiting = []

    def meet(c):
        """Three sessions have to be here at one time."""
        waiting.append(c)
        until = time.monotonic() + 15
        while len(waiting) < 3:
            if time.monotonic() > until:
                raise ScriptError("alone")
            time.sleep(0.02)

    first = [inside("AUTH PLAIN"), plain(), transaction(), bye()]
    others = [inside("AUTH PLAIN"), plain(), meet, transaction(), bye()]
    server = t.serve(first, others, others, others)
    d = daemon(t, server, 'auth_password_file = "%s"' % secret(t))
    t.outcome(d.send(), "delivered")
    jobs = [Jobs(d.job) for _ in range(3)]
    for j in jobs:
        j.send(MESSAGE, "b@example.org")
    for j in jobs:
        equal(j.outcome()["status"], "delivered", "status")
    t.scripts_held()


def s_147_no_second_login_elsewhere_after_535(t):
    """Another address of the plan has the same users, and locks accounts."""
    from harness import Dns
    first = t.serve([inside("AUTH PLAIN"), plain(reply="535 5.7.8 no"),
                     bye()])
    dns = Dns({"two.test": [("A", "127.0.0.1"), ("A", "127.0.0.2")]})
    second = t.serve(address="127.0.0.2", port=first.port)
    d = t.daemon('name_servers = { "%s" }\nhosts_file = ""\n' % dns.name +
                 (CONFIG % ("two.test:%d" % first.port,
                            'auth_password_file = "%s"' % secret(t))))
    t.outcome(d.send(), "deferred", code=535)
    equal(len(first.connections) + len(second.connections), 1, "connections")
    t.servers.clear()


# Servers that lie.

@table([("signature", "signature", 501, "did not prove"),
        ("no proof", "no proof", 0, "before the server proved"),
        ("nonce", "nonce", 501, None),
        ("no iterations", "no iterations", 501, "no number of iterations"),
        ("two counts", "two counts", 501, "no number of iterations")])
def h_auth_scram(t, lie, code, reply):
    for name in SCRAMS[1:3]:
        refused(t, [inside("AUTH " + name), Scram(name, lie=lie).steps(),
                    bye()], code=code, reply=reply)


@table([(str(n), n, words) for n, words in (
    (1 << 31, "no number|too many"), (1 << 31 - 1, "too many"),
    ((1 << 31) - 1, "too many"), (1 << 64, "no number"),
    (1000001, "too many"), (4095, "so few"), (1, "so few"), (0, "no number"),
    (-1, "no number"), ("4096x", "no number"), ("", "no number"),
    ("9" * 3000, "no number"))])
def h_auth_scram_iterations(t, count, words):
    run = refused(t, [inside("AUTH SCRAM-SHA-256"), Scram(
        "SCRAM-SHA-256", iterations=count).steps(), bye()], code=501,
        reply=words)
    t.within(run, 4)


@table([("%d" % n, x) for n, x in enumerate((
    "", "334", "334 ", "334-a\r\n334 b", "334 " + b64("x" * 3000),
    "334 " + b64("r=,s=,i=4096"), "334 " + b64(",,,"),
    "334 " + b64("e=other-error"), "334 " + b64("\0" * 50),
    "334 =", "334 " + b64("r=%s,s=%s,i=4096" % ("a" * 4000, "b" * 4000))))])
def h_auth_challenge(t, reply):
    """To SCRAM, where another is due."""
    server = t.serve([inside("AUTH SCRAM-SHA-256"),
                      line("AUTH SCRAM-SHA-256 .*"), say(reply), drain()],
                     optional=0)
    run = login(t, server)
    t.outcome(run, "deferred", step="auth")
    if "*" in server.connections[0].lines:
        raise AssertionError("drain was to take it")
    t.within(run, 8)


def h_auth_334_without_end(t):
    server = t.serve([inside("AUTH LOGIN"), line("AUTH LOGIN"),
                      raw(b"334 "), flood(b"A" * 65536, 200)])
    run = login(t, server)
    t.outcome(run, "deferred", step="auth", reply="protocol error")


def h_auth_334_of_the_greatest_length(t):
    went_in(t, [inside("AUTH LOGIN"),
                login_steps(first="A" * (12288 - 6))])


def h_auth_334_again_and_again(t):
    server = t.serve([inside("AUTH LOGIN"), login_steps("334 more"),
                      line(r"\*"), say("334 more"), eof()])
    run = login(t, server)
    t.scripts_held()
    t.outcome(run, "deferred", step="auth", reply="334 where we broke off")


def h_auth_235_to_the_asterisk(t):
    refused(t, [inside("AUTH LOGIN"), login_steps("334 more"), line(r"\*"),
                say("235 2.7.0 in"), bye()], reply="235 where we broke off")


@table([("LOGIN at once", "LOGIN", []),
        ("LOGIN after the user", "LOGIN", ["334 VXNlcm5hbWU6"]),
        ("CRAM-MD5", "CRAM-MD5", []),
        ("SCRAM-SHA-256", "SCRAM-SHA-256", []),
        ("SCRAM-SHA-1", "SCRAM-SHA-1", [])])
def h_auth_235_early(t, name, before):
    steps = [[say(x), line(".*")] for x in before]
    refused(t, [inside("AUTH " + name), line("AUTH %s.*" % name), steps,
                say("235 2.7.0 in"), bye()],
            reply="235 before all was said")


@table([("220", "220 hello"), ("250", "250 ok"), ("354", "354 go"),
        ("251", "251 x")])
def h_auth_other_replies(t, reply):
    refused(t, [inside("AUTH PLAIN"), plain(reply=reply), bye()],
            reply="protocol error")


@table([("one line", b"235 in\r\n250 2.1.0 sender ok\r\n"),
        ("half a line", b"235 in\r\n2"),
        ("many", b"235 in\r\n" + b"250 2.0.0 ok\r\n" * 8),
        ("another challenge", b"235 in\r\n334 bW9yZQ==\r\n")])
def h_auth_injection_behind_235(t, octets):
    server = t.serve([inside("AUTH PLAIN"), line("AUTH PLAIN .*"),
                      raw(octets), drain()])
    run = login(t, server)
    t.outcome(run, "deferred", step="auth", reply="injection: octets behind")
    lacks("MAIL", server.connections[0].taken.decode("latin-1"), "commands")


def h_auth_334_after_success(t):
    """In a segment of its own, before the next command or behind it: no mail
    is lost, and nothing of ours answers it."""
    server = t.serve([inside("AUTH PLAIN"), plain(), say("334 bW9yZQ=="),
                      drain()], [drain()], optional=1)
    run = login(t, server)
    equal(run.outcomes[0]["status"], "deferred", "status")
    lacks(re.escape(b64(PASSWORD)),
          server.connections[0].taken.decode("latin-1"), "octets")


def h_auth_two_challenges_at_once(t):
    refused(t, [inside("AUTH LOGIN"), line("AUTH LOGIN"),
                raw(b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"), drain()],
            reply="protocol error")


STAGES = {
    "AUTH": [line("AUTH LOGIN")],
    "user": [line("AUTH LOGIN"), say("334 VXNlcm5hbWU6"), line(b64("user"))],
    "password": [line("AUTH LOGIN"), say("334 VXNlcm5hbWU6"),
                 line(b64("user")), say("334 UGFzc3dvcmQ6"),
                 line(b64(PASSWORD))],
    "asterisk": [login_steps("334 more"), line(r"\*")],
}


@table([(k, v) for k, v in STAGES.items()])
def h_auth_close(t, steps):
    refused(t, [inside("AUTH LOGIN"), steps, close()], reply="closed|lost",
            dsn=r"4\.4\.2")
    refused(t, [inside("AUTH LOGIN"), steps, raw(b"334 VX"), cut()],
            reply="closed|lost")


@patient
@table([(k, v) for k, v in STAGES.items()])
def h_auth_silence(t, steps):
    run = refused(t, [inside("AUTH LOGIN"), steps, drain()],
                  reply="timed out while waiting for the reply to AUTH",
                  dsn=r"4\.4\.2", step=1)
    t.within(run, 6)


def h_auth_many_mechanisms(t):
    words = ["AUTH " + " ".join("X-%d-%d" % (n, i) for i in range(80))
             for n in range(80)]
    went_in(t, [inside(*words, "AUTH PLAIN"), plain()])


def h_auth_nul_in_a_reply(t):
    refused(t, [inside("AUTH PLAIN"), line("AUTH PLAIN .*"),
                raw(b"535 5.7.8 \0\xff no\r\n"), bye()], code=535,
            reply=r"\\x00\\xFF|\\x00\\xff")
