"""Which origins log in a journal, named as in a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.config.loading import load
from fleet_health.demo.journal import JournalFile
from fleet_health.sources.journal.survey import Origin, survey

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.config.schema import JournalSettings

NOW = 1_795_435_200_000_000


@pytest.fixture
def settings(tmp_path: Path) -> JournalSettings:
    """Return the settings for a journal directory, and another unit than any that logs there."""
    options = {"journal.directory": ("--journal-directory", str(tmp_path)), "journal.unit": ("--unit", "none.service")}
    return load(None, options).receivers[0].journal


def write(settings: JournalSettings, *entries: tuple[str, dict[str, Any]]) -> None:
    """Write entries, a microsecond apart."""
    assert settings.directory is not None
    with JournalFile(settings.directory / "a.journal") as file:
        for number, (message, fields) in enumerate(entries):
            file.append(message, at_us=NOW + number, **fields)


def found(settings: JournalSettings, limit: int = 10, since: int = 0) -> list[Origin]:
    """Return everybody who logs."""
    return list(survey(settings, since, limit))


def test_each_unit_has_its_latest_lines_the_latest_first(settings: JournalSettings) -> None:
    """A message of several lines counts as several; the processes that wrote them are known."""
    write(
        settings,
        ("first", {"unit": "b.service", "_PID": "7"}),
        ("of another", {"unit": "a.service", "_PID": "8"}),
        ("second\nthird", {"unit": "b.service", "_PID": "9"}),
        ("fourth", {"unit": "b.service", "_PID": "9"}),
    )

    assert found(settings) == [
        Origin("a.service", (), ("of another",), (8,)),
        Origin("b.service", (), ("fourth", "third", "second", "first"), (9, 7)),
    ]
    assert [one.lines for one in found(settings, limit=1)] == [("of another",), ("fourth",)]
    assert [one.lines for one in found(settings, since=NOW + 2)] == [("fourth", "third", "second")]


@pytest.mark.parametrize(
    "unit", ["init.scope", "fleet-health.service", "session-3.scope", "user@1000.service", "docker.service"]
)
def test_what_only_manages_others_is_left_out(unit: str, settings: JournalSettings) -> None:
    """So is fleet-health itself."""
    write(settings, ("line", {"unit": unit}))

    assert found(settings) == []


def test_a_unit_of_a_user_is_named_with_the_user(settings: JournalSettings) -> None:
    """One for each user, without the scopes of interactive programs."""
    users = {"unit": "user@1000.service", "_SYSTEMD_USER_UNIT": "receiver.service"}
    write(
        settings,
        ("of one", users | {"_UID": "1000"}),
        ("of another", users | {"_UID": "1001"}),
        ("by hand", users | {"_UID": "1000", "_SYSTEMD_USER_UNIT": "app.scope"}),
    )
    every = found(settings)

    assert [(one.name, one.unit, one.match, one.lines) for one in every] == [
        (
            f"receiver.service of user {uid}",
            "",
            ("_SYSTEMD_USER_UNIT=receiver.service", f"_UID={uid}"),
            (line,),
        )
        for uid, line in (("1000", "of one"), ("1001", "of another"))
    ]


@pytest.mark.parametrize(
    ("unit", "origins"),
    [
        pytest.param("docker.service", [("docker.service", ("CONTAINER_NAME=web",))], id="of docker: beside its unit"),
        pytest.param("session-3.scope", [("", ("CONTAINER_NAME=web", "_UID=1000"))], id="by hand: by its user"),
        pytest.param("user@1000.service", [("", ("CONTAINER_NAME=web", "_UID=1000"))], id="of a user"),
        pytest.param("web.service", [("web.service", ())], id="a unit of its own: as that unit"),
    ],
)
def test_a_container_is_named_by_whoever_writes_its_lines(
    unit: str, origins: list[tuple[str, tuple[str, ...]]], settings: JournalSettings
) -> None:
    """So that a configuration can select them."""
    write(settings, ("line", {"unit": unit, "_UID": "1000", "CONTAINER_NAME": "web"}))
    every = found(settings)

    assert [(one.unit, one.match) for one in every] == origins
    assert [one.name for one in every] == ["web.service" if unit == "web.service" else "container web"]
