"""Read the past observations of both sources for a replay, in order of time.

Both sources are read once; the index and each half of the journal by separate processes if there are enough processors.
After that, several processes can iterate over the observations from any instant on.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self, TypeAlias

from fleet_health.model.clock_jumps import joined
from fleet_health.model.coverage import CLOCKS_US, Coverage
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.row_dates import RowDates
from fleet_health.model.subject import named
from fleet_health.model.window import NEVER
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.replay.parallel import Beside
from fleet_health.replay.time_order import TimeOrder
from fleet_health.sources.index.once import read_every_row
from fleet_health.sources.journal.once import read_accepted, read_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fleet_health.config.schema import IndexSettings, JournalSettings, ReceiverSettings
    from fleet_health.detectors.spec import Lookback
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Observation
    from fleet_health.model.pauses import Skip
    from fleet_health.replay.time_order import Item

# One integer encodes the number of a host and an observation. The lower bits are a status, or one of these.
_KIND_BITS = 10
_UPLOAD, _UNSTAMPED, _STARTED, _STOPPED = range(4)

OnProgress: TypeAlias = "Callable[[Instant], None]"
Observed: TypeAlias = "tuple[Instant, str, Observation | UnitState]"
"""An instant, the name of the receiver if there are several, and the observation."""


@dataclass
class Part:
    """A span of time in one source.

    Attributes:
        order: The observations, encoded.
        numbers: Host -> its number; in order of the numbers.
        states: The starts (1) and stops (0) of the unit, each as twice the instant plus that digit.
        coverage: The coverage of the span by the source.
        rejections: The rejected entries or rows.
        last_at: The time of the last journal entry; the begin of reading if there is none.
        first_at: The time of the first journal entry; None if there is none.
        unread: Path of a rotated file that could not be read to its end -> the reason.
        skips: The spans over which the clock was set ahead, according to the journal.
        receiver: The name of the receiver, if there are several.

    """

    order: TimeOrder
    receiver: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    states: array[int] = field(default_factory=lambda: array("q"))
    coverage: Coverage = field(default_factory=lambda: Coverage(""))
    rejections: RejectionCount = field(default_factory=RejectionCount)
    last_at: Instant = 0
    first_at: Instant | None = None
    unread: dict[Path, str] = field(default_factory=dict)
    skips: tuple[Skip, ...] = ()

    def read_index(
        self, settings: IndexSettings, span: tuple[Instant, Instant], present: Present, on_progress: OnProgress
    ) -> Part:
        """Read the rows of the index. Raise SourceUnavailable if that fails."""
        since, until = span

        def deliver(uploads: Iterable[Upload]) -> None:
            self._add(
                [
                    (upload.at, self._number(upload.host) << _KIND_BITS)
                    for upload in uploads
                    if since <= upload.at <= until
                ],
                on_progress,
            )

        past = read_every_row(settings, since, deliver, now=max(until, present.now), dates=present.dates)
        self.rejections, self.coverage, self.unread = past.rejections, past.coverage, past.unread
        return self

    def read_journal(
        self,
        settings: JournalSettings,
        since: Instant,
        until: Instant,
        on_progress: OnProgress,
        states_since: Instant | None = None,
    ) -> Part:
        """Read the entries of the journal. Raise SourceUnavailable if that fails."""

        def deliver(observations: Iterable[Observation | UnitState]) -> None:
            self._add([(one.at, self._encoded(one)) for one in observations], on_progress)

        past = read_journal(settings, since, until, deliver, states_since)
        self.rejections, self.coverage, self.skips = past.rejections, past.coverage, past.skips
        self.first_at, self.last_at = past.first_at, past.last_at
        return self

    def read_accepted(self, settings: JournalSettings, since: Instant, until: Instant) -> Part:
        """Read the accepted uploads in the journal before the begin. Raise SourceUnavailable if that fails."""
        self._add([(one.at, self._encoded(one)) for one in read_accepted(settings, since, until)], _show_nothing)
        return self

    def adopt(self, other: Part) -> None:
        """Take over a part that another process has read."""
        self.order.adopt(other.order)
        self.numbers, self.states = other.numbers, other.states
        self.first_at, self.last_at = other.first_at, other.last_at
        self.coverage, self.rejections, self.unread = other.coverage, other.rejections, other.unread
        self.skips = other.skips

    def follow_on(self, before: Part, begin: Instant) -> None:
        """Join this part to the one before: a gap at its start begins at the last entry of that part.

        Coverage of the source as a whole is merged.
        """
        gaps = (replace(gap, since=before.last_at) if gap.since == begin else gap for gap in self.coverage.gaps)
        share = before.coverage.share.followed_by(self.coverage.share)
        quiet_since = before.last_at if self.last_at == begin else self.last_at
        quiet = [span for span in self.coverage.quiet if span != (begin, self.first_at)]
        if self.first_at is not None and self.first_at - before.last_at > CLOCKS_US:
            quiet.insert(0, (before.last_at, self.first_at))
        self.coverage = replace(
            before.coverage,
            gaps=(*before.coverage.gaps, *gaps),
            share=share,
            quiet_since=quiet_since,
            misses=(*before.coverage.misses, *self.coverage.misses),
            quiet=(*before.coverage.quiet, *quiet),
        )

    def since(self, at: Instant) -> Iterator[Observed]:
        """Yield the state of the unit at an instant, and then the observations from that instant on."""
        receiver, states = self.receiver, sorted(self.states)
        if place := bisect_left(states, 2 * at):
            latest = states[place - 1]
            yield latest // 2, receiver, UnitState(latest // 2, bool(latest % 2))
        hosts, mask = list(self.numbers), (1 << _KIND_BITS) - 1
        for when, number in self.order.since(at):
            kind = number & mask
            if kind == _UPLOAD:
                yield when, receiver, Upload(hosts[number >> _KIND_BITS], when)
            elif kind > _STOPPED:
                yield when, receiver, Response(hosts[number >> _KIND_BITS], when, kind)
            elif kind == _UNSTAMPED:
                yield when, receiver, Unstamped(hosts[number >> _KIND_BITS], when)
            else:
                yield when, receiver, UnitState(when, kind == _STARTED)

    def _add(self, items: list[Item], on_progress: OnProgress) -> None:
        self.order.add(items)
        if items:
            on_progress(items[-1][0])

    def _encoded(self, one: Observation | UnitState) -> int:
        if type(one) is Response:  # nearly all are
            return self._number(one.host) << _KIND_BITS | one.status
        if isinstance(one, UnitState):
            self.states.append(2 * one.at + one.is_running)
            return _STARTED if one.is_running else _STOPPED
        return self._number(one.host) << _KIND_BITS | (_UNSTAMPED if isinstance(one, Unstamped) else _UPLOAD)

    def _number(self, host: str) -> int:
        return self.numbers.setdefault(host, len(self.numbers))


@dataclass(frozen=True, slots=True)
class Present:
    """The present, by which rows ahead of the clock are dated.

    Attributes:
        now: The present. By default, no row is ahead of it.
        dates: The dates of rows that are ahead.

    """

    now: Instant = NEVER
    dates: RowDates = field(default_factory=RowDates)


@dataclass
class Past:
    """The observations between two instants and in the lookback before them.

    Attributes:
        run_length: The number of observations that are sorted at a time; None for the default.
        parts: For each receiver, the index, and the journal in one or several consecutive parts.
        coverage: The coverage of each source of each receiver.
        rejections: Source -> its rejected lines.
        unread: Path of a rotated file of the index that could not be read to its end -> the reason.
        skips: The spans over which the clock was set ahead.

    """

    run_length: int | None = None
    parts: list[Part] = field(default_factory=list)
    coverage: list[Coverage] = field(default_factory=list)
    rejections: dict[str, RejectionCount] = field(default_factory=dict)
    unread: dict[Path, str] = field(default_factory=dict)
    skips: tuple[Skip, ...] = ()
    _uploaders: set[str] = field(default_factory=set)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hosts(self) -> set[str]:
        """Return every host that was observed."""
        return {host for part in self.parts for host in part.numbers}

    def uploaders(self) -> frozenset[str]:
        """Return every host with a row in an index."""
        return frozenset(self._uploaders)

    def states(self) -> Iterator[UnitState]:
        """Yield the states of the receivers' units, in order of time."""
        for state in sorted(state for part in self.parts for state in part.states):
            yield UnitState(state // 2, bool(state % 2))

    def since(self, at: Instant) -> Iterator[Observed]:
        """Yield the states of the units at an instant, and then the observations from it on, in order of time."""
        return heapq.merge(*(part.since(at) for part in self.parts), key=_at)

    def read(
        self,
        receiver: ReceiverSettings,
        lookback: Lookback,
        span: tuple[Instant, Instant],
        on_progress: OnProgress,
        *,
        is_alone: bool = True,
        present: Present | None = None,
        rows_since: Instant | None = None,
    ) -> None:
        """Read both sources of a receiver. Call this for one receiver after another.

        Args:
            receiver: The settings of its index and its journal.
            lookback: How far back before the begin both are needed.
            span: The begin and the end, inclusive.
            on_progress: Called with the instant up to which a source has been read.
            is_alone: Whether to use this process only.
            present: The present, for rows ahead of the clock; None if no row is ahead.
            rows_since: The instant from which the index is read; None for the lookback before the begin.

        Raises:
            SourceUnavailable: A source is missing or cannot be read.

        """
        (since, until), name = span, receiver.name
        index, journal = receiver.index, receiver.journal
        begin, middle = since - lookback.traffic_us, (since + until) // 2
        present = present or Present()
        if rows_since is None:
            rows_since = min(since - lookback.uploads_us, lookback.learns_since(since))
        row_span, states_since = (rows_since, until), min(begin, rows_since)
        rows, earlier, first, second = (self._part(name) for _ in range(4))
        earlier.read_accepted(journal, rows_since, begin)
        if is_alone:
            rows.read_index(index, row_span, present, on_progress)
            first.read_journal(journal, begin, until, on_progress, states_since)
        else:
            reading_rows = Beside(lambda: rows.read_index(index, row_span, present, _show_nothing))
            reading_second = Beside(lambda: second.read_journal(journal, middle + 1, until, _show_nothing))
            first.read_journal(journal, begin, middle, on_progress, states_since)
            rows.adopt(reading_rows.result())
            second.adopt(reading_second.result())
            second.follow_on(first, middle + 1)
        self.parts += [rows, earlier, first, second]
        self._uploaders.update(rows.numbers)
        covered = (rows.coverage, first.coverage if is_alone else second.coverage)
        self.coverage += [replace(one, source=named(one.source, name)) for one in covered]
        self.rejections |= {named("index", name): rows.rejections, named("journal", name): first.rejections}
        self.unread |= rows.unread
        self.skips = joined(self.skips, (*first.skips, *second.skips))
        first.rejections.merge(second.rejections)

    def _part(self, receiver: str) -> Part:
        order = TimeOrder() if self.run_length is None else TimeOrder(self.run_length)
        return Part(self._stack.enter_context(order), receiver)


def _show_nothing(_at: Instant) -> None:
    """Report no progress, in processes other than the one that reports it."""


def _at(one: Observed) -> Instant:
    return one[0]
