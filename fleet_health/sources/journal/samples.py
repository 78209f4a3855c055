"""Look up the latest journal lines with refusals of a host for its alert, and make the command that shows all lines.

They are looked up when an alert is sent, because keeping them for every host would cost memory. The journal is read
backwards from its end until each host has enough lines or the time is up.
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from fleet_health.errors import SourceUnavailable, shell_safe
from fleet_health.model.host_name import own_name
from fleet_health.model.instant import SECOND_US
from fleet_health.model.observation import Response, Unstamped
from fleet_health.model.window import SUCCESS
from fleet_health.parsing.logged_name import pattern_for
from fleet_health.parsing.redaction import without_secrets
from fleet_health.sources.journal.lines import log_parser
from fleet_health.sources.journal.machines import opened

if TYPE_CHECKING:
    from collections.abc import Collection

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant

_LINES_EACH = 3
_LINE_LENGTH = 200
# The part of a long message that is examined.
_LOOKED_AT = 4_096
_PATIENCE = 0.25
_BETWEEN_LOOKS_AT_THE_CLOCK = 256


def sample_lines(
    settings: JournalSettings, hosts: Collection[str], since: Instant, until: Instant
) -> dict[str, list[str]]:
    """Return the latest refusals of some hosts: at most three lines each, oldest first, without secrets.

    Args:
        settings: The journal, the units, and the patterns of their lines.
        hosts: The hosts.
        since: The begin of the search.
        until: The end of the search, from which to read backwards.

    Returns:
        Host -> its lines, escaped and shortened; without hosts for which none was found in time.

    """
    found: dict[str, list[str]] = {}
    lacking = set(hosts)
    if not lacking:
        return found
    try:
        with opened(settings) as journal:
            for reader in journal.readers:
                reader.find_instances(since)
            parse = log_parser(settings).parse
            gives_up_at = time.monotonic() + _PATIENCE
            for number, (_, message, at) in enumerate(journal.read_back(until)):
                is_late = not number % _BETWEEN_LOOKS_AT_THE_CLOCK and time.monotonic() > gives_up_at
                if at < since or not lacking or is_late:
                    break
                for observation in parse(message or b"", at)[0]:
                    is_refusal = isinstance(observation, Unstamped) or (
                        isinstance(observation, Response) and observation.status // 100 != SUCCESS
                    )
                    if is_refusal and observation.host in lacking:
                        lines = found.setdefault(observation.host, [])
                        lines.insert(0, _shown(message or b""))
                        if len(lines) == _LINES_EACH:
                            lacking.discard(observation.host)
    except SourceUnavailable:
        pass  # the follower reports the error
    return found


def journal_command(settings: JournalSettings, host: str, since: Instant) -> str:
    """Return the command that shows the lines about a host; with an empty host, all lines and those of systemd."""
    words = ["journalctl", *(f"--unit={unit}" for unit in settings.units), f"--since=@{since // SECOND_US}"]
    if settings.directory is not None:
        words.append(f"--directory={settings.directory}")
    if settings.namespace is not None:
        words.append(f"--namespace=+{settings.namespace}")
    if host:
        words.append(f"--grep={pattern_for(own_name(host))}")
    # Messages of systemd about the units have none of these fields.
    for number, fields in enumerate(settings.match if host or not settings.units else ()):
        words += ["+", *fields] if number else fields
    return shlex.join(words)


def _shown(message: bytes) -> str:
    line = shell_safe(without_secrets(message[:_LOOKED_AT].decode("utf-8", "surrogateescape")))
    return line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…"
