"""When an incident flaps, and when it no longer does."""

from __future__ import annotations

import pytest

from fleet_health.alerting.flapping import Flap, Flapping
from fleet_health.alerting.lifecycle import Action, Reason, State
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, SECOND_US

NOW = 1_795_435_200_000_000
DAY_US = 24 * HOUR_US
PAIR = ("pi-1", "silent")
LIMIT = 3


def flaps_after(*ages: int) -> bool:
    """Return whether an incident flaps that opened at some times before now."""
    flapping = Flapping()
    for age in ages:
        flapping.open(PAIR, NOW - age, LIMIT)
    return PAIR in flapping.flaps


@pytest.mark.parametrize(
    ("ages", "does_flap"),
    [
        pytest.param((3, 2, 1), False, id="as often as the limit is no flapping"),
        pytest.param((3, 2, 1, 0), True, id="once more is"),
        pytest.param((DAY_US - 1, 2, 1, 0), True, id="the first was a microsecond less than a day ago"),
        pytest.param((DAY_US, 2, 1, 0), False, id="what was exactly a day ago no longer counts"),
        pytest.param((-DAY_US + 3, 2, 1, 0), True, id="a clock that was set back counts alike"),
        pytest.param((-DAY_US + 2, 2, 1, 0), False, id="and forgets alike"),
    ],
)
def test_it_takes_more_openings_than_the_limit_within_a_day(ages: tuple[int, ...], *, does_flap: bool) -> None:
    """Only openings within less than a day count."""
    assert flaps_after(*ages) == does_flap


@pytest.mark.parametrize(
    ("still_us", "does_flap"),
    [(HOUR_US - 1, True), (HOUR_US, False), (-HOUR_US + 1, True), (-HOUR_US, False)],
)
def test_it_settles_when_it_has_held_still_for_long_enough(still_us: int, *, does_flap: bool) -> None:
    """Being stable for exactly the required time is enough; the host is kept until that is notified."""
    flapping = Flapping({PAIR: [NOW]}, {PAIR: Flap(NOW, is_notified=True, notified_at=NOW - SECOND_US)})

    flapping.settle(NOW + still_us, HOUR_US, 10)

    assert (PAIR in flapping.flaps) == does_flap
    assert flapping.settled == ({} if does_flap else {"pi-1": (NOW - SECOND_US, NOW)})


@pytest.mark.parametrize(("age", "is_kept"), [(DAY_US - 1, True), (DAY_US, False)])
def test_openings_are_kept_for_a_day(age: int, *, is_kept: bool) -> None:
    """The latest opening of an incident decides whether its openings are kept."""
    flapping = Flapping({PAIR: [NOW - 2 * DAY_US, NOW - age]})

    flapping.settle(NOW, HOUR_US, 10)

    assert (PAIR in flapping.openings) == is_kept


def test_beyond_the_limit_the_least_often_opened_is_forgotten() -> None:
    """Up to the limit all incidents are kept, flapping or not."""
    often, once = ("often", "silent"), ("once", "silent")
    flapping = Flapping({once: [NOW], often: [NOW - 2, NOW - 1]}, {once: Flap(NOW), often: Flap(NOW)})

    flapping.settle(NOW, HOUR_US, 2)
    assert (set(flapping.openings), set(flapping.flaps)) == ({often, once}, {often, once})

    flapping.settle(NOW, HOUR_US, 1)
    assert (set(flapping.openings), set(flapping.flaps)) == ({often}, {often})


def test_of_those_opened_as_often_the_latest_are_kept() -> None:
    """Among equally frequent ones, those with the latest last opening are kept."""
    earlier, later = ("earlier", "silent"), ("later", "silent")
    flapping = Flapping({earlier: [NOW - 3, NOW - 2], later: [NOW - 4, NOW - 1]}, {})

    flapping.settle(NOW, HOUR_US, 1)

    assert set(flapping.openings) == {later}


def test_a_copy_does_not_change_with_its_original() -> None:
    """A copy is independent of its original."""
    flapping = Flapping({PAIR: [NOW]}, {PAIR: Flap(NOW)}, {"gone": (NOW, NOW)})
    copied = flapping.copy()
    flapping.open(PAIR, NOW + 1, LIMIT)
    flapping.note_notified("pi-1", [PAIR], NOW + 1)
    flapping.settled.clear()

    assert copied.openings == {PAIR: [NOW]}
    assert copied.flaps == {PAIR: Flap(NOW)}
    assert copied.settled == {"gone": (NOW, NOW)}


def test_what_a_clock_that_was_ahead_has_dated_is_dated_anew() -> None:
    """Later instants are moved; earlier and unknown ones are unchanged."""
    ahead, early = NOW + DAY_US, NOW - DAY_US
    other = ("pi-2", "silent")
    flapping = Flapping(
        {PAIR: [early, ahead]},
        {PAIR: Flap(ahead, is_notified=True, notified_at=ahead, since=ahead), other: Flap(early)},
        {"gone": (early, ahead)},
    )

    flapping.redate(NOW)

    assert flapping.openings == {PAIR: [early, NOW]}
    assert flapping.flaps == {PAIR: Flap(NOW, is_notified=True, notified_at=NOW, since=NOW), other: Flap(early)}
    assert flapping.settled == {"gone": (early, NOW)}


def test_what_is_dated_early_enough_stays_as_it_is() -> None:
    """Instants before the limit are unchanged."""
    flap = Flap(NOW - 1, is_notified=True, notified_at=NOW - 2, since=NOW - 3)
    flapping = Flapping({PAIR: [NOW - 3]}, {PAIR: flap})

    flapping.redate(NOW)

    assert flapping.flaps == {PAIR: Flap(NOW - 1, is_notified=True, notified_at=NOW - 2, since=NOW - 3)}


@pytest.mark.parametrize(
    ("notified_at", "ended_at", "decision"),
    [
        pytest.param(NOW, None, (State.FLAPPING, Action.NOTIFY, Reason.FLAPPING), id="notified at this evaluation"),
        pytest.param(NOW - 1, None, (State.FLAPPING, Action.NONE, Reason.FLAPPING), id="notified before"),
        pytest.param(NOW, NOW, (State.RESOLVED, Action.NONE, Reason.RESOLVED_LATER), id="over, and that is suppressed"),
    ],
)
def test_each_host_that_was_notified_as_flapping_has_a_decision(
    notified_at: int, ended_at: int | None, decision: tuple[State, Action, Reason]
) -> None:
    """A flapping host has a decision until its end is notified."""
    flaps = {PAIR: Flap(NOW, is_notified=True, notified_at=notified_at)}
    flapping = Flapping(flaps=flaps) if ended_at is None else Flapping(settled={"pi-1": (notified_at, ended_at)})

    (found,) = flapping.decisions(NOW)

    assert (found.state, found.action, found.reason) == decision
    assert (found.incident.host, found.incident.symptom) == ("pi-1", "flapping")


def test_what_an_earlier_process_notified_and_could_not_save_is_notified() -> None:
    """Flapping counts as notified since the alert of the earlier process, for that host only."""
    other = ("pi-1", "fatal-only")
    flaps = {PAIR: Flap(NOW), other: Flap(NOW, is_notified=True, notified_at=NOW - 2, since=NOW - 5)}
    flapping = Flapping(flaps=flaps | {("pi-2", "silent"): Flap(NOW)})
    flapping.notified_hosts["pi-1"] = NOW - 1
    found = flapping.unnotified([Finding(host, "silent", "", "") for host in ("pi-1", "pi-2")])

    assert [one.host for one in found] == ["pi-2"]
    assert flapping.flaps[PAIR] == Flap(NOW, is_notified=True, notified_at=NOW - 1, since=NOW - 5)
