"""What the gateway answers for itself and for SIP users, as a client library asks and verifies it."""

import datetime

import pytest
from slixmpp.exceptions import IqError
from support.gateway import Gateway
from support.gateway import jid
from support.process import wait_until
from support.sip import pidf

PLUGINS = ("xep_0012", "xep_0030", "xep_0054", "xep_0092", "xep_0115", "xep_0199", "xep_0202")
CAPS = "{http://jabber.org/protocol/caps}c"
INFO = "http://jabber.org/protocol/disco#info"

GATEWAY_FEATURES = {"http://jabber.org/protocol/caps", INFO, "http://jabber.org/protocol/disco#items", "jabber:iq:last",
                    "jabber:iq:version", "urn:xmpp:ping", "urn:xmpp:time", "vcard-temp", "http://jabber.org/protocol/shim"}
USER_FEATURES = (GATEWAY_FEATURES - {"jabber:iq:last", "jabber:iq:version", "urn:xmpp:time"}) | {"http://jabber.org/protocol/activity+notify"}


def refused(user, question):
    """The condition of the error that answers the question."""
    with pytest.raises(IqError) as error:
        user.ask(question)
    return error.value.condition


def watching(gateway, **document):
    """A SIP user with a desk, and an XMPP user who sees it."""
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(plugins=PLUGINS)
    gateway.xmpp_watches(juliet, alice, pidf(alice.uri, tuple_id="ID-desk", **document))
    return alice, juliet


def verified(user, presence):
    """What the library has found at the other side by the capabilities in this presence: nothing before their hash is verified."""
    ver = presence.find(CAPS).get("ver")
    return wait_until("capabilities that are verified", lambda: user.ask(lambda c: c["xep_0115"].get_caps(verstring=ver)))


def test_the_gateway_is_discovered(gateway):
    juliet = gateway.xmpp_user(plugins=PLUGINS)
    info = juliet.ask(lambda c: c["xep_0030"].get_info(gateway.sip_domain))["disco_info"]
    assert info["identities"] == {("gateway", "simple", None, "SIP gateway")}
    assert info["features"] == GATEWAY_FEATURES
    items = juliet.ask(lambda c: c["xep_0030"].get_items(gateway.sip_domain))["disco_items"]
    assert not items["items"]


@pytest.mark.parametrize("device", ["", "/desk"], ids=["bare", "full"])
def test_a_sip_user_is_discovered(gateway, device):
    alice, juliet = watching(gateway)
    info = juliet.ask(lambda c: c["xep_0030"].get_info(jid(alice) + device))["disco_info"]
    assert info["identities"] == {("client", "phone", None, "SIP")}
    assert info["features"] == USER_FEATURES
    items = juliet.ask(lambda c: c["xep_0030"].get_items(jid(alice) + device))["disco_items"]
    assert not items["items"]


def test_the_capabilities_of_a_sip_user_are_verified(gateway):
    alice, juliet = watching(gateway)
    found = verified(juliet, juliet.expect_presence(jid(alice)))
    assert found["features"] == USER_FEATURES


def test_the_capabilities_of_the_gateway_are_verified(gateway):
    juliet = gateway.xmpp_user(plugins=PLUGINS)
    juliet.presence(type="subscribe", to=gateway.sip_domain)
    juliet.expect_presence(gateway.sip_domain, "subscribed")
    found = verified(juliet, juliet.expect_presence(gateway.sip_domain))
    assert found["features"] == GATEWAY_FEATURES


def test_an_unknown_node_is_not_found(gateway):
    juliet = gateway.xmpp_user(plugins=PLUGINS)
    assert refused(juliet, lambda c: c["xep_0030"].get_info(gateway.sip_domain, "other")) == "item-not-found"


def test_pings_are_answered(gateway):
    alice, juliet = watching(gateway)
    for to in (gateway.sip_domain, jid(alice), f"{jid(alice)}/desk"):
        juliet.ask(lambda c, to=to: c["xep_0199"].send_ping(to))


def test_a_device_that_is_not_shown_is_not_there(gateway):
    alice, juliet = watching(gateway)
    stranger = gateway.xmpp_user("romeo", plugins=PLUGINS)
    assert refused(juliet, lambda c: c["xep_0199"].send_ping(f"{jid(alice)}/other")) == "service-unavailable"
    assert refused(stranger, lambda c: c["xep_0199"].send_ping(f"{jid(alice)}/desk")) == "service-unavailable"


def test_the_gateway_tells_version_time_and_uptime(gateway):
    juliet = gateway.xmpp_user(plugins=PLUGINS)
    version = juliet.ask(lambda c: c["xep_0092"].get_version(gateway.sip_domain))["software_version"]
    assert (version["name"], version["version"], version["os"]) == ("xmpp_gateway", "0.1.0", "")
    time = juliet.ask(lambda c: c["xep_0202"].get_entity_time(gateway.sip_domain))["entity_time"]
    # The library's own reader adds a second Z to this.
    utc = datetime.datetime.strptime(time.xml.findtext("{urn:xmpp:time}utc"), "%Y-%m-%dT%H:%M:%S%z")
    assert abs(utc - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(seconds=30)
    assert time.xml.findtext("{urn:xmpp:time}tzo") == "+00:00"
    last = juliet.ask(lambda c: c["xep_0012"].get_last_activity(gateway.sip_domain))["last_activity"]
    assert 0 <= last["seconds"] < 3600


@pytest.mark.parametrize("question", [
    lambda c, to: c["xep_0092"].get_version(to),
    lambda c, to: c["xep_0202"].get_entity_time(to),
    lambda c, to: c["xep_0012"].get_last_activity(to),
], ids=["version", "time", "last"])
def test_nothing_is_invented_for_a_sip_user(gateway, question):
    alice, juliet = watching(gateway)
    for to in (jid(alice), f"{jid(alice)}/desk"):
        assert refused(juliet, lambda c, to=to: question(c, to)) == "service-unavailable"


def test_a_vcard_has_the_name_that_came_with_presence(gateway):
    alice, juliet = watching(gateway, name="Alice of the <Desk>")
    assert juliet.ask(lambda c: c["xep_0054"].get_vcard(jid(alice)))["vcard_temp"]["FN"] == "Alice of the <Desk>"
    stranger = gateway.xmpp_user("romeo", plugins=PLUGINS)
    assert stranger.ask(lambda c: c["xep_0054"].get_vcard(jid(alice)))["vcard_temp"]["FN"] == ""
    assert juliet.ask(lambda c: c["xep_0054"].get_vcard(gateway.sip_domain))["vcard_temp"]["FN"] == "SIP gateway"


@pytest.mark.parametrize("kind", ["get", "set"])
def test_what_nobody_knows_is_answered(gateway, kind):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    for number, to in enumerate((gateway.sip_domain, jid(alice), f"{jid(alice)}/desk")):
        juliet.raw(f'<iq to="{to}" type="{kind}" id="q{number}"><query xmlns="urn:example:unknown"/></iq>')
        answer = juliet.expect("iq", "answer", lambda i, number=number: i.get("id") == f"q{number}")
        assert answer.get("type") == "error" and answer.get("from") == to
        assert answer.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable") is not None


def test_a_contact_probes_the_gateway_at_login(gateway):
    account = gateway.account()
    juliet = gateway.login(account)
    juliet.presence(type="subscribe", to=gateway.sip_domain)
    juliet.expect_presence(gateway.sip_domain, "subscribed")
    again = gateway.login(account, resource="again")
    again.expect_presence(gateway.sip_domain, condition=lambda p: p.find(CAPS) is not None)


def test_the_gateway_goes_when_the_sip_server_stops(pair, tmp_path):
    gateway = Gateway(pair, tmp_path)
    try:
        juliet = gateway.wait_connected().xmpp_user()
        juliet.presence(type="subscribe", to=gateway.sip_domain)
        juliet.expect_presence(gateway.sip_domain)
        gateway.host.stop()
        juliet.expect_presence(gateway.sip_domain, "unavailable")
    finally:
        gateway.stop()
