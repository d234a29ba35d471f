"""One table for all the ways in which a SIP user watches an XMPP user: the same in XMPP gives the same NOTIFYs."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from support.doors import by_each_door
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until

PAIRS = by_each_door([p for p in pairs() if p.name.endswith("+prosody")])
PIDF = "{urn:ietf:params:xml:ns:pidf}"
SHOW = "{jabber:client}show"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def tuple_line(tuple_):
    """`open`, `open/away`, `open/away(at lunch)`, `open(fr:parti)`, `open@0.078`."""
    line = tuple_.findtext(f"{PIDF}status/{PIDF}basic")
    if line == "closed":
        # A presence server says of a publication that ends that its tuples are closed, and leaves in them what they said before.
        return line
    show = tuple_.findtext(f"{PIDF}status/{SHOW}")
    priority = tuple_.find(PIDF + "contact").get("priority") if tuple_.find(PIDF + "contact") is not None else None
    notes = [(f"{n.get(LANG)}:" if n.get(LANG) else "") + n.text for n in tuple_.findall(PIDF + "note")]
    return line + (f"/{show}" if show else "") + (f"({', '.join(notes)})" if notes else "") + (f"@{priority}" if priority else "")


def line(notify):
    """What a NOTIFY says: the state of the subscription with its reason, and the tuples that are open, or `closed`."""
    state = re.sub(r";(expires|retry-after)=\d+", "", notify.header("Subscription-State")).replace(";reason=", " ")
    tuples = sorted(tuple_line(t) for t in ElementTree.fromstring(notify.text).findall(PIDF + "tuple")) if notify.body else []
    # One more that is closed says nothing where others are open.
    return " ".join([state, *([t for t in tuples if t != "closed"] or tuples[:1])])


def told(subscription):
    """What a watcher was told, in order, repetitions left out. That nobody is there OpenSIPS says once more without a word.

    Permission and state are two stanzas in XMPP, one right after the other, and two matters for a presence server: either may come to the
    watcher first. So `active` without a word before a state is left out, and `closed` right before the permission is taken back. Or right
    after that, where another worker of the presence server had taken note of the watcher before: it belongs to no subscription any more."""
    seen = []
    for notify in sorted(subscription.notifies(), key=lambda n: int(n.header("CSeq").split()[0])):
        if seen[-1:] != [line(notify)] and (seen[-1:], line(notify)) != (["active closed"], "active"):
            seen.append(line(notify))
    if seen[-2:] == ["terminated rejected", "active closed"]:
        seen.pop()
    return [said for said, after in zip(seen, [*seen[1:], ""]) if not is_passing(said, after)]


def is_passing(said, after):
    return (said == "active" and after.startswith("active ")) or (said, after) == ("active closed", "terminated rejected")


class Scene:
    """alice watches juliet."""

    def __init__(self, gateway, door):
        self.gateway, self.door, self.alice = gateway, door, gateway.sip_user()
        self.juliet = gateway.xmpp_user(accept=None, plugins=("xep_0191",))
        self.subscription = None

    def subscribes(self, expires=600):
        self.subscription = self.alice.subscribe(self.gateway.uri_of(self.juliet.bare), expires=expires)

    def asked(self):
        self.juliet.expect_presence(jid(self.alice), "subscribe")

    def answers(self, answer):
        self.juliet.presence(type=answer, to=jid(self.alice))

    def told(self, wanted, timeout=10.0):
        """The newest NOTIFY says this."""
        wait_until(lambda: f"alice to be told {wanted!r}; seen: {told(self.subscription)}",
                   lambda: told(self.subscription)[-1:] == [wanted], timeout)


def watching(scene):
    scene.subscribes()
    scene.told("pending")
    scene.asked()
    scene.answers("subscribed")
    scene.told("active open")


def comes_and_goes(scene):
    watching(scene)
    scene.juliet.presence(show="away")
    scene.told("active open/away")
    scene.juliet.presence(type="unavailable")
    scene.told("active closed")


def refused(scene):
    scene.subscribes()
    scene.told("pending")
    scene.asked()
    scene.answers("unsubscribed")
    scene.told("terminated rejected")


def revoked(scene):
    watching(scene)
    scene.answers("unsubscribed")
    scene.told("terminated rejected")


def blocked(scene):
    watching(scene)
    scene.juliet.ask(lambda client: client["xep_0191"].block(jid(scene.alice)))
    scene.told("active closed")


def two_resources(scene):
    watching(scene)
    phone = scene.gateway.login(scene.juliet.bare, resource="phone", accept=None)
    scene.told("active open open")
    phone.presence(show="dnd")
    scene.told("active open open/dnd")
    phone.presence(type="unavailable")
    scene.told("active open")


def refreshed(scene):
    watching(scene)
    seen = len(scene.subscription.notifies())
    assert scene.subscription.refresh().status in (200, 202)
    wait_until("a NOTIFY for the refresh", lambda: len(scene.subscription.notifies()) > seen)
    scene.told("active open")


def given_up(scene):
    watching(scene)
    assert scene.subscription.end().status in (200, 202)
    # The gateway says closed (RFC 8048 §5.3.3), a presence server what is true (RFC 6665 §4.2.2).
    scene.told("terminated timeout closed" if scene.door == "notifier" else "terminated timeout open")


def fetched(scene):
    watching(scene)
    scene.subscribes(expires=0)
    scene.told("terminated timeout open")


def text(scene):
    watching(scene)
    scene.juliet.raw('<presence xml:lang="en"><status>out</status><status xml:lang="fr">sortie</status></presence>')
    scene.told("active open(en:out, fr:sortie)")


def priority(scene):
    watching(scene)
    scene.juliet.presence(priority=10)
    scene.told("active open@0.078")
    scene.juliet.presence(priority=-1)
    scene.told("active open")


def server_down_and_back(scene):
    watching(scene)
    scene.gateway.server.stop()
    scene.gateway.server.start()
    scene.told("active closed", timeout=40)
    scene.gateway.login(scene.juliet.bare, resource="again", accept=None)
    scene.told("active open")


# The rows: what happens, and what the watcher is told, from the first NOTIFY to the last.
ROWS = {
    comes_and_goes: ["pending", "active open", "active open/away", "active closed"],
    refused: ["pending", "terminated rejected"],
    revoked: ["pending", "active open", "terminated rejected"],
    blocked: ["pending", "active open", "active closed"],
    two_resources: ["pending", "active open", "active open open", "active open open/dnd", "active open"],
    refreshed: ["pending", "active open"],
    given_up: ["pending", "active open"],
    fetched: ["terminated timeout open"],
    text: ["pending", "active open", "active open(en:out, fr:sortie)"],
    server_down_and_back: ["pending", "active open", "active closed", "active open"],
    priority: ["pending", "active open", "active open@0.078", "active open"],
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_same_notifies_by_each_door(gateway, pair, row):
    scene = Scene(gateway, pair.door)
    row(scene)
    seen = told(scene.subscription)
    assert (seen[:-1] if row is given_up else seen) == ROWS[row]

