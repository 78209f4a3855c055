"""The groups of symptoms that incidents depend on, as detectors declare them.

No other module of `alerting` names a symptom, so a new symptom needs only its declaration.
"""

from __future__ import annotations

from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Sign

MISSED = tuple(spec.symptom for spec in DETECTORS if spec.sign is Sign.MISSED)
"""The symptoms that mean that uploads of the host are missing."""
GROUPS = tuple(spec.symptom for spec in DETECTORS if spec.is_group)
"""The symptoms whose incident is notified on behalf of all incidents that it inhibits."""
STOPPING = tuple(spec.symptom for spec in DETECTORS if spec.stops_uploads)
"""The symptoms during which no host can upload."""
OF_JOURNAL = tuple(spec.symptom for spec in DETECTORS if spec.is_of_journal)
"""The symptoms that may all come from uploads that the journal lacks."""
OF_EXPECTED = frozenset(spec.symptom for spec in DETECTORS if spec.is_of_expected)
"""The symptoms that only expected hosts can have."""
STAGES = {spec.symptom: spec.stage for spec in DETECTORS if spec.stage is not None}
"""Symptom -> the stage of a fault that it shows, for symptoms that declare one."""
_SIGNS = {spec.symptom: spec.sign for spec in DETECTORS}


def sign_of(symptom: str) -> Sign:
    """Return the sign that ends an incident of a symptom; `Sign.LATER` if it declares none."""
    return _SIGNS.get(symptom, Sign.LATER)
