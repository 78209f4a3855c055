"""Silences that acknowledge: which incidents they cover, and when they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.alert import LOST, RESOLVED
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.lifecycle import Fact, Reason, State
from fleet_health.alerting.silences import Changes, Silence, SilenceRecord, Silences, SilenceWatch
from fleet_health.alerting.suppression import Suppression
from fleet_health.model.instant import HOUR_US
from tests.alerting.test_incident_life import DOWN, NOON, SILENT, TICK, Watch, said, told
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.incidents import Outcome
    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.model.instant import Instant

REFUSED, OTHER = ("a", "fatal-only"), ("b", "silent")
PAIRS = (SILENT, REFUSED, OTHER)
EVALUATED = ("silent", "fatal-only")


def acknowledgement(
    hosts: str = "a", symptom: str | None = None, *, at: Instant = NOON, until: Instant = NOON + 24 * HOUR_US
) -> Silence:
    """Return a silence that lasts until its incidents are resolved."""
    return Silence("ack", hosts, symptom, at, until, "being mended", "ann", is_until_resolved=True)


@dataclass
class Acknowledged:
    """Incidents and the silences that acknowledge them, evaluated together as in the service.

    Attributes:
        watch: The incidents.
        silences: The silences, ended ones among them.
        records: What is remembered of the silences.
        changes: What the latest look at the silences found.

    """

    watch: Watch
    silences: list[Silence] = field(default_factory=list)
    records: dict[str, SilenceRecord] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)

    def tick(
        self,
        at: Instant,
        *found: tuple[str, str],
        muted: bool = False,
        over: Iterable[tuple[str, str]] = (),
        gone: dict[str, Instant] | None = None,
    ) -> Outcome:
        """Evaluate, and end the silences that cover no open incident any more."""
        # As the file gives them back, each time.
        silences = Silences(msgspec.json.decode(msgspec.json.encode(self.silences), type=list[Silence]))
        outcome = self.watch.tick(
            at,
            *found,
            over=over,
            gone=gone,
            evaluated=EVALUATED,
            suppressions=suppressions_of(silences, at, muted=muted),
        )
        looking = SilenceWatch(self.records)
        self.changes = looking.look(
            silences, {pair: one.opened_at for pair, one in self.watch.incidents.open.items()}, at
        )
        self.records = msgspec.json.decode(msgspec.json.encode(looking.records), type=dict[str, SilenceRecord])
        resolved = {one.id for one in self.changes.resolved}
        self.silences = [one.ended(at, is_resolved=True) if one.id in resolved else one for one in self.silences]
        return outcome

    def states(self, at: Instant) -> dict[tuple[str, str], tuple[State, Reason]]:
        """Return the state of each open incident."""
        decisions = self.watch.incidents.decisions(at, suppressions_of(Silences(self.silences), at))
        return {one.pair: (one.state, one.reason) for one in decisions}


def suppressions_of(silences: Silences, now: Instant, *, muted: bool = False) -> Suppressions:
    """Return the suppressions by silences and a mute window."""

    def suppression(host: str, symptom: str, opened_at: Instant | None) -> Suppression | None:
        if silences.of(host, symptom, now) is not None:
            return Suppression(Fact.SILENCED, "")
        if muted:
            return Suppression(Fact.MUTED, "")
        found = silences.acknowledging(host, symptom, opened_at, now)
        return None if found is None else Suppression(Fact.ACKNOWLEDGED, found.in_words())

    return suppression


@pytest.fixture(params=[False, True], ids=["one life", "a restart before each tick"])
def fleet(request: pytest.FixtureRequest) -> Acknowledged:
    """Return the incidents and silences, with restarts and without."""
    return Acknowledged(Watch(restarts=request.param))


def test_what_is_acknowledged_is_not_notified_until_it_is_resolved_and_then_is_at_once(fleet: Acknowledged) -> None:
    """The resolution is notified at once, and ends the silence."""
    alerted = fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement()]
    quiet = [fleet.tick(NOON + hour * HOUR_US, SILENT) for hour in (1, 2, 20)]
    state = fleet.states(NOON + 20 * HOUR_US)
    ends = [fleet.tick(NOON + 20 * HOUR_US + number * TICK, over=[SILENT]) for number in (1, 2)]
    ended = fleet.changes.resolved
    fleet.tick(NOON + 20 * HOUR_US + 3 * TICK)

    assert [told(one) for one in (alerted, *quiet)] == [[SILENT], [], [], []]
    assert state == {SILENT: (State.SILENCED, Reason.ACKNOWLEDGED)}
    assert [said(one) for one in ends] == [[], [(RESOLVED, *SILENT)]]
    assert [one.id for one in ended] == ["ack"]
    assert fleet.changes.resolved == ()
    assert [one.silence.is_resolved for one in fleet.changes.ended] == [True]


def test_a_new_symptom_or_host_is_notified(fleet: Acknowledged) -> None:
    """An incident that opens later is not covered, even of the same host."""
    fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement("*")]
    later = fleet.tick(NOON + HOUR_US, SILENT, REFUSED, OTHER)

    assert told(later) == [REFUSED, OTHER]


def test_a_host_that_went_while_nobody_watched_is_notified(fleet: Acknowledged) -> None:
    """Its last upload is before the acknowledgement, but its incident opens afterwards."""
    fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement("*", until=NOON + 48 * HOUR_US)]
    back_at, gone_at = NOON + 30 * HOUR_US, NOON - HOUR_US
    back = fleet.tick(back_at, SILENT, gone={"b": gone_at})
    opened = fleet.watch.incidents.open[OTHER]

    assert told(back) == [OTHER]
    assert (opened.opened_at, opened.since) == (back_at, gone_at)


def test_a_fault_that_returns_is_notified(fleet: Acknowledged) -> None:
    """A returned fault is another incident, and the acknowledgement of the earlier one has ended."""
    fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement()]
    for number in (1, 2):
        fleet.tick(NOON + number * TICK, over=[SILENT])
    back = fleet.tick(NOON + 3 * TICK, SILENT)

    assert told(back) == [SILENT]


def test_it_waits_for_all_that_it_covers(fleet: Acknowledged) -> None:
    """The resolution of the first incident does not end the silence for the others."""
    fleet.tick(NOON, SILENT, REFUSED)
    fleet.silences = [acknowledgement()]
    for number in (1, 2):
        fleet.tick(NOON + number * TICK, SILENT, over=[REFUSED])
    waiting = fleet.changes.resolved
    quiet = fleet.tick(NOON + HOUR_US, SILENT)

    assert (waiting, told(quiet)) == ((), [])


@pytest.mark.parametrize("is_notified", [True, False])
def test_what_is_not_resolved_by_its_end_is_notified_then(fleet: Acknowledged, *, is_notified: bool) -> None:
    """An incident that is still open at the end is notified, even if it is unfound or its host is lost."""
    if is_notified:
        fleet.tick(NOON, SILENT)
    else:
        fleet.tick(NOON, SILENT, muted=True)
    fleet.silences = [acknowledgement(until=NOON + 30 * HOUR_US)]
    before = [fleet.tick(NOON + hour * HOUR_US, *[SILENT] * (hour < 2)) for hour in (1, 26, 29)]
    state = fleet.states(NOON + 29 * HOUR_US)
    # After a mute window its host is given as much time as ever, which is none by this policy.
    after = [fleet.tick(NOON + 30 * HOUR_US + number * TICK) for number in (0, 1)]

    assert [(told(one), said(one)) for one in before] == [([], [])] * 3
    assert state == {SILENT: (State.SILENCED, Reason.ACKNOWLEDGED)}
    assert told(after[0]) == ([] if is_notified else [SILENT])
    assert said(after[0]) == ([(LOST, *SILENT)] if is_notified else [])


def test_of_what_nobody_was_notified_nobody_hears_the_end(fleet: Acknowledged) -> None:
    """An incident that was never notified, because of a mute window, has no notified resolution."""
    fleet.tick(NOON, SILENT, muted=True)
    fleet.silences = [acknowledgement()]
    ticks = [fleet.tick(NOON + number * TICK, over=[SILENT]) for number in (1, 2)]

    assert [(told(one), said(one)) for one in ticks] == [([], [])] * 2
    assert fleet.silences[0].is_resolved


def test_a_resolution_still_waits_for_whatever_else_suppresses_it(fleet: Acknowledged) -> None:
    """A mute window takes precedence, so the resolution waits for its end."""
    fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement()]
    muted = [fleet.tick(NOON + number * TICK, over=[SILENT], muted=True) for number in (1, 2)]
    after = fleet.tick(NOON + 3 * TICK)

    assert [said(one) for one in muted] == [[], []]
    assert said(after) == [(RESOLVED, *SILENT)]


def test_a_cause_that_is_acknowledged_goes_on_to_inhibit() -> None:
    """An acknowledged `receiver-down` still inhibits the incidents of hosts."""
    watch = Watch()
    silences = Silences([acknowledgement("*", "receiver-down")])
    watch.tick(NOON, DOWN, SILENT, inhibits=[SILENT])
    later = watch.tick(
        NOON + HOUR_US, DOWN, SILENT, inhibits=[SILENT], suppressions=suppressions_of(silences, NOON + HOUR_US)
    )

    assert {one.pair: one.state for one in later.decisions} == {DOWN: State.SILENCED, SILENT: State.INHIBITED}


def test_what_flaps_is_reported_though_it_was_acknowledged_once() -> None:
    """Each return is another incident, which is not acknowledged, so flapping is notified."""
    fleet = Acknowledged(Watch(AlertPolicy(flap_limit=2)))
    fleet.tick(NOON, SILENT)
    fleet.silences = [acknowledgement()]
    heard = []
    for number in range(1, 10):
        is_ill = number % 3 == 0
        outcome = fleet.tick(NOON + number * TICK, *[SILENT] * is_ill, over=[] if is_ill else [SILENT])
        heard += told(outcome)

    assert heard == [SILENT, ("a", "flapping")]


STEPS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(PAIRS)),  # what is found
        st.sets(st.sampled_from(PAIRS)),  # what of the rest is seen to be over
        st.sampled_from([None, None, None, ("*", None), ("a", None), ("a", "silent"), ("b", None)]),  # what is made
        st.integers(1, 40),  # for how many ticks at most
        st.sampled_from([1, 1, 13]),  # how many ticks pass
    ),
    min_size=1,
    max_size=30,
)


@tried(300)
@given(steps=STEPS, restarts=st.booleans())
def test_whatever_happens_only_what_was_open_is_kept_quiet_and_nothing_for_ever(
    steps: list[tuple[set[tuple[str, str]], set[tuple[str, str]], tuple[str, str | None] | None, int, int]],
    *,
    restarts: bool,
) -> None:
    """A model predicts the covered incidents from when they opened and when silences were made."""
    fleet = Acknowledged(Watch(AlertPolicy(flap_limit=10_000), restarts=restarts))
    number, opened_at = 0, dict[tuple[str, str], int]()
    notified, covered_before = set[tuple[str, str]](), set[tuple[str, str]]()
    for count, (found, over, wish, most_ticks, pass_by) in enumerate(steps):
        now, number = NOON + number * TICK, number + pass_by
        made = {} if wish is None else {f"ack{count}": wish}
        for name, (hosts, symptom) in made.items():
            latest = fleet.watch.incidents.at
            if latest is not None:
                fleet.silences.append(
                    Silence(name, hosts, symptom, latest, now + most_ticks * TICK, "x", "ann", is_until_resolved=True)
                )
        before = dict(opened_at)
        outcome = fleet.tick(now, *sorted(found), over=over - found)
        is_open = {pair: one.opened_at for pair, one in fleet.watch.incidents.open.items()}
        covered = {
            pair
            for pair in PAIRS
            for one in fleet.silences
            if (one.is_active(now) or (one.is_resolved and one.ends_at == now))
            and one.hosts in {"*", pair[0]}
            and one.symptom in {None, pair[1]}
            and before.get(pair, now) <= one.starts_at
        }

        assert not covered & set(told(outcome)), "what is acknowledged was notified"
        assert not {pair for status, *pair in said(outcome) if status == LOST and tuple(pair) in covered}
        resolved = {(host, symptom) for status, host, symptom in said(outcome) if status == RESOLVED}
        assert resolved == (before.keys() - is_open.keys()) & notified, "each end of what was notified, at once"
        for pair in is_open.keys() - before.keys() - covered:
            assert pair in told(outcome), "a new incident is notified, whatever was acknowledged before it"
        for pair in (covered_before - covered - notified) & is_open.keys():
            assert pair in told(outcome), "when that ends, what nobody was notified of is notified"
        for one in fleet.silences:
            waits = {pair for pair in covered & is_open.keys() if one.hosts in {"*", pair[0]}}
            is_ended = one.is_resolved and one.ends_at == now
            assert not is_ended or not {
                pair for pair in waits if one.symptom in {None, pair[1]} and is_open[pair] <= one.starts_at
            }, "it ended before all was resolved"
            assert not one.is_active(now) or any(
                one.hosts in {"*", pair[0]} and one.symptom in {None, pair[1]} and at <= one.starts_at
                for pair, at in is_open.items()
            ), "it has nothing left to wait for, and holds on"
        notified = (notified | set(told(outcome))) & is_open.keys()
        opened_at, covered_before = is_open, covered & is_open.keys()
