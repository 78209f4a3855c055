"""The dedup keys of recent alerts, which limit an incident to one alert an hour.

A key is kept under the hour in which its row was detected. So a row with the key of another hour, written by hand or
with a wrong clock, suppresses nothing. If a fault returns in the hour in which its resolution was notified, that is
another incident, so the hour may have another alert. So it is if the configuration left it out for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.alert import dedup_key
from fleet_health.model.instant import HOUR_US, utc_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# After the clock is set back, the hours that it passes again must still have their keys. It is set back by seconds, or
# by the hours of a time zone. Operators who set it back further restart the service as well.
_REMEMBERED_US = 25 * HOUR_US

# The largest number of keys in a snapshot: enough for every host of a full table.
_SAVED = 50_000


class DedupKeys:
    """Keeps the dedup keys of the hours around the present.

    Attributes:
        by_hour: UTC hour -> the keys of the alerts that were sent in it.
        ended: Host and symptom -> when its latest incident ended, if that is recent: its resolution was notified, or it
            was dropped as out of scope.

    """

    def __init__(
        self,
        by_hour: Mapping[str, Iterable[str]] | None = None,
        ended: Iterable[tuple[Pair, Instant]] = (),
    ) -> None:
        self.by_hour: dict[str, set[str]] = {hour: set(keys) for hour, keys in (by_hour or {}).items()}
        self.ended = dict(ended)

    def around(self, *instants: Instant) -> dict[str, list[str]]:
        """Return UTC hour -> its sorted keys, for the hours around some instants, up to a limit.

        They are part of the state file, because the alert log may be rotated and compressed before the next start.
        """
        hours = sorted({utc_hour(at + hours * HOUR_US) for at in instants for hours in (-1, 0, 1)}, reverse=True)
        saved: dict[str, list[str]] = {}
        room = _SAVED
        for hour in hours:
            if keys := sorted(self.by_hour.get(hour, ()))[:room]:
                saved[hour] = keys
                room -= len(keys)
        return saved

    def copy(self) -> DedupKeys:
        """Return an independent copy."""
        return DedupKeys(self.by_hour, self.ended.items())

    def add(self, key: str, at: Instant) -> None:
        """Record an alert that was sent at an instant."""
        self.by_hour.setdefault(utc_hour(at), set()).add(key)

    def add_row(self, key: str, at: Instant) -> None:
        """Record an alert from the alert log, unless its incident has ended since."""
        if not any(at <= ended_at and dedup_key(*pair, ended_at) == key for pair, ended_at in self.ended.items()):
            self.add(key, at)

    def note_ended(self, pair: Pair, at: Instant) -> None:
        """Record the end of an incident. A later alert belongs to another incident, even in the same hour."""
        self.ended[pair] = at
        self.by_hour.get(utc_hour(at), set()).discard(dedup_key(*pair, at))

    def ended_this_hour(self, pair: Pair, now: Instant) -> Instant | None:
        """Return when an incident ended, if that was in the UTC hour of `now`; else None."""
        at = self.ended.get(pair)
        return at if at is not None and utc_hour(at) == utc_hour(now) else None

    def has(self, pair: Pair, at: Instant) -> bool:
        """Return whether an alert of a host and symptom was sent in the UTC hour of `at`."""
        given = self.by_hour.get(utc_hour(at))
        return given is not None and dedup_key(*pair, at) in given

    def prune(self, now: Instant) -> None:
        """Forget hours far from the present, and ends that are more than an hour old."""
        # ISO hours sort like time.
        first, last = utc_hour(now - _REMEMBERED_US), utc_hour(now + _REMEMBERED_US)
        self.by_hour = {hour: keys for hour, keys in self.by_hour.items() if first <= hour <= last}
        self.ended = {pair: at for pair, at in self.ended.items() if abs(now - at) < HOUR_US}

    def redate(self, latest: Instant) -> None:
        """Move ends that are later than `latest` to `latest`. Keys keep their hours, as their rows do."""
        self.ended = {pair: min(at, latest) for pair, at in self.ended.items()}
