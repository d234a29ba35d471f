"""Addresses that differ on the two sides: mapped domain by domain, or encoded in the user part. Names of all characters get through, and
what is sent back arrives."""

import re
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

import pytest
from support.gateway import Gateway
from support.gateway import pairs
from support.sip import pidf
from support.xmpp import child

PAIRS = [pair for pair in pairs() if "prosody" in pair.name]

# The user part in SIP, the localpart in XMPP.
NAMES = {
    "plain": ("romeo", "romeo"),
    "space-and-quotes": ("j%20%22doe%22", r"j\20\22doe\22"),
    "apostrophe": ("o'malley", r"o\27malley"),
    "slash-and-ampersand": ("a/b&c", r"a\2fb\26c"),
    "brackets-colon-at": ("%3Ca%3Ab%40c%3E", r"\3ca\3ab\40c\3e"),
    "not-ascii": ("f%C3%BC-%E6%97%A5", "f\u00fc-\u65e5"),
    "percent": ("100%25-%2541", "100%-%41"),
    "backslash": ("%5C20x%5Cy", r"\5c20x\y"),
    "separator": ("ro*meo", "ro*meo"),
    "everything": ("%22a%3Ab%3C%3E%40c'd/f%20g%5C20h%25", r"\22a\3ab\3c\3e\40c\27d\2ff\20g\5c20h%"),
}
# Both hosts' registrars refuse a user part with escaped octets that are not ASCII: an XMPP user may have such a name only.
NOT_FOR_SIP_USERS = {"not-ascii"}


def added(*lines):
    """Puts these parameters behind the first one of the gateway; one that is there already is replaced."""
    def edit(text):
        for name, value in lines:
            text = re.sub(rf'^modparam\("xmpp_gateway", "{name}".*\n', "", text, flags=re.MULTILINE)
        more = "".join(f'modparam("xmpp_gateway", "{name}", "{value}")\n' for name, value in lines)
        first = 'modparam("xmpp_gateway", "backend", "component")\n'
        assert first in text
        return text.replace(first, first + more)
    return edit


class Renamed(Gateway):
    """Remembers how the users are called on the other side."""

    def __init__(self, *arguments, **options):
        self.localparts = {}
        self.user_parts = {}
        super().__init__(*arguments, **options)

    def sip_user_named(self, name):
        user_part, localpart = NAMES["plain" if name in NOT_FOR_SIP_USERS else name]
        agent = self.sip_user(user_part)
        self.localparts[agent.user] = localpart + agent.user.removeprefix(user_part)
        return agent

    def xmpp_user_named(self, name):
        user_part, localpart = NAMES[name]
        client = self.xmpp_user(localpart)
        node = client.bare.split("@")[0]
        self.user_parts[node] = user_part + node.removeprefix(localpart)
        return client

    def jid_of(self, agent):
        return self.jid_at(self.localparts.get(agent.user, agent.user))

    def uri_of(self, bare):
        node = bare.split("@")[0]
        return self.uri_at(self.user_parts.get(node, node))


class Mapped(Renamed):
    """SIP: alice@sip.example.com and juliet@xmpp.example.com; XMPP: alice@people.example.net and juliet@example.net."""

    def __init__(self, pair, folder):
        super().__init__(pair, folder, component="people.example.net", xmpp_domain="xmpp.example.com", edit=added(
            ("sip_domain", "people.example.net"), ("gwmap", "xmpp.example.com=example.net"), ("tel_domain", "sip.example.com")))

    def jid_at(self, localpart):
        return f"{localpart}@people.example.net"

    def uri_at(self, user):
        return f"sip:{user}@xmpp.example.com"


class Encoded(Renamed):
    """SIP: alice@sip.example.com and juliet*example.net@gw.example.com; XMPP: alice*sip.example.com@gw.example.net and
    juliet@example.net."""

    def __init__(self, pair, folder):
        super().__init__(pair, folder, component="gw.example.net", xmpp_domain="gw.example.com", edit=added(
            ("xmpp_domain", "gw.example.net"), ("gateway_domain", "gw.example.com"), ("domain_separator", "*"),
            ("tel_domain", "sip.example.com")))

    def jid_at(self, localpart):
        return f"{localpart}*sip.example.com@gw.example.net"

    def uri_at(self, user):
        return f"sip:{user}*example.net@gw.example.com"


@pytest.fixture(scope="module", params=[Mapped, Encoded], ids=["mapped", "encoded"])
def servers(request, pair, tmp_path_factory):
    gateway = request.param(pair, tmp_path_factory.mktemp("gateway"))
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


@pytest.mark.parametrize("name", NAMES)
def test_a_message_and_its_answer_arrive(gateway, name):
    alice, juliet = gateway.sip_user_named(name), gateway.xmpp_user_named(name)
    assert alice.message(gateway.uri_of(juliet.bare), "to the balcony").status == 202
    message = juliet.expect_message("from alice", lambda m: child(m, "body") == "to the balcony")
    assert message.get("from") == gateway.jid_of(alice)
    juliet.message(message.get("from"), "to the garden")
    answer = alice.expect("MESSAGE")
    assert answer.text == "to the garden"
    assert answer.uri_of("From") == f"{gateway.uri_of(juliet.bare)};gr=desk"
    assert answer.uri_of("To") == alice.uri


@pytest.mark.parametrize("name", ["plain", "everything", "slash-and-ampersand", "not-ascii"])
def test_an_xmpp_user_sees_a_sip_user(gateway, name):
    alice, juliet = gateway.sip_user_named(name), gateway.xmpp_user_named(name)
    gateway.xmpp_watches(juliet, alice, pidf(escape(alice.uri), note="in the garden"))
    juliet.expect_presence(gateway.jid_of(alice), condition=lambda p: child(p, "status") == "in the garden")


# The hosts' presence servers write an ampersand into watcher information as it is, which makes the watcher's name unreadable: only the
# one who is watched has it here.
@pytest.mark.parametrize("watcher, contact", [("plain", "plain"), ("everything", "everything"), ("plain", "slash-and-ampersand"),
                                              ("separator", "not-ascii")])
def test_a_sip_user_sees_an_xmpp_user(gateway, watcher, contact):
    alice, juliet = gateway.sip_user_named(watcher), gateway.xmpp_user_named(contact)
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="dnd", status="on the balcony")
    notify = subscription.wait_notify("the status", lambda n: "on the balcony" in n.text)
    assert ElementTree.fromstring(notify.text).get("entity") == gateway.uri_of(juliet.bare)


@pytest.mark.parametrize("resource", ["home phone", "a/b&c@d", "r\u00e9sum\u00e9 100%"])
def test_a_resource_is_the_gruu_of_the_sender(gateway, resource):
    alice, account = gateway.sip_user(), gateway.account()
    juliet = gateway.login(account, resource=resource)
    juliet.message(gateway.jid_of(alice), "hello")
    gruu = {"home phone": "home%20phone", "a/b&c@d": "a/b&c%40d", "r\u00e9sum\u00e9 100%": "r%C3%A9sum%C3%A9%20100%25"}[resource]
    assert alice.expect("MESSAGE").uri_of("From") == f"{gateway.uri_of(account)};gr={gruu}"
    # The device that is named gets the answer, and no other.
    other = gateway.login(account, resource="other")
    assert alice.message(f"{gateway.uri_of(account)};gr={gruu}", "and back").status == 202
    assert juliet.expect_message("and back", lambda m: child(m, "body") == "and back").get("to") == f"{account}/{resource}"
    other.presence(to=other.jid, status="all is through")
    other.expect_presence(account, condition=lambda p: child(p, "status") == "all is through")
    assert not other.stanzas("message")


def test_a_telephone_number_is_one_user_in_all_spellings(gateway):
    phone, juliet = gateway.sip_user("+1201555"), gateway.xmpp_user()
    number = phone.user
    for spelling in (f"tel:{number[:2]}-{number[2:]}", f"sip:{number[:5]}.{number[5:]}@sip.example.com;user=phone", phone.uri):
        phone.uri = spelling
        assert phone.message(gateway.uri_of(juliet.bare), spelling).status == 202
        message = juliet.expect_message(spelling, lambda m: child(m, "body") == spelling)
        assert message.get("from") == gateway.jid_at(number)
    juliet.message(gateway.jid_at(number), "call me")
    assert phone.expect("MESSAGE").uri_of("To") == f"sip:{number}@sip.example.com;user=phone"


@pytest.mark.parametrize("uri", [
    "sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@sip.example.com;gr", "sip:stra%C3%9Fe@sip.example.com", "sips:alice@sip.example.com"])
def test_who_could_not_be_answered_is_not_let_through(gateway, uri):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    own, alice.uri = alice.uri, uri
    assert alice.message(gateway.uri_of(juliet.bare), "from nobody").status >= 400
    alice.uri = own
    assert alice.message(gateway.uri_of(juliet.bare), "from alice").status == 202
    juliet.expect_message("from alice", lambda m: child(m, "body") == "from alice")
    assert len(juliet.stanzas("message")) == 1
