"""How long to wait before something that failed is tried again."""

from __future__ import annotations

_FIRST_S, _LAST_S = 1.0, 60.0


class Backoff:
    """Waits that double, from one second up to the last one.

    Attributes:
        wait_s: The number of seconds to wait before the next attempt.

    """

    def __init__(self, last_s: float = _LAST_S) -> None:
        self.wait_s = _FIRST_S
        self._last_s = last_s

    def grow(self) -> None:
        """Record another failure."""
        self.wait_s = min(self.wait_s * 2, self._last_s)

    def reset(self) -> None:
        """Record a success."""
        self.wait_s = _FIRST_S
