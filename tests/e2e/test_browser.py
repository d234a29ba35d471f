"""A colleague's browser, with a web client in it, shows that a SIP user is on the phone: a real call of a real phone."""

import warnings

import pytest
from support import baresip
from support import browser
from support.accounts import Phones
from support.example import with_calls
from support.gateway import PASSWORD
from support.gateway import pairs
from support.process import wait_until
from test_phones import Watcher

PAIRS = [pair for pair in pairs() if pair.name == "kamailio+prosody"]


def test_a_web_client_shows_that_a_contact_is_on_the_phone(pair, tmp_path):
    for missing in (baresip.missing(), browser.missing()):
        if missing:
            warnings.warn(f"skipped: a web client: {missing}")
            pytest.skip(missing)
    phones = Phones(pair, tmp_path, edit=with_calls("local"))
    gateway = phones.gateway
    started = []
    try:
        gateway.wait_connected()
        alice, bob = (baresip.Baresip(tmp_path, name, gateway.sip_domain, gateway.host.port, answers="auto") for name in ("alice", "bob"))
        jid, colleague = phones.add(alice), gateway.account("romeo")
        each_sees_the_other(gateway.login(jid), gateway.login(colleague))
        for phone in (alice, bob):
            started.append(phone.start())
            phone.wait_registered()
        Watcher(phones, jid).sees("online")
        # From now on the account has its phone alone.
        gateway.log_out()
        web = browser.WebClient(tmp_path, colleague, PASSWORD, phones.url)
        started.append(web)
        wait_until("the contact to be in the list", lambda: web.open_chat(jid), 60, 0.5)
        shows(web, jid, "This contact is online", "")
        alice.command("dial", bob.uri)
        shows(web, jid, "This contact is busy", "On the phone")
        web.screenshot(tmp_path / "on-the-phone.png")
        alice.command("hangup")
        shows(web, jid, "This contact is online", "")
    finally:
        for one in reversed(started):
            one.stop()
        gateway.stop()


def each_sees_the_other(one, other):
    for watcher, contact in ((one, other), (other, one)):
        watcher.presence(type="subscribe", to=contact.bare)
        watcher.expect_presence(contact.bare, "subscribed")


def shows(web, jid, *expected):
    wait_until(lambda: f"{expected} of the contact; it shows {web.shown(jid)}", lambda: web.shown(jid) == list(expected), 20, 0.2)
