"""The metrics of `notify`: how each destination stands, as Prometheus reads it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from fleet_health.config.loading import load
from fleet_health.notify.ledger.standing import Standing
from fleet_health.notify.metrics import FAMILIES, metrics
from fleet_health.notify.overview import Overview, Row
from tests.rig.exposition_readers import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DoWithout

SECOND = 1_000_000
NOW = 1_795_460_100 * SECOND


def overview(directory: Path) -> Overview:
    """Return how a destination stands that works, and one that does not."""
    (directory / "config.toml").write_text(
        '[[destinations]]\nname = "phone"\ntype = "ntfy"\ntopic = "a"\n'
        '[[destinations]]\nname = "desk"\ntype = "ntfy"\ntopic = "b"\n'
    )
    phone, desk = load(directory / "config.toml").destinations
    works = Standing("phone", NOW, "", NOW - SECOND, None, "", None, 0)
    fails = Standing("desk", NOW, "", None, NOW, "refused", NOW, 3, 2, NOW - 60 * SECOND)
    rows = [Row(phone, works, calls={"taken": 4, "failed": 1}), Row(desk, fails, "refused")]
    return Overview(NOW, NOW - 5 * SECOND, ["a problem"], rows)


def test_what_there_is(tmp_path: Path) -> None:
    """A value that is not known is missing, and a count of what has not happened is 0."""
    text = metrics(overview(tmp_path)).decode()
    found: dict[tuple[str, str | None, str | None], float] = {}
    for sample in (sample for family in read_text(text) for sample in family.samples):
        name, labels = sample.name.removeprefix("fleet_health_notify_"), sample.labels
        found[name, labels.get("destination"), labels.get("outcome")] = sample.value
    calls = {(destination, outcome): count for (name, destination, outcome), count in found.items() if outcome}

    assert found["reported_timestamp_seconds", None, None] == 1_795_460_100
    assert found["last_evaluation_timestamp_seconds", None, None] == 1_795_460_095
    assert found["problems", None, None] == 1
    assert (found["destination_up", "phone", None], found["destination_up", "desk", None]) == (1, 0)
    assert found["last_success_timestamp_seconds", "phone", None] == 1_795_460_099
    assert ("last_success_timestamp_seconds", "desk", None) not in found
    assert (found["waiting", "phone", None], found["waiting", "desk", None]) == (0, 2)
    assert found["waiting_since_timestamp_seconds", "desk", None] == 1_795_460_040
    assert len(calls) == 8
    assert {key: count for key, count in calls.items() if count} == {("phone", "taken"): 4, ("phone", "failed"): 1}
    assert (found["dropped_total", "phone", None], found["dropped_total", "desk", None]) == (0, 3)
    assert {family.name for family in FAMILIES} == {f"fleet_health_notify_{name}" for name, _, _ in found}


def test_promtool_finds_nothing(tmp_path: Path, do_without: DoWithout) -> None:
    """Promtool reports no problem in the metrics."""
    try:
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=metrics(overview(tmp_path)), capture_output=True, check=False
        )
    except FileNotFoundError:
        do_without("promtool is missing; install prometheus")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
