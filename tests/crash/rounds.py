"""Crash rounds: the real service on real files, killed at random instants while its inputs and its log are rotated.

    python tests/crash/rounds.py --rounds 200 --seed 7

A round is planned from its seed. In the end the alert log, with what it was rotated to, must hold each alert that the
rules give, each once in its hour, and no other; and no end, for none is true. Meanwhile the service's clock is set back
and right again, and its saved state is damaged, or dated ahead.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.crash.disturbed_site import DisturbedSite
from tests.crash.many_rounds import run_command, run_many
from tests.crash.plan import make_plan
from tests.crash.verdict import evaluate, hour_of, settle
from tests.crash.workload import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.crash.plan import Plan

JOBS = 6
"""Rounds at a time: most of a round is waiting."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a round."""

    seed: str
    kills: int
    rotations: int
    clock_steps: int
    damages: int
    seconds: float
    problems: tuple[str, ...]
    directory: Path
    plan: Plan

    def __str__(self) -> str:
        """Return it in one line, and in several if it went wrong."""
        verdict = "ok" if not self.problems else "FAILED"
        line = (
            f"{verdict}: {self.kills} kills, {self.rotations} rotations, {self.clock_steps} clock steps,"
            f" {self.damages} states damaged, {self.seconds:.1f} s (seed {self.seed})"
        )
        return "\n  ".join([line, *self.problems, *([f"kept in {self.directory}"] if self.problems else [])])


def run_round(seed: str, *, is_disturbed: bool = True) -> Result:
    """Do one round. Its files are removed if it went well."""
    started = time.monotonic()
    plan = make_plan(seed, is_disturbed=is_disturbed)
    site = DisturbedSite(Path(tempfile.mkdtemp(prefix="fleet-health-crash-")))
    site.configure(LIMITS)
    try:
        for step in plan.steps:
            site.do(step)
        site.sync_journal()
        site.index.touch()  # while it is away, nobody is evaluated to be silent
        settled_hour = settle(site, plan.expected)
        status = site.service.stop()
        problems = [] if status == 0 else [f"exit status {status}"]
        problems += evaluate(site, plan.expected, first_hour=hour_of(site.earliest_us), settled_hour=settled_hour)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        problems = [str(error)]
    finally:
        site.close()
    if not problems:
        shutil.rmtree(site.directory)
    return Result(
        seed,
        site.kills,
        site.rotations,
        site.steps,
        site.damages,
        time.monotonic() - started,
        tuple(problems),
        site.directory,
        plan,
    )


def run_rounds(
    count: int, seed: int, *, jobs: int = JOBS, on_result: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Do rounds, several at a time; return their results in order."""
    return run_many(run_round, count, seed, jobs=jobs, on_result=on_result)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run_command(
        "Kill the service at random instants; see that no alert is lost or doubled.",
        run_round,
        jobs=JOBS,
        plan_of=lambda result: [repr(step) for step in result.plan.steps],
        summed_up=_summed_up,
        arguments=arguments,
    )


def _summed_up(results: Sequence[Result]) -> str:
    kills, rotations = sum(result.kills for result in results), sum(result.rotations for result in results)
    steps, damages = sum(result.clock_steps for result in results), sum(result.damages for result in results)
    return f"{kills} kills, {rotations} rotations, {steps} clock steps, {damages} states damaged or dated ahead"


if __name__ == "__main__":
    sys.exit(main())
