"""Silences that are asked for by the socket."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.api.requests import RequestError
from fleet_health.api.silence_requests import SilenceRequests
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service.silencing import Silencing

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {"hosts": "pi-*", "symptom": "silent", "for_s": 3600, "reason": " moving "}
NOBODYS_UID = 4_000_000


async def known_hosts() -> list[str]:
    """Return a small fleet."""
    return ["pi-1", "pi-2", "bench-1"]


@pytest.fixture
def silences(tmp_path: Path) -> SilenceRequests:
    """Requests on an empty state directory."""
    return SilenceRequests(Silencing(SilenceFile(tmp_path)), known_hosts)


async def test_one_is_made_and_ended_in_the_name_of_who_asks(silences: SilenceRequests, tmp_path: Path) -> None:
    """A user without a name is known by his number."""
    row = (await silences.add(GOOD, os.geteuid()))["silence"]
    (kept,) = SilenceFile(tmp_path).load()
    by_nobody = (await silences.add(GOOD | {"symptom": None}, NOBODYS_UID))["silence"]
    ended = (await silences.end({"id": row["id"]}, os.geteuid()))["silence"]

    assert kept.row() == row
    assert (row["hosts"], row["symptom"], row["reason"]) == ("pi-*", "silent", "moving")
    assert (row["author"], by_nobody["author"]) == (pwd.getpwuid(os.geteuid()).pw_name, str(NOBODYS_UID))
    assert (ended["id"], ended["ends_at_wall"] < row["ends_at_wall"]) == (row["id"], True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hosts": ""}, "expected `hosts` to be a text that is not empty, found ''"),
        ({"hosts": 5}, "expected `hosts`"),
        ({"symptom": "silnet"}, "expected `symptom` to be null or one of blind, fatal-only"),
        ({"symptom": ["silent"]}, "expected `symptom`"),
        ({"for_s": 59.9}, "from a minute to 30 days, found 59.9"),
        ({"for_s": 30 * 86_400 + 1}, "from a minute to 30 days"),
        ({"for_s": True}, "from a minute to 30 days"),
        ({"for_s": None}, "from a minute to 30 days"),
        ({"hosts": "x" * 129}, "expected `hosts` to be a host's name or a short glob: it has 129 characters"),
        ({"hosts": "*a" * 9 + "b"}, "expected `hosts` to be a host's name or a short glob: it has 9 `\\*`"),
        ({"all": 1}, "expected `all` to be true or false, found 1"),
        (
            {"for_s": 86_401},
            "pi-\\* matches 2 of 3 known hosts, and no alert of them .* more than a day; ask with --all",
        ),
        ({"for_s": 86_401, "hosts": "[!_]*"}, "may match every host, for it spells out no character.*; ask with --all"),
        ({"for_s": 86_401, "hosts": "[!_]*", "is_trial": True}, "ask with --all"),
        ({"reason": "  "}, "expected `reason` to be a text of up to 200 characters"),
        ({"reason": "x" * 201}, "expected `reason` to be a text of up to 200 characters"),
    ],
)
async def test_what_is_asked_for_wrongly_is_refused(
    change: dict[str, Any], complaint: str, silences: SilenceRequests, tmp_path: Path
) -> None:
    """And nothing is written."""
    with pytest.raises(RequestError, match=complaint):
        await silences.add(GOOD | change, 0)

    assert SilenceFile(tmp_path).load() == []


async def test_most_of_the_fleet_can_be_silenced_if_that_is_meant(silences: SilenceRequests) -> None:
    """For longer than a day if `all` says so, for a day as ever."""
    for change in ({"for_s": 86_401, "all": True}, {"for_s": 86_400}, {"hosts": "bench-*", "for_s": 86_401}):
        assert (await silences.add(GOOD | change, 0))["silence"]["hosts"]


async def test_a_trial_makes_nothing(silences: SilenceRequests, tmp_path: Path) -> None:
    """It gives what would be made."""
    row = (await silences.add(GOOD | {"is_trial": True}, 0))["silence"]

    assert row["hosts"] == "pi-*"
    assert SilenceFile(tmp_path).load() == []


async def test_what_is_not_there_cannot_be_ended(silences: SilenceRequests) -> None:
    """Nor what has ended."""
    row = (await silences.add(GOOD, 0))["silence"]
    await silences.end({"id": row["id"]}, 0)
    for name in (row["id"], "abc"):
        with pytest.raises(RequestError, match=f"there is no silence {name}"):
            await silences.end({"id": name}, 0)


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "silences.json").mkdir()
    silences = SilenceRequests(Silencing(SilenceFile(tmp_path)), known_hosts)
    for request in (silences.add(GOOD, 0), silences.end({"id": "abc"}, 0)):
        with pytest.raises(
            RequestError, match=r"the silences cannot be written: .*expected a regular file, found a directory"
        ):
            await request
