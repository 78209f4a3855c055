"""A simulated fleet and its receiver: what they leave behind in a real index and journal, and the truth of it."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from fleet_health.demo.journal import RECEIVER_UNIT
from fleet_health.sources.journal.system_messages import DROPPED_ID
from tests.bench.data import write_journal
from tests.rig.site import index_row
from tests.simulation.causes import KINDS, SAID, STOPPED, Attempt, changes, draw_causes, retirements
from tests.simulation.rhythms import DAY, MINUTE, RHYTHMS, SECOND, SimulatedHost, Span, draw_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.simulation.causes import Cause

END = int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()) * SECOND
"""When every simulation ends: a month in which the clocks are put back."""

_STARTED_ID, _STOPPED_ID = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"
# An upload takes some time, and its row comes shortly before its line.
_ROW_AFTER, _ENTRY_AFTER = 200_000, 250_000
_BOOT_ID = "4f1d0c7b9a3e4d52a6f08c1e7b25d964"
# So often a healthy upload is refused for a reason of its own, and so often a row comes twice.
_BAD_UPLOAD, _DUPLICATE = 0.003, 0.003


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a simulated fleet is made of.

    Attributes:
        hosts: Kind of rhythm -> how many hosts have it.
        causes: The kinds of causes, each as often as it is named.
        renamed: How many hosts of a steady rhythm come back under another name.
        history_days: For how many days before the stretch that is evaluated the index goes back.

    """

    hosts: dict[str, int]
    causes: tuple[str, ...]
    renamed: int = 0
    history_days: int = 1


_OF_RECEIVER = tuple(name for name, kind in KINDS.items() if kind.scope != "host")

STEADY = Scenario({"steady": 16, "two workers": 4}, _OF_RECEIVER)
"""Hosts that upload every 2 to 10 minutes, and all that can befall a receiver."""

SMALL = Scenario(
    {"steady": 8}, ("dead", "refused", "unstamped", "receiver stopped", "index not written", "all answers 5xx")
)
"""A few of them for a few days."""

MIXED = Scenario(
    {
        "steady": 14,
        "two workers": 4,
        "bursts": 8,
        "hourly": 8,
        "nightly": 6,
        "office hours": 6,
        "holidays": 3,
        "weekly": 3,
        "joined": 3,
        "retired": 2,
        "changed": 2,
    },
    tuple(name for name, kind in KINDS.items() for _ in range(4 if kind.scope == "host" else 1)),
    renamed=1,
)
"""Hosts of every kind, and everything that can go wrong."""

KNOWN = replace(MIXED, history_days=29)
"""The same with an index of four weeks before, as it is where `cadence = "learned"` is switched on."""

SMALL_MIXED = Scenario(
    {"steady": 3, "bursts": 2, "hourly": 2, "nightly": 2, "office hours": 1, "weekly": 1},
    (
        *("dead", "uploader stopped", "refused, with retries", "receiver stopped"),
        *("one worker of two unstamped", "half refused", "rate halved"),
    ),
    history_days=29,
)
"""A few hosts of several kinds for a few days, and the weeks before."""

SCENARIOS = {"steady": STEADY, "small": SMALL, "mixed": MIXED, "known": KNOWN, "small mixed": SMALL_MIXED}


@dataclass(frozen=True, slots=True)
class World:
    """A simulated past.

    Attributes:
        span: The stretch of it that is evaluated; it begins a day or more before.
        hosts: The fleet.
        causes: What went wrong.
        attempts: What became of each attempt to upload, in order.

    """

    span: Span
    hosts: tuple[SimulatedHost, ...]
    causes: tuple[Cause, ...]
    attempts: tuple[Attempt, ...]
    _accepted: dict[str, list[int]] = field(default_factory=dict, compare=False)
    _refused: dict[str, list[int]] = field(default_factory=dict, compare=False)

    def accepted(self, host: str) -> list[int]:
        """Return when uploads of a host were accepted, in order."""
        if not self._accepted:
            for attempt in self.attempts:
                if attempt.status == 201:
                    self._accepted.setdefault(attempt.host, []).append(attempt.at)
        return self._accepted.get(host, [])

    def refused(self, host: str, span: Span) -> int:
        """Count the refused attempts of a host in a stretch of time."""
        if not self._refused:
            for attempt in self.attempts:
                if attempt.status != 201:
                    self._refused.setdefault(attempt.host, []).append(attempt.at)
        refused = self._refused.get(host, [])
        return bisect_left(refused, span.end) - bisect_left(refused, span.begin)

    def is_due(self, host: str, span: Span) -> bool:
        """Return whether a host would upload in a stretch of time if nothing were wrong."""
        attempts = next(one.attempts for one in self.hosts if one.name == host)
        return bisect_left(attempts, span.end) > bisect_left(attempts, span.begin)

    def upload_after(self, host: str, at: int) -> int:
        """Return the first accepted upload of a host after an instant; the end of the world if there is none."""
        accepted = self.accepted(host)
        place = bisect_right(accepted, at)
        return accepted[place] if place < len(accepted) else self.span.end

    def kind_of(self, name: str) -> str:
        """Return the kind of a host's rhythm; `-` for the receiver."""
        return next((host.kind for host in self.hosts if host.name == name), "-")


def make_world(seed: int, scenario: Scenario, days: int) -> World:
    """Make the world of a seed: the same for the same arguments."""
    random = Random(f"{seed}/{days}/{sorted(scenario.hosts.items())}")  # noqa: S311 - nothing is secret here
    span = Span(END - days * DAY, END)
    whole = Span(span.begin - scenario.history_days * DAY, span.end)
    hosts = tuple(_draw_hosts(random, scenario, whole))
    causes = (*draw_causes(random, scenario.causes, hosts, span), *retirements(hosts, span), *changes(hosts, span))
    return World(span, hosts, causes, tuple(_attempts(random, hosts, causes)))


def _draw_hosts(random: Random, scenario: Scenario, span: Span) -> Iterator[SimulatedHost]:
    for kind, count in scenario.hosts.items():
        for number in range(1, count + 1):
            yield draw_host(random, kind, f"{kind.replace(' ', '-')}-{number:02}", span)
    for number in range(1, scenario.renamed + 1):
        change = int(span.begin + (span.end - span.begin) * random.uniform(0.4, 0.7))
        for name, life in (("before", Span(span.begin, change)), ("after", Span(change, span.end))):
            attempts = tuple(RHYTHMS["steady"](random, life))
            yield SimulatedHost(f"renamed-{name}-{number:02}", "renamed", attempts, life)


def _attempts(random: Random, hosts: Sequence[SimulatedHost], causes: Sequence[Cause]) -> list[Attempt]:
    """Let each host try to upload, and whatever goes wrong change it."""
    made: list[Attempt] = []
    for host in hosts:
        of_host = [cause for cause in causes if host.name in cause.hosts]
        for at in host.attempts:
            attempt = Attempt(host.name, at)
            if random.random() < _BAD_UPLOAD:
                attempt.status = 422
            elif random.random() < _DUPLICATE:
                attempt.rows = 2
            made.append(attempt)
            for cause in of_host:
                if cause.span.holds(at) and attempt.status is not None:
                    made += cause.change(attempt)
    return sorted((one for one in made if one.status is not None), key=lambda one: one.at)


def write(world: World, directory: Path) -> None:
    """Write the index and the journal of a world into a directory."""
    (directory / "index.jsonl").write_bytes(b"".join(_rows(world.attempts)))
    late = [one for one in world.attempts if one.at >= world.span.begin - DAY]
    entries = sorted(chain(_lines(late), _of_systemd(world), _of_journald(world)))
    write_journal(directory / "journal" / "receiver.journal", (entry for _, _, entry in entries))


def _rows(attempts: Iterable[Attempt]) -> Iterator[bytes]:
    for one in attempts:
        if one.has_row and one.status == 201:
            yield index_row(one.host, (one.at if one.row_at is None else one.row_at) + _ROW_AFTER) * one.rows


_Entry = tuple[int, int, bytes]
"""When it was logged, its place among those of the same instant, and the entry in the Journal Export Format."""


def _lines(attempts: Iterable[Attempt]) -> Iterator[_Entry]:
    origin = {"_SYSTEMD_UNIT": RECEIVER_UNIT, "_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "uvicorn"}
    for number, one in enumerate(attempts):
        if not one.has_entry:
            continue
        at = one.at + _ENTRY_AFTER
        if one.is_unstamped:
            line = f"WARNING: rejected upload: missing X-Cis490-Code-Commit host={one.host}, episode=e{number}"
            yield at, 0, _entry(at, line, origin)
        line = f'INFO:     10.3.0.7:51234 - "PUT /v1/episodes/{one.host}/e{number} HTTP/1.1" {one.status}'
        yield at, 1, _entry(at, line, origin)


def _of_systemd(world: World) -> Iterator[_Entry]:
    begin = world.span.begin - DAY
    said = [(begin - MINUTE, _STARTED_ID)]
    for cause in world.causes:
        if cause.kind == STOPPED:
            said += [(cause.span.begin, _STOPPED_ID), (cause.span.end, _STARTED_ID)]
    for at, message_id in said:
        fields = {"_PID": "1", "_SYSTEMD_UNIT": "init.scope", "UNIT": RECEIVER_UNIT, "MESSAGE_ID": message_id}
        yield at, 2, _entry(at, "systemd says so", fields)


def _of_journald(world: World) -> Iterator[_Entry]:
    """Say again and again what was dropped, as journald does while it goes on."""
    for cause in world.causes:
        if cause.kind == SAID:
            for at in (*range(cause.span.begin + MINUTE, cause.span.end, MINUTE), cause.span.end):
                fields = {"_TRANSPORT": "driver", "_SYSTEMD_UNIT": "systemd-journald.service", "MESSAGE_ID": DROPPED_ID}
                yield at, 3, _entry(at, f"Suppressed 50 messages from {RECEIVER_UNIT}", fields)


def _entry(at: int, message: str, fields: dict[str, str]) -> bytes:
    lines = [f"__REALTIME_TIMESTAMP={at}", f"__MONOTONIC_TIMESTAMP={at}", f"_BOOT_ID={_BOOT_ID}"]
    lines += [f"{name}={value}" for name, value in fields.items()]
    return "\n".join([*lines, f"MESSAGE={message}", "", ""]).encode()


def configuration(directory: Path, text: str = "") -> str:
    """Return the configuration of who watches that directory."""
    paths = {
        "index.path": directory / "index.jsonl",
        "journal.directory": directory / "journal",
        "alerts.path": directory / "alerts.jsonl",
        "state.directory": directory / "state",
        "control.path": directory / "control.sock",
    }
    return "".join(f"{key} = {json.dumps(str(path))}\n" for key, path in paths.items()) + text
