"""Check which paths the service can read and write, whichever user calls this."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.files.outputs import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.files.outputs import Output

SERVICE_USER = "fleet-health"
DROP_INS = "/usr/local/share/doc/fleet-health/drop-ins"
_PATIENCE_S = 10
# StateDirectory= of the unit, which systemd creates when the service starts.
_OWN = Path("/var/lib/fleet-health")
# ProtectHome= and PrivateTmp= of the unit.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is written there


def hides(path: Path) -> bool:
    """Return whether the unit hides a path from the service."""
    return any(path.is_relative_to(place) for place in _HIDDEN)


def obstacle(path: Path) -> str:
    """Return why the service cannot read a file, in a clause; empty if no obstacle is known.

    Only root can try this with the rights of the service user. Other users try it with their own rights.
    """
    if not path.exists():
        return "it does not exist"
    if hides(path):
        return f"the unit hides it from the service, below /home, /root and /tmp; install {DROP_INS}/hidden-index.conf"
    if os.geteuid() != 0:
        return "" if os.access(path, os.R_OK) else "it may not be read by you"
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return ""

    return (
        ""
        if can_read_as(user, _groups_of_unit(), path)
        else f"the user {SERVICE_USER} may not read it; {_closed_part(path)}"
    )


def write_obstacle(output: Output) -> str:
    """Return why the service cannot write to a place, in a clause; empty if no obstacle is known.

    Only root can try this with the rights of the service user.
    """
    place = output.place
    if output.directory.is_relative_to(_OWN):
        return ""
    if not place.is_dir() or os.geteuid() != 0:
        return unwritable(output)
    if not any(place.is_relative_to(one) for one in _writable_in_unit()):
        return (
            f"{place}: the unit lets the service write only to its own directories; install {DROP_INS}/{output.drop_in}"
        )
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return ""
    is_in_the_way = not succeeds_as(user, _groups_of_unit(), lambda: not unwritable(output))
    return unwritable(output) or (f"{place}: the user {SERVICE_USER} may not write there" if is_in_the_way else "")


def _writable_in_unit() -> list[Path]:
    """Return the directories to which the unit lets the service write; `/` if it denies none or is not known."""
    shown = _properties_of_unit("ProtectSystem", "ReadWritePaths")
    if shown.get("ProtectSystem") != "strict":
        return [Path("/")]
    return [Path(one.lstrip("-+")) for one in shown.get("ReadWritePaths", "").split()]


def can_read_as(user: pwd.struct_passwd, groups: Sequence[int], path: Path) -> bool:
    """Return whether a user, with further groups, can open a file for reading. Only root can try this."""

    def is_read() -> bool:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return True

    return succeeds_as(user, groups, is_read)


def succeeds_as(user: pwd.struct_passwd, groups: Sequence[int], attempt: Callable[[], bool]) -> bool:
    """Call `attempt` in a child process as a user, with further groups. Return its result."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.setgroups([*os.getgrouplist(user.pw_name, user.pw_gid), *groups])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            os._exit(0 if attempt() else 1)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return status == 0


def _groups_of_unit() -> list[int]:
    """Return the supplementary groups of the unit, which drop-ins may have extended."""
    groups: list[int] = []
    for name in _properties_of_unit("SupplementaryGroups").get("SupplementaryGroups", "").split():
        with suppress(KeyError):
            groups.append(int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid)
    return groups


def _properties_of_unit(*names: str) -> dict[str, str]:
    """Return properties of the unit of the service; empty if systemd cannot be asked."""
    command = ["systemctl", "show", f"--property={','.join(names)}", f"{SERVICE_USER}.service"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return {name: value for name, _, value in (line.partition("=") for line in shown.splitlines())}


def _closed_part(path: Path) -> str:
    """Return which parent directory, or the file itself, others may not access, with a remedy."""
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & 0o001:
            return f"others may not enter {directory} (chmod o+x)"
    return f"others may not read the file (chmod o+r {path})"
