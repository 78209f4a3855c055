"""`unknown-hosts`: many hosts that have never uploaded are refused at once, and one alert stands for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.config.loading import load
from fleet_health.detectors.spec import PRESENT
from fleet_health.detectors.unknown_hosts import UnknownHosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000


def detector(text: str = "") -> UnknownHosts:
    """Make it, with at least three hosts."""
    options = {"detectors.unknown-hosts.min_hosts": ("", 3)}
    if text:
        options[f"detectors.{text}.enabled"] = ("", False)
    (found,) = [one for one in load(None, options).detectors() if isinstance(one, UnknownHosts)]
    return found


def refused(*hosts: str, times: int = 10) -> list[tuple[str, int, int]]:
    """Refuse so many uploads of hosts."""
    return [(host, MINUTE, 412) for host in hosts for _ in range(times)]


@pytest.mark.parametrize(
    ("known", "responses", "unstamped", "pairs"),
    [
        pytest.param([], [], [], None, id="an empty fleet"),
        pytest.param([], refused("a", "b"), [], None, id="one less than it takes"),
        pytest.param(
            [],
            refused("a", "b", "c"),
            [],
            {("a", "fatal-only"), ("b", "fatal-only"), ("c", "fatal-only")},
            id="as many as it takes",
        ),
        pytest.param([], [*refused("a", "b"), *refused("c", times=9)], [], None, id="one is refused too seldom"),
        pytest.param([("c", 10 * MINUTE)], refused("a", "b", "c"), [], None, id="one has uploaded"),
        pytest.param([], [*refused("a", "b", "c"), ("c", 0, 201)], [], None, id="one was accepted"),
        pytest.param(
            [],
            refused("a", "b"),
            [("b", MINUTE)] * 10 + [("c", MINUTE)] * 10,
            {("a", "fatal-only"), ("b", "fatal-only"), ("b", "unstamped"), ("c", "unstamped")},
            id="either symptom counts, and a host once",
        ),
    ],
)
def test_it_takes_enough_hosts_that_never_uploaded(
    known: list[tuple[str, int]],
    responses: list[tuple[str, int, int]],
    unstamped: list[tuple[str, int]],
    pairs: set[tuple[str, str]] | None,
    *,
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """It inhibits the findings of exactly these hosts."""
    fleet = fleet_of(uploads=known, responses=responses, unstamped=unstamped)

    found = list(detector().find(fleet, now))

    expected = [] if pairs is None else [pairs | {("*", "too-many-hosts")}]
    assert [set(one.inhibits) for one in found] == expected


def test_what_is_switched_off_is_not_grouped(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Such a symptom causes no alerts anyway."""
    fleet = fleet_of(responses=refused("a", "b", "c"))

    assert list(detector("fatal-only").find(fleet, now)) == []
    assert len(list(detector("unstamped").find(fleet, now))) == 1


def test_the_detail_gives_the_number_ten_names_and_how_many_were_dropped(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If there are more than places, it states how many were dropped."""
    names = [f"h{number:02}" for number in range(12)]
    few = fleet_of(responses=refused(*names))
    many = fleet_of(host_limit=120, responses=[*refused("dropped"), *refused(*names)])

    (of_few,), (of_many,) = (list(detector().find(fleet, now)) for fleet in (few, many))

    named = f"12 hosts that have never uploaded, and are not expected, are refused: {', '.join(names[:8])}"
    assert of_few.detail == f"{named}, h08, h09 and 2 more"
    assert of_many.detail == (
        f"{named}, h08, h09 and 2 more; there are more than the 12 that are counted at a time:"
        " one was dropped for another once so far"
    )

    (at_the_windows_beginning,) = detector().find(many, now + 29 * MINUTE)

    assert at_the_windows_beginning.detail == of_many.detail


def test_it_is_over_in_a_window_in_which_nobody_was_dropped(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """While strangers lose their places, a small number of them proves nothing."""
    quiet, busy = fleet_of(), fleet_of(host_limit=10, responses=[("a", MINUTE, 412), ("b", MINUTE, 412)])

    assert detector().is_over(quiet, "*", now)
    assert not detector().is_over(busy, "*", now)
    assert not detector().is_over(busy, "*", now + 29 * MINUTE)  # dropped exactly at the window's beginning
    assert detector().is_over(busy, "*", now + 29 * MINUTE + 1)


def test_neither_a_fact_nor_a_change_of_limits_speaks_for_its_end(fleet_of: Callable[..., Fleet]) -> None:
    """Only the evaluation itself can show that there are too few."""
    assert detector().sign_at(fleet_of(), "*") == PRESENT
    assert detector().limits_of("*") == "3"
