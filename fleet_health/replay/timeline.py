"""A summary of a span of the past: the counts of each host in a fixed number of bins, and the incidents.

Its size depends on the number of hosts and bins, not on the number of observations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR, SUCCESS

if TYPE_CHECKING:
    from fleet_health.model.coverage import Gap
    from fleet_health.model.instant import Instant

KINDS = ("uploads", "accepted", "client_errors", "server_errors", "unstamped")
"""The kinds of counts: rows of the index; responses of 2xx, 4xx and 5xx; refusals for a missing stamp."""

KIND_BY_CLASS = {SUCCESS: "accepted", CLIENT_ERROR: "client_errors", SERVER_ERROR: "server_errors"}
"""First digit of an HTTP status -> the kind of count."""

_MOST = 255


@dataclass(frozen=True, slots=True)
class Episode:
    """An incident in a replay.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The symptom.
        opened_at: The tick that found it first.
        ended_at: The tick that ended it; None if it was open at the end.
        alerts: The number of alerts that would have been sent for it.
        detail: The detail of the first finding.
        reason: Why no alert would have been sent, by the latest decision while it was open; empty if an alert would.
        reason_detail: The detail of the reason: the cause that inhibits it, or the mute window.

    """

    host: str
    symptom: str
    opened_at: Instant
    ended_at: Instant | None
    alerts: int
    detail: str
    reason: str = ""
    reason_detail: str = ""


@dataclass(slots=True)
class Timeline:
    """The summary of the span from `since` to `until`, inclusive.

    Attributes:
        since: Its begin.
        until: Its end.
        bins: The number of bins of equal length.
        counts: Host -> for each of `KINDS`, in order, a count for each bin. 255 means 255 or more.
        episodes: The incidents, by opening, host and symptom.
        gaps: Source, `journal` or `index` -> its gaps.
        name: The name of its configuration if there are several timelines.

    """

    since: Instant
    until: Instant
    bins: int
    counts: dict[str, tuple[bytearray, ...]] = field(default_factory=dict)
    episodes: list[Episode] = field(default_factory=list)
    gaps: dict[str, tuple[Gap, ...]] = field(default_factory=dict)
    name: str = ""

    def bin_of(self, at: Instant) -> int:
        """Return the number of the bin with an instant between `since` and `until`."""
        return min(self.bins - 1, (at - self.since) * self.bins // max(1, self.until - self.since))

    def add(self, host: str, kind: int, at: Instant) -> None:
        """Count an observation. Ignore observations outside the span."""
        if not self.since <= at <= self.until:
            return
        counts = self.counts.get(host)
        if counts is None:
            counts = self.counts[host] = tuple(bytearray(self.bins) for _ in KINDS)
        number = self.bin_of(at)
        if counts[kind][number] < _MOST:
            counts[kind][number] += 1
