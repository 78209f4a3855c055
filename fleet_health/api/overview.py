"""Make the documents that commands and the page show. Pure. Each document has a version.

Instants are in ISO 8601 in UTC, under keys that end in `_wall`; durations are in seconds, under keys that end in `_s`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.api.states import STATES, UNKNOWN, VERSION, WELL
from fleet_health.config.doubts import doubts
from fleet_health.detectors import fatal_only, silent
from fleet_health.detectors.hidden import hidden_verdicts
from fleet_health.model.history import strip_at, strip_of
from fleet_health.model.instant import SECOND_US, isoformat
from fleet_health.model.strip import BIN_US
from fleet_health.model.subject import is_host
from fleet_health.model.window import NO_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.alerting.mute_windows import MuteWindow
    from fleet_health.alerting.silences import Silence, Silences
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.silent import SilentLimits
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.history import HistorySnapshot
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair
    from fleet_health.sources.state import SourceState

_RANKS = {state: rank for rank, state in enumerate(STATES)}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The facts at one instant, without the fleet.

    Attributes:
        now: The instant.
        settings: The settings in force.
        problems: The problems of the service itself.
        sources: The state of each source, as JSON objects.
        evaluation: The latest evaluation; None before the first.
        details: Host and symptom -> the detail of its finding in the latest evaluation.
        next_at: When the next evaluation is due; None before the first.
        unseen: The symptoms that the latest evaluation could not evaluate.
        clock: The problem of the clock; empty if there is none.
        decisions: The present decision on each open incident.
        silences: The silences, including those that are not active.
        history: The history of the hosts in the last hours.

    """

    now: Instant
    settings: Settings
    problems: Sequence[str]
    sources: Sequence[dict[str, Any]]
    evaluation: Evaluation | None
    details: Mapping[Pair, str]
    next_at: Instant | None
    unseen: Sequence[str]
    clock: str
    decisions: Sequence[Decision]
    silences: Silences
    history: HistorySnapshot


def source_document(state: SourceState, now: Instant) -> dict[str, Any]:
    """Return the state of a source as a JSON object."""
    return {
        "name": state.name,
        "phase": str(state.phase),
        "is_seeing": state.is_seeing,
        "reason": state.reason,
        "summary": state.summary(now),
        "lag_s": None if state.seen_until is None else _seconds(max(0, now - state.seen_until)),
        "read": state.read,
        "came_in": state.share.came_in,
        "understood": state.share.understood,
        "begins_wall": None if state.begins_at is None else isoformat(state.begins_at),
        "rejections": dict(state.rejections.by_reason),
        "unread": [{"file": path, "reason": reason} for path, reason in state.unread.items()],
        "gaps": [gap.row() for gap in state.gaps],
    }


def status_document(  # noqa: PLR0917 - callers pass them by name
    known: Knowledge,
    fleet: Fleet,
    wanted: Callable[[str], bool],
    states: frozenset[str],
    limit: int | None,
    offset: int = 0,
) -> dict[str, Any]:
    """Return the document about the whole fleet.

    Args:
        known: The present facts.
        fleet: The fleet.
        wanted: Returns whether a host is selected.
        states: The states to list; empty for all.
        limit: The largest number of hosts to list, worst state first; None for all.
        offset: The number of these to skip.

    """
    by_host, fleet = by_subject(known.decisions), fleet.standing_still()
    general = [subject for subject in by_host if not is_host(subject)]
    hidden = hidden_of(known, fleet, (host for host in fleet.hosts() if host not in by_host))
    ranked = [(state, host) for host, state in host_states(known.settings, fleet, by_host, hidden, known.now).items()]
    shown = [(state, host) for state, host in ranked if wanted(host) and (not states or state in states)]
    shown.sort(key=lambda one: (_RANKS[one[0]], one[1]))
    last = known.evaluation
    return {
        "version": VERSION,
        "at_wall": isoformat(known.now),
        "is_evaluated": last is not None,
        "is_blind": last is None or not all(source["is_seeing"] for source in known.sources),
        "problems": list(known.problems),
        "warnings": doubts(known.settings, set(fleet.hosts())),
        "sources": list(known.sources),
        "last_tick_wall": None if last is None else isoformat(last.at),
        "next_tick_wall": None if known.next_at is None else isoformat(known.next_at),
        "not_evaluated": list(known.unseen),
        "hidden_by_symptom": dict(Counter(symptom for symptoms in hidden.values() for symptom in symptoms)),
        "hosts_by_state": dict(Counter(state for state, _ in ranked)),
        "incidents_by_state": dict(Counter(decision.state for decision in known.decisions)),
        "fleet_incidents": [incident_document(known, one) for subject in general for one in by_host[subject]],
        "receivers": list(known.settings.receiver_names),
        "strip_bin_s": BIN_US // SECOND_US,
        "hosts_matching": len(shown),
        "hosts": [
            host_document(known, fleet, host, state, by_host.get(host, ()), hidden=hidden.get(host, ()))
            for state, host in shown[offset : None if limit is None else offset + limit]
        ],
        "silences": [silence.row() for silence in known.silences.all if silence.is_active(known.now)],
        "mute_windows": [
            _window_document(one, known.now) for one in known.settings.mute_windows if one.is_active(known.now)
        ],
    }


def by_subject(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """Return subject (host, receiver or fleet) -> the decisions on its open incidents."""
    grouped: dict[str, list[Decision]] = {}
    for decision in decisions:
        grouped.setdefault(decision.incident.host, []).append(decision)
    return grouped


def host_states(
    settings: Settings,
    fleet: Fleet,
    decisions: Mapping[str, Sequence[Decision]],
    hidden: Container[str],
    now: Instant,
) -> dict[str, str]:
    """Return host -> its state. Every count of hosts by state is made from this.

    Args:
        settings: The settings in force.
        fleet: The fleet.
        decisions: Subject -> the decisions on its open incidents. A subject may be a host that is not in the fleet.
        hidden: The hosts for which some symptom cannot be ruled out.
        now: The instant.

    """
    everybody = dict.fromkeys(fleet.hosts()) | dict.fromkeys(filter(is_host, decisions))
    return {
        host: host_state(settings, fleet, host, decisions.get(host, ()), now, is_hidden=host in hidden)
        for host in everybody
    }


def _window_document(window: MuteWindow, now: Instant) -> dict[str, Any]:
    """Return the hosts of a mute window and its end. An empty list of hosts means everything."""
    until = max((pause.until for pause in window.pauses(now, now)), default=now)
    hosts = [] if window.hosts is None else list(window.hosts.globs)
    return {"hosts": hosts, "until_wall": isoformat(until)}


def hidden_of(known: Knowledge, fleet: Fleet, hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return host -> the symptoms that cannot be ruled out, without hosts that have none.

    Args:
        known: The present facts.
        fleet: The fleet, with the present coverage of its sources.
        hosts: The hosts without an incident, because other hosts are shown with their incidents.

    """
    names, hidden = tuple(hosts), dict[str, list[str]]()
    for symptom, found in hidden_verdicts(fleet, known.settings.detectors(), lambda: names, known.now).items():
        for host in found:
            hidden.setdefault(host, []).append(symptom)
    return hidden


def host_document(
    known: Knowledge,
    fleet: Fleet,
    host: str,
    state: str,
    decisions: Sequence[Decision],
    *,
    hidden: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the status of one host."""
    last_at = fleet.accepted_at(host)
    window_us = known.settings.limits[fatal_only.SYMPTOM].of(host).window_us
    window = fleet.traffic.window(host)
    counts = NO_EVENTS if window is None else window.count(known.now - window_us, known.now)
    return {
        "host": host,
        "state": state,
        "receiver": fleet.receiver_of(host) or fleet.answered_by(host),
        "incidents": [incident_document(known, one) for one in decisions],
        "hidden": list(hidden),
        "last_upload_wall": None if last_at is None else isoformat(last_at),
        "last_upload_age_s": None if last_at is None else _seconds(known.now - last_at),
        "window_s": _seconds(window_us),
        "responses": {
            "2xx": counts.accepted,
            "4xx": counts.client_errors,
            "5xx": counts.server_errors,
            "unstamped": counts.unstamped,
        },
        "silent_limit": _limit_document(known.settings.limits[silent.SYMPTOM].of(host), fleet, host),
        "strip": strip_of(known.history, host)
        if known.evaluation is None
        else strip_at(known.history, fleet, host, known.now),
        "silences": [one.id for one in known.silences.about(host) if _is_in_force(one, decisions, known.now)],
    }


def _limit_document(limits: SilentLimits, fleet: Fleet, host: str) -> dict[str, Any]:
    """Return how long a host may be silent, and the kind of that limit: `fixed`, `learned` or `schedule`."""
    source = "schedule" if limits.expected is not None else "learned" if limits.is_learned else "fixed"
    return {
        "limit_s": _seconds(limits.of(fleet, host)),
        "source": source,
        "words": limits.in_words(fleet, host),
    }


def _is_in_force(silence: Silence, decisions: Iterable[Decision], now: Instant) -> bool:
    """Return whether a silence of a host is active. If it acknowledges, it must also cover an open incident."""
    covered = (silence.covers(one.incident.symptom, one.incident.opened_at) for one in decisions)
    return silence.is_active(now) and (not silence.is_until_resolved or any(covered))


def incident_document(known: Knowledge, decision: Decision) -> dict[str, Any]:
    """Return the JSON object for an open incident: its state, and why it is notified or not."""
    incident = decision.incident
    return {
        "id": incident.id,
        "host": incident.host,
        "symptom": incident.symptom,
        **decision.row(),
        "opened_wall": isoformat(incident.opened_at),
        "lasting_s": _seconds(max(0, known.now - incident.since)),
        "last_notified_wall": None if incident.last_notified_at is None else isoformat(incident.last_notified_at),
        "detail": known.details.get((incident.host, incident.symptom), ""),
    }


def host_state(
    settings: Settings, fleet: Fleet, host: str, decisions: Sequence[Decision], now: Instant, *, is_hidden: bool = False
) -> str:
    """Return the state of a host, which is that of its worst incident.

    A host without an incident is well, unless symptoms cannot be ruled out (`is_hidden`) or some of its responses were
    dropped.
    """
    if decisions:
        return min((str(decision.state) for decision in decisions), key=_RANKS.__getitem__)
    since = now - settings.limits[fatal_only.SYMPTOM].of(host).window_us
    is_well = not is_hidden and (not is_host(host) or fleet.is_complete(host, since))
    return WELL if is_well else UNKNOWN


def _seconds(duration_us: int) -> float:
    return duration_us / SECOND_US
