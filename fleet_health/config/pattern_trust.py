"""Check whether text that a client chooses can match the configured patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from fleet_health.config import receiver_patterns
from fleet_health.errors import printable
from fleet_health.parsing.forgery import Forgery, forgeries

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from fleet_health.config.schema import JournalSettings

REMEDY = (
    "Anchor the pattern to the whole line (^…$), let no blank and no quote into the host and the path, and have the"
    " server log nothing else that a client chooses: see another-receiver.md in /usr/local/share/doc/fleet-health."
)


def forgeable(settings: JournalSettings) -> tuple[Forgery, ...]:
    """Return a forged line for each pattern, server and field for which forging is possible.

    The defaults are tried in the tests, with the real servers.
    """
    host = settings.unstamped_host
    texts = (settings.response.pattern, settings.unstamped_marker, None if host is None else host.pattern)
    return () if texts == receiver_patterns.DEFAULTS else _tried(settings.response, settings.unstamped_marker, host)


@lru_cache(maxsize=4)
def _tried(
    response: re.Pattern[str], unstamped_marker: str | None, unstamped_host: re.Pattern[str] | None
) -> tuple[Forgery, ...]:
    return tuple(forgeries(response, unstamped_marker, unstamped_host))


def warnings(settings: JournalSettings) -> Iterator[str]:
    """Yield a warning for each pattern that can be forged, with a forged line."""
    found = forgeable(settings)
    for pattern in dict.fromkeys(one.pattern for one in found):
        of_pattern = [one for one in found if one.pattern == pattern]
        first, more = of_pattern[0], len(of_pattern) - 1
        others = f" and {more} other way{'s' * (more > 1)}" if more else ""
        yield (
            f"{pattern}: a client can have a line counted for another host, by {first.field} in a line of"
            f" {first.format}{others}. This one is counted for `{printable(first.counted)}`: {printable(first.line)}"
        )
