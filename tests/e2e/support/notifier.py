"""A notifier that the gateway subscribes to in place of a presence server."""

import re
import time

from .process import wait_until
from .sip import SipAgent
from .sip import pidf

# How long before the 2xx a hasty NOTIFY is out.
HASTE = 0.5


class Notifier(SipAgent):
    """Accepts SUBSCRIBEs and sends NOTIFYs at will."""

    def __init__(self):
        super().__init__("notifier", "sip.example.com", 0)
        self.answers["SUBSCRIBE"] = self.accept
        # For these the NOTIFY goes out before the 2xx; the branches of those NOTIFYs.
        self.hasty = set()
        self.overtaken = {}

    def accept(self, request):
        self.proxy = request.source
        if request.uri_of("To") in self.hasty:
            self.overtaken[request.uri_of("To")] = self.send_notify(request, pidf(request.uri_of("To")))
            time.sleep(HASTE)
        expires = min(600, int(request.header("Expires")))
        self.respond(request, 200, "OK", f"Expires: {expires}\r\n")

    def subscription(self, watcher, presentity):
        return self.expect("SUBSCRIBE", f"from {watcher} to {presentity}",
                           lambda r: r.uri_of("From") == watcher and r.uri_of("To") == presentity and not r.tag("To"))

    def notify(self, subscribe, body, state="active;expires=600", event="presence", content_type="application/pidf+xml",
               cseq=2, call_id=None, tag=None):
        """Sends a NOTIFY in the dialog that this SUBSCRIBE made; returns the final response."""
        branch = self.send_notify(subscribe, body, state, event, content_type, cseq, call_id, tag)
        return self.final_response(branch)

    def notify_winfo(self, subscribe, body, **parts):
        return self.notify(subscribe, body, event="presence.winfo", content_type="application/watcherinfo+xml", **parts)

    def final_response(self, branch):
        return wait_until("a final response to NOTIFY", lambda: next((r for r in self.responses(branch) if r.status >= 200), None))

    def send_notify(self, subscribe, body, state="active;expires=600", event="presence", content_type="application/pidf+xml",
                    cseq=2, call_id=None, tag=None):
        self.uri = subscribe.uri_of("To")
        headers = {"Event": event, "Subscription-State": state}
        if body:
            headers["Content-Type"] = content_type
        return self.send("NOTIFY", subscribe.uri_of("Contact"), to=subscribe.uri_of("From"), to_tag=subscribe.tag("From"),
                         tag=tag or self.user.encode().hex(), call_id=call_id or subscribe.header("Call-ID"), cseq=cseq,
                         headers=headers, body=body)

    def as_presence_server(self, text):
        """The text of an example with this notifier as where the gateway sends everything."""
        for name in ("presence_server", "outbound_proxy"):
            text = re.sub(rf'^(modparam\("xmpp_gateway", "{name}", ").*("\))$', rf"\g<1>sip:127.0.0.1:{self.port}\2", text,
                          flags=re.MULTILINE)
        return text


def watcherinfo(presentity, version, state, *watchers):
    """A document on who watches sip:presentity (RFC 3858), with these as (URI, status, event)."""
    rows = "".join(f'<watcher id="{uri}" status="{status}" event="{event}">{uri}</watcher>' for uri, status, event in watchers)
    return (f'<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="{version}" state="{state}">'
            f'<watcher-list resource="sip:{presentity}" package="presence">{rows}</watcher-list></watcherinfo>')
