# SPDX-License-Identifier: ISC
"""The server's side of SASL for the tests: SCRAM with all that can be wrong in
it, and what TLS 1.3 binds a login to (RFC 9266), from the key log."""
import base64
import hashlib
import hmac
import os

from server import ScriptError, line, say


def b64(octets):
    if isinstance(octets, str):
        octets = octets.encode("utf-8")
    return base64.b64encode(octets).decode("ascii")


def unb64(text):
    return base64.b64decode(text, validate=True)


def expand_label(secret, label, context, size):
    """HKDF-Expand-Label of RFC 8446, 7.1, with SHA-256 or SHA-384."""
    name = "sha256" if len(secret) == 32 else "sha384"
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + \
        bytes([len(context)]) + context
    out, block, n = b"", b"", 1
    while len(out) < size:
        block = hmac.new(secret, block + info + bytes([n]), name).digest()
        out += block
        n += 1
    return out[:size]


def exporter(secret):
    """tls-exporter, from EXPORTER_SECRET of the key log (RFC 8446, 7.5)."""
    name = "sha256" if len(secret) == 32 else "sha384"
    empty = hashlib.new(name, b"").digest()
    derived = expand_label(secret, b"EXPORTER-Channel-Binding", empty,
                           len(secret))
    return expand_label(derived, b"exporter", empty, 32)


def tls_with_keys(cert="good", most=None):
    """As tls(), and c.binding is (name, octets) of the channel."""
    def step(c):
        path = "%s/keys-%d-%d" % (c.certs.folder, os.getpid(), id(c))
        context = c.certs.context(cert, None, most)
        context.keylog_filename = path
        if not c.shake_hands(context):
            raise ScriptError("handshake failed: %s" % c.tls_error)
        c.binding = ("tls-unique", c.sock.get_channel_binding("tls-unique"))
        if c.tls_version == "TLSv1.3":
            with open(path, encoding="ascii") as f:
                secrets = [x.split()[2] for x in f
                           if x.startswith("EXPORTER_SECRET")]
            c.binding = ("tls-exporter", exporter(bytes.fromhex(secrets[-1])))
        os.unlink(path)
    return step


class Scram:
    """One login.  lie: what is wrong with this server."""

    def __init__(self, mechanism, password="pencil", iterations=4096,
                 lie=None, user="user"):
        self.name = mechanism
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.password = password.encode("utf-8")
        self.iterations = iterations
        self.lie = lie
        self.user = user
        self.nonces = []
        self.first = "(none yet)"

    def server_first(self, c, client_first):
        gs2, name, nonce = client_first.split(",", 2)[0], \
            client_first.split(",")[2], client_first.split(",")[3]
        if name != "n=" + self.user:
            raise ScriptError("user: %r" % client_first)
        if self.name.endswith("-PLUS") != gs2.startswith("p="):
            raise ScriptError("binding flag: %r" % client_first)
        if gs2.startswith("p=") and gs2 != "p=" + c.binding[0]:
            raise ScriptError("binding: %r, want %s" % (gs2, c.binding[0]))
        self.gs2 = ",".join(client_first.split(",")[:2]) + ","
        self.client_first = client_first[len(self.gs2):]
        self.nonces.append(nonce[2:])
        self.nonce = nonce[2:] + "server"
        if self.lie == "nonce":
            self.nonce = "other" + self.nonce
        self.salt = b"a salt of theirs"
        iterations = self.iterations
        self.first = "r=%s,s=%s,i=%s" % (self.nonce, b64(self.salt),
                                         iterations)
        if self.lie == "no iterations":
            self.first = self.first.rsplit(",", 1)[0]
        if self.lie == "two counts":
            self.first += ",i=4096"
        return self.first

    def server_final(self, c, client_final):
        without, proof = client_final.rsplit(",p=", 1)
        binding = self.gs2.encode("ascii")
        if self.gs2.startswith("p="):
            binding += c.binding[1]
        want = "c=%s,r=%s" % (b64(binding), self.nonce)
        if without != want:
            raise ScriptError("client-final: %r, want %r" % (without, want))
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, self.salt,
                                     int(self.iterations))
        mac = lambda key, text: hmac.new(key, text, self.hash).digest()
        both = ",".join((self.client_first, self.first, without)).encode()
        key = mac(salted, b"Client Key")
        stored = hashlib.new(self.hash, key).digest()
        signature = mac(stored, both)
        if bytes(a ^ b for a, b in zip(key, signature)) != unb64(proof):
            return None
        signature = mac(mac(salted, b"Server Key"), both)
        if self.lie == "signature":
            signature = bytes(len(signature))
        return "v=" + b64(signature)

    def steps(self):
        """From AUTH to the reply that ends it."""
        def play(c):
            first = c.read_line()
            words = first.split(" ")
            if words[:2] != ["AUTH", self.name] or len(words) != 3:
                raise ScriptError("want AUTH %s: %r" % (self.name, first))
            c.write(b"334 %s\r\n" % b64(self.server_first(
                c, unb64(words[2]).decode("utf-8"))).encode())
            final = c.read_line()
            if final == "*":
                c.write(b"501 5.7.0 as you wish\r\n")
                return
            final = self.server_final(c, unb64(final).decode("ascii"))
            if final is None:
                c.write(b"535 5.7.8 not so\r\n")
                return
            if self.lie == "no proof":
                c.write(b"235 2.7.0 come in\r\n")
                return
            c.write(b"334 %s\r\n" % b64(final).encode())
            end = c.read_line()
            if end == "*":
                c.write(b"501 5.7.0 as you wish\r\n")
            elif end == "":
                c.write(b"235 2.7.0 come in\r\n")
            else:
                raise ScriptError("want an empty line: %r" % end)
        return [play]


def plain(user="user", password="pencil", authzid="", reply="235 2.7.0 in"):
    return [line("AUTH PLAIN " + b64("%s\0%s\0%s" % (
        authzid, user, password)).replace("+", "[+]")), say(reply)]
