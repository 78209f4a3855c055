"""A row of `index.jsonl`: who uploaded, and when the receiver took it."""

from __future__ import annotations

from datetime import datetime
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

_NAMES = 20_000


class IndexParser:
    """Reads index rows whose host and time stand under the two keys given."""

    def __init__(self, *, host_field: str, time_field: str) -> None:
        def decoder(time_type: type) -> msgspec.json.Decoder[Any]:
            # A struct of two fields lets the decoder skip the rest of a row unread: five times the speed of `json`.
            names = {"host": host_field, "time": time_field}
            fields = [("host", str), ("time", time_type)]
            return msgspec.json.Decoder(msgspec.defstruct("IndexRow", fields, rename=names, gc=False))

        # It reads the times that programs write (RFC 3339) as well, at no cost; other ones are read from their text.
        self._decode_dated, self._decode_undated = decoder(datetime).decode, decoder(str).decode
        self._names: dict[str, str] = {}
        """Host in a row -> its safe name, for some of those that were read."""

    def parse(self, line: bytes) -> Upload | Rejection:
        """Read one line, without its newline."""
        try:
            try:
                row = self._decode_dated(line)
                at = instant_of(row.time)
            except msgspec.ValidationError:
                row = self._decode_undated(line)
                at = parse_time(row.time)
            if not line.isascii():
                line.decode("utf-8")  # the decoder does not look into what it skips
        except TimeError as error:
            return rejection(str(error), line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return rejection(_reason(error, line), line)
        return Upload(_name(row.host), at) if row.host else rejection("empty host", line)

    def parse_block(self, block: bytes) -> tuple[list[Upload], list[Rejection]]:
        r"""Read a block of whole lines, each ended by `\n`."""
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
        return uploads, rejections

    def parse_latest(self, block: bytes, until: Instant) -> tuple[list[Upload], list[Rejection], int]:
        r"""Read a block of whole lines, each ended by `\n`, for each host's latest upload.

        Of a host's rows only the latest need be given, and several times as fast; but if any row of the block is dated
        after `until`, all are given.

        Returns:
            The uploads, what could not be read, and how many rows were read.

        """
        latest = self._latest_in_plain_block(block)
        if latest is None or from_datetime(max(latest[0].values())) > until:
            uploads, rejections = self.parse_block(block) if latest is None else self.parse_every(block)
            return uploads, rejections, len(uploads)
        moments, count = latest
        return [Upload(_name(host), from_datetime(moment)) for host, moment in moments.items()], [], count

    def parse_every(self, block: bytes) -> tuple[list[Upload], list[Rejection]]:
        """Read a block as `parse_block` does; where nothing is odd, in a third of the time."""
        decode, names = self._decode_dated, self._names
        try:
            rows = [decode(line) for line in block[:-1].split(b"\n")]
            if not block.isascii():
                block.decode("utf-8")
            is_odd = not block.endswith(b"\n") or min(row.time for row in rows) < EARLIEST
            is_odd = is_odd or max(row.time for row in rows) >= LATEST
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):  # the last: a time without offset
            is_odd = True
        if is_odd:
            return self.parse_block(block)
        if len(names) > _NAMES:
            names.clear()
        for row in rows:
            if row.host not in names:
                if not row.host:
                    return self.parse_block(block)
                names[row.host] = _name(row.host)
        return [Upload(names[row.host], from_datetime(row.time)) for row in rows], []

    def _latest_in_plain_block(self, block: bytes) -> tuple[dict[str, datetime], int] | None:
        """Return each host's latest time and the number of rows; None if anything at all is odd, in whichever line.

        So a row costs no more than to decode it, and a look into a dictionary: a fifth of what `parse` takes.
        """
        decode = self._decode_dated
        latest: dict[str, datetime] = {}
        try:
            if not block.isascii():
                block.decode("utf-8")
            lines = block[:-1].split(b"\n")
            known_at = latest.get
            for line in lines:
                row = decode(line)
                host, at = row.host, row.time
                known = known_at(host)
                if known is not None and known < at:
                    latest[host] = at
                elif at < EARLIEST:
                    return None
                elif known is None:
                    latest[host] = at
            is_odd = "" in latest
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):  # the last: a time without offset
            return None
        return None if is_odd else (latest, len(lines))

    def missed_in_a_row(self, block: bytes) -> int:
        """Return how many rows at the end of a block could not be read; blank lines are no rows."""
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
        """Return a row's time; None if the line is not a row."""
        result = self.parse(line)
        return result.at if isinstance(result, Upload) else None


def _name(raw: str) -> str:
    return named_host(kept_name(raw))


def is_whole_row(line: bytes) -> bool:
    """Return whether a line without its newline is a whole object of JSON, so that nothing of it is still to come."""
    try:
        return isinstance(msgspec.json.decode(line.strip(b"\0")), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _without_nul(lines: Iterable[bytes], rejections: list[Rejection]) -> Iterator[bytes]:
    """Return what stands between runs of NUL, which a power cut leaves: the file had grown, but was not filled."""
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
        return BLANK_LINE
    if isinstance(error, msgspec.ValidationError):
        return "host or time missing, or not a string"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "not JSON"
