"""What is looked for at all: an incident of anything else is moot."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleet_health.detectors import never_seen
from fleet_health.model.host_globs import HostGlobs


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked for.

    Attributes:
        symptoms: The symptoms; None for every one.
        ignored: The hosts that are left out.
        expected: The names of the hosts that are missed if they never upload; None for whichever are found missing.

    """

    symptoms: frozenset[str] | None = None
    ignored: HostGlobs = field(default_factory=HostGlobs)
    expected: frozenset[str] | None = None

    def includes(self, host: str, symptom: str) -> bool:
        """Return whether a host's symptom is looked for."""
        if self.ignored.matches(host) or (self.symptoms is not None and symptom not in self.symptoms):
            return False
        return symptom != never_seen.SYMPTOM or self.expected is None or host in self.expected
