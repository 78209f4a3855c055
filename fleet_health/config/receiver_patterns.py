"""The default patterns: the lines of the reference receiver, which is uvicorn with an application of its own.

Both are anchored to a whole line, because clients choose much of what is in one:

* uvicorn logs the X-Forwarded-For header of a trusted peer as the client's address, as it came: with blanks, quotes,
  and whole requests in it. What a client cannot choose is the end of the line: `"METHOD PATH HTTP/X" STATUS PHRASE`.
  Neither h11 nor httptools let a blank into method, path or query, and uvicorn quotes the path. So the request that
  counts is the last one on the line, and it reaches to the end of the line.
* Lines of the application may end in text that a client chose, such as the name of an episode. They begin with a level,
  a date or a bracket, so a line that begins in this way and is not uvicorn's own is no access.
* An access line of any server holds a quote; the application's warning about a missing stamp holds none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RESPONSE = (
    r"^(?:(?:INFO: {5}|INFO:uvicorn\.access:|(?!(?:TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|\d{4}-\d\d-\d\d|\[)).*"
    r' - )?"PUT /v1/episodes/(?P<host>[^/\s"?]*)/\S+ HTTP/\d(?:\.\d)?" (?P<status>\d{3})(?: [^"\d]*)?$'
)
MARKER = "missing X-Cis490-Code-Commit"

_RESPONSE_KEY = "journal.response"
_MARKER_KEY = "journal.unstamped.contains"
_HOST_KEY = "journal.unstamped.host"

_special = re.compile(r"([][\\.^$*+?{}()|#])")


def unstamped_host(marker: str) -> str:
    """Write the pattern of the application's own warning, a whole line, for a marker.

    A host's name ends before one mark of punctuation. If there are more, one of them may belong to the name, and the
    line counts for nobody.
    """
    literal = _special.sub(r"\\\1", marker)
    return (
        r"^(?:\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)? )?"
        r"WARNING:? *(?:[\w.]+:? ?)?(?:(?:rejected upload|upload rejected|rejected|refused): ?)?"
        rf"(?i:{literal})[:;,]? "
        r'host=(?P<host>[^\s"]*[^\s":;,.])[:;,.]?(?: (?:refused|episode=[^\s"]*))?$'
    )


DEFAULTS = (RESPONSE, MARKER, unstamped_host(MARKER))
"""The default of `journal.response`, and the two of `journal.unstamped`."""


UNIT = "cis490-receiver.service"
"""The default of `journal.unit`."""

UNIT_KEY = "journal.unit"


def depending_defaults(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the defaults that depend on what else is configured; None for those that are off.

    Args:
        given: Dotted key -> value as TOML gave it, for the keys that are configured.

    """
    # A configuration that finds the receiver's entries by other fields is not about the default receiver.
    return unstamped_defaults(given) | {UNIT_KEY: None if "journal.match" in given else UNIT}


def unstamped_defaults(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the defaults of the two keys of `journal.unstamped`, which depend on what is configured.

    The rule is off (None for both) for a receiver whose accesses are read by a pattern of its own, unless a rule is
    configured: in lines of another format the marker may stand in text that a client chose.

    Args:
        given: Dotted key -> value as TOML gave it, for the keys that are configured.

    """
    if _MARKER_KEY in given:
        marker = given[_MARKER_KEY]
    elif _HOST_KEY in given or given.get(_RESPONSE_KEY, RESPONSE) == RESPONSE:
        marker = MARKER
    else:
        return {_MARKER_KEY: None, _HOST_KEY: None}
    return {_MARKER_KEY: MARKER, _HOST_KEY: unstamped_host(marker)}
