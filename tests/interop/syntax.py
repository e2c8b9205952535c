# SPDX-License-Identifier: ISC
"""Commands of clients, well and badly written, side by side with Debian's Postfix.

Each is sent to Postfix's smtpd and to a listener of ours.  Where the class of the
reply differs, or who closes, there is a reason below; and no reason stands here for
what does not differ.
"""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from listener import PORT, Place  # noqa
from mta import unpacked  # noqa
from postfix import PORT as POSTFIX_PORT, Postfix  # noqa
from run import Peers  # noqa

MAIN = """
smtpd_recipient_limit = 1000
smtpd_error_sleep_time = 0
myorigin = origin.test
"""

L64 = "a" * 64
INPUTS = [
 # MAIL
 "MAIL FROM:<>", "MAIL FROM:< >", "MAIL FROM: <>", "MAIL FROM:<a@b.org>", "mail from:<a@b.org>", "Mail From:<a@b.org>",
 "MAIL FROM: <a@b.org>", "MAIL FROM:  <a@b.org>", "MAIL FROM :<a@b.org>", "MAIL FROM : <a@b.org>", "MAIL  FROM:<a@b.org>",
 "MAIL FROM:<a@b.org >", "MAIL FROM:< a@b.org>", "MAIL FROM:< a@b.org >", "MAIL FROM:<a@b.org> ", " MAIL FROM:<a@b.org>",
 "MAIL\tFROM:<a@b.org>", "MAIL FROM:\t<a@b.org>", "MAIL FROM:<a@b.org>\tSIZE=1", "MAIL FROM:<a@b.org>\t",
 "MAIL FROM:a@b.org", "MAIL FROM: a@b.org", "MAIL FROM:a@b.org SIZE=1", "MAIL FROM:root", "MAIL FROM:<root>", "MAIL FROM:<postmaster>",
 "MAIL FROM:", "MAIL FROM", "MAIL", "MAIL FROM:<", "MAIL FROM:>", "MAIL FROM:<a@b.org", "MAIL FROM:a@b.org>", "MAIL FROM:<<a@b.org>>",
 "MAIL FROM:<a@b.org>>", "MAIL FROM:<a@b.org>x", "MAIL FROM:<a@b.org>SIZE=1", "MAIL FROM:<a@b.org> SIZE=1", "MAIL FROM:<a@b.org>  SIZE=1  BODY=8BITMIME",
 "MAIL a@b.org", "MAIL TO:<a@b.org>", "MAIL FROM<a@b.org>", "MAILFROM:<a@b.org>", "MAIL FROM:(c)<a@b.org>", "MAIL FROM:A <a@b.org>", 'MAIL FROM:"A B" <a@b.org>',
 "MAIL FROM:<a@b.org> (c)", "MAIL FROM:<a(c)@b.org>", "MAIL FROM:<a@b.org> <c@d.org>", "MAIL FROM:<a@b.org,c@d.org>", "MAIL FROM:<a@b.org;>", "MAIL FROM:<A:a@b.org;>",
 "MAIL FROM:<@x.org:a@b.org>", "MAIL FROM:<@x.org,@y.org:a@b.org>", "MAIL FROM:<@x.org:>", "MAIL FROM:<@x.org>", "MAIL FROM:<@>", "MAIL FROM:<a@>", "MAIL FROM:<a@b@c.org>", "MAIL FROM:<a!b@c.org>", "MAIL FROM:<b.org!a>", "MAIL FROM:<a%b.org>", "MAIL FROM:<a%b.org@c.org>",
 'MAIL FROM:<"a b"@c.org>', 'MAIL FROM:<"a>b"@c.org>', 'MAIL FROM:<"a\\"b"@c.org>', 'MAIL FROM:<"a@b"@c.org>', 'MAIL FROM:<""@c.org>', 'MAIL FROM:<"a"b@c.org>', 'MAIL FROM:<a"b"@c.org>', 'MAIL FROM:<a."b".c@d.org>', 'MAIL FROM:<"a@c.org>', 'MAIL FROM:<a\\b@c.org>', 'MAIL FROM:<a\\ b@c.org>', 'MAIL FROM:<a b@c.org>', 'MAIL FROM:<a b>', 'MAIL FROM:<"a b">',
 "MAIL FROM:<a.@b.org>", "MAIL FROM:<.a@b.org>", "MAIL FROM:<a..b@c.org>", "MAIL FROM:<.@b.org>", "MAIL FROM:<..@b.org>",
 "MAIL FROM:<a@b>", "MAIL FROM:<a@b.>", "MAIL FROM:<a@b.org.>", "MAIL FROM:<a@b.org..>", "MAIL FROM:<a@.b.org>", "MAIL FROM:<a@b..org>", "MAIL FROM:<a@.>", "MAIL FROM:<a@b_c.org>", "MAIL FROM:<a@_b.org>", "MAIL FROM:<a@-b.org>", "MAIL FROM:<a@b-.org>", "MAIL FROM:<a@b--c.org>", "MAIL FROM:<a@b c.org>", "MAIL FROM:<a @b.org>", "MAIL FROM:<a@ b.org>", "MAIL FROM:<a@b,org>", "MAIL FROM:<a@b/c.org>", "MAIL FROM:<a@"+"b"*63+".org>", "MAIL FROM:<a@"+"b"*64+".org>", "MAIL FROM:<a@"+("b"*60+".")*4+"org>", "MAIL FROM:<a@"+("b"*60+".")*6+"org>",
 "MAIL FROM:<a@1.2.3.4>", "MAIL FROM:<a@[1.2.3.4]>", "MAIL FROM:<a@[1.2.3.256]>", "MAIL FROM:<a@[1.2.3]>", "MAIL FROM:<a@[IPv6:::1]>", "MAIL FROM:<a@[ipv6:2001:db8::1]>", "MAIL FROM:<a@[2001:db8::1]>", "MAIL FROM:<a@[]>", "MAIL FROM:<a@[1.2.3.4>", "MAIL FROM:<a@1.2.3.4]>", "MAIL FROM:<a@[x:y]>", "MAIL FROM:<a@[b.org]>",
 "MAIL FROM:<%s@b.org>" % L64, "MAIL FROM:<%sa@b.org>" % L64, "MAIL FROM:<%s@b.org>" % (L64*3), "MAIL FROM:<%s@b.org>" % (L64*8), "MAIL FROM:<%s@b.org>" % ("a"*994), "MAIL FROM:<%s@b.org>" % ("a"*1100),
 "MAIL FROM:<a@b.org> BODY=7BIT", "MAIL FROM:<a@b.org> BODY=8bitmime", "MAIL FROM:<a@b.org> BODY=X", "MAIL FROM:<a@b.org> BODY", "MAIL FROM:<a@b.org> SIZE", "MAIL FROM:<a@b.org> SIZE=", "MAIL FROM:<a@b.org> SIZE=0", "MAIL FROM:<a@b.org> SIZE=x", "MAIL FROM:<a@b.org> SIZE=-1", "MAIL FROM:<a@b.org> SIZE=+1","MAIL FROM:<a@b.org> SIZE=1 SIZE=2", "MAIL FROM:<a@b.org> SIZE=99999999999999999999", "MAIL FROM:<a@b.org> X=y", "MAIL FROM:<a@b.org> X", "MAIL FROM:<a@b.org> =", "MAIL FROM:<a@b.org> RET=FULL", "MAIL FROM:<a@b.org> RET=full", "MAIL FROM:<a@b.org> RET=x", "MAIL FROM:<a@b.org> RET=FULL RET=HDRS", "MAIL FROM:<a@b.org> ENVID=x", "MAIL FROM:<a@b.org> ENVID=", "MAIL FROM:<a@b.org> ENVID=a+", "MAIL FROM:<a@b.org> ENVID=a+2b", "MAIL FROM:<a@b.org> ENVID=a+2B", "MAIL FROM:<a@b.org> ENVID=" + "x"*100, "MAIL FROM:<a@b.org> ENVID=" + "x"*101, "MAIL FROM:<a@b.org> ENVID=a=b", "MAIL FROM:<a@b.org> AUTH=<>", "MAIL FROM:<a@b.org> SMTPUTF8", "MAIL FROM:<a@b.org> SMTPUTF8=x", "MAIL FROM:<\u00e4@b.org> SMTPUTF8", "MAIL FROM:<\u00e4@b.org>", "MAIL FROM:<a@\u00e4.org> SMTPUTF8", "MAIL FROM:<a@b.org>;SIZE=1",
 # RCPT
 "RCPT TO:<>", "RCPT TO:< >", "RCPT TO:<a@b.org>", "rcpt to:<a@b.org>", "RCPT TO: <a@b.org>", "RCPT TO:a@b.org", "RCPT TO:root", "RCPT TO:<root>", "RCPT TO:<postmaster>", "RCPT TO:<Postmaster>", "RCPT TO:<postmaster@>", "RCPT TO:<a@b.org >", "RCPT TO :<a@b.org>", "RCPT TO:", "RCPT TO", "RCPT", "RCPT TO:<a@b.org>,<c@d.org>", "RCPT TO:<a@b.org> <c@d.org>", "RCPT TO:<a@b.org.>", "RCPT TO:<a@b_c.org>", "RCPT TO:<a..b@c.org>", "RCPT TO:<a.@c.org>", 'RCPT TO:<"a>b"@c.org>', 'RCPT TO:<"a b"@c.org>', "RCPT TO:<@x.org:a@b.org>", "RCPT TO:<%s@b.org>" % (L64*3), "RCPT TO:<a@b.org> NOTIFY=NEVER", "RCPT TO:<a@b.org> NOTIFY=never", "RCPT TO:<a@b.org> NOTIFY=SUCCESS,FAILURE,DELAY", "RCPT TO:<a@b.org> NOTIFY=SUCCESS,SUCCESS", "RCPT TO:<a@b.org> NOTIFY=NEVER,DELAY", "RCPT TO:<a@b.org> NOTIFY=", "RCPT TO:<a@b.org> NOTIFY=X", "RCPT TO:<a@b.org> ORCPT=rfc822;a@b.org", "RCPT TO:<a@b.org> ORCPT=a@b.org", "RCPT TO:<a@b.org> ORCPT=rfc822;", "RCPT TO:<a@b.org> ORCPT=rfc822;"+"x"*493, "RCPT TO:<a@b.org> ORCPT=rfc822;"+"x"*494, "RCPT TO:<a@b.org> SIZE=1", "RCPT TO:<a@b.org> X=y", "RCPT FROM:<a@b.org>", "RCPT TO:<a@[1.2.3.4]>", "RCPT TO:<a@1.2.3.4>", "RCPT TO:<a@b c.org>", "RCPT TO:<a b@c.org>", "RCPT TO:<a,b@c.org>", "RCPT TO:<a:b@c.org>", "RCPT TO:<a;b@c.org>", "RCPT TO:<a/b=c+d@e.org>", "RCPT TO:<|a@b.org>", "RCPT TO:<a(b)@c.org>",
 # others
 "NOOP", "NOOP x", "RSET", "RSET x", "VRFY", "VRFY a@b.org", "VRFY root", "EXPN a", "HELP", "HELP x", "EHLO", "EHLO x", "EHLO x y", "HELO", "HELO x", "HELO x_y", "HELO [1.2.3.4]", "HELO (x)", "EHLO \u00e4", "DATA", "DATA x", "BDAT", "BDAT x", "QUIT x", "QUIT", "FOO", "FOO BAR", "", " ", "GET / HTTP/1.0", "Host: x", "Subject : x", "1234", "AUTH", "AUTH PLAIN", "STARTTLS", "STARTTLS x", "ETRN x", "TURN", "SEND FROM:<a@b.org>", "XCLIENT NAME=x", "XFORWARD NAME=x", "LHLO x", "noop\t", "NOOP \x01",
]

HEADER = "a header where an address should be: RFC 5322 has comments and groups, " \
    "an envelope has none"
QUOTES = "such a local part takes quotes: what is meant is not clear"
BRACKETS = "what the brackets hold is not clear"
FOREIGN = "both end the session; our reply says that it is an error"

# Why ours is another one.
REASONS = {
    "MAIL FROM:>": BRACKETS,
    "MAIL FROM:a@b.org>": BRACKETS,
    "MAIL FROM:<a@b.org>>": BRACKETS,
    "MAIL FROM:(c)<a@b.org>": HEADER,
    "MAIL FROM:<a(c)@b.org>": HEADER,
    "RCPT TO:<a(b)@c.org>": HEADER,
    "MAIL FROM:<a@b.org;>": HEADER,
    "MAIL FROM:<A:a@b.org;>": HEADER,
    "MAIL FROM:<@x.org:>": "a route without an address",
    "MAIL FROM:<@x.org>": "a domain without a local part",
    "MAIL FROM:<a@b@c.org>": QUOTES,
    'MAIL FROM:<a."b".c@d.org>': QUOTES,
    "MAIL FROM:<a\\b@c.org>": QUOTES,
    "MAIL FROM:<a\\ b@c.org>": QUOTES,
    "MAIL FROM:<a @b.org>": QUOTES,
    "MAIL FROM:<a@ b.org>": "no domain holds a blank",
    "RCPT TO:<a:b@c.org>": QUOTES,
    "MAIL FROM:<a@1.2.3.4>": "a transport with a server takes it there",
    "RCPT TO:<a@1.2.3.4>": "a transport with a server takes it there",
    "MAIL FROM:<a@[1.2.3.4>": "a literal ends in ]",
    "MAIL FROM:<%s@b.org>" % ("a" * 1100): "1,000 octets are the most",
    "MAIL FROM:<a@b.org> ENVID=" + "x" * 101: "RFC 3461, 4.4: 100",
    "MAIL FROM:<a@b.org> ENVID=a=b": "RFC 3461, 4: no xtext",
    "MAIL FROM:<a@b.org> AUTH=<>": "AUTH was not offered",
    "MAIL FROM:<\u00e4@b.org>": "RFC 6531, 3.5: it takes SMTPUTF8",
    "RCPT TO:<a@b.org> NOTIFY=SUCCESS,SUCCESS": "RFC 3461, 4.1",
    "RCPT TO:<a@b.org> ORCPT=rfc822;": "RFC 3461, 4.2: no address",
    "RCPT TO:<a@b.org> ORCPT=rfc822;" + "x" * 494: "RFC 3461, 4.2: 500",
    "HELP": "RFC 5321, 4.5.1, wants it",
    "HELP x": "RFC 5321, 4.5.1, wants it",
    "ETRN x": "there is no ETRN; both refuse it",
    "MAILFROM:<a@b.org>": FOREIGN,
    "GET / HTTP/1.0": FOREIGN,
    "Host: x": FOREIGN,
    "1234": FOREIGN,
    "Subject : x": "a field of a header as well",
    "NOOP \x01": "no command has a control character",
}


class Talk:
    """One session; the last line of each reply, None behind its end."""

    def __init__(self, place):
        self.sock = socket.create_connection(place, 60)
        self.file = self.sock.makefile("rb")
        self.reply()
        self.say("EHLO me.test")

    def reply(self):
        while True:
            line = self.file.readline().decode("utf-8", "replace")
            if line == "" or line[3:4] != "-":
                return line.rstrip() or None

    def say(self, line):
        try:
            self.sock.sendall(line.encode() + b"\r\n")
            return self.reply()
        except ConnectionError:
            return None

    def close(self):
        self.file.close()
        self.sock.close()


def ask(place, line):
    """What it says to the line, and whether the session goes on."""
    talk = Talk(place)
    try:
        if line.lower().startswith("rcpt"):
            assert talk.say("MAIL FROM:<>").startswith("250")
        said = talk.say(line) or "closed"
        return said, said.startswith("354") or talk.say("NOOP") is not None
    finally:
        talk.close()


def every_line_has_its_reply(peers):
    wrong = []
    with Postfix(peers, MAIN) as postfix, \
            Place(globals='myorigin = "origin.test"') as ours:
        for line in INPUTS:
            theirs = ask((postfix.address, POSTFIX_PORT), line)
            own = ask((ours.address, PORT), line)
            differs = (theirs[0][0], theirs[1]) != (own[0][0], own[1])
            if differs != (line in REASONS):
                wrong.append((line[:80], theirs, own))
        # where it was completed, by whose domain
        talk = Talk((ours.address, PORT))
        for line in ("MAIL FROM:<root>", "RCPT TO:<root>", "DATA"):
            assert talk.say(line)[0] in "23", line
        assert talk.say("A: b\r\n\r\nx\r\n.").startswith("250")
        mail = ours.mails(1, "root@origin.test")[0]
        assert mail.commands[0].startswith(b"MAIL FROM:<root@origin.test>")
    assert not set(REASONS) - set(INPUTS), set(REASONS) - set(INPUTS)
    assert not wrong, wrong


def run(suite):
    if os.geteuid() != 0:
        suite.skip("syntax: beside Postfix", "Postfix needs root")
        return
    with Peers() as peers:
        peers.root = unpacked(peers)
        suite.check("syntax: %d commands beside Postfix's smtpd" % len(INPUTS),
                    lambda: every_line_has_its_reply(peers))
