"""An open file of lines and its read position: what each read returns."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.sources.index import open_file
from fleet_health.sources.index.open_file import (
    LINE_LIMIT,
    STANDING_S,
    Block,
    OpenFile,
    behind,
    from_start,
    last_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet_health.sources.index.open_file import Entry

BLOCK = open_file._READ_SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is; empty at first."""
    file = tmp_path / "log"
    file.touch()
    return file


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., OpenFile]]:
    """Open the file; it is closed at the end."""
    files: list[OpenFile] = []

    def open_it(entry: Entry = from_start, packing: str = "") -> OpenFile:
        files.append(OpenFile(os.open(path, os.O_RDONLY), entry, packing))
        return files[-1]

    yield open_it
    for file in files:
        file.close()


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass."""
    now = [1_000.0]
    monkeypatch.setattr("fleet_health.sources.index.open_file.time.monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def append(path: Path, data: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(data)


ROW = b'{"host_id": "a"}'


def test_a_whole_row_that_has_stood_is_read_without_its_newline(
    path: Path, opened: Callable[..., OpenFile], wait: Callable[[float], None]
) -> None:
    """Once: the newline that comes later does not end another line."""
    append(path, b"x\n" + ROW)
    file = opened()
    blocks = [file.read_on("opened"), file.read_on()]
    wait(STANDING_S - 0.01)
    blocks.append(file.read_on())
    wait(0.01)
    blocks.append(file.read_on("told"))
    rest = file.rest()
    append(path, b"\r\n" + ROW + b"\n")

    assert blocks == [
        Block(b"x\n", is_end=True, event="opened"),
        Block(is_end=True),
        Block(is_end=True),
        Block(ROW + b"\n", is_end=True, event="told"),
    ]
    assert rest == b""
    assert file.rest() == b"\r\n" + ROW + b"\n"
    assert file.read_on() == Block(ROW + b"\n", is_end=True)


def test_the_row_behind_one_that_has_stood_may_be_written_into_allocated_space(
    path: Path, opened: Callable[..., OpenFile], wait: Callable[[float], None]
) -> None:
    """Space allocated in advance is not part of the row."""
    path.write_bytes(ROW + b"\0" * 1_000)
    file = opened()
    file.read_on()
    wait(STANDING_S)
    first = file.read_on()
    with path.open("r+b") as written:
        written.seek(len(ROW))
        written.write(b"\n" + ROW + b"\n")

    assert [first, file.read_on()] == [Block(ROW + b"\n", is_end=True)] * 2


@pytest.mark.parametrize("piece", [ROW[:-1], b"word", b"[]", b""])
def test_what_is_no_whole_row_is_waited_for_however_long_it_stands(
    piece: bytes, path: Path, opened: Callable[..., OpenFile], wait: Callable[[float], None]
) -> None:
    """The rest of it is still to come."""
    append(path, b"x\n" + piece)
    file = opened()
    file.read_on()
    wait(100 * STANDING_S)

    assert file.read_on() == Block(is_end=True)
    assert file.rest() == piece


@pytest.mark.parametrize(
    ("before", "missing"),
    [(b"", 1), (b"x\n", 4)],
    ids=["our place stays", "our place moves"],
)
def test_an_end_that_moves_has_not_stood(
    before: bytes, missing: int, path: Path, opened: Callable[..., OpenFile], wait: Callable[[float], None]
) -> None:
    """The time counts from the last change of the file's end, not from the read position."""
    append(path, before + ROW[:-missing])
    file = opened()
    file.read_on()
    wait(STANDING_S)
    append(path, ROW[-missing:])
    at_once = file.read_on()
    wait(STANDING_S)

    assert at_once == Block(is_end=True)
    assert file.read_on().lines == ROW + b"\n"


@pytest.mark.parametrize(
    ("sizes", "ends"),
    [
        ([BLOCK - 1], [True]),
        ([BLOCK], [False, True]),
        ([BLOCK, 1], [False, True]),
        ([BLOCK, BLOCK - 1], [False, True]),
        ([BLOCK, BLOCK], [False, False, True]),
    ],
)
def test_blocks_are_read_until_one_is_not_full(
    sizes: list[int], ends: list[bool], path: Path, opened: Callable[..., OpenFile]
) -> None:
    """Only a block that is not full is the end."""
    line = b"x" * 255 + b"\n"
    data = [(line * (size // 256 + 1))[-size:] for size in sizes]
    append(path, b"".join(data))
    file = opened()
    blocks = [file.read_on() for _ in ends]

    assert [block.is_end for block in blocks] == ends
    assert b"".join(block.lines for block in blocks) == b"".join(data)


@pytest.mark.parametrize(("length", "is_read"), [(LINE_LIMIT - 1, True), (LINE_LIMIT, False), (3 * LINE_LIMIT, False)])
def test_a_line_beyond_the_limit_is_skipped_and_counted_once(
    length: int, path: Path, opened: Callable[..., OpenFile], *, is_read: bool
) -> None:
    """The lines after it are read."""
    append(path, b"a\n" + b"x" * length + b"\nb\n")
    file, blocks = opened(), list[Block]()
    while not blocks or not blocks[-1].is_end:
        blocks.append(file.read_on())
    lines = b"".join(block.lines for block in blocks).split(b"\n")

    assert lines == [b"a", *([b"x" * length] if is_read else []), b"b", b""]
    assert sum(block.overlong for block in blocks) == (not is_read)
    assert [len(block.rejections) for block in blocks] == [block.overlong for block in blocks]


def test_behind_a_hole_the_next_row_is_read(path: Path, opened: Callable[..., OpenFile]) -> None:
    """A power cut may leave a long run of NUL, longer than one read."""
    with path.open("r+b") as file:
        file.write(b"a\n")
        file.truncate(8 << 30)
    one = opened()
    first = [one.read_on() for _ in range(4)]
    append(path, b"b\n")

    assert first == [Block(b"a\n"), Block(), Block(is_end=True), Block(is_end=True)]
    assert [one.read_on() for _ in range(3)] == [Block(), Block(overlong=1), Block(b"b\n", is_end=True)]


@pytest.mark.parametrize("size", [LINE_LIMIT // 2, 3 * LINE_LIMIT])
@pytest.mark.parametrize("byte", [None, b"\0"], ids=["a hole", "bytes"])
def test_rows_that_are_written_into_space_allocated_in_advance_are_read(
    size: int, byte: bytes | None, path: Path, opened: Callable[..., OpenFile]
) -> None:
    """In pieces or whole, with the newline after or before them; none is taken for part of an endless line."""
    with path.open("r+b", buffering=0) as file:
        if byte is None:
            file.truncate(size)
        else:
            file.write(byte * size)
        file.seek(0)
        one, lines = opened(), b""
        for piece in (b"a\n", b"b", b"b\nc\n", b"d\n"):
            file.write(piece)
            while not (block := one.read_on()).is_end:
                lines += block.lines
                assert not block.overlong
            lines += block.lines

    assert lines == b"a\nbb\nc\nd\n"
    assert last_line(one) == b""


@pytest.mark.parametrize(
    ("change", "damage"),
    [
        pytest.param(Path.exists, "", id="nothing"),
        pytest.param(lambda path: append(path, b"c\n"), "", id="more was written"),
        pytest.param(lambda path: os.truncate(path, 3), "truncated", id="it is shorter"),
        pytest.param(lambda path: path.write_bytes(b"A\nb\n"), "rewritten", id="as long, with another content"),
        pytest.param(lambda path: path.write_bytes(b"a\nB\nc\n"), "rewritten", id="longer, with another content"),
    ],
)
def test_damage_before_our_place_is_noticed(
    change: Callable[[Path], object], damage: str, path: Path, opened: Callable[..., OpenFile]
) -> None:
    """At once, and until the file is entered again."""
    append(path, b"a\nb\n")
    file = opened()
    file.read_on()
    assert file.damage() == ""

    change(path)
    os.utime(path, (1, 1))

    assert [file.damage(), file.damage()] == [damage, damage]


def test_a_compressed_file_is_entered_when_it_is_begun(path: Path, opened: Callable[..., OpenFile]) -> None:
    """Its first bytes are known before that, and no unpacker stays running."""
    path.write_bytes(gzip.compress(b"one\ntwo\n" + b"x" * 5000))
    file = opened(packing="gzip")
    head = file.content_head()
    plain_head = file.head()
    file.begin()

    assert head == (b"one\ntwo\n" + b"x" * 5000)[:4096]
    assert plain_head[:2] == b"\x1f\x8b"
    assert (file.is_packed, file.damage()) == (True, "")
    assert file.read_on().lines == b"one\ntwo\n"
    assert last_line(file) == b"x" * 5000 + b"\n"


@pytest.mark.parametrize(
    ("content", "again", "new"),
    [
        pytest.param(b"one\ntwo\nthree\n", b"one\ntwo\n", b"three\n", id="it holds the same before our place"),
        pytest.param(
            b"0\none\n" + b"y" * 40 + b"\n3\n", b"0\none\n" + b"y" * 40 + b"\n", b"3\n", id="a line came before it"
        ),
        pytest.param(b"y" * 40 + b"\n3\n", b"y" * 40 + b"\n", b"3\n", id="a line before it is gone"),
        pytest.param(b"four\n", b"", b"four\n", id="it holds nothing of it"),
    ],
)
def test_what_a_rewritten_file_holds_of_the_old_one_is_given_again(
    content: bytes, again: bytes, new: bytes, path: Path, opened: Callable[..., OpenFile]
) -> None:
    """It is marked as such, so that it does not count twice."""
    old = b"one\ntwo\n" if again == b"one\ntwo\n" else b"one\n" + b"y" * 40 + b"\n"
    append(path, old)
    file = opened()
    file.read_on()
    place = file.place
    path.write_bytes(content)
    file.begin()
    file.recognize(place)
    blocks = [file.read_on(), file.read_on(), file.read_on()]

    assert b"".join(block.lines for block in blocks if block.is_again) == again
    assert b"".join(block.lines for block in blocks if not block.is_again) == new


@pytest.mark.parametrize(("content", "first"), [(b"one\ntwo\nthree\n", b"three\n"), (b"1\n2\n3\n", b"1\n2\n3\n")])
def test_a_copy_is_entered_behind_a_place(
    content: bytes, first: bytes, path: Path, opened: Callable[..., OpenFile]
) -> None:
    """Another file is entered as usual."""
    append(path, b"one\ntwo\n")
    file = opened()
    file.read_on()
    path.write_bytes(content)

    assert opened(behind(file.place, from_start)).read_on().lines == first


@pytest.mark.parametrize(("length", "is_found"), [(31, False), (32, True)])
def test_a_line_is_found_again_alone_if_it_is_long_enough(
    length: int, path: Path, opened: Callable[..., OpenFile], *, is_found: bool
) -> None:
    """With its newline; a shorter line may occur in another file by chance."""
    line = b"y" * (length - 1) + b"\n"
    append(path, b"one\n" + line)
    file = opened()
    file.read_on()
    place = file.place
    path.write_bytes(line + b"new\n")
    file.begin()
    file.recognize(place)

    assert file.read_on().is_again == is_found


@pytest.mark.parametrize("header", [0, 1, 4_095])
def test_near_the_begin_nothing_shows_that_a_file_began_anew(
    header: int, path: Path, opened: Callable[..., OpenFile]
) -> None:
    """Until more was read than a header that all files may have, any change is a reason to check."""
    append(path, b"\n" * header + b"piece")
    file = opened()
    file.read_on()
    before = file.may_have_begun_anew()
    file.read_on()
    file.damage()
    unchanged = file.may_have_begun_anew()
    append(path, b" and more")
    changed = file.may_have_begun_anew()
    append(path, b"x" * 4_096 + b"\n")
    file.read_on()
    file.damage()
    append(path, b"next\n")

    assert (before, unchanged, changed, file.may_have_begun_anew()) == (False, False, True, False)
