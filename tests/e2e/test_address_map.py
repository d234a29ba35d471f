"""Users whose address on the other side the operator chose (table xmpp_address): both ways, reloaded without a restart."""

import pytest
from support import address_table
from support.gateway import Gateway
from support.gateway import is_active
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.sip import pidf
from support.xmpp import child

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
START_ROWS = [("sip:started@sip.example.com", "was.there@sip.example.com")]
PORTION = 1000


@pytest.fixture(scope="module")
def servers(pair, tmp_path_factory):
    gateway = Gateway(address_table.with_table(pair, START_ROWS), tmp_path_factory.mktemp("gateway"))
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


@pytest.fixture(autouse=True)
def only_the_first_rows(gateway):
    """Each test begins with the table as the host found it when it started."""
    yield
    address_table.change(gateway.host.database, lambda tables: tables.execute("DELETE FROM xmpp_address WHERE id > 1"))
    gateway.host.reload_addresses()


def reload(gateway, *rows):
    address_table.put(gateway.host.database, rows)
    return gateway.host.reload_addresses()


def number_of(contact):
    """A SIP URI that looks like a number, in the domain that the script routes to the gateway."""
    return "sip:200" + "".join(c for c in contact.bare.split("@")[0] if c.isdigit()) + "@example.net"


def test_the_table_is_loaded_at_start(gateway):
    started, juliet = gateway.sip_user(), gateway.xmpp_user()
    # A SIP user of that very name.
    started.close()
    started = type(started)("started", gateway.sip_domain, gateway.host.port)
    gateway.users.append(started)
    started.register()
    assert started.message(f"sip:{juliet.bare}", "hello").status == 202
    assert juliet.expect_message().get("from").split("/")[0] == "was.there@sip.example.com"


def test_messages_have_the_chosen_addresses(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    name, number = f"smith-{alice.user}@{gateway.sip_domain}", number_of(juliet)
    assert reload(gateway, (alice.uri, name), (number, juliet.bare)) == {"loaded": 3, "skipped": 0, "disabled": 0}

    assert alice.message(number, "to a number").status == 202
    message = juliet.expect_message()
    assert (child(message, "body"), message.get("from").split("/")[0]) == ("to a number", name)

    juliet.message(name, "to a name")
    message = alice.expect("MESSAGE", "to a name", lambda m: m.text == "to a name")
    assert message.uri_of("From").split(";")[0] == number


def test_the_address_that_the_scheme_would_give_is_refused(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    name, number = f"smith-{alice.user}@{gateway.sip_domain}", number_of(juliet)
    reload(gateway, (alice.uri, name), (number, juliet.bare))
    assert 400 <= alice.message(f"sip:{juliet.bare}", "to whom?").status < 500
    juliet.message(jid(alice), "to whom?", id="scheme-1")
    error = juliet.expect_message("of type error", lambda m: m.get("type") == "error")
    assert error.get("id") == "scheme-1"


def test_presence_has_the_chosen_addresses(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    name, number = f"smith-{alice.user}@{gateway.sip_domain}", number_of(juliet)
    reload(gateway, (alice.uri, name), (number, juliet.bare))

    alice.publish(pidf(alice.uri, note="at the desk"))
    juliet.presence(type="subscribe", to=name)
    juliet.expect_presence(name, "subscribed")
    wait_until("the presence of alice", lambda: any(child(p, "status") == "at the desk" and p.get("from").startswith(name)
                                                    for p in juliet.stanzas("presence")))

    subscription = alice.subscribe(number)
    juliet.expect_presence(name, "subscribe")
    notify = subscription.wait_notify("an active subscription and a body", lambda n: is_active(n) and n.body)
    assert f'entity="{number}"' in notify.text.replace("'", '"')


def test_bad_rows_are_said_by_number_and_left_out(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    name = f"smith-{alice.user}@{gateway.sip_domain}"
    answer = reload(gateway, ("sips:a@b.example", "a@c.example"), ("sip:b@b.example", "b@c.example/phone"), (alice.uri, name),
                    ("sip:C@b.example", "c@c.example"), ("sip:c@b.example", "d@c.example"), ("sip:e@b.example", "e@c.example", 1),
                    ("sip:f@b.example", "f@c.example", 64))
    assert answer == {"loaded": 3, "skipped": 4, "disabled": 1}
    for number in bad_ids(gateway.host.database):
        assert f"row {number} of the address table" in gateway.host.log(), number
    assert alice.message(f"sip:{juliet.bare}", "hello").status == 202
    assert juliet.expect_message().get("from").split("/")[0] == name


def bad_ids(database):
    ids = []
    address_table.change(database, lambda tables: ids.extend(row[0] for row in tables.execute(
        "SELECT id FROM xmpp_address WHERE sip_uri IN ('sips:a@b.example', 'sip:b@b.example', 'sip:c@b.example', 'sip:f@b.example')")))
    assert len(ids) == 4
    return ids


def test_a_reload_that_fails_keeps_the_map(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    name = f"smith-{alice.user}@{gateway.sip_domain}"
    reload(gateway, (alice.uri, name))
    for breaks, mends, said in [
        ("ALTER TABLE xmpp_address RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO xmpp_address", "cannot be read"),
        ("UPDATE version SET table_version = 7 WHERE table_name = 'xmpp_address'",
         "UPDATE version SET table_version = 1 WHERE table_name = 'xmpp_address'", "has version 7, this module takes 1"),
    ]:
        address_table.change(gateway.host.database, lambda tables, sql=breaks: tables.execute(sql))
        with pytest.raises(AssertionError, match=said):
            gateway.host.reload_addresses()
        assert said in gateway.host.log()
        address_table.change(gateway.host.database, lambda tables, sql=mends: tables.execute(sql))
        assert alice.message(f"sip:{juliet.bare}", "hello").status == 202
        message = juliet.expect_message()
        assert message.get("from").split("/")[0] == name
    assert gateway.host.reload_addresses() == {"loaded": 2, "skipped": 0, "disabled": 0}


@pytest.mark.parametrize("count", [0, PORTION - 1, PORTION, 2 * PORTION, 2 * PORTION + 500])
def test_a_table_is_read_to_its_end(gateway, count):
    rows = [(f"sip:user{n}@many.example", f"user{n}@{gateway.sip_domain}") for n in range(count - 1)]
    if count == 0:
        address_table.change(gateway.host.database, lambda tables: tables.execute("UPDATE xmpp_address SET flags = 1"))
        assert reload(gateway) == {"loaded": 0, "skipped": 0, "disabled": 1}
        address_table.change(gateway.host.database, lambda tables: tables.execute("UPDATE xmpp_address SET flags = 0"))
        return
    assert reload(gateway, *rows) == {"loaded": count, "skipped": 0, "disabled": 0}
    juliet = gateway.xmpp_user()
    juliet.message(f"user{count - 2}@{gateway.sip_domain}", "hello?", id="last-1")
    error = juliet.expect_message("of type error", lambda m: m.get("type") == "error")
    assert error.get("from") == f"user{count - 2}@{gateway.sip_domain}"


def test_who_watches_a_sip_user_goes_on_by_the_name_of_then(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    name = f"smith-{alice.user}@{gateway.sip_domain}"
    reload(gateway, (alice.uri, name), (number_of(juliet), juliet.bare))
    alice.publish(pidf(alice.uri, note="renamed"))
    wait_until("the new state under the old name", lambda: any(
        child(p, "status") == "renamed" and p.get("from").startswith(jid(alice)) for p in juliet.stanzas("presence")))

    juliet.presence(type="subscribe", to=name)
    juliet.expect_presence(jid(alice), "unsubscribed")
    juliet.expect_presence(name, "subscribed")
    alice.publish(pidf(alice.uri, note="as smith"))
    wait_until("the state under the new name", lambda: any(
        child(p, "status") == "as smith" and p.get("from").startswith(name) for p in juliet.stanzas("presence")))


def test_the_presence_of_an_xmpp_user_moves_to_the_new_uri(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.sip_watches(alice, juliet)
    number = number_of(juliet)
    reload(gateway, (number, juliet.bare))
    subscription = alice.subscribe(number)
    notify = subscription.wait_notify("an active subscription and a body", lambda n: is_active(n) and n.body)
    assert f'entity="{number}"' in notify.text.replace("'", '"')
