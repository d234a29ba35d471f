"""`dialog_event`: the host's presence server serves Event: dialog (RFC 4235) with the gateway's documents."""

import itertools
import re
import threading

import pytest
from support import process
from support.dialogs import Publisher
from support.dialogs import Watcher
from support.dialogs import attribute
from support.dialogs import check
from support.dialogs import dialogs
from support.dialogs import documents
from support.gateway import hosts

HOSTS = [pytest.param((name, make), id=name, marks=[pytest.mark.skip(reason=missing)] if missing else [])
         for name, make, missing in hosts()]
NUMBERS = itertools.count(1)


def lamps(text):
    """The example with the event, as its comments say."""
    text, count = re.subn(r'^# (modparam\("xmpp_gateway", "dialog_(?:event|profile)")', r"\1", text, flags=re.MULTILINE)
    assert count == 4
    more = 'modparam("xmpp_gateway", "dialog_profile", "user_agent=partial*;dialogs=partial")\n'
    return text.replace('modparam("xmpp_gateway", "dialog_event", 1)\n', f'modparam("xmpp_gateway", "dialog_event", 1)\n{more}')


@pytest.fixture(scope="module", params=HOSTS)
def host(request, tmp_path_factory):
    name, make = request.param
    host = make(tmp_path_factory.mktemp(name), edit=lamps).start()
    yield host
    host.stop()


@pytest.fixture
def users(host):
    """Makes agents: publishers of one user, watchers of others."""
    made = []

    class Users:
        host_name = host.name
        uri = f"sip:bob{next(NUMBERS)}@{host.sip_domain}"

        def publisher(self):
            made.append(Publisher(self.uri[4:].split("@")[0], host.sip_domain, host.port))
            return made[-1]

        def watcher(self, user_agent=None, domain=None):
            made.append(Watcher(f"alice{next(NUMBERS)}", domain or host.sip_domain, host.port))
            return made[-1].watch(self.uri, user_agent)

    yield Users()
    for agent in made:
        agent.close()
    assert host.process.runs(), "the SIP server died"


def wait(subscription, *expected):
    """Until the last document has these dialogs."""
    def last():
        texts = documents(subscription)
        return texts and dialogs(texts[-1]) == list(expected)
    process.wait_until(lambda: f"{expected}; seen: {[dialogs(text) for text in documents(subscription)]}", last)


def test_a_lamp_follows_a_call(users):
    lamp = users.watcher()
    wait(lamp)
    phone = users.publisher()
    for state in ("trying", "early", "confirmed", "terminated"):
        phone.tell(f"a@x1 {state}")
        wait(lamp, f"a {state}")
    phone.tell()
    wait(lamp)
    texts = check(lamp, users.uri)
    assert {attribute(text, "state") for text in texts} == {"full"}
    assert 'display="Romeo &amp; Sons"' in texts[1] or "display='Romeo &amp; Sons'" in texts[1]


def test_two_publishers_of_a_dialog_never_bring_it_back(users):
    lamp, proxy, phone = users.watcher(), users.publisher(), users.publisher()
    proxy.tell("a@x early")
    wait(lamp, "a early")
    phone.tell("a@x confirmed")
    wait(lamp, "a confirmed")
    proxy.tell("a@x terminated")
    wait(lamp, "a terminated")
    # The phone is late, says so again, and then nothing.
    phone.tell("a@x confirmed")
    wait(lamp)
    phone.tell("a@x early", "b@y early")
    wait(lamp, "b early")
    check(lamp, users.uri)
    fresh = users.watcher()
    wait(fresh, "b early")
    assert not [text for text in documents(lamp)[3:] + documents(fresh) if "confirmed" in text or "a early" in text]


# A worker of OpenSIPS 3.4 uses memory that it gave back when a document is stored while it counts those of the same user (db_sqlite; mended
# in 3.6): there publishers race only with documents that replace others.
STORES_IN_A_RACE = "OpenSIPS 3.4 with SQLite crashes when two documents of a user are stored at once"


@pytest.mark.parametrize("order", [("early", "terminated"), ("terminated", "early")])
def test_two_workers_that_race_end_in_the_end(users, order):
    if users.host_name.startswith("opensips-3.4."):
        pytest.skip(STORES_IN_A_RACE)
    lamp, publishers = users.watcher(), [users.publisher(), users.publisher()]
    wait(lamp)
    for number in range(10):
        threads = [threading.Thread(target=publisher.tell, args=(f"a{number}@x{number} {state}",))
                   for publisher, state in zip(publishers, order)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for publisher in publishers:
        publisher.tell("b@y trying")
    wait(lamp, "b trying")
    fresh = users.watcher()
    wait(fresh, "b trying")
    check(lamp, users.uri)
    # However the two came, no lamp went on after its dialog was seen to end.
    ended = set()
    for text in documents(lamp):
        said = dict(dialog.split() for dialog in dialogs(text))
        assert not [name for name in ended if said.get(name, "terminated") != "terminated"]
        ended |= {name for name, state in said.items() if state == "terminated"}


@pytest.mark.parametrize("order", itertools.permutations(("trying", "early", "confirmed", "terminated")), ids="-".join)
def test_of_four_workers_that_tell_of_a_call_at_once_none_has_a_stale_last_word(users, order):
    lamp, publishers = users.watcher(), [users.publisher() for _ in order]
    wait(lamp)
    for index, publisher in enumerate(publishers):
        publisher.tell(f"p{index} early")
    wait(lamp, *(f"p{index} early" for index in range(len(order))))
    for number in range(10):
        told, start = len(documents(lamp)), threading.Barrier(len(order))

        def tell(index, start=start, number=number):
            start.wait()
            # A dialog of its own, by whose id Kamailio tells documents apart, and what it saw of the call: whose NOTIFY leaves last must
            # know all four.
            publishers[index].tell(f"p{index}-{number} early", f"a{number}@x{number} {order[index]}")

        threads = [threading.Thread(target=tell, args=(index,)) for index in range(len(order))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own = [f"p{index}-{number} early" for index in range(len(order))]

        def last():
            texts = documents(lamp)
            # Each PUBLISH has its NOTIFY: what comes after them is a better one.
            if len(texts) < told + len(order):
                return False
            said = dialogs(texts[-1])
            return [dialog for dialog in said if "p" == dialog[0] and "terminated" not in dialog] == own and not \
                [dialog for dialog in said if dialog.startswith(f"a{number} ") and "terminated" not in dialog]

        process.wait_until(lambda: f"{own}; seen: {[dialogs(text) for text in documents(lamp)[told:]]}", last)
    check(lamp, users.uri)


def test_a_fresh_watcher_sees_what_the_others_see(users):
    lamp, proxy, phone = users.watcher("Linksys/SPA962-6.1.5(a)"), users.publisher(), users.publisher()
    everything = users.watcher()
    proxy.tell("a@x confirmed")
    phone.tell("b@y early", "c@z trying")
    for subscription, expected in ((lamp, ["b early"]), (everything, ["a confirmed", "b early", "c trying"])):
        wait(subscription, *expected)
        fresh = users.watcher("Linksys/SPA962" if subscription is lamp else None)
        wait(fresh, *expected)
        assert documents(fresh)[-1].split(">", 2)[2] == documents(subscription)[-1].split(">", 2)[2]
        check(subscription, users.uri)
        check(fresh, users.uri)


def test_each_watcher_is_shown_what_its_profile_says(users):
    yealink, guest, partial = users.watcher("Yealink SIP-T46S"), users.watcher(domain="guests.example.com"), users.watcher("partial/1")
    wait(yealink, "idle terminated")
    phone, proxy = users.publisher(), users.publisher()
    phone.tell("a@192.0.2.77 confirmed")
    wait(yealink, "a confirmed")
    process.wait_until("the guest to see a call", lambda: "confirmed" in documents(guest)[-1])
    assert not [text for text in documents(guest) if "192.0.2.77" in text or "romeo" in text]
    proxy.tell("b@y early")
    wait(partial, "b early")
    assert [attribute(text, "state") for text in documents(partial)] == ["full", "partial", "partial"]
    assert partial.refresh().status in (200, 202)
    wait(partial, "a confirmed", "b early")
    assert attribute(documents(partial)[-1], "state") == "full"
    for subscription in (yealink, guest, partial):
        check(subscription, users.uri)


def test_what_is_withdrawn_is_told_and_may_come_back(users):
    lamp, phone = users.watcher(), users.publisher()
    phone.tell("a@x confirmed")
    wait(lamp, "a confirmed")
    phone.withdraw()
    process.wait_until("the lamp to go out", lambda: not [d for d in dialogs(documents(lamp)[-1]) if "terminated" not in d])
    phone.tell("a@x confirmed")
    wait(lamp, "a confirmed")
    check(lamp, users.uri)


@pytest.mark.parametrize("body", [
    "hello", "<!DOCTYPE a [<!ENTITY b 'c'>]><dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info'/>",
    "<dialog-info xmlns='urn:ietf:params:xml:ns:pidf'><dialog id='1'><state>early</state></dialog></dialog-info>",
    "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info'><dialog><state>early</state></dialog></dialog-info>",
    "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info'><dialog id='1'><state>bored</state></dialog></dialog-info>",
    "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' entity='sip:mallory@example.com'><dialog id='1'><state>early</state></dialog>"
    "</dialog-info>",
], ids=["text", "dtd", "namespace", "no id", "state", "entity"])
def test_a_bad_document_does_not_darken_a_lamp(users, host, body):
    lamp, phone, bad = users.watcher(), users.publisher(), users.publisher()
    phone.tell("a@x confirmed")
    wait(lamp, "a confirmed")
    told = len(documents(lamp))
    bad.tell(body=body)
    # Of two PUBLISHes at once, the host may notify of the older one last.
    process.wait_until("a NOTIFY that has nothing of it", lambda: len(documents(lamp)) > told)
    phone.tell("a@x confirmed", "b@y early")
    wait(lamp, "a confirmed", "b early")
    assert not [text for text in documents(lamp)[2:] if "a confirmed" not in dialogs(text)]
    check(lamp, users.uri)
    assert "Event dialog: a published document is left out" in host.log() or "is left out: it is of sip:mallory" in host.log()


def test_refresh_and_end_have_the_whole_state(users):
    phone, lamp = users.publisher(), users.watcher()
    phone.tell("a@x confirmed")
    wait(lamp, "a confirmed")
    before = len(documents(lamp))
    assert lamp.refresh().status in (200, 202)
    process.wait_until("a NOTIFY after the refresh", lambda: len(documents(lamp)) > before)
    wait(lamp, "a confirmed")
    assert lamp.end().status in (200, 202)
    lamp.wait_notify("the end", lambda n: n.header("Subscription-State").startswith("terminated"))
    check(lamp, users.uri)


@pytest.mark.parametrize("target", HOSTS)
def test_who_has_the_event_keeps_it(target, tmp_path):
    name, make = target

    def with_stock_module(text):
        line = re.search(r'^loadmodule "presence_xml.so"\n', text, re.MULTILINE).group(0)
        # After the gateway, where the order is the operator's: it is found all the same.
        return re.sub(r'^(loadmodule "(?:GATEWAY_MODULE|[^"]*xmpp_gateway.so)"\n)', rf'\1{line.replace("xml", "dialoginfo")}', lamps(text),
                      flags=re.MULTILINE)

    host = make(tmp_path, edit=with_stock_module).start()
    try:
        assert host.log().count("another module serves the event dialog") == 1
        phone = Publisher("bob", host.sip_domain, host.port)
        lamp = Watcher("alice", host.sip_domain, host.port)
        subscription = lamp.watch(phone.uri)
        phone.tell("a@x early")
        wait(subscription, "a early")
        # That module writes its own documents.
        assert "version='" not in documents(subscription)[-1]
        phone.close()
        lamp.close()
    finally:
        host.stop()
