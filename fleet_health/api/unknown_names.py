"""The warning about a silence for unknown hosts: it may be meant for later, or be mistyped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_health.model.host_globs import HostGlobs, is_plain
from fleet_health.model.near_miss import near_miss
from fleet_health.model.subject import is_host, is_subject

if TYPE_CHECKING:
    from collections.abc import Iterable


def unknown_warning(glob: str, known: Iterable[str]) -> str:
    """Return a warning that a name or glob matches nothing known, with the name that may be meant; else empty.

    Args:
        glob: The hosts or the receiver of the silence.
        known: The known hosts and receivers.

    """
    names = dict.fromkeys(known)
    globs = HostGlobs((glob,))
    if glob in names or any(map(globs.matches, names)):
        return ""
    is_one = is_plain(glob) or is_subject(glob)  # `*@NAME` is one receiver
    close = near_miss(glob, names) if is_one else None
    hint = "" if close is None else f"; did you mean {close}?"
    what = f"{'host' if is_host(glob) else 'receiver'} {glob} is known" if is_one else f"known host matches {glob}"
    return f"no {what}, so the silence is for hosts that turn up later{hint}"
