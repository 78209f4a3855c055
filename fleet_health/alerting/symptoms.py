"""What the detectors declare about their symptoms: the part that incidents depend on.

No other module of `alerting` names a symptom, so whatever is true of one can be declared of a new one.
"""

from __future__ import annotations

from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Sign

MISSED = tuple(spec.symptom for spec in DETECTORS if spec.sign is Sign.MISSED)
"""The symptoms of a host whose uploads are missed."""
GROUPS = tuple(spec.symptom for spec in DETECTORS if spec.is_group)
"""The symptoms whose incident is notified for all that it inhibits."""
STOPPING = tuple(spec.symptom for spec in DETECTORS if spec.stops_uploads)
"""The symptoms during which no host can upload."""
OF_JOURNAL = tuple(spec.symptom for spec in DETECTORS if spec.is_of_journal)
"""The symptoms that may be that the journal lacks uploads, each in other words."""
OF_EXPECTED = frozenset(spec.symptom for spec in DETECTORS if spec.is_of_expected)
"""The symptoms of hosts that are expected."""
STAGES = {spec.symptom: spec.stage for spec in DETECTORS if spec.stage is not None}
"""Symptom -> how far the fault of a host has gone that shows it."""
_SIGNS = {spec.symptom: spec.sign for spec in DETECTORS}


def sign_of(symptom: str) -> Sign:
    """Return which sign may end an incident of a symptom; a later one if nothing is declared of that symptom."""
    return _SIGNS.get(symptom, Sign.LATER)
