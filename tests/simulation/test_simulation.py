"""What the verdicts on a small simulated fleet are worth; `python tests/simulation/run.py` makes large ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.demo.journal import find_writer
from fleet_health.replay.timeline import Episode
from tests.simulation.causes import KINDS, Attempt, Cause, changes
from tests.simulation.rhythms import DAY, HOUR, MINUTE, SimulatedHost, Span
from tests.simulation.run import LEARNED, REMARKS, RESULTS, page, simulate
from tests.simulation.scoring import Worth, score
from tests.simulation.world import MIXED, SCENARIOS, SMALL, SMALL_MIXED, STEADY, World, make_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import DoWithout

DAYS = 7


@pytest.fixture(autouse=True)
def _writer(do_without: DoWithout) -> None:
    if find_writer() is None:
        do_without("systemd-journal-remote is not installed")


def test_hosts_that_upload_often_are_never_alerted_without_a_cause() -> None:
    """Every incident names its cause, every cause is named, within 7 ticks, and none ends while its cause lasts."""
    world, result = simulate(1, SMALL, DAYS)

    assert len(world.causes) == 5
    assert (result.precision, result.recall, result.false_ends) == (1.0, 1.0, 0)
    assert [one.cause.kind for one in result.caught if one.delay_ticks is None or one.delay_ticks > 7] == []


def test_hosts_of_every_rhythm_are_not_alerted_without_a_cause_where_limits_are_learned() -> None:
    """Of 11 hosts in a week: every incident names its cause and lasts, and every cause that leaves a trace is named."""
    world, result = simulate(3, SMALL_MIXED, DAYS, LEARNED)

    assert len(world.causes) == 7
    assert (result.precision, result.recall, result.false_ends) == (1.0, 1.0, 0)
    assert result.median_delay_ticks <= 12


def test_a_world_is_made_from_its_seed() -> None:
    """The same seed gives the same world, another one another; what goes wrong with a host never overlaps."""
    one, same, other = make_world(4, MIXED, 5), make_world(4, MIXED, 5), make_world(5, MIXED, 5)

    assert one.attempts == same.attempts != other.attempts
    for cause in one.causes:
        others = [another for another in one.causes if another is not cause and another.hosts & cause.hosts]
        assert all(
            cause.span.end <= another.span.begin or another.span.end <= cause.span.begin
            for another in others
            if "retired" not in {cause.kind, another.kind}
        )


@pytest.mark.parametrize(
    ("symptom", "host", "after_us", "worth"),
    [
        ("receiver-down", "*", HOUR, Worth.RIGHT),
        ("silent", "steady-01", HOUR, Worth.COLLATERAL),
        ("unstamped", "steady-01", HOUR, Worth.MISATTRIBUTED),
        ("silent", "steady-01", -HOUR, Worth.FALSE),
        ("silent", "steady-01", 20 * DAY, Worth.FALSE),
    ],
)
def test_an_incident_is_worth_what_the_truth_makes_of_it(symptom: str, host: str, after_us: int, worth: Worth) -> None:
    """While the receiver is stopped, that is right, a silent host follows from it, and anything else is a mistake."""
    world = make_world(1, STEADY, 30)
    (stopped,) = [cause for cause in world.causes if cause.kind == "receiver stopped"]
    world = replace(world, causes=(stopped,))
    at = stopped.span.begin + after_us

    result = score(world, [Episode(host, symptom, at, at + 10 * MINUTE, 1, "")])

    assert result.worth == {(worth, symptom, world.kind_of(host)): 1}
    assert (result.precision, result.recall) == ((1.0, 1.0) if worth is Worth.RIGHT else (0.0, 0.0))


SPAN = Span(100 * DAY, 104 * DAY)


def world_of(kind: str, *attempts: int, causes: Sequence[Cause] = ()) -> World:
    """Make a world of one host by hand."""
    host = SimulatedHost("pi-1", kind, attempts, SPAN)
    return World(SPAN, (host,), (*causes, *changes([host], SPAN)), tuple(Attempt("pi-1", at) for at in attempts))


def test_that_a_host_has_changed_is_news_once() -> None:
    """The first incident of the day after that is right, every further one false; none at all is no cause missed."""
    change = SPAN.begin + DAY
    steady, rare = range(SPAN.begin - DAY, change + 1, 5 * MINUTE), range(change + HOUR, SPAN.end, HOUR)
    world = world_of("changed", *steady, *rare)
    opened = [change - HOUR, change + 35 * MINUTE, change + 5 * HOUR, change + 3 * DAY - HOUR]

    result = score(world, [Episode("pi-1", "silent", at, at + 5 * MINUTE, 1, "") for at in opened])

    assert [worth for worth, _, _ in result.worth.elements()] == [Worth.FALSE] * 3 + [Worth.RIGHT]
    assert [one.opened_at for _, one in result.wrong] == [opened[0], *opened[2:]]
    assert (result.news, score(world, []).recall) == (1, 1.0)
    assert world_of("steady", *steady, *rare).causes == ()


@pytest.mark.parametrize(
    ("others", "false_ends"),
    [
        pytest.param([], 1, id="nothing else says so"),
        pytest.param([("degraded", 1, 9)], 0, id="another incident stands that names it"),
        pytest.param([("degraded", 1, 5)], 2, id="that one ends as well, at the same time"),
        pytest.param([("blind", 1, 9)], 1, id="another incident stands that does not"),
    ],
)
def test_a_resolution_is_false_if_nothing_else_stands(others: list[tuple[str, int, int]], false_ends: int) -> None:
    """While the cause lasts: a host that is refused is silent no more when an upload gets through."""
    begin = SPAN.begin + DAY
    kind = KINDS["half refused"]
    cause = Cause(
        *("half refused", frozenset(["pi-1"]), Span(begin, begin + 9 * HOUR), kind.right, kind.collateral),
        change=lambda _: (),
    )
    episodes = [
        Episode("pi-1", symptom, begin + opened * HOUR, begin + ended * HOUR, 1, "; it tries, and is refused: 3 x 422")
        for symptom, opened, ended in [("silent", 2, 5), *others]
    ]

    assert score(world_of("steady", begin, causes=[cause]), episodes).false_ends == false_ends


@pytest.mark.parametrize(
    ("due", "worth"),
    [
        pytest.param(30 * MINUTE, Worth.COLLATERAL, id="the stop took its upload"),
        pytest.param(-30 * MINUTE, Worth.FALSE, id="it uploads at another time"),
    ],
)
def test_a_host_that_is_missed_in_the_morning_is_missed_because_of_the_stop_at_night(due: int, worth: Worth) -> None:
    """Until its next upload, if it would have uploaded while the receiver was stopped."""
    begin, kind = SPAN.begin + DAY, KINDS["receiver stopped"]
    stopped = Cause(
        *("receiver stopped", frozenset(["pi-1"]), Span(begin, begin + HOUR), kind.right, kind.collateral),
        change=lambda _: (),
    )
    world = world_of("nightly", *(begin + due + day * DAY for day in (-1, 0, 1)), causes=[stopped])
    morning = begin + 8 * HOUR

    result = score(world, [Episode("pi-1", "silent", morning, morning + DAY, 1, "")])

    assert result.worth == {(worth, "silent", "nightly"): 1}


def test_what_nobody_was_notified_of_does_not_count() -> None:
    """An incident that is inhibited or that a window mutes disturbs nobody."""
    world = make_world(1, STEADY, 30)

    result = score(world, [Episode("steady-01", "silent", world.span.begin, None, 0, "")])

    assert result.worth.total() == 0


def test_the_page_of_results_is_of_these_scenarios() -> None:
    """It names each scenario that is reported, and each of its kinds of hosts, and has the remarks as they are."""
    text, remarks = RESULTS.read_text(), REMARKS.read_text()
    result = score(make_world(1, SMALL, 2), [])

    assert "## steady" in text
    assert "## mixed" in text
    assert all(kind in text for kind in SCENARIOS["mixed"].hosts)
    assert "None." in page(2, {"small": {1: result}})
    assert all(remarks in one for one in (text, page(2, {"small": {1: result}})))
