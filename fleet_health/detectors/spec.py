"""What a detector is, how it declares itself, and what it finds.

Each detector is one module. Its `SPEC` declares everything that the rest of the program needs to know about it: its
configuration keys, the MESSAGE_ID of its alerts, its subject, the sources it needs, and how to build it. `registry`
lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

    ByHost: TypeAlias = Callable[[Mapping[str, Any], str], int]
    """Returns a duration in microseconds, given symptom -> limits, as in `Configured`, and a host."""

PRESENT: Instant = 1 << 62
"""The timestamp of a sign that the evaluation itself observes: newer than any fact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A host shows a symptom at the instant of an evaluation.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The detector's symptom, such as `silent`.
        detail: One sentence with the figures, on one line.
        suggested_fix: One or two sentences for the person who will fix it.
        inhibits: The findings that this one is the cause of, each as host and symptom, whether or not they are found.
        since: When the fault began; None if that is not known.
        is_of_journal: Whether it only means that the journal lacks uploads: two detectors find that.

    """

    host: str
    symptom: str
    detail: str
    suggested_fix: str
    inhibits: frozenset[Pair] = frozenset()
    since: Instant | None = None
    is_of_journal: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a finding: a figure and its limit.

    A detector with several ways to a finding has a group of conditions for each.

    Attributes:
        name: What the figure is.
        value: The figure.
        limit: The limit that the figure must reach for a finding.
        key: The setting of the limit; empty if there is none.
        is_met: Whether the condition is met.
        way: The way to a finding that it belongs to; empty if there is only one.

    """

    name: str
    value: str
    limit: str
    key: str
    is_met: bool
    way: str = ""


def are_met(conditions: Iterable[Condition]) -> bool:
    """Return whether all conditions of at least one way are met; False without conditions."""
    ways: dict[str, bool] = {}
    for one in conditions:
        ways[one.way] = one.is_met and ways.get(one.way, True)
    return any(ways.values())


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a detector looks from the instant of an evaluation, in microseconds; 0 if not at all.

    Attributes:
        uploads_us: How far back each host's last upload must be known.
        traffic_us: How far back the receiver's responses must be.
        rhythm_us: How far back from a host's last upload all of its uploads must be.

    """

    uploads_us: int = 0
    traffic_us: int = 0
    rhythm_us: int = 0

    def learns_since(self, at: Instant) -> Instant:
        """Return since when every upload must be known to evaluate at an instant; that instant if none must be."""
        return at - self.uploads_us - self.rhythm_us if self.rhythm_us else at


class Detector(Protocol):
    """Finds the hosts with one symptom. It keeps no state between evaluations."""

    @property
    def symptom(self) -> str:
        """The symptom's name, as in alerts."""

    @property
    def name(self) -> str:
        """The symptom's name, with that of the receiver (`receiver-down@NAME`) if there are several."""

    @property
    def is_of_absence(self) -> bool:
        """Whether it finds that something is missing. It cannot evaluate just after the clock was set."""

    @property
    def lookback(self) -> Lookback:
        """How far back the fleet must be known for `find` to be exact."""

    def can_evaluate(self, seen: Container[str]) -> bool:
        """Return whether these sources (of `index` and `journal`) are enough to evaluate at all.

        `find` and `is_over` check themselves which spans of time the sources have shown.
        """

    def is_about(self, subject: str) -> bool:
        """Return whether a host, `EVERY_HOST` or a receiver can have this symptom."""

    def find(self, fleet: Fleet, now: Instant) -> Iterable[Finding]:
        """Return the hosts that show the symptom at `now`, each at most once, in any order."""

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the conditions of a finding for a host or `EVERY_HOST`; there is one if and only if they `are_met`.

        Return nothing if the detector is not about such a host.
        """

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether a host that showed the symptom is seen to have recovered.

        No data is not enough, nor is a window that was only partly seen. This is necessary for a resolution, but not
        sufficient: `sign_at` must also be new, unless the limits have changed.
        """

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the timestamp of the newest sign of recovery, such as an accepted upload; None if there is none.

        It is the sign's own timestamp, never the present, and may be ahead of the clock: only a sign that is newer than
        the incident ends it. `PRESENT` means that the evaluation itself observes the sign.
        """

    def limits_of(self, host: str) -> str:
        """Return the limits in force for a host as one text: if it differs, the limits have changed."""


# What only some detectors can do: base classes and not protocols, because it takes 20 us to see whether an object fits
# a protocol, and each evaluation asks that of each detector.
class Watching(ABC):
    """A detector that watches each host for its own time after the last upload."""

    @abstractmethod
    def watched_us(self, fleet: Fleet, host: str) -> int:
        """Return for how long a host is watched after its last upload, in microseconds."""


class Foreseeing(ABC):
    """A detector that knows when it will find a host that does not upload any more."""

    @abstractmethod
    def finds_at(self, fleet: Fleet, host: str, now: Instant) -> Instant | None:
        """Return when a host will be found if it does not upload; None if it already is, or is not known."""


class SlowToFind(ABC):
    """A detector that may find a cause after other detectors have found its effects."""

    @abstractmethod
    def may_inhibit(self, fleet: Fleet, now: Instant) -> frozenset[Pair]:
        """Return which findings of hosts may turn out to have this symptom as their cause.

        They stay pending until that is decided, which must be soon: this symptom is found, or a fact refutes it.
        """


class SlowToEnd(ABC):
    """A detector whose incidents may need more than one evaluation without a finding before they end."""

    @abstractmethod
    def proof_us(self, fleet: Fleet, host: str, now: Instant) -> int:
        """Return for how long a host must have recovered before its incident ends, in microseconds.

        The configured time counts as well: the longer of the two applies.
        """


class Kind(Enum):
    """The kind of a setting's value. The configuration has a parser for each."""

    DURATION = "duration"
    """A span of time, such as `30m`; microseconds in the limits."""
    COUNT = "count"
    """A whole number of 1 or more."""
    RATIO = "ratio"
    """A share, greater than 0 and at most 1."""
    CADENCE = "cadence"
    """Which limit a host has, `fixed` or `learned`; True in the limits for `learned`."""
    SCHEDULE = "schedule"
    """When a host is expected to upload, such as `daily 02:00 +- 1h`; an `UploadSchedule` in the limits."""
    SUGGESTED_FIX = "suggested fix"
    """A text in which `$host` stands for the host; a `SuggestedFix` in the limits."""


class Subject(Enum):
    """The subject of a detector's findings."""

    HOST = "host"
    """One host each, under its name."""
    RECEIVER = "receiver"
    """A receiver: at most one finding of each, of `EVERY_HOST` if there is only one."""
    FLEET = "fleet"
    """The whole fleet: at most one finding, of `EVERY_HOST`."""


class Sign(Enum):
    """How a detector's sign of recovery (`sign_at`) relates to its findings: this decides which sign is new."""

    LATER = "later"
    """It contradicts the finding. A new one is later than the opening, and later than those known before."""
    MISSED = "missed"
    """It is what was missing. A new one was not known when the incident was last found, however late it is read.

    Time alone never ends such an incident. The host is lost if it shows no such sign for the whole lookback.
    """
    FIRST = "first"
    """There was none before, so any is new."""


@unique
class Stage(IntEnum):
    """The stage of a host's fault: a symptom of an earlier stage may be the cause of one of a later stage."""

    UNSTAMPED = 1
    """Uploads that carry no code stamp are refused."""
    MANY_REFUSED = 2
    ALL_REFUSED = 3
    NONE_ACCEPTED = 4
    FEWER_ACCEPTED = 5
    """Over a day, as none were for some time."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a detector.

    Attributes:
        key: Its key in the configuration, dotted.
        kind: The kind of its value.
        default: The default, as written in the file; None if it is off by default.
        attribute: The attribute of the detector's limits that holds it.
        help: Its meaning, in one or two sentences for the manual page of the configuration.
        elsewhere: The default text where the receiver is not that of the reference deployment; empty for the same text.
            `{status}` and `{log}` stand for the commands that show the state and the log of the receiver.

    """

    key: str
    kind: Kind
    default: str | float | None
    attribute: str
    help: str
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Settings of a detector that are valid by themselves but not together.

    Attributes:
        keys: The settings that are compared; the last one is reported.
        expected: What the last one must be.
        is_right: Returns whether limits do not have this contradiction.
        hint: What it leads to; may be empty.

    """

    keys: tuple[str, ...]
    expected: str
    is_right: Callable[[Any], bool]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Configured:
    """The part of a configuration that detectors depend on.

    Attributes:
        limits: Symptom -> its limits, or `HostLimits` of them if they may differ by host; only of detectors that have
            settings.
        switched_off: The symptoms whose detectors are off.
        expected: Globs of the expected hosts, without ignored ones.
        units: The receiver's units, by name or glob; empty if they are not known.

    """

    limits: Mapping[str, Any]
    switched_off: frozenset[str]
    expected: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What a detector declares about itself.

    Attributes:
        symptom: The symptom's name, as in alerts.
        message_id: The MESSAGE_ID of its alerts in the journal, 32 hex digits; the message catalog explains it.
        subject: The subject of its findings.
        needs: Alternatives of `index` and `journal`: it can evaluate if all sources of one alternative are seen.
        is_of_absence: Whether it finds that something is missing. It cannot evaluate just after the clock was set.
        switches: The keys that switch it off; each alone is enough.
        build: Builds the detector for a configuration.
        limits: The type of its limits, which is made from its settings; None without limits.
        settings: Its settings, without the switches.
        is_by_host: Whether `[[overrides]]` may set them for some hosts.
        contradictions: The combinations of its settings that are invalid.
        inhibits: The symptoms that `Finding.inhibits` may contain: its findings may be their cause.
        is_on_by_default: Whether it is on by default.
        is_on_where_learned: Whether it is on by default if the limit of any host is learned.
        urgency: How urgent its alerts are, from 1 to 5; from 4 on, a phone makes a sound.
        sign: Which signs of recovery are new and may end an incident.
        stage: The stage of a host's fault that it shows; None if it is not one.
        is_of_expected: Whether it is about expected hosts only.
        is_of_journal: Whether its findings may be `Finding.is_of_journal`.
        is_group: Whether its finding is notified for the whole group that it inhibits, whose members do not count.
        stops_uploads: Whether no host can upload while it lasts.
        grace_us: Returns for how long an incident of a host must be open before it is notified; None for no time.
        absence_us: Returns how long a host must be absent to be missed; None if absence does not matter.

    """

    symptom: str
    message_id: str
    subject: Subject
    needs: tuple[frozenset[str], ...]
    is_of_absence: bool
    switches: tuple[str, ...]
    build: Callable[[Configured], Detector]
    limits: type[Any] | None = None
    settings: tuple[Setting, ...] = ()
    is_by_host: bool = False
    contradictions: tuple[Contradiction, ...] = ()
    inhibits: tuple[str, ...] = ()
    is_on_by_default: bool = True
    is_on_where_learned: bool = False
    urgency: int = 3
    sign: Sign = Sign.LATER
    stage: Stage | None = None
    is_of_expected: bool = False
    is_of_journal: bool = False
    is_group: bool = False
    stops_uploads: bool = False
    grace_us: ByHost | None = None
    absence_us: ByHost | None = None


NOTHING = (frozenset[str](),)
INDEX = (frozenset({"index"}),)
JOURNAL = (frozenset({"journal"}),)
EITHER = (*INDEX, *JOURNAL)
BOTH = (frozenset({"index", "journal"}),)
"""What a detector may need."""


class Rule(ABC):
    """The base of detectors: it takes everything from its `SPEC`, and finds what its conditions define."""

    spec: ClassVar[DetectorSpec]

    @property
    def symptom(self) -> str:
        """The symptom's name."""
        return self.spec.symptom

    @property
    def name(self) -> str:
        """The symptom's name."""
        return self.spec.symptom

    @property
    def is_of_absence(self) -> bool:
        """Whether it finds that something is missing."""
        return self.spec.is_of_absence

    def is_about(self, subject: str) -> bool:
        """Return whether it is of the kind that the `SPEC` declares: a host, or none."""
        return is_host(subject) if self.spec.subject is Subject.HOST else subject == EVERY_HOST

    def can_evaluate(self, seen: Container[str]) -> bool:
        """Return whether enough of the sources is seen."""
        return any(all(source in seen for source in sources) for sources in self.spec.needs)

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find each candidate that meets the conditions."""
        for host in self.candidates(fleet, now):
            if are_met(self.conditions(fleet, host, now)):
                yield self.finding(fleet, host, now)

    def candidates(self, fleet: Fleet, now: Instant) -> Iterable[str]:
        """Return every host that may meet the conditions, each once.

        Conditions are made of words, which is too slow for every host at every evaluation: leave out hosts that
        obviously fail one of them.
        """
        del now
        return fleet.hosts() if self.spec.subject is Subject.HOST else (EVERY_HOST,)

    @abstractmethod
    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the conditions of a finding, for a host or for `EVERY_HOST`; none if it is not about such a host."""

    @abstractmethod
    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return the finding of a host, or of `EVERY_HOST`, that meets the conditions."""
