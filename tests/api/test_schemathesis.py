"""A tool that knows nothing of us reads the description, and finds no answer of the real service that breaks it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.api.routes import DESCRIPTION
from tests.rig.properties import times
from tests.rig.service_process import plain_environment
from tests.rig.tcp_bridge import TcpBridge

if TYPE_CHECKING:
    from tests.conftest import Site, StartService

ENDLESS = ("/changes", "/v1/notifications")
"""What has no end unless the client asks for one; tests of their own try these."""
NOT_ALL_IN_THE_SCHEMA = "positive_data_acceptance"
"""Whether a silence may be made also depends on the time, and on what is open and silenced."""


def test_schemathesis_finds_nothing(site: Site, start_service: StartService, tmp_path: Path) -> None:
    """It tries each operation with boundary values, with random values, and in chains."""
    # On a busy machine an evaluation is soon overdue by a tick of 100 ms, and /healthz then responds with 503.
    site.configure('hosts.expected = ["absent"]', tick="1m")
    site.show_all_symptoms()
    site.sync_journal()
    document = json.loads(DESCRIPTION.read_bytes())
    for path in ENDLESS:
        del document["paths"][path]
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(document))

    with start_service(site) as service, TcpBridge(site.directory / "control.sock") as bridge:
        service.until(lambda: len(site.alerted()) == len(site.EVERY_ALERT), "the alerts")
        words = ["--url", bridge.url, "--exclude-checks", NOT_ALL_IN_THE_SCHEMA, "--max-examples", str(times(40))]
        done = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run", description, *words, "--seed", "1", "--no-color"],
            env=plain_environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout
    assert f"Tested: {len(document['paths']) + 1}" in done.stdout  # one path has two operations
