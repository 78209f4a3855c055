"""`fleet-health suggest`: suggest limits that would have suited the hosts better, as TOML to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fleet_health.cli.commands import SUMMARIES
from fleet_health.cli.commands.replay import refused, replayed
from fleet_health.cli.options import Subparsers, add_config_option, config_path, host_glob
from fleet_health.cli.span import add_span_options, span
from fleet_health.config.loading import load
from fleet_health.detectors import silent
from fleet_health.errors import FleetHealthError, printable
from fleet_health.files.hang_watch import touching
from fleet_health.files.rotation import allow_many_files
from fleet_health.model.cadence import Cadence
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import describe
from fleet_health.model.learned_limit import ENOUGH_US
from fleet_health.model.rhythm import BIN_US, KEPT_US
from fleet_health.model.words import plural
from fleet_health.parsing.local_time import local, localized
from fleet_health.replay.suggestions import WEEK_US, Backtest, Comparison, Fit, Suggestion, backtest, compared
from fleet_health.sources.index.once import read_every_row

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant


_FITS = {
    Fit.TOO_NEW: f"known for less than {describe(ENOUGH_US)}, which is too short to suggest a limit",
    Fit.FITS_SO_FAR: "the limit fits what was seen so far",
    Fit.FITS: "the limit fits the rhythm",
    Fit.BY_RHYTHM: "the limit is learned, or there is a schedule; nothing to suggest",
    Fit.LONGER: "usually longer between uploads than the limit; the settings below would have been better",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "suggest",
        help=SUMMARIES["suggest"],
        description="Learn the rhythm of each host from the last four weeks of the index, and suggest an override for"
        " each host whose usual intervals between uploads are longer than its limit, as TOML to paste: the schedule of"
        " the host, a longer limit, or a learned limit. Each override is tried on the past. The output shows how many"
        " incidents of silence were notified and would have been, and how much later the remaining ones would have"
        " opened. For each host, the observed time and the longest gap in it show how reliable the result is. This"
        " writes no file and does not ask the service.",
        epilog="Exit status: 0 when it completed, with or without a suggestion; 1 when there is no space for temporary"
        " files; 2 for an invalid configuration, or a source that is missing or unreadable.",
    )
    add_config_option(parser)
    parser.add_argument(
        "hosts", nargs="*", type=host_glob, metavar="HOST", help="only these hosts or globs (default: all)"
    )
    add_span_options(parser, "7d", "the begin of the span on which the overrides are tried")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print suggestions, and return the exit status."""
    since, until = span(options)
    path, globs = config_path(options), HostGlobs(tuple(options.hosts))
    allow_many_files()
    try:
        with touching(path):
            settings = load(path)
        cadence = _rhythms(settings, until)
        limits = settings.limits[silent.SYMPTOM]
        hosts = [host for host in cadence.hosts() if not globs.globs or globs.matches(host)]
        seen = compared(cadence, hosts, limits.of)
        found = [one.suggestion for one in seen if one.suggestion is not None]
        tests = _tried(settings, found, since, until)
    except FleetHealthError as error:
        return refused(error)
    if options.json:
        document = {
            "version": 1,
            "hosts": len(seen),
            "too_new": sum(one.fit is Fit.TOO_NEW for one in seen),
            "seen": [_seen(one) for one in seen],
            "suggestions": [_document(one, tests[one.host]) for one in found],
        }
        print(json.dumps(document))  # noqa: T201
    else:
        print("\n".join(map(localized, _lines(seen, found, tests, since, until))))  # noqa: T201
    return 0


def _rhythms(settings: Settings, until: Instant) -> Cadence:
    """Return the rhythms of the hosts in the index as of an instant. Raise SourceUnavailable if it cannot be read."""
    cadence = Cadence(settings.host_limit, settings.ignored)
    for receiver in settings.receivers:
        read_every_row(
            receiver.index,
            until - KEPT_US,
            lambda uploads: cadence.record(upload for upload in uploads if upload.at <= until),
            now=until,
        )
    return cadence


def _tried(settings: Settings, found: Sequence[Suggestion], since: Instant, until: Instant) -> dict[str, Backtest]:
    """Try all suggestions on the past at once. Return host -> the result."""
    if not found:
        return {}
    overrides = [{"hosts": hosts, **_nested(key, value)} for (key, value), hosts in _grouped(found).items()]
    changed = load(settings.path, more_overrides=overrides)
    before, after = (replayed(one, since, until) for one in (settings, changed))
    return {one.host: backtest(one.host, before.episodes, after.episodes) for one in found}


def _grouped(found: Iterable[Suggestion]) -> dict[tuple[str, str], list[str]]:
    """Return (setting, value) -> the hosts for which it is suggested."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in found:
        grouped.setdefault((one.key, one.value), []).append(one.host)
    return grouped


def _nested(key: str, value: Any) -> dict[str, Any]:
    """Return a value as the nested tables of its dotted key."""
    for name in reversed(key.split(".")):
        value = {name: value}
    nested: dict[str, Any] = value
    return nested


def _lines(
    seen: Sequence[Comparison],
    found: Sequence[Suggestion],
    tests: Mapping[str, Backtest],
    since: Instant,
    until: Instant,
) -> Iterator[str]:
    if not seen:
        yield "# None of these hosts has uploaded in the last four weeks."
        return
    for fit, words in _FITS.items():
        if those := [one for one in seen if one.fit is fit]:
            yield f"# {plural(len(those), 'host')}: {words}"
            yield from (f"#   {printable(one.host)}: {_seen_in_words(one)}" for one in those)
    yield f"# Gaps are measured in steps of {describe(BIN_US)}."
    if any(one.seen_us < WEEK_US for one in seen if one.fit is not Fit.BY_RHYTHM):
        yield f"# Nights and weekends show only after at least {describe(WEEK_US)}. Try again then."
    if not found:
        return
    yield f"# The settings below were tried on the past from {local(since)} to {local(until)}."
    by_host = {one.host: one for one in found}
    for (key, value), names in sorted(_grouped(found).items()):
        yield ""
        for name in names:
            yield f"# {printable(name)}: {_in_words(by_host[name], tests[name])}"
        yield "[[overrides]]"
        yield f"hosts = {json.dumps(names, ensure_ascii=False)}"
        yield f"{key} = {json.dumps(value)}"


def _seen_in_words(one: Comparison) -> str:
    if not one.seen_us:
        return f"seen for less than {describe(BIN_US)}"
    return f"seen for {describe(one.seen_us)}, longest gap {describe(one.longest_gap_us)}"


def _in_words(one: Suggestion, test: Backtest) -> str:
    """Return the basis of a suggestion and its effect on the past, in words."""
    words = f"usually up to {describe(one.usual_us)} between uploads; alerts before {test.before}, after {test.after}"
    if not test.later:
        return words
    return f"{words}; {plural(len(test.later), 'fault')} found later, by {describe(max(test.later))} at most"


def _seen(one: Comparison) -> dict[str, Any]:
    return {
        "host": one.host,
        "fit": one.fit,
        "seen_s": one.seen_us / 1_000_000,
        "longest_gap_s": one.longest_gap_us / 1_000_000,
    }


def _document(one: Suggestion, test: Backtest) -> dict[str, Any]:
    return {
        "host": one.host,
        "key": one.key,
        "value": one.value,
        "usual_interval_s": one.usual_us / 1_000_000,
        "intervals": one.intervals,
        "alerts_before": test.before,
        "alerts_after": test.after,
        "later_s": [later_us / 1_000_000 for later_us in test.later],
    }
