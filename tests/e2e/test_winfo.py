"""Who watches an XMPP user, as a presence server elsewhere tells it (RFC 3858): documents in order, out of order, and missed ones."""

import itertools

import pytest
from support.gateway import pairs
from support.notifier import Notifier
from support.notifier import watcherinfo

PAIRS = [p for p in pairs() if p.name.endswith("+prosody")]
NOTIFIER = Notifier
NUMBERS = itertools.count(2)


class Watchers:
    """The gateway's subscription to the watchers of an XMPP user."""

    def __init__(self, gateway, notifier):
        self.domain, self.notifier = gateway.sip_domain, notifier
        self.juliet = gateway.xmpp_user(accept=None)
        gateway.sip_user().subscribe(gateway.uri_of(self.juliet.bare))
        self.subscribe = self.requested("the subscription to watchers", lambda r: not r.tag("To"))

    def requested(self, what, condition):
        return self.notifier.expect("SUBSCRIBE", what, lambda r: r.header("Event") == "presence.winfo"
                                    and r.uri_of("To") == f"sip:{self.juliet.bare}" and condition(r))

    def told(self, version, state, *watchers):
        """A document goes out, with these as (name, status, event)."""
        body = watcherinfo(self.juliet.bare, version, state, *((self.uri(name), status, event) for name, status, event in watchers))
        answer = self.notifier.notify_winfo(self.subscribe, body, cseq=next(NUMBERS))
        assert answer.status == 200

    def uri(self, name):
        return f"sip:{name}@{self.domain}"

    def prompt(self, name):
        return self.juliet.expect_presence(self.uri(name)[4:], "subscribe")

    def prompts(self):
        return [p.get("from").split("@")[0] for p in self.juliet.stanzas("presence", lambda p: p.get("type") == "subscribe")]


@pytest.fixture
def watchers(gateway, notifier):
    return Watchers(gateway, notifier)


def test_who_waits_is_asked_for_once(watchers):
    watchers.told(0, "full", ("ann", "pending", "subscribe"), ("ben", "active", "approved"), ("cat", "waiting", "timeout"))
    watchers.told(1, "partial", ("ann", "waiting", "timeout"))
    watchers.told(2, "full", ("ann", "pending", "subscribe"), ("dan", "pending", "subscribe"))
    watchers.prompt("dan")
    assert watchers.prompts() == ["ann", "cat", "dan"]


def test_a_document_that_comes_late_is_not_read(watchers):
    watchers.told(0, "full")
    watchers.told(2, "full", ("ann", "pending", "subscribe"))
    watchers.told(1, "partial", ("ben", "pending", "subscribe"))
    watchers.told(3, "partial", ("cat", "pending", "subscribe"))
    watchers.prompt("cat")
    assert watchers.prompts() == ["ann", "cat"]


def test_after_a_document_that_was_missed_all_watchers_are_asked_for(watchers):
    watchers.told(0, "full")
    watchers.told(2, "partial", ("ann", "pending", "subscribe"))
    refresh = watchers.requested("a refresh", lambda r: r.tag("To"))
    assert refresh.header("Call-ID") == watchers.subscribe.header("Call-ID") and int(refresh.header("Expires")) > 0
    watchers.told(3, "full", ("ann", "pending", "subscribe"), ("ben", "pending", "subscribe"))
    watchers.prompt("ben")
    assert watchers.prompts() == ["ann", "ben"]
