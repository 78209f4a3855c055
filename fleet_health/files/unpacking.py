"""Read compressed files from the start, in pieces, with limits on memory and on the uncompressed size.

Python's library reads gzip and bzip2. For xz and zstd, the program of that name reads the open file and writes to a
pipe. Nothing is written to disk. Other compression formats are recognised, so that such files are not read as lines.
"""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import subprocess
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READ = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_NOT_READ = {
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress",
    b"7z\xbc\xaf": "7z",
    b"LZIP": "lzip",
    b"PK\3\4": "zip",
    b"\x89LZO": "lzop",
}
_MAGIC = _READ | _NOT_READ
# Enough for files from `xz -9` and `zstd --ultra -22`.
_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "xz": ("--decompress", "--stdout", "--quiet", "--memlimit-decompress=128MiB"),
    "zstd": ("--decompress", "--stdout", "--quiet", "--memory=128MB"),
}
# Rows compress to a tenth or a thirtieth of their size. A much higher ratio means a decompression bomb.
_MOST_TIMES = 200
_ALWAYS_ALLOWED = 256 << 20
_PIECE = 1 << 20


class UnpackingError(OSError):
    """A compressed file cannot be read to its end. `strerror` is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(0, reason)


def packing_of(fd: int) -> str:
    """Return the compression of an open file, such as `gzip`, even if it is not supported; empty if there is none."""
    head = os.pread(fd, max(map(len, _MAGIC)), 0)
    return next((packing for magic, packing in _MAGIC.items() if head.startswith(magic)), "")


class Unpacked:
    """The content of an open compressed file, to be read forwards. The caller keeps the file and closes it."""

    def __init__(self, fd: int, packing: str) -> None:
        self._fd = fd
        self._packing = packing
        self._stream: IO[bytes] | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._begin = 0  # the offset of the buffer's first byte
        self._limit = max(_ALWAYS_ALLOWED, _MOST_TIMES * os.fstat(fd).st_size)

    def read_at(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from an offset, fewer only at the end. Going back decompresses from the start again.

        Raises:
            UnpackingError: The content cannot be decompressed up to there.

        """
        if offset < self._begin:
            self.close()
        while (ahead := offset - self._begin) > len(self._buffer):
            self._begin += len(self._buffer)
            self._buffer = self._read(min(_PIECE, ahead))
            if not self._buffer:
                return b""
        self._buffer, self._begin = self._buffer[ahead:], offset
        while len(self._buffer) < count and (data := self._read(count - len(self._buffer))):
            self._buffer += data
        return self._buffer[:count]

    def lines(self, limit: int) -> Iterator[bytes]:
        """Yield each line without its newline. Only the end of a line longer than `limit` is yielded.

        Raises:
            UnpackingError: The content cannot be decompressed up to there.

        """
        offset, carried = 0, b""
        while data := self.read_at(offset, limit):
            offset += len(data)
            *lines, carried = (carried + data).split(b"\n")
            carried = carried[-limit:]
            yield from lines
        if carried:
            yield carried

    def close(self) -> None:
        """Free all resources except the file. The next read starts at its beginning."""
        if self._program is not None:
            self._program.kill()
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
        if self._program is not None:
            self._program.wait()
            self._program = None
        self._buffer, self._begin = b"", 0

    def _read(self, count: int) -> bytes:
        """Return the next bytes, at most `count`; empty at the end of an undamaged file."""
        try:
            data = self._opened().read(count)
        except UnpackingError:
            raise
        except (EOFError, OSError, zlib.error) as error:
            raise UnpackingError(f"damaged or incomplete: {error}") from error
        if not data and self._program is not None and self._program.wait():
            raise UnpackingError(f"damaged or incomplete, or {self._packing} needs more than 128 MiB to read it")
        if self._begin + len(self._buffer) + len(data) > self._limit:
            raise UnpackingError(f"contains more than {self._limit >> 20} MiB, too much for its compressed size")
        return data

    def _opened(self) -> IO[bytes]:
        if self._stream is not None:
            return self._stream
        if self._packing in _NOT_READ.values():
            raise UnpackingError(f"compressed by {self._packing}, which is not supported; use gzip, bzip2, xz or zstd")
        os.lseek(self._fd, 0, os.SEEK_SET)
        if self._packing in _PROGRAMS:
            self._stream = self._run(self._packing)
        else:
            file = open(self._fd, "rb", closefd=False)  # noqa: SIM115 - a descriptor, and not ours to close
            self._stream = cast(
                "IO[bytes]", gzip.GzipFile(fileobj=file) if self._packing == "gzip" else bz2.BZ2File(file)
            )
        return self._stream

    def _run(self, packing: str) -> IO[bytes]:
        program = shutil.which(packing)
        if program is None or not os.path.isabs(program):  # noqa: PTH117 - a text
            raise UnpackingError(f"compressed by {packing}, and the program {packing} is missing; install it")
        self._program = subprocess.Popen(
            [program, *_PROGRAMS[packing]], stdin=self._fd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self._program.stdout is None:
            raise UnpackingError(f"{packing} produced no output")
        return self._program.stdout
