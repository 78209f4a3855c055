"""What goes wrong in a simulated fleet, and what follows from it: the truth that verdicts are held against.

A cause changes what becomes of the attempts to upload while it lasts. It knows which incidents name it (`right`), and
which are only its consequences (`collateral`); any other incident about the same hosts in that time is misattributed.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.simulation.rhythms import HOUR, MINUTE, SECOND, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from tests.simulation.rhythms import SimulatedHost

RECEIVER = "*"
"""In the place of a host: the receiver, or fleet-health's own sight."""

ANY_HOST = "any host"
"""In the place of a host: whichever of those that the cause touches."""


@dataclass(slots=True)
class Attempt:
    """An attempt to upload, and what becomes of it.

    Attributes:
        host: Who makes it.
        at: When.
        status: What the receiver answers; None if it does not get that far.
        is_unstamped: Whether it is refused for want of a code stamp.
        has_row: Whether the index gets a row, if it is accepted.
        has_entry: Whether the journal gets its line.
        row_at: What the row is dated; None for `at`.
        rows: How many rows the index gets of it.

    """

    host: str
    at: int
    status: int | None = 201
    is_unstamped: bool = False
    has_row: bool = True
    has_entry: bool = True
    row_at: int | None = None
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Cause:
    """What goes wrong, with whom, and from when until when.

    Attributes:
        kind: What it is.
        hosts: Whom it touches; the whole fleet if it is the receiver's.
        span: How long it lasts.
        right: (host or `ANY_HOST` or `RECEIVER`, symptom) of the incidents that name it.
        collateral: The same of those that follow from it.
        change: Changes an attempt within the span; may return further ones that the host makes because of it.
        is_to_be_found: Whether it leaves a trace that some detector is for, or should be.
        is_news_once: Whether it is no fault, though nobody has said so: one incident that names it is right, and each
            further one is false.

    """

    kind: str
    hosts: frozenset[str]
    span: Span
    right: frozenset[tuple[str, str]]
    collateral: frozenset[tuple[str, str]]
    change: Callable[[Attempt], Sequence[Attempt]] = field(compare=False)
    is_to_be_found: bool = True
    is_news_once: bool = False

    def names(self, host: str, symptom: str) -> bool:
        """Return whether an incident names this cause."""
        return self._has(self.right, host, symptom)

    def explains(self, host: str, symptom: str) -> bool:
        """Return whether an incident follows from this cause."""
        return self._has(self.collateral, host, symptom)

    @property
    def is_refusal(self) -> bool:
        """Whether it is that a host's uploads are refused."""
        return any(symptom in {"fatal-only", "unstamped", "degraded"} for _, symptom in self.right)

    def touches(self, host: str) -> bool:
        """Return whether an incident about a host can have anything to do with it."""
        return host in self.hosts or host.startswith(RECEIVER)

    def _has(self, pairs: Collection[tuple[str, str]], host: str, symptom: str) -> bool:
        return (host, symptom) in pairs or (host in self.hosts and (ANY_HOST, symptom) in pairs)


def _nothing(_: Attempt) -> Sequence[Attempt]:
    return ()


def _never_made(attempt: Attempt) -> Sequence[Attempt]:
    attempt.status = None
    return ()


def _answered(status: int) -> Callable[[Attempt], Sequence[Attempt]]:
    def change(attempt: Attempt) -> Sequence[Attempt]:
        attempt.status = status
        return ()

    return change


def _refused_with_retries(attempt: Attempt) -> Sequence[Attempt]:
    attempt.status = 412
    return [Attempt(attempt.host, attempt.at + number * 30 * SECOND, status=412) for number in (1, 2, 3)]


def _unstamped(attempt: Attempt) -> Sequence[Attempt]:
    attempt.status, attempt.is_unstamped = 412, True
    return ()


def _sometimes(
    random: Random, share: float, change: Callable[[Attempt], Sequence[Attempt]]
) -> Callable[[Attempt], Sequence[Attempt]]:
    def changed(attempt: Attempt) -> Sequence[Attempt]:
        return change(attempt) if random.random() < share else ()

    return changed


def _flapping(span: Span) -> Callable[[Attempt], Sequence[Attempt]]:
    """Be away for 45 minutes of each hour."""

    def change(attempt: Attempt) -> Sequence[Attempt]:
        return _never_made(attempt) if (attempt.at - span.begin) % HOUR < 45 * MINUTE else ()

    return change


def _falling(random: Random, span: Span) -> Callable[[Attempt], Sequence[Attempt]]:
    """Upload less and less."""

    def change(attempt: Attempt) -> Sequence[Attempt]:
        share = (attempt.at - span.begin) / (span.end - span.begin)
        return _never_made(attempt) if random.random() < share else ()

    return change


def _without_row(attempt: Attempt) -> Sequence[Attempt]:
    attempt.has_row = False
    return ()


def _without_entry(attempt: Attempt) -> Sequence[Attempt]:
    attempt.has_entry = False
    return ()


def _dated_wrong(attempt: Attempt) -> Sequence[Attempt]:
    attempt.row_at = attempt.at - 2 * HOUR
    return ()


def _of_host(*symptoms: str) -> frozenset[tuple[str, str]]:
    return frozenset((ANY_HOST, symptom) for symptom in symptoms)


def _of_receiver(*symptoms: str) -> frozenset[tuple[str, str]]:
    return frozenset((RECEIVER, symptom) for symptom in symptoms)


NONE: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of cause.

    Attributes:
        scope: Whom it touches: `host`, `segment` (a quarter of the fleet), `part` (half of it) or `receiver`.
        hours: The shortest and the longest that it lasts.
        right: What names it.
        collateral: What follows from it.
        changing: Makes what changes an attempt, from the span of the cause.
        is_to_be_found: Whether some detector is for it, or should be.

    """

    scope: str
    hours: tuple[float, float]
    right: frozenset[tuple[str, str]]
    collateral: frozenset[tuple[str, str]]
    changing: Callable[[Random, Span], Callable[[Attempt], Sequence[Attempt]]]
    is_to_be_found: bool = True


def _always(change: Callable[[Attempt], Sequence[Attempt]]) -> Callable[[Random, Span], Callable[..., Any]]:
    return lambda _random, _span: change


KINDS: dict[str, Kind] = {
    "dead": Kind("host", (2, 30), _of_host("silent"), NONE, _always(_never_made)),
    "uploader stopped": Kind("host", (1, 4), _of_host("silent"), NONE, _always(_never_made)),
    "refused": Kind("host", (2, 12), _of_host("fatal-only"), _of_host("silent"), _always(_answered(412))),
    "refused, with retries": Kind(
        "host", (2, 12), _of_host("fatal-only"), _of_host("silent"), _always(_refused_with_retries)
    ),
    "unstamped": Kind("host", (2, 12), _of_host("unstamped"), _of_host("fatal-only", "silent"), _always(_unstamped)),
    "one worker of two unstamped": Kind(
        "host",
        (6, 24),
        _of_host("unstamped"),
        _of_host("degraded"),
        lambda random, _: _sometimes(random, 0.5, _unstamped),
    ),
    "half refused": Kind(
        "host",
        (8, 24),
        _of_host("degraded"),
        _of_host("fatal-only", "silent"),
        lambda random, _: _sometimes(random, 0.5, _answered(422)),
    ),
    "nearly all refused": Kind(
        "host",
        (8, 24),
        _of_host("degraded", "fatal-only"),
        _of_host("silent"),
        lambda random, _: _sometimes(random, 0.9, _answered(422)),
    ),
    "rate halved": Kind(
        "host", (24, 48), _of_host("slow", "silent"), NONE, lambda random, _: _sometimes(random, 0.5, _never_made)
    ),
    "rate falling": Kind("host", (24, 72), _of_host("slow", "silent"), NONE, _falling),
    # Away for most of each hour, it uploads far less as well.
    "flapping": Kind("host", (6, 18), _of_host("silent", "slow"), NONE, lambda _, span: _flapping(span)),
    "segment unreachable": Kind("segment", (1, 5), _of_host("silent"), NONE, _always(_never_made)),
    "receiver stopped": Kind(
        "receiver", (0.5, 5), _of_receiver("receiver-down"), _of_host("silent"), _always(_never_made)
    ),
    "receiver hanging": Kind(
        "receiver", (1, 4), _of_receiver("receiver-down"), _of_host("silent"), _always(_never_made)
    ),
    "all answers 5xx": Kind(
        "receiver",
        (1, 4),
        _of_receiver("receiver-failing"),
        _of_host("silent", "fatal-only") | _of_receiver("receiver-down"),
        _always(_answered(503)),
    ),
    "half of the answers 5xx": Kind(
        "receiver",
        (2, 6),
        _of_receiver("receiver-failing"),
        _of_host("silent"),
        lambda random, _: _sometimes(random, 0.5, _answered(500)),
    ),
    "5xx for a part of the fleet": Kind(
        "part", (2, 6), _of_receiver("receiver-failing"), _of_host("silent", "fatal-only"), _always(_answered(503))
    ),
    "index not written": Kind("receiver", (1, 6), _of_receiver("index-stalled"), NONE, _always(_without_row)),
    "rows dated by a wrong zone": Kind("receiver", (3, 8), _of_receiver("index-stalled"), NONE, _always(_dated_wrong)),
    "journal suppressed": Kind(
        "receiver", (1, 4), _of_receiver("journal-lossy", "blind"), NONE, _always(_without_entry)
    ),
    "journal suppressed, unsaid": Kind(
        "receiver", (1, 4), _of_receiver("journal-lossy", "blind"), NONE, _always(_without_entry)
    ),
}
"""The kinds of causes."""

SAID = "journal suppressed"
"""The kind of which journald says that it dropped lines."""
CHANGED = "rhythm changed"
"""What is said of a host that changes its rhythm for good."""
STOPPED = "receiver stopped"
"""The kind of which systemd says that the unit stopped, and started again."""

# Two causes of the receiver are this far apart, and so are two of a host: what follows from one is over by then.
_APART = 26 * HOUR
# No interval of a steady host is so long.
_STEADY = 15 * MINUTE


def draw_causes(random: Random, kinds: Sequence[str], hosts: Sequence[SimulatedHost], span: Span) -> list[Cause]:
    """Draw one cause of each kind named, at random times, so that no two are mixed up; leave out what finds no room."""
    causes: list[Cause] = []
    for name in kinds:
        kind = KINDS[name]
        for _ in range(200):
            length = int(random.uniform(*kind.hours) * HOUR)
            begin = random.randint(span.begin, max(span.begin, span.end - length))
            when = Span(begin, begin + length)
            touched = _touched(random, kind.scope, hosts, when)
            if touched and all(_is_apart(when, touched, kind.scope, other) for other in causes):
                change = kind.changing(random, when)
                causes.append(Cause(name, touched, when, kind.right, kind.collateral, change, kind.is_to_be_found))
                break
    return sorted(causes, key=lambda cause: cause.span.begin)


def retirements(hosts: Sequence[SimulatedHost], span: Span) -> list[Cause]:
    """Return the hosts that were taken out of the fleet: nobody has said so, thus `silent` is right, once."""
    return [
        Cause(
            *("retired", frozenset([host.name]), Span(host.life.end, span.end), _of_host("silent"), NONE, _nothing),
            is_news_once=True,
        )
        for host in hosts
        if span.begin < host.life.end < span.end
    ]


def changes(hosts: Sequence[SimulatedHost], span: Span) -> list[Cause]:
    """Return the hosts that upload far less often from some instant on, for good.

    Nobody has said so, and until they upload again they are as silent as a dead one: that is right, once. It need not
    be found, as nothing is wrong with them.
    """
    found = []
    for host in hosts:
        if host.kind == "changed":
            at = next((one for one, later in pairwise(host.attempts) if later - one > _STEADY), span.end)
            if span.begin < at < span.end:
                day = Span(at, min(at + 24 * HOUR, span.end))
                right = _of_host("silent", "slow")
                cause = Cause(CHANGED, frozenset([host.name]), day, right, NONE, _nothing, is_to_be_found=False)
                found.append(replace(cause, is_news_once=True))
    return found


def _touched(random: Random, scope: str, hosts: Sequence[SimulatedHost], when: Span) -> frozenset[str]:
    """Draw whom it touches: a single host is one that uploads meanwhile, or there would be nothing to see."""
    names = [host.name for host in hosts]
    if scope == "receiver":
        return frozenset(names)
    if scope != "host":
        return frozenset(random.sample(names, max(1, len(names) // (4 if scope == "segment" else 2))))
    at_work = [
        host.name for host in hosts if bisect_left(host.attempts, when.end) - bisect_left(host.attempts, when.begin) > 2
    ]
    return frozenset([random.choice(at_work)]) if at_work else frozenset()


def _is_apart(when: Span, touched: frozenset[str], scope: str, other: Cause) -> bool:
    is_far = when.end + _APART < other.span.begin or other.span.end + _APART < when.begin
    return is_far or (scope == "host" and KINDS[other.kind].scope == "host" and touched.isdisjoint(other.hosts))
