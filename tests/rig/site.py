"""A receiver's real files: what the service reads, and what it writes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from fleet_health.demo.journal import JournalFile

if TYPE_CHECKING:
    from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Return the present, in microseconds."""
    return time.time_ns() // 1000


def iso(at_us: int) -> str:
    """Write an instant as the receiver does."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat()


def index_row(host: str, at_us: int) -> bytes:
    """Make a row of the receiver's index."""
    return json.dumps({"host_id": host, "received_at_wall": iso(at_us), "bytes": 1000}).encode() + b"\n"


@dataclass(slots=True)
class Site:
    """A receiver's real files in one directory, our configuration, and our alert log.

    Attributes:
        directory: Holds all of it.
        index: The receiver's index; made by the first `upload`.
        journal_directory: The journal's directory; made by the first entry.
        journal_name: The file in it that entries are written to; another may be chosen after `sync_journal`.
        alerts: The alert log.
        config: The configuration; made by `configure`.
        EVERY_ALERT: What `show_all_symptoms` leads to, as `alerted` gives it.

    """

    EVERY_ALERT: ClassVar = [("quiet", "silent"), ("refused", "fatal-only"), ("unstamped", "unstamped")]

    directory: Path
    index: Path = field(init=False)
    journal_directory: Path = field(init=False)
    journal_name: str = field(init=False, default="receiver.journal")
    alerts: Path = field(init=False)
    config: Path = field(init=False)
    _journal: JournalFile | None = None

    def __post_init__(self) -> None:
        self.index = self.directory / "index.jsonl"
        self.journal_directory = self.directory / "journal"
        self.alerts = self.directory / "alerts.jsonl"
        self.config = self.directory / "config.toml"

    def configure(self, text: str = "", *, tick: str = "100ms", **paths: Path) -> Path:
        """Write the configuration: the site's paths, or those given, and then `text`."""
        chosen = {
            "index": self.index,
            "journal": self.journal_directory,
            "alerts": self.alerts,
            "state": self.directory / "state",
        } | paths
        # A string of JSON is one of TOML too.
        self.config.write_text(
            f'tick = "{tick}"\n'
            f"index.path = {json.dumps(str(chosen['index']))}\n"
            f"journal.directory = {json.dumps(str(chosen['journal']))}\n"
            f"alerts.path = {json.dumps(str(chosen['alerts']))}\n"
            f"control.path = {json.dumps(str(self.directory / 'control.sock'))}\n"
            f"state.directory = {json.dumps(str(chosen['state']))}\n{text}\n"
        )
        return self.config

    def upload(self, *hosts: str, minutes_ago: float = 0, at_us: int | None = None) -> None:
        """Append a row for each host to the index."""
        at_us = now_us() - round(minutes_ago * 60e6) if at_us is None else at_us
        with self.index.open("ab") as file:
            file.write(b"".join(index_row(host, at_us) for host in hosts))

    @property
    def journal(self) -> JournalFile:
        """The journal, open for writing."""
        if self._journal is None:
            self.journal_directory.mkdir(exist_ok=True)
            self._journal = JournalFile(self.journal_directory / self.journal_name)
        return self._journal

    def answer(self, host: str, status: int, *, times: int = 1, at_us: int | None = None) -> None:
        """Append access lines to the journal."""
        for number in range(times):
            line = f'10.0.0.7:51234 - "PUT /v1/episodes/{host}/e{number} HTTP/1.1" {status}'
            self.journal.append(line, at_us=at_us)

    def accept(self, host: str) -> None:
        """Append an upload of a host to the index and its response to the journal, as a receiver does.

        Of uploads without any response in the journal, `blind` fires after ten seconds, which a slow machine may take.
        """
        self.answer(host, 201)
        self.sync_journal()
        self.upload(host)

    def warn_unstamped(self, host: str, *, times: int = 1, at_us: int | None = None) -> None:
        """Append warnings of uploads without a stamp to the journal."""
        for _ in range(times):
            self.journal.append(f"WARNING: missing X-Cis490-Code-Commit host={host}, refused", at_us=at_us)

    def begin_journal(self) -> None:
        """Let the journal reach back further than any window."""
        self.journal.append("Started the receiver.", at_us=now_us() - 25 * 3_600_000_000)

    def show_all_symptoms(self) -> None:
        """Return every symptom a host of its own, and one host that is well."""
        self.upload("well")
        self.upload("quiet", minutes_ago=45)
        self.answer("well", 201, times=12)
        self.answer("refused", 412, times=12)
        self.warn_unstamped("unstamped", times=12)

    def sync_journal(self) -> None:
        """Return when every entry is in the journal file; it can be written on afterwards."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def begin_an_hour(self) -> None:
        """Let the service that is dead find what it would an hour later: no alert of this hour, in its log or state."""
        self.alerts.unlink(missing_ok=True)
        path = self.directory / "state" / "state.json"
        state = json.loads(path.read_bytes())
        state["incidents"]["dedup_keys"] = {}
        for incident in state["incidents"]["open"]:
            incident["last_notified_at"] = incident["last_notified_at"] and incident["last_notified_at"] - 3_600_000_000
        path.write_text(json.dumps(state))

    def alert_rows(self) -> list[dict[str, Any]]:
        """Read the alert log."""
        return [json.loads(line) for line in self.alerts.read_bytes().splitlines()] if self.alerts.exists() else []

    def alerted(self) -> list[tuple[str, str]]:
        """Return the host and symptom of each row of the alert log, sorted."""
        return sorted((row["host"], row["symptom"]) for row in self.alert_rows())
