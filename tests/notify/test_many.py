"""A whole fleet goes down at one evaluation: a person gets one message, Alertmanager the set, a program each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from fleet_health.api.requests import Request, Response
from fleet_health.api.server import ControlSocket
from fleet_health.config.loading import load
from fleet_health.model.instant import isoformat
from fleet_health.notify.destination import Delivered
from fleet_health.notify.service import Notifier
from tests.rig.destinations import Level
from tests.rig.inbox import destinations
from tests.rig.patience import Patience

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.config.destinations.reading import DestinationSettings
    from fleet_health.notify.destination import AnyDestination
    from fleet_health.notify.message import Message

COUNT = 1_000


@dataclass
class Taker:
    """A destination that takes every message.

    Attributes:
        messages: The messages.

    """

    takes_groups: ClassVar[bool] = False
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> Delivered:
        """Take a message."""
        self.messages.append(message)
        return Delivered("taken")

    def close(self) -> None:
        """Do nothing."""


class Person(Taker):
    """One that a person reads."""

    takes_groups: ClassVar[bool] = True


def document(count: int) -> bytes:
    """Return the list of so many incidents that were found at one evaluation."""
    at = isoformat(time.time_ns() // 1000)
    rows: list[dict[str, Any]] = [
        {
            "id": f"{number:016x}",
            "host": f"pi-{number:04}",
            "symptom": "silent",
            "state": "firing",
            "opened_wall": at,
            "first_notified_wall": at,
            "last_notified_wall": at,
            "detail": "last upload 45 min ago",
            "suggested_fix": "Look.",
        }
        for number in range(count)
    ]
    return msgspec.json.encode({"version": 1, "last_tick_wall": at, "open": rows, "ended": [], "problems": []})


async def test_a_thousand_incidents_are_one_message_for_a_person(tmp_path: Path) -> None:
    """Alertmanager gets all of them, and a program gets each of them once."""
    phone, program, alertmanager = Person(), Taker(), Level()
    made: dict[str, AnyDestination] = {"phone": phone, "program": program, "alertmanager": alertmanager}
    table = '[[destinations]]\nname = "{}"\ntype = "{}"\n{}\n'
    config = tmp_path / "config.toml"
    config.write_text(
        f'control.path = "{tmp_path}/daemon.sock"\n'
        + destinations([], tmp_path)
        + table.format("phone", "webhook", 'url = "https://example.org"')
        + table.format("program", "webhook", 'url = "https://example.org"')
        + table.format("alertmanager", "alertmanager", 'peers = ["https://example.org"]')
    )

    is_over = asyncio.Event()

    async def answer(request: Request) -> Response:
        if "if-none-match" in request.headers:
            await is_over.wait()
        return Response(200, document(COUNT), headers=(("ETag", '"1"'),))

    def build(settings: DestinationSettings) -> AnyDestination:
        return made[settings.name]

    socket = ControlSocket(answer)
    await socket.open(tmp_path / "daemon.sock")
    notifier = Notifier(lambda: load(config), build)
    running = asyncio.create_task(notifier.run())
    patience = Patience()
    while len(program.messages) < COUNT or not phone.messages or not alertmanager.standing:
        assert patience.is_left
        assert not running.done(), running.result()
        await asyncio.sleep(0.02)
    notifier.stop()
    await running
    is_over.set()
    await socket.close()

    (message,) = phone.messages
    assert len(message.notifications) == COUNT
    assert {len(one.notifications) for one in program.messages} == {1}
    assert len({one.key for one in program.messages}) == len(program.messages) == COUNT
    assert len(alertmanager.standing) == COUNT
