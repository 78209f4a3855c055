"""The user that sends notifications may read from the service, and change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_health.api import routes
from fleet_health.api.requests import Request, RequestError
from fleet_health.api.silence_requests import user_name

PACKAGING = Path(__file__).parents[2] / "packaging"


def test_the_user_of_notify_may_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may do less than members of the group. Other users are those that the kernel reports."""
    request = Request("POST", "/v1/silences", uid=os.geteuid())
    assert routes._user(request) == os.geteuid()

    monkeypatch.setattr(routes, "READER", user_name(os.geteuid()))
    with pytest.raises(RequestError, match="may only read") as caught:
        routes._user(request)
    assert caught.value.status == 403


def test_the_unit_runs_as_that_user() -> None:
    """The installation creates that user."""
    unit = (PACKAGING / "fleet-health-notify.service").read_text()

    assert f"\nUser={routes.READER}\n" in unit
    assert f"\nu {routes.READER} - " in (PACKAGING / "sysusers.d/fleet-health.conf").read_text()
