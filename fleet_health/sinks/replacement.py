"""Replacing a small file whole: whoever reads it, and whatever is killed when, finds the old one or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from fleet_health.errors import SinkUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_FILE_MODE, _DIRECTORY_MODE = 0o640, 0o750


def replace_file(path: Path, content: bytes) -> None:
    """Put a file with some content in the place of another; its directory is made if need be.

    Raises:
        SinkUnavailable: The old one is still there.

    """
    new = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        with os.fdopen(os.open(new, flags, _FILE_MODE), "wb") as file:
            give_to_owner(file.fileno(), path.parent)
            os.fchmod(file.fileno(), _FILE_MODE)  # one that a kill left behind may have another
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise SinkUnavailable(f"{path}: {error.strerror}") from error


def give_to_owner(fd: int, directory: Path) -> None:
    """Give an open file to who owns a directory, if we may: root must not leave behind what the service cannot use."""
    owner = directory.stat()
    with suppress(PermissionError):
        os.fchown(fd, owner.st_uid, owner.st_gid)
