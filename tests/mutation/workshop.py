"""A copy of the checkout in which mutants are tried out. Knows nothing of samples, nor of what may survive.

Two processes work here. The *stem* has imported what the tests need and no mutant alters. The *collector* is forked
from it, has imported the copy, and has collected its tests. A fault inside a function is tried in a process forked from
the collector, in which the code of that function is exchanged: that takes milliseconds. Any other fault, such as one in
a constant, is tried in a process forked from the stem, which imports the altered file.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import Pipe
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from multiprocessing.connection import Connection

    import pytest

_PRELOADED = (
    *("pytest", "hypothesis", "xdist", "pytest_asyncio", "coverage"),
    *("msgspec", "structlog", "aiofiles"),
)
"""What the tests import and no mutant alters; what is missing is imported by the tests themselves, or not at all."""

_OPTIONS = ("-x", "-q", "-s", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
# What the stem has imported already is not rewritten any more: no test asserts in there.
_OF_THE_COPY = ("tests.", "fleet_health")
_MEMORY_LIMIT = 8 << 30
_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_CO_OPTIMIZED = 1
"""The flag of the code of a function, which the code of a module or class has not."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a test takes and reaches without a fault.

    Attributes:
        id: Its name, as pytest gives it.
        cpu_s: How long the processor worked for it.
        wall_s: How long it took.
        lines: The lines that it reached in each file, by the file's path from the checkout.
        starts_processes: Whether it started processes, in which it may reach more.

    """

    id: str
    cpu_s: float
    wall_s: float
    lines: Mapping[str, AbstractSet[int]]
    starts_processes: bool

    @property
    def file(self) -> str:
        """The file that it is in, by its path from the checkout."""
        return self.id.partition("::")[0]


@dataclass(frozen=True, slots=True)
class Limit:
    """How long something may take: of the processor's time, which no other load changes, and of the wall clock's."""

    cpu_s: float
    wall_s: float

    def begin(self) -> None:
        """Let it end this process by a signal, unless it begins anew."""
        signal.setitimer(signal.ITIMER_PROF, self.cpu_s)
        signal.setitimer(signal.ITIMER_REAL, self.wall_s)


@dataclass(frozen=True, slots=True)
class Trial:
    """A fault, and the tests to try it with.

    Attributes:
        file: The file that has it, by its path from the checkout.
        before: The file's content without it.
        after: The file's content with it.
        tests: The names of the tests, with their limits; tried in this order.

    """

    file: str
    before: bytes
    after: bytes
    tests: Sequence[tuple[str, Limit]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        by: The test that noticed it; empty for a survivor.
        is_late: Whether it was noticed only by never ending.
        tried: How many tests were to notice it.

    """

    by: str
    is_late: bool
    tried: int


class UnusableTestsError(Exception):
    """The tests cannot be collected, or fail without any fault."""


def serve(requests: Connection, checkout: Path, folders: Sequence[str]) -> None:
    """Respond to each request until the other end closes.

    A request is a trial, None for the names of all tests and for what functions are called at import, or a list of the
    numbers of tests to measure. The response is what was asked for, or an exception.
    """
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    ours, theirs = Pipe()
    collector = _Forked(checkout, lambda: _pytest(checkout, folders, _Collector(theirs, checkout)))
    theirs.close()
    try:
        while True:
            request = requests.recv()
            try:
                response = _try_out(request, ours, checkout) if isinstance(request, Trial) else _asked(ours, request)
            except EOFError:
                response = UnusableTestsError(f"the tests cannot be collected:\n{collector.output()}")
            requests.send(response)
    except EOFError:
        ours.close()
    finally:
        collector.end()


def _asked(connection: Connection, request: object) -> Any:
    connection.send(request)
    return connection.recv()


def _try_out(trial: Trial, collector: Connection, checkout: Path) -> Verdict:
    path = checkout / trial.file
    path.write_bytes(trial.after)
    # An outdated compiled file is known by the time of its source: each mutant has a time of its own.
    time_of_its_own = 1 + (hash(trial.after) & 0xFFFFFFF)
    os.utime(path, (time_of_its_own, time_of_its_own))
    try:
        verdict: Verdict | None = _asked(collector, trial)
        if verdict is not None:
            return verdict
        files = dict.fromkeys(name.partition("::")[0] for name, _ in trial.tests)
        return _verdict(checkout, trial, lambda begins: _pytest(checkout, [*files], _Chosen(trial, begins)))
    finally:
        path.write_bytes(trial.before)
        os.utime(path, (0, 0))


def _verdict(checkout: Path, trial: Trial, become: Callable[[int], int]) -> Verdict:
    """Have a forked process run the tests of a trial, which writes the number of each to a descriptor as it begins."""
    if not trial.tests:
        return Verdict("", is_late=False, tried=0)
    begun, begins = os.pipe()
    child = _Forked(checkout, lambda: become(begins))
    os.close(begins)
    status = child.wait()
    os.set_blocking(begun, False)
    begun_ones = os.read(begun, 1 << 16).split()
    os.close(begun)
    by = trial.tests[int(begun_ones[-1])][0] if begun_ones else "the import of its file"
    return Verdict("" if status == 0 else by, status is None, len(trial.tests))


class _Forked:
    """A process forked from this one, in a group of its own, which ends with it."""

    def __init__(self, checkout: Path, become: Callable[[], int]) -> None:
        self._output = checkout.with_name("output")
        self.pid = os.fork()
        if not self.pid:
            self._be(become)

    def _be(self, become: Callable[[], int]) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            status = become()
        except BaseException:  # noqa: BLE001 - what the interpreter would do
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def output(self) -> str:
        """Return the end of what it has written."""
        return self._output.read_text(errors="replace")[-2_000:]

    def wait(self) -> int | None:
        """Return its exit status once it has ended, or None if a limit ended it."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._kill_group()  # what a test has started and a fault left behind
        return None if status in {-signal.SIGPROF, -signal.SIGALRM} else status

    def end(self) -> None:
        """Kill it."""
        self._kill_group()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _pytest(checkout: Path, tests: Sequence[str], plugin: _Collector | _Chosen) -> int:
    """Run tests of the copy in this process, which has not imported it yet; return pytest's exit status."""
    os.chdir(checkout)
    # The tests, and the processes that they start, are to find the copy, and the same examples always.
    os.environ |= {"PYTHONPATH": str(checkout), "HYPOTHESIS_PROFILE": "mutants"}
    sys.dont_write_bytecode = isinstance(plugin, _Chosen)
    for name in [name for name in sys.modules if name.startswith(_OF_THE_COPY) and name != __name__]:
        del sys.modules[name]
    sys.path[:] = [str(checkout), *(one for one in sys.path if not (Path(one) / "fleet_health").exists())]
    import pytest  # noqa: PLC0415 - the stem has imported it; mypy --strict looks through importlib no further

    here = [f"--basetemp={checkout.with_name('t')}", *(test for test in tests if (checkout / test).exists())]
    return int(pytest.main([*_OPTIONS, *here], plugins=[plugin]))


class _Collector:
    """A plugin of pytest: instead of running what was collected it serves the stem."""

    def __init__(self, requests: Connection, checkout: Path) -> None:
        self._requests = requests
        self._checkout = checkout
        self._items: Sequence[pytest.Item] = ()
        self._called = set[CodeType]()
        """The functions that were called while their file was imported: to exchange them now would be too late."""
        sys.setprofile(self._note_call)

    def _note_call(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_flags & _CO_OPTIMIZED:
            self._called.add(frame.f_code)

    def _called_at_import(self) -> set[tuple[str, int]]:
        of_the_copy = f"{self._checkout / 'fleet_health'}/"
        return {
            (Path(code.co_filename).relative_to(self._checkout).as_posix(), code.co_firstlineno)
            for code in self._called
            if code.co_filename.startswith(of_the_copy)
        }

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Respond to each request of the stem until it closes."""
        sys.setprofile(None)
        self._items = session.items
        gc.collect()
        with contextlib.suppress(EOFError):
            while True:
                request = self._requests.recv()
                if isinstance(request, Trial):
                    self._requests.send(self._try_out(request))
                elif request is None:
                    self._requests.send(([item.nodeid for item in self._items], self._called_at_import()))
                else:
                    self._requests.send(self._measure(request))
        return True

    def _measure(self, numbers: Sequence[int]) -> list[Test] | Exception:
        """Run tests, and return what they take and reach."""
        ours_end, theirs_end = Pipe()
        child = _Forked(self._checkout, lambda: _measure(theirs_end, self._checkout, self._items, numbers))
        theirs_end.close()
        try:
            measured: list[Test] | Exception = ours_end.recv()
        except EOFError:
            measured = UnusableTestsError(f"the tests cannot be measured:\n{child.output()}")
        child.wait()
        return measured

    def _try_out(self, trial: Trial) -> Verdict | None:
        """Try the tests on a mutant; return None if the fault is not inside a function."""
        exchanged = exchanged_functions(trial.before, trial.after, str(self._checkout / trial.file))
        functions = exchanged and _live(exchanged)
        if not functions or any(function.__code__ in self._called for function, _ in functions):
            return None

        def become(begins: int) -> int:
            for function, code in functions:
                function.__code__ = code
            return int(not _pass(self._items, trial, begins))

        return _verdict(self._checkout, trial, become)


class _Chosen:
    """A plugin of pytest: instead of all that was collected it runs the tests of a trial."""

    def __init__(self, trial: Trial, begins: int) -> None:
        self._trial = trial
        self._begins = begins

    def pytest_collection(self) -> None:
        """Limit what the import of an altered file may take."""
        Limit(60, 1_200).begin()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them."""
        session.testsfailed += not _pass(session.items, self._trial, self._begins)
        return True


def _pass(items: Sequence[pytest.Item], trial: Trial, begins: int) -> bool:
    """Return whether the tests of a trial pass; one that is not there does not."""
    by_name = {item.nodeid: item for item in items}
    chosen = [by_name.get(name) for name, _ in trial.tests]
    for number, (item, following) in enumerate(pairwise([*chosen, None])):
        os.write(begins, f"{number} ".encode())
        trial.tests[number][1].begin()
        if item is None or not _passes(item, following):
            return False
    return True


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    from _pytest.runner import runtestprotocol  # noqa: PLC0415 - as above

    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _measure(results: Connection, checkout: Path, items: Sequence[pytest.Item], numbers: Sequence[int]) -> int:
    import coverage  # noqa: PLC0415 - as above

    has_started = False

    def watch(event: str, _: object) -> None:
        nonlocal has_started
        has_started = has_started or event in {"subprocess.Popen", "os.fork", "os.posix_spawn"}

    sys.addaudithook(watch)
    measuring = coverage.Coverage(data_file=None, source=[str(checkout / "fleet_health")], config_file=False)
    taken: dict[int, tuple[float, float, bool]] = {}
    measuring.start()
    for place, number in enumerate(numbers):
        item = items[number]
        measuring.switch_context(str(number))
        has_started = False
        began_cpu, began = time.process_time(), time.monotonic()
        if not _passes(item, items[numbers[place + 1]] if place + 1 < len(numbers) else None):
            results.send(UnusableTestsError(f"{item.nodeid}: fails without any fault"))
            return 1
        taken[number] = time.process_time() - began_cpu, time.monotonic() - began, has_started
    measuring.stop()
    lines: dict[int, dict[str, set[int]]] = {number: {} for number in numbers}
    data = measuring.get_data()
    for file in data.measured_files():
        name = Path(file).relative_to(checkout).as_posix()
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in filter(None, contexts):
                lines[int(context)].setdefault(name, set()).add(line)
    results.send(
        [
            Test(items[number].nodeid, cpu_s, wall_s, lines[number], starts)
            for number, (cpu_s, wall_s, starts) in taken.items()
        ]
    )
    return 0


def exchanged_functions(before: bytes, after: bytes, file: str) -> Mapping[tuple[str, int], CodeType] | None:
    """Return the code of each function that differs, by its qualified name and first line in `before`.

    None if anything outside of functions differs, or if the file cannot be compiled any more.
    """
    exchanged: dict[tuple[str, int], CodeType] = {}

    def compare(old: CodeType, new: CodeType) -> bool:
        if _own(old) != _own(new):
            return False
        for old_one, new_one in zip(_within(old), _within(new), strict=True):
            if _whole(old_one) == _whole(new_one):
                continue
            if not old_one.co_flags & _CO_OPTIMIZED:  # a class
                if not compare(old_one, new_one):
                    return False
            elif old_one.co_name in _AT_ONCE or old_one.co_freevars != new_one.co_freevars:
                return False
            else:
                exchanged[old_one.co_qualname, old_one.co_firstlineno] = new_one
        return True

    try:
        is_inside = compare(compile(before, file, "exec"), compile(after, file, "exec"))
    except SyntaxError:
        return None
    return exchanged if is_inside and exchanged else None


def _within(code: CodeType) -> list[CodeType]:
    return [one for one in code.co_consts if isinstance(one, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    """Return what a piece of code does, without what is defined in it, and wherever its lines are."""
    constants = [type(one).__name__ if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def _whole(code: CodeType) -> tuple[object, ...]:
    return *_own(code), *(_whole(one) for one in _within(code))


def _live(exchanged: Mapping[tuple[str, int], CodeType]) -> list[tuple[FunctionType, CodeType]] | None:
    """Return the functions of this process with these names and places, and their new code; None if one is missing."""
    files = {code.co_filename for code in exchanged.values()}
    found = []
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in files:
            code = exchanged.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code:
                found.append((one, code))
    return (
        found
        if {(one.__code__.co_qualname, one.__code__.co_firstlineno) for one, _ in found} == set(exchanged)
        else None
    )
