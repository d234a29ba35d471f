"""A real SIP client: baresip, driven through its ctrl_tcp module, with everything it sends and receives in its log."""

import json
import os
import re
import shutil
import socket
import time

from . import example
from .process import Process
from .process import accepts
from .process import free_port
from .process import wait_until
from .sip import Sip

MODULES = "/usr/lib/baresip/modules"
TRACED = re.compile(r"\x1b\[36;1m#\r?\nUDP 127\.0\.0\.1:(\d+) -> (127\.0\.0\.1):(\d+)\r?\n(.*?)\x1b\[;m", re.DOTALL)


def missing():
    return None if shutil.which("baresip") else "no baresip in PATH (Debian package baresip)"


class Baresip:
    """Registers sip:user@domain, publishes its presence, and subscribes to that of each of `contacts` (SIP URIs). It takes calls with
    `answers` "auto"."""

    def __init__(self, folder, user, domain, proxy_port, contacts=(), answers="manual"):
        self.uri = f"sip:{user}@{domain}"
        self.folder = os.path.join(str(folder), "baresip-" + user)
        self.control_port = free_port()
        self.process = None
        self.sip_port = str(free_port())
        proxy = f"sip:127.0.0.1:{proxy_port}"
        example.write(self.folder, "config", "\n".join([
            f"sip_listen 127.0.0.1:{self.sip_port}", f"module_path {MODULES}", "call_max_calls 1", "poll_method epoll",
            "module_tmp account.so", "module_app contact.so", "module_app menu.so", "module_app presence.so",
            "module_app ctrl_tcp.so", "module g711.so", f"ctrl_tcp_listen 127.0.0.1:{self.control_port}", ""]))
        example.write(self.folder, "accounts",
                      f'<{self.uri};transport=udp>;auth_pass=none;outbound="{proxy};transport=udp";regint=600;pubint=600;'
                      f"answermode={answers}\n")
        example.write(self.folder, "contacts", "".join(f'"{uri}" <{uri}>;presence=p2p\n' for uri in contacts))

    def start(self):
        self.process = Process("baresip", self.folder, ["baresip", "-4", "-s", "-f", self.folder], {"HOME": self.folder})
        self.process.wait_ready(lambda: accepts(self.control_port))
        return self

    def command(self, command, params=""):
        """One command of baresip's menu; returns what it printed."""
        request = json.dumps({"command": command, "params": params, "token": "t"}).encode()
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=5) as control:
            control.sendall(str(len(request)).encode() + b":" + request + b",")
            received = b""
            while True:
                found = re.match(rb"(\d+):", received)
                end = found.end() + int(found.group(1)) if found else len(received)
                if len(received) <= end:
                    received += control.recv(65536)
                    continue
                # Events come between.
                answer = json.loads(received[found.end():end])
                if answer.get("response"):
                    return answer.get("data", "")
                received = received[end + 1:]

    def log(self):
        return self.process.log()

    def wait_registered(self):
        wait_until("baresip to register", lambda: re.search(r"200 OK.{0,400}CSeq: \d+ REGISTER", self.log(), re.DOTALL), 10)

    def trace(self, start=0):
        """The SIP messages traced beyond this offset of the log, as (sent, message), and where to go on."""
        text = self.log()
        found, end = [], start
        for part in TRACED.finditer(text, start):
            found.append((part.group(1) != part.group(3) and part.group(1) == self.sip_port,
                          Sip(part.group(4).replace("\r\n", "\n").replace("\n", "\r\n").encode())))
            end = part.end()
        return found, end

    def published_once(self, helper):
        """Waits until it has published. A PUBLISH whose answer takes longer than a timer of 10 ms it sends anew, as if it were the first, and
        forgets what it published before: `helper`, another agent, takes that back."""
        answered = lambda: [m for sent, m in self.trace()[0] if not sent and m.is_response and m.method == "PUBLISH"]  # noqa: E731
        wait_until("baresip to publish", answered)
        time.sleep(0.02)
        # Each turn of its loop ends with what its timers have to do.
        for _ in range(2):
            self.command("contacts")
        sent = lambda: [m for sent, m in self.trace()[0] if sent and m.method == "PUBLISH" and not m.is_response]  # noqa: E731
        wait_until("an answer to each PUBLISH of baresip", lambda: len(answered()) == len(sent()))
        for answer in answered()[:-1]:
            headers = {"Event": "presence", "Expires": "0", "SIP-If-Match": answer.header("SIP-ETag")}
            assert helper.request("PUBLISH", self.uri, headers=headers).status == 200
        return self

    def stop(self):
        if self.process:
            self.process.stop()
