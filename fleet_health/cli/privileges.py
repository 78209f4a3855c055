"""Drop root for good in commands that root runs, before they touch files in a directory of another user."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.errors import SinkUnavailable
from fleet_health.files.safe_files import SafeDirectory, user_name

if TYPE_CHECKING:
    from collections.abc import Sequence

# Its members may read the journal.
_JOURNAL_GROUP = "systemd-journal"
_NOBODY = 65_534
_STATUS = Path("/proc/self/status")


def become_owner_of(directory: Path) -> None:
    """Become the owner of a directory for good, keeping the right to read the journal. Do nothing unless root.

    If the directory belongs to root or is missing, the process stays root.

    Raises:
        SinkUnavailable: The path contains a link of another user, or root cannot be dropped. The process is still root.

    """
    if os.geteuid() != 0:
        return
    try:
        with SafeDirectory(directory) as opened:
            uid, gid = opened.owner
    except FileNotFoundError:
        return
    except OSError as error:
        raise SinkUnavailable(f"{error.filename or directory}: {error.strerror}") from error
    if uid == 0:
        return
    gid, groups = _groups_of(uid, gid)
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise SinkUnavailable(
            f"{directory}: belongs to user {user_name(uid)}, whom root cannot become here ({error.strerror});"
            f" run this as {user_name(uid)}"
        ) from error
    _ensure_dropped(uid, gid)


def _groups_of(uid: int, directory_gid: int) -> tuple[int, Sequence[int]]:
    """Return the group and all groups for a user; for a user without a name, the group of the directory."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        gid = directory_gid or _NOBODY  # never the group of root
        groups = {gid}
    else:
        gid, groups = user.pw_gid, set(os.getgrouplist(user.pw_name, user.pw_gid))
    with suppress(KeyError):
        groups.add(grp.getgrnam(_JOURNAL_GROUP).gr_gid)
    return gid, sorted(groups)


def _ensure_dropped(uid: int, gid: int) -> None:
    """Raise SystemExit if the process could become root again, which only a bug or unusual securebits can cause."""
    is_dropped = os.getresuid() == (uid, uid, uid) and os.getresgid() == (gid, gid, gid)
    with suppress(OSError):
        os.setresuid(-1, 0, -1)
        is_dropped = False
    with suppress(OSError):
        # As bytes: from here on even the interpreter's own modules, such as an encoding, may be out of lookback.
        for line in _STATUS.read_bytes().splitlines():
            name, _, value = line.partition(b":")
            if name in {b"CapPrm", b"CapEff", b"CapAmb"} and int(value, 16):
                is_dropped = False
    if not is_dropped:
        raise SystemExit("root could not be dropped for good; no file was written. Run this as the user of the service")
