"""Stanzas that a hostile or broken client sends through its server: nothing crashes, nothing wrong comes out on the SIP side."""

import xml.etree.ElementTree as ElementTree

import pytest
from support.gateway import jid
from test_presence_mode import PIDF
from test_presence_mode import SHOW

# Some servers drop those of the stanza itself.
MANY_ATTRIBUTES = "".join(f' a{number}=""' for number in range(100))

HOSTILE = {
    "header injection in subject": lambda to: f'<message to="{to}" type="chat"><subject>a&#13;&#10;X-Evil: 1&#13;&#10;&#13;&#10;b</subject><body>hostile</body></message>',
    "header injection in lang": lambda to: f'<message to="{to}" type="chat" xml:lang="a&#13;&#10;X-Evil: 1"><body>hostile</body></message>',
    "header injection in thread": lambda to: f'<message to="{to}" type="chat"><thread>a&#13;&#10;X-Evil: 1</thread><body>hostile</body></message>',
    "very long subject": lambda to: f'<message to="{to}" type="chat"><subject>{"s" * 20000}</subject><body>hostile</body></message>',
    "long body": lambda to: f'<message to="{to}" type="chat"><body>{"b" * 100000}</body></message>',
    "deep": lambda to: f'<message to="{to}" type="chat"><body>hostile</body>{"<x>" * 400}{"</x>" * 400}</message>',
    "many elements": lambda to: f'<message to="{to}" type="chat"><body>hostile</body>{"<x/>" * 9000}</message>',
    "many attributes": lambda to: f'<message to="{to}" type="chat"{MANY_ATTRIBUTES}><body>hostile</body><x{MANY_ATTRIBUTES}/></message>',
    "no local part": lambda to: f'<message to="{to.split("@")[1]}" type="chat"><body>hostile</body></message>',
    "quotes in local part": lambda to: f'<message to="o\\27malley@{to.split("@")[1]}" type="chat"><body>hostile</body></message>',
    "escaped at sign": lambda to: f'<message to="a\\40evil.example@{to.split("@")[1]}" type="chat"><body>hostile</body></message>',
    "subscribe to the domain": lambda to: f'<presence to="{to.split("@")[1]}" type="subscribe"/>',
    "unknown iq": lambda to: f'<iq to="{to}" type="get" id="i1"><query xmlns="jabber:iq:version"/></iq>',
    "presence of an unknown type": lambda to: f'<presence to="{to}" type="bogus"/>',
}


@pytest.mark.parametrize("stanza", HOSTILE.values(), ids=HOSTILE)
def test_nothing_wrong_comes_out(gateway, stanza):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.raw(stanza(jid(alice)))
    other = gateway.wait_connected().xmpp_user("romeo")
    other.message(jid(alice), "still here")
    alice.expect("MESSAGE", "still here", lambda m: m.text == "still here")
    for request in alice.requests_seen("MESSAGE"):
        assert not request.all("X-Evil")
        assert request.text == "still here" or set(request.text) <= set("hostileb")


# Each with what of it a watcher may be told.
WRONG_PRESENCE = {
    "unknown show": "<show>invisible</show>", "two shows": "<show>away</show><show>invisible</show>", "show in capitals": "<show>DND</show>",
    "priority too low": "<priority>-129</priority>", "priority too high": "<priority>200</priority>", "priority of no number": "<priority>abc</priority>",
    "priority twice": "<priority>5</priority><priority>300</priority>", "empty elements": "<show/><status/><priority/>",
    "long status": f"<status>{'s' * 5000}</status>", "many statuses": "".join(f'<status xml:lang="x-{n}">s</status>' for n in range(100)),
    "statuses in one language": "<status>s</status><status>second</status>",
    "elements that nobody knows": '<x xmlns="urn:x"><show xmlns="jabber:client">invisible</show></x><y xmlns="urn:y">second</y>',
    "tuples of its own": '<tuple xmlns="urn:ietf:params:xml:ns:pidf" id="second"><status><basic>open</basic></status></tuple>',
}


@pytest.mark.parametrize("content", WRONG_PRESENCE.values(), ids=WRONG_PRESENCE)
def test_what_is_wrong_in_a_presence_is_not_told(gateway, content):
    """Whether the server takes it or not; what follows it counts."""
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.raw(f"<presence>{content}</presence>")
    # The server has answered: it has read the presence, and sent it on.
    juliet.ask(lambda client: client.get_roster())
    juliet.presence(show="xa", priority=100)
    subscription.wait_notify("what follows", lambda n: 'client">xa<' in n.text.replace("'", '"') and 'priority="0.787"' in n.text.replace("'", '"'))
    for notify in subscription.notifies():
        for tuple_ in ElementTree.fromstring(notify.text).iter(PIDF + "tuple") if notify.body else []:
            assert {e.text for e in tuple_.iter(SHOW)} <= {"away", "xa"}, notify
            assert all(0 <= float(contact.get("priority", 0)) <= 1 for contact in tuple_.iter(PIDF + "contact")), notify
            notes = [note.text for note in tuple_.iter(PIDF + "note")]
            assert set(notes) <= {"s"} and len(notes) <= 8, notify
        assert "second" not in notify.text


def test_an_iq_is_answered(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.raw(f'<iq to="{jid(alice)}" type="get" id="v1"><query xmlns="jabber:iq:version"/></iq>')
    answer = juliet.expect("iq", "answer", lambda i: i.get("id") == "v1")
    assert answer.get("type") == "error"


@pytest.mark.parametrize("case", ["deep", "many elements", "many attributes"])
def test_a_stanza_beyond_a_limit_is_returned(gateway, case):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.raw(HOSTILE[case](jid(alice)).replace("<message ", '<message id="beyond" ', 1))
    answer = juliet.expect("message", "error", lambda m: m.get("id") == "beyond")
    assert answer.get("type") == "error" and answer.get("from") == jid(alice)
    assert answer.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}policy-violation") is not None
