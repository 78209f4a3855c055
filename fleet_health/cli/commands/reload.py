"""`fleet-health reload`: say what the configuration would change right now, then have it taken."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import State
from fleet_health.cli.asking import with_allowed_service
from fleet_health.cli.client import ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import EXIT_BLIND, EXIT_CONFIG, Subparsers, add_config_option
from fleet_health.errors import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "reload",
        help=SUMMARIES["reload"],
        description="Show which settings have changed in the configuration file of the running service, and what would"
        " fire or resolve because of them right now; then reload it, as `systemctl reload` does. Only root may reload.",
        epilog="Exit status: 0 when it was done; 2 when the configuration cannot be used, with every problem, or the"
        " user may not reload it; 3 when a unit, match or index that has changed in it is not there, or is not a"
        " receiver's; 4 when the service is not running; 5 when this user may not ask it.",
    )
    add_config_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the changes, and reload nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Return what would change, and reload; return the exit status."""
    return with_allowed_service(options, partial(_reload, options=options))


def _reload(path: Path, options: argparse.Namespace) -> int:
    document = ask(path, target("reload", query={"dry_run": ["true"]}), "POST")
    for problem in document["problems"]:
        print(printable(problem), file=sys.stderr)  # noqa: T201
    if options.json:
        print(json.dumps(document))  # noqa: T201
    elif not document["problems"]:
        print("\n".join(_lines(document)))  # noqa: T201
    if document["problems"]:
        return EXIT_CONFIG
    if not options.dry_run:
        ask(path, target("reload"), "POST")
        if not options.json:
            print("the service applies it now; `fleet-health status` shows the result")  # noqa: T201
    return EXIT_BLIND if document["source_problems"] else 0


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    for change in document["changes"]:
        yield printable(f"{change['key']}: {change['old']} -> {change['new']}")
    if not document["changes"]:
        yield "no setting has changed"
    for problem in document["source_problems"]:
        yield printable(f"problem: {problem}")
    for reason in document["unforeseen"]:
        yield f"not foreseen: {reason}"
    for title in ("fires", "resolves", "drops"):
        for row in document[title]:
            state = f", {row['state']}" if row.get("state", State.FIRING) != State.FIRING else ""
            state = ", no longer looked for, without a notification" if title == "drops" else state
            yield printable(f"{title}{state}: {row['host']} {row['symptom']}: {row['detail']}")
    if not any(document[title] for title in ("fires", "resolves", "drops")):
        yield "nothing would fire or resolve right now"
