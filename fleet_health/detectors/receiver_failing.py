"""`receiver-failing`: the receiver responds, but with errors of its own, and to many hosts at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import degraded, fatal_only, silent
from fleet_health.detectors.spec import (
    JOURNAL,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Subject,
)
from fleet_health.model.instant import describe
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import NEVER, SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "receiver-failing"


@dataclass(frozen=True, slots=True)
class ReceiverFailingLimits:
    """When the receiver counts as failing.

    Attributes:
        window_us: The span of time that is counted, up to the evaluation, both ends included.
        min_hosts: Fewer hosts with mostly 5xx than this say nothing of the receiver.
        ratio: Their lowest share among the hosts that got any response that is a finding; 0 to 1.
        suggested_fix: What to do.

    """

    window_us: int
    min_hosts: int
    ratio: float
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=4,
    message_id="e2f4a7c1935b4d6ea8b01c52d97f3e64",
    subject=Subject.RECEIVER,
    needs=JOURNAL,
    is_of_absence=False,
    switches=("receiver.enabled", "receiver.failing.enabled"),
    inhibits=(fatal_only.SYMPTOM, degraded.SYMPTOM, silent.SYMPTOM),
    limits=ReceiverFailingLimits,
    settings=(
        Setting("receiver.failing.window", Kind.DURATION, "30m", "window_us", "How far back responses are counted."),
        Setting(
            "receiver.failing.min_hosts",
            Kind.COUNT,
            3,
            "min_hosts",
            "The alert fires from this many hosts with mostly 5xx on, if they are at least the share `ratio` of"
            " the hosts with a response.",
        ),
        Setting(
            "receiver.failing.ratio",
            Kind.RATIO,
            0.5,
            "ratio",
            "At least this share of the hosts with a response must have mostly 5xx.",
        ),
        Setting(
            "receiver.failing.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On the receiver: read `journalctl -u cis490-receiver.service --since -1h` for what fails, and check"
            " whether its disk is full. Change nothing on the hosts until it is fixed.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On the receiver: read {log} for what has failed in the last hour, and check whether its"
            " disk is full. Change nothing on the hosts until it is fixed.",
        ),
    ),
    build=lambda configured: ReceiverFailing(configured.limits[SYMPTOM]),
)


class ReceiverFailing(Rule):
    """Finds out whether many hosts got mostly 5xx: more than half of a host's responses in the window."""

    spec = SPEC

    def __init__(self, limits: ReceiverFailingLimits) -> None:
        self._limits = limits

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the window."""
        return Lookback(traffic_us=self._limits.window_us)

    def candidates(self, fleet: Fleet, now: Instant) -> tuple[str, ...]:
        """Return `EVERY_HOST` if the window was seen whole, and enough hosts got mostly 5xx in it."""
        since = now - self._limits.window_us
        is_whole = fleet.is_whole("journal", since, now)
        return (EVERY_HOST,) if is_whole and len(_failing(fleet, since, now)) >= self._limits.min_hosts else ()

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Count the errors of these hosts by status."""
        limits, since = self._limits, now - self._limits.window_us
        failing, total = self._group(fleet, _failing(fleet, since, now), since, now)
        errors = _errors(fleet, failing, since, now)
        figures = ", ".join(f"{count} x {status}" for status, count in sorted(errors.items()))
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{len(failing)} of {total} hosts that tried to upload in the last {describe(limits.window_us)}"
                f" got mostly 5xx: {figures}"
            ),
            suggested_fix=limits.suggested_fix.render(host),
            # A host that the receiver refuses for its own fault may fall silent for the same reason.
            inhibits=frozenset((name, symptom) for name in failing for symptom in SPEC.inhibits),
            since=_first_error_at(fleet, failing),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how many hosts got mostly 5xx, their share, and whether the window was seen whole."""
        if host != EVERY_HOST:
            return ()
        limits, since = self._limits, now - self._limits.window_us
        is_whole = fleet.is_whole("journal", since, now)
        failing, total = self._group(fleet, _failing(fleet, since, now), since, now)
        count = len(failing)
        share = count / total if total else 0.0
        return (
            Condition(
                f"journal of the last {describe(limits.window_us)}",
                "complete" if is_whole else "has a gap",
                "complete",
                "receiver.failing.window",
                is_whole,
            ),
            Condition(
                "hosts that got mostly 5xx",
                str(count),
                f"at least {limits.min_hosts}",
                "receiver.failing.min_hosts",
                count >= limits.min_hosts,
            ),
            Condition(
                f"their share of the {total} hosts with responses",
                f"{share:.1%}",
                f"at least {limits.ratio:.1%}",
                "receiver.failing.ratio",
                bool(total) and share >= limits.ratio,
            ),
        )

    def _group(self, fleet: Fleet, failing: list[str], since: Instant, now: Instant) -> tuple[list[str], int]:
        """Return the failing hosts and how many hosts got a response; without strangers if that is nearer to a finding.

        Strangers can be refused with 4xx under any number of names, which would hide that all other hosts get 5xx.
        """
        strangers = {host for host, counts in fleet.stranger_counts(since, now).items() if counts.answers}
        total = _answered(fleet, since, now)
        known = [host for host in failing if host not in strangers]
        groups = [(failing, total), (known, total - len(strangers))]
        return max(groups, key=lambda one: (len(one[0]) >= self._limits.min_hosts, len(one[0]) / max(1, one[1])))

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether a window that was seen whole has an accepted upload of any host, in either source.

        Too few responses for a finding are not a recovery: hosts may have given up. Errors that are dated ahead of the
        clock count: the clock may be behind, and the errors did happen.
        """
        del host
        since = now - self._limits.window_us
        return (
            fleet.is_whole("journal", since, now)
            and any(fleet.has_accepted(name, since, now) for name in fleet.hosts())
            and not self._are_enough(*self._group(fleet, _failing(fleet, since, NEVER - 1), since, NEVER - 1))
        )

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload of any host in either source."""
        del host
        return fleet.newest_accepted_at()

    def limits_of(self, host: str) -> str:
        """Return the window and both limits."""
        del host
        limits = self._limits
        return f"{limits.window_us} {limits.min_hosts} {limits.ratio}"

    def _are_enough(self, failing: list[str], total: int) -> bool:
        return len(failing) >= self._limits.min_hosts and len(failing) / total >= self._limits.ratio


def _failing(fleet: Fleet, since: Instant, until: Instant) -> list[str]:
    """Return the hosts that got 5xx in more than half of their responses."""
    return [
        host
        for host, counts in fleet.counts(since, until).items()
        if counts.server_errors and counts.server_errors * 2 > counts.answers
    ]


def _errors(fleet: Fleet, hosts: list[str], since: Instant, until: Instant) -> Counter[int]:
    """Count the 5xx responses to some hosts by status."""
    errors: Counter[int] = Counter()
    for host in hosts:
        if (window := fleet.traffic.window(host)) is not None:
            by_status = window.count_by_status(since, until)
            errors.update({status: count for status, count in by_status.items() if status // 100 == SERVER_ERROR})
    return errors


def _first_error_at(fleet: Fleet, hosts: list[str]) -> Instant | None:
    """Return the first 5xx response to some hosts since the latest accepted upload of each; None if none is known."""
    instants = (
        window.earliest((SERVER_ERROR,), (window.accepted_at or -1) + 1)
        for host in hosts
        if (window := fleet.traffic.window(host)) is not None
    )
    return min((at for at in instants if at is not None), default=None)


def _answered(fleet: Fleet, since: Instant, until: Instant) -> int:
    return sum(counts.answers > 0 for counts in fleet.counts(since, until).values())
