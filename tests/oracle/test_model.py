"""The core, the evaluator, the sources' rules and the real alert log, against a count over everything ever written.

A state machine does whatever a receiver, an operator or a machine may do, in any order: it writes rows and entries
(late, early, twice), lets time pass, sets the clock, reloads, rotates, and kills the service at will. What must come of
it an oracle says, by counting.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fleet_health.model.instant import isoformat, utc_hour
from tests.oracle.assembled_service import AssembledService, Clock
from tests.oracle.limits import MINUTE
from tests.oracle.oracle import Entry, Oracle, Row, Verdict
from tests.oracle.strategies import BESIDE, COPIES, HOSTS, LIMITS, MINUTES_AGO, SPANS, STATUSES, STEPS, TORN
from tests.rig.properties import tried

if TYPE_CHECKING:
    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.detectors.spec import Finding
    from tests.oracle.limits import Limits

START_AT = 1_614_601_800_000_000  # 2021-03-01T12:30:00Z: rotated files must look young, and their times are real ones
STEP_LIMIT = MINUTE


class ServiceModel(RuleBasedStateMachine):
    """The service, what was written for it to read, and what its alert log must hold.

    Clocks are set by more than a minute or forward; what a smaller step back brings back into a window may have been
    forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        # In memory where that can be had, for every alert is synced.
        root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp makes a safe one
        self.directory = Path(tempfile.mkdtemp(prefix="fleet-health-model-", dir=root))
        self.clock = Clock(START_AT)
        self.step_us = 0
        self.oracle = Oracle()
        self.expected: set[tuple[str, str, str]] = set()
        self.possible: set[tuple[str, str, str]] = set()
        self.resolved: Counter[tuple[str, str, str]] = Counter()
        self.evaluated_at: int | None = None
        self.behind_since: int | None = None
        self.service = AssembledService(self.directory, self.oracle.entries, self.clock)
        self.rotations = 0

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.service.close()
        shutil.rmtree(self.directory)
        structlog.reset_defaults()

    @initialize(limits=LIMITS)
    def begin(self, limits: Limits) -> None:
        """Start for the first time."""
        self.limits = limits
        self._start()

    @rule(host=HOSTS, minutes_ago=MINUTES_AGO, beside=BESIDE, copies=COPIES)
    def upload(self, host: str, minutes_ago: int, beside: int, copies: int) -> None:
        """Append rows to the index."""
        at = self.clock.wall - minutes_ago * MINUTE + beside
        line = json.dumps({"host_id": host, "received_at_wall": isoformat(at)}).encode() + b"\n"
        with self.service.index.open("ab") as file:
            file.write(line * copies)
        self.oracle.rows += [Row(host, at) for _ in range(copies)]

    @rule(host=HOSTS, minutes_ago=MINUTES_AGO, beside=BESIDE, copies=COPIES, status=STATUSES)
    def answer(self, host: str, minutes_ago: int, beside: int, copies: int, status: int | None) -> None:
        """Append entries to the journal."""
        self.oracle.entries += [Entry(host, self.clock.wall - minutes_ago * MINUTE + beside, status)] * copies

    @rule(us=SPANS)
    def let_time_pass(self, us: int) -> None:
        """Let time pass, up to a tick."""
        self.clock.wall += us
        self.clock.monotonic += us
        self.tick()

    @precondition(lambda self: not self.step_us)
    @rule(us=STEPS)
    def set_clock(self, us: int) -> None:
        """Set the clock, by a minute or less only forward, and once between two ticks."""
        if not -STEP_LIMIT <= us <= 0:
            self.clock.wall += us
            self.step_us = us

    @rule()
    def look(self) -> None:
        """Let the sources be read between two ticks."""
        self.service.look()
        self.oracle.read_on(self.clock.wall)

    @rule()
    def tick(self) -> None:
        """Evaluate: the findings are those of the rules, and the alert log gets what is new in this hour."""
        evaluation = self._evaluate()
        hour = utc_hour(self.clock.wall)
        found = {(finding.host, finding.symptom, hour) for finding in evaluation.findings}
        # While the clock is behind, what was alerted later need not be alerted once more in an hour that comes again.
        self.possible |= found if self.service.is_clock_behind else set()
        self.expected |= set() if self.service.is_clock_behind else found
        self.service.write_alerts()
        written = self._alert_log()

        # Once in an hour, and once more for each resolution in it: what returns is another incident.
        assert all(count <= 1 + self.resolved[alert] for alert, count in written.items())
        assert self.expected <= written.keys() <= self.expected | self.possible

    @rule()
    def die_before_writing(self) -> None:
        """Die after an evaluation, before its alerts are written; the next life gives them."""
        self.service.stop_writing()
        self._evaluate()
        self.service.die()
        self._start()

    @rule(torn=TORN)
    def die(self, torn: int) -> None:
        """Die and start again; perhaps the end of the alert log was not on the disk yet."""
        self.service.die()
        data = self.service.alerts.read_bytes()
        if torn and data.endswith(b"\n"):
            last = json.loads(data.splitlines()[-1])
            os.truncate(self.service.alerts, len(data) - torn)
            if torn > 1:
                self.expected.discard((last["host"], last["symptom"], last["detected_at_wall"][:13]))
        self._start()

    @rule(limits=LIMITS, ticks=st.booleans())
    def reload(self, limits: Limits, *, ticks: bool) -> None:
        """Go on with other limits."""
        self.service.reload(limits)
        if limits.lookback > self.limits.lookback:
            self.oracle.read_on(self.clock.wall)
            self.oracle.read_again(self.clock.wall)
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
        self._rotate(self.service.index)

    @rule()
    def rotate_alerts(self) -> None:
        """Rename the alert log, and create another."""
        self._rotate(self.service.alerts)

    def _start(self) -> None:
        self.service.start(self.limits)
        self.step_us = 0
        self.oracle.skips.clear()
        self.evaluated_at = self.behind_since = None  # there is no state here that would outlive it
        self.oracle.read_anew(self.clock.wall)

    def _rotate(self, path: Path) -> None:
        self.rotations += 1
        path.rename(path.with_name(f"{path.name}.{self.rotations}"))
        path.touch()

    def _evaluate(self) -> Evaluation:
        """Evaluate; the findings are those of the rules."""
        step_us, self.step_us = self.step_us, 0
        is_stepped = abs(step_us) > STEP_LIMIT
        now, known_until = self.clock.wall, self.service.known_until
        evaluation = self.service.evaluate()
        is_behind, since = self.service.is_clock_behind, self.behind_since
        if is_stepped:
            self.oracle.steps.append((min(now - abs(step_us), now if since is None else since), now))
            self.oracle.read_anew(now, MINUTE)
            self.oracle.skip(min(now, max(now - step_us, self.evaluated_at or 0, known_until)), now)
        elif since is not None and not is_behind:
            self.oracle.steps.append((since, now))
            self.oracle.read_anew(now, MINUTE)
            is_stepped = True
        else:
            self.oracle.read_on(now)
        resolved = [(*pair, utc_hour(now)) for pair in self.service.resolved]
        self.resolved.update(resolved)
        found = [verdict_of(finding) for finding in evaluation.findings]
        certain, possible = self.oracle.evaluate(self.limits, now, is_stepped=is_stepped or is_behind)
        if is_behind:  # a later fact may refute what is found in a past that comes again
            certain, possible = set(), possible | certain
        is_early = self.evaluated_at is not None and self.evaluated_at > now + MINUTE

        assert is_behind or not is_early
        assert is_early or self.oracle.is_ahead(now) or not is_behind
        self.evaluated_at = now if self.evaluated_at is None else max(now, self.evaluated_at)
        self.behind_since = min(now, now if since is None else since) if is_behind else None

        assert evaluation.failures == ()
        assert sorted(set(found) - possible) == sorted(certain)
        return evaluation

    def _alert_log(self) -> Counter[tuple[str, str, str]]:
        """Count the alerts of each host, symptom and hour, in the alert log and in what it was rotated to."""
        written = Counter[tuple[str, str, str]]()
        for file in self.directory.glob("alerts.jsonl*"):
            for line in file.read_bytes().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # torn
                written[row["host"], row["symptom"], row["detected_at_wall"][:13]] += 1
        return written


def verdict_of(finding: Finding) -> Verdict:
    """Take from a finding what the rules say too."""
    counts = re.findall(r"(\d+)(?= of| uploads| refusals)", finding.detail)
    return Verdict(finding.host, finding.symptom, tuple(map(int, counts)))


ServiceModel.TestCase.settings = tried(60, stateful_step_count=40, suppress_health_check=list(HealthCheck))
TestServiceModel = ServiceModel.TestCase
