"""Read the messages of service managers about starts, stops and failures of units, and about boots."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fleet_health.model.unit_states import UnitMessage, UnitStates
from fleet_health.sources.journal.matches import matches_about, matches_about_each, unit_matches, watched_units
from fleet_health.sources.journal.system_messages import BOOTED_IDS, FAILED_START_ID, RUNNING_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.config.schema import JournalSettings
    from fleet_health.model.instant import Instant
    from fleet_health.sources.journal.entry_reader import EntryReader

# How many messages to search for the state of a unit. A unit that can never start causes many in a row.
_LATEST_MESSAGES = 4_096

_BOOTED = ("_PID=1", *(f"MESSAGE_ID={one}" for one in sorted(BOOTED_IDS)))


def messages_from(
    reader: EntryReader, settings: JournalSettings, place: Instant | str
) -> tuple[list[UnitMessage], str | None]:
    """Return the messages about the units of a receiver, from an instant or after a cursor.

    Returns:
        The messages, in the journal's order, and the cursor of the last entry read; None if there was none.

    """
    found: list[UnitMessage] = []
    is_watched, cursor = watched_units(settings).matches, None
    with reader.detour():
        at = None
        for at in reader.following([*unit_matches(settings, RUNNING_BY_ID), _BOOTED], place):
            unit = reader.text("UNIT")
            if not unit or is_watched(unit):  # user units were matched by name
                found.append(_message(reader, at))
        if at is not None:
            cursor = reader.cursor()
    return found, cursor


def latest_messages(
    reader: EntryReader, settings: JournalSettings, units: set[str], until: Instant
) -> list[UnitMessage]:
    """Return the latest messages about some units with `t <= until`, however old, and about the latest boot.

    Returns:
        For each unit, enough messages to show its state and since when; all in order of time.

    """
    with reader.detour():
        about_each = matches_about_each(settings, units, RUNNING_BY_ID)
        found = [message for fields in about_each for message in _latest_run(reader, settings, fields, until)]
        found += [_message(reader, at) for at in islice(reader.latest(_BOOTED, until), 1)]
    return sorted(found, key=lambda message: message.at)


def is_running(reader: EntryReader, settings: JournalSettings, unit: str, until: Instant) -> bool:
    """Return whether a unit was running at an instant. To be used in a detour of the reader."""
    states = UnitStates()
    for message in reversed(_latest_run(reader, settings, matches_about(unit, RUNNING_BY_ID), until)):
        states.record(message)
    return states.latest is not None and states.latest.is_running


def _latest_run(
    reader: EntryReader, settings: JournalSettings, fields: Iterable[str], until: Instant
) -> list[UnitMessage]:
    """Return the messages back to the start of the latest run of a unit, latest first."""
    found: list[UnitMessage] = []
    for at in islice(reader.latest(fields, until), _LATEST_MESSAGES):
        message = _message(reader, at)
        # A directory may contain the messages of several machines.
        if found and found[-1].is_start_after(message) and settings.directory is None:
            break
        found.append(message)
    return found


def _message(reader: EntryReader, at: Instant) -> UnitMessage:
    """Return the message in the entry read last."""
    message_id = reader.text("MESSAGE_ID")
    unit, invocation = reader.text("UNIT"), "INVOCATION_ID"
    if not unit:
        user_unit, invocation = reader.text("USER_UNIT"), "USER_INVOCATION_ID"
        unit = user_unit and f"{reader.text('_UID')}/{user_unit}"  # names of system units contain no slash
    return UnitMessage(
        unit="" if message_id in BOOTED_IDS else unit,
        at=at,
        is_running=RUNNING_BY_ID.get(message_id, False),
        invocation=reader.text(invocation) if reader.has(invocation) else None,
        machine=reader.text("_MACHINE_ID"),
        boot=reader.text("_BOOT_ID"),
        is_failed_start=message_id == FAILED_START_ID,
    )
