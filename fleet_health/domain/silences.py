"""Silences: what an operator does not want to hear of for a while. Each has an end, an author and a reason."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from fleet_health.domain.detectors.contract import EVERY_HOST
from fleet_health.domain.host_globs import HostGlobs
from fleet_health.domain.instant import HOUR_US, SECOND_US, Instant, isoformat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.domain.detectors.contract import Pair

SHORTEST_US, LONGEST_US = 60 * SECOND_US, 30 * 24 * HOUR_US
"""For how long one may be made; it must end."""
REASON_LENGTH = 200
"""How many characters a reason may have."""


class Silence(msgspec.Struct, frozen=True):
    """One silence.

    Attributes:
        id: Its name, for who ends it early.
        hosts: A glob for the hosts that it is about.
        symptom: The symptom that it is about; None for every symptom of these hosts.
        starts_at: From when on it holds.
        ends_at: Until when, exclusively.
        reason: Why.
        author: Who wanted it.

    """

    id: str
    hosts: str
    symptom: str | None
    starts_at: Instant
    ends_at: Instant
    reason: str
    author: str

    def row(self) -> dict[str, str | None]:
        """Give it as it stands in `silences.json`, and in what the command prints."""
        return {
            "id": self.id,
            "hosts": self.hosts,
            "symptom": self.symptom,
            "starts_at_wall": isoformat(self.starts_at),
            "ends_at_wall": isoformat(self.ends_at),
            "reason": self.reason,
            "author": self.author,
        }

    def is_active(self, now: Instant) -> bool:
        """Say whether it holds at an instant."""
        return self.starts_at <= now < self.ends_at

    def matches(self, host: str, symptom: str) -> bool:
        """Say whether it is about a host's symptom.

        What concerns no host in particular must be named by its symptom: who silences all hosts has not thought of the
        receiver, or of us being blind.
        """
        if self.symptom not in {None, symptom}:
            return False
        if host == EVERY_HOST:
            return self.hosts == EVERY_HOST and self.symptom is not None
        return self.matches_host(host)

    def matches_host(self, host: str) -> bool:
        """Say whether it is about a symptom, at least, of a host."""
        return _globs(self.hosts).matches(host)


class Silences:
    """All silences that are known, those that have ended lately among them."""

    def __init__(self, silences: Sequence[Silence] = ()) -> None:
        self.all = tuple(silences)

    def of(self, host: str, symptom: str, now: Instant) -> Silence | None:
        """Give the silence that keeps a host's symptom quiet at an instant, the longest of several; else None."""
        matching = [one for one in self.all if one.is_active(now) and one.matches(host, symptom)]
        return max(matching, key=lambda one: one.ends_at, default=None)


class Ended(msgspec.Struct, frozen=True):
    """A silence has ended, and somebody should know.

    Attributes:
        silence: The silence.
        standing: What it was about and stands still, each as host and symptom, in order.

    """

    silence: Silence
    standing: tuple[Pair, ...]


class SilenceRecord(msgspec.Struct):
    """What is known of a silence: whether it ever mattered, and whether its end was said."""

    has_matched: bool = False
    is_said: bool = False


class SilenceWatch:
    """Notices the silences that have ended while a fault stands, or that never mattered."""

    def __init__(self, records: dict[str, SilenceRecord] | None = None) -> None:
        self.records = records or {}

    def look(self, silences: Silences, incidents: Iterable[Pair], now: Instant) -> list[Ended]:
        """Take note of an evaluation; give the silences whose end is to be said, each once."""
        pairs, ended = sorted(incidents), []
        known = {one.id for one in silences.all}
        self.records = {name: record for name, record in self.records.items() if name in known}
        for silence in silences.all:
            record = self.records.setdefault(silence.id, SilenceRecord())
            matching = tuple(pair for pair in pairs if silence.matches(*pair))
            if silence.is_active(now):
                record.has_matched = record.has_matched or bool(matching)
            elif now >= silence.ends_at and not record.is_said:
                record.is_said = True
                if matching or not record.has_matched:
                    ended.append(Ended(silence, matching))
        return ended


@lru_cache(maxsize=1_024)
def _globs(glob: str) -> HostGlobs:
    return HostGlobs((glob,))
