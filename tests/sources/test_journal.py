"""Following the receiver's journal: real journal files, written by systemd-journal-remote."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.errors import SourceUnavailable
from fleet_health.model.observation import Response, Unstamped
from fleet_health.service import clock
from fleet_health.sources.journal.reader import JournalReader
from fleet_health.sources.journal.source import JournalFollower
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from tests.conftest import AsyncEventually, Eventually, Following


class Read(Protocol):
    """Reads the journal from an instant on, or behind a cursor, with a reader of its own."""

    def __call__(self, *, since: Instant = 0, cursor: str = "") -> list[tuple[bytes | None, Instant]]:
        """Read."""


NOW = 1_795_000_000_000_000
UNIT = "cis490-receiver.service"
REACH_US = 30 * 60_000_000


def access(host: str, status: int = 201) -> str:
    """Make an access line."""
    return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e1 HTTP/1.1" {status}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The journal's directory; there, and empty."""
    path = tmp_path / "journal"
    path.mkdir()
    return path


@pytest.fixture
def journal(directory: Path) -> Iterator[JournalFile]:
    """The journal, open for writing."""
    with JournalFile(directory / "receiver.journal") as file:
        yield file


def settings_of(directory: Path) -> JournalSettings:
    """Return the settings for a journal directory."""
    return load(None, {"journal.directory": ("--journal-directory", str(directory))}).receivers[0].journal


def write(directory: Path, *entries: tuple[bytes | str | None, Instant], name: str = "receiver", **fields: Any) -> None:
    """Write entries to a journal file, to its end."""
    with JournalFile(directory / f"{name}.journal") as file:
        for message, at in entries:
            file.append(message, at_us=at, **fields)


@pytest.fixture
def read(directory: Path) -> Read:
    """Read the journal from an instant on, or behind a cursor, with a reader of one's own."""

    def from_place(*, since: Instant = 0, cursor: str = "") -> list[tuple[bytes | None, Instant]]:
        reader = JournalReader(settings_of(directory))
        if cursor:
            reader.seek_cursor(cursor)
        else:
            reader.seek(since)
        entries = list(reader.read())
        reader.close()
        return entries

    return from_place


class Rig:
    """A follower of a journal, and what it has delivered."""

    def __init__(self, directory: Path, *, now: Instant | None = None) -> None:
        self.observations: list[Any] = []
        self.follower = JournalFollower(
            settings_of(directory),
            lookback_us=REACH_US,
            deliver=self.observations.extend,
            clock=clock.now if now is None else lambda: now,
        )

    @property
    def hosts(self) -> list[str]:
        """The host of each observation, in the order of delivery."""
        return [observation.host for observation in self.observations]

    async def poll(self) -> None:
        """Read to the end once, and close."""
        await self.follower.poll()
        await self.follower.close()


def test_reading_begins_exactly_at_an_instant(directory: Path, read: Read) -> None:
    """An entry of that very microsecond is read; one a microsecond older is not."""
    write(directory, *((str(number), NOW + number) for number in range(-3, 4)))

    assert read(since=NOW) == [(b"0", NOW), (b"1", NOW + 1), (b"2", NOW + 2), (b"3", NOW + 3)]


@pytest.mark.parametrize("since", [0, -5], ids=["the epoch", "before the epoch"])
def test_a_journal_can_be_read_whole(since: int, directory: Path, read: Read) -> None:
    """A start early enough gives every entry."""
    write(directory, ("one", NOW), ("two", NOW + 1))

    assert read(since=since) == [(b"one", NOW), (b"two", NOW + 1)]


def test_only_the_units_own_lines_are_read(directory: Path, read: Read) -> None:
    """Lines of other units are not, nor messages about it, whoever wrote them."""
    with JournalFile(directory / "mixed.journal") as file:
        file.append("its own", at_us=NOW, unit=UNIT)
        file.append("another's", at_us=NOW + 1, unit="other.service")
        file.append("nobody's", at_us=NOW + 2, unit="")
        file.append("the manager's", at_us=NOW + 3, unit="init.scope", _PID=1, UNIT=UNIT)
        file.append("the manager's about another", at_us=NOW + 4, unit="init.scope", _PID=1, UNIT="other.service")
        file.append("a claim", at_us=NOW + 5, unit="other.service", _PID=4242, UNIT=UNIT)
        file.append("an alert of ours", at_us=NOW + 6, unit="fleet-health.service", FLEET_HOST="a")

    assert [message for message, _ in read()] == [b"its own"]


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        pytest.param("one\ntwo\n\nthree", {}, b"one\ntwo\n\nthree", id="several lines"),
        pytest.param(bytes(range(256)), {}, bytes(range(256)), id="every byte"),
        pytest.param(None, {}, b"", id="no message"),
        pytest.param("", {}, b"", id="an empty message"),
        pytest.param("x", {"COREDUMP_TIMESTAMP": "9" * 30}, b"x", id="a field whose conversion fails"),
        pytest.param("x", {"PRIORITY": "no number", "_SOURCE_REALTIME_TIMESTAMP": "?"}, b"x", id="odd trusted fields"),
        pytest.param("x\n" * 100_000, {}, b"x\n" * 100_000, id="200 kB"),
    ],
)
def test_no_entry_stops_the_reading(
    message: bytes | str | None, fields: dict[str, Any], expected: bytes, directory: Path, read: Read
) -> None:
    """Whatever an entry contains, it is read, and so is the next one."""
    with JournalFile(directory / "x.journal") as file:
        file.append(message, at_us=NOW, **fields)
        file.append("next", at_us=NOW + 1)

    assert read() == [(expected, NOW), (b"next", NOW + 1)]


def test_a_message_that_occurs_several_times_is_read(directory: Path, read: Read) -> None:
    """At least one of them, and the next entry as well."""
    with JournalFile(directory / "x.journal") as file:
        file.append(None, at_us=NOW, MESSAGE=["one", "two"])
        file.append("next", at_us=NOW + 1)
    (first, _), next_entry = read()

    assert first in (b"one", b"two", b"one\ntwo")
    assert next_entry == (b"next", NOW + 1)


def test_entries_that_come_later_are_read_by_the_same_reader(
    directory: Path, journal: JournalFile, eventually: Eventually
) -> None:
    """Also if the unit had no entry, or none late enough, when the journal was opened."""
    journal.append("another's", unit="other.service")
    eventually(lambda: list(directory.glob("*.journal")))
    reader = JournalReader(settings_of(directory))
    reader.seek(clock.now())
    entries = list(reader.read())
    assert entries == []

    def read_on() -> int:
        reader.process()
        entries.extend(reader.read())
        return len(entries)

    for number in range(3):
        journal.append(str(number))
        eventually(lambda number=number: read_on() > number)  # type: ignore[misc]
    reader.close()

    assert [message for message, _ in entries] == [b"0", b"1", b"2"]


def test_the_message_of_a_later_entry_is_not_read(directory: Path) -> None:
    """Of an entry behind it that is early enough it is: the clock was set back in between."""
    write(directory, ("0", NOW), ("1", NOW + 1), ("2", NOW + 2), ("3", NOW + 1))
    reader = JournalReader(settings_of(directory))
    reader.seek(0)
    entries = list(reader.read(NOW + 1))
    reader.close()

    assert entries == [(b"0", NOW), (b"1", NOW + 1), (b"", NOW + 2), (b"3", NOW + 1)]


def test_reading_resumes_behind_a_cursor(directory: Path, read: Read) -> None:
    """A reopened journal continues with the next entry, without loss or repetition."""
    write(directory, *((str(number), NOW + number) for number in range(4)))
    reader = JournalReader(settings_of(directory))
    reader.seek(0)
    entries = reader.read()
    assert [next(entries)[0] for _ in range(2)] == [b"0", b"1"]
    cursor = reader.cursor()
    reader.close()

    assert [message for message, _ in read(cursor=cursor)] == [b"2", b"3"]


def test_reading_resumes_behind_the_last_entry(directory: Path, read: Read) -> None:
    """If nothing follows the cursor, later entries are read."""
    write(directory, ("0", NOW), ("1", NOW + 1))
    reader = JournalReader(settings_of(directory))
    reader.seek(0)
    assert len(list(reader.read())) == 2
    cursor = reader.cursor()
    reader.close()
    reader = JournalReader(settings_of(directory))
    reader.seek_cursor(cursor)
    at_end = list(reader.read())
    write(directory, ("2", NOW + 2))
    reader.process()
    later = list(reader.read())
    reader.close()

    assert at_end == []
    assert later == [(b"2", NOW + 2)]
    assert read(cursor=cursor) == [(b"2", NOW + 2)]


def test_reading_resumes_where_the_cursors_entry_is_gone(directory: Path, read: Read) -> None:
    """A vacuum may remove the entry of the cursor; the next remaining entry is read, not skipped."""
    write(directory, ("0", NOW), ("1", NOW + 1), name="old")
    write(directory, ("2", NOW + 2), ("3", NOW + 3), name="new")
    reader = JournalReader(settings_of(directory))
    reader.seek(0)
    entries = reader.read()
    assert [next(entries)[0] for _ in range(2)] == [b"0", b"1"]
    cursor = reader.cursor()
    reader.close()
    (directory / "old.journal").unlink()

    assert [message for message, _ in read(cursor=cursor)] == [b"2", b"3"]


def test_a_cursor_of_an_entry_that_the_filter_excludes_loses_nothing(directory: Path, read: Read) -> None:
    """After a change of unit the cursor's entry is not selected; everything after it is read."""
    with JournalFile(directory / "x.journal") as file:
        file.append("other", at_us=NOW, unit="other.service")
        file.append("ours", at_us=NOW + 1)
        file.append("ours too", at_us=NOW + 2)
    other = (
        load(None, {"journal.directory": ("", str(directory)), "journal.unit": ("", "other.service")})
        .receivers[0]
        .journal
    )
    reader = JournalReader(other)
    reader.seek(0)
    assert len(list(reader.read())) == 1
    cursor = reader.cursor()
    reader.close()

    assert [message for message, _ in read(cursor=cursor)] == [b"ours", b"ours too"]


def test_several_files_are_read_as_one_sequence(directory: Path, read: Read) -> None:
    """Active and archived files are read in order of time."""
    write(directory, *((str(number), NOW + number) for number in (0, 1, 4)), name="receiver@0001")
    write(directory, *((str(number), NOW + number) for number in (2, 3, 5)), name="receiver")

    assert [message for message, _ in read(since=NOW + 1)] == [b"1", b"2", b"3", b"4", b"5"]


def test_files_of_a_machine_directory_are_found(directory: Path, read: Read) -> None:
    """A directory may contain a directory for each machine, as /var/log/journal does."""
    machine = directory / "0123456789abcdef0123456789abcdef"
    machine.mkdir()
    write(machine, ("one", NOW))

    assert read() == [(b"one", NOW)]


def test_more_entries_than_one_batch_are_read(directory: Path, read: Read) -> None:
    """Each once, also across the calls of `process()`."""
    write(directory, *((str(number), NOW + number) for number in range(2_500)))

    assert [message for message, _ in read()] == [b"%d" % number for number in range(2_500)]


def test_a_directory_without_journal_is_said(directory: Path, tmp_path: Path) -> None:
    """An empty or missing directory is reported."""
    for place in (directory, tmp_path / "missing"):
        with pytest.raises(SourceUnavailable, match=f"there is no journal in {place}"):
            JournalReader(settings_of(place))


@pytest.mark.parametrize("closed", ["file", "directory", "parent"])
def test_a_journal_that_may_not_be_read_is_said(
    closed: str, public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """Libsystemd would open it and show no entries; the error names the part of the path that denies access."""
    directory = public_directory / "log" / "journal"
    directory.mkdir(parents=True)
    write(directory, ("one", NOW))
    (directory / "receiver.journal").chmod(0o644)
    settings = settings_of(directory)
    match closed:
        case "file":
            (directory / "receiver.journal").chmod(0o600)
        case "directory":
            directory.chmod(0o700)
        case _:
            directory.parent.chmod(0o700)

    with as_nobody(), pytest.raises(SourceUnavailable, match=r"(?i)permission denied"):
        JournalReader(settings)


async def test_the_window_is_caught_up_with_at_the_start(directory: Path) -> None:
    """Entries of the lookback are delivered with their own times; older ones are not."""
    write(
        directory,
        (access("old"), NOW - REACH_US - 1),
        (access("edge", 503), NOW - REACH_US),
        ("INFO: Application startup complete.", NOW - 3),
        ("WARNING missing X-Cis490-Code-Commit host=stale, refused", NOW - 2),
        (access("now"), NOW),
    )
    rig = Rig(directory, now=NOW)
    await rig.poll()
    state = rig.follower.state

    assert rig.observations == [
        Response("edge", NOW - REACH_US, 503),
        Unstamped("stale", NOW - 2),
        Response("now", NOW, 201),
    ]
    assert (state.phase, state.seen_until, state.read, state.rejections.total) == (Phase.FOLLOWING, NOW, 4, 0)


async def test_each_line_of_a_message_counts_by_itself(directory: Path) -> None:
    """A message of several lines is several responses, however long it is."""
    write(directory, ("\n".join([access("a"), "", access("b", 412), "x"] * 2_000), NOW))
    rig = Rig(directory, now=NOW)
    await rig.poll()

    assert len(rig.observations) == 4_000
    assert rig.observations[:2] == [Response("a", NOW, 201), Response("b", NOW, 412)]


async def test_appended_entries_are_followed(
    directory: Path, journal: JournalFile, following: Following, async_eventually: AsyncEventually
) -> None:
    """New entries are delivered once, in order."""
    journal.append(access("before"))
    await async_eventually(lambda: list(directory.glob("*.journal")))
    rig = Rig(directory)
    rig.follower.longest_wait = 0.05  # who writes into a directory of journal files need not give a sign
    async with following(rig):
        await async_eventually(lambda: rig.hosts == ["before"])
        for number in range(3):
            journal.append(access(f"h{number}"))
            journal.append("noise of another unit", unit="other.service")
            await async_eventually(lambda number=number: rig.hosts[-1] == f"h{number}")  # type: ignore[misc]

    assert rig.hosts == ["before", "h0", "h1", "h2"]


async def test_a_second_file_is_followed(
    directory: Path, journal: JournalFile, following: Following, async_eventually: AsyncEventually
) -> None:
    """After a rotation new entries are in another file; deleting the old one loses nothing."""
    journal.append(access("first"))
    await async_eventually(lambda: list(directory.glob("*.journal")))
    rig = Rig(directory)
    rig.follower.longest_wait = 0.05  # who writes into a directory of journal files need not give a sign
    async with following(rig):
        await async_eventually(lambda: rig.hosts == ["first"])
        with JournalFile(directory / "second.journal") as second:
            second.append(access("second"))
            await async_eventually(lambda: rig.hosts == ["first", "second"])
            journal.close()
            (directory / "receiver.journal").rename(directory / "receiver@0001.journal")
            second.append(access("third"))
            await async_eventually(lambda: rig.hosts == ["first", "second", "third"])
            (directory / "receiver@0001.journal").unlink()
            second.append(access("fourth"))
            await async_eventually(lambda: rig.hosts == ["first", "second", "third", "fourth"])

        assert rig.follower.state.phase is Phase.FOLLOWING


async def test_a_journal_that_is_missing_is_waited_for(
    tmp_path: Path, following: Following, async_eventually: AsyncEventually
) -> None:
    """It is reported, and ends when directory and file appear."""
    directory = tmp_path / "not" / "yet"
    async with following(Rig(directory)) as rig:
        state = rig.follower.state
        await async_eventually(lambda: state.phase is Phase.WAITING)
        reason = state.reason
        directory.mkdir(parents=True)
        with JournalFile(directory / "receiver.journal") as journal:
            journal.append(access("a"))
            await async_eventually(lambda: rig.hosts == ["a"] and state.phase is Phase.FOLLOWING)

    assert reason == f"there is no journal in {directory}"
    assert (state.phase, state.reason) == (Phase.FOLLOWING, "")


async def test_a_source_that_was_lost_goes_on_where_it_stopped(directory: Path, tmp_path: Path) -> None:
    """After the directory returns, reading continues after the last entry, so nothing counts twice."""
    write(directory, (access("a"), NOW - 2), (access("b"), NOW - 1))
    rig = Rig(directory, now=NOW)
    await rig.follower.poll()
    away = tmp_path / "away"
    os.rename(directory, away)  # noqa: PTH104 - as all that a test does to files, at once
    await rig.follower.close()
    await rig.follower.poll()
    phase = rig.follower.state.phase
    os.rename(away, directory)  # noqa: PTH104
    write(directory, (access("c"), NOW))
    await rig.poll()

    assert phase is Phase.WAITING
    assert rig.hosts == ["a", "b", "c"]


async def test_a_journal_that_may_not_be_entered_does_not_end_the_following(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """The lack of permission is reported, and the entries are read once it is granted."""
    directory = public_directory / "journal"
    directory.mkdir()
    write(directory, (access("a"), NOW))
    directory.chmod(0o700)
    (directory / "receiver.journal").chmod(0o644)
    rig = Rig(directory, now=NOW)
    with as_nobody():
        await rig.follower.poll()
    refused = rig.follower.state.phase
    directory.chmod(0o755)
    with as_nobody():
        await rig.poll()

    assert refused is Phase.REFUSED
    assert rig.hosts == ["a"]


async def test_a_long_backlog_lets_the_loop_run(directory: Path) -> None:
    """Catching up with ten thousand entries gives signs of progress and lets other tasks run."""
    line = access("a") + "\n"
    write(directory, *((line * 20, NOW - 20_000 + number) for number in range(10_000)))
    rig = Rig(directory, now=NOW)
    signs, turns = 0, 0

    def count() -> None:
        nonlocal signs
        signs += 1

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    rig.follower.on_progress = count
    other = asyncio.create_task(take_turns())
    await rig.poll()
    other.cancel()

    assert len(rig.observations) == 200_000
    assert signs > 2
    assert turns > 2


async def test_how_much_of_a_journal_was_understood_is_known(directory: Path) -> None:
    """Only upload lines count for that; other lines need no pattern."""
    write(directory, (access("a"), NOW - 3), ("started", NOW - 2), (access("b").replace("PUT", "PUT  "), NOW - 1))
    rig = Rig(directory, now=NOW)
    await rig.poll()
    share = rig.follower.state.share

    assert rig.hosts == ["a"]
    assert (share.understood, share.last_at) == (1, NOW - 3)
    assert share.came_in - share.missed == 1
