"""Our own log, on stderr: sentences on a terminal, entries with fields in the journal, JSON for other programs."""

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

# Together with all others of an event, a field fits into a datagram; and a message onto a screen.
_LONGEST_FIELD, _LONGEST_MESSAGE = 16_384, 4_096
# An event that neither socket takes waits here for the next one: it is a handful of them unless journald stands still.
_WAITING_LIMIT = 1_000

# The key under which an event says that it is a notice; structlog has no such level.
_NOTICE = "_is_notice"


def notice(logger: Any, event: str, **values: Any) -> None:
    """Log at priority NOTICE (5): an action of an authorized user that others must be able to see afterwards.

    It is shown from level `warning` on: an audit trail must not go with the chatter.
    """
    logger.warning(event, **values, **{_NOTICE: True})


def complain(text: str) -> None:
    """Print on stderr why the process ends; in the journal at priority ERROR.

    It is a line and no entry: journald would look up the unit of the entry's process, which may be gone by then.
    """
    print(f"<{_PRIORITIES['error']}>{text}" if _is_journal(_STDERR) else text, file=sys.stderr)  # noqa: T201


def configure(level: str, *, is_for_people: bool = False) -> None:
    """Send the log to stderr, from a level on: to the journal, if that is where stderr leads.

    Args:
        level: One of `LEVELS`.
        is_for_people: Whether a person reads stderr also where it is not a terminal. They called a command, and need
            no times.

    """
    try:
        os.fstat(_STDERR)
    except OSError:  # closed: the next file opened, the alert log perhaps, would take its number
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _set_notice, _describe_error, _hand_over],
        logger_factory=_Writer(_way_out(is_for_people=is_for_people)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )


def _way_out(*, is_for_people: bool) -> Callable[[Event], None]:
    """Return what writes an event where stderr leads."""
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
    """A logger, as structlog calls one, and its factory: it is given events, and writes them somewhere."""

    def __init__(self, write: Callable[[Event], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write

    def __call__(self, *_: Any) -> _Writer:
        return self


def _set_notice(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.pop(_NOTICE, False):
        event["level"] = "notice"
    return event


def _describe_error(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its last line, for the sentence, and its traceback."""
    if given := event.pop("exc_info", None):
        error = given if isinstance(given, BaseException) else sys.exception()
        if error is not None:
            event["error"] = traceback.format_exception_only(_cause(error))[-1].strip()
            event["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return event


def _cause(error: BaseException) -> BaseException:
    """Return the first error in a group of them, whose own last line only counts them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _hand_over(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}


class _Stderr:
    """Our stderr, which never holds us up and never fails: the log must not decide whether the service goes on.

    A journald that stands still leaves its socket full; what is logged then waits for the next event, or the end.
    """

    def __init__(self) -> None:
        is_socket = stat.S_ISSOCK(os.fstat(_STDERR).st_mode)
        self._socket = socket.socket(fileno=os.dup(_STDERR)) if is_socket else None
        self._waiting: deque[bytes] = deque(maxlen=_WAITING_LIMIT)
        self._turn = Lock()  # parts of the service log in threads of their own
        if is_socket:
            atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """Write a line, given without its end."""
        if self._socket is None:
            with suppress(OSError):
                os.write(_STDERR, line + b"\n")
            return
        with self._turn:
            self._waiting.append(line + b"\n")
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it now."""
        with self._turn, suppress(OSError):
            while self._socket is not None and self._waiting:
                line = self._waiting[0]
                sent = self._socket.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                if sent == len(line):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = line[sent:]


class _Journal:
    """The journal: an entry with its fields, or where journald does not take that now, a line on stderr."""

    def __init__(self, stderr: _Stderr) -> None:
        self._socket = JournalSocket()
        self._stderr = stderr

    def write(self, event: Event) -> None:
        """Write an event."""
        self._stderr.flush()
        if self._is_sent(datagram(journal_fields(event))):
            return
        # journald takes the prefix off each line.
        prefix = f"<{_PRIORITIES[event['level']]}>"
        lines = _as_text(event, is_coloured=False).splitlines()
        self._stderr.write("\n".join(prefix + line for line in lines).encode("utf-8", "backslashreplace"))

    def _is_sent(self, entry: bytes) -> bool:
        for _ in range(2):  # the second time to a journald that has come in the place of another one
            try:
                self._socket.send(entry)
            except ConnectionError:
                continue
            except OSError:
                return False
            return True
        return False


def journal_fields(event: Event) -> dict[str, str]:
    """Return the fields of an event's entry: a sentence, and `FLEET_…` for the event and each of its values."""
    fields = {
        "MESSAGE": _cut(localized(sentence(event)), _LONGEST_MESSAGE),
        "PRIORITY": str(_PRIORITIES[event["level"]]),
        "SYSLOG_IDENTIFIER": "fleet-health",
    }
    values = {name: value for name, value in event.items() if name != "level" and value is not None}
    return fields | {f"FLEET_{name.upper()}": _cut(_as_field(value), _LONGEST_FIELD) for name, value in values.items()}


def _as_field(value: Any) -> str:
    """Return a value as programs read it: lists and mappings as JSON, and a text without what a terminal obeys."""
    if isinstance(value, list | tuple | dict):
        value = _json(value)
    return "\n".join(map(printable, str(value).split("\n")))


def _as_json(event: Event) -> bytes:
    # The event first, for the eye; no timestamp, for whoever takes our stderr adds one.
    ordered = {"event": event["event"], **{key: value for key, value in event.items() if key != "event"}}
    return msgspec.json.encode(ordered, enc_hook=str)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _as_text(event: Event, *, is_coloured: bool) -> str:
    """Return an event as a line: its level, its sentence, and what that does not hold; then a traceback."""
    level = str(event["level"])
    mark = f"\x1b[{_COLOURS[level]}m{level}:\x1b[0m" if is_coloured else f"{level}:"
    more = ", ".join(f"{name}={printable(in_words(value))}" for name, value in beside(event).items())
    lines = [localized(f"{mark} {sentence(event)}{f' ({more})' if more else ''}")]
    if exception := event.get("exception"):
        lines += [f"    {printable(line)}" for line in str(exception).splitlines()]
    return "\n".join(lines)


def _cut(text: str, longest: int) -> str:
    """Shorten a text in the middle: of a traceback the end matters most."""
    if len(text) <= longest:
        return text
    half = longest // 2 - 8
    return f"{text[:half]} […] {text[-half:]}"


def _is_journal(fd: int) -> bool:
    """Return whether a descriptor leads to journald (see JOURNAL_STREAM in systemd.exec(5))."""
    state = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"
