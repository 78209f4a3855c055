"""The files of one round and the service that watches them: every step of a plan is done here."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.disturbances import (
    CompressAlerts,
    DamageState,
    DateStateAhead,
    Kill,
    RotateAlerts,
    RotateIndex,
    RotateJournal,
    SetClock,
    Start,
    Tear,
    Wait,
)
from tests.crash.workload import Entry, Row
from tests.rig.fake_clock import FakeClock, find_libfaketime
from tests.rig.patience import POLL_S
from tests.rig.service_process import Service
from tests.rig.site import Site, index_row, now_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.disturbances import Rotation, Step

_LONGEST_WAIT_FOR_AN_ALERT_S = 1.5


@dataclass(slots=True)
class DisturbedSite(Site):
    """A site that is written, rotated and torn, and whose service is killed.

    Attributes:
        base_us: The present from which the plan counts back; it stands still, so that every time is known beforehand.
        kills: How often the service was killed.
        rotations: How often a file was rotated.
        torn: How often the end of the alert log was cut off.
        clock: The service's clock; None where libfaketime is not installed, and it goes by the machine's.
        earliest_us: The earliest that this clock has shown.
        steps: How often it was set.
        damages: How often the saved state was damaged or dated ahead.

    """

    base_us: int = field(default_factory=now_us)
    kills: int = 0
    rotations: int = 0
    torn: int = 0
    clock: FakeClock | None = None
    earliest_us: int = field(default_factory=now_us)
    steps: int = 0
    damages: int = 0
    _entries: int = 0
    _lives: list[Service] = field(default_factory=list)
    _started_at: float = 0.0

    @property
    def service(self) -> Service:
        """The service's present life, or its last one."""
        return self._lives[-1]

    def do(self, step: Step) -> None:
        """Do a step of the plan."""
        match step:
            case Row():
                self._write_row(step)
            case Entry():
                self._write_entry(step)
            case Wait():
                time.sleep(step.seconds)
            case Kill():
                self._kill(step)
            case Start():
                self._start()
            case SetClock():
                self._set_clock(step.offset_s)
            case Tear() | DateStateAhead() | DamageState():
                self._damage(step)
            case _:
                self._rotate(step)

    def close(self) -> None:
        """End whatever runs; leave the log of each life beside the files."""
        for number, life in enumerate(self._lives, start=1):
            (self.directory / f"stderr-{number}").write_text(life.stderr)
            life.close()
        self.sync_journal()

    def _before(self, minutes: float) -> int:
        return self.base_us - round(minutes * 60e6)

    def _write_row(self, row: Row) -> None:
        line = index_row(row.host, self._before(row.minutes_ago))
        half = len(line) // 2 if row.pause else len(line)
        with self.index.open("ab", buffering=0) as file:
            file.write(line[:half])
            time.sleep(row.pause)
            file.write(line[half:])

    def _write_entry(self, entry: Entry) -> None:
        self._entries += 1
        at_us = self._before(entry.minutes_ago) + self._entries * 1000  # a millisecond apart
        if entry.status is None:
            self.warn_unstamped(entry.host, at_us=at_us)
        else:
            self.answer(entry.host, entry.status, at_us=at_us)

    def _start(self) -> None:
        if self.clock is None and (library := find_libfaketime()) is not None:
            self.clock = FakeClock(library, self.directory / "clock")
        environment = {} if self.clock is None else self.clock.environment
        self._lives.append(Service(self, environment))
        self._started_at = time.monotonic()

    def _kill(self, kill: Kill) -> None:
        born_at = self._started_at
        if kill.is_since_ready:
            self.service.until_ready()
            born_at = time.monotonic()
        if kill.age is None:
            before, ends_at = _identity(self.alerts), time.monotonic() + _LONGEST_WAIT_FOR_AN_ALERT_S
            while _identity(self.alerts) == before and time.monotonic() < ends_at:
                time.sleep(0.0005)
        else:
            time.sleep(max(0.0, born_at + kill.age - time.monotonic()))
        assert self.service.is_running, f"it ended by itself: {self.service.stderr}"
        self.service.stop(signal.SIGKILL)
        self.kills += 1

    @property
    def _state(self) -> Path:
        return self.directory / "state" / "state.json"

    def _set_clock(self, offset_s: int) -> None:
        if self.clock is not None:
            self.clock.set(offset_s)
            self.earliest_us = min(self.earliest_us, now_us() + offset_s * 1_000_000)
            self.steps += 1

    def _damage(self, step: Tear | DateStateAhead | DamageState) -> None:
        match step:
            case Tear():
                self._tear(step.size)
            case DateStateAhead():
                self._date_state_ahead(step.seconds)
            case DamageState():
                self._damage_state(step.text)

    def _date_state_ahead(self, seconds: float) -> None:
        # There may be none yet, or one that was damaged at the last death and not replaced since.
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            state = json.loads(self._state.read_bytes())
            if state["incidents"]["at"] is not None:
                state["incidents"]["at"] = now_us() + round(seconds * 1e6)
                self._replace_state(json.dumps(state).encode())

    def _damage_state(self, text: str | None) -> None:
        if self._state.exists():
            data = self._state.read_bytes()
            self._replace_state(data[: len(data) // 2] if text is None else text.encode())

    def _replace_state(self, data: bytes) -> None:
        """Replace the state, with the time at which the service saved it: that tells which alerts it knew."""
        saved = self._state.stat()
        self._state.write_bytes(data)
        os.utime(self._state, ns=(saved.st_atime_ns, saved.st_mtime_ns))
        self.damages += 1

    def _compress_alerts(self) -> None:
        """Rotate twice, and compress what the state tells of; whoever rotates within a tick's write is too early."""
        self._set_aside(self.alerts, is_numbered=True)
        if self._is_saved_since(first := self.alerts.with_name("alerts.jsonl.1")):
            self.rotations += 1
            compressed = self.alerts.with_name(f"alerts.jsonl-{self.rotations}.gz")
            compressed.write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()

    def _is_saved_since(self, file: Path) -> bool:
        """Return whether the state was saved after a file was written: then it tells of every alert in it."""
        if not file.exists() or not self._state.exists():
            return False
        return self._state.stat().st_mtime_ns > file.stat().st_mtime_ns

    def _tear(self, size: int) -> None:
        # What was synced is not lost, and the state is saved after that: by then the last row is safe.
        if self._is_saved_since(self.alerts):
            return
        data = self.alerts.read_bytes() if self.alerts.exists() else b""
        if data.endswith(b"\n"):
            last_line = len(data) - (data[:-1].rfind(b"\n") + 1)
            os.truncate(self.alerts, len(data) - min(size, last_line))
            self.torn += 1

    def _rotate(self, rotation: Rotation) -> None:
        match rotation:
            case CompressAlerts():
                self._compress_alerts()
            case RotateIndex():
                self._set_aside(self.index, is_numbered=rotation.is_numbered)
                if rotation.is_created:
                    self.index.touch()
            case RotateJournal():
                self._rotate_journal(is_renamed=rotation.is_renamed)
            case RotateAlerts(is_copied=True):
                # Whatever is written between copying and truncating is lost, says logrotate(8); so nothing is written.
                with self._standing_still():
                    self._set_aside(self.alerts, is_numbered=rotation.is_numbered, is_copied=True)
            case RotateAlerts():
                self._set_aside(self.alerts, is_numbered=rotation.is_numbered)
                if rotation.is_created:
                    self.alerts.touch()

    def _set_aside(self, path: Path, *, is_numbered: bool, is_copied: bool = False) -> None:
        if not path.exists():
            return
        self.rotations += 1
        if is_numbered:
            for number in range(9, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(f"{path.name}.{number}").rename(path.with_name(f"{path.name}.{number + 1}"))
            target = path.with_name(f"{path.name}.1")
        else:
            target = path.with_name(f"{path.name}-20261123.{self.rotations}")
        if is_copied:
            shutil.copyfile(path, target)
            os.truncate(path, 0)
        else:
            path.rename(target)

    def _rotate_journal(self, *, is_renamed: bool) -> None:
        self.sync_journal()
        self.rotations += 1
        if is_renamed:
            for file in self.journal_directory.glob("*.journal"):
                if "@" not in file.name:
                    file.rename(file.with_name(f"{file.stem}@{self.rotations:032x}.journal"))
        self.journal_name = f"receiver-{self.rotations}.journal"

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        process = self.service.process
        if not self.service.is_running:
            yield
            return
        process.send_signal(signal.SIGSTOP)
        # It is not our child, so the kernel tells us by its state alone.
        while Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "T":
            time.sleep(POLL_S)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size
