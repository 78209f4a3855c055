"""What happens to the service and its files while the workload is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.crash.workload import Entry, Row

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the service run for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the service when it has lived for so long; with None as soon as it has written an alert."""

    age: float | None


@dataclass(frozen=True, slots=True)
class Start:
    """Start the service again."""


@dataclass(frozen=True, slots=True)
class Tear:
    """Cut bytes off the end of the alert log, at most its last line: what a power cut leaves. Only while it is dead."""

    size: int


@dataclass(frozen=True, slots=True)
class RotateIndex:
    """Rename the index; the new one is created at once, or by the next row."""

    is_numbered: bool
    is_created: bool


@dataclass(frozen=True, slots=True)
class RotateJournal:
    """Begin another journal file; the one before is renamed, as journald does, or not."""

    is_renamed: bool


@dataclass(frozen=True, slots=True)
class RotateAlerts:
    """Rotate the alert log as logrotate does: by renaming, with `create` or without, or by `copytruncate`."""

    is_numbered: bool
    is_copied: bool
    is_created: bool


Rotation: TypeAlias = RotateIndex | RotateJournal | RotateAlerts
Step: TypeAlias = Row | Entry | Wait | Kill | Start | Tear | Rotation


def disturb(steps: list[Step], random: Random) -> None:
    """Put disturbances between the steps: at least three kills, and each kind of rotation in most rounds."""

    def insert(step: Step) -> None:
        steps.insert(random.randint(0, len(steps)), step)

    for _ in range(random.randint(0, 2)):
        insert(RotateIndex(random.random() < 0.5, random.random() < 0.5))
    for _ in range(random.randint(0, 2)):
        insert(RotateJournal(random.random() < 0.5))
    for _ in range(random.randint(1, 2)):
        insert(RotateAlerts(random.random() < 0.5, random.random() < 0.5, random.random() < 0.5))
    for _ in range(random.randint(1, 2)):
        insert(Wait(random.uniform(0.1, 0.6)))
    deaths = sorted(random.sample(range(len(steps) + 1), random.randint(3, 4)))
    for at, next_at in reversed(list(zip(deaths, [*deaths[1:], len(steps)], strict=True))):
        # The service is ready after half a second; a tick is a second.
        age = None if random.random() < 0.3 else random.choice([random.uniform(0, 0.5), random.uniform(0.3, 1.3)])
        torn = [Tear(random.choice([1, 1, 2, random.randint(3, 600)]))] if random.random() < 0.3 else []
        back_at = min(at + random.randint(0, 4), next_at)
        steps[at:back_at] = [Kill(age), *torn, *steps[at:back_at], Start()]
