"""Following the receiver's index: live, through real inotify, and entered by time."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from fleet_health.config.loading import load
from fleet_health.errors import PathHangs
from fleet_health.files import hanging_calls
from fleet_health.files.hanging_calls import call_at
from fleet_health.model.instant import isoformat
from fleet_health.model.observation import Upload
from fleet_health.parsing.bisection import SLACK_US, WHOLE_SIZE
from fleet_health.service import clock
from fleet_health.sources.index.once import read_every_row, read_index
from fleet_health.sources.index.open_file import LINE_LIMIT, Block
from fleet_health.sources.index.source import IndexFollower, index_parser, index_tail
from fleet_health.sources.index.tail import Tail
from fleet_health.sources.state import Phase
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fleet_health.model.instant import Instant
    from tests.conftest import AsyncEventually, Following, Site

MINUTE_US = 60_000_000
NOW = 1_795_000_000_000_000


class Rig:
    """A follower of a site's index, and what it has delivered."""

    def __init__(self, site: Site, *, lookback_us: int = 60 * MINUTE_US, now: Instant | None = None) -> None:
        self.uploads: list[Upload] = []
        settings = load(None, {"index.path": ("--index-path", str(site.index))}).receivers[0].index
        present = clock.now if now is None else lambda: now
        self.follower = IndexFollower(settings, lookback_us=lookback_us, deliver=self.uploads.extend, clock=present)

    @property
    def hosts(self) -> list[str]:
        """The host of each upload, in the order of delivery."""
        return [upload.host for upload in self.uploads]


async def test_appended_rows_arrive(site: Site, following: Following, async_eventually: AsyncEventually) -> None:
    """Existing rows are read at once, new ones as they come."""
    site.upload("a", "b")
    async with following(Rig(site)) as rig:
        await async_eventually(lambda: rig.hosts == ["a", "b"])
        site.upload("c")
        await async_eventually(lambda: rig.hosts == ["a", "b", "c"])
        state = rig.follower.state

        assert (state.phase, state.reason, state.read, state.rejections.total) == (Phase.FOLLOWING, "", 3, 0)


async def test_a_row_is_delivered_as_it_was_written(site: Site) -> None:
    """Host and instant are the row's, to the microsecond."""
    site.upload("a", at_us=NOW - 1)
    rig = Rig(site, now=NOW)
    await rig.follower.poll()
    await rig.follower.close()

    assert rig.uploads == [Upload("a", NOW - 1)]


async def until_no_call_is_under_way(path: Path) -> None:
    """Wait until another call could be made."""
    while True:
        with suppress(PathHangs):
            return await call_at(path, lambda: None)
        await asyncio.sleep(0)


async def test_what_a_slow_disk_gives_is_not_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read comes after its timeout, so the index is unavailable, but its rows are taken in once."""
    monkeypatch.setattr(hanging_calls, "LIMIT_S", 0.02)
    site.upload("a", "b", at_us=NOW - 1)
    rig = Rig(site, now=NOW)
    is_next = threading.Semaphore(0)
    read = Tail.read

    def read_slowly(tail: Tail) -> Block:
        is_next.acquire()
        return read(tail)

    monkeypatch.setattr(Tail, "read", read_slowly)
    phases = set[Phase]()
    for _ in range(4):  # opened, read, and twice nothing new
        await rig.follower.poll()
        phases.add(rig.follower.state.phase)
        is_next.release()
        await until_no_call_is_under_way(site.index)
    is_next.release(100)
    monkeypatch.setattr(hanging_calls, "LIMIT_S", PATIENCE_S)
    await rig.follower.poll()
    await rig.follower.close()

    assert phases == {Phase.FAILING}
    assert rig.hosts == ["a", "b"]
    assert rig.follower.state.phase is Phase.FOLLOWING


async def test_a_rotated_index_is_followed(site: Site, following: Following, async_eventually: AsyncEventually) -> None:
    """Rename and create lose nothing, not even what was written to the old file in between."""
    site.upload("a")
    async with following(Rig(site)) as rig:
        await async_eventually(lambda: rig.hosts == ["a"])
        present = site.index
        site.index = present.rename(f"{present}.1")
        site.upload("b")
        site.index = present
        site.upload("c")
        await async_eventually(lambda: len(rig.hosts) >= 3)

    assert sorted(rig.hosts) == ["a", "b", "c"]


async def test_an_index_that_is_missing_is_waited_for_with_its_directory(
    site: Site, following: Following, async_eventually: AsyncEventually
) -> None:
    """It is reported, and ends when directory and file appear."""
    site.index = site.directory / "not" / "yet" / "index.jsonl"
    async with following(Rig(site)) as rig:
        state = rig.follower.state
        await async_eventually(lambda: state.phase is Phase.WAITING)
        reason = state.reason
        site.index.parent.mkdir(parents=True)
        site.upload("a")
        await async_eventually(lambda: rig.hosts == ["a"])

        assert reason == f"{site.index}: No such file or directory"
        assert (state.phase, state.reason) == (Phase.FOLLOWING, "")


async def test_a_directory_that_is_removed_and_made_anew_is_followed(
    site: Site, following: Following, async_eventually: AsyncEventually
) -> None:
    """The watched directory is gone; the one at the path is read."""
    site.index = site.directory / "lib" / "index.jsonl"
    site.index.parent.mkdir()
    site.upload("a")
    async with following(Rig(site)) as rig:
        await async_eventually(lambda: rig.hosts == ["a"])
        site.index.unlink()
        site.index.parent.rmdir()
        await async_eventually(lambda: rig.follower.state.phase is Phase.WAITING)
        for host in ("b", "c"):
            site.index.parent.mkdir(exist_ok=True)
            site.upload(host)
            await async_eventually(lambda host=host: rig.hosts[-1] == host)  # type: ignore[misc]

    assert rig.hosts == ["a", "b", "c"]


async def test_a_truncated_index_is_followed(
    site: Site, following: Following, async_eventually: AsyncEventually
) -> None:
    """Truncation in place is noticed each time."""
    site.upload("a", "b")
    async with following(Rig(site)) as rig:
        await async_eventually(lambda: len(rig.hosts) == 2)
        for host in ("c", "d"):
            site.index.write_bytes(b"")
            site.upload(host)
            await async_eventually(lambda host=host: rig.hosts[-1] == host)  # type: ignore[misc]

    assert rig.hosts == ["a", "b", "c", "d"]


async def test_without_inotify_the_index_is_looked_at_every_two_seconds(
    site: Site, following: Following, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lack of inotify is logged once, and only delays reading."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("fleet_health.sources.index.source.Inotify", refuse)
    site.upload("a")
    with capture_logs() as logs:
        async with following(Rig(site)) as rig:
            for host in ("b", "c"):
                await async_eventually(lambda: rig.hosts)
                site.upload(host)
                await async_eventually(lambda host=host: rig.hosts[-1] == host)  # type: ignore[misc]
    said = [line for line in logs if line["log_level"] == "warning"]

    assert rig.hosts == ["a", "b", "c"]
    assert [line["reason"] for line in said] == ["Too many open files"]


async def test_a_swapped_symlink_is_found_without_a_hint(
    site: Site, following: Following, async_eventually: AsyncEventually
) -> None:
    """No watched directory contains a link in the middle of the path, so only a look without a hint finds it."""
    index = site.index
    for name in ("first", "second"):
        (site.directory / name).mkdir()
    link = site.directory / "link"
    link.symlink_to("first")
    site.index = link / index.name
    site.upload("a")
    rig = Rig(site)
    rig.follower.longest_wait = 0.05
    async with following(rig):
        await async_eventually(lambda: rig.hosts == ["a"])
        link.unlink()
        link.symlink_to("second")
        site.upload("b")
        await async_eventually(lambda: rig.hosts == ["a", "b"])


async def test_a_row_from_the_future_counts_as_now_and_is_counted(site: Site) -> None:
    """Up to five minutes ahead it keeps its time; further ahead it counts as now."""
    site.upload("near", at_us=NOW + 5 * MINUTE_US)
    site.upload("far", at_us=NOW + 5 * MINUTE_US + 1)
    rig = Rig(site, now=NOW)
    await rig.follower.poll()
    await rig.follower.close()

    assert rig.uploads == [Upload("near", NOW + 5 * MINUTE_US), Upload("far", NOW)]
    assert dict(rig.follower.state.rejections.by_reason) == {"row from the future, taken as now": 1}


async def test_what_cannot_be_read_is_counted_by_its_reason(site: Site) -> None:
    """A bad line is never fatal, and the good ones around it are read, by the service and by a command."""
    site.upload("a", at_us=NOW)
    with site.index.open("ab") as file:
        file.write(
            b"{}\nnot JSON\n\xff\xfe\n"
            b'{"host_id": "", "received_at_wall": "2026-01-01T00:00:00Z"}\n'
            b'{"host_id": "a", "received_at_wall": "2026-01-01T00:00:00"}\n'
            b'{"host_id": "a", "received_at_wall": "yesterday"}\n' + b"x" * (LINE_LIMIT + 1) + b"\n"
        )
    site.upload("b", at_us=NOW)
    rig = Rig(site, now=NOW)
    await rig.follower.poll()
    await rig.follower.close()
    settings = load(None, {"index.path": ("--index-path", str(site.index))}).receivers[0].index
    uploads: list[Upload] = []
    by_reason = rig.follower.state.rejections.by_reason

    assert rig.hosts == ["a", "b"]
    assert sum(by_reason.values()) == 7
    assert by_reason[f"line longer than {LINE_LIMIT} bytes"] == 1
    assert read_index(settings, 0, NOW, uploads.extend).rejections.by_reason == by_reason
    assert read_every_row(settings, 0, uploads.extend).rejections.by_reason == by_reason
    assert [upload.host for upload in uploads] == ["a", "b", "a", "b"]


async def test_a_refusal_is_said_and_ends(
    site: Site,
    public_directory: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    """An index without read permission is reported as such, and read once that is granted."""
    site.index = public_directory / "index.jsonl"
    site.upload("a")
    site.index.chmod(0o600)
    rig = Rig(site)
    with as_nobody():
        await rig.follower.poll()
    refused = rig.follower.state.phase, rig.follower.state.reason
    site.index.chmod(0o644)
    with as_nobody():
        await rig.follower.poll()
    await rig.follower.close()

    assert refused[0] is Phase.REFUSED
    assert "permission denied" in refused[1]
    assert rig.hosts == ["a"]


async def test_losing_an_index_leaves_the_hints_to_who_waits_for_them(
    site: Site, following: Following, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that finds the index gone does not close the descriptor that another task waits for."""
    loop = asyncio.get_running_loop()
    watched: list[int] = []
    original = loop.add_reader

    def add(fd: int, *rest: Any) -> None:
        watched.append(fd)
        original(fd, *rest)

    monkeypatch.setattr(loop, "add_reader", add)
    site.index = site.directory / "link" / "index.jsonl"
    (site.directory / "there").mkdir()
    (site.directory / "other" / "index.jsonl").mkdir(parents=True)
    link = site.directory / "link"
    link.symlink_to("there")
    site.upload("a")
    async with following(Rig(site)) as rig:
        await async_eventually(lambda: watched)
        link.unlink()
        link.symlink_to("other")  # in no directory that is watched, so nothing hints at it
        await rig.follower.poll()

        assert rig.follower.state.phase is Phase.REFUSED
        # A closed number may be another's from now on, while the loop still watches it as ours.
        assert all(os.fstat(fd) for fd in watched)


def nearly_sorted_index(path: Path, rows: int) -> list[tuple[str, Instant]]:
    """Write an index of some megabytes, out of order by up to half the slack: another host each second up to NOW."""
    shuffle = random.Random(5)  # noqa: S311 - nothing secret
    dated = [
        (f"host-{number}", NOW - (rows - number) * 1_000_000 + shuffle.randrange(SLACK_US // 2))
        for number in range(rows)
    ]
    row = '{{"host_id": "{}", "bytes": 4096, "path": "/srv/episodes/{}", "received_at_wall": "{}"}}\n'
    path.write_text("".join(row.format(host, at, isoformat(at)) for host, at in dated))
    return dated


@pytest.mark.parametrize("minutes", [1, 30, 24 * 60])
async def test_only_the_lookback_is_parsed_of_a_large_index(minutes: int, site: Site) -> None:
    """Bisection finds every row of the lookback, and hardly any older one."""
    dated = nearly_sorted_index(site.index, 40_000)
    since = NOW - minutes * MINUTE_US
    rig = Rig(site, lookback_us=minutes * MINUTE_US, now=NOW)
    await rig.follower.poll()
    await rig.follower.close()
    expected = [Upload(host, at) for host, at in dated if at >= since]
    in_reach = sum(at >= since - 2 * SLACK_US for _, at in dated)

    assert expected == [upload for upload in rig.uploads if upload.at >= since]
    assert rig.follower.state.read <= in_reach + 500  # a probe's worth of rows


@pytest.mark.parametrize("spoil", ["one row from the future in every 100", "one line in ten is garbage"])
def test_bisection_is_not_led_astray(spoil: str, tmp_path: Path) -> None:
    """Anything between the rows may cost time, but never a row."""
    path = tmp_path / "index.jsonl"
    dated = nearly_sorted_index(path, 30_000)
    every, bad = (
        (100, '{"host_id": "odd", "received_at_wall": "2190-01-01T00:00:00Z"}\n')
        if "future" in spoil
        else (
            10,
            "garbage\n",
        )
    )
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line + (bad if number % every == 0 else "") for number, line in enumerate(lines)))
    settings = load(None, {"index.path": ("--index-path", str(path))}).receivers[0].index
    parser = index_parser(settings)
    since = NOW - 20 * MINUTE_US
    tail = index_tail(settings, parser, lambda: since)
    found: list[Upload] = []
    is_end = False
    while not is_end:
        block = tail.read()
        is_end = block.is_end
        found += parser.parse_block(block.lines)[0]
    tail.close()

    assert path.stat().st_size > WHOLE_SIZE
    assert [Upload(host, at) for host, at in dated if at >= since] == [
        upload for upload in found if upload.at >= since and upload.host != "odd"
    ]
