"""Child processes that do not outlive the demo, however it ends."""

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
    """Run a program in a session of its own for as long as the context lasts; then SIGTERM, and SIGKILL after 5 s.

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
    """End a child in good order, if it lets us."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()


def _dying_with_us() -> list[str]:
    # Even a SIGKILL of the demo, which cannot be handled, then ends its children.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
