"""Alerts as journal entries, sent without ever waiting for journald.

`systemd.journal.send` writes to journald's socket with the interpreter lock held: while journald stands still, so does
the whole process, whichever thread called it (python-systemd#170). The native protocol is a datagram of fields, so we
send it ourselves on a socket that does not block, and keep what did not go through for a later turn.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import TYPE_CHECKING

import structlog

from fleet_health.domain.detectors import blind, fatal_only, silent, too_many_hosts, unstamped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleet_health.domain.alert import Alert

MESSAGE_IDS = {
    silent.SYMPTOM: "3c283656215742d5a6013298166c7df4",
    fatal_only.SYMPTOM: "b754f37758a04a9cbd924be11a8bbfbc",
    unstamped.SYMPTOM: "6bb2e4a15ec3496cacc5fce2e0a6aaaf",
    blind.SYMPTOM: "4bc9e1b6f3b74ff4a7add4b0dd45cfc0",
    too_many_hosts.SYMPTOM: "59b10bbc1f0642dfa518b54b3ba4551e",
}
"""Symptom -> the MESSAGE_ID of its entries; the message catalog explains each."""

SOCKET = "/run/systemd/journal/socket"

_WARNING = "4"
_QUEUE_LIMIT = 10_000

_log = structlog.get_logger("fleet_health.sinks")


class JournalSink:
    """Sends alerts to this machine's journal."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._queue: deque[bytes] = deque(maxlen=_QUEUE_LIMIT)
        self._is_absence_said = False

    @property
    def has_pending(self) -> bool:
        """True while entries wait for journald."""
        return bool(self._queue)

    def send(self, alerts: Iterable[Alert]) -> None:
        """Send one entry for each alert, as far as journald takes them now; keep the others for `flush`."""
        self._queue.extend(datagram(fields_of(alert)) for alert in alerts)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as journald takes it now."""
        while self._queue:
            try:
                self._socket.sendto(self._queue[0], self._path)
            except BlockingIOError:
                return  # journald is busy, or stands still
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                    self._say_absent()
                    return
                _log.error("alert not sent to the journal", reason=error.strerror)
            self._queue.popleft()

    def close(self) -> None:
        """Close the socket; what still waits is in the alert log."""
        self._socket.close()

    def _say_absent(self) -> None:
        if not self._is_absence_said:
            self._is_absence_said = True
            _log.warning("no journald to send alerts to; they are in the alert log", socket=self._path)


def fields_of(alert: Alert) -> dict[str, str]:
    """Give the journal fields of an alert."""
    finding = alert.finding
    fields = {
        "MESSAGE": alert.line(),
        "PRIORITY": _WARNING,
        "SYSLOG_IDENTIFIER": "fleet-health",
        "FLEET_HOST": finding.host,
        "FLEET_SYMPTOM": finding.symptom,
        "FLEET_DETAIL": finding.detail,
        "FLEET_SUGGESTED_FIX": finding.suggested_fix,
        "FLEET_DEDUP_KEY": alert.dedup_key,
    }
    if message_id := MESSAGE_IDS.get(finding.symptom):
        fields["MESSAGE_ID"] = message_id
    return fields


def datagram(fields: Mapping[str, str]) -> bytes:
    """Write fields in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    parts = []
    for name, text in fields.items():
        octets = text.encode("utf-8", "backslashreplace")
        if b"\n" in octets:
            parts.append(name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n")
        else:
            parts.append(name.encode() + b"=" + octets + b"\n")
    return b"".join(parts)
