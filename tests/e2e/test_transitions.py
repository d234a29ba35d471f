"""What becomes of a subscription of an XMPP user (RFC 8048 §5.2, RFC 6665 §4.1). The SIP agent plays the notifier: it answers and says what a
presence server of the hosts would not, and each says only what it is told to."""

import time

import pytest
from support.notifier import Notifier
from support.process import wait_until
from support.sip import pidf
from support.xmpp import child

QUIET = 1.5


class Scripted(Notifier):
    """A notifier that answers the SUBSCRIBEs to a presentity one after the other as it is told, and the others with 200."""

    def __init__(self):
        super().__init__()
        self.script = {}
        # Call-IDs of dialogs that are over.
        self.ended = set()

    def accept(self, request):
        if request.tag("To") and request.header("Call-ID") in self.ended:
            self.respond(request, 481)
            return None
        answers = self.script.get(request.uri_of("To"))
        if not answers:
            return super().accept(request)
        self.proxy = request.source
        self.respond(request, *answers.pop(0))
        return None

    def subscribes(self, presentity):
        """What came for it, each request once; a refusal in a dialog has pua ask again outside of it."""
        return [r for r in self.requests_seen("SUBSCRIBE") if r.uri_of("To") == presentity]

    def wait_subscribes(self, presentity, number, timeout=10.0):
        wait_until(lambda: f"SUBSCRIBE number {number} to {presentity}: {self.subscribes(presentity)}",
                   lambda: len(self.subscribes(presentity)) >= number, timeout)
        return self.subscribes(presentity)[number - 1]


NOTIFIER = Scripted


class Scene:
    """juliet wants to see a SIP user."""

    def __init__(self, gateway, notifier, *answers):
        self.notifier = notifier
        self.juliet = gateway.xmpp_user()
        self.user = f"nobody-of-{self.juliet.bare.split('@')[0]}@{gateway.sip_domain}"
        self.presentity = f"sip:{self.user}"
        self.cseq = 1
        notifier.script[self.presentity] = list(answers)
        self.juliet.presence(type="subscribe", to=self.user)
        self.subscribe = notifier.subscription(f"sip:{self.juliet.bare}", self.presentity)

    def sees(self):
        self.notify(pidf(self.presentity, note="one"))
        self.juliet.expect_presence(self.user, "subscribed")
        self.juliet.expect_presence(self.user, condition=lambda p: child(p, "status") == "one")
        return self

    def notify(self, body=b"", state="active;expires=600", status=200, **parts):
        self.cseq += 1
        if state.startswith("terminated"):
            self.notifier.ended.add(self.subscribe.header("Call-ID"))
        answer = self.notifier.notify(self.subscribe, body, state, **{"cseq": self.cseq, **parts})
        assert answer.status == status, answer

    def shown(self, type=None):
        return [p for p in self.juliet.stanzas("presence") if p.get("from").split("/")[0] == self.user and p.get("type") == type]

    def subscribes(self):
        return self.notifier.subscribes(self.presentity)

    def subscribes_again(self, timeout=10.0):
        """A SUBSCRIBE outside the dialog; takes the dialog that it makes."""
        before = self.subscribe.header("Call-ID")
        fresh = lambda: [r for r in self.subscribes() if not r.tag("To") and r.header("Call-ID") != before]  # noqa: E731
        wait_until(lambda: f"another subscription to {self.presentity}: {self.subscribes()}", fresh, timeout)
        self.subscribe = fresh()[-1]
        self.cseq = 1


@pytest.mark.parametrize("status", [403, 489, 603])
def test_a_refusal_ends_the_authorization(gateway, notifier, status):
    scene = Scene(gateway, notifier, (status,))
    scene.juliet.expect_presence(scene.user, "unsubscribed")
    time.sleep(QUIET)
    assert len(scene.subscribes()) == 1


def test_a_final_failure_comes_back_as_an_error(gateway, notifier):
    scene = Scene(gateway, notifier, (404, "Nobody Here"))
    error = scene.juliet.expect_presence(scene.user, "error")
    assert [e.tag.split("}")[1] for e in error.iter() if "stanzas" in e.tag][0] == "item-not-found"
    time.sleep(QUIET)
    assert len(scene.subscribes()) == 1


@pytest.mark.parametrize("answer", [(503, "Busy", "Retry-After: 2\r\n"), (481,), (500,), (480,)], ids=lambda answer: str(answer[0]))
def test_what_may_pass_is_tried_again_and_nothing_is_said(gateway, notifier, answer):
    scene = Scene(gateway, notifier, answer)
    scene.subscribes_again()
    assert not scene.shown("unsubscribed") and not scene.shown("error")
    scene.sees()


def test_a_lifetime_that_is_too_brief_is_asked_for_as_wanted(gateway, notifier):
    scene = Scene(gateway, notifier, (423, "Interval Too Brief", "Min-Expires: 7200\r\n"))
    scene.subscribes_again()
    # The hosts' pua adds a margin of its own.
    assert 7200 <= int(scene.subscribe.header("Expires")) <= 7260
    scene.sees()


@pytest.mark.parametrize("reason", ["deactivated", "timeout", "probation;retry-after=2", "giveup;retry-after=2", "made-up"])
def test_the_end_of_a_dialog_that_ends_no_authorization(gateway, notifier, reason):
    scene = Scene(gateway, notifier).sees()
    scene.notify(state=f"terminated;reason={reason}")
    scene.subscribes_again()
    assert not scene.shown("unsubscribed") and not scene.shown("unavailable")
    scene.notify(pidf(scene.presentity, note="two"))
    scene.juliet.expect_presence(scene.user, condition=lambda p: child(p, "status") == "two")
    assert len(scene.shown("subscribed")) == 1


def test_a_long_time_without_a_subscription_leaves_nobody_shown(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    scene.notify(state="terminated;reason=probation;retry-after=3600")
    scene.juliet.expect_presence(scene.user, "unavailable")
    assert not scene.shown("unsubscribed")


@pytest.mark.parametrize("reason", ["rejected", "noresource"])
def test_the_end_of_an_authorization(gateway, notifier, reason):
    scene = Scene(gateway, notifier).sees()
    scene.notify(state=f"terminated;reason={reason}")
    scene.juliet.expect_presence(scene.user, "unsubscribed")
    assert [p.get("from").split("/")[1] for p in scene.shown("unavailable")] == ["desk"]
    before = len(scene.subscribes())
    time.sleep(QUIET)
    assert len(scene.subscribes()) == before


def test_a_state_that_never_changes_stays(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    scene.notify(state="terminated;reason=invariant")
    before = len(scene.subscribes())
    time.sleep(2 * QUIET)
    assert len(scene.subscribes()) == before
    assert not scene.shown("unavailable") and not scene.shown("unsubscribed")
    shown = len(scene.shown())
    scene.juliet.presence(type="probe", to=scene.user)
    wait_until("the answer to a probe", lambda: len(scene.shown()) > shown)


def test_the_same_state_is_not_told_twice_and_an_older_one_never(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    before = len(scene.shown())
    scene.notify(pidf(scene.presentity, note="one"))
    scene.notify(pidf(scene.presentity, note="older"), cseq=1)
    scene.notify(pidf(scene.presentity, note="last"))
    scene.juliet.expect_presence(scene.user, condition=lambda p: child(p, "status") == "last")
    assert [child(p, "status") for p in scene.shown()[before:]] == ["last"]


def test_a_device_that_vanishes_is_unavailable_once(gateway, notifier):
    scene = Scene(gateway, notifier)
    tuples = [pidf(scene.presentity, tuple_id=f"ID-{name}") for name in ("desk", "sofa")]
    both = tuples[0].replace("</presence>", tuples[1][tuples[1].index("<tuple"):])
    scene.notify(both)
    wait_until("both devices", lambda: {p.get("from").split("/")[1] for p in scene.shown()} == {"desk", "sofa"})
    scene.notify(tuples[1])
    scene.notify(tuples[1])
    scene.juliet.expect_presence(scene.user, "unavailable")
    scene.notify(pidf(scene.presentity, tuple_id="ID-sofa", note="last"))
    scene.juliet.expect_presence(scene.user, condition=lambda p: child(p, "status") == "last")
    assert [p.get("from").split("/")[1] for p in scene.shown("unavailable")] == ["desk"]


def test_of_a_forked_subscribe_one_dialog_is_left(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    # The host's pua has it refused with 481, or the gateway drops it.
    notifier.notify(scene.subscribe, pidf(scene.presentity, note="of another"), tag="another-fork", cseq=1)
    scene.notify(pidf(scene.presentity, note="two"))
    scene.juliet.expect_presence(scene.user, condition=lambda p: child(p, "status") == "two")
    assert not [p for p in scene.shown() if child(p, "status") == "of another"]


def test_unsubscribe_is_confirmed_and_nothing_comes_back(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    scene.juliet.presence(type="unsubscribe", to=scene.user)
    # `unsubscribed` follows; a server keeps that from the client, as it knows it already (RFC 6121 section 3.2.3).
    scene.juliet.expect_presence(scene.user, "unavailable")
    notifier.ended.add(scene.subscribe.header("Call-ID"))
    before = len(scene.shown())
    # On their way when it ended. Whether the host's pua still knows the dialog, and takes them, is its own affair.
    for cseq in (3, 4):
        notifier.notify(scene.subscribe, pidf(scene.presentity, note=f"late {cseq}"), cseq=cseq)
    time.sleep(QUIET)
    assert len(scene.shown()) == before
    scene.juliet.presence(type="subscribe", to=scene.user)
    scene.subscribes_again(timeout=20)
    scene.notify(pidf(scene.presentity, note="again"))
    scene.juliet.expect_presence(scene.user, condition=lambda p: child(p, "status") == "again")


def test_a_contact_taken_out_of_the_roster_ends_both_ways(gateway, notifier):
    scene = Scene(gateway, notifier).sees()
    scene.juliet.raw(f"<iq type='set' id='r1'><query xmlns='jabber:iq:roster'><item jid='{scene.user}' subscription='remove'/></query></iq>")
    notifier.expect("SUBSCRIBE", "that ends it", lambda r: r.header("Call-ID") == scene.subscribe.header("Call-ID")
                    and r.tag("To") and r.header("Expires").startswith("0"))
