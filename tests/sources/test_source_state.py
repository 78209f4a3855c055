"""How well a source sees: in words for people, and as coverage for an evaluation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.model.coverage import REMOVED, SUPPRESSED, Gap, Share
from fleet_health.model.instant import SECOND_US
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.state import Phase, SourceState, no_later_than_written

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
MINUTE_US = 60 * SECOND_US
FOLLOWING: dict[str, Any] = {"phase": Phase.FOLLOWING, "seen_until": NOW - 2 * SECOND_US}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        pytest.param({"read": 7}, "index catching up, 7 read", id="it catches up"),
        pytest.param({"read": 7, "reason": "old"}, "index catching up, 7 read", id="why it was away before is over"),
        pytest.param(FOLLOWING, "index following, 2 s behind", id="it follows"),
        pytest.param(
            {"phase": Phase.FOLLOWING, "seen_until": NOW + SECOND_US},
            "index following, 0 s behind",
            id="it is never ahead of the clock",
        ),
        pytest.param({"phase": Phase.WAITING, "reason": "no file"}, "index waiting (no file)", id="it waits, and why"),
        pytest.param({"phase": Phase.FAILING}, "index failing", id="it fails, and nobody knows why"),
        pytest.param(
            FOLLOWING | {"unmatched": "no response"},
            "index following, 2 s behind, nothing of the receiver in it",
            id="no line is a response",
        ),
        pytest.param(
            FOLLOWING | {"unheard": ("no unit",), "void_since": NOW},
            "index following, 2 s behind, nothing of the receiver in it",
            id="no entry of any unit",
        ),
        pytest.param(
            FOLLOWING | {"unheard": ("no unit",)},
            "index following, 2 s behind, not all of it",
            id="no entry of one of several units",
        ),
        pytest.param(FOLLOWING | {"share": Share(4, 2)}, "index following, 2 s behind", id="half is understood"),
        pytest.param(
            FOLLOWING | {"share": Share(5, 2, 0, NOW)},
            "index following, 2 s behind, 2 of 5 understood",
            id="less than half is understood",
        ),
        pytest.param(
            FOLLOWING | {"share": Share(90, 80, 10, NOW)},
            "index following, 2 s behind, 80 of 90 understood",
            id="none of the last ten is understood",
        ),
        pytest.param(
            FOLLOWING | {"late_us": 2 * MINUTE_US},
            "index following, 2 s behind, rows dated 2 min before they were written",
            id="rows are dated late",
        ),
        pytest.param(
            FOLLOWING | {"unread": {"a.1": "it is damaged", "a.2": "no permission"}},
            "index following, 2 s behind, 2 rotated files not read (it is damaged)",
            id="rotated files were not read",
        ),
        pytest.param(
            FOLLOWING | {"gaps": [Gap(NOW - 9 * MINUTE_US, NOW - 8 * MINUTE_US, SUPPRESSED, 3)]},
            "index following, 2 s behind, 1 gap"
            " (journald suppressed 3 messages, from 2026-11-23T11:51:00Z to 2026-11-23T11:52:00Z)",
            id="a gap",
        ),
    ],
)
def test_a_source_is_summed_up_in_a_few_words(state: dict[str, Any], words: str) -> None:
    """Only what is not as usual is mentioned."""
    assert SourceState("index", **state).summary(NOW) == words


def test_of_the_gaps_those_of_the_window_are_named_together() -> None:
    """A gap that ends exactly at the begin of the window is included."""
    gaps = [
        Gap(NOW - 60 * MINUTE_US, NOW - 30 * MINUTE_US - 1, REMOVED),
        Gap(NOW - 40 * MINUTE_US, NOW - 30 * MINUTE_US, REMOVED),
        Gap(NOW - 5 * MINUTE_US, NOW - 4 * MINUTE_US, REMOVED),
    ]
    state = SourceState("journal", gaps=gaps, window_us=30 * MINUTE_US, read=1)

    assert state.summary(NOW) == (
        "journal catching up, 1 read, 2 gaps in the last 30 min"
        f" ({REMOVED}, from 2026-11-23T11:20:00Z to 2026-11-23T11:56:00Z)"
    )
    assert state.summary(NOW + 60 * MINUTE_US) == "journal catching up, 1 read"


def test_the_three_most_frequent_reasons_of_rejections_are_named() -> None:
    """The others are counted together."""
    state = SourceState("index")
    for count, reason in ((4, "a"), (3, "b"), (2, "c")):
        state.rejections.add([Rejection(reason, "")] * count)
    three = state.summary(NOW)
    state.rejections.add([Rejection("d", ""), Rejection("e", "")])

    assert three == "index catching up, 0 read, 9 rejected (4 a, 3 b, 2 c)"
    assert state.summary(NOW) == "index catching up, 0 read, 11 rejected (4 a, 3 b, 2 c, 2 for 2 other reasons)"


@pytest.mark.parametrize(
    ("state", "is_seen", "is_seeing"),
    [
        pytest.param({"phase": Phase.FOLLOWING, "seen_until": NOW}, True, True, id="it was read up to the present"),
        pytest.param({"phase": Phase.FOLLOWING, "seen_until": NOW - 1}, False, True, id="it is behind"),
        pytest.param({"phase": Phase.FOLLOWING}, False, True, id="it was never read to its end"),
        pytest.param({"phase": Phase.CATCHING_UP, "seen_until": NOW}, False, True, id="there is more to read"),
        pytest.param({"phase": Phase.FAILING, "unseen_since": NOW}, False, False, id="it cannot be read"),
        pytest.param(
            {"phase": Phase.FOLLOWING, "seen_until": NOW, "share": Share(5, 0, 5)},
            True,
            False,
            id="it is not understood",
        ),
        pytest.param(
            {"phase": Phase.FOLLOWING, "seen_until": NOW, "unheard": ("no unit",)}, True, False, id="it lacks a unit"
        ),
        pytest.param(
            {"phase": Phase.FOLLOWING, "seen_until": NOW, "unmatched": "none"}, True, False, id="it shows no response"
        ),
    ],
)
def test_to_have_read_is_not_to_see(state: dict[str, Any], *, is_seen: bool, is_seeing: bool) -> None:
    """A source sees if it can be read, is the receiver's, and is understood, however far behind it is."""
    one = SourceState("journal", **state)

    assert (one.is_seen(NOW), one.is_seeing) == (is_seen, is_seeing)


def test_an_evaluation_learns_all_that_is_known_of_a_source() -> None:
    """Each figure as it is; the quiet time begins at the last entry, or where reading began."""
    gap, share = Gap(1, 2, REMOVED), Share(3, 2, 1, 9)
    state = SourceState(
        "journal@a",
        Phase.FAILING,
        "no permission",
        unseen_since=11,
        seen_until=10,
        gaps=[gap],
        begins_at=4,
        share=share,
        void_since=5,
        unheard=("no unit", "no other"),
        read_since=6,
        late_us=7,
    )
    known = state.coverage(NOW)

    assert (known.source, known.unseen_since, known.reason) == ("journal@a", 11, "no permission")
    assert (known.gaps, known.begins_at, known.share, known.void_since) == ((gap,), 4, share, 5)
    assert (known.read_since, known.quiet_since, known.late_us, known.doubt) == (6, 6, 7, "no unit")
    state.newest_at, state.void_since = 8, None
    assert (state.coverage(NOW).quiet_since, state.coverage(NOW).doubt) == (8, "")
    state.unmatched = "no response"
    assert state.coverage(NOW).doubt == "no response"


@pytest.mark.parametrize(
    ("seen_until", "unseen_since", "reason"),
    [(NOW, None, ""), (NOW - 1, NOW - 1, "reading it takes too long"), (None, None, "")],
)
def test_what_was_not_read_to_the_present_is_unseen_at_an_evaluation(
    seen_until: int | None, unseen_since: int | None, reason: str
) -> None:
    """Between evaluations that is normal."""
    state = SourceState("index", seen_until=seen_until)

    assert (state.coverage(NOW).unseen_since, state.coverage(NOW).reason) == (unseen_since, reason)
    assert state.known_coverage().unseen_since is None


def test_a_gap_that_is_known_is_not_recorded_again() -> None:
    """Nor is one that is too old to matter."""
    state = SourceState("journal")
    state.lack(Gap(10, 20, REMOVED), since=0)
    state.lack(Gap(12, 18, REMOVED), since=0)
    assert state.gaps == [Gap(10, 20, REMOVED)]

    state.lack(Gap(40, 50, REMOVED), since=21)
    assert state.gaps == [Gap(40, 50, REMOVED)]


def test_of_many_gaps_the_oldest_are_put_together() -> None:
    """At most a hundred are kept."""
    state = SourceState("journal")
    for number in range(102):
        state.lack(Gap(10 * number, 10 * number + 1, SUPPRESSED, 1), since=0)

    assert len(state.gaps) == 100
    assert state.gaps[0] == Gap(0, 21, SUPPRESSED, 3, 3)
    assert state.gaps[1] == Gap(30, 31, SUPPRESSED, 1)


def test_a_row_is_no_later_than_its_file_was_written(tmp_path: Path) -> None:
    """Neither the row nor the file alone shows what the clock was."""
    file = tmp_path / "index.jsonl"
    file.touch()
    os.utime(file, ns=(NOW * 1000, NOW * 1000 + 999))

    assert [no_later_than_written(at, file) for at in (NOW - 1, NOW, NOW + 1, None)] == [NOW - 1, NOW, NOW, None]
    assert no_later_than_written(NOW, tmp_path / "missing") is None
