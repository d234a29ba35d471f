"""Certificates of a CA that lives as long as a test, and a proxy that takes TLS off a connection."""

import os
import socket
import ssl
import subprocess
import threading

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A CA in `folder`; `path` is its certificate."""

    def __init__(self, folder, name="ca"):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, f"{name}.pem")
        self.key = os.path.join(self.folder, f"{name}.key")
        os.makedirs(self.folder, exist_ok=True)
        _openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.path, "-days", "2", "-subj", f"/CN={name}",
                 "-addext", "keyUsage=critical,keyCertSign")

    def certificate(self, *names):
        """A file with a certificate for these names ("DNS:localhost", "IP:::1") and its key."""
        stem = os.path.join(self.folder, "".join(c if c.isalnum() else "_" for c in names[0]))
        _openssl("req", "-x509", *KEY, "-CA", self.path, "-CAkey", self.key, "-keyout", stem + ".key", "-out", stem + ".crt", "-days", "2",
                 "-subj", "/CN=server", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=" + ",".join(names))
        with open(stem + ".pem", "w", encoding="utf-8") as out:
            for part in (".crt", ".key"):
                with open(stem + part, encoding="utf-8") as file:
                    out.write(file.read())
        return stem + ".pem"


def _openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class TlsProxy(threading.Thread):
    """Speaks TLS on `port` and plain TCP to `target`, both on loopback."""

    def __init__(self, certificate, target, port):
        super().__init__(daemon=True)
        self.port = port
        self.target = target
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        threading.Thread(target=_pass, args=(server, client), daemon=True).start()
        _pass(client, server)

    def stop(self):
        self.listener.close()


def _pass(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
