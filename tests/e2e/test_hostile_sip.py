"""SIP as no sound peer sends it, into each script function. The host lives, others are served, and what reaches the XMPP server is
well-formed XML on a stream that stands."""

import itertools
import re

import pytest
from support.gateway import Gateway
from support.gateway import Pair
from support.gateway import hosts
from support.process import wait_until
from support.sip import SipAgent
from support.sip import pidf
from support.strict_sip import StrictPeer
from support.xmpp_server import COMPONENT
from support.xmpp_server import XmppServer

PAIRS = [Pair(name, host, XmppServer, missing) for name, host, missing in hosts()]
NUMBERS = itertools.count(1)
EVIL = b"</body></message><message from='evil@sip.example.com' to='juliet@example.net'><body>evil"
CONTROLS = bytes(range(32)) + b"\x7f"
NO_UTF_8 = b"\xff\xfe \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 caf\xe9"
LONG = b"a" * 5000


@pytest.fixture(scope="module")
def peer(pair):
    peer = StrictPeer()
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def servers(pair, peer, tmp_path_factory):
    def edit(text):
        # What the core would refuse shall reach the functions.
        return peer.as_presence_server(re.sub(r"^ *if \(!sanity_check\(\)\) exit;\n", "", text, flags=re.MULTILINE))
    gateway = Gateway(pair, tmp_path_factory.mktemp("hostile"), edit=edit)
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


@pytest.fixture
def mallory(servers):
    agent = SipAgent("mallory", servers.sip_domain, servers.host.port)
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def honest(servers):
    agent = SipAgent("sound", servers.sip_domain, servers.host.port)
    yield agent
    agent.close()


@pytest.fixture(autouse=True)
def stands(gateway, peer, honest):
    """After each test: the stream is the same, all that came over it is well-formed, and messages get through."""
    connection = gateway.server.connection()
    yield
    sound(honest, connection)
    assert not connection.closed.is_set()
    assert connection.fault is None
    for stanza in connection.stanzas:
        assert stanza.tag in (COMPONENT + "message", COMPONENT + "presence", COMPONENT + "iq"), stanza.tag
        sender = stanza.get("from").split("/")[0]
        assert sender.rpartition("@")[2] == gateway.sip_domain and not sender.startswith("evil@"), sender
    peer.check()
    assert gateway.host.process.runs()
    assert "bug: panic" not in gateway.host.log()


def bodies(connection):
    return [m.findtext(COMPONENT + "body") for m in connection.stanzas if m.tag == COMPONENT + "message"]


def sound(agent, connection):
    text = f"sound {next(NUMBERS)}"
    assert agent.message("sip:juliet@example.net", text).status == 202
    wait_until(f"{text!r} at the XMPP server", lambda: text in bodies(connection))


def request(agent, uri=b"sip:juliet@example.net", sender=None, body=b"hostile", length=None, method=b"MESSAGE", branch=None, call_id=None,
            contact=None, headers=(b"Content-Type: text/plain",)):
    number = b"%d" % next(NUMBERS)
    branch = branch or b"z9hG4bKhostile" + number
    lines = [
        b"%s %s SIP/2.0" % (method, uri),
        b"Via: SIP/2.0/UDP 127.0.0.1:%d;branch=%s;rport" % (agent.port, branch),
        b"Max-Forwards: 70",
        b"From: " + (sender or b"<%s>;tag=1" % agent.uri.encode()),
        b"To: <sip:juliet@example.net>",
        b"Call-ID: " + (call_id or b"hostile-" + number),
        b"CSeq: 1 " + method,
        *([b"Contact: " + contact] if contact else []),
        *headers,
        b"Content-Length: " + (b"%d" % len(body) if length is None else length),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def from_user(user):
    return {"sender": b"<sip:%s@sip.example.com>;tag=1" % user}


def header(name, value, type=b"text/plain"):
    return {"headers": (b"Content-Type: " + type, name + b": " + value)}


def content_type(value):
    return {"headers": (b"Content-Type: " + value,)}


def wrapped(head, body=b"hostile", type=b"text/plain"):
    """A message in CPIM whose sender wants to know if it fails."""
    wish = b"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Disposition-Notification: negative-delivery\r\n"
    body = wish + head + b"\r\n\r\nContent-Type: " + type + b"\r\n\r\n" + body
    return {"headers": (b"Content-Type: message/cpim",), "body": body}


PERCENT = [b"%", b"%0", b"%zz", b"%00", b"%0d%0a", b"%ff", b"%c3", b"%20a", b"%3cx%3e", b"%5c40", b"%40", b"%2f"]
USERS = {
    "percent": b"%", "cut percent": b"%4", "no percent": b"%zz", "nul": b"%00", "line ends": b"a%0d%0aX-Evil:1", "no utf-8": b"%ff%fe",
    "space": b"%20", "markup": b"%3c/body%3e'&amp;", "escape": b"a%5c40evil.example", "at": b"a%40evil.example/x", "long": LONG,
    "long in XMPP": b"%c3%a9" * 1000, "raw bytes": b"caf\xe9", "raw utf-8": "caf\u00e9\u2028\u0130".encode(), "raw nul": b"a\0b",
    "password": b"a:b:c", "quotes": b"o'mal&ley", "compatibility": "\uff20\uff1c\uff0f".encode(),
}

MESSAGES = {
    **{f"from {name}": from_user(user) for name, user in USERS.items()},
    **{f"to {name}": {"uri": b"sip:%s@example.net" % user} for name, user in USERS.items()},
    **{f"gr {name}": {"uri": b"sip:juliet@example.net;gr=%s" % user} for name, user in USERS.items()},
    **{f"contact {name}": {"contact": b"<sip:a@sip.example.com;gr=%s>" % user} for name, user in USERS.items()},
    "control characters": {"body": CONTROLS}, "nul": {"body": b"\0" * 1000}, "no utf-8": {"body": NO_UTF_8},
    "non-characters": {"body": "\ufffe\uffff\U0001fffe".encode()}, "markup": {"body": EVIL}, "section": {"body": b"]]>" * 1000},
    "longest": {"body": b"a" * 60000}, "longest in XML": {"body": b"<&'\">" * 12000}, "longest nul": {"body": b"\0" * 60000},
    "empty": {"body": b""}, "spaces": {"body": b" \r\n\t"},
    "subject of markup": header(b"Subject", EVIL), "subject of no utf-8": header(b"Subject", NO_UTF_8),
    "subject of control characters": header(b"Subject", bytes(set(CONTROLS) - set(b"\r\n"))), "long subject": header(b"Subject", LONG * 10),
    "folded subject": header(b"Subject", b"a\r\n b\r\n\t</subject>"),
    "language of markup": header(b"Content-Language", b"en' from='evil@sip.example.com"),
    "language of no utf-8": header(b"Content-Language", NO_UTF_8), "long language": header(b"Content-Language", LONG * 5),
    "no type": {"headers": ()}, "odd type": content_type(b";;/;="), "long type": content_type(b"text/plain;" + LONG * 5),
    "half a charset": content_type(b'text/plain;charset="'), "charset of no utf-8": content_type(b"text/plain;charset=\xff"),
    "other charset": content_type(b"text/plain;charset=utf-16"), "type of control characters": content_type(b"text/\x01plain"),
    "thread of markup": {"call_id": EVIL.replace(b" ", b"")}, "thread of no utf-8": {"call_id": b"\xff\xfe\xc0\x80"},
    "thread of percents": {"call_id": b"%00%0d%0a%zz%"}, "long thread": {"call_id": LONG},
    "id of markup": {"branch": b"z9hG4bK'/><evil>"}, "id of no utf-8": {"branch": b"z9hG4bK\xff\xfe"}, "long id": {"branch": b"z9hG4bK" + LONG},
    "cookie alone": {"branch": b"z9hG4bK"}, "any contact": {"contact": b"*"}, "empty contact": {"contact": b"<>"},
    "many contacts": {"contact": b", ".join([b"<sip:a@sip.example.com;gr=x>"] * 1000)}, "unclosed contact": {"contact": b"<sip:a;gr=x"},
    "length beyond the end": {"length": b"60000"}, "negative length": {"length": b"-1"}, "enormous length": {"length": b"9" * 40},
    "length of no number": {"length": b"x"}, "short length": {"length": b"1"},
    "no user": {"sender": b"<sip:sip.example.com>;tag=1"}, "sips": {"sender": b"<sips:a@sip.example.com>;tag=1"},
    "telephone": {"sender": b"<tel:+1-201-555-0123>;tag=1"}, "two ats": {"sender": b"<sip:a@b@sip.example.com>;tag=1"},
    "unclosed from": {"sender": b"<sip:a@sip.example.com;tag=1"}, "unclosed name": {"sender": b'"a <sip:a@sip.example.com>;tag=1'},
    "brackets in from": {"sender": b"<<sip:a@sip.example.com>>;tag=1"}, "odd name": {"sender": b'"\\"<sip:evil@x>\xff" <sip:a@sip.example.com>;tag=1'},
    "long tag": {"sender": b"<sip:a@sip.example.com>;tag=" + LONG}, "no scheme": {"sender": b"<a@sip.example.com>;tag=1"},
    "wrapped id of markup": wrapped(b"imdn.Message-ID: " + EVIL), "wrapped id of line ends": wrapped(b"imdn.Message-ID: a\\r\\nX-Evil: 1\\u0000"),
    "long wrapped id": wrapped(b"imdn.Message-ID: " + LONG), "wrapped id of no utf-8": wrapped(b"imdn.Message-ID: \xff\xfe"),
    "wrapped route of markup": wrapped(b"imdn.Message-ID: 1\r\nimdn.IMDN-Record-Route: <im:" + EVIL + b">"),
    "wrapped subject of markup": wrapped(b"Subject:;lang=x'/><evil> " + EVIL), "many wrapped headers": wrapped(b"\r\n".join([b"Subject: x"] * 4000)),
    "wrapped in control characters": wrapped(CONTROLS), "wrapped controls": wrapped(b"imdn.Message-ID: 1", CONTROLS),
    "wrapped notification of markup": wrapped(b"imdn.Message-ID: 1", EVIL, b"message/imdn+xml"), "half a wrapping": {**wrapped(b"")} | {"length": b"70"},
    "nothing wrapped": {"headers": (b"Content-Type: message/cpim",), "body": b""}, "deep notification": wrapped(b"imdn.Message-ID: 1", b"<a>" * 9000, b"message/imdn+xml"),
    "many headers": {"headers": (b"Content-Type: text/plain", *(b"X-%d: y" % n for n in range(1000)))},
    "headers twice": {"headers": (b"Content-Type: text/plain", b"Content-Type: \xff", b"Subject: a", b"Subject: b", b"Content-Language: en")},
}


def each(parts, users):
    return [f"{part} {user}" for part in parts for user in users]


# What each is answered with, since who hears nothing sends again: 202, where nothing else stands here. On both hosts the same, as all
# but what their parsers refuse is for the gateway to judge.
ANSWERS = {
    # RFC 3261 section 25.1: behind a percent sign stand two hexadecimal digits.
    **dict.fromkeys(each(("from", "to", "gr"), ("percent", "cut percent", "no percent")), 400),
    # They stand for UTF-8 (RFC 3261 section 19.1.2, RFC 7247 section 6), and for no control character, which no JID has (RFC 7622 sections
    # 3.3 and 3.4). U+2028 is one of these in XMPP.
    **dict.fromkeys(each(("from", "to", "gr"), ("nul", "line ends", "no utf-8", "raw bytes", "raw nul", "raw utf-8")), 400),
    # A localpart does not begin with a space (XEP-0106), and wide letters become the signs that it may not have; a resource takes both.
    **dict.fromkeys(each(("from", "to"), ("space", "compatibility")), 400),
    # Longer than 1023 octets (RFC 7622 section 3.1). RFC 3261 section 21.4.12 speaks of the Request-URI alone.
    **dict.fromkeys(each(("from",), ("long", "long in XMPP")), 400),
    **dict.fromkeys(each(("to", "gr"), ("long", "long in XMPP")), 414),
    # RFC 3261 section 25.1: a password has no colon. The hosts cannot read the Request-URI, and so the script finds no domain in it: this is
    # how each of the examples goes on without one. The gateway never sees it.
    "to password": {"kamailio": 480, "opensips": 403},
    # No `sip:` URI with a user; 416 is for the Request-URI (RFC 3261 section 21.4.14).
    **dict.fromkeys(["no user", "sips", "telephone", "no scheme", "two ats"], 400),
    # The hosts' parsers find no URI in From, and the gateway none to speak for.
    **dict.fromkeys(["unclosed from", "unclosed name", "brackets in from"], 400),
    # RFC 3261 section 21.4.1 and section 7.3.1: text is UTF-8. A MESSAGE without a body says nothing.
    **dict.fromkeys(["no utf-8", "subject of no utf-8", "empty"], 400),
    # RFC 3428 section 9 and RFC 3261 section 21.4.13. What is no type is not the one that we take.
    **dict.fromkeys(["other charset", "charset of no utf-8", "half a charset", "odd type", "type of control characters"], 415),
    # RFC 3862 section 2: headers are UTF-8, each on a line of its own, and content follows. RFC 5438 section 6: XML, and not too deep.
    **dict.fromkeys(["wrapped id of no utf-8", "wrapped in control characters", "nothing wrapped", "half a wrapping"], 400),
    **dict.fromkeys(["wrapped notification of markup", "deep notification"], 400),
    "many wrapped headers": 413,
    # Five times as long in XML: more than crosses to the XMPP process.
    "longest in XML": 413,
    # RFC 3261 section 18.3 wants 400; the parsers of both hosts take the datagram for none of SIP, and drop it.
    **dict.fromkeys(["negative length", "enormous length", "length of no number"], None),
}


def answer_to(gateway, case):
    answer = ANSWERS.get(case, 202)
    return answer[gateway.host.name.split("-")[0]] if isinstance(answer, dict) else answer


@pytest.mark.parametrize("case", MESSAGES)
def test_a_hostile_message(gateway, honest, mallory, case):
    mallory.send_raw(request(mallory, **MESSAGES[case]))
    finals = lambda: [r for r in list(mallory.received) if r.is_response and r.status >= 200]  # noqa: E731
    answer = answer_to(gateway, case)
    if answer is None:
        sound(honest, gateway.server.connection())
        assert not finals()
    else:
        assert wait_until("an answer", finals)[0].status == answer


def test_no_request_at_all(mallory):
    whole = request(mallory)
    for datagram in [b"\0" * 4000, b"a" * 65000, b"\xff" * 4000, b"SIP/2.0", b"SIP/2.0 999 x\r\n\r\n", b"\r\n" * 1000, EVIL * 100,
                     *(whole[:end] for end in range(0, len(whole), 7))]:
        mallory.send_raw(datagram)


SUBSCRIPTIONS = {
    **{name: b"sip:%s@example.net" % user for name, user in USERS.items()},
    "no user": b"sip:example.net", "sips": b"sips:juliet@example.net", "parameters": b"sip:juliet@example.net;gr=%00;x=%ff?a=b",
}


@pytest.mark.parametrize("case", SUBSCRIPTIONS)
def test_a_hostile_subscription(mallory, case):
    for sender in (None, b"<sip:%zz@sip.example.com>;tag=1", b"<sip:" + LONG + b"@sip.example.com>;tag=1"):
        mallory.send_raw(request(mallory, uri=SUBSCRIPTIONS[case], method=b"SUBSCRIBE", body=b"", sender=sender,
                                 contact=b"<" + mallory.contact.encode() + b">", headers=(b"Event: presence", b"Expires: 60")))


def deep(name, levels):
    return f"<{name}>" * levels + f"</{name}>" * levels


def document(content):
    return f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@b">{content}</presence>'.encode()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SOUND = document('<tuple id="t"><status><basic>open</basic></status><note>NOTE</note></tuple>')
# 400, where nothing else stands below: XML that is not well-formed or not UTF-8, with a DTD, or none of a PIDF.
DOCUMENTS = {
    "billion laughs": f'<!DOCTYPE p [<!ENTITY l0 "lol">{LAUGHS}]>'.encode() + document("<note>&l9;</note>"),
    "external entity": b'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + document("<note>&x;</note>"),
    "external DTD": b'<!DOCTYPE p SYSTEM "http://127.0.0.1:1/x.dtd">' + document(""),
    "unknown entity": document("<note>&x;</note>"), "nul": SOUND.replace(b"NOTE", b"a\0b"), "reference to nul": document("<note>&#0;</note>"),
    "control characters": SOUND.replace(b"NOTE", CONTROLS), "no utf-8": SOUND.replace(b"NOTE", NO_UTF_8),
    "utf-16": SOUND.decode().encode("utf-16"), "other encoding": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + SOUND.replace(b"NOTE", b"\xe9"),
    "deep": document(deep("note", 3000)), "deep and cut off": document("")[:-11] + b"<a>" * 15000,
    "markup in a note": SOUND.replace(b"NOTE", b"<![CDATA[" + EVIL + b"]]>"),
    "markup in an id": SOUND.replace(b'"t"', b'"\'/&gt;&lt;evil xmlns=\'x\'&gt;&#13;&#10;"'), "long id": SOUND.replace(b'"t"', b'"' + LONG * 10 + b'"'),
    "long note": SOUND.replace(b"NOTE", b"&lt;" * 14000), "many tuples": document('<tuple id="t"/>' * 3000),
    "many notes": document("<note>a</note>" * 3000), "many attributes": document("<note " + "".join(f'a{n}="" ' for n in range(3000)) + "/>"),
    "many namespaces": document("<note " + "".join(f'xmlns:a{n}="" ' for n in range(1000)) + "/>"),
    "two attributes of a name": document('<tuple id="a" id="b"/>'), "two roots": SOUND + SOUND, "text": b"text", "spaces": b" \r\n",
    "no end": SOUND[:-1], "an end too many": SOUND + b"</presence>", "no names": b"<></>", "a byte order mark": b"\xef\xbb\xbf" + SOUND,
    "comments": b"<!-- - -->" * 3000 + SOUND, "instructions": b"<?a b?>" * 3000 + SOUND, "an open comment": SOUND[:-11] + b"<!--",
    "an open section": SOUND[:-11] + b"<![CDATA[", "longest": b"a" * 60000, "brackets": b"<" * 60000, "markup of the stream": b"</stream:stream>",
}


DOCUMENTS_TAKEN = [
    # Text is text, and what is too long to be a resource or too many to be shown is not shown.
    "markup in a note", "markup in an id", "long id", "long note", "many notes", "many attributes", "a byte order mark", "comments",
    "instructions",
]
# More than the gateway reads (RFC 3261 section 21.4.11).
DOCUMENTS_TOO_LARGE = ["many tuples", "many namespaces"]
DOCUMENT_ANSWERS = {**dict.fromkeys(DOCUMENTS, 400), **dict.fromkeys(DOCUMENTS_TAKEN, 200), **dict.fromkeys(DOCUMENTS_TOO_LARGE, 413)}


def is_taken(gateway, peer, connection, subscribe, presentity, **parts):
    """A sound NOTIFY in the same dialog becomes presence."""
    note = f"sound {next(NUMBERS)}"
    assert peer.notify(subscribe, pidf(f"sip:{presentity}", note=note), cseq=next(NUMBERS) + 10).status == 200
    wait_until(f"presence with {note!r}", lambda: any(p.findtext(COMPONENT + "status") == note for p in connection.stanzas))


@pytest.fixture
def watched(gateway, peer):
    """juliet has asked to see a SIP user: the connection, the SUBSCRIBE, the SIP user's JID."""
    connection = gateway.server.connection()
    presentity = f"romeo{next(NUMBERS)}@{gateway.sip_domain}"
    connection.send(f'<presence from="juliet@example.net" to="{presentity}" type="subscribe"/>')
    return connection, peer.subscription("sip:juliet@example.net", f"sip:{presentity}"), presentity


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_hostile_presence_document(gateway, peer, watched, case):
    connection, subscribe, presentity = watched
    before = len(connection.stanzas)
    assert peer.notify(subscribe, DOCUMENTS[case], cseq=next(NUMBERS) + 10).status == DOCUMENT_ANSWERS[case]
    is_taken(gateway, peer, connection, subscribe, presentity)
    for presence in connection.stanzas[before:]:
        assert presence.get("from").split("/")[0] in (presentity, f"sound@{gateway.sip_domain}"), presence.attrib
        assert "root:" not in "".join(presence.itertext())


# With what each is answered. RFC 6665 section 4.1.3: 489 for an event package that is none of ours, and a reason that is none is none given.
STATES = {
    "none": ({"state": ""}, 400), "unknown": ({"state": "evil"}, 400), "control characters": ({"state": "\x01\x02"}, 400),
    "no utf-8": ({"state": "act\udcff"}, 400), "half a reason": ({"state": 'terminated;reason="'}, 200),
    "long": ({"state": "active;expires=" + "9" * 5000}, 200), "many": ({"state": "active" + ";a=b" * 5000}, 200),
    "unknown event": ({"event": "dialog"}, 489), "event of control characters": ({"event": "presence\x01"}, 489),
    "long event": ({"event": "presence;id=" + "x" * 5000}, 200), "long type": ({"content_type": "application/pidf+xml;" + "x" * 5000}, 200),
    # A PIDF is told by what it is: there are notifiers that name it wrongly.
    "another type": ({"content_type": "text/plain"}, 200),
}


@pytest.mark.parametrize("case", STATES)
def test_a_notify_with_hostile_headers(gateway, peer, watched, case):
    connection, subscribe, presentity = watched
    headers, answer = STATES[case]
    assert peer.notify(subscribe, SOUND, cseq=next(NUMBERS) + 10, **headers).status == answer
    if not case.startswith("half"):
        is_taken(gateway, peer, connection, subscribe, presentity)


def watchers(content):
    return f'<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="0" state="full">{content}</watcherinfo>'.encode()


def watcher(uri, status="pending"):
    return f'<watcher id="w" event="subscribe" status="{status}">{uri}</watcher>'


def watcher_list(content, resource="sip:nurse@example.net"):
    return watchers(f'<watcher-list resource="{resource}" package="presence">{content}</watcher-list>')


# 400, where nothing else stands below.
WATCHERS = {
    "billion laughs": f'<!DOCTYPE p [<!ENTITY l0 "lol">{LAUGHS}]>'.encode() + watcher_list(watcher("&l9;")),
    "deep": watcher_list(deep("watcher", 3000)), "no uri": watcher_list(watcher("")), "no scheme": watcher_list(watcher("evil")),
    "hostile users": watcher_list("".join(watcher(f"sip:{u.decode('latin-1')}@sip.example.com".replace("\0", "").replace("&", "&amp;"))
                                          for u in USERS.values() if len(u) < 100)),
    "foreign users": watcher_list("".join(watcher(f"sip:evil@{d}") for d in ("evil.example", "example.net", "%00", "[::1]"))),
    "another resource": watcher_list(watcher("sip:evil@evil.example"), "sip:other@example.net"),
    "many watchers": watcher_list("".join(watcher(f"sip:u{n}@x", "active") for n in range(900))), "no attributes": watchers("<watcher-list/>"),
    "no version": watchers("").replace(b' version="0"', b""), "no utf-8": watcher_list(watcher("NAME")).replace(b"NAME", NO_UTF_8),
    "markup": watcher_list(watcher("sip:a@sip.example.com<![CDATA[" + EVIL.decode() + "]]>")), "cut off": watcher_list("")[:60],
}


# Who is none, or not of ours, is not asked for.
WATCHERS_TAKEN = ["no uri", "no scheme", "hostile users", "foreign users", "another resource", "many watchers", "markup"]
WATCHER_ANSWERS = {**dict.fromkeys(WATCHERS, 400), **dict.fromkeys(WATCHERS_TAKEN, 200)}


@pytest.fixture(scope="module")
def winfo(servers, peer):
    """A SIP user watches nurse, whom no other test names: the gateway's subscription to who waits."""
    servers.sip_user("alice").subscribe("sip:nurse@example.net")
    return peer.expect("SUBSCRIBE", "for watchers", lambda r: r.header("Event") == "presence.winfo" and "nurse@" in r.uri_of("To"))


@pytest.mark.parametrize("case", WATCHERS)
def test_a_hostile_watcher_document(gateway, peer, winfo, case):
    connection = gateway.server.connection()
    parts = {"event": "presence.winfo", "content_type": "application/watcherinfo+xml"}
    assert peer.notify(winfo, WATCHERS[case], cseq=next(NUMBERS) + 10, **parts).status == WATCHER_ANSWERS[case]
    name = f"waiting{next(NUMBERS)}@{gateway.sip_domain}"
    assert peer.notify(winfo, watcher_list(watcher(f"sip:{name}")), cseq=next(NUMBERS) + 10, **parts).status == 200
    gateway.server.expect(connection, "a prompt", lambda p: p.get("type") == "subscribe" and p.get("from") == name)
