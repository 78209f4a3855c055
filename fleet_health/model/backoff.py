"""How long to wait before something that failed is tried again."""

from __future__ import annotations

_FIRST_S, _LAST_S = 1.0, 60.0


class Backoff:
    """Waits that double, from one second up to a minute.

    Attributes:
        wait_s: How many seconds to wait before the next try.

    """

    def __init__(self) -> None:
        self.wait_s = _FIRST_S

    def grow(self) -> None:
        """Note another failure."""
        self.wait_s = min(self.wait_s * 2, _LAST_S)

    def reset(self) -> None:
        """Note that it worked."""
        self.wait_s = _FIRST_S
