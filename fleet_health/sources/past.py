"""The past as both sources show it, in order of time: for who goes through it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.domain.observation import Response, Ship, UnitState, Unstamped
from fleet_health.sources.once import oldest_entry_at, read_every_row, read_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleet_health.config.schema import IndexSettings, JournalSettings
    from fleet_health.domain.coverage import Gap
    from fleet_health.domain.instant import Instant
    from fleet_health.domain.observation import Observation
    from fleet_health.parsing.rejection import RejectionCount
    from fleet_health.sources.time_order import TimeOrder

# A host's number and what was observed of it share a number: the lower bits hold a status, or one of these.
_KIND_BITS = 10
_SHIP, _UNSTAMPED, _STARTED, _STOPPED = range(4)


@dataclass
class Past:
    """What was observed between two instants.

    Attributes:
        order: Holds it.
        hosts: The hosts' names, by number.
        gaps: What the journal does not show.
        rejections: Source -> what could not be read of it.
        journal_begins_at: The journal's oldest entry, if that is later than what was asked for.

    """

    order: TimeOrder
    hosts: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    rejections: dict[str, RejectionCount] = field(default_factory=dict)
    journal_begins_at: Instant | None = None
    _numbers: dict[str, int] = field(default_factory=dict)

    def read_index(
        self, settings: IndexSettings, since: Instant, until: Instant, on_progress: Callable[[Instant], None]
    ) -> None:
        """Read the rows of the index.

        Raises:
            SourceUnavailable: It is missing, or cannot be read.

        """

        def deliver(ships: Iterable[Ship]) -> None:
            items = [(ship.at, self._number(ship.host) << _KIND_BITS) for ship in ships if since <= ship.at <= until]
            self.order.add(items)
            if items:
                on_progress(items[-1][0])

        self.rejections["index"] = read_every_row(settings, since, deliver)
        self.order.flush()

    def read_journal(
        self, settings: JournalSettings, since: Instant, until: Instant, on_progress: Callable[[Instant], None]
    ) -> None:
        """Read the journal's entries.

        Raises:
            SourceUnavailable: It is missing, or cannot be read; what came before that is there.

        """

        def deliver(observations: Iterable[Observation | UnitState]) -> None:
            items = [(one.at, self._encoded(one)) for one in observations]
            self.order.add(items)
            if items:
                on_progress(items[-1][0])

        oldest_at = oldest_entry_at(settings)
        self.journal_begins_at = oldest_at if oldest_at is not None and oldest_at > since else None
        try:
            self.rejections["journal"], gaps = read_journal(settings, since, until, deliver)
            self.gaps += gaps
        finally:
            self.order.flush()

    def __iter__(self) -> Iterator[tuple[Instant, Observation | UnitState]]:
        """Give what was observed, with its instant, in order of time."""
        hosts, mask = self.hosts, (1 << _KIND_BITS) - 1
        for at, number in self.order:
            kind = number & mask
            if kind == _SHIP:
                yield at, Ship(hosts[number >> _KIND_BITS], at)
            elif kind > _STOPPED:
                yield at, Response(hosts[number >> _KIND_BITS], at, kind)
            elif kind == _UNSTAMPED:
                yield at, Unstamped(hosts[number >> _KIND_BITS], at)
            else:
                yield at, UnitState(at, kind == _STARTED)

    def _encoded(self, one: Observation | UnitState) -> int:
        if type(one) is Response:  # nearly all are
            return self._number(one.host) << _KIND_BITS | one.status
        if isinstance(one, UnitState):
            return _STARTED if one.is_running else _STOPPED
        return self._number(one.host) << _KIND_BITS | (_UNSTAMPED if isinstance(one, Unstamped) else _SHIP)

    def _number(self, host: str) -> int:
        try:
            return self._numbers[host]
        except KeyError:
            self.hosts.append(host)
            return self._numbers.setdefault(host, len(self.hosts) - 1)
