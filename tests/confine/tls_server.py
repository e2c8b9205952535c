# SPDX-License-Identifier: ISC
"""A server that offers STARTTLS and takes every message."""
import os
import socket
import ssl
import subprocess
import threading


class Server(threading.Thread):
    """STARTTLS and any transaction, for as many connections as come."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        cert = os.path.join(folder, "cert.pem")
        key = os.path.join(folder, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=mx.postern.test", "-keyout", key, "-out", cert],
            check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def serve(self, conn):
        try:
            conn.sendall(b"220 mx.postern.test\r\n")
            f = conn.makefile("rb")
            for line in f:
                verb = line[:4].upper()
                if verb == b"STAR":
                    conn.sendall(b"220 go\r\n")
                    conn = self.tls.wrap_socket(conn, server_side=True)
                    return self.serve_tls(conn)
                conn.sendall(b"250-mx.postern.test\r\n250 STARTTLS\r\n")
        except OSError:
            pass

    def serve_tls(self, conn):
        f = conn.makefile("rb")
        in_message = False
        for line in f:
            if in_message:
                in_message = line != b".\r\n"
                if not in_message:
                    conn.sendall(b"250 2.0.0 taken\r\n")
            elif line[:4].upper() == b"DATA":
                in_message = True
                conn.sendall(b"354 go\r\n")
            elif line[:4].upper() == b"QUIT":
                conn.sendall(b"221 bye\r\n")
                return
            else:
                conn.sendall(b"250 mx.postern.test\r\n")
