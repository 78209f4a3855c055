"""What a source has shown and what is missing, compared with a count instant by instant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet_health.model.coverage import (
    _IN_FLIGHT_US,
    CLOCK_SET,
    CLOCKS_US,
    NOT_UNDERSTOOD,
    REMOVED,
    SEVERAL,
    SUPPRESSED,
    Coverage,
    Gap,
    Share,
    Understanding,
    latest_run,
    recent,
)

END = 60
WINDOW = 10

gaps = st.lists(
    st.builds(
        lambda since, length, reason, messages: Gap(since, since + length, reason, messages),
        st.integers(0, END),
        st.integers(0, 15),
        st.sampled_from([SUPPRESSED, REMOVED, CLOCK_SET]),
        st.integers(0, 3),
    ),
    max_size=8,
)


@given(gaps, st.none() | st.integers(0, END), st.integers(0, END), st.integers(0, END))
def test_how_much_was_not_seen(found: list[Gap], unseen_since: int | None, since: int, length: int) -> None:
    """Overlapping gaps count once; a stretch is whole if nothing is missing from it."""
    coverage, until = Coverage("journal", unseen_since, gaps=tuple(found)), since + length
    stretches = [(gap.since, gap.until) for gap in found] + ([] if unseen_since is None else [(unseen_since, 10_000)])
    unseen = sum(any(begin <= at < end for begin, end in stretches) for at in range(since, until))

    assert coverage.unseen_us(since, until) == unseen
    assert coverage.is_whole(since, until) == (not any(a <= until and since <= b for a, b in stretches))
    assert not coverage.is_whole(since, until) or coverage.missing(since, until) == 0


@pytest.mark.parametrize(
    ("coverage", "missing"),
    [
        (Coverage("journal"), 0),
        (Coverage("journal", gaps=(Gap(0, 9, SUPPRESSED, 5),)), 0),
        (Coverage("journal", gaps=(Gap(0, 10, SUPPRESSED, 5), Gap(20, 30, SUPPRESSED, 2))), 7),
        (Coverage("journal", gaps=(Gap(12, 13, SUPPRESSED, 5), Gap(14, 15, SUPPRESSED))), None),
        (Coverage("journal", gaps=(Gap(12, 13, SUPPRESSED, 5), Gap(14, 15, REMOVED))), None),
        (Coverage("journal", gaps=(Gap(12, 13, CLOCK_SET),)), None),
        (Coverage("journal", gaps=(Gap(12, 13, SEVERAL, 5),)), None),
        (Coverage("journal", unseen_since=20), None),
        (Coverage("journal", unseen_since=21), 0),
    ],
)
def test_how_many_messages_are_missing(coverage: Coverage, missing: int | None) -> None:
    """The sum over the gaps between 10 and 20, if each gap was counted."""
    assert coverage.missing(10, 20) == missing


@pytest.mark.parametrize(
    ("other", "is_covered"),
    [
        pytest.param(Gap(10, 20, REMOVED), True, id="the same stretch"),
        pytest.param(Gap(11, 19, REMOVED), True, id="a part of it"),
        pytest.param(Gap(9, 20, REMOVED), False, id="it begins earlier"),
        pytest.param(Gap(10, 21, REMOVED), False, id="it ends later"),
        pytest.param(Gap(10, 20, SUPPRESSED), False, id="another reason"),
    ],
)
def test_a_gap_covers_what_adds_nothing(other: Gap, *, is_covered: bool) -> None:
    """Both ends of a gap belong to it."""
    assert Gap(10, 20, REMOVED).covers(other) == is_covered


@given(gaps)
def test_a_run_is_what_leaves_no_window_whole(found: list[Gap]) -> None:
    """No window that ends during the run, or within a window after it, is whole; one before it is."""
    run = latest_run(found, WINDOW)
    lossy = Coverage("journal", gaps=tuple(gap for gap in found if gap.reason != CLOCK_SET))
    if run is None:
        assert lossy.gaps == ()
        return

    assert not any(lossy.is_whole(at - WINDOW, at) for at in range(run.since, run.until + WINDOW + 1))
    assert lossy.is_whole(run.until + 1, run.until + WINDOW + 1)
    assert not any(run.since - WINDOW <= gap.until < run.since for gap in lossy.gaps)
    within = [gap for gap in lossy.gaps if gap.since >= run.since]
    assert (run.messages, run.gaps) == (sum(gap.messages for gap in within), len(within))


@example([Gap(10, 11, SUPPRESSED, 2), Gap(10, 20, SUPPRESSED, 3)], 15)
@given(gaps, st.integers(0, END + 20))
def test_what_is_kept_of_gaps_loses_no_run(found: list[Gap], since: int) -> None:
    """Recent gaps are kept as they are, and the run that leads up to them keeps its begin and its counts."""
    kept = recent(found, since, WINDOW)
    before, after = latest_run(found, WINDOW), latest_run(kept, WINDOW)

    assert [gap for gap in kept if gap.until >= since] == sorted(
        (gap for gap in found if gap.until >= since), key=lambda gap: gap.since
    )
    assert len([gap for gap in kept if gap.until < since]) <= 1
    if before is not None and before.until >= since and any(gap.reason != CLOCK_SET for gap in kept):
        assert after is not None
        assert (after.since, after.until, after.messages) == (before.since, before.until, before.messages)


@pytest.mark.parametrize(
    ("share", "is_understood"),
    [
        pytest.param(Share(), True, id="nothing came in"),
        pytest.param(Share(4, 0, 4), True, id="a few, of which none was understood"),
        pytest.param(Share(5, 0, 5), False, id="several, of which none was"),
        pytest.param(Share(50, 41, 9, 3), True, id="a few after one that was"),
        pytest.param(Share(50, 40, 10, 3), False, id="many in a row after one that was"),
        pytest.param(Share(50, 1, 0, 3), True, id="the last one was, and hardly another"),
    ],
)
def test_when_a_format_counts_as_not_understood(share: Share, is_understood: bool) -> None:  # noqa: FBT001
    """If none of several lines is understood; after lines that were, it takes more in a row."""
    assert share.is_understood == is_understood


pieces = st.lists(st.lists(st.booleans(), max_size=12), max_size=6)


@given(pieces)
def test_a_share_grows_by_what_comes_in_after_it(blocks: list[list[bool]]) -> None:
    """How the input is cut into blocks makes no difference."""
    share, number = Share(), 0
    for block in blocks:
        whens = [number + place for place, good in enumerate(block) if good]
        number += len(block)
        missed = len(block) if not any(block) else block[::-1].index(True)
        share = share.followed_by(Share(len(block), sum(block), missed, max(whens, default=None)))
    whole = [good for block in blocks for good in block]
    last = max((place for place, good in enumerate(whole) if good), default=None)

    assert share == Share(len(whole), sum(whole), len(whole) - 1 - (-1 if last is None else last), last)


NOTHING_UNDERSTOOD = Share(20, 0, 20)
NO_MORE = Share(20, 10, 10, 15)


@pytest.mark.parametrize(
    ("coverage", "is_whole", "is_shown", "reaches", "unread"),
    [
        (Coverage("journal"), True, True, True, []),
        (Coverage("journal", begins_at=10), True, True, True, []),
        (Coverage("journal", begins_at=11), True, True, False, [(10, 11, "the journal begins later")]),
        (Coverage("index", begins_at=99), True, True, False, [(10, 20, "the index begins later")]),
        (Coverage("index", share=NOTHING_UNDERSTOOD), False, True, True, [(10, 20, NOT_UNDERSTOOD)]),
        (Coverage("index", share=NO_MORE), False, True, True, [(15, 20, NOT_UNDERSTOOD)]),
        (Coverage("index", share=Share(20, 10, 10, 20)), True, True, True, []),
        (Coverage("index", 12, "it is gone"), False, False, True, [(12, 20, "it is gone")]),
        (Coverage("index", 20, "it is gone"), False, False, True, [(20, 20, "it is gone")]),
        (Coverage("index", 21, "it is gone"), True, True, True, []),
        (
            Coverage("journal", gaps=(Gap(18, 19, REMOVED), Gap(12, 13, SUPPRESSED)), begins_at=11),
            False,
            False,
            False,
            [(10, 11, "the journal begins later"), (12, 13, SUPPRESSED), (18, 19, REMOVED)],
        ),
    ],
)
def test_what_was_seen_of_a_stretch_of_time(
    coverage: Coverage,
    is_whole: bool,  # noqa: FBT001
    is_shown: bool,  # noqa: FBT001
    reaches: bool,  # noqa: FBT001
    unread: list[tuple[int, int, str]],
) -> None:
    """Between 10 and 20: whether everything was read and understood, how far back the source reaches, and the rest."""
    assert (coverage.is_whole(10, 20), coverage.is_shown(10, 20), coverage.reaches(10)) == (is_whole, is_shown, reaches)
    assert [(gap.since, gap.until, gap.reason) for gap in coverage.unread(10, 20)] == unread
    assert (coverage.missing(10, 20) is None) == (not is_whole)


def missed(*items: int | None) -> list[tuple[int, int, int]]:
    """Return the stretches of which nothing was understood, of items at an instant or, with None, not understood."""
    understanding = Understanding()
    for at in items:
        understanding.take(at or 0, is_missed=at is None, is_understood=at is not None)
    return [(one.since, one.until, one.messages) for one in understanding.misses]


@pytest.mark.parametrize(
    ("items", "misses"),
    [
        ([1, *[None] * 9, 2], []),
        ([1, *[None] * 10, 2], [(1, 2, 10)]),
        ([*[None] * 4, 2], []),
        ([*[None] * 5, 2], [(0, 2, 5)]),
        ([1, *[None] * 10], []),
        ([1, *[None] * 10, 2, *[None] * 11, 3], [(1, 2, 10), (2, 3, 11)]),
        ([5, 1, *[None] * 10, 7], [(5, 7, 10)]),
    ],
)
def test_a_stretch_that_was_not_understood_ends_with_what_is(
    items: list[int | None], misses: list[tuple[int, int, int]]
) -> None:
    """It takes as many lines as a share does; a stretch without an end is reported by the share."""
    assert missed(*items) == misses


def test_what_is_neither_changes_nothing() -> None:
    """Most lines of a journal are not about an upload."""
    understanding = Understanding()
    understanding.take(5, is_missed=False, is_understood=False)
    for _ in range(5):
        understanding.note_missed()
    understanding.note(9)

    assert [(one.since, one.until) for one in understanding.misses] == [(0, 9)]


@pytest.mark.parametrize(("at", "is_understood"), [(10, True), (11, False), (19, False), (20, True)])
def test_as_of_an_instant_of_the_past_the_share_is_that_of_then(at: int, *, is_understood: bool) -> None:
    """Within a stretch that was not understood the share is zero; at its ends it is not."""
    known = Coverage("index", share=Share(20, 10, 0, 30), misses=(Gap(10, 20, NOT_UNDERSTOOD, 10),))

    assert known.as_of(at).share.is_understood == is_understood
    assert known.as_of(at).is_understood(at) == is_understood
    assert [(one.since, one.until) for one in known.unread(5, 15)] == [(10, 20)]
    assert [(one.since, one.until) for one in known.unread(12, 15)] == [(12, 20)]
    assert known.unread(21, 25) == []


@pytest.mark.parametrize(
    ("gap", "cause"),
    [
        pytest.param(Gap(0, 1, SUPPRESSED), "rate limit", id="nobody counted"),
        pytest.param(Gap(0, 1, SUPPRESSED, 5), "journald suppressed 5 messages", id="journald counted"),
        pytest.param(Gap(0, 1, REMOVED, 5), "5 messages may be missing", id="we counted"),
    ],
)
def test_a_gap_says_how_many_messages_are_missing(gap: Gap, cause: str) -> None:
    """If that is known; otherwise it states only the reason."""
    assert gap.cause == (gap.reason if not gap.messages else cause)


def test_a_gap_is_shown_to_people_and_programs() -> None:
    """With its begin and end in UTC; an unknown number of messages is null, not 0."""
    gap = Gap(0, 3_600_000_000, REMOVED)
    row = {"since_wall": "1970-01-01T00:00:00+00:00", "until_wall": "1970-01-01T01:00:00+00:00", "reason": REMOVED}

    assert gap.row() == {**row, "messages": None}
    assert Gap(0, 3_600_000_000, REMOVED, 7).row() == {**row, "messages": 7}
    assert gap.in_words("journal") == f"journal from 1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z: {REMOVED}"


def test_a_share_is_shown_to_programs() -> None:
    """As the number of lines that came in, and how many were understood."""
    assert Share(7, 5, 2, 1).row() == {"came_in": 7, "understood": 5}


SECOND = 1_000_000


@pytest.mark.parametrize(
    ("coverage", "rows", "is_unmatched"),
    [
        pytest.param({}, [500], True, id="rows tell of an upload, and no line does"),
        pytest.param({}, [], False, id="no upload at all"),
        pytest.param({"share": Share(1, 1, 0, 400 * SECOND)}, [500], False, id="a line was understood"),
        pytest.param({"read_since": None}, [500], False, id="it was never read"),
        pytest.param({"source": "index"}, [500], False, id="the index"),
        pytest.param({"begins_at": 200 * SECOND}, [500], False, id="it may begin after the line of the upload"),
        pytest.param({"unseen_since": 1_000 * SECOND}, [500], False, id="it is not read at the moment"),
        pytest.param({}, [300], False, id="an upload that may be older, by the other clock, than what was read"),
        pytest.param({}, [990], False, id="an upload whose line may still be on its way"),
    ],
)
def test_a_journal_without_any_response_is_unmatched_where_rows_show_uploads(
    coverage: dict[str, Any], rows: list[int], *, is_unmatched: bool
) -> None:
    """Its lines belong to another program, or the patterns do not match their format."""
    seen = replace(Coverage("journal", read_since=0), **coverage)

    assert seen.is_unmatched([row * SECOND for row in rows], 1_000 * SECOND) == is_unmatched


def test_the_rows_that_leave_a_journal_unmatched_are_neither_too_early_nor_too_late() -> None:
    """Both ends of the stretch are left out, because clocks differ a little and a line takes time."""
    seen, now = Coverage("journal", read_since=0), 1_000 * SECOND
    unmatched = [at for at in range(0, now + 1, SECOND // 2) if seen.is_unmatched([at], now)]

    assert (unmatched[0], unmatched[-1]) == (CLOCKS_US + SECOND // 2, now - _IN_FLIGHT_US - SECOND // 2)


def test_what_was_not_seen_of_a_source_that_begins_later_is_what_came_after() -> None:
    """Entries from before its begin were not lost; other gaps count, even right after it."""
    seen = Coverage("journal", begins_at=10, gaps=(Gap(5, 20, REMOVED), Gap(30, 35, REMOVED)))

    assert seen.unseen_us(0, 100) == 20
    assert [gap.reason for gap in seen.unread(0, 100)] == ["the journal begins later", REMOVED, REMOVED]


def test_a_doubt_covers_all_of_a_stretch() -> None:
    """Nothing in such a stretch can be relied on."""
    assert Coverage("journal", doubt="the clock is wrong").unread(3, 9) == [Gap(3, 9, "the clock is wrong")]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(5, 0, id="nothing has come yet"),
        pytest.param(10, 10, id="the first entry"),
        pytest.param(15, 15, id="now and then one"),
        pytest.param(20, 20, id="the last one before a stretch without any"),
        pytest.param(21, 20, id="within it"),
        pytest.param(49, 20, id="at its end"),
        pytest.param(50, 50, id="there is one again"),
        pytest.param(60, 60, id="the last one of all"),
        pytest.param(70, 60, id="nothing comes since"),
    ],
)
def test_it_is_known_of_the_past_since_when_nothing_came(at: int, expected: int) -> None:
    """Also for a stretch after which entries came again."""
    coverage = Coverage("journal", quiet_since=60, quiet=((0, 10), (20, 50)))

    assert coverage.as_of(at).quiet_since == expected


@pytest.mark.parametrize(("apart", "leads_up"), [(WINDOW, True), (WINDOW + 1, False)])
def test_what_leads_up_to_the_recent_gaps_is_no_further_apart_than_a_window(apart: int, *, leads_up: bool) -> None:
    """A distance of exactly one window is near enough: no window was whole."""
    early, late = Gap(0, 5, REMOVED), Gap(5 + apart, 6 + apart, REMOVED)

    assert recent([early, late], 6 + apart, WINDOW) == ([early, late] if leads_up else [late])
