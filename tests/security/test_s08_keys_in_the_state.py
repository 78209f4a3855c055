"""S8: an alert is not repeated in its hour, though the alert log was rotated and compressed before a restart."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DoWithout, Service, Site, StartService


def every_row(site: Site) -> list[dict[str, Any]]:
    """Read the alert log and all that it was rotated to."""
    rows = []
    for file in sorted(site.directory.glob("alerts.jsonl*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        rows += [json.loads(line) for line in data.splitlines()]
    return rows


def state_of(site: Site) -> dict[str, Any]:
    """Read the saved state."""
    state: dict[str, Any] = json.loads((site.directory / "state" / "state.json").read_bytes())
    return state


def until_saved(service: Service, site: Site, count: int) -> None:
    """Wait until so many incidents are saved as alerted."""

    def is_saved() -> bool:
        if not (site.directory / "state" / "state.json").exists():
            return False
        return sum(one["last_notified_at"] is not None for one in state_of(site)["incidents"]["open"]) == count

    service.until(is_saved, "the state")


@pytest.mark.parametrize("saved", ["the keys", "only the instants of the alerts"])
@pytest.mark.fault("S8", rig="logrotate", says="two rotations with an alert between, and a restart, within the hour")
def test_S8_two_rotations_and_a_restart(
    saved: str, site: Site, start_service: StartService, do_without: DoWithout
) -> None:
    """No dedup key is in the log twice; nor with a state that an earlier release has saved."""
    if shutil.which("logrotate") is None:
        do_without("logrotate is not installed")
    configuration = site.directory / "logrotate.conf"
    configuration.write_text(f"{site.alerts} {{\n rotate 9\n compress\n delaycompress\n nodateext\n create\n}}\n")
    configuration.chmod(0o600)
    rotate: list[str | Path] = ["logrotate", "--force", "--state", site.directory / "logrotate.state", configuration]
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        until_saved(service, site, 3)
        subprocess.run(rotate, check=True)
        site.upload("quiet-too", minutes_ago=45)
        until_saved(service, site, 4)
        subprocess.run(rotate, check=True)
        service.stop(signal.SIGKILL)
    assert site.alerts.with_name("alerts.jsonl.2.gz").exists()
    if saved != "the keys":
        state = state_of(site)
        del state["incidents"]["dedup_keys"]
        (site.directory / "state" / "state.json").write_text(json.dumps(state))
    for _ in range(2):
        with start_service(site) as service:
            service.until_ready()
            service.until_evaluated_anew()
            service.stop(signal.SIGKILL)
    keys = [row["dedup_key"] for row in every_row(site)]

    assert len(keys) == 4
    assert len(set(keys)) == 4


@pytest.mark.fault("S8", rig="service", says="an alert that has ended, its row compressed, and a restart")
def test_S8_what_has_ended_and_comes_back(site: Site, start_service: StartService) -> None:
    """It is another incident, and is alerted once more; what is compressed then does not alert that one again."""
    site.configure('[detectors.silent]\nafter = "1s"')
    site.answer("comes", 201)
    site.sync_journal()
    site.upload("comes")
    with start_service(site) as service:
        until_saved(service, site, 1)
        service.do_until(lambda: site.upload("comes"), lambda: not state_of(site)["incidents"]["open"], "the end")
        service.stop(signal.SIGKILL)
    for number in (1, 2):
        site.alerts.with_name(f"alerts.jsonl.{number}.gz").write_bytes(gzip.compress(site.alerts.read_bytes()))
        site.alerts.unlink()
        with start_service(site) as service:
            service.until(lambda: state_of(site)["incidents"]["open"], "that it is back")
            service.until(lambda: len(every_row(site)) > 1, "its alert")
            service.until_evaluated_anew()
            service.until(lambda: state_of(site)["incidents"]["open"][0]["last_notified_at"], "the state")
            service.stop(signal.SIGKILL)
        site.alerts.touch()

    assert len(every_row(site)) == 2
