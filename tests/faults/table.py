"""Write tests/FAULTS.md: every fault that such a service meets, and the tests that provoke it.

    python tests/faults/table.py            writes it
    python tests/faults/table.py --check    fails if it is out of date, or if a fault has no test

The tests say themselves what they provoke, by `@pytest.mark.fault("A7", rig="R1")`, and their names carry the id. They
are read and not imported, so that this needs nothing but Python.
"""

from __future__ import annotations

import argparse
import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TESTS = Path(__file__).resolve().parents[1]
_TABLE = _TESTS / "FAULTS.md"

_CHAPTERS = {
    "A": "The journal reader",
    "B": "The index tail",
    "C": "The alert log",
    "D": "systemd",
    "E": "The loop",
    "F": "Hostile input",
    "G": "Verdicts",
    "N": "Notifications",
    "S": "Attacks",
}

_FAULTS = {
    "A1": "The first entries of a unit that had none are passed over",
    "A2": "Reading begins with an old entry out of a rotated file",
    "A3": "One field that cannot be converted makes every further read raise",
    "A4": "An unreadable entry is taken for the end of the journal",
    "A5": "MESSAGE is absent, repeated, not text, or has several lines",
    "A6": "libsystemd's limit on the size of a field does not limit it",
    "A7": "A vacuum or rotation during a read: every further read fails",
    "A8": "A journal file is truncated while it is mapped: SIGBUS",
    "A9": "Deleted journal files stay open",
    "A10": "No sign of new entries, though they can be read",
    "A11": "Deaf after a rotation, a restart of journald, or the removal of its directory",
    "A12": "Every entry of every unit wakes the reader",
    "A13": "Going on at a cursor skips an entry, or repeats one",
    "A14": "The clock was set back, and the place to read from lies in the future",
    "A16": "Without permission, the journal merely looks empty",
    "A17": "There is no journal yet, nor a directory for it",
    "A18": "No inotify instance is left",
    "A19": "A reader is used from two threads, or closed while it is watched: SIGSEGV",
    "A20": "journald stands still, and so does who waits for it",
    "A22": "PID 1's messages about a unit are not among the unit's own",
    "B1": "A line is written in pieces",
    "B2": "The file is renamed and created anew, while its writer goes on with the old one",
    "B3": "The new file already has lines when it is found",
    "B4": "The file is truncated in place, again and again",
    "B5": "It is truncated, and grows past the old place between two looks",
    "B6": "Another file gets the inode number of the old one",
    "B7": "The file or its directory is not there yet, or goes away",
    "B8": "inotify loses events, for its queue is full",
    "B9": "No inotify instance or watch is left",
    "B11": "The path is a symbolic link that is swapped",
    "B12": "The file is deleted while it is open",
    "B13": "A line never ends",
    "B14": "A power cut leaves a run of NUL",
    "B15": "Byte order marks, CRLF, invalid UTF-8, odd line separators, other encodings",
    "B17": "There is a FIFO, a directory, a device or a compressed file at the path",
    "B18": "After a rotation the file may not be read",
    "C1": "A write is torn, or the last line has no end",
    "C2": "fsync fails",
    "C3": "No space, no quota, a read-only file system",
    "C4": "Killed between write, sync and journal",
    "C5": "The alert log is rotated itself",
    "C6": "Two services write one alert log",
    "C7": "The clock starts in the past, or is stepped either way",
    "C8": "The hour changes in the middle of an evaluation; a row comes from the future",
    "C9": "The machine sleeps and wakes",
    "C10": "What is remembered of alerts grows for ever",
    "D2": "A reload hangs for want of a timestamp, or a bad configuration ends the service",
    "D3": "SIGHUP comes before there is a handler for it",
    "D4": "The watchdog is fed though a part hangs",
    "D5": "A long catch-up runs into the limit on starting",
    "D6": "journald drops alerts by its rate limit",
    "D7": "The boot id is hidden by the unit's confinement",
    "D10": "The index is hidden by the unit's confinement",
    "D12": "A bad configuration makes the service restart for ever",
    "E1": "A backlog starves everything else",
    "E2": "A sync takes seconds",
    "E3": "One part fails, and all end or nobody notices",
    "E4": "The service is stopped while alerts are pending",
    "E7": "Our own alerts are read back as the receiver's lines",
    "F1": "Names of hosts with control characters, without end, or made to look like others",
    "F2": "Every line names another host",
    "F3": "A line on which a pattern takes for ever",
    "F4": "Terminal escapes in what is shown",
    "F5": "A template or a command of a suggested fix that does something else",
    "F7": "JSON that is nested too deeply, has odd numbers, half characters, or impossible times",
    "F8": "A row from the future",
    "G1": "What was suppressed can no longer be found when that ends, and nobody is ever notified",
    "G2": "A resolution is sent of what nobody was notified of, or while its problem would be suppressed",
    "G3": "A fault returns within the hour of its alert and resolution, and is not notified",
    "G4": "A source begins later than it is asked for, and is taken for whole",
    "G5": "A source can be read, and nothing of it is understood, or nothing in it is the receiver's",
    "G6": "libsystemd passes over journal files of a format that it does not know",
    "G10": "What systemd logs about a unit is in another journal than its lines, or in words that nobody expects",
    "G11": "One of several instances stops, or a socket-activated service when idle, and the receiver counts as down",
    "G12": "One host has two names, for one source writes them encoded",
    "G13": "A boot in the past: what stands is resolved, or alerted with a date of then",
    "G14": "A row from the future keeps its host alive whenever it is read",
    "G7": "The receiver was stopped, keeps failing, or its machine was off: hosts are blamed just after the start",
    "G8": "Hosts that are off in a mute window are blamed as it ends",
    "G9": "A verdict that the other source refutes: rows stop, or are dated long ago, while uploads are accepted",
    "G15": "A disk or a network mount hangs: what touches it does not return, and cannot be killed",
    "G16": "The owner of the alert log's lock is dying, and cannot end",
    "G17": "The index or the alert log is rotated to names or a directory of another scheme",
    "G18": "A rotated file is compressed, is damaged, or needs a program that is missing",
    "G19": "What our place in the index cannot show: a truncation at its begin, a missing newline, a rewrite, a hole",
    "G20": "The receiver hangs, and hosts that upload rarely are blamed before it is",
    "G21": "One fault shows in two symptoms",
    "G22": "The time at which a host is expected passes while it cannot upload",
    "G23": "What is measured wavers around its limit, and its incident comes and goes",
    "G24": "A reload changes the limits of what stands, and its state contradicts what was notified",
    "N1": "A destination refuses, resets or closes the connection, or speaks another protocol",
    "N2": "A destination hangs, or drips its response without end",
    "N3": "A destination echoes a secret in its response, and it is logged",
    "N4": "Somebody else answers in place of the destination, or takes the encryption away",
    "N5": "A member of the cluster is down, or a fault that returns is ended by its own past",
    "N6": "A text breaks out of a header, a string or a field, or is longer than a service takes",
    "N7": "A command hangs, prints without end, or leaves children behind",
    "S1": "A symbolic or hard link in somebody else's directory leads root, or our user, to another file",
    "S2": "A client's text forges another host's response",
    "S3": "A client's text forges another host's missing stamp, or hides the client's own refusals",
    "S4": "A clock that is behind resolves what stands",
    "S5": "Invented host names push known hosts out",
    "S6": "So many silences that the service does nothing else",
    "S7": "A flood makes journald drop the receiver's lines, and a refused host looks well",
    "S8": "Two rotations and a restart within the hour repeat an alert",
    "S9": "Names that come and go, or one busy host, fill the memory",
    "S10": "The installer runs somebody else's code as root, or leaves files that others can write",
    "S11": "A reader of the alert log locks it; a stranger's journal entry is forwarded as an alert",
    "S12": "Killed after an alert was synced and before it was sent to the journal",
    "S13": "The state file is a FIFO, a link, or JSON with impossible content",
    "S14": "A rotated alert log cannot be read",
    "S15": "A question about a name that nobody has holds up the loop",
    "S16": "A message of a million lines holds up the loop",
    "S17": "A token in a query string is kept in the alert log",
    "S18": "A client of the read-only listener floods it, stalls, or is a page of another origin",
}


@dataclass(frozen=True, slots=True)
class Provocation:
    """A test that provokes a fault.

    Attributes:
        fault: Its id, as the test says it.
        rig: What it is provoked on.
        file: The test's file, relative to the directory of the tests.
        test: Its function.

    """

    fault: str
    rig: str
    file: str
    test: str


def provocations(directory: Path) -> Iterator[Provocation]:
    """Find every test below a directory that has a `fault` mark, in the order of file and line."""
    for path in sorted(directory.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_bytes(), path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in node.decorator_list:
                for fault, rig in _marks(decorator):
                    yield Provocation(fault, rig, path.relative_to(directory).as_posix(), node.name)


def _marks(decorator: ast.expr) -> Iterator[tuple[str, str]]:
    # Below a `parametrize` too, for a mark may stand at one of its rows.
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fault":
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            fault = node.args[0] if node.args else named.get("id")
            rig = named.get("rig") or (node.args[1] if len(node.args) > 1 else None)
            yield _text(fault), _text(rig)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def problems(found: Iterable[Provocation]) -> Iterator[str]:
    """Return what is wrong with the tests: a fault without one, a mark without a fault, a name without the id."""
    provoked = set()
    for one in found:
        provoked.add(one.fault)
        place = f"{one.file}: {one.test}"
        if one.fault not in _FAULTS:
            yield f"{place}: no such fault: {one.fault or 'the id must be a string'}"
        elif not one.test.startswith(f"test_{one.fault}_"):
            yield f"{place}: its name does not begin with test_{one.fault}_"
        if not one.rig:
            yield f"{place}: its mark does not name the rig"
    for fault, text in _FAULTS.items():
        if fault not in provoked:
            yield f"{fault} has no test: {text}"


def table(found: Iterable[Provocation]) -> str:
    """Write the whole file."""
    by_fault: dict[str, dict[tuple[str, str], list[str]]] = {fault: {} for fault in _FAULTS}
    for one in found:
        rigs = by_fault.setdefault(one.fault, {}).setdefault((one.file, one.test), [])
        if one.rig not in rigs:
            rigs.append(one.rig)
    lines = [
        "# The faults, and the tests that provoke them",
        "",
        "Written by `python tests/faults/table.py` from the tests themselves; `--check` fails where a fault has none.",
        "R1 is a private journald in a mount namespace, R2 a systemd of its own, R3 a journal file with entries of any",
        "time, written by systemd-journal-remote; the other rigs say what they are.",
    ]
    for letter, chapter in _CHAPTERS.items():
        lines += ["", f"## {letter}. {chapter}", "", "| id | fault | test | rig |", "|---|---|---|---|"]
        for fault, text in _FAULTS.items():
            if fault.startswith(letter):
                tests = by_fault[fault]
                names = "<br>".join(f"[`{test}`]({file})" for file, test in tests) or "**none**"
                places = "<br>".join(", ".join(rigs) for rigs in tests.values())
                lines.append(f"| {fault} | {text} | {names} | {places} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the table; the exit status is 0 only if all is well."""
    parser = argparse.ArgumentParser(description="Write tests/FAULTS.md from the tests.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is out of date or incomplete")
    is_check = parser.parse_args().check
    found = list(provocations(_TESTS))
    wrong = list(problems(found))
    text = table(found)
    if not is_check:
        _TABLE.write_text(text)
    elif not _TABLE.exists() or _TABLE.read_text() != text:
        wrong.append("tests/FAULTS.md is out of date: run `python tests/faults/table.py`")
    for problem in wrong:
        print(problem, file=sys.stderr)  # noqa: T201 - a command's output
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
