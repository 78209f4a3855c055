"""E: one loop serves everything, so nothing may hold it up, and nothing may end in it unseen."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.model.fleet import Traffic, Uploads
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.source import JournalFollower
from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import Service, Site

NOW = 1_795_460_100_000_000
ACCESS = 'INFO:     10.0.0.1:50000 - "PUT /v1/episodes/pi-01/e1 HTTP/1.1" 422 Unprocessable Entity'


def journal_follower(directory: Path, deliver: Callable[[Any], None]) -> JournalFollower:
    """Follow a directory of journal files, as of NOW."""
    settings = load(None, {"journal.directory": ("--journal-directory", str(directory))}).receivers[0].journal
    return JournalFollower(settings, lookback_us=1_800_000_000, deliver=deliver, clock=lambda: NOW)


def index_follower(path: Path, deliver: Callable[[Any], None]) -> IndexFollower:
    """Follow an index, as of NOW."""
    settings = load(None, {"index.path": ("--index-path", str(path))}).receivers[0].index
    return IndexFollower(settings, lookback_us=1_800_000_000, deliver=deliver, clock=lambda: NOW)


class Turns:
    """Everything else that wants to run in the loop.

    Attributes:
        count: How many turns it has had.
        longest_wait: The most seconds between two of them, on a clock that a test moves.
        now: What that clock shows.

    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_wait = 0.0
        self.now = 0.0

    async def take(self) -> None:
        """Take a turn whenever there is one."""
        while True:
            before = self.now
            await asyncio.sleep(0)
            self.count += 1
            self.longest_wait = max(self.longest_wait, self.now - before)


@pytest.fixture
async def turns() -> AsyncIterator[Turns]:
    """Have something else run in the loop."""
    others = Turns()
    task = asyncio.create_task(others.take())
    yield others
    task.cancel()


@pytest.mark.fault("E1", rig="R3")
async def test_E1_a_backlog_of_the_journal_leaves_the_loop_its_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: Turns
) -> None:
    """On a machine that takes a tenth of a millisecond for an entry, nothing waits longer than 20 ms for its turn."""
    with JournalFile(tmp_path / "x.journal") as journal:
        for number in range(6400):
            journal.append(ACCESS, at_us=NOW - 1_000_000 + number)
    source = journal_follower(tmp_path, Traffic().record)
    parse_into = source._reading._parse_into

    def parse_slowly(*arguments: Any) -> None:
        turns.now += 0.0001
        parse_into(*arguments)

    monkeypatch.setattr(source._reading, "_parse_into", parse_slowly)
    monkeypatch.setattr("fleet_health.sources.journal.reading.time", SimpleNamespace(monotonic=lambda: turns.now))

    await source.poll()
    await source.close()

    assert source.state.read == 6400
    assert 0 < turns.longest_wait <= 0.020


@pytest.mark.fault("E1", rig="files")
async def test_E1_a_backlog_of_the_index_leaves_the_loop_its_turns(site: Site, turns: Turns) -> None:
    """It comes in blocks of some thousand rows, and everything else has its turn between two of them."""
    site.upload(*(f"host-{number}" for number in range(20_000)), at_us=NOW - 1)
    uploads, turns_had, sizes = Uploads(20_000), [], []

    def deliver(rows: list[Any]) -> None:
        if rows:
            turns_had.append(turns.count)
            sizes.append(len(rows))
        uploads.record(rows)

    source = index_follower(site.index, deliver)
    await source.poll()
    await source.close()

    assert len(list(uploads.items())) == sum(sizes) == 20_000
    assert len(sizes) > 1
    assert sorted(set(turns_had)) == turns_had


@pytest.mark.fault("E2", rig="service")
def test_E2_a_sync_that_takes_its_time_holds_up_nothing_else(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """While the disk syncs the ticks go on and the watchdog is fed; what is found meanwhile is written afterwards."""
    card_is_done = site.directory / "card-is-done"
    site.show_all_symptoms()
    site.sync_journal()
    code = f"""
import os, time
from pathlib import Path

os.environ["WATCHDOG_USEC"] = "6000000"
fsync = os.fsync

def fsync_to_a_worn_card(fd):
    while not Path({json.dumps(str(card_is_done))}).exists():
        time.sleep(0.01)
    fsync(fd)

os.fsync = fsync_to_a_worn_card
"""
    with start_altered_service(site, code) as service:
        service.until(lambda: service.evaluations() >= 1, "the first tick")
        fed = len(service.notify.having("WATCHDOG"))
        site.upload("quiet-too", minutes_ago=40)
        service.until_evaluated_anew()
        service.until(lambda: len(service.notify.having("WATCHDOG")) > fed, "WATCHDOG=1")
        while_syncing = site.alerted()
        card_is_done.touch()
        service.until(lambda: ("quiet-too", "silent") in site.alerted(), "the alert that waited")

        assert ("quiet-too", "silent") not in while_syncing
        assert set(site.alerted()) == {*site.EVERY_ALERT, ("quiet-too", "silent")}


@pytest.mark.fault("E3", rig="service")
def test_E3_a_source_that_fails_does_not_end_the_service(
    site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """While a disk gives errors, the other source's hosts are evaluated; once it gives none, so are the others."""
    is_mended = site.directory / "is-mended"
    site.show_all_symptoms()
    site.configure()
    code = f"""
import os
from fleet_health.sources.index import open_file

class Disk:
    def __getattr__(self, name):
        return getattr(os, name)
    def pread(self, *arguments):
        if not os.path.exists({json.dumps(str(is_mended))}):
            raise OSError(5, "Input/output error")
        return os.pread(*arguments)

open_file.os = Disk()
"""
    with start_altered_service(site, code) as service:
        service.until(lambda: len(site.alerted()) == 2, "the alerts that the journal is enough for")
        alerted = site.alerted()
        service.until(lambda: "index failing" in service.notify.status, "the status")
        is_mended.touch()
        service.until(lambda: site.alerted() == site.EVERY_ALERT, "the alert that needs the index")

        assert [symptom for _, symptom in alerted] == ["fatal-only", "unstamped"]
        assert service.stop() == 0


class _Enough(Exception):  # noqa: N818 - how a test leaves a loop without end
    """Enough has been seen."""


@pytest.mark.fault("E3", rig="files")
async def test_E3_a_source_that_keeps_failing_is_tried_less_and_less_often(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, then after twice as long each time, up to a minute."""
    site.upload("pi-01", at_us=NOW - 1)
    rests: list[float] = []

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 9:
            raise _Enough

    monkeypatch.setattr("os.pread", fail)
    monkeypatch.setattr("fleet_health.sources.follower.asyncio.sleep", rest)
    source = index_follower(site.index, Uploads().record)

    with pytest.raises(_Enough):
        await source.follow()

    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.fault("E3", rig="service")
@pytest.mark.parametrize(
    ("module", "step"),
    [
        pytest.param("sources.journal.source", "JournalFollower._read_to_end", id="journal"),
        pytest.param("sources.index.source", "IndexFollower._read_to_end", id="index"),
        pytest.param("service.ticker", "Evaluator._evaluate", id="evaluator"),
        pytest.param("records.alert_log", "AlertLog.probe", id="writer"),
    ],
)
def test_E3_a_mistake_of_ours_ends_the_service(
    module: str, step: str, site: Site, start_altered_service: Callable[[Site, str], Service]
) -> None:
    """In whichever part it is made: with a traceback, and a status that is neither success nor a bad configuration."""
    mistake = site.directory / "mistake"
    owner, method = step.split(".")
    code = f"""
from pathlib import Path
from fleet_health.{module} import {owner}

original = {step}

def make_a_mistake(*arguments, **named):
    if Path({json.dumps(str(mistake))}).exists():
        raise RuntimeError("a mistake of ours")
    return original(*arguments, **named)

{owner}.{method} = make_a_mistake
"""
    with start_altered_service(site, code) as service:
        service.until_ready()
        mistake.touch()
        status = service.process.wait(PATIENCE_S)

        assert status not in (0, 2)
        assert "RuntimeError: a mistake of ours" in service.stderr


@pytest.mark.fault("E7", rig="R3")
async def test_E7_our_own_alerts_are_not_read_back(tmp_path: Path) -> None:
    """What another unit says, or an entry that merely names the receiver's unit, counts for nobody."""
    with JournalFile(tmp_path / "x.journal") as journal:
        journal.append(ACCESS, at_us=NOW - 5, unit="fleet-health.service")
        journal.append(ACCESS, at_us=NOW - 4, unit="fleet-health.service", UNIT="cis490-receiver.service")
        journal.append(f"ALERT host=pi-01 {ACCESS}", at_us=NOW - 3, unit="fleet-health.service", FLEET_HOST="pi-01")
        journal.append(ACCESS, at_us=NOW - 2)
    traffic = Traffic()
    source = journal_follower(tmp_path, traffic.record)

    await source.poll()
    await source.close()

    window = traffic.window("pi-01")
    assert window is not None
    assert window.count_by_status(0, NOW) == {422: 1}
