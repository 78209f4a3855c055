"""Following a file of lines through everything that can happen to it."""

from __future__ import annotations

import gzip
import itertools
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from fleet_health.errors import SourceUnavailable
from fleet_health.sources.index.open_file import LINE_LIMIT
from fleet_health.sources.index.tail import Tail
from tests.rig.descriptors import open_descriptors
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fleet_health.sources.index.open_file import ReadAt


@dataclass
class Got:
    """What a tail gave, up to its end."""

    lines: list[bytes] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    overlong: int = 0


def read(tail: Tail) -> Got:
    """Read to the present end."""
    got = Got()
    while True:
        block = tail.read()
        assert block.lines == b"" or block.lines.endswith(b"\n")
        got.lines += block.lines.split(b"\n")[:-1]
        got.events += [block.event] if block.event else []
        got.overlong += block.overlong
        if block.is_end and not block.event:
            return got


def append(path: Path, data: bytes) -> None:
    """Append as a writer does who opens the file each time."""
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is; not there yet."""
    return tmp_path / "log"


@pytest.fixture
def tail(path: Path) -> Iterator[Tail]:
    """A tail of the file."""
    one = Tail(path)
    yield one
    one.close()


def test_what_is_appended_is_read(path: Path, tail: Tail) -> None:
    """Each line once, in order."""
    append(path, b"one\ntwo\n")
    first = read(tail)
    append(path, b"three\n")
    second = read(tail)
    third = read(tail)

    assert [first.lines, second.lines, third.lines] == [[b"one", b"two"], [b"three"], []]
    assert [first.events, second.events, third.events] == [["opened"], [], []]


def test_a_line_in_pieces_is_held_back_until_it_is_whole(path: Path, tail: Tail) -> None:
    """Half a line is not a line."""
    lines = []
    for piece in (b"on", b"e", b"\ntw", b"o\n"):
        append(path, piece)
        lines.append(read(tail).lines)

    assert lines == [[], [], [b"one"], [b"two"]]


def test_a_last_line_without_newline_can_be_asked_for(path: Path, tail: Tail) -> None:
    """`rest` returns what follows the last newline, and consumes nothing."""
    append(path, b"one\ntwo")
    read(tail)

    assert tail.rest() == b"two\n"
    append(path, b"!\n")
    assert read(tail).lines == [b"two!"]
    assert tail.rest() == b""


def test_a_file_that_was_never_opened_has_no_rest(tail: Tail) -> None:
    """`rest` returns nothing before the first read."""
    assert tail.rest() == b""


def test_a_renamed_file_is_drained_before_the_new_one(path: Path, tail: Tail) -> None:
    """Rows written to the old file after the rename come first; nothing is lost or repeated."""
    append(path, b"one\n")
    read(tail)
    with path.open("ab", buffering=0) as writer:
        path.rename(path.with_suffix(".1"))
        writer.write(b"two\n")
        append(path, b"three\n")
        writer.write(b"late\n")
        got = read(tail)

    assert got.lines == [b"two", b"late", b"three"]
    assert got.events == ["replaced", "opened"]


def test_a_renamed_file_that_is_listed_as_rotated_is_read_once(path: Path) -> None:
    """It is the file that was at the path, under a new name."""
    rotated = path.with_suffix(".1")
    tail = Tail(path, rotated=lambda: [rotated] if rotated.exists() else [])
    append(path, b"one\n")
    got = [read(tail).lines]
    path.rename(rotated)
    append(rotated, b"two\n")
    got.append(read(tail).lines)
    append(path, b"three\n")
    append(rotated, b"late\n")
    got.append(read(tail).lines)
    tail.close()

    assert got == [[b"one"], [b"two"], [b"late", b"three"]]


def test_a_renamed_file_is_followed_until_there_is_a_new_one(path: Path, tail: Tail) -> None:
    """A writer that has not noticed the rename is still followed."""
    append(path, b"one\n")
    read(tail)
    renamed = path.rename(path.with_suffix(".1"))
    append(renamed, b"two\n")
    while_away = read(tail)
    append(path, b"three\n")

    assert while_away.lines == [b"two"]
    assert read(tail).lines == [b"three"]


def test_a_writer_that_goes_on_in_a_replaced_file_is_heard(path: Path, tail: Tail) -> None:
    """It may notice the rename late, so for a while both files are read."""
    append(path, b"one\n")
    read(tail)
    old = path.rename(path.with_suffix(".1"))
    append(path, b"two\n")
    lines = [read(tail).lines]
    append(old, b"late\n")
    append(path, b"three\n")
    lines.append(read(tail).lines)

    assert lines == [[b"two"], [b"late", b"three"]]


def test_half_a_line_at_the_end_of_a_replaced_file_is_a_line(
    path: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the waiting time it will get no newline, so it is returned as it is."""
    monkeypatch.setattr("fleet_health.sources.index.tail._LEFT_TIME", 0.0)
    append(path, b"one\nhalf")
    read(tail)
    path.rename(path.with_suffix(".1"))
    append(path, b"two\n")

    assert sorted(read(tail).lines) == [b"half", b"two"]


def test_a_truncated_file_is_read_from_its_start_each_time(path: Path, tail: Tail) -> None:
    """However often it is truncated in place."""
    append(path, b"first\nhalf a line")
    read(tail)
    got = []
    for line in (b"second", b"third"):
        os.truncate(path, 0)
        append(path, line[:3])
        read(tail)
        append(path, line[3:] + b"\n")
        got.append(read(tail).lines)

    assert got == [[b"second"], [b"third"]]


def test_truncation_to_nothing_is_said(path: Path, tail: Tail) -> None:
    """It is logged."""
    append(path, b"first\n")
    read(tail)
    os.truncate(path, 0)

    assert read(tail).events == ["truncated"]


@pytest.mark.parametrize("new", [b"other\n", b"other\nand some more\n", b"x" * 300_000 + b"\ny\n"], ids=len)
def test_a_file_truncated_and_regrown_past_our_place_is_noticed(new: bytes, path: Path, tail: Tail) -> None:
    """The size alone does not show it; the bytes before the read position do."""
    append(path, b"first\n")
    read(tail)
    with path.open("wb") as writer:
        writer.write(new)
    os.utime(path, ns=(1, 1))  # however coarse the file system's clock is
    got = read(tail)

    assert new.split(b"\n")[:-1] == got.lines
    assert got.events == ["rewritten"]


def test_a_deleted_file_is_drained_then_waited_for(path: Path, tail: Tail) -> None:
    """Rows from before the deletion are read; the file that returns is read from its start."""
    append(path, b"one\n")
    read(tail)
    append(path, b"two\n")
    path.unlink()
    last = tail.read()
    with pytest.raises(SourceUnavailable, match=r"log: No such file or directory"):
        read(tail)
    append(path, b"one again\n")

    assert last.lines == b"two\n"
    assert read(tail).lines == [b"one again"]


def test_a_directory_that_goes_and_returns_is_no_hazard(tmp_path: Path) -> None:
    """Only the path counts."""
    directory = tmp_path / "a"
    directory.mkdir()
    tail = Tail(directory / "log")
    append(directory / "log", b"one\n")
    first = read(tail)
    directory.rename(tmp_path / "b")
    moved = read(tail)
    directory.mkdir()
    append(directory / "log", b"two\n")
    second = read(tail)
    tail.close()

    assert [first.lines, moved.lines, second.lines] == [[b"one"], [], [b"two"]]


def test_a_symlink_that_is_swapped_is_followed(tmp_path: Path, path: Path, tail: Tail) -> None:
    """The old target is drained first."""
    old, new = tmp_path / "old", tmp_path / "new"
    append(old, b"one\n")
    append(new, b"three\n")
    path.symlink_to(old)
    first = read(tail)
    append(old, b"two\n")
    swapped = tmp_path / "swapped"
    swapped.symlink_to(new)
    swapped.replace(path)

    assert first.lines == [b"one"]
    assert read(tail).lines == [b"two", b"three"]


def test_a_file_gone_unreadable_is_not_the_end(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """The error after a rotation names the remedy, and the file is read once that is applied."""
    path = public_directory / "log"
    tail = Tail(path)
    append(path, b"one\n")
    with as_nobody():
        first = read(tail)
    append(path, b"two\n")
    path.rename(path.with_suffix(".1"))
    append(path, b"three\n")
    path.chmod(0o600)
    with as_nobody():
        drained = tail.read()
        with pytest.raises(
            SourceUnavailable, match=r"log: permission denied; run this command as root, or let your user"
        ):
            read(tail)
    path.chmod(0o644)
    with as_nobody():
        last = read(tail)
    tail.close()

    assert [first.lines, last.lines] == [[b"one"], [b"three"]]
    assert drained.lines == b"two\n"


def test_a_directory_that_may_not_be_entered_is_said(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """The mode of the directory denies access as well as that of the file."""
    path = public_directory / "closed" / "log"
    path.parent.mkdir()
    append(path, b"one\n")
    path.parent.chmod(0o700)

    with as_nobody(), pytest.raises(SourceUnavailable, match="permission denied"):
        Tail(path).read()


def make_gzip(path: Path) -> None:
    """Put a gzip file at a path."""
    with gzip.open(path, "wb") as file:
        file.write(b"one\n")


def make_device(path: Path) -> None:
    """Put a link to a character device at a path."""
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    """Put a symbolic link to itself at a path."""
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        pytest.param(os.mkfifo, "expected a regular file, found a FIFO", id="a FIFO, without hanging"),
        pytest.param(Path.mkdir, "expected a regular file, found a directory", id="a directory"),
        pytest.param(make_device, "expected a regular file, found a character device", id="a device"),
        pytest.param(make_gzip, "expected lines of JSON, found a gzip file", id="a gzip file"),
        pytest.param(make_loop, "expected a regular file: Too many levels of symbolic links", id="a link to itself"),
    ],
)
def test_what_is_no_file_of_lines_is_refused(make: Callable[[Path], None], found: str, path: Path, tail: Tail) -> None:
    """The error names what is there, and the real file is read as soon as it appears."""
    make(path)
    before = open_descriptors()
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match=f"log: {found}"):
            tail.read()
    assert not open_descriptors() - before
    path.rmdir() if path.is_dir() else path.unlink()
    append(path, b"one\n")

    assert read(tail).lines == [b"one"]


def test_a_line_of_the_limit_is_read(path: Path, tail: Tail) -> None:
    """The limit includes the newline."""
    line = b"x" * (LINE_LIMIT - 1)
    append(path, line + b"\nnext\n")
    got = read(tail)

    assert [line, b"next"] == got.lines
    assert got.overlong == 0


@pytest.mark.parametrize("length", [LINE_LIMIT, LINE_LIMIT + 1, 3 * LINE_LIMIT + 12_345])
def test_a_longer_line_is_skipped_and_counted(length: int, path: Path, tail: Tail) -> None:
    """The lines around it are read."""
    append(path, b"before\n" + b"x" * length + b"\nafter\n")
    got = read(tail)

    assert got.lines == [b"before", b"after"]
    assert got.overlong == 1


def test_an_overlong_line_that_grows_slowly_is_counted_once(path: Path, tail: Tail) -> None:
    """However it is cut into pieces."""
    overlong, lines = 0, []
    for piece in (b"x" * LINE_LIMIT, b"x", b"x" * LINE_LIMIT, b"x\n", b"after\n"):
        append(path, piece)
        got = read(tail)
        overlong += got.overlong
        lines += got.lines
    assert tail.rest() == b""

    assert overlong == 1
    assert lines == [b"after"]


def test_a_truncation_ends_an_overlong_line(path: Path, tail: Tail) -> None:
    """The first line after it is not taken for its end."""
    append(path, b"x" * (LINE_LIMIT + 1))
    read(tail)
    os.truncate(path, 0)
    append(path, b"one\n")

    assert read(tail).lines == [b"one"]


def test_a_byte_order_mark_is_taken_off_the_start_alone(path: Path, tail: Tail) -> None:
    """Elsewhere it is part of a line."""
    append(path, b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")

    assert read(tail).lines == [b"one", b"\xef\xbb\xbftwo"]


def test_lines_are_split_at_newlines_alone(path: Path, tail: Tail) -> None:
    """CR, NUL, U+2028, form feeds and bytes that are not UTF-8 are part of a line."""
    line = b"a\rb\0c\xe2\x80\xa8d\x0ce\xff\r"
    append(path, line + b"\n\n")

    assert [line, b""] == read(tail).lines


def test_each_file_is_entered_where_the_entry_says(path: Path) -> None:
    """The entry is computed for the first file, for its replacement, and after a truncation."""
    sizes = []

    def behind_first_line(read_at: ReadAt, size: int) -> int:
        sizes.append(size)
        return read_at(0, size).find(b"\n") + 1

    tail = Tail(path, behind_first_line)
    append(path, b"a\nb\n")
    lines = read(tail).lines
    path.rename(path.with_suffix(".1"))
    append(path, b"c\nd\ne\n")
    lines += read(tail).lines
    with path.open("wb") as writer:
        writer.write(b"f\ng\n")
    lines += read(tail).lines
    tail.close()

    assert lines == [b"b", b"d", b"e", b"g"]
    assert sizes == [4, 6, 4]


@tried(60)
@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: b"{" + line.replace(b"\n", b"")), max_size=20),
    cuts=st.lists(st.integers(1, 60), min_size=1),
    reads=st.lists(st.booleans(), min_size=1),
)
def test_chunks_never_change_the_lines(lines: list[bytes], cuts: list[int], reads: list[bool]) -> None:
    """However a writer appends, and whenever the file is read, the lines are those written."""
    data = b"".join(line + b"\n" for line in lines)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        path.touch()
        tail = Tail(path)
        got = []
        place = 0
        for size, is_read in zip(itertools.cycle(cuts), itertools.cycle(reads), strict=False):
            append(path, data[place : place + size])
            place += size
            got += read(tail).lines if is_read else []
            if place >= len(data):
                break
        got += read(tail).lines
        tail.close()

    assert lines == got


class TailModel(RuleBasedStateMachine):
    """A tail beside a model of what is in the files."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "log"
        self.path.touch()
        self.tail = Tail(self.path)
        self.numbers = itertools.count()
        self.old: Path | None = None  # the file that was renamed last
        self.unread_old = b""
        self.unread = b""
        self.is_open = False  # the tail has seen the present file

    def teardown(self) -> None:
        """Clean up."""
        self.tail.close()
        self.directory.cleanup()

    def write(self, path: Path, data: bytes) -> None:
        """Append, with a time of modification that never stands still."""
        append(path, data)
        stamp = next(self.numbers)
        os.utime(path, ns=(stamp, stamp))

    @rule(endings=st.lists(st.booleans(), min_size=1, max_size=4))
    def append(self, endings: list[bool]) -> None:
        """Append pieces of lines that occur only once; some end the line."""
        data = b"".join(b"%d%s" % (next(self.numbers), b"\n" if is_end else b",") for is_end in endings)
        self.write(self.path, data)
        self.unread += data

    @precondition(lambda self: self.old is not None)
    @rule()
    def append_late(self) -> None:
        """Append to the file that was renamed."""
        assert self.old is not None
        data = b"late %d\n" % next(self.numbers)
        self.write(self.old, data)
        self.unread_old += data

    @precondition(lambda self: self.is_open and not self.unread_old)
    @rule()
    def rotate(self) -> None:
        """Rename, and create."""
        self.old = self.path.rename(f"{self.path}.{next(self.numbers)}")
        self.path.touch()
        self.unread_old, self.unread, self.is_open = self.unread, b"", False

    @precondition(lambda self: self.is_open and b"\n" not in self.unread)
    @rule()
    def truncate(self) -> None:
        """Truncate a file all of whose lines were read: what is cut off unread is lost."""
        os.truncate(self.path, 0)
        self.unread = b""

    @rule()
    def read(self) -> None:
        """Read to the end: exactly what the model has, of the old file first."""
        *expected_old, self.unread_old = self.unread_old.split(b"\n")
        *expected, self.unread = self.unread.split(b"\n")
        self.is_open = True

        assert expected_old + expected == read(self.tail).lines


TestTailModel = TailModel.TestCase
TestTailModel.settings = tried(60, stateful_step_count=25)


def test_a_rotated_file_with_nothing_at_the_path_is_read_and_followed(tmp_path: Path) -> None:
    """Its writer may still hold it. Once there is a new file at the path, each line has been read once."""
    path, rotated = tmp_path / "log", tmp_path / "log.1"
    append(rotated, b"one\n")
    tail = Tail(path, rotated=lambda: [rotated])

    got = [read(tail).lines]
    append(rotated, b"two\n")
    got.append(read(tail).lines)
    append(path, b"three\n")
    got.append(read(tail).lines)
    tail.close()

    assert got == [[b"one"], [b"two"], [b"three"]]


def test_what_is_rotated_away_between_opening_and_listing_is_read_once(path: Path) -> None:
    """The file at the path is opened before the rotated ones are listed, so nothing is left out."""
    append(path, b"one\n")
    rotated = path.with_suffix(".1")

    def rotate_and_list() -> list[Path]:
        if not rotated.exists():
            path.rename(rotated)
            append(path, b"two\n")
        return [rotated]

    tail = Tail(path, rotated=rotate_and_list)

    assert read(tail).lines == [b"one", b"two"]
    tail.close()


def test_a_rotated_file_is_let_go_of_when_its_writer_has_had_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read again, however often the file at the path is replaced."""
    monkeypatch.setattr("fleet_health.sources.index.tail._LEFT_TIME", 0.0)
    append(tmp_path / "log.1", b"old\n")
    append(path, b"one\n")
    tail = Tail(path, rotated=lambda: sorted(tmp_path.glob("log.*"), reverse=True))
    lines = read(tail).lines
    for number in range(2, 6):
        path.rename(tmp_path / f"log.{number}")
        append(path, b"next\n")
        lines += read(tail).lines
    open_files = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]

    assert lines == [b"old", b"one", *[b"next"] * 4]
    assert [name for name in open_files if name.startswith(str(path))] == [str(path)]
    tail.close()


@pytest.mark.parametrize(
    ("path", "invocation", "is_hidden"),
    [
        ("/home/a/index.jsonl", "1", True),
        ("/run/user/1000/index.jsonl", "1", True),
        ("/srv/index.jsonl", "1", False),
        ("/home/a/index.jsonl", "", False),
    ],
)
def test_a_path_that_the_unit_hides_is_said_to_be(
    path: str, invocation: str, *, is_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a service is hardened, and only some places are hidden from it."""
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    if invocation:
        monkeypatch.setenv("INVOCATION_ID", invocation)
    tail = Tail(Path(path).with_name("missing-of-fleet-health"))

    with pytest.raises(SourceUnavailable) as raised:
        tail.read()

    assert ("ProtectHome= or PrivateTmp=" in str(raised.value)) == is_hidden
