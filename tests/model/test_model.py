"""The core, the evaluator, the sources' rules and the real alert log, against a count over everything ever written.

A state machine writes rows and entries (late, early, twice), lets time pass, sets the clock, reloads, rotates, and
kills the service at will. The clock is its own, the index and the alert log are real files; the journal is a list.
What must come of it is counted anew at each tick, straight from the rules, over all that was ever written. Clocks are
set by more than a minute or forward; what a smaller step back brings back into a window may have been forgotten.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fleet_health.config.loading import load
from fleet_health.domain.detectors.fatal_only import FatalOnlyLimits
from fleet_health.domain.detectors.silent import SilentLimits
from fleet_health.domain.detectors.unstamped import UnstampedLimits
from fleet_health.domain.evaluation import reach_of
from fleet_health.domain.incidents import Incidents
from fleet_health.domain.instant import SECOND_US, isoformat, utc_hour
from fleet_health.domain.limits import HostLimits, Override
from fleet_health.domain.suggested_fix import SuggestedFix
from fleet_health.service.clock import StepWatch
from fleet_health.service.delivery import Delivery
from fleet_health.service.evaluator import Evaluator
from fleet_health.service.intake import Intake
from fleet_health.service.notify import Pulse
from fleet_health.sinks.alert_log import AlertLog
from fleet_health.sinks.journal import JournalSink
from fleet_health.sources.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from fleet_health.config.schema import JournalSettings, Settings

MINUTE = 60 * SECOND_US
START_AT = 1_614_601_800_000_000  # 2021-03-01T12:30:00Z: rotated files must look young, and their times are real ones
FUTURE_LIMIT = 5 * MINUTE
STEP_LIMIT = MINUTE
PATIENCE_S = 10.0

HOSTS = ("pi-1", "pi-2", "bench-1")
FIX = SuggestedFix("look at $host")


class Rules(NamedTuple):
    """The limits of all symptoms, in minutes, for some hosts."""

    after: int
    lookback: int
    fatal_window: int
    fatal_min_count: int
    ratio: float
    unstamped_window: int
    unstamped_min_count: int


class Limits(NamedTuple):
    """The limits in force."""

    default: Rules
    bench: Rules

    def of(self, host: str) -> Rules:
        """Give one host's."""
        return self.bench if host.startswith("bench-") else self.default

    @property
    def lookback(self) -> int:
        """How far back the ships must be known, in microseconds."""
        return max(rules.lookback for rules in self) * MINUTE

    def applied_to(self, base: Settings) -> Settings:
        """Give settings with these limits."""

        def split(rules: Rules) -> tuple[SilentLimits, FatalOnlyLimits, UnstampedLimits]:
            return (
                SilentLimits(rules.after * MINUTE, rules.lookback * MINUTE, FIX),
                FatalOnlyLimits(rules.fatal_window * MINUTE, rules.fatal_min_count, rules.ratio, FIX, FIX),
                UnstampedLimits(rules.unstamped_window * MINUTE, rules.unstamped_min_count, FIX),
            )

        def changes(limits: Any) -> list[Override]:
            return [Override("bench-*", {name: getattr(limits, name) for name in limits.__slots__})]

        ours, theirs = split(self.default), split(self.bench)
        return replace(
            base,
            silent=HostLimits(ours[0], changes(theirs[0])),
            fatal_only=HostLimits(ours[1], changes(theirs[1])),
            unstamped=HostLimits(ours[2], changes(theirs[2])),
        )


@dataclass
class Row:
    """A row of the index.

    Attributes:
        host: Who shipped.
        at: The time that stands in it.
        counted: What it counts as, at the earliest and at the latest; None until it is read. One from the future
            is taken as now, and it depends on how a reload goes about its work whether now is then a later one.

    """

    host: str
    at: int
    counted: tuple[int, int] | None = None

    def read(self, now: int) -> int:
        """Say what it counts as for who reads it now."""
        return self.at if self.at <= now + FUTURE_LIMIT else now


class Entry(NamedTuple):
    """An entry of the journal: an answer with a status, or with None a warning of an unstamped upload."""

    host: str
    at: int
    status: int | None

    @property
    def message(self) -> bytes:
        """What the receiver wrote."""
        if self.status is None:
            return f"WARNING: missing X-Cis490-Code-Commit host={self.host}, refused".encode()
        return f'10.0.0.7:51234 - "PUT /v1/episodes/{self.host}/e1 HTTP/1.1" {self.status}'.encode()


class Verdict(NamedTuple):
    """What matters of a finding: the counts in its detail too."""

    host: str
    symptom: str
    counts: tuple[int, ...] = ()


class ListReader:
    """Reads a list of entries as `JournalReader` does a journal."""

    fd = 0

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._since: int | None = None
        self._place = 0

    def seek(self, since: int) -> None:
        """Begin with what is dated so or later; all that comes afterwards is read whatever its date."""
        self._older = {number for number, entry in enumerate(self._entries) if entry.at < since}

    def read(self) -> Iterator[tuple[bytes | None, int]]:
        """Read on to the present end."""
        while self._place < len(self._entries):
            self._place += 1
            if self._place - 1 not in self._older:
                entry = self._entries[self._place - 1]
                yield entry.message, entry.at

    def cursor(self) -> str:
        """Name the place."""
        return str(self._place)

    def process(self) -> None:
        """Do nothing."""

    def is_outdated(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Do nothing."""


RULES = st.builds(
    Rules,
    after=st.sampled_from([1, 5, 30]),
    lookback=st.sampled_from([30, 180]),
    fatal_window=st.sampled_from([5, 90]),
    fatal_min_count=st.integers(1, 3),
    ratio=st.sampled_from([0.001, 0.95, 1.0]),
    unstamped_window=st.sampled_from([5, 90]),
    unstamped_min_count=st.integers(1, 3),
)
LIMITS = st.builds(Limits, RULES, RULES) | RULES.map(lambda rules: Limits(rules, rules))
SOME_HOST = st.sampled_from(HOSTS)
# How long ago something happened, in minutes (ahead if negative), often on the boundary of some window; and how far
# beside it, in microseconds.
MINUTES_AGO = st.sampled_from([0, 0, 0, 1, 5, 30, 60, 90, 180]) | st.integers(-12, 200)
BESIDE = st.sampled_from([0, 0, -1, 1])
COPIES = st.integers(1, 4)


class ServiceModel(RuleBasedStateMachine):
    """The service, what was written for it to read, and what its alert log must hold."""

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        # In memory where that can be had, for every alert is synced.
        root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp makes a safe one
        self.directory = Path(tempfile.mkdtemp(prefix="fleet-health-model-", dir=root))
        self.loop = asyncio.new_event_loop()
        self.wall, self.monotonic = START_AT, 0
        self.is_stepped = False
        self.rotations = 0
        self.rows: list[Row] = []
        self.entries: list[Entry] = []
        self.expected: set[tuple[str, str, str]] = set()
        self.index = self.directory / "index.jsonl"
        self.index.touch()
        self.alerts = self.directory / "alerts.jsonl"
        config = self.directory / "config.toml"
        config.write_text('index.path = "index.jsonl"\njournal.directory = "."\nalerts.path = "alerts.jsonl"\n')
        self.base = load(config)
        self.patch = patch("fleet_health.sources.journal.JournalReader", self._open_journal)
        self.patch.start()

    def _open_journal(self, _settings: JournalSettings) -> ListReader:
        return ListReader(self.entries)

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "evaluator"):
            self._die()
        self.patch.stop()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)
        structlog.reset_defaults()

    # --- the service, put together as the daemon does it

    @initialize(limits=LIMITS)
    def begin(self, limits: Limits) -> None:
        """Start for the first time."""
        self.limits = limits
        self._start()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        async def in_time() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await coroutine

        self.loop.run_until_complete(in_time())

    def _start_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        if coroutine.cr_code is Follower.follow.__code__:  # type: ignore[attr-defined]
            # When the follower looks by itself is for the state machine to say.
            coroutine.close()
            return self.loop.create_task(asyncio.Event().wait())
        return self.loop.create_task(coroutine)

    def _start(self) -> None:
        config = self.limits.applied_to(self.base)
        log = AlertLog(self.alerts, is_service=True)
        log.probe()
        self.delivery = Delivery(log, JournalSink(str(self.directory / "nobody")), Pulse("writer", PATIENCE_S))
        self.writer = self.loop.create_task(self.delivery.run())
        incidents = Incidents()
        for key, at in log.given(self.wall):
            incidents.remember(key, at)
        self.intake = Intake(
            clock=lambda: self.wall,
            start=self._start_task,
            index_pulse=Pulse("index", PATIENCE_S),
            journal_pulse=Pulse("journal", PATIENCE_S),
        )
        self.evaluator = Evaluator(
            intake=self.intake,
            incidents=incidents,
            delivery=self.delivery,
            pulse=Pulse("evaluator", PATIENCE_S),
            clock=lambda: self.wall,
            detectors=config.detectors(),
            tick_us=config.tick_us,
            on_scheduled=lambda: None,
            step_watch=StepWatch(lambda: self.wall, lambda: self.monotonic),
        )
        self._run(self.intake.adopt(config, reach_of(config.detectors())))
        self.is_stepped = False
        self._read_anew()

    def _die(self) -> None:
        async def die() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for source in (self.intake._index, self.intake._journal):
                assert source is not None
                await source.follower.close()

        self._run(die())
        self.delivery._journal.close()
        self.delivery.log.close()

    # --- what happens

    @rule(host=SOME_HOST, minutes_ago=MINUTES_AGO, beside=BESIDE, copies=COPIES)
    def ship(self, host: str, minutes_ago: int, beside: int, copies: int) -> None:
        """Append rows to the index."""
        at = self.wall - minutes_ago * MINUTE + beside
        line = json.dumps({"host_id": host, "received_at_wall": isoformat(at)}).encode() + b"\n"
        with self.index.open("ab") as file:
            file.write(line * copies)
        self.rows += [Row(host, at) for _ in range(copies)]

    @rule(
        host=SOME_HOST,
        minutes_ago=MINUTES_AGO,
        beside=BESIDE,
        copies=COPIES,
        status=st.sampled_from([200, 302, 404, 412, 500, 503]) | st.sampled_from([412, 500, None, None]),
    )
    def answer(self, host: str, minutes_ago: int, beside: int, copies: int, status: int | None) -> None:
        """Append entries to the journal."""
        self.entries += [Entry(host, self.wall - minutes_ago * MINUTE + beside, status)] * copies

    @rule(
        us=st.sampled_from([1, SECOND_US, MINUTE, 5 * MINUTE, 30 * MINUTE, 61 * MINUTE]) | st.integers(1, 10 * MINUTE)
    )
    def let_time_pass(self, us: int) -> None:
        """Let time pass, up to a tick."""
        self.wall += us
        self.monotonic += us
        self.tick()

    @precondition(lambda self: not self.is_stepped)
    @rule(
        us=st.sampled_from([30 * SECOND_US, -61 * SECOND_US, 61 * SECOND_US])
        | st.integers(-180, 180).map(MINUTE.__mul__)
    )
    def set_clock(self, us: int) -> None:
        """Set the clock, by a minute or less only forward, and once between two ticks."""
        if not -STEP_LIMIT <= us <= 0:
            self.wall += us
            self.is_stepped = abs(us) > STEP_LIMIT

    @rule()
    def look(self) -> None:
        """Let the sources be read between two ticks."""
        self._run(self.intake.poll())
        self._read_on()

    @rule()
    def tick(self) -> None:
        """Evaluate: the findings are those of the rules, and the alert log gets what is new in this hour."""
        self._evaluate()
        found = self.evaluator.last
        assert found is not None
        self.expected |= {(finding.host, finding.symptom, utc_hour(self.wall)) for finding in found.findings}
        self._run(self.delivery.settle())

        self._compare_alert_log()

    @rule()
    def die_before_writing(self) -> None:
        """Die after an evaluation, before its alerts are written; the next life gives them."""
        self.writer.cancel()
        self._evaluate()
        self._die()
        self._start()

    @rule(torn=st.sampled_from([0, 0, 1, 2, 40]))
    def die(self, torn: int) -> None:
        """Die and start again; perhaps the end of the alert log was not on the disk yet."""
        self._die()
        data = self.alerts.read_bytes()
        if torn and data.endswith(b"\n"):
            last = json.loads(data.splitlines()[-1])
            os.truncate(self.alerts, len(data) - torn)
            if torn > 1:
                self.expected.remove((last["host"], last["symptom"], last["detected_at_wall"][:13]))
        self._start()

    @rule(limits=LIMITS, ticks=st.booleans())
    def reload(self, limits: Limits, *, ticks: bool) -> None:
        """Go on with other limits."""
        config = limits.applied_to(self.base)
        self._run(self.intake.adopt(config, reach_of(config.detectors())))
        self.evaluator.retune(config.detectors(), config.tick_us)
        if limits.lookback > self.limits.lookback:
            self._read_on()
            for row in self.rows:
                earliest, latest = row.counted or (self.wall, self.wall)
                row.counted = earliest, max(latest, row.read(self.wall))
        self.limits = limits
        if ticks:
            self.tick()

    @rule(limits=LIMITS)
    def reload_for_a_while(self, limits: Limits) -> None:
        """Go on with other limits for a tick, and then with those from before."""
        before = self.limits
        self.reload(limits, ticks=True)
        self.reload(before, ticks=True)

    @rule()
    def rotate_index(self) -> None:
        """Rename the index, and create another."""
        self._rotate(self.index)

    @rule()
    def rotate_alerts(self) -> None:
        """Rename the alert log, and create another."""
        self._rotate(self.alerts)

    # --- what must come of it

    def _rotate(self, path: Path) -> None:
        self.rotations += 1
        path.rename(path.with_name(f"{path.name}.{self.rotations}"))
        path.touch()

    def _read_on(self) -> None:
        for row in self.rows:
            if row.counted is None:
                row.counted = (row.read(self.wall),) * 2

    def _read_anew(self) -> None:
        for row in self.rows:
            row.counted = (row.read(self.wall),) * 2

    def _evaluate(self) -> None:
        is_stepped, self.is_stepped = self.is_stepped, False
        self._run(self.evaluator._evaluate())
        if is_stepped:
            self._read_anew()
        else:
            self._read_on()

        evaluation = self.evaluator.last
        assert evaluation is not None
        assert evaluation.failures == ()
        found = [
            Verdict(
                finding.host,
                finding.symptom,
                tuple(map(int, re.findall(r"(\d+)(?= of| uploads| refusals)", finding.detail))),
            )
            for finding in evaluation.findings
        ]
        certain, possible = self._judge(is_stepped=is_stepped)
        assert sorted(set(found) - possible) == sorted(certain)

    def _judge(self, *, is_stepped: bool) -> tuple[set[Verdict], set[Verdict]]:
        """Say what the rules find in all that was ever written; and what they may find or not."""
        now = self.wall
        certain: set[Verdict] = set()
        possible: set[Verdict] = set()
        for host in HOSTS:
            rules = self.limits.of(host)
            if not is_stepped:  # under a clock that was just set nobody is said to be away
                is_silent = {
                    self._is_silent([row.counted[end] for row in self.rows if row.host == host and row.counted], rules)
                    for end in (0, 1)
                }
                if True in is_silent:
                    (certain if len(is_silent) == 1 else possible).add(Verdict(host, "silent"))
            statuses = [
                entry.status // 100
                for entry in self.entries
                if entry.host == host
                and entry.status is not None
                and now - rules.fatal_window * MINUTE <= entry.at <= now
                and entry.status // 100 in (2, 4, 5)
            ]
            refused = sum(status != 2 for status in statuses)
            if len(statuses) >= rules.fatal_min_count and refused == len(statuses):
                certain.add(Verdict(host, "fatal-only", (refused, len(statuses))))
            unstamped = sum(
                entry.host == host and entry.status is None and now - rules.unstamped_window * MINUTE <= entry.at <= now
                for entry in self.entries
            )
            if unstamped >= rules.unstamped_min_count:
                certain.add(Verdict(host, "unstamped", (unstamped,)))
        return certain, possible

    def _is_silent(self, ships: list[int], rules: Rules) -> bool:
        is_active = any(at >= self.wall - rules.lookback * MINUTE for at in ships)
        return is_active and self.wall - max(ships) > rules.after * MINUTE

    def _compare_alert_log(self) -> None:
        written = Counter[tuple[str, str, str]]()
        for file in self.directory.glob("alerts.jsonl*"):
            for line in file.read_bytes().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # torn
                written[row["host"], row["symptom"], row["detected_at_wall"][:13]] += 1

        assert written == Counter(dict.fromkeys(self.expected, 1))


ServiceModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestServiceModel = ServiceModel.TestCase
