"""One alert for each cause: while a cause is open, its effects are inhibited, and its alert names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_HOSTS_NAMED = 10


class Inhibition:
    """Keeps the set of inhibited incidents.

    Attributes:
        inhibited: The incidents that are inhibited as of the latest evaluation.
        released: Effect of a cause that has ended -> the instant until which it is still inhibited.

    """

    def __init__(self, released: dict[Pair, Instant] | None = None) -> None:
        self.inhibited: frozenset[Pair] = frozenset()
        self.released = released or {}

    def release(self, effects: Iterable[Pair], now: Instant, tick_us: int) -> None:
        """Record that a cause has ended. Effects that outlast it by a tick have another cause, and are notified."""
        # Half a tick, because ticks are never exactly one interval apart.
        self.released |= dict.fromkeys(effects, now + tick_us // 2)

    def prune(self, now: Instant, tick_us: int) -> None:
        """Forget effects whose instant has passed. Not to be called while the clock is behind."""
        self.released = {pair: at for pair, at in self.released.items() if now < at <= now + tick_us}

    def update(self, causes: Iterable[Iterable[Pair]], standing: Sequence[Container[Pair]]) -> None:
        """Record which of the incidents in `standing` are inhibited, given what each open incident inhibits."""
        self.inhibited = frozenset(pair for pair in self.effects_of(causes) if any(pair in one for one in standing))

    def effects_of(self, causes: Iterable[Iterable[Pair]]) -> set[Pair]:
        """Return the effects of some causes, given the effects of each, and those of causes that have just ended."""
        return set(self.released).union(*causes)

    def named(self, effects: Iterable[Pair]) -> str:
        """Return the part of a cause's detail that names its inhibited effects; empty if there are none."""
        inhibited = sorted(self.inhibited.intersection(effects))
        if not inhibited:
            return ""
        named = ", ".join(f"{host} {symptom}" for host, symptom in inhibited[:_HOSTS_NAMED])
        more = f" and {len(inhibited) - _HOSTS_NAMED} more" if len(inhibited) > _HOSTS_NAMED else ""
        return f"; inhibits {plural(len(inhibited), 'alert')}: {named}{more}"
