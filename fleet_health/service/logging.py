"""Our own log: one event and its key-values a line, on stderr. Coloured text on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_STDERR = 2

LEVELS = ("debug", "info", "warning", "error")

_PRIORITIES = {
    "debug": b"<7>",
    "info": b"<6>",
    "notice": b"<5>",
    "warning": b"<4>",
    "error": b"<3>",
    "critical": b"<2>",
}


# The key under which an event says that it is a notice; structlog has no such level.
_NOTICE = "_is_notice"


def notice(logger: Any, event: str, **values: Any) -> None:
    """Log at priority NOTICE (5): what somebody did who may, and others must be able to see afterwards.

    It is shown from level `warning` on: an audit trail must not go with the chatter.
    """
    logger.warning(event, **values, **{_NOTICE: True})


def configure(level: str) -> None:
    """Send the log to stderr, from a level on."""
    try:
        os.fstat(_STDERR)
    except OSError:  # closed: the next file opened, the alert log perhaps, would take its number
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    processors: list[Any]
    factory: Any
    if os.isatty(_STDERR):
        processors = [
            structlog.processors.add_log_level,
            _set_notice,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ),
        ]
        factory = structlog.WriteLoggerFactory(sys.stderr)
    else:
        render = _render_for_journal if _is_journal(_STDERR) else _render
        processors = [structlog.processors.add_log_level, _set_notice, structlog.processors.format_exc_info, render]
        factory = structlog.BytesLoggerFactory(cast("BinaryIO", _Stderr()))
    structlog.configure(
        processors=processors,
        logger_factory=factory,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )


def _set_notice(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.pop(_NOTICE, False):
        event["level"] = "notice"
    return event


class _Stderr:
    """Our stderr, which never holds us up and never fails: the log must not decide whether the service goes on.

    A journald that stands still leaves its socket full; what is logged then is lost. (Alerts have a way of their own.)
    """

    def __init__(self) -> None:
        is_socket = stat.S_ISSOCK(os.fstat(_STDERR).st_mode)
        self._socket = socket.socket(fileno=os.dup(_STDERR)) if is_socket else None

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            if self._socket is None:
                os.write(_STDERR, data)
            else:
                self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def flush(self) -> None:
        """Nothing is kept."""


def _render(_logger: object, _method: str, event: Mapping[str, Any]) -> bytes:
    # The event first, for the eye; no timestamp, for whoever takes our stderr adds one.
    ordered = {"event": event["event"], **{key: value for key, value in event.items() if key != "event"}}
    return msgspec.json.encode(ordered, enc_hook=str)


def _render_for_journal(logger: object, method: str, event: Mapping[str, Any]) -> bytes:
    return _PRIORITIES[event["level"]] + _render(logger, method, event)  # journald takes the prefix off


def _is_journal(fd: int) -> bool:
    """Return whether a descriptor leads to journald (see JOURNAL_STREAM in systemd.exec(5))."""
    state = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"
