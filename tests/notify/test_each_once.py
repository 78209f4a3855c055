"""Whatever happens in between, each destination gets each opening, loss and resolution once, or again with its key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from hypothesis import example, given
from hypothesis import strategies as st

from fleet_health.model.instant import SECOND_US
from fleet_health.notify.destination import Delivered
from fleet_health.notify.documents import Incident
from fleet_health.notify.grouping import next_turn
from fleet_health.notify.ledger.ledger import Ledger
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.reconcile import Recipient, changes
from tests.rig.destinations import configured
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fleet_health.notify.ledger.outbox import Outbox
    from fleet_health.notify.message import Notification

MINUTE = 60 * SECOND_US
NOON = 1_795_435_200 * SECOND_US
HOSTS = ("a", "b", "c")


@dataclass
class World:
    """A daemon, a ledger, and a destination that keeps what it takes.

    Attributes:
        directory: Where the ledger is.
        takes_groups: Whether the destination takes several incidents at once.

    """

    directory: Path
    takes_groups: bool
    now: int = NOON
    stands: dict[str, Incident] = field(default_factory=dict)
    ended: list[Incident] = field(default_factory=list)
    taken: list[Message] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    names: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        self.settings = configured("webhook", url="https://example.org")
        self.ledger = self._opened()

    def _opened(self) -> Ledger:
        ledger = Ledger(self.directory)
        ledger.open()
        ledger.meet({"it": ""}, self.now)
        return ledger

    @property
    def outbox(self) -> Outbox:
        """What the ledger has of the destination."""
        return self.ledger.outbox("it")

    def change(self, host: str) -> None:
        """Open an incident of a host, or end the one that stands."""
        if (one := self.stands.pop(host, None)) is not None:
            self.ended.append(replace(one, ended_at=self.now, resolved_at=self.now))
        else:
            self.stands[host] = Incident(f"{host}{self.now}", host, "silent", "", "", self.now, self.now, self.now)

    def repeat(self, host: str) -> None:
        """Notify what stands of a host once more."""
        if (one := self.stands.get(host)) is not None:
            self.stands[host] = replace(one, last_notified_at=self.now, loss_notified_at=None)

    def lose(self, host: str) -> None:
        """Report that a host is lost, if an incident of it stands."""
        if (one := self.stands.get(host)) is not None and one.is_standing:
            self.stands[host] = replace(one, loss_notified_at=self.now)

    def drop(self, host: str) -> None:
        """Drop an incident whose host is lost, after which the daemon notifies nothing more about it."""
        if (one := self.stands.get(host)) is not None and not one.is_standing:
            self.ended.append(replace(self.stands.pop(host), ended_at=self.now))

    def look(self) -> None:
        """Take in what the daemon lists."""
        listed = self.ledger.incidents.take([*self.stands.values(), *self.ended], self.now)
        since = self.ledger.standings()["it"].since
        found = changes(listed, self.outbox.entries(), Recipient(self.settings, since), self.now)
        self.outbox.apply(found, self.now)
        assert changes(listed, self.outbox.entries(), Recipient(self.settings, since), self.now) == []

    def send(self, outcome: str) -> bool:
        """Send the next message; return whether there was one."""
        message = self.outbox.unfinished()
        if message is None:
            turn = next_turn(self.outbox.waiting(), (), self.settings, self.now, takes_groups=self.takes_groups)
            if turn.message is None:
                return False
            message = turn.message
            self.outbox.begin(message, self.now)
        if outcome in {"taken", "taken, response lost", "taken, then killed"}:
            self.taken.append(message)
        if outcome == "taken":
            self.outbox.note_delivered(message, Delivered("200"), self.now)
        elif outcome == "refused for now":
            self.outbox.note_failed(message, "500", self.now, is_response_lost=False)
        elif outcome in {"taken, response lost", "not taken, response lost"}:
            self.lost[message.key] += 1
            self.outbox.note_failed(message, "reset", self.now, is_response_lost=True)
        else:
            self.lost[message.key] += 1
            self.kill()
        return True

    def kill(self) -> None:
        """Kill the process: what it has recorded is all that is left."""
        self.ledger.close()
        self.ledger = self._opened()

    def step(self, what: str, host: str) -> None:
        """Let something happen."""
        self.now += MINUTE
        match what:
            case "change":
                self.change(host)
            case "repeat":
                self.repeat(host)
            case "lose":
                self.lose(host)
            case "drop":
                self.drop(host)
            case "look":
                self.look()
            case "kill":
                self.kill()
            case outcome:
                self.send(outcome)

    def settle(self) -> None:
        """Let everything be delivered that is still to come."""
        self.now += MINUTE
        self.look()
        while self.send("taken"):
            pass


OUTCOMES = ("taken", "refused for now", "taken, response lost", "not taken, response lost", "taken, then killed")
CHANGES = ("change", "change", "repeat", "lose", "lose", "drop")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*CHANGES, "look", "look", "kill", "killed before it was sent", *OUTCOMES]),
        st.sampled_from(HOSTS),
    ),
    max_size=40,
)


def taken_once(world: World) -> Iterator[tuple[str, Notification]]:
    """Return what was taken, each message once, with its key."""
    for key, message in {one.key: one for one in world.taken}.items():
        for one in message.notifications:
            yield key, one


def left(notifications: Sequence[Notification]) -> str:
    """Return how an incident stands for whoever reads these about it; an opening of what is open would be one twice."""
    stands = "unknown"
    for one in notifications:
        if one.kind is Kind.REPEAT:
            assert stands == "open"
            continue
        is_known = stands != "unknown"
        assert one.is_unannounced is not (is_known or one.kind is Kind.OPENING), (stands, one)
        assert stands not in {"open" if one.kind is Kind.OPENING else "over", "over"}, (stands, one)
        stands = {Kind.OPENING: "open", Kind.LOSS: "lost", Kind.RESOLUTION: "over"}[one.kind]
    return stands


def actual(incident: Incident) -> str:
    """Return how an incident stands."""
    if incident.resolved_at is not None:
        return "over"
    return "open" if incident.is_standing else "lost"


LOST_THEN_REFUSED = [("change", "a"), ("look", "a"), ("taken, response lost", "a"), ("refused for now", "a")]


@tried(80)
@example([*LOST_THEN_REFUSED, ("change", "a")], False)  # noqa: FBT003
@example([*LOST_THEN_REFUSED[:2], ("taken, then killed", "a"), ("refused for now", "a"), ("change", "a")], True)  # noqa: FBT003
@given(STEPS, st.booleans())
def test_each_opening_loss_and_resolution_arrives_once(steps: list[tuple[str, str]], takes_groups: bool) -> None:  # noqa: FBT001
    """A message arrives again only with the same key, and only as often as its response was lost."""
    with TemporaryDirectory() as directory:
        world = World(Path(directory), takes_groups)
        for what, host in steps:
            world.step(what, host)
        world.settle()
        world.ledger.close()

        by_incident: dict[str, list[Notification]] = {}
        for _, one in taken_once(world):
            by_incident.setdefault(one.incident, []).append(one)
        expected = {one.id: actual(one) for one in (*world.stands.values(), *world.ended)}
        assert {name: left(notifications) for name, notifications in by_incident.items()} == expected
        again = Counter(one.key for one in world.taken)
        assert all(count <= 1 + world.lost[key] for key, count in again.items())
