"""A real XMPP client (slixmpp) that keeps every stanza it gets."""

import asyncio
import logging
import threading
import xml.etree.ElementTree as ElementTree

logging.getLogger("slixmpp").setLevel(logging.CRITICAL)

import slixmpp  # noqa: E402
from slixmpp.xmlstream import StanzaBase  # noqa: E402

from .process import wait_until  # noqa: E402

CLIENT = "{jabber:client}"


class XmppClient:
    """Logs in as `jid`. `accept`: what a subscription request gets: "subscribed", "unsubscribed", or None for no answer.
    `observer`, if set, is called with each stanza and whether it is sent, at that moment. `plugins` are names of slixmpp's, by
    XEP."""

    def __init__(self, jid, password, port, resource="desk", accept=None, plugins=()):
        self.bare = jid
        self.jid = f"{jid}/{resource}"
        self.port = port
        self.accept = accept
        self.plugins = plugins
        self.received = []
        self.sent = []
        self.observer = None
        self.failure = None
        self.online = threading.Event()
        self.closed = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(password,), daemon=True)
        self.thread.start()

    def _run(self, password):
        asyncio.set_event_loop(self.loop)
        client = slixmpp.ClientXMPP(self.jid, password)
        client.loop = self.loop
        self.client = client
        client.use_aiodns = False
        client.use_ipv6 = False
        client.auto_authorize = None
        client.auto_subscribe = False
        client.add_event_handler("session_start", self._started)
        client.add_event_handler("failed_auth", self._failed)
        client.add_event_handler("disconnected", lambda reason: self.closed.set())
        client.add_filter("in", self._keep)
        for plugin in self.plugins:
            client.register_plugin(plugin)
        client["feature_mechanisms"].unencrypted_plain = True
        client["feature_mechanisms"].unencrypted_scram = True
        client.connect(("127.0.0.1", self.port), disable_starttls=True, force_starttls=False, use_ssl=False)
        self.loop.run_forever()

    def _failed(self, event):
        self.failure = "the server refused the login"

    async def _started(self, event):
        await self.client.get_roster()
        self.online.set()

    def _keep(self, stanza):
        if isinstance(stanza, StanzaBase):
            element = ElementTree.fromstring(ElementTree.tostring(stanza.xml))
            self.received.append(element)
            if self.observer:
                self.observer(element, False)
            if element.tag == CLIENT + "presence" and element.get("type") == "subscribe" and self.accept:
                self.presence(type=self.accept, to=element.get("from"))
        return stanza

    def wait_online(self):
        wait_until(f"{self.jid} to log in", lambda: self.online.is_set() or self.failure, 15)
        if self.failure:
            raise AssertionError(f"{self.jid}: {self.failure}")
        return self

    def ask(self, question, timeout=10.0):
        """What the coroutine `question(client)` of slixmpp's own functions gives: it runs in the client's loop."""
        async def asked():
            return await question(self.client)
        return asyncio.run_coroutine_threadsafe(asked(), self.loop).result(timeout)

    def raw(self, text):
        """Sends this text as it is."""
        self.sent.append(text)
        if self.observer:
            self.observer(ElementTree.fromstring(text), True)
        self.loop.call_soon_threadsafe(self.client.send_raw, text)

    def presence(self, show=None, status=None, priority=None, **attributes):
        """Sends presence; without attributes, to everybody who may see it."""
        element = ElementTree.Element("presence", attributes)
        for name, value in (("show", show), ("status", status), ("priority", priority)):
            if value is not None:
                ElementTree.SubElement(element, name).text = str(value)
        self.raw(ElementTree.tostring(element, encoding="unicode"))

    def message(self, to, body, type="chat", subject=None, thread=None, lang=None, id=None):
        attributes = {"to": to, **({"type": type} if type else {}), **({"id": id} if id else {})}
        element = ElementTree.Element("message", attributes)
        if lang:
            element.set("{http://www.w3.org/XML/1998/namespace}lang", lang)
        for name, value in (("subject", subject), ("thread", thread), ("body", body)):
            if value is not None:
                ElementTree.SubElement(element, name).text = value
        self.raw(ElementTree.tostring(element, encoding="unicode"))

    def stanzas(self, name, condition=lambda stanza: True):
        return [s for s in list(self.received) if s.tag == CLIENT + name and condition(s)]

    def expect(self, name, what, condition=lambda stanza: True, timeout=10.0):
        """The first <name/> stanza for which condition(stanza) holds; a stanza is an ElementTree element."""
        return wait_until(lambda: f"<{name}/> {what} for {self.jid}; seen: {self.shown(name)}",
                          lambda: self.stanzas(name, condition), timeout)[0]

    def expect_presence(self, sender, type=None, timeout=10.0, condition=lambda stanza: True):
        """Presence of this type from this bare JID (with any resource)."""
        return self.expect("presence", f"{type or 'available'} from {sender}",
                           lambda s: (s.get("from") or "").split("/")[0] == sender and s.get("type") == type and condition(s), timeout)

    def expect_message(self, what="", condition=lambda stanza: True, timeout=10.0):
        return self.expect("message", what, condition, timeout)

    def shown(self, name):
        return [ElementTree.tostring(s, encoding="unicode") for s in self.stanzas(name)]

    def close(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.client.disconnect)
            self.closed.wait(3)
            self.loop.call_soon_threadsafe(self._end)
            self.thread.join(3)

    def _end(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.call_later(0.05, self.loop.stop)


def child(stanza, name):
    """The text of a child element; None if there is none."""
    element = stanza.find(CLIENT + name)
    return None if element is None else (element.text or "")


def lang(element):
    return element.get("{http://www.w3.org/XML/1998/namespace}lang")
