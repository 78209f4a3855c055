"""`ntfy`: notifications on phones and desktops, one for each incident, updated while it goes on.

It publishes as JSON: https://docs.ntfy.sh/publish/#publish-as-json. A message updates the notification
with the same sequence id; a server that knows no such ids shows another notification.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import msgspec

from fleet_health.config.destinations.ntfy import topic_name
from fleet_health.notify import wording
from fleet_health.notify.destination import Delivered
from fleet_health.notify.destinations.by_http import Sender
from fleet_health.notify.message import Kind
from fleet_health.notify.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.message import Message, Notification

LIMIT = 4_096
"""How many bytes a message may have. A server makes a longer one a file, which has to be opened."""

_PRIORITY_OVER = 2
_EMOJIS = {
    Kind.OPENING: "warning",
    Kind.REPEAT: "hourglass_flowing_sand",
    Kind.LOSS: "question",
    Kind.RESOLUTION: "white_check_mark",
}
_UNKNOWN_SYMPTOM = 3


class _Published(msgspec.Struct):
    """The keys of the response that are read."""

    id: str = ""


class Ntfy:
    """Publishes to a topic."""

    takes_groups: ClassVar[bool] = True

    def __init__(self, settings: DestinationSettings) -> None:
        self._own: Mapping[str, Any] = settings.own
        self._sender = Sender(settings)

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: It was not taken.

        """
        topic = self._topic()
        document: dict[str, Any] = {
            "topic": topic,
            "title": wording.subject(message),
            "message": wording.text(message, LIMIT),
            "priority": max(map(self._priority, message.notifications)),
            "tags": _tags(message),
            "sequence_id": sequence_id(message),
        }
        if self._own["page_url"] is not None:
            document["click"] = self._page(message)
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(document)
        taken = self._sender.send("POST", self._own["server"], body, headers, secrets=(topic,))
        try:
            reference = msgspec.json.decode(taken.response.body, type=_Published).id
        except msgspec.MsgspecError:
            reference = ""
        return Delivered(taken.delivered.response, wording.cut(reference, 64))

    def close(self) -> None:
        """Close all connections."""
        self._sender.close()

    def _topic(self) -> str:
        if self._own["topic"] is not None:
            return str(self._own["topic"])
        try:
            return topic_name(self._sender.secret("topic_file"))
        except ValueError as error:
            raise SecretError(f"topic_file: expected {error}, found something else") from None

    def _priority(self, one: Notification) -> int:
        if one.kind is Kind.RESOLUTION:
            return _PRIORITY_OVER
        priority: int = self._own["priorities"].get(one.symptom, _UNKNOWN_SYMPTOM)
        return priority if one.kind is Kind.OPENING else max(1, priority - 1)

    def _page(self, message: Message) -> str:
        url: str = self._own["page_url"].rstrip("/")
        hosts = {one.host for one in message.notifications}
        return f"{url}/hosts/{quote(hosts.pop(), safe='')}" if len(hosts) == 1 else f"{url}/"


def sequence_id(message: Message) -> str:
    """Return the id of the notification: the same for all messages about the same incidents."""
    incidents = sorted({one.incident for one in message.notifications})
    mark = "test" if message.is_test else ""
    return hashlib.sha256("\n".join([mark, *incidents]).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _tags(message: Message) -> list[str]:
    """Return the short name of an emoji, and the symptoms."""
    kind = min((one.kind for one in message.notifications), key=lambda kind: kind.rank)
    emoji = "test_tube" if message.is_test else _EMOJIS[kind]
    return [emoji, *sorted({wording.symptom_of(one) for one in message.notifications})]


def build(settings: DestinationSettings) -> Ntfy:
    """Make a destination from its settings."""
    return Ntfy(settings)
