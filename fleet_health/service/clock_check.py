"""Check the wall clock against our own records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from fleet_health.model.clock_evidence import ALERT_LOG, BEHIND_LIMIT_US, SAVED_STATE, contradiction, credible
from fleet_health.model.instant import HOUR_US
from fleet_health.service.clock import monotonic_us
from fleet_health.sources.state import Phase, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fleet_health.model.clock_evidence import Contradiction
    from fleet_health.model.instant import Instant

STATE_ALONE_US = HOUR_US // 2
"""How long the saved state must be the only record that contradicts the clock before it is ignored."""

_log = structlog.get_logger("fleet_health.service")


class ClockCheck:
    """Checks the clock at each evaluation, and records since when it has been behind or set repeatedly."""

    def __init__(self, is_confirmed: Callable[[Instant], bool], monotonic: Callable[[], int] = monotonic_us) -> None:
        """Prepare to check the clock.

        Args:
            is_confirmed: Returns whether a time server or root has confirmed that the clock shows an instant.
            monotonic: Returns the microseconds since a fixed instant.

        """
        self._is_confirmed = is_confirmed
        self._monotonic = monotonic
        self._began_us: int | None = None
        self._alert_log_at: Instant | None = None
        self.confirmation: Path | None = None
        """The file with which root confirms the clock, for the status; None if it cannot be confirmed."""
        self.state: SourceState | None = None
        """The problem of the clock, as the state of a source that cannot be read; None if there is no problem."""
        self.is_behind = False
        """Whether the latest check found a contradiction."""
        self.first_at: Instant = 0
        """The time on the clock when it was first found to be behind; valid while it is behind."""
        self.latest_at: Instant = 0
        """The latest instant of our own records; valid while the clock is behind."""
        self.disproved_until: Instant = 0
        """Records up to this instant are ignored, because a wrong clock dated them; 0 if none are."""

    def restore(self, *, disproved_until: Instant, alert_log_at: Instant | None) -> None:
        """Restore the records from before the start.

        Args:
            disproved_until: `disproved_until` of the saved state.
            alert_log_at: The date of the newest row of the alert log that is ahead of the clock; None if there is none.

        """
        self.disproved_until, self._alert_log_at = disproved_until, alert_log_at

    @property
    def problem(self) -> str:
        """The problem of the clock, for the status; empty if there is none."""
        if self.state is None:
            return ""
        if not self.is_behind:
            return f"the clock is {self.state.reason}: absence is not evaluated"
        problem = f"the clock is {self.state.reason}: absence and resolutions are not evaluated"
        if self.confirmation is None:
            return problem
        return f"{problem}; if it is right now and was ahead before, confirm it as root: touch {self.confirmation}"

    def check(
        self, now: Instant, saved_at: Instant | None, newest: Mapping[str, Instant | None], *, is_set: bool
    ) -> bool:
        """Check the clock against the saved state, the sources and the alert log.

        If a time server or root has confirmed the clock, the records are wrong. The saved state is also taken to be
        wrong if it alone contradicts the clock for long, while new rows and entries agree with the clock. Absence can
        then be evaluated even if the clock is wrong, because all of them use it.

        Args:
            now: The time on the clock.
            saved_at: The latest evaluation in the saved state; None if there is none.
            newest: Source -> the date of its newest row or entry; None if it has none.
            is_set: Whether the clock was set since the last check.

        Returns:
            Whether the saved state is dated ahead of a clock that is right, and must be redated to now.

        """
        was_behind, others = self.is_behind, {ALERT_LOG: self._alert_log_at, **newest}
        known = credible(others, self.disproved_until)
        found, is_redated = contradiction(known | {SAVED_STATE: saved_at}, now), False
        if found is not None and (self._is_confirmed(now) or self._is_state_alone(known, now)):
            if is_redated := (saved_at or 0) - now > BEHIND_LIMIT_US:
                _log.warning("state dated ahead of a confirmed clock, dated as of now", reason=str(found))
            self.disproved_until = max([self.disproved_until, found.at, *(at for at in others.values() if at)])
            self._alert_log_at = found = None
        self._note(found, now, is_set=is_set)
        if found is not None and not was_behind:
            _log.error("clock behind saved records, absence and resolutions not evaluated", reason=str(found))
        return is_redated

    def _is_state_alone(self, others: Mapping[str, Instant | None], now: Instant) -> bool:
        """Return whether only the saved state has contradicted the clock for long, while new records agreed with it."""
        lasting_us = 0 if self._began_us is None else self._monotonic() - self._began_us
        if contradiction(others, now) is not None or lasting_us < STATE_ALONE_US:
            return False
        return any(at is not None and self.first_at <= at for at in others.values())

    def _note(self, found: Contradiction | None, now: Instant, *, is_set: bool) -> None:
        """Record a check.

        Args:
            found: The record that contradicts the clock; None if none does.
            now: The time on the clock.
            is_set: Whether it was set since the last check. Once is no problem, but absence is never evaluated if it is
                set repeatedly.

        """
        was_behind, self.is_behind = self.is_behind, found is not None
        if found is None and not is_set:
            self._began_us = self.state = None
            return
        is_first = self._began_us is None
        if self._began_us is None:
            self._began_us = self._monotonic()
        if found is not None:
            self.first_at = min(self.first_at, now) if was_behind else now
            self.latest_at = found.at
        elif is_first:
            return
        # The begin according to the monotonic clock, as an instant of the present wall clock.
        unseen_since = now - (self._monotonic() - self._began_us)
        reason = "set repeatedly" if found is None else str(found)
        self.state = SourceState("clock", Phase.BEHIND, reason, unseen_since)
