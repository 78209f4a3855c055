"""Format the result of a replay as text and as JSON."""

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
"""The version of the document. Keys are only added to it."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a replay.

    Attributes:
        configuration: The path of the configuration, or a text if there is no file.
        since: The begin of the replay.
        until: The end of the replay.
        ticks: The number of ticks.
        findings: The number of findings over all ticks.
        alerts: The number of alerts that would have been sent.
        episodes: The incidents, by opening, host and symptom.
        needed_since: The instant from which the journal is needed for exact results from the begin on.
        coverage: The coverage of the index and of the journal.
        rejections: Source -> its rejected lines.
        unread: Path of a rotated file of the index that could not be read to its end -> the reason.
        failures: Symptom -> the first error of its detector.

    """

    configuration: str
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
        """Return the begin of a source if it is later than needed, else None; the end of the replay if it is empty.

        The index is needed from the begin of the replay, and the journal from earlier on.
        """
        since = self.needed_since if coverage.kind == "journal" else self.since
        return None if coverage.reaches(since) else min(coverage.begins_at or self.until, self.until)


def as_lines(report: Report, old: Report | None, *, is_listed: bool = False) -> Iterator[str]:
    """Yield the report as lines: the incidents that would have opened, or the differences from another replay.

    Args:
        report: The replay.
        old: The replay to compare with; None for none.
        is_listed: Whether each incident is shown, even if there are many.

    """
    yield (
        f"{isoformat(report.since)[:19]}Z to {isoformat(report.until)[:19]}Z: {plural(report.ticks, 'tick')},"
        f" {plural(len(report.episodes), 'incident')}, {plural(report.alerts, 'alert')}"
    )
    for one in report.coverage:
        begins_at = report.begins_at(one)
        if begins_at is not None:
            yield f"the {one.source} has no data before {isoformat(begins_at)[:19]}Z"
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
        yield from _summed_up(report.episodes, report, is_listed=is_listed)
        return
    yield f"- {printable(old.configuration)}: {_counts(old)}"
    yield f"+ {printable(report.configuration)}: {_counts(report)}"
    yield f"alerts: {old.alerts} -> {report.alerts} ({report.alerts - old.alerts:+})"
    differing = difference(old.episodes, report.episodes)
    for title, episodes in (("added", differing.added), ("gone", differing.gone)):
        yield ""
        yield f"{title}: {plural(len(episodes), 'incident')}"
        yield from _summed_up(episodes, report, is_listed=is_listed)
    changed = differing.changed
    yield ""
    yield f"changed: {plural(len(changed), 'incident')}"
    if is_listed or len(changed) <= _SHORT:
        yield from _changes(changed, report.until)
        return
    for sign, episodes in (
        ("-", tuple(one for change in changed for one in change.old)),
        ("+", tuple(one for change in changed for one in change.new)),
    ):
        yield from (f"{sign} {line}" if line else "" for line in _summary(episodes, report))
    yield _USE_LIST


def _counts(report: Report) -> str:
    return f"{plural(len(report.episodes), 'incident')}, {plural(report.alerts, 'alert')}"


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
        "configuration": report.configuration,
        "since_wall": isoformat(report.since),
        "until_wall": isoformat(report.until),
        "ticks": report.ticks,
        "findings": report.findings,
        "alerts": report.alerts,
        "incidents_by_symptom": dict(Counter(episode.symptom for episode in report.episodes)),
        "summary": [
            {
                "host": one.host,
                "symptom": one.symptom,
                "incidents": one.incidents,
                "alerts": one.alerts,
                "lasted_s": one.total_us / SECOND_US,
                "longest_s": one.longest_us / SECOND_US,
                "share": one.share,
                "not_notified": dict(one.reasons),
            }
            for one in _groups(report.episodes, report)
        ],
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
    """Return the latest begin of the sources of a kind that begin later than needed; else None."""
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
        "reason": episode.reason,
        "reason_detail": episode.reason_detail,
    }


@dataclass(frozen=True, slots=True)
class _Group:
    """The incidents of one host and symptom.

    Attributes:
        host: The host.
        symptom: The symptom.
        incidents: The number of incidents.
        alerts: The number of their alerts.
        total_us: Their total duration.
        longest_us: The duration of the longest.
        share: Their share of the time of the replay, from 0 to 1.
        reasons: Reason -> number of incidents without an alert for it.

    """

    host: str
    symptom: str
    incidents: int
    alerts: int
    total_us: int
    longest_us: int
    share: float
    reasons: Counter[str]

    def cells(self) -> tuple[str, ...]:
        """Return the cells of its line."""
        silent = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        lasted, longest = describe(self.total_us), describe(self.longest_us)
        counts = str(self.incidents), str(self.alerts)
        return (printable(self.host), self.symptom, *counts, lasted, longest, f"{self.share:.1%}", silent)


_HEADINGS = ("HOST", "SYMPTOM", "INCIDENTS", "ALERTS", "TOTAL", "LONGEST", "OF TIME", "NOT NOTIFIED")
_LEFT = {"HOST", "SYMPTOM", "NOT NOTIFIED"}
_SHORT = 20
_USE_LIST = "--list shows each incident"


def _groups(episodes: Sequence[Episode], report: Report) -> list[_Group]:
    """Return the incidents, summed up by host and symptom, longest first."""
    by_pair: dict[tuple[str, str], list[Episode]] = {}
    for episode in episodes:
        by_pair.setdefault((episode.host, episode.symptom), []).append(episode)
    groups = []
    for (host, symptom), ones in by_pair.items():
        lasted = [_end(one, report.until) - one.opened_at for one in ones]
        # The incident of a lost host may have begun before the replay.
        within = sum(_end(one, report.until) - max(one.opened_at, report.since) for one in ones)
        groups.append(
            _Group(
                *(host, symptom, len(ones), sum(one.alerts for one in ones), sum(lasted), max(lasted)),
                share=within / max(1, report.until - report.since),
                reasons=Counter(one.reason for one in ones if one.reason),
            )
        )
    return sorted(groups, key=lambda one: (-one.total_us, one.host, one.symptom))


def _summed_up(episodes: Sequence[Episode], report: Report, *, is_listed: bool) -> Iterator[str]:
    """Yield the incidents by host and symptom, and each incident if requested or if there are few."""
    yield from _summary(episodes, report)
    if is_listed or len(episodes) <= _SHORT:
        yield from _table(episodes, report.until)
    else:
        yield ""
        yield _USE_LIST


def _summary(episodes: Sequence[Episode], report: Report) -> Iterator[str]:
    if not episodes:
        return
    rows = [_HEADINGS, *(one.cells() for one in _groups(episodes, report))]
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    for row in rows:
        cells = (
            f"{cell:{width}}" if heading in _LEFT else f"{cell:>{width}}"
            for cell, width, heading in zip(row, widths, _HEADINGS, strict=False)
        )
        yield "  ".join(cells).rstrip()


def _table(episodes: Sequence[Episode], until: Instant) -> Iterator[str]:
    if episodes:
        yield ""
    for line, episode in zip(_columns(episodes, until), episodes, strict=True):
        yield line
        if episode.detail:
            yield f"    {printable(episode.detail)}"


def _changes(changes: Sequence[Change], until: Instant) -> Iterator[str]:
    """Yield each changed incident, first as it was and then as it is."""
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
            f"{isoformat(episode.opened_at)[:19]}Z  {printable(episode.host):{host_width}}"
            f"  {episode.symptom:{symptom_width}}  {lasted + still:18}  {_notified(episode)}"
        )


def _notified(episode: Episode) -> str:
    """Return the number of alerts, or why there is none."""
    if not episode.reason:
        return plural(episode.alerts, "alert")
    detail = f" ({printable(episode.reason_detail)})" if episode.reason_detail else ""
    return f"not notified: {episode.reason}{detail}"


def _end(episode: Episode, until: Instant) -> Instant:
    return until if episode.ended_at is None else episode.ended_at
