"""The ways to an XMPP server that an account may name, all of them: BOSH over TLS and without, host-meta, STARTTLS, TLS from the first byte;
and domains whose users log in by one mechanism each."""

import os
import re
import shutil

from .names import own_address
from .process import free_port
from .tls import Authority

# By the mechanism that their users log in with: the hash of which the server keeps, or PLAIN where it offers no other.
DOMAINS = {"SCRAM-SHA-1": "example.net", "SCRAM-SHA-256": "strong.example.net", "PLAIN": "plain.example.net"}

PROSODY = """
http_ports = {{ {http} }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{ {https} }}
https_interfaces = {{ "127.0.0.1" }}
https_ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
c2s_direct_tls_ports = {{ {direct} }}
c2s_direct_tls_interfaces = {{ "127.0.0.1" }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
ssl = {{ certificate = "{certificate}", key = "{certificate}" }}
http_default_host = "example.net"
http_files_dir = "{folder}/www"
"""

HOST_META = """<?xml version='1.0' encoding='utf-8'?>
<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'><Link rel='urn:xmpp:alt-connections:xbosh' href='{url}'/></XRD>
"""

PROSODY_DOMAINS = """
VirtualHost "example.net"
    modules_enabled = { "http_files" }
    http_paths = { files = "/" }
VirtualHost "strong.example.net"
    password_hash = "SHA-256"
VirtualHost "plain.example.net"
    disable_sasl_mechanisms = { "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "DIGEST-MD5" }
"""

EJABBERD = """certfiles:
  - "{certificate}"
host_config:
  strong.example.net:
    auth_scram_hash: sha256
  plain.example.net:
    disable_sasl_mechanisms: ["scram-sha-1", "scram-sha-256", "scram-sha-512", "scram-sha-1-plus", "scram-sha-256-plus", "scram-sha-512-plus",
                              "digest-md5", "x-oauth2"]
listen:
  - port: {http}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers:
      /http-bind: mod_bosh
  - port: {https}
    ip: "127.0.0.1"
    module: ejabberd_http
    tls: true
    request_handlers:
      /http-bind: mod_bosh
      /.well-known/host-meta: mod_host_meta
  - port: {direct}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    access: c2s
    tls: true
"""


class Ways:
    """Ports on 127.0.0.1, and an address on which the well-known ones are free. `offer` is for a server that is not started yet."""

    def __init__(self, folder):
        self.address = own_address()
        self.http, self.https, self.direct = free_port(), free_port(), free_port()
        self.authority = Authority(os.path.join(str(folder), "tls"))
        self.certificate = self.authority.certificate("IP:127.0.0.1", *(f"DNS:{domain}" for domain in DOMAINS.values()))

    @property
    def clear_url(self):
        return f"http://127.0.0.1:{self.http}/http-bind"

    @property
    def url(self):
        return f"https://127.0.0.1:{self.https}/http-bind"

    def offer(self, server):
        if server.name == "prosody":
            self._of_prosody(server)
        else:
            self._of_ejabberd(server)
        return self.url

    def _values(self):
        return {"http": self.http, "https": self.https, "direct": self.direct, "certificate": self.certificate}

    def _of_prosody(self, server):
        meta = os.path.join(server.folder, "www", ".well-known", "host-meta")
        os.makedirs(os.path.dirname(meta))
        _write(meta, HOST_META.format(url=self.url))
        text = _read(server.config).replace("http_ports = { }\nhttps_ports = { }\n", PROSODY.format(folder=server.folder, **self._values()))
        text = text.replace("modules_enabled = { ", 'modules_enabled = { "bosh", ', 1)
        _write(server.config, text.replace('VirtualHost "example.net"\n', PROSODY_DOMAINS))

    def _of_ejabberd(self, server):
        # The user ejabberd may not walk down to ours.
        certificate = os.path.join(server.folder, "conf", "server.pem")
        shutil.copy(self.certificate, certificate)
        os.chmod(certificate, 0o644)
        path = os.path.join(server.folder, "conf", "ejabberd.yml")
        text = _read(path).replace("  - example.net\n", "".join(f"  - {domain}\n" for domain in DOMAINS.values()))
        text = text.replace("    access: c2s\n", "    access: c2s\n    starttls: true\n", 1)
        text = re.sub(r"^listen:\n", EJABBERD.format(**{**self._values(), "certificate": certificate}), text, count=1, flags=re.MULTILINE)
        _write(path, re.sub(r"^modules:\n", f'modules:\n  mod_bosh: {{}}\n  mod_host_meta:\n    bosh_service_url: "{self.url}"\n', text,
                            count=1, flags=re.MULTILINE))


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
