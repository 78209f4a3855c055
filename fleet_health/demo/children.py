"""Child processes that end with the demo, even if it is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

STOP_WITHIN_S = 5


@asynccontextmanager
async def child(argv: Sequence[str], **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program in its own session while the context lasts. Then send SIGTERM, and SIGKILL after 5 s.

    Args:
        argv: The program and its arguments.
        options: As for `asyncio.create_subprocess_exec`.

    """
    process = await asyncio.create_subprocess_exec(
        *_dying_with_us(), *argv, stdin=asyncio.subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        try:
            await stop(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM to a child, and wait up to 5 s until it has ended."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()


def _dying_with_us() -> list[str]:
    # The kernel then kills the children even if the demo gets SIGKILL.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
