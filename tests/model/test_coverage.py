"""What a source has shown, and what of it is missing: compared with counting instant by instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.coverage import CLOCK_SET, REMOVED, SEVERAL, SUPPRESSED, Coverage, Gap, latest_run, recent

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
    """Each stretch counts once, however many gaps it is in; whole is what nothing is missing of."""
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
    """Between 10 and 20: the sum, if each gap was counted."""
    assert coverage.missing(10, 20) == missing


@given(gaps)
def test_a_run_is_what_leaves_no_window_whole(found: list[Gap]) -> None:
    """From the begin of a run to its end, and a window further, no window is whole; before it one was."""
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


@given(gaps, st.integers(0, END + 20))
def test_what_is_kept_of_gaps_loses_no_run(found: list[Gap], since: int) -> None:
    """What ends since an instant is as it was, and the run that leads up to it keeps its begin and its counts."""
    kept = recent(found, since, WINDOW)
    before, after = latest_run(found, WINDOW), latest_run(kept, WINDOW)

    assert [gap for gap in kept if gap.until >= since] == sorted(
        (gap for gap in found if gap.until >= since), key=lambda gap: gap.since
    )
    assert len([gap for gap in kept if gap.until < since]) <= 1
    if before is not None and before.until >= since and any(gap.reason != CLOCK_SET for gap in kept):
        assert after is not None
        assert (after.since, after.until, after.messages) == (before.since, before.until, before.messages)
