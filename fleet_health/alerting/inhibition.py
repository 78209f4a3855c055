"""One cause, one alert: what is explained by an open incident is inhibited, and named in the cause's alert instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.words import plural

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

_HOSTS_NAMED = 10


class Inhibition:
    """Knows what is inhibited.

    Attributes:
        inhibited: What stands by the latest evaluation, and is inhibited.
        released: What was inhibited by a cause that has ended, each with the instant up to which it still is.

    """

    def __init__(self, released: dict[Pair, Instant] | None = None) -> None:
        self.inhibited: frozenset[Pair] = frozenset()
        self.released = released or {}

    def release(self, explained: Iterable[Pair], now: Instant, tick_us: int) -> None:
        """Record that a cause has ended: what outlives it by a tick has another one."""
        # By about a tick, for no two are exactly one apart.
        self.released |= dict.fromkeys(explained, now + tick_us // 2)

    def prune(self, now: Instant, tick_us: int) -> None:
        """Let go of what was released for long enough; not while the clock is behind."""
        self.released = {pair: at for pair, at in self.released.items() if now < at <= now + tick_us}

    def update(self, causes: Iterable[Iterable[Pair]], standing: Sequence[Container[Pair]]) -> None:
        """Record what is inhibited of all that stands, given what each open incident explains."""
        self.inhibited = frozenset(pair for pair in self.explained(causes) if any(pair in one for one in standing))

    def explained(self, causes: Iterable[Iterable[Pair]]) -> set[Pair]:
        """Return what causes inhibit, given what each explains, or have until lately."""
        return set(self.released).union(*causes)

    def named(self, explained: Iterable[Pair]) -> str:
        """Name what is inhibited of that which a cause explains, in words to follow on its detail; else nothing."""
        inhibited = sorted(self.inhibited.intersection(explained))
        if not inhibited:
            return ""
        named = ", ".join(f"{host} {symptom}" for host, symptom in inhibited[:_HOSTS_NAMED])
        more = f" and {len(inhibited) - _HOSTS_NAMED} more" if len(inhibited) > _HOSTS_NAMED else ""
        return f"; inhibits {plural(len(inhibited), 'alert')}: {named}{more}"
