"""Evaluate spans of the past in parallel processes, with the same result as in a single process.

Findings depend only on observations, which all processes share. Incidents depend on earlier findings, so one process
takes all findings in order.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from dataclasses import replace
from itertools import pairwise, product
from typing import IO, TYPE_CHECKING

from fleet_health.detectors.evaluation import DetectorFailure, Evaluation, lookback_of
from fleet_health.detectors.registry import DETECTORS
from fleet_health.detectors.spec import Subject
from fleet_health.model.subject import EVERY_HOST
from fleet_health.replay.parallel import Beside
from fleet_health.replay.replay import evaluated
from fleet_health.replay.suspects import Suspects
from fleet_health.replay.time_order import room_to_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.model.instant import Instant
    from fleet_health.replay.past import Observed, Past
    from fleet_health.replay.replay import Replay

_OF_HOSTS = frozenset(spec.symptom for spec in DETECTORS if spec.subject is Subject.HOST)


def evaluations(past: Past, replay: Replay, since: Instant, until: Instant, spans: int) -> Iterator[Evaluation]:
    """Yield the evaluation of each tick in order, and pass it to a replay.

    Args:
        past: The observations.
        replay: The replay. If hosts are expected, there must be only one span, because findings then depend on which
            hosts are lost.
        since: The begin.
        until: The end, inclusive.
        spans: The number of spans to evaluate in parallel.

    """
    first, *others = pairwise([since + (until - since) * number // spans for number in range(spans + 1)])
    # Started first, to run in parallel with the span of this process.
    evaluating = [_Span(past, replay, span) for span in others]
    watched_since, observed = _observed(past, replay, first[0])
    evaluating_now = evaluated(
        *(replay.watched, past.coverage, observed, first, lambda: (replay.open, replay.lost)),
        uploaders=past.uploaders(),
        watched_since=watched_since,
    )
    for evaluation in evaluating_now:
        replay.take(evaluation)
        yield evaluation
    for span in evaluating:
        for evaluation in span.evaluations():
            replay.take(evaluation)
            yield evaluation
    replay.finish()


class _Span:
    """A span that another process evaluates. A file holds its evaluations until their turn."""

    def __init__(self, past: Past, replay: Replay, span: tuple[Instant, Instant]) -> None:
        with room_to_work():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
        self._work = Beside(lambda: _evaluate(past, replay, span, self._file.fileno()))

    def evaluations(self) -> Iterator[Evaluation]:
        """Yield the evaluation of each tick."""
        count = self._work.result()
        with self._file as file:
            file.seek(0)
            for _ in range(count):
                yield pickle.load(file)  # noqa: S301 - it is our own, and has no name that anybody could open


def _evaluate(past: Past, replay: Replay, span: tuple[Instant, Instant], fd: int) -> int:
    """Evaluate a span and write its evaluations. Return the number of ticks."""
    rules, count = replay.watched.rules, 0
    symptoms = {detector.symptom for detector in rules.detectors}
    of_no_host = rules.scope.general or frozenset(product((EVERY_HOST,), symptoms))
    pairs = [*product(past.hosts(), symptoms.intersection(_OF_HOSTS)), *of_no_host]
    suspects = Suspects(pairs, span[0], rules.policy.proof_us, 2 * rules.policy.tick_us)
    watched_since, observed = _observed(past, replay, span[0])
    with room_to_work(), os.fdopen(os.dup(fd), "wb") as file:
        evaluating = evaluated(
            replay.watched,
            past.coverage,
            observed,
            span,
            lambda: (suspects.pairs, frozenset()),
            uploaders=past.uploaders(),
            watched_since=watched_since,
        )
        for evaluation in evaluating:
            suspects.take(evaluation)
            pickle.dump(_portable(evaluation), file)
            count += 1
    return count


def _portable(evaluation: Evaluation) -> Evaluation:
    """Return a copy that can be pickled, with errors reduced to text."""
    if not evaluation.failures:
        return evaluation
    failures = tuple(DetectorFailure(one.symptom, RuntimeError(repr(one.error))) for one in evaluation.failures)
    return replace(evaluation, failures=failures)


def _observed(past: Past, replay: Replay, at: Instant) -> tuple[Instant, Iterator[Observed]]:
    """Return the instant from which hosts are watched, and the observations needed, for an evaluation from `at` on."""
    rules = replay.watched.rules
    lookback = lookback_of(rules.detectors)
    watched_since = min(rules.reading_begins_at(past.states(), at), at - lookback.traffic_us)
    return watched_since, past.since(min(watched_since, lookback.learns_since(at)))
