"""The explanation of a host: each figure with its limit, and why its incidents are notified or not. Pure.

As in `overview`, instants are in ISO 8601 in UTC, and durations in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.alerting.lifecycle import Reason
from fleet_health.api.overview import hidden_of, host_document, host_state, incident_document
from fleet_health.api.states import VERSION
from fleet_health.config.in_force import OFF, in_force
from fleet_health.detectors import receiver_down, unstamped
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.detectors.spec import Foreseeing, are_met
from fleet_health.model.history import long_strip_at, long_strip_of
from fleet_health.model.instant import SECOND_US, isoformat
from fleet_health.model.schedule import next_tick_at
from fleet_health.model.strip import BIN_US, LONG_BIN_US
from fleet_health.model.subject import EVERY_HOST, is_host, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.api.overview import Knowledge
    from fleet_health.config.schema import Settings
    from fleet_health.detectors.spec import Detector
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

_IN_WORDS = {
    Reason.FIRST: "it is notified at the next evaluation",
    Reason.REPEAT_DUE: "its repeat is due at the next evaluation",
    Reason.NOTIFIED_THIS_HOUR: "it was notified in this UTC hour",
    Reason.NOTIFIED_LATER: "it was notified at a time that is ahead of the clock",
    Reason.REPEAT_NOT_DUE: "it was notified, and its next repeat is not due yet",
    Reason.WITHIN_GRACE: "it is within its grace period, and is notified if it lasts",
    Reason.UNDECIDED: "no host has uploaded since, so the receiver may be the cause: it is notified once another host"
    f" uploads, or `{receiver_down.SYMPTOM}` is notified instead",
    Reason.INHIBITED: "its cause is notified instead; it is notified if it lasts a tick longer than its cause",
    Reason.SILENCED: "a silence suppresses it",
    Reason.ACKNOWLEDGED: "it is acknowledged, and suppressed until it is resolved",
    Reason.MUTED: "a mute window suppresses it",
    Reason.RESOLVED_LATER: "it has recovered, and its resolution is notified when the suppression ends",
    Reason.FLAPPING: "it is flapping, and is notified again once it is stable",
    Reason.RECOVERING: "it is recovering, and resolves if that lasts",
    Reason.UNCONFIRMED: "it is no longer found, but no newer fact shows a recovery",
    Reason.LOST: "its host has shown no sign for the whole lookback; it is notified again if the host returns and"
    " still shows it",
}
"""Reason -> a clause for people about why an incident is notified or not. The detail follows in brackets."""

_MORE_THAN_TIME = frozenset(
    {
        Reason.UNDECIDED,
        Reason.INHIBITED,
        Reason.FLAPPING,
        Reason.UNCONFIRMED,
        Reason.RECOVERING,
        Reason.LOST,
    }
)
"""The reasons with which the next notification does not depend on time alone."""


def explanation_document(
    known: Knowledge, fleet: Fleet, incidents: Incidents, host: str, suppressions_at: Callable[[Instant], Suppressions]
) -> dict[str, Any]:
    """Return the document about a host, a receiver, or `EVERY_HOST`.

    Args:
        known: The present facts.
        fleet: The fleet.
        incidents: A copy of the incidents.
        host: The host, which need not be known.
        suppressions_at: Returns the silences and mute windows at an instant.

    """
    settings, fleet = known.settings, fleet.standing_still()
    detectors = settings.detectors()
    decisions = [one for one in known.decisions if one.incident.host == host]
    by_symptom = {one.incident.symptom: one for one in decisions}
    origins = in_force(settings.document, settings.path, host if is_host(host) else None)
    hidden = [] if decisions or not is_host(host) else hidden_of(known, fleet, [host]).get(host, [])
    verdicts = []
    for detector in detectors:
        figures = detector.conditions(fleet, host, known.now)
        decision = by_symptom.pop(detector.symptom, None)
        if not figures and decision is None:
            continue
        verdicts.append(
            {
                "symptom": detector.symptom,
                "is_evaluated": detector.name not in known.unseen,
                "is_found": (host, detector.symptom) in known.details,
                "holds_now": are_met(figures),
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
                "incident": None if decision is None else incident_document(known, decision),
                "why": "" if decision is None else why(decision),
                "next_alert_wall": None
                if decision is None or decision.pair not in known.details
                else _next_alert(incidents, known.now, decision, suppressions_at),
                "would_fire_wall": _would_fire(known, detector, fleet, host),
                "no_input": _no_input(known, detector.symptom),
            }
        )
    state = host_state(known.settings, fleet, host, decisions, known.now, is_hidden=bool(hidden))
    return {
        "version": VERSION,
        "at_wall": isoformat(known.now),
        "last_tick_wall": None if known.evaluation is None else isoformat(known.evaluation.at),
        "next_tick_wall": None if known.next_at is None else isoformat(known.next_at),
        "strip_bin_s": BIN_US // SECOND_US,
        "long_strip_bin_s": LONG_BIN_US // SECOND_US,
        "long_strip": long_strip_of(known.history, host)
        if known.evaluation is None
        else long_strip_at(known.history, fleet, host, known.now),
        "clock": known.clock,
        "is_known": host in subjects(settings) or fleet.is_seen(host) or bool(decisions),
        **_counting(known, fleet, host, lookback_of(detectors).traffic_us),
        **host_document(known, fleet, host, state, decisions, hidden=hidden),
        "upload_intervals": [
            {"up_to_s": up_to_us / SECOND_US, "count": count} for up_to_us, count in fleet.upload_intervals(host)
        ],
        "detectors": verdicts,
    }


def subjects(settings: Settings) -> tuple[str, ...]:
    """Return the subjects in addition to hosts: the fleet, and each receiver if there are several."""
    return (EVERY_HOST, *(named(EVERY_HOST, name) for name in settings.receiver_names))


def _counting(known: Knowledge, fleet: Fleet, host: str, lookback_us: int) -> dict[str, Any]:
    """Return how the responses of a host are counted. Both values are None if all are known and counted exactly."""
    window, until = fleet.traffic.window(host), fleet.traffic.incomplete_until(host)
    is_complete = not is_host(host) or fleet.is_complete(host, known.now - lookback_us)
    return {
        "counted_since_wall": None if is_complete else isoformat(until),
        "counted_in_steps_of_s": None if window is None or not window.step_us else window.step_us / SECOND_US,
    }


def why(decision: Decision) -> str:
    """Return a clause about why an incident is notified or not, with the detail of the reason."""
    words = _IN_WORDS[decision.reason]
    return f"{words} ({decision.detail})" if decision.detail else words


def _no_input(known: Knowledge, symptom: str) -> str:
    """Return a text if the rule for the input of a symptom is off in the configuration; else empty."""
    has_rule = any(receiver.journal.unstamped_host is not None for receiver in known.settings.receivers)
    return OFF if symptom == unstamped.SYMPTOM and not has_rule else ""


def _would_fire(known: Knowledge, detector: Detector, fleet: Fleet, host: str) -> str | None:
    """Return the tick that finds a host if it does not upload; None if it is found already or never will be."""
    at = detector.finds_at(fleet, host, known.now) if isinstance(detector, Foreseeing) else None
    return None if at is None else isoformat(next_tick_at(at, known.settings.tick_us))


def _next_alert(
    incidents: Incidents, now: Instant, decision: Decision, suppressions_at: Callable[[Instant], Suppressions]
) -> str | None:
    if decision.reason in _MORE_THAN_TIME:
        return None
    incident = decision.incident
    at = incidents.next_alert_at(
        incident, now, lambda at: suppressions_at(at)(*decision.pair, incident.opened_at) is not None
    )
    return None if at is None else isoformat(at)
