"""Calls through the SIP host light lamps: a watcher with Event: dialog sees who rings, who talks, who is on hold, and that it is over."""

import re
import uuid
import xml.etree.ElementTree as ElementTree

import pytest
from support.example import with_calls
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.phone import Call
from support.phone import sdp
from support.process import wait_until
from support.sip import pidf
from support.xmpp import child

NS = "{urn:ietf:params:xml:ns:dialog-info}"
PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]


EVENTS = ["presence_dialoginfo", "dialog_event"]


@pytest.fixture(scope="module", params=[(mode, event) for mode in ("local", "pua") for event in EVENTS], ids="-".join)
def servers(pair, request, tmp_path_factory):
    mode, event = request.param
    gateway = Gateway(pair, tmp_path_factory.mktemp("calls"), edit=with_calls(mode, event=event))
    yield gateway
    gateway.stop()


@pytest.fixture
def event(request):
    """Who serves Event: dialog."""
    return request.node.callspec.params["servers"][1]


def kept(text):
    """Calls are shown, and dialogs are kept in the database."""
    text = with_calls("local")(text)
    database = next(line.split('"')[5] for line in text.splitlines() if line.startswith('modparam("presence", "db_url"'))
    lines = f'modparam("dialog", "db_mode", 1)\nmodparam("dialog", "db_url", "{database}")\n'
    return text.replace('modparam("xmpp_gateway", "backend"', f'{lines}modparam("xmpp_gateway", "backend"', 1)


kept.changes_parameters = True


def kept_and_logged(text):
    """And the gateway's log has how long it takes each to last."""
    return re.sub(r"^(log_level=)3$|^(debug=)2$", lambda m: "log_level=4" if m[1] else "debug=3", kept(text), flags=re.MULTILINE)


kept_and_logged.changes_parameters = True


class Lamp:
    """What a watcher of this user is told."""

    def __init__(self, gateway, user):
        self.subscription = gateway.sip_user("watcher").subscribe(user.uri, event="dialog")
        self.user = user
        self.subscription.wait_notify("an active subscription", lambda n: n.header("Subscription-State").startswith("active"))

    def documents(self):
        notifies = sorted(self.subscription.notifies(), key=lambda n: int(n.header("CSeq").split()[0]))
        return [ElementTree.fromstring(n.text) for n in notifies if n.body]

    def dialogs(self):
        """Those that are known after the last document, by id."""
        known = {}
        for document in self.documents():
            told = {d.get("id"): d for d in document.iter(NS + "dialog")}
            known = {**known, **told} if document.get("state") == "partial" else told
        return known

    def states(self):
        """Of the dialogs that go on, in the last document."""
        return sorted(state for state in map(state_of, self.dialogs().values()) if state != "terminated")

    def told(self):
        """All that was told of each dialog, without repetitions."""
        seen = {}
        for document in self.documents():
            for dialog in document.iter(NS + "dialog"):
                states = seen.setdefault(dialog.get("id"), [])
                if states[-1:] != [state_of(dialog)]:
                    states.append(state_of(dialog))
        return seen

    def wait(self, *states):
        wait_until(lambda: f"{self.user.uri} to be shown as {states}; told: {self.told()}", lambda: self.states() == sorted(states))
        return self.dialogs()

    def only(self, *states):
        return next(d for d in self.wait(*states).values() if state_of(d) != "terminated")


def state_of(dialog):
    return dialog.find(NS + "state").text


def end_of(lamp):
    """Event and code of the dialogs that were told to be over."""
    states = [s for d in lamp.documents() for s in d.iter(NS + "state") if s.text == "terminated"]
    return {(s.get("event"), s.get("code")) for s in states}


def rendering(dialog, side):
    parameters = dialog.find(NS + side).iter(NS + "param")
    return next((p.get("pval") for p in parameters if p.get("pname") == "+sip.rendering"), None)


def identity(dialog, side):
    return dialog.find(f"{NS}{side}/{NS}identity").text


def test_a_call_is_shown_from_the_first_ring_to_the_end(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    a, b = Lamp(gateway, alice), Lamp(gateway, bob)
    call = Call(alice, bob)
    call.ring(bob)
    ringing = b.only("early")
    assert ringing.get("direction") == "recipient"
    assert (identity(ringing, "local"), identity(ringing, "remote")) == (bob.uri, alice.uri)
    assert ringing.get("call-id") == call.call_id and ringing.get("remote-tag") == call.tag
    assert ringing.find(f"{NS}local/{NS}target").get("uri") == bob.contact
    calling = a.only("early")
    assert calling.get("direction") == "initiator"
    assert (identity(calling, "local"), identity(calling, "remote")) == (alice.uri, bob.uri)
    caller, _ = call.accept(bob)
    assert a.only("confirmed").get("id") == calling.get("id")
    assert b.only("confirmed").get("id") == ringing.get("id")
    caller.bye()
    a.wait()
    b.wait()
    assert a.told() == {calling.get("id"): ["early", "confirmed", "terminated"]}
    assert b.told() == {ringing.get("id"): ["early", "confirmed", "terminated"]}
    assert (end_of(a), end_of(b)) == ({("local-bye", None)}, {("remote-bye", None)})


def test_hold_and_resume_are_shown_on_both_sides(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    a, b = Lamp(gateway, alice), Lamp(gateway, bob)
    call = Call(alice, bob)
    call.ring(bob)
    caller, callee = call.accept(bob)
    b.wait("confirmed")
    alice.answers["INVITE"] = 200
    assert callee.request("INVITE", sdp("sendonly")).status == 200
    wait_until(lambda: f"bob holds: {b.told()}", lambda: rendering(b.only("confirmed"), "local") == "no")
    wait_until("bob to be seen as holding by who watches alice", lambda: rendering(a.only("confirmed"), "remote") == "no")
    assert rendering(b.only("confirmed"), "remote") is None
    assert callee.request("INVITE", sdp("sendrecv")).status == 200
    wait_until("bob to hear again", lambda: rendering(b.only("confirmed"), "local") == "yes")
    callee.bye()
    a.wait()
    assert end_of(a) == {("remote-bye", None)}


def test_an_answer_resumes_what_only_reflected_the_hold(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    b = Lamp(gateway, bob)
    call = Call(alice, bob)
    call.ring(bob)
    caller, callee = call.accept(bob)
    b.wait("confirmed")

    def says(agent, direction):
        agent.answers["INVITE"] = lambda request: agent.respond(request, 200, sdp=sdp(direction))
    says(bob, "inactive")
    assert caller.request("INVITE", sdp("inactive")).status == 200
    wait_until(lambda: f"alice to hold: {b.told()}", lambda: rendering(b.only("confirmed"), "remote") == "no")
    assert rendering(b.only("confirmed"), "local") is None, "bob has held nothing"
    # A session timer offers what is.
    says(alice, "inactive")
    assert callee.request("INVITE", sdp("inactive")).status == 200
    wait_until("bob to offer no more than there is", lambda: rendering(b.only("confirmed"), "local") == "no")
    says(bob, "sendrecv")
    assert caller.request("INVITE", sdp("sendrecv")).status == 200
    wait_until(lambda: "bob to hear alice again", lambda: rendering(b.only("confirmed"), "local") == "yes")
    assert rendering(b.only("confirmed"), "remote") == "yes"
    # Without an offer, the 2xx makes one; who answers it does so with the ACK.
    says(bob, "sendonly")
    assert caller.request("INVITE").status == 200
    wait_until(lambda: "bob to hold with an offer of his own", lambda: rendering(b.only("confirmed"), "local") == "no")
    caller.bye()
    b.wait()


def test_a_busy_phone_ends_what_rang(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    b = Lamp(gateway, bob)
    call = Call(alice, bob)
    call.ring(bob)
    b.wait("early")
    call.answer(bob, 486, "Busy Here")
    call.failed()
    b.wait()
    assert end_of(b) == {("rejected", "486")}


@pytest.mark.parametrize("status", [302, 422])
def test_a_phone_that_calls_again_after_it_rang_is_shown(gateway, status):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    a, b = Lamp(gateway, alice), Lamp(gateway, bob)
    first = Call(alice, bob)
    first.ring(bob)
    ringing = b.only("early").get("id")
    first.answer(bob, status)
    assert first.failed().status == status
    again = Call(alice, bob, again=first)
    again.ring(bob)
    a.wait("early")
    assert b.only("early").get("id") != ringing
    caller, _ = again.accept(bob)
    a.wait("confirmed")
    b.wait("confirmed")
    caller.bye()
    a.wait()
    b.wait()
    assert sorted(b.told().values()) == [["early", "confirmed", "terminated"], ["early", "terminated"]]


def test_a_cancelled_call_stops_to_ring(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    a, b = Lamp(gateway, alice), Lamp(gateway, bob)
    call = Call(alice, bob)
    call.ring(bob)
    a.wait("early")
    b.wait("early")
    bob.answers["CANCEL"] = lambda request: bob.respond(call.invite(bob), 487, "Request Terminated") or 200
    assert call.cancel().status == 487
    a.wait()
    b.wait()
    assert end_of(a) == end_of(b) == {("cancelled", "487")}


def test_each_phone_that_rings_is_a_dialog_and_one_is_left(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    desk = gateway.second_phone(bob)
    desk.answers["INVITE"] = None
    b = Lamp(gateway, bob)
    call = Call(alice, bob)
    call.invite(desk)
    call.ring(bob)
    call.answer(desk, 180, "Ringing")
    ringing = b.wait("early", "early")
    assert len(ringing) == 2 and len({d.get("local-tag") for d in ringing.values()}) == 2
    desk.answers["CANCEL"] = lambda request: desk.respond(call.invite(desk), 487, "Request Terminated") or 200
    caller, _ = call.accept(bob)
    b.wait("confirmed")
    caller.bye()
    b.wait()
    told = sorted(b.told().values())
    assert told == [["early", "confirmed", "terminated"], ["early", "terminated"]]


def test_183_and_486_at_once_leave_nothing_behind(gateway, event):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    a, b = Lamp(gateway, alice), Lamp(gateway, bob)
    for _ in range(30):
        call = Call(alice, bob)
        call.answer(bob, 183, "Session Progress")
        call.answer(bob, 486, "Busy Here")
        call.failed()
    last = Call(alice, bob)
    last.ring(bob)
    a.wait("early")
    b.wait("early")
    for told in list(a.told().values()) + list(b.told().values()):
        if event == "presence_dialoginfo":
            # Where two workers notify at once, it says `early` once more after the end, and then the end again.
            assert told == ["early"] or told[-1] == "terminated"
        else:
            assert told in (["early"], ["early", "terminated"], ["terminated"])
    last.answer(bob, 480)
    last.failed()
    b.wait()


def test_a_call_that_takes_the_place_of_another_says_so(gateway):
    alice, bob, carol = gateway.sip_user("alice"), gateway.sip_user("bob"), gateway.sip_user("carol")
    b = Lamp(gateway, bob)
    first = Call(alice, bob)
    first.ring(bob)
    _, callee = first.accept(bob)
    b.wait("confirmed")
    replaces = f"{first.call_id};to-tag={callee.own_tag};from-tag={first.tag}"
    second = Call(carol, bob, headers={"Replaces": replaces, "Referred-By": f"<{alice.uri}>"})
    caller, _ = second.accept(bob)
    b.wait("confirmed", "confirmed")
    taken = next(d for d in b.dialogs().values() if d.get("call-id") == second.call_id)
    assert taken.find(NS + "replaces").get("call-id") == first.call_id
    assert taken.find(NS + "referred-by").text == alice.uri
    callee.bye()
    b.wait("confirmed")
    assert end_of(b) == {("replaced", None)}
    caller.bye()
    b.wait()


def test_calls_within_one_user_and_strange_ones_do_not_harm(gateway):
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    b = Lamp(gateway, bob)
    # A name that would end an attribute, and one that is no UTF-8.
    for name in ('"<&\'\\">"', "\"\udcff\""):
        call_id, tag = uuid.uuid4().hex, uuid.uuid4().hex
        raw = (f"INVITE {bob.uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{alice.port};branch=z9hG4bK{tag};rport\r\nMax-Forwards: 70\r\n"
               f"From: {name} <{alice.uri}>;tag={tag}\r\nTo: <{bob.uri}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n"
               f"Contact: <{alice.contact}>\r\nContent-Length: 0\r\n\r\n")
        bob.answers["INVITE"] = None
        alice.send_raw(raw.encode("utf-8", "surrogateescape"))
        invite = bob.expect("INVITE", name, lambda r: r.header("Call-ID") == call_id)
        bob.respond(invite, 180, "Ringing")
        bob.respond(invite, 486, "Busy Here")
    call = Call(alice, bob)
    call.ring(bob)
    b.wait("early")
    caller, _ = call.accept(bob)
    caller.bye()
    b.wait()


def test_after_a_restart_a_call_is_shown_as_before_and_ends(pair, tmp_path):
    gateway = Gateway(pair, tmp_path, edit=kept_and_logged)

    def lasts(count):
        """Seconds after which nobody would wait for the end any more: none was less than the host's 12 hours."""
        found = [int(s) for s in re.findall(rf"the call {call.call_id} lasts for ([0-9]+) s", gateway.host.process.log())]
        assert all(seconds > 40000 for seconds in found), found
        return len(found) >= count
    try:
        alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
        b = Lamp(gateway, bob)
        call = Call(alice, bob)
        call.ring(bob)
        caller, callee = call.accept(bob)
        before = b.only("confirmed")
        wait_until("the time of the call", lambda: lasts(1))
        gateway.host.stop()
        gateway.host.start()
        again = Lamp(gateway, bob)
        after = again.only("confirmed")
        for attribute in ("id", "direction", "call-id", "local-tag", "remote-tag"):
            assert after.get(attribute) == before.get(attribute)
        assert identity(after, "remote") == alice.uri
        wait_until("the time of the call that came back", lambda: lasts(2))
        # A session timer (RFC 4028) makes no offer.
        assert callee.request("UPDATE").status == 200
        wait_until("the time of the call that is kept", lambda: lasts(3))
        assert callee.request("INVITE", sdp("sendonly")).status == 200
        wait_until("bob to hold", lambda: rendering(again.only("confirmed"), "local") == "no")
        caller.bye()
        again.wait()
    finally:
        gateway.stop()


def seen_by(contact, user, condition):
    """The newest available presence of this SIP user that the contact was told, by resource; waits until one is as wanted."""
    def newest():
        told = {p.get("from").partition("/")[2]: p for p in contact.stanzas("presence") if (p.get("from") or "").split("/")[0] == jid(user)
                and p.get("type") in (None, "unavailable") and "/" in p.get("from")}
        return {resource: p for resource, p in told.items() if p.get("type") is None}
    return wait_until(lambda: f"{contact.jid} to see {jid(user)} otherwise than {contact.shown('presence')}",
                      lambda: next((p for p in newest().values() if condition(p)), None))


def talks(presence):
    activity = presence.find("{http://jabber.org/protocol/activity}activity")
    return activity is not None and activity[0].tag.endswith("talking") and activity[0][0].tag.endswith("on_the_phone")


def test_an_xmpp_contact_sees_the_call_and_what_was_before_it(gateway):
    juliet = gateway.xmpp_user()
    alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
    gateway.xmpp_watches(juliet, bob, pidf(bob.uri, note="at my desk"))
    seen_by(juliet, bob, lambda p: child(p, "status") == "at my desk")
    call = Call(alice, bob)
    call.ring(bob)
    ringing = seen_by(juliet, bob, lambda p: child(p, "status") == "Ringing")
    assert child(ringing, "show") is None and not talks(ringing)
    caller, callee = call.accept(bob)
    talking = seen_by(juliet, bob, lambda p: child(p, "status") == "On the phone")
    assert child(talking, "show") == "dnd" and talks(talking)
    assert jid(alice) not in "".join(juliet.shown("presence")).replace(jid(bob), "")
    # What is published meanwhile does not end it.
    bob.publish(pidf(bob.uri, note="still here"))
    alice.answers["INVITE"] = 200
    assert callee.request("INVITE", sdp("sendonly")).status == 200
    held = seen_by(juliet, bob, lambda p: child(p, "status") == "On the phone, on hold")
    assert child(held, "show") == "dnd" and talks(held)
    caller.bye()
    after = seen_by(juliet, bob, lambda p: child(p, "status") == "still here")
    assert child(after, "show") is None and not talks(after)
