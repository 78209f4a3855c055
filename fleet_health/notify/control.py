"""The control socket of `notify`: how each destination stands, what was sent, and test messages."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fleet_health.api.requests import Request, RequestError, Response
from fleet_health.errors import printable
from fleet_health.model.instant import describe, isoformat
from fleet_health.model.words import plural
from fleet_health.notify.destination import DeliveryError
from fleet_health.notify.message import Kind, Message, Notification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.config.destinations import DestinationSettings
    from fleet_health.model.instant import Instant
    from fleet_health.notify.courier import Courier
    from fleet_health.notify.ledger import Record, Standing

VERSION = 1
"""The version of the documents. A key may be added without another one; none is taken away, or means something else."""

TEST_HOST, TEST_SYMPTOM = "test-host", "silent"
_LIMIT = 1_000
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Overview:
    """How everything stands.

    Attributes:
        at: The present.
        evaluated_at: The latest evaluation of the daemon that was seen; None if there was none.
        problems: What is wrong with the process itself.
        destinations: Each destination: how it is configured, its courier, and what the ledger holds of it.

    """

    at: Instant
    evaluated_at: Instant | None
    problems: Sequence[str]
    destinations: Sequence[tuple[DestinationSettings, Courier, Standing]]

    def document(self) -> dict[str, Any]:
        """Return it as a document."""
        return {
            "version": VERSION,
            "at_wall": isoformat(self.at),
            "last_tick_wall": _wall(self.evaluated_at),
            "problems": list(self.problems),
            "destinations": [
                {
                    "name": settings.name,
                    "type": settings.type,
                    "state": _state(courier, standing),
                    "last_success_wall": _wall(courier.last_success_at or standing.last_success_at),
                    "waiting": standing.waiting,
                    "waiting_since_wall": _wall(standing.waiting_since),
                    "failing_since_wall": _wall(standing.failing_since if courier.failing else None),
                    "last_error": courier.failing or standing.last_error,
                    "last_error_wall": _wall(standing.last_error_at),
                    "dropped": standing.dropped,
                }
                for settings, courier, standing in self.destinations
            ],
        }

    def line(self) -> str:
        """Return it in one line, for `systemctl status`."""
        if not self.destinations:
            return "; ".join(["No destination is configured", *map(printable, self.problems)])
        waiting = sum(standing.waiting for _, _, standing in self.destinations)
        parts = [f"{plural(len(self.destinations), 'destination')}, {waiting or 'nothing'} waiting"]
        for settings, courier, standing in self.destinations:
            state = _state(courier, standing)
            if state == "ok":
                continue
            about = f"{settings.name} {state}"
            if standing.waiting and standing.waiting_since is not None:
                about += f", {standing.waiting} waiting for {describe(max(0, self.at - standing.waiting_since))}"
            parts.append(about + (f": {courier.failing}" if courier.failing else ""))
        return "; ".join(map(printable, [*parts, *self.problems]))


class Office(Protocol):
    """What the socket serves."""

    async def overview(self) -> Overview:
        """Return how everything stands."""
        ...

    async def history(self, host: str | None, limit: int) -> Sequence[Record]:
        """Return what was to be sent of late."""
        ...

    def couriers(self) -> Mapping[str, Courier]:
        """Return the couriers by the names of their destinations."""
        ...


class Control:
    """Answers requests."""

    def __init__(self, office: Office) -> None:
        """Take what is served."""
        self._office = office

    async def __call__(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            RequestError: It cannot be answered.

        """
        method = "GET" if request.method == "HEAD" else request.method
        match method, request.path:
            case "GET", ("v1", "destinations"):
                return _response((await self._office.overview()).document())
            case "GET", ("v1", "history"):
                return _response(await self._history(request))
            case "POST", ("v1", "test"):
                return _response(await self._test(request))
        known = "GET /v1/destinations, GET /v1/history, POST /v1/test"
        raise RequestError(f"expected one of {known}, found {method} {request.target[:80]}", HTTPStatus.NOT_FOUND)

    async def _history(self, request: Request) -> dict[str, Any]:
        limit = request.query.get("limit", ["100"])[-1]
        if not limit.isdecimal() or len(limit) > _DIGITS or not 0 < int(limit) <= _LIMIT:
            raise RequestError(f"expected `limit` to be a number from 1 to {_LIMIT}, found {limit[:80]!r}")
        host = request.query.get("host", [None])[-1]
        return history_document(await self._office.history(host, int(limit)))

    async def _test(self, request: Request) -> dict[str, Any]:
        couriers = self._office.couriers()
        name = request.query.get("name", [None])[-1]
        if name is not None and name not in couriers:
            known = ", ".join(couriers) or "none"
            raise RequestError(f"expected the name of a destination ({known}), found {name[:80]!r}", 404)
        chosen = couriers.values() if name is None else [couriers[name]]
        now = (await self._office.overview()).at
        return {"version": VERSION, "tests": [await _tried(courier, now) for courier in chosen]}


def test_message(now: Instant) -> Message:
    """Return a message that tries a destination."""
    one = Notification(
        incident=f"test-{secrets.token_hex(4)}",
        kind=Kind.OPENING,
        host=TEST_HOST,
        symptom=TEST_SYMPTOM,
        detail="This is a test of fleet-health: no host is in trouble.",
        suggested_fix="Nothing is to be done.",
        opened_at=now,
        decided_at=now,
    )
    return Message(f"test-{secrets.token_hex(8)}", (one,), is_test=True)


def history_document(records: Sequence[Record]) -> dict[str, Any]:
    """Return what was sent as a document."""
    return {
        "version": VERSION,
        "notifications": [
            {
                "destination": one.destination,
                "kind": one.kind,
                "host": one.host,
                "symptom": one.symptom,
                "detail": one.detail,
                "state": one.state,
                "is_unannounced": one.is_unannounced,
                "queued_wall": isoformat(one.queued_at),
                "settled_wall": _wall(one.at),
                "attempts": one.attempts,
                "answer": one.answer,
                "reference": one.reference,
                "key": one.key,
            }
            for one in records
        ],
    }


async def _tried(courier: Courier, now: Instant) -> dict[str, Any]:
    try:
        delivered = await courier.try_out(test_message(now))
    except DeliveryError as error:
        return {"name": courier.name, "is_delivered": False, "answer": str(error), "reference": ""}
    return {
        "name": courier.name,
        "is_delivered": True,
        "answer": delivered.answer,
        "reference": delivered.reference,
    }


def _state(courier: Courier, standing: Standing) -> str:
    if courier.gone:
        return "disabled"
    if courier.failing:
        return "failing"
    return "waiting" if standing.waiting else "ok"


def _wall(at: Instant | None) -> str | None:
    return None if at is None else isoformat(at)


def _response(document: Mapping[str, Any]) -> Response:
    return Response(HTTPStatus.OK, msgspec.json.encode(document) + b"\n")
