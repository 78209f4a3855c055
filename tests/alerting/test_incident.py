"""The rules of a single incident: the facts that end it, and the time its host gets to recover."""

from __future__ import annotations

import re

import pytest

from fleet_health.alerting.incident import Incident

OPENED_AT = 1_000
KNOWN_AT = 500


@pytest.mark.parametrize(
    ("symptom", "known_at", "sign_at", "is_ended"),
    [
        pytest.param("silent", KNOWN_AT, None, False, id="silent: no row at all"),
        pytest.param("silent", KNOWN_AT, KNOWN_AT, False, id="silent: the row that was known when it was found"),
        pytest.param("silent", KNOWN_AT, KNOWN_AT + 1, True, id="silent: a new one, though from before the opening"),
        pytest.param("silent", None, OPENED_AT, False, id="silent: of no known row, one as old as the opening"),
        pytest.param("silent", None, OPENED_AT + 1, True, id="silent: of no known row, a later one"),
        pytest.param("fatal-only", KNOWN_AT, OPENED_AT, False, id="another: a fact as old as the opening"),
        pytest.param("fatal-only", KNOWN_AT, OPENED_AT + 1, True, id="another: a later fact"),
        pytest.param("fatal-only", OPENED_AT + 5, OPENED_AT + 5, False, id="another: one that was known when found"),
        pytest.param("fatal-only", OPENED_AT + 5, OPENED_AT + 6, True, id="another: one later than what was known"),
    ],
)
def test_a_fact_that_is_new_ends_it(symptom: str, known_at: int | None, sign_at: int | None, *, is_ended: bool) -> None:
    """A fact must be strictly later than the known facts and the opening."""
    assert Incident("pi-1", symptom, OPENED_AT, sign_at=known_at).is_ended_by(sign_at) == is_ended


def test_after_an_excused_absence_its_host_is_given_that_time_again() -> None:
    """After the excuse, the host gets exactly the time for which it may be absent."""
    incident = Incident("pi-1", "silent", OPENED_AT)
    incident.note_excused(2_000, 10, is_excused=True)
    assert incident.is_too_early(2_500)

    incident.note_excused(3_000, 10, is_excused=False)
    assert incident.is_too_early(3_009)
    assert not incident.is_too_early(3_010)

    incident.note_excused(3_020, 10, is_excused=False)
    assert not incident.is_too_early(3_020)


def test_what_is_not_about_absence_has_none_to_excuse() -> None:
    """An incident that is not about absence gets no extra time."""
    incident = Incident("pi-1", "fatal-only", OPENED_AT)

    incident.note_excused(2_000, 0, is_excused=True)

    assert not incident.is_too_early(2_000)


def test_an_incident_has_an_id_of_its_own() -> None:
    """The id is 16 hex digits of host, symptom and opening, and survives redating."""
    incident = Incident("pi-1", "silent", OPENED_AT)
    ids = {
        incident.id,
        *(Incident(*one).id for one in (("pi-2", "silent", 1_000), ("pi-1", "slow", 1_000), ("pi-1", "silent", 999))),
    }

    assert len(ids) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    assert Incident("pi-1", "silent", OPENED_AT).id == incident.id == Incident("pi-1", "silent", 1, id=incident.id).id
