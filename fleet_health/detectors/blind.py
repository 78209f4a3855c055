"""`blind`: we ourselves cannot see. Nothing is wrong with a host, and nothing would be found if it were.

Either a source cannot be read, or the journal that is read is not what the receiver wrote: journald suppresses lines,
again and again, so that no window is whole for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, unstamped
from fleet_health.detectors.spec import (
    NOTHING,
    PRESENT,
    Condition,
    DetectorSpec,
    Finding,
    Kind,
    Lookback,
    Rule,
    Setting,
    Subject,
)
from fleet_health.model.coverage import latest_run
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.subject import EVERY_HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.model.coverage import Gap
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "blind"
CLOCK = "clock"
"""The source that is away while the clock contradicts our own records."""

_SUGGESTED_FIX = (
    "On the machine where fleet-health runs: mend what `systemctl status fleet-health` says of its sources;"
    " it goes on by itself."
)
_SUGGESTED_FIX_CLOCK = (
    "On the machine where fleet-health runs: set the clock (`timedatectl status`); it goes on by itself. If the clock"
    " is right and was ahead before: stop fleet-health, move `state.json` out of its state directory, and start it."
)

_RATE_LIMIT_DROP_IN = "/usr/local/share/doc/fleet-health/drop-ins/receiver-rate-limit.conf"


@dataclass(frozen=True, slots=True)
class BlindLimits:
    """When we count as blind.

    Attributes:
        after_us: For so many microseconds a source may be away, and gaps may come; a finding is what lasts longer,
            strictly.

    """

    after_us: int


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="4bc9e1b6f3b74ff4a7add4b0dd45cfc0",
    subject=Subject.RECEIVER,
    needs=NOTHING,  # it is about what cannot be seen
    is_of_absence=False,
    switches=("detectors.blind.enabled",),
    limits=BlindLimits,
    settings=(
        Setting(
            "blind_after",
            Kind.DURATION,
            "15m",
            "after_us",
            "If the index or the journal cannot be read for longer than this, the alert `blind` fires.",
        ),
    ),
    build=lambda configured: Blind(
        configured.limits[SYMPTOM].after_us,
        # The longest window of what is evaluated of hosts by the journal.
        max(
            limits.window_us
            for symptom in (fatal_only.SYMPTOM, unstamped.SYMPTOM)
            for limits in configured.limits[symptom].each_alone()
        ),
        configured.unit,
    ),
)


class Blind(Rule):
    """Finds out whether a source could not be read, or the journal was not whole, for too long."""

    spec = SPEC
    lookback = Lookback()

    def __init__(self, after_us: int, window_us: int = 0, unit: str = "") -> None:
        """Take the limits.

        Args:
            after_us: For so many microseconds a source may be away, and gaps may come; a finding is what lasts longer,
                strictly.
            window_us: The longest window of the detectors that go by the journal: gaps that are no further apart leave
                no time in which that was seen whole.
            unit: The receiver's unit, for what is suggested.

        """
        self._after_us = after_us
        self._window_us = window_us
        self._unit = unit

    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Name every source that is away for too long, and what is known of the gaps."""
        unseen = {
            coverage.source: f"the {coverage.source} for {describe(now - coverage.unseen_since)} ({coverage.reason})"
            for coverage in fleet.coverage
            if coverage.unseen_since is not None and now - coverage.unseen_since > self._after_us
        }
        clock, run = unseen.pop(CLOCK, ""), self._run(fleet, now)
        details, fixes = [], []
        if unseen:
            details.append("cannot read " + ", nor ".join(unseen.values()))
            fixes.append(_SUGGESTED_FIX)
        if clock:
            details.append(f"cannot evaluate by {clock}")
            fixes.append(_SUGGESTED_FIX_CLOCK)
        if run is not None and self._is_lasting(run):
            details.append(f"the journal has kept having gaps for {describe(now - run.since)}: {_in_words(run)}")
            fixes.append(self._rate_limit_fix())
        return Finding(host=host, symptom=SYMPTOM, detail="; ".join(details), suggested_fix=" ".join(fixes))

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return for how long the source that is away the longest could not be read, and since when gaps are coming.

        Either is enough for a finding.
        """
        if host != EVERY_HOST:
            return ()
        run = self._run(fleet, now)
        gaps_us = 0 if run is None else run.until - run.since
        away_us = max((now - one.unseen_since for one in fleet.coverage if one.unseen_since is not None), default=None)
        return (
            Condition(
                "a source not readable",
                "all are" if away_us is None else f"for {describe(max(0, away_us))}",
                f"for longer than {describe(self._after_us)}",
                "blind_after",
                away_us is not None and away_us > self._after_us,
                way="away",
            ),
            Condition(
                "gaps in the journal, no window whole in between",
                "none" if run is None else f"over {describe(gaps_us)}: {_in_words(run)}",
                f"over more than {describe(self._after_us)}",
                "blind_after",
                run is not None and self._is_lasting(run),
                way="gaps",
            ),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether every source can be read, and the journal was whole for a window if gaps kept coming."""
        del host
        run = self._run(fleet, now)
        is_lasting = run is not None and self._is_lasting(run)
        return not is_lasting and all(coverage.unseen_since is None for coverage in fleet.coverage)

    def sign_at(self, fleet: Fleet, host: str) -> Instant:
        """Return the present: that every source can be read is what we observe ourselves."""
        del fleet, host
        return PRESENT

    def limits_of(self, host: str) -> str:
        """Return the limits."""
        del host
        return f"{self._after_us},{self._window_us}"

    def _run(self, fleet: Fleet, now: Instant) -> Gap | None:
        """Return the gaps of the journal that go on until now as one; None if a whole window has gone by since."""
        gaps = (gap for coverage in fleet.coverage if coverage.kind == "journal" for gap in coverage.gaps)
        run = latest_run(gaps, self._window_us)
        return None if run is None or now - run.until > self._window_us else run

    def _is_lasting(self, run: Gap) -> bool:
        """Return whether gaps keep coming: one that nobody counted is no more than a time that we were away."""
        return run.until - run.since > self._after_us and (run.gaps > 1 or run.messages > 0)

    def _rate_limit_fix(self) -> str:
        return (
            f"Look what floods the journal: `journalctl -u {self._unit} -n 1000`. Lift the rate limit of that unit:"
            f" `install -D -m 644 {_RATE_LIMIT_DROP_IN} /etc/systemd/system/{self._unit}.d/receiver-rate-limit.conf`,"
            f" then `systemctl daemon-reload` and `systemctl restart {self._unit}`."
        )


def _in_words(run: Gap) -> str:
    """Return how many gaps there were, since when, and what is known to be missing."""
    gaps = f"{run.gaps} gap{'' if run.gaps == 1 else 's'} since {isoformat(run.since)[:19]}Z"
    return f"{gaps}, {run.cause}"
