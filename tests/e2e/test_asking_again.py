"""A SIP watcher who was refused subscribes again: the XMPP user is asked once more, after some time and not before."""

import time

from support.doors import by_each_door
from support.doors import with_parameter
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from test_doors import Scene
from test_doors import told

INTERVAL = 4


def edit(text):
    example = 'modparam("xmpp_gateway", "ask_again_interval", 86400)\n'
    assert example in text
    return with_parameter("ask_again_interval", INTERVAL)(text.replace(example, ""))


PAIRS = by_each_door([p for p in pairs() if p.name.endswith("+prosody")], edit)


def prompts(scene):
    return len(scene.juliet.stanzas("presence", lambda p: p.get("type") == "subscribe" and p.get("from") == jid(scene.alice)))


def test_who_was_refused_may_ask_again_later(gateway, pair):
    scene = Scene(gateway, pair.door)
    scene.subscribes()
    scene.asked()
    refused = time.monotonic()
    scene.answers("unsubscribed")
    scene.told("terminated rejected")
    scene.subscribes()
    scene.told("terminated rejected")
    assert prompts(scene) == 1

    # It passes, and by itself asks nobody.
    time.sleep(max(0, refused + INTERVAL + 3 - time.monotonic()))
    assert prompts(scene) == 1
    scene.subscribes()
    wait_until(lambda: f"a second prompt; alice was told {told(scene.subscription)}", lambda: prompts(scene) == 2)
    scene.answers("subscribed")
    scene.told("active open")
