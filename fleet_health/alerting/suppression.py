"""Suppression by operators, through silences and mute windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.lifecycle import Fact
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


@dataclass(frozen=True, slots=True)
class Suppression:
    """The suppression of a host's symptom by an operator.

    Attributes:
        fact: `Fact.SILENCED`, `Fact.MUTED` or `Fact.ACKNOWLEDGED`.
        detail: The silence or mute window, and its end, in words.

    """

    fact: Fact
    detail: str


Suppressions: TypeAlias = "Callable[[str, str, Instant | None], Suppression | None]"
"""Returns the suppression of a host and symptom at a fixed instant; None if there is none.

The last argument is when the incident opened, because an acknowledgement covers no later incident. It is None if there
is no incident.
"""


def no_suppressions(_host: str, _symptom: str, _opened_at: Instant | None) -> None:
    """Suppress nothing."""


def suppressed(incidents: Mapping[Pair, Incident], suppressions: Suppressions) -> dict[Pair, Suppression]:
    """Return incident -> its suppression, for those of `incidents` that an operator suppresses."""
    found = ((pair, suppressions(*pair, one.opened_at)) for pair, one in incidents.items())
    return {pair: suppression for pair, suppression in found if suppression is not None}
