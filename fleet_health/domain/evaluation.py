"""One tick: what every detector finds at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.domain.detectors.contract import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.domain.detectors.contract import Detector, Finding
    from fleet_health.domain.fleet import Fleet
    from fleet_health.domain.instant import Instant


@dataclass(frozen=True, slots=True)
class DetectorFailure:
    """A detector raised; what it would have found is not known."""

    symptom: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation gave.

    Attributes:
        at: Its instant; every count and every alert of it goes by this one.
        findings: Sorted by host, then symptom.
        failures: The detectors that raised, in their order.
        judged: The symptoms that were looked for, without a failure.
        over: Which of the incidents that were open are seen to be over, each as host and symptom.
        gone: The hosts whose last ship has become too long ago to be known any more, each with its instant.
        forgotten: Which of the incidents that were open are of strangers of which nothing is known any more: they gave
            up, or lost their place to others.

    """

    at: Instant
    findings: tuple[Finding, ...]
    failures: tuple[DetectorFailure, ...] = ()
    judged: frozenset[str] = frozenset()
    over: frozenset[tuple[str, str]] = frozenset()
    gone: Mapping[str, Instant] = field(default_factory=dict)
    forgotten: frozenset[tuple[str, str]] = frozenset()


def evaluate(
    fleet: Fleet, detectors: Iterable[Detector], now: Instant, incidents: Iterable[tuple[str, str]] = ()
) -> Evaluation:
    """Run every detector over the fleet as it stood at `now`. One that raises does not stop the others.

    Args:
        fleet: The fleet.
        detectors: The detectors.
        now: The instant.
        incidents: What is open, each as host and symptom; it is said of each whether it is seen to be over.

    """
    fleet = fleet.standing_still()
    findings: list[Finding] = []
    failures: list[DetectorFailure] = []
    judged: set[str] = set()
    over: set[tuple[str, str]] = set()
    forgotten: set[tuple[str, str]] = set()
    open_hosts: dict[str, list[str]] = {}
    for host, symptom in incidents:
        open_hosts.setdefault(symptom, []).append(host)
    for detector in detectors:
        symptom = detector.symptom
        try:
            found = list(detector.find(fleet, now))
            found_hosts = {finding.host for finding in found}
            not_found = [host for host in open_hosts.get(symptom, ()) if host not in found_hosts]
            well = [(host, symptom) for host in not_found if detector.is_over(fleet, host, now)]
            goes_by_journal = bool(not_found and detector.reach.traffic_us)
            nobodies = [(host, symptom) for host in not_found if goes_by_journal and fleet.is_forgotten(host)]
        except Exception as error:  # noqa: BLE001 - a detector may be anybody's; its failure is a value here
            failures.append(DetectorFailure(symptom, error))
        else:
            findings += found
            over.update(well)
            forgotten.update(nobodies)
            judged.add(symptom)
    findings.sort(key=lambda finding: (finding.host, finding.symptom))
    return Evaluation(
        now,
        tuple(findings),
        tuple(failures),
        frozenset(judged),
        frozenset(over),
        forgotten=frozenset(forgotten),
    )


def reach_of(detectors: Sequence[Detector]) -> Reach:
    """Say how far back the fleet must be known for all detectors to be exact."""
    reaches = [detector.reach for detector in detectors]
    return Reach(
        ships_us=max((reach.ships_us for reach in reaches), default=0),
        traffic_us=max((reach.traffic_us for reach in reaches), default=0),
    )


def evict(fleet: Fleet, reach: Reach, now: Instant) -> dict[str, Instant]:
    """Forget what no evaluation at `now` or later will ask for; give the hosts that are gone, with their last ships."""
    fleet.traffic.evict(now - reach.traffic_us)
    return fleet.ships.evict(now - reach.ships_us)
