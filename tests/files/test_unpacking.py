"""Compressed files are read in pieces, completely or with the reason why not, and nothing is left behind."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_health.files.unpacking import Unpacked, UnpackingError, packing_of
from tests.rig.descriptors import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def zstd(data: bytes) -> bytes:
    """Compress by zstd."""
    return subprocess.run(["zstd", "--stdout", "--quiet"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
DATA = random.Random(3).randbytes(300_000)  # noqa: S311 - nothing secret


def children_of_ours() -> set[str]:
    """Return the numbers of this process's children, also of those that have ended and nobody has waited for."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


@contextmanager
def opened(path: Path) -> Iterator[Unpacked]:
    """Open a compressed file; see in the end that its reader has left nothing open, and no process."""
    fd = os.open(path, os.O_RDONLY)
    before, children = open_descriptors(), children_of_ours()
    unpacked = Unpacked(fd, packing_of(fd))
    try:
        yield unpacked
    finally:
        unpacked.close()
        assert not open_descriptors() - before
        assert children_of_ours() <= children
        os.close(fd)


def read(unpacked: Unpacked, size: int) -> bytes:
    """Read all of it in pieces of a size."""
    data = b""
    while piece := unpacked.read_at(len(data), size):
        data += piece
    return data


@pytest.mark.parametrize("size", [1_000, 65_536, 1 << 20])
@pytest.mark.parametrize("packing", PACKINGS)
def test_all_of_a_file_is_read_in_whatever_pieces(packing: str, size: int, tmp_path: Path) -> None:
    """Also a file of several parts; after `close`, again from the begin."""
    path = tmp_path / "packed"
    path.write_bytes(PACKINGS[packing](DATA[:1_000]) + PACKINGS[packing](DATA[1_000:]))
    with opened(path) as unpacked:
        assert read(unpacked, size) == DATA
        unpacked.close()
        assert unpacked.read_at(0, 10) == DATA[:10]
        assert unpacked.read_at(5, 10) == DATA[5:15]


@pytest.mark.parametrize("damage", ["cut off", "changed"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_damaged_file_is_an_error_with_its_reason(packing: str, damage: str, tmp_path: Path) -> None:
    """Never a shorter content."""
    path = tmp_path / "packed"
    data = bytearray(PACKINGS[packing](DATA))
    if damage == "changed":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data if damage == "changed" else data[: len(data) // 2])
    with opened(path) as unpacked, pytest.raises(UnpackingError, match="damaged or incomplete"):
        read(unpacked, 65_536)


def test_lines_are_given_whole_and_their_length_is_bounded(tmp_path: Path) -> None:
    """Only the end of a line that is too long is returned."""
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(b"a\n\nbc\n" + b"x" * 100 + b"yz\nlast"))
    with opened(path) as unpacked:
        a, empty, b_c, long, last = unpacked.lines(10)

    assert (a, empty, b_c, last) == (b"a", b"", b"bc", b"last")
    assert long.endswith(b"yz")
    assert len(long) < 30


@pytest.mark.parametrize("packing", ["xz", "zstd"])
def test_a_program_that_is_missing_is_named(packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run from the current directory, even if it is there."""
    path = tmp_path / "packed"
    path.write_bytes(PACKINGS[packing](DATA))
    (tmp_path / packing).symlink_to("/bin/true")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".:")
    with opened(path) as unpacked, pytest.raises(UnpackingError, match=f"the program {packing} is missing"):
        unpacked.read_at(0, 1)


def test_only_what_is_compressed_is_taken_for_it(tmp_path: Path) -> None:
    """By its first bytes, not by its name."""
    for content in (b"", b"\x1f", b'{"host_id": "a"}\n', b"BZ"):
        path = tmp_path / "index.jsonl.1.gz"
        path.write_bytes(content)
        with path.open("rb") as file:
            assert packing_of(file.fileno()) == ""


@pytest.mark.parametrize(
    ("head", "packing"),
    [
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x1f\x9d", "compress"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"LZIP", "lzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x89LZO", "lzop"),
    ],
)
def test_what_is_compressed_by_another_program_is_named(head: bytes, packing: str, tmp_path: Path) -> None:
    """It cannot be read, and is not taken for lines."""
    path = tmp_path / "packed"
    path.write_bytes(head + DATA)
    with opened(path) as unpacked, pytest.raises(UnpackingError, match=f"compressed by {packing}, which is not supp"):
        unpacked.read_at(0, 1)
