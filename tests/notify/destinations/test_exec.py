"""`exec`: a real command for each notification."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.destinations.exec import build
from fleet_health.notify.payload import payload
from tests.rig.destinations import configured, made, message

if TYPE_CHECKING:
    from pathlib import Path


def test_a_command_is_given_the_document(tmp_path: Path) -> None:
    """The command reads one line of JSON, the same as a webhook gets, and its last line is the response."""
    command = build(configured("exec", command=["/bin/sh", "-c", 'cat >"$0"; echo noted', str(tmp_path / "document")]))
    nasty = message(made(detail="$(touch /tmp/x)\n`id`"))

    assert command.send(nasty) == Delivered("exit status 0: noted")
    assert json.loads((tmp_path / "document").read_text()) == payload(nasty)
    command.close()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no >&2; exit 3", "exit status 3: no"),
        ("exit 1", "exit status 1"),
        ("kill -KILL $$", "killed by signal 9"),
    ],
)
def test_a_command_that_fails_is_said(script: str, said: str) -> None:
    """A command that ends with another status than 0 has not delivered the message."""
    with pytest.raises(DeliveryError) as caught:
        build(configured("exec", command=["/bin/sh", "-c", script])).send(message())

    assert str(caught.value) == f"/bin/sh: {said}"
    assert type(caught.value) is DeliveryError


def test_a_command_that_hangs_is_killed() -> None:
    """After the timeout of the destination, the command is killed."""
    with pytest.raises(DeliveryError) as caught:
        build(configured("exec", command=["/bin/sleep", "1000"], timeout="1s")).send(message())

    assert str(caught.value) == "/bin/sleep: it did not end within 1 s, and was killed"
