"""Addresses of one side that lead back to the same side: nobody is sent through the gateway twice."""

import pytest
from support.gateway import pairs
from test_address_schemes import Encoded

PAIRS = [p for p in pairs() if p.name.endswith("+prosody")]
ITEM_NOT_FOUND = ".//{urn:ietf:params:xml:ns:xmpp-stanzas}item-not-found"


@pytest.fixture(scope="module")
def servers(pair, tmp_path_factory):
    gateway = Encoded(pair, tmp_path_factory.mktemp("loops"))
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


# A SIP user under the name that it has in XMPP, and that name wrapped once more.
@pytest.mark.parametrize("user", ["bob*gw.example.net", "bob*sip.example.com*gw.example.net"])
def test_a_sip_user_is_not_reached_through_xmpp(gateway, user):
    alice = gateway.sip_user()
    assert alice.message(f"sip:{user}@gw.example.com", "round and round").status == 404


# An XMPP user under the name that it has in SIP, and that name wrapped once more.
@pytest.mark.parametrize("user", ["romeo*gw.example.com", "romeo*example.net*gw.example.com"])
def test_an_xmpp_user_is_not_reached_through_sip(gateway, user):
    juliet, romeo = gateway.xmpp_user(), gateway.xmpp_user("romeo")
    target = f"{user.replace('romeo', romeo.bare.split('@')[0])}@gw.example.net"
    juliet.message(target, "round and round", id="m1")
    error = juliet.expect("message", "an error", lambda m: m.get("type") == "error" and m.get("id") == "m1")
    assert error.find(ITEM_NOT_FOUND) is not None
    juliet.presence(type="subscribe", to=target)
    error = juliet.expect("presence", "an error", lambda p: p.get("type") == "error" and p.get("from") == target)
    assert error.find(ITEM_NOT_FOUND) is not None
    assert not romeo.stanzas("message") and not romeo.stanzas("presence", lambda p: p.get("type") == "subscribe")
