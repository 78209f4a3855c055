"""When an alert is due, to the microsecond."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from fleet_health.alerting.alert_policy import AlertPolicy
from fleet_health.model.instant import HOUR_US

OPENED_AT = 1_795_435_200_000_000
SILENT = ("pi-1", "silent")


@pytest.mark.parametrize(
    ("grace_us", "age_us", "is_within"),
    [
        pytest.param(0, 0, False, id="there is no grace"),
        pytest.param(0, -1, False, id="there is none either by a clock that was set back"),
        pytest.param(HOUR_US, 0, True, id="it has just opened"),
        pytest.param(HOUR_US, HOUR_US - 1, True, id="a microsecond too early"),
        pytest.param(HOUR_US, HOUR_US, False, id="it has stood exactly as long as it must"),
    ],
)
def test_an_incident_waits_for_its_grace(grace_us: int, age_us: int, *, is_within: bool) -> None:
    """An incident is notified once it has been open for the whole grace."""
    policy = AlertPolicy(grace_us=lambda *_: grace_us)

    assert policy.is_within_grace(SILENT, OPENED_AT, OPENED_AT + age_us) == is_within


@pytest.mark.parametrize(
    ("notified_after", "age", "is_due"),
    [
        pytest.param(None, 0, True, id="it was never notified"),
        pytest.param(0, 1 * HOUR_US - 1, False, id="a microsecond before the first repeat"),
        pytest.param(0, 1 * HOUR_US, True, id="at the first repeat"),
        pytest.param(1 * HOUR_US, 1 * HOUR_US + 1, False, id="the first repeat was notified"),
        pytest.param(1 * HOUR_US, 4 * HOUR_US - 1, False, id="a microsecond before the last interval"),
        pytest.param(1 * HOUR_US, 4 * HOUR_US, True, id="at the last interval"),
        pytest.param(4 * HOUR_US, 8 * HOUR_US - 1, False, id="a microsecond before it has passed again"),
        pytest.param(4 * HOUR_US, 8 * HOUR_US, True, id="and so on, every last interval"),
        pytest.param(0, 100 * HOUR_US, True, id="many were missed, and one is due"),
    ],
)
def test_repeats_are_due_at_their_age(notified_after: int | None, age: int, *, is_due: bool) -> None:
    """Repeats are due one hour and four hours after the opening, and every four hours from then on."""
    policy = AlertPolicy(repeat=(HOUR_US, 4 * HOUR_US))
    notified_at = None if notified_after is None else OPENED_AT + notified_after

    assert policy.is_due(OPENED_AT, notified_at, OPENED_AT + age) == is_due


def test_without_repeats_every_hour_may_have_its_alert() -> None:
    """Without `repeat`, an alert is always due; the limit of one an hour is not part of the policy."""
    assert AlertPolicy(repeat=None).is_due(OPENED_AT, OPENED_AT, OPENED_AT)


def test_a_policy_is_the_same_whoever_looks_limits_up() -> None:
    """Policies compare equal whatever their functions, which are made for each configuration."""
    functions: dict[str, Any] = {one.name: lambda *_: 7 for one in fields(AlertPolicy) if callable(one.default)}

    assert functions
    assert AlertPolicy(**functions) == AlertPolicy()
    assert AlertPolicy(tick_us=7) != AlertPolicy()
