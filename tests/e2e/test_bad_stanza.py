"""Stanzas that a hostile or broken client sends through its server: nothing crashes, nothing wrong comes out on the SIP side."""

import pytest
from support.gateway import jid

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
