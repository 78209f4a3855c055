"""Read the saved state and the alert log when the service starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fleet_health.errors import PathHangs, SinkUnavailable
from fleet_health.files.hang_watch import touching
from fleet_health.files.hanging_calls import call_at
from fleet_health.files.safe_files import SafeDirectory
from fleet_health.model.clock_evidence import BEHIND_LIMIT_US
from fleet_health.model.instant import HOUR_US
from fleet_health.records.salvage import salvage
from fleet_health.records.state_file import SIZE_LIMIT, STATE_FILE
from fleet_health.service.catch_up import recorded, recorded_since
from fleet_health.service.examining import examined, with_present_names
from fleet_health.service.publication import KEPT_US
from fleet_health.service.saved_state import SavedState
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Alert, Notice
    from fleet_health.alerting.incidents import Incidents
    from fleet_health.model.instant import Instant
    from fleet_health.records.alert_log import AlertLog
    from fleet_health.records.state_file import StateFile

_PROBLEMS_LOGGED = 10

_log = structlog.get_logger("fleet_health.service")


def restored_state(file: StateFile[SavedState]) -> SavedState:
    """Return the saved state without its unreadable and impossible parts, and log those."""
    try:
        state = with_present_names(file.load(examined) or SavedState())
    except SinkUnavailable as error:
        _log.error("state file not readable, started without saved incidents", reason=str(error))
        return SavedState()
    if file.problems:
        _log.error(
            "state file damaged, undamaged part restored",
            file=str(file.path),
            copy="state.damaged",
            problems=file.problems[:_PROBLEMS_LOGGED],
            count=len(file.problems),
        )
    return state


def read_state(directory: Path) -> SavedState | None:
    """Return the saved state in a directory; None if it cannot be read. Log and change nothing."""
    try:
        with touching(directory), SafeDirectory(directory) as opened:
            content = opened.read_file(STATE_FILE, SIZE_LIMIT)
        state, _ = salvage(msgspec.json.decode(content, type=dict[str, Any]), SavedState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if state is None else with_present_names(examined(state)[0])


def newest_alert_at(log: AlertLog, now: Instant) -> Instant | None:
    """Return the newest date in the alert log that is ahead of the clock; None if there is none.

    It is at most the time when the file was last written, because a row may contain any date.
    """
    try:
        ahead = [at for _, at in log.notified_since(now + BEHIND_LIMIT_US)]
    except SinkUnavailable:
        return None  # already logged by `past_alerts_or_none`
    return no_later_than_written(max(ahead, default=None), log.path)


@dataclass(frozen=True, slots=True)
class PastAlerts:
    """The notifications in the alert log that incidents need.

    Attributes:
        keys: The dedup keys of the alerts of this hour, each with its instant.
        rows: Host, symptom and status of the rows that are newer than the state, each with its instant.

    """

    keys: list[tuple[str, Instant]] = field(default_factory=list)
    rows: list[tuple[tuple[str, str, str], Instant]] = field(default_factory=list)

    def restore_to(self, incidents: Incidents) -> None:
        """Record these notifications in the incidents."""
        for key, at in self.keys:
            incidents.note_sent(key, at)
        for (host, symptom, status), at in self.rows:
            incidents.note_row(host, symptom, status, at)


def past_alerts(log: AlertLog, now: Instant, saved_at: Instant | None) -> PastAlerts:
    """Read the alerts of this hour from the alert log, and all rows that are newer than the state.

    Args:
        log: The alert log.
        now: The present.
        saved_at: The latest evaluation in the state; None if there is no state.

    Raises:
        SinkUnavailable: The alert log exists and cannot be read.

    """
    since = now - now % HOUR_US if saved_at is None else saved_at + 1
    return PastAlerts(log.recent_keys(now), log.notified_since(since))


def past_alerts_or_none(log: AlertLog, now: Instant, saved_at: Instant | None) -> PastAlerts:
    """Return `past_alerts`; if the alert log cannot be read, log that and return no alerts."""
    try:
        return past_alerts(log, now, saved_at)
    except SinkUnavailable as error:
        _log.error("alert log not readable, alerts of this hour unknown", reason=str(error))
        return PastAlerts()


@dataclass(frozen=True, slots=True)
class AlertLogAtStart:
    """The rows of the alert log that the service needs when it starts; empty if the alert log cannot be read.

    Attributes:
        past: The past alerts, for the incidents.
        undelivered: The alerts and notices that the journal may lack.
        recent: The recent alerts and notices, for clients that follow.
        ahead_at: The newest date that is ahead of the clock; None if there is none.

    """

    past: PastAlerts = field(default_factory=PastAlerts)
    undelivered: Sequence[Alert | Notice] = ()
    recent: Sequence[Alert | Notice] = ()
    ahead_at: Instant | None = None


async def alert_log_at_start(log: AlertLog, now: Instant, saved_at: Instant | None) -> AlertLogAtStart:
    """Read the alert log. If it cannot be read or its disk hangs, log that and return an empty result.

    Args:
        log: The alert log.
        now: The present.
        saved_at: The latest evaluation in the state; None if there is no state.

    """

    def read() -> AlertLogAtStart:
        return AlertLogAtStart(
            past_alerts_or_none(log, now, saved_at),
            recorded(log, now, saved_at),
            recorded_since(log, now - KEPT_US, now),
            newest_alert_at(log, now),
        )

    try:
        return await call_at(log.path, read)
    except PathHangs as error:
        _log.error("alert log not readable, alerts of this hour unknown", reason=str(error))
        return AlertLogAtStart()
