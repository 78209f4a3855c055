"""What the demo makes of the alerts that it reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.alerts import EXPECTED, Alerts

if TYPE_CHECKING:
    from pathlib import Path


def row(host: str, symptom: str, key: str = "") -> dict[str, str]:
    """Make a row of the alert log with the keys that the demo reads."""
    return {"host": host, "symptom": symptom, "dedup_key": key or f"{host}{symptom}"}


def test_rows_are_read_once_and_only_when_complete(tmp_path: Path) -> None:
    """A row counts once its newline is written, and is returned only once."""
    alerts = Alerts(tmp_path / "alerts.jsonl")
    first, second = (json.dumps(row(host, "silent")) for host in ("a", "b"))

    assert alerts.read_new() == []
    alerts.path.write_text(f"{first}\n{second}")
    assert [row["host"] for row in alerts.read_new()] == ["a"]
    alerts.path.write_text(f"{first}\n{second}\n")
    assert [row["host"] for row in alerts.read_new()] == ["b"]
    assert alerts.read_new() == []


EXPECTED_ROWS = [row(host, symptom) for host, symptom in sorted(EXPECTED)]


@pytest.mark.parametrize(
    ("rows", "missing", "too_many"),
    [
        pytest.param(EXPECTED_ROWS, [], [], id="what should be there, is"),
        pytest.param(EXPECTED_ROWS[1:], ["pi-02 silent"], [], id="one is missing"),
        pytest.param([*EXPECTED_ROWS, row("pi-01", "silent")], [], ["pi-01 silent, unexpected"], id="one too many"),
        pytest.param([*EXPECTED_ROWS, EXPECTED_ROWS[0]], [], ["pi-02 silent, 2 times"], id="one twice"),
        pytest.param([*EXPECTED_ROWS, row("pi-02", "silent", "next hour")], [], [], id="one again in the next hour"),
    ],
)
def test_alerts_are_compared_with_what_should_come(
    rows: list[dict[str, str]], missing: list[str], too_many: list[str], tmp_path: Path
) -> None:
    """Each expected alert must occur once in an hour, and no other may."""
    alerts = Alerts(tmp_path / "alerts.jsonl", rows)

    assert (alerts.missing, alerts.too_many) == (missing, too_many)
