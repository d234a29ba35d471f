"""The SIP hosts under AddressSanitizer, for `make test-asan`: SANITIZER names the runtime, which is loaded ahead of a host that was not
built with it, and SANITIZER_REPORTS the folder where each process that errs leaves a report."""

import glob
import os

RUNTIME = os.environ.get("SANITIZER")
REPORTS = os.environ.get("SANITIZER_REPORTS")

# Leaks are not looked for: the hosts leave what they hold to the end of the process.
OPTIONS = ["detect_leaks=0", "detect_stack_use_after_return=1", "strict_string_checks=1", "abort_on_error=1", "handle_abort=1",
           "disable_coredump=1"]


def environment():
    """What a host is started with."""
    if not RUNTIME:
        return {}
    return {"LD_PRELOAD": RUNTIME, "ASAN_OPTIONS": ":".join([*OPTIONS, f"log_path={os.path.join(REPORTS, 'report')}"])}


def reports():
    """The reports so far, as (path, text)."""
    found = []
    for path in sorted(glob.glob(os.path.join(REPORTS, "report.*"))) if RUNTIME else []:
        with open(path, encoding="utf-8", errors="replace") as file:
            found.append((path, file.read()))
    return found
