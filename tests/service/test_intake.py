"""The intake of the sources: they are read before each evaluation, and never in part."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.silences import SilenceWatch
from fleet_health.config.loading import load
from fleet_health.detectors.evaluation import lookback_of
from fleet_health.model.cadence import CadenceSnapshot
from fleet_health.model.counters import Counters
from fleet_health.model.coverage import Gap
from fleet_health.model.history import History
from fleet_health.service import clock
from fleet_health.service.examining import examined
from fleet_health.service.intake import Intake
from fleet_health.service.saved_state import SavedState
from fleet_health.service.saving import Saving, state_to_save
from fleet_health.service.service_manager import Pulse
from fleet_health.sources.index.tail import Tail
from tests.rig.site import now_us

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from fleet_health.model.fleet import Fleet
    from tests.conftest import AsyncEventually, Site


@asynccontextmanager
async def unhinted_intake() -> AsyncIterator[Intake]:
    """Sources that are only read when they are polled."""
    tasks: list[asyncio.Task[Any]] = []

    def start(work: Any) -> asyncio.Task[Any]:
        if work.cr_code.co_name == "follow":
            work.close()
            tasks.append(asyncio.create_task(asyncio.sleep(3600)))
        else:
            tasks.append(asyncio.create_task(work))
        return tasks[-1]

    yield Intake(
        clock=clock.now, start=start, index_pulse=Pulse("i", 1e9), journal_pulse=Pulse("j", 1e9), counters=Counters()
    )
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def uploaded(fleet: Fleet) -> list[str]:
    """Return the hosts that have uploaded."""
    return [host for host, _ in fleet.uploads.items()]


async def test_rows_that_a_slow_disk_returns_late_are_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch, async_eventually: AsyncEventually
) -> None:
    """An evaluation does not wait for a disk that hangs. Rows that are read later still count."""
    monkeypatch.setattr("fleet_health.service.intake._POLL_TIME", 0.05)
    is_free, is_waiting = threading.Event(), threading.Event()
    read = Tail.read

    def slow_read(tail: Tail) -> Any:
        block = read(tail)
        if block.lines:
            is_waiting.set()
            is_free.wait()
        return block

    monkeypatch.setattr(Tail, "read", slow_read)
    site.answer("any", 200)
    site.sync_journal()
    site.index.touch()
    settings = load(site.config)
    async with unhinted_intake() as intake:
        await intake.adopt(settings, lookback_of(settings.detectors()))
        site.upload("a")
        now = clock.now()
        await intake.poll()
        await async_eventually(is_waiting.is_set)
        await async_eventually(lambda: "journal" in intake.seen(now))
        hosts_while_waiting, seen_while_waiting = uploaded(intake.fleet), intake.seen(now)
        (index, _) = intake.states
        coverage = index.coverage(now)
        is_free.set()
        await async_eventually(lambda: uploaded(intake.fleet))
        await async_eventually(lambda: "index" in intake.seen(now))
        hosts = uploaded(intake.fleet)

    assert (hosts_while_waiting, hosts) == ([], ["a"])
    assert seen_while_waiting == {"journal"}
    assert coverage.reason == "reading it takes too long"
    assert not coverage.is_whole(now - 1, now)


async def test_observations_wait_while_another_thread_has_the_fleet(site: Site) -> None:
    """The fleet does not change during an evaluation, and no observation is lost."""
    site.answer("a", 200)
    site.sync_journal()
    site.upload("a")
    settings = load(site.config)
    async with unhinted_intake() as intake:
        await intake.adopt(settings, lookback_of(settings.detectors()))
        async with intake.paused() as fleet:
            site.upload("b")
            site.answer("b", 412)
            site.sync_journal()
            await intake.poll()
            await intake.reread(Gap(0, 1, "the clock was set"))
            held = (uploaded(fleet), [host for host, _ in fleet.traffic.items()])
        taken_in = (uploaded(intake.fleet), [host for host, _ in intake.fleet.traffic.items()])

    assert held == (["a"], ["a"])
    assert taken_in == (["a", "b"], ["a", "b"])


async def test_a_step_of_the_clock_leaves_a_gap_in_the_journal(site: Site) -> None:
    """Known gaps within the lookback stay known, although the journal is read again."""
    site.answer("a", 200)
    site.sync_journal()
    site.upload("a")
    settings = load(site.config)
    lookback = lookback_of(settings.detectors())
    now = now_us()
    out_of_reach = Gap(now - lookback.traffic_us - 2, now - lookback.traffic_us - 1, "long ago")
    known = Gap(now - lookback.traffic_us, now - lookback.traffic_us + 1, "vacuumed")
    set_by = Gap(now - 100_000_000, now, "the clock was set")
    async with unhinted_intake() as intake:
        await intake.adopt(settings, lookback)
        _, journal = intake.states
        journal.gaps = [out_of_reach, known]
        await intake.reread(set_by)
        gaps = {state.name: state.gaps for state in intake.states}

    assert gaps == {"index": [], "journal": [known, set_by]}


async def test_a_boot_that_is_dated_ahead_excuses_nobody_to_come(site: Site) -> None:
    """A shutdown with future times is cut off at the present, unless other records are as far ahead."""
    site.upload("a")
    settings, now = load(site.config), now_us()
    hour_us = 3_600_000_000
    found = []
    async with unhinted_intake() as intake:
        await intake.adopt(settings, lookback_of(settings.detectors()))
        intake.fleet.shut_down(now - hour_us, now + hour_us)
        intake.fleet.shut_down(now + hour_us, now + 2 * hour_us)
        for known_until in (now + hour_us, None):
            intake.distrust(after=known_until, until=0)
            await intake.reread(Gap(0, 1, "the clock was set"))
            found.append(intake.fleet.shutdowns)

    assert found[0] == ((now - hour_us, now + hour_us),)
    ((since, until),) = found[1]
    assert since == now - hour_us
    assert now <= until <= now_us()


async def rhythms_of(site: Site, saved: SavedState) -> tuple[dict[str, Any], SavedState]:
    """Start with a state. Return the rhythms that are known then, and the state that is saved."""
    settings = load(site.config)
    async with unhinted_intake() as intake:
        known = saved.known_past(settings.receivers, Incidents())
        await intake.start(settings, lookback_of(settings.detectors()), known)
        fleet = intake.fleet
        assert fleet.cadence is not None
        rhythms = {host: fleet.cadence.rhythm(host) for host in fleet.cadence.hosts()}
        state = state_to_save(
            Incidents(), intake, settings.receivers, SilenceWatch({}), History(), ahead_rows={}, disproved={}
        )
        content = Saving().due(state, clock.now(), fleet)
    assert content is not None
    return rhythms, examined(msgspec.json.decode(content, type=SavedState))[0]


async def test_rhythms_outlive_a_restart(site: Site) -> None:
    """Those of the state, with later rows, are the same as those of the whole index."""
    now, hour = now_us(), 3_600_000_000
    site.configure('[detectors.silent]\ncadence = "learned"')
    for age in range(500, 4, -1):
        site.upload("hourly", at_us=now - age * hour)
    site.upload("lately", at_us=now - 20 * 24 * hour)
    site.answer("by-journal", 201)
    site.sync_journal()

    first, saved = await rhythms_of(site, SavedState())
    kept, rows = site.index.read_bytes(), site.index.read_bytes().splitlines(keepends=True)
    site.index.write_bytes(b"".join(rows[-30:]))  # what is long ago is only in the state
    for age in (3, 2):
        site.upload("hourly", at_us=now - age * hour)
    second, again = await rhythms_of(site, saved)
    site.index.write_bytes(kept + b"".join(site.index.read_bytes().splitlines(keepends=True)[-2:]))
    whole, _ = await rhythms_of(site, SavedState())
    third, _ = await rhythms_of(site, again)

    assert first.keys() == {"hourly", "lately", "by-journal"}
    assert second == whole == third != first
    assert first["hourly"].bits.bit_count() == 496


async def test_rhythms_of_another_index_are_not_used(site: Site) -> None:
    """They may be those of other hosts."""
    site.configure('[detectors.silent]\ncadence = "learned"')
    site.upload("a", at_us=now_us() - 10_000_000_000)
    site.answer("any", 404)
    site.sync_journal()
    _, saved = await rhythms_of(site, SavedState())
    known = saved.known_cadence(load(site.config).receivers)
    site.config.write_text(site.config.read_text().replace("index.jsonl", "other.jsonl"))

    assert list(known.hosts) == ["a"]
    assert saved.known_cadence(load(site.config).receivers) == CadenceSnapshot()


async def test_learning_begins_and_ends_with_a_reload(site: Site) -> None:
    """The index is read again, as far back as learning needs. Rhythms that are no longer needed are dropped."""
    now, hour = now_us(), 3_600_000_000
    for age in range(100, 0, -1):
        site.upload("hourly", at_us=now - age * hour)
    site.answer("any", 404)
    site.sync_journal()
    known = []
    async with unhinted_intake() as intake:
        for cadence in ("fixed", "learned", "learned", "fixed"):
            site.configure(f'[detectors.silent]\ncadence = "{cadence}"')
            settings = load(site.config)
            await intake.adopt(settings, lookback_of(settings.detectors()))
            rhythm = None if intake.fleet.cadence is None else intake.fleet.cadence.rhythm("hourly")
            known.append(None if rhythm is None else rhythm.bits.bit_count())
            if cadence == "learned":
                await intake.reread(Gap(0, 1, "the clock was set"))

    assert known == [None, 100, 100, None]
