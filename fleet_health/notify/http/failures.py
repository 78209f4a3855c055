"""What went wrong with a request, in words and without the text that an error quotes, such as the path of a URL."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from urllib3 import exceptions as failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAILURES = (failures.HTTPError, HTTPException, OSError, ValueError)
"""The errors of a request that does not succeed."""


def in_words(error: BaseException) -> str:
    """Describe an error."""
    return next((words(error) for kind, words in _WORDS if isinstance(error, kind)), type(error).__name__)


def _of_tls(error: BaseException) -> str:
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {one.verify_message}"
    for one in _chain(error):
        if isinstance(one, ssl.SSLError) and one.reason:
            return f"TLS failed: {one.reason.lower().replace('_', ' ')}"
    return "TLS failed"


def _of_cause(error: BaseException) -> str:
    for one in _chain(error):
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
    return "the connection was closed without a response"


_WORDS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (failures.NameResolutionError, lambda _: "the name of the host cannot be resolved"),
    (failures.ProxyError, lambda error: f"the proxy failed: {in_words(error.original_error)}"),
    (failures.SSLError, _of_tls),
    (ssl.SSLError, _of_tls),
    (failures.NewConnectionError, _of_cause),
    (failures.ConnectTimeoutError, lambda _: "no connection in time"),
    (failures.ReadTimeoutError, lambda _: "no response in time"),
    (failures.LocationParseError, lambda _: "the URL is not valid"),
    (failures.HTTPError, _of_cause),
    (HTTPException, lambda _: "the response is not HTTP"),
    (OSError, lambda error: (error.strerror or type(error).__name__).lower()),
    (ValueError, lambda _: "the URL or a header is not valid"),
)
"""Each kind of error and its words. The first kind that fits counts."""


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    """Yield an error, those that it wraps, and those that caused it."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__, *(arg for arg in one.args if isinstance(arg, BaseException))]
