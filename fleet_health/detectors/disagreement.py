"""Compares the journal and the index: every upload must be in both.

The receiver responds first or writes its row first, and we read one file before the other; so there is slack, for rows
in flight. Known gaps in either explain a disagreement, and are reported elsewhere.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fleet_health.detectors.spec import Condition, Contradiction, Finding, Kind, Rule, Setting
from fleet_health.detectors.wording import name_hosts
from fleet_health.model.instant import describe
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant


@dataclass(frozen=True, slots=True)
class DisagreementLimits:
    """When the two disagree.

    Attributes:
        window_us: The span of time that is compared, up to the evaluation, both ends included.
        slack_us: How much later in one than in the other an upload may appear; less than half the window.
        min_hosts: How many hosts it takes for a finding.
        min_count: How many accepted uploads must lack a row.
        suggested_fix: What to do.

    """

    window_us: int
    slack_us: int
    min_hosts: int
    suggested_fix: SuggestedFix
    min_count: int = 1


def settings(
    symptom: str, suggested_fix: str, *, min_hosts: int, has_min_count: bool, elsewhere: str = ""
) -> tuple[Setting, ...]:
    """Declare the settings of one of the two detectors; only the journal counts the uploads of a host."""
    table = f"detectors.{symptom}"
    min_count = Setting(
        f"{table}.min_count",
        Kind.COUNT,
        3,
        "min_count",
        "At least this many accepted uploads must lack a row: of one host since its last row, or of all hosts"
        " since the last row of any host, however long ago that was.",
    )
    return (
        Setting(
            f"{table}.window", Kind.DURATION, "30m", "window_us", "How far back the journal and the index are compared."
        ),
        Setting(
            f"{table}.slack",
            Kind.DURATION,
            "2m",
            "slack_us",
            "How much later one of the two may report an upload than the other; less than half the window.",
        ),
        *((min_count,) if has_min_count else ()),
        Setting(
            f"{table}.min_hosts", Kind.COUNT, min_hosts, "min_hosts", "The alert fires from this many such hosts on."
        ),
        Setting(
            f"{table}.suggested_fix",
            Kind.SUGGESTED_FIX,
            suggested_fix,
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere=elsewhere,
        ),
    )


def contradictions(symptom: str) -> tuple[Contradiction, ...]:
    """Declare which limits of one of the two detectors contradict each other."""
    window, slack = f"detectors.{symptom}.window", f"detectors.{symptom}.slack"
    return (
        Contradiction(
            (window, slack), f"shorter than half of {window}", lambda limits: limits.slack_us * 2 < limits.window_us
        ),
    )


class Disagreement(Rule):
    """Finds out whether enough hosts have uploads in one of the two and none in the other.

    Attributes:
        is_of_journal: Whether the journal is the one that lacks them.

    """

    is_of_journal: ClassVar = False

    def __init__(self, limits: DisagreementLimits) -> None:
        self._limits = limits

    def candidates(self, fleet: Fleet, now: Instant) -> tuple[str, ...]:
        """Return `EVERY_HOST` if the whole window was seen in both."""
        return (EVERY_HOST,) if _is_comparable(fleet, self._since(fleet, now), now) else ()

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Name the first of the hosts with missing uploads."""
        lacking = self._lacking_once(fleet, self._since(fleet, now), now)
        return Finding(
            host=host,
            symptom=self.symptom,
            detail=f"{self._say(lacking)}: {name_hosts(lacking)}{self._note(fleet)}",
            suggested_fix=self._limits.suggested_fix.render(host),
            is_of_journal=self.is_of_journal,
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how many hosts have missing uploads, and whether both sources were seen whole."""
        if host != EVERY_HOST:
            return ()
        since, table = self._since(fleet, now), f"detectors.{self.symptom}"
        is_comparable, count = _is_comparable(fleet, since, now), len(self._lacking_once(fleet, since, now))
        return (
            Condition(
                f"journal and index of the last {describe(self._limits.window_us)}",
                "both complete" if is_comparable else "not both complete",
                "both complete",
                f"{table}.window",
                is_comparable,
            ),
            Condition(
                "hosts whose uploads are in only one of them",
                str(count),
                f"at least {self._limits.min_hosts}",
                f"{table}.min_hosts",
                count >= self._limits.min_hosts,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether both were seen whole, and some upload is in both: that there is none proves nothing."""
        del host
        since = self._since(fleet, now)
        return _is_comparable(fleet, since, now) and _has_agreement(fleet, since, now)

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return when a host last had both an accepted upload and a row: the earlier of the newest of each."""
        del host
        return max(
            (
                min(accepted_at, last_at)
                for name, window in fleet.traffic.items()
                if (accepted_at := window.accepted_at) is not None
                and (last_at := fleet.uploads.last_at(name)) is not None
            ),
            default=None,
        )

    def limits_of(self, host: str) -> str:
        """Return the window and the limits."""
        del host
        limits = self._limits
        return f"{limits.window_us} {limits.slack_us} {limits.min_hosts} {limits.min_count}"

    def _since(self, fleet: Fleet, now: Instant) -> Instant:
        """Return from when on the two are compared: an upload from before the journal's begin is only in the index."""
        return fleet.since_begin("journal", now - self._limits.window_us)

    def _lacking_once(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        return fleet.once((self, since, now), lambda: self._lacking(fleet, since, now))

    @abstractmethod
    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        """Return the hosts that lack all of it in the other, each with how many uploads it has in the one."""

    def _note(self, fleet: Fleet) -> str:
        """Return what else is known of it, to follow on the hosts' names; nothing by default."""
        del fleet
        return ""

    @abstractmethod
    def _say(self, lacking: Mapping[str, int]) -> str:
        """Return it; the hosts' names follow."""


def _is_comparable(fleet: Fleet, since: Instant, until: Instant) -> bool:
    """Return whether both the journal and the index were seen whole between two instants, both included."""
    return fleet.is_whole("index", since, until) and fleet.is_whole("journal", since, until)


def _has_agreement(fleet: Fleet, since: Instant, until: Instant) -> bool:
    """Return whether some host has both an accepted upload and a row between two instants, both included."""
    for host, counts in fleet.counts(since, until).items():
        last_at = fleet.uploads.last_at(host)
        if counts.accepted and last_at is not None and since <= last_at <= until:
            return True
    return False
