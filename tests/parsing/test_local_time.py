"""Times for people, written in one form."""

from __future__ import annotations

import pytest

from fleet_health.parsing.local_time import local, localized
from fleet_health.parsing.timestamp import parse_time

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
    """In each of the ways in which sentences have them, and nothing that only looks like one."""
    sentence = (
        "no upload since 2026-11-23T18:55:07.123456+00:00, gap from 2026-11-23T18:55:00Z to 2026-11-23T18:55Z"
        " (2026-99-23T18:55:00Z), /srv/2026-11-23T18:55:00Z.jsonl, 2026-11-23T18:55:00+01:00"
    )

    assert localized(sentence) == (
        "no upload since 2026-11-23 19:55:07+01:00, gap from 2026-11-23 19:55:00+01:00 to 2026-11-23 19:55:00+01:00"
        " (2026-99-23T18:55:00Z), /srv/2026-11-23T18:55:00Z.jsonl, 2026-11-23T18:55:00+01:00"
    )
