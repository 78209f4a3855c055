"""Two receivers on a real machine: a host goes from one to the other, and one of them is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.machine.deployment import QUICK_CONFIG, RECEIVER, Receiver
from tests.machine.machine import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machine.deployment import Service

_RECEIVERS = f"""
[[receivers]]
name = "first"
journal.unit = "{RECEIVER}"

[[receivers]]
name = "second"
index.path = "/var/lib/second/index.jsonl"
journal.unit = "second-receiver.service"
"""


def test_a_host_moves_and_its_receiver_is_stopped(
    service: Service, receiver: Receiver, new_host: Callable[[str], str]
) -> None:
    """No alert of the host that moves, nor while its receiver is stopped: then it cannot upload."""
    second = Receiver(service.machine, "second", "second-receiver.service", 8491)
    moved, gone, steady = new_host("moved"), new_host("gone"), new_host("steady")
    second.start()
    try:
        service.forget_alerts()
        receiver.upload(moved)
        receiver.upload(gone)
        service.configure(QUICK_CONFIG.replace("receiver.enabled = false", 'receiver.down.after = "1s"') + _RECEIVERS)
        service.control("start")

        def gone_is_silent() -> bool:
            receiver.upload(steady)
            second.upload(moved)
            return bool(service.rows(gone))

        eventually(gone_is_silent, "the alert of the host that uploads nowhere")
        while_moving = service.rows(moved)
        service.machine.run("systemctl", "stop", second.unit)

        def second_is_down() -> bool:
            receiver.upload(steady)
            return bool(service.rows("*@second"))

        eventually(second_is_down, "the alert about the receiver")
        shown = service.machine.run("fleet-health", "status", check=False).stdout
        (down,) = service.rows("*@second")
        after_its_end = service.rows(moved)
        of_the_other = service.rows("*@first")
    finally:
        service.machine.run("systemctl", "stop", second.unit)

    assert (while_moving, after_its_end, of_the_other) == ([], [], [])
    assert down["symptom"] == "receiver-down"
    assert "systemd says that its unit stopped" in down["detail"]
    assert "RECEIVER" in shown
    assert "receiver-down@second" in shown
