"""A round, planned from its seed: the workload in a known order, and disturbances in it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.crash.disturbances import Start, disturb
from tests.crash.workload import Entry, Row, draw_workload

if TYPE_CHECKING:
    from tests.crash.disturbances import Step


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done in a round, and the (host, symptom) that the rules find in it."""

    steps: tuple[Step, ...]
    expected: frozenset[tuple[str, str]]


def make_plan(seed: str, *, is_disturbed: bool = True) -> Plan:
    """Plan a round from its seed."""
    random = Random(seed)  # noqa: S311 - nothing here is secret
    rows, entries, expected = draw_workload(random)
    steps: list[Step] = []
    while rows or entries:
        source: list[Row] | list[Entry] = rows if random.random() * (len(rows) + len(entries)) < len(rows) else entries
        steps.append(source.pop(0))
    if is_disturbed:
        disturb(steps, random)
    return Plan((Start(), *steps), frozenset(expected))
