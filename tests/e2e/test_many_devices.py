"""Three clients of one XMPP user and two phones of one SIP user, all at once: each is seen for itself, and leaves alone."""

import pytest
from support import baresip
from support.doors import by_each_door
from support.gateway import every_pair
from support.gateway import jid
from support.process import wait_until
from support.sip import pidf
from test_doors import line
from test_doors import told

PAIRS = by_each_door(every_pair(), doors=("pua", "notifier"))
pytestmark = pytest.mark.skipif(baresip.missing() is not None, reason=str(baresip.missing()))


class Scene:
    """juliet at her desk, away from her phone, and not to be disturbed at her tablet; alice with a phone at her desk and with baresip."""

    def __init__(self, gateway, folder):
        self.gateway = gateway
        self.desk_phone, self.watcher = gateway.sip_user(), gateway.sip_user("bob")
        self.alice = jid(self.desk_phone)
        self.desk = self.juliet_at("desk", accept="subscribed", priority=10)
        self.clients = [self.desk, self.juliet_at("phone", show="away", priority=5), self.juliet_at("tablet", show="dnd", priority=1)]
        self.baresip = baresip.Baresip(folder, self.desk_phone.user, gateway.sip_domain, gateway.host.port,
                                       [gateway.uri_of(self.desk.bare)])

    def juliet_at(self, resource, accept=None, **presence):
        account = self.desk.bare if resource != "desk" else self.gateway.account()
        client = self.gateway.login(account, resource=resource, accept=accept, presence=False)
        client.presence(**presence)
        return client

    def baresip_was_told(self):
        """What the NOTIFYs say that baresip got."""
        messages, _ = self.baresip.trace()
        return [line(m) for sent, m in messages if not sent and not m.is_response and m.method == "NOTIFY"]

    def seen(self, client):
        """What a client was shown of alice's phones: `resource`, or `-resource` where it went; without what says the same again."""
        shown = []
        for stanza in client.stanzas("presence", lambda p: p.get("from").split("/")[0] == self.alice):
            if stanza.get("type") in (None, "unavailable"):
                shown.append(("-" if stanza.get("type") else "") + stanza.get("from").partition("/")[2])
        return shown

    def published(self):
        """How many tuples the presence server has of alice. It says that a phone is gone before it forgets the phone."""
        return len(fetched(self.watcher, self.desk_phone.uri).text.split("<tuple")) - 1

    def present(self, client):
        """The phones of alice that are there."""
        there = set()
        for said in self.seen(client):
            if said.startswith("-"):
                there.discard(said[1:])
            else:
                there.add(said)
        return there


def fetched(watcher, presentity):
    """What a presence server says of a SIP user to who asks once."""
    return watcher.subscribe(presentity, expires=0).wait_notify("a state", lambda n: True)


@pytest.fixture
def scene(gateway, tmp_path):
    scene = Scene(gateway, tmp_path)
    yield scene
    scene.baresip.stop()


def test_each_client_is_a_tuple_and_leaves_alone(scene):
    subscription = scene.gateway.sip_watches(scene.desk_phone, scene.desk)
    scene.baresip.start()
    three = "active open/away@0.039 open/dnd@0.007 open@0.078"
    wait_until(lambda: f"alice to see three clients; seen: {told(subscription)}", lambda: told(subscription)[-1:] == [three])
    wait_until(lambda: f"baresip to see three clients; seen: {scene.baresip_was_told()}", lambda: scene.baresip_was_told()[-1:] == [three])

    for client, left in zip(scene.clients[:0:-1], ["active open/away@0.039 open@0.078", "active open@0.078"]):
        before = len(told(subscription))
        client.presence(type="unavailable")
        wait_until(lambda: f"alice to see who left; seen: {told(subscription)}", lambda: told(subscription)[-1:] == [left])
        wait_until(lambda: f"baresip to see who left; seen: {scene.baresip_was_told()}", lambda: scene.baresip_was_told()[-1:] == [left])
        # The next one to leave is told after all that this one may still bring.
        assert len(told(subscription)) == before + 1, told(subscription)


def test_each_phone_is_a_resource_and_leaves_alone(scene):
    scene.desk_phone.publish(pidf(scene.desk_phone.uri, tuple_id="ID-desk"))
    scene.baresip.start().published_once(scene.watcher)
    wait_until("two phones in the presence server", lambda: scene.published() == 2)
    scene.desk.presence(type="subscribe", to=scene.alice)
    for client in scene.clients:
        wait_until(lambda: f"two phones of alice for {client.jid}; seen: {scene.seen(client)}", lambda: len(scene.present(client)) == 2)

    scene.baresip.stop()
    for client in scene.clients:
        wait_until(lambda: f"one phone of alice for {client.jid}; seen: {scene.seen(client)}", lambda: scene.present(client) == {"desk"})
    wait_until("the presence server to forget baresip", lambda: scene.published() == 1)
    scene.desk_phone.publish(None, expires=0)
    for client in scene.clients:
        wait_until(lambda: f"no phone of alice for {client.jid}; seen: {scene.seen(client)}", lambda: not scene.present(client))
        gone = [said for said in scene.seen(client) if said.startswith("-")]
        assert len(gone) == len(set(gone)) == 2, scene.seen(client)
