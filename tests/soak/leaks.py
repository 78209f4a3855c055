"""Leaks put into the service on purpose: a soak that finds none of them would prove nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from fleet_health import engine
from fleet_health.engine import evaluate_at
from fleet_health.service import intake
from fleet_health.sources.index.open_file import OpenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fleet_health.detectors.evaluation import Evaluation

_HOARDED_A_TICK = 64 << 10


@contextmanager
def _files_stay_open() -> Iterator[None]:
    """Leave open whatever the index was rotated to."""

    def do_nothing(_file: OpenFile) -> None:
        pass

    with mock.patch.object(OpenFile, "close", do_nothing):
        yield


@contextmanager
def _ticks_are_hoarded() -> Iterator[None]:
    """Keep something of every evaluation."""
    hoard: list[bytearray] = []

    def hoarding(*arguments: Any) -> Evaluation:
        hoard.append(bytearray(b"x" * _HOARDED_A_TICK))
        return evaluate_at(*arguments)

    with mock.patch.object(engine, "evaluate_at", hoarding):
        yield


@contextmanager
def _sources_never_end() -> Iterator[None]:
    """Let a source that a reload has replaced go on for ever."""

    async def do_nothing(_source: object) -> None:
        pass

    with mock.patch.object(intake, "end", do_nothing):
        yield


LEAKS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "descriptors": _files_stay_open,
    "memory": _ticks_are_hoarded,
    "tasks": _sources_never_end,
}
"""What leaks -> how to make it leak, for as long as a context lasts."""
