"""Find the directories in which libsystemd looks for the files of a journal, and check that they may be read."""

from __future__ import annotations

import grp
import os
import pwd
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.errors import SourceForbidden, SourceMissing, SourceRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.config.schema import JournalSettings

is_machine_id = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
"""Return whether libsystemd looks for journal files in a subdirectory of this name."""

_PERSISTENT = Path("/var/log/journal")
_ROOTS = (Path("/run/log/journal"), _PERSISTENT)
_GROUP = "systemd-journal"
_MACHINE_ID = Path("/etc/machine-id")


def refuse_unreadable(settings: JournalSettings) -> None:
    """Raise SourceMissing if there is no journal, or SourceRefused if it may not be read."""
    directories: list[Path] = []
    try:
        directories = places(settings)
        files = [file for directory in directories for file in directory.glob("*.journal")]
    except OSError as error:
        raise SourceRefused(f"the journal in {error.filename} cannot be listed: {error.strerror}") from error
    if not files:
        named = " or ".join(map(str, directories))
        hint = "" if settings.namespace is None else "; check `journal.namespace`"
        raise SourceMissing(f"there is no journal in {named}{hint}")
    unreadable = unreadable_files(settings)
    if unreadable or not any(os.access(file, os.R_OK) for file in files):
        raise no_permission((unreadable or files)[0])


def no_permission(file: Path) -> SourceForbidden:
    """Return the error for a journal file that may not be read."""
    is_made_by_journald = file.is_relative_to(_PERSISTENT) and not _is_of_group(file, _GROUP)
    return SourceForbidden(
        str(file),
        service=f"give it to group {_GROUP}, as root: `systemd-tmpfiles --create --prefix {_PERSISTENT}`"
        if is_made_by_journald
        else f"add the user of this service to group {_GROUP}",
        person="run this command as root, or join group systemd-journal (`usermod -aG systemd-journal"
        f" {_user_name()}`, then log in anew)",
    )


def _is_of_group(file: Path, name: str) -> bool:
    """Return whether a file belongs to a group; True if that cannot be known.

    journald gives the files of a directory that was made after the boot to root, until systemd-tmpfiles runs.
    """
    try:
        return file.stat().st_gid == grp.getgrnam(name).gr_gid
    except (OSError, KeyError):
        return True


def _user_name() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def unreadable_files(settings: JournalSettings) -> list[Path]:
    """Return the files with entries of services that this user may not read. A rotation may create one.

    A user who may read only their own entries sees no entry of a service.
    """
    files = [directory / "system.journal" for directory in every_place(settings)]
    return [file for file in files if not os.access(file, os.R_OK) and not _is_missing(file)]


def _is_missing(file: Path) -> bool:
    try:
        return not file.exists()
    except PermissionError:  # other files beside it are unknown too
        return False


def places(settings: JournalSettings) -> list[Path]:
    """Return the directories in which libsystemd looks for the files of the journal."""
    if settings.directory is not None:
        if not settings.directory.is_dir():
            return [settings.directory]
        below = sorted(entry for entry in settings.directory.iterdir() if is_machine_id(entry.name) and entry.is_dir())
        return [settings.directory, *below]
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except OSError:
        machine = "machine-id"  # no machine id, so no journal of this machine
    suffix = "" if settings.namespace is None else f".{settings.namespace}"
    return [root / f"{machine}{suffix}" for root in _ROOTS]


def places_changed_at(settings: JournalSettings) -> list[int]:
    """Return when a file was last created, renamed or removed in each existing directory, in nanoseconds."""
    return [directory.stat().st_mtime_ns for directory in places(settings) if directory.is_dir()]


def every_place(settings: JournalSettings) -> list[Path]:
    """Return the directories of `places`, and those of the default namespace."""
    directories = places(settings)
    return directories if settings.namespace is None else directories + places(replace(settings, namespace=None))


def identities(directories: Iterable[Path]) -> list[tuple[int, int]]:
    """Return the device and inode of each directory that exists."""
    states = [directory.stat() for directory in directories if directory.is_dir()]
    return [(state.st_dev, state.st_ino) for state in states]
