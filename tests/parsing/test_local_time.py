"""Times for people, written in one form."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from fleet_health.parsing.local_time import local, local_wall, localized, zone_at
from fleet_health.parsing.timestamp import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("in_berlin")
NOW = parse_time("2026-11-23T18:55:07.25Z")  # a Monday; 19:55:07 in Berlin


@pytest.mark.parametrize(
    ("at", "written"),
    [
        ("2026-11-23T18:55:00Z", "2026-11-23 19:55:00+01:00"),
        ("2026-07-01T23:30:00.999999Z", "2026-07-02 01:30:00+02:00"),
    ],
)
def test_a_time_is_written_in_the_local_zone(at: str, written: str) -> None:
    """With its offset, to the second."""
    assert local(parse_time(at)) == written


def test_times_within_a_sentence_are_rewritten() -> None:
    """In every form that sentences use, and nothing that only looks like a time."""
    sentence = (
        "no upload since 2026-11-23T18:55:07.123456+00:00, gap from 2026-11-23T18:55:00Z to 2026-11-23T18:55Z"
        " (2026-99-23T18:55:00Z), /srv/2026-11-23T18:55:00Z.jsonl, 2026-11-23T18:55:00+01:00"
    )

    assert localized(sentence) == (
        "no upload since 2026-11-23 19:55:07+01:00, gap from 2026-11-23 19:55:00+01:00 to 2026-11-23 19:55:00+01:00"
        " (2026-99-23T18:55:00Z), /srv/2026-11-23T18:55:00Z.jsonl, 2026-11-23T18:55:00+01:00"
    )


@contextmanager
def living_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the local zone be another one for a while."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "at", "name"),
    [
        ("Europe/Berlin", "2026-11-23T18:55:00Z", "+01:00"),
        ("Europe/Berlin", "2026-07-01T18:55:00Z", "+02:00"),
        ("America/Caracas", "2026-07-01T18:55:00Z", "-04:00"),
        ("UTC", "2026-07-01T18:55:00Z", "UTC"),
    ],
)
def test_the_zone_behind_a_time_is_its_offset_then(
    zone: str, at: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UTC has a name."""
    with living_in(zone, monkeypatch):
        assert zone_at(parse_time(at)) == name


def test_a_time_of_a_document_is_written_in_the_local_zone() -> None:
    """Whatever its own offset is."""
    assert local_wall("2026-11-23T20:55:00.5+02:00") == "2026-11-23 19:55:00+01:00"


def test_an_instant_without_a_local_time_is_written_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """West of Greenwich, the first instant of the calendar has no local time."""
    with living_in("America/Caracas", monkeypatch):
        assert local(-62_135_596_800_000_000) == "0001-01-01 00:00:00+00:00"
