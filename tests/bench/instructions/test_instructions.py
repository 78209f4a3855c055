"""The inner loops take no more instructions than when they were last looked at."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.instructions.run import count, recorded, regressions, table
from tests.bench.instructions.workloads import WORKLOADS

if TYPE_CHECKING:
    from tests.conftest import DoWithout


def test_no_inner_loop_takes_more_instructions(do_without: DoWithout) -> None:
    """Each takes at most a tenth more than is recorded for this interpreter; what is not recorded is only printed."""
    if shutil.which("valgrind") is None:
        do_without("valgrind is not installed")

    counts = count()

    sys.stdout.write(table(counts, recorded()))
    assert counts.keys() == WORKLOADS.keys()
    assert regressions(counts, recorded()) == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({"work": 1_100}, [], id="a tenth more"),
        pytest.param(
            {"work": 1_101}, ["work: 1,101 instructions, 1.10 x the recorded 1,000"], id="more than a tenth more"
        ),
        pytest.param({"work": 10}, [], id="less"),
        pytest.param({"new work": 10_000}, [], id="not recorded"),
    ],
)
def test_a_regression_is_more_than_the_bound(counts: dict[str, int], expected: list[str]) -> None:
    """A number that is exactly on the bound is none."""
    assert regressions(counts, {"work": 1_000}) == expected
