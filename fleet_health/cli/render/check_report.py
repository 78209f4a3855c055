"""Format the result of `check` as text and as JSON."""

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
    """A finding, or an alert without a finding.

    Attributes:
        alert: Its alert, whether or not it is notified.
        decision: The decision on its incident; None for an alert about several incidents.
        is_new: Whether it was notified by this check.

    """

    alert: Alert
    decision: Decision | None
    is_new: bool

    @property
    def note(self) -> str:
        """The reason why the alert is not new; empty if it is new."""
        if self.is_new:
            return ""
        if self.decision is None or self.decision.action in {Action.NOTIFY, Action.REPEAT}:
            return "notified this hour"  # by the service or another check, at the same time
        return str(self.decision.reason if self.decision.state is State.FIRING else self.decision.state)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check.

    Attributes:
        lines: The findings, by host and symptom.
        hosts: The number of hosts that were checked.
        coverage: The coverage of each source.
        missing: The relevant spans that each source did not show.
        unread: Path of a rotated file of the index that could not be read to its end -> the reason.
        is_dry_run: Whether alerts were not written.

    """

    lines: Sequence[Line]
    hosts: int
    coverage: Sequence[Coverage]
    missing: Sequence[tuple[Coverage, Gap]]
    unread: Mapping[Path, str]
    is_dry_run: bool

    @property
    def new_alerts(self) -> int:
        """The number of new alerts."""
        return sum(line.is_new for line in self.lines)


def as_lines(report: Report, paint: Paint, width: int | None) -> Iterator[str]:
    """Yield the report as lines: findings with suggested fixes, then problems with sources, and last the counts.

    Args:
        report: The report.
        paint: Adds colours, if they are on.
        width: The number of columns at which sentences are wrapped; None to wrap nowhere.

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
    note = " (dry run: not written)" if report.is_dry_run and report.new_alerts else ""
    yield paint(f"{plural(report.hosts, 'host')} checked, {plural(report.new_alerts, 'new alert')}{note}", BOLD)


def as_documents(report: Report) -> Iterator[dict[str, Any]]:
    """Yield a document for each finding, and one with the counts."""
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
    # Names and commands are not broken, so that they can be copied.
    wrapper = TextWrapper(
        max(width, _NARROWEST),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)
