"""The sources of all receivers, and the tables that they fill. All sources of a kind are opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from fleet_health.model.cadence import CadenceSnapshot
from fleet_health.model.disproved import DisprovedEntries
from fleet_health.model.fleet import Traffic, Uploads
from fleet_health.model.places import LeftOut
from fleet_health.sources.follower import Follower
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings, ReceiverSettings
    from fleet_health.detectors.spec import Lookback
    from fleet_health.model.cadence import Cadence
    from fleet_health.model.coverage import Gap
    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.instant import Instant
    from fleet_health.model.row_dates import AheadRow

_Follower = TypeVar("_Follower", bound=Follower)
_Settings = TypeVar("_Settings")
_Table = TypeVar("_Table")


@dataclass(frozen=True, slots=True)
class KnownSources:
    """The facts about the sources of a receiver from the saved state.

    Attributes:
        journal_seen_until: The instant up to which the journal was read, without a gap at its end; None if it was never
            read.
        journal_gaps: The gaps of the journal.
        uploads: Host -> its last upload in the same index.
        accepted: Host -> its uploads that the journal shows as accepted but that have no row in the index.
        ahead_rows: The rows of the same index that are dated ahead, each with the instant that is used instead.
        disproved: The times of the journal's entries that do not count.

    """

    journal_seen_until: Instant | None = None
    journal_gaps: Sequence[Gap] = ()
    uploads: Mapping[str, Instant] = field(default_factory=dict)
    accepted: Mapping[str, Sequence[Instant]] = field(default_factory=dict)
    ahead_rows: Sequence[AheadRow] = ()
    disproved: Sequence[Instant] = ()


@dataclass(frozen=True, slots=True)
class KnownPast:
    """The facts about all sources from the saved state.

    Attributes:
        sources: Receiver -> the facts about its sources.
        identities: Kind of source -> the sources of this kind that were read; without the kinds for which they are
            unknown.
        exchanged: Kind of source -> when a source of this kind was last exchanged.
        newcomers: Host -> its first row, for hosts that first appeared within the lookback.
        left_out: The rows that were left out because the table was full.
        cadence: The rhythms that were learned from the same indexes.
        skips: The spans that the clock skipped, each as begin and end.
        shutdowns: The spans in which the machine was off or suspended, each as begin and end.
        latest_at: The latest instant of our own records; None if there are none. Uploads later than both this and the
            present are dropped.
        protected: The hosts that must keep their places in the tables; see `Fleet.protect`.
        lost: The hosts that are lost.
        disproved_until: The instant up to which a wrong clock dated entries ahead; 0 if there are none.

    """

    sources: Mapping[str, KnownSources] = field(default_factory=dict)
    identities: Mapping[str, Collection[str]] = field(default_factory=dict)
    exchanged: Mapping[str, Instant] = field(default_factory=dict)
    newcomers: Mapping[str, Instant] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)
    cadence: CadenceSnapshot = field(default_factory=CadenceSnapshot)
    skips: Sequence[tuple[Instant, Instant]] = ()
    shutdowns: Sequence[tuple[Instant, Instant]] = ()
    latest_at: Instant | None = None
    protected: Sequence[str] = ()
    lost: frozenset[str] = frozenset()
    disproved_until: Instant = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requirements of the settings on the sources.

    Attributes:
        lookback: How far back they are read.
        host_limit: The largest number of hosts that are watched.
        ignored: The hosts that are ignored.

    """

    lookback: Lookback
    host_limit: int
    ignored: HostGlobs


@dataclass(eq=False)
class Source(Generic[_Follower, _Settings, _Table]):
    """A source of one receiver.

    Attributes:
        settings: The settings that it was opened with.
        table: The table of its receiver, which it fills.
        follower: The follower that reads it.
        task: The task that follows it; None until it has been read to its end.
        poll: The latest read before an evaluation; None if there was none.
        disproved: The entries that do not count; none of an index.

    """

    settings: _Settings
    table: _Table
    follower: _Follower = field(init=False)
    task: asyncio.Task[Any] | None = None
    poll: asyncio.Task[None] | None = None
    disproved: DisprovedEntries = field(default_factory=DisprovedEntries)


@dataclass(eq=False)
class Sources(Generic[_Follower, _Settings, _Table]):
    """The sources of one kind, one for each receiver.

    Attributes:
        table: The table of all receivers. If there is only one receiver, its source has the same table.
        by_receiver: Receiver -> its source.
        lookback_us: How far back they are read, in microseconds.
        cadence: The rhythms that the indexes fill as well; None if no limit is learned.

    """

    table: _Table
    by_receiver: dict[str, Source[_Follower, _Settings, _Table]]
    lookback_us: int
    cadence: Cadence | None = None

    @property
    def settings(self) -> dict[str, _Settings]:
        """Receiver -> the settings that its source was opened with."""
        return {name: source.settings for name, source in self.by_receiver.items()}

    def same(self, receiver: str, settings: _Settings) -> Source[_Follower, _Settings, _Table] | None:
        """Return the source of a receiver if it was opened with these settings; else None."""
        source = self.by_receiver.get(receiver)
        return source if source is not None and source.settings == settings else None

    @property
    def are_followed(self) -> bool:
        """Whether all of them have been read to their end and are followed."""
        return all(source.task is not None for source in self.by_receiver.values())

    def tables(self) -> list[_Table]:
        """Return all tables that they fill, each once."""
        own = [source.table for source in self.by_receiver.values()]
        return own if self.table in own else [self.table, *own]

    def recorder(self, table: _Table, record: Callable[[_Table, Any], None]) -> Callable[[Any], None]:
        """Return a function that records observations in the table of a receiver and in that of all receivers."""
        if table is self.table:
            return lambda observations: record(table, observations)

        def record_in_both(observations: Any) -> None:
            if not isinstance(observations, Mapping):
                observations = tuple(observations)
            record(self.table, observations)
            record(table, observations)

        return record_in_both


IndexSources: TypeAlias = Sources[IndexFollower, "IndexSettings", Uploads]
JournalSources: TypeAlias = Sources[JournalFollower, "JournalSettings", Traffic]
AnySource: TypeAlias = Source[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class PreparedSources:
    """Sources that have been read to their end and can replace others at once.

    Attributes:
        index: The index of each receiver.
        journal: The journal of each receiver.
        wanted: The requirements that both meet.
        exchanged: The kinds with a source that was removed or replaced.
        identities: Kind of source -> the sources of this kind.

    """

    index: IndexSources
    journal: JournalSources
    wanted: Wanted
    exchanged: frozenset[str]
    identities: Mapping[str, frozenset[str]]


def identities_of(receivers: Iterable[ReceiverSettings]) -> dict[str, frozenset[str]]:
    """Return kind of source -> the identities of the sources of this kind."""
    receivers = tuple(receivers)
    return {
        "index": frozenset(one.index.identity for one in receivers),
        "journal": frozenset(one.journal.identity for one in receivers),
    }


def sources_for(
    settings: Mapping[str, _Settings], new_table: Callable[[], _Table], lookback_us: int
) -> Sources[Any, _Settings, _Table]:
    """Return the sources of a kind, without followers. If there is a single receiver, there is one table only."""
    table, are_several = new_table(), any(settings)
    by_receiver: dict[str, Source[Any, _Settings, _Table]] = {
        name: Source(one, new_table() if are_several else table) for name, one in settings.items()
    }
    return Sources(table, by_receiver, lookback_us)


def all_of(index: IndexSources, journal: JournalSources) -> list[AnySource]:
    """Return all sources, for each receiver the index and then the journal."""
    return [source for name in index.by_receiver for source in (index.by_receiver[name], journal.by_receiver[name])]


def read_by(followers: Iterable[Follower]) -> int:
    """Return the number of lines and entries that some followers have read."""
    return sum(follower.state.read for follower in followers)


async def end(source: AnySource) -> None:
    """Stop following a source, and close it."""
    tasks = [task for task in (source.task, source.poll) if task is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    await source.follower.close()
