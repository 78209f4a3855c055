"""What a replay gave, in words and as a document."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.cli.render.unread import unread_lines, unread_rows
from fleet_health.errors import printable
from fleet_health.model.instant import SECOND_US, describe, isoformat
from fleet_health.model.words import plural
from fleet_health.replay.difference import difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fleet_health.model.coverage import Coverage
    from fleet_health.model.instant import Instant
    from fleet_health.parsing.rejection import RejectionCount
    from fleet_health.replay.difference import Change
    from fleet_health.replay.timeline import Episode

VERSION = 1
"""The version of the document; as with those of the service, keys are only ever added to it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay gave.

    Attributes:
        since: From when.
        until: To when.
        ticks: How many there were.
        findings: How many findings there were, over all ticks.
        alerts: How many alerts would have been given.
        episodes: The incidents, by opening, host and symptom.
        needed_since: How far back the journal is needed for all detectors to be exact from the begin on.
        coverage: What each source shows, and what not: the index, and the journal.
        rejections: Source -> what could not be read of it.
        unread: The rotated files of the index that could not be read, or not to their end, each with the reason.
        failures: Symptom -> the first error of its detector.

    """

    since: Instant
    until: Instant
    ticks: int
    findings: int
    alerts: int
    episodes: Sequence[Episode]
    needed_since: Instant
    coverage: Sequence[Coverage]
    rejections: dict[str, RejectionCount]
    unread: dict[Path, str]
    failures: dict[str, Exception]

    def begins_at(self, coverage: Coverage) -> Instant | None:
        """Return where a source begins, if that is later than is needed; the end of the replay if it is empty.

        An index that begins later than the begin of the replay lacks uploads; the journal is needed from earlier on.
        """
        since = self.needed_since if coverage.kind == "journal" else self.since
        return None if coverage.reaches(since) else min(coverage.begins_at or self.until, self.until)


def as_lines(report: Report, old: Report | None) -> Iterator[str]:
    """Return it in words: all that would have fired, or with another replay what is added, gone or changed."""
    yield (
        f"{isoformat(report.since)[:16]}Z to {isoformat(report.until)[:16]}Z: {plural(report.ticks, 'tick')},"
        f" {plural(len(report.episodes), 'incident')}, {plural(report.alerts, 'alert')}"
    )
    for one in report.coverage:
        begins_at = report.begins_at(one)
        if begins_at is not None:
            yield f"the {one.source} has nothing from before {isoformat(begins_at)[:19]}Z"
        yield from (
            f"gap in the {one.source} from {isoformat(gap.since)[:19]}Z to {isoformat(gap.until)[:19]}Z: {gap.reason}"
            for gap in one.gaps
        )
        if not one.is_understood(report.until):
            yield f"not seen: {one.missed(report.since, report.until).in_words(one.source)}"
        if one.share.understood < one.share.came_in:
            yield f"{one.source}: {one.share.understood} of {one.share.came_in} understood"
    yield from unread_lines(report.unread)
    for source, rejections in report.rejections.items():
        yield from (f"{source}: {count} rejected: {why}" for why, count in sorted(rejections.by_reason.items()))
    if old is None:
        yield from _table(report.episodes, report.until)
        return
    more = report.alerts - old.alerts
    yield f"{more:+} {'alert' if abs(more) == 1 else 'alerts'}, as against {old.alerts}"
    differing = difference(old.episodes, report.episodes)
    for title, episodes in (("added", differing.added), ("gone", differing.gone)):
        yield ""
        yield f"{title}: {plural(len(episodes), 'incident')}"
        yield from _table(episodes, report.until)
    yield ""
    yield f"changed: {plural(len(differing.changed), 'incident')}"
    yield from _changes(differing.changed, report.until)


def as_json(report: Report, old: Report | None) -> str:
    """Make the document."""
    document = {"version": VERSION, **_document(report)}
    if old is not None:
        differing = difference(old.episodes, report.episodes)
        document["diff"] = {
            "old": _document(old),
            "added": _rows(differing.added, report.until),
            "gone": _rows(differing.gone, report.until),
            "changed": [
                {
                    "host": one.new[0].host,
                    "symptom": one.new[0].symptom,
                    "old": _rows(one.old, report.until),
                    "new": _rows(one.new, report.until),
                }
                for one in differing.changed
            ],
        }
    return json.dumps(document)


def _document(report: Report) -> dict[str, Any]:
    return {
        "since_wall": isoformat(report.since),
        "until_wall": isoformat(report.until),
        "ticks": report.ticks,
        "findings": report.findings,
        "alerts": report.alerts,
        "incidents_by_symptom": dict(Counter(episode.symptom for episode in report.episodes)),
        "incidents": _rows(report.episodes, report.until),
        "index_begins_wall": _latest_begin(report, "index"),
        "journal_begins_wall": _latest_begin(report, "journal"),
        "gaps": [gap.row() for one in report.coverage for gap in one.gaps],
        "not_read": [
            {"source": one.source, **gap.row()}
            for one in report.coverage
            for gap in one.unread(report.since, report.until)
        ],
        "understood": {one.source: one.share.row() for one in report.coverage},
        "rejections": {source: dict(count.by_reason) for source, count in report.rejections.items()},
        "unread": unread_rows(report.unread),
        "failures": {symptom: repr(error) for symptom, error in report.failures.items()},
    }


def _latest_begin(report: Report, kind: str) -> str | None:
    """Return where a kind of source begins, if later than is needed; of several receivers' the latest."""
    begins = [at for one in report.coverage if one.kind == kind and (at := report.begins_at(one)) is not None]
    return isoformat(max(begins)) if begins else None


def _rows(episodes: Sequence[Episode], until: Instant) -> list[dict[str, Any]]:
    return [_row(episode, until) for episode in episodes]


def _row(episode: Episode, until: Instant) -> dict[str, Any]:
    return {
        "host": episode.host,
        "symptom": episode.symptom,
        "opened_wall": isoformat(episode.opened_at),
        "ended_wall": None if episode.ended_at is None else isoformat(episode.ended_at),
        "lasted_s": (_end(episode, until) - episode.opened_at) / SECOND_US,
        "alerts": episode.alerts,
        "detail": episode.detail,
    }


def _table(episodes: Sequence[Episode], until: Instant) -> Iterator[str]:
    if episodes:
        yield ""
    for line, episode in zip(_columns(episodes, until), episodes, strict=True):
        yield line
        if episode.detail:
            yield f"    {printable(episode.detail)}"


def _changes(changes: Sequence[Change], until: Instant) -> Iterator[str]:
    """Show each as it was, and below that as it is."""
    signed = [(sign, one) for change in changes for sign, ones in zip("-+", change, strict=True) for one in ones]
    lines = _columns([one for _, one in signed], until)
    if signed:
        yield ""
    yield from (f"{sign} {line}" for (sign, _), line in zip(signed, lines, strict=True))


def _columns(episodes: Sequence[Episode], until: Instant) -> Iterator[str]:
    host_width = min(40, max((len(printable(episode.host)) for episode in episodes), default=0))
    symptom_width = max((len(episode.symptom) for episode in episodes), default=0)
    for episode in episodes:
        lasted = describe(_end(episode, until) - episode.opened_at)
        still = "" if episode.ended_at is not None else " and on"
        yield (
            f"{isoformat(episode.opened_at)[:16]}Z  {printable(episode.host):{host_width}}"
            f"  {episode.symptom:{symptom_width}}  {lasted + still:18}  {plural(episode.alerts, 'alert')}"
        )


def _end(episode: Episode, until: Instant) -> Instant:
    return until if episode.ended_at is None else episode.ended_at
