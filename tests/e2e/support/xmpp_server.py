"""An XMPP server under the test's control, for what a real one never sends. It accepts one component at a time (XEP-0114), keeps and
checks what comes, and sends bytes as they are given to it."""

import hashlib
import itertools
import re
import socket
import threading
import xml.etree.ElementTree as ElementTree

from .process import free_port
from .process import wait_until

NAME = "xmpp-server"
STREAMS = "{http://etherx.jabber.org/streams}"
COMPONENT = "{jabber:component:accept}"
STREAM_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"
STANZA_ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
          "from='{domain}' id='{id}'>")
NUMBERS = itertools.count(1)


class Connection:
    """One connection of the component. `stanzas` are the first-level elements that came; `fault` says why what came is no XML."""

    def __init__(self, accepted, secret, header):
        self.socket = accepted
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.secret = secret
        self.id = f"stream-{next(NUMBERS)}"
        self.header = header
        self.received = b""
        self.stanzas = []
        self.root = None
        self.fault = None
        self.logged_in = threading.Event()
        self.closed = threading.Event()
        # expat: another reader than the one under test.
        self.parser = ElementTree.XMLPullParser(("start", "end"))
        self.depth = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.closed.set()
                return
            self.received += data
            if self.fault is None:
                try:
                    self.parser.feed(data)
                    for event, element in self.parser.read_events():
                        self._take(event, element)
                except ElementTree.ParseError as fault:
                    self.fault = f"{fault}: {self.received[-2000:]!r}"

    def _take(self, event, element):
        if event == "end":
            self.depth -= 1
            if self.depth == 1:
                self.root.remove(element)
                self._stanza(element)
            return
        self.depth += 1
        if self.depth == 1:
            self.root = element
            self.send(self.header(element.get("to"), self.id))

    def _stanza(self, element):
        if element.tag == COMPONENT + "handshake":
            if element.text == hashlib.sha1((self.id + self.secret).encode()).hexdigest():
                self.send("<handshake/>")
                self.logged_in.set()
            return
        self.stanzas.append(element)
        if element.tag == COMPONENT + "iq" and element.get("type") in ("get", "set"):
            answer = ElementTree.Element("iq", {"type": "result", "id": element.get("id", ""), "from": element.get("to", ""),
                                                "to": element.get("from", "")})
            self.send(ElementTree.tostring(answer, encoding="unicode"))

    def send(self, data):
        """Sends bytes, or text as UTF-8. The peer may have closed: that is for the test to notice, not for this."""
        try:
            self.socket.sendall(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        except OSError:
            pass

    def stream_error(self):
        """The condition of the stream error that came; None if none did."""
        for element in self.stanzas:
            if element.tag == STREAMS + "error":
                return element[0].tag.removeprefix(STREAM_ERRORS)
        return None

    def close(self):
        for end in (lambda: self.socket.shutdown(socket.SHUT_RDWR), self.socket.close):
            try:
                end()
            except OSError:
                pass


class XmppServer:
    """`header(domain, id)` makes the stream header that the next connections get."""

    def __init__(self, folder, sip_domain="sip.example.com", xmpp_domain="example.net", secret="secret", component_port=None):
        self.name = NAME
        self.domain = xmpp_domain
        self.sip_domain = sip_domain
        self.secret = secret
        self.component_port = component_port or free_port()
        self.header = lambda domain, id: HEADER.format(domain=domain, id=id)
        self.connections = []
        self.listener = None

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.component_port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def _accept(self, listener):
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self.connections.append(Connection(accepted, self.secret, lambda *words: self.header(*words)))

    def register(self, user, password):
        return f"{user}@{self.domain}"

    def connection(self, timeout=20.0, after=0):
        """The newest connection that is logged in, if it is not one of the first `after`."""
        def found():
            ready = [c for c in self.connections[after:] if c.logged_in.is_set() and not c.closed.is_set()]
            return ready[-1] if ready else None
        return wait_until("the component to log in", found, timeout)

    def expect(self, connection, what, condition, timeout=10.0):
        """The first element on this connection for which condition(element) holds."""
        # An element without children counts as false: it is looked for in a list.
        return wait_until(lambda: f"{what}; received: {connection.received[-3000:]!r}",
                          lambda: [e for e in list(connection.stanzas) if condition(e)], timeout)[0]

    def stop(self):
        self.kill()
        return 0.0

    def kill(self):
        if self.listener:
            # Wakes the thread that accepts.
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
        for connection in self.connections:
            connection.close()

    def log(self):
        return "\n".join(repr(connection.received[-2000:]) for connection in self.connections)


def error_condition(stanza):
    """The defined condition of a stanza error; None if it is none."""
    found = [child.tag for error in stanza.findall(COMPONENT + "error") for child in error]
    names = [re.sub(r"^\{.*\}", "", tag) for tag in found if tag.startswith(STANZA_ERRORS) and not tag.endswith("}text")]
    return names[0] if names else None
