"""The receiver's state, from the messages of systemd about its units."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from fleet_health.model.observation import UnitState
from fleet_health.model.unit_states import UnitMessage, UnitStates

A, B = "receiver@a.service", "receiver@b.service"
SOCKET = "receiver.socket"


def started(unit: str, at: int, invocation: str | None = None, boot: str = "") -> UnitMessage:
    """Report a start."""
    return UnitMessage(unit, at, is_running=True, invocation=invocation, boot=boot)


def stopped(unit: str, at: int, invocation: str | None = None, boot: str = "") -> UnitMessage:
    """Report a stop, a failure, or a start that failed."""
    return UnitMessage(unit, at, is_running=False, invocation=invocation, boot=boot)


def not_started(unit: str, at: int, invocation: str | None = None) -> UnitMessage:
    """Report a start that failed."""
    return replace(stopped(unit, at, invocation), is_failed_start=True)


def after(*messages: UnitMessage) -> tuple[int, bool] | None:
    """Return since when the receiver is in its state after these messages, and whether it runs."""
    states = UnitStates()
    for message in messages:
        states.record(message)
    return None if states.latest is None else (states.latest.at, states.latest.is_running)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([], None, id="nothing is known"),
        pytest.param([started(A, 1)], (1, True), id="it started"),
        pytest.param([started(A, 1), stopped(A, 2)], (2, False), id="it stopped"),
        pytest.param([stopped(A, 1)], (1, False), id="it could not be started"),
        pytest.param([stopped(A, 1), stopped(A, 2), stopped(A, 3)], (1, False), id="again and again: down since then"),
        pytest.param([started(A, 1), started(A, 3)], (3, True), id="its stop is not in the journal"),
        pytest.param([started(A, 1), stopped(A, 2), started(A, 3)], (3, True), id="it was restarted"),
        pytest.param([started(A, 1), started(B, 2), stopped(A, 3)], (2, True), id="one of two instances stopped"),
        pytest.param([started(A, 1), started(B, 2), stopped(B, 3)], (1, True), id="the younger one stopped"),
        pytest.param([started(A, 1), started(B, 2), stopped(A, 3), stopped(B, 4)], (4, False), id="both stopped"),
        pytest.param([started(A, 1), started(B, 2), stopped(A, 3), started(A, 4)], (2, True), id="one restarted"),
        pytest.param([started(SOCKET, 1), started(A, 2), stopped(A, 3)], (1, True), id="its socket listens"),
        pytest.param([started(SOCKET, 1), stopped(A, 3), stopped(SOCKET, 4)], (4, False), id="its socket failed, too"),
        pytest.param([started(A, 1, "")], (1, False), id="the start was skipped for a condition"),
        pytest.param([started(A, 1, "i"), stopped(A, 2, "i"), started(A, 3, "")], (2, False), id="skipped after a run"),
        pytest.param([stopped(A, 1, "i"), started(A, 2, "i")], (1, False), id="skipped for ExecCondition="),
        pytest.param([stopped(A, 1, "i"), started(A, 2, "j")], (2, True), id="another run"),
        pytest.param([stopped(A, 1, "i"), stopped(A, 2, "j"), started(A, 3, "j")], (1, False), id="skipped again"),
        pytest.param([started(A, 1, "i"), not_started(A, 2, "i")], (1, True), id="started while it runs"),
        pytest.param([started(A, 1, "i"), stopped(A, 2, "i"), not_started(A, 3, "i")], (2, False), id="after its end"),
        pytest.param([started(A, 1, "i"), not_started(A, 2, "j")], (2, False), id="another run could not be started"),
        pytest.param([started(A, 1), not_started(A, 2)], (2, False), id="of an unknown run"),
        pytest.param([not_started(A, 1, "i")], (1, False), id="nothing is known of it before"),
        pytest.param([started(A, 1, boot="x"), stopped("", 5, boot="y")], (5, False), id="not started after a boot"),
        pytest.param([started(SOCKET, 1, boot="x"), started(A, 5, boot="y"), stopped(A, 6, boot="y")], (6, False),
                     id="no socket in this boot"),
        pytest.param([stopped("", 5, boot="y")], None, id="a boot alone"),
        pytest.param([started(A, 1, boot="x"), stopped("", 2, boot="x")], (1, True), id="the end of its own boot"),
    ],
)  # fmt: skip
def test_the_state_after_some_messages(messages: list[UnitMessage], expected: tuple[int, bool] | None) -> None:
    """It is down only when all its units are, since the last of them stopped."""
    assert after(*messages) == expected


def test_the_order_of_different_units_does_not_matter() -> None:
    """Messages about several units are not always read in order of time."""
    first = [started(A, 1), started(B, 2), stopped(SOCKET, 3)]

    assert {after(*order) for order in permutations(first)} == {(1, True)}


def test_a_unit_that_logs_and_was_never_reported_on_runs() -> None:
    """The stop of another unit proves nothing until this one has stopped as well."""
    states = UnitStates()
    states.expect([A, B])

    assert states.record(stopped(A, 1)) is None
    assert states.record(stopped(B, 2)) == UnitState(2, is_running=False)


def test_the_same_unit_on_two_machines_is_two_units() -> None:
    """A journal collected from several machines contains both."""
    here, there = started(A, 1), replace(started(A, 2), machine="there")

    assert after(here, there, stopped(A, 3)) == (2, True)
    assert after(replace(here, boot="x"), replace(there, boot="y")) == (1, True)


def test_only_changes_are_returned() -> None:
    """So each start is counted once."""
    states = UnitStates()
    messages = [started(A, 1), started(A, 1), stopped(A, 2), stopped(A, 3), started(B, 4), started(A, 5)]
    changes = [states.record(message) for message in messages]

    assert [change and (change.at, change.is_running) for change in changes] == [
        *((1, True), None, (2, False), None, (4, True), None)
    ]


def test_a_stopped_unit_is_forgotten_only_when_there_are_too_many() -> None:
    """Among 256 units all stops are known; of one more, the unit that stopped first is forgotten."""
    states = UnitStates()
    for number in range(256):
        states.record(stopped(f"r@{number}.service", number + 1))
    before = list(states._units)
    states.record(stopped("r@256.service", 257))

    assert len(before) == 256
    assert list(states._units) == [*before[1:], ("", "r@256.service")]


def test_names_that_are_never_used_again_are_forgotten() -> None:
    """With a new scope for each run, the latest counts, and a running unit is never forgotten."""
    states = UnitStates()
    states.record(started(SOCKET, 0))
    for number in range(1_000):
        states.record(started(f"libpod-{number}.scope", 2 * number + 1))
        states.record(stopped(f"libpod-{number}.scope", 2 * number + 2))

    assert states.latest == UnitState(0, is_running=True)
    assert states.record(stopped(SOCKET, 5_000)) == UnitState(5_000, is_running=False)
