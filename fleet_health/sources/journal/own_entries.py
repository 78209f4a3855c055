"""Find the alerts in the journal of this machine that this user or root has sent.

journald sets `_UID`, so an entry of another user never counts, whatever its other fields contain.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from systemd import journal

from fleet_health.errors import SourceFailing, SourceRefused
from fleet_health.model.instant import HOUR_US, isoformat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fleet_health.model.instant import Instant

# <systemd/sd-journal.h>; systemd-python has no name for the second.
_LOCAL_ONLY, _ALL_NAMESPACES = 1 << 0, 1 << 5
_BETWEEN_LOOKS = 0.1
# The clock may have been set back between the evaluation and the sending.
_MARGIN_US = HOUR_US
_BATCH = 1_024


@dataclass(slots=True)
class OwnEntries:
    """The alerts and notices found in the journal.

    Attributes:
        begins_at: The time of the oldest entry in the journal. Whether older alerts were sent is not known.
        keys: The dedup keys of the alerts and notices, each with the time of its evaluation.

    """

    begins_at: Instant
    keys: set[tuple[str, str]] = field(default_factory=set)

    def knows(self, key: str, at: Instant) -> bool:
        """Return whether an entry was sent, or that can no longer be known."""
        return (key, isoformat(at)) in self.keys or at < self.begins_at


def own_entries(mark: tuple[str, str], since: Instant, message_ids: Collection[str], *, patience: float) -> OwnEntries:
    """Return the entries with these MESSAGE_IDs that this user or root has sent since an instant.

    Args:
        mark: Field and value of an entry that has just been sent. The journal that shows it is the right one, is
            readable by this user, and contains all earlier entries.
        since: The instant.
        message_ids: The MESSAGE_IDs.
        patience: How long to wait for the mark, in seconds.

    Raises:
        SourceUnavailable: The journal cannot be read, or does not show the mark.

    """
    gives_up_at = time.monotonic() + patience
    while True:
        namespace = _namespace_of(mark)
        if namespace is not None:
            return _entries(namespace or None, since, message_ids)
        if time.monotonic() > gives_up_at:
            raise SourceRefused(
                f"the journal does not show an entry that was sent {patience:g} s ago; check that journald is running,"
                " and that this user may read the journal, such as by group systemd-journal"
            )
        time.sleep(_BETWEEN_LOOKS)


def _namespace_of(mark: tuple[str, str]) -> str | None:
    """Return the journal namespace that shows the mark, empty for the default one; None if there is none."""
    try:
        with closing(journal.Reader(flags=_LOCAL_ONLY | _ALL_NAMESPACES)) as reader:
            reader.add_match(**{mark[0]: mark[1], "_UID": str(os.getuid())})
            if not reader._next():  # noqa: SLF001 - see reader.py
                return None
            return _text(reader, "_NAMESPACE")
    except OSError as error:
        raise SourceFailing(f"the journal cannot be read: {error.strerror or error}") from error


def _entries(namespace: str | None, since: Instant, message_ids: Collection[str]) -> OwnEntries:
    try:
        with closing(journal.Reader(flags=_LOCAL_ONLY) if namespace is None else _of_namespace(namespace)) as reader:
            reader.seek_head()
            found = OwnEntries(reader._get_realtime() if reader._next() else since)  # noqa: SLF001
            for uid in {os.getuid(), 0}:
                reader.add_match(_UID=str(uid))
            for message_id in message_ids:
                reader.add_match(MESSAGE_ID=message_id)
            # As in reader.py.
            journal._Reader.seek_realtime(reader, max(since - _MARGIN_US, 0))  # noqa: SLF001
            found.keys.update(_keys(reader))
            return found
    except OSError as error:
        raise SourceFailing(f"the journal cannot be read: {error.strerror or error}") from error


def _of_namespace(namespace: str) -> Any:
    return journal.Reader(namespace=namespace)


def _keys(reader: Any) -> Iterator[tuple[str, str]]:
    count = 0
    while reader._next():  # noqa: SLF001
        yield _text(reader, "FLEET_DEDUP_KEY"), _text(reader, "FLEET_DETECTED_AT_WALL")
        count += 1
        if not count % _BATCH:
            reader.process()


def _text(reader: Any, name: str) -> str:
    try:
        octets: bytes = reader._get(name)  # noqa: SLF001
    except (KeyError, OSError):  # the entry lacks the field, or is damaged
        return ""
    return octets.decode("utf-8", "replace")
