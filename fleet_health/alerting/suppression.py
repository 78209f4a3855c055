"""What an operator asks not to be notified of: silences and mute windows, as the incidents see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fleet_health.alerting.lifecycle import Fact


@dataclass(frozen=True, slots=True)
class Suppression:
    """What suppresses the alerts of a host's symptom.

    Attributes:
        fact: `Fact.SILENCED` or `Fact.MUTED`.
        detail: Which silence or mute window it is, and until when, in words.

    """

    fact: Fact
    detail: str


Suppressions: TypeAlias = Callable[[str, str], Suppression | None]
"""Returns what suppresses the alerts of a host and symptom at the instant in question; None if nothing does."""


def no_suppressions(_host: str, _symptom: str) -> None:
    """Suppress nothing."""
