"""What a gap in the journal may hide about a host, and what rules it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.fatal_only import FatalOnly, FatalOnlyLimits
from fleet_health.detectors.hidden import hidden_verdicts, in_words
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import Unstamped, UnstampedLimits
from fleet_health.model.coverage import CLOCK_SET, REMOVED, SUPPRESSED, Coverage, Gap

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000
WINDOW = 30 * MINUTE
FIX = SuggestedFix("fix $host")
FATAL_ONLY = FatalOnlyLimits(WINDOW, 10, 0.95, FIX, FIX, FIX)
UNSTAMPED = UnstampedLimits(WINDOW, 10, FIX)
DETECTORS = (
    Silent(HostLimits(SilentLimits(WINDOW, 24 * WINDOW, FIX))),
    FatalOnly(HostLimits(FATAL_ONLY)),
    Unstamped(HostLimits(UNSTAMPED)),
)
BOTH = ("fatal-only", "unstamped")
BRIEF, LONG = (10, 9), (20, 4)


def journal(*gaps: tuple[float, float, int], reason: str = SUPPRESSED) -> Callable[[Instant], tuple[Coverage, ...]]:
    """Make a journal with gaps of some ages in minutes, with so many messages each."""
    return lambda now: (
        Coverage(
            "journal",
            gaps=tuple(Gap(now - int(a * MINUTE), now - int(b * MINUTE), reason, n) for a, b, n in gaps),
        ),
    )


@pytest.mark.parametrize(
    ("coverage", "uploads", "responses", "unstamped", "hidden"),
    [
        pytest.param(journal(), [], [], [], (), id="a whole journal hides nothing"),
        pytest.param(journal((*BRIEF, 10)), [], [], [], BOTH, id="nothing was seen of it, and enough is missing"),
        pytest.param(journal((*BRIEF, 9)), [], [], [], (), id="fewer are missing than a finding takes"),
        pytest.param(journal((*BRIEF, 9)), [], [(1, 412)], [], BOTH[:1], id="with those that were seen it is enough"),
        pytest.param(journal((*BRIEF, 5)), [], [(1, 412)] * 4, [], (), id="with those that were seen it is not"),
        pytest.param(journal((*BRIEF, 9)), [], [], [1], BOTH[1:], id="enough refusals without a stamp"),
        pytest.param(journal((*BRIEF, 5), (3, 2, 5)), [], [], [], BOTH, id="two gaps together"),
        pytest.param(journal((*BRIEF, 5), (40, 30.1, 50)), [], [], [], (), id="one of them is before the window"),
        pytest.param(journal((*BRIEF, 0), reason=REMOVED), [], [], [], BOTH, id="nobody knows how many are missing"),
        pytest.param(journal((*BRIEF, 0), reason=CLOCK_SET), [], [], [], BOTH, id="the clock was set"),
        pytest.param(journal((*BRIEF, 99)), [], [(2, 201)], [], (), id="a success rules it out"),
        pytest.param(journal((*BRIEF, 99)), [], [(29, 201)], [], (), id="also one before the gap"),
        pytest.param(journal((*BRIEF, 99)), [2], [], [], (), id="so does a row of the index"),
        pytest.param(journal((*BRIEF, 99)), [31], [(31, 201)], [], BOTH, id="what was before the window does not"),
        pytest.param(journal((*LONG, 99)), [2], [(2, 201)], [], BOTH[1:], id="who delivers may be unstamped as well"),
        pytest.param(journal((*LONG, 9)), [2], [(2, 201)], [], (), id="but for that too few are missing"),
        pytest.param(journal((24, 9, 99)), [2], [(2, 201)], [], (), id="if half of the window was seen it would show"),
        pytest.param(journal((24, 9, 99)), [], [], [], BOTH, id="of who does not deliver it would not"),
        pytest.param(lambda now: (Coverage("journal", now - MINUTE),), [], [], [], BOTH, id="it is not read at all"),
        pytest.param(lambda now: (Coverage("index", now - MINUTE),), [], [], [], (), id="the index does not matter"),
    ],
)
def test_what_a_gap_hides(  # noqa: PLR0917
    coverage: Callable[[Instant], tuple[Coverage, ...]],
    uploads: list[float],
    responses: list[tuple[float, int]],
    unstamped: list[float],
    hidden: tuple[str, ...],
    fleet_of: Callable[..., Fleet],
    now: Instant,
) -> None:
    """About one host; ages are in minutes."""
    fleet = fleet_of(
        uploads=[("pi-1", int(age * MINUTE)) for age in uploads],
        responses=[("pi-1", int(age * MINUTE), status) for age, status in responses],
        unstamped=[("pi-1", int(age * MINUTE)) for age in unstamped],
    )
    fleet.coverage = coverage(now)

    assert hidden_verdicts(fleet, DETECTORS, lambda: ["pi-1"], now) == dict.fromkeys(hidden, frozenset({"pi-1"}))


def test_each_host_goes_by_its_own_window(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """A gap within one host's window may be before another's."""
    overrides = [Override("short-*", {"window_us": 5 * MINUTE}), Override("strict-*", {"min_count": 3})]
    fleet = fleet_of()
    fleet.coverage = journal((*BRIEF, 5))(now)
    detector = FatalOnly(HostLimits(FATAL_ONLY, overrides))

    assert hidden_verdicts(fleet, [detector], lambda: ["pi-1", "short-1", "strict-1"], now) == {
        "fatal-only": frozenset({"strict-1"})
    }


def test_it_is_said_in_words() -> None:
    """For one host, and for several."""
    assert in_words({"fatal-only": 1, "unstamped": 42}) == "fatal-only of 1 host, unstamped of 42 hosts"
