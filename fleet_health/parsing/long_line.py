"""Shorten long log lines for matching, in a way that a client cannot use to forge another line.

Clients determine the length of an access line by the path, the query, or a logged header. If only the beginning were
matched, a client could hide the status at the end, and so its own refusals, by a long query. If the beginning and the
end were simply joined, a client could forge a request out of two halves. Therefore:

* Runs without blanks and quotes (a path, a query, a token) are shortened in their middle first. The shortened line is
  one that the same client could have caused by a shorter request, so a longer request gains nothing.
* If the line is still too long, its beginning and its end are kept. The gap is a separate word between blanks. No
  request of an anchored pattern spans it, because hosts and paths contain no blanks.

`CUT` marks both places. It is a lone surrogate that no decoded text contains, so a shortened host name is never
mistaken for a complete one.
"""

from __future__ import annotations

import re

LINE_LIMIT = 2_048
"""The longest line, in characters, that is matched unchanged, and the length of the view of a longer line."""

CUT = "\ud800"
GAP = f" {CUT} "
"""The mark in place of a middle that was left out. No other view contains it."""

# How many characters of a run are kept at each end. A run is left unchanged if `CUT` would not shorten it.
_RUN_KEPT = 256
_SHORTENED_FROM = 2 * _RUN_KEPT + 2
# The look-behind keeps this linear: a short run is scanned once, and not from each of its characters.
_shorten_runs = re.compile(rf'(?<![^\s"])([^\s"]{{{_RUN_KEPT}}})[^\s"]{{{_SHORTENED_FROM - _RUN_KEPT},}}').sub
_HEAD = (LINE_LIMIT - len(GAP)) // 2
_TAIL = LINE_LIMIT - len(GAP) - _HEAD


def view_of(line: str) -> str:
    """Return the view of a line for patterns, of at most `LINE_LIMIT` characters."""
    if len(line) <= LINE_LIMIT:
        return line
    shorter = _shorten_runs(_shorten_run, line)
    if len(shorter) <= LINE_LIMIT:
        return shorter
    return f"{shorter[:_HEAD]}{GAP}{shorter[-_TAIL:]}"


def _shorten_run(run: re.Match[str]) -> str:
    return f"{run[1]}{CUT}{run[0][-_RUN_KEPT:]}"
