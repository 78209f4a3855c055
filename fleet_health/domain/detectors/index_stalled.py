"""`index-stalled`: uploads are accepted, and no rows of them come to the index."""

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

SYMPTOM = "index-stalled"


class IndexStalled:
    """Finds out whether hosts with enough accepted uploads in the window have no row in it at all."""

    symptom = SYMPTOM

    def __init__(self, limits: DisagreementLimits) -> None:
        self._limits = limits

    @property
    def reach(self) -> Reach:
        """Look back as far as the window, and for rows that came just before it."""
        return Reach(ships_us=self._limits.window_us + self._limits.slack_us, traffic_us=self._limits.window_us)

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find at most one, for all hosts together; none if a part of the window was not seen in either."""
        limits, since = self._limits, now - self._limits.window_us
        if not is_comparable(fleet, since, now):
            return
        hosts: list[str] = []
        total = 0
        for host, window in fleet.traffic.items():
            last_at = fleet.ships.last_at(host)
            if last_at is not None and last_at >= since:
                continue
            # A row from just before the window may be that of an upload within.
            counted_since = since if last_at is None else max(since, last_at + limits.slack_us + 1)
            by_status = window.count_by_status(counted_since, now - limits.slack_us)
            accepted = sum(count for status, count in by_status.items() if status // 100 == SUCCESS)
            if accepted >= limits.min_count:
                hosts.append(host)
                total += accepted
        if len(hosts) < limits.min_hosts:
            return
        yield Finding(
            host=EVERY_HOST,
            symptom=SYMPTOM,
            detail=(
                f"in the last {describe(limits.window_us)} the journal has {total} accepted uploads of {len(hosts)}"
                f" hosts of which the index has no row: {name_hosts(hosts)}"
            ),
            suggested_fix=limits.suggested_fix.render(EVERY_HOST),
        )

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say whether both were seen whole, and some upload is in both: that nobody uploads proves nothing."""
        del host
        since = now - self._limits.window_us
        return is_comparable(fleet, since, now) and has_agreement(fleet, since, now)
