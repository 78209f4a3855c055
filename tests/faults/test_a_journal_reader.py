"""The faults of the journal reader (A1 to A22), each provoked for real: on a journald of our own where there is one."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import shutil
import signal
import threading
from collections import Counter
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from systemd import journal

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.detectors.blind import Blind
from fleet_health.detectors.evaluation import evaluate, lookback_of
from fleet_health.engine import Engine
from fleet_health.model.counters import Counters
from fleet_health.model.fleet import Fleet
from fleet_health.service import clock
from fleet_health.service.clock import StepWatch
from fleet_health.service.intake import Intake
from fleet_health.service.publication import Publication
from fleet_health.service.service_manager import Pulse
from fleet_health.service.status import status_line
from fleet_health.sources import follower as following_module
from fleet_health.sources.journal import reading as journal_module
from fleet_health.sources.journal.reader import JournalReader
from fleet_health.sources.journal.source import JournalFollower
from fleet_health.sources.state import Phase
from tests.faults.private_journald import (
    NAME,
    UNIT,
    deleted_descriptors,
    is_open,
    make_entry_unreadable,
)
from tests.rig.descriptors import open_descriptors
from tests.rig.evaluating import evaluator_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from fleet_health.alerting.alert import Alert
    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from tests.conftest import AsyncEventually, Following, Service, Site, StartService
    from tests.faults.private_journald import PrivateJournald

MINUTE_US = 60_000_000
REACH_US = 30 * MINUTE_US


def access(host: str, status: int = 201) -> str:
    """Make an access line."""
    return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e1 HTTP/1.1" {status}'


def accesses(*hosts: str) -> list[str]:
    """Make an access line for each host."""
    return [access(host) for host in hosts]


def numbered(name: str, count: int) -> list[str]:
    """Make names of hosts."""
    return [f"{name}-{number}" for number in range(count)]


class Watch:
    """A follower of the receiver's journal, and what it has delivered."""

    def __init__(
        self, settings: JournalSettings, *, lookback_us: int = REACH_US, now: Callable[[], Instant] = clock.now
    ) -> None:
        self.observations: list[Any] = []
        self.follower = JournalFollower(settings, lookback_us=lookback_us, deliver=self.observations.extend, clock=now)
        self.state = self.follower.state

    @property
    def hosts(self) -> list[str]:
        """The host of each observation, in the order of delivery."""
        return [observation.host for observation in self.observations]

    async def look(self, *, may_fail: bool = False) -> list[str]:
        """Read to the present end; return the hosts that are new.

        A look that fails finds none, either: unless that is what a test is about, it fails of the reason.
        """
        before = len(self.observations)
        await self.follower.poll()
        assert may_fail or self.state.phase is Phase.FOLLOWING, self.state.reason
        return self.hosts[before:]


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[Watch]:
    """Close a follower at the end."""
    yield watch
    await watch.follower.close()


@pytest.mark.fault("A1", rig="R1", says="the first entries of a unit that had none come after the reader")
async def test_A1_first_entries_of_a_unit_that_had_none(journald: PrivateJournald) -> None:
    """Of three new entries all three are read, though none matched when the journal was opened."""
    journald.noise()
    journald.sync()
    async with watching(Watch(journald.settings)) as watch:
        at_first = await watch.look()
        journald.send(*accesses("a", "b", "c"))
        journald.sync()
        later = await watch.look()

    assert (at_first, later) == ([], ["a", "b", "c"])


@pytest.mark.fault("A2", rig="R1", says="an old entry out of a rotated file comes first")
async def test_A2_nothing_old_out_of_a_rotated_file(journald: PrivateJournald) -> None:
    """Reading begins exactly where it is to begin, however many older entries stand in archived files."""
    for number in range(3):
        journald.send(*accesses(f"old-{number}", f"older-than-we-look-{number}"))
        journald.sync()
        journald.rotate()
    since = clock.now()
    async with watching(Watch(journald.settings, lookback_us=0, now=lambda: since)) as watch:
        at_first = await watch.look()
        journald.send(*accesses("new", "newer"))
        journald.sync()
        later = await watch.look()

    assert (at_first, later) == ([], ["new", "newer"])


@pytest.mark.fault("A3", rig="R1", says="a field whose conversion raises")
async def test_A3_poisoned_entry(journald: PrivateJournald) -> None:
    """An entry that `get_next()` cannot give is read like any other, and so is the next."""
    journald.send_fields({"MESSAGE": access("poisoned"), "COREDUMP_TIMESTAMP": "9" * 30})
    journald.send(access("next"))
    journald.sync()
    with journal.Reader(namespace=NAME) as reader:
        reader.add_match(COREDUMP_TIMESTAMP="9" * 30)
        with pytest.raises(OverflowError):
            reader.get_next()
    async with watching(Watch(journald.settings)) as watch:
        hosts = await watch.look()

    assert hosts == ["poisoned", "next"]


@pytest.mark.fault("A4", rig="R1", says="an entry without readable data looks like the end")
async def test_A4_unreadable_entry_is_not_the_end(journald: PrivateJournald) -> None:
    """What comes after an entry whose data are lost is read in the same look."""
    journald.send(*accesses("before", "lost", "after"))
    journald.sync()
    with journal.Reader(namespace=NAME) as reader:
        reader.add_match(MESSAGE=access("lost"))
        assert reader._next()
        at_us = reader._get_realtime()
    journald.rotate()
    make_entry_unreadable(journald.archived[0], at_us)
    with journal.Reader(namespace=NAME) as reader:
        reader.add_match(_SYSTEMD_UNIT=UNIT)
        iterated = [entry["MESSAGE"] for entry in reader]
    async with watching(Watch(journald.settings)) as watch:
        hosts = await watch.look()

    assert iterated[-1] == access("before")
    assert hosts == ["before", "after"]


@pytest.mark.fault("A5", rig="R1", says="MESSAGE absent, bytes, repeated, with NUL, not UTF-8, of several lines")
async def test_A5_every_kind_of_message(journald: PrivateJournald) -> None:
    """Each line of whatever a message holds is read by itself; none ends the reading."""
    journald.send_fields({"NO_MESSAGE": "at all"})
    journald.send("", access("nul") + "\0", b"\xff\xfe\x80 " + access("octets").encode())
    journald.send(b'"PUT /v1/episodes/odd\xff/e HTTP/1.1" 201')
    journald.send("\n".join(accesses("one", "two")) + "\n\n" + access("three"))
    journald.send_fields({"MESSAGE": accesses("repeated", "repeated")})
    journald.send(access("last"))
    journald.sync()
    async with watching(Watch(journald.settings)) as watch:
        hosts = await watch.look()
        rejections = watch.state.rejections.total

    assert [host for host in hosts if not host.startswith("odd")] == [
        *("nul", "octets", "one", "two", "three", "repeated", "last")
    ]
    assert len(hosts) == 8
    assert rejections == 0


@pytest.mark.fault("A6", rig="R1", says="data_threshold is no cap: 200 kB come back at 1,024")
async def test_A6_long_messages_are_capped_by_ourselves(journald: PrivateJournald) -> None:
    """2 KiB of a line are matched, its begin and its end, and 1 MiB of a message, whatever libsystemd hands out."""
    journald.send("x" * 200_000 + access("behind-a-long-line") + "\n" + access("next-line"))
    journald.send(access("first-line") + "\n" + "x\n" * 600_000 + access("behind-a-long-message"))
    journald.send(access("next"))
    journald.sync()
    with journal.Reader(namespace=NAME) as reader:
        reader.data_threshold = 1_024
        reader.add_match(_SYSTEMD_UNIT=UNIT)
        longest = 0
        while reader._next():
            longest = max(longest, len(reader._get("MESSAGE")))
    async with watching(Watch(journald.settings)) as watch:
        hosts = await watch.look()

    assert longest > 200_000
    assert hosts == ["behind-a-long-line", "next-line", "first-line", "next"]


@pytest.mark.fault("A7", rig="R1", says="a vacuum takes the file that is being read: EBADMSG for ever")
async def test_A7_vacuum_of_the_file_that_is_read(journald: PrivateJournald, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops at once, says so once, and goes on with what is left: nothing of that is lost or comes twice."""
    for name in ("gone", "gone-too"):
        journald.send(*accesses(*numbered(name, 1_500)))
        journald.sync()
        journald.rotate()
    journald.send(*accesses(*numbered("left", 300)))
    journald.sync()
    monkeypatch.setattr(journal_module, "_SLICE", 0)  # 64 entries a slice, so that there is something between
    async with watching(Watch(journald.settings)) as watch:
        vacuums = 0

        def vacuum_once() -> None:
            nonlocal vacuums
            vacuums += 1
            if vacuums == 1:
                journald.vacuum()

        watch.follower.on_progress = vacuum_once
        with capture_logs() as logs:
            read_before = await watch.look(may_fail=True)
            phase = watch.state.phase
            leaked = deleted_descriptors()
            read_after = await watch.look()

        assert phase is Phase.FAILING
        assert leaked == []
        assert read_before == numbered("gone", 1_500)[: len(read_before)]
        assert len(read_before) < 128
        assert read_after == numbered("left", 300)
        assert watch.state.phase is Phase.FOLLOWING
    assert [line["event"] for line in logs] == [
        "source not available",
        "gap in the journal",
        "source catching up",
        "source caught up",
    ]


@pytest.mark.fault("A7", rig="R1", says="a vacuum while another file is being read")
def test_A7_vacuum_while_reading_on(journald: PrivateJournald) -> None:
    """A long read takes note of deleted files on its way, and does not keep them open."""
    for name in ("gone", "left"):
        journald.send(*accesses(*numbered(name, 1_500)))
        journald.sync()
        journald.rotate()
    journald.send(*accesses(*numbered("last", 300)))
    journald.sync()
    reader = JournalReader(journald.settings)
    reader.seek(0)
    entries = reader.read()
    while next(entries)[0] != access("left-0").encode():
        pass
    journald.vacuum(leave=2)
    leaked_meanwhile = deleted_descriptors()
    read = [message for message, _ in entries]
    leaked = deleted_descriptors()
    reader.close()

    assert read == [line.encode() for line in accesses(*numbered("left", 1_500)[1:], *numbered("last", 300))]
    assert (len(leaked_meanwhile), leaked) == (1, [])


@pytest.mark.fault("A7", rig="R1, with libsystemd's EIO patched in", says="reading fails again and again")
async def test_A7_lasting_failure_is_tried_less_and_less_often(
    journald: PrivateJournald, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is opened anew after 1, 2, 4 … 60 seconds; it is said once, not once a try."""

    def fail(*_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    journald.send(access("unread"))
    journald.sync()
    delays: list[float] = []

    async def count_sleep(delay: float) -> None:
        delays.append(delay)
        if len(delays) == 9:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", count_sleep)
    before = open_descriptors()
    async with watching(Watch(journald.settings)) as watch:
        with monkeypatch.context() as patch, capture_logs() as logs, suppress(asyncio.CancelledError):
            patch.setattr(journal.Reader, "_next", fail)
            await watch.follower.follow()
        monkeypatch.undo()
        kept_open = open_descriptors() - before
        after = await watch.look()

    assert not kept_open
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [line["event"] for line in logs] == ["source not available"]
    assert after == ["unread"]


@pytest.mark.fault("A8", rig="R1", says="a mapped file is truncated: SIGBUS")
def test_A8_truncated_file_kills_and_a_restart_goes_on(
    journald: PrivateJournald, site: Site, start_service: StartService
) -> None:
    """The process dies of it; started again it goes on, and gives no alert a second time."""
    site.upload("well")
    journald.send(access("well"))
    journald.sync()
    journald.rotate()
    # Until it ends, journald itself gives the archived file its size again (that is how it makes inotify tell).
    journald.stop()
    journald.start()
    journald.send(*[access("refused", 412)] * 12)
    journald.sync()
    site.configure(journal=journald.directory)
    with start_service(site) as service:
        service.until(lambda: ("refused", "fatal-only") in site.alerted(), "the alert")
        os.truncate(journald.archived[0], 0)
        service.until(lambda: service.process.poll() is not None, "its death")
        status = service.process.returncode
    with start_service(site) as service:
        service.until_ready()
        journald.send(*[access("refused-later", 412)] * 12)
        service.until(lambda: ("refused-later", "fatal-only") in site.alerted(), "an alert after the restart")
        service.until_evaluated_anew()
    alerts = Counter(row["dedup_key"] for row in site.alert_rows())

    assert status == -signal.SIGBUS
    assert {("refused", "fatal-only"), ("refused-later", "fatal-only")} == set(site.alerted())
    assert set(alerts.values()) == {1}


@pytest.mark.fault("A9", rig="files", says="file descriptors run out")
def test_A9_descriptors_that_run_out_are_told(site: Site, start_service: StartService) -> None:
    """When nearly all are open, STATUS and the log say so before something else fails of it; the log once."""
    site.configure(tick="1s")
    site.upload("well")
    site.answer("well", 201)
    site.sync_journal()
    with start_service(site) as service:
        service.until_ready()
        before = service.notify.status
        count = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (count + 2, count + 2))
        service.until(lambda: f"of {count + 2} descriptors are open" in service.notify.status, "STATUS")
        service.until_evaluated_anew()

        assert "descriptors" not in before
        assert len(service.events("file descriptors running out")) == 1


@pytest.mark.fault("A9", rig="R1", says="descriptors of deleted files leak")
async def test_A9_deleted_files_are_closed(journald: PrivateJournald) -> None:
    """After rotations and vacuums no descriptor of a deleted file is left, and there are no more than before."""
    journald.send(access("first"))
    for _ in range(3):
        journald.sync()
        journald.rotate()
        journald.send(access("next"))
    journald.sync()
    journald.vacuum(leave=2)
    async with watching(Watch(journald.settings)) as watch:
        await watch.look()
        before = open_descriptors()
        for _ in range(4):
            journald.rotate()
            journald.send(access("next"))
            journald.sync()
            journald.vacuum(leave=2)
            await watch.look()
        kept_open = open_descriptors() - before
        leaked = deleted_descriptors()

    assert leaked == []
    assert not kept_open
    assert watch.hosts[-4:] == ["next"] * 4


@pytest.mark.fault("A10", rig="R1", says="process() says NOP while entries are readable")
async def test_A10_entries_are_read_whatever_process_says(
    journald: PrivateJournald, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look reads to the end also when libsystemd has seen no change."""
    said: list[int] = []

    def process(reader: Any) -> int:
        said.append(journal._Reader.process(reader))
        return said[-1]

    monkeypatch.setattr(journal.Reader, "process", process)
    journald.send(*accesses("a", "b"))
    journald.sync()
    async with watching(Watch(journald.settings)) as watch:
        hosts = await watch.look()

    assert set(said) == {journal.NOP}
    assert hosts == ["a", "b"]


@pytest.mark.parametrize("due", ["the minute", "libsystemd's own time"])
@pytest.mark.fault("A10", rig="R1, with a descriptor that is never watched", says="no sign comes of an entry")
async def test_A10_entries_are_found_without_a_sign(
    due: str,
    journald: PrivateJournald,
    following: Following,
    async_eventually: AsyncEventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look is due after a minute, or when `get_timeout()` says so, though the descriptor stays silent."""
    usual = JournalFollower.longest_wait
    journald.send(access("before"))
    journald.sync()
    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", lambda *_: None)
    watch = Watch(journald.settings)
    if due == "the minute":
        watch.follower.longest_wait = 0.01
    else:
        watch.follower.longest_wait = 3_600
        monkeypatch.setattr(JournalReader, "timeout", lambda _: 0.01)
    async with following(watch):
        await async_eventually(lambda: watch.hosts == ["before"])
        journald.send(access("without-a-sign"))
        await async_eventually(lambda: watch.hosts == ["before", "without-a-sign"])

    assert usual == 60


@pytest.mark.fault("A10", rig="R3", says="an entry is passed over that was being written when it was looked for")
async def test_A10_an_entry_in_the_making_is_found_once_it_is_made(tmp_path: Path) -> None:
    """A file counts it before what it matches leads to it; no other entry has to come for it to be seen."""
    entry_count = slice(152, 160)  # in the file's header: https://systemd.io/JOURNAL_FILE_FORMAT
    file, states = tmp_path / "x.journal", []
    for host in ("before", "in-the-making"):
        with JournalFile(file) as writer:
            writer.append(access(host))
        states.append(file.read_bytes())
    before, after = states
    half_made = bytearray(before)
    half_made[entry_count] = after[entry_count]
    seen = []
    file.write_bytes(before)
    async with watching(Watch(load(None, {"journal.directory": ("", str(tmp_path))}).receivers[0].journal)) as watch:
        seen.append(await watch.look())
        for state in (half_made, after):
            with file.open("r+b") as written:
                written.write(state)
            seen.append(await watch.look())

    assert half_made != before
    assert seen == [["before"], [], ["in-the-making"]]


@pytest.mark.parametrize("chosen_by", ["namespace", "directory"])
@pytest.mark.fault("A11", rig="R1", says="deaf after a rotation, or when the directory is made anew")
async def test_A11_rotations_restart_and_removal(
    chosen_by: str, journald: PrivateJournald, following: Following, async_eventually: AsyncEventually
) -> None:
    """Everything is heard through six rotations, a restart of journald and `rm -rf` of the directory."""
    by_directory = load(None, {"journal.directory": ("", str(journald.directory))}).receivers[0].journal
    watch = Watch(journald.settings if chosen_by == "namespace" else by_directory)
    expected = ["first"]
    journald.send(access("first"))
    journald.sync()
    async with following(watch):
        await async_eventually(lambda: watch.hosts == expected)
        for number in range(6):
            journald.send(access(f"before-{number}"))
            journald.sync()
            journald.rotate()
            journald.send(access(f"after-{number}"))
            expected += [f"before-{number}", f"after-{number}"]
        await async_eventually(lambda: watch.hosts == expected, "the entries around six rotations")
        journald.stop()
        journald.start()
        journald.send(access("restarted"))
        expected.append("restarted")
        await async_eventually(lambda: watch.hosts == expected, "the entry after a restart")
        journald.stop()
        shutil.rmtree(journald.directory)
        journald.start()
        journald.send(access("removed"))
        expected.append("removed")
        await async_eventually(lambda: watch.hosts == expected, "the entry after the removal")

    assert deleted_descriptors() == []


@pytest.mark.fault("A12", rig="R1", says="the descriptor fires for every unit's entries")
async def test_A12_noise_of_others_costs_one_look_a_rest(
    journald: PrivateJournald, following: Following, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a look there is a rest of half a second, in which no sign leads to another look."""
    usual = following_module._REST
    monkeypatch.setattr(following_module, "_REST", 3_600.0)
    looks = 0
    watch = Watch(journald.settings)

    def count() -> None:
        nonlocal looks
        looks += 1

    journald.send(access("first"))
    journald.sync()
    watch.follower.on_progress = count
    witness = JournalReader(journald.settings)
    descriptor = witness.fd
    assert descriptor is not None
    async with following(watch):
        await async_eventually(lambda: watch.follower.state.phase is Phase.FOLLOWING)
        looks_before = looks
        for _ in range(3):
            journald.noise()
            # The descriptor fires though nothing of the unit was logged.
            await async_eventually(lambda: select.select([descriptor], [], [], 0)[0], "a sign")
            witness.process()
            await asyncio.sleep(0.05)
        looks_after = looks
    witness.close()

    assert usual == 0.5
    assert looks_after == looks_before


@pytest.mark.parametrize("gone", [False, True], ids=["its entry is there", "its entry was vacuumed"])
@pytest.mark.fault("A13", rig="R1", says="resuming at a cursor is off by one")
async def test_A13_resuming_at_a_cursor(gone: bool, journald: PrivateJournald) -> None:  # noqa: FBT001
    """An opened-anew journal goes on with the entry after the cursor's, whether that is still there or not."""
    journald.send(*accesses("a", "b"))
    journald.sync()
    async with watching(Watch(journald.settings)) as watch:
        before = await watch.look()
        await watch.follower.close()
        journald.rotate()
        journald.send(*accesses("c", "d"))
        journald.sync()
        if gone:
            journald.vacuum()
        after = await watch.look()

    assert (before, after) == (["a", "b"], ["c", "d"])


@pytest.mark.fault("A13", rig="R1", says="the filter excludes the cursor's entry")
def test_A13_cursor_of_an_entry_that_the_filter_excludes(journald: PrivateJournald) -> None:
    """Where the cursor's entry does not match, the first entry that does is not taken for it."""
    journald.noise()
    journald.sync()
    with journal.Reader(namespace=NAME) as raw:
        raw.seek_tail()
        raw._previous()
        cursor = raw._get_cursor()
    journald.send(*accesses("a", "b"))
    journald.sync()
    reader = JournalReader(journald.settings)
    reader.seek_cursor(cursor)
    # The receiver's own first line is of the unit, too.
    read = [message for message, _ in reader.read()]
    reader.close()

    assert read[-2:] == [line.encode() for line in accesses("a", "b")]
    assert len(read) == 3


class _Alerts:
    """Takes the alerts of an evaluator."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.publication = Publication()

    def deliver(self, alerts: Sequence[Alert], *_: Any, **__: Any) -> None:
        """Take alerts."""
        self.alerts += alerts


@pytest.mark.fault("A14", rig="R3, fake clock", says="a place in the future, for the clock was set back")
async def test_A14_clock_set_back(site: Site) -> None:
    """A journal opened under a clock that was ahead is read again from the longest window on, and it is said."""
    present = clock.now()
    wall, elapsed = present + 120 * MINUTE_US, 0
    site.upload("well")
    for number in range(12):
        site.answer("refused", 412, at_us=present + number)
    site.sync_journal()
    settings = load(site.config, {})
    sink, tasks = _Alerts(), []

    def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    intake = Intake(
        clock=lambda: wall,
        start=start,
        index_pulse=Pulse("index", 60),
        journal_pulse=Pulse("journal", 60),
        counters=Counters(),
    )
    evaluator = evaluator_of(
        intake=intake,
        engine=Engine(settings.rules()),
        delivery=sink,  # type: ignore[arg-type] # of which no more is used
        clock=lambda: wall,
        step_watch=StepWatch(lambda: wall, lambda: elapsed),
        directory=site.directory,
    )
    await intake.adopt(settings, lookback_of(settings.detectors()))
    await evaluator._evaluate()
    ahead = [alert.finding.symptom for alert in sink.alerts if alert.finding.host == "refused"]
    wall, elapsed = present + MINUTE_US, MINUTE_US
    await intake.poll()
    is_deaf = intake.state_of("journal", "").read == 0
    with capture_logs() as logs:
        await evaluator._evaluate()
    found = [alert.finding.symptom for alert in sink.alerts if alert.finding.host == "refused"]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for source in intake._sources:
        await source.follower.close()

    assert (ahead, is_deaf) == ([], True)
    assert found == ["fatal-only"]
    assert [line["seconds"] for line in logs if "clock set" in line["event"]] == [-7_200]


@pytest.mark.fault("A16", rig="R1, another user", says="without permission a journal opens, and is empty")
async def test_A16_no_permission(
    journald: PrivateJournald, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    """It is refused, not healthy: the status says why, and after a while `blind` is an alert of its own."""
    journald.send(access("a"))
    journald.sync()
    now = clock.now()
    async with watching(Watch(journald.settings, now=lambda: now)) as watch:
        with as_nobody():
            with journal.Reader(namespace=NAME) as raw:
                seen_by_libsystemd = raw._next()
            hosts = await watch.look(may_fail=True)
        now += 16 * MINUTE_US
        state = watch.state
        fleet = Fleet()
        fleet.coverage = (state.coverage(now),)
        findings = evaluate(fleet, [Blind(15 * MINUTE_US)], now).findings
        status = status_line(
            hosts_by_state={},
            sources=[state],
            last=None,
            next_at=None,
            decisions=(),
            problems=(),
            now=now,
        )
        allowed = await watch.look()

    assert (seen_by_libsystemd, hosts, allowed) == (False, [], ["a"])
    assert "journal refused (" in status
    # No systemd-tmpfiles has given the files of this journald to the group.
    assert "give it to group systemd-journal, as root: `systemd-tmpfiles --create --prefix /var/log/journal`" in status
    assert [(finding.host, finding.symptom) for finding in findings] == [("*", "blind")]


@pytest.mark.fault("A17", rig="R1", says="no journal yet, nor a directory for it")
async def test_A17_journal_that_comes_later(
    stopped_journald: PrivateJournald, following: Following, async_eventually: AsyncEventually
) -> None:
    """A journal that is not there is waited for; when it comes, it is followed without anybody's help."""
    watch = Watch(stopped_journald.settings)
    async with following(watch):
        await async_eventually(lambda: watch.state.phase is Phase.WAITING)
        reason = watch.state.reason
        stopped_journald.start()
        stopped_journald.send(access("a"))
        await async_eventually(lambda: watch.hosts == ["a"] and watch.state.phase is Phase.FOLLOWING)

    assert reason.startswith("there is no journal in /run/log/journal/")


@pytest.mark.fault("A18", rig="R1, user namespace", says="inotify instances are used up: EMFILE")
def test_A18_inotify_instances_used_up(
    journald: PrivateJournald, site: Site, start_without_inotify: Callable[[Site, str], Service]
) -> None:
    """The journal is polled instead, through rotations too, and that is said once."""
    site.configure(journal=journald.directory)
    site.upload("well")
    journald.send(access("well"))
    journald.sync()
    hosts = numbered("refused", 2)
    with start_without_inotify(site, "max_inotify_instances") as service:
        service.until_ready()
        for host in hosts:
            journald.rotate()
            journald.send(*[access(host, 412)] * 12)
            service.until(lambda host=host: (host, "fatal-only") in site.alerted(), "the alert")  # type: ignore[misc]
        status = service.notify.status
        warnings = [line for line in service.log if "polling the journal" in line["event"]]

    assert len(warnings) == 1
    assert "journal following" in status


@pytest.mark.fault("A18", rig="R1, RLIMIT_NOFILE", says="descriptors are used up: files are left out without a word")
async def test_A18_descriptors_used_up(journald: PrivateJournald) -> None:
    """That is no reason to poll but a failure, which is said; all is read when there are descriptors again."""
    journald.send(access("a"))
    journald.sync()
    async with watching(Watch(journald.settings)) as watch:
        taken: list[int] = []
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        phases = []
        read: list[str] = []
        # With each descriptor more it gets further, and stops at another place.
        while taken and not read:
            os.close(taken.pop())
            read = await watch.look(may_fail=True)
            phases.append(watch.state.phase)
        for descriptor in taken:
            os.close(descriptor)
        later = await watch.look()

    assert phases[0] in (Phase.FAILING, Phase.REFUSED)
    assert set(phases[:-1]) <= {Phase.FAILING, Phase.REFUSED}
    assert (read, later) == (["a"], [])


@pytest.mark.fault("A19", rig="R1", says="a reader used from two threads, or closed while it is watched")
async def test_A19_one_thread_at_a_time_and_closed_in_order(
    journald: PrivateJournald, following: Following, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two calls are made at a time, and nothing watches a descriptor when its journal is closed."""
    in_use, overlaps = threading.Lock(), 0
    watched_when_closed: list[bool] = []
    loop = asyncio.get_running_loop()
    watched: set[int] = set()
    add_reader, remove_reader = loop.add_reader, loop.remove_reader

    def add(fd: int, *arguments: Any) -> None:
        watched.add(fd)
        add_reader(fd, *arguments)

    def remove(fd: int) -> bool:
        assert is_open(fd), "the loop is told to let go of a descriptor that is closed"
        watched.discard(fd)
        return remove_reader(fd)

    def guarded(name: str) -> Callable[..., Any]:
        original = getattr(journal.Reader, name)

        def call(reader: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal overlaps
            is_free = in_use.acquire(blocking=False)
            overlaps += not is_free
            try:
                return original(reader, *arguments, **named)
            finally:
                if is_free:
                    in_use.release()

        return call

    def close(reader: Any) -> None:
        watched_when_closed.append(reader.fileno() in watched)
        journal._Reader.close(reader)

    monkeypatch.setattr(loop, "add_reader", add)
    monkeypatch.setattr(loop, "remove_reader", remove)
    monkeypatch.setattr(journal.Reader, "close", close)
    for name in ("_next", "_get", "_get_realtime", "_get_cursor", "process", "get_timeout", "seek_cursor"):
        monkeypatch.setattr(journal.Reader, name, guarded(name), raising=False)
    journald.send(access("first"))
    journald.sync()
    for number in range(20):
        watch = Watch(journald.settings)
        async with following(watch):
            await async_eventually(lambda: watched, "the descriptor to be watched")
            await watch.look()  # as the evaluation does, while the other waits
            if number % 2:
                await watch.follower._release()  # as a failure in that look does

    assert len(watched_when_closed) == 20
    assert not any(watched_when_closed)
    assert overlaps == 0


@pytest.mark.fault("A20", rig="R1", says="journald stands still (SIGSTOP)")
def test_A20_frozen_journald(
    journald: PrivateJournald, site: Site, start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts still reach alerts.jsonl, ticks and watchdog go on; the journal gets the alerts when it can take them."""
    Path("/run/systemd/journal").symlink_to(f"journal.{NAME}")
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    journald.send(access("well"))
    journald.sync()
    site.configure(journal=journald.directory)
    site.upload("well")
    with start_service(site, WATCHDOG_USEC="3000000") as service:
        service.until_ready().until_evaluated_anew()
        with journald.frozen():
            for host in ("quiet", "quiet-too"):
                site.upload(host, minutes_ago=45)
                service.until(lambda host=host: (host, "silent") in site.alerted(), "the alert")  # type: ignore[misc]
            fed = len(service.notify.having("WATCHDOG"))
            service.until(lambda: len(service.notify.having("WATCHDOG")) > fed + 1, "the watchdog's food")
            service.until_evaluated_anew()
        service.until(lambda: journald.has(FLEET_HOST="quiet"), "the first alert in the journal")
        service.until(lambda: journald.has(FLEET_HOST="quiet-too"), "the second alert in the journal")
        status = service.stop()

    assert status == 0
    assert site.alerted() == [("quiet", "silent"), ("quiet-too", "silent")]


@pytest.mark.fault("A22", rig="R1", says="what PID 1 says of the unit is not of the unit")
def test_A22_what_pid_1_says_of_the_unit(journald: PrivateJournald) -> None:
    """PID 1's messages about the unit are none of its lines, nor are those of others who claim to be about it."""
    stopped, started = "9d1aaa27d60140bd96365438aad20286", "39f53479d3a045ac8e11786248231fbf"
    journald.send("the unit's own")
    journald.send_as(1, {"MESSAGE": "whatever", "MESSAGE_ID": stopped, "UNIT": UNIT})
    journald.send_as(journald.pid, {"MESSAGE": "Stopped", "MESSAGE_ID": stopped, "UNIT": UNIT})
    journald.send_as(1, {"MESSAGE": "Stopped", "MESSAGE_ID": stopped, "UNIT": "other.service"})
    journald.send_as(1, {"MESSAGE": "Stopped", "UNIT": UNIT})
    journald.send_as(1, {"MESSAGE": "whatever", "MESSAGE_ID": started, "UNIT": UNIT})
    journald.send("its own again")
    journald.sync()
    reader = JournalReader(journald.settings)
    reader.seek(0)
    # The first is the line by which the rig becomes the unit.
    _, *read = [message for message, _ in reader.read()]
    messages, _ = reader.unit_messages(0)
    reader.close()

    assert read == [b"the unit's own", b"its own again"]
    assert [(message.unit, message.is_running) for message in messages] == [(UNIT, False), (UNIT, True)]
