"""`fleet-health replay`: show what would have fired in the past, by the configuration in force or another one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, add_config_option, config_path, refuse
from fleet_health.cli.plot.plot import PlotError, draw, ensure_drawable, plot_format
from fleet_health.cli.render.progress import Progress
from fleet_health.cli.render.replay_report import Report, as_json, as_lines
from fleet_health.cli.render.terminal import show
from fleet_health.cli.span import add_span_options, span
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.errors import ConfigError, FleetHealthError, SourceUnavailable, printable
from fleet_health.files.hang_watch import touching
from fleet_health.files.rotation import allow_many_files
from fleet_health.model.clock_jumps import joined
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response, UnitState, Upload
from fleet_health.parsing.local_time import localized
from fleet_health.replay.parallel import processors
from fleet_health.replay.past import Past, Present
from fleet_health.replay.replay import Replay, Watched
from fleet_health.replay.spans import evaluations
from fleet_health.replay.timeline import KIND_BY_CLASS, KINDS, Timeline
from fleet_health.service import clock
from fleet_health.service.restoring import read_state
from fleet_health.service.saved_state import SavedState
from fleet_health.sources.index.once import ensure_index_readable
from fleet_health.sources.journal.once import STATES_BACK_US, ensure_journal_readable, unit_states

if TYPE_CHECKING:
    import argparse
    from collections.abc import Container, Iterable, Sequence

    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant
    from fleet_health.replay.past import Observed

_EXIT_BROKEN, _EXIT_USAGE = 1, 2
_PLOT_BINS = 600
_WORTH_IT_US = 2 * 24 * HOUR_US
_UPLOAD, _UNSTAMPED = KINDS.index("uploads"), KINDS.index("unstamped")
_OF_CLASS = {status_class: KINDS.index(kind) for status_class, kind in KIND_BY_CLASS.items()}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "replay",
        help=SUMMARIES["replay"],
        description="Evaluate the past: read the journal and the index, evaluate at each past tick, and show which"
        " incidents would have opened, for how long, and why some would not have been notified. Incidents are summed up"
        " by host and symptom, and listed one by one with --list or if there are few. With --diff, compare with another"
        " configuration: which incidents are added, which are gone, and which open, end or are notified differently."
        " This writes no alert and does not ask the service. Mute windows are applied, but silences are not.",
        epilog="Exit status: 0 when it completed, whatever it found; 1 when a detector failed, there is no space for"
        " temporary files, or the plot cannot be written; 2 for an invalid configuration, or a source that is missing,"
        " unreadable, or does not respond.",
    )
    add_config_option(parser)
    add_span_options(parser, "1d", "the begin: how long ago (7d), `yesterday`, a date (2026-11-20), or a date and time")
    parser.add_argument("--diff", type=Path, metavar="OLD", help="compare with this configuration")
    parser.add_argument("--list", action="store_true", help="show each incident, even if there are many")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--plot",
        type=plot_format,
        metavar="FILE",
        help="also draw the result, with --diff both results, into a file that ends in .svg or .png",
    )
    parser.add_argument("--no-pager", action="store_true", help="print all at once, also on a terminal")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate the past, and return the exit status."""
    since, until = span(options)
    path = config_path(options)
    timeline, old_timeline = (
        None if options.plot is None else Timeline(since, until, _PLOT_BINS, name=_name(one))
        for one in (path, options.diff)
    )
    allow_many_files()
    try:
        with touching(path):
            settings = load(path)
        old_settings = None if options.diff is None else load(options.diff)
        for one in filter(None, (settings, old_settings)):
            for receiver in one.receivers:
                ensure_index_readable(receiver.index, since)
                ensure_journal_readable(receiver.journal)
        if timeline is not None:
            ensure_drawable(options.plot)
        report = replayed(settings, since, until, timeline, name=_name(path))
        old = None
        if old_settings is not None:
            old = replayed(old_settings, since, until, old_timeline, name=_name(options.diff))
    except FleetHealthError as error:
        return refused(error)
    pictures = [(report, timeline)] if old is None else [(old, old_timeline), (report, timeline)]
    return _report(options, report, old, [(one, drawn) for one, drawn in pictures if drawn is not None])


def refused(error: FleetHealthError) -> int:
    """Print why the past cannot be evaluated, and return the exit status."""
    if isinstance(error, ConfigError):
        return refuse(error)
    print(error, file=sys.stderr)  # noqa: T201
    return _EXIT_USAGE if isinstance(error, SourceUnavailable) else _EXIT_BROKEN


def _name(path: Path | None) -> str:
    return "the defaults" if path is None else str(path)


def _report(
    options: argparse.Namespace, report: Report, old: Report | None, pictures: Sequence[tuple[Report, Timeline]]
) -> int:
    """Print the result, draw it if requested, and return the exit status."""
    failures = report.failures if old is None else old.failures | report.failures
    problems = [f"detector {symptom} failed: {printable(repr(error))}" for symptom, error in failures.items()]
    if pictures:
        for one, timeline in pictures:
            timeline.episodes = list(one.episodes)
            timeline.gaps = {source.source: tuple(source.unread(one.since, one.until)) for source in one.coverage}
        try:
            draw([timeline for _, timeline in pictures], options.plot)
        except PlotError as error:  # the result took long, so it is printed anyway
            problems.append(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201
    if options.json:
        print(as_json(report, old))  # noqa: T201
    else:
        show([localized(line) for line in as_lines(report, old, is_listed=options.list)], is_paged=not options.no_pager)
    return _EXIT_BROKEN if problems else 0


def replayed(
    settings: Settings, since: Instant, until: Instant, timeline: Timeline | None = None, *, name: str = ""
) -> Report:
    """Evaluate a span of the past by the settings of a configuration named `name`.

    Raises:
        SourceUnavailable: A source is missing or cannot be read.
        ScratchUnavailable: There is no space for temporary files.

    """
    replay = Replay(
        Watched(
            settings.rules(), settings.mute_windows, settings.host_limit, settings.expected, settings.receiver_names
        )
    )
    # More processes are not worthwhile for less.
    processes = processors() if until - since >= _WORTH_IT_US else 1
    spans = 1 if settings.expected else processes
    state = read_state(settings.state_directory) or SavedState()
    with Past() as past, Progress(sys.stderr) as progress:
        progress.begin("reading", since, until)
        lookback = lookback_of(settings.detectors())
        for receiver in settings.receivers:
            states = unit_states(receiver.journal, since - STATES_BACK_US, since)
            past.read(
                *(receiver, lookback, (since, until), progress.reach),
                is_alone=processes == 1,
                present=Present(clock.now(), state.row_dates(receiver)),
                rows_since=min(replay.watched.rules.reading_begins_at(states, since), lookback.learns_since(since)),
            )
        replay.watched = replace(
            replay.watched, skips=joined(state.skips, past.skips), shutdowns=tuple(state.shutdowns)
        )
        if timeline is not None:
            ignored = {host for host in past.hosts() if settings.ignored.matches(host)}
            _note(past.since(since), timeline, ignored)
        progress.begin("evaluating", since, until)
        ticks = findings = 0
        for evaluation in evaluations(past, replay, since, until, spans):
            ticks += 1
            findings += len(evaluation.findings)
            progress.reach(evaluation.at)
        return Report(
            configuration=name,
            since=since,
            until=until,
            ticks=ticks,
            findings=findings,
            alerts=replay.alerts,
            episodes=sorted(replay.episodes, key=lambda one: (one.opened_at, one.host, one.symptom)),
            needed_since=since - lookback.traffic_us,
            coverage=past.coverage,
            rejections=past.rejections,
            unread=past.unread,
            failures=replay.failures,
        )


def _note(observed: Iterable[Observed], timeline: Timeline, ignored: Container[str]) -> None:
    for at, _, one in observed:
        if isinstance(one, UnitState) or one.host in ignored:
            continue
        if isinstance(one, Upload):
            timeline.add(one.host, _UPLOAD, at)
        elif isinstance(one, Response):
            timeline.add(one.host, _OF_CLASS[one.status // 100], at)
        else:
            timeline.add(one.host, _UNSTAMPED, at)
