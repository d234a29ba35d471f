"""What the parameters and functions of calls (`dialog_mode`) change, in what lamps are shown, in what is published, and in XMPP."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest
from support.example import with_calls
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.notifier import Notifier
from support.phone import Call
from support.phone import sdp
from support.process import wait_until
from support.sip import pidf
from support.xmpp import child
from test_calls import NS
from test_calls import Lamp
from test_calls import rendering
from test_calls import seen_by
from test_calls import state_of
from test_calls import talks

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]


def started(pair, folder, edit):
    gateway = Gateway(pair, folder, edit=edit)
    yield gateway.wait_connected()
    gateway.stop()


# Lamps that say little, and presence that says much.
DISCREET = with_calls("local", ("include_callid", 0), ("include_tags", 0), ("include_localremote", 0), ("force_single_dialog", 1),
                      ("force_dummy_dialog", 1), ("call_remote_party", 1), ("call_status_ringing", '"Klingelt"'),
                      ("call_status_talking", '"Spricht"'), ("call_status_hold", '"Hält"'), event="dialog_event")


@pytest.fixture(scope="module")
def discreet_servers(pair, tmp_path_factory):
    yield from started(pair, tmp_path_factory.mktemp("discreet"), DISCREET)


@pytest.fixture
def discreet(discreet_servers):
    yield discreet_servers
    discreet_servers.log_out()


class PresenceServer(Notifier):
    """Takes what pua publishes of calls, too."""

    def __init__(self):
        super().__init__()
        self.tags = itertools.count(1)
        self.answers["PUBLISH"] = self.take

    def take(self, request):
        self.proxy = request.source
        self.respond(request, 200, "OK", f"SIP-ETag: {next(self.tags)}\r\nExpires: {request.header('Expires')}\r\n")

    def published(self, call_id):
        """Of this call: user, direction and state of each document, in order, and the requests."""
        requests = [r for r in self.requests_seen("PUBLISH") if r.body and f"'{call_id}'" in r.text.replace('"', "'")]
        documents = [(r, ElementTree.fromstring(r.text)) for r in requests]
        return [(r, d.get("entity").partition("@")[0].removeprefix("sip:"), d.find(NS + "dialog")) for r, d in documents]

    def told(self, call_id):
        """`user state` of each dialog, in order, without repetitions."""
        said = [f"{user} {state_of(dialog)}" for _, user, dialog in self.published(call_id)]
        return [line for number, line in enumerate(said) if line not in said[:number]]

    def wait(self, call_id, *lines):
        wait_until(lambda: f"{lines} of the call; published: {self.told(call_id)}", lambda: set(lines) <= set(self.told(call_id)))


def branches(text):
    """What an INVITE says in X-Shown is done with its branch; what says X-Quiet changes nothing that is shown."""
    is_kamailio = "#!KAMAILIO" in text
    flag = "5" if is_kamailio else '"nopublish"'
    route = f'''
branch_route[shown] {{
    if ($hdr(X-Shown) == "group") dialoginfo_set_branch_callee("Group <sip:group@{"SIP_DOMAIN" if is_kamailio else "sip.example.com"}>");
    if ($hdr(X-Shown) == "muted") dialoginfo_mute_branch("B");
}}
'''
    text, count = re.subn(r'^(    if \(!lookup\("location"\)\) \{)', r'    t_on_branch("shown");\n\1', text, flags=re.MULTILINE)
    assert count == 1
    text, count = re.subn(r"^(    if \(has_totag\(\)\) \{\n)(        if \(loose_route)", rf'\1        if ($hdr(X-Quiet) == "yes") setflag({flag});\n\2', text,
                          count=1, flags=re.MULTILINE)
    assert count == 1
    # Before the preprocessor's end, and without the KEMI script.
    at = text.index("# A request to an XMPP user.")
    return text[:at] + route.lstrip() + "\n" + text[at:]


@pytest.fixture(scope="module")
def presence_server():
    agent = PresenceServer()
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def eager_servers(pair, presence_server, tmp_path_factory):
    def edit(text):
        flag = "5" if "#!KAMAILIO" in text else "nopublish"
        text = with_calls("pua", ("caller_confirmed", 1), ("publish_on_trying", 1), ("dialog_ring_time", 25), ("call_presence", 0),
                          ("caller_spec_param", '"$hdr(X-Caller)"'), ("callee_spec_param", '"$hdr(X-Callee)"'),
                          ("nopublish_flag", f'"{flag}"'))(branches(text))
        if "#!KAMAILIO" not in text:
            # Its pua publishes nothing for less than 5 minutes, unless it is told to.
            text = text.replace('modparam("pua", "db_url"', 'modparam("pua", "min_expires", 10)\nmodparam("pua", "db_url"', 1)
        return presence_server.as_presence_server(text)
    yield from started(pair, tmp_path_factory.mktemp("eager"), edit)


@pytest.fixture
def eager(eager_servers):
    yield eager_servers
    eager_servers.log_out()


def test_a_lamp_may_say_no_more_than_that_there_is_a_call(discreet):
    alice, bob = discreet.sip_user("alice"), discreet.sip_user("bob")
    lamp = Lamp(discreet, bob)
    # Where there is none, a phone gets one that is over.
    wait_until(lambda: f"a dummy: {lamp.told()}", lambda: [(d.get("id"), state_of(d)) for d in lamp.dialogs().values()] == [("idle", "terminated")])
    call = Call(alice, bob)
    call.ring(bob)
    ringing = lamp.only("early")
    assert ringing.get("direction") == "recipient"
    assert [ringing.get(name) for name in ("call-id", "local-tag", "remote-tag")] == [None] * 3
    assert [ringing.find(NS + side) for side in ("local", "remote")] == [None] * 2
    caller, callee = call.accept(bob)
    talking = lamp.only("confirmed")
    # Of two calls the one that rings is the most interesting, and the only one.
    second = Call(discreet.sip_user("carol"), bob)
    second.ring(bob)
    other = lamp.only("early")
    assert len(lamp.dialogs()) == 1 and other.get("id") != talking.get("id")
    second.answer(bob, 486, "Busy Here")
    second.failed()
    assert lamp.only("confirmed").get("id") == talking.get("id")
    caller.bye()
    lamp.wait()
    fresh = Lamp(discreet, bob)
    wait_until(lambda: f"a dummy: {fresh.told()}", lambda: list(fresh.dialogs()) == ["idle"])
    everything = "".join(n.text for n in lamp.subscription.notifies() if n.body)
    assert not [secret for secret in (call.call_id, call.tag, callee.own_tag, alice.user) if secret in everything]


def test_presence_has_the_operators_words_and_names_the_other_side(discreet):
    juliet = discreet.xmpp_user()
    alice, bob = discreet.sip_user("alice"), discreet.sip_user("bob")
    discreet.xmpp_watches(juliet, bob, pidf(bob.uri, note="at my desk"))
    call = Call(alice, bob)
    call.ring(bob)
    seen_by(juliet, bob, lambda p: child(p, "status") == f"Klingelt ({alice.user})" and not talks(p))
    _, callee = call.accept(bob)
    seen_by(juliet, bob, lambda p: child(p, "status") == f"Spricht ({alice.user})" and child(p, "show") == "dnd" and talks(p))
    alice.answers["INVITE"] = 200
    assert callee.request("INVITE", sdp("sendonly")).status == 200
    seen_by(juliet, bob, lambda p: child(p, "status") == f"Hält ({alice.user})" and talks(p))
    assert callee.request("INVITE", sdp("sendrecv")).status == 200
    seen_by(juliet, bob, lambda p: child(p, "status") == f"Spricht ({alice.user})")
    callee.bye()
    after = seen_by(juliet, bob, lambda p: child(p, "status") == "at my desk")
    assert child(after, "show") is None and not talks(after)


def test_a_call_is_published_from_its_invite_on_and_its_caller_as_talking(eager, presence_server):
    alice, bob = eager.sip_user("alice"), eager.sip_user("bob")
    call = Call(alice, bob)
    call.invite(bob)
    presence_server.wait(call.call_id, f"{alice.user} trying", f"{bob.user} trying")
    call.ring(bob)
    presence_server.wait(call.call_id, f"{alice.user} confirmed", f"{bob.user} early")
    # Until it is answered it lasts no longer than it may ring; pua asks for a second more.
    times = [(user, state_of(d), int(r.header("Expires"))) for r, user, d in presence_server.published(call.call_id)]
    assert {seconds for _, _, seconds in times} <= {25, 26}, times
    caller, _ = call.accept(bob)
    presence_server.wait(call.call_id, f"{bob.user} confirmed")
    lasting = [int(r.header("Expires")) for r, user, d in presence_server.published(call.call_id) if state_of(d) == "confirmed" and user == bob.user]
    assert lasting and min(lasting) > 26
    caller.bye()
    presence_server.wait(call.call_id, f"{alice.user} terminated", f"{bob.user} terminated")
    assert f"{alice.user} early" not in presence_server.told(call.call_id)


def test_who_the_parties_are_may_stand_in_variables(eager, presence_server):
    alice, bob = eager.sip_user("alice"), eager.sip_user("bob")
    boss, desk = f"sip:boss@{eager.sip_domain}", f"sip:desk@{eager.sip_domain}"
    call = Call(alice, bob, headers={"X-Caller": f'"The Boss" <{boss}>', "X-Callee": desk})
    call.ring(bob)
    presence_server.wait(call.call_id, "boss confirmed", "desk early")
    shown = {user: dialog for _, user, dialog in presence_server.published(call.call_id)}
    assert set(shown) == {"boss", "desk"}
    identity = shown["desk"].find(f"{NS}remote/{NS}identity")
    assert (identity.text, identity.get("display")) == (boss, "The Boss")
    call.answer(bob, 480)
    call.failed()
    presence_server.wait(call.call_id, "boss terminated", "desk terminated")


def test_a_branch_may_be_shown_to_others_or_to_nobody(eager, presence_server):
    alice, bob = eager.sip_user("alice"), eager.sip_user("bob")
    call = Call(alice, bob, headers={"X-Shown": "group"})
    call.ring(bob)
    presence_server.wait(call.call_id, f"{alice.user} confirmed", "group early")
    caller, _ = call.accept(bob)
    caller.bye()
    presence_server.wait(call.call_id, f"{alice.user} terminated", "group terminated")
    assert f"{bob.user} early" not in presence_server.told(call.call_id)
    muted = Call(alice, bob, headers={"X-Shown": "muted"})
    muted.ring(bob)
    presence_server.wait(muted.call_id, f"{alice.user} confirmed")
    caller, _ = muted.accept(bob)
    caller.bye()
    presence_server.wait(muted.call_id, f"{alice.user} terminated")
    assert not [line for line in presence_server.told(muted.call_id) if "early" in line or line == f"{bob.user} confirmed"]


def test_a_hold_with_the_flag_is_not_published(eager, presence_server):
    alice, bob = eager.sip_user("alice"), eager.sip_user("bob")
    call = Call(alice, bob)
    call.ring(bob)
    caller, callee = call.accept(bob)
    presence_server.wait(call.call_id, f"{bob.user} confirmed")

    def held():
        return [rendering(dialog, "local") for _, user, dialog in presence_server.published(call.call_id) if user == bob.user]
    alice.answers["INVITE"] = 200
    callee.headers = lambda body, usual=callee.headers: {**usual(body), "X-Quiet": "yes"}
    assert callee.request("INVITE", sdp("sendonly")).status == 200
    del callee.headers
    assert callee.request("INVITE", sdp("sendrecv")).status == 200
    wait_until(lambda: f"bob to be heard: {held()}", lambda: "yes" in held())
    assert "no" not in held()
    assert callee.request("INVITE", sdp("sendonly")).status == 200
    wait_until(lambda: f"bob to hold: {held()}", lambda: "no" in held())
    caller.bye()
    presence_server.wait(call.call_id, f"{bob.user} terminated")


def test_presence_says_nothing_of_calls_where_that_is_switched_off(eager, presence_server):
    juliet = eager.xmpp_user()
    alice, bob = eager.sip_user("alice"), eager.sip_user("bob")
    juliet.presence(type="subscribe", to=jid(bob))
    subscription = presence_server.subscription(eager.uri_of(juliet.bare), bob.uri)
    assert presence_server.notify(subscription, pidf(bob.uri, note="at my desk")).status == 200
    seen_by(juliet, bob, lambda p: child(p, "status") == "at my desk")
    call = Call(alice, bob)
    call.ring(bob)
    caller, _ = call.accept(bob)
    presence_server.wait(call.call_id, f"{bob.user} confirmed")
    assert presence_server.notify(subscription, pidf(bob.uri, note="still here"), cseq=3).status == 200
    seen_by(juliet, bob, lambda p: child(p, "status") == "still here")
    caller.bye()
    presence_server.wait(call.call_id, f"{bob.user} terminated")
    assert not juliet.stanzas("presence", lambda p: talks(p) or child(p, "show") or "/call" in (p.get("from") or ""))
