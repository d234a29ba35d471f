"""A SIP user's phone in the user's own XMPP account: a resource that shows whether the phone is there, and in a call. The account's other
client, a real one, watches."""

import re
from urllib.parse import urlsplit

import pytest
from slixmpp.exceptions import IqError
from support.accounts import Phones
from support.example import with_calls
from support.gateway import PASSWORD
from support.gateway import pairs
from support.phone import Call
from support.phone import sdp
from support.process import wait_until
from support.relay import Relay
from support.sip import pidf
from support.xmpp import child

PAIRS = pairs()
ACTIVITY = "http://jabber.org/protocol/activity"


def with_script_states(text):
    """INFO says what the phone of its sender does."""
    anchor = '    if (is_method("REGISTER")) {'
    # Each host writes a status in its own way.
    quote = '"' if 'sl_send_reply("' in text else ""
    said = '    if (is_method("INFO")) {\n        if (xmpp_phone_state("$fu", "$rU")) ' \
           f'sl_send_reply({quote}200{quote}, "OK");\n        else sl_send_reply({quote}488{quote}, "No State");\n        exit;\n    }}\n'
    text = with_calls("local")(text)
    assert anchor in text
    if quote:
        # Kamailio: who publishes nothing has a document all the same.
        text = re.sub(r'^loadmodule "presence_xml.so"\n', r'\g<0>modparam("presence_xml", "force_dummy_presence", 1)\n', text, flags=re.MULTILINE)
    return text.replace(anchor, said + anchor, 1)


@pytest.fixture(scope="module")
def phones(pair, tmp_path_factory):
    made = Phones(pair, tmp_path_factory.mktemp("phones"), ("phone_hold_status", '"On hold"'), ("phone_call_show", '"away"'),
                  ("phone_state_poll", 1), ("phone_priority", -7), ("login_rate", 50),
                  edit=with_script_states)
    made.gateway.wait_connected()
    yield made
    made.gateway.stop()


class Watcher:
    """The other client of the account, and what it sees of the phone."""

    def __init__(self, phones, jid, **options):
        self.client = phones.gateway.login(jid, **options)

    def shown(self, resource="SIP-phone"):
        """All that was shown of the resource, one after the other."""
        seen = self.client.stanzas("presence", lambda p: p.get("from") == f"{self.client.bare}/{resource}")
        looks = [self.look(presence) for presence in seen]
        # ejabberd tells the end of a presence again when the session ends.
        return [look for look, before in zip(looks, [None, *looks]) if (look, before) != ("unavailable", "unavailable")]

    @staticmethod
    def look(presence):
        parts = [child(presence, name) for name in ("show", "status")]
        return "/".join(part for part in parts if part) or presence.get("type") or "online"

    def sees(self, *looks, resource="SIP-phone"):
        wait_until(lambda: f"{looks} of the phone; seen: {self.shown(resource)}", lambda: self.shown(resource) == list(looks), 15)


@pytest.fixture
def alice(phones):
    """A SIP user with an account, whose phone is not registered yet."""
    user = phones.gateway.sip_user()
    unregister(user)
    return user


def unregister(user):
    response = user.request("REGISTER", f"sip:{user.domain}", to=user.uri, headers={"Expires": "0"})
    assert response.status == 200, response


def test_a_phone_is_online_while_it_is_registered(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    alice.register()
    unregister(alice)
    watcher.sees("online", "unavailable")


def test_who_publishes_is_online_until_nothing_is_published(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    second = phones.gateway.second_phone(alice, registers=False)
    alice.publish(pidf(alice.uri))
    watcher.sees("online")
    second.publish(pidf(alice.uri))
    alice.publish(None)
    alice.publish(None, expires=0)
    # What is told of the first one's end is behind this: had it been taken for the user's, the phone would be gone by now.
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    watcher.sees("online", "away/On the phone")
    phones.gateway.host.phone_state(alice.uri, "online")
    second.publish(None, expires=0)
    watcher.sees("online", "away/On the phone", "online", "unavailable")


def test_who_publishes_no_more_is_gone_when_the_time_has_passed(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.publish(pidf(alice.uri), expires=3)
    watcher.sees("online", "unavailable")


def test_a_call_is_shown_and_over(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    bob = phones.gateway.sip_user("bob")
    call = Call(alice, bob)
    call.ring(bob)
    caller, _ = call.accept(bob)
    watcher.sees("online", "away/On the phone")
    assert caller.request("INVITE", body=sdp("sendonly")).status == 200
    watcher.sees("online", "away/On the phone", "away/On hold")
    assert caller.request("INVITE", body=sdp()).status == 200
    watcher.sees("online", "away/On the phone", "away/On hold", "away/On the phone")
    caller.bye()
    watcher.sees("online", "away/On the phone", "away/On hold", "away/On the phone", "online")


def test_a_chat_to_the_account_does_not_go_to_the_phone(phones, alice):
    jid = phones.add(alice)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")
    romeo = phones.gateway.xmpp_user("romeo")
    romeo.message(jid, "to whoever is there")
    watcher.client.expect("message", "for the other client", lambda m: child(m, "body") is not None)
    romeo.message(f"{jid}/SIP-phone", "to the phone")
    romeo.expect("message", "a refusal", lambda m: m.get("type") == "error")
    assert not alice.requests_seen("MESSAGE")


def test_a_message_reaches_a_phone_that_takes_it(phones, alice):
    jid = phones.add(alice, flags=4)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")
    phones.gateway.xmpp_user("romeo").message(f"{jid}/SIP-phone", "to the phone")
    assert alice.expect("MESSAGE").text == "to the phone"


def test_a_program_says_what_the_state_is(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    watcher.sees("away/On the phone")
    phones.gateway.host.phone_state(alice.uri, "still-online")
    watcher.sees("away/On the phone", "online")
    phones.gateway.host.phone_state(alice.uri, "offline")
    watcher.sees("away/On the phone", "online", "unavailable")


def test_the_script_says_what_the_state_is(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    shown = []
    for state, look in (("onthephone", "away/On the phone"), ("online", "online"), ("offline", "unavailable")):
        assert alice.request("INFO", f"sip:{state}@{alice.domain}").status == 200
        shown.append(look)
        watcher.sees(*shown)
    assert alice.request("INFO", f"sip:busy@{alice.domain}").status == 488
    assert {child(p, "priority") for p in watcher.client.stanzas("presence", lambda p: "/SIP-phone" in p.get("from"))} == {"-7", None}


def test_a_wrong_password_is_written_down_and_the_others_go_on(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    bob = phones.gateway.sip_user("bob")
    phones.add(bob, password="wrong")
    wait_until("the reason in the table", lambda: "not-authorized" in phones.row(bob)["trouble"], 15)
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    watcher.sees("online", "away/On the phone")
    phones.gateway.host.phone_state(bob.uri, "onthephone")
    unregister(bob)
    bob.register()
    lines = [line for line in phones.gateway.host.log().splitlines() if f"the phone of {bob.uri} is not shown" in line]
    assert len(lines) == 1 and "not-authorized" in lines[0] and "wrong" not in lines[0]
    phones.set(bob, password=PASSWORD)
    wait_until("the reason to be gone", lambda: phones.row(bob)["trouble"] == "", 15)


def test_an_account_that_changes_logs_in_anew_and_one_that_is_gone_goes_offline(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    phones.set(alice, online_status="At the desk")
    watcher.sees("online", "unavailable", "At the desk")
    phones.remove(alice)
    watcher.sees("online", "unavailable", "At the desk", "unavailable")


def test_a_reset_in_the_midst_of_a_request_is_seen_by_nobody(phones, alice):
    relay = Relay(target=urlsplit(phones.url).port)
    url = phones.url.replace(str(relay.target), str(relay.port))
    watcher = Watcher(phones, phones.add(alice, url=url))
    alice.register()
    watcher.sees("online")
    wait_until("the session in the table", lambda: phones.row(alice)["sid"])
    session = phones.row(alice)["sid"]
    # One request is held: its connection is reset, and nothing takes the next.
    relay.reset()
    relay.cut()
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    relay.mend()
    watcher.sees("online", "away/On the phone")
    relay.reset()
    phones.gateway.host.phone_state(alice.uri, "still-online")
    watcher.sees("online", "away/On the phone", "online")
    assert phones.row(alice)["sid"] == session
    relay.close()


def test_two_phones_of_a_user_have_a_resource_each_where_it_is_wanted(phones, alice):
    watcher = Watcher(phones, phones.add(alice, resource="SIP-{phone}"))
    alice.register()
    second = phones.gateway.second_phone(alice)

    def online():
        seen = watcher.client.stanzas("presence", lambda p: "/SIP-" in p.get("from") and not p.get("type"))
        return {presence.get("from") for presence in seen}
    wait_until(lambda: f"two resources; seen: {online()}", lambda: len(online()) == 2, 15)
    unregister(second)
    gone = watcher.client.expect("presence", "the end of one", lambda p: "/SIP-" in p.get("from") and p.get("type") == "unavailable")
    assert gone.get("from") in online()


def test_the_activity_is_published_while_the_phone_is_in_a_call(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    client = phones.gateway.login(watcher.client.bare, resource="reader", plugins=("xep_0060",))

    def activity():
        """The names of what stands in the account's activity; None where nothing was ever published."""
        try:
            items = client.ask(lambda slix: slix["xep_0060"].get_items(client.bare, ACTIVITY))
        except IqError:
            return None
        return [element.tag.split("}")[1] for item in items.xml.iter(f"{{{ACTIVITY}}}activity") for element in item.iter()][1:]
    assert activity() in (None, [])
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    wait_until(lambda: f"the activity; there is {activity()}", lambda: activity() == ["talking", "on_the_phone"])
    phones.gateway.host.phone_state(alice.uri, "still-online")
    wait_until(lambda: f"its end; there is {activity()}", lambda: activity() == [])


def test_a_file_of_the_connector_is_imported(phones, alice, tmp_path):
    jid = phones.gateway.account()
    file = tmp_path / "accounts.csv"
    user, domain = jid.split("@")
    file.write_text(f"# SIP URI, XMPP user, password, RID\n{alice.uri},{user},{PASSWORD},123456\nalice,{user},x\n")
    file.chmod(0o644)
    tmp_path.chmod(0o755)
    answer = phones.gateway.host.import_accounts(str(file), domain)
    assert answer == ["1 accounts imported, 1 lines left out", "line 3: the first field is no SIP URI of a user"]
    phones.set(alice, url=phones.url)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")


def test_states_that_a_program_writes_to_the_table_are_taken_once(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    shown = []
    for state, look in (("onthephone", "away/On the phone"), ("still-online", "online"), ("offline", "unavailable")):
        phones.write_state(alice, state)
        shown.append(look)
        watcher.sees(*shown)
    wait_until("the table to be empty", lambda: phones.states_left() == 0)


def test_a_session_goes_on_while_the_sip_server_starts_anew(phones, alice):
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    wait_until("the session in the table", lambda: phones.row(alice)["sid"])
    before = phones.row(alice)
    phones.gateway.host.stop()
    phones.gateway.host.start()
    phones.gateway.wait_connected()
    alice.register()
    phones.gateway.host.phone_state(alice.uri, "onthephone")
    wait_until("the call", lambda: watcher.shown()[-1] == "away/On the phone", 15)
    assert "unavailable" not in watcher.shown()
    wait_until("the session in the table", lambda: phones.row(alice)["rid"] > before["rid"])
    assert phones.row(alice)["sid"] == before["sid"]


def test_a_phone_is_shown_again_when_the_xmpp_server_is_back(phones, alice):
    jid = phones.add(alice)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")
    phones.gateway.server.stop()
    phones.gateway.server.start()
    again = Watcher(phones, jid)
    wait_until(lambda: f"the phone; seen: {again.shown()}", lambda: again.shown()[-1:] == ["online"], 40)
