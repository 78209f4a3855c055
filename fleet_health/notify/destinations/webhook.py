"""`webhook`: each notification as a JSON document or a configured body, signed if there is a secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from string import Template
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote_plus

import msgspec

from fleet_health.config.destinations.webhook import BODY_FIELDS, is_json
from fleet_health.notify.destinations.by_http import Sender
from fleet_health.notify.payload import payload
from fleet_health.notify.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.destination import Delivered
    from fleet_health.notify.message import Message

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what the secrets of Standard Webhooks begin with


class Webhook:
    """Sends documents to a URL."""

    takes_groups: ClassVar[bool] = False

    def __init__(self, settings: DestinationSettings) -> None:
        self._own: Mapping[str, Any] = settings.own
        self._sender = Sender(settings)

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken.

        """
        document = payload(message)
        template, content_type = self._own["body"], self._own["content_type"]
        body = msgspec.json.encode(document) if template is None else filled(template, document, content_type).encode()
        headers = {"Content-Type": content_type, "Idempotency-Key": message.key, "webhook-id": message.key}
        secrets: tuple[str, ...] = ()
        if self._own["secret_file"] is not None:
            secret = self._sender.secret("secret_file")
            secrets = (secret, secret.removeprefix(_SECRET_PREFIX))
            headers |= signed(secret, message.key, int(time.time()), body)
        return self._sender.send(
            "POST", self._sender.url(), body, {**self._own["headers"], **headers}, secrets=secrets
        ).delivered

    def close(self) -> None:
        """Close all connections."""
        self._sender.close()


def filled(template: str, document: Mapping[str, Any], content_type: str) -> str:
    """Return a configured body with the texts of a document, escaped so that no text ends the string that it is in."""
    escape = _escape_for(content_type)
    texts = {name: escape(str(document[name] if document[name] is not None else "")) for name in BODY_FIELDS}
    return Template(template).substitute(texts)


def _escape_for(content_type: str) -> Callable[[str], str]:
    if is_json(content_type):
        return lambda text: json.dumps(text)[1:-1]
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        return quote_plus
    return str


def signed(secret: str, key: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers with the signature of a body, by Standard Webhooks 1.0.

    Args:
        secret: The secret: `whsec_`, which may be missing, and base64.
        key: The id of the message.
        at_s: The present, in seconds since 1970.
        body: The body.

    Raises:
        SecretError: The secret is not of this form.

    """
    coded = secret.removeprefix(_SECRET_PREFIX)
    try:
        octets = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if not octets:
        raise SecretError("secret_file: expected whsec_ and base64, as Standard Webhooks has it, found something else")
    digest = hmac.new(octets, b"%s.%d.%s" % (key.encode(), at_s, body), hashlib.sha256).digest()
    return {"webhook-timestamp": str(at_s), "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}


def build(settings: DestinationSettings) -> Webhook:
    """Make a destination from its settings."""
    return Webhook(settings)
