"""What may be open, for who evaluates a stretch of time and does not know what was open before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.detectors.spec import PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.detectors.evaluation import Evaluation
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


class Suspects:
    """Begins with everything that could be open, and lets go of what has been over for long enough to have ended.

    So each evaluation says of what is open, and of some that is not, whether it is over: as good as to say it of what
    is open alone, for of anything else nobody asks. Over is what a fact says that is newer than when it can have opened
    or was found last; any older one might not end what is open.
    """

    def __init__(self, pairs: Iterable[Pair], begin: Instant, proof_us: int, margin_us: int) -> None:
        """Take what could be open.

        Args:
            pairs: All of it.
            begin: Since when nothing has opened but what is found.
            proof_us: For how long an incident must be over to end, if an evaluation does not say longer.
            margin_us: How much longer it may take to be surely seen to end.

        """
        self._over_since: dict[Pair, Instant | None] = dict.fromkeys(pairs)
        self._newest: dict[Pair, Instant] = dict.fromkeys(self._over_since, begin)
        self._proof_us = proof_us
        self._margin_us = margin_us

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What may be open."""
        return tuple(self._over_since)

    def take(self, evaluation: Evaluation) -> None:
        """Record an evaluation, and of each that follows on it."""
        over_since: dict[Pair, Instant | None] = {}
        for pair, since in self._over_since.items():
            if pair in evaluation.forgotten and pair not in evaluation.over:
                continue  # nothing that is open stays open after that
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
