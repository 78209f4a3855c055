"""Flapping incidents: their host is notified once as flapping, and they are suppressed until they are stable."""

from __future__ import annotations

from copy import copy
from heapq import nlargest
from typing import TYPE_CHECKING

import msgspec

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.lifecycle import Action, Decision, Reason, State
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, Instant
from fleet_health.model.subject import Pair

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

SYMPTOM = "flapping"

_SPAN_US = 24 * HOUR_US
SUGGESTED_FIX = (
    "Look for a cause that comes and goes: the network, the power, a service that restarts itself. Until the host is"
    " stable, it is not notified again."
)


class Flap(msgspec.Struct):
    """A host and symptom that flap.

    Attributes:
        changed_at: When it last opened or ended.
        is_notified: Whether its host was notified as flapping because of it. If so, its own alerts are suppressed.
        notified_at: When that was; None if it was not.
        since: When its host was first notified as flapping this time; None if it was not.

    """

    changed_at: Instant
    is_notified: bool = False
    notified_at: Instant | None = None
    since: Instant | None = None

    @property
    def known_since(self) -> Instant:
        """The instant since which its host is known to flap."""
        return next((at for at in (self.since, self.notified_at) if at is not None), self.changed_at)


class FlappingHost(msgspec.Struct, frozen=True):
    """A host that was notified as flapping.

    Attributes:
        host: The host.
        since: When it was first notified as flapping.
        notified_at: When it was last notified as flapping.
        ended_at: When it stopped flapping; None if it flaps. The end has not been notified yet.
        detail: The symptoms that came and went, in words.

    """

    def incident(self) -> Incident:
        """Return an incident of the symptom `flapping`, for lists of incidents."""
        return Incident(
            self.host,
            SYMPTOM,
            self.since,
            first_notified_at=self.since,
            last_notified_at=self.notified_at,
            recovered_since=self.ended_at,
            detail=self.detail,
            suggested_fix=SUGGESTED_FIX,
        )

    host: str
    since: Instant
    notified_at: Instant
    ended_at: Instant | None = None
    detail: str = ""


class Flapping:
    """Counts how often incidents open, and keeps those that flap.

    Attributes:
        openings: Host and symptom -> its openings within the last day.
        flaps: Host and symptom -> its flapping, for those that flap.
        settled: Host -> when its flapping began and ended, until the end is notified.

    """

    def __init__(
        self,
        openings: dict[Pair, list[Instant]] | None = None,
        flaps: dict[Pair, Flap] | None = None,
        settled: dict[str, tuple[Instant, Instant]] | None = None,
    ) -> None:
        self.openings = openings or {}
        self.flaps = flaps or {}
        self.settled = settled or {}
        self.notified_hosts: dict[str, Instant] = {}
        """Host -> when an earlier process notified its flapping. That process was killed before it saved this."""

    def copy(self) -> Flapping:
        """Return an independent copy."""
        openings = {pair: list(ats) for pair, ats in self.openings.items()}
        flaps = {pair: copy(flap) for pair, flap in self.flaps.items()}
        return Flapping(openings, flaps, dict(self.settled))

    def open(self, pair: Pair, now: Instant, limit: int) -> None:
        """Record an opening. A host and symptom with more than `limit` openings within a day flaps."""
        openings = [at for at in self.openings.get(pair, ()) if abs(now - at) < _SPAN_US]
        openings.append(now)
        self.openings[pair] = openings
        if len(openings) > limit:
            self.flaps.setdefault(pair, Flap(now))
        self._change(pair, now)

    def close(self, pair: Pair, now: Instant) -> None:
        """Record an end."""
        self._change(pair, now)

    def is_notified(self, pair: Pair) -> bool:
        """Return whether the host of an incident was notified as flapping because of it."""
        flap = self.flaps.get(pair)
        return flap is not None and flap.is_notified

    def decisions(self, now: Instant) -> Iterator[Decision]:
        """Return a decision for each host that was notified as flapping, after the evaluation at an instant."""
        for one in self.hosts():
            state = State.FLAPPING if one.ended_at is None else State.RESOLVED
            reason = Reason.FLAPPING if one.ended_at is None else Reason.RESOLVED_LATER
            action = Action.NOTIFY if one.notified_at == now and one.ended_at is None else Action.NONE
            yield Decision(one.incident(), state, action, reason)

    def decisions_without(self, incidents: Container[Pair]) -> Iterator[Decision]:
        """Return a decision for each flapping host without an open incident, because such a host is not well either.

        Args:
            incidents: The open incidents.

        """
        notified = [(pair, self.flaps[pair]) for pair in sorted(self.flaps) if self.flaps[pair].is_notified]
        standing = {host for (host, symptom), _ in notified if (host, symptom) in incidents}
        found: dict[str, tuple[Instant, list[str]]] = {}
        for (host, symptom), flap in notified:
            if host not in standing:
                since, symptoms = found.get(host, (flap.changed_at, []))
                since = min(since, flap.changed_at if flap.notified_at is None else flap.notified_at)
                found[host] = since, [*symptoms, symptom]
        for host, (since, symptoms) in found.items():
            incident = Incident(host, SYMPTOM, since, last_notified_at=since)
            yield Decision(incident, State.FLAPPING, Action.NONE, Reason.FLAPPING, ", ".join(symptoms))

    def unnotified(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return one finding for each host that is not notified yet as flapping because of these findings.

        It inhibits the incidents that they inhibit. A host that an earlier process notified without saving it counts as
        notified because of all its incidents that flap at the start.
        """
        by_host: dict[str, list[Finding]] = {}
        for finding in findings:
            flap = self.flaps.get((finding.host, finding.symptom))
            if flap is not None and not flap.is_notified:
                if (notified_at := self.notified_hosts.get(finding.host)) is not None:
                    flap.is_notified, flap.notified_at = True, notified_at
                    flap.since = self._since(finding.host, notified_at)
                else:
                    by_host.setdefault(finding.host, []).append(finding)
        self.notified_hosts.clear()
        return [
            Finding(
                host,
                SYMPTOM,
                ", and ".join(self._in_words((host, finding.symptom)) for finding in flapping),
                SUGGESTED_FIX,
                frozenset[Pair]().union(*(finding.inhibits for finding in flapping)),
            )
            for host, flapping in by_host.items()
        ]

    def note_notified(self, host: str, pairs: Iterable[Pair], now: Instant) -> None:
        """Record that a host was notified as flapping because of some of its incidents."""
        since, _ = self.settled.pop(host, (now, now))  # it flaps again before the end was notified
        since = self._since(host, since)
        for pair in pairs:
            if pair[0] == host and pair in self.flaps:
                flap = self.flaps[pair]
                flap.is_notified, flap.notified_at, flap.since = True, now, since

    def note_end_notified(self, host: str) -> None:
        """Record that the end of a host's flapping was notified."""
        self.notified_hosts.pop(host, None)
        self.settled.pop(host, None)
        self.flaps = {pair: flap for pair, flap in self.flaps.items() if pair[0] != host or not flap.is_notified}

    def settle(self, now: Instant, stable_us: int, limit: int) -> None:
        """Forget old openings and stable incidents; beyond `limit`, forget those that opened least often.

        So a stream of new names displaces no incident that has opened several times.
        """
        stable = {pair: flap for pair, flap in self.flaps.items() if abs(now - flap.changed_at) >= stable_us}
        for pair in stable:
            del self.flaps[pair]
            self.openings.pop(pair, None)
        flapping = {host for (host, _), flap in self.flaps.items() if flap.is_notified}
        for (host, _), flap in stable.items():
            if flap.is_notified and host not in flapping:
                since, until = self.settled.get(host, (flap.known_since, flap.changed_at))
                self.settled[host] = min(since, flap.known_since), max(until, flap.changed_at)
        self.openings = {pair: ats for pair, ats in self.openings.items() if abs(now - ats[-1]) < _SPAN_US}
        if len(self.openings) > limit:
            self.openings = dict(nlargest(limit, self.openings.items(), key=lambda one: (len(one[1]), one[1][-1])))
            self.flaps = {pair: flap for pair, flap in self.flaps.items() if pair in self.openings}

    def redate(self, latest: Instant) -> None:
        """Move every instant that is later than `latest` to `latest`."""
        self.openings = {pair: [min(at, latest) for at in ats] for pair, ats in self.openings.items()}
        self.settled = {host: (min(since, latest), min(at, latest)) for host, (since, at) in self.settled.items()}
        for flap in self.flaps.values():
            flap.changed_at = min(flap.changed_at, latest)
            flap.notified_at = None if flap.notified_at is None else min(flap.notified_at, latest)
            flap.since = None if flap.since is None else min(flap.since, latest)

    def hosts(self) -> list[FlappingHost]:
        """Return the hosts that were notified as flapping, until the end of their flapping is notified."""
        found: dict[str, list[Pair]] = {}
        for pair in sorted(self.flaps):
            if self.flaps[pair].is_notified:
                found.setdefault(pair[0], []).append(pair)
        standing = [
            FlappingHost(
                host,
                min(self.flaps[pair].known_since for pair in pairs),
                max(self.flaps[pair].notified_at or self.flaps[pair].known_since for pair in pairs),
                detail=", and ".join(map(self._in_words, pairs)),
            )
            for host, pairs in found.items()
        ]
        settled = [(host, *ats) for host, ats in sorted(self.settled.items()) if host not in found]
        return standing + [FlappingHost(host, since, since, until) for host, since, until in settled]

    def _since(self, host: str, now: Instant) -> Instant:
        """Return the instant since which a host flaps; `now` if it is not known to flap."""
        known = (flap.known_since for (name, _), flap in self.flaps.items() if name == host and flap.is_notified)
        return min(known, default=now)

    def _in_words(self, pair: Pair) -> str:
        # The alert may come more than a day after the last opening, because a silence suppressed it.
        count, symptom = len(self.openings.get(pair, ())), pair[1]
        return f"{symptom} opened {count} times within 24 h" if count else f"{symptom} opened repeatedly"

    def _change(self, pair: Pair, now: Instant) -> None:
        if pair in self.flaps:
            self.flaps[pair].changed_at = now
