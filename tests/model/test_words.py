"""Numbers in words."""

from __future__ import annotations

import pytest

from fleet_health.model.words import plural, short_duration, times


@pytest.mark.parametrize(
    ("count", "things", "often"),
    [(0, "0 hosts", "0 times"), (1, "1 host", "once"), (2, "2 hosts", "2 times"), (11, "11 hosts", "11 times")],
)
def test_one_is_singular_and_every_other_number_is_plural(count: int, things: str, often: str) -> None:
    """Zero is plural, as in English."""
    assert plural(count, "host") == things
    assert times(count) == often


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(-5, "0s", id="a negative duration is shown as none"),
        pytest.param(0, "0s", id="zero"),
        pytest.param(0.9, "0s", id="less than a second"),
        pytest.param(59.9, "59s", id="just under a minute"),
        pytest.param(60, "1m", id="a minute"),
        pytest.param(3_599, "59m", id="just under an hour"),
        pytest.param(3_600, "1h00m", id="an hour"),
        pytest.param(18_120, "5h02m", id="hours and minutes"),
        pytest.param(86_399, "23h59m", id="just under a day"),
        pytest.param(86_400, "1d", id="a day"),
        pytest.param(12.9 * 86_400, "12d", id="days are not rounded up"),
    ],
)
def test_a_duration_is_shown_in_its_largest_unit(seconds: float | None, text: str) -> None:
    """A unit begins where one of it has passed in full."""
    assert short_duration(seconds) == text
