"""An incident, and the facts that end it."""

from __future__ import annotations

import hashlib

import msgspec

from fleet_health.alerting.symptoms import MISSED, sign_of

# msgspec reads the annotations at run time.
from fleet_health.detectors.spec import PRESENT, Sign
from fleet_health.model.instant import Instant  # noqa: TC001
from fleet_health.model.subject import Pair  # noqa: TC001


class Incident(msgspec.Struct):
    """One incident.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The symptom.
        opened_at: The evaluation that found it first.
        began_at: When the fault began, if a detector could determine it; else None.
        id: Its identifier, unique among the incidents of its host and symptom. It never changes.
        first_notified_at: When its first alert was sent; None if there was none.
        last_notified_at: When its latest alert was sent; None if there was none.
        recovered_since: When its condition ceased to be met; None while it is met.
        lost_at: When its host was first seen to be lost; None if it is not.
        loss_notified_at: When the loss was notified; None if it has not been since the latest alert.
        first_notified_lost_at: When its first alert was sent, if its host was already lost; else None.
        was_silenced: Whether its first alert is still unsent because a silence or a mute window suppressed it.
        was_inhibited: Whether its first alert is still unsent because its cause or its flapping suppressed it.
        is_absence_excused: Whether a mute window or a cause suppressed it at the latest evaluation. Its host was then
            unable to upload, or not expected to.
        waits_until: The end of the time that its host gets to show a recovery. Until then the incident is not notified
            unless it is found. None if there is no such time.
        inhibits: The incidents whose cause it is.
        sign_at: The newest sign of recovery that was known when it was last found; None if there was none. Only a newer
            sign ends it.
        heard_at: The latest sign of its host in either source; None if there was none.
        limits: The limits at the latest evaluation that looked for it; empty if they are not known.
        is_found: Whether the latest evaluation that looked for it found it.
        is_outgrown: Whether its limits have changed since it was found, and the new ones are not met. It then ends
            without a newer fact.
        detail: The detail of its latest finding, or of its latest alert if that is newer; empty if neither is known.
        suggested_fix: The suggested fix of the same finding or alert.

    """

    host: str
    symptom: str
    opened_at: Instant
    began_at: Instant | None = None
    last_notified_at: Instant | None = None
    recovered_since: Instant | None = None
    lost_at: Instant | None = None
    loss_notified_at: Instant | None = None
    first_notified_lost_at: Instant | None = None
    was_silenced: bool = False
    was_inhibited: bool = False
    is_absence_excused: bool = False
    waits_until: Instant | None = None
    inhibits: frozenset[Pair] = frozenset()
    sign_at: Instant | None = None
    heard_at: Instant | None = None
    limits: str = ""
    is_found: bool = False
    is_outgrown: bool = False
    first_notified_at: Instant | None = None
    id: str = ""
    detail: str = ""
    suggested_fix: str = ""

    def __post_init__(self) -> None:
        """Derive the id from the opening if there is none. It is stored, because the opening may be redated."""
        if not self.id:
            self.id = hashlib.sha256(f"{self.host}|{self.symptom}|{self.opened_at}".encode()).hexdigest()[:16]

    @property
    def pair(self) -> Pair:
        """Its host and symptom."""
        return self.host, self.symptom

    @property
    def is_noticed(self) -> bool:
        """Whether it was notified, or would have been without a silence or a mute window."""
        return self.last_notified_at is not None or self.was_silenced

    @property
    def is_missed(self) -> bool:
        """Whether its symptom is that uploads of its host are missing."""
        return self.symptom in MISSED

    def is_ended_by(self, sign_at: Instant | None) -> bool:
        """Return whether a fact is new enough to end the incident, once its conditions are no longer met.

        The detector declares which facts count (`Sign`). The timestamp of the fact decides, so an old fact cannot end
        an incident, even if the clock was behind when the incident opened.
        """
        if sign_at is None:
            return False
        sign = sign_of(self.symptom)
        if sign_at == PRESENT or sign is Sign.FIRST:
            return True
        if sign is Sign.MISSED and self.sign_at is not None:
            return sign_at > self.sign_at
        return sign_at > max(self.opened_at, self.opened_at if self.sign_at is None else self.sign_at)

    def note_found(self, limits: str, sign_at: Instant | None, heard_at: Instant | None) -> None:
        """Record an evaluation that found it, with its limits and the facts known at that time."""
        self.limits, self.is_found, self.is_outgrown = limits, True, False
        self.lost_at = self.recovered_since = self.first_notified_lost_at = None
        if sign_at is not None and sign_at != PRESENT:
            self.sign_at = sign_at if self.sign_at is None else max(self.sign_at, sign_at)
        self.note_heard(heard_at)

    def note_since(self, at: Instant | None) -> None:
        """Record when the fault began according to a finding. The earliest instant is kept, at most the opening."""
        if at is not None:
            self.began_at = min(at, self.since)

    def note_missing(self, limits: str, *, is_continuous: bool) -> None:
        """Record an evaluation that looked for it and did not find it.

        Args:
            limits: The limits of this evaluation. If it was found until now and they have changed, they explain why it
                was not.
            is_continuous: Whether there was an evaluation recently. If not, the facts may merely have become too old to
                be found. That does not matter if uploads are missing, because time alone does not end that.

        """
        has_changed = self.is_found and bool(self.limits) and limits != self.limits
        if has_changed and (is_continuous or self.is_missed):
            self.is_outgrown = True
        self.limits, self.is_found = limits, False

    def note_heard(self, at: Instant | None) -> None:
        """Record a sign of its host."""
        if at is not None:
            self.heard_at = at if self.heard_at is None else max(self.heard_at, at)

    @property
    def since(self) -> Instant:
        """When the fault began; its opening if that is not known."""
        return self.opened_at if self.began_at is None else min(self.began_at, self.opened_at)

    @property
    def was_suppressed(self) -> bool:
        """Whether its first alert was suppressed and is still unsent."""
        return self.last_notified_at is None and (self.was_silenced or self.was_inhibited)

    def note_notified(self, now: Instant) -> None:
        """Record that an alert of it was sent."""
        if self.lost_at is not None and self.last_notified_at is None:
            self.first_notified_lost_at = now
        if self.last_notified_at is None:
            self.first_notified_at = now
        self.last_notified_at, self.loss_notified_at = now, None
        self.was_silenced = self.was_inhibited = False

    def note_excused(self, now: Instant, absence_us: int, *, is_excused: bool) -> None:
        """Record whether the absence of its host is excused. Afterwards it has `absence_us` to show a recovery."""
        if is_excused:
            self.is_absence_excused, self.waits_until = absence_us > 0, None
        elif self.is_absence_excused:
            self.is_absence_excused, self.waits_until = False, now + absence_us

    def is_too_early(self, now: Instant) -> bool:
        """Return whether its host still has time to show a recovery before the incident is notified as unconfirmed."""
        return self.is_absence_excused or (self.waits_until is not None and now < self.waits_until)

    @property
    def last_sign_at(self) -> Instant:
        """The latest sign of its host; if its uploads are missing, its latest upload."""
        at = self.sign_at if self.is_missed else self.heard_at
        return self.opened_at if at is None else at

    def redate(self, latest: Instant) -> None:
        """Move every instant that is later than `latest` to `latest`, after the clock was ahead."""
        for name in (
            "opened_at",
            "began_at",
            "first_notified_at",
            "last_notified_at",
            "recovered_since",
            "lost_at",
            "loss_notified_at",
            "first_notified_lost_at",
            "waits_until",
            "sign_at",
            "heard_at",
        ):
            at: Instant | None = getattr(self, name)
            if at is not None:
                setattr(self, name, min(at, latest))
