"""The scope of evaluation: the hosts and symptoms for which incidents are opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.alerting.symptoms import OF_EXPECTED
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.subject import is_host

if TYPE_CHECKING:
    from fleet_health.model.subject import Pair


@dataclass(frozen=True, slots=True)
class Scope:
    """The hosts and symptoms for which incidents are opened.

    Attributes:
        symptoms: The symptoms; None for every one.
        ignored: The hosts that are never in scope.
        expected: The hosts that must upload at least once; None for every host that a detector finds.
        general: The incidents of receivers and of the fleet as a whole that are in scope; None for all.

    """

    symptoms: frozenset[str] | None = None
    ignored: HostGlobs = field(default_factory=HostGlobs)
    expected: frozenset[str] | None = None
    general: frozenset[Pair] | None = None

    def includes(self, host: str, symptom: str) -> bool:
        """Return whether a host's symptom is in scope."""
        if self.ignored.matches(host) or (self.symptoms is not None and symptom not in self.symptoms):
            return False
        if not is_host(host):
            return self.general is None or (host, symptom) in self.general
        return symptom not in OF_EXPECTED or self.expected is None or host in self.expected
