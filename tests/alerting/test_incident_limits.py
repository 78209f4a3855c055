"""Incidents exactly at a limit, and a microsecond before or after it."""

from __future__ import annotations

import pytest

from fleet_health.alerting.alert import RESOLVED, dedup_key
from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.alerting.lifecycle import Reason
from fleet_health.model.instant import HOUR_US
from tests.alerting.test_incident_life import DOWN, MINUTE, NOON, SILENT, TICK, Watch, said, told

DAY_US = 24 * HOUR_US
REFUSED = ("a", "fatal-only")
BOTH = ("silent", "fatal-only")


@pytest.mark.parametrize(("later_us", "is_told"), [(0, True), (1, False)])
def test_an_alert_up_to_the_resolution_belongs_to_what_was_resolved(later_us: int, *, is_told: bool) -> None:
    """Only a later row of the alert log belongs to the fault that returned."""
    watch = Watch()
    watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])
    resolved_at = NOON + 2 * TICK
    assert said(watch.tick(resolved_at, over=[SILENT])) == [(RESOLVED, *SILENT)]

    watch.incidents.note_sent(dedup_key(*SILENT, resolved_at), resolved_at + later_us)

    assert told(watch.tick(NOON + 3 * TICK, SILENT)) == [SILENT] * is_told


@pytest.mark.parametrize(("later_us", "is_open"), [(0, True), (1, False)])
def test_only_rows_that_are_later_than_the_state_are_recalled(later_us: int, *, is_open: bool) -> None:
    """Rows up to the evaluation of the state are already in it."""
    watch = Watch()
    watch.tick(NOON, SILENT)

    watch.incidents.note_row(*SILENT, RESOLVED, NOON + later_us)

    assert (SILENT in watch.incidents.open) == is_open


def test_a_second_evaluation_at_one_instant_is_not_back_in_time() -> None:
    """A second evaluation at the same instant can end incidents."""
    watch = Watch(AlertPolicy(resolve_after_us=0))
    watch.tick(NOON, SILENT)

    assert said(watch.tick(NOON, over=[SILENT], signs={SILENT: NOON + 1})) == [(RESOLVED, *SILENT)]


@pytest.mark.parametrize(("late_us", "ends"), [(0, True), (1, False)])
def test_time_that_nobody_watched_proves_nothing(late_us: int, *, ends: bool) -> None:
    """A gap begins after two ticks and five minutes without an evaluation."""
    watch = Watch()
    watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])

    late = watch.tick(NOON + TICK + 2 * TICK + 5 * MINUTE + late_us, over=[SILENT])

    assert said(late) == [(RESOLVED, *SILENT)] * ends


@pytest.mark.parametrize(("early_us", "ends"), [(0, True), (1, False)])
def test_an_end_is_proved_to_the_nearest_tick(early_us: int, *, ends: bool) -> None:
    """A recovery may be half a tick short, because ticks are not exactly one interval apart."""
    watch = Watch(AlertPolicy(resolve_after_us=2 * TICK))
    watch.tick(NOON, SILENT)
    watch.tick(NOON + TICK, over=[SILENT])

    proved = watch.tick(NOON + TICK + 2 * TICK - TICK // 2 - early_us, over=[SILENT])

    assert said(proved) == [(RESOLVED, *SILENT)] * ends


@pytest.mark.parametrize(("age_us", "is_open"), [(30 * DAY_US, True), (30 * DAY_US + 1, False)])
def test_a_host_that_went_while_nobody_watched_is_silent_unless_it_is_forgotten(age_us: int, *, is_open: bool) -> None:
    """An incident opens if the host went missing no longer ago than lost hosts are kept."""
    watch = Watch()

    watch.tick(NOON, gone={"a": NOON - age_us})

    assert (SILENT in watch.incidents.open) == is_open


@pytest.mark.parametrize(("age_us", "is_open"), [(30 * DAY_US, True), (30 * DAY_US + 1, False)])
def test_a_lost_host_is_forgotten_in_the_end(age_us: int, *, is_open: bool) -> None:
    """A host is forgotten once its loss was notified and it has been lost for too long."""
    watch = Watch()
    watch.tick(NOON, REFUSED, evaluated=BOTH, heard={"a": NOON})
    lost_at = NOON + DAY_US + 1
    watch.tick(lost_at, evaluated=BOTH)
    assert watch.incidents.open[REFUSED].lost_at == lost_at

    watch.tick(lost_at + age_us, evaluated=BOTH)

    assert (REFUSED in watch.incidents.open) == is_open


@pytest.mark.parametrize(
    ("age_us", "reason"), [(2 * TICK - 1, Reason.RECOVERING), (2 * TICK, Reason.NOTIFIED_THIS_HOUR)]
)
def test_a_cause_that_is_long_in_ending_stands_for_what_it_inhibits(age_us: int, reason: Reason) -> None:
    """A cause that takes more than two ticks to recover is notified again when due."""
    watch, evaluated = Watch(AlertPolicy(resolve_after_us=10 * TICK)), ("silent", "receiver-down")
    watch.tick(NOON, DOWN, SILENT, inhibits=[SILENT], evaluated=evaluated)
    watch.tick(NOON + TICK, SILENT, over=[DOWN], evaluated=evaluated)

    outcome = watch.tick(NOON + TICK + age_us, SILENT, over=[DOWN], evaluated=evaluated)

    assert {one.pair: one.reason for one in outcome.decisions} == {DOWN: reason, SILENT: Reason.INHIBITED}


@pytest.mark.parametrize(("back_us", "reason"), [(0, Reason.NOTIFIED_THIS_HOUR), (1, Reason.NOTIFIED_LATER)])
def test_under_a_clock_that_is_behind_only_a_later_notification_is_from_the_future(
    back_us: int, reason: Reason
) -> None:
    """A notification at the very instant counts for this hour."""
    watch = Watch()
    watch.tick(NOON, SILENT)

    outcome = watch.tick(NOON - back_us, SILENT, is_clock_behind=True)

    assert [one.reason for one in outcome.decisions] == [reason]
