"""Preview a reload: the changes that another configuration would make now."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from fleet_health.api.states import VERSION
from fleet_health.config.document import LISTS
from fleet_health.config.doubts import doubts
from fleet_health.config.in_force import in_force
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.engine import Engine, evaluate_at
from fleet_health.model.instant import isoformat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.config.in_force import Setting
    from fleet_health.config.schema import ReceiverSettings, Settings
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Finding
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_NOTHING = "nothing"


def preview_document(
    old: Settings,
    new: Settings,
    now: Instant,
    *,
    fleet: Fleet,
    incidents: Incidents,
    suppressions: Suppressions,
    source_problems: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate the fleet by both configurations, and return the difference.

    Args:
        old: The settings in force.
        new: The settings of the new configuration.
        now: The present.
        fleet: The fleet by the old settings, which is not changed.
        incidents: A copy of the incidents.
        suppressions: The present silences, and the mute windows of the new settings.
        source_problems: The problems of the sources of the new settings.

    """
    found_old = _found(evaluate_at(fleet, old.detectors(), now, forgets=False), old)
    engine, fleet = Engine(new.rules(), incidents), copy(fleet)
    engine.rules.apply_to(fleet)
    evaluation = evaluate_at(fleet, new.detectors(), now, tuple(incidents.open), forgets=False)
    found_new = _found(evaluation, new)
    details = {pair: finding.detail for pair, finding in found_old.items()}
    decided = {decision.pair: decision for decision in engine.decide(evaluation, suppressions).decisions}
    dropped = {pair for pair in decided.keys() | details.keys() if not engine.rules.scope.includes(*pair)}
    settings_old, settings_new = (in_force(one.document, one.path) for one in (old, new))
    return {
        **refused_document((), now),
        "changes": [
            {
                "key": key,
                "old": settings_old[key].written if key in settings_old else _NOTHING,
                "new": settings_new[key].written if key in settings_new else _NOTHING,
            }
            for key in sorted(settings_old.keys() | settings_new.keys())
            if _value(settings_old, key) != _value(settings_new, key) and not _follows(key, settings_old, settings_new)
        ]
        + [
            {"key": table, "old": "as it was", "new": "changed"}
            for table in LISTS
            if old.document.get(table, []) != new.document.get(table, [])
        ],
        "source_problems": list(source_problems),
        # Another source may have other hosts, which are not known yet.
        "warnings": doubts(new, set() if changed_sources(old, new) else set(fleet.hosts())),
        "unforeseen": list(_unforeseen(old, new)),
        "fires": [
            {**_row(found_new[pair]), "state": decided[pair].state, "reason": decided[pair].reason}
            for pair in sorted(found_new.keys() - found_old.keys())
        ],
        "resolves": [_row(found_old[pair]) for pair in sorted(found_old.keys() - found_new.keys() - dropped)],
        "drops": [
            {"host": host, "symptom": symptom, "detail": details.get((host, symptom), "it is no longer found")}
            for host, symptom in sorted(dropped)
        ],
    }


def changed_sources(old: Settings, new: Settings) -> list[ReceiverSettings]:
    """Return the receivers with a source that the old settings do not read."""
    known = {(one.index.identity, one.journal.identity) for one in old.receivers}
    return [one for one in new.receivers if (one.index.identity, one.journal.identity) not in known]


def refused_document(problems: Sequence[str], now: Instant) -> dict[str, Any]:
    """Return the document for a configuration that cannot be used."""
    return {
        "version": VERSION,
        "at_wall": isoformat(now),
        "problems": list(problems),
        "changes": [],
        "source_problems": [],
        "warnings": [],
        "unforeseen": [],
        "fires": [],
        "resolves": [],
        "drops": [],
    }


def _found(evaluation: Evaluation, settings: Settings) -> dict[Pair, Finding]:
    return {(one.host, one.symptom): one for one in evaluation.findings if not settings.ignored.matches(one.host)}


def _unforeseen(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the changes whose effects the preview cannot show, because the data is not read yet."""
    lookback_old, lookback_new = lookback_of(old.detectors()), lookback_of(new.detectors())
    if [(one.name, one.index) for one in old.receivers] != [(one.name, one.index) for one in new.receivers]:
        yield "the index will be read again, because its settings differ"
    elif lookback_new.uploads_us > lookback_old.uploads_us:
        yield "the index will be read further back"
    if lookback_new.rhythm_us > lookback_old.rhythm_us:
        yield "the rhythms of the hosts are not learned yet; until they are, the limit is `detectors.silent.after`"
    if [(one.name, one.journal) for one in old.receivers] != [(one.name, one.journal) for one in new.receivers]:
        yield "the journal will be read again, because its settings differ"
    elif lookback_new.traffic_us > lookback_old.traffic_us:
        yield "the journal will be read further back"
    if old.ignored.globs != new.ignored.globs:
        yield "hosts that are no longer ignored are not known yet"


def _follows(key: str, *settings: Mapping[str, Setting]) -> bool:
    """Return whether a setting is a default derived from the name of the receiver, and changed only with that."""
    return all(key in one and one[key].origin == "default" for one in settings)


def _value(settings: dict[str, Any], key: str) -> Any:
    return settings[key].value if key in settings else None


def _row(finding: Finding) -> dict[str, str]:
    return {"host": finding.host, "symptom": finding.symptom, "detail": finding.detail}
