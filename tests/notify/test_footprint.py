"""What `notify` costs: its own memory at rest, and nothing of the daemon's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.inbox import Inbox, destinations
from tests.rig.service_process import Service, plain_environment
from tests.rig.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1.5
"""How much memory of its own it may have at rest, as a multiple of what its imports take."""

_IMPORTS = """
import sys
from fleet_health.__main__ import NOT_NEEDED
sys.modules |= dict.fromkeys(NOT_NEEDED["notify"])
import fleet_health.cli.main
import fleet_health.cli.commands.notify
import fleet_health.notify.process
import fleet_health.notify.destinations.webhook
import fleet_health.service.logging
import fleet_health.config.loading
print(open("/proc/self/smaps_rollup").read())
"""


def own_kib(rollup: str) -> int:
    """Return how much memory a process has that no other one shares, in KiB."""
    return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB$", rollup, re.MULTILINE))


def python(program: str) -> str:
    """Run a program, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=plain_environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_at_rest_it_has_half_as_much_again_as_its_imports(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """With an open ledger and a destination that was sent a message, it needs at most 1.5 times its imports."""
    site = Site(tmp_path)
    with Inbox() as inbox:
        site.configure(destinations([("hook", inbox)], tmp_path))
        with Service(site, {}, "-m", "fleet_health", command="notify") as process:
            process.until_ready()
            words = ["notify", "test", "--config", str(site.config)]
            subprocess.run([sys.executable, "-m", "fleet_health", *words], env=plain_environment(), check=True)
            at_rest = own_kib(Path(f"/proc/{process.process.pid}/smaps_rollup").read_text())
    imports = own_kib(python(_IMPORTS))

    record_property("at_rest_kib", at_rest)
    record_property("imports_kib", imports)
    assert at_rest <= MOST * imports, f"{at_rest} KiB at rest, {imports} KiB of imports"


def test_the_daemon_imports_nothing_of_it() -> None:
    """Neither the daemon nor the commands that ask it import `notify`, network code or the database."""
    program = """
import sys
import fleet_health.cli.main, fleet_health.cli.commands.run, fleet_health.cli.commands.status
import fleet_health.daemon.composition
unwanted = ("fleet_health.notify", "urllib3", "sqlite3", "smtplib", "http.client", "apprise")
print([name for name in sys.modules if name.startswith(unwanted)])
"""

    assert python(program) == "[]\n"
