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
from fleet_health.model.rhythm import BIN_US
from fleet_health.replay.suggestions import WEEK_US, Backtest, Fit, backtest, compared
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
        pytest.param(
            range(0, 20 * DAY_US, HOUR_US), [("after", "2h15m")], id="a host of every hour needs a longer one"
        ),
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
        pytest.param([0, 5 * HOUR_US], [("after", "9h")], id="of a new host whatever is known"),
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

    (one,) = compared(cadence, ["pi-1", "unknown"], lambda _: LIMITS)

    found = [] if one.suggestion is None else [one.suggestion]
    assert [(one.key.removeprefix("detectors.silent."), one.value) for one in found] == expected
    assert one.fit is (Fit.LONGER if expected else Fit.FITS)


@pytest.mark.parametrize(
    ("limits", "fit"),
    [
        (SilentLimits(30 * MINUTE_US, DAY_US, SuggestedFix(""), is_learned=True, after_max_us=DAY_US), Fit.BY_RHYTHM),
        (
            SilentLimits(30 * MINUTE_US, DAY_US, SuggestedFix(""), expected=upload_schedule("hourly :00 +- 5m")),
            Fit.BY_RHYTHM,
        ),
        (SilentLimits(3 * HOUR_US, DAY_US, SuggestedFix("")), Fit.FITS),
        (SilentLimits(HOUR_US, DAY_US, SuggestedFix("")), Fit.FITS),
    ],
)
def test_a_limit_that_fits_is_left_alone(limits: SilentLimits, fit: Fit) -> None:
    """One that is learned, a schedule, one that is long enough, and one that is exactly as long as the intervals."""
    cadence = Cadence(10)
    cadence.record(Upload("pi-1", NOON - age) for age in range(0, 20 * DAY_US, HOUR_US))

    (one,) = compared(cadence, ["pi-1"], lambda _: limits)
    assert (one.fit, one.suggestion) == (fit, None)


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        pytest.param([0], (Fit.TOO_NEW, 0, 0), id="one upload shows no interval"),
        pytest.param([0, BIN_US], (Fit.TOO_NEW, BIN_US, BIN_US), id="two within half a day are too little"),
        pytest.param(
            range(0, 12 * HOUR_US, BIN_US), (Fit.TOO_NEW, 12 * HOUR_US - BIN_US, BIN_US), id="just under half a day"
        ),
        pytest.param(
            range(0, 12 * HOUR_US + 1, BIN_US), (Fit.FITS_SO_FAR, 12 * HOUR_US, BIN_US), id="exactly half a day"
        ),
        pytest.param(range(0, WEEK_US, BIN_US), (Fit.FITS_SO_FAR, WEEK_US - BIN_US, BIN_US), id="just under a week"),
        pytest.param(range(0, WEEK_US + 1, BIN_US), (Fit.FITS, WEEK_US, BIN_US), id="exactly a week"),
        pytest.param(
            [*range(0, 10 * DAY_US, BIN_US), *range(11 * DAY_US, 20 * DAY_US + 1, BIN_US)],
            (Fit.FITS, 20 * DAY_US, DAY_US + BIN_US),
            id="a fault of a day is the longest gap all the same",
        ),
    ],
)
def test_it_says_how_long_a_host_was_seen(ages: Iterable[int], expected: tuple[Fit, int, int]) -> None:
    """And its longest gap, so that nobody takes half a day without gaps for a host without nights."""
    cadence = Cadence(10)
    cadence.record(Upload("pi-1", NOON - age) for age in ages)

    (one,) = compared(cadence, ["pi-1"], lambda _: LIMITS)

    assert (one.fit, one.seen_us, one.longest_gap_us) == expected


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
