"""What the service has done since it started, in numbers that only grow, whatever is reloaded or read again."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fleet_health.model.instant import SECOND_US
from fleet_health.model.response_counts import ResponseCounts

DURATIONS_US = tuple(
    round(seconds * SECOND_US) for seconds in (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
)
"""The bounds of the buckets in which evaluations are counted by how long they took, in microseconds."""


@dataclass(slots=True)
class Counters:
    """All counters of the service; there is one of these, and everybody counts in it.

    Attributes:
        read: Source -> rows or entries that were read. What is read again counts again.
        rejections: Source and reason -> rows or entries that could not be understood.
        gaps: Source -> gaps that were found.
        retries: What failed (`index`, `journal`, `alert log`) -> how often it was tried again.
        evaluations: Evaluations that have ended.
        evaluation_us: How long they took together, in microseconds.
        evaluations_by_duration: Evaluations by the first of `DURATIONS_US` that they took no longer than; the last
            number is of those that took longer than any.
        notifications: Symptom and kind (`notify`, `repeat`, `resolve`, `lose`) -> notifications that were decided on.
        deliveries: Where to (`alert log`, `journal`) and outcome (`delivered`, `failed`, `dropped`) -> notifications.
        responses: The responses of the receivers.
        reloads: Outcome (`taken`, `refused`) -> reloads of the configuration.

    """

    read: Counter[str] = field(default_factory=Counter)
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    evaluations: int = 0
    evaluation_us: int = 0
    evaluations_by_duration: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS_US) + 1))
    notifications: Counter[tuple[str, str]] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    responses: ResponseCounts = field(default_factory=ResponseCounts)
    reloads: Counter[str] = field(default_factory=Counter)

    def note_evaluation(self, duration_us: int) -> None:
        """Count an evaluation that has ended, and how long it took."""
        self.evaluations += 1
        self.evaluation_us += duration_us
        self.evaluations_by_duration[bisect_left(DURATIONS_US, duration_us)] += 1

    def row(self) -> dict[str, Any]:
        """Return them as they stand in a document: nested by their labels, in the order of these."""
        return {
            "read": dict(sorted(self.read.items())),
            "rejections": _nested(self.rejections),
            "gaps": dict(sorted(self.gaps.items())),
            "retries": dict(sorted(self.retries.items())),
            "evaluations": self.evaluations,
            "evaluation_s": self.evaluation_us / SECOND_US,
            "notifications": _nested(self.notifications),
            "reloads": dict(sorted(self.reloads.items())),
        }


def _nested(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (outer, inner), count in sorted(counter.items()):
        nested.setdefault(outer, {})[inner] = count
    return nested
