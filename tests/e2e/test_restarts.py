"""One of the servers, a client or a phone begins anew in the middle: rosters stay as they are, nobody is asked again, both sides go on seeing
each other, and nobody is shown to have gone who was there."""

import pytest
from support import example
from support import store
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.sip import SipAgent
from support.sip import pidf
from test_doors import line
from test_doors import told
from test_presence_mode import with_stored_states
from test_survival import restart
from test_survival import show

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]
ROSTER = "{jabber:iq:roster}"
DOORS = {"presence server": lambda text: text, "notifier": example.as_notifier}


def forgets(pair, door):
    """Whether a restart costs the presence server what phones have published: Kamailio's cannot write each state to an SQLite database that
    others of its processes write to, which is locked then (500), as they do where XMPP users are published, too."""
    return pair.name.startswith("kamailio") and door == "presence server"


class Scene:
    """juliet and alice see each other."""

    def __init__(self, gateway, folder, is_forgotten):
        self.gateway, self.device, self.is_forgotten = gateway, "ID-desk", is_forgotten
        self.alice, self.juliet = gateway.sip_user(), gateway.xmpp_user()
        self.subscription = gateway.sip_watches(self.alice, self.juliet)
        gateway.xmpp_watches(self.juliet, self.alice, self.state("chat"))
        # What answers and roster pushes brought is over once the roster says that each sees the other.
        wait_until(lambda: f"both to be subscribed: {self.roster()}", lambda: self.roster() == [(jid(self.alice), "both", None)])
        self.at_first = self.roster()
        self.begin_again(self.juliet)
        store.wait_row(folder, "subscription", self.alice.user, "phase active", "shown ")
        store.wait_row(folder, "authorization", self.alice.user, "standing allowed")

    def begin_again(self, juliet):
        """From here on it counts what this client of juliet gets."""
        self.juliet, self.seen = juliet, len(juliet.received)

    def state(self, show):
        """What alice's phone publishes."""
        return pidf(self.alice.uri, show=show, tuple_id=self.device)

    def roster(self):
        # Asked for without a version: what is unchanged is told, too.
        items = self.juliet.ask(lambda client: client.make_iq_get("jabber:iq:roster").send()).xml.iter(ROSTER + "item")
        return sorted((item.get("jid"), item.get("subscription"), item.get("ask")) for item in items)

    def presences(self):
        return [s for s in self.juliet.received[self.seen:] if s.tag.endswith("}presence") and jid(self.alice) in (s.get("from") or "")]

    def changes_of_roster(self):
        return [s for s in self.juliet.received[self.seen:] if s.get("type") == "set" and s.find(ROSTER + "query") is not None]

    def told(self, wanted):
        wait_until(lambda: f"alice to be told {wanted}; seen: {told(self.subscription)}", lambda: told(self.subscription)[-1:] == [wanted], 20)

    def still_see_each_other(self, kinds):
        self.told("active open")
        self.juliet.presence(show="dnd")
        self.told("active open/dnd")
        self.alice.publish(self.state("xa"))
        wait_until(lambda: f"juliet to see xa; seen: {self.juliet.shown('presence')}",
                   lambda: [p for p in self.presences() if show(p) == "xa"], 30)
        assert self.roster() == self.at_first and not self.changes_of_roster()
        assert {p.get("type") for p in self.presences()} <= kinds, self.juliet.shown("presence")
        assert not [n for n in self.subscription.notifies() if line(n).startswith("terminated")], told(self.subscription)


def xmpp_server(scene):
    gateway = scene.gateway
    before = len(gateway.host.log())
    gateway.server.stop()
    scene.juliet.close()
    gateway.server.start()
    gateway.host.process.wait_for_log("as its component", after=before, timeout=40)
    scene.begin_again(gateway.login(scene.juliet.bare, resource="again"))
    scene.seen = 0


def sip_server(scene):
    restart(scene.gateway, "stop")
    if scene.is_forgotten:
        scene.alice.etag = None
    if scene.subscription.refresh().status not in (200, 202):
        # A presence server may have forgotten it: the phone begins anew.
        scene.subscription = scene.alice.subscribe(scene.gateway.uri_of(scene.juliet.bare))


def client(scene):
    scene.juliet.ask(abort)
    scene.begin_again(scene.gateway.login(scene.juliet.bare, resource="again"))
    scene.seen = 0


async def abort(client):
    client.abort()


def phone(scene):
    """It forgets its subscription and its publication, and what it had goes on for as long as it was meant to. Presence servers show one of
    two tuples with the same id; the phone chooses another one."""
    alice = SipAgent(scene.alice.user, scene.alice.domain, scene.gateway.host.port)
    scene.gateway.users.append(alice)
    scene.alice.close()
    scene.alice = alice.register()
    scene.device = "ID-again"
    alice.publish(scene.state("chat"))
    scene.subscription = alice.subscribe(scene.gateway.uri_of(scene.juliet.bare))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("begins_anew", [xmpp_server, sip_server, client, phone], ids=lambda it: it.__name__)
def test_both_go_on_seeing_each_other(pair, door, begins_anew, tmp_path):
    forgotten = forgets(pair, door)
    gateway = Gateway(store.with_store(pair, lambda text: DOORS[door](text if forgotten else with_stored_states(text))), tmp_path)
    try:
        scene = Scene(gateway.wait_connected(), tmp_path, forgotten)
        begins_anew(scene)
        scene.still_see_each_other({None, "unavailable"} if forgotten and begins_anew is sip_server else {None})
    finally:
        gateway.stop()
