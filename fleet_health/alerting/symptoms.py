"""What detectors declare about their symptoms, as far as incidents depend on it.

No other module of `alerting` names a symptom, so a new symptom needs only its declaration.
"""

from __future__ import annotations

from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Sign

MISSED = tuple(spec.symptom for spec in DETECTORS if spec.sign is Sign.MISSED)
"""The symptoms of a host whose uploads are missed."""
GROUPS = tuple(spec.symptom for spec in DETECTORS if spec.is_group)
"""The symptoms whose incident is notified for a group: everything that it inhibits."""
STOPPING = tuple(spec.symptom for spec in DETECTORS if spec.stops_uploads)
"""The symptoms during which no host can upload."""
OF_JOURNAL = tuple(spec.symptom for spec in DETECTORS if spec.is_of_journal)
"""The symptoms that may all mean that the journal lacks uploads."""
OF_EXPECTED = frozenset(spec.symptom for spec in DETECTORS if spec.is_of_expected)
"""The symptoms of hosts that are expected."""
STAGES = {spec.symptom: spec.stage for spec in DETECTORS if spec.stage is not None}
"""Symptom -> the stage of a host's fault that it shows."""
_SIGNS = {spec.symptom: spec.sign for spec in DETECTORS}


def sign_of(symptom: str) -> Sign:
    """Return the sign that ends an incident of a symptom; `Sign.LATER` if that symptom declares none."""
    return _SIGNS.get(symptom, Sign.LATER)
