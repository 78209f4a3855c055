"""The faults of the alert log (C1 to C10), each provoked for real on the real writer, evaluation and service."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import pytest
from structlog.testing import capture_logs

from fleet_health.alerting.alert import Alert, dedup_key
from fleet_health.alerting.incidents import Incidents
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.engine import Engine
from fleet_health.errors import SinkUnavailable
from fleet_health.model.counters import Counters
from fleet_health.model.instant import HOUR_US, SECOND_US, from_datetime, isoformat, utc_hour
from fleet_health.records.alert_log import AlertLog
from fleet_health.records.journal_sink import JournalSink
from fleet_health.service import clock
from fleet_health.service.clock import StepWatch
from fleet_health.service.delivery import Delivery
from fleet_health.service.intake import Intake
from fleet_health.service.service_manager import Pulse
from tests.rig.evaluating import evaluator_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from fleet_health.config.schema import Settings
    from fleet_health.model.instant import Instant
    from tests.conftest import AsyncEventually, DoWithout, Service, Site, StartService
    from tests.rig.alert_journal import AlertJournal

NOON = 1_795_000_000_000_000 // HOUR_US * HOUR_US
MINUTE_US = 60 * SECOND_US


def alert(host: str, at: Instant = NOON, detail: str = "no upload for 31 min") -> Alert:
    """Make an alert."""
    return Alert(Finding(host, "silent", detail, "look there"), at)


def rows(path: Path) -> list[dict[str, str]]:
    """Read the rows; what is none is left out."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [row for row in found if isinstance(row, dict)]


def hosts(path: Path) -> list[str]:
    """Read the host of each row."""
    return [row["host"] for row in rows(path)]


def assert_once_an_hour(written: Sequence[dict[str, str]]) -> None:
    """See that each (host, symptom) is there once in each hour, and that key and instant name the same hour."""
    keys = [row["dedup_key"] for row in written]
    named = [
        dedup_key(row["host"], row["symptom"], from_datetime(datetime.fromisoformat(row["detected_at_wall"])))
        for row in written
    ]

    assert len(keys) == len(set(keys))
    assert keys == named


@asynccontextmanager
async def delivering(path: Path, alert_journal: AlertJournal) -> AsyncIterator[Delivery]:
    """Deliver to an alert log and a journal for as long as the context lasts."""
    sink = JournalSink(str(alert_journal.path))
    delivery = Delivery(AlertLog(path, is_service=True), sink, Pulse("writer", 60), counters=Counters())
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        delivery.log.close()
        sink.close()


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte; return the file whose removal makes room."""
    filler = disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], capture_output=True, check=False)
    return filler


@pytest.mark.fault("C1", rig="full tmpfs", says="a full disk takes only a part of a write")
def test_C1_torn_by_a_full_disk(small_disk: Path) -> None:
    """The part is taken back, so that a batch is in the file whole or not at all; with room it is written."""
    path, log = small_disk / "alerts.jsonl", AlertLog(small_disk / "alerts.jsonl")
    log.append([alert("before")])
    filler = fill(small_disk)
    before = path.read_bytes()
    batch = [alert("a", detail="x" * 3_000), alert("b", detail="x" * 3_000)]

    with path.open("ab", buffering=0) as file:  # the control: this disk does tear a write
        assert 0 < file.write(b"x" * 6_000) < 6_000
    os.truncate(path, len(before))
    with pytest.raises(SinkUnavailable):
        log.append(batch)
    assert path.read_bytes() == before
    filler.unlink()
    assert log.append(batch) == batch
    assert hosts(path) == ["before", "a", "b"]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(b'{"host": "torn", "sym', id="a torn row"),
        pytest.param(b"\0" * 4096, id="NUL bytes"),
        pytest.param(b"not a row\n[1, 2]\n\xff\xfe\n", id="lines that are no rows"),
        pytest.param(json.dumps(alert("whole").row()).encode(), id="a whole row without its newline"),
        pytest.param(b"[" * 100_000, id="nesting without end"),
    ],
)
@pytest.mark.fault("C1", rig="service", says="torn or bad lines, and no final newline, at the start")
def test_C1_bad_last_line_at_start(last: bytes, site: Site, start_service: StartService) -> None:
    """The service starts, ends the line, and writes its own rows whole; what stood there stays."""
    site.alerts.write_bytes(last)
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: set(site.EVERY_ALERT) <= alerted(site.alerts), "the alerts")

        assert service.stop() == 0
    written = site.alerts.read_bytes()
    ours = written.removeprefix(last).removeprefix(b"\n").splitlines()

    assert written.startswith(last)
    assert written.removeprefix(last.rstrip(b"\n")).startswith(b"\n")
    assert sorted((row["host"], row["symptom"]) for row in map(json.loads, ours)) == site.EVERY_ALERT


@pytest.fixture
def failing_sync(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Let the first fsync of the kind asked for fail; a disk that really fails one cannot be had without a kernel's.

    The open file that failed is marked, so that it is known again whatever its descriptor's number.
    """
    calls: dict[str, list[Any]] = {"fail": [], "synced": []}
    fsync = os.fsync

    def sync(fd: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
        if kind in calls["fail"]:
            calls["fail"].remove(kind)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)
        is_fresh = not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
        calls["synced"].append((kind, is_fresh, os.fstat(fd).st_size))

    monkeypatch.setattr("os.fsync", sync)
    return calls


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.fault("C2", rig="os.fsync patched", says="fsync fails, of the file or of its directory")
async def test_C2_fsync_fails(
    kind: str,
    tmp_path: Path,
    alert_journal: AlertJournal,
    failing_sync: dict[str, list[Any]],
    async_eventually: AsyncEventually,
) -> None:
    """It is reported; what was not synced is not kept, but written and synced anew, by a fresh descriptor."""
    path = tmp_path / "alerts.jsonl"
    failing_sync["fail"].append(kind)
    async with delivering(path, alert_journal) as delivery:
        with capture_logs() as logs:
            delivery.deliver([alert("a")])
            await delivery.settle()
        problem, left = delivery.problem, path.read_bytes()
        await async_eventually(lambda: alert_journal.hosts == ["a"], "the journal's entry")
        delivery.deliver([])
        await async_eventually(lambda: hosts(path) == ["a"], "the row")
        await async_eventually(lambda: not delivery.problem, "the recovery")
    whole = path.stat().st_size

    assert "Input/output error" in problem
    assert [line["log_level"] for line in logs if "not writable" in line["event"]] == ["error"]
    assert left == b""
    assert ("file", True, whole) in failing_sync["synced"]
    assert "directory" in [kind for kind, *_ in failing_sync["synced"]]
    assert alert_journal.hosts == ["a"]


@pytest.mark.fault("C2", rig="os.fsync, os.ftruncate patched", says="fsync fails, and so does taking back the rows")
def test_C2_neither_synced_nor_taken_back(
    tmp_path: Path, failing_sync: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that can be read and are perhaps not on the disk do not count as given: they go, and are written anew."""
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(path)
    log.append([alert("before")])
    failing_sync["fail"].append("file")
    with monkeypatch.context() as patch:
        patch.setattr("os.ftruncate", no_room_for_anything)
        with pytest.raises(SinkUnavailable, match="No space left"):
            log.append([alert("a")])
    left = hosts(path)

    assert log.append([alert("a")]) == [alert("a")]
    assert left == ["before", "a"]
    assert hosts(path) == ["before", "a"]
    assert failing_sync["synced"][-1] == ("file", True, path.stat().st_size)


def no_room_for_anything(*_: object) -> None:
    """Fail."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def no_room(disk: Path) -> Iterator[None]:
    """ENOSPC."""
    filler = fill(disk)
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """EROFS."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextlib.contextmanager
def no_quota(_disk: Path) -> Iterator[None]:
    """EDQUOT; patched, for a quota is a matter of the kernel's configuration."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.write", refuse)
        yield


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(no_room, "No space left"), (read_only, "Read-only file system"), (no_quota, "quota")],
    ids=["ENOSPC", "EROFS", "EDQUOT"],
)
@pytest.mark.fault("C3", rig="full tmpfs, remount", says="no room: ENOSPC, EROFS, EDQUOT")
async def test_C3_no_room(
    fault: Callable[[Path], contextlib.AbstractContextManager[None]],
    reason: str,
    small_disk: Path,
    alert_journal: AlertJournal,
    async_eventually: AsyncEventually,
) -> None:
    """The alert goes to the journal at once, and once; it is in the file when there is room, and not counted before."""
    path = small_disk / "alerts.jsonl"
    path.touch()
    async with delivering(path, alert_journal) as delivery:
        with fault(small_disk):
            delivery.deliver([alert("a", detail="x" * 6_000)])
            await delivery.settle()
            problem, given = delivery.problem, delivery.log.recent_keys(NOON)
            await async_eventually(lambda: alert_journal.hosts == ["a"], "the journal's entry")
        assert path.read_bytes() == b""
        delivery.deliver([])
        await async_eventually(lambda: hosts(path) == ["a"], "the row")
        await async_eventually(lambda: not delivery.problem, "the recovery")
        await delivery.settle()

    assert reason in problem
    assert given == []
    assert alert_journal.hosts == ["a"]


def enlarge(disk: Path) -> None:
    """Make room for all that waits."""
    subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)


@pytest.mark.fault("C3", rig="full tmpfs", says="no room for longer than alerts can wait")
async def test_C3_the_queue_is_bounded(
    small_disk: Path, alert_journal: AlertJournal, async_eventually: AsyncEventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are given up, with an error that holds them; the others are written, in their order."""
    monkeypatch.setattr("fleet_health.service.delivery._BATCHES", 3)
    path = small_disk / "alerts.jsonl"
    path.touch()
    async with delivering(path, alert_journal) as delivery:
        with capture_logs() as logs, no_room(small_disk):
            for number in range(5):
                delivery.deliver([alert(f"host-{number}", detail="x" * 6_000)])
                await delivery.settle()
            await async_eventually(lambda: len(alert_journal.hosts) == 5, "the journal's entries")
        monkeypatch.undo()
        enlarge(small_disk)
        delivery.deliver([])
        await async_eventually(lambda: hosts(path) == ["host-2", "host-3", "host-4"], "the rows")

    given_up = [line["alerts"] for line in logs if line["event"].startswith("alert queue full")]
    assert [text.partition("host=")[2].split()[0] for (text,) in given_up] == ["host-0", "host-1"]


STAGES = {
    "before the write": "os.write = only_for_alerts(os.write, die)",
    "in the middle of the write": "os.write = only_for_alerts(os.write, write_half)",
    "before the sync": "os.fsync = only_for_alerts(os.fsync, die)",
    "before the journal": "AlertLog.append = then_die(AlertLog.append)",
    "after the delivery": "Delivery._recover = after_alerts(Delivery._recover)",
}
DIE = """
import os, signal
from fleet_health.service.delivery import Delivery
from fleet_health.records.alert_log import AlertLog

write = os.write

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def write_half(fd, data):
    write(fd, data[:len(data) * 2 // 3])
    die()

def only_for_alerts(real, ours):
    return lambda fd, *rest: (ours if os.readlink(f"/proc/self/fd/{fd}").endswith("alerts.jsonl") else real)(fd, *rest)

def then_die(append):
    def appended(self, alerts):
        append(self, alerts)
        die()
    return appended

def after_alerts(recover):
    def recovered(self):
        recover(self)
        if self.log.path.stat().st_size:
            die()
    return recovered
"""


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.fault("C4", rig="kill -9", says="killed between write, sync and journal")
def test_C4_killed_at_each_stage(
    stage: str,
    site: Site,
    start_service: StartService,
    start_altered_service: Callable[[Site, str], Service],
    eventually: Callable[..., Any],
) -> None:
    """Whenever it is killed, after a restart every alert is in the file, and none twice in its hour."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_altered_service(site, f"{DIE}\n{STAGES[stage]}") as killed:
        eventually(lambda: killed.process.poll() is not None, "the death")
        assert killed.process.returncode == -signal.SIGKILL
    with start_service(site) as service:
        service.until(lambda: set(site.EVERY_ALERT) <= alerted(site.alerts), "the alerts")
        service.until_evaluated_anew()

        assert service.stop() == 0
    assert alerted(site.alerts) == set(site.EVERY_ALERT)
    assert_once_an_hour(rows(site.alerts))


def alerted(path: Path) -> set[tuple[str, str]]:
    """Return host and symptom of each row."""
    return {(row["host"], row["symptom"]) for row in rows(path)}


@pytest.mark.parametrize("how", ["create", "nocreate", "copytruncate"])
@pytest.mark.fault("C5", rig="logrotate", says="alerts.jsonl is rotated, by rename or by copytruncate")
def test_C5_alert_log_rotated(how: str, site: Site, start_service: StartService, do_without: DoWithout) -> None:
    """The next alert goes to the file at the path; what was rotated away is not given again, after a restart either."""
    if shutil.which("logrotate") is None:
        do_without("logrotate is not installed")
    configuration = site.directory / "logrotate.conf"
    configuration.write_text(f"{site.alerts} {{\n rotate 9\n nocompress\n nodateext\n {how}\n}}\n")
    configuration.chmod(0o600)
    rotate: list[str | Path] = ["logrotate", "--force", "--state", site.directory / "logrotate.state", configuration]
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as service:
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        subprocess.run(rotate, check=True)
        service.until_evaluated_anew()
        after_rotation = site.alerted()
        site.upload("quiet-too", minutes_ago=45)
        service.until(lambda: site.alerted() == [("quiet-too", "silent")], "the new alert, at the path")
        assert service.stop() == 0
    subprocess.run(rotate, check=True)
    with start_service(site) as service:
        service.until_ready()
        service.until_evaluated_anew()
        assert service.stop() == 0
    written = [row for number in ("", ".1", ".2") for row in rows(site.alerts.with_name(f"alerts.jsonl{number}"))]

    assert after_rotation == []
    assert {(row["host"], row["symptom"]) for row in written} == {*site.EVERY_ALERT, ("quiet-too", "silent")}
    assert_once_an_hour(written)


@pytest.mark.fault("C6", rig="two services", says="a second service on the same alert log")
def test_C6_two_services_on_one_log(site: Site, start_service: StartService, eventually: Callable[..., Any]) -> None:
    """It does not start and says who has the log, after a rotation too; when the first was killed, it does."""
    site.show_all_symptoms()
    site.sync_journal()
    with start_service(site) as first:
        first.until(lambda: site.alerted() == site.EVERY_ALERT, "the alerts")
        for _ in range(2):
            with start_service(site) as second:
                eventually(lambda second=second: second.process.poll() is not None, "the refusal")

                assert second.process.returncode not in (0, None)
                assert f"{site.alerts}: belongs to another service, process {first.process.pid}" in second.stderr
                assert second.notify.having("READY") == []
            site.alerts.rename(f"{site.alerts}.1")
            first.until_evaluated_anew()
        first.process.send_signal(signal.SIGSTOP)
        site.alerts.rename(f"{site.alerts}.1")
        with start_service(site) as second:
            eventually(lambda: second.process.poll() is not None, "the refusal before the first has looked again")

            assert f"belongs to another service, process {first.process.pid}" in second.stderr
        first.stop(signal.SIGKILL)
    with start_service(site) as third:
        third.until_ready()

        assert third.stop() == 0


class Machine:
    """The evaluation over real files, put together as the daemon does, under clocks that the test sets.

    Attributes:
        wall: What the wall clock shows; `run_on` lets time pass, an assignment sets the clock.
        monotonic: What the clock shows that stands still in suspend.

    """

    def __init__(
        self, site: Site, wall: Instant, tick_us: int = 5 * MINUTE_US, *, is_synchronized: bool = False
    ) -> None:
        self.wall, self.monotonic = wall, 0
        self.ticks: list[Instant] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.settings: Settings = load(site.config)
        rules = self.settings.rules()
        self.engine = Engine(replace(rules, policy=replace(rules.policy, tick_us=tick_us)))
        self.delivery = Delivery(
            AlertLog(site.alerts),
            JournalSink(str(site.directory / "nobody")),
            Pulse("writer", 600),
            counters=Counters(),
        )
        self.intake = Intake(
            clock=lambda: self.now(),  # noqa: PLW0108 - asked anew, for a test may put another in its place
            start=self._start,
            index_pulse=Pulse("index", 600),
            journal_pulse=Pulse("journal", 600),
            counters=Counters(),
        )
        self.evaluator = evaluator_of(
            intake=self.intake,
            engine=self.engine,
            delivery=self.delivery,
            clock=lambda: self.now(),  # noqa: PLW0108 - asked anew, for a test may put another in its place
            step_watch=StepWatch(self.now, lambda: self.monotonic),
            directory=site.directory,
            on_scheduled=self._note_tick,
            is_synchronized=is_synchronized,
        )

    def now(self) -> Instant:
        """Return the present."""
        return self.wall

    def run_on(self, us: int) -> None:
        """Let time pass."""
        self.wall += us
        self.monotonic += us

    async def tick(self) -> tuple[str, ...]:
        """Evaluate once; return when the alerts are written. Give what was not evaluated."""
        await self.evaluator._evaluate()
        await self.delivery.settle()
        assert self.engine.last is not None
        return self.engine.last.not_evaluated

    def start_ticking(self) -> None:
        """Evaluate at each tick from now on."""
        self._start(self.evaluator.run())

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _note_tick(self) -> None:
        assert self.engine.last is not None
        self.ticks.append(self.engine.last.at)

    async def __aenter__(self) -> Self:
        self._start(self.delivery.run())
        await self.intake.adopt(self.settings, self.engine.lookback)
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for source in self.intake._sources:
            await source.follower.close()
        self.delivery._journal.close()


def show_all_symptoms(site: Site, now: Instant) -> None:
    """Return every symptom a host of its own as of an instant, and one host that is well."""
    site.upload("quiet", at_us=now - 45 * MINUTE_US)
    site.upload("well", at_us=now - MINUTE_US)
    site.answer("well", 201, times=12, at_us=now - MINUTE_US)
    site.answer("refused", 412, times=12, at_us=now - MINUTE_US)
    site.warn_unstamped("unstamped", times=12, at_us=now - MINUTE_US)
    site.sync_journal()


@pytest.mark.fault("C7", rig="fake clock", says="a clock that starts in the past, then jumps to the present")
async def test_C7_clock_starts_in_the_past(site: Site) -> None:
    """Nobody is called silent at the jump; one tick later exactly those are found whom a right clock had found."""
    now = clock.now() // HOUR_US * HOUR_US + MINUTE_US
    show_all_symptoms(site, now)
    async with Machine(site, now - 40 * 24 * HOUR_US) as machine:
        await machine.tick()
        machine.run_on(5 * MINUTE_US)
        await machine.tick()
        in_the_past = rows(site.alerts)
        machine.wall = now
        unseen = await machine.tick()
        at_the_jump = rows(site.alerts)
        machine.run_on(5 * MINUTE_US)
        still_unseen = await machine.tick()
        in_the_end = rows(site.alerts)

    assert "silent" not in {row["symptom"] for row in at_the_jump}
    assert "well" not in {row["host"] for row in in_the_end}
    present = in_the_end[len(in_the_past) :]
    assert sorted((row["host"], row["symptom"]) for row in present) == site.EVERY_ALERT
    assert "silent" in unseen
    assert still_unseen == ()
    assert_once_an_hour(in_the_end)


@pytest.mark.parametrize("step_us", [2 * HOUR_US, -2 * HOUR_US, 90 * SECOND_US], ids=["ahead", "back", "by 90 s"])
@pytest.mark.fault("C7", rig="fake clock", says="a clock that NTP steps, there and back")
async def test_C7_clock_stepped(step_us: int, site: Site) -> None:
    """No host is called silent because the clock was set; nothing is said twice; and the watch goes on.

    Where a time server confirms the clock: otherwise a clock that was set back is not believed (S4).
    """
    now = NOON + 10 * MINUTE_US
    site.configure("[detectors.silent]\nafter = '31m'\n")
    show_all_symptoms(site, now)
    async with Machine(site, now, is_synchronized=True) as machine:
        await machine.tick()
        for step in (step_us, -step_us):
            machine.run_on(5 * MINUTE_US)
            machine.wall += step
            assert "silent" in await machine.tick()
            site.upload("well", at_us=machine.wall)  # by the clock that both go by
            machine.run_on(MINUTE_US)
            assert await machine.tick() == ()
        machine.run_on(32 * MINUTE_US)
        await machine.tick()
    written = rows(site.alerts)

    assert [row["detected_at_wall"] for row in written if row["host"] == "well"] == [
        isoformat(now + 44 * MINUTE_US)  # when it had really been away for long
    ]
    assert_once_an_hour(written)


@pytest.mark.parametrize("step_us", [20 * MINUTE_US, -20 * MINUTE_US], ids=["ahead", "back"])
@pytest.mark.fault("C7", rig="fake clock", says="a clock that is set while the sources are read")
async def test_C7_clock_stepped_while_the_sources_are_read(step_us: int, site: Site) -> None:
    """The sources have been read up to another present than the evaluation's. They are read again, not called away."""
    site.upload("well", at_us=NOON - MINUTE_US)
    site.answer("well", 201, at_us=NOON - MINUTE_US)
    site.sync_journal()
    async with Machine(site, NOON, is_synchronized=True) as machine:
        await machine.tick()
        machine.run_on(5 * MINUTE_US)
        poll = machine.intake.poll

        async def poll_and_step() -> None:
            await poll()
            machine.wall += step_us

        machine.intake.poll = poll_and_step  # type: ignore[method-assign]
        assert "silent" in await machine.tick()
        machine.intake.poll = poll  # type: ignore[method-assign]
        at = machine.engine.last
        site.upload("well", at_us=machine.wall)
        machine.run_on(5 * MINUTE_US)
        assert await machine.tick() == ()

    assert at is not None
    assert (at.at, at.findings) == (NOON + 5 * MINUTE_US + step_us, ())
    assert rows(site.alerts) == []


@pytest.mark.parametrize("calls", range(4))
@pytest.mark.fault("C8", rig="fake clock", says="the hour changes during an evaluation")
async def test_C8_hour_changes_during_an_evaluation(calls: int, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever in an evaluation it changes: row and key name one hour, and each hour has its alert once."""
    ends = NOON + HOUR_US
    site.upload("quiet", at_us=ends - 45 * MINUTE_US)
    async with Machine(site, ends - 10 * SECOND_US) as machine:
        running = itertools.count(ends - calls * SECOND_US - 1, SECOND_US)
        monkeypatch.setattr(machine, "now", lambda: next(running))  # every look at the clock takes a second
        await machine.tick()
        monkeypatch.undo()
        during = rows(site.alerts)
        machine.wall = ends + MINUTE_US
        machine.evaluator._step_watch.look()  # no matter of this test
        for _ in range(3):
            await machine.tick()
    written = rows(site.alerts)

    assert len(during) == 1
    assert utc_hour(ends) in [row["detected_at_wall"][:13] for row in written]
    assert_once_an_hour(written)


@pytest.mark.fault("C8", rig="service", says="a row of ours dated in the future")
def test_C8_row_from_the_future_suppresses_nothing(site: Site, start_service: StartService) -> None:
    """A row with this hour's key and the date of another hour keeps no alert back."""
    now = clock.now()
    planted = []
    for hours in (0, 1):  # should the hour change meanwhile
        row = Alert(Finding("quiet", "silent", "planted", ""), now + hours * HOUR_US).row()
        planted += [row | {"detected_at_wall": isoformat(now + ahead)} for ahead in (2 * HOUR_US, 10_000 * HOUR_US)]
    site.alerts.write_text("".join(json.dumps(row) + "\n" for row in planted))
    site.upload("quiet", minutes_ago=45)
    with start_service(site) as service:
        service.until(lambda: len(site.alert_rows()) > len(planted), "the alert")

        assert service.stop() == 0
    assert site.alert_rows()[len(planted)]["detail"].startswith("no accepted upload since")


@pytest.mark.fault("C9", rig="fake clock", says="suspend for eight hours, and resume")
async def test_C9_suspend_and_resume(site: Site, async_eventually: AsyncEventually) -> None:
    """There is one tick on waking, in which nobody is silent; the next finds who has really been away."""
    tick_us = SECOND_US // 5
    site.configure("[detectors.silent]\nafter = '31m'\n")
    show_all_symptoms(site, NOON)
    asleep_us = 0
    async with Machine(site, NOON, tick_us) as machine:
        begun_us = clock.monotonic_us()

        def monotonic() -> int:
            return clock.monotonic_us() - begun_us

        unseen: dict[Instant, tuple[str, ...]] = {}
        note_tick = machine._note_tick

        def note() -> None:
            note_tick()
            assert machine.engine.last is not None
            unseen[machine.ticks[-1]] = machine.engine.last.not_evaluated

        machine.now = lambda: NOON + monotonic() + asleep_us  # type: ignore[method-assign]
        machine.evaluator._step_watch = StepWatch(machine.now, monotonic)
        machine.evaluator._on_scheduled = note
        machine.start_ticking()
        await async_eventually(lambda: len(machine.ticks) >= 2, "two ticks")
        asleep_us = 8 * HOUR_US
        woken_at = machine.now()
        site.upload("well", at_us=woken_at)  # it was away as long as we slept, and is back
        await async_eventually(lambda: machine.ticks[-1] >= woken_at + 4 * tick_us, "ticks after waking")
        await machine.delivery.settle()
    after = [at for at in machine.ticks if at >= woken_at]
    numbers = [at // tick_us for at in machine.ticks]
    written = rows(site.alerts)

    assert numbers == sorted(set(numbers))  # none of the missed ticks is made up for
    assert "silent" in unseen[after[0]]
    assert "silent" not in unseen[after[1]]
    assert "well" not in {row["host"] for row in written}
    assert [row["detected_at_wall"] for row in written if row["host"] == "quiet"] == [
        isoformat(at) for at in (machine.ticks[0], after[1])
    ]


@pytest.mark.fault("C10", rig="fake clock", says="keys of alerts, hour by hour, for weeks")
def test_C10_keys_are_pruned(tmp_path: Path) -> None:
    """What is remembered, and what is read back at the start, does not grow with the weeks."""
    incidents, log = Incidents(), AlertLog(tmp_path / "alerts.jsonl")
    remembered, recalled = [], []
    for hour in range(14 * 24):
        at = NOON + hour * HOUR_US
        findings = tuple(Finding(f"host-{number}", "silent", "x" * 400, "") for number in range(10))
        due = incidents.update(Evaluation(at, findings)).alerts
        log.append(due)

        assert len(due) == 10
        remembered.append(sum(len(keys) for keys in incidents._dedup_keys.by_hour.values()))
        recalled.append(len(log.recent_keys(at)))

    assert max(remembered) == remembered[48] == remembered[-1]
    assert remembered[-1] <= 27 * 10
    assert recalled[-1] < max(recalled)
