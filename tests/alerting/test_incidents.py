"""Each host and symptom is alerted once in each UTC hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_health.alerting.alert import dedup_key
from fleet_health.alerting.incidents import Incidents
from fleet_health.detectors.evaluation import Evaluation
from fleet_health.detectors.spec import Finding
from fleet_health.model.instant import HOUR_US, SECOND_US
from tests.rig.properties import tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_health.alerting.alert import Alert
    from fleet_health.model.instant import Instant

HOUR_BEGINS = 1_795_456_800_000_000
"""2026-11-23T18:00:00Z."""


def named(alerts: list[Alert]) -> list[tuple[str, str]]:
    """Return host and symptom of each alert."""
    return [(alert.finding.host, alert.finding.symptom) for alert in alerts]


def test_a_finding_is_alerted_once(evaluation_of: Callable[..., Evaluation], now: Instant) -> None:
    """The first evaluation alerts, and later ones in the same hour do not."""
    incidents = Incidents()

    instants = (now, now, now + 1, now + SECOND_US)
    ticks = [incidents.update(evaluation_of(("a", "silent"), at=at)).alerts for at in instants]

    assert [named(alerts) for alerts in ticks] == [[("a", "silent")], [], [], []]
    assert ticks[0][0].detected_at == now


def test_another_host_or_symptom_is_another_alert(evaluation_of: Callable[..., Evaluation]) -> None:
    """Only new findings are alerted."""
    incidents = Incidents()

    incidents.update(evaluation_of(("a", "silent")))
    alerts = incidents.update(evaluation_of(("a", "fatal-only"), ("a", "silent"), ("b", "silent"))).alerts

    assert named(alerts) == [("a", "fatal-only"), ("b", "silent")]


def test_a_finding_named_twice_is_alerted_once(evaluation_of: Callable[..., Evaluation]) -> None:
    """Two detectors of one symptom cause one alert."""
    assert named(Incidents().update(evaluation_of(("a", "silent"), ("a", "silent"))).alerts) == [("a", "silent")]


@pytest.mark.parametrize(
    ("first", "second", "is_alerted"),
    [
        pytest.param(HOUR_BEGINS, HOUR_BEGINS + HOUR_US - 1, False, id="the whole hour is one"),
        pytest.param(HOUR_BEGINS + HOUR_US - 1, HOUR_BEGINS + HOUR_US, True, id="a microsecond later is the next hour"),
        pytest.param(HOUR_BEGINS, HOUR_BEGINS - 1, True, id="a clock set back into the hour before alerts there"),
        pytest.param(HOUR_BEGINS, HOUR_BEGINS + 24 * HOUR_US, True, id="the same hour of the next day is another"),
        pytest.param(HOUR_BEGINS, HOUR_BEGINS + 24 * 365 * HOUR_US, True, id="and so is that of the next year"),
    ],
)
def test_every_utc_hour_alerts_anew(
    first: Instant, second: Instant, *, is_alerted: bool, evaluation_of: Callable[..., Evaluation]
) -> None:
    """A lasting symptom is alerted again in the next hour, and not within the hour."""
    incidents = Incidents()

    incidents.update(evaluation_of(("a", "silent"), at=first))

    assert bool(incidents.update(evaluation_of(("a", "silent"), at=second)).alerts) == is_alerted


@pytest.mark.parametrize("step", [HOUR_US, 3 * HOUR_US, 24 * HOUR_US])
def test_a_clock_set_back_finds_its_alerts_again(
    step: int, evaluation_of: Callable[..., Evaluation], now: Instant
) -> None:
    """Hours that a clock passes a second time are not alerted again."""
    incidents = Incidents()

    ticks = [
        incidents.update(evaluation_of(("a", "silent"), at=at)).alerts for at in (now, now - step, now - step, now)
    ]

    assert [len(alerts) for alerts in ticks] == [1, 1, 0, 0]


def test_a_remembered_key_suppresses_within_its_hour(evaluation_of: Callable[..., Evaluation], now: Instant) -> None:
    """A key from the alert log suppresses alerts in its whole hour."""
    incidents = Incidents()
    incidents.note_sent(dedup_key("a", "silent", now), HOUR_BEGINS)
    incidents.note_sent(dedup_key("b", "silent", now), HOUR_BEGINS + HOUR_US - 1)

    alerts = incidents.update(evaluation_of(("a", "silent"), ("b", "silent"), ("c", "silent"), at=now)).alerts

    assert named(alerts) == [("c", "silent")]


@pytest.mark.parametrize("other", [-25 * HOUR_US, -HOUR_US, HOUR_US, 25 * HOUR_US, 24 * 3650 * HOUR_US])
def test_a_key_found_under_another_hour_suppresses_nothing(
    other: int, evaluation_of: Callable[..., Evaluation], now: Instant
) -> None:
    """A row with the key of another hour does not count."""
    incidents = Incidents()
    incidents.note_sent(dedup_key("a", "silent", now), now + other)
    incidents.note_sent(dedup_key("b", "silent", now + other), now)

    alerts = incidents.update(evaluation_of(("a", "silent"), ("b", "silent"), at=now)).alerts

    assert named(alerts) == [("a", "silent"), ("b", "silent")]


def test_memory_is_pruned_with_the_hours(evaluation_of: Callable[..., Evaluation], now: Instant) -> None:
    """The keys of about a day are kept, however long the service runs."""
    incidents = Incidents()

    for hour in range(24 * 30):
        incidents.update(evaluation_of(("a", "silent"), ("b", "silent"), at=now + hour * HOUR_US))

    assert sum(len(keys) for keys in incidents._dedup_keys.by_hour.values()) <= 2 * 27


def test_a_key_from_the_far_future_does_not_stay(evaluation_of: Callable[..., Evaluation], now: Instant) -> None:
    """Keys dated by a wrong clock are pruned like old ones."""
    incidents = Incidents()
    incidents.note_sent("0123456789abcdef", now + 24 * 3650 * HOUR_US)

    incidents.update(evaluation_of(at=now))

    assert set().union(*incidents._dedup_keys.by_hour.values()) == set()


TICKS = st.lists(
    st.tuples(st.integers(0, 5 * HOUR_US), st.lists(st.sampled_from("abc"), max_size=4)), min_size=1, max_size=15
)


@tried(200)
@given(ticks=TICKS, restarts=st.sets(st.integers(0, 14)))
def test_each_host_and_hour_has_one_alert_across_restarts(
    ticks: list[tuple[int, list[str]]], restarts: set[int]
) -> None:
    """Each host found in an hour is alerted once, for random ticks and restarts."""
    incidents = Incidents()
    given_alerts: list[Alert] = []
    for number, (age, hosts) in enumerate(ticks):
        at = HOUR_BEGINS + age
        if number in restarts:
            incidents = Incidents()
            for alert in given_alerts:
                incidents.note_sent(alert.dedup_key, alert.detected_at)
        given_alerts += incidents.update(
            Evaluation(at, tuple(Finding(host, "silent", "", "") for host in hosts))
        ).alerts

    assert sorted(
        (alert.finding.host, (alert.detected_at - HOUR_BEGINS) // HOUR_US) for alert in given_alerts
    ) == sorted({(host, age // HOUR_US) for age, hosts in ticks for host in hosts})
