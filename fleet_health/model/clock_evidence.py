"""Whether the clock can be right, by what was written under it before.

Our saved state, the receiver's journal, its index and our alert log were all stamped by this machine's clock. If one of
them is dated ahead of the present, the present is wrong: a Raspberry Pi has no battery-backed clock and starts in the
past until NTP has set it. Then neither absence nor recovery can be evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.model.instant import SECOND_US, describe, isoformat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.instant import Instant

BEHIND_LIMIT_US = 60 * SECOND_US
"""How far ahead of the clock a record may be dated: NTP slews less than that, and no limit is as narrow."""

SAVED_STATE, JOURNAL, INDEX, ALERT_LOG = "saved state", "journal", "index", "alert log"
"""The records, by the names under which they are reported."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A record is dated ahead of the clock.

    Attributes:
        record: Which one; of several the one that is furthest ahead.
        at: Its timestamp.
        now: What the clock shows.

    """

    record: str
    at: Instant
    now: Instant

    @property
    def behind_us(self) -> int:
        """By how much the clock is behind the record, in microseconds."""
        return self.at - self.now

    def __str__(self) -> str:
        """Return it in words after "the clock is": `20 min behind the journal, which goes up to 2026-11-23T18:55Z`."""
        return f"{describe(self.behind_us)} behind the {self.record}, which goes up to {isoformat(self.at)[:19]}Z"


def credible(records: Mapping[str, Instant | None], disproved_until: Instant) -> dict[str, Instant | None]:
    """Return the records without those of a clock that was ahead, as was confirmed: what goes no further than these."""
    return {name: at for name, at in records.items() if at is None or at > disproved_until}


def contradiction(records: Mapping[str, Instant | None], now: Instant) -> Contradiction | None:
    """Return the record that is dated furthest ahead of the clock, by more than the limit; None if there is none."""
    ahead = {name: at for name, at in records.items() if at is not None and at - now > BEHIND_LIMIT_US}
    if not ahead:
        return None
    name = max(ahead, key=ahead.__getitem__)
    return Contradiction(name, ahead[name], now)
