"""The state that outlives a restart: everything that cannot be read from the sources again."""

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

    from fleet_health.alerting.incidents import Incidents
    from fleet_health.config.schema import ReceiverSettings


class SavedReceiver(msgspec.Struct):
    """The saved state of the sources of one receiver.

    Attributes:
        journal_seen_until: The instant up to which the journal was read, without a gap at its end; None if it was never
            read.
        journal_gaps: The gaps of the journal within the lookback.
        index_path: The path of the index from which the uploads were read.
        uploads: Host -> its last upload. The file with its row may be compressed or removed while the service is down.
        accepted: Host -> its uploads that the journal shows as accepted but that have no row in the index.
        ahead_rows: The rows of the index that were dated ahead when read, each with the instant that is used instead.
        disproved: The times of the journal's entries that do not count: a clock that was ahead has dated them.

    """

    journal_seen_until: Instant | None = None
    journal_gaps: list[Gap] = []
    index_path: str = ""
    uploads: dict[str, Instant] = {}
    accepted: dict[str, list[Instant]] = {}
    ahead_rows: list[AheadRow] = []
    disproved: list[Instant] = []

    def known_by(self, settings: ReceiverSettings) -> KnownSources:
        """Return the facts about the sources of a receiver; the uploads only if they are from its present index."""
        if not self.is_of(settings):
            return KnownSources(self.journal_seen_until, self.journal_gaps, disproved=self.disproved)
        return KnownSources(
            self.journal_seen_until, self.journal_gaps, self.uploads, self.accepted, self.ahead_rows, self.disproved
        )

    def is_of(self, settings: ReceiverSettings) -> bool:
        """Return whether the uploads are from the present index of a receiver."""
        return self.index_path == str(settings.index.path)


class SavedState(SavedReceiver):
    """The saved state of the service. The fields of a single receiver are fields of the state itself.

    Attributes:
        incidents: The incidents.
        silences: Silence id -> its record.
        history: The uploads and refusals of the last hours.
        receivers: Receiver -> the state of its sources; empty if there is a single receiver.
        newcomers: Host -> its first row, for hosts that first appeared within the lookback.
        left_out: The rows that were left out because the table was full: their number, and host and instant of the
            latest; None if there are none.
        are_urls_undone: Whether host names are URL-decoded. Before 0.1.0, the host of a request for `/b%C3%BCro/` was
            saved under the encoded name, escaped once more.
        skips: The spans that the clock skipped, each as begin and end.
        identities: Kind of source -> the sources of this kind that were read; empty if they are unknown.
        exchanged: Kind of source -> when a source of this kind was last exchanged.
        shutdowns: The spans in which the machine was off or suspended, each as begin and end.
        disproved_until: The instant up to which a clock that proved wrong dated records ahead; 0 if there are none.
        notices: The recent notices, because the alert log may not contain them.
        cadence: The learned rhythms of the hosts; None if no limit is learned.

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
        """Return the dates of rows that are dated ahead; none if the receiver has another index now."""
        return RowDates(self.known_of(receiver).ahead_rows)

    def known_of(self, receiver: ReceiverSettings) -> KnownSources:
        """Return the facts about the sources of a receiver."""
        return self._saved_of(receiver).known_by(receiver)

    def known_past(self, receivers: Sequence[ReceiverSettings], incidents: Incidents) -> KnownPast:
        """Return the facts about the sources of all receivers; about hosts only if an index is the same.

        Args:
            receivers: The receivers.
            incidents: The incidents, restored from the state and the alert log.

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
            latest_at=incidents.at,
            protected=incidents.anchored,
            lost=incidents.once_uploaded,
            disproved_until=self.disproved_until,
        )

    def known_cadence(self, receivers: Sequence[ReceiverSettings]) -> CadenceSnapshot:
        """Return the learned rhythms; empty if they were learned from other indexes."""
        is_same = set(self.identities.get("index", ())) == identities_of(receivers)["index"]
        return self.cadence if self.cadence is not None and is_same else CadenceSnapshot()

    def _saved_of(self, settings: ReceiverSettings) -> SavedReceiver:
        """Return the saved state of a receiver, found by its name, or by its index if it was renamed."""
        saved = {"": self, **self.receivers}
        own = saved.pop(settings.name, SavedReceiver())
        return own if own.is_of(settings) else next((one for one in saved.values() if one.is_of(settings)), own)
