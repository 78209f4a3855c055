"""Decide which alerts of a check are due, and send them, as the service would."""

from __future__ import annotations

import asyncio
import select
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from fleet_health.alerting.alert import Alert
from fleet_health.cli.privileges import become_owner_of
from fleet_health.cli.render.check_report import Line
from fleet_health.errors import SinkUnavailable, SourceUnavailable
from fleet_health.model.instant import HOUR_US
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service import clock
from fleet_health.service.catch_up import recorded, unsent
from fleet_health.service.restoring import past_alerts
from fleet_health.service.silencing import Silencing
from fleet_health.service.witness import with_evidence, with_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fleet_health.alerting.alert import Notice
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.engine import Engine
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

_JOURNAL_PATIENCE = 1.0

_log = structlog.get_logger("fleet_health.check")


def alert_log(settings: Settings) -> AlertLog:
    """Return the alert log of a configuration."""
    return AlertLog(settings.alerts_path, rotated=settings.alerts_rotated)


class Alerting:
    """Decides on the findings of one evaluation, and sends the alerts that are due.

    Attributes:
        is_broken: Whether a part of the check failed, which is logged.

    """

    def __init__(self, engine: Engine, settings: Settings, fleet: Fleet, evaluation: Evaluation) -> None:
        self._engine, self._settings, self._fleet, self._evaluation = engine, settings, fleet, evaluation
        self._log = alert_log(settings)
        self.is_broken = False

    def notify(self, *, is_dry_run: bool) -> list[Line]:
        """Send the alerts that the service would send now, unless in a dry run. Return the findings with decisions."""
        now, engine = self._evaluation.at, self._engine
        silencing = Silencing(SilenceFile(self._settings.state_directory), self._settings.mute_windows)
        asyncio.run(silencing.refresh(now))
        self.is_broken |= bool(silencing.problem)
        found = {alert.dedup_key: alert for alert in self._alerts()}
        # All files that only root can read were read. From here on, files are in directories where other users may put
        # links.
        with self._failing(lambda reason: _log.error("root cannot be dropped", reason=reason)):
            become_owner_of(self._settings.alerts_path.parent)
        with self._failing(
            lambda reason: _log.error("alert log not readable, alerts of this hour unknown", reason=reason)
        ):
            past_alerts(self._log, now, engine.incidents.at).restore_to(engine.incidents)
        outcome = engine.decide(self._evaluation, silencing.muter(now))
        due = [_with_evidence_of(found.get(alert.dedup_key), alert) for alert in outcome.alerts]
        sent = due if is_dry_run else self._send(due)
        new = {alert.dedup_key for alert in sent}
        decided = {decision.pair: decision for decision in outcome.decisions}
        shown = (found | {alert.dedup_key: alert for alert in due}).values()
        return [
            Line(alert, decided.get((alert.finding.host, alert.finding.symptom)), alert.dedup_key in new)
            for alert in sorted(shown, key=lambda alert: (alert.finding.host, alert.finding.symptom))
        ]

    def _alerts(self) -> list[Alert]:
        """Return an alert for each finding, with evidence and sample lines."""
        lookback_us, receivers = self._engine.lookback.traffic_us, self._settings.receivers
        alerts = [Alert(finding, self._evaluation.at) for finding in self._evaluation.findings]
        return with_samples(with_evidence(alerts, self._fleet, receivers, lookback_us), receivers, lookback_us)

    def _send(self, due: Sequence[Alert]) -> Sequence[Alert | Notice]:
        """Append alerts to the alert log and send them to the journal. Return those that were not in the log yet."""
        sink = JournalSink()
        written: Sequence[Alert | Notice] = due
        _catch_up(self._log, sink, self._evaluation.at)
        with self._failing(
            lambda reason: _log.error("alert log not writable, alerts sent to the journal only", reason=reason)
        ):
            written = self._log.append(due)
        _send(sink, written)
        sink.close()
        return written

    @contextmanager
    def _failing(self, log: Callable[[str], None]) -> Iterator[None]:
        """Call `log` with the reason if a file or a privilege is not available, and continue."""
        try:
            yield
        except SinkUnavailable as error:
            log(str(error))
            self.is_broken = True


def _with_evidence_of(found: Alert | None, due: Alert) -> Alert:
    """Return an alert that is due, with the evidence of the alert for the same finding, if there is one."""
    return due if found is None else replace(found, finding=due.finding, after=due.after)


def _catch_up(log: AlertLog, sink: JournalSink, now: Instant) -> None:
    """Send alerts that a killed service or check wrote to the alert log but not to the journal.

    A running service does this itself. Errors are ignored, because the next steps report them, or they are not caused
    by this check.
    """

    def send_mark(mark: str) -> None:
        sink.mark(mark)
        _flush(sink)

    # A check as of a past instant does not repair the present.
    if abs(clock.now() - now) > HOUR_US:
        return
    try:
        if log.has_service() or not (entries := recorded(log, now, None)):
            return
        with log.sending():
            missing = unsent(entries, send_mark, patience=_JOURNAL_PATIENCE)
            _send(sink, missing)
    except (SinkUnavailable, SourceUnavailable) as error:
        _log.info("alert log and journal not compared", reason=str(error))
        return
    if missing:
        _log.warning("recorded alerts sent that the journal lacked", count=len(missing))


def _send(sink: JournalSink, alerts: Sequence[Alert | Notice]) -> None:
    sink.take(alerts)
    _flush(sink)


def _flush(sink: JournalSink) -> None:
    sink.flush()
    patience_ends = time.monotonic() + _JOURNAL_PATIENCE
    while sink.has_pending and sink.fd is not None and (left := patience_ends - time.monotonic()) > 0:
        select.select([], [sink.fd], [], left)
        sink.flush()
