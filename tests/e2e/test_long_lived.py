"""What holds when the first minute is over: a dialog is known by more than its SUBSCRIBE being on the way (32 s, Timer F)."""

import time

from support.process import wait_until

TIMER_F = 32


def test_the_gateway_still_hears_who_watches(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    time.sleep(TIMER_F + 3)
    before = len(gateway.host.log())
    subscription.end()
    wait_until("the last NOTIFY", lambda: subscription.notifies()[-1].header("Subscription-State").startswith("terminated"))
    time.sleep(0.5)
    assert "outside a known dialog" not in gateway.host.log()[before:]
