"""`fatal-only`: a host tries, and is refused every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import unstamped
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
    Stage,
    Subject,
    are_met,
)
from fleet_health.detectors.wording import in_steps
from fleet_health.model.instant import describe
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import CLIENT_ERROR, NO_EVENTS, SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.detectors.unstamped import UnstampedLimits
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.window import Counts, HostWindow

SYMPTOM = "fatal-only"

_PRECONDITION_FAILED = 412


@dataclass(frozen=True, slots=True)
class FatalOnlyLimits:
    """When a host counts as refused every time.

    Attributes:
        window_us: The span of time that is counted, up to the evaluation, both ends included.
        min_count: With fewer responses than this, nothing is reported.
        ratio: The lowest share of refusals among the responses that is a finding; 0 to 1.
        suggested_fix: What to do when the host is at fault.
        suggested_fix_412: What to do when most refusals are 412, which is how a diverged HEAD shows.
        suggested_fix_5xx: What to do when most refusals are 5xx, which the receiver has to answer for.

    """

    window_us: int
    min_count: int
    ratio: float
    suggested_fix: SuggestedFix
    suggested_fix_412: SuggestedFix
    suggested_fix_5xx: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=4,
    stage=Stage.ALL_REFUSED,
    message_id="b754f37758a04a9cbd924be11a8bbfbc",
    subject=Subject.HOST,
    needs=JOURNAL,  # the index is only asked where that is not whole
    is_of_absence=False,
    switches=("detectors.fatal-only.enabled",),
    limits=FatalOnlyLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.fatal-only.window",
            Kind.DURATION,
            "30m",
            "window_us",
            "How far back the receiver's responses are counted.",
        ),
        Setting(
            "detectors.fatal-only.min_count",
            Kind.COUNT,
            10,
            "min_count",
            "With fewer responses than this, nothing is reported.",
        ),
        Setting(
            "detectors.fatal-only.ratio",
            Kind.RATIO,
            0.95,
            "ratio",
            "At least this share of the responses must be refusals, and none a success.",
        ),
        Setting(
            "detectors.fatal-only.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On $host: read `journalctl -u cis490-shipper --since -5min`;"
            " on 412 see FIXYOURSELF.md, section B: probably a diverged HEAD.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On $host: read what the service that uploads logs. `fleet-health explain $host` shows"
            " the lines of the receiver that refuse it.",
        ),
        Setting(
            "detectors.fatal-only.suggested_fix_412",
            Kind.SUGGESTED_FIX,
            "On $host: its HEAD has probably diverged, follow FIXYOURSELF.md, section B;"
            " `journalctl -u cis490-shipper --since -5min` shows the 412.",
            "suggested_fix_412",
            "The text if most of the refusals are 412.",
            elsewhere="On $host: the receiver refuses its uploads with 412 (Precondition Failed), so look at"
            " the version that it runs. `fleet-health explain $host` shows the lines.",
        ),
        Setting(
            "detectors.fatal-only.suggested_fix_5xx",
            Kind.SUGGESTED_FIX,
            "Most responses were 5xx, so look at the receiver before $host: its state and its own journal show what"
            " fails.",
            "suggested_fix_5xx",
            "The text if most of the refusals are 5xx: then the receiver is at fault, not the host.",
        ),
    ),
    build=lambda configured: FatalOnly(configured.limits[SYMPTOM], configured.limits[unstamped.SYMPTOM]),
)


class FatalOnly(Rule, MayBeHidden):
    """Finds hosts with enough responses in the window, and no accepted upload."""

    spec = SPEC

    def __init__(self, limits: HostLimits[FatalOnlyLimits], stamps: HostLimits[UnstampedLimits] | None = None) -> None:
        """Take the limits, and those of `unstamped`, whose fix is suggested where that is the cause."""
        self._limits = limits
        self._stamps = stamps

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest window, and so far for rows of the index, too."""
        window_us = max(limits.window_us for limits in self._limits.each_alone())
        return Lookback(uploads_us=window_us, traffic_us=window_us)

    def candidates(self, fleet: Fleet, now: Instant) -> Iterator[str]:
        """Return the hosts that were refused often enough, and not accepted once."""
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
                # A response is either accepted or refused: if none is accepted, every ratio is met.
                if counts.accepted or counts.refused < least_count:
                    continue
                limits = self._limits.of(host)
                if limits.window_us == window_us and counts.refused >= limits.min_count:
                    yield host

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Count its refusals by status, and suggest what helps against most of them."""
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        since = now - limits.window_us
        assert window is not None  # noqa: S101 - it has been counted
        by_status = window.count_by_status(since, now)
        total = sum(by_status.values())
        figures = ", ".join(f"{count} x {status}" for status, count in by_status.items())
        fix = fix_by_cause(window, since, now, limits, None if self._stamps is None else self._stamps.of(host))
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{total} of {total} uploads in the last {describe(limits.window_us)} were refused: {figures}"
                f"{in_steps(window)}"
            ),
            suggested_fix=fix.render(host),
            since=window.earliest((CLIENT_ERROR, SERVER_ERROR), (fleet.accepted_at(host) or -1) + 1),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the responses in the window by kind, and whether one that was not seen could change the result.

        Where the journal is not whole, a 2xx may be missing: then the index must show that nothing was accepted.
        """
        if host == EVERY_HOST:
            return ()
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        since, length = now - limits.window_us, describe(limits.window_us)
        counts = NO_EVENTS if window is None else window.count(since, now)
        total, accepted = counts.answers, counts.accepted
        share = counts.refused / total if total else 0.0
        evidence, is_certain = _evidence(fleet, host, since, now)
        return (
            Condition(
                f"uploads accepted in the last {length}",
                str(accepted),
                "none",
                "detectors.fatal-only.window",
                not accepted,
            ),
            Condition(
                f"responses in the last {length}",
                f"{total}{in_steps(window)}",
                f"at least {limits.min_count}",
                "detectors.fatal-only.min_count",
                total >= limits.min_count,
            ),
            Condition(
                "share of refusals",
                f"{share:.1%}",
                f"at least {limits.ratio:.1%}",
                "detectors.fatal-only.ratio",
                bool(total) and share >= limits.ratio,
            ),
            Condition("journal of that time", evidence, "complete, or no upload in the index", "", is_certain),
        )

    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterator[str]:
        """Return the hosts that may have been refused every time in a gap of the journal.

        A host is left out if either source shows an accepted upload in the window, or if the responses that were seen,
        with as many more as can be missing, are too few for a finding.
        """
        missing_in = {
            window_us: fleet.missing("journal", now - window_us, now)
            if fleet.reaches("journal", now - window_us)
            else None
            for window_us in {limits.window_us for limits in self._limits.each_alone()}
            if not _is_seen_whole(fleet, now - window_us, now)
        }
        for host in hosts if missing_in else ():
            limits = self._limits.of(host)
            since = now - limits.window_us
            if limits.window_us not in missing_in or fleet.has_accepted(host, since, now):
                continue
            missing = missing_in[limits.window_us]
            window = fleet.traffic.window(host)
            refused = 0 if window is None else window.count(since, now).refused
            if missing is None or refused + missing >= limits.min_count:
                yield host

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether an upload was accepted, or the refusals became too few in a window without a gap."""
        since = now - self._limits.of(host).window_us
        window = fleet.traffic.window(host)
        if window is not None and window.count(since, now).accepted:
            return True
        return _is_counted_whole(fleet, host, since, now) or _has_uploaded(fleet, host, since, now)

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload. Fewer refusals, or none, are not a sign of recovery."""
        return fleet.accepted_at(host)

    def limits_of(self, host: str) -> str:
        """Return the window and both limits."""
        limits = self._limits.of(host)
        return f"{limits.window_us} {limits.min_count} {limits.ratio}"


def _evidence(fleet: Fleet, host: str, since: Instant, until: Instant) -> tuple[str, bool]:
    """Return how much the journal shows of a span of time, and whether it is certain that nothing was accepted."""
    if not fleet.is_whole("journal", since, until):
        lack = "has a gap"
    elif not fleet.is_complete(host, since):
        lack = "earlier responses were dropped"
    elif fleet.reaches("journal", since):
        return "complete", True
    elif not _has_uploaded(fleet, host, since, until):
        # It shows all that it holds, so only an upload from before its begin would speak against a finding.
        return "begins later, and no earlier upload is known", True
    else:
        lack = "begins later"
    is_refused = _is_refused_by_the_index(fleet, host, since, until)
    return f"{lack}, and the index has no upload" if is_refused else lack, is_refused


def _is_counted_whole(fleet: Fleet, host: str, since: Instant, until: Instant) -> bool:
    """Return whether the journal showed everything of a span of time, and all of it was counted of this host."""
    return _is_seen_whole(fleet, since, until) and fleet.is_complete(host, since)


def _is_seen_whole(fleet: Fleet, since: Instant, until: Instant) -> bool:
    """Return whether no response can be missing: before the journal begins there may have been some."""
    return fleet.reaches("journal", since) and fleet.is_whole("journal", since, until)


def fix_by_cause(
    window: HostWindow, since: Instant, until: Instant, limits: FatalOnlyLimits, stamps: UnstampedLimits | None
) -> SuggestedFix:
    """Choose the suggested fix for a refused host by the most common reason of its refusals."""
    counts = window.count(since, until)
    if stamps is not None and counts.unstamped * 2 > counts.refused:
        return stamps.suggested_fix
    if window.count_by_status(since, until).get(_PRECONDITION_FAILED, 0) * 2 > counts.refused:
        return limits.suggested_fix_412
    return limits.suggested_fix_5xx if counts.server_errors * 2 > counts.refused else limits.suggested_fix


def _is_refused_by_the_index(fleet: Fleet, host: str, since: Instant, until: Instant) -> bool:
    return fleet.is_whole("index", since, until) and not _has_uploaded(fleet, host, since, until)


def _has_uploaded(fleet: Fleet, host: str, since: Instant, until: Instant) -> bool:
    last_at = fleet.uploads.last_at(host)
    return last_at is not None and since <= last_at <= until
