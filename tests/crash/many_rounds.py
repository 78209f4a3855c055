"""Rounds of any kind, several at a time, and their command line."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Outcome(Protocol):
    """What came of a round; as text it says so in one line."""

    @property
    def problems(self) -> Sequence[str]:
        """What was wrong; empty if all was well."""
        ...


R = TypeVar("R", bound=Outcome)


def run_many(
    run_round: Callable[[str], R], count: int, seed: int, *, jobs: int, on_result: Callable[[R], None] = lambda _: None
) -> list[R]:
    """Do rounds, several at a time; return their results in order."""

    def run(number: int) -> R:
        result = run_round(f"{seed}/{number}")
        on_result(result)
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run, range(count)))


def run_command(
    description: str,
    run_round: Callable[[str], R],
    *,
    jobs: int,
    plan_of: Callable[[R], Sequence[str]],
    summed_up: Callable[[Sequence[R]], str],
    arguments: Sequence[str] | None = None,
) -> int:
    """Do what the command line says; return the exit status.

    Args:
        description: What the rounds are for.
        run_round: Does a round, given its seed.
        jobs: How many at a time by default.
        plan_of: Returns the steps of a round, each as a line.
        summed_up: Returns what rounds did together.
        arguments: The command line; None for that of the process.

    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what they are planned from (1)")
    parser.add_argument("--jobs", type=int, default=jobs, metavar="N", help=f"how many at a time ({jobs})")
    parser.add_argument("--round", metavar="SEED/NUMBER", help="do this one again, and show its plan")
    options = parser.parse_args(arguments)
    if options.round:
        result = run_round(options.round)
        _print("\n".join([*plan_of(result), str(result)]))
        return 1 if result.problems else 0
    started, done = time.monotonic(), []

    def report(result: R) -> None:
        done.append(result)
        _print(f"[{len(done)}/{options.rounds}] {result}")

    results = run_many(run_round, options.rounds, options.seed, jobs=options.jobs, on_result=report)
    good = sum(not result.problems for result in results)
    _print(
        f"{good} of {len(results)} rounds ok in {time.monotonic() - started:.0f} s (seed {options.seed}):"
        f" {summed_up(results)}"
    )
    return 0 if good == len(results) else 1


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
