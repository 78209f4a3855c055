"""`journal-lossy`: rows come to the index, and the journal has not one accepted upload of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.disagreement import Disagreement, DisagreementLimits, contradictions, settings
from fleet_health.detectors.spec import BOTH, DetectorSpec, Lookback, Subject
from fleet_health.model.instant import describe
from fleet_health.model.window import NO_EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "journal-lossy"


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    message_id="7c35f02b96e84ad1b4e8a1709d5c6f2e",
    subject=Subject.RECEIVER,
    needs=BOTH,
    is_of_absence=True,
    switches=(f"detectors.{SYMPTOM}.enabled",),
    limits=DisagreementLimits,
    settings=settings(
        SYMPTOM,
        "Compare `journal.unit` and `journal.response` in the configuration of fleet-health with what"
        " `journalctl -u cis490-receiver.service` shows. If they fit, journald drops lines:"
        " look at RateLimitBurst= in journald.conf.",
        elsewhere="Compare `journal.unit`, `journal.match` and `journal.response` in the configuration of fleet-health"
        " with what {log} shows. If they fit, journald drops lines: look at RateLimitBurst= in journald.conf.",
        min_hosts=3,
        has_min_count=False,
    ),
    contradictions=contradictions(SYMPTOM),
    build=lambda configured: JournalLossy(configured.limits[SYMPTOM]),
)


class JournalLossy(Disagreement):
    """Finds out whether hosts with a row in the window have no accepted upload in it.

    Then journald drops lines, or we read the wrong unit or by the wrong pattern: what rests on the journal goes unseen.
    """

    spec = SPEC

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the window."""
        return Lookback(uploads_us=self._limits.window_us, traffic_us=self._limits.window_us)

    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        limits = self._limits
        lacking: dict[str, int] = {}
        counts, first_at, last_at = fleet.counts(since, now), since + limits.slack_us, now - limits.slack_us
        for host, at in fleet.uploads.items():
            if first_at <= at <= last_at and not counts.get(host, NO_EVENTS).accepted:
                lacking[host] = 1
        return lacking

    def _say(self, lacking: Mapping[str, int]) -> str:
        return (
            f"in the last {describe(self._limits.window_us)} the index has rows of {len(lacking)} hosts"
            " of which the journal has no accepted upload"
        )
