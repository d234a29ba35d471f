"""Every file under cfg-examples is loaded by its server, and the server serves."""

import os

import pytest
from support import ejabberd
from support import example
from support import prosody
from support.gateway import hosts
from support.gateway import lua_pair
from support.kamailio import Kamailio
from support.kamailio import missing as kamailio_missing
from support.sip import answers_options

HOSTS = [pytest.param(make, id=name, marks=[pytest.mark.skip(reason=missing)] if missing else []) for name, make, missing in hosts()]
LOADED = {"kamailio/xmpp_gateway.cfg", "kamailio/reception.cfg", "opensips/reception.cfg", "kamailio/xmpp_gateway.lua", "opensips/xmpp_gateway.cfg", "prosody/xmpp_gateway.cfg.lua",
          "ejabberd/ejabberd.yml"}


def test_no_example_is_left_out():
    root = example.path()
    found = {os.path.relpath(os.path.join(base, name), root) for base, _, names in os.walk(root) for name in names}
    assert found == LOADED


def serves(host):
    try:
        host.start()
        return answers_options(host.port)
    finally:
        host.stop()


@pytest.mark.parametrize("name", ["xmpp_gateway.cfg", "reception.cfg"])
@pytest.mark.parametrize("make", HOSTS)
def test_the_host_takes_its_examples(make, name, tmp_path):
    host = make(tmp_path, name=name)
    status, output = host.check_config()
    assert status == 0, output
    assert serves(host)


@pytest.mark.skipif(bool(kamailio_missing()), reason=str(kamailio_missing()))
def test_kamailio_takes_the_kemi_example(tmp_path):
    assert lua_pair().missing is None or "prosody" in lua_pair().missing
    assert serves(Kamailio(tmp_path, lua=True))


@pytest.mark.parametrize("server, missing", [(prosody.Prosody, prosody.missing()), (ejabberd.Ejabberd, ejabberd.missing())],
                         ids=["prosody", "ejabberd"])
def test_the_xmpp_server_takes_its_example(server, missing, tmp_path):
    if missing:
        pytest.skip(missing)
    started = server(tmp_path)
    try:
        started.start()
        started.register("juliet", "password")
    finally:
        started.stop()
