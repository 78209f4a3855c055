"""Numbers in words, the same everywhere."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a number of things: `1 host`, `3 hosts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """Return how often something happened: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"
