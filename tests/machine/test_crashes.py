"""Crash-only: however it ends, it starts again, goes on, and tells nothing twice within the hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machine.deployment import ALERTS, CHECKOUT, SERVICE, assert_none_doubled
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machine.deployment import Receiver, Service

HANG = "/run/fleet-health/hang"


def test_killed(disturbed_service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """Killed, it is started again, sees what is still wrong, and does not tell it again."""
    service = disturbed_service
    service.override("RestartSec=100ms")
    before, after = new_host("unstamped"), new_host("unstamped")
    receiver.upload(before, times=3, stamped=False)
    service.wait_for_alert(before, "unstamped")

    service.machine.run("systemctl", "kill", "--signal=KILL", SERVICE)
    eventually(lambda: service.property("NRestarts") == "1", "its restart")
    receiver.upload(after, times=3, stamped=False)

    # Once this one is told, the other has been found again as well.
    service.wait_for_alert(after, "unstamped")
    assert_none_doubled(service.rows(before))
    assert_none_doubled(service.entries(before))


@pytest.mark.fault("D4", rig="R2")
@pytest.mark.parametrize("part", ["journal", "index", "evaluator", "writer"])
def test_D4_hung_part(
    part: str, disturbed_service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """When one part hangs, the watchdog ends the service, and the next one goes on without telling anything twice."""
    service = disturbed_service
    script = f"{CHECKOUT}/tests/machine/hanging_service.py"
    service.override(
        f"ExecStart=\nExecStart=/opt/fleet-health/current/bin/python {script} {part} {HANG}\n"
        "WatchdogSec=4s\nRestartSec=100ms"
    )
    service.control("restart")
    hung = service.property("InvocationID")
    before, after = new_host("unstamped"), new_host("unstamped")
    receiver.upload(before, times=3, stamped=False)
    service.wait_for_alert(before, "unstamped")

    # systemd removes the runtime directory with the process: the next one does not hang.
    service.machine.write(HANG, "")
    receiver.upload(after, times=3, stamped=False)
    eventually(lambda: service.property("NRestarts") == "1", "its restart by the watchdog")

    service.wait_for_alert(after, "unstamped")
    assert service.machine.journal(f"UNIT={SERVICE}", "UNIT_RESULT=watchdog", f"INVOCATION_ID={hung}")
    for host in (before, after):
        assert_none_doubled(service.rows(host))
        assert_none_doubled(service.entries(host))


def test_rotated_alert_log(service: Service, receiver: Receiver, new_host: Callable[[str], str]) -> None:
    """After logrotate the next alert stands in the new file, and neither is told again, not even after a restart."""
    before, after, later = new_host("unstamped"), new_host("unstamped"), new_host("unstamped")
    receiver.upload(before, times=3, stamped=False)
    service.wait_for_alert(before, "unstamped")

    service.machine.run("logrotate", "--force", "--state=/run/logrotate.state", "/etc/logrotate.d/fleet-health")
    assert service.rows(before) == []
    receiver.upload(after, times=3, stamped=False)
    service.wait_for_alert(after, "unstamped")
    service.control("restart")
    receiver.upload(later, times=3, stamped=False)
    service.wait_for_alert(later, "unstamped")

    for host in (before, after):
        assert_none_doubled(service.rows(host, f"{ALERTS}.1", ALERTS))
        assert_none_doubled(service.entries(host))
