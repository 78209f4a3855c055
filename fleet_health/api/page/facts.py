"""The facts on the pages that the documents of the API lack: open incidents with suggested fix and reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.api.explanation import why
from fleet_health.api.incident_list import ended_row
from fleet_health.api.overview import incident_document
from fleet_health.api.states import STATES
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.lifecycle import Decision
    from fleet_health.api.overview import Knowledge
    from fleet_health.model.subject import Pair

INCIDENTS = 50
"""The largest number of open incidents on a page. All incidents are also listed with their hosts."""


def open_incidents(known: Knowledge, wanted: Callable[[str], bool], states: frozenset[str]) -> dict[str, Any]:
    """Return the selected open incidents, worst state first, and their number.

    Args:
        known: The present facts.
        wanted: Returns whether a host is selected. Incidents of receivers and of the fleet are always selected.
        states: The selected states; empty for all.

    """
    fixes = _fixes(known)
    shown = [
        one
        for one in known.decisions
        if not is_host(one.incident.host) or (wanted(one.incident.host) and (not states or one.state in states))
    ]
    shown.sort(key=_order)
    return {
        "open_matching": len(shown),
        "open": [_row(known, one, fixes) for one in shown[:INCIDENTS]],
    }


def incidents_of(known: Knowledge, incidents: Incidents, host: str) -> dict[str, Any]:
    """Return the open and the recently ended incidents of one host."""
    fixes = _fixes(known)
    return {
        "open": [_row(known, one, fixes) for one in sorted(known.decisions, key=_order) if one.incident.host == host],
        "ended": [ended_row(one) for one in reversed(incidents.ended.all) if one.host == host],
    }


def _order(decision: Decision) -> tuple[int, bool, str, str]:
    incident = decision.incident
    return STATES.index(decision.state), is_host(incident.host), incident.host, incident.symptom


def _fixes(known: Knowledge) -> Mapping[Pair, str]:
    found = () if known.evaluation is None else known.evaluation.findings
    return {(one.host, one.symptom): one.suggested_fix for one in found}


def _row(known: Knowledge, decision: Decision, fixes: Mapping[Pair, str]) -> dict[str, Any]:
    fix = fixes.get(decision.pair, "")
    return {**incident_document(known, decision), "suggested_fix": fix, "why": why(decision)}
