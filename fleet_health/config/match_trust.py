"""Check whether entries of other users of the machine can meet the configured matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_health.config.schema import JournalSettings

# journald sets every field that begins with an underscore, but users choose `_COMM`, `_EXE` and `_SYSTEMD_USER_UNIT` of
# their processes. These fields show whose process it is.
_OWNERS = frozenset(
    ("_SYSTEMD_UNIT", "_SYSTEMD_CGROUP", "_SYSTEMD_INVOCATION_ID", "_SYSTEMD_SLICE", "_UID", "_GID"),
)


def match_warnings(settings: JournalSettings) -> Iterator[str]:
    """Yield a warning for each alternative of `journal.match` that any user of the machine can meet."""
    if settings.units:
        return
    for fields in settings.match:
        if _OWNERS.isdisjoint(field.partition("=")[0] for field in fields):
            yield (
                f"journal.match: any user of this machine can write entries with {' and '.join(fields)}, which then"
                " count as uploads and refusals of any host. Set `journal.unit`, or also match the unit or user that"
                " writes them, such as `_SYSTEMD_UNIT=docker.service` or `_UID=1000`"
            )
