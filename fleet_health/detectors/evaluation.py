"""An evaluation: what every detector finds at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleet_health.detectors.spec import Lookback, SlowToEnd, SlowToFind
from fleet_health.model import eviction
from fleet_health.model.absence import pauses_of
from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fleet_health.detectors.spec import Detector, Finding
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.pauses import Pause
    from fleet_health.model.subject import Pair


@dataclass(frozen=True, slots=True)
class DetectorFailure:
    """A detector raised an error; what it would have found is not known."""

    symptom: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
        at: Its instant; all counts and alerts refer to it.
        findings: The findings, sorted by host and symptom.
        failures: The detectors that raised an error, in order.
        evaluated: The symptoms that were evaluated without a failure.
        over: The open incidents that are seen to have recovered, each as host and symptom. That is necessary for a
            resolution; by its sign, the incident decides whether it is sufficient.
        proofs: For how long some of them must have recovered before they end, in microseconds; the policy decides on
            the others.
        signs: The newest sign of recovery of what was found or has recovered, by its own timestamp; without pairs that
            have none.
        limits: The limits in force for the findings and the open incidents.
        heard: When the hosts of the findings and the open incidents last appeared in either source, if that is known.
        hidden: Symptom -> the hosts without an incident for which it cannot be ruled out, because a source is not seen.
        gone: The hosts whose last upload is too long ago to be kept, each with its instant.
        is_clock_behind: Whether the clock contradicts our own records. Then nothing ends or is forgotten.
        is_clock_stepped: Whether the clock was set since the last evaluation. Then absence is not evaluated.
        forgotten: The open incidents of strangers about which nothing is known any more: they gave up, or lost their
            place to others.
        unproved: The open incidents that are not found but cannot be seen to recover, because a source was replaced and
            has not shown an upload since. Each with the instant of the replacement.
        pauses: The spans of time in which no host could upload: they do not count as absence.
        not_evaluated: The names of the detectors that did not evaluate, because too little was seen or the clock was
            uncertain.
        undecided: The findings that may turn out to have another one as their cause.

    """

    at: Instant
    findings: tuple[Finding, ...]
    failures: tuple[DetectorFailure, ...] = ()
    evaluated: frozenset[str] = frozenset()
    over: frozenset[Pair] = frozenset()
    signs: Mapping[Pair, Instant] = field(default_factory=dict)
    limits: Mapping[Pair, str] = field(default_factory=dict)
    heard: Mapping[str, Instant] = field(default_factory=dict)
    gone: Mapping[str, Instant] = field(default_factory=dict)
    is_clock_behind: bool = False
    is_clock_stepped: bool = False
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    forgotten: frozenset[Pair] = frozenset()
    unproved: Mapping[Pair, Instant] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    not_evaluated: tuple[str, ...] = ()
    undecided: frozenset[Pair] = frozenset()
    proofs: Mapping[Pair, int] = field(default_factory=dict)


def evaluate(
    fleet: Fleet,
    detectors: Iterable[Detector],
    now: Instant,
    incidents: Iterable[tuple[str, str]] = (),
    unable: Collection[Detector] = (),
) -> Evaluation:
    """Run every detector over the fleet at `now`. One that raises an error does not stop the others.

    Args:
        fleet: The fleet.
        detectors: The detectors.
        now: The instant.
        incidents: The open incidents, each as host and symptom: the result says which of them have recovered.
        unable: Detectors that cannot look for findings, because a source is not seen. The other source may show all the
            same that their incidents have recovered.

    """
    fleet = fleet.standing_still()
    findings: list[Finding] = []
    failures: list[DetectorFailure] = []
    evaluated: set[str] = set()
    over: set[Pair] = set()
    signs: dict[Pair, Instant] = {}
    limits: dict[Pair, str] = {}
    forgotten: set[Pair] = set()
    unproved: dict[Pair, Instant] = {}
    undecided: set[Pair] = set()
    proofs: dict[Pair, int] = {}
    exchanged_at = max(fleet.exchanged.values(), default=None)
    open_hosts: dict[str, list[str]] = {}
    for host, symptom in incidents:
        open_hosts.setdefault(symptom, []).append(host)
    for detector in (*detectors, *unable):
        symptom, is_able = detector.symptom, detector not in unable
        try:
            found = list(detector.find(fleet, now)) if is_able else []
            found_hosts = {finding.host for finding in found}
            missing = [
                host for host in open_hosts.get(symptom, ()) if host not in found_hosts and detector.is_about(host)
            ]
            well = [host for host in missing if detector.is_over(fleet, host, now)]
            facts = {host: detector.sign_at(fleet, host) for host in (*found_hosts, *well)}
            in_force = {(host, symptom): detector.limits_of(host) for host in (*found_hosts, *missing)}
            goes_by_journal = bool(missing and detector.lookback.traffic_us)
            unseen = [host for host in missing if not detector.can_evaluate(fleet.kinds_seen_anew(host))]
            nobodies = [(host, symptom) for host in missing if goes_by_journal and fleet.is_forgotten(host)]
            needed = (
                {host: detector.proof_us(fleet, host, now) for host in well} if isinstance(detector, SlowToEnd) else {}
            )
            waiting = detector.may_inhibit(fleet, now) if isinstance(detector, SlowToFind) else ()
        except Exception as error:  # noqa: BLE001 - a detector may be anybody's; its failure is part of the result
            failures.append(DetectorFailure(symptom, error))
        else:
            over.update((host, symptom) for host in well)
            proofs |= {(host, symptom): proof_us for host, proof_us in needed.items()}
            signs |= {(host, symptom): at for host, at in facts.items() if at is not None}
            if exchanged_at is not None:
                unproved.update(((host, symptom), exchanged_at) for host in unseen)
            if is_able:
                findings += found
                limits |= in_force
                forgotten.update(nobodies)
                undecided.update(waiting)
                evaluated.add(symptom)
    findings.sort(key=lambda finding: (finding.host, finding.symptom))
    hosts = {host for host, _ in limits if is_host(host)}
    return Evaluation(
        now,
        tuple(findings),
        tuple(failures),
        frozenset(evaluated),
        frozenset(over),
        signs,
        limits,
        {host: at for host in hosts if (at := fleet.heard_at(host)) is not None},
        forgotten=frozenset(forgotten),
        unproved=unproved,
        pauses=pauses_of(fleet, EVERY_HOST, now),
        undecided=frozenset(undecided),
        proofs=proofs,
    )


def under_a_clock_behind(
    fleet: Fleet, detectors: Sequence[Detector], now: Instant, latest: Instant, incidents: Collection[Pair] = ()
) -> Evaluation:
    """Return the evaluation at an instant before our own records. Nothing recovers, and absence is not evaluated.

    The sources show what happened after that instant, so a new finding must still be one as of their latest entry: a
    host that was refused may have been accepted since, or have given up.

    Args:
        fleet: The fleet.
        detectors: The detectors; those of absence are left out.
        now: What the clock shows.
        latest: The latest instant that the sources show.
        incidents: The open incidents, each as host and symptom.

    """
    present = [detector for detector in detectors if not detector.is_of_absence]
    evaluation, as_of_latest = (evaluate(fleet, present, at) for at in (now, latest))
    lasting = {(finding.host, finding.symptom) for finding in as_of_latest.findings}.union(incidents)
    findings = tuple(finding for finding in evaluation.findings if (finding.host, finding.symptom) in lasting)
    return replace(evaluation, findings=findings, forgotten=frozenset(), is_clock_behind=True)


def lookback_of(detectors: Sequence[Detector]) -> Lookback:
    """Return how far back the fleet must know the sources for all detectors to be exact."""
    lookbacks = [detector.lookback for detector in detectors]
    return Lookback(
        uploads_us=max((lookback.uploads_us for lookback in lookbacks), default=0),
        traffic_us=max((lookback.traffic_us for lookback in lookbacks), default=0),
        rhythm_us=max((lookback.rhythm_us for lookback in lookbacks), default=0),
    )


def evict(fleet: Fleet, lookback: Lookback, now: Instant) -> dict[str, Instant]:
    """Forget what no evaluation from `now` on needs. Return the hosts that are gone, with their last uploads."""
    return eviction.evict(fleet.standing_still(), now - lookback.uploads_us, now - lookback.traffic_us, now)
