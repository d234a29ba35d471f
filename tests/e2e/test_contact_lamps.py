"""A phone watches an XMPP contact with Event: dialog (`contact_lamp`): the lamp is lit while the contact should not be called, by each door."""

import re

import pytest
from support.dialogs import check
from support.dialogs import dialogs
from support.dialogs import documents
from support.doors import by_each_door
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until


def served(text):
    """The example with the event, as its comments say; without it, the door has lamps all the same."""
    return re.sub(r'^# (modparam\("xmpp_gateway", "dialog_event", 1\))', r"\1", text, flags=re.MULTILINE)


# ejabberd once: what it says of presence and activities comes in by the same way at each door.
PAIRS = [pair for pair in by_each_door([p for p in pairs() if p.name.startswith(("kamailio", "opensips"))], served)
         if not pair.name.startswith("kamailio+ejabberd") or pair.door == "local"]


def state(notify):
    return re.sub(r";expires=\d+", "", notify.header("Subscription-State"))


def is_lit(text):
    """Whether a phone would light its lamp. A contact has one dialog at the most, and it is up, or over."""
    told = dialogs(text)
    assert told in ([], ["xmpp confirmed"], ["xmpp terminated"]), told
    return told == ["xmpp confirmed"]


class Lamp:
    """alice watches juliet."""

    def __init__(self, gateway, alice, juliet):
        self.entity = gateway.uri_of(juliet.bare)
        self.subscription = alice.subscribe(self.entity, event="dialog")

    def shown(self):
        """What the phone made of each document: `on` or `off`, repetitions left out."""
        seen = []
        for text in documents(self.subscription):
            lamp = "on" if is_lit(text) else "off"
            seen += [lamp] if seen[-1:] != [lamp] else []
        return seen

    def wait(self, *shown):
        """A lamp that is lit when the subscription becomes active may or may not have been dark in a NOTIFY before."""
        rest = shown[1:] if shown[:2] == ("off", "on") else shown
        wait_until(lambda: f"a lamp that was {shown}; was {self.shown()}: {self.subscription.notifies()}",
                   lambda: self.shown() in (list(shown), list(rest)))

    def wait_state(self, wanted):
        """The newest NOTIFY says this of the subscription."""
        def newest():
            return [state(n) for n in sorted(self.subscription.notifies(), key=lambda n: int(n.header("CSeq").split()[0]))][-1:]
        wait_until(lambda: f"{wanted}; seen: {self.subscription.notifies()}", lambda: newest() == [wanted])

    def check(self):
        check(self.subscription, self.entity)


def asked(juliet, alice):
    return juliet.stanzas("presence", lambda s: s.get("type") == "subscribe" and s.get("from") == jid(alice))


def test_a_contact_who_should_not_be_called_lights_the_lamp(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    lamp = Lamp(gateway, alice, juliet)
    lamp.wait_state("pending")
    juliet.expect_presence(jid(alice), "subscribe")
    juliet.presence(show="dnd")
    assert "on" not in lamp.shown()
    juliet.presence(type="subscribed", to=jid(alice))
    wait_until("the lamp to be lit", lambda: lamp.shown()[-1:] == ["on"])
    lamp.wait_state("active")
    juliet.presence(show="away")
    lamp.wait("off", "on", "off")
    juliet.presence(show="dnd", status="busy")
    lamp.wait("off", "on", "off", "on")
    juliet.presence(type="unavailable")
    lamp.wait("off", "on", "off", "on", "off")
    juliet.presence(type="unsubscribed", to=jid(alice))
    lamp.wait_state("terminated;reason=rejected")
    lamp.check()


def test_who_is_refused_sees_no_lamp(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    # Somebody else may see.
    nurse = gateway.sip_user("nurse")
    other = Lamp(gateway, nurse, juliet)
    juliet.expect_presence(jid(nurse), "subscribe")
    juliet.presence(type="subscribed", to=jid(nurse))
    juliet.presence(show="dnd")
    wait_until("the nurse's lamp to be lit", lambda: other.shown()[-1:] == ["on"])
    lamp = Lamp(gateway, alice, juliet)
    lamp.wait_state("pending")
    juliet.expect_presence(jid(alice), "subscribe")
    juliet.presence(type="unsubscribed", to=jid(alice))
    lamp.wait_state("terminated;reason=rejected")
    assert "on" not in lamp.shown()
    again = Lamp(gateway, alice, juliet)
    again.wait_state("terminated;reason=rejected")
    assert "on" not in again.shown() and len(asked(juliet, alice)) == 1
    other.check()


def test_presence_and_lamp_are_one_subscription_in_xmpp_and_end_apart(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    lamp = Lamp(gateway, alice, juliet)
    presence = gateway.sip_watches(alice, juliet)
    juliet.presence(show="dnd")
    wait_until("the lamp to be lit", lambda: lamp.shown()[-1:] == ["on"])
    presence.wait_notify("dnd", lambda n: ">dnd<" in n.text)
    assert len(asked(juliet, alice)) == 1
    assert presence.end().status in (200, 202)
    presence.wait_notify("the end", lambda n: state(n).startswith("terminated"))
    juliet.presence()
    wait_until("the lamp to go out", lambda: lamp.shown()[-1:] == ["off"])
    again = gateway.sip_watches(alice, juliet)
    assert lamp.subscription.end().status in (200, 202)
    lamp.wait_state("terminated;reason=timeout")
    juliet.presence(show="away")
    again.wait_notify("away", lambda n: ">away<" in n.text)
    assert len(asked(juliet, alice)) == 1
    lamp.check()


def test_who_is_on_the_phone_lights_the_lamp(gateway):
    alice = gateway.sip_user()
    juliet = gateway.xmpp_user(plugins=("xep_0108", "xep_0163"))
    lamp = Lamp(gateway, alice, juliet)
    juliet.expect_presence(jid(alice), "subscribe")
    lamp.wait_state("active")
    # A server sends events to contacts who say that they want them, in presence. ejabberd listens to those only who see the user's.
    gateway.xmpp_watches(juliet, alice)
    for number in range(2):
        juliet.ask(lambda client: client["xep_0108"].publish_activity("talking", "on_the_phone"))
        lamp.wait(*["off", "on"] * (number + 1))
        juliet.ask(lambda client: client["xep_0108"].stop())
        lamp.wait(*["off", "on"] * (number + 1), "off")
    lamp.check()


@pytest.mark.parametrize("show", ["chat", "away", "xa"])
def test_other_states_leave_it_dark(gateway, show):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    lamp = Lamp(gateway, alice, juliet)
    lamp.wait_state("active")
    juliet.presence(show=show)
    juliet.presence(show="dnd")
    wait_until("the lamp to be lit", lambda: lamp.shown()[-1:] == ["on"])
    assert lamp.shown() == ["off", "on"]
