# SPDX-License-Identifier: ISC
"""Logins with the real Postfix, which asks the real Dovecot."""
import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Suite, wait_for  # noqa
from run import Peers  # noqa

BY_PASSWORD = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
BY_TOKEN = ("XOAUTH2", "OAUTHBEARER")
MESSAGE = b"Subject: login\n\nx\n"

DAEMON = """
transport login {
	server = "127.0.0.1:%s"
	tls_security_level = verify
	tls_CAfile = "%s"
	tls_name = "%s"
	auth_user = "%s"
	%s
}
route "*" { transport = login }
"""


class Tests:
    def __init__(self, peers, daemon):
        self.p = peers
        self.d = daemon

    def secret(self, text):
        path = self.p.folder.name + "/secret"
        with open(path, "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return path

    def token(self, seconds=600, key=None):
        """A JWT (RFC 7519) by HS256."""
        def part(octets):
            return base64.urlsafe_b64encode(octets).rstrip(b"=")

        if key is None:
            with open(self.p.login_token_key, "rb") as f:
                key = f.read()
        now = int(time.time())
        text = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + \
            b"." + part(json.dumps({
                "sub": self.p.login_user, "iat": now - 10,
                "nbf": now - 10, "exp": now + seconds}).encode())
        return (text + b"." + part(hmac.new(key, text, hashlib.sha256)
                                   .digest())).decode("ascii")

    def deliver(self, *args, mechanism=None):
        argv = ["--server", "127.0.0.1:" + self.p.postfix_login_port,
                "--tls", "verify", "--ca", self.p.ca_file, "--tls-name",
                self.p.server_name, *args]
        if mechanism:
            argv += ["--auth", mechanism]
        r = self.d.postern("deliver", "--json", "--verbose", "--from",
                           "a@b.test", *argv,
                           "ana@" + self.p.postfix_domain, message=MESSAGE)
        rows = [json.loads(x) for x in r.stdout.splitlines()]
        return rows[0], r.stderr.decode()

    def by_password(self, mechanism, password=None):
        password = password or self.p.login_password
        row, said = self.deliver(
            "--user", self.p.login_user, "--password-file",
            self.secret(password), mechanism=mechanism)
        assert password not in said + json.dumps(row), said
        return row, said

    def by_token(self, mechanism, token):
        row, said = self.deliver("--user", self.p.login_user, "--token-file",
                                 self.secret(token), mechanism=mechanism)
        assert token not in said + json.dumps(row), said
        return row, said

    def refused(self, row, said):
        assert row["status"] == "deferred", (row, said)
        assert (row["code"], row["step"]) == (535, "auth"), (row, said)

    def each_with_the_password(self):
        for name in BY_PASSWORD:
            row, said = self.by_password(name)
            assert row["status"] == "delivered", (name, row, said)
            assert re.search("> AUTH %s( <hidden>)?\n" % name, said), said

    def each_with_another_password(self):
        for name in BY_PASSWORD:
            self.refused(*self.by_password(name, "battery-staple"))

    def the_strongest_of_its_own_accord(self):
        row, said = self.by_password(None)
        assert row["status"] == "delivered", (row, said)
        assert "> AUTH SCRAM-SHA-256 <hidden>\n" in said, said

    def each_with_a_token(self):
        for name in BY_TOKEN:
            row, said = self.by_token(name, self.token())
            assert row["status"] == "delivered", (name, row, said)

    def each_with_a_token_that_is_over(self):
        for name in BY_TOKEN:
            self.refused(*self.by_token(name, self.token(seconds=-5)))

    def each_with_a_token_of_another_key(self):
        for name in BY_TOKEN:
            self.refused(*self.by_token(name, self.token(key=b"x" * 32)))

    def none_without_credentials(self):
        row, said = self.deliver()
        assert row["status"] == "failed" and row["code"] == 554, (row, said)

    def none_without_the_mechanism(self):
        row, said = self.by_password("SCRAM-SHA-256-PLUS")
        assert row["status"] == "deferred" and row["code"] == 0, (row, said)
        assert "no mechanism" in row["reply"], row

    def a_daemon_reads_its_password_again(self):
        """Wrong, mended, and no reload."""
        path = self.secret("battery-staple")
        text = DAEMON % (
            self.p.postfix_login_port, self.p.ca_file, self.p.server_name,
            self.p.login_user, 'auth_password_file = "%s"' % path)
        with Daemon("minimal_backoff_time = 1s\n" + text) as daemon:
            daemon.postern("send", "--socket", daemon.dir + "/run/job",
                           "--from", "a@b.test", "--wait", "queued",
                           "ana@" + self.p.postfix_domain, message=MESSAGE)
            wait_for(lambda: "status=deferred" in daemon.log_text(),
                     what="the refusal")
            assert "check auth_user and auth_password_file" in \
                daemon.log_text(), daemon.log_text()
            self.secret(self.p.login_password)
            wait_for(lambda: "status=sent" in daemon.log_text(),
                     what="the delivery")


HELPERS = ("__init__", "secret", "token", "deliver", "by_password", "by_token",
           "refused")


def run(suite):
    with Peers() as peers:
        with Daemon("") as daemon:
            tests = Tests(peers, daemon)
            for name, test in list(Tests.__dict__.items()):
                if not callable(test) or name in HELPERS:
                    continue
                title = "login: " + name.replace("_", " ")
                if getattr(peers, "postfix", "") != "yes":
                    suite.skip(title, "Postfix needs root")
                    continue
                suite.check(title, lambda t=test: t(tests))


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
