"""A name server of a test's own, and a SIP host that asks no other: for what is found by name alone."""

import os
import socket
import struct
import subprocess
import threading

from .process import free_port

TYPES = {"A": 1, "SRV": 33}


def missing():
    """Why no program can be given a name server of its own here; None if one can."""
    if os.geteuid() != 0:
        return "a name server of its own for one process needs root (mount, port 53)"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((own_address(), 53))
        except OSError as error:
            return f"port 53 of a loopback address cannot be had: {error}"
    done = subprocess.run(["unshare", "--mount", "mount", "--bind", "/dev/null", "/etc/resolv.conf"], check=False, capture_output=True)
    return None if done.returncode == 0 else "no mount of its own for one process"


def own_address():
    """An address of loopback that no other test uses: on it the well-known ports are free."""
    port = free_port()
    return f"127.90.{port >> 8}.{port & 255}"


class NameServer(threading.Thread):
    """Answers on port 53 of `address` what `records` has: (name, "A") with an address, (name, "SRV") with (port, host). Nothing else exists."""

    def __init__(self, address, records):
        super().__init__(daemon=True)
        self.records = {(name, TYPES[kind]): self._data(kind, value) for (name, kind), value in records.items()}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.address = address
        self.start()

    @staticmethod
    def _data(kind, value):
        return socket.inet_aton(value) if kind == "A" else struct.pack("!HHH", 0, 5, value[0]) + _written(value[1])

    def run(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            if not query:
                self.socket.close()
                return
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        name, end = _read(query, 12)
        kind, = struct.unpack_from("!H", query, end)
        found = self.records.get((name, kind))
        exists = any(known == name for known, _ in self.records)
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if exists else 3), 1, 1 if found else 0, 0, 0)
        # The name of the answer is that of the question.
        record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(found)) + found if found else b""
        return head + query[12:end + 4] + record

    def before(self, folder):
        """The words before the command of a program that is to ask this server alone."""
        path = os.path.join(str(folder), "resolv.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"nameserver {self.address}\n")
        return ["unshare", "--mount", "sh", "-c", f'mount --bind "{path}" /etc/resolv.conf && exec "$@"', "sh"]

    def stop(self):
        # Closing alone does not wake the thread that reads.
        self.socket.sendto(b"", (self.address, 53))
        self.join()


def _read(query, at):
    labels = []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


def _written(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
