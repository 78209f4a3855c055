"""Watch the number of open file descriptors, to report a leak before it makes other calls fail."""

from __future__ import annotations

import structlog

from fleet_health.service.footprint import footprint

_WORRYING_SHARE = 0.8

_log = structlog.get_logger("fleet_health.service")


class DescriptorWatch:
    """Reports that file descriptors are running out, and logs that once."""

    def __init__(self) -> None:
        self._is_logged = False

    def problem(self) -> str:
        """Return a text if nearly all file descriptors are open; else empty."""
        present = footprint()
        limit = present.most_descriptors
        if limit is None:
            return ""
        # Counting them needs a free descriptor.
        count = limit if present.descriptors is None else present.descriptors
        is_problem = count > _WORRYING_SHARE * limit
        if is_problem and not self._is_logged:
            _log.error("file descriptors running out", open=count, limit=limit)
        self._is_logged = is_problem
        return f"{count} of {limit} descriptors are open" if is_problem else ""
