"""Which findings become alerts: each (host, symptom) once in each UTC hour.

What was alerted is not kept anywhere of its own: `alerts.jsonl` says it, and is read back at the start. Keys are
held by the hour that their row was detected in, so a row that carries a key of another hour (written by hand, or
by a clock that was wrong) suppresses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.domain.alert import Alert
from fleet_health.domain.instant import HOUR_US, utc_hour

if TYPE_CHECKING:
    from fleet_health.domain.evaluation import Evaluation
    from fleet_health.domain.instant import Instant

# A clock that is set back must find the keys of the hours it goes through again. It is set back by seconds, or by
# a whole zone at most; who sets it back by more restarts with it.
_REMEMBERED_US = 25 * HOUR_US


class Incidents:
    """Remembers what was alerted, hour by hour."""

    def __init__(self) -> None:
        self._keys_by_hour: dict[str, set[str]] = {}

    def remember(self, key: str, detected_at: Instant) -> None:
        """Take note of an alert that has been given."""
        self._keys_by_hour.setdefault(utc_hour(detected_at), set()).add(key)

    def alerts(self, evaluation: Evaluation) -> list[Alert]:
        """Make the alerts that are due for an evaluation, and remember them. The same evaluation again gives none."""
        self._prune(evaluation.at)
        due = []
        given = self._keys_by_hour.setdefault(utc_hour(evaluation.at), set())
        for finding in evaluation.findings:
            alert = Alert(finding, evaluation.at)
            if alert.dedup_key not in given:
                given.add(alert.dedup_key)
                due.append(alert)
        return due

    def _prune(self, now: Instant) -> None:
        # ISO hours compare as time does.
        first, last = utc_hour(now - _REMEMBERED_US), utc_hour(now + _REMEMBERED_US)
        self._keys_by_hour = {hour: keys for hour, keys in self._keys_by_hour.items() if first <= hour <= last}
