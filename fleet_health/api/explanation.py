"""Why a host is judged as it is: every figure against its limit, and what holds an alert back. Pure, but for the lines.

As with `overview`, instants are ISO 8601 in UTC, and durations seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.alerting.alert import Alert
from fleet_health.api.overview import (
    FLAPPING,
    HELD,
    LOST,
    PENDING,
    SILENCED,
    UNKNOWN,
    VERSION,
    hidden_of,
    host_document,
    host_state,
    incident_document,
)
from fleet_health.config.in_force import OFF, in_force
from fleet_health.detectors import silent, unstamped
from fleet_health.detectors.evaluation import reach_of
from fleet_health.detectors.spec import Finding
from fleet_health.model.history import BIN_US
from fleet_health.model.instant import SECOND_US, isoformat, utc_hour
from fleet_health.model.schedule import next_tick_at
from fleet_health.model.subject import EVERY_HOST
from fleet_health.service.witness import with_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.mute_windows import QuietWindow
    from fleet_health.alerting.silences import Silence
    from fleet_health.api.overview import Knowledge
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_HELD_BY_STATE = {
    FLAPPING: ("flapping", "it comes and goes; it is told of again when it has held still"),
    PENDING: ("grace", "it must stand for a while before it is told of"),
    LOST: ("lookback", "it has shipped nothing for all of it, and is told of again after it ships"),
}


def explanation_document(
    known: Knowledge, fleet: Fleet, incidents: Incidents, host: str, is_muted: Callable[[Instant, str, str], bool]
) -> dict[str, Any]:
    """Make the document of one host, or of `EVERY_HOST`.

    Args:
        known: What the service knows.
        fleet: The fleet.
        incidents: The incidents; only what is open is asked for, and when it is told of.
        host: The host; it need not be known.
        is_muted: Says whether a host's symptom is silenced at an instant.

    """
    settings = known.settings
    detectors = settings.detectors()
    open_incidents = [one for one in known.incidents if one[0].host == host]
    by_symptom = {incident.symptom: (incident, state) for incident, state in open_incidents}
    finding = Finding(host, "", "", "")
    (witnessed,) = with_evidence([Alert(finding, known.now)], fleet, settings.journal, reach_of(detectors).traffic_us)
    origins = in_force(settings.document, settings.path, None if host == EVERY_HOST else host)
    hidden = [] if open_incidents or host == EVERY_HOST else hidden_of(known, fleet, [host]).get(host, [])
    verdicts = []
    for detector in detectors:
        figures = detector.conditions(fleet, host, known.now)
        incident = by_symptom.pop(detector.symptom, None)
        if not figures and incident is None:
            continue
        verdicts.append(
            {
                "symptom": detector.symptom,
                "is_judged": detector.symptom not in known.unseen,
                "is_found": (host, detector.symptom) in known.details,
                "is_hidden": detector.symptom in hidden,
                "figures": [
                    {
                        "name": figure.name,
                        "value": figure.value,
                        "limit": figure.limit,
                        "is_met": figure.is_met,
                        "key": figure.key,
                        "setting": origins[figure.key].written if figure.key in origins else "",
                        "origin": origins[figure.key].origin if figure.key in origins else "",
                    }
                    for figure in figures
                ],
                "incident": None if incident is None else incident_document(known, *incident),
                "held_by": [] if incident is None else list(_held_by(known, *incident)),
                "next_alert_wall": None if incident is None else _next_alert(incidents, known, *incident, is_muted),
                "would_fire_wall": _would_fire(known, fleet, host) if detector.symptom == silent.SYMPTOM else None,
                "no_input": _no_input(known, detector.symptom),
            }
        )
    state = host_state(known, fleet, host, open_incidents, hidden)
    return {
        "version": VERSION,
        "at_wall": isoformat(known.now),
        "next_tick_wall": None if known.next_at is None else isoformat(known.next_at),
        "strip_bin_s": BIN_US // SECOND_US,
        "clock": known.clock,
        "is_known": host == EVERY_HOST or fleet.is_seen(host) or bool(open_incidents),
        **_counting(known, fleet, host, reach_of(detectors).traffic_us),
        **host_document(known, fleet, host, state, open_incidents, hidden=hidden),
        "evidence": witnessed.facts(),
        "detectors": verdicts,
    }


def _counting(known: Knowledge, fleet: Fleet, host: str, reach_us: int) -> dict[str, Any]:
    """Say how the host's responses are counted, if not each of them since as long ago as any detector looks."""
    window, until = fleet.traffic.window(host), fleet.traffic.incomplete_until(host)
    is_complete = host == EVERY_HOST or fleet.is_complete(host, known.now - reach_us)
    return {
        "counted_since_wall": None if is_complete else isoformat(until),
        "counted_in_steps_of_s": None if window is None or not window.step_us else window.step_us / SECOND_US,
    }


def _held_by(known: Knowledge, incident: Incident, state: str) -> Iterator[dict[str, str]]:
    """Say what keeps an incident from being told of now."""
    pair: Pair = (incident.host, incident.symptom)
    if state == HELD:
        causes = [one for one, _ in known.incidents if pair in one.explains]
        named = ", ".join(f"{one.host} {one.symptom}" for one in causes) or "what has just ended"
        yield {"by": "inhibition", "detail": f"{named} explains it; it is told of when it outlives that by a tick"}
    if state == SILENCED:
        for silence in known.silences.about(incident.host):
            if silence.is_active(known.now) and silence.is_about(incident.symptom):
                yield {"by": "silence", "detail": _silence_in_words(silence)}
        quiet = [window for window in known.settings.quiet if _is_quiet(window, known.now, incident.host)]
        for window in quiet:
            until = f"until {window.ends:%H:%M} {window.zone.key}"
            yield {"by": "quiet window", "detail": f"[[quiet]] {until}"}
    if state in _HELD_BY_STATE:
        by, detail = _HELD_BY_STATE[state]
        yield {"by": by, "detail": detail}
    if state == UNKNOWN or (state == SILENCED and _is_in_doubt(known, incident)):
        if known.clock:
            yield {"by": "clock", "detail": known.clock}
        detail = "it is no longer found, and nothing newer than it shows that it is over"
        yield {"by": "evidence", "detail": detail}
    if state != LOST and (detail := _told_until(known, incident)):
        yield {"by": "repeat", "detail": detail}


def _told_until(known: Knowledge, incident: Incident) -> str:
    """Say when an incident was told of, if that is why it is not told of now; else nothing."""
    if incident.told_at is None:
        return ""
    told = f"it was told of at {isoformat(incident.told_at)[:19]}Z"
    if utc_hour(incident.told_at) == utc_hour(known.now):
        return f"{told}, in this UTC hour"
    pair = (incident.host, incident.symptom)
    if known.settings.policy.is_due(pair, incident.opened_at, incident.told_at, known.now):
        return ""
    return f"{told}, and will be again as `[alerts] repeat` says"


def _is_in_doubt(known: Knowledge, incident: Incident) -> bool:
    """Say whether an incident is no longer found, and not seen to be over either."""
    return (incident.host, incident.symptom) not in known.details and incident.well_since is None


def _silence_in_words(silence: Silence) -> str:
    return f"{silence.id} until {isoformat(silence.ends_at)[:16]}Z, by {silence.author}: {silence.reason}"


def _is_quiet(window: QuietWindow, now: Instant, host: str) -> bool:
    return window.is_active(now) and window.is_about(host)


def _no_input(known: Knowledge, symptom: str) -> str:
    """Say why nothing can be found of a symptom, by what is configured; nothing if it can."""
    return OFF if symptom == unstamped.SYMPTOM and known.settings.journal.unstamped_host is None else ""


def _would_fire(known: Knowledge, fleet: Fleet, host: str) -> str | None:
    """Say at which tick a host will be silent if it ships no more; None if it is, or was never seen to ship."""
    last_at, after_us = fleet.ships.last_at(host), known.settings.limits[silent.SYMPTOM].of(host).after_us
    if last_at is None or known.now - last_at > after_us:
        return None
    return isoformat(next_tick_at(last_at + after_us, known.settings.tick_us))


def _next_alert(
    incidents: Incidents,
    known: Knowledge,
    incident: Incident,
    state: str,
    is_muted: Callable[[Instant, str, str], bool],
) -> str | None:
    if state in {HELD, FLAPPING, UNKNOWN} or incident.lost_at is not None or _is_in_doubt(known, incident):
        return None  # that depends on more than time
    at = incidents.next_alert_at(incident, known.now, lambda at: is_muted(at, incident.host, incident.symptom))
    return None if at is None else isoformat(at)
