"""Search this machine for receivers: log sources that look like one, and files that may be their indexes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.setup.candidates import candidate, candidates
from fleet_health.cli.setup.index_search import DEFAULT_PATH, common_places, find_indexes, places_of
from fleet_health.cli.setup.units import units
from fleet_health.parsing.known_patterns import upload_request
from fleet_health.sources.journal.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.cli.setup.candidates import Candidate
    from fleet_health.cli.setup.index_search import FoundIndex
    from fleet_health.cli.setup.units import Unit
    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.sources.journal.survey import Origin

_LINES = 2_000
"""The number of the latest lines of each log source that are examined."""
_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "granian", "nginx", "apache2", "httpd", "caddy", "lighttpd", "traefik")
_JOURNALS = (Path("/run/log/journal"), Path("/var/log/journal"))
_namespaced = re.compile(r"[0-9a-f]{32}\.(?P<name>.+)").fullmatch


@dataclass(slots=True)
class Search:
    """The result of a search.

    Attributes:
        origins: The log sources in the journal.
        found: The candidates, the most likely first.
        indexes: The possible indexes of each candidate, in the same order, each with the most likely first.
        services: The services that systemd has loaded; None if it could not be asked.

    """

    origins: list[Origin] = field(default_factory=list)
    found: list[Candidate] = field(default_factory=list)
    indexes: list[list[FoundIndex]] = field(default_factory=list)
    services: list[Unit] | None = None

    @property
    def lines(self) -> int:
        """The number of lines that were examined."""
        return sum(len(one.lines) for one in self.origins)

    def unread(self) -> Iterator[tuple[Origin, str]]:
        """Yield the log sources with lines about uploads in an unknown format, each with one such line."""
        known = {one.origin.name for one in self.found}
        for origin in self.origins:
            line = next((line for line in origin.lines if upload_request(line)), None)
            if line is not None and origin.name not in known:
                yield origin, line

    def mute_servers(self) -> list[str]:
        """Return the running services that look like an HTTP server but have no line about an upload."""
        logging = {one.origin.unit for one in self.found} | {origin.unit for origin, _ in self.unread()}
        return [
            unit.name
            for unit in self.services or ()
            if unit.is_running
            and unit.name not in logging
            and any(server in unit.properties.get("ExecStart", "") for server in _SERVERS)
        ]

    def default(self) -> list[int]:
        """Return the indexes of the best guess: the most likely candidate, and others with a proven index."""
        if not self.found:
            return []
        chosen, taken = [0], {self._path(0)}
        for number in range(1, len(self.found)):
            proven = next(iter(self.indexes[number]), None)
            if proven is not None and proven.path not in taken and proven.shared(self.found[number].hosts):
                chosen.append(number)
                taken.add(proven.path)
        return chosen

    def _path(self, number: int) -> Path | None:
        best = next(iter(self.indexes[number]), None)
        return None if best is None else best.path


def search(settings: JournalSettings, since: Instant) -> Search:
    """Search this machine.

    Args:
        settings: The journal to search: a directory, or the journal of this machine with every namespace.
        since: The begin of the search.

    Raises:
        SourceUnavailable: The journal is missing or cannot be read.

    """
    origins = list(survey(settings, since, _LINES))
    if settings.directory is None:
        for name in _namespaces():
            origins += survey(replace(settings, namespace=name), since, _LINES)
    result = Search(origins, services=units(["*.service"]))
    by_name = {unit.name: unit for unit in result.services or ()}
    common: list[Path] | None = None
    for one in candidates(origins):
        places = list(places_of(by_name.get(one.origin.unit), one.origin.pids))
        found = find_indexes([*places, DEFAULT_PATH], one.hosts)
        if not any(index.shared(one.hosts) for index in found):
            common = list(common_places()) if common is None else common
            # A file in a common place is an index of this receiver only if it contains one of its hosts.
            found += [
                index
                for index in find_indexes(common, one.hosts)
                if index.shared(one.hosts) and index.path not in {known.path for known in found}
            ]
            found.sort(key=lambda index: -index.shared(one.hosts))
        if found:
            # The index shows which part of a path is the host.
            one = candidate(one.origin, frozenset(found[0].hosts)) or one  # noqa: PLW2901
        result.found.append(one)
        result.indexes.append(found)
    return result


def _namespaces() -> list[str]:
    found = set()
    for place in _JOURNALS:
        try:
            found |= {match["name"] for entry in place.iterdir() if (match := _namespaced(entry.name))}
        except OSError:
            continue
    return sorted(found)
