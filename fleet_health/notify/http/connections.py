"""Connections of one destination, directly or through a proxy, which another thread can shut down."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from threading import local
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass
from weakref import WeakSet

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers

from fleet_health.notify.destination import DeliveryError
from fleet_health.notify.http.url import is_url, login
from fleet_health.notify.tls import tls_context

if TYPE_CHECKING:
    import ssl
    from pathlib import Path
    from urllib.parse import SplitResult

    from urllib3.response import HTTPResponse

    from fleet_health.notify.http.response import Response

NO_PROXY = "none"
"""The value of `proxy` that makes a destination ignore the environment's."""

_IDLE_S = 30.0


class Exchange:
    """A request under way.

    Attributes:
        is_sent: Whether the whole request was sent.
        response: The response, without its body at first; None before its status has come.

    """

    is_sent = False
    response: Response | None = None


class Connections:
    """Opens connections, and keeps them for the next request."""

    def __init__(self, *, ca_file: Path | None, proxy: str | None) -> None:
        """Take the file with the trusted authorities, and the proxy; see `HttpClient`."""
        self._ca_file = ca_file
        self._proxy = proxy
        self._managers: dict[str | None, PoolManager] = {}
        self._opened: WeakSet[HTTPConnection] = WeakSet()
        self._used_at = time.monotonic()

    def manager(self, parts: SplitResult) -> PoolManager:
        """Return the urllib3 manager whose connections lead to a URL.

        Raises:
            DeliveryError: The proxy or the file with the authorities cannot be used.

        """
        if time.monotonic() - self._used_at > _IDLE_S:  # a router may have dropped the connection meanwhile
            self.close()
        proxy = self._proxy_for(parts)
        if proxy not in self._managers:
            context = tls_context(None if self._ca_file is None else str(self._ca_file))
            manager = PoolManager(ssl_context=context) if proxy is None else _through(proxy, context)
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
            self._managers[proxy] = manager
        return self._managers[proxy]

    def begin(self, exchange: Exchange) -> None:
        """Let the requests of this thread open connections here, and record in the exchange that they were sent."""
        _here.opened, _here.exchange = self._opened, exchange

    def note_used(self) -> None:
        """Record that a request has ended."""
        self._used_at = time.monotonic()

    def shut_down(self) -> None:
        """End every request, in whatever thread it is."""
        for connection in tuple(self._opened):
            # An SSLSocket's own method would take away what another thread reads with.
            if isinstance(connection.sock, socket.socket):
                with suppress(OSError):
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()
        self._opened.clear()

    def _proxy_for(self, parts: SplitResult) -> str | None:
        if self._proxy is not None:
            return None if self._proxy == NO_PROXY else self._proxy
        proxies = getproxies_environment()
        if proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"


_here = local()
"""The connections and the exchange of this thread: urllib3 has no argument for them."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        _here.opened.add(self)
        super().connect()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        _here.exchange.is_sent = True
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
    user = login(urlsplit(proxy))
    headers = None if user is None else make_headers(proxy_basic_auth=user)
    return ProxyManager(proxy, proxy_headers=headers, ssl_context=context, proxy_ssl_context=context)
