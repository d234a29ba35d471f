"""Presence of XMPP users as SIP users see it: one tuple per resource (RFC 8048 §6)."""

import xml.etree.ElementTree as ElementTree

import pytest
from support.gateway import is_active
from support.gateway import jid

PIDF = "{urn:ietf:params:xml:ns:pidf}"


def tuples(notify):
    return ElementTree.fromstring(notify.text).findall(PIDF + "tuple") if notify.body else []


def states(notify):
    return [t.findtext(f"{PIDF}status/{PIDF}basic") for t in tuples(notify)]


def notes(notify):
    return [note.text for note in ElementTree.fromstring(notify.text).iter(PIDF + "note")] if notify.body else []


def test_online_is_an_open_tuple(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    notify = subscription.wait_notify("an open tuple", lambda n: "open" in states(n))
    assert notify.header("Content-Type") == "application/pidf+xml"
    assert ElementTree.fromstring(notify.text).get("entity") in (f"sip:{juliet.bare}", f"pres:{juliet.bare}")


@pytest.mark.parametrize("show", ["away", "chat", "dnd", "xa"])
def test_show_is_carried(gateway, show):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show=show)
    notify = subscription.wait_notify(f"show {show}", lambda n: show in [e.text for e in shows(n)])
    assert states(notify) == ["open"]


def shows(notify):
    return list(ElementTree.fromstring(notify.text).iter("{jabber:client}show")) if notify.body else []


def test_an_idle_client_is_told_with_its_time(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.raw('<presence><show>away</show><idle xmlns="urn:xmpp:idle:1" since="2026-01-02T04:04:05+01:00"/></presence>')
    idle = [("idle", "2026-01-02T03:04:05Z")]
    subscription.wait_notify("user input", lambda n: [(e.text, e.get("last-input")) for e in inputs(n)] == idle)


def inputs(notify):
    return list(ElementTree.fromstring(notify.text).iter("{urn:ietf:params:xml:ns:pidf:rpid}user-input")) if notify.body else []


@pytest.mark.parametrize("text", ["In a meeting", "<away> & 'busy' \"x\" ]]>", "\U0001F600 \u4f60\u597d", "two\nlines"])
def test_status_is_a_note(gateway, text):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(status=text)
    subscription.wait_notify(f"the note {text!r}", lambda n: text in notes(n))


def test_each_resource_is_a_tuple_and_leaves_alone(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    phone = gateway.login(juliet.bare, resource="phone")
    subscription.wait_notify("two open tuples", lambda n: states(n).count("open") == 2)
    phone.presence(type="unavailable")
    seen = len(subscription.notifies())
    subscription.wait_notify("one open tuple", lambda n: states(n).count("open") == 1
                             and subscription.notifies().index(n) >= seen - 1)


def test_offline_is_told(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    seen = len(subscription.notifies())
    juliet.presence(type="unavailable")
    subscription.wait_notify("no open tuple", lambda n: "open" not in states(n) and is_active(n)
                             and subscription.notifies().index(n) >= seen)


def test_who_lets_one_watcher_see_no_more_is_still_there_for_the_other(gateway):
    alice, bob, juliet = gateway.sip_user(), gateway.sip_user("bob"), gateway.xmpp_user()
    gateway.sip_watches(alice, juliet)
    subscription = gateway.sip_watches(bob, juliet)
    subscription.wait_notify("an open tuple", lambda n: "open" in states(n))
    juliet.presence(type="unsubscribed", to=jid(alice))
    # Whatever the server made of that is through when the next state is.
    juliet.presence(status="still here")
    subscription.wait_notify("the new state", lambda n: "still here" in notes(n))
    states_of_bob = [states(n) for n in subscription.notifies() if n.body]
    first = next(index for index, state in enumerate(states_of_bob) if "open" in state)
    assert all("open" in state for state in states_of_bob[first:]), states_of_bob
    # And the whole of it ends when juliet leaves.
    juliet.presence(type="unavailable")
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in states(n))


@pytest.mark.parametrize("resource", ["r\u00e9sum\u00e9 <&> " + "x" * 500, "x" * 60, "a phone, at home, of juliet"], ids=["long", "of 60", "in words"])
def test_a_resource_of_many_characters_is_no_danger(gateway, resource):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    gateway.login(juliet.bare, resource=resource)
    notify = subscription.wait_notify("two open tuples", lambda n: states(n).count("open") == 2)
    assert all(len(t.get("id")) < 128 for t in tuples(notify))
