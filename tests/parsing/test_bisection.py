"""Entering a large file by time: every row that matters is read, and little else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US
from fleet_health.parsing.bisection import SLACK_US, WHOLE_SIZE, entry_offset
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

BEGIN = 1_795_460_100_000_000
PROBE_SIZE = 16 << 10


def line_of(at: int | None, length: int = 400) -> bytes:
    """Write a line of a length, dated or not."""
    return (b"" if at is None else b"%d " % at).ljust(length - 1, b".") + b"\n"


def time_of(line: bytes) -> int | None:
    """Read a line's time; a line without one is not dated, nor is a part of a line that lacks its beginning."""
    word, blank, _ = line.partition(b" ")
    return int(word) if blank and word.isdigit() and len(word) == len(str(BEGIN)) else None


class Probed:
    """A file's content that tells how it was read."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.content = b"".join(lines)
        self.reads: list[int] = []

    def read_at(self, offset: int, size: int) -> bytes:
        """Read, and take note of how much."""
        data = self.content[offset : offset + size]
        self.reads.append(len(data))
        return data

    def entered(self, since: int) -> int:
        """Find the offset to begin at."""
        return entry_offset(self.read_at, len(self.content), time_of, since)


def in_order(count: int, step: int = SECOND_US, length: int = 400) -> list[bytes]:
    """Make lines dated one after the other."""
    return [line_of(BEGIN + number * step, length) for number in range(count)]


@tried(60)
@given(
    count=st.integers(2_700, 4_000),
    step=st.sampled_from([0, SECOND_US // 100, SECOND_US, 60 * SECOND_US, SLACK_US, 2 * SLACK_US]),
    displaced=st.integers(0, SLACK_US),
    position=st.floats(-0.1, 1.1),
    random=st.randoms(use_true_random=True),
)
def test_no_row_that_matters_is_missed(count: int, step: int, displaced: int, position: float, random: Random) -> None:
    """If rows are out of order by at most the slack, every row from the instant on follows the offset."""
    lines = [
        line_of(
            # One in twenty is not dated, and one in two hundred is longer than a probe.
            None if random.random() < 0.05 else BEGIN + number * step - random.randint(0, displaced),
            random.choice([350, 400, 450]) if random.random() > 0.005 else 20_000,
        )
        for number in range(count)
    ]
    since = BEGIN + round(position * count * step)

    offset = Probed(lines).entered(since)

    ends = 0
    for line in lines:
        if ends < offset:
            at = time_of(line)
            assert at is None or at < since
        ends += len(line)
    assert offset == 0 or b"".join(lines)[offset - 1 : offset] == b"\n"


@pytest.mark.parametrize("displaced", [0, 1, SLACK_US - 1, SLACK_US])
def test_a_row_displaced_by_exactly_the_slack_is_found(displaced: int) -> None:
    """The slack is inclusive: the row dated `since` is among rows dated that much earlier."""
    since = BEGIN + 10_000 * SECOND_US
    lines = [line_of(since - displaced)] * 4_000
    lines[7] = line_of(since)

    assert Probed(lines).entered(since) <= 7 * 400


def test_little_more_is_read_than_matters() -> None:
    """In a sorted file, only the slack and a few probes are read before the first row that matters."""
    count = 50_000
    file, since = Probed(in_order(count)), BEGIN + 40_000 * SECOND_US

    offset = file.entered(since)

    first = 40_000 * 400
    assert first - SLACK_US // SECOND_US * 400 - 3 * PROBE_SIZE <= offset <= first


@pytest.mark.parametrize("count", [3_000, 30_000, 300_000])
def test_the_number_of_probes_is_logarithmic(count: int) -> None:
    """A file a hundred times as large takes seven more probes of a fixed size."""
    file = Probed(in_order(count))

    file.entered(BEGIN + count // 2 * SECOND_US)

    assert len(file.reads) <= math.log2(len(file.content) / PROBE_SIZE) + 2
    assert max(file.reads) <= PROBE_SIZE


def test_a_small_file_is_read_whole() -> None:
    """Up to 1 MiB there are no probes, so the order of rows does not matter."""
    length = 512
    largest, too_large = (Probed([line_of(BEGIN, length)] * (WHOLE_SIZE // length + more)) for more in (0, 1))

    assert (largest.entered(BEGIN + 10**12), largest.reads) == (0, [])
    assert too_large.entered(BEGIN + 10**12) > 0


def test_it_is_halved_until_a_probe_is_as_long_as_what_is_left() -> None:
    """128 lengths of a probe take seven of them, and one more for the end of the line."""
    length = 512
    file = Probed([line_of(BEGIN, length)] * (128 * PROBE_SIZE // length))

    file.entered(BEGIN + 10**12)

    assert len(file.reads) == 7 + 1


def test_a_probe_that_begins_with_an_end_of_line_is_entered_behind_it() -> None:
    """The following line is whole."""
    length = 512
    between = [line_of(BEGIN, length)] * (128 * PROBE_SIZE // length - 2)
    file = Probed([line_of(BEGIN, length + 1), *between, line_of(BEGIN, length - 1)])

    assert file.entered(BEGIN + 10**12) == 127 * PROBE_SIZE + 1


@pytest.mark.parametrize(
    ("lines", "since"),
    [
        pytest.param(in_order(4_000), BEGIN, id="everything matters"),
        pytest.param(in_order(4_000), BEGIN - 10**12, id="everything is later"),
        pytest.param([line_of(None)] * 4_000, BEGIN, id="nothing is dated"),
        pytest.param([line_of(BEGIN - 10**12, 40_000)] * 100, BEGIN, id="every line is longer than a probe"),
        pytest.param([b"." * 2_000_000], BEGIN, id="there is no end of line"),
        pytest.param([line_of(BEGIN)] * 4_000, BEGIN, id="all rows are dated alike, as asked"),
        pytest.param([line_of(BEGIN - SLACK_US)] * 4_000, BEGIN, id="all rows are exactly the slack earlier"),
    ],
)
def test_in_doubt_the_whole_file_is_read(lines: list[bytes], since: int) -> None:
    """If nothing proves that rows can be left out."""
    assert Probed(lines).entered(since) == 0


def test_when_nothing_matters_only_the_end_is_read() -> None:
    """A file with only old rows costs two probes."""
    file = Probed(in_order(30_000))

    offset = file.entered(BEGIN + 10**6 * SECOND_US)

    assert len(file.content) - 2 * PROBE_SIZE <= offset < len(file.content)


def test_a_row_far_from_its_place_leads_to_more_reading_only() -> None:
    """A clock that was ahead dates rows late; every row that matters is still found."""
    lines, since = in_order(10_000), BEGIN + 9_000 * SECOND_US
    lines[2_000:3_000] = [line_of(BEGIN + 10**12)] * 1_000

    assert Probed(lines).entered(since) <= 9_000 * 400


def test_single_rows_dated_far_too_early_lead_nobody_astray() -> None:
    """A clock that starts in 1970 dates rows early; a probe takes the latest row that it sees."""
    lines, since = in_order(10_000), BEGIN + 5_000 * SECOND_US
    lines[::20] = [line_of(BEGIN - 10**12)] * 500

    assert Probed(lines).entered(since) <= 5_000 * 400
