"""The ways in which a SIP user can watch an XMPP user, each a change of the example."""

import re

from . import example
from .gateway import Pair


def local(text):
    """The example in local mode, as its comments say: without pua_xmpp_req_winfo()."""
    text, modes = re.subn(r'^# (modparam\("xmpp_gateway", "presence_mode", "local"\))', r"\1", text, flags=re.MULTILINE)
    text, questions = re.subn(r"^ *if .*pua_xmpp_req_winfo\(.*\n", "", text, flags=re.MULTILINE)
    # Nobody publishes for an XMPP user, not even the gateway.
    text, publishers = re.subn(r'(\$rd == "[^"]+") && !isflagset\([^)]*\)(\) {\s+t_reply)', r"\1\2", text, count=1)
    assert (modes, questions, publishers) == (1, 1, 1)
    return text


# presence_mode pua and local, and the gateway as notifier.
DOORS = {"pua": lambda text: text, "local": local, "notifier": example.as_notifier}


def by_each_door(pairs, edit=lambda text: text, doors=DOORS):
    """These pairs by each door; `edit` changes the example further. A pair has its `door`."""
    return [through(pair, door, edit) for pair in pairs for door in doors]


def through(pair, door, edit):
    def host(folder, **options):
        return pair.host(folder, edit=lambda text: edit(DOORS[door](text)), **options)
    through = Pair(f"{pair.name}+{door}", host, pair.server, pair.missing)
    through.door = door
    return through


def with_parameter(name, value):
    """A function that gives an example a parameter that it does not have; text in quotes."""
    def edit(text):
        start = text.index('modparam("xmpp_gateway", ')
        return f'{text[:start]}modparam("xmpp_gateway", "{name}", {value})\n{text[start:]}'
    return edit
