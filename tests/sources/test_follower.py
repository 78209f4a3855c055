"""What all followers do: how long they rest, what they count, and how their state changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fleet_health.errors import (
    SourceFailing,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceUnavailable,
)
from fleet_health.parsing.rejection import Rejection
from fleet_health.sources.follower import Follower
from fleet_health.sources.state import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence


class Input(Follower):
    """An input that gives what it is told to at each look, and ends the test when there is nothing more."""

    longest_wait = 60.0

    def __init__(self, looks: Sequence[SourceUnavailable | None] = (), hints: Sequence[bool] = ()) -> None:
        super().__init__("index", self._tick)
        self._looks, self._hints = list(looks), list(hints)
        self._at = 0
        self.hinted: list[bool] = []
        self.let_go = 0

    def _tick(self) -> int:
        self._at += 1
        return self._at

    async def _read_to_end(self, *, is_hinted: bool) -> None:
        self.hinted.append(is_hinted)
        if not self._looks:
            raise asyncio.CancelledError
        if error := self._looks.pop(0):
            raise error

    async def _has_hint(self) -> bool:
        return self._hints.pop(0) if self._hints else False

    async def _release(self) -> None:
        self.let_go += 1

    async def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return for how long it has rested each time; none of it takes any time."""
    rested: list[float] = []

    async def sleep(seconds: float) -> None:
        rested.append(seconds)

    monkeypatch.setattr("fleet_health.sources.follower.asyncio.sleep", sleep)
    return rested


async def followed(looks: Sequence[SourceUnavailable | None], hints: Sequence[bool] = ()) -> Input:
    """Follow an input until it has nothing more."""
    one = Input(looks, hints)
    with pytest.raises(asyncio.CancelledError):
        await one.follow()
    return one


async def test_what_is_missing_is_looked_for_every_two_seconds(rests: list[float]) -> None:
    """For as long as it is missing; each look is counted."""
    one = await followed([SourceMissing("no file")] * 4)

    assert rests == [2.0] * 4
    assert one.counters.retries == {"index": 4}


async def test_what_fails_is_tried_less_and_less_often_until_it_works(rests: list[float]) -> None:
    """After a success, the next failure waits one second again."""
    await followed([*[SourceFailing("no")] * 4, None, SourceFailing("no")])

    assert rests == [1.0, 2.0, 4.0, 8.0, 1.0]


async def test_a_burst_of_hints_costs_one_look(rests: list[float]) -> None:
    """A look without a hint checks more closely."""
    one = await followed([None] * 3, hints=[True, False, True])

    assert rests == [0.5, 0.5]
    assert one.hinted == [False, True, False, True]
    assert one.counters.retries == {}


@pytest.mark.parametrize(
    ("error", "phase", "let_go"),
    [
        (SourceMissing("no file"), Phase.WAITING, 1),
        (SourceRefused("a directory"), Phase.REFUSED, 1),
        (SourceForbidden("no permission", service="grant it", person="be root"), Phase.REFUSED, 1),
        (SourceFailing("broken"), Phase.FAILING, 1),
    ],
)
async def test_an_input_that_is_away_says_why_and_since_when(
    error: SourceUnavailable, phase: Phase, let_go: int
) -> None:
    """The first failure counts; a successful read ends it."""
    one = Input([error, error, None])
    progress: list[Phase] = []
    one.on_progress = lambda: progress.append(one.state.phase)
    await one.poll()
    since = one.state.unseen_since
    await one.poll()

    away = one.state.phase, one.state.reason, one.state.unseen_since
    await one.poll()

    assert since is not None
    assert (away, one.let_go) == ((phase, error.of_service, since), 2 * let_go)
    assert one.state.seen_until is not None
    assert one.state.seen_until > since
    assert progress == [phase, phase, Phase.FOLLOWING]
    assert (one.state.reason, one.state.unseen_since) == ("", None)


@pytest.mark.parametrize(
    ("phase", "rest"),
    [
        (Phase.CATCHING_UP, 0.0),
        (Phase.FOLLOWING, 60.5),
        (Phase.WAITING, 2.0),
        (Phase.REFUSED, 2.0),
        (Phase.FAILING, 1.0),
    ],
)
def test_how_long_it_rests_at_most_depends_on_what_it_does(phase: Phase, rest: float) -> None:
    """The watchdog expects a sign of life within that time."""
    one = Input()
    one.state.phase = phase

    assert one.rest == rest


def test_what_is_read_and_rejected_is_counted_by_its_name() -> None:
    """In the state of this source, and in the counters, which never decrease."""
    one = Input()
    one._count(3, [Rejection("not JSON", "x"), Rejection("not JSON", "y")])
    one._count(2, [Rejection("empty host", "z")])

    assert (one.state.read, one.state.rejections.by_reason) == (5, {"not JSON": 2, "empty host": 1})
    assert one.counters.read == {"index": 5}
    assert one.counters.rejections == {("index", "not JSON"): 2, ("index", "empty host"): 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Phase.WAITING, Phase.CATCHING_UP),
        (Phase.FAILING, Phase.CATCHING_UP),
        (Phase.CATCHING_UP, Phase.CATCHING_UP),
        (Phase.FOLLOWING, Phase.FOLLOWING),
    ],
)
def test_an_input_that_was_away_catches_up(before: Phase, after: Phase) -> None:
    """One that was followed stays so while it catches up."""
    one = Input()
    one.state.phase = before
    seen: list[Phase] = []
    one.on_progress = lambda: seen.append(one.state.phase)

    one._progress()

    assert seen == [after]
