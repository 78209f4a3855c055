"""What the types that send by HTTP have in common: the keys for the URL, the login and the proxy."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.http.client import HttpClient
from fleet_health.notify.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.http.client import Taken


class Sender:
    """Sends the requests of one destination. Secrets are read at each request."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._own: Mapping[str, Any] = settings.own
        self._timeout_s = settings.timeout_us / SECOND_US
        self._client: HttpClient | None = None

    def url(self, key: str = "url") -> str:
        """Return the value of a key, such as `url`, or the content of the file that `url_file` names."""
        return str(self._own[key]) if self._own.get(key) else self.secret(f"{key}_file")

    def secret(self, key: str) -> str:
        """Return the content of the file that a key names.

        Raises:
            SecretError: It cannot be read.

        """
        return read_secret(self._own[key], key)

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, secrets: tuple[str, ...] = ()
    ) -> Taken:
        """Send a request, with the login that is configured.

        Raises:
            DeliveryError: It was not taken.

        """
        login, of_login = self._login()
        if self._client is None:
            proxy = self.secret("proxy_file") if self._own["proxy_file"] else self._own["proxy"]
            self._client = HttpClient(self._timeout_s, ca_file=self._own["ca_file"], proxy=proxy)
        return self._client.request(method, url, body=body, headers={**headers, **login}, secrets=secrets + of_login)

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()

    def _login(self) -> tuple[dict[str, str], tuple[str, ...]]:
        if self._own.get("token_file"):
            token = self.secret("token_file")
            return {"Authorization": f"Bearer {token}"}, (token,)
        if self._own.get("password_file"):
            password = self.secret("password_file")
            login = f"{self._own['username']}:{password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}, (password, login.decode())
        return {}, ()
