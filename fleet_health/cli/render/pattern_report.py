"""Count the matches of the patterns on lines, in bounded memory, and report them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet_health.cli.render.terminal import cut, wrapped
from fleet_health.config.in_force import OFF
from fleet_health.config.pattern_trust import REMEDY, forgeable, warnings
from fleet_health.errors import printable
from fleet_health.model.observation import Response
from fleet_health.model.window import SUCCESS
from fleet_health.model.words import plural
from fleet_health.parsing.known_patterns import DEFAULT_WORDS, reason_against, suggested
from fleet_health.parsing.line_shape import line_shape
from fleet_health.parsing.long_line import view_of
from fleet_health.parsing.pattern_sample import upload_words
from fleet_health.parsing.rejection import RejectionCount
from fleet_health.sources.journal.lines import log_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.parsing.known_patterns import KnownPattern

VERSION = 1
"""The version of the document. Keys are only added to it."""

_KINDS = 10_000
"""The largest number of hosts, and of shapes, that are counted individually. Other lines are counted together."""
_SHOWN = 10
_BATCH = 500


@dataclass(slots=True)
class PatternCount:
    """The matches of one pattern.

    Attributes:
        matches: The number of lines that it matched.
        hosts: Host -> number of matches.
        statuses: HTTP status -> number of matches.
        seconds: Its total time over all lines.

    """

    matches: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, host: str) -> None:
        """Count a match."""
        self.matches += 1
        if host in self.hosts or len(self.hosts) < _KINDS:
            self.hosts[host] += 1


class Report:
    """Tries lines with the parser of the service, and counts the results."""

    def __init__(self, settings: JournalSettings) -> None:
        self.settings = settings
        self.lines = 0
        self.response, self.unstamped = PatternCount(), PatternCount()
        self.accepted: set[str] = set()
        """The hosts with an accepted upload."""
        self.index: tuple[Path, frozenset[str]] | None = None
        """The index of the receiver, and the hosts in it; None if it was not read."""
        self.uncounted: Counter[str] = Counter()
        """Status outside the counted classes -> number of lines."""
        self.rejections = RejectionCount()
        self.shapes: Counter[str] = Counter()
        """Shape -> number of lines without a match."""
        self.samples: dict[str, str] = {}
        """Shape -> its first line."""
        self.others = 0
        """The number of lines without a match whose shapes are not counted individually."""
        self.forgeable = forgeable(settings)
        self._parser = log_parser(settings)
        self._words = upload_words(settings.response) or DEFAULT_WORDS
        self._batch: list[bytes] = []

    @property
    def unmatched(self) -> int:
        """The number of lines without a match."""
        return self.shapes.total() + self.others

    def why(self, shape: str) -> str:
        """Return why lines of a shape do not match; empty if they are not about uploads and other lines match."""
        line = self.samples[shape]
        if self.response.matches and not self._is_of_upload(line):
            return ""
        return reason_against(line, self.settings.response)

    def suggestions(self) -> list[tuple[KnownPattern, int]]:
        """Return the known patterns that would match upload lines, each with the number of lines."""
        found: Counter[KnownPattern] = Counter()
        for shape, count in self.shapes.items():
            line = self.samples[shape]
            if self._is_of_upload(line) and (known := suggested(line, self._words)) is not None:
                found[known] += count
        return found.most_common()

    def _is_of_upload(self, line: str) -> bool:
        return bool(self._words) and all(word in line for word in self._words)

    def strangers(self) -> Iterator[tuple[str, list[str]]]:
        """Yield a text for each pattern that finds hosts which another source lacks, with these hosts.

        A refusal for a missing stamp is also a response, and an accepted upload has a row in the index. A source
        without any host proves nothing.
        """
        if self.response.hosts and (odd := sorted(self.unstamped.hosts.keys() - self.response.hosts.keys())):
            yield "journal.unstamped: not among the hosts of journal.response", odd
        if self.index is not None:
            path, known = self.index
            if known and (odd := sorted(self.accepted - known)):
                yield f"journal.response: accepted, and not among the hosts of the index {path}", odd

    def add(self, message: bytes) -> None:
        """Take a message of one or several lines."""
        self._batch += message.split(b"\n")
        if len(self._batch) >= _BATCH:
            self.finish()

    def finish(self) -> None:
        """Try the lines taken so far."""
        texts = [view_of(line.decode("utf-8", "surrogateescape")) for line in self._batch]
        settings, host = self.settings, self.settings.unstamped_host
        if settings.unstamped_marker is not None and host is not None:
            marker = settings.unstamped_marker.casefold()
            self.unstamped.seconds += _timed(lambda: [marker in text.casefold() for text in texts])
            marked = [text for text in texts if marker in text.casefold()]
            self.unstamped.seconds += _timed(lambda: [host.search(text) for text in marked])
        self.response.seconds += _timed(lambda: [settings.response.search(text) for text in texts])
        for line, text in zip(self._batch, texts, strict=True):
            self._try(line, text)
        self._batch.clear()

    def _try(self, line: bytes, text: str) -> None:
        self.lines += 1
        observations, rejections = self._parser.parse(line, 0)
        self.rejections.add(rejections)
        for one in observations:
            if isinstance(one, Response):
                self.response.add(one.host)
                self.response.statuses[one.status] += 1
                if one.status // 100 == SUCCESS and one.host in self.response.hosts:
                    self.accepted.add(one.host)
            else:
                self.unstamped.add(one.host)
        if observations or rejections:
            return
        if found := self.settings.response.search(text):
            self.uncounted[found["status"]] += 1
            return
        shape = line_shape(text)
        if shape in self.shapes or len(self.shapes) < _KINDS:
            self.shapes[shape] += 1
            self.samples.setdefault(shape, text)
        else:
            self.others += 1


def as_lines(report: Report, columns: int) -> Iterator[str]:
    """Yield the report as lines of at most `columns` characters. Names of hosts are wrapped, and shapes are cut."""
    yield plural(report.lines, "line")
    yield from _pattern("journal.response", report.response, report, columns)
    if report.settings.unstamped_host is None:
        yield ""
        yield f"journal.unstamped: {OFF}"
    else:
        yield from _pattern("journal.unstamped", report.unstamped, report, columns)
    yield from _warnings(report)
    for place, hosts in report.strangers():
        others = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
        yield ""
        yield printable(f"WARNING {place}: {', '.join(_quoted(hosts[:_SHOWN]))}{others}")
        yield "What to do: make sure that each group `host` matches exactly the name in the index."
    for status, count in report.uncounted.most_common(_SHOWN):
        yield f"status {printable(status)} is neither 2xx, 4xx nor 5xx, and is not counted: {count} times"
    for reason, count in sorted(report.rejections.by_reason.items()):
        yield printable(f"{count} rejected: {reason}, the latest: {report.rejections.latest[reason]}")
    if report.unmatched:
        yield ""
        yield f"{plural(report.unmatched, 'line')} matched nothing; the most frequent ones, similar ones grouped:"
        for shape, count in report.shapes.most_common(_SHOWN):
            yield cut(f"{count:>8} x {printable(shape)}", columns)
            yield f"           such as {printable(report.samples[shape])}"
            if why := report.why(shape):
                yield f"           does not match: {printable(why)}"
        if (more := len(report.shapes) - _SHOWN) > 0 or report.others:
            yield f"         and {max(0, more)} more shapes" + (
                f", and {plural(report.others, 'line')}" * bool(report.others)
            )
    yield from _suggestions(report)
    if not report.response.matches and not report.unstamped.matches:
        yield ""
        yield from _advice(report)


def _quoted(hosts: Iterable[str]) -> Iterator[str]:
    """Yield names in quotes, to show where each begins and ends."""
    return (f'"{host}"' for host in hosts)


def _suggestions(report: Report) -> Iterator[str]:
    for one, count in report.suggestions():
        yield ""
        yield f"{plural(count, 'line')} would be matched by the pattern for {one.format}:"
        yield f"    response = '{one.pattern}'"
        if one.note:
            yield f"    {one.note}"


def _warnings(report: Report) -> Iterator[str]:
    if report.forgeable:
        yield ""
        yield from (f"WARNING {text}" for text in warnings(report.settings))
        yield f"What to do: {REMEDY}"


def _pattern(name: str, count: PatternCount, report: Report, columns: int) -> Iterator[str]:
    share = count.matches / report.lines if report.lines else 0.0
    speed = count.seconds / report.lines * 1e6 if report.lines else 0.0
    hosts = plural(len(count.hosts), "host")
    yield ""
    yield f"{name}: {plural(count.matches, 'line')} ({share:.1%}), {hosts}, {speed:.1f} us a line"
    if count.statuses:
        statuses = ", ".join(f"{status}: {times}" for status, times in sorted(count.statuses.items()))
        yield from wrapped(f"    {statuses}", columns, "    ")
    if count.hosts:
        named = ", ".join(f'"{host}" {times}' for host, times in count.hosts.most_common(_SHOWN))
        more = f" and {len(count.hosts) - _SHOWN} more" if len(count.hosts) > _SHOWN else ""
        yield from wrapped(f"    {named}{more}", columns, "    ")


def _advice(report: Report) -> Iterator[str]:
    if not report.lines:
        if units := report.settings.units:
            yield f"There are no lines: is {', '.join(units)} the receiver's unit (`journal.unit`), and does it log?"
        else:
            yield "There are no lines: does `journal.match` fit the receiver's entries, and does it log?"
        return
    yield "Nothing matched. Write a pattern for the upload lines above, and set it in the configuration"
    yield "as `journal.response`: a regular expression with (?P<host>…) and (?P<status>…). It is now"
    yield f"    {printable(report.settings.response.pattern)}"


def as_json(report: Report) -> dict[str, Any]:
    """Make the document."""
    return {
        "version": VERSION,
        "lines": report.lines,
        "response": _document(report.response, report)
        | {"statuses": {str(status): count for status, count in sorted(report.response.statuses.items())}},
        "unstamped": _document(report.unstamped, report) | {"is_on": report.settings.unstamped_host is not None},
        "forgeable": [
            {"pattern": one.pattern, "format": one.format, "field": one.field, "line": printable(one.line)}
            for one in report.forgeable
        ],
        "strangers": [{"place": printable(place), "hosts": hosts} for place, hosts in report.strangers()],
        "statuses_not_counted": dict(report.uncounted),
        "rejections": dict(report.rejections.by_reason),
        "unmatched": report.unmatched,
        "shapes": [
            {
                "shape": printable(shape),
                "count": count,
                "sample": printable(report.samples[shape]),
                "why": printable(report.why(shape)),
            }
            for shape, count in report.shapes.most_common(_SHOWN)
        ],
        "suggestions": [
            {"format": one.format, "pattern": one.pattern, "note": one.note, "lines": count}
            for one, count in report.suggestions()
        ],
    }


def _document(count: PatternCount, report: Report) -> dict[str, Any]:
    return {
        "matches": count.matches,
        "hosts": dict(count.hosts.most_common()),
        "seconds": count.seconds,
        "us_per_line": count.seconds / report.lines * 1e6 if report.lines else 0.0,
    }


def _timed(work: Callable[[], object]) -> float:
    began_at = time.perf_counter()
    work()
    return time.perf_counter() - began_at
