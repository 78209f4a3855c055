"""Shared by commands that ask the service: handle a service that does not run or that the user may not ask."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from fleet_health.cli.client import NoResponseError, with_service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

EXIT_NOT_ALLOWED = 5
"""The exit status if this user may not ask the service, whether or not it is running."""


def with_allowed_service(
    options: argparse.Namespace, work: Callable[[Path], int], *, is_about_file: bool = False
) -> int:
    """Call `work` with the path of the control socket, as `with_service` does, and return the exit status."""

    def careful(path: Path) -> int:
        try:
            return work(path)
        except NoResponseError as error:
            if not is_forbidden(error):
                raise
            print(forbidden(path), file=sys.stderr)  # noqa: T201
            return EXIT_NOT_ALLOWED

    return with_service(options, careful, is_about_file=is_about_file)


def is_forbidden(error: NoResponseError) -> bool:
    """Return whether there is no response because this user may not ask the service."""
    return isinstance(error.__cause__, PermissionError)


def forbidden(path: Path) -> str:
    """Return the message that this user may not ask the service, with a remedy."""
    import grp  # noqa: PLC0415 - only for this
    import pwd  # noqa: PLC0415 - likewise

    user = str(os.geteuid())
    with suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    words = f"{path}: permission denied: user {user} may not ask the service"
    for place in (path, path.parent):
        with suppress(OSError, KeyError):
            group = grp.getgrgid(place.stat().st_gid)
            if group.gr_gid == 0:
                break
            if user in group.gr_mem and group.gr_gid not in os.getgroups():
                return f"{words} yet; {user} was added to group {group.gr_name}, which takes a new login"
            return f"{words}; use sudo, or `sudo usermod -aG {group.gr_name} {user}` and a new login"
    return f"{words}; use sudo"
