"""Which limits would have suited the hosts of the past better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.values import upload_schedule
from fleet_health.detectors.silent import SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Upload
from fleet_health.replay.suggestions import Backtest, backtest, suggestions
from fleet_health.replay.timeline import Episode

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE_US, DAY_US = HOUR_US // 60, 24 * HOUR_US
NOON = 1_795_435_200_000_000
LIMITS = SilentLimits(30 * MINUTE_US, DAY_US, SuggestedFix(""))


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        pytest.param(range(0, 20 * DAY_US, 5 * MINUTE_US), [], id="a steady host needs none"),
        pytest.param(range(0, 20 * DAY_US, HOUR_US), [("after", "2h")], id="a host of every hour needs a longer one"),
        pytest.param(range(0, 20 * DAY_US, 8 * HOUR_US), [("after", "13h")], id="a long one is in whole hours"),
        pytest.param(
            range(0, 20 * DAY_US, DAY_US),
            [("expected", "daily 12:00 +- 30m")],
            id="a host of every noon has a schedule",
        ),
        pytest.param(
            range(0, 20 * DAY_US, 23 * HOUR_US), [("cadence", "learned")], id="none is longer than the lookback"
        ),
        pytest.param(
            [day + age for day in range(0, 20 * DAY_US, DAY_US) for age in range(0, 8 * HOUR_US, 5 * MINUTE_US)],
            [("cadence", "learned")],
            id="a long one would hide the faults of the day",
        ),
        pytest.param([0, 5 * HOUR_US], [("after", "8h")], id="of a new host whatever is known"),
        pytest.param(
            [*range(0, 10 * DAY_US, 5 * MINUTE_US), *range(10 * DAY_US + 9 * HOUR_US, 20 * DAY_US, 5 * MINUTE_US)],
            [],
            id="one fault is no rhythm",
        ),
    ],
)
def test_a_host_whose_limit_does_not_fit_gets_another_one(ages: Iterable[int], expected: list[tuple[str, str]]) -> None:
    """By its usual intervals."""
    cadence = Cadence(10)
    cadence.record(Upload("pi-1", NOON - age) for age in ages)

    found = suggestions(cadence, ["pi-1", "unknown"], lambda _: LIMITS)

    assert [(one.key.removeprefix("detectors.silent."), one.value) for one in found] == expected


@pytest.mark.parametrize(
    "limits",
    [
        SilentLimits(30 * MINUTE_US, DAY_US, SuggestedFix(""), is_learned=True, after_max_us=DAY_US),
        SilentLimits(30 * MINUTE_US, DAY_US, SuggestedFix(""), expected=upload_schedule("hourly :00 +- 5m")),
        SilentLimits(3 * HOUR_US, DAY_US, SuggestedFix("")),
    ],
)
def test_a_limit_that_fits_is_left_alone(limits: SilentLimits) -> None:
    """One that is learned, a schedule, and one that is long enough."""
    cadence = Cadence(10)
    cadence.record(Upload("pi-1", NOON - age) for age in range(0, 20 * DAY_US, HOUR_US))

    assert suggestions(cadence, ["pi-1"], lambda _: limits) == []


def test_a_backtest_counts_what_was_notified_and_what_would_come_later() -> None:
    """Of this host and of its silence alone."""

    def silence(host: str, begin: int, end: int | None, alerts: int = 1, symptom: str = "silent") -> Episode:
        return Episode(host, symptom, begin, end, alerts, "")

    before = [
        silence("a", 0, 10),
        silence("a", 20, 90),
        silence("a", 100, None),
        silence("a", 95, 96, alerts=0),
        silence("a", 5, 6, symptom="fatal-only"),
        silence("b", 0, 10),
    ]
    after = [silence("a", 60, 90), silence("a", 105, None), silence("a", 98, 99), silence("b", 0, 10)]

    assert backtest("a", before, after) == Backtest(3, 3, (40, 5))
