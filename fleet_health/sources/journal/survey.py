"""List the origins of lines in a journal: system units, user units and containers, with their latest lines.

Origins are named as in a configuration, so that they can be watched. Other modules decide which is a receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleet_health.sources.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant

_UNIT, _USER_UNIT, _CONTAINER, _UID, _PID = "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "CONTAINER_NAME", "_UID", "_PID"
_OWN = "fleet-health.service"
# These units write the lines of all containers. For Podman, a process of each container writes them.
_CONTAINER_MANAGERS = frozenset(("docker.service", "containerd.service"))
_WRITERS = 100
_MANAGERS = frozenset(("init.scope", _OWN))


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of lines, as in a configuration.

    Attributes:
        unit: The system unit; empty if only `match` selects the lines.
        match: The fields of its entries besides the unit.
        lines: Its latest lines, latest first.
        pids: The ids of the processes that wrote them, latest first.
        namespace: The journal namespace; empty for the default one.

    """

    unit: str
    match: tuple[str, ...]
    lines: tuple[str, ...]
    pids: tuple[int, ...]
    namespace: str = ""

    @property
    def name(self) -> str:
        """Its name for people."""
        values = dict(field.split("=", 1) for field in self.match)
        container, user_unit = values.get(_CONTAINER), values.get(_USER_UNIT)
        if container:
            return f"container {container}"
        return f"{user_unit} of user {values.get(_UID)}" if user_unit else self.unit


def survey(settings: JournalSettings, since: Instant, limit: int) -> Iterator[Origin]:
    """Yield the origins of lines in a journal; for a namespace, only those that log there.

    Args:
        settings: The journal. Its units and fields are ignored.
        since: The begin of the search.
        limit: The largest number of lines of each origin.

    Raises:
        SourceUnavailable: The journal is missing, or cannot be read.

    """
    reader = JournalReader(replace(settings, units=(), match=()))
    look = _Look(reader, settings.namespace or "", since, limit)
    try:
        for unit in sorted(reader.values_of(_UNIT)):
            if unit in _MANAGERS | _CONTAINER_MANAGERS or unit.endswith(".scope") or unit.startswith("user@"):
                continue
            yield from look.at(unit, ())
        for name in sorted(reader.values_of(_USER_UNIT)):
            if not name.endswith(".scope") and name not in _MANAGERS:
                for uid in look.users(f"{_USER_UNIT}={name}"):
                    yield from look.at("", (f"{_USER_UNIT}={name}", f"{_UID}={uid}"))
        for name in sorted(reader.values_of(_CONTAINER)):
            field = f"{_CONTAINER}={name}"
            for unit, uid in look.writers(field):
                if unit in _CONTAINER_MANAGERS:
                    yield from look.at(unit, (field,))
                elif not unit or unit.endswith(".scope") or unit.startswith("user@"):
                    yield from look.at("", (field, f"{_UID}={uid}"))
                # Otherwise another unit writes its lines, and was found before.
    finally:
        reader.close()


@dataclass(frozen=True, slots=True)
class _Look:
    """A search in a journal back to an instant."""

    reader: JournalReader
    namespace: str
    since: Instant
    limit: int

    def at(self, unit: str, match: tuple[str, ...]) -> Iterator[Origin]:
        """Yield the origin of the lines with these fields, if there are any."""
        fields = (*([f"{_UNIT}={unit}"] if unit else []), *match)
        entries = self._entries(fields, self.limit, (_PID,))
        lines = tuple(
            line for message, _ in entries for line in reversed(message.decode("utf-8", "surrogateescape").split("\n"))
        )
        pids = dict.fromkeys(int(seen[_PID]) for _, seen in entries if seen.get(_PID, "").isdecimal())
        if lines:
            yield Origin(unit, match, lines, tuple(pids), self.namespace)

    def users(self, field: str) -> list[str]:
        """Return the users who have recently written entries with a field."""
        entries = self._entries((field,), _WRITERS, (_UID,))
        return sorted({seen[_UID] for _, seen in entries if _UID in seen})

    def writers(self, field: str) -> list[tuple[str, str]]:
        """Return unit and user of the latest entry with a field; empty if there is none."""
        return [(seen.get(_UNIT, ""), seen.get(_UID, "0")) for _, seen in self._entries((field,), 1, (_UNIT, _UID))]

    def _entries(
        self, fields: tuple[str, ...], limit: int, wanted: tuple[str, ...]
    ) -> list[tuple[bytes, dict[str, str]]]:
        in_namespace = (f"_NAMESPACE={self.namespace}",) if self.namespace else ()
        return self.reader.latest_entries((*fields, *in_namespace), self.since, limit, wanted)
