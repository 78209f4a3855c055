"""The state that outlives a restart: what the service knows that its inputs do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fleet_health.alerting.alert import Notice  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.alerting.silences import SilenceRecord  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.model.cadence import CadenceSnapshot
from fleet_health.model.coverage import Gap  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.instant import Instant  # noqa: TC001 - msgspec reads the annotations at run time
from fleet_health.model.places import LeftOut
from fleet_health.model.row_dates import AheadRow, RowDates
from fleet_health.service.receiver_sources import KnownPast, KnownSources, identities_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_health.config.schema import ReceiverSettings


class SavedReceiver(msgspec.Struct):
    """What is saved of the sources of a receiver.

    Attributes:
        journal_seen_until: Up to when the journal had been read whole; None if it never was.
        journal_gaps: What of the journal was never seen, as far back as it is looked at.
        index_path: Which index the uploads are from.
        uploads: When each host uploaded last: rows may be compressed or removed while nobody watches.
        accepted: When uploads of each host were accepted by the journal of which the index has no row.
        ahead_rows: The rows of the index that were dated ahead when they were read, and when each counts.

    """

    journal_seen_until: Instant | None = None
    journal_gaps: list[Gap] = []
    index_path: str = ""
    uploads: dict[str, Instant] = {}
    accepted: dict[str, list[Instant]] = {}
    ahead_rows: list[AheadRow] = []

    def known_by(self, settings: ReceiverSettings) -> KnownSources:
        """Return what is known of a receiver; uploads only if they are from the same index."""
        if not self.is_of(settings):
            return KnownSources(self.journal_seen_until, self.journal_gaps)
        return KnownSources(self.journal_seen_until, self.journal_gaps, self.uploads, self.accepted, self.ahead_rows)

    def is_of(self, settings: ReceiverSettings) -> bool:
        """Return whether it is about the index of a receiver."""
        return self.index_path == str(settings.index.path)


class SavedState(SavedReceiver):
    """The state that is saved at each tick; where there is one receiver, what is saved of it is among it.

    Attributes:
        incidents: What is open.
        silences: What is known of each silence, by its id.
        history: What the hosts did in the last hours.
        receivers: What is saved of each receiver, by its name, if there are several.
        newcomers: Which hosts turned up for the first time within the lookback, each with its first row.
        left_out: How many rows of new hosts were left out because there were too many hosts, the latest host, and when.
        are_urls_undone: Whether hosts have the names that they have without the encoding of a URL. Before 0.1.0 an
            access of `/b%C3%BCro/` was by a host of that name, escaped once more.
        skips: From when to when time was skipped, because the clock was set ahead.
        identities: Which sources of each kind were read; empty if that is not known.
        exchanged: Since when another source of a kind is read in the place of one.
        shutdowns: From when to when the machine was off or asleep.
        disproved_until: Up to when records are dated ahead by a clock that was wrong, as was confirmed; 0 if none is.
        notices: The notices of late, which the alert log need not have.
        cadence: The rhythm of each host; None if no limit is learned.

    """

    incidents: Snapshot = msgspec.field(default_factory=Snapshot)
    silences: dict[str, SilenceRecord] = {}
    history: HistorySnapshot = msgspec.field(default_factory=HistorySnapshot)
    receivers: dict[str, SavedReceiver] = {}
    newcomers: dict[str, Instant] = {}
    left_out: tuple[int, str, Instant] | None = None
    are_urls_undone: bool = False
    skips: list[tuple[Instant, Instant]] = []
    shutdowns: list[tuple[Instant, Instant]] = []
    disproved_until: Instant = 0
    identities: dict[str, list[str]] = {}
    exchanged: dict[str, Instant] = {}
    notices: list[Notice] = []
    cadence: CadenceSnapshot | None = None

    def row_dates(self, receiver: ReceiverSettings) -> RowDates:
        """Return the dates of a receiver's rows that were dated ahead, if it has the same index as before."""
        return RowDates(self.known_of(receiver).ahead_rows)

    def known_of(self, receiver: ReceiverSettings) -> KnownSources:
        """Return what is known of the sources of a receiver."""
        return self._saved_of(receiver).known_by(receiver)

    def known_past(self, receivers: Sequence[ReceiverSettings], latest_at: Instant | None) -> KnownPast:
        """Return what is known of the sources of some receivers; of hosts only if they are from the same indexes.

        Args:
            receivers: The receivers.
            latest_at: The latest instant of our own records; None if there are none.

        """
        is_same = any(self._saved_of(one).is_of(one) for one in receivers)
        return KnownPast(
            sources={one.name: self.known_of(one) for one in receivers},
            identities=self.identities,
            exchanged=self.exchanged,
            newcomers=self.newcomers if is_same else {},
            left_out=LeftOut(*self.left_out) if is_same and self.left_out is not None else LeftOut(),
            cadence=self.known_cadence(receivers),
            skips=self.skips,
            shutdowns=self.shutdowns,
            latest_at=latest_at,
            disproved_until=self.disproved_until,
        )

    def known_cadence(self, receivers: Sequence[ReceiverSettings]) -> CadenceSnapshot:
        """Return the rhythms of the hosts of some receivers, if they were learned from the same indexes."""
        is_same = set(self.identities.get("index", ())) == identities_of(receivers)["index"]
        return self.cadence if self.cadence is not None and is_same else CadenceSnapshot()

    def _saved_of(self, settings: ReceiverSettings) -> SavedReceiver:
        """Return what is saved of a receiver by its name; or by its index, if it had another name or none then."""
        saved = {"": self, **self.receivers}
        own = saved.pop(settings.name, SavedReceiver())
        return own if own.is_of(settings) else next((one for one in saved.values() if one.is_of(settings)), own)
