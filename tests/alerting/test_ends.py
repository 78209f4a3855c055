"""The ends of incidents: newer facts and changed limits end them; the clock and missing findings do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.alert import LOST, RESOLVED, dedup_key
from fleet_health.alerting.dedup_keys import DedupKeys
from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.detectors.blind import Blind
from fleet_health.detectors.disagreement import DisagreementLimits
from fleet_health.detectors.evaluation import evaluate, under_a_clock_behind
from fleet_health.detectors.fatal_only import FatalOnly, FatalOnlyLimits
from fleet_health.detectors.index_stalled import IndexStalled
from fleet_health.detectors.limits import HostLimits
from fleet_health.detectors.never_seen import NeverSeen, NeverSeenLimits
from fleet_health.detectors.receiver_down import ReceiverDown, ReceiverDownLimits
from fleet_health.detectors.receiver_failing import ReceiverFailing, ReceiverFailingLimits
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.spec import PRESENT
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.detectors.too_many_hosts import TooManyHosts
from fleet_health.detectors.unstamped import Unstamped, UnstampedLimits
from fleet_health.model.coverage import Coverage, Gap
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response, UnitState, Upload
from fleet_health.model.observation import Unstamped as Rejection
from fleet_health.model.subject import EVERY_HOST
from tests.alerting.test_incident_life import DOWN, NOON, SILENT, TICK, Watch, said, told

if TYPE_CHECKING:
    from fleet_health.detectors.spec import Detector

MINUTE = 60_000_000
REFUSED = ("a", "fatal-only")
FIX = SuggestedFix("fix")
FATAL_ONLY = FatalOnlyLimits(30 * MINUTE, 3, 0.95, FIX, FIX, FIX)
SILENT_LIMITS = HostLimits(SilentLimits(30 * MINUTE, 24 * HOUR_US, FIX))


@pytest.fixture(params=[False, True], ids=["one life", "a restart before each tick"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Return the incidents, with restarts and without."""
    return Watch(restarts=request.param)


def ends_by(watch: Watch, pair: tuple[str, str], sign_at: int | None, *, known_at: int | None = None) -> bool:
    """Return whether an incident found at noon ends by a fact that two ticks show."""
    watch.tick(NOON, pair, evaluated=(pair[1],), signs={} if known_at is None else {pair: known_at})
    signs = {} if sign_at is None else {pair: sign_at}
    ticks = [watch.tick(NOON + n * TICK, over=[pair], evaluated=(pair[1],), signs=signs) for n in (1, 2, 3)]
    return [said(news) for news in ticks] == [[], [(RESOLVED, *pair)], []]


@pytest.mark.parametrize(
    ("symptom", "sign", "known", "ends"),
    [
        pytest.param("fatal-only", None, None, False, id="without a fact nothing ends"),
        pytest.param("fatal-only", 0, None, False, id="one at the opening is not later"),
        pytest.param("fatal-only", 1, None, True, id="one that is later ends it"),
        pytest.param(
            "fatal-only", -10 * MINUTE, None, False, id="one from before the opening is old, however late read"
        ),
        pytest.param("fatal-only", 10 * MINUTE, 10 * MINUTE, False, id="one dated ahead, and known then, is no news"),
        pytest.param("fatal-only", 10 * MINUTE + 1, 10 * MINUTE, True, id="one that is later than that is"),
        pytest.param("unstamped", -1, None, False, id="unstamped likewise"),
        pytest.param("unstamped", 1, None, True, id="unstamped ends by an upload"),
        pytest.param("receiver-down", 0, None, False, id="a start before the opening"),
        pytest.param("receiver-down", 1, None, True, id="a start after it"),
        pytest.param("silent", -45 * MINUTE, -45 * MINUTE, False, id="the row that was known"),
        pytest.param("silent", -10 * MINUTE, -45 * MINUTE, True, id="a row that was read late"),
        pytest.param("silent", -10 * MINUTE, None, False, id="where no row was known, it must be later"),
        pytest.param("silent", 1, None, True, id="where no row was known, and it is later"),
        pytest.param("never-seen", -HOUR_US, None, True, id="any upload of who was never seen"),
        pytest.param("blind", PRESENT, PRESENT, True, id="what the evaluation itself observes"),
    ],
)
def test_only_a_new_fact_ends_an_incident(
    symptom: str, sign: int | None, known: int | None, watch: Watch, *, ends: bool
) -> None:
    """The timestamp of the fact must be later than the opening and the facts known at that time."""

    def dated(offset: int | None) -> int | None:
        return offset if offset in (None, PRESENT) else NOON + offset

    assert ends_by(watch, ("a", symptom), dated(sign), known_at=dated(known)) == ends


@pytest.mark.parametrize(("exchanged", "ends"), [(-1, True), (0, False), (1, False)])
def test_a_source_that_was_replaced_proves_no_end_of_an_earlier_incident(
    exchanged: int, watch: Watch, *, ends: bool
) -> None:
    """An incident from before the replacement waits; a later one resolves as usual."""
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",))
    news = [
        watch.tick(NOON + n * TICK, over=[REFUSED], evaluated=("fatal-only",), unproved={REFUSED: NOON + exchanged})
        for n in (1, 2)
    ]

    assert [said(one) for one in news] == [[], [(RESOLVED, *REFUSED)] if ends else []]


def test_changed_limits_end_what_they_find_no_longer(watch: Watch) -> None:
    """New limits that are not met end an incident without a newer fact, as long as they are not met."""
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",), limits="10")
    ticks = [
        watch.tick(NOON + n * TICK, over=[REFUSED], evaluated=("fatal-only",), signs={}, limits="20") for n in (1, 2, 3)
    ]

    assert [said(news) for news in ticks] == [[], [(RESOLVED, *REFUSED)], []]


def test_what_changed_limits_end_needs_no_recovery(watch: Watch) -> None:
    """Changed limits end an incident whatever recovery its detector requires."""
    proofs = {REFUSED: 24 * HOUR_US}
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",), limits="10")
    ticks = [
        watch.tick(NOON + n * TICK, over=[REFUSED], evaluated=("fatal-only",), signs={}, limits="20", proofs=proofs)
        for n in (1, 2)
    ]

    assert [said(news) for news in ticks] == [[], [(RESOLVED, *REFUSED)]]


def test_a_recovery_is_waited_for_as_long_as_its_detector_demands(watch: Watch) -> None:
    """A detector can require a recovery of three ticks."""
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",))
    ticks = [
        watch.tick(NOON + n * TICK, over=[REFUSED], evaluated=("fatal-only",), proofs={REFUSED: 3 * TICK})
        for n in (1, 2, 3, 4)
    ]

    assert [said(news) for news in ticks] == [[], [], [], [(RESOLVED, *REFUSED)]]


def test_changed_limits_do_not_end_what_was_found_no_longer_before(watch: Watch) -> None:
    """A change of limits does not end an incident that was no longer found before it."""
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",), limits="10")
    watch.tick(NOON + TICK, over=[REFUSED], evaluated=("fatal-only",), signs={}, limits="10")
    ticks = [
        watch.tick(NOON + n * TICK, over=[REFUSED], evaluated=("fatal-only",), signs={}, limits="20") for n in (2, 3, 4)
    ]

    assert [said(news) for news in ticks] == [[], [], []]
    assert list(watch.incidents.open) == [REFUSED]


def test_limits_that_changed_while_nobody_watched_prove_nothing_but_of_the_silent(watch: Watch) -> None:
    """After a gap only silence is ended by changed limits, because refusals may be too old to count."""
    evaluated = ("fatal-only", "silent")
    watch.tick(NOON, REFUSED, SILENT, evaluated=evaluated, limits="10", signs={SILENT: NOON - HOUR_US})
    later = NOON + 4 * HOUR_US
    over, signs = [REFUSED, SILENT], {SILENT: NOON - HOUR_US}
    ticks = [watch.tick(later + n * TICK, over=over, evaluated=evaluated, signs=signs, limits="20") for n in (0, 1, 2)]

    assert [said(news) for news in ticks] == [[], [(RESOLVED, *SILENT)], []]


def test_at_an_instant_before_the_latest_evaluation_nothing_ends(watch: Watch) -> None:
    """A clock that was set back by less than a minute ends no incident."""
    watch.tick(NOON, REFUSED, evaluated=("fatal-only",))
    sign = {REFUSED: NOON + 1}
    back = watch.tick(NOON - 1, over=[REFUSED], evaluated=("fatal-only",), signs=sign)

    assert said(back) == []
    assert watch.incidents.open[REFUSED].recovered_since is None
    assert watch.incidents.at == NOON


@pytest.mark.parametrize("pair", [REFUSED, ("a", "unstamped")])
def test_a_host_without_any_sign_is_lost_whatever_its_symptom(pair: tuple[str, str], watch: Watch) -> None:
    """The loss is notified once after each alert, and the incident is finally forgotten."""
    evaluated = (pair[1], "silent")
    watch.tick(NOON, pair, evaluated=evaluated, heard={"a": NOON - MINUTE})
    lost_at = NOON - MINUTE + 24 * HOUR_US
    ticks = [
        watch.tick(lost_at, evaluated=evaluated),
        watch.tick(lost_at + 1, evaluated=(pair[1],)),  # the index is not seen
        watch.tick(lost_at + 2, evaluated=evaluated),
        watch.tick(lost_at + TICK, evaluated=evaluated),
        watch.tick(lost_at + 2 * TICK, evaluated=evaluated, heard={"a": lost_at + TICK}),
    ]
    is_lost = [any(one.lost_at is not None for one in watch.incidents.open.values())]
    ticks += [watch.tick(lost_at + 2 * 24 * HOUR_US, evaluated=evaluated)]
    is_lost += [any(one.lost_at is not None for one in watch.incidents.open.values())]
    found_at = lost_at + 3 * 24 * HOUR_US
    ticks += [
        watch.tick(found_at, pair, evaluated=evaluated, heard={"a": found_at}),
        watch.tick(found_at + 25 * HOUR_US, evaluated=evaluated),
    ]
    watch.tick(found_at + 33 * 24 * HOUR_US, evaluated=evaluated)

    assert [said(news) for news in ticks] == [[], [], [(LOST, *pair)], [], [], [], [], [(LOST, *pair)]]
    assert told(ticks[6]) == [pair]
    assert is_lost == [False, True]
    assert watch.incidents.open == {}


def test_what_concerns_no_host_is_never_lost(watch: Watch) -> None:
    """An incident about no single host has no signs, and is never lost."""
    watch.tick(NOON, DOWN, evaluated=("receiver-down", "silent"))

    assert said(watch.tick(NOON + 48 * HOUR_US, evaluated=("receiver-down", "silent"))) == []


def test_under_a_clock_that_is_behind_nothing_changes_but_what_is_found(watch: Watch) -> None:
    """Only new incidents are alerted; none ends, is lost, flaps, is forgotten or is repeated."""
    evaluated = ("silent", "fatal-only")
    watch.tick(NOON, SILENT, evaluated=evaluated, signs={SILENT: NOON - 23 * HOUR_US})
    back = NOON - 3 * HOUR_US
    new = ("b", "fatal-only")
    behind = [
        watch.tick(back, over=[SILENT], evaluated=evaluated, is_clock_behind=True),
        watch.tick(back + TICK, SILENT, new, evaluated=evaluated, is_clock_behind=True),
        watch.tick(back - 10 * 365 * 24 * HOUR_US, new, evaluated=evaluated, is_clock_behind=True),
    ]
    snapshot = watch.incidents.snapshot()
    right = watch.tick(NOON + TICK, SILENT, new, evaluated=evaluated)

    assert [told(news) for news in behind] == [[], [new], []]
    assert [said(news) for news in behind] == [[], [], []]
    assert snapshot.at == NOON
    assert [pair for pair, _ in snapshot.openings] == [SILENT]
    assert dedup_key(*SILENT, NOON) in snapshot.dedup_keys["2026-11-23T12"]
    assert (told(right), said(right)) == ([new], [])


def test_records_of_a_clock_that_was_ahead_are_dated_as_of_now() -> None:
    """After redating, a later upload ends the incidents."""
    watch = Watch()
    ahead = NOON + 10 * 365 * 24 * HOUR_US
    watch.tick(ahead, SILENT, signs={SILENT: ahead - HOUR_US})
    watch.incidents.redate(NOON)
    signs = {SILENT: NOON + MINUTE}
    ticks = [watch.tick(NOON + n * TICK, over=[SILENT], signs=signs) for n in (1, 2)]

    assert [said(news) for news in ticks] == [[], [(RESOLVED, *SILENT)]]
    assert ticks[1].notices[0].began_at == NOON


def test_what_a_clock_that_was_ahead_opened_and_nobody_knows_of_is_dropped() -> None:
    """Unnotified incidents from a wrong clock are dropped; older ones stay."""
    watch, evaluated = Watch(), ("silent", "receiver-down")
    other, ahead = ("b", "silent"), NOON + 2 * HOUR_US
    watch.tick(NOON, DOWN, SILENT, inhibits=[SILENT, other], evaluated=evaluated)
    watch.tick(ahead, DOWN, SILENT, other, inhibits=[SILENT, other], evaluated=evaluated)
    watch.incidents.redate(NOON)
    right = [watch.tick(NOON + n * TICK, over=[DOWN], evaluated=evaluated) for n in range(1, 5)]

    assert [one for news in right for one in told(news)] == [SILENT]
    assert set(watch.incidents.open) == {SILENT}


def test_the_keys_of_the_hours_around_the_present_are_saved() -> None:
    """Keys around the present and the latest evaluation are saved, sorted and up to a limit."""
    keys = DedupKeys()
    for hour in range(-5, 6):
        keys.add(f"key-{hour}", NOON + hour * HOUR_US)
    for number in range(60_000):
        keys.add(f"{number:05}", NOON)
    saved = keys.around(NOON, NOON - 3 * HOUR_US)

    assert sum(map(len, saved.values())) == 50_000
    assert saved["2026-11-23T13"] == ["key-1"]
    assert saved["2026-11-23T12"][0] == "00000"
    assert set(DedupKeys().around(NOON)) == set()
    few = DedupKeys()
    for hour in range(-5, 6):
        few.add(f"key-{hour}", NOON + hour * HOUR_US)
    assert sorted(few.around(NOON, NOON - 3 * HOUR_US)) == [f"2026-11-23T{hour:02}" for hour in (8, 9, 10, 11, 12, 13)]


def test_an_alert_that_the_state_knows_is_not_given_again() -> None:
    """An alert known only by its instant, as saved by an earlier release, is not sent again."""
    incidents = Incidents()
    incidents.restore(Snapshot(at=NOON, open=[Incident(*SILENT, NOON - HOUR_US, last_notified_at=NOON)]))
    watch = Watch()
    watch.incidents = incidents

    assert told(watch.tick(NOON + TICK, SILENT)) == []


def fleet(*observed: Upload | Response | Rejection | UnitState) -> Fleet:
    """Return a fleet with some observations."""
    one = Fleet()
    one.uploads.record(upload for upload in observed if isinstance(upload, Upload))
    one.traffic.record(other for other in observed if not isinstance(other, Upload))
    return one


DISAGREEMENT = DisagreementLimits(30 * MINUTE, 2 * MINUTE, 1, FIX)


@pytest.mark.parametrize(
    ("detector", "host", "observed", "sign"),
    [
        (Silent(SILENT_LIMITS), "a", [Upload("a", 5), Upload("a", 3), Upload("b", 9)], 5),
        (Silent(SILENT_LIMITS), "a", [Response("a", 7, 201), Upload("a", 5)], 7),
        (Silent(SILENT_LIMITS), "a", [Response("a", 7, 412)], None),
        (FatalOnly(HostLimits(FATAL_ONLY)), "a", [Response("a", 4, 201), Response("a", 6, 412), Upload("a", 3)], 4),
        (FatalOnly(HostLimits(FATAL_ONLY)), "a", [Response("a", 4, 201), Upload("a", 5)], 5),
        (FatalOnly(HostLimits(FATAL_ONLY)), "a", [Response("a", 6, 412), Response("b", 7, 201)], None),
        (Unstamped(HostLimits(UnstampedLimits(MINUTE, 3, FIX))), "a", [Rejection("a", 9), Response("a", 4, 200)], 4),
        (NeverSeen(["a"], HOUR_US, HostLimits(NeverSeenLimits(0, FIX))), "a", [Upload("a", 5), Upload("b", 9)], 5),
        (NeverSeen(["a*"], HOUR_US, HostLimits(NeverSeenLimits(0, FIX))), "a*", [Upload("a1", 5), Upload("b", 9)], 5),
        (ReceiverFailing(ReceiverFailingLimits(MINUTE, 1, 0.5, FIX)), "*", [Response("b", 3, 201), Upload("a", 9)], 9),
        (
            ReceiverDown(ReceiverDownLimits(1, 1, 0.5, FIX), SILENT_LIMITS),
            "*",
            [UnitState(7, is_running=True), Upload("a", 4)],
            7,
        ),
        (
            ReceiverDown(ReceiverDownLimits(1, 1, 0.5, FIX), SILENT_LIMITS),
            "*",
            [UnitState(7, is_running=False), Upload("a", 4)],
            4,
        ),
        (ReceiverDown(ReceiverDownLimits(1, 1, 0.5, FIX), SILENT_LIMITS), "*", [UnitState(7, is_running=True)], 7),
        (IndexStalled(DISAGREEMENT), "*", [Response("a", 9, 201), Upload("a", 4), Response("b", 8, 201)], 4),
        (IndexStalled(DISAGREEMENT), "*", [Response("a", 9, 201), Upload("b", 4)], None),
        (Blind(MINUTE), "*", [], PRESENT),
        (TooManyHosts(), "*", [], PRESENT),
    ],
)
def test_each_detector_says_which_fact_speaks_for_an_end(
    detector: Detector, host: str, observed: list[Any], sign: int | None
) -> None:
    """The timestamp of a fact decides; missing observations prove no end."""
    assert detector.sign_at(fleet(*observed), host) == sign


def test_facts_that_a_clock_has_not_reached_yet_count_against_an_end() -> None:
    """Refusals dated ahead of the clock count against an end, because their window has not passed."""
    rejected = fleet(*[Rejection("a", NOON + n) for n in range(3)])
    failing = fleet(Response("w", NOON - 9, 201), *[Response("a", NOON + n, 500) for n in range(3)])
    unstamped = Unstamped(HostLimits(UnstampedLimits(30 * MINUTE, 3, FIX)))
    receiver = ReceiverFailing(ReceiverFailingLimits(30 * MINUTE, 1, 0.5, FIX))

    assert [unstamped.is_over(rejected, "a", at) for at in (NOON - 1, NOON + HOUR_US)] == [False, True]
    assert not receiver.is_over(failing, EVERY_HOST, NOON - 1)


@pytest.mark.parametrize(
    ("later", "is_new"),
    [
        pytest.param([Response("a", NOON + MINUTE, 201)], False, id="accepted since"),
        pytest.param([], False, id="and not refused any more"),
        pytest.param(
            [Response("a", NOON + 31 * MINUTE + n, 412) for n in range(3)], True, id="refused as of then, too"
        ),
        pytest.param([Response("a", NOON + 31 * MINUTE + n, 412) for n in range(2)], False, id="but not so often"),
    ],
)
def test_a_past_that_is_evaluated_again_opens_only_what_lasts(later: list[Any], *, is_new: bool) -> None:
    """An incident opens only if it is also found as of the latest record; open ones stay found."""
    known = fleet(*[Response("a", NOON - n, 412) for n in range(3)], *later)
    detectors = [FatalOnly(HostLimits(FATAL_ONLY))]
    latest = NOON + 40 * MINUTE
    new, standing = (under_a_clock_behind(known, detectors, NOON, latest, pairs) for pairs in ((), (REFUSED,)))

    assert [len(one.findings) for one in (evaluate(known, detectors, NOON), new, standing)] == [1, is_new, 1]
    assert new.is_clock_behind
    assert standing.over == frozenset()


def test_the_clock_is_a_source_that_can_be_away() -> None:
    """The status lists the clock with the sources, with a remedy."""
    one = Fleet()
    gap = Gap(0, 1, "of long ago")
    one.coverage = (
        Coverage("index"),
        Coverage("journal", NOON - HOUR_US, "gone", (gap,)),
        Coverage("clock", NOON - 20 * MINUTE, "20 min behind the index"),
    )
    (finding,) = Blind(15 * MINUTE).find(one, NOON)

    assert finding.detail == (
        "cannot read the journal for 1 h (gone); cannot evaluate by the clock for 20 min (20 min behind the index)"
    )
    assert "`systemctl status fleet-health`" in finding.suggested_fix
    assert "`timedatectl status`" in finding.suggested_fix
