"""What a detector is, how it declares itself, and what it finds.

Each detector is one module. Its `SPEC` declares all that the rest of the program has to know of it: the configuration
keys, the MESSAGE_ID of its alerts, what it is about, which sources it needs, and how it is made. `registry` lists them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from fleet_health.model.subject import EVERY_HOST, is_host

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair

    ByHost: TypeAlias = Callable[[Mapping[str, Any], str], int]
    """Gives a length of time, from symptom -> its limits, as in `Configured`, and a host."""

PRESENT: Instant = 1 << 62
"""The sign of what an evaluation observes itself, and no timestamp of somebody else's shows: newer than any fact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A host shows a symptom at the instant of an evaluation.

    Attributes:
        host: The host, or `EVERY_HOST`.
        symptom: The detector's symptom, such as `silent`.
        detail: One sentence with the figures, on one line.
        suggested_fix: One or two sentences for the person who will mend it.
        inhibits: The findings of hosts that this one is the cause of, each as host and symptom, whether or not they
            are found as well.
        since: Since when it has been so, as far as that is known; None if it is not.
        is_of_journal: Whether all that is wrong is that the journal lacks uploads: two detectors find that.

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
    """One condition of a finding: what was seen, against its limit.

    A detector that can find in several ways has a group of conditions for each.

    Attributes:
        name: What is looked at.
        value: What was seen of it.
        limit: What it takes for a finding.
        key: The setting that the limit is; empty if it is none.
        is_met: Whether it is so.
        way: The way that it belongs to; empty if there is only one.

    """

    name: str
    value: str
    limit: str
    key: str
    is_met: bool
    way: str = ""


def are_met(conditions: Iterable[Condition]) -> bool:
    """Return whether all conditions of some way are met; False if there are none."""
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
        """Return from when on every upload must be known to evaluate at an instant; the instant if none need be."""
        return at - self.uploads_us - self.rhythm_us if self.rhythm_us else at


class Detector(Protocol):
    """Finds the hosts with one symptom. It keeps nothing from one evaluation to the next."""

    @property
    def symptom(self) -> str:
        """The symptom's name, as it stands in the alerts."""

    @property
    def name(self) -> str:
        """The symptom's name; with that of the receiver, `receiver-down@NAME`, if there is a detector for each."""

    @property
    def is_of_absence(self) -> bool:
        """Whether it finds that something is missing, which nobody can say just after the clock was set."""

    @property
    def lookback(self) -> Lookback:
        """How far back the fleet must be known for `find` to be exact."""

    def can_evaluate(self, seen: Container[str]) -> bool:
        """Return whether it is enough to see these sources, of `index` and `journal`, to evaluate at all.

        Which stretches of time they have shown, `find` and `is_over` look up themselves.
        """

    def is_about(self, subject: str) -> bool:
        """Return whether it can find something of a host, of `EVERY_HOST` or of a receiver."""

    def find(self, fleet: Fleet, now: Instant) -> Iterable[Finding]:
        """Return which hosts show the symptom at `now`, each at most once, in any order."""

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return what `find` goes by for a host, or for `EVERY_HOST`: it is a finding just if they `are_met`.

        Nothing is given where the detector is not about such a host.
        """

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return whether a host that showed the symptom, and no longer does, is seen to be well.

        That nothing is seen of it is not enough, nor is a window of which a part was not seen. It is necessary for an
        end, and not sufficient: `sign_at` must also be a new fact, unless the limits have changed.
        """

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return the timestamp of the newest fact that speaks for an end, such as an accepted upload; None without one.

        It is the fact's own timestamp, never the present, and may lie ahead of the clock: an incident ends only by a
        fact that is newer than itself. `PRESENT` stands for what the evaluation itself observes.
        """

    def limits_of(self, host: str) -> str:
        """Return the figures that decide for a host, as one text: where it differs, the limits have changed."""


@runtime_checkable
class Watching(Protocol):
    """A detector that goes on looking at a host for a time after its last upload that may differ by its rhythm."""

    def watched_us(self, fleet: Fleet, host: str) -> int:
        """Return for how long a host is watched after its last upload, in microseconds."""


@runtime_checkable
class Foreseeing(Protocol):
    """A detector that knows when it will find a host that shows no more signs."""

    def finds_at(self, fleet: Fleet, host: str, now: Instant) -> Instant | None:
        """Return from when on a host is found if it uploads no more; None if it is found, or nothing is known of it."""


@runtime_checkable
class SlowToFind(Protocol):
    """A detector that may find a cause later than others find what follows from it."""

    def may_explain(self, fleet: Fleet, now: Instant) -> frozenset[Pair]:
        """Return which findings of hosts may turn out to have this symptom as their cause.

        They wait until that is decided, which must be soon: either this symptom is found, or a fact refutes it.
        """


@runtime_checkable
class SlowToEnd(Protocol):
    """A detector whose incidents may need more than an evaluation to be seen to be over."""

    def proof_us(self, fleet: Fleet, host: str) -> int:
        """Return for how long a host must be seen to be well before its incident ends, in microseconds.

        What the configuration says counts as well: the longer of the two.
        """


class Kind(Enum):
    """What kind of value a setting takes. The configuration has a reader for each."""

    DURATION = "duration"
    """A stretch of time, such as `30m`; microseconds in the limits."""
    COUNT = "count"
    """A whole number of 1 or more."""
    RATIO = "ratio"
    """A share, greater than 0 and at most 1."""
    CADENCE = "cadence"
    """By what a host is missed, `fixed` or `learned`; for the latter True in the limits."""
    SCHEDULE = "schedule"
    """When a host is expected to upload, such as `daily 02:00 +- 1h`; an `UploadSchedule` in the limits."""
    SUGGESTED_FIX = "suggested fix"
    """A text in which `$host` stands for the host; a `SuggestedFix` in the limits."""


class Subject(Enum):
    """What a detector's findings are about."""

    HOST = "host"
    """One host each, under its name."""
    RECEIVER = "receiver"
    """A receiver: at most one finding of each, of `EVERY_HOST` if there is only one."""
    FLEET = "fleet"
    """All that is watched: at most one finding, of `EVERY_HOST`."""


class Sign(Enum):
    """What a detector's sign (`sign_at`) is to its findings, and so which one is new to an incident and may end it."""

    LATER = "later"
    """It speaks against the finding. New is one that is later than the opening, and than what was known before."""
    MISSED = "missed"
    """It is what is missed. New is one that was not known when the incident was found last, however late it is read.

    The passing of time never ends such an incident. The host is lost if it shows no such sign for the whole lookback.
    """
    FIRST = "first"
    """There never was one. Any is new."""


class Stage(IntEnum):
    """How far one fault of a host has gone: what was found at an earlier stage may be the cause of a later one."""

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
        kind: What it takes.
        default: As it would be written in the file; None if it is off by default.
        attribute: The attribute of the detector's limits that it becomes.
        help: What it means, in one or two sentences for the configuration's manual page.
        elsewhere: A text that is the default where the unit of the reference deployment is not watched; empty if the
            default is. `{status}` and `{log}` stand for the commands that show the state and the lines of the receiver.

    """

    key: str
    kind: Kind
    default: str | float | None
    attribute: str
    help: str
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Settings of a detector that are right each by itself, and impossible together.

    Attributes:
        keys: The settings that are compared; the last one is reported.
        expected: What that one must be.
        is_right: Says whether limits are free of it.
        hint: What follows from it; may be empty.

    """

    keys: tuple[str, ...]
    expected: str
    is_right: Callable[[Any], bool]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration, as far as detectors go by it.

    Attributes:
        limits: Symptom -> its limits: `HostLimits` of them where they may differ by host. Those that have no settings
            are left out.
        switched_off: The symptoms that are not looked for.
        expected: Globs of the hosts that are expected, without those that are ignored.
        units: The receiver's units, by name or glob; none if they are not known.

    """

    limits: Mapping[str, Any]
    switched_off: frozenset[str]
    expected: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What a detector declares of itself.

    Attributes:
        symptom: The symptom's name, as it stands in the alerts.
        message_id: The MESSAGE_ID of its alerts in the journal, 32 hex digits; the message catalog explains it.
        subject: What it finds something out about.
        needs: Alternatives: it can evaluate if each source of one of them is seen, of `index` and `journal`.
        is_of_absence: Whether it finds that something is missing, which nobody can say just after the clock was set.
        switches: The keys that switch it off, each by itself.
        build: Makes the detector for a configuration.
        limits: The type of its limits, made of its settings; None if it has none.
        settings: Its settings, beside the switches.
        is_by_host: Whether `[[overrides]]` may set them for some hosts.
        contradictions: What its limits must not be together.
        inhibits: The symptoms that its findings may be the cause of: those that `Finding.inhibits` may name.
        is_on_by_default: What its switches are by default.
        sign: Which of its signs may end an incident.
        stage: How far the fault of a host has gone that shows it; None if it is no stage of that fault.
        is_of_expected: Whether it is about expected hosts alone, and so about none that is no longer expected.
        is_of_journal: Whether its findings may be `Finding.is_of_journal`.
        is_group: Whether what its finding inhibits is notified as one, and does not count by itself.
        stops_uploads: Whether no host can upload while it lasts.
        grace_us: Gives for how long an incident of a host must have stood before it is notified, by the limits of each
            symptom; None for no time.
        absence_us: Gives how long its host must be absent to be missed, likewise; None if absence is no matter to it.

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
    """A detector that is what its `SPEC` says, and finds just what its conditions say."""

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
        """Return whether it is a host, or no host, as the `SPEC` says."""
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

        Conditions are put into words, which is too dear for each host at each evaluation: a detector leaves out what
        fails one of them at a glance.
        """
        del now
        return fleet.hosts() if self.spec.subject is Subject.HOST else (EVERY_HOST,)

    @abstractmethod
    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return the conditions of a finding, for a host or for `EVERY_HOST`; none if it is not about such a host."""

    @abstractmethod
    def finding(self, fleet: Fleet, host: str, now: Instant) -> Finding:
        """Return the finding of a host, or of `EVERY_HOST`, that meets the conditions."""
