#!/usr/bin/python3
"""A conversation between a SIP client (baresip) and an XMPP client (slixmpp) across the gateway, drawn from what they and
the servers really saw. Kamailio with the module, Prosody, all on loopback, all data in one temporary folder.

    demo.py           plays it and stops everything
    KEEP=1 demo.py    leaves the servers running and prints the accounts; Ctrl-C stops them
"""

import html
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import unicodedata
import xml.etree.ElementTree as ElementTree

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
from support.process import free_port  # noqa: E402
from support.process import stop_all  # noqa: E402
from support.process import wait_until  # noqa: E402
from support.prosody import Prosody  # noqa: E402
from support.xmpp import child  # noqa: E402

COLUMNS = ["SIP client", "Kamailio + gateway", "Prosody", "XMPP client"]
WIDTH = 32
def width(text):
    """Columns that a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def cut(text, columns):
    text = " ".join(text.split())
    while width(text) > columns:
        text = text[:-2] + "\u2026"
    return text


def line(column=None, middle=""):
    """One line of the ladder, with `middle` between `column` and the next one."""
    gaps = [middle if gap == column else "" for gap in range(len(COLUMNS) - 1)]
    return "    |" + "|".join(text + " " * (WIDTH - 1 - width(text)) for text in gaps) + "|"


def arrow(column, right, label, text=""):
    """An arrow from `column` to the next one or back, and under it what it carried."""
    shaft = f" {label} ".center(WIDTH - 2, "-")
    drawn = line(column, shaft + ">" if right else "<" + shaft)
    return drawn + ("\n" + line(column, " " + cut(f"\u201c{text}\u201d", WIDTH - 3)) if text else "")


class Relay(threading.Thread):
    """Stands between the gateway and the XMPP server's component port, and notes every stanza that passes."""

    def __init__(self, note):
        super().__init__(daemon=True)
        self.note = note
        self.port = free_port()
        self.target = None
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.start()

    def run(self):
        while True:
            gateway, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                gateway.close()
                continue
            for source, sink, right in ((gateway, server, True), (server, gateway, False)):
                threading.Thread(target=self._pass, args=(source, sink, right), daemon=True).start()

    def _pass(self, source, sink, right):
        parser = ElementTree.XMLPullParser(["start", "end"])
        depth = 0
        try:
            while data := source.recv(65536):
                parser.feed(data)
                for event, element in parser.read_events():
                    depth += 1 if event == "start" else -1
                    if event == "end" and depth == 1:
                        self.note(1, right, element)
                sink.sendall(data)
        except (OSError, ElementTree.ParseError):
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def head(names):
    rows = ["".join(cut(cell, WIDTH - 2).ljust(WIDTH) for cell in row).rstrip() for row in (COLUMNS, names)]
    return f"    {rows[0]}\n    {rows[1]}"


class Recorder(threading.Thread):
    """Keeps what crossed each of the three gaps, with its time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = []
        self.own = ""
        self.phone = None
        self.traced = 0
        self.running = True

    def run(self):
        while self.running:
            self._look()
            time.sleep(0.001)

    def _look(self):
        now = time.monotonic()
        if self.phone:
            traced, self.traced = self.phone.trace(self.traced)
            for sent, message in traced:
                if label := sip_label(message):
                    # baresip's log is read a little after the fact; others may have reacted to a request by then.
                    asked = sent and not message.is_response
                    self.seen.append((now - 0.005 if asked else now, arrow(0, sent, *label)))

    def client_stanza(self, element, sent):
        if sent or (element.get("from") or "").split("/")[0] != self.own:
            self.stanza(2, not sent, element)

    def stanza(self, column, right, element):
        name = element.tag.rpartition("}")[2]
        if name not in ("message", "presence"):
            return
        texts = {e.tag.rpartition("}")[2]: e.text or "" for e in element}
        label = name if name == "message" else f"presence {element.get('type') or 'available'}"
        if "show" in texts:
            label += f", {texts['show']}"
        self.seen.append((time.monotonic(), arrow(column, right, label, texts.get("body") or texts.get("status") or "")))

    def show(self, title):
        """Prints what was seen since the last call."""
        time.sleep(0.3)
        seen, self.seen = sorted(self.seen, key=lambda one: one[0]), []
        print(f"\n  {title}\n\n" + "\n".join(text for _, text in seen), flush=True)


def sip_label(message):
    """How a SIP message is named in the ladder, and what it carried; None leaves it out."""
    if message.is_response:
        wanted = message.method in ("MESSAGE", "SUBSCRIBE") or message.status >= 300
        return (f"{message.status} ({message.method})", "") if wanted else None
    if message.method == "MESSAGE":
        return "MESSAGE", message.text
    if message.method == "NOTIFY":
        return f"NOTIFY {message.header('Subscription-State').split(';')[0]}{pidf_label(message.text)}", pidf_note(message.text)
    if message.method == "PUBLISH":
        return f"PUBLISH{pidf_label(message.text)}", pidf_note(message.text)
    return ("SUBSCRIBE", "") if message.method == "SUBSCRIBE" else None


def pidf_label(body):
    words = re.findall(r"<basic>\s*(\w+)", body)[:1] + re.findall(r"<show[^>]*>(\w+)", body)[:1]
    return "".join(f", {word}" for word in words)


def pidf_note(body):
    return "".join(html.unescape(text) for text in re.findall(r"<(?:\w+:)?note[^>]*>([^<]*)", body)[:1])


def play(gateway, folder, recorder):
    domain = gateway.sip_domain
    alice, juliet_jid = f"alice@{domain}", gateway.server.register("juliet", PASSWORD)
    juliet = gateway.login(juliet_jid)
    time.sleep(0.3)
    recorder.own, recorder.seen = juliet_jid, []
    juliet.observer = recorder.client_stanza
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
    recorder.join()
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
        recorder = Recorder()
        relay = Relay(recorder.stanza)
        gateway = Gateway(Pair("demo", lambda where, xmpp_port, **rest: Kamailio(where, xmpp_port=relay.port, **rest), Prosody, None),
                          folder, before_start=lambda server: setattr(relay, "target", server.component_port))
        gateway.wait_connected()
        gateway.log_out()
        play(gateway, folder, recorder)
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
