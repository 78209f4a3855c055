"""Absence counts from when uploading was possible, and no source's silence outweighs what the other one shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from fleet_health.alerting.mute_windows import MuteWindow
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import evaluate, evict, lookback_of
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import UnitState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE_US = 60 * SECOND_US
AFTER_US = 30 * MINUTE_US
ROWS = [("a", 3 * HOUR_US + MINUTE_US), ("b", 3 * HOUR_US + 2 * MINUTE_US), ("c", 3 * HOUR_US + 5 * MINUTE_US)]
NIGHT = MuteWindow(frozenset(range(7)), time(16), time(18, 50), ZoneInfo("UTC"))
"""It is 18:55 in these tests."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the defaults."""
    path = tmp_path / "config.toml"
    path.touch()
    return load(path)


@pytest.fixture
def expecting(tmp_path: Path) -> Settings:
    """Return the defaults, with hosts that are expected."""
    path = tmp_path / "expecting.toml"
    path.write_text('hosts.expected = ["a", "new"]')
    return load(path)


def found(fleet: Fleet, settings: Settings, now: Instant) -> list[tuple[str, str]]:
    """Return what all detectors find."""
    evaluation = evaluate(fleet, settings.detectors(), now)
    assert evaluation.failures == ()
    return [(finding.host, finding.symptom) for finding in evaluation.findings]


def states(fleet: Fleet, now: Instant, *events: tuple[int, bool]) -> None:
    """Let systemd say how long ago the receiver's unit started or stopped."""
    fleet.traffic.record([UnitState(now - ago, runs) for ago, runs in events])


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([(3 * HOUR_US, False), (SECOND_US, True)], id="stopped for hours, and started"),
        pytest.param([(9 * HOUR_US, True), (SECOND_US, True)], id="a power cut: no word of a stop"),
        pytest.param([(SECOND_US, True)], id="a start, and nothing known before it"),
        pytest.param([(3 * HOUR_US, False), (AFTER_US, True)], id="exactly as long ago as a host may be silent"),
        pytest.param(
            [(3 * HOUR_US, False), (50 * MINUTE_US, True), (40 * MINUTE_US, False), (MINUTE_US, True)],
            id="stopped several times",
        ),
    ],
)
def test_nobody_is_blamed_just_after_the_receiver_started(
    events: list[tuple[int, bool]], settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The full limit counts from the start; without systemd's messages the same rows are findings."""
    fleet = fleet_of(uploads=ROWS)
    states(fleet, now, *events)

    assert found(fleet_of(uploads=ROWS), settings, now)[0] == ("*", "receiver-down")
    assert found(fleet, settings, now) == []


def test_who_stays_away_is_found_in_time(settings: Settings, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """One microsecond after its limit from the start on; it is neither lost nor forgotten because of the outage."""
    outage = 62 * HOUR_US
    fleet = fleet_of(uploads=[("a", outage + AFTER_US + MINUTE_US), ("b", 0)])
    states(fleet, now, (outage + AFTER_US, False), (AFTER_US, True))
    gone = [evict(fleet, lookback_of(settings.detectors()), at) for at in (now, now + 1)]

    assert gone == [{}, {}]
    assert ("a", "silent") not in found(fleet, settings, now)
    assert ("a", "silent") in found(fleet, settings, now + 1)


def test_who_was_away_before_the_receiver_stopped_stays_found(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A restart of the receiver is not a sign of a host."""
    fleet = fleet_of(uploads=[("a", 4 * HOUR_US), ("b", 3 * HOUR_US)])
    states(fleet, now, (3 * HOUR_US, False), (SECOND_US, True))

    assert found(fleet, settings, now) == [("a", "silent")]


def test_a_receiver_that_restarts_often_hides_no_dead_host(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Each restart restarts the limit, but at least half of all time counts."""
    fleet = fleet_of(uploads=[("a", 70 * MINUTE_US), ("b", 0)])
    for ago in range(60, 0, -10):
        states(fleet, now, (ago * MINUTE_US + SECOND_US, False), (ago * MINUTE_US, True))

    assert found(fleet, settings, now) == [("a", "silent")]


def test_a_stop_that_an_upload_or_a_gap_speaks_against_is_no_pause(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The receiver was started in another way, or its start may be missing, so absence counts as usual."""
    contradicted = fleet_of(uploads=[("a", 2 * HOUR_US), ("b", MINUTE_US)])
    unsure = fleet_of(uploads=[("a", 2 * HOUR_US)])
    unsure.coverage = (Coverage("journal", gaps=(Gap(now - HOUR_US, now - HOUR_US + 1, "lost"),)),)
    for fleet in (contradicted, unsure):
        states(fleet, now, (119 * MINUTE_US, False))

    assert [found(fleet, settings, now) for fleet in (contradicted, unsure)] == [[("a", "silent")]] * 2


@pytest.mark.parametrize(
    ("window", "silent"),
    [
        pytest.param(NIGHT, [], id="a window that ended five minutes ago"),
        pytest.param(replace(NIGHT, ends=time(20)), [], id="a window that lasts"),
        pytest.param(replace(NIGHT, begins=time(15, 30), ends=time(18)), ["a", "b"], id="one that ended long ago"),
        pytest.param(replace(NIGHT, hosts=HostGlobs(("b",))), ["a"], id="one of some hosts"),
        pytest.param(replace(NIGHT, begins=time(0), ends=time(0)), ["a", "b"], id="one that never ends"),
    ],
)
def test_a_mute_window_gives_its_hosts_the_whole_time_anew(
    window: MuteWindow, silent: list[str], settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Hosts may be off in it. A window without an end only mutes its hosts, because it would hide them for ever."""
    fleet = fleet_of(uploads=ROWS[:2])
    fleet.mute_windows = [window]

    assert found(fleet, settings, now) == [(host, "silent") for host in silent]


def test_after_a_weekend_nobody_is_lost(settings: Settings, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """A mute window does not count for the lookback; 2026-11-23 is a Monday."""
    weekend = [replace(NIGHT, days=frozenset({4, 5, 6}), begins=time(0), ends=time(0))]
    weekend += [replace(NIGHT, days=frozenset({0}), begins=time(0), ends=time(18))]
    fleet = fleet_of(uploads=[("a", 91 * HOUR_US), ("b", 0)])
    fleet.mute_windows = weekend

    assert evict(fleet, lookback_of(settings.detectors()), now) == {}
    assert ("a", "silent") in found(fleet, settings, now)


def test_never_seen_waits_for_what_could_not_be(
    expecting: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """After an outage as long as the lookback, an expected host is given its grace."""
    fleet = fleet_of(uploads=[("a", 0)])
    states(fleet, now, (30 * HOUR_US, False), (HOUR_US, True))

    assert found(fleet, expecting, now) == []
    assert found(fleet, expecting, now + 1) == [("new", "never-seen")]


@pytest.mark.parametrize(
    ("period_s", "count", "upload_s_ago", "is_found"),
    [
        pytest.param(15, 5, 90, True, id="five starts, 15 s apart"),
        pytest.param(15, 4, 90, False, id="four"),
        pytest.param(15, 100, 2000, True, id="for long"),
        pytest.param(360, 5, 2000, True, id="the first at the window's begin or later"),
        pytest.param(460, 5, 2400, False, id="not so often"),
        pytest.param(15, 5, 62, True, id="an upload before the first of them"),
        pytest.param(15, 5, 59, False, id="an upload after it"),
    ],
)
def test_a_unit_that_starts_again_and_again_is_down(  # noqa: PLR0917
    period_s: int,
    count: int,
    upload_s_ago: int,
    is_found: bool,  # noqa: FBT001
    settings: Settings,
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """It runs at each evaluation, but no host uploads; two silent hosts are its consequence."""
    fleet = fleet_of(uploads=[("a", upload_s_ago * SECOND_US), ("b", 45 * MINUTE_US)])
    for number in reversed(range(count)):
        start = number * period_s * SECOND_US
        states(fleet, now, (start + SECOND_US, False), (start, True))

    assert (("*", "receiver-down") in found(fleet, settings, now)) == is_found


def test_what_keeps_failing_is_not_over_with_another_start(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """It is over with a start that lasts, or with an upload."""
    (detector,) = (one for one in settings.detectors() if one.symptom == "receiver-down")
    failing, mended = fleet_of(uploads=[("a", HOUR_US)]), fleet_of(uploads=[("a", MINUTE_US)])
    for fleet in (failing, mended):
        states(fleet, now, (20 * MINUTE_US, True), (10 * MINUTE_US, True), (5 * MINUTE_US, True))

    assert [detector.is_over(fleet, "*", now) for fleet in (failing, mended)] == [False, True]


@pytest.mark.parametrize("rows_at", [2 * HOUR_US, 23 * HOUR_US])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_accepted_uploads_refute_every_absence(
    rows_at: int, count: int, expecting: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """While the journal shows uploads, missing or old rows are a fault of the index only, from one host on."""
    hosts = [f"pi-{number}" for number in range(count)]
    answers = [(host, minutes * MINUTE_US, 201) for host in (*hosts, "new", "a") for minutes in (3, 9, 15, 21)]
    fleet = fleet_of(uploads=[(host, rows_at) for host in hosts], responses=answers)
    stopped = fleet_of(uploads=[(host, rows_at) for host in hosts])

    assert found(fleet, expecting, now) == [("*", "index-stalled")]
    assert set(found(stopped, expecting, now)) >= {(host, "silent") for host in hosts}


def test_who_uploads_is_not_forgotten_for_want_of_rows(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """No host is lost, even if the disk is full for longer than the lookback."""
    fleet = fleet_of(uploads=[("a", 30 * HOUR_US), ("b", 30 * HOUR_US)], responses=[("a", MINUTE_US, 201)])

    assert evict(fleet, lookback_of(settings.detectors()), now).keys() == {"b"}


def test_rows_that_are_dated_long_ago_are_named(
    settings: Settings, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The alert points to the receiver's clock, not to its disk."""
    fleet = fleet_of(uploads=[("a", 2 * HOUR_US)], responses=[("a", 3 * MINUTE_US, 201)] * 3)
    fleet.coverage = (Coverage("index", late_us=2 * HOUR_US), Coverage("journal"))
    details = {one.symptom: one.detail for one in evaluate(fleet, settings.detectors(), now).findings}

    assert details["index-stalled"].endswith(
        "; rows do come, but are dated 2 h before they were written:"
        " look at the clock and the time zone of the receiver"
    )


def test_a_detail_says_what_counts(settings: Settings, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """It states how long ago the last upload was, how much of that counts, and since when."""
    fleet = fleet_of(uploads=[("a", 3 * HOUR_US + MINUTE_US), ("b", 0)])
    states(fleet, now, (3 * HOUR_US, False), (31 * MINUTE_US, True))
    (finding,) = (one for one in evaluate(fleet, settings.detectors(), now).findings if one.symptom == "silent")

    assert finding.detail == (
        "no accepted upload since 2026-11-23T15:54:00+00:00, 3 h 1 min ago, of which 31 min count:"
        " the receiver started at 2026-11-23T18:24:00+00:00 (the limit is 30 min)"
    )
