"""`fleet-health notify`: run the process that sends notifications, or ask it.

Modules of the process are imported only when it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from fleet_health.cli.asking import EXIT_NOT_ALLOWED, forbidden, is_forbidden
from fleet_health.cli.client import EXIT_NOT_RUNNING, NoResponseError, RefusedError, ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import (
    EXIT_CONFIG,
    Subparsers,
    add_common_options,
    add_config_option,
    config_path,
    host_glob,
    refuse,
)
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError, FleetHealthError, printable
from fleet_health.parsing.local_time import local_wall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.notify.destination import AnyDestination, Delivered
    from fleet_health.notify.ledger.ledger import Ledger

_EXIT_NOT_WELL, _EXIT_RETRY = 1, 1
_PATIENCE_S = 330.0
_STATES = {"ok": " ", "waiting": ".", "failing": "!", "disabled": "x"}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "notify",
        help=SUMMARIES["notify"],
        description="Send the notifications of the service to the configured destinations, until SIGTERM. SIGHUP"
        " reloads the configuration, as a whole or not at all. fleet-health-notify.service runs this command. With an"
        " action, ask that process.",
        epilog="Exit status: 0 after SIGTERM; 1 when another process uses the ledger, or a part failed; 2 when the"
        " configuration cannot be used.",
    )
    add_common_options(parser)
    parser.set_defaults(command=_run)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    status = actions.add_parser(
        "status",
        help="show each destination with its last success, waiting notifications and last error",
        description="Show each destination with its last success, its waiting notifications and since when they wait,"
        " and its last error. The sign in front shows the state: ! failing, . waiting, x disabled.",
        epilog="Exit status: 0 when all is well; 1 when a destination is failing or disabled, or the process has a"
        " problem; 2 for a configuration that cannot be used; 4 when the process is not running, and the status is read"
        " from its ledger; 5 when this user may not ask it.",
    )
    history = actions.add_parser(
        "history",
        help="show which notifications were sent to which destinations, with the responses",
        description="Show the notifications that were sent or wait, with their destinations, times and responses;"
        " latest first.",
        epilog="Exit status: 0 when they were shown; 2 for a configuration that cannot be used; 4 when there is neither"
        " a process nor a ledger; 5 when this user may not ask the process.",
    )
    history.add_argument("host", nargs="?", type=host_glob, metavar="HOST", help="only notifications about this host")
    history.add_argument("--limit", type=_limit, default=50, metavar="N", help="how many, from 1 to 1000 (default: 50)")
    test = actions.add_parser(
        "test",
        help="send a test message, and show the response",
        description="Send a message that is marked as a test to one destination or to all, and show the response. If"
        " the process is not running, this command sends the message itself, with the rights and secrets of its user.",
        epilog="Exit status: 0 when all messages were delivered; 1 when one was not; 2 for an unknown destination, or a"
        " configuration that cannot be used; 5 when this user may not ask the process.",
    )
    test.add_argument("name", nargs="?", metavar="NAME", help="the destination")
    for action, command in ((status, _status), (history, _history), (test, _test)):
        # A default would override an option before the action.
        add_config_option(action, default=argparse.SUPPRESS)
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(command=command)


def _run(options: argparse.Namespace) -> int:
    """Run the process, and return the exit status."""
    import structlog  # noqa: PLC0415 - only the process logs

    from fleet_health.notify.destinations.registry import build  # noqa: PLC0415 - likewise
    from fleet_health.notify.ledger.store import StoreTaken, StoreUnavailable  # noqa: PLC0415
    from fleet_health.notify.process import serve  # noqa: PLC0415
    from fleet_health.service import logging as logs  # noqa: PLC0415

    logs.configure(options.log_level)
    try:
        serve(lambda: _load(options), build)
    except ConfigError as error:
        for problem in error.problems:
            logs.complain(f"{error.path}: {problem}")
        return EXIT_CONFIG
    except (StoreTaken, StoreUnavailable) as error:
        logs.complain(str(error))
        return _EXIT_RETRY
    except Exception:  # noqa: BLE001 - the error is logged
        structlog.get_logger("fleet_health.notify").exception("service failed")
        return _EXIT_RETRY
    return 0


def _load(options: argparse.Namespace) -> Settings:
    from fleet_health.config.loading import load  # noqa: PLC0415 - the other commands need little of it

    return load(config_path(options))


def _status(options: argparse.Namespace) -> int:
    return _asked(options, lambda path: _show_status(ask(path, target("destinations")), options), _status_of_ledger)


def _history(options: argparse.Namespace) -> int:
    query = {"limit": [str(options.limit)]} | ({"host": [options.host]} if options.host else {})
    return _asked(
        options, lambda path: _show_history(ask(path, target("history", query=query)), options), _history_of_ledger
    )


def _test(options: argparse.Namespace) -> int:
    query = {"name": [options.name]} if options.name else {}

    def ask_it(path: Path) -> int:
        return _show_tests(ask(path, target("test", query=query), "POST", patience_s=_PATIENCE_S), options)

    return _asked(options, ask_it, _test_by_ourselves)


def _asked(
    options: argparse.Namespace,
    ask_it: Callable[[Path], int],
    otherwise: Callable[[argparse.Namespace, NoResponseError], int],
) -> int:
    """Ask the process, or call `otherwise` if it is not running. Return the exit status."""
    try:
        path = load_location(config_path(options), "notify.control")
        try:
            return ask_it(path)
        except NoResponseError as error:
            if is_forbidden(error):
                print(forbidden(path), file=sys.stderr)  # noqa: T201
                return EXIT_NOT_ALLOWED
            return otherwise(options, error)
    except ConfigError as error:
        return refuse(error)
    except FleetHealthError as error:
        print(printable(str(error)), file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG if isinstance(error, RefusedError) else EXIT_NOT_RUNNING


def _not_running(error: NoResponseError) -> str:
    return str(error).replace("systemctl status fleet-health`", "systemctl status fleet-health-notify`")


def _ledger(options: argparse.Namespace, error: NoResponseError) -> Ledger:
    """Open the ledger, as the user to whom it belongs.

    Raises:
        FleetHealthError: There is no ledger, or it may not be opened.

    """
    from fleet_health.cli.privileges import become_owner_of  # noqa: PLC0415 - only if the process is not running
    from fleet_health.notify.ledger.ledger import FILE, Ledger  # noqa: PLC0415 - likewise
    from fleet_health.notify.ledger.store import StoreTaken  # noqa: PLC0415 - likewise

    directory = load_location(config_path(options), "notify.directory")
    try:
        is_there = (directory / FILE).exists()
    except OSError as wrong:
        raise NoResponseError(
            f"{_not_running(error)}; the ledger cannot be read either: {directory}: {wrong.strerror}"
        ) from wrong
    if not is_there:
        raise NoResponseError(_not_running(error))
    become_owner_of(directory)
    ledger = Ledger(directory)
    try:
        ledger.open()
    except StoreTaken as taken:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise NoResponseError(
            f"{load_location(config_path(options), 'notify.control')}: no process listens here ({reason}), but the"
            " service is running; `journalctl -u fleet-health-notify` shows why it has no control socket"
        ) from taken
    print(_not_running(error), file=sys.stderr)  # noqa: T201
    return ledger


def _status_of_ledger(options: argparse.Namespace, error: NoResponseError) -> int:
    from fleet_health.notify.overview import Overview, Row  # noqa: PLC0415 - only if the process is not running
    from fleet_health.service import clock  # noqa: PLC0415 - likewise

    settings = _load(options)
    ledger = _ledger(options, error)
    standings = ledger.standings()
    ledger.close()
    rows = [Row(one, standings[one.name]) for one in settings.destinations if one.name in standings]
    document = Overview(clock.now(), None, ["fleet-health notify is not running"], rows).document()
    _show_status(document, options)
    return EXIT_NOT_RUNNING


def _history_of_ledger(options: argparse.Namespace, error: NoResponseError) -> int:
    from fleet_health.notify.overview import history_document  # noqa: PLC0415 - only if the process is not running

    ledger = _ledger(options, error)
    records = ledger.history(options.host, options.limit)
    ledger.close()
    return _show_history(history_document(records), options)


def _test_by_ourselves(options: argparse.Namespace, error: NoResponseError) -> int:
    from fleet_health.notify.destination import DeliveryError  # noqa: PLC0415 - only if the process is not running
    from fleet_health.notify.destinations.registry import build  # noqa: PLC0415 - likewise
    from fleet_health.notify.overview import VERSION, test_row, unknown_destination  # noqa: PLC0415

    settings = _load(options)
    chosen = [one for one in settings.destinations if options.name in {None, one.name}]
    if not chosen:
        problem = unknown_destination(options.name, [one.name for one in settings.destinations])
        print(f"{settings.path}: {problem}", file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    print(f"{_not_running(error)}; sent from here", file=sys.stderr)  # noqa: T201
    rows = []
    for one in chosen:
        try:
            rows.append(test_row(one.name, _try_out(build(one))))
        except DeliveryError as wrong:
            rows.append(test_row(one.name, wrong))
    return _show_tests({"version": VERSION, "tests": rows}, options)


def _try_out(destination: AnyDestination) -> Delivered:
    from fleet_health.notify.overview import send_test  # noqa: PLC0415 - only if the process is not running
    from fleet_health.service import clock  # noqa: PLC0415 - likewise

    try:
        return send_test(destination, clock.now())
    finally:
        destination.close()


def _show_status(document: Mapping[str, Any], options: argparse.Namespace) -> int:
    destinations = document["destinations"]
    is_well = not document["problems"] and all(one["state"] not in {"failing", "disabled"} for one in destinations)
    if options.json:
        print(json.dumps(document))  # noqa: T201
    else:
        _say([*(f"problem: {problem}" for problem in document["problems"]), *_status_lines(destinations)])
    return 0 if is_well else _EXIT_NOT_WELL


def _status_lines(destinations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not destinations:
        yield "no destination is configured"
        return
    widths = [max(len(one[key]) for one in destinations) for key in ("name", "type", "state")]
    for one in destinations:
        name, type_, state = (one[key].ljust(size) for key, size in zip(("name", "type", "state"), widths, strict=True))
        last = one["last_success_wall"]
        parts = [f"last success {local_wall(last)}" if last else "no success yet"]
        if one["waiting"]:
            since = one["waiting_since_wall"]
            parts.append(f"{one['waiting']} waiting" + (f" since {local_wall(since)}" if since else ""))
        if one["dropped"]:
            parts.append(f"{one['dropped']} dropped")
        yield f"{_STATES.get(one['state'], ' ')} {name}  {type_}  {state}  {', '.join(parts)}"
        if one["last_error"]:
            at = one["last_error_wall"]
            yield f"    last error{f' {local_wall(at)}' if at else ''}: {one['last_error']}"


def _show_history(document: Mapping[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(document))  # noqa: T201
        return 0
    rows = document["notifications"]
    if not rows:
        _say(["no notification was sent"])
    columns = [
        (
            local_wall(one["settled_wall"] or one["queued_wall"]),
            one["destination"],
            "opening and " * one["is_unannounced"] + one["kind"],
            one["host"],
            one["symptom"],
            one["state"],
        )
        for one in rows
    ]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for one, row in zip(rows, columns, strict=True):
        response = ", ".join(
            filter(None, [one["response"], one["reference"], f"attempts: {one['attempts']}" * (one["attempts"] > 1)])
        )
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        _say([f"{line}  {response}".rstrip()])
    return 0


def _show_tests(document: Mapping[str, Any], options: argparse.Namespace) -> int:
    tests = document["tests"]
    if options.json:
        print(json.dumps(document))  # noqa: T201
    else:
        for one in tests:
            word = "delivered" if one["is_delivered"] else "not delivered"
            reference = f" ({one['reference']})" if one["reference"] else ""
            _say([f"{one['name']}: {word}: {one['response']}{reference}"])
        if not tests:
            _say(["no destination is configured"])
    return 0 if tests and all(one["is_delivered"] for one in tests) else _EXIT_NOT_WELL


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))  # noqa: T201 - stdout is what this command is for


def _limit(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:9]) <= 1_000:  # noqa: PLR2004 - as the help says
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000, found {text!r}")
    return int(text)
