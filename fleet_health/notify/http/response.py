"""Responses of servers, and whether one says that a message was accepted. Pure but for the present of `Retry-After`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from fleet_health.notify.destination import Delivered, DeliveryError, DestinationGoneError, RefusedMessageError
from fleet_health.notify.wording import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.notify.secrets import Redaction

_EXCERPT = 200
_REASON = 60
_DIGITS = 10

# Statuses that blame the message itself. Any other 4xx may be fixed: a token, a path, a permission.
_OF_THE_MESSAGE = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a server.

    Attributes:
        status: The status code.
        reason: Its phrase, as the server wrote it.
        headers: The headers, by their names in lower case.
        body: The body, or its beginning.

    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def verdict(response: Response, place: str, redaction: Redaction) -> Delivered:
    """Return the delivery if the response says that the message was accepted.

    Args:
        response: The response.
        place: The server, as texts name it.
        redaction: What must stand in no text.

    Raises:
        DestinationGoneError: 410: nothing will be taken any more.
        RefusedMessageError: 400, 413 or 422: this message will not be taken.
        DeliveryError: Any other response than 2xx; with the time that Retry-After asks for.

    """
    line = f"{response.status} {_phrase(response, redaction)}".rstrip()
    if response.status // 100 == 2:  # noqa: PLR2004 - the class of statuses that RFC 9110 calls successful
        return Delivered(line)
    if response.status // 100 == 3:  # noqa: PLR2004 - and redirections
        raise DeliveryError(f"{place}: {line}; redirects are not followed, set the URL that it leads to")
    reason = f"{place}: {line}{_excerpt(response, redaction)}"
    if response.status == HTTPStatus.GONE:
        raise DestinationGoneError(reason)
    if response.status in _OF_THE_MESSAGE:
        raise RefusedMessageError(reason)
    raise DeliveryError(reason, _retry_after_s(response.headers.get("retry-after", "")))


def _phrase(response: Response, redaction: Redaction) -> str:
    with suppress(ValueError):
        return HTTPStatus(response.status).phrase
    return cut(redaction.clean(response.reason), _REASON)


def _excerpt(response: Response, redaction: Redaction) -> str:
    """Return the beginning of a body, unless it is HTML or binary."""
    body = response.body.decode(errors="replace").strip()
    if not body or body.startswith("<") or "\0" in body:
        return ""
    return f": {cut(redaction.clean(body[: _EXCERPT * 4]), _EXCERPT)}"


def _retry_after_s(value: str) -> float | None:
    """Return for how many seconds a server asks to wait, which it gives as a number or a date; None for anything else.

    The header: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:_DIGITS])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
