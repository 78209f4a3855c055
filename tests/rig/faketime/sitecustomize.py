"""Sleeping under libfaketime, for processes that have this directory in PYTHONPATH.

`time.sleep` asks for an absolute time of the monotonic clock (clock_nanosleep). libfaketime adds its offset to that
even if the clock is not faked, and the kernel refuses the result.
"""

import select
import time

_sleep = time.sleep


def _select(seconds: float) -> None:
    if seconds > 0:
        select.select([], [], [], seconds)
    else:
        _sleep(0)


time.sleep = _select  # type: ignore[assignment]
