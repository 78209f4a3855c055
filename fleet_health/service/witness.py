"""What an alert brings along: the evidence of its host, some of the journal's lines, and the command for the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleet_health.alerting.evidence import evidence_of
from fleet_health.model.subject import EVERY_HOST
from fleet_health.sources.journal.samples import journal_command, sample_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.alerting.alert import Alert
    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.fleet import Fleet


def with_evidence(alerts: Sequence[Alert], fleet: Fleet, settings: JournalSettings, reach_us: int) -> list[Alert]:
    """Add to the alerts of one evaluation what is known of their hosts.

    Args:
        alerts: The alerts, all of one instant.
        fleet: The fleet at that instant, or a little later.
        settings: The receiver's journal.
        reach_us: How far back that is known.

    """
    if not alerts:
        return []
    now = alerts[0].detected_at
    evidence = {
        alert.finding.host: evidence_of(fleet, alert.finding.host, now)
        for alert in alerts
        if alert.finding.host != EVERY_HOST
    }
    samples = sample_lines(settings, [host for host, known in evidence.items() if known.reason], now - reach_us, now)
    added = []
    for alert in alerts:
        host = "" if alert.finding.host == EVERY_HOST else alert.finding.host
        known = evidence.get(host)
        if known is not None:
            known = replace(known, samples=tuple(samples.get(host, ())))
        since = now - reach_us if known is None or known.first_bad_at is None else known.first_bad_at
        added.append(replace(alert, evidence=known, command=journal_command(settings, host, since)))
    return added
