"""`fleet-health check`: the same evaluation once, by hand or from a timer."""

from __future__ import annotations

import argparse
import asyncio
import select
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fleet_health.alerting.alert import Alert
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
from fleet_health.cli.privileges import become_owner_of
from fleet_health.cli.render.check_report import Line, Report, as_documents, as_lines
from fleet_health.cli.render.terminal import paint_for, width
from fleet_health.config.loading import ABSENT, load
from fleet_health.config.schema import SCRIPT_ALERTS_PATH
from fleet_health.detectors.evaluation import evict, lookback_of
from fleet_health.engine import Circumstances, Engine, readable_sources
from fleet_health.errors import ConfigError, SinkUnavailable, SourceUnavailable
from fleet_health.files.hang_watch import touching
from fleet_health.model.cadence import Cadence
from fleet_health.model.clock_evidence import ALERT_LOG, INDEX, JOURNAL, SAVED_STATE, contradiction, credible
from fleet_health.model.clock_jumps import joined
from fleet_health.model.coverage import Coverage
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Upload
from fleet_health.model.row_dates import FUTURE_LIMIT_US, RowDates, late_us
from fleet_health.model.subject import named
from fleet_health.model.window import NEVER
from fleet_health.parsing.local_time import localized
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service import clock
from fleet_health.service import logging as logs
from fleet_health.service.catch_up import recorded, unsent
from fleet_health.service.restoring import newest_alert_at, past_alerts, read_state
from fleet_health.service.saved_state import SavedState
from fleet_health.service.silencing import Silencing
from fleet_health.service.witness import with_evidence, with_samples
from fleet_health.sources.index.once import read_every_row, read_index
from fleet_health.sources.journal.once import STATES_BACK_US, read_accepted, read_journal, unit_states
from fleet_health.sources.state import no_later_than_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fleet_health.alerting.alert import Notice
    from fleet_health.alerting.snapshot import Snapshot
    from fleet_health.config.schema import ReceiverSettings, Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Lookback
    from fleet_health.model.clock_evidence import Contradiction
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState
    from fleet_health.parsing.receiver_log import LogObservation
    from fleet_health.parsing.rejection import RejectionCount

_EXIT_BROKEN = 1
_JOURNAL_PATIENCE = 1.0
# Beside two ticks: a service whose state is older does not evaluate any more.
_UNWATCHED_US = 300 * SECOND_US

_log = structlog.get_logger("fleet_health.check")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "check",
        help=SUMMARIES["check"],
        description="Evaluate the fleet once, as the service would next. Options take precedence over the configuration"
        " file. If root runs it, it switches to the owner of the alert log's directory before it writes there. Exit"
        " status: 0 when it completed, with or without alerts; 1 when a part of it failed, which is reported; 2 for a"
        " bad configuration, an index that is missing or unreadable, or a disk or mount that does not respond."
        " A clock that is behind the state file, the alert log, the journal or the index counts as a failure of a part;"
        " then absence is not evaluated.",
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
    try:
        with touching(config_path(options)):
            settings = load(config_path(options), _overrides(options))
    except ConfigError as error:
        return refuse(error)
    now: Instant = clock.now() if options.now is None else options.now
    state = read_state(settings.state_directory) or SavedState()
    lookback = lookback_of(settings.detectors())
    fleet = Fleet(settings.host_limit, settings.ignored, settings.expected, settings.receiver_names)
    newest: dict[str, Instant] = {INDEX: 0}
    unread: dict[Path, str] = {}
    is_live = options.now is None
    # As of a past instant, what a service knows now is not what it knew then.
    saved = state.incidents if is_live else None
    if is_live:
        _restore(fleet, settings, state, now)
    rules = settings.rules()
    learned_until = _prepare_rhythms(fleet, settings, state if is_live else SavedState(), lookback)
    learns_since = max(learned_until, lookback.learns_since(now))
    rows_since = {one.name: rules.reading_begins_at(_unit_states(one, now), now) for one in settings.receivers}
    try:
        for receiver in settings.receivers:
            dates = state.row_dates(receiver)
            begins = _Begins(rows_since[receiver.name], now - lookback.traffic_us, learns_since)
            unread |= _read_index(fleet, receiver, now, begins, dates, is_live=is_live)
            with touching(receiver.index.path):
                newest_at = no_later_than_written(dates.newest, receiver.index.path) or 0
            newest[INDEX] = max(newest[INDEX], newest_at)
        if saved is None or saved.at is None:
            # No service has watched: before the index begins, any host may have uploaded.
            begins_at = fleet.since_begin("index", -NEVER)
            fleet.known_since = begins_at if begins_at <= now else -NEVER
    except SourceUnavailable as error:
        print(f"the index cannot be read: {error.by_hand}", file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    for receiver in settings.receivers:
        if saved is None or saved.at is None:  # or it would hold these
            accepted_since = min(rows_since[receiver.name], learns_since)
            _read_accepted(fleet, receiver, accepted_since, now - lookback.traffic_us)
        newest |= _read_journal(
            *(fleet, receiver, now, lookback.traffic_us, newest),
            is_live=is_live,
            rows_since=min(rows_since[receiver.name], learns_since),
            disproved_until=state.disproved_until if is_live else 0,
        )
    behind = _behind(settings, state, newest, now) if is_live else None
    if behind is not None:
        _log.error("clock behind saved records, absence not evaluated", reason=str(behind))
    latest_at = None if behind is None else max([now, *newest.values()])
    engine = _engine(settings, saved, now)
    seen = readable_sources(fleet.coverage, now)
    evaluation = _evaluate(engine, fleet, now, Circumstances(seen, latest_at=latest_at))
    with touching(settings.alerts_path):
        lines, is_broken = _notify(engine, evaluation, fleet, settings, options)
    lookbacks = {INDEX: lookback.uploads_us, JOURNAL: lookback.traffic_us}
    missing = [(one, gap) for one in fleet.coverage for gap in one.unread(now - lookbacks[one.kind], now)]
    hosts = sum(1 for _ in fleet.hosts())
    _print(Report(lines, hosts, fleet.coverage, missing, unread, is_dry_run=options.dry_run), is_json=options.json)
    return _EXIT_BROKEN if is_broken or evaluation.failures or behind is not None else 0


def _behind(settings: Settings, state: SavedState, newest: Mapping[str, Instant], now: Instant) -> Contradiction | None:
    """Return which record contradicts the clock; None if none does."""
    others = credible(newest, state.disproved_until)
    with touching(settings.alerts_path):
        return _contradiction(settings, {**others, SAVED_STATE: state.incidents.at}, now)


def _restore(fleet: Fleet, settings: Settings, state: SavedState, now: Instant) -> None:
    """Record in a fleet which hosts had uploaded, and when none could, as a starting service does."""
    fleet.skips, fleet.shutdowns = tuple(state.skips), tuple(state.shutdowns)
    for receiver in settings.receivers:
        known = state.known_of(receiver)
        fleet.of(receiver.name).traffic.unit_history.seen_until = known.journal_seen_until or 0
        fleet.record_uploads(receiver.name, [Upload(host, at) for host, at in known.uploads.items() if at <= now])
        accepted = {host: [at for at in instants if at <= now] for host, instants in known.accepted.items()}
        fleet.record_accepted(receiver.name, accepted)
    is_local = any(receiver.journal.directory is None for receiver in settings.receivers)
    if is_local and state.incidents.at is not None:
        fleet.shut_down(state.incidents.at, clock.booted_at(now))


def _prepare_rhythms(fleet: Fleet, settings: Settings, state: SavedState, lookback: Lookback) -> Instant:
    """Let a fleet learn the rhythms of its hosts if any limit is learned; return up to when the state knows them."""
    if not lookback.rhythm_us:
        return 0
    fleet.cadence, saved = Cadence(settings.host_limit, settings.ignored), state.known_cadence(settings.receivers)
    fleet.cadence.restore(saved)
    return saved.until


@dataclass(frozen=True, slots=True)
class _Begins:
    """From when on rows of an index matter.

    Attributes:
        watched: Hosts that uploaded from then on are watched.
        compared: From then on every row is compared with the journal.
        learned: From then on every row counts for a host's rhythm, if that is learned.

    """

    watched: Instant
    compared: Instant
    learned: Instant


def _read_index(
    fleet: Fleet,
    receiver: ReceiverSettings,
    now: Instant,
    begins: _Begins,
    dates: RowDates,
    *,
    is_live: bool,
) -> dict[Path, str]:
    """Take the index of a receiver into the fleet; return which rotated files could not be read, and why."""
    # A row dated ahead of the clock is in error, one dated ahead of a time in the past has not happened yet.
    until = now + FUTURE_LIMIT_US if is_live else now

    def take_in(uploads: Sequence[Upload]) -> None:
        # A host that uploaded before that is not watched, and was not lost by any service either.
        watched = [upload for upload in uploads if begins.watched <= upload.at <= until]
        fleet.record_uploads(receiver.name, watched)
        if fleet.cadence is not None:
            fleet.cadence.record(upload for upload in uploads if upload.at <= until)

    present, source = max(now, clock.now()), named("index", receiver.name)
    if fleet.cadence is None:
        index = read_index(
            receiver.index, begins.watched, until, take_in, every_since=begins.compared, now=present, dates=dates
        )
    else:
        index = read_every_row(receiver.index, min(begins.watched, begins.learned), take_in, now=present, dates=dates)
    with touching(receiver.index.path):
        late = _late_us(dates.newest, receiver.index.path) if is_live else 0
    fleet.coverage += (replace(index.coverage, source=source, late_us=late),)
    _report(index.rejections, source)
    return index.unread


def _read_accepted(fleet: Fleet, receiver: ReceiverSettings, since: Instant, until: Instant) -> None:
    """Record the uploads that the journal shows before the windows: a host may have no row."""
    with suppress(SourceUnavailable):  # that is reported where the windows are read
        accepted: dict[str, list[Instant]] = {}
        for one in read_accepted(receiver.journal, since, until):
            accepted.setdefault(one.host, []).append(one.at)
        fleet.record_accepted(receiver.name, accepted)


def _read_journal(
    fleet: Fleet,
    receiver: ReceiverSettings,
    now: Instant,
    lookback_us: int,
    newest: Mapping[str, Instant],
    *,
    is_live: bool,
    rows_since: Instant,
    disproved_until: Instant,
) -> dict[str, Instant]:
    """Read the journal of a receiver into the fleet; return its last entry, if that is later than the known one."""
    source = named("journal", receiver.name)
    until = NEVER if is_live else now  # an entry dated ahead shows that the clock is behind

    def take_in(observations: Iterable[LogObservation | UnitState]) -> None:
        fleet.record_traffic(receiver.name, [one for one in observations if not now < one.at <= disproved_until])

    try:
        journal = read_journal(
            receiver.journal,
            now - lookback_us,
            until,
            take_in,
            min(rows_since, now - lookback_us),
        )
    except SourceUnavailable as error:
        _log.warning("journal not readable, only silent evaluated", source=source, reason=error.by_hand)
        fleet.coverage += (Coverage(source, unseen_since=now, reason=error.by_hand),)
        return {}
    fleet.skips = joined(fleet.skips, journal.skips)
    # For how long there has been no entry of the unit this check cannot know.
    void_since = None if journal.coverage.void_since is None else now
    fleet.coverage += (replace(journal.coverage, source=source, void_since=void_since),)
    _report(journal.rejections, source)
    return {JOURNAL: max(newest.get(JOURNAL, 0), journal.last_at)}


def _overrides(options: argparse.Namespace) -> dict[str, tuple[str, Any]]:
    """Return the settings that the options make: key -> (option, value as in TOML)."""
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


def _unit_states(receiver: ReceiverSettings, now: Instant) -> list[UnitState]:
    """Look up systemd's words on a receiver; none where its journal cannot be read, which is reported later."""
    try:
        return unit_states(receiver.journal, now - STATES_BACK_US, now)
    except SourceUnavailable:
        return []


def _late_us(newest_at: Instant | None, path: Path) -> int:
    """Return how long before it was written the newest row is dated, if that is too long; else 0."""
    try:
        found = path.stat()
    except OSError:
        return 0
    # Just after a rotation it is empty, and the newest row stands in another file.
    return late_us(newest_at, found.st_mtime_ns // 1000) if found.st_size else 0


def _report(rejections: RejectionCount, source: str) -> None:
    for reason, count in sorted(rejections.by_reason.items()):
        _log.info("lines rejected", source=source, reason=reason, count=count, latest=rejections.latest[reason])


def _contradiction(settings: Settings, newest: Mapping[str, Instant | None], now: Instant) -> Contradiction | None:
    """Return which of our own records is dated ahead of the clock, as the service would; None if none is."""
    if clock.is_synchronized(now) or clock.is_confirmed(now, clock.confirmation_beside(settings.control_path)):
        return None
    return contradiction({**newest, ALERT_LOG: newest_alert_at(_alert_log(settings), now)}, now)


def _alert_log(settings: Settings) -> AlertLog:
    return AlertLog(settings.alerts_path, rotated=settings.alerts_rotated)


def _engine(settings: Settings, saved: Snapshot | None, now: Instant) -> Engine:
    """Return an engine that goes on from the state of the service, if there is one."""
    rules = settings.rules()
    # Only a service that evaluates knows since when an incident has stood. Without one each would open anew at every
    # check, and never outlast its grace, nor the time that its host is given after a suppression.
    if saved is None or saved.at is None or now - saved.at > 2 * rules.policy.tick_us + _UNWATCHED_US:
        policy = replace(rules.policy, grace_us=lambda *_: 0, absence_us=lambda *_: 0)
        rules = replace(rules, policy=policy)
    engine = Engine(rules)
    if saved is not None:
        engine.incidents.restore(saved)
    return engine


def _evaluate(engine: Engine, fleet: Fleet, now: Instant, circumstances: Circumstances) -> Evaluation:
    if engine.incidents.at is None:
        evict(fleet, engine.lookback, now)  # hosts that were lost by then were never watched
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


def _notify(
    engine: Engine, evaluation: Evaluation, fleet: Fleet, settings: Settings, options: argparse.Namespace
) -> tuple[list[Line], bool]:
    """Write the alerts that the service would notify now; return the output, and whether something failed."""
    log, now = _alert_log(settings), evaluation.at
    silencing = Silencing(SilenceFile(settings.state_directory), settings.mute_windows)
    asyncio.run(silencing.refresh(now))
    is_broken = bool(silencing.problem)
    lookback_us = engine.lookback.traffic_us
    alerts = [Alert(finding, now) for finding in evaluation.findings]
    alerts = with_samples(
        with_evidence(alerts, fleet, settings.receivers, lookback_us), settings.receivers, lookback_us
    )
    # What only root can read has been read. From here on, files are read and written where others may put links.
    try:
        become_owner_of(settings.alerts_path.parent)
    except SinkUnavailable as error:
        _log.error("root cannot be dropped", reason=str(error))
        is_broken = True
    try:
        past_alerts(log, now, engine.incidents.at).restore_to(engine.incidents)
    except SinkUnavailable as error:
        _log.error("alert log not readable, alerts of this hour unknown", reason=str(error))
        is_broken = True
    outcome = engine.decide(evaluation, silencing.muter(now))
    by_key = {alert.dedup_key: alert for alert in alerts}
    due = [
        replace(by_key[alert.dedup_key], finding=alert.finding, after=alert.after)
        if alert.dedup_key in by_key
        else alert
        for alert in outcome.alerts
    ]
    new = frozenset(alert.dedup_key for alert in due)
    if not options.dry_run:
        sink = JournalSink()
        _catch_up(log, sink, now)
        try:
            written: Sequence[Alert | Notice] = log.append(due)
        except SinkUnavailable as error:
            _log.error("alert log not writable, alerts sent to the journal only", reason=str(error))
            written, is_broken = due, True
        _send(sink, written)
        sink.close()
        new = frozenset(alert.dedup_key for alert in written)
    decided = {decision.pair: decision for decision in outcome.decisions}
    shown = (by_key | {alert.dedup_key: alert for alert in due}).values()
    lines = [
        Line(alert, decided.get((alert.finding.host, alert.finding.symptom)), alert.dedup_key in new)
        for alert in sorted(shown, key=lambda alert: (alert.finding.host, alert.finding.symptom))
    ]
    return lines, is_broken


def _catch_up(log: AlertLog, sink: JournalSink, now: Instant) -> None:
    """Send what a killed service or check has written to the alert log and not sent; a running service does so itself.

    What prevents it is reported by what comes next, or is no fault of this check.
    """

    def send_mark(mark: str) -> None:
        sink.mark(mark)
        _flush(sink)

    # As of a past instant, nothing of the present is to be mended.
    if abs(clock.now() - now) > HOUR_US:
        return
    try:
        if log.has_service() or not (entries := recorded(log, now, None)):
            return
        with log.sending():
            missing = unsent(entries, send_mark, patience=_JOURNAL_PATIENCE)
            _send(sink, missing)
    except (SinkUnavailable, SourceUnavailable) as error:
        _log.info("alert log and journal not compared", reason=str(error))
        return
    if missing:
        _log.warning("recorded alerts sent that the journal lacked", count=len(missing))


def _send(sink: JournalSink, alerts: Sequence[Alert | Notice]) -> None:
    sink.take(alerts)
    _flush(sink)


def _flush(sink: JournalSink) -> None:
    sink.flush()
    patience_ends = time.monotonic() + _JOURNAL_PATIENCE
    while sink.has_pending and sink.fd is not None and (left := patience_ends - time.monotonic()) > 0:
        select.select([], [sink.fd], [], left)
        sink.flush()


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
