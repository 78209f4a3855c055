"""Find configured units and matches without an entry in the journal, as sentences for the operator."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fleet_health.model.host_globs import is_plain
from fleet_health.sources.journal.known_units import alias_of, is_known_unit
from fleet_health.sources.journal.matches import line_matches, matches_about, of_units, unit_field
from fleet_health.sources.journal.system_messages import RUNNING_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fleet_health.config.schema import JournalSettings
    from fleet_health.sources.journal.reader import JournalReader


def unheard_in(readers: Sequence[JournalReader], settings: JournalSettings) -> list[str]:
    """Return a sentence for each setting without an entry in any journal. Leaves the read positions undefined."""
    is_one = len(settings.units) + len(settings.match) == 1 and all(map(is_plain, settings.units))
    if is_one and any(reader.has_lines() for reader in readers):
        return []
    first, *others = [_unheard(reader, settings) for reader in readers] or [[]]
    return [sentence for sentence in first if all(sentence in other for other in others)]


def _unheard(reader: JournalReader, settings: JournalSettings) -> list[str]:
    """Return the sentences for the journal of one machine.

    Units that the systemd of this machine knows are left out, because they may not have run yet.
    """
    is_local = settings.directory is None
    unheard = [unit for unit in settings.units if not _is_heard_of(reader, unit)]
    sentences = [
        _unheard_unit(unit, is_local=is_local)
        for unit in unheard
        if not (is_local and is_known_unit(unit) and alias_of(unit) is None)
    ]
    if settings.units and len(unheard) == len(settings.units):
        return sentences  # whether other settings match is not known
    return sentences + [
        f"no entry of the journal{of_units(settings)} has {' and '.join(fields)}; check `journal.match`"
        for fields in settings.match
        if not any(map(reader.has_any, line_matches(replace(settings, match=(fields,)), reader.units)))
        and not (is_local and _may_come(fields))
    ]


def _is_heard_of(reader: JournalReader, unit: str) -> bool:
    """Return whether the journal has an entry of a unit or glob, or a message of systemd about it."""
    if not is_plain(unit):
        return any(fnmatchcase(one, unit) for name in ("_SYSTEMD_UNIT", "UNIT") for one in reader.values_of(name))
    return any(reader.has_any(fields) for fields in ([unit_field(unit)], matches_about(unit, RUNNING_BY_ID)))


def _unheard_unit(unit: str, *, is_local: bool) -> str:
    if is_local and (real := alias_of(unit)) is not None:
        return f"{unit}: systemd knows it as {real}, and so does the journal; write that into `journal.unit`"
    systemd = ", and systemd does not know it" if is_local else ""
    what = "it" if is_plain(unit) else "any such unit"
    return f"{unit}: the journal has no entry of {what}{systemd}; check `journal.unit`, or run `fleet-health setup`"


def _may_come(fields: Iterable[str]) -> bool:
    """Return whether entries with these fields may still come, because they name a unit that systemd knows."""
    units = (value for field, _, value in (one.partition("=") for one in fields) if field == "_SYSTEMD_UNIT")
    return any(map(is_known_unit, units))
