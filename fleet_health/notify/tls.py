"""Which certificates of servers are trusted."""

from __future__ import annotations

import ssl
from functools import lru_cache

from fleet_health.notify.destination import DeliveryError


@lru_cache(maxsize=8)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS settings for a file of authorities; the same object each time, because each takes a megabyte."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise DeliveryError(f"ca_file {ca_file}: expected certificates in PEM, found something else") from None
    except OSError as error:
        raise DeliveryError(f"ca_file {ca_file}: {(error.strerror or 'not readable').lower()}") from None
