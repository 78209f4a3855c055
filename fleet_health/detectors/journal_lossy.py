"""`journal-lossy`: rows come to the index, and the journal has not one accepted upload of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.disagreement import Disagreement
from fleet_health.detectors.spec import Reach
from fleet_health.model.instant import describe
from fleet_health.model.window import NO_EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

SYMPTOM = "journal-lossy"


class JournalLossy(Disagreement):
    """Finds out whether hosts with a row in the window have no accepted upload in it.

    Then journald drops lines, or we read the wrong unit or by the wrong pattern: what rests on the journal goes unseen.
    """

    symptom = SYMPTOM

    @property
    def reach(self) -> Reach:
        """Look back as far as the window."""
        return Reach(ships_us=self._limits.window_us, traffic_us=self._limits.window_us)

    def _lacking(self, fleet: Fleet, since: Instant, now: Instant) -> Mapping[str, int]:
        limits = self._limits
        lacking: dict[str, int] = {}
        counts, first_at, last_at = fleet.counts(since, now), since + limits.slack_us, now - limits.slack_us
        for host, at in fleet.ships.items():
            if first_at <= at <= last_at and not counts.get(host, NO_EVENTS).accepted:
                lacking[host] = 1
        return lacking

    def _say(self, lacking: Mapping[str, int]) -> str:
        return (
            f"in the last {describe(self._limits.window_us)} the index has rows of {len(lacking)} hosts"
            " of which the journal has no accepted upload"
        )
