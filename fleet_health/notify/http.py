"""HTTP requests of destinations: one at a time, within a time and a size, and without following redirects.

urllib3 speaks HTTP and TLS; this module decides what it may do, and says in words what came of it. A URL often holds a
secret in its path, so texts name its host alone.
"""

from __future__ import annotations

import logging
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from socket import SHUT_RDWR, socket
from threading import local
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass
from weakref import WeakSet

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3 import exceptions as failures
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers

from fleet_health.errors import printable
from fleet_health.notify.destination import Delivered, DeliveryError, DestinationGoneError, RefusedMessageError
from fleet_health.notify.secrets import Redaction
from fleet_health.notify.time_limit import GRACE_S, TimeLimit
from fleet_health.notify.tls import tls_context
from fleet_health.notify.wording import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from urllib3.response import HTTPResponse

# It logs whole URLs, when it cannot read a header for one.
logging.getLogger("urllib3").propagate = False

RESPONSE_LIMIT = 65_536
"""How many bytes of a response are read."""

NO_PROXY = "none"
"""The value of `proxy` that makes a destination ignore the environment's."""

_EXCERPT = 200
_IDLE_S = 30.0
_SHORTEST_SECRET = 4
_LONGEST_WAIT_S = 86_400.0
_PORTS = {"http": 80, "https": 443}

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
        headers: The headers, by their names in small letters.
        body: The body, at most `RESPONSE_LIMIT` bytes of it.

    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What has become of a request that was taken.

    Attributes:
        delivered: For the history.
        response: The response.

    """

    delivered: Delivered
    response: Response


def redacted(url: str) -> str:
    """Return a URL without what may be secret in it: `https://hooks.example.org/…`."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return "…"
    host = parts.hostname or ""
    rest = "/…" if parts.path.strip("/") or parts.query else ""
    return printable(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{rest}")


def is_url(text: str) -> bool:
    """Return whether a request can be sent to it: an absolute URL of http or https, with a host."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and not any(sign <= " " or sign == "\x7f" for sign in text)


class HttpClient:
    """Sends requests of one destination."""

    def __init__(self, timeout_s: float, *, ca_file: Path | None = None, proxy: str | None = None) -> None:
        """Take what all requests have in common.

        Args:
            timeout_s: How long a request may take as a whole, from the name server to the end of the response.
            ca_file: The certificates of the authorities that are trusted; None for those of the system.
            proxy: The URL of a proxy; `NO_PROXY` for none, None for what the environment says.

        """
        self._limit = TimeLimit(timeout_s)
        self._ca_file = ca_file
        self._proxy = proxy
        self._managers: dict[str | None, PoolManager] = {}
        self._connections: WeakSet[HTTPConnection] = WeakSet()
        self._used_at = time.monotonic()

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> Taken:
        """Send a request, and return the response if it says that the message was accepted.

        Args:
            method: The method.
            url: Where to. User and password in it are sent as such.
            body: The body.
            headers: Further headers.
            secrets: What must stand in no text, beside the path of the URL.

        Returns:
            That it was delivered, and the response.

        Raises:
            DeliveryError: It was not taken, or not for certain.

        """
        if not is_url(url):
            raise DeliveryError("expected an absolute URL of http or https, found something else")
        parts = urlsplit(url)
        of_url = (one for one in (parts.path.strip("/"), parts.query) if len(one) >= _SHORTEST_SECRET)
        redaction = Redaction([*secrets, *of_url, unquote(parts.password or "")])
        response = self._response(method, url, body, headers or {})
        return Taken(verdict(response, redacted(url), redaction), response)

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()
        self._connections.clear()

    def _response(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        place = redacted(url)
        received = _Received()
        try:
            if time.monotonic() - self._used_at > _IDLE_S:  # a router may have dropped the connection meanwhile
                self.close()
            manager = self._manager(urlsplit(url))
            request = _Request(method, url, body, {"User-Agent": "fleet-health", **_login(url), **headers})
            self._limit.call(lambda: self._exchange(manager, request, received), self._shut_down)
        except TimeoutError:
            if received.response is None:
                self.close()
                said = f"{place}: no response within {self._limit.seconds:g} s"
                raise DeliveryError(said, is_response_lost=received.is_awaited) from None
        except (failures.HTTPError, HTTPException, OSError, ValueError) as error:
            if received.response is None:
                raise DeliveryError(f"{place}: {_in_words(error)}", is_response_lost=received.is_awaited) from None
        finally:
            self._used_at = time.monotonic()
        if received.response is None:
            raise DeliveryError(f"{place}: no response")
        return received.response

    def _exchange(self, manager: PoolManager, request: _Request, received: _Received) -> None:
        _here.opened, _here.received = self._connections, received
        response = manager.request(
            request.method,
            request.url,
            body=request.body,
            headers=dict(request.headers),
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(total=self._limit.seconds + GRACE_S),
        )
        # With its status a message is taken or not, even if the rest never comes.
        fields = {name.lower(): value for name, value in response.headers.items()}
        received.response = Response(response.status, response.reason or "", fields, b"")
        content = response.read(RESPONSE_LIMIT + 1)
        received.response = Response(response.status, response.reason or "", fields, content[:RESPONSE_LIMIT])
        if len(content) > RESPONSE_LIMIT:
            response.close()
        else:
            response.release_conn()

    def _manager(self, parts: SplitResult) -> PoolManager:
        proxy = self._proxy_for(parts)
        if proxy not in self._managers:
            context = tls_context(None if self._ca_file is None else str(self._ca_file))
            manager = PoolManager(ssl_context=context) if proxy is None else _through(proxy, context)
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
            self._managers[proxy] = manager
        return self._managers[proxy]

    def _proxy_for(self, parts: SplitResult) -> str | None:
        if self._proxy is not None:
            return None if self._proxy == NO_PROXY else self._proxy
        proxies = getproxies_environment()
        if proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"

    def _shut_down(self) -> None:
        for connection in tuple(self._connections):
            # An SSLSocket's own method would take away what another thread reads with.
            if isinstance(connection.sock, socket):
                with suppress(OSError):
                    socket.shutdown(connection.sock, SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes
    headers: Mapping[str, str]


class _Received:
    """What has been received of a response so far.

    Attributes:
        is_awaited: Whether the whole request was sent.
        response: The response, without its body at first.

    """

    is_awaited = False
    response: Response | None = None


_here = local()
"""Where a thread notes the connections that it opens, so that another one can shut them down."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        _here.opened.add(self)
        super().connect()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        _here.received.is_awaited = True
        return super().getresponse()


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _through(proxy: str, context: ssl.SSLContext) -> ProxyManager:
    if not is_url(proxy):
        raise DeliveryError(
            "proxy: expected a URL such as http://proxy.example.org:3128, found something else;"
            " look at the key `proxy` and at the environment"
        )
    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = make_headers(proxy_basic_auth=login)
    return ProxyManager(proxy, proxy_headers=headers, ssl_context=context, proxy_ssl_context=context)


def _login(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": make_headers(basic_auth=login)["authorization"]}


def _in_words(error: BaseException) -> str:
    """Describe an error without the text that it quotes, such as the path of a URL."""
    says: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
        (failures.NameResolutionError, lambda _: "the name of the host cannot be resolved"),
        (failures.ProxyError, lambda e: f"the proxy failed: {_in_words(e.original_error)}"),
        (failures.SSLError, _tls_in_words),
        (ssl.SSLError, _tls_in_words),
        (failures.NewConnectionError, _cause_in_words),
        (failures.ConnectTimeoutError, lambda _: "no connection in time"),
        (failures.ReadTimeoutError, lambda _: "no response in time"),
        (failures.LocationParseError, lambda _: "the URL is not valid"),
        (failures.HTTPError, _cause_in_words),
        (HTTPException, lambda _: "the response is not HTTP"),
        (OSError, lambda e: (e.strerror or type(e).__name__).lower()),
        (ValueError, lambda _: "the URL or a header is not valid"),
    )
    return next((say(error) for kind, say in says if isinstance(error, kind)), type(error).__name__)


def _tls_in_words(error: BaseException) -> str:
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {one.verify_message}"
    for one in _chain(error):
        if isinstance(one, ssl.SSLError) and one.reason:
            return f"TLS failed: {one.reason.lower().replace('_', ' ')}"
    return "TLS failed"


def _cause_in_words(error: BaseException) -> str:
    for one in _chain(error):
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
    return "the connection was closed without a response"


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    """Yield an error, those that it wraps, and those that it came of."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__, *(arg for arg in one.args if isinstance(arg, BaseException))]


def verdict(response: Response, place: str, redaction: Redaction) -> Delivered:
    """Return the delivery if the response says that the message was accepted.

    Raises:
        DestinationGoneError: 410: nothing will be taken any more.
        RefusedMessageError: 400, 413 or 422: this message will not be taken.
        DeliveryError: Any other response than 2xx; with the time that Retry-After asks for, at most a day.

    """
    line = f"{response.status} {_phrase(response, redaction)}".rstrip()
    if response.status // 100 == 2:  # noqa: PLR2004 - the class of statuses that RFC 9110 calls successful
        return Delivered(line)
    if response.status // 100 == 3:  # noqa: PLR2004 - and redirections
        raise DeliveryError(f"{place}: {line}; redirects are not followed, set the URL that it leads to")
    said = f"{place}: {line}{_excerpt(response, redaction)}"
    if response.status == HTTPStatus.GONE:
        raise DestinationGoneError(said)
    if response.status in _OF_THE_MESSAGE:
        raise RefusedMessageError(said)
    raise DeliveryError(said, _retry_after(response.headers.get("retry-after", "")))


def _phrase(response: Response, redaction: Redaction) -> str:
    with suppress(ValueError):
        return HTTPStatus(response.status).phrase
    return cut(redaction.clean(response.reason), 60)


def _excerpt(response: Response, redaction: Redaction) -> str:
    """Return the beginning of the response's body, if it is for people."""
    body = response.body.decode(errors="replace").strip()
    if not body or body.startswith("<") or "\0" in body:
        return ""
    return f": {cut(redaction.clean(body[: _EXCERPT * 4]), _EXCERPT)}"


def _retry_after(value: str) -> float | None:
    """Return how many seconds a server asks for; it gives them, or a date."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:10]), _LONGEST_WAIT_S))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), _LONGEST_WAIT_S)
