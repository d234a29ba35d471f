"""What tests of the component's stream have in common: parameters, users of another domain, and what the log says."""

import re

from . import ejabberd
from .ejabberd import Ejabberd
from .gateway import Pair
from .gateway import jid
from .gateway import pairs
from .process import wait_until
from .xmpp import child

BACK_WITHIN = 45


def pairs_with_both():
    """Every host with Prosody, and Kamailio and one OpenSIPS with ejabberd."""
    found = pairs()
    others = [p for p in found if p.name.startswith("opensips")]
    usable = [p for p in others if not p.missing] or others
    return found + [Pair(p.name.replace("prosody", "ejabberd"), p.host, Ejabberd, p.missing or ejabberd.missing()) for p in usable[:1]
                    if p.server is not Ejabberd]


def parameters(values, without=()):
    """The edit of the SIP server's configuration that sets these parameters, a list for a repeated one, and leaves out others."""
    def edit(text):
        for name in [*values, *without]:
            text = re.sub(rf'^modparam\("xmpp_gateway", "{name}", .*\n', "", text, flags=re.MULTILINE)
        lines = ""
        for name, value in values.items():
            for one in value if isinstance(value, list) else [value]:
                shown = one if isinstance(one, int) else f'"{one}"'
                lines += f'modparam("xmpp_gateway", "{name}", {shown})\n'
        start = text.index('modparam("xmpp_gateway", ')
        return text[:start] + lines + text[start:]
    return edit


def messages_flow(gateway):
    """A message each way, once the gateway has found the server; returns its users, SIP and XMPP."""
    alice, juliet = gateway.sip_user("alice"), gateway.xmpp_user()
    wait_until("messages to flow", lambda: alice.message(f"sip:{juliet.bare}", "over").status == 202, BACK_WITHIN, 0.2)
    juliet.expect_message("over", lambda m: child(m, "body") == "over", timeout=30)
    juliet.message(jid(alice), "back")
    alice.expect("MESSAGE", "back", lambda m: m.text == "back")
    return alice, juliet


def said(gateway, *words):
    """The lines in the SIP server's log that hold all of these words."""
    return [line for line in gateway.host.log().splitlines() if all(word in line for word in words)]


def expect_line(gateway, *words, timeout=20):
    return wait_until(f"a log line with {words}", lambda: said(gateway, *words), timeout, 0.1)


def change(path, old, new):
    """Replaces a text of a file, which has to be there."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert old in text, (old, text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
