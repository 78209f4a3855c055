"""Group the incidents that come from one fault: the first one inhibits the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.alerting.symptoms import OF_JOURNAL, STAGES
from fleet_health.detectors.spec import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fleet_health.alerting.incident import Incident
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_NO_STAGE = max(Stage) + 1


def consequences(opened: Mapping[Pair, Instant]) -> dict[Pair, frozenset[Pair]]:
    """Return, for each host with several symptoms of one fault, the first incident -> the others.

    If several opened at the same evaluation, the first one is the cause.

    Args:
        opened: When each incident opened.

    """
    by_host: dict[str, list[Pair]] = {}
    for pair in opened:
        if pair[1] in STAGES:
            by_host.setdefault(pair[0], []).append(pair)
    together = (sorted(pairs, key=lambda pair: (opened[pair], STAGES[pair[1]])) for pairs in by_host.values())
    return {first: frozenset(others) for first, *others in together if others}


def possible_duplicates(
    found: Mapping[Pair, Finding], opened: Mapping[Pair, Incident]
) -> Iterator[tuple[Pair, Pair, bool]]:
    """Yield pairs of open incidents of one receiver that may be one fault: the first, the second, and whether they are.

    Two detectors find that the journal lacks uploads of the index: one compares counts, the other sees that it has
    none.

    Args:
        found: The findings of the evaluation.
        opened: The open incidents, including those that were found.

    """
    for pair in found:
        others = [(pair[0], symptom) for symptom in OF_JOURNAL if pair[1] in OF_JOURNAL and symptom != pair[1]]
        for other in others:
            if other in opened:
                first, second = sorted((pair, other), key=lambda one: (opened[one].opened_at, one))
                yield first, second, all(found[one].is_of_journal for one in (pair, other) if one in found)


def cause_first(pair: Pair) -> tuple[str, int, str]:
    """Return a sort key that orders incidents by host, and each cause before its effects on that host."""
    host, symptom = pair
    return host, STAGES.get(symptom, _NO_STAGE), symptom
