"""Which verdicts a gap in a source may hide: nothing was found, and yet it cannot be ruled out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant


@runtime_checkable
class MayBeHidden(Protocol):
    """A detector whose findings take what may be missing: lines of the journal, or rows of the index."""

    @property
    def symptom(self) -> str:
        """The symptom's name."""

    def hidden(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> Iterable[str]:
        """Return those of the hosts that may show the symptom at `now` in what was not seen.

        Nothing is hidden of a host if what was seen refutes the finding, or too little is missing for one.
        """


def hidden_verdicts(
    fleet: Fleet, detectors: Iterable[object], hosts: Callable[[], Iterable[str]], now: Instant
) -> dict[str, frozenset[str]]:
    """Return for each symptom the hosts of which it cannot be ruled out, of those that `hosts` returns.

    A symptom that can be ruled out of all of them is left out. `hosts` is called for each detector, and as long as
    nothing is missing none of them goes through the hosts.
    """
    hidden: dict[str, frozenset[str]] = {}
    for detector in detectors:
        if isinstance(detector, MayBeHidden) and (found := frozenset(detector.hidden(fleet, hosts(), now))):
            hidden[detector.symptom] = found
    return hidden


def in_words(hidden: Mapping[str, int]) -> str:
    """Return of how many hosts each symptom cannot be ruled out: `fatal-only of 3 hosts, unstamped of 1 host`."""
    return ", ".join(f"{symptom} of {plural(count, 'host')}" for symptom, count in hidden.items())
