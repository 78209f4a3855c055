"""The result of `check`, in words and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import Action, State
from fleet_health.cli.render.host_table import COLOURS
from fleet_health.cli.render.terminal import BOLD, DIM, Paint
from fleet_health.cli.render.unread import unread_lines, unread_rows
from fleet_health.errors import printable
from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Alert
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.model.coverage import Coverage, Gap

_INDENT = "    "
_NARROWEST = 40


@dataclass(frozen=True, slots=True)
class Line:
    """A finding, or an alert without one, as it is shown.

    Attributes:
        alert: The alert that it makes, notified or not.
        decision: What was decided about its incident; None for an alert that is about several.
        is_new: Whether it was notified now.

    """

    alert: Alert
    decision: Decision | None
    is_new: bool

    @property
    def note(self) -> str:
        """Why the alert is not new; empty if it is."""
        if self.is_new:
            return ""
        if self.decision is None or self.decision.action in {Action.NOTIFY, Action.REPEAT}:
            return "notified this hour"  # by the service, or another check, in this very moment
        return str(self.decision.reason if self.decision.state is State.FIRING else self.decision.state)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check.

    Attributes:
        lines: The findings, by host and symptom.
        hosts: How many hosts were checked.
        coverage: What each source shows.
        missing: What was not seen of the time that matters, each with its source.
        unread: The rotated files of the index that could not be read, or not to their end, each with the reason.
        is_dry_run: Whether no alert was written.

    """

    lines: Sequence[Line]
    hosts: int
    coverage: Sequence[Coverage]
    missing: Sequence[tuple[Coverage, Gap]]
    unread: Mapping[Path, str]
    is_dry_run: bool

    @property
    def new_alerts(self) -> int:
        """How many alerts are new."""
        return sum(line.is_new for line in self.lines)


def as_lines(report: Report, paint: Paint, width: int | None) -> Iterator[str]:
    """Return it in words: each finding with what to do, what could not be read, and last the count.

    Args:
        report: What was found.
        paint: Colours it, or does not.
        width: After how many columns sentences are wrapped; None for never.

    """
    for line in report.lines:
        finding = line.alert.finding
        state = State.FIRING if line.decision is None else line.decision.state
        note = f" ({line.note})" if line.note else ""
        head = f"{printable(finding.host)}: {finding.symptom}"
        yield paint(head, *COLOURS.get(state, (BOLD,))) + paint(note, DIM)
        yield from _wrapped(printable(finding.detail), width)
        yield from _wrapped(printable(finding.suggested_fix), width)
    for one, gap in report.missing:
        yield paint(printable(f"not seen: {gap.in_words(one.source)}"), DIM)
    for line_of_file in unread_lines(report.unread):
        yield paint(line_of_file, DIM)
    note = " (dry run: none was written)" if report.is_dry_run and report.new_alerts else ""
    yield paint(f"{plural(report.hosts, 'host')} checked, {plural(report.new_alerts, 'new alert')}{note}", BOLD)


def as_documents(report: Report) -> Iterator[dict[str, Any]]:
    """Return a document for each finding, and one with the figures."""
    for line in report.lines:
        decision = None if line.decision is None else line.decision.row()
        yield {**line.alert.row(), "is_new": line.is_new, "decision": decision}
    yield {
        "hosts_checked": report.hosts,
        "new_alerts": report.new_alerts,
        "dry_run": report.is_dry_run,
        "not_read": [{"source": one.source, **gap.row()} for one, gap in report.missing],
        "understood": {one.source: one.share.row() for one in report.coverage},
        "unread": unread_rows(report.unread),
    }


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None:
        return [_INDENT + text]
    # A name or a command is not divided, so that it can be copied whole.
    wrapper = TextWrapper(
        max(width, _NARROWEST),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)
