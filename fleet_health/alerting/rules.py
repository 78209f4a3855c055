"""The rules by which a fleet is evaluated: one value, which a reload replaces as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.scope import Scope
from fleet_health.alerting.symptoms import STOPPING
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.detectors.spec import Watching
from fleet_health.model.pauses import LONGEST_MUTE_US, MUTES_BACK_US, RECEIVER_STOPPED, Pause, begin_of, merged
from fleet_health.model.unit_history import UnitHistory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.mute_windows import MuteWindow
    from fleet_health.detectors.spec import Detector
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.observation import UnitState


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which a fleet is evaluated.

    Attributes:
        detectors: The detectors in force, each with its limits.
        policy: The alert policy.
        scope: The hosts and symptoms for which incidents are opened.
        mute_windows: The windows in which no notifications are sent and hosts may be off.

    """

    detectors: tuple[Detector, ...] = ()
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    scope: Scope = field(default_factory=Scope)
    mute_windows: tuple[MuteWindow, ...] = ()

    def reading_begins_at(self, states: Iterable[UnitState], at: Instant) -> Instant:
        """Return the instant from which rows are needed to evaluate at `at`, given the unit's stops and starts."""
        history = UnitHistory()
        for state in states:
            history.record(state)
        # Before a start without a stop, it is not known how long the unit was down.
        stops = [pause for pause in history.pauses(lambda _: None) if pause.is_known]
        if (stopped_at := history.stopped_at()) is not None and stopped_at < at:
            stops.append(Pause(stopped_at, at, RECEIVER_STOPPED))

        def pauses_since(since: Instant) -> list[Pause]:
            back_to = min(since, at - MUTES_BACK_US)
            mutes = merged(pause for window in self.mute_windows for pause in window.pauses(back_to, at))
            return [*stops, *(one for one in mutes if one.until - one.since < LONGEST_MUTE_US)]

        return begin_of(at, lookback_of(self.detectors).uploads_us, pauses_since)

    def apply_to(self, fleet: Fleet) -> None:
        """Record in a fleet the rules for when its hosts may be absent."""
        fleet.mute_windows = self.mute_windows
        fleet.watched_us = next((one.watched_us for one in self.detectors if isinstance(one, Watching)), None)
        fleet.is_unit_watched = any(detector.symptom in STOPPING for detector in self.detectors)
