"""The daemon's incidents, as `GET /v1/incidents` returns them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fleet_health.errors import FleetHealthError
from fleet_health.parsing.timestamp import parse_time

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant

_RESOLVED = "resolved"
_BLIND = "blind"
_VERSION = 1


class DocumentError(FleetHealthError):
    """A document is not the daemon's list of incidents; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that the daemon has notified.

    Attributes:
        id: Its identifier, which stays the same for as long as the daemon remembers it.
        host: Its host; `*` or `*@NAME` for the fleet or a receiver.
        symptom: Its symptom.
        detail: Its latest finding in words; may be empty.
        suggested_fix: What to do about it; may be empty.
        opened_at: The evaluation that found it first.
        first_notified_at: The evaluation that decided on its first alert.
        last_notified_at: The evaluation that decided on its latest alert.
        ended_at: Since when it is over, or when it was dropped; None while it is open.
        resolved_at: The evaluation that decided on its resolution; None if it has not resolved.
        is_over: Whether it has recovered, but its resolution is suppressed. Then it counts as open.
        loss_notified_at: The evaluation that decided to report that its host is lost; None if none did since the latest
            alert.

    """

    id: str
    host: str
    symptom: str
    detail: str
    suggested_fix: str
    opened_at: Instant
    first_notified_at: Instant
    last_notified_at: Instant
    ended_at: Instant | None = None
    resolved_at: Instant | None = None
    is_over: bool = False
    loss_notified_at: Instant | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has neither resolved nor been dropped."""
        return self.ended_at is None

    @property
    def is_standing(self) -> bool:
        """Whether it is open, and its host was not reported as lost since its latest alert."""
        return self.is_open and self.loss_notified_at is None


@dataclass(frozen=True, slots=True)
class Document:
    """The daemon's list of incidents after an evaluation: the open ones and those that ended recently.

    Attributes:
        evaluated_at: The evaluation.
        incidents: The incidents that were notified.
        problems: The problems of the daemon, each in one line.
        blind: The detail of `blind`, if that is open; else empty.

    """

    evaluated_at: Instant
    incidents: tuple[Incident, ...]
    problems: tuple[str, ...] = ()
    blind: str = ""


class _Open(msgspec.Struct):
    id: str
    host: str
    symptom: str
    state: str
    opened_wall: str
    first_notified_wall: str | None
    last_notified_wall: str | None
    loss_notified_wall: str | None = None
    detail: str = ""
    suggested_fix: str = ""


class _Ended(msgspec.Struct):
    id: str
    host: str
    symptom: str
    state: str
    opened_wall: str
    first_notified_wall: str
    last_notified_wall: str
    ended_wall: str
    resolved_wall: str
    loss_notified_wall: str | None = None
    detail: str = ""


class _Document(msgspec.Struct):
    version: int
    last_tick_wall: str
    open: list[_Open]
    ended: list[_Ended]
    problems: list[str] = []


def parse_document(content: bytes) -> Document:
    """Read the daemon's list of incidents.

    Raises:
        DocumentError: It is not such a list, or of another version.

    """
    try:
        raw = msgspec.json.decode(content, type=_Document)
        if raw.version != _VERSION:
            raise DocumentError(f"expected version {_VERSION} of the list of incidents, found {raw.version}")
        incidents = [_open(one) for one in raw.open if one.first_notified_wall and one.last_notified_wall]
        incidents += map(_ended, raw.ended)
        evaluated_at = parse_time(raw.last_tick_wall)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DocumentError(f"expected the daemon's list of incidents, found something else: {error}") from error
    blind = [one for one in raw.open if one.symptom == _BLIND and one.state != _RESOLVED]
    by_id: dict[str, Incident] = {}
    for one in incidents:  # of two with one id, the open one counts, which comes first
        by_id.setdefault(one.id, one)
    return Document(
        evaluated_at,
        tuple(by_id.values()),
        tuple(raw.problems),
        "; ".join(one.detail or _BLIND for one in blind),
    )


def _open(raw: _Open) -> Incident:
    return Incident(
        raw.id,
        raw.host,
        raw.symptom,
        raw.detail,
        raw.suggested_fix,
        parse_time(raw.opened_wall),
        parse_time(raw.first_notified_wall or ""),
        parse_time(raw.last_notified_wall or ""),
        is_over=raw.state == _RESOLVED,
        loss_notified_at=_instant(raw.loss_notified_wall),
    )


def _ended(raw: _Ended) -> Incident:
    return Incident(
        raw.id,
        raw.host,
        raw.symptom,
        raw.detail,
        "",
        parse_time(raw.opened_wall),
        parse_time(raw.first_notified_wall),
        parse_time(raw.last_notified_wall),
        ended_at=parse_time(raw.ended_wall),
        resolved_at=parse_time(raw.resolved_wall) if raw.state == _RESOLVED else None,
        loss_notified_at=_instant(raw.loss_notified_wall),
    )


def _instant(wall: str | None) -> Instant | None:
    return None if wall is None else parse_time(wall)
