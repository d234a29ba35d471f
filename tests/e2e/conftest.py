"""Which servers each test runs with, and what is shown when one fails."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from support import process  # noqa: E402
from support import sanitizer  # noqa: E402
from support.gateway import Gateway  # noqa: E402
from support.gateway import pairs  # noqa: E402

PAIRS = pairs()


def parameters(found):
    return [pytest.param(p, id=p.name, marks=[pytest.mark.skip(reason=f"{p.name}: {p.missing}")] if p.missing else [])
            for p in found]


def pytest_generate_tests(metafunc):
    if "pair" in metafunc.fixturenames:
        chosen = getattr(metafunc.module, "PAIRS", PAIRS)
        metafunc.parametrize("pair", parameters(chosen), scope="module")


def pytest_collection_modifyitems(config, items):
    """Tests of one file with the same servers share these, so one runner has them all."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            callspec = getattr(item, "callspec", None)
            pair = callspec.params.get("pair") if callspec else None
            item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}-{pair.name if pair else ''}"))


@pytest.fixture(scope="module")
def notifier(request):
    """What stands where the gateway expects a presence server, in files that say so: an agent of the file's class NOTIFIER."""
    agent = request.module.NOTIFIER()
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def servers(request, pair, tmp_path_factory):
    """Both servers, started once for a file of tests."""
    notified = hasattr(request.module, "NOTIFIER")
    edit = {"edit": request.getfixturevalue("notifier").as_presence_server} if notified else {}
    gateway = Gateway(pair, tmp_path_factory.mktemp("gateway"), **edit)
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


@pytest.fixture
def gateway(servers):
    """The servers, with no user logged in; they have to outlive the test."""
    yield servers
    servers.log_out()
    assert servers.host.process.runs(), "the SIP server died"


@pytest.fixture(autouse=True)
def memory_is_sound():
    """Under AddressSanitizer, the test in which a host errs is the one that fails."""
    before = len(sanitizer.reports())
    yield
    assert not sanitizer.reports()[before:]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for running in process.RUNNING:
            report.sections.append((f"log of {running.name} ({running.log_path})", running.log()[-6000:]))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["crashes"] = process.CRASHES
    elif process.CRASHES and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Runners:
    """What the runners of xdist have to say at their end."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        process.CRASHES.extend(getattr(node, "workeroutput", {}).get("crashes", []))


def pytest_configure(config):
    config.pluginmanager.register(Runners())


def pytest_terminal_summary(terminalreporter):
    for crash in process.CRASHES:
        terminalreporter.write_line(f"crashed: {crash}", red=True)
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_line(f"failed once: {report.nodeid}: {report.longreprtext.splitlines()[-1][:200]}")
    skipped = [p for p in PAIRS if p.missing]
    ran = [p.name for p in PAIRS if not p.missing]
    terminalreporter.write_line("servers: " + (", ".join(ran) or "none"))
    for pair in skipped:
        terminalreporter.write_line(f"skipped: {pair.name}: {pair.missing}")
