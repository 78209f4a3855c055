"""Destinations as they are configured, and messages for them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_health.config.destinations.reading import read_destinations
from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import Delivered
from fleet_health.notify.message import Kind, Message, Notification

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.errors import Problem

HOUR = 3_600 * SECOND_US
OPENED = 1_795_000_000 * SECOND_US

SILENT = Notification(
    incident="8f3a",
    kind=Kind.OPENING,
    host="pi-02",
    symptom="silent",
    detail="last upload 45 min ago",
    suggested_fix="On pi-02: start the uploader.",
    opened_at=OPENED,
    decided_at=OPENED,
)


@dataclass
class Level:
    """A destination that is sent all incidents that stand, such as Alertmanager. It keeps the latest set."""

    standing: Sequence[Notification] = ()
    ended: Sequence[Notification] = ()

    def hold(
        self,
        standing: Sequence[Notification],
        ended: Sequence[Notification],
        expires_at: int,
        *,
        is_test: bool = False,
    ) -> Delivered:
        """Take a set."""
        del expires_at, is_test
        self.standing, self.ended = standing, ended
        return Delivered("taken")

    def close(self) -> None:
        """Do nothing."""


def configured(type_: str, **keys: Any) -> DestinationSettings:
    """Return a destination of a type with the keys that are given, which must be right."""
    problems: list[Problem] = []
    settings = read_destinations([{"name": "it", "type": type_, **keys}], dict, problems)
    assert problems == []
    return settings[0]


def made(**changes: Any) -> Notification:
    """Return a notification like the opening of `silent`, with changes."""
    return dataclasses.replace(SILENT, **changes)


def over(**changes: Any) -> Notification:
    """Return its resolution, after an hour."""
    ends = {"kind": Kind.RESOLUTION, "decided_at": OPENED + 2 * HOUR, "ended_at": OPENED + HOUR}
    return made(**{**ends, "detail": "", "suggested_fix": "", **changes})


def lost(**changes: Any) -> Notification:
    """Return its loss, after a day."""
    return made(**{"kind": Kind.LOSS, "decided_at": OPENED + 24 * HOUR, **changes})


def message(*notifications: Notification, **changes: Any) -> Message:
    """Return a message, about `SILENT` if no other notification is given."""
    return Message(**{"key": "k-1", "notifications": notifications or (SILENT,), **changes})


def secret(directory: Path, name: str, content: str) -> str:
    """Write a secret into a file, and return its path as the configuration has it."""
    path = directory / name
    path.write_text(f"{content}\n")
    return str(path)
