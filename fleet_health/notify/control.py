"""The control socket of `notify`: the state of each destination, what was sent, and test messages."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fleet_health.api.requests import Request, RequestError, Response
from fleet_health.notify.destination import DeliveryError
from fleet_health.notify.overview import VERSION, history_document, test_row, unknown_destination

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.notify.couriers.courier import Courier
    from fleet_health.notify.ledger.standing import Record
    from fleet_health.notify.overview import Overview

_LIMIT = 1_000
_DIGITS = 5


class Office(Protocol):
    """What the requests are about: the process."""

    async def overview(self) -> Overview:
        """Return the state of the process and of each destination."""
        ...

    async def history(self, host: str | None, limit: int) -> Sequence[Record]:
        """Return the recent notifications, the latest first; only those about a host unless it is None."""
        ...

    def couriers(self) -> Mapping[str, Courier]:
        """Return the couriers by the names of their destinations."""
        ...


class Control:
    """Answers requests."""

    def __init__(self, office: Office) -> None:
        """Take what the requests are about."""
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
        if (name is not None and name not in couriers) or not couriers:
            raise RequestError(unknown_destination(name, couriers), HTTPStatus.NOT_FOUND)
        chosen = couriers.values() if name is None else [couriers[name]]
        now = (await self._office.overview()).at
        return {"version": VERSION, "tests": [await _tried(courier, now) for courier in chosen]}


async def _tried(courier: Courier, now: Instant) -> dict[str, Any]:
    try:
        return test_row(courier.name, await courier.try_out(now))
    except DeliveryError as error:
        return test_row(courier.name, error)


def _response(document: Mapping[str, Any]) -> Response:
    return Response(HTTPStatus.OK, msgspec.json.encode(document) + b"\n")
