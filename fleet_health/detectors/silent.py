"""`silent`: a host that used to upload has stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, unstamped
from fleet_health.detectors.fatal_only import fix_by_cause
from fleet_health.detectors.spec import (
    INDEX,
    Condition,
    Contradiction,
    DetectorSpec,
    Finding,
    Foreseeing,
    Kind,
    Lookback,
    Rule,
    Setting,
    Sign,
    SlowToEnd,
    Stage,
    Subject,
    Watching,
)
from fleet_health.detectors.wording import how_long_ago
from fleet_health.model.absence import absence_us, counted_us, pauses_of
from fleet_health.model.instant import HOUR_US, describe, isoformat
from fleet_health.model.pauses import latest_before, passed_us
from fleet_health.model.rhythm import KEPT_US
from fleet_health.model.subject import EVERY_HOST
from fleet_health.model.window import CLIENT_ERROR, NO_EVENTS, SERVER_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.detectors.fatal_only import FatalOnlyLimits
    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.detectors.unstamped import UnstampedLimits
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.learned_limit import LearnedLimit
    from fleet_health.model.upload_schedule import UploadSchedule

SYMPTOM = "silent"
CADENCE = "detectors.silent.cadence"
"""The key that says whether limits are learned."""
TRIES = "it tries, and is refused"
"""Part of a finding's detail: the host has been refused since its last upload."""
_REFUSED = 400
# A host of a learned rhythm was refused up to six and a half hours before it is silent, and the alert must name that.
_REFUSALS_US = 8 * HOUR_US
# A host of a learned rhythm is well when it keeps to it for some limits, and meanwhile uploads as much as usual and has
# its uploads accepted: of one that gets through now and then each upload would end its silence. But nobody waits for a
# day because of a host that uploads once a day, and one that uploads less from now on for good is well after two days.
_PROOF_LIMITS, _PROOF_MOST_US, _PROOF_LONGEST_US = 6, 3 * HOUR_US, 48 * HOUR_US
_AS_USUAL = 0.9


@dataclass(frozen=True, slots=True)
class SilentLimits:
    """When a host counts as silent.

    Attributes:
        after_us: It is silent when its last upload is longer ago than this, strictly, counting only time in which it
            could upload.
        lookback_us: It is watched if it uploaded within this time, including the boundary, counted in the same way.
        suggested_fix: What to do.
        is_learned: Whether `after_us` is only the shortest limit, and each host has its own, from its past uploads.
        after_max_us: The longest limit that is learned.
        expected: When uploads are expected; then only that decides. None without a schedule.

    """

    after_us: int
    lookback_us: int
    suggested_fix: SuggestedFix
    is_learned: bool = False
    after_max_us: int = 0
    expected: UploadSchedule | None = None

    @property
    def longest_us(self) -> int:
        """The longest limit of any host, without pauses."""
        if self.expected is not None:
            return max(self.after_us, self.expected.longest_us)
        return max(self.after_us, self.after_max_us) if self.is_learned else self.after_us

    @property
    def key(self) -> str:
        """The setting of the limit of a host."""
        if self.expected is not None:
            return "detectors.silent.expected"
        return CADENCE if self.is_learned else "detectors.silent.after"

    def learned(self, fleet: Fleet, host: str) -> LearnedLimit | None:
        """Return the limit of a host by its own rhythm; None if limits are not learned."""
        if self.expected is not None or not self.is_learned:
            return None
        return fleet.learned_limit(host, self.after_us, self.longest_us)

    def of(self, fleet: Fleet, host: str) -> int:
        """Return the limit of a host, in microseconds, from its last upload on, without pauses."""
        if self.expected is not None and (last_at := fleet.accepted_at(host)) is not None:
            return max(self.after_us, self.expected.due_by(last_at) - last_at)
        learned = self.learned(fleet, host)
        return self.after_us if learned is None else learned.limit_us

    def in_words(self, fleet: Fleet, host: str) -> str:
        """Return the limit of a host in words, its origin if it is not `after`, and since when it counts if anew."""
        limit = describe(self.of(fleet, host))
        if self.expected is not None:
            return f"{limit}, expected {self.expected.text}"
        learned, last_at = self.learned(fleet, host), fleet.accepted_at(host)
        if learned is None:
            return limit
        text = f"{limit}, {learned.in_words()}"
        if last_at is not None and (counted_from := fleet.limit_counted_from(host, last_at)) != last_at:
            text += f", counted from {isoformat(counted_from)}: it was due before that, while no host could upload"
        return text

    def is_exceeded(self, fleet: Fleet, host: str, last_at: Instant, now: Instant) -> bool:
        """Return whether a host has been absent for longer than its limit.

        After each stop of the receiver a host gets `after_us` again, not its whole own limit, which may be a day.
        """
        return self.left_us(fleet, host, last_at, now) < 0 and absence_us(fleet, host, last_at, now) > self.after_us

    def left_us(self, fleet: Fleet, host: str, last_at: Instant, now: Instant) -> int:
        """Return how much is left of a host's own limit if no pause comes; negative if nothing is.

        A limit counts time in which the host could upload; a schedule goes by the clock. A host that was due while no
        host could upload is given its limit anew.
        """
        if self.expected is not None:
            return self.expected.due_by(last_at, pauses_of(fleet, host, now)) - now
        if (limit_us := self.of(fleet, host)) == self.after_us:
            return -1
        return limit_us - counted_us(fleet, host, fleet.limit_counted_from(host, last_at), now)

    def watched_us(self, limit_us: int) -> int:
        """Return for how long a host with a limit is watched after its last upload, without pauses."""
        # After a pause the second time may decide.
        second_us = 0 if self.expected is None else self.expected.longest_us
        return self.lookback_us + limit_us + second_us - self.after_us


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    urgency=4,
    message_id="3c283656215742d5a6013298166c7df4",
    subject=Subject.HOST,
    needs=INDEX,
    is_of_absence=True,
    switches=("detectors.silent.enabled",),
    sign=Sign.MISSED,
    stage=Stage.NONE_ACCEPTED,
    absence_us=lambda limits, host: int(limits[SYMPTOM].of(host).after_us),
    limits=SilentLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.silent.after",
            Kind.DURATION,
            "30m",
            "after_us",
            "The host is silent if its last accepted upload, by the index or the journal, is longer ago than"
            " this. Time in which the receiver was stopped, its machine was off, or a mute window muted the host"
            " does not count.",
        ),
        Setting(
            CADENCE,
            Kind.CADENCE,
            "fixed",
            "is_learned",
            "With `fixed`, `after` is the limit of every host. With `learned`, each host has a limit of its"
            " own, from `after` to `after_max`, by its uploads of the last four weeks; the first start with it"
            " reads five weeks of the index.",
        ),
        Setting(
            "detectors.silent.after_max",
            Kind.DURATION,
            "8d",
            "after_max_us",
            "The longest limit that is learned, at least as long as `after`.",
        ),
        Setting(
            "detectors.silent.expected",
            Kind.SCHEDULE,
            None,
            "expected",
            "The times at which a host is expected to upload, usually set in an override. The host is silent"
            " when such a time has passed without an upload. This replaces `cadence`; the limit is never shorter"
            " than `after`.",
        ),
        Setting(
            "detectors.silent.lookback",
            Kind.DURATION,
            "24h",
            "lookback_us",
            "A host without an upload for longer than this no longer counts as part of the fleet. Must be"
            " longer than `after`. For a host whose learned limit is longer than `after`, this is longer by as"
            " much.",
        ),
        Setting(
            "detectors.silent.suggested_fix",
            Kind.SUGGESTED_FIX,
            "On $host: look at `systemctl status cis490-shipper cis490-orchestrator` and start what is inactive;"
            " if one of them keeps failing, follow FIXYOURSELF.md.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="On $host: check that it is up and reaches the receiver, and that the service that uploads"
            " runs; its log shows why it stopped.",
        ),
    ),
    contradictions=(
        Contradiction(
            ("detectors.silent.after", "detectors.silent.lookback"),
            "longer than detectors.silent.after, also with each override",
            lambda limits: limits.after_us < limits.lookback_us,
            "a host is forgotten before it could count as silent",
        ),
        Contradiction(
            ("detectors.silent.after", "detectors.silent.after_max"),
            "no shorter than detectors.silent.after where the cadence is learned, also with each override",
            lambda limits: not limits.is_learned or limits.after_us <= limits.after_max_us,
        ),
    ),
    build=lambda configured: Silent(
        configured.limits[SYMPTOM],
        configured.limits[fatal_only.SYMPTOM],
        configured.limits[unstamped.SYMPTOM],
    ),
)


class Silent(Rule, Watching, Foreseeing, SlowToEnd):
    """Finds active hosts whose last upload is longer ago than allowed."""

    spec = SPEC

    def __init__(
        self,
        limits: HostLimits[SilentLimits],
        refused: HostLimits[FatalOnlyLimits] | None = None,
        stamps: HostLimits[UnstampedLimits] | None = None,
    ) -> None:
        """Take the limits, and those of the detectors whose fix is suggested for a host that is refused."""
        self._limits = limits
        self._refused = refused
        self._stamps = stamps

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the longest lookback, and in the journal for recent uploads of a host."""
        limits = self._limits.each_alone()
        return Lookback(
            uploads_us=max(one.watched_us(one.longest_us) for one in limits),
            traffic_us=max(max(one.after_us, _REFUSALS_US if one.is_learned else 0) for one in limits),
            rhythm_us=KEPT_US if any(one.is_learned and one.expected is None for one in limits) else 0,
        )

    def candidates(self, fleet: Fleet, now: Instant) -> Iterator[str]:
        """Return the hosts whose last upload is longer ago than their limit."""
        least_us = min(limits.after_us for limits in self._limits.each_alone())
        for host in fleet.uploaders(before=now - least_us):
            last_at = fleet.accepted_at(host)
            if last_at is not None and self._limits.of(host).is_exceeded(fleet, host, last_at, now):
                yield host

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return the finding of a host, with its last upload."""
        last_at = fleet.accepted_at(host)
        assert last_at is not None  # noqa: S101 - it meets the conditions
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=(
                f"no accepted upload since {isoformat(last_at)}, {how_long_ago(fleet, host, last_at, now)}"
                f" (the limit is {self._limits.of(host).in_words(fleet, host)})"
                f"{_refused_since(fleet, host, last_at, now)}"
            ),
            suggested_fix=self._fix(fleet, host, last_at, now).render(host),
            since=last_at,
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return how long ago the last upload was, beside both limits. A 2xx in the journal counts, too."""
        if host == EVERY_HOST:
            return ()
        limits, last_at = self._limits.of(host), fleet.accepted_at(host)
        quiet = "none known" if last_at is None else how_long_ago(fleet, host, last_at, now)
        watched_us = limits.watched_us(limits.of(fleet, host))
        return (
            Condition(
                "last accepted upload",
                quiet,
                f"longer ago than {limits.in_words(fleet, host)}",
                limits.key,
                last_at is not None and limits.is_exceeded(fleet, host, last_at, now),
            ),
            Condition(
                "last accepted upload, within the lookback",
                quiet,
                f"no longer ago than {describe(watched_us)}",
                "detectors.silent.lookback",
                last_at is not None and counted_us(fleet, host, last_at, now) <= watched_us,
            ),
        )

    def _fix(self, fleet: Fleet, host: str, last_at: Instant, now: Instant) -> SuggestedFix:
        """Choose what to suggest: a host that has been refused since its last upload is up, and its shipper runs."""
        window, since = fleet.traffic.window(host), last_at + 1
        refused_at = None if window is None else window.earliest((CLIENT_ERROR, SERVER_ERROR), since)
        if self._refused is None or window is None or refused_at is None or refused_at > now:
            return self._limits.of(host).suggested_fix
        stamps = None if self._stamps is None else self._stamps.of(host)
        return fix_by_cause(window, since, now, self._refused.of(host), stamps)

    def watched_us(self, fleet: Fleet, host: str) -> int:
        """Return for how long a host is watched after its last upload, in microseconds."""
        limits = self._limits.of(host)
        return limits.watched_us(limits.of(fleet, host))

    def finds_at(self, fleet: Fleet, host: str, now: Instant) -> Instant | None:
        """Return when a host will be silent if it does not upload; None if it already is, or no upload is known."""
        limits, last_at = self._limits.of(host), fleet.accepted_at(host)
        if last_at is None or limits.is_exceeded(fleet, host, last_at, now):
            return None
        pause = latest_before(pauses_of(fleet, host, now), now)
        counted_from = last_at if pause is None else max(last_at, pause.until)
        left_us = limits.after_us - passed_us(fleet.skips, counted_from, now)
        return now + max(left_us, limits.left_us(fleet, host, last_at, now))

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether the host has uploaded recently."""
        last_at = fleet.accepted_at(host)
        return last_at is not None and not self._limits.of(host).is_exceeded(fleet, host, last_at, now)

    def proof_us(self, fleet: Fleet, host: str, now: Instant) -> int:
        """Return for how long a host must keep to its learned rhythm, in microseconds; 0 if none is learned."""
        learned = self._limits.of(host).learned(fleet, host)
        if learned is None:
            return 0
        proof_us = _PROOF_LIMITS * learned.limit_us
        compared_us = min(proof_us, _REFUSALS_US)
        is_as_usual = fleet.share_of_usual(host, compared_us) >= _AS_USUAL
        is_taken = _accepted_share(fleet, host, now - compared_us, now) >= _AS_USUAL
        return min(proof_us, _PROOF_MOST_US) if is_as_usual and is_taken else _PROOF_LONGEST_US

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload in either source."""
        return fleet.accepted_at(host)

    def limits_of(self, host: str) -> str:
        """Return the settings: a learned limit that changes with the uploads is no change of the settings."""
        limits = self._limits.of(host)
        own = f" {limits.after_max_us} learned" if limits.is_learned else ""
        own = own if limits.expected is None else f" {limits.expected.text}"
        return f"{limits.after_us} {limits.lookback_us}{own}"


def _accepted_share(fleet: Fleet, host: str, since: Instant, now: Instant) -> float:
    """Return the share of a host's uploads between two instants that was accepted; 1 if no response is known."""
    window = fleet.traffic.window(host)
    counts = NO_EVENTS if window is None else window.count(since, now)
    return counts.accepted / counts.answers if counts.answers else 1.0


def _refused_since(fleet: Fleet, host: str, last_at: Instant, now: Instant) -> str:
    """Return how a host was refused since its last accepted upload, to append to the figures; empty if it was not."""
    window = fleet.traffic.window(host)
    answers = {} if window is None else window.count_by_status(last_at + 1, now)
    refused = ", ".join(f"{count} x {status}" for status, count in answers.items() if status >= _REFUSED)
    return f"; {TRIES}: {refused}" if refused else ""
