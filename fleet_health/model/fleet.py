"""The fleet as the sources show it: each host's last upload, and the recent responses to it.

There are two tables rather than one record for each host, because each is filled by one kind of source. A source that
is opened again (a changed path, a longer window) fills a new table beside the old one, and replaces it when it has
caught up.

A 2xx in the journal is an accepted upload, just as a row of the index is. Its time is kept for as long as rows are, so
that a host known from the journal alone is watched like any other.

Both tables take in what every receiver shows, because a host may move from one receiver to another. If there are
several receivers, each has tables of its own as well.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_health.model.cadence import Cadence
from fleet_health.model.instant import SECOND_US
from fleet_health.model.intervals import histogram
from fleet_health.model.observation import Response, Upload
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
"""A response at most this much later than a row may belong to the same upload."""

_KINDS = frozenset({"index", "journal"})
_MOST_SKIPS = 100


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Tables:
    """What one receiver has shown."""

    uploads: Uploads
    traffic: Traffic


class Fleet:
    """Everything known about the hosts, and how completely. Each attribute may be replaced as a whole.

    Attributes:
        register: Which hosts are known; shared by all tables.
        uploads: The uploads to all receivers.
        traffic: The responses of all receivers.
        receivers: Name -> the tables of that receiver; empty if there is only one, whose tables are the two above.
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
        """Kind of a source (`index` or `journal`) -> when a reload last replaced one, of any receiver."""
        self.lost: frozenset[str] = frozenset()
        """Hosts that are remembered to have uploaded, even if their uploads are forgotten."""
        self.known_since: Instant = -NEVER
        """Where the index begins, if nothing is known from before; else `-NEVER`."""
        self.skips: tuple[Skip, ...] = ()
        """The spans that the clock skipped, because it was set ahead."""
        self.shutdowns: tuple[tuple[Instant, Instant], ...] = ()
        """The spans during which the machine was off or asleep."""
        self.is_unit_watched = True
        """Whether a stop of the receiver's unit is an alert of its own. If not, its hosts are absent while it lasts."""
        self.watched_us: Callable[[Fleet, str], int] | None = None
        """Return how long a host is watched after its last upload, in microseconds; None if it is the same for all."""
        self.mute_windows: Sequence[RecurringPause] = ()
        """When an operator wants no notifications, because hosts may be off, such as outside office hours."""
        self._counts: dict[tuple[Instant, Instant], Mapping[str, Counts]] | None = None
        self._made: dict[Hashable, Any] | None = None

    def inform_tables(self) -> None:
        """Connect the tables in use with the register, in both directions."""
        self.register.uploads = (self.uploads.last_at, self.traffic.accepted.last_at)
        self.register.audience = tuple(traffic.admit for traffic in self.every_traffic())

    def of(self, receiver: str) -> Fleet:
        """Return the fleet as one receiver shows it, empty before it is read; for an empty name, the whole fleet."""
        if not receiver:
            return self

        def make() -> Fleet:
            view, tables = copy(self), self.receivers.get(receiver) or Tables(Uploads(), Traffic())
            view.uploads, view.traffic, view.receivers = tables.uploads, tables.traffic, {}
            view.coverage = tuple(
                one for one in self.coverage if one.receiver in ("", receiver)
            )  # the coverage of the clock concerns every receiver
            view._whole = self  # noqa: SLF001 - another Fleet
            return view if self._made is None else view.standing_still()

        return self.once(("receiver", receiver), make)

    @property
    def whole(self) -> Fleet:
        """The fleet that this is one receiver's part of; itself if it is all of it."""
        return self if self._whole is None else self._whole

    def receiver_of(self, host: str) -> str:
        """Return the receiver that a host last uploaded to; empty if there is only one, or no upload is known."""
        if not self.receivers:
            return ""
        last_ats = {
            name: _newest(tables.uploads.last_at(host), tables.traffic.accepted.last_at(host))
            for name, tables in self.receivers.items()
        }
        known = {name: at for name, at in last_ats.items() if at is not None}
        return max(known, key=lambda name: known[name], default="")

    def answered_by(self, host: str) -> str:
        """Return the receiver that last responded to a host; empty if there is only one, or no recent response."""
        windows = {name: tables.traffic.window(host) for name, tables in self.receivers.items()}
        last_ats = {name: window.last_at for name, window in windows.items() if window is not None}
        return max(last_ats, key=lambda name: last_ats[name] or 0, default="")

    def latest_uploads(self) -> Iterator[tuple[str, Instant]]:
        """Yield each host with its last accepted upload, except hosts that have moved to another receiver."""
        latest_at = self.whole.accepted_at
        for host in self.uploaders():
            at = self.accepted_at(host)
            if at is not None and (self._whole is None or at == latest_at(host)):
                yield host, at

    def uploaders(self, *, before: Instant = NEVER) -> Iterator[str]:
        """Yield each host with an accepted upload in either source, once.

        Hosts with an upload at `before` or later may be left out.
        """
        last_at = self.uploads.last_at
        yield from [host for host, at in self.uploads.items() if at < before]
        yield from [host for host, at in self.traffic.accepted.items() if at < before and last_at(host) is None]

    def record_uploads(self, receiver: str, uploads: Sequence[Upload]) -> None:
        """Record accepted uploads to a receiver; an empty name is the only receiver."""
        self.uploads.record(uploads)
        if receiver:
            self.receivers[receiver].uploads.record(uploads)
        if self.cadence is not None:
            self.cadence.record(uploads)

    def record_accepted(self, receiver: str, accepted: Mapping[str, Iterable[Instant]]) -> None:
        """Record restored times of accepted uploads, by host, that a receiver's journal showed earlier."""
        for traffic in (self.traffic, *((self.receivers[receiver].traffic,) if receiver else ())):
            traffic.remember(accepted)
        if self.cadence is not None:
            without_row = ((host, ats) for host, ats in accepted.items() if self.uploads.last_at(host) is None)
            self.cadence.record(Upload(host, at) for host, ats in without_row for at in ats)

    def without_row(self) -> dict[str, list[Instant]]:
        """Return each host's accepted uploads in the journal that are later than its last row.

        Apart from the rows, only these need to be saved.
        """
        row_at = self.uploads.last_at
        without: dict[str, list[Instant]] = {}
        for host, last_at in self.traffic.accepted.items():
            since = -NEVER if (at := row_at(host)) is None else at + SAME_UPLOAD_US
            if last_at > since:
                without[host] = [at for at in self.traffic.accepted.latest(host) if at > since]
        return without

    def record_traffic(self, receiver: str, observations: Sequence[Response | Unstamped | UnitState]) -> None:
        """Record what the journal of a receiver shows; an empty name is the only receiver."""
        self.traffic.record(observations)
        if receiver:
            self.receivers[receiver].traffic.record(observations)
        self.learn_by_journal(observations)

    def learn_by_journal(self, observations: Iterable[Response | Unstamped | UnitState]) -> None:
        """Add what a journal shows to the rhythms of the hosts; do nothing if no limit is learned."""
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
        """Return how much a host uploaded recently, as a share of its usual amount. See `Cadence.share_of_usual`."""
        cadence = self.whole.cadence
        return 1.0 if cadence is None else cadence.share_of_usual(host, length_us)

    def upload_intervals(self, host: str) -> list[tuple[int, int]]:
        """Return the lengths of the intervals between a host's uploads, as `histogram` does; empty if not known."""
        cadence = self.whole.cadence
        rhythm = None if cadence is None else cadence.rhythm(host)
        if cadence is None or rhythm is None:
            return []
        return histogram(rhythm, cadence.intervals_of(host, self.whole.once("outages", cadence.outages)))

    def every_traffic(self) -> Iterator[Traffic]:
        """Yield the traffic of all receivers together, then of each one if there are several."""
        yield self.traffic
        yield from (tables.traffic for tables in self.receivers.values())

    def standing_still(self) -> Fleet:
        """Return a view of the fleet that caches what it counts. It is valid until the fleet changes."""
        still = copy(self)
        still._counts = {}  # noqa: SLF001 - another Fleet
        still._made = {}  # noqa: SLF001
        return still

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returns. A view made by `standing_still` calls it only once for each key.

        So a detector does not go through all hosts twice, for its conditions and for its finding.
        """
        if self._made is None:
            return make()
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    def skip(self, since: Instant, until: Instant) -> None:
        """Record that the clock skipped the time between two instants: it was set ahead.

        An earlier skip that ends later is cut at `since`: the clock was set back, so that time passes after all.
        """
        known = tuple((begin, min(end, since)) for begin, end in self.skips if begin < since)
        self.skips = (*known, *(((since, until),) if since < until else ()))[-_MOST_SKIPS:]

    def shut_down(self, since: Instant, until: Instant) -> None:
        """Record that the machine was off or asleep between two instants."""
        if since < until and (since, until) not in self.shutdowns:
            self.shutdowns = (*self.shutdowns, (since, until))[-_MOST_SKIPS:]

    def end_shutdowns(self, latest: Instant) -> None:
        """Cut shutdowns at an instant: a boot with a later time was dated by a clock that was ahead."""
        self.shutdowns = tuple((since, min(until, latest)) for since, until in self.shutdowns if since < latest)

    def receiver_sign_at(self) -> Instant | None:
        """Return the time of the latest row or response of any kind; None if there is none."""
        return self.once("receiver sign", self._receiver_sign_at)

    def _receiver_sign_at(self) -> Instant | None:
        in_journal = (at for _, window in self.traffic.items() if (at := window.last_at) is not None)
        return _newest(self.newest_accepted_at(), max(in_journal, default=None))

    def newest_accepted_at(self) -> Instant | None:
        """Return the time of the latest accepted upload of any host, a row or a 2xx; None if there is none."""
        return self.once(
            "newest accepted", lambda: _newest(self.uploads.newest_at(), self.traffic.accepted.newest_at())
        )

    def counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the events of each host in the journal with `since <= t <= until`; hosts without any may be missing."""
        known = {} if self._counts is None else self._counts
        counts = known.get((since, until))
        if counts is None:
            counts = known[since, until] = self.traffic.counts(since, until)
        return counts

    def limit_hosts(self, limit: int) -> None:
        """Set how many hosts are watched at most; known hosts stay."""
        for uploads in (self.uploads, *(tables.uploads for tables in self.receivers.values())):
            uploads.limit = limit
        for traffic in self.every_traffic():
            traffic.limit_hosts(limit)

    def protect(self, hosts: Iterable[str]) -> None:
        """Reserve a place for each of these hosts, and for no others, so that their open incidents are evaluated.

        Strangers among them get at most as many places as all strangers have, first come, first served. Otherwise open
        incidents would be a way to fill the tables.
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
        for traffic in self.every_traffic():
            traffic.release(before - register.protected)

    def has_uploaded(self, host: str) -> bool:
        """Return whether a source shows an accepted upload of a host, or one is remembered."""
        return self.register.has_uploaded(host) or host in self.lost

    def is_stranger(self, host: str) -> bool:
        """Return whether a host is neither known to have uploaded nor expected."""
        return not (self.has_uploaded(host) or self.register.is_expected(host))

    def is_seen(self, host: str) -> bool:
        """Return whether a host is in a table."""
        return self.register.has_uploaded(host) or self.traffic.window(host) is not None

    def has_place(self, host: str) -> bool:
        """Return whether a host is in a table, or has a place reserved in one."""
        return self.register.is_known(host) or self.traffic.window(host) is not None

    def strangers(self) -> Iterator[tuple[str, HostWindow]]:
        """Yield each stranger that a receiver has responded to, with its window."""
        yield from self.traffic.strangers.windows.items()
        for host in self.register.protected:
            if (window := self.traffic.window(host)) is not None and self.is_stranger(host):
                yield host, window

    def alerted_strangers(self) -> frozenset[str]:
        """Return the strangers with a notified open incident; not all of them if there are very many."""
        return frozenset(host for host in self.register.protected if self.is_stranger(host))

    def stranger_counts(self, since: Instant, until: Instant) -> Mapping[str, Counts]:
        """Count the events of each stranger with `since <= t <= until`, as `counts` does for all hosts."""
        return {host: window.count(since, until) for host, window in self.strangers()}

    def is_complete(self, host: str, since: Instant) -> bool:
        """Return whether every event of a host that the journal showed since an instant is counted.

        False for a stranger that has lost its place to others since then. Whether the journal showed everything is
        what `is_whole` returns.
        """
        return self.traffic.incomplete_until(host) < since

    def is_forgotten(self, host: str) -> bool:
        """Return whether nothing is known about a stranger: no recent response, or it has lost its place."""
        is_nobody = is_host(host) and not self.register.is_known(host) and self.is_stranger(host)
        return is_nobody and self.traffic.window(host) is None

    def is_left_out(self, host: str, since: Instant) -> bool:
        """Return whether a host has no place, and may have lost one since an instant."""
        return self.traffic.window(host) is None and not self.is_complete(host, since)

    def is_whole(self, source: str, since: Instant, until: Instant) -> bool:
        """Return whether everything that a source holds between two instants, both included, was read and understood.

        With several receivers, that must be so for the source of each. Whether the source holds the whole time is what
        `reaches` returns.

        Args:
            source: `index` or `journal`.
            since: The first instant.
            until: The last instant.

        """
        return all(coverage.is_whole(since, until) for coverage in self.coverage if coverage.kind == source)

    def is_shown(self, source: str, since: Instant, until: Instant) -> bool:
        """Return whether everything that a source holds between two instants was read, understood or not."""
        return all(coverage.is_shown(since, until) for coverage in self.coverage if coverage.kind == source)

    def reaches(self, source: str, since: Instant) -> bool:
        """Return whether a source reaches back to an instant; it may begin later."""
        return all(coverage.reaches(since) for coverage in self.coverage if coverage.kind == source)

    def since_begin(self, source: str, since: Instant) -> Instant:
        """Return the later of an instant and the begin of what a source holds."""
        begins = [one.begins_at for one in self.coverage if one.kind == source and one.begins_at is not None]
        return max([since, *begins])

    def heard_at(self, host: str) -> Instant | None:
        """Return the time of a host's latest row or response of any kind; None if it has none."""
        window = self.traffic.window(host)
        return _newest(self.accepted_at(host), None if window is None else window.last_at)

    def accepted_at(self, host: str) -> Instant | None:
        """Return the time of a host's latest accepted upload in either source, a row or a 2xx; None if it has none.

        It may be later than the clock, if it was dated ahead.
        """
        return _newest(self.uploads.last_at(host), self._accepted_in_journal(host))

    def _accepted_in_journal(self, host: str) -> Instant | None:
        if (at := self.traffic.accepted.last_at(host)) is not None:
            return at
        window = self.traffic.window(host)  # a full table of accepted uploads has no place for it
        return None if window is None else window.accepted_at

    def kinds_seen_anew(self, subject: str) -> frozenset[str]:
        """Return the kinds of sources, `index` and `journal`, that can show the end of an earlier incident.

        A source that replaced another one can do so only after it has shown an accepted upload: of the host, or of any
        host if the subject is a receiver. Until then, what it does not show may never have been in it. A 2xx shows an
        upload as well as a row does.
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
            "journal": reduce(_newest, (window.accepted_at for _, window in view.traffic.items()), None),
        }

    def missing(self, source: str, since: Instant, until: Instant) -> int | None:
        """Return how many messages of a source may be missing between two instants; None if not known."""
        counts = [coverage.missing(since, until) for coverage in self.coverage if coverage.kind == source]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def unseen_us(self, source: str, since: Instant, until: Instant) -> int:
        """Return for how much of the time between two instants a source is incomplete, in microseconds."""
        return max((one.unseen_us(since, until) for one in self.coverage if one.kind == source), default=0)

    def has_accepted(self, host: str, since: Instant, until: Instant) -> bool:
        """Return whether a source shows an accepted upload of a host between two instants, both included."""
        last_at, window = self.uploads.last_at(host), self.traffic.window(host)
        if last_at is not None and since <= last_at <= until:
            return True
        return window is not None and window.count(since, until).accepted > 0

    def hosts(self) -> Iterator[str]:
        """Yield each host that any source shows, once."""
        traffic = self.traffic
        yield from (host for host, _ in traffic.items())
        yield from (host for host in self.uploaders() if traffic.window(host) is None)


def _newest(one: Instant | None, other: Instant | None) -> Instant | None:
    if one is None or other is None:
        return other if one is None else one
    return one if one > other else other  # noqa: FURB136 - max() takes twice as long, and this is asked of every host
