"""Presence of SIP users as XMPP users see it: one <presence/> per tuple (RFC 8048 §5)."""

import pytest
from support.gateway import jid
from support.sip import pidf
from support.xmpp import child


def test_open_is_available_from_the_tuple(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice, pidf(alice.uri, tuple_id="ID-desk"))
    presence = juliet.expect_presence(jid(alice))
    assert presence.get("from") == f"{jid(alice)}/desk"


@pytest.mark.parametrize("show", ["away", "chat", "dnd", "xa"])
def test_show_is_carried(gateway, show):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(pidf(alice.uri, show=show))
    juliet.expect_presence(jid(alice), condition=lambda p: child(p, "show") == show)


@pytest.mark.parametrize("activity, show", [("away", "away"), ("busy", "dnd"), ("vacation", "xa")])
def test_an_activity_is_a_show(gateway, activity, show):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(pidf(alice.uri, activity=activity))
    juliet.expect_presence(jid(alice), condition=lambda p: child(p, "show") == show)


def test_a_phone_that_nobody_uses_is_idle(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(pidf(alice.uri, last_input="2026-01-02T03:04:05Z"))
    idle = "{urn:xmpp:idle:1}idle"
    presence = juliet.expect_presence(jid(alice), condition=lambda p: p.find(idle) is not None)
    assert presence.find(idle).get("since") == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("note", ["busy", "away", "On the phone", "\U0001F600 &lt;b&gt; &amp; c ]]&gt;"])
def test_a_note_is_status_and_no_show(gateway, note):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(pidf(alice.uri, note=note))
    text = note.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    presence = juliet.expect_presence(jid(alice), condition=lambda p: child(p, "status") == text)
    assert child(presence, "show") is None


def test_closed_is_unavailable(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(pidf(alice.uri, basic="closed"))
    juliet.expect_presence(jid(alice), "unavailable", condition=lambda p: "/" in p.get("from"))


def test_a_publication_taken_away_is_unavailable(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    alice.publish(None, expires=0)
    juliet.expect_presence(jid(alice), "unavailable", condition=lambda p: "/" in p.get("from"))


def test_both_see_each_other(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    gateway.sip_watches(alice, juliet)
