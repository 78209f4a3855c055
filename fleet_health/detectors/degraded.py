"""`degraded`: a host gets through, but a share of its uploads is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, unstamped
from fleet_health.detectors.fatal_only import FatalOnly
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
from fleet_health.detectors.unstamped import Unstamped
from fleet_health.detectors.wording import in_steps
from fleet_health.model.instant import describe
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import CLIENT_ERROR, NO_EVENTS, SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fleet_health.detectors.fatal_only import FatalOnlyLimits
    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.detectors.unstamped import UnstampedLimits
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.window import Counts, HostWindow

SYMPTOM = "degraded"

# If a host was refused every time for hours and then fixed, half of its window is refusals. So the window is cut into
# parts, and a part without an accepted upload does not count. The two parts at the ends of such a span still count,
# and a host that retries may be refused many times in them: a finding needs one part more.
_PARTS = 12
_MIXED_PARTS = 3
# A host that was fixed must not be found when older uploads leave the window: one of the last parts needs a refusal.
_LATE_PARTS = 3

# If at least this many hosts got a 5xx in the window, the receiver is at fault: the default of `receiver-failing`.
_RECEIVER_HOSTS = 3


@dataclass(frozen=True, slots=True)
class DegradedLimits:
    """When a host counts as degraded.

    Attributes:
        window_us: The span of time that is counted, up to the evaluation, both ends included.
        min_count: With fewer responses than this, nothing is reported.
        ratio: The share of refusals among the responses, from which on it is a finding; 0 to 1.
        suggested_fix: What to do.

    """

    window_us: int
    min_count: int
    ratio: float
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    stage=Stage.MANY_REFUSED,
    message_id="f293013e4e404d1ea5a087b0925013bd",
    subject=Subject.HOST,
    needs=JOURNAL,
    is_of_absence=False,
    switches=("detectors.degraded.enabled",),
    is_on_by_default=False,
    is_on_where_learned=True,  # there `silent` keeps the responses of these hours anyway
    limits=DegradedLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.degraded.window",
            Kind.DURATION,
            "6h",
            "window_us",
            "How far back the receiver's responses are counted. They are kept in memory for that long.",
        ),
        Setting(
            "detectors.degraded.min_count",
            Kind.COUNT,
            20,
            "min_count",
            "With fewer responses than this, nothing is reported.",
        ),
        Setting(
            "detectors.degraded.ratio",
            Kind.RATIO,
            0.3,
            "ratio",
            "At least this share of the responses must be refusals.",
        ),
        Setting(
            "detectors.degraded.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On $host: read `journalctl -u cis490-shipper --since -6h` for what its refused uploads have in common,"
            " such as one of several workers; here `fleet-health explain $host` shows the lines of the receiver.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On $host: find out what its refused uploads have in common, such as one of several workers, or a"
            " version that differs. `fleet-health explain $host` shows the lines of the receiver that refuse it.",
        ),
    ),
    build=lambda configured: Degraded(
        configured.limits[SYMPTOM],
        configured.limits[fatal_only.SYMPTOM],
        configured.limits[unstamped.SYMPTOM],
        is_unstamped_reported=unstamped.SYMPTOM not in configured.switched_off,
    ),
)


@dataclass(frozen=True, slots=True)
class _Responses:
    """What counts of the responses to a host.

    Attributes:
        accepted: Those of 2xx.
        refused: Those of 4xx, and those of 5xx that are not the receiver's own trouble.
        mixed: In how many parts of the window uploads were accepted and others refused.
        parts: Where they were counted: first and last instant of each part.

    """

    accepted: int
    refused: int
    mixed: int
    parts: tuple[tuple[Instant, Instant], ...]

    @property
    def total(self) -> int:
        """All that count."""
        return self.accepted + self.refused

    @property
    def share(self) -> float:
        """The share of refusals; 0 if there are no responses."""
        return self.refused / self.total if self.total else 0.0


class Degraded(Rule, MayBeHidden):
    """Finds hosts with too large a share of refused uploads, and with accepted ones.

    A host of which nothing gets through is `fatal-only`, and one that lacks the stamp is `unstamped`: neither is found
    here as well.
    """

    spec = SPEC

    def __init__(
        self,
        limits: HostLimits[DegradedLimits],
        fatal: HostLimits[FatalOnlyLimits],
        stamps: HostLimits[UnstampedLimits],
        *,
        is_unstamped_reported: bool = True,
    ) -> None:
        """Take the limits, and those of the two symptoms that name the fault better."""
        self._limits = limits
        self._stamps = stamps
        reported: list[FatalOnly | Unstamped] = [FatalOnly(fatal)]
        if is_unstamped_reported:
            reported.append(Unstamped(stamps))
        self._better_named = tuple(reported)

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest window."""
        return Lookback(traffic_us=max(limits.window_us for limits in self._limits.each_alone()))

    def candidates(self, fleet: Fleet, now: Instant) -> Iterator[str]:
        """Return the hosts that were refused often enough, and accepted as well."""
        for window_us in {limits.window_us for limits in self._limits.each_alone()}:
            for host, counts in list(fleet.counts(now - window_us, now).items()):
                if not (counts.accepted and counts.refused):
                    continue
                limits = self._limits.of(host)
                if limits.window_us != window_us or counts.answers < limits.min_count:
                    continue
                responses = _responses(fleet, host, window_us, now)
                if _are_enough(responses, limits):
                    yield host

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Count its refusals by status."""
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        assert window is not None  # noqa: S101 - it has been counted
        since, responses = now - limits.window_us, _responses(fleet, host, limits.window_us, now)
        figures = _refusals(fleet, window, responses, since, now)
        counts = window.count(since, now)
        is_unstamped = counts.unstamped * 2 > counts.refused
        fix = self._stamps.of(host).suggested_fix if is_unstamped else limits.suggested_fix
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"{responses.refused} of {responses.total} uploads in the last {describe(limits.window_us)} were"
                f" refused while others were accepted: {figures}{in_steps(window)}{_without_stamp(counts)}"
            ),
            suggested_fix=fix.render(host),
            since=window.earliest((CLIENT_ERROR, SERVER_ERROR), since),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the responses that count, the share of refusals, and what else the fault may be."""
        if host == EVERY_HOST:
            return ()
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        length, responses = describe(limits.window_us), _responses(fleet, host, limits.window_us, now)
        is_whole = _is_whole(fleet, host, now - limits.window_us, now)
        late_us = limits.window_us * _LATE_PARTS // _PARTS
        late = 0 if window is None else _refused_in(fleet, window, limits.window_us, late_us, now)
        better = [one.symptom for one in self._better_named if are_met(one.conditions(fleet, host, now))]
        return (
            Condition(
                f"responses in the last {length}, in parts of {describe(limits.window_us // _PARTS)} with an upload",
                f"{responses.total}{in_steps(window)}",
                f"at least {limits.min_count}",
                "detectors.degraded.min_count",
                responses.total >= limits.min_count,
            ),
            Condition(
                "share of refusals",
                f"{responses.share:.1%}",
                f"at least {limits.ratio:.1%}",
                "detectors.degraded.ratio",
                bool(responses.accepted) and responses.share >= limits.ratio,
            ),
            Condition(
                "those parts that also have a refusal",
                str(responses.mixed),
                f"at least {_MIXED_PARTS}",
                "",
                responses.mixed >= _MIXED_PARTS,
            ),
            Condition(
                f"refusals in the last {describe(late_us)}",
                str(late),
                "at least 1",
                "",
                late > 0,
            ),
            Condition(
                "symptoms that describe it better",
                ", ".join(better) or "none",
                "none",
                "",
                not better,
            ),
            Condition(
                f"journal of the last {length}",
                "complete" if is_whole else "has a gap, or begins later",
                "complete",
                "detectors.degraded.window",
                is_whole,
            ),
        )

    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterator[str]:
        """Return the hosts that may have been refused too often in a gap of the journal.

        The responses that were seen, with as many more as can be missing, must be enough for a finding.
        """
        gaps: dict[int, tuple[bool, int | None]] = {}
        for host in hosts:
            limits = self._limits.of(host)
            window_us, since = limits.window_us, now - limits.window_us
            if window_us not in gaps:
                reaches = fleet.reaches("journal", since)
                is_whole = reaches and fleet.is_whole("journal", since, now)
                gaps[window_us] = is_whole, fleet.missing("journal", since, now) if reaches else None
            is_whole, missing = gaps[window_us]
            if is_whole and fleet.is_complete(host, since):
                continue
            window = fleet.traffic.window(host)
            counts = NO_EVENTS if window is None else window.count(since, now)
            if missing is None or is_whole or _may_be_enough(counts, missing, limits):
                yield host

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether uploads were accepted in a window that was seen whole, and few enough refused in all of it."""
        limits, window = self._limits.of(host), fleet.traffic.window(host)
        since = now - limits.window_us
        if window is None or not _is_whole(fleet, host, since, now):
            return False
        counts = window.count(since, now)
        refused = _refused(counts, is_receiver=_is_receiver_in_trouble(fleet, window, since, now))
        return counts.accepted > 0 and refused < limits.ratio * (counts.accepted + refused)

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload. Fewer refusals, or none, are not a sign of recovery."""
        return fleet.accepted_at(host)

    def limits_of(self, host: str) -> str:
        """Return the window and both limits."""
        limits = self._limits.of(host)
        return f"{limits.window_us} {limits.min_count} {limits.ratio}"


def _is_whole(fleet: Fleet, host: str, since: Instant, until: Instant) -> bool:
    """Return whether no response to a host can be missing: the journal reaches back so far, and has no gap."""
    is_seen = fleet.reaches("journal", since) and fleet.is_whole("journal", since, until)
    return is_seen and fleet.is_complete(host, since)


def _responses(fleet: Fleet, host: str, window_us: int, now: Instant) -> _Responses:
    """Count the responses to a host in those parts of its window in which an upload was accepted."""
    window, since = fleet.traffic.window(host), now - window_us
    if window is None:
        return _Responses(0, 0, 0, ())
    is_receiver = _is_receiver_in_trouble(fleet, window, since, now)
    accepted = refused = mixed = 0
    parts = []
    for number in range(_PARTS):
        begin = since + window_us * number // _PARTS
        end = now if number == _PARTS - 1 else since + window_us * (number + 1) // _PARTS - 1
        counts = window.count(begin, end)
        if counts.accepted:
            accepted += counts.accepted
            refused_here = _refused(counts, is_receiver=is_receiver)
            refused, mixed = refused + refused_here, mixed + (refused_here > 0)
            parts.append((begin, end))
    return _Responses(accepted, refused, mixed, tuple(parts))


def _are_enough(responses: _Responses, limits: DegradedLimits) -> bool:
    return responses.total >= limits.min_count and responses.share >= limits.ratio and responses.mixed >= _MIXED_PARTS


def _may_be_enough(counts: Counts, missing: int, limits: DegradedLimits) -> bool:
    """Return whether this many missing responses could be enough for a finding, if all were refusals."""
    total = counts.answers + missing
    return total >= limits.min_count and counts.refused + missing >= limits.ratio * total


def _without_stamp(counts: Counts) -> str:
    """Return how many uploads were refused without a code stamp, as a suffix to the figures; empty if none was."""
    return f"; {counts.unstamped} of them carry no code stamp" if counts.unstamped else ""


def _refused_in(fleet: Fleet, window: HostWindow, window_us: int, late_us: int, now: Instant) -> int:
    """Count the refusals that are the host's own fault, in the last part of its window."""
    is_receiver = _is_receiver_in_trouble(fleet, window, now - window_us, now)
    return _refused(window.count(now - late_us, now), is_receiver=is_receiver)


def _refused(counts: Counts, *, is_receiver: bool) -> int:
    """Return how many refusals are the host's own fault: a 5xx is not if the receiver is at fault."""
    return counts.client_errors if is_receiver else counts.refused


def _is_receiver_in_trouble(fleet: Fleet, window: HostWindow, since: Instant, now: Instant) -> bool:
    """Return whether the receiver is at fault for the 5xx of a host, because many hosts got some."""

    def make() -> bool:
        return sum(counts.server_errors > 0 for counts in fleet.counts(since, now).values()) >= _RECEIVER_HOSTS

    return window.count(since, now).server_errors > 0 and fleet.once((SYMPTOM, since, now), make)


def _refusals(fleet: Fleet, window: HostWindow, responses: _Responses, since: Instant, now: Instant) -> str:
    """Return the number of refusals that count by status, such as `3 x 412, 1 x 500`."""
    by_status: Counter[int] = Counter()
    for begin, end in responses.parts:
        by_status.update(window.count_by_status(begin, end))
    is_receiver = _is_receiver_in_trouble(fleet, window, since, now)
    classes = {CLIENT_ERROR} if is_receiver else {CLIENT_ERROR, SERVER_ERROR}
    return ", ".join(f"{count} x {status}" for status, count in sorted(by_status.items()) if status // 100 in classes)
