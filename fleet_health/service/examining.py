"""Remove impossible values from a restored state, because they would fail at every tick.

The types of the state allow such values. A state that is dated ahead of the present is kept, because the clock may be
wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import msgspec

from fleet_health.alerting.flapping import SYMPTOM as FLAPPING
from fleet_health.alerting.lifecycle import State
from fleet_health.model.history import HistorySnapshot
from fleet_health.model.host_name import is_host_name, named_host, own_name
from fleet_health.model.rhythm import BIN_US, SavedRhythm
from fleet_health.model.strip import BINS, LONG_BINS
from fleet_health.model.subject import Pair, is_host, is_receiver_name, is_subject
from fleet_health.parsing.timestamp import TimeError, plausible
from fleet_health.records.journal_sink import MESSAGE_IDS, NOTICE_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fleet_health.alerting.alert import Notice
    from fleet_health.alerting.ended import Ended
    from fleet_health.alerting.incident import Incident
    from fleet_health.alerting.snapshot import Snapshot
    from fleet_health.model.cadence import CadenceSnapshot
    from fleet_health.model.coverage import Gap
    from fleet_health.model.instant import Instant
    from fleet_health.model.row_dates import AheadRow
    from fleet_health.service.saved_state import SavedReceiver, SavedState

T = TypeVar("T")

_KINDS = frozenset({"index", "journal"})
_REASON_LENGTH = 200
_OPENINGS = 10_000
_ACCEPTED = 100
_LIMITS_LENGTH = 1_000
_is_hour = re.compile(r"\d{4}-\d\d-\d\dT\d\d", re.ASCII).fullmatch
_is_key = re.compile(r"[0-9a-f]{16}").fullmatch
_is_silence_id = re.compile(r"[\x21-\x7e]{1,64}").fullmatch


def examined(state: SavedState) -> tuple[SavedState, list[str]]:
    """Return a state without its impossible values, and one text for each of them with its place and the reason."""
    notes = _Notes()
    kept = msgspec.structs.replace(
        state,
        incidents=_incidents(state.incidents, notes),
        silences={name: record for name, record in state.silences.items() if _is_silence(name, notes)},
        history=_history(state.history, notes),
        **_receiver(state, notes),
        receivers={
            name: msgspec.structs.replace(saved, **_receiver(saved, notes))
            for name, saved in state.receivers.items()
            if is_receiver_name(name) or notes.refuse("receivers", "the name of a receiver", name)
        },
        newcomers=_hosts("newcomers", state.newcomers, notes),
        skips=[skip for skip in state.skips if _is_span("skips", skip, notes)],
        disproved_until=notes.instant("disproved_until", state.disproved_until) or 0,
        shutdowns=[one for one in state.shutdowns if _is_span("shutdowns", one, notes)],
        exchanged={
            kind: at
            for kind, at in state.exchanged.items()
            if notes.is_instant("exchanged", at)
            and (kind in _KINDS or notes.refuse("exchanged", "a kind of source", kind))
        },
        notices=[one for one in state.notices if _is_notice(one, notes)],
        cadence=None if state.cadence is None else _cadence(state.cadence, notes),
        left_out=state.left_out if state.left_out is None or _is_left_out(state.left_out, notes) else None,
    )
    return kept, notes.problems


def with_present_names(state: SavedState) -> SavedState:
    """Return the state with host names in their present form.

    In a state from before 0.1.0, a name may be URL-encoded, decomposed (NFD), or end in punctuation. The index never
    had the encoding of a URL, so a name in `uploads` is not decoded.
    """

    def name(host: str) -> str:
        if "~" in host or not is_host(host):
            return host
        is_url = not state.are_urls_undone and "%25" in host and host not in state.uploads
        return named_host(unquote(own_name(host)) if is_url else own_name(host))

    def latest(instants: Mapping[str, Instant]) -> dict[str, Instant]:
        found: dict[str, Instant] = {}
        for host, at in instants.items():
            found[name(host)] = max(at, found.get(name(host), at))
        return found

    def renamed(rows: Iterable[tuple[Pair, T]]) -> list[tuple[Pair, T]]:
        return list({(name(host), symptom): row for (host, symptom), row in rows}.items())

    def restored(found: Iterable[Incident]) -> list[Incident]:
        return [
            msgspec.structs.replace(
                one,
                id=one.id if one.host == host else "",
                host=host,
                inhibits=frozenset((name(other), symptom) for other, symptom in one.inhibits),
            )
            for (host, _), one in renamed(((one.host, one.symptom), one) for one in found)
        ]

    incidents = state.incidents
    return msgspec.structs.replace(
        state,
        incidents=msgspec.structs.replace(
            incidents,
            open=restored(incidents.open),
            unresolved=restored(incidents.unresolved),
            released=renamed(incidents.released),
            openings=renamed(incidents.openings),
            flapping=renamed(incidents.flapping),
        ),
        history=msgspec.structs.replace(
            state.history,
            marks={name(host): bits for host, bits in state.history.marks.items()},
            long_marks={name(host): bits for host, bits in state.history.long_marks.items()},
        ),
        uploads=latest(state.uploads),
        receivers={
            receiver: msgspec.structs.replace(saved, uploads=latest(saved.uploads))
            for receiver, saved in state.receivers.items()
        },
        newcomers=latest(state.newcomers),
    )


@dataclass(slots=True)
class _Notes:
    """Checks values, and records the impossible ones.

    Attributes:
        problems: One text for each impossible value.

    """

    problems: list[str] = field(default_factory=list)

    def refuse(self, place: str, expected: str, found: object) -> bool:
        """Record a problem and return False."""
        self.problems.append(f"{place}: expected {expected}, found {found!r:.80}")
        return False

    def is_instant(self, place: str, at: Instant) -> bool:
        """Return whether a clock can show an instant."""
        try:
            return plausible(at) >= 0 or self.refuse(place, "a possible time", at)
        except TimeError:
            return self.refuse(place, "a possible time", at)

    def instant(self, place: str, at: Instant | None) -> Instant | None:
        """Return `at`; None if it is impossible."""
        return at if at is not None and self.is_instant(place, at) else None

    def is_host(self, place: str, host: str) -> bool:
        """Return whether a host can have this name."""
        return is_host_name(host) or self.refuse(place, "the name of a host", host)

    def is_pair(self, place: str, pair: Pair) -> bool:
        """Return whether the host or receiver is possible and the symptom is known."""
        host, symptom = pair
        if symptom not in MESSAGE_IDS:
            return self.refuse(place, "a known symptom", symptom)
        return is_subject(host) or self.refuse(place, "the name of a host or receiver", host)

    def pairs(self, place: str, rows: Iterable[tuple[Pair, T]]) -> dict[Pair, T]:
        """Return pair -> row, without impossible and repeated pairs."""
        kept: dict[Pair, T] = {}
        for pair, row in rows:
            if pair in kept:
                self.refuse(place, "each host and symptom once", pair)
            elif self.is_pair(place, pair):
                kept[pair] = row
        return kept


def _incidents(snapshot: Snapshot, notes: _Notes) -> Snapshot:
    incidents = notes.pairs("incidents.open", (((one.host, one.symptom), one) for one in snapshot.open))
    unresolved = notes.pairs("incidents.unresolved", (((one.host, one.symptom), one) for one in snapshot.unresolved))
    released = notes.pairs("incidents.released", snapshot.released)
    resolved = notes.pairs("incidents.resolved", snapshot.resolved)
    openings = {
        pair: ats
        for pair, ats in notes.pairs("incidents.openings", snapshot.openings).items()
        if _are_openings(ats, notes)
    }
    flapping = {
        pair: flap
        for pair, flap in notes.pairs("incidents.flapping", snapshot.flapping).items()
        if notes.is_instant("incidents.flapping", flap.changed_at)
        # The notification needs the openings, because it contains their number.
        and (
            flap.is_notified
            or pair in openings
            or notes.refuse("incidents.flapping", "the openings of a flapping incident", pair)
        )
    }
    return msgspec.structs.replace(
        snapshot,
        at=notes.instant("incidents.at", snapshot.at),
        open=[_incident(one, notes) for one in incidents.values() if _is_incident(one, notes)],
        unresolved=[_incident(one, notes) for one in unresolved.values() if _is_incident(one, notes)],
        released=[(pair, at) for pair, at in released.items() if notes.is_instant("incidents.released", at)],
        openings=list(openings.items()),
        settled=[row for row in snapshot.settled if _is_settled(row, notes)],
        resolved=[(pair, at) for pair, at in resolved.items() if notes.is_instant("incidents.resolved", at)],
        flapping=list(flapping.items()),
        ended=[one for one in snapshot.ended if _is_ended(one, notes)],
        dedup_keys={hour: keys for hour, keys in snapshot.dedup_keys.items() if _are_keys(hour, keys, notes)},
    )


def _receiver(saved: SavedReceiver, notes: _Notes) -> dict[str, Any]:
    """Return field -> value for the saved state of a receiver, without impossible values."""
    return {
        "journal_seen_until": notes.instant("journal_seen_until", saved.journal_seen_until),
        "journal_gaps": [gap for gap in saved.journal_gaps if _is_gap(gap, notes)],
        "uploads": _hosts("uploads", saved.uploads, notes),
        "accepted": {
            host: instants for host, instants in saved.accepted.items() if _are_accepted(host, instants, notes)
        },
        "ahead_rows": [row for row in saved.ahead_rows if _is_ahead_row(row, notes)],
        "disproved": [at for at in saved.disproved if notes.is_instant("disproved", at)],
    }


def _hosts(place: str, instants: Mapping[str, Instant], notes: _Notes) -> dict[str, Instant]:
    return {host: at for host, at in instants.items() if notes.is_host(place, host) and notes.is_instant(place, at)}


def _are_accepted(host: str, instants: list[Instant], notes: _Notes) -> bool:
    place = "accepted"
    if not 0 < len(instants) <= _ACCEPTED:
        return notes.refuse(place, f"1 to {_ACCEPTED} instants", len(instants))
    return notes.is_host(place, host) and all(notes.is_instant(place, at) for at in instants)


def _is_ahead_row(row: AheadRow, notes: _Notes) -> bool:
    place, (host, at, counted_at) = "ahead_rows", row
    return notes.is_host(place, host) and notes.is_instant(place, at) and notes.is_instant(place, counted_at)


def _is_settled(row: tuple[str, tuple[Instant, Instant]], notes: _Notes) -> bool:
    place, (host, instants) = "incidents.settled", row
    is_known = is_subject(host) or notes.refuse(place, "the name of a host or receiver", host)
    return is_known and all(notes.is_instant(place, at) for at in instants)


def _is_left_out(left_out: tuple[int, str, Instant], notes: _Notes) -> bool:
    place, (count, host, at) = "left_out", left_out
    if count < 1:
        return notes.refuse(place, "a number of rows", count)
    return notes.is_host(place, host) and notes.is_instant(place, at)


def _is_span(place: str, span: tuple[Instant, Instant], notes: _Notes) -> bool:
    since, until = span
    if since > until:
        return notes.refuse(place, "a span of time", span)
    return notes.is_instant(place, since) and notes.is_instant(place, until)


def _are_keys(hour: str, keys: list[str], notes: _Notes) -> bool:
    if not _is_hour(hour):
        return notes.refuse("incidents.dedup_keys", "an hour such as 2026-11-23T19", hour)
    return all(_is_key(key) or notes.refuse("incidents.dedup_keys", "16 hex digits", key) for key in keys)


def _is_incident(incident: Incident, notes: _Notes) -> bool:
    if incident.symptom == FLAPPING:  # its alerts are about other incidents
        return notes.refuse("incidents.open", "the symptom of an incident", FLAPPING)
    return notes.is_instant("incidents.open", incident.opened_at)


def _is_notice(notice: Notice, notes: _Notes) -> bool:
    place = "notices"
    if notice.status not in NOTICE_IDS:
        return notes.refuse(place, "the status of a notice", notice.status)
    instants = (notice.began_at, notice.ended_at, notice.detected_at)
    return notes.is_pair(place, (notice.host, notice.symptom)) and all(notes.is_instant(place, at) for at in instants)


def _is_ended(ended: Ended, notes: _Notes) -> bool:
    place = "incidents.ended"
    if not _is_key(ended.id) or ended.state not in {State.RESOLVED, State.FORGOTTEN}:
        return notes.refuse(place, "the id and state of an ended incident", ended)
    instants = [ended.opened_at, ended.first_notified_at, ended.last_notified_at, ended.ended_at, ended.decided_at]
    instants += [] if ended.loss_notified_at is None else [ended.loss_notified_at]
    return notes.is_pair(place, (ended.host, ended.symptom)) and all(notes.is_instant(place, at) for at in instants)


def _incident(incident: Incident, notes: _Notes) -> Incident:
    place = "incidents.open"
    return msgspec.structs.replace(
        incident,
        began_at=notes.instant(place, incident.began_at),
        id=incident.id if _is_key(incident.id) else "",
        first_notified_at=notes.instant(place, incident.first_notified_at),
        last_notified_at=notes.instant(place, incident.last_notified_at),
        recovered_since=notes.instant(place, incident.recovered_since),
        lost_at=notes.instant(place, incident.lost_at),
        loss_notified_at=notes.instant(place, incident.loss_notified_at),
        first_notified_lost_at=notes.instant(place, incident.first_notified_lost_at),
        waits_until=notes.instant(place, incident.waits_until),
        sign_at=notes.instant(place, incident.sign_at),
        heard_at=notes.instant(place, incident.heard_at),
        limits=incident.limits if len(incident.limits) <= _LIMITS_LENGTH else "",
        inhibits=frozenset(pair for pair in incident.inhibits if notes.is_pair(place, pair)),
    )


def _are_openings(ats: list[Instant], notes: _Notes) -> bool:
    place = "incidents.openings"
    if not 0 < len(ats) <= _OPENINGS:
        return notes.refuse(place, f"1 to {_OPENINGS} instants", len(ats))
    return all(notes.is_instant(place, at) for at in ats)


def _is_gap(gap: Gap, notes: _Notes) -> bool:
    place = "journal_gaps"
    if gap.since > gap.until or len(gap.reason) > _REASON_LENGTH:
        return notes.refuse(place, "a span of time with a short reason", gap)
    if gap.gaps < 1 or gap.messages < 0:
        return notes.refuse(place, "numbers of gaps and of messages", gap)
    return notes.is_instant(place, gap.since) and notes.is_instant(place, gap.until)


def _is_silence(name: str, notes: _Notes) -> bool:
    return bool(_is_silence_id(name)) or notes.refuse("silences", "the id of a silence", name)


def _cadence(snapshot: CadenceSnapshot, notes: _Notes) -> CadenceSnapshot:
    place, outages = "cadence", snapshot.outages
    return msgspec.structs.replace(
        snapshot,
        until=notes.instant(place, snapshot.until) or 0,
        hosts={
            host: rhythm
            for host, rhythm in snapshot.hosts.items()
            if notes.is_host(place, host) and _is_rhythm(rhythm, notes)
        },
        outages=outages if outages is None or _is_rhythm(outages, notes) else None,
    )


def _is_rhythm(rhythm: SavedRhythm, notes: _Notes) -> bool:
    is_right = rhythm.restored() is not None or notes.refuse("cadence", "the rhythm of a host", rhythm)
    return is_right and notes.is_instant("cadence", rhythm.newest * BIN_US)


def _history(snapshot: HistorySnapshot, notes: _Notes) -> HistorySnapshot:
    place = "history"
    if snapshot.noted_at is not None and not notes.is_instant(place, snapshot.noted_at):
        return HistorySnapshot()

    def bits(found: int, count: int) -> int | None:
        return found if 0 <= found < 1 << count or notes.refuse(place, f"{count} bits", found) else None

    def marks(found: Mapping[str, int], bins: int) -> dict[str, int]:
        known = {host: bits(one, 2 * bins) for host, one in found.items() if notes.is_host(place, host)}
        return {host: one for host, one in known.items() if one is not None}

    return HistorySnapshot(
        snapshot.noted_at,
        bits(snapshot.watched, BINS) or 0,
        marks(snapshot.marks, BINS),
        bits(snapshot.long_watched, LONG_BINS) or 0,
        marks(snapshot.long_marks, LONG_BINS),
    )
