"""Which incidents are one fault: the one that stands for it comes first, and inhibits the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors import blind, degraded, fatal_only, journal_lossy, silent, unstamped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fleet_health.alerting.incident import Incident
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# An upload without a stamp is refused; of a host of which many uploads are refused, at times all are; and a host of
# which every upload is refused has none that is accepted.
_CHAIN = (unstamped.SYMPTOM, degraded.SYMPTOM, fatal_only.SYMPTOM, silent.SYMPTOM)
_RANKS = {symptom: rank for rank, symptom in enumerate(_CHAIN)}
# That the journal lacks uploads of which the index has rows is found by how many it lacks, and by that it shows none.
_OTHER_WORDS = {blind.SYMPTOM: journal_lossy.SYMPTOM, journal_lossy.SYMPTOM: blind.SYMPTOM}


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


def refusal_before_silence(incidents: Mapping[Pair, Incident], hosts: Collection[str]) -> Iterator[tuple[Pair, Pair]]:
    """Return for each silent host that was refused before it was silent the cause, and its silence.

    The cause opened after the last accepted upload: one from before that did not keep the host from uploading. One
    that was found at the same evaluation as the silence is an incident beside it.

    Args:
        incidents: The open incidents.
        hosts: Of which hosts.

    """
    for host in hosts:
        silence = incidents.get(pair := (host, silent.SYMPTOM))
        refusals = ((one, incidents.get((host, one))) for one in _CHAIN if one != silent.SYMPTOM)
        before = [
            (refusal.opened_at, _RANKS[symptom], symptom)
            for symptom, refusal in refusals
            if refusal is not None and silence is not None and silence.since < refusal.opened_at < silence.opened_at
        ]
        if before:
            yield (host, min(before)[2]), pair


def in_other_words(found: Mapping[Pair, Finding], opened: Mapping[Pair, Incident]) -> Iterator[tuple[Pair, Pair, bool]]:
    """Return two open incidents of one receiver that may be one fault, the first one first, and whether they are.

    Args:
        found: What the evaluation found.
        opened: The open incidents, those that were found among them.

    """
    for pair in found:
        other = (pair[0], _OTHER_WORDS.get(pair[1], ""))
        if other in opened:
            first, second = sorted((pair, other), key=lambda one: (opened[one].opened_at, one))
            yield first, second, all(found[one].is_of_journal for one in (pair, other) if one in found)


def cause_first(pair: Pair) -> tuple[str, int, str]:
    """Return by what incidents are sorted: by host, and of each host the cause before what may follow from it."""
    host, symptom = pair
    return host, _RANKS.get(symptom, len(_CHAIN)), symptom
