"""In which order what is wrong with a host is named: what may be the cause of another symptom comes before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import fatal_only, silent, unstamped

if TYPE_CHECKING:
    from fleet_health.model.subject import Pair

# An upload without a stamp is refused, and a host of which every upload is refused has none that is accepted.
_CHAIN = (unstamped.SYMPTOM, fatal_only.SYMPTOM, silent.SYMPTOM)
_RANKS = {symptom: rank for rank, symptom in enumerate(_CHAIN)}


def cause_first(pair: Pair) -> tuple[str, int, str]:
    """Return by what incidents are sorted: by host, and of each host the cause before what may follow from it."""
    host, symptom = pair
    return host, _RANKS.get(symptom, len(_CHAIN)), symptom
