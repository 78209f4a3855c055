"""The dialogue of `fleet-health setup`: search, show the results, ask, and write the configuration."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.options import EXIT_CONFIG, refuse
from fleet_health.cli.render.pattern_report import Report
from fleet_health.cli.setup.configuration import Choice, configuration
from fleet_health.cli.setup.index_search import read_index
from fleet_health.cli.setup.questions import AnswerError, agrees, ask, some_of
from fleet_health.cli.setup.search import search
from fleet_health.cli.setup.service_view import obstacle
from fleet_health.cli.setup.units import units
from fleet_health.config.loading import load
from fleet_health.config.match_trust import match_warnings
from fleet_health.config.pattern_trust import REMEDY, warnings
from fleet_health.errors import ConfigError, FleetHealthError, SourceUnavailable, printable
from fleet_health.files.safe_files import SafeDirectory, user_name
from fleet_health.model.words import plural
from fleet_health.service import clock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from fleet_health.cli.setup.candidates import Candidate
    from fleet_health.cli.setup.index_search import FoundIndex
    from fleet_health.cli.setup.search import Search
    from fleet_health.config.schema import Settings

_EXIT_NOT_WRITTEN, _EXIT_INTERRUPT = 1, 130
_SHOWN = 8
_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755
_SERVICE = "fleet-health.service"
_RECIPES = "/usr/local/share/doc/fleet-health/another-receiver.md"


class _EndError(FleetHealthError):
    """Setup ends without a configuration. `str()` is a message with the reason, and `status` the exit status."""

    def __init__(self, reason: str, status: int = EXIT_CONFIG) -> None:
        super().__init__(reason)
        self.status = status


def set_up(options: argparse.Namespace) -> int:
    """Search, ask and write, and return the exit status. No file is written before the end."""
    stdout = sys.stdout
    try:
        # With --print, stdout is for the configuration alone.
        with redirect_stdout(sys.stderr) if options.print else nullcontext():
            text, choices = _found(options)
        if options.print:
            stdout.write(text)
        else:
            _finish(options, text, choices)
    except _EndError as end:
        sys.stderr.write("".join(f"{printable(line)}\n" for line in str(end).split("\n")))
        return end.status
    except ConfigError as error:
        return refuse(error)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted: no file was written.\n")
        return _EXIT_INTERRUPT
    except EOFError:
        sys.stderr.write("\nNo answer: no file was written.\n")
        return _EXIT_NOT_WRITTEN
    return 0


def _found(options: argparse.Namespace) -> tuple[str, list[Choice]]:
    """Return the configuration for the chosen receivers, and the choices."""
    is_asking = _is_asking(options)
    if is_asking and not sys.stdin.isatty():
        raise _EndError(
            "setup asks questions, but stdin is not a terminal: `--yes` uses the best guess, `--print` shows it"
        )
    if not options.print and (problem := _why_not_writable(options.config.absolute())):
        raise _EndError(problem)
    directory: Path | None = None if options.journal_directory is None else options.journal_directory.absolute()
    try:
        _say("Searching the journal for receivers …")
        result = search(replace(load(None).receivers[0].journal, directory=directory), clock.now() - options.since)
    except SourceUnavailable as error:
        raise _EndError(str(error)) from error
    if not result.found:
        raise _EndError("\n".join(_nothing_found(result)), _EXIT_NOT_WRITTEN)
    _say(*_candidates(result))
    choices = []
    for number in _asked_receivers(result) if is_asking else result.default():
        candidate, found = result.found[number], result.indexes[number]
        index = _asked_index(candidate, found) if is_asking else next(iter(found), None)
        choices.append(Choice(candidate, index, directory))
    text = configuration(choices)
    _say(*_found_by(_loaded(text), choices, is_guess=not is_asking))
    return text, choices


def _finish(options: argparse.Namespace, text: str, choices: Sequence[Choice]) -> None:
    target: Path = options.config.absolute()
    _say("", "The configuration:", "", *(f"    {line}".rstrip() for line in text.splitlines()), "")
    _get_consent(target, options)
    try:
        _write(target, text)
    except OSError as error:
        raise _EndError(f"{error.filename or target}: {error.strerror or error}; {target} is unchanged") from error
    _say(f"Wrote {target}.", *_next_steps(target, choices))


def _is_asking(options: argparse.Namespace) -> bool:
    return not (options.yes or options.print)


# --- output -------------------------------------------------------------------------------------------------------


def _candidates(result: Search) -> Iterator[str]:
    count = len(result.origins)
    origins = f"{count} units and containers" if count != 1 else "1 unit or container"
    yield f"Examined the latest {plural(result.lines, 'line')} of {origins}."
    yield "Access lines about uploads of hosts:"
    for number, one in enumerate(result.found, start=1):
        yield f"  {number}  {one.origin.name}: {_share(one)}, {one.known.format}: {_named(one.hosts)}"
        method, path = one.words
        yield f"     uploads by {method} {path}HOST/…"


def _share(one: Candidate) -> str:
    share = f"{one.matches} of {plural(one.lines, 'line')} ({one.matches / one.lines:.0%})"
    return f"{share}, {plural(len(one.hosts), 'host')}"


def _named(hosts: Iterable[str]) -> str:
    names = sorted(hosts)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _described(candidate: Candidate, index: FoundIndex) -> str:
    shared = f"{index.shared(candidate.hosts)} of the {plural(len(candidate.hosts), 'host')} above"
    keys = f"{index.host_field} and {index.time_field}"
    return f"{index.path}: {plural(index.rows, 'recent row')}, with {shared}; keys {keys}"


def _nothing_found(result: Search) -> Iterator[str]:
    yield (
        f"No receiver was found. Searched the latest {plural(result.lines, 'line')} of {len(result.origins)} units,"
        " user units and containers in the journal for access lines of PUT, POST or PATCH with a host in the path."
    )
    if result.origins:
        yield f"These log: {_named(one.name for one in result.origins)}"
    for origin, line in list(result.unread())[:_SHOWN]:
        yield f"{origin.name} has lines about uploads in an unknown format, or without a host in the path:"
        yield f"    {line[:300]}"
    if mute := result.mute_servers():
        yield f"These look like HTTP servers, but log no uploads to the journal: {_named(mute)}"
    yield "What to do:"
    yield "  * If the receiver logs to a file, let it log to the journal (stdout, stderr or syslog)."
    yield "  * If no host has uploaded recently, search further back: fleet-health setup --since 30d"
    yield f"  * If its lines are in another format, write a pattern: {_RECIPES}, and `fleet-health patterns`"
    if result.services is None:
        yield "  * systemd could not be asked for its units: check that this is the machine of the receiver."


def _found_by(settings: Settings, choices: Sequence[Choice], *, is_guess: bool) -> Iterator[str]:
    yield ""
    for receiver, choice in zip(settings.receivers, choices, strict=True):
        candidate = choice.candidate
        report = Report(receiver.journal)
        for line in candidate.origin.lines:
            report.add(line.encode("utf-8", "surrogateescape"))
        report.finish()
        count = report.response
        yield f"{'Guessed: ' * is_guess}{candidate.origin.name} is a receiver. In its latest lines, the patterns find:"
        statuses = ", ".join(f"{status}: {times}" for status, times in sorted(count.statuses.items()))
        yield f"  responses  {plural(count.matches, 'line')} of {report.lines}; by status {statuses}"
        yield f"  hosts      {_named(count.hosts)}"
        if choice.index is None:
            yield "  index      none was found: set `index.path`, because without it only refusals are seen"
        else:
            yield f"  index      {_described(candidate, choice.index)}"
            if reason := obstacle(choice.index.path):
                yield f"  WARNING: the service cannot read {choice.index.path}: {reason}"
        doubts = [*warnings(receiver.journal), *match_warnings(receiver.journal)]
        yield from (f"  WARNING: {doubt}" for doubt in doubts)
        if doubts:
            yield f"  {REMEDY}"


def _next_steps(target: Path, choices: Sequence[Choice]) -> Iterator[str]:
    yield "What to do next:"
    if any(choice.index is None for choice in choices):
        yield f"  set `index.path` in {target}"
    known = units([_SERVICE])
    if known and known[0].is_running:
        yield "  fleet-health reload      see what changes, and apply it"
    elif known and known[0].is_known:
        yield "  systemctl enable --now fleet-health"
    yield "  fleet-health patterns    try the patterns on real lines at any time"
    yield "  fleet-health status      the fleet"


# --- questions ----------------------------------------------------------------------------------------------------


def _asked_receivers(result: Search) -> list[int]:
    if len(result.found) == 1:
        if not agrees(f"Is {printable(result.found[0].origin.name)} the receiver?", default=True):
            raise _EndError(
                f"No file was written. For a receiver that was not found, see {_RECIPES}", _EXIT_NOT_WRITTEN
            )
        return [0]
    default = ",".join(str(number + 1) for number in result.default())
    return some_of("Which is the receiver? Several with commas", default, len(result.found))


def _asked_index(candidate: Candidate, found: Sequence[FoundIndex]) -> FoundIndex | None:
    name, shown = printable(candidate.origin.name), found[:_SHOWN]
    if shown:
        _say("", f"Files that may be the index of {candidate.origin.name}:")
        _say(*(f"  {number}  {_described(candidate, index)}" for number, index in enumerate(shown, start=1)))
    else:
        _say("", f"No index of {candidate.origin.name} was found. It is the file with a row for every accepted upload.")

    def read(answer: str) -> FoundIndex | None:
        if answer == "none":
            return None
        if answer.isdecimal() and 1 <= int(answer) <= len(shown):
            return shown[int(answer) - 1]
        if not answer.startswith("/"):
            raise AnswerError(f"expected {'a number, ' * bool(shown)}an absolute path or none, found {answer!r}")
        index = read_index(Path(answer), candidate.hosts)
        if index is None:
            raise AnswerError(f"{printable(answer)} cannot be read, or has no rows of JSON with a host and a time")
        return index

    return ask(f"The index of {name}: {'a number, ' * bool(shown)}a path, or none", "1" if shown else "none", read)


def _get_consent(target: Path, options: argparse.Namespace) -> None:
    """Ask whether the file may be written, unless that is clear. Raise _EndError if it may not."""
    holds_settings = _holds_settings(target)
    if not _is_asking(options):
        if holds_settings and not options.replace:
            raise _EndError(
                f"{target} contains settings, so it is not replaced: add --replace, or use --print",
                _EXIT_NOT_WRITTEN,
            )
        return
    question = f"Write {target}?"
    if holds_settings:
        question = f"{target} contains settings. Replace it? The old file is kept as {_backup_name(target)}"
    if not agrees(question, default=not holds_settings):
        raise _EndError("No file was written.", _EXIT_NOT_WRITTEN)


# --- files --------------------------------------------------------------------------------------------------------


def _loaded(text: str) -> Settings:
    """Load the configuration before it is written, as the service will. Raise ConfigError if it cannot be used."""
    with tempfile.TemporaryDirectory(prefix="fleet-health-setup-") as directory:
        file = Path(directory, "config.toml")
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        return load(file)


def _why_not_writable(target: Path) -> str:
    """Return why a file cannot be written, with a remedy; empty if no reason is known."""
    place = next(parent for parent in target.parents if parent.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return (
            f"{target}: {user_name(os.geteuid())} may not write in {place}; run this as root, name another file with"
            " --config, or use --print"
        )
    try:
        is_file = stat.S_ISREG(target.lstat().st_mode)
    except OSError:
        return ""
    return "" if is_file else f"{target}: expected a file that can be replaced, found something else, such as a link"


def _holds_settings(target: Path) -> bool:
    """Return whether a file exists and contains more than comments."""
    try:
        lines = target.read_text(errors="replace").splitlines()
    except OSError:
        return target.exists()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _backup_name(target: Path) -> str:
    return f"{target.name}.before-setup"


def _write(target: Path, text: str) -> None:
    """Write the file atomically, after copying an old one that contains settings."""
    new = f"{target.name}.new"
    # The umask could make the file unreadable for the service.
    os.umask(0o022)
    with SafeDirectory(target.parent, create_mode=_DIRECTORY_MODE) as directory:
        if _holds_settings(target):
            old = target.read_bytes()
            directory.replace_file(_backup_name(target), old, _FILE_MODE, temporary=new, is_for_caller=True)
        content = text.encode("utf-8", "surrogateescape")
        directory.replace_file(target.name, content, _FILE_MODE, temporary=new, is_for_caller=True)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
