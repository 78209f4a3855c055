"""Our own log: one event and its key-values a line, on stderr. Coloured text on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = ("debug", "info", "warning", "error")

_PRIORITIES = {"debug": b"<7>", "info": b"<6>", "warning": b"<4>", "error": b"<3>", "critical": b"<2>"}


def configure(level: str) -> None:
    """Send the log to stderr, from a level on."""
    processors: list[Any]
    factory: Any
    if sys.stderr.isatty():
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ),
        ]
        factory = structlog.WriteLoggerFactory(sys.stderr)
    else:
        render = _render_for_journal if _is_journal(sys.stderr.fileno()) else _render
        processors = [structlog.processors.add_log_level, structlog.processors.format_exc_info, render]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=processors,
        logger_factory=factory,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )


def _render(_logger: object, _method: str, event: Mapping[str, Any]) -> bytes:
    # The event first, for the eye; no timestamp, for whoever takes our stderr adds one.
    ordered = {"event": event["event"], **{key: value for key, value in event.items() if key != "event"}}
    return msgspec.json.encode(ordered, enc_hook=str)


def _render_for_journal(logger: object, method: str, event: Mapping[str, Any]) -> bytes:
    return _PRIORITIES[event["level"]] + _render(logger, method, event)  # journald takes the prefix off


def _is_journal(fd: int) -> bool:
    """Say whether a descriptor leads to journald (see JOURNAL_STREAM in systemd.exec(5))."""
    state = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"
