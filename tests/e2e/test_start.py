"""A wrong or missing parameter: the host refuses to start, and its log names parameter, value and what it takes."""

import re

import pytest
from support.gateway import hosts

HOSTS = [pytest.param(make, id=name, marks=[pytest.mark.skip(reason=missing)] if missing else []) for name, make, missing in hosts()]

WRONG = {
    "password missing": ("xmpp_password", None, ["xmpp_password"]),
    "password empty": ("xmpp_password", '""', ["xmpp_password"]),
    "backend unknown": ("backend", '"pigeon"', ["backend", "pigeon", "component"]),
    "backend server": ("backend", '"server"', ["backend", "server"]),
    "port too high": ("xmpp_port", "65536", ["xmpp_port", "65536"]),
    "port zero": ("xmpp_port", "0", ["xmpp_port", "0"]),
    "queue too large": ("queue_size", "65537", ["queue_size", "65537", "65536"]),
    "queue without time": ("queue_ttl", "0", ["queue_ttl", "0", "86400"]),
    "composition unknown": ("presence_composition", '"best"', ["presence_composition", "best", "most-available"]),
    "refused for too long": ("ask_again_interval", "2592001", ["ask_again_interval", "2592001", "2592000"]),
    "notify interval too long": ("notify_interval", "61", ["notify_interval", "61", "60"]),
    "nobody waits for ever": ("waiting_subs_daysno", "31", ["waiting_subs_daysno", "31", "30"]),
    "host with a bad port": ("xmpp_host", '"a.example:99999"', ["xmpp_host", "a.example:99999"]),
    "tls neither on nor off": ("xmpp_tls", '"yes"', ["xmpp_tls", "yes", "off"]),
    "tls without a ca": ("xmpp_tls", '"on"', ["xmpp_tls_ca"]),
    "component without a secret": ("xmpp_component", '"domain=b.example"', ["xmpp_component", "domain=b.example", "secret"]),
    "component twice": ("xmpp_component", '"domain=sip.example.com;secret=not-for-the-log"', ["xmpp_component", "sip.example.com", "once"]),
    "ping interval negative": ("ping_interval", "-1", ["ping_interval", "-1", "seconds"]),
    "ping timeout zero": ("ping_timeout", "0", ["ping_timeout", "seconds"]),
    "domain missing": ("xmpp_domain", None, ["xmpp_domain"]),
    "server address no uri": ("server_address", '"not a uri"', ["server_address", "not a uri"]),
    "map without equals": ("gwmap", '"sip.example"', ["gwmap", "sip.example"]),
    "two secrets": ("xmpp_password_file", '"/etc/passwd"', ["xmpp_password_file", "beside xmpp_password"]),
    "lamps neither on nor off": ("dialog_event", "2", ["dialog_event", "2", "1 (yes)"]),
    "profile of nobody": ("dialog_profile", '"dialogs=single"', ["dialog_profile", "dialogs=single", "user_agent=PATTERN"]),
    "order without a state": ("single_dialog_order", '"early,confirmed"', ["single_dialog_order", "early,confirmed", "each state once"]),
    "lamps for no time": ("default_expires", "0", ["default_expires", "0", "60 to 86400"]),
    "rate limit negative": ("rate_limit", "-1", ["rate_limit", "-1"]),
    "rate limit as text": ("rate_limit", '"20/200"', ["rate_limit", "20/200", "number"]),
    "domain limit too high": ("rate_limit_domain", "1000001", ["rate_limit_domain", "1000001"]),
    "allowed domain no domain": ("allow_domain", '"*"', ["allow_domain", "*", "*.example.org"]),
    "denied domain no domain": ("deny_domain", '"user@example.org"', ["deny_domain", "user@example.org"]),
}


def with_parameter(name, value):
    """The edit that gives a parameter this value, or takes it out."""
    def edit(text):
        text = re.sub(rf'^modparam\("xmpp_gateway", "{name}", .*\n', "", text, flags=re.MULTILINE)
        if value is not None:
            anchor = 'modparam("xmpp_gateway", '
            start = text.index(anchor)
            text = f'{text[:start]}modparam("xmpp_gateway", "{name}", {value})\n{text[start:]}'
        return text
    return edit


@pytest.mark.parametrize("make", HOSTS)
@pytest.mark.parametrize("name, value, said", WRONG.values(), ids=WRONG)
def test_the_host_refuses_to_start(make, tmp_path, name, value, said):
    host = make(tmp_path, edit=with_parameter(name, value))
    host.start(ready=False)
    try:
        assert host.process.wait_end(10) != 0
    finally:
        host.kill()
    lines = [line for line in host.log().splitlines() if all(word in line for word in said)]
    assert lines, host.log()[-3000:]
    assert "not-for-the-log" not in "".join(lines)


@pytest.mark.parametrize("make", HOSTS)
def test_what_does_nothing_says_so(make, tmp_path):
    """Calls are not shown in the example: what belongs to them has no effect."""
    host = make(tmp_path, edit=with_parameter("caller_confirmed", "1")).start()
    try:
        assert "parameter caller_confirmed has no effect: dialog_mode is" in host.log()
    finally:
        host.stop()


@pytest.mark.parametrize("make", [host for host in HOSTS if host.id.startswith("opensips")])
@pytest.mark.parametrize("name", ["include_req_uri", "send_publish_flag", "disable_caller_publish_flag", "disable_callee_publish_flag"])
def test_a_flag_of_kamailio_is_refused_elsewhere(make, tmp_path, name):
    host = make(tmp_path, edit=with_parameter(name, "5"))
    host.start(ready=False)
    try:
        assert host.process.wait_end(10) != 0
    finally:
        host.kill()
    assert f'parameter {name} is "5"; it takes nothing here' in host.log() and "dialoginfo_set()" in host.log()
