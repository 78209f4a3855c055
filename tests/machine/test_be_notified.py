"""What the README says about being notified works as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.machine.deployment import Service

README = Path(__file__).parents[2] / "README.md"
CONFIGURATION = "/etc/fleet-health/config.toml"


def test_the_readme_leads_to_a_message(disturbed_service: Service) -> None:
    """The secret is found and read by the service, and the message is sent; here to a port that nobody listens on."""
    _, _, section = README.read_text().partition("\n## Be notified\n")
    found = re.search(r"^```console\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found is not None
    *steps, test = [line.removeprefix("# ") for line in found[1].splitlines()]
    machine = disturbed_service.machine
    before = machine.path(CONFIGURATION).read_text()
    try:
        for step in steps:
            machine.run("bash", "-c", step)
            if CONFIGURATION in step:
                machine.run("bash", "-c", f"""echo 'server = "http://127.0.0.1:1"' >>{CONFIGURATION}""")
        sent = machine.run("bash", "-c", test, check=False)
        status = machine.run("systemctl", "show", "--property=StatusText", "fleet-health-notify").stdout

        assert sent.stdout == "phone: not delivered: http://127.0.0.1:1: connection refused\n"
        assert status.startswith("StatusText=1 destination")
    finally:
        machine.run("systemctl", "disable", "--now", "fleet-health-notify")
        machine.run("rm", "--force", "/etc/fleet-health/ntfy-topic")
        machine.write(CONFIGURATION, before)
