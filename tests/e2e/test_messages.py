"""Messages both ways (RFC 7572): every kind of text arrives byte-exact, with subject, language, thread and id."""

from urllib.parse import unquote

import pytest
from support.gateway import Gateway
from support.gateway import jid
from support.process import wait_until
from support.xmpp import child
from support.xmpp import lang

TEXTS = {
    "plain": "Art thou not Romeo, and a Montague?",
    "emoji": "\U0001F600 caf\u00e9 \u4f60\u597d \u0928\u092e\u0938\u094d\u0924\u0947 \U0001F469\u200D\U0001F680",
    "xml": "<b>a</b> & b; &amp; c > \"d\" 'e' ]]> <!-- f --> <?g?>",
    "newlines": "one\ntwo\n\n   indented\n\ttab\n",
    "sip": "MESSAGE sip:a@b SIP/2.0\nVia: x\n\nContent-Length: 3",
    "percent": "100%s %n %5$x %41",
    "long": "0123456789 " * 90,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_sip_text_reaches_xmpp(gateway, text):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    assert alice.message(f"sip:{juliet.bare}", text).status == 202
    message = juliet.expect_message("from alice", lambda m: child(m, "body") is not None)
    assert child(message, "body") == text
    assert message.get("type") == "chat"
    assert message.get("from").split("/")[0] == jid(alice)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_xmpp_text_reaches_sip(gateway, text):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.message(jid(alice), text)
    message = alice.expect("MESSAGE")
    assert message.text == text
    assert message.header("Content-Type").replace(" ", "").lower() in ("text/plain", "text/plain;charset=utf-8")
    assert message.uri_of("From").split(";")[0] == f"sip:{juliet.bare}"


def test_subject_language_and_thread_of_sip_are_kept(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    call_id = "thread-of-alice@127.0.0.1"
    alice.message(f"sip:{juliet.bare}", "Ahoj", call_id=call_id, headers={"Subject": "Pozdrav & <d\u00edk>", "Content-Language": "cs"})
    message = juliet.expect_message()
    assert child(message, "subject") == "Pozdrav & <d\u00edk>"
    assert lang(message) == "cs" or lang(message.find("{jabber:client}body")) == "cs"
    assert child(message, "thread") == call_id
    assert message.get("id")


def test_subject_language_and_thread_of_xmpp_are_kept(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.message(jid(alice), "Ahoj", subject="Pozdrav & <d\u00edk>", lang="cs", thread="0e3141cd80894871a68e6fe6b1ec56fa", id="m1")
    message = alice.expect("MESSAGE")
    assert message.header("Subject") == "Pozdrav & <d\u00edk>"
    assert message.header("Content-Language") == "cs"
    assert message.header("Call-ID").startswith("0e3141cd80894871a68e6fe6b1ec56fa")


def test_an_answer_from_xmpp_carries_the_thread(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    alice.message(f"sip:{juliet.bare}", "question", call_id="conversation-1@127.0.0.1")
    juliet.message(jid(alice), "answer", thread=child(juliet.expect_message(), "thread"))
    thread, _, unique = alice.expect("MESSAGE").header("Call-ID").rpartition("@")
    assert unquote(thread) == "conversation-1@127.0.0.1"
    assert unique


def test_an_answer_from_sip_stays_in_the_thread(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.message(jid(alice), "question", thread="a thread <&> of juliet")
    alice.message(f"sip:{juliet.bare}", "answer", call_id=alice.expect("MESSAGE").header("Call-ID"))
    assert child(juliet.expect_message("answer"), "thread") == "a thread <&> of juliet"


def test_a_message_of_another_type_than_text_is_refused(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    answer = alice.message(f"sip:{juliet.bare}", b"\x89PNG\r\n", content_type="image/png")
    assert 400 <= answer.status < 500
    alice.message(f"sip:{juliet.bare}", "the next one")
    juliet.expect_message("the next one", lambda m: child(m, "body") == "the next one")
    assert len(juliet.stanzas("message")) == 1


def test_nobody_registered_is_a_stanza_error(gateway):
    juliet = gateway.xmpp_user()
    juliet.message(f"nobody@{gateway.sip_domain}", "hello?", id="lost-1")
    error = juliet.expect_message("of type error", lambda m: m.get("type") == "error")
    assert error.get("id") == "lost-1"
    assert error.get("from") == f"nobody@{gateway.sip_domain}"
    assert error.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}recipient-unavailable") is not None


@pytest.mark.parametrize("status, condition", [(403, "forbidden"), (404, "item-not-found"), (415, "not-acceptable"), (500, "internal-server-error")])
def test_a_refusal_of_the_phone_is_a_stanza_error(gateway, status, condition):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    alice.answers["MESSAGE"] = status
    juliet.message(jid(alice), "hello?", id="refused-1")
    error = juliet.expect_message("of type error", lambda m: m.get("type") == "error")
    assert error.get("id") == "refused-1"
    assert error.find(f".//{{urn:ietf:params:xml:ns:xmpp-stanzas}}{condition}") is not None


def test_errors_and_empty_messages_do_not_become_sip(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.message(jid(alice), "an error", type="error")
    juliet.message(jid(alice), None)
    juliet.message(jid(alice), "the only one")
    alice.expect("MESSAGE", "the only one", lambda m: m.text == "the only one")
    assert len(alice.requests_seen("MESSAGE")) == 1


def test_two_hundred_messages_each_way_arrive_once(gateway):
    exchange_two_hundred(gateway)


def exchange_two_hundred(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    texts = [f"number {n}" for n in range(200)]
    for text in texts:
        alice.send("MESSAGE", f"sip:{juliet.bare}", headers={"Content-Type": "text/plain"}, body=text)
        juliet.message(jid(alice), text)
    wait_until("all messages at the XMPP user", lambda: len(juliet.stanzas("message")) >= 200, 20)
    wait_until("all messages at the SIP user", lambda: len(alice.requests_seen("MESSAGE")) >= 200, 20)
    assert sorted(child(m, "body") for m in juliet.stanzas("message")) == sorted(texts)
    assert sorted(m.text for m in alice.requests_seen("MESSAGE")) == sorted(texts)
