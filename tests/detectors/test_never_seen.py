"""`never-seen`: a host that is expected and has never uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.incidents import Incidents
from fleet_health.detectors.evaluation import evaluate, evict, lookback_of
from fleet_health.detectors.limits import HostLimits
from fleet_health.detectors.never_seen import NeverSeen, NeverSeenLimits
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.host_globs import HostGlobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

HOUR = 3_600_000_000


def never_seen(*expected: str) -> NeverSeen:
    """Make the detector."""
    return NeverSeen(expected, 24 * HOUR, HostLimits(NeverSeenLimits(HOUR, SuggestedFix("Look at $host."))))


@pytest.mark.parametrize(
    ("expected", "uploaded", "lost", "found"),
    [
        (["a"], [], [], ["a"]),
        (["a"], ["a"], [], []),
        (["a"], ["b"], [], ["a"]),
        (["a"], [], ["a"], []),
        (["pi-*"], [], [], ["pi-*"]),
        (["pi-*"], ["pi-1"], [], []),
        (["pi-*"], ["api-1"], [], ["pi-*"]),
        (["pi-*"], [], ["pi-9"], []),
        (["pi-*", "pi-1", "pi-2"], ["pi-1"], [], ["pi-2"]),
        (["PI-1"], ["pi-1"], [], ["PI-1"]),
        ([], [], [], []),
    ],
)
def test_what_is_expected_and_unknown_is_found(  # noqa: PLR0917
    expected: list[str],
    uploaded: list[str],
    lost: list[str],
    found: list[str],
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """A name until it uploads, a glob until any host that it matches does; a lost host has been seen."""
    fleet = fleet_of(uploads=[(host, HOUR) for host in uploaded])
    fleet.lost = frozenset(lost)
    detector = never_seen(*expected)

    assert [finding.host for finding in detector.find(fleet, now)] == found
    assert all(detector.is_over(fleet, glob, now) == (glob not in found) for glob in expected if not lost)


def test_who_is_lost_from_this_tick_on_was_seen(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Its last upload is forgotten in the same evaluation that finds it lost."""
    silent = Silent(HostLimits(SilentLimits(HOUR, 24 * HOUR, SuggestedFix("x"))))
    detectors, incidents = (silent, never_seen("a")), Incidents()
    fleet = fleet_of(uploads=[("a", 24 * HOUR)])
    opened = []
    for at in (now, now + 1, now + 2):
        evict(fleet, lookback_of(detectors), at)
        fleet.lost = incidents.once_uploaded
        incidents.update(evaluate(fleet, detectors, at, incidents.open))
        opened.append(sorted(incidents.open))

    assert opened == [[("a", "silent")]] * 3
    assert [one.host for one in incidents.open.values() if one.lost_at is not None] == ["a"]


def test_who_is_only_refused_was_never_seen(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Only an accepted upload counts."""
    (finding,) = never_seen("a").find(fleet_of(responses=[("a", HOUR, 412)]), now)

    assert finding.detail == "it is expected, and no accepted upload of it is known"
    assert finding.suggested_fix == "Look at a."


def test_the_ignored_take_no_place(fleet_of: Callable[..., Fleet]) -> None:
    """They are in neither table, and no other host is left out because of them."""
    fleet = fleet_of(
        uploads=[("bench-1", 1), ("a", 1)],
        responses=[("bench-1", 1, 412), ("a", 1, 412), ("bench-2", 1, 412)],
        unstamped=[("bench-3", 1)],
        host_limit=1,
        ignored=HostGlobs(("bench-*", "spare")),
    )

    assert set(fleet.hosts()) == {"a"}
    assert [one.count for one in (fleet.uploads.left_out, *fleet.traffic.left_out)] == [0, 0, 0]
