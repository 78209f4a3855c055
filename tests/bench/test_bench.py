"""Each benchmark runs once, small, so that none of them rots. How fast anything is, no test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.journal import find_writer
from tests.bench import report
from tests.bench.measuring import Missing, Row, Samples, Section, alternate, at_least, at_most
from tests.bench.run import BENCHMARKS, TITLES
from tests.bench.scale import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import DoWithout

MACHINE = {"Date": "today"}


def section(title: str, figure: str) -> Section:
    """Make what a benchmark might give."""
    return Section(title, "As one does.", (Row("speed", figure),))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_takes_all_its_figures(name: str, tmp_path: Path, do_without: DoWithout) -> None:
    """Everything measured did the same work, each row has its figure, and the page holds all of them."""
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")
    data, scratch = tmp_path / "data", tmp_path / "scratch"
    data.mkdir()
    scratch.mkdir()

    taken = BENCHMARKS[name](SMALL, data, scratch)

    page = report.page("", {taken.title: report.chapter(taken, MACHINE)}, TITLES, "")
    assert taken.title in TITLES
    assert [row.what for row in taken.rows if not (row.figure and row.what in page)] == []
    assert any(row.target for row in taken.rows)


@pytest.mark.parametrize("warm_up", [True, False])
def test_figures_and_yardsticks_take_turns(*, warm_up: bool) -> None:
    """One round after the other, after one that does not count if all are to find the files in the page cache."""
    calls: list[str] = []

    def measure(name: str, figure: float) -> float:
        calls.append(name)
        return figure

    measures = {"ours": lambda: measure("ours", 6.0), "theirs": lambda: measure("theirs", 2.0)}
    taken = alternate(2, measures, warm_up=warm_up)

    assert calls == ["ours", "theirs"] * (2 + warm_up)
    assert taken == {"ours": Samples((6.0, 6.0)), "theirs": Samples((2.0, 2.0))}


def test_a_yardstick_that_is_missing_says_so_in_its_row() -> None:
    """The figure stands without a ratio, and nothing is said of the target."""

    def measure_missing() -> float:
        raise Missing("mtail is not installed")

    taken = alternate(3, {"ours": lambda: 6.0, "mtail": measure_missing})
    row = at_least("rows", taken["ours"], "mtail", taken["mtail"], unit="rows/s", factor=5)

    assert row == Row("rows", "6 rows/s", "mtail", "mtail is not installed", None, "at least 5 x", None)


@pytest.mark.parametrize(
    ("evaluate", "theirs", "is_reached"),
    [
        pytest.param(at_least, 2.0, True, id="more is better, and it is three times as much"),
        pytest.param(at_least, 2.1, False, id="more is better, and it is less than three times as much"),
        pytest.param(at_most, 2.0, True, id="less is better, and it is three times as much"),
        pytest.param(at_most, 1.9, False, id="less is better, and it is more than three times as much"),
    ],
)
def test_a_target_is_reached_by_the_ratio(evaluate: type, theirs: float, is_reached: bool) -> None:  # noqa: FBT001
    """Exactly the factor is enough."""
    row = evaluate("speed", Samples((6.0,)), "theirs", Samples((theirs,)), unit="x/s", factor=3)

    assert row.is_reached is is_reached


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """A round in which the machine was busy disturbs both, and so nothing."""
    assert Samples((10.0, 1.0, 12.0)).ratio_to(Samples((5.0, 0.5, 4.0))) == 2.0


def test_a_chapter_taken_again_leaves_the_others_as_they_are() -> None:
    """The chapters keep their order, and the notes are those of the file."""
    first, second = TITLES[:2]
    old = {title: report.chapter(section(title, "1 entry/s"), MACHINE) for title in (first, second)}
    new = {second: report.chapter(section(second, "2 entries/s"), MACHINE)}

    before = report.page("", old, TITLES, "## Notes\n\nOld.\n")
    after = report.page(before, new, TITLES, "## Notes\n\nNew.\n")

    assert after == report.page("", old | new, TITLES, "## Notes\n\nNew.\n")
    assert after.count("1 entry/s") == after.count("2 entries/s") == after.count("## Notes") == 1
