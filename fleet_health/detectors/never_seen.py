"""`never-seen`: a host that is expected has not uploaded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import silent
from fleet_health.detectors.spec import (
    INDEX,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Sign,
    Subject,
)
from fleet_health.model.absence import absence_us
from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.instant import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.detectors.limits import HostLimits
    from fleet_health.detectors.suggested_fix import SuggestedFix
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "never-seen"


@dataclass(frozen=True, slots=True)
class NeverSeenLimits:
    """When a host that is expected is notified.

    Attributes:
        grace_us: So long after it was missed first.
        suggested_fix: What to do.

    """

    grace_us: int
    suggested_fix: SuggestedFix


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="d8da28ab84cf4b88a0fc66dbbf41cc86",
    subject=Subject.HOST,
    needs=INDEX,
    is_of_absence=True,
    switches=("detectors.never-seen.enabled",),
    sign=Sign.FIRST,
    is_of_expected=True,
    grace_us=lambda limits, host: int(limits[SYMPTOM].of(host).grace_us),
    limits=NeverSeenLimits,
    is_by_host=True,
    settings=(
        Setting(
            "detectors.never-seen.grace",
            Kind.DURATION,
            "1h",
            "grace_us",
            "The alert fires when an expected host has been missing for longer than this.",
        ),
        Setting(
            "detectors.never-seen.suggested_fix",
            Kind.SUGGESTED_FIX,
            "If $host is being set up: check that it is switched on, and `systemctl status cis490-shipper` there."
            " If not: take it out of `hosts.expected`.",
            "suggested_fix",
            "The text of the alert that says what to do.",
            elsewhere="If $host is being set up: check that it is switched on, and that the service that uploads"
            " runs there. If not: take it out of `hosts.expected`.",
        ),
    ),
    build=lambda configured: NeverSeen(
        configured.expected,
        max(limits.lookback_us for limits in configured.limits[silent.SYMPTOM].each_alone()),
        configured.limits[SYMPTOM],
    ),
)


class NeverSeen(Rule):
    """Finds expected hosts that are not known to have ever uploaded.

    A glob stands for at least one host: while no host matches it, it is a finding under the name of the glob.
    """

    spec = SPEC

    def __init__(self, expected: Sequence[str], lookback_us: int, limits: HostLimits[NeverSeenLimits]) -> None:
        """Take the globs of what is expected, how far back uploads are known, and the limits."""
        self._plain = [glob for glob in expected if is_plain(glob)]
        self._shapes = HostGlobs(tuple(glob for glob in expected if not is_plain(glob)))
        self._expected = frozenset(expected)
        self._lookback_us = lookback_us
        self._limits = limits

    @property
    def lookback(self) -> Lookback:
        """Look back as far as `silent` does."""
        return Lookback(uploads_us=self._lookback_us)

    def _absence_us(self, fleet: Fleet, host: str, now: Instant) -> int:
        """Return for how long it could have uploaded and did not, in microseconds, since uploads are known."""
        since = max(now - self._lookback_us - self._limits.of(host).grace_us, fleet.known_since)
        return absence_us(fleet, host, since, now)

    def candidates(self, fleet: Fleet, now: Instant) -> Sequence[str]:
        """Return each expected name that is unknown, and each expected glob that no known host matches."""
        del now
        unknown = [name for name in self._plain if not _is_known(fleet, name)]
        if self._shapes.globs:
            unknown += self._shapes.unmatched(fleet.uploaders())
        return unknown

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return the finding that the host, or every host that matches the glob, is missing."""
        del fleet, now
        words = "it is" if is_plain(host) else "a host of this name is"
        return Finding(
            host=host,
            symptom=SYMPTOM,
            detail=f"{words} expected, and no accepted upload of it is known",
            suggested_fix=self._limits.of(host).suggested_fix.render(host),
        )

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return whether it is expected, whether it is known, and for how long it could have uploaded.

        A glob is known if any known host matches it.
        """
        if host not in self._expected:
            return ()
        is_known = _is_known(fleet, host) or not HostGlobs((host,)).unmatched(fleet.lost)
        return (
            Condition("listed in `hosts.expected`", "yes", "yes", "hosts.expected", is_met=True),
            Condition("accepted uploads", "known" if is_known else "none known", "none known", "", not is_known),
            Condition(
                "time in which it could have uploaded",
                describe(absence_us := self._absence_us(fleet, host, now)),
                f"longer than {describe(self._limits.of(host).grace_us)}",
                "detectors.never-seen.grace",
                absence_us > self._limits.of(host).grace_us,
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether the host, or a host that matches the glob, has uploaded."""
        del now
        return _is_known(fleet, host)

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the newest accepted upload of the host, or of any host that matches, in either source."""
        if is_plain(host):
            return fleet.accepted_at(host)
        glob = HostGlobs((host,))
        instants = (fleet.accepted_at(name) for name in fleet.hosts() if glob.matches(name))
        return max((at for at in instants if at is not None), default=None)

    def limits_of(self, host: str) -> str:
        """Return an empty text: a change of limits never ends this incident."""
        del host
        return ""


def _is_known(fleet: Fleet, name: str) -> bool:
    """Return whether a host, or any host that matches a glob, has uploaded."""
    if is_plain(name):
        return fleet.accepted_at(name) is not None
    return not HostGlobs((name,)).unmatched(fleet.uploaders())
