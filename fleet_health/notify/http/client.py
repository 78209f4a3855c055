"""HTTP requests of destinations: one at a time, within a time and a size, and without following redirects.

urllib3 speaks HTTP and TLS; this module decides what it may do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from urllib3 import Timeout
from urllib3.util import make_headers

from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.http.connections import Connections, Exchange
from fleet_health.notify.http.failures import FAILURES, in_words
from fleet_health.notify.http.response import Response, verdict
from fleet_health.notify.http.url import is_url, login, redacted
from fleet_health.notify.secrets import Redaction
from fleet_health.notify.time_limit import GRACE_S, TimeLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from urllib3 import PoolManager

# It logs whole URLs, when it cannot read a header for one.
logging.getLogger("urllib3").propagate = False

RESPONSE_LIMIT = 65_536
"""How many bytes of the body of a response are read."""

_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was taken.

    Attributes:
        delivered: For the history.
        response: The response.

    """

    delivered: Delivered
    response: Response


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
        self._connections = Connections(ca_file=ca_file, proxy=proxy)

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

        Raises:
            DeliveryError: It was not taken, or not for certain.

        """
        if not is_url(url):
            raise DeliveryError("expected an absolute URL of http or https, found something else")
        parts = urlsplit(url)
        of_url = (one for one in (parts.path.strip("/"), parts.query) if len(one) >= _SHORTEST_SECRET)
        redaction = Redaction([*secrets, *of_url, unquote(parts.password or "")])
        user = login(parts)
        by_url = {} if user is None else {"Authorization": make_headers(basic_auth=user)["authorization"]}
        request = _Request(method, url, body, {"User-Agent": "fleet-health", **by_url, **(headers or {})})
        response = self._exchange(request)
        return Taken(verdict(response, redacted(url), redaction), response)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _exchange(self, request: _Request) -> Response:
        """Send a request; return the response, even if not all of its body came in time."""
        place, exchange = redacted(request.url), Exchange()
        try:
            manager = self._connections.manager(urlsplit(request.url))
            self._limit.call(lambda: self._send(manager, request, exchange), self._connections.shut_down)
        except TimeoutError:
            if exchange.response is None:
                self._connections.close()
                reason = f"{place}: no response within {self._limit.seconds:g} s"
                raise DeliveryError(reason, is_response_lost=exchange.is_sent) from None
        except FAILURES as error:
            if exchange.response is None:
                raise DeliveryError(f"{place}: {in_words(error)}", is_response_lost=exchange.is_sent) from None
        finally:
            self._connections.note_used()
        if exchange.response is None:
            raise DeliveryError(f"{place}: no response")
        return exchange.response

    def _send(self, manager: PoolManager, request: _Request, exchange: Exchange) -> None:
        self._connections.begin(exchange)
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
        headers = {name.lower(): value for name, value in response.headers.items()}
        exchange.response = Response(response.status, response.reason or "", headers, b"")
        content = response.read(RESPONSE_LIMIT + 1)
        exchange.response = Response(response.status, response.reason or "", headers, content[:RESPONSE_LIMIT])
        if len(content) > RESPONSE_LIMIT:
            response.close()
        else:
            response.release_conn()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes
    headers: Mapping[str, str]
