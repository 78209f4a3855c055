"""`fleet-health reload`: show what the changed configuration would change now, and apply it."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.cli.asking import with_allowed_service
from fleet_health.cli.client import ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import EXIT_BLIND, EXIT_CONFIG, Subparsers, add_config_option, config_path
from fleet_health.config.document import LISTS
from fleet_health.config.locations import DEFAULT_PATH
from fleet_health.errors import ConfigError, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TAKEN, _REFUSED, _PENDING = "taken", "refused", "pending"
_OUTCOMES = {
    _TAKEN: "the service has applied it; `fleet-health status` shows the fleet",
    _REFUSED: "the service has refused it, and keeps the previous configuration",
    _PENDING: "the service is still reading the new sources; `fleet-health status` shows the result",
}
_PATIENCE_S, _LOOK_EVERY_S = 30.0, 0.1


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "reload",
        help=SUMMARIES["reload"],
        description="Show which settings have changed in the configuration file of the running service, and what would"
        " fire or resolve because of that now; then reload it, as `systemctl reload` does. Only root may reload.",
        epilog="Exit status: 0 when it completed; 2 when the configuration cannot be used and every problem is shown,"
        " when the service has refused it, or when this user may not reload it; 3 when a changed unit, match or index"
        " does not exist or is not that of a receiver, or a changed directory cannot be written; 4 when the service is"
        " not running; 5 when this user may not ask it.",
    )
    add_config_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the changes without reloading")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Show the changes, reload, and return the exit status."""
    return with_allowed_service(options, partial(_reload, options=options), is_about_file=True)


def _reload(path: Path, options: argparse.Namespace) -> int:
    document = ask(path, target("reload", query={"dry_run": ["true"]}), "POST")
    if any(change["key"] == "destinations" for change in document["changes"]):
        document["source_problems"] += _problems_of_destinations(options)
    for problem in document["problems"]:
        print(printable(problem), file=sys.stderr)  # noqa: T201
    if not document["problems"] and not options.json:
        print("\n".join(_lines(document)))  # noqa: T201
    outcome = None if document["problems"] or options.dry_run else _applied(path)
    if options.json:
        print(json.dumps({**document, "outcome": outcome}))  # noqa: T201
    elif outcome:
        print(_OUTCOMES[outcome])  # noqa: T201
    if document["problems"] or outcome == _REFUSED:
        return EXIT_CONFIG
    return EXIT_BLIND if document["source_problems"] else 0


def _problems_of_destinations(options: argparse.Namespace) -> list[str]:
    """Return the destination problems that only root can find; none for another user or another configuration."""
    if os.geteuid() != 0 or config_path(options) != DEFAULT_PATH:
        return []
    from fleet_health.cli.setup.notify_view import notify_obstacles  # noqa: PLC0415 - only for this
    from fleet_health.config.loading import load  # noqa: PLC0415 - likewise

    try:
        return list(notify_obstacles(load(DEFAULT_PATH)))
    except ConfigError:  # it has changed since the service read it
        return []


def _applied(path: Path) -> str:
    """Request the reload and wait for it. Return the outcome, a key of `_OUTCOMES`."""

    def look() -> dict[str, Any]:
        return ask(path, target("status", query={"limit": ["1"]}))

    before, until = look()["counters"]["reloads"], time.monotonic() + _PATIENCE_S
    ask(path, target("reload"), "POST")
    while True:
        now = look()["counters"]["reloads"]
        grown = {name for name, count in now.items() if count > before.get(name, 0)}
        if _REFUSED in grown:
            # The problems in the document may be older than its counters, so ask again.
            for problem in look()["problems"]:
                print(printable(problem), file=sys.stderr)  # noqa: T201
            return _REFUSED
        if grown:
            return _TAKEN
        if time.monotonic() > until:
            return _PENDING
        time.sleep(_LOOK_EVERY_S)


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    for change in document["changes"]:
        values = "changed" if change["key"] in LISTS else f"{change['old']} -> {change['new']}"
        yield printable(f"{change['key']}: {values}")
    if not document["changes"]:
        yield "no setting has changed"
    for problem in document["source_problems"]:
        yield printable(f"problem: {problem}")
    for warning in document["warnings"]:
        yield printable(f"warning: {warning}")
    for reason in document["unforeseen"]:
        yield f"not shown: {reason}"
    for title in ("fires", "resolves", "drops"):
        for row in document[title]:
            state = f", {row['state']}" if row.get("state", State.FIRING) != State.FIRING else ""
            state = " without a notification, no longer evaluated" if title == "drops" else state
            yield printable(f"{title}{state}: {row['host']} {row['symptom']}: {row['detail']}")
    if not any(document[title] for title in ("fires", "resolves", "drops")):
        yield "no incident would fire or resolve now"
