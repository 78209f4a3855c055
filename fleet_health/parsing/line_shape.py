"""The shape of a log line: the line with placeholders for numbers, times and other parts that vary."""

from __future__ import annotations

import re

# Longer and rarer parts come first. Each part begins and ends at a word boundary.
_folds = re.compile(
    r"""
    (?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)
    |(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)
    |(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}\b|(?:\b[0-9a-fA-F]{1,4}:|::)(?:[0-9a-fA-F]{0,4}:){1,6}[0-9a-fA-F]{1,4}\b)
    |(?P<hex>\b(?=[0-9a-fA-F]*[0-9])(?=[0-9]*[a-fA-F])[0-9a-fA-F]{8,}\b)
    |(?P<n>\d+)
    """,
    re.VERBOSE | re.ASCII,
)

_LENGTH = 500


def line_shape(line: str) -> str:
    """Return the first 500 characters of a line with placeholders, such as `<n>` for a number."""
    return _folds.sub(lambda match: f"<{match.lastgroup}>", line[:_LENGTH])
