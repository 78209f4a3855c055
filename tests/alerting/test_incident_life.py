"""The life of an incident: opening, repeats, inhibition and resolution, with and without restarts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_health.alerting.alert import LOST, RESOLVED, dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.incidents import Incidents, Outcome
from fleet_health.alerting.lifecycle import Reason, State
from fleet_health.alerting.scope import Scope
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.model.host_globs import HostGlobs
from fleet_health.model.instant import HOUR_US
from fleet_health.model.subject import EVERY_HOST
from tests.rig.properties import tried
from tests.rig.suppressing import silenced

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet_health.alerting.suppression import Suppressions
    from fleet_health.model.instant import Instant

MINUTE = 60_000_000
TICK = 5 * MINUTE
NOON = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
SILENT = ("a", "silent")
DOWN = (EVERY_HOST, "receiver-down")


@dataclass
class Watch:
    """Incidents under consecutive evaluations, optionally with a restart before each."""

    policy: AlertPolicy = field(default_factory=AlertPolicy)
    restarts: bool = False
    incidents: Incidents = field(init=False)

    def __post_init__(self) -> None:
        self.incidents = Incidents(self.policy)

    def tick(
        self,
        at: Instant,
        *found: tuple[str, str],
        over: Iterable[tuple[str, str]] = (),
        inhibits: Iterable[tuple[str, str]] = (),
        evaluated: Iterable[str] = ("silent",),
        muted: Iterable[tuple[str, str]] = (),
        gone: dict[str, Instant] | None = None,
        signs: dict[tuple[str, str], Instant] | None = None,
        limits: str = "",
        heard: dict[str, Instant] | None = None,
        is_clock_behind: bool = False,
        suppressions: Suppressions | None = None,
        proofs: dict[tuple[str, str], int] | None = None,
        unproved: dict[tuple[str, str], Instant] | None = None,
    ) -> Outcome:
        """Evaluate. Findings about `EVERY_HOST` inhibit `inhibits`, and `over` has recovered at this instant.

        Args:
            at: The instant.
            found: What is found.
            over: What is seen not to be found any more.
            inhibits: What the findings of every host inhibit.
            evaluated: The symptoms that were looked for.
            muted: What is silenced.
            gone: What is forgotten, with its last upload.
            signs: The newest facts, where they are others than that what is over is so by one of this instant.
            limits: The limits of everything.
            heard: When hosts were heard of.
            is_clock_behind: Whether the clock contradicts our own records.
            suppressions: What is suppressed, instead of what is silenced.
            proofs: For how long what is over must have recovered.
            unproved: When a source was replaced that has shown nothing of an incident since.

        """
        if self.restarts:
            snapshot = msgspec.json.decode(msgspec.json.encode(self.incidents.snapshot()), type=Snapshot)
            self.incidents = Incidents(self.policy)
            self.incidents.restore(snapshot)
        findings = tuple(
            Finding(host, symptom, "detail", "fix", frozenset(inhibits) if host == EVERY_HOST else frozenset())
            for host, symptom in found
        )
        over = frozenset(over)
        evaluation = Evaluation(
            at,
            findings,
            evaluated=frozenset(evaluated),
            over=over,
            signs=dict.fromkeys(over, at) if signs is None else signs,
            limits=dict.fromkeys({*found, *(pair for pair in self.incidents.open if pair[1] in evaluated)}, limits),
            heard=heard or {},
            gone=gone or {},
            is_clock_behind=is_clock_behind,
            proofs=proofs or {},
            unproved=unproved or {},
        )
        return self.incidents.update(evaluation, silenced(muted) if suppressions is None else suppressions)


@pytest.fixture(params=[False, True], ids=["one life", "a restart before each tick"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Return the incidents, with restarts and without."""
    return Watch(restarts=request.param)


def told(news: Outcome) -> list[tuple[str, str]]:
    """Return host and symptom of each alert."""
    return [(alert.finding.host, alert.finding.symptom) for alert in news.alerts]


def said(news: Outcome) -> list[tuple[str, str, str]]:
    """Return status, host and symptom of each notice."""
    return [(notice.status, notice.host, notice.symptom) for notice in news.notices]


def test_an_end_needs_evidence_for_a_tick(watch: Watch) -> None:
    """An incident resolves when two consecutive ticks show a recovery."""
    watch.tick(NOON, SILENT)
    unknown = watch.tick(NOON + TICK, evaluated=())
    first = watch.tick(NOON + 2 * TICK, over=[SILENT])
    interrupted = watch.tick(NOON + 3 * TICK, evaluated=())
    again = watch.tick(NOON + 4 * TICK, over=[SILENT])
    second = watch.tick(NOON + 5 * TICK - 3, over=[SILENT])  # no two ticks are exactly one apart
    after = watch.tick(NOON + 6 * TICK, over=[SILENT])

    assert [said(news) for news in (unknown, first, interrupted, again, second, after)] == [
        [], [], [], [], [(RESOLVED, *SILENT)], []
    ]  # fmt: skip
    assert second.notices[0].lasted_us == 4 * TICK


@pytest.mark.parametrize(("resolve_after", "ticks"), [(0, 1), (TICK, 2), (3 * TICK, 4)])
def test_how_long_it_must_be_over_is_configured(resolve_after: int, ticks: int) -> None:
    """It resolves at the tick at which the recovery has lasted for `resolve_after`."""
    watch = Watch(AlertPolicy(resolve_after_us=resolve_after))
    watch.tick(NOON, SILENT)
    ended = [bool(watch.tick(NOON + number * TICK, over=[SILENT]).notices) for number in range(1, 6)]

    assert ended == [number == ticks for number in range(1, 6)]


def test_an_end_is_not_proved_by_time_that_nobody_watched(watch: Watch) -> None:
    """A gap in the evaluations does not count towards the recovery."""
    watch.policy = AlertPolicy(resolve_after_us=HOUR_US)
    watch.incidents = Incidents(watch.policy)
    watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])
    back_at = NOON + 4 * HOUR_US
    ticks = [watch.tick(at, over=[SILENT]) for at in range(back_at, back_at + HOUR_US + TICK, TICK)]

    assert [said(news) for news in ticks] == [[]] * 12 + [[(RESOLVED, *SILENT)]]
    assert ticks[-1].notices[0].ended_at == back_at


def test_what_comes_back_before_its_end_was_never_away(watch: Watch) -> None:
    """An incident that returns before its resolution is one incident, with one duration."""
    watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])
    back = watch.tick(NOON + 2 * TICK, SILENT)
    watch.tick(NOON + 3 * TICK, over=[SILENT])
    end = watch.tick(NOON + 4 * TICK, over=[SILENT])

    assert (told(back), said(back)) == ([], [])
    assert end.notices[0].lasted_us == 3 * TICK


def test_intervals_count_from_the_opening_and_the_last_recurs(watch: Watch) -> None:
    """Repeats of 1 h, 4 h and 24 h are sent then, and every 24 h from then on."""
    watch.policy = AlertPolicy(repeat=(HOUR_US, 4 * HOUR_US, 24 * HOUR_US))
    watch.incidents = Incidents(watch.policy)
    opened_at = NOON + 7 * MINUTE
    hours = [
        age / 60
        for age in range(0, 73 * 60, 5)
        if told(watch.tick(opened_at + age * MINUTE, SILENT))
    ]  # fmt: skip

    assert hours == [0, 1, 4, 24, 48, 72]


def test_a_cause_inhibits_its_effects_and_names_them(watch: Watch) -> None:
    """One alert names forty effects; incidents that it does not inhibit are notified as usual."""
    hosts = [(f"host-{number:02}", "silent") for number in range(12)]
    news = watch.tick(NOON, DOWN, *hosts, ("other", "fatal-only"), inhibits=hosts)

    assert told(news) == [DOWN, ("other", "fatal-only")]
    detail = news.alerts[0].finding.detail
    assert "inhibits 12 alerts: host-00 silent, host-01 silent, " in detail
    assert detail.endswith("host-09 silent and 2 more")


def test_what_outlives_its_cause_by_a_tick_is_told_at_once(watch: Watch) -> None:
    """Effects stay inhibited until their cause has resolved, and for a tick after that."""
    inhibits = [SILENT, ("b", "silent")]
    ticks = [
        watch.tick(NOON, DOWN, *inhibits, inhibits=inhibits),
        watch.tick(NOON + TICK, *inhibits),
        watch.tick(NOON + 2 * TICK, *inhibits, over=[DOWN]),
        watch.tick(NOON + 3 * TICK, *inhibits, over=[DOWN]),
        watch.tick(NOON + 4 * TICK - 2, SILENT, over=[("b", "silent")]),
        watch.tick(NOON + 5 * TICK, SILENT, over=[("b", "silent")]),
    ]

    assert [told(news) for news in ticks] == [[DOWN], [], [], [], [SILENT], []]
    # Of b nobody was told, so its end is no news either.
    assert [said(news) for news in ticks] == [[], [], [], [(RESOLVED, *DOWN)], [], []]


def test_a_silent_host_is_lost_once_and_found_again(watch: Watch) -> None:
    """The loss is notified once beyond the lookback, and the incident is kept until the host uploads."""
    watch.tick(NOON, SILENT, signs={SILENT: NOON - HOUR_US})
    lost_at = NOON + 23 * HOUR_US
    ticks = [
        watch.tick(lost_at),
        watch.tick(lost_at + 1),
        watch.tick(lost_at + TICK),
        watch.tick(lost_at + HOUR_US, over=[SILENT]),
        watch.tick(lost_at + HOUR_US + TICK, over=[SILENT]),
    ]

    assert [said(news) for news in ticks] == [[], [(LOST, *SILENT)], [], [], [(RESOLVED, *SILENT)]]
    assert not watch.incidents.open


@pytest.mark.parametrize(("age", "is_remembered"), [(30 * 24 * HOUR_US, True), (30 * 24 * HOUR_US + 1, False)])
def test_a_lost_host_is_forgotten_in_the_end(*, age: int, is_remembered: bool) -> None:
    """A host is forgotten after more than 30 days."""
    watch = Watch()
    watch.tick(NOON, SILENT)
    watch.tick(NOON + 25 * HOUR_US)
    watch.tick(NOON + 25 * HOUR_US + age)

    assert bool(watch.incidents.open) == is_remembered


@pytest.mark.parametrize(("age", "is_lost"), [(30 * 24 * HOUR_US, True), (30 * 24 * HOUR_US + 1, False)])
def test_who_was_forgotten_before_anybody_found_it_silent_is_lost(watch: Watch, *, age: int, is_lost: bool) -> None:
    """A host lost during a gap longer than its lookback is alerted as lost, unless that is too long ago."""
    instants = [NOON, NOON + TICK, NOON + HOUR_US, NOON + 24 * HOUR_US, NOON + 24 * HOUR_US + 1]
    ticks = [watch.tick(at, gone={"a": NOON - age} if at == NOON else {}) for at in instants]

    assert [told(news) for news in ticks] == [[SILENT] * is_lost, [], [SILENT] * is_lost, [SILENT] * is_lost, []]
    assert [said(news) for news in ticks] == [[]] * 4 + [[(LOST, *SILENT)] * is_lost]
    assert [alert.finding.detail[:55] for alert in ticks[0].alerts] == [
        "no accepted upload since 2026-10-24T12:00:00+00:00, not"
    ] * is_lost


def test_who_was_forgotten_while_the_index_could_not_be_read_may_have_uploaded(watch: Watch) -> None:
    """No incident opens for the host before the index can be read again."""
    ticks = [
        watch.tick(NOON, gone={"a": NOON - 24 * HOUR_US}, evaluated=()),
        watch.tick(NOON + TICK, over=[SILENT]),
        watch.tick(NOON + 2 * TICK, over=[SILENT]),
    ]

    assert [said(news) for news in ticks] == [[], [], []]
    assert not watch.incidents.open


def test_nobody_is_lost_while_the_index_is_not_evaluated(watch: Watch) -> None:
    """A host is not lost while the source of its uploads cannot be evaluated."""
    watch.tick(NOON, SILENT)

    assert said(watch.tick(NOON + TICK, evaluated=("fatal-only",))) == []


def test_it_flaps_from_the_sixth_opening_on_until_it_holds_still(watch: Watch) -> None:
    """Flapping is notified once; then no opening or resolution is, until the host is stable for an hour."""
    at, alerts, ends = NOON, [], []
    for _ in range(9):
        alerts += told(watch.tick(at, SILENT))
        watch.tick(at + TICK, over=[SILENT])
        ends += said(watch.tick(at + 2 * TICK, over=[SILENT]))
        at += HOUR_US
    still = watch.tick(at, SILENT)
    later = watch.tick(at + HOUR_US, SILENT)

    assert alerts.count(("a", "flapping")) == 1
    assert alerts[-1] == ("a", "flapping")
    assert alerts.count(SILENT) == 5
    assert len(ends) == 5
    assert (told(still), told(later)) == ([], [SILENT])


def test_a_symptom_with_a_grace_is_told_of_when_that_is_over(watch: Watch) -> None:
    """The alert is sent exactly at the end of the grace, and an end within the grace is not notified."""
    watch.policy = AlertPolicy(grace_us=lambda _, symptom: 2 * TICK if symptom == "never-seen" else 0)
    watch.incidents = Incidents(watch.policy)
    pairs = ("a", "never-seen"), ("b", "never-seen")
    ticks = [
        watch.tick(NOON, *pairs),
        watch.tick(NOON + 2 * TICK - 1, *pairs),
        watch.tick(NOON + 2 * TICK, pairs[0], over=[pairs[1]]),
        watch.tick(NOON + 3 * TICK, pairs[0], over=[pairs[1]]),
    ]

    assert [told(news) for news in ticks] == [[], [], [pairs[0]], []]
    assert [said(news) for news in ticks] == [[], [], [], []]


def test_the_end_of_what_a_silence_kept_back_is_no_news(watch: Watch) -> None:
    """The end of an unnotified incident is not notified, within its grace or later."""
    watch.policy = AlertPolicy(grace_us=lambda *_: 2 * TICK)
    watch.incidents = Incidents(watch.policy)
    pairs = ("a", "never-seen"), ("b", "never-seen")
    watch.tick(NOON, *pairs, muted=pairs)
    watch.tick(NOON + TICK, pairs[0], over=[pairs[1]], muted=pairs)
    in_grace = watch.tick(NOON + 2 * TICK, pairs[0], over=[pairs[1]], muted=pairs)
    watch.tick(NOON + 3 * TICK, over=[pairs[0]])
    after_grace = watch.tick(NOON + 4 * TICK, over=[pairs[0]])

    assert [said(in_grace), said(after_grace)] == [[], []]
    assert not watch.incidents.open


def test_a_silenced_incident_is_open_and_told_if_it_outlives_the_silence(watch: Watch) -> None:
    """An incident that ends within the silence is never notified."""
    silenced = watch.tick(NOON, SILENT, ("b", "silent"), muted=[SILENT, ("b", "silent")])
    unsilenced = watch.tick(NOON + TICK, SILENT, muted=[("b", "silent")], over=[("b", "silent")])
    ended = watch.tick(NOON + 2 * TICK, SILENT, over=[("b", "silent")])

    assert [told(silenced), told(unsilenced)] == [[], [SILENT]]
    assert said(ended) == []
    assert list(watch.incidents.open) == [SILENT]


def test_what_is_no_longer_looked_for_is_dropped(watch: Watch) -> None:
    """Incidents out of scope are dropped without a notice."""
    watch.tick(NOON, SILENT, ("b", "fatal-only"), ("bench-1", "silent"))
    watch.incidents.tune(watch.policy, Scope(frozenset({"silent"}), HostGlobs(("bench-*",))))
    watch.restarts = False
    news = watch.tick(NOON + TICK, SILENT)

    assert said(news) == []
    assert list(watch.incidents.open) == [SILENT]


def test_what_is_found_while_the_configuration_changes_is_not_told_of_if_it_is_moot(watch: Watch) -> None:
    """Findings of an evaluation that began before a reload are filtered by the new scope."""
    watch.tick(NOON, ("bench-1", "silent"))
    watch.incidents.tune(watch.policy, Scope(frozenset({"silent"}), HostGlobs(("bench-*",))))
    watch.restarts = False
    news = watch.tick(NOON + HOUR_US, ("bench-1", "silent"), ("bench-2", "silent"), ("b", "fatal-only"), SILENT)

    assert (told(news), said(news)) == ([SILENT], [])
    assert list(watch.incidents.open) == [SILENT]


def test_who_is_no_longer_expected_is_dropped(watch: Watch) -> None:
    """The incident of a host that is no longer expected is dropped."""
    watch.tick(NOON, ("pi-*", "never-seen"), ("pi-2", "never-seen"), SILENT)
    watch.incidents.tune(watch.policy, Scope(expected=frozenset({"pi-*"})))
    watch.restarts = False
    news = watch.tick(NOON + TICK, ("pi-*", "never-seen"), SILENT)

    assert said(news) == []
    assert sorted(watch.incidents.open) == [SILENT, ("pi-*", "never-seen")]


def test_alerts_later_than_the_snapshot_are_recalled_from_the_log() -> None:
    """Rows newer than the state are restored from the alert log after a kill, as alerts and as ends."""
    first = Watch()
    first.tick(NOON, SILENT, ("b", "silent"))
    snapshot = first.incidents.snapshot()
    second = Watch(AlertPolicy(repeat=(24 * HOUR_US,)))
    second.incidents.restore(snapshot)
    second.incidents.note_row("a", "silent", "", NOON)  # older than the snapshot
    second.incidents.note_row("b", "silent", RESOLVED, NOON + TICK)
    second.incidents.note_row("c", "silent", "", NOON + TICK)
    second.incidents.note_row("d", "silent", "", NOON + TICK)
    second.incidents.note_row("d", "silent", LOST, NOON + 2 * TICK)

    news = second.tick(NOON + HOUR_US, SILENT, ("c", "silent"))

    assert told(news) == []
    assert sorted(second.incidents.open) == [SILENT, ("c", "silent"), ("d", "silent")]
    assert said(news) == []


def test_what_was_said_to_flap_before_a_kill_is_not_said_again() -> None:
    """An alert of flapping that is only in the alert log is not repeated; other hosts are alerted."""
    policy, pairs = AlertPolicy(flap_limit=1), [SILENT, ("b", "silent")]
    first, second = Watch(policy), Watch(policy)
    first.tick(NOON, *pairs)
    first.tick(NOON + TICK, over=pairs)
    first.tick(NOON + 2 * TICK, over=pairs)
    snapshot = msgspec.json.encode(first.incidents.snapshot())
    killed = first.tick(NOON + HOUR_US, SILENT)
    second.incidents.restore(msgspec.json.decode(snapshot, type=Snapshot))
    for alert in killed.alerts:
        second.incidents.note_sent(alert.dedup_key, alert.detected_at)
        second.incidents.note_row(alert.finding.host, alert.finding.symptom, "", alert.detected_at)
    ticks = [second.tick(NOON + HOUR_US + number * TICK, *pairs) for number in range(1, 12)]

    assert told(killed) == [("a", "flapping")]
    assert [told(news) for news in ticks] == [[("b", "flapping")]] + [[]] * 10
    assert {one.pair for one in ticks[-1].decisions if one.state is State.FLAPPING} == {*pairs}


def test_an_end_of_flapping_that_is_in_the_log_is_not_notified_again() -> None:
    """A notice that is only in the alert log is not repeated for its host; for other hosts it is sent."""
    policy, pairs = AlertPolicy(flap_limit=1), [SILENT, ("b", "silent")]
    first, second = Watch(policy), Watch(policy)
    for at, found in ((NOON, pairs), (NOON + TICK, []), (NOON + 2 * TICK, []), (NOON + 3 * TICK, pairs)):
        first.tick(at, *found, over=[pair for pair in pairs if pair not in found])
    second.incidents.restore(first.incidents.snapshot())
    second.incidents.note_row("a", "flapping", RESOLVED, NOON + 4 * TICK)

    assert [decision.incident.host for decision in first.incidents.flapping(NOON + 4 * TICK)] == ["a", "b"]
    assert [decision.incident.host for decision in second.incidents.flapping(NOON + 4 * TICK)] == ["b"]


def test_a_frozen_copy_does_not_change_with_its_original() -> None:
    """A copy for another thread is independent of the incidents."""
    watch = Watch(AlertPolicy(flap_limit=1))
    watch.tick(NOON, SILENT, ("b", "silent"))
    watch.tick(NOON + TICK, SILENT, over=[("b", "silent")])
    frozen = watch.incidents.frozen()
    before = msgspec.json.encode(frozen.snapshot())
    watch.tick(NOON + 2 * TICK, DOWN, ("c", "silent"), over=[SILENT, ("b", "silent")], inhibits=[("c", "silent")])
    watch.tick(NOON + 3 * TICK, over=[SILENT], evaluated=("silent", "receiver-down"))
    watch.tick(NOON + HOUR_US, SILENT)

    assert msgspec.json.encode(frozen.snapshot()) == before
    assert msgspec.json.encode(watch.incidents.snapshot()) != before


UNKNOWN = (EVERY_HOST, "unknown-hosts")


def test_who_was_only_one_of_many_is_dropped_and_not_lost() -> None:
    """A host that was only alerted as part of a group is dropped, and not reported as lost."""
    watch = Watch()
    watch.tick(NOON, UNKNOWN, SILENT, inhibits=[SILENT], signs={SILENT: NOON - HOUR_US})
    news = watch.tick(NOON + 25 * HOUR_US, UNKNOWN, inhibits=[SILENT], signs={})

    assert said(news) == []
    assert list(watch.incidents.open) == [UNKNOWN]
    assert [one.state for one in news.decisions if one.pair == SILENT] == [State.FORGOTTEN]


def test_of_too_many_lost_hosts_those_lost_first_are_forgotten() -> None:
    """Beyond the limit, the hosts that were lost first are forgotten."""
    watch = Watch(AlertPolicy(most_remembered=2))
    pairs = [(host, "silent") for host in "abc"]
    for number, pair in enumerate(pairs):
        watch.tick(NOON + number * TICK, *pairs[number:], signs={pair: NOON - HOUR_US})
    for number in range(4):
        watch.tick(NOON + 25 * HOUR_US + number * HOUR_US, *pairs[number + 1 :], signs={})

    assert len(watch.incidents.open) == 2


PAIRS = [("a", "silent"), ("b", "silent"), ("b", "fatal-only"), DOWN]
STEPS = st.lists(
    st.tuples(st.sets(st.sampled_from(PAIRS)), st.sets(st.sampled_from(PAIRS)), st.booleans()), min_size=1, max_size=30
)


@settings(deadline=None)
@given(steps=STEPS)
def test_restarts_change_nothing(
    steps: list[tuple[set[tuple[str, str]], set[tuple[str, str]], bool]],
) -> None:
    """Restarts before each tick change no notification, for random findings."""
    steady, restarting = Watch(), Watch(restarts=True)
    for number, (found, over, is_cause) in enumerate(steps):
        at = NOON + number * 3 * TICK
        inhibits = PAIRS[:3] if is_cause else ()
        both = [one.tick(at, *sorted(found), over=over - found, inhibits=inhibits) for one in (steady, restarting)]
        assert both[0] == both[1]


@tried(400)
@given(steps=STEPS, flap_limit=st.integers(1, 3), tick_minutes=st.sampled_from([5, 20, 60]))
def test_no_finding_of_a_host_disappears(
    steps: list[tuple[set[tuple[str, str]], set[tuple[str, str]], bool]], flap_limit: int, tick_minutes: int
) -> None:
    """Each finding is notified in its hour, inhibited by an open cause, or reported as flapping."""
    watch = Watch(AlertPolicy(tick_us=tick_minutes * MINUTE, flap_limit=flap_limit))
    keys: set[str] = set()
    flapping: set[tuple[str, str]] = set()
    for number, (found, over, is_cause) in enumerate(steps):
        at = NOON + number * tick_minutes * MINUTE
        news = watch.tick(at, *sorted(found), over=over - found, inhibits=PAIRS[:3] if is_cause else ())
        incidents = watch.incidents
        assert found <= incidents.open.keys()
        keys |= {alert.dedup_key for alert in news.alerts}
        if (RESOLVED, *DOWN) in said(news):  # what was notified it before names nothing any more
            keys.discard(dedup_key(*DOWN, at))
        flapping &= {pair for pair in PAIRS if incidents._flapping.is_notified(pair)}
        flapping |= {
            (alert.finding.host, symptom)
            for alert in news.alerts
            for symptom in ("silent", "fatal-only", "receiver-down")
            if alert.finding.symptom == "flapping" and f"{symptom} opened" in alert.finding.detail
        }
        for pair in found - {DOWN}:
            cause = incidents.open.get(DOWN)
            is_notified = dedup_key(*pair, at) in keys or pair in flapping
            is_ending = pair in incidents._inhibition.released or (
                cause is not None and cause.recovered_since is not None
            )
            causes_alerts = {dedup_key(EVERY_HOST, symptom, at) for symptom in ("receiver-down", "flapping")}
            is_named = cause is not None and pair in cause.inhibits and not causes_alerts.isdisjoint(keys)
            assert is_notified or (pair in incidents._inhibition.inhibited and (is_ending or is_named))


def test_two_symptoms_of_a_host_that_flap_are_one_alert(watch: Watch) -> None:
    """One alert names both symptoms, because a host has one alert of flapping in an hour."""
    watch.policy = AlertPolicy(flap_limit=1)
    watch.incidents = Incidents(watch.policy)
    both = [("b", "fatal-only"), ("b", "silent")]
    watch.tick(NOON, *both)
    watch.tick(NOON + TICK, over=both)
    watch.tick(NOON + 2 * TICK, over=both)
    news = watch.tick(NOON + 3 * TICK, *both)

    assert told(news) == [("b", "flapping")]
    assert news.alerts[0].finding.detail == (
        "fatal-only opened 2 times within 24 h, and silent opened 2 times within 24 h"
    )


def test_what_cannot_be_said_to_flap_is_told_as_ever(watch: Watch) -> None:
    """A second symptom that flaps within the hour is alerted as usual until the next hour."""
    watch.policy = AlertPolicy(flap_limit=1)
    watch.incidents = Incidents(watch.policy)
    alerts = []
    for number, pair in enumerate([("b", "silent"), ("b", "silent"), ("b", "fatal-only"), ("b", "fatal-only")]):
        at = NOON + number * 3 * TICK
        alerts += [watch.tick(at, pair), watch.tick(at + TICK, over=[pair]), watch.tick(at + 2 * TICK, over=[pair])]
    alerts += [watch.tick(NOON + HOUR_US, ("b", "fatal-only"))]

    assert [told(news)[0] for news in alerts if told(news)] == [
        ("b", "silent"), ("b", "flapping"), ("b", "fatal-only"), ("b", "fatal-only"), ("b", "flapping")
    ]  # fmt: skip


def test_a_silenced_one_is_said_to_flap_when_the_silence_ends(watch: Watch) -> None:
    """A silence suppresses the alert of flapping as well."""
    watch.policy = AlertPolicy(flap_limit=1)
    watch.incidents = Incidents(watch.policy)
    for at in (NOON, NOON + 3 * TICK):
        assert told(watch.tick(at, SILENT, muted=[SILENT])) == []
        watch.tick(at + TICK, over=[SILENT], muted=[SILENT])
        watch.tick(at + 2 * TICK, over=[SILENT], muted=[SILENT])
    still_muted = watch.tick(NOON + 6 * TICK, SILENT, muted=[SILENT])
    only_flapping_muted = watch.tick(NOON + 7 * TICK, SILENT, muted=[("a", "flapping")])
    unmuted = watch.tick(NOON + 8 * TICK, SILENT)

    assert [told(news) for news in (still_muted, only_flapping_muted, unmuted)] == [[], [SILENT], [("a", "flapping")]]


def test_what_comes_and_goes_with_its_cause_does_not_flap(watch: Watch) -> None:
    """A flapping receiver is reported, and then inhibits nothing, because it is not notified any more."""
    alerts = []
    for number in range(6):
        at = NOON + number * HOUR_US
        alerts += watch.tick(at, DOWN, SILENT, inhibits=[SILENT]).alerts
        alerts += watch.tick(at + TICK, DOWN, SILENT, inhibits=[SILENT]).alerts
        alerts += watch.tick(at + 2 * TICK, over=[DOWN, SILENT]).alerts
        alerts += watch.tick(at + 3 * TICK, over=[DOWN, SILENT]).alerts

    assert [(one.finding.host, one.finding.symptom) for one in alerts] == [DOWN] * 5 + [
        (EVERY_HOST, "flapping"),
        SILENT,
    ]
    assert alerts[-2].finding.detail == ("receiver-down opened 6 times within 24 h; inhibits 1 alert: a silent")


def test_a_cause_that_comes_again_within_its_hour_is_told_again_and_holds_back(watch: Watch) -> None:
    """A cause that returns after its resolution is alerted at once, with the hosts that it inhibits."""
    watch.tick(NOON, DOWN, inhibits=[SILENT])
    watch.tick(NOON + TICK, over=[DOWN])
    watch.tick(NOON + 2 * TICK, over=[DOWN])
    ticks = [
        watch.tick(NOON + 4 * TICK, DOWN, SILENT, inhibits=[SILENT], muted=[DOWN]),
        watch.tick(NOON + 5 * TICK, DOWN, SILENT, inhibits=[SILENT]),
        watch.tick(NOON + 11 * TICK, DOWN, SILENT, inhibits=[SILENT]),
        watch.tick(NOON + HOUR_US, DOWN, SILENT, ("b", "silent"), inhibits=[SILENT, ("b", "silent")]),
    ]

    assert [told(news) for news in ticks] == [[], [DOWN], [], [DOWN]]
    assert ticks[1].alerts[0].finding.detail == "detail; inhibits 1 alert: a silent"
    assert ticks[-1].alerts[0].finding.detail == "detail; inhibits 2 alerts: a silent, b silent"


def test_a_cause_that_somebody_else_told_of_in_this_hour_holds_back() -> None:
    """A cause that a `check` alerted in this hour inhibits its effects."""
    watch = Watch()
    watch.incidents.note_sent(dedup_key(*DOWN, NOON), NOON)

    assert told(watch.tick(NOON + TICK, DOWN, SILENT, inhibits=[SILENT])) == []


def test_a_cause_that_is_not_found_any_more_goes_on_to_name_what_it_holds_back(watch: Watch) -> None:
    """An unfound cause is repeated each hour until it or its effects are over."""
    watch.tick(NOON + 50 * MINUTE, DOWN, SILENT, inhibits=[SILENT])
    ticks = [watch.tick(NOON + HOUR_US + number * TICK, SILENT, evaluated=()) for number in range(12)]
    muted = watch.tick(NOON + 2 * HOUR_US, SILENT, evaluated=(), muted=[DOWN])
    well = watch.tick(NOON + 3 * HOUR_US, over=[SILENT])

    assert [told(news) for news in (*ticks, muted, well)] == [[DOWN], *[[]] * 13]
    assert ticks[0].alerts[0].finding.detail == (
        "it is no longer found, but it has not been seen to recover; inhibits 1 alert: a silent"
    )


@pytest.mark.parametrize(
    ("repeat", "told_minutes", "now_minutes", "expected_minutes"),
    [
        (None, 0, 5, 60),
        (None, 0, 55, 60),
        (None, 60, 62, 120),
        ((60, 240), 0, 5, 60),
        ((60, 240), 60, 65, 240),
        ((60, 240), 240, 241, 480),
        ((90,), 0, 10, 90),
    ],
)
def test_when_it_is_told_of_next_is_foreseen(
    repeat: tuple[int, ...] | None, told_minutes: int, now_minutes: int, expected_minutes: int, watch: Watch
) -> None:
    """`next_alert_at` returns the instant of the next alert."""
    watch.policy = AlertPolicy(repeat=None if repeat is None else tuple(one * MINUTE for one in repeat))
    watch.incidents = Incidents(watch.policy)
    last_notified_at = [at for at in range(0, told_minutes + 1, 5) if told(watch.tick(NOON + at * MINUTE, SILENT))]
    (incident,) = watch.incidents.open.values()
    foreseen = watch.incidents.next_alert_at(incident, NOON + now_minutes * MINUTE)

    assert last_notified_at[-1] == told_minutes
    assert foreseen == NOON + expected_minutes * MINUTE
    later = range(told_minutes + 5, expected_minutes + 1, 5)
    assert [at for at in later if told(watch.tick(NOON + at * MINUTE, SILENT))] == [expected_minutes]


def test_a_silence_puts_the_next_alert_off(watch: Watch) -> None:
    """The next alert is at the tick after the silence, if that is within a month."""
    watch.tick(NOON, SILENT)
    (incident,) = watch.incidents.open.values()
    ends_at = NOON + 3 * HOUR_US + 7 * MINUTE

    assert watch.incidents.next_alert_at(incident, NOON, lambda at: at < ends_at) == NOON + 3 * HOUR_US + 10 * MINUTE
    assert watch.incidents.next_alert_at(incident, NOON, lambda _: True) is None


@pytest.mark.parametrize(("days", "is_foreseen"), [(32, True), (33, False)])
def test_an_alert_is_foreseen_for_a_month(days: int, *, is_foreseen: bool) -> None:
    """An alert that is further ahead is not computed."""
    watch = Watch(AlertPolicy(repeat=(days * 24 * HOUR_US,)))
    watch.tick(NOON, SILENT)
    (incident,) = watch.incidents.open.values()

    assert (watch.incidents.next_alert_at(incident, NOON + TICK) is not None) == is_foreseen


def test_a_grace_that_becomes_longer_makes_nothing_pending_again() -> None:
    """A notified incident stays firing, and is not repeated within the new grace."""
    watch = Watch(AlertPolicy(tick_us=TICK))
    first = watch.tick(NOON, SILENT)
    watch.incidents.tune(AlertPolicy(tick_us=TICK, grace_us=lambda *_: 3 * HOUR_US), Scope())
    within = [watch.tick(NOON + age, SILENT) for age in (TICK, 2 * HOUR_US)]
    after = watch.tick(NOON + 3 * HOUR_US, SILENT)

    assert [told(one) for one in (first, *within, after)] == [[SILENT], [], [], [SILENT]]
    assert {(one.state, one.reason) for outcome in within for one in outcome.decisions} == {
        (State.FIRING, Reason.WITHIN_GRACE)
    }
