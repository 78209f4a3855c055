"""`silent`, against the rule: active, and `now - last upload > after`, strictly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fleet_health.alerting.rules import Rules
from fleet_health.config.values import upload_schedule
from fleet_health.detectors import silent
from fleet_health.detectors.fatal_only import FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits, Override
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.spec import Finding, Lookback
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.unstamped import UnstampedLimits
from fleet_health.engine import Engine
from fleet_health.model.cadence import Cadence
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US, SECOND_US, isoformat
from fleet_health.model.observation import Upload
from fleet_health.model.pauses import Pause
from fleet_health.model.rhythm import BIN_US, KEPT_US
from fleet_health.model.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.model.instant import Instant

MINUTE_US = 60 * SECOND_US
AFTER_US, LOOKBACK_US = 30 * MINUTE_US, 24 * HOUR_US
LIMITS = SilentLimits(AFTER_US, LOOKBACK_US, SuggestedFix("Look at $host."))


@pytest.mark.parametrize(
    ("ages", "is_found"),
    [
        pytest.param([], False, id="a host that never uploaded is not silent"),
        pytest.param([0], False, id="a host that uploads at this instant is not silent"),
        pytest.param([AFTER_US - 1], False, id="a microsecond less than allowed is not silent"),
        pytest.param([AFTER_US], False, id="exactly as long as allowed is not silent"),
        pytest.param([AFTER_US + 1], True, id="a microsecond longer than allowed is silent"),
        pytest.param([12 * HOUR_US], True, id="half the lookback is silent"),
        pytest.param([LOOKBACK_US - 1], True, id="a microsecond within the lookback is silent"),
        pytest.param([LOOKBACK_US], True, id="exactly at the lookback is active, so silent"),
        pytest.param([LOOKBACK_US + 1], False, id="a microsecond beyond the lookback is not active"),
        pytest.param([-1], False, id="a last upload after now is not silent"),
        pytest.param([AFTER_US, AFTER_US + 1], False, id="the latest of several rows decides, read first"),
        pytest.param([AFTER_US + 1, AFTER_US], False, id="the latest of several rows decides, read last"),
        pytest.param([LOOKBACK_US + 1, LOOKBACK_US], True, id="one row within the lookback makes a host active"),
    ],
)
def test_silence_begins_after_its_boundary_and_ends_with_the_lookback(
    ages: list[int], *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """An active host is found when its last upload is longer ago than allowed, to the microsecond."""
    fleet = fleet_of(uploads=[("pi-1", age) for age in ages])

    assert [finding.host for finding in Silent(HostLimits(LIMITS)).find(fleet, now)] == ["pi-1"] * is_found


@pytest.mark.parametrize(
    ("age", "are_met", "is_over"),
    [
        pytest.param(AFTER_US, [False, True], True, id="exactly as long as allowed"),
        pytest.param(AFTER_US + 1, [True, True], False, id="a microsecond longer than allowed"),
        pytest.param(LOOKBACK_US, [True, True], False, id="exactly at the lookback"),
        pytest.param(LOOKBACK_US + 1, [True, False], False, id="a microsecond beyond the lookback"),
    ],
)
def test_each_limit_is_explained_as_it_is_found_by(
    age: int, are_met: list[bool], *, is_over: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """`explain`, the finding and its end use the same limits."""
    fleet, detector = fleet_of(uploads=[("pi-1", age)]), Silent(HostLimits(LIMITS))

    assert [condition.is_met for condition in detector.conditions(fleet, "pi-1", now)] == are_met
    assert detector.is_over(fleet, "pi-1", now) == is_over


def test_a_finding_carries_the_figures_and_the_fix(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """What is found says for how long, against which limit, since when, and what to do."""
    fleet = fleet_of(uploads=[("pi-1", 31 * MINUTE_US + 20 * SECOND_US)])

    assert list(Silent(HostLimits(LIMITS)).find(fleet, now)) == [
        Finding(
            host="pi-1",
            symptom="silent",
            detail="no accepted upload since 2026-11-23T18:23:40+00:00, 31 min 20 s ago (the limit is 30 min)",
            suggested_fix="Look at pi-1.",
            since=now - (31 * MINUTE_US + 20 * SECOND_US),
        )
    ]


def test_an_empty_fleet_has_nothing_silent(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """There is no finding without hosts."""
    assert list(Silent(HostLimits(LIMITS)).find(fleet_of(), now)) == []


@pytest.mark.parametrize(
    ("age_us", "hosts"), [(AFTER_US, []), (AFTER_US + 1, ["pi-1"]), (LOOKBACK_US, ["pi-1"]), (LOOKBACK_US + 1, [])]
)
def test_a_host_known_from_the_journal_alone_is_watched(
    age_us: int, hosts: list[str], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """An accepted upload counts from either source, within the same limits; refusals do not."""
    fleet = fleet_of(
        responses=[("pi-1", age_us, 201), ("pi-2", age_us, 412)], unstamped=[("pi-1", age_us), ("pi-3", age_us)]
    )

    assert [one.host for one in Silent(HostLimits(LIMITS)).find(fleet, now)] == hosts


def test_each_host_is_evaluated_by_its_own_limits(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Hosts that an override names have its limits, the others the default ones."""
    overrides = [
        Override("bench-*", {"after_us": 2 * HOUR_US}),
        Override("bench-1", {"lookback_us": 3 * HOUR_US, "suggested_fix": SuggestedFix("Leave $host alone.")}),
    ]
    ages = {
        "pi-1": AFTER_US + 1,
        "pi-2": AFTER_US,
        "bench-1": 2 * HOUR_US + 1,
        "bench-2": 2 * HOUR_US,
        "bench-3": LOOKBACK_US,
    }

    found = list(Silent(HostLimits(LIMITS, overrides)).find(fleet_of(uploads=ages.items()), now))

    assert {finding.host: finding.suggested_fix for finding in found} == {
        "pi-1": "Look at pi-1.",
        "bench-1": "Leave bench-1 alone.",
        "bench-3": "Look at bench-3.",
    }


@pytest.mark.parametrize(
    ("age", "is_found"),
    [
        pytest.param(2 * HOUR_US, False, id="exactly the longer silence of one override"),
        pytest.param(2 * HOUR_US + 1, True, id="a microsecond more than that"),
        pytest.param(3 * HOUR_US, True, id="exactly the shorter lookback of the other"),
        pytest.param(3 * HOUR_US + 1, False, id="a microsecond more than that as well"),
    ],
)
def test_two_overrides_of_one_host_add_up(
    age: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Each of them may set one of its limits."""
    overrides = [Override("bench-*", {"after_us": 2 * HOUR_US}), Override("*-1", {"lookback_us": 3 * HOUR_US})]
    fleet = fleet_of(uploads=[("bench-1", age)])

    assert bool(list(Silent(HostLimits(LIMITS, overrides)).find(fleet, now))) == is_found


def test_the_reach_is_the_longest_lookback() -> None:
    """Rows must be known as far back as any host is watched, uploads in the journal as far as one may be silent."""
    overrides = [Override("a*", {"lookback_us": 48 * HOUR_US}), Override("b*", {"lookback_us": HOUR_US})]

    lookbacks = [Silent(HostLimits(LIMITS, chosen)).lookback for chosen in ((), overrides)]

    assert lookbacks == [Lookback(LOOKBACK_US, AFTER_US), Lookback(48 * HOUR_US, AFTER_US)]


@pytest.mark.parametrize(
    ("responses", "unstamped", "fix"),
    [
        ([], 0, "Look at pi-1."),
        ([(0, 422)], 0, "refused"),
        ([(1, 422)], 0, "refused"),
        ([(1, 412)], 0, "diverged"),
        ([(1, 503)], 0, "receiver"),
        ([(2, 400), (1, 400)], 2, "stamp"),
        ([(AFTER_US + 2, 412)], 0, "Look at pi-1."),
        ([(-1, 412)], 0, "Look at pi-1."),
    ],
)
def test_who_is_refused_since_its_last_upload_gets_the_fix_for_that(
    responses: list[tuple[int, int]], unstamped: int, fix: str, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """It is up and tries to upload; the fix follows the cause, as for `fatal-only`."""
    fleet = fleet_of(
        uploads=[("pi-1", AFTER_US + 1)],
        responses=[("pi-1", age, status) for age, status in responses],
        unstamped=[("pi-1", 1)] * unstamped,
    )
    fixes = [SuggestedFix(text) for text in ("refused", "diverged", "receiver")]
    refused = FatalOnlyLimits(HOUR_US, 10, 0.95, *fixes)
    stamps = UnstampedLimits(HOUR_US, 10, SuggestedFix("stamp"))

    (finding,) = Silent(HostLimits(LIMITS), HostLimits(refused), HostLimits(stamps)).find(fleet, now)

    assert finding.suggested_fix == fix


LEARNED = SilentLimits(
    AFTER_US, LOOKBACK_US, SuggestedFix("Look at $host."), is_learned=True, after_max_us=4 * 24 * HOUR_US
)


HOURLY_US = 2 * HOUR_US + BIN_US
"""The limit of a host of every hour."""


def learning(fleet: Fleet, now: Instant, age: int, step_us: int = HOUR_US) -> Fleet:
    """Let a fleet know of a host that uploaded at a distance for two weeks, and last some time ago."""
    fleet.cadence = Cadence(10)
    for number in range(14 * 24 * HOUR_US // step_us):
        fleet.cadence.note("pi-1", now - age - number * step_us)
    return fleet


@pytest.mark.parametrize(
    ("age", "step_us", "are_met"),
    [
        pytest.param(AFTER_US + 1, HOUR_US, [False, True], id="longer than the shortest limit"),
        pytest.param(HOURLY_US, HOUR_US, [False, True], id="exactly its own limit"),
        pytest.param(HOURLY_US + 1, HOUR_US, [True, True], id="longer than its own limit"),
        pytest.param(LOOKBACK_US + HOURLY_US - AFTER_US, HOUR_US, [True, True], id="at the end of the lookback"),
        pytest.param(LOOKBACK_US + HOURLY_US - AFTER_US + 1, HOUR_US, [True, False], id="beyond it"),
        pytest.param(AFTER_US + 1, 5 * MINUTE_US, [True, True], id="a steady host has the shortest limit"),
        pytest.param(30 * HOUR_US, 24 * HOUR_US, [False, True], id="a host of every day is watched for longer"),
    ],
)
def test_a_limit_that_is_learned_is_the_hosts_own(
    age: int, step_us: int, are_met: list[bool], fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """The finding, the explanation and the end use it, and the host is watched for that much longer."""
    fleet, detector = learning(fleet_of(uploads=[("pi-1", age)]), now, age, step_us), Silent(HostLimits(LEARNED))

    conditions = detector.conditions(fleet, "pi-1", now)
    assert [one.is_met for one in conditions] == are_met
    assert [one.host for one in detector.find(fleet, now)] == ["pi-1"] * all(are_met)
    assert detector.is_over(fleet, "pi-1", now) != are_met[0]
    assert "learned" in conditions[0].limit
    assert conditions[0].key == "detectors.silent.cadence"


def test_a_stop_of_the_receiver_does_not_give_a_day_anew(
    fleet_of: Callable[..., Fleet], now: Instant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the stop, the host is given the shortest limit, not its own limit once more."""
    age = 40 * HOUR_US
    fleet = learning(fleet_of(uploads=[("pi-1", age)]), now, age, 24 * HOUR_US)
    detector = Silent(HostLimits(LEARNED))
    found = []
    for ended_ago in (AFTER_US, AFTER_US + 1):
        stop = Pause(now - ended_ago - HOUR_US, now - ended_ago, "started")
        monkeypatch.setattr(silent, "pauses_of", lambda *_, stop=stop: (stop,))
        monkeypatch.setattr(silent, "absence_us", lambda *_, ended_ago=ended_ago: ended_ago)
        found.append(bool(list(detector.find(fleet, now))))

    assert found == [False, True]


@pytest.mark.parametrize(
    ("stopped_ago", "started_ago", "age", "is_found"),
    [
        pytest.param(17, 15, 40, False, id="its upload of last night"),
        pytest.param(20, 18, 40, True, id="a time at which it never uploads"),
        pytest.param(33, 30, 56, False, id="its upload of the night before, and its limit since then is not over"),
        pytest.param(33, 31, 56, True, id="it is over"),
    ],
)
def test_a_stop_of_the_receiver_took_the_upload_that_was_due(
    *, stopped_ago: int, started_ago: int, age: int, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """A nightly host that missed its upload because of the receiver is expected the next night."""
    fleet = learning(fleet_of(uploads=[("pi-1", age * HOUR_US)]), now, age * HOUR_US, 24 * HOUR_US)
    assert fleet.cadence is not None
    for number in range(20 * 24 * 8):
        fleet.cadence.note("other", now - number * 450 * SECOND_US)
    fleet.cadence.note_outages([Pause(now - stopped_ago * HOUR_US, now - started_ago * HOUR_US, "started")])
    detector = Silent(HostLimits(replace(LEARNED, lookback_us=3 * LOOKBACK_US)))

    assert [one.host for one in detector.find(fleet, now)] == ["pi-1"] * is_found
    assert detector.is_over(fleet, "pi-1", now) != is_found
    started_at = (now - started_ago * HOUR_US) // BIN_US * BIN_US
    is_anew = f"counted from {isoformat(started_at)}" in detector.conditions(fleet, "pi-1", now)[0].limit
    assert is_anew == (stopped_ago != 20)


@pytest.mark.parametrize(
    ("step_us", "quiet_us", "expected_us"),
    [
        pytest.param(5 * MINUTE_US, 0, 3 * HOUR_US, id="six limits"),
        pytest.param(24 * HOUR_US, 0, 3 * HOUR_US, id="a host of every night is not waited for until the next one"),
        pytest.param(5 * MINUTE_US, 30 * MINUTE_US, 48 * HOUR_US, id="two days if it uploads less than usual"),
    ],
)
def test_a_host_must_keep_to_its_rhythm_to_be_well(
    step_us: int, quiet_us: int, expected_us: int, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """For six limits, three hours at most, with as many uploads as usual; with a fixed limit, one upload is enough."""
    fleet = learning(fleet_of(uploads=[("pi-1", 1)]), now, quiet_us, step_us)
    assert fleet.cadence is not None
    fleet.cadence.note("pi-1", now - 1)

    assert Silent(HostLimits(LEARNED)).proof_us(fleet, "pi-1", now) == expected_us
    assert Silent(HostLimits(LIMITS)).proof_us(fleet, "pi-1", now) == 0


def test_a_host_that_uploads_rarely_is_compared_over_more_hours(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """A host of every hour over eight: three uploads in a row do not show that it is back to its rhythm."""
    fleet = learning(fleet_of(uploads=[("pi-1", 1)]), now, 6 * HOUR_US)
    assert fleet.cadence is not None
    proofs = []
    for ages in ((0, 1, 2), (3, 4, 5)):
        fleet.cadence.record(Upload("pi-1", now - age * HOUR_US) for age in ages)
        proofs.append(Silent(HostLimits(LEARNED)).proof_us(fleet, "pi-1", now))

    assert proofs == [48 * HOUR_US, 3 * HOUR_US]


@pytest.mark.parametrize(
    ("step_us", "refused", "expected_us"),
    [
        pytest.param(5 * MINUTE_US, [3 * HOUR_US], 3 * HOUR_US, id="one upload of ten"),
        pytest.param(5 * MINUTE_US, [2, 3 * HOUR_US], 48 * HOUR_US, id="two of eleven"),
        pytest.param(5 * MINUTE_US, [2, 3 * HOUR_US + 1], 3 * HOUR_US, id="two, of which one was before these hours"),
        pytest.param(HOUR_US, [2, 8 * HOUR_US], 48 * HOUR_US, id="two of a host of every hour, within eight"),
        pytest.param(HOUR_US, [2, 8 * HOUR_US + 1], 3 * HOUR_US, id="two, of which one was before these eight"),
    ],
)
def test_a_host_that_is_refused_now_and_then_is_not_well(
    step_us: int, refused: list[int], expected_us: int, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Within six limits, eight hours at most, nine of ten uploads must have been accepted."""
    responses = [("pi-1", age, 412) for age in refused] + [("pi-1", 1, 201)] * 9
    fleet = learning(fleet_of(uploads=[("pi-1", 1)], responses=responses), now, 1, step_us)

    assert Silent(HostLimits(LEARNED)).proof_us(fleet, "pi-1", now) == expected_us


def incidents_of(uploads: list[Instant], until: Instant, limits: SilentLimits) -> list[tuple[Instant, Instant | None]]:
    """Evaluate every five minutes until an instant; return when the host was alerted, and when that was resolved."""
    fleet, engine = Fleet(), Engine(Rules((Silent(HostLimits(limits)),)))
    fleet.cadence = Cadence(10)
    fleet.cadence.record(Upload("pi-1", at) for at in range(uploads[0] - 20 * DAY_US, uploads[0], 5 * MINUTE_US))
    found: list[tuple[Instant, Instant | None]] = []
    for now in range(uploads[0], until + 1, 5 * MINUTE_US):
        fleet.record_uploads("", [Upload("pi-1", at) for at in uploads if now - 5 * MINUTE_US < at <= now])
        outcome = engine.tick(fleet, now)
        if any(not one.is_repeat for one in outcome.alerts):
            found.append((now, None))
        if outcome.notices:
            found[-1] = found[-1][0], now
    return found


DAY_US = 24 * HOUR_US
BEGIN = 1_795_392_000_000_000


@pytest.mark.parametrize(
    ("uploads", "expected", "by_fixed"),
    [
        pytest.param(
            [BEGIN, *range(BEGIN + 2 * HOUR_US, BEGIN + 12 * HOUR_US, 5 * MINUTE_US)],
            [(35, 300)],
            1,
            id="one that is back for good is well after three hours",
        ),
        pytest.param(
            [BEGIN + hour * HOUR_US + minute * MINUTE_US for hour in range(9) for minute in (0, 5, 10)],
            [(45, None)],
            6,
            id="one that comes and goes is one incident",
        ),
        pytest.param(
            list(range(BEGIN, BEGIN + 64 * HOUR_US, HOUR_US)),
            [(35, 3480)],
            6,
            id="one that uploads more rarely from now on is one incident, until that has held for two days",
        ),
    ],
)
def test_a_host_is_silent_until_it_keeps_to_its_rhythm(
    uploads: list[Instant], expected: list[tuple[int, int | None]], by_fixed: int
) -> None:
    """With a learned limit. With a fixed one, it is well after each upload, and silent again until it flaps."""
    found, fixed = (incidents_of(uploads, uploads[-1] + 25 * MINUTE_US, one) for one in (LEARNED, LIMITS))

    in_minutes = [((at - BEGIN) // MINUTE_US, None if end is None else (end - BEGIN) // MINUTE_US) for at, end in found]
    assert in_minutes == expected
    assert len(fixed) == by_fixed


def test_what_is_learned_is_no_change_of_the_limits(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """An incident does not end because the learned limit changed; it does if the settings change."""
    detectors = [Silent(HostLimits(one)) for one in (LIMITS, LEARNED)]
    fleet = fleet_of(uploads=[("pi-1", 1)])
    before = detectors[1].limits_of("pi-1")
    learning(fleet, now, 1)

    assert detectors[1].limits_of("pi-1") == before != detectors[0].limits_of("pi-1")
    assert detectors[0].limits_of("pi-1") == f"{AFTER_US} {LOOKBACK_US}"


def test_without_a_rhythm_the_shortest_limit_holds(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Also if no limit is learned, as in the preview of a reload; the finding says so."""
    (finding,) = Silent(HostLimits(LEARNED)).find(fleet_of(uploads=[("pi-1", AFTER_US + 1)]), now)

    assert "(the limit is 30 min, not learned yet: nothing is known of its rhythm yet)" in finding.detail


def test_uploads_must_be_known_for_the_rhythm_where_any_is_learned() -> None:
    """Rows must be known for as long as the longest limit watches a host, and refusals for eight hours."""
    lookback = Silent(HostLimits(LIMITS, [Override("a*", {"is_learned": True, "after_max_us": 48 * HOUR_US})])).lookback

    assert lookback == Lookback(LOOKBACK_US + 48 * HOUR_US - AFTER_US, 8 * HOUR_US, KEPT_US)
    assert Silent(HostLimits(LIMITS)).lookback.traffic_us == AFTER_US
    assert lookback.learns_since(0) == -lookback.uploads_us - KEPT_US
    assert Silent(HostLimits(LIMITS)).lookback.learns_since(7) == 7


@pytest.mark.parametrize(
    ("due_in", "is_found"),
    [
        pytest.param(1, False, id="its time has not passed"),
        pytest.param(0, False, id="it has just passed"),
        pytest.param(-1, True, id="it has passed without an upload"),
    ],
)
def test_a_host_with_a_schedule_is_silent_when_its_time_has_passed(
    due_in: int, *, is_found: bool, fleet_of: Callable[..., Fleet], now: Instant
) -> None:
    """Whatever its cadence is, and however long that takes."""
    schedule = upload_schedule("hourly :00 +- 5m")
    now = now - now % HOUR_US + 5 * MINUTE_US - due_in
    fleet = fleet_of(uploads=[("pi-1", 0)])
    fleet.uploads = Uploads()
    fleet.record_uploads("", [Upload("pi-1", now + due_in - HOUR_US)])
    limits = replace(LEARNED, expected=schedule)
    detector = Silent(HostLimits(limits))

    found = list(detector.find(fleet, now))

    assert bool(found) == is_found
    assert all("(the limit is 1 h, expected hourly :00 +- 5m)" in one.detail for one in found)
    assert detector.conditions(fleet, "pi-1", now)[0].key == "detectors.silent.expected"
    assert detector.limits_of("pi-1") == f"{AFTER_US} {LOOKBACK_US} hourly :00 +- 5m"
    assert detector.lookback.rhythm_us == 0


def test_who_was_gone_before_anything_was_learned_is_not_missed(fleet_of: Callable[..., Fleet], now: Instant) -> None:
    """Rows are read further back for learned limits; a host that was lost by then is not reported today."""
    ages = {"steady": 30 * HOUR_US, "nightly": 30 * HOUR_US, "well": MINUTE_US}
    found = []
    for is_settled in (False, True):
        fleet = fleet_of(uploads=list(ages.items()))
        fleet.cadence = Cadence(10)
        fleet.cadence.is_settled = is_settled
        for host, age in ages.items():
            step_us = 24 * HOUR_US if host == "nightly" else 5 * MINUTE_US
            fleet.cadence.record(Upload(host, now - age - number * step_us) for number in range(20 * 24 * 12))
        rules = Rules((Silent(HostLimits(LEARNED)),))
        Engine(rules).evaluate(fleet, now)
        found.append({host for host, _ in fleet.uploads.items()})
        assert fleet.cadence.is_settled

    assert found == [{"nightly", "well"}, {"steady", "nightly", "well"}]
