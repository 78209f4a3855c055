"""Send alerts as journal entries without waiting for journald. Entries that it does not accept yet are queued."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import structlog

from fleet_health.alerting import flapping
from fleet_health.alerting.alert import LOST, RESOLVED, Notice
from fleet_health.detectors.registry import DETECTORS
from fleet_health.model.instant import SECOND_US, isoformat
from fleet_health.parsing.local_time import localized
from fleet_health.records.journal_socket import SOCKET, JournalSocket, datagram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.alert import Alert

MESSAGE_IDS = {spec.symptom: spec.message_id for spec in DETECTORS} | {
    flapping.SYMPTOM: "30faa7e19bc9432b8d04e7452cbe590f",
}
"""Symptom -> the MESSAGE_ID of its entries, which the message catalog explains."""

NOTICE_IDS = {
    RESOLVED: "a832a5da81944bc29265404e94de324d",
    LOST: "19ae7e523f334981a90f5b0faee14960",
}
"""Status of a notice -> the MESSAGE_ID of its entries."""

MARK = "FLEET_MARK"
"""The field of an entry that only marks a position in the journal."""

_WARNING, _NOTICE, _INFO = "4", "5", "6"
_QUEUE_LIMIT = 20_000

_log = structlog.get_logger("fleet_health.records")


class JournalSink:
    """Sends alerts to this machine's journal."""

    def __init__(self, path: str = SOCKET) -> None:
        self._socket = JournalSocket(path)
        self.outcomes: Counter[str] = Counter()
        """Outcome (`delivered`, `failed`, `dropped`) -> number of alerts and notices."""
        self._queue: deque[tuple[bytes, int]] = deque()  # datagrams, each with its number of alerts
        self._is_absence_logged = False

    @property
    def has_pending(self) -> bool:
        """Whether entries wait for journald."""
        return bool(self._queue)

    @property
    def fd(self) -> int | None:
        """A descriptor that becomes writable when journald accepts entries; None without journald."""
        return self._socket.fd

    def take(self, alerts: Iterable[Alert | Notice]) -> None:
        """Queue one entry for each alert or notice. `flush` sends them."""
        self._queue.extend((datagram(fields_of(alert)), 1) for alert in alerts)
        if (excess := len(self._queue) - _QUEUE_LIMIT) > 0:
            _log.error("journal queue full, alerts only in the alert log", count=excess)
            for _ in range(excess):
                self.outcomes["dropped"] += self._queue.popleft()[1]

    def mark(self, mark: str) -> None:
        """Queue an entry with a mark. Once the journal contains it, journald has written all earlier entries."""
        fields = {
            "MESSAGE": "comparing the journal with the alert log",
            "PRIORITY": _INFO,
            "SYSLOG_IDENTIFIER": "fleet-health",
            MARK: mark,
        }
        self._queue.append((datagram(fields), 0))

    def flush(self) -> None:
        """Send queued entries until journald accepts no more. By default, its socket holds only about ten."""
        while self._queue:
            if not self._is_connected():
                return
            try:
                self._socket.send(self._queue[0][0])
                outcome = "delivered"
            except BlockingIOError:
                return  # journald is busy or stopped
            except ConnectionError:
                continue  # journald may have restarted
            except OSError as error:
                _log.error("alert not sent to the journal", reason=error.strerror)
                outcome = "failed"
            self.outcomes[outcome] += self._queue.popleft()[1]

    def close(self) -> None:
        """Close the socket. Entries still in the queue are in the alert log as well."""
        self._socket.close()

    def _is_connected(self) -> bool:
        try:
            self._socket.connect()
        except OSError as error:
            if not self._is_absence_logged:
                self._is_absence_logged = True
                _log.warning("journald not available", socket=self._socket.path, reason=error.strerror)
            return False
        self._is_absence_logged = False
        return True


def fields_of(alert: Alert | Notice) -> dict[str, str]:
    """Return the journal fields of an alert or a notice: MESSAGE for people, and the others for programs."""
    if isinstance(alert, Notice):
        return {
            "MESSAGE": localized(alert.line()),
            "MESSAGE_ID": NOTICE_IDS[alert.status],
            "PRIORITY": _NOTICE,
            "SYSLOG_IDENTIFIER": "fleet-health",
            "FLEET_HOST": alert.host,
            "FLEET_SYMPTOM": alert.symptom,
            "FLEET_DETAIL": alert.detail,
            "FLEET_STATUS": alert.status,
            "FLEET_LASTED_SEC": f"{alert.lasted_us / SECOND_US:.0f}",
            "FLEET_DETECTED_AT_WALL": isoformat(alert.detected_at),
            "FLEET_DEDUP_KEY": alert.dedup_key,
        }
    finding = alert.finding
    fields = {
        "MESSAGE": localized(alert.line()),
        "PRIORITY": _WARNING,
        "SYSLOG_IDENTIFIER": "fleet-health",
        "FLEET_HOST": finding.host,
        "FLEET_SYMPTOM": finding.symptom,
        "FLEET_DETAIL": finding.detail,
        "FLEET_SUGGESTED_FIX": finding.suggested_fix,
        "FLEET_DETECTED_AT_WALL": isoformat(alert.detected_at),
        "FLEET_DEDUP_KEY": alert.dedup_key,
    }
    fields |= {f"FLEET_{name.upper()}": _in_words(fact) for name, fact in alert.facts().items()}
    if alert.is_repeat:
        fields["FLEET_IS_REPEAT"] = "true"
    if message_id := MESSAGE_IDS.get(finding.symptom):
        fields["MESSAGE_ID"] = message_id
    return fields


def _in_words(fact: Any) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{count} x {status}" for status, count in fact.items())
    return "\n".join(fact) if isinstance(fact, list) else str(fact)
