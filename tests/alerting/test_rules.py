"""The instant from which rows are needed, which pauses move further back."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

from fleet_health.alerting.mute_windows import MuteWindow
from fleet_health.alerting.rules import Rules
from fleet_health.config.loading import load
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import UnitState
from fleet_health.model.row_dates import LATE_LIMIT_US, late_us

NOON = 1_795_435_200_000_000
RULES = load(None).rules()


def test_without_a_pause_it_is_the_lookback() -> None:
    """A start without a known stop does not extend the lookback."""
    at = NOON - 24 * HOUR_US

    assert RULES.reading_begins_at([], NOON) == at
    assert RULES.reading_begins_at([UnitState(NOON - HOUR_US, is_running=True)], NOON) == at


def test_a_stop_that_is_over_leads_as_much_further_back() -> None:
    """A stop, over or not, extends the lookback by its length."""
    stop, start = (UnitState(NOON - hours * HOUR_US, is_running=hours == 2) for hours in (5, 2))

    assert RULES.reading_begins_at([stop, start], NOON) == NOON - 27 * HOUR_US
    assert RULES.reading_begins_at([stop], NOON) == NOON - 29 * HOUR_US


def test_a_mute_window_leads_further_back_and_one_that_never_ends_does_not() -> None:
    """A daily hour extends the lookback; a window without an end does not."""
    every_day, utc = frozenset(range(7)), ZoneInfo("UTC")
    an_hour = MuteWindow(every_day, time(3), time(4), utc, None)
    always = MuteWindow(every_day, time(0), time(0), utc, None)

    assert Rules(RULES.detectors, mute_windows=(an_hour,)).reading_begins_at([], NOON) == NOON - 25 * HOUR_US
    assert Rules(RULES.detectors, mute_windows=(always,)).reading_begins_at([], NOON) == NOON - 24 * HOUR_US


def test_a_row_is_late_from_the_limit_on() -> None:
    """A row is late exactly from the limit on, if its write is known."""
    assert late_us(NOON - LATE_LIMIT_US, NOON) == 0
    assert late_us(NOON - LATE_LIMIT_US - 1, NOON) == LATE_LIMIT_US + 1
    assert late_us(None, NOON) == late_us(NOON, None) == 0


def test_a_fleet_knows_when_its_hosts_are_not_missed() -> None:
    """The fleet gets the mute windows, and how long hosts are watched."""
    window = MuteWindow(frozenset(range(7)), time(3), time(4), ZoneInfo("UTC"), None)
    fleet = Fleet()
    fleet.watched_us = None

    Rules(RULES.detectors, mute_windows=(window,)).apply_to(fleet)

    assert fleet.mute_windows == (window,)
    assert fleet.watched_us is not None
