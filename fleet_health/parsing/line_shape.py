"""The shape of a log line: what remains of it when all that changes from line to line is folded."""

from __future__ import annotations

import re

# In this order: what is longer and rarer first. Each begins and ends where no other letter or digit is beside it.
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
    """Return the shape of a line: its first 500 characters, with `<n>` for a number, `<address>` for one, and so on."""
    return _folds.sub(lambda match: f"<{match.lastgroup}>", line[:_LENGTH])
