"""How much is measured: in full, for the figures, or just enough to see that each benchmark still works."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of all benchmarks.

    Attributes:
        rounds: How often each figure is taken.
        warms_up: Whether a round that does not count comes first, so that all find the files in the page cache.
        hosts: How many hosts, where that is not what is varied.
        journal_entries: Entries to catch up with, half of them the receiver's.
        index_rows: Rows to catch up with.
        few_rows: The smaller index to start on.
        many_rows: The larger one.
        rows_in_lookback: How many rows of either lie within the lookback.
        journal_rate: The receiver's entries a second in the half hour before a start.
        fleets: Numbers of hosts to evaluate.
        answers: Answers to each of them in the window.
        rates: Uploads a second to follow.
        followed: Numbers of hosts to follow.
        window_s: For how many seconds CPU and wakeups are counted, each time.
        history_s: How many seconds of a rate lie in the journal already.
        alerts: Alerts in one tick.
        replayed: Rows of the month that is replayed.
        replayed_days: How many days of it.

    """

    rounds: int = 5
    warms_up: bool = True
    hosts: int = 500
    journal_entries: int = 200_000
    index_rows: int = 300_000
    few_rows: int = 1_000_000
    many_rows: int = 10_000_000
    rows_in_lookback: int = 33_000
    journal_rate: int = 130
    fleets: tuple[int, ...] = (500, 10_000, 100_000)
    answers: int = 60
    rates: tuple[int, ...] = (0, 100, 1_000)
    followed: tuple[int, ...] = (500, 10_000)
    window_s: float = 30.0
    history_s: float = 1_800.0
    alerts: int = 100
    replayed: int = 1_000_000
    replayed_days: int = 30

    def with_rounds(self, rounds: int) -> Scale:
        """Take each figure so often."""
        return replace(self, rounds=rounds)


FULL = Scale()
SMALL = Scale(
    rounds=1,
    warms_up=False,
    hosts=20,
    journal_entries=2_000,
    index_rows=5_000,
    few_rows=5_000,
    many_rows=20_000,
    rows_in_lookback=500,
    journal_rate=1,
    fleets=(50, 200),
    answers=20,
    rates=(0, 50),
    followed=(20, 40),
    window_s=0.5,
    history_s=10.0,
    alerts=5,
    replayed=2_000,
    replayed_days=2,
)
