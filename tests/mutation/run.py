"""Put small faults into the code, one at a time, and see whether the tests notice.

    python tests/mutation/run.py                                    # a sample of every floor
    python tests/mutation/run.py --boundaries --count 0             # every < that could be a <=
    python tests/mutation/run.py --seed 7 --count 50 fleet_health/model

It works in a copy of the checkout. The same seed takes the same mutants of the same code. The survivors are printed as
they are found, with their diffs. A mutant that changes nothing that anybody could see is looked at once: its key and
the reason stand in `equivalent.txt`. The exit status is 1 if fewer of the others died than is asked of their floor.

Why not mutmut or cosmic-ray: mutmut 3 leaves out properties and everything outside of functions, thus the limits of
settings, and takes no sample; cosmic-ray alters the checkout itself and starts an interpreter for each mutant.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.mutation.mutants import BOUNDARY, Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    "parsing": ("tests/sources", "tests/fuzz/test_fuzz.py"),
    "sources": ("tests/replay",),
}
"""The tests that also use a floor, tried when its own have noticed nothing."""

_PRELOADED = ("pytest", "hypothesis", "xdist", "pytest_asyncio", "pytest_cov", "msgspec", "structlog", "aiofiles")
"""What the tests import and no mutant alters; what is missing is imported by the tests themselves, or not at all."""

_TIMES_THE_USUAL = 4
_AT_LEAST_S = 10
_WALL_CLOCK_TIMES = 20
"""A limit is of the time that the processor works for it, which no other load changes; this ends what only waits."""
_MEMORY_LIMIT = 8 << 30
_NO_TESTS = 5


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        by: The tests that noticed it; empty for a survivor.
        is_late: Whether they noticed only by never ending.

    """

    mutant: Mutant
    by: str
    is_late: bool = False


def main() -> int:
    """Run a sample of mutants; return the exit status."""
    options = _options()
    checkout = options.checkout.resolve()
    sources = dict(_sources(checkout, options.paths))
    there = [mutant for file, source in sources.items() for mutant in mutants_of(file, source)]
    if options.boundaries:
        there = [mutant for mutant in there if mutant.kind == BOUNDARY]
    sample = there
    if options.count and options.count < len(there):
        chosen = random.Random(options.seed).sample(range(len(there)), options.count)  # noqa: S311 - no secret
        sample = [there[place] for place in sorted(chosen)]
    equivalent = _equivalent(options.equivalent)
    _note(f"{len(sample)} of {len(there)} mutants in {len(sources)} files, seed {options.seed}")
    fates = []
    with tempfile.TemporaryDirectory(prefix="fleet-health-mutants-") as directory:
        copied = Path(directory) / "checkout"
        shutil.copytree(checkout, copied, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        workshop = _Workshop(copied, is_near=options.near)
        for number, mutant in enumerate(sample, 1):
            if mutant.key in equivalent:
                continue
            fate = workshop.try_out(mutant, sources[mutant.file])
            fates.append(fate)
            what = "too late" if fate.is_late else "died" if fate.by else "SURVIVED"
            _note(f"{number}/{len(sample)} {what} {mutant.file}:{mutant.line} {fate.by}")
            if not fate.by:
                sys.stdout.write(f"\n{mutant.key}\n{mutant.diff(sources[mutant.file])}\n")
                sys.stdout.flush()
    return _report(sample, fates)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put small faults into the code and see whether the tests notice.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the sample (1)")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="size of the sample (300); 0: every mutant")
    parser.add_argument("--boundaries", action="store_true", help="only comparisons with and without equality")
    parser.add_argument("--near", action="store_true", help="only the tests of the floor itself: faster, more survive")
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


def _report(sample: Sequence[Mutant], fates: Sequence[Fate]) -> int:
    """Print the figures of each floor; return the exit status."""
    drawn, tried, dead, late = (
        Counter(_floor(mutant.file) for mutant in some)
        for some in (
            sample,
            [fate.mutant for fate in fates],
            [fate.mutant for fate in fates if fate.by],
            [fate.mutant for fate in fates if fate.is_late],
        )
    )
    status = 0
    for floor in sorted(drawn):
        least = LEAST_EDGES if floor in EDGES else LEAST_PURE
        percent = 100 * dead[floor] / tried[floor] if tried[floor] else 100.0
        status |= percent < least
        sys.stdout.write(
            f"{floor}: {drawn[floor]} mutants, {drawn[floor] - tried[floor]} equivalent, {dead[floor]} died"
            f" ({late[floor]} of them by the time limit), {tried[floor] - dead[floor]} survived:"
            f" {percent:.1f}% of the others died; {least}% is the least\n"
        )
    return status


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _floor(file: str) -> str:
    return Path(file).parts[1]


class _Workshop:
    """A copy of the checkout in which mutants are tried out, each in a process forked from this one.

    This process never imports the copy, but everything else that the tests need: that is what takes the time.
    """

    def __init__(self, checkout: Path, *, is_near: bool) -> None:
        self._checkout = checkout
        self._is_near = is_near
        self._output = checkout.with_name("output")
        self._usual_s: dict[tuple[str, ...], float] = {}
        for name in _PRELOADED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def try_out(self, mutant: Mutant, source: bytes) -> Fate:
        """Run the tests on a mutant, the nearest first, until some notice it."""
        path = self._checkout / mutant.file
        for tests in self._stages(mutant.file):
            usual_s = self._usual(tests)
            path.write_bytes(mutant.apply(source))
            # A time of its own for each, which also leaves the compiled file of the original as it is.
            os.utime(path, (mutant.start + 1, mutant.start + 1))
            status = self._run(tests, max(_AT_LEAST_S, _TIMES_THE_USUAL * usual_s), compiles=False)
            path.write_bytes(source)
            os.utime(path, (0, 0))
            if status != 0:
                return Fate(mutant, " ".join(tests), status is None)
        return Fate(mutant, "")

    def _stages(self, file: str) -> Iterator[tuple[str, ...]]:
        floor = _floor(file)
        near = Path("tests", *Path(file).parts[1:])
        folder = f"tests/{floor}"
        mirrored = near.with_name(f"test_{near.name}").as_posix()
        if (self._checkout / mirrored).exists():
            yield (mirrored,)
        yield (folder, f"--ignore={mirrored}")
        if not self._is_near and floor in _LATER:
            yield _LATER[floor]

    def _usual(self, tests: tuple[str, ...]) -> float:
        """Return how long tests take without a fault; run them if it is not known. Stop if they fail."""
        if tests not in self._usual_s:
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            status = self._run(tests, 600, compiles=True)
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            if status not in {0, _NO_TESTS}:
                sys.stderr.write(self._output.read_text()[-2_000:])
                sys.exit(
                    f"{' '.join(tests)}: fails without any fault, or takes too long; see above, and repair it first"
                )
            self._usual_s[tests] = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        return self._usual_s[tests]

    def _run(self, tests: Sequence[str], limit_s: float, *, compiles: bool) -> int | None:
        """Run tests in a new process; return pytest's exit status, negative for a signal, None if it did not end."""
        pid = os.fork()
        if not pid:
            self._become(tests, int(limit_s) + 1, compiles=compiles)
        ends_at = time.monotonic() + _WALL_CLOCK_TIMES * limit_s
        is_late = False
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > ends_at and not is_late:
                is_late = True
                os.killpg(pid, signal.SIGKILL)
            time.sleep(0.01)
        status = os.waitstatus_to_exitcode(ended[1])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what a test has started and a fault left behind
        return None if is_late or status in {-signal.SIGXCPU, -signal.SIGKILL} else 0 if status == _NO_TESTS else status

    def _become(self, tests: Sequence[str], limit_s: int, *, compiles: bool) -> None:
        """Be pytest; never return."""
        status = 1
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self._checkout)
            sys.dont_write_bytecode = not compiles
            os.environ |= _environment(self._checkout, compiles=compiles)
            for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "fleet_health"}]:
                del sys.modules[name]
            sys.path[:] = [str(self._checkout), *(one for one in sys.path if not (Path(one) / "fleet_health").exists())]
            import pytest  # noqa: PLC0415 - it has been imported; mypy --strict looks through importlib no further

            # What this process has imported already is not rewritten any more: no test asserts in there.
            arguments = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
            status = int(pytest.main([*arguments, *tests]))
        except BaseException:  # noqa: BLE001 - what the interpreter would do
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(status)


def _environment(checkout: Path, *, compiles: bool) -> Mapping[str, str]:
    """Return what the tests, and the processes that they start, are to find: the copy, and the same examples always."""
    return {
        "PYTHONPATH": str(checkout),
        "HYPOTHESIS_PROFILE": "mutants",
        "PYTHONDONTWRITEBYTECODE": "" if compiles else "1",
    }


if __name__ == "__main__":
    sys.exit(main())
