"""The rhythm of each host, and how long a silence is usual for it."""

from __future__ import annotations

import zlib
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.cadence import Cadence, CadenceSnapshot
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.intervals import Interval, histogram
from fleet_health.model.learned_limit import LearnedLimit, learned_limit
from fleet_health.model.observation import Response, UnitState, Unstamped, Upload
from fleet_health.model.pauses import Pause
from fleet_health.model.rhythm import BIN_US, KEPT_US, Rhythm, SavedRhythm
from fleet_health.model.usual_uploads import ComparedDay

MINUTE_US, DAY_US = 60 * SECOND_US, 24 * HOUR_US
WEEK_US = 7 * DAY_US
MONDAY = 1_795_392_000_000_000
"""2026-11-23T00:00:00Z."""
FLOOR_US, CEILING_US = 30 * MINUTE_US, 8 * DAY_US


def every(step_us: int, since: int, until: int) -> list[int]:
    """Return instants at a distance."""
    return list(range(since, until, step_us))


def by_day(hours: tuple[float, float], since: int, until: int, days: int = 5) -> list[int]:
    """Return instants between two hours of each of the first days of each week."""
    return [
        at
        for day in range(since, until, DAY_US)
        if (day - MONDAY) // DAY_US % 7 < days
        for at in every(5 * MINUTE_US, day + int(hours[0] * HOUR_US), day + int(hours[1] * HOUR_US))
    ]


def cadence_of(**instants: list[int]) -> Cadence:
    """Return what is known by the uploads of some hosts."""
    cadence = Cadence(1000)
    cadence.record(Upload(host, at) for host, ats in instants.items() for at in ats)
    return cadence


def limit_of(instants: list[int]) -> LearnedLimit:
    """Return the limit of a host that no other one uploads beside."""
    cadence = Cadence(1)
    cadence.record(Upload("pi-1", at) for at in instants)
    return cadence.limit_of("pi-1", Rhythm(0, 0), FLOOR_US, CEILING_US)


FOUR_WEEKS = MONDAY - 4 * WEEK_US


def steady_then(instants: list[int]) -> list[int]:
    """Return uploads every five minutes for weeks until an hour before others, and these."""
    return [*every(5 * MINUTE_US, FOUR_WEEKS, instants[0] - HOUR_US), *instants]


def coming_and_going(hour: int) -> tuple[int, int]:
    """Return the last quarter of an hour, as many hours before the end of a day."""
    return MONDAY - hour * HOUR_US - 15 * MINUTE_US, MONDAY - hour * HOUR_US


def away_for_four_hours(*days: int) -> list[int]:
    """Return uploads every five minutes for weeks, except in the last four hours of some days, counted back."""
    return without_four_hours(every(5 * MINUTE_US, FOUR_WEEKS, MONDAY + 1), days)


def every_hour_but(*days: int) -> list[int]:
    """Return uploads every hour for weeks, with the same exceptions."""
    return without_four_hours(every(HOUR_US, FOUR_WEEKS, MONDAY + 1), days)


def without_four_hours(instants: list[int], days: tuple[int, ...]) -> list[int]:
    """Return some instants without those in the last four hours of some days, counted back."""
    away = [(end - 4 * HOUR_US, end) for end in (MONDAY - day * DAY_US for day in days)]
    return [at for at in instants if not any(begin < at < end for begin, end in away)]


@pytest.mark.parametrize(
    ("instants", "limit_us", "reason"),
    [
        pytest.param(
            every(5 * MINUTE_US, MONDAY - 5 * HOUR_US, MONDAY),
            FLOOR_US,
            "it is known for less",
            id="a host that is new",
        ),
        pytest.param(
            [MONDAY - 2 * DAY_US, MONDAY],
            2 * DAY_US + 6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host of which one interval is known: it is usual, for want of others",
        ),
        pytest.param(
            every(5 * MINUTE_US, FOUR_WEEKS, MONDAY),
            FLOOR_US,
            "none of its intervals",
            id="a host that uploads steadily",
        ),
        pytest.param(
            every(HOUR_US, FOUR_WEEKS, MONDAY), 2 * HOUR_US, "the longest usual", id="a host that uploads every hour"
        ),
        pytest.param(
            every(DAY_US, FOUR_WEEKS, MONDAY),
            30 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host that uploads every night is given six hours more, not twelve",
        ),
        pytest.param(
            every(WEEK_US, FOUR_WEEKS, MONDAY),
            WEEK_US + 6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host that uploads once a week",
        ),
        pytest.param(
            [at for at in by_day((8, 17), FOUR_WEEKS, MONDAY + DAY_US) if at < MONDAY + 12 * HOUR_US],
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host of office hours, by day",
        ),
        pytest.param(
            [at for at in by_day((8, 17), FOUR_WEEKS, MONDAY + DAY_US) if at <= MONDAY + 8 * HOUR_US],
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host of office hours, after its first upload of the day",
        ),
        pytest.param(
            by_day((8, 17), FOUR_WEEKS, MONDAY),
            63 * HOUR_US + 15 * MINUTE_US + 6 * HOUR_US + 30 * MINUTE_US + DAY_US,
            "the longest usual one and half as much again, and a day, as it rests",
            id="a host of office hours, at the end of a week",
        ),
        pytest.param(
            by_day((0, 24), FOUR_WEEKS, MONDAY - 20 * DAY_US, days=7)
            + every(5 * MINUTE_US, MONDAY - 19 * DAY_US, MONDAY),
            FLOOR_US,
            "it uploads steadily at this hour",
            id="a host that was away for a day, once",
        ),
        pytest.param(
            every(DAY_US, FOUR_WEEKS, MONDAY - 10 * DAY_US) + every(DAY_US, MONDAY - 4 * DAY_US, MONDAY),
            30 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="a host of every night that was away for a week, once",
        ),
        pytest.param(
            [*every(5 * MINUTE_US, FOUR_WEEKS, MONDAY - 5 * HOUR_US), MONDAY],
            FLOOR_US,
            "no two of its long intervals",
            id="a host that has just come back, for the first time",
        ),
        pytest.param(
            steady_then(every(HOUR_US, MONDAY - 9 * HOUR_US, MONDAY + 1)),
            2 * HOUR_US,
            "the longest usual",
            id="a host that has changed its rhythm, ten hours ago",
        ),
        pytest.param(
            steady_then(
                [*every(90 * MINUTE_US, MONDAY - 8 * DAY_US + HOUR_US // 2, MONDAY + HOUR_US), MONDAY + 75 * MINUTE_US]
            ),
            2 * HOUR_US + 45 * MINUTE_US,
            "the longest usual",
            id="eight days ago, and now it uploads in an hour in which it always was steady",
        ),
        pytest.param(
            steady_then(every(HOUR_US, MONDAY - 8 * HOUR_US, MONDAY + 1)),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that may have changed its rhythm, or comes back now and then",
        ),
        pytest.param(
            steady_then([at for hour in range(20) for at in every(5 * MINUTE_US, *coming_and_going(hour))]),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that comes and goes for most of a day",
        ),
        pytest.param(
            steady_then([MONDAY - 9 * HOUR_US, *every(5 * MINUTE_US, MONDAY - 4 * HOUR_US, MONDAY)]),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that was away twice within a day, for as long",
        ),
        pytest.param(
            away_for_four_hours(2, 1, 0),
            FLOOR_US,
            "no two of its long intervals",
            id="a host that was away on three days",
        ),
        pytest.param(
            away_for_four_hours(3, 0),
            6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="as long, three days before",
        ),
        pytest.param(
            every_hour_but(3, 0), 2 * HOUR_US, "the longest usual", id="a host of every hour that was away twice"
        ),
        pytest.param(
            every_hour_but(6, 3, 0),
            6 * HOUR_US + 30 * MINUTE_US,
            "the longest usual",
            id="one that was away three times, each time three days later",
        ),
        pytest.param(
            every(10 * DAY_US, MONDAY - 20 * DAY_US, MONDAY + 1),
            CEILING_US,
            "the longest usual",
            id="never above the ceiling",
        ),
    ],
)
def test_the_limit_is_the_hosts_own(instants: list[int], limit_us: int, reason: str) -> None:
    """It follows from when the host uploaded; a fault that happened once teaches nothing."""
    found = limit_of(instants)

    assert found.reason.startswith(reason)
    assert abs(found.limit_us - limit_us) <= BIN_US * 1.5


def test_bursts_count_once() -> None:
    """However many uploads follow on each other, what counts is the time between the bursts."""
    random = Random(1)  # noqa: S311 - nothing is secret here
    begins = every(90 * MINUTE_US, FOUR_WEEKS, MONDAY)
    bursts = [begin + random.randrange(5 * MINUTE_US) for begin in begins for _ in range(20)]

    assert limit_of(bursts).limit_us <= limit_of(begins).limit_us + 2 * BIN_US


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2 * KEPT_US)), max_size=60),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_repetition_matters(uploads: list[tuple[str, int]], random: Random) -> None:
    """The same uploads make the same rhythms, in whatever order they come, and however often; so does a restart."""
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


@given(st.sets(st.integers(0, 5375), max_size=60), st.sets(st.integers(0, 5375), max_size=60), st.integers(1, 200))
def test_intervals_are_those_of_a_count_by_hand(ages: set[int], out: set[int], least: int) -> None:
    """Each is as long as its bins are apart, but for those in which nobody could upload."""
    cadence, uploads = Cadence(1), sorted(5375 - age for age in ages | {0})
    cadence.record(Upload("a", number * BIN_US) for number in uploads)
    by_hand = [
        Interval(begin, end - begin - sum(1 for number in range(begin + 1, end) if 5375 - number in out), end)
        for begin, end in pairwise(uploads)
    ]

    found = cadence.intervals_of("a", Rhythm(5375, sum(1 << age for age in out)), least * BIN_US)

    assert found == [one for one in by_hand if one.length > least]


def test_a_host_takes_at_most_a_kibibyte_of_the_state() -> None:
    """Whatever its uploads are, also if nothing can be compressed."""
    random = Random(2)  # noqa: S311 - nothing is secret here
    cadence = cadence_of(a=[MONDAY - random.randrange(KEPT_US) for _ in range(4000)])
    saved = msgspec.json.encode(cadence.snapshot(MONDAY).hosts["a"])

    assert len(saved) <= 1024
    assert msgspec.json.decode(saved, type=SavedRhythm).restored() == cadence.rhythm("a")


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(SavedRhythm(1, b"no such thing"), id="not compressed"),
        pytest.param(SavedRhythm(1, zlib.compress(bytes(5000))), id="too long, and without an upload"),
        pytest.param(SavedRhythm(-1, zlib.compress(b"\1")), id="before the epoch"),
        pytest.param(SavedRhythm(1, zlib.compress(b"\2")), id="not counted from its newest upload"),
    ],
)
def test_what_was_never_saved_is_left_out(saved: SavedRhythm) -> None:
    """A state that somebody changed teaches nothing."""
    cadence = Cadence(1)
    cadence.restore(CadenceSnapshot(1, {"a": saved}, saved))

    assert saved.restored() is None
    assert list(cadence.hosts()) == []


def test_a_stop_of_the_receiver_is_no_interval() -> None:
    """The time in which nobody could upload is left out, also where no other host shows it; after a restart as well."""
    down = MONDAY - 3 * DAY_US, MONDAY - 2 * DAY_US - 12 * HOUR_US
    uploads = [at for at in every(HOUR_US, MONDAY - 10 * DAY_US, MONDAY) if not down[0] <= at < down[1]]
    cadence, restored = cadence_of(a=uploads), Cadence(1)
    before = cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US)
    cadence.note_outages([Pause(*down, "started"), Pause(0, MONDAY, "unsure", is_known=False), Pause(5, 6, "short")])
    restored.restore(cadence.snapshot(MONDAY))

    after = [one.limit_of("a", one.outages(), FLOOR_US, CEILING_US).limit_us for one in (cadence, restored)]
    assert before.limit_us > 8 * HOUR_US
    assert after == [limit_of(every(HOUR_US, MONDAY - 10 * DAY_US, MONDAY)).limit_us] * 2


def test_when_no_host_uploads_though_some_always_did_nobody_could() -> None:
    """An outage that nothing tells of is seen by all hosts together; a night of an office is none."""
    out = MONDAY - 3 * DAY_US, MONDAY - 3 * DAY_US + 7 * HOUR_US
    steady = [at for at in every(5 * MINUTE_US, FOUR_WEEKS, MONDAY) if not out[0] <= at < out[1]]
    hourly = [at for at in every(HOUR_US, FOUR_WEEKS, MONDAY) if not out[0] <= at < out[1]]
    office = by_day((8, 17), FOUR_WEEKS, MONDAY)
    together, alone = cadence_of(steady=steady, hourly=hourly), cadence_of(office=office)

    assert together.intervals_of("hourly", together.outages(), 2 * HOUR_US) == []
    assert len(together.intervals_of("hourly", Rhythm(0, 0), 2 * HOUR_US)) == 1
    assert alone.intervals_of("office", alone.outages(), HOUR_US) == alone.intervals_of("office", Rhythm(0, 0), HOUR_US)


def test_the_only_host_cannot_show_an_outage() -> None:
    """That it uploads more rarely is its own rhythm, which must be learned."""
    only = cadence_of(only=steady_then(every(HOUR_US, MONDAY - 10 * HOUR_US, MONDAY)))

    assert only.outages().bits == 0


def bins_of(rhythm: Rhythm) -> set[int]:
    """Return the numbers of the bins of a rhythm."""
    return {rhythm.newest - back for back in range(rhythm.bits.bit_length()) if rhythm.bits >> back & 1}


@pytest.mark.parametrize("seed", range(12))
def test_outages_are_what_one_counts_bin_by_bin(seed: int) -> None:
    """Three bins without an upload, in which there were uploads a week ago and on most days; whoever uploaded last."""
    chance = Random(seed)  # noqa: S311 - to be the same each time
    day, since = DAY_US // BIN_US, MONDAY // BIN_US - 15 * (DAY_US // BIN_US)
    outages = [
        range(begin, begin + chance.randrange(1, 9)) for begin in chance.sample(range(since, MONDAY // BIN_US), 12)
    ]
    # So that at some hours there were uploads on just enough of the days before, and at others on one fewer.
    away = {(since // day + number, host) for number in range(16) for host in "abc" if chance.random() < 0.4}
    uploads = {
        host: [
            number
            for number in range(since, MONDAY // BIN_US - chance.randrange(day))
            if begins <= number % day < ends
            and (number // day, host) not in away
            and chance.random() < share
            and not any(number in out for out in outages)
        ]
        for host, (begins, ends, share) in {"a": (40, 150, 0.8), "b": (100, 192, 0.6), "c": (0, 60, 0.9)}.items()
    }
    active = {number for numbers in uploads.values() for number in numbers}
    about = {number + apart for number in active for apart in range(-2, 3)}
    quiet = {
        number
        for number in range(since, max(active) + 1)
        if number not in active
        and number - 7 * day in about
        and sum(number - back * day in about for back in range(1, 8)) >= 4
    }
    runs = [{number, number + 1, number + 2} for number in quiet]

    cadence = cadence_of(**{host: [number * BIN_US for number in numbers] for host, numbers in uploads.items()})

    assert bins_of(cadence.outages()) == set[int]().union(*(run for run in runs if run <= quiet))


def test_outages_that_are_known_count_from_whichever_is_later() -> None:
    """They may end after the newest upload of all."""
    cadence = cadence_of(a=[MONDAY])
    cadence.note_outages([Pause(MONDAY + HOUR_US, MONDAY + 2 * HOUR_US, "stopped")])

    assert cadence.outages() == Rhythm(MONDAY // BIN_US, 0)
    assert Cadence(1).outages().bits == 0


def test_a_journal_shows_the_uploads_of_hosts_without_rows() -> None:
    """Only what was accepted counts, and nothing of a host of which there is a row."""
    cadence = Cadence(10)
    answers = [Response("a", MONDAY, 201), Response("b", MONDAY, 412), Response("c", MONDAY, 201)]
    cadence.record_traffic([*answers, Unstamped("d", MONDAY), UnitState(MONDAY, is_running=True)], {"c"}.__contains__)

    assert list(cadence.hosts()) == ["a"]


def test_invented_names_fill_no_memory() -> None:
    """There are never more than twice as many as are watched, and in the end only those that are known."""
    cadence = Cadence(2, HostGlobs(("ignored",)))
    cadence.record(Upload(host, MONDAY) for host in ("ignored", "a", "b", "c", "d", "e"))
    before = list(cadence.hosts())
    cadence.prune({"b"}.__contains__, MONDAY)

    assert before == ["a", "b", "c", "d"]
    assert list(cadence.hosts()) == ["b"]


def test_what_is_long_ago_or_ahead_of_the_clock_is_forgotten() -> None:
    """A host that comes back before that has its rhythm as if it had never been away."""
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
    """As long as nothing has changed, the limit is the same object; a new upload makes another one."""
    cadence = cadence_of(a=every(HOUR_US, MONDAY - 3 * DAY_US, MONDAY))
    one, same = (cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US) for _ in range(2))
    cadence.note("a", MONDAY + 5 * HOUR_US)
    other = cadence.limit_of("a", cadence.outages(), FLOOR_US, CEILING_US)

    assert one is same
    assert other.limit_us > one.limit_us
    assert cadence.limit_of("b", cadence.outages(), FLOOR_US, CEILING_US).limit_us == FLOOR_US
    assert cadence.intervals_of("b", cadence.outages()) == []


@given(st.sets(st.integers(0, 5375), max_size=80))
def test_the_picture_has_every_interval_once(ages: set[int]) -> None:
    """Each in the class of twice the length of the one before."""
    cadence, uploads = Cadence(1), sorted({0, *ages})
    cadence.record(Upload("a", (10_000 - age) * BIN_US) for age in uploads)
    rhythm = cadence.rhythm("a")
    assert rhythm is not None
    lengths = [later - one for one, later in pairwise(uploads)]

    classes = histogram(rhythm, cadence.intervals_of("a", Rhythm(0, 0)))

    assert [up_to for up_to, _ in classes] == [2 * BIN_US << number for number in range(len(classes))]
    for number, (up_to, count) in enumerate(classes):
        least = 0 if number == 0 else up_to // 2
        assert count == sum(least < length * BIN_US <= up_to for length in lengths)
    assert sum(count for _, count in classes) == len(lengths)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (LearnedLimit(1, 0, None, "it is new", is_known=False), "not learned yet: it is new"),
        (LearnedLimit(1, 3, None, "it is steady", is_known=True), "learned: it is steady"),
        (LearnedLimit(1, 3, HOUR_US, "the longest", is_known=True), "learned from 3 intervals: the longest (1 h)"),
    ],
)
def test_it_says_where_it_comes_from(limit: LearnedLimit, words: str) -> None:
    """An operator reads it in `explain` and in the alert."""
    assert limit.in_words() == words


@given(st.sets(st.integers(0, 5375)), st.integers(1, 20), st.integers(0, 200))
def test_a_limit_is_between_the_floor_and_the_ceiling(ages: set[int], floor: int, more: int) -> None:
    """Whatever a host does."""
    rhythm = Rhythm(10_000, sum(1 << age for age in ages | {0}))
    floor_us, ceiling_us = floor * 5 * MINUTE_US, (floor + more) * 5 * MINUTE_US

    assert floor_us <= learned_limit(rhythm, 0, floor_us, ceiling_us).limit_us <= ceiling_us


@pytest.mark.parametrize(
    ("instants", "share"),
    [
        pytest.param(every(5 * MINUTE_US, FOUR_WEEKS, MONDAY + 1), 1, id="a steady host"),
        pytest.param(steady_then(every(15 * MINUTE_US, MONDAY - 2 * HOUR_US, MONDAY + 1)), 0.5, id="half of it"),
        pytest.param(
            [*every(5 * MINUTE_US, MONDAY - 5 * DAY_US - 3 * HOUR_US, MONDAY - 3 * HOUR_US), MONDAY],
            1 / 16,
            id="once, of five days",
        ),
        pytest.param(
            [*every(5 * MINUTE_US, MONDAY - 4 * DAY_US - 3 * HOUR_US, MONDAY - 3 * HOUR_US), MONDAY],
            1,
            id="once, of four days",
        ),
        pytest.param(
            [*by_day((20, 24), FOUR_WEEKS, MONDAY - 3 * DAY_US), MONDAY], 1 / 15, id="days without uploads do not count"
        ),
    ],
)
def test_what_a_host_uploaded_lately_is_compared_with_other_days(instants: list[int], share: float) -> None:
    """With the median of those on which it uploaded at that time, if there are five; a host of fewer is as usual."""
    cadence = cadence_of(a=instants)

    assert cadence.share_of_usual("a", 2 * HOUR_US) == share
    assert cadence.share_of_usual("b", 2 * HOUR_US) == 1


@pytest.mark.parametrize(("known_us", "is_known"), [(12 * HOUR_US - BIN_US, False), (12 * HOUR_US, True)])
def test_a_limit_is_learned_once_a_host_is_known_for_half_a_day(known_us: int, *, is_known: bool) -> None:
    """Until then it is the floor."""
    found = limit_of([MONDAY, MONDAY + known_us])
    rhythm = cadence_of(a=[MONDAY, MONDAY + known_us]).rhythm("a")

    assert found.is_known == is_known
    assert (found.limit_us > FLOOR_US) == is_known
    assert rhythm is not None
    assert rhythm.known_us == known_us


@given(
    st.sets(st.integers(0, 6_000), min_size=1, max_size=40),
    st.sets(st.integers(0, 6_000), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_what_two_know_of_a_host_is_what_one_would_know(first: set[int], second: set[int], outage: int) -> None:
    """A restored state is joined with what was read meanwhile, of uploads and of outages."""
    whole, one, other = (
        cadence_of(a=[number * BIN_US for number in numbers]) for numbers in (first | second, first, second)
    )
    stops = [Pause(10 * BIN_US, (10 + outage) * BIN_US, "stopped"), Pause(40 * BIN_US, 43 * BIN_US, "stopped")]
    whole.note_outages(stops)
    one.note_outages(stops[:1])
    other.note_outages(stops[1:])
    one.restore(other.snapshot(1))

    assert one.rhythm("a") == whole.rhythm("a")
    assert one.outages() == whole.outages()


def test_a_regular_rhythm_takes_few_octets_of_the_state() -> None:
    """Of most hosts the bits repeat themselves, and are compressed."""
    saved = cadence_of(a=every(HOUR_US, FOUR_WEEKS, MONDAY)).snapshot(MONDAY).hosts["a"]

    assert len(saved.bits) <= 32


def test_a_host_of_which_nothing_is_known_is_compared_with_nothing() -> None:
    """Nor is one that had uploaded nothing for a day at the latest half hour."""
    cadence = cadence_of(a=every(HOUR_US, FOUR_WEEKS, MONDAY))
    outages, last_at = cadence.outages(), MONDAY - HOUR_US
    now = last_at + DAY_US + 30 * MINUTE_US

    assert cadence.compared_day("b", outages, now) == ComparedDay(0, 0, 0, 0, 0)
    assert cadence.compared_day("a", outages, now) == ComparedDay(0, 0, 0, 0, 0)
    assert cadence.compared_day("a", outages, now - 1).parts > 0


@pytest.mark.parametrize(
    ("days", "is_steady"),
    [
        pytest.param((7, 14), False, id="at this hour of the last two weeks"),
        pytest.param((6, 12), True, id="at this hour of two other days"),
        pytest.param((8, 16), True, id="at this hour of two others"),
        pytest.param((7,), False, id="at this hour of one of three weeks"),
        pytest.param((2, 9, 16), False, id="on more than a tenth of the days"),
    ],
)
def test_a_host_is_not_steady_at_an_hour_of_the_week_at_which_it_rests(
    days: tuple[int, ...], *, is_steady: bool
) -> None:
    """Though it is on nearly all days: by the weeks in which it rests then, or by the days."""
    rests = [MONDAY - day * DAY_US for day in days]
    uploads = [
        at
        for at in every(5 * MINUTE_US, FOUR_WEEKS, MONDAY)
        if not any(rest < at < rest + 5 * HOUR_US for rest in rests)
    ]

    assert (limit_of(uploads).reason == "it uploads steadily at this hour") == is_steady


@pytest.mark.parametrize(("out", "length"), [(9, 10), (10, 9), (11, 9), (17, 9), (18, 9), (19, 10), (20, 10)])
def test_of_an_interval_each_bin_is_left_out_in_which_nobody_could_upload(out: int, length: int) -> None:
    """Those between two uploads, the first and the last of them; not those of the uploads themselves."""
    cadence = cadence_of(a=[9 * BIN_US, 19 * BIN_US])

    assert cadence.intervals_of("a", Rhythm(out, 1)) == [Interval(9, length, 19)]


def test_of_a_host_that_is_not_known_the_shortest_limit_is_no_learned_one() -> None:
    """There is not one interval that it comes from."""
    limit = cadence_of().limit_of("nobody", Rhythm(0, 0), HOUR_US, DAY_US)

    assert limit == LearnedLimit(HOUR_US, 0, None, "nothing is known of its rhythm yet", is_known=False)
