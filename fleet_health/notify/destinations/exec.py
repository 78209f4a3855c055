"""`exec`: a command for each notification, which reads its JSON document from stdin. There is no shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.payload import payload
from fleet_health.notify.processes import run
from fleet_health.notify.wording import cut

if TYPE_CHECKING:
    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.message import Message

_LINE_LIMIT = 200


class Command:
    """Starts a command for each message."""

    takes_groups: ClassVar[bool] = False

    def __init__(self, settings: DestinationSettings) -> None:
        self._command: tuple[str, ...] = settings.own["command"]
        self._timeout_s = settings.timeout_us / SECOND_US

    def send(self, message: Message) -> Delivered:
        """Deliver a message.

        Raises:
            DeliveryError: The command could not be started, did not end in time, or ended with a status other than 0.

        """
        finished = run(self._command, msgspec.json.encode(payload(message)) + b"\n", self._timeout_s)
        how = f"exit status {finished.status}" if finished.status >= 0 else f"killed by signal {-finished.status}"
        said = f"{how}: {cut(finished.line, _LINE_LIMIT)}" if finished.line else how
        if finished.status != 0:
            raise DeliveryError(f"{self._command[0]}: {said}")
        return Delivered(said)

    def close(self) -> None:
        """Do nothing: no command is left after its message."""


def build(settings: DestinationSettings) -> Command:
    """Make a destination from its settings."""
    return Command(settings)
