"""`presence_composition` most-available: a SIP user sees the one resource where an XMPP user is most available, by each door."""

from support.doors import by_each_door
from support.doors import with_parameter
from support.gateway import pairs
from test_doors import Scene
from test_doors import told
from test_doors import watching

PAIRS = by_each_door([p for p in pairs() if p.name.endswith("+prosody")], with_parameter("presence_composition", '"most-available"'))


def test_one_resource_stands_for_all(gateway, pair):
    scene = Scene(gateway, pair.door)
    watching(scene)
    desk, phone = scene.juliet, gateway.login(scene.juliet.bare, resource="phone", accept=None, presence=False)
    phone.presence(show="dnd")
    desk.presence(show="away")
    scene.told("active open/away")
    phone.presence(show="chat")
    scene.told("active open/chat")
    desk.presence(show="xa")
    # Once this is answered, the server has seen it.
    desk.ask(lambda client: client.get_roster())
    phone.presence(type="unavailable")
    scene.told("active open/xa")
    desk.presence(type="unavailable")
    scene.told("active closed")
    assert told(scene.subscription) == ["pending", "active open", "active open/away", "active open/chat", "active open/xa", "active closed"]
