"""`presence_mode` local: states and watchers of XMPP users pass between gateway and presence server without a SIP request."""

import re
import time
import xml.etree.ElementTree as ElementTree

import pytest
from support import process
from support.doors import local
from support.gateway import Gateway
from support.gateway import pairs
from support.gateway import hosts
from support.gateway import is_active
from support.gateway import jid

PIDF = "{urn:ietf:params:xml:ns:pidf}"
SHOW = "{jabber:client}show"
QUIET = 1.5
PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]


def with_stored_states(text):
    """With a presence server that writes states to its database at once."""
    opensips = 'modparam("presence", "contact_user"'
    return text.replace('"publ_cache", 2', '"publ_cache", 1').replace(opensips, f'modparam("presence", "fallback2db", 1)\n{opensips}')


def stored(text):
    """Local mode, and a presence server that writes states and subscriptions to its database at once."""
    return local(with_stored_states(text).replace('"subs_db_mode", 2', '"subs_db_mode", 1'))


@pytest.fixture(scope="module")
def servers(pair, tmp_path_factory):
    gateway = Gateway(pair, tmp_path_factory.mktemp("local"), edit=local)
    yield gateway
    gateway.stop()


def state(notify):
    return notify.header("Subscription-State").split(";")[0]


def elements(notify, name):
    return [e.text for e in ElementTree.fromstring(notify.text).iter(name)] if notify.body else []


def basics(notify):
    return elements(notify, PIDF + "basic")


def in_order(subscription):
    """What the watcher was told, repetitions left out."""
    told = []
    for notify in sorted(subscription.notifies(), key=lambda n: int(n.header("CSeq").split()[0])):
        seen = (state(notify), elements(notify, SHOW), "open" in basics(notify))
        if told[-1:] != [seen]:
            told.append(seen)
    return told


def test_a_watcher_sees_an_xmpp_user_come_and_go(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(jid(alice), "subscribe")
    subscription.wait_notify("pending", lambda n: state(n) == "pending")
    juliet.presence(type="subscribed", to=jid(alice))
    subscription.wait_notify("an open tuple", lambda n: is_active(n) and "open" in basics(n))
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    juliet.presence(type="unavailable")
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and is_active(n) and "open" not in basics(n))
    told = in_order(subscription)
    assert [state for state, _, _ in told] == ["pending"] + ["active"] * (len(told) - 1)
    assert [(show, is_open) for _, show, is_open in told if is_open] == [([], True), (["away"], True)]
    assert not [n for n in subscription.notifies() if state(n) == "pending" and n.body]


def test_who_is_refused_is_told_so(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(jid(alice), "subscribe")
    juliet.presence(status="not for alice")
    juliet.presence(type="unsubscribed", to=jid(alice))
    notify = subscription.wait_notify("the refusal", lambda n: state(n) == "terminated")
    assert "reason=rejected" in notify.header("Subscription-State")
    assert not [n for n in subscription.notifies() if n.body]


def test_who_is_not_let_see_any_more_is_told_so(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(type="unsubscribed", to=jid(alice))
    notify = subscription.wait_notify("the end", lambda n: state(n) == "terminated")
    assert "reason=rejected" in notify.header("Subscription-State")


def test_who_was_let_in_before_is_not_asked_for_again(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.sip_watches(alice, juliet).end()
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    subscription.wait_notify("an open tuple", lambda n: is_active(n) and "open" in basics(n))
    assert len([p for p in juliet.stanzas("presence") if p.get("type") == "subscribe"]) == 1


def test_one_request_is_asked_once(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(jid(alice), "subscribe")
    for _ in range(3):
        assert subscription.refresh().status in (200, 202)
    time.sleep(QUIET)
    assert len([p for p in juliet.stanzas("presence") if p.get("type") == "subscribe"]) == 1


def test_who_only_asks_once_is_let_in_for_the_next_time(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    alice.subscribe(f"sip:{juliet.bare}", expires=0)
    juliet.expect_presence(jid(alice), "subscribe")
    process.wait_until("a fetch to be answered with presence", lambda: [
        n for n in fetched(alice, juliet) if "open" in basics(n)])


def fetched(alice, juliet):
    subscription = alice.subscribe(f"sip:{juliet.bare}", expires=0)
    subscription.wait_notify("a state", lambda n: True)
    return subscription.notifies()


def test_each_resource_is_a_tuple_and_leaves_alone(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    phone = gateway.login(juliet.bare, resource="phone")
    subscription.wait_notify("two open tuples", lambda n: basics(n).count("open") == 2)
    phone.presence(show="dnd")
    subscription.wait_notify("two open tuples, one of them dnd", lambda n: basics(n).count("open") == 2 and "dnd" in elements(n, SHOW))
    phone.presence(type="unavailable")
    subscription.wait_notify("one open tuple", lambda n: n is subscription.notifies()[-1] and basics(n).count("open") == 1)


def test_watchers_of_sip_users_are_judged_by_their_rules(gateway):
    alice, bob = gateway.sip_user(), gateway.sip_user("bob")
    gateway.host.rules(alice.user, bob.uri, "block")
    subscription = bob.subscribe(alice.uri)
    subscription.wait_notify("the refusal", lambda n: state(n) == "terminated")


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_after_a_restart_watchers_go_on_seeing(pair, ends, tmp_path):
    gateway = Gateway(pair, tmp_path, edit=stored)
    try:
        alice, bob, juliet = gateway.sip_user(), gateway.sip_user("bob"), gateway.xmpp_user()
        subscription = gateway.sip_watches(alice, juliet)
        juliet.presence(show="away")
        subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
        getattr(gateway.host, ends)()
        gateway.host.start()
        gateway.wait_connected()
        before = len(subscription.notifies())

        # Somebody new comes, and who was let in before stays so.
        gateway.sip_watches(bob, juliet)
        juliet.presence(show="dnd")
        subscription.wait_notify("dnd, and nothing else", lambda n: elements(n, SHOW) == ["dnd"])
        juliet.presence(type="unavailable")
        subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in basics(n))
        assert all(is_active(n) for n in subscription.notifies()[before:]), subscription.notifies()[before:]
    finally:
        gateway.stop()


@pytest.mark.parametrize("host", hosts(), ids=lambda host: host[0])
@pytest.mark.parametrize("without", ["presence_xml", "presence"])
def test_without_a_presence_server_the_server_does_not_start(host, without, tmp_path):
    _, make, missing = host
    if missing:
        pytest.skip(missing)
    unloaded = {"presence": ("presence", "presence_xml"), "presence_xml": ("presence_xml",)}[without]

    def edit(text):
        for module in unloaded:
            text = re.sub(rf'^(loadmodule|modparam\()\s*"{module}(\.so)?".*\n', "", text, flags=re.MULTILINE)
        if without == "presence":
            text = re.sub(r"handle_(publish|subscribe)\(\)", "exit", text)
        return local(text)

    server = make(tmp_path, edit=edit).start(ready=False)
    server.process.wait_end()
    assert server.log().count('parameter presence_mode is "local"; it takes a presence server in this SIP server') == 1
