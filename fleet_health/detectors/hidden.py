"""Which findings a gap in a source may hide: there is none, but it cannot be ruled out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet_health.detectors.spec import Detector
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant


class MayBeHidden(ABC):
    """A detector whose findings need data that may be missing: lines of the journal, or rows of the index."""

    @abstractmethod
    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterable[str]:
        """Return those of the hosts that may show the symptom at `now` in data that was not seen.

        A host is left out if what was seen refutes the finding, or if too little is missing for one.
        """


def hidden_verdicts(
    fleet: Fleet, detectors: Iterable[Detector], hosts: Callable[[], Iterable[str]], now: Instant
) -> dict[str, frozenset[str]]:
    """Return for each symptom those of `hosts()` for which it cannot be ruled out.

    A symptom that can be ruled out for all of them is left out. `hosts` is called for each detector; as long as nothing
    is missing, none of them iterates over the hosts.
    """
    hidden: dict[str, frozenset[str]] = {}
    for detector in detectors:
        if isinstance(detector, MayBeHidden) and (found := frozenset(detector.hidden(fleet, hosts(), now))):
            hidden[detector.symptom] = found
    return hidden


def in_words(hidden: Mapping[str, int]) -> str:
    """Return for how many hosts each symptom cannot be ruled out: `fatal-only of 3 hosts, unstamped of 1 host`."""
    return ", ".join(f"{symptom} of {plural(count, 'host')}" for symptom, count in hidden.items())
