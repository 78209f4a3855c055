"""Requests and responses of the API, independent of connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

JSON, PROBLEM = "application/json", "application/problem+json"

_PARAMETER_LIMIT = 2_000
_DIGITS = 9


class RequestError(Exception):
    """A request failed. `str()` is a message for people."""

    def __init__(self, detail: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        """Take the message, and the status and further headers of the response."""
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: The method, in capitals.
        target: The target as it was sent: a path with a query, or a whole URL.
        headers: Name in lower case -> value; the last value if a header was sent twice.
        body: The body; may be empty.
        uid: The user who sent it, as the kernel reports; None if unknown.

    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    uid: int | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The decoded parts of the path. A `/` within a part is sent as `%2F`.

        Raises:
            RequestError: The target is not a path, or not UTF-8.

        """
        path = self._after_authority.partition("?")[0]
        if not path.startswith("/"):
            raise RequestError(f"expected a target that begins with `/`, found {self.target[:80]!r}")
        try:
            return tuple(unquote(part, errors="strict") for part in path[1:].split("/"))
        except UnicodeDecodeError as error:
            raise RequestError(f"expected a path in UTF-8, found {path[:80]!r}") from error

    @property
    def query(self) -> dict[str, list[str]]:
        """Parameter of the query -> its values in order.

        Raises:
            RequestError: The parameters are not UTF-8, or there are too many.

        """
        try:
            pairs = parse_qsl(
                self._after_authority.partition("?")[2],
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_PARAMETER_LIMIT,
            )
        except UnicodeDecodeError as error:
            raise RequestError("expected a query in UTF-8") from error
        except ValueError as error:
            raise RequestError(f"expected at most {_PARAMETER_LIMIT} parameters, found more") from error
        query: dict[str, list[str]] = {}
        for name, value in pairs:
            query.setdefault(name, []).append(value)
        return query

    def flag(self, name: str, *, default: bool) -> bool:
        """Return the value of a parameter of the query that is true or false.

        Raises:
            RequestError: It is something else.

        """
        text = self.query.get(name, [str(default).lower()])[-1]
        if text not in {"true", "false"}:
            raise RequestError(f"expected `{name}` to be true or false, found {text!r}")
        return text == "true"

    def number(
        self, name: str, expected: str = "a whole number", *, least: int = 0, most: int = 10**_DIGITS
    ) -> int | None:
        """Return the value of a parameter of the query that is a whole number; None if it is absent.

        Args:
            name: Its name.
            expected: The expected value in words, for the error.
            least: The smallest accepted number.
            most: The largest accepted number.

        Raises:
            RequestError: It is something else.

        """
        if (values := self.query.get(name)) is None:
            return None
        text = values[-1]
        is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
        if not is_number or not least <= int(text) <= most:
            raise RequestError(f"expected `{name}` to be {expected}, found {text!r}")
        return int(text)

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RequestError: The body is not a JSON object.

        """
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError("expected a body that is a JSON object, found something else") from error

    @property
    def _after_authority(self) -> str:
        """The target from its path on, because a client that expects a proxy sends a whole URL (RFC 9112, 3.2.2)."""
        scheme, separator, rest = self.target.partition("://")
        if not separator or scheme.lower() not in {"http", "https"}:
            return self.target
        return rest[len(rest.partition("/")[0].partition("?")[0]) :] or "/"


@dataclass(frozen=True, slots=True)
class Response:
    """One response.

    Attributes:
        status: Its status.
        body: Its encoded body, or an iterator over the pieces of a stream.
        content_type: The media type of the body.
        headers: Further headers.

    """

    status: int
    body: bytes | AsyncGenerator[bytes]
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()


Respond: TypeAlias = "Callable[[Request], Awaitable[Response]]"
"""Returns the response to a request. Raises `RequestError` if the response is an error."""
