"""`journal-lossy`: rows come to the index, and the journal has not one accepted upload of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import EVERY_HOST, Finding, Reach
from fleet_health.domain.detectors.disagreement import has_agreement, is_comparable, name_hosts
from fleet_health.domain.instant import describe
from fleet_health.domain.window import SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.domain.detectors.disagreement import DisagreementLimits
    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant

SYMPTOM = "journal-lossy"


class JournalLossy:
    """Finds out whether hosts with a row in the window have no accepted upload in it.

    Then journald drops lines, or we read the wrong unit or by the wrong pattern: what rests on the journal goes unseen.
    """

    symptom = SYMPTOM

    def __init__(self, limits: DisagreementLimits) -> None:
        self._limits = limits

    @property
    def reach(self) -> Reach:
        """Look back as far as the window."""
        return Reach(ships_us=self._limits.window_us, traffic_us=self._limits.window_us)

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find at most one, for all hosts together; none if a part of the window was not seen in either."""
        limits, since = self._limits, now - self._limits.window_us
        if not is_comparable(fleet, since, now):
            return
        hosts: list[str] = []
        for host, last_at in fleet.ships.items():
            if not since + limits.slack_us <= last_at <= now - limits.slack_us:
                continue
            window = fleet.traffic.window(host)
            if window is None or not window.has_class(SUCCESS, since, now):
                hosts.append(host)
        if len(hosts) < limits.min_hosts:
            return
        yield Finding(
            host=EVERY_HOST,
            symptom=SYMPTOM,
            detail=(
                f"in the last {describe(limits.window_us)} the index has rows of {len(hosts)} hosts"
                f" of which the journal has no accepted upload: {name_hosts(hosts)}"
            ),
            suggested_fix=limits.suggested_fix.render(EVERY_HOST),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say whether both were seen whole, and some upload is in both: that nobody ships proves nothing."""
        del host
        since = now - self._limits.window_us
        return is_comparable(fleet, since, now) and has_agreement(fleet, since, now)
