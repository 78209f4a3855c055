"""`receiver-down`: systemd reports that the unit is down, or no host uploads any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.receiver_down import ReceiverDown, ReceiverDownLimits
from fleet_health.detectors.silent import SilentLimits
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.instant import HOUR_US, SECOND_US
from fleet_health.model.observation import UnitState
from fleet_health.model.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fleet_health.model.fleet import Fleet
    from fleet_health.model.instant import Instant

MINUTE_US = 60 * SECOND_US
DOWN_US, AFTER_US, LOOKBACK_US = 2 * MINUTE_US, 30 * MINUTE_US, 24 * HOUR_US
DETECTOR_LIMITS = ReceiverDownLimits(DOWN_US, 3, 0.9, SuggestedFix("Start it."))
DETECTOR = ReceiverDown(
    DETECTOR_LIMITS,
    HostLimits(
        SilentLimits(AFTER_US, LOOKBACK_US, SuggestedFix("x")), [Override("bench-*", {"after_us": 2 * HOUR_US})]
    ),
)
LATE = AFTER_US + 1


@dataclass(frozen=True)
class MutedHosts:
    """A mute window of the hosts whose names begin in the same way."""

    prefix: str
    pause: Pause

    def is_about(self, host: str) -> bool:
        """Return whether it is one of these hosts."""
        return host.startswith(self.prefix)

    def pauses(self, since: Instant, until: Instant) -> Iterator[Pause]:
        """Return the window."""
        if self.pause.until > since and self.pause.since < until:
            yield self.pause


def named(ages: list[int]) -> list[tuple[str, int]]:
    """Name the hosts."""
    return [(f"pi-{number}", age) for number, age in enumerate(ages)]


@pytest.mark.parametrize(
    ("unit", "ages", "is_found"),
    [
        pytest.param(None, [], False, id="systemd has said nothing"),
        pytest.param((HOUR_US, True), [], False, id="it runs"),
        pytest.param((DOWN_US, False), [], False, id="it has been down for exactly as long as allowed"),
        pytest.param((DOWN_US + 1, False), [], True, id="a microsecond longer, whoever uploads"),
        pytest.param((-1, False), [], False, id="it stops after now"),
        pytest.param((DOWN_US + 1, False), [HOUR_US], True, id="with a upload before it stopped"),
        pytest.param((HOUR_US, False), [HOUR_US - DOWN_US], True, id="with a upload that was in flight as it stopped"),
        pytest.param((HOUR_US, False), [HOUR_US - DOWN_US - 1], False, id="a later upload contradicts systemd"),
    ],
)
def test_a_unit_that_is_down_for_too_long_is_a_finding(
    unit: tuple[int, bool] | None, ages: list[int], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The latest message of systemd counts, unless a host has uploaded since."""
    fleet = fleet_of(uploads=named(ages))
    fleet.traffic.unit = unit and UnitState(now - unit[0], is_running=unit[1])

    assert [finding.host for finding in DETECTOR.find(fleet, now)] == ["*"] * is_found


@pytest.mark.parametrize(
    ("uploads", "is_found"),
    [
        pytest.param([], False, id="nobody is known"),
        pytest.param(named([LATE] * 2), False, id="two active hosts are too few"),
        pytest.param(named([LATE] * 3), True, id="three are enough"),
        pytest.param(named([AFTER_US, LATE, LATE, LATE]), False, id="one upload exactly as long ago as allowed"),
        pytest.param(named([AFTER_US] + [LATE] * 9), False, id="so long ago, though nine tenths are silent"),
        pytest.param([*named([LATE] * 2), ("bench-1", 2 * HOUR_US)], False, id="one exactly as long as its own limit"),
        pytest.param([*named([LATE] * 2), ("bench-1", 2 * HOUR_US + 1)], True, id="and a microsecond longer"),
        pytest.param(named([-1, LATE, LATE, LATE]), False, id="a upload after now"),
        pytest.param(named([LATE, LATE, LOOKBACK_US]), True, id="who uploaded exactly a lookback ago is active"),
        pytest.param(named([LATE, LATE, LOOKBACK_US + 1]), False, id="who uploaded longer ago is not"),
        pytest.param([*named([LATE] * 9), ("bench-1", LATE)], True, id="exactly nine tenths of the active are silent"),
        pytest.param([*named([LATE] * 4), ("bench-1", LATE)], True, id="who cannot be late yet proves nothing"),
        pytest.param([*named([LATE] * 2), ("bench-1", LATE)], False, id="nor is it one of three"),
        pytest.param([("bench-1", LATE), ("bench-2", LATE), ("bench-3", LATE)], False, id="by their own limits"),
    ],
)
def test_a_fleet_that_falls_silent_is_a_finding(
    uploads: list[tuple[str, int]], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """No host at all has uploaded, enough hosts are active, and nearly all of them count as silent."""
    assert [finding.host for finding in DETECTOR.find(fleet_of(uploads=uploads), now)] == ["*"] * is_found


@pytest.mark.parametrize("status", [412, 503])
@pytest.mark.parametrize(
    ("refused_ages", "is_found"),
    [
        pytest.param([0] * 10, False, id="all"),
        pytest.param([AFTER_US], True, id="one of ten"),
        pytest.param([AFTER_US] * 2, False, id="two of ten, exactly as long ago as a host may be silent"),
        pytest.param([AFTER_US + 1] * 2, True, id="and a microsecond longer"),
    ],
)
def test_a_receiver_that_refuses_is_up(
    refused_ages: list[int], status: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A host that was refused recently has reached it. If nearly all others have not, the network may be the cause."""
    refused = [(f"pi-{number}", age, status) for number, age in enumerate(refused_ages)]
    fleet = fleet_of(uploads=named([HOUR_US] * 10), responses=refused)

    assert [finding.host for finding in DETECTOR.find(fleet, now)] == ["*"] * is_found
    assert not DETECTOR.may_inhibit(fleet, now)


def test_what_most_hosts_may_be_silent_for_counts(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """A default limit that holds for few hosts does not delay the alert."""
    detector = ReceiverDown(
        DETECTOR_LIMITS,
        HostLimits(
            SilentLimits(26 * HOUR_US, 48 * HOUR_US, SuggestedFix("x")),
            [Override("pi-*", {"after_us": 10 * MINUTE_US})],
        ),
    )
    late = 10 * MINUTE_US + 1
    fleet = fleet_of(uploads=[*named([late] * 5), ("nightly", 5 * HOUR_US)])
    nightly = fleet_of(uploads=[*named([late] * 5), *[(f"nightly-{number}", 5 * HOUR_US) for number in range(5)]])

    assert [finding.host for finding in detector.find(fleet, now)] == ["*"]
    assert not list(detector.find(nightly, now))


def test_a_host_in_a_mute_window_of_its_own_proves_nothing(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """It may be off, so it does not count as a host that is not silent."""
    fleet = fleet_of(uploads=[*named([LATE] * 3), ("office-1", HOUR_US), ("office-2", HOUR_US)])
    fleet.mute_windows = (MutedHosts("office-", Pause(now - HOUR_US, now + HOUR_US, "a mute window")),)

    assert [finding.host for finding in DETECTOR.find(fleet, now)] == ["*"]


def test_by_the_index_it_inhibits_hosts_that_fell_silent_with_it(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """But not hosts that were silent already when the last host uploaded."""
    newest = 40 * MINUTE_US
    uploads = [
        ("pi-1", newest),
        ("pi-2", newest + AFTER_US),
        ("pi-3", newest + AFTER_US + 1),
        ("bench-1", newest + 2 * HOUR_US),
        ("bench-2", newest + 2 * HOUR_US + 1),
    ]

    assert list(DETECTOR.find(fleet_of(uploads=uploads), now)) == [
        Finding(
            host="*",
            symptom="receiver-down",
            detail=(
                "by the index no host has uploaded since 2026-11-23T18:15:00+00:00, 40 min ago (the limit is 30 min),"
                " and 5 of 5 hosts that should have uploaded are silent"
            ),
            suggested_fix="Start it.",
            inhibits=frozenset((host, "silent") for host in ("pi-1", "pi-2", "bench-1")),
            since=now - newest,
        )
    ]


def test_by_systemds_word_it_inhibits_hosts_that_uploaded_until_then(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """But not hosts that were silent already when the unit stopped."""
    stopped = 5 * MINUTE_US
    fleet = fleet_of(
        uploads=[
            ("pi-1", stopped - 1),
            ("pi-2", stopped + AFTER_US),
            ("pi-3", stopped + AFTER_US + 1),
            ("bench-1", stopped + 2 * HOUR_US),
        ]
    )
    fleet.traffic.unit = UnitState(now - stopped, is_running=False)

    (finding,) = DETECTOR.find(fleet, now)

    assert finding.detail == (
        "systemd says that its unit stopped or failed at 2026-11-23T18:50:00+00:00, 5 min ago,"
        " and it has not started since (the limit is 2 min)"
    )
    assert finding.inhibits == {(host, "silent") for host in ("pi-1", "pi-2", "bench-1")}


def test_both_ways_are_one_finding(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Its detail names both, and it inhibits what either one inhibits."""
    fleet = fleet_of(uploads=named([2 * HOUR_US, 2 * HOUR_US + AFTER_US, 2 * HOUR_US + AFTER_US + 1]))
    fleet.traffic.unit = UnitState(now - 50 * MINUTE_US, is_running=False)

    (finding,) = DETECTOR.find(fleet, now)

    assert [part.split()[0] for part in finding.detail.split("; ")] == ["systemd", "by"]
    assert finding.inhibits == {("pi-0", "silent"), ("pi-1", "silent")}


@pytest.mark.parametrize(
    ("source", "gap", "is_found"),
    [
        pytest.param("index", (AFTER_US + 2, AFTER_US + 1), (True, True), id="rows lost before the silence"),
        pytest.param("index", (AFTER_US + 2, AFTER_US), (True, False), id="rows lost within it"),
        pytest.param("journal", (HOUR_US + 2, HOUR_US + 1), (True, True), id="entries lost before the unit stopped"),
        pytest.param("journal", (5, 4), (False, True), id="entries lost since"),
    ],
)
def test_what_was_not_seen_whole_is_not_found(
    source: str, gap: tuple[int, int], is_found: tuple[bool, bool], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Each of the two ways needs its own source."""
    by_unit, by_index = fleet_of(), fleet_of(uploads=named([LATE] * 3))
    by_unit.traffic.unit = UnitState(now - HOUR_US, is_running=False)
    by_unit.coverage = by_index.coverage = (Coverage(source, gaps=(Gap(now - gap[0], now - gap[1], "lost"),)),)

    assert tuple(bool(list(DETECTOR.find(fleet, now))) for fleet in (by_unit, by_index)) == is_found


@pytest.mark.parametrize(
    ("unit", "ages", "is_over"),
    [
        pytest.param(None, [], False, id="nothing is known"),
        pytest.param(None, [AFTER_US], True, id="somebody uploaded just lately enough"),
        pytest.param(None, [LATE], False, id="nobody uploaded lately"),
        pytest.param((MINUTE_US, True), [2 * MINUTE_US], True, id="the unit has started, and nobody uploaded yet"),
        pytest.param((MINUTE_US, True), [HOUR_US], True, id="nor for long before"),
        pytest.param((MINUTE_US, True), [], True, id="nor ever"),
        pytest.param((AFTER_US, True), [2 * HOUR_US], True, id="whoever is well may still be about to upload"),
        pytest.param((AFTER_US + 1, True), [2 * HOUR_US], False, id="it has started, but nobody reaches it"),
        pytest.param((AFTER_US + 1, True), [], False, id="nobody ever did"),
        pytest.param((2 * HOUR_US, True), [HOUR_US], False, id="the unit ran when the last host uploaded, and hangs"),
        pytest.param((LOOKBACK_US, True), [], False, id="the unit runs, but all hosts are forgotten"),
        pytest.param((MINUTE_US, False), [2 * MINUTE_US], False, id="the unit has just stopped"),
        pytest.param((5 * MINUTE_US, False), [5 * MINUTE_US - DOWN_US], False, id="a upload in flight as it stopped"),
        pytest.param((5 * MINUTE_US, False), [MINUTE_US], True, id="a upload long after it stopped"),
    ],
)
def test_it_is_over_when_the_unit_starts_or_somebody_uploads(
    unit: tuple[int, bool] | None, ages: list[int], *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Too few remaining hosts are not enough, nor is a unit that merely runs."""
    fleet = fleet_of(uploads=named(ages))
    fleet.traffic.unit = unit and UnitState(now - unit[0], is_running=unit[1])

    assert DETECTOR.is_over(fleet, "*", now) == is_over


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_start_proves_nothing_while_nobody_sees_who_uploads(
    *, is_readable: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A unit that was started again may hang, which only the index can show."""
    fleet = fleet_of(uploads=named([LATE + MINUTE_US] * 3))
    fleet.traffic.unit = UnitState(now - 20 * MINUTE_US, is_running=True)
    fleet.coverage = (Coverage("index", None if is_readable else now - MINUTE_US, "it is gone"), Coverage("journal"))

    assert DETECTOR.is_over(fleet, "*", now) == is_readable


def test_the_reach_is_that_of_silent_and_the_units_own() -> None:
    """All active hosts must be known, and recent responses to each."""
    assert DETECTOR.lookback == Lookback(uploads_us=LOOKBACK_US, traffic_us=2 * HOUR_US)


SLOW = [("slow", AFTER_US + 1)]


@pytest.mark.parametrize(
    ("uploads", "waiting"),
    [
        pytest.param([], set(), id="nobody is known"),
        pytest.param([*SLOW, *named([DOWN_US + 1] * 2)], {"slow"}, id="nobody has uploaded since it was due"),
        pytest.param([*SLOW, *named([DOWN_US] * 2)], set(), id="another host uploaded just lately"),
        pytest.param([*SLOW, *named([AFTER_US] * 2)], {"slow"}, id="the last moment in which it is undecided"),
        pytest.param([*SLOW, *named([LATE] * 2)], set(), id="it is decided"),
        pytest.param([*SLOW, *named([5 * MINUTE_US])], set(), id="two active hosts are too few"),
        pytest.param(
            [("slow", AFTER_US + 5 * MINUTE_US), *named([5 * MINUTE_US] * 2)], {"slow"}, id="it was due just then"
        ),
        pytest.param(
            [("slow", AFTER_US + 5 * MINUTE_US + 1), *named([5 * MINUTE_US] * 2)], set(), id="it was due before that"
        ),
        pytest.param(
            [*SLOW, *named([5 * MINUTE_US] * 8), ("bench-1", 5 * MINUTE_US)], {"slow"}, id="nine tenths would be silent"
        ),
        pytest.param(
            [*SLOW, *named([5 * MINUTE_US] * 7), ("bench-1", 5 * MINUTE_US)], {"slow"}, id="whatever another limit is"
        ),
        pytest.param(
            [*SLOW, *named([5 * MINUTE_US]), ("bench-1", 5 * MINUTE_US)], set(), id="too few can be late by then"
        ),
        pytest.param(
            [*SLOW, *named([5 * MINUTE_US]), ("bench-1", 2 * HOUR_US + 1)], {"slow", "bench-1"}, id="each by its limit"
        ),
        pytest.param([*SLOW, *named([5 * MINUTE_US, LOOKBACK_US + 1])], set(), id="who is lost is not active"),
    ],
)
def test_who_may_be_silent_for_a_receiver_that_hangs(
    uploads: list[tuple[str, int]], waiting: set[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Hosts that were due since the last upload of any host, unless that is too long ago to be decided."""
    assert DETECTOR.may_inhibit(fleet_of(uploads=uploads), now) == {(host, "silent") for host in waiting}


def test_nobody_waits_where_the_index_was_not_seen_whole(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Then the index cannot show that the receiver is down either."""
    fleet = fleet_of(uploads=[*SLOW, *named([5 * MINUTE_US] * 2)])
    fleet.coverage = (Coverage("index", gaps=(Gap(now - 2, now - 1, "lost"),)),)

    assert DETECTOR.may_inhibit(fleet, now) == frozenset()


def test_time_in_which_nobody_could_upload_does_not_make_silent_before(
    fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A host that was off in the mute window and due after it is inhibited like any other."""
    fleet = fleet_of(uploads=[("off", 9 * HOUR_US), *named([40 * MINUTE_US] * 2)])
    fleet.shutdowns = ((now - 9 * HOUR_US + MINUTE_US, now - 50 * MINUTE_US),)

    (finding,) = DETECTOR.find(fleet, now)

    assert finding.inhibits == {("off", "silent"), ("pi-0", "silent"), ("pi-1", "silent")}


@pytest.mark.parametrize("earlier_us", [3 * HOUR_US, 2 * HOUR_US])
def test_a_stop_counts_from_the_latest_boot(earlier_us: int, fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """After several boots, the unit is given its time from the last of them, in whatever order they are known."""
    found = []
    for booted_ago in (DETECTOR_LIMITS.after_us, DETECTOR_LIMITS.after_us + 1):
        fleet = fleet_of()
        fleet.traffic.unit = UnitState(now - 4 * HOUR_US, is_running=False)
        boots = [(now - earlier_us - MINUTE_US, now - earlier_us), (now - HOUR_US, now - booted_ago)]
        for fleet.shutdowns in (tuple(boots), tuple(reversed(boots))):
            found.append(bool(list(DETECTOR.find(fleet, now))))

    assert found == [False, False, True, True]


@pytest.mark.parametrize(
    ("oldest_us", "upload_us", "is_found"),
    [
        pytest.param(DETECTOR_LIMITS.window_us, None, True, id="the first start is exactly as old as the window"),
        pytest.param(DETECTOR_LIMITS.window_us + 1, None, False, id="it is older"),
        pytest.param(DETECTOR_LIMITS.window_us, DETECTOR_LIMITS.window_us + 1, True, id="an upload came before it"),
        pytest.param(DETECTOR_LIMITS.window_us, DETECTOR_LIMITS.window_us, False, id="an upload came just then"),
    ],
)
def test_a_receiver_that_starts_again_and_again_within_the_window_is_down(
    oldest_us: int, upload_us: int | None, fleet_of: Callable[..., Fleet], now: Instant, *, is_found: bool
) -> None:
    """Only starts since the newest upload count: an upload shows that the start before it succeeded."""
    fleet = fleet_of(uploads=[] if upload_us is None else [("a", upload_us)])
    for age in [oldest_us, *range(DETECTOR_LIMITS.starts - 1, 0, -1)]:
        fleet.traffic.record([UnitState(now - age, is_running=True), UnitState(now - age, is_running=False)])
    fleet.coverage = (Coverage("index"), Coverage("journal"))

    assert DETECTOR._is_restarting(fleet, now) == is_found


@pytest.mark.parametrize(
    ("fast", "slow", "usual_us"),
    [
        pytest.param(3, 1, 10 * MINUTE_US, id="exactly three quarters have the shorter limit"),
        pytest.param(2, 1, AFTER_US, id="fewer have it"),
        pytest.param(1, 0, 10 * MINUTE_US, id="all have it"),
        pytest.param(0, 2, AFTER_US, id="none has it"),
        pytest.param(0, 0, AFTER_US, id="no host is active"),
    ],
)
def test_nobody_may_upload_for_as_long_as_most_hosts_may_be_silent(
    fast: int, slow: int, usual_us: int, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """If overrides give most hosts a shorter limit, the default hardly matters."""
    override = Override("fast-*", {"after_us": 10 * MINUTE_US})
    detector = ReceiverDown(
        DETECTOR_LIMITS, HostLimits(SilentLimits(AFTER_US, LOOKBACK_US, SuggestedFix("x")), [override])
    )
    hosts = [f"fast-{number}" for number in range(fast)] + [f"slow-{number}" for number in range(slow)]
    fleet = fleet_of(uploads=[(host, 0) for host in hosts])

    assert detector._usual_us(fleet, now) == usual_us
