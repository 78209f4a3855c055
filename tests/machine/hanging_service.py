"""The service as it is, except that one of its parts hangs as soon as a file exists; to be run as the unit's program.

python hanging_service.py PART FILE
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_health.__main__ import main
from fleet_health.service.delivery import Delivery
from fleet_health.service.ticker import Evaluator
from fleet_health.sources.index.source import IndexFollower
from fleet_health.sources.journal.source import JournalFollower

if TYPE_CHECKING:
    from collections.abc import Callable

# Each part shows a sign of life as often as it looks at all, which is once a minute where nothing happens.
IndexFollower.longest_wait = JournalFollower.longest_wait = 1.0

_STEPS: dict[str, tuple[type, str]] = {
    "journal": (JournalFollower, "_read_to_end"),
    "index": (IndexFollower, "_read_to_end"),
    "evaluator": (Evaluator, "_evaluate"),
    "writer": (Delivery, "_write"),
}


def hang_in(owner: type, step: str, is_to_hang: Callable[[], bool]) -> None:
    """Make a method never return once it is to hang: a coroutine in the loop, any other in its thread."""
    original: Any = getattr(owner, step)

    async def in_loop(*arguments: Any, **named: Any) -> Any:
        if is_to_hang():
            await asyncio.Event().wait()
        return await original(*arguments, **named)

    def in_thread(*arguments: Any, **named: Any) -> Any:
        if is_to_hang():
            threading.Event().wait()
        return original(*arguments, **named)

    setattr(owner, step, in_loop if inspect.iscoroutinefunction(original) else in_thread)


if __name__ == "__main__":
    hang_in(*_STEPS[sys.argv[1]], Path(sys.argv[2]).exists)
    sys.exit(main(["run"]))
