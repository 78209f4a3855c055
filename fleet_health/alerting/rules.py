"""By what a fleet is evaluated: one value, which a reload exchanges as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.scope import Scope

if TYPE_CHECKING:
    from fleet_health.detectors.spec import Detector


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a fleet is evaluated.

    Attributes:
        detectors: The detectors in force, each with its limits.
        policy: When an incident is notified, and when it is over.
        scope: Which hosts and symptoms are looked for.

    """

    detectors: tuple[Detector, ...] = ()
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    scope: Scope = field(default_factory=Scope)
