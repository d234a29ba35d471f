"""An XMPP server that sends what no sound one would. Nothing crashes, SIP is served, no byte of it gets where it was not meant, and
the stream answers as RFC 6120 says: an error to the sender of a stanza, or a stream error where only the server can be to blame."""

import itertools
import time
import xml.etree.ElementTree as ElementTree

import pytest
from support.gateway import Gateway
from support.gateway import Pair
from support.gateway import hosts
from support.process import wait_until
from support.strict_sip import StrictPeer
from support.xmpp_server import XmppServer
from support.xmpp_server import error_condition

PAIRS = [Pair(name, host, XmppServer, missing) for name, host, missing in hosts()]
NUMBERS = itertools.count(1)
JULIET = "juliet@example.net/balcony"
ROMEO = "romeo@sip.example.com"
EVIL = "&#13;&#10;X-Evil: 1&#13;&#10;&#13;&#10;INVITE sip:evil@evil.example SIP/2.0&#13;&#10;"

# Each part of an address as long as RFC 7622 section 3 lets it be, 3071 bytes; but DNS has no such domain.
LONG = "a" * 1023
LONG_DOMAIN = ".".join(["d" * 63] * 16)
LONGEST = f"{LONG}@{LONG_DOMAIN}/{LONG}"
# Three times as long in SIP.
WIDE = "\u00e9" * 511


def kinds(sender, recipient, id="case"):
    """One of each stanza that becomes SIP, or is answered."""
    both = f'from="{sender}" to="{recipient}" id="{id}"'
    types = ["subscribe", "probe", "subscribed", "unsubscribed", "unsubscribe", "unavailable"]
    return "".join([
        f'<message {both} type="chat"><body>hostile</body></message>',
        f"<presence {both}><show>away</show><status>hostile</status></presence>",
        *(f'<presence {both} type="{type}"/>' for type in types),
        f'<iq {both} type="get"><query xmlns="jabber:iq:version"/></iq>',
    ])


def message(content, attributes="", sender=JULIET, recipient=ROMEO):
    return f'<message from="{sender}" to="{recipient}" id="case" type="chat"{attributes}>{content}</message>'


def without_attributes():
    """Well-formed stanzas with each attribute of each element left out in turn, but for what the server itself has to stamp."""
    both = f'from="{JULIET}" to="{ROMEO}" id="case"'
    error = '<error type="cancel" by="example.net" code="404"><gone xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">x</gone></error>'
    samples = [
        f'<message {both} type="chat" xml:lang="en"><subject xml:lang="en">hostile</subject><body xml:lang="en">hostile</body>'
        '<thread parent="x">hostile</thread><x xmlns="jabber:x:data" type="form"><field var="a" type="b"/></x></message>',
        f'<message {both} type="error">{error}</message>',
        f'<presence {both} type="subscribe" xml:lang="en"><status xml:lang="en">hostile</status></presence>',
        f'<presence {both} type="error">{error}</presence>',
        f'<iq {both} type="get"><query xmlns="http://jabber.org/protocol/disco#info" node="x"/></iq>',
        f'<iq {both} type="result"><query xmlns="http://jabber.org/protocol/disco#info" node="x"><identity category="a" type="b" '
        'name="c"/><feature var="d"/></query></iq>',
        f'<iq {both} type="error">{error}</iq>',
        '<iq from="example.net" to="sip.example.com" id="case" type="set"><query xmlns="jabber:iq:roster"><item jid="a@b" '
        'subscription="both"/></query></iq>',
    ]
    written = []
    for sample in samples:
        for index, element in enumerate(ElementTree.fromstring(sample).iter()):
            for name in element.attrib:
                if index == 0 and name in ("from", "to"):
                    continue
                copy = ElementTree.fromstring(sample)
                del list(copy.iter())[index].attrib[name]
                written.append(ElementTree.tostring(copy, encoding="unicode"))
    return "".join(written)


# Stanzas, and the errors that they are answered with: one for all, or which for which. None where what is answered is not the matter.
NO_ERROR = {}
# They go nowhere: neither an answer nor a MESSAGE comes of them.
DROPPED = "dropped"
# Too long for a MESSAGE with its headers (RFC 3428 section 8). Presence has no such limit, and users answer no such question.
TOO_LONG = {"message": "policy-violation", "iq": "service-unavailable"}
# All is done but what only the gateway itself answers.
DONE = {"iq": "service-unavailable"}
TAKEN = {
    "the longest sender": (kinds(LONGEST, ROMEO), "jid-malformed"),
    # Of no domain of ours: nobody is answered in its name.
    "the longest recipient": (kinds(JULIET, LONGEST), DROPPED),
    "a sender longer than the longest": (kinds(f"a{LONGEST}", ROMEO), "jid-malformed"),
    "a recipient longer than the longest": (kinds(JULIET, f"{LONGEST}a"), DROPPED),
    "a long sender of a real domain": (kinds(f"{LONG}@example.net/{LONG}", ROMEO), TOO_LONG),
    "a long recipient of a real domain": (kinds(JULIET, f"{LONG}@sip.example.com/{LONG}"), TOO_LONG),
    "a sender that is longer in SIP": (kinds(f"{WIDE}@example.net/{WIDE}", ROMEO), TOO_LONG),
    "a recipient that is longer in SIP": (kinds(JULIET, f"{WIDE}@sip.example.com/{WIDE}"), TOO_LONG),
    "line ends in the resource of the sender": (kinds(f"{JULIET}{EVIL}", ROMEO), "jid-malformed"),
    "line ends in the local part of the sender": (kinds(f"juliet{EVIL}@example.net", ROMEO), "jid-malformed"),
    "line ends in the domain of the sender": (kinds(f"juliet@example.net{EVIL}", ROMEO), "jid-malformed"),
    "line ends in the resource of the recipient": (kinds(JULIET, f"{ROMEO}/urn:{EVIL}"), "jid-malformed"),
    # The first @ ends the local part (RFC 7622 section 3.1): the domain is evil.example.
    "line ends in the local part of the recipient": (kinds(JULIET, f"romeo{EVIL}@sip.example.com"), DROPPED),
    "line ends in the domain of the recipient": (kinds(JULIET, f"romeo@sip.example.com{EVIL}"), DROPPED),
    "line ends written as they are": (kinds(JULIET + "\r\nX-Evil: 1", ROMEO + "/urn:\r\nX-Evil: 1"), DONE),
    "encoded line ends": (kinds(f"juliet%0d%0aX-Evil:1{JULIET[6:]}%0d%0aX-Evil: 1", f"{ROMEO}/urn:%0d%0aX-Evil: 1"), "jid-malformed"),
    "escapes that are none": (kinds("juliet\\0d\\0a\\00\\3e@example.net", "romeo\\0d\\0a\\3e\\5c3e@sip.example.com"), DONE),
    "brackets and tags": (kinds("juliet@example.net/a&gt;;tag=1, &lt;sip:evil@evil.example", f"{ROMEO}/urn:&gt;;tag=1&lt;"), DONE),
    "characters that become brackets": (kinds("juliet\uff1e\uff1b\uff20@example.net/\uff1e\uff1ctag", f"{ROMEO}/urn:\uff1e\uff1c"), "jid-malformed"),
    "line ends of Unicode": (kinds("juliet@example.net/a\u2028\u2029\u0085X-Evil: 1", f"{ROMEO}/urn:\u2028\u0085"), "jid-malformed"),
    "quotes and commas": (kinds("o\\27,;?&amp;=+$!@example.net/&quot;',;?&amp;=+$!", f"o\\27,;?&amp;=+$!{ROMEO[5:]}/urn:&quot;',;?&amp;"), "jid-malformed"),
    "no names": ("".join(kinds(sender, recipient) for sender in ("@", "a@", "/", "a@b@c", " ") for recipient in ("@", ROMEO, "")), "jid-malformed"),
    "line ends in all that is text": (message(
        f"<subject>a{EVIL}</subject><thread>a{EVIL}</thread><body>hostile</body>", f' xml:lang="en{EVIL}"'), NO_ERROR),
    "line ends in id and type": (f'<message from="{JULIET}" to="{ROMEO}" id="a{EVIL}" type="a{EVIL}"><body>hostile</body></message>', NO_ERROR),
    "line ends in presence": (f'<presence from="{JULIET}" to="{ROMEO}" id="case" xml:lang="a{EVIL}"><show>away{EVIL}</show><status '
                              f'xml:lang="en{EVIL}">a{EVIL}</status><priority>1{EVIL}</priority></presence>', NO_ERROR),
    "a body of a mebibyte": (message(f"<body>{'b' * 2**20}</body>"), "policy-violation"),
    "a section of a mebibyte": (message(f"<body><![CDATA[{'b' * 2**20}]]></body>"), "policy-violation"),
    "a mebibyte of references": (message(f"<body>{'&amp;' * (2**20 // 5)}</body>"), "policy-violation"),
    "an attribute of a mebibyte": (message(f"<body>hostile</body><x a=\"{'b' * 2**20}\"/>"), "policy-violation"),
    "a mebibyte of elements": (message("<body>hostile</body>" + "<x/>" * 2**18), "policy-violation"),
    "a start tag of a mebibyte": (message("<body>hostile</body>", f" a=\"{'b' * 2**20}\""), DROPPED),
    "ten thousand levels": (message("<body>hostile</body>" + "<x>" * 10000 + "</x>" * 10000), "policy-violation"),
    "ten thousand levels of presence": (f'<presence from="{JULIET}" to="{ROMEO}" id="case">{"<x>" * 10000}{"</x>" * 10000}</presence>',
                                        "policy-violation"),
    "a status of a mebibyte": (f'<presence from="{JULIET}" to="{ROMEO}" id="case"><status>{"b" * 2**20}</status></presence>',
                               "policy-violation"),
    "a hundred attributes": (message("<body>hostile</body>", "".join(f' a{n}=""' for n in range(100))), "policy-violation"),
    "missing attributes": (without_attributes(), None),
    "errors of errors": (f'<message from="{JULIET}" to="{ROMEO}" type="error"/><presence from="{JULIET}" to="{ROMEO}" type="error"/>'
                         f'<iq from="{JULIET}" to="{ROMEO}" type="error"/><iq from="{JULIET}" to="{ROMEO}" type="result"/>', DROPPED),
    "what is no stanza": ('<features xmlns="urn:x"/><stream:features/><message xmlns="urn:x"/><handshake/><body/>', DROPPED),
    "a sender of our own": (kinds(ROMEO, "juliet@sip.example.com"), DROPPED),
    "to ourselves": (kinds(JULIET, "sip.example.com") + kinds("example.net", "sip.example.com"), {"message": "item-not-found"}),
    "format directives": (kinds("%s%n%5$x@example.net/%s%n", "%s%n%d%p@sip.example.com") + message("<body>%s%n%n%p</body>"), DONE),
}


@pytest.fixture(scope="module")
def peer(pair):
    peer = StrictPeer()
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def servers(pair, peer, tmp_path_factory):
    gateway = Gateway(pair, tmp_path_factory.mktemp("hostile"), edit=peer.as_presence_server)
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


def sip_is_served(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    assert alice.message(bob.uri, "as ever", timeout=3).status == 200
    bob.expect("MESSAGE", "from alice", lambda m: m.text == "as ever")


def nothing_broke(gateway):
    assert gateway.host.process.runs()
    assert "bug: panic" not in gateway.host.log()
    assert "Sanitizer" not in gateway.host.log()


def goes_on(gateway, peer, connection):
    """A stanza that is sound arrives, on the same stream, and what came before it has been answered."""
    text = f"sound {next(NUMBERS)}"
    connection.send(message(f"<body>{text}</body>") + f'<iq from="example.net" to="sip.example.com" type="get" id="{text}"><ping xmlns="urn:xmpp:ping"/></iq>')
    wait_until(f"{text!r} at the SIP peer", lambda: any(m.body == text.encode() for m in peer.requests_seen("MESSAGE")))
    gateway.server.expect(connection, f"the answer to {text!r}", lambda e: e.get("id") == text)
    assert not connection.closed.is_set()
    assert connection.fault is None
    assert connection.stream_error() is None


@pytest.mark.parametrize("case", TAKEN)
def test_a_stanza_harms_nobody_else(gateway, peer, case):
    stanzas, expected = TAKEN[case]
    connection = gateway.server.connection()
    before, sent = len(connection.stanzas), len(peer.requests_seen("MESSAGE"))
    connection.send(stanzas)
    goes_on(gateway, peer, connection)
    sip_is_served(gateway)
    peer.check()
    nothing_broke(gateway)
    errors = {(e.tag.rpartition("}")[2], error_condition(e)) for e in connection.stanzas[before:] if e.get("type") == "error"}
    if expected == DROPPED:
        assert not errors and not [e for e in connection.stanzas[before:] if e.get("id") == "case"]
        assert not [m for m in peer.requests_seen("MESSAGE")[sent:] if m.body == b"hostile"]
    elif isinstance(expected, str):
        assert {condition for _, condition in errors} == {expected}
    elif expected is not None:
        assert errors == set(expected.items())


def test_line_ends_in_a_body_stay_in_it(gateway, peer):
    connection = gateway.server.connection()
    text = "line\r\n\r\nX-Evil: 1\r\n.\nMESSAGE sip:evil@evil.example SIP/2.0\r\n\r\n"
    connection.send(message(f"<body>{text.replace(chr(13), '&#13;').replace(chr(10), '&#10;')}</body>"))
    peer.expect("MESSAGE", "with line ends", lambda m: m.body == text.encode())
    peer.check()


def test_a_stanza_in_pieces_is_one(gateway, peer):
    connection = gateway.server.connection()
    text = "caf\u00e9 \U0001F600 &amp; <![CDATA[</body>]]>"
    arrived = "caf\u00e9 \U0001F600 & </body>"

    def pieces(number):
        return message(f"<body>{text} {number}</body>").encode()

    for byte in pieces("whole"):
        connection.send(bytes([byte]))
        time.sleep(0.0005)
    for at in range(1, len(pieces("cut"))):
        connection.send(pieces(at)[:at])
        time.sleep(0.001)
        connection.send(pieces(at)[at:])
    wanted = {f"{arrived} {number}".encode() for number in ["whole", *range(1, len(pieces("cut")))]}
    wait_until(lambda: f"all of {len(wanted)} messages; missing {wanted - {m.body for m in peer.requests_seen('MESSAGE')}}",
               lambda: wanted <= {m.body for m in peer.requests_seen("MESSAGE")}, 20)
    goes_on(gateway, peer, connection)
    peer.check()


def stream(text):
    return text if isinstance(text, bytes) else text.encode()


# What ends the stream, with the condition that RFC 6120 section 4.9.3 names. Four a gateway: each takes twice the time to come back from.
ENDING = {
    "restricted XML": [
        ("<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;'>]>" + message("<body>&lol2;</body>"), "restricted-xml"),
        (message("<body>&lol;</body>"), "restricted-xml"),
        ("<!-- comment -->", "restricted-xml"),
        (message("<?php evil ?>"), "restricted-xml"),
    ],
    "characters": [
        (message("<body>\0</body>"), "not-well-formed"),
        (message("<body>\x01</body>"), "not-well-formed"),
        (message("<body>BYTES</body>").encode().replace(b"BYTES", b"\xc0\x80\xff"), "not-well-formed"),
        (message("<body>&#0;</body>"), "not-well-formed"),
    ],
    "structure": [
        ("<message><body></message>", "not-well-formed"),
        ("text" + message("<body>hostile</body>"), "bad-format"),
        (message("<x:y/>"), "bad-namespace-prefix"),
        (f'<message to="{ROMEO}" id="case"><body>hostile</body></message>', "improper-addressing"),
    ],
    "addresses": [
        (f'<message from="{JULIET}" id="case"><body>hostile</body></message>', "improper-addressing"),
        ("<presence/>", "improper-addressing"),
        ('<iq type="get"/>', "improper-addressing"),
        (f'<presence from="" to="{ROMEO}"/>', "improper-addressing"),
    ],
}

# Headers, what is sent behind them, and what they are answered with.
HEADERS = {
    "other protocols": [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "not-well-formed"),
        ("<html>", "invalid-namespace"),
        ("\ufeff\0".encode("utf-16"), "unsupported-encoding"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream", "unsupported-encoding"),
    ],
    "other headers": [
        ("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'><x/>", "bad-format"),
        ("<stream:stream id='" + "x" * 2**20, "policy-violation"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        (f"<stream:stream id='1' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>{message('')}", "not-authorized"),
    ],
}


@pytest.fixture
def alone(pair, tmp_path):
    """Makes a gateway for this test alone."""
    made = []

    def make(before_start=None):
        made.append(Gateway(pair, tmp_path, before_start=before_start))
        return made[0]
    yield make
    for gateway in made:
        gateway.stop()


def ends(gateway, connection, condition):
    wait_until(lambda: f"the end of the stream; received {connection.received[-1000:]!r}", connection.closed.is_set, 10)
    assert connection.fault is None
    assert connection.stream_error() == condition
    assert connection.received.endswith(b"</stream:stream>")
    sip_is_served(gateway)
    nothing_broke(gateway)


@pytest.mark.parametrize("group", ENDING)
def test_what_only_the_server_can_do_ends_the_stream(alone, group):
    gateway = alone()
    seen = 0
    for input, condition in ENDING[group]:
        connection = gateway.server.connection(after=seen)
        seen = len(gateway.server.connections)
        connection.send(stream(input))
        ends(gateway, connection, condition)


@pytest.mark.parametrize("group", HEADERS)
def test_what_is_no_login_is_refused(alone, group):
    headers = iter(HEADERS[group])
    sent = []

    def header(domain, id):
        sent.append(next(headers))
        return stream(sent[-1][0])

    def before_start(server):
        server.header = header

    gateway = alone(before_start)
    for number, (_, condition) in enumerate(HEADERS[group]):
        wait_until("another try", lambda: len(gateway.server.connections) > number, 20)
        ends(gateway, gateway.server.connections[number], condition)
