"""Finds out whether `fleet-health notify` can read and start what its destinations name, as root sees it."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_health.cli.setup.service_view import can_read_as, hides
from fleet_health.notify.secrets import how_to_provide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.config.schema import Settings

USER = "fleet-health-notify"
_PATIENCE_S = 10
_HIDDEN = "the unit hides it from the service, below /home, /root and /tmp"
# `systemctl show` prints credentials of systemd 252 as `[unprintable]`.
_credential = re.compile(r"^(?:Load|Set)Credential(?:Encrypted)?=([^:\s]+)(?::(/\S*))?", re.MULTILINE)


def notify_obstacles(settings: Settings) -> Iterator[str]:
    """Return a sentence for each secret, program and package that is named and cannot be used."""
    for number, one in enumerate(settings.destinations, start=1):
        place = f"destinations[{number}]"
        for key, value in one.own.items():
            if key.endswith("_file") and value and (reason := _unreadable(str(value))):
                yield f"{place}.{key}: {reason}"
        if one.type == "exec" and (reason := _unstartable(Path(one.own["command"][0]))):
            yield f"{place}.command: {reason}"
        if one.type == "apprise" and find_spec("apprise") is None:
            remedy = "run packaging/install.sh --with-apprise from a checkout, as root"
            yield f"{place}.type: Apprise is not installed: {remedy}"


def _unstartable(program: Path) -> str:
    if not program.exists():
        return f"{program}: there is no such program"
    if hides(program):
        return f"{program}: {_HIDDEN}"
    return "" if os.access(program, os.X_OK) else f"{program}: it may not be executed"


def _unreadable(name: str) -> str:
    """Return why a file or credential cannot be read; empty if nothing is known to be in the way."""
    if name.startswith("/"):
        return _unreadable_file(Path(name))
    credentials = _credentials()
    if credentials is None:
        return ""
    if name not in credentials:
        return f"the unit passes no credential {name}; {how_to_provide(name)}"
    file = credentials[name]
    return f"{file}: there is no such file" if file and not Path(file).exists() else ""


def _unreadable_file(path: Path) -> str:
    if not path.exists():
        return f"{path}: there is no such file"
    if hides(path):
        return f"{path}: {_HIDDEN}"
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return ""

    return "" if can_read_as(user, (), path) else f"{path}: the user {USER} may not read it"


def _credentials() -> dict[str, str] | None:
    """Return each credential that the unit passes, with its file; None if systemd cannot be asked."""
    command = ["systemctl", "cat", f"{USER}.service"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(_credential.findall(text))
