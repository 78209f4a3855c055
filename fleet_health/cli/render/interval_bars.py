"""Draw the intervals between the uploads of a host as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.cli.render.terminal import can_show
from fleet_health.model.words import short_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BAR, _PLAIN_BAR = "▇", "#"


def interval_bars(classes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each class of intervals in the document `explain`: its limit, a bar, and the count.

    The length of a bar is logarithmic, so that one interval is visible beside thousands.
    """
    bar = _BAR if can_show(_BAR) else _PLAIN_BAR
    for one in classes:
        count: int = one["count"]
        yield f"up to {short_duration(one['up_to_s']):<6} {bar * count.bit_length()}{' ' if count else ''}{count}"
