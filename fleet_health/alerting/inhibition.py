"""One cause, one alert: an incident whose cause is open is inhibited, and named in the alert of its cause instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_HOSTS_NAMED = 10


class Inhibition:
    """Knows which incidents are inhibited.

    Attributes:
        inhibited: The incidents that are inhibited since the latest evaluation.
        released: Effect of a cause that has ended -> the instant until which it is still inhibited.

    """

    def __init__(self, released: dict[Pair, Instant] | None = None) -> None:
        self.inhibited: frozenset[Pair] = frozenset()
        self.released = released or {}

    def release(self, effects: Iterable[Pair], now: Instant, tick_us: int) -> None:
        """Record that a cause has ended: those of its effects that outlive it by a tick have another cause."""
        # By about a tick, because no two ticks are exactly one interval apart.
        self.released |= dict.fromkeys(effects, now + tick_us // 2)

    def prune(self, now: Instant, tick_us: int) -> None:
        """Forget the effects that were released long enough ago; not while the clock is behind."""
        self.released = {pair: at for pair, at in self.released.items() if now < at <= now + tick_us}

    def update(self, causes: Iterable[Iterable[Pair]], standing: Sequence[Container[Pair]]) -> None:
        """Record which of the incidents in `standing` are inhibited, given what each open incident inhibits."""
        self.inhibited = frozenset(pair for pair in self.effects_of(causes) if any(pair in one for one in standing))

    def effects_of(self, causes: Iterable[Iterable[Pair]]) -> set[Pair]:
        """Return what some causes inhibit, given what each of them does, and what causes that ended lately did."""
        return set(self.released).union(*causes)

    def named(self, effects: Iterable[Pair]) -> str:
        """Return words to append to a cause's detail that name its inhibited effects; empty if it has none."""
        inhibited = sorted(self.inhibited.intersection(effects))
        if not inhibited:
            return ""
        named = ", ".join(f"{host} {symptom}" for host, symptom in inhibited[:_HOSTS_NAMED])
        more = f" and {len(inhibited) - _HOSTS_NAMED} more" if len(inhibited) > _HOSTS_NAMED else ""
        return f"; inhibits {plural(len(inhibited), 'alert')}: {named}{more}"
