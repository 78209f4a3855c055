"""Whatever happens in between, each destination gets each opening and each resolution once, or again with its key."""

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
from fleet_health.notify.ledger import Ledger
from fleet_health.notify.message import Kind, Message
from fleet_health.notify.reconcile import Recipient, changes
from tests.rig.destinations import configured
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def change(self, host: str) -> None:
        """Open an incident of a host, or end the one that stands."""
        if (one := self.stands.pop(host, None)) is not None:
            self.ended.append(replace(one, ended_at=self.now, resolved_at=self.now))
        else:
            self.stands[host] = Incident(f"{host}{self.now}", host, "silent", "", "", self.now, self.now, self.now)

    def repeat(self, host: str) -> None:
        """Notify what stands of a host once more."""
        if (one := self.stands.get(host)) is not None:
            self.stands[host] = replace(one, last_notified_at=self.now)

    def look(self) -> None:
        """Take in what the daemon lists."""
        listed = self.ledger.take([*self.stands.values(), *self.ended], self.now)
        since = self.ledger.standings()["it"].since
        found = changes(listed, self.ledger.entries("it"), Recipient(self.settings, since), self.now)
        self.ledger.apply("it", found, self.now)
        assert changes(listed, self.ledger.entries("it"), Recipient(self.settings, since), self.now) == []

    def send(self, outcome: str) -> bool:
        """Send the next message; return whether there was one."""
        message = self.ledger.unfinished("it")
        if message is None:
            turn = next_turn(self.ledger.waiting("it"), (), self.settings, self.now, takes_groups=self.takes_groups)
            if turn.message is None:
                return False
            message = turn.message
            self.ledger.begin("it", message, self.now)
        if outcome in {"taken", "taken, answer lost", "taken, then killed"}:
            self.taken.append(message)
        if outcome == "taken":
            self.ledger.note_delivered("it", message, Delivered("200"), self.now)
        elif outcome == "refused for now":
            self.ledger.note_failed("it", message, "500", self.now, is_answer_lost=False)
        elif outcome in {"taken, answer lost", "not taken, answer lost"}:
            self.lost[message.key] += 1
            self.ledger.note_failed("it", message, "reset", self.now, is_answer_lost=True)
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


OUTCOMES = ("taken", "refused for now", "taken, answer lost", "not taken, answer lost", "taken, then killed")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["change", "change", "look", "look", "repeat", "kill", "killed before it was sent", *OUTCOMES]),
        st.sampled_from(HOSTS),
    ),
    max_size=40,
)


def told(world: World) -> Iterator[tuple[str, Notification]]:
    """Return what was taken, each message once, with its key."""
    for key, message in {one.key: one for one in world.taken}.items():
        for one in message.notifications:
            yield key, one


LOST_THEN_REFUSED = [("change", "a"), ("look", "a"), ("taken, answer lost", "a"), ("refused for now", "a")]


@tried(80)
@example([*LOST_THEN_REFUSED, ("change", "a")], False)  # noqa: FBT003
@example([*LOST_THEN_REFUSED[:2], ("taken, then killed", "a"), ("refused for now", "a"), ("change", "a")], True)  # noqa: FBT003
@given(STEPS, st.booleans())
def test_each_opening_and_each_resolution_arrives_once(steps: list[tuple[str, str]], takes_groups: bool) -> None:  # noqa: FBT001
    """Twice only with the same key, and only as often as its answer was lost."""
    with TemporaryDirectory() as directory:
        world = World(Path(directory), takes_groups)
        for what, host in steps:
            world.step(what, host)
        world.settle()
        world.ledger.close()

        openings, resolutions = Counter[str](), Counter[str]()
        for _, one in told(world):
            openings[one.incident] += one.kind is Kind.OPENING or one.is_unannounced
            resolutions[one.incident] += one.kind is Kind.RESOLUTION
        assert set(openings) == {one.id for one in (*world.stands.values(), *world.ended)}
        assert set(openings.values()) <= {1}
        assert {name: count for name, count in resolutions.items() if count} == {one.id: 1 for one in world.ended}
        again = Counter(one.key for one in world.taken)
        assert all(count <= 1 + world.lost[key] for key, count in again.items())
        order = [(one.incident, one.kind) for message in world.taken for one in message.notifications]
        for incident, kind in order:
            if kind is Kind.RESOLUTION and (incident, Kind.OPENING) in order:
                assert order.index((incident, Kind.OPENING)) < order.index((incident, kind))
