"""Somebody else writes to the database of the presence server, for longer than it waits: what it did not do is asked for again."""

import sqlite3

import pytest
from support.doors import by_each_door
from support.gateway import is_active
from support.gateway import jid
from support.gateway import pairs

# OpenSIPS's db_sqlite waits without an end.
PAIRS = [pair for pair in by_each_door([p for p in pairs() if p.name == "kamailio+prosody"]) if pair.door != "notifier"]


@pytest.fixture
def locked(gateway):
    database = sqlite3.connect(gateway.host.database, isolation_level=None, timeout=10)
    yield database
    database.close()


def test_a_decision_reaches_the_watcher(gateway, locked):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    juliet.expect_presence(jid(alice), "subscribe")
    subscription.wait_notify("pending", lambda n: n)
    locked.execute("BEGIN IMMEDIATE")
    juliet.presence(type="subscribed", to=jid(alice))
    gateway.host.process.wait_for_log("cannot be told of a decision now")
    locked.execute("ROLLBACK")
    subscription.wait_notify("an open tuple", lambda n: is_active(n) and "open" in n.text, timeout=40.0)
