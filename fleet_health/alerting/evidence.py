"""The evidence that goes with a finding: when its host last uploaded, and how and why it has been refused since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

UNSTAMPED = "unstamped"
"""The reason of refusals for a missing stamp. Any other reason is an HTTP status."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts that the sources show about one host, as far back as they were read.

    Attributes:
        last_good_at: Its last accepted upload, in either source; None if none is known.
        first_bad_at: Its first refusal after that; None if none is known.
        counts: HTTP status -> number of responses, as far back as the journal was read.
        unstamped: Number of its uploads without a stamp, as far back as the journal was read.
        reason: The most frequent reason of its refusals: a status such as `412`, or `unstamped`; empty if it is not
            refused.
        samples: Some of the latest journal lines that show its refusals, escaped and shortened.

    """

    last_good_at: Instant | None = None
    first_bad_at: Instant | None = None
    counts: Mapping[int, int] = field(default_factory=dict)
    unstamped: int = 0
    reason: str = ""
    samples: Sequence[str] = ()


def evidence_of(fleet: Fleet, host: str, now: Instant) -> Evidence:
    """Return the evidence about a host up to an instant."""
    window, in_journal = fleet.traffic.window(host), fleet.traffic.accepted.last_at(host)
    # An upload that is dated ahead of the clock does not count.
    if window is not None and (in_journal is None or in_journal > now):
        in_journal = window.latest((SUCCESS,), now)
    last_good_at = max((at for at in (fleet.uploads.last_at(host), in_journal) if at is not None), default=None)
    if window is None:
        return Evidence(last_good_at=last_good_at)
    since = 0 if last_good_at is None else last_good_at + 1
    refused_at = window.earliest((CLIENT_ERROR, SERVER_ERROR), since)
    unstamped_at = window.earliest_unstamped(since)
    counts = window.count_by_status(0, now)
    unstamped = window.count(0, now).unstamped
    return Evidence(
        last_good_at=last_good_at,
        first_bad_at=min((at for at in (refused_at, unstamped_at) if at is not None), default=None),
        counts=counts,
        unstamped=unstamped,
        reason=_reason(counts, unstamped),
    )


def _reason(counts: Mapping[int, int], unstamped: int) -> str:
    refusals = {status: count for status, count in counts.items() if status // 100 in (CLIENT_ERROR, SERVER_ERROR)}
    # For an upload without a stamp, the receiver logs both a warning and a refusal, so both counts contain it.
    if unstamped * 2 > sum(refusals.values()):
        return UNSTAMPED
    return str(max(refusals, key=lambda status: refusals[status])) if refusals else ""
