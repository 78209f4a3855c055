"""What the rules find, counted anew at each tick, straight from the rules, over all that was ever written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle.limits import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.oracle.limits import Limits, Rules

_FUTURE_LIMIT = 5 * MINUTE


@dataclass
class Row:
    """A row of the index.

    Attributes:
        host: Who uploaded.
        at: The time that stands in it.
        counted: What it counts as, at the earliest and at the latest; None until it is read. One from the future
            is taken as now, and it depends on how a reload goes about its work whether now is then a later one.

    """

    host: str
    at: int
    counted: tuple[int, int] | None = None

    def read(self, now: int) -> int:
        """Return what it counts as for who reads it now."""
        return self.at if self.at <= now + _FUTURE_LIMIT else now


class Entry(NamedTuple):
    """An entry of the journal: an answer with a status, or with None a warning of an unstamped upload."""

    host: str
    at: int
    status: int | None

    @property
    def message(self) -> bytes:
        """What the receiver wrote."""
        if self.status is None:
            return f"WARNING: missing X-Cis490-Code-Commit host={self.host}, refused".encode()
        return f'10.0.0.7:51234 - "PUT /v1/episodes/{self.host}/e1 HTTP/1.1" {self.status}'.encode()


class Verdict(NamedTuple):
    """What matters of a finding: the counts in its detail too."""

    host: str
    symptom: str
    counts: tuple[int, ...] = ()


class Oracle:
    """Remembers every row and every entry, and says what must come of them.

    Attributes:
        rows: In the order in which they were written, each as often as it was.
        entries: Likewise.
        steps: Each stretch of time over which the clock was set: there the journal proves nothing.
        skips: Each stretch of time that did not pass, though the clock shows that it has.

    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.entries: list[Entry] = []
        self.steps: list[tuple[int, int]] = []
        self.skips: list[tuple[int, int]] = []

    def skip(self, since: int, now: int) -> None:
        """The clock was set ahead; of what it skipped before, only the time until then did not pass."""
        self.skips = [(begin, min(end, since)) for begin, end in self.skips if begin < since]
        if since < now:
            self.skips.append((since, now))

    def read_on(self, now: int) -> None:
        """Read the rows that were not read before."""
        for row in self.rows:
            if row.counted is None:
                row.counted = (row.read(now),) * 2

    def read_anew(self, now: int, slack: int = 0) -> None:
        """Read every row as if for the first time; one from the future counts as now, or up to so much later."""
        for row in self.rows:
            at = row.read(now)
            row.counted = at, at if at == row.at else at + slack

    def is_ahead(self, now: int) -> bool:
        """Return whether anything that was written is dated ahead of the clock by more than a minute."""
        return any(at > now + MINUTE for at in (*(row.at for row in self.rows), *(entry.at for entry in self.entries)))

    def read_again(self, now: int) -> None:
        """Read every row once more, beside what is known already: it may count as before or as now."""
        for row in self.rows:
            earliest, latest = row.counted or (now, now)
            row.counted = earliest, max(latest, row.read(now))

    def evaluate(self, limits: Limits, now: int, *, is_stepped: bool) -> tuple[set[Verdict], set[Verdict]]:
        """Return what the rules find; and what they may find or not."""
        certain: set[Verdict] = set()
        possible: set[Verdict] = set()
        for host in {row.host for row in self.rows} | {entry.host for entry in self.entries}:
            rules = limits.of(host)
            if not is_stepped:  # under a clock that was just set nobody is said to be away
                is_silent = {self._is_silent(host, end, rules, now) for end in (0, 1)}
                if True in is_silent:
                    # A table that is opened anew reads no further back than the lookback, by the clock as it is.
                    is_read = any(row.at >= now - rules.lookback * MINUTE for row in self.rows if row.host == host)
                    (certain if len(is_silent) == 1 and is_read else possible).add(Verdict(host, "silent"))
            # Where the journal has a gap, a row of the index means that something was accepted.
            is_doubtful = self._is_stepped_over(rules, now) and any(row.host == host for row in self.rows)
            (possible if is_doubtful else certain).update(self._refused(host, rules, now))
            certain.update(self._unstamped(host, rules, now))
        return certain, possible

    def _is_stepped_over(self, rules: Rules, now: int) -> bool:
        return any(since <= now and now - rules.fatal_window * MINUTE <= until for since, until in self.steps)

    def _is_silent(self, host: str, end: int, rules: Rules, now: int) -> bool:
        uploads = [row.counted[end] for row in self.rows if row.host == host and row.counted]
        # A response of 2xx is as good a sign of life as a row.
        uploads += [
            entry.at for entry in self.entries if entry.host == host and entry.status and entry.status // 100 == 2
        ]
        return bool(uploads) and rules.after * MINUTE < self._age(max(uploads), now) <= rules.lookback * MINUTE

    def _age(self, at: int, now: int) -> int:
        return now - at - sum(until - since for since, until in self.skips if at <= since)

    def _refused(self, host: str, rules: Rules, now: int) -> Iterator[Verdict]:
        statuses = [
            entry.status // 100
            for entry in self.entries
            if entry.host == host
            and entry.status is not None
            and now - rules.fatal_window * MINUTE <= entry.at <= now
            and entry.status // 100 in (2, 4, 5)
        ]
        refused = sum(status != 2 for status in statuses)
        if len(statuses) >= rules.fatal_min_count and refused == len(statuses):
            yield Verdict(host, "fatal-only", (refused, len(statuses)))

    def _unstamped(self, host: str, rules: Rules, now: int) -> Iterator[Verdict]:
        unstamped = sum(
            entry.host == host and entry.status is None and now - rules.unstamped_window * MINUTE <= entry.at <= now
            for entry in self.entries
        )
        if unstamped >= rules.unstamped_min_count:
            yield Verdict(host, "unstamped", (unstamped,))
