"""What a detector is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


PRESENT: Instant = 1 << 62
"""The sign of what an evaluation observes itself, and no timestamp of somebody else's tells: newer than any fact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A host shows a symptom at the instant of an evaluation.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The detector's symptom, such as `silent`.
        detail: One sentence with the figures, on one line.
        suggested_fix: One or two sentences for the person who will mend it.
        explains: The findings of hosts that this one is the cause of, each as host and symptom, whether or not they
            are found as well.

    """

    host: str
    symptom: str
    detail: str
    suggested_fix: str
    explains: frozenset[Pair] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """One condition of a finding: what was seen, against its limit.

    Attributes:
        name: What is looked at.
        value: What was seen of it.
        limit: What it takes for a finding.
        key: The setting that the limit is; empty if it is none.
        is_met: Whether it is so.

    """

    name: str
    value: str
    limit: str
    key: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a detector looks from the instant of an evaluation, in microseconds; 0 if not at all."""

    ships_us: int = 0
    traffic_us: int = 0


class Detector(Protocol):
    """Finds the hosts with one symptom. It keeps nothing from one evaluation to the next."""

    @property
    def symptom(self) -> str:
        """The symptom's name, as it stands in the alerts."""

    @property
    def is_of_absence(self) -> bool:
        """Whether it finds that something is missing, which nobody can say just after the clock was set."""

    @property
    def reach(self) -> Reach:
        """How far back the fleet must be known for `find` to be exact."""

    def can_judge(self, seen: Container[str]) -> bool:
        """Say whether it is enough to see these sources, of `index` and `journal`, to judge at all.

        Which stretches of time they have shown, `find` and `is_over` look up themselves.
        """

    def find(self, fleet: Fleet, now: Instant) -> Iterable[Finding]:
        """Say which hosts show the symptom at `now`, each at most once, in any order."""

    def figures(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Figure]:
        """Give what `find` goes by for a host, or for `EVERY_HOST`: it is a finding if all of it is met.

        Of `receiver-down`, which has two ways to be found, all of either way. Nothing is given where the detector is
        not about such a host.
        """

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say whether a host that showed the symptom, and no longer does, is seen to be well.

        That nothing is seen of it is not enough, nor is a window of which a part was not seen. It is necessary for an
        end, and not sufficient: `sign_at` must also be a new fact, unless the limits have changed.
        """

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the timestamp of the newest fact that speaks for an end, such as an accepted upload; None without one.

        It is the fact's own timestamp, never the present, and may lie ahead of the clock: an incident ends only by a
        fact that is newer than itself. `PRESENT` stands for what the evaluation itself observes.
        """

    def limits_of(self, host: str) -> str:
        """Return the figures that decide for a host, as one text: where it differs, the limits have changed."""
