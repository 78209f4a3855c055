"""Read the journal of a receiver once, to its present end, without an event loop, for commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fleet_health.files.hang_watch import note_progress, touching
from fleet_health.model.clock_jumps import ClockJumps, joined
from fleet_health.model.coverage import BROKEN, CLOCKS_US, Coverage, Gap, Share, Understanding
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Response
from fleet_health.model.unit_states import UnitStates
from fleet_health.model.window import NEVER, REFUSED
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.journal.lines import log_parser, lost_behind_broken, share_of
from fleet_health.sources.journal.machines import in_time, opened
from fleet_health.sources.journal.system_messages import SUPPRESSED_WORD, suppressed_gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.model.pauses import Skip
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import Rejection
    from fleet_health.sources.journal.machines import OpenJournal
    from fleet_health.sources.journal.reader import JournalReader


T = TypeVar("T")

STATES_BACK_US = 92 * 24 * HOUR_US
"""How far before the start of reading to look for an outage of the receiver, in microseconds."""

_BATCH = 10_000
# Reading this many entries takes about two seconds.
_MOST_ACCEPTED = 200_000
_FIRST_STRETCH_US = HOUR_US
_GAP_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class JournalPast:
    """The results of reading the journal besides the observations.

    Attributes:
        rejections: The entries that were rejected, by reason.
        coverage: The begin and the gaps of the journal, the share that was understood, and whether it has any entry of
            the receiver.
        last_at: The time of the last entry; the begin of reading if there is none.
        first_at: The time of the first entry; None if there is none.
        count: The number of entries that were read.
        skips: The spans over which the clock was set ahead.

    """

    rejections: RejectionCount
    coverage: Coverage
    last_at: Instant
    first_at: Instant | None = None
    count: int = 0
    skips: tuple[Skip, ...] = ()


def read_journal(
    settings: JournalSettings,
    since: Instant,
    until: Instant,
    deliver: Callable[[Iterable[LogObservation | UnitState]], None],
    states_since: Instant | None = None,
) -> JournalPast:
    """Deliver the states of the units of the receiver, and then the observations with `since <= t <= until`.

    The states begin with the one at `states_since`, or at `since` if that is None, and continue to `until`.

    Raises:
        SourceUnavailable: The journal is missing or cannot be read. The entries before the error have been delivered.

    """
    one = _Pass(settings, since, until, deliver)
    try:
        with touching(_place_of(settings)), opened(settings) as journal:
            one.read(journal, since if states_since is None else states_since)
    finally:
        one.hand_on()  # including the entries before an error
    return one.past()


class _Pass:
    """One pass over a journal, which parses its entries and delivers the observations in batches.

    Args:
        settings: The journal, and the selection of the entries of the receiver.
        since: The instant from which entries are read.
        until: The instant up to which entries are read.
        deliver: Takes the observations.

    """

    def __init__(
        self,
        settings: JournalSettings,
        since: Instant,
        until: Instant,
        deliver: Callable[[Iterable[LogObservation | UnitState]], None],
    ) -> None:
        self._settings, self._since, self._until, self._deliver = settings, since, until, deliver
        self._parser, self._rejections = log_parser(settings), RejectionCount()
        self._observations: list[LogObservation] = []
        self._rejected: list[Rejection] = []
        self._gaps: list[Gap] = []
        self._behind_broken: list[Instant] = []
        self._share, self._missed_before, self._understanding = Share(), 0, Understanding()
        self._seen = _Seen(since)
        self._last_of_each: dict[JournalReader, Instant] = {}
        self._skips: tuple[Skip, ...] = ()
        self._begins_at: Instant | None = None
        self._is_void = False

    def read(self, journal: OpenJournal, states_since: Instant) -> None:
        """Read an open journal to its end."""
        readers, since = journal.readers, self._since
        self._gaps += [gap for gap in journal.left_out if gap.overlaps(since, self._until)]
        self._begins_at = NEVER if journal.oldest_at is None else journal.oldest_at
        for reader in readers:
            reader.find_instances(since)
        self._deliver(states := _unit_states(readers, states_since, self._until))
        self._is_void = not states and not any(reader.has_lines() for reader in readers)
        jumps = _Jumps(readers, since)
        for reader in readers:
            reader.seek(since)
        self._last_of_each = dict.fromkeys(readers, since)
        for reader, message, at in _with_progress(journal.read(self._until)):
            if since <= at <= self._until:
                self._seen.note(at)
                jumps.look(reader, at)
                self._take(reader, message, at)
        self._skips = jumps.skips()

    def _take(self, reader: JournalReader, message: bytes | None, at: Instant) -> None:
        """Parse an entry. A message of None means that it cannot be read."""
        if message is None:
            self._rejected.append(reader.unread)
            self._behind_broken += lost_behind_broken(self._parser, reader.rest, at)
            return
        if message.startswith(SUPPRESSED_WORD) and reader.is_of_journald():
            if (gap := suppressed_gap(self._settings, message, self._last_of_each[reader], at)) is not None:
                self._gaps.append(gap)
        else:
            missed, count = self._parser.missed, len(self._observations)
            self._parser.parse_into(self._observations, self._rejected, message, at)
            self._understanding.take(
                at, is_missed=self._parser.missed > missed, is_understood=len(self._observations) > count
            )
            if len(self._observations) >= _BATCH:
                self.hand_on()
        self._last_of_each[reader] = at

    def hand_on(self) -> None:
        """Deliver the observations of the entries that were read since the last call."""
        self._share = self._share.followed_by(share_of(self._parser, self._missed_before, self._observations))
        self._missed_before = self._parser.missed
        self._deliver(self._observations)
        self._observations.clear()
        self._rejections.add(self._rejected)
        self._rejected.clear()

    def past(self) -> JournalPast:
        """Return the results of the pass besides the observations."""
        last_at = max(self._last_of_each.values(), default=self._since)
        coverage = Coverage(
            "journal",
            gaps=(*self._gaps, *_behind_broken(self._behind_broken)),
            begins_at=self._begins_at,
            share=self._share,
            void_since=self._since if self._is_void else None,
            quiet_since=last_at,
            misses=tuple(self._understanding.misses),
            quiet=tuple(self._seen.quiet),
            read_since=self._since,
        )
        return JournalPast(self._rejections, coverage, last_at, self._seen.first_at, self._seen.count, self._skips)


class _Seen:
    """Counts entries in order of time, and records long spans without an entry.

    Attributes:
        first_at: The time of the first entry; None if there is none yet.
        count: The number of entries.
        quiet: The spans without an entry that are longer than the possible difference between the clocks of journal
            and index.

    """

    def __init__(self, since: Instant) -> None:
        self.first_at: Instant | None = None
        self.count = 0
        self.quiet: list[tuple[Instant, Instant]] = []
        self._newest_at = since

    def note(self, at: Instant) -> None:
        """Record an entry."""
        self.first_at = at if self.first_at is None else self.first_at
        self.count += 1
        if at - self._newest_at > CLOCKS_US:
            self.quiet.append((self._newest_at, at))
        self._newest_at = max(self._newest_at, at)


class _Jumps:
    """Detects when the clock of each machine was set, even just before the start of reading."""

    def __init__(self, readers: Iterable[JournalReader], since: Instant) -> None:
        self._of_each = {reader: ClockJumps() for reader in readers}
        for reader in self._of_each:
            if at := next((at for _, at in reader.read_back(since - 1)), 0):
                self.look(reader, at)

    def look(self, reader: JournalReader, at: Instant) -> None:
        """Record the entry that a reader read last."""
        jumps = self._of_each[reader]
        if jumps.is_worth_a_look(at) and (monotonic := reader.monotonic()) is not None:
            jumps.look(at, *monotonic)

    def skips(self) -> tuple[Skip, ...]:
        """Return the spans over which a clock was set ahead."""
        return joined((), (skip for one in self._of_each.values() for skip in one.skips))


def read_accepted(
    settings: JournalSettings, since: Instant, until: Instant, *, most: int = _MOST_ACCEPTED
) -> list[Response]:
    """Return the accepted uploads in the journal with `since <= t < until`, in order.

    They show hosts without a row in the index. A journal may have many more entries than the index has rows, so the
    latest span is read first, and reading stops before the span that would exceed `most` entries.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    spans: list[list[Response]] = []
    length, left = _FIRST_STRETCH_US, most
    while since < until:
        begin = max(since, until - length)
        accepted: list[Response] = []

        def keep(observations: Iterable[LogObservation | UnitState], accepted: list[Response] = accepted) -> None:
            accepted += [one for one in observations if type(one) is Response and one.status < REFUSED]

        past = read_journal(settings, begin, until - 1, keep, begin)
        spans.append(accepted)
        if past.coverage.begins_at is not None and past.coverage.begins_at >= begin:
            break
        # A span twice as long has about twice as many entries.
        left -= past.count
        if past.count > left:
            break
        until, length = begin, length * 2 if 2 * past.count <= left else length
    return [one for accepted in reversed(spans) for one in sorted(accepted, key=lambda one: one.at)]


def _unit_states(readers: Sequence[JournalReader], since: Instant, until: Instant) -> list[UnitState]:
    """Return the state of the receiver at `since`, if it is known, and its changes up to `until`."""
    states = UnitStates()
    for message in in_time(reader.latest_unit_messages(since) for reader in readers):
        states.record(message)
    found = [] if states.latest is None else [states.latest]
    for reader in readers:
        states.expect(reader.active)
    messages = in_time(reader.unit_messages(since)[0] for reader in readers)
    changes = (states.record(message) for message in messages if since <= message.at <= until)
    return found + [state for state in changes if state is not None]


def _behind_broken(instants: Iterable[Instant]) -> list[Gap]:
    """Return gaps for lines that may be missing after broken ones; at most one a minute, as clients can cause many."""
    gaps: list[Gap] = []
    for at in instants:
        gap = Gap(at, at, BROKEN, 1)
        if gaps and at - gaps[-1].since < _GAP_US:
            gaps[-1] = gaps[-1].joined(gap)
        else:
            gaps.append(gap)
    return gaps


def ensure_journal_readable(settings: JournalSettings) -> None:
    """Open and close the journal, so that a command fails before it has done a lot of work.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with touching(_place_of(settings)), opened(settings):
        pass


def unit_states(settings: JournalSettings, since: Instant, until: Instant) -> list[UnitState]:
    """Return the state of the receiver at `since`, if it is known, and its changes up to `until`, from the journal.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with touching(_place_of(settings)), opened(settings) as journal:
        for reader in journal.readers:
            reader.find_instances(since)
        return _unit_states(journal.readers, since, until)


def _with_progress(entries: Iterable[T]) -> Iterator[T]:
    """Yield the entries of a journal, and report progress to the hang watch."""
    for number, entry in enumerate(entries):
        if not number % _BATCH:
            note_progress()
        yield entry


def _place_of(settings: JournalSettings) -> Path:
    """Return the directory of a journal; for the journal of this machine, the usual one of persistent files."""
    return settings.directory or Path("/var/log/journal")


def read_messages(settings: JournalSettings, since: Instant, until: Instant) -> Iterator[bytes]:
    """Yield the lines of the units of the receiver with `since <= t <= until`, without messages of journald about them.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    with opened(settings) as journal:
        for reader in journal.readers:
            reader.find_instances(since)
            reader.seek(since)
        for reader, message, at in journal.read(until):
            if message is None or not since <= at <= until:
                continue
            if not (message.startswith(SUPPRESSED_WORD) and reader.is_of_journald()):
                yield message
