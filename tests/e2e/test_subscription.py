"""Who may see whom (RFC 8048 §4, RFC 6665): nothing is promised before the other side has agreed."""

import time

from support.gateway import is_active
from support.gateway import jid
from support.process import wait_until
from support.sip import pidf

QUIET = 1.5


def test_subscribed_comes_with_the_first_active_notify_only(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.host.rules(alice.user, f"sip:{juliet.bare}", "confirm")
    alice.publish(pidf(alice.uri))
    juliet.presence(type="subscribe", to=jid(alice))
    wait_until("alice to be asked", lambda: watchers(alice, "pending"))
    time.sleep(QUIET)
    assert not [p for p in juliet.stanzas("presence") if p.get("from").startswith(jid(alice)) and p.get("type") in (None, "subscribed")]

    gateway.host.rules(alice.user, f"sip:{juliet.bare}", "allow")
    gateway.host.refresh_watchers(alice.uri)
    juliet.expect_presence(jid(alice), "subscribed")
    juliet.expect_presence(jid(alice))


def watchers(agent, state):
    """The watchers of a SIP user that are in this state, as that user is told (RFC 3857)."""
    subscription = agent.subscribe(agent.uri, event="presence.winfo", expires=60)
    notify = subscription.wait_notify("watchers", lambda n: n.body)
    subscription.end()
    return f'status="{state}"' in notify.text


def test_a_refusal_is_unsubscribed(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.host.rules(alice.user, f"sip:{juliet.bare}", "block")
    alice.publish(pidf(alice.uri))
    juliet.presence(type="subscribe", to=jid(alice))
    juliet.expect_presence(jid(alice), "unsubscribed")
    assert not [p for p in juliet.stanzas("presence") if p.get("type") == "subscribed"]


def test_authorization_taken_back_is_unsubscribed(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    gateway.host.rules(alice.user, f"sip:{juliet.bare}", "block")
    gateway.host.refresh_watchers(alice.uri)
    juliet.expect_presence(jid(alice), "unsubscribed")


def test_unsubscribe_ends_the_sip_subscription(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    assert watchers(alice, "active")
    juliet.presence(type="unsubscribe", to=jid(alice))
    wait_until("juliet to watch alice no more", lambda: not watchers(alice, "active"))


def test_a_sip_watcher_waits_until_the_xmpp_user_agrees(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    subscription.wait_notify("pending", lambda n: n.header("Subscription-State").startswith("pending"))
    juliet.expect_presence(jid(alice), "subscribe")
    juliet.presence(status="not for alice")
    time.sleep(QUIET)
    assert not [n for n in subscription.notifies() if n.body]

    juliet.presence(type="subscribed", to=jid(alice))
    notify = subscription.wait_notify("presence", lambda n: is_active(n) and n.body)
    assert "not for alice" in notify.text


def test_one_request_is_asked_once(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(jid(alice), "subscribe")
    for _ in range(3):
        assert subscription.refresh().status in (200, 202)
    time.sleep(QUIET)
    assert len([p for p in juliet.stanzas("presence") if p.get("type") == "subscribe"]) == 1


def test_a_stranger_does_not_publish_for_an_xmpp_user(gateway):
    mallory, juliet = gateway.sip_user("mallory"), gateway.xmpp_user()
    answer = mallory.request("PUBLISH", f"sip:{juliet.bare}", body=pidf(f"sip:{juliet.bare}"),
                             headers={"Event": "presence", "Content-Type": "application/pidf+xml", "Expires": "600"})
    assert answer.status == 403


def test_a_stranger_is_not_told_who_watches(gateway):
    alice, mallory, juliet = gateway.sip_user(), gateway.sip_user("mallory"), gateway.xmpp_user()
    for target in (alice.uri, f"sip:{juliet.bare}"):
        assert mallory.request("SUBSCRIBE", target, headers={"Event": "presence.winfo", "Expires": "600"}).status == 403
