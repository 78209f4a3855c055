"""The life of an incident as one table: the facts at an evaluation determine its state, action and reason.

    opened ──► pending ──► firing ──► resolved
                  │           │
                  └─────┬─────┘
         inhibited, silenced, muted, flapping: its alerts are suppressed, and so is its resolution (unless an operator
         acknowledged it, and so waits for the resolution)
         unconfirmed: it is no longer found, and nothing shows that it is over
         lost: it was notified, and its host has shown no sign for the whole lookback
         forgotten: it is dropped without a notification

Suppression ends in a notification: when nothing suppresses an incident any more, it is notified, even if no detector
finds it then, unless it was seen to recover. The end of an incident that was never notified is not notified either.

Every open incident gets one decision at each evaluation, even if there is nothing to do. Alerts, `status`, STATUS=,
`explain`, `check` and the preview of a reload all show that decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum, auto
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.alerting.incident import Incident
    from fleet_health.model.subject import Pair


class State(StrEnum):
    """The state of an incident."""

    FIRING = "firing"
    """It is found, and nothing suppresses it."""
    UNCONFIRMED = "unconfirmed"
    """It is no longer found, and nothing new shows that it is over."""
    INHIBITED = "inhibited"
    """Another incident is its cause, and is notified instead."""
    SILENCED = "silenced"
    """A silence suppresses it."""
    MUTED = "muted"
    """A mute window suppresses it."""
    FLAPPING = "flapping"
    """It comes and goes, and its host was notified as flapping."""
    PENDING = "pending"
    """It has not been open for long enough yet."""
    LOST = "lost"
    """It was notified, and its host has shown no sign for the whole lookback."""
    RESOLVED = "resolved"
    """It is over."""
    FORGOTTEN = "forgotten"
    """It is dropped, because it is out of scope or can no longer be evaluated."""


ENDED = frozenset({State.RESOLVED, State.FORGOTTEN})
"""The states of an incident that is no longer open."""


class Action(StrEnum):
    """The action on an incident at an evaluation."""

    NOTIFY = "notify"
    """Send its first alert."""
    REPEAT = "repeat"
    """Send another alert."""
    RESOLVE = "resolve"
    """Send the notice that it is resolved."""
    LOSE = "lose"
    """Send the notice that its host is lost."""
    NONE = "none"


class Reason(StrEnum):
    """The reason for the action, or for taking none."""

    FIRST = "first"
    REPEAT_DUE = "repeat due"
    NOTIFIED_THIS_HOUR = "notified this hour"
    NOTIFIED_LATER = "its latest alert is dated ahead of the clock"
    REPEAT_NOT_DUE = "repeat not due"
    WITHIN_GRACE = "within grace"
    UNDECIDED = "its cause may be the receiver"
    INHIBITED = "inhibited"
    SILENCED = "silenced"
    ACKNOWLEDGED = "acknowledged"
    MUTED = "mute window"
    FLAPPING = "flapping"
    RECOVERING = "recovering"
    UNCONFIRMED = "unconfirmed"
    LOST = "lost"
    RECOVERED = "recovered"
    RESOLVED_LATER = "recovered, and its resolution is suppressed"
    NEVER_NOTIFIED = "recovered, and was never notified"
    FORGOTTEN = "no longer looked for"


class Fact(IntFlag):
    """A fact about an incident at an evaluation."""

    DROPPED = auto()
    """It is out of scope, or can no longer be evaluated."""
    OVER = auto()
    """It has recovered for long enough."""
    LOST = auto()
    """Its host has shown no sign for the whole lookback."""
    LOSS_FIRES = auto()
    """It was never notified, or was first notified when it was already lost, within the last lookback."""
    LOSS_NOTIFIED = auto()
    """The loss of its host was notified."""
    NOT_FOUND = auto()
    """The latest evaluation did not find it."""
    RECOVERING = auto()
    """It has recovered, but not for long enough yet."""
    ENDING = auto()
    """It has been recovering for less than two ticks."""
    INHIBITS = auto()
    """It is the cause of another incident that is inhibited."""
    INHIBITED = auto()
    """Another incident is its cause."""
    SILENCED = auto()
    """A silence covers it."""
    MUTED = auto()
    """A mute window covers it."""
    ACKNOWLEDGED = auto()
    """A silence covers it until it is resolved."""
    FLAPPING = auto()
    """It comes and goes, and its host was notified as flapping."""
    NOTIFIED = auto()
    """It was notified."""
    WAS_SUPPRESSED = auto()
    """Its first alert was suppressed and is still unsent."""
    TOO_EARLY = auto()
    """Its host still has time to show a recovery after a suppression, or the clock is uncertain."""
    NOTIFIED_LATER = auto()
    """Its latest alert is dated later than this evaluation, because the clock is behind."""
    UNDECIDED = auto()
    """An incident that has not opened yet may turn out to be its cause."""
    WITHIN_GRACE = auto()
    """Its grace has not passed."""
    NOTIFIED_THIS_HOUR = auto()
    """It was already notified in this UTC hour."""
    NOT_DUE = auto()
    """Its next repeat is not due yet."""


NOTHING = Fact(0)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        facts: The facts that must be true.
        unless: The facts that must not be true.
        state: The state that follows.
        action: The action that is taken.
        reason: The reason of the action.

    """

    facts: Fact
    unless: Fact
    state: State
    action: Action
    reason: Reason


def _notifications(facts: Fact, unless: Fact, state: State) -> tuple[Row, ...]:
    """Return the rows that decide when an incident that nothing suppresses is notified, and when again."""
    return (
        Row(facts | Fact.NOTIFIED_LATER, unless, state, Action.NONE, Reason.NOTIFIED_LATER),
        # If a reload makes the grace longer, a notified incident does not become pending again.
        Row(facts | Fact.WITHIN_GRACE | Fact.NOTIFIED, unless, state, Action.NONE, Reason.WITHIN_GRACE),
        Row(
            facts | Fact.WITHIN_GRACE,
            unless,
            State.PENDING if state is State.FIRING else state,
            Action.NONE,
            Reason.WITHIN_GRACE,
        ),
        Row(facts | Fact.NOT_DUE, unless, state, Action.NONE, Reason.REPEAT_NOT_DUE),
        Row(facts | Fact.NOTIFIED_THIS_HOUR, unless, state, Action.NONE, Reason.NOTIFIED_THIS_HOUR),
        Row(facts | Fact.NOTIFIED, unless, state, Action.REPEAT, Reason.REPEAT_DUE),
        Row(facts, unless, state, Action.NOTIFY, Reason.FIRST),
    )


TABLE: tuple[Row, ...] = (
    # It ends.
    Row(Fact.DROPPED, NOTHING, State.FORGOTTEN, Action.NONE, Reason.FORGOTTEN),
    Row(Fact.OVER | Fact.NOTIFIED | Fact.INHIBITED, NOTHING, State.RESOLVED, Action.NONE, Reason.RESOLVED_LATER),
    Row(Fact.OVER | Fact.NOTIFIED | Fact.SILENCED, NOTHING, State.RESOLVED, Action.NONE, Reason.RESOLVED_LATER),
    Row(Fact.OVER | Fact.NOTIFIED | Fact.MUTED, NOTHING, State.RESOLVED, Action.NONE, Reason.RESOLVED_LATER),
    Row(Fact.OVER | Fact.NOTIFIED, NOTHING, State.RESOLVED, Action.RESOLVE, Reason.RECOVERED),
    Row(Fact.OVER | Fact.FLAPPING, NOTHING, State.RESOLVED, Action.NONE, Reason.FLAPPING),
    Row(Fact.OVER, NOTHING, State.RESOLVED, Action.NONE, Reason.NEVER_NOTIFIED),
    # It is suppressed.
    Row(Fact.INHIBITED, NOTHING, State.INHIBITED, Action.NONE, Reason.INHIBITED),
    Row(Fact.SILENCED, NOTHING, State.SILENCED, Action.NONE, Reason.SILENCED),
    Row(Fact.MUTED, NOTHING, State.MUTED, Action.NONE, Reason.MUTED),
    Row(Fact.ACKNOWLEDGED, NOTHING, State.SILENCED, Action.NONE, Reason.ACKNOWLEDGED),
    Row(Fact.FLAPPING | Fact.WAS_SUPPRESSED, Fact.RECOVERING, State.FLAPPING, Action.NONE, Reason.FLAPPING),
    # Its host is lost, so no detector finds it any more. If it was never notified before, it is notified now.
    Row(
        Fact.LOST | Fact.LOSS_FIRES | Fact.TOO_EARLY | Fact.NOTIFIED,
        Fact.RECOVERING,
        State.FIRING,
        Action.NONE,
        Reason.WITHIN_GRACE,
    ),
    Row(Fact.LOST | Fact.LOSS_FIRES | Fact.TOO_EARLY, Fact.RECOVERING, State.PENDING, Action.NONE, Reason.WITHIN_GRACE),
    *_notifications(Fact.LOST | Fact.LOSS_FIRES, Fact.RECOVERING, State.FIRING),
    Row(Fact.LOST | Fact.LOSS_NOTIFIED, Fact.RECOVERING, State.LOST, Action.NONE, Reason.LOST),
    Row(Fact.LOST, Fact.RECOVERING, State.LOST, Action.LOSE, Reason.LOST),
    # It is not found. If it was suppressed, it is notified now. So is a cause that inhibits effects, because otherwise
    # they would go unnoticed.
    Row(
        Fact.NOT_FOUND | Fact.WAS_SUPPRESSED | Fact.TOO_EARLY,
        Fact.RECOVERING,
        State.PENDING,
        Action.NONE,
        Reason.WITHIN_GRACE,
    ),
    Row(
        Fact.NOT_FOUND,
        Fact.RECOVERING | Fact.INHIBITS | Fact.WAS_SUPPRESSED,
        State.UNCONFIRMED,
        Action.NONE,
        Reason.UNCONFIRMED,
    ),
    Row(Fact.FLAPPING, NOTHING, State.FLAPPING, Action.NONE, Reason.FLAPPING),
    Row(Fact.RECOVERING | Fact.ENDING | Fact.NOTIFIED, NOTHING, State.FIRING, Action.NONE, Reason.RECOVERING),
    Row(Fact.RECOVERING | Fact.ENDING, NOTHING, State.PENDING, Action.NONE, Reason.RECOVERING),
    Row(Fact.RECOVERING | Fact.NOTIFIED, Fact.INHIBITS, State.FIRING, Action.NONE, Reason.RECOVERING),
    Row(Fact.RECOVERING, Fact.INHIBITS, State.PENDING, Action.NONE, Reason.RECOVERING),
    # It waits until the cause is known: its host, or the receiver.
    Row(Fact.UNDECIDED, Fact.NOTIFIED | Fact.NOT_FOUND, State.PENDING, Action.NONE, Reason.UNDECIDED),
    # It is notified.
    *_notifications(Fact.NOT_FOUND, Fact.RECOVERING, State.UNCONFIRMED),
    *_notifications(NOTHING, NOTHING, State.FIRING),
)
"""The first row whose facts are true decides. The last one matches everything else."""

_OPEN = frozenset(State) - ENDED - {State.LOST}

TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    # An incident that opens may be in any state: unconfirmed, if it is found while the index cannot be read; and
    # resolved or lost, if it recovered earlier and its resolution was suppressed until now.
    None: frozenset(State),
    **{state: frozenset(State) for state in _OPEN},
    # Only a notified incident becomes lost, and a notified incident does not become pending again.
    State.PENDING: frozenset(State) - {State.LOST},
    State.LOST: frozenset(State) - {State.PENDING},
    # An ended incident never opens again. A fault that returns is another incident, unless the end was not notified.
    State.RESOLVED: frozenset(),
    State.FORGOTTEN: frozenset(),
}
"""State at one evaluation -> possible states at the next. None stands for an incident that is not open."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of an evaluation on one incident.

    Attributes:
        incident: The incident.
        state: Its state.
        action: The action.
        reason: The reason.
        detail: More about the reason: the cause, the silence or the time of the latest alert; may be empty.

    """

    incident: Incident
    state: State
    action: Action
    reason: Reason
    detail: str = ""

    @property
    def pair(self) -> Pair:
        """The incident's host and symptom."""
        return self.incident.pair

    def row(self) -> dict[str, str]:
        """Return the JSON object that commands print for it."""
        return {"state": self.state, "action": self.action, "reason": self.reason, "reason_detail": self.detail}


@cache
def row_of(facts: int) -> Row:
    """Return the first matching row for some facts, given as bits of `Fact`."""
    return next(row for row in TABLE if row.facts & facts == row.facts and not row.unless & facts)
