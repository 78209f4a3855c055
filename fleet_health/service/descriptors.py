"""Watching how many descriptors are open: a leak is to be reported before it ends in a failure somewhere else."""

from __future__ import annotations

import resource
from pathlib import Path

import structlog

_WORRYING_SHARE = 0.8

_log = structlog.get_logger("fleet_health.service")


class DescriptorWatch:
    """Reports when file descriptors run out, once in the log."""

    def __init__(self) -> None:
        self._is_said = False

    def problem(self) -> str:
        """Return that nearly all file descriptors are open; empty if they are not."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        try:
            count = sum(1 for _ in Path("/proc/self/fd").iterdir())
        except OSError:  # there is none left to look with
            count = limit
        is_problem = limit != resource.RLIM_INFINITY and count > _WORRYING_SHARE * limit
        if is_problem and not self._is_said:
            _log.error("file descriptors running out", open=count, limit=limit)
        self._is_said = is_problem
        return f"{count} of {limit} descriptors are open" if is_problem else ""
