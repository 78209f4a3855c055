"""How long the intervals between the uploads of a host were, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.cli.render.terminal import can_show
from fleet_health.model.words import short_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BAR, _PLAIN_BAR = "▇", "#"


def interval_bars(classes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return a line for each class of intervals: up to how long, a bar, and how many; the classes as in `explain`.

    A bar is longer by one for each time that there are twice as many, so that a single one is seen beside thousands.
    """
    bar = _BAR if can_show(_BAR) else _PLAIN_BAR
    for one in classes:
        count: int = one["count"]
        yield f"up to {short_duration(one['up_to_s']):<6} {bar * count.bit_length()}{' ' if count else ''}{count}"
