"""Journals of several machines in one directory: each is read on its own, whatever the others' timestamps are."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.errors import SourceFailing, SourceRefused
from fleet_health.model.coverage import LEFT_OUT, REMOVED, Gap, Share
from fleet_health.model.observation import UnitState
from fleet_health.model.traffic import Traffic
from fleet_health.sources.journal import machines
from fleet_health.sources.journal.machines import MachineFiles
from fleet_health.sources.journal.once import read_journal, read_messages
from fleet_health.sources.journal.samples import sample_lines
from fleet_health.sources.journal.source import JournalFollower
from fleet_health.sources.state import Phase
from tests.rig.descriptors import open_descriptors
from tests.rig.journal_files import make_unknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from tests.conftest import AsyncEventually, Following

NOW = 1_795_000_000_000_000
SECOND = 1_000_000
LOOKBACK_US = 3_600 * SECOND
MACHINES = {name: name * 32 for name in "abc"}
UNIT = "cis490-receiver.service"
STARTED, STOPPED = "39f53479d3a045ac8e11786248231fbf", "9d1aaa27d60140bd96365438aad20286"


def access(host: str, status: int = 201) -> str:
    """Make an access line."""
    return f'10.0.0.7:5 - "PUT /v1/episodes/{host}/e HTTP/1.1" {status}'


class Rig:
    """A directory of journals, with a follower of it."""

    def __init__(self, directory: Path, *, seen_until: Instant | None = None) -> None:
        self.directory = directory
        self.settings: JournalSettings = load(None, {"journal.directory": ("", str(directory))}).receivers[0].journal
        self.seen: list[Any] = []
        self.follower = JournalFollower(
            self.settings,
            lookback_us=LOOKBACK_US,
            deliver=self.seen.extend,
            clock=lambda: NOW + LOOKBACK_US // 2,
            seen_until=seen_until,
        )

    def log(self, machine: str, *entries: tuple[str, float], status: int = 201, place: str = "") -> None:
        """Log responses to hosts on a machine: each a host, and when, in seconds."""
        with JournalFile(self._file(machine, place), machine=MACHINES[machine]) as file:
            for host, at in entries:
                file.append(access(host, status), at_us=NOW + int(at * SECOND))

    def report(self, machine: str, message_id: str, at: float) -> None:
        """Log a message of a machine's PID 1 about the receiver's unit."""
        with JournalFile(self._file(machine, ""), machine=MACHINES[machine]) as file:
            fields: dict[str, Any] = {"_PID": 1, "UNIT": UNIT, "MESSAGE_ID": message_id}
            file.append("in whatever words", at_us=NOW + int(at * SECOND), unit="init.scope", **fields)

    def rotate(self, machine: str) -> Path:
        """Set a machine's file aside; return what it is called then."""
        number = len(list(self.directory.iterdir()))
        return self._file(machine, "").rename(self.directory / f"remote-{machine}@{number}.journal")

    def _file(self, machine: str, place: str) -> Path:
        return self.directory / place / f"remote-{machine}.journal"

    async def look(self, *, is_hinted: bool = False) -> list[str]:
        """Read to the present end; return the hosts that are new."""
        before = len(self.seen)
        await self.follower.poll(is_hinted=is_hinted)
        assert self.follower.state.phase is Phase.FOLLOWING
        return sorted(one.host for one in self.seen[before:] if not isinstance(one, UnitState))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A rig with an empty directory."""
    directory = tmp_path / "journal"
    directory.mkdir()
    return Rig(directory)


def test_a_file_is_of_the_machine_that_its_entries_name(rig: Rig) -> None:
    """Not of the machine in its header, which is the one that collected it."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 0))
    old = rig.rotate("a")
    rig.log("a", ("a2", 1))
    files = {name: rig.directory / f"remote-{name}.journal" for name in "ab"}
    machine_id_in_header = slice(40, 56)  # https://systemd.io/JOURNAL_FILE_FORMAT, as file_id and before boot_id

    found = MachineFiles(rig.settings).look()

    paths = {machine: [file.path for file in of_machine or ()] for machine, of_machine in found.items()}
    assert paths == {MACHINES["a"]: sorted((files["a"], old)), MACHINES["b"]: [files["b"]]}
    assert len({file.read_bytes()[machine_id_in_header] for file in files.values()}) == 1


@pytest.mark.parametrize("is_hinted", [True, False], ids=["hinted", "not hinted"])
async def test_late_entries_of_each_machine_are_read(rig: Rig, *, is_hinted: bool) -> None:
    """Even if they are older than what was read of any machine; each once."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 100))
    seen = [await rig.look()]
    rig.log("a", ("a2", 50))
    seen.append(await rig.look(is_hinted=is_hinted))
    rig.log("a", ("a3", 20))
    rig.log("b", ("b2", 30))
    seen.append(await rig.look(is_hinted=is_hinted))
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [["a1", "b1"], ["a2"], ["a3", "b2"], []]
    assert rig.follower.state.read == 5
    assert rig.follower.state.newest_at == NOW + 30 * SECOND


async def test_two_busy_machines_are_both_read(rig: Rig) -> None:
    """One reader of libsystemd 255 to 257 would show nothing new of one of them, though nothing is late."""
    expected = [f"{machine}{number}" for number in range(30) for machine in "ab"]
    for number in range(30):
        for at, machine in enumerate("ab", 2 * number):
            rig.log(machine, (f"{machine}{number}", at))
        await rig.look(is_hinted=True)
    await rig.follower.close()

    assert sorted(expected) == sorted(hosts(rig))


async def test_each_machine_goes_on_where_it_stopped(rig: Rig) -> None:
    """Also when all of them were away for a while."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 100))
    await rig.look()
    away = rig.directory.with_name("away")
    os.rename(rig.directory, away)  # noqa: PTH104 - as all that a test does to files, at once
    await rig.follower.poll()
    phase = rig.follower.state.phase
    os.rename(away, rig.directory)  # noqa: PTH104
    rig.log("a", ("a2", 50))
    seen = await rig.look()
    await rig.follower.close()

    assert (phase, seen) == (Phase.WAITING, ["a2"])


@pytest.mark.parametrize("watched", [0, 1, 16], ids=lambda number: f"{number} watched")
async def test_machines_and_files_come_and_go(rig: Rig, monkeypatch: pytest.MonkeyPatch, *, watched: int) -> None:
    """Each entry is read once, whatever is rotated, and no descriptor stays open."""
    monkeypatch.setattr("fleet_health.sources.journal.reading.WATCHED", watched)
    rig.log("a", ("a1", 0))
    seen = [await rig.look()]
    before = open_descriptors()
    rig.log("b", ("b1", -100))
    seen.append(await rig.look())
    rig.log("a", ("a2", -50))
    old = rig.rotate("a")
    rig.log("a", ("a3", 5))
    seen.append(await rig.look(is_hinted=True))
    old.unlink()
    (rig.directory / "remote-b.journal").unlink()
    rig.log("a", ("a4", -70))
    seen.append(await rig.look(is_hinted=True))
    kept_open = open_descriptors() - before
    rig.log("b", ("b2", 10))
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [["a1"], ["b1"], ["a2", "a3"], ["a4"], ["b2"]]
    assert not kept_open


async def test_a_machine_whose_files_come_back_is_not_read_twice(rig: Rig) -> None:
    """As when their file system is mounted again."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 0))
    file, away = rig.directory / "remote-b.journal", rig.directory.with_name("away")
    seen = [await rig.look()]
    file.rename(away)
    seen.append(await rig.look())
    away.rename(file)
    rig.log("b", ("b2", 1))
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [["a1", "b1"], [], ["b2"]]


async def test_machines_that_have_a_directory_each(rig: Rig) -> None:
    """As in /var/log/journal; directories that libsystemd ignores are not read."""
    for name, place in ("a", MACHINES["a"]), ("b", MACHINES["b"]), ("c", "elsewhere"):
        (rig.directory / place).mkdir()
        rig.log(name, (f"{name}1", 0), place=place)
    seen = [await rig.look()]
    rig.log("a", ("a2", -1), place=MACHINES["a"])
    rig.log("b", ("b2", -2), place=MACHINES["b"])
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [["a1", "b1"], ["a2", "b2"]]


@pytest.mark.parametrize("watched", [1, 16], ids=lambda number: f"{number} watched")
async def test_new_entries_of_each_machine_are_followed(
    rig: Rig, following: Following, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch, *, watched: int
) -> None:
    """There are hints for each machine, also for a new one."""
    monkeypatch.setattr("fleet_health.sources.journal.reading.WATCHED", watched)
    rig.follower.longest_wait = 3_600
    rig.log("a", ("a1", 0))
    async with following(rig):
        await async_eventually(lambda: hosts(rig) == ["a1"])
        for machine, at in ("b", -10), ("a", -20), ("b", -30), ("c", -40), ("b", -50), ("c", -60):
            rig.log(machine, (f"{machine}{at}", at))
            await async_eventually(lambda host=f"{machine}{at}": host in hosts(rig))  # type: ignore[misc]

    assert len(hosts(rig)) == 7


@pytest.mark.parametrize(
    ("name", "phase"), [(MACHINES["b"], Phase.REFUSED), ("lost+found", Phase.FOLLOWING)], ids=["a machine's", "another"]
)
async def test_a_directory_that_may_not_be_read(
    name: str, phase: Phase, public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """A machine whose journal cannot be read is reported; other directories do not matter."""
    rig = Rig(public_directory)
    rig.log("a", ("a1", 0))
    (rig.directory / "remote-a.journal").chmod(0o644)
    (rig.directory / name).mkdir(mode=0o700)
    with as_nobody():
        await rig.follower.poll()
        await rig.follower.close()

    assert rig.follower.state.phase is phase
    assert hosts(rig) == ["a1"] * (phase is Phase.FOLLOWING)


@pytest.mark.parametrize("content", [b"", b"no journal", bytes(4_096)], ids=["empty", "too short", "zeroes"])
async def test_a_file_that_is_no_journal_is_left_out(rig: Rig, content: bytes) -> None:
    """The others are read, and so is this one once it is a journal."""
    file = rig.directory / "remote-b.journal"
    file.write_bytes(content)
    rig.log("a", ("a1", 0))
    seen = [await rig.look()]
    file.unlink()
    rig.log("b", ("b1", -1))
    made = file.read_bytes()
    file.write_bytes(content)
    seen.append(await rig.look())
    with file.open("r+b") as same_file:
        same_file.write(made)
    seen.append(await rig.look())
    await rig.follower.close()

    assert seen == [["a1"], [], ["b1"]]


async def test_a_file_that_nobody_reads_is_a_gap_whichever_machine_has_it(rig: Rig) -> None:
    """Libsystemd does not know its format, so it is a gap; an archived file does not stop reading."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 1))
    make_unknown(rig.rotate("b"))
    seen = [await rig.look()]
    rig.log("a", ("a2", 2))
    make_unknown(rig.rotate("a"))
    rig.log("b", ("b2", 3))
    seen.append(await rig.look())
    await rig.follower.close()
    past = read_journal(rig.settings, NOW - SECOND, NOW + 10 * SECOND, rig.seen.extend)

    assert seen == [["a1"], ["b2"]]
    assert rig.follower.state.gaps == [Gap(NOW, NOW + 2 * SECOND, LEFT_OUT), Gap(NOW + SECOND, NOW + SECOND, LEFT_OUT)]
    assert set(past.coverage.gaps) == set(rig.follower.state.gaps)


async def test_a_machine_whose_current_file_nobody_reads_is_reported(rig: Rig) -> None:
    """So is one without read permission: another machine's journal is no substitute."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 1))
    before = await rig.look()
    rig.rotate("b")
    rig.log("b", ("b2", 2))
    make_unknown(rig.directory / "remote-b.journal")
    await rig.follower.poll()
    state = rig.follower.state
    await rig.follower.close()

    assert (before, state.phase) == (["a1", "b1"], Phase.REFUSED)
    assert "remote-b.journal: libsystemd does not read this file" in state.reason
    with pytest.raises(SourceRefused, match=r"remote-b\.journal"):
        read_journal(rig.settings, NOW, NOW, rig.seen.extend)


@pytest.mark.parametrize(("before_us", "is_missed"), [(0, True), (1, False)])
async def test_only_a_file_that_reaches_into_the_lookback_is_missed(
    before_us: int, rig: Rig, *, is_missed: bool
) -> None:
    """To the microsecond; how far back the journal reaches is known from the readable files."""
    at = NOW - LOOKBACK_US // 2 - before_us
    with JournalFile(rig.directory / "old.journal", machine=MACHINES["a"]) as file:
        file.append(access("old"), at_us=at)
    make_unknown(rig.directory / "old.journal")
    rig.log("a", ("a1", 0))
    await rig.look()
    await rig.follower.close()

    assert rig.follower.state.gaps == ([Gap(at, at, LEFT_OUT)] if is_missed else [])
    assert rig.follower.state.begins_at == NOW


def test_a_directory_that_cannot_be_listed_is_a_failure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not an empty journal: the disk may be dying."""
    rig.log("a", ("a1", 0))
    files = MachineFiles(rig.settings)

    def fail(_: Path) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(machines, "_listed", fail)

    with pytest.raises(SourceFailing, match=r"^the journal cannot be read: Input/output error$"):
        files.look()


async def test_a_machine_whose_file_may_not_be_read(
    public_directory: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """It is reported with the file, even if another machine's journal can be read."""
    rig = Rig(public_directory)
    for name, mode in ("a", 0o644), ("b", 0o600):
        rig.log(name, (f"{name}1", 0))
        (rig.directory / f"remote-{name}.journal").chmod(mode)
    with as_nobody():
        await rig.follower.poll()
        await rig.follower.close()

    assert rig.follower.state.phase is Phase.REFUSED
    assert "remote-b.journal: permission denied" in rig.follower.state.reason


async def test_what_was_removed_from_one_machine_is_a_gap(rig: Rig) -> None:
    """If it was removed before it was read. A new machine is not a gap."""
    rig.log("a", ("a1", 0))
    rig.log("b", ("b1", 1))
    await rig.look()
    rig.log("c", ("c1", 50))
    await rig.look()
    gaps_before = list(rig.follower.state.gaps)
    (rig.directory / "remote-b.journal").unlink()
    rig.log("b", ("b3", 30))
    seen = await rig.look()
    await rig.follower.close()

    assert (gaps_before, seen) == ([], ["b3"])
    assert rig.follower.state.gaps == [Gap(NOW + SECOND, NOW + 30 * SECOND, REMOVED)]


@pytest.mark.parametrize(("oldest_at", "is_gap"), [(-200, False), (-50, True)])
async def test_a_machine_that_is_new_since_the_last_run_is_no_gap(oldest_at: int, rig: Rig, *, is_gap: bool) -> None:
    """If another machine's journal reaches back to what was read then."""
    rig.log("a", ("a1", oldest_at))
    rig.log("b", ("b1", -10))
    later = Rig(rig.directory, seen_until=NOW - 100 * SECOND)
    await later.look()
    await later.follower.close()

    assert bool(later.follower.state.gaps) is is_gap


async def test_the_receiver_runs_if_it_runs_on_one_machine(rig: Rig) -> None:
    """Even if that is known late, from a message older than the stop on another machine."""
    rig.report("a", STOPPED, 0)
    await rig.look()
    traffic = Traffic()
    traffic.record(rig.seen)
    stopped = traffic.unit
    rig.report("b", STARTED, -1_000)
    rig.seen.clear()
    await rig.look()
    await rig.follower.close()
    traffic.record(rig.seen)
    at_once: list[Any] = []
    read_journal(rig.settings, NOW - 2_000 * SECOND, NOW + SECOND, at_once.extend)

    assert stopped == UnitState(NOW, is_running=False)
    assert traffic.unit == UnitState(NOW - 1_000 * SECOND, is_running=True)
    assert at_once == [traffic.unit]


def test_every_machine_is_read_at_once(rig: Rig) -> None:
    """By `check`, `replay`, `patterns` and for the sample lines of an alert."""
    rig.log("a", ("x", 0), ("late", -20), ("x", 30), status=412)
    rig.log("b", ("x", 10), ("x", 40), status=400)
    since, until = NOW - 100 * SECOND, NOW + 100 * SECOND
    seen: list[Any] = []

    past = read_journal(rig.settings, since, until, seen.extend)
    samples = sample_lines(rig.settings, ["x"], since, until)
    messages = list(read_messages(rig.settings, since, until))

    assert [(one.at - NOW) // SECOND for one in seen] == [0, -20, 10, 30, 40]
    assert (past.coverage.gaps, past.last_at) == ((), NOW + 40 * SECOND)
    assert (past.coverage.begins_at, past.coverage.share) == (NOW, Share(5, 5, 0, NOW + 40 * SECOND))
    assert [line[-3:] for line in samples["x"]] == ["400", "412", "400"]
    assert len(messages) == 5


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(-1_000, 1_000), st.sampled_from(("", "hinted", "not hinted"))),
    min_size=2,
    max_size=8,
)


@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
async def test_each_entry_is_read_once(
    steps: list[tuple[str, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever machine logs it with whatever timestamp, in the order of writing."""
    rig = Rig(tmp_path_factory.mktemp("journal"))
    for number, (machine, at, look) in enumerate(steps):
        rig.log(machine, (f"{machine}{number}", at))
        if look:
            await rig.look(is_hinted=look == "hinted")
    await rig.look()
    await rig.follower.close()

    assert sorted(hosts(rig)) == sorted(f"{machine}{number}" for number, (machine, _, _) in enumerate(steps))


def hosts(rig: Rig) -> list[str]:
    """Return the hosts that were seen, in the order of reading."""
    return [one.host for one in rig.seen if not isinstance(one, UnitState)]
