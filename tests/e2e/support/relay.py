"""Stands between the gateway and the XMPP server's component port: cuts the connection on command, and keeps what the gateway wrote."""

import socket
import struct
import threading

from .process import free_port


class Relay:
    """Passes bytes between `port` of `address` and `target`, a port to be set before the first connection. `written` has the bytes of the
    gateway, one entry a connection. While it is cut, nothing listens at its port."""

    def __init__(self, target=None, port=None, address="127.0.0.1"):
        self.port = port or free_port()
        self.address = address
        self.target = target
        self.written = []
        self.open = []
        self.are_reset = set()
        self.listener = None
        self.mend()

    def mend(self):
        self.listener = socket.create_server((self.address, self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        listener, self.listener = self.listener, None
        # Closing alone does not wake the thread that accepts.
        shut_down(listener)
        listener.close()
        for end in self.open:
            shut_down(end)
        self.open = []

    def reset(self):
        """Has every connection end by a reset, in the midst of whatever goes on; new ones are taken."""
        for end in self.open:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.are_reset.update(self.open)
        for end in self.open:
            # Its thread closes it: as long as that reads, nothing is closed.
            shut_down(end, socket.SHUT_RD)
        self.open = []

    def close(self):
        if self.listener:
            self.cut()

    def _accept(self, listener):
        while True:
            try:
                gateway, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                if self.listener is not listener:
                    return
                gateway.close()
                continue
            self.open += [gateway, server]
            self.written.append(b"")
            number = len(self.written) - 1
            threading.Thread(target=self._pass, args=(gateway, server, number), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, gateway, None), daemon=True).start()

    def _pass(self, source, sink, number):
        try:
            while data := source.recv(65536):
                if number is not None:
                    self.written[number] += data
                sink.sendall(data)
        except OSError:
            pass
        if source in self.are_reset:
            source.close()
            return
        shut_down(source)
        shut_down(sink)


def shut_down(end, how=socket.SHUT_RDWR):
    try:
        end.shutdown(how)
    except OSError:
        pass
