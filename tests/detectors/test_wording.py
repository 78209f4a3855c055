"""The wording that findings share."""

from __future__ import annotations

import pytest

from fleet_health.detectors.wording import name_hosts

TEN = [f"pi-{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([], ""),
        (["b", "a"], "a, b"),
        (TEN, ", ".join(TEN)),
        ([*TEN, "x"], f"{', '.join(TEN)} and 1 more"),
    ],
)
def test_ten_hosts_are_named(hosts: list[str], words: str) -> None:
    """In order; the number of the others is stated."""
    assert name_hosts(hosts) == words
