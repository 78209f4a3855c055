"""What is written in a round for the service to read, and what the rules say of it, whatever the instants of the ticks.

Every condition, once it holds, holds to the end, and none is near a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random

MIN_COUNT = 3
LIMITS = f"""
# An end would be a row of its own; here none is true.
alerts.resolved = true
detectors.fatal-only.min_count = {MIN_COUNT}
detectors.unstamped.min_count = {MIN_COUNT}
# What happens here by chance would now and then be the receiver's fault.
receiver.enabled = false
detectors.index-stalled.enabled = false
detectors.journal-lossy.enabled = false
detectors.blind.enabled = false
"""
"""The configuration that the workload is made for; what it does not name is as by default."""
SILENT_FOR = 55
"""Minutes: more than the limit of 30, also without the 20 by which the clock is behind, or that it then leaves out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the index; one that is written in two pieces, `pause` seconds apart, if that is more than 0."""

    host: str
    minutes_ago: float
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal: an answer with a status, or with None a warning of an unstamped upload."""

    host: str
    status: int | None
    minutes_ago: float = 5.0


class Workload(NamedTuple):
    """All that is written, each source in its order; and the (host, symptom) that the rules find in it."""

    rows: list[Row]
    entries: list[Entry]
    expected: set[tuple[str, str]]


def draw_workload(random: Random) -> Workload:  # noqa: C901 - one loop for each kind of host
    """Draw one or two hosts of each kind, and what they do."""
    expected: set[tuple[str, str]] = set()
    # What keeps a host from ever showing a symptom must be there first, or it would depend on the tick.
    first_rows, rows = list[Row](), list[Row]()
    old_entries, first_entries, entries = list[Entry](), list[Entry](), list[Entry]()

    def hosts(kind: str, *symptoms: str) -> list[str]:
        names = [f"{kind}-{number}" for number in range(random.randint(1, 2))]
        expected.update((name, symptom) for name in names for symptom in symptoms)
        return names

    def row(host: str, earliest: float, latest: float) -> Row:
        return Row(host, random.uniform(earliest, latest), random.choice([0, 0, 0, 0.05, 0.3]))

    def refusals(host: str, count: int) -> list[Entry]:
        return [Entry(host, random.choice([400, 412, 500, 503])) for _ in range(count)]

    for host in hosts("well"):
        rows += [row(host, 0, 15) for _ in range(3)]
        first_entries += [Entry(host, 201), Entry(host, 200)]
    for host in hosts("quiet", "silent"):
        rows += [row(host, SILENT_FOR, 600) for _ in range(random.randint(1, 3))]
    for host in hosts("disorderly"):
        first_rows.append(row(host, 0, 15))
        rows.append(row(host, 40, 600))
    for host in hosts("long-gone"):
        rows.append(row(host, 25 * 60, 50 * 60))
    for host in hosts("ahead"):
        first_rows.append(row(host, -600, -20))
        rows.append(row(host, 40, 50))
    for host in hosts("refused", "fatal-only"):
        entries += refusals(host, random.randint(MIN_COUNT, 6))
    for host in hosts("seldom"):
        entries += refusals(host, MIN_COUNT - 1)
        # So old that a clock which is 20 min behind does not bring them into the window, where nothing contradicts it.
        old_entries += [replace(entry, minutes_ago=55) for entry in refusals(host, 4)]
    for host in hosts("lucky"):
        first_entries.append(Entry(host, 201))
        entries += refusals(host, 5)
    for host in hosts("unstamped", "unstamped"):
        entries += [Entry(host, None)] * random.randint(MIN_COUNT, 5)
    for host in hosts("dire", "silent", "fatal-only", "unstamped"):
        rows.append(row(host, SILENT_FOR, 600))
        entries += [*refusals(host, MIN_COUNT), *[Entry(host, None)] * MIN_COUNT]
    random.shuffle(rows)
    random.shuffle(entries)
    # The entries in the order of their times, as a journal is.
    return Workload(first_rows + rows, old_entries + first_entries + entries, expected)
