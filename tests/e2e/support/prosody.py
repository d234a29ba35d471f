"""A real Prosody that runs cfg-examples/prosody."""

import os
import shutil
import subprocess

from . import example
from .process import Process
from .process import accepts
from .process import free_port

NAME = "prosody"

# What a test needs beside the example: ports and folders of its own, and logins without TLS, on loopback only.
FOR_TESTS = """
run_as_root = true
data_path = "{folder}/data"
pidfile = "{folder}/prosody.pid"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{folder}/server.log" }} }}
c2s_ports = {{ {c2s} }}
c2s_interfaces = {{ "127.0.0.1" }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
plugin_paths = {{ }}
"""


def missing():
    return None if shutil.which("prosody") else "no prosody in PATH (Debian package prosody)"


class Prosody:
    def __init__(self, folder, sip_domain="sip.example.com", xmpp_domain="example.net", secret="secret", component_port=None):
        self.name = NAME
        self.folder = os.path.join(str(folder), "prosody")
        self.domain = xmpp_domain
        self.port = free_port()
        self.component_port = component_port or free_port()
        self.component_address = "127.0.0.1"
        self.process = None
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        text = FOR_TESTS.format(folder=self.folder, c2s=self.port) + example.replaced(
            example.read("prosody", "xmpp_gateway.cfg.lua"),
            {"sip.example.com": "\0", "example.net": xmpp_domain, "\0": sip_domain, "5347": self.component_port, "change-me": secret})
        self.config = example.write(self.folder, "prosody.cfg.lua", text)

    def register(self, user, password, domain=None):
        domain = domain or self.domain
        subprocess.run(["prosodyctl", "--config", self.config, "register", user, domain, password], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return f"{user}@{domain}"

    def start(self):
        self.process = Process(NAME, self.folder, ["prosody", "-F", "--config", self.config])
        self.process.wait_ready(lambda: accepts(self.port) and accepts(self.component_port, self.component_address))
        return self

    def stop(self):
        return self.process.stop() if self.process else 0.0

    def kill(self):
        if self.process:
            self.process.kill()

    def log(self):
        """What the server logged, at debug level."""
        try:
            with open(os.path.join(self.folder, "server.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""
