"""`journal-lossy`: rows come to the index, and the journal lacks most of the accepted uploads that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.disagreement import Disagreement, DisagreementLimits, contradictions, settings
from fleet_health.detectors.spec import BOTH, DetectorSpec, Lookback, Subject
from fleet_health.model.instant import describe
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "journal-lossy"

# The journal is lossy if it has less than the first share of the rows of hosts, and stays so below the second one:
# otherwise the incident of a journal that drops about half of its lines would open and resolve again and again.
_LOSSY, _WHOLE = 0.5, 0.75


SPEC = DetectorSpec(
    symptom=SYMPTOM,
    is_of_journal=True,
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
    """Finds out whether hosts have less than half as many accepted uploads as rows in the window.

    Rows of one host that come within 15 seconds of each other count once: a request may bring several.

    Either journald drops lines, or the unit or the pattern is wrong. Detectors that need the journal miss findings.
    """

    spec = SPEC
    is_of_journal = True

    @property
    def lookback(self) -> Lookback:
        """Look back as far as the window."""
        return Lookback(uploads_us=self._limits.window_us, traffic_us=self._limits.window_us)

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether too few hosts for a finding have less than three quarters of their rows in the journal."""
        if not super().is_over(fleet, host, now):
            return False
        return len(self._short_of(_WHOLE, fleet, self._since(fleet, now), now)) < self._limits.min_hosts

    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        return self._short_of(_LOSSY, fleet, since, now)

    def _short_of(self, part: float, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        """Return the hosts with less than this share of their rows in the journal, each with how many are missing."""
        limits = self._limits
        lacking: dict[str, int] = {}
        uploads, in_journal = fleet.uploads, fleet.traffic.accepted
        first_at, last_at = since + limits.slack_us, now - limits.slack_us
        for host, newest_at in uploads.items():
            if newest_at < first_at:
                continue
            rows = uploads.count(host, first_at, last_at)
            if not rows:
                continue
            # The older rows of a busy host are not known, so its older responses must not count.
            known_since = uploads.known_since(host)
            begin = since if known_since <= first_at else known_since - limits.slack_us
            # At least as many were accepted as are kept. That is nearly always enough, and spares the count.
            if in_journal.count(host, begin, now) >= part * rows:
                continue
            window = fleet.traffic.window(host)
            accepted = 0 if window is None else window.count(begin, now).accepted
            if accepted < part * rows:
                lacking[host] = rows - accepted
        return lacking

    def _say(self, lacking: Mapping[str, int]) -> str:
        return (
            f"in the last {describe(self._limits.window_us)} the journal lacks at least"
            f" {plural(sum(lacking.values()), 'accepted upload')} of {plural(len(lacking), 'host')}"
            " of which the index has rows"
        )
