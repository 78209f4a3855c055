"""A row of `index.jsonl`: who shipped, and when the receiver took it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from fleet_health.domain.instant import Instant, from_datetime
from fleet_health.domain.observation import Ship
from fleet_health.parsing.host_name import host_name
from fleet_health.parsing.rejection import Rejection, rejection

# Later than any clock that can be believed. It keeps a nonsense year from counting as "just shipped".
_IMPLAUSIBLE_YEAR = 2200


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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return rejection(_reason(error, line), line)
        if not row.host:
            return rejection("empty host", line)
        try:
            moment = datetime.fromisoformat(row.time)
        except ValueError:
            return rejection("time not in ISO 8601", line)
        if moment.tzinfo is None:
            return rejection("time without offset", line)
        if moment.year >= _IMPLAUSIBLE_YEAR:
            return rejection("implausible time", line)
        return Ship(host_name(row.host), from_datetime(moment))

    def parse_block(self, block: bytes) -> tuple[list[Ship], list[Rejection]]:
        r"""Read a block of whole lines, each ended by `\n`."""
        ships: list[Ship] = []
        rejections: list[Rejection] = []
        parse = self.parse
        lines = block.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        for line in lines:
            if line[:1] == b"\0":  # a file grown before a power cut, but not filled: what follows may be whole
                rejections.append(rejection("NUL bytes", line))
                line = line.lstrip(b"\0")  # noqa: PLW2901
                if not line:
                    continue
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


def _reason(error: Exception, line: bytes) -> str:
    if not line.strip():
        return "blank line"
    if isinstance(error, msgspec.ValidationError):
        return "host or time missing, or not a string"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "not JSON"
