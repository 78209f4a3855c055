"""Crash rounds: the real service on real files, killed at random instants while its inputs and its log are rotated.

    python tests/crash/rounds.py --rounds 200 --seed 7

A round is planned from its seed: rows of the index and entries of the journal in a known order, and disturbances
between them. What the rules say of the workload does not depend on the instants of the ticks: every condition, once
it holds, holds to the end, and none is near a limit. So in the end the alert log, with what it was rotated to, must
hold each alert, each once in its hour, and no other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from fleet_health.demo.journal import JournalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

JOBS = 6
"""Rounds at a time: most of a round is waiting."""

_PATIENCE_S = 40.0
_MIN_COUNT = 3
_MINUTE_US = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- what is planned


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the index; one that is written in two pieces, `pause` seconds apart, if that is more than 0."""

    host: str
    minutes_ago: float
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal."""

    message: str
    minutes_ago: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the service run for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the service when it has lived for so long; with None as soon as it has written an alert."""

    age: float | None


@dataclass(frozen=True, slots=True)
class Start:
    """Start the service again."""


@dataclass(frozen=True, slots=True)
class Tear:
    """Cut bytes off the end of the alert log, at most its last line: what a power cut leaves. Only while it is dead."""

    size: int


@dataclass(frozen=True, slots=True)
class RotateIndex:
    """Rename the index; the new one is created at once, or by the next row."""

    is_numbered: bool
    is_created: bool


@dataclass(frozen=True, slots=True)
class RotateJournal:
    """Begin another journal file; the one before is renamed, as journald does, or not."""

    is_renamed: bool


@dataclass(frozen=True, slots=True)
class RotateAlerts:
    """Rotate the alert log as logrotate does: by renaming, with `create` or without, or by `copytruncate`."""

    is_numbered: bool
    is_copied: bool
    is_created: bool


Step: TypeAlias = Row | Entry | Wait | Kill | Start | Tear | RotateIndex | RotateJournal | RotateAlerts


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done in a round, and the (host, symptom) that the rules find in it."""

    steps: tuple[Step, ...]
    expected: frozenset[tuple[str, str]]


def make_plan(seed: str, *, is_disturbed: bool = True) -> Plan:
    """Plan a round from its seed."""
    random = Random(seed)  # noqa: S311 - nothing here is secret
    rows, entries, expected = _workload(random)
    steps: list[Step] = []
    while rows or entries:
        source: list[Any] = rows if random.random() * (len(rows) + len(entries)) < len(rows) else entries
        steps.append(source.pop(0))
    if is_disturbed:
        _disturb(steps, random)
    return Plan((Start(), *steps), frozenset(expected))


def _workload(  # noqa: C901 - one loop for each kind of host
    random: Random,
) -> tuple[list[Row], list[Entry], set[tuple[str, str]]]:
    expected: set[tuple[str, str]] = set()
    # What keeps a host from ever showing a symptom must be there first, or it would depend on the tick.
    first_rows, rows = [], []
    old_entries, first_entries, entries = [], [], []

    def hosts(kind: str, *symptoms: str) -> list[str]:
        names = [f"{kind}-{number}" for number in range(random.randint(1, 2))]
        expected.update((name, symptom) for name in names for symptom in symptoms)
        return names

    def row(host: str, earliest: float, latest: float) -> Row:
        return Row(host, random.uniform(earliest, latest), random.choice([0, 0, 0, 0.05, 0.3]))

    def refusals(host: str, count: int) -> list[str]:
        return [_access(host, random.choice([400, 412, 500, 503])) for _ in range(count)]

    for host in hosts("well"):
        rows += [row(host, 0, 15) for _ in range(3)]
        first_entries += [_access(host, 201), _access(host, 200)]
    for host in hosts("quiet", "silent"):
        rows += [row(host, 40, 600) for _ in range(random.randint(1, 3))]
    for host in hosts("disorderly"):
        first_rows.append(row(host, 0, 15))
        rows.append(row(host, 40, 600))
    for host in hosts("long-gone"):
        rows.append(row(host, 25 * 60, 50 * 60))
    for host in hosts("ahead"):
        first_rows.append(row(host, -600, -20))
        rows.append(row(host, 40, 50))
    for host in hosts("refused", "fatal-only"):
        entries += refusals(host, random.randint(_MIN_COUNT, 6))
    for host in hosts("seldom"):
        entries += refusals(host, _MIN_COUNT - 1)
        old_entries += refusals(host, 4)
    for host in hosts("lucky"):
        first_entries.append(_access(host, 201))
        entries += refusals(host, 5)
    for host in hosts("unstamped", "unstamped"):
        entries += [_warning(host) for _ in range(random.randint(_MIN_COUNT, 5))]
    for host in hosts("dire", "silent", "fatal-only", "unstamped"):
        rows.append(row(host, 40, 600))
        entries += [*refusals(host, _MIN_COUNT), *(_warning(host) for _ in range(_MIN_COUNT))]
    random.shuffle(rows)
    random.shuffle(entries)
    return (
        [*first_rows, *rows],
        # In the order of their times, as a journal is.
        [*(Entry(message, 40) for message in old_entries), *(Entry(message, 5) for message in first_entries + entries)],
        expected,
    )


def _access(host: str, status: int) -> str:
    return f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e1 HTTP/1.1" {status}'


def _warning(host: str) -> str:
    return f"WARNING: missing X-Cis490-Code-Commit host={host}, refused"


def _disturb(steps: list[Step], random: Random) -> None:
    """Put disturbances between the steps: at least three kills, and each kind of rotation in most rounds."""

    def insert(step: Step) -> None:
        steps.insert(random.randint(0, len(steps)), step)

    for _ in range(random.randint(0, 2)):
        insert(RotateIndex(random.random() < 0.5, random.random() < 0.5))
    for _ in range(random.randint(0, 2)):
        insert(RotateJournal(random.random() < 0.5))
    for _ in range(random.randint(1, 2)):
        insert(RotateAlerts(random.random() < 0.5, random.random() < 0.5, random.random() < 0.5))
    for _ in range(random.randint(1, 2)):
        insert(Wait(random.uniform(0.1, 0.6)))
    deaths = sorted(random.sample(range(len(steps) + 1), random.randint(3, 4)))
    for at, next_at in reversed(list(zip(deaths, [*deaths[1:], len(steps)], strict=True))):
        # The service is ready after half a second; a tick is a second.
        age = None if random.random() < 0.3 else random.choice([random.uniform(0, 0.5), random.uniform(0.3, 1.3)])
        torn = [Tear(random.choice([1, 1, 2, random.randint(3, 600)]))] if random.random() < 0.3 else []
        back_at = min(at + random.randint(0, 4), next_at)
        steps[at:back_at] = [Kill(age), *torn, *steps[at:back_at], Start()]


# --- how it is done


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a round."""

    seed: str
    kills: int
    rotations: int
    seconds: float
    problems: tuple[str, ...]
    directory: Path
    plan: Plan

    def __str__(self) -> str:
        """Say it in one line, and in several if it went wrong."""
        verdict = "ok" if not self.problems else "FAILED"
        line = f"{verdict}: {self.kills} kills, {self.rotations} rotations, {self.seconds:.1f} s (seed {self.seed})"
        return "\n  ".join([line, *self.problems, *([f"kept in {self.directory}"] if self.problems else [])])


@dataclass(slots=True)
class _Site:
    """The files of one round, and the service that watches them."""

    directory: Path
    base_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    kills: int = 0
    rotations: int = 0
    torn: int = 0
    _lives: int = 0
    _entries: int = 0
    _journal: JournalFile | None = None
    _service: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0

    @property
    def index(self) -> Path:
        return self.directory / "index.jsonl"

    @property
    def alerts(self) -> Path:
        return self.directory / "alerts.jsonl"

    @property
    def log(self) -> Path:
        return self.directory / f"stderr-{self._lives}"

    def configure(self) -> None:
        (self.directory / "config.toml").write_text(
            'tick = "1s"\nindex.path = "index.jsonl"\njournal.directory = "journal"\nalerts.path = "alerts.jsonl"\n'
            f"detectors.fatal-only.min_count = {_MIN_COUNT}\ndetectors.unstamped.min_count = {_MIN_COUNT}\n"
        )

    def do(self, step: Step) -> None:
        match step:
            case Row():
                self._write_row(step)
            case Entry():
                self._write_entry(step)
            case Wait():
                time.sleep(step.seconds)
            case Kill():
                self._kill(step.age)
            case Start():
                self.start()
            case Tear():
                self._tear(step.size)
            case _:
                self._rotate_something(step)

    def _rotate_something(self, step: RotateIndex | RotateJournal | RotateAlerts) -> None:
        match step:
            case RotateIndex():
                self._rotate(self.index, is_numbered=step.is_numbered)
                if step.is_created:
                    self.index.touch()
            case RotateJournal():
                self._rotate_journal(is_renamed=step.is_renamed)
            case RotateAlerts():
                self._rotate_alerts(step)

    def start(self) -> None:
        self._lives += 1
        with self.log.open("wb") as stderr:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "fleet_health", "run", "--config", "config.toml", "--log-level", "debug"],
                cwd=self.directory,
                env={
                    name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        self._started_at = time.monotonic()

    def stop(self) -> int:
        """Stop it in good order; give its exit status."""
        assert self._service is not None
        self._service.send_signal(signal.SIGTERM)
        return self._service.wait(_PATIENCE_S)

    def close(self) -> None:
        """End whatever runs."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()
        self.sync_journal()

    def sync_journal(self) -> None:
        """Return when every entry is in the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def is_running(self) -> bool:
        return self._service is not None and self._service.poll() is None

    def evaluations(self) -> int:
        return self.log.read_bytes().count(b'{"event":"evaluated"')

    def rows(self) -> tuple[list[dict[str, str]], int]:
        """Read every alert log; give the rows, and how many lines are not rows."""
        rows, torn = [], 0
        for file in self.directory.glob("alerts.jsonl*"):
            for line in file.read_bytes().splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    torn += 1
        return rows, torn

    def _write_row(self, row: Row) -> None:
        at = _EPOCH + timedelta(microseconds=self.base_us - round(row.minutes_ago * _MINUTE_US))
        line = json.dumps({"host_id": row.host, "received_at_wall": at.isoformat(), "bytes": 1000}).encode() + b"\n"
        half = len(line) // 2 if row.pause else len(line)
        with self.index.open("ab", buffering=0) as file:
            file.write(line[:half])
            time.sleep(row.pause)
            file.write(line[half:])

    def _write_entry(self, entry: Entry) -> None:
        if self._journal is None:
            directory = self.directory / "journal"
            directory.mkdir(exist_ok=True)
            self._journal = JournalFile(directory / f"receiver-{self.rotations}.journal")
        self._entries += 1  # a millisecond apart
        self._journal.append(
            entry.message, at_us=self.base_us - round(entry.minutes_ago * _MINUTE_US) + self._entries * 1000
        )

    def _kill(self, age: float | None) -> None:
        assert self._service is not None
        if age is None:
            before, ends_at = _state(self.alerts), time.monotonic() + 1.5
            while _state(self.alerts) == before and time.monotonic() < ends_at:
                time.sleep(0.0005)
        else:
            time.sleep(max(0.0, self._started_at + age - time.monotonic()))
        assert self._service.poll() is None, f"it ended by itself: {self.log.read_text()}"
        self._service.kill()
        self._service.wait()
        self.kills += 1

    def _tear(self, size: int) -> None:
        data = self.alerts.read_bytes() if self.alerts.exists() else b""
        if data.endswith(b"\n"):
            last_line = len(data) - (data[:-1].rfind(b"\n") + 1)
            os.truncate(self.alerts, len(data) - min(size, last_line))
            self.torn += 1

    def _rotate(self, path: Path, *, is_numbered: bool, is_copied: bool = False) -> None:
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

    def _rotate_alerts(self, step: RotateAlerts) -> None:
        # Whatever is written between copying and truncating is lost, says logrotate(8); so nothing is written then.
        with self._standing_still() if step.is_copied else contextlib.nullcontext():
            self._rotate(self.alerts, is_numbered=step.is_numbered, is_copied=step.is_copied)
        if step.is_created and not step.is_copied:
            self.alerts.touch()

    def _rotate_journal(self, *, is_renamed: bool) -> None:
        self.sync_journal()
        self.rotations += 1  # and so the next entry begins another file
        if is_renamed:
            for file in (self.directory / "journal").glob("receiver-?.journal"):
                file.rename(file.with_name(f"{file.stem}@{self.rotations:032x}.journal"))

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        service = self._service
        if service is None or service.poll() is not None:
            yield
            return
        service.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, service.pid, os.WSTOPPED)
        try:
            yield
        finally:
            service.send_signal(signal.SIGCONT)


def run_round(seed: str, *, is_disturbed: bool = True) -> Result:
    """Do one round. Its files are removed if it went well."""
    started = time.monotonic()
    plan = make_plan(seed, is_disturbed=is_disturbed)
    site = _Site(Path(tempfile.mkdtemp(prefix="fleet-health-crash-")))
    site.configure()
    started_at = _now()
    try:
        for step in plan.steps:
            site.do(step)
        site.sync_journal()
        site.index.touch()  # while it is away, nobody is judged to be silent
        settled_at = _settle(site, plan.expected)
        status = site.stop()
        problems = [] if status == 0 else [f"exit status {status}"]
        problems += _judge(site, plan.expected, started_at, settled_at)
    except (AssertionError, TimeoutError) as error:
        problems = [str(error)]
    finally:
        site.close()
    if not problems:
        shutil.rmtree(site.directory)
    return Result(seed, site.kills, site.rotations, time.monotonic() - started, tuple(problems), site.directory, plan)


def _settle(site: _Site, expected: frozenset[tuple[str, str]]) -> datetime:
    """Wait until the alerts are there, and for a tick more, all within one hour; give the time when that was so."""
    ends_at = time.monotonic() + _PATIENCE_S
    while True:
        begun_at = _now()
        # The first that is logged from now on may have begun before the last row was written.
        target = site.evaluations() + 2
        while site.evaluations() < target and time.monotonic() < ends_at:
            assert site.is_running(), f"it ended by itself: {site.log.read_text()}"
            time.sleep(0.02)
        while not _has_all(site, expected, begun_at) and time.monotonic() < min(ends_at, time.monotonic() + 1):
            time.sleep(0.02)
        if _hour(_now()) == _hour(begun_at) or time.monotonic() > ends_at:
            return begun_at


def _has_all(site: _Site, expected: frozenset[tuple[str, str]], at: datetime) -> bool:
    rows, _ = site.rows()
    return expected <= {(row["host"], row["symptom"]) for row in rows if row["detected_at_wall"][:13] == _hour(at)}


def _judge(
    site: _Site, expected: frozenset[tuple[str, str]], started_at: datetime, settled_at: datetime
) -> Iterator[str]:
    """Compare the alert logs with what the rules say: all of it in the last hour, none but that in an hour before."""
    rows, unreadable = site.rows()
    times = Counter((row["host"], row["symptom"], row["detected_at_wall"][:13]) for row in rows)
    last_hour = _hour(settled_at)
    for host, symptom in sorted(expected):
        if not times[host, symptom, last_hour]:
            yield f"lost: {host} {symptom} in {last_hour}"
    for (host, symptom, hour), count in sorted(times.items()):
        if count > 1:
            yield f"{count} times: {host} {symptom} in {hour}"
        if (host, symptom) not in expected:
            yield f"wrong: {host} {symptom} in {hour}"
        if not _hour(started_at) <= hour <= last_hour:
            yield f"in no hour of this round: {host} {symptom} in {hour}"
    # A kill tears a line by itself when it comes in the middle of a write of more than a page.
    if unreadable > site.torn + site.kills:
        yield f"{unreadable} lines are no rows; {site.torn} were torn, and there were {site.kills} kills"


def _now() -> datetime:
    return datetime.now(UTC)


def _hour(at: datetime) -> str:
    return at.isoformat()[:13]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size


def run_rounds(
    count: int, seed: int, *, jobs: int = JOBS, on_result: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Do rounds, several at a time; give their results in order."""

    def run(number: int) -> Result:
        result = run_round(f"{seed}/{number}")
        on_result(result)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run, range(count)))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; give the exit status."""
    parser = argparse.ArgumentParser(
        description="Kill the service at random instants; see that no alert is lost or doubled."
    )
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what they are planned from (1)")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"how many at a time ({JOBS})")
    parser.add_argument("--round", metavar="SEED/NUMBER", help="do this one again, and show its plan")
    options = parser.parse_args(arguments)
    if options.round:
        result = run_round(options.round)
        _say("\n".join([*(repr(step) for step in result.plan.steps), str(result)]))
        return 1 if result.problems else 0
    started, done = time.monotonic(), Counter[bool]()

    def report(result: Result) -> None:
        done[not result.problems] += 1
        _say(f"[{done.total()}/{options.rounds}] {result}")

    results = run_rounds(options.rounds, options.seed, jobs=options.jobs, on_result=report)
    kills, rotations = sum(result.kills for result in results), sum(result.rotations for result in results)
    _say(
        f"{done[True]} of {len(results)} rounds ok: {kills} kills, {rotations} rotations"
        f" in {time.monotonic() - started:.0f} s (seed {options.seed})"
    )
    return 1 if done[False] else 0


if __name__ == "__main__":
    sys.exit(main())
