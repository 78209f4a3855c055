"""Numbers in words, the same everywhere."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a number of things: `1 host`, `3 hosts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """Return how often something happened: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def short_duration(seconds: float | None) -> str:
    """Return a duration in up to six characters: `42s`, `31m`, `5h02m`, `12d`; a dash if there is none."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004 - as everybody counts
        return f"{whole}s"
    if whole < 3_600:  # noqa: PLR2004
        return f"{whole // 60}m"
    if whole < 86_400:  # noqa: PLR2004
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d"
