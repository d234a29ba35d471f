"""The KEMI script routes as the native one: a message each way, presence both ways."""

from support.gateway import jid
from support.gateway import lua_pair
from support.xmpp import child

PAIRS = [lua_pair()]


def test_a_message_each_way(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    assert alice.message(f"sip:{juliet.bare}", "to the balcony").status == 202
    assert child(juliet.expect_message(), "body") == "to the balcony"
    juliet.message(jid(alice), "to the garden")
    assert alice.expect("MESSAGE").text == "to the garden"


def test_presence_both_ways(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    gateway.sip_watches(alice, juliet)
