"""A small SIP user agent over UDP, for statements about exact messages: it sends, receives, answers, and judges nothing."""

import re
import socket
import threading
import uuid
from xml.sax.saxutils import escape

from .process import free_port
from .process import wait_until


ACCEPT = {"dialog": "application/dialog-info+xml"}


class Sip:
    """One request or response as it was on the wire."""

    def __init__(self, datagram, source=None):
        self.raw = datagram
        self.source = source
        head, _, self.body = datagram.partition(b"\r\n\r\n")
        lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "surrogateescape").split("\r\n")
        self.start = lines[0]
        self.headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        first, second = self.start.split(" ")[:2]
        self.is_response = first == "SIP/2.0"
        self.status = int(second) if self.is_response else None
        self.method = self.header("CSeq").split()[-1] if self.is_response else first
        self.uri = None if self.is_response else second

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name, default=""):
        values = self.all(name)
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode("utf-8")

    def tag(self, name):
        found = re.search(r";tag=([^;,\s]+)", self.header(name))
        return found.group(1) if found else None

    def uri_of(self, name):
        value = self.header(name)
        found = re.search(r"<([^>]*)>", value)
        return found.group(1) if found else value.split(";")[0]

    def __repr__(self):
        return self.raw.decode("utf-8", "backslashreplace")


class Subscription:
    """A dialog that a SUBSCRIBE made, with the NOTIFYs that came in it."""

    def __init__(self, agent, target, event, call_id, tag):
        self.agent = agent
        self.target = target
        self.event = event
        self.call_id = call_id
        self.tag = tag
        self.remote_tag = None
        self.remote_target = target
        self.cseq = 1
        self.expires = 600

    def notifies(self):
        return [r for r in self.agent.requests_seen("NOTIFY") if r.header("Call-ID") == self.call_id]

    def wait_notify(self, what, condition, timeout=10.0):
        """The first NOTIFY of this dialog for which condition(notify) holds."""
        return wait_until(lambda: f"a NOTIFY for {self.agent.uri} with {what}; seen: {self.notifies()}",
                          lambda: next((n for n in self.notifies() if condition(n)), None), timeout)

    def refresh(self, expires=600):
        self.cseq += 1
        return self.agent.request(
            "SUBSCRIBE", self.remote_target, to=self.target, to_tag=self.remote_tag, call_id=self.call_id, tag=self.tag,
            cseq=self.cseq, headers={"Event": self.event, "Expires": str(expires), "Accept": ACCEPT.get(self.event, "application/pidf+xml")})

    def end(self):
        return self.refresh(0)


class SipAgent:
    """sip:user@domain at a UDP port of its own, with `proxy_port` on loopback as its proxy. What comes in is kept in
    `received`, and in `unreadable` if it is no SIP; requests are answered with `answers[method]` (200 by default, None: no answer)."""

    def __init__(self, user, domain, proxy_port):
        self.user = user
        self.uri = f"sip:{user}@{domain}"
        self.domain = domain
        self.proxy = ("127.0.0.1", proxy_port)
        self.port = free_port()
        self.answers = {}
        self.received = []
        self.unreadable = []
        self.etag = None
        self.own_tag = user.encode().hex()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        self.socket.settimeout(0.2)
        self.open = True
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()

    @property
    def contact(self):
        return f"sip:{self.user}@127.0.0.1:{self.port}"

    def _receive(self):
        while self.open:
            try:
                datagram, source = self.socket.recvfrom(65535)
            except socket.timeout:
                continue
            except OSError:
                return
            if not datagram.strip(b"\r\n\0 "):
                continue
            try:
                message = Sip(datagram, source)
            except (IndexError, ValueError):
                self.unreadable.append(datagram)
                continue
            seen = [m for m in self.received if not m.is_response and m.raw == datagram]
            if not message.is_response:
                self._answer(message)
            if not seen:
                self.received.append(message)

    def _answer(self, request):
        answer = self.answers.get(request.method, 200)
        if callable(answer):
            answer = answer(request)
        if answer is None or request.method == "ACK":
            return
        self.respond(request, answer)

    def respond(self, request, status, reason="Answer", extra="", contact=None, sdp=""):
        tag = "" if request.tag("To") else ";tag=" + self.own_tag
        lines = [f"SIP/2.0 {status} {reason}"] + [f"Via: {via}" for via in request.all("Via")]
        lines += [f"Record-Route: {rr}" for rr in request.all("Record-Route")]
        lines += [f"From: {request.header('From')}", f"To: {request.header('To')}{tag}", f"Call-ID: {request.header('Call-ID')}",
                  f"CSeq: {request.header('CSeq')}", f"Contact: {contact or f'<{self.contact}>'}", f"Content-Length: {len(sdp)}"]
        lines += ["Content-Type: application/sdp"] if sdp else []
        self.send_raw(("\r\n".join(lines) + "\r\n" + extra + "\r\n" + sdp).encode("utf-8", "surrogateescape"))

    def send_raw(self, datagram):
        self.socket.sendto(datagram, self.proxy)

    def send(self, method, uri, to=None, to_tag=None, headers=None, body=b"", call_id=None, tag=None, cseq=1, branch=None):
        """Sends a request; returns the branch that its responses carry."""
        if isinstance(body, str):
            body = body.encode("utf-8")
        branch = branch or "z9hG4bK" + uuid.uuid4().hex
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch};rport", "Max-Forwards: 70",
                 f"From: <{self.uri}>;tag={tag or uuid.uuid4().hex[:12]}",
                 f"To: <{to or uri}>" + (f";tag={to_tag}" if to_tag else ""),
                 f"Call-ID: {call_id or uuid.uuid4().hex}", f"CSeq: {cseq} {method}", f"Contact: <{self.contact}>"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.send_raw("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
        return branch

    def responses(self, branch):
        return [m for m in list(self.received) if m.is_response and f"branch={branch}" in m.header("Via")]

    def request(self, method, uri, timeout=10.0, **parts):
        """Sends a request and returns its final response."""
        branch = self.send(method, uri, **parts)
        return wait_until(f"a final response to {method} {uri} from {self.uri}",
                          lambda: next((r for r in self.responses(branch) if r.status >= 200), None), timeout)

    def requests_seen(self, method):
        return [m for m in list(self.received) if not m.is_response and m.method == method]

    def expect(self, method, what="", condition=lambda request: True, timeout=10.0):
        """The first request of this method for which condition(request) holds."""
        return wait_until(lambda: f"{method} {what} for {self.uri}; seen: {self.requests_seen(method)}",
                          lambda: next((r for r in self.requests_seen(method) if condition(r)), None), timeout)

    def register(self):
        response = self.request("REGISTER", f"sip:{self.domain}", to=self.uri, headers={"Expires": "3600"})
        assert response.status == 200, response
        return self

    def message(self, uri, text, content_type="text/plain;charset=UTF-8", headers=None, **parts):
        return self.request("MESSAGE", uri, headers={"Content-Type": content_type, **(headers or {})}, body=text, **parts)

    def publish(self, pidf, expires=600):
        headers = {"Event": "presence", "Expires": str(expires)}
        if pidf:
            headers["Content-Type"] = "application/pidf+xml"
        if self.etag:
            headers["SIP-If-Match"] = self.etag
        response = self.request("PUBLISH", self.uri, headers=headers, body=pidf or b"")
        assert response.status == 200, response
        self.etag = response.header("SIP-ETag")
        return response

    def subscribe(self, uri, event="presence", expires=600, status=(200, 202), headers=None):
        call_id, tag = uuid.uuid4().hex, uuid.uuid4().hex[:12]
        accept = "application/watcherinfo+xml" if event.endswith("winfo") else ACCEPT.get(event, "application/pidf+xml")
        subscription = Subscription(self, uri, event, call_id, tag)
        response = self.request("SUBSCRIBE", uri, call_id=call_id, tag=tag,
                                headers={"Event": event, "Expires": str(expires), "Accept": accept, **(headers or {})})
        assert response.status in status, response
        subscription.remote_tag = response.tag("To")
        subscription.remote_target = response.uri_of("Contact") or uri
        return subscription

    def close(self):
        """The socket goes after the thread that answers on it."""
        if not self.open:
            return
        self.open = False
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


def answers_options(port, timeout=0.25):
    """Whether a SIP server answers at this port, with whatever status."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.settimeout(timeout)
        own = probe.getsockname()[1]
        request = (f"OPTIONS sip:ping@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{uuid.uuid4().hex};"
                   f"rport\r\nMax-Forwards: 5\r\nFrom: <sip:ping@127.0.0.1>;tag=1\r\nTo: <sip:ping@127.0.0.1>\r\n"
                   f"Call-ID: {uuid.uuid4().hex}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        try:
            probe.sendto(request.encode(), ("127.0.0.1", port))
            return probe.recv(65535).startswith(b"SIP/2.0")
        except OSError:
            return False


def pidf(entity, basic="open", note=None, show=None, activity=None, tuple_id="ID-desk", priority=None,
         name=None, last_input=None):
    """A PIDF (RFC 3863) with what is asked for."""
    person = f"<r:activities><r:{activity}/></r:activities>" if activity else ""
    if last_input:
        person += f'<r:user-input last-input="{last_input}">idle</r:user-input>'
    if name:
        person += f'<c:display-name xmlns:c="urn:ietf:params:xml:ns:pidf:cipid">{escape(name)}</c:display-name>'
    if person:
        person = (f'<dm:person xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" id="p1">'
                  f"{person}</dm:person>")
    status = f"<basic>{basic}</basic>" + (f'<show xmlns="jabber:client">{show}</show>' if show else "")
    contact = f'<contact priority="{priority}">{entity}</contact>' if priority else ""
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{entity}">'
            f'<tuple id="{tuple_id}"><status>{status}</status>{contact}' + (f"<note>{note}</note>" if note else "")
            + f"</tuple>{person}</presence>\n")
