#!/usr/bin/python3
"""A conversation between a SIP client (baresip) and an XMPP client (slixmpp) across the gateway, drawn from what they and
the servers really saw. Kamailio with the module, Prosody, all on loopback, all data in one temporary folder.

    demo.py           plays it and stops everything
    KEEP=1 demo.py    leaves the servers running and prints the accounts; Ctrl-C stops them
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support import baresip  # noqa: E402
from support import kamailio  # noqa: E402
from support import prosody  # noqa: E402
from support.baresip import Baresip  # noqa: E402
from support.gateway import PASSWORD  # noqa: E402
from support.gateway import Gateway  # noqa: E402
from support.gateway import Pair  # noqa: E402
from support.gateway import is_active  # noqa: E402
from support.kamailio import Kamailio  # noqa: E402
from support.process import stop_all  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.prosody import Prosody  # noqa: E402
from support.xmpp import child  # noqa: E402

COLUMNS = ["SIP client", "Kamailio + gateway", "Prosody", "XMPP client"]
WIDTH = 30
STANZA = re.compile(r"\t(Received|Sending)\[component\]: <(message|presence)\b([^>]*)>")
ATTRIBUTE = re.compile(r"(\w+)='([^']*)'")


def line(column=None, right=True, label=""):
    """One line of the ladder, with an arrow from `column` to the next one or back."""
    parts = []
    for gap in range(len(COLUMNS) - 1):
        if gap != column:
            parts.append("|" + " " * (WIDTH - 1))
            continue
        text = f" {label} " if len(label) <= WIDTH - 6 else f" {label[:WIDTH - 7]}\u2026 "
        parts.append("|" + (text.center(WIDTH - 3, "-").join("->") if right else text.center(WIDTH - 3, "-").join("<-")))
    return "    " + "".join(parts) + "|"


def head(names):
    titles = "".join(title.ljust(WIDTH) for title in COLUMNS).rstrip()
    below = "".join(name.ljust(WIDTH) for name in names).rstrip()
    return f"    {titles}\n    {below}\n{line()}"


class Recorder(threading.Thread):
    """Sees, within milliseconds, what each client and Prosody's component stream sends and gets."""

    def __init__(self, client, server, phone=None):
        super().__init__(daemon=True)
        self.client, self.server, self.phone = client, server, phone
        self.lines = []
        self.offsets = {"phone": 0, "received": 0, "sent": 0, "server": 0}
        self.running = True

    def run(self):
        while self.running:
            self.look()
            time.sleep(0.002)

    def look(self):
        # The order within one look: towards the XMPP side first, then back.
        for name, see in (("phone", self._phone), ("sent", self._sent), ("server", self._server), ("received", self._received)):
            self.offsets[name] = see(self.offsets[name])

    def _phone(self, offset):
        if not self.phone:
            return offset
        traced, end = self.phone.trace(offset)
        for sent, message in traced:
            if label := sip_label(message):
                self.lines.append(line(0, sent, label))
        return end

    def _sent(self, offset):
        for text in self.client.sent[offset:]:
            name, type_, _ = stanza_parts(text)
            body = re.search(r"<(?:body|status|show)>(.*?)</", text)
            self.lines.append(line(2, False, stanza_label(name, type_, body.group(1) if body else "")))
        return len(self.client.sent)

    def _received(self, offset):
        received = list(self.client.received)
        for stanza in received[offset:]:
            name = stanza.tag.rpartition("}")[2]
            if name in ("message", "presence") and (stanza.get("from") or "").split("/")[0] != self.client.bare:
                text = child(stanza, "body") or child(stanza, "status") or child(stanza, "show") or ""
                self.lines.append(line(2, True, stanza_label(name, stanza.get("type"), text)))
        return len(received)

    def _server(self, offset):
        log = self.server.log()
        end = log.rfind("\n") + 1
        for found in STANZA.finditer(log, offset, end):
            attributes = dict(ATTRIBUTE.findall(found.group(3)))
            self.lines.append(line(1, found.group(1) == "Received", stanza_label(found.group(2), attributes.get("type"), "")))
        return end

    def show(self, title):
        """Prints what was seen since the last call."""
        time.sleep(0.3)
        lines, self.lines[:] = list(self.lines), []
        print(f"\n  {title}\n" + "\n".join([line(), *lines, line()]), flush=True)


def sip_label(message):
    """How a SIP message is named in the ladder; None leaves it out."""
    if message.is_response:
        return f"{message.status} ({message.method})" if message.method == "MESSAGE" or message.status >= 300 else None
    if message.method == "REGISTER":
        return None
    if message.method == "MESSAGE":
        return f"MESSAGE \u201c{message.text}\u201d"
    if message.method == "NOTIFY":
        return f"NOTIFY {message.header('Subscription-State').split(';')[0]} {pidf_label(message.text)}".rstrip()
    if message.method == "PUBLISH":
        return f"PUBLISH {pidf_label(message.text)}".rstrip()
    return f"{message.method} {message.header('Event')}".rstrip()


def pidf_label(body):
    basic = re.findall(r"<basic>\s*(\w+)", body)
    show = re.findall(r"<show[^>]*>(\w+)", body)
    note = re.findall(r"<(?:\w+:)?note[^>]*>([^<]*)", body)
    return " ".join(basic[:1] + show[:1] + [f"\u201c{text}\u201d" for text in note[:1]])


def stanza_parts(text):
    name = re.match(r"<(\w+)", text).group(1)
    attributes = dict(re.findall(r"(\w+)=\"([^\"]*)\"", text[:text.index(">")]))
    return name, attributes.get("type"), attributes


def stanza_label(name, type_, text):
    words = name if name == "message" else f"presence {type_ or 'available'}"
    return f"{words} \u201c{text}\u201d" if text else words


def play(gateway, folder):
    domain = gateway.sip_domain
    alice, juliet_jid = f"alice@{domain}", gateway.server.register("juliet", PASSWORD)
    juliet = gateway.login(juliet_jid)
    recorder = Recorder(juliet, gateway.server)
    recorder.start()
    phone = Baresip(folder, "alice", domain, gateway.host.port, [f"sip:{juliet_jid}"])
    print(head([alice + " (baresip)", domain, juliet_jid.split("@")[1], juliet_jid + " (slixmpp)"]))

    phone.start()
    recorder.phone = phone
    juliet.expect_presence(alice, "subscribe")
    wait_phone(phone, "NOTIFY", lambda m: is_active(m) and b"open" in m.body, "the presence of juliet")
    recorder.show(f"{alice} comes online and asks to see {juliet_jid}, who agrees")

    juliet.presence(type="subscribe", to=alice)
    juliet.expect_presence(alice, "subscribed")
    juliet.expect_presence(alice)
    recorder.show(f"{juliet_jid} asks to see {alice}")

    juliet.presence(show="away", status="On the balcony")
    wait_phone(phone, "NOTIFY", lambda m: "On the balcony" in m.text, "the new status of juliet")
    recorder.show(f"{juliet_jid} is away")

    juliet.message(alice, "Art thou not Romeo \U0001F339?", id="demo-1")
    wait_phone(phone, "MESSAGE", lambda m: "Romeo" in m.text, "the message of juliet")
    recorder.show("A message from XMPP to SIP")

    phone.command("message", "Neither, fair saint & <rose> \U0001F339")
    juliet.expect_message("of alice", lambda m: "Neither" in (child(m, "body") or ""))
    recorder.show("A message from SIP to XMPP")

    phone.command("presence_offline")
    juliet.expect_presence(alice, "unavailable", timeout=15, condition=lambda p: "/" in p.get("from"))
    recorder.show(f"{alice} goes offline")
    recorder.running = False
    phone.stop()


def wait_phone(phone, method, condition, what):
    wait_until(f"{what} at the SIP client", lambda: [m for sent, m in phone.trace()[0] if not sent and m.method == method
                                                     and not m.is_response and condition(m)], 15)


def main():
    for reason in (kamailio.missing(), prosody.missing(), baresip.missing()):
        if reason:
            return f"demo: {reason}"
    keep = os.environ.get("KEEP", "") not in ("", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="xmpp_gateway-demo-")
    done = False
    try:
        gateway = Gateway(Pair("demo", Kamailio, Prosody, None), folder)
        gateway.wait_connected()
        gateway.log_out()
        play(gateway, folder)
        done = True
        print("\n  Subscribe, presence both ways, a message each way: done.")
        if keep:
            gateway.log_out()
            print(f"""
  Left running; Ctrl-C stops it. Logs and data: {folder}
    SIP   sip:alice@{gateway.sip_domain} (any user, any password), proxy 127.0.0.1:{gateway.host.port}, UDP
    XMPP  juliet@{gateway.server.domain}, password {PASSWORD}, server 127.0.0.1:{gateway.server.port}, no TLS""", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except AssertionError as failure:
        print(f"\n  The demonstration failed: {failure}\n  Logs: {folder}", file=sys.stderr)
    finally:
        stop_all()
        if done:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
