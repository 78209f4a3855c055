"""The receiver's log: an access line, or a warning that an upload carries no code stamp.

Which line is which is configuration, so that another receiver can be watched.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, TypeAlias

from fleet_health.domain.observation import Response, Unstamped
from fleet_health.domain.window import CLIENT_ERROR, SERVER_ERROR, SUCCESS
from fleet_health.parsing.host_name import host_name
from fleet_health.parsing.rejection import Rejection, rejection

if TYPE_CHECKING:
    from fleet_health.domain.instant import Instant

LogObservation: TypeAlias = Response | Unstamped

# No pattern sees more of a line than this, and no more of a message is looked at than that: what a stranger can
# write into the journal must not decide how long we think about it.
LINE_LIMIT = 2_048
MESSAGE_LIMIT = 1 << 20

_COUNTED_CLASSES = frozenset({SUCCESS, CLIENT_ERROR, SERVER_ERROR})


class LogParser:
    """Reads the messages of one receiver.

    Args:
        response: Finds an access; has the groups `host` and `status`.
        unstamped_marker: A line that contains this, in any case, is an unstamped rejection and never an access.
        unstamped_host: Finds the host in such a line; has the group `host`.

    """

    def __init__(self, response: re.Pattern[str], unstamped_marker: str, unstamped_host: re.Pattern[str]) -> None:
        self._response = response.search
        self._marker = unstamped_marker.casefold()
        self._unstamped_host = unstamped_host.search

    def parse(self, message: bytes, at: Instant) -> tuple[list[LogObservation], list[Rejection]]:
        """Read one journal entry's message, line by line. `at` is the entry's realtime timestamp."""
        observations: list[LogObservation] = []
        rejections: list[Rejection] = []
        self.parse_into(observations, rejections, message, at)
        return observations, rejections

    def parse_into(
        self, observations: list[LogObservation], rejections: list[Rejection], message: bytes, at: Instant
    ) -> None:
        """Do as `parse` does, and add to two lists: this is done for every entry of a busy receiver."""
        if len(message) > MESSAGE_LIMIT:
            rejections.append(rejection("message longer than 1 MiB: the rest is not read", message))
            message = message[:MESSAGE_LIMIT]
        # What is not UTF-8 is kept apart from what merely looks like its escape, so that no two names become one.
        text = message.decode("utf-8", "surrogateescape")
        for line in text.split("\n") if "\n" in text else (text,):
            result = self._parse_line(line, at)
            if isinstance(result, Rejection):
                rejections.append(result)
            elif result is not None:
                observations.append(result)

    def _parse_line(self, whole_line: str, at: Instant) -> LogObservation | Rejection | None:
        line = whole_line[:LINE_LIMIT]
        if self._marker in line.casefold():
            return self._parse_unstamped(line, at, is_cut=len(line) < len(whole_line))
        access = self._response(line)
        if access is None:
            return None
        host, status_text = access.group("host", "status")
        try:
            status = int(status_text)
        except (TypeError, ValueError):
            return rejection("status is not a number", line)
        if not host:
            return rejection("access names no host", line)
        return Response(host_name(host), at, status) if status // 100 in _COUNTED_CLASSES else None

    def _parse_unstamped(self, line: str, at: Instant, *, is_cut: bool) -> LogObservation | Rejection:
        named = self._unstamped_host(line)
        if is_cut and named and named.end("host") == len(line):
            return rejection("host cut off by the limit on a line", line)
        host = named["host"].rstrip(",") if named and named["host"] else ""
        return Unstamped(host_name(host), at) if host else rejection("unstamped rejection names no host", line)


def compile_pattern(text: str, *groups: str) -> re.Pattern[str]:
    """Compile a pattern from the configuration.

    Raises:
        ValueError: It is not a regular expression, or lacks a named group.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Python may one day read `[[` in another way
            pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if missing := [group for group in groups if group not in pattern.groupindex]:
        raise ValueError("without the group " + " and ".join(f"(?P<{group}>…)" for group in missing))
    return pattern
