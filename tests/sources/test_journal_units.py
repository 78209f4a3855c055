"""The units of a receiver: real journal files, followed while they grow, and read at once."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.model.observation import UnitState
from fleet_health.sources.journal.once import read_journal, read_messages
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings

NOW = 1_795_000_000_000_000
LOOKBACK_US = 60_000_000
STARTED, STOPPED, NOT_STARTED = (
    *("39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286", "be02cf6855d2428ba40df7e9d022f03d"),
)


class Rig:
    """A journal, with a follower that has been there from its begin."""

    def __init__(self, directory: Path, *units: str, match: tuple[str, ...] = ()) -> None:
        options: dict[str, tuple[str, Any]] = {"journal.directory": ("", str(directory))}
        if units:
            options["journal.unit"] = ("", list(units))
        if match:
            options["journal.match"] = ("", list(match))
        self.settings: JournalSettings = load(None, options).receivers[0].journal
        self._file = directory / "receiver.journal"
        self._numbers = count(NOW)
        self.seen: list[Any] = []
        self.log("noise", "other.service")
        self.follower = self.follow()

    def follow(self, *, now: int = NOW) -> JournalFollower:
        """Return another follower."""
        return JournalFollower(
            self.settings, lookback_us=LOOKBACK_US, deliver=self.seen.extend, clock=lambda: now, seen_until=None
        )

    def log(self, host: str, unit: str, **fields: Any) -> int:
        """Log a response to a host as a unit; return when."""
        at = next(self._numbers)
        with JournalFile(self._file) as file:
            file.append(f'10.0.0.7:5 - "PUT /v1/episodes/{host}/e HTTP/1.1" 201', at_us=at, unit=unit, **fields)
        return at

    def report(self, message_id: str, unit: str, **fields: Any) -> int:
        """Log a message of PID 1 about a unit; return when."""
        at = next(self._numbers)
        named: dict[str, Any] = {"_PID": 1, "UNIT": unit, "MESSAGE_ID": message_id} | fields
        with JournalFile(self._file) as file:
            file.append("in whatever words", at_us=at, unit="init.scope", **named)
        return at

    @property
    def hosts(self) -> list[str]:
        """The hosts that have been seen."""
        return [one.host for one in self.seen if not isinstance(one, UnitState)]

    @property
    def state(self) -> tuple[int, bool] | None:
        """The latest state that has been seen."""
        states = [(one.at, one.is_running) for one in self.seen if isinstance(one, UnitState)]
        return states[-1] if states else None


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The journal's directory."""
    path = tmp_path / "journal"
    path.mkdir()
    return path


async def test_a_state_is_known_by_its_id_while_it_is_followed(directory: Path) -> None:
    """The wording does not matter, and messages that are not from PID 1 do not count."""
    rig = Rig(directory, "receiver")
    await rig.follower.poll()
    stopped_at = rig.report(NOT_STARTED, "receiver.service")
    rig.report(STARTED, "receiver.service", _PID=4242)
    rig.report(STARTED, "other.service")
    rig.log("a", "receiver.service", UNIT="receiver.service", MESSAGE_ID=STARTED)
    await rig.follower.poll()
    state = rig.state
    await rig.follower.close()
    later = rig.follow(now=NOW + 10 * LOOKBACK_US)
    await later.poll()
    await later.close()

    assert (state, rig.state) == ((stopped_at, False), (stopped_at, False))
    assert rig.hosts == ["a"]


async def test_an_instance_that_is_new_is_followed_from_its_first_line(directory: Path) -> None:
    """Also what it logged before it was known, each line once and in order."""
    rig = Rig(directory, "receiver@*.service")
    rig.log("old", "receiver@1.service")
    await rig.follower.poll(is_hinted=True)
    rig.log("early", "receiver@2.service")
    rig.log("between", "receiver@1.service")
    await rig.follower.poll(is_hinted=True)
    rig.log("other", "other@2.service")
    rig.report(STARTED, "receiver@2.service")
    rig.log("late", "receiver@2.service")
    await rig.follower.poll()
    rig.log("later", "receiver@2.service")
    await rig.follower.poll(is_hinted=True)
    await rig.follower.close()

    assert sorted(rig.hosts) == ["between", "early", "late", "later", "old"]
    assert sorted(read_hosts(rig)) == sorted(rig.hosts)


def read_hosts(rig: Rig) -> Iterator[str]:
    """Read the journal at once."""
    seen: list[Any] = []
    read_journal(rig.settings, NOW, NOW + 1_000, seen.extend)
    yield from (one.host for one in seen if not isinstance(one, UnitState))
    assert len(list(read_messages(rig.settings, NOW, NOW + 1_000))) == len(rig.hosts)


async def test_an_instance_that_logs_and_was_never_reported_on_is_not_down(directory: Path) -> None:
    """Its start is no longer in the journal, so a stop of another instance proves nothing."""
    rig = Rig(directory, "receiver@*.service")
    rig.log("a", "receiver@1.service")
    rig.log("b", "receiver@2.service")
    rig.report(STOPPED, "receiver@2.service")
    await rig.follower.poll()
    assert rig.state is None
    stopped_at = rig.report(STOPPED, "receiver@1.service")
    await rig.follower.poll()
    await rig.follower.close()

    assert rig.state == (stopped_at, False)


async def test_an_instance_that_rested_is_followed_when_it_goes_on(directory: Path) -> None:
    """A running instance without lines in the lookback is known beside a busy one."""
    rig = Rig(directory, "receiver@*.service")
    for number, message_id in (1, STARTED), (2, STARTED), (3, STOPPED), (4, STARTED):
        rig.log("before", f"receiver@{number}.service")
        rig.report(message_id, f"receiver@{number}.service")
    rested_until = rig.log("busy", "receiver@1.service")
    later = rig.follow(now=rested_until + LOOKBACK_US)
    await later.poll()
    rig.log("resting", "receiver@4.service")
    await later.poll(is_hinted=True)
    await later.close()

    assert rig.hosts == ["busy", "resting"]
    assert rig.state == (NOW + 2, True)


async def test_instances_that_never_log_are_known(directory: Path) -> None:
    """Old messages of systemd about them count."""
    rig = Rig(directory, "receiver@*.service")
    rig.report(STARTED, "receiver@1.service")
    started_at = rig.report(STARTED, "receiver@2.service")
    stopped_at = rig.report(STOPPED, "receiver@1.service")
    rig.report(STARTED, "receiver@3.service", _PID=4242)
    later = rig.follow(now=stopped_at + LOOKBACK_US)
    await later.poll()
    await later.close()

    assert rig.state == (started_at, True)


async def test_the_lines_of_a_slice_are_those_of_its_units(directory: Path) -> None:
    """As with `journalctl --unit=`, beside lines of other units."""
    rig = Rig(directory, "lab.slice", "extra.service")
    rig.log("within", "a.service", _SYSTEMD_SLICE="lab.slice")
    rig.log("beside", "extra.service", _SYSTEMD_SLICE="system.slice")
    rig.log("elsewhere", "b.service", _SYSTEMD_SLICE="system.slice")
    await rig.follower.poll()
    await rig.follower.close()

    assert rig.hosts == ["within", "beside"]


async def test_fields_select_the_lines(directory: Path) -> None:
    """Those of the unit that have all fields of one alternative."""
    rig = Rig(directory, "docker", match=("CONTAINER_NAME=a", "X=1", "X=2", "+", "CONTAINER_NAME=b"))
    rig.log("a1", "docker.service", CONTAINER_NAME="a", X=1)
    rig.log("a2", "docker.service", CONTAINER_NAME="a", X=2)
    rig.log("a3", "docker.service", CONTAINER_NAME="a", X=3)
    rig.log("b", "docker.service", CONTAINER_NAME="b")
    rig.log("forged", "other.service", CONTAINER_NAME="b")
    rig.log("none", "docker.service")
    at = rig.report(STARTED, "docker.service", CONTAINER_NAME="c")
    await rig.follower.poll()
    await rig.follower.close()

    assert (rig.hosts, rig.state) == (["a1", "a2", "b"], (at, True))


async def test_fields_alone_select_the_lines(directory: Path) -> None:
    """The default unit does not apply then; a unit among the fields is the one whose state counts."""
    rig = Rig(directory, match=("CONTAINER_NAME=a", "_SYSTEMD_UNIT=docker.service"))
    rig.log("a", "docker.service", CONTAINER_NAME="a")
    rig.log("forged", "other.service", CONTAINER_NAME="a")
    rig.log("default", "cis490-receiver.service")
    at = rig.report(STOPPED, "docker.service")
    await rig.follower.poll()
    await rig.follower.close()

    assert (rig.hosts, rig.state) == (["a"], (at, False))


UNITS = ("receiver@1.service", "receiver@2.service", "receiver.socket")
REPORTS = st.lists(
    st.tuples(
        st.sampled_from((STARTED, STOPPED, NOT_STARTED)), st.sampled_from(UNITS), st.sampled_from(("", "i", "j"))
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=10, deadline=None)
@given(reports=REPORTS, place=st.integers(0, 12))
async def test_the_state_is_the_same_live_and_after_a_restart(
    reports: list[tuple[str, str, str]], place: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is reported, and wherever a restart begins to read."""
    rig = Rig(tmp_path_factory.mktemp("journal"), *UNITS[:2])
    for message_id, unit, invocation in reports:
        rig.report(message_id, unit, INVOCATION_ID=invocation)
        await rig.follower.poll()
    await rig.follower.close()
    live, rig.seen = rig.state, []
    later = rig.follow(now=NOW + place + LOOKBACK_US)
    await later.poll()
    await later.close()

    assert rig.state == live


@pytest.mark.parametrize(
    ("logged", "unheard"),
    [
        ([{}, {"CONTAINER_NAME": "up"}], []),
        ([{}], ["no entry of the journal of receiver.service has CONTAINER_NAME=up; check `journal.match`"]),
        (
            [{"unit": "x.service"}],
            ["receiver.service: the journal has no entry of it; check `journal.unit`, or run `fleet-health setup`"],
        ),
    ],
)
async def test_what_the_journal_has_no_entry_of_is_said_of_each_unit_and_match(
    logged: list[dict[str, str]], unheard: list[str], directory: Path
) -> None:
    """If there is no entry of any unit, whether the rest matches is not known."""
    rig = Rig(directory, "receiver.service", match=("CONTAINER_NAME=up",))
    for fields in logged:
        rig.log("a", **({"unit": "receiver.service"} | fields))
    await rig.follower.poll()
    await rig.follower.close()

    assert list(rig.follower.state.unheard) == unheard
