"""A real XMPP component (slixmpp) that speaks for a domain, and answers what comes with the errors that a test wants."""

import asyncio
import threading
import xml.etree.ElementTree as ElementTree

import slixmpp
from slixmpp.xmlstream import StanzaBase

from .process import wait_until

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"


class XmppComponent:
    """Logs in as `domain`. `errors`: for the name and type of a stanza (None: no type), the type and condition of the error that it gets;
    `accept`: what a subscription request gets else."""

    def __init__(self, domain, secret, port):
        self.domain = domain
        self.errors = {}
        self.accept = "subscribed"
        self.received = []
        self.online = threading.Event()
        self.closed = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(secret, port), daemon=True)
        self.thread.start()
        wait_until(f"the component {domain} to log in", self.online.is_set, 15)

    def _run(self, secret, port):
        asyncio.set_event_loop(self.loop)
        component = slixmpp.ComponentXMPP(self.domain, secret, "127.0.0.1", port)
        component.loop = self.loop
        self.component = component
        component.use_aiodns = False
        component.auto_authorize = None
        component.auto_subscribe = False
        component.add_event_handler("session_start", lambda event: self.online.set())
        component.add_event_handler("disconnected", lambda reason: self.closed.set())
        component.add_filter("in", self._keep)
        component.connect("127.0.0.1", port)
        self.loop.run_forever()

    def _keep(self, stanza):
        if isinstance(stanza, StanzaBase):
            element = ElementTree.fromstring(ElementTree.tostring(stanza.xml))
            name, kind = element.tag.rpartition("}")[2], element.get("type")
            error = self.errors.get((name, kind))
            if error:
                self.component.send_raw(self._error(element, name, *error))
            elif (name, kind) == ("presence", "subscribe") and self.accept:
                self.component.send_raw(f"<presence from='{element.get('to')}' to='{element.get('from')}' type='{self.accept}'/>")
            # Whoever sees it here may change what the next one gets.
            self.received.append(element)
        return stanza

    def _error(self, element, name, kind, condition):
        error = ElementTree.Element(name, {"type": "error", "from": element.get("to"), "to": element.get("from")})
        if element.get("id"):
            error.set("id", element.get("id"))
        ElementTree.SubElement(ElementTree.SubElement(error, "error", type=kind), condition, xmlns=ERRORS)
        return ElementTree.tostring(error, encoding="unicode")

    def raw(self, text):
        """Sends this text as it is."""
        self.loop.call_soon_threadsafe(self.component.send_raw, text)

    def stanzas(self, name, to, condition=lambda stanza: True):
        """What came for this user of ours."""
        return [s for s in list(self.received) if s.tag.endswith("}" + name) and s.get("to") == to and condition(s)]

    def expect(self, name, to, what, condition=lambda stanza: True, timeout=10.0):
        return wait_until(lambda: f"<{name}/> {what} for {to}; seen: {[ElementTree.tostring(s) for s in self.stanzas(name, to)]}",
                          lambda: self.stanzas(name, to, condition), timeout)[0]

    def close(self):
        self.loop.call_soon_threadsafe(self.component.disconnect)
        self.closed.wait(3)
        self.loop.call_soon_threadsafe(self._end)
        self.thread.join(3)

    def _end(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.call_later(0.05, self.loop.stop)


def beside_the_gateway(domain, secret):
    """For `before_start` of a Gateway with Prosody: the server knows this component too."""
    def edit(server):
        with open(server.config, "a", encoding="utf-8") as config:
            config.write(f'\nComponent "{domain}"\n    component_secret = "{secret}"\n')
    return edit
