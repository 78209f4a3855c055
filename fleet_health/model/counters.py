"""What the service has done since it started, in numbers that only grow, whatever is reloaded or read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fleet_health.model.instant import SECOND_US


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
        notifications: Symptom and kind (`notify`, `repeat`, `resolve`, `lose`) -> notifications that were decided on.
        reloads: Outcome (`taken`, `refused`) -> reloads of the configuration.

    """

    read: Counter[str] = field(default_factory=Counter)
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    evaluations: int = 0
    evaluation_us: int = 0
    notifications: Counter[tuple[str, str]] = field(default_factory=Counter)
    reloads: Counter[str] = field(default_factory=Counter)

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
