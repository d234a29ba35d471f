"""What operators may set of phones shown in XMPP accounts: names of tables, texts of states, and a password shown unencrypted."""

import pytest
from support.accounts import Phones
from support.example import with_calls
from support.gateway import pairs
from support.phone import Call
from support.phone import sdp
from support.ways import DOMAINS
from support.ways import Ways
from test_phones import unregister
from test_phones import Watcher

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    return Ways(tmp_path_factory.mktemp("ways"))


@pytest.fixture(scope="module")
def phones(pair, ways, tmp_path_factory):
    made = Phones(pair, tmp_path_factory.mktemp("phones"), ("account_table", '"desks"'), ("phone_state_table", '"said"'), ("phone_state_poll", 1),
                  ("phone_online_status", '"At the desk"'), ("phone_ringing_status", '"It rings"'), ("phone_call_status", '"Talking"'),
                  ("phone_hold_status", '"On hold"'), ("bosh_allow_plain", 1),
                  offer=ways.offer, edit=with_calls("local"), accounts="desks", states="said")
    made.gateway.wait_connected()
    yield made
    made.gateway.stop()


@pytest.fixture
def alice(phones):
    user = phones.gateway.sip_user()
    unregister(user)
    yield user
    phones.gateway.log_out()


def test_each_state_has_the_text_that_is_set(phones, alice, ways):
    watcher = Watcher(phones, phones.add(alice, url=ways.clear_url))
    alice.register()
    watcher.sees("At the desk")
    bob = phones.gateway.sip_user("bob")
    call = Call(bob, alice)
    call.ring(alice)
    watcher.sees("At the desk", "It rings")
    _, callee = call.accept(alice)
    watcher.sees("At the desk", "It rings", "dnd/Talking")
    assert callee.request("INVITE", body=sdp("sendonly")).status == 200
    watcher.sees("At the desk", "It rings", "dnd/Talking", "dnd/On hold")
    callee.bye()
    watcher.sees("At the desk", "It rings", "dnd/Talking", "dnd/On hold", "At the desk")


def test_an_account_may_say_otherwise(phones, alice, ways):
    watcher = Watcher(phones, phones.add(alice, url=ways.clear_url, online_status="Here", call_show="xa", call_status="On line 1"))
    alice.register()
    watcher.sees("Here")
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    watcher.sees("Here", "xa/On line 1")


def test_a_password_is_shown_where_that_is_allowed(phones, alice, ways):
    watcher = Watcher(phones, phones.add(alice, domain=DOMAINS["PLAIN"], url=ways.clear_url))
    phones.write_state(alice, "online")
    watcher.sees("At the desk")
    phones.write_state(alice, "offline")
    watcher.sees("At the desk", "unavailable")
