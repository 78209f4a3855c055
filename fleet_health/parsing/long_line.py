"""A shortened view of a long log line: quick to match, and of no use to a client that wants to forge another line.

A client decides how long an access line is: by its path, its query, or a header that the server logs. Looking only at
the beginning would hide the status at the end, so a client could hide its own refusals behind a long query. Joining the
beginning and the end as they are would let a client forge a request out of two halves. Therefore:

* Runs without blanks and quotes (a path, a query, a token) are shortened in their middle first. The shortened line is
  one that the same client could have caused by a shorter request, so a longer request gains nothing.
* If the line is still too long, its beginning and its end are kept. The gap is a word of its own between blanks: no
  request of an anchored pattern reaches across it, for hosts and paths hold no blanks.

`CUT` marks both places. It is a lone surrogate that no decoded text contains, so a shortened host name is never
taken for one that is whole.
"""

from __future__ import annotations

import re

LINE_LIMIT = 2_048
"""The longest line, in characters, that is shown to a pattern as it is, and the longest view of a longer one."""

CUT = "\ud800"
GAP = f" {CUT} "
"""What stands between the beginning and the end of a line whose middle is left out, and in no other view."""

# How many characters of a run are kept at each end. A run is left alone if `CUT` would make it no shorter.
_RUN_KEPT = 256
_SHORTENED_FROM = 2 * _RUN_KEPT + 2
# The look-behind keeps this linear: a run that is short enough is scanned once, not from each of its characters.
_shorten_runs = re.compile(rf'(?<![^\s"])([^\s"]{{{_RUN_KEPT}}})[^\s"]{{{_SHORTENED_FROM - _RUN_KEPT},}}').sub
_HEAD = (LINE_LIMIT - len(GAP)) // 2
_TAIL = LINE_LIMIT - len(GAP) - _HEAD


def view_of(line: str) -> str:
    """Return the part of a line that patterns look at, at most `LINE_LIMIT` characters."""
    if len(line) <= LINE_LIMIT:
        return line
    shorter = _shorten_runs(_shorten_run, line)
    if len(shorter) <= LINE_LIMIT:
        return shorter
    return f"{shorter[:_HEAD]}{GAP}{shorter[-_TAIL:]}"


def _shorten_run(run: re.Match[str]) -> str:
    return f"{run[1]}{CUT}{run[0][-_RUN_KEPT:]}"
