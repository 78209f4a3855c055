"""Parse the log of a receiver: access lines, and warnings about uploads without a stamp.

The patterns for both are configurable, so that other receivers can be watched. Clients choose much of an access line
(path, query, logged headers), so the kind of a line must not depend on text from a client: the patterns are anchored to
whole lines, and an access line is never parsed as a warning.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fleet_health.model.host_name import PUNCTUATION, named_host
from fleet_health.model.observation import Response, Unstamped
from fleet_health.model.window import CLIENT_ERROR, SERVER_ERROR, SUCCESS
from fleet_health.parsing.logged_name import logged_name
from fleet_health.parsing.long_line import CUT, GAP, LINE_LIMIT, view_of
from fleet_health.parsing.pattern_sample import upload_words
from fleet_health.parsing.rejection import Rejection, rejection

if TYPE_CHECKING:
    from fleet_health.model.instant import Instant

LogObservation: TypeAlias = Response | Unstamped


class _Observations(Protocol):
    """A list of observations, which may contain other kinds as well."""

    def append(self, observation: LogObservation, /) -> None:
        """Append an observation."""


# A message that a client causes must not block the event loop for long; 1 MiB of line breaks took 7 s. journald makes
# one entry of each line of a service's output. A traceback has some dozens of lines.
MESSAGE_LIMIT = 1 << 20
MESSAGE_LINES = 16_384

_COUNTED_CLASSES = frozenset({SUCCESS, CLIENT_ERROR, SERVER_ERROR})
_COUNTED = {str(status): status for status in range(100, 600) if status // 100 in _COUNTED_CLASSES}
# How many safe host names are cached, enough for a large fleet. Bounded, because clients can invent names.
_PLAIN_NAMES = 20_000
# Characters after a line that are not part of it, so that patterns anchored to the end match.
_LINE_ENDS = "\r\0"


class LogParser:
    """Parses the messages of one receiver.

    Args:
        response: Matches an access line, with the groups `host` and `status`. Such a line is never a warning.
        unstamped_marker: A text in each warning, ignoring case. None if there is no rule for warnings.
        unstamped_host: Matches a warning, with the group `host`. None if there is no rule for warnings.

    Attributes:
        missed: The number of upload lines so far that gave no observation.
        missed_in_a_row: The number of these since the last line that was understood.

    """

    def __init__(
        self, response: re.Pattern[str], unstamped_marker: str | None, unstamped_host: re.Pattern[str] | None
    ) -> None:
        self.missed = self.missed_in_a_row = 0
        self._response = response.search
        self._host_and_status = response.groupindex["host"], response.groupindex["status"]
        self._plain_names: dict[str, str] = {}
        """Safe host name in a line -> the same text, whose hash is already computed."""
        self._upload_words = upload_words(response)
        self._marker = None if unstamped_marker is None or unstamped_host is None else unstamped_marker.casefold()
        self._unstamped_host = None if unstamped_host is None else unstamped_host.search

    def parse(self, message: bytes, at: Instant) -> tuple[list[LogObservation], list[Rejection]]:
        """Parse the message of a journal entry, line by line. `at` is the realtime timestamp of the entry."""
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        self.parse_into(observations, rejections, message, at)
        return observations, rejections

    def parse_into(self, observations: _Observations, rejections: list[Rejection], message: bytes, at: Instant) -> None:
        """Parse a message like `parse`, but append to two lists, because it is called for every entry."""
        if len(message) > MESSAGE_LIMIT:
            rejections.append(rejection("message longer than 1 MiB, rest not read", message))
            message = message[:MESSAGE_LIMIT]
        # Octets that are not UTF-8 are decoded distinctly from texts that look like their escapes, so that names stay
        # distinct.
        text = message.decode("utf-8", "surrogateescape")
        for whole_line in self._lines(text, rejections) if "\n" in text else (text,):
            line = whole_line if len(whole_line) <= LINE_LIMIT else view_of(whole_line)
            access = self._response(line)
            if access is not None:
                # Nearly every line has a cached name and a status that is counted.
                host, status_text = access.group(*self._host_and_status)
                name, status = self._plain_names.get(host), _COUNTED.get(status_text)
                if name is not None and status is not None:
                    observations.append(Response(name, at, status))
                    self.missed_in_a_row = 0
                    continue
            result = self._parse_line(line, access, whole_line, at)
            if isinstance(result, Rejection):
                rejections.append(result)
            elif result is not None:
                observations.append(result)
                self.missed_in_a_row = 0

    @staticmethod
    def _lines(text: str, rejections: list[Rejection]) -> list[str]:
        lines = text.split("\n", MESSAGE_LINES)
        if len(lines) > MESSAGE_LINES and lines.pop():
            rejections.append(rejection(f"message of more than {MESSAGE_LINES:,} lines, rest not read", text))
        return lines

    def _parse_line(
        self, line: str, access: re.Match[str] | None, whole_line: str, at: Instant
    ) -> LogObservation | Rejection | None:
        if access is None and line[-1:] in _LINE_ENDS:
            line = line.rstrip(_LINE_ENDS)
            access = self._response(line)
        if access is not None:
            return self._access(access, whole_line, at)
        if self._marker is not None and self._marker in line.casefold():
            return self._unstamped(line, whole_line, at)
        words = self._upload_words
        if words and words[-1] in line and words[0] in line:
            self._miss()
        if GAP in line:
            return rejection("line longer than 2 KiB, no match in the part that was read", whole_line)
        return None

    def _rejected(self, reason: str, line: str) -> Rejection:
        self._miss()
        return rejection(reason, line)

    def _miss(self) -> None:
        self.missed += 1
        self.missed_in_a_row += 1

    def _access(self, access: re.Match[str], line: str, at: Instant) -> LogObservation | Rejection | None:
        host, status_text = access.group(*self._host_and_status)
        try:
            status = int(status_text)
        except (TypeError, ValueError):
            return self._rejected("status is not a number", line)
        if not host:
            return self._rejected("access names no host", line)
        if CUT in host:
            return self._rejected("host cut off by the limit on a line", line)
        name = named_host(host)
        if name is not host:  # nearly all names are plain and need no decoding
            name = named_host(logged_name(access.string, *access.span("host")))
        elif len(self._plain_names) < _PLAIN_NAMES:
            self._plain_names[host] = host
        return Response(name, at, status) if status // 100 in _COUNTED_CLASSES else None

    def _unstamped(self, line: str, whole_line: str, at: Instant) -> LogObservation | Rejection:
        named = None if self._unstamped_host is None else self._unstamped_host(line)
        host = ((named and named["host"]) or "").rstrip(PUNCTUATION)
        if not named or not host:
            return self._rejected("unstamped rejection names no host", whole_line)
        if CUT in host:
            return self._rejected("host cut off by the limit on a line", whole_line)
        begin = named.start("host")
        return Unstamped(named_host(logged_name(line, begin, begin + len(host))), at)


def compile_pattern(text: str, *groups: str) -> re.Pattern[str]:
    """Compile a pattern from the configuration.

    Raises:
        ValueError: The text is not a regular expression, or lacks a named group.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about `[[`, whose meaning may change in Python
            pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if missing := [group for group in groups if group not in pattern.groupindex]:
        raise ValueError("without the group " + " and ".join(f"(?P<{group}>…)" for group in missing))
    return pattern
