"""Finds out what the service will be able to read, whichever user asks."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from contextlib import suppress
from pathlib import Path

SERVICE_USER = "fleet-health"
DROP_IN = "/usr/local/share/doc/fleet-health/drop-ins/hidden-index.conf"
# ProtectHome= and PrivateTmp= of the unit.
_PATIENCE_S = 10
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is written there


def hides(path: Path) -> bool:
    """Return whether the unit hides a path from the service."""
    return any(path.is_relative_to(place) for place in _HIDDEN)


def obstacle(path: Path) -> str:
    """Return why the service could not read a file, in a clause; empty if nothing is known to be in the way.

    Only root can try it with the rights of the service's user; others try it with their own.
    """
    if not path.exists():
        return "it does not exist"
    if hides(path):
        return f"the unit hides it from the service, below /home, /root and /tmp; install {DROP_IN}"
    if os.geteuid() != 0:
        return "" if os.access(path, os.R_OK) else "it may not be read by you"
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return ""
    return "" if _can_read(path, user) else f"the user {SERVICE_USER} may not read it; {_closed_part(path)}"


def _can_read(path: Path, user: pwd.struct_passwd) -> bool:
    """Try it in a child that has become that user, with the groups that the unit has beside."""
    groups = _groups_of_unit()
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.setgroups([*os.getgrouplist(user.pw_name, user.pw_gid), *groups])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return status == 0


def _groups_of_unit() -> list[int]:
    """Return the groups that the unit adds to those of its user; a drop-in may have added some."""
    command = ["systemctl", "show", "--property=SupplementaryGroups", "--value", f"{SERVICE_USER}.service"]
    groups: list[int] = []
    with suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S).stdout
        for name in shown.split():
            with suppress(KeyError):
                groups.append(int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid)
    return groups


def _closed_part(path: Path) -> str:
    """Return which directory on the way, or that the file itself, is closed to others."""
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & 0o001:
            return f"others may not enter {directory} (chmod o+x)"
    return f"others may not read the file (chmod o+r {path})"
