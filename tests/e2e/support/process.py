"""A server or client as a child process: own group, own log, readiness by asking, and no survivor."""

import atexit
import ctypes
import os
import re
import signal
import socket
import subprocess
import time

RUNNING = []

# What SIP servers say of processes that crashed. A test may be run again; this is never made good.
CRASHES = []
CRASH = re.compile(r"child process .*exited by a signal (?:4|6|7|8|11)$", re.MULTILINE)
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def wait_until(what, condition, timeout=10.0, step=0.02):
    """Returns the first true value of condition(); fails after `timeout` seconds with `what`, a text or a function giving one."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain: {what() if callable(what) else what}")
        time.sleep(step)


PORTS_GIVEN = set()

# Of several test runners at work each has its own ports: between the choice of one and its use nobody else may take it.
RUNNERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
RUNNER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port():
    """A port free for TCP and for UDP on 127.0.0.1, above 20000 and below the range of outgoing connections where possible."""
    for attempt in range(4000):
        port = 20000 + int.from_bytes(os.urandom(2), "big") % (12000 // RUNNERS) * RUNNERS + RUNNER
        # A long run gives all of them once: by then the first are free again.
        if port in PORTS_GIVEN and attempt < 2000:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        PORTS_GIVEN.add(port)
        return port
    raise RuntimeError("no free port on 127.0.0.1")


def accepts(port, address="127.0.0.1"):
    """Whether something listens on this TCP port of loopback."""
    try:
        with socket.create_connection((address, port), timeout=0.5):
            return True
    except OSError:
        return False


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One started program. `folder` is its own; its output goes to `folder/<name>.log`."""

    def __init__(self, name, folder, command, environment=None):
        self.name = name
        self.folder = str(folder)
        self.command = [str(word) for word in command]
        self.log_path = os.path.join(self.folder, name + ".log")
        self.returncode = None
        os.makedirs(self.folder, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, **(environment or {})}, start_new_session=True, preexec_fn=_die_with_parent)
        RUNNING.append(self)

    @property
    def pid(self):
        return self.child.pid

    def runs(self):
        return self.child.poll() is None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for_log(self, text, timeout=10.0, after=0):
        """Waits until the log holds `text` beyond the offset `after`."""
        wait_until(f"{text!r} in the log of {self.name}", lambda: self.log().find(text, after) >= 0, timeout)

    def wait_ready(self, condition, timeout=20.0):
        def ready():
            if not self.runs():
                raise AssertionError(f"{self.name} ended with status {self.child.returncode}:\n{self.log()[-3000:]}")
            return condition()
        wait_until(f"{self.name} to be ready", ready, timeout)

    def wait_end(self, timeout=10.0):
        """Waits for the end; returns the exit status."""
        wait_until(f"the end of {self.name}", lambda: not self.runs(), timeout)
        return self.child.returncode

    def stop(self, timeout=10.0):
        """SIGTERM; the whole group is ended if that does not help. Returns the seconds it took."""
        started = time.monotonic()
        if self.runs():
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        took = time.monotonic() - started
        self.kill()
        return took

    def kill(self):
        """SIGKILL for the whole group: a server's workers outlive its main process otherwise."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        if self in RUNNING:
            RUNNING.remove(self)
            CRASHES.extend(f"{self.log_path}: {crash}" for crash in CRASH.findall(self.log()))


def stop_all():
    for process in list(reversed(RUNNING)):
        process.stop(timeout=3.0)


atexit.register(stop_all)
