"""Which hosts have a place in the tables: known hosts have one each, strangers share a few."""

from __future__ import annotations

import pytest

from fleet_health.model.eviction import evict
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response, UnitState, Upload
from fleet_health.model.places import LeftOut, Pool, stranger_limit
from fleet_health.model.window import NEVER

LIMIT = 20
"""Two strangers have a place at a time."""


def refused(*hosts: str, at: int) -> list[Response]:
    """Refuse a request under each name, one after the other."""
    return [Response(host, at + number, 412) for number, host in enumerate(hosts)]


def answered(fleet: Fleet) -> set[str]:
    """Return the hosts that the journal's table has."""
    return {host for host, _ in fleet.traffic.items()}


def test_strangers_push_out_the_one_that_was_refused_least_recently() -> None:
    """A stranger that lost its place, or got one later, is marked as incomplete."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", "b", "a", "c", "a", "d", at=10))

    assert answered(fleet) == {"a", "d"}
    assert [fleet.is_complete(host, 14) for host in "abcd"] == [True, True, True, True]
    assert [fleet.is_complete(host, 12) for host in "abcd"] == [True, False, False, True]
    assert [fleet.is_complete(host, 11) for host in "abcd"] == [True, False, False, False]
    assert [fleet.is_left_out(host, 11) for host in "abcd"] == [False, True, True, False]
    assert [fleet.is_forgotten(host) for host in "abcd"] == [False, True, True, False]


def test_a_stranger_that_uploads_takes_its_window_along() -> None:
    """It is no longer a stranger, and makes room for another one."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", "b", at=10))
    fleet.uploads.record([Upload("a", 20)])
    fleet.traffic.record(refused("c", at=30))

    assert {host for host, _ in fleet.strangers()} == {"b", "c"}
    assert answered(fleet) == {"a", "b", "c"}
    assert fleet.counts(0, 100)["a"].refused == 1
    assert [fleet.is_stranger(host) for host in ("a", "b")] == [False, True]


def test_a_full_table_has_no_place_for_an_upload_that_only_the_journal_shows() -> None:
    """Beyond the limit, a host that only the journal shows stays a stranger, although it was accepted."""
    fleet = Fleet(2)
    fleet.traffic.record([Response(host, 10, 201) for host in ("a", "b", "c")])

    assert [fleet.has_uploaded(host) for host in "abc"] == [True, True, False]
    assert [host for host, _ in fleet.strangers()] == ["c"]


@pytest.mark.parametrize(("before", "is_complete"), [(10, False), (11, True)])
@pytest.mark.parametrize("is_evicted_first", [False, True])
def test_what_was_lost_matters_for_as_long_as_it_would_count(
    before: int, *, is_complete: bool, is_evicted_first: bool
) -> None:
    """To the microsecond, whether the host becomes known before or after that time."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", at=10) + refused("b", "c", at=20))
    if is_evicted_first:
        fleet.traffic.evict(before)
    fleet.uploads.record([Upload("a", 30)])
    fleet.traffic.record(refused("a", at=40))
    fleet.traffic.evict(before)

    assert fleet.is_complete("a", 10) == is_complete
    assert fleet.is_complete("a", 11)


@pytest.mark.parametrize(("before", "is_complete"), [(10, False), (11, True)])
def test_what_a_stranger_lacks_it_lacks_when_it_is_known(before: int, *, is_complete: bool) -> None:
    """Events lost before it got a place again stay lost, to the microsecond."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", at=10) + refused("b", "c", "a", at=20))
    fleet.traffic.evict(before)
    fleet.uploads.record([Upload("a", 30)])

    assert fleet.is_complete("a", 10) == is_complete


@pytest.mark.parametrize(("before", "lost_at"), [(10, 10), (11, -NEVER)])
def test_a_host_without_an_event_that_counts_loses_nothing_with_its_place(before: int, lost_at: int) -> None:
    """An event exactly at the begin of the counted time does count."""
    pool = Pool(1)
    for host in ("a", "b"):
        pool.use(host).add_response(10, 412)

    assert list(pool.crowded_out(20, before)) == ["a"]
    assert (pool.lost_at, pool.left_out.count) == (lost_at, int(lost_at > -NEVER))
    assert list(pool.crowded_out(20, before)) == []


def test_the_events_of_strangers_are_forgotten_to_the_instant() -> None:
    """A stranger with one event left keeps its place."""
    pool = Pool(1)
    pool.use("a").add_response(10, 412)

    assert (pool.evict(10), list(pool.windows)) == ([], ["a"])
    assert (pool.evict(11), list(pool.windows)) == (["a"], [])


def test_what_a_stranger_lacks_is_forgotten_to_the_instant() -> None:
    """What was lost while it had no place matters up to that instant."""
    pool = Pool(1)
    for host in ("a", "b"):
        pool.use(host).add_response(10, 412)
        list(pool.crowded_out(20, 0))
    pool.take("b")
    pool.use("b").add_response(30, 412)

    pool.evict(10)
    assert pool.incomplete_until("b") == 10
    pool.evict(11)
    assert pool.incomplete_until("b") == -NEVER


def test_of_what_is_left_out_the_latest_is_named() -> None:
    """Of two at the same instant, the second one."""
    left_out = LeftOut()
    for host, at in (("a", 5), ("b", 5), ("c", 4)):
        left_out.add(host, at)

    assert (left_out.count, left_out.host, left_out.latest_at) == (3, "b", 5)


def test_of_two_words_on_the_unit_the_one_that_comes_second_holds() -> None:
    """Even if it is not newer: it is the combined state of all machines by then."""
    fleet = Fleet()
    fleet.traffic.record([UnitState(10, is_running=False), UnitState(10, is_running=True)])
    same_instant = fleet.traffic.unit
    fleet.traffic.record([UnitState(9, is_running=False)])

    assert same_instant == UnitState(10, is_running=True)
    assert fleet.traffic.unit == UnitState(9, is_running=False)


@pytest.mark.parametrize(
    ("at", "is_accepted"), [(9, False), (10, True), (20, True), (21, False)], ids=["early", "begin", "end", "late"]
)
def test_either_source_shows_that_a_host_was_accepted(at: int, *, is_accepted: bool) -> None:
    """Between two instants, both included; a refusal does not count."""
    by_row, by_response, refused_then = Fleet(), Fleet(), Fleet()
    by_row.uploads.record([Upload("a", at)])
    by_response.traffic.record([Response("a", at, 201)])
    refused_then.traffic.record([Response("a", at, 412)])

    assert by_row.has_accepted("a", 10, 20) == by_response.has_accepted("a", 10, 20) == is_accepted
    assert not refused_then.has_accepted("a", 10, 20)


def test_an_upload_that_only_the_journal_shows_gives_a_place() -> None:
    """For as long as a row is remembered; the responses themselves are forgotten earlier."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record([Response("a", 10, 201), *refused("b", "c", "d", at=20)])

    assert (fleet.has_uploaded("a"), answered(fleet)) == (True, {"a", "c", "d"})
    assert evict(fleet, uploads_before=10, traffic_before=11, now=30) == {}
    assert (fleet.has_uploaded("a"), fleet.accepted_at("a"), answered(fleet)) == (True, 10, {"c", "d"})
    assert evict(fleet, uploads_before=11, traffic_before=11, now=31) == {"a": 10}
    assert (fleet.has_uploaded("a"), fleet.is_seen("a"), list(fleet.hosts())) == (False, False, ["c", "d"])


def test_who_is_protected_keeps_its_place_until_it_is_no_longer() -> None:
    """Afterwards it is a stranger again, the most recently used one, with its earlier losses."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", "b", "c", at=10))
    fleet.protect(["a", "b", "lost one too many"])
    fleet.traffic.record(refused("a", "d", "e", "f", at=20))

    assert answered(fleet) == {"a", "b", "e", "f"}
    assert (fleet.has_place("b"), fleet.has_place("lost one too many")) == (True, False)
    assert not fleet.is_complete("a", 10)
    assert {host for host, _ in fleet.strangers()} == {"a", "b", "e", "f"}

    fleet.protect([])

    assert answered(fleet) == {"a", "b"}
    assert fleet.stranger_counts(0, 100)["a"].refused == 1
    assert not fleet.is_complete("a", 10)


def test_a_protected_host_that_uploads_is_no_stranger() -> None:
    """It keeps its place; only the others are counted as strangers."""
    fleet = Fleet(LIMIT)
    fleet.traffic.record(refused("a", "b", at=10))
    fleet.protect(["a", "b"])
    fleet.uploads.record([Upload("b", 30)])

    assert {host for host, _ in fleet.strangers()} == {"a"}


def test_who_was_lost_has_a_place_whatever_the_number_of_strangers() -> None:
    """A lost host has uploaded once, beyond what is known; expected hosts have a place as well."""
    fleet = Fleet(LIMIT, expected=["named", "lab-*"])
    fleet.lost = frozenset({"lost"})

    fleet.protect(["x", "y", "z", "lost", "lab-1", "named"])

    assert fleet.register.protected == {"x", "y", "lost", "lab-1", "named"}


def test_hosts_of_an_expected_glob_have_places_of_their_own() -> None:
    """As many as the limit; when they are no longer expected, they are strangers."""
    fleet = Fleet(LIMIT, expected=["lab-*"])
    hosts = [f"lab-{number}" for number in range(LIMIT + 1)]
    fleet.traffic.record(refused(*hosts, "a", at=10))

    assert answered(fleet) == {*hosts[1:], "a"}

    fleet.register.expect(["a"])
    fleet.limit_hosts(LIMIT)
    fleet.traffic.record(refused("b", at=100))

    assert answered(fleet) == {"a", "b", hosts[-1]}
    assert {host for host, _ in fleet.strangers()} == {"b", hosts[-1]}


@pytest.mark.parametrize("expected", [["new"], ["ne*"]], ids=["by name", "by a glob"])
def test_a_full_table_of_uploads_takes_whoever_is_expected(expected: list[str]) -> None:
    """It counts as a newcomer for as long as it is in the table."""
    fleet = Fleet(1, expected=expected)
    fleet.uploads.record([Upload("old", 10)])
    fleet.uploads.notes_newcomers = True
    fleet.uploads.record([Upload("other", 20), Upload("new", 30), Upload("new", 40)])

    assert dict(fleet.uploads.items()) == {"old": 10, "new": 40}
    assert (fleet.uploads.left_out.host, fleet.uploads.newcomers) == ("other", {"new": 30})
    assert fleet.uploads.newest_at() == 40
    assert fleet.uploads.evict(35) == {"old": 10}
    assert fleet.uploads.newcomers == {}


def test_the_busiest_hosts_are_counted_in_steps_when_all_windows_together_are_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other hosts stay exact, and no count is lost."""
    monkeypatch.setattr("fleet_health.model.traffic._BUDGET", 4_096)
    fleet = Fleet()
    fleet.uploads.record([Upload("busy", 0), Upload("idle", 0)])
    fleet.traffic.record([*(Response("busy", number * 1_000, 412) for number in range(5_000)), *refused("idle", at=1)])
    windows = dict(fleet.traffic.items())

    assert [windows[host].count(0, 10**9).refused for host in ("busy", "idle")] == [5_000, 1]
    assert windows["busy"].size < 5_000
    assert windows["idle"].size == 1


def test_a_host_left_out_is_not_known_to_have_uploaded_last() -> None:
    """The latest host that was left out is named, whatever the order of the rows."""
    fleet = Fleet(1)
    fleet.uploads.record([Upload("known", 10), Upload("late", 30), Upload("early", 20)])

    assert (fleet.uploads.left_out.count, fleet.uploads.left_out.host) == (2, "late")
    assert fleet.uploads.last_at("late") is None


@pytest.mark.parametrize(
    ("hosts", "strangers"), [(1, 1), (9, 1), (19, 1), (20, 2), (9_999, 999), (10_000, 1_000), (50_000, 1_000)]
)
def test_strangers_have_a_tenth_of_the_places(hosts: int, strangers: int) -> None:
    """At least one place, at most a thousand."""
    assert stranger_limit(hosts) == Fleet(hosts).traffic.stranger_limit == strangers


def test_a_host_has_a_place_by_any_of_what_shows_it() -> None:
    """By an upload, by its expected name, or by a response."""
    fleet = Fleet(expected=["expected"])
    fleet.uploads.record([Upload("uploading", 0)])
    fleet.traffic.record([Response("refused", 0, 412)])

    assert [fleet.has_place(host) for host in ("uploading", "expected", "refused", "other")] == [
        True,
        True,
        True,
        False,
    ]
