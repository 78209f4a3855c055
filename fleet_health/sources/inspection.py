"""Check that the sources in a configuration exist and belong to a receiver.

A wrong setting may cause no error: a mistyped unit merely has no entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.errors import SourceForbidden, SourceMissing, SourceUnavailable
from fleet_health.model.coverage import CLOCKS_US, MISSED_AT_FIRST
from fleet_health.model.instant import HOUR_US, SECOND_US, describe
from fleet_health.model.observation import Response, UnitState
from fleet_health.model.window import REFUSED
from fleet_health.model.words import plural
from fleet_health.sources.index.once import read_index
from fleet_health.sources.index.source import FUTURE
from fleet_health.sources.journal.machines import opened
from fleet_health.sources.journal.matches import unmatched_in_words
from fleet_health.sources.journal.once import read_journal
from fleet_health.sources.journal.unheard import unheard_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from fleet_health.config.schema import IndexSettings, JournalSettings, ReceiverSettings
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import Upload
    from fleet_health.parsing.receiver_log import LogObservation

_ROWS_BACK_US, _LINES_BACK_US = 24 * HOUR_US, HOUR_US // 2
# A row may be written later than the line.
_IN_FLIGHT_US = 10 * SECOND_US
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of checking the sources of a receiver.

    Attributes:
        problems: One sentence for each problem.
        notes: One sentence for each source that could not be checked, with the reason.
        of_service: One sentence for each problem if the service itself checks: it must be able to read all sources.
        hosts: The hosts that were seen.

    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    of_service: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()


def inspected(receiver: ReceiverSettings, now: Instant) -> Inspection:
    """Check the sources of a receiver. If neither exists, this is not its machine, and there is no problem."""
    rows: list[Upload] = []
    logged: list[LogObservation] = []
    errors: list[SourceUnavailable] = []
    problems: list[str] = []
    for look in (
        _problems_of_index(receiver.index, rows, now),
        _problems_of_journal(receiver.journal, rows, logged, now),
    ):
        try:
            problems += look
        except SourceUnavailable as error:
            errors.append(error)
    if not errors and not problems:
        problems += _problems_of_hosts(receiver.index, rows, logged, now)
    of_service = (*problems, *(error.of_service for error in errors))
    if len(errors) > 1 and all(isinstance(error, SourceMissing) for error in errors):
        note = "neither the index nor the journal is on this machine: only the file was checked"
        return Inspection(notes=(note,), of_service=of_service)
    forbidden = [error for error in errors if isinstance(error, SourceForbidden)]
    problems += [str(error) for error in errors if error not in forbidden]
    hosts = frozenset(one.host for one in (*rows, *logged))
    return Inspection(tuple(problems), tuple(f"not checked: {error}" for error in forbidden), of_service, hosts)


def _problems_of_index(settings: IndexSettings, rows: list[Upload], now: Instant) -> Iterator[str]:
    past = read_index(settings, now - _ROWS_BACK_US, now, rows.extend, every_since=now - _LINES_BACK_US)
    share = past.coverage.share
    if share.came_in and not share.understood:
        reasons = ", ".join(past.rejections.by_reason)
        yield (
            f"{settings.path}: not one of {plural(share.came_in, 'row')} was understood ({reasons});"
            " check `index.path`, `index.host_field` and `index.time_field`"
        )
    elif (ahead := past.rejections.by_reason.get(FUTURE.reason, 0)) >= MISSED_AT_FIRST:
        yield (
            f"{settings.path}: {plural(ahead, 'row')} dated ahead of the clock; check the clock and the time zone of"
            " the receiver, and `index.time_field`"
        )


def _problems_of_journal(
    settings: JournalSettings, rows: Sequence[Upload], logged: list[LogObservation], now: Instant
) -> Iterator[str]:
    with opened(settings) as journal:
        for reader in journal.readers:
            reader.find_instances(now - _LINES_BACK_US)
        unheard = unheard_in(journal.readers, settings)
    yield from unheard
    if unheard:
        return

    def take_in(observations: Iterable[LogObservation | UnitState]) -> None:
        logged.extend(one for one in observations if not isinstance(one, UnitState))

    coverage = read_journal(settings, now - _LINES_BACK_US, now, take_in).coverage
    share = coverage.share
    if not share.is_understood and not share.understood:
        yield (
            f"not one of {plural(share.came_in, 'upload line')} of the journal was understood; `fleet-health patterns`"
            " shows them; check `journal.response`"
        )
    elif coverage.is_unmatched((one.at for one in rows), now):
        yield unmatched_in_words(settings)


def _problems_of_hosts(
    settings: IndexSettings, rows: Sequence[Upload], logged: Sequence[LogObservation], now: Instant
) -> Iterator[str]:
    until = now - _IN_FLIGHT_US
    uploading = {
        one.host: one.at for one in logged if type(one) is Response and one.status < REFUSED and one.at < until
    }
    indexed: dict[str, Instant] = {}
    for one in rows:
        indexed[one.host] = max(one.at, indexed.get(one.host, one.at))
    behind_us = min((at - indexed[host] for host, at in uploading.items() if host in indexed), default=0)
    if behind_us > CLOCKS_US:
        yield (
            f"{settings.path}: the latest row of each host that the journal shows uploading is dated"
            f" {describe(behind_us)} or more before its latest line; check that the index is still written, the clock"
            " and the time zone of the receiver, and `index.time_field`"
        )
    if uploading and uploading.keys().isdisjoint(indexed):
        yield (
            f"{settings.path}: of the hosts that the journal shows uploading ({_names(uploading)}), none has a row"
            f" within 24 h (hosts with one: {_names(indexed)}); check `index.path`, `index.host_field` and"
            " `journal.response`"
        )


def _names(hosts: Collection[str]) -> str:
    """Return some names of hosts, and how many more there are."""
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(sorted(hosts)[:_NAMED]) + more if hosts else "none"
