"""The soak: the service on real files for two weeks of virtual time, after which it takes up what it did at first.

    python tests/soak/soak.py --days 14

The daemon runs in this process, on a loop whose time jumps (`virtual_time.py`). Each hour hosts come and go, fall
silent, are refused and carry no stamp (`fleet.py`); the index, the journal and the alert log are rotated, in all the
ways there are; and the configuration is reloaded, so that every source is opened anew, or it is refused. At the end of
each hour every alert must have been given, at the minute that the rules say, once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fleet_health.config.loading import load
from fleet_health.daemon.composition import Daemon
from tests.rig.virtual_time import VirtualLoop, VirtualTime
from tests.soak.fleet import Fleet
from tests.soak.footprint import MALLOC_TUNABLES, Footprint, names, warm_up
from tests.soak.inputs import Rotation
from tests.soak.leaks import LEAKS
from tests.soak.site import Site
from tests.soak.surroundings import Systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# In the past, and fixed: systemd-journal-remote sets files aside whose entries lie in the future.
_START = datetime(2025, 1, 6, tzinfo=UTC)

_MINUTE_S, _HOUR_S = 60, 3600
_TICKS_AN_HOUR = 12
_WATCHDOG_S = 60
_DAY = 24
_MOST_PROBLEMS = 30
_MEANT = "configuration refused", "limit does not fit rhythm of host"

_INDEX_ROTATIONS = tuple(Rotation)
# The service has it open only for as long as it writes.
_ALERT_ROTATIONS = Rotation.CREATED, Rotation.CREATED_LATE, Rotation.COPIED


class Soak:
    """One soak.

    Attributes:
        problems: What went wrong; a lot of it is cut off.
        done: How often what was done.

    """

    def __init__(self, directory: Path, hosts: int, seed: int, time: VirtualTime) -> None:
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self._time = time
        self._started_at = time.now()
        self._fleet = Fleet(hosts)
        self._site = Site(directory)
        self._systemd = Systemd(directory, _WATCHDOG_S)
        self._random = Random(seed)  # noqa: S311 - nothing here is secret
        self._first: Footprint | None = None
        # Before the service starts, so that it misses nothing.
        self._site.write(self._fleet.uploads(0, 0, self._random), self._started_at)

    async def run(self, hours: int, on_footprint: Callable[[int, Footprint], None]) -> None:
        """Let the service run for so many hours; return its footprint after the first, then daily, and at the end."""
        loop = asyncio.get_running_loop()
        with closing(self._site), self._site.log.taken(), self._systemd.listening(loop):
            service = asyncio.create_task(Daemon(lambda: load(self._site.config)).run())
            for hour in range(hours):
                await self._live_through(hour, service)
                if hour % _DAY == 0 or hour == hours - 1:
                    on_footprint(hour + 1, await self._compare(hour))
            os.kill(os.getpid(), signal.SIGTERM)
            await service
            self._read_log(hours)

    async def _live_through(self, hour: int, service: asyncio.Task[None]) -> None:
        disturbances = self._plan(hour)
        for minute in range(60):
            await self._sleep_until(hour, minute, 30)
            if service.done():
                service.result()
                raise AssertionError("the service ended by itself")
            self._site.write(self._fleet.uploads(hour, minute, self._random), self._time.now())
            if disturb := disturbances.get(minute):
                # By now everything has been read; what is cut off before would rightly be lost.
                await self._sleep_until(hour, minute, 50)
                disturb()
        await self._sleep_until(hour, 59, 45)
        self._check_alerts(hour)
        self._check_service(hour)
        self._check_ticks(hour)

    async def _sleep_until(self, hour: int, minute: int, second: int) -> None:
        at_us = self._started_at + (hour * _HOUR_S + minute * _MINUTE_S + second) * 1_000_000
        await asyncio.sleep((at_us - self._time.now()) / 1e6)

    # --- what is done to it

    def _plan(self, hour: int) -> dict[int, Callable[[], None]]:
        """Choose the minutes of the disturbances; a minute before the hour's end at most, for one leaves its traces."""
        minutes = self._random.sample(range(55), 4)
        if hour == 0:
            minutes.sort()  # the reload last: no later one will have more to read again
        disturbances = (
            lambda: self._rotate_index(_INDEX_ROTATIONS[hour % len(_INDEX_ROTATIONS)]),
            self._rotate_journal,
            lambda: self._rotate_alerts(_ALERT_ROTATIONS[hour % len(_ALERT_ROTATIONS)]),
            lambda: self._reload(is_refused=hour % 4 == 3),
        )
        return dict(zip(minutes, disturbances, strict=True))

    def _rotate_index(self, rotation: Rotation) -> None:
        self._site.rotate_index(self._time.now(), rotation)
        self.done["rotations of the index"] += 1

    def _rotate_journal(self) -> None:
        self._site.rotate_journal()
        self.done["rotations of the journal"] += 1

    def _rotate_alerts(self, rotation: Rotation) -> None:
        self._site.rotate_alerts(self._time.now(), rotation)
        self.done["rotations of the alert log"] += 1

    def _reload(self, *, is_refused: bool) -> None:
        if is_refused:
            self._site.misconfigure()
            self.done["reloads refused"] += 1
        else:
            self._site.reconfigure()
            self.done["reloads"] += 1
        os.kill(os.getpid(), signal.SIGHUP)

    # --- what must be so at the end of an hour

    def _check_alerts(self, hour: int) -> None:
        """Compare the alert logs with the rules: each alert of this hour, at its minute, once; and no other."""
        begun_at = datetime.fromtimestamp(self._started_at / 1e6 + hour * _HOUR_S, UTC)
        expected = Counter(self._fleet.expected_alerts(hour))
        given: Counter[tuple[str, str, int]] = Counter()
        for row in self._site.alert_rows():
            minute = (datetime.fromisoformat(row["detected_at_wall"]) - begun_at) // timedelta(minutes=1)
            if 0 <= minute < 60:
                given[row["host"], row["symptom"], minute] += 1
        for what, alerts in (("lost", expected - given), ("wrong or doubled", given - expected)):
            for host, symptom, minute in sorted(alerts):
                self._complain(hour, f"{what}: {host} {symptom} at minute {minute}")
        self._expect(hour, "alerts in the journal", self._systemd.alerts, expected.total())
        self._systemd.alerts = 0
        self.done["alerts"] += given.total()

    def _check_service(self, hour: int) -> None:
        """See that both sources are followed, and that the watchdog was fed."""
        for source in ("index", "journal"):
            if f"{source} following" not in self._systemd.status:
                self._complain(hour, f"{source} not followed: {self._systemd.status}")
        self._expect(hour, "feedings of the watchdog", self._systemd.notified["WATCHDOG"], _HOUR_S * 3 // _WATCHDOG_S)
        self._expect(hour, "reloads told to systemd", self._systemd.notified["RELOADING"], 1)
        self._systemd.notified.clear()

    def _check_ticks(self, hour: int) -> None:
        events = self._read_log(hour)
        ticks = events["evaluated"] - events["configuration reloaded"]  # what is reloaded is evaluated at once
        self._expect(hour, "ticks", ticks, _TICKS_AN_HOUR)
        self.done["ticks"] += ticks

    def _read_log(self, hour: int) -> Counter[str]:
        """Count the events of the log. Nothing is amiss but what the courses provoke, `_MEANT`."""
        events: Counter[str] = Counter()
        for line in self._site.log.take():
            events[line["event"]] += 1
            if line["level"] not in ("debug", "info") and not line["event"].startswith(_MEANT):
                self._complain(hour, f"logged: {line}")
        return events

    async def _compare(self, hour: int) -> Footprint:
        if self._first is None:
            await warm_up()
        footprint = Footprint.take()
        if self._first is None:
            self._first = footprint
        for difference in footprint.differences(self._first):
            self._complain(hour, difference)
        return footprint

    def _expect(self, hour: int, what: str, count: int, expected: int) -> None:
        if count != expected:
            self._complain(hour, f"{what}: {count}, not {expected}")

    def _complain(self, hour: int, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"hour {hour + 1}: {problem}")


def soak(hours: int, hosts: int, seed: int, leak: str | None = None) -> int:
    """Do it, saying what comes of it; return the exit status."""
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="fleet-health-soak-"))
    virtual_time = VirtualTime(int(_START.timestamp()) * 1_000_000)
    _say("".join(f"{title:>12}" for title in ("hours", *names())))
    with virtual_time.told(), LEAKS[leak]() if leak else nullcontext():
        soaked = Soak(directory, hosts, seed, virtual_time)
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(virtual_time)) as runner:
            runner.run(soaked.run(hours, _say_footprint))
    if soaked.problems:
        _say("\n  ".join(["FAILED:", *soaked.problems]))
    else:
        _say("ok: nothing has grown; no alert was lost, wrong or doubled")
    if soaked.problems and not leak:
        _say(f"the files are kept in {directory}")
    else:
        shutil.rmtree(directory)
    done = "; ".join(f"{what}: {count}" for what, count in {"hours": hours, **soaked.done}.items())
    _say(f"in {time.monotonic() - started:.0f} s (seed {seed}): {done}")
    return 1 if soaked.problems else 0


def _say_footprint(hours: int, footprint: Footprint) -> None:
    _say("".join(f"{figure:>12}" for figure in (hours, *astuple(footprint))))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the service for weeks of virtual time; see that nothing grows.")
    parser.add_argument("--days", type=float, default=14, metavar="N", help="how long; at least two hours (14)")
    parser.add_argument("--hosts", type=int, default=60, metavar="N", help="how many hosts at a time; at least 12 (60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what the disturbances are chosen by (1)")
    parser.add_argument("--leak", choices=LEAKS, help="put a leak into the service, to see that it is found")
    options = parser.parse_args(arguments)
    return soak(max(2, round(options.days * 24)), max(12, options.hosts), options.seed, options.leak)


if __name__ == "__main__":
    if os.environ.get("GLIBC_TUNABLES") != MALLOC_TUNABLES:  # read when a process starts
        os.execve(sys.executable, sys.orig_argv, os.environ | {"GLIBC_TUNABLES": MALLOC_TUNABLES})  # noqa: S606
    sys.exit(main())
