"""In which order what is wrong with a host is named: what may be the cause of another symptom comes before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import degraded, fatal_only, silent, unstamped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# An upload without a stamp is refused; of a host of which many uploads are refused, at times all are; and a host of
# which every upload is refused has none that is accepted.
_CHAIN = (unstamped.SYMPTOM, degraded.SYMPTOM, fatal_only.SYMPTOM, silent.SYMPTOM)
_RANKS = {symptom: rank for rank, symptom in enumerate(_CHAIN)}


def consequences(opened: Mapping[Pair, Instant]) -> dict[Pair, frozenset[Pair]]:
    """Return of each host with several symptoms of one fault the one that was found first, with the others.

    Of those found at the same evaluation it is the cause.

    Args:
        opened: When each incident opened.

    """
    by_host: dict[str, list[Pair]] = {}
    for pair in opened:
        if pair[1] in _RANKS:
            by_host.setdefault(pair[0], []).append(pair)
    together = (sorted(pairs, key=lambda pair: (opened[pair], _RANKS[pair[1]])) for pairs in by_host.values())
    return {first: frozenset(others) for first, *others in together if others}


def cause_first(pair: Pair) -> tuple[str, int, str]:
    """Return by what incidents are sorted: by host, and of each host the cause before what may follow from it."""
    host, symptom = pair
    return host, _RANKS.get(symptom, len(_CHAIN)), symptom
