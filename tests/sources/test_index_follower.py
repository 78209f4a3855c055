"""What following an index shows besides the uploads: its begin, late rows, and what was not read."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from fleet_health.config.loading import load
from fleet_health.model.instant import SECOND_US, isoformat
from fleet_health.model.observation import Upload
from fleet_health.parsing.bisection import WHOLE_SIZE
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from pathlib import Path

MINUTE_US, HOUR_US = 60 * SECOND_US, 3_600 * SECOND_US
NOW = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
LOOKBACK_US = HOUR_US


class Index:
    """An index, and a follower that looks when it is told to."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.now = path, NOW
        self.uploads: list[Upload] = []
        settings = load(None, {"index.path": ("--index-path", str(path))}).receivers[0].index
        self.follower = IndexFollower(
            settings, lookback_us=LOOKBACK_US, deliver=self.uploads.extend, clock=lambda: self.now, **options
        )
        self.state = self.follower.state

    def write(self, *rows: tuple[str, int], written_at: int = NOW, other: str = "") -> None:
        """Append rows, and perhaps other lines."""
        with self.path.open("a") as file:
            file.writelines(f'{{"host_id": "{host}", "received_at_wall": "{isoformat(at)}"}}\n' for host, at in rows)
            file.write(other)
        os.utime(self.path, ns=(written_at * 1000, written_at * 1000))

    async def look(self) -> list[Upload]:
        """Look once; return the uploads that are new."""
        before = len(self.uploads)
        await self.follower.poll()
        return self.uploads[before:]


@pytest.fixture
async def index(tmp_path: Path) -> Any:
    """An index that is not there yet."""
    one = Index(tmp_path / "index.jsonl")
    yield one
    await one.follower.close()


async def test_uploads_of_the_lookback_are_delivered(index: Index) -> None:
    """An upload exactly as old as the lookback is; older ones are only counted."""
    rows = [("early", NOW - LOOKBACK_US - 1), ("a", NOW - LOOKBACK_US), ("b", NOW)]
    index.write(*rows)

    assert await index.look() == [Upload(*one) for one in rows[1:]]
    assert index.state.read == 3


async def test_of_a_host_every_upload_is_delivered_where_that_is_wanted(tmp_path: Path) -> None:
    """As far back as configured; before that, perhaps only the latest of each host."""
    rows = [("a", NOW - number * MINUTE_US) for number in (30, 20, 10)]
    found: list[list[int]] = []
    kinds: list[dict[str, Any]] = [{}, {"every_us": 40 * MINUTE_US}, {"is_every_wanted": True}]
    for number, options in enumerate(kinds):
        one = Index(tmp_path / f"{number}.jsonl", **options)
        one.write(*rows)
        found.append([upload.at for upload in await one.look()])
        await one.follower.close()

    every = [at for _, at in rows]
    assert found == [every[-1:], every, every]


@pytest.mark.parametrize(
    ("rows", "begins_at"),
    [
        pytest.param([], None, id="without a row at first, it has no begin: all that came was seen"),
        pytest.param([("a", NOW - 2 * MINUTE_US), ("b", NOW)], NOW - 2 * MINUTE_US, id="its first row"),
        pytest.param([("a", NOW), ("b", NOW - 2 * MINUTE_US)], NOW, id="whichever is earlier"),
    ],
)
async def test_where_an_index_begins_is_known(rows: list[tuple[str, int]], begins_at: int | None, index: Index) -> None:
    """A line that is not a row does not count."""
    index.write(other="nonsense\n")
    index.write(*rows)
    await index.look()
    index.write(("c", NOW - MINUTE_US))
    await index.look()

    assert index.state.begins_at == begins_at


async def test_an_index_of_which_older_rows_are_skipped_reaches_back(index: Index) -> None:
    """It has no begin that matters."""
    rows = 2 * WHOLE_SIZE // 70
    index.write(*((f"h{number}", NOW - number * 40 * LOOKBACK_US // rows) for number in reversed(range(rows))))
    await index.look()

    assert index.state.begins_at is None
    assert index.state.read < rows / 4


async def test_so_does_one_of_which_an_older_file_is_left_out(index: Index) -> None:
    """However it was rotated."""
    index.write(("a", NOW))
    rotated = index.path.with_name(f"{index.path.name}.1")
    rotated.write_text("")
    os.utime(rotated, (1, 1))
    await index.look()

    assert index.state.begins_at is None


async def test_rows_that_are_dated_long_before_they_are_written_are_noticed(index: Index) -> None:
    """Only for rows that come while it is followed; earlier ones may have been written at any time."""
    index.write(("a", NOW - 2 * HOUR_US))
    await index.look()
    at_first = index.state.late_us
    index.write(("a", NOW - 2 * HOUR_US))
    await index.look()
    late = index.state.late_us
    await index.look()
    after_nothing_new = index.state.late_us
    index.write(("a", NOW))
    await index.look()

    assert (at_first, late, after_nothing_new, index.state.late_us) == (0, 2 * HOUR_US, 2 * HOUR_US, 0)


async def test_the_newest_row_is_no_newer_than_its_file(index: Index) -> None:
    """The last valid row counts, whatever follows it."""
    await index.look()
    assert index.state.newest_at is None

    index.write(("a", NOW - 3 * MINUTE_US), ("b", NOW - 2 * MINUTE_US), written_at=NOW - MINUTE_US)
    await index.look()
    assert index.state.newest_at == NOW - 2 * MINUTE_US

    index.write(("a", NOW), written_at=NOW - MINUTE_US)
    await index.look()
    assert index.state.newest_at == NOW - MINUTE_US

    index.write(other="nonsense\n", written_at=NOW + HOUR_US)
    await index.look()
    assert index.state.newest_at == NOW


async def test_how_much_was_understood_is_known(index: Index) -> None:
    """Blank lines do not count; neither is the number of lines since the last understood one forgotten."""
    index.write(("a", NOW - MINUTE_US), other="nonsense\n\n{}\n")
    await index.look()
    first = index.state.share
    index.write(("a", NOW), ("b", NOW - 1))
    await index.look()
    share = index.state.share

    assert (first.came_in, first.understood, first.missed, first.last_at) == (3, 1, 2, NOW - MINUTE_US)
    assert (share.came_in, share.understood, share.missed, share.last_at) == (5, 3, 0, NOW)
    assert index.state.rejections.by_reason == {
        "not JSON": 1,
        "blank line": 1,
        "host or time missing, or not a string": 1,
    }


async def test_a_rotated_file_that_cannot_be_read_is_named_and_logged_once(index: Index) -> None:
    """For as long as it stays unreadable."""
    index.write(("a", NOW))
    broken = index.path.with_name(f"{index.path.name}.1.gz")
    broken.write_bytes(gzip.compress(b"x" * 999)[:20])
    os.utime(broken, (NOW // SECOND_US, NOW // SECOND_US))
    with capture_logs() as logs:
        for _ in range(3):
            await index.look()

    assert set(index.state.unread) == {str(broken)}
    assert [line["file"] for line in logs if line["event"] == "rotated index not read"] == [str(broken)]
    assert index.uploads == [Upload("a", NOW)]


async def test_a_rewritten_index_counts_its_rows_once(index: Index) -> None:
    """Its rows are delivered again, because their order may differ, but not counted again."""
    rows = [("a", NOW - 2 * MINUTE_US), ("b", NOW - MINUTE_US)]
    index.write(*rows)
    await index.look()
    index.path.rename(index.path.with_name("old"))
    index.write(*rows, ("c", NOW))
    again = await index.look()

    assert [one.host for one in again] == ["a", "b", "c"]
    assert (index.state.read, index.follower.counters.read) == (3, {"index": 3})
    assert index.state.phase is Phase.FOLLOWING


async def test_a_row_ahead_counts_when_it_is_read_and_is_rejected(index: Index) -> None:
    """At that time, and also when it is read again."""
    index.write(("a", NOW - MINUTE_US))
    await index.look()
    index.write(("a", NOW + HOUR_US), written_at=NOW)
    index.now = NOW + MINUTE_US

    assert await index.look() == [Upload("a", NOW + MINUTE_US)]
    assert index.state.rejections.by_reason == {"row from the future, taken as now": 1}
