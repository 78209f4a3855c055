"""A row of `index.jsonl`: who shipped, and when the receiver took it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fleet_health.domain.observation import Ship
from fleet_health.parsing.host_name import host_name
from fleet_health.parsing.rejection import Rejection, rejection
from fleet_health.parsing.timestamp import TimeError, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fleet_health.domain.instant import Instant


class IndexParser:
    """Reads index rows whose host and time stand under the two keys given."""

    def __init__(self, *, host_field: str, time_field: str) -> None:
        # A struct of two fields lets the decoder skip the rest of a row unread: five times the speed of `json`.
        row = msgspec.defstruct(
            "IndexRow", [("host", str), ("time", str)], rename={"host": host_field, "time": time_field}, gc=False
        )
        self._decode = msgspec.json.Decoder(row).decode

    def parse(self, line: bytes) -> Ship | Rejection:
        """Read one line, without its newline."""
        try:
            row: Any = self._decode(line)
            if not line.isascii():
                line.decode("utf-8")  # the decoder does not look into what it skips
            at = parse_time(row.time)
        except TimeError as error:
            return rejection(str(error), line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return rejection(_reason(error, line), line)
        return Ship(host_name(row.host), at) if row.host else rejection("empty host", line)

    def parse_block(self, block: bytes) -> tuple[list[Ship], list[Rejection]]:
        r"""Read a block of whole lines, each ended by `\n`."""
        ships: list[Ship] = []
        rejections: list[Rejection] = []
        parse = self.parse
        lines = block.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        if b"\0" in block:
            lines = list(_without_nul(lines, rejections))
        for line in lines:
            result = parse(line)
            if type(result) is Ship:
                ships.append(result)
            else:
                rejections.append(result)  # type: ignore[arg-type]
        return ships, rejections

    def time_of(self, line: bytes) -> Instant | None:
        """Give a row's time; None if the line is not a row."""
        result = self.parse(line)
        return result.at if isinstance(result, Ship) else None


def _without_nul(lines: Iterable[bytes], rejections: list[Rejection]) -> Iterator[bytes]:
    """Give what stands between runs of NUL. They come from a power cut: the file had grown, but was not filled yet."""
    for line in lines:
        if b"\0" in line:
            rejections.append(rejection("NUL bytes", line))
            # Of what lies between several runs nobody can say what it was; and a stranger could make it many pieces.
            first, _, behind = line.strip(b"\0").partition(b"\0")
            last = behind.rpartition(b"\0")[2]
            yield from (piece for piece in (first, last) if piece)
        else:
            yield line


def _reason(error: Exception, line: bytes) -> str:
    if not line.strip():
        return "blank line"
    if isinstance(error, msgspec.ValidationError):
        return "host or time missing, or not a string"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "not JSON"
