"""What patterns see of a long line: all of it up to a limit, then with shorter runs, then only both ends."""

from __future__ import annotations

import pytest

from fleet_health.parsing.long_line import CUT, GAP, LINE_LIMIT, view_of

SHORTENED = "a" * 256 + CUT + "a" * 256
RUN = "a" * 900


def words(length: int) -> str:
    """Return short words of so many characters together, with a blank before each."""
    return (" b" * length)[:length]


@pytest.mark.parametrize(
    ("line", "view"),
    [
        pytest.param("a" * LINE_LIMIT, "a" * LINE_LIMIT, id="up to the limit nothing is shortened"),
        pytest.param("a" * (LINE_LIMIT + 1), SHORTENED, id="one character more, and its run is"),
        pytest.param(f"{RUN}{words(1_535)}", f"{SHORTENED}{words(1_535)}", id="a shorter run is enough, exactly"),
        pytest.param(
            f"{'b' * 513} {'a' * 514}{words(1_021)}",
            f"{'b' * 513} {SHORTENED}{words(1_021)}",
            id="a run that would not become shorter is left as it is",
        ),
        pytest.param(
            f"{RUN} {RUN}{words(900)}", f"{SHORTENED} {SHORTENED}{words(900)}", id="every long run is shortened"
        ),
        pytest.param(
            f'{words(2_000)}"{RUN[:100]}"', f'{words(1_022)}{GAP}{words(2_000)[-921:]}"{RUN[:100]}"', id="a gap"
        ),
    ],
)
def test_what_is_seen_of_a_line(line: str, view: str) -> None:
    """It is never longer than the limit."""
    assert view_of(line) == view
    assert len(view) <= LINE_LIMIT


def test_with_one_character_too_many_the_middle_is_left_out() -> None:
    """A line that is too long even with shorter runs keeps its beginning and its end."""
    view = view_of(f"{RUN}{words(1_536)}")

    assert len(view) == LINE_LIMIT
    assert view.startswith(f"{SHORTENED} b b")
    assert view.endswith(f"{GAP}{words(1_536)[-1_023:]}")
