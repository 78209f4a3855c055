"""Parse rows of `index.jsonl`: the host of an upload, and when the receiver accepted it."""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_health.model.host_name import named_host
from fleet_health.model.instant import from_datetime
from fleet_health.model.observation import Upload
from fleet_health.parsing.logged_name import kept_name
from fleet_health.parsing.rejection import BLANK_LINE, Rejection, rejection
from fleet_health.parsing.timestamp import EARLIEST, LATEST, TimeError, instant_of, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fleet_health.model.instant import Instant

# How many host names are cached, enough for a large fleet. Bounded, because clients can invent names.
_NAMES = 20_000

_PIECE_SIZE = 1 << 17
_LINE_BREAK = b"\nnull null\n"
# How many objects in a line are tried to find the row at its end.
_MOST_OBJECTS = 8
_host_of_row, _time_of_row = attrgetter("host"), attrgetter("time")


class _Names(dict[str, str]):
    """Host in a row -> its safe name. Only names that are already safe are cached, because others may be long."""

    def __missing__(self, raw: str) -> str:
        name = _name(raw)
        if name == raw:
            if len(self) >= _NAMES:
                self.clear()
            self[raw] = name
        return name


class IndexParser:
    """Parses rows of an index, with the keys of the host and the time as configured."""

    def __init__(self, *, host_field: str, time_field: str) -> None:
        def row(time_type: type) -> Any:
            # With a struct of two fields, the decoder skips the rest of a row, which is five times as fast as `json`.
            names = {"host": host_field, "time": time_field}
            return msgspec.defstruct("IndexRow", [("host", str), ("time", time_type)], rename=names, gc=False)

        # The decoder also parses the usual times (RFC 3339) at no cost. Other times are parsed from their text.
        dated, undated = row(datetime), row(str)
        self._decode_dated, self._decode_undated = (msgspec.json.Decoder(one).decode for one in (dated, undated))
        self._decode_values = msgspec.json.Decoder(dated | None).decode_lines
        self._names = _Names()

    def parse(self, line: bytes) -> Upload | Rejection:
        """Parse one line, without its newline."""
        try:
            try:
                row = self._decode_dated(line)
                at = instant_of(row.time)
            except msgspec.ValidationError:
                row = self._decode_undated(line)
                at = parse_time(row.time)
            if not line.isascii():
                line.decode("utf-8")  # the decoder does not check the parts that it skips
        except TimeError as error:
            return rejection(str(error), line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return rejection(_reason(error, line), line)
        return Upload(_name(row.host), at) if row.host else rejection("empty host", line)

    def parse_block(self, block: bytes) -> tuple[list[Upload], list[Rejection]]:
        r"""Parse a block of complete lines, each with its `\n`."""
        uploads: list[Upload] = []
        rejections: list[Rejection] = []
        parse = self.parse
        lines = block.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        if b"\0" in block:
            lines = list(_without_nul(lines, rejections))
        for line in lines:
            result = parse(line)
            if type(result) is Upload:
                uploads.append(result)
            else:
                rejections.append(result)  # type: ignore[arg-type]
                uploads += self._row_behind_torn(line)
        return uploads, rejections

    def _row_behind_torn(self, line: bytes) -> list[Upload]:
        """Return the row at the end of a line that is not itself a row; empty if there is none.

        After a power cut the last row may be incomplete, and the next row is appended directly to it. Text from clients
        is not mistaken for a row, because quotation marks are escaped within a string of JSON.
        """
        begin = len(line)
        for _ in range(_MOST_OBJECTS):
            if (begin := line.rfind(b'{"', 1, begin)) < 0:
                break
            if isinstance(row := self.parse(line[begin:]), Upload):
                return [row]
        return []

    def parse_latest(self, block: bytes, until: Instant) -> tuple[list[Upload], list[Rejection], int]:
        r"""Parse a block of complete lines, each with its `\n`, for the latest upload of each host.

        This is several times as fast as `parse_block`. If a row of the block is dated after `until`, all uploads are
        returned.

        Returns:
            The uploads, the rejections, and the number of rows.

        """
        latest = self._latest_in_plain_block(block)
        if latest is None or from_datetime(max(latest[0].values())) > until:
            uploads, rejections = self.parse_block(block) if latest is None else self.parse_every(block)
            return uploads, rejections, len(uploads)
        moments, count = latest
        # Not remembered: each host occurs once, and most of an old index may be invented names.
        return [Upload(_name(host), from_datetime(moment)) for host, moment in moments.items()], [], count

    def parse_every(self, block: bytes) -> tuple[list[Upload], list[Rejection]]:
        """Parse a block like `parse_block`, but in a third of the time if all rows are plain."""
        names, rows = self._names, list[Any]()
        for piece in _pieces(block):
            plain = self._plain_rows(piece)
            if not plain:
                return self.parse_block(block)
            rows += plain
        return [Upload(names[row.host], from_datetime(row.time)) for row in rows], []

    def _latest_in_plain_block(self, block: bytes) -> tuple[dict[str, datetime], int] | None:
        """Return host -> latest time, and the number of rows; None if any line is not a plain row."""
        latest: dict[str, datetime] = {}
        count, known_at = 0, latest.get
        for piece in _pieces(block):
            rows = self._plain_rows(piece)
            if not rows:
                return None
            count += len(rows)
            for row in rows:
                host, at = row.host, row.time
                known = known_at(host)
                if known is None or known < at:
                    latest[host] = at
        return (latest, count) if latest else None

    def _plain_rows(self, lines: bytes) -> list[Any]:
        """Return the row of each line; empty if any line is not a plain row.

        One call decodes all lines and ignores line breaks, so a line might contain two rows, and a row might span two
        lines. Therefore each line break is replaced by two nulls, which cannot be adjacent within a value. If there are
        no other nulls, and a row before each pair, each line is a row.
        """
        spread = lines.replace(b"\n", _LINE_BREAK)
        count = (len(spread) - len(lines)) // (len(_LINE_BREAK) - 1)
        try:
            values = self._decode_values(spread)
            if not lines.isascii():
                lines.decode("utf-8")  # the decoder does not check the parts that it skips
            rows = values[::3]
            is_plain = len(rows) == count and values.count(None) == 2 * count and rows.count(None) == 0
            is_plain = is_plain and len(values) == 3 * count and all(map(_host_of_row, rows))
            times = sorted(map(_time_of_row, rows)) if is_plain else []  # cheap, because the times are nearly sorted
            is_plain = bool(times) and times[0] >= EARLIEST and times[-1] < LATEST
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):  # TypeError: a time without offset
            return []
        return rows if is_plain else []

    def missed_in_a_row(self, block: bytes) -> int:
        """Return the number of rows at the end of a block that could not be parsed. Blank lines do not count."""
        missed, end = 0, len(block)
        while end > 0:
            begin = block.rfind(b"\n", 0, end - 1) + 1
            line = block[begin:end].rstrip(b"\n")
            if line.strip():
                if isinstance(self.parse(line), Upload):
                    break
                missed += 1
            end = begin
        return missed

    def time_of(self, line: bytes) -> Instant | None:
        """Return the time of a row; None if the line is not a row."""
        result = self.parse(line)
        return result.at if isinstance(result, Upload) else None


def _pieces(block: bytes) -> Iterator[bytes]:
    """Yield pieces of a block of lines, small enough for their results to stay in the cache of the processor."""
    begin = 0
    while begin < len(block):
        end = block.find(b"\n", begin + _PIECE_SIZE) + 1 or len(block)
        yield block[begin:end]
        begin = end


def _name(raw: str) -> str:
    return named_host(kept_name(raw))


def is_whole_row(line: bytes) -> bool:
    """Return whether a line without its newline is a complete object of JSON."""
    try:
        return isinstance(msgspec.json.decode(line.strip(b"\0")), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _without_nul(lines: Iterable[bytes], rejections: list[Rejection]) -> Iterator[bytes]:
    """Yield lines without runs of NUL, which a power cut leaves where the file had grown but was not written."""
    for line in lines:
        if b"\0" in line:
            rejections.append(rejection("NUL bytes", line))
            # Text between several runs is dropped, because a client could make it many pieces.
            first, _, behind = line.strip(b"\0").partition(b"\0")
            last = behind.rpartition(b"\0")[2]
            yield from (piece for piece in (first, last) if piece)
        else:
            yield line


def _reason(error: Exception, line: bytes) -> str:
    if not line.strip():
        return BLANK_LINE
    if isinstance(error, msgspec.ValidationError):
        return "host or time missing, or not a string"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "not JSON"
