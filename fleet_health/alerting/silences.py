"""Silences: operators suppress the alerts of some hosts for a limited time, and give a reason.

This module bounds the cost of silences, however they are made: how many are active at a time, how many are kept after
their end, and how long and complex each may be. Silences are matched once for each host and set of silences; plain
names are looked up, and only globs are matched.

A silence may also acknowledge. It then covers the incidents that are open when it is made, and no later ones, until all
of them have resolved or the silence ends.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

import msgspec

from fleet_health.model.host_globs import HostGlobs, is_plain, literal_length
from fleet_health.model.instant import HOUR_US, SECOND_US, Instant, describe, isoformat
from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fleet_health.model.subject import Pair

SHORTEST_US, LONGEST_US = 60 * SECOND_US, 30 * 24 * HOUR_US
"""The shortest and the longest silence, in microseconds."""
AHEAD_US = 90 * 24 * HOUR_US
"""How far in the future a silence may begin, in microseconds."""
WIDE_LONGEST_US = 24 * HOUR_US
"""The longest silence that may cover most of the fleet without `--all`, in microseconds."""
ACTIVE_LIMIT = 200
"""The largest number of silences that are active or begin later."""
ENDED_LIMIT = 200
"""The largest number of ended silences that are kept, so that operators see that they ended."""
REASON_LENGTH = 200
"""The largest number of characters in a reason."""
GLOB_LENGTH, GLOB_STARS = 128, 8
"""The largest number of characters, and of `*`, in a glob."""
NAME_LENGTH = 64
"""The largest number of characters in an id or an author."""

# Enough for any fleet. Bounded, because requests may name invented hosts.
_REMEMBERED_HOSTS = 20_000


class TooManySilences(Exception):  # noqa: N818 - it names what was found, not an error
    """The limit of active silences is reached. `str()` is a message for people, with a remedy."""

    def __init__(self) -> None:
        super().__init__(
            f"{ACTIVE_LIMIT} silences are active already, which is the limit; end some of them"
            " (`fleet-health silence list`, `fleet-health silence expire ID`), or silence several hosts by one glob"
        )


class Silence(msgspec.Struct, frozen=True):
    """One silence.

    Attributes:
        id: Its identifier, by which operators end it early.
        hosts: A glob for the hosts that it covers.
        symptom: The symptom that it covers; None for every symptom of these hosts.
        starts_at: When it begins. If it acknowledges, it covers the incidents that had opened by then.
        ends_at: When it ends, exclusively.
        reason: The reason that its author gave.
        author: The user who made it.
        is_until_resolved: Whether it acknowledges: it covers the incidents that are open when it is made.
        is_resolved: Whether it ended because all of them had resolved.
        ended_by: The user who ended it early; empty if no user did.

    """

    id: str
    hosts: str
    symptom: str | None
    starts_at: Instant
    ends_at: Instant
    reason: str
    author: str
    is_until_resolved: bool = False
    is_resolved: bool = False
    ended_by: str = ""

    def row(self) -> dict[str, str | bool | None]:
        """Return its JSON object, as in `silences.json` and the output of commands."""
        return {
            "id": self.id,
            "hosts": self.hosts,
            "symptom": self.symptom,
            "starts_at_wall": isoformat(self.starts_at),
            "ends_at_wall": isoformat(self.ends_at),
            "reason": self.reason,
            "author": self.author,
            "is_until_resolved": self.is_until_resolved,
            "is_resolved": self.is_resolved,
            "ended_by": self.ended_by or None,
        }

    def in_words(self) -> str:
        """Return a description for people: `6f2c until 2026-11-23T20:00Z, by ann: maintenance`."""
        until = f"{'resolved, or ' if self.is_until_resolved else ''}{isoformat(self.ends_at)[:16]}Z"
        return f"{self.id} until {until}, by {self.author}: {self.reason}"

    def is_active(self, now: Instant) -> bool:
        """Return whether it is active at an instant."""
        return self.starts_at <= now < self.ends_at

    def is_about(self, symptom: str) -> bool:
        """Return whether it covers a symptom of the hosts that it matches."""
        return self.symptom in {None, symptom}

    def covers(self, symptom: str, opened_at: Instant | None) -> bool:
        """Return whether it covers an incident of its hosts, given when that opened; None if it has not opened."""
        return self.is_about(symptom) and (
            not self.is_until_resolved or (opened_at is not None and opened_at <= self.starts_at)
        )

    def ended(self, now: Instant, *, by: str = "", is_resolved: bool = False) -> Silence:
        """Return a copy that ends at `now`. A silence that has not begun is then never active."""
        return msgspec.structs.replace(
            self, starts_at=min(self.starts_at, now), ends_at=now, ended_by=by, is_resolved=is_resolved
        )


def glob_problem(glob: str) -> str:
    """Return why a silence cannot have a glob, such as its length; empty if it can."""
    if not glob:
        return "it is empty"
    if len(glob) > GLOB_LENGTH:
        return f"it has {len(glob)} characters, and no more than {GLOB_LENGTH} are allowed"
    if (stars := glob.count("*")) > GLOB_STARS:
        return f"it has {stars} `*`, and no more than {GLOB_STARS} are allowed"
    return ""


def breadth_problem(glob: str, length_us: int, hosts: Iterable[str]) -> str:
    """Return why a silence needs `--all`: it is long and covers most of the fleet. Empty if it does not need it.

    A glob without a literal character counts as matching every host. Any other glob is matched against the known hosts.
    If there are at least two, it may match up to half of them.
    """
    if length_us <= WIDE_LONGEST_US or is_plain(glob):
        return ""
    if literal_length(glob) == 0:
        matched = "has no literal character and may match every host"
    else:
        globs, names = HostGlobs((glob,)), list(hosts)
        count = sum(globs.matches(host) for host in names)
        if count < 2 or count * 2 <= len(names):  # noqa: PLR2004 - a single host is no fleet
            return ""
        matched = f"matches {count} of {len(names)} known hosts"
    return f"{glob} {matched}, and would suppress their alerts for more than a day"


def problem_of(silence: Silence) -> str:
    """Return why a silence is invalid; empty if it is valid."""
    length_us = silence.ends_at - silence.starts_at
    if problem := glob_problem(silence.hosts):
        return f"hosts: {problem}"
    if length_us < 0:
        return "it ends before it begins"
    if length_us > LONGEST_US:
        return f"it lasts {describe(length_us)}, and no more than {describe(LONGEST_US)} are allowed"
    for name, text, limit in (
        ("reason", silence.reason, REASON_LENGTH),
        ("author", silence.author, NAME_LENGTH),
        ("id", silence.id, NAME_LENGTH),
        ("ended_by", silence.ended_by, NAME_LENGTH),
        ("symptom", silence.symptom or "", NAME_LENGTH),
    ):
        if len(text) > limit:
            return f"{name}: it has {len(text)} characters, and no more than {limit} are allowed"
    return ""


def admitted(silences: Iterable[Silence], now: Instant) -> tuple[list[Silence], list[str]]:
    """Return the usable silences, in order, and a short text about each problem with the others.

    Beyond the limits, the oldest active silences are kept, so that a stream of new ones displaces none, and the latest
    ended ones.
    """
    problems: list[str] = []
    good: list[Silence] = []
    for one in silences:
        if problem := problem_of(one):
            problems.append(problem)
        else:
            good.append(one)
    holding = [one for one in good if one.ends_at > now]
    if (surplus := len(holding) - ACTIVE_LIMIT) > 0:
        problems.append(f"{surplus} more than the limit of {ACTIVE_LIMIT} active silences")
    kept = {id(one) for one in holding[:ACTIVE_LIMIT]}
    ended = sorted((one for one in good if one.ends_at <= now), key=lambda one: one.ends_at)
    kept.update(id(one) for one in ended[-ENDED_LIMIT:])
    return [one for one in good if id(one) in kept], problems


def named_by(silences: Iterable[Silence], what: str, now: Instant) -> list[Silence]:
    """Return the active and future silences that an id, a host name or a glob selects.

    A name selects the silences of exactly that name. A glob selects the silences of every name or glob that it matches.
    So a host name never selects a silence that also covers other hosts.
    """
    left = [one for one in silences if one.ends_at > now]
    if by_id := [one for one in left if one.id == what]:
        return by_id
    globs = HostGlobs((what,))
    return [one for one in left if one.hosts == what or globs.matches(one.hosts)]


class Silences:
    """All known silences, including recently ended ones. Caches which silences match a host."""

    def __init__(self, silences: Sequence[Silence] = ()) -> None:
        self.all = tuple(silences)
        self._by_name: dict[str, list[Silence]] = {}
        shapes: list[Silence] = []
        for one in self.all:
            (self._by_name.setdefault(one.hosts, []) if is_plain(one.hosts) else shapes).append(one)
        # Most hosts match no glob, which one match of all globs together shows.
        self._any = HostGlobs(tuple({one.hosts for one in shapes}))
        self._shapes = [(re.compile(translate(one.hosts)).match, one) for one in shapes]
        self._about: dict[str, tuple[Silence, ...]] = {}

    def about(self, host: str) -> tuple[Silence, ...]:
        """Return the silences that match a host, a receiver or the fleet, whether or not they are active."""
        known = self._about.get(host)
        if known is None:
            known = self._matching(host)
            if len(self._about) < _REMEMBERED_HOSTS:
                self._about[host] = known
        return known

    def prepare(self, hosts: Iterable[str]) -> None:
        """Match these hosts now, so that later calls only look them up. Forget all other hosts.

        Call it in a thread, because 10,000 hosts and 200 globs take a third of a second.
        """
        known = self._about
        self._about = {host: known[host] if host in known else self._matching(host) for host in hosts}

    def of(self, host: str, symptom: str, now: Instant) -> Silence | None:
        """Return the silence of a host's symptom at an instant, the last to end if there are several; else None."""
        matching = (one for one in self.about(host) if one.is_about(symptom) and not one.is_until_resolved)
        return _longest(matching, now)

    def acknowledging(self, host: str, symptom: str, opened_at: Instant | None, now: Instant) -> Silence | None:
        """Return the acknowledgement of an incident at an instant, the last to end if there are several; else None."""
        matching = (one for one in self.about(host) if one.is_until_resolved and one.covers(symptom, opened_at))
        return _longest(matching, now)

    def _matching(self, host: str) -> tuple[Silence, ...]:
        if not is_host(host):
            # Incidents that concern no single host need a symptom: operators who silence all hosts do not mean to
            # silence the receiver, or fleet-health being blind.
            return tuple(one for one in self.all if one.hosts in (EVERY_HOST, host) and one.symptom is not None)
        named = self._by_name.get(host, ())
        if not self._any.matches(host):
            return tuple(named)
        return (*named, *(one for match, one in self._shapes if match(host)))


def _covered(silences: Silences, incidents: Mapping[Pair, Instant]) -> dict[str, list[Pair]]:
    """Return silence id -> the open incidents that it covers, whether or not it is active."""
    covered: dict[str, list[Pair]] = {}
    for (host, symptom), opened_at in sorted(incidents.items()):
        for silence in silences.about(host):
            if silence.covers(symptom, opened_at):
                covered.setdefault(silence.id, []).append((host, symptom))
    return covered


def _longest(silences: Iterable[Silence], now: Instant) -> Silence | None:
    return max((one for one in silences if one.is_active(now)), key=lambda one: one.ends_at, default=None)


class Ended(msgspec.Struct, frozen=True):
    """The end of a silence.

    Attributes:
        silence: The silence.
        standing: The open incidents that it covered, in order.
        never_matched: Whether it never covered any incident.

    """

    silence: Silence
    standing: tuple[Pair, ...] = ()
    never_matched: bool = False


class Changes(msgspec.Struct, frozen=True):
    """The changes to the silences since the last evaluation.

    Attributes:
        made: The new silences.
        begun: Known silences that have begun.
        moved: Silences whose end was changed to another time in the future.
        ended: Silences that have ended.
        resolved: Silences whose acknowledged incidents have all resolved.
        removed: The ids of silences that disappeared before their end, each with that end, or None if it is unknown.

    """

    made: tuple[Silence, ...] = ()
    begun: tuple[Silence, ...] = ()
    moved: tuple[Silence, ...] = ()
    ended: tuple[Ended, ...] = ()
    resolved: tuple[Silence, ...] = ()
    removed: tuple[tuple[str, Instant | None], ...] = ()


class SilenceRecord(msgspec.Struct):
    """The state that `SilenceWatch` keeps of one silence.

    Attributes:
        has_matched: Whether it ever covered an incident.
        is_end_reported: Whether its end was reported.
        is_planned: Whether it was still to begin at the last evaluation.
        ends_at: Its end as of the last evaluation; None if that is not known.

    """

    has_matched: bool = False
    is_end_reported: bool = False
    is_planned: bool = False
    ends_at: Instant | None = None


class SilenceWatch:
    """Reports once when a silence is made, begins, is moved, ends or disappears."""

    def __init__(self, records: dict[str, SilenceRecord] | None = None) -> None:
        self.records = records or {}

    def look(self, silences: Silences, incidents: Mapping[Pair, Instant], now: Instant) -> Changes:
        """Return the changes since the last evaluation. Resolved silences are returned until they have ended.

        Args:
            silences: The silences.
            incidents: The open incidents, each with when it opened.
            now: The instant of the evaluation.

        """
        matching = _covered(silences, incidents)
        made, begun, moved, ended, resolved = [], [], [], [], []
        records: dict[str, SilenceRecord] = {}
        for silence in silences.all:
            record = self.records.get(silence.id)
            if record is None:
                record = SilenceRecord()
                made.append(silence)
            elif record.ends_at is not None and record.ends_at != silence.ends_at and silence.ends_at > now:
                moved.append(silence)
            if record.is_planned and silence.is_active(now):
                begun.append(silence)
            record.ends_at, record.is_planned = silence.ends_at, now < silence.starts_at
            records[silence.id] = record
            pairs = tuple(matching.get(silence.id, ()))
            if silence.is_active(now):
                record.has_matched |= bool(pairs)
                if silence.is_until_resolved and not pairs:
                    resolved.append(silence)
            elif now >= silence.ends_at and not record.is_end_reported:
                record.is_end_reported = True
                ended.append(Ended(silence, pairs, never_matched=not pairs and not record.has_matched))
        removed = [
            (id_, one.ends_at) for id_, one in self.records.items() if id_ not in records and not one.is_end_reported
        ]
        self.records = records
        return Changes(tuple(made), tuple(begun), tuple(moved), tuple(ended), tuple(resolved), tuple(removed))
