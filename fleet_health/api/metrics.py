"""Make the metrics of the service from its state. Pure.

Metrics contain instants rather than ages, and rules subtract them from `time()`. Series of hosts are made for some
hosts at a time, so that a large fleet does not block the service.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import ENDED, State
from fleet_health.api.exposition import escaped, seconds
from fleet_health.api.metric_families import (
    BUILD,
    CPU,
    DECIDED,
    DELIVERED,
    DESCRIPTORS,
    DURATION,
    EVALUATED,
    EVALUATIONS,
    GAPS,
    HOST_RESPONSES,
    HOST_STATE,
    HOST_UPLOADED,
    HOSTS,
    INCIDENT,
    INCIDENTS,
    LAST_EVALUATION,
    MEMORY,
    MOST_DESCRIPTORS,
    NEXT_EVALUATION,
    PROBLEMS,
    READ,
    REJECTED,
    RELOADS,
    RESPONSES,
    RETRIES,
    SOURCE_NEWEST,
    SOURCE_READ_UNTIL,
    SOURCE_UP,
    STARTED,
    TICK,
    WAITING,
)
from fleet_health.api.overview import by_subject, host_state
from fleet_health.api.states import STATES, WELL
from fleet_health.detectors.registry import DETECTORS
from fleet_health.model.counters import DURATIONS_US
from fleet_health.model.subject import general, is_host, receiver_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.api.exposition import Family
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.counters import Counters
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.service.footprint import Footprint
    from fleet_health.sources.state import SourceState

_OPEN_STATES = tuple(state for state in State if state not in ENDED)


@dataclass(frozen=True, slots=True)
class Measured:
    """The facts at one instant, without those about hosts.

    Attributes:
        version: The running version.
        settings: The settings in force.
        counters: The counters of the service.
        journal_outcomes: Outcome -> number of alerts and notices for the journal.
        sources: The state of each source.
        evaluation: The latest evaluation; None before the first.
        decisions: The decisions of the latest evaluation.
        next_at: When the next evaluation is due; None before the first.
        problems: The number of problems of the service.
        waiting: The number of notifications that wait for the alert log.
        started_at: When the service started.
        footprint: The resources of the process.

    """

    version: str
    settings: Settings
    counters: Counters
    journal_outcomes: Mapping[str, int]
    sources: Sequence[SourceState]
    evaluation: Evaluation | None
    decisions: Sequence[Decision]
    next_at: Instant | None
    problems: int
    waiting: int
    started_at: Instant
    footprint: Footprint

    @property
    def open(self) -> list[Decision]:
        """The decisions on open incidents."""
        return [one for one in self.decisions if one.state not in ENDED]


class HostSeries:
    """The series of hosts, made for some hosts at a time."""

    def __init__(self, measured: Measured) -> None:
        """Take the facts that are not about hosts."""
        self.by_state = Counter[str]()
        """State -> number of hosts so far."""
        last = measured.evaluation
        self._measured = measured
        self._decisions = by_subject(measured.open)
        self._hidden = frozenset[str]().union(*(() if last is None else last.hidden.values()))
        self.incidents: list[bytes] = []
        """The open incidents of the hosts so far."""
        self._uploaded: list[bytes] = []
        self._responses: list[bytes] = []
        self._states: list[bytes] = []

    def add(self, fleet: Fleet, hosts: Iterable[str], now: Instant) -> None:
        """Make the series of some hosts of a fleet, at an instant."""
        settings, responses = self._measured.settings, self._measured.counters.responses
        wanted, decisions, hidden = settings.metrics.hosts, self._decisions, self._hidden
        uploaded, responded, states, incidents = [], [], [], []
        for host in hosts:
            state = host_state(settings, fleet, host, decisions.get(host, ()), now, is_hidden=host in hidden)
            self.by_state[state] += 1
            if wanted == "none" or (wanted == "unwell" and state == WELL):
                continue
            label = f'{{host="{escaped(host)}"'
            if (at := fleet.accepted_at(host)) is not None:
                uploaded.append(f"{HOST_UPLOADED.name}{label}}} {seconds(at)}\n")
            ok, refused, failed = responses.of(host)
            name = HOST_RESPONSES.name
            responded.append(
                f'{name}{label},class="2xx"}} {ok}\n'
                f'{name}{label},class="4xx"}} {refused}\n'
                f'{name}{label},class="5xx"}} {failed}\n'
            )
            states.append(f'{HOST_STATE.name}{label},state="{state}"}} 1\n')
            if host in decisions:
                receiver = fleet.receiver_of(host) or fleet.answered_by(host)
                incidents += [_incident(one, host=host, receiver=receiver) for one in decisions[host]]
        for lines, pieces in (
            (uploaded, self._uploaded),
            (responded, self._responses),
            (states, self._states),
            (incidents, self.incidents),
        ):
            pieces.append("".join(lines).encode())

    def pieces(self, *, is_openmetrics: bool) -> Iterator[bytes]:
        """Return the text, piece by piece."""
        for family, pieces in (
            (HOST_UPLOADED, self._uploaded),
            (HOST_RESPONSES, self._responses),
            (HOST_STATE, self._states),
        ):
            if any(pieces):
                yield family.head(is_openmetrics=is_openmetrics).encode()
                yield from pieces


def hosts_of(fleet: Fleet, decisions: Iterable[Decision]) -> list[str]:
    """Return every host, including those that only have an incident."""
    of_incidents = (one.incident.host for one in decisions if is_host(one.incident.host))
    return list(dict.fromkeys(fleet.hosts()) | dict.fromkeys(of_incidents))


def document(measured: Measured, hosts: HostSeries, *, is_openmetrics: bool = False, is_file: bool = False) -> bytes:
    """Return the whole text.

    Args:
        measured: The facts that are not about hosts.
        hosts: The series of the hosts.
        is_openmetrics: Whether to write OpenMetrics.
        is_file: Whether the text is for node_exporter. If so, metrics of the process are left out.

    """
    families = (*(() if is_file else _of_process(measured)), *_of(measured))
    texts = (family.text(lines, is_openmetrics=is_openmetrics) for family, lines in families)
    pieces = [text.encode("utf-8", "backslashreplace") for text in texts]
    # States without a host are included, because a series that comes and goes draws no line.
    by_state = (HOSTS.sample(hosts.by_state[state], state=state) for state in STATES)
    pieces.append(HOSTS.text(by_state, is_openmetrics=is_openmetrics).encode())
    general = "".join(
        _incident(one, receiver=receiver_of(one.incident.host))
        for one in measured.open
        if not is_host(one.incident.host)
    )
    if general or any(hosts.incidents):
        pieces += [INCIDENT.head(is_openmetrics=is_openmetrics).encode(), general.encode(), *hosts.incidents]
    end = b"# EOF\n" if is_openmetrics else b""
    return b"".join([*pieces, *hosts.pieces(is_openmetrics=is_openmetrics), end])


def _of(measured: Measured) -> Iterator[tuple[Family, Iterable[str]]]:
    """Yield every metric with its series, except those of the process and of hosts."""
    counters, last = measured.counters, measured.evaluation
    yield BUILD, [BUILD.sample(1, version=measured.version)]
    yield TICK, [TICK.sample(seconds(measured.settings.tick_us))]
    yield EVALUATIONS, [EVALUATIONS.sample(counters.evaluations)]
    yield LAST_EVALUATION, LAST_EVALUATION.instants([({}, None if last is None else last.at)])
    yield NEXT_EVALUATION, NEXT_EVALUATION.instants([({}, measured.next_at)])
    yield DURATION, _durations(counters)
    yield EVALUATED, _evaluated(measured)
    yield PROBLEMS, [PROBLEMS.sample(measured.problems)]
    yield from _of_sources(measured)
    yield RETRIES, [RETRIES.sample(count, of=of) for of, count in sorted(counters.retries.items())]
    yield RELOADS, [RELOADS.sample(counters.reloads[outcome], outcome=outcome) for outcome in ("refused", "taken")]
    yield RESPONSES, _responses(measured)
    yield INCIDENTS, _incidents(measured)
    kinds = sorted(counters.notifications.items())
    yield DECIDED, [DECIDED.sample(count, symptom=symptom, kind=kind) for (symptom, kind), count in kinds]
    yield DELIVERED, _deliveries(measured)
    yield WAITING, [WAITING.sample(measured.waiting)]


def _of_process(measured: Measured) -> Iterator[tuple[Family, Iterable[str]]]:
    """Yield the metrics that have standard names for every process."""
    process = measured.footprint
    yield STARTED, [STARTED.sample(seconds(measured.started_at))]
    yield CPU, [CPU.sample(f"{process.cpu_s:.6f}")]
    yield MEMORY, _if_known(MEMORY, process.resident)
    yield DESCRIPTORS, _if_known(DESCRIPTORS, process.descriptors)
    yield MOST_DESCRIPTORS, _if_known(MOST_DESCRIPTORS, process.most_descriptors)


def _if_known(family: Family, value: int | None) -> Iterator[str]:
    if value is not None:
        yield family.sample(value)


def _durations(counters: Counters) -> Iterator[str]:
    name, counts = DURATION.name, list(accumulate(counters.evaluations_by_duration))
    bounds = [f"{bound / 1_000_000}" for bound in DURATIONS_US] + ["+Inf"]
    for bound, count in zip(bounds, counts, strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {count}\n'
    yield f"{name}_sum {seconds(counters.evaluation_us)}\n"
    yield f"{name}_count {counts[-1]}\n"


def _evaluated(measured: Measured) -> Iterator[str]:
    if measured.evaluation is None:
        return
    for detector in measured.settings.detectors():
        is_evaluated = detector.name not in measured.evaluation.not_evaluated
        receiver = receiver_of(detector.name)
        yield EVALUATED.sample(int(is_evaluated), symptom=detector.symptom, receiver=receiver)


def _of_sources(measured: Measured) -> Iterator[tuple[Family, Iterable[str]]]:
    counters, sources = measured.counters, measured.sources
    names = list(dict.fromkeys([*(one.name for one in sources), *counters.read]))
    read_until = ((_source(one.name), one.seen_until) for one in sources)
    newest = ((_source(one.name), one.newest_at) for one in sources)
    yield SOURCE_UP, [SOURCE_UP.sample(int(one.is_seeing), **_source(one.name)) for one in sources]
    yield SOURCE_READ_UNTIL, SOURCE_READ_UNTIL.instants(read_until)
    yield SOURCE_NEWEST, SOURCE_NEWEST.instants(newest)
    yield READ, [READ.sample(counters.read[name], **_source(name)) for name in names]
    reasons = sorted(counters.rejections.items())
    yield REJECTED, [REJECTED.sample(count, **_source(name), reason=reason) for (name, reason), count in reasons]
    yield GAPS, [GAPS.sample(counters.gaps[name], **_source(name)) for name in names]


def _source(name: str) -> dict[str, str]:
    return {"source": general(name), "receiver": receiver_of(name)}


def _responses(measured: Measured) -> Iterator[str]:
    of_receivers = measured.counters.responses.of_receivers
    for receiver in measured.settings.receivers:
        for of_status in (2, 4, 5):
            count = of_receivers[receiver.name, of_status]
            yield RESPONSES.sample(count, receiver=receiver.name, **{"class": f"{of_status}xx"})


def _incidents(measured: Measured) -> Iterator[str]:
    counts = Counter((one.incident.symptom, one.state) for one in measured.open)
    for symptom in dict.fromkeys([*(spec.symptom for spec in DETECTORS), *(symptom for symptom, _ in counts)]):
        for state in _OPEN_STATES:
            yield INCIDENTS.sample(counts[symptom, state], symptom=symptom, state=state)


def _deliveries(measured: Measured) -> Iterator[str]:
    deliveries = dict(measured.counters.deliveries)
    deliveries |= {("journal", outcome): count for outcome, count in measured.journal_outcomes.items()}
    for destination in ("alert log", "journal"):
        for outcome in ("delivered", "dropped", "failed"):
            count = deliveries.get((destination, outcome), 0)
            yield DELIVERED.sample(count, destination=destination.replace(" ", "_"), outcome=outcome)


def _incident(decision: Decision, **about: str) -> str:
    incident = decision.incident
    return INCIDENT.sample(seconds(incident.opened_at), **about, symptom=incident.symptom, state=decision.state)
