"""Whether the alert log, with what it was rotated to, holds what the rules say: every alert, once in its hour."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.rig.patience import Patience
from tests.rig.site import iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.crash.disturbed_site import DisturbedSite


def this_hour() -> str:
    """Name the present hour, as the beginning of `detected_at_wall` does."""
    return datetime.now(UTC).isoformat()[:13]


def hour_of(at_us: int) -> str:
    """Name the hour of an instant, likewise."""
    return iso(at_us)[:13]


def settle(site: DisturbedSite, expected: frozenset[tuple[str, str]]) -> str:
    """Let the service run until every alert of one hour is there, or patience ends; return that hour."""
    patience = Patience()
    while True:
        hour = this_hour()
        site.service.until_evaluated_anew()
        rows, _ = _read_alert_logs(site.directory)
        there = {(row["host"], row["symptom"]) for row in rows if row["detected_at_wall"].startswith(hour)}
        if expected <= there or not patience.is_left:
            return hour


def evaluate(
    site: DisturbedSite, expected: frozenset[tuple[str, str]], *, first_hour: str, settled_hour: str
) -> Iterator[str]:
    """Return what is wrong: all that is expected must be there in the hour of settling, and nothing else ever."""
    rows, unreadable = _read_alert_logs(site.directory)
    times = Counter(
        (row["host"], row["symptom"], row["detected_at_wall"][:13]) for row in rows if not row.get("status")
    )
    for row in rows:
        if row.get("status"):  # all that is wrong stays so to the end
            yield f"falsely {row['status']}: {row['host']} {row['symptom']} at {row['detected_at_wall']}"
    for host, symptom in sorted(expected):
        if not times[host, symptom, settled_hour]:
            yield f"lost: {host} {symptom} in {settled_hour}"
    for (host, symptom, hour), count in sorted(times.items()):
        if count > 1:
            yield f"{count} times: {host} {symptom} in {hour}"
        if (host, symptom) not in expected:
            yield f"wrong: {host} {symptom} in {hour}"
        if not first_hour <= hour <= this_hour():
            yield f"in no hour of this round: {host} {symptom} in {hour}"
    # A kill tears a line by itself when it comes in the middle of a write of more than a page.
    if unreadable > site.torn + site.kills:
        yield f"{unreadable} lines are no rows; {site.torn} were torn, and there were {site.kills} kills"


def _read_alert_logs(directory: Path) -> tuple[list[dict[str, str]], int]:
    """Read the alert log and what it was rotated to; return the rows, and how many lines are none."""
    rows, unreadable = [], 0
    for file in directory.glob("alerts.jsonl*"):
        data = file.read_bytes()
        for line in (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                unreadable += 1
    return rows, unreadable
