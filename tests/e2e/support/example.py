"""The files under cfg-examples, as an operator would adapt them: only the values at their head are replaced."""

import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def path(*parts):
    return os.path.join(ROOT, "cfg-examples", *parts)


def substituted(text, values, pattern):
    """Replaces the value of each named setting; `pattern` finds it: group 1 before it, group 2 after it."""
    for name, value in values.items():
        text, count = re.subn(pattern.format(name=re.escape(name)), lambda m: m.group(1) + str(value) + m.group(2), text,
                              flags=re.MULTILINE)
        if count != 1:
            raise AssertionError(f"the example sets {name} {count} times, not once")
    return text


def replaced(text, values):
    """Replaces each literal value that an operator would; every one has to be there."""
    for old, new in values.items():
        if old not in text:
            raise AssertionError(f"the example does not hold {old!r} any more")
        text = text.replace(old, str(new))
    return text


def read(*parts):
    with open(path(*parts), encoding="utf-8") as file:
        return file.read()


def write(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, name)
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)
    return target


def as_notifier(text):
    """An example in which the gateway is the notifier of XMPP users: the lines that say so are no comment any more."""
    before, marker, after = text.partition("is the notifier of XMPP users itself:\n")
    if not marker:
        raise AssertionError("the example does not show the gateway as notifier any more")
    block, empty, rest = after.partition("\n\n")
    return before + marker + re.sub(r"^( *)(?:#|--) ", r"\1", block, flags=re.MULTILINE) + empty + rest


def with_queue(size=1000, ttl=300):
    """A function that gives an example these two parameters."""
    line = 'modparam("xmpp_gateway", "{}", {})'

    def edit(text):
        return replaced(text, {line.format("queue_size", 1000): line.format("queue_size", size),
                               line.format("queue_ttl", 300): line.format("queue_ttl", ttl)})
    # Parameters stand in the configuration, also where a script in Lua runs.
    edit.changes_parameters = True
    return edit


def with_calls(mode="local", *parameters, event="presence_dialoginfo"):
    """A function that makes an example show calls: the lines that say so are no comment any more. `parameters` are further ones of the
    gateway, as (name, value). Lamps are served by the module presence_dialoginfo or, where `event` is "dialog_event", by the gateway."""
    shown = r'loadmodule "(?:dialog|presence_dialoginfo)\.so"|modparam\("(?:xmpp_gateway", "dialog_mode|presence", "bla_fix_remote_target)"|if .*(?:dlg_manage|dialoginfo_set)\('

    def edit(text):
        text, count = re.subn(rf"^( *)(?:#|--) ({shown})", r"\1\2", text, flags=re.MULTILINE)
        if count not in (4, 5):
            raise AssertionError(f"the example has {count} lines that show calls, not 4 or 5")
        line = f'modparam("xmpp_gateway", "dialog_mode", "{mode}")\n'
        further = "".join(f'modparam("xmpp_gateway", "{name}", {value})\n' for name, value in parameters)
        text = replaced(text, {'modparam("xmpp_gateway", "dialog_mode", "local")\n': line + further})
        if event == "dialog_event":
            own = 'modparam("xmpp_gateway", "dialog_event", 1)'
            text = replaced(text, {'loadmodule "presence_dialoginfo.so"\n': "", f"# {own}\n": f"{own}\n"})
        return text
    edit.changes_parameters = True
    return edit
