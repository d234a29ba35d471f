"""An XMPP server ends the stream of a component that speaks for another domain: no SIP user may bring the gateway to that."""

import pytest
from support.gateway import jid

FROM = ["sip:mallory@evil.example", "sip:mallory@example.net", "sip:mallory@sub.sip.example.com"]


@pytest.mark.parametrize("uri", FROM)
def test_a_sip_user_cannot_speak_for_another_domain(gateway, uri):
    mallory, alice, juliet = gateway.sip_user("mallory"), gateway.sip_user(), gateway.xmpp_user()
    gateway.wait_connected()
    mallory.uri = uri
    assert mallory.message(f"sip:{juliet.bare}", "spoofed").status >= 300
    # At once: the stream still stands.
    assert alice.message(f"sip:{juliet.bare}", "honest").status == 202
    assert juliet.expect_message("from alice").get("from").split("/")[0] == jid(alice)


def test_a_watcher_of_another_domain_ends_nothing(gateway):
    mallory, alice, juliet = gateway.sip_user("mallory"), gateway.sip_user(), gateway.xmpp_user()
    mallory.uri = "sip:mallory@evil.example"
    mallory.subscribe(f"sip:{juliet.bare}")
    gateway.sip_watches(alice, juliet)
    assert alice.message(f"sip:{juliet.bare}", "honest").status == 202
    assert not juliet.stanzas("presence", lambda p: p.get("from", "").startswith("mallory@"))
