"""Send alerts to the journal that are only in the alert log, because the service was killed between the two writes.

The journal is searched for them first, so none is sent twice. If it cannot be read, none is sent.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import structlog
from aiofiles.os import wrap

from fleet_health.alerting.alert import Notice
from fleet_health.errors import SinkUnavailable, SourceUnavailable
from fleet_health.files.hanging_calls import DAEMON_THREADS
from fleet_health.model.instant import HOUR_US
from fleet_health.records.journal_sink import MARK, MESSAGE_IDS, NOTICE_IDS
from fleet_health.sources.journal.own_entries import own_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fleet_health.alerting.alert import Alert
    from fleet_health.model.instant import Instant
    from fleet_health.records.alert_log import AlertLog
    from fleet_health.service.delivery import Delivery

# Older alerts are not worth sending.
_LONGEST_US = 24 * HOUR_US
# How many seconds to wait for a busy journald.
_PATIENCE = 10.0

_log = structlog.get_logger("fleet_health.service")


async def catch_up(delivery: Delivery, entries: Sequence[Alert | Notice]) -> None:
    """Send the recorded alerts and notices that the journal lacks."""
    loop = asyncio.get_running_loop()

    def send_mark(mark: str) -> None:
        loop.call_soon_threadsafe(delivery.send_mark, mark)

    def find() -> list[Alert | Notice]:
        with delivery.log.sending():
            return unsent(entries, send_mark, patience=_PATIENCE)

    try:
        missing = await wrap(find)(executor=DAEMON_THREADS) if entries else []
    except (SinkUnavailable, SourceUnavailable) as error:
        _log.warning("alert log and journal not compared, alerts may be missing in the journal", reason=str(error))
        return
    if missing:
        _log.warning("recorded alerts sent that the journal lacked", count=len(missing))
        delivery.send(missing)


def recorded(log: AlertLog, now: Instant, saved_at: Instant | None) -> list[Alert | Notice]:
    """Return the alerts and notices that the journal may lack: of the last two hours, and since the state was saved.

    Return none if the alert log cannot be read; `past_alerts_or_none` logs that.
    """
    since = now - now % HOUR_US - HOUR_US
    if saved_at is not None:
        since = min(since, max(saved_at, now - _LONGEST_US))
    return recorded_since(log, since, now)


def recorded_since(log: AlertLog, since: Instant, now: Instant) -> list[Alert | Notice]:
    """Return the alerts and notices from `since` up to `now`; none if the alert log cannot be read."""
    try:
        entries = log.entries_since(since)
    except SinkUnavailable:
        return []
    return [entry for entry in entries if entry.detected_at <= now and _is_ours(entry)]


def unsent(
    entries: Sequence[Alert | Notice], send_mark: Callable[[str], None], *, patience: float
) -> list[Alert | Notice]:
    """Return the alerts and notices that the journal lacks, after journald has written a mark.

    Args:
        entries: The alerts and notices.
        send_mark: Sends an entry with a mark to the journal.
        patience: How many seconds to wait for journald to write the mark.

    Raises:
        SourceUnavailable: The journal cannot be read.

    """
    if not entries:
        return []
    mark = secrets.token_hex(16)
    send_mark(mark)
    message_ids = {*MESSAGE_IDS.values(), *NOTICE_IDS.values()}
    known = own_entries((MARK, mark), min(entry.detected_at for entry in entries), message_ids, patience=patience)
    return [entry for entry in entries if not known.knows(entry.dedup_key, entry.detected_at)]


def _is_ours(entry: Alert | Notice) -> bool:
    """Return whether the symptom and status of a row are known, because the file may have been edited by hand."""
    if isinstance(entry, Notice):
        return entry.status in NOTICE_IDS and entry.symptom in MESSAGE_IDS
    return entry.finding.symptom in MESSAGE_IDS
