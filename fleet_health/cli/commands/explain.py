"""`fleet-health explain HOST`: show why a host is reported or not."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from fleet_health.api.explanation_words import between_ticks, facts, remarks, standing, subject_name
from fleet_health.cli.asking import with_allowed_service
from fleet_health.cli.client import ask, target
from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.options import Subparsers, add_config_option, host_glob
from fleet_health.cli.render.host_table import COLOURS, strip_in
from fleet_health.cli.render.interval_bars import interval_bars
from fleet_health.cli.render.terminal import BOLD, DIM, GREEN, RED, YELLOW, Paint, paint_for, show, width, wrapped
from fleet_health.errors import printable
from fleet_health.model.subject import is_host
from fleet_health.parsing.local_time import localized

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help=SUMMARIES["explain"],
        description="Ask the running service about one host. For each detector this shows each figure with its limit,"
        " and the setting and its origin; why an incident is notified or not; when the next alert is due; and the"
        " latest lines with refusals of the host. The host `*` stands for the fleet as a whole, `*@NAME` for one of"
        " several receivers.",
        epilog="Exit status: 0 when the host is known; 2 for a wrong request or an unknown host; 4 when the service is"
        " not running; 5 when this user may not ask it.",
    )
    add_config_option(parser)
    parser.add_argument("host", type=host_glob, metavar="HOST", help="the host, '*', or '*@NAME'")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--no-pager", action="store_true", help="print all at once, also on a terminal")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print the explanation, and return the exit status."""
    return with_allowed_service(options, partial(_show, options=options))


def _show(path: Path, options: argparse.Namespace) -> int:
    document = ask(path, target("hosts", options.host))
    if options.json:
        print(json.dumps(document))  # noqa: T201
    else:
        lines, columns = _lines(document, paint_for(sys.stdout)), width()
        show([part for line in lines for part in wrapped(line, columns, _hanging(line))], is_paged=not options.no_pager)
    return 0


def _hanging(line: str) -> str:
    """Return the indentation for the continuation of a line: below its text, which may follow a box."""
    indent = len(line) - len(line.lstrip())
    return " " * (indent + (4 if "[x]" in line[:12] or "[ ]" in line[:12] else 2))


def _lines(document: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    name = printable(subject_name(document["host"]))
    yield paint(f"{name}: {document['state']}", BOLD)
    if document["clock"]:
        yield paint(localized(printable(document["clock"])), RED)
    if is_host(document["host"]):
        yield from _facts(document, paint)
    for verdict in document["detectors"]:
        yield ""
        yield from _verdict(verdict, document, paint)
    evidence = document["evidence"]
    if evidence.get("samples"):
        yield ""
        yield "Latest lines with refusals:"
        yield from (f"  {printable(line)}" for line in evidence["samples"])
    if evidence.get("command"):
        yield ""
        yield f"More lines: {printable(evidence['command'])}"


def _facts(document: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    for name, value in facts(document):
        yield f"  {name:<24} {localized(printable(value))}"
    yield f"  the last 6 hours         {strip_in(paint)(document['strip'])}"
    yield f"  the last 7 days          {strip_in(paint)(document['long_strip'])}"
    for number, line in enumerate(interval_bars(document.get("upload_intervals", ()))):
        yield f"  {'' if number else 'time between uploads':<24} {line}"
    for name in document["silences"]:
        yield f"  silence                  {printable(name)}"


def _colours(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the colours of the verdict on a symptom."""
    if verdict["is_hidden"]:
        return (YELLOW,)
    if verdict["incident"] is not None:
        return COLOURS.get(verdict["incident"]["state"], (DIM,))
    if verdict["is_found"]:
        return (RED,)
    return (YELLOW,) if verdict["holds_now"] and verdict["is_evaluated"] else (GREEN,)


def _verdict(verdict: Mapping[str, Any], document: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    unseen = "" if verdict["is_evaluated"] else ", not evaluated now, because of a problem with a source or the clock"
    yield f"{paint(verdict['symptom'], BOLD)}: {paint(standing(verdict), *_colours(verdict))}{unseen}"
    if words := between_ticks(verdict, document):
        yield f"  {localized(words)}"
    for figure in verdict["figures"]:
        sign = paint("[x]", RED) if figure["is_met"] else "[ ]"
        yield f"  {sign} {figure['name']}: {localized(figure['value'])} (required: {localized(figure['limit'])})"
        if figure["key"]:
            yield paint(f"      {figure['key']} = {figure['setting']}, from {printable(figure['origin'])}", DIM)
    for remark in remarks(verdict):
        yield f"  {localized(printable(remark))}"
