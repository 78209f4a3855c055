"""The rhythm of each host, and how long a silence is usual for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.cadence import Cadence, CadenceSnapshot
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import HOUR_US
from fleet_health.model.learned_limit import LearnedLimit
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.rhythm import BIN_US, KEPT_US, Rhythm
from tests.model.rhythms import (
    CEILING_US,
    DAY_US,
    FLOOR_US,
    MONDAY,
    cadence_of,
    every,
)

if TYPE_CHECKING:
    from random import Random


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2 * KEPT_US)), max_size=60),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_repetition_matters(uploads: list[tuple[str, int]], random: Random) -> None:
    """The same uploads make the same rhythm in any order, repeated, or split by a restart."""
    one, other, restored = Cadence(2), Cadence(2), Cadence(2)
    one.record(Upload(host, at) for host, at in uploads)
    again = uploads + uploads[: len(uploads) // 2]
    random.shuffle(again)
    half = len(again) // 2
    other.record(Upload(host, at) for host, at in again[:half])
    restored.restore(msgspec.json.decode(msgspec.json.encode(other.snapshot(7)), type=CadenceSnapshot))
    for cadence in (other, restored):
        cadence.record(Upload(host, at) for host, at in again[half:])

    for host in "ab":
        newest = max((at // BIN_US for name, at in uploads if name == host), default=None)
        ages = {newest - at // BIN_US for name, at in uploads if name == host and newest is not None}
        known = one.rhythm(host)
        assert known == other.rhythm(host) == restored.rhythm(host)
        assert known == (newest if newest is None else Rhythm(newest, sum(1 << age for age in ages if age < 5376)))


def test_a_journal_shows_the_uploads_of_hosts_without_rows() -> None:
    """Only accepted uploads count, and only for hosts without rows."""
    cadence = Cadence(10)
    answers = [Response("a", MONDAY, 201), Response("b", MONDAY, 412), Response("c", MONDAY, 201)]
    cadence.record_traffic([*answers, Unstamped("d", MONDAY), UnitState(MONDAY, is_running=True)], {"c"}.__contains__)

    assert list(cadence.hosts()) == ["a"]


def test_invented_names_fill_no_memory() -> None:
    """At most twice the host limit is kept, and later only hosts that are known."""
    cadence = Cadence(2, HostGlobs(("ignored",)))
    cadence.record(Upload(host, MONDAY) for host in ("ignored", "a", "b", "c", "d", "e"))
    before = list(cadence.hosts())
    cadence.prune({"b"}.__contains__, MONDAY)

    assert before == ["a", "b", "c", "d"]
    assert list(cadence.hosts()) == ["b"]


def test_what_is_long_ago_or_ahead_of_the_clock_is_forgotten() -> None:
    """A host that comes back in time has its rhythm as if it had never been away."""
    cadence = cadence_of(
        old=[MONDAY - KEPT_US - HOUR_US],
        away=[MONDAY - 20 * DAY_US],
        ahead=[MONDAY, MONDAY + DAY_US],
        wrong=[2 * MONDAY],
    )
    cadence.prune(lambda _: False, MONDAY)

    assert sorted(cadence.hosts()) == ["ahead", "away"]
    assert cadence.rhythm("ahead") == Rhythm(MONDAY // BIN_US, 1)


def test_it_is_worked_out_once() -> None:
    """The limit is cached until the host uploads again."""
    cadence = cadence_of(a=every(HOUR_US, MONDAY - 3 * DAY_US, MONDAY))
    one, same = (cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US) for _ in range(2))
    cadence.note("a", MONDAY + 5 * HOUR_US)
    other = cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US)

    assert one is same
    assert other.limit_us > one.limit_us
    assert cadence.limit_of("b", cadence.outages(), FLOOR_US, CEILING_US).limit_us == FLOOR_US
    assert cadence.intervals_of("b", cadence.outages()) == []


def test_of_a_host_that_is_not_known_the_shortest_limit_is_no_learned_one() -> None:
    """No interval of the host stands behind that limit."""
    limit = cadence_of().limit_of("nobody", Rhythm(0, 0), HOUR_US, DAY_US)

    assert limit == LearnedLimit(HOUR_US, 0, None, "nothing is known of its rhythm yet", is_known=False)
