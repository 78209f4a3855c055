"""Watches how many descriptors are open, to report a leak before it makes something else fail."""

from __future__ import annotations

import resource
from pathlib import Path

import structlog

_WORRYING_SHARE = 0.8

_log = structlog.get_logger("fleet_health.service")


class DescriptorWatch:
    """Reports that file descriptors run out; logs it once."""

    def __init__(self) -> None:
        self._is_said = False

    def problem(self) -> str:
        """Return the problem that nearly all file descriptors are open; empty if they are not."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        try:
            count = sum(1 for _ in Path("/proc/self/fd").iterdir())
        except OSError:  # no descriptor is left to count them with
            count = limit
        is_problem = limit != resource.RLIM_INFINITY and count > _WORRYING_SHARE * limit
        if is_problem and not self._is_said:
            _log.error("file descriptors running out", open=count, limit=limit)
        self._is_said = is_problem
        return f"{count} of {limit} descriptors are open" if is_problem else ""
