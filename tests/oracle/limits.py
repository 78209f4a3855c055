"""The limits that the model is run under: in whole minutes, and as the service takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from fleet_health.detectors.fatal_only import FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.silent import SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import UnstampedLimits
from fleet_health.model.instant import SECOND_US

if TYPE_CHECKING:
    from fleet_health.config.schema import Settings

MINUTE = 60 * SECOND_US

_FIX = SuggestedFix("look at $host")


class Rules(NamedTuple):
    """The limits of all symptoms, in minutes, for some hosts."""

    after: int
    lookback: int
    fatal_window: int
    fatal_min_count: int
    ratio: float
    unstamped_window: int
    unstamped_min_count: int


class Limits(NamedTuple):
    """The limits in force."""

    default: Rules
    bench: Rules

    def of(self, host: str) -> Rules:
        """Return one host's."""
        return self.bench if host.startswith("bench-") else self.default

    @property
    def lookback(self) -> int:
        """How far back the uploads must be known, in microseconds: for who is silent, and for who is refused."""
        return max(max(rules.lookback, rules.fatal_window) for rules in self) * MINUTE

    def applied_to(self, base: Settings) -> Settings:
        """Return settings with these limits."""

        def split(rules: Rules) -> tuple[SilentLimits, FatalOnlyLimits, UnstampedLimits]:
            return (
                SilentLimits(rules.after * MINUTE, rules.lookback * MINUTE, _FIX),
                FatalOnlyLimits(rules.fatal_window * MINUTE, rules.fatal_min_count, rules.ratio, _FIX, _FIX, _FIX),
                UnstampedLimits(rules.unstamped_window * MINUTE, rules.unstamped_min_count, _FIX),
            )

        def changes(limits: Any) -> list[Override]:
            return [Override("bench-*", {name: getattr(limits, name) for name in limits.__slots__})]

        ours, theirs = split(self.default), split(self.bench)
        return replace(
            base,
            limits={
                **base.limits,
                "silent": HostLimits(ours[0], changes(theirs[0])),
                "fatal-only": HostLimits(ours[1], changes(theirs[1])),
                "unstamped": HostLimits(ours[2], changes(theirs[2])),
            },
            # The reference knows the three.
            switched_off=frozenset(detector.symptom for detector in base.detectors())
            - {"silent", "fatal-only", "unstamped", "too-many-hosts"},
        )
