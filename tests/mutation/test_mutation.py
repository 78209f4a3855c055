"""The mutation run itself: which faults it puts into code, and that it tells the noticed from the unnoticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import mutants_of
from tests.mutation.statements import Statements

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        pytest.param("a < b", {"(a <= b)", "(a >= b)"}, id="a comparison moves its boundary, and is turned round"),
        pytest.param("a <= b < c", {"(a < b < c)", "(a > b < c)", "(a <= b <= c)", "(a <= b >= c)"}, id="each of two"),
        pytest.param("x is None", {"(x is not None)"}, id="a comparison without a boundary"),
        pytest.param("a and not b", {"(a or not b)", "(b)"}, id="and, or, not"),
        pytest.param("a - b * c", {"(a + b * c)", "(b // c)"}, id="arithmetic keeps its order"),
        pytest.param("f(3)", {"4", "(2)", "pass"}, id="a constant is one off, and a call left out"),
        pytest.param("a.b = True", {"False", "pass"}, id="an assignment is left out"),
        pytest.param("a = b if c else d", {"(d if c else b)"}, id="the branches of an expression"),
        pytest.param("while a:\n  break", {"continue"}, id="loops"),
        pytest.param("n += b", {"n -= b", "pass"}, id="counting"),
        pytest.param("m = max(a, b)", {"(min(a, b))"}, id="the other extreme"),
        pytest.param("def f() -> bool:\n  return a", {"return True", "return False"}, id="the answer of a question"),
        pytest.param("def f() -> int:\n  return a", {"return None"}, id="any other return"),
    ],
)
def test_each_kind_of_fault_is_made(source: str, faults: set[str]) -> None:
    """A piece of code has these mutants, and no others."""
    assert {mutant.after for mutant in mutants_of("x.py", source.encode())} == faults


@pytest.mark.parametrize(
    "source",
    [
        pytest.param('"""Text."""\nX = "text"', id="text"),
        pytest.param('x = f"{1 + 2}"', id="text that is put together"),
        pytest.param("def f(a: int | None = None) -> int | None: ...", id="hints of types"),
        pytest.param("@dataclass(frozen=True)\nclass C(Struct, gc=False):\n  x: int", id="what kind of class it is"),
        pytest.param("self._log.info('seen', count=1)", id="what is logged"),
        pytest.param("if TYPE_CHECKING:\n  X = 1", id="what only the type checker reads"),
    ],
)
def test_what_no_test_should_have_to_notice_stays_as_it_is(source: str) -> None:
    """Such code has no mutants."""
    assert mutants_of("x.py", source.encode()) == []


def test_a_mutant_is_known_again_when_other_lines_change() -> None:
    """Its key names the file, the function and the text, and counts those that are alike; it has no line number."""
    source = "class C:\n  def f(self):\n    g(\n      a < b)\n    return a < b\n"

    def keys(source: str) -> list[str]:
        return [mutant.key for mutant in mutants_of("x.py", source.encode()) if mutant.kind == "boundary"]

    assert keys(source) == ["x.py C.f: a < b => (a <= b)", "x.py C.f: a < b => (a <= b) #2"]
    assert keys(f"\n# Ä\n{source}") == keys(source)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        pytest.param(1, {1, 2, 5, 8}, id="a constant: where it is used, and what is made of it"),
        pytest.param(2, {2, 8}, id="what is made of a constant"),
        pytest.param(5, {5}, id="a statement of a function: only itself"),
        pytest.param(4, {3, 4, 5, 8}, id="a default of a function: the function, and where it is called"),
        pytest.param(11, {10, 11, 12, 13}, id="a default of a class: all of the class"),
    ],
)
def test_a_fault_matters_where_its_statement_runs_or_what_it_defines_is_used(line: int, lines: set[int]) -> None:
    """These lines are what a test must reach to notice it."""
    source = b"""A = 1
B = [A]
@cache
def f(a=3):
    return A + a

def g():
    return f() + B

class C:
    x: int = 0
    def h(self):
        return self.x
"""

    assert {each for _, each in Statements({"x.py": source}).lines_of("x.py", line)} == lines


def test_a_fault_that_a_test_notices_dies_and_one_that_none_notices_survives(tmp_path: Path) -> None:
    """Of two boundaries only one is tested: the other is printed as a diff, and fails the run until it is excused."""
    module, tests = tmp_path / "fleet_health" / "model", tmp_path / "tests" / "model"
    for directory in (module, tests):
        directory.mkdir(parents=True)
    (module.parent / "__init__.py").touch()
    (module / "__init__.py").touch()
    (module / "limit.py").write_text("def low(a):\n    return a < 3\n\n\ndef high(a):\n    return a > 7\n")
    (tests / "test_limit.py").write_text(
        "from fleet_health.model.limit import low, high\n\n\n"
        "def test_limits():\n    assert low(2) and not low(3) and high(8) and not high(6)\n"
    )
    equivalent = tmp_path / "equivalent.txt"
    equivalent.touch()

    def run() -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, ROOT / "tests" / "mutation" / "run.py", "--boundaries", "--near"]
        command += ["--checkout", tmp_path, "--equivalent", equivalent, "fleet_health"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = run()

    assert "-    return a > 7\n+    return (a >= 7)\n" in found.stdout
    assert "a < 3" not in found.stdout
    assert (
        "model: 2 mutants, 0 equivalent, 2 tried, 1 died (0 of them by the time limit), 1 survived: 50.0%"
        in found.stdout
    )
    assert found.returncode == 1, found.stderr

    equivalent.write_text("fleet_health/model/limit.py high: a > 7 => (a >= 7)\n    No number is 7.\n")

    excused = run()

    assert (
        "model: 2 mutants, 1 equivalent, 1 tried, 1 died (0 of them by the time limit), 0 survived: 100.0%"
        in excused.stdout
    )
    assert excused.returncode == 0, excused.stderr
    assert (module / "limit.py").read_text().endswith("return a > 7\n")

    (module / "limit.py").write_text("def high(a):\n    return a > 8\n")
    (tests / "test_limit.py").write_text("from fleet_health.model.limit import high\n\n\ndef test():\n    high(8)\n")

    changed = run()

    assert "no such mutant any more: fleet_health/model/limit.py high: a > 7 => (a >= 7)\n" in changed.stdout
    assert changed.returncode == 1
