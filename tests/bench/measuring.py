"""How figures are taken and compared: alternating with their yardsticks, round by round, as medians and ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_SMALL = 0.1


class Missing(Exception):  # noqa: N818 - a circumstance, not an error
    """A yardstick cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What one thing took, round by round.

    Attributes:
        values: A figure a round; empty if it is missing.
        missing: Why it could not be measured; empty if it was.

    """

    values: tuple[float, ...] = ()
    missing: str = ""

    @property
    def median(self) -> float:
        """The figure in the middle."""
        return statistics.median(self.values)

    def ratio_to(self, other: Samples) -> float:
        """Return the median of the ratios of each round: what disturbs a round disturbs both."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.values, other.values, strict=True))


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its yardstick, and what was to be reached.

    Attributes:
        what: What was measured.
        figure: The figure with its unit.
        yardstick: What it is compared with; empty if the target is absolute.
        their_figure: The yardstick's figure, or why there is none.
        ratio: The figure divided by the yardstick's; None if there is none.
        target: What was to be reached, in words; empty if nothing was.
        is_reached: Whether it was; None if there is no telling.

    """

    what: str
    figure: str
    yardstick: str = ""
    their_figure: str = ""
    ratio: float | None = None
    target: str = ""
    is_reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Further figures, as they are."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark gave.

    Attributes:
        title: Its title.
        method: What was measured, and how.
        rows: The comparisons.
        tables: Further figures.

    """

    title: str
    method: str
    rows: tuple[Row, ...]
    tables: tuple[Table, ...] = field(default=())


def alternate(rounds: int, measures: Mapping[str, Callable[[], float]], *, warm_up: bool = True) -> dict[str, Samples]:
    """Take each figure once a round, one after the other; what is missing stays missing.

    Args:
        rounds: How many rounds count.
        measures: What to measure, by name; each gives a figure, or raises Missing.
        warm_up: Whether a round that does not count comes first, so that all find the files in the page cache.

    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    missing: dict[str, str] = {}
    for number in range(-warm_up, rounds):
        for name, measure in measures.items():
            if name in missing:
                continue
            try:
                value = measure()
            except Missing as reason:
                missing[name] = str(reason)
            else:
                if number >= 0:
                    values[name].append(value)
    return {
        name: Samples(missing=missing[name]) if name in missing else Samples(tuple(values[name])) for name in measures
    }


def at_least(
    what: str, ours: Samples, yardstick: str, theirs: Samples, *, unit: str, factor: float | None = None
) -> Row:
    """Compare figures of which more is better. Without a factor there is no target."""
    ratio = _ratio(ours, theirs)
    target = "" if factor is None else f"at least {times(factor)}"
    is_reached = None if factor is None or ratio is None else ratio >= factor
    return Row(what, spread(ours, unit), yardstick, spread(theirs, unit), ratio, target, is_reached)


def at_most(
    what: str, ours: Samples, yardstick: str, theirs: Samples, *, unit: str, factor: float | None = None
) -> Row:
    """Compare figures of which less is better. Without a factor there is no target."""
    ratio = _ratio(ours, theirs)
    target = "" if factor is None else f"at most {times(factor)}"
    is_reached = None if factor is None or ratio is None else ratio <= factor
    return Row(what, spread(ours, unit), yardstick, spread(theirs, unit), ratio, target, is_reached)


def limited(what: str, figure: float, unit: str, limit: float, *, yardstick: str = "", their_figure: str = "") -> Row:
    """Hold a figure against a limit."""
    return Row(
        what,
        shown(figure, unit),
        yardstick,
        their_figure,
        target=f"at most {limit:,g} {unit}",
        is_reached=figure <= limit,
    )


def shown(figure: float, unit: str) -> str:
    """Write a figure to three digits, with its unit."""
    if abs(figure) >= 1_000:
        digits = max(0, len(str(int(abs(figure)))) - 3)
        return f"{round(figure, -digits):,.0f} {unit}"
    return f"{figure:.3g} {unit}"


def times(ratio: float) -> str:
    """Write a ratio, a small one as a fraction: who takes a hundredth of the time is a hundred times as fast."""
    return f"{ratio:.3g} x" if ratio >= _SMALL else f"1/{1 / ratio:.3g}"


def spread(samples: Samples, unit: str) -> str:
    """Write the median, and in brackets the least and the greatest."""
    if samples.missing:
        return samples.missing
    if len(set(samples.values)) == 1:
        return shown(samples.median, unit)
    low, high = shown(min(samples.values), ""), shown(max(samples.values), "")
    return f"{shown(samples.median, unit)} ({low.strip()} to {high.strip()})"


def counted(what: str, found: int, expected: int) -> None:
    """Handle it that everything measured did the same work.

    Raises:
        AssertionError: It did not.

    """
    if found != expected:
        raise AssertionError(f"{what} saw {found} of {expected}")


def _ratio(ours: Samples, theirs: Samples) -> float | None:
    return None if ours.missing or theirs.missing else ours.ratio_to(theirs)
