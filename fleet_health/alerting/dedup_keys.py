"""Which alerts were given in which hour: an incident's is given once in it.

Keys are kept by the hour that their row was detected in, so a row that carries a key of another hour (written by hand,
or by a clock that was wrong) suppresses nothing. What returns in the hour in which its resolution was notified is
another incident, so its hour may have another alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.alert import dedup_key
from fleet_health.model.instant import HOUR_US, utc_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# A clock that is set back must find the keys of the hours that it goes through again. It is set back by seconds, or by
# a time zone at most. An operator who sets it back further restarts the service as well.
_REMEMBERED_US = 25 * HOUR_US

# Of how many keys, at most, a snapshot has the hours around an instant: enough for every host of a full table.
_SAVED = 50_000


class DedupKeys:
    """Remembers the keys of the hours around the present.

    Attributes:
        by_hour: UTC hour -> the keys of the alerts that were given in it.
        resolved: Host and symptom -> when its resolution was notified, of late.

    """

    def __init__(
        self,
        by_hour: Mapping[str, Iterable[str]] | None = None,
        resolved: Iterable[tuple[Pair, Instant]] = (),
    ) -> None:
        self.by_hour: dict[str, set[str]] = {hour: set(keys) for hour, keys in (by_hour or {}).items()}
        self.resolved = dict(resolved)

    def around(self, *instants: Instant) -> dict[str, list[str]]:
        """Return the keys of the hours of some instants, and of the hours before and after each; sorted, and bounded.

        These outlive a restart: the alert log may have been rotated and compressed meanwhile.
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
        """Return a copy that does not change with this one."""
        return DedupKeys(self.by_hour, self.resolved.items())

    def add(self, key: str, at: Instant) -> None:
        """Record an alert that was given at an instant."""
        self.by_hour.setdefault(utc_hour(at), set()).add(key)

    def add_row(self, key: str, at: Instant) -> None:
        """Record an alert that is in the alert log, unless its incident was resolved since."""
        if not any(
            at <= resolved_at and dedup_key(*pair, resolved_at) == key for pair, resolved_at in self.resolved.items()
        ):
            self.add(key, at)

    def note_resolved(self, pair: Pair, at: Instant) -> None:
        """Record that a resolution was notified: what comes after it is another incident, also within the hour."""
        self.resolved[pair] = at
        self.by_hour.get(utc_hour(at), set()).discard(dedup_key(*pair, at))

    def resolved_this_hour(self, pair: Pair, now: Instant) -> Instant | None:
        """Return when a resolution was notified, if it was in the hour of an instant; else None."""
        at = self.resolved.get(pair)
        return at if at is not None and utc_hour(at) == utc_hour(now) else None

    def has(self, pair: Pair, at: Instant) -> bool:
        """Return whether the hour of an instant has had its alert of a host and symptom."""
        given = self.by_hour.get(utc_hour(at))
        return given is not None and dedup_key(*pair, at) in given

    def prune(self, now: Instant) -> None:
        """Forget the hours that are far away, and what was resolved more than an hour ago."""
        # ISO hours compare as time does.
        first, last = utc_hour(now - _REMEMBERED_US), utc_hour(now + _REMEMBERED_US)
        self.by_hour = {hour: keys for hour, keys in self.by_hour.items() if first <= hour <= last}
        self.resolved = {pair: at for pair, at in self.resolved.items() if abs(now - at) < HOUR_US}

    def redate(self, latest: Instant) -> None:
        """Date no resolution later than an instant. Keys stay with their hours, for the rows do, too."""
        self.resolved = {pair: min(at, latest) for pair, at in self.resolved.items()}
