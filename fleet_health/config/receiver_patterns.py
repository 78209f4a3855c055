"""The default patterns, for the lines of the reference receiver: uvicorn with an application.

Both are anchored to whole lines, because clients choose much of a line:

* uvicorn logs the X-Forwarded-For header of a trusted peer as the address of the client, unescaped, so it may contain
  blanks, quotes and whole requests. A client cannot choose the end of the line: `"METHOD PATH HTTP/X" STATUS PHRASE`.
  Neither h11 nor httptools accepts a blank in method, path or query, and uvicorn quotes the path. So the last request
  on the line counts, and it extends to the end of the line.
* Lines of the application may end in text from a client, such as the name of an episode. They begin with a level, a
  date or a bracket, so a line that begins like this and is not from uvicorn is not an access line.
* An access line of any server contains a quote. The warning about a missing stamp contains none.
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
    """Return the pattern of the warning of the application, as a whole line, for a marker.

    A host name ends before one punctuation mark. If there are several, one of them may belong to the name, so the line
    counts for no host.
    """
    literal = _special.sub(r"\\\1", marker)
    return (
        r"^(?:\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)? )?"
        r"WARNING:? *(?:[\w.]+:? ?)?(?:(?:rejected upload|upload rejected|rejected|refused): ?)?"
        rf"(?i:{literal})[:;,]? "
        r'host=(?P<host>[^\s"]*[^\s":;,.])[:;,.]?(?: (?:refused|episode=[^\s"]*))?$'
    )


DEFAULTS = (RESPONSE, MARKER, unstamped_host(MARKER))
"""The default of `journal.response`, and the two defaults of `journal.unstamped`."""


UNIT = "cis490-receiver.service"
"""The default of `journal.unit`."""

UNIT_KEY = "journal.unit"


def depending_defaults(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Return key -> default for the defaults that depend on other keys; None for those that are off.

    Args:
        given: Dotted key -> value in TOML, for the configured keys.

    """
    # A configuration that selects entries by other fields is not about the default receiver.
    return unstamped_defaults(given) | {UNIT_KEY: None if "journal.match" in given else UNIT}


def unstamped_defaults(given: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the defaults of the two keys of `journal.unstamped`, which depend on other keys.

    The rule is off (both None) if `journal.response` is configured and no rule is, because in lines of another format
    the marker may be in text from a client.

    Args:
        given: Dotted key -> value in TOML, for the configured keys.

    """
    if _MARKER_KEY in given:
        marker = given[_MARKER_KEY]
    elif _HOST_KEY in given or given.get(_RESPONSE_KEY, RESPONSE) == RESPONSE:
        marker = MARKER
    else:
        return {_MARKER_KEY: None, _HOST_KEY: None}
    return {_MARKER_KEY: MARKER, _HOST_KEY: unstamped_host(marker)}
