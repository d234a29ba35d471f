"""A SIP peer that looks at every byte: what an injected header, line or second message would leave in a request is an error here."""

import re

from .notifier import Notifier

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
START = re.compile(rf"(MESSAGE|SUBSCRIBE|PUBLISH|NOTIFY) (sip:[!-;=?-~]+) SIP/2\.0")
# What the gateway and the two hosts write; each once, but for the first.
SEVERAL = {"via"}
ONCE = {"from", "to", "call-id", "cseq", "contact", "max-forwards", "content-length", "content-type", "content-language", "subject",
        "user-agent", "event", "expires", "accept", "sip-if-match", "allow-events"}
ADDRESS = re.compile(r"(?:\"[^\"\\]*\" ?)?<sip:[!-;=?-~]+>(?:;tag=[!-:<-~]+)?")
FORMS = {
    "from": ADDRESS, "to": ADDRESS, "call-id": re.compile(r"[!-;=?-~]+"),
    "contact": re.compile(r"<sip:[!-;=?-~]+>(?:;[!-~]+)*"), "cseq": re.compile(r"\d+ (MESSAGE|SUBSCRIBE|PUBLISH|NOTIFY)"),
    "content-type": re.compile(r"[a-z]+/[a-z+]+(?:; ?charset=UTF-8)?"), "content-language": re.compile(r"[A-Za-z0-9-]{1,64}"),
    "max-forwards": re.compile(r"\d{1,3}"), "expires": re.compile(r"\d{1,8}"), "content-length": re.compile(r"\d{1,6}"),
}


def faults(datagram):
    """What is wrong with this request as it was on the wire; empty if nothing is."""
    head, separator, body = datagram.partition(b"\r\n\r\n")
    if not separator:
        return ["no end of the headers"]
    found = []
    lines = head.split(b"\r\n")
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", b"".join(lines)):
        found.append("a control character, or a CR or LF that ends no line")
    try:
        lines = [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError:
        return found + ["headers that are no UTF-8"]
    if not START.fullmatch(lines[0]):
        found.append(f"start line {lines[0]!r}")
    seen = {}
    for line in lines[1:]:
        matched = re.fullmatch(rf"({TOKEN}): ?(.*)", line, re.DOTALL)
        if not matched:
            found.append(f"line {line!r}")
            continue
        name, value = matched.group(1).lower(), matched.group(2)
        if name not in ONCE | SEVERAL or (name in seen and name in ONCE):
            found.append(f"header {line!r} was not to be there")
        seen[name] = value
        if name in FORMS and not FORMS[name].fullmatch(value):
            found.append(f"value in {line!r}")
    for name in ("via", "from", "to", "call-id", "cseq", "content-length"):
        if name not in seen:
            found.append(f"no {name}")
    if seen.get("content-length") != str(len(body)):
        found.append(f"Content-Length {seen.get('content-length')} of a body of {len(body)} bytes")
    return found


class StrictPeer(Notifier):
    """Stands where the gateway sends everything: next hop, presence server and recipient in one. Answers as they would."""

    def __init__(self):
        super().__init__()
        self.answers["PUBLISH"] = self.publish

    def _answer(self, request):
        self.proxy = request.source
        super()._answer(request)

    def publish(self, request):
        self.respond(request, 200, "OK", f"SIP-ETag: {len(self.received)}\r\nExpires: {request.header('Expires')}\r\n")

    def requests(self):
        return [m for m in list(self.received) if not m.is_response]

    def check(self):
        """Every byte of every request so far."""
        wrong = [(request, found) for request in self.requests() if (found := faults(request.raw))]
        assert not wrong, wrong
        assert not self.unreadable, self.unreadable
