"""Make the libsystemd matches for the entries of a receiver, and for entries of the service manager about it.

Each list matches entries that have all of its fields. If it has several values for a field, one of them suffices.
Entries are trusted only by fields that journald sets itself (`_PID`, `_UID`, …), because any client can write the
others.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fleet_health.detectors import blind
from fleet_health.model.host_globs import HostGlobs, is_plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from fleet_health.config.schema import JournalSettings

MANAGER = "init.scope"
"""The unit in which a service manager runs."""


def plain_units(settings: JournalSettings) -> list[str]:
    """Return the units that are configured by name rather than by glob."""
    return list(filter(is_plain, settings.units))


def instances(settings: JournalSettings, units: Iterable[str]) -> set[str]:
    """Return the units among `units` that match a configured glob."""
    globs = [glob for glob in settings.units if not is_plain(glob)]
    return {unit for unit in units if any(fnmatchcase(unit, glob) for glob in globs)}


def line_matches(settings: JournalSettings, units: Collection[str]) -> list[list[str]]:
    """Return the matches for the lines of the receiver, given the names of all its units."""
    if settings.units and not units:
        return []
    of_slices = [unit_field(unit) for unit in units if unit.endswith(".slice")]
    of_others = [unit_field(unit) for unit in units if not unit.endswith(".slice")]
    alternatives = [named for named in (of_others, of_slices) if named] or [[]]
    return [[*named, *fields] for named in alternatives for fields in settings.match or ((),)]


def unit_field(unit: str) -> str:
    """Return the match for the lines of a unit, or of all units in a slice."""
    return f"_SYSTEMD_SLICE={unit}" if unit.endswith(".slice") else f"_SYSTEMD_UNIT={unit}"


def of_units(settings: JournalSettings) -> str:
    """Return the units of the receiver in words: ` of a.service, b.service`; empty if there are none."""
    return f" of {', '.join(settings.units)}" if settings.units else ""


def unmatched_in_words(settings: JournalSettings) -> str:
    """Return the sentence of the detector `blind` about unmatched lines, with a hint for the operator."""
    return (
        f"{blind.unmatched_in_words(settings.units)};"
        " `fleet-health patterns` shows the lines; check `journal.unit` and `journal.response`"
    )


def unit_matches(settings: JournalSettings, message_ids: Iterable[str]) -> list[list[str]]:
    """Return the matches for messages of the service managers about the units of the receiver.

    If a unit is a glob, messages about all units match, and must be filtered by `watched_units`.
    """
    ids, watched = [f"MESSAGE_ID={one}" for one in message_ids], _watched(settings)
    found = [["_PID=1", *ids, *(f"UNIT={unit}" for unit in watched if all(map(is_plain, watched)))]] if watched else []
    return found + [[*by_manager, *ids, f"USER_UNIT={unit}"] for by_manager, unit in _of_users(settings)]


def matches_about(unit: str, message_ids: Iterable[str]) -> list[str]:
    """Return the match for PID 1's messages about a unit."""
    return ["_PID=1", f"UNIT={unit}", *(f"MESSAGE_ID={one}" for one in message_ids)]


def matches_about_each(
    settings: JournalSettings, units: Iterable[str], message_ids: Collection[str]
) -> list[list[str]]:
    """Return the matches for messages about each unit, the sockets that can start them, and the units of users."""
    named = with_sockets([*units, *filter(is_plain, _units(settings))])
    ids = [f"MESSAGE_ID={one}" for one in message_ids]
    of_users = [[*by_manager, *ids, f"USER_UNIT={unit}"] for by_manager, unit in _of_users(settings)]
    return [matches_about(unit, message_ids) for unit in named] + of_users


def watched_units(settings: JournalSettings) -> HostGlobs:
    """Return the globs of the system units that belong to the receiver, including sockets."""
    return HostGlobs(tuple(_watched(settings)))


def is_suppressed_unit(settings: JournalSettings, unit: str) -> bool:
    """Return whether suppressed lines of a unit may have been from the receiver."""
    managers = (f"user@{uid}.service" for fields in settings.match for uid in _values(fields, "_UID"))
    return any(fnmatchcase(unit, glob) for glob in (*_units(settings), *managers))


def with_sockets(units: Sequence[str]) -> list[str]:
    """Return units with the sockets that can start them, by systemd's naming rule."""
    found = dict.fromkeys(units)
    for unit in units:
        name, _, kind = unit.rpartition(".")
        if kind == "service":
            found[f"{name}.socket"] = None
            if "@" in name:  # Accept=yes
                found[f"{name.partition('@')[0]}.socket"] = None
    return list(found)


def _units(settings: JournalSettings) -> list[str]:
    return list(settings.units) or [unit for fields in settings.match for unit in _values(fields, "_SYSTEMD_UNIT")]


def _watched(settings: JournalSettings) -> list[str]:
    return with_sockets(_units(settings))


def _of_users(settings: JournalSettings) -> Iterator[tuple[list[str], str]]:
    """Yield the match for the user manager and the unit, for each user unit with its user in `match`."""
    for fields in settings.match:
        # The manager is a process of the user, who could forge its messages, but only about their own units.
        for uid in _values(fields, "_UID"):
            by_manager = [f"_SYSTEMD_USER_UNIT={MANAGER}", f"_UID={uid}"]
            for unit in with_sockets(_values(fields, "_SYSTEMD_USER_UNIT")):
                yield by_manager, unit


def _values(fields: Sequence[str], name: str) -> list[str]:
    return [value for field, _, value in (one.partition("=") for one in fields) if field == name]
