"""An XMPP user blocks one of its SIP watchers (XEP-0191): that one sees nothing more, the others see as before, by each door."""

from support.doors import by_each_door
from support.gateway import jid
from support.gateway import pairs
from test_doors import Scene
from test_doors import told
from test_doors import watching

PAIRS = by_each_door([p for p in pairs() if p.name.endswith("+prosody")])


def test_who_is_blocked_sees_no_more_and_others_do(gateway, pair):
    scene = Scene(gateway, pair.door)
    watching(scene)
    juliet, bob = scene.juliet, gateway.sip_user("bob")
    other = bob.subscribe(gateway.uri_of(juliet.bare))
    juliet.expect_presence(jid(bob), "subscribe")
    juliet.presence(type="subscribed", to=jid(bob))
    other.wait_notify("an open tuple", lambda n: "open" in n.text)

    juliet.ask(lambda client: client["xep_0191"].block(jid(scene.alice)))
    # A publication is for all watchers of a presence server: there this one has to be shut out.
    scene.told("active closed" if pair.door == "notifier" else "pending", timeout=20)
    juliet.presence(show="dnd", status="not for alice")
    other.wait_notify("dnd", lambda n: "not for alice" in n.text)
    # Nobody is asked for it again.
    scene.subscribes()
    scene.told("active closed" if pair.door == "notifier" else "pending")
    assert not [n for n in scene.alice.requests_seen("NOTIFY") if "not for alice" in n.text], told(scene.subscription)
    assert len(juliet.stanzas("presence", lambda p: p.get("type") == "subscribe" and p.get("from") == jid(scene.alice))) == 1
