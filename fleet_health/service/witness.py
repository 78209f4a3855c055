"""Add evidence to alerts: figures about the host, sample lines, and the command that shows the other lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.alerting.evidence import evidence_of
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.model.subject import is_host, receiver_of
from fleet_health.sources.journal.samples import journal_command, sample_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.alerting.alert import Alert
    from fleet_health.config.schema import JournalSettings, ReceiverSettings
    from fleet_health.model.fleet import Fleet
    from fleet_health.service.configuration import Configuration

SAMPLES = Path("sample lines of the journal")
"""The name under which `call_at` searches journals one at a time, because a disk may hang."""


class SettingsWitness:
    """Adds evidence, by the settings in force at the time of the call."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def with_evidence(self, alerts: Sequence[Alert], fleet: Fleet) -> list[Alert]:
        """Return the alerts with figures about their hosts."""
        settings = self._configuration.settings
        return with_evidence(alerts, fleet, settings.receivers, lookback_of(settings.detectors()).traffic_us)

    def with_samples(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Return the alerts with journal lines that show refusals of their hosts."""
        settings = self._configuration.settings
        return with_samples(alerts, settings.receivers, lookback_of(settings.detectors()).traffic_us)


def with_evidence(
    alerts: Sequence[Alert], fleet: Fleet, receivers: Sequence[ReceiverSettings], lookback_us: int
) -> list[Alert]:
    """Return the alerts of one evaluation with figures about their hosts, and the command that shows the lines.

    Args:
        alerts: The alerts, all of one instant.
        fleet: The fleet at that instant, or a little later.
        receivers: The receivers, with their journals.
        lookback_us: How far back the fleet holds responses, in microseconds.

    """
    added = []
    for alert in alerts:
        host, now = alert.finding.host, alert.detected_at
        known = evidence_of(fleet, host, now) if is_host(host) else None
        since = now - lookback_us if known is None or known.first_bad_at is None else known.first_bad_at
        command = journal_command(_journal_of(host, fleet, receivers), host if is_host(host) else "", since)
        added.append(replace(alert, evidence=known, command=command))
    return added


def _journal_of(subject: str, fleet: Fleet, receivers: Sequence[ReceiverSettings]) -> JournalSettings:
    """Return the journal with the latest response to a host, or the journal of the receiver that `subject` names."""
    if len(receivers) == 1:
        return receivers[0].journal
    name = fleet.answered_by(subject) if is_host(subject) else receiver_of(subject)
    return next((one.journal for one in receivers if one.name == name), receivers[0].journal)


def with_samples(alerts: Sequence[Alert], receivers: Sequence[ReceiverSettings], lookback_us: int) -> list[Alert]:
    """Return the alerts of one evaluation with some of the latest lines that show refusals of their hosts."""
    refused = [one.finding.host for one in alerts if one.evidence is not None and one.evidence.reason]
    if not refused:
        return list(alerts)
    now = alerts[0].detected_at
    samples: dict[str, list[str]] = {}
    for receiver in receivers:
        lacking = [host for host in refused if host not in samples]
        samples |= sample_lines(receiver.journal, lacking, now - lookback_us, now)
    return [
        alert
        if alert.evidence is None
        else replace(alert, evidence=replace(alert.evidence, samples=tuple(samples.get(alert.finding.host, ()))))
        for alert in alerts
    ]
