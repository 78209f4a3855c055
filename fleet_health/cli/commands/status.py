"""`fleet-health status`: show the state of the fleet."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.api.states import STATES
from fleet_health.cli.asking import EXIT_NOT_ALLOWED, forbidden, is_forbidden, with_allowed_service
from fleet_health.cli.client import EXIT_NOT_RUNNING, NoResponseError, RefusedError, ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.notify_standing import notify_problems
from fleet_health.cli.options import Subparsers, add_config_option, config_path, host_glob
from fleet_health.cli.render.overview_screen import screen
from fleet_health.cli.render.terminal import height, paint_for, show, width, wrapped
from fleet_health.config.locations import load_location
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_EXIT_FIRING, _EXIT_BLIND = 1, 3
_OPEN = frozenset({State.FIRING, State.UNCONFIRMED, State.FLAPPING})
_WATCH_EVERY = 2.0
_OF_GLOBS = frozenset("*?[")
_UNKNOWN_NAMED = 3
_CLEAR = "\x1b[H\x1b[J"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "status",
        help=SUMMARIES["status"],
        description="Show the fleet as the running service sees it, with one line for each host, worst state first: the"
        " time since its last upload, the responses in the window, and the last six hours with a character for each"
        " quarter of an hour. The sign in front shows the state: ! firing, ? unconfirmed (no longer found, but not seen"
        " to recover) or unknown (a gap may hide a symptom), - inhibited (its cause is notified instead), z silenced or"
        " muted, ~ flapping, . pending, x lost.",
        epilog="Exit status: 0 when all is well; 1 when an incident is firing, flapping or unconfirmed, the service has"
        " a problem, or a destination receives nothing, which is shown first; 2 for a wrong request; 3 when the service"
        " is blind, has not evaluated yet, cannot rule out a symptom because the journal has gaps, or does not find the"
        " unit or index that the configuration names; 4 when it is not running; 5 when this user may not ask it. Hosts"
        " that are not shown count as well. With --nagios: 0 (OK); 1 (WARNING) when an incident is unconfirmed or"
        " flapping, a symptom cannot be ruled out, the service has a problem, or a destination receives nothing; 2"
        " (CRITICAL) when an incident is firing, or the service does not respond; 3 (UNKNOWN) when it is blind, has not"
        " evaluated yet, or may not be asked.",
    )
    add_config_option(parser)
    parser.add_argument(
        "hosts", nargs="*", type=host_glob, metavar="HOST-GLOB", help="only the hosts that match (`*`, `?`, `[…]`)"
    )
    parser.add_argument(
        "--state",
        action="append",
        choices=[*map(str, STATES)],
        metavar="S",
        help=f"only hosts in a state: {', '.join(STATES)}",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N hosts")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--nagios", action="store_true", help="print one line with performance data, for Nagios")
    form.add_argument("--watch", action="store_true", help="refresh every two seconds, until q or Ctrl-C")
    parser.add_argument("--no-pager", action="store_true", help="print all at once, also on a terminal")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Show the status, and return the exit status."""
    request = {"host": options.hosts, "state": options.state or []}
    if options.limit is not None:
        request["limit"] = [str(options.limit)]
    if options.nagios:
        return _nagios(options)
    show_it = _watch if options.watch else _show
    return with_allowed_service(options, lambda path: show_it(path, request, options))


def _asked(path: Path, request: Mapping[str, Sequence[str]], options: argparse.Namespace) -> dict[str, Any]:
    """Return the status document of the service, with the problems of `fleet-health notify` among its own."""
    document = ask(path, target("status", query=request))
    document["problems"] += notify_problems(config_path(options))
    return document


def _nagios(options: argparse.Namespace) -> int:
    """Print one line for Nagios whatever happens, and return its exit status."""
    from fleet_health.api.levels import Level, level_of  # noqa: PLC0415 - only for this
    from fleet_health.cli.render import nagios  # noqa: PLC0415 - likewise

    level, text = Level.UNKNOWN, ""
    if options.hosts or options.state or options.limit is not None:
        print(nagios.line(level, "--nagios is about the whole fleet; omit hosts, --state and --limit"))  # noqa: T201
        return level
    try:
        path = load_location(config_path(options), "control.path")
        document = _asked(path, {"limit": ["10"]}, options)
    except NoResponseError as error:
        if is_forbidden(error):
            text = forbidden(path)
        else:
            level, text = Level.CRITICAL, str(error)
    except (ConfigError, RefusedError) as error:
        text = str(error)
    else:
        print(nagios.report(document))  # noqa: T201
        return level_of(document)
    print(nagios.line(level, text))  # noqa: T201
    return level


def _show(path: Path, request: Mapping[str, Sequence[str]], options: argparse.Namespace) -> int:
    document = _asked(path, request, options)
    if options.json:
        print(json.dumps(document))  # noqa: T201
    else:
        show(screen(document, width(), paint_for(sys.stdout)), is_paged=not options.no_pager)
        if not document["hosts_matching"]:
            _name_unknown(path, options.hosts)
    return exit_status(document)


def _name_unknown(path: Path, hosts: Sequence[str]) -> None:
    """Print each unknown host, with a similar name if there is one."""
    for host in [one for one in hosts if _OF_GLOBS.isdisjoint(one)][:_UNKNOWN_NAMED]:
        try:
            ask(path, target("hosts", host))
        except RefusedError as error:
            print(printable(str(error)), file=sys.stderr)  # noqa: T201


def exit_status(document: Mapping[str, Any]) -> int:
    """Return the exit status for a status document."""
    if document["is_blind"] or document.get("hidden_by_symptom"):
        return _EXIT_BLIND
    is_well = _OPEN.isdisjoint(document["incidents_by_state"]) and not document["problems"]
    return 0 if is_well else _EXIT_FIRING


def _watch(path: Path, request: Mapping[str, Sequence[str]], options: argparse.Namespace) -> int:
    """Show the status repeatedly, as far as it fits on the screen. Return the latest exit status."""
    from fleet_health.cli.render.keyboard import listening  # noqa: PLC0415 - only for this

    status = 0
    try:
        with listening() as wait:
            while True:
                room = height() - 1 if sys.stdout.isatty() else None
                try:
                    document = _asked(path, request if room is None else _at_most(room, request), options)
                except NoResponseError as error:  # it may come back
                    lines = list(wrapped(forbidden(path) if is_forbidden(error) else str(error), width(), "  "))
                    status = EXIT_NOT_ALLOWED if is_forbidden(error) else EXIT_NOT_RUNNING
                else:
                    lines, status = screen(document, width(), paint_for(sys.stdout), room), exit_status(document)
                if room is not None and os.environ.get("TERM") != "dumb":
                    sys.stdout.write(_CLEAR)
                sys.stdout.write("\n".join(lines) + "\n")
                sys.stdout.flush()
                if wait(_WATCH_EVERY) in {"q", "Q"}:
                    return status
    except KeyboardInterrupt:
        return status


def _at_most(count: int, request: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Return the request, limited to the hosts that fit, to spare the service a large document every two seconds."""
    limit = min([count, *map(int, request.get("limit", ()))])
    return {**request, "limit": [str(limit)]}
