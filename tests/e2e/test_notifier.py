"""The gateway as the notifier of XMPP users (RFC 6665 §4.2, RFC 8048 §5.3): what a SIP watcher gets, request by request."""

import re
import uuid

import pytest
from support import baresip
from support import example
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import lua_pair
from support.gateway import pairs
from support.process import wait_until
from support.strict_sip import faults
from test_presence_to_sip import notes
from test_presence_to_sip import shows
from test_presence_to_sip import states

PAIRS = pairs() + [lua_pair()]


@pytest.fixture(scope="module")
def servers(pair, tmp_path_factory):
    gateway = Gateway(pair, tmp_path_factory.mktemp("gateway"), edit=example.as_notifier)
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


def state(notify):
    return re.sub(r"expires=\d+", "expires", notify.header("Subscription-State"))



def newest(subscription, what, condition):
    """Once the newest NOTIFY is such a one."""
    return wait_until(lambda: f"a newest NOTIFY with {what}; seen: {subscription.notifies()}",
                      lambda: (seen := subscription.notifies()) and condition(seen[-1]) and seen[-1])


def subscribe(gateway, headers, accept=True):
    """A SUBSCRIBE of a new user for nobody in particular, with these headers; its final response."""
    alice = gateway.sip_user()
    all_headers = {"Event": "presence", "Expires": "600", **({"Accept": "application/pidf+xml"} if accept else {}), **headers}
    return alice.request("SUBSCRIBE", "sip:nobody@example.net", headers={k: v for k, v in all_headers.items() if v is not None})


def check(subscription):
    """Each NOTIFY is one of this dialog, well-formed, and newer than the one before."""
    seen = subscription.notifies()
    numbers = [int(n.header("CSeq").split()[0]) for n in seen]
    assert numbers == list(range(1, len(seen) + 1)), numbers
    for notify in seen:
        wrong = [fault for fault in faults(notify.raw) if "subscription-state" not in fault.lower()]
        assert not wrong, (wrong, notify)
        assert notify.tag("From") == subscription.remote_tag and notify.tag("To") == subscription.tag, notify
        assert notify.uri == subscription.agent.contact and notify.header("Event") == subscription.event, notify
        assert notify.uri_of("Contact") == subscription.remote_target, notify
        assert notify.header("Content-Type") == ("application/pidf+xml" if notify.body else ""), notify


def test_notifies_leave_from_the_address_that_the_subscribe_came_to(pair, tmp_path):
    """On a host with several addresses a firewall lets in only what comes from where the SUBSCRIBE went."""
    if "lua" in pair.name:
        pytest.skip("the sockets stand in the file beside the script in Lua")

    def edit(text):
        text, lines = re.subn(r"^((?:listen|socket)=udp:)[^:]+:(.*)$", r"\g<0>\n\g<1>127.0.0.2:\g<2>", text, flags=re.MULTILINE)
        assert lines == 1
        return example.as_notifier(text)

    gateway = Gateway(pair, tmp_path, edit=edit)
    try:
        gateway.wait_connected()
        alice, juliet = gateway.sip_user(), gateway.xmpp_user()
        port = gateway.host.port
        alice.proxy = ("127.0.0.2", port)
        subscription = alice.subscribe(gateway.uri_of(juliet.bare))
        newest(subscription, "an open tuple", lambda n: states(n) == ["open"])
        juliet.presence(show="away")
        newest(subscription, "away", lambda n: [e.text for e in shows(n)] == ["away"])
        assert {n.source for n in subscription.notifies()} == {("127.0.0.2", port)}

        # Now it asks elsewhere.
        alice.proxy = ("127.0.0.1", port)
        subscription.refresh()
        juliet.presence(show="dnd")
        notify = newest(subscription, "dnd", lambda n: [e.text for e in shows(n)] == ["dnd"])
        assert notify.source == ("127.0.0.1", port)
    finally:
        gateway.stop()


def test_from_pending_to_the_end(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    assert subscription.remote_target.startswith("sip:xmpp-gateway@")
    first = subscription.wait_notify("pending", lambda n: state(n) == "pending;expires")
    assert not first.body and int(first.header("Subscription-State").split("=")[1]) <= 600

    juliet.expect_presence(jid(alice), "subscribe")
    juliet.presence(type="subscribed", to=jid(alice))
    newest(subscription, "an open tuple", lambda n: state(n) == "active;expires" and states(n) == ["open"])

    phone = gateway.login(juliet.bare, resource="phone", accept=None)
    newest(subscription, "two open tuples", lambda n: states(n) == ["open", "open"])
    juliet.presence(show="away", status="at lunch")
    notify = newest(subscription, "away", lambda n: [e.text for e in shows(n)] == ["away"])
    assert len(states(notify)) == 2 and "at lunch" in notes(notify)
    juliet.presence(type="unavailable")
    newest(subscription, "one open tuple", lambda n: states(n) == ["open"])
    phone.presence(type="unavailable")
    newest(subscription, "a closed tuple", lambda n: states(n) == ["closed"])

    assert subscription.end().status == 200
    notify = newest(subscription, "the end", lambda n: state(n) == "terminated;reason=timeout")
    assert states(notify) == ["closed"]
    check(subscription)
    assert subscription.refresh().status == 481


def test_who_is_refused_is_told(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept="unsubscribed")
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    notify = subscription.wait_notify("rejected", lambda n: state(n) == "terminated;reason=rejected")
    assert not notify.body
    assert subscription.refresh().status == 481
    again = alice.subscribe(gateway.uri_of(juliet.bare))
    again.wait_notify("rejected", lambda n: state(n) == "terminated;reason=rejected" and n.header("CSeq") == "1 NOTIFY")
    assert len(juliet.stanzas("presence", lambda s: s.get("type") == "subscribe")) == 1


def test_who_has_agreed_before_is_not_asked_again(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    first = alice.subscribe(gateway.uri_of(juliet.bare))
    first.wait_notify("an open tuple", lambda n: states(n) == ["open"])
    second = alice.subscribe(gateway.uri_of(juliet.bare))
    notify = second.wait_notify("a NOTIFY", lambda n: True)
    assert state(notify) == "active;expires" and states(notify) == ["open"]
    first.end()
    juliet.presence(show="dnd")
    second.wait_notify("dnd", lambda n: [e.text for e in shows(n)] == ["dnd"])
    assert not [n for n in first.notifies() if [e.text for e in shows(n)] == ["dnd"]]
    check(second)
    juliet.presence(type="unsubscribed", to=jid(alice))
    newest(second, "the end", lambda n: state(n) == "terminated;reason=rejected")


def test_a_fetch_gets_the_state_once(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    lasting = alice.subscribe(gateway.uri_of(juliet.bare))
    lasting.wait_notify("an open tuple", lambda n: states(n) == ["open"])
    cached = alice.subscribe(gateway.uri_of(juliet.bare), expires=0)
    notify = cached.wait_notify("a NOTIFY", lambda n: True)
    assert state(notify) == "terminated;reason=timeout" and states(notify) == ["open"]
    # And where nothing is known, the XMPP server is asked.
    lasting.end()
    newest(lasting, "the end", lambda n: state(n) == "terminated;reason=timeout")
    probed = alice.subscribe(gateway.uri_of(juliet.bare), expires=0)
    notify = probed.wait_notify("a NOTIFY", lambda n: True)
    assert state(notify) == "terminated;reason=timeout" and states(notify) == ["open"]
    assert len(cached.notifies()) == len(probed.notifies()) == 1


def test_a_refresh_is_answered_with_the_state(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    subscription.wait_notify("an open tuple", lambda n: states(n) == ["open"])
    seen = len(subscription.notifies())
    response = subscription.refresh(7200)
    assert (response.status, response.header("Expires")) == (200, "3600")
    assert response.uri_of("Contact") == subscription.remote_target and response.tag("To") == subscription.remote_tag
    notify = wait_until("a further NOTIFY", lambda: subscription.notifies()[seen:])[0]
    assert states(notify) == ["open"] and int(notify.header("Subscription-State").split("=")[1]) > 3000
    check(subscription)


def test_what_cannot_be_served_is_refused(gateway):
    response = subscribe(gateway, {"Expires": "10"})
    assert (response.status, response.header("Min-Expires")) == (423, "60"), response
    response = subscribe(gateway, {"Event": "reg"})
    assert (response.status, response.header("Allow-Events")) == (489, "presence, dialog"), response
    assert subscribe(gateway, {"Accept": "text/plain"}).status == 406
    assert subscribe(gateway, {"Expires": "soon"}).status == 400


def test_a_dialog_that_never_was_is_not_known(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    tag, subscription.remote_tag = subscription.remote_tag, "invented"
    assert subscription.refresh().status == 481
    subscription.remote_tag = tag
    assert subscription.refresh().status == 200


def test_a_watcher_who_knows_nothing_of_it_is_let_go(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    alice.answers["NOTIFY"] = 481
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    subscription.wait_notify("a NOTIFY", lambda n: True)
    wait_until("the dialog to be over", lambda: subscription.refresh().status == 481)


def test_notifies_take_the_route_of_the_dialog(gateway):
    alice, proxy, juliet = gateway.sip_user(), gateway.sip_user("proxy"), gateway.xmpp_user()
    call_id, tag = uuid.uuid4().hex, uuid.uuid4().hex
    routes = [f"<sip:127.0.0.1:{proxy.port};lr;who=p1>", "<sip:192.0.2.7;lr;who=p2>"]
    response = alice.request("SUBSCRIBE", gateway.uri_of(juliet.bare), call_id=call_id, tag=tag, headers={
        "Event": "presence;id=7", "Expires": "600", "Accept": "application/pidf+xml", "Record-Route": ", ".join(routes)})
    assert response.status == 200
    notify = proxy.expect("NOTIFY", "by the first route")
    assert re.sub(r",\s*", ", ", ", ".join(notify.all("Route"))) == ", ".join(routes)
    assert notify.uri == alice.contact and notify.header("Event") == "presence;id=7"
    assert not alice.requests_seen("NOTIFY")


def test_xmpp_learns_that_the_last_watcher_is_gone(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    subscription.wait_notify("an open tuple", lambda n: states(n) == ["open"])
    subscription.end()
    juliet.expect_presence(jid(alice), "unavailable")
    assert not juliet.stanzas("presence", lambda s: s.get("type") in ("unsubscribe", "unsubscribed"))


def test_who_logs_in_later_is_seen(gateway):
    alice, account = gateway.sip_user(), gateway.account()
    subscription = alice.subscribe(gateway.uri_of(account))
    subscription.wait_notify("pending", lambda n: state(n) == "pending;expires")
    gateway.login(account)
    newest(subscription, "an open tuple", lambda n: states(n) == ["open"])


@pytest.mark.skipif(baresip.missing() is not None, reason=str(baresip.missing()))
def test_a_real_phone_sees_its_contact(gateway, tmp_path):
    juliet = gateway.xmpp_user()
    phone = baresip.Baresip(tmp_path, f"phone{uuid.uuid4().hex[:6]}", gateway.sip_domain, gateway.host.port, [gateway.uri_of(juliet.bare)])
    phone.start()
    try:
        juliet.expect_presence(phone.uri.removeprefix("sip:"), "subscribe")
        for told, then in (("Online", {"show": "dnd"}), ("Busy", {"type": "unavailable"}), ("Offline", {})):
            wait_until(lambda: f"the phone to see juliet {told}: {phone.command('contacts')} {phone.log()[-3000:]}",
                       lambda: re.search(rf"{told}.*{juliet.bare}|{juliet.bare}.*{told}", phone.command("contacts")))
            juliet.presence(**then)
    finally:
        phone.stop()
