"""Readers for patterns of lines, and for texts with placeholders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleet_health.config.pattern_speed import slowness
from fleet_health.config.values import text
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.parsing.receiver_log import compile_pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Callable


def pattern(*groups: str) -> Callable[[Any], re.Pattern[str]]:
    """Return a reader for a regular expression with some named groups."""
    wanted = " and ".join(f"(?P<{group}>…)" for group in groups)

    def read(raw: Any) -> re.Pattern[str]:
        expected = f"a regular expression with {wanted}"
        try:
            compiled = compile_pattern(text(raw), *groups)
        except ValueError as error:
            raise ValueError(f"{expected}; this one is {error}" if isinstance(raw, str) and raw else expected) from None
        try:
            seconds = slowness(compiled)
        except ValueError as error:
            raise ValueError(f"{expected}; this one {error}") from None
        if seconds:
            raise ValueError(f"{expected} that is fast on any line; this one takes {seconds:.2f} s and more")
        return compiled

    return read


def suggested_fix(raw: Any) -> SuggestedFix:
    """Return the suggested fix for its text."""
    template = text(raw)
    try:
        return SuggestedFix(template)
    except ValueError as error:
        raise ValueError(f"a text with no placeholder but $host; it has {error}") from None
