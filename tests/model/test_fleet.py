"""The fleet: the last upload of a host is the latest of its rows, and each host has one window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.absence import absence_us, pauses_of
from fleet_health.model.cadence import Cadence
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.fleet import Fleet, Traffic, Uploads
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.pauses import LONGEST_MUTE_US, Pause
from fleet_health.model.places import Register
from fleet_health.model.rhythm import BIN_US
from fleet_health.model.window import Counts
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROPERTY = tried(200)
INSTANTS = st.integers(-20, 20)
HOSTS = st.sampled_from(["a", "b", "c"])
UPLOADS = st.lists(st.builds(Upload, HOSTS, INSTANTS), max_size=20)
FACTS = st.lists(
    st.builds(Response, HOSTS, INSTANTS, st.sampled_from([201, 412, 500])) | st.builds(Unstamped, HOSTS, INSTANTS),
    max_size=20,
)


def uploads_of(*batches: list[Upload]) -> Uploads:
    """Make a table of batches of rows."""
    uploads = Uploads()
    for batch in batches:
        uploads.record(batch)
    return uploads


def latest(rows: list[Upload]) -> dict[str, int]:
    """Return the maximum of each host's rows, by hand."""
    return {row.host: max(other.at for other in rows if other.host == row.host) for row in rows}


@PROPERTY
@given(rows=UPLOADS, cut=st.integers(0, 20))
def test_the_last_upload_is_the_maximum(rows: list[Upload], cut: int) -> None:
    """The order of the rows and their batches do not matter."""
    assert dict(uploads_of(rows[cut:], rows[:cut]).items()) == latest(rows)


@PROPERTY
@given(seconds=st.lists(st.integers(0, 60), max_size=40), since=st.integers(0, 60), until=st.integers(0, 60))
def test_the_uploads_between_two_instants_are_counted(seconds: list[int], since: int, until: int) -> None:
    """Both ends are included; an unknown host has none."""
    uploads = uploads_of([Upload("a", at * SECOND_US) for at in seconds])
    first, last = since * SECOND_US, until * SECOND_US

    assert uploads.count("a", first, last) == sum(first <= at <= last for at in uploads.latest("a"))
    assert uploads.count("b", first, last) == 0


@PROPERTY
@given(rows=UPLOADS, before=INSTANTS)
def test_eviction_forgets_hosts_that_uploaded_earlier_only(rows: list[Upload], before: int) -> None:
    """A host whose last upload is exactly at the instant stays."""
    uploads = uploads_of(rows)

    uploads.evict(before)

    assert dict(uploads.items()) == {host: at for host, at in latest(rows).items() if at >= before}


def test_a_host_that_is_not_known_has_no_last_upload() -> None:
    """None means that it never uploaded; the epoch is an instant like any other."""
    uploads = uploads_of([Upload("a", 0)])

    assert (uploads.last_at("a"), uploads.last_at("b")) == (0, None)


def count_by_hand(facts: list[Response | Unstamped], since: int, until: int) -> dict[str, tuple[dict[int, int], int]]:
    """Count each host's answers by status, and its unstamped rejections."""
    counts: dict[str, tuple[dict[int, int], int]] = {}
    for host in {fact.host for fact in facts}:
        inside = [fact for fact in facts if fact.host == host and since <= fact.at <= until]
        statuses = [fact.status for fact in inside if isinstance(fact, Response)]
        by_status = {status: statuses.count(status) for status in statuses}
        counts[host] = (by_status, sum(isinstance(fact, Unstamped) for fact in inside))
    return counts


@PROPERTY
@given(facts=FACTS, before=INSTANTS, since=INSTANTS, until=INSTANTS)
def test_traffic_counts_as_by_hand_and_shrinks_with_time(
    facts: list[Response | Unstamped], before: int, since: int, until: int
) -> None:
    """After an eviction, counts of later stretches are unchanged, and hosts without events are gone."""
    before, since, until = sorted((before, since, until))
    traffic = Traffic()
    traffic.record(facts)

    traffic.evict(before)

    known = {fact.host for fact in facts if fact.at >= before}
    assert {
        host: (window.count_by_status(since, until), window.count(since, until).unstamped)
        for host, window in traffic.items()
    } == {host: counts for host, counts in count_by_hand(facts, since, until).items() if host in known}


def test_each_host_is_named_once(fleet_of: Callable[..., Fleet]) -> None:
    """A host may be known from rows, from the journal, or from both."""
    fleet = fleet_of(uploads=[("a", 1), ("b", 1)], responses=[("b", 1, 201), ("c", 1, 201)], unstamped=[("d", 1)])

    assert sorted(fleet.hosts()) == ["a", "b", "c", "d"]
    assert list(Fleet().hosts()) == []


def test_a_full_fleet_goes_on_with_the_hosts_it_knows(fleet_of: Callable[..., Fleet], now: int) -> None:
    """New hosts beyond the limit are left out; known hosts lose nothing, and strangers displace each other."""
    fleet = fleet_of(
        host_limit=2,
        uploads=[("a", 9), ("b", 8), ("new", 7), ("a", 6)],
        responses=[("a", 9, 201), ("c", 8, 412), ("d", 7, 412), ("c", 6, 412), ("b", 5, 201), ("new", 5, 201)],
        unstamped=[("new", 5), ("a", 4)],
    )

    assert dict(fleet.uploads.items()) == {"a": now - 6, "b": now - 8}
    assert {host: window.count_by_status(0, now) for host, window in fleet.traffic.items()} == {
        "a": {201: 1},
        "b": {201: 1},
        "new": {201: 1},
    }
    strangers, likely = fleet.traffic.left_out
    assert (fleet.uploads.left_out.count, strangers.count, likely.count) == (1, 3, 0)
    assert (strangers.host, strangers.latest_at) == ("c", now - 5)


def test_a_host_that_may_be_expected_is_taken_in_up_to_twice_the_limit() -> None:
    """A glob may match invented names, so it is bounded; a host expected by its name always has a place."""
    uploads = Uploads(2, register=Register(["pi-*", "named"]))

    uploads.record([Upload(host, 1) for host in ("a", "b", "c", "pi-1", "pi-2", "pi-3", "named")])

    assert set(dict(uploads.items())) == {"a", "b", "pi-1", "pi-2", "named"}
    assert (uploads.left_out.count, uploads.left_out.host) == (2, "pi-3")


def test_a_newcomer_is_known_as_one_for_as_long_as_uploads_are_remembered() -> None:
    """From its first row on, to the microsecond."""
    uploads = Uploads()
    uploads.notes_newcomers = True
    uploads.record([Upload("a", 10), Upload("a", 30)])

    uploads.evict(10)
    assert uploads.newcomers == {"a": 10}

    uploads.evict(11)
    assert uploads.newcomers == {}


def test_it_counts_as_full_for_as_long_as_uploads_are_remembered() -> None:
    """A host that was left out exactly at the begin of that time still counts."""
    uploads = Uploads(1)
    assert not uploads.was_full

    uploads.record([Upload("a", 10), Upload("b", 10)])
    uploads.evict(10)
    assert uploads.was_full

    uploads.evict(11)
    assert not uploads.was_full


def test_hosts_that_are_forgotten_make_room(fleet_of: Callable[..., Fleet], now: int) -> None:
    """A host that was left out is taken in with its next observation, once there is a place."""
    fleet = fleet_of(host_limit=1, uploads=[("old", 9), ("new", 1)])

    fleet.uploads.evict(now - 8)
    fleet.uploads.record([Upload("new", now)])
    fleet.limit_hosts(2)
    fleet.uploads.record([Upload("newer", now)])

    assert dict(fleet.uploads.items()) == {"new": now, "newer": now}


@PROPERTY
@given(batches=st.lists(st.tuples(FACTS, INSTANTS, INSTANTS, st.integers(0, 5)), min_size=1, max_size=6))
def test_what_a_fleet_counts_stays_right_while_facts_come_and_go(
    batches: list[tuple[list[Response | Unstamped], int, int, int]],
) -> None:
    """Each count includes all facts that were not forgotten, however late they came and whatever was asked before."""
    fleet, forgotten = Fleet(), -(1 << 40)
    everything: list[Response | Unstamped] = []
    for facts, begin, end, later in batches:
        fleet.traffic.record(facts)
        everything += facts
        since, until = sorted((max(begin, forgotten), max(end, forgotten)))
        for still in (fleet, fleet.standing_still()):
            for _ in range(2):
                counted = {host: one for host, one in still.counts(since, until).items() if one != Counts()}
                by_hand = count_by_hand(everything, since, until)
                assert {host: (one.answers, one.unstamped) for host, one in counted.items()} == {
                    host: (sum(by_status.values()), unstamped)
                    for host, (by_status, unstamped) in by_hand.items()
                    if by_status or unstamped
                }
        forgotten = max(forgotten, since + later)
        fleet.traffic.evict(forgotten)
        everything = [fact for fact in everything if fact.at >= forgotten]


@pytest.mark.parametrize(
    ("gap", "counted_us"),
    [
        pytest.param(None, HOUR_US // 2, id="the journal was seen since the stop"),
        pytest.param((HOUR_US // 2 + 2, HOUR_US // 2 + 1), HOUR_US // 2, id="a gap before it"),
        pytest.param((2, 1), HOUR_US, id="a gap since, in which the receiver may have started"),
    ],
)
def test_a_stop_excuses_absence_only_if_a_start_would_have_been_seen(
    gap: tuple[int, int] | None, counted_us: int, fleet_of: Callable[..., Fleet], now: int
) -> None:
    """Otherwise no host would be missed for as long as the journal lacks the start."""
    fleet = fleet_of(uploads=[("a", HOUR_US)])
    fleet.traffic.record([UnitState(now - HOUR_US // 2, is_running=False)])
    gaps = () if gap is None else (Gap(now - gap[0], now - gap[1], "lost"),)
    fleet.coverage = (Coverage("journal", gaps=gaps),)

    assert absence_us(fleet, "a", now - HOUR_US, now) == counted_us


def test_a_unit_of_which_nothing_is_known_excuses_nobody(fleet_of: Callable[..., Fleet], now: int) -> None:
    """However complete the journal is."""
    fleet = fleet_of(uploads=[("a", HOUR_US)])
    fleet.coverage = (Coverage("journal"),)

    assert absence_us(fleet, "a", now - HOUR_US, now) == HOUR_US


def test_a_stranger_that_is_no_longer_protected_is_known_as_well_as_before(
    fleet_of: Callable[..., Fleet], now: int
) -> None:
    """It returns to its pool with all its events."""
    fleet = fleet_of(responses=[("stranger", HOUR_US, 412)])
    fleet.protect(["stranger"])
    fleet.protect([])

    assert fleet.is_complete("stranger", now - 2 * HOUR_US)
    assert fleet.counts(now - 2 * HOUR_US, now)["stranger"].client_errors == 1


@pytest.mark.parametrize(
    ("stretch", "skips"),
    [
        pytest.param((50, 60), ((10, 20), (30, 40), (50, 60)), id="one more"),
        pytest.param((35, 33), ((10, 20), (30, 35)), id="the clock is set back into one: the rest of it does pass"),
        pytest.param((30, 30), ((10, 20),), id="and to the begin of one: nothing of it was skipped"),
    ],
)
def test_time_that_was_skipped_ends_where_the_clock_is_set_back_to(
    stretch: tuple[int, int], skips: tuple[tuple[int, int], ...]
) -> None:
    """Skips are kept in order; an empty one is dropped."""
    fleet = Fleet()
    for since, until in ((10, 20), (30, 40), stretch):
        fleet.skip(since, until)

    assert fleet.skips == skips


def test_a_time_of_being_off_is_kept_once() -> None:
    """A repeated or empty shutdown is dropped."""
    fleet = Fleet()
    for since, until in ((10, 20), (10, 20), (30, 30), (30, 31)):
        fleet.shut_down(since, until)

    assert fleet.shutdowns == ((10, 20), (30, 31))


def test_only_the_latest_times_that_nobody_counts_are_kept() -> None:
    """A machine that is suspended a hundred times a day does not fill the memory."""
    fleet = Fleet()
    for number in range(101):
        fleet.skip(10 * number, 10 * number + 1)
        fleet.shut_down(10 * number, 10 * number + 1)

    kept = tuple((10 * number, 10 * number + 1) for number in range(1, 101))
    assert (fleet.skips, fleet.shutdowns) == (kept, kept)


def test_what_both_sources_show_teaches_the_rhythm() -> None:
    """Each upload counts once: by its row, or by the journal if its host has no rows."""
    fleet = Fleet()
    fleet.cadence = Cadence(10)
    fleet.record_uploads("", [Upload("a", 0), Upload("a", HOUR_US)])
    fleet.record_traffic("", [Response("a", 2 * HOUR_US, 201), Response("b", 0, 201), Response("b", HOUR_US, 412)])
    fleet.record_accepted("", {"a": [3 * HOUR_US], "c": [0, 5 * HOUR_US]})

    assert {host: fleet.upload_intervals(host)[-1:] for host in "abcd"} == {
        "a": [(HOUR_US, 1)],
        "b": [(BIN_US * 2, 0)],
        "c": [(8 * HOUR_US, 1)],
        "d": [],
    }


def test_without_learned_limits_no_rhythm_is_kept() -> None:
    """Then the intervals of a host are not known."""
    fleet = Fleet()
    fleet.record_uploads("", [Upload("a", 0), Upload("a", HOUR_US)])
    fleet.record_accepted("", {"b": [0]})
    fleet.learn_by_journal([Response("c", 0, 201)])

    assert [fleet.upload_intervals(host) for host in "abc"] == [[], [], []]


@pytest.mark.parametrize(
    ("row_at", "without"),
    [
        pytest.param(None, [0, 61_000_000], id="no row: every upload"),
        pytest.param(0, [61_000_000], id="a minute after the row, and later than that"),
        pytest.param(1_000_000, [], id="no later than a minute after the row it may be the same upload"),
        pytest.param(2_000_000, [], id="nor is what came before"),
    ],
)
def test_of_what_the_journal_shows_only_what_no_row_stands_for_is_remembered(
    row_at: int | None, without: list[int]
) -> None:
    """A response up to one minute after a row may belong to the same upload."""
    fleet = Fleet()
    fleet.uploads.record([] if row_at is None else [Upload("a", row_at)])
    fleet.traffic.remember({"a": [0, 61_000_000]})

    assert fleet.without_row() == ({"a": without} if without else {})


MINUTE_US = 60_000_000


@pytest.mark.parametrize(("later_us", "is_stopped"), [(MINUTE_US, True), (MINUTE_US + 1, False)])
def test_what_a_receiver_still_writes_while_it_stops_does_not_contradict_that(
    later_us: int, *, is_stopped: bool
) -> None:
    """For one minute, inclusive; a later sign shows that it is running."""
    fleet, stopped_at = Fleet(), HOUR_US
    fleet.record_traffic("", [UnitState(stopped_at, is_running=False), Response("a", stopped_at + later_us, 503)])
    fleet.coverage = (Coverage("journal"),)

    pauses = pauses_of(fleet, "a", 2 * HOUR_US)

    assert [(one.since, one.until) for one in pauses] == [(stopped_at, 2 * HOUR_US)] * is_stopped


def test_of_a_source_that_is_not_there_nothing_is_unseen() -> None:
    """With several sources, the least complete one counts."""
    fleet = Fleet()
    assert fleet.unseen_us("journal", 0, 100) == 0

    fleet.coverage = (
        Coverage("journal@a", unseen_since=90),
        Coverage("journal@b", unseen_since=70),
        Coverage("index@a"),
    )
    assert fleet.unseen_us("journal", 0, 100) == 30
    assert fleet.unseen_us("index", 0, 100) == 0


@dataclass
class Muted:
    """One mute window of every host, from the epoch on."""

    length_us: int

    def is_about(self, host: str) -> bool:
        """Return whether it is about a host."""
        return bool(host)

    def pauses(self, since: int, until: int) -> Iterator[Pause]:
        """Return it."""
        assert since < until
        yield Pause(0, self.length_us, "a mute window")


@pytest.mark.parametrize(("length_us", "counts"), [(LONGEST_MUTE_US - 1, True), (LONGEST_MUTE_US, False)])
def test_a_mute_window_that_never_ends_is_no_pause(length_us: int, *, counts: bool) -> None:
    """A window of a whole week would hide its hosts for ever; a shorter one is a pause."""
    fleet = Fleet()
    fleet.mute_windows = [Muted(length_us)]

    assert bool(pauses_of(fleet, "a", LONGEST_MUTE_US)) == counts
