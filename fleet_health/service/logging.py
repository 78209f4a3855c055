"""The log on stderr: sentences on a terminal, entries with fields in the journal, and JSON lines elsewhere."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import stat
import sys
import time
import traceback
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fleet_health.errors import printable
from fleet_health.parsing.local_time import localized
from fleet_health.records.journal_socket import JournalSocket, datagram
from fleet_health.service.log_sentences import beside, in_words, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from typing import TypeAlias

    Event: TypeAlias = Mapping[str, Any]

_STDERR = 2

LEVELS = ("debug", "info", "warning", "error")

_PRIORITIES = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}
_COLOURS = {"debug": "2", "info": "2", "notice": "1", "warning": "33", "error": "31", "critical": "31"}

# Limits so that an entry with all its fields fits into a datagram, and a message onto a screen.
_LONGEST_FIELD, _LONGEST_MESSAGE = 16_384, 4_096
# How many lines may wait for stderr while its socket is full. There are few unless journald hangs.
_WAITING_LIMIT = 1_000

# The key that marks an event as a notice, because structlog has no such level.
_NOTICE = "_is_notice"


def notice(logger: Any, event: str, **values: Any) -> None:
    """Log an action of an authorized user, for the audit trail: at priority NOTICE (5).

    It is logged at level `warning` as well, because an audit trail must not depend on the level.
    """
    logger.warning(event, **values, **{_NOTICE: True})


def complain(text: str) -> None:
    """Print on stderr why the process exits; in the journal at priority ERROR.

    It is printed as a line and not sent as an entry, because journald looks up the unit of the sender, which may have
    exited by then.
    """
    print(f"<{_PRIORITIES['error']}>{text}" if _is_journal(_STDERR) else text, file=sys.stderr)  # noqa: T201


def configure(level: str, *, is_for_people: bool = False) -> None:
    """Log to stderr from a level on, as journal entries if stderr is connected to the journal.

    Args:
        level: One of `LEVELS`.
        is_for_people: Whether to log sentences even if stderr is not a terminal, as commands do.

    """
    try:
        os.fstat(_STDERR)
    except OSError:  # closed, so the next open file, such as the alert log, would get its number
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _set_notice, _describe_error, _hand_over],
        logger_factory=_Writer(_writer_of_events(is_for_people=is_for_people)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )


def _writer_of_events(*, is_for_people: bool) -> Callable[[Event], None]:
    """Return a function that writes an event in the format that fits stderr."""
    stderr = _Stderr()
    if _is_journal(_STDERR):
        return _Journal(stderr).write
    if not (os.isatty(_STDERR) or is_for_people):
        return lambda event: stderr.write(_as_json(event))
    is_coloured = os.isatty(_STDERR) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"

    def write(event: Event) -> None:
        clock = "" if is_for_people else time.strftime("%H:%M:%S ")
        text = clock + _as_text(event, is_coloured=is_coloured)
        stderr.write(text.encode(encoding, "backslashreplace"))

    return write


class _Writer:
    """A logger for structlog that passes each event to a function. It is its own factory."""

    def __init__(self, write: Callable[[Event], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write

    def __call__(self, *_: Any) -> _Writer:
        return self


def _set_notice(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.pop(_NOTICE, False):
        event["level"] = "notice"
    return event


def _describe_error(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by two fields: `error`, its last line, and `exception`, its traceback."""
    if given := event.pop("exc_info", None):
        error = given if isinstance(given, BaseException) else sys.exception()
        if error is not None:
            event["error"] = traceback.format_exception_only(_cause(error))[-1].strip()
            event["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return event


def _cause(error: BaseException) -> BaseException:
    """Return the first error of an exception group, because the last line of the group only counts errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _hand_over(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}


class _Stderr:
    """Writes to stderr without blocking or raising, because a problem with the log must not stop the service.

    If journald hangs, its socket fills up. Lines then wait until the next line is written or the process exits.
    """

    def __init__(self) -> None:
        is_socket = stat.S_ISSOCK(os.fstat(_STDERR).st_mode)
        self._socket = socket.socket(fileno=os.dup(_STDERR)) if is_socket else None
        self._waiting: deque[bytes] = deque(maxlen=_WAITING_LIMIT)
        self._turn = Lock()  # several threads log
        if is_socket:
            atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """Write a line, given without its newline."""
        if self._socket is None:
            with suppress(OSError):
                os.write(_STDERR, line + b"\n")
            return
        with self._turn:
            self._waiting.append(line + b"\n")
        self.flush()

    def flush(self) -> None:
        """Send waiting lines, as far as the socket accepts them now."""
        with self._turn, suppress(OSError):
            while self._socket is not None and self._waiting:
                line = self._waiting[0]
                sent = self._socket.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                if sent == len(line):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = line[sent:]


class _Journal:
    """Writes events to the journal as entries with fields, or as lines on stderr if journald accepts no entry."""

    def __init__(self, stderr: _Stderr) -> None:
        self._socket = JournalSocket()
        self._stderr = stderr

    def write(self, event: Event) -> None:
        """Write an event."""
        self._stderr.flush()
        if self._is_sent(datagram(journal_fields(event))):
            return
        # journald removes the prefix from each line.
        prefix = f"<{_PRIORITIES[event['level']]}>"
        lines = _as_text(event, is_coloured=False).splitlines()
        self._stderr.write("\n".join(prefix + line for line in lines).encode("utf-8", "backslashreplace"))

    def _is_sent(self, entry: bytes) -> bool:
        for _ in range(2):  # connect once more, because journald may have been restarted
            try:
                self._socket.send(entry)
            except ConnectionError:
                continue
            except OSError:
                return False
            return True
        return False


def journal_fields(event: Event) -> dict[str, str]:
    """Return the journal fields of an event: a sentence, and `FLEET_…` for its name and each of its values."""
    fields = {
        "MESSAGE": _cut(localized(sentence(event)), _LONGEST_MESSAGE),
        "PRIORITY": str(_PRIORITIES[event["level"]]),
        "SYSLOG_IDENTIFIER": "fleet-health",
    }
    values = {name: value for name, value in event.items() if name != "level" and value is not None}
    return fields | {f"FLEET_{name.upper()}": _cut(_as_field(value), _LONGEST_FIELD) for name, value in values.items()}


def _as_field(value: Any) -> str:
    """Return a value as a field: lists and mappings as JSON, texts with control characters escaped."""
    if isinstance(value, list | tuple | dict):
        value = _json(value)
    return "\n".join(map(printable, str(value).split("\n")))


def _as_json(event: Event) -> bytes:
    # The event comes first, because people read it. Collectors of stderr add a timestamp.
    ordered = {"event": event["event"], **{key: value for key, value in event.items() if key != "event"}}
    return msgspec.json.encode(ordered, enc_hook=str)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _as_text(event: Event, *, is_coloured: bool) -> str:
    """Return an event as a line with its level, sentence and other fields, followed by the traceback."""
    level = str(event["level"])
    mark = f"\x1b[{_COLOURS[level]}m{level}:\x1b[0m" if is_coloured else f"{level}:"
    more = ", ".join(f"{name}={printable(in_words(value))}" for name, value in beside(event).items())
    lines = [localized(f"{mark} {sentence(event)}{f' ({more})' if more else ''}")]
    if exception := event.get("exception"):
        lines += [f"    {printable(line)}" for line in str(exception).splitlines()]
    return "\n".join(lines)


def _cut(text: str, longest: int) -> str:
    """Cut the middle out of a text that is too long, because the end of a traceback matters most."""
    if len(text) <= longest:
        return text
    half = longest // 2 - 8
    return f"{text[:half]} […] {text[-half:]}"


def _is_journal(fd: int) -> bool:
    """Return whether a descriptor is connected to journald (see JOURNAL_STREAM in systemd.exec(5))."""
    state = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"
