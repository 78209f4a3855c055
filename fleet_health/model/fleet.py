"""The fleet as the sources show it: each host's last upload, and the recent responses to it.

Two tables rather than one record a host: each is fed by one kind of source, so a source that is opened anew
(a changed path, a longer window) fills a fresh table beside the old one and replaces it when it has caught up.

A 2xx in the journal is an accepted upload as well as a row of the index is. When each host had one is kept for as long
as rows are, so that a host that is known by the journal alone is watched like any other.

The two take in what every receiver shows: a host may go from one to the other. What is to be said of one receiver goes
by tables of its own beside them, if there are several.
"""

from __future__ import annotations

from bisect import bisect_left
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import SECOND_US
from fleet_health.model.intervals import histogram
from fleet_health.model.observation import Response, Upload
from fleet_health.model.pauses import (
    LONGEST_MUTE_US,
    MACHINE_STARTED,
    MUTES_BACK_US,
    RECEIVER_STOPPED,
    Pause,
    absence_us,
    counted_us,
    merged,
    passed_us,
)
from fleet_health.model.places import HOST_LIMIT, LeftOut, Register
from fleet_health.model.subject import is_host, receiver_of
from fleet_health.model.traffic import Traffic
from fleet_health.model.uploads import Uploads
from fleet_health.model.window import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from fleet_health.model.coverage import Coverage
    from fleet_health.model.host_globs import HostGlobs
    from fleet_health.model.instant import Instant
    from fleet_health.model.learned_limit import LearnedLimit
    from fleet_health.model.observation import UnitState, Unstamped
    from fleet_health.model.pauses import RecurringPause, Skip
    from fleet_health.model.usual_uploads import ComparedDay
    from fleet_health.model.window import Counts, HostWindow


__all__ = ["HOST_LIMIT", "Fleet", "LeftOut", "Tables", "Traffic", "Uploads"]

SAME_UPLOAD_US = 60 * SECOND_US
"""A response that is later than a row by no more than this may be that of the same upload."""

_KINDS = frozenset({"index", "journal"})
_MOST_SKIPS = 100
# For how long a receiver may still write while it stops; a later upload contradicts the stop.
_STOPPING_US = 60 * SECOND_US


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Tables:
    """What one receiver has shown."""

    uploads: Uploads
    traffic: Traffic


class Fleet:
    """Everything known about the hosts, and how well it is known. Each attribute may be replaced whole.

    Attributes:
        register: Which hosts are known, for every table.
        uploads: The uploads to any receiver.
        traffic: The responses of any receiver.
        receivers: The tables of each receiver by its name; empty where there is only one, whose tables are these.
        coverage: What each source of each receiver has shown.

    """

    __slots__ = (
        "_counts",
        "_made",
        "_whole",
        "cadence",
        "coverage",
        "exchanged",
        "is_unit_watched",
        "known_since",
        "lost",
        "mute_windows",
        "receivers",
        "register",
        "shutdowns",
        "skips",
        "traffic",
        "uploads",
        "watched_us",
    )

    def __init__(
        self,
        host_limit: int = HOST_LIMIT,
        ignored: HostGlobs | None = None,
        expected: Iterable[str] = (),
        receivers: Iterable[str] = (),
    ) -> None:
        """Begin an empty fleet.

        Args:
            host_limit: How many hosts are watched.
            ignored: The hosts that are left out.
            expected: The names and globs of the hosts that are expected.
            receivers: The names of the receivers, if there are several.

        """

        def tables() -> Tables:
            return Tables(Uploads(host_limit, ignored, self.register), Traffic(host_limit, ignored, self.register))

        self.register = Register(expected)
        self.uploads, self.traffic = (every := tables()).uploads, every.traffic
        self.receivers: Mapping[str, Tables] = {name: tables() for name in receivers}
        self.inform_tables()
        self._whole: Fleet | None = None
        self.cadence: Cadence | None = None
        """The rhythm of each host; None if no limit is learned."""
        self.coverage: tuple[Coverage, ...] = ()
        self.exchanged: Mapping[str, Instant] = {}
        """Kind of a source (`index` or `journal`) -> since when another one is read, for any receiver."""
        self.lost: frozenset[str] = frozenset()
        """Hosts that have uploaded, perhaps longer ago than uploads are known."""
        self.known_since: Instant = -NEVER
        """Since when uploads are known, for who has only read the index and it begins then; else `-NEVER`."""
        self.skips: tuple[Skip, ...] = ()
        """From when to when the clock was set ahead."""
        self.shutdowns: tuple[tuple[Instant, Instant], ...] = ()
        """From when to when the machine was off or asleep."""
        self.is_unit_watched = True
        """Whether a stop of the receiver's unit is an alert of its own; else its hosts are missed meanwhile."""
        self.watched_us: Callable[[Fleet, str], int] | None = None
        """For how long a host is watched after its last upload, if that may differ by its rhythm."""
        self.mute_windows: Sequence[RecurringPause] = ()
        """When an operator wants no notification: hosts may be off then, such as outside office hours."""
        self._counts: dict[tuple[Instant, Instant], Mapping[str, Counts]] | None = None
        self._made: dict[Hashable, Any] | None = None

    def inform_tables(self) -> None:
        """Connect each table in use with the register: it learns which hosts become known, and they ask."""
        self.register.uploads = (self.uploads.last_at, self.traffic.accepted.last_at)
        self.register.audience = tuple(traffic.admit for traffic in self._every_traffic())

    def of(self, receiver: str) -> Fleet:
        """Return the fleet as one receiver shows it, empty if that is not read yet; without a name, the whole fleet."""
        if not receiver:
            return self

        def make() -> Fleet:
            view, tables = copy(self), self.receivers.get(receiver) or Tables(Uploads(), Traffic())
            view.uploads, view.traffic, view.receivers = tables.uploads, tables.traffic, {}
            view.coverage = tuple(
                one for one in self.coverage if one.receiver in ("", receiver)
            )  # the clock is everybody's
            view._whole = self  # noqa: SLF001 - it is one of us
            return view if self._made is None else view.standing_still()

        return self.once(("receiver", receiver), make)

    @property
    def whole(self) -> Fleet:
        """The fleet that this is one receiver's part of; itself if it is all of it."""
        return self if self._whole is None else self._whole

    def receiver_of(self, host: str) -> str:
        """Return the receiver that a host last uploaded to; empty if there is only one, or none is known."""
        if not self.receivers:
            return ""
        last_ats = {
            name: _newest(tables.uploads.last_at(host), tables.traffic.accepted.last_at(host))
            for name, tables in self.receivers.items()
        }
        known = {name: at for name, at in last_ats.items() if at is not None}
        return max(known, key=lambda name: known[name], default="")

    def answered_by(self, host: str) -> str:
        """Return the receiver of the latest response to a host; empty if there is only one, or no recent response."""
        windows = {name: tables.traffic.window(host) for name, tables in self.receivers.items()}
        last_ats = {name: window.last_at for name, window in windows.items() if window is not None}
        return max(last_ats, key=lambda name: last_ats[name] or 0, default="")

    def latest_uploads(self) -> Iterator[tuple[str, Instant]]:
        """Return each host with its last accepted upload, without hosts that have moved to another receiver."""
        latest_at = self.whole.accepted_at
        for host in self.uploaders():
            at = self.accepted_at(host)
            if at is not None and (self._whole is None or at == latest_at(host)):
                yield host, at

    def uploaders(self, *, before: Instant = NEVER) -> Iterator[str]:
        """Return each host with an accepted upload in either source, once.

        Those with one at `before` or later may be left out.
        """
        last_at = self.uploads.last_at
        yield from [host for host, at in self.uploads.items() if at < before]
        yield from [host for host, at in self.traffic.accepted.items() if at < before and last_at(host) is None]

    def record_uploads(self, receiver: str, uploads: Sequence[Upload]) -> None:
        """Record accepted uploads to a receiver; without a name, to the only one."""
        self.uploads.record(uploads)
        if receiver:
            self.receivers[receiver].uploads.record(uploads)
        if self.cadence is not None:
            self.cadence.record(uploads)

    def record_accepted(self, receiver: str, accepted: Mapping[str, Iterable[Instant]]) -> None:
        """Record when a receiver accepted uploads by its journal, as it is remembered from before."""
        for traffic in (self.traffic, *((self.receivers[receiver].traffic,) if receiver else ())):
            traffic.remember(accepted)
        if self.cadence is not None:
            without_row = ((host, ats) for host, ats in accepted.items() if self.uploads.last_at(host) is None)
            self.cadence.record(Upload(host, at) for host, ats in without_row for at in ats)

    def without_row(self) -> dict[str, list[Instant]]:
        """Return when the journal shows accepted uploads of each host that are later than its last row.

        Beside the rows only these need be remembered.
        """
        row_at = self.uploads.last_at
        without: dict[str, list[Instant]] = {}
        for host, last_at in self.traffic.accepted.items():
            since = -NEVER if (at := row_at(host)) is None else at + SAME_UPLOAD_US
            if last_at > since:
                without[host] = [at for at in self.traffic.accepted.latest(host) if at > since]
        return without

    def record_traffic(self, receiver: str, observations: Sequence[Response | Unstamped | UnitState]) -> None:
        """Record what the journal of a receiver shows; without a name, of the only one."""
        self.traffic.record(observations)
        if receiver:
            self.receivers[receiver].traffic.record(observations)
        self.learn_by_journal(observations)

    def learn_by_journal(self, observations: Iterable[Response | Unstamped | UnitState]) -> None:
        """Record in the rhythms what the journal of a receiver shows; nothing if no limit is learned."""
        if self.cadence is not None:
            self.cadence.record_traffic(observations, lambda host: self.uploads.last_at(host) is not None)

    def learned_limit(self, host: str, floor_us: int, ceiling_us: int) -> LearnedLimit:
        """Return how long a host may be silent by its own rhythm. See `Cadence.limit_of`."""
        whole = self.whole
        cadence = whole.cadence or Cadence(0)
        return cadence.limit_of(host, whole.once("outages", cadence.outages), floor_us, ceiling_us)

    def limit_counted_from(self, host: str, last_at: Instant) -> Instant:
        """Return from when on the learned limit of a host counts. See `Cadence.counted_from`."""
        whole = self.whole
        cadence = whole.cadence or Cadence(0)
        return cadence.counted_from(host, whole.once("outages", cadence.outages), last_at)

    def compared_day(self, host: str, now: Instant) -> ComparedDay:
        """Return how much a host uploaded in the last 24 hours, and how much is usual. See `Cadence.compared_day`."""
        whole = self.whole
        cadence = whole.cadence or Cadence(0)
        return cadence.compared_day(host, whole.once("outages", cadence.outages), now)

    def share_of_usual(self, host: str, length_us: int) -> float:
        """Return how much a host uploaded lately, as a share of what is usual. See `Cadence.share_of_usual`."""
        cadence = self.whole.cadence
        return 1.0 if cadence is None else cadence.share_of_usual(host, length_us)

    def upload_intervals(self, host: str) -> list[tuple[int, int]]:
        """Return how long the intervals between a host's uploads were. See `histogram`; empty if that is not known."""
        cadence = self.whole.cadence
        rhythm = None if cadence is None else cadence.rhythm(host)
        if cadence is None or rhythm is None:
            return []
        return histogram(rhythm, cadence.intervals_of(host, self.whole.once("outages", cadence.outages)))

    def _note_rhythms(self, cadence: Cadence, now: Instant) -> None:
        """Record when no host could upload, and forget what no limit depends on any more."""
        present = self._present_stop(now, self.receiver_sign_at) if self._is_stop_seen(now) else ()
        cadence.note_outages([*self._pauses((), now), *present])
        known = (self.uploads.last_at, self.traffic.accepted.last_at)
        cadence.prune(lambda host: any(last_at(host) is not None for last_at in known), now)
        if not cadence.is_settled and self.watched_us is not None:
            self._forget_unwatched(self.watched_us, now)
        cadence.is_settled = True

    def _forget_unwatched(self, watched_us: Callable[[Fleet, str], int], now: Instant) -> None:
        """Forget the hosts whose own limit makes them no part of the fleet any more: nobody has watched them before."""
        still = self.standing_still()
        gone = {
            host
            for host in self.uploaders()
            if (at := self.accepted_at(host)) is not None and still.counted_us(host, at, now) > watched_us(still, host)
        }
        for tables in (Tables(self.uploads, self.traffic), *self.receivers.values()):
            tables.uploads.drop(gone)
            tables.traffic.accepted.drop(gone)

    def _every_traffic(self) -> Iterator[Traffic]:
        yield self.traffic
        yield from (tables.traffic for tables in self.receivers.values())

    def standing_still(self) -> Fleet:
        """Return the fleet as it is, for who asks a lot and changes nothing meanwhile: nothing is counted twice."""
        still = copy(self)
        still._counts = {}  # noqa: SLF001 - it is one of us
        still._made = {}  # noqa: SLF001
        return still

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returns. A fleet that stands still calls it once for each key, however often it is asked.

        So a detector need not look at all hosts twice, for its conditions and for its finding.
        """
        if self._made is None:
            return make()
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    def skip(self, since: Instant, until: Instant) -> None:
        """Record that the time between two instants did not pass, though the clock shows that it has.

        What was skipped before ends there at the latest: if the clock was set back, it does pass.
        """
        known = tuple((begin, min(end, since)) for begin, end in self.skips if begin < since)
        self.skips = (*known, *(((since, until),) if since < until else ()))[-_MOST_SKIPS:]

    def shut_down(self, since: Instant, until: Instant) -> None:
        """Record that the machine was off or asleep between two instants."""
        if since < until and (since, until) not in self.shutdowns:
            self.shutdowns = (*self.shutdowns, (since, until))[-_MOST_SKIPS:]

    def end_shutdowns(self, latest: Instant) -> None:
        """Let no shutdown end later than an instant: a boot that is dated later was dated by a clock that was ahead."""
        self.shutdowns = tuple((since, min(until, latest)) for since, until in self.shutdowns if since < latest)

    def pauses(self, host: str, now: Instant) -> tuple[Pause, ...]:
        """Return over which time no absence of a host counts, in order; of `EVERY_HOST` what concerns all hosts."""
        if (view := self._receiver_view(host)) is not self:
            return view.pauses(host, now)
        windows = self._windows_of(host)

        def make() -> tuple[Pause, ...]:
            present = self._present_stop(now, self.receiver_sign_at) if self._is_stop_seen(now) else ()
            return merged([*self._pauses(windows, now), *present])

        return self.once(("pauses", windows, now), make)

    def absence_us(self, host: str, last_at: Instant, now: Instant) -> int:
        """Return for how long a host has been absent, in which it could have uploaded. See `pauses.absence_us`."""
        pauses = self.pauses(host, now)
        return absence_us(pauses, self.skips, last_at, now) if pauses else passed_us(self.skips, last_at, now)

    def counted_us(self, host: str, since: Instant, now: Instant) -> int:
        """Return the time between two instants in which a host could have uploaded, as a lookback counts it.

        It goes by what stays known for as long as a lookback: a host that was lost is not to come back by what is
        forgotten of the journal.
        """
        if (view := self._receiver_view(host)) is not self:
            return view.counted_us(host, since, now)
        windows = self._windows_of(host)

        def make() -> tuple[Pause, ...]:
            present = self._present_stop(now, self.newest_accepted_at)
            return merged(one for one in (*self._pauses(windows, now), *present) if one.is_known)

        return counted_us(self.once(("known pauses", windows, now), make), self.skips, since, now)

    def _receiver_view(self, host: str) -> Fleet:
        """Return the part of the receiver that a host uploads to: only its stops concern the host."""
        return self.of(self.receiver_of(host)) if self.receivers else self

    def _windows_of(self, host: str) -> tuple[int, ...]:
        if not self.mute_windows:
            return ()
        return tuple(number for number, window in enumerate(self.mute_windows) if window.is_about(host))

    def _pauses(self, windows: Iterable[int], now: Instant) -> Iterator[Pause]:
        mutes = merged(
            pause for number in windows for pause in self.mute_windows[number].pauses(now - MUTES_BACK_US, now)
        )
        yield from (one for one in mutes if one.until - one.since < LONGEST_MUTE_US)
        yield from (Pause(since, until, MACHINE_STARTED) for since, until in self.shutdowns)
        if not self.receivers:
            yield from map(self._examined, self.traffic.unit_history.pauses(self.traffic.latest_before))

    def _examined(self, pause: Pause) -> Pause:
        """Return a stop without the part in which a host uploaded: the receiver had been started in another way."""
        since = pause.since + _STOPPING_US
        if since >= pause.until or not pause.is_known:
            return pause
        instants = self.once("upload instants", self._upload_instants)
        place = bisect_left(instants, pause.until) - 1
        if place < 0 or instants[place] <= since:
            return pause
        return replace(pause, since=instants[place], is_known=False)

    def _upload_instants(self) -> list[Instant]:
        """Return when anybody uploaded, as far as that is kept, in order.

        The last upload of each host is not enough: a stop that it contradicted would count once the host uploads again.
        """
        tables = (self.uploads, self.traffic.accepted)
        return sorted(at for table in tables for host, _ in table.items() for at in table.latest(host))

    def _is_stop_seen(self, now: Instant) -> bool:
        """Return whether the journal was whole since the latest word on the unit: else its start may be missing."""
        return self.traffic.unit is not None and self.is_whole("journal", self.traffic.unit.at, now)

    def _present_stop(self, now: Instant, newest_sign_at: Callable[[], Instant | None]) -> Iterator[Pause]:
        """Return the time since the unit stopped; nothing if it runs, or a sign of the receiver contradicts it."""
        unit = self.traffic.unit
        if unit is None or unit.is_running or unit.at >= now or not self.is_unit_watched or self.receivers:
            return
        since = self.traffic.unit_history.stopped_at() or unit.at
        if (sign_at := newest_sign_at()) is None or sign_at - since <= _STOPPING_US:
            yield Pause(since, now, RECEIVER_STOPPED)

    def receiver_sign_at(self) -> Instant | None:
        """Return the newest sign that the receiver is at work: a row, or a response of any kind; None without one."""
        return self.once("receiver sign", self._receiver_sign_at)

    def _receiver_sign_at(self) -> Instant | None:
        in_journal = (at for _, window in self.traffic.items() if (at := window.last_at) is not None)
        return _newest(self.newest_accepted_at(), max(in_journal, default=None))

    def newest_accepted_at(self) -> Instant | None:
        """Return the newest accepted upload of any host in either source, a row or a 2xx; None without one."""
        return self.once(
            "newest accepted", lambda: _newest(self.uploads.newest_at(), self.traffic.accepted.newest_at())
        )

    def evict(self, uploads_before: Instant, traffic_before: Instant, now: Instant) -> dict[str, Instant]:
        """Forget what was uploaded and answered before two instants; return the hosts that are gone.

        Time in which a host could not upload does not make it forgotten. As long as either source shows an upload of a
        host that is late enough, neither forgets it.
        """
        for traffic in self._every_traffic():
            traffic.evict(traffic_before)

        def evicted(view: Fleet) -> dict[str, Instant]:
            def is_kept(host: str, at: Instant) -> bool:
                at = view.accepted_at(host) or at
                return at >= uploads_before or view.counted_us(host, at, now) <= now - uploads_before

            tables = (view.uploads, view.traffic.accepted)
            # Of both together, before either forgets.
            going = {
                host for table in tables for host, at in table.items() if at < uploads_before and not is_kept(host, at)
            }
            gone: dict[str, Instant] = {}
            for table in tables:
                for host, at in table.evict(uploads_before, lambda host, _: host not in going).items():
                    gone[host] = max(at, gone.get(host, at))
            return gone

        for name in self.receivers:
            evicted(self.of(name))
        gone = evicted(self)
        if self.cadence is not None:
            self._note_rhythms(self.cadence, now)
        return gone

    def counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the journal's events of each host with `since <= t <= until`; hosts without any may be left out."""
        known = {} if self._counts is None else self._counts
        counts = known.get((since, until))
        if counts is None:
            counts = known[since, until] = self.traffic.counts(since, until)
        return counts

    def limit_hosts(self, limit: int) -> None:
        """Set the limit of hosts; known hosts stay."""
        for uploads in (self.uploads, *(tables.uploads for tables in self.receivers.values())):
            uploads.limit = limit
        for traffic in self._every_traffic():
            traffic.limit_hosts(limit)

    def protect(self, hosts: Iterable[str]) -> None:
        """Return these hosts places of their own, for open incidents must be evaluated; those given one before lose it.

        Strangers among them get no more places than strangers have in all, or open incidents would be a way to fill the
        tables; the first ones get them.
        """
        register, allowed, kept = self.register, self.traffic.stranger_limit, set[str]()
        for host in dict.fromkeys(hosts):
            if register.has_uploaded(host) or host in self.lost or register.is_expected(host):
                kept.add(host)
            elif allowed:
                allowed -= 1
                kept.add(host)
        before, register.protected = register.protected, frozenset(kept)
        for host in register.protected - before:
            register.announce(host)
        for traffic in self._every_traffic():
            traffic.release(before - register.protected)

    def has_uploaded(self, host: str) -> bool:
        """Return whether any source shows an accepted upload of a host, or it is remembered to have uploaded."""
        return self.register.has_uploaded(host) or host in self.lost

    def is_stranger(self, host: str) -> bool:
        """Return whether a host is neither known to have uploaded nor expected."""
        return not (self.has_uploaded(host) or self.register.is_expected(host))

    def is_seen(self, host: str) -> bool:
        """Return whether a host is in a table."""
        return self.register.has_uploaded(host) or self.traffic.window(host) is not None

    def has_place(self, host: str) -> bool:
        """Return whether a host is in a table, or has a place of its own in case that it is heard of."""
        return self.register.is_known(host) or self.traffic.window(host) is not None

    def strangers(self) -> Iterator[tuple[str, HostWindow]]:
        """Return each stranger that the receiver has answered, with its window."""
        yield from self.traffic.strangers.windows.items()
        for host in self.register.protected:
            if (window := self.traffic.window(host)) is not None and self.is_stranger(host):
                yield host, window

    def alerted_strangers(self) -> frozenset[str]:
        """Return the strangers with an open incident that was notified; not all of them, if there are very many."""
        return frozenset(host for host in self.register.protected if self.is_stranger(host))

    def stranger_counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the journal's events of each stranger with `since <= t <= until`, as `counts` does of all hosts."""
        return {host: window.count(since, until) for host, window in self.strangers()}

    def is_complete(self, host: str, since: Instant) -> bool:
        """Return whether every event of a host from an instant on is counted that the journal showed.

        False for a stranger that has lost its place to others since then. What the journal itself did not show is for
        `is_whole`.
        """
        return self.traffic.incomplete_until(host) < since

    def is_forgotten(self, host: str) -> bool:
        """Return whether nothing is known about a stranger: it had no recent response, or has lost its place."""
        is_nobody = is_host(host) and not self.register.is_known(host) and self.is_stranger(host)
        return is_nobody and self.traffic.window(host) is None

    def is_left_out(self, host: str, since: Instant) -> bool:
        """Return whether nothing is known about a host: it has no place, and may have lost one since an instant."""
        return self.traffic.window(host) is None and not self.is_complete(host, since)

    def is_whole(self, source: str, since: Instant, until: Instant) -> bool:
        """Return whether all that a source, `index` or `journal`, holds of the time between two instants was seen.

        Both are included. Whether it holds all of that time is for `reaches`. Of several receivers, that is so if each
        one's was seen.
        """
        return all(coverage.is_whole(since, until) for coverage in self.coverage if coverage.kind == source)

    def is_shown(self, source: str, since: Instant, until: Instant) -> bool:
        """Return whether all that a source holds of that time was read: systemd's own messages need no pattern."""
        return all(coverage.is_shown(since, until) for coverage in self.coverage if coverage.kind == source)

    def reaches(self, source: str, since: Instant) -> bool:
        """Return whether a source reaches back to an instant: it may begin later."""
        return all(coverage.reaches(since) for coverage in self.coverage if coverage.kind == source)

    def since_begin(self, source: str, since: Instant) -> Instant:
        """Return an instant, or the begin of what a source holds if that is later."""
        begins = [one.begins_at for one in self.coverage if one.kind == source and one.begins_at is not None]
        return max([since, *begins])

    def heard_at(self, host: str) -> Instant | None:
        """Return the newest sign of a host in either source, a row or a response of any kind; None without one."""
        window = self.traffic.window(host)
        return _newest(self.accepted_at(host), None if window is None else window.last_at)

    def accepted_at(self, host: str) -> Instant | None:
        """Return the newest accepted upload of a host in either source, a row or a 2xx; None without one.

        Also one that is dated ahead of the clock: it is a fact, and whoever compares it goes by its own timestamp.
        """
        return _newest(self.uploads.last_at(host), self._accepted_in_journal(host))

    def _accepted_in_journal(self, host: str) -> Instant | None:
        if (at := self.traffic.accepted.last_at(host)) is not None:
            return at
        window = self.traffic.window(host)  # it has no place in a table that is full
        return None if window is None else window.accepted_at

    def kinds_seen_anew(self, subject: str) -> frozenset[str]:
        """Return the kinds of sources, `index` and `journal`, that can speak for the end of an incident from before.

        A source that has taken the place of another one can only if it has shown an accepted upload since, of the host
        or, if the subject is none, of any: what it does not show may never have been in it. That a host uploads, a 2xx
        shows as well as a row.
        """
        if not self.exchanged:
            return _KINDS
        accepted = self.once(("accepted of", subject), lambda: self._accepted_of(subject))
        in_either = _newest(*accepted.values())
        newest = {"index": in_either, "journal": accepted["journal"]}
        return frozenset(
            kind
            for kind, at in newest.items()
            if kind not in self.exchanged or (at is not None and at > self.exchanged[kind])
        )

    def _accepted_of(self, subject: str) -> dict[str, Instant | None]:
        """Return the newest accepted upload of a host, or of any host of a receiver, by the kind of its source."""
        if is_host(subject):
            window = self.traffic.window(subject)
            return {
                "index": self.uploads.last_at(subject),
                "journal": None if window is None else window.accepted_at,
            }
        view = self.of(receiver_of(subject))
        return {
            "index": view.uploads.newest_at(),
            "journal": _newest(*(window.accepted_at for _, window in view.traffic.items())),
        }

    def missing(self, source: str, since: Instant, until: Instant) -> int | None:
        """Return how many messages of a source are missing at most between two instants; None if that is not known."""
        counts = [coverage.missing(since, until) for coverage in self.coverage if coverage.kind == source]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def unseen_us(self, source: str, since: Instant, until: Instant) -> int:
        """Return how much of the time between two instants a source has not shown whole, in microseconds."""
        return max((one.unseen_us(since, until) for one in self.coverage if one.kind == source), default=0)

    def has_accepted(self, host: str, since: Instant, until: Instant) -> bool:
        """Return whether either source shows an accepted upload of a host between two instants, both included."""
        last_at, window = self.uploads.last_at(host), self.traffic.window(host)
        if last_at is not None and since <= last_at <= until:
            return True
        return window is not None and window.count(since, until).accepted > 0

    def hosts(self) -> Iterator[str]:
        """Return each host that is known from any source, once."""
        traffic = self.traffic
        yield from (host for host, _ in traffic.items())
        yield from (host for host in self.uploaders() if traffic.window(host) is None)


def _newest(*instants: Instant | None) -> Instant | None:
    return max((at for at in instants if at is not None), default=None)
