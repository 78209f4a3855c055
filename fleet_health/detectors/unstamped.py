"""`unstamped`: a host runs code too old to be accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors.hidden import MayBeHidden
from fleet_health.detectors.spec import (
    JOURNAL,
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
    are_met,
)
from fleet_health.detectors.wording import in_steps
from fleet_health.model.instant import HOUR_US, describe
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.window import Counts

SYMPTOM = "unstamped"
# Of several workers one may be unstamped: then the count goes up and down, and below the limit it shows no recovery.
# What goes on below the limit for so long is an incident no more.
_PROOF_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class UnstampedLimits:
    """When a host counts as unstamped.

    Attributes:
        window_us: The span of time that is counted, up to the evaluation, both ends included.
        min_count: From this many unstamped rejections on it is a finding.
        suggested_fix: What to do.

    """

    window_us: int
    min_count: int
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    stage=Stage.UNSTAMPED,
    message_id="6bb2e4a15ec3496cacc5fce2e0a6aaaf",
    subject=Subject.HOST,
    needs=JOURNAL,
    is_of_absence=False,
    switches=("detectors.unstamped.enabled",),
    limits=UnstampedLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.unstamped.window",
            Kind.DURATION,
            "30m",
            "window_us",
            "How far back refusals because of a missing stamp are counted.",
        ),
        Setting(
            "detectors.unstamped.min_count",
            Kind.COUNT,
            10,
            "min_count",
            "The alert fires from this many such refusals on.",
        ),
        Setting(
            "detectors.unstamped.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On $host: run `scripts/install-lab-host.sh` to stamp VERSION again, then restart cis490-orchestrator;"
            " where cis490-autoupdate.timer is on, it heals by itself within 30 minutes.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On $host: update the software that uploads, and restart it: its uploads carry no code stamp.",
        ),
    ),
    build=lambda configured: Unstamped(configured.limits[SYMPTOM]),
)


class Unstamped(Rule, MayBeHidden, SlowToEnd):
    """Finds hosts that were refused because their uploads carry no code stamp."""

    spec = SPEC

    def __init__(self, limits: HostLimits[UnstampedLimits]) -> None:
        self._limits = limits

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest window."""
        return Lookback(traffic_us=max(limits.window_us for limits in self._limits.each_alone()))

    def candidates(self, fleet: Fleet, now: Instant) -> Iterator[str]:
        """Return the hosts with enough unstamped rejections in the window."""
        return self._refused(now, fleet.counts)

    def find_among(
        self, fleet: Fleet, now: Instant, counts_of: Callable[[Instant, Instant], Mapping[str, Counts]]
    ) -> Iterator[str]:
        """Find those of some hosts: of those that are counted, between two instants, by `counts_of`."""
        return (host for host in self._refused(now, counts_of) if are_met(self.conditions(fleet, host, now)))

    def _refused(self, now: Instant, counts_of: Callable[[Instant, Instant], Mapping[str, Counts]]) -> Iterator[str]:
        each_alone = self._limits.each_alone()
        least_count = min(limits.min_count for limits in each_alone)
        for window_us in {limits.window_us for limits in each_alone}:
            for host, counts in counts_of(now - window_us, now).items():
                if counts.unstamped < least_count:
                    continue
                limits = self._limits.of(host)
                if limits.window_us == window_us and counts.unstamped >= limits.min_count:
                    yield host

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Count its rejections."""
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        count = 0 if window is None else window.count(now - limits.window_us, now).unstamped
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{count} refusals in the last {describe(limits.window_us)}"
                f" because an upload carries no code stamp{in_steps(window)}"
            ),
            suggested_fix=limits.suggested_fix.render(host),
            since=None if window is None else window.earliest_unstamped(0),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the count in the window."""
        if host == EVERY_HOST:
            return ()
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        count = 0 if window is None else window.count(now - limits.window_us, now).unstamped
        return (
            Condition(
                f"refusals because of a missing stamp in the last {describe(limits.window_us)}",
                f"{count}{in_steps(window)}",
                f"at least {limits.min_count}",
                "detectors.unstamped.min_count",
                count >= limits.min_count,
            ),
        )

    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterator[str]:
        """Return the hosts that may have been refused as unstamped in a gap of the journal.

        An accepted upload does not rule that out: another worker of the host may be unstamped. But an unstamped worker
        retries, so if the host has accepted uploads and at least half of the window was seen, its refusals were seen
        too. Enough messages for a finding must be missing.
        """
        gaps = {
            window_us: (
                fleet.unseen_us("journal", now - window_us, now) * 2 > window_us,
                fleet.missing("journal", now - window_us, now),
            )
            for window_us in {limits.window_us for limits in self._limits.each_alone()}
            if not fleet.is_whole("journal", now - window_us, now)
        }
        for host in hosts if gaps else ():
            limits = self._limits.of(host)
            if limits.window_us not in gaps:
                continue
            since, (is_mostly_unseen, missing) = now - limits.window_us, gaps[limits.window_us]
            if not is_mostly_unseen and fleet.has_accepted(host, since, now):
                continue
            window = fleet.traffic.window(host)
            seen = 0 if window is None else window.count(since, now).unstamped
            if missing is None or seen + missing >= limits.min_count:
                yield host

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether the rejections have become too few in a window that was seen whole.

        Those that are dated ahead of the clock count: it may be behind, and they are facts.
        """
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        since = now - limits.window_us
        is_rare = window is None or window.count(since, NEVER - 1).unstamped < limits.min_count
        is_whole = fleet.reaches("journal", since) and fleet.is_whole("journal", since, now)
        return is_rare and is_whole and fleet.is_complete(host, since)

    def proof_us(self, fleet: Fleet, host: str, now: Instant) -> int:
        """Return 0 if no upload lacked its code stamp in the window; else for how long there must be few, a day."""
        window = fleet.traffic.window(host)
        is_refused = window is not None and window.count(now - self._limits.of(host).window_us, NEVER - 1).unstamped
        return _PROOF_US if is_refused else 0

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload. That the rejections stop is not a sign of recovery."""
        return fleet.accepted_at(host)

    def limits_of(self, host: str) -> str:
        """Return the window and the limit."""
        limits = self._limits.of(host)
        return f"{limits.window_us} {limits.min_count}"
