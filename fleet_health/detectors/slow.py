"""`slow`: a host uploads, and far less than its own rhythm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.detectors.hidden import MayBeHidden
from fleet_health.detectors.spec import (
    INDEX,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    SlowToEnd,
    Stage,
    Subject,
)
from fleet_health.model.instant import HOUR_US, describe
from fleet_health.model.rhythm import KEPT_US
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.usual_uploads import PART_US
from fleet_health.model.window import NO_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.usual_uploads import ComparedDay

SYMPTOM = "slow"

_DAY_US = 24 * HOUR_US
# Half of the day: less than that may be one bad hour, or a host that was away and is back.
_LEAST_PARTS = 6
# A host that is refused uploads less as well, and other symptoms say why.
_LATE_US = 6 * HOUR_US
_MOST_REFUSED = 0.1
# Around the ratio of a finding the figures go up and down. A host has recovered if it uploads nearly as much as usual;
# less than that is no incident any more if it goes on for so long.
_AS_USUAL, _PROOF_US = 0.9, 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class SlowLimits:
    """When a host counts as slow.

    Attributes:
        ratio: It is a finding if the host uploaded at most this share of what is usual for it; 0 to 1.
        min_count: A host that usually uploads less is not compared.
        suggested_fix: What to do.

    """

    ratio: float
    min_count: int
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="f38e1030043a43e3976d27a54ae778b1",
    subject=Subject.HOST,
    needs=INDEX,
    is_of_absence=True,
    switches=("detectors.slow.enabled",),
    is_on_by_default=False,
    stage=Stage.FEWER_ACCEPTED,
    limits=SlowLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.slow.ratio",
            Kind.RATIO,
            0.6,
            "ratio",
            "The host uploaded at most this share of what is usual for it.",
        ),
        Setting(
            "detectors.slow.min_count",
            Kind.COUNT,
            24,
            "min_count",
            "A host that usually uploads less often than this in the hours that are compared is left out."
            " Uploads within the same 7.5 minutes count once.",
        ),
        Setting(
            "detectors.slow.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On $host: look at `systemctl status cis490-shipper cis490-orchestrator` and at the load: one of several"
            " workers may have stopped, or what it uploads is made more slowly.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On $host: look at the load, and whether one of several workers has stopped, or what it uploads"
            " is made more slowly.",
        ),
    ),
    build=lambda configured: Slow(configured.limits[SYMPTOM], configured.limits[silent.SYMPTOM]),
)


class Slow(Rule, MayBeHidden, SlowToEnd):
    """Finds hosts with `cadence = "learned"` that upload far less than usual. No rhythm of other hosts is kept."""

    spec = SPEC

    def __init__(self, limits: HostLimits[SlowLimits], cadences: HostLimits[SilentLimits]) -> None:
        """Take the limits, and those of `silent`, which define the hosts with a learned rhythm."""
        self._limits = limits
        self._cadences = cadences

    @property
    def lookback(self) -> Lookback:
        """Look back as far as rhythms are kept, if any is learned."""
        if not any(one.is_learned for one in self._cadences.each_alone()):
            return Lookback()
        return Lookback(uploads_us=_DAY_US, traffic_us=_LATE_US, rhythm_us=KEPT_US)

    def candidates(self, fleet: Fleet, now: Instant) -> Iterator[str]:
        """Return the hosts that uploaded too little."""
        if not any(one.is_learned for one in self._cadences.each_alone()):
            return
        for host in fleet.uploaders():
            if self._cadences.of(host).is_learned and self._is_low(fleet.compared_day(host, now), host):
                yield host

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Report how much the host uploaded, and what is usual."""
        day = fleet.compared_day(host, now)
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{day.bins} uploads in the last 24 h, where {day.usual} are usual: compared are"
                f" {describe(day.parts * PART_US)} in which it uploaded, and those within 7.5 min count once"
            ),
            suggested_fix=self._limits.of(host).suggested_fix.render(host),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how much of the day is compared, the share of what is usual, and whether all of it was seen."""
        if host == EVERY_HOST or not self._cadences.of(host).is_learned:
            return ()
        limits, day, window = self._limits.of(host), fleet.compared_day(host, now), fleet.traffic.window(host)
        counts = NO_EVENTS if window is None else window.count(now - _LATE_US, now)
        refused = counts.refused / counts.answers if counts.answers else 0.0
        is_whole = fleet.is_whole("index", now - _DAY_US, now)
        return (
            Condition(
                "time compared with the days before",
                describe(day.parts * PART_US),
                f"at least {describe(_LEAST_PARTS * PART_US)}",
                "",
                day.parts >= _LEAST_PARTS,
            ),
            Condition(
                "usual uploads in it",
                str(day.usual),
                f"at least {limits.min_count}",
                "detectors.slow.min_count",
                day.usual >= limits.min_count,
            ),
            Condition(
                "share of the usual uploads",
                f"{day.bins / day.usual:.1%}" if day.usual else "unknown",
                f"at most {limits.ratio:.1%}",
                "detectors.slow.ratio",
                bool(day.usual) and day.bins <= limits.ratio * day.usual,
            ),
            Condition(
                f"the same, in the last {describe(_LATE_US)}",
                f"{day.late_bins / day.late_usual:.1%}" if day.late_usual else "unknown",
                f"at most {limits.ratio:.1%}",
                "detectors.slow.ratio",
                bool(day.late_usual) and day.late_bins <= limits.ratio * day.late_usual,
            ),
            Condition(
                f"share of refusals in the last {describe(_LATE_US)}",
                f"{refused:.1%}",
                f"at most {_MOST_REFUSED:.1%}",
                "",
                refused <= _MOST_REFUSED,
            ),
            Condition("index of the last day", "complete" if is_whole else "has a gap", "complete", "", is_whole),
        )

    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterator[str]:
        """Return the hosts that uploaded too little by what was seen, where the index has a gap."""
        if fleet.is_whole("index", now - _DAY_US, now):
            return
        learned = (host for host in hosts if self._cadences.of(host).is_learned)
        yield from (host for host in learned if self._is_low(fleet.compared_day(host, now), host))

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether enough of the day can be compared, and the host uploaded enough in it."""
        day = fleet.compared_day(host, now)
        return day.parts >= _LEAST_PARTS and day.bins > self._limits.of(host).ratio * day.usual

    def proof_us(self, fleet: Fleet, host: str, now: Instant) -> int:
        """Return 0 if the host uploaded nearly as much as usual; else for how long it must not be found.

        The last hours decide, or all of the day if it usually uploads too little in these hours to compare.
        """
        day = fleet.compared_day(host, now)
        are_late_enough = day.late_usual >= self._limits.of(host).min_count
        bins, usual = (day.late_bins, day.late_usual) if are_late_enough else (day.bins, day.usual)
        return 0 if bins >= _AS_USUAL * usual else _PROOF_US

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload."""
        return fleet.accepted_at(host)

    def limits_of(self, host: str) -> str:
        """Return both limits, and whether a rhythm is learned at all."""
        limits = self._limits.of(host)
        return f"{limits.ratio} {limits.min_count} {self._cadences.of(host).is_learned}"

    def _is_low(self, day: ComparedDay, host: str) -> bool:
        limits = self._limits.of(host)
        return day.parts >= _LEAST_PARTS and day.usual >= limits.min_count and day.bins <= limits.ratio * day.usual
