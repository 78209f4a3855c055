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
    """Kill the service when it has lived for so long; with None as soon as it has written an alert.

    Its life begins with the process, or when it is ready: on a busy machine that is long after, and by then it has
    written its alerts and saved its state a few times.
    """

    age: float | None
    is_since_ready: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Start the service again."""


@dataclass(frozen=True, slots=True)
class Tear:
    """Cut bytes off the end of the alert log, at most its last line: what a power cut leaves. Only while it is dead."""

    size: int


@dataclass(frozen=True, slots=True)
class SetClock:
    """Set the service's clock off by so many seconds, behind if negative; it may be dead, or run."""

    offset_s: int


@dataclass(frozen=True, slots=True)
class DateStateAhead:
    """Date the saved state ahead, as if a clock that was ahead had saved it. Only while it is dead."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DamageState:
    """Truncate the saved state, or replace it by something that is none. Only while it is dead."""

    text: str | None


@dataclass(frozen=True, slots=True)
class CompressAlerts:
    """Rotate the alert log twice and compress what it was first, as logrotate does with `delaycompress`."""


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


Rotation: TypeAlias = RotateIndex | RotateJournal | RotateAlerts | CompressAlerts
Step: TypeAlias = Row | Entry | Wait | Kill | Start | Tear | SetClock | DateStateAhead | DamageState | Rotation

# What is no state: cut off, no JSON, another kind of JSON, and JSON of a shape and with a content that cannot be.
_NO_STATES = (None, "", "\0" * 100, "[]", '{"incidents": 5}', '{"incidents": {"open": [{"host": 1}]}}')


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
    # What has been compressed can be known by the state alone, so in a round there is one or the other.
    is_state_damaged = random.random() < 0.5
    if not is_state_damaged:
        for _ in range(random.randint(0, 2)):
            insert(CompressAlerts())
    if random.random() < 0.6:
        _set_clock_back(steps, random)
    deaths = sorted(random.sample(range(len(steps) + 1), random.randint(3, 4)))
    for at, next_at in reversed(list(zip(deaths, [*deaths[1:], len(steps)], strict=True))):
        # The service is ready after half a second; a tick is a second.
        age = None if random.random() < 0.3 else random.choice([random.uniform(0, 0.5), random.uniform(0.3, 1.3)])
        back_at = min(at + random.randint(0, 4), next_at)
        damage = _damage(random, is_state_damaged=is_state_damaged)
        steps[at:back_at] = [Kill(age, random.random() < 0.6), *damage, *steps[at:back_at], Start()]


def _set_clock_back(steps: list[Step], random: Random) -> None:
    """Set the clock back for some of the steps, by what is within NTP's tolerance or beyond it; then right again."""
    at = random.randint(0, len(steps))
    back_at = random.randint(at, len(steps))
    lag_s = random.choice([random.randint(5, 60), random.randint(61, 1200), 1200])
    steps[at:back_at] = [SetClock(-lag_s), *steps[at:back_at], Wait(random.uniform(0, 1.5)), SetClock(0)]


def _damage(random: Random, *, is_state_damaged: bool) -> list[Step]:
    """Draw what a death leaves of the alert log and of the state."""
    damage: list[Step] = []
    if random.random() < 0.3:
        damage.append(Tear(random.choice([1, 1, 2, random.randint(3, 600)])))
    if is_state_damaged and random.random() < 0.4:
        damage.append(DamageState(random.choice(_NO_STATES)))
    elif random.random() < 0.2:
        # So little that it is made up for before patience ends.
        damage.append(DateStateAhead(random.choice([random.uniform(1, 55), random.uniform(61, 66)])))
    return damage
