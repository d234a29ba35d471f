"""Where the states of phones come from, where the script says nothing of calls, and the registrar keeps its contacts in a database."""

import os
import sqlite3

import pytest
from support.accounts import Phones
from support.example import replaced
from support.gateway import Pair
from support.gateway import pairs
from support.kamailio import TABLES
from support.phone import Call
from support.phone import sdp
from support.process import wait_until
from test_phones import Watcher
from test_phones import alice  # noqa: F401
from test_phones import unregister

PAIRS = pairs()


def with_dialogs(text):
    """A script that makes dialogs of calls, and shows them to nobody (no dialog_mode); contacts are in the database."""
    if 'sl_send_reply("' in text:
        return replaced(text, {'# loadmodule "dialog.so"': 'loadmodule "dialog.so"',
                               '# if (is_method("INVITE")) dlg_manage();': 'if (is_method("INVITE")) dlg_manage();',
                               'modparam("usrloc", "db_mode", 0)': 'modparam("usrloc", "db_mode", 1)\n'
                               f'modparam("usrloc", "db_url", "{contacts(text)}")'})
    # As late as a dialog can be made, with the phone looked up already.
    return replaced(text, {'# loadmodule "dialog.so"': 'loadmodule "dialog.so"',
                           '    if (!lookup("location")) {\n        sl_send_reply(480, "Temporarily Unavailable");\n        exit;\n    }\n':
                           '    if (!lookup("location")) {\n        sl_send_reply(480, "Temporarily Unavailable");\n        exit;\n    }\n'
                           '    if (is_method("INVITE")) create_dialog();\n',
                           '"single-instance-no-db")': '"single-instance-sql-write-through")\n'
                           f'modparam("usrloc", "db_url", "{contacts(text)}")'})


def contacts(text):
    """The URL of a database beside that of the example: what else is written at the same time would lock it."""
    return text.partition('modparam("presence", "db_url", "')[2].partition('"')[0] + "-contacts"


@pytest.fixture(scope="module")
def phones(pair, tmp_path_factory):
    def host(folder, **options):
        made = pair.host(folder, **options)
        scripts = os.path.join(made.tree, "scripts", "sqlite") if hasattr(made, "tree") else TABLES
        with sqlite3.connect(f"{made.database}-contacts") as tables:
            for name in ("standard", "usrloc"):
                with open(os.path.join(scripts, f"{name}-create.sql"), encoding="utf-8") as script:
                    tables.executescript(script.read())
        return made
    made = Phones(Pair(pair.name, host, pair.server, pair.missing), tmp_path_factory.mktemp("phones"),
                  ("phone_call_show", '"away"'), ("login_rate", 50), ("rate_limit", 2), edit=with_dialogs)
    made.gateway.wait_connected()
    yield made
    made.gateway.stop()


def test_calls_are_seen_though_no_watcher_is_shown_them(phones, alice):  # noqa: F811
    watcher = Watcher(phones, phones.add(alice))
    bob = phones.gateway.sip_user("bob")
    other = Watcher(phones, phones.add(bob))
    alice.register()
    watcher.sees("online")
    bob.register()
    other.sees("online")
    call = Call(alice, bob)
    call.ring(bob)
    caller, _ = call.accept(bob)
    watcher.sees("online", "away/On the phone")
    other.sees("online", "away/On the phone")
    caller.bye()
    watcher.sees("online", "away/On the phone", "online")
    other.sees("online", "away/On the phone", "online")


@pytest.mark.parametrize("method, body", [("UPDATE", ""), ("INVITE", sdp())])
def test_a_request_in_a_call_shows_that_it_goes_on(phones, alice, method, body):  # noqa: F811
    watcher = Watcher(phones, phones.add(alice))
    bob = phones.gateway.sip_user("bob")
    alice.register()
    watcher.sees("online")
    caller, _ = Call(alice, bob).accept(bob)
    watcher.sees("online", "away/On the phone")
    # What a program has got wrong is put right by the next refresh of the session.
    phones.gateway.host.phone_state(alice.uri, "online")
    watcher.sees("online", "away/On the phone", "online")
    assert caller.request(method, body=body).status == 200
    watcher.sees("online", "away/On the phone", "online", "away/On the phone")
    caller.bye()


def test_a_registration_in_the_database_is_known_after_a_restart(phones, alice):  # noqa: F811
    watcher = Watcher(phones, phones.add(alice))
    alice.register()
    watcher.sees("online")
    wait_until("the session in the table", lambda: phones.row(alice)["sid"])
    before = phones.row(alice)
    phones.gateway.host.stop()
    phones.gateway.host.start()
    phones.gateway.wait_connected()
    # Nobody registers: with what it says now the session has gone on.
    wait_until("the session to go on", lambda: phones.row(alice)["rid"] > before["rid"], 15)
    assert phones.row(alice)["sid"] == before["sid"]
    assert "unavailable" not in watcher.shown()
    unregister(alice)
    wait_until(lambda: f"the end; seen: {watcher.shown()}", lambda: watcher.shown()[-1] == "unavailable", 15)


def refusal(user):
    """The error that the next message of an XMPP user got."""
    error = user.expect("message", "a refusal", lambda m: m.get("type") == "error").find("{jabber:client}error")
    return error[0].tag.split("}")[1]


def test_who_says_something_to_a_phone_that_does_not_take_it_is_told(phones, alice):  # noqa: F811
    jid = phones.add(alice, flags=4)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")
    for status, condition in ((486, "recipient-unavailable"), (404, "item-not-found"), (415, "not-acceptable")):
        alice.answers["MESSAGE"] = status
        romeo = phones.gateway.xmpp_user("romeo")
        romeo.message(f"{jid}/SIP-phone", f"to be answered with {status}")
        assert refusal(romeo) == condition


def test_who_says_too_much_to_a_phone_waits(phones, alice):  # noqa: F811
    jid = phones.add(alice, flags=4)
    watcher = Watcher(phones, jid)
    alice.register()
    watcher.sees("online")
    romeo = phones.gateway.xmpp_user("romeo")
    # Two a second, of ten seconds at once.
    for number in range(60):
        romeo.message(f"{jid}/SIP-phone", f"number {number}")
    assert refusal(romeo) == "policy-violation"
    assert len(alice.requests_seen("MESSAGE")) < 60
    phones.gateway.xmpp_user("nurse").message(f"{jid}/SIP-phone", "of somebody else")
    alice.expect("MESSAGE", "of somebody else", lambda r: r.text == "of somebody else")
