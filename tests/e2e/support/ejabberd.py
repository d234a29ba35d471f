"""A real ejabberd that runs cfg-examples/ejabberd."""

import os
import pwd
import re
import shutil
import signal
import subprocess

from . import example
from .process import Process
from .process import accepts
from .process import free_port
from .process import wait_until

NAME = "ejabberd"
CONTROL = "/etc/ejabberd/ejabberdctl.cfg"


def missing():
    if not shutil.which("ejabberdctl"):
        return "no ejabberdctl in PATH (Debian package ejabberd)"
    if os.geteuid() != 0:
        return "ejabberdctl changes to the user ejabberd, which needs root"
    return None


class Ejabberd:
    def __init__(self, folder, sip_domain="sip.example.com", xmpp_domain="example.net", secret="secret", component_port=None):
        self.name = NAME
        self.folder = os.path.join(str(folder), "ejabberd")
        self.domain = xmpp_domain
        self.port = free_port()
        self.component_port = component_port or free_port()
        self.node_port = free_port()
        self.node = f"gateway{self.node_port}@localhost"
        self.process = None
        conf = os.path.join(self.folder, "conf")
        text = example.replaced(
            example.read("ejabberd", "ejabberd.yml"),
            {"sip.example.com": "\0", "example.net": xmpp_domain, "\0": sip_domain, "5222": self.port, "5347": self.component_port,
             "change-me": secret, "loglevel: info": "loglevel: debug"})
        example.write(conf, "ejabberd.yml", text)
        with open(CONTROL, encoding="utf-8") as file:
            control = re.sub(r"^EJABBERD_CONFIG_PATH=.*$", "", file.read(), flags=re.MULTILINE)
        example.write(conf, "ejabberdctl.cfg", control)
        for name in ("inetrc",):
            if os.path.exists(os.path.join("/etc/ejabberd", name)):
                shutil.copy(os.path.join("/etc/ejabberd", name), conf)
        for name in ("logs", "spool"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        user = pwd.getpwnam("ejabberd")
        for base, folders, files in os.walk(self.folder):
            for path in [base, *(os.path.join(base, name) for name in folders + files)]:
                os.chown(path, user.pw_uid, user.pw_gid)
        # The user ejabberd has to be able to walk down to it.
        parent = os.path.dirname(self.folder)
        while parent not in ("/", "/tmp"):
            os.chmod(parent, os.stat(parent).st_mode | 0o055)
            parent = os.path.dirname(parent)

    def _command(self, *words):
        conf = os.path.join(self.folder, "conf")
        return ["ejabberdctl", "--config-dir", conf, "--ctl-config", os.path.join(conf, "ejabberdctl.cfg"), "--logs",
                os.path.join(self.folder, "logs"), "--spool", os.path.join(self.folder, "spool"), "--node", self.node, *words]

    def _environment(self):
        return {"ERL_DIST_PORT": str(self.node_port), "HOME": self.folder}

    def control(self, *words):
        """Runs `ejabberdctl words...` on this node; returns its exit status and output."""
        done = subprocess.run(self._command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, **self._environment()}, check=False, cwd=self.folder)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def register(self, user, password, domain=None):
        domain = domain or self.domain
        wait_until(f"ejabberd to register {user}", lambda: self.control("register", user, domain, password)[0] == 0, 20, 0.3)
        return f"{user}@{domain}"

    def start(self):
        self.process = Process(NAME, self.folder, self._command("foreground"), self._environment())
        self.process.wait_ready(lambda: accepts(self.port) and accepts(self.component_port), 30)
        return self

    def _beam_processes(self):
        """The pids of this node's virtual machine: it leaves the process group it was started in."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words and words[0].endswith(b"beam.smp") and self.node.encode() in words:
                found.append(int(entry))
        return found

    def stop(self):
        if self.process and self.process.runs():
            self.control("stop")
            wait_until("ejabberd to stop", lambda: not self._beam_processes(), 15)
        self.kill()
        return 0.0

    def kill(self):
        for pid in self._beam_processes():
            os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.kill()

    def log(self):
        try:
            with open(os.path.join(self.folder, "logs", "ejabberd.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return self.process.log() if self.process else ""
