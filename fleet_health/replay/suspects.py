"""Keep the incidents that may be open, to evaluate a span without knowing which incidents were open before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.spec import PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


class Suspects:
    """Starts with every possible incident, and removes those that have been over for long enough to have ended.

    So each evaluation shows for every open incident whether it is over. It also does so for some that are not open,
    which is harmless. An incident counts as over only by a fact that is newer than its possible opening or its last
    finding, because an older fact may not end it.
    """

    def __init__(self, pairs: Iterable[Pair], begin: Instant, proof_us: int, margin_us: int) -> None:
        """Take the incidents that could be open.

        Args:
            pairs: All incidents that could be open.
            begin: The instant after which only incidents with a finding have opened.
            proof_us: How long an incident must be over to end, in microseconds. An evaluation may require longer.
            margin_us: How much longer to keep it until it has certainly ended, in microseconds.

        """
        self._over_since: dict[Pair, Instant | None] = dict.fromkeys(pairs)
        self._newest: dict[Pair, Instant] = dict.fromkeys(self._over_since, begin)
        self._proof_us = proof_us
        self._margin_us = margin_us

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The incidents that may be open."""
        return tuple(self._over_since)

    def take(self, evaluation: Evaluation) -> None:
        """Record an evaluation. Call this for each, in order."""
        over_since: dict[Pair, Instant | None] = {}
        for pair, since in self._over_since.items():
            if pair in evaluation.forgotten and pair not in evaluation.over:
                continue  # no incident stays open after that
            newest = self._newest[pair]
            if pair not in evaluation.over or evaluation.signs.get(pair, newest) <= newest:
                over_since[pair] = None
            elif since is None:
                over_since[pair] = evaluation.at
            elif evaluation.at - since <= max(self._proof_us, evaluation.proofs.get(pair, 0)) + self._margin_us:
                over_since[pair] = since
        found = {(finding.host, finding.symptom) for finding in evaluation.findings}
        self._over_since = over_since | dict.fromkeys(found)
        self._newest = {pair: self._newest[pair] for pair in over_since} | {
            pair: max(evaluation.at, at) if (at := evaluation.signs.get(pair, PRESENT)) != PRESENT else evaluation.at
            for pair in found
        }
