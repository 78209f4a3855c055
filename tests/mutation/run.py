"""Put small faults into the code, one at a time, and see whether the tests notice.

    python tests/mutation/run.py                                    # a sample of every floor
    python tests/mutation/run.py --boundaries --count 0             # every < that could be a <=
    python tests/mutation/run.py --seed 7 --count 50 fleet_health/model

It works in copies of the checkout, one for each process. First it measures which tests reach which lines; then it tries
each mutant with the tests that reach it. The same seed takes the same mutants of the same code. The survivors are
printed as they are found, with their diffs. A mutant that changes nothing that anybody could see is looked at once: its
key and the reason stand in `equivalent.txt`. The exit status is 1 if fewer of the others died than is asked of their
floor, or if such a key is that of no mutant any more.

Why not mutmut or cosmic-ray: mutmut 3 leaves out properties and everything outside of functions, thus the limits of
settings, and takes no sample; cosmic-ray alters the checkout itself and starts an interpreter for each mutant.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import pickle
import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from multiprocessing import Pipe, Process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.mutation.mutants import BOUNDARY, Mutant, mutants_of
from tests.mutation.statements import Statements
from tests.mutation.workshop import Limit, Test, Trial, Verdict, serve

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from multiprocessing.connection import Connection

T = TypeVar("T")

PURE = ("model", "detectors", "alerting", "parsing")
EDGES = ("sources",)
LEAST_PURE = 98
"""Percent of the mutants of a pure floor that must die, without the equivalent ones."""
LEAST_EDGES = 92
EQUIVALENT = Path(__file__).resolve().parent / "equivalent.txt"

_LATER = {
    "model": ("tests/detectors", "tests/alerting", "tests/test_engine.py", "tests/parsing"),
    "detectors": ("tests/alerting", "tests/test_engine.py", "tests/config"),
    "alerting": ("tests/detectors", "tests/test_engine.py"),
    "parsing": ("tests/fuzz/test_fuzz.py",),
    "sources": (
        "tests/replay",
        *("tests/faults/test_b_index_tail.py", "tests/faults/test_g_tail.py", "tests/faults/test_g_seeing.py"),
        *("tests/security/test_s14_rotated.py", "tests/security/test_s01_links.py"),
    ),
}
"""The tests that also use a floor, besides its own."""

_TIMES_THE_USUAL = 10
_CPU_AT_LEAST_S = 3
_WALL_AT_LEAST_S = 90
"""A test that takes longer than this, and than so many times the usual, is taken to be without end."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant."""

    mutant: Mutant
    verdict: Verdict


def main() -> int:
    """Run a sample of mutants; return the exit status."""
    options = _options()
    checkout = options.checkout.resolve()
    sources = dict(_sources(checkout, options.paths))
    there = [mutant for file, source in sources.items() for mutant in mutants_of(file, source)]
    equivalent = _equivalent(options.equivalent)
    stale = {key for key in equivalent if key.partition(" ")[0] in sources} - {mutant.key for mutant in there}
    if options.boundaries:
        there = [mutant for mutant in there if mutant.kind == BOUNDARY]
    sample = there
    if options.count and options.count < len(there):
        chosen = random.Random(options.seed).sample(range(len(there)), options.count)  # noqa: S311 - no secret
        sample = [there[place] for place in sorted(chosen)]
    _note(f"{len(sample)} of {len(there)} mutants in {len(sources)} files, seed {options.seed}")
    floors = {_floor(file) for file in sources}
    folders = dict.fromkeys(f"tests/{floor}" for floor in sorted(floors))
    if not options.near:
        folders |= dict.fromkeys(folder for floor in sorted(floors) for folder in _LATER.get(floor, ()))
    fates = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        workshops = [
            _Workshop(Path(directory, str(number)), checkout, tuple(folders)) for number in range(options.processes)
        ]
        try:
            measured, called = _measured(workshops, _Cache(workshops[0].copied, checkout / ".mutation-reach"))
            _note(f"{len(measured)} tests measured")
            tests = _Tests(
                measured, Statements(dict(_sources(checkout, ["fleet_health"])), called), is_near=options.near
            )
            tried = [mutant for mutant in sample if mutant.key not in equivalent]
            random.Random(options.seed).shuffle(tried)  # noqa: S311 - so that a part of a run is a sample, too
            trials = ((mutant, tests.trial(mutant, sources[mutant.file])) for mutant in tried)
            for number, (mutant, verdict) in enumerate(_shared(workshops, trials), 1):
                fates.append(Fate(mutant, verdict))
                what = "too late" if verdict.is_late else "died" if verdict.by else "SURVIVED"
                _note(f"{number}/{len(tried)} {what} {mutant.file}:{mutant.line} {verdict.by}")
                if not verdict.by:
                    sys.stdout.write(
                        f"\n{mutant.key}\n{mutant.diff(sources[mutant.file])}\n{verdict.tried} tests reach it\n"
                    )
                    sys.stdout.flush()
        except KeyboardInterrupt:
            _note("interrupted")
        finally:
            for workshop in workshops:  # each may have inherited the other end of those before it
                workshop.connection.close()
            for workshop in workshops:
                workshop.process.join()
    for key in sorted(stale):
        sys.stdout.write(f"no such mutant any more: {key}\n")
    return _report(sample, equivalent, fates) | bool(stale)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put small faults into the code and see whether the tests notice.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the sample (1)")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="size of the sample (300); 0: every mutant")
    parser.add_argument("--boundaries", action="store_true", help="only comparisons with and without equality")
    parser.add_argument("--near", action="store_true", help="only the tests of the floor itself: faster, more survive")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many work at a time (2)")
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[2], help=argparse.SUPPRESS)
    parser.add_argument("--equivalent", type=Path, default=EQUIVALENT, help=argparse.SUPPRESS)
    parser.add_argument(
        "paths",
        nargs="*",
        default=[f"fleet_health/{floor}" for floor in (*PURE, *EDGES)],
        metavar="PATH",
        help="files or folders of the checkout to take mutants from (the pure floors and the sources)",
    )
    return parser.parse_args()


def _sources(checkout: Path, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        there = checkout / path
        files = [there] if there.is_file() else sorted(there.rglob("*.py"))
        if not files:
            sys.exit(f"{path}: no Python file is there in {checkout}; name files or folders from the checkout on")
        for file in files:
            yield file.relative_to(checkout).as_posix(), file.read_bytes()


def _equivalent(file: Path) -> frozenset[str]:
    """Read the keys of the equivalent mutants: each stands on a line of its own, the reason indented below it."""
    return frozenset(line for line in file.read_text().splitlines() if line and line[0] not in "# ")


def _report(sample: Sequence[Mutant], equivalent: Container[str], fates: Sequence[Fate]) -> int:
    """Print the figures of each floor; return the exit status."""
    drawn, alike, tried, dead, late = (
        Counter(_floor(mutant.file) for mutant in some)
        for some in (
            sample,
            [mutant for mutant in sample if mutant.key in equivalent],
            [fate.mutant for fate in fates],
            [fate.mutant for fate in fates if fate.verdict.by],
            [fate.mutant for fate in fates if fate.verdict.is_late],
        )
    )
    status = 0
    for floor in sorted(drawn):
        least = LEAST_EDGES if floor in EDGES else LEAST_PURE
        percent = 100 * dead[floor] / tried[floor] if tried[floor] else 100.0
        status |= percent < least
        sys.stdout.write(
            f"{floor}: {drawn[floor]} mutants, {alike[floor]} equivalent, {tried[floor]} tried, {dead[floor]} died"
            f" ({late[floor]} of them by the time limit), {tried[floor] - dead[floor]} survived:"
            f" {percent:.1f}% of the others died; {least}% is the least\n"
        )
    return status


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _floor(file: str) -> str:
    return Path(file).parts[1]


class _Workshop:
    """A process that tries out mutants in a copy of the checkout."""

    def __init__(self, directory: Path, checkout: Path, folders: Sequence[str]) -> None:
        directory.mkdir()
        self.copied = directory / "checkout"
        shutil.copytree(checkout, self.copied, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        self.connection, theirs = Pipe()
        self.process = Process(target=_be_workshop, args=(theirs, self.connection, self.copied, folders))
        self.process.start()
        theirs.close()


def _be_workshop(requests: Connection, other_end: Connection, checkout: Path, folders: Sequence[str]) -> None:
    other_end.close()
    serve(requests, checkout, folders)


class _Cache:
    """What tests reach, kept until a file that they reach, what tests share, or their own file changes."""

    def __init__(self, checkout: Path, kept: Path) -> None:
        self._checkout = checkout
        self._kept = kept
        tests = checkout / "tests"
        self._shared = sorted((*(tests / "rig").rglob("*.py"), *tests.rglob("conftest.py")))
        self._known: dict[str, tuple[bytes, list[Test]]] = {}
        with contextlib.suppress(FileNotFoundError):
            self._known = pickle.loads(self._kept.read_bytes())  # noqa: S301 - our own

    def get(self, file: str) -> list[Test] | None:
        """Return the tests of a file, or None if it must be measured."""
        digest, tests = self._known.get(file, (b"", []))
        return tests if tests and digest == self._digest(file, tests) else None

    def put(self, tests: Sequence[Test]) -> None:
        """Keep what was measured of a whole file."""
        self._known[tests[0].file] = self._digest(tests[0].file, tests), list(tests)
        self._kept.write_bytes(pickle.dumps(self._known))

    def _digest(self, file: str, tests: Sequence[Test]) -> bytes:
        reached = sorted({file, *(one for test in tests for one in test.lines)})
        there = [path for path in (*self._shared, *(self._checkout / one for one in reached)) if path.exists()]
        return hashlib.sha256(b"".join(path.read_bytes() for path in there)).digest()


def _measured(workshops: Sequence[_Workshop], cache: _Cache) -> tuple[list[Test], set[tuple[str, int]]]:
    """Return every test, and which functions are called at import. Stop if a test fails without any fault."""
    for workshop in workshops:
        workshop.connection.send(None)
    (names, called), *others = [_received(workshop.connection) for workshop in workshops]
    assert all(names == other for other, _ in others)
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        numbers[name.partition("::")[0]].append(number)
    unknown = iter([numbers[file] for file in numbers if cache.get(file) is None])
    for _, tests in _shared(workshops, ((None, some) for some in unknown)):
        cache.put(tests)
    known = {test.id: test for file in numbers for test in cache.get(file) or ()}
    return [known[name] for name in names], called


def _shared(workshops: Sequence[_Workshop], requests: Iterator[tuple[T, Any]]) -> Iterator[tuple[T, Any]]:
    """Share requests among the workshops; yield each response as it comes, with what its request was paired with."""
    at_work: dict[Any, T] = {}
    for workshop in workshops:
        _hand_out(workshop.connection, requests, at_work)
    while at_work:
        for connection in wait(at_work):
            about = at_work.pop(connection)
            response = _received(connection)
            _hand_out(connection, requests, at_work)
            yield about, response


def _hand_out(connection: Any, requests: Iterator[tuple[T, Any]], at_work: dict[Any, T]) -> None:
    if following := next(requests, None):
        at_work[connection], request = following
        connection.send(request)


def _received(connection: Any) -> Any:
    response = connection.recv()
    if isinstance(response, Exception):
        sys.exit(f"repair this first: {response}")
    return response


class _Tests:
    """Every test, with what it takes and reaches without a fault; chooses those that may notice a mutant."""

    def __init__(self, tests: Sequence[Test], statements: Statements, *, is_near: bool) -> None:
        self._is_near = is_near
        self._statements = statements
        self._starting = [test for test in tests if test.starts_processes]
        self._reaching: dict[tuple[str, int], list[Test]] = defaultdict(list)
        for test in tests:
            for file, lines in test.lines.items():
                for line in lines:
                    self._reaching[file, line].append(test)

    def trial(self, mutant: Mutant, source: bytes) -> Trial:
        """Return a mutant with the tests that reach it, the nearest and quickest first."""
        floor = _floor(mutant.file)
        own = (f"tests/{floor}/", *(() if self._is_near else _LATER.get(floor, ())))
        lines = set(self._statements.lines_of(mutant.file, mutant.line))
        reaching = {test.id: test for line in lines for test in self._reaching.get(line, ())}
        if floor in EDGES and not reaching:
            reaching = {test.id: test for test in self._starting}
        mirrored = _mirrored(mutant.file)
        tests = sorted(
            (test for test in reaching.values() if test.file.startswith(own)),
            key=lambda test: (test.file != mirrored, test.cpu_s + test.wall_s),
        )
        return Trial(mutant.file, source, mutant.apply(source), [(test.id, _limit(test)) for test in tests])


def _limit(test: Test) -> Limit:
    return Limit(_CPU_AT_LEAST_S + _TIMES_THE_USUAL * test.cpu_s, _WALL_AT_LEAST_S + _TIMES_THE_USUAL * test.wall_s)


def _mirrored(file: str) -> str:
    """Return the file of tests that mirrors a module."""
    path = Path("tests", *Path(file).parts[1:])
    return path.with_name(f"test_{path.name}").as_posix()


if __name__ == "__main__":
    sys.exit(main())
