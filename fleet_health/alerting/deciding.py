"""Decide on an incident: collect the facts that are true of it, and look them up in the table of `lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_health.alerting.lifecycle import Decision, Fact, Reason, row_of
from fleet_health.model.instant import HOUR_US, isoformat
from fleet_health.model.pauses import paused_us
from fleet_health.model.schedule import first_tick_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fleet_health.alerting.alert_policy import AlertPolicy
    from fleet_health.alerting.dedup_keys import DedupKeys
    from fleet_health.alerting.flapping import Flapping
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.inhibition import Inhibition
    from fleet_health.alerting.situation import Situation
    from fleet_health.alerting.suppression import Suppression
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

# How far ahead the next alert is computed.
_FORESEEN_US = 32 * 24 * HOUR_US

_BY_OPERATOR = frozenset({Reason.SILENCED, Reason.ACKNOWLEDGED, Reason.MUTED})
_BY_LAST_NOTIFICATION = frozenset({Reason.NOTIFIED_THIS_HOUR, Reason.NOTIFIED_LATER, Reason.REPEAT_NOT_DUE})

# Plain integers, because operations on a flag are ten times slower and there may be 10,000 incidents.
_LOST, _LOSS_FIRES, _LOSS_NOTIFIED = map(int, (Fact.LOST, Fact.LOSS_FIRES, Fact.LOSS_NOTIFIED))
_NOT_FOUND, _RECOVERING, _ENDING = map(int, (Fact.NOT_FOUND, Fact.RECOVERING, Fact.ENDING))
_INHIBITS, _INHIBITED, _FLAPPING = map(int, (Fact.INHIBITS, Fact.INHIBITED, Fact.FLAPPING))
_NOTIFIED, _WAS_SUPPRESSED, _NOTIFIED_LATER = map(int, (Fact.NOTIFIED, Fact.WAS_SUPPRESSED, Fact.NOTIFIED_LATER))
_TOO_EARLY, _UNDECIDED = int(Fact.TOO_EARLY), int(Fact.UNDECIDED)
_WITHIN_GRACE, _NOTIFIED_THIS_HOUR, _NOT_DUE = map(int, (Fact.WITHIN_GRACE, Fact.NOTIFIED_THIS_HOUR, Fact.NOT_DUE))


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides on incidents, as of the latest evaluation or a later instant. It changes nothing.

    Attributes:
        situation: The result of the latest evaluation.
        policy: The alert policy.
        inhibition: Which incidents are inhibited.
        flapping: Which incidents flap.
        dedup_keys: The dedup keys of the alerts in each hour.

    """

    situation: Situation
    policy: AlertPolicy
    inhibition: Inhibition
    flapping: Flapping
    dedup_keys: DedupKeys

    def decide(
        self,
        incident: Incident,
        now: Instant,
        suppression: Suppression | None,
        causes: Mapping[Pair, Sequence[Pair]],
        facts: int = 0,
    ) -> Decision:
        """Return the decision on an incident, according to the table.

        Args:
            incident: The incident.
            now: The instant.
            suppression: The silence or mute window that covers it; None if there is none.
            causes: Inhibited incident -> the incidents that are its cause.
            facts: Why it ended, as bits of `Fact`; 0 while it is open.

        """
        row = row_of(facts | self._facts(incident, now, suppression))
        detail = ""
        if suppression is not None and row.reason in _BY_OPERATOR:
            detail = suppression.detail
        elif row.reason is Reason.INHIBITED:
            detail = _in_words(causes.get(incident.pair, ()))
        elif row.reason in _BY_LAST_NOTIFICATION and incident.last_notified_at is not None:
            detail = f"{isoformat(incident.last_notified_at)[:19]}Z"
        return Decision(incident, row.state, row.action, row.reason, detail)

    def is_early(self, incident: Incident, now: Instant) -> bool:
        """Return whether an incident is within its grace. Time in which no host could upload does not count."""
        counted_from = incident.opened_at + paused_us(self.situation.pauses, incident.opened_at, now)
        return self.policy.is_within_grace(incident.pair, counted_from, now)

    def is_due(self, incident: Incident, now: Instant) -> bool:
        """Return whether the first alert or the next repeat of an incident is due."""
        return self.policy.is_due(incident.opened_at, incident.last_notified_at, now)

    def next_alert_at(
        self, incident: Incident, now: Instant, is_suppressed_at: Callable[[Instant], bool]
    ) -> Instant | None:
        """Return the tick of the next alert of an incident that lasts; None if that is more than 32 days away."""

        def is_notified(at: Instant) -> bool:
            is_due = not self.is_early(incident, at) and self.is_due(incident, at)
            return is_due and not self.dedup_keys.has(incident.pair, at) and not is_suppressed_at(at)

        return first_tick_at(now, now + _FORESEEN_US, self.policy.tick_us, is_notified)

    def _facts(self, incident: Incident, now: Instant, suppression: Suppression | None) -> int:
        """Return the facts that are true of an incident, as bits of `Fact`."""
        pair, situation, inhibited = incident.pair, self.situation, self.inhibition.inhibited
        recovering_us = None if incident.recovered_since is None else now - incident.recovered_since
        is_ending = recovering_us is not None and recovering_us < 2 * self.policy.tick_us
        last_notified_at = incident.last_notified_at
        facts = 0 if pair in situation.found else self._unfound_facts(incident, now)
        for fact, is_true in (
            (_RECOVERING, recovering_us is not None),
            (_ENDING, is_ending),
            (_INHIBITS, not is_ending and bool(incident.inhibits & inhibited)),
            (_INHIBITED, pair in inhibited),
            (_FLAPPING, self.flapping.is_notified(pair)),
            (_NOTIFIED, last_notified_at is not None),
            (_NOTIFIED_LATER, situation.is_clock_behind and last_notified_at is not None and last_notified_at > now),
            (_UNDECIDED, pair in situation.undecided),
            (_WITHIN_GRACE, self.is_early(incident, now) or self._must_wait(incident, now)),
            (_NOTIFIED_THIS_HOUR, self.dedup_keys.has(pair, now)),
            (_NOT_DUE, not self.is_due(incident, now)),
        ):
            if is_true:
                facts |= fact
        return facts if suppression is None else facts | int(suppression.fact)

    def _unfound_facts(self, incident: Incident, now: Instant) -> int:
        """Return the facts that are true only of incidents that are not found."""
        is_lost = incident.lost_at is not None
        facts = _NOT_FOUND
        for fact, is_true in (
            (_LOST, is_lost),
            (_LOSS_FIRES, is_lost and self._does_loss_fire(incident, now)),
            (_LOSS_NOTIFIED, incident.loss_notified_at is not None),
            (_WAS_SUPPRESSED, incident.was_suppressed),
            (_TOO_EARLY, self.situation.is_clock_uncertain or incident.is_too_early(now)),
        ):
            if is_true:
                facts |= fact
        return facts

    def _does_loss_fire(self, incident: Incident, now: Instant) -> bool:
        """Return whether a lost incident was never notified, or first notified while lost, within the last lookback."""
        if incident.last_notified_at is None:
            return True
        since = incident.first_notified_lost_at
        return since is not None and now - since <= self.policy.lookback_us(incident.host)

    def _must_wait(self, incident: Incident, now: Instant) -> bool:
        """Return whether an incident whose cause has just ended must wait, because its host could not upload before."""
        waits_until = incident.waits_until
        is_let_go = incident.was_inhibited and incident.last_notified_at is None
        return is_let_go and incident.pair in self.situation.found and waits_until is not None and now < waits_until


def _in_words(causes: Iterable[Pair]) -> str:
    """Name the causes of an inhibited incident. If there are none, the cause ended within the last tick."""
    return ", ".join(f"{host} {symptom}" for host, symptom in sorted(causes)) or "an incident that has just ended"
