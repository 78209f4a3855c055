"""One evaluation: every detector runs, whatever the others do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleet_health.alerting.incidents import Incidents
from fleet_health.detectors.evaluation import DetectorFailure, Evaluation, evaluate, evict, lookback_of
from fleet_health.detectors.spec import Condition, Finding, Lookback
from fleet_health.model.fleet import Fleet
from fleet_health.model.observation import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from fleet_health.model.instant import Instant
    from fleet_health.model.subject import Pair


def finding(host: str, symptom: str) -> Finding:
    """Make a finding without any figures."""
    return Finding(host, symptom, "detail", "fix")


def limits(found: Sequence[Finding]) -> dict[Pair, str]:
    """Return the limits that findings were found by."""
    return {(one.host, one.symptom): "its limits" for one in found}


@dataclass(frozen=True)
class Finds:
    """A detector that finds what it is told to, then raises if it is told to."""

    symptom: str
    hosts: tuple[str, ...] = ()
    error: Exception | None = None
    lookback: Lookback = field(default_factory=Lookback)
    is_of_absence: bool = False
    needs: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Return the symptom."""
        return self.symptom

    def is_about(self, subject: str) -> bool:
        """Say yes."""
        del subject
        return True

    def can_evaluate(self, seen: Container[str]) -> bool:
        """Return whether what it needs is seen."""
        return all(one in seen for one in self.needs)

    def find(self, fleet: Fleet, now: Instant) -> Iterator[Finding]:
        """Find the hosts."""
        assert (type(fleet), type(now)) == (Fleet, int)
        yield from (finding(host, self.symptom) for host in self.hosts)
        if self.error:
            raise self.error

    def conditions(self, fleet: Fleet, host: str, now: Instant) -> Sequence[Condition]:
        """Return none."""
        del fleet, host, now
        return ()

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return none."""
        del fleet, host
        return None

    def limits_of(self, host: str) -> str:
        """Return something."""
        del host
        return "its limits"

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Say no."""
        del fleet, host, now
        return False


def test_findings_are_sorted_by_host_then_symptom(now: Instant) -> None:
    """The order of the detectors does not matter."""
    detectors = [Finds("x", ("b", "a")), Finds("w", ("b",))]

    found = (finding("a", "x"), finding("b", "w"), finding("b", "x"))
    assert evaluate(Fleet(), detectors, now) == Evaluation(now, found, evaluated=frozenset("wx"), limits=limits(found))


def test_a_detector_that_raises_does_not_stop_the_others(now: Instant) -> None:
    """The findings of the others stand; its own partial result is dropped."""
    first, second = RuntimeError("first"), ValueError("second")
    detectors = [Finds("v", ("a",)), Finds("w", ("a",), first), Finds("x", ("a",)), Finds("y", (), second)]

    found = (finding("a", "v"), finding("a", "x"))
    assert evaluate(Fleet(), detectors, now) == Evaluation(
        now,
        found,
        (DetectorFailure("w", first), DetectorFailure("y", second)),
        frozenset("vx"),
        limits=limits(found),
    )


def test_without_detectors_nothing_is_found(now: Instant) -> None:
    """The evaluation is empty, and needs no lookback."""
    assert evaluate(Fleet(), [], now) == Evaluation(now, ())
    assert lookback_of([]) == Lookback()


def test_evaluating_twice_at_one_instant_adds_no_alert(now: Instant) -> None:
    """The second evaluation has the same findings and no alert."""
    incidents, detectors = Incidents(), [Finds("x", ("a", "b")), Finds("y", ("a",))]

    first, second = (evaluate(Fleet(), detectors, now) for _ in range(2))

    assert first == second
    assert [len(incidents.update(evaluation).alerts) for evaluation in (first, second)] == [3, 0]


def test_the_reach_is_the_longest_of_each_source() -> None:
    """The lookback of a source is the longest that any detector needs."""
    detectors = [Finds("x", lookback=Lookback(5, 1)), Finds("y", lookback=Lookback(2, 7)), Finds("z")]

    assert lookback_of(detectors) == Lookback(5, 7)


def test_eviction_keeps_what_the_reach_ends_with(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """An event exactly as old as the lookback stays; one microsecond older is forgotten. Each source has its own."""
    fleet = fleet_of(
        uploads=[("kept", 50), ("gone", 51)],
        responses=[("kept", 20, 201), ("gone", 21, 412)],
        unstamped=[("kept too", 20), ("gone", 21)],
    )

    evict(fleet, Lookback(uploads_us=50, traffic_us=20), now)

    assert dict(fleet.uploads.items()) == {"kept": now - 50}
    assert sorted(host for host, _ in fleet.traffic.items()) == ["kept", "kept too"]


@dataclass(frozen=True)
class Recovers(Finds):
    """A detector that sees each host recover, by a sign of `now`."""

    def is_over(self, fleet: Fleet, host: str, now: Instant) -> bool:
        """Return True."""
        del fleet, host, now
        return True

    def sign_at(self, fleet: Fleet, host: str) -> Instant | None:
        """Return some instant."""
        del fleet, host
        return 7


def test_a_detector_that_cannot_look_for_findings_still_sees_recoveries(now: Instant) -> None:
    """It finds nothing, has evaluated nothing, and shows no limits; the source that is left may show a recovery."""
    incidents = [("a", "x"), ("b", "y")]

    evaluation = evaluate(Fleet(), [], now, incidents, [Recovers("x", ("c",)), Finds("y", ("c",))])

    assert evaluation == Evaluation(now, (), over=frozenset({("a", "x")}), signs={("a", "x"): 7})


def test_of_an_exchanged_source_only_what_was_seen_since_proves_an_end(now: Instant) -> None:
    """An earlier incident is unproved until each source that its detector needs shows something new."""
    fleet = Fleet()
    fleet.exchanged = {"journal": now - 5}
    detectors = [Finds("by-journal", needs=frozenset({"journal"})), Finds("by-index", needs=frozenset({"index"}))]
    incidents = [("a", "by-journal"), ("a", "by-index"), ("b", "by-journal")]
    fleet.traffic.record([Response("a", now - 5, 201), Response("b", now - 4, 201)])

    assert evaluate(fleet, detectors, now, incidents).unproved == {("a", "by-journal"): now - 5}
