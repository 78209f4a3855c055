"""How couriers go on after failures, each in its own way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from fleet_health.notify.couriers.evaluated import Evaluated
from fleet_health.notify.couriers.heartbeat import HeartbeatCourier
from fleet_health.notify.couriers.level import LevelCourier
from fleet_health.notify.couriers.messages import MessageCourier
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.ledger.ledger import Ledger
from fleet_health.notify.message import Kind
from fleet_health.notify.reconcile import Queue, Recipient, changes, notification
from fleet_health.notify.retry import LAST_WAIT_S, Retry, SystemClock
from fleet_health.notify.worker import Worker
from tests.notify.test_ledger import NOON, SILENT
from tests.rig.destinations import Level, configured
from tests.rig.patience import Patience

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.notify.couriers.courier import Courier
    from fleet_health.notify.documents import Incident
    from fleet_health.notify.message import Message


@dataclass
class ManualClock:
    """A clock that stands still until a test moves it."""

    at_s: float = 1_000.0

    def now(self) -> int:
        """Return the present."""
        return NOON

    def monotonic(self) -> float:
        """Return seconds."""
        return self.at_s


def test_waits_double_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    """Each wait is between three and five quarters of the backoff, so that not all destinations are tried at once."""
    clock = ManualClock()
    least, most = Retry(clock, lambda: 0.0), Retry(clock, lambda: 1.0)
    waits = [(least.fail(), most.fail()) for _ in range(12)]
    least.succeed()

    assert waits[0] == (0.75, 1.25)
    assert waits[3] == (6.0, 10.0)
    assert waits[-1] == (0.75 * LAST_WAIT_S, 1.25 * LAST_WAIT_S)
    assert (least.wait_s, most.wait_s) == (0.0, 1.25 * LAST_WAIT_S)


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.75), (120.0, 120.0), (1e9, 86_400.0)])
def test_a_destination_may_ask_for_more_time(asked: float, waited: float) -> None:
    """What a destination asks for counts if it is longer than the backoff, up to a day."""
    clock = ManualClock()
    retry = Retry(clock, lambda: 0.0)
    retry.fail(asked)
    clock.at_s += 0.5

    assert retry.wait_s == waited - 0.5


@dataclass
class Faulty:
    """A destination whose code fails in ways that nobody foresaw, and then works."""

    takes_groups: ClassVar[bool] = False
    errors: list[Exception] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def send(self, message: Message) -> Delivered:
        """Fail, or take a message."""
        self.taken.append(message.key)
        if self.errors:
            raise self.errors.pop(0)
        return Delivered("taken")

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Pulse:
    """A heartbeat that fails the first time."""

    pings: list[tuple[str, bool]] = field(default_factory=list)

    def ping(self, summary: str, *, is_well: bool) -> Delivered:
        """Fail once, then take it."""
        self.pings.append((summary, is_well))
        if len(self.pings) == 1:
            raise DeliveryError("away", retry_after_s=0.0)
        return Delivered("taken")

    def close(self) -> None:
        """Do nothing."""


async def until(courier: Courier, is_done: object) -> None:
    """Run a courier until something is so."""
    running, patience = asyncio.create_task(courier.run()), Patience()
    while not is_done():  # type: ignore[operator]
        assert patience.is_left
        await asyncio.sleep(0.01)
    courier.end()
    await running


def opened(directory: Path) -> Ledger:
    """Open a ledger that knows the destination."""
    ledger = Ledger(directory)
    ledger.open()
    ledger.meet({"it": ""}, NOON)
    return ledger


async def test_an_error_of_a_destinations_code_is_a_failed_delivery(tmp_path: Path) -> None:
    """An unexpected error ends nothing, its text is not kept, and the same message is sent again."""
    ledger, account = opened(tmp_path), Worker("ledger")
    one = notification(SILENT, Kind.OPENING, NOON)
    ledger.outbox("it").apply([Queue(one, NOON)], NOON)
    destination = Faulty([KeyError("the secret")])
    courier = MessageCourier(
        configured("webhook", url="https://example.org"),
        outbox=ledger.outbox("it"),
        ledger_thread=account,
        build=lambda _: destination,
        clock=SystemClock(),
    )
    await until(courier, lambda: courier.last_success_at is not None and len(destination.taken) == 2)
    standing = (await account.call(ledger.standings))["it"]

    assert len(set(destination.taken)) == 1
    assert standing.last_error.startswith("unexpected error: KeyError in send, line ")
    assert "secret" not in standing.last_error


async def test_a_heartbeat_is_pinged_once_for_each_evaluation(tmp_path: Path) -> None:
    """A failed ping is repeated, and without an evaluation there is no ping."""
    ledger, account, pulse = opened(tmp_path), Worker("ledger"), Pulse()
    courier = HeartbeatCourier(
        configured("heartbeat", url="https://example.org"),
        outbox=ledger.outbox("it"),
        ledger_thread=account,
        build=lambda _: pulse,
        clock=SystemClock(),
    )
    courier.wake(Evaluated(NOON, is_well=False, summary="blind"))
    await until(courier, lambda: len(pulse.pings) == 2 and courier.last_success_at is not None)
    again = HeartbeatCourier(
        configured("heartbeat", url="https://example.org"),
        outbox=ledger.outbox("it"),
        ledger_thread=account,
        build=lambda _: pulse,
        clock=SystemClock(),
    )
    again.wake(Evaluated(None, is_well=True, summary="nothing known"))
    again.wake(Evaluated(NOON + 1, is_well=True, summary="well"))
    await until(again, lambda: len(pulse.pings) == 3 and again.last_success_at is not None)

    assert pulse.pings == [("blind", False), ("blind", False), ("well", True)]


async def test_a_level_is_held_until_a_loss_and_from_the_next_alert_on(tmp_path: Path) -> None:
    """An incident ends at its loss, and stands again only after another alert."""
    ledger, account, level = opened(tmp_path), Worker("ledger"), Level()
    outbox = ledger.outbox("it")
    settings = configured("alertmanager", peers=["https://example.org"])

    async def shown(incident: Incident) -> tuple[list[Kind], list[Kind]]:
        def take() -> None:
            recipient = Recipient(settings, NOON - 1, is_level=True)
            outbox.apply(changes([incident], outbox.entries(), recipient, NOON), NOON)

        await account.call(take)
        courier = LevelCourier(
            settings, outbox=ledger.outbox("it"), ledger_thread=account, build=lambda _: level, clock=ManualClock()
        )
        courier.wake(Evaluated(NOON, is_well=True, summary="", incidents=[incident] if incident.is_standing else []))
        await until(courier, lambda: courier.last_success_at is not None)
        return [one.kind for one in level.standing], [one.kind for one in level.ended]

    lost = replace(SILENT, loss_notified_at=NOON + 1)

    assert await shown(SILENT) == ([Kind.OPENING], [])
    assert await shown(lost) == ([], [Kind.LOSS])
    assert await shown(SILENT) == ([], [Kind.LOSS])
    assert await shown(replace(SILENT, last_notified_at=NOON + 2)) == ([Kind.OPENING], [Kind.LOSS])
    assert (await account.call(ledger.standings))["it"].waiting == 0
