"""Silences that are asked for by the socket."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.alerting.incident import Incident
from fleet_health.alerting.incidents import Incidents
from fleet_health.alerting.snapshot import Snapshot
from fleet_health.api.requests import RequestError
from fleet_health.api.silence_requests import SilenceRequests
from fleet_health.model.instant import HOUR_US
from fleet_health.parsing.timestamp import parse_time
from fleet_health.records.silence_file import SilenceFile
from fleet_health.service.silencing import Silencing
from tests.rig.site import iso, now_us

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {"hosts": "pi-*", "symptom": "silent", "for_s": 3600, "reason": " moving "}
NOBODYS_UID = 4_000_000


def in_hours(hours: float) -> str:
    """Return an instant that lies so many hours ahead."""
    return iso(now_us() + round(hours * HOUR_US))


def hours_until(wall: str) -> float:
    """Return how many hours ahead an instant lies, to the minute."""
    return round((parse_time(wall) - now_us()) / HOUR_US, 1)


async def known_hosts() -> list[str]:
    """Return a small fleet."""
    return ["pi-1", "pi-2", "bench-1"]


@pytest.fixture
def silences(tmp_path: Path) -> SilenceRequests:
    """Requests on an empty state directory."""
    return SilenceRequests(Silencing(SilenceFile(tmp_path)), known_hosts, Incidents, tuple)


async def test_a_silence_names_the_user_who_makes_and_ends_it(silences: SilenceRequests, tmp_path: Path) -> None:
    """A user without a name is named by number."""
    row = (await silences.add(GOOD, os.geteuid()))["silence"]
    (kept,) = SilenceFile(tmp_path).load()
    by_nobody = (await silences.add(GOOD | {"symptom": None}, NOBODYS_UID))["silence"]
    ended = (await silences.end({"id": row["id"]}, os.geteuid()))["silence"]

    assert kept.row() == row
    assert (row["hosts"], row["symptom"], row["reason"]) == ("pi-*", "silent", "moving")
    assert (row["author"], by_nobody["author"]) == (pwd.getpwuid(os.geteuid()).pw_name, str(NOBODYS_UID))
    assert (ended["id"], ended["ends_at_wall"] < row["ends_at_wall"]) == (row["id"], True)
    assert (row["ended_by"], ended["ended_by"]) == (None, row["author"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hosts": ""}, "expected `hosts` to be a text and not empty, found ''"),
        ({"hosts": 5}, "expected `hosts`"),
        ({"symptom": "silnet"}, "expected `symptom` to be null or one of blind, degraded, fatal-only"),
        ({"symptom": ["silent"]}, "expected `symptom`"),
        ({"for_s": 59.9}, "from a minute to 30 days, found 59.9"),
        ({"for_s": 30 * 86_400 + 1}, "from a minute to 30 days"),
        ({"for_s": True}, "from a minute to 30 days"),
        ({"for_s": None}, "from a minute to 30 days"),
        ({"hosts": "x" * 129}, "expected `hosts` to be a host name or a short glob: it has 129 characters"),
        ({"hosts": "*a" * 9 + "b"}, "expected `hosts` to be a host name or a short glob: it has 9 `\\*`"),
        ({"all": 1}, "expected `all` to be true or false, found 1"),
        (
            {"for_s": 86_401},
            "pi-\\* matches 2 of 3 known hosts, and would .* more than a day; to silence them anyway, use --all",
        ),
        (
            {"for_s": 86_401, "hosts": "[!_]*"},
            "has no literal character and may match every host.*; to silence them anyway, use --all",
        ),
        ({"for_s": 86_401, "hosts": "[!_]*", "is_trial": True}, "to silence them anyway, use --all"),
        ({"ends_at_wall": in_hours(2)}, "expected `for_s` or `ends_at_wall`, found both"),
        ({"for_s": None, "ends_at_wall": "tomorrow"}, "expected `ends_at_wall` to be a time with its offset"),
        ({"starts_at_wall": 5}, "expected `starts_at_wall` to be a time with its offset"),
        ({"for_s": None, "ends_at_wall": in_hours(-1)}, "expected a silence that ends in the future"),
        (
            {"for_s": None, "starts_at_wall": in_hours(3), "ends_at_wall": in_hours(2)},
            "expected an end from a minute to 30 days after the begin",
        ),
        ({"for_s": None, "ends_at_wall": in_hours(721)}, "expected an end from a minute to 30 days after the begin"),
        ({"starts_at_wall": in_hours(-2)}, "expected a silence that ends in the future, found an end at 20"),
        ({"starts_at_wall": in_hours(24 * 91)}, "expected a silence that begins within 90 d, found a begin at 20"),
        ({"is_until_resolved": "yes"}, "expected `is_until_resolved` to be true or false, found 'yes'"),
        ({"is_until_resolved": True}, "pi-\\* silent has no open incident that could be acknowledged"),
        ({"is_until_resolved": True, "starts_at_wall": in_hours(1)}, "which covers the incidents that are open now"),
        ({"on_behalf_of": 5}, "expected `on_behalf_of` to be a user name, found 5"),
        ({"reason": "  "}, "expected `reason` to be a text of at most 200 characters"),
        ({"reason": "x" * 201}, "expected `reason` to be a text of at most 200 characters"),
    ],
)
async def test_an_invalid_request_is_refused(
    change: dict[str, Any], complaint: str, silences: SilenceRequests, tmp_path: Path
) -> None:
    """Nothing is written."""
    with pytest.raises(RequestError, match=complaint):
        await silences.add(GOOD | change, 0)

    assert SilenceFile(tmp_path).load() == []


async def test_most_of_the_fleet_can_be_silenced_on_purpose(silences: SilenceRequests) -> None:
    """For longer than a day only with `all`."""
    for change in ({"for_s": 86_401, "all": True}, {"for_s": 86_400}, {"hosts": "bench-*", "for_s": 86_401}):
        assert (await silences.add(GOOD | change, 0))["silence"]["hosts"]


async def test_a_trial_makes_nothing(silences: SilenceRequests, tmp_path: Path) -> None:
    """It returns the silence that would be made."""
    row = (await silences.add(GOOD | {"is_trial": True}, 0))["silence"]

    assert row["hosts"] == "pi-*"
    assert SilenceFile(tmp_path).load() == []


async def test_an_unknown_silence_cannot_be_ended(silences: SilenceRequests) -> None:
    """Nor one that has ended."""
    row = (await silences.add(GOOD, 0))["silence"]
    await silences.end({"id": row["id"]}, 0)
    for name in (row["id"], "abc"):
        with pytest.raises(RequestError, match=f"there is no silence {name}"):
            await silences.end({"id": name}, 0)


async def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "silences.json").mkdir()
    silences = SilenceRequests(Silencing(SilenceFile(tmp_path)), known_hosts, Incidents, tuple)
    for request in (silences.add(GOOD, 0), silences.end({"id": "abc"}, 0)):
        with pytest.raises(
            RequestError, match=r"the silences cannot be written: .*expected a regular file, found a directory"
        ):
            await request


async def test_a_silence_may_begin_later(silences: SilenceRequests) -> None:
    """It has its length from then on, or lasts until a given time, without the part in the past."""
    later = (await silences.add(GOOD | {"starts_at_wall": in_hours(5)}, 0))["silence"]
    until = (await silences.add(GOOD | {"for_s": None, "ends_at_wall": in_hours(3)}, 0))["silence"]
    begun = (await silences.add(GOOD | {"starts_at_wall": in_hours(-0.9)}, 0))["silence"]

    assert [[hours_until(one[key]) for key in ("starts_at_wall", "ends_at_wall")] for one in (later, until, begun)] == [
        [5, 6],
        [0, 3],
        [0, 0.1],
    ]


async def test_open_incidents_are_acknowledged_as_of_the_latest_evaluation(tmp_path: Path) -> None:
    """The user has not seen later incidents. All matching hosts count."""
    evaluated_at = now_us() - HOUR_US // 60
    incidents = Incidents()
    opened = [("pi-1", "silent", 0), ("pi-1", "fatal-only", 1), ("pi-2", "silent", -5), ("x-1", "silent", -5)]
    incidents.restore(
        Snapshot(at=evaluated_at, open=[Incident(host, symptom, evaluated_at + ago) for host, symptom, ago in opened])
    )
    silences = SilenceRequests(Silencing(SilenceFile(tmp_path)), known_hosts, lambda: incidents, tuple)
    asked = {"hosts": "pi-*", "reason": "known", "is_until_resolved": True}
    answer = await silences.add(asked, 0)
    bounded = await silences.add({**asked, "symptom": "silent", "for_s": 7200}, 0)

    assert answer["incidents"] == [("pi-1", "silent"), ("pi-2", "silent")]
    assert bounded["incidents"] == answer["incidents"]
    assert parse_time(answer["silence"]["starts_at_wall"]) == evaluated_at
    assert [hours_until(one["silence"]["ends_at_wall"]) for one in (answer, bounded)] == [720, 2]
    assert [one.is_until_resolved for one in SilenceFile(tmp_path).load()] == [True, True]


@pytest.mark.parametrize(
    ("uid", "claim", "author"),
    [
        (0, None, "root"),
        (0, "", "root"),
        (0, "ann", "ann as root"),
        (0, "a" * 100, f"{'a' * 32} as root"),
        (NOBODYS_UID, "root", str(NOBODYS_UID)),
    ],
)
async def test_only_root_may_act_for_another_user(
    uid: int, claim: str | None, author: str, silences: SilenceRequests
) -> None:
    """Both are named then. Claims of other users are ignored."""
    row = (await silences.add(GOOD | {"on_behalf_of": claim}, uid))["silence"]
    ended = (await silences.end({"id": row["id"], "on_behalf_of": claim}, uid))["silence"]

    assert (row["author"], ended["ended_by"]) == (author, author)


async def test_silences_of_a_host_can_be_ended_by_its_name(silences: SilenceRequests) -> None:
    """However the name is written. Silences that also cover other hosts stay."""
    for hosts in ("büro", "b%C3%BCr*", "pi-1"):
        await silences.add(GOOD | {"hosts": hosts}, 0)
    by_name = await silences.end({"id": "büro"}, 0)
    by_glob = await silences.end({"id": "*"}, 0)

    assert [[one["hosts"] for one in ended["silences"]] for ended in (by_name, by_glob)] == [
        ["b%C3%BCro"],
        ["b%C3%BCr*", "pi-1"],
    ]
    with pytest.raises(RequestError, match=r"expected `id` to be the id of a silence, .* short glob: it has 9 `\*`"):
        await silences.end({"id": "*a" * 9}, 0)
