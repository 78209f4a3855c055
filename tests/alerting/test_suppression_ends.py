"""Each kind of suppression ends in a notification, whatever happens to the fault and the service meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.alert import LOST, RESOLVED
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.lifecycle import Fact, Reason, State
from fleet_health.alerting.rules import Rules
from fleet_health.alerting.scope import Scope
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.alerting.suppression import Suppression
from fleet_health.detectors.fatal_only import FatalOnly, FatalOnlyLimits
from fleet_health.detectors.limits import HostLimits
from fleet_health.detectors.silent import Silent, SilentLimits
from fleet_health.detectors.suggested_fix import SuggestedFix
from fleet_health.engine import Engine
from fleet_health.model.fleet import Fleet
from fleet_health.model.instant import HOUR_US
from fleet_health.model.observation import Response, UnitState, Upload
from tests.alerting.test_incident_life import DOWN, MINUTE, NOON, SILENT, TICK, Watch, said, told
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.alerting.incidents import Outcome

AFTER, LOOKBACK = 3, 10
"""In ticks: when a host is silent, and when it can no longer be found so."""
REFUSED = ("a", "fatal-only")
FIX = SuggestedFix("fix")


def rules() -> Rules:
    """Return rules with short limits of silence and loss."""
    silent = HostLimits(SilentLimits(AFTER * TICK, LOOKBACK * TICK, FIX))
    refused = HostLimits(FatalOnlyLimits(4 * TICK, 2, 0.95, FIX, FIX, FIX))
    return Rules(
        (Silent(silent), FatalOnly(refused)),
        AlertPolicy(
            tick_us=TICK,
            flap_limit=100,
            lookback_us=lambda _: LOOKBACK * TICK,
            absence_us=lambda _, symptom: AFTER * TICK if symptom == "silent" else 0,
        ),
    )


@dataclass
class World:
    """A host, the engine that evaluates it, and the notifications about it.

    Attributes:
        restarts: Whether the engine starts anew before each evaluation.
        told: Symptom -> whether its latest notification was an alert.
        keys: How often each dedup key was alerted since its latest resolution.

    """

    restarts: bool = False
    engine: Engine = field(default_factory=lambda: Engine(rules()))
    fleet: Fleet = field(default_factory=Fleet)
    number: int = 0
    last_upload: int | None = None
    told: dict[str, bool] = field(default_factory=dict)
    keys: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def now(self) -> int:
        """Return the present."""
        return NOON + self.number * TICK

    def act(self, *, uploads: bool = False, is_refused: bool = False) -> None:
        """Let the host upload or be refused."""
        if uploads:
            self.fleet.uploads.record([Upload("a", self.now)])
            self.fleet.traffic.record([Response("a", self.now, 201)])
            self.last_upload = self.number
        elif is_refused:
            self.fleet.traffic.record([Response("a", self.now, 412)])

    def evaluate(self, suppression: Fact | None = None) -> Outcome:
        """Evaluate, and check the notifications against the earlier ones."""
        if self.restarts:
            saved = msgspec.json.decode(msgspec.json.encode(self.engine.incidents.snapshot()), type=Snapshot)
            self.engine = Engine(rules(), Incidents())
            self.engine.incidents.restore(saved)
        self.fleet.lost = self.engine.incidents.once_uploaded
        found = None if suppression is None else Suppression(suppression, "")
        outcome = self.engine.tick(self.fleet, self.now, suppressions=lambda *_: found)
        for alert in outcome.alerts:
            self.told[alert.finding.symptom] = True
            self.keys[alert.finding.symptom, alert.dedup_key] += 1
        for notice in outcome.notices:
            assert self.told.get(notice.symptom), "nobody was notified of what this is said of"
            if notice.status == RESOLVED:
                self.told[notice.symptom] = False
                self.keys = Counter({key: n for key, n in self.keys.items() if key[0] != notice.symptom})
        assert suppression is None or not (outcome.alerts or outcome.notices)
        assert set(self.keys.values()) <= {1}
        return outcome


KINDS = pytest.mark.parametrize("kind", [Fact.SILENCED, Fact.MUTED], ids=["silence", "mute window"])
RESTARTS = pytest.mark.parametrize("restarts", [False, True], ids=["one life", "a restart before each evaluation"])


@tried(120)
@given(
    # What the host does; then what suppresses its alerts; then whether we watch at all.
    steps=st.lists(
        st.tuples(
            st.sampled_from(["uploads", "is away", "is refused"]),
            st.sampled_from([None, None, Fact.SILENCED, Fact.MUTED]),
            st.booleans() | st.just(value=True),
            st.integers(1, 2 * LOOKBACK),
        ),
        max_size=12,
    ),
    restarts=st.booleans(),
)
def test_what_outlives_its_suppression_is_told_and_only_what_was_told_is_resolved(
    steps: list[tuple[str, Fact | None, bool, int]], *, restarts: bool
) -> None:
    """This holds for random faults, silences, mute windows, restarts and gaps."""
    world = World(restarts)
    world.act(uploads=True)
    world.evaluate()
    for what, suppression, is_watched, ticks in steps:
        for _ in range(ticks):
            world.number += 1
            world.act(uploads=what == "uploads", is_refused=what == "is refused")
            if is_watched:
                world.evaluate(suppression)
    is_away = world.number - (world.last_upload or 0) > AFTER
    for _ in range(AFTER + 1 if is_away else 2):  # as long as it is given to show itself, or must be well
        world.number += 1
        world.act(uploads=not is_away)
        world.evaluate()
    states = {one.incident.symptom: one.state for one in world.engine.decisions if one.state is not State.RESOLVED}

    if is_away:
        assert world.told.get("silent"), "it is still away, and nobody was ever notified"
        assert states["silent"] in {State.FIRING, State.LOST}
    else:
        assert not any(world.told.values()), "it is well, and nobody was notified that it is"
        assert states == {}


@KINDS
@RESTARTS
@pytest.mark.parametrize("ticks", [AFTER + 2, LOOKBACK + 5], ids=["found at the end", "beyond its lookback by then"])
def test_who_dies_while_it_is_suppressed_is_told_of_at_the_end(kind: Fact, ticks: int, *, restarts: bool) -> None:
    """The host is alerted once, whether or not the detector still finds it."""
    world = World(restarts)
    world.act(uploads=True)
    world.evaluate()
    for _ in range(ticks):
        world.number += 1
        world.evaluate(kind)
    states = {one.state for one in world.engine.decisions}
    outcomes = []
    for _ in range(AFTER + 3):
        world.number += 1
        outcomes.append(world.evaluate())

    assert states == {State.SILENCED if kind is Fact.SILENCED else State.MUTED}
    assert [told(one) for one in outcomes if one.alerts] == [[SILENT]]
    assert bool(outcomes[0].alerts) == (kind is Fact.SILENCED or ticks <= LOOKBACK)  # after a mute window it has time


@RESTARTS
def test_what_is_no_longer_found_is_told_when_the_silence_ends(*, restarts: bool) -> None:
    """Refusals that have become too old are alerted unless an upload was accepted."""
    world = World(restarts)
    for _ in range(2):
        world.number += 1
        world.act(is_refused=True)
    world.evaluate(Fact.SILENCED)
    world.number += 6
    world.evaluate(Fact.SILENCED)
    world.number += 1
    outcome, again = world.evaluate(), world.evaluate()

    assert (told(outcome), told(again)) == ([REFUSED], [])
    assert outcome.alerts[0].finding.detail == "it is no longer found, but it has not been seen to recover"
    assert outcome.alerts[0].finding.suggested_fix.endswith("`fleet-health explain a` shows what is known about it.")
    assert {one.state for one in world.engine.decisions} == {State.UNCONFIRMED}


@KINDS
@RESTARTS
def test_a_resolution_waits_as_long_as_its_problem_would(kind: Fact, *, restarts: bool) -> None:
    """The resolution is sent once at the end, with the time of the recovery."""
    world = World(restarts)
    world.act(uploads=True)
    world.number += AFTER + 1
    alerted = world.evaluate()
    ticks = []
    for _ in range(4):
        world.number += 1
        world.act(uploads=True)
        ticks.append(world.evaluate(kind))
    ended, after = world.evaluate(), world.evaluate()

    assert told(alerted) == [SILENT]
    assert [one.reason for tick in ticks for one in tick.decisions][-1] == Reason.RESOLVED_LATER
    assert not world.engine.incidents.open
    assert [said(one) for one in (*ticks, ended, after)] == [[]] * 4 + [[(RESOLVED, *SILENT)], []]
    assert ended.notices[0].ended_at == NOON + (AFTER + 2) * TICK


@RESTARTS
def test_what_returns_before_its_resolution_was_sent_was_never_away(*, restarts: bool) -> None:
    """It is the same incident, and no end is notified."""
    watch = Watch(restarts=restarts)
    watch.tick(NOON, SILENT)
    for number in (1, 2):
        watch.tick(NOON + number * TICK, over=[SILENT], muted=[SILENT])
    closed = list(watch.incidents.open)
    back = watch.tick(NOON + 3 * TICK, SILENT, muted=[SILENT])
    after = watch.tick(NOON + 4 * TICK, SILENT)

    assert (closed, list(watch.incidents.open)) == ([], [SILENT])
    assert [said(back), said(after), told(after)] == [[], [], []]
    assert watch.incidents.open[SILENT].opened_at == NOON


@RESTARTS
def test_a_fault_that_returns_within_the_hour_is_another_incident(*, restarts: bool) -> None:
    """It is alerted at once, and each incident has one alert in the hour."""
    watch = Watch(restarts=restarts)
    first = watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])
    resolved = watch.tick(NOON + 2 * TICK, over=[SILENT])
    back, later = watch.tick(NOON + 3 * TICK, SILENT), watch.tick(NOON + 4 * TICK, SILENT)
    state = back.decisions[0]

    assert [told(first), said(resolved), told(back), told(later)] == [[SILENT], [(RESOLVED, *SILENT)], [SILENT], []]
    assert (state.state, state.reason) == (State.FIRING, Reason.FIRST)
    assert first.alerts[0].dedup_key == back.alerts[0].dedup_key
    assert (first.alerts[0].after, back.alerts[0].after) == (None, NOON + 2 * TICK)


@RESTARTS
def test_what_the_configuration_left_out_for_a_while_is_notified_anew(*, restarts: bool) -> None:
    """A dropped incident that is found again is another one, even in the same hour."""
    watch = Watch(restarts=restarts)
    first = watch.tick(NOON, SILENT)
    watch.incidents.tune(watch.policy, Scope(frozenset({"fatal-only"})))
    watch.restarts = False
    dropped = watch.tick(NOON + TICK, evaluated=["fatal-only"])
    watch.incidents.tune(watch.policy, Scope())
    watch.restarts = restarts
    back, later = watch.tick(NOON + 2 * TICK, SILENT), watch.tick(NOON + 3 * TICK, SILENT)

    assert [told(first), told(dropped), said(dropped), told(back), told(later)] == [[SILENT], [], [], [SILENT], []]
    assert [one.state for one in dropped.decisions] == [State.FORGOTTEN]
    assert back.alerts[0].after == NOON + TICK


def test_the_keys_of_the_alert_log_do_not_hide_a_fault_that_returned() -> None:
    """A row of the resolved incident does not suppress the alert of the next one."""
    first, second = Watch(), Watch()
    alert = first.tick(NOON, SILENT).alerts[0]
    first.tick(NOON + TICK, over=[SILENT])
    first.tick(NOON + 2 * TICK, over=[SILENT])
    second.incidents.restore(first.incidents.snapshot())
    second.incidents.note_sent(alert.dedup_key, alert.detected_at)
    second.incidents.note_row(*SILENT, "", alert.detected_at)

    assert told(second.tick(NOON + 3 * TICK, SILENT)) == [SILENT]


@RESTARTS
def test_who_stays_away_when_the_receiver_is_back_is_told_of(*, restarts: bool) -> None:
    """A lost host first gets as much time to upload as any other host."""
    watch = Watch(AlertPolicy(absence_us=lambda *_: 2 * TICK), restarts=restarts)
    hosts = [SILENT, ("b", "silent")]
    watch.tick(NOON, DOWN, *hosts, inhibits=hosts, signs=dict.fromkeys(hosts, NOON - HOUR_US))
    lost = watch.tick(NOON + 26 * HOUR_US, evaluated=("silent", "receiver-down"))
    back_at = NOON + 26 * HOUR_US
    over = [DOWN, ("b", "silent")]
    ticks = [watch.tick(back_at + number * TICK, over=over) for number in range(1, 7)]

    assert {one.pair: one.state for one in lost.decisions} == {
        DOWN: State.UNCONFIRMED, SILENT: State.INHIBITED, ("b", "silent"): State.INHIBITED
    }  # fmt: skip
    assert [told(one) for one in ticks] == [[], [], [], [], [SILENT], []]
    assert [said(one) for one in ticks] == [[], [(RESOLVED, *DOWN)], [], [], [], []]


@RESTARTS
def test_flapping_that_ends_is_resolved(*, restarts: bool) -> None:
    """The end is notified with its duration once the host is stable, unless a silence suppresses it."""
    watch = Watch(AlertPolicy(flap_limit=1), restarts=restarts)
    for at in (NOON, NOON + 3 * TICK):
        watch.tick(at, SILENT)
        watch.tick(at + TICK, over=[SILENT])
        watch.tick(at + 2 * TICK, over=[SILENT])
    settles_at = NOON + 5 * TICK + HOUR_US
    flapping = ("a", "flapping")
    ticks = [
        watch.tick(settles_at - 1),
        watch.tick(settles_at, muted=[flapping]),
        watch.tick(settles_at + TICK),
        watch.tick(settles_at + 2 * TICK),
    ]

    assert [said(one) for one in ticks] == [[], [], [(RESOLVED, *flapping)], []]
    assert ticks[2].notices[0].lasted_us == 2 * TICK


@RESTARTS
@pytest.mark.parametrize("is_found", [True, False])
def test_flapping_that_does_not_end_well_is_told_of(*, is_found: bool, restarts: bool) -> None:
    """An incident that is open when the host is stable is alerted, even if unfound."""
    watch = Watch(AlertPolicy(flap_limit=1), restarts=restarts)
    watch.tick(NOON, REFUSED)
    watch.tick(NOON + TICK, over=[REFUSED])
    watch.tick(NOON + 2 * TICK, over=[REFUSED])
    flaps = watch.tick(NOON + 3 * TICK, REFUSED)
    before = watch.tick(NOON + 4 * TICK, *[REFUSED] * is_found)
    settled = watch.tick(NOON + 3 * TICK + HOUR_US, *[REFUSED] * is_found)

    assert [told(flaps), told(before), told(settled)] == [[("a", "flapping")], [], [REFUSED]]
    assert [one.state for one in before.decisions] == [State.FLAPPING]


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda watch: watch.tick(NOON - 1, is_clock_behind=True), id="the clock is behind"),
        pytest.param(lambda watch: watch.tick(NOON - 1), id="the clock was set back a little"),
    ],
)
def test_under_an_uncertain_clock_nothing_unfound_is_told(prepare: Callable[[Watch], Outcome]) -> None:
    """Unfound incidents wait for an evaluation with a certain clock."""
    watch = Watch()
    watch.tick(NOON, REFUSED, muted=[REFUSED])
    uncertain = prepare(watch)
    certain = watch.tick(NOON + MINUTE)

    assert [told(uncertain), told(certain)] == [[], [REFUSED]]


def test_a_notified_host_is_lost_without_another_alert() -> None:
    """The loss of an already notified host is notified when the suppression ends."""
    watch = Watch()
    watch.tick(NOON, SILENT, signs={SILENT: NOON})
    lost_at = NOON + 25 * HOUR_US
    ticks = [watch.tick(lost_at, muted=[SILENT]), watch.tick(lost_at + TICK), watch.tick(lost_at + 2 * TICK)]

    assert [told(one) for one in ticks] == [[], [], []]
    assert [said(one) for one in ticks] == [[], [(LOST, *SILENT)], []]


FAILING = ("*", "receiver-failing")


@RESTARTS
def test_a_cause_goes_on_to_hold_back_who_gave_up(*, restarts: bool) -> None:
    """A host without further attempts stays inhibited, and is alerted after the end of the cause."""
    watch = Watch(restarts=restarts)
    evaluated = ("fatal-only", "receiver-failing")
    watch.tick(NOON, FAILING, REFUSED, inhibits=[REFUSED], evaluated=evaluated)
    gave_up = watch.tick(NOON + TICK, FAILING, evaluated=evaluated)
    ticks = [watch.tick(NOON + number * TICK, over=[FAILING], evaluated=evaluated) for number in (2, 3, 4)]

    assert {one.pair: one.state for one in gave_up.decisions} == {FAILING: State.FIRING, REFUSED: State.INHIBITED}
    assert [told(one) for one in (gave_up, *ticks)] == [[], [], [], [REFUSED]]


@RESTARTS
def test_the_resolution_of_what_is_inhibited_waits_for_the_cause(*, restarts: bool) -> None:
    """It waits if the incident was notified before the cause opened."""
    watch = Watch(restarts=restarts)
    evaluated = ("fatal-only", "receiver-failing")
    watch.tick(NOON, REFUSED, evaluated=evaluated)
    watch.tick(NOON + TICK, FAILING, REFUSED, inhibits=[REFUSED], evaluated=evaluated)
    over = [
        watch.tick(NOON + number * TICK, FAILING, over=[REFUSED], inhibits=[REFUSED], evaluated=evaluated)
        for number in (2, 3, 4)
    ]
    ended = [watch.tick(NOON + number * TICK, over=[FAILING], evaluated=evaluated) for number in (5, 6, 7)]

    assert [said(one) for one in over] == [[], [], []]
    assert [said(one) for one in ended] == [[], [(RESOLVED, *FAILING)], [(RESOLVED, *REFUSED)]]


@RESTARTS
def test_who_is_gone_while_the_receiver_is_down_is_told_of_after_that(*, restarts: bool) -> None:
    """A host that went missing during a gap is inhibited by `receiver-down` until that is over."""
    watch = Watch(restarts=restarts)
    evaluated = ("silent", "receiver-down")
    gone = watch.tick(NOON, DOWN, gone={"a": NOON - 62 * HOUR_US}, evaluated=evaluated)
    ticks = [watch.tick(NOON + number * TICK, over=[DOWN], evaluated=evaluated) for number in (1, 2, 3)]

    assert told(gone) == [DOWN]
    assert gone.alerts[0].finding.detail == "detail; inhibits 1 alert: a silent"
    assert [told(one) for one in ticks] == [[], [], [SILENT]]


def test_a_silenced_host_is_lost_as_long_as_the_silence_lasts() -> None:
    """A silenced lost host is not forgotten before it was notified."""
    watch = Watch(AlertPolicy(forget_after_us=2 * TICK, lookback_us=lambda _: TICK))
    for number in range(6):
        watch.tick(NOON + number * TICK, *[SILENT] * (number == 0), muted=[SILENT])
    ended = watch.tick(NOON + 6 * TICK)
    ticks = [watch.tick(NOON + number * TICK) for number in (7, 8, 9)]

    assert told(ended) == [SILENT]
    assert [said(one) for one in ticks] == [[], [(LOST, *SILENT)], []]
    assert not watch.incidents.open


@RESTARTS
def test_who_was_gone_when_the_receiver_started_has_its_time(*, restarts: bool) -> None:
    """After a start without a known stop, lost hosts get time to upload."""
    world = World(restarts)
    world.fleet.uploads.record([Upload(host, NOON - 4 * LOOKBACK * TICK) for host in ("a", "b")])
    world.fleet.traffic.record([UnitState(NOON, is_running=True)])
    outcomes = [world.evaluate()]
    for _ in range(AFTER + 1):
        world.number += 1
        world.fleet.uploads.record([Upload("b", world.now)])
        outcomes.append(world.evaluate())

    assert [told(one) for one in outcomes[:AFTER]] == [[]] * AFTER
    assert [pair for one in outcomes for pair in told(one)] == [SILENT]
