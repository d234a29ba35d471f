"""A SIP host with the gateway and an XMPP server, joined; and users on both sides."""

import itertools

from . import opensips
from . import prosody
from .ejabberd import Ejabberd
from .ejabberd import missing as ejabberd_missing
from .kamailio import Kamailio
from .kamailio import missing as kamailio_missing
from .opensips import OpenSips
from .process import free_port
from .process import wait_until
from .prosody import Prosody
from .sip import SipAgent
from .sip import pidf
from .xmpp import XmppClient

PASSWORD = "password"
NUMBERS = itertools.count(1)


class Pair:
    """One combination of servers: `name` for reports, `missing` says why it cannot run here."""

    def __init__(self, name, host, server, missing):
        self.name = name
        self.host = host
        self.server = server
        self.missing = missing


def hosts():
    """Every SIP host that the tests know, as (name, function that makes one, why it cannot run)."""
    found = [("kamailio", Kamailio, kamailio_missing())]
    trees = opensips.trees()
    for tree in trees:
        found.append((f"opensips-{opensips.version(tree)}",
                      lambda folder, _tree=tree, **options: OpenSips(folder, _tree, **options), opensips.missing(tree)))
    if not trees:
        found.append(("opensips", None, "no OpenSIPS tree: OPENSIPS_SRC is not set, none in /usr/src and /usr/local/src"))
    return found


def every_pair():
    """Every SIP host with Prosody and with ejabberd."""
    return [Pair(f"{name}+{server}", host, make, missing or server_missing) for name, host, missing in hosts()
            for server, make, server_missing in (("prosody", Prosody, prosody.missing()), ("ejabberd", Ejabberd, ejabberd_missing()))]


def pairs():
    """Kamailio with Prosody and with ejabberd, and every OpenSIPS with Prosody."""
    return [pair for pair in every_pair() if pair.name.endswith("+prosody") or pair.name.startswith("kamailio")]


def lua_pair():
    """Kamailio, routed by the KEMI script, with Prosody."""
    return Pair("kamailio-lua+prosody", lambda folder, **options: Kamailio(folder, lua=True, **options), Prosody,
                kamailio_missing() or prosody.missing())


class Gateway:
    """Both servers of a pair. `host_options` go to the SIP host; `xmpp_secret` is what the XMPP server expects (the host
    has "secret"), `component` the domain it has for the gateway; `before_start` is given the XMPP server before anything is started,
    `after_start` before the SIP host is."""

    def __init__(self, pair, folder, xmpp_secret="secret", component="sip.example.com", start_server=True, before_start=None,
                 after_start=None, component_port=None, **host_options):
        self.component_port = component_port or free_port()
        self.server = pair.server(folder, sip_domain=component, component_port=self.component_port, secret=xmpp_secret)
        self.host = pair.host(folder, xmpp_port=self.component_port, **host_options)
        self.users = []
        if before_start:
            before_start(self.server)
        if start_server:
            self.server.start()
        if after_start:
            after_start(self.server)
        self.host.start()

    @property
    def sip_domain(self):
        return self.host.sip_domain

    def jid_of(self, agent):
        """The JID of a SIP agent."""
        return jid(agent)

    def uri_of(self, bare):
        """The SIP URI of an XMPP user."""
        return f"sip:{bare}"

    def sip_user(self, name="alice"):
        """A registered SIP user with a name not used before."""
        user = SipAgent(f"{name}{next(NUMBERS)}", self.sip_domain, self.host.port)
        self.users.append(user)
        return user.register()

    def second_phone(self, user, registers=True):
        """Another phone of a SIP user, registered unless it is not to be."""
        phone = SipAgent(user.user, self.sip_domain, self.host.port)
        # Answers of two phones have tags of their own.
        phone.own_tag = "second" + user.user
        self.users.append(phone)
        return phone.register() if registers else phone

    def account(self, name="juliet", domain=None):
        """The JID of a new account, of the server's first domain or another one."""
        return self.server.register(f"{name}{next(NUMBERS)}", PASSWORD, domain)

    def login(self, jid, resource="desk", accept="subscribed", presence=True, plugins=(), password=PASSWORD):
        client = XmppClient(jid, password, self.server.port, resource, accept, plugins)
        self.users.append(client)
        client.wait_online()
        if presence:
            client.presence()
            # The server reads in order: once this is answered, it knows that the user is there, and a message finds a client.
            client.ask(lambda slix: slix.get_roster())
        return client

    def xmpp_user(self, name="juliet", **options):
        """A new XMPP account, logged in."""
        return self.login(self.account(name), **options)

    def wait_connected(self, timeout=15.0):
        """Until the XMPP server has accepted the gateway: before that, what is sent to it waits."""
        self.host.process.wait_for_log("as its component", timeout)
        return self

    def sip_watches(self, watcher, contact):
        """A SIP user subscribes to an XMPP user who accepts; returns the subscription once presence has come."""
        subscription = watcher.subscribe(self.uri_of(contact.bare))
        contact.expect_presence(self.jid_of(watcher), "subscribe")
        subscription.wait_notify("an active subscription and a body", lambda n: is_active(n) and n.body)
        return subscription

    def xmpp_watches(self, watcher, contact, document=None):
        """An XMPP user subscribes to a SIP user who has published and lets everybody see it."""
        contact.publish(document or pidf(contact.uri))
        watcher.presence(type="subscribe", to=self.jid_of(contact))
        watcher.expect_presence(self.jid_of(contact), "subscribed")
        watcher.expect_presence(self.jid_of(contact))

    def log_out(self):
        for user in self.users:
            user.close()
        self.users = []

    def stop(self):
        self.log_out()
        self.host.stop()
        self.server.stop()


def jid(agent):
    """The JID of a SIP agent where addresses are the same on both sides."""
    return agent.uri.removeprefix("sip:")


def is_active(notify):
    return notify.header("Subscription-State").startswith("active")
