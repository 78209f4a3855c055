"""The strips of the last hours and days: what they show in each bin."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.fleet import Fleet
from fleet_health.model.history import (
    History,
    HistorySnapshot,
    long_strip_at,
    long_strip_of,
    strip_at,
    strip_of,
)
from fleet_health.model.observation import Response, Upload
from fleet_health.model.strip import BIN_US, BINS, LONG_BIN_US, LONG_BINS
from tests.rig.properties import tried

MINUTE = 60_000_000
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z, where a bin begins."""


def fleet_with(*observations: Upload | Response) -> Fleet:
    """Make a fleet that has seen some things."""
    fleet = Fleet()
    fleet.uploads.record([one for one in observations if isinstance(one, Upload)])
    fleet.traffic.record([one for one in observations if isinstance(one, Response)])
    return fleet


def shown(history: History, host: str = "a") -> str:
    """Return the strip, without the unseen bins at its begin."""
    return strip_of(history.snapshot, host).lstrip(" ")


def test_a_first_look_shows_what_is_known() -> None:
    """It shows the last upload, and refusals as far back as the journal was read; the time before is blank."""
    history = History()
    history.note(
        fleet_with(
            Upload("a", NOON - 20 * MINUTE), Response("a", NOON - 1, 412), Response("b", NOON - 31 * MINUTE, 500)
        ),
        NOON + MINUTE,
        known_since=NOON - 29 * MINUTE,
    )

    assert strip_of(history.snapshot, "a") == " " * (BINS - 3) + "sr."
    assert strip_of(history.snapshot, "b") == " " * (BINS - 3) + "..."
    assert strip_of(history.snapshot, "nobody") == " " * (BINS - 3) + "..."


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        ([Upload("a", NOON)], "s"),
        ([Response("a", NOON, 404)], "r"),
        ([Response("a", NOON, 503)], "r"),
        ([Response("a", NOON, 201)], "s"),
        ([Upload("a", NOON), Response("a", NOON, 404)], "b"),
        ([Response("a", NOON + 1, 404)], "."),
        ([Upload("b", NOON)], "."),
    ],
)
def test_each_thing_has_its_character(observations: list[Upload | Response], expected: str) -> None:
    """An upload that only the journal shows counts too."""
    history = History()
    history.note(fleet_with(*observations), NOON, known_since=NOON)

    assert shown(history) == expected


@pytest.mark.parametrize(("age_us", "expected"), [(BINS * BIN_US - 1, "s"), (BINS * BIN_US, ".")])
def test_the_oldest_bin_is_the_last_that_is_known(age_us: int, expected: str) -> None:
    """Anything older is not shown."""
    history = History()
    history.note(fleet_with(Upload("a", NOON + BIN_US - 1 - age_us)), NOON + BIN_US - 1, known_since=0)

    assert strip_of(history.snapshot, "a") == expected + "." * (BINS - 1)


def test_it_moves_on_with_time() -> None:
    """A bin moves left every quarter of an hour until it drops out, and the host is forgotten."""
    history, fleet = History(), fleet_with(Upload("a", NOON))
    strips = []
    for quarter in range(BINS + 1):
        history.note(fleet, NOON + quarter * BIN_US, known_since=NOON)
        strips.append(shown(history))

    assert strips[:3] == ["s", "s.", "s.."]
    assert strips[BINS - 1] == "s" + "." * (BINS - 1)
    assert strips[BINS] == "." * BINS
    assert history.snapshot.marks == {}


def test_a_refusal_before_the_last_look_is_not_asked_for_again() -> None:
    """The windows forget old refusals; the strip does not."""
    history = History()
    history.note(fleet_with(Response("a", NOON, 412)), NOON, known_since=NOON)
    history.note(fleet_with(), NOON + 5 * MINUTE, known_since=NOON - 25 * MINUTE)

    assert shown(history) == "r"


def test_it_survives_a_restart_and_shows_the_time_that_nobody_watched() -> None:
    """The unwatched stretch ends where the journal is read again."""
    history = History()
    history.note(fleet_with(Upload("a", NOON)), NOON, known_since=NOON)
    snapshot = msgspec.json.decode(msgspec.json.encode(history.snapshot), type=HistorySnapshot)
    history = History(snapshot)
    history.note(fleet_with(Upload("a", NOON)), NOON + 4 * BIN_US, known_since=NOON + 3 * BIN_US)

    assert shown(history) == "s  .."


@pytest.mark.parametrize("step", [-BIN_US, 100 * BIN_US, -100 * BIN_US])
def test_a_clock_that_is_set_does_no_harm(step: int) -> None:
    """Marks that would be in the future, or are too old, are dropped."""
    history, fleet = History(), fleet_with(Response("a", NOON, 412))
    history.note(fleet, NOON, known_since=NOON)
    history.note(fleet_with(), NOON + step, known_since=NOON + step)

    assert shown(history) == "."


def test_a_reader_of_the_snapshot_is_not_disturbed() -> None:
    """Another thread may read it during the next evaluation."""
    history = History()
    history.note(fleet_with(Upload("a", NOON)), NOON, known_since=NOON)
    before = history.snapshot
    content = msgspec.json.encode(before)
    history.note(fleet_with(Upload("a", NOON), Upload("b", NOON)), NOON + MINUTE, known_since=NOON)

    assert msgspec.json.encode(before) == content


@tried(100)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 7 * 60), st.sampled_from(["note", "upload", "refuse"]), st.sampled_from(["a", "b", "c"])
        ),
        max_size=25,
    ),
    st.integers(0, 30 * 60),
)
def test_between_evaluations_a_strip_is_what_one_would_make_of_it(
    events: list[tuple[int, str, str]], rest: int
) -> None:
    """Whatever was noted, and however long ago; it is empty before the first evaluation."""
    history, fleet, now = History(), Fleet(), NOON
    for minutes, what, host in sorted(events):
        now = NOON + minutes * MINUTE
        match what:
            case "note":
                history.note(fleet, now, NOON - BIN_US)
            case "upload":
                fleet.uploads.record([Upload(host, now)])
            case _:
                fleet.traffic.record([Response(host, now, 412)])
    now += rest * MINUTE
    before = history.snapshot
    as_of_now = {host: (strip_at(before, fleet, host, now), long_strip_at(before, fleet, host, now)) for host in "abc"}
    history.note(fleet, now, NOON - BIN_US)

    after = history.snapshot
    if before.noted_at is None:
        assert set(as_of_now.values()) == {(" " * BINS, " " * LONG_BINS)}
    else:
        assert as_of_now == {host: (strip_of(after, host), long_strip_of(after, host)) for host in "abc"}


@tried(100)
@given(
    st.lists(st.tuples(st.integers(0, 8 * 24 * 4), st.sampled_from(["upload", "refuse", "nothing"])), max_size=40),
    st.integers(1, 12),
)
def test_the_long_strip_shows_what_the_quarters_of_an_hour_showed(events: list[tuple[int, str]], every: int) -> None:
    """If each quarter is evaluated, a long bin shows exactly what happened in its time, also after a restart."""
    what_at = dict(events)
    history, fleet, last = History(), Fleet(), 8 * 24 * 4
    for quarter in range(last + 1):
        at = NOON + quarter * BIN_US
        match what_at.get(quarter):
            case "upload":
                fleet.uploads.record([Upload("a", at)])
            case "refuse":
                fleet.traffic.record([Response("a", at, 412)])
        history.note(fleet, at, NOON)
        if not quarter % every:
            encoded = msgspec.json.encode(history.snapshot)
            history = History(msgspec.json.decode(encoded, type=HistorySnapshot))
    expected = ""
    newest = (NOON + last * BIN_US) // LONG_BIN_US
    for number in range(newest - LONG_BINS + 1, newest + 1):
        kinds = {what for quarter, what in what_at.items() if (NOON + quarter * BIN_US) // LONG_BIN_US == number}
        expected += {(True, True): "b", (True, False): "s", (False, True): "r", (False, False): "."}[
            "upload" in kinds, "refuse" in kinds
        ]

    assert long_strip_of(history.snapshot, "a") == expected


def test_what_happened_before_a_long_pause_stays_in_the_long_strip() -> None:
    """A service that was down for longer than the short strip loses nothing, and shows that it did not watch."""
    history = History()
    history.note(fleet_with(Upload("a", NOON)), NOON, known_since=NOON)
    history.note(fleet_with(), NOON + 3 * LONG_BIN_US, known_since=NOON + 3 * LONG_BIN_US)

    assert long_strip_of(history.snapshot, "a") == " " * (LONG_BINS - 4) + "s  ."
    assert strip_of(history.snapshot, "a") == " " * (BINS - 1) + "."


def test_of_forgotten_hosts_those_seen_last_are_shown_longest() -> None:
    """Invented names are bounded by the number of places for strangers."""
    fleet = Fleet(1)
    limit = fleet.traffic.stranger_limit
    # Refused or uploaded: what counts is when anything was seen of a host.
    # What came before does not.
    before = 1 << BINS - 1
    marks = {f"gone-{age}": 1 << age + (BINS if age % 2 else 0) | before for age in range(min(limit + 2, BINS))}
    assert len(marks) == limit + 2
    history = History(HistorySnapshot(NOON, 1, marks))

    history.note(fleet, NOON, known_since=NOON)

    assert set(history.snapshot.marks) == {f"gone-{age}" for age in range(limit)}


def test_what_is_dated_ahead_of_the_clock_is_not_shown_yet() -> None:
    """An upload of the next quarter of an hour appears when that begins."""
    history, fleet = History(), fleet_with(Upload("a", NOON + BIN_US))
    history.note(fleet, NOON, known_since=NOON)
    as_of_now = strip_at(history.snapshot, fleet, "a", NOON)
    later = strip_at(history.snapshot, fleet, "a", NOON + BIN_US)

    assert (shown(history), as_of_now.lstrip(" "), later.lstrip(" ")) == (".", ".", ".s")
