"""A detector for one of several receivers: it evaluates what that one has shown, and its findings bear its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleet_health.detectors.spec import SlowToFind
from fleet_health.model.subject import EVERY_HOST, named

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from fleet_health.detectors.spec import Condition, Detector, Finding, Lookback
    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


class OfReceiver(SlowToFind):
    """Adapts a detector that knows only one receiver, `*`, to one of several, `*@NAME`."""

    def __init__(self, detector: Detector, receiver: str) -> None:
        self._detector = detector
        self._receiver = receiver
        self._subject = named(EVERY_HOST, receiver)

    @property
    def symptom(self) -> str:
        """The symptom's name."""
        return self._detector.symptom

    @property
    def name(self) -> str:
        """The symptom's name with the receiver's."""
        return named(self._detector.name, self._receiver)

    @property
    def is_of_absence(self) -> bool:
        """Whether it finds that something is missing."""
        return self._detector.is_of_absence

    @property
    def lookback(self) -> Lookback:
        """How far back the receiver must be known."""
        return self._detector.lookback

    def can_evaluate(self, seen: Container[str]) -> bool:
        """Return whether enough of this receiver's sources is seen."""
        kinds = ("index", "journal")
        return self._detector.can_evaluate(
            frozenset(kind for kind in kinds if kind in seen or named(kind, self._receiver) in seen)
        )

    def is_about(self, subject: str) -> bool:
        """Return whether it is this receiver."""
        return subject == self._subject

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Return the finding about this receiver, if there is one."""
        for finding in self._detector.find(fleet.of(self._receiver), now):
            yield replace(finding, host=named(finding.host, self._receiver))

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the conditions if the host is this receiver; else none."""
        return self._detector.conditions(fleet.of(self._receiver), EVERY_HOST, now) if self.is_about(host) else ()

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether this receiver is seen to have recovered."""
        del host
        return self._detector.is_over(fleet.of(self._receiver), EVERY_HOST, now)

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the timestamp of the newest sign of recovery of this receiver."""
        del host
        return self._detector.sign_at(fleet.of(self._receiver), EVERY_HOST)

    def limits_of(self, host: str) -> str:
        """Return the limits in force, as one text."""
        del host
        return self._detector.limits_of(EVERY_HOST)

    def may_inhibit(self, fleet: Fleet, now: Instant) -> frozenset[Pair]:
        """Return which findings of the receiver's hosts may turn out to have it as their cause."""
        if not isinstance(self._detector, SlowToFind):
            return frozenset()
        return self._detector.may_inhibit(fleet.of(self._receiver), now)
