"""`fleet-health check`: evaluate once, by hand or from a timer."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fleet_health.cli.check.alerting import Alerting, alert_log
from fleet_health.cli.check.fleet_reader import FleetReader
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import (
    EXIT_CONFIG,
    Subparsers,
    add_common_options,
    add_config_file,
    config_path,
    instant,
    refuse,
)
from fleet_health.cli.render.check_report import Report, as_documents, as_lines
from fleet_health.cli.render.terminal import paint_for, width
from fleet_health.config.loading import ABSENT, load
from fleet_health.config.schema import SCRIPT_ALERTS_PATH
from fleet_health.detectors.evaluation import evict
from fleet_health.engine import Circumstances, Engine, readable_sources
from fleet_health.errors import ConfigError, SourceUnavailable
from fleet_health.files.hang_watch import touching
from fleet_health.files.rotation import allow_many_files
from fleet_health.model.clock_evidence import ALERT_LOG, INDEX, JOURNAL, SAVED_STATE, contradiction, credible
from fleet_health.model.instant import SECOND_US
from fleet_health.parsing.local_time import localized
from fleet_health.service import clock
from fleet_health.service import logging as logs
from fleet_health.service.restoring import newest_alert_at, read_state
from fleet_health.service.saved_state import SavedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleet_health.alerting.snapshot import Snapshot
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.clock_evidence import Contradiction
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

_EXIT_BROKEN = 1
# A service whose state is older than two ticks and this does not evaluate any more.
_UNWATCHED_US = 300 * SECOND_US

_log = structlog.get_logger("fleet_health.check")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "check",
        help=SUMMARIES["check"],
        description="Evaluate the fleet once, as the service would next. Options take precedence over the configuration"
        " file. If root runs it, it switches to the owner of the alert log's directory before it writes there. Exit"
        " status: 0 when it completed, with or without alerts; 1 when a part of it failed, which is reported; 2 for an"
        " invalid configuration, an index that is missing or unreadable, or a disk or mount that does not respond."
        " If the clock is behind the state file, the alert log, the journal or the index, absence is not evaluated, and"
        " the exit status is 1.",
    )
    add_common_options(parser)
    add_config_file(parser)
    parser.add_argument("--index-path", metavar="FILE", help="the index")
    parser.add_argument(
        "--alerts-path", metavar="FILE", help=f"the alert log; without a configuration file {SCRIPT_ALERTS_PATH}"
    )
    parser.add_argument("--journal-directory", metavar="DIR", help="journal files, instead of this machine's journal")
    parser.add_argument(
        "--lookback-hours", type=_number, metavar="H", help="watch hosts that uploaded within the last H hours (24)"
    )
    parser.add_argument(
        "--silent-threshold-min", type=_number, metavar="M", help="silent after M minutes without an upload (30)"
    )
    parser.add_argument(
        "--recent-window-min", type=_number, metavar="M", help="count the responses of the last M minutes (30)"
    )
    parser.add_argument(
        "--fatal-ratio-threshold", type=float, metavar="R", help="fatal-only from this share of refusals on (0.95)"
    )
    parser.add_argument(
        "--fatal-min-count", type=int, metavar="N", help="fatal-only and unstamped from N responses on (10)"
    )
    parser.add_argument(
        "--now",
        type=instant,
        metavar="TIME",
        help="evaluate as of this time: how long ago (90m), `yesterday 18:55`, a date, or a date and time",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each finding, and one at the end")
    parser.add_argument("--dry-run", action="store_true", help="write no alert anywhere")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate once; return the exit status."""
    logs.configure(options.log_level, is_for_people=not options.json)
    allow_many_files()
    try:
        with touching(config_path(options)):
            settings = load(config_path(options), _overrides(options))
    except ConfigError as error:
        return refuse(error)
    is_live = options.now is None
    now: Instant = clock.now() if is_live else options.now
    state = read_state(settings.state_directory) or SavedState()
    reader = FleetReader(settings, state, now, is_live=is_live)
    try:
        reader.read_indexes()
    except SourceUnavailable as error:
        print(f"the index cannot be read: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    reader.read_journals()
    fleet, newest = reader.fleet, reader.newest
    behind = _behind(settings, state, newest, now) if is_live else None
    if behind is not None:
        _log.error("clock behind saved records, absence not evaluated", reason=str(behind))
    latest_at = None if behind is None else max([now, *newest.values()])
    engine = _engine(settings, state.incidents if is_live else None, now)
    evaluation = _evaluate(
        engine, fleet, now, Circumstances(readable_sources(fleet.coverage, now), latest_at=latest_at)
    )
    alerting = Alerting(engine, settings, fleet, evaluation)
    with touching(settings.alerts_path):
        lines = alerting.notify(is_dry_run=options.dry_run)
    lookbacks = {INDEX: engine.lookback.uploads_us, JOURNAL: engine.lookback.traffic_us}
    missing = [(one, gap) for one in fleet.coverage for gap in one.unread(now - lookbacks[one.kind], now)]
    hosts = sum(1 for _ in fleet.hosts())
    report = Report(lines, hosts, fleet.coverage, missing, reader.unread, is_dry_run=options.dry_run)
    _print(report, is_json=options.json)
    return _EXIT_BROKEN if alerting.is_broken or evaluation.failures or behind is not None else 0


def _behind(settings: Settings, state: SavedState, newest: Mapping[str, Instant], now: Instant) -> Contradiction | None:
    """Return the record that is dated ahead of the clock, as the service would; None if there is none."""
    if clock.is_synchronized(now) or clock.is_confirmed(now, clock.confirmation_beside(settings.control_path)):
        return None
    with touching(settings.alerts_path):
        own = {SAVED_STATE: state.incidents.at, ALERT_LOG: newest_alert_at(alert_log(settings), now)}
    return contradiction({**credible(newest, state.disproved_until), **own}, now)


def _overrides(options: argparse.Namespace) -> dict[str, tuple[str, Any]]:
    """Return the settings from the options: key -> (option, value as in TOML)."""
    given: list[tuple[str, str, Any]] = []
    for key, name in (
        ("index.path", "index_path"),
        ("alerts.path", "alerts_path"),
        ("journal.directory", "journal_directory"),
        ("detectors.fatal-only.ratio", "fatal_ratio_threshold"),
        ("detectors.fatal-only.min_count", "fatal_min_count"),
        ("detectors.unstamped.min_count", "fatal_min_count"),
    ):
        given.append((key, name, getattr(options, name)))
    if config_path(options) is None and options.alerts_path is None:
        given.append(("alerts.path", "alerts_path", SCRIPT_ALERTS_PATH))
    if options.journal_directory is not None:
        given.append(("journal.namespace", "journal_directory", ABSENT))
    for key, name, unit in (
        ("detectors.silent.lookback", "lookback_hours", "h"),
        ("detectors.silent.after", "silent_threshold_min", "m"),
        ("detectors.fatal-only.window", "recent_window_min", "m"),
        ("detectors.unstamped.window", "recent_window_min", "m"),
    ):
        number: Decimal | None = getattr(options, name)
        given.append((key, name, None if number is None else f"{number:f}{unit}"))
    return {key: ("--" + name.replace("_", "-"), raw) for key, name, raw in given if raw is not None}


def _engine(settings: Settings, saved: Snapshot | None, now: Instant) -> Engine:
    """Return an engine that continues from the saved state of the service, if there is one."""
    rules = settings.rules()
    # Only a running service knows how long an incident has been open. Without one, each incident would open again at
    # every check, and never outlast its grace, or the time for its host to show a recovery.
    if saved is None or saved.at is None or now - saved.at > 2 * rules.policy.tick_us + _UNWATCHED_US:
        policy = replace(rules.policy, grace_us=lambda *_: 0, absence_us=lambda *_: 0)
        rules = replace(rules, policy=policy)
    engine = Engine(rules)
    if saved is not None:
        engine.incidents.restore(saved)
    return engine


def _evaluate(engine: Engine, fleet: Fleet, now: Instant, circumstances: Circumstances) -> Evaluation:
    if engine.incidents.at is None:
        evict(fleet, engine.lookback, now)  # hosts that were lost by then are not watched
    fleet.lost = engine.incidents.once_uploaded
    fleet.protect(engine.incidents.anchored)
    evaluation = engine.evaluate(fleet, now, circumstances)
    for failure in evaluation.failures:
        _log.error("detector failed", symptom=failure.symptom, exc_info=failure.error)
    found = {finding.host for finding in evaluation.findings}
    hidden = {symptom: len(hosts - found) for symptom, hosts in evaluation.hidden.items() if hosts - found}
    if hidden:
        _log.warning("gaps in the journal, symptoms not ruled out", hosts=hidden)
    return evaluation


def _print(report: Report, *, is_json: bool) -> None:
    if is_json:
        lines: Iterable[str] = (msgspec.json.encode(one).decode() for one in as_documents(report))
    else:
        columns = width() if sys.stdout.isatty() else None
        lines = map(localized, as_lines(report, paint_for(sys.stdout), columns))
    for line in lines:
        print(line)  # noqa: T201 - stdout is what this command is for


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number greater than 0, found {text!r}")
    return number
