# SPDX-License-Identifier: ISC
"""postern doctor: an installation that is broken in each way, and the line that
names it and its cure; and one where all is well."""
import json
import os
import socket
import subprocess
import tempfile
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from daemon import Daemon, Suite, PLAIN_UID, ROLE_UIDS, wait_for  # noqa
from sink import Sink  # noqa

CHECKS = ("configuration", "users", "folders", "daemon", "roles", "walls", "sockets",
          "listeners", "certificates", "trust", "hostname", "resolver",
          "transports", "handshakes", "outbound", "disk", "spool", "queue", "limits", "clock",
          "log", "outcomes", "metrics", "sendmail")


class NameServer:
    """Answers every question with one code: no such name, unless told."""

    def __init__(self, rcode=3):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.rcode = rcode
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                ask, peer = self.sock.recvfrom(512)
            except OSError:
                return
            self.sock.sendto(ask[:2] + b"\x81" + bytes([0x80 | self.rcode]) +
                             ask[4:6] + b"\0\0\0\0\0\0" + ask[12:], peer)

    def config(self):
        return 'name_servers = { "127.0.0.1@%d" }\n' % self.port


def doctor(d, *options, as_user=None):
    """What it found, by check, and its exit status."""
    argv = [d.dir + "/postern", "doctor", "--json", "-c", d.config, *options]
    if as_user is not None:
        argv = ["setpriv", "--reuid=%d" % as_user, "--regid=%d" % as_user,
                "--clear-groups"] + argv
    r = subprocess.run(argv, capture_output=True, timeout=300)
    assert r.stderr == b"", r.stderr
    rows = [json.loads(line) for line in r.stdout.splitlines()]
    assert rows and rows[-1]["done"], r.stdout
    assert r.returncode == (1 if rows[-1]["faults"] else 0), (r.returncode, rows)
    return rows[:-1]


def finds(rows, check, level, *words):
    """The finding of a check that has all the words in it, with a cure."""
    for row in rows:
        text = row["what"] + " | " + row.get("cure", "")
        if row["check"] == check and row["level"] == level and \
                all(w in text for w in words):
            assert row.get("cure"), "no cure: %r" % row
            return row
    raise AssertionError("no %s of %s with %r in:\n%s" % (
        level, check, words, "\n".join(map(str, rows))))


class Broken:
    """An installation that nobody started, with a name server of its own."""

    def __init__(self, body="", rcode=3, plain=False):
        self.names = NameServer(rcode)
        self.d = Daemon(self.names.config() + body, plain=plain)

    def __enter__(self):
        return self.d

    def __exit__(self, *exc):
        self.d.clear()
        self.names.sock.close()


def make_pair(folder, days=90, name="mail.postern.test"):
    key, cert = folder + "/key.pem", folder + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-days", str(days), "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=DNS:" + name],
                   check=True, capture_output=True)
    return cert, key


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listener_tcp(port, more=""):
    return ('listener mta {\n\tlisten = "127.0.0.1:%d"\n%s}\n' % (port, more))


def transport(server, more=""):
    return ('transport store {\n\tprotocol = lmtp\n\tserver = "%s"\n'
            '\ttls_security_level = none\n%s}\n' % (server, more))


def all_is_well():
    with Sink() as sink:
        names = NameServer()
        d = Daemon(names.config() + transport("127.0.0.1:%d" % sink.port) +
                   listener_tcp(free_port()))
        try:
            d.start()
            rows = doctor(d)
            faults = [r for r in rows if r["level"] == "fault"]
            assert not faults, faults
            assert {r["check"] for r in rows} == set(CHECKS), rows
            r = d.postern("doctor")
            assert r.returncode == 0, r.stdout
            assert b"ok       roles: all 8 run\n" in r.stdout, r.stdout
        finally:
            d.clear()
            names.sock.close()


def it_runs_without_root():
    if os.geteuid() != 0:
        return
    names = NameServer()
    d = Daemon(names.config())
    try:
        d.start()
        rows = doctor(d, as_user=PLAIN_UID)
        skipped = [r["check"] for r in rows if r["level"] == "skipped"]
        assert "roles" in skipped and "queue" in skipped, rows
        finds(rows, "sockets", "warning", "you may not use it", "0660")
        assert [r for r in rows if r["check"] == "daemon"][0]["level"] == "ok"
    finally:
        d.clear()
        names.sock.close()


def a_plain_installation_is_its_users():
    if os.geteuid() != 0:
        return
    names = NameServer()
    d = Daemon(names.config(), plain=True)
    try:
        d.start()
        rows = doctor(d, as_user=PLAIN_UID)
        assert not [r for r in rows if r["level"] == "fault"], rows
        finds(rows, "users", "warning", "all roles run as uid %d" % PLAIN_UID)
    finally:
        d.clear()
        names.sock.close()


def no_configuration():
    with Broken() as d:
        os.unlink(d.config)
        finds(doctor(d), "configuration", "fault", "cannot be opened")


def a_wrong_configuration():
    with Broken('maximal_backoff_time = soon\n' + transport("nowhere:99999")) as d:
        rows = doctor(d)
        finds(rows, "configuration", "fault", "postern.conf:", "soon")
        finds(rows, "configuration", "fault", "postern.conf:", "nowhere:99999")


def domains_without_a_route():
    """posternd -n names the line, and so does the doctor; nobody else does."""
    body = 'route "*" { transport = none }\n'
    with Broken('route a.test { transport = smtp }\n') as d:
        assert not [r for r in doctor(d) if "route" in r["what"]]
        r = subprocess.run([d.dir + "/posternd", "-n", "-c", d.config],
                           capture_output=True)
        assert r.returncode == 0 and r.stderr == b"", r.stderr
    with Broken(body) as d:
        line = len(open(d.config).read().splitlines())
        finds(doctor(d), "configuration", "warning", ":%d:" % line,
              "transport = none", "name a transport")
        r = subprocess.run([d.dir + "/posternd", "-n", "-c", d.config],
                           capture_output=True)
        assert r.returncode == 0, r.stderr
        assert b":%d: warning: route * has transport = none" % line \
            in r.stderr, r.stderr


def what_is_mostly_not_meant():
    """posternd -n and the doctor say the same, and what to write instead."""
    with tempfile.NamedTemporaryFile() as secret:
        secret.write(b"secret\n")
        secret.flush()
        os.chmod(secret.name, 0o644)
        body = """
delay_warning_time = 30d
listener in { listen = "127.0.0.1:10025" }
transport round { server = "localhost:10025" }
transport wrapped { server = "mail.example.org:465" }
transport login {
	server = "mail.example.org:587"
	tls_security_level = encrypt
	auth_user = u
	auth_password_file = "%s"
}
""" % secret.name
        with Broken(body) as d:
            r = subprocess.run([d.dir + "/posternd", "-n", "-c", d.config],
                               capture_output=True)
            assert r.returncode == 0, r.stderr
            rows = doctor(d)
            for what, cure in (
                    ("delay_warning_time is not below", "delay_warning_time ="),
                    ("our own listener in", "name the server"),
                    ("port 465 begins with TLS", "tls_wrappermode = yes"),
                    ("may read " + secret.name, "chmod 0600")):
                assert what.encode() in r.stderr, (what, r.stderr)
                finds(rows, "configuration", "warning", what, cure)


def open_doors():
    with Broken("control_socket_mode = 0666\njob_socket_mode = 0666\n") as d:
        rows = doctor(d)
        finds(rows, "configuration", "fault", "control_socket_mode = 0600")
        finds(rows, "configuration", "warning", "every local user may send")


def no_users():
    with Broken() as d:
        text = open(d.config).read().replace(
            'dialer_user = "%d"' % ROLE_UIDS["dialer"],
            'dialer_user = "postern-nobody-made"')
        text = text.replace('signer_user = "%d"' % ROLE_UIDS["signer"],
                            'signer_user = "%d"' % ROLE_UIDS["agent"])
        with open(d.config, "w") as f:
            f.write(text)
        rows = doctor(d)
        finds(rows, "users", "fault", "postern-nobody-made", "useradd")
        finds(rows, "users", "warning", "agent_user and signer_user are the same")


def folders_of_others():
    with Broken() as d:
        os.mkdir(d.dir + "/spool", 0o700)
        os.mkdir(d.dir + "/run")
        os.chmod(d.dir + "/run", 0o777)
        rows = doctor(d)
        finds(rows, "folders", "fault", "spool_directory", "chown -R")
        finds(rows, "folders", "fault", "run_directory", "0777", "chmod 0755")
        os.chown(d.dir + "/spool", ROLE_UIDS["queue"], ROLE_UIDS["queue"])
        with open(d.dir + "/spool/queue.db", "w"):
            pass
        finds(doctor(d), "folders", "fault", "1 of its files")
        os.chmod(d.dir + "/spool", 0o770)
        finds(doctor(d), "folders", "fault", "another queue")


def no_folder_to_make_it_in():
    with Broken() as d:
        text = open(d.config).read().replace(d.dir + "/spool",
                                             d.dir + "/not/there")
        with open(d.config, "w") as f:
            f.write(text)
        finds(doctor(d), "folders", "fault", "spool_directory", "not")


def it_does_not_run():
    with Broken() as d:
        os.mkdir(d.dir + "/spool", 0o700)
        if os.geteuid() == 0:
            os.chown(d.dir + "/spool", ROLE_UIDS["queue"], ROLE_UIDS["queue"])
        rows = doctor(d)
        assert [r for r in rows if r["level"] == "fault"] == \
            [r for r in rows if r["check"] == "daemon"], rows
        finds(doctor(d), "daemon", "fault", "does not run", "systemctl start")


def sockets_of_others():
    with Broken() as d:
        os.mkdir(d.dir + "/run")
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.bind(d.dir + "/run/job")
        other.listen()
        with open(d.dir + "/run/control", "w"):
            pass
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stale.bind(d.dir + "/run/metrics")
        stale.close()
        rows = doctor(d)
        finds(rows, "sockets", "fault", "job_socket", "[%d]" % os.getpid())
        finds(rows, "sockets", "fault", "control_socket", "is no socket")
        finds(rows, "sockets", "warning", "metrics_socket", "stale")
        other.close()


def a_socket_that_somebody_removed():
    names = NameServer()
    d = Daemon(names.config())
    try:
        d.start()
        os.unlink(d.dir + "/run/job")
        os.unlink(d.dir + "/run/metrics")
        rows = doctor(d)
        finds(rows, "sockets", "fault", "job_socket", "although posternd runs")
        finds(rows, "metrics", "fault", "does not answer", "restart")
    finally:
        d.clear()
        names.sock.close()


def a_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with Broken(listener_tcp(other.getsockname()[1])) as d:
            finds(doctor(d), "listeners", "fault", "in use by",
                  "[%d]" % os.getpid())


def an_address_of_another_machine():
    with Broken('listener mta { listen = "192.0.2.1:2525"\n'
                'clients = { "192.0.2.0/24" } }\n') as d:
        finds(doctor(d), "listeners", "fault", "no address of this machine")


def a_listener_that_came_later():
    names = NameServer()
    d = Daemon(names.config())
    try:
        d.start()
        with open(d.config, "a") as f:
            f.write(listener_tcp(free_port()))
        finds(doctor(d), "listeners", "fault", "nobody answers", "restart")
    finally:
        d.clear()
        names.sock.close()


def tls(d, port, cert, key):
    with open(d.config, "a") as f:
        f.write(listener_tcp(port, '\thostname = "mail.postern.test"\n'
                             '\ttls_cert_file = "%s"\n\ttls_key_file = "%s"\n'
                             % (cert, key)))


def certificates():
    with Broken() as d:
        cert, key = make_pair(d.dir, 3, "other.postern.test")
        tls(d, free_port(), cert, key)
        rows = doctor(d)
        finds(rows, "certificates", "warning", "expires in", "renew it")
        finds(rows, "certificates", "warning", "is not for mail.postern.test")
        os.mkdir(d.dir + "/other")
        make_pair(d.dir + "/other")
        os.rename(d.dir + "/other/key.pem", key)
        finds(doctor(d), "certificates", "fault",
              "the key is not that of the certificate")
        os.unlink(cert)
        finds(doctor(d), "certificates", "fault", cert)


def a_chain_without_its_end():
    with Broken() as d:
        cert, key = make_pair(d.dir)
        os.mkdir(d.dir + "/ca")
        ca, ca_key = make_pair(d.dir + "/ca", name="authority.test")
        make_request(d.dir, key)
        subprocess.run(["openssl", "x509", "-req", "-in", d.dir + "/csr", "-CA",
                        ca, "-CAkey", ca_key, "-days", "90", "-out", cert],
                       check=True, capture_output=True)
        tls(d, free_port(), cert, key)
        finds(doctor(d), "certificates", "warning", "chain is not complete")


def make_request(folder, key):
    subprocess.run(["openssl", "req", "-new", "-key", key, "-subj",
                    "/CN=mail.postern.test", "-out", folder + "/csr"],
                   check=True, capture_output=True)


def an_expired_certificate():
    with Broken() as d:
        cert, key = make_pair(d.dir)
        make_expired(d.dir, cert, key)
        tls(d, free_port(), cert, key)
        finds(doctor(d), "certificates", "fault", "has expired")


def make_expired(folder, cert, key):
    """One whose last day was in 2020, by a small authority."""
    with open(folder + "/ca.conf", "w") as f:
        f.write("[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index\nserial=%s/serial\n"
                "new_certs_dir=%s\ndefault_md=sha256\npolicy=p\n"
                "[p]\ncommonName=supplied\n" % ((folder,) * 3))
    open(folder + "/index", "w").close()
    with open(folder + "/serial", "w") as f:
        f.write("01\n")
    make_request(folder, key)
    subprocess.run(["openssl", "ca", "-batch", "-config", folder + "/ca.conf",
                    "-selfsign", "-keyfile", key, "-in", folder + "/csr",
                    "-startdate", "200101000000Z", "-enddate",
                    "200201000000Z", "-out", cert, "-notext"],
                   check=True, capture_output=True)


def no_trust():
    with Broken('transport relay {\n\tserver = "127.0.0.1:1"\n'
                '\ttls_security_level = may\n'
                '\ttls_CAfile = "/nonexistent/ca.pem"\n}\n') as d:
        finds(doctor(d), "trust", "warning", "/nonexistent/ca.pem",
              "ca-certificates")
        with open(d.dir + "/ca.pem", "w") as f:
            f.write("no certificate\n")
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("/nonexistent", d.dir).replace(
                "= may", "= verify"))
        finds(doctor(d), "trust", "fault", "no certificate in it")


def names():
    with Broken(rcode=2) as d:
        rows = doctor(d)
        finds(rows, "resolver", "fault", "no name server answers")
        finds(rows, "resolver", "warning", "SERVFAIL")
        finds(rows, "hostname", "warning", "client.postern.test")
    with Broken('dnssec_trust_anchor_file = "/nonexistent/root.key"\n'
                'hosts_file = "/nonexistent/hosts"\n') as d:
        rows = doctor(d)
        finds(rows, "resolver", "fault", "/nonexistent/root.key")
        finds(rows, "resolver", "warning", "/nonexistent/hosts")
    with Broken() as d:
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("client.postern.test", "client"))
        finds(doctor(d), "hostname", "warning", "not fully qualified")


def a_store_that_keeps_the_dialer_out():
    with Broken() as d:
        os.mkdir(d.dir + "/store")
        path = d.dir + "/store/lmtp"
        with open(d.config, "a") as f:
            f.write(transport("unix:" + path))
        finds(doctor(d), "transports", "fault", path, "unix_listener")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        os.chmod(path, 0o600)
        finds(doctor(d), "transports", "fault", "the dialer", "unix_listener",
              "mode = 0660 group = %d" % ROLE_UIDS["dialer"])
        os.chmod(path, 0o666)
        os.chmod(d.dir + "/store", 0o700)
        finds(doctor(d), "transports", "fault", "the folder", "chmod o+x")
        os.chmod(d.dir + "/store", 0o711)
        rows = doctor(d)
        assert "fault" not in [r["level"] for r in rows
                               if r["check"] == "transports"], rows
        server.close()
        finds(doctor(d), "transports", "fault", "nobody is behind")


def a_relay_that_is_away():
    with Broken(transport("127.0.0.1:%d" % free_port())) as d:
        finds(doctor(d), "transports", "fault", "Connection refused")


def no_room():
    with Broken("queue_minfree = 2147483647\n") as d:
        st = os.statvfs(d.dir)
        if st.f_bavail * st.f_frsize < 4 * 2147483647:
            finds(doctor(d), "disk", "fault" if
                  st.f_bavail * st.f_frsize < 2147483647 else "warning",
                  "make room")


def a_disk_of_memory():
    if not os.path.isdir("/dev/shm"):
        return
    with Broken() as d:
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace(d.dir + "/spool", "/dev/shm/postern-spool"))
        finds(doctor(d), "disk", "warning", "tmpfs", "local disk")


def a_damaged_spool():
    with Broken() as d:
        d.start()
        d.send(["a@b.test"], b"Subject: x\n\nx\n", wait="queued")
        d.stop()
        base = [os.path.join(d.dir, "spool", n)
                for n in os.listdir(d.dir + "/spool") if n.endswith(".db")]
        assert len(base) == 1, os.listdir(d.dir + "/spool")
        with open(base[0], "r+b") as f:
            f.seek(4096)
            f.write(b"\xff" * 8192)
        finds(doctor(d), "spool", "fault", "postern queue export")


def it_is_paused():
    names_ = NameServer()
    d = Daemon(names_.config() + transport("127.0.0.1:%d" % free_port()) +
               'route "*" { transport = store }\n')
    try:
        d.start()
        assert d.postern("pause", "--transport", "store").returncode == 0
        d.send(["a@b.test"], b"Subject: x\n\nx\n", wait="queued")
        r = d.postern("queue", "hold", "--recipient", "a@b.test")
        assert r.returncode == 0, r.stderr
        rows = doctor(d)
        finds(rows, "queue", "warning", "transport store is paused",
              "postern resume --transport store")
        finds(rows, "queue", "warning", "1 recipients are held", "release")
    finally:
        d.clear()
        names_.sock.close()


def rest_is_found(d):
    """It may be over for the moment, while it is probed."""
    try:
        finds(doctor(d), "queue", "warning", "rests", "postern explain")
    except AssertionError:
        return False
    return True


def a_destination_that_rests():
    names_ = NameServer()
    d = Daemon(names_.config() + transport("127.0.0.1:%d" % free_port()) +
               'route "*" { transport = store }\n')
    try:
        d.start()
        # One failure is not enough.
        for i in range(6):
            d.send(["a%d@b.test" % i], b"Subject: x\n\nx\n", wait="queued")
        wait_for(lambda: b" rests " in d.postern("top", "--once").stdout,
                 what="a rest in top")
        wait_for(lambda: rest_is_found(d), 60, "a rest in doctor")
    finally:
        d.clear()
        names_.sock.close()


def a_role_that_died():
    names_ = NameServer()
    d = Daemon(names_.config())
    try:
        d.start()
        pid = d.pids("resolver")[0]
        os.kill(pid, 9)
        wait_for(lambda: d.pids("resolver") not in ([], [pid]), 60,
                 "another resolver")
        finds(doctor(d), "roles", "warning", "the resolver was restarted")
    finally:
        d.clear()
        names_.sock.close()


def few_files():
    with Broken("process_limit = 10000\n") as d:
        r = subprocess.run(
            ["prlimit", "--nofile=1000:1000", d.dir + "/postern", "doctor",
             "--json", "-c", d.config], capture_output=True, timeout=300)
        rows = [json.loads(line) for line in r.stdout.splitlines()]
        finds(rows[:-1], "limits", "warning", "1000 open files", "LimitNOFILE")


def a_log_that_goes_nowhere():
    names_ = NameServer()
    d = Daemon(names_.config())
    try:
        with open(os.devnull, "w") as nowhere:
            d.process = subprocess.Popen([d.dir + "/posternd", "-c", d.config],
                                         stdout=nowhere, stderr=nowhere)
            wait_for(lambda: os.path.exists(d.dir + "/run/control"), 60,
                     "the control socket")
            wait_for(lambda: len(d.status()) >= 8, 60, "all roles")
            finds(doctor(d), "log", "warning", "/dev/null")
    finally:
        d.clear()
        names_.sock.close()


def nobody_takes_outcomes():
    with Broken('outcome_socket = "/nonexistent/outcomes"\n') as d:
        finds(doctor(d), "outcomes", "fault", "/nonexistent/outcomes")


TESTS = (all_is_well, it_runs_without_root, a_plain_installation_is_its_users,
         no_configuration, a_wrong_configuration, domains_without_a_route,
         what_is_mostly_not_meant, open_doors, no_users,
         folders_of_others, no_folder_to_make_it_in, it_does_not_run,
         sockets_of_others, a_socket_that_somebody_removed, a_port_in_use,
         an_address_of_another_machine, a_listener_that_came_later,
         certificates, a_chain_without_its_end,
         an_expired_certificate, no_trust, names,
         a_store_that_keeps_the_dialer_out, a_relay_that_is_away, no_room,
         a_disk_of_memory, a_damaged_spool, it_is_paused,
         a_destination_that_rests, a_role_that_died, few_files,
         a_log_that_goes_nowhere, nobody_takes_outcomes)
# What they break, or show, takes users of their own.
AS_ROOT = (no_users, folders_of_others, a_store_that_keeps_the_dialer_out)


def run(suite):
    for test in TESTS:
        name = "doctor: " + test.__name__.replace("_", " ")
        if test in AS_ROOT and os.geteuid() != 0:
            suite.skip(name, "it wants root")
        else:
            suite.check(name, test)


if __name__ == "__main__":
    suite = Suite()
    run(suite)
    suite.end()
