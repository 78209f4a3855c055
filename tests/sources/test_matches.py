"""Which entries of a journal are the receiver's, by their fields."""

from __future__ import annotations

import pytest

from fleet_health.config.loading import load
from fleet_health.sources.journal.matches import of_units, with_sockets


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("receiver.service", ["receiver.service", "receiver.socket"]),
        ("receiver@1.service", ["receiver@1.service", "receiver@1.socket", "receiver.socket"]),
        ("receiver.socket", ["receiver.socket"]),
        ("session-1.scope", ["session-1.scope"]),
        ("receiver", ["receiver"]),
    ],
)
def test_a_service_may_be_started_by_its_sockets(unit: str, found: list[str]) -> None:
    """By one of the same name or of its template; other units have none."""
    assert with_sockets([unit]) == found


@pytest.mark.parametrize(
    ("units", "words"), [(["a.service"], " of a.service"), (["a", "b*"], " of a.service, b*.service"), ([], "")]
)
def test_the_units_are_named_in_words(units: list[str], words: str) -> None:
    """By their full names; a receiver may be selected by other fields alone."""
    values = {"journal.unit": ("", units)} if units else {"journal.match": ("", ["CONTAINER_NAME=receiver"])}
    settings = load(None, values)

    assert of_units(settings.receivers[0].journal) == words
