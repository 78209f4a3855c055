"""`heartbeat`: a URL that is pinged after each evaluation, such as that of a check at healthchecks.io."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from fleet_health.errors import printable
from fleet_health.notify.destinations.by_http import Sender
from fleet_health.notify.wording import cut

if TYPE_CHECKING:
    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.destination import Delivered

_SUMMARY_LIMIT = 10_000
"""How many bytes of a ping healthchecks.io keeps by default."""


class HeartbeatUrl:
    """Pings a URL, and another one while the daemon is blind or failing."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._sender = Sender(settings)
        self._has_fail_url = settings.own["fail_url_file"] is not None

    def ping(self, summary: str, *, is_well: bool) -> Delivered:
        """Report that the daemon has evaluated.

        Args:
            summary: One line: the problems of the daemon, or how many incidents stand.
            is_well: Whether the daemon was neither blind nor failing.

        Raises:
            DeliveryError: It was not taken.

        """
        url = self._sender.url() if is_well else self._fail_url()
        body = cut(printable(summary), _SUMMARY_LIMIT).encode()
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return self._sender.send("POST", url, body, headers).delivered

    def close(self) -> None:
        """Close all connections."""
        self._sender.close()

    def _fail_url(self) -> str:
        return self._sender.secret("fail_url_file") if self._has_fail_url else failing(self._sender.url())


def failing(url: str) -> str:
    """Return a URL with `/fail` at the end of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def build(settings: DestinationSettings) -> HeartbeatUrl:
    """Make a destination from its settings."""
    return HeartbeatUrl(settings)
